#define _GNU_SOURCE
#include "CTermspanProbe.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <unistd.h>

#if defined(__x86_64__)
#define TERMSPAN_AUDIT_ARCH AUDIT_ARCH_X86_64
// Numbers of the x32 interface have this bit; they would pass by the filter's comparisons as other calls.
#define TERMSPAN_FOREIGN_BIT 0x40000000u
#elif defined(__aarch64__)
#define TERMSPAN_AUDIT_ARCH AUDIT_ARCH_AARCH64
#define TERMSPAN_FOREIGN_BIT 0x80000000u
#else
#error "the probe's system-call filter knows x86-64 and arm64 only"
#endif

#define LOAD(field) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, field))
// Arguments are 64 bits, little-endian on both architectures: the low half comes first. All that are looked at are ints.
#define LOAD_ARGUMENT(index) BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[index]))
#define RETURN(action) BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_##action)
#define ALLOW(call) BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_##call, 0, 1), RETURN(ALLOW)

int termspan_probe_confine(int control) {
    struct sock_filter filter[] = {
        LOAD(arch),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, TERMSPAN_AUDIT_ARCH, 1, 0),
        RETURN(KILL_PROCESS),
        LOAD(nr),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, TERMSPAN_FOREIGN_BIT, 0, 1),
        RETURN(KILL_PROCESS),

        // Often first.
#ifdef __NR_poll
        ALLOW(poll),
#endif
        ALLOW(ppoll),
        ALLOW(recvmsg),
        ALLOW(recvfrom),
        ALLOW(writev),
        ALLOW(write),
        ALLOW(read),
        ALLOW(clock_gettime),
        ALLOW(futex),
        ALLOW(brk),
        ALLOW(munmap),
        ALLOW(mremap),
        ALLOW(madvise),
        ALLOW(close),
        ALLOW(exit_group),
        ALLOW(rt_sigreturn),
        // libxcb ends a connection with it.
        ALLOW(shutdown),
        // poll(2) with a timeout goes on as this after a stop and a continue.
        ALLOW(restart_syscall),
        // abort(3) says who ended.
        ALLOW(rt_sigprocmask),
        ALLOW(getpid),
        ALLOW(gettid),
        ALLOW(tgkill),

        // sendto: on the control channel only. Not sendmsg, which could pass on descriptors that the X server sent.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_sendto, 0, 4),
        LOAD_ARGUMENT(0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)control, 0, 1),
        RETURN(ALLOW),
        RETURN(KILL_PROCESS),

        // mmap: private memory of no file, never executable.
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, __NR_mmap, 0, 6),
        LOAD_ARGUMENT(2),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, PROT_EXEC, 3, 0),
        LOAD_ARGUMENT(3),
        BPF_JUMP(BPF_JMP | BPF_JSET | BPF_K, MAP_ANONYMOUS, 0, 1),
        RETURN(ALLOW),
        RETURN(KILL_PROCESS),

        RETURN(KILL_PROCESS),
    };
    struct sock_fprog program = {sizeof filter / sizeof filter[0], filter};

    // Units have it already (NoNewPrivileges=); elsewhere the kernel asks for it, unless the process is root.
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0) return errno;
    if (syscall(__NR_seccomp, SECCOMP_SET_MODE_FILTER, SECCOMP_FILTER_FLAG_TSYNC, &program) != 0) return errno;
    return 0;
}

static int guard_control;
static uint8_t guard_message[2];
static int guard_code;

static void guard_expired(int signal) {
    (void)signal;
    send(guard_control, guard_message, sizeof guard_message, MSG_NOSIGNAL | MSG_DONTWAIT);
    _exit(guard_code);
}

int termspan_probe_guard_begin(int milliseconds, int control, uint8_t first, uint8_t second, int code) {
    guard_control = control;
    guard_message[0] = first;
    guard_message[1] = second;
    guard_code = code;
    struct sigaction action = {.sa_handler = guard_expired};
    if (sigaction(SIGALRM, &action, NULL) != 0) return errno;
    // systemd leaves no signal blocked, but another parent may.
    sigset_t alarm_set;
    sigemptyset(&alarm_set);
    sigaddset(&alarm_set, SIGALRM);
    if (sigprocmask(SIG_UNBLOCK, &alarm_set, NULL) != 0) return errno;
    struct itimerval timer = {.it_value = {milliseconds / 1000, milliseconds % 1000 * 1000}};
    return setitimer(ITIMER_REAL, &timer, NULL) == 0 ? 0 : errno;
}

void termspan_probe_guard_end(void) {
    struct itimerval timer = {{0, 0}, {0, 0}};
    setitimer(ITIMER_REAL, &timer, NULL);
}

void termspan_probe_ignore_broken_pipes(void) {
    struct sigaction action = {.sa_handler = SIG_IGN};
    sigaction(SIGPIPE, &action, NULL);
}

int termspan_probe_mute(void) {
    int copy = fcntl(STDERR_FILENO, F_DUPFD_CLOEXEC, STDERR_FILENO + 1);
    if (copy >= 0) close(STDERR_FILENO);
    return copy;
}

void termspan_probe_unmute(int copy) {
    if (copy < 0) return;
    // The lowest free descriptor from 2 on is 2: nothing is opened while it is closed.
    fcntl(copy, F_DUPFD, STDERR_FILENO);
    close(copy);
}
