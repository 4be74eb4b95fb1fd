"""Attackers and honest users in one lab: programs/hostile.py as users run it, and what honest users notice of it.

    prepare(lab)
    with Attack(lab, "user4", "flap") as attack:
        ...
    print(attack.counts)

An attack runs where `hostile.py --list` says: in the user's session, in the place of the X server of a session that is
made for it, or anywhere. While it runs it can be frozen, with everything of its user's, and let go on.
"""

import contextlib
import functools
import json
import re
import shutil
import statistics
import subprocess
import sys
import time
import uuid
from pathlib import Path

from .headless import FIRST_DISPLAY
from .host import LabError, wait_until
from .product import ProductTestCase, percentile

FOLDER = Path(__file__).resolve().parent.parent
PROGRAMS = FOLDER / "programs"
INSIDE = "/usr/local/lib/termspan-lab"
# A phase of so many changes in each honest session, and so many pairs of a calm and an attacked phase at first and at most: on a machine
# that is busy with other things the p99 of a phase says little, the median of several does.
ROUNDS, PAIRS, MOST_PAIRS = 17, 3, 12
# What a calm server keeps (Docs/performance.md): as long as this holds nobody notices an attack, whatever the ratio.
UNNOTICED = 5.0
WAITS_FOR_BUS = 4
# Two commits, of 10 ms in the tests that compare what is stored.
COMMITS = 20.0
# The collector's bounds in these tests, far below its unit's.
MEGABYTES, DESCRIPTORS = 96, 1200


def prepare(lab):
    """Puts the programs into the lab."""
    folder = lab.root / INSIDE.lstrip("/")
    folder.mkdir(exist_ok=True)
    for path in (*PROGRAMS.glob("*.py"), FOLDER / "lablib" / "witness.py", FOLDER.parent / "Benchmarks" / "lab-figures"):
        shutil.copy(path, folder / path.name)
    # What a user's own file systems need, which every server has and the container does not.
    lab.enter(["sh", "-c", "[ -e /dev/fuse ] || mknod -m 666 /dev/fuse c 10 229"])


@functools.cache
def attacks():
    """Where each attack runs, by its name."""
    done = subprocess.run([sys.executable, PROGRAMS / "hostile.py", "--list"], capture_output=True, text=True, check=True)
    return {attack["name"]: attack["where"] for attack in json.loads(done.stdout)}


def display_of(user):
    """The number of a headless session's display; that of a false server is the same."""
    return FIRST_DISPLAY + int(user.removeprefix("user")) - 1


