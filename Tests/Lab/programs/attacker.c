// Takes the place of a probe and tries one thing that a probe must not be able to do.
//
// usage: attacker ATTEMPT [ARGUMENT]    exit status: 0 it worked, 1 to 133 the errno that refused it, 250 no such attempt
//        attacker list                  the attempts, one a line, with what their argument is
//        attacker wait                  sleeps for ever, to be attacked
//
// Only the kernel's answer counts, so the calls are raw: the C library has opinions of its own. Linked statically, as a probe is.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/futex.h>
#include <linux/netlink.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <sys/un.h>
#include <unistd.h>

static const char *argument = "";
static char victims_memory[64] = "what a victim has in its memory";

static long pid(void) { return atol(argument); }
static long of(long result) { return result < 0 ? -1 : 0; }

// The network.
static long inet(void) { return of(syscall(__NR_socket, AF_INET, SOCK_STREAM, 0)); }
static long inet6(void) { return of(syscall(__NR_socket, AF_INET6, SOCK_DGRAM, 0)); }
static long unix_socket(void) { return of(syscall(__NR_socket, AF_UNIX, SOCK_STREAM, 0)); }
static long netlink(void) { return of(syscall(__NR_socket, AF_NETLINK, SOCK_RAW, NETLINK_ROUTE)); }
static long raw_packets(void) { return of(syscall(__NR_socket, AF_PACKET, SOCK_DGRAM, 0)); }
static long socket_pair(void) {
    int pair[2];
    return of(syscall(__NR_socketpair, AF_UNIX, SOCK_STREAM, 0, pair));
}

// Files.
static long open_to_read(void) { return of(syscall(__NR_openat, AT_FDCWD, argument, O_RDONLY | O_NONBLOCK)); }
static long open_to_write(void) { return of(syscall(__NR_openat, AT_FDCWD, argument, O_RDWR | O_NONBLOCK)); }
static long write_new(void) {
    signal(SIGXFSZ, SIG_IGN);
    long file = syscall(__NR_openat, AT_FDCWD, argument, O_WRONLY | O_CREAT, 0600);
    return file < 0 ? -1 : of(syscall(__NR_write, file, "x", 1));
}
static long list_folder(void) {
    char entries[1024];
    long folder = syscall(__NR_openat, AT_FDCWD, argument, O_RDONLY | O_DIRECTORY);
    return folder < 0 ? -1 : of(syscall(__NR_getdents64, folder, entries, sizeof entries));
}
static long unlink_file(void) { return of(syscall(__NR_unlinkat, AT_FDCWD, argument, 0)); }
static long memory_file(void) { return of(syscall(__NR_memfd_create, "x", 0)); }
static long many_descriptors(void) {
    for (int count = 0; count < 80; count++) {
        if (syscall(__NR_fcntl, 1, F_DUPFD, 0) < 0) return -1;
    }
    return 0;
}

// Processes of its own.
static long fork_process(void) {
    long child = syscall(__NR_clone, SIGCHLD, 0, 0, 0, 0);
    if (child == 0) syscall(__NR_exit_group, 0);
    return of(child);
}
static int thread_body(void *nothing) {
    (void)nothing;
    syscall(__NR_exit, 0);
    return 0;
}
static char thread_stack[65536] __attribute__((aligned(16)));
static long thread(void) {
    return of(clone(thread_body, thread_stack + sizeof thread_stack, CLONE_VM | CLONE_FS | CLONE_FILES | CLONE_SIGHAND | CLONE_THREAD | CLONE_SYSVSEM, NULL));
}
static long execute(void) {
    char *const arguments[] = {"true", NULL}, *const none[] = {NULL};
    return syscall(__NR_execve, argument, arguments, none);
}

// Another probe, or anybody else.
static long trace(void) { return of(syscall(__NR_ptrace, PTRACE_ATTACH, pid(), 0, 0)); }
static long seize(void) { return of(syscall(__NR_ptrace, PTRACE_SEIZE, pid(), 0, 0)); }
static long read_memory(void) {
    char bytes[8];
    struct iovec here = {bytes, sizeof bytes}, there = {victims_memory, sizeof bytes};
    return of(syscall(__NR_process_vm_readv, pid(), &here, 1, &there, 1, 0));
}
static long write_memory(void) {
    struct iovec here = {"owned!!", 8}, there = {victims_memory, 8};
    return of(syscall(__NR_process_vm_writev, pid(), &here, 1, &there, 1, 0));
}
static long signal_process(void) { return of(syscall(__NR_kill, pid(), 0)); }
static long signal_thread(void) { return of(syscall(__NR_tkill, pid(), 0)); }
static long signal_group_thread(void) { return of(syscall(__NR_tgkill, pid(), pid(), 0)); }
static long kill_process(void) { return of(syscall(__NR_tgkill, pid(), pid(), SIGKILL)); }
static long pid_descriptor(void) { return of(syscall(__NR_pidfd_open, pid(), 0)); }
static long limits_of_others(void) {
    struct rlimit limit = {0, 0};
    return of(syscall(__NR_prlimit64, pid(), RLIMIT_FSIZE, &limit, NULL));
}
static long look_at_limits(void) {
    struct rlimit limit;
    return of(syscall(__NR_prlimit64, pid(), RLIMIT_FSIZE, NULL, &limit));
}
static long pin_others(void) {
    unsigned long set = 1;
    return of(syscall(__NR_sched_setaffinity, pid(), sizeof set, &set));
}
static long processors_of_others(void) {
    unsigned long set[16];
    return of(syscall(__NR_sched_getaffinity, pid(), sizeof set, set));
}

