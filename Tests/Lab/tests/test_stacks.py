"""One session on each stack, from logon to logoff, by a real server and a real client: what the product says of it, and when.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import json
import os
import signal
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.bounds import EVENTS, check_bounds  # noqa: E402
from lablib.lab import PASSWORD  # noqa: E402
from lablib.product import ProductTestCase, StateWatch, figure, percentile  # noqa: E402
from lablib.stacks import SSH, VNC, X2Go  # noqa: E402

HOME, ELSEWHERE = "198.51.100.11", "198.51.100.77"


class StackTestCase(ProductTestCase):
    """user1's one session. The cases of a class build on each other, in the order of their names."""

    users = 2
    tracked = ["user1"]
    times = {}
    # In milliseconds; the same for each that an event tells of.
    connect_limit = 1000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Their addresses are others' in other modules.
        cls.addClassCleanup(lambda: [client.remove() for client in cls.lab.clients()])
        cls.times = {"connect": [], "disconnect": []}
        cls.watch = StateWatch(cls.lab).__enter__()
        cls.addClassCleanup(cls.watch.__exit__)
        for what, values in cls.times.items():
            cls.addClassCleanup(lambda what=what, values=values: values and figure(f"{cls.__name__}: {what} to signal", values))

    def until(self, timeout=20, **wanted):
        """Waits till user1's session is as wanted, and returns its row."""
        def there():
            row = self.product.session("user1")
            return row and all(row[key] == value for key, value in wanted.items()) and row
        return wait_until(f"user1's session to have {wanted}", there, timeout, progress=self.product.report)

    def established(self, port):
        """Whether a TCP connection to this port of the server's is established: the kernel's word."""
        folder = Path(f"/proc/{self.lab.container.require_init().pid}/net")
        for line in (folder / "tcp").read_text().splitlines()[1:] + (folder / "tcp6").read_text().splitlines()[1:]:
            fields = line.split()
            if fields[1].endswith(f":{port:04X}") and fields[3] == "01":
                return True
        return False

    def timed(self, session, state, act, port):
        """Does something that connects or disconnects; notes how long the product took to tell of it, once the kernel has it."""
        wanted = state == "active"
        with StateWatch(self.lab) as watch:
            begin = time.time()
            act()
            deadline = begin + 30
            while self.established(port) != wanted and time.time() < deadline:
                time.sleep(0.005)
            self.assertEqual(self.established(port), wanted)
            happened = time.time()
            took = (watch.wait(session, state, since=begin) - happened) * 1000
        self.times["connect" if wanted else "disconnect"].append(max(0, took))
        self.assertLess(took, self.connect_limit if wanted else 1000)

    def assert_prompt(self):
        """What was timed so far was told within a second; a single beginning that no event tells of, as a rule."""
        for what, values in self.times.items():
            self.assertLess(percentile(values, 0.5) if values else 0, 1000, (what, values))

    def type_something(self):
        """On the keyboard and with the mouse of user1's client."""
        self.lab.move("user1", 300, 200)
        self.lab.click("user1")
        self.lab.type("user1", "echo hello")

    def work(self, run):
        """Opens a window with `run`, types in it, and waits for the span with its input."""
        # Without a record of its own in wtmp(5), which would have the display for its host, too.
        run("xterm", "-ut", "-class", "Editor")
        wait_until("the window to have the focus", lambda: any(span["class"] == "Editor" for span in self.product.spans("user1", open=True)), 20,
                   progress=self.product.report)
        before = self.product.session("user1")["last_input"]
        self.type_something()
        wait_until("input to show", lambda: self.product.session("user1")["last_input"] not in (None, before), 20, progress=self.product.report)
        self.assertGreater(self.product.summary("user1")[-1]["active"], 0)

    def assert_that_a_restart_tells_nothing(self):
        """The next life of the collector has the session as it was, and nothing to record."""
        facts = ("id", "uuid", "stack", "state", "name", "client_address", "connected", "disconnected", "logind_sessions")
        def seen():
            records = [(record["event"], record["session"]) for record in self.product.log() if record["event"].startswith("session-")]
            return [{fact: row[fact] for fact in facts} for row in self.product.query_sessions()], records
        def rests():
            first = seen()
            time.sleep(1)
            return first == seen() and first
        # A login by which something was started may have yet to go.
        before, old = wait_until("nothing to change by itself", rests, 20, progress=self.product.report), self.product.collector()
        self.lab.enter(["systemctl", "kill", "--signal=KILL", "termspand.service"])
        self.product.wait_ready(other_than=old)
        time.sleep(1)
        self.assertEqual(seen(), before)

    def events(self, uuid):
        """The records of one session's logon, clients and logoff, each with the client's address."""
        records = [record for record in self.product.log(user="user1") if record["event"] in EVENTS]
        self.assertEqual({record["session_uuid"] for record in records}, {uuid}, "one session throughout")
        return [(record["event"], record["client_address"]) for record in records]

    def check_bounds(self, uuid, stack, **options):
        """Holds journal, history, signals, logind and wtmp against each other, once a session is over."""
        check_bounds(self, uuid, stack, **options)
        names = {"session-opened": "new", "session-connected": "active", "session-disconnected": "disconnected", "session-closed": "removed"}
        records = [record for record in self.product.log() if record["event"] in EVENTS]
        told = [(record["session_uuid"], names[record["event"]]) for record in records]
        number, = {record["session"] for record in records if record["session_uuid"] == uuid}
        # A number may be one session's after another's.
        had = [record["session_uuid"] for record in records if record["session"] == number and record["event"] == "session-opened"]

        def signals():
            lives = [[]]
            for session, what in self.watch.signals:
                if session == number and what in names.values():
                    lives += [[]] if what == "new" else []
                    # States that are no events come between; what is new is in one of them, or without a client.
                    if lives[-1][-1:] not in ([what], ["new"] if what == "disconnected" else [what]):
                        lives[-1].append(what)
            life = lives[1:][had.index(uuid)] if len(lives) > len(had) else lives[-1]
            return life[-1:] == ["removed"] and life
        wanted = [what for one, what in told if one == uuid]
        life = wait_until("the end to be told", signals, 20, progress=lambda: str(self.watch.signals))
        # A session that begins with its client is new with it.
        self.assertIn(life, (wanted, [wanted[0], *wanted[2:]] if wanted[1:2] == ["active"] else wanted))

    def assert_that_a_lock_shows(self):
        """As the session's own locker tells logind of it, by each of its logins."""
        row = self.product.session("user1")
        self.assertIsNone(row["locked"], "nobody knows before")
        for login in row["logind_sessions"]:
            for word in ("locked", "unlocked"):
                self.lab.set_locked("user1", word == "locked", login)
                after = self.until(locked=word)
                self.assertEqual((after["state"], after["uuid"]), (row["state"], row["uuid"]))
        told = [record["event"] for record in self.product.log(session=row["uuid"]) if record["event"] in ("session-locked", "session-unlocked")]
        self.assertEqual(told, ["session-locked", "session-unlocked"] * len(row["logind_sessions"]))
        happened = [event["event"] for event in self.product.listing("session", "history", "--session", row["uuid"], "--events")]
        self.assertEqual([event for event in happened if event in ("lock", "unlock")], ["lock", "unlock"] * len(row["logind_sessions"]))
        # What would lock it is asked by each of its logins.
        asked = len(self.watch.locks)
        self.product.command("session", "lock", str(row["id"]), user="user1")
        wait_until("its logins to be asked to lock", lambda: len(set(self.watch.locks[asked:])) == len(row["logind_sessions"]), 20,
                   progress=lambda: f"{row['logind_sessions']}: {self.watch.locks[asked:]}")


