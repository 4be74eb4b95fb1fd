"""Faults of the store, its disk, the journal and the configuration: nothing that was committed is lost, and all recovers by itself.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import json
import re
import sys
import threading
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(LAB_FOLDER), str(Path(__file__).resolve().parent)]

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, figure, moment  # noqa: E402
from lablib.sick_disk import FULL, READ_ONLY, STALLED, SickDisk  # noqa: E402
from test_restart import WINDOWS, Switching  # noqa: E402

FOLDER = "/var/lib/termspan"
DATABASE = f"{FOLDER}/termspan.db"
SERVICE = "termspand.service"


class FaultTestCase(ProductTestCase):
    """One tracked user at work, in one RDP session."""

    users = 1
    tracked = ["user1"]
    # Not so short that the window manager may be late by one: who then asks what is active is told only the last.
    PAUSE = 0.2

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepare()
        cls.lab.login("user1")
        folder = "/home/user1/switching"
        cls.lab.enter(["mkdir", folder], user="user1")
        cls.addClassCleanup(cls.lab.enter, ["rm", "-rf", folder])
        for name in WINDOWS:
            cls.lab.run("user1", ["xterm", "-class", name])
            cls.lab.focus("user1", name)
            cls.lab.run("user1", ["sh", "-c", f"xdotool getactivewindow >{folder}/window-{name}"], wait=True)
        cls.product.wait_measured("user1")
        cls.work = Switching(cls.lab, "user1", folder)

    @classmethod
    def prepare(cls):
        """What there is to do between the product's start and the login."""

    def setUp(self):
        self.begin = time.time()
        self.addCleanup(self.lab.enter, ["systemctl", "start", SERVICE])

    def show(self, *names):
        lines = self.lab.enter(["systemctl", "show", *(f"--property={name}" for name in names), SERVICE]).stdout.splitlines()
        found = dict(line.split("=", 1) for line in lines)
        return [found[name] for name in names]

    def records(self, *events):
        """The collector's records of these kinds since the test began."""
        return [record for record in self.product.log() if record["event"] in events and moment(record["time"]) >= self.begin]

    def wait_recovered(self, timeout=20):
        wait_until("the record that the store can be used again", lambda: self.records("store-recovered"), timeout, progress=self.product.report)
        self.assertEqual([record["event"] for record in self.records("store-failed", "store-recovered")], ["store-failed", "store-recovered"])
        self.assertIsNone(self.product.status()["store_problem"])
        wait_until("systemd to know it", lambda: self.show("StatusText") == ["collecting"], 20, progress=lambda: str(self.show("StatusText")))

    def assert_steps_are_held(self, begin, steps, what):
        """Every switch of a window since `begin` has its span, with its time, and nothing of that time is unknown."""
        def held():
            found = [span for span in self.product.spans("user1", open=True) if moment(span["start"]) >= begin and span["class"]]
            return found[-1:] and found[-1]["class"] == steps[-1][0] and found
        spans = wait_until("the last switch to be held", held, 30, progress=self.product.report)
        self.assertEqual([span["class"] for span in spans], [name for name, _ in steps])
        late = [abs(moment(span["start"]) - at) * 1000 for span, (_, at) in zip(spans, steps)]
        figure(f"{what}: a switch's note to its span's start, {len(steps)} switches", late)
        self.assertLess(max(late), 1000)

    def settled_unknown(self):
        """The unknown time once it is known that the last window is active, from which the switching goes on."""
        self.lab.focus("user1", WINDOWS[-1])
        wait_until("the window to be held", lambda: (spans := self.product.spans("user1", open=True)) and spans[-1]["class"] == WINDOWS[-1], 20,
                   progress=self.product.report)
        return self.unknown()

    def unknown(self):
        summary, = self.product.summary("user1")
        self.assertAlmostEqual(sum(summary[name] for name in CATEGORIES), summary["total"], places=6)
        return summary["unknown"]


