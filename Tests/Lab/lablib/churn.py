"""A churn: users log on and off, go and come back, on all stacks at once and by real clients; see Tests/Lab/churn.

Everything is drawn from one seed, in rounds: what happens in a round happens at once, and the next begins when all of it is done, so
that chance has the same to draw from whenever the run is had again. Restarts happen in the midst of it. The table is read all the
time, and at checkpoints, when nothing moves, compared with what there is.
"""

import json
import random
import subprocess
import threading
import time
from collections import Counter, namedtuple
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

from .churn_check import Identities, Session, Spoiled, check_history, check_table, ended_by_themselves
from .churn_seats import SEATS, GenericSeat, connections
from .host import LabError, wait_until
from .product import Product, moment, percentile
from .soak_check import SECOND, Finding
from .soak_faults import RECOVERY_SECONDS, collector_kill, collector_restart, logind_restart, now, wait_logind
from .soak_report import REST, Store, check_numbers, line

REAL = ("xrdp", "x2go", "vnc", "ssh")
# What a session and its client take of the machine's memory, in MB, and what is left for others.
COSTS = {"xrdp": 90, "x2go": 60, "vnc": 80, "ssh": 30, "generic": 40}
RESERVE = 2000
# Seats at which something happens in a round, and rounds from one checkpoint to the next.
ROUND, CHECKPOINT_ROUNDS = 24, 3
# The share of connections that come from where their seat's client has not been yet.
ELSEWHERE = 0.7
# Seconds: until the table at rest must be right; from a logon to its row; without an answer from the collector.
SETTLE, APPEAR, SILENCE = 10, 60, 30
# From how many seconds on the report says what it was that took long to become right.
NOTED = 3
READING_PAUSE = 0.5
# Nothing is shown by logons that fail.
TROUBLE_SHARE = 0.02


@dataclass
class Plan:
    """What a churn is made of. It ends with so many logons or after so many seconds, those before all are there not counted."""

    sessions: int = 40
    logons: int = None
    seconds: float = None
    seed: int = 1
    # How many users act at the same time.
    workers: int = 10
    # The share of rounds in which something is restarted.
    restarts: float = 0.5


Act = namedtuple("Act", "seat kind user address")
# `late` is what was wrong for longer than NOTED, with how long.
Checkpoint = namedtuple("Checkpoint", "sessions took late")
Reading = namedtuple("Reading", "at rows")


