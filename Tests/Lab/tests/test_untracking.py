"""Users are untracked at random moments under load: nothing later is held. TERMSPAN_DEB names the package."""

import sys
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import LabError  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402
from lablib.untracks import check, untrack_at_random  # noqa: E402

USERS = [f"user{number}" for number in range(1, 5)]


class CheckTests(unittest.TestCase):
    """The comparison finds what it is there to find."""

    STRETCH = {"user": "user1", "asked": 10**10, "answered": 10**10 + 100, "tracked": 2 * 10**10}
    RIGHT = [("user1", "focus", 5, 10**10 + 50), ("user1", "unknown", 2 * 10**10, 3 * 10**10), ("user2", "focus", 5, 3 * 10**10)]

    def test_what_is_right_passes(self):
        check(self.RIGHT, [self.STRETCH])

    def test_what_is_later_is_found(self):
        for row in (("user1", "focus", 5, 10**10 + 101), ("user1", "burst", 10**10 + 200, 10**10 + 200), ("user1", "unknown", 5, 4 * 10**10),
                    ("user1", "event", 2 * 10**10 - 1, 2 * 10**10 - 1)):
            with self.assertRaises(LabError, msg=row):
                check([*self.RIGHT, row], [self.STRETCH])

    def test_that_nothing_was_measured_is_found(self):
        with self.assertRaises(LabError):
            check(self.RIGHT[1:], [self.STRETCH])


class UntrackingTests(ProductTestCase):
    users = len(USERS)
    tracked = USERS
    settings = {"burst-gap": "500ms", "probe-starts-per-minute": 1000}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.lab.sessions, 0)
        cls.lab.sessions(len(USERS))
        cls.product.wait_measured(*USERS, timeout=60)

    def test_nothing_later_is_held_and_no_probe_is_left(self):
        untrack_at_random(self.product, USERS, 40, 1)


if __name__ == "__main__":
    unittest.main()
