"""Termspan as installed in a lab: what the tests of the product share.

    from lablib.product import ProductTestCase

    class Something(ProductTestCase):
        users = 2
        tracked = ["user1"]
        settings = {"burst-gap": "2s"}

        def test_it(self):
            self.lab.login("user1")
            self.product.wait_measured("user1")
            self.assertEqual(self.product.session("user1")["id"], 1)

TERMSPAN_DEB names the package; without it these cases are skipped. It is installed once in a run, and in a lab
that runs on from before only if it is another one than that lab has. Each class begins with an empty store and
with session IDs from 1, as a freshly booted server does.
"""

import contextlib
import json
import math
import os
import re
import shutil
import sqlite3
import subprocess
import sys
import threading
import time
import unittest
import uuid
from datetime import datetime
from pathlib import Path

from .host import LabError, wait_until
from .programs import compiled
from .testing import LabTestCase

FRAGMENT = "etc/termspan/termspan.yaml.d/50-lab.yaml"
MARKER = "var/lib/termspan-lab-installed"
CATEGORIES = ("active", "passive", "inactive", "locked", "disconnected", "paused", "suspended", "unknown")


class Product:
    """Termspan in one lab. Its listings are those of the command with --format json, as dictionaries."""

    def __init__(self, lab):
        self.lab = lab
        self.begin = 0.0

    # Installation

    def install(self, package):
        """Installs the package unless it is there; one that was built anew under the same version is another one."""
        package = Path(package).resolve()
        stat = package.stat()
        stamp = f"{package} {stat.st_mtime_ns} {stat.st_size}\n"
        marker = self.lab.root / MARKER
        if not marker.exists() or marker.read_text() != stamp:
            self.lab.install(package)
            marker.write_text(stamp)

    def reset(self, settings=None):
        """Starts the collector with an empty store, nobody tracked, IDs from 1 and these settings alone; no session may be there."""
        fragment = self.lab.root / FRAGMENT
        text = "".join(f"{key}: {value}\n" for key, value in (settings or {}).items())
        self.lab.enter(["systemctl", "stop", "termspand.service", "termspan-reportd.service"])
        self.lab.enter(["sh", "-c", "rm -rf /var/lib/termspan/* /var/lib/termspan-keys/* /run/termspan/*"])
        fragment.parent.mkdir(parents=True, exist_ok=True)
        if text:
            fragment.write_text(text)
        else:
            fragment.unlink(missing_ok=True)
        self.lab.enter(["systemd-tmpfiles", "--create", "termspan.conf"], check=False)
        self.begin = time.time()
        self.lab.enter(["systemctl", "start", "termspand.service"])

    # The command

    def command(self, *arguments, user=None, check=True, timeout=120, **options):
        """Runs `termspan` inside, as root or as `user`, and returns it as completed."""
        return self.lab.enter(["termspan", *arguments], user=user, check=check, timeout=timeout, **options)

    def listing(self, *arguments, user=None):
        """What a listing of the command says with --format json."""
        done = self.command(*arguments, "--format", "json", user=user)
        try:
            return json.loads(done.stdout)
        except json.JSONDecodeError as error:
            raise LabError(f"no JSON ({error}) by {' '.join(arguments)}: {done.stdout[:500]!r}") from None

    def query_sessions(self, user=None):
        return self.listing("query", "session", user=user)

    def session(self, user):
        """The row of the one session of a user, or None."""
        rows = [row for row in self.query_sessions() if row["user"] == user]
        if len(rows) > 1:
            raise LabError(f"{user} has {len(rows)} sessions: {rows}")
        return rows[0] if rows else None

    def spans(self, user=None, *, open=False, session=None):
        """A user's spans by their start, or everybody's; `open` includes what lasts still."""
        return sorted(self.listing("spans", *self._whose(user, session), *(["--open"] if open else [])), key=lambda span: span["start"])

    def summary(self, user=None, *, session=None):
        """The categories of each session of a user, or of everybody's."""
        return self.listing("summary", *self._whose(user, session))

    @staticmethod
    def _whose(user, session):
        return (["--user", user] if user else ["--all"]) + (["--session", str(session)] if session else [])

    def status(self):
        return self.listing("status")

    def policy(self):
        return self.listing("policy", "show")

    def log(self, *, user=None, event=None, session=None):
        """The records of the journal since the reset, oldest first, as `termspan log` tells them; what was logged before this call is there."""
        self.sync_journal()
        arguments = []
        for option, value in (("--user", user), ("--event", event), ("--session", session)):
            if value is not None:
                arguments += [option, str(value)]
        records = map(json.loads, self.command("log", *arguments, "--format", "json").stdout.splitlines())
        return [record for record in records if moment(record["time"]) >= self.begin]

    def sync_journal(self):
        """Waits till the journal has what the collector has told so far, which a thread of its own sends: once it sleeps, it has nothing left."""
        deadline = time.monotonic() + 2
        while self._journal_thread_runs() and time.monotonic() < deadline:
            time.sleep(0.005)
        self.lab.enter(["journalctl", "--sync"])

    def _journal_thread_runs(self):
        try:
            pids = (self.lab.container.cgroup / "termspan.slice/termspand.service/cgroup.procs").read_text().split()
            for task in (task for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()):
                if (task / "comm").read_text() == "journal\n" and (task / "stat").read_text().rpartition(")")[2].split()[0] != "S":
                    return True
        except OSError:  # The collector or a thread of its ends meanwhile; at its end it sends what is left.
            pass
        return False

    def track(self, *users, reason="a test"):
        if users:
            self.command("track", *users, "--reason", reason, "--responsible", "the tests")

    def untrack(self, *users, reason="a test"):
        if users:
            self.command("untrack", *users, "--reason", reason)

    def wait_measured(self, *users, timeout=40):
        """Waits till the sessions of these users are measured and returns their rows."""
        def measured():
            rows = {row["user"]: row for row in self.query_sessions()}
            return all(rows.get(user, {}).get("coverage") == "measured" for user in users) and [rows[user] for user in users]
        return wait_until(f"the sessions of {', '.join(users)} to be measured", measured, timeout, progress=self.report)

    def wait_active(self, *users, timeout=40):
        """Waits till the sessions of these users have their clients, which may come later than the probe, and returns their rows."""
        def active():
            rows = {row["user"]: row for row in self.query_sessions()}
            return all(rows.get(user, {}).get("state") == "active" and rows[user]["client_address"] for user in users) and [rows[user] for user in users]
        return wait_until(f"the clients of {', '.join(users)} to be there", active, timeout, progress=self.report)

    def open_rows(self):
        """How much the store holds of what lasts still: sessions without an end and checkpoints of their lanes."""
        query = "SELECT (SELECT count(*) FROM session WHERE end IS NULL), (SELECT count(*) FROM lane_checkpoint)"
        done = self.lab.enter(["sqlite3", "-readonly", "-cmd", ".timeout 5000", "/var/lib/termspan/termspan.db", query])
        return tuple(int(number) for number in done.stdout.strip().split("|"))

    def logins(self):
        """Whose each session is, by its UUID: the database has the names under keys."""
        return {row["session_uuid"]: row["user"] for row in self.listing("session", "history", "--all")}

    def copy_store(self, path):
        """Copies the database as it is now, with a table of whose sessions are: (session, login)."""
        inside = f"/var/lib/{uuid.uuid4().hex}.db"
        self.lab.enter(["sqlite3", "-readonly", "-cmd", ".timeout 5000", "/var/lib/termspan/termspan.db", f".backup {inside}"])
        shutil.move(self.lab.root / inside.lstrip("/"), path)
        with contextlib.closing(sqlite3.connect(path)) as database, database:
            rows = database.execute("SELECT id, lower(hex(uuid)) FROM session").fetchall()
            logins = {uuid.replace("-", ""): login for uuid, login in self.logins().items()}
            database.execute("CREATE TABLE login (session INTEGER PRIMARY KEY, login TEXT)")
            database.executemany("INSERT INTO login VALUES (?, ?)", [(row, logins.get(uuid)) for row, uuid in rows])

    def save_journal(self, path, *units):
        """Writes what the product and these units have in the journal since the boot, for whoever wants to know why."""
        command = ["journalctl", "--no-pager", "--boot", "--output=short-precise", *(f"--unit={unit}" for unit in ("termspan*", *units))]
        Path(path).write_text(self.lab.enter(command, check=False, timeout=300).stdout)

    # Rights

    def grant(self, user, *actions):
        """Gives a user rights of ours by a rule of polkit's, and waits till it has them; returns what takes them away again."""
        rule = self.lab.root / f"etc/polkit-1/rules.d/50-lab-{user}.rules"
        ours = json.dumps([f"org.termspan1.{action}" for action in actions])
        rule.write_text("polkit.addRule(function(action, subject) {\n"
                        f"  if (subject.user == {json.dumps(user)} && {ours}.indexOf(action.id) >= 0) return polkit.Result.YES;\n}});\n")
        rule.chmod(0o644)

        def has(wanted):
            checks = [["sh", "-c", f"pkcheck --action-id org.termspan1.{action} --process $$"] for action in actions]
            return all((self.lab.enter(check, user=user, check=False).returncode == 0) == wanted for check in checks)

        def revoke():
            rule.unlink()
            wait_until(f"{user} to have no rights", lambda: has(False), 20)
        wait_until(f"{user} to have {', '.join(actions)}", lambda: has(True), 20)
        return revoke

    # Processes

    def collector(self):
        """The pid of the running collector inside, or None."""
        return self.main_pid("termspand.service")

    def main_pid(self, unit):
        return int(self.lab.enter(["systemctl", "show", "--property", "MainPID", "--value", unit]).stdout) or None

    def probes(self):
        """The units of the running probes, each with its pid inside."""
        lines = self.lab.enter(["systemctl", "list-units", "--plain", "--no-legend", "--state=active", "termspan-probe-*.service"]).stdout.splitlines()
        units = [line.split()[0] for line in lines if line.strip()]
        return {unit: pid for unit in units if (pid := self.main_pid(unit))}

    def kill(self, pid, signal="KILL"):
        """Sends a signal to a process by its pid inside."""
        self.lab.enter(["kill", f"-{signal}", pid])

    def wait_ready(self, *, other_than=None, timeout=40):
        """Waits till the collector answers, as another process than `other_than`, and returns its pid."""
        def ready():
            pid = self.collector()
            return pid and pid != other_than and self.command("query", "session", check=False).returncode == 0 and pid
        return wait_until("the collector to answer", ready, timeout, progress=self.report)

    def report(self):
        """What one wants to see where a test has failed: the state and the end of the log."""
        parts = [self.command("query", "session", check=False), self.command("status", check=False),
                 self.lab.enter(["journalctl", "--no-pager", "--boot", "--lines", "40", "_SYSTEMD_SLICE=termspan.slice"], check=False)]
        return "\n".join((done.stdout + done.stderr).strip() for done in parts)


