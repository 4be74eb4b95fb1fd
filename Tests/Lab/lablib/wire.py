"""What a process said to its X server and was told, read from a trace of its system calls.

`Tracer` runs strace inside the lab; `conversation` reads what it wrote of one process and puts the requests into the words
of Tests/TermspanX11Tests/allowed-requests.txt, which is the one list of what a probe may send.
"""

import re
import struct
import subprocess
import uuid
from dataclasses import dataclass, field
from pathlib import Path

from .host import wait_until

ALLOWED = Path(__file__).resolve().parents[2] / "TermspanX11Tests/allowed-requests.txt"

# Core requests by which one client can learn of, or meddle with, another's input.
FORBIDDEN_CORE = {25: "SendEvent", 26: "GrabPointer", 28: "GrabButton", 31: "GrabKeyboard", 33: "GrabKey", 36: "GrabServer", 38: "QueryPointer",
                  39: "GetMotionEvents", 42: "SetInputFocus", 44: "QueryKeymap", 73: "GetImage"}
EVENT_MASKS = [(1 << 22, "PropertyChange"), (1 << 17, "StructureNotify"), (1 << 19, "SubstructureNotify"), (1 << 21, "FocusChange")]
# Presses, releases, motion, the pointer's coming and going, the state of all keys. PropertyChange on a client's window is as bad: toolkits set
# a property there at each key.
INPUT_MASK = 0x7FFF
# MappingNotify goes to every client, whether it wants it or not.
MAPPING_NOTIFY = 34
STRACE = ["strace", "-ff", "-q", "-xx", "-s", "65536", "-e", "trace=read,readv,recvfrom,recvmsg,write,writev,sendto,sendmsg"]
# How a trace shows the first bytes of a client of version 11.0 in byte order 'l'.
HANDSHAKE = r"\x6c\x00\x0b\x00\x00\x00"


class Tracer:
    """strace inside the lab, of one process from now on until `stop`."""

    def __init__(self, lab, pid):
        self.lab = lab
        self.folder = f"/run/trace-{uuid.uuid4().hex}"
        lab.enter(["mkdir", self.folder])
        command = [*STRACE, "-o", f"{self.folder}/of", "-p", str(pid)]
        self.process = subprocess.Popen(lab.container.command(command), stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                        stderr=subprocess.PIPE, text=True)
        wait_until(f"strace to be at process {pid}", lambda: self.attached(pid), 20)

    def attached(self, pid):
        status = self.lab.enter(["cat", f"/proc/{pid}/status"]).stdout
        return re.search(r"^TracerPid:\s+[1-9]", status, re.MULTILINE)

    def text(self, pid):
        """What was written of a process, by its pid inside, so far."""
        return (self.lab.root / self.folder.lstrip("/") / f"of.{pid}").read_text()

    def stop(self):
        """Lets all go that are traced."""
        with self.process:
            if self.process.poll() is None:
                self.lab.enter(["pkill", "--signal", "INT", "--full", f"strace .*{self.folder}"], check=False)
                self.process.wait(20)


@dataclass
class Conversation:
    requests: list = field(default_factory=list)
    # Of each request: opcode, minor opcode or detail, all its bytes.
    raw: list = field(default_factory=list)
    # Codes of events, in the order in which they came.
    events: list = field(default_factory=list)
    replies: int = 0
    errors: int = 0
    malformed: list = field(default_factory=list)
    # Names by opcode, and the first event of each.
    extensions: dict = field(default_factory=dict)
    first_events: dict = field(default_factory=dict)
    atoms: dict = field(default_factory=dict)
    root: int = 0


LINE = re.compile(r"(\w+)\((\d+), (.*)\)\s+= (\d+)$")
STRING = re.compile(r'(?:iov_base=|^)"((?:\\x[0-9a-f]{2})*)"')
SENDING = {"write", "writev", "sendto", "sendmsg"}


def transfers(text):
    """Each transfer of bytes: whether it was sent, the descriptor, the bytes, and how many they were."""
    for line in text.splitlines():
        match = LINE.match(line)
        if not match:
            continue
        name, descriptor, arguments, count = match[1], int(match[2]), match[3], int(match[4])
        if name in ("sendmsg", "recvmsg"):
            # Control messages hold no bytes of ours.
            arguments = arguments.split("msg_control=")[0]
        parts = STRING.findall(arguments)
        yield name in SENDING, descriptor, b"".join(bytes.fromhex(part.replace("\\x", "")) for part in parts)[:count], count


