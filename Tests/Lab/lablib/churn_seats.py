"""The seats of a churn: on each, users log on and off one after the other, by one stack and from one client's machine.

A seat returns when logind or the kernel has what it did; what the product makes of it is not its affair.
"""

import contextlib
import ipaddress
import itertools
import os
import re
import signal
import subprocess
import time
from pathlib import Path

from .host import LabError, wait_until
from .lab import PASSWORD
from .stacks import SSH, VNC, X2Go

# Seconds; the machine may be busy.
PATIENCE = 60
RDP_PORT, SSH_PORT = 3389, 22
# Displays that no stack gives by itself, and how many each seat has in turn: what a killed server leaves of one is its user's.
VNC_DISPLAY, OTHER_DISPLAY, DISPLAYS = 400, 2001, 8
# Seconds that a user takes from one line to the next.
TYPING = 1
# Seconds from a generic session's logon to its X server, and from that one's end to the next.
LATE = (0.3, 1, 4)


def connections(lab, state="01"):
    """The TCP connections of the lab's machine in a state of /proc/net/tcp: pairs of its own port and the other end's address."""
    folder = Path(f"/proc/{lab.container.require_init().pid}/net")
    found = set()
    for line in (line for name in ("tcp", "tcp6") for line in (folder / name).read_text().splitlines()[1:]):
        _, local, remote, *rest = line.split()
        if rest[0] == state:
            found.add((int(local.rsplit(":", 1)[1], 16), address_of(remote.rsplit(":", 1)[0])))
    return found


def address_of(text):
    """An address of /proc/net/tcp or tcp6: words in the order of the machine."""
    address = ipaddress.ip_address(b"".join(bytes.fromhex(text[at:at + 8])[::-1] for at in range(0, len(text), 8)))
    return str(getattr(address, "ipv4_mapped", None) or address)


def listens(lab, port):
    return any(local == port for local, _ in connections(lab, "0A"))


class Seat:
    """One seat; `session` is the one that is used from it, or None."""

    # As the product names it, and logind's name for the service of its logins.
    stack = service = None
    # What can be done to a session beside its logoff, by its state.
    others = {"active": ["disconnect"], "disconnected": ["reconnect"]}
    # What logind has no part in.
    quiet = ()

    def __init__(self, lab, number):
        self.lab, self.number, self.name = lab, number, f"seat{number}"
        self.session = None
        self.logons = 0
        self._addresses = itertools.count()
        self.address = self.elsewhere()

    def elsewhere(self):
        """The next of the addresses that the seat's machine can have."""
        return f"198.18.{self.number}.{1 + next(self._addresses) % 250}"

    @property
    def kinds(self):
        """What can happen here next."""
        return ["replace", *self.others[self.session.state]] if self.session else ["log_on"]

    def records(self, user):
        """logind's records of a user's logins by this stack; nobody has two sessions of one service."""
        return [record for record in self.lab.logins(user) if record.get("service") == self.service]

    def wait_login(self, user, **wanted):
        """Waits for the login that has these properties, and returns its ID."""
        def found():
            return next((record for record in self.records(user) if record["state"] != "closing" and record.get("scope")
                         and all(record.get(key) == value for key, value in wanted.items())), None)
        return wait_until(f"a {self.stack} login of {user}", found, PATIENCE, progress=lambda: str(self.lab.logins(user)))["id"]

    def wait_gone(self, login, user):
        """Waits for the end of a login. One that was closing when logind was started anew stays on logind's list though nothing is left of it."""
        def gone():
            record = next((record for record in self.records(user) if record["id"] == login), None)
            return not record or record["state"] == "closing" and not self.lab.processes(user, record)
        wait_until(f"the end of {user}'s login {login}", gone, PATIENCE, progress=lambda: str(self.lab.logins(user)))

    def wait_connected(self, port, address):
        wait_until(f"{self.name}'s connection from {address}", lambda: (port, address) in connections(self.lab), PATIENCE)

    def wait_left(self, port, address):
        wait_until(f"the end of {self.name}'s connection from {address}", lambda: (port, address) not in connections(self.lab), PATIENCE)

    def has_client(self, links):
        """Whether its client, by these connections of the lab's machine, is all there; only asked while it was seen to come."""
        return True

    def end_client(self):
        """Ends what runs on the client's machine."""

    def end_processes(self, user, login, number=signal.SIGTERM):
        """Ends a login's processes: logind itself does that no more for one that is closing."""
        for pid, _ in self.lab.processes(user, {"id": login}):
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, number)

    def abandon(self, user):
        """Ends whatever there is of a user's here, however far it came."""
        with contextlib.suppress(LabError, OSError, subprocess.SubprocessError):
            self.end_client()
        self.lab.client(self.name).remove()
        for record in self.records(user):
            self.end_processes(user, record["id"], signal.SIGKILL)
            self.wait_gone(record["id"], user)


