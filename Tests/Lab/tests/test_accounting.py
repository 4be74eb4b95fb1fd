"""A scripted hour of work, compressed: what the product says of it agrees with what the X server itself told.

The truth is a trace of the X server by `lablib.witness`, dated by the server. xrdp's connection is watched beside it. From
both, the time of each category is worked out here once more, by a direct reading of Docs/accounting.md.
"""

import json
import random
import sys
import threading
import time
import unittest
from decimal import Decimal
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, figure, percentile  # noqa: E402
from lablib.soak_check import LOGON_LIMIT  # noqa: E402
from lablib.stored import SECOND, StoredTestCase, matched_focus, now, traced_bursts  # noqa: E402
from lablib.witness import Witness  # noqa: E402

GAP, IDLE_THRESHOLD, PASSIVE_LIMIT = 2 * SECOND, 4 * SECOND, 4 * SECOND
# The reason of unknown time that ends with the first snapshot, the origin of input, and changes of a session's state, as they are stored.
STARTING, DEVICE = 6, 1
CONNECTED, DISCONNECTED = 1, 2

# xclock takes no focus, so that the third application is an editor. Each has a place of its own, to be clicked at.
APPLICATIONS = {
    "Editor": {"command": ["xterm", "-class", "Editor", "-geometry", "55x12+10+30"], "point": (100, 150)},
    "Terminal": {"command": ["xterm", "-class", "Terminal", "-geometry", "55x12+10+320"], "point": (100, 450)},
    "Xedit": {"command": ["xedit", "-geometry", "350x250+420+180"], "point": (600, 380), "service": True},
}


class ConnectionWatch(threading.Thread):
    """Notes when xrdp is connected to a display and when not, as the kernel tells it."""

    def __init__(self, lab, user):
        super().__init__(daemon=True)
        self.lab, self.display = lab, lab.display(user)
        self.changes = []
        self.stopping = threading.Event()
        self.start()

    def run(self):
        last = True
        while not self.stopping.wait(0.01):
            if (connected := self.lab.has_peer(self.display)) != last:
                self.changes.append((now(), connected))
                last = connected

    def stop(self):
        self.stopping.set()
        self.join()
        return self.changes


class LeavingTests(StoredTestCase):
    def test_a_session_that_was_left_alone_is_known_till_its_server_ends(self):
        self.lab.login("user1")
        self.product.wait_measured("user1")
        self.lab.key("user1", "shift")
        # The last that the probe tells is the end of the burst that this and the login are.
        wait_until("the end of the first burst", lambda: self.product.status()["bursts_written"], 20, progress=self.product.report)
        time.sleep(4)
        left = now()
        # At a logout windows close, which the probe would tell; so nothing is told any more.
        self.lab.enter(["pkill", "--signal", "KILL", "--exact", "--euid", "user1", "Xorg"])
        self.wait_stored()
        (session,) = self.stored("SELECT start, end FROM session")
        unknown = self.stored("SELECT start, length, reason FROM unknown_interval ORDER BY start")
        late = [row for row in unknown if row["reason"] != STARTING]
        print(f"figure: unknown of an idle session that ends: {sum(row['length'] for row in late) / 1e6:.0f} ms", file=sys.stderr)
        reasons = [(row["reason"], (row["start"] - session["start"]) / SECOND, row["length"] / SECOND) for row in unknown]
        # Between the end of the X server and that of the session nobody can say anything.
        self.assertTrue(all(row["start"] >= left for row in late), reasons)
        self.assertLess(sum(row["length"] for row in late), SECOND, reasons)


