#define _GNU_SOURCE
#include "CTermspanLinux.h"

#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/timerfd.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <sys/xattr.h>
#include <time.h>
#include <unistd.h>

// Debian 12's headers predate it (Linux 6.3).
#ifndef MFD_NOEXEC_SEAL
#define MFD_NOEXEC_SEAL 0x0008U
#endif
#ifndef P_PIDFD
#define P_PIDFD 3
#endif

#define RESULT(call)                                                                                                   \
    do {                                                                                                               \
        __typeof__(call) result_ = (call);                                                                             \
        return result_ < 0 ? (__typeof__(result_))(-errno) : result_;                                                  \
    } while (0)

#define RETRIED(call)                                                                                                  \
    do {                                                                                                               \
        __typeof__(call) result_;                                                                                      \
        do {                                                                                                           \
            result_ = (call);                                                                                          \
        } while (result_ < 0 && errno == EINTR);                                                                       \
        return result_ < 0 ? (__typeof__(result_))(-errno) : result_;                                                  \
    } while (0)

// MARK: Descriptors and files

int termspan_open(int directory, const char *path, int flags, mode_t mode) {
    RETRIED(openat(directory, path, flags | O_CLOEXEC, mode));
}

int termspan_open_path(int directory, const char *path) {
    return termspan_open(directory, path, O_PATH | O_NOFOLLOW, 0);
}

int termspan_open_unnamed(const char *folder, mode_t mode) { return termspan_open(AT_FDCWD, folder, O_TMPFILE | O_WRONLY, mode); }

int termspan_open_own_folder(const char *parent, const char *name) {
    int folder = termspan_open(AT_FDCWD, parent, O_PATH | O_DIRECTORY, 0);
    if (folder < 0) return folder;
    // Not openat2(2) with RESOLVE_NO_XDEV: RestrictSUIDSGID= of systemd.exec(5) takes it away.
    int opened = termspan_open_path(folder, name);
    close(folder);
    if (opened < 0) return opened;
    struct statx status;
    int result = opened;
    if (statx(opened, "", AT_EMPTY_PATH | AT_STATX_DONT_SYNC, STATX_TYPE, &status) < 0) result = -errno;
    else if (!(status.stx_attributes_mask & STATX_ATTR_MOUNT_ROOT)) result = -ENOSYS;
    else if (status.stx_attributes & STATX_ATTR_MOUNT_ROOT) result = -EXDEV;
    else if (!S_ISDIR(status.stx_mode)) result = -ENOTDIR;
    if (result < 0) close(opened);
    return result;
}

int termspan_socket_owner(const char *path, uint32_t *uid) {
    struct statx status;
    if (statx(AT_FDCWD, path, AT_SYMLINK_NOFOLLOW | AT_STATX_DONT_SYNC, STATX_TYPE | STATX_UID, &status) < 0) return -errno;
    *uid = status.stx_uid;
    return S_ISSOCK(status.stx_mode) ? 0 : -ENOTSOCK;
}

ssize_t termspan_read(int descriptor, void *buffer, size_t length) { RETRIED(read(descriptor, buffer, length)); }

ssize_t termspan_write(int descriptor, const void *buffer, size_t length) { RETRIED(write(descriptor, buffer, length)); }

int termspan_duplicate(int descriptor) { RESULT(fcntl(descriptor, F_DUPFD_CLOEXEC, 3)); }

int termspan_set_nonblocking(int descriptor, int nonblocking) {
    int flags = fcntl(descriptor, F_GETFL);
    if (flags < 0) return -errno;
    flags = nonblocking ? flags | O_NONBLOCK : flags & ~O_NONBLOCK;
    RESULT(fcntl(descriptor, F_SETFL, flags));
}

static void descriptor_path(char path[32], int descriptor) { snprintf(path, 32, "/proc/self/fd/%d", descriptor); }

int termspan_reopen(int descriptor, int flags) {
    char path[32];
    descriptor_path(path, descriptor);
    return termspan_open(AT_FDCWD, path, flags, 0);
}

static void fill_status(struct termspan_status *status, const struct stat *from) {
    *status = (struct termspan_status){
        .device = from->st_dev,
        .inode = from->st_ino,
        .size = from->st_size,
        .mode = from->st_mode,
        .uid = from->st_uid,
        .gid = from->st_gid,
        .links = (uint32_t)from->st_nlink,
    };
}

int termspan_status(int descriptor, struct termspan_status *status) {
    struct stat from;
    if (fstat(descriptor, &from) < 0) return -errno;
    fill_status(status, &from);
    return 0;
}

