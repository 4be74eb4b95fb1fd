"""One booted lab for a whole run of tests.

    from lablib.testing import LabTestCase

    class Something(LabTestCase):
        users = 2

        def test_it(self):
            self.lab.login("user1")

The first test case that needs it boots the lab, or takes the one that runs. TERMSPAN_LAB_NAME names it
(default: 'test'), TERMSPAN_LAB_SUITE its suite, and TERMSPAN_LAB_OLD_KERNEL=1 takes newer system calls away.
A lab that was booted here is stopped at the end of the run, unless TERMSPAN_LAB_KEEP is set; one that ran before
is left running.
"""

import atexit
import functools
import os
import unittest

from .lab import Lab


@functools.cache
def shared_lab():
    lab = Lab(os.environ.get("TERMSPAN_LAB_NAME") or "test")
    booted = lab.boot(os.environ.get("TERMSPAN_LAB_SUITE") or None, old_kernel=bool(os.environ.get("TERMSPAN_LAB_OLD_KERNEL")))
    if booted and not os.environ.get("TERMSPAN_LAB_KEEP"):
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
