"""What an X server itself tells of a session: each change of the active window, and each input, dated by the server.

It speaks the X protocol with nothing but Python's own library, and shares no code with the product: what the product
says of a session is compared with what this saw. It selects raw input events, which the product never does.

    witness = Witness(lab, "user1")
    ...
    trace = witness.stop()

Of each window it also tells which process the server has it from, and what that runs by /proc: `executable`, `arguments`.

The second half of this file is the program that runs inside the lab; it prints one JSON object a line.
"""

import json
import os
import select
import socket
import struct
import subprocess
import sys
import threading
import time
import uuid
from collections import namedtuple
from pathlib import Path

# Moments are nanoseconds of CLOCK_BOOTTIME. `delay` is how much later than the server's own date the witness itself had it.
Focus = namedtuple("Focus", "at window window_class delay executable arguments")
Trace = namedtuple("Trace", "started ended focus inputs delays")


class Witness:
    """One trace of a user's X server, from now until `stop`; it survives disconnects, and ends with the server."""

    def __init__(self, lab, user, record=None):
        variables = lab.session_environment(user, record)
        self._lab = lab
        self.program = f"/run/witness_{uuid.uuid4().hex}.py"
        (lab.root / self.program.lstrip("/")).write_bytes(Path(__file__).read_bytes())
        environment = {"DISPLAY": variables["DISPLAY"], "XAUTHORITY": variables.get("XAUTHORITY") or f"{variables['HOME']}/.Xauthority"}
        # Its own dates are only for the record, the server's count; still it should ask for a class before the window is gone.
        self.process = subprocess.Popen(lab.container.command(["nice", "-n", "-15", "python3", self.program], environment=environment),
                                        stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        self.lines = []
        self._ready = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()
        if not self._ready.wait(20) or not self.lines:
            raise RuntimeError(f"the witness did not start: {self.close()}")

    def _read(self):
        for line in self.process.stdout:
            self.lines.append(json.loads(line))
            self._ready.set()
        self._ready.set()

    @property
    def active_class(self):
        """The class of the window that is active now, as far as it has seen."""
        return next((line["class"] for line in reversed(list(self.lines)) if line["kind"] == "focus"), None)

    @property
    def inputs(self):
        """How many inputs it has seen."""
        return sum(line["kind"] == "input" for line in list(self.lines))

    def close(self):
        """Ends it; returns what it said of errors."""
        with self.process:
            if self.process.stderr.closed:
                return ""
            # What runs inside is not this process but a child of it, and ends when its input does.
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self._lab.enter(["pkill", "--signal", "KILL", "--full", self.program])
            self._reader.join(20)
            return self.process.stderr.read()

    def stop(self):
        """Ends the trace, if the server has not, and returns it."""
        errors = self.close()
        if self.process.returncode:
            raise RuntimeError(f"the witness failed: {errors}")
        programs = {line["window"]: (line["executable"], line["arguments"]) for line in self.lines if line["kind"] == "program"}
        focus = [Focus(line["at"], line["window"], line["class"], line["seen"] - line["at"], *programs.get(line["window"], (None, [])))
                 for line in self.lines if line["kind"] == "focus"]
        inputs = [line["at"] for line in self.lines if line["kind"] == "input"]
        delays = [line["seen"] - line["at"] for line in self.lines if line["kind"] in ("focus", "input")][1:]
        ended = next((line["at"] for line in self.lines if line["kind"] == "end"), None)
        return Trace(self.lines[0]["at"], ended, focus, inputs, delays)


# Inside the lab

# In place of a window: another one became active before it could be asked which this one is.
MISSED = -1


def cookie(display):
    """The 16 bytes that the user's file of cookies has for a display's number."""
    with open(os.environ.get("XAUTHORITY") or os.path.expanduser("~/.Xauthority"), "rb") as file:
        content = file.read()
    offset = 0

    def field():
        nonlocal offset
        length = struct.unpack_from(">H", content, offset)[0]
        value = content[offset + 2:offset + 2 + length]
        offset += 2 + length
        return value

    while offset < len(content):
        offset += 2
        _, number, name, data = field(), field(), field(), field()
        if name == b"MIT-MAGIC-COOKIE-1" and number.decode() == display:
            return data
    sys.exit(f"no cookie for :{display}")


class Server:
    """A connection to an X server."""

    def __init__(self, display):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.connect(f"/tmp/.X11-unix/X{display}")
        self.buffer = b""
        self.sequence = 0
        self.events = []
        name, data = b"MIT-MAGIC-COOKIE-1", cookie(display)
        self.socket.sendall(struct.pack("<BxHHHHxx", ord("l"), 11, 0, len(name), len(data)) + name + b"\0" * (-len(name) % 4) + data)
        head = self.take(8)
        setup = self.take(struct.unpack_from("<H", head, 6)[0] * 4)
        if head[0] != 1:
            sys.exit(f"the server refuses: {setup!r}")
        self.base, _ = struct.unpack_from("<II", setup, 4)
        screen = 32 + (struct.unpack_from("<H", setup, 16)[0] + 3) // 4 * 4 + 8 * setup[21]
        self.root = struct.unpack_from("<I", setup, screen)[0]

    def take(self, count):
        while len(self.buffer) < count:
            part = self.socket.recv(65536)
            if not part:
                raise ConnectionError
            self.buffer += part
        taken, self.buffer = self.buffer[:count], self.buffer[count:]
        return taken

    def packet(self):
        packet = self.take(32)
        if packet[0] == 1 or packet[0] & 127 == 35:
            packet += self.take(struct.unpack_from("<I", packet, 4)[0] * 4)
        return packet

    def send(self, opcode, detail, payload=b""):
        payload += b"\0" * (-len(payload) % 4)
        self.socket.sendall(struct.pack("<BBH", opcode, detail, 1 + len(payload) // 4) + payload)
        self.sequence = self.sequence + 1 & 0xFFFF

    def ask(self, *request):
        """Sends a request and returns its reply, or None for an error; events in between are kept."""
        self.send(*request)
        while True:
            packet = self.packet()
            if packet[0] in (0, 1) and struct.unpack_from("<H", packet, 2)[0] == self.sequence:
                return packet if packet[0] == 1 else None
            if packet[0] > 1:
                self.events.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME), packet))

    def atom(self, name):
        return struct.unpack_from("<I", self.ask(16, 0, struct.pack("<Hxx", len(name)) + name.encode()), 8)[0]

    def property(self, window, atom):
        reply = self.ask(20, 0, struct.pack("<IIIII", window, atom, 0, 0, 64))
        if reply is None or not reply[1]:
            return b""
        return reply[32:32 + struct.unpack_from("<I", reply, 16)[0] * reply[1] // 8]

    def extension(self, name):
        reply = self.ask(98, 0, struct.pack("<Hxx", len(name)) + name.encode())
        return reply[9] if reply and reply[8] else sys.exit(f"the server has no {name}")

    def pid(self, resources, window):
        """The process that made a window, as the kernel told the server when it connected; X-Resource's QueryClientIds for LocalClientPID."""
        reply = self.ask(resources, 4, struct.pack("<III", 1, window, 2))
        return struct.unpack_from("<I", reply, 44)[0] if reply and struct.unpack_from("<I", reply, 8)[0] else None

    def wait(self, other):
        """The next event and when it was read; None once there is something to read from `other`."""
        while not self.events:
            if len(self.buffer) < 32 and other in select.select([self.socket, other], [], [])[0]:
                return None
            packet = self.packet()
            if packet[0] > 1:
                self.events.append((time.clock_gettime_ns(time.CLOCK_BOOTTIME), packet))
        return self.events.pop(0)


def program(pid):
    """What a process runs: its executable and its arguments."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            return os.readlink(f"/proc/{pid}/exe"), [part.decode(errors="replace") for part in file.read().split(b"\0")[:-1]]
    except OSError:  # There is none, or it has ended.
        return None, []


def say(kind, at, **more):
    print(json.dumps({"kind": kind, "at": at, **more}), flush=True)


# How long the machine has slept, but for the time between the two readings.
BOOT_AHEAD = time.clock_gettime_ns(time.CLOCK_BOOTTIME) - time.clock_gettime_ns(time.CLOCK_MONOTONIC)


def boot_time(milliseconds, seen):
    """The moment of boot time that a server's time means: milliseconds of CLOCK_MONOTONIC, modulo 2^32."""
    seen = (seen - BOOT_AHEAD) // 1_000_000
    age = (seen - milliseconds + (1 << 31)) % (1 << 32) - (1 << 31)
    return (seen - age) * 1_000_000 + BOOT_AHEAD


def main():
    server = Server(os.environ["DISPLAY"].lstrip(":").split(".")[0])
    active = server.atom("_NET_ACTIVE_WINDOW")
    mark = server.atom("_WITNESS")
    input_extension = server.extension("XInputExtension")
    server.ask(input_extension, 47, struct.pack("<HH", 2, 0))
    resources = server.extension("X-Resource")
    server.ask(resources, 0, b"\1\2")
    # PropertyChange on the root.
    server.send(2, 0, struct.pack("<III", server.root, 1 << 11, 1 << 22))
    # Raw presses, releases and motion of all master devices: 13 to 17.
    server.send(input_extension, 46, struct.pack("<IHxxHHI", server.root, 1, 1, 1, 0b11111 << 13))
    # The server's clock must be the one that we take it for: a property on the root tells what it has now.
    for _ in range(3):
        before = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
        server.send(18, 0, struct.pack("<IIIBxxxI", server.root, mark, 19, 32, 1) + b"\0\0\0\0")
        event = server.wait(sys.stdin)
        while event and not (event[1][0] == 28 and struct.unpack_from("<I", event[1], 8)[0] == mark):
            event = server.wait(sys.stdin)
        if not event:
            return
        at = boot_time(struct.unpack_from("<I", event[1], 12)[0], event[0])
        if not before - 5_000_000 <= at <= event[0] + 5_000_000:
            sys.exit(f"the server's clock is not CLOCK_MONOTONIC: {before} {at} {event[0]}")

    window, known = None, set()

    def is_change(packet):
        return packet[0] == 28 and struct.unpack_from("<I", packet, 8)[0] == active

    def server_time(packet, seen):
        return boot_time(struct.unpack_from("<I", packet, 12)[0], seen)

    def look(at, seen):
        nonlocal window
        value = server.property(server.root, active)
        # Changes that were told before the answer are in it: it came with the last of them, and what came with those before is gone.
        if later := [event for event in server.events if is_change(event[1])]:
            server.events = [event for event in server.events if not is_change(event[1])]
            window = MISSED
            say("focus", at, seen=seen, window=window, **{"class": None})
            seen, packet = later[-1]
            at = server_time(packet, seen)
        now = struct.unpack_from("<I", value)[0] if len(value) >= 4 else 0
        if now != window:
            window = now
            names = server.property(window, 67).split(b"\0") if window else []
            say("focus", at, seen=seen, window=window, **{"class": names[1].decode(errors="replace") if len(names) > 1 else None})

    started = time.clock_gettime_ns(time.CLOCK_BOOTTIME)
    say("start", started)
    look(started, started)
    try:
        while event := server.wait(sys.stdin):
            seen, packet = event
            if is_change(packet):
                look(server_time(packet, seen), seen)
            elif packet[0] == 35 and packet[1] == input_extension and 13 <= struct.unpack_from("<H", packet, 8)[0] <= 17:
                say("input", server_time(packet, seen), seen=seen)
            # Reading of a process can take its time, and is done once for a window, when nothing else waits.
            if window not in known and window not in (0, MISSED) and not server.events and not select.select([server.socket], [], [], 0)[0]:
                known.add(window)
                executable, arguments = program(server.pid(resources, window))
                say("program", time.clock_gettime_ns(time.CLOCK_BOOTTIME), window=window, executable=executable, arguments=arguments)
    except ConnectionError:
        pass
    say("end", time.clock_gettime_ns(time.CLOCK_BOOTTIME))


if __name__ == "__main__":
    main()
