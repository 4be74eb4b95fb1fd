"""What is held about a user goes for good, and nothing else does.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import hashlib
import json
import random
import sys
import time
import unittest
import uuid
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, moment  # noqa: E402

# Exit codes of the command (termspan(1)).
USAGE, NOT_FOUND, NOT_PERMITTED = 2, 3, 4

# What is user1's alone, none of it a part of anything else: of programs, which are in the clear as long as they are held; of who and from where, which
# are under a key; and the name that the user database has, which is not held at all.
CLASS, FOLDER, PROGRAM = (f"{kind}-{uuid.uuid4().hex[:12]}" for kind in ("class", "folder", "program"))
ADDRESS, CLIENT = f"203.0.113.{random.randrange(101, 250)}", f"pc-{uuid.uuid4().hex[:10]}"
FRIENDLY = f"Friend {uuid.uuid4().hex[:12]}"
PATH = f"/usr/local/{FOLDER}/{PROGRAM}"
PLANTED = [CLASS, FOLDER, PROGRAM]
SEALED = [ADDRESS, CLIENT]
KEPT = ["/var/lib/termspan", "/var/lib/termspan-keys"]
DATABASE = "/var/lib/termspan/termspan.db"
# A session that is long over, in a boot of then, with an application of its own.
OLD = """
BEGIN;
INSERT INTO boot (machine, boot_id, seen) SELECT min(id), randomblob(16), 5 * {hour} FROM machine;
INSERT INTO clock_anchor (boot, at, wall) SELECT max(id), 0, {wall} FROM boot;
INSERT INTO application (key, executable, class, revision) VALUES (randomblob(16), '/opt/{mark}', '{mark}', 1);
INSERT INTO session (uuid, boot, user, number, stack, start, start_wall, end, end_wall, end_reason, revision)
    SELECT x'0192d00000007000800000000000000{number}', (SELECT max(id) FROM boot), id, {number}, 'xrdp', {hour}, {wall} + {hour}, 2 * {hour},
        {wall} + 2 * {hour}, 1, 1 FROM user WHERE uuid = x'{user}';
INSERT INTO focus_interval (session, start, length, application, revision)
    SELECT max(id), {hour}, {hour}, (SELECT max(id) FROM application), 1 FROM session;
