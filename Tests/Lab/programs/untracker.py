"""Untracks and tracks users again and again at random moments while windows and input change in all their sessions.

usage: untracker.py TIMES SEED USER:DISPLAY:XAUTHORITY...     as root, in the lab; honest.py, witness.py and lab-figures lie beside it

All are tracked when it begins and when it ends; one at a time is not. One line of JSON a time: the user, and in nanoseconds of
CLOCK_BOOTTIME when untracking was asked for and answered, when nobody saw a probe of the session any more, and when tracking was asked
for. That no probe is left is looked for as the user would, with ps.
"""

import importlib.machinery
import importlib.util
import json
import os
import random
import signal
import struct
import subprocess
import sys
import time
from pathlib import Path

from honest import Desktop, now

loader = importlib.machinery.SourceFileLoader("figures", str(Path(__file__).resolve().parent / "lab-figures"))
figures = importlib.util.module_from_spec(importlib.util.spec_from_loader(loader.name, loader))
loader.exec_module(figures)

# Below the 20 changes a second that count as rapid switching, so that each is an interval of its own.
PACE = 0.06
PATIENCE = 20


def work(display, authority):
    """Another window each time, and now and then input, until it is killed."""
    os.environ |= {"DISPLAY": f":{display}", "XAUTHORITY": authority}
    desktop = Desktop(display)
    number = 0
    while True:
        windows = [*desktop.windows]
        desktop.focus(windows[0])
        # Runs of input, and pauses that end a burst.
        if number // 20 % 2:
            desktop.input(number % 3 == 0)
        number += 1
        time.sleep(PACE)


def set_tracking(bus, user, tracked):
    names = figures.marshal_text(user)
    body = struct.pack("<I", len(names)) + names
    body += b"\0" * (-len(body) % 4) + struct.pack("<I", tracked)
    for text in ("a test", "the tests"):
        body += b"\0" * (-len(body) % 4) + figures.marshal_text(text)
    (row,), = bus.call(*figures.MANAGER, "SetTracking", "asbss", body)
    if row["error"] or not row["changed"]:
        sys.exit(f"{user}: {row}")


def probes(user):
    """How many probes this user sees."""
    listed = subprocess.run(["runuser", "-u", user, "--", "ps", "-e", "-o", "args="], check=True, capture_output=True, text=True).stdout
    return sum(line.startswith("/probe") for line in listed.splitlines())


def wait(what, condition):
    end = time.monotonic() + PATIENCE
    while not condition():
        if time.monotonic() > end:
            sys.exit(f"{what}: not within {PATIENCE} s")
        time.sleep(0.002)


def main():
    times, chance = int(sys.argv[1]), random.Random(int(sys.argv[2]))
    sessions = [argument.split(":", 2) for argument in sys.argv[3:]]
    bus = figures.Bus()

    def measured():
        rows = bus.call(*figures.MANAGER, "ListSessions")[0]
        return {row["user"] for row in rows if row.get("coverage") == "measured"}

    workers = []
    try:
        for _, display, authority in sessions:
            if not (worker := os.fork()):
                try:
                    work(display, authority)
                finally:
                    os._exit(1)
            workers.append(worker)
        users = [user for user, _, _ in sessions]
        wait("all to be measured", lambda: measured() >= set(users))
        for _ in range(times):
            user = chance.choice(users)
            time.sleep(chance.uniform(0, 0.15))
            if probes(user) != len(users):
                sys.exit(f"{user} sees {probes(user)} probes of {len(users)}")
            asked = now()
            set_tracking(bus, user, False)
            answered = now()
            wait(f"the probe of {user} to end", lambda: probes(user) == len(users) - 1)
            gone = now()
            time.sleep(chance.uniform(0, 0.15))
            tracked = now()
            print(json.dumps({"user": user, "asked": asked, "answered": answered, "gone": gone, "tracked": tracked}), flush=True)
            set_tracking(bus, user, True)
            wait(f"{user} to be measured", lambda: user in measured())
        if any(os.waitpid(worker, os.WNOHANG)[0] for worker in workers):
            sys.exit("the work in a session has ended")
    finally:
        for worker in workers:
            os.kill(worker, signal.SIGKILL)


main()
