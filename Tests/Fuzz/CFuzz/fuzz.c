#include "CFuzz.h"

static void (*slot_load_hook)(void);
static uint64_t boot_nanoseconds;

void fuzz_set_slot_load_hook(void (*body)(void)) { slot_load_hook = body; }
void fuzz_set_clock(uint64_t nanoseconds) { boot_nanoseconds = nanoseconds; }

void __real_termspan_slot_load(uint64_t *into, const void *slot);
uint64_t __real_termspan_boot_nanoseconds(void);

void __wrap_termspan_slot_load(uint64_t *into, const void *slot) {
    if (slot_load_hook) slot_load_hook();
    __real_termspan_slot_load(into, slot);
    if (slot_load_hook) slot_load_hook();
}

uint64_t __wrap_termspan_boot_nanoseconds(void) {
    return boot_nanoseconds ? boot_nanoseconds : __real_termspan_boot_nanoseconds();
}