// Code that was not there before.
static long writable_code(void) {
    return syscall(__NR_mmap, 0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0) == -1 ? -1 : 0;
}
static long code_from_data(void) {
    long place = syscall(__NR_mmap, 0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    return place == -1 ? -1 : of(syscall(__NR_mprotect, place, 4096, PROT_READ | PROT_EXEC));
}

// More rights, or another view of the machine.
static long user_namespace(void) { return of(syscall(__NR_unshare, CLONE_NEWUSER)); }
static long network_namespace(void) { return of(syscall(__NR_unshare, CLONE_NEWNET)); }
static long mount_something(void) { return of(syscall(__NR_mount, "x", "/mnt", "tmpfs", 0, 0)); }
static long change_root(void) { return of(syscall(__NR_chroot, "/")); }
static long become_root(void) { return of(syscall(__NR_setresuid, 0, 0, 0)); }
static long become_other(void) { return of(syscall(__NR_setresuid, -1, 2001, -1)); }
static long more_descriptors(void) {
    struct rlimit limit;
    if (syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, NULL, &limit) < 0) return -1;
    // Outside of the sandbox there is room; where the limit is the hard one, this asks for more.
    limit.rlim_cur = limit.rlim_max = limit.rlim_max > 4096 ? limit.rlim_max - 1 : limit.rlim_max + 1;
    return of(syscall(__NR_prlimit64, 0, RLIMIT_NOFILE, &limit, NULL));
}
static long larger_files(void) {
    struct rlimit limit = {4096, 4096};
    return of(syscall(__NR_prlimit64, 0, RLIMIT_FSIZE, &limit, NULL));
}
static long personality(void) { return of(syscall(__NR_personality, 0x0040000)); }
static long shared_memory(void) { return of(syscall(__NR_shmget, 0, 4096, 0600)); }
static long watch_files(void) { return of(syscall(__NR_inotify_init1, 0)); }
static long accept_traces(void) { return of(syscall(__NR_ptrace, PTRACE_TRACEME, 0, 0, 0)); }
#if defined(__x86_64__)
static long foreign_calls(void) {
    long result;
    __asm__ volatile("int $0x80" : "=a"(result) : "a"(20L) : "memory", "r8", "r9", "r10", "r11");
    if (result < 0) errno = (int)-result;
    return of(result);
}
#endif

static const struct {
    const char *name, *argument;
    long (*call)(void);
} attempts[] = {
    {"inet", "", inet}, {"inet6", "", inet6}, {"unix", "", unix_socket}, {"netlink", "", netlink}, {"packets", "", raw_packets},
    {"socketpair", "", socket_pair},
    {"read-file", "PATH", open_to_read}, {"change-file", "PATH", open_to_write}, {"write-new", "NEW", write_new},
    {"list-folder", "FOLDER", list_folder}, {"unlink", "FILE", unlink_file}, {"memory-file", "", memory_file},
    {"many-descriptors", "", many_descriptors},
    {"fork", "", fork_process}, {"thread", "", thread}, {"execute", "PROGRAM", execute},
    {"trace", "PID", trace}, {"seize", "PID", seize}, {"read-memory", "PID", read_memory}, {"write-memory", "PID", write_memory},
    {"signal-process", "PID", signal_process}, {"signal-thread", "PID", signal_thread}, {"signal-group-thread", "PID", signal_group_thread},
    {"kill-process", "PID", kill_process}, {"pid-descriptor", "PID", pid_descriptor}, {"limit-others", "PID", limits_of_others},
    {"limits-of-others", "PID", look_at_limits}, {"pin-others", "PID", pin_others},
    {"writable-code", "", writable_code}, {"code-from-data", "", code_from_data},
    {"user-namespace", "", user_namespace}, {"network-namespace", "", network_namespace}, {"mount", "", mount_something},
    {"chroot", "", change_root}, {"become-root", "", become_root}, {"become-other", "", become_other},
    {"more-descriptors", "", more_descriptors}, {"larger-files", "", larger_files}, {"personality", "", personality},
    {"shared-memory", "", shared_memory}, {"watch-files", "", watch_files}, {"accept-traces", "", accept_traces},
#if defined(__x86_64__)
    {"foreign-calls", "", foreign_calls},
#endif
    // What is not forbidden, to show that an attempt can work inside too.
    {"processors-of-others", "ALLOWED", processors_of_others},
};

int main(int count, char **arguments) {
    if (count < 2) return 250;
    if (count > 2) argument = arguments[2];
    if (strcmp(arguments[1], "wait") == 0) {
        for (;;) poll(NULL, 0, -1);
    }
    for (size_t index = 0; index < sizeof attempts / sizeof attempts[0]; index++) {
        if (strcmp(arguments[1], "list") == 0) printf("%s %s\n", attempts[index].name, attempts[index].argument);
        if (strcmp(arguments[1], attempts[index].name) != 0) continue;
        errno = 0;
        return attempts[index].call() == 0 ? 0 : errno;
    }
    return strcmp(arguments[1], "list") == 0 ? 0 : 250;
}
