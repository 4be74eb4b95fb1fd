"""Compares what the product has of a session with the session's script. Pure: no lab, no clock.

All moments are nanoseconds of CLOCK_BOOTTIME. The truth is the script of Tests/Lab/programs/honest.py; what follows from it is
worked out here once more by Docs/accounting.md, and shares no code with the product.

What may be unknown, and nothing else:

| explanation | which time | how it begins | how it ends |
| --- | --- | --- | --- |
| logon | the session's first | with the session | at most LOGON_LIMIT after its X server began; where a fault holds up logons, that long after its end |
| logoff | the session's last | not before the logoff | with the session, at most LOGOFF_LIMIT later than logind let go of it; held up as logons are |
| a killed probe | one time in its own session | at the last that the probe told before | at most SUCCESSOR_LIMIT after the kill, or when its successor was seen to run |
An active window may be told to be unseen where it was gone before its probe could look, as long as that takes from one change to a later
one, while a fault of the whole machine goes on.
"""

import json
from collections import Counter, defaultdict, namedtuple
from dataclasses import dataclass, field

MILLISECOND, SECOND = 1_000_000, 1_000_000_000
# What the product may be off, and beyond what the script's own moment is too uncertain to be held against it.
TOLERANCE = 100 * MILLISECOND
LOGON_LIMIT = 10 * SECOND
LOGOFF_LIMIT = 10 * SECOND
SUCCESSOR_LIMIT = 5 * SECOND
# A script changes windows every few seconds: one that does not for so long has ended, and compares nothing.
SILENCE_LIMIT = 90 * SECOND
# Docs/accounting.md, 'The snapshot's input': a last input this little after a burst is that burst's.
SAME_INPUT = SECOND
# As the store has them: input of a device, which no script makes; and the reason of the time before the first snapshot.
DEVICE = 1
# In the place of a class: some window was active, and nothing of it is known.
UNSEEN = "an unseen window"
REASONS = ("no-data", "events-lost", "source-ended", "source-gap", "lane-quarantined", "collector-down", "starting", "no-source")

Change = namedtuple("Change", "at name sure")
Input = namedtuple("Input", "at sure")
Burst = namedtuple("Burst", "start end starts_sure ends_sure")
# A row of the store; `what` is the class, the origin or the reason. `executable` is that of focus intervals.
Row = namedtuple("Row", "start end what executable", defaults=(None,))
# Something that was done to the product; `end` is when it had recovered. `user` is whose probe it was, where it was one's.
Fault = namedtuple("Fault", "kind begin end user", defaults=(None,))
Finding = namedtuple("Finding", "session at text")


@dataclass
class Script:
    """What one session did."""

    changes: list
    inputs: list

    @classmethod
    def read(cls, lines):
        changes, inputs = [], []
        for line in lines:
            # The last line of a session that was ended may be torn.
            if not line.endswith("\n"):
                break
            record = json.loads(line)
            if record["kind"] == "start":
                # A server that was just started counts its idle time from then.
                inputs.append(Input(record["server"], True))
                continue
            sure = record["seen"] - record["before"] <= TOLERANCE
            if record["kind"] == "focus":
                changes.append(Change(record["at"], record["class"], sure))
            else:
                inputs.append(Input(record["at"], sure))
        return cls(changes, inputs)

    @property
    def server(self):
        """When its X server began."""
        return self.inputs[0].at

    def class_at(self, moment):
        return next((change.name for change in reversed(self.changes) if change.at <= moment), None)

    def last_told(self, moment, gap):
        """The latest moment up to this one of which a source tells: a change of the window, or a burst's begin or end."""
        told = [change.at for change in self.changes]
        for one, other in zip([None, *self.inputs], [*self.inputs, None]):
            if one is None or other is not None and other.at - one.at >= gap:
                told.append(other.at) if other else None
            if one is not None and (other is None or other.at - one.at >= gap):
                told.append(one.at + gap)
        return max((at for at in told if at <= moment), default=0)


@dataclass
class Honest:
    """One session: its script, when it was asked to end, and what the store has of it."""

    name: str
    user: str
    script: Script
    logoff: int
    # When logind let go of it, which may take long while the bus is held up.
    gone: int
    start: int
    end: int
    focus: list
    bursts: list
    unknown: list