class VNCTests(StackTestCase):
    # It is looked for every 0.9 s, and seen by the second look if the first is late.
    connect_limit = 2000

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.vnc = VNC(cls.lab, "user1", 3)
        cls.addClassCleanup(cls.vnc.stop)

    def test_01_the_unit_alone_is_a_disconnected_session_without_an_address(self):
        self.vnc.start()
        row = self.until(state="disconnected", coverage="measured")
        type(self).first = row
        self.assertEqual((row["id"], row["stack"], row["type"], row["name"], row["confidence"], row["display"], row["client_address"]),
                         (1, "vnc", "vnc", None, "high", ":3", None))

    def test_02_a_viewer_is_its_client(self):
        self.timed(1, "active", lambda: self.vnc.connect(HOME), 5903)
        row = self.until(state="active")
        self.assertEqual((row["name"], row["client_address"], row["uuid"]), ("vnc-tcp#1", HOME, self.first["uuid"]))

    def test_03_a_restart_of_the_collector_tells_nothing(self):
        self.assert_that_a_restart_tells_nothing()

    def test_03_work_is_measured(self):
        # What is left of a login of before may be there still.
        login, = self.product.session("user1")["logind_sessions"]
        record = next(record for record in self.lab.logins("user1") if record["id"] == login)
        self.work(lambda *arguments: self.lab.run("user1", arguments, record=record))

    def test_03_a_lock_shows(self):
        self.assert_that_a_lock_shows()

    def test_04_a_killed_viewer_is_disc(self):
        self.timed(1, "disconnected", self.vnc.disconnect, 5903)
        row = self.until(state="disconnected")
        self.assertEqual((row["name"], row["client_address"], row["uuid"]), (None, None, self.first["uuid"]))

    def test_05_a_viewer_elsewhere_has_the_same_session(self):
        self.timed(1, "active", lambda: self.vnc.connect(ELSEWHERE), 5903)
        row = self.until(state="active")
        self.assertEqual((row["name"], row["client_address"], row["uuid"]), ("vnc-tcp#1", ELSEWHERE, self.first["uuid"]))

    def test_05_a_restart_of_the_collector_tells_nothing(self):
        self.assert_that_a_restart_tells_nothing()

    def test_06_again_and_again(self):
        for _ in range(5):
            self.timed(1, "disconnected", self.vnc.disconnect, 5903)
            self.timed(1, "active", lambda: self.vnc.connect(ELSEWHERE), 5903)
        self.timed(1, "disconnected", self.vnc.disconnect, 5903)

    def test_06_disconnected_by_the_command_and_back(self):
        self.timed(1, "active", lambda: self.vnc.connect(ELSEWHERE), 5903)
        self.timed(1, "disconnected", lambda: self.product.command("session", "disconnect", "1", user="user1"), 5903)
        self.assertIn("No client is connected", self.product.command("session", "disconnect", "1", user="user1", check=False).stderr)
        self.vnc.disconnect()
        # An X server that stands still: that is told as what it is.
        self.timed(1, "active", lambda: self.vnc.connect(ELSEWHERE), 5903)
        self.lab.enter(["pkill", "-STOP", "-u", "user1", "Xtigervnc"])
        try:
            done = self.product.command("session", "disconnect", "1", user="user1", check=False)
            wait_until("its unit to be gone", lambda: not self.lab.enter(
                ["systemctl", "list-units", "--plain", "--no-legend", "termspan-disconnect-*"]).stdout, 20)
        finally:
            self.lab.enter(["pkill", "-CONT", "-u", "user1", "Xtigervnc"])
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("did not come to an end", done.stderr)
        self.timed(1, "disconnected", self.vnc.disconnect, 5903)

    def test_07_the_unit_s_end_is_the_session_s(self):
        self.assert_prompt()
        self.vnc.stop()
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)
        wait_until("the probe to end", lambda: not self.product.probes(), 20)
        self.assertEqual(self.events(self.first["uuid"]), [
            ("session-opened", None), ("session-connected", HOME), ("session-disconnected", HOME), ("session-connected", ELSEWHERE),
            *[("session-disconnected", ELSEWHERE), ("session-connected", ELSEWHERE)] * 7, ("session-disconnected", ELSEWHERE), ("session-closed", None)])
        self.check_bounds(self.first["uuid"], "vnc")


