"""Seats: of how many users something may be held. TERMSPAN_DEB names the package."""

import sys
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import FRAGMENT, ProductTestCase  # noqa: E402


class SeatsTests(ProductTestCase):
    """The cases build on each other, in the order of their names: one seat, which user1 has before user2 comes."""

    users = 2
    tracked = ["user1", "user2"]
    settings = {"seats": "1"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.lab.sessions, 0)
        cls.lab.sessions(1)
        cls.product.wait_measured("user1")
        cls.lab.sessions(2)
        wait_until("user2's session", lambda: cls.product.session("user2"), 20)

    def seats(self, user=None):
        return {row["user"]: row["seat"] for row in self.product.listing("users", "--seats", user=user) if row["user"] in self.user_names}

    def wait_seats(self, **seats):
        """What is recorded shows once it is stored."""
        wait_until(f"the seats {seats}", lambda: self.seats() == seats, 20, progress=self.product.report)

    def coverage(self, user):
        return self.product.session(user)["coverage"]

    def test_1_who_is_new_waits_and_is_told(self):
        self.wait_seats(user1="taken", user2="waits")
        self.assertEqual(self.coverage("user2"), "no-seat")
        self.assertRegex(self.product.command("users", "--seats").stdout, r"\n\nSeats: 1 of 1 are taken\.\n$")
        self.assertEqual(self.seats(user="user2"), {"user2": "waits"})
        self.assertEqual((self.coverage("user1"), len(self.product.probes())), ("measured", 1))
        self.assertRegex(self.product.command("me", user="user2").stdout, "^Your activity is not recorded: all seats of this server are taken")
        self.assertRegex(self.product.command("me", user="user1").stdout, "^Your activity is recorded")
        done = self.product.command("track", "user2", "--reason", "a test", "--responsible", "the tests")
        self.assertEqual(done.stdout, "user2 was tracked already, and is not recorded until a seat is free: termspan users --seats.\n")
        # A user is not told how many others there are.
        policy = self.product.listing("policy", "show", user="user2")
        self.assertEqual((policy["seats"], policy["seats_taken"]), (1, None))
        wait_until("the journal's record", lambda: [record["user"] for record in self.product.log(event="limit-reached")] == ["user2"], 10)
        self.assertIn("all seats are taken (1 in all)", self.product.command("doctor", check=False).stdout)
        self.assertEqual([row["user"] for row in self.product.listing("session", "history") if row["start"]], ["user1"])

    def test_2_a_restart_gives_nobody_anothers(self):
        old = self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)
        self.product.wait_measured("user1")
        self.assertEqual((self.coverage("user2"), self.seats()), ("no-seat", {"user1": "taken", "user2": "waits"}))

    def test_3_it_is_kept_for_as_long_as_anything_is_held(self):
        self.product.untrack("user1")
        self.assertEqual((self.coverage("user2"), self.seats()), ("no-seat", {"user1": "taken", "user2": "waits"}))
        self.product.command("erase", "user1", "--reason", "a test", "--yes")
        self.product.wait_measured("user2", timeout=20)
        self.wait_seats(user1="none", user2="taken")

    def test_4_what_the_configuration_decides_is_in_the_audit_record(self):
        def changes(user=None):
            return [(row["by"], row["value"]) for row in self.product.listing("audit", *([] if user else ["--all"]), user=user) if row["action"] == "configuration"]
        usual = "keep-activity 180d; keep-sessions 400d; pause-per-day 1h; unencrypted-disk accept; seats"
        self.assertEqual(changes(), [("root", f"{usual} 1")])
        # What decides about nobody is not recorded, and the same again neither.
        (self.lab.root / FRAGMENT).write_text("seats: 1\nburst-gap: 20s\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"])
        (self.lab.root / FRAGMENT).write_text("seats: 3\nresponsible: somebody\nreason: more users\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"])
        wanted = [("root", f"{usual} 1"), ("root", f"{usual} 3")]
        wait_until("the entry", lambda: changes() == wanted, 10, progress=lambda: str(changes()))
        # It is about everybody, who can see it.
        self.assertEqual(changes(user="user2"), wanted)
        self.assertEqual(self.product.command("verify", "--audit").returncode, 0)
        (self.lab.root / FRAGMENT).write_text("seats: 1\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"])
        wait_until("the entry", lambda: len(changes()) == 3, 10)

    def test_5_another_number_holds_at_once_and_takes_nobodys_away(self):
        self.product.track("user1")
        self.wait_seats(user1="waits", user2="taken")
        # More take grounds.
        (self.lab.root / FRAGMENT).write_text("seats: 2\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"], check=False)
        wait_until("it to be refused", lambda: "more seats" in str(self.product.log(event="configuration-error")), 20)
        self.assertEqual(self.product.policy()["seats"], 1)
        for seats in (2, 1):
            (self.lab.root / FRAGMENT).write_text(f"seats: {seats}\nresponsible: somebody\nreason: more users\n")
            self.lab.enter(["systemctl", "reload", "termspand.service"])
            self.product.wait_measured("user1", "user2", timeout=20)
        self.wait_seats(user1="taken", user2="taken")
        self.assertRegex(self.product.command("policy", "show").stdout, "Seats: 2 of 1 are taken")


if __name__ == "__main__":
    unittest.main()
