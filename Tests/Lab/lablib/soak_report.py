"""What comes of a soak: each honest session against its script, the sums, the numbers, the journal; and the table of figures."""

import sqlite3
import time
from bisect import bisect_right
from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timezone

from . import soak_check
from .product import CATEGORIES, moment, percentile
from .soak import GAP_SECONDS
from .soak_check import MILLISECOND, SECOND, UNSEEN, Finding, Honest, Result, Row, Script
from .soak_faults import FAULTS, now

# DESIGN: how long a freed number rests.
REST = 600 * SECOND
# As the store has it: the reason of an end that nobody saw.
LOST = 3
# How much of what the scripts did may be too uncertain in time to be compared.
UNCERTAIN_SHARE = 0.01
# Attacks are rude to their own sessions too, and some fail by that; but a soak without attacks shows nothing.
ATTACKS_DONE = 2 / 3
# A record may come a little later than what it tells of, and journald may have been busy.
RECORD_DELAY = 5 * SECOND


class Store:
    """A copy of the database, read without the product."""

    def __init__(self, path):
        self.database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
        self.database.row_factory = sqlite3.Row
        self.sessions = self.rows("""
            SELECT session.id, lower(hex(uuid)) AS uuid, number, start, end, end_reason,
                (SELECT login FROM login WHERE session = session.id) AS login
            FROM session ORDER BY start""")
        self.anchors = [(row["at"], row["wall"]) for row in self.rows("SELECT at, wall FROM clock_anchor ORDER BY at")]

    def rows(self, query, *arguments):
        return self.database.execute(query, arguments).fetchall()

    def streams(self, session):
        """Focus intervals, bursts and unknown intervals of a session, by their start."""
        focus = self.rows("""
            SELECT start, start + length AS end, class, executable, application, switches FROM focus_interval
            LEFT JOIN application ON application.id = application WHERE session = ? ORDER BY start""", session)
        bursts = self.rows("SELECT start, start + length AS end, origin FROM input_burst WHERE session = ? ORDER BY start", session)
        unknown = self.rows("SELECT start, start + length AS end, reason FROM unknown_interval WHERE session = ? ORDER BY start", session)
        def name(row):
            if row["switches"]:
                return f"{row['switches']} quick switches"
            return UNSEEN if row["application"] is not None and row["class"] is row["executable"] is None else row["class"]
        return ([Row(row["start"], row["end"], name(row), row["executable"]) for row in focus],
                [Row(*row) for row in bursts], [Row(*row) for row in unknown])

    def lost(self, session):
        return self.rows("SELECT coalesce(sum(lost), 0) FROM unknown_interval WHERE session = ?", session)[0][0]

    def wall(self, at):
        """Nanoseconds since 1970 at a moment of boot time, by the anchors."""
        index = max(0, bisect_right(self.anchors, (at, 1 << 63)) - 1)
        return self.anchors[index][1] + at - self.anchors[index][0]


def check_numbers(sessions):
    """What is wrong with the numbers of sessions, rows of `Store.sessions`."""
    return soak_check.check_numbers(
        [(row["number"], f"{row['login']}'s {row['uuid'][:13]}", row["start"], row["end"], row["end_reason"] == LOST) for row in sessions], REST)


@dataclass
class Outcome:
    result: Result
    store: Store
    sessions: int
    lost: int


