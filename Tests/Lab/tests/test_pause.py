"""Users pause the recording of their own activity: nothing of it is collected, and no more than they may. TERMSPAN_DEB names the package."""

import json
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, figure, moment  # noqa: E402


class PauseTests(ProductTestCase):
    """The cases build on each other, in the order of their names."""

    users = 2
    tracked = ["user1"]
    # Less than usual takes both.
    settings = {"pause-per-day": "10m", "responsible": "the tests", "reason": "a test"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.login("user1")
        cls.row, = cls.product.wait_measured("user1")

    def seen(self, window_class):
        return any(span["class"] == window_class for span in self.product.spans("user1", open=True))

    def coverage(self):
        return self.product.session("user1")["coverage"]

    def retention_due(self):
        return json.loads((self.lab.root / "run/termspan/sessions.json").read_text())["retentionDue"]

    def test_1_nothing_is_collected_meanwhile(self):
        self.focus("Before")
        wait_until("the window to be seen", lambda: self.seen("Before"), 20, progress=self.product.report)
        self.assertIn("Pauses: 10 min left today", self.product.command("me", user="user1").stdout)
        begin = time.time()
        self.assertRegex(self.product.command("pause", "5m", user="user1").stdout, r"^Your activity is not recorded until \S+\.\n$")
        paused = time.time()
        wait_until("the probe to end", lambda: not self.product.probes(), 5)
        figure("pause to no probe, with the calls themselves", [(time.time() - begin) * 1000])
        row = self.product.session("user1")
        self.assertEqual((row["coverage"], row["tracked"], row["idle"], row["last_input"]), ("paused", True, None, None))
        self.assertRegex(self.product.command("me", user="user1").stdout, r"^You have paused the recording of your activity until \S+: termspan resume ends")
        view = self.product.listing("me", user="user1")
        self.assertAlmostEqual(moment(view["paused_until"]), paused + 300, delta=3)
        self.assertAlmostEqual(view["pause_left"], 300, delta=3)
        self.focus("Secret")
        # Killed, the next collector knows of it; and of when what is too old goes next, which a start does not put off.
        due = self.retention_due()
        old = self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)
        self.focus("Before")
        self.focus("Secret")
        self.assertEqual((self.coverage(), self.product.probes()), ("paused", {}))
        resumed = time.time()
        self.assertEqual(self.product.command("resume", user="user1").stdout, "Your pause is over.\n")
        ended = time.time()
        self.assertEqual(self.retention_due(), due)
        self.product.wait_measured("user1")
        self.focus("After")
        wait_until("the window to be seen", lambda: self.seen("After"), 20, progress=self.product.report)
        self.assertEqual(self.product.command("resume", user="user1").stdout, "You have no pause under way.\n")

        spans = self.product.spans("user1", open=True)
        inside = [span for span in spans if moment(span["start"]) < resumed and moment(span["end"] or span["start"]) > paused]
        self.assertEqual(inside, [])
        summary, = self.product.summary("user1")
        self.assertTrue(resumed - paused <= summary["paused"] <= ended - begin, (summary, paused, resumed))
        self.assertAlmostEqual(sum(summary[name] for name in CATEGORIES), summary["total"], places=6)
        events = [event["event"] for event in self.product.listing("session", "history", "--events", user="user1")]
        self.assertEqual([event for event in events if event in ("pause", "resume")], ["pause", "resume"])
        told = [record["event"] for record in self.product.log(user="user1") if record["event"].startswith("recording-")]
        self.assertEqual(told, ["recording-paused", "recording-resumed"])

    def test_2_it_ends_by_itself(self):
        self.product.command("pause", "5s", user="user1")
        self.assertEqual(self.coverage(), "paused")
        self.product.wait_measured("user1", timeout=20)
        # While no collector runs, too.
        self.product.command("pause", "2s", user="user1")
        self.lab.enter(["systemctl", "stop", "termspand.service"])
        time.sleep(3)
        self.lab.enter(["systemctl", "start", "termspand.service"])
        self.product.wait_ready()
        self.product.wait_measured("user1")
        self.focus("Later")
        wait_until("the window to be seen", lambda: self.seen("Later"), 20, progress=self.product.report)
        summary, = self.product.summary("user1")
        self.assertAlmostEqual(sum(summary[name] for name in CATEGORIES), summary["total"], places=6)

    def test_3_no_more_than_granted_and_only_of_the_own(self):
        refused = self.product.command("pause", "1h", user="user1", check=False)
        self.assertEqual((refused.returncode, refused.stdout), (1, ""), refused)
        self.assertRegex(refused.stderr, r"\d of the 10 minutes are left that you may pause in 24 hours\.")
        self.assertEqual(self.coverage(), "measured")
        # Each counts a minute at least: soon nothing is left.
        for _ in range(10):
            if self.product.command("pause", "1s", user="user1", check=False).returncode:
                break
        else:
            self.fail("there is no end to it")
        self.product.wait_measured("user1", timeout=20)
        for user in ("user2", None):
            refused = self.product.command("pause", "1m", user=user, check=False)
            self.assertEqual(refused.returncode, 1, refused)
            self.assertIn("Your activity is not recorded.", refused.stderr)
        self.assertEqual(self.coverage(), "measured")

    def test_4_untracked_is_untracked(self):
        self.lab.enter(["sh", "-c", "echo 'pause-per-day: 1h' >/etc/termspan/termspan.yaml.d/60-pause.yaml"])
        self.addCleanup(self.lab.enter, ["rm", "/etc/termspan/termspan.yaml.d/60-pause.yaml"])
        self.lab.enter(["systemctl", "reload", "termspand.service"])
        wait_until("the setting to hold", lambda: self.product.listing("me", user="user1")["pause_left"] > 600, 20, progress=self.product.report)
        self.product.command("pause", "1s", user="user1")
        self.product.untrack("user1")
        self.assertEqual(self.coverage(), "untracked")
        time.sleep(2)
        self.assertEqual((self.coverage(), self.product.probes()), ("untracked", {}))
        # Tracked again in a pause, it begins when that is over.
        self.product.track("user1")
        self.product.wait_measured("user1")
        self.product.command("pause", "20s", user="user1")
        self.product.untrack("user1")
        self.product.track("user1")
        self.assertEqual(self.coverage(), "paused")
        self.product.wait_measured("user1", timeout=60)


if __name__ == "__main__":
    unittest.main()
