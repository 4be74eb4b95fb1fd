// DPDK's rte_ring of 64-byte elements between two processes, in plain shared memory; Tests/Benchmarks/ring compiles and runs it.
//
// usage: dpdk flood|awake sp|mp EVENTS
#include "anchor.h"

#include <rte_pause.h>
#include <rte_ring.h>
#include <rte_ring_elem.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

static int produce(struct rte_ring *ring, int is_many, int is_flood, uint64_t count) {
    struct record record = {0};
    for (uint64_t number = 0; number < count; number++) {
        if (!is_flood) spin(5000);
        record.words[0] = is_flood ? number : now();
        record.words[1] = number;
        while ((is_many ? rte_ring_mp_enqueue_elem(ring, &record, sizeof record) : rte_ring_sp_enqueue_elem(ring, &record, sizeof record)) != 0)
            rte_pause();
    }
    return 0;
}

int main(int count, char **arguments) {
    if (count != 4) return 2;
    int is_flood = strcmp(arguments[1], "flood") == 0, is_many = strcmp(arguments[2], "mp") == 0;
    uint64_t events = strtoull(arguments[3], NULL, 10);
    // As many slots as a lane has.
    ssize_t size = rte_ring_get_memsize_elem(sizeof(struct record), 1024);
    struct rte_ring *ring = mmap(NULL, (size_t)size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (size < 0 || ring == MAP_FAILED || rte_ring_init(ring, "anchor", 1024, RING_F_SC_DEQ | (is_many ? 0 : RING_F_SP_ENQ)) != 0) return 1;
    // Before there are two: in a real-time class the one that spins would never let the other go to its own processor.
    pin(0);
    pid_t child = fork();
    if (child < 0) return 1;
    if (child == 0) _exit(produce(ring, is_many, is_flood, events));
    pin(1);
    uint64_t *samples = is_flood ? NULL : malloc(events * sizeof *samples);
    struct record taken[BATCH];
    uint64_t next = 0, start = 0, wrong = 0;
    while (next < events) {
        unsigned there = rte_ring_sc_dequeue_burst_elem(ring, taken, sizeof *taken, BATCH, NULL);
        if (there == 0) rte_pause();
        for (unsigned index = 0; index < there; index++, next++) {
            if (next == 0) start = now();
            if (samples) samples[next] = now() - taken[index].words[0];
            wrong += taken[index].words[1] != next;
        }
    }
    uint64_t end = now();
    int status = 0;
    if (waitpid(child, &status, 0) != child || status != 0 || wrong > 0) return 1;
    if (is_flood) {
        printf("ns/event %.2f\n", (double)(end - start) / (double)events);
        return 0;
    }
    qsort(samples, events, sizeof *samples, compare);
    printf("p50 %llu\np99 %llu\np99.9 %llu\n", (unsigned long long)samples[events / 2], (unsigned long long)samples[events * 99 / 100],
           (unsigned long long)samples[events * 999 / 1000]);
    return 0;
}
