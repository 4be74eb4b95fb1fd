"""Clients of other stacks than xrdp, each as its users run it: ssh, VNC's viewer, X2Go.

Each runs on a client's machine with an address of its own, which is named `client` or else as the user; see client.py. `disconnect`
ends the client as if its window or terminal were closed.
"""

import os
import shlex
import signal
import subprocess
import threading
from pathlib import Path

from .client import SERVER
from .host import LabError, find_command, run, start_detached, tail, wait_until

# What vncpasswd(1) makes of 'password': it is only obfuscated, with a key that is the same everywhere.
VNC_PASSWORD = bytes.fromhex("dbd83cfd727a1458")


def name_machine(lab):
    """Lets the machine resolve its own name, as TigerVNC's server demands."""
    lab.enter(["sh", "-c", 'grep -q "^127.0.1.1" /etc/hosts || echo "127.0.1.1 $(hostname).example $(hostname)" >>/etc/hosts'])


class SSH:
    """Logins over ssh from one client's machine, by password."""

    def __init__(self, lab, user, password, address, client=None):
        self.lab, self.user = lab, user
        self.client = lab.client(client or user)
        self.client.switch_on(user, address)
        self.log = self.client.folder / "ssh.log"
        ask = self.client.folder / "password"
        ask.write_text(f"#!/bin/sh\necho {shlex.quote(password)}\n")
        ask.chmod(0o700)
        self._environment = {"SSH_ASKPASS": str(ask), "SSH_ASKPASS_REQUIRE": "force"}
        self._running = []

    def command(self, *arguments):
        options = ["-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "LogLevel=ERROR", "-o", "ControlPath=none"]
        return self.client.command(["ssh", "-F", "none", *options, *arguments], **self._environment)

    def run(self, command, timeout=60):
        """Runs a command there, in a login of its own, and returns it as completed."""
        return run(self.command(f"{self.user}@{SERVER}", command), timeout=timeout)

    def open(self, *arguments):
        """Starts a login that stays, its input held open; returns its process."""
        with open(self.log, "ab") as log:
            process = subprocess.Popen(self.command(*arguments, f"{self.user}@{SERVER}"), stdin=subprocess.PIPE, stdout=log, stderr=log,
                                       start_new_session=True)
        self._running.append(process)
        return process

    def terminal(self, *arguments):
        """A login with a terminal and a shell."""
        return self.open("-tt", *arguments)

    def close(self):
        """Ends all logins that are open."""
        for process in self._running:
            if process.poll() is None:
                process.terminate()
            process.wait(timeout=30)
            process.stdin.close()
        self._running.clear()


class VNC:
    """TigerVNC's unit for one display, and its viewer."""

    # The file that says whose a display is, is one for all.
    _assigning = threading.Lock()

    def __init__(self, lab, user, display, client=None):
        self.lab, self.user, self.display, self.client = lab, user, display, client or user
        self.unit = f"tigervncserver@:{display}.service"
        self._viewers = []

    def start(self, port=None):
        """Starts the unit, for clients from everywhere."""
        name_machine(self.lab)
        root = self.lab.root
        account = self.lab.container.account(self.user)
        home = root / account["home"].lstrip("/")
        # Debian 13's follows the XDG folders.
        folder, file = (home / ".vnc", "tigervnc.conf") if self.lab.container.state["suite"] == "bookworm" else (home / ".config/tigervnc", "config.pl")
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "passwd").write_bytes(VNC_PASSWORD)
        (folder / "passwd").chmod(0o600)
        settings = {"localhost": "no", "SecurityTypes": "VncAuth"} | ({"rfbport": str(port)} if port else {})
        (folder / file).write_text("".join(f'${key} = "{value}";\n' for key, value in settings.items()) + "1;\n")
        top = home / folder.relative_to(home).parts[0]
        self.lab.enter(["chown", "-R", f"{self.user}:", str(top)[len(str(root)):]])
        users = root / "etc/tigervnc/vncserver.users"
        with self._assigning:
            others = [line for line in users.read_text().splitlines() if not line.startswith(f":{self.display}=")] if users.exists() else []
            users.write_text("".join(f"{line}\n" for line in [*others, f":{self.display}={self.user}"]))
        self.lab.enter(["systemctl", "start", self.unit], timeout=60)

    def stop(self):
        self.disconnect()
        self.lab.enter(["systemctl", "stop", self.unit], check=False, timeout=60)

    def connect(self, address, *, port=None):
        """Connects a viewer from this address."""
        client = self.lab.client(self.client)
        client.switch_on(self.user, address)
        password = client.folder / "vnc-password"
        password.write_bytes(VNC_PASSWORD)
        viewer = client.start([find_command("xtigervncviewer"), "-passwd", password, "-SecurityTypes", "VncAuth",
                               f"{SERVER}::{port or 5900 + self.display}"], client.folder / "vnc.log")
        self._viewers.append(viewer)
        return client

    def disconnect(self):
        for viewer in self._viewers:
            viewer.end(signal.SIGKILL)
        self._viewers.clear()


