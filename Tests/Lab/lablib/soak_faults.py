"""What breaks by itself during a soak: each fault by its name, from its begin until the product has recovered.

None of them may cost a session any time but `probe-kill`, which costs its own session what soak_check.py says; those that hold
up logons may make the time before a session's first snapshot longer.
"""

import json
import os
import re
import shutil
import time
from collections import namedtuple
from pathlib import Path

from .host import LabError, wait_until
from .product import FRAGMENT
from .sick_disk import FULL, READ_ONLY, STALLED

# Attackers may hold up the bus for half a minute, and who asks it waits for 25 s.
RECOVERY_SECONDS = 120
# `record` is the kind of journal record that tells of it; `alone` says that nobody can log on or off meanwhile, product or not.
Kind = namedtuple("Kind", "run record alone")
FAULTS = {}


def fault(record=None, alone=False):
    """Registers a function under its name. It is given the soak and a source of chance; where it hits one session it returns whose and when."""
    def register(run):
        FAULTS[run.__name__.replace("_", "-")] = Kind(run, record, alone)
        return run
    return register


def now():
    return time.clock_gettime_ns(time.CLOCK_BOOTTIME)


@fault(record="collector-started")
def collector_kill(soak, chance):
    """kill -9 of the collector; in one of three cases again as soon as the next one answers."""
    for _ in range(chance.choice((1, 1, 2))):
        old = soak.product.collector()
        if old:
            soak.product.kill(old)
        soak.product.wait_ready(other_than=old, timeout=RECOVERY_SECONDS)


@fault(record="collector-started")
def collector_restart(soak, chance):
    """systemctl restart of the collector."""
    old = soak.product.collector()
    soak.lab.enter(["systemctl", "restart", "termspand.service"])
    soak.product.wait_ready(other_than=old, timeout=RECOVERY_SECONDS)


@fault()
def collector_stall(soak, chance):
    """The collector does not run for some seconds, less than its watchdog's patience."""
    stall(soak, soak.product.collector(), chance.uniform(1, 8))
    soak.product.wait_ready(timeout=RECOVERY_SECONDS)


@fault(record="probe-failed", alone=True)
def probe_kill(soak, chance):
    """kill -9 of the probe of one honest session that has been measured for a while."""
    session = chance.choice(wait_until("a session that has lasted", lambda: [session for session in soak.present() if soak.age(session) > 20], 30))
    unit, pid = soak.probe(session)
    killed = now()
    soak.lab.enter(["systemctl", "kill", "--signal=KILL", unit])
    wait_until(f"another probe for {session.name}", lambda: (found := soak.probe(session)) and found[1] != pid, RECOVERY_SECONDS, progress=soak.product.report)
    soak.product.wait_measured(session.user, timeout=RECOVERY_SECONDS)
    return session.user, killed


@fault()
def reports_kill(soak, chance):
    """kill -9 of the reports; the bus starts them anew for the next question."""
    if pid := soak.product.main_pid("termspan-reportd.service"):
        soak.product.kill(pid)
    wait_until("the reports to answer", lambda: soak.product.command("summary", "--all", check=False).returncode == 0, RECOVERY_SECONDS)


@fault(record="collector-started", alone=True)
def bus_restart(soak, chance):
    """systemctl restart of the message bus, at which the collector starts anew."""
    old = soak.product.collector()
    soak.lab.enter(["systemctl", "restart", "dbus.service"], timeout=120)
    soak.product.wait_ready(other_than=old, timeout=RECOVERY_SECONDS)
    wait_logind(soak)


@fault(record="logind-lost", alone=True)
def logind_restart(soak, chance):
    """systemctl restart of logind."""
    soak.lab.enter(["systemctl", "restart", "systemd-logind.service"], timeout=120)
    wait_logind(soak)


@fault()
def journal_stall(soak, chance):
    """journald does not run for some seconds."""
    stall(soak, soak.product.main_pid("systemd-journald.service"), chance.uniform(2, 8))


@fault(record="collector-started")
def upgrade(soak, chance):
    """The package is installed once more, as an upgrade does it."""
    old = soak.product.collector()
    package = soak.lab.root / "var/tmp/termspan-soak.deb"
    if not package.exists():
        shutil.copy(soak.package, package)
    soak.lab.enter(["dpkg", "--install", "/var/tmp/termspan-soak.deb"], environment={"DEBIAN_FRONTEND": "noninteractive"}, timeout=180)
    soak.product.wait_ready(other_than=old, timeout=RECOVERY_SECONDS)