class DiskTests(FaultTestCase):
    """The disk of the store stalls, is full, or is read-only."""

    @classmethod
    def prepare(cls):
        cls.disk = SickDisk(cls.lab, FOLDER)
        cls.lab.enter(["systemctl", "stop", SERVICE, "termspan-reportd.service"])
        cls.disk.mount()
        cls.addClassCleanup(cls._take_disk_away)
        cls.product.reset(cls.settings)
        cls.product.wait_ready()
        cls.product.track(*cls.tracked)

    @classmethod
    def _take_disk_away(cls):
        cls.disk.be("o")
        cls.lab.enter(["systemctl", "stop", SERVICE, "termspan-reportd.service"])
        cls.disk.unmount()

    def setUp(self):
        super().setUp()
        # What the test before has decided is stored.
        wait_until("all to be written", lambda: self.product.status()["pending"] == 0, 20)
        self.before = (self.product.collector(), self.product.probes(), self.product.session("user1"))
        self.addCleanup(self.disk.be, "o")

    def test_1_a_disk_that_stalls_for_30_seconds_costs_nothing(self):
        pid, probes, row = self.before
        unknown = self.settled_unknown()
        begin = time.time()
        self.work.start(self.PAUSE)
        answers = []
        try:
            self.work.wait_steps(5)
            with self.disk.ill(STALLED):
                stalled = time.time()
                done = self.product.command("untrack", "nobody", "--reason", "a test", check=False)
                self.assertLess(time.time() - stalled, 15)
                self.assertEqual(done.returncode, 1)
                self.assertIn("does not answer", done.stderr)
                asked = time.time()
                doctor = self.product.command("doctor", check=False)
                figure("doctor while the disk stalls", [(time.time() - asked) * 1000])
                self.assertLess(time.time() - asked, 20)
                self.assertIn("does not answer", doctor.stdout)
                while time.time() < stalled + 30:
                    asked = time.time()
                    self.assertIsNotNone(self.product.session("user1"))
                    answers.append((time.time() - asked) * 1000)
                status = self.product.status()
                self.assertIn("has not answered", status["store_problem"])
                self.assertGreater(status["pending"], 100)
                self.assertEqual(len(self.records("store-failed")), 1)
            self.work.wait_steps(5)
        finally:
            self.work.stop()
        figure("query session while the disk stalls, with the way into the lab", answers)
        self.assertLess(max(answers), 2000)
        self.wait_recovered()
        self.assertEqual((self.product.collector(), self.product.probes()), (pid, probes))
        self.assert_steps_are_held(begin, self.work.steps, "a disk stalls for 30 s")
        self.assertEqual(self.unknown(), unknown)
        self.assertEqual(self.product.status()["events_lost"], 0)
        again = self.product.session("user1")
        self.assertEqual((again["id"], again["uuid"]), (row["id"], row["uuid"]))

    def test_2_a_full_disk_keeps_what_is_collected_and_stops_what_must_stop(self):
        pid, probes, row = self.before
        unknown = self.settled_unknown()
        begin = time.time()
        with self.disk.ill(FULL):
            self.work.start(self.PAUSE)
            try:
                wait_until("the problem to be told", lambda: self.product.status()["store_problem"], 20, progress=self.product.report)
                self.work.wait_steps(5)
            finally:
                self.work.stop()
            record, = wait_until("the record", lambda: self.records("store-failed"), 20, progress=self.product.report)
            self.assertIn("full", record["reason"])
            wait_until("systemd to know it", lambda: "can't be written" in self.show("StatusText")[0], 20, progress=lambda: str(self.show("StatusText")))
            doctor = self.product.command("doctor", check=False)
            self.assertRegex(doctor.stdout, r"(?m)^FAIL .*full")
            done = self.product.command("track", "root", "--reason", "a test", "--responsible", "the tests", check=False)
            self.assertEqual(done.returncode, 1, done)
            self.assertIn("full", done.stdout + done.stderr)
            # What waits is read all the same.
            self.assert_steps_are_held(begin, self.work.steps, "a full disk, while it is full")
        self.wait_recovered()
        self.assert_steps_are_held(begin, self.work.steps, "a full disk")
        self.assertEqual(self.unknown(), unknown)
        self.assertEqual((self.product.collector(), self.product.probes()), (pid, probes))
        self.assertEqual(self.product.session("user1")["uuid"], row["uuid"])

        with self.disk.ill(FULL):
            done = self.product.command("untrack", "user1", "--reason", "a test", check=False)
            self.assertIn("no longer tracked", done.stdout + done.stderr)
            self.assertEqual(self.product.session("user1")["coverage"], "untracked")
            wait_until("the probe to end", lambda: not self.product.probes(), 20)
        def is_tracked():
            return {user["name"]: user["tracked"] for user in self.product.policy()["users"]}["user1"]
        wait_until("the decision to be stored", lambda: not is_tracked(), 30, progress=self.product.report)
        wait_until("the record of it", lambda: self.records("policy-changed"), 20)
        self.assertEqual([(record["user"], record["actor"]) for record in self.records("policy-changed")], [("user1", "root")])
        self.assertEqual(self.product.collector(), pid)
        self.product.track("user1")
        self.product.wait_measured("user1")

    def test_3_a_start_on_a_read_only_disk_waits_for_it(self):
        pid, probes, row = self.before
        unknown = self.settled_unknown()
        restarts, = self.show("NRestarts")
        self.disk.be(READ_ONLY)
        begin = time.time()
        self.product.kill(pid)
        wait_until("the state to be told", lambda: "waiting for the store" in self.show("StatusText")[0], 20, progress=self.product.report)
        self.assertEqual(self.show("ActiveState", "NRestarts"), ["active", str(int(restarts) + 1)])
        waiting = self.product.collector()
        asked = time.time()
        self.lab.enter(["systemctl", "start", SERVICE])
        doctor = self.product.command("doctor", check=False)
        self.assertRegex(doctor.stdout, r"(?m)^FAIL .*waiting for the store")
        self.assertEqual(self.product.command("status", check=False).returncode, 5)
        figure("systemctl start and doctor while a start waits for the disk", [(time.time() - asked) * 1000])
        self.work.start(self.PAUSE)
        self.work.wait_steps(30)
        self.work.stop()
        # It waits inside: one process, one record, and the probes go on.
        self.assertEqual((self.product.collector(), self.product.probes()), (waiting, probes))
        self.assertEqual(len(self.records("store-failed")), 1)
        self.disk.be("o")
        well = time.time()
        self.product.wait_ready()
        figure("a disk that can be written again to an answer", [(time.time() - well) * 1000])
        self.wait_recovered()
        self.assertEqual((self.product.collector(), self.product.probes()), (waiting, probes))
        self.assert_steps_are_held(begin, self.work.steps, "a start on a read-only disk")
        self.assertEqual(self.unknown(), unknown)
        again, = self.product.wait_measured("user1")
        self.assertEqual((again["id"], again["uuid"]), (row["id"], row["uuid"]))

    def test_4_a_disk_that_becomes_read_only_is_waited_for(self):
        unknown = self.settled_unknown()
        begin = time.time()
        with self.disk.ill(READ_ONLY):
            self.work.start(self.PAUSE)
            try:
                wait_until("the problem to be told", lambda: self.product.status()["store_problem"], 20, progress=self.product.report)
            finally:
                self.work.stop()
        self.wait_recovered()
        self.assert_steps_are_held(begin, self.work.steps, "a disk that becomes read-only")
        self.assertEqual(self.unknown(), unknown)
        self.assertEqual((self.product.collector(), self.product.probes()), self.before[:2])
        self.assertEqual(self.product.session("user1")["uuid"], self.before[2]["uuid"])

    def test_5_a_session_that_ends_while_nothing_can_be_stored_is_whole_after_a_kill(self):
        pid = self.before[0]
        runtime = self.lab.root / "run/termspan/sessions.json"
        self.lab.focus("user1", WINDOWS[-1])
        begin = time.time()
        self.work.start(self.PAUSE)
        try:
            self.work.wait_steps(5)
            with self.disk.ill(FULL):
                wait_until("the disk to be full", lambda: self.records("store-failed"), 20, progress=self.product.report)
                self.work.wait_steps(10)
                self.work.stop()
                self.lab.logout("user1")
                # Nothing but its lane knows of its end now.
                def gone():
                    return self.before[2]["uuid"] not in (session["uuid"] for session in json.loads(runtime.read_text())["table"]["sessions"])
                wait_until("the session to be gone", gone, 20, progress=self.product.report)
                self.product.kill(pid)
        finally:
            if self.lab.login_of("user1"):
                self.work.stop()
        self.product.wait_ready(other_than=pid)
        wait_until("the session to be closed in the store", lambda: self.product.open_rows() == (0, 0), 20, progress=self.product.report)
        self.assert_steps_are_held(begin, self.work.steps, "logged off on a full disk, then killed")
        spans = [span for span in self.product.spans("user1") if moment(span["start"]) >= begin]
        self.assertEqual([span["end"] for span in spans[:-1]], [span["start"] for span in spans[1:]])
        self.unknown()


