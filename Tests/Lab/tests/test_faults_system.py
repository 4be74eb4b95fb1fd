"""Faults of the system around the collector: descriptors, memory, bus, logind, clocks, sleep, a loss of power, and the collector's own end.

For each: one record that says so, recovery without anybody's help, nothing lost that was committed, the same IDs, and Unknown only what could
not be known. TERMSPAN_DEB names the package; TERMSPAN_KILLS how often the collector is killed (30).
"""

import os
import re
import sys
import time
import unittest
from contextlib import contextmanager
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import LabError, wait_until  # noqa: E402
from lablib.clocks import MovedClocks, say_clock_was_set  # noqa: E402
from lablib.container import mounted  # noqa: E402
from lablib.kills import kill_at_random  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, figure, moment  # noqa: E402
from lablib.work import WINDOWS, WorkDay  # noqa: E402

DROP_IN = "etc/systemd/system/termspand.service.d/lab-faults.conf"
DATABASE = "/var/lib/termspan/termspan.db"


class FaultTestCase(ProductTestCase):
    def rows(self, *users):
        """What must not change of sessions; one that never had a client is new for half a minute, which is no change."""
        keys = ("id", "uuid", "logon", "coverage", "client_address", "connected")
        return {row["user"]: {key: row[key] for key in keys} | {"state": row["state"].replace("connect-query", "disconnected")}
                for row in self.product.query_sessions() if row["user"] in users}

    def events(self, kind):
        return self.product.log(event=kind)

    def assert_adds_up(self):
        for row in self.product.summary():
            self.assertAlmostEqual(sum(row[name] for name in CATEGORIES), row["total"], places=6)
            self.assertTrue(all(row[name] >= 0 for name in CATEGORIES), row)

    def limit(self, pid, **limits):
        """Sets soft limits of a running collector: as its very ids, since nobody in a lab need have CAP_SYS_RESOURCE."""
        self.lab.enter(["setpriv", "--regid=termspan-reports", "--clear-groups", "prlimit", "--pid", pid,
                        *(f"--{name}={value}:" for name, value in limits.items())])

    def sql(self, query):
        return self.lab.enter(["sqlite3", "-readonly", "-cmd", ".timeout 5000", DATABASE, query]).stdout.strip()