def compare(soak):
    """Compares everything; what is wrong is in the result's findings."""
    store = Store(soak.folder / "termspan.db")
    result = Result(findings=list(soak.problems))
    pairs = pair_sessions(soak, store, result)
    lost = 0
    for session, row in pairs:
        with open(soak.folder / f"scripts/{session.number}.jsonl") as lines:
            script = Script.read(lines)
        honest = Honest(session.name, session.user, script, session.logoff, session.gone or session.logoff, row["start"], row["end"], *store.streams(row["id"]))
        result.add(soak_check.check(honest, soak.faults, gap=GAP_SECONDS * SECOND, executable=soak.executable))
        lost += store.lost(row["id"])
    result.findings += check_numbers(store.sessions)
    result.findings += check_summaries(soak, store) + check_spans(soak, store) + check_records(soak)
    done = sum(attack.done for attack in soak.attacks)
    if done < ATTACKS_DONE * len(soak.attacks):
        result.findings.append(Finding("attacks", 0, f"only {done} of {len(soak.attacks)} took place"))
    if lost:
        result.findings.append(Finding("honest sessions", 0, f"{lost} events lost"))
    compared = sum(len(values) for values in result.deviations.values())
    if sum(result.uncertain.values()) > UNCERTAIN_SHARE * compared:
        result.findings.append(Finding("scripts", 0, f"too many uncertain moments: {dict(result.uncertain)} of {compared}"))
    return Outcome(result, store, len(pairs), lost)


def pair_sessions(soak, store, result):
    """Each honest session with its row of the store: exactly one each, in the order of its user's logons."""
    pairs = []
    for user in soak.honest_users:
        here = [session for session in soak.sessions if session.user == user]
        rows = [row for row in store.sessions if row["login"] == user]
        if len(here) != len(rows):
            result.findings.append(Finding(user, 0, f"{len(here)} sessions, and {len(rows)} in the store"))
        pairs += zip(here, rows)
    return sorted(pairs, key=lambda pair: pair[0].number)


def check_summaries(soak, store):
    """The categories of every session, attackers' too, add up to its time exactly."""
    lengths = {row["uuid"]: row["end"] - row["start"] for row in store.sessions}
    findings = []
    for row in soak.summaries:
        uuid, name = row["session_uuid"].replace("-", ""), f"summary of {row['user']}"
        if sum(row[category] for category in CATEGORIES) != row["total"]:
            findings.append(Finding(name, 0, f"the categories don't add up: {row}"))
        if row["total"] * SECOND != lengths.pop(uuid, None):
            findings.append(Finding(name, 0, f"the total is not the session's time: {row}"))
    return findings + [Finding("summary", 0, f"session {uuid} is missing") for uuid in lengths]


def check_spans(soak, store):
    """What the command lists is what the store holds, of every session."""
    listed = {}
    for span in soak.spans:
        listed.setdefault(span["session_uuid"].replace("-", ""), []).append((span["start"], span["end"], span["class"]))
    findings = []
    for session in store.sessions:
        held = [(text(store.wall(row["start"])), text(store.wall(row["end"])), row["class"])
                for row in store.rows("""SELECT start, start + length AS end, class FROM focus_interval
                    LEFT JOIN application ON application.id = application WHERE session = ? ORDER BY start""", session["id"])]
        said = sorted(listed.pop(session["uuid"], []), key=lambda span: span[:2])
        if said != held:
            wrong = next(((one, other) for one, other in zip(held, said) if one != other), None)
            findings.append(Finding(session["login"], session["start"], f"{len(held)} spans in the store, {len(said)} listed; first difference: {wrong}"))
    return findings + [Finding("spans", 0, f"spans of {uuid}, which the store has not") for uuid in listed]


