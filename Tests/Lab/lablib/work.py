"""Users who work by script: what they did is known to the moment, so that it can be compared with what is held of it."""

from .host import LabError, wait_until
from .product import moment

WINDOWS = ("Red", "Green", "Blue")
# Runs in the session: makes one window after the other the active one and writes down when it has asked for it, till it is told to stop.
SWITCHING = r"""
    folder=$1 pause=$2
    shift 2
    while :; do
        for name; do
            [ ! -e $folder/stop ] || exit
            xdotool windowactivate $(cat $folder/window-$name)
            echo "$name $EPOCHREALTIME" >>$folder/switched
            sleep $pause
        done
    done
"""


class Switching:
    """A user who changes between three windows all the time; `steps` is what was done, in order."""

    def __init__(self, lab, user, folder):
        self.lab, self.user = lab, user
        self.folder = folder
        self.pid = None
        self.outside = lab.root / folder.lstrip("/")

    def prepare(self):
        """Opens the windows."""
        self.lab.enter(["mkdir", "-p", self.folder], user=self.user)
        for name in WINDOWS:
            self.lab.run(self.user, ["xterm", "-class", name])
            self.lab.focus(self.user, name)
            self.lab.run(self.user, ["sh", "-c", f"xdotool getactivewindow >{self.folder}/window-{name}"], wait=True)

    def remove(self):
        """Ends what still works and removes what it left."""
        if self.pid and (self.lab.root / f"proc/{self.pid}").exists():
            self.stop()
        self.lab.enter(["rm", "-rf", self.folder])

    def start(self, pause):
        (self.outside / "stop").unlink(missing_ok=True)
        (self.outside / "switched").unlink(missing_ok=True)
        self.pid = self.lab.run(self.user, ["bash", "-c", SWITCHING, "bash", self.folder, str(pause), *WINDOWS])

    @property
    def steps(self):
        try:
            lines = (self.outside / "switched").read_text().splitlines()
        except FileNotFoundError:
            return []
        return [(name, float(at)) for name, at in map(str.split, lines)]

    def wait_steps(self, count, timeout=30):
        """Waits till so many more switches were made."""
        wanted = len(self.steps) + count
        wait_until(f"{wanted} changes of the window", lambda: len(self.steps) >= wanted, timeout, progress=self.processes)

    def processes(self):
        """What the user's processes wait for, where one wants to know why nothing goes on."""
        return self.lab.enter(["ps", "-u", self.user, "-o", "pid,stat,wchan:24,args"], check=False).stdout

    def stop(self):
        (self.outside / "stop").touch()
        wait_until("the end of the switching", lambda: not (self.lab.root / f"proc/{self.pid}").exists(), 20, progress=self.processes)


class WorkDay:
    """One user's work from a moment on, and whether all of it is held: every switch once, in order, without a gap, and nothing Unknown."""

    def __init__(self, product, user, folder=None):
        self.product, self.user = product, user
        self.work = Switching(product.lab, user, folder or f"/home/{user}/switching")

    def begin(self, pause):
        lab = self.product.lab
        lab.focus(self.user, WINDOWS[-1])
        wait_until("the window to be held", lambda: [span["class"] for span in self.product.spans(self.user, open=True)[-1:]] == [WINDOWS[-1]], 20,
                   progress=self.product.report)
        self.unknown = sum(row["unknown"] for row in self.product.summary(self.user))
        self.known = len(self.product.spans(self.user, open=True))
        self.work.start(pause)

    def end(self):
        """Stops the work and returns how far each span's start is from the note of its switch, in milliseconds; raises where something is wrong."""
        self.work.stop()
        steps = self.work.steps
        def held():
            spans = self.product.spans(self.user, open=True)[self.known:]
            return spans[-1:] and spans[-1]["class"] == steps[-1][0] and spans
        spans = wait_until(f"the last switch of {self.user} to be held", held, 20, progress=self.product.report)
        for before, after in zip(spans, spans[1:]):
            if before["end"] != after["start"]:
                raise LabError(f"{self.user}: a span ends at {before['end']} and the next begins at {after['start']}")
        # On the way from one window to the next the window manager says for some milliseconds that none is active.
        spans = [span for span in spans if span["class"]]
        done, found = [name for name, _ in steps], [span["class"] for span in spans]
        if done != found:
            place = next((index for index, pair in enumerate(zip(done, found)) if pair[0] != pair[1]), min(len(done), len(found)))
            raise LabError(f"{self.user}: {len(done)} switches, {len(found)} spans; they differ from number {place} on: "
                           f"{steps[place - 2:place + 3]} and {[(span['class'], span['start']) for span in spans[place - 2:place + 3]]}")
        unknown = sum(row["unknown"] for row in self.product.summary(self.user)) - self.unknown
        if unknown != 0:
            raise LabError(f"{self.user}: {unknown} s became Unknown")
        return [abs(moment(span["start"]) - at) * 1000 for span, (_, at) in zip(spans, steps)]
