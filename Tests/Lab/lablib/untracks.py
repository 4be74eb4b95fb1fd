"""Users who are untracked at random moments while their windows change: what the store has is compared with when that was."""

import datetime
import json
import shutil
import sqlite3
import tempfile
import time
from collections import defaultdict
from pathlib import Path

from . import headless
from .host import LabError, wait_until
from .product import CATEGORIES, figure

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
FIGURES = Path(__file__).resolve().parents[2] / "Benchmarks/lab-figures"
INSIDE = "/var/tmp/termspan-untracker"
# All that is dated, with its user: what it is, when it began and when it ended.
DATED = """
    WITH dated AS (
        SELECT 'focus' AS kind, session, start, start + length AS end FROM focus_interval
        UNION ALL SELECT 'burst', session, start, start + length FROM input_burst
        UNION ALL SELECT 'unknown', session, start, start + length FROM unknown_interval
        UNION ALL SELECT 'event', session, at, at FROM session_event)
    SELECT login.login, dated.kind, dated.start, dated.end FROM dated JOIN login USING (session)
"""


def untrack_at_random(product, users, times, seed, say=print):
    """Untracks these users, of whom each has a headless session, so often; raises LabError where anything later than that is held."""
    lab = product.lab
    folder = lab.root / INSIDE.lstrip("/")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for path in (PROGRAMS / "untracker.py", PROGRAMS / "honest.py", Path(__file__).parent / "witness.py", FIGURES):
        shutil.copy(path, folder / path.name)
    try:
        before = committed(product)
        sessions = [f"{user}:{headless.FIRST_DISPLAY + number}:{lab.container.account(user)['home']}/.Xauthority"
                    for number, user in enumerate(users)]
        begin = time.time()
        stretches, reports = [], None
        # What was reported after some of them is reported the same after all.
        for number, part in enumerate((first := min(20, times // 2), times - first)):
            done = lab.enter(["python3", f"{INSIDE}/untracker.py", part, seed + number, *sessions], timeout=120 + 5 * part)
            stretches += [json.loads(line) for line in done.stdout.splitlines()]
            if number == 0:
                wait_until("all to be stored", lambda: product.status()["pending"] == 0, 20, progress=product.report)
                until = time.time()
                reports = reports_until(product, until)
        took = time.time() - begin
        if len(stretches) != times:
            raise LabError(f"{len(stretches)} times of {times}: {done.stdout[-500:]}")
        wait_until("all to be stored", lambda: product.status()["pending"] == 0, 20, progress=product.report)
        for row in product.summary():
            if abs(sum(row[name] for name in CATEGORIES) - row["total"]) > 1e-6:
                raise LabError(f"the categories don't add up: {row}")
        rows = dated(product)
        if gone := before - committed(product):
            raise LabError(f"held before, and gone or changed since: {sorted(gone)[:5]}")
        check(rows, stretches)
        if not any(reports) or reports != (after := reports_until(product, until)):
            raise LabError(f"what is reported of before has changed:\n{reports}\n{after}")
        say(f"{times} times untracked in {took:.0f} s (seed {seed}), {len(users)} users: of {len(rows)} rows none is of later, "
            "and all that was held and reported before is as it was")
        figure(f"{times} times untracked: the call", [(one["answered"] - one["asked"]) / 1e6 for one in stretches])
        figure(f"{times} times untracked: from the call to no probe, by the user's own ps", [(one["gone"] - one["asked"]) / 1e6 for one in stretches])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def check(rows, stretches):
    """`rows` are (user, kind, start, end); nothing may be of the time between an answer and the next time that tracking was asked for."""
    own = defaultdict(list)
    for user, *row in rows:
        own[user].append(row)
    for stretch in stretches:
        user, asked, answered, tracked = (stretch[key] for key in ("user", "asked", "answered", "tracked"))
        for kind, start, end in own[user]:
            if start < tracked and end > answered:
                raise LabError(f"{user} has {kind} {start}-{end}, untracked at {answered} and until {tracked}")
        # Measured up to then: else nothing at all would pass.
        if not any(kind in ("focus", "unknown") and asked <= end <= answered for kind, _, end in own[user]):
            raise LabError(f"{user} has nothing that ends when it was untracked, between {asked} and {answered}")


def reports_until(product, moment):
    """What is reported of before a moment: how sessions divide, and the spans that had ended."""
    until = ["--all", "--until", f"{datetime.datetime.fromtimestamp(moment, datetime.timezone.utc):%Y-%m-%dT%H:%M:%SZ}"]
    spans = product.listing("spans", *until)
    return product.listing("summary", *until), [span for span in spans if span["end"] < until[-1].removesuffix("Z")]


def dated(product):
    with tempfile.TemporaryDirectory() as folder:
        product.copy_store(f"{folder}/store.db")
        database = sqlite3.connect(f"{folder}/store.db")
        try:
            return database.execute(DATED).fetchall()
        finally:
            database.close()


def committed(product):
    query = (PROGRAMS / "committed.sql").read_text()
    return set(product.lab.enter(["sqlite3", "-readonly", "-cmd", ".timeout 5000", "/var/lib/termspan/termspan.db", query]).stdout.splitlines())