class X2Go:
    """An X2Go session, used through the commands that its clients run over ssh, and nxproxy."""

    # Geometry, link, packing; then session type, keyboard, and so on, as x2goclient gives them.
    LOOKS = "800x600 lan 16m-jpeg-9"

    def __init__(self, lab, user, password, client=None):
        self.lab, self.user, self.password, self.client = lab, user, password, client
        self.ssh = self._proxy = None

    def start(self, address):
        """Starts a session with a desktop and connects to it."""
        self.ssh = SSH(self.lab, self.user, self.password, address, self.client)
        lines = self.ssh.run(f"x2gostartagent {self.LOOKS} unix-kde-depth_24 us pc105/us 0 D OPENBOX both").stdout.splitlines()
        if len(lines) < 5:
            raise LabError(f"x2gostartagent said {lines}")
        self.display, self.cookie, self.agent, self.session = int(lines[0]), lines[1], int(lines[2]), lines[3]
        self._connect(int(lines[4]))
        self.run_program("openbox")

    def resume(self, address):
        """Comes back to the session, from this address."""
        self.ssh = SSH(self.lab, self.user, self.password, address, self.client)
        text = self.ssh.run(f"x2goresume-session {self.session} {self.LOOKS} us pc105/us 0 both").stdout
        port = next((line.split("=", 1)[1] for line in text.splitlines() if line.startswith("gr_port=")), None)
        if not port:
            raise LabError(f"x2goresume-session said {text!r}")
        self._connect(int(port))

    def _connect(self, port):
        client, self.port = self.ssh.client, port
        self.tunnel = self.ssh.open("-N", "-o", "ExitOnForwardFailure=yes", "-L", f"127.0.0.1:{port}:127.0.0.1:{port}")
        wait_until("the tunnel", lambda: run(client.command(["ss", "-Hltn", f"sport = :{port}"])).stdout.strip(), 20, progress=lambda: tail(self.ssh.log))
        folder = client.folder / "nx"
        folder.mkdir(exist_ok=True)
        options = folder / "options"
        options.write_text(f"nx/nx,root={folder},connect=127.0.0.1,cookie={self.cookie},port={port}:{self.display}\n")
        authority = client.folder / "Xauthority"
        authority.unlink(missing_ok=True)
        run(["xauth", "-q", "-f", str(authority), "add", client.display, ".", os.urandom(16).hex()], check=False)
        self._proxy = client.start([find_command("nxproxy"), "-S", f"nx/nx,options={options}:{self.display}"], client.folder / "nxproxy.log",
                                   XAUTHORITY=authority)

    def state(self):
        """What X2Go's own file says."""
        return (self.lab.root / f"tmp/.x2go-{self.user}/C-{self.session}/state").read_text().strip()

    def run_program(self, *arguments):
        """Starts a program on the session's desktop, in a login of its own, as x2goruncommand does."""
        command = shlex.join(map(str, arguments))
        self.ssh.run(f"DISPLAY=:{self.display} XAUTHORITY=$HOME/.Xauthority setsid {command} </dev/null >/dev/null 2>&1 &")

    def disconnect(self):
        """Kills the proxy and closes the logins, as when the client's machine is switched off."""
        if self._proxy:
            self._proxy.end(signal.SIGKILL)
        if self.ssh:
            self.ssh.close()

    def terminate(self):
        """Ends the session from the client, as its 'terminate' does."""
        self.ssh.run(f"x2goterminate-session {self.session}")
        self.disconnect()
