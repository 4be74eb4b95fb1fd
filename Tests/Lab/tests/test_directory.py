"""Users of a directory and the Do Not Track list: entries by SID, and what holds while no directory says whose one is. TERMSPAN_DEB names the package."""

import json
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.directory import Directory, SSSDDirectory  # noqa: E402
from lablib.product import ProductTestCase, figure  # noqa: E402


class DirectoryTestCase(ProductTestCase):
    def entries(self, user=None):
        return self.product.listing("donottrack", "list", user=user)

    def listed(self):
        return [row["entry"] for row in self.entries()]

    def coverage(self, login):
        return (self.product.session(login) or {}).get("coverage")

    def wait_facts(self, login, facts):
        def hold():
            rows = {row["fact"]: row["value"] for row in self.product.listing("facts", "--user", login) if row["of"] != "session"}
            return all(rows.get(fact) == value for fact, value in facts.items())
        wait_until(f"the facts of {login}", hold, 30, progress=lambda: self.product.command("facts", "--user", login).stdout)

    def wait_coverage(self, coverage, *logins):
        wait_until(f"{logins} to be {coverage}", lambda: all(self.coverage(login) == coverage for login in logins), 30, progress=self.product.report)


class DirectoryTests(DirectoryTestCase):
    """A real domain controller, and logons of its users over RDP. user1 is the machine's own, of whom winbind makes a SID by the UID."""

    users = 1
    tracked = ["user1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = Directory(cls.lab)
        cls.addClassCleanup(cls.directory.remove)
        cls.product.command("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests")

    def setUp(self):
        self.logins = []
        self.addCleanup(self.clear)

    def clear(self):
        for login in [*self.logins, "user1"]:
            self.lab.end(login)
        entries = [row["entry"] for row in self.entries()]
        if entries:
            self.product.command("donottrack", "remove", *entries, "--reason=a test", "--responsible=the tests")
        for login in self.logins:
            self.directory.delete_user(login.split("\\")[1])

    def make_user(self, name, uid):
        login = self.directory.make_user(name, uid)
        self.logins.append(login)
        return login

    def log_on(self, login):
        name = login.split("\\")[-1]
        self.lab.login(login, client=name, address=f"198.51.100.{100 + sum(name.encode()) % 100}")
        wait_until(f"the session of {login} to show", lambda: self.product.session(login), 20, progress=self.product.report)

    def row_of(self, login):
        row, = [row for row in self.product.listing("users") if row["user"] == login]
        return row

    def held_of(self, login):
        """The sessions of which the store holds something: since when."""
        return [row["start"] for row in self.product.listing("session", "history", "--all") if row["user"] == login and row["start"]]

    def test_an_entry_by_sid_holds_before_the_first_logon(self):
        ben, carl = self.make_user("ben", 70001), self.make_user("carl", 70002)
        entry = "sid:" + self.directory.sid(ben)
        self.product.command("donottrack", "add", entry.replace("S-1", "s-1"), "--reason", "asked")
        self.assertEqual(self.listed(), [entry])
        self.log_on(ben)
        self.log_on(carl)
        # Whose none of the entries is, is recorded once that is known.
        self.product.wait_measured(carl)
        self.wait_coverage("untracked", ben)
        self.assertEqual(self.held_of(ben), [])
        row = self.row_of(ben)
        self.assertEqual((row["tracked"], row["decided_by"]), (False, "do-not-track"))
        self.assertEqual((self.row_of(carl)["tracked"], self.row_of(carl)["decided_by"]), (True, "default"))
        # Who it is about sees why.
        self.assertEqual([(row["entry"], row["reason"]) for row in self.entries(user=ben)], [(entry, "asked")])
        self.assertIn(entry, self.product.command("me", user=ben).stdout)
        self.assertEqual(self.entries(user=carl), [])
        # Of the controller's configuration and the login; of who is not recorded nothing.
        self.wait_facts(carl, {"primary-domain": "EXAMPLE.COM", "logon-domain": "EXAMPLE", "login-name": carl})
        self.assertNotIn(ben, {row["user"] for row in self.product.listing("facts", "--history")})
        wait_until("the notice not to say otherwise", lambda: (self.lab.root / "run/termspan/notice/70001/text").read_text() == "", 5)

        # It is known over a restart, without a moment in which it is not.
        probes, old = self.product.probes(), self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)
        self.assertEqual((self.coverage(ben), self.coverage(carl), self.product.probes()), ("untracked", "measured", probes))

        self.product.command("donottrack", "remove", entry, "--reason=a test", "--responsible=the tests")
        self.product.wait_measured(ben)
        # For whoever is logged on, at once.
        self.product.command("donottrack", "add", entry)
        self.assertEqual(self.coverage(ben), "untracked")

        # A policy file that tracks whom it lists by the SID is refused as a whole.
        user = {"name": ben, "tracked": True, "reason": "a test", "responsible": "the tests"}
        for listed, code in ((entry, 1), ("sid:" + self.directory.sid(carl), 0)):
            file = json.dumps({"new_users": "untracked", "users": [user], "do_not_track": [{"entry": "nobody@*"}, {"entry": listed}]})
            done = self.product.command("policy", "apply", "-", "--yes", input=file, check=False)
            self.assertEqual(done.returncode, code, done)
            if code:
                self.assertIn(f"'{ben}', number 1 of 'users', is to be tracked, and '{entry}', number 2 of 'do_not_track', names the same user", done.stderr)
                self.assertEqual((self.listed(), self.product.policy()["new_users"]), ([entry], "tracked"))
        self.product.wait_measured(ben)
        self.product.command("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests")

    def test_untracking_holds_after_another_login_and_uid(self):
        old = self.make_user("ben", 70011)
        sid = "sid:" + self.directory.sid(old)
        self.product.untrack(old)
        self.assertEqual(self.listed(), ["ben@example", "uid:70011", sid])
        new = self.directory.rename("ben", "benjamin", 70012)
        self.logins.append(new)
        self.assertEqual("sid:" + self.directory.sid(new), sid)
        self.log_on(new)
        self.wait_coverage("untracked", new)
        self.assertEqual(self.held_of(new), [])
        before = self.product.collector()
        self.product.kill(before)
        self.product.wait_ready(other_than=before)
        self.assertEqual(self.coverage(new), "untracked")
        # Whoever is to be tracked leaves the list with all that is theirs now.
        self.product.track(new)
        self.assertEqual(self.listed(), ["ben@example", "uid:70011"])
        self.product.wait_measured(new)

    def test_a_domain_is_known_by_both_its_names(self):
        dora = self.make_user("dora", 70021)
        self.product.command("donottrack", "add", "dora@other.org", "dora@example.com")
        self.log_on(dora)
        self.wait_coverage("untracked", dora)
        self.product.command("donottrack", "remove", "dora@example.com", "--reason=a test", "--responsible=the tests")
        self.product.wait_measured(dora)

    def test_nobody_is_recorded_while_a_directory_is_silent(self):
        ben = self.make_user("ben", 70031)
        for login in ("user1", ben):
            self.log_on(login)
        self.product.wait_measured("user1", ben)
        self.addCleanup(self.directory.signal, "CONT")
        self.directory.signal("STOP")
        took = []
        begin = time.monotonic()
        # Somebody's, whoever that is.
        self.product.command("donottrack", "add", "sid:S-1-5-21-1-2-3-1104")
        self.assertEqual({self.coverage("user1"), self.coverage(ben)}, {"sid-unknown"})
        wait_until("the probes to end", lambda: not self.product.probes(), 10)
        for _ in range(20):
            asked = time.monotonic()
            self.product.query_sessions()
            took.append((time.monotonic() - asked) * 1000)
        figure("a listing while a directory is silent", took)
        self.assertLess(max(took), 1000)
        self.assertRegex(self.product.command("doctor", check=False).stdout, r"warn .* is not measured: sid-unknown, SIDs are on the Do Not Track list")
        # Untracking does not wait for it.
        done = self.product.command("untrack", "user1", check=False)
        self.assertIn("no longer tracked, but no directory says which SID the user has", done.stderr)
        self.assertEqual(self.coverage("user1"), "untracked")
        # Nor does an erasure, and says what is left to do.
        done = self.product.command("erase", "user1", "--forget", "--reason", "left", "--yes", check=False)
        self.assertEqual(done.returncode, 1, done)
        self.assertIn("no directory said in time which SID user1 had, if any", done.stderr)
        self.assertIn("  Receipt: ", done.stdout)
        self.assertLess(time.monotonic() - begin, 30)
        self.directory.signal("CONT")
        self.product.wait_measured(ben)
        self.product.untrack("user1")
        self.assertEqual(self.listed(), ["sid:S-1-5-21-1-2-3-1104", "user1@*", "uid:2001", "sid:S-1-22-1-2001"])
        self.product.track("user1")
        self.product.wait_measured("user1")

    def test_a_directory_that_comes_back_is_asked_again(self):
        """What is stopped and not gone may come back with a SID of anybody's."""
        self.product.command("donottrack", "add", "sid:S-1-5-21-1-2-3-1104")
        self.addCleanup(self.directory.start)
        self.directory.stop()
        self.log_on("user1")
        self.wait_coverage("sid-unknown", "user1")
        self.assertEqual(self.product.probes(), {})
        self.directory.start()
        self.product.wait_measured("user1")


