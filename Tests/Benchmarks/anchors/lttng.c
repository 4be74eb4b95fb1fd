// What an event costs a program that is traced by LTTng-UST; Tests/Benchmarks/ring compiles it, starts the session and runs it.
//
// usage: lttng EVENTS
#include "anchor.h"

#define LTTNG_UST_TRACEPOINT_CREATE_PROBES
#define LTTNG_UST_TRACEPOINT_DEFINE
#include "lttng_provider.h"

int main(int count, char **arguments) {
    if (count != 2) return 2;
    uint64_t events = strtoull(arguments[1], NULL, 10);
    uint64_t words[5] = {0};
    uint64_t sum = 0;
    if (!lttng_ust_tracepoint_enabled(termspan_benchmark, record)) {
        puts("no session traces it");
        return 1;
    }
    pin(0);
    for (uint64_t number = 0; number < events; number += BATCH) {
        spin(20000);
        uint64_t begin = now();
        for (uint64_t index = number; index < number + BATCH && index < events; index++) {
            words[0] = index;
            lttng_ust_tracepoint(termspan_benchmark, record, words);
        }
        sum += now() - begin;
    }
    printf("publish %.2f\n", (double)sum / (double)events);
    return 0;
}