class BusTests(FaultTestCase):
    """user4 has a client; user1's and user2's sessions are headless, and user1 works: Xorg, unlike Xvfb, is a client of the bus itself, and where
    that goes it can forget an X client that connects just then, as each xdotool does (seen)."""

    users = 4
    tracked = ["user1", "user2", "user4"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.login("user4")
        cls.lab.sessions(2, openbox=True)
        cls.addClassCleanup(cls.lab.sessions, 0)
        cls.day = WorkDay(cls.product, "user1")
        cls.day.work.prepare()
        cls.addClassCleanup(cls.day.work.remove)
        cls.product.wait_measured(*cls.tracked)

    def nothing_is_lost(self, what, fault):
        """Has `fault` happen while user1 works."""
        rows, probes = self.rows(*self.user_names), self.product.probes()
        self.assertEqual(len(probes), 3)
        closed = len(self.events("session-closed"))
        self.day.begin(0.2)
        try:
            self.day.work.wait_steps(5)
            old = self.product.collector()
            begin = time.time()
            fault()
            again = self.product.wait_ready(timeout=40)
            took = (time.time() - begin) * 1000
            self.day.work.wait_steps(5)
        finally:
            self.day.work.stop()
        distances = self.day.end()
        figure(f"{what} to an answer", [took])
        figure(f"{what}: a switch's note to its span's start, {len(distances)} switches", distances)
        self.assertEqual(self.rows(*self.user_names), rows)
        self.assertEqual(self.product.probes(), probes)
        self.assertEqual(len(self.events("session-closed")), closed)
        self.assert_adds_up()
        return old, again

    def test_a_bus_that_is_restarted_costs_nothing(self):
        lost = len(self.events("bus-lost"))
        def restart():
            old = self.product.collector()
            self.lab.enter(["systemctl", "restart", "dbus.service"])
            self.product.wait_ready(other_than=old, timeout=40)
        self.nothing_is_lost("systemctl restart of the bus", restart)
        self.assertEqual(len(self.events("bus-lost")), lost + 1)

    def test_a_bus_that_stays_away_is_waited_for(self):
        """For eight seconds: the collector goes on reading lanes, says so once, and starts anew once, when the bus is there."""
        lost, started = len(self.events("bus-lost")), len(self.events("collector-started"))
        def away():
            old = self.product.collector()
            self.lab.enter(["systemctl", "stop", "dbus.socket", "dbus.service"])
            stored = int(self.sql("SELECT count(*) FROM focus_interval"))
            self.day.work.wait_steps(25)
            time.sleep(3)
            self.assertEqual(self.product.collector(), old)
            # What was done meanwhile is committed meanwhile.
            wait_until("it to be stored", lambda: int(self.sql("SELECT count(*) FROM focus_interval")) >= stored + 20, 20)
            self.lab.enter(["systemctl", "start", "dbus.socket", "dbus.service"])
            self.product.wait_ready(other_than=old, timeout=60)
        self.nothing_is_lost("a bus that was away for 8 s", away)
        self.assertEqual(len(self.events("bus-lost")), lost + 1)
        self.assertEqual(len(self.events("collector-started")), started + 1)
        # The reports were lost with their bus and are started by the next one.
        self.assertEqual(self.lab.enter(["systemctl", "is-failed", "termspan-reportd.service"], check=False).stdout.strip() == "failed", False)

    def test_a_collector_that_starts_without_a_bus_waits_for_it(self):
        waiting, started = len(self.events("bus-lost")), len(self.events("collector-started"))
        def start():
            old = self.product.collector()
            self.lab.enter(["systemctl", "stop", "dbus.socket", "dbus.service"])
            self.product.kill(old)
            new = wait_until("another process", lambda: (pid := self.product.collector()) != old and pid, 20)
            time.sleep(4)
            self.assertEqual(self.product.collector(), new)
            self.lab.enter(["systemctl", "start", "dbus.socket", "dbus.service"])
            self.assertEqual(self.product.wait_ready(timeout=60), new)
        self.nothing_is_lost("a start without a bus for 4 s", start)
        # One by the collector that lost it and may have been killed before it could say so, one by that which waits.
        self.assertIn(len(self.events("bus-lost")) - waiting, (1, 2))
        self.assertEqual(len(self.events("collector-started")), started + 1)

    def test_logind_restarted_keeps_every_session(self):
        lost = len(self.events("logind-lost"))
        old, again = self.nothing_is_lost("systemctl restart of logind", lambda: self.lab.enter(["systemctl", "restart", "systemd-logind.service"]))
        self.assertEqual(again, old)
        self.assertEqual(len(self.events("logind-lost")), lost + 1)
        # And it is followed still: a session that opens and ends is seen, with the next number.
        self.lab.sessions(3)
        row = wait_until("the new session", lambda: self.product.session("user3"), 20)
        self.assertEqual(row["id"], 4)
        self.lab.sessions(2)
        wait_until("its end", lambda: not self.product.session("user3"), 20)


class DescriptorTests(FaultTestCase):
    """Forty sessions and a limit that is too small for all of them. Not smaller still: it also bounds what all of root's processes, those outside
    of the lab included, have sent to each other and not yet received (ETOOMANYREFS)."""

    users = 40
    LIMIT = 320

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        drop_in = cls.lab.root / DROP_IN
        drop_in.parent.mkdir(parents=True, exist_ok=True)
        cls.addClassCleanup(cls.restore)
        drop_in.write_text(f"[Service]\nLimitNOFILE={cls.LIMIT}\n")
        cls.lab.enter(["systemctl", "daemon-reload"])
        cls.product.reset()
        cls.product.wait_ready()
        cls.product.track(*cls.user_names)
        cls.lab.sessions(40)
        cls.addClassCleanup(cls.lab.sessions, 0)

    @classmethod
    def restore(cls):
        (cls.lab.root / DROP_IN).unlink(missing_ok=True)
        cls.lab.enter(["systemctl", "daemon-reload"])
        cls.lab.enter(["systemctl", "restart", "termspand.service"])

    def coverage(self):
        rows = [row for row in self.product.query_sessions() if row["user"]]
        return {kind: {row["user"] for row in rows if row["coverage"] == kind} for kind in {row["coverage"] for row in rows}}

    def settled(self, count=40):
        return wait_until(f"{count} sessions to be measured or refused",
                          lambda: set(found := self.coverage()) <= {"measured", "limited"} and sum(map(len, found.values())) == count and found,
                          90, progress=self.product.report)

    def wait_rest(self):
        """Waits till nothing changes by itself: one that had to wait for a descriptor may yet get it."""
        def rests():
            before = self.rows(*self.user_names), self.product.probes()
            time.sleep(3)
            return before == (self.rows(*self.user_names), self.product.probes())
        wait_until("nothing to change by itself", rests, 60, progress=self.product.report)

    def free(self, pid):
        return self.LIMIT - len(self.lab.enter(["ls", f"/proc/{pid}/fd"]).stdout.split())

    def test_1_a_session_too_many_is_refused_and_the_others_have_a_reserve(self):
        found = self.settled()
        self.assertGreaterEqual(len(found["measured"]), 24, found)
        self.assertGreaterEqual(len(found["limited"]), 6, found)
        self.assertGreater(self.free(self.product.collector()), 40)
        self.assertEqual(len(self.events("descriptors-short")), 1)
        refused = next(iter(found["limited"]))
        row = next(row for row in self.product.query_sessions() if row["user"] == refused)
        self.assertIn(f"LimitNOFILE={self.LIMIT}", row["coverage_reason"])
        self.assertRegex(self.product.command("doctor", check=False).stdout, rf"limited, [^\n]*LimitNOFILE={self.LIMIT}")

    def test_2_the_limit_holds_over_a_kill_and_who_waits_gets_what_comes_free(self):
        self.settled()
        self.wait_rest()
        found, probes = self.settled(), self.product.probes()
        rows = self.rows(*self.user_names)
        old = self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)
        self.assertEqual(self.settled(), found)
        self.assertEqual(self.product.probes(), probes)
        self.assertEqual({user: (row["id"], row["uuid"]) for user, row in self.rows(*self.user_names).items()},
                         {user: (row["id"], row["uuid"]) for user, row in rows.items()})
        gone = sorted(found["measured"])[:3]
        for user in gone:
            self.lab.end(user)
        # Their lanes are gone when all that they held is in the store.
        wait_until("others to be measured in their place", lambda: len(self.coverage().get("measured", set()) - found["measured"]) >= 2, 40,
                   progress=self.product.report)
        self.assertEqual(len(self.settled(count=37)["limited"] & found["measured"]), 0)

    def test_3_without_a_single_descriptor_nothing_that_is_known_changes(self):
        """The soft limit is put to what is in use: not one file can be opened, and everything is looked at."""
        found = self.settled(count=len([row for row in self.product.query_sessions() if row["user"]]))
        users = sorted(found["measured"] | found["limited"])
        self.assertEqual({row["state"] for row in self.rows(*users).values()}, {"disconnected"})
        self.wait_rest()
        rows, probes, pid = self.rows(*users), self.product.probes(), self.product.collector()
        closed = len(self.events("session-closed"))
        self.limit(pid, nofile=self.LIMIT - self.free(pid))
        try:
            for number in range(4):
                # Folders that make it look at X servers and xrdp's clients.
                for folder in ("/tmp/.X11-unix", "/run/xrdp/sockdir"):
                    self.lab.enter(["touch", f"{folder}/lab-{number}"])
                time.sleep(0.7)
                self.assertEqual(self.rows(*users), rows)
        finally:
            self.limit(pid, nofile=self.LIMIT)
            self.lab.enter(["sh", "-c", "rm -f /tmp/.X11-unix/lab-* /run/xrdp/sockdir/lab-*"])
        time.sleep(2)
        self.assertEqual(self.rows(*users), rows)
        self.assertEqual((self.product.collector(), self.product.probes()), (pid, probes))
        self.assertEqual(len(self.events("session-closed")), closed)
        # It sees again: a session that ends is seen to end.
        self.lab.end(users[0])
        wait_until("its end", lambda: not self.rows(users[0]), 20)
        self.assert_adds_up()