class AccountingTests(StoredTestCase):
    """The hour is worked once, about 75 s; each test looks at one side of it."""

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.random = random.Random(1)
        cls.before_login = now()
        cls.lab.login("user1")
        cls.product.wait_measured("user1")
        cls.witness = Witness(cls.lab, "user1")
        cls.addClassCleanup(cls.witness.close)
        cls.connection = ConnectionWatch(cls.lab, "user1")
        cls.addClassCleanup(cls.connection.stop)
        # What the open session's categories are, again and again.
        cls.open_summaries = []
        cls.work()
        cls.trace = cls.witness.stop()
        cls.read_product()

    # The hour

    @classmethod
    def work(cls):
        cls.executables = {}
        for name, application in APPLICATIONS.items():
            pid = cls.lab.run("user1", application["command"], service=application.get("service", False))
            cls.wait_active(name)
            if pid is None:
                pid = cls.lab.enter(["pgrep", "--newest", "--exact", application["command"][0]]).stdout.strip()
                cls.service_cgroup = cls.lab.enter(["cat", f"/proc/{pid}/cgroup"]).stdout
            cls.executables[name] = cls.lab.enter(["readlink", f"/proc/{pid}/exe"]).stdout.strip()

        # Nobody touches anything while windows change: long enough to be Inactive.
        cls.switch(90)
        cls.note_summary()

        # Work with pauses that are longer than the burst gap and shorter than the threshold.
        for name in ("Editor", "Terminal", "Xedit", "Terminal", "Editor", "Xedit"):
            cls.click_into(name)
            cls.type("as one types")
            cls.pause(2.9)
        # Longer than the threshold: Passive. A burst of the mouse alone.
        cls.pause(3)
        cls.move_about(5)
        # Longer than threshold and limit: Inactive. The window that comes in between is not the user's doing.
        cls.pause(4.5)
        cls.lab.focus("user1", "Editor")
        cls.pause(4.5)
        # A long burst, with pauses that don't end it.
        for _ in range(4):
            cls.type("and on and on")
            cls.pause(0.9)
        cls.note_summary()

        # Away in the middle of it.
        cls.click_into("Terminal")
        cls.type("bye")
        cls.disconnect_began = now()
        cls.lab.disconnect("user1")
        cls.pause(4)
        cls.note_summary()
        cls.lab.reconnect("user1")
        # Who watches looks every 10 ms, and later on a busy machine.
        wait_until("the watch to have seen the client come back", lambda: len(cls.connection.changes) >= 2, 20, progress=lambda: str(cls.connection.changes))
        cls.reconnected = now()

        for name in ("Xedit", "Editor", "Terminal"):
            cls.click_into(name)
            cls.type("back again")
            cls.pause(2.7)
        cls.move_about(3)
        cls.pause(6)
        cls.note_summary()
        cls.left = now()
        cls.lab.logout("user1")

    @classmethod
    def pause(cls, seconds):
        """The script's own time: it is what is worked, not a wait for something."""
        time.sleep(seconds)

    @classmethod
    def wait_active(cls, name):
        wait_until(f"a window of class {name} to be active", lambda: cls.witness.active_class == name, 20,
                   progress=lambda: str(cls.witness.lines[-3:]))

    @classmethod
    def type(cls, text):
        """Types, and waits till the server has each press and release: the pause that follows is one of its input."""
        before = cls.witness.inputs
        cls.lab.type("user1", text)
        wait_until("the keys to arrive", lambda: cls.witness.inputs - before >= 2 * len(text), 20,
                   progress=lambda: f"{cls.witness.inputs - before} of {2 * len(text)}")

    @classmethod
    def click_into(cls, name):
        cls.lab.move("user1", *APPLICATIONS[name]["point"])
        cls.lab.click("user1")
        cls.wait_active(name)

    @classmethod
    def move_about(cls, count):
        for _ in range(count):
            cls.lab.move("user1", cls.random.randrange(50, 400), cls.random.randrange(50, 400))
            cls.pause(0.1)

    @classmethod
    def switch(cls, count):
        """Activates one window after another, each for 0.1 to 0.2 s, from a program in the session."""
        script = ['for name in Editor Terminal Xedit; do eval $name=$(xdotool search --onlyvisible --limit 1 --class "^$name$"); done']
        last = None
        for _ in range(count):
            last = cls.random.choice([name for name in APPLICATIONS if name != last])
            script.append(f"xdotool windowactivate ${last}; sleep {cls.random.uniform(0.1, 0.2):.3f}")
        done = cls.lab.run("user1", ["sh", "-c", "\n".join(script)], wait=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr)

    @classmethod
    def note_summary(cls):
        cls.open_summaries.append(cls.exact("summary", "--user", "user1")[0])

    # What the product says

    @classmethod
    def read_product(cls):
        cls.wait_stored()
        cls.session, = cls.stored("SELECT start, end FROM session")
        cls.summary, = cls.exact("summary", "--user", "user1")
        cls.spans = sorted(cls.exact("spans", "--user", "user1"), key=lambda span: span["start"])
        cls.bursts = cls.stored("SELECT start, start + length AS end, origin FROM input_burst ORDER BY start")
        cls.unknown = cls.stored("SELECT start, length, reason FROM unknown_interval ORDER BY start")
        cls.changes = cls.stored("SELECT at, kind FROM session_event ORDER BY at")
        cls.focus = cls.focus_of(cls.spans)

    # Focus

    def matched_focus(self):
        return matched_focus(self, self.trace, self.focus, self.left)

    def test_each_focus_interval_is_as_the_server_told_it(self):
        pairs = self.matched_focus()
        self.assertGreater(len(pairs), 100)
        errors = []
        worst = (0, None)
        for index, (true, said) in enumerate(pairs):
            # The first began before the trace.
            for error in ([] if index == 0 else [said.start - true.start]) + [said.end - true.end]:
                errors.append(error / 1e6)
                worst = max(worst, (abs(error), (true, said)), key=lambda each: each[0])
        delays = [delay / 1e6 for delay in self.trace.delays]
        figure("the witness's own delay behind the server's date", delays)
        figure("focus: begin and end against the server's date", [abs(error) for error in errors])
        self.assertLessEqual(percentile([abs(error) for error in errors], 0.99), 10, f"worst: {worst}")
        self.assertLessEqual(max(abs(error) for error in errors), 100, f"worst: {worst}")

    def test_each_application_is_found_and_that_of_the_users_manager_too(self):
        self.assertIn("/user@2001.service/", self.service_cgroup)
        self.assertEqual(self.executables, {"Editor": "/usr/bin/xterm", "Terminal": "/usr/bin/xterm", "Xedit": "/usr/bin/xedit"})
        seen = {}
        for true, said in self.matched_focus():
            if true.window_class in APPLICATIONS:
                self.assertEqual(said.executable, self.executables[true.window_class], said)
                seen[true.window_class] = seen.get(true.window_class, 0) + 1
            elif true.window_class is None:
                self.assertIsNone(said.executable, said)
        self.assertEqual(set(seen), set(APPLICATIONS))
        self.assertGreater(min(seen.values()), 10, seen)

    def test_focus_intervals_follow_one_another_without_a_gap(self):
        self.assertEqual([span["start"] for span in self.spans[1:]], [span["end"] for span in self.spans[:-1]])

    # Classification

    def test_rules_reach_the_past_and_keep_what_is_not_business_from_others(self):
        def categories(*arguments, user=None):
            return {(span["executable"], span["category"]) for span in self.product.listing("spans", *arguments, user=user) if span["class"]}

        # Those of the package, in which the editor is not.
        shipped = categories("--user", "user1")
        self.assertIn(("/usr/bin/xterm", "Terminal"), shipped)
        self.assertIn(("/usr/bin/xedit", None), shipped)
        pending = self.product.listing("classify", "--pending", "--user", "user1")
        self.assertIn("/usr/bin/xedit", {row["executable"] for row in pending})
        self.assertNotIn("/usr/bin/xterm", {row["executable"] for row in pending})
        wrong = self.product.command("classify", "apply", "-", check=False, input="executable=xedit category=Fun\nhost=example.com category=X\n")
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("standard input, line 2 (rule 2): 'host' can't match", wrong.stderr)
        self.assertEqual(categories("--user", "user1"), shipped)
        rules = "# Ours\nexecutable=xedit category=Fun business=no productivity=unproductive\n"
        self.addCleanup(self.product.command, "classify", "reset", "--reason", "a test")
        self.product.command("classify", "apply", "-", "--reason", "a test", input=rules)
        self.assertEqual(self.product.command("classify", user="user1").stdout, rules)
        others, own = categories("--user", "user1"), categories(user="user1")
        self.assertIn((None, "other"), others)
        self.assertNotIn("/usr/bin/xedit", {executable for executable, _ in others})
        self.assertIn(("/usr/bin/xedit", "Fun"), own)
        self.assertEqual(categories("--user", "user1", "--details"), own)
        # Its time is in reports, and a filter does not find it.
        self.assertEqual(self.product.listing("activity", "--user", "user1", "--executable", "xedit"), [])
        self.assertIn("other", {row["class"] for row in self.product.listing("report", "--user", "user1", "--by", "user,application")})
        # Reports by it add up, as others see them and with details, and so do lists and exports.
        hidden = {row["category"]: row for row in self.exact("report", "--user", "user1", "--by", "category")}
        shown = {(row["category"], row["productivity"], row["business"]): row
                 for row in self.exact("report", "--user", "user1", "--by", "category,productivity,business", "--details")}
        self.assertNotIn("Fun", hidden)
        self.assertEqual(shown["Fun", "unproductive", False]["active"], hidden["other"]["active"])
        self.assertEqual(sum(row["total"] for row in shown.values()), sum(row["total"] for row in hidden.values()))
        self.assertEqual(self.product.listing("activity", "--user", "user1", "--classified", "fun"), [])
        listed = self.product.listing("activity", "--user", "user1", "--classified", "fun", "--details")
        self.assertEqual({row["executable"] for row in listed}, {"/usr/bin/xedit"})
        self.assertNotIn("xedit", self.product.command("export", "jsonl", "--user", "user1").stdout)
        self.assertIn("xedit", self.product.command("export", "jsonl", "--user", "user1", "--details").stdout)
        self.assertNotEqual(self.product.command("report", "--user", "user2", "--details", user="user1", check=False).returncode, 0)
        # The rules are a part of the policy's file.
        policy = json.loads(self.product.command("policy", "export").stdout)
        self.assertEqual((policy["classification"], policy["classification_reason"]), (rules.splitlines(), "a test"))
        wrong = self.product.command("policy", "apply", "-", "--yes", check=False, input=json.dumps(
            {"users": policy["users"], "classification": ["executable=xedit category=Fun", "executable=xedit"]}))
        self.assertEqual(wrong.returncode, 1)
        self.assertIn("'classification', line 2 (rule 2): it has no 'category'", wrong.stderr)
        self.assertEqual(self.product.command("classify", user="user1").stdout, rules)
        policy["classification"] = ["executable=xedit category=Text"]
        text = json.dumps(policy)
        self.assertEqual(self.product.command("policy", "diff", "-", input=text).stdout.splitlines(), [
            "The rules of classification would change:", "- executable=xedit category=Fun business=no productivity=unproductive",
            "+ executable=xedit category=Text"])
        self.product.command("policy", "apply", "--yes", "-", input=text)
        self.assertIn(("/usr/bin/xedit", "Text"), categories("--user", "user1"))
        self.assertEqual(self.product.command("policy", "diff", "-", input=text).stdout, "")
        audit = [(row["action"], row["value"]) for row in self.product.listing("audit", "--all")]
        self.assertIn("read-details", {action for action, _ in audit})
        self.assertTrue(any(action == "classification" and value.startswith("1 rules, SHA-256 ") for action, value in audit), audit)

    def test_a_day_is_drawn(self):
        stretches = self.exact("timeline", "--user", "user1", "--zone", "UTC", "--date", self.summary["start"][:10])
        self.assertLessEqual({"active", "passive", "inactive", "disconnected"}, {stretch["state"] for stretch in stretches})
        for one, other in zip(stretches, stretches[1:]):
            self.assertEqual(one["end"], other["start"])

    # Input

    def traced_bursts(self):
        return traced_bursts(self.trace, GAP)

    def test_each_burst_is_as_the_gap_divides_the_servers_input(self):
        # One that began before the trace did is not known from its start.
        traced = [burst for burst in self.traced_bursts() if burst[0] >= self.trace.started + GAP and burst[1] < self.left]
        told = [burst for burst in self.bursts if burst["start"] >= traced[0][0] - SECOND and burst["start"] < self.left]
        self.assertGreaterEqual(len(traced), 12)
        self.assertEqual(len(told), len(traced), f"trace: {traced}\nproduct: {told}")
        begins = [(said["start"] - true[0]) / 1e6 for true, said in zip(traced, told)]
        ends = [(said["end"] - true[1]) / 1e6 for true, said in zip(traced, told)]
        figure("bursts: begin against the server's date", [abs(error) for error in begins])
        figure("bursts: end against the server's date", [abs(error) for error in ends])
        self.assertLessEqual(max(abs(error) for error in begins), 100, f"{begins}")
        self.assertLessEqual(max(abs(error) for error in ends), 100, f"{ends}")
        self.assertEqual({burst["origin"] for burst in told}, {DEVICE})

    # Time

    def test_the_categories_add_up_to_the_sessions_time_exactly(self):
        for summary in [*self.open_summaries, self.summary]:
            self.assertEqual(sum(summary[category] for category in CATEGORIES), summary["total"], summary)
        self.assertEqual(self.summary["total"] * SECOND, self.session["end"] - self.session["start"])
        # What the spans have of each is the whole of it, since every known moment lies in one.
        for category in ("active", "passive", "inactive"):
            self.assertEqual(sum(span[category] for span in self.spans), self.summary[category], category)

    def test_nothing_is_unknown_but_the_time_before_the_first_snapshot(self):
        reasons = [(row["reason"], (row["start"] - self.session["start"]) / SECOND, row["length"] / SECOND) for row in self.unknown]
        first, *rest = self.unknown
        print(f"figure: session opened to first snapshot: {first['length'] / 1e6:.0f} ms; unknown after the logout: "
              f"{sum(row['length'] for row in rest) / 1e6:.0f} ms", file=sys.stderr)
        self.assertEqual((first["reason"], first["start"]), (STARTING, self.session["start"]))
        self.assertLess(first["length"], LOGON_LIMIT)
        # Between the end of the X server and that of the session nobody can say anything.
        self.assertTrue(all(row["start"] >= self.left for row in rest), reasons)
        self.assertLess(sum(row["length"] for row in rest), SECOND, reasons)
        self.assertEqual(self.summary["unknown"] * SECOND, sum(row["length"] for row in self.unknown))

    def connections(self):
        """When the session had no client, till the logout."""
        changes = self.connection.stop()
        away = [at for at, connected in changes if not connected and at < self.left]
        back = [at for at, connected in changes if connected and at < self.left]
        self.assertEqual((len(away), len(back)), (1, 1), changes)
        return away[0], back[0]

    def beginning(self):
        """When the first is known of the session, and when its first client came: the product's own word, since nobody else watches that early.

        Debian 13's xrdp comes to the X server a second after that has begun.
        """
        known = self.unknown[0]["start"] + self.unknown[0]["length"]
        came = min(change["at"] for change in self.changes if change["kind"] == CONNECTED)
        self.assertLess(came - known, SECOND // 2 if self.lab.container.state["suite"] == "bookworm" else 3 * SECOND)
        return known, came

    def test_what_is_stored_is_right(self):
        for user, options, whole in ((None, (), True), ("user1", (), False)):
            done = self.product.command("verify", "--store", *options, "--format", "json", user=user, check=False)
            told = json.loads(done.stdout)["store"]
            self.assertEqual((done.returncode, told["problem_list"], told["excessive"], told["whole"]), (0, [], False, whole), told)
            self.assertGreaterEqual(told["sessions"], 1)
            self.assertLessEqual({row["class"] for row in told["unknown"]}, {"known", "fault"}, told)
            self.assertAlmostEqual(told["total"], (self.session["end"] - self.session["start"]) / SECOND, places=6)
        self.assertEqual(self.product.command("verify", "--store", "--all", user="user1", check=False).returncode, 4)

    def test_disconnected_is_the_time_without_a_client(self):
        away, back = self.connections()
        self.assertGreaterEqual(away, self.disconnect_began)
        self.assertLess(back, self.reconnected)
        known, came = self.beginning()
        told = self.summary["disconnected"] - Decimal(max(0, came - known)) / SECOND
        print(f"figure: disconnected {float(told):.3f} s, xrdp without a client {(back - away) / SECOND:.3f} s", file=sys.stderr)
        self.assertAlmostEqual(float(told), (back - away) / SECOND, delta=1.5)
        self.assertGreater(told, 4)

    def test_the_categories_are_those_that_follow_from_the_trace(self):
        """An evaluation of the specification's list, moment by moment between all moments at which a category may change."""
        # When the client went and came back is the product's own word here: how far that is from the kernel's is the test above's.
        away, back = (min((change["at"] for change in self.changes if change["kind"] == kind), key=lambda at: abs(at - moment))
                      for kind, moment in zip((DISCONNECTED, CONNECTED), self.connections()))
        known, came = self.beginning()
        server_gone = min([row["start"] for row in self.unknown[1:] if row["start"] >= self.left], default=self.session["end"])
        # Input before the trace is the product's own word: it is the same burst.
        bursts = [(burst["start"], burst["end"]) for burst in self.bursts if burst["start"] < self.trace.started + GAP]
        bursts += [tuple(burst) for burst in self.traced_bursts() if burst[0] >= self.trace.started + GAP]
        limits = {self.session["start"], self.session["end"], known, came, away, back, server_gone}
        for start, end in bursts:
            limits |= {start, end, end + IDLE_THRESHOLD, end + IDLE_THRESHOLD + PASSIVE_LIMIT}
        limits = sorted(limit for limit in limits if self.session["start"] <= limit <= self.session["end"])
        expected = dict.fromkeys(CATEGORIES, 0)
        for start, end in zip(limits, limits[1:]):
            age = min((start - burst[1] for burst in bursts if burst[1] <= start), default=None)
            if start < known or start >= server_gone:
                category = "unknown"
            elif start < came or away <= start < back:
                category = "disconnected"
            elif any(burst[0] <= start < burst[1] for burst in bursts) or age is not None and age < IDLE_THRESHOLD:
                category = "active"
            elif age is not None and age < IDLE_THRESHOLD + PASSIVE_LIMIT:
                category = "passive"
            else:
                category = "inactive"
            expected[category] += end - start
        print("figure: categories (by the trace): " + ", ".join(
            f"{category} {float(self.summary[category]):.3f} ({expected[category] / SECOND:.3f}) s" for category in CATEGORIES if expected[category]),
            file=sys.stderr)
        for category in CATEGORIES:
            self.assertAlmostEqual(float(self.summary[category]), expected[category] / SECOND, delta=0.5, msg=category)
        for category in ("active", "passive", "inactive", "disconnected"):
            self.assertGreater(expected[category], 2 * SECOND, f"the script has {category} time")


if __name__ == "__main__":
    unittest.main()