@fault(record="configuration-error")
def wrong_configuration(soak, chance):
    """A wrong value and a reload, which is refused; the old configuration stays in force."""
    fragment = soak.lab.root / FRAGMENT
    right = fragment.read_text()
    pid = soak.product.collector()
    try:
        fragment.write_text(right + chance.choice(("idle-threshold: soon\n", "no-such-key: 1\n", "commit-interval: [\n")))
        # Both the reload of the unit, whose check refuses, and the signal, which the collector itself has to refuse.
        if soak.lab.enter(["systemctl", "reload", "termspand.service"], check=False).returncode == 0:
            raise LabError("a reload with a wrong configuration succeeds")
        soak.product.kill(pid, "HUP")
        time.sleep(1)
        if soak.product.collector() != pid:
            raise LabError("a wrong configuration ended the collector")
    finally:
        fragment.write_text(right)
    soak.lab.enter(["systemctl", "reload", "termspand.service"])
    soak.product.wait_ready(timeout=RECOVERY_SECONDS)


@fault()
def no_descriptors(soak, chance):
    """The collector may open nothing more for some seconds, in which people ask it and sessions come and go."""
    pid, outside = soak.product.collector(), soak.outside_collector()
    soft, hard = re.search(r"^Max open files +(\d+) +(\d+)", Path(f"/proc/{outside}/limits").read_text(), re.MULTILINE).groups()
    limit_files(soak, pid, max(map(int, os.listdir(f"/proc/{outside}/fd"))) + 1, hard)
    try:
        end = time.monotonic() + chance.uniform(2, 8)
        while time.monotonic() < end:
            soak.product.command("query", "session", check=False)
            time.sleep(0.5)
    finally:
        limit_files(soak, pid, soft, hard)
    soak.product.wait_ready(timeout=RECOVERY_SECONDS)


def limit_files(soak, pid, soft, hard):
    """Sets the collector's limit of descriptors. It takes its group too, where the machine gives no CAP_SYS_RESOURCE: prlimit(2)."""
    soak.lab.enter(["setpriv", "--regid=termspan-reports", "--clear-groups", "prlimit", f"--pid={pid}", f"--nofile={soft}:{hard}"])


@fault(record="store-failed")
def disk_stall(soak, chance):
    """The store's disk answers nothing, for longer than the collector waits before it says so."""
    ill(soak, STALLED, chance.uniform(12, 20))


@fault(record="store-failed")
def disk_full(soak, chance):
    """The store's disk is full."""
    ill(soak, FULL, chance.uniform(3, 10))


@fault(record="store-failed")
def disk_read_only(soak, chance):
    """The store's disk is read-only."""
    ill(soak, READ_ONLY, chance.uniform(3, 10))


def ill(soak, health, seconds):
    with soak.disk.ill(health):
        time.sleep(seconds)
    wait_until("the store to be used again", lambda: uses_store(soak), RECOVERY_SECONDS, progress=soak.product.report)


def uses_store(soak):
    # An attacker may have the bus answer nobody for a while.
    done = soak.product.command("status", "--format", "json", check=False)
    return done.returncode == 0 and json.loads(done.stdout)["store_problem"] is None


def stall(soak, pid, seconds):
    """Stops a process and lets it go on, whatever happens in between."""
    if not pid:
        raise LabError("the process that is to be stopped does not run")
    soak.product.kill(pid, "STOP")
    try:
        time.sleep(seconds)
    finally:
        soak.product.kill(pid, "CONT")


def wait_logind(soak):
    wait_until("logind to answer", lambda: soak.lab.enter(["loginctl", "list-sessions"], check=False).returncode == 0, RECOVERY_SECONDS)
    present = {session.user for session in soak.present()}
    def listed():
        done = soak.product.command("query", "session", "--format", "json", check=False)
        return done.returncode == 0 and present <= {row["user"] for row in json.loads(done.stdout)}
    wait_until("all sessions to be listed again", listed, RECOVERY_SECONDS, progress=soak.product.report)