@contextmanager
def no_more_memory(lab, processes):
    """Puts the processes that a file of a control group names into one that has next to no memory left; yields how often the kernel killed there."""
    hierarchy = mounted(lambda kind, options: kind == "cgroup" and "memory" in options)
    if not hierarchy:
        raise unittest.SkipTest("memory is no controller of version 1 here")
    group = hierarchy / f"termspan-lab-{lab.name}"
    group.mkdir()
    try:
        (group / "memory.limit_in_bytes").write_text("4096")
        for pid in processes.read_text().split():
            (group / "cgroup.procs").write_text(pid)
        yield lambda: int(re.search(r"^oom_kill (\d+)$", (group / "memory.oom_control").read_text(), re.MULTILINE)[1])
    finally:
        # The next process of the unit was never in it.
        wait_until("the group to be empty", lambda: not (group / "cgroup.procs").read_text(), 20)
        group.rmdir()


class MemoryTests(FaultTestCase):
    """The collector reaches a limit of its memory and the kernel kills it. The limit is not MemoryMax=, which has no effect in a lab where memory
    is a controller of version 1, but one of that version, set from outside."""

    users = 1
    tracked = ["user1"]

    def test_a_collector_without_memory_comes_back_with_everything(self):
        self.lab.login("user1")
        day = WorkDay(self.product, "user1")
        self.addCleanup(day.work.remove)
        day.work.prepare()
        self.product.wait_measured("user1")
        rows, probes = self.rows("user1"), self.product.probes()
        day.begin(0.2)
        day.work.wait_steps(5)
        old = self.product.collector()
        begin = time.time()
        with no_more_memory(self.lab, self.lab.container.cgroup / "termspan.slice/termspand.service/cgroup.procs") as kills:
            # What it is asked takes memory.
            wait_until("the kernel to kill it", lambda: self.product.command("query", "session", check=False) and kills() > 0, 20)
            new = self.product.wait_ready(other_than=old, timeout=30)
        figure("from no memory to an answer of the next collector", [(time.time() - begin) * 1000])
        self.assertNotEqual(new, old)
        day.work.wait_steps(5)
        day.end()
        self.assertEqual((self.rows("user1"), self.product.probes()), (rows, probes))
        self.assert_adds_up()
        record = self.lab.enter(["journalctl", "--no-pager", "--unit=termspand.service", "--grep=Main process exited", "--output=cat"]).stdout
        self.assertIn("status=9/KILL", record)
        # What this machine's systemd can't apply is set all the same.
        units = ["termspand.service", "termspan-reportd.service"]
        limits = self.lab.enter(["systemctl", "show", "--value", "--property=MemoryMax", *units]).stdout.split()
        self.assertEqual(limits, [str(512 << 20), str(256 << 20)])


