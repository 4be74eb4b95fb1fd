"""Runs inside as root: kills the collector at random moments and writes down how long it takes to answer again.

Usage: killer.py KILLS SEED SNAPSHOTS
Every other kill comes soon after the next collector has begun, before it can answer; the rest some time after it has answered.
Now and then what is committed is written to the folder SNAPSHOTS, one file each time. The last line of the output is JSON.
"""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

PROCESSES = "/sys/fs/cgroup/termspan.slice/termspand.service/cgroup.procs"
DATABASE = "/var/lib/termspan/termspan.db"
COMMITTED = Path(__file__).with_name("committed.sql")


def collector(other_than=None):
    """The pid of a running collector, waited for."""
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        try:
            with open(PROCESSES) as file:
                pids = [int(line) for line in file]
        except OSError:  # No group yet, or one that is being removed.
            pids = []
        for pid in pids:
            try:
                program = os.readlink(f"/proc/{pid}/exe")
            except OSError:
                continue
            if pid != other_than and program.endswith("/termspand"):
                return pid
        time.sleep(0.002)
    sys.exit("no collector within 60 s")


def wait_answer():
    deadline = time.monotonic() + 60
    while subprocess.run(["termspan", "query", "session"], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        if time.monotonic() > deadline:
            sys.exit("no answer within 60 s")


def snapshot(path):
    done = subprocess.run(["sqlite3", "-readonly", "-cmd", ".timeout 5000", DATABASE, COMMITTED.read_text()], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"the store can't be read: {done.stderr}")
    with open(path, "w") as file:
        file.write(done.stdout)


def main():
    kills, seed, folder = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    dice = random.Random(seed)
    os.makedirs(folder, exist_ok=True)
    answers, early = [], 0
    killed, pid = None, collector()
    for number in range(kills):
        if dice.random() < 0.5 and number + 1 < kills:
            time.sleep(dice.uniform(0, 0.15))
            early += 1
        else:
            wait_answer()
            if killed:
                answers.append((time.monotonic() - killed) * 1000)
            time.sleep(dice.uniform(0, 1))
        if number % 10 == 9:
            snapshot(f"{folder}/{number}")
        os.kill(pid, signal.SIGKILL)
        killed = time.monotonic()
        pid = collector(other_than=pid)
    wait_answer()
    answers.append((time.monotonic() - killed) * 1000)
    print(json.dumps({"kills": kills, "early": early, "answers": answers}))


main()
