"""A collector that is killed at random while users work: what is left of their work is compared with what they did."""

import json
import shutil
import time
from pathlib import Path

from .host import LabError
from .product import CATEGORIES, figure
from .work import WorkDay

PROGRAMS = Path(__file__).resolve().parent.parent / "programs"
INSIDE = "/var/tmp/termspan-killer"
DATABASE = "/var/lib/termspan/termspan.db"
# Intervals of a session that overlap, which would be time counted twice.
OVERLAPS = """
    WITH parts AS (SELECT session, start, length FROM focus_interval UNION ALL SELECT session, start, length FROM unknown_interval)
    SELECT count(*) FROM (SELECT start + length AS end, lead(start) OVER (PARTITION BY session ORDER BY start) AS next FROM parts) WHERE end > next
"""


def kill_at_random(product, users, kills, seed, say=print):
    """Has these users, who have sessions, work while the collector is killed so often; raises LabError where anything is not as it must be."""
    lab = product.lab
    days = [WorkDay(product, user) for user in users]
    for day in days:
        day.work.prepare()
    product.wait_measured(*users, timeout=60)
    rows, probes = identities(product, users), product.probes()
    folder = lab.root / INSIDE.lstrip("/")
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for name in ("killer.py", "committed.sql"):
        shutil.copy(PROGRAMS / name, folder / name)
    try:
        for number, day in enumerate(days):
            # No two at the same pace.
            day.begin(0.3 + 0.07 * number)
        begin = time.time()
        done = lab.enter(["python3", f"{INSIDE}/killer.py", kills, seed, f"{INSIDE}/snapshots"], timeout=120 + 5 * kills)
        result = json.loads(done.stdout.splitlines()[-1])
        took = time.time() - begin
        days[0].work.wait_steps(3)
        distances = [distance for day in days for distance in day.end()]
        if identities(product, users) != rows:
            raise LabError(f"sessions changed their identity: {rows} became {identities(product, users)}")
        if product.probes() != probes:
            raise LabError(f"probes changed: {probes} became {product.probes()}")
        for row in product.summary():
            if abs(sum(row[name] for name in CATEGORIES) - row["total"]) > 1e-6:
                raise LabError(f"the categories don't add up: {row}")
        check_store(product, folder / "snapshots", say)
        say(f"{result['kills']} kills in {took:.0f} s (seed {seed}), {result['early']} of them before the collector could answer; "
            f"{len(users)} users, {len(distances)} switches, each held once; Unknown in all: 0 s")
        figure(f"{kills} kills: from the last kill to an answer", result["answers"])
        figure(f"{kills} kills: a switch's note to its span's start", distances)
    finally:
        for day in days:
            day.work.remove()
        shutil.rmtree(folder, ignore_errors=True)


def identities(product, users):
    return {row["user"]: (row["id"], row["uuid"], row["logon"]) for row in product.wait_measured(*users, timeout=60)}


def check_store(product, snapshots, say):
    """Nothing that was seen committed may be gone or different, nothing doubled, and the file must be whole."""
    def sql(query):
        return product.lab.enter(["sqlite3", "-readonly", "-cmd", ".timeout 5000", DATABASE, query]).stdout
    final = set(sql((PROGRAMS / "committed.sql").read_text()).splitlines())
    seen = 0
    for path in snapshots.glob("*"):
        before = set(path.read_text().splitlines())
        if gone := before - final:
            raise LabError(f"committed by kill {path.name} and gone or changed since: {sorted(gone)[:5]}")
        seen += len(before)
    say(f"rows seen committed at a kill and still the same at the end: {seen}; rows at the end: {len(final)}")
    if (whole := sql("PRAGMA integrity_check").strip()) != "ok":
        raise LabError(f"the store is damaged: {whole}")
    if (overlaps := int(sql(OVERLAPS))) != 0:
        raise LabError(f"{overlaps} intervals overlap")
