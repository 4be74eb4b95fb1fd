"""What the lab needs of the machine it runs on: commands, packages, processes, waiting."""

import json
import os
import re
import select
import shlex
import shutil
import signal
import subprocess
import time
from dataclasses import asdict, dataclass
from pathlib import Path

POLL_SECONDS = 0.05


class LabError(Exception):
    """Something the lab cannot do, said so that a person can act on it."""


def run(arguments, *, check=True, timeout=120, said=None, **options):
    """Runs a command of the machine to its end and returns it as completed, output as text.

    An error says `said` for the command: what it is inside of what it is wrapped in.
    """
    said = shlex.join(map(str, said or arguments))
    if "input" not in options:
        options.setdefault("stdin", subprocess.DEVNULL)
    feed = options.pop("input", None)
    if feed is not None:
        options["stdin"] = subprocess.PIPE
    try:
        process = subprocess.Popen(arguments, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE, **options)
    except FileNotFoundError as error:
        raise LabError(f"{error.filename} is not installed here") from None
    with process:
        try:
            done = subprocess.CompletedProcess(arguments, None, *process.communicate(feed, timeout))
            done.returncode = process.returncode
        except subprocess.TimeoutExpired:
            waits = _waits(process.pid)
            process.kill()
            raise LabError(f"no end within {timeout} s: {said} ({waits})") from None
        except BaseException:
            process.kill()
            raise
    if check and done.returncode != 0:
        raise LabError(describe_failure(done, said))
    return done


def _waits(pid):
    """What a process and its descendants do: name, state and where in the kernel each waits."""
    try:
        folder = Path(f"/proc/{pid}")
        state = (folder / "stat").read_text().rpartition(")")[2].split()[0]
        own = f"{(folder / 'comm').read_text().strip()} {state} {(folder / 'wchan').read_text()}"
        return ", ".join([own, *map(_waits, (folder / f"task/{pid}/children").read_text().split())])
    except OSError:
        return "ended"


def describe_failure(done, said):
    """One paragraph about a completed command that failed."""
    output = "\n".join(text.strip() for text in (done.stdout, done.stderr) if text and text.strip())
    return f"exit code {done.returncode}: {said}" + (f"\n{output}" if output else "")


def wait_until(what, condition, timeout, *, progress=None):
    """Polls `condition` until it is true and returns its value.

    `progress`, if given, is called when the time is up; what it returns is added to the error,
    so that the error shows how far things had come.
    """
    deadline = time.monotonic() + timeout
    while True:
        if value := condition():
            return value
        if time.monotonic() >= deadline:
            seen = progress() if progress else ""
            raise LabError(f"waited {timeout:g} s in vain for {what}" + (f"\n{seen}" if seen else ""))
        time.sleep(POLL_SECONDS)


def tail(path, lines=15):
    """The last lines of a log, indented under its name; nothing where there is no log."""
    try:
        kept = Path(path).read_text(errors="replace").splitlines()[-lines:]
    except OSError:
        return ""
    return "\n".join([f"{path}:"] + [f"    {line}" for line in kept])


def write_json(path, value):
    """Writes a file of state so that a reader sees the old one or the new one."""
    path = Path(path)
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(json.dumps(value, indent=2) + "\n")
    draft.rename(path)


def read_json(path):
    """A file of state, or None where there is none."""
    try:
        return json.loads(Path(path).read_text())
    except FileNotFoundError:
        return None


