"""One booted lab for a whole run of tests.

    from lablib.testing import LabTestCase

    class Something(LabTestCase):
        users = 2

        def test_it(self):
            self.lab.login("user1")

The first test case that needs it boots the lab, or takes the one that runs. TERMSPAN_LAB_NAME names it
(default: 'test'), TERMSPAN_LAB_SUITE its suite. A lab that was booted here is stopped at the end of the
run, unless TERMSPAN_LAB_KEEP is set; one that ran before is left running.
"""

import atexit
import functools
import os
import unittest

from .lab import Lab


@functools.cache
def shared_lab():
    lab = Lab(os.environ.get("TERMSPAN_LAB_NAME") or "test")
    suite = os.environ.get("TERMSPAN_LAB_SUITE") or (lab.container.state.get("suite") if lab.running else None) or "bookworm"
    old_kernel = bool(lab.container.state.get("old_kernel")) if lab.running else bool(os.environ.get("TERMSPAN_LAB_OLD_KERNEL"))
    if lab.boot(suite, old_kernel=old_kernel) and not os.environ.get("TERMSPAN_LAB_KEEP"):
        atexit.register(lab.stop)
    return lab


class LabTestCase(unittest.TestCase):
    """A test case on the shared lab, with user1 to userN logged out before and after the case."""

    users = 1

    @classmethod
    def setUpClass(cls):
        cls.lab = shared_lab()
        cls.user_names = cls.lab.users(cls.users)
        cls.addClassCleanup(cls._end_all)
        cls._end_all()

    @classmethod
    def _end_all(cls):
        for user in cls.user_names:
            cls.lab.end(user)
