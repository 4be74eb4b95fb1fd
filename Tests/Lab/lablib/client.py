"""A client: a machine of its own (a network namespace with its own address) with its own screen, keyboard and mouse, and on it an RDP client or another."""

import ipaddress
import os
import re
import shutil
import signal

from .host import LabError, Process, find_command, read_json, run, start_detached, tail, wait_until, write_json
from .png import png_of_xwd

SERVER = "198.51.100.1"


def default_address(user, uid):
    """The address of a user's own machine: 198.51.100.10 + N for userN, as far as that goes."""
    number = re.fullmatch(r"user(\d+)", user)
    if number and int(number[1]) <= 240:
        return f"198.51.100.{10 + int(number[1])}"
    return str(ipaddress.ip_address("198.18.0.0") + uid)


class Client:
    """One client machine, found again by its name."""

    def __init__(self, container, name):
        if not re.fullmatch(r"[A-Za-z0-9_.-]{1,32}", name):
            raise LabError(f"not a name for a client: {name!r}")
        self.container = container
        self.name = name
        self.folder = container.run_folder / "clients" / name
        self.namespace = f"termspan-lab-{container.name}-{name}"
        self.state_file = self.folder / "client.json"
        self.log = self.folder / "rdp.log"

    @property
    def state(self):
        return read_json(self.state_file) or {}

    @property
    def process(self):
        """The running RDP client, or None."""
        process = Process.restore(self.state.get("rdp"))
        return process if process and process.alive else None

    @property
    def display(self):
        """The display outside on which the client's window is."""
        screen = Process.restore(self.state.get("screen"))
        if not (screen and screen.alive):
            raise LabError(f"client {self.name} has no screen: log in first")
        return self.state["display"]

    # Connecting

    def connect(self, user, password, address, *, size="800x600", computer=None):
        """Starts the RDP client from `address`; whoever calls waits for what should come of it."""
        if self.process:
            raise LabError(f"client {self.name} is connected already")
        computer = computer or f"pc-{self.name}"
        # Told the domain, it leaves it in the login too, where xrdp wants it.
        domain = ["/d:" + user.split("\\")[0]] if "\\" in user else []
        self.switch_on(user, address, size=size)
        rdp = self.start([find_command("xfreerdp"), f"/v:{SERVER}", f"/u:{user}", f"/p:{password}", "/cert:ignore", f"/size:{size}", "/kbd:0x409",
                          f"/client-hostname:{computer}", *domain], self.log, HOME="/root")
        write_json(self.state_file, self.state | {"computer": computer, "rdp": rdp.save()})

    def switch_on(self, user, address, *, size="800x600"):
        """Gives the machine its screen and its network, with this address."""
        try:
            usable = not ipaddress.IPv4Address(address).is_loopback and address != SERVER
        except ValueError:
            usable = False
        if not usable:
            raise LabError(f"a client cannot come from {address}: take an IPv4 address, such as one of 198.51.100.0/24, that is no loopback address")
        self.folder.mkdir(parents=True, exist_ok=True)
        state = self.state
        if state.get("size") != size or not (screen := Process.restore(state.get("screen"))) or not screen.alive:
            self._end_screen()
            screen, display = self._start_screen(size)
            state |= {"screen": screen.save(), "display": display, "size": size}
        if state.get("address") != address or state.get("init") != self.container.state.get("init"):
            self._make_network(address)
        write_json(self.state_file, state | {"user": user, "address": address, "init": self.container.state.get("init")})

    def command(self, arguments, **environment):
        """The command line that runs `arguments` on the client's machine, its windows on the client's screen."""
        variables = {"DISPLAY": self.display, "HOME": str(self.folder), "XAUTHORITY": str(self.folder / "none")} | environment
        return ["ip", "netns", "exec", self.namespace, "env", *(f"{name}={value}" for name, value in variables.items()), *map(str, arguments)]

    def start(self, arguments, log, **environment):
        """Starts a program on the client's machine."""
        return start_detached(self.command(arguments, **environment), log)

    def disconnect(self):
        """Ends the RDP client as if its window were closed; its screen and network stay for the next connection."""
        # It may end by itself between two looks, as after a logout.
        if process := self.process:
            process.end(signal.SIGTERM)

    def cable(self, plugged):
        """Pulls the client's network cable, or puts it back: packets get lost, nobody is told."""
        run(["ip", "-n", self.namespace, "link", "set", "eth0", "up" if plugged else "down"])
        if plugged:
            run(["ip", "-n", self.namespace, "route", "replace", f"{SERVER}/32", "dev", "eth0"])

    def remove(self):
        """Ends the client and its screen, and removes its network."""
        self.disconnect()
        self._end_screen()
        self._remove_network()
        shutil.rmtree(self.folder, ignore_errors=True)

    def require_window(self):
        """Waits till the client's window is there, fails when the RDP client has ended, and gives the window the keyboard."""
        def window():
            if not self.process and "rdp" in self.state:
                raise LabError(f"the RDP client of {self.name} ended\n{tail(self.log)}")
            kind = ["--class", "freerdp"] if "rdp" in self.state else ["--name", "."]
            return self.xdotool("search", "--onlyvisible", *kind, check=False).stdout.split()
        found = wait_until(f"the window of client {self.name}", window, 20, progress=lambda: tail(self.log))
        self.xdotool("windowfocus", found[-1])
        return found[-1]

    # Keyboard, mouse and screen

    def xdotool(self, *arguments, check=True, timeout=60):
        return run(["xdotool", *map(str, arguments)], check=check, timeout=timeout, env=os.environ | {"DISPLAY": self.display})

    def type(self, text, delay=12):
        self.require_window()
        self.xdotool("type", "--delay", delay, "--", text, timeout=60 + len(text) * delay / 500)

    def key(self, *keys):
        self.require_window()
        self.xdotool("key", "--", *keys)

    def move(self, x, y):
        self.require_window()
        self.xdotool("mousemove", x, y)

    def click(self, button=1):
        self.require_window()
        self.xdotool("click", button)

    def screenshot(self, path):
        """Writes what the client's screen shows as a PNG."""
        self.display  # Without a screen the file would show an old one.
        png = png_of_xwd((self.folder / "Xvfb_screen0").read_bytes())
        with open(path, "wb") as file:
            file.write(png)

    # Parts

    def _start_screen(self, size):
        """An X server of the client's own, so that clients share neither pointer nor focus; its frame buffer is a file."""
        reader, writer = os.pipe()
        try:
            log = self.folder / "screen.log"
            screen = start_detached(["Xvfb", "-displayfd", writer, "-screen", "0", f"{size}x24", "-fbdir", self.folder,
                                     "-nolisten", "tcp", "-noreset"], log, pass_fds=[writer])
            os.close(writer)
            writer = None
            with os.fdopen(reader, closefd=False) as numbers:
                number = numbers.readline().strip()
            if not number:
                raise LabError(f"no screen for client {self.name}\n{tail(log)}")
            return screen, f":{number}"
        finally:
            os.close(reader)
            if writer is not None:
                os.close(writer)

    def _end_screen(self):
        screen = Process.restore(self.state.get("screen"))
        if screen:
            screen.end()

    def _make_network(self, address):
        """A cable from a network namespace of the client's own into the container."""
        self._remove_network()
        run(["ip", "netns", "add", self.namespace])
        # An interface's name has at most 15 characters; the address is as unique as the client.
        port = "c" + format(int(ipaddress.IPv4Address(address)), "08x")
        init = str(self.container.require_init().pid)
        run(["ip", "link", "add", "name", port, "netns", init, "type", "veth", "peer", "name", "eth0", "netns", self.namespace])
        outside = ["ip", "-n", self.namespace]
        run([*outside, "address", "add", f"{address}/32", "dev", "eth0"])
        run([*outside, "link", "set", "lo", "up"])
        run([*outside, "link", "set", "eth0", "up"])
        run([*outside, "route", "add", f"{SERVER}/32", "dev", "eth0", "src", address])
        inside = ["nsenter", "-t", init, "-n", "ip"]
        run([*inside, "address", "replace", f"{SERVER}/32", "dev", "lo"])
        run([*inside, "link", "set", port, "up"])
        run([*inside, "route", "replace", f"{address}/32", "dev", port])

    def _remove_network(self):
        """Ends what runs on the machine still, such as a tunnel, and takes its cable away.

        The namespace itself lasts as long as anything holds it, and the cable with it, which would keep the address from whoever is next.
        """
        for pid in run(["ip", "netns", "pids", self.namespace], check=False).stdout.split():
            if process := Process.of(int(pid)):
                process.end(signal.SIGKILL)
        run(["ip", "-n", self.namespace, "link", "delete", "eth0"], check=False)
        run(["ip", "netns", "delete", self.namespace], check=False)
