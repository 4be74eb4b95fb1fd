#!/usr/bin/env python3
"""A user at work, for the soak: the window manager of its session and a script of windows and input that follows from a seed.

Each action is written down with the moment at which the X server had it, by the server's own clock, and with the moments
before the request was sent and after the answer came, between which it must lie. Nothing here shares code with the product.

    SOAK_SEED=... SOAK_GAP=2 SOAK_LOG=FILE DISPLAY=:1001 honest.py
"""

import json
import os
import random
import struct
import sys
import time

from witness import Server, boot_time

# Two windows of one class are two focus intervals all the same.
CLASSES = ("Editor", "Terminal", "Mail", "Browser", "Sheet", "Editor")
ATOM, CARDINAL, STRING, WINDOW, WM_CLASS = 4, 6, 31, 33, 67


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class Desktop:
    """The connection, a window manager's marks on the root, and the windows."""

    def __init__(self, display):
        self.server = Server(display)
        self.mark = self.server.atom("_SOAK_MARK")
        self.active_atom = self.server.atom("_NET_ACTIVE_WINDOW")
        self.test = self.server.extension("XTEST")
        self.count = 0
        self.dx = 1
        self.check = self.create("Manager")
        # PropertyChange on the window that marks are put on, and nothing else.
        self.server.send(2, 0, struct.pack("<III", self.check, 1 << 11, 1 << 22))
        check = self.server.atom("_NET_SUPPORTING_WM_CHECK")
        self.server.send(*change(self.server.root, self.server.atom("_NET_SUPPORTED"), ATOM, self.active_atom))
        self.server.send(*change(self.check, check, WINDOW, self.check))
        self.server.send(*change(self.server.root, check, WINDOW, self.check))
        self.windows = {self.create(name): name for name in CLASSES}
        self.active = 0

    def create(self, name):
        """A window of a class, never mapped: no more of it is needed to be the active one."""
        self.count += 1
        window = self.server.base + self.count
        self.server.send(1, 0, struct.pack("<IIhhHHHHII", window, self.server.root, 0, 0, 10, 10, 0, 1, 0, 0))
        value = name.lower().encode() + b"\0" + name.encode() + b"\0"
        self.server.send(18, 0, struct.pack("<IIIBxxxI", window, WM_CLASS, STRING, 8, len(value)) + value)
        return window

    def idle(self):
        """Milliseconds since the last input, or since the server's start where there was none: SYNC's IDLETIME."""
        sync = self.server.extension("SYNC")
        self.server.ask(sync, 0, struct.pack("<BBxx", 3, 1))
        listed = self.server.ask(sync, 1)
        offset = 32
        for _ in range(struct.unpack_from("<I", listed, 8)[0]):
            counter, length = struct.unpack_from("<I8xH", listed, offset)
            if listed[offset + 14:offset + 14 + length] == b"IDLETIME":
                value = self.server.ask(sync, 5, struct.pack("<I", counter))
                return struct.unpack_from("<iI", value, 8)[1]
            offset += (14 + length + 3) // 4 * 4
        sys.exit("the server has no IDLETIME")

    def act(self, *requests):
        """Sends requests and a mark in one piece; returns when the server had them, by its clock, and what we know of it."""
        data = b"".join(encode(*request) for request in (*requests, change(self.check, self.mark, CARDINAL, 0)))
        before = now()
        self.server.socket.sendall(data)
        self.server.sequence = self.server.sequence + len(requests) + 1 & 0xFFFF
        while True:
            packet = self.server.packet()
            if packet[0] == 0:
                sys.exit(f"the server answers with error {packet[1]}")
            if packet[0] == 28 and struct.unpack_from("<II", packet, 4) == (self.check, self.mark):
                break
        seen = now()
        at = boot_time(struct.unpack_from("<I", packet, 12)[0], seen)
        # The server counts whole milliseconds.
        if not before - 2_000_000 <= at <= seen + 2_000_000:
            sys.exit(f"the server's clock is not CLOCK_MONOTONIC: {before} {at} {seen}")
        return {"before": before, "at": at, "seen": seen}

    def focus(self, window):
        if window:
            # The dictionary is in the order of their last turns.
            self.windows[window] = self.windows.pop(window)
        self.active = window
        return self.act(change(self.server.root, self.active_atom, WINDOW, window))

    def input(self, key):
        """A key pressed and released, or the mouse moved by one point, by XTEST."""
        def fake(kind, detail, x=0):
            return self.test, 2, struct.pack("<BBxxII8xhh8x", kind, detail, 0, 0, x, 0)
        if key:
            return self.act(fake(2, 50), fake(3, 50))
        self.dx = -self.dx
        return self.act(fake(6, 1, self.dx))

    def replace_oldest(self, name):
        """The window that was active longest ago closes, so that nobody still asks about it, and another opens."""
        window = next(iter(self.windows))
        del self.windows[window]
        self.server.send(4, 0, struct.pack("<I", window))
        self.windows = {self.create(name): name, **self.windows}


def change(window, atom, kind, value):
    """ChangeProperty to one word."""
    return 18, 0, struct.pack("<IIIBxxxII", window, atom, kind, 32, 1, value)


def encode(opcode, detail, payload):
    return struct.pack("<BBH", opcode, detail, 1 + len(payload) // 4) + payload


def focus_delays(chance):
    """Seconds from one change of the active window to the next: some 5, sometimes a run of quick ones."""
    while True:
        yield max(0.3, chance.expovariate(1 / 5))
        if chance.random() < 0.1:
            yield from (chance.uniform(0.15, 0.5) for _ in range(chance.randint(3, 8)))


def input_delays(chance, gap):
    """Seconds from one input to the next: bursts of one to many, some held together or apart by little."""
    while True:
        for _ in range(chance.choice((0, 1, 3, 8, 20))):
            yield chance.uniform(0.85, 0.92) * gap if chance.random() < 0.15 else chance.uniform(0.03, 0.6)
        yield gap * (chance.uniform(1.1, 1.3) if chance.random() < 0.3 else 1.2 + chance.expovariate(1 / 5))


def main():
    # One each, so that neither script depends on how the two meet in time.
    switching, typing = (random.Random(f"{os.environ['SOAK_SEED']}/{part}") for part in ("focus", "input"))
    gap = float(os.environ["SOAK_GAP"])
    with open(os.environ["SOAK_LOG"], "w", buffering=1) as log:
        def note(kind, **fields):
            log.write(json.dumps({"kind": kind, **fields}) + "\n")

        desktop = Desktop(os.environ["DISPLAY"].lstrip(":").split(".")[0])
        idle = desktop.idle()
        note("start", at=now(), server=now() - idle * 1_000_000)
        focuses, inputs = focus_delays(switching), input_delays(typing, gap)
        next_focus = time.monotonic()
        next_input = next_focus + next(inputs)
        while True:
            time.sleep(max(0, min(next_focus, next_input) - time.monotonic()))
            if next_focus <= next_input:
                window = switching.choice([window for window in (0, *desktop.windows) if window != desktop.active])
                name = desktop.windows.get(window)
                note("focus", **{"class": name}, **desktop.focus(window))
                if switching.random() < 0.05:
                    desktop.replace_oldest(switching.choice(CLASSES))
                next_focus = max(next_focus + next(focuses), time.monotonic() + 0.1)
            else:
                note("input", **desktop.input(typing.random() < 0.5))
                next_input = max(next_input + next(inputs), time.monotonic() + 0.02)


if __name__ == "__main__":
    try:
        main()
    except ConnectionError:
        pass
