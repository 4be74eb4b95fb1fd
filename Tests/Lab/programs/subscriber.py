"""Holds subscriptions to what happens in sessions (org.termspan1(5)), each over a connection to the bus of its own.

usage: subscriber.py       as any user; it ends with its standard input

For each line that it reads it prints one, 'done' or the name of the error and what it says:
  open          another connection that subscribes; it stays, also where it is refused
  again         the last one subscribes once more
  unsubscribe   the last one unsubscribes
  close         the last one is closed
"""

import os
import socket
import struct
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from hostile import MANAGER, bus_message  # noqa: E402

BUS = "org.freedesktop.DBus"
RETURN, ERROR, SIGNAL = 2, 3, 4
DAEMON = {1: "/org/freedesktop/DBus", 6: BUS, 2: BUS}
# Header fields (D-Bus specification).
ERROR_NAME, REPLY_SERIAL = 4, 5


class Connection:
    def __init__(self):
        self.socket = socket.socket(socket.AF_UNIX)
        self.socket.settimeout(30)
        self.socket.connect("/run/dbus/system_bus_socket")
        self.socket.sendall(b"\0AUTH EXTERNAL " + str(os.getuid()).encode().hex().encode() + b"\r\n")
        for word in (b"NEGOTIATE_UNIX_FD\r\n", b"BEGIN\r\n"):
            # No message comes before BEGIN.
            said = b""
            while not said.endswith(b"\r\n"):
                said += self.socket.recv(1)
            self.socket.sendall(word)
        self.serial = 0
        # What came with messages, and what came besides answers: kind and header fields.
        self.descriptors, self.others = [], []
        self.said = self.call("Hello", DAEMON)

    def call(self, member, target=MANAGER, signature="", body=b""):
        """Calls a method and returns 'done' or the error."""
        self.serial += 1
        self.socket.sendall(bus_message(1, self.serial, target | {3: member}, signature, body))
        while True:
            kind, fields, body = self.receive()
            if kind not in (RETURN, ERROR):
                self.others.append((kind, fields))
            if kind in (RETURN, ERROR) and fields[REPLY_SERIAL] == self.serial:
                # What an error says is a text that its body begins with.
                return "done" if kind == RETURN else f"{fields[ERROR_NAME]}: {body[4:4 + struct.unpack_from('<I', body)[0]].decode() if body else ''}"

    def receive(self):
        """The next message: its kind, its header fields by code, its body."""
        head = self.exactly(16)
        size, _, length = struct.unpack_from("<III", head, 4)
        data = head + self.exactly(length + -length % 8)
        fields, offset = {}, 16
        while offset < 16 + length:
            offset += -offset % 8
            code, signature = data[offset], data[offset + 2:offset + 3]
            offset += 4
            if signature == b"g":
                offset += 2 + data[offset]
                continue
            number, = struct.unpack_from("<I", data, offset)
            offset += 4
            fields[code] = number
            if signature != b"u":
                fields[code] = data[offset:offset + number].decode()
                offset += number + 1
        return head[1], fields, self.exactly(size)

    def exactly(self, length):
        data = b""
        while len(data) < length:
            more, descriptors, _, _ = socket.recv_fds(self.socket, length - len(data), 16)
            self.descriptors += descriptors
            if not more:
                sys.exit("the bus has closed a connection")
            data += more
        return data


def main():
    connections = []
    for line in sys.stdin:
        word = line.strip()
        if word == "open":
            connections.append(Connection())
            said = connections[-1].said if connections[-1].said != "done" else connections[-1].call("Subscribe")
        elif word == "close":
            connections.pop().socket.close()
            said = "done"
        else:
            said = connections[-1].call({"again": "Subscribe", "unsubscribe": "Unsubscribe"}[word])
        print(said, flush=True)


if __name__ == "__main__":
    main()