int termspan_folder_encryption(const char *path, uint32_t *major_number, uint32_t *minor_number) {
    struct statx status;
    if (statx(AT_FDCWD, path, 0, STATX_BASIC_STATS, &status) < 0) return -errno;
    *major_number = status.stx_dev_major;
    *minor_number = status.stx_dev_minor;
    return (status.stx_attributes & STATX_ATTR_ENCRYPTED) != 0;
}

int termspan_status_at(int directory, const char *path, struct termspan_status *status) {
    struct stat from;
    if (fstatat(directory, path, &from, AT_SYMLINK_NOFOLLOW) < 0) return -errno;
    fill_status(status, &from);
    return 0;
}

// MARK: Memory

const int termspan_seal_seal = F_SEAL_SEAL;
const int termspan_seal_shrink = F_SEAL_SHRINK;
const int termspan_seal_grow = F_SEAL_GROW;
const int termspan_seal_write = F_SEAL_WRITE;
const int termspan_seal_future_write = F_SEAL_FUTURE_WRITE;

int termspan_memfd_create(const char *name) {
    int descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING | MFD_NOEXEC_SEAL);
    // Linux before 6.3 doesn't know the flag.
    if (descriptor < 0 && errno == EINVAL) descriptor = memfd_create(name, MFD_CLOEXEC | MFD_ALLOW_SEALING);
    return descriptor < 0 ? -errno : descriptor;
}

int termspan_add_seals(int descriptor, int seals) { RESULT(fcntl(descriptor, F_ADD_SEALS, seals)); }

int termspan_get_seals(int descriptor) { RESULT(fcntl(descriptor, F_GET_SEALS)); }

int termspan_map_shared(void *address, size_t length, int writable, int fixed, int descriptor, int64_t offset, void **result) {
    int protection = PROT_READ | (writable ? PROT_WRITE : 0);
    void *mapped = mmap(address, length, protection, MAP_SHARED | (fixed ? MAP_FIXED : 0), descriptor, offset);
    if (mapped == MAP_FAILED) return -errno;
    *result = mapped;
    return 0;
}

int termspan_reserve(void *address, size_t length, int fixed, void **result) {
    void *mapped =
        mmap(address, length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE | (fixed ? MAP_FIXED : 0), -1, 0);
    if (mapped == MAP_FAILED) return -errno;
    *result = mapped;
    return 0;
}

int termspan_unmap(void *address, size_t length) { RESULT(munmap(address, length)); }

// MARK: Processes

int termspan_pidfd_open(pid_t pid) { RESULT((int)syscall(SYS_pidfd_open, pid, 0)); }

int termspan_pidfd_send_signal(int pidfd, int signal) { RESULT((int)syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0)); }

int termspan_pidfd_wait(int pidfd, int block, int *code, int *status) {
    siginfo_t info;
    int result;
    do {
        info.si_pid = 0;
        result = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, WEXITED | (block ? 0 : WNOHANG));
    } while (result < 0 && errno == EINTR);
    if (result < 0) return -errno;
    if (info.si_pid == 0) return 0;
    *code = info.si_code;
    *status = info.si_status;
    return 1;
}

int termspan_spawn(const char *path, char *const *arguments, char *const *environment, const int *descriptors, int count, pid_t *pid) {
    posix_spawn_file_actions_t actions;
    posix_spawnattr_t attributes;
    int duplicates[TERMSPAN_MAXIMUM_DESCRIPTORS];
    int made = 0;
    if (count < 0 || count > TERMSPAN_MAXIMUM_DESCRIPTORS) return -EINVAL;
    int error = posix_spawn_file_actions_init(&actions);
    if (error) return -error;
    error = posix_spawnattr_init(&attributes);
    if (error) {
        posix_spawn_file_actions_destroy(&actions);
        return -error;
    }
    sigset_t none, all;
    sigemptyset(&none);
    sigfillset(&all);
    posix_spawnattr_setsigmask(&attributes, &none);
    posix_spawnattr_setsigdefault(&attributes, &all);
    posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF);
    // Moved out of the way first, so that no dup2 overwrites the source of a later one.
    for (int index = 0; index < count && !error; index++) {
        if (descriptors[index] < 0) {
            error = posix_spawn_file_actions_addopen(&actions, index, "/dev/null", O_RDWR, 0);
            continue;
        }
        int duplicate = fcntl(descriptors[index], F_DUPFD_CLOEXEC, TERMSPAN_MAXIMUM_DESCRIPTORS);
        if (duplicate < 0) {
            error = errno;
            break;
        }
        duplicates[made++] = duplicate;
        error = posix_spawn_file_actions_adddup2(&actions, duplicate, index);
    }
    if (!error) error = posix_spawn_file_actions_addclosefrom_np(&actions, count);
    if (!error) error = posix_spawn(pid, path, &actions, &attributes, arguments, environment);
    while (made > 0) close(duplicates[--made]);
    posix_spawnattr_destroy(&attributes);
    posix_spawn_file_actions_destroy(&actions);
    return -error;
}

