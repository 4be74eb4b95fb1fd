"""Clocks of the collector's alone: the container's are the machine's, which nobody steps for a test."""

import ctypes
import os
import shutil
import struct

from .host import LabError
from .programs import compiled

LIBRARY = "usr/lib/termspan-lab-clocks.so"
MOVES = "etc/termspan-lab-clocks"
DROP_IN = "etc/systemd/system/termspand.service.d/lab-clocks.conf"


class MovedClocks:
    """A context in which the collector's wall clock can be stepped and its machine made to have slept, both in seconds; it begins and ends stopped."""

    def __init__(self, lab):
        self.lab = lab
        self.wall = self.asleep = 0.0

    def __enter__(self):
        shutil.copy(compiled("moved_clocks.c", "-shared", "-fPIC"), self.lab.root / LIBRARY)
        (self.lab.root / MOVES).write_bytes(bytes(16))
        drop_in = self.lab.root / DROP_IN
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        drop_in.write_text(f"[Service]\nEnvironment=LD_PRELOAD=/{LIBRARY}\n")
        self.lab.enter(["systemctl", "stop", "termspand.service"])
        self.lab.enter(["systemctl", "daemon-reload"])
        return self

    def __exit__(self, *error):
        self.lab.enter(["systemctl", "stop", "termspand.service"])
        for path in (DROP_IN, LIBRARY, MOVES):
            (self.lab.root / path).unlink(missing_ok=True)
        self.lab.enter(["systemctl", "daemon-reload"])

    def move(self, *, wall=0.0, asleep=0.0, tell=True):
        """Steps by so much more; `tell` has the kernel say that the clock was set, as it does for each step and after each sleep."""
        self.wall += wall
        self.asleep += asleep
        # In place, since the collector has it mapped.
        with open(self.lab.root / MOVES, "r+b") as file:
            file.write(struct.pack("=qq", int(self.wall * 1e9), int(self.asleep * 1e9)))
        if tell:
            say_clock_was_set()


class _Timex(ctypes.Structure):
    """struct timex of adjtimex(2)."""
    _fields_ = [("modes", ctypes.c_uint), ("before", ctypes.c_long * 8), ("time", ctypes.c_long * 2), ("rest", ctypes.c_long * 40)]


def say_clock_was_set():
    """Sets the machine's clock forward by a nanosecond: to the kernel that is a step like any other (TFD_TIMER_CANCEL_ON_SET)."""
    request = _Timex(modes=0x0100 | 0x2000)  # ADJ_SETOFFSET, ADJ_NANO
    request.time[1] = 1
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.adjtimex(ctypes.byref(request)) < 0:
        raise LabError(f"adjtimex: {os.strerror(ctypes.get_errno())} (it takes CAP_SYS_TIME)")
