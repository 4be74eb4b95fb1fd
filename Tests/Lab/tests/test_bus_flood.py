"""A user who calls the collector as fast as the bus carries it costs nobody else.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one. Tests/Benchmarks/bus-flood measures more kinds of floods.
"""

import statistics
import subprocess
import sys
import time
import unittest
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.flood import BusFloods  # noqa: E402
from lablib.hostile import INSIDE, prepare  # noqa: E402
from lablib.product import ProductTestCase, figure, percentile  # noqa: E402

# Exit code of the command (termspan(1)).
FAILURE = 1
# Of one user, and of all together (org.termspan1(5)).
SUBSCRIPTIONS, ALL_SUBSCRIPTIONS = 8, 256
REFUSED = "org.freedesktop.DBus.Error.LimitsExceeded: There are too many subscriptions already."


class Subscriber:
    """programs/subscriber.py as a user runs it, or root."""

    def __init__(self, lab, user=None):
        self._process = subprocess.Popen(lab.container.command(["python3", f"{INSIDE}/subscriber.py"], user=user), stdin=subprocess.PIPE,
                                         stdout=subprocess.PIPE, text=True)

    def ask(self, word):
        """Has it do something and returns what came of it: 'done' or the error."""
        self._process.stdin.write(f"{word}\n")
        self._process.stdin.flush()
        return self._process.stdout.readline().strip()

    def open(self, count):
        """Subscribes over so many more connections and returns what came of each."""
        return [self.ask("open") for _ in range(count)]

    def wait_open(self, count):
        """Subscribes over so many more connections, each as soon as there is a place: of what is closed the bus tells when it comes to it."""
        said = []
        for _ in range(count):
            wait_until("a place", lambda: said.append(self.ask("open")) or said[-1] == "done" or not self.ask("close"), 20, progress=lambda: said[-1])

    def stop(self):
        """Closes all its connections."""
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