pid_t termspan_gettid(void) { return (pid_t)syscall(SYS_gettid); }

int termspan_thread_set_effective_uid(uid_t uid) { RESULT((int)syscall(SYS_setresuid, (uid_t)-1, uid, (uid_t)-1)); }

int termspan_thread_set_effective_gid(gid_t gid) { RESULT((int)syscall(SYS_setresgid, (gid_t)-1, gid, (gid_t)-1)); }

int termspan_thread_get_groups(int capacity, gid_t *groups) { RESULT((int)syscall(SYS_getgroups, capacity, groups)); }

int termspan_thread_set_groups(int count, const gid_t *groups) { RESULT((int)syscall(SYS_setgroups, (size_t)count, groups)); }

_Static_assert(sizeof(pthread_t) <= sizeof(uint64_t), "a thread's handle fits");

int termspan_thread_start(const char *name, size_t stack_size, void *(*body)(void *), void *context, uint64_t *thread) {
    pthread_attr_t attributes;
    pthread_t handle;
    sigset_t all, before;
    int error = pthread_attr_init(&attributes);
    if (error) return -error;
    if (stack_size) error = pthread_attr_setstacksize(&attributes, stack_size);
    if (!error) {
        // A thread inherits its creator's mask.
        sigfillset(&all);
        pthread_sigmask(SIG_SETMASK, &all, &before);
        error = pthread_create(&handle, &attributes, body, context);
        pthread_sigmask(SIG_SETMASK, &before, NULL);
    }
    pthread_attr_destroy(&attributes);
    if (error) return -error;
    char shortened[16];
    snprintf(shortened, sizeof shortened, "%s", name);
    pthread_setname_np(handle, shortened);
    *thread = (uint64_t)handle;
    return 0;
}

int termspan_thread_join(uint64_t thread) { return -pthread_join((pthread_t)thread, NULL); }

int termspan_thread_detach(uint64_t thread) { return -pthread_detach((pthread_t)thread); }

const char *termspan_error_text(int code) {
    const char *text = strerrordesc_np(code);
    return text ? text : "Unknown error";
}

// MARK: Waiting

int termspan_eventfd(void) { RESULT(eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK)); }

int termspan_epoll_create(void) { RESULT(epoll_create1(EPOLL_CLOEXEC)); }

int termspan_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t token) {
    struct epoll_event event = {.events = events, .data.u64 = token};
    RESULT(epoll_ctl(epoll, operation, descriptor, &event));
}

int termspan_epoll_wait(int epoll, struct termspan_epoll_event *events, int capacity, int timeout_ms) {
    struct epoll_event ready[64];
    int count = epoll_wait(epoll, ready, capacity < 64 ? capacity : 64, timeout_ms);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    for (int index = 0; index < count; index++)
        events[index] = (struct termspan_epoll_event){.events = ready[index].events, .token = ready[index].data.u64};
    return count;
}

int termspan_poll(int descriptor, short events, int timeout_ms) {
    struct pollfd entry = {.fd = descriptor, .events = events};
    int count = poll(&entry, 1, timeout_ms);
    if (count < 0) return errno == EINTR ? 0 : -errno;
    return count == 0 ? 0 : entry.revents;
}

// MARK: Sockets

int termspan_peer_credentials(int descriptor, struct termspan_credentials *credentials) {
    struct ucred peer;
    socklen_t length = sizeof peer;
    if (getsockopt(descriptor, SOL_SOCKET, SO_PEERCRED, &peer, &length) < 0) return -errno;
    *credentials = (struct termspan_credentials){.pid = peer.pid, .uid = peer.uid, .gid = peer.gid};
    return 0;
}

int termspan_seqpacket_pair(int nonblocking, int *first, int *second) {
    int pair[2];
    int type = SOCK_SEQPACKET | SOCK_CLOEXEC | (nonblocking ? SOCK_NONBLOCK : 0);
    if (socketpair(AF_UNIX, type, 0, pair) < 0) return -errno;
    *first = pair[0];
    *second = pair[1];
    return 0;
}

int termspan_unix_stream_socket(void) { RESULT(socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0)); }