class SSSDTests(DirectoryTestCase):
    """Users by SSSD, and without winbind. The cases build on each other, in the order of their names."""

    users = 0

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.directory = SSSDDirectory(cls.lab)
        cls.addClassCleanup(cls.directory.remove)
        cls.product.command("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests")
        cls.ben, cls.sid = cls.directory.make_user("benno")
        cls.carl, _ = cls.directory.make_user("carla")
        for name in ("benno", "carla", "reader"):
            cls.addClassCleanup(cls.directory.delete_user, name)

    def test_1_an_entry_by_sid_holds_before_the_first_logon(self):
        self.product.command("donottrack", "add", f"sid:{self.sid}")
        for login, display in ((self.ben, 901), (self.carl, 902)):
            self.addClassCleanup(self.lab.enter, ["systemctl", "stop", self.directory.log_on(login, display)], check=False)
        self.wait_coverage("measured", self.carl)
        self.wait_coverage("untracked", self.ben)
        self.wait_facts(self.carl, {"primary-domain": "EXAMPLE", "logon-domain": "EXAMPLE", "login-name": self.carl})
        self.product.command("donottrack", "remove", f"sid:{self.sid}", "--reason=a test", "--responsible=the tests")
        self.wait_coverage("measured", self.ben)

    def test_2_who_is_not_known_is_not_recorded_while_it_is_silent_or_stopped(self):
        """SSSD's library says of nobody whom it has not in its cache that it could not ask: as if there were no such user."""
        # Beyond the UIDs of user1 and so on.
        self.lab.enter(["useradd", "--create-home", "--uid", 50001, "local"])
        self.addCleanup(self.lab.enter, ["userdel", "--remove", "--force", "local"], check=False)
        unit = self.directory.log_on("local", 903)
        self.addCleanup(self.lab.end, "local")
        self.wait_coverage("measured", "local")
        self.addCleanup(self.directory.signal, "CONT")
        self.directory.signal("STOP")
        self.product.command("donottrack", "add", "sid:S-1-5-21-1-2-3-1104")
        # Longer than SSSD has to answer.
        begin = time.monotonic()
        while time.monotonic() < begin + 4:
            self.assertEqual(self.coverage("local"), "sid-unknown")
        self.directory.signal("CONT")
        self.wait_coverage("measured", "local", self.ben, self.carl)

        self.lab.enter(["systemctl", "stop", unit])
        wait_until("the session to be gone", lambda: not self.product.session("local"), 20)
        self.directory.stop()
        self.directory.log_on("local", 903)
        self.wait_coverage("sid-unknown", "local")
        self.directory.start()
        self.wait_coverage("measured", "local")


if __name__ == "__main__":
    unittest.main()
