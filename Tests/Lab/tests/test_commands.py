"""What the commands of sessions tell and do: history, notifications, objects on the bus, locking, disconnecting, logging off.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import json
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, Watcher, moment  # noqa: E402

# Exit codes of the command (termspan(1)).
FAILURE, NOT_FOUND, NOT_PERMITTED = 1, 3, 4
MANAGER = ("org.termspan1", "/org/termspan1", "org.termspan1.Manager")


class SessionCommandTests(ProductTestCase):
    """user1's session from logon to logoff, watched by root, by user1 and by user2. The cases build on each other, in the order of their names."""

    users = 2
    tracked = ["user1"]
    settings = {"responsible": "Anna of the lab"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.login("user2")
        wait_until("user2's session", lambda: cls.product.session("user2"), 20)
        cls.signals = Watcher(cls.lab, "busctl", "--json=short", "monitor", "--match", "type='signal',sender='org.termspan1'",
                              "--match", "type='signal',interface='org.termspan.Lab'",
                              "--match", "type='method_call',interface='org.termspan1.Manager',member='Subscribe'")
        cls.addClassCleanup(cls.signals.stop)

        # Not every busctl says that it listens; it shows by passing on a signal of ours.
        def listens():
            cls.lab.enter(["busctl", "emit", "/org/termspan/Lab", "org.termspan.Lab", "Begin"])
            return any("org.termspan.Lab" in line for _, line in cls.signals.lines)
        wait_until("busctl to watch", listens, 20)
        cls.watchers = {}
        for user in (None, "user1", "user2"):
            cls.watchers[user] = Watcher(cls.lab, "termspan", "session", "watch", "--user", "user1", "--format", "json", user=user)
            cls.addClassCleanup(cls.watchers[user].stop)
        cls.follower = Watcher(cls.lab, "termspan", "log", "--follow", "--user", "user1", "--format", "json")
        cls.addClassCleanup(cls.follower.stop)
        cls.monitor = Watcher(cls.lab, "gdbus", "monitor", "--system", "--dest", "org.termspan1", user="user2")
        cls.addClassCleanup(cls.monitor.stop)
        wait_until("gdbus to watch", lambda: any("is owned by" in line for _, line in cls.monitor.lines), 20)
        # A watcher that printed nothing yet may not be one yet: what they ask of the collector shows that they are.
        wait_until("the watchers to subscribe", lambda: sum('"member":"Subscribe"' in line for _, line in cls.signals.lines) >= 3, 20,
                   progress=lambda: str(cls.signals.lines))
        cls.lab.login("user1", address="198.51.100.11")
        cls.product.wait_measured("user1")
        cls.row, = cls.product.wait_active("user1")

    def lock(self, locked):
        self.lab.set_locked("user1", locked)
        word = "locked" if locked else "unlocked"
        wait_until(f"the session to be {word}", lambda: self.product.session("user1")["locked"] == word, 20)

    def wait_state(self, state):
        return wait_until(f"user1 to be {state}", lambda: (row := self.product.session("user1")) and row["state"] == state and row, 20,
                          progress=self.product.report)

    def property(self, name, user=None, path=None, interface="org.termspan1.Session"):
        path = path or f"/org/termspan1/session/_{self.row['id']}"
        done = self.lab.enter(["busctl", "--json=short", "get-property", "org.termspan1", path, interface, name], user=user, check=False)
        return json.loads(done.stdout)["data"] if done.returncode == 0 else None

    def test_1_objects_are_there_as_logind_has_them(self):
        path = f"/org/termspan1/session/_{self.row['id']}"
        tree = self.lab.enter(["busctl", "tree", "--list", "org.termspan1"]).stdout.split()
        for wanted in (path, "/org/termspan1/user/_2001", "/org/termspan1/user/_2002", "/org/termspan1/session/_0"):
            self.assertIn(wanted, tree)
        self.assertNotIn("/org/termspan1/user/_0", tree)
        self.assertEqual(self.property("Sessions", path="/org/termspan1/user/_2001", interface="org.termspan1.User"), [[self.row["id"], path]])
        self.assertEqual((self.property("UUID"), self.property("State"), self.property("User")), (self.row["uuid"], "active", [2001, "user1"]))
        for user, seen in ((None, ("198.51.100.11", "unknown")), ("user1", ("198.51.100.11", "unknown")), ("user2", ("", ""))):
            self.assertEqual((self.property("ClientAddress", user), self.property("Locked", user)), seen, user)
        self.lab.type("user1", "x")
        wait_until("the key to show", lambda: (self.property("LastInput", "user1") or 0) / 1e6 > time.time() - 60, 20)
        self.assertEqual(self.property("LastInput", "user2"), 0)
        users = json.loads(self.lab.enter(["busctl", "--json=short", "call", *MANAGER, "ListUsers"]).stdout)["data"][0]
        self.assertEqual([user[:2] for user in users], [[2001, "user1"], [2002, "user2"]])
        shown = self.lab.enter(["busctl", "introspect", "org.termspan1", path, "org.termspan1.Session"]).stdout
        for pattern in (r"(?m)^\.Terminate +method ", r'(?m)^\.ClientAddress +property +s +"198.51.100.11" +-$', r"(?m)^\.State .* emits-change$"):
            self.assertRegex(shown, pattern)

    def test_1_anybody_may_look_with_busctl_and_gdbus(self):
        path = f"/org/termspan1/session/_{self.row['id']}"
        gdbus = ("--system", "--dest", "org.termspan1", "--object-path")
        for command, patterns in (
                (("busctl", "tree", "org.termspan1"), (rf"─ ?{path}\n", r"─ ?/org/termspan1/user/_2001\n")),
                (("busctl", "introspect", "org.termspan1", path), (r"(?m)^org\.termspan1\.Session +interface ", r"(?m)^\.Terminate +method ",
                                                                  r'(?m)^\.State +property +s +"active" +emits-change$')),
                (("busctl", "get-property", "org.termspan1", path, "org.termspan1.Session", "State"), (r'^s "active"\n$',)),
                (("busctl", "call", *MANAGER, "ListUsers"), (r'^a\(uso\) 2 2001 "user1" "/org/termspan1/user/_2001" 2002 "user2" ',)),
                (("gdbus", "introspect", *gdbus, path), (r"interface org\.termspan1\.Session \{", r"Terminate\(\);", r"readonly s State = 'active';")),
                (("gdbus", "introspect", "--recurse", *gdbus, "/org/termspan1"), (rf"node {path} \{{", r"node /org/termspan1/user/_2001 \{")),
                (("gdbus", "call", *gdbus, "/org/termspan1", "--method", "org.termspan1.Manager.ListUsers"),
                 (r"^\(\[\(uint32 2001, 'user1', objectpath '/org/termspan1/user/_2001'\), \(2002, 'user2', ",)),
                (("gdbus", "call", *gdbus, path, "--method", "org.freedesktop.DBus.Properties.Get", "org.termspan1.Session", "User"),
                 (r"^\(<\(uint32 2001, 'user1'\)>,\)\n$",))):
            done = self.lab.enter(command, user="user2", check=False)
            self.assertEqual((done.returncode, done.stderr), (0, ""), command)
            for pattern in patterns:
                self.assertRegex(done.stdout, pattern, command)
            # It is another's session: what is not for everybody isn't told.
            self.assertNotIn("198.51.100.11", done.stdout, command)

    def test_1_listeners_are_there_while_their_services_run(self):
        def listeners():
            return [(row["id"], row["name"], row["stack"]) for row in self.product.query_sessions(user="user2") if row["state"] == "listen"]

        both = [(65536, "rdp-tcp", "xrdp"), (65537, "ssh", "ssh")]
        self.assertEqual(listeners(), both)
        lines = self.product.command("query", "session").stdout.splitlines()
        self.assertIn(" rdp-tcp                                 65536  Listen", lines)
        self.lab.enter(["systemctl", "stop", "ssh.service"])
        self.addCleanup(self.lab.enter, ["systemctl", "start", "ssh.service"])
        wait_until("ssh to listen no more", lambda: listeners() == both[:1], 20)
        self.lab.enter(["systemctl", "start", "ssh.service"])
        wait_until("ssh to listen again", lambda: listeners() == both, 20)
        for action in ("lock", "disconnect", "logoff"):
            self.assertEqual(self.product.command("session", action, "65536", check=False).returncode, NOT_FOUND)
        self.assertEqual([row["user"] for row in self.product.listing("query", "user")], ["user2", "user1"])

    def test_1_processes_are_those_of_the_sessions_scopes(self):
        # An image is named by 15 bytes at most.
        program, image = "/usr/local/bin/lab-worker-of-a-session", "lab-worker-of-a"
        self.lab.enter(["cp", "/bin/sleep", program])
        self.addCleanup(self.lab.enter, ["rm", program])
        own, other = self.row, self.product.session("user2")
        pids = {"session": self.lab.run("user1", [program, "600"])}
        self.addCleanup(lambda: [self.lab.enter(["kill", pid], check=False) for pid in pids.values()])
        self.lab.run("user1", [program, "600"], service=True)

        def running():
            return [int(pid) for pid in self.lab.enter(["pgrep", "-u", "user1", "-f", f"^{program} "], check=False).stdout.split()]

        def processes(*arguments, user=None):
            return self.product.listing("query", "process", *map(str, arguments), user=user)

        def workers(*arguments, user=None):
            return [row for row in processes(*arguments, user=user) if row["image"] == image]

        pids["manager"], = set(wait_until("both programs to run", lambda: len(running()) == 2 and running(), 20)) - {pids["session"]}
        self.assertEqual(self.lab.enter(["readlink", f"/proc/{pids['session']}/exe"]).stdout, f"{program}\n")
        row = {"user": "user1", "session_name": own["name"], "session": own["id"], "pid": pids["session"], "image": image, "own": False}
        # What the user's manager started is in no session.
        for target in ((), ("user1",), (own["id"],), (own["name"],)):
            self.assertEqual(workers(*target), [row], target)
        for target in ("user2", other["id"], other["name"]):
            self.assertEqual({(row["user"], row["session"]) for row in processes(target)}, {("user2", other["id"])}, target)
        self.assertEqual(self.product.command("query", "process", "nobody-here", check=False).returncode, NOT_FOUND)

        # Whose processes they are, and what their scopes hold: the kernel's word. They come and go.
        def as_scoped():
            scopes = [f"/sys/fs/cgroup/{self.lab.scope(user, self.lab.require_login(user))}/cgroup.procs" for user in ("user1", "user2")]
            return sorted(row["pid"] for row in processes()) == sorted(map(int, self.lab.enter(["cat", *scopes]).stdout.split()))
        wait_until("the processes to be those of the scopes", as_scoped, 20, progress=lambda: str(processes()))

        def unchanging():
            before, table, after = processes(), self.product.command("query", "process").stdout, processes()
            return before == after and (before, table.splitlines())
        rows, (head, *lines) = wait_until("processes that rest", unchanging, 20)
        self.assertEqual(head, " USERNAME              SESSIONNAME         ID    PID  IMAGE")
        self.assertEqual(lines, [f" {row['user']:<20}  {row['session_name']:<16}  {row['session']:>4}  {row['pid']:>5}  {row['image']}" for row in rows])
        self.assertEqual([row["session"] for row in rows], sorted(row["session"] for row in rows))
        self.assertEqual({row["user"] for row in rows}, {"user1", "user2"})

        # Others' are for those who may see others' details.
        self.assertEqual(workers(user="user1"), [row])
        self.assertEqual({row["user"] for row in processes(user="user1")}, {"user1"})
        self.assertEqual({row["user"] for row in processes(user="user2")}, {"user2"})
        self.assertEqual((processes("user1", user="user2"), processes(own["id"], user="user2")), ([], []))
        revoke = self.product.grant("user2", "view-others")
        try:
            self.assertEqual(workers(user="user2"), [row])
        finally:
            revoke()
        # The session in which the command runs is marked.
        inside = self.lab.run("user1", ["termspan", "query", "process", "--format", "json"], wait=True).stdout
        self.assertIn(row | {"own": True}, json.loads(inside))
        inside = self.lab.run("user1", ["termspan", "query", "process"], wait=True).stdout.splitlines()
        self.assertEqual({line[:6] for line in inside[1:]}, {">user1"})

        self.product.kill(pids.pop("session"))
        wait_until("the program to be gone", lambda: not workers(), 20)

    def test_2_a_life_of_locks_and_clients(self):
        self.lock(True)
        self.lock(False)
        self.lab.disconnect("user1")
        self.wait_state("disconnected")
        self.lab.reconnect("user1", address="198.51.100.77")
        self.assertEqual(self.wait_state("active")["client_address"], "198.51.100.77")

    def test_3_others_sessions_need_the_right(self):
        number = str(self.row["id"])
        for action in ("lock", "disconnect", "logoff"):
            done = self.product.command("session", action, number, user="user2", check=False)
            self.assertEqual((done.returncode, done.stdout), (NOT_PERMITTED, ""), action)
            self.assertIn("org.termspan1.manage-sessions", done.stderr)
        self.assertEqual(self.product.session("user1")["state"], "active")
        for target in ("99", "0"):
            self.assertEqual(self.product.command("session", "logoff", target, check=False).returncode, NOT_FOUND)

    def test_4_a_disconnect_ends_one_connection_alone(self):
        client = self.lab.client("user1").process
        self.assertEqual(self.product.command("session", "disconnect", "user1").stdout, f"Session {self.row['id']} of user user1 is being disconnected.\n")
        begin = time.time()
        row = self.wait_state("disconnected")
        self.assertLess(moment(row["disconnected"]) - begin, 2)
        self.assertEqual((row["id"], row["uuid"]), (self.row["id"], self.row["uuid"]))
        self.assertEqual(self.product.session("user2")["state"], "active")
        stale, = self.product.listing("session", "history", "--stale", "0s")
        self.assertEqual((stale["user"], stale["session_uuid"], stale["disconnected"]), ("user1", self.row["uuid"], row["disconnected"]))
        self.assertGreater(stale["processes"], 1)
        self.assertGreater(stale["cpu"], 0)
        # Others see that it is there, and not what its scope holds.
        stale, = self.product.listing("session", "history", "--stale", "0s", user="user2")
        self.assertEqual((stale["user"], stale["cpu"], stale["processes"]), ("user1", None, None))
        self.assertEqual(self.product.listing("session", "history", "--stale", "1h"), [])
        self.assert_that_usage_is_the_kernels()
        self.assert_that_stale_means_as_long(moment(row["disconnected"]))
        self.assertEqual({process["session_name"] for process in self.product.listing("query", "process", "user1")}, {None})
        again = self.product.command("session", "disconnect", "user1", check=False)
        self.assertEqual(again.returncode, FAILURE)
        self.assertIn("No client is connected", again.stderr)
        # xrdp serves others, and this session's user as before.
        self.assertTrue(client.wait(20))
        self.lab.reconnect("user1", address="198.51.100.78")
        self.wait_state("active")
        self.assertEqual(self.product.listing("session", "history", "--stale", "0s"), [])

    def assert_that_usage_is_the_kernels(self):
        """What `session history --stale` says of what user1's session holds is what its control group has."""
        group = self.lab.container.cgroup / self.lab.scope("user1", self.lab.require_login("user1"))

        def held():
            cpu = dict(line.split() for line in (group / "cpu.stat").read_text().splitlines())["usage_usec"]
            # The kernel counts it where its controller is in the unified hierarchy.
            memory = group / "memory.current"
            return int(cpu), int(memory.read_text()) if memory.exists() else None, len((group / "cgroup.procs").read_text().split())

        def compared():
            before, rows, after = held(), self.product.listing("session", "history", "--stale", "0s", "--user", "user1"), held()
            return before[2] == after[2] and (before, rows, after)
        before, (stale,), after = wait_until("processes that rest", compared, 20, progress=self.product.report)
        self.assertEqual(stale["processes"], before[2])
        self.assertTrue(before[0] <= round(stale["cpu"] * 1e6) <= after[0], (before, stale, after))
        if before[1] is None:
            self.assertIsNone(stale["memory"])
        else:
            self.assertTrue(0.8 * min(before[1], after[1]) <= stale["memory"] <= 1.25 * max(before[1], after[1]), (before, stale, after))

    def assert_that_stale_means_as_long(self, since):
        """user1's session, which was disconnected at `since`, is listed once that is as long ago as was asked for, and user2's is not."""
        length = int(time.time() - since) + 2
        looks = []

        def listed():
            begin = time.time()
            rows = self.product.listing("session", "history", "--stale", f"{length}s")
            looks.append((begin - since, rows, time.time() - since))
            return rows
        stale, = wait_until("the session to be stale", listed, length + 20, progress=lambda: str(looks))
        self.assertEqual((stale["user"], stale["session"]), ("user1", self.row["id"]))
        # Each answer is of a moment between the two.
        *early, (_, _, late) = looks
        self.assertTrue(length <= stale["duration"] <= late, looks)
        self.assertEqual([look for look in early if look[0] >= length], [])
        for arguments in (("--user", "user2"), ("--session", str(self.product.session("user2")["id"]))):
            self.assertEqual(self.product.listing("session", "history", "--stale", "0s", *arguments), [])

    def test_5_a_lock_is_asked_for_by_its_user(self):
        requests = Watcher(self.lab, "busctl", "--json=short", "monitor", "--match", "type='signal',interface='org.freedesktop.login1.Session',member='Lock'")
        self.addCleanup(requests.stop)
        asked = lambda: any('"member":"Lock"' in line for _, line in requests.lines)  # noqa: E731
        # Whoever monitors says when it does, or not; so it is asked until it shows.
        wait_until("logind to ask for the lock", lambda: self.product.command("session", "lock", "user1", user="user1", check=False) and asked(), 20)

    def test_5_nobody_fills_the_journal_with_their_own_session(self):
        begin = time.monotonic()
        codes = [self.product.command("session", "lock", "user1", user="user1", check=False).returncode for _ in range(40)]
        took = time.monotonic() - begin
        self.assertIn(FAILURE, codes)
        # Ten at once, then one a second.
        self.assertLessEqual(codes.count(0), 11 + took)
        self.assertEqual(self.product.command("session", "lock", "user1").returncode, 0)

    def test_6_a_logoff_by_who_has_the_right_ends_the_session(self):
        self.addCleanup(self.product.grant("user2", "manage-sessions"))
        number = str(self.row["id"])
        # It is no right to look.
        self.assertIsNone(self.product.listing("session", "show", number, user="user2")[0]["client_address"])
        self.product.command("session", "lock", number, user="user2")
        self.product.command("session", "logoff", number, user="user2")
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)
        self.assertEqual(self.product.session("user2")["state"], "active")

    def test_7_a_watcher_sees_what_it_may(self):
        life = ["logon", "connect", "lock", "unlock", "disconnect", "connect", "disconnect", "connect", "logoff"]
        addresses = ["198.51.100.11", "198.51.100.77", "198.51.100.78"]
        for user, secret in ((None, True), ("user1", True), ("user2", False)):
            watcher = self.watchers[user]
            wait_until("the logoff to be told", lambda: [event for event in watcher.events() if event["event"] == "logoff"], 20)
            events = watcher.events()
            self.assertEqual([event["event"] for event in events], [name for name in life if secret or "lock" not in name], user)
            self.assertEqual({event["session_uuid"] for event in events}, {self.row["uuid"]})
            seen = [event["client_address"] for event in events if event["event"] == "connect"]
            self.assertEqual(seen, addresses if secret else [None] * 3, user)
            times = [moment(event["time"]) for event in events]
            self.assertEqual(times, sorted(times))
            # By the signal, not by looking again and again.
            late = [at - moment(json.loads(line)["time"]) for at, line in watcher.lines if line.startswith("{")]
            self.assertLess(max(late), 1, user)

    def test_7_the_object_manager_tells_of_what_comes_and_goes(self):
        path = f"/org/termspan1/session/_{self.row['id']}"
        def seen():
            signals = [signal for signal in self.signals.events() if signal.get("interface") == "org.freedesktop.DBus.ObjectManager"]
            return [(signal["member"], *signal["payload"]["data"]) for signal in signals]
        def about_user1():
            return [entry for entry in seen() if entry[1] in (path, "/org/termspan1/user/_2001")]
        wait_until("both to be removed", lambda: [member for member, *_ in about_user1()].count("InterfacesRemoved") >= 2, 20, progress=lambda: str(seen()))
        told, mine = seen(), about_user1()
        self.assertEqual([(member, where) for member, where, _ in mine],
                         [("InterfacesAdded", path), ("InterfacesAdded", "/org/termspan1/user/_2001"),
                          ("InterfacesRemoved", path), ("InterfacesRemoved", "/org/termspan1/user/_2001")])
        properties = mine[0][2]["org.termspan1.Session"]
        self.assertEqual((properties["UUID"]["data"], properties["User"]["data"]), (self.row["uuid"], [2001, "user1"]))
        self.assertIn("org.termspan1.Session", mine[2][2])
        self.assertIn("org.termspan1.User", mine[3][2])
        # Nothing that is not for everybody is told to all.
        self.assertNotIn("198.51.100.11", json.dumps(told))

    def test_7_gdbus_monitors_what_is_for_everybody(self):
        number, path = self.row["id"], f"/org/termspan1/session/_{self.row['id']}"
        manager = "/org/termspan1: org.termspan1.Manager.Session"
        new, gone = (f"{manager}{what} (uint32 {number}, objectpath '{path}')" for what in ("New", "Removed"))
        active, disconnected = (f"{manager}Changed (uint32 {number}, '{state}')" for state in ("active", "disconnected"))
        lines = [line for _, line in wait_until("the end to be told", lambda: gone in [line for _, line in self.monitor.lines] and self.monitor.lines, 20)]
        self.assertEqual([line for line in lines if line in (new, gone, active, disconnected)],
                         [new, active, disconnected, active, disconnected, active, gone])
        changes = [line for line in lines if line.startswith(f"{path}: org.freedesktop.DBus.Properties.PropertiesChanged ('org.termspan1.Session', ")]
        self.assertIn("'State': <'disconnected'>", "".join(changes))
        self.assertNotIn("198.51.100.", "".join(lines))

    def test_8_history_agrees_with_what_was_watched(self):
        wait_until("the store to have all", lambda: self.product.open_rows() == (0, 0) and self.product.status()["pending"] == 0, 20)
        row, = [row for row in self.product.listing("session", "history", "--user", "user1") if row["session_uuid"] == self.row["uuid"]]
        self.assertEqual([row[key] for key in ("session", "stack", "open", "end_reason", "connects", "disconnects", "locks", "unlocks")],
                         [self.row["id"], "xrdp", False, "logoff", 3, 2, 1, 1])
        self.assertEqual(row["client_addresses"], ["198.51.100.11", "198.51.100.77", "198.51.100.78"])
        self.assertAlmostEqual(sum(row[name] for name in CATEGORIES), row["total"], places=6)
        events = self.product.listing("session", "history", "--session", self.row["uuid"], "--events")
        watched = self.watchers[None].events()
        self.assertEqual([event["event"] for event in events], [event["event"] for event in watched])
        for event, notice in zip(events, watched):
            self.assertLess(abs(moment(event["time"]) - moment(notice["time"])), 1, (event, notice))
        # The same in a range, for its user, and not for another.
        self.assertEqual(self.product.listing("session", "history", user="user1"), [row])
        self.assertEqual(self.product.listing("session", "history", user="user2"), [])
        self.assertEqual(self.product.command("session", "history", "--user", "user1", user="user2", check=False).returncode, NOT_PERMITTED)
        # The journal has sessions of user1's from before this store, too.
        earlier = self.product.listing("session", "history", "--user", "user1", "--since", "today", "--until", row["start"])
        self.assertEqual([each for each in earlier if each["start"]], [])
        # Of who is not tracked nothing is recorded.
        self.assertEqual({row["user"] for row in self.product.listing("session", "history", "--all") if row["start"]}, {"user1"})

    def test_8_users_see_all_that_is_held_about_them_and_no_more(self):
        shown = self.product.command("me", user="user1").stdout
        self.assertRegex(shown, r"^Your activity is recorded\.\n +Why: decided by root on \S+: a test\n")
        for pattern in (r"Level: basic\n", r"Never recorded: what you type, window titles,", r"Who answers for it: the tests\n", r"Sessions: 1\n",
                        r"  active +\d+:\d\d:\d\d", r"termspan untrack user1\n"):
            self.assertRegex(shown, pattern)
        self.assertNotIn("user2", shown)
        view = self.product.listing("me", user="user1")
        self.assertEqual([(row["name"], row["tracked"], row["reason"]) for row in view["policy"]["users"]], [("user1", True, "a test")])
        self.assertEqual((view["held"]["sessions"], view["held"]["open"]), (1, 0))
        # All of it, or less if the week began meanwhile; in microseconds.
        row, = self.product.summary("user1")
        self.assertLessEqual(view["week"]["active"], row["active"] + 1e-6)

        def exported():
            """The document, and what the commands say, once both are the same."""
            document = json.loads(self.product.command("me", "export", user="user1").stdout)
            commands = {"sessions": ("session", "history"), "spans": ("spans", "--open"), "events": ("session", "history", "--events"),
                        "audit": ("audit",), "facts": ("facts", "--history")}
            held = {part: self.product.listing(*command, user="user1") for part, command in commands.items()}
            return (document, held) if all(document[part] == rows for part, rows in held.items()) else None
        # Root is not kept waiting for the entry of what it looked at above, which may come in between.
        document, held = wait_until("an export of all that the commands show", exported, 20)
        self.assertGreater(len(held["spans"]), 0)
        self.assertEqual(document["rows"], {part: len(rows) for part, rows in held.items()} | {"records": len(document["records"])})
        self.assertLessEqual({"input", "decision"}, {row["record"] for row in document["records"]})
        self.assertNotIn("user2", json.dumps(document))

        # Nothing about others: neither to an untracked user nor to root, who may see it all by other commands.
        for user, uid in (("user2", 2002), (None, 0)):
            shown = self.product.command("me", user=user).stdout
            self.assertRegex(shown, r"^Your activity is not recorded\.\n +Why: nobody is, unless it is decided so;")
            self.assertIn("  Nothing.\n", shown)
            document = json.loads(self.product.command("me", "export", user=user).stdout)
            self.assertEqual([row["uid"] for row in document["policy"]["users"]], [uid])
            # The computer's, which everybody sees, and nothing of the user's own.
            self.assertEqual({row["user"] for row in document["facts"]}, {None})
            # Who looked at everybody's concerns everybody.
            self.assertEqual(document["rows"], {"sessions": 0, "events": 0, "spans": 0, "records": 0, "audit": len(document["audit"]),
                                                "facts": len(document["facts"])})
            self.assertEqual({row["user"] for row in document["audit"]} - {None}, set())
            self.assertNotIn("user1", shown + json.dumps(document))

        # Where the list names the user, it says so, and to nobody else.
        self.addCleanup(self.product.command, "donottrack", "remove", "user2@*", "--reason=a test", "--responsible=the tests")
        self.product.command("donottrack", "add", "user2", "--reason", "asked for it")
        self.assertRegex(self.product.command("me", user="user2").stdout, r"Why: you are on the Do Not Track list\n +Entry: user2@\*, put there by root on ")
        self.assertNotIn("Do Not Track", self.product.command("me", user="user1").stdout)

    def test_9_the_log_was_followed(self):
        def seen():
            return [(json.loads(line)["time"], json.loads(line)["event"], at) for at, line in self.follower.lines if line.startswith("{")]
        told = [(record["time"], record["event"]) for record in self.product.log(user="user1")]
        self.assertIn("session-closed", [event for _, event in told])
        wait_until("the last record to be followed", lambda: told[-1] in [record[:2] for record in seen()], 20, progress=lambda: str(seen()))
        # It began with some of before.
        followed = [record for record in seen() if record[:2] in told]
        self.assertEqual([record[:2] for record in followed], told)
        # By the journal's own word, not by looking again and again.
        late = sorted(at - moment(time) for time, _, at in followed)
        self.assertLess(late[len(late) // 2], 1, late)

    def test_9_the_journal_says_who_did_it(self):
        records = [(record["event"], record["actor"]) for record in self.product.log(session=self.row["id"]) if record["event"].endswith("-requested")]
        self.assertEqual([record for record in records if record[0] != "session-lock-requested"],
                         [("session-disconnect-requested", "root"), ("session-disconnect-requested", "root"), ("session-logoff-requested", "user2")])
        self.assertEqual({record for record in records if record[0] == "session-lock-requested"},
                         {("session-lock-requested", "user1"), ("session-lock-requested", "root"), ("session-lock-requested", "user2")})
        text = self.lab.enter(["journalctl", "-x", "--no-pager", "-u", "termspand.service", "TERMSPAN_EVENT=session-logoff-requested"]).stdout
        self.assertIn("user2 had the session ended with all its programs.", text)
        # Where a record lacks a field, journalctl shows the field's name.
        self.assertNotIn("TERMSPAN_REASON", text)

    def test_9_the_journal_explains_what_happened_in_the_session(self):
        self.product.sync_journal()
        session = f"session {self.row['id']} of user1"
        for event, subjects, explanation in (
                ("session-opened", [f"S{session[1:]} has opened"],
                 rf"User user1 has logged on and got session number {self.row['id']} \(stack: xrdp, process \d+\)\. .* {self.row['uuid']} names this session"),
                ("session-connected", [f"A client has connected to {session}"] * 3, r"The message says from which address, if the stack \(xrdp\) tells it\."),
                ("session-disconnected", [f"The client of {session} has disconnected"] * 2, r"The session goes on without a client"),
                ("session-locked", [f"S{session[1:]} was locked"], r"The session's screen was locked\."),
                ("session-unlocked", [f"S{session[1:]} was unlocked"], r"The session's screen was unlocked\."),
                ("session-closed", [f"S{session[1:]} has closed"],
                 rf"User user1 has logged off\. Number {self.row['id']} is free again after ten minutes; in the history this session is {self.row['uuid']}\.")):
            lines = self.lab.enter(["journalctl", "-x", "--no-pager", "_UID=0", "_SYSTEMD_UNIT=termspand.service",
                                    f"TERMSPAN_SESSION_UUID={self.row['uuid']}", f"TERMSPAN_EVENT={event}"]).stdout.splitlines()
            self.assertEqual([line.removeprefix("░░ Subject: ") for line in lines if line.startswith("░░ Subject: ")], subjects, event)
            texts = " ".join(line.removeprefix("░░").strip() for line in lines if line.startswith("░░")).split("Subject: ")[1:]
            for text in texts:
                self.assertRegex(text, explanation)
                self.assertNotRegex(text, r"@\w+@", event)
                # Where a record lacks a field, journalctl shows the field's name.
                self.assertNotRegex(text, r"\b(TERMSPAN|USER|SESSION)_[A-Z_]+|\bLEADER\b", event)

    def test_9_the_log_knows_the_sessions_that_had_a_number(self):
        # Numbers are kept in this file alone: without it the next session gets the number of one that has ended.
        self.lab.enter(["sh", "-c", "systemctl stop termspand; rm /run/termspan/sessions.json; systemctl start termspand"])
        self.lab.login("user1", address="198.51.100.11")
        self.product.wait_measured("user1")
        row, = self.product.wait_active("user1")
        self.assertEqual(row["id"], self.row["id"])
        self.product.sync_journal()

        def log(*arguments):
            return [json.loads(line) for line in self.product.command("log", "--since", "today", *arguments, "--format", "json").stdout.splitlines()]

        logons = log("--session", str(row["id"]), "--event", "logon", "--user", "user1")
        self.assertEqual([record["session_uuid"] for record in logons][-2:], [self.row["uuid"], row["uuid"]])
        self.assertEqual([record["event"] for record in log("--session", self.row["uuid"], "--event", "disconnect")], ["session-disconnected"] * 2)
        self.assertEqual(log("--session", row["uuid"], "--event", "disconnect"), [])
        # Those who watch have gone over to the collector that came after.
        for user, watcher in self.watchers.items():
            self.assertIn("termspan: The collector is there again.", [line for _, line in watcher.lines])
            def later():
                return [event["event"] for event in watcher.events() if event["session_uuid"] == row["uuid"]]
            wait_until("the connect to be told", lambda: "connect" in later(), 20, progress=lambda: str(watcher.lines))
            self.assertEqual(later(), ["logon", "connect"], user)
        # In the history they are two as well.
        history = self.product.listing("session", "history", "--session", str(row["id"]))
        # The journal has those of before this module, too.
        self.assertEqual([(session["session_uuid"], session["open"]) for session in history if session["user"] == "user1"][-2:],
                         [(self.row["uuid"], False), (row["uuid"], True)])

    def test_9_those_who_are_not_tracked_are_in_the_history_too(self):
        """As the journal tells it, to who may read it."""
        uuid = self.product.session("user2")["uuid"]

        def until(state):
            wait_until(f"user2 to be {state}", lambda: (row := self.product.session("user2")) and row["state"] == state, 20, progress=self.product.report)

        def history(*arguments, user=None):
            self.product.sync_journal()
            rows = self.product.listing("session", "history", *arguments, user=user)
            return [row for row in rows if row["session_uuid"] == uuid]

        lasting, = history("--user", "user2")
        self.assertEqual((lasting["open"], lasting["end"], lasting["uid"]), (True, None, 2002))
        self.lab.disconnect("user2")
        until("disconnected")
        self.lab.reconnect("user2", address="198.51.100.79")
        until("active")
        self.lab.logout("user2")
        wait_until("the session to be gone", lambda: not self.product.session("user2"), 20, progress=self.product.report)
        row, = history()
        self.assertEqual([row[key] for key in ("user", "stack", "open", "start", "connects", "disconnects")], ["user2", "xrdp", False, None, 2, 1])
        self.assertEqual({row[name] for name in ("total", *CATEGORIES)}, {None})
        self.assertEqual((row["logon"], row["client_addresses"][-1]), (lasting["logon"], "198.51.100.79"))
        events = history("--all", "--events")
        self.assertEqual([event["event"] for event in events], ["logon", "connect", "disconnect", "connect", "logoff"])
        self.assertEqual([event["client_address"] for event in events],
                         [None, row["client_addresses"][0], row["client_addresses"][0], "198.51.100.79", None])
        self.assertEqual((events[-1]["time"], moment(events[0]["time"]) - moment(row["logon"]) < 1), (row["end"], True))
        # Like others it is chosen by its number, by its UUID and by a range, and stands in the order of the logons.
        for chosen in (["--session", uuid], ["--session", str(row["session"])], ["--since", events[-2]["time"]]):
            self.assertEqual(history(*chosen), [row], chosen)
        self.assertEqual((history("--user", "user1"), history("--since", row["end"]), history("--until", row["logon"])), ([], [], []))
        self.assertIn(row["session_uuid"], self.product.command("session", "history", "--format", "csv").stdout)
        rows = self.product.listing("session", "history")
        self.assertEqual([each["session_uuid"] for each in rows], sorted({each["session_uuid"] for each in rows}))
        self.assertEqual({each["user"] for each in rows if each["start"]}, {"user1"})
        # The collector that was made to forget everything told of no end of the session that it had not seen end.
        forgotten = [each for each in rows if each["user"] == "user2" and each["session_uuid"] < uuid][-1]
        self.assertEqual((forgotten["open"], forgotten["end"]), (False, None))
        # Nor is anything of it that another than the collector wrote.
        forged = ["MESSAGE_ID=6a1f0c52b8d94c0e9f0e5b7d3c1a7e01", "TERMSPAN_EVENT=session-opened", "USER_ID=nobody-was-here", "MESSAGE=forged",
                  f"TERMSPAN_SESSION_UUID={uuid[:-1]}{'0' if uuid[-1] != '0' else '1'}", "_UID=0", "_SYSTEMD_UNIT=termspand.service"]
        for writer in ("user1", None):
            self.lab.enter(["logger", "--journald"], user=writer, input="\n".join(forged) + "\n")
        self.product.sync_journal()
        self.assertEqual(self.lab.enter(["journalctl", "--no-pager", "--output=cat", "USER_ID=nobody-was-here"]).stdout, "forged\nforged\n")
        self.assertNotIn("nobody-was-here", self.product.command("session", "history").stdout)
        # Who may not read the journal sees none of it, whatever may be seen of what is recorded.
        self.assertEqual({each["user"] for each in self.product.listing("session", "history", user="user1")}, {"user1"})
        self.assertEqual(self.product.listing("session", "history", user="user2"), [])
        self.assertEqual(self.product.command("session", "history", "--user", "user2", user="user1", check=False).returncode, NOT_PERMITTED)
        self.addCleanup(self.product.grant("user1", "view-others"))
        done = self.product.command("session", "history", "--user", "user2", "--format", "json", user="user1")
        self.assertEqual((done.stdout, done.stderr), ("[]\n", ""))
        # Both together show it; one's own view is what it was.
        self.addCleanup(self.lab.enter, ["gpasswd", "--delete", "user1", "systemd-journal"])
        self.lab.enter(["gpasswd", "--add", "user1", "systemd-journal"])
        self.assertEqual([each["session_uuid"] for each in history("--user", "user2", user="user1")], [uuid])
        self.assertEqual({each["user"] for each in self.product.listing("session", "history", user="user1")}, {"user1"})

        # One that is tracked midway is the store's, once, and as it is there.
        self.lab.login("user2")
        uuid = wait_until("user2's session", lambda: self.product.session("user2"), 20)["uuid"]
        self.assertIsNone(history()[0]["start"])
        self.product.track("user2")
        self.product.wait_measured("user2")
        row, = history()
        self.assertGreater(moment(row["start"]), moment(row["logon"]))
        self.assertEqual((len(history("--session", uuid)), history("--until", row["start"])), (1, []))
        self.assertEqual(len([event for event in history("--events") if event["event"] in ("logon", "recorded")]), 1)


if __name__ == "__main__":
    unittest.main()
