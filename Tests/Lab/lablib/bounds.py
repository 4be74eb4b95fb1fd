"""Whether what the product says of a session's beginning, end and clients agrees with what others wrote down: logind in the journal, and wtmp(5)."""

import json
import struct

from .host import wait_until
from .product import figure, moment

# Of sd-messages.h: SD_MESSAGE_SESSION_START and SD_MESSAGE_SESSION_STOP.
STARTED, ENDED = "8d45620c1a4348dbb17410da57c60c66", "3354939424b4456d9802ca8333ed424a"

# The journal's records by the names that events have in the history.
EVENTS = {"session-opened": "logon", "session-connected": "connect", "session-disconnected": "disconnect", "session-closed": "logoff"}

# What beginnings and ends may differ by, in seconds.
BEGINNING, END = 1, 2

# wtmp(5) on amd64: type, pid, line, id, user, host, exit status, session, seconds, microseconds, address.
LOGIN = struct.Struct("=hxxi32s4s32s256shhiii16s20x")
USER_PROCESS, DEAD_PROCESS = 7, 8


def logind_bounds(lab, session, since):
    """When a session of logind's began and ended by its own records since a moment, in seconds since 1970; None where it has none."""
    lab.enter(["journalctl", "--sync"])
    lines = lab.enter(["journalctl", "--output=json", "--no-pager", f"--since=@{int(since)}", "_SYSTEMD_UNIT=systemd-logind.service",
                       f"SESSION_ID={session}", f"MESSAGE_ID={STARTED}", f"MESSAGE_ID={ENDED}"]).stdout.splitlines()
    times = {record["MESSAGE_ID"]: int(record["_SOURCE_REALTIME_TIMESTAMP"]) / 1e6 for record in map(json.loads, lines)}
    return times.get(STARTED), times.get(ENDED)


def wtmp_bounds(lab, user):
    """The logins of a user that wtmp has from beginning to end: host, beginning and end of each, in seconds since 1970."""
    lasting, found = {}, []
    for kind, _, line, _, name, host, *_, seconds, microseconds, _ in LOGIN.iter_unpack((lab.root / "var/log/wtmp").read_bytes()):
        at = seconds + microseconds / 1e6
        if kind == USER_PROCESS:
            lasting[line] = [text.rstrip(b"\0").decode() for text in (name, host)] + [at]
        elif kind == DEAD_PROCESS and line in lasting:
            owner, *login = lasting.pop(line)
            if owner == user:
                found.append((*login, at))
    return found


def check_bounds(case, uuid, stack, *, wtmp=None):
    """Asserts of a session of this stack that has ended that history and journal tell the same of it, and the same as logind and wtmp.

    `wtmp` is the host that the stack's login has there; None is for stacks that write none.

    What may differ: the product sees a login when logind tells of it, a moment after its record; a terminal beside an X2Go session is known
    to be a session of its own only once its terminal is known, a quarter of a second later. To the product a session ends with its login
    and its X server, to logind with the last process that either left behind. An X2Go session is for both that of its first login, in which
    the agent is, since the others come and go with its client. To sshd a login lasts from its terminal's beginning to its end, both a moment
    within logind's session.
    """
    product, lab = case.product, case.lab

    def over():
        rows = product.listing("session", "history", "--session", uuid)
        return rows and not rows[0]["open"] and rows

    row, = wait_until("the history to have the session's end", over, 20, progress=product.report)
    case.assertEqual(row["stack"], stack)
    records = [record for record in product.log(session=uuid) if record["event"] in EVENTS]
    events = [event for event in product.listing("session", "history", "--session", uuid, "--events") if event["event"] in EVENTS.values()]

    # Both tell the same, and the tests hold the journal's records against what their scripts did.
    def clients(names):
        return [(name, entry["client_address"] if name in ("connect", "disconnect") else None) for name, entry in names]

    told = clients((EVENTS[record["event"]], record) for record in records)
    case.assertEqual(clients((event["event"], event) for event in events), told)
    for event, record in zip(events, records):
        case.assertLess(abs(moment(event["time"]) - moment(record["time"])), 1, (event, record))
    connects = [address for name, address in told if name == "connect"]
    case.assertEqual((row["connects"], row["disconnects"]), (len(connects), len([name for name, _ in told if name == "disconnect"])))
    case.assertEqual(row["client_addresses"], list(dict.fromkeys(filter(None, connects))))

    login, *_ = records[0]["logind_sessions"]
    began, ended = wait_until(f"logind to have ended session {login}", lambda: all(bounds := logind_bounds(lab, login, product.begin)) and bounds, 20,
                              progress=lambda: lab.enter(["loginctl", "session-status", login], check=False).stdout)
    differences = {"beginning": [moment(text) - began for text in (row["logon"], row["start"], records[0]["time"])],
                   "end": [moment(text) - ended for text in (row["end"], records[-1]["time"])]}
    if wtmp and lab.container.state["suite"] == "bookworm":  # Debian 13's sshd has given it up.
        logins = [login for login in wtmp_bounds(lab, row["user"]) if login[0] == wtmp and began < login[1] < ended]
        case.assertEqual(len(logins), 1, wtmp_bounds(lab, row["user"]))
        _, began, ended = logins[0]
        differences["beginning"].append(moment(row["start"]) - began)
        differences["end"].append(moment(row["end"]) - ended)
    for what, limit in (("beginning", BEGINNING), ("end", END)):
        figure(f"{stack}: {what} of a session, the product's after others'", [difference * 1000 for difference in differences[what]])
        case.assertLess(max(map(abs, differences[what])), limit, (what, differences, row, records))
