#!/usr/bin/env python3
"""A source that was written from Docs/ring.md alone: publishes so many events into the lane whose descriptors are 3 (control), 4 (events) and 5 (doorbell).

usage: ring-source.py COUNT

Event N has the type 1 + N mod 255 and N mod 161 bytes, the first of them N, each further one 1 more.
"""

import mmap
import os
import sys
import threading
import time

CONTROL, EVENTS, DOORBELL = 3, 4, 5
SLOTS = 1024
MAGIC = 0x454E414C4E505354


class Source:
    def __init__(self):
        control = mmap.mmap(CONTROL, 4096, mmap.MAP_SHARED, mmap.PROT_READ)
        events = mmap.mmap(EVENTS, 4096 + 64 * SLOTS, mmap.MAP_SHARED, mmap.PROT_READ | mmap.PROT_WRITE)
        # A memoryview stores and loads an item whole, in one access.
        self.control, self.epochs = memoryview(control).cast("Q"), memoryview(control).cast("I")
        self.events = memoryview(events).cast("Q")
        if self.control[0] != MAGIC or self.control[1] & 0xFFFF != 1 or self.control[1] >> 32 != 64 or self.control[2] & 0xFFFFFFFF != SLOTS:
            raise SystemExit("not a lane of this version")
        self.position = self.head = self.control[4]
        self.attempted = self.rung = 0
        self.fence = threading.Lock()
        memoryview(events).cast("I")[16] = 1

    def store(self, position, words):
        """All words of a slot but its header."""
        place = 512 + 8 * (position % SLOTS)
        for index in range(7):
            self.events[place + 1 + index] = words[index] if index < len(words) else 0

    def publish(self, kind, payload):
        self.attempted += 1
        self.events[0] = self.attempted
        length = len(payload)
        slots = 1 if length <= 40 else 1 + (length - 40 + 55) // 56
        if self.position + slots - self.head > SLOTS:
            self.head = self.control[16]
            if self.position + slots - self.head > SLOTS:
                return
        payload = payload.ljust(40 + 56 * (slots - 1), b"\0")
        words = [int.from_bytes(payload[index : index + 8], sys.byteorder) for index in range(0, len(payload), 8)]
        for index in range(1, slots):
            self.store(self.position + index, words[5 + 7 * (index - 1) : 5 + 7 * index])
            header = (self.position + index + 1) & 0xFFFFFFFF | (0x80 | index) << 32 | kind << 40 | length << 48
            self.events[512 + 8 * ((self.position + index) % SLOTS)] = header
        self.store(self.position, [time.clock_gettime_ns(time.CLOCK_BOOTTIME), self.attempted, *words[:5]])
        self.events[512 + 8 * (self.position % SLOTS)] = (self.position + 1) & 0xFFFFFFFF | slots << 32 | kind << 40 | length << 48
        self.position += slots
        # Orders the commit before the load, as taking any lock does; that stores come in order is the processor's doing (x86).
        with self.fence:
            epoch = self.epochs[64]
        if epoch not in (0, self.rung):
            self.rung = epoch
            os.write(DOORBELL, (1).to_bytes(8, sys.byteorder))


def main():
    source = Source()
    for number in range(1, int(sys.argv[1]) + 1):
        source.publish(1 + number % 255, bytes((number + index) % 256 for index in range(number % 161)))


main()
