"""A churn in small: users come and go on all stacks while collector and logind are restarted; see Tests/Lab/churn.

The comparison itself is tested first, since one that finds nothing would pass any churn.
"""

import os
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lablib.churn import REAL, Churn, Plan, stacks_for  # noqa: E402
from lablib.churn_check import Identities, Session, Spoiled, check_history, check_table, ended_by_themselves  # noqa: E402
from lablib.churn_seats import address_of  # noqa: E402
from lablib.soak_check import SECOND  # noqa: E402
from lablib.testing import LabTestCase  # noqa: E402

HOME, ELSEWHERE = "198.18.0.1", "198.18.1.1"
REST = 600 * SECOND


def row(number, user, stack, logins, state="active", display=None, address=None):
    return {"id": number, "uuid": f"uuid-{number}", "user": user, "stack": stack, "state": state, "display": display, "client_address": address,
            "logind_sessions": logins}


ROWS = [
    {"id": 0, "uuid": "uuid-0", "user": None, "logind_sessions": []},
    row(1, "user1", "xrdp", ["c1"], display=":10", address=HOME),
    row(2, "user2", "x2go", ["c2", "c3"], "disconnected", ":50"),
    row(3, "user1", "generic", ["c4"], display=":2001"),
    {"id": 65536, "uuid": None, "user": None, "logind_sessions": []},
    {"id": 65537, "uuid": None, "user": None, "logind_sessions": []},
]
SESSIONS = [
    Session("one", "user1", "xrdp", 0, "c1", ":10", 3389, HOME, identity=(1, "uuid-1"), addresses={HOME}),
    Session("two", "user2", "x2go", 0, "c2", ":50", 22, ELSEWHERE, "disconnected", identity=(2, "uuid-2"), addresses={HOME, ELSEWHERE}),
    Session("three", "user1", "generic", 0, "c4", ":2001", identity=(3, "uuid-3")),
]
LOGINS = {"c1": ("user1", "active"), "c2": ("user2", "closing"), "c3": ("user2", "active"), "c4": ("user1", "active"), "c9": ("user3", "closing")}
CONNECTIONS = {(3389, HOME), (22, "198.18.7.7")}


def recorded(session, **others):
    number, uuid = session.identity
    return {"session": number, "session_uuid": uuid, "user": session.user, "stack": session.stack, "open": False, "end_reason": "logoff",
            "client_addresses": sorted(session.addresses), "start": 100, "end": 200} | others


