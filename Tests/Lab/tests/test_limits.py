"""Limits that a user can hit, set so low that it does not take long. TERMSPAN_DEB names the package."""

import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lablib import wait_until  # noqa: E402
from lablib.hostile import HostileTestCase  # noqa: E402


class LimitTests(HostileTestCase):
    honest_users = ("user1",)
    desktops = 3
    settings = {"rows-per-day": 100, "probe-starts-per-minute": 1}

    def test_rows_of_a_day(self):
        # Till its probe had started.
        unknown = self.product.summary("user1")[0]["unknown"]
        with self.attacks(("user2", "flap")):
            self.assert_limit("rows", "user2")
            self.assertEqual(self.rows("user2")[0]["coverage"], "measured")
        with self.subTest("what is beyond is Unknown"):
            wait_until("unknown time", lambda: self.product.summary("user2")[0]["unknown"] > 1, 20)
            # One may come between the limit and the aggregator's hearing of it.
            self.assertLess(len(self.product.spans("user2")), 110)
        with self.subTest("and of nobody else"):
            self.assertEqual(self.product.summary("user1")[0]["unknown"], unknown)
        self.assert_others_measured()

    def test_starts_of_probes(self):
        with self.attacks(("user3", "kill-clients")):
            self.assert_limit("probe-starts", "user3")
            self.wait_coverage("user3", "limited")
            self.assert_doctor_names("user3")
        self.assertLessEqual(len(self.product.log(event="probe-started", user="user3")), 2 + (time.time() - self.begin) / 60 + 1)
        with self.subTest("it is measured again when its turn comes"):
            self.wait_coverage("user3", "measured", timeout=90)
        self.assert_others_measured()


if __name__ == "__main__":
    unittest.main()
