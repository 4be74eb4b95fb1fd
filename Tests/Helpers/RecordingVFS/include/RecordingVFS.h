#ifndef RECORDING_VFS_H
#define RECORDING_VFS_H

#include <stddef.h>
#include <stdint.h>

// SQLite's own file system layer with a recorder in between (https://sqlite.org/vfs.html): what is changed in one database and its log, in
// which order, so that a test can go back to after any of it.

enum recorded_file { RECORDED_DATABASE, RECORDED_LOG, RECORDED_KEYS };
enum recorded_kind { RECORDED_WRITE, RECORDED_TRUNCATE, RECORDED_SYNC, RECORDED_DELETE };

// One change. `bytes` is of a write alone; `length` is the new one of a truncation.
struct recorded_change {
    enum recorded_kind kind;
    enum recorded_file file;
    int64_t offset;
    int64_t length;
    uint8_t *bytes;
};

// Makes it the default for files that are opened from now on; those that nobody records are passed through. Returns SQLite's code.
int recording_vfs_install(void);

// Records what is done to this database, which is to be opened after `recording_vfs_install`, from now on; one at a time in a process.
void recording_start(const char *path);

// Adds a change of the file of keys, which is not SQLite's.
void recording_add(enum recorded_kind kind, const void *bytes, int64_t offset, int64_t length);

// Ends that, and gives the changes away: to be freed with `recording_free`.
struct recorded_change *recording_stop(size_t *count);

void recording_free(struct recorded_change *changes, size_t count);

#endif