@dataclass(frozen=True)
class Process:
    """A process of the machine, known by pid and start time, so that a pid given away again is never taken for it."""

    pid: int
    start: int

    @classmethod
    def of(cls, pid):
        """The process that has this pid now, or None."""
        fields = _stat(pid)
        return cls(int(pid), fields[1]) if fields else None

    @classmethod
    def restore(cls, saved):
        """The process that `save` wrote down; None stays None."""
        return cls(**saved) if saved else None

    def save(self):
        return asdict(self)

    @property
    def alive(self):
        fields = _stat(self.pid)
        return bool(fields) and fields[1] == self.start and fields[0] not in "ZX"

    def children(self):
        """Its children, by the parent that each process names."""
        found = []
        for entry in os.listdir("/proc"):
            if entry.isdigit() and (fields := _stat(entry)) and fields[2] == self.pid:
                found.append(Process(int(entry), fields[1]))
        return found

    def wait(self, timeout):
        """Whether it ended within `timeout` seconds."""
        try:
            descriptor = os.pidfd_open(self.pid)
        except ProcessLookupError:
            return True
        try:
            if not self.alive:
                return True
            readable, _, _ = select.select([descriptor], [], [], timeout)
            return bool(readable)
        finally:
            os.close(descriptor)

    def end(self, number=signal.SIGTERM, timeout=5):
        """Signals it and waits; kills it when it outlasts `timeout`."""
        for attempt in (number, signal.SIGKILL):
            if not self.alive:
                return
            try:
                os.kill(self.pid, attempt)
            except ProcessLookupError:
                return
            if self.wait(timeout):
                return
        raise LabError(f"process {self.pid} outlives SIGKILL")


def _stat(pid):
    """State, start time and parent of a process, or None."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    # The name, in parentheses, may itself hold parentheses and blanks.
    fields = text[text.rindex(")") + 2:].split()
    return fields[0], int(fields[19]), int(fields[1])


def start_detached(arguments, log, *, pass_fds=(), environment=None):
    """Starts a command that outlives this one, in a session of its own, its output in `log`."""
    # A shell between makes it an orphan at once, so that nobody here has to reap it.
    done = subprocess.run(
        ["sh", "-c", 'log=$1; shift; "$@" >"$log" 2>&1 & echo $!', "sh", str(log), *map(str, arguments)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=True,
        pass_fds=pass_fds, env=environment, start_new_session=True,
    )
    process = Process.of(int(done.stdout))
    if process is None:
        raise LabError(f"ended at once: {shlex.join(map(str, arguments))}\n{tail(log)}")
    return process


def require_root():
    if os.geteuid() != 0:
        raise LabError("the lab needs root: it mounts, makes namespaces and boots a container")


# Each command that the machine must have, with the packages that can bring it, the preferred first.
COMMANDS = {
    "debootstrap": ["debootstrap"],
    "systemd-nspawn": ["systemd-container"],
    "nsenter": ["util-linux"],
    "ip": ["iproute2"],
    "Xvfb": ["xvfb"],
    "xdotool": ["xdotool"],
    "xfreerdp": ["freerdp2-x11", "freerdp3-x11"],
    "ssh": ["openssh-client"],
    "xtigervncviewer": ["tigervnc-viewer"],
    "nxproxy": ["nxproxy"],
}
# The same command under a newer name.
SUCCESSORS = {"xfreerdp": "xfreerdp3"}


def find_command(name):
    """The path of a command under its own or its newer name, or None."""
    return shutil.which(name) or (shutil.which(SUCCESSORS[name]) if name in SUCCESSORS else None)


def install_missing(say):
    """Installs by apt what the machine lacks of the commands above."""
    missing = [name for name in COMMANDS if not find_command(name)]
    if not missing:
        return
    say(f"installing what is missing here: {' '.join(missing)}")
    update_packages()
    packages = []
    for name in missing:
        known = [package for package in COMMANDS[name]
                 if re.search(r"Candidate: \d", run(["apt-cache", "policy", package]).stdout)]
        if not known:
            raise LabError(f"apt knows none of {', '.join(COMMANDS[name])}, needed for {name}")
        packages.append(known[0])
    install_packages(*packages)


def update_packages():
    run(["apt-get", "--quiet", "update"], timeout=300, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})


def install_packages(*packages):
    """Installs packages of the machine's own distribution on it."""
    run(["apt-get", "--quiet", "--yes", "install", "--no-install-recommends", *packages], timeout=900, env=os.environ | {"DEBIAN_FRONTEND": "noninteractive"})
