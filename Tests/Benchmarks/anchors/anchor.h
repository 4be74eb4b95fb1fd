// What the programs for other rings share with each other; ring-benchmark does the same for ours.
#pragma once

#define _GNU_SOURCE
#include <sched.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

/// The record that all carry: as long as a slot.
struct record {
    uint64_t words[8];
};

enum { BATCH = 64 };

static inline uint64_t now(void) {
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return (uint64_t)time.tv_sec * 1000000000u + (uint64_t)time.tv_nsec;
}

/// Where there is no other processor this fails and changes nothing.
static inline void pin(int cpu) {
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu, &set);
    (void)sched_setaffinity(0, sizeof set, &set);
}

static inline void spin(uint64_t nanoseconds) {
    uint64_t until = now() + nanoseconds;
    while (now() < until) {
    }
}

static inline int compare(const void *one, const void *other) {
    uint64_t left = *(const uint64_t *)one, right = *(const uint64_t *)other;
    return left < right ? -1 : left > right;
}
