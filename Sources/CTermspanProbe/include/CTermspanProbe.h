// What the probe needs from the kernel and Swift can't say: its own system-call filter and a guard against a stuck handshake.
#pragma once

#include <stdint.h>

/// Confines the process to the system calls of a connected probe; any other one kills it (seccomp(2)).
///
/// Reading, writing and polling descriptors that are open, private memory that is not executable, the clock, ending. Messages
/// are sent on descriptor `control` only; nothing can be opened, connected, mapped, executed or created.
///
/// Returns 0, or an errno value; then nothing is confined.
int termspan_probe_confine(int control);

/// Ends the process unless `termspan_probe_guard_end` is called within `milliseconds`.
///
/// libxcb waits for the answer to its handshake without limit, and in poll(2), which no socket option bounds. So a timer's
/// signal (setitimer(2)) sends the two bytes of `message` on descriptor `control` and ends the process with `code`; it needs no more
/// than send(2) and _exit(2), which may be called from a signal handler.
///
/// Returns 0, or an errno value.
int termspan_probe_guard_begin(int milliseconds, int control, uint8_t first, uint8_t second, int code);

/// Ends the guard.
void termspan_probe_guard_end(void);

/// Ignores SIGPIPE: libxcb writes without MSG_NOSIGNAL, and an X server may be gone at any moment.
void termspan_probe_ignore_broken_pipes(void);

/// Closes standard error and returns a copy, or -1: libxcb prints what a server says when it refuses, and that is the user's text.
int termspan_probe_mute(void);

/// Opens standard error again from the copy, and closes that.
void termspan_probe_unmute(int copy);
