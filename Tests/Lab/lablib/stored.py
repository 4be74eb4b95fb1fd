"""What the product has stored, held against a trace of the X server: what tests of accounting share."""

import json
import time
from collections import namedtuple
from decimal import Decimal

from .host import wait_until
from .product import ProductTestCase
from .witness import MISSED

SECOND = 1_000_000_000
# No window has the focus for a moment while one goes and the other comes: shorter than this it may be missed.
BRIEF = SECOND // 20

# Moments are nanoseconds of CLOCK_BOOTTIME. `row` is the listing's own, or the trace's `Focus`.
Interval = namedtuple("Interval", "start end window_class executable row")


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


class StoredTestCase(ProductTestCase):
    tracked = ["user1"]
    settings = {"burst-gap": "2s", "idle-threshold": "4s", "passive-limit": "4s"}

    @classmethod
    def exact(cls, *arguments):
        """As Product.listing, with fractions as they are printed."""
        return json.loads(cls.product.command(*arguments, "--format", "json").stdout, parse_float=Decimal, parse_int=Decimal)

    @classmethod
    def stored(cls, sql):
        text = cls.lab.enter(["sqlite3", "-readonly", "-json", "-cmd", ".timeout 5000", "/var/lib/termspan/termspan.db", sql]).stdout
        return json.loads(text or "[]")

    @classmethod
    def wait_stored(cls):
        query = "SELECT 1 WHERE EXISTS (SELECT 1 FROM session) AND NOT EXISTS (SELECT 1 FROM session WHERE end IS NULL)"
        wait_until("the end of each session in the store", lambda: cls.stored(query), 20, progress=cls.product.report)

    @classmethod
    def focus_of(cls, spans):
        """The intervals of a listing's rows, in boot time by the store's anchors."""
        anchors = cls.stored("SELECT at, wall FROM clock_anchor ORDER BY wall DESC")

        def boot_time(text):
            whole, fraction = text.rstrip("Z").split(".")
            seconds = int(time.mktime(time.strptime(whole + " UTC", "%Y-%m-%dT%H:%M:%S %Z"))) - time.timezone
            wall = seconds * SECOND + int(fraction.ljust(9, "0"))
            anchor = next((anchor for anchor in anchors if anchor["wall"] <= wall), anchors[-1])
            return anchor["at"] + wall - anchor["wall"]
        return [Interval(boot_time(span["start"]), boot_time(span["end"]), span["class"], span["executable"], span) for span in spans]


def traced_focus(trace, until):
    """The focus intervals of a trace that began before `until`; the last one's end is told by the next."""
    changes = trace.focus
    intervals = [Interval(change.at, later.at, change.window_class, change.executable, change)
                 for change, later in zip(changes, changes[1:]) if later.at > change.at]
    return [interval for interval in intervals if interval.start < until]


def matched_focus(case, trace, focus, until):
    """Pairs of a traced interval and the product's, in order; those of no duration to speak of may be missing on either side.

    Where the trace was too late to look, the product may have been in time.
    """
    traced = traced_focus(trace, until)
    told = [interval for interval in focus if interval.end > trace.started]
    pairs = []
    one = other = 0
    while one < len(traced):
        true, said = traced[one], told[other] if other < len(told) else None
        if true.row.window == MISSED:
            one += 1
            while other < len(told) and (told[other].start + told[other].end) // 2 < true.end:
                other += 1
        elif said and said.window_class == true.window_class:
            pairs.append((true, said))
            one, other = one + 1, other + 1
        elif true.end - true.start < BRIEF:
            one += 1
        # What had the focus when the trace began may have lost it before the trace's first look.
        elif said and (said.end - said.start < BRIEF or not pairs and said.start < trace.started):
            other += 1
        else:
            case.fail(f"after {len(pairs)} that agree: {true} in the trace, {said} by the product\n"
                      f"trace: {traced[max(0, one - 3):one + 4]}\nproduct: {told[max(0, other - 3):other + 4]}")
    return pairs


def traced_bursts(trace, gap):
    """The trace's inputs, divided by pauses of the gap."""
    bursts = []
    for at in trace.inputs:
        if bursts and at - bursts[-1][1] < gap:
            bursts[-1][1] = max(at, bursts[-1][1])
        else:
            bursts.append([at, at])
    return bursts
