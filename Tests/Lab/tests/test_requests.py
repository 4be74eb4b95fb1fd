"""What a probe asks of a real session's X server, and what it is told: never a key.

The probe is traced from its first request on, through work on a desktop with a window manager. The list of what is allowed
is that of the probe's own tests; what is forbidden is written down once more in lablib/wire.py, against the server's own numbers.
"""

import re
import subprocess
import sys
import time
import unittest
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lablib import wait_until, wire  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402
from lablib.witness import Witness  # noqa: E402

KEYS = "termspan " * 11 + "!"
GAP = 2.0
MANAGED = ("always", "the server has X-Resource", "the server has XInput 2 and idle counters of devices")
UNMANAGED = ("there is no window manager that names the active window", "a window manager has started")

# Makes a master device and takes it away again: with it come and go XTEST's slaves and their idle counters.
HOTPLUG = """
import os, struct, sys
sys.path.insert(0, os.path.dirname(sys.argv[1]))
witness = __import__(os.path.basename(sys.argv[1])[:-3])
server = witness.Server(os.environ["DISPLAY"].lstrip(":").split(".")[0])
major = server.extension("XInputExtension")
server.ask(major, 47, struct.pack("<HH", 2, 0))
def devices():
    reply = server.ask(major, 48, struct.pack("<Hxx", 0))
    found, offset = {}, 32
    for _ in range(struct.unpack_from("<H", reply, 8)[0]):
        number, use, _, classes, length = struct.unpack_from("<HHHHH", reply, offset)
        found[reply[offset + 12:offset + 12 + length].decode()] = number
        offset += 12 + (length + 3) // 4 * 4
        for _ in range(classes):
            offset += 4 * struct.unpack_from("<H", reply, offset + 2)[0]
    return found
before = devices()
server.send(major, 43, struct.pack("<BxxxHHHBB", 1, 1, 4, 5, 1, 1) + b"spare" + bytes(3))
after = devices()
server.send(major, 43, struct.pack("<BxxxHHHBxHH", 1, 2, 3, after["spare pointer"], 2, 0, 0))
print(len(before), len(after), len(devices()))
"""