@dataclass
class Result:
    """What came out, of one session or of many."""

    findings: list = field(default_factory=list)
    scripted: Counter = field(default_factory=Counter)
    compared: Counter = field(default_factory=Counter)
    uncertain: Counter = field(default_factory=Counter)
    # Absolute deviations in nanoseconds, by what they are of.
    deviations: dict = field(default_factory=lambda: defaultdict(list))
    # Nanoseconds by (reason, explanation).
    unknown: Counter = field(default_factory=Counter)
    unresolved: int = 0

    def add(self, other):
        self.findings += other.findings
        self.scripted += other.scripted
        self.compared += other.compared
        self.uncertain += other.uncertain
        self.unknown += other.unknown
        self.unresolved += other.unresolved
        for what, values in other.deviations.items():
            self.deviations[what] += values


def check(session, faults, *, gap, executable):
    """Compares one session's rows with its script and what was done to the product; `gap` is the burst gap."""
    result = Result()

    def find(at, text):
        result.findings.append(Finding(session.name, at, text))

    result.scripted.update({"changes of the window": len(session.script.changes), "inputs": len(session.script.inputs)})
    last = max((change.at for change in session.script.changes), default=session.start)
    if session.logoff - last > SILENCE_LIMIT:
        find(last, "the script stopped here, long before the logoff")
    rows = sorted(session.focus + session.unknown, key=lambda row: row[:2])
    _check_partition(session, rows, find)
    logon = session.start
    for row in sorted(session.unknown, key=lambda row: row.start):
        if row.start == logon:
            # The times before the first snapshot follow one another.
            logon = row.end
        explanation = _explain(session, row, faults, gap, begins=row.end == logon)
        result.unknown[REASONS[row.what], explanation or "nothing"] += row.end - row.start
        if not explanation:
            find(row.start, f"unknown ({REASONS[row.what]}) for {(row.end - row.start) / SECOND:.3f} s, which no fault explains")
    periods = _known_periods(session)
    for period in periods:
        _check_focus(session, period, faults, executable, result, find)
    _check_bursts(session, periods, gap, result, find)
    return result


def _check_partition(session, rows, find):
    """Focus and unknown intervals follow one another without gap or overlap from the session's start to its end, to the nanosecond."""
    edges = [session.start, *(row.end for row in rows)]
    starts = [*(row.start for row in rows), session.end]
    for end, start in zip(edges, starts):
        if end != start:
            find(end, f"{'nothing' if start > end else 'two intervals'} for {abs(start - end)} ns")


def _explain(session, row, faults, gap, begins):
    """The explanation of an unknown interval, or None; see the table above. `begins`: nothing of the session was known before."""
    def held_from(moment):
        """When the collector could see to what began then: at once, or when the last of the faults that went on had passed."""
        return max([moment, *(fault.end for fault in faults if fault.user is None and fault.begin < row.end and fault.end > moment)])

    # A probe that was not ready when its collector went is ended by the next one.
    reasons = ("starting", "source-ended") if held_from(session.start) > session.start else ("starting",)
    if begins and REASONS[row.what] in reasons and row.end <= held_from(max(session.start, session.script.server)) + LOGON_LIMIT:
        return "logon"
    if row.start >= session.logoff - TOLERANCE and row.end == session.end <= max(held_from(session.logoff), session.gone) + LOGOFF_LIMIT:
        return "logoff"
    for fault in faults:
        if fault.kind == "probe-kill" and fault.user == session.user and REASONS[row.what] in ("source-ended", "source-gap"):
            earliest = session.script.last_told(fault.begin, gap) - TOLERANCE
            if earliest <= row.start <= fault.end and fault.begin <= row.end <= max(fault.begin + SUCCESSOR_LIMIT, fault.end):
                return fault.kind
    return None


def _known_periods(session):
    """The times between the unknown ones, up to the logoff: what comes after it nobody wrote down."""
    periods, start = [], session.start
    for row in [*sorted(session.unknown, key=lambda row: row.start), Row(session.end, session.end, None)]:
        if row.start > start:
            periods.append((start, row.start))
        start = row.end
    return [(start, min(end, session.logoff)) for start, end in periods if start < session.logoff]