class VNCThroughTunnelTests(StackTestCase):
    """-rfbport, and a viewer that comes through ssh: the client is where the login comes from."""

    connect_limit = VNCTests.connect_limit

    def test_the_address_is_the_login_s(self):
        vnc = VNC(self.lab, "user1", 4)
        self.addCleanup(vnc.stop)
        vnc.start(port=7004)
        self.until(state="disconnected", stack="vnc")
        ssh = SSH(self.lab, "user2", PASSWORD, "198.51.100.12")
        self.addCleanup(ssh.close)
        ssh.open("-N", "-L", "127.0.0.1:7104:127.0.0.1:7004")
        wait_until("user2's login", lambda: self.product.session("user2"), 20)
        self.timed(1, "active", lambda: ssh.client.start(["bash", "-c", "until exec 3<>/dev/tcp/127.0.0.1/7104; do sleep 0.1; done 2>/dev/null; sleep 60"],
                                                         ssh.client.folder / "tcp.log"), 7004)
        self.assertEqual(self.until(state="active")["client_address"], "198.51.100.12")
        self.assertEqual((self.product.session("user2")["stack"], self.product.session("user2")["state"]), ("ssh", "active"))
        self.timed(1, "disconnected", ssh.close, 7004)


class X2GoTests(StackTestCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.x2go = X2Go(cls.lab, "user1", PASSWORD)
        cls.addClassCleanup(cls.x2go.disconnect)

    def test_01_logins_and_agent_are_one_session(self):
        self.x2go.start(HOME)
        row = self.until(state="active", stack="x2go", coverage="measured")
        type(self).first = row
        self.assertEqual((row["id"], row["type"], row["name"], row["confidence"], row["display"], row["client_address"]),
                         (1, "x2go", "x2go#1", "high", f":{self.x2go.display}", HOME))
        self.assertGreaterEqual(len(row["logind_sessions"]), 2)
        wait_until("X2Go to say so", lambda: self.x2go.state() == "RUNNING", 20, progress=self.x2go.state)

    def test_02_a_restart_of_the_collector_tells_nothing(self):
        self.assert_that_a_restart_tells_nothing()

    def test_02_work_is_measured(self):
        self.work(self.x2go.run_program)

    def test_02_a_lock_shows(self):
        self.assert_that_a_lock_shows()

    def test_03_a_client_that_is_switched_off_leaves_it_disc(self):
        self.timed(1, "disconnected", self.x2go.disconnect, self.x2go.port)
        row = self.until(state="disconnected")
        self.assertEqual((row["name"], row["client_address"], row["uuid"]), (None, None, self.first["uuid"]))
        wait_until("X2Go to say so", lambda: self.x2go.state() == "SUSPENDED", 20, progress=self.x2go.state)

    def test_04_state_files_that_lie_change_nothing(self):
        """Files in /tmp and processes of any name are a user's to make, and hold for nobody else; not for who made them, while no X server listens."""
        number = self.x2go.session
        ssh = SSH(self.lab, "user2", PASSWORD, "198.51.100.12")
        self.addCleanup(ssh.close)
        script = f"""
            mkdir -p /tmp/.x2go-user2/C-{number} /tmp/.x2go-user2/C-user2-60-1
            echo RUNNING >/tmp/.x2go-user2/C-{number}/state; echo RUNNING >/tmp/.x2go-user2/C-user2-60-1/state
            echo $$ >/tmp/.X60-lock
            (exec -a Xorg python3 -c 'import time; time.sleep(60)' -auth /home/user1/.Xauthority :60) &
            (exec -a x2goagent python3 -c 'import time; time.sleep(60)' -name X2GO-{number} :{self.x2go.display}) &
            wait
        """
        shell = ssh.open("-T")
        shell.stdin.write(script.encode())
        shell.stdin.flush()
        faked = lambda: self.lab.enter(["sh", "-c", "pgrep -u user2 -c -f -- '^(Xorg .*-auth|x2goagent .*-name)'"], check=False).stdout.strip()  # noqa: E731
        wait_until("the two to run", lambda: faked() == "2", 20)
        row = wait_until("user2's login", lambda: self.product.session("user2"), 20, progress=self.product.report)
        path = f"/tmp/.x2go-user1/C-{number}/state"
        self.lab.enter(["sh", "-c", f"echo RUNNING >{path}"], user="user1")
        self.addCleanup(self.lab.enter, ["sh", "-c", f"echo SUSPENDED >{path}"], user="user1")
        time.sleep(2)  # More than the product would need to see it.
        self.assertEqual(faked(), "2")
        own = self.product.session("user1")
        self.assertEqual((own["state"], own["uuid"], own["display"]), ("disconnected", self.first["uuid"], f":{self.x2go.display}"))
        rows = [each for each in self.product.query_sessions() if each["user"] == "user2"]
        self.assertEqual([(each["uuid"], each["stack"], each["display"], each["coverage"]) for each in rows], [(row["uuid"], "ssh", None, "untracked")])
        ssh.close()
        wait_until("user2 to be gone", lambda: not self.product.session("user2"), 20, progress=self.product.report)

    def test_05_a_restart_of_the_collector_tells_nothing(self):
        self.assert_that_a_restart_tells_nothing()

    def test_05_resumed_from_elsewhere_it_is_the_same(self):
        with StateWatch(self.lab) as watch:
            self.x2go.resume(ELSEWHERE)
            row = self.until(state="active")
            # What was told has yet to come here.
            wait_until("it to be told", lambda: watch.states and watch.states[-1][1:] == (1, "active"), 20, progress=lambda: str(watch.states))
        self.assertEqual((row["id"], row["name"], row["client_address"], row["uuid"]), (1, "x2go#1", ELSEWHERE, self.first["uuid"]))
        self.assertEqual([state for _, session, state in watch.states if session == 1][-1], "active")
        self.assertEqual({session for _, session, _ in watch.states}, {1})

    def test_06_beside_it_a_terminal_is_a_session_of_its_own(self):
        ssh = SSH(self.lab, "user1", PASSWORD, ELSEWHERE)
        ssh.terminal()
        def seen():
            return sorted((row["stack"], row["state"]) for row in self.product.query_sessions() if row["user"] == "user1")
        wait_until("two sessions", lambda: seen() == [("ssh", "active"), ("x2go", "active")], 20, progress=self.product.report)
        ssh.close()
        wait_until("one session", lambda: len([row for row in self.product.query_sessions() if row["user"] == "user1"]) == 1, 20)

    def test_07_suspended_and_resumed_within_a_second_each(self):
        for _ in range(3):
            # Whoever goes before X2Go is done with the coming back leaves an agent that takes up nobody any more.
            wait_until("X2Go to be done with the one before", lambda: self.x2go.state() == "RUNNING", 20, progress=self.x2go.state)
            self.timed(1, "disconnected", self.x2go.disconnect, self.x2go.port)
            wait_until("X2Go to be ready for more", lambda: self.x2go.state() == "SUSPENDED", 20, progress=self.x2go.state)
            self.timed(1, "active", lambda: self.x2go.resume(ELSEWHERE), self.x2go.port)

    def test_07_suspended_by_the_command_and_resumed(self):
        # Not before the agent has taken its client up: what it is told meanwhile it does not hear.
        wait_until("X2Go to be done with the one before", lambda: self.x2go.state() == "RUNNING", 20, progress=self.x2go.state)
        self.timed(1, "disconnected", lambda: self.product.command("session", "disconnect", "1", user="user1"), self.x2go.port)
        wait_until("X2Go to say so", lambda: self.x2go.state() == "SUSPENDED", 20, progress=self.x2go.state)
        done = self.product.command("session", "disconnect", "1", user="user1", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertEqual(self.x2go.state(), "SUSPENDED")
        self.x2go.disconnect()
        self.timed(1, "active", lambda: self.x2go.resume(ELSEWHERE), self.x2go.port)

    def test_08_terminated_it_is_gone(self):
        self.assert_prompt()
        self.x2go.terminate()
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)
        wait_until("the probe to end", lambda: not self.product.probes(), 20)
        records = [record for record in self.product.log(user="user1") if record["event"] in EVENTS]
        terminal, = {record["session_uuid"] for record in records} - {self.first["uuid"]}
        events = [(record["event"], record["client_address"]) for record in records if record["session_uuid"] == self.first["uuid"]]
        self.assertEqual(events[:4], [
            ("session-opened", HOME), ("session-connected", HOME), ("session-disconnected", HOME), ("session-connected", ELSEWHERE)])
        self.assertEqual(events[4:12], [("session-disconnected", ELSEWHERE), ("session-connected", ELSEWHERE)] * 4)
        # The agent lets go of its client before it ends.
        self.assertIn([event for event, _ in events[12:]], (["session-closed"], ["session-disconnected", "session-closed"]))
        self.check_bounds(self.first["uuid"], "x2go")
        self.check_bounds(terminal, "ssh", wtmp=ELSEWHERE)


class SSHTests(StackTestCase):
    def test_a_terminal_is_listed_and_idle_as_w_says(self):
        ssh = SSH(self.lab, "user1", PASSWORD, HOME)
        self.addCleanup(ssh.close)
        for options in ([], ["-X"]):
            process = ssh.terminal(*options)
            row = self.until(stack="ssh", state="active", coverage="no-x-server")
            row = wait_until("its terminal to show", lambda: (row := self.product.session("user1"))["tty"] and row, 20, progress=self.product.report)
            number = row["id"]
            self.assertEqual((row["name"], row["type"], row["client_address"], row["display"]), (f"ssh#{number}", "ssh", HOME, None))
            self.assertRegex(row["tty"], r"^pts/\d+$")
            self.assertRegex(self.product.command("query", "session").stdout, rf"{row['name']} +user1 +{number} +Active +ssh +{row['tty']}\b")
            self.assertEqual(self.product.probes(), {})
            self.assert_that_idle_times_show(row)
            # No terminal was typed at before the machine came up.
            ago = min(3 * 3600, int(time.clock_gettime(time.CLOCK_BOOTTIME) * 0.7))
            self.lab.enter(["touch", "-a", "-d", f"-{ago} seconds", f"/dev/{row['tty']}"], user="user1")
            self.assertAlmostEqual(self.product.session("user1")["idle"], ago, delta=60)
            process.stdin.write(b"true\n")
            process.stdin.flush()
            wait_until("what is typed to show", lambda: self.product.session("user1")["idle"] < 10, 20, progress=self.product.report)
            self.assert_that_a_lock_shows()
            # Nobody is told when somebody was at a terminal who is not tracked.
            self.product.untrack("user1")
            row = self.product.session("user1")
            self.assertEqual((row["idle"], row["last_input"], row["coverage"]), (None, None, "untracked"))
            self.product.track("user1")
            begin = time.monotonic()
            ssh.close()
            wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)
            self.times["disconnect"].append((time.monotonic() - begin) * 1000)
            self.assertEqual([(record["event"], record["client_address"]) for record in self.product.log(session=row["uuid"]) if record["event"] in EVENTS],
                             [("session-opened", HOME), ("session-connected", HOME), ("session-closed", HOME)])
            self.check_bounds(row["uuid"], "ssh", wtmp=HOME)
        self.assert_prompt()

    def assert_that_idle_times_show(self, row):
        """What `query user` shows as IDLE TIME where the terminal was typed at so many days, hours and minutes ago, since the machine came up."""
        up = time.clock_gettime(time.CLOCK_BOOTTIME)
        for days, hours, minutes, shown in ((0, 0, 0, "."), (0, 0, 1, "1"), (0, 0, 59, "59"), (0, 1, 0, "1:00"), (0, 4, 5, "4:05"), (3, 4, 5, "3+04:05")):
            # Some seconds more, so that it is the same some seconds later.
            ago = ((days * 24 + hours) * 60 + minutes) * 60 + 5
            if ago > up:
                continue
            touch = ["touch", "-a", "-d", f"-{ago} seconds", f"/dev/{row['tty']}"]
            line = wait_until(f"the idle time to be {shown}", lambda: self.lab.enter(touch, user="user1") and (
                line := self.product.command("query", "user", "user1").stdout.splitlines()[1].split())[4] == shown and line, 20, progress=self.product.report)
            self.assertEqual(line[:4], ["user1", row["name"], str(row["id"]), "Active"])

    def test_a_terminal_outlives_logind(self):
        ssh = SSH(self.lab, "user1", PASSWORD, HOME)
        self.addCleanup(ssh.close)
        ssh.terminal()
        row = wait_until("its terminal to show", lambda: (row := self.product.session("user1")) and row["tty"] and row, 20, progress=self.product.report)
        lost = len(self.product.log(event="logind-lost"))
        self.lab.enter(["systemctl", "restart", "systemd-logind.service"])
        wait_until("logind's loss to be told", lambda: len(self.product.log(event="logind-lost")) > lost, 20)
        self.until(uuid=row["uuid"], tty=row["tty"], state="active")
        ssh.close()
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)


