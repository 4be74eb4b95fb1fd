// What the fuzzer's program needs of C: libFuzzer's driver, and places in the ring's reader at which its memory is changed.
#pragma once

#include <stddef.h>
#include <stdint.h>

// libFuzzer as a library (llvm.org/docs/LibFuzzer.html, 'Using libFuzzer as a library'). It returns only where it ran given files.
int LLVMFuzzerRunDriver(int *_Nonnull argc, char *_Nullable *_Nonnull *_Nonnull argv,
                        int (*_Nonnull one_input)(const uint8_t *_Nullable data, size_t size));

// The linker gives us the calls of termspan_slot_load() (--wrap): `body` is called before and after each copy of a slot, which is
// between any two of the reader's looks at memory that its producer can change. On one thread, so that a finding comes back with its input.
void fuzz_set_slot_load_hook(void (*_Nullable body)(void));

// Likewise those of termspan_boot_nanoseconds(): the clock stands at `nanoseconds` until it is set again; 0 lets it go.
void fuzz_set_clock(uint64_t nanoseconds);
