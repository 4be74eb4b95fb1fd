"""Aggregates: what the members of a group with the role of a statistician are told, and what they are not. TERMSPAN_DEB names the package."""

import json
import sys
import time
import unittest
import uuid
from datetime import date, datetime, timedelta
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402

NOT_PERMITTED = 4
HOUR = 3600 * 10**9
DATABASE = "/var/lib/termspan/termspan.db"
REPORTS = ("org.termspan1.Reports", "/org/termspan1/reports", "org.termspan1.Reports")
USERS = [f"user{number}" for number in range(1, 9)]


def last_month():
    """The month that has been over for a day at least, as its first day."""
    day = date.today() - timedelta(days=1)
    return (day.replace(day=1) - timedelta(days=1)).replace(day=1)


class AggregateTests(ProductTestCase):
    """user1 to user8 worked last month; user9 is a statistician, user10 nobody."""

    users = 10

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.month = last_month().strftime("%Y-%m")
        groups = {"lab-half": USERS[:4], "lab-few": USERS[:2], "lab-most": USERS[:6], "lab-board": ["user9"]}
        for group, members in groups.items():
            cls.lab.enter(["groupadd", "--force", group])
            cls.addClassCleanup(cls.lab.enter, ["groupdel", group], check=False)
            cls.lab.enter(["gpasswd", "--members", ",".join(members), group])
        # Whom something was decided about the store knows, and nobody else.
        cls.product.track(*USERS)
        cls.product.command("untrack", *USERS, "--yes")
        cls.lab.enter(["systemctl", "stop", "termspand.service", "termspan-reportd.service"])
        cls.lab.enter(["sqlite3", "-bail", DATABASE], input=cls.history(last_month() + timedelta(days=9)))
        cls.lab.enter(["systemctl", "start", "termspand.service"])
        cls.product.wait_ready()
        cls.product.command("role", "grant", "statistician", "lab-board", "--reason", "a test")

    @staticmethod
    def history(day):
        """A session of ten hours of each user, in half of which there was input, in a boot of that day."""
        wall = int(datetime(day.year, day.month, day.day).timestamp()) * 10**9
        text = ["BEGIN; INSERT INTO boot (machine, boot_id, seen) SELECT min(id), randomblob(16), %d FROM machine;" % (20 * HOUR),
                "INSERT INTO clock_anchor (boot, at, wall) SELECT max(id), 0, %d FROM boot;" % wall]
        for number in range(1, len(USERS) + 1):
            name = uuid.UUID(int=(wall // 10**6 + number) << 80 | 0x7 << 76 | 0x2 << 62 | number).hex
            text.append(
                f"INSERT INTO session (uuid, boot, user, number, stack, start, start_wall, end, end_wall, end_reason, revision) SELECT x'{name}', "
                f"(SELECT max(id) FROM boot), id, {number}, 'xrdp', {HOUR}, {wall + HOUR}, {11 * HOUR}, {wall + 11 * HOUR}, 1, 1 "
                f"FROM user ORDER BY id LIMIT 1 OFFSET {number - 1};"
                f"INSERT INTO focus_interval (session, start, length, revision) SELECT max(id), {HOUR}, {10 * HOUR}, 1 FROM session;"
                f"INSERT INTO input_burst (session, start, length, origin, revision) SELECT max(id), {HOUR}, {5 * HOUR}, 1, 1 FROM session;")
        return "\n".join([*text, "COMMIT;"])

    def aggregates(self, *arguments, user="user9"):
        return self.product.listing("aggregates", *arguments, user=user)

    def rows(self, user="user9"):
        return {row["group"]: (row["users"], row["withheld"]) for row in self.aggregates(user=user)}

    def set(self, *arguments, **options):
        return self.product.command("policy", "set", *arguments, **options)

    def test_1_fewer_than_the_minimum_are_withheld(self):
        # Of the five and more that it takes without a decision.
        self.assertEqual(self.rows(), {None: (5, None)})
        row = self.aggregates("--period", self.month)[0]
        self.assertEqual((row["period"], row["active"], row["passive"], row["inactive"], row["connected"], row["active_share"]),
                         (self.month, 18000, 0, 18000, 36000, 50))
        table = self.product.command("aggregates", user="user9").stdout.splitlines()
        self.assertEqual(table[1].split()[:4], [self.month, "(everybody)", "5+", "5:00:00"])

    def test_2_what_was_told_stays(self):
        """Neither groups, a smaller minimum nor an erasure make another answer of it, which could be held against the first."""
        before = self.aggregates()
        done = self.set("aggregate-groups", "lab-half", "lab-few", "lab-most", "--reason", "agreed")
        self.assertEqual(done.stdout, "Averages are now of everybody, lab-half, lab-few, lab-most.\n")
        self.set("aggregate-minimum", "3", "--reason", "agreed")
        self.assertEqual(self.aggregates(), before)
        # Over a restart and an erasure, too.
        self.product.command("erase", "user8", "--yes", "--reason", "a test")
        self.lab.enter(["systemctl", "restart", "termspand.service"])
        self.product.wait_ready()
        self.assertEqual(self.aggregates(), before)
        # A greater minimum holds at once.
        self.set("aggregate-minimum", "6")
        self.assertEqual(self.rows(), {None: (None, "minimum-raised")})
        self.set("aggregate-minimum", "3")
        self.assertEqual(self.set("aggregate-minimum", "2", check=False).returncode, 1)

    def test_3_groups_are_shown_where_nothing_can_be_worked_out(self):
        # As if it had not been told.
        self.forget()
        # Of seven, since user8 is erased: four, and three others; two; six, and one other.
        self.assertEqual(self.rows(), {None: (3, None), "lab-half": (3, None), "lab-few": (None, "too-few"), "lab-most": (None, "too-few")})

    def forget(self):
        self.lab.enter(["systemctl", "stop", "termspand.service", "termspan-reportd.service"])
        self.lab.enter(["sqlite3", "-bail", DATABASE, "DELETE FROM aggregate"])
        self.lab.enter(["systemctl", "start", "termspand.service"])
        self.product.wait_ready()

    def test_4_a_group_of_which_nothing_is_known_holds_all_back(self):
        self.forget()
        done = self.set("aggregate-groups", "lab-half", "lab-gone")
        self.assertIn("lab-gone is not known here", done.stderr)
        self.assertEqual(self.rows(), {
            None: (None, "other-members-unknown"), "lab-half": (None, "other-members-unknown"), "lab-gone": (None, "members-unknown")})
        self.set("aggregate-groups", "lab-half")
        self.assertEqual(self.rows(), {None: (3, None), "lab-half": (3, None)})

    def test_4b_a_directory_that_is_silent_holds_back_and_nobody_up(self):
        self.forget()
        silence = self.silent_directory()
        # The reports run before: who starts a service waits for the directory, too.
        self.product.listing("spans", "--user", "user1")
        silence.touch()
        time.sleep(11)  # What was said before is forgotten.
        begin = time.monotonic()
        withheld = self.rows(user=None)
        took = time.monotonic() - begin
        print(f"figure: aggregates while the directory is silent: {took:.1f} s", file=sys.stderr, flush=True)
        self.assertEqual(withheld, {None: (None, "other-members-unknown"), "lab-half": (None, "members-unknown")})
        self.assertLess(took, 9)
        silence.unlink()
        wait_until("the groups to be known", lambda: self.rows(user=None) == {None: (3, None), "lab-half": (3, None)}, 30)

    def test_5_a_statistician_sees_nothing_else(self):
        for arguments in (
                ("spans", "--all"), ("spans", "--user", "user1"), ("summary", "--all"), ("session", "history", "--all"), ("users", "--all"),
                ("users", "--status", "untracked", "--all"), ("audit", "--all"), ("audit", "--user", "user1"), ("policy", "export"),
                ("group", "list"), ("track", "user1", "--reason", "x", "--responsible", "the tests"), ("untrack", "user1"), ("donottrack", "add", "user1"),
                ("erase", "user1", "--dry-run"), ("erase", "user1", "--yes", "--reason", "x"), ("role", "grant", "administrator", "lab-board"),
                ("group", "add", "x", "user9"), ("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests"), ("policy", "set", "aggregate-groups", "lab-few"),
                ("policy", "set", "aggregate-minimum", "3")):
            with self.subTest(arguments):
                done = self.product.command(*arguments, user="user9", check=False)
                self.assertEqual(done.returncode, NOT_PERMITTED, done)
        shown = self.product.listing("policy", "show", user="user9")
        self.assertEqual([row["uid"] for row in shown["users"]], [2009])
        self.assertEqual((shown["do_not_track"], shown["group_members"], shown["seats_taken"]), ([], [], None))
        for command in (("spans",), ("summary",), ("session", "history"), ("users",)):
            self.assertLessEqual({row["user"] for row in self.product.listing(*command, user="user9")}, {"user9"}, command)
        # And nobody else sees averages but by a role of their own, or as root.
        for user in ("user1", "user10"):
            done = self.product.command("aggregates", user=user, check=False)
            self.assertEqual(done.returncode, NOT_PERMITTED, done)
            self.assertIn("org.termspan1.view-aggregates", done.stderr)
        self.assertEqual(self.rows(user=None), self.rows())

    def test_6_who_asks_chooses_nothing(self):
        def call(*filter):
            return self.lab.enter(["busctl", "--allow-interactive-authorization=no", "call", *REPORTS, "Aggregates", "a{sv}", *filter], user="user9", check=False)
        self.assertEqual(call("0").returncode, 0)
        for filter in (("user", "s", "user1"), ("uid", "u", "2001"), ("all", "b", "true"), ("group", "s", "lab-few"), ("since", "t", "1"),
                       ("until", "t", "1"), ("session", "u", "1"), ("idle-threshold", "t", "1"), ("by", "s", "user")):
            with self.subTest(filter):
                done = call("1", *filter)
                self.assertNotEqual(done.returncode, 0)
                self.assertIn("There is no filter", done.stderr)
        # Neither other periods, nor one that is not over.
        for period in ("2026-W45", "2026", f"{self.month}-10", date.today().strftime("%Y-%m"), "9999-12"):
            with self.subTest(period):
                self.assertEqual(self.product.command("aggregates", "--period", period, user="user9", check=False).returncode, 1)
        self.assertEqual(self.aggregates("--period", "2020-01"), [])
        # Nobody but the reports is told who is in the groups, or says what was told.
        for user in (None, "user9"):
            for member, *arguments in (("GetAggregation",), ("FixAggregates", "a{sv}", "0")):
                done = self.lab.enter(["busctl", "call", "org.termspan1", "/org/termspan1", "org.termspan1.Manager", member, *arguments], user=user, check=False)
                self.assertNotEqual(done.returncode, 0, member)

    def test_7_it_is_recorded_and_told(self):
        self.aggregates()
        entries = self.product.listing("audit", "--all")
        reads = [row for row in entries if row["action"] == "read-aggregates"]
        self.assertIn("uid 2009", {row["by"] for row in reads})
        self.assertEqual({(row["user"], row["value"]) for row in reads}, {(None, None)})
        self.assertIn(("root", "aggregate-groups", "lab-half,lab-few,lab-most"), {(row["by"], row["action"], row["value"]) for row in entries})
        # Everybody may have been a part of it, and is told so, and who may see it.
        self.assertIn("uid 2009", {row["by"] for row in self.product.listing("audit", user="user1") if row["action"] == "read-aggregates"})
        said = " ".join(self.product.command("me", user="user1").stdout.split())
        self.assertIn("members of lab-board (statistician, only in averages of at least 3 users)", said)
        self.assertIn(("statistician", "lab-board"), {(row["role"], row["group"]) for row in self.product.listing("me", user="user1")["seen_by"]})
        self.assertIn("Averages: of everybody and of lab-half, each of at least 3 users", self.product.command("policy", "show", user="user10").stdout)

    def test_8_it_is_in_the_policy_as_a_file(self):
        exported = self.product.command("policy", "export").stdout
        policy = json.loads(exported)
        self.assertEqual((policy["aggregate_groups"], policy["aggregate_minimum"]), (["lab-half"], 3))
        policy.update(aggregate_groups=["lab-few", "lab-half"], aggregate_minimum=4)
        text = json.dumps(policy)
        self.assertEqual(self.product.command("policy", "diff", "-", input=text).stdout.splitlines(),
                         ["Averages would be of everybody, lab-few, lab-half.", "Averages would be of at least 4 users."])
        self.product.command("policy", "apply", "--yes", "-", input=text)
        shown = self.product.listing("policy", "show", user="user10")
        self.assertEqual((shown["aggregate_groups"], shown["aggregate_minimum"]), (["lab-few", "lab-half"], 4))
        self.product.command("policy", "apply", "--yes", "-", input=exported)
        self.assertEqual(self.product.command("policy", "export").stdout, exported)

    def test_9_who_leaves_the_group_is_told_no_more(self):
        self.lab.enter(["gpasswd", "--delete", "user9", "lab-board"])
        wait_until("the role to be gone", lambda: self.product.command("aggregates", user="user9", check=False).returncode == NOT_PERMITTED, 20)


if __name__ == "__main__":
    unittest.main()