class XvncBehindXrdpTests(StackTestCase):
    """xrdp whose sessions have Xvnc for a server."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        edit = ["sed", "-i", "s/^autorun=.*/autorun=Xvnc/", "/etc/xrdp/xrdp.ini"]
        cls.lab.enter(edit)
        cls.addClassCleanup(cls.lab.enter, [*edit[:2], "s/^autorun=.*/autorun=/", edit[-1]])

    def connect(self, address):
        self.lab.client("user1").connect("user1", PASSWORD, address)

    def kill(self):
        os.kill(self.lab.client("user1").process.pid, signal.SIGKILL)

    def test_from_logon_to_logoff(self):
        self.connect(HOME)
        first = self.until(40, state="active", coverage="measured")
        self.assertEqual((first["id"], first["stack"], first["name"], first["client_address"], first["confidence"]),
                         (1, "xrdp", "rdp-tcp#1", HOME, "high"))
        display = first["display"].lstrip(":")
        self.assertRegex(self.lab.enter(["ps", "-o", "args=", "-u", "user1"]).stdout, rf"Xt?i?g?e?r?vnc :{display}\b")
        def run(*arguments):
            self.lab.run("user1", arguments)
            # A window that comes before the window manager does is not given the focus.
            self.lab.focus("user1", "Editor")
        self.work(run)
        self.assert_that_a_lock_shows()
        port = 5900 + int(display)
        for address in (ELSEWHERE, HOME):
            self.timed(1, "disconnected", self.kill, port)
            row = self.until(state="disconnected")
            self.assertEqual((row["name"], row["client_address"]), (None, None))
            self.timed(1, "active", lambda address=address: self.connect(address), port)
            row = self.until(state="active", client_address=address)
            self.assertEqual((row["id"], row["uuid"]), (1, first["uuid"]))
        self.timed(1, "disconnected", lambda: self.product.command("session", "disconnect", "1", user="user1"), port)
        self.assert_prompt()
        self.product.command("session", "logoff", "1")
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)
        self.assertEqual([event for event, _ in self.events(first["uuid"])], [
            "session-opened", "session-connected", *["session-disconnected", "session-connected"] * 2, "session-disconnected", "session-closed"])
        self.check_bounds(first["uuid"], "xrdp")


class LogoffTests(StackTestCase):
    """`session logoff` on the stacks that are not ended so elsewhere, and what it leaves alone; and what can't be disconnected."""

    def log_off(self, user=None):
        row = self.product.session("user1")
        self.product.command("session", "logoff", str(row["id"]), user=user)
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 30, progress=self.product.report)
        wait_until("the probe to end", lambda: not self.product.probes(), 20)
        told = [record for record in self.product.log(session=row["uuid"]) if record["event"] == "session-closed"]
        self.assertEqual(len(told), 1)

    def test_a_session_of_x2go_in_use_and_a_suspended_one(self):
        for suspended in (False, True):
            x2go = X2Go(self.lab, "user1", PASSWORD)
            self.addCleanup(x2go.disconnect)
            x2go.start(HOME)
            self.until(state="active", stack="x2go", coverage="measured")
            wait_until("X2Go to say so", lambda: x2go.state() == "RUNNING", 20, progress=x2go.state)
            # What was left running from elsewhere is shown with it, since nobody can tell, and not ended with it.
            left = SSH(self.lab, "user1", PASSWORD, ELSEWHERE)
            self.addCleanup(self.lab.enter, ["pkill", "-u", "user1", "-f", "^sleep 7777"], check=False)
            shell = left.open("-T")
            shell.stdin.write(b"setsid nohup sleep 7777 >/dev/null 2>&1 &\nexit\n")
            shell.stdin.flush()
            runs = lambda: self.lab.enter(["pgrep", "-u", "user1", "-f", "^sleep 7777"], check=False).stdout  # noqa: E731
            wait_until("it to run", runs, 20)
            left.close()
            wait_until("one session", lambda: len([row for row in self.product.query_sessions() if row["user"] == "user1"]) == 1, 20)
            if suspended:
                x2go.disconnect()
                self.until(state="disconnected")
            self.log_off()
            self.assertFalse(self.lab.enter(["pgrep", "-u", "user1", "-f", "nxagent|x2goagent"], check=False).stdout)
            self.assertTrue(runs())
            self.lab.enter(["pkill", "-u", "user1", "-f", "^sleep 7777"])
            x2go.disconnect()

    def leave_behind(self, script):
        """An X server and what a script does beside it, in a login over ssh that is over; returns the session's row."""
        ssh = SSH(self.lab, "user1", PASSWORD, HOME)
        self.addCleanup(ssh.close)
        self.addCleanup(self.lab.enter, ["pkill", "-KILL", "-u", "user1", "Xvfb|bash"], check=False)
        shell = ssh.open("-T")
        shell.stdin.write(f"setsid Xvfb :77 >/dev/null 2>&1 &\n{script}\nexit\n".encode())
        shell.stdin.flush()
        wait_until("its X server to run", lambda: self.lab.enter(["pgrep", "-u", "user1", "Xvfb"], check=False).stdout, 20)
        row = self.until(display=":77")
        ssh.close()
        wait_until("its login to be over", lambda: any(login.get("state") == "closing" for login in self.lab.logins("user1")), 20)
        return row

    def test_what_outlives_its_x_server_is_stopped(self):
        self.leave_behind("setsid bash -c 'trap \"\" TERM; while :; do sleep 1; done' >/dev/null 2>&1 &")
        left = lambda: self.lab.enter(["pgrep", "-u", "user1", "-f", "while :; do"], check=False).stdout  # noqa: E731
        wait_until("what ignores SIGTERM to run", left, 20)
        self.log_off()
        wait_until("it to be gone", lambda: not left(), 20)

    def test_what_does_not_listen_is_stopped_however_often_its_user_asks(self):
        row = self.leave_behind("")
        self.lab.enter(["pkill", "-STOP", "-u", "user1", "Xvfb"])
        asked = []
        def gone():
            asked.append(self.product.command("session", "logoff", str(row["id"]), user="user1", check=False).returncode)
            return not self.product.session("user1")
        # Each of them begins within the grace of the one before.
        wait_until("the session to be gone", gone, 20, progress=self.product.report)
        self.assertGreater(asked.count(0), 1)

    def test_who_has_the_id_next_is_left_alone(self):
        """What a logoff has stopped after a while is the login that it was for: logind gives IDs again when it has started again."""
        self.addCleanup(self.lab.logout, "user2")
        # So that both begin at the same ID.
        self.lab.enter(["systemctl", "restart", "systemd-logind.service"])
        self.lab.login("user1", address=HOME)
        row = self.until(stack="xrdp", state="active")
        login, = row["logind_sessions"]
        leader = self.lab.enter(["loginctl", "show-session", "--property", "Leader", "--value", login]).stdout.strip()
        self.lab.enter(["kill", "-KILL", leader])
        wait_until("the login to be over", lambda: any(each.get("state") == "closing" for each in self.lab.logins("user1")), 20)
        begin = time.monotonic()
        self.product.command("session", "logoff", str(row["id"]))
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)
        self.lab.enter(["systemctl", "restart", "systemd-logind.service"])
        self.lab.login("user2")
        new = wait_until("user2's session", lambda: self.product.session("user2"), 20, progress=self.product.report)
        if new["logind_sessions"] != [login]:
            self.skipTest(f"logind gave {new['logind_sessions']} after {login}")
        time.sleep(max(0, begin + 8 - time.monotonic()))  # More than the grace.
        self.assertEqual(self.product.session("user2")["uuid"], new["uuid"])

    def test_a_terminal_by_its_user_and_no_disconnect(self):
        ssh = SSH(self.lab, "user1", PASSWORD, HOME)
        self.addCleanup(ssh.close)
        ssh.terminal()
        row = self.until(stack="ssh", state="active")
        done = self.product.command("session", "disconnect", str(row["id"]), user="user1", check=False)
        self.assertNotEqual(done.returncode, 0)
        self.assertIn("ssh", done.stderr)
        self.assertEqual(self.product.session("user1")["state"], "active")
        self.log_off("user1")

    def test_tigervnc(self):
        vnc = VNC(self.lab, "user1", 5)
        self.addCleanup(vnc.stop)
        vnc.start()
        self.until(state="disconnected", coverage="measured")
        self.log_off()