class ClockTests(FaultTestCase):
    users = 1
    tracked = ["user1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.clocks = MovedClocks(cls.lab)
        cls.clocks.__enter__()
        cls.addClassCleanup(cls.clocks.__exit__)
        cls.product.reset()
        cls.product.wait_ready()
        cls.product.track("user1")
        cls.lab.login("user1")
        cls.day = WorkDay(cls.product, "user1")
        cls.day.work.prepare()
        cls.addClassCleanup(cls.day.work.remove)
        cls.product.wait_measured("user1")

    def test_1_steps_of_hours_change_no_duration(self):
        """Forward by three hours, back by five, forward by one while no collector runs: what was before a step keeps its wall time."""
        begin, began, identity = time.time(), self.total(), self.identity()
        self.day.begin(0.25)
        # Each setting of the clock, with when it was made and when the collector surely knew of it.
        steps = [(begin, begin, 0.0)]
        for hours, is_down in ((3, False), (-5, False), (1, True)):
            self.day.work.wait_steps(6)
            moved = time.time()
            # Nobody tells the one that is killed: it is the next that finds the step.
            self.clocks.move(wall=hours * 3600, tell=not is_down)
            if is_down:
                old = self.product.collector()
                self.product.kill(old)
                self.product.wait_ready(other_than=old)
            else:
                count = len(steps)
                wait_until("the record of the step", lambda: len(self.events_of_all_times("clock-stepped")) >= count, 20)
            steps.append((moved, time.time(), self.clocks.wall))
        self.day.work.wait_steps(6)
        self.day.work.stop()
        switches = self.day.work.steps
        spans = wait_until("the last switch to be held", lambda: (found := self.in_order()[-len(switches):]) and found[-1]["class"] == switches[-1][0] and found, 20,
                           progress=self.product.report)
        self.assertEqual([span["class"] for span in spans], [name for name, _ in switches])
        # Each span has the wall time of the clock as it was set then, or, within the moment of a step, as it was set before.
        distances = []
        for span, (_, at) in zip(spans, switches):
            near = [move for (since, _, move), later in zip(steps, [*steps[1:], None]) if since <= at + 1 and (not later or later[1] >= at - 1)]
            distances.append(min(abs(moment(span["start"]) - move - at) for move in near))
        figure("wall time of a span's start, the steps taken off, to its switch's note", [distance * 1000 for distance in distances])
        self.assertLess(max(distances), 1.5)
        # Durations are those of the clock that nobody sets: together the time that passed, with nothing negative and nothing twice.
        self.assertLess(max(span["duration"] for span in spans), 10)
        self.assertTrue(all(span["duration"] > 0 for span in spans))
        self.assert_adds_up()
        self.assertAlmostEqual(self.total() - began, time.time() - begin, delta=3)
        self.assertEqual(self.product.summary("user1")[0]["unknown"], self.unknown_before)
        self.assertEqual(len(self.events_of_all_times("clock-stepped")), 3)
        self.assertEqual(self.identity(), identity)

    def test_2_a_step_by_a_nanosecond_is_none(self):
        count = len(self.events_of_all_times("clock-stepped"))
        before = self.product.collector()
        say_clock_was_set()
        time.sleep(1)
        self.assertEqual(len(self.events_of_all_times("clock-stepped")), count)
        self.assertEqual(self.product.collector(), before)
        self.assertEqual(self.summary("user1")["suspended"], 0)

    def test_3_time_asleep_is_suspended_and_nothing_else(self):
        before, identity = self.summary("user1"), self.identity()
        self.assertEqual(before["suspended"], 0)
        self.clocks.move(asleep=3)
        wait_until("the sleep to be held", lambda: abs(self.summary("user1")["suspended"] - 3) < 0.1, 20, progress=self.product.report)
        self.assertEqual(len(self.events_of_all_times("machine-slept")), 1)
        # What it slept while no collector ran is found at the start, and once.
        self.lab.enter(["systemctl", "stop", "termspand.service"])
        self.clocks.move(asleep=4, tell=False)
        time.sleep(4.5)
        for _ in range(2):
            self.lab.enter(["systemctl", "restart", "termspand.service"])
            self.product.wait_ready()
            self.assertAlmostEqual(self.summary("user1")["suspended"], 7, delta=0.2)
        self.assertEqual(len(self.events_of_all_times("machine-slept")), 2)
        self.assertEqual(self.identity(), identity)
        after = self.summary("user1")
        self.assertAlmostEqual(after["total"] - before["total"], sum(after[name] - before[name] for name in CATEGORIES), places=5)
        self.assert_adds_up()

    def step(self, seconds):
        count = len(self.events_of_all_times("clock-stepped"))
        self.clocks.move(wall=seconds)
        wait_until("the record of the step", lambda: len(self.events_of_all_times("clock-stepped")) > count, 20)

    def keep(self, time_text, **groups):
        fragment = self.lab.root / "etc/termspan/termspan.yaml.d/60-retention.yaml"
        self.addCleanup(fragment.unlink, missing_ok=True)
        by_group = ", ".join(f"{{group: {group}, keep-activity: {kept}}}" for group, kept in groups.items())
        fragment.write_text(f"keep-activity: {time_text}\ncommit-interval: 10s\nkeep-by-group: [{by_group}]\nreason: a test\nresponsible: the tests\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"])

    def test_4_what_is_older_than_is_kept_is_removed_but_not_by_a_clock_that_leapt(self):
        def show(*windows):
            count = len(self.in_order())
            for window in windows:
                self.lab.focus("user1", window)
            # The first may be in front already.
            wait_until("the windows to be held", lambda: [span["class"] for span in self.in_order()[count - 1:]][-len(windows):] == [*windows], 20,
                       progress=self.product.report)

        self.keep("180d")
        time.sleep(1)  # What was under way is stored; from here on the steps wait with everything else.
        show(*WINDOWS[:2])
        before = self.summary("user1")
        # Each by less than what is kept, which would be a leap; and what is shown then is last, after all steps before.
        for _ in range(2):
            self.step(4 * 3600)
        stepped = time.time() + self.clocks.wall
        show(*WINDOWS[:3])
        held = self.product.spans("user1")
        last = [span for span in held if span["class"] and moment(span["start"]) > stepped]
        self.assertEqual([span["class"] for span in last], [*WINDOWS[:2]])
        # Who is in the first group is not known, since there is no such group; then it is, and the user is in the second.
        for group in ("first", "second"):
            self.addCleanup(self.lab.enter, ["groupdel", group], check=False)
        self.lab.enter(["groupadd", "--users", "user1", "second"])
        self.keep("7h", first="180d", second="7h")
        time.sleep(3)
        self.assertEqual((self.product.spans("user1"), self.events_of_all_times("history-expired")), (held, []))
        self.lab.enter(["groupadd", "first"])
        self.keep("180d", first="180d", second="7h")
        self.assertIn("of members of the group second activity for 7", self.product.command("policy", "show").stdout)
        wait_until("the record of what was removed", lambda: self.events_of_all_times("history-expired"), 20, progress=self.product.report)
        left = self.product.spans("user1")
        # What was before the first step of all is gone, and nothing of the last hours.
        self.assertLess(len(left), len(held))
        self.assertEqual([span for span in left if span in last], last)
        summary = self.summary("user1")
        self.assertGreater(summary["unknown"], before["unknown"])
        self.assertGreaterEqual(summary["total"], before["total"])
        self.assert_adds_up()
        self.step(9 * 86400)
        self.keep("8h")
        wait_until("the record of the doubt", lambda: self.events_of_all_times("retention-held"), 20, progress=self.product.report)
        self.assertEqual(len(self.events_of_all_times("history-expired")), 1)
        self.assertEqual([span for span in self.product.spans("user1") if span in left], left)

    def setUp(self):
        self.unknown_before = self.product.summary("user1")[0]["unknown"]

    def identity(self):
        return {user: (row["id"], row["uuid"]) for user, row in self.rows("user1").items()}

    def total(self):
        return self.summary("user1")["total"]

    def summary(self, user):
        return self.product.summary(user)[0]

    def in_order(self):
        """The spans of windows in the order in which they were, which is not that of their wall times."""
        return [span for span in self.product.listing("spans", "--user", "user1", "--open") if span["class"]]

    def events_of_all_times(self, kind):
        """Records since the reset, by the machine's clock, which is the journal's."""
        return self.events(kind)


