"""The terminal server as tests use it."""

import json
import re
import shutil
import sys
import uuid
from pathlib import Path

from . import headless
from . import image as images
from .client import Client, default_address
from .container import Container, runtime_folder
from .host import LabError, install_missing, require_root, run, tail, wait_until

PASSWORD = "termspan"
# Of the password above, made by `openssl passwd -6 -salt termspanlab termspan`: hashing anew for each user takes long.
PASSWORD_HASH = "$6$termspanlab$lhvnh2m8CmUMA4AH2QWcfJM3M3.TYl0kNnj4AaDbeT0YdPQKjLyEsWtTTcmy/nca.bw.UHbUF7J.UHFe3PkYU."
FIRST_UID = 2001
DESKTOPS = {"openbox": "openbox", "xfce": "xfce4-session", "none": "sleep infinity"}


def say_to_stderr(text):
    print(f"lab: {text}", file=sys.stderr, flush=True)


class Lab:
    """One lab, running or not; the methods have the names of the command's subcommands."""

    def __init__(self, name="default", say=say_to_stderr):
        require_root()
        self.name = name
        self.say = say
        self.container = Container(name)

    # The machine

    @property
    def running(self):
        return self.container.init is not None

    @property
    def root(self):
        """The container's file system, reached from outside. Symlinks in it with absolute targets lead outside: don't follow any."""
        return self.container.root

    def boot(self, suite=None, *, old_kernel=False, in_memory=False):
        """Boots the lab unless it runs; returns whether it was booted now.

        A running one is harmless, unless it is not of the suite or the kernel that is asked for.
        """
        install_missing(self.say)
        with self.container.locked():
            if self.running:
                state = self.container.state
                if suite not in (None, state["suite"]) or (old_kernel and not state["old_kernel"]):
                    kernel = "an old kernel's" if state["old_kernel"] else "all"
                    raise LabError(f"the lab '{self.name}' already runs {state['suite']} with {kernel} system calls: "
                                   "stop it first, or take another --name")
                return False
            image = images.Image(suite or images.DEFAULT_SUITE)
            image.ensure(self.say)
            said = self.container.boot(image, old=old_kernel, in_memory=in_memory)
            if said != "running":
                units = self.enter(["systemctl", "--failed", "--no-legend", "--plain"], check=False).stdout.strip()
                self.say(f"systemd says {said or 'nothing'}; failed units:\n{units or '(none)'}")
            return True

    def stop(self):
        """Ends all that belongs to the lab and removes it; returns whether it ran."""
        with self.container.locked():
            ran = self.running
            for client in self.clients():
                client.remove()
            self.container.clear()
        return ran

    def reboot(self):
        """Cuts the lab's power and boots it again from the same disk, with a new boot ID; clients are gone."""
        with self.container.locked():
            for client in self.clients():
                client.remove()
            return self.container.reboot()

    def enter(self, arguments, **options):
        """Runs a command inside as root, or as `user=`; see Container.enter."""
        return self.container.enter(arguments, **options)

    def install(self, *packages):
        """Installs package files with what they depend on; the container's own network leads nowhere, so apt uses the machine's."""
        folder = f"/var/tmp/{uuid.uuid4().hex}"
        inside = self.container.root / folder.lstrip("/")
        inside.mkdir(mode=0o755)
        try:
            names = []
            for package in map(Path, packages):
                if package.suffix != ".deb":
                    raise LabError(f"not a package file: {package}")
                shutil.copy(package, inside / package.name)
                names.append(f"{folder}/{package.name}")
            return self._apt_install("--reinstall", "--allow-downgrades", *names)
        finally:
            shutil.rmtree(inside, ignore_errors=True)

    def install_applications(self):
        """Installs what users work with: the packages of image/applications."""
        return self._apt_install(*images.packages("applications", self.container.state["suite"]))

    def _apt_install(self, *arguments):
        command = ["apt-get", "--quiet", "--yes", "-o", "Dpkg::Use-Pty=0", "-o", "Dpkg::Options::=--force-unsafe-io", "install",
                   "--no-install-recommends", *arguments]
        options = {"host_network": True, "environment": {"DEBIAN_FRONTEND": "noninteractive"}, "timeout": 600}
        done = self.enter(command, check=False, **options)
        if done.returncode != 0 and re.search(r"Unable to (fetch|locate)|404|not installable", done.stdout + done.stderr):
            self.enter(["apt-get", "--quiet", "update"], **options)
            done = self.enter(command, check=False, **options)
        if done.returncode != 0:
            raise LabError(f"apt: exit code {done.returncode}\n{done.stdout}{done.stderr}")
        return done.stdout

    # Users and their desktops

    def users(self, count, desktop="openbox", *, only_missing=False):
        """Makes user1 to userN where they don't exist, and sets their desktop; with `only_missing` only that of new users."""
        if desktop not in DESKTOPS:
            raise LabError(f"no such desktop: {desktop} (there are {', '.join(DESKTOPS)})")
        script = r"""
            set -eu
            count=$1 first=$2 hash=$3 desktop=$4 only_missing=$5 number=0
            while [ $number -lt $count ]; do
                number=$((number + 1))
                name=user$number
                if getent passwd $name >/dev/null; then
                    [ -z "$only_missing" ] || continue
                else
                    useradd --create-home --shell /bin/bash --uid $((first + number - 1)) --password "$hash" $name
                fi
                printf 'exec %s\n' "$desktop" >/home/$name/.xsession
                chown $name: /home/$name/.xsession
            done
        """
        self.enter(["sh", "-c", script, "sh", count, FIRST_UID, PASSWORD_HASH, DESKTOPS[desktop], "yes" if only_missing else ""], timeout=60 + count)
        return [f"user{number}" for number in range(1, count + 1)]

    # Sessions as logind has them

    def logins(self, user=None):
        """logind's own records of its sessions, as dictionaries in lower case with 'id'; users' managers are left out.

        They are read from its runtime files, which costs nothing, so that waiting can poll; what a test
        wants to know of a session it takes from `properties`.
        """
        found = []
        for path in sorted((self.container.root / "run/systemd/sessions").glob("*")):
            # A hidden one is a record that is being written.
            if path.suffix == ".ref" or path.name.startswith("."):
                continue
            try:
                text = path.read_text()
            except FileNotFoundError:
                continue
            if user and f"\nUSER={user}\n" not in text:
                continue
            record = {key.lower(): value for key, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE)} | {"id": path.name}
            # Since systemd 256 users' managers are sessions too; they outlast the user's own by some seconds.
            if not record.get("class", "").startswith("manager"):
                found.append(record)
        return found

    def login_of(self, user):
        """The record of a user's RDP session, or None; one that is closing is none."""
        for record in self.logins(user):
            if record.get("service") == "xrdp-sesman" and record.get("state") != "closing" and record.get("display"):
                return record
        return None

    def require_login(self, user):
        record = self.login_of(user)
        if not record:
            raise LabError(f"{user} has no RDP session: 'lab login {user}' makes one")
        return record

    def properties(self, session):
        """logind's properties of a session, by its ID, as loginctl shows them."""
        lines = self.enter(["loginctl", "show-session", session]).stdout.splitlines()
        return dict(line.split("=", 1) for line in lines)

    def session_of(self, user):
        """The record of a user's RDP session or else of the headless one; fails where there is none."""
        for record in [self.login_of(user), *(record for record in self.logins(user) if headless.is_headless(record))]:
            if record:
                return record
        raise LabError(f"{user} has no desktop session: 'lab login {user}' makes one")

    def display(self, user):
        """The display of a user's RDP session, inside, such as ':10'."""
        return self.require_login(user)["display"].split(".")[0]

    def has_client(self, user):
        """Whether xrdp is connected to the session's X server, that is whether the session has a client."""
        return self.has_peer(self.display(user))

    def has_peer(self, display):
        """Whether xrdp is connected to the X server of a display inside: told by the kernel, not by xrdp."""
        number = display.lstrip(":").split(".")[0]
        return re.search(rf" 0001 03 +\d+ \S*/xrdp_display_{number}$", self.unix_sockets(), re.MULTILINE) is not None

    def unix_sockets(self):
        """The container's table of local sockets, as in /proc/net/unix."""
        return Path(f"/proc/{self.container.require_init().pid}/net/unix").read_text()

    def sessions(self, count, *, openbox=False):
        """Makes it exactly `count` cheap sessions without clients; see headless.py."""
        headless.adjust(self, count, openbox)

    # RDP clients

    def client(self, name):
        return Client(self.container, name)

    def clients(self):
        """All clients that this lab has or had."""
        folder = self.container.run_folder / "clients"
        return [self.client(path.name) for path in sorted(folder.glob("*"))] if folder.exists() else []

    def login(self, user, *, address=None, client=None, computer=None, size="800x600", timeout=60):
        """Connects a client of the user's and waits till the session is there, connected, and has its window manager."""
        client = self.client(client or user)
        before = self.login_of(user)
        client.connect(user, PASSWORD, address or client.state.get("address") or default_address(client.name, self.container.account(user)["uid"]),
                       size=size, computer=computer)

        def progress():
            return "\n".join(filter(None, (tail(client.log), tail(self.root / "var/log/xrdp.log"), tail(self.root / "var/log/xrdp-sesman.log"))))

        def there():
            if not client.process:
                raise LabError(f"the RDP client of {user} ended\n{progress()}")
            return self.login_of(user) and self.has_client(user)

        wait_until(f"an RDP session of {user}", there, timeout, progress=progress)
        if not before:
            wait_until(f"the window manager of {user}", lambda: self._has_window_manager(user), timeout, progress=progress)
        client.require_window()
        return self.require_login(user)

    connect = login

    def disconnect(self, user, *, client=None, timeout=40):
        """Closes the user's client and waits till the session is disconnected."""
        self.client(client or user).disconnect()
        wait_until(f"the session of {user} to be disconnected", lambda: not self.login_of(user) or not self.has_client(user), timeout)

    def reconnect(self, user, **options):
        """Connects again to a session that is there; otherwise like `login`."""
        before = self.require_login(user)
        after = self.login(user, **options)
        if before["id"] != after["id"]:
            raise LabError(f"{user} got another session ({after['id']}) than before ({before['id']})")
        return after

    def logout(self, user, *, timeout=60):
        """Ends the session as its user would, from the desktop, and waits till logind no longer has it."""
        record = self.require_login(user)
        names = {name for _, name in self.processes(user, record)}
        if "xfce4-session" in names:
            self.run(user, ["xfce4-session-logout", "--logout", "--fast"])
        elif "openbox" in names:
            self.run(user, ["openbox", "--exit"])
        else:
            raise LabError(f"no desktop in the session of {user} to log out from")
        self._wait_ended(user, record, timeout)

    def end(self, user, *, timeout=60):
        """Ends a user's clients and sessions by force, whatever state they are in."""
        for client in self.clients():
            if client.state.get("user") == user:
                client.remove()
        if self.logins(user):
            self.enter(["loginctl", "terminate-user", user], check=False)
            wait_until(f"the sessions of {user} to be gone", lambda: not self.logins(user), timeout)

    def _wait_ended(self, user, record, timeout):
        wait_until(f"the end of session {record['id']} of {user}",
                   lambda: record["id"] not in (left["id"] for left in self.logins(user)), timeout,
                   progress=lambda: str(self.logins(user)))
        # The client notices by itself, but not at once.
        for client in self.clients():
            if client.state.get("user") == user:
                client.disconnect()

    def set_locked(self, user, locked, login=None):
        """Tells logind that a login of the user's is locked or is not, as what locks it does; else the one that session_of gives."""
        name, path = "org.freedesktop.login1", "/org/freedesktop/login1"
        login = login or self.session_of(user)["id"]
        answer = self.enter(["busctl", "--json=short", "call", name, path, f"{name}.Manager", "GetSession", "s", login])
        path, = json.loads(answer.stdout)["data"]
        self.enter(["busctl", "call", name, path, f"{name}.Session", "SetLockedHint", "b", "yes" if locked else "no"], user=user)

    # Programs in a session

    def run(self, user, arguments, *, wait=False, service=False, timeout=60, record=None):
        """Starts a program in the user's session, as its desktop would; `service` starts it in the user's manager.

        The session is the one of `record`, logind's, or else the user's RDP session or headless one.

        Returns its pid inside the container, or with `wait` the completed process.
        """
        record = record or self.session_of(user)
        environment = self.session_environment(user, record)
        group = None
        if service:
            forwarded = [f"--setenv={name}" for name in ("DISPLAY", "XAUTHORITY") if name in environment]
            arguments = ["systemd-run", "--user", "--quiet", "--collect", *(["--pipe", "--wait"] if wait else []), *forwarded, "--", *arguments]
        else:
            group = self.scope(user, record)
        options = {"user": user, "environment": environment, "group": group, "timeout": timeout}
        if wait or service:
            done = self.enter(arguments, check=not wait, **options)
            return done if wait else None
        started = self.enter(["sh", "-c", 'setsid "$@" </dev/null >/dev/null 2>&1 & echo $!', "sh", *arguments], **options)
        return int(started.stdout)

    def focus(self, user, window_class, *, timeout=20):
        """Activates the window of a class, through the window manager, and waits till it is the active one."""
        # Not xdotool's own waiting: it hangs when the window manager takes the window over only after the request.
        script = """
            window=$(xdotool search --onlyvisible --limit 1 --class "$1") || exit 1
            [ "$window" ] || exit 1
            xdotool windowactivate "$window" || exit 1
            for _ in 1 2 3 4 5 6 7 8 9 10; do
                [ "$(xdotool getactivewindow)" = "$window" ] && exit 0
                sleep 0.05
            done
            exit 1
        """
        wait_until(f"a window of class {window_class} of {user} to be active",
                   lambda: self.run(user, ["sh", "-c", script, "sh", window_class], wait=True).returncode == 0, timeout)

    def session_environment(self, user, record=None):
        """The environment that programs of the session have: that of one of them that knows the display."""
        record = record or self.session_of(user)
        best = {}
        for pid, _ in self.processes(user, record):
            try:
                owner = Path(f"/proc/{pid}").stat().st_uid
                text = Path(f"/proc/{pid}/environ").read_bytes().decode(errors="replace")
            except (FileNotFoundError, ProcessLookupError):
                continue
            variables = dict(entry.split("=", 1) for entry in text.split("\0") if "=" in entry)
            if owner != 0 and "DISPLAY" in variables and len(variables) > len(best):
                best = variables
        if not best:
            raise LabError(f"no process of {user}'s session {record['id']} knows a display")
        return {name: value for name, value in best.items() if name not in ("PATH", "WINDOWID")}

    def _has_window_manager(self, user):
        try:
            done = self.run(user, ["xprop", "-root", "_NET_SUPPORTING_WM_CHECK"], wait=True)
        except LabError:
            return False
        return "window id" in done.stdout

    def scope(self, user, record):
        """The control group of a session, below the container's root."""
        return f"user.slice/user-{self.container.account(user)['uid']}.slice/session-{record['id']}.scope"

    def processes(self, user, record):
        """Pids, as seen from outside, and names of the processes in a session's scope."""
        found = []
        try:
            pids = (self.container.cgroup / self.scope(user, record) / "cgroup.procs").read_text().split()
        except OSError:  # Gone before, or ENODEV: while it is read.
            return found
        for pid in pids:
            try:
                found.append((int(pid), Path(f"/proc/{pid}/comm").read_text().strip()))
            except (FileNotFoundError, ProcessLookupError):
                continue
        return found

    # Keyboard, mouse and screen of a client

    def type(self, user, text, **options):
        """Types text on the client's keyboard."""
        self.client(user).type(text, **options)

    def key(self, user, *keys):
        """Presses keys, named as xdotool names them."""
        self.client(user).key(*keys)

    def move(self, user, x, y):
        self.client(user).move(x, y)

    def click(self, user, button=1):
        self.client(user).click(button)

    def screenshot(self, user, path):
        self.client(user).screenshot(path)

    def cable(self, user, plugged):
        self.client(user).cable(plugged)


def all_labs():
    """The labs that have state on this machine."""
    folder = runtime_folder()
    return [Lab(path.name) for path in sorted(folder.iterdir()) if path.is_dir()] if folder.exists() else []