def _pair(true, said, matches):
    """Pairs two lists in order; returns the pairs and what is left over of each."""
    pairs, missing, extra = [], [], []
    one = other = 0
    while one < len(true) and other < len(said):
        following = true[one + 1] if one + 1 < len(true) else None
        next_said = said[other + 1] if other + 1 < len(said) else None
        if (following and matches(following, said[other]) and abs(following[0] - said[other][0]) < abs(true[one][0] - said[other][0])
                and not (next_said and matches(following, next_said) and abs(following[0] - next_said[0]) <= TOLERANCE)):
            # Of two that it could be it is the nearer one, unless that has one of its own.
            missing.append(true[one])
            one += 1
        elif matches(true[one], said[other]):
            pairs.append((true[one], said[other]))
            one, other = one + 1, other + 1
        elif true[one][0] <= said[other][0]:
            missing.append(true[one])
            one += 1
        else:
            extra.append(said[other])
            other += 1
    return pairs, missing + true[one:], extra + said[other:]


def _out_of_sight(session, row, faults):
    """Whether the session's processes were gone before the collector could look at them, or it could open nothing to look."""
    if any(fault.kind == "no-descriptors" and fault.begin - SECOND < row.start < fault.end for fault in faults):
        return True
    # What is open when the collector goes is asked for again when it is back.
    return row.start > session.logoff - SECOND or any(
        fault.begin < row.end and fault.end > session.logoff - SECOND for fault in faults if fault.user is None)


