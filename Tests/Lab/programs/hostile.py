"""What a user of a terminal server can do to the collector: each attack by its name, as that user, for some seconds.

usage: hostile.py ATTACK [--seconds N] [--display :N] [--target X]
       hostile.py --list        the attacks as JSON: name, where it runs, what it does

Where an attack runs:
  session   in the user's session, with DISPLAY and XAUTHORITY as programs there have them
  server    as the session's own program in the place of its X server, which is then at --display (or DISPLAY)
  user      anywhere, as the user

It prints one line of JSON at its end: what it did, and how often. It needs nothing but Python, the X and D-Bus of the
lab's image, and witness.py of lablib, which lies beside it in the lab.
"""

import argparse
import contextlib
import ctypes
import json
import os
import random
import select
import signal
import socket
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path

HERE = Path(__file__).resolve()
sys.path[:0] = [str(HERE.parent), str(HERE.parent.parent / "lablib")]

from witness import Server  # noqa: E402

SOCKETS = "/tmp/.X11-unix"
# Displays that false sockets are at by the thousand; those of the lab's own sessions lie below.
FIRST_FALSE = 3000
# Twenty for each user alone, above all others, and within those that the collector looks at, which end with 9999.
FIRST_OWN = 8_000 + os.getuid() % 100 * 20
ATTACKS = {}


def attack(where):
    """Registers a function under its name; its first line of documentation is what `--list` says."""
    def register(function):
        ATTACKS[function.__name__.replace("_", "-")] = (where, function)
        return function
    return register


class Clock:
    """The time that an attack has, which SIGTERM ends early, and a pace for what it repeats."""

    def __init__(self, seconds):
        self.began = time.monotonic()
        self.ends = self.began + seconds
        signal.signal(signal.SIGTERM, self.end)

    def end(self, *_):
        self.ends = 0
        # Whatever it waits for may never come.
        signal.alarm(8)

    def left(self):
        return self.ends - time.monotonic()

    def rounds(self, a_second=None):
        """Counts rounds until the time is over, at most so many a second."""
        number = 0
        while self.left() > 0:
            yield number
            number += 1
            if a_second and (wait := self.began + number / a_second - time.monotonic()) > 0:
                time.sleep(min(wait, max(0, self.left())))

    def wait(self):
        """Stays, for what an attack has laid out to be met."""
        while self.left() > 0:
            time.sleep(min(0.2, max(0, self.left())))


# Sockets that are no X servers


def listen(display, backlog=128):
    """A listening socket in the place of an X server; None where somebody else has it."""
    listener = socket.socket(socket.AF_UNIX)
    path = f"{SOCKETS}/X{display}"
    try:
        listener.bind(path)
        # As an X server's own: whoever may not write to it can't connect.
        os.chmod(path, 0o777)
        listener.listen(backlog)
    except OSError:
        listener.close()
        return None
    return listener


def remove(paths):
    # What is to be tidied up takes its time.
    signal.alarm(0)
    for path in paths:
        try:
            os.unlink(path)
        except OSError:
            pass


@attack("user")
def sockets(options, clock):
    """5,000 sockets that answer, more than the collector looks at"""
    import resource
    limit = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(limit, 6000), limit))
    made = {display: listener for display in range(FIRST_FALSE, FIRST_FALSE + 5000) if (listener := listen(display))}
    try:
        clock.wait()
    finally:
        remove(f"{SOCKETS}/X{display}" for display in made)
    return {"sockets": len(made)}


@attack("user")
def names(options, clock):
    """20,000 names in the folder of sockets that are files, made and removed without end"""
    paths = [f"{SOCKETS}/X{number}" for number in range(10_000, 15_000)] + [f"{SOCKETS}/no-display-{number}" for number in range(15_000)]

    def make(path):
        """Whether the name was free, and not taken by another attacker in the same moment."""
        try:
            os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        except OSError:
            return False
        return True

    changes = 0
    try:
        paths = [path for path in paths if make(path)]
        for number in clock.rounds() if paths else ():
            path = paths[number % len(paths)]
            with contextlib.suppress(OSError):
                os.unlink(path)
            changes += 2 * make(path)
    finally:
        remove(paths)
    return {"names": len(paths), "changes": changes}


@attack("user")
def links(options, clock):
    """sockets that are links to another's, to one of the user's own, to a pipe, to devices and to nothing, a pipe and a folder"""
    first = FIRST_OWN
    own = f"{os.environ['HOME']}/own-socket"
    remove([own])
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(own)
    listener.listen(8)
    listener.setblocking(False)
    targets = [options.target or f"{SOCKETS}/X1001", "/dev/zero", "/dev/tty", "/nowhere", own, f"{SOCKETS}/X{first + 6}"]
    paths = [f"{SOCKETS}/X{first + number}" for number in range(len(targets) + 1)]
    os.mkfifo(paths[-1])
    for path, target in zip(paths, targets):
        os.symlink(target, path)
    folder = f"{SOCKETS}/X{first + 10}"
    os.mkdir(folder)
    try:
        clock.wait()
    finally:
        remove([*paths, own])
        os.rmdir(folder)
    return {"names": len(paths) + 1, "followed": waiting_at(listener)}


