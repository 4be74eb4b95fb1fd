"""Who decided about tracking and who read what is others': recorded, shown to those whom it is about, and checked. TERMSPAN_DEB names the package."""

import hashlib
import json
import re
import sys
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402

NOT_PERMITTED = 4
DATABASE = "/var/lib/termspan/termspan.db"


class AuditTests(ProductTestCase):
    users = 3
    tracked = ["user1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.login("user1")
        cls.product.wait_measured("user1")
        # user2 may see others' activity; user3 may do nothing.
        cls.addClassCleanup(cls.product.grant("user2", "view-others"))
        cls.product.command("summary", "--user", "user1", user="user2")

    def audit(self, *arguments, user=None):
        return self.product.listing("audit", *arguments, user=user)

    def looks(self, user):
        """What a user sees of who looked."""
        return [(row["by"], row["action"], row["user"]) for row in self.audit(user=user) if row["action"].startswith("read-")]

    def sql(self, query):
        return self.lab.enter(["sqlite3", "-cmd", ".timeout 5000", DATABASE, query]).stdout.strip()

    def verdict(self):
        done = self.product.command("verify", "--audit", "--format", "json", check=False)
        verdict = json.loads(done.stdout)["audit"]
        self.assertEqual(done.returncode, 0 if verdict["problem"] is None else 1, done)
        return verdict

    def test_1_who_looks_is_shown_to_whom_it_is_about(self):
        self.assertIn(("uid 2002", "read-summary", "user1"), self.looks("user1"))
        self.product.command("spans", "--user", "user1")
        wait_until("root's look to be recorded", lambda: ("root", "read-spans", "user1") in self.looks("user1"), 10, progress=self.product.report)
        self.assertRegex(self.product.command("me", user="user1").stdout, r"\nWho looked at it:\n(  .+\n)*  \S+  uid 2002 +summary of user1\n")
        self.assertIn(("uid 2002", "summary", "user1"),
                      [(look["by"], look["what"], look["about"]) for look in self.product.listing("me", user="user1")["looks"]])
        # How much is held of somebody is something, too.
        self.product.command("erase", "user1", "--dry-run", user="user2")
        self.assertIn(("uid 2002", "read-counts", "user1"), self.looks("user1"))
        # One's own view does not tell how much happens about others.
        self.assertFalse({"id", "entry", "sha256"} & set(self.audit(user="user1")[0]))
        # Of a user about whom nothing is known: what is about everybody.
        self.assertNotIn("user1", json.dumps(self.audit(user="user3")))
        self.product.command("session", "history", "--all", user="user2")
        for user in ("user1", "user3"):
            self.assertIn(("uid 2002", "read-history", None), self.looks(user))
        # One's own is nobody's business, and the same again within a minute is known.
        count = len(self.audit("--all"))
        for arguments in (["spans"], ["me"], ["me", "export"], ["audit"]):
            self.product.command(*arguments, user="user1")
        self.product.command("summary", "--user", "user1", user="user2")
        self.assertEqual(len([row for row in self.audit("--all")[count:] if row["action"] != "read-audit"]), 0)

    def test_1b_who_looks_at_sessions_and_the_policy_is_shown_too(self):
        self.assertFalse({"read-sessions", "read-policy"} & {action for by, action, _ in self.looks("user3") if by == "uid 2002"})
        # Everybody sees who is logged on, and what is their own.
        for arguments in (["query", "session"], ["policy", "show"], ["status"], ["me"]):
            self.product.command(*arguments, user="user3")
            self.product.command("query", "session", user="user2")
        self.assertFalse({"read-sessions", "read-policy"} & {action for by, action, _ in self.looks("user1") if by != "root"})
        for _ in range(2):
            self.product.command("query", "user", user="user2")
            self.product.command("status", user="user2")
            self.product.command("policy", "show", user="user2")
        self.lab.enter(["busctl", "call", "org.termspan1", "/org/termspan1", "org.termspan1.Manager", "Subscribe"], user="user2")
        for user in ("user1", "user3"):
            looks = self.looks(user)
            for action in ("read-sessions", "read-policy", "read-notifications"):
                self.assertEqual(looks.count(("uid 2002", action, None)), 1, looks)
        self.product.command("query", "user")
        wait_until("root's look to be recorded", lambda: ("root", "read-sessions", None) in self.looks("user1"), 10, progress=self.product.report)

    def test_2_others_see_nothing_of_it(self):
        for arguments in (["audit", "--all"], ["audit", "--user", "user1"]):
            for user in ("user2", "user3"):
                done = self.product.command(*arguments, user=user, check=False)
                self.assertEqual((done.returncode, done.stdout), (NOT_PERMITTED, ""), arguments)
                self.assertIn("org.termspan1.view-audit", done.stderr)
        # That it is whole everybody may check, without its entries.
        verdict = json.loads(self.product.command("verify", "--audit", "--format", "json", user="user2").stdout)["audit"]
        self.assertEqual((verdict["problem"], verdict["entries"]), (None, None), verdict)
        # Nobody but the report service says who reads.
        for user in ("user3", None):
            done = self.lab.enter(["busctl", "call", "org.termspan1", "/org/termspan1", "org.termspan1.Manager", "RecordRead", "a{sv}", "2",
                                   "reader", "u", "2002", "kind", "s", "spans"], user=user, check=False)
            self.assertIn("ccess", done.stderr)

    def test_3_nobody_but_root_looks_unrecorded(self):
        self.lab.enter(["systemctl", "stop", "termspand.service"])
        self.addCleanup(self.product.wait_ready)
        self.addCleanup(self.lab.enter, ["systemctl", "start", "termspand.service"])
        refused = self.product.command("spans", "--user", "user1", user="user2", check=False)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""), refused)
        self.assertIn("Whoever looks at what is others' is recorded, and that can't be done now", refused.stderr)
        self.assertEqual(self.product.command("spans", "--user", "user1").returncode, 0)
        self.assertGreater(len(self.product.listing("session", "history", user="user1")), 0)
        self.product.sync_journal()
        log = self.lab.enter(["journalctl", "--no-pager", "--unit=termspan-reportd.service", "--output=cat"]).stdout
        self.assertIn("root reads spans of others, which can't be recorded", log)

    def test_4_decisions_are_recorded_and_outlive_an_erasure(self):
        self.product.command("untrack", "user1")
        self.product.command("track", "user1", "--reason", "again", "--responsible", "the tests")
        self.product.command("erase", "user1", "--reason", "asked", "--yes")
        rows = [row for row in self.audit("--user", "user1") if row["action"] in ("tracked", "history-erased")]
        # The first is of before all tests.
        self.assertEqual([(row["by"], row["action"], row["user"]) for row in rows],
                         [("root", "tracked", "user1")] * 3 + [("root", "history-erased", "user1")])
        self.assertEqual([row["value"] for row in rows[:3]], ["true", "false", "true"])
        # Of the Do Not Track list, too, under both names.
        self.assertEqual([row["action"] for row in self.audit(user="user1") if row["action"].startswith("do-not-track")],
                         ["do-not-track-added"] * 2 + ["do-not-track-removed"] * 2)
        rows = self.audit("--all")
        self.assertEqual([row["id"] for row in rows], list(range(1, len(rows) + 1)))
        self.assertEqual([row["sha256"] for row in rows], list(self.chain(row["entry"] for row in rows)))

    def test_5_what_was_changed_shows(self):
        # At the collector's end the journal is told of all that there is.
        old = self.product.collector()
        self.lab.enter(["systemctl", "restart", "termspand.service"])
        self.product.wait_ready(other_than=old)
        self.product.sync_journal()
        told = int(re.search(r" has (\d+) entries", self.product.log(event="audit-recorded")[-1]["message"])[1])
        verdict = self.verdict()
        self.assertEqual((verdict["problem"], verdict["entries"]), (None, told))
        self.assertGreater(verdict["journal_records"], 0)
        self.assertRegex(self.product.command("verify", "--audit").stdout,
                         r"^The audit record is as it was written: \d+ entries, of which the journal was told \d+ times\.\n")
        # To look at the record is recorded too, and the same again within a minute is not.
        self.audit("--all")
        wait_until("the look to be recorded", lambda: self.sql("SELECT count(*) FROM audit") == str(told + 1), 10, progress=self.product.report)
        rows = self.audit("--all")

        # Somebody who may write the file, and knows how: one entry, all that follow from it, and the end.
        self.sql("DROP TRIGGER audit_closed; DROP TRIGGER audit_kept; UPDATE audit SET by = 'uid 2003' WHERE id = 1")
        self.assertEqual(self.verdict()["problem"], "entry 1 is not as it was recorded, or one before it was another")
        forged = self.chain(row["entry"].replace("by=root", "by=uid 2003") if row["id"] == 1 else row["entry"] for row in rows)
        self.sql(";".join(f"UPDATE audit SET digest = '{digest}' WHERE id = {number}" for number, digest in enumerate(forged, 1)))
        self.assertRegex(self.verdict()["problem"], r"^entry \d+ is another than the journal told at ")
        self.sql("UPDATE audit SET by = 'root' WHERE id = 1;"
                 + ";".join(f"UPDATE audit SET digest = '{row['sha256']}' WHERE id = {row['id']}" for row in rows))
        self.assertIsNone(self.verdict()["problem"])
        self.sql(f"DELETE FROM audit WHERE id >= {told}")
        self.assertRegex(self.verdict()["problem"], rf"^the journal tells of {told} entries at \S+, and there are {told - 1}$")

    def chain(self, entries):
        """The digests of entries, as anybody can make them: each of the one before and a line; before the first is the store's UUID."""
        uuid = self.sql("SELECT lower(hex(uuid)) FROM machine ORDER BY id LIMIT 1")
        digest = "-".join((uuid[:8], uuid[8:12], uuid[12:16], uuid[16:20], uuid[20:]))
        for entry in entries:
            digest = hashlib.sha256(f"{digest}\n{entry}".encode()).hexdigest()
            yield digest


if __name__ == "__main__":
    unittest.main()