def conversation(text):
    """The conversation with an X server in a trace of a process from before it was connected; fails where there is none.

    What the client says first, its cookie, may be missing; what the server answers to that may not.
    """
    decoder = Decoder()
    server = None
    for sent, descriptor, content, count in transfers(text):
        # Byte order 'l' and version 11.0; or the server's yes, and version 11.0.
        if server is None and (content[:6] == b"l\0\x0b\0\0\0" if sent else content[:1] == b"\1" and content[2:6] == b"\x0b\0\0\0"):
            server = descriptor
            decoder.client_is_set_up = not sent
        if descriptor == server:
            if len(content) != count:
                raise ValueError(f"of {count} bytes the trace shows {len(content)}")
            (decoder.from_client if sent else decoder.from_server)(content)
    if server is None:
        raise ValueError("no handshake with an X server in the trace")
    if decoder.client or decoder.server:
        decoder.result.malformed.append(f"left over: {decoder.client!r} {decoder.server!r}")
    return decoder.result


def allowed(*conditions):
    """The requests that the list allows under these conditions."""
    sections = {}
    for line in ALLOWED.read_text().splitlines():
        if line.startswith("["):
            section = sections.setdefault(line.strip("[]"), set())
        elif line and not line.startswith("#"):
            section.add(line)
    missing = set(conditions) - set(sections)
    if missing:
        raise ValueError(f"the list has no {missing}")
    return set().union(*(sections[condition] for condition in conditions))


def forbidden(said, opcodes):
    """What in a conversation must never be there, whatever any list allows; `opcodes` are those of the server's extensions by name."""
    found = []
    for request in said.raw:
        opcode, detail = request[0], request[1]
        if opcode in FORBIDDEN_CORE:
            found.append(FORBIDDEN_CORE[opcode])
        elif opcode == opcodes.get("RECORD"):
            found.append(f"RECORD request {detail}")
        elif opcode == opcodes.get("XTEST"):
            found.append(f"XTEST request {detail}")
        elif opcode == opcodes["XInputExtension"] and detail not in (47, 48):
            # 46 selects events, raw ones too; 6 does in the old protocol; all that tell nothing are 47 and 48, version and devices.
            found.append(f"XInputExtension request {detail}")
        elif opcode == 98 and request[8:14] == b"RECORD":
            found.append("QueryExtension RECORD")
        elif opcode in (1, 2):
            at, mask = (28, u32(request, 28)) if opcode == 1 else (8, u32(request, 8))
            window = u32(request, 4)
            if mask & 1 << 11:
                events = u32(request, at + 4 + 4 * bin(mask & (1 << 11) - 1).count("1"))
                wrong = events & (INPUT_MASK if window == said.root else INPUT_MASK | 1 << 22)
                if wrong:
                    found.append(f"event mask {events:#x} on {'the root' if window == said.root else 'a window'}")
    return found


def padded(length):
    return (length + 3) & ~3


def u16(content, offset):
    return struct.unpack_from("<H", content, offset)[0]


def u32(content, offset):
    return struct.unpack_from("<I", content, offset)[0]