class PowerTests(FaultTestCase):
    users = 3
    tracked = ["user1", "user3"]

    def logs_in(self, user):
        """Whether a client gets a session: it is sent away as long as xrdp is not there yet."""
        try:
            return self.lab.login(user)
        except LabError:
            self.lab.client(user).remove()
            return None

    def test_a_loss_of_power_ends_sessions_with_what_is_known(self):
        self.lab.login("user3")
        self.lab.sessions(1)
        day = WorkDay(self.product, "user3")
        day.work.prepare()
        self.product.wait_measured("user1", "user3")
        before = self.rows("user1", "user3")
        policy = self.product.policy()
        day.begin(0.2)
        day.work.wait_steps(20)
        committed = self.sql("SELECT session, start, length FROM focus_interval").splitlines()
        boot = (self.lab.root / "proc/sys/kernel/random/boot_id").read_text()
        runtime = "run/termspan/sessions.json"
        kept = (self.lab.root / runtime).read_text()
        cut = time.time()
        self.lab.reboot()
        # Before the power goes, the clients are taken away, which takes a while; then all ends at once, and the next boot begins.
        booted = self.lab.container.state["booted"]
        self.assertNotEqual((self.lab.root / "proc/sys/kernel/random/boot_id").read_text(), boot)
        self.product.wait_ready(timeout=60)
        figure("a loss of power to an answer", [(time.time() - cut) * 1000])

        self.assertEqual([row for row in self.product.query_sessions() if row["user"]], [])
        self.assertEqual(self.sql("PRAGMA integrity_check"), "ok")
        self.assertLessEqual(set(committed), set(self.sql("SELECT session, start, length FROM focus_interval").splitlines()))
        summary = {row["session_uuid"]: row for row in self.product.summary()}
        self.assertEqual(set(summary), {row["uuid"] for row in before.values()})
        for row in summary.values():
            # Ended with what is known: never after the power went, and at most a commit's interval before.
            self.assertFalse(row["open"])
            self.assertLessEqual(moment(row["end"]), booted)
        self.assertGreater(moment(summary[before["user3"]["uuid"]]["end"]), cut - 3)
        self.assertEqual(self.sql("SELECT DISTINCT end_reason FROM session"), "2")
        self.assertEqual(self.product.policy(), policy)
        closed = self.events("session-closed")
        self.assertEqual([record["reason"] for record in closed], ["reboot", "reboot"])
        self.assertEqual(self.lab.enter(["systemctl", "is-failed", "termspand.service"], check=False).stdout.strip(), "active")

        # What an earlier boot left in the runtime folder counts for nothing, and numbers begin anew.
        self.lab.enter(["systemctl", "stop", "termspand.service"])
        (self.lab.root / runtime).write_text(kept)
        self.lab.enter(["systemctl", "start", "termspand.service"])
        self.product.wait_ready()
        self.assertEqual([row for row in self.product.query_sessions() if row["user"]], [])
        wait_until("a login after the boot, for which xrdp takes its time", lambda: self.logs_in("user3"), 90)
        row, = self.product.wait_measured("user3")
        self.assertEqual(row["id"], 1)
        self.assertNotIn(row["uuid"], summary)
        self.assert_adds_up()


class KillTests(FaultTestCase):
    """The collector is killed at random, also while it starts, and users work all the time."""

    users = 4
    tracked = ["user1", "user2", "user3", "user4"]

    def test_killed_at_random_nothing_is_lost_or_doubled(self):
        kills = int(os.environ.get("TERMSPAN_KILLS") or 30)
        self.lab.sessions(4, openbox=True)
        self.addCleanup(self.lab.sessions, 0)
        kill_at_random(self.product, self.user_names, kills, seed=int(os.environ.get("TERMSPAN_SEED") or time.time()),
                       say=lambda text: print(f"figure: {text}", file=sys.stderr, flush=True))


if __name__ == "__main__":
    unittest.main()
