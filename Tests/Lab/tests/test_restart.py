"""Nothing is lost when the collector or a probe dies, restarts or is upgraded, while a user goes on working.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import os
import shutil
import sys
import time
import unittest
from contextlib import contextmanager
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, figure, moment  # noqa: E402
from lablib.soak_check import SUCCESSOR_LIMIT  # noqa: E402
from lablib.work import WINDOWS, Switching  # noqa: E402


class WorkGoesOnTests(ProductTestCase):
    """A tracked user switches windows five times a second while something happens to the collector, and every switch is held."""

    users = 2
    tracked = ["user1", "user2"]
    # Not so short that the window manager may be late by one: who then asks what is active is told only the last.
    PAUSE = 0.2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for user in cls.user_names:
            cls.lab.login(user)
        cls.work = Switching(cls.lab, "user1", "/home/user1/switching")
        cls.addClassCleanup(cls.work.remove)
        cls.work.prepare()
        cls.product.wait_measured(*cls.user_names)
        cls.product.wait_active(*cls.user_names)

    def rows(self):
        """What must not change of the sessions."""
        return {row["user"]: {key: row[key] for key in ("id", "uuid", "name", "state", "logon", "client_address", "tracked", "coverage")}
                | {"connected": round(moment(row["connected"]), 1)}
                for row in self.product.wait_measured(*self.user_names)}

    @contextmanager
    def nothing_is_lost(self, what):
        """Runs the body while user1 goes on switching, and compares what was switched with what is held."""
        rows, probes = self.rows(), self.product.probes()
        self.assertEqual(len(probes), 2)
        unknown = {row["user"]: row["unknown"] for row in self.product.summary()}
        self.lab.focus("user1", WINDOWS[-1])
        begin = time.time()
        self.work.start(self.PAUSE)
        try:
            self.work.wait_steps(8)
            yield
            self.work.wait_steps(8)
        finally:
            self.work.stop()
        steps = self.work.steps
        spans = wait_until("the last switch to be held", lambda: (found := self.spans_since(begin))[-1:] and found[-1]["class"] == steps[-1][0] and found, 20,
                           progress=self.product.report)
        self.assertEqual(self.product.probes(), probes)
        self.assertEqual(self.rows(), rows)
        for before, after in zip(spans, spans[1:]):
            self.assertEqual(before["end"], after["start"])
        # On the way from one window to the next the window manager says for some milliseconds that none is active.
        none = [span["duration"] * 1000 for span in spans if span["class"] is None]
        figure(f"{what}: no window between two", none)
        self.assertLess(max(none, default=0), 1000)
        spans = [span for span in spans if span["class"]]
        self.assertEqual([span["class"] for span in spans], [name for name, _ in steps])
        self.assertEqual({span["session_uuid"] for span in spans}, {rows["user1"]["uuid"]})
        # The window manager acts when it was asked; the note is written a moment after that.
        figure(f"{what}: a switch's note to its span's start, {len(steps)} switches", [abs(moment(span["start"]) - at) * 1000 for span, (_, at) in zip(spans, steps)])
        summary = {row["user"]: row for row in self.product.summary()}
        self.assertEqual({user: row["unknown"] for user, row in summary.items()}, unknown)
        for row in summary.values():
            self.assertAlmostEqual(sum(row[name] for name in CATEGORIES), row["total"], places=6)
        self.assertEqual(self.product.status()["events_lost"], 0)
        self.assertEqual(self.product.log(event="events-lost"), [])

    def spans_since(self, begin):
        """The spans of user1 that began since."""
        return [span for span in self.product.spans("user1", open=True) if moment(span["start"]) >= begin]

    def restarted(self, old, begin):
        """Waits for the next collector and notes how long there was none that answers."""
        self.product.wait_ready(other_than=old)
        return (time.time() - begin) * 1000

    def test_a_killed_collector_loses_nothing(self):
        times = []
        with self.nothing_is_lost("kill -9 of the collector, twice"):
            for _ in range(2):
                old = self.product.collector()
                begin = time.time()
                self.product.kill(old)
                times.append(self.restarted(old, begin))
                self.work.wait_steps(3)
        figure("kill -9 of the collector to an answer of the next", times)
        records = [record["event"] for record in self.product.log() if record["event"].startswith("collector-")]
        self.assertEqual(records[-2:], ["collector-started", "collector-started"])

    def test_a_restarted_collector_loses_nothing(self):
        old = self.product.collector()
        screen = self.product.session("user1")["screen_width"]
        with self.nothing_is_lost("systemctl restart of the collector"):
            begin = time.time()
            self.lab.enter(["systemctl", "restart", "termspand.service"])
            figure("systemctl restart to an answer", [self.restarted(old, begin)])
        wait_until("the screen to be known again", lambda: screen and self.product.session("user1")["screen_width"] == screen, 20)

    def test_an_upgrade_loses_nothing(self):
        package = self.lab.root / "var/tmp/termspan-upgrade.deb"
        shutil.copy(os.environ["TERMSPAN_DEB"], package)
        self.addCleanup(package.unlink)
        old = self.product.collector()
        with self.nothing_is_lost("package upgrade"):
            begin = time.time()
            self.lab.enter(["dpkg", "--install", "/var/tmp/termspan-upgrade.deb"], environment={"DEBIAN_FRONTEND": "noninteractive"}, timeout=120)
            figure("package upgrade to an answer", [self.restarted(old, begin)])
        self.assertEqual(self.lab.enter(["dpkg", "--audit"]).stdout, "")

    def test_a_disconnect_without_a_collector_is_seen_by_the_next(self):
        rows = self.rows()
        self.addCleanup(self.reconnect, "user2")
        self.lab.enter(["systemctl", "stop", "termspand.service"])
        self.lab.disconnect("user2")
        self.lab.enter(["systemctl", "start", "termspand.service"])
        self.product.wait_ready()
        row = wait_until("the session to be disconnected", lambda: (row := self.product.session("user2"))["state"] == "disconnected" and row, 20,
                         progress=self.product.report)
        self.assertEqual((row["id"], row["uuid"], row["name"]), (rows["user2"]["id"], rows["user2"]["uuid"], None))
        self.assertEqual(self.rows()["user1"], rows["user1"])

    def reconnect(self, user):
        self.lab.login(user)
        wait_until(f"the session of {user} to be active", lambda: self.product.session(user)["state"] == "active", 20, progress=self.product.report)


class UnstoredStateTests(ProductTestCase):
    """What a session's state was is stored some time after it is known; a collector that is killed in between loses none of it."""

    users = 1
    tracked = ["user1"]
    # As a slow disk has it.
    settings = {"commit-interval": "10s"}

    def kill(self):
        old = self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)

    def kinds(self):
        query = "SELECT kind FROM session_event ORDER BY at, id"
        names = {1: "connected", 2: "disconnected", 3: "locked", 4: "unlocked"}
        done = self.lab.enter(["sqlite3", "-readonly", "-cmd", ".timeout 5000", "/var/lib/termspan/termspan.db", query])
        return [names[int(kind)] for kind in done.stdout.split()]

    def wait_session(self, **facts):
        return wait_until(f"{facts}", lambda: all((self.product.session("user1") or {}).get(key) == value for key, value in facts.items()), 20,
                          progress=self.product.report)

    def wait_stored(self, kinds):
        wait_until(f"{kinds} in the store", lambda: self.kinds() == kinds, 40, progress=lambda: f"{self.kinds()}\n{self.product.report()}")

    def test_a_lock_and_a_disconnect_right_before_a_kill_are_held(self):
        self.lab.login("user1")
        self.product.wait_measured("user1")
        # Before its first client came it may have been recorded without one.
        before = wait_until("the connect in the store", lambda: (kinds := self.kinds())[-1:] == ["connected"] and kinds, 40)
        self.lab.set_locked("user1", True)
        self.wait_session(locked="locked")
        self.kill()
        self.wait_stored([*before, "locked"])
        # Without a client it may have been at first, too. That somebody asks is recorded, with all that waits: so before the rest.
        before_it = self.product.summary("user1")[0]["disconnected"]
        self.lab.set_locked("user1", False)
        self.wait_session(locked="unlocked")
        gone = time.time()
        self.lab.disconnect("user1")
        self.wait_session(state="disconnected")
        seen = time.time()
        self.kill()
        # The disconnect is dated by when it was; that of the unlock, which only logind knows, is when it was found.
        after = [*before, "locked", "disconnected", "unlocked"]
        self.wait_stored(after)
        # From when it was, not from when the next life found it missing.
        asked = time.time()
        lasted = self.product.summary("user1")[0]["disconnected"] - before_it
        self.assertTrue(asked - seen <= lasted <= time.time() - gone, (gone, seen, asked, lasted))
        # What is held already is not held twice.
        self.kill()
        time.sleep(11)
        self.assertEqual(self.kinds(), after)


