// The tracepoint of `lttng.c`: a record as long as a slot, with LTTng's own time besides.
#undef LTTNG_UST_TRACEPOINT_PROVIDER
#define LTTNG_UST_TRACEPOINT_PROVIDER termspan_benchmark

#undef LTTNG_UST_TRACEPOINT_INCLUDE
#define LTTNG_UST_TRACEPOINT_INCLUDE "./lttng_provider.h"

#if !defined(LTTNG_PROVIDER_H) || defined(LTTNG_UST_TRACEPOINT_HEADER_MULTI_READ)
#define LTTNG_PROVIDER_H

#include <lttng/tracepoint.h>

// LTTng adds its header and the time, a source of ours header, time and number: what is left is 40 bytes.
LTTNG_UST_TRACEPOINT_EVENT(termspan_benchmark, record, LTTNG_UST_TP_ARGS(const uint64_t *, words),
                           LTTNG_UST_TP_FIELDS(lttng_ust_field_array(uint64_t, words, words, 5)))

#endif

#include <lttng/tracepoint-event.h>
