"""A soak: honest sessions at work among attackers and faults, all drawn from one seed; see Tests/Lab/soak.

Honest users run Tests/Lab/programs/honest.py in headless sessions, attackers run Tests/Lab/programs/hostile.py in theirs. What is
done when goes to events.jsonl; at the end the store is copied, and soak_report.py compares each honest session with its script.
"""

import contextlib
import itertools
import json
import os
import random
import shutil
import signal
import subprocess
import threading
import time
from collections import namedtuple
from dataclasses import dataclass, field
from decimal import Decimal
from pathlib import Path

from . import headless, hostile
from .host import LabError, wait_until
from .product import Product, moment
from .sick_disk import SickDisk
from .soak_check import SECOND, Fault, Finding
from .soak_faults import FAULTS, now

# Seconds that logind may take while attackers hold up the bus.
PATIENCE = 120
# Attacks by which the bus answers nobody, so that no logon succeeds on any server: none is tried meanwhile.
SHUTS_BUS = {"bus-signals"}
ENDED = "ended by timeout(1)"
STATE = "/var/lib/termspan"
GAP_SECONDS = 2
SETTINGS = {"burst-gap": f"{GAP_SECONDS}s", "idle-threshold": "4s", "passive-limit": "4s"}
HONEST_DISPLAY, HOSTILE_DISPLAY, DISPLAYS = 1001, 2001, 900
# Honest users beyond those that are there at a time, so that who logs off need not be who logs on.
SPARE = 4


@dataclass
class Plan:
    """What a soak is made of."""

    seconds: float = 3600
    honest: int = 50
    attackers: int = 6
    seed: int = 1
    # Mean seconds from the end of one fault to the next, and between two logoffs of honest sessions.
    fault_pause: float = 15
    logoff_pause: float = 30
    attack_seconds: tuple = (5, 30)
    faults: list = field(default_factory=lambda: list(FAULTS))
    # None: all that hostile.py has.
    attacks: list = None


# As a fault, and whether it took place.
Attack = namedtuple("Attack", "kind begin end user done")


@dataclass
class Session:
    """One session of an honest user, from its logon on."""

    number: int
    user: str
    display: int
    begin: int
    logoff: int = None
    # When logind had let go of it.
    gone: int = None

    @property
    def name(self):
        return f"{self.user}/{self.number}"


