// System calls and memory accesses that Glibc's module lacks or that Swift can't express. Every symbol is prefixed termspan_.
//
// A call returns what the manual page says, or the negated errno: errno itself is never read from Swift, since the
// compiler may place a call of the runtime between the system call and the reading.
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

// MARK: Descriptors and files

/// open(2) relative to a folder; EINTR is retried. O_CLOEXEC is added.
int termspan_open(int directory, const char *_Nonnull path, int flags, mode_t mode);
/// Opens a path only as a name for what is there (O_PATH), not following a link at its end.
int termspan_open_path(int directory, const char *_Nonnull path);
/// Opens a file for writing that has no name in its folder yet (O_TMPFILE).
int termspan_open_unnamed(const char *_Nonnull folder, mode_t mode);
/// Opens a folder in another one, as a name for what is there (O_PATH); -EXDEV where something is mounted over it,
/// which is not asked anything; -ENOTDIR for a link.
int termspan_open_own_folder(const char *_Nonnull parent, const char *_Nonnull name);
/// Who owns a socket file, no link followed; -ENOTSOCK if it is none. A file system that answers late is not asked (AT_STATX_DONT_SYNC).
int termspan_socket_owner(const char *_Nonnull path, uint32_t *_Nonnull uid);
/// read(2); EINTR is retried.
ssize_t termspan_read(int descriptor, void *_Nonnull buffer, size_t length);
/// write(2); EINTR is retried. SIGPIPE is the caller's concern.
ssize_t termspan_write(int descriptor, const void *_Nonnull buffer, size_t length);
/// fcntl(2) F_DUPFD_CLOEXEC.
int termspan_duplicate(int descriptor);
/// fcntl(2) F_SETFL with O_NONBLOCK set or cleared.
int termspan_set_nonblocking(int descriptor, int nonblocking);
/// Opens the file behind a descriptor again, with other access (through /proc/self/fd).
int termspan_reopen(int descriptor, int flags);

/// The few fields of stat(2) that are asked for.
struct termspan_status {
    uint64_t device;
    uint64_t inode;
    int64_t size;
    uint32_t mode;
    uint32_t uid;
    uint32_t gid;
    uint32_t links;
};
/// fstat(2), which also takes O_PATH descriptors.
int termspan_status(int descriptor, struct termspan_status *_Nonnull status);
/// fstatat(2) with AT_SYMLINK_NOFOLLOW.
int termspan_status_at(int directory, const char *_Nonnull path, struct termspan_status *_Nonnull status);
/// The number of the device that a folder is on (stat(2)); 1 where the file system encrypts what is in it (statx(2)), else 0.
int termspan_folder_encryption(const char *_Nonnull path, uint32_t *_Nonnull major, uint32_t *_Nonnull minor);

// MARK: Memory

/// memfd_create(2), close-on-exec, sealable and, where the kernel can (6.3), never executable.
int termspan_memfd_create(const char *_Nonnull name);
/// fcntl(2) F_ADD_SEALS and F_GET_SEALS.
int termspan_add_seals(int descriptor, int seals);
int termspan_get_seals(int descriptor);
extern const int termspan_seal_seal, termspan_seal_shrink, termspan_seal_grow, termspan_seal_write, termspan_seal_future_write;
/// mmap(2), MAP_SHARED. With `fixed` the mapping replaces what is at `address` (MAP_FIXED). Returns 0 or the negated errno.
int termspan_map_shared(void *_Nullable address, size_t length, int writable, int fixed, int descriptor, int64_t offset,
                        void *_Nullable *_Nonnull result);
/// Reserves addresses without memory (PROT_NONE, MAP_NORESERVE), or gives a part of a reservation back to that state.
int termspan_reserve(void *_Nullable address, size_t length, int fixed, void *_Nullable *_Nonnull result);
/// munmap(2).
int termspan_unmap(void *_Nonnull address, size_t length);

// MARK: Processes