def _check_focus(session, period, faults, executable, result, find):
    begin, end = period
    script = session.script
    said = [row for row in session.focus if begin <= row.start < end]
    # One right before the first look may be seen a moment later.
    true = [change for change in script.changes if begin - TOLERANCE < change.at < end]
    # What had the focus when the period began; a change right then may be on either side.
    if said and said[0].what not in {script.class_at(begin - TOLERANCE), script.class_at(begin), script.class_at(begin + TOLERANCE)}:
        find(begin, f"known to begin with {said[0].what}, which should be {script.class_at(begin)}")
    unseen = [row for row in said if row.what == UNSEEN]
    for row in unseen:
        if row.end - row.start > SECOND or not any(fault.begin < row.end and fault.end > row.start for fault in faults if fault.user is None):
            find(row.start, f"unseen for {(row.end - row.start) / SECOND:.3f} s, which no fault explains")
    pairs, missing, extra = _pair(
        true, said[1:], lambda change, row: row.what in (change.name, UNSEEN) and abs(change.at - row.start) < SECOND // 2)
    for change in missing:
        if begin + TOLERANCE < change.at < end - TOLERANCE and not any(row.start < change.at < row.end for row in unseen):
            find(change.at, f"the change to {change.name} is missing")
    for row in extra:
        if row.start < end - TOLERANCE:
            find(row.start, f"a change to {row.what} that nobody made")
    for change, row in pairs:
        if not change.sure:
            result.uncertain["focus"] += 1
            continue
        deviation = abs(row.start - change.at)
        result.deviations["focus: start, and end of the one before"].append(deviation)
        if deviation > TOLERANCE:
            find(change.at, f"the change to {change.name} is {deviation / MILLISECOND:.0f} ms {'late' if row.start > change.at else 'early'}")
    result.compared["focus intervals"] += len(said)
    result.compared["unseen windows"] += len(unseen)
    for row in said:
        if row.what == UNSEEN:
            continue
        if row.what is not None and row.executable is None:
            result.unresolved += 1
            if not _out_of_sight(session, row, faults):
                find(row.start, f"the program of {row.what} was not found")
        elif row.what is not None and row.executable != executable:
            find(row.start, f"{row.what} is taken for {row.executable}")


def expected_bursts(inputs, periods, gap, said=(), began=0):
    """The bursts that should be stored, by Docs/accounting.md: none reaches back to before measuring began.

    `said` decides only where the script itself is too close to a limit to say on which side it is.
    """
    def starts_near(moment):
        return any(abs(row.start - moment) <= TOLERANCE for row in said)

    def ends_near(moment):
        return any(abs(row.end - moment) <= TOLERANCE for row in said)

    def reaches(duration, limit, otherwise):
        return otherwise() if abs(duration - limit) <= TOLERANCE else duration > limit

    bursts, previous = [], None
    for begin, end in periods:
        first = latest = None
        earliest = max(previous or 0, began)
        prior, before = ([None, None] + [each for each in inputs if each.at <= begin])[-2:]
        # An input right before the period may have come after the look that it begins with, which told of the one before.
        if prior and begin - before.at <= TOLERANCE and not starts_near(max(before.at, earliest)) and starts_near(max(prior.at, earliest)):
            before = prior
            begin = before.at
        if before and not reaches(begin - before.at, gap, lambda: not starts_near(max(before.at, earliest))):
            first = latest = before._replace(at=max(before.at, earliest))
        elif before and all(
            reaches(before.at - at, limit, lambda: starts_near(before.at)) for at, limit in [(began, 0), *([(previous, SAME_INPUT)] if previous is not None else [])]
        ):
            bursts.append(Burst(before.at, before.at, before.sure, before.sure))
            previous = before.at
        for each in inputs:
            # An input right at the end of what is known may or may not have been told.
            if not begin < each.at < end + TOLERANCE or each.at > end - TOLERANCE and not first and not starts_near(each.at):
                continue
            if first and each.at - latest.at > gap - TOLERANCE and reaches(each.at - latest.at, gap, lambda: starts_near(each.at)):
                bursts.append(Burst(first.at, latest.at, first.sure, latest.sure))
                previous, first = latest.at, None
            first, latest = first or each, each
        if first:
            # Not told to be over: it holds as long as anything is known.
            told = reaches(end - latest.at, gap, lambda: ends_near(latest.at))
            previous = latest.at if told else end
            bursts.append(Burst(first.at, previous, first.sure, latest.sure if told else True))
    return bursts


def _check_bursts(session, periods, gap, result, find):
    said = [row for row in session.bursts if row.start < session.logoff - TOLERANCE]
    # Between two unknown times there may have been one look, which told of input before it.
    ends, starts = ({getattr(row, which) for row in session.unknown} for which in ("end", "start"))
    periods = sorted({*periods, *((row.end, row.end) for row in said if row.end in ends & starts)})
    # The last known period ends at the logoff only as far as the script knows; a burst open then ends with what the product knows.
    true = expected_bursts(session.script.inputs, periods, gap, said, session.start)
    pairs, missing, extra = _pair(true, said, lambda burst, row: abs(burst.start - row.start) < gap // 2)
    for burst in missing:
        if burst.start < session.logoff - TOLERANCE:
            find(burst.start, f"a burst of {(burst.end - burst.start) / SECOND:.3f} s is missing")
    for row in extra:
        find(row.start, f"a burst of {(row.end - row.start) / SECOND:.3f} s that nobody made")
    for burst, row in pairs:
        # After the logoff the script knows nothing of.
        edges = [("begin", burst.start, row.start, burst.starts_sure)]
        if burst.end < session.logoff - TOLERANCE:
            edges.append(("end", burst.end, row.end, burst.ends_sure))
        for which, expected, stored, sure in edges:
            if not sure:
                result.uncertain["bursts"] += 1
                continue
            deviation = abs(stored - expected)
            result.deviations[f"burst: {which}"].append(deviation)
            if deviation > TOLERANCE:
                find(expected, f"a burst's {which} is {deviation / MILLISECOND:.0f} ms {'late' if stored > expected else 'early'}")
        if row.what == DEVICE:
            find(row.start, "a program's input is taken for a device's")
    result.compared["bursts"] += len(said)


def check_numbers(sessions, rest):
    """No number is two sessions' at a time, nor another's before it has rested; `sessions` are (number, name, start, end, lost).

    One that was `lost` went while no collector ran, or before its end was stored: the end that it has is that of the next one's look.
    """
    findings = []
    by_number = defaultdict(list)
    for number, name, start, end, lost in sessions:
        by_number[number].append((start, end, name, lost))
    for number, holders in by_number.items():
        for (_, end, one, lost), (start, _, other, _) in zip(sorted(holders), sorted(holders)[1:]):
            if end > start:
                findings.append(Finding(other, start, f"number {number} is still that of {one}"))
            # A session's end is when it ended, the rest begins when that is seen.
            elif start - end < rest - (LOGOFF_LIMIT if lost else SECOND):
                findings.append(Finding(other, start, f"number {number} rested for {(start - end) / SECOND:.1f} s only after {one}"))
    return findings