class Soak:
    """One run: `prepare`, `work`, `finish`, then `compare`."""

    def __init__(self, lab, package, plan, folder, say):
        self.lab, self.package, self.plan, self.folder, self.say = lab, package, plan, Path(folder), say
        self.product = Product(lab)
        self.sessions = []
        self.faults, self.attacks, self.problems, self.samples = [], [], [], []
        self.stopping = threading.Event()
        self._follower = None
        # Held by whoever logs an honest user on or off, and by what none of that may happen beside.
        self.logons = threading.RLock()
        self._writing = threading.Lock()
        self._events = open(self.folder / "events.jsonl", "w", buffering=1)

    # What happens, written down

    def note(self, what, **fields):
        with self._writing:
            self._events.write(json.dumps({"what": what, "at": now(), **fields}) + "\n")

    def problem(self, what, error):
        """Something that did not pass as it should: it fails the run."""
        self.problems.append(Finding(what, now(), str(error)))
        self.note("problem", of=what, text=str(error))
        self.say(f"{what}: {str(error).splitlines()[0]}")

    def chance(self, part):
        """A source of chance of its own for each part, so that none depends on how threads meet."""
        return random.Random(f"{self.plan.seed}/{part}")

    # Before

    def prepare(self):
        self.honest_users = [f"user{number}" for number in range(1, self.plan.honest + SPARE + 1)]
        self.hostile_users = [f"user{len(self.honest_users) + number}" for number in range(1, self.plan.attackers + 1)]
        everybody = self.honest_users + self.hostile_users
        self.lab.users(len(everybody), only_missing=True)
        # Ends what is there, and brings the program that sessions run.
        for record in self.lab.logins():
            if record.get("user"):
                self.lab.end(record["user"])
        headless.adjust(self.lab, 0)
        hostile.prepare(self.lab)
        self.product.install(self.package)
        self._mount_disk()
        self.product.reset(SETTINGS)
        self.product.wait_ready()
        self._follow_journal()
        self.product.track(*everybody, reason="a soak")
        self.executable = f"{hostile.INSIDE}/honest.py"
        listed = json.loads(self.lab.enter(["python3", f"{hostile.INSIDE}/hostile.py", "--list"]).stdout)
        self.known_attacks = [each for each in listed if self.plan.attacks is None or each["name"] in self.plan.attacks]
        if unknown := set(self.plan.attacks or ()) - {each["name"] for each in listed}:
            raise LabError(f"no such attacks: {', '.join(sorted(unknown))}")
        threading.Thread(target=self._sample, daemon=True).start()
        for user in self.honest_users[:self.plan.honest]:
            self.log_on(user)
        self.product.wait_measured(*(session.user for session in self.present()), timeout=60 + 2 * self.plan.honest)
        # What the honest alone cost the machine, for the record.
        begin = now()
        time.sleep(min(20, self.plan.seconds / 10))
        self.calm = begin, now()

    def _mount_disk(self):
        """Puts the disk that can be ill under the store, if a fault wants it; a run that was broken off may have left one."""
        self.lab.enter(["systemctl", "stop", "termspand.service", "termspan-reportd.service"])
        self.lab.enter(["umount", "--quiet", STATE], check=False)
        self.disk = SickDisk(self.lab, STATE)
        if any(name.startswith("disk-") for name in self.plan.faults):
            self.disk.mount()

    def _follow_journal(self):
        """Records are read as they come: who writes into the journal without end makes it forget what is old, and root can't prevent it."""
        # It ends with its standard input, since a signal to what is outside would not reach it.
        script = 'termspan log --follow --format json </dev/null & read -r line; kill $!'
        with open(self.folder / "log.json", "w") as file:
            self._follower = subprocess.Popen(self.lab.container.command(["sh", "-c", script]), stdin=subprocess.PIPE, stdout=file)

    def _records(self):
        self.lab.enter(["journalctl", "--sync"])
        time.sleep(2)
        self._follower.stdin.close()
        self._follower.wait(30)
        records = map(json.loads, (self.folder / "log.json").read_text().splitlines())
        return [record for record in records if moment(record["time"]) >= self.product.begin]

    # Honest sessions

    def present(self):
        return [session for session in self.sessions if not session.logoff]

    def age(self, session):
        return (now() - session.begin) / SECOND

    def log_on(self, user):
        number = len(self.sessions)
        session = Session(number, user, HONEST_DISPLAY + number % DISPLAYS, now())
        environment = {"SOAK_SEED": f"{self.plan.seed}/{number}", "SOAK_GAP": GAP_SECONDS, "SOAK_LOG": f"/home/{user}/soak-{number}.jsonl"}
        self.sessions.append(session)
        self.start_session(user, [headless.PROGRAM, f":{session.display}", f"{hostile.INSIDE}/honest.py"], environment)
        # Half a logon is lost for good if the bus or logind goes then, whoever measures it.
        wait_until(f"a session of {user}", lambda: any(record.get("scope") and record["state"] == "active" for record in self.lab.logins(user)), PATIENCE)
        self.note("logon", session=session.name, display=session.display)

    def log_off(self, session):
        """Ends all processes of the session, as the end of its scope does, without the bus: an attacker may hold that up."""
        identity = wait_until(f"the session of {session.user}", lambda: self.logind_id(session.user), PATIENCE)
        scope = self.lab.container.cgroup / self.lab.scope(session.user, {"id": identity})
        session.logoff = now()
        for pid in (scope / "cgroup.procs").read_text().split():
            with contextlib.suppress(ProcessLookupError):
                os.kill(int(pid), signal.SIGTERM)
        wait_until(f"the end of the session of {session.user}", lambda: not self.lab.logins(session.user), PATIENCE)
        session.gone = now()
        self.note("logoff", session=session.name, begin=session.logoff)

    def logind_id(self, user):
        return next((record["id"] for record in self.lab.logins(user) if headless.is_headless(record) and record["state"] != "closing"), None)

    def start_session(self, user, command, environment=None, output=None):
        """A logind session of a user's that runs a command, as xrdp's service manager would begin it."""
        settings = {"XDG_SESSION_TYPE": "x11", "XDG_SESSION_CLASS": "user", **(environment or {})}
        self.lab.enter(["systemd-run", "--quiet", "--collect", "--property=PAMName=xrdp-sesman", f"--property=User={user}",
                        *([f"--property=StandardOutput=append:{output}"] if output else []), *(f"--setenv={name}={value}" for name, value in settings.items()), *command])

    def probe(self, session):
        """The unit and the pid, as seen from outside, of the probe of an honest session; None where there is none."""
        for group in (self.lab.container.cgroup / "termspan.slice").glob(f"termspan-probe-{session.display}-*.service"):
            try:
                if pids := (group / "cgroup.procs").read_text().split():
                    return group.name, int(pids[0])
            except OSError:
                continue
        return None

    # What goes on at a time

    def work(self):
        """Lets everything happen until the time is over."""
        begin = time.monotonic()
        threads = [threading.Thread(target=self._faults), threading.Thread(target=self._logons)]
        threads += [threading.Thread(target=self._attack, args=(user, number)) for number, user in enumerate(self.hostile_users)]
        for thread in threads:
            thread.start()
        while (left := begin + self.plan.seconds - time.monotonic()) > 0:
            time.sleep(min(30, left))
            last = self.samples[-1] if self.samples else {}
            self.say(f"{time.monotonic() - begin:.0f} s: {len(self.present())} honest sessions, {len(self.faults)} faults, {len(self.attacks)} attacks, "
                     f"collector {last.get('memory', 0) / 2**20:.1f} MB, {len(self.problems)} problems")
        self.stopping.set()
        for thread in threads:
            thread.join()

    def _pause(self, seconds):
        return not self.stopping.wait(seconds)

    def _faults(self):
        chance = self.chance("faults")
        # Each kind in turn, each turn in another order: a short run has its share of them all.
        turn = []
        while self._pause(chance.expovariate(1 / self.plan.fault_pause)) and self.plan.faults:
            turn = turn or chance.sample(self.plan.faults, len(self.plan.faults))
            name = turn.pop()
            kind = FAULTS[name]
            if kind.alone:
                self.logons.acquire()
            begin, user = now(), None
            try:
                user, begin = kind.run(self, chance) or (None, begin)
            except (LabError, OSError) as error:
                self.problem(f"fault {name}", error)
            finally:
                if kind.alone:
                    self.logons.release()
            self.faults.append(Fault(name, begin, now(), user))
            self.note("fault", kind=name, begin=begin, user=user)

    def _logons(self):
        """Some honest users log off, others log on."""
        chance = self.chance("logons")
        while self._pause(chance.expovariate(1 / self.plan.logoff_pause)):
            with self.logons:
                try:
                    self.log_off(chance.choice(sorted(self.present(), key=lambda session: session.name)))
                    here = {session.user for session in self.present()}
                    self.log_on(chance.choice([user for user in self.honest_users if user not in here]))
                except LabError as error:
                    self.problem("logons", error)

    def _attack(self, user, number):
        """One attacker: one attack after the other, in a session of its own."""
        chance = self.chance(f"attacker {number}")
        displays = itertools.count(HOSTILE_DISPLAY + number * (DISPLAYS // self.plan.attackers))
        while self.known_attacks and self._pause(chance.expovariate(1 / 5)):
            attack, seconds = chance.choice(self.known_attacks), chance.uniform(*self.plan.attack_seconds)
            with self.logons if attack["name"] in SHUTS_BUS else contextlib.nullcontext():
                self._note_attack(user, attack, min(seconds, max(5, self.plan.seconds / 4)), displays)

    def _note_attack(self, user, attack, seconds, displays):
        begin = now()
        try:
            said = self._run_attack(user, attack, seconds, displays)
            # What had to be ended took place as well.
            done = '{"attack"' in said or said == ENDED
        except LabError as error:
            # What an attacker does to itself is its own affair, but it is no attack then.
            said, done = str(error), False
        self.attacks.append(Attack(attack["name"], begin, now(), user, done))
        self.note("attack", kind=attack["name"], begin=begin, user=user, done=done, said=said[-1000:])

    def _run_attack(self, user, attack, seconds, displays):
        """Runs one attack to its end and returns what it says of itself, with a line of JSON if it took place, or ENDED."""
        def command(display):
            return ["/usr/bin/python3", f"{hostile.INSIDE}/hostile.py", attack["name"], "--seconds", f"{seconds:.1f}", "--display", f":{display}"]

        if attack["where"] == "server":
            # In the place of the X server, as the session's own program.
            self._end_hostile(user)
            output = f"/run/soak-{user}"
            (self.lab.root / output.lstrip("/")).write_text("")
            self.start_session(user, command(next(displays)), output=output)
            self._pause(seconds + 3)
            self._end_hostile(user)
            return (self.lab.root / output.lstrip("/")).read_text().strip()
        if not self.logind_id(user):
            # What an attack left of its session goes first.
            self._end_hostile(user)
            self.start_session(user, [headless.PROGRAM, f":{next(displays)}"])
            wait_until("an attacker's session", lambda: self.logind_id(user), 30)
        wait_until("an attacker's display", lambda: self._has_display(user), 30)
        # One that does not end by itself is ended inside: a signal to what is outside would not reach it.
        ended = ["timeout", "--kill-after=5", f"{seconds + 15:.0f}"]
        done = self.lab.run(user, [*ended, *command(next(displays))], wait=True, timeout=seconds + 60)
        return ENDED if done.returncode in (124, 137) else (done.stdout + done.stderr).strip() or f"exit code {done.returncode}"

    def _has_display(self, user):
        try:
            return self.lab.session_environment(user)
        except LabError:
            return None

    def _end_hostile(self, user):
        try:
            self.lab.end(user)
        except LabError:
            self.lab.enter(["pkill", "--signal", "KILL", "--uid", user], check=False)
            self.lab.end(user)

    # How the product fares

    def outside_collector(self):
        """The collector's pid as seen from outside, or None."""
        try:
            return int((self.lab.container.cgroup / "termspan.slice/termspand.service/cgroup.procs").read_text().split()[0])
        except (OSError, IndexError):
            return None

    def _sample(self, seconds=2):
        """Notes the collector's memory, descriptors and processor time, and the machine's idle time, until nobody wants to know."""
        before = processor_times()
        with open(self.folder / "samples.jsonl", "w", buffering=1) as file:
            while not self.stopping.wait(seconds):
                sample = {"at": now()}
                after = processor_times()
                total = sum(after) - sum(before)
                sample["idle"] = (after[3] + after[4] - before[3] - before[4]) / total if total else None
                before = after
                if pid := self.outside_collector():
                    try:
                        stat = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
                        sample |= {"pid": pid, "memory": int(stat[21]) * os.sysconf("SC_PAGE_SIZE"),
                                   "processor": (int(stat[11]) + int(stat[12])) / os.sysconf("SC_CLK_TCK"),
                                   "descriptors": len(os.listdir(f"/proc/{pid}/fd"))}
                    except OSError:
                        pass
                self.samples.append(sample)
                file.write(json.dumps(sample) + "\n")

    # After

    def save_journal(self):
        """For whoever wants to know why, however the run ended."""
        try:
            self.product.save_journal(self.folder / "journal.txt", "dbus*", "systemd-logind*")
        except LabError as error:
            self.say(f"no journal: {error}")

    def clean(self):
        """Ends whatever sessions are left, so that nothing stays of a run that failed."""
        self.stopping.set()
        for record in self.lab.logins():
            if record.get("user"):
                self._end_hostile(record["user"])
        self.lab.enter(["systemctl", "stop", "termspand.service", "termspan-reportd.service"])
        self.lab.enter(["umount", "--quiet", STATE], check=False)
        self.lab.enter(["systemctl", "start", "termspand.service"])
        if self._follower:
            self._follower.kill()
            self._follower.wait(30)
        self._events.close()

    def finish(self):
        """Ends all sessions and copies what is to be compared."""
        for user in self.hostile_users:
            self._end_hostile(user)
        for session in self.present():
            try:
                self.log_off(session)
            except LabError as error:
                self.problem("logoff", error)
        wait_until("all sessions to be closed in the store", lambda: self.product.open_rows() == (0, 0), 60,
                   progress=lambda: f"{self.product.open_rows()} sessions and checkpoints left\n{self.product.report()}")
        self.records = self._records()
        self.product.copy_store(self.folder / "termspan.db")
        scripts = self.folder / "scripts"
        scripts.mkdir(exist_ok=True)
        for session in self.sessions:
            shutil.copy(self.lab.root / f"home/{session.user}/soak-{session.number}.jsonl", scripts / f"{session.number}.jsonl")
        self.spans = self._exact("spans", "--all")
        self.summaries = self._exact("summary", "--all")

    def _exact(self, *arguments):
        return json.loads(self.product.command(*arguments, "--format", "json", timeout=300).stdout, parse_float=Decimal, parse_int=Decimal)


def processor_times():
    """The machine's: user, nice, system, idle, waiting and so on, in ticks."""
    return [int(each) for each in Path("/proc/stat").read_text().splitlines()[0].split()[1:9]]