class RequestTests(ProductTestCase):
    tracked = ["user1"]
    settings = {"burst-gap": "2s"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.login("user1")
        cls.product.wait_measured("user1")
        cls.witness = Witness(cls.lab, "user1")
        cls.addClassCleanup(cls.witness.close)
        # A toolkit that tells of each key on its window, and a terminal that doesn't.
        cls.lab.run("user1", ["xterm", "-class", "Editor"])
        cls.wait_active("Editor")
        cls.lab.run("user1", ["xfce4-terminal", "--disable-server"])
        cls.wait_active("Xfce4-terminal")
        listed = cls.lab.run("user1", ["xdpyinfo", "-queryExtensions"], wait=True).stdout
        cls.opcodes = {name: int(opcode) for name, opcode in re.findall(r"^ +(\S+) +\(opcode: (\d+)", listed, re.MULTILINE)}

    @classmethod
    def wait_active(cls, name):
        wait_until(f"a window of class {name} to be active", lambda: cls.witness.active_class == name, 30,
                   progress=lambda: str(cls.witness.lines[-3:]))

    @property
    def probe(self):
        (pid,) = self.product.probes().values()
        return pid

    def wait_idle(self):
        """Waits till the last burst has ended, by the server's own account, and been told."""
        def idle():
            last = next((line["at"] for line in reversed(list(self.witness.lines)) if line["kind"] == "input"), self.witness.lines[0]["at"])
            return time.clock_gettime_ns(time.CLOCK_BOOTTIME) - last > (GAP + 1.5) * 1e9
        wait_until("input to rest", idle, 20)

    def attempted(self):
        return self.product.status()["events_attempted"]

    def type_keys(self, text):
        """Types through the client and waits till the server has each press and release."""
        before = self.witness.inputs
        self.lab.type("user1", text)
        wait_until("the keys to arrive", lambda: self.witness.inputs - before >= 2 * len(text), 20,
                   progress=lambda: f"{self.witness.inputs - before} of {2 * len(text)}")

    def switches(self, pid):
        return int(re.search(r"^voluntary_ctxt_switches:\s+(\d+)", self.lab.enter(["cat", f"/proc/{pid}/status"]).stdout, re.MULTILINE)[1])

    def probe_processes(self):
        """The probes' pids as seen from outside, as soon as they are there."""
        groups = (self.lab.container.cgroup / "termspan.slice").glob("termspan-probe-*.service/cgroup.procs")
        return {int(pid) for group in groups for pid in group.read_text().split()}

    def trace_new_probe(self):
        """Replaces the probe by one that is traced from before its first request; returns its pid inside and the tracer.

        The X server is stopped until the tracer is there, so that the new probe still waits for the answer to its cookie.
        """
        (old,) = self.probe_processes()
        server = self.lab.enter(["pgrep", "--exact", "--euid", "user1", "Xorg"]).stdout.split()
        self.lab.enter(["kill", "-STOP", *server])
        try:
            self.product.kill(self.probe)
            outside = wait_until("another probe", lambda: next(iter(self.probe_processes() - {old}), None), 20, progress=self.product.report)
            pid = int(re.search(r"^NSpid:.*\s(\d+)$", Path(f"/proc/{outside}/status").read_text(), re.MULTILINE)[1])
            tracer = wire.Tracer(self.lab, pid)
            self.addCleanup(tracer.stop)
        finally:
            self.lab.enter(["kill", "-CONT", *server])
        self.product.wait_measured("user1")
        self.assertEqual(self.probe, pid)
        return pid, tracer

    # Requests

    def test_a_probe_sends_what_the_list_allows_and_nothing_else(self):
        pid, tracer = self.trace_new_probe()

        # Focus, keys, the mouse.
        for name in ("Editor", "Xfce4-terminal", "Editor", "Xfce4-terminal"):
            self.lab.focus("user1", name)
        self.lab.move("user1", 300, 200)
        self.wait_idle()
        said = wire.conversation(tracer.text(pid))
        self.type_keys(KEYS)
        self.wait_idle()
        typed = wire.conversation(tracer.text(pid))
        events = Counter(typed.events[len(said.events):])
        requests = len(typed.requests) - len(said.requests)
        mappings = events.pop(wire.MAPPING_NOTIFY, 0)
        print(f"figure: while {len(KEYS)} keys were typed and rested from: {sum(events.values())} events to the probe "
              f"(and {mappings} that go to everybody), {requests} requests by it", file=sys.stderr)
        self.assertEqual(set(events), {said.first_events["SYNC"] + 1}, "the alarm's alone")
        self.assertLessEqual(sum(events.values()), 2)

        # Devices and keyboard maps, input by a program, a client that goes and comes, a collector that asks for a snapshot.
        counts = self.lab.run("user1", ["python3", "-c", HOTPLUG, self.witness.program], wait=True)
        before, during, after = map(int, counts.stdout.split() or self.fail(counts.stderr))
        self.assertTrue(before == after < during, counts.stdout)
        self.lab.run("user1", ["setxkbmap", "de"], wait=True)
        self.lab.run("user1", ["xdotool", "key", "a"], wait=True)
        self.wait_idle()
        self.lab.disconnect("user1")
        self.lab.reconnect("user1")
        self.lab.key("user1", "b")
        collector = self.product.collector()
        self.lab.enter(["systemctl", "restart", "termspand.service"])
        self.product.wait_ready(other_than=collector)
        self.product.wait_measured("user1")
        self.lab.focus("user1", "Editor")
        self.wait_idle()
        self.assertEqual(self.probe, pid, "the same probe all the time")
        said = wire.conversation(tracer.text(pid))
        managed = len(said.requests)

        # A window manager that goes for a moment.
        self.lab.run("user1", ["openbox", "--restart"], wait=True)
        self.lab.focus("user1", "Xfce4-terminal")
        self.lab.focus("user1", "Editor")
        tracer.stop()
        said = wire.conversation(tracer.text(pid))

        counted = Counter(said.requests)
        print(f"figure: {len(said.requests)} requests ({managed} with a window manager all along), {said.replies} replies, {said.errors} errors, "
              f"{len(said.events)} events {dict(Counter(said.events))}\n  " + "\n  ".join(f"{count:5} {request}" for request, count in counted.most_common()), file=sys.stderr)
        self.assertEqual(said.malformed, [])
        self.assertEqual(wire.forbidden(said, self.opcodes), [])
        # The numbers that the trace's own words rest on are the server's.
        self.assertEqual({name: opcode for opcode, name in said.extensions.items()},
                         {name: self.opcodes[name] for name in ("SYNC", "X-Resource", "XInputExtension")})
        self.assertEqual(set(said.requests[:managed]) - wire.allowed(*MANAGED), set())
        self.assertEqual(set(said.requests[managed:]) - wire.allowed(*MANAGED, *UNMANAGED), set())
        # The trace has it all: of what may be sent, nothing is missing but one of the two ways in which the first alarm can be armed.
        missing = wire.allowed(*MANAGED) - set(said.requests)
        self.assertLessEqual({line.rsplit(" ", 3)[0] for line in missing}, {"SYNC CreateAlarm IDLETIME"})
        # Neither keys, buttons, motion, nor events of XInput.
        self.assertFalse(set(said.events) & {*range(2, 9), 11, 35}, Counter(said.events))

    def test_the_trace_would_show_what_is_forbidden(self):
        folder = self.lab.enter(["mktemp", "--directory"], user="user1").stdout.strip()
        for command in (["timeout", "1", "xev", "-root"], ["xdotool", "key", "a"], ["xprop", "-root", "_NET_ACTIVE_WINDOW"]):
            self.lab.run("user1", [*wire.STRACE, "-o", f"{folder}/{command[0]}", *command], wait=True)
        found = {}
        for path in sorted((self.lab.root / folder.lstrip("/")).iterdir()):
            text = path.read_text()
            if wire.HANDSHAKE in text:
                said = wire.conversation(text)
                found[path.name.split(".")[0]] = wire.forbidden(said, self.opcodes)
                self.assertNotEqual(set(said.requests) - wire.allowed(*MANAGED, *UNMANAGED), set())
        self.assertEqual(set(found), {"timeout", "xdotool", "xprop"})
        self.assertTrue(any(what.startswith("event mask") and what.endswith("the root") for what in found["timeout"]), found)
        self.assertTrue(any(what.startswith("XTEST") for what in found["xdotool"]), found)
        self.assertEqual(found["xprop"], [])

    # Keys

    def test_a_hundred_keys_tell_a_probe_no_more_than_one(self):
        pid = self.probe
        self.lab.focus("user1", "Xfce4-terminal")
        counts = {}
        for text in ("!", KEYS):
            self.wait_idle()
            window = self.lab.run("user1", ["xdotool", "getactivewindow"], wait=True).stdout.strip()
            spy = subprocess.Popen(
                self.lab.container.command(["timeout", "60", "xprop", "-spy", "-id", window, "_NET_WM_USER_TIME"], user="user1",
                                           environment=self.lab.session_environment("user1")),
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True)
            self.addCleanup(spy.stdout.close)
            self.addCleanup(spy.kill)
            before, switches = self.attempted(), self.switches(pid)
            self.type_keys(text)
            typed = self.attempted() - before
            wait_until("the end of the burst to be told", lambda: self.attempted() - before >= 2, 20, progress=self.product.report)
            self.wait_idle()
            counts[len(text)] = (typed, self.attempted() - before, self.switches(pid) - switches)
            self.lab.enter(["pkill", "xprop"])
            with spy:
                told = len(spy.stdout.read().splitlines())
            print(f"figure: {len(text)} keys: {typed} events by the probe while typed, {counts[len(text)][1]} with the end, {counts[len(text)][2]} "
                  f"times that it slept; {told} changes of the window's _NET_WM_USER_TIME", file=sys.stderr)
        self.assertEqual(self.probe, pid)
        self.assertGreaterEqual(told, 50, "this window does tell of keys to whom it concerns")
        for typed, ended, slept in counts.values():
            self.assertLessEqual(typed, 1)
            self.assertEqual(ended, 2)
            # Two events, and a reply to each of some 20 requests for the devices' idle times; a hundred keys would come on top.
            self.assertLessEqual(slept, 50)


if __name__ == "__main__":
    unittest.main()