def waiting_at(listener):
    """How often somebody has connected to a listener that does not wait for them."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            listener.accept()[0].close()
            count += 1
    return count


@attack("user")
def backlog(options, clock):
    """19 sockets whose backlog is full, so that connecting to them would wait for ever, and one with room, to see that it is looked at them"""
    listeners, waiting = [], []
    looked = listen(FIRST_OWN + 19)
    looked.setblocking(False)
    for display in range(FIRST_OWN, FIRST_OWN + 19):
        if listener := listen(display, 0):
            listeners.append((display, listener))
            while True:
                connection = socket.socket(socket.AF_UNIX)
                connection.setblocking(False)
                waiting.append(connection)
                try:
                    connection.connect(f"{SOCKETS}/X{display}")
                except BlockingIOError:
                    break
    try:
        clock.wait()
    finally:
        remove(f"{SOCKETS}/X{display}" for display in (*(display for display, _ in listeners), FIRST_OWN + 19))
    return {"sockets": len(listeners), "looks": waiting_at(looked)}


@attack("user")
def connections(options, clock):
    """19,500 TCP connections of this machine with itself, which are in the kernel's list of sockets twice each"""
    children = []
    for number in range(5):
        if not (child := os.fork()):
            listener = socket.create_server((f"127.0.0.{10 + number}", 0), backlog=128)
            held = []
            while len(held) < 2 * 3_900 and clock.left() > 0:
                held += [socket.create_connection(listener.getsockname()), listener.accept()[0]]
                for end in held[-2:]:
                    # Ended without a farewell: nothing of it stays in the kernel for the tests that follow.
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            clock.wait()
            os._exit(len(held) < 2 * 3_900)
        children.append(child)
    return {"full": sum(not os.waitpid(child, 0)[1] for child in children)}


@attack("user")
def dead_listener(options, clock):
    """a socket whose listener has exited, while it stays open elsewhere: prints the display and the pid that is free again"""
    display = int((options.display or f":{FIRST_OWN}").lstrip(":"))
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(f"{SOCKETS}/X{display}")
    os.chmod(f"{SOCKETS}/X{display}", 0o777)
    child = os.fork()
    if child == 0:
        # The kernel notes the process that calls listen(2).
        listener.listen(8)
        os._exit(0)
    os.waitpid(child, 0)
    print(json.dumps({"display": display, "pid": child}), flush=True)
    listener.setblocking(False)
    changes = looks = 0
    try:
        # The folder changes, so it is looked at again and again.
        for _ in clock.rounds(20):
            path = f"{SOCKETS}/no-display-of-{os.getuid()}"
            os.close(os.open(path, os.O_CREAT | os.O_WRONLY, 0o600))
            os.unlink(path)
            changes += 1
            looks += waiting_at(listener)
    finally:
        remove([f"{SOCKETS}/X{display}"])
    return {"changes": changes, "looks": looks}


@attack("user")
def squat(options, clock):
    """sockets under the numbers that the next sessions would get: 10 to 40"""
    held = {display: listener for display in range(10, 41) if (listener := listen(display))}
    try:
        clock.wait()
    finally:
        remove(f"{SOCKETS}/X{display}" for display in held)
    return {"sockets": len(held)}


# X servers that lie


def give_cookie(display):
    """Puts a cookie for the display into the user's own file, as a desktop does, and returns it."""
    cookie = os.urandom(16)
    subprocess.run(["xauth", "-q", "add", f":{display}", ".", cookie.hex()], check=True)
    return cookie


def take_place(options):
    """Listens where the session's X server would be; the display's number and the socket."""
    display = int((options.display or os.environ["DISPLAY"]).lstrip(":").split(".")[0])
    listener = listen(display)
    if not listener:
        sys.exit(f"{SOCKETS}/X{display} is taken")
    return display, listener


def serve(listener, clock, handle):
    """Calls `handle` with each connection, in a thread of its own; how many there were."""
    count = 0
    listener.settimeout(0.2)
    while clock.left() > 0:
        try:
            connection, _ = listener.accept()
        except TimeoutError:
            continue
        count += 1
        threading.Thread(target=handle, args=(connection,), daemon=True).start()
    return count


def with_fake_server(options, clock, handle):
    display, listener = take_place(options)
    give_cookie(display)
    try:
        return {"connections": serve(listener, clock, handle)}
    finally:
        remove([f"{SOCKETS}/X{display}"])


@attack("server")
def x_garbage(options, clock):
    """an X server that answers with random bytes without end"""
    def handle(connection):
        try:
            while True:
                connection.sendall(random.randbytes(65536))
        except OSError:
            pass
    return with_fake_server(options, clock, handle)


@attack("server")
def x_silent(options, clock):
    """an X server that accepts and never answers"""
    def handle(connection):
        time.sleep(max(0, clock.left()))
        connection.close()
    return with_fake_server(options, clock, handle)


