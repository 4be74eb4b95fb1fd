"""Floods of calls on the bus of a lab, and what they do to those who call as well.

    floods = BusFloods(lab)
    with floods.probe("user2") as calls, floods.probe("user2", to="org.freedesktop.hostname1", kind="ping") as control:
        periods = floods.alternate("user1", rounds=3, kind="mix", connections=16)
    calm, flooded = calls.split(periods)

Calm and flood take turns in one run, so that what else the machine does falls on both. The second probe calls a service that nobody
floods: what it loses is what the bus itself takes from everybody.
"""

import json
import shutil
import subprocess
import tempfile
import time

from .host import LabError
from .programs import static

# How long the bus goes on reading what a flood has left in its sockets.
AFTERMATH = 0.8
INSIDE = "/usr/local/lib/termspan-lab/bus-flood"


class Period:
    """A time in which there was a flood, in seconds of the monotonic clock; `result` is what became of its calls."""

    def __init__(self, begin, end, result):
        self.begin, self.end, self.result = begin, end, result


class Probe:
    """One caller who calls again and again, as a context; `samples` are (moment, seconds, word) once it is left."""

    def __init__(self, command):
        self.samples = []
        self._command = command

    def __enter__(self):
        self._output = tempfile.TemporaryFile("w+")
        self._process = subprocess.Popen(self._command, stdin=subprocess.DEVNULL, stdout=self._output, stderr=subprocess.PIPE, text=True)
        return self

    def __exit__(self, *error):
        # It ends by itself when it may: a signal would reach only what entered the lab.
        _, complaint = self._process.communicate(timeout=120)
        if self._process.returncode != 0 and not any(error):
            raise LabError(f"a probe failed: {complaint}")
        self._output.seek(0)
        for line in self._output:
            at, duration, word = line.split()
            self.samples.append((int(at) / 1e6, int(duration) / 1e6, word))
        self._output.close()

    def split(self, periods):
        """The durations in milliseconds of the calls that were made in no flood, and of those that were made in one."""
        calm, flooded = [], []
        for at, duration, _ in self.samples:
            inside = any(period.begin <= at <= period.end for period in periods)
            # What reaches into a flood, and what it has left in the queues, belongs to neither.
            near = any(at + duration > period.begin and at <= period.end + AFTERMATH for period in periods)
            if inside:
                flooded.append(duration * 1000)
            elif not near:
                calm.append(duration * 1000)
        return calm, flooded

    def by_period(self, periods):
        """The durations in milliseconds of the calls that were made in each flood, for those floods in which there was one."""
        inside = ([duration * 1000 for at, duration, _ in self.samples if period.begin <= at <= period.end] for period in periods)
        return [values for values in inside if values]

    def words(self):
        """How many calls were answered how: return, error, limit, nothing."""
        counts = {}
        for _, _, word in self.samples:
            counts[word] = counts.get(word, 0) + 1
        return counts


class BusFloods:
    def __init__(self, lab):
        self.lab = lab
        program = lab.root / INSIDE.lstrip("/")
        program.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(static("bus_flood.c"), program)

    def command(self, user, mode, **options):
        return self.lab.container.command([INSIDE, mode, *(str(word) for pair in options.items() for word in pair)], user=user)

    def flood(self, user, *, seconds=5, **options):
        """Floods to the end and returns what became of the calls."""
        return json.loads(subprocess.run(self.command(user, "flood", seconds=seconds, **options), stdin=subprocess.DEVNULL,
                                         stdout=subprocess.PIPE, check=True, text=True, timeout=seconds + 60).stdout)

    def probe(self, user, *, seconds, **options):
        return Probe(self.command(user, "probe", seconds=seconds, **options))

    def alternate(self, user, *, rounds, calm=1.5 + AFTERMATH, flood=2, **options):
        """Calm and flood in turn; returns the floods' periods."""
        periods = []
        for _ in range(rounds):
            time.sleep(calm)
            begin = time.monotonic()
            result = self.flood(user, seconds=flood, **options)
            # It connects first and waits half a second for the last answers.
            periods.append(Period(begin, begin + flood, result))
        time.sleep(calm)
        return periods

    def usage(self, pid):
        """Seconds of processor time and kilobytes of memory, now and at most, of a process inside."""
        folder = self.lab.root / f"proc/{pid}"
        fields = (folder / "stat").read_text().rsplit(")", 1)[1].split()
        status = dict(line.split(":", 1) for line in (folder / "status").read_text().splitlines())
        return (int(fields[11]) + int(fields[12])) / 100, int(status["VmRSS"].split()[0]), int(status["VmHWM"].split()[0])
