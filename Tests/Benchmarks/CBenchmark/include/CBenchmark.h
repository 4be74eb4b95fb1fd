// What the benchmarks compare with and what Swift can't say. Every symbol is prefixed benchmark_.
#pragma once

#include <stdint.h>

/// sched_setaffinity(2) of the calling thread; 0 or the negated errno.
int benchmark_pin(int cpu);
/// How many processors the calling thread may use.
int benchmark_cpus(void);
/// futex(2) between processes.
void benchmark_futex_wait(uint32_t *_Nonnull word, uint32_t expected);
void benchmark_futex_wake(uint32_t *_Nonnull word);
/// What a spinning thread tells the processor.
void benchmark_relax(void);
