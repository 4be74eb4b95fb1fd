"""The container: an overlay of the image, booted with its own systemd."""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

from . import old_kernel
from .host import LabError, Process, read_json, run, start_detached, tail, wait_until, write_json

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def runtime_folder():
    """Where the state of running labs is."""
    return Path("/run/termspan-lab")


class Container:
    """One booted (or not booted) container, found again by its name."""

    def __init__(self, name):
        if not re.fullmatch(r"[a-z][a-z0-9-]{0,19}", name):
            raise LabError(f"not a name for a lab: {name!r} (small letters, digits and hyphens, at most 20)")
        self.name = name
        self.run_folder = runtime_folder() / name
        self.disk_folder = Path("/var/lib/termspan-lab") / name
        self.state_file = self.run_folder / "lab.json"

    # State

    @property
    def state(self):
        return read_json(self.state_file) or {}

    @property
    def init(self):
        """The container's process 1 as seen from outside, or None when it does not run."""
        init = Process.restore(self.state.get("init"))
        return init if init and init.alive else None

    def require_init(self):
        init = self.init
        if not init:
            raise LabError(f"the lab '{self.name}' does not run: start it with 'lab boot --name {self.name}'")
        return init

    @property
    def root(self):
        """The container's file system as the container sees it (its /run and /tmp too), reached from outside."""
        return Path(f"/proc/{self.require_init().pid}/root")

    @property
    def cgroup(self):
        """The control group that is the root of the container's own tree."""
        return self._own_cgroups()[0] / "payload"

    @contextmanager
    def locked(self):
        """Holds off others that boot or stop the same lab."""
        runtime_folder().mkdir(parents=True, exist_ok=True)
        with open(runtime_folder() / f".{self.name}.lock", "w") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield

    # Boot and stop

    def boot(self, image, *, old=False, in_memory=False, timeout=120):
        """Boots an overlay of the image and returns what systemd says of the system: running or degraded."""
        self.clear()
        self.run_folder.mkdir(parents=True)
        root = self._mount(image.path, in_memory)
        machine_id = os.urandom(16).hex()
        (root / "etc/machine-id").write_text(machine_id + "\n")
        (root / "etc/hostname").write_text(f"lab-{self.name}\n")
        shutil.copy("/etc/resolv.conf", root / "etc/resolv.conf")
        return self._start({"name": self.name, "suite": image.suite, "image": str(image.path), "old_kernel": old}, timeout)

    def reboot(self, *, timeout=120):
        """Ends all processes at once, as a loss of power does, and boots the same disk again; returns what systemd says.

        What was written and not synced is on the disk all the same: the machine's own cache is not lost.
        """
        self.require_init()
        state = self.state
        self._end_processes(state)
        return self._start({key: state[key] for key in ("name", "suite", "image", "old_kernel")}, timeout)

    def _start(self, state, timeout):
        root = self.disk_folder / "root"
        log = self.run_folder / "nspawn.log"
        # A real process 1 has these limits on files; where this machine has no CAP_SYS_RESOURCE, its own lower one stays.
        supervisor = start_detached(
            self._into_cgroups(self._own_cgroups()) + self._wrapper(state["old_kernel"]) + [
                "env", "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1", "UNIFIED_CGROUP_HIERARCHY=1",
                "systemd-nspawn", "--register=no", "--keep-unit", "--private-network", "--boot", "--console=pipe",
                "--link-journal=no", "--resolv-conf=off", "--timezone=off", "--rlimit=NOFILE=1024:524288", f"--hostname=lab-{self.name}", f"--directory={root}",
            ], log)
        state |= {"supervisor": supervisor.save(), "booted": time.time()}
        write_json(self.state_file, state)
        try:
            init = wait_until("the container's process 1", lambda: self._find_init(supervisor), timeout, progress=lambda: tail(log))
            write_json(self.state_file, state | {"init": init.save()})
            socket = Path(f"/proc/{init.pid}/root/run/systemd/private")
            wait_until("the container's systemd", socket.exists, timeout, progress=lambda: tail(log))
            return self.enter(["systemctl", "is-system-running", "--wait"], check=False, timeout=timeout).stdout.strip()
        except LabError:
            self.clear(keep_log=True)
            raise

    def clear(self, *, keep_log=False):
        """Ends the container, if it runs, and removes all that is left of it."""
        self._end_processes(self.state)
        while os.path.ismount(self.disk_folder / "root"):
            wait_until(f"{self.disk_folder}/root to be free", lambda: run(["umount", self.disk_folder / "root"], check=False).returncode == 0, 30)
        if os.path.ismount(self.disk_folder):
            run(["umount", self.disk_folder])
        if self.disk_folder.exists():
            shutil.rmtree(self.disk_folder)
        if self.run_folder.exists() and not keep_log:
            shutil.rmtree(self.run_folder)
        elif keep_log:
            self.state_file.unlink(missing_ok=True)

    def _end_processes(self, state):
        init, supervisor = (Process.restore(state.get(key)) for key in ("init", "supervisor"))
        # With its process 1 the kernel ends all others of a pid namespace.
        for process in filter(None, (init, supervisor)):
            process.end(signal.SIGKILL, timeout=30)
        for folder in self._own_cgroups():
            _remove_cgroup(folder)

    def _mount(self, image, in_memory):
        root, upper, work = (self.disk_folder / part for part in ("root", "upper", "work"))
        self.disk_folder.mkdir(parents=True)
        if in_memory:
            run(["mount", "-t", "tmpfs", "-o", "mode=755,size=4g", "termspan-lab", self.disk_folder])
        for folder in (root, upper, work):
            folder.mkdir()
        run(["mount", "-t", "overlay", "-o", f"lowerdir={image},upperdir={upper},workdir={work}", "termspan-lab", root])
        return root

    def _own_cgroups(self):
        """A group of its own in each hierarchy that systemd uses, so that two labs can run side by side."""
        return [root / "termspan-lab" / self.name for root in (_cgroup2(), _named_cgroup()) if root]

    @staticmethod
    def _into_cgroups(folders):
        """A command prefix that moves what follows into control groups."""
        for folder in folders:
            folder.mkdir(parents=True, exist_ok=True)
        moves = " && ".join(f"echo 0 >'{folder}/cgroup.procs'" for folder in folders)
        return ["sh", "-c", f'{moves} && exec "$@"', "sh"]

    @staticmethod
    def _wrapper(old):
        """A command prefix that makes the kernel look old where that is asked for."""
        return [sys.executable, old_kernel.__file__] if old else []

    @staticmethod
    def _find_init(supervisor):
        """The child of nspawn that is process 1 of a pid namespace."""
        if not supervisor.alive:
            raise LabError("systemd-nspawn ended")
        for child in supervisor.children():
            try:
                status = Path(f"/proc/{child.pid}/status").read_text()
            except (FileNotFoundError, ProcessLookupError):
                continue
            if re.search(r"^NSpid:\s+\d+\s+1$", status, re.MULTILINE):
                return child
        return None

    # Running commands inside

    def command(self, arguments, *, user=None, environment=None, group=None, host_network=False, folder=None):
        """The command line that runs `arguments` inside, from outside.

        `environment` is all that it gets besides PATH and what belongs to `user`; `group` is the control
        group below the container's root that it is put in, so that it looks inside like any process there.
        """
        init = self.require_init()
        groups = [root / "payload" / group for root, group in zip(self._own_cgroups(), (group or "lab", ""))]
        variables = {"PATH": PATH, "LANG": "C.UTF-8", "HOME": "/root", "USER": "root", "LOGNAME": "root", "SHELL": "/bin/bash"}
        become = []
        if user and user != "root":
            account = self.account(user)
            variables |= {"HOME": account["home"], "USER": user, "LOGNAME": user, "XDG_RUNTIME_DIR": f"/run/user/{account['uid']}"}
            become = ["setpriv", f"--reuid={account['uid']}", f"--regid={account['gid']}", "--init-groups", "--"]
        variables |= environment or {}
        namespaces = ["-m", "-u", "-i", "-p", "-C"] + ([] if host_network else ["-n"])
        return self._into_cgroups(groups) + self._wrapper(self.state.get("old_kernel")) + [
            "nsenter", "-t", str(init.pid), *namespaces, "-r", "-w",
            *become, "env", "-i", f"--chdir={folder or variables['HOME']}", *(f"{name}={value}" for name, value in variables.items()),
            *map(str, arguments)]

    def enter(self, arguments, *, check=True, timeout=120, input=None, **options):
        """Runs a command inside to its end; see `command` for the options."""
        feed = {"input": input} if input is not None else {}
        return run(self.command(arguments, **options), check=check, timeout=timeout, said=arguments, **feed)

    def account(self, user):
        """The uid, gid and home folder of a user of the container; of a directory's, whose login has a domain, it is asked for them."""
        lines = (self.root / "etc/passwd").read_text().splitlines()
        if "\\" in user:
            lines = self.enter(["getent", "passwd", user], check=False).stdout.splitlines()
        for line in lines:
            fields = line.split(":")
            if fields[0] == user:
                return {"uid": int(fields[2]), "gid": int(fields[3]), "home": fields[5]}
        raise LabError(f"the lab has no user {user}: make users with 'lab users N'")


def _cgroup2():
    """Where the unified hierarchy is mounted."""
    return mounted(lambda kind, options: kind == "cgroup2") or Path("/sys/fs/cgroup")


def _named_cgroup():
    """Where systemd's named hierarchy of version 1 is mounted, on a machine that has one."""
    return mounted(lambda kind, options: kind == "cgroup" and "name=systemd" in options)


def mounted(matches):
    """Where the first file system is mounted whose kind and options match, or None."""
    for line in Path("/proc/self/mounts").read_text().splitlines():
        _, place, kind, options, *_ = line.split()
        if matches(kind, options.split(",")):
            return Path(place)
    return None


def _remove_cgroup(folder):
    """Removes a control group with all below it; the kernel may need a moment after the last process."""
    def removed():
        for path, _, _ in os.walk(folder, topdown=False):
            try:
                os.rmdir(path)
            except OSError:
                return False
        return True
    wait_until(f"{folder} to be empty", removed, 30)