class BusFloodTests(ProductTestCase):
    """user1 offers 50,000 calls a second over 16 connections, user2 and root go on asking; they, user3 and user4 subscribe to what happens in sessions."""

    users = 4

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.floods = BusFloods(cls.lab)
        prepare(cls.lab)

    def subscriber(self, user=None):
        subscriber = Subscriber(self.lab, user)
        self.addCleanup(subscriber.stop)
        return subscriber

    def test_a_caller_has_few_subscriptions_and_others_have_theirs(self):
        greedy, other, root = (self.subscriber(user) for user in ("user1", "user2", None))
        self.assertEqual(greedy.open(SUBSCRIPTIONS), ["done"] * SUBSCRIPTIONS)
        # A connection that subscribes once more takes no other place.
        self.assertEqual(greedy.ask("again"), "done")
        self.assertEqual(greedy.open(2), [REFUSED] * 2)
        watch = self.product.command("session", "watch", user="user1", check=False)
        self.assertEqual((watch.returncode, watch.stdout), (FAILURE, ""))
        self.assertIn("There are too many subscriptions already.", watch.stderr)
        # It is refused nothing else, and nobody else is refused it.
        self.assertEqual(self.product.command("query", "session", user="user1", check=False).returncode, 0)
        self.assertEqual((other.open(1), root.open(1)), (["done"], ["done"]))

        # The two that were refused hold nothing, and one that unsubscribes holds nothing from then on.
        for _ in range(2):
            greedy.ask("close")
        self.assertEqual(greedy.open(1), [REFUSED])
        greedy.ask("close")
        self.assertEqual(greedy.ask("unsubscribe"), "done")
        self.assertEqual(greedy.open(2), ["done", REFUSED])
        # Nor do those that are closed, one or all.
        for _ in range(2):
            greedy.ask("close")
        greedy.wait_open(1)
        greedy.stop()
        again = self.subscriber("user1")
        again.wait_open(SUBSCRIPTIONS)
        self.assertEqual(again.open(1), [REFUSED])

    def test_all_subscriptions_together_are_few(self):
        root, last, *users = (self.subscriber(user) for user in (None, "user4", "user1", "user2", "user3"))
        for subscriber in users:
            subscriber.wait_open(SUBSCRIPTIONS)
        root.wait_open(ALL_SUBSCRIPTIONS - len(users) * SUBSCRIPTIONS)
        self.assertEqual((root.open(1), last.open(1)), ([REFUSED], [REFUSED]))
        # Whoever has one keeps it, and the place of one that goes is anybody's.
        self.assertEqual((users[0].ask("again"), users[0].ask("unsubscribe")), ("done", "done"))
        self.assertEqual((last.ask("again"), root.ask("again")), ("done", REFUSED))

    def test_a_flood_of_calls_costs_only_the_caller(self):
        pid = self.product.collector()
        cpu, _, _ = self.floods.usage(pid)
        # The same number of messages for each call: nothing else is asked for an answer. What asks polkit takes about four times as many.
        # The probes last as long as all floods, which take a while to begin and to end.
        with self.floods.probe("user2", seconds=30, kind="enumerate", pause=20) as calls, \
                self.floods.probe("user2", seconds=30, kind="status", pause=50) as asking, \
                self.floods.probe("user2", seconds=30, to="org.freedesktop.hostname1", kind="ping", pause=20) as control:
            periods = self.floods.alternate("user1", rounds=5, kind="mix", connections=16)
        after, _, peak = self.floods.usage(pid)
        calm, flooded = calls.split(periods)
        _, bus = control.split(periods)
        carried = sum(period.result["sent"] for period in periods)
        figure("another user's call in calm", calm)
        figure("another user's call in a flood", flooded)
        figure("a call of a service that nobody floods, in that flood", bus)
        for what, values in zip(("calm", "a flood"), asking.split(periods)):
            figure(f"another user's call that asks polkit, in {what}", values)
        figure("calls of the flood that the bus carried in a second", [carried / sum(period.end - period.begin for period in periods)], "")
        figure("the collector's processor time for one of them", [(after - cpu) / carried * 1e6], "us")
        figure("the collector's memory at most", [peak / 1024], "MB")

        # Nobody else is refused anything, and nothing is lost.
        for probe in (calls, asking):
            self.assertEqual(set(probe.words()), {"return"}, probe.words())
        self.assertGreater(len(flooded), 8)
        # The daemon of the bus is one thread, which takes longer for everybody while anybody floods it. What is promised is that the
        # collector adds nothing to that: its callers fare as those of a service that nobody floods, or as well as was aimed for.
        # A flood has room for few calls, of which one that the machine itself held up is the p99: so the medians of the floods' are compared.
        def typical(probe, share):
            return statistics.median(percentile(values, share) for values in probe.by_period(periods))
        for share in (0.5, 0.99):
            self.assertLess(typical(calls, share), max(10, 2 * percentile(calm, share), 2 * typical(control, share)))
        self.assertLess(peak, 100 * 1024)
        # Whoever floods is told, by the collector as often as there is room for it, else by the bus.
        for period in periods:
            self.assertGreater(period.result["refused"] + period.result["refused_by_bus"], 100, period.result)
        self.assertGreater(sum(period.result["refused"] for period in periods), 0)
        self.assertEqual(self.product.collector(), pid)

    def test_new_connections_are_no_way_around(self):
        pid = self.product.collector()
        with self.floods.probe("user2", seconds=6, kind="enumerate", pause=20, fresh=1) as calls:
            time.sleep(1)
            begin = time.monotonic()
            result = self.floods.flood("user1", seconds=3, kind="enumerate", connections=64, churn=20)
            # On a busy machine it takes longer to begin and to hear the last answers.
            lasted = time.monotonic() - begin
        self.assertEqual(set(calls.words()), {"return"}, calls.words())
        self.assertGreater(result["reconnects"], 100, result)
        # The bus itself answers the first call of each connection.
        answers = result["returns"] - result["reconnects"] - 64
        self.assertLess(answers, 500 + 100 * (lasted + 1), (lasted, result))
        self.assertEqual(self.product.collector(), pid)

    def test_large_calls_are_let_go_of(self):
        pid = self.product.collector()
        result = self.floods.flood("user1", seconds=4, kind="large", bytes=1_000_000, connections=16, rate=1000)
        # Each connection has one on its way, and some have arrived.
        self.assertGreater(result["sent"], 16, result)
        _, _, peak = self.floods.usage(pid)
        figure("the collector's memory at most, after calls of 1 MB", [peak / 1024], "MB")
        self.assertLess(peak, 100 * 1024)
        self.assertEqual(self.product.collector(), pid)
        self.assertEqual(self.product.command("query", "session", user="user2", check=False).returncode, 0)

    def test_a_flood_of_questions_to_the_reports_costs_only_the_caller(self):
        # It is there: of calls to a service that is yet to start the bus keeps 512, whose they may be.
        self.assertEqual(self.product.listing("spans", user="user2"), [])
        with ThreadPoolExecutor() as threads:
            flood = threads.submit(self.floods.flood, "user1", seconds=5, kind="spans", to="org.termspan1.Reports", connections=16, rate=5000)
            times = []
            while not flood.done():
                begin = time.monotonic()
                self.assertEqual(self.product.listing("spans", user="user2"), [])
                times.append((time.monotonic() - begin) * 1000)
        figure("another user's `termspan spans` in a flood of the reports", times)
        self.assertGreater(len(times), 1)
        self.assertGreater(flood.result()["refused"], 20, flood.result())


if __name__ == "__main__":
    unittest.main()