int termspan_connect_by_descriptor(int socket, int path_descriptor) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    // connect(2) follows symlinks, so the path could change after the check; the magic link leads to the very file that was checked.
    snprintf(address.sun_path, sizeof address.sun_path, "/proc/self/fd/%d", path_descriptor);
    RETRIED(connect(socket, (struct sockaddr *)&address, sizeof address));
}

ssize_t termspan_send(int socket, const void *data, size_t length, const int *descriptors, int count) {
    if (count < 0 || count > TERMSPAN_MAXIMUM_DESCRIPTORS) return -EINVAL;
    // Whoever has no descriptors to send need not be allowed sendmsg(2), which can.
    if (count == 0) RETRIED(send(socket, data, length, MSG_NOSIGNAL));
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(TERMSPAN_MAXIMUM_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec vector = {.iov_base = (void *)data, .iov_len = length};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    memset(&control, 0, sizeof control);
    message.msg_control = control.bytes;
    message.msg_controllen = CMSG_SPACE((size_t)count * sizeof(int));
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    header->cmsg_level = SOL_SOCKET;
    header->cmsg_type = SCM_RIGHTS;
    header->cmsg_len = CMSG_LEN((size_t)count * sizeof(int));
    memcpy(CMSG_DATA(header), descriptors, (size_t)count * sizeof(int));
    RETRIED(sendmsg(socket, &message, MSG_NOSIGNAL));
}

ssize_t termspan_receive(int socket, void *data, size_t capacity, int room, int *descriptors, int *count, int *truncated) {
    union {
        struct cmsghdr header;
        char bytes[CMSG_SPACE(TERMSPAN_MAXIMUM_DESCRIPTORS * sizeof(int))];
    } control;
    struct iovec vector = {.iov_base = data, .iov_len = capacity};
    struct msghdr message = {.msg_iov = &vector, .msg_iovlen = 1};
    if (room > 0) {
        message.msg_control = control.bytes;
        message.msg_controllen = sizeof control.bytes;
    }
    ssize_t received;
    *count = 0;
    *truncated = 0;
    do {
        received = recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    } while (received < 0 && errno == EINTR);
    if (received < 0) return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET || header->cmsg_type != SCM_RIGHTS) continue;
        size_t number = (header->cmsg_len - CMSG_LEN(0)) / sizeof(int);
        for (size_t index = 0; index < number; index++) {
            int descriptor;
            memcpy(&descriptor, CMSG_DATA(header) + index * sizeof(int), sizeof descriptor);
            if (*count < TERMSPAN_MAXIMUM_DESCRIPTORS)
                descriptors[(*count)++] = descriptor;
            else {
                // Room is for 8, but alignment can let the kernel pass one more.
                close(descriptor);
                *truncated = 1;
            }
        }
    }
    if (message.msg_flags & (MSG_TRUNC | MSG_CTRUNC)) *truncated = 1;
    return received;
}

// MARK: Clocks

static int64_t nanoseconds(clockid_t clock) {
    struct timespec now;
    clock_gettime(clock, &now);
    return (int64_t)now.tv_sec * 1000000000 + now.tv_nsec;
}

uint64_t termspan_boot_nanoseconds(void) { return (uint64_t)nanoseconds(CLOCK_BOOTTIME); }

int64_t termspan_wall_nanoseconds(void) { return nanoseconds(CLOCK_REALTIME); }

uint64_t termspan_monotonic_nanoseconds(void) { return (uint64_t)nanoseconds(CLOCK_MONOTONIC); }

void termspan_sleep_nanoseconds(uint64_t duration) {
    struct timespec left = {.tv_sec = (time_t)(duration / 1000000000), .tv_nsec = (long)(duration % 1000000000)};
    while (nanosleep(&left, &left) < 0 && errno == EINTR) {
    }
}

// MARK: The ring

_Static_assert(offsetof(struct termspan_lane_control, version_major) == 8, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, version_minor) == 10, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, slot_size) == 12, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, slots) == 16, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, lane) == 20, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, generation) == 24, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, first_sequence) == 32, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, features) == 40, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, head) == 128, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, arm_epoch) == 256, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, last_epoch) == 260, "beside the epoch");
_Static_assert(offsetof(struct termspan_lane_control, checkpoint) == 384, "RING.md");
_Static_assert(offsetof(struct termspan_lane_control, marks) == 448, "two marks, a half cache line each");
_Static_assert(sizeof(struct termspan_lane_control) <= TERMSPAN_CONTROL_SIZE, "one page");
_Static_assert(offsetof(struct termspan_lane_events, attempted) == 0, "RING.md");
_Static_assert(offsetof(struct termspan_lane_events, state) == 64, "RING.md");
_Static_assert((TERMSPAN_SLOT_COUNT & (TERMSPAN_SLOT_COUNT - 1)) == 0, "positions are masked");

