/* A disk that can be made ill: a folder of the lab, shown through FUSE over itself.
 *
 *     sick_disk PID FOLDER SWITCH
 *
 * PID is a process of the lab, FOLDER a folder as that process sees it. The first character of the file SWITCH says how the disk is:
 *     o  it works                      s  it answers nothing until that changes
 *     f  it is full                    r  it is read-only                     e  it fails with EIO
 * It ends when the folder is unmounted.
 */
#define FUSE_USE_VERSION 31
#define _GNU_SOURCE
#include <dirent.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <fuse3/fuse.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

static int base;
static volatile const char *health;

enum change { reads, changes, grows };

/* 0, or what the operation fails with; while the disk stalls it doesn't return. */
static int gate(enum change change) {
    for (;;) {
        switch (*health) {
        case 's': usleep(5000); continue;
        case 'e': return -EIO;
        case 'f': return change == grows ? -ENOSPC : 0;
        case 'r': return change == reads ? 0 : -EROFS;
        default: return 0;
        }
    }
}

#define GATE(change) do { int failure = gate(change); if (failure) return failure; } while (0)
#define ANSWER(call) return (call) < 0 ? -errno : 0

static const char *below(const char *path) { return path[1] ? path + 1 : "."; }

static int disk_getattr(const char *path, struct stat *status, struct fuse_file_info *file) {
    GATE(reads);
    if (file) ANSWER(fstat((int)file->fh, status));
    ANSWER(fstatat(base, below(path), status, AT_SYMLINK_NOFOLLOW));
}

static int disk_mkdir(const char *path, mode_t mode) { GATE(grows); ANSWER(mkdirat(base, below(path), mode)); }

static int disk_unlink(const char *path) { GATE(changes); ANSWER(unlinkat(base, below(path), 0)); }

static int disk_rmdir(const char *path) { GATE(changes); ANSWER(unlinkat(base, below(path), AT_REMOVEDIR)); }

static int disk_rename(const char *from, const char *to, unsigned int flags) {
    GATE(changes);
    ANSWER(renameat2(base, below(from), base, below(to), flags));
}

static int disk_chmod(const char *path, mode_t mode, struct fuse_file_info *file) {
    (void)file;
    GATE(changes);
    ANSWER(fchmodat(base, below(path), mode, 0));
}

static int disk_chown(const char *path, uid_t uid, gid_t gid, struct fuse_file_info *file) {
    (void)file;
    GATE(changes);
    ANSWER(fchownat(base, below(path), uid, gid, AT_SYMLINK_NOFOLLOW));
}

static int disk_utimens(const char *path, const struct timespec times[2], struct fuse_file_info *file) {
    (void)file;
    GATE(changes);
    ANSWER(utimensat(base, below(path), times, AT_SYMLINK_NOFOLLOW));
}

