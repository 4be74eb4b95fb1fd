// Processes that are stepped through their machine code, for `ring-attack`. Linux on x86-64.
#pragma once

#include <stdint.h>
#include <sys/types.h>

/// What a victim and who steps it have in common, in memory that is shared between them.
struct attack_progress {
    /// How many marks the victim has passed.
    volatile uint32_t passed;
    /// At which mark it stops.
    volatile uint32_t target;
    /// Set before its last mark: it has nothing left to do.
    volatile uint32_t is_finished;
};

/// A place in the victim's code at which stepping can begin.
void attack_mark(struct attack_progress *_Nonnull progress);
/// Forks, both on one processor: a step takes half the time there. Returns 0 in the victim, which is traced; in the tracer its pid once it has stopped, or
/// the negated errno.
pid_t attack_fork(int processor);
/// Lets it run to its target. Returns 1 there, 0 if it ended before.
int attack_run_to_mark(pid_t victim);
/// Has it execute one machine instruction after the other until it has passed another mark, and writes down where it stood before each.
/// Returns how many there were, at most `capacity`.
uint32_t attack_trace(pid_t victim, const struct attack_progress *_Nonnull progress, uint64_t *_Nonnull places, uint32_t capacity);
/// Has a victim that stands where a trace began execute so many instructions of it. Where an instruction is met for the first time it runs there
/// at once, by a breakpoint; the rest are single steps. Returns 1, or 0 if it went another way.
int attack_follow(pid_t victim, const uint64_t *_Nonnull places, uint32_t count);
/// Has it execute so many machine instructions. Returns 1, or 0 if it ended before.
int attack_step(pid_t victim, uint32_t count);
/// Ends it as it stands, and waits until it is gone.
void attack_kill(pid_t victim);
/// Lets it run on by itself.
void attack_release(pid_t victim);
/// Waits until it has ended: its exit status, or -1 if it ended by a signal.
int attack_wait(pid_t victim);
