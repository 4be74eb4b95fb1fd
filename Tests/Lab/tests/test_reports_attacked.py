"""What an ordinary account can do to the report service, to others' answers and on the bus: nothing that others notice.

That the methods which pass between the two services are theirs alone is in test_roles, floods of calls are in test_bus_flood. TERMSPAN_DEB names the package.
"""

import json
import subprocess
import sys
import time
import unittest
import uuid
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.hostile import INSIDE, prepare  # noqa: E402
from lablib.product import ProductTestCase, figure  # noqa: E402

DATABASE = "/var/lib/termspan/termspan.db"
UNIT = "termspan-reportd.service"
SECOND = 10**9
# More than a pipe holds by far.
SPANS = 10_000
# How many answers a user reads at once, and all users before each gets two (ReportsService.Options).
ANSWERS, SHARED = 16, 32
LIMITED = "org.freedesktop.DBus.Error.LimitsExceeded: Too many answers are being read; read or close some."
REFUSED = {"EPERM", "EACCES"}


class Caller:
    """programs/answers.py as a user runs it."""

    def __init__(self, lab, user):
        command = lab.container.command(["sh", "-c", f"echo $$; exec python3 {INSIDE}/answers.py"], user=user)
        self._process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.pid = int(self._process.stdout.readline())

    def say(self, line):
        self._process.stdin.write(f"{line}\n")
        self._process.stdin.flush()
        return json.loads(self._process.stdout.readline())

    def stop(self):
        self._process.stdin.close()
        self._process.wait(timeout=30)
        self._process.stdout.close()