class StateWatch:
    """Follows the collector's signals: a context within which `states` grows by (moment, ID, state) as sessions change.

    `signals` has these too, and those of new and removed sessions, as (ID, state), "new" and "removed". The moments are those at which the
    message came over the bus, in seconds since 1970. `locks` has the paths of logind's sessions that were asked to lock.
    """

    def __init__(self, lab):
        self.lab = lab
        self.states, self.signals, self.locks = [], [], []

    def __enter__(self):
        matches = ("type='signal',sender='org.termspan1',interface='org.termspan1.Manager'", "type='signal',interface='org.termspan.Lab'",
                   "type='signal',sender='org.freedesktop.login1',interface='org.freedesktop.login1.Session',member='Lock'")
        # It ends with its standard input, since a signal to what is outside would not reach it.
        script = 'busctl --json=short monitor --match "$1" --match "$2" --match "$3" </dev/null & read -r line; kill $!'
        self._process = subprocess.Popen(self.lab.container.command(["sh", "-c", script, "sh", *matches]),
                                         stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._listens = threading.Event()
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

        # Not every busctl says that it listens; it shows by passing on a signal of ours.
        def listens():
            self.lab.enter(["busctl", "emit", "/org/termspan/Lab", "org.termspan.Lab", "Begin"])
            return self._listens.wait(0.05)
        try:
            wait_until("the bus to be watched", listens, 20)
        except LabError:
            self.__exit__()
            raise
        return self

    def _read(self):
        for line in self._process.stdout:
            message = json.loads(line) if line.startswith("{") else {}
            if message.get("member") == "SessionChanged":
                session, state = message["payload"]["data"]
                self.states.append((message["timestamp-realtime"] / 1e6, session, state))
                self.signals.append((session, state))
            elif message.get("member") in ("SessionNew", "SessionRemoved"):
                self.signals.append((message["payload"]["data"][0], message["member"].removeprefix("Session").lower()))
            elif message.get("member") == "Lock":
                self.locks.append(message["path"])
            elif message.get("interface") == "org.termspan.Lab":
                self._listens.set()

    def __exit__(self, *error):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._thread.join(timeout=30)
        self._process.stdout.close()

    def wait(self, session, state, *, since, timeout=20):
        """Waits for a session to come to a state after `since` and returns the moment."""
        return wait_until(f"session {session} to become {state}",
                          lambda: next((at for at, *change in self.states if change == [session, state] and at >= since), None),
                          timeout, progress=lambda: str(self.states))


class Watcher:
    """Something inside that prints a line for each thing that happens, as root or as a user; `lines` grows by (moment, line)."""

    def __init__(self, lab, *command, user=None):
        self.lines = []
        # It ends with its standard input, since a signal to what is outside would not reach it.
        script = '"$@" </dev/null & read -r line; kill $!'
        inner = lab.container.command(["sh", "-c", script, "sh", *command], user=user)
        self._process = subprocess.Popen(inner, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self):
        for line in self._process.stdout:
            self.lines.append((time.time(), line.rstrip("\n")))

    def stop(self):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._thread.join(timeout=30)
        self._process.stdout.close()

    def events(self):
        """Notifications that were printed as JSON, in order."""
        return [json.loads(line) for _, line in self.lines if line.startswith("{")]


def documented_properties():
    """The properties of our interfaces as the manual has them, by interface: what everybody may see, and what a session's user and root may; each with its type."""
    manual = (Path(__file__).resolve().parents[3] / "Docs/man/org.termspan1.5.md").read_text()

    def documented(interface, begin, end):
        section = re.search(rf"(?ms)^# {re.escape(interface)} at (.*?)(?=^# )", manual)[1]
        return dict(re.findall(r"\*(\w+)\*+ (\([a-z]+\)|[a-z()]+)", re.search(rf"(?s){begin}(.*?){end}", section)[1]))
    everybodys = {"org.termspan1.Manager": documented("org.termspan1.Manager", "Property ", r"\."),
                  "org.termspan1.Session": documented("org.termspan1.Session", "everybody may see: ", ";"),
                  "org.termspan1.User": documented("org.termspan1.User", "Properties ", r"\.\s")}
    return everybodys, {"org.termspan1.Session": documented("org.termspan1.Session", "never emitted: ", r"\. Holders")}


def moment(text):
    """A time of a listing in seconds since 1970, or None."""
    return datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp() if text else None


def application(span):
    """What a span is of: the name of the executable's file, else the class of the window."""
    return (span["executable"] or "").rsplit("/", 1)[-1] or span["class"]


def percentile(values, share):
    """The value that this share of the values doesn't exceed."""
    ordered = sorted(values)
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


def figure(what, values, unit="ms"):
    """Prints p50, p99 and the greatest of measured values where the log of the tests has them."""
    text = f"p50 {percentile(values, 0.5):.1f}, p99 {percentile(values, 0.99):.1f}, max {max(values):.1f} {unit} (n={len(values)})" if values else "none"
    print(f"figure: {what}: {text}", file=sys.stderr, flush=True)


class ProductTestCase(LabTestCase):
    """A case on the shared lab with the product in it, an empty store, and `tracked` users tracked."""

    tracked = []
    settings = {}

    @classmethod
    def setUpClass(cls):
        package = os.environ.get("TERMSPAN_DEB")
        if not package:
            raise unittest.SkipTest("TERMSPAN_DEB names no package")
        super().setUpClass()
        # Sessions that another case left would keep their numbers.
        for record in cls.lab.logins():
            if record.get("user"):
                cls.lab.end(record["user"])
        cls.opened = set()
        cls.product = Product(cls.lab)
        cls.product.install(package)
        cls.product.reset(cls.settings)
        cls.product.wait_ready()
        cls.product.track(*cls.tracked)

    def silent_directory(self):
        """Has the user database ask a directory for groups, for the rest of the case; it says nothing while the file is there that is returned."""
        module = self.lab.root / "usr/lib/x86_64-linux-gnu/libnss_silent.so.2"
        shutil.copy(compiled("silent_nss.c", "-shared", "-fPIC"), module)
        self.addCleanup(module.unlink)
        switch, silence = self.lab.root / "etc/nsswitch.conf", self.lab.root / "run/lab-silence"
        usual = switch.read_text()
        self.addCleanup(switch.write_text, usual)
        self.addCleanup(silence.unlink, missing_ok=True)
        switch.write_text(re.sub("(?m)^group:.*$", "group: files silent", usual))
        return silence

    def focus(self, window_class):
        """Opens a window of this class for user1, if there is none, and makes it active and typed in."""
        if window_class not in self.opened:
            self.lab.run("user1", ["xterm", "-class", window_class])
            self.opened.add(window_class)
        self.lab.focus("user1", window_class)
        self.lab.key("user1", "x")
