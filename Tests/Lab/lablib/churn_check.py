"""Compares what the product says of sessions with what a churn did and with what logind and the kernel say. Pure: no lab, no clock.

Moments are nanoseconds of CLOCK_BOOTTIME where nothing else is said.
"""

from collections import Counter, defaultdict, namedtuple
from dataclasses import dataclass, field

from .soak_check import SECOND, Finding

# What was seen of a UUID: whose, with which number, and when first and last.
Seen = namedtuple("Seen", "number user first last")
# A logon that failed, or a session that had to be ended by force: what came of it is not known. In seconds since 1970.
Spoiled = namedtuple("Spoiled", "user begin end")


@dataclass
class Session:
    """One session as the script knows it.

    `address` is where its client is or, while it is disconnected, was; `port` is the server's to which the client is connected.
    Without a port no client can be told.
    """

    name: str
    user: str
    stack: str
    begin: int
    # logind's ID of the login that it began with.
    login: str
    display: str = None
    port: int = None
    address: str = None
    state: str = "active"
    # Its number and UUID, as the product told them first.
    identity: tuple = None
    addresses: set = field(default_factory=set)
    gone: int = None

    @property
    def wanted(self):
        """What the product's row must say."""
        number, uuid = self.identity or (None, None)
        return {"user": self.user, "stack": self.stack, "state": self.state, "display": self.display,
                "client_address": self.address if self.port and self.state == "active" else None,
                **({"id": number, "uuid": uuid} if uuid else {})}


def ended_by_themselves(sessions, logins, connections):
    """Sessions that logind has no more, and those whose client the kernel has no more, though the script ended neither.

    That is no matter of the product's, which has to say what is. `logins` are (user, state) by logind's IDs, `connections` are
    pairs of the server's port and the client's address.
    """
    ended = [session for session in sessions if session.login not in logins]
    left = [session for session in sessions if session not in ended and session.port and session.state == "active"
            and (session.port, session.address) not in connections]
    return ended, left


def check_table(rows, sessions, logins, connections, at=0):
    """The table at rest against all sessions that there are: exactly one right row for each, and no other."""
    findings = []

    def find(whose, text):
        findings.append(Finding(whose, at, text))

    people = [row for row in rows if row["user"]]
    owners = _check_rows(rows, find)
    for login, (user, state) in logins.items():
        # Of one that is closing nothing may be left but a process or two.
        if login not in owners and state != "closing":
            find(f"login {login}", f"of {user} is in no row")
        for row in owners.get(login, ()):
            if row["user"] != user:
                find(f"login {login}", f"of {user} is in row {row['id']} of {row['user']}")
    for login in owners.keys() - logins.keys():
        find(f"login {login}", f"is in row {owners[login][0]['id']} of {owners[login][0]['user']}, and logind has no such")
    matched = {}
    for session in sessions:
        found = owners.get(session.login, [])
        if len(found) != 1:
            find(session.name, f"has {len(found) or 'no'} row{'s' * (len(found) > 1)}")
            continue
        row, = found
        if row["uuid"] in matched:
            find(session.name, f"is in the row of {matched[row['uuid']]}")
        matched[row["uuid"]] = session.name
        for key, value in session.wanted.items():
            if row[key] != value:
                find(session.name, f"{key} is {row[key]!r}, not {value!r}")
        if session.state == "disconnected" and (session.port, session.address) in connections:
            find(session.name, "is connected still, by the kernel")
    for row in people:
        if row["uuid"] not in matched:
            find(f"row {row['id']}", f"of {row['user']} ({row['stack']}, {row['state']}) is no session's")
    return findings


def _check_rows(rows, find):
    """Nothing twice in one reading; returns the rows by the logins that are in them."""
    people = [row for row in rows if row["user"]]
    for key, among in (("id", rows), ("uuid", people)):
        for value, count in Counter(row[key] for row in among).items():
            if count > 1:
                find(f"{key} {value}", f"is that of {count} rows")
    owners = defaultdict(list)
    for row in people:
        for login in row["logind_sessions"]:
            owners[login].append(row)
    for login, found in owners.items():
        if len(found) > 1:
            find(f"login {login}", f"is in rows {', '.join(str(row['id']) for row in found)}")
    return owners


class Identities:
    """All readings of the table, also those in motion: each by itself, and against all before."""

    def __init__(self, rest):
        self.rest = rest
        self.seen = {}
        self.readings = 0
        self.reused = 0
        self._holders = {}
        self._before = 0

    def read(self, rows, at):
        """Takes one reading, which was asked for at `at`, and returns what is wrong with it."""
        findings = []

        def find(whose, text):
            findings.append(Finding(whose, at, text))

        _check_rows(rows, find)
        for row in rows:
            if not row["user"]:
                continue
            number, uuid, user = row["id"], row["uuid"], row["user"]
            seen = self.seen.get(uuid)
            if seen is None:
                if holder := self._holders.get(number):
                    self.reused += 1
                    if at - self.seen[holder].last < self.rest - SECOND:
                        find(f"id {number}", f"is {user}'s {(at - self.seen[holder].last) / SECOND:.1f} s after it was last {self.seen[holder].user}'s")
                seen = Seen(number, user, at, at)
            elif (seen.number, seen.user) != (number, user):
                find(f"uuid {uuid}", f"was {seen.number} of {seen.user} and is {number} of {user}")
            elif seen.last < self._before:
                find(f"uuid {uuid}", f"of {user}, {number}, is back after {(at - seen.last) / SECOND:.1f} s in which it was not listed")
            self.seen[uuid] = Seen(number, user, seen.first, at)
            self._holders[number] = uuid
        self._before = at
        self.readings += 1
        return findings


def check_history(history, sessions, spoiled, moment):
    """Each session is recorded exactly once, as that of its user and stack, and none that nobody had, not even one that ended as merged.

    `moment` turns a time of the history into seconds since 1970.
    """
    findings = []
    recorded = defaultdict(list)
    for row in history:
        recorded[row["session_uuid"]].append(row)
    for session in sessions:
        if not session.identity:
            continue
        number, uuid = session.identity
        rows = recorded.pop(uuid, [])
        if len(rows) != 1:
            findings.append(Finding(session.name, session.begin, f"{uuid} is recorded {len(rows)} times"))
        for row in rows:
            wanted = {"user": session.user, "session": number, "stack": session.stack, "open": False}
            for key, value in wanted.items():
                if row[key] != value:
                    findings.append(Finding(session.name, session.begin, f"in the history {key} is {row[key]!r}, not {value!r}"))
            if foreign := set(row["client_addresses"]) - session.addresses:
                findings.append(Finding(session.name, session.begin, f"in the history it was used from {', '.join(sorted(foreign))}, where it never was"))
    for uuid, rows in recorded.items():
        for row in rows:
            if not any(row["user"] == each.user and each.begin - 1 <= moment(row["start"]) <= each.end + 1 for each in spoiled):
                findings.append(Finding(uuid, 0, f"is recorded of {row['user']} ({row['stack']}, {row['session']}, {row['start']} to {row['end']}, "
                                                 f"{row['end_reason']}), who had no such session"))
    return findings