def stacks_for(count, megabytes):
    """The stacks of the seats: so many on real ones, and one generic for every ten; what memory doesn't stand is generic too."""
    stacks = []
    for number in range(count):
        stack = REAL[number % len(REAL)]
        stacks.append(stack if megabytes >= COSTS[stack] else "generic")
        megabytes -= COSTS[stacks[-1]]
    return stacks + ["generic"] * max(1, count // 10)


def available_megabytes():
    lines = Path("/proc/meminfo").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable:")) // 1024 - RESERVE


def logind_kill(churn, chance):
    """kill -9 of logind."""
    unit = "systemd-logind.service"
    old = churn.product.main_pid(unit)
    churn.product.kill(old)
    wait_until("another logind", lambda: churn.product.main_pid(unit) not in (None, old), RECOVERY_SECONDS)
    wait_logind(churn)


# Each is given the churn and a source of chance; while logind's happen nobody can log on or off, product or not.
RESTARTS = {"collector-kill": collector_kill, "logind-kill": logind_kill, "collector-restart": collector_restart, "logind-restart": logind_restart}


class Churn:
    """One run: `prepare`, `work`, `finish`, then `describe`; `findings` are what is wrong."""

    def __init__(self, lab, package, plan, folder, say):
        self.lab, self.package, self.plan, self.folder, self.say = lab, package, plan, Path(folder), say
        self.product = Product(lab)
        # Debian 13's logind, when it starts again, ends what runs in logins that are over, X2Go's desktops among it.
        self.restarts = [kind for kind in RESTARTS if lab.container.state["suite"] == "bookworm" or not kind.startswith("logind")]
        self.seats, self.users = [], []
        self.sessions, self.checkpoints, self.spoiled, self.troubles = [], [], [], []
        self.counts = Counter()
        self.findings, self._found = [], set()
        self.identities = Identities(REST)
        self.reading = Reading(0, [])
        self.silences, self.history = [], []
        self.rounds = 0
        self.took = 0
        self._begin = now()
        self._known = set()
        self._lock = threading.Lock()
        # Whoever logs on or off holds one, whoever restarts logind all of them.
        self._logons, self._turnstile = threading.Semaphore(plan.workers), threading.Lock()
        self._stopping = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._events = open(self.folder / "events.jsonl", "w", buffering=1)

    # What happens, written down

    def note(self, what, **fields):
        with self._lock:
            self._events.write(json.dumps({"what": what, "at": now(), **fields}) + "\n")

    def count(self, *what):
        with self._lock:
            self.counts[what] += 1

    def find(self, *findings):
        """Something that is wrong; the same thing is told once."""
        for finding in findings:
            if (finding.session, finding.text) not in self._found:
                self._found.add((finding.session, finding.text))
                self.findings.append(finding)
                self.note("finding", of=finding.session, text=finding.text)
                self.say(f"FINDING: {finding.session}: {finding.text}")

    def trouble(self, what, error):
        """Something that the product has no part in."""
        self.troubles.append(f"{what}: {str(error).splitlines()[0]}")
        self.note("trouble", of=what, text=str(error))
        self.say(f"trouble: {self.troubles[-1]}")

    def total(self, what):
        return sum(count for (kind, _), count in self.counts.items() if kind == what)

    def present(self):
        return [seat.session for seat in self.seats if seat.session]

    # Before

    def prepare(self):
        stacks = stacks_for(self.plan.sessions, available_megabytes())
        self.seats = [SEATS[stack](self.lab, number) for number, stack in enumerate(stacks)]
        self.say(f"seats: {counted(stacks)}")
        # One user may sit at several, and whoever logs on in a round is no one who logs off in it.
        self.users = self.lab.users(self.plan.sessions * 3 // 4 + min(ROUND, len(self.seats)), only_missing=True)
        for record in self.lab.logins():
            if record.get("user"):
                self.lab.end(record["user"])
        GenericSeat.prepare(self.lab)
        self.product.install(self.package)
        self.product.reset()
        self.product.wait_ready()
        self.product.track(*self.users, reason="a churn")
        self._reader.start()

    # What goes on

    def work(self):
        """Logs users on until all seats are taken, lets everything happen until the plan is done, and logs all off."""
        self._begin = now()
        chance = random.Random(self.plan.seed)
        self._round([Act(seat, "log_on", user, seat.address) for seat, user in zip(self.seats, self._first_users(chance))])
        self.checkpoint()
        begin, turn = now(), []
        while not self._is_done(begin):
            acts = self._draw(chance)
            restart = None
            if chance.random() < self.plan.restarts:
                # Each kind in turn, each turn in another order.
                turn = turn or chance.sample(self.restarts, len(self.restarts))
                restart = turn.pop(), chance.uniform(0, 3), random.Random(chance.random())
            self._round(acts, restart)
            self.rounds += 1
            if self.rounds % CHECKPOINT_ROUNDS == 0:
                self.checkpoint()
        self.took = (now() - begin) / SECOND
        if self.rounds % CHECKPOINT_ROUNDS:
            self.checkpoint()
        self._round([Act(seat, "log_off", None, None) for seat in self.seats if seat.session])
        self.checkpoint()

    def _is_done(self, begin):
        if self.plan.logons and self.total("logon") >= self.plan.logons:
            return True
        return bool(self.plan.seconds) and now() - begin >= self.plan.seconds * SECOND

    def _first_users(self, chance):
        taken = set()
        for seat in self.seats:
            yield self._free_user(seat, taken, chance)

    def _free_user(self, seat, taken, chance):
        """Draws a user who has no session of the seat's service, and has it taken."""
        user = chance.choice([user for user in self.users if (user, seat.service) not in taken])
        taken.add((user, seat.service))
        return user

    def _draw(self, chance):
        """What happens in a round."""
        taken = {(seat.session.user, seat.service) for seat in self.seats if seat.session}
        acts = []
        for seat in chance.sample(self.seats, min(ROUND, len(self.seats))):
            kind = chance.choice(seat.kinds)
            user = self._free_user(seat, taken, chance) if kind in ("log_on", "replace") else None
            if kind in ("log_on", "replace", "reconnect") and chance.random() < ELSEWHERE:
                seat.address = seat.elsewhere()
            acts.append(Act(seat, kind, user, seat.address))
        return acts

    def _round(self, acts, restart=None):
        with ThreadPoolExecutor(self.plan.workers + 1) as pool:
            futures = [pool.submit(self._restart, *restart)] if restart else []
            futures += [pool.submit(self._act, act) for act in acts]
            for future in futures:
                future.result()
        live = Counter(session.stack for session in self.present())
        self.say(f"{(now() - self._begin) / SECOND:.0f} s: {self.total('logon')} logons, {self.total('logoff')} logoffs, {self.total('reconnect')} reconnects, "
                 f"{self.total('restart')} restarts; {sum(live.values())} sessions; {len(self.troubles)} troubles, {len(self.findings)} findings")

    @contextmanager
    def _with_logind(self, all_of_it=False):
        """Held by what logind has a part in; all of it by whoever restarts logind."""
        permits = self.plan.workers if all_of_it else 1
        with self._turnstile:
            for _ in range(permits):
                self._logons.acquire()
        try:
            yield
        finally:
            self._logons.release(permits)

    def _restart(self, kind, delay, chance):
        time.sleep(delay)
        try:
            if kind.startswith("logind"):
                with self._with_logind(all_of_it=True):
                    self._run_restart(kind, chance)
            else:
                self._run_restart(kind, chance)
        except LabError as error:
            self.find(Finding(kind, now(), str(error)))

    def _run_restart(self, kind, chance):
        begin = now()
        RESTARTS[kind](self, chance)
        self.count("restart", kind)
        self.note("restart", kind=kind, begin=begin)

    def _act(self, act):
        seat, begin = act.seat, time.time()
        try:
            if act.kind in seat.quiet:
                self._do(act)
            else:
                with self._with_logind():
                    self._do(act)
        except (LabError, OSError, subprocess.SubprocessError) as error:
            self.trouble(f"{act.kind} at {seat.name} ({seat.stack})", error)
            for user in {act.user, seat.session and seat.session.user} - {None}:
                seat.abandon(user)
                self.spoiled.append(Spoiled(user, begin, time.time()))
            if seat.session:
                seat.session.gone = now()
                seat.session = None

    def _do(self, act):
        seat = act.seat
        if act.kind in ("log_off", "replace"):
            self._log_off(seat)
        if act.kind in ("log_on", "replace"):
            self._log_on(act)
        elif act.kind == "reconnect":
            before = seat.session.address
            seat.reconnect(act.address)
            seat.session.state, seat.session.address = "active", act.address
            seat.session.addresses.add(act.address)
            self.count("reconnect", seat.stack)
            if before != act.address:
                self.count("moved", seat.stack)
        elif act.kind == "restart_server":
            seat.restart_server()
            self.count("server", seat.stack)
        elif act.kind != "log_off":
            getattr(seat, act.kind)()
            seat.session.state = "disconnected"
            self.count("disconnect", seat.stack)
        self.note(act.kind, seat=seat.name, session=seat.session and seat.session.name, address=act.address)

    def _log_on(self, act):
        seat, begin = act.seat, now()
        seat.logons += 1
        name = f"{act.user} at {seat.name}, {seat.stack}, logon {seat.logons}"
        session = Session(name, act.user, seat.stack, begin, address=act.address, addresses={act.address}, **seat.log_on(act.user, act.address))
        seat.session = session
        self.sessions.append(session)
        self.count("logon", seat.stack)
        self.note("logon", session=name, login=session.login, display=session.display)
        try:
            row = wait_until(f"a row of {name}", lambda: self._row_of(session), APPEAR)
        except LabError as error:
            return self.find(Finding(name, begin, str(error)))
        session.identity = row["id"], row["uuid"]
        self._known.add(row["uuid"])

    def _row_of(self, session):
        """The row of a session that has just begun; logind gives its IDs again, so an older one's may be in a reading from before."""
        at, rows = self.reading
        return at > session.begin and next((row for row in rows if row["user"] == session.user and session.login in row["logind_sessions"]
                                            and row["uuid"] not in self._known), None)

    def _log_off(self, seat):
        session = seat.session
        seat.log_off()
        session.gone, seat.session = now(), None
        self.count("logoff", seat.stack)
        self.note("logoff", session=session.name)

    # Looking

    def _read(self):
        """Reads the table until nobody wants to know, and has each reading checked."""
        answered = now()
        while not self._stopping.wait(READING_PAUSE):
            at = now()
            try:
                rows = self.product.query_sessions()
            except LabError:
                self.count("no answer", "readings")
                continue
            self.silences.append((at - answered) / SECOND)
            if self.silences[-1] > SILENCE:
                self.find(Finding("collector", at, f"no answer for {self.silences[-1]:.0f} s"))
            answered = now()
            self.find(*self.identities.read(rows, at))
            self.reading = Reading(at, rows)

    def checkpoint(self):
        """Nothing moves: within some seconds the table must say what is."""
        begin, late = now(), {}
        while True:
            findings, evidence = self._compare()
            took = (now() - begin) / SECOND
            late |= {f"{finding.session}: {finding.text}": took for finding in findings}
            if not findings or took > SETTLE:
                break
            time.sleep(READING_PAUSE)
        if findings:
            path = self.folder / f"checkpoint-{len(self.checkpoints) + 1}.json"
            path.write_text(json.dumps(evidence, indent=1, default=str))
            self.find(*findings)
            self._adopt(evidence.get("rows", []))
        late = {text: lasted for text, lasted in late.items() if lasted > NOTED}
        self.checkpoints.append(Checkpoint(Counter((session.stack, session.state) for session in self.present()), took, late))
        self.note("checkpoint", took=took, findings=len(findings), late=late)

    def _adopt(self, rows):
        """An identity that changed has been found, and holds from here on."""
        for session in self.present():
            found = [row for row in rows if row["user"] == session.user and session.login in row["logind_sessions"]]
            if len(found) == 1:
                session.identity = found[0]["id"], found[0]["uuid"]

    def _compare(self):
        listed = {line.split()[0] for line in self.lab.enter(["loginctl", "list-sessions", "--no-legend"]).stdout.splitlines()}
        # X2Go's service looks after each session by su(1), whose logins are nobody's who is there.
        logins = {record["id"]: (record["user"], record["state"]) for record in self.lab.logins()
                  if record["id"] in listed and not record.get("class", "").startswith("background")}
        links = connections(self.lab)
        ended, left = ended_by_themselves(self.present(), logins, links)
        for session in ended:
            self.trouble(session.name, "its session ended by itself")
        for seat in self.seats:
            if seat.session in ended:
                seat.session.gone, seat.session = now(), None
        for session in left:
            self.trouble(session.name, "its client ended by itself")
            session.state = "disconnected"
        for seat in self.seats:
            if seat.session and seat.session.state == "active" and not seat.has_client(links):
                # What is left of it would be a session of its own: an agent that lost its client, whose ssh goes on.
                self.trouble(seat.session.name, "its client ended in part")
                seat.end_client()
                seat.session.state = "disconnected"
        try:
            rows = self.product.query_sessions()
        except LabError as error:
            return [Finding("table", now(), str(error))], {}
        present = self.present()
        evidence = {"rows": rows, "logins": logins, "connections": sorted(links), "sessions": [asdict(session) for session in present]}
        return check_table(rows, present, logins, links, now()), evidence

    # After

    def finish(self):
        """Compares what is stored of the whole run."""
        self._stopping.set()
        self._reader.join()
        try:
            wait_until("all sessions to be closed in the store", lambda: self.product.open_rows() == (0, 0), RECOVERY_SECONDS,
                       progress=lambda: f"{self.product.open_rows()} sessions and checkpoints left\n{self.product.report()}")
        except LabError as error:
            self.find(Finding("store", 0, str(error)))
        # Only what is recorded has a start; the rest is the journal's.
        self.history = [row for row in self.product.listing("session", "history", "--all") if row["start"]]
        (self.folder / "history.json").write_text(json.dumps(self.history, indent=1))
        findings = check_history(self.history, self.sessions, self.spoiled, moment)
        self.find(*findings)
        self.product.copy_store(self.folder / "termspan.db")
        held = Store(self.folder / "termspan.db").sessions
        self.find(*check_numbers(held))
        acts = sum(count for (what, _), count in self.counts.items() if what in ("logon", "logoff", "disconnect", "reconnect"))
        if len(self.troubles) > max(1, TROUBLE_SHARE * acts):
            self.find(Finding("lab", 0, f"{len(self.troubles)} of {acts} acts went wrong"))

    def clean(self):
        """Ends whatever is left, so that nothing stays of a run that failed."""
        self._stopping.set()
        for seat in self.seats:
            if seat.session:
                seat.abandon(seat.session.user)
            self.lab.client(seat.name).remove()
        # It drops what it has of logins that are gone.
        self.lab.enter(["systemctl", "restart", "systemd-logind.service"])
        for user in {record["user"] for record in self.lab.logins() if record.get("user")}:
            self.lab.end(user)
        self._events.close()

    def describe(self):
        """The table of figures and the verdict, as lines."""
        yield (f"churn: seed {self.plan.seed}, {len(self.seats)} seats, {len(self.users)} users, {self.rounds} rounds in {self.took:.0f} s "
               "after all had logged on")
        yield line("seats", counted(seat.stack for seat in self.seats))
        for what, title in (("logon", "logons"), ("logoff", "logoffs"), ("disconnect", "disconnects"), ("reconnect", "reconnects"),
                            ("moved", "of these from another address than before"), ("server", "X servers killed, for another to come late"),
                            ("restart", "restarts")):
            parts = {stack: count for (kind, stack), count in sorted(self.counts.items()) if kind == what}
            yield line(title, f"{sum(parts.values())}: " + ", ".join(f"{stack} {count}" for stack, count in parts.items()))
        yield line("checkpoints", f"{len(self.checkpoints)}; until the table was right: {spread([each.took for each in self.checkpoints])} s")
        for each in self.checkpoints:
            for text, lasted in each.late.items():
                yield f"  right after {lasted:.1f} s only: {text}"
        full = [each.sessions for each in self.checkpoints if each.sessions]
        yield line("sessions at a checkpoint, the last without any left out", spread([sum(each.values()) for each in full]))
        for stack in SEATS:
            states = [f"{state} {spread([each[stack, state] for each in full])}" for state in ("active", "disconnected")]
            yield line(f"of them {stack}", ", ".join(states))
        yield line("readings of the table in between", f"{self.identities.readings}, longest without an answer {max(self.silences, default=0):.1f} s")
        numbers = [seen.number for seen in self.identities.seen.values()]
        yield line("sessions seen; the highest number; numbers given once more after their rest", f"{len(numbers)}; {max(numbers, default=0)}; {self.identities.reused}")
        yield line("sessions in the history", len(self.history))
        yield line("troubles that the product has no part in", len(self.troubles))
        for trouble in self.troubles[:20]:
            yield f"  {trouble}"
        yield line("verdict", f"FAILED, {len(self.findings)} findings" if self.findings else "passed")
        for finding in self.findings[:50]:
            at = f"{(finding.at - self._begin) / SECOND:10.3f} s  " if finding.at else ""
            yield f"  {at}{finding.session}: {finding.text}"


def counted(things):
    return ", ".join(f"{count} {thing}" for thing, count in Counter(things).items())


def spread(values):
    if not values:
        return "none"
    least, middle, most = (f"{round(value, 1):g}" for value in (min(values), percentile(values, 0.5), max(values)))
    return least if least == most else f"min {least}, median {middle}, max {most}"