class Decoder:
    """Puts requests into words; the same words as WireRecorder.swift's, which has the server's side on the other end of a socket."""

    def __init__(self):
        self.result = Conversation(atoms={67: "WM_CLASS"})
        self.client = self.server = b""
        self.client_is_set_up = self.server_is_set_up = False
        self.sequence = 0
        self.awaited = {}
        self.counters = {}

    def from_client(self, content):
        self.client += content
        if not self.client_is_set_up:
            if len(self.client) < 12:
                return
            length = 12 + padded(u16(self.client, 6)) + padded(u16(self.client, 8))
            if len(self.client) < length:
                return
            self.client = self.client[length:]
            self.client_is_set_up = True
        while len(self.client) >= 4:
            length = u16(self.client, 2) * 4
            if length < 4:
                self.result.malformed.append("big request")
                return
            if len(self.client) < length:
                return
            request, self.client = self.client[:length], self.client[length:]
            self.sequence = self.sequence + 1 & 0xFFFF
            self.result.raw.append(request)
            self.result.requests.append(self.words(request))

    def from_server(self, content):
        self.server += content
        if not self.server_is_set_up:
            if len(self.server) < 8:
                return
            length = 8 + u16(self.server, 6) * 4
            if len(self.server) < length:
                return
            if self.server[0] == 1:
                self.result.root = u32(self.server, 40 + padded(u16(self.server, 24)) + 8 * self.server[29])
            self.server = self.server[length:]
            self.server_is_set_up = True
        while len(self.server) >= 32:
            code = self.server[0] & 127
            length = 32 + u32(self.server, 4) * 4 if code in (1, 35) else 32
            if len(self.server) < length:
                return
            packet, self.server = self.server[:length], self.server[length:]
            if code == 1:
                self.result.replies += 1
                self.learn(packet)
            elif code == 0:
                self.result.errors += 1
                self.awaited.pop(u16(packet, 2), None)
            else:
                self.result.events.append(code)

    def learn(self, reply):
        kind, name = self.awaited.pop(u16(reply, 2), (None, None))
        if kind == "extension" and reply[8]:
            self.result.extensions[reply[9]] = name
            self.result.first_events[name] = reply[10]
        elif kind == "atom":
            self.result.atoms[u32(reply, 8)] = name
        elif kind == "counters":
            offset = 32
            for _ in range(u32(reply, 8)):
                length = u16(reply, offset + 12)
                name = reply[offset + 14:offset + 14 + length].decode()
                self.counters[u32(reply, offset)] = "DEVICEIDLETIME" if name.startswith("DEVICEIDLETIME ") else name
                offset += padded(14 + length)

    def words(self, request):
        opcode = request[0]
        target = "root" if len(request) >= 8 and u32(request, 4) == self.result.root else "window"
        if opcode == 2:
            if u32(request, 8) != 1 << 11:
                return f"ChangeWindowAttributes {target} mask {u32(request, 8)}"
            return f"ChangeWindowAttributes {target} {self.events(u32(request, 12))}"
        if opcode in (14, 15):
            return f"{'GetGeometry' if opcode == 14 else 'QueryTree'} {target}"
        if opcode in (16, 98):
            name = request[8:8 + u16(request, 4)].decode(errors="replace")
            self.awaited[self.sequence] = ("atom" if opcode == 16 else "extension", name)
            return f"{'InternAtom' if opcode == 16 else 'QueryExtension'} {name}"
        if opcode == 20:
            atom = self.result.atoms.get(u32(request, 8), f"atom {u32(request, 8)}")
            return f"GetProperty {target} {atom} {u32(request, 16)}..{u32(request, 16) + u32(request, 20)}{' delete' if request[1] else ''}"
        if opcode == 43:
            return "GetInputFocus"
        if opcode >= 128:
            return self.extension_words(self.result.extensions.get(opcode, f"extension {opcode}"), request)
        return f"core request {opcode}"

    def extension_words(self, name, request):
        minor = request[1]
        if name == "SYNC" and minor == 1:
            self.awaited[self.sequence] = ("counters", None)
        if name == "SYNC" and minor == 5:
            return f"SYNC QueryCounter {self.counter(request, 4)}"
        if name == "SYNC" and minor in (8, 9):
            text, mask, offset = f"SYNC {'CreateAlarm' if minor == 8 else 'ChangeAlarm'}", u32(request, 8), 12
            # Counter, value type, value, test type, delta; the widths of what stands before each.
            if mask & 1:
                text += f" {self.counter(request, offset)}"
                offset += 4
            offset += 4 * bool(mask & 2) + 8 * bool(mask & 4)
            if mask & 8:
                tests = ["PositiveTransition", "NegativeTransition", "PositiveComparison", "NegativeComparison"]
                text += f" {tests[u32(request, offset) % 4]}"
                offset += 4
            if mask & 16:
                text += f" delta {u32(request, offset + 4)}"
            return text
        if name == "X-Resource" and minor == 4:
            return f"X-Resource QueryClientIds mask {u32(request, 12)}"
        known = {("SYNC", 0): "Initialize", ("SYNC", 1): "ListSystemCounters", ("X-Resource", 0): "QueryVersion",
                 ("XInputExtension", 47): "XIQueryVersion", ("XInputExtension", 48): "XIQueryDevice"}
        return f"{name} {known.get((name, minor), f'request {minor}')}"

    def counter(self, request, offset):
        return self.counters.get(u32(request, offset), f"counter {u32(request, offset)}")

    @staticmethod
    def events(mask):
        names = [name for bit, name in EVENT_MASKS if mask & bit]
        rest = mask & ~sum(bit for bit, _ in EVENT_MASKS)
        return "|".join(names + ([f"other {rest}"] if rest else [])) or "nothing"