// The payload needs no order of its own, only that each word is read once: relaxed atomics. Under the thread sanitizer the copies are
// plain, so that it proves that the commit and the head order them.
#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define LOAD(from) (*(from))
#define STORE(to, value) (*(to) = (value))
#endif
#endif
#ifndef LOAD
#define LOAD(from) __atomic_load_n((from), __ATOMIC_RELAXED)
#define STORE(to, value) __atomic_store_n((to), (value), __ATOMIC_RELAXED)
#endif

void termspan_slot_load(uint64_t *into, const void *slot) {
    const uint64_t *words = slot;
    for (int index = 1; index < TERMSPAN_SLOT_SIZE / 8; index++) into[index] = LOAD(words + index);
}

// `length` bytes, less than eight, without a call for so few of them.
static inline uint64_t last_word(const unsigned char *source, size_t length) {
    uint64_t word = 0;
    unsigned char *into = (unsigned char *)&word;
    for (size_t part = 4; part > 0; part /= 2) {
        if (!(length & part)) continue;
        memcpy(into, source, part);
        into += part;
        source += part;
    }
    return word;
}

static inline void store_words(uint64_t *target, const unsigned char *source, size_t length, size_t words) {
    size_t whole = length / 8;
    size_t index = 0;
    for (; index < whole; index++) {
        uint64_t word;
        memcpy(&word, source + 8 * index, 8);
        STORE(target + index, word);
    }
    if (index < words) {
        STORE(target + index, last_word(source + 8 * index, length % 8));
        index++;
    }
    for (; index < words; index++) STORE(target + index, 0);
}

void termspan_slot_store(void *slot, uint64_t time, uint64_t attempted_at, const void *from, size_t length) {
    uint64_t *target = slot;
    STORE(target + 1, time);
    STORE(target + 2, attempted_at);
    if (length == TERMSPAN_SLOT_SIZE - 24)
        store_words(target + 3, from, TERMSPAN_SLOT_SIZE - 24, TERMSPAN_SLOT_SIZE / 8 - 3);
    else
        store_words(target + 3, from, length, TERMSPAN_SLOT_SIZE / 8 - 3);
}

void termspan_words_store(void *to, const void *from, size_t length, size_t words) { store_words(to, from, length, words); }

int termspan_read_at(int descriptor, void *into, size_t length, int64_t offset) {
    ssize_t count;
    do {
        count = pread(descriptor, into, length, offset);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : (size_t)count == length ? 0 : -EIO;
}

int termspan_write_at(int descriptor, const void *from, size_t length, int64_t offset) {
    ssize_t count;
    do {
        count = pwrite(descriptor, from, length, offset);
    } while (count < 0 && errno == EINTR);
    return count < 0 ? -errno : (size_t)count == length ? 0 : -EIO;
}

int termspan_clock_step_create(void) {
    int descriptor = timerfd_create(CLOCK_REALTIME, TFD_CLOEXEC | TFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

int termspan_clock_step_arm(int descriptor) {
    // In 292 years, far below what the kernel's own arithmetic bears.
    struct itimerspec never = {.it_value = {.tv_sec = INT64_MAX / 1000000000}};
    return timerfd_settime(descriptor, TFD_TIMER_ABSTIME | TFD_TIMER_CANCEL_ON_SET, &never, NULL) < 0 ? -errno : 0;
}

int termspan_set_attribute(const char *path, const char *name, const void *value, size_t size) {
    return setxattr(path, name, value, size, 0) == 0 ? 0 : -errno;
}

int termspan_alarm_create(void) {
    int descriptor = timerfd_create(CLOCK_MONOTONIC, TFD_CLOEXEC | TFD_NONBLOCK);
    return descriptor < 0 ? -errno : descriptor;
}

int termspan_alarm_arm(int descriptor, uint64_t nanoseconds) {
    struct itimerspec once = {.it_value = {.tv_sec = nanoseconds / 1000000000, .tv_nsec = nanoseconds % 1000000000}};
    return timerfd_settime(descriptor, 0, &once, NULL) < 0 ? -errno : 0;
}

void termspan_keep_freed(int bytes) {
    mallopt(M_MMAP_THRESHOLD, bytes / 2);
    mallopt(M_TRIM_THRESHOLD, bytes);
}
