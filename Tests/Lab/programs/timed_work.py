"""Works in honest users' sessions and times each change of focus until it is visible in a query of the collector.

usage: timed_work.py USER:DISPLAY:XAUTHORITY...     as root, in the lab; lab-figures lies beside it

Each session has two windows, of the classes that lab-figures has, and a window manager. A line with a number on
standard input begins so many changes in each session, one session after the other; the answer is one line of JSON:
milliseconds from the X server's own news of the change to the answer that shows it, and, taken at the same time, how
long the bus itself takes to answer. The end of input is its end.
"""

import importlib.machinery
import importlib.util
import json
import os
import struct
import sys
import time
from pathlib import Path

loader = importlib.machinery.SourceFileLoader("figures", str(Path(__file__).resolve().parent / "lab-figures"))
figures = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(figures)

# A session's changes are this far apart at least, below the 20 a second that count as rapid switching.
INTERVAL = 0.06
# What is not visible by then counts as this late.
PATIENCE = 5.0


class Session:
    def __init__(self, user, display, authority, uid):
        os.environ |= {"DISPLAY": display, "XAUTHORITY": authority}
        self.user = user
        self.focus = figures.Focus(display)
        key = figures.marshal_text("uid") + b"\1u\0"
        entry = key + b"\0" * (-len(key) % 4) + struct.pack("<I", uid)
        self.question = struct.pack("<I", len(entry)) + b"\0" * 4 + entry
        # The window that was activated last when the session was made is the second.
        self.changes = 0
        self.next = 0.0

    def change(self, bus):
        """One change; milliseconds till it was visible, or None where that took too long."""
        time.sleep(max(0, self.next - time.monotonic()))
        self.next = time.monotonic() + INTERVAL
        index = self.changes % 2
        self.changes += 1
        _, changed = self.focus.activate(self.focus.windows[index])
        while True:
            rows = bus.call(*figures.MANAGER, "CollectActivity", "a{sv}", self.question)[0]
            now = time.monotonic()
            if next((row["class"] for row in rows if row["kind"] == "focus" and not row["end"]), None) == figures.CLASSES[index]:
                return (now - changed) * 1000
            if now - changed > PATIENCE:
                return None
            time.sleep(0.0005)


def main():
    bus = figures.Bus()
    uids = {row["user"]: row["uid"] for row in bus.call(*figures.MANAGER, "ListSessions")[0] if row.get("user")}
    sessions = []
    for argument in sys.argv[1:]:
        user, display, authority = argument.split(":", 2)
        sessions.append(Session(user, f":{display}", authority, uids[user]))
    print(json.dumps({"ready": len(sessions)}), flush=True)
    for line in sys.stdin:
        late, asking, missed = [], [], 0
        for _ in range(int(line)):
            for session in sessions:
                before = time.monotonic()
                bus.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId")
                asking.append((time.monotonic() - before) * 1000)
                took = session.change(bus)
                missed += took is None
                late.append(PATIENCE * 1000 if took is None else took)
        print(json.dumps({"visible": late, "bus": asking, "missed": missed}), flush=True)


main()
