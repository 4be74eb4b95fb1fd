"""What an administrator is asked for, each from the command to the journal to the report: somebody leaves, an engagement ends, somebody asks not to be
recorded, somebody has to answer for what was done, and five hundred at once.

TERMSPAN_DEB names the package; TERMSPAN_BULK_KILLS how often the collector is killed in the middle of a bulk change (4).
"""

import csv
import io
import json
import os
import random
import subprocess
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, figure, moment  # noqa: E402

MANY = [f"contractor{number}" for number in range(1, 501)]


class CaseTests(ProductTestCase):
    users = 3
    tracked = ["user1", "user2"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Five hundred accounts of a group, as a directory has them.
        for name, lines in (("passwd", [f"{name}:x:{20000 + index}:20000::/nonexistent:/usr/sbin/nologin" for index, name in enumerate(MANY)]),
                            ("group", [f"contractors:x:20000:{','.join([*MANY, 'user2'])}"])):
            file = cls.lab.root / "etc" / name
            cls.addClassCleanup(file.write_text, file.read_text())
            with file.open("a") as text:
                text.writelines(line + "\n" for line in lines)
        for user in cls.tracked:
            cls.lab.login(user)
        cls.product.wait_measured(*cls.tracked)
        for user in cls.tracked:
            cls.lab.run(user, ["xterm", "-class", "Work"])
            cls.lab.focus(user, "Work")
            cls.lab.key(user, "x")
            wait_until(f"the work of {user}", lambda: any(span["class"] == "Work" for span in cls.product.spans(user, open=True)), 20,
                       progress=cls.product.report)

    def changes(self, **filter):
        return [(record["user"], record["actor"], record["reason"]) for record in self.product.log(event="policy-changed", **filter)]

    def decisions(self, user):
        return [(row["action"], row["value"]) for row in self.product.listing("audit", "--user", user) if row["action"] == "tracked"]

    def test_1_a_compliance_case_is_answered_and_it_is_recorded_who_looked(self):
        """What somebody did on a day, with who was told of it."""
        spans = list(csv.DictReader(io.StringIO(self.product.command("spans", "--user", "user1", "--since", "today", "--format", "csv").stdout)))
        # The journal has sessions of user1's from before this store, too.
        events = [row for row in self.product.listing("session", "history", "--user", "user1", "--since", "today", "--events")
                  if moment(row["time"]) >= self.product.begin]
        self.assertEqual(events[0]["event"], "logon")
        self.assertTrue(spans)
        logons = [record["session_uuid"] for record in self.product.log(event="session-opened", user="user1")]
        self.assertEqual({row["session_uuid"] for row in events}, {logons[-1]})
        wait_until("the looks to be recorded", lambda: {"read-spans", "read-history"} <= {
            row["action"] for row in self.product.listing("audit", user="user1") if row["by"] == "root" and row["user"] == "user1"}, 10,
            progress=self.product.report)
        self.assertEqual(self.product.command("verify", "--audit").returncode, 0)

    def test_2_an_engagement_ends(self):
        """All of a group are untracked, those who were never here among them; what was recorded stays, and can be reported."""
        before = self.product.spans("user2")
        told = self.product.command("untrack", "--group", "contractors", "--reason", "engagement ended", "--yes").stdout.splitlines()
        self.assertEqual(sorted(told), sorted(f"{user} is now untracked." for user in [*MANY, "user2"]))
        wait_until("the probe to end", lambda: len(self.product.probes()) == 1, 5)
        self.assertEqual(self.changes(user="user2")[-1], ("user2", "root", "engagement ended"))
        self.assertEqual(self.decisions("user2"), [("tracked", "true"), ("tracked", "false")])
        self.assertEqual(self.product.session("user2")["coverage"], "untracked")
        self.assertEqual(self.product.spans("user2")[:len(before)], before)
        # Not at the next logon either.
        self.lab.logout("user2")
        wait_until("the session to end", lambda: not self.product.session("user2"), 20)
        self.lab.login("user2")
        wait_until("the session", lambda: self.product.session("user2"), 20)
        self.assertEqual(self.product.session("user2")["coverage"], "untracked")
        row, = self.product.listing("users", "user2", "--has-data")
        self.assertEqual((row["tracked"], row["decided_by"]), (False, "do-not-track"))

    def test_3_somebody_in_the_management_asks_not_to_be_recorded(self):
        """Before the first logon, on a server where everybody is recorded."""
        self.product.command("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests")
        self.addCleanup(self.product.command, "policy", "set", "new-users", "untracked")
        self.product.command("donottrack", "add", "user3", "--reason", "the board")
        self.lab.login("user3")
        wait_until("the session", lambda: self.product.session("user3"), 20)
        shown = self.product.session("user3")
        self.assertEqual((shown["coverage"], shown["tracked"], shown["idle"], shown["last_input"]), ("untracked", False, None, None))
        self.assertIn("Why: you are on the Do Not Track list", self.product.command("me", user="user3").stdout)
        # Nothing is recorded: root sees what the journal has.
        self.assertEqual({row["start"] for row in self.product.listing("session", "history", "--user", "user3")}, {None})
        record = self.product.log(event="policy-changed")[-1]
        self.assertEqual((record["actor"], record["reason"]), ("root", "the board"))
        self.assertIn("user3@* is on the Do Not Track list", record["message"])

    def test_4_somebody_leaves_the_organisation(self):
        """What was recorded is kept until it may go, though the account is gone; then nothing is left but the list and the receipt."""
        uuid = self.product.session("user1")["uuid"]
        self.product.command("untrack", "user1", "--reason", "left on 2026-11-26")
        self.lab.logout("user1")
        wait_until("the session to end", lambda: not self.product.session("user1"), 20)
        wait_until("its end to be stored", lambda: all(not row["open"] for row in self.product.summary("user1")), 20)
        passwd = self.lab.root / "etc/passwd"
        kept = passwd.read_text()
        self.addCleanup(passwd.write_text, kept)
        passwd.write_text("".join(line for line in kept.splitlines(keepends=True) if not line.startswith("user1:")))
        row, = self.product.summary("user1")
        self.assertEqual(row["session_uuid"], uuid)
        self.assertAlmostEqual(sum(row[name] for name in CATEGORIES), row["total"], places=6)
        erased, = self.product.listing("erase", "uid:2001", "--forget", "--reason", "left", "--yes")
        self.assertEqual((erased["user"], erased["sessions"], erased["sessions_going_on"]), ("user1", 1, 0))
        self.assertEqual(self.product.summary("user1"), [])
        self.assertEqual([row["user"] for row in self.product.listing("users", "user1")], [])
        self.assertLessEqual({"user1@*", "uid:2001"}, {entry["entry"] for entry in self.product.listing("donottrack", "list")})
        record = self.product.log(event="history-erased")[-1]
        self.assertEqual((record["user"], record["actor"], record["reason"]), ("user1", "root", "left"))
        # The record of who looked and decided speaks of a number.
        self.assertNotIn("user1", {row["user"] for row in self.product.listing("audit", "--all")})
        self.assertEqual(self.product.command("verify", "--audit").returncode, 0)

    def test_5_five_hundred_at_once_or_none(self):
        def tracked():
            return {row["user"] for row in self.product.listing("users", "--status", "tracked")} & set(MANY)

        self.product.command("track", *MANY, "--reason", "a bulk change", "--responsible", "the tests")
        self.assertEqual(tracked(), set(MANY))
        shown = self.product.command("untrack", "--group", "contractors", "--dry-run").stdout.splitlines()
        self.assertEqual(set(MANY) - {line.split()[0] for line in shown if line.endswith(" would be untracked.")}, set())
        self.assertEqual(tracked(), set(MANY))
        for chance in range(int(os.environ.get("TERMSPAN_BULK_KILLS", "4"))):
            # Killed at a random moment of it: all of them or nobody, whatever its maker was told.
            old = self.product.collector()
            change = subprocess.Popen(self.lab.container.command(["termspan", "untrack", "--group", "contractors", "--yes"]),
                                      stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
            time.sleep(random.Random(chance).uniform(0, 0.4))
            self.product.kill(old)
            output, _ = change.communicate(timeout=60)
            self.product.wait_ready(other_than=old)
            left = tracked()
            self.assertIn(len(left), (0, len(MANY)), output)
            if change.returncode == 0:
                self.assertEqual(left, set(), output)
            self.product.command("track", *MANY, "--reason", "a bulk change", "--responsible", "the tests")
        begin = time.time()
        self.product.command("untrack", "--group", "contractors", "--reason", "all of them leave", "--yes")
        figure("a group of 500 untracked, the command as a whole", [(time.time() - begin) * 1000])
        self.assertEqual(tracked(), set())
        self.product.sync_journal()
        told = [record for record in self.changes() if record[2] == "all of them leave" and record[0] in MANY]
        self.assertEqual(sorted(user for user, _, _ in told), sorted(MANY))
        self.assertEqual(self.decisions(MANY[0])[-1], ("tracked", "false"))
        self.assertEqual(self.product.command("verify", "--audit").returncode, 0)

    def test_6_a_policy_is_kept_as_a_file(self):
        """What configuration management applies again and again, and what somebody changed by hand meanwhile."""
        billed, left = MANY[:2]
        self.product.command("untrack", billed, "--reason", "by hand")
        self.product.command("track", left, "--reason", "by hand", "--responsible", "the tests")
        file = self.lab.root / "root/policy.json"
        self.addCleanup(file.unlink, missing_ok=True)
        file.write_text(json.dumps({"users": [{"name": billed, "tracked": True, "reason": "billing", "responsible": "Ann Lee"}, {"name": left, "tracked": False}],
                                    "do_not_track": [{"entry": "somebody@example.com", "reason": "asked"}]}))
        self.assertEqual(self.product.command("policy", "diff", "/root/policy.json").stdout.splitlines(),
                         ["somebody@example.com would be on the Do Not Track list.", f"{left} would be untracked.", f"{billed} would be tracked."])
        self.product.command("policy", "apply", "/root/policy.json", "--yes")
        self.assertEqual(self.changes(user=billed)[-1], (billed, "root", "billing"))
        self.assertEqual([value for _, value in (self.decisions(billed)[-1], self.decisions(left)[-1])], ["true", "false"])
        self.assertIn("somebody@example.com", {entry["entry"] for entry in self.product.listing("donottrack", "list")})
        told = len(self.product.log(event="policy-changed"))
        again = self.product.command("policy", "apply", "/root/policy.json", "--yes")
        self.assertEqual((again.stdout, again.stderr), ("", "termspan: All of it holds already; nothing was changed.\n"))
        self.assertEqual(len(self.product.log(event="policy-changed")), told)
        # What is exported is what holds, and nobody's who may not see it.
        file.write_text(self.product.command("policy", "export").stdout)
        self.assertEqual(self.product.command("policy", "diff", "/root/policy.json").stdout, "")
        refused = self.product.command("policy", "export", user="user3", check=False)
        self.assertEqual((refused.returncode, refused.stdout), (4, ""))


if __name__ == "__main__":
    unittest.main()