class Attack:
    """One attack by one user, from entering the context to leaving it. Attacks that are in the place of an X server get a session of their own."""

    def __init__(self, lab, user, name, *, seconds=300, target=None, display=None):
        self.lab, self.user, self.name = lab, user, name
        self.where = attacks()[name]
        self.unit = f"lab-hostile-{user}-{name}-{uuid.uuid4().hex[:6]}"
        self.display = display or f":{display_of(user)}"
        self.command = ["python3", f"{INSIDE}/hostile.py", name, "--seconds", str(seconds), *(["--target", str(target)] if target else [])]
        if self.where == "server" or display:
            self.command += ["--display", self.display]
        self.uid = lab.container.account(user)["uid"]
        # What it printed, once it has ended.
        self.output = ""

    def __enter__(self):
        home = self.lab.container.account(self.user)["home"]
        options = ["--quiet", "--collect", f"--unit={self.unit}", f"--property=User={self.user}", f"--property=StandardOutput=file:/run/{self.unit}",
                   "--property=StandardError=journal", "--property=LimitNOFILE=8192", f"--setenv=HOME={home}", f"--working-directory={home}"]
        if self.where == "server":
            options += ["--property=PAMName=xrdp-sesman", "--setenv=XDG_SESSION_TYPE=x11", "--setenv=XDG_SESSION_CLASS=user",
                        f"--setenv=DISPLAY={self.display}"]
        elif self.where == "session":
            # In the scope of the session that is there, as a program of its desktop.
            self._start_in_session()
            return self
        self.lab.enter(["systemd-run", *options, *self.command])
        return self

    def _start_in_session(self):
        self.pid = self.lab.run(self.user, ["sh", "-c", f'"$@" >/tmp/{self.unit} 2>&1', "sh", *self.command])

    def freeze(self, frozen):
        """Stops everything of the user's, or lets it go on."""
        for group in self._groups():
            (group / "cgroup.freeze").write_text("1" if frozen else "0")

    def _groups(self):
        root = self.lab.container.cgroup
        groups = [root / "user.slice" / f"user-{self.uid}.slice", root / "system.slice" / f"{self.unit}.service"]
        return [group for group in groups if group.exists()]

    def __exit__(self, *error):
        self.freeze(False)
        if self.where == "session":
            # By its own name: nobody else has it.
            processes = ["--euid", self.user, "--full", f"hostile.py {self.name} "]
            self.lab.enter(["pkill", "--signal", "TERM", *processes], check=False)
            # It tidies up first.
            wait_until(f"the end of {self.name}", lambda: self.lab.enter(["pgrep", *processes], check=False).returncode, 60)
            path = f"/tmp/{self.unit}"
        else:
            self.lab.enter(["systemctl", "stop", f"{self.unit}.service"], check=False, timeout=120)
            path = f"/run/{self.unit}"
        self.output = self.lab.enter(["cat", path], check=False).stdout
        if self.where == "server":
            wait_until(f"the sessions of {self.user} to be gone", self._is_gone, 60)

    @property
    def counts(self):
        """What the attack says at its end that it did, and how often; nothing if it did not get that far."""
        return {name: count for name, count in self._said.items() if name not in ("attack", "seconds")}

    @property
    def _said(self):
        try:
            return json.loads(self.output.strip().splitlines()[-1])
        except (IndexError, ValueError):
            return {}

    @property
    def seconds(self):
        """How long it took by its own word, also while it was frozen."""
        return self._said["seconds"]

    @property
    def took_place(self):
        return any(self.counts.values())

    def _is_gone(self):
        for record in self.lab.logins(self.user):
            self.lab.enter(["loginctl", "terminate-session", record["id"]], check=False)
        return not self.lab.logins(self.user)