/// pidfd_open(2).
int termspan_pidfd_open(pid_t pid);
/// pidfd_send_signal(2); signal 0 only asks whether the process is there.
int termspan_pidfd_send_signal(int pidfd, int signal);
/// waitid(2) for a child by its pidfd, without blocking if `block` is 0. 1: ended, with `code` (CLD_...) and `status`; 0: still running.
int termspan_pidfd_wait(int pidfd, int block, int *_Nonnull code, int *_Nonnull status);
/// posix_spawn(3) with empty signal mask and default signals; `descriptors[i]` becomes descriptor `i` of the child, -1 means /dev/null.
int termspan_spawn(const char *_Nonnull path, char *_Nullable const *_Nonnull arguments, char *_Nullable const *_Nonnull environment,
                   const int *_Nonnull descriptors, int count, pid_t *_Nonnull pid);
/// gettid(2).
pid_t termspan_gettid(void);
/// Effective ids and supplementary groups of the calling thread only: the raw system calls, since glibc's wrappers change every thread.
/// An id of (uid_t)-1 leaves that one as it is.
int termspan_thread_set_effective_uid(uid_t uid);
int termspan_thread_set_effective_gid(gid_t gid);
int termspan_thread_get_groups(int capacity, gid_t *_Nullable groups);
int termspan_thread_set_groups(int count, const gid_t *_Nullable groups);
/// A thread of its own with all signals blocked (the loop's thread alone takes signals).
int termspan_thread_start(const char *_Nonnull name, size_t stack_size, void *_Nullable (*_Nonnull body)(void *_Nullable),
                          void *_Nullable context, uint64_t *_Nonnull thread);
int termspan_thread_join(uint64_t thread);
/// Lets a thread go on by itself.
int termspan_thread_detach(uint64_t thread);
/// What strerrordesc_np(3) says of an errno; never null, no locale, thread-safe.
const char *_Nonnull termspan_error_text(int code);

// MARK: Waiting

int termspan_eventfd(void);
int termspan_epoll_create(void);
/// One event of epoll_wait(2), without the packing of the kernel's struct.
struct termspan_epoll_event {
    uint32_t events;
    uint32_t reserved;
    uint64_t token;
};
int termspan_epoll_control(int epoll, int operation, int descriptor, uint32_t events, uint64_t token);
/// epoll_wait(2) of at most 64 events; EINTR is 'no event'.
int termspan_epoll_wait(int epoll, struct termspan_epoll_event *_Nonnull events, int capacity, int timeout_ms);
/// poll(2) for one descriptor; EINTR is 'no event'.
int termspan_poll(int descriptor, short events, int timeout_ms);

// MARK: Sockets

struct termspan_credentials {
    pid_t pid;
    uid_t uid;
    gid_t gid;
};
/// SO_PEERCRED (unix(7)): who called connect, or listen for the other side.
int termspan_peer_credentials(int descriptor, struct termspan_credentials *_Nonnull credentials);
/// socketpair(2), AF_UNIX, SOCK_SEQPACKET, close-on-exec.
int termspan_seqpacket_pair(int nonblocking, int *_Nonnull first, int *_Nonnull second);
/// A non-blocking AF_UNIX SOCK_STREAM socket.
int termspan_unix_stream_socket(void);
/// connect(2) to the socket file that an O_PATH descriptor stands for, through /proc/self/fd.
int termspan_connect_by_descriptor(int socket, int path_descriptor);

enum { TERMSPAN_MAXIMUM_DESCRIPTORS = 8 };
/// sendmsg(2) with MSG_NOSIGNAL and up to 8 descriptors; send(2) without.
ssize_t termspan_send(int socket, const void *_Nullable data, size_t length, const int *_Nullable descriptors, int count);
/// recvmsg(2) with MSG_CMSG_CLOEXEC. `descriptors` has room for 8; with a `room` of 0 none is taken at all. `truncated` tells that data or
/// descriptors did not fit: the descriptors that came are still the caller's to close.
ssize_t termspan_receive(int socket, void *_Nonnull data, size_t capacity, int room, int *_Nonnull descriptors, int *_Nonnull count,
                         int *_Nonnull truncated);

