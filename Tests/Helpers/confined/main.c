// Confines itself as a probe does, then does one thing: exits with 0 if it may, is killed if it may not. With no argument, says what it can do.
#define _GNU_SOURCE
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include "CTermspanProbe.h"

static int pair[2];
static int file;

static void call_poll(void) { poll(NULL, 0, 1); }
static void call_clock(void) { struct timespec t; syscall(__NR_clock_gettime, CLOCK_BOOTTIME, &t); }
static void call_memory(void) { mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void call_answer(void) { send(0, "x", 1, MSG_NOSIGNAL); }

static void call_open(void) { open("/etc/passwd", O_RDONLY); }
static void call_socket(void) { socket(AF_UNIX, SOCK_STREAM, 0); }
static void call_connect(void) { struct sockaddr a = {.sa_family = AF_UNIX}; connect(pair[0], &a, sizeof a); }
static void call_fork(void) { fork(); }
static void call_execve(void) { char *none[] = {NULL}; execve("/bin/true", none, none); }
static void call_kill(void) { kill(getpid(), 0); }
static void call_ptrace(void) { ptrace(PTRACE_TRACEME, 0, 0, 0); }
static void call_mprotect(void) { mprotect((void *)((unsigned long)&pair & ~4095ul), 4096, PROT_READ | PROT_WRITE); }
static void call_executable(void) { mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0); }
static void call_map_file(void) { mmap(NULL, 4096, PROT_READ, MAP_PRIVATE, file, 0); }
static void call_memfd(void) { syscall(__NR_memfd_create, "x", 0); }
static void call_send_elsewhere(void) { send(pair[0], "x", 1, MSG_NOSIGNAL); }
static void call_send_descriptors(void) { struct msghdr message = {0}; sendmsg(0, &message, MSG_NOSIGNAL); }
static void call_prctl(void) { syscall(__NR_prctl, 15, "x", 0, 0, 0); }
static void call_foreign(void) { syscall(0x40000000 | __NR_read, file, NULL, 0); }

static const struct {
    const char *name;
    void (*call)(void);
} calls[] = {
    {"poll", call_poll}, {"clock", call_clock}, {"memory", call_memory}, {"answer", call_answer},
    {"open", call_open}, {"socket", call_socket}, {"connect", call_connect}, {"fork", call_fork}, {"execve", call_execve},
    {"kill", call_kill}, {"ptrace", call_ptrace}, {"mprotect", call_mprotect}, {"executable", call_executable},
    {"map-file", call_map_file}, {"memfd", call_memfd}, {"send-elsewhere", call_send_elsewhere},
    {"send-descriptors", call_send_descriptors}, {"prctl", call_prctl},
    {"foreign", call_foreign},
};

int main(int count, char **arguments) {
    if (socketpair(AF_UNIX, SOCK_DGRAM, 0, pair) != 0) return 3;
    file = open("/etc/passwd", O_RDONLY);
    for (size_t index = 0; index < sizeof calls / sizeof calls[0]; index++) {
        if (count < 2) puts(calls[index].name);
        if (count < 2 || strcmp(arguments[1], calls[index].name) != 0) continue;
        if (termspan_probe_confine(0) != 0) return 4;
        calls[index].call();
        _exit(0);
    }
    return 2;
}