class ReportsAttackedTests(ProductTestCase):
    """user1 to user4 have a long history each; user1 has a session besides."""

    users = 4
    tracked = ["user1", "user2", "user3", "user4"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        prepare(cls.lab)
        (cls.lab.root / INSIDE.lstrip("/") / "intruder.py").write_bytes((LAB_FOLDER / "programs/intruder.py").read_bytes())
        cls.lab.enter(["systemctl", "stop", "termspand.service", UNIT])
        cls.lab.enter(["sqlite3", "-bail", DATABASE], input=cls.history())
        cls.lab.enter(["systemctl", "start", "termspand.service"])
        cls.product.wait_ready()
        cls.addClassCleanup(cls.lab.sessions, 0)
        cls.lab.sessions(1)
        wait_until("user1's session", lambda: cls.product.session("user1"), 20)

    @classmethod
    def history(cls):
        """A session of each, of a boot before."""
        wall = (int(time.time()) - 5 * SPANS) * SECOND
        text = ["BEGIN; INSERT INTO boot (machine, boot_id, seen) SELECT min(id), randomblob(16), %d FROM machine;" % (3 * SPANS * SECOND),
                "INSERT INTO clock_anchor (boot, at, wall) SELECT max(id), 0, %d FROM boot;" % wall]
        for number in range(len(cls.tracked)):
            name = uuid.UUID(int=(wall // 10**6 + number) << 80 | 0x7 << 76 | 0x2 << 62 | number).hex
            end = 2 * (SPANS + 1) * SECOND
            text.append(
                f"INSERT INTO session (uuid, boot, user, number, stack, start, start_wall, end, end_wall, end_reason, revision) SELECT x'{name}', "
                f"(SELECT max(id) FROM boot), id, {number + 1}, 'xrdp', {SECOND}, {wall + SECOND}, {end}, {wall + end}, 1, 1 "
                f"FROM user ORDER BY id LIMIT 1 OFFSET {number};"
                f"WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {SPANS}) "
                f"INSERT INTO focus_interval (session, start, length, revision) SELECT (SELECT max(id) FROM session), i * {2 * SECOND}, {SECOND}, 1 FROM n;")
        return "\n".join([*text, "COMMIT;"])

    def caller(self, user):
        caller = Caller(self.lab, user)
        self.addCleanup(caller.stop)
        return caller

    def inside(self, *command, **options):
        return self.lab.enter(list(command), **options).stdout.strip()

    def intrude(self, kind, *arguments, user):
        return json.loads(self.inside("python3", f"{INSIDE}/intruder.py", kind, *map(str, arguments), user=user))

    def descriptors(self, pid):
        return [f"/proc/{pid}/fd/{number}" for number in self.inside("ls", f"/proc/{pid}/fd").split()]

    def pipes(self, pid):
        return [path for path in self.descriptors(pid) if self.inside("readlink", path, check=False).startswith("pipe:")]

    def assert_served(self):
        begin = time.monotonic()
        rows = self.product.listing("spans", user="user1")
        self.assertEqual((len(rows), {row["user"] for row in rows}), (SPANS, {"user1"}))
        return (time.monotonic() - begin) * 1000

    def test_1_nobody_traces_reads_or_ends_it_or_has_anothers_answer(self):
        reader = self.caller("user1")
        self.assertEqual(reader.say("ask 2"), {"done": 2})
        pid = self.product.main_pid(UNIT)
        answers = self.pipes(reader.pid)
        self.assertGreaterEqual(len(answers), 2)
        for user in ("user1", "user2"):
            results, = self.intrude("attack", pid, user=user).values()
            self.assertGreater(len(results), 40)
            self.assertEqual({name: error or "it worked" for name, error in results.items() if error not in REFUSED}, {}, user)
            places = [f"/proc/{pid}/{name}" for name in ("mem", "environ", "maps", "root", "cwd", "exe", "fd", "map_files")]
            for path, outcomes in self.intrude("files", *self.descriptors(pid), *places, user=user).items():
                self.assertIn(outcomes["read"], REFUSED, (user, path))
                self.assertNotEqual(outcomes["change"], "", (user, path))
            for call in (["StopUnit", "ss", UNIT, "replace"], ["RestartUnit", "ss", UNIT, "replace"], ["KillUnit", "ssi", UNIT, "all", "9"],
                         ["FreezeUnit", "s", UNIT], ["SetUnitProperties", "sba(sv)", UNIT, "true", "1", "MemoryMax", "t", "1"]):
                done = self.lab.enter(["busctl", "--allow-interactive-authorization=no", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                                       "org.freedesktop.systemd1.Manager", *call], user=user, check=False)
                self.assertNotEqual(done.returncode, 0, call)
                self.assertRegex(done.stderr, r"(?i)authentication required|access denied|permission denied|not permitted", call)
        for path, outcomes in self.intrude("files", *answers, user="user2").items():
            self.assertLessEqual({outcomes["read"], outcomes["change"]}, REFUSED, path)
        # Nor does who reads an answer get at its other end.
        self.assertEqual({outcomes["change"] for outcomes in self.intrude("files", *answers[-2:], user="user1").values()}, {"EACCES"})
        self.assertEqual(self.product.main_pid(UNIT), pid)
        self.assert_served()

    def usage(self, pid):
        """Descriptors, threads and the most memory in megabytes."""
        status = dict(line.split(":", 1) for line in (self.lab.root / f"proc/{pid}/status").read_text().splitlines())
        return len(self.descriptors(pid)), int(status["Threads"]), int(status["VmHWM"].split()[0]) / 1024

    def test_2_who_does_not_read_costs_nobody_else(self):
        calm = [self.assert_served() for _ in range(5)]
        pid = self.product.main_pid(UNIT)
        wait_until("no answer to be under way", lambda: self.usage(pid)[1] <= 2, 10)
        before = self.usage(pid)
        greedy = [self.caller(user) for user in ("user2", "user3", "user4")]
        for caller, most in zip(greedy, (ANSWERS, ANSWERS, 2)):
            self.assertEqual(caller.say("ask 200"), {"done": most, LIMITED: 200 - most})
        times = [self.assert_served() for _ in range(5)]
        # Those that were read are done.
        during = wait_until("no others to be under way", lambda: (now := self.usage(pid))[1] <= before[1] + SHARED + 2 and now, 10)
        figure("10,000 spans of a user's, in calm", calm)
        figure("10,000 spans of a user's, while others leave 34 answers unread", times)
        figure("memory of the reports at most", [during[2]], "MB")
        self.assertLess(during[0], before[0] + 8 * (SHARED + 2))
        self.assertLess(during[2], 128)
        self.assertEqual(self.product.main_pid(UNIT), pid)
        for caller in greedy:
            caller.say("drop")
        wait_until("all to be let go of", lambda: self.usage(pid)[:2] == before[:2], 20, progress=lambda: f"{before} {self.usage(pid)}")
        self.assertEqual(greedy[0].say("ask 1"), {"done": 1})

    def test_3_who_hangs_up_costs_nobody_else(self):
        self.assert_served()
        pid = self.product.main_pid(UNIT)
        wait_until("no answer to be under way", lambda: self.usage(pid)[1] <= 2, 10)
        before = self.usage(pid)
        rude = self.caller("user2")
        # Each is done when the one before it is: the answer notices at its next line.
        said = rude.say("peek 200")
        self.assertGreater(said.pop("done"), ANSWERS)
        self.assertLessEqual(set(said), {LIMITED})
        rude.say("vanish 100")
        self.assert_served()
        self.assertEqual(self.product.main_pid(UNIT), pid)
        wait_until("all to be let go of", lambda: self.usage(pid)[:2] == before[:2], 20, progress=lambda: f"{before} {self.usage(pid)}")
        self.assertLess(self.usage(pid)[2], 128)

    def test_4_nobody_takes_its_name_or_hears_what_is_anothers(self):
        own, other, listener = self.caller("user1"), self.caller("user2"), self.caller("user2")
        for name in ("org.termspan1", "org.termspan1.Reports", "org.termspan1.Other", "org.termspan2"):
            self.assertRegex(other.say(f"own {name}"), r"^org\.freedesktop\.DBus\.Error\.AccessDenied")
        self.assertRegex(listener.say("monitor"), r"^org\.freedesktop\.DBus\.Error\.AccessDenied")
        # The bus takes such a rule, and holds it against its policy for each message.
        for rule in ("eavesdrop='true'", "eavesdrop='true',sender='org.termspan1'", "eavesdrop='true',destination='org.termspan1.Reports'",
                     "type='signal',interface='org.termspan1.Manager'"):
            other.say(f"match {rule}")
        self.assertEqual((own.say("subscribe"), own.say("ask 1")), ("done", {"done": 1}))
        for caller in (own, other):
            caller.say("others")
        self.lab.set_locked("user1", True)
        heard = wait_until("the lock to be told", lambda: [one for one in own.say("others") if one[1] == "SessionNotification"], 20)
        self.lab.set_locked("user1", False)
        self.assertTrue(heard[0][2].startswith(":"))
        self.assert_served()
        # What is for all is heard; of what is for one nothing.
        self.lab.sessions(0)
        told = []
        wait_until("the logoff to be told to all", lambda: told.extend(other.say("others")) or "SessionRemoved" in {one[1] for one in told}, 20)
        self.assertEqual([one for one in told if one[2] is not None], [])
        self.assertNotIn("SessionNotification", {one[1] for one in told})


if __name__ == "__main__":
    unittest.main()