// MARK: Clocks

/// Nanoseconds of CLOCK_BOOTTIME, CLOCK_REALTIME, CLOCK_MONOTONIC (all in the vDSO).
uint64_t termspan_boot_nanoseconds(void);
int64_t termspan_wall_nanoseconds(void);
uint64_t termspan_monotonic_nanoseconds(void);
/// nanosleep(2), to its end.
void termspan_sleep_nanoseconds(uint64_t nanoseconds);

// MARK: The ring: lanes in shared memory

enum {
    TERMSPAN_PAGE = 4096,
    TERMSPAN_SLOT_SIZE = 64,
    TERMSPAN_SLOT_COUNT = 1024,
    TERMSPAN_CONTROL_SIZE = TERMSPAN_PAGE,
    TERMSPAN_EVENTS_SIZE = TERMSPAN_PAGE + TERMSPAN_SLOT_SIZE * TERMSPAN_SLOT_COUNT,
};

/// What a checkpoint made durable, kept twice by turns: the one whose head is the acknowledged head counts.
struct termspan_lane_mark {
    uint64_t head;
    uint64_t attempted_at;
    uint64_t delivered;
    uint64_t time;
};

/// `control`: the collector writes, the producer reads. Each part that is written on its own has its own pair of cache lines.
struct termspan_lane_control {
    uint64_t magic;
    uint16_t version_major;
    uint16_t version_minor;
    uint32_t slot_size;
    uint32_t slots;
    uint32_t lane;
    uint64_t generation;
    uint64_t first_sequence;
    uint64_t features;
    uint8_t padding_0[80];
    uint64_t head;
    uint8_t padding_1[120];
    uint32_t arm_epoch;
    /// The last epoch that was given out: a collector that starts again must not give it out a second time.
    uint32_t last_epoch;
    uint8_t padding_2[120];
    uint64_t checkpoint;
    uint8_t padding_3[56];
    struct termspan_lane_mark marks[2];
};

/// The first page of `events`: the producer writes.
struct termspan_lane_events {
    uint64_t attempted;
    uint8_t padding_0[56];
    uint32_t state;
};

/// Copies words 1 to 7 of a slot out of shared memory, each read once and 8 bytes whole, whatever another process writes meanwhile.
void termspan_slot_load(uint64_t *_Nonnull into, const void *_Nonnull slot);
/// Writes words 1 to 7 of an event's first slot in shared memory: time, number and at most 40 bytes; what is left of them becomes 0.
void termspan_slot_store(void *_Nonnull slot, uint64_t time, uint64_t attempted_at, const void *_Nullable from, size_t length);
/// Copies `length` bytes, at most 8 for each, into `words` words of shared memory; what is left of them becomes 0.
void termspan_words_store(void *_Nonnull to, const void *_Nullable from, size_t length, size_t words);
/// pread(2) and pwrite(2) of exactly `length` bytes: 0, -EIO or the negated errno.
int termspan_read_at(int descriptor, void *_Nonnull into, size_t length, int64_t offset);
int termspan_write_at(int descriptor, const void *_Nonnull from, size_t length, int64_t offset);

/// setxattr(2): 0 or the negated errno.
int termspan_set_attribute(const char *_Nonnull path, const char *_Nonnull name, const void *_Nonnull value, size_t size);

/// timerfd_create(2) of CLOCK_REALTIME and its arming to a time that never comes, cancelled when the clock is set: 0 or the negated errno.
int termspan_clock_step_create(void);
int termspan_clock_step_arm(int descriptor);

/// timerfd_create(2) of CLOCK_MONOTONIC, and its arming to go off once; 0 nanoseconds disarm it. 0 or the negated errno.
int termspan_alarm_create(void);
int termspan_alarm_arm(int descriptor, uint64_t nanoseconds);

/// mallopt(3): up to so many bytes of freed memory stay with each arena, of which threads have their own, and less than half of that is never mapped for itself.
void termspan_keep_freed(int bytes);
