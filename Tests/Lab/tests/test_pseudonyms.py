"""Pseudonyms: what an analyst sees, and whom a trustee can name. TERMSPAN_DEB names the package."""

import json
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase  # noqa: E402

USAGE, NOT_FOUND, NOT_PERMITTED = 2, 3, 4
ADDRESS = "198.51.100.155"
PROGRAM = "/home/user1/.local/bin/private-tool"
REPORTS = ("org.termspan1.Reports", "/org/termspan1/reports", "org.termspan1.Reports")


class PseudonymTests(ProductTestCase):
    """user1 and user2 work; user3 is an analyst, user4 a trustee, user5 nobody."""

    users = 5
    tracked = ["user1", "user2"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for role, user in (("analyst", "user3"), ("trustee", "user4")):
            cls.lab.enter(["groupadd", "--force", f"lab-{role}"])
            cls.addClassCleanup(cls.lab.enter, ["groupdel", f"lab-{role}"], check=False)
            cls.lab.enter(["gpasswd", "--members", user, f"lab-{role}"])
            cls.product.command("role", "grant", role, f"lab-{role}", "--reason", "a test")
        cls.lab.login("user1", address=ADDRESS)
        cls.lab.login("user2")
        cls.product.wait_measured("user1", "user2")
        cls.lab.enter(["install", "-D", "/usr/bin/xterm", PROGRAM], user="user1")
        cls.lab.run("user1", [PROGRAM, "-class", "PrivateTool"])
        cls.lab.focus("user1", "PrivateTool")
        cls.lab.key("user1", "x")
        cls.lab.run("user2", ["xterm", "-class", "Common"])
        cls.lab.focus("user2", "Common")
        # Both ends of what is looked at are there then.
        for user, name in (("user1", "PrivateTool"), ("user2", "Common")):
            wait_until(f"{name} to be seen", lambda: any(span["class"] == name for span in cls.product.spans(user, open=True)), 20)
        cls.month = time.strftime("%Y-%m")

    def test_1_an_analyst_sees_what_was_done_and_not_by_whom(self):
        secrets = ("user1", "user2", "2001", "2002", ADDRESS, "/home", *(self.product.session(user)["uuid"] for user in ("user1", "user2")))
        for arguments in (("spans", "--open"), ("activity", "--open"), ("summary",), ("session", "history"), ("session", "history", "--events")):
            with self.subTest(arguments):
                done = self.product.command(*arguments, "--pseudonyms", self.month, "--format", "json", user="user3")
                for secret in secrets:
                    self.assertNotIn(secret, done.stdout)
                rows = json.loads(done.stdout)
                self.assertEqual(len({row["user"] for row in rows}), 2, rows)
                self.assertEqual({(row["uid"], row["session"]) for row in rows}, {(None, None)})
                table = self.product.command(*arguments, "--pseudonyms", self.month, user="user3").stdout
                for secret in secrets:
                    self.assertNotIn(secret, table)
        spans = self.product.listing("spans", "--open", "--pseudonyms", self.month, user="user3")
        self.assertEqual({span["executable"] for span in spans if span["class"] == "PrivateTool"}, {"private-tool"})
        for row in self.product.listing("summary", "--pseudonyms", self.month, user="user3"):
            self.assertAlmostEqual(sum(row[name] for name in CATEGORIES), row["total"], places=6)
        # Also who sees the names has no folder of the user's with the user's name in it.
        self.assertEqual({span["executable"] for span in self.product.spans("user1", open=True) if span["class"] == "PrivateTool"},
                         {"/home/~/.local/bin/private-tool"})

    def test_2_and_nothing_else(self):
        for arguments in (("spans", "--all"), ("spans", "--user", "user1"), ("users", "--all"), ("audit", "--all"), ("reveal", "u202610-abcdefghij", "--reason", "x")):
            done = self.product.command(*arguments, user="user3", check=False)
            self.assertEqual(done.returncode, NOT_PERMITTED, (arguments, done))
        self.assertEqual(self.product.command("spans", "--pseudonyms", self.month, "--user", "user1", user="user3", check=False).returncode, USAGE)
        for name, *value in (("user", "s", "user1"), ("uid", "u", "2001"), ("session", "u", "1"), ("since", "t", "1"), ("until", "t", "1"), ("all", "b", "true")):
            done = self.lab.enter(["busctl", "call", *REPORTS, "Spans", "a{sv}", "2", "pseudonyms", "s", self.month, name, *value], user="user3", check=False)
            self.assertNotEqual(done.returncode, 0, name)
            self.assertIn("no filter", done.stderr)
        for user in ("user1", "user4", "user5"):
            done = self.product.command("summary", "--pseudonyms", self.month, user=user, check=False)
            self.assertEqual(done.returncode, NOT_PERMITTED, (user, done))
            self.assertIn("org.termspan1.view-pseudonyms", done.stderr)

    def test_3_a_trustee_can_say_whose_it_is_and_it_is_told(self):
        spans = self.product.listing("spans", "--open", "--pseudonyms", self.month, user="user3")
        name, = {span["user"] for span in spans if span["class"] == "PrivateTool"}
        for user in ("user1", "user3", "user5"):
            done = self.product.command("reveal", name, "--reason", "a case", user=user, check=False)
            self.assertEqual(done.returncode, NOT_PERMITTED, done)
        self.assertEqual(self.product.command("reveal", name, user="user4", check=False).returncode, USAGE)
        row, = self.product.listing("reveal", name, "--reason", "a case", user="user4")
        self.assertEqual(row, {"pseudonym": name, "user": "user1", "uid": 2001})
        self.assertEqual(self.product.command("reveal", f"{name[:-1]}{'a' if name[-1] != 'a' else 'b'}", "--reason", "x", user="user4", check=False).returncode, NOT_FOUND)
        shown = [entry for entry in self.product.listing("audit", user="user1") if entry["action"] == "pseudonym-revealed"]
        self.assertEqual([(entry["by"], entry["user"], entry["value"]) for entry in shown], [("uid 2004", "user1", self.month)])
        self.assertFalse([entry for entry in self.product.listing("audit", user="user2") if entry["action"] == "pseudonym-revealed"])
        # That somebody looked is told to everybody.
        self.assertIn("read-pseudonyms", {entry["action"] for entry in self.product.listing("audit", user="user2")})
        said = " ".join(self.product.command("me", user="user2").stdout.split())
        self.assertIn("members of lab-analyst (analyst, only by a pseudonym", said)
        self.assertIn("members of lab-trustee (trustee, only whose a pseudonym is)", said)
        self.assertNotIn("user1", self.product.command("log", "--event", "policy-changed", "--format", "json").stdout.split("whose a pseudonym")[1].splitlines()[0])


if __name__ == "__main__":
    unittest.main()
