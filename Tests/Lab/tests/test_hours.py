"""Tracking hours, holidays, and hours of groups: outside them nothing is collected. TERMSPAN_DEB names the package."""

import datetime
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, figure, moment  # noqa: E402

FILE = "/etc/termspan/termspan.yaml.d/70-hours.yaml"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")


class HoursTests(ProductTestCase):
    """The cases build on each other, in the order of their names. The lab's zone is UTC."""

    users = 2
    tracked = ["user1", "user2"]
    # Wider hours take both.
    settings = {"responsible": "Ann of the lab", "reason": "hours that are tried out"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.addClassCleanup(cls.lab.enter, ["rm", "-f", FILE])
        for group in ("night", "nowhere"):
            cls.addClassCleanup(cls.lab.enter, ["groupdel", group], check=False)
        for user in ("user1", "user2"):
            cls.lab.login(user)
        cls.product.wait_measured("user1", "user2")

    def set_hours(self, *lines):
        (self.lab.root / FILE.lstrip("/")).write_text("\n".join(lines) + "\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"])

    @staticmethod
    def another_day():
        """A day that is neither this nor the next nor the one before."""
        return DAYS[(datetime.datetime.now(datetime.timezone.utc).weekday() + 3) % 7]

    def coverage(self, user="user1"):
        return (self.product.session(user) or {}).get("coverage")

    def wait_coverage(self, coverage, *users):
        wait_until(f"{users} to be {coverage}", lambda: all(self.coverage(user) == coverage for user in users), 20, progress=self.product.report)

    def seen(self, window_class):
        return any(span["class"] == window_class for span in self.product.spans("user1", open=True))

    def test_1_outside_nothing_is_collected(self):
        self.focus("Before")
        wait_until("the window to be seen", lambda: self.seen("Before"), 20, progress=self.product.report)
        begin = time.time()
        self.set_hours("tracking-hours:", f"  - {{days: {self.another_day()}, hours: 07:00-19:00}}")
        self.wait_coverage("outside-hours", "user1", "user2")
        wait_until("the probes to end", lambda: not self.product.probes(), 5)
        closed = time.time()
        row = self.product.session("user1")
        self.assertEqual((row["tracked"], row["idle"], row["last_input"]), (True, None, None))
        self.assertRegex(self.product.command("me", user="user1").stdout,
                         r"^Your activity is not recorded at this time, outside the tracking hours; again from \S+T07:00:00\+00:00\.\n")
        hours = self.product.listing("me", user="user1")["hours"]
        self.assertEqual((hours["hours"], hours["group"], hours["within"]), ([f"{self.another_day()} 07:00-19:00"], None, False))
        self.assertEqual(self.product.policy()["tracking_hours"], [{"group": None, "hours": f"{self.another_day()} 07:00-19:00"}])
        self.focus("Secret")
        # Killed, the next collector knows what time it is.
        old = self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)
        self.focus("Before")
        self.focus("Secret")
        self.assertEqual((self.coverage(), self.product.probes()), ("outside-hours", {}))

        # They begin with the next minute, to the moment.
        start = time.time() // 60 * 60 + 60
        if start - time.time() < 8:
            start += 60
        texts = [datetime.datetime.fromtimestamp(start + hour * 3600, datetime.timezone.utc).strftime("%H:%M") for hour in (0, 1)]
        self.set_hours("tracking-hours:", f"  - {{hours: {texts[0]}-{texts[1]}}}")
        wait_until("the setting to hold", lambda: moment(self.product.listing("me", user="user1")["hours"]["until"]) == start, 20,
                   progress=self.product.report)
        self.assertEqual(self.coverage(), "outside-hours")
        self.product.wait_measured("user1", "user2", timeout=start - time.time() + 20)
        self.focus("After")
        wait_until("the window to be seen", lambda: self.seen("After"), 20, progress=self.product.report)

        events = self.product.listing("session", "history", "--events", user="user1")
        resumed, = (moment(event["time"]) for event in events if event["event"] == "resume")
        figure("tracking hours to the session that is recorded again", [(resumed - start) * 1000])
        self.assertTrue(-0.001 <= resumed - start < 0.5, (resumed, start))
        spans = self.product.spans("user1", open=True)
        self.assertEqual([span for span in spans if moment(span["start"]) < start and moment(span["end"] or span["start"]) > closed], [])
        summary, = self.product.summary("user1")
        self.assertTrue(start - closed <= summary["paused"] <= resumed - begin, (summary, begin, closed, start))
        self.assertAlmostEqual(sum(summary[name] for name in CATEGORIES), summary["total"], places=6)
        told = [record["message"] for record in self.product.log(event="tracking-hours")]
        self.assertEqual([text.split("hours ")[1] for text in told],
                         ["0 sessions are recorded from now on, and 2 no longer are.", "2 sessions are recorded from now on, and 0 no longer are."])

    def test_2_what_probes_saw_outside_while_no_collector_ran_is_not_used(self):
        """Hours end and begin again while the collector is away: its probes go on, and what they saw meanwhile is nobody's business."""
        close = time.time() // 60 * 60 + 60
        if close - time.time() < 20:
            close += 60
        texts = [datetime.datetime.fromtimestamp(close + minutes * 60, datetime.timezone.utc).strftime("%H:%M") for minutes in (0, 1)]
        # Where midnight is not far, both are of the days around it.
        self.set_hours("tracking-hours:", f"  - {{hours: {texts[1]}-{texts[0]}}}")
        self.product.wait_measured("user1", "user2")
        acted = time.time()
        self.focus("Again")
        wait_until("the window to be seen", lambda: self.seen("Again"), 20, progress=self.product.report)
        # Of what is not stored yet the lane alone would tell, which may tell of the time outside too.
        wait_until("all to be stored", lambda: self.product.status()["pending"] == 0, 20, progress=self.product.report)
        before, = self.product.summary("user1")
        probes = self.product.probes()
        # As long as that it stays away.
        folder = self.lab.root / "run/systemd/system/termspand.service.d"
        folder.mkdir(parents=True, exist_ok=True)
        self.addCleanup(self.lab.enter, ["systemctl", "daemon-reload"])
        self.addCleanup(lambda: (folder / "away.conf").unlink(missing_ok=True))
        (folder / "away.conf").write_text(f"[Service]\nRestartSec={close + 63 - time.time():.0f}s\n")
        self.lab.enter(["systemctl", "daemon-reload"])
        old = self.product.collector()
        self.product.kill(old)
        killed = time.time()
        self.assertLess(killed, close, "the lab was too slow to be away before the hours end")
        wait_until("the hours to end", lambda: time.time() > close + 1, close - time.time() + 10)
        self.focus("Secret")
        self.focus("Before")
        self.focus("Secret")
        self.assertEqual(self.product.probes(), probes)
        self.product.wait_ready(other_than=old, timeout=120)
        self.product.wait_measured("user1", "user2")
        measured = time.time()
        self.assertFalse(set(self.product.probes().values()) & set(probes.values()))
        self.focus("Later")
        wait_until("the window to be seen", lambda: self.seen("Later"), 20, progress=self.product.report)

        # The window that was active when it began again is known; nothing is of before.
        spans = self.product.spans("user1", open=True)
        self.assertEqual([span for span in spans if moment(span["start"]) < close + 60 and moment(span["end"] or span["start"]) > close], [])
        summary, = self.product.summary("user1")
        self.assertAlmostEqual(summary["paused"] - before["paused"], 60, delta=0.5)
        self.assertTrue(close - killed - 0.5 <= summary["unknown"] - before["unknown"] <= measured - acted - 60 + 0.5, (before, summary, acted, killed, close))
        self.assertAlmostEqual(sum(summary[name] for name in CATEGORIES), summary["total"], places=6)

    def test_3_groups_have_hours_of_their_own(self):
        self.lab.enter(["groupadd", "night"])
        self.lab.enter(["usermod", "-aG", "night", "user2"])
        others = "  - {hours: 00:00-24:00}"
        night = f"  - {{group: night, days: {self.another_day()}, hours: 22:00-06:00}}"
        self.set_hours("tracking-hours:", others, night)
        self.wait_coverage("outside-hours", "user2")
        self.product.wait_measured("user1")
        self.assertIn("of the group night", self.product.command("me", user="user2").stdout)
        # It is known over a restart, without a moment in which it is not.
        probe = self.product.probes()
        old = self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)
        self.assertEqual((self.coverage("user1"), self.coverage("user2"), self.product.probes()), ("measured", "outside-hours", probe))

        # Who joins a group is in it from the next logon or reload on.
        self.lab.enter(["usermod", "-aG", "night", "user1"])
        self.lab.logout("user1")
        self.lab.login("user1")
        self.wait_coverage("outside-hours", "user1")
        self.lab.enter(["gpasswd", "-d", "user1", "night"])
        self.set_hours("tracking-hours:", others, night)
        self.product.wait_measured("user1")

        # Who might be in a group that is not known is not recorded.
        self.set_hours("tracking-hours:", "  - {group: nowhere, hours: 00:00-24:00}", others, night)
        self.wait_coverage("group-unknown", "user1", "user2")
        doctor = self.product.command("doctor", check=False).stdout
        self.assertRegex(doctor, r"warn .*user\d is not measured: group-unknown, tracking-hours names what is not known as a group: nowhere")
        self.assertIn("which tracking hours are yours is not known yet.", self.product.command("me", user="user1").stdout)
        self.lab.enter(["groupadd", "nowhere"])
        self.set_hours("tracking-hours:", "  - {group: nowhere, hours: 00:00-24:00}", others, night)
        self.product.wait_measured("user1")
        self.assertEqual(self.coverage("user2"), "outside-hours")

    def test_4_holidays_and_what_is_wrong(self):
        today = datetime.datetime.now(datetime.timezone.utc).date()
        self.set_hours(f"holidays: [2026-01-01, {today}, {today + datetime.timedelta(days=1)}]")
        self.wait_coverage("outside-hours", "user1", "user2")
        self.assertIn("always; not on 3 holidays", self.product.command("me", user="user1").stdout)
        (self.lab.root / FILE.lstrip("/")).write_text("tracking-hours:\n  - {hours: 07:00-19:00}\n  - {hours: nine to five}\n")
        refused = self.lab.enter(["systemctl", "reload", "termspand.service"], check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("70-hours.yaml:3: tracking-hours: each must be like {days: mon-fri", self.product.command("doctor", check=False).stdout)
        self.assertEqual(self.coverage(), "outside-hours")
        # What has more recorded takes grounds, which the users find.
        (self.lab.root / FILE.lstrip("/")).write_text("holidays: []\nreason: ''\n")
        refused = self.lab.enter(["systemctl", "reload", "termspand.service"], check=False)
        wait_until("it to be refused", lambda: "wider tracking hours, or fewer holidays" in str(self.product.log(event="configuration-error")), 20)
        self.assertEqual((self.coverage("user1"), self.coverage("user2")), ("outside-hours", "outside-hours"), refused)
        self.set_hours("holidays: []")
        self.product.wait_measured("user1", "user2")
        grounds = {row["key"]: (row["by"], row["reason"], row["responsible"]) for row in self.product.listing("me", user="user2")["policy"]["raises"]}
        self.assertEqual(grounds["wider-hours"], ("root", "hours that are tried out", "Ann of the lab"))
        self.assertRegex(self.product.command("me", user="user2").stdout, r"Wider hours: decided by root on \S+: hours that are tried\s+out; Ann of the lab")

    def test_5_whom_a_group_has_recorded_for_longer_is_told_why(self):
        self.product.command("group", "add", "part", "user2")
        self.addCleanup(self.product.command, "group", "remove", "part", "user2", "--reason=a test", check=False)
        self.set_hours("tracking-hours:", f"  - {{group: own:part, days: {self.another_day()}, hours: 22:00-06:00}}")
        self.wait_coverage("outside-hours", "user2")
        refused = self.product.command("group", "remove", "part", "user2", "--responsible=Eve", check=False)
        self.assertNotEqual(refused.returncode, 0)
        self.assertIn("On own:part hang wider tracking hours", refused.stderr)
        self.assertIn("takes a reason", refused.stderr)
        self.assertEqual(self.coverage("user2"), "outside-hours")
        self.product.command("group", "remove", "part", "user2", "--responsible=Eve", "--reason=full time again")
        self.product.wait_measured("user2")
        self.assertRegex(self.product.command("me", user="user2").stdout, r"Group left: own:part, decided by root on \S+: full time again; Eve")
        # To join what narrows takes none.
        self.product.command("group", "add", "part", "user2")
        self.wait_coverage("outside-hours", "user2")


if __name__ == "__main__":
    unittest.main()