class StoreFileTests(FaultTestCase):
    """The store's file is damaged, newer, or not ours."""

    def sql(self, text):
        return self.lab.enter(["sqlite3", "-cmd", ".timeout 5000", DATABASE, text]).stdout.strip()

    def damage(self, table):
        """Overwrites the last page of a table, where the session at hand has its rows."""
        self.sql("PRAGMA wal_checkpoint(TRUNCATE)")
        page = int(self.sql(f"SELECT pageno FROM dbstat WHERE name = '{table}' AND pagetype = 'leaf' ORDER BY path DESC LIMIT 1"))
        with open(self.lab.root / DATABASE[1:], "r+b") as file:
            file.seek((page - 1) * 4096)
            file.write(b"\xA5" * 4096)

    def set_aside(self):
        return sorted(path.name for path in (self.lab.root / FOLDER[1:]).glob("termspan-damaged-*.db"))

    def held(self, row):
        """The session's spans, and its unknown time."""
        wait_until("all to be written", lambda: self.product.status()["pending"] == 0, 20)
        return self.product.spans("user1", session=row["id"]), self.unknown()

    def assert_goes_on(self, row, aside, before):
        """
        After a store was replaced: one record, the session as it was, and the time of which its spans are lost unknown with its reason. `before` is
        what was `held` of it; None where the policy is lost too.
        """
        keeps_policy = before is not None
        record, = self.records("store-replaced")
        name, = set(self.set_aside()) - set(aside)
        self.assertIn(f"{FOLDER}/{name}", record["message"])
        if keeps_policy:
            self.assertIn("lost: focus_interval at 1 place", record["message"])
            report = (self.lab.root / FOLDER[1:] / f"{name}.txt").read_text()
            self.assertRegex(report, r"(?m)^table focus_interval kept=\d+ holes=1 ")
            self.assertRegex(report, rf"(?m)^unknown user=\S+ session={row['uuid']} ")
        doctor = self.product.command("doctor", check=False)
        self.assertRegex(doctor.stdout, f"(?m)^warn .*{name}")
        self.assertEqual(self.product.status()["damaged_stores"], [f"{FOLDER}/{name}" for name in self.set_aside()])
        self.assertEqual(self.product.policy()["users"] != [], keeps_policy)
        if not keeps_policy:
            self.assertEqual(self.product.session("user1")["coverage"], "untracked")
            wait_until("the probe to end", lambda: not self.product.probes(), 20)
            return
        again, = self.product.wait_measured("user1")
        self.assertEqual((again["id"], again["uuid"], again["logon"]), (row["id"], row["uuid"], row["logon"]))
        begin = time.time()
        self.lab.focus("user1", WINDOWS[0])
        self.lab.focus("user1", WINDOWS[1])
        wait_until("the next span", lambda: any(moment(span["start"]) >= begin and span["class"] == WINDOWS[1] for span in self.product.spans("user1", open=True)), 20,
                   progress=self.product.report)
        spans, unknown = before
        kept = {span["start"] for span in self.product.spans("user1", session=row["id"])}
        lost = [span["duration"] for span in spans if span["start"] not in kept]
        self.assertNotEqual(lost, [])
        # All that was in the damaged page, and nothing that was unknown before is known now.
        self.assertGreater(self.unknown(), unknown + sum(lost) - 0.001)
        # 16: store-damaged.
        wait_until("the unknown time to be stored", lambda: self.sql("SELECT count(*) FROM unknown_interval WHERE reason = 16") != "0", 20)
        self.assertEqual(self.sql("SELECT count(*) FROM session WHERE end IS NULL"), "1")
        verified = json.loads(self.product.command("verify", "--store", "--format", "json").stdout)["store"]
        self.assertEqual((verified["problem_list"], verified["excessive"]), ([], False), verified)
        self.assertIn("store-damaged", {cause["unknown"] for cause in verified["unknown"]})

    def test_1_damage_during_a_run_is_set_aside_and_measuring_goes_on(self):
        pid, probes, row, aside = self.product.collector(), self.product.probes(), self.product.session("user1"), self.set_aside()
        before = self.held(row)
        self.damage("focus_interval")
        # What another process writes makes the collector read its pages anew.
        self.sql("UPDATE revision SET value = value + 1")
        self.lab.focus("user1", WINDOWS[1])
        self.lab.focus("user1", WINDOWS[2])
        wait_until("another store", lambda: self.records("store-replaced"), 20, progress=self.product.report)
        self.assert_goes_on(row, aside, before)
        self.assertEqual((self.product.collector(), self.product.probes()), (pid, probes))

    def test_2_damage_found_at_the_start_keeps_the_policy(self):
        probes, row, aside = self.product.probes(), self.product.session("user1"), self.set_aside()
        self.lab.focus("user1", WINDOWS[0])
        self.lab.focus("user1", WINDOWS[1])
        before = self.held(row)
        self.lab.enter(["systemctl", "kill", "--signal=STOP", SERVICE])
        self.damage("focus_interval")
        self.lab.enter(["systemctl", "kill", "--signal=KILL", SERVICE])
        wait_until("another store", lambda: self.records("store-replaced"), 20, progress=self.product.report)
        self.assert_goes_on(row, aside, before)
        self.assertEqual(self.product.probes(), probes)

    def test_3_a_store_that_is_no_database_leaves_nobody_tracked(self):
        row, aside = self.product.session("user1"), self.set_aside()
        self.lab.enter(["systemctl", "stop", SERVICE])
        self.lab.enter(["sh", "-c", f"rm -f {DATABASE}-wal {DATABASE}-shm; head -c 50000 /dev/urandom >{DATABASE}"])
        content = (self.lab.root / DATABASE[1:]).read_bytes()
        self.lab.enter(["systemctl", "start", SERVICE])
        self.product.wait_ready()
        self.assert_goes_on(row, aside, None)
        name, = set(self.set_aside()) - set(aside)
        self.assertEqual((self.lab.root / FOLDER[1:] / name).read_bytes(), content)
        self.assertEqual((self.product.session("user1")["id"], self.product.session("user1")["uuid"]), (row["id"], row["uuid"]))
        self.product.track("user1")
        self.product.wait_measured("user1")

    def test_4_a_newer_store_is_refused_once_and_left_alone(self):
        self.lab.enter(["systemctl", "stop", SERVICE])
        self.sql("INSERT INTO grdb_migrations VALUES ('99')")
        def content():
            files = [self.lab.root / (DATABASE[1:] + suffix) for suffix in ("", "-wal")]
            return [file.read_bytes() if file.exists() else b"" for file in files]
        before = content()
        self.assertNotEqual(self.lab.enter(["systemctl", "start", SERVICE], check=False).returncode, 0)
        wait_until("the start to be refused", lambda: self.show("ActiveState") == ["failed"], 20, progress=self.product.report)
        self.assertEqual(self.show("ExecMainStatus", "NRestarts"), ["78", "0"])
        time.sleep(1)  # A start again would come after 200 ms.
        self.assertEqual(self.show("ActiveState"), ["failed"])
        record, = self.records("store-refused")
        self.assertIn("newer", record["reason"])
        self.assertIn(DATABASE, record["reason"])
        self.assertEqual(content(), before)
        self.sql("DELETE FROM grdb_migrations WHERE identifier = '99'")
        self.lab.enter(["systemctl", "start", SERVICE])
        self.product.wait_ready()
        self.product.wait_measured("user1")