class RDPSeat(Seat):
    stack, service = "xrdp", "xrdp-sesman"
    quiet = ("disconnect", "reconnect")

    def log_on(self, user, address):
        record = self.lab.login(user, client=self.name, address=address, timeout=PATIENCE)
        return {"login": record["id"], "display": record["display"].split(".")[0], "port": RDP_PORT}

    def log_off(self):
        self.lab.logout(self.session.user, timeout=PATIENCE)

    def disconnect(self):
        self.lab.disconnect(self.session.user, client=self.name, timeout=PATIENCE)
        self.wait_left(RDP_PORT, self.session.address)

    def reconnect(self, address):
        # One that lost its connection by itself may be there still.
        self.end_client()
        self.lab.reconnect(self.session.user, client=self.name, address=address, timeout=PATIENCE)

    def end_client(self):
        self.lab.client(self.name).disconnect()


class VNCSeat(Seat):
    stack, service = "vnc", "tigervnc"
    quiet = ("disconnect", "reconnect")
    _vnc = None

    def log_on(self, user, address):
        display = VNC_DISPLAY + DISPLAYS * self.number + self.logons % DISPLAYS
        self._vnc, port = VNC(self.lab, user, display, client=self.name), 5900 + display
        self._vnc.start()
        login = self.wait_login(user)
        wait_until(f"a server on port {port}", lambda: listens(self.lab, port), PATIENCE)
        self._vnc.connect(address)
        self.wait_connected(port, address)
        return {"login": login, "display": f":{display}", "port": port}

    def log_off(self):
        self._vnc.stop()
        self.wait_gone(self.session.login, self.session.user)

    def disconnect(self):
        self._vnc.disconnect()
        self.wait_left(self.session.port, self.session.address)

    def reconnect(self, address):
        self._vnc.disconnect()
        self._vnc.connect(address)
        self.wait_connected(self.session.port, address)

    def end_client(self):
        if self._vnc:
            self._vnc.stop()


class X2GoSeat(Seat):
    stack, service = "x2go", "sshd"
    _x2go = None

    def log_on(self, user, address):
        self._x2go = X2Go(self.lab, user, PASSWORD, client=self.name)
        self._x2go.start(address)
        self._wait_agent(True)
        # The login in whose scope the agent is.
        groups = self.lab.enter(["cat", f"/proc/{self._x2go.agent}/cgroup"]).stdout
        if not (login := re.search(r"session-(\w+)\.scope", groups)):
            raise LabError(f"the agent of {user} is in no session: {groups}")
        return {"login": login[1], "display": f":{self._x2go.display}", "port": SSH_PORT}

    def _wait_agent(self, connected):
        """Waits for the agent's connection, or its end."""
        wait_until(f"{self.name}'s agent to be {'' if connected else 'dis'}connected",
                   lambda: ((self._x2go.port, "127.0.0.1") in connections(self.lab)) == connected, PATIENCE)

    def log_off(self):
        self._x2go.terminate()
        self.wait_gone(self.session.login, self.session.user)

    def disconnect(self):
        self._x2go.disconnect()
        self._wait_agent(False)
        self.wait_left(SSH_PORT, self.session.address)

    def reconnect(self, address):
        self._x2go.disconnect()
        wait_until(f"X2Go to have suspended {self.session.name}", lambda: self._x2go.state() == "SUSPENDED", PATIENCE, progress=self._x2go.state)
        self._x2go.resume(address)
        self._wait_agent(True)

    def has_client(self, links):
        return (self._x2go.port, "127.0.0.1") in links

    def end_client(self):
        if self._x2go:
            self._x2go.disconnect()


