#define _GNU_SOURCE
#include "CAttack.h"

#include <errno.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/auxv.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

void attack_mark(struct attack_progress *progress) {
    progress->passed += 1;
    if (progress->passed != progress->target) return;
    __asm__ volatile("int3");
}

pid_t attack_fork(int processor) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(processor, &set);
    sched_setaffinity(0, sizeof set, &set);
    pid_t pid = fork();
    if (pid < 0) return -errno;
    if (pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        if (ptrace(PTRACE_TRACEME, 0, NULL, NULL) != 0) _exit(99);
        raise(SIGSTOP);
        return 0;
    }
    int status;
    if (waitpid(pid, &status, 0) != pid || !WIFSTOPPED(status)) return -ECHILD;
    return pid;
}

// Whether it has stopped; another signal than the trap's is passed on.
static int resume(int request, pid_t victim) {
    int pass = 0;
    for (;;) {
        int status;
        if (ptrace(request, victim, NULL, (void *)(intptr_t)pass) != 0) return 0;
        if (waitpid(victim, &status, 0) != victim || !WIFSTOPPED(status)) return 0;
        if (WSTOPSIG(status) == SIGTRAP) return 1;
        pass = WSTOPSIG(status);
    }
}

int attack_run_to_mark(pid_t victim) { return resume(PTRACE_CONT, victim); }

int attack_step(pid_t victim, uint32_t count) {
    for (uint32_t step = 0; step < count; step++) {
        if (!resume(PTRACE_SINGLESTEP, victim)) return 0;
    }
    return 1;
}

static uint64_t place_of(pid_t victim) {
    struct user_regs_struct registers;
    return ptrace(PTRACE_GETREGS, victim, NULL, &registers) == 0 ? registers.rip : 0;
}

uint32_t attack_trace(pid_t victim, const struct attack_progress *progress, uint64_t *places, uint32_t capacity) {
    uint32_t passed = progress->passed, count = 0;
    while (count < capacity && progress->passed == passed) {
        places[count++] = place_of(victim);
        if (!resume(PTRACE_SINGLESTEP, victim)) break;
    }
    return count;
}

// The kernel's own code in each process takes no breakpoint.
static int is_kernel_code(uint64_t place) {
    uint64_t begin = getauxval(AT_SYSINFO_EHDR);
    return place >= begin && place < begin + 0x4000;
}

int attack_follow(pid_t victim, const uint64_t *places, uint32_t count) {
    if (place_of(victim) != places[0]) return 0;
    uint32_t target = count;
    for (; target > 0; target--) {
        uint32_t earlier = 0;
        while (earlier < target && places[earlier] != places[target]) earlier++;
        if (earlier == target && !is_kernel_code(places[target])) break;
    }
    if (target > 0) {
        errno = 0;
        long code = ptrace(PTRACE_PEEKTEXT, victim, (void *)places[target], NULL);
        if (errno != 0 || ptrace(PTRACE_POKETEXT, victim, (void *)places[target], (void *)((code & ~0xFFL) | 0xCC)) != 0) return 0;
        if (!resume(PTRACE_CONT, victim)) return 0;
        struct user_regs_struct registers;
        if (ptrace(PTRACE_GETREGS, victim, NULL, &registers) != 0 || registers.rip != places[target] + 1) return 0;
        registers.rip = places[target];
        if (ptrace(PTRACE_SETREGS, victim, NULL, &registers) != 0) return 0;
        if (ptrace(PTRACE_POKETEXT, victim, (void *)places[target], (void *)code) != 0) return 0;
    }
    return attack_step(victim, count - target) && place_of(victim) == places[count];
}

void attack_kill(pid_t victim) {
    int status;
    kill(victim, SIGKILL);
    while (waitpid(victim, &status, 0) == victim && !WIFEXITED(status) && !WIFSIGNALED(status)) {}
}

void attack_release(pid_t victim) { ptrace(PTRACE_DETACH, victim, NULL, NULL); }

int attack_wait(pid_t victim) {
    int status;
    return waitpid(victim, &status, 0) == victim && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
}