class LightDMTests(StackTestCase):
    """A logon screen, and the logon that takes its number over. The X server is Xvfb, since the lab has no screen of its own."""

    SERVER = """#!/bin/sh
# What LightDM gives an Xorg and Xvfb does not know is left out.
display=$1 authority=
while [ $# -gt 0 ]; do
    [ "$1" = -auth ] && authority=$2
    shift
done
exec Xvfb "$display" -screen 0 800x600x24 -auth "$authority" -nolisten tcp -noreset
"""
    SETTINGS = """[LightDM]
logind-check-graphical=false
[Seat:*]
xserver-command=/usr/local/bin/lab-x-server
greeter-hide-users=true
user-session=openbox
# The screen itself logs user1 on after these seconds.
autologin-user=user1
autologin-user-timeout=6
"""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        script = cls.lab.root / "usr/local/bin/lab-x-server"
        script.write_text(cls.SERVER)
        script.chmod(0o755)
        folder = cls.lab.root / "etc/lightdm/lightdm.conf.d"
        folder.mkdir(exist_ok=True)
        (folder / "50-lab.conf").write_text(cls.SETTINGS)
        # A container's seat has no virtual terminals, and logind refuses a session that names one.
        (cls.lab.root / "etc/security/lab-vt.conf").write_text("XDG_VTNR DEFAULT=\n")
        for name in ("lightdm", "lightdm-autologin", "lightdm-greeter"):
            file = cls.lab.root / "etc/pam.d" / name
            rule = "session required pam_env.so conffile=/etc/security/lab-vt.conf\n"
            if rule not in (text := file.read_text()):
                file.write_text(text.replace("\nsession", "\n" + rule + "session", 1))
        # Told to end it may wait for its X server for a minute and longer; killed alone it is started again.
        end = "systemctl stop --no-block lightdm.service; sleep 1; systemctl kill --signal=KILL lightdm.service; systemctl stop lightdm.service"
        cls.addClassCleanup(cls.lab.enter, ["sh", "-c", end], check=False, timeout=150)
        cls.lab.enter(["systemctl", "start", "lightdm.service"])

    def type_something(self):
        """There is no keyboard: a client of the X server's has the input made."""
        self.lab.run("user1", ["xdotool", "type", "echo hello"], record=self.record, wait=True)

    def console(self):
        rows = [row for row in self.product.query_sessions() if row["stack"] == "local"]
        self.assertLessEqual(len(rows), 1, rows)
        return rows[0] if rows else None

    def wait_console(self, **wanted):
        def there():
            row = self.console()
            return row and all(row[key] == value for key, value in wanted.items()) and row
        return wait_until(f"the seat's session to have {wanted}", there, 30, progress=self.product.report)

    def test_a_logon_takes_over_the_screens_number(self):
        screen = self.wait_console(state="connected")
        self.assertEqual((screen["id"], screen["name"], screen["user"], screen["display"]), (1, "console", "lightdm", ":0"))
        row = self.wait_console(user="user1", state="active")
        self.assertEqual((row["id"], row["name"], row["client_address"]), (1, "console", None))
        self.assertNotEqual(row["uuid"], screen["uuid"])
        self.product.wait_measured("user1")
        self.record = next(record for record in self.lab.logins("user1") if record.get("service", "").startswith("lightdm"))
        # What a program maps while a window manager starts may never be managed.
        managed = ["xprop", "-root", "_NET_SUPPORTING_WM_CHECK"]
        wait_until("the window manager", lambda: "window id" in self.lab.run("user1", managed, record=self.record, wait=True).stdout, 60)
        self.work(lambda *arguments: self.lab.run("user1", arguments, record=self.record))
        self.assert_that_a_lock_shows()
        self.product.command("session", "logoff", str(row["id"]))
        after = self.wait_console(state="connected")
        self.assertNotIn(after["uuid"], (row["uuid"], screen["uuid"]))
        # A screen's number goes to who begins in its place, another screen too; a user's rests, so who follows has the lowest that nobody had.
        screens, vacated, given, due = {screen["user"]}, None, [], []
        records = self.product.log()
        for record in records:
            if record["event"] == "session-closed" and record["user"] in screens:
                vacated = record["session"]
            if record["event"] == "session-opened":
                due.append(vacated or max(given, default=0) + 1)
                given.append(record["session"])
                vacated = None
            # By now the screen may have logged user1 on again.
            if record["event"] == "session-opened" and record["session_uuid"] == after["uuid"]:
                break
        self.assertEqual(given, due, [(record["event"], record["user"], record["session"], record["logind_sessions"]) for record in records
                                      if record["event"] in EVENTS])
        self.assertEqual(after["id"], given[-1])
        events = [record["event"] for record in self.product.log(session=row["uuid"]) if record["event"] in EVENTS]
        # On a slow machine the next screen is in front of the seat before the session has gone.
        self.assertIn(events[2:], (["session-closed"], ["session-disconnected", "session-closed"]))
        self.assertEqual(events[:2], ["session-opened", "session-connected"])
        self.check_bounds(row["uuid"], "local", wtmp=":0")


if __name__ == "__main__":
    unittest.main()