def text(wall):
    """A wall time as the command prints it."""
    whole = datetime.fromtimestamp(wall // SECOND, timezone.utc).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{whole}.{wall % SECOND // 1000:06d}Z"


def check_records(soak):
    """Each fault that the product has a record for has it, and the collector started only when a fault ended it."""
    ahead = time.time_ns() - now()
    records = [(record["event"], record.get("user"), int(moment(record["time"]) * SECOND) - ahead) for record in soak.records]
    findings = []
    for fault in soak.faults:
        wanted = FAULTS[fault.kind].record
        if wanted and not any(event == wanted and user in (fault.user, None) and fault.begin - SECOND <= at <= fault.end + RECORD_DELAY
                              for event, user, at in records):
            findings.append(Finding(f"fault {fault.kind}", fault.begin, f"no record '{wanted}' in the journal"))
    starts = [fault for fault in soak.faults if FAULTS[fault.kind].record == "collector-started"]
    for event, _, at in records:
        if event == "collector-started" and at > soak.sessions[0].begin and not any(fault.begin <= at <= fault.end + SECOND for fault in starts):
            findings.append(Finding("collector", at, "it started, and no fault had ended it"))
    return findings


def describe(soak, outcome):
    """The table of figures and the verdict, as lines; findings come with what was going on around them."""
    result = outcome.result
    begin = soak.sessions[0].begin
    yield f"soak: seed {soak.plan.seed}, {soak.plan.seconds:.0f} s, {soak.plan.honest} honest sessions at a time ({outcome.sessions} in all), {soak.plan.attackers} attackers"
    yield line("scripts", ", ".join(f"{count} {what}" for what, count in result.scripted.items()))
    for what, count in result.compared.items():
        yield line(f"{what} compared", count)
    for what, values in sorted(result.deviations.items()):
        values = [value / MILLISECOND for value in values]
        yield line(f"{what}, deviation", f"p50 {percentile(values, 0.5):.1f}, p99 {percentile(values, 0.99):.1f}, max {max(values):.1f} ms (n={len(values)})")
    yield line("left out, the script's own moment uncertain", dict(result.uncertain) or 0)
    for (reason, explanation), length in sorted(result.unknown.items()):
        yield line(f"unknown, {reason}, by {explanation}", f"{length / SECOND:.3f} s")
    yield line("events lost in honest sessions", outcome.lost)
    yield line("focus intervals whose executable was not found", result.unresolved)
    yield line("faults", counted(soak.faults))
    yield line("attacks", counted([attack for attack in soak.attacks if attack.done]))
    yield line("attacks that did not take place", counted([attack for attack in soak.attacks if not attack.done]))
    yield line("logons and logoffs of honest users meanwhile", outcome.sessions - soak.plan.honest)
    yield from describe_samples(soak)
    yield line("verdict", f"FAILED, {len(result.findings)} findings" if result.findings else "passed")
    for finding in result.findings[:50]:
        at = f"{(finding.at - begin) / SECOND:10.3f} s  " if finding.at else ""
        yield f"  {at}{finding.session}: {finding.text}"
        around = [f"{each.kind} ({each.user or 'all'}, {(each.begin - finding.at) / SECOND:+.3f} to {(each.end - finding.at) / SECOND:+.3f} s)"
                  for each in soak.faults + soak.attacks if finding.at and each.begin - 5 * SECOND < finding.at < each.end + 5 * SECOND]
        if around:
            yield f"      meanwhile: {', '.join(around)}"


def counted(done):
    return f"{len(done)}: " + ", ".join(f"{kind} {count}" for kind, count in sorted(Counter(each.kind for each in done).items()))


def describe_samples(soak):
    seen = [sample for sample in soak.samples if "memory" in sample]
    if not seen:
        return
    memory, descriptors = ([sample[what] for sample in seen] for what in ("memory", "descriptors"))
    yield line("collector, resident memory", f"begin {memory[0] / 2**20:.1f}, max {max(memory) / 2**20:.1f}, end {memory[-1] / 2**20:.1f} MB")
    yield line("collector, descriptors", f"begin {descriptors[0]}, max {max(descriptors)}, end {descriptors[-1]}")
    spent = {}
    for sample in seen:
        spent[sample["pid"]] = sample["processor"]
    length = (seen[-1]["at"] - seen[0]["at"]) / SECOND
    yield line("collector, processor time", f"{sum(spent.values()):.1f} s of {length:.0f} s ({100 * sum(spent.values()) / max(1, length):.2f} % of a core), {len(spent)} processes")
    idle = sorted(sample["idle"] for sample in soak.samples if sample["idle"] is not None)
    calm = [sample["idle"] for sample in soak.samples if sample["idle"] is not None and soak.calm[0] <= sample["at"] <= soak.calm[1]]
    yield line("machine idle", f"median {100 * percentile(idle, 0.5):.0f} %" + (f", before faults and attacks began {100 * percentile(calm, 0.5):.0f} %" if calm else ""))


def line(what, value):
    return f"| {what} | {value} |"