@attack("server")
def x_huge_setup(options, clock):
    """an X server whose welcome says that it is as long as can be, and comes byte by byte"""
    def handle(connection):
        try:
            connection.recv(65536)
            connection.sendall(struct.pack("<BxHHH", 1, 11, 0, 0xFFFF))
            while True:
                connection.sendall(b"\xFF")
                time.sleep(0.01)
        except OSError:
            pass
    return with_fake_server(options, clock, handle)


class Relay:
    """One client of a true X server whose traffic passes through here, packet by packet, so that it can be falsified."""

    def __init__(self, client, server, change):
        self.ends = {client: server, server: client}
        self.client, self.server = client, server
        self.change = change
        self.buffers = {client: b"", server: b""}
        self.greeted = {client: False, server: False}
        # What was asked for with the sequence number, as opcode and minor opcode.
        self.requests = {}
        self.sequence = self.told = 0
        self.resource = None

    def run(self):
        try:
            while True:
                for source in select.select(list(self.ends), [], [])[0]:
                    data = source.recv(1 << 16)
                    if not data:
                        return
                    self.buffers[source] += data
                    if source is self.client:
                        self.from_client()
                    else:
                        self.from_server()
        except OSError:
            pass
        finally:
            for end in self.ends:
                end.close()

    def take(self, source, length):
        taken, self.buffers[source] = self.buffers[source][:length], self.buffers[source][length:]
        return taken

    def from_client(self):
        while True:
            data = self.buffers[self.client]
            if not self.greeted[self.client]:
                if len(data) < 12:
                    return
                name, value = struct.unpack_from("<HH", data, 6)
                length = 12 + (name + 3) // 4 * 4 + (value + 3) // 4 * 4
            else:
                # A length of 0 says that the true one follows (BIG-REQUESTS).
                if len(data) < 4 or (data[2:4] == b"\0\0" and len(data) < 8):
                    return
                length = struct.unpack_from("<H", data, 2)[0] * 4 or struct.unpack_from("<I", data, 4)[0] * 4
            if len(data) < length:
                return
            if self.greeted[self.client]:
                self.sequence = self.sequence + 1 & 0xFFFF
                self.requests[self.sequence] = (data[0], data[1], data[:length])
            self.greeted[self.client] = True
            self.server.sendall(self.take(self.client, length))

    def from_server(self):
        while True:
            data = self.buffers[self.server]
            if len(data) < (32 if self.greeted[self.server] else 8):
                return
            if not self.greeted[self.server]:
                length = 8 + struct.unpack_from("<H", data, 6)[0] * 4
            else:
                length = 32 + (struct.unpack_from("<I", data, 4)[0] * 4 if data[0] == 1 or data[0] & 127 == 35 else 0)
            if len(data) < length:
                return
            packet = self.take(self.server, length)
            if self.greeted[self.server]:
                self.told = struct.unpack_from("<H", packet, 2)[0]
                request = self.requests.get(self.told)
                if request and packet[0] == 1 and request[0] == 98 and b"X-Resource" in request[2]:
                    self.resource = packet[9]
                packet = self.change(self, packet, request)
            self.greeted[self.server] = True
            if packet:
                self.client.sendall(packet)


