// libsystemd's interfaces as one module. Macros that Swift cannot import get inline wrappers here, prefixed termspan_.
#pragma once

#include <errno.h>
#include <linux/sockios.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>

// The entries of an object vtable made at run time (sd_bus_add_object_vtable(3)). The array must have been zeroed; every string
// must live as long as the vtable is registered. `names` holds the arguments' names, then the results', each ended by a NUL byte,
// and one NUL byte more.

static inline void termspan_vtable_start(sd_bus_vtable *entry, uint64_t flags) {
    entry->type = _SD_BUS_VTABLE_START;
    entry->flags = flags;
    entry->x.start.element_size = sizeof(sd_bus_vtable);
    entry->x.start.features = _SD_BUS_VTABLE_PARAM_NAMES;
    entry->x.start.vtable_format_reference = &sd_bus_object_vtable_format;
}

static inline void termspan_vtable_method(
    sd_bus_vtable *entry, const char *member, const char *signature, const char *result, const char *names,
    sd_bus_message_handler_t handler, uint64_t flags) {
    entry->type = _SD_BUS_VTABLE_METHOD;
    entry->flags = flags;
    entry->x.method.member = member;
    entry->x.method.signature = signature;
    entry->x.method.result = result;
    entry->x.method.handler = handler;
    entry->x.method.offset = 0;
    entry->x.method.names = names;
}

static inline void termspan_vtable_signal(
    sd_bus_vtable *entry, const char *member, const char *signature, const char *names, uint64_t flags) {
    entry->type = _SD_BUS_VTABLE_SIGNAL;
    entry->flags = flags;
    entry->x.signal.member = member;
    entry->x.signal.signature = signature;
    entry->x.signal.names = names;
}

static inline void termspan_vtable_property(
    sd_bus_vtable *entry, const char *member, const char *signature, sd_bus_property_get_t get, uint64_t flags) {
    entry->type = _SD_BUS_VTABLE_PROPERTY;
    entry->flags = flags;
    entry->x.property.member = member;
    entry->x.property.signature = signature;
    entry->x.property.get = get;
    entry->x.property.set = NULL;
    entry->x.property.offset = 0;
}

static inline void termspan_vtable_end(sd_bus_vtable *entry) {
    entry->type = _SD_BUS_VTABLE_END;
    entry->flags = 0;
}

// The flags are 64-bit enumerators, which Swift imports with types that differ between compilers.
static inline uint64_t termspan_vtable_unprivileged(void) { return SD_BUS_VTABLE_UNPRIVILEGED; }
static inline uint64_t termspan_vtable_constant(void) { return SD_BUS_VTABLE_PROPERTY_CONST; }
static inline uint64_t termspan_vtable_emits_change(void) { return SD_BUS_VTABLE_PROPERTY_EMITS_CHANGE; }
static inline uint64_t termspan_vtable_emits_invalidation(void) { return SD_BUS_VTABLE_PROPERTY_EMITS_INVALIDATION; }

static inline uint64_t termspan_creds_euid(void) { return SD_BUS_CREDS_EUID; }
static inline uint64_t termspan_creds_pid(void) { return SD_BUS_CREDS_PID; }

// How much the peer of a bus connection has not read yet (SIOCOUTQ, unix(7)), in bytes of the kernel's memory; a negated errno.
static inline int termspan_bus_unread(sd_bus *bus) {
    int descriptor = sd_bus_get_fd(bus), bytes = 0;
    if (descriptor < 0) return descriptor;
    return ioctl(descriptor, SIOCOUTQ, &bytes) < 0 ? -errno : bytes;
}