static int disk_truncate(const char *path, off_t size, struct fuse_file_info *file) {
    struct stat status;
    if (fstatat(base, below(path), &status, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    GATE(size > status.st_size ? grows : changes);
    if (file) ANSWER(ftruncate((int)file->fh, size));
    int descriptor = openat(base, below(path), O_WRONLY | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) return -errno;
    int result = ftruncate(descriptor, size) < 0 ? -errno : 0;
    close(descriptor);
    return result;
}

static int disk_open(const char *path, struct fuse_file_info *file) {
    GATE((file->flags & O_ACCMODE) == O_RDONLY ? reads : changes);
    int descriptor = openat(base, below(path), (file->flags & ~O_APPEND) | O_CLOEXEC | O_NOFOLLOW);
    if (descriptor < 0) return -errno;
    file->fh = (uint64_t)descriptor;
    return 0;
}

static int disk_create(const char *path, mode_t mode, struct fuse_file_info *file) {
    GATE(grows);
    int descriptor = openat(base, below(path), (file->flags & ~O_APPEND) | O_CREAT | O_CLOEXEC | O_NOFOLLOW, mode);
    if (descriptor < 0) return -errno;
    struct fuse_context *caller = fuse_get_context();
    if (fchown(descriptor, caller->uid, caller->gid) < 0 || fchmod(descriptor, mode) < 0) {
        int result = -errno;
        close(descriptor);
        return result;
    }
    file->fh = (uint64_t)descriptor;
    return 0;
}

static int disk_read(const char *path, char *bytes, size_t length, off_t offset, struct fuse_file_info *file) {
    (void)path;
    GATE(reads);
    ssize_t count = pread((int)file->fh, bytes, length, offset);
    return count < 0 ? -errno : (int)count;
}

static int disk_write(const char *path, const char *bytes, size_t length, off_t offset, struct fuse_file_info *file) {
    (void)path;
    GATE(grows);
    ssize_t count = pwrite((int)file->fh, bytes, length, offset);
    return count < 0 ? -errno : (int)count;
}

static int disk_fsync(const char *path, int isDataOnly, struct fuse_file_info *file) {
    (void)path;
    GATE(changes);
    ANSWER(isDataOnly ? fdatasync((int)file->fh) : fsync((int)file->fh));
}

static int disk_fsyncdir(const char *path, int isDataOnly, struct fuse_file_info *file) {
    (void)path, (void)isDataOnly, (void)file;
    return gate(changes);
}

static int disk_release(const char *path, struct fuse_file_info *file) {
    (void)path;
    close((int)file->fh);
    return 0;
}

static int disk_readdir(
    const char *path, void *buffer, fuse_fill_dir_t fill, off_t offset, struct fuse_file_info *file, enum fuse_readdir_flags flags) {
    (void)offset, (void)file, (void)flags;
    GATE(reads);
    int descriptor = openat(base, below(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = descriptor < 0 ? NULL : fdopendir(descriptor);
    if (!stream) return -errno;
    for (struct dirent *entry; (entry = readdir(stream));) fill(buffer, entry->d_name, NULL, 0, 0);
    closedir(stream);
    return 0;
}

static int disk_statfs(const char *path, struct statvfs *status) {
    (void)path;
    GATE(reads);
    ANSWER(fstatvfs(base, status));
}

static const struct fuse_operations operations = {
    .getattr = disk_getattr, .mkdir = disk_mkdir, .unlink = disk_unlink, .rmdir = disk_rmdir, .rename = disk_rename,
    .chmod = disk_chmod, .chown = disk_chown, .utimens = disk_utimens, .truncate = disk_truncate, .open = disk_open,
    .create = disk_create, .read = disk_read, .write = disk_write, .fsync = disk_fsync, .fsyncdir = disk_fsyncdir,
    .release = disk_release, .readdir = disk_readdir, .statfs = disk_statfs,
};

int main(int count, char **arguments) {
    if (count != 4) errx(2, "usage: sick_disk PID FOLDER SWITCH");
    char path[64];
    // Opened out here, since the lab has no such device.
    int device = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    int control = open(arguments[3], O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%s/ns/mnt", arguments[1]);
    int namespace = open(path, O_RDONLY | O_CLOEXEC);
    snprintf(path, sizeof path, "/proc/%s/root", arguments[1]);
    int root = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (device < 0 || control < 0 || namespace < 0 || root < 0) err(1, "opening");
    health = mmap(NULL, 1, PROT_READ, MAP_SHARED, control, 0);
    if (health == MAP_FAILED) err(1, "mapping the switch");
    if (setns(namespace, CLONE_NEWNS) < 0 || fchdir(root) < 0 || chroot(".") < 0) err(1, "entering the lab");

    umask(0);
    base = open(arguments[2], O_PATH | O_DIRECTORY | O_CLOEXEC);
    // What is opened below it is opened from here, not through the mount above it.
    if (base < 0) err(1, "%s", arguments[2]);
    char options[128];
    snprintf(options, sizeof options, "fd=%d,rootmode=40000,user_id=0,group_id=0,allow_other,default_permissions", device);
    if (mount("sick-disk", arguments[2], "fuse.sick-disk", MS_NOSUID | MS_NODEV, options) < 0) err(1, "mount");
    snprintf(path, sizeof path, "/dev/fd/%d", device);
    char *own[] = {arguments[0], "-f", path, NULL};
    return fuse_main(3, own, &operations, NULL);
}
