"""Works in honest users' sessions and times each change of focus until it is visible in a query of the collector, or in its store.

usage: timed_work.py USER:DISPLAY:XAUTHORITY...     as root, in the lab; lab-figures lies beside it

Each session has two windows, of the classes that lab-figures has, and a window manager. A line "visible N" or "stored N" on
standard input begins so many changes in each session, one session after the other; the answer is one line of JSON:
milliseconds from the X server's own news of the change to the answer that shows it, and, taken at the same time, how
long the bus itself takes to answer; or to the end of the window before in the database, for which nobody asks the bus. The end
of input is its end.
"""

import importlib.machinery
import importlib.util
import json
import os
import sqlite3
import struct
import subprocess
import sys
import time
import uuid
from pathlib import Path

loader = importlib.machinery.SourceFileLoader("figures", str(Path(__file__).resolve().parent / "lab-figures"))
figures = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(figures)

# A session's changes are this far apart at least: a window manager goes from one window to another by way of none, and more than 20 a second
# for long count as rapid switching.
INTERVALS = {"visible": 0.1, "stored": 0.12}
DATABASE = "/var/lib/termspan/termspan.db"
# What is not there by then counts as this late.
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
        self.database = sqlite3.connect(f"file:{DATABASE}?mode=ro", uri=True, isolation_level=None)
        done = subprocess.run(["termspan", "query", "session", user, "--format=json"], capture_output=True, text=True, check=True)
        session = uuid.UUID(json.loads(done.stdout)[0]["uuid"])
        # It is stored at the next commit.
        patience = time.monotonic() + PATIENCE
        while not (found := self.database.execute("SELECT id FROM session WHERE uuid = ?", (session.bytes,)).fetchone()):
            if time.monotonic() > patience:
                sys.exit(f"the session of {user} is not stored")
            time.sleep(0.05)
        self.row, = found

    def change(self, interval, is_there):
        """One change; milliseconds till it was there, by the class and the boot time of the change, or None where that took too long."""
        time.sleep(max(0, self.next - time.monotonic()))
        self.next = time.monotonic() + interval
        index = self.changes % 2
        self.changes += 1
        began = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        _, changed = self.focus.activate(self.focus.windows[index])
        while not is_there(figures.CLASSES[index], began):
            if time.monotonic() - changed > PATIENCE:
                return None
            time.sleep(0.0005)
        return (time.monotonic() - changed) * 1000

    def visible(self, bus):
        def is_there(name, _):
            rows = bus.call(*figures.MANAGER, "CollectActivity", "a{sv}", self.question)[0]
            return next((row["class"] for row in rows if row["kind"] == "focus" and not row["end"]), None) == name
        return self.change(INTERVALS["visible"], is_there)

    def stored(self):
        def is_there(_, began):
            """Whether the window before has ended since; the X server counts whole milliseconds."""
            query = "SELECT start + length FROM focus_interval WHERE session = ? ORDER BY start DESC LIMIT 1"
            end, = self.database.execute(query, (self.row,)).fetchone() or (0,)
            return end >= began - 2_000_000
        return self.change(INTERVALS["stored"], is_there)


def main():
    bus = figures.Bus()
    uids = {row["user"]: row["uid"] for row in bus.call(*figures.MANAGER, "ListSessions")[0] if row.get("user")}
    sessions = []
    for argument in sys.argv[1:]:
        user, display, authority = argument.split(":", 2)
        sessions.append(Session(user, f":{display}", authority, uids[user]))
    print(json.dumps({"ready": len(sessions)}), flush=True)
    for line in sys.stdin:
        kind, rounds = line.split()
        late, asking, missed = [], [], []
        for number in range(int(rounds)):
            for session in sessions:
                if kind == "stored":
                    asking.append(0.0)
                    took = session.stored()
                else:
                    before = time.monotonic()
                    bus.call("org.freedesktop.DBus", "/org/freedesktop/DBus", "org.freedesktop.DBus", "GetId")
                    asking.append((time.monotonic() - before) * 1000)
                    took = session.visible(bus)
                if took is None:
                    missed.append(f"{session.user}'s change {number}")
                late.append(PATIENCE * 1000 if took is None else took)
        print(json.dumps({"late": late, "bus": asking, "missed": missed}), flush=True)


main()