class JournalAndConfigurationTests(FaultTestCase):
    """The journal stands still; a value of the configuration is wrong."""

    def write_wrong_value(self):
        self.fragment = self.lab.root / "etc/termspan/termspan.yaml.d/60-wrong.yaml"
        self.addCleanup(self.fragment.unlink, missing_ok=True)
        self.fragment.write_text("# Wrong in its second line.\nburst-gap: soon\n")

    def assert_names_the_place(self, text):
        self.assertIn("/etc/termspan/termspan.yaml.d/60-wrong.yaml:2: burst-gap: ", text)

    def test_1_a_reload_with_a_wrong_value_is_refused_and_the_old_one_stays(self):
        pid = self.product.collector()
        self.write_wrong_value()
        done = self.lab.enter(["systemctl", "reload", SERVICE], check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual((self.product.collector(), self.show("ActiveState")), (pid, ["active"]))
        # So does one that goes around systemd.
        self.product.kill(pid, "HUP")
        record, = wait_until("the record", lambda: self.records("configuration-error"), 20, progress=self.product.report)
        self.assert_names_the_place(record["reason"])
        self.assertIn("60-wrong.yaml", self.product.command("doctor", check=False).stdout)
        self.assertEqual(self.product.collector(), pid)
        self.assertEqual(self.product.session("user1")["coverage"], "measured")
        self.fragment.unlink()
        self.lab.enter(["systemctl", "reload", SERVICE])

    def test_2_a_start_with_a_wrong_value_is_refused_once(self):
        self.write_wrong_value()
        self.assertNotEqual(self.lab.enter(["systemctl", "restart", SERVICE], check=False).returncode, 0)
        wait_until("the start to be refused", lambda: self.show("ActiveState") == ["failed"], 20, progress=self.product.report)
        self.assertEqual(self.show("ExecMainStatus", "NRestarts"), ["78", "0"])
        record, = self.records("configuration-error")
        self.assert_names_the_place(record["reason"])
        self.fragment.unlink()
        self.lab.enter(["systemctl", "start", SERVICE])
        self.product.wait_ready()
        self.product.wait_measured("user1")

    def test_a_disk_that_is_not_encrypted_can_be_refused(self):
        # The lab's is that of the machine below it.
        state = self.product.status()["disk"]
        if state == "encrypted":
            self.skipTest("the disk is encrypted")
        self.assertIn(state, ("plain", "unknown"))
        fragment = self.lab.root / "etc/termspan/termspan.yaml.d/60-disk.yaml"
        self.addCleanup(fragment.unlink, missing_ok=True)
        # With grounds, since the limit of seats of the case before goes with its file.
        fragment.write_text("unencrypted-disk: warn\nreason: a test\nresponsible: the tests\n")
        self.lab.enter(["systemctl", "reload", SERVICE])
        # A reload is a signal, which is followed when its turn comes.
        warning = re.compile("(?m)^warn  Disk: the disk of /var/lib/termspan is not (known to be )?encrypted")
        wait_until("doctor to warn", lambda: warning.search(self.product.command("doctor", check=False).stdout), 20, progress=self.product.report)
        fragment.write_text("unencrypted-disk: refuse\n")
        # One that runs goes on.
        self.lab.enter(["systemctl", "reload", SERVICE])
        self.assertEqual(self.product.session("user1")["coverage"], "measured")
        begin = len(self.records("configuration-error"))
        self.assertNotEqual(self.lab.enter(["systemctl", "restart", SERVICE], check=False).returncode, 0)
        wait_until("the start to be refused", lambda: self.show("ActiveState") == ["failed"], 20, progress=self.product.report)
        self.assertEqual(self.show("ExecMainStatus", "NRestarts"), ["78", "0"])
        record, = self.records("configuration-error")[begin:]
        self.assertIn("unencrypted-disk", record["reason"])
        fragment.unlink()
        self.lab.enter(["systemctl", "start", SERVICE])
        self.product.wait_ready()
        self.product.wait_measured("user1")

    def test_3_a_journal_that_stands_still_holds_nobody_up(self):
        pid = self.product.collector()
        journald = self.product.main_pid("systemd-journald.service")
        answers = []
        # Each makes a record; journald's socket takes some hundred, then whoever sends the next one waits.
        script = f"import os, time\nfor _ in range(3000): os.kill({pid}, 1); time.sleep(0.002)"
        reloads = threading.Thread(target=self.lab.enter, args=(["python3", "-c", script],))
        self.product.kill(journald, "STOP")
        try:
            reloads.start()
            while reloads.is_alive() or len(answers) < 20:
                asked = time.time()
                self.product.query_sessions()
                answers.append((time.time() - asked) * 1000)
            reloads.join()
        finally:
            self.product.kill(journald, "CONT")
        figure("query session while the journal stands still, with the way into the lab", answers)
        self.assertLess(max(answers), 2000)
        self.assertEqual(self.product.collector(), pid)
        self.assert_reloads_are_told(pid, 700)

    def test_4_a_journal_that_is_stopped_is_told_when_it_is_back(self):
        pid, before = self.product.collector(), [(row["id"], row["uuid"]) for row in self.product.query_sessions()]
        told = self.reloads_told(pid)
        units = ["systemd-journald.socket", "systemd-journald-dev-log.socket", "systemd-journald.service"]
        # logind holds on to the socket that goes with it, and would tell the journal nothing more.
        self.addCleanup(self.lab.enter, ["systemctl", "restart", "systemd-logind.service"])
        self.addCleanup(self.lab.enter, ["systemctl", "start", *units])
        # It would start it again, where there is one.
        self.lab.enter(["systemctl", "stop", "systemd-journald-audit.socket"], check=False)
        self.lab.enter(["systemctl", "stop", *units])
        self.assertIsNone(self.product.main_pid("systemd-journald.service"))
        self.lab.enter(["python3", "-c", f"import os, time\nfor _ in range(500): os.kill({pid}, 1); time.sleep(0.005)"])
        begin = time.time()
        self.assertEqual([(row["id"], row["uuid"]) for row in self.product.query_sessions()], before)
        self.assertLess(time.time() - begin, 2)
        self.assertEqual((self.product.main_pid("systemd-journald.service"), self.product.collector()), (None, pid))
        self.lab.enter(["systemctl", "start", *units])
        self.assert_reloads_are_told(pid, told + 50)

    def reloads_told(self, pid):
        """How many records of a reload the journal has of this collector since the test began, and of the second in which it did."""
        self.lab.enter(["journalctl", "--sync"])
        return self.lab.enter(["journalctl", "--no-pager", "-o", "cat", f"--since=@{int(self.begin)}", f"_PID={pid}", "MESSAGE=The configuration was read again"]).stdout.count("\n")

    def test_5_every_limit_is_set_by_its_key_and_shown(self):
        values = {"displays": ("displays-per-user", 3), "sockets": ("sockets-per-user", 7), "logons": ("logons-per-minute", 11),
                  "state-changes": ("state-changes-per-minute", 61), "focus-changes": ("focus-changes-per-second", 19), "rows": ("rows-per-day", 101),
                  "probe-starts": ("probe-starts-per-minute", 21), "bus-calls": ("bus-calls-per-second", 102), "seats": ("seats", 5)}
        fragment = self.lab.root / "etc/termspan/termspan.yaml.d/60-limits.yaml"
        self.addCleanup(self.lab.enter, ["systemctl", "reload", SERVICE])
        self.addCleanup(fragment.unlink, missing_ok=True)
        fragment.write_text("".join(f"{key}: {value}\n" for key, value in values.values()))
        self.lab.enter(["systemctl", "reload", SERVICE])
        def shown():
            return {limit["name"]: int(found[0]) if (found := re.findall(r"\d+", limit["limit"])) else None for limit in self.product.status()["limits"]}
        wait_until("the limits", lambda: shown() == {name: value for name, (_, value) in values.items()}, 20, progress=lambda: str(shown()))

    def assert_reloads_are_told(self, pid, count):
        """At least so many records of the collector's that the journal could not take at first are there before long, and none is lost."""
        found = wait_until("the records to be there", lambda: (found := self.reloads_told(pid)) > count and found, 40, progress=self.product.report)
        figure("records that waited for the journal", [found], "records")
        self.assertEqual(self.records("records-lost"), [])
        self.assertEqual(self.product.session("user1")["coverage"], "measured")


if __name__ == "__main__":
    unittest.main()