class SSHSeat(Seat):
    """A terminal. It can't be come back to, but an X server that is left running keeps the session, without a client."""

    stack, service = "ssh", "sshd"
    others = {"active": ["leave"], "disconnected": []}
    _ssh = None

    def log_on(self, user, address):
        self._ssh = SSH(self.lab, user, PASSWORD, address, client=self.name)
        self._terminal = self._ssh.terminal()
        return {"login": self.wait_login(user, remote_host=address), "port": SSH_PORT}

    def leave(self):
        display = OTHER_DISPLAY + DISPLAYS * self.number + self.logons % DISPLAYS
        self._type(f"setsid Xvfb :{display} -screen 0 640x480x24 -nolisten tcp -noreset </dev/null >/dev/null 2>&1 &")
        wait_until(f"display {display}", lambda: re.search(rf" 0001 01 +\d+ /tmp/\.X11-unix/X{display}$", self.lab.unix_sockets(), re.MULTILINE), PATIENCE)
        self.session.display = f":{display}"
        time.sleep(TYPING)
        self._type("exit")
        self.wait_left(SSH_PORT, self.session.address)
        self.end_client()
        wait_until(f"{self.session.user}'s login to be closing",
                   lambda: any(record["id"] == self.session.login and record["state"] == "closing" for record in self.records(self.session.user)), PATIENCE)

    def _type(self, line):
        self._terminal.stdin.write(f"{line}\n".encode())
        self._terminal.stdin.flush()

    def log_off(self):
        self.end_client()
        if self.session.state == "disconnected":
            self.end_processes(self.session.user, self.session.login)
        self.wait_gone(self.session.login, self.session.user)

    def end_client(self):
        if self._ssh:
            self._ssh.close()


class GenericSeat(Seat):
    """A session of a service that no stack knows, without a client; its X server comes late, and again after it was killed."""

    stack, service = "generic", "lab-generic"
    others = {"active": ["restart_server"]}
    quiet = ("restart_server",)
    PROGRAM = "/usr/local/lib/lab-generic"
    PROGRAM_TEXT = """#!/bin/sh
# lab-generic DISPLAY SECONDS
export DISPLAY="$1" XAUTHORITY="$HOME/.Xauthority"
xauth -q add "$DISPLAY" . "$(mcookie)"
while :; do
    sleep "$2"
    Xvfb "$DISPLAY" -auth "$XAUTHORITY" -screen 0 640x480x24 -nolisten tcp -noreset
done
"""
    PAM = "auth required pam_permit.so\n@include common-account\n@include common-session\n"

    @classmethod
    def prepare(cls, lab):
        program = lab.root / cls.PROGRAM.lstrip("/")
        program.write_text(cls.PROGRAM_TEXT)
        program.chmod(0o755)
        (lab.root / "etc/pam.d" / cls.service).write_text(cls.PAM)

    def log_on(self, user, address):
        display = f":{OTHER_DISPLAY + DISPLAYS * self.number + self.logons % DISPLAYS}"
        self.lab.enter(["systemd-run", "--quiet", "--collect", f"--property=PAMName={self.service}", f"--property=User={user}",
                        "--setenv=XDG_SESSION_TYPE=x11", "--setenv=XDG_SESSION_CLASS=user", self.PROGRAM, display, LATE[self.logons % len(LATE)]])
        return {"login": self.wait_login(user), "display": display}

    def log_off(self):
        self.end_processes(self.session.user, self.session.login)
        self.wait_gone(self.session.login, self.session.user)

    def restart_server(self):
        for pid, name in self.lab.processes(self.session.user, {"id": self.session.login}):
            if name == "Xvfb":
                os.kill(pid, signal.SIGKILL)


SEATS = {kind.stack: kind for kind in (RDPSeat, X2GoSeat, VNCSeat, SSHSeat, GenericSeat)}