COMMIT;
"""


class ErasureTests(ProductTestCase):
    """user1 has a session that is over and one that goes on, beside user2's. The cases build on each other, in the order of their names."""

    users = 2
    tracked = ["user1", "user2"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.enter(["install", "-D", "/usr/bin/xterm", PATH])
        cls.lab.enter(["usermod", "--comment", FRIENDLY, "user1"])
        cls.addClassCleanup(cls.lab.enter, ["usermod", "--comment", "", "user1"])
        for user, address, computer in (("user2", None, None), ("user1", ADDRESS, CLIENT)):
            cls.lab.login(user, address=address, computer=computer)
            cls.product.wait_measured(user)
        wait_until("the client's name", lambda: cls.product.session("user1")["client_name"] == CLIENT, 20, progress=cls.product.report)
        cls.show("user2", "Common")
        cls.show("user1", "Common")
        cls.show("user1", CLASS, PATH)
        cls.product.command("session", "disconnect", "user1")
        wait_until("the disconnect", lambda: cls.product.session("user1")["state"] == "disconnected", 10)
        cls.lab.login("user1", address=ADDRESS, computer=CLIENT)
        cls.lab.logout("user1")
        wait_until("the session to end", lambda: not cls.product.session("user1"), 20)
        cls.lab.login("user1", address="203.0.113.56", computer="another")
        cls.row, = cls.product.wait_measured("user1")
        cls.show("user1", CLASS, PATH)
        cls.show("user1", "Afterwards")
        cls.other = cls.product.spans("user2")

    @classmethod
    def show(cls, user, window_class, program="xterm"):
        """Opens a window of this class and has it seen."""
        cls.lab.run(user, [program, "-class", window_class])
        cls.lab.focus(user, window_class)
        cls.lab.key(user, "x")
        wait_until(f"{window_class} to be seen", lambda: any(span["class"] == window_class for span in cls.product.spans(user, open=True)), 20)

    def where(self, text, *folders):
        """The files of the product that hold this text somewhere in their bytes."""
        done = self.lab.enter(["grep", "--recursive", "--files-with-matches", "--binary-files=text", "--fixed-strings", "--", text,
                               *(folders or (*KEPT, "/run/termspan"))], check=False)
        self.assertIn(done.returncode, (0, 1), done)
        return done.stdout.split()

    def assert_adds_up(self, *, sessions):
        rows = self.product.summary("user1")
        self.assertEqual(len(rows), sessions)
        for row in rows:
            self.assertAlmostEqual(sum(row[name] for name in CATEGORIES), row["total"], places=6)
        return rows

    def test_1_only_some_may_and_nobody_without_saying_so(self):
        done = self.product.command("erase", "user1", "--reason", "mine", "--yes", user="user1", check=False)
        self.assertEqual(done.returncode, NOT_PERMITTED, done)
        self.assertIn("org.termspan1.erase", done.stderr)
        done = self.product.command("erase", "user1", "--reason", "a test", check=False)
        self.assertEqual(done.returncode, USAGE, done)
        self.assertIn("--yes", done.stderr)
        done = self.product.command("erase", "nobody-here", "--reason", "a test", "--yes", check=False)
        self.assertEqual(done.returncode, NOT_FOUND, done)
        held, = self.product.listing("erase", "user1", "--dry-run")
        self.assertEqual((held["user"], held["sessions"], held["receipt"]), ("user1", 2, None))
        self.assertGreater(held["focus_intervals"], 3)
        for text in PLANTED:
            self.assertTrue(self.where(text), text)
        # Under the user's key from the first on; it is held all the same.
        exported = self.product.command("me", "export", user="user1").stdout
        for text in [*PLANTED, *SEALED, "user1"]:
            self.assertIn(text, exported)
        self.assertEqual([row["user"] for row in self.product.listing("users", FRIENDLY)], ["user1"])
        for text in [*SEALED, FRIENDLY]:
            self.assertEqual(self.where(text), [], text)
        # Who is logged on now, in memory, is known by name.
        self.assertEqual(self.where("user1", *KEPT), [])

    def test_2_no_byte_is_left_and_the_session_goes_on(self):
        self.product.spans("user1")
        before = self.reports()
        self.assertNotEqual(before, "0")
        erased, = self.product.listing("erase", "user1", "--reason", "a test", "--yes")
        # What it read may be in its memory, and the next answer is another's, at once.
        self.product.spans("user1")
        self.assertNotEqual(self.reports(), before)
        self.assertEqual((erased["sessions"], erased["sessions_going_on"]), (2, 1))
        self.assertEqual(hashlib.sha256(erased["receipt"].encode()).hexdigest(), erased["sha256"])
        self.assertNotIn("user1", erased["receipt"])
        for text in [*PLANTED, *SEALED, FRIENDLY]:
            self.assertEqual(self.where(text), [], text)
        exported = self.product.command("me", "export", user="user1").stdout
        for text in [*PLANTED, *SEALED]:
            self.assertNotIn(text, exported)
        self.assertEqual(self.where("user1", *KEPT), [])
        self.assertTrue(self.where("Common"))
        self.assertEqual(self.product.spans("user2")[:len(self.other)], self.other)
        # Killed right after it, the collector knows no more than before.
        before = self.product.collector()
        self.lab.enter(["systemctl", "kill", "--signal=KILL", "termspand.service"])
        self.product.wait_ready(other_than=before)
        row, = self.product.wait_measured("user1")
        self.assertEqual((row["id"], row["uuid"]), (self.row["id"], self.row["uuid"]))
        self.show("user1", "Later")
        spans = self.product.spans("user1", open=True)
        self.assertNotIn(CLASS, {span["class"] for span in spans})
        self.assertEqual({span["session_uuid"] for span in spans}, {row["uuid"]})
        summary, = self.assert_adds_up(sessions=1)
        self.assertGreater(summary["unknown"], 0)
        self.assertTrue(self.product.session("user1")["tracked"])
        for text in PLANTED:
            self.assertEqual(self.where(text), [])

    def test_3_who_is_forgotten_is_untracked_and_kept_so(self):
        self.product.command("erase", "user1", "--forget", "--reason", "left", "--yes")
        self.assertEqual(self.product.session("user1")["coverage"], "untracked")
        wait_until("the probe to end", lambda: len(self.product.probes()) == 1, 5)
        self.assertEqual(self.product.spans("user1", open=True), [])
        # The journal, which is the system's, has the logons, and root sees there is nothing else.
        self.assertEqual({row["start"] for row in self.product.listing("session", "history", "--user", "user1")}, {None})
        for text in [*PLANTED, *SEALED, FRIENDLY, "Afterwards", "Later"]:
            self.assertEqual(self.where(text), [], text)
        self.assertEqual(self.where("203.0.113.56", *KEPT), [])
        # The login is on the Do Not Track list, and nowhere else.
        self.assertEqual(self.where("user1", *KEPT), ["/var/lib/termspan/termspan.db"])
        found = self.lab.enter(["grep", "--text", "--only-matching", ".\\{5\\}user1.", "/var/lib/termspan/termspan.db"]).stdout.split()
        self.assertEqual(set(found), {"loginuser1*"})
        self.assertEqual({entry["entry"] for entry in self.product.listing("donottrack", "list")}, {"user1@*", "uid:2001"})
        self.assertEqual([user["name"] for user in self.product.policy()["users"]], ["user2"])
        records = [(record["user"], record["actor"], record["reason"]) for record in self.product.log(event="history-erased")]
        self.assertEqual(records, [("user1", "root", "a test"), ("user1", "root", "left")])

    def test_4_who_is_tracked_again_begins_anew(self):
        self.product.track("user1")
        begun = moment(self.product.policy()["users"][0]["since"])
        self.product.wait_measured("user1")
        self.show("user1", "Again")
        self.assertTrue(all(moment(span["start"]) >= begun for span in self.product.spans("user1", open=True)))
        self.assert_adds_up(sessions=1)
        self.lab.logout("user1")
        wait_until("the session to end", lambda: not self.product.session("user1"), 20)
        self.assertEqual(self.product.status()["store_problem"], None)

    def test_5_many_in_a_row_leave_the_reports_answering(self):
        for _ in range(8):
            self.product.command("erase", "user2", "--reason", "again", "--yes")
            begin = time.monotonic()
            self.product.spans("user2", open=True)
            self.assertLess(time.monotonic() - begin, 10)

    def test_6_receipts_are_shown_to_whom_they_are_about_and_can_be_checked(self):
        receipts = [row for row in self.product.listing("me", "receipts", user="user2") if row["what"] == "history-erased"]
        self.assertEqual(len(receipts), 8)
        self.assertEqual({row["by"] for row in receipts}, {"root"})
        for row in receipts[:2]:
            text = self.product.command("me", "receipts", row["receipt"], user="user2").stdout
            self.assertEqual((text, hashlib.sha256(text.encode()).hexdigest()), (row["text"], row["sha256"]))
            self.assertIn(f" sessions={row['sessions']} ", text)
        done = self.product.command("me", "receipts", receipts[0]["receipt"], user="user1", check=False)
        self.assertEqual((done.returncode, done.stdout), (NOT_FOUND, ""))

    def test_7_what_is_old_goes_by_group_and_from_the_bytes(self):
        ids = {user: uuid.UUID(self.product.listing("audit", "--user", user)[-1]["user_uuid"]).hex for user in ("user1", "user2")}
        self.lab.enter(["systemctl", "stop", "termspand.service", "termspan-reportd.service"])
        marks = {user: f"old-{uuid.uuid4().hex[:12]}" for user in ids}
        for number, user in enumerate(ids, 1):
            self.lab.enter(["sqlite3", "-bail", DATABASE], input=OLD.format(
                user=ids[user], mark=marks[user], number=number, hour=3600 * 10**9, wall=time.time_ns() - 200 * 86400 * 10**9))
        self.lab.enter(["systemctl", "start", "termspand.service"])
        self.product.wait_ready()
        self.product.command("group", "add", "short", "user1", "--reason", "a test")
        self.assertEqual({user: len(self.where(mark)) > 0 for user, mark in marks.items()}, {"user1": True, "user2": True})
        self.assertIn(marks["user1"], str(self.product.spans("user1")))
        before = self.reports()
        self.assertNotEqual(before, "0")
        fragment = self.lab.root / "etc/termspan/termspan.yaml.d/60-lab-old.yaml"
        self.addCleanup(self.lab.enter, ["systemctl", "reload", "termspand.service"])
        self.addCleanup(fragment.unlink, missing_ok=True)
        fragment.write_text("keep-activity: 300d\nkeep-by-group: [{group: own:short, keep-activity: 90d}]\nreason: a test\nresponsible: the tests\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"])
        wait_until("what is old to be removed", lambda: self.product.log(event="history-expired"), 30, progress=self.product.report)
        wait_until("its bytes to go", lambda: not self.where(marks["user1"]), 30, progress=self.product.report)
        self.assertTrue(self.where(marks["user2"]))
        # What the report service read is in nobody's memory any more.
        wait_until("the report service to end", lambda: self.reports() != before, 10)
        self.assertNotIn(marks["user1"], str(self.product.spans("user1")))
        self.assertIn(marks["user2"], str(self.product.spans("user2")))

    def reports(self):
        return self.lab.enter(["systemctl", "show", "--property=MainPID", "--value", "termspan-reportd.service"]).stdout.strip()

    def test_8_reports_that_do_not_end_are_told_of(self):
        self.product.spans("user2", open=True)
        pid = self.product.main_pid("termspan-reportd.service")
        # A stopped or frozen process would go on: systemd wakes what it ends.
        change = self.lab.root / "run/systemd/system/termspan-reportd.service.d/50-lab-slow.conf"
        change.parent.mkdir(parents=True, exist_ok=True)

        def undo():
            change.unlink(missing_ok=True)
            self.lab.enter(["systemctl", "daemon-reload"])
        self.addCleanup(undo)
        change.write_text("[Service]\nExecStop=+/bin/sleep 6\n")
        self.lab.enter(["systemctl", "daemon-reload"])
        done = self.product.command("erase", "user2", "--reason", "again", "--yes", "--format", "json", check=False)
        row, = json.loads(done.stdout)
        self.assertEqual((done.returncode, row["reports_ended"], row["sid_known"]), (1, False, None), done)
        self.assertTrue(row["receipt"])
        self.assertIn("the report service did not end in time and may have in memory what it read before", done.stderr)
        undo()
        wait_until("the service to end", lambda: self.product.main_pid("termspan-reportd.service") != pid, 30)
        row, = self.product.listing("erase", "user2", "--reason", "again", "--yes")
        self.assertTrue(row["reports_ended"])


if __name__ == "__main__":
    unittest.main()
