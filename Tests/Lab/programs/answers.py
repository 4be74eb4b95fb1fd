"""Asks for reports as a user who means no good, and tries what the bus is to refuse; it ends with its standard input.

usage: answers.py

For each line that it reads it prints one of JSON:
  ask N         asks so often for the own spans and reads nothing of the answers: how often each was said
  peek N        likewise, reads a byte of each and closes it
  vanish N      over so many connections asks once, and is gone before it is answered
  drop          closes all answers
  own NAME      takes a name on the bus: what was said
  match RULE    has the bus pass on more
  monitor       has the bus pass on everything
  subscribe     to what happens in sessions
  others        what came besides answers since it was asked last: kind, member, destination
"""

import collections
import json
import os
import struct
import sys
from pathlib import Path

sys.path[:0] = [str(Path(__file__).resolve().parent)]

from hostile import bus_message, marshal  # noqa: E402
from subscriber import DAEMON, Connection  # noqa: E402

REPORTS = {1: "/org/termspan1/reports", 6: "org.termspan1.Reports", 2: "org.termspan1.Reports"}
SPANS = ("a{sv}", bytes(8))
MEMBER, DESTINATION = 3, 6


def main():
    bus, answers = Connection(), []
    for line in sys.stdin:
        word, _, argument = line.strip().partition(" ")
        said = None
        if word in ("ask", "peek"):
            said = collections.Counter()
            for _ in range(int(argument)):
                said[bus.call("Spans", REPORTS, *SPANS)] += 1
                if word == "peek":
                    for descriptor in bus.descriptors:
                        os.read(descriptor, 1)
                        os.close(descriptor)
                else:
                    answers += bus.descriptors
                bus.descriptors.clear()
        elif word == "vanish":
            for _ in range(int(argument)):
                one = Connection()
                one.socket.sendall(bus_message(1, 99, REPORTS | {3: "Spans"}, *SPANS))
                one.socket.close()
        elif word == "drop":
            while answers:
                os.close(answers.pop())
        elif word == "own":
            said = bus.call("RequestName", DAEMON, "su", marshal(argument) + bytes(-(len(argument) + 1) % 4 + 4))
        elif word == "match":
            said = bus.call("AddMatch", DAEMON, "s", marshal(argument))
        elif word == "monitor":
            said = bus.call("BecomeMonitor", DAEMON | {2: "org.freedesktop.DBus.Monitoring"}, "asu", struct.pack("<II", 0, 0))
        elif word == "subscribe":
            said = bus.call("Subscribe")
        elif word == "others":
            # All that was passed on before comes before the answer.
            bus.call("GetId", DAEMON)
            said = [(kind, fields.get(MEMBER), fields.get(DESTINATION)) for kind, fields in bus.others]
            bus.others.clear()
        print(json.dumps(said), flush=True)


main()