class Honest:
    """Honest users at work in headless sessions, whose changes of focus are timed."""

    def __init__(self, lab, users):
        arguments = []
        for user in users:
            for name in ("FigureOne", "FigureTwo"):
                lab.run(user, ["xterm", "-class", name])
                lab.focus(user, name)
            arguments.append(f"{user}:{display_of(user)}:{lab.container.account(user)['home']}/.Xauthority")
        self._lab = lab
        self._process = subprocess.Popen(lab.container.command(["python3", f"{INSIDE}/timed_work.py", *arguments]), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self._read()

    def _read(self):
        line = self._process.stdout.readline()
        if not line:
            raise LabError(f"the honest users' program ended: {self._process.communicate()[1]}")
        return json.loads(line)

    def work(self, rounds, until="visible"):
        """So many changes in each session: how long each took to be visible or stored, in milliseconds."""
        self._process.stdin.write(f"{until} {rounds}\n")
        self._process.stdin.flush()
        return self._read()

    def close(self):
        with self._process:
            self._process.stdin.close()
            self._process.wait(30)


class Comparison:
    """Latencies of honest users in calm phases and in those of an attack, by turns.

    The machine may be busy with other things, so what is compared are the medians of the phases' p99.
    """

    def __init__(self, until="visible"):
        self.until = until
        self.phases = {"calm": [], "attack": []}
        self.bus = {"calm": [], "attack": []}
        self.missed = []

    def add(self, kind, said):
        self.phases[kind].append(said["late"])
        self.bus[kind].append(said["bus"])
        self.missed += [f"{missed} in phase {len(self.phases[kind])} of {kind}" for missed in said["missed"]]

    def p99(self, kind):
        return statistics.median(percentile(values, 0.99) for values in self.phases[kind])

    def p50(self, kind):
        return statistics.median(percentile(values, 0.5) for values in self.phases[kind])

    def bus_p99(self, kind):
        return statistics.median(percentile(values, 0.99) for values in self.bus[kind])

    @property
    def floor(self):
        return UNNOTICED if self.until == "visible" else self.p99("calm") + COMMITS

    @property
    def wants_more(self):
        count = len(self.phases["attack"])
        return count < PAIRS or (count < MOST_PAIRS and not self.is_unnoticed)

    @property
    def is_unnoticed(self):
        """Whether the p99 is at most doubled, but for what is no property of the collector: how much longer the bus itself takes.

        A change is as a rule seen by the second question, and each waits for the bus twice: when it is asked and when it is answered.
        The ping that the bus answers itself waits once.
        """
        own = max(0, self.bus_p99("attack") - self.bus_p99("calm"))
        return self.p99("attack") <= max(2 * self.p99("calm"), self.floor) + WAITS_FOR_BUS * own

    def __str__(self):
        count = sum(map(len, self.phases["attack"]))
        return (f"p99 {self.p99('attack'):.1f} ms, in calm {self.p99('calm'):.1f} (p50 {self.p50('attack'):.1f}, {self.p50('calm'):.1f}; "
                f"the bus alone p99 {self.bus_p99('attack'):.1f}, {self.bus_p99('calm'):.1f}; n={count} in {len(self.phases['attack'])} phases)")


class HostileTestCase(ProductTestCase):
    """user1 to user6 work; the others are attackers, those up to `desktops` with a headless session of their own."""

    users = 15
    honest_users = tuple(f"user{number}" for number in range(1, 7))
    desktops = 6
    # What a probe may take at most; its unit's bound is 32.
    probe_megabytes = 8

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        prepare(cls.lab)
        cls.addClassCleanup(cls.lab.sessions, 0)
        cls.lab.sessions(len(cls.honest_users), openbox=True)
        cls.lab.sessions(max(cls.desktops, len(cls.honest_users)))
        cls.product.track(*cls.user_names)
        cls.product.wait_measured(*cls.user_names[:cls.desktops], timeout=40)
        cls.honest = Honest(cls.lab, cls.honest_users)
        cls.addClassCleanup(cls.honest.close)

    def setUp(self):
        self.begin = time.time()
        self.collector = self.product.collector()
        # No attack may end the collector.
        self.addCleanup(lambda: self.assertEqual(self.product.collector(), self.collector))

    # Attacks

    @contextlib.contextmanager
    def attacks(self, *attacks):
        """Runs attacks, each (user, name) or with options of Attack after these, until the context is left; each must have taken place."""
        with contextlib.ExitStack() as stack:
            running = []
            for user, name, *options in attacks:
                running.append(stack.enter_context(Attack(self.lab, user, name, **(options[0] if options else {}))))
            yield running
        for attack in running:
            print(f"figure: {attack.name}: {attack.output.strip()[-300:]}", file=sys.stderr, flush=True)
            self.assertTrue(attack.took_place, f"{attack.name} of {attack.user} did nothing: {attack.output[-1000:]}")

    def compare(self, what, running, until="visible"):
        """Honest users' latency with and without the attacks, by turns; they go on afterwards."""
        comparison = Comparison(until)
        while comparison.wants_more:
            for attack in running:
                attack.freeze(True)
            comparison.add("calm", self.honest.work(ROUNDS, until))
            for attack in running:
                attack.freeze(False)
            comparison.add("attack", self.honest.work(ROUNDS, until))
        self.assert_unnoticed(what, comparison)

    def calm(self):
        """The calm phases of a comparison with what can't be frozen, before it is there."""
        comparison = Comparison()
        for _ in range(PAIRS):
            comparison.add("calm", self.honest.work(ROUNDS))
        return comparison

    def compare_with_before(self, what, comparison):
        """Honest users' latency now, beside that of the calm before."""
        while comparison.wants_more:
            comparison.add("attack", self.honest.work(ROUNDS))
        self.assert_unnoticed(what, comparison)

    def assert_unnoticed(self, what, comparison):
        print(f"figure: a change of focus to {comparison.until}, {what}: {comparison}", file=sys.stderr, flush=True)
        self.assertEqual(comparison.missed, [], what)
        self.assertTrue(comparison.is_unnoticed, f"{what}: {comparison}")
        self.assert_bounded(what)

    # What there is to see

    def assert_bounded(self, what):
        """Memory and descriptors of the collector, the most memory that it has had so far, and that of its probes."""
        pid = self.product.collector()
        status = self.lab.enter(["cat", f"/proc/{pid}/status"]).stdout
        most = int(re.search(r"VmHWM:\s+(\d+) kB", status)[1]) / 1024
        descriptors = len(self.lab.enter(["ls", f"/proc/{pid}/fd"]).stdout.split())
        script = "for pid in $(cat /sys/fs/cgroup/termspan.slice/termspan-probe-*/cgroup.procs); do grep -h ^Pss: /proc/$pid/smaps_rollup; done"
        sizes = [int(size) / 1024 for size in re.findall(r"Pss:\s+(\d+) kB", self.lab.enter(["sh", "-c", script], check=False).stdout)]
        print(f"figure: {what}: collector at most {most:.1f} MB resident, {descriptors} descriptors; {len(sizes)} probes, PSS at most "
              f"{max(sizes, default=0):.2f} MB", file=sys.stderr, flush=True)
        self.assertLess(most, MEGABYTES, what)
        self.assertLess(descriptors, DESCRIPTORS, what)
        self.assertLess(max(sizes, default=0), self.probe_megabytes, what)

    def assert_others_measured(self):
        """The honest users' own record: measured, nothing lost."""
        rows = {row["user"]: row for row in self.product.query_sessions()}
        self.assertEqual({user: rows[user]["coverage"] for user in self.honest_users}, dict.fromkeys(self.honest_users, "measured"))
        lost = [record for record in self.product.log(event="events-lost") if record.get("user") in self.honest_users]
        self.assertEqual(lost, [])

    def rows(self, user):
        return [row for row in self.product.query_sessions() if row["user"] == user]

    def wait_coverage(self, user, *wanted, timeout=60):
        """Waits till all sessions of a user, of which there must be one, have one of these coverages, and returns them."""
        def found():
            rows = self.rows(user)
            return rows and all(row["coverage"] in wanted for row in rows) and rows
        return wait_until(f"{user} to be {' or '.join(wanted)}", found, timeout, progress=lambda: f"{self.rows(user)}\n{self.product.report()}")

    def doctor(self):
        done = self.product.command("doctor", "--format", "json", check=False)
        return json.loads(done.stdout)

    def doctor_names(self, user):
        """Whether a line of doctor that is not well names the user."""
        return any(line["result"] != "ok" and re.search(rf"\b{user}\b", line["detail"]) for line in self.doctor())

    def assert_doctor_names(self, user):
        self.assertTrue(self.doctor_names(user), self.doctor())

    def assert_limit(self, name, user, timeout=40):
        """The limit is hit by that user before long: in the status, in the journal, and doctor says so."""
        def limits():
            return {limit["name"]: limit for limit in self.product.status()["limits"]}
        def told():
            return [record for record in self.product.log(event="limit-reached") if record.get("user") == user and name in json.dumps(record)]
        # The status names who was there last, which may have been another.
        wait_until(f"{user} to be at the limit of {name}", lambda: limits()[name]["hits"] > 0 and told(), timeout, progress=lambda: str(limits()))
        records = told()
        # One a minute at most, however often it was hit.
        minutes = (time.time() - self.begin) / 60
        self.assertLessEqual(len([record for record in records if name in json.dumps(record)]), minutes + 2)
        self.assertTrue(any(name in (line["check"] + line["detail"]).lower().replace(" ", "-") for line in self.doctor()), self.doctor())

    def journal(self):
        """What the product has said since the test began. By its slice: a pattern of units is looked up among all that the journal ever had."""
        return self.lab.enter(["journalctl", "--no-pager", "--output", "cat", "--since", f"@{self.begin:.0f}", "_SYSTEMD_SLICE=termspan.slice"]).stdout

    def assert_clean(self, text):
        """Nothing that a terminal would obey: neither C0 but line ends and tabs, nor DEL, nor C1, nor what turns the direction."""
        self.assertNotRegex(text, "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069]")