class CheckTests(unittest.TestCase):
    """What is right has no finding, and each way to be wrong has."""

    def assertFinds(self, text, findings):
        found = [f"{finding.session}: {finding.text}" for finding in findings]
        self.assertTrue(any(text in each for each in found), found)

    def table(self, number=None, *, rows=ROWS, sessions=SESSIONS, logins=LOGINS, connections=CONNECTIONS, **changes):
        """What is found in the table with one row changed."""
        return check_table([each | changes if each["id"] == number else each for each in rows], sessions, logins, connections)

    def test_what_is_right_has_no_finding(self):
        self.assertEqual(self.table(), [])
        self.assertEqual(ended_by_themselves(SESSIONS, LOGINS, CONNECTIONS), ([], []))

    def test_a_row_that_is_missing_or_that_is_no_session_s(self):
        self.assertFinds("one: has no row", self.table(rows=ROWS[:1] + ROWS[2:]))
        self.assertFinds("login c1: of user1 is in no row", self.table(rows=ROWS[:1] + ROWS[2:]))
        self.assertFinds("row 2: of user2 (x2go, disconnected) is no session's", self.table(sessions=SESSIONS[:1] + SESSIONS[2:]))
        self.assertFinds("login c8: is in row 1 of user1, and logind has no such", self.table(1, logind_sessions=["c1", "c8"]))
        self.assertFinds("row 4: of user4", self.table(rows=[*ROWS, row(4, "user4", "ssh", [])]))

    def test_a_row_that_says_what_is_not(self):
        for number, key, value in ((1, "stack", "vnc"), (1, "state", "disconnected"), (2, "state", "active"), (1, "client_address", ELSEWHERE),
                                   (1, "client_address", None), (2, "client_address", ELSEWHERE), (3, "display", None), (1, "user", "user2"),
                                   (1, "id", 7), (1, "uuid", "uuid-7")):
            with self.subTest(f"{key} of {number} is {value}"):
                self.assertFinds(f"{key} is {value!r}, not ", self.table(number, **{key: value}))

    def test_a_session_or_a_number_twice(self):
        self.assertFinds("one: has 2 rows", self.table(rows=[*ROWS, row(4, "user1", "xrdp", ["c1"])]))
        self.assertFinds("id 1: is that of 2 rows", self.table(3, id=1))
        self.assertFinds("uuid uuid-1: is that of 2 rows", self.table(3, uuid="uuid-1"))
        self.assertFinds("login c3: is in rows 2, 3", self.table(3, logind_sessions=["c4", "c3"]))
        self.assertFinds("three: is in the row of one", self.table(rows=ROWS[:3], sessions=SESSIONS[:2] + [replace(SESSIONS[2], login="c1")]))
        self.assertFinds("login c4: of user1 is in row 2 of user2", self.table(2, logind_sessions=["c2", "c3", "c4"]))

    def test_a_client_that_the_kernel_has(self):
        self.assertFinds("two: is connected still", self.table(connections=CONNECTIONS | {(22, ELSEWHERE)}))

    def test_what_ended_by_itself_is_no_finding_of_the_table(self):
        without = {login: value for login, value in LOGINS.items() if login != "c4"}
        self.assertEqual(ended_by_themselves(SESSIONS, without, set()), ([SESSIONS[2]], [SESSIONS[0]]))

    def test_readings(self):
        def findings(*readings, rest=REST):
            identities = Identities(rest)
            return [finding for at, rows in readings for finding in identities.read(rows, at * SECOND)]

        one, two, three = ROWS[1:4]
        self.assertEqual(findings((0, ROWS), (1, ROWS), (2, [one, three]), (700, [one, three, two | {"uuid": "uuid-9", "user": "user9"}])), [])
        self.assertFinds("id 2: is user9's 599.0 s after it was last user2's",
                         findings((0, [two]), (1, [two]), (2, []), (600, [two | {"uuid": "uuid-9", "user": "user9"}]), rest=REST + SECOND))
        self.assertFinds("uuid uuid-2: was 2 of user2 and is 4 of user2", findings((0, [two]), (1, [two | {"id": 4}])))
        self.assertFinds("uuid uuid-2: was 2 of user2 and is 2 of user1", findings((0, [two]), (1, [two | {"user": "user1"}])))
        self.assertFinds("is back after 2.0 s", findings((0, [one, two]), (1, [one]), (2, [one, two])))
        self.assertFinds("id 1: is that of 2 rows", findings((0, [one, two | {"id": 1}])))
        self.assertFinds("uuid uuid-1: is that of 2 rows", findings((0, [one, two | {"uuid": "uuid-1"}])))
        self.assertFinds("login c1: is in rows 1, 2", findings((0, [one, two | {"logind_sessions": ["c1"]}])))

    def test_history(self):
        history = [recorded(session) for session in SESSIONS]

        def findings(rows, spoiled=()):
            return check_history(rows, SESSIONS, spoiled, float)

        self.assertEqual(findings(history), [])
        self.assertFinds("two: uuid-2 is recorded 0 times", findings(history[:1] + history[2:]))
        self.assertFinds("one: uuid-1 is recorded 2 times", findings([*history, history[0]]))
        for key, value in (("user", "user2"), ("session", 9), ("stack", "vnc"), ("open", True)):
            self.assertFinds(f"one: in the history {key} is {value!r}", findings([history[0] | {key: value}, *history[1:]]))
        self.assertFinds(f"used from {ELSEWHERE}", findings([history[0] | {"client_addresses": [HOME, ELSEWHERE]}, *history[1:]]))
        self.assertFinds("in the history stack is 'ssh'", findings([history[0], history[1] | {"stack": "ssh"}, history[2]]))
        stranger = recorded(SESSIONS[0], session_uuid="uuid-9")
        self.assertFinds("uuid-9: is recorded of user1", findings([*history, stranger]))
        self.assertEqual(findings([*history, stranger], [Spoiled("user1", 90, 110)]), [])
        self.assertFinds("uuid-9", findings([*history, stranger], [Spoiled("user2", 90, 110), Spoiled("user1", 10, 20)]))
        self.assertFinds("merged), who had no such session", findings([*history, stranger | {"end_reason": "merged"}]))

    def test_addresses_of_the_kernel(self):
        self.assertEqual(address_of("0100007F"), "127.0.0.1")
        self.assertEqual(address_of("0000000000000000FFFF0000010012C6"), "198.18.0.1")
        self.assertEqual(address_of("00000000000000000000000001000000"), "::1")

    def test_what_memory_does_not_stand_is_generic(self):
        self.assertEqual(stacks_for(4, 10_000), [*REAL, "generic"])
        self.assertEqual(stacks_for(4, 0), ["generic"] * 5)
        self.assertEqual(stacks_for(100, 20_000).count("generic"), 10)


class ChurnTests(LabTestCase):
    PLAN = Plan(sessions=4, logons=16, seed=12, restarts=1)

    @unittest.skipUnless(os.environ.get("TERMSPAN_DEB"), "TERMSPAN_DEB names no package")
    def test_the_table_is_right_while_users_come_and_go_on_all_stacks(self):
        with tempfile.TemporaryDirectory(prefix="termspan-churn-") as folder:
            churn = Churn(self.lab, Path(os.environ["TERMSPAN_DEB"]), self.PLAN, Path(folder), lambda text: print(f"churn: {text}", file=sys.stderr, flush=True))
            self.addCleanup(churn.clean)
            churn.prepare()
            churn.work()
            churn.finish()
            report = "\n".join(churn.describe())
        print(f"figure: {report}", file=sys.stderr, flush=True)
        self.assertFalse(churn.findings, report)
        self.assertEqual({stack for what, stack in churn.counts if what == "logon"}, {*REAL, "generic"})
        for restarted in {kind.split("-")[0] for kind in churn.restarts}:
            self.assertTrue([kind for what, kind in churn.counts if what == "restart" and kind.startswith(restarted)], report)
        self.assertGreaterEqual(churn.total("reconnect"), 1)
        self.assertGreaterEqual(len(churn.checkpoints), 3)


if __name__ == "__main__":
    unittest.main()