class KilledProbeTests(ProductTestCase):
    users = 1
    tracked = ["user1"]

    def test_a_killed_probe_is_replaced_and_only_the_time_between_is_unknown(self):
        self.lab.login("user1")
        row, = self.product.wait_measured("user1")
        for name in WINDOWS:
            self.lab.run("user1", ["xterm", "-class", name])
            self.lab.focus("user1", name)
        times = []
        told = len(self.probe_records())
        for name in WINDOWS[:2]:
            # What is known ends with the last event, so there is one right before.
            self.lab.focus("user1", name)
            wait_until("the window to be held", lambda: self.product.spans("user1", open=True)[-1]["class"] == name, 20)
            before = self.product.spans("user1", open=True)
            unknown = self.product.summary("user1")[0]["unknown"]
            (unit, pid), = self.product.probes().items()
            begin = time.time()
            self.product.kill(pid)
            spans = wait_until("a span of the next probe", lambda: moment((found := self.product.spans("user1", open=True))[-1]["start"]) > begin and found, 20,
                               progress=self.product.report)
            times.append((moment(spans[-1]["start"]) - begin) * 1000)
            (_, other), = wait_until("another probe", lambda: (found := self.product.probes()) and pid not in found.values() and found, 20).items()
            self.assertNotEqual(other, pid)
            again, = self.product.wait_measured("user1")
            self.assertEqual((again["id"], again["uuid"]), (row["id"], row["uuid"]))

            # All that was held before is held still, but that the open span ended when the probe had told the last.
            self.assertEqual(spans[:len(before) - 1], before[:-1])
            summary, = self.product.summary("user1")
            gap = moment(spans[-1]["start"]) - moment(before[-1]["start"])
            added = summary["unknown"] - unknown
            self.assertGreater(added, (moment(spans[-1]["start"]) - begin) * 0.9)
            self.assertLessEqual(added, gap + 0.001)
            self.assertAlmostEqual(sum(summary[category] for category in CATEGORIES), summary["total"], places=6)
            # What is unknown and what is in a span are the session's time, without a rest.
            known = sum((moment(span["end"]) - moment(span["start"]) if span["end"] else span["duration"]) for span in self.product.spans("user1", open=True))
            later, = self.product.summary("user1")
            self.assertAlmostEqual(known + later["unknown"], later["total"], delta=1)
        figure("kill -9 of a probe to what the next one measures first", times)
        self.assertLess(max(times), SUCCESSOR_LIMIT / 1e6)
        # Each end is told, and before the start of the next, however soon that follows.
        self.assertEqual(self.probe_records()[told:], ["probe-failed", "probe-started"] * 2)
        self.assertEqual(self.product.status()["events_lost"], 0)

    def probe_records(self):
        return [record["event"] for record in self.product.log(user="user1") if record["event"].startswith("probe-")]


if __name__ == "__main__":
    unittest.main()