def with_relay(options, clock, change, begin=3.0):
    """A true X server behind a false one: honest for the first seconds of each connection, then `change` decides about each packet."""
    display, listener = take_place(options)
    behind = display + 4000
    authority = f"{os.environ['HOME']}/.behind-{display}"
    cookie = give_cookie(display)
    subprocess.run(["xauth", "-q", "-f", authority, "add", f":{behind}", ".", cookie.hex()], check=True)
    real = subprocess.Popen(["Xvfb", f":{behind}", "-auth", authority, "-screen", "0", "320x200x8", "-nolisten", "tcp", "-noreset"],
                            stderr=subprocess.DEVNULL)
    os.environ |= {"DISPLAY": f":{behind}", "XAUTHORITY": authority}
    while subprocess.run(["xset", "q"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL).returncode:
        time.sleep(0.05)
    # A desktop of sorts: the focus moves now and then.
    threading.Thread(target=move_focus, args=(behind, clock), daemon=True).start()

    def handle(connection):
        server = socket.socket(socket.AF_UNIX)
        server.connect(f"{SOCKETS}/X{behind}")
        began = time.monotonic()
        Relay(connection, server, lambda relay, packet, request:
              change(relay, packet, request) if time.monotonic() - began > begin else packet).run()

    try:
        return {"connections": serve(listener, clock, handle)}
    finally:
        real.terminate()
        remove([f"{SOCKETS}/X{display}"])


def move_focus(display, clock, a_second=5, **window):
    """Gives the focus to one of two windows after the other, until the time is over."""
    server = Server(str(display))
    windows = [make_window(server, number, **window) for number in range(2)]
    for number in clock.rounds(a_second):
        activate(server, windows[number % 2])
        drain(server)


@attack("server")
def x_garbage_later(options, clock):
    """an X server that is one for three seconds and answers with random bytes then"""
    return with_relay(options, clock, lambda relay, packet, request: random.randbytes(4096))


@attack("server")
def x_stall(options, clock):
    """an X server that goes on telling events after three seconds, and answers nothing any more"""
    return with_relay(options, clock, lambda relay, packet, request: None if packet[0] in (0, 1) else packet)


@attack("server")
def x_huge_reply(options, clock):
    """an X server whose answers claim 4 GB after three seconds, and which sends them"""
    def change(relay, packet, request):
        if packet[0] != 1:
            return packet
        relay.client.sendall(packet[:4] + struct.pack("<I", 0x3FFF_FFFF) + packet[8:32])
        zeros = bytes(1 << 20)
        while True:
            relay.client.sendall(zeros)
    return with_relay(options, clock, change)


@attack("server")
def x_events(options, clock):
    """an X server that tells of a changed active window and a changed focus without end, after three seconds"""
    def change(relay, packet, request):
        root, active = options.root, options.active
        events = b"".join(struct.pack("<BxHIIIB15x", 28, relay.told, root, active, number, 0) +
                          struct.pack("<BBHIB23x", 9, 0, relay.told, root, 0) for number in range(500))
        relay.client.sendall(packet)
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            relay.client.sendall(events)
        return None

    def learn(relay, packet, request):
        if not hasattr(options, "root"):
            server = Server(os.environ["DISPLAY"].lstrip(":"))
            options.root, options.active = server.root, server.atom("_NET_ACTIVE_WINDOW")
        return change(relay, packet, request)
    return with_relay(options, clock, learn)


@attack("server")
def x_foreign_pid(options, clock):
    """an X server that says of each window that the process --target has it"""
    target = int(options.target or 1)

    def change(relay, packet, request):
        if packet[0] != 1 or not request or request[:2] != (relay.resource, 4) or len(packet) < 48:
            return packet
        return packet[:44] + struct.pack("<I", target) + packet[48:]
    return with_relay(options, clock, change, begin=0)


# Cookies that are traps


def with_trap(name, options, clock, make):
    """Stands as an X server whose arguments name a trap for the file of cookies; whatever is sent to it is kept beside it."""
    trap = f"{os.environ['HOME']}/trap-{name}"
    if not options.auth:
        # Nor is there a cookie anywhere else.
        remove([f"{os.environ['HOME']}/.Xauthority"])
        make(trap)
        os.execv(sys.executable, [sys.executable, str(HERE), name, "--seconds", str(options.seconds), "--display", options.display or os.environ["DISPLAY"],
                                  "-auth", trap])
    display, listener = take_place(options)
    received = Path(f"{os.environ['HOME']}/received-{name}")
    received.write_bytes(b"")

    def handle(connection):
        while data := connection.recv(65536):
            with received.open("ab") as file:
                file.write(data)
    try:
        return {"connections": serve(listener, clock, handle)}
    finally:
        remove([f"{SOCKETS}/X{display}"])


@attack("server")
def auth_link(options, clock):
    """the file of cookies is a link to --target, a secret of somebody else"""
    return with_trap("auth-link", options, clock, lambda trap: (remove([trap]), os.symlink(options.target or "/etc/shadow", trap)))


@attack("server")
def auth_pipe(options, clock):
    """the file of cookies is a pipe that nobody writes"""
    return with_trap("auth-pipe", options, clock, lambda trap: (remove([trap]), os.mkfifo(trap)))


def fill(trap, sparse):
    remove([trap])
    with open(trap, "wb") as file:
        if sparse:
            file.truncate(1 << 30)
        else:
            os.posix_fallocate(file.fileno(), 0, 1 << 30)


@attack("server")
def auth_sparse(options, clock):
    """the file of cookies is 1 GB long and empty"""
    return with_trap("auth-sparse", options, clock, lambda trap: fill(trap, True))


@attack("server")
def auth_long(options, clock):
    """the file of cookies is 1 GB long and takes it on the disk"""
    return with_trap("auth-long", options, clock, lambda trap: fill(trap, False))


@attack("server")
def auth_fuse(options, clock):
    """the file of cookies lies on a file system of the user's own that never answers a read"""
    def make(trap):
        folder = trap + "-folder"
        subprocess.run(["fusermount3", "-q", "-u", "-z", folder], stderr=subprocess.DEVNULL)
        os.makedirs(folder, exist_ok=True)
        mount_stalled(folder, clock)
        remove([trap])
        os.symlink(f"{folder}/cookies", trap)
    return with_trap("auth-fuse", options, clock, make)


def mount_stalled(folder, clock):
    """Mounts a file system in which every name is a file, and serves it from a child: all but a read gets its answer (fuse(4))."""
    ours, theirs = socket.socketpair()
    subprocess.run(["fusermount3", "-o", "fsname=stalled", folder], check=True, pass_fds=[theirs.fileno()],
                   env=os.environ | {"_FUSE_COMMFD": str(theirs.fileno())})
    _, ancillary, _, _ = ours.recvmsg(1, socket.CMSG_SPACE(4))
    device = struct.unpack("i", ancillary[0][2])[0]
    if os.fork():
        return
    # With whoever mounted it: whatever waits for an answer goes on then.
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    attributes = struct.pack("<QQQQQQIIIIIIIIII", 2, 4096, 8, 0, 0, 0, 0, 0, 0, 0o100600, 1, os.getuid(), os.getgid(), 0, 4096, 0)
    root = struct.pack("<QQQQQQIIIIIIIIII", 1, 0, 0, 0, 0, 0, 0, 0, 0, 0o040700, 2, os.getuid(), os.getgid(), 0, 4096, 0)
    while True:
        try:
            request = os.read(device, 1 << 17)
        except OSError:
            os._exit(0)
        _, opcode, unique, node = struct.unpack_from("<IIQQ", request)
        if opcode in (2, 15, 42):  # FORGET and BATCH_FORGET have no answer, READ gets none.
            continue
        body, error = b"", 0
        if opcode == 26:  # INIT
            body = struct.pack("<IIIIHHIIHH32x", 7, 31, 65536, 0, 16, 12, 65536, 1, 0, 0)
        elif opcode == 1:  # LOOKUP
            body = struct.pack("<QQQQII", 2, 0, 0, 0, 0, 0) + attributes
        elif opcode == 3:  # GETATTR
            body = struct.pack("<QII", 0, 0, 0) + (root if node == 1 else attributes)
        elif opcode in (14, 27):  # OPEN, OPENDIR
            body = struct.pack("<QII", 1, 0, 0)
        elif opcode not in (18, 25, 29):  # RELEASE, FLUSH and RELEASEDIR are fine.
            error = -38
        os.write(device, struct.pack("<IiQ", 16 + len(body), error, unique) + body)


# Windows


def own_server():
    return Server(os.environ["DISPLAY"].lstrip(":").split(".")[0])


def request(opcode, detail, payload):
    payload += b"\0" * (-len(payload) % 4)
    units = 1 + len(payload) // 4
    # A longer one has its length in a word of its own (BIG-REQUESTS).
    return (struct.pack("<BBH", opcode, detail, units) if units < 1 << 16 else struct.pack("<BBHI", opcode, detail, 0, units + 1)) + payload


def put(server, requests, times=1):
    """Sends requests together; what is asked later is found by its number."""
    server.sequence = server.sequence + len(requests) * times & 0xFFFF
    server.socket.sendall(b"".join(requests) * times)


def make_window(server, number, override=False):
    """A small window that is shown; its number is one of those that the server gave to this client."""
    window = server.base + 1 + number
    values = struct.pack("<IhhHHHHII", server.root, 0, 0, 10, 10, 0, 1, 0, 0x200) + struct.pack("<I", override)
    put(server, [request(1, 0, struct.pack("<I", window) + values), request(8, 0, struct.pack("<I", window))])
    return window


def property_change(window, name, kind, width, data, mode=0):
    return request(18, mode, struct.pack("<IIIBxxxI", window, name, kind, width, len(data) * 8 // width) + data)


def activation(server, window):
    """Says that the window is the active one and gives it the input focus: whatever the desktop is, one of the two counts."""
    if not hasattr(server, "active"):
        server.active = server.atom("_NET_ACTIVE_WINDOW")
    return [property_change(server.root, server.active, 33, 32, struct.pack("<I", window)), request(42, 0, struct.pack("<II", window, 0))]


def activate(server, window):
    put(server, activation(server, window))


@attack("session")
def flap(options, clock):
    """the focus changes 10,000 times a second"""
    server = own_server()
    windows = [make_window(server, number, override=True) for number in range(2)]
    batch = [*activation(server, windows[0]), *activation(server, windows[1])]
    changes = 0
    for _ in clock.rounds(100):
        put(server, batch, 50)
        # Who looks between two rounds sees now this window and now that, however often; in turns every other look would see the same one.
        activate(server, random.choice(windows))
        drain(server)
        changes += 101
    return {"changes": changes}


@attack("session")
def flicker(options, clock):
    """the focus goes to one of eight windows at random, 100 times a second: few enough for a probe to see each"""
    server = own_server()
    windows = [make_window(server, number, override=True) for number in range(8)]
    changes = 0
    for _ in clock.rounds(100):
        activate(server, random.choice(windows))
        drain(server)
        changes += 1
    return {"changes": changes}


def drain(server):
    """Throws away what the server has sent, which is errors and events: nothing is asked from here on."""
    while select.select([server.socket], [], [], 0)[0]:
        if not server.socket.recv(1 << 20):
            raise SystemExit("the X server is gone")


@attack("session")
def windows(options, clock):
    """10,000 windows, made, shown and destroyed again and again"""
    server = own_server()
    made = 0
    for _ in clock.rounds():
        shown = []
        for number in range(10_000):
            shown.append(make_window(server, number, override=True))
            if number % 500 == 0:
                drain(server)
                if clock.left() <= 0:
                    break
        made += len(shown)
        activate(server, shown[-1])
        drain(server)
        put(server, [request(4, 0, struct.pack("<I", window)) for window in shown])
        if clock.left() <= 0:
            break
    return {"windows": made}


def shown_with(options, clock, *properties, a_second=20):
    """One of two windows after the other, both with these properties, so that they are read again and again."""
    server = own_server()
    windows = [make_window(server, number, override=True) for number in range(2)]
    # What is appended has the server copy all of it, so the pieces are as long as it takes them.
    piece = struct.unpack_from("<I", server.ask(server.extension("BIG-REQUESTS"), 0), 8)[0] * 4 - 64
    longest = 0
    for window in windows:
        for name, kind, width, data in properties:
            name = name if isinstance(name, int) else server.atom(name)
            for offset in range(0, max(1, len(data)), piece):
                if offset and clock.left() <= 0:
                    break
                put(server, [property_change(window, name, kind, width, data[offset:offset + piece], mode=2 if offset else 0)])
                longest = max(longest, min(len(data), offset + piece))
    changes = 0
    for number in clock.rounds(a_second):
        activate(server, windows[number % 2])
        drain(server)
        changes += 1
    return {"changes": changes, "longest": longest}


WM_CLASS, STRING, CARDINAL = 67, 31, 6
# What a terminal would obey, a spreadsheet would compute, a journal would take for a field, and no UTF-8 is.
DIRTY = b"\x1b]0;owned\x07\x1b[31m\x9b2J\r\nTERMSPAN_EVENT=forged\n=cmd|'/c calc'!A1,\"\xff\xfe\xc0\x80\xe2\x80\xae\t\x7f"


@attack("session")
def huge_class(options, clock):
    """the windows' class is 100 MB long, or as long as it gets in the time"""
    return shown_with(options, clock, (WM_CLASS, STRING, 8, b"long\0" + b"A" * (100 << 20) + b"\0"))


@attack("session")
def dirty_class(options, clock):
    """the windows' class holds control characters, escape sequences and what is no UTF-8"""
    return shown_with(options, clock, (WM_CLASS, STRING, 8, DIRTY + b"\0" + DIRTY + b"\0"))


@attack("session")
def foreign_pid(options, clock):
    """the windows claim to be of the process --target, which is somebody else's"""
    return shown_with(options, clock, ("_NET_WM_PID", CARDINAL, 32, struct.pack("<I", int(options.target or 1))), (WM_CLASS, STRING, 8, b"liar\0Liar\0"))


@attack("session")
def kill_clients(options, clock):
    """each other client's connection to the session's X server is closed, again and again: the probe's too"""
    server = own_server()
    resource = server.extension("X-Resource")
    killed = 0
    for _ in clock.rounds(50):
        reply = server.ask(resource, 1)
        count = struct.unpack_from("<I", reply, 8)[0]
        for number in range(count):
            base = struct.unpack_from("<I", reply, 32 + 8 * number)[0]
            if base and base != server.base:
                # XKillClient takes any resource of the client; its first is as good as any, where it has one.
                pids = server.ask(resource, 4, struct.pack("<III", 1, base, 2))
                for resource_id in range(base, base + 4):
                    server.send(113, 0, struct.pack("<I", resource_id))
                killed += pids is not None
    return {"closed": killed}


@attack("session")
def nested(options, clock):
    """desktops nested in the session: 5 Xephyr and 15 Xvfb"""
    return start_servers(clock, [(["Xephyr"], 5), (["Xvfb"], 15)])


@attack("session")
def displays(options, clock):
    """200 X servers in one session"""
    return start_servers(clock, [(["Xvfb"], 200)])


def start_servers(clock, kinds):
    # Apart from other users': a number that is taken is none.
    first = FIRST_FALSE + 100 + os.getuid() % 10 * 400
    servers, display = [], first
    for program, count in kinds:
        for _ in range(count):
            servers.append(subprocess.Popen([*program, f":{display}", "-screen", "0" if program == ["Xvfb"] else "64x64", *(["64x64x8"] if program == ["Xvfb"] else []),
                                             "-nolisten", "tcp"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL))
            display += 1
    try:
        clock.wait()
        return {"servers": sum(server.poll() is None for server in servers)}
    finally:
        signal.alarm(0)
        for server in servers:
            server.terminate()
        for server in servers:
            server.wait()


# The bus, the journal, logind


def bus_message(kind, serial, fields, signature="", body=b"", flags=0):
    """One message of D-Bus, little-endian. Fields: 1 path, 2 interface, 3 member, 6 destination."""
    packed = b""
    for code, value in fields.items():
        packed += b"\0" * (-len(packed) % 8) + bytes([code, 1]) + (b"o\0" if code == 1 else b"s\0")
        packed += b"\0" * (-len(packed) % 4) + struct.pack("<I", len(value)) + value.encode() + b"\0"
    if signature:
        packed += b"\0" * (-len(packed) % 8) + b"\x08\1g\0" + bytes([len(signature)]) + signature.encode() + b"\0"
    head = struct.pack("<BBBBIII", ord("l"), kind, flags, 1, len(body), serial, len(packed)) + packed
    return head + b"\0" * (-len(head) % 8) + body


def bus_connection():
    bus = socket.socket(socket.AF_UNIX)
    bus.connect("/run/dbus/system_bus_socket")
    bus.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\nBEGIN\r\n")
    bus.sendall(bus_message(1, 1, {1: "/org/freedesktop/DBus", 6: "org.freedesktop.DBus", 2: "org.freedesktop.DBus", 3: "Hello"}))
    said = b""
    while b"NameAcquired" not in said:
        said += bus.recv(65536)
    bus.setblocking(False)
    return bus


def marshal(text):
    return struct.pack("<I", len(text)) + text.encode() + b"\0"


def flood_bus(clock, make, connections=4, a_second=50_000):
    """Sends what `make` makes with a serial over several connections, each of a process of its own; sums up the answers."""
    reads = []
    for number in range(connections):
        read, write = os.pipe()
        reads.append(read)
        if os.fork() == 0:
            counts = flood_once(clock, make, number, a_second / connections)
            os.write(write, json.dumps(counts).encode())
            os._exit(0)
        os.close(write)
    total = {}
    for read in reads:
        with open(read) as file:
            for name, count in json.loads(file.read() or "{}").items():
                total[name] = total.get(name, 0) + count
    return total


def flood_once(clock, make, number, a_second):
    counts = {"sent": 0, "answered": 0, "refused": 0, "connections": 0}
    while clock.left() > 0:
        bus = bus_connection()
        counts["connections"] += 1
        serial = 2
        waiting = b""
        began, sent = time.monotonic(), 0
        try:
            while clock.left() > 0:
                if not waiting and sent < (time.monotonic() - began) * a_second:
                    waiting = b"".join(make(serial + offset, number) for offset in range(100))
                    serial += 100
                    sent += 100
                    counts["sent"] += 100
                readable, writable, _ = select.select([bus], [bus] if waiting else [], [], 0.002)
                if writable:
                    waiting = waiting[bus.send(waiting):]
                if readable:
                    data = bus.recv(1 << 18)
                    if not data:
                        break
                    counts["refused"] += data.count(b"LimitsExceeded")
                    # Each answer has its own signature field of the serial that it answers: enough for a count.
                    counts["answered"] += data.count(b"\x05\x01u\x00")
        except OSError:
            pass
        bus.close()
    return counts


MANAGER = {1: "/org/termspan1", 6: "org.termspan1", 2: "org.termspan1.Manager"}
VALID = [("Status", "", b""), ("ListSessions", "", b""), ("GetPolicy", "", b"")]


@attack("user")
def bus_calls(options, clock):
    """50,000 calls a second to the collector over four connections: valid ones"""
    def make(serial, number):
        member, signature, body = VALID[serial % len(VALID)]
        # To every other nobody waits for an answer: the bus bounds how many are awaited, and not how many are sent.
        return bus_message(1, serial, MANAGER | {3: member}, signature, body, flags=serial & 1)
    return flood_bus(clock, make)


@attack("user")
def bus_rubbish(options, clock):
    """50,000 calls a second to the collector that no interface of its has: wrong members, objects, arguments, properties"""
    generator = random.Random(1)

    def make(serial, number):
        kind = serial % 5
        if kind == 0:
            return bus_message(1, serial, MANAGER | {3: "NoSuchMember"})
        if kind == 1:
            return bus_message(1, serial, MANAGER | {1: f"/org/termspan1/session/{generator.randrange(1 << 32)}", 3: "Get"}, "s", marshal("x" * 200))
        if kind == 2:
            return bus_message(1, serial, MANAGER | {3: "SetPolicy"}, "ss", marshal("new-users") + b"\0\0" + marshal("tracked"))
        if kind == 3:
            return bus_message(1, serial, MANAGER | {2: "org.freedesktop.DBus.Properties", 3: "GetAll"}, "s", marshal("\x1b[31m" * 10))
        return bus_message(1, serial, MANAGER | {3: "CollectActivity"}, "a{sv}", bytes(8))
    return flood_bus(clock, make)


@attack("user")
def bus_signals(options, clock):
    """50,000 signals a second that look like logind's and systemd's, to everybody and to the collector alone"""
    login = {1: "/org/freedesktop/login1", 2: "org.freedesktop.login1.Manager"}

    def make(serial, number):
        to = {6: "org.termspan1"} if serial % 2 else {}
        kind = serial // 2 % 4
        if kind == 0:
            return bus_message(4, serial, login | to | {3: "SessionRemoved"}, "so", marshal("c1") + b"\0" + marshal("/org/freedesktop/login1/session/c1"))
        if kind == 1:
            return bus_message(4, serial, login | to | {3: "SessionNew"}, "so", marshal(f"x{serial}") + b"\0" * (-len(f"x{serial}") - 5 & 3)
                               + marshal(f"/org/freedesktop/login1/session/x{serial}"))
        if kind == 2:
            return bus_message(4, serial, to | {1: f"/org/freedesktop/login1/session/x{serial}", 2: "org.freedesktop.DBus.Properties", 3: "PropertiesChanged"},
                               "sa{sv}as", marshal("org.freedesktop.login1.Session") + b"\0" + bytes(8))
        return bus_message(4, serial, to | {1: "/org/freedesktop/DBus", 2: "org.freedesktop.DBus", 3: "NameOwnerChanged"}, "sss",
                           marshal("org.freedesktop.login1") + b"\0" + marshal(":1.1") + b"\0\0\0" + marshal(""))
    return flood_bus(clock, make)


@attack("session")
def lock(options, clock):
    """the session's LockedHint changes as fast as logind takes it"""
    own = session_of_logind()
    path = "/org/freedesktop/login1/session/" + "".join(c if c.isalnum() and not (i == 0 and c.isdigit()) else f"_{ord(c):02x}" for i, c in enumerate(own))

    bus = bus_connection()
    bus.settimeout(30)
    counts = {"sent": 0, "answered": 0}
    fields = {1: path, 6: "org.freedesktop.login1", 2: "org.freedesktop.login1.Session", 3: "SetLockedHint"}
    # One after the other: what is queued at logind keeps others' questions waiting, and so hides the changes from them.
    while clock.left() > 0:
        counts["sent"] += 1
        serial = counts["sent"] + 1
        bus.sendall(bus_message(1, serial, fields, "b", struct.pack("<I", serial & 1)))
        answer = b""
        while b"\x05\x01u\x00" + struct.pack("<I", serial) not in answer:
            part = bus.recv(1 << 16)
            if not part:
                return counts
            answer += part
        counts["answered"] += 1
    return counts


def session_of_logind():
    """The ID of the session that this process is in, by its control group."""
    for line in Path("/proc/self/cgroup").read_text().splitlines():
        for part in line.split("/"):
            if part.startswith("session-") and part.endswith(".scope"):
                return part.removeprefix("session-").removesuffix(".scope")
    sys.exit("this is in no session")


@attack("user")
def journal(options, clock):
    """records in the journal that look like the collector's, 200 a second"""
    to = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
    count = 0
    for number in clock.rounds(200):
        fields = {"MESSAGE": "Session 1 of user root closed. FORGED", "MESSAGE_ID": f"6a1f0c52b8d94c0e9f0e5b7d3c1a7e{number % 14 + 1:02x}",
                  "TERMSPAN_EVENT": "session-closed", "TERMSPAN_SESSION": "1", "SESSION_ID": "c1", "USER_ID": "root", "LEADER": "1", "PRIORITY": "2",
                  "SYSLOG_IDENTIFIER": "termspand", "_UID": "0", "_SYSTEMD_UNIT": "termspand.service", "UNIT": "termspand.service",
                  "OBJECT_SYSTEMD_UNIT": "termspand.service", "TERMSPAN_SESSION_UUID": "00000000-0000-7000-8000-000000000000"}
        try:
            to.sendto("".join(f"{name}={value}\n" for name, value in fields.items()).encode(), "/run/systemd/journal/socket")
            count += 1
        except OSError:
            pass
    return {"records": count}


@attack("user")
def logons(options, clock):
    """logons and logoffs over ssh as fast as they come, eight at a time"""
    home = os.environ["HOME"]
    key = f"{home}/.ssh/id_hostile"
    if not os.path.exists(key):
        os.makedirs(f"{home}/.ssh", mode=0o700, exist_ok=True)
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", key], check=True)
        with open(f"{home}/.ssh/authorized_keys", "a") as file:
            file.write(Path(key + ".pub").read_text())
    command = ["ssh", "-q", "-i", key, "-o", "StrictHostKeyChecking=no", "-o", "UserKnownHostsFile=/dev/null", "-o", "BatchMode=yes", "127.0.0.1", "true"]
    counts = {"logons": 0, "refused": 0}

    def loop():
        while clock.left() > 0:
            logon = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
            while logon.returncode is None:
                with contextlib.suppress(subprocess.TimeoutExpired):
                    logon.wait(0.2)
                # One that waits for logind may wait for long.
                if clock.left() <= 0:
                    logon.kill()
            counts["refused" if logon.returncode else "logons"] += 1
    # What they wait for at the end, a fork or the kernel's end of a process, may take longer than there is.
    threads = [threading.Thread(target=loop, daemon=True) for _ in range(8)]
    for thread in threads:
        thread.start()
    clock.wait()
    for thread in threads:
        thread.join(0.5)
    return dict(counts)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("attack", nargs="?", choices=sorted(ATTACKS), metavar="ATTACK")
    parser.add_argument("--list", action="store_true", help="print the attacks and end")
    parser.add_argument("--seconds", type=float, default=10, help="how long (default: %(default)s)")
    parser.add_argument("--display", help="where a false X server or socket is to be, such as :1007")
    parser.add_argument("--target", help="what is attacked: a pid or a path, where the attack has one")
    parser.add_argument("-auth", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.list or not options.attack:
        print(json.dumps([{"name": name, "where": where, "what": function.__doc__.splitlines()[0]} for name, (where, function) in sorted(ATTACKS.items())]))
        return
    clock = Clock(options.seconds)
    result = ATTACKS[options.attack][1](options, clock)
    print(json.dumps({"attack": options.attack, **result, "seconds": round(time.monotonic() - clock.began, 2)}), flush=True)


if __name__ == "__main__":
    main()
