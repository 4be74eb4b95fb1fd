#include "RecordingVFS.h"

#include <pthread.h>
#include <sqlite3.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

// Followed by the file of the layer below.
struct file {
    sqlite3_file base;
    char *path;
};

static sqlite3_vfs *below;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
// Under the lock; empty while nothing is recorded.
static char database[4096];
static struct recorded_change *changes;
static size_t count, room;

static sqlite3_file *real(sqlite3_file *file) { return (sqlite3_file *)((char *)file + sizeof(struct file)); }

// Under the lock.
static void add(enum recorded_file file, enum recorded_kind kind, const void *bytes, int64_t offset, int64_t length) {
    if (count == room) {
        room = room ? 2 * room : 64;
        changes = realloc(changes, room * sizeof *changes);
        if (!changes) abort();
    }
    uint8_t *copy = NULL;
    if (bytes) {
        copy = malloc((size_t)length);
        if (!copy) abort();
        memcpy(copy, bytes, (size_t)length);
    }
    changes[count++] = (struct recorded_change){kind, file, offset, length, copy};
}

static void record(const char *path, enum recorded_kind kind, const void *bytes, int64_t offset, int64_t length) {
    if (!path) return;
    pthread_mutex_lock(&lock);
    size_t size = strlen(database);
    int is_log = size && !strncmp(path, database, size) && !strcmp(path + size, "-wal");
    if (size && (is_log || !strcmp(path, database))) add(is_log ? RECORDED_LOG : RECORDED_DATABASE, kind, bytes, offset, length);
    pthread_mutex_unlock(&lock);
}

void recording_add(enum recorded_kind kind, const void *bytes, int64_t offset, int64_t length) {
    pthread_mutex_lock(&lock);
    if (database[0]) add(RECORDED_KEYS, kind, bytes, offset, length);
    pthread_mutex_unlock(&lock);
}

static const char *path(sqlite3_file *file) { return ((struct file *)file)->path; }

static int file_close(sqlite3_file *file) {
    int code = real(file)->pMethods->xClose(real(file));
    free(((struct file *)file)->path);
    return code;
}
static int file_read(sqlite3_file *file, void *to, int length, sqlite3_int64 offset) {
    return real(file)->pMethods->xRead(real(file), to, length, offset);
}
static int file_write(sqlite3_file *file, const void *bytes, int length, sqlite3_int64 offset) {
    int code = real(file)->pMethods->xWrite(real(file), bytes, length, offset);
    if (code == SQLITE_OK) record(path(file), RECORDED_WRITE, bytes, offset, length);
    return code;
}
static int file_truncate(sqlite3_file *file, sqlite3_int64 length) {
    int code = real(file)->pMethods->xTruncate(real(file), length);
    if (code == SQLITE_OK) record(path(file), RECORDED_TRUNCATE, NULL, 0, length);
    return code;
}
static int file_sync(sqlite3_file *file, int flags) {
    int code = real(file)->pMethods->xSync(real(file), flags);
    if (code == SQLITE_OK) record(path(file), RECORDED_SYNC, NULL, 0, 0);
    return code;
}
static int file_size(sqlite3_file *file, sqlite3_int64 *size) { return real(file)->pMethods->xFileSize(real(file), size); }
static int file_lock(sqlite3_file *file, int level) { return real(file)->pMethods->xLock(real(file), level); }
static int file_unlock(sqlite3_file *file, int level) { return real(file)->pMethods->xUnlock(real(file), level); }
static int file_is_locked(sqlite3_file *file, int *result) { return real(file)->pMethods->xCheckReservedLock(real(file), result); }
static int file_control(sqlite3_file *file, int operation, void *argument) {
    return real(file)->pMethods->xFileControl(real(file), operation, argument);
}
static int file_sector(sqlite3_file *file) { return real(file)->pMethods->xSectorSize(real(file)); }
static int file_device(sqlite3_file *file) { return real(file)->pMethods->xDeviceCharacteristics(real(file)); }
static int file_map(sqlite3_file *file, int page, int size, int extend, void volatile **to) {
    return real(file)->pMethods->xShmMap(real(file), page, size, extend, to);
}
static int file_map_lock(sqlite3_file *file, int offset, int n, int flags) {
    return real(file)->pMethods->xShmLock(real(file), offset, n, flags);
}
static void file_barrier(sqlite3_file *file) { real(file)->pMethods->xShmBarrier(real(file)); }
static int file_unmap(sqlite3_file *file, int delete) { return real(file)->pMethods->xShmUnmap(real(file), delete); }

// Version 2: no memory map of the database, whose writes nobody would see.
static const sqlite3_io_methods methods = {
    2, file_close, file_read, file_write, file_truncate, file_sync, file_size, file_lock, file_unlock, file_is_locked, file_control,
    file_sector, file_device, file_map, file_map_lock, file_barrier, file_unmap, NULL, NULL,
};

static int vfs_open(sqlite3_vfs *vfs, const char *name, sqlite3_file *file, int flags, int *result) {
    (void)vfs;
    file->pMethods = NULL;
    ((struct file *)file)->path = NULL;
    int code = below->xOpen(below, name, real(file), flags, result);
    if (!real(file)->pMethods) return code;
    file->pMethods = &methods;
    if (name) ((struct file *)file)->path = strdup(name);
    return code;
}

static int vfs_delete(sqlite3_vfs *vfs, const char *name, int sync) {
    (void)vfs;
    int code = below->xDelete(below, name, sync);
    if (code == SQLITE_OK) record(name, RECORDED_DELETE, NULL, 0, 0);
    return code;
}

static sqlite3_vfs recorder;
static int installed;

static void install(void) {
    below = sqlite3_vfs_find(NULL);
    if (!below) return;
    recorder = *below;
    recorder.szOsFile += (int)sizeof(struct file);
    recorder.zName = "recording";
    recorder.pNext = NULL;
    recorder.xOpen = vfs_open;
    recorder.xDelete = vfs_delete;
    installed = sqlite3_vfs_register(&recorder, 1) == SQLITE_OK;
}

int recording_vfs_install(void) {
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    int code = sqlite3_initialize();
    if (code != SQLITE_OK) return code;
    pthread_once(&once, install);
    return installed ? SQLITE_OK : SQLITE_ERROR;
}

void recording_start(const char *name) {
    pthread_mutex_lock(&lock);
    snprintf(database, sizeof database, "%s", name);
    pthread_mutex_unlock(&lock);
}

struct recorded_change *recording_stop(size_t *number) {
    pthread_mutex_lock(&lock);
    struct recorded_change *result = changes;
    *number = count;
    changes = NULL;
    count = room = 0;
    database[0] = 0;
    pthread_mutex_unlock(&lock);
    return result;
}

void recording_free(struct recorded_change *given, size_t number) {
    for (size_t index = 0; index < number; index++) free(given[index].bytes);
    free(given);
}
