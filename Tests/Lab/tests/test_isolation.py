"""A session's user can't reach a probe, the collector or a lane; a probe can reach nothing but its own X server; each capability is needed.

What the units' settings come to is tried, not read: by programs of the user, in the user's session, and by an attacker in the probe's place.
Every attempt is also made where it must work, so that none fails for a reason of its own.
"""

import functools
import json
import os
import re
import shutil
import sys
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402
from lablib.programs import static  # noqa: E402

PROGRAMS = LAB_FOLDER / "programs"
INSIDE = "/usr/local/lib/termspan-lab"
REFUSED = {"EPERM", "EACCES"}


class IsolationTestCase(ProductTestCase):
    """Two users, both tracked and measured, each with an RDP session."""

    users = 2
    tracked = ["user1", "user2"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.prepare_logins()
        for user in cls.user_names:
            cls.lab.login(user)
        cls.product.wait_measured(*cls.user_names)
        folder = cls.lab.root / INSIDE.lstrip("/")
        folder.mkdir(exist_ok=True)
        for program in (*filter(Path.is_file, PROGRAMS.iterdir()), static("attacker.c")):
            shutil.copy(program, folder / program.name)

    @classmethod
    def prepare_logins(cls):
        """What there is to do before the users log in."""

    def inside(self, *command, **options):
        return self.lab.enter(list(command), **options).stdout.strip()

    def show(self, unit, name):
        return self.inside("systemctl", "show", "--property", name, "--value", unit)

    def as_user(self, *command, user="user1", timeout=60):
        """Runs a command in the user's own session, in its scope."""
        return self.lab.run(user, list(command), wait=True, timeout=timeout)

    def intrude(self, *arguments, user="user1"):
        done = self.as_user("python3", f"{INSIDE}/intruder.py", *map(str, arguments), user=user)
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)


class IsolationTests(IsolationTestCase):
    @classmethod
    def prepare_logins(cls):
        """user2's home is a file system of its own, as a server's homes often are: the reader of cookies must see it."""
        account = cls.lab.container.account("user2")
        cls.lab.enter(["sh", "-ec", """
            rm -f "$1/.Xauthority"
            cp -a "$1" /root/home
            mount -t tmpfs -o "mode=700,uid=$2,gid=$2" tmpfs "$1"
            cp -a /root/home/. "$1"
            rm -r /root/home""", "sh", account["home"], str(account["uid"])])
        cls.addClassCleanup(cls.lab.enter, ["umount", "--lazy", account["home"]])

    def setUp(self):
        self.before = (self.product.probes(), self.product.collector())
        self.assertEqual(len(self.before[0]), 2)
        # Whatever was tried, they go on.
        self.addCleanup(lambda: self.assertEqual((self.product.probes(), self.product.collector()), self.before))

    def test_a_cookie_in_a_home_on_another_file_system_is_read(self):
        """It is nowhere else: below the mount the home has no file of cookies."""
        home = self.lab.container.account("user2")["home"]
        self.inside("mountpoint", "--quiet", home)
        self.inside("test", "-s", f"{home}/.Xauthority")
        self.inside("sh", "-ec", f"mount --bind / /mnt; trap 'umount /mnt' EXIT; ! test -e /mnt{home}/.Xauthority")
        self.assertEqual(self.product.session("user2")["coverage"], "measured")

    # What a session's user tries against the probes and the collector.

    def test_the_attempts_work_where_they_may(self):
        """Against the user's own process, with a lane of its own, every one of them does: so what fails below fails for protection."""
        control = self.intrude("control")
        self.assertGreater(len(control), 40)
        self.assertEqual({name: error for name, error in control.items() if error}, {})
        in_scope = self.as_user("cat", "/proc/self/cgroup").stdout
        self.assertRegex(in_scope, r"/session-\w+\.scope\n$")

    def test_no_user_traces_kills_or_reads_a_probe_or_the_collector(self):
        probes, collector = self.before
        for user in self.user_names:
            results = self.intrude("attack", *probes.values(), collector, user=user)
            self.assertEqual(len(results), 3)
            for pid, attempts in results.items():
                self.assertGreater(len(attempts), 40)
                allowed = {name: error or "it worked" for name, error in attempts.items() if error not in REFUSED}
                self.assertEqual(allowed, {}, f"{user} against {pid}")

    def test_no_user_opens_a_lane(self):
        """Lanes are memory files without a name: what leads to them is a descriptor or a mapping of the two that have them."""
        probes, collector = self.before
        lanes = self.inside("sh", "-c", f"grep -c memfd: /proc/{collector}/maps; grep -hoE 'memfd:[^ ]+' /proc/{collector}/maps | sort -u")
        self.assertGreater(int(lanes.splitlines()[0]), 0, lanes)
        for pid in (*probes.values(), collector, 1):
            descriptors = self.inside("ls", f"/proc/{pid}/fd").split()
            self.assertTrue(descriptors)
            paths = [f"/proc/{pid}/fd/{number}" for number in descriptors]
            mappings = self.inside("sh", "-c", f"ls /proc/{pid}/map_files").split()[:50]
            paths += [f"/proc/{pid}/map_files/{name}" for name in mappings]
            for path, outcomes in self.intrude("files", *paths).items():
                self.assertLessEqual({outcomes["read"], outcomes["change"]}, REFUSED, path)

    def test_no_user_reads_or_changes_the_products_files(self):
        paths = self.inside("find", "/run/termspan", "/var/lib/termspan", "/var/lib/termspan-keys", "/usr/libexec/termspan", "/etc/termspan").splitlines()
        self.assertIn("/run/termspan/sessions.json", paths)
        self.assertIn("/var/lib/termspan/termspan.db", paths)
        everybodys = re.compile(r"/usr/libexec/termspan|/etc/termspan|/run/termspan$|/run/termspan/notice")
        for path, outcomes in self.intrude("files", *paths).items():
            with self.subTest(path):
                self.assertIn(outcomes["change"], REFUSED | {"ETXTBSY"})
                self.assertIn(outcomes["move"], REFUSED)
                if not everybodys.match(path):
                    self.assertIn(outcomes["read"], REFUSED)

    def test_no_user_moves_or_stops_a_unit(self):
        probe = next(iter(self.before[0]))
        slices = [f"/sys/fs/cgroup/termspan.slice/{unit}" for unit in (probe, "termspand.service")]
        for path, outcomes in self.intrude("files", *(f"{folder}/{name}" for folder in slices
                                                      for name in ("cgroup.procs", "cgroup.kill", "cgroup.freeze"))).items():
            self.assertIn(outcomes["change"], REFUSED, path)
        manager = ["busctl", "--allow-interactive-authorization=no", "call", "org.freedesktop.systemd1", "/org/freedesktop/systemd1",
                   "org.freedesktop.systemd1.Manager"]
        for unit in (probe, "termspand.service"):
            for call in (["StopUnit", "ss", unit, "replace"], ["KillUnit", "ssi", unit, "all", "9"], ["FreezeUnit", "s", unit],
                         ["SetUnitProperties", "sba(sv)", unit, "true", "1", "MemoryMax", "t", "1"],
                         ["AttachProcessesToUnit", "ssau", unit, "", "1", str(os.getpid())],
                         # Since systemd 254: it would hand out nothing but names, and yet.
                         ["DumpUnitFileDescriptorStore", "s", unit]):
                done = self.as_user(*manager, *call)
                self.assertNotEqual(done.returncode, 0, call)
                self.assertRegex(done.stderr, r"(?i)authentication required|access denied|permission denied|not permitted|unknown method|non-delegated", call)
        done = self.as_user(*manager, "StartTransientUnit", "ssa(sv)a(sa(sv))", "termspan-probe-mine.service", "fail",
                            "1", "ExecStart", "a(sasb)", "1", "/probe", "1", "/probe", "false", "0")
        self.assertRegex(done.stderr, r"(?i)authentication required|access denied")

    # A program in the place of a probe, under the sandbox that the product's drop-in makes.

    @functools.cached_property
    def attempts(self):
        return self.attack()

    @classmethod
    @functools.cache
    def attack(cls):
        """What came of each of the attacker's attempts, by its words: kind, 'free' outside of any sandbox and 'confined' in a probe's."""
        shared = ("/dev/shm", "/tmp", "/var/tmp")
        # What a user could lay out for a probe that they have taken over.
        cls.lab.enter(["sh", "-c", f"""
            for folder in {" ".join(shared)}; do
                echo bait >$folder/bait && chmod 666 $folder/bait && cp /bin/true $folder/true && chmod 755 $folder/true
            done"""])
        cls.addClassCleanup(cls.lab.enter, ["rm", "-f", *(f"{folder}/{name}" for folder in shared for name in ("bait", "true"))])
        display = cls.lab.display("user1").lstrip(":")
        real = list(cls.product.probes().values())
        given = {
            "PATH": ["/etc/passwd", "/etc/shadow", "/etc/termspan/termspan.yaml", "/run/termspan/sessions.json", "/var/lib/termspan/termspan.db",
                     f"/tmp/.X11-unix/X{display}", "/home/user1/.Xauthority", "/usr/bin/true", "/proc/1/status", f"/proc/{real[0]}/mem",
                     f"/proc/{real[0]}/status", "/proc/net/tcp", "/proc/meminfo", "/proc/sys/kernel/hostname", "/sys/kernel/notes",
                     "/sys/fs/cgroup/cgroup.procs", "/dev/pts/ptmx", *(f"{folder}/bait" for folder in shared)],
            "NEW": ["/new", "/tmp/new", "/var/tmp/new", "/dev/new", "/dev/shm/new", "/run/new", "/usr/new", "/home/new"],
            "FOLDER": ["/", "/dev/shm", "/proc", "/tmp"],
            # One of the new, which is there by then.
            "FILE": ["/dev/shm/new"],
            "PROGRAM": ["/bin/true", "/usr/bin/true", *(f"{folder}/true" for folder in shared)],
            "PID": [*map(str, real), str(cls.product.collector()), "1"],
            "ALLOWED": ["0"],
        }
        (cls.lab.root / INSIDE.lstrip("/") / "given.json").write_text(json.dumps(given))
        done = cls.lab.enter(["python3", f"{INSIDE}/attack_all.py", f"{INSIDE}/attacker", f"{INSIDE}/given.json"], timeout=120)
        found = json.loads(done.stdout)
        if found["victim"] != "active":
            raise AssertionError("the victim in a sandbox beside the attacker's did not survive")
        return found["attempts"]

    def assert_refused(self, *kinds, by=r"E[A-Z]+|SIGSYS"):
        """Every attempt of these kinds was refused by the kernel."""
        rows = {key: row for key, row in self.attempts.items() if row["kind"] in kinds}
        self.assertTrue(rows)
        for key, row in rows.items():
            with self.subTest(key):
                self.assertRegex(row["confined"], f"^(?:{by})$")

    def test_the_attacker_runs_in_the_sandbox(self):
        """What is harmless works there: so the others fail for what they try."""
        self.assertEqual(self.attempts["processors-of-others 0"]["confined"], "")

    def test_every_attempt_works_outside(self):
        # Paths are read or changed, and some can only be one of the two; those that can be neither are sockets and what no file system has.
        # EFAULT is said after the right was given: the victim has let go of that page meanwhile.
        useless = {key: row["free"] for key, row in self.attempts.items()
                   if row["free"] not in ("", "EFAULT") and row["kind"] != "PATH" and key != "foreign-calls"}
        self.assertEqual(useless, {})
        for path in {key.split(" ", 1)[1] for key, row in self.attempts.items() if row["kind"] == "PATH"}:
            if not path.startswith("/tmp/.X11-unix/"):
                self.assertIn("", {self.attempts[f"{name} {path}"]["free"] for name in ("read-file", "change-file")}, path)

    def test_no_network(self):
        for name in ("inet", "inet6", "unix", "netlink", "packets", "socketpair"):
            self.assertIn(self.attempts[name]["confined"], ("SIGSYS", "EAFNOSUPPORT", "EPERM"), name)

    def test_no_file(self):
        self.assert_refused("PATH", "NEW", "FOLDER", "FILE")

    def test_no_program(self):
        self.assert_refused("PROGRAM")
        for name in ("fork", "thread"):
            self.assertIn(self.attempts[name]["confined"], ("SIGSYS", "EAGAIN", "EPERM"), name)

    def test_no_other_process(self):
        """Neither another probe, nor a real one, nor the collector, nor process 1."""
        self.assert_refused("PID", by="EPERM|SIGSYS")

    def test_no_more_rights(self):
        named = [name for name, row in self.attempts.items() if row["kind"] == ""]
        self.assertGreater(len(named), 20)
        self.assert_refused("")

    # The running units, as the kernel and systemd have them.

    def status(self, pid):
        return dict(line.split(":\t", 1) for line in self.inside("cat", f"/proc/{pid}/status").splitlines() if ":\t" in line)

    def exposure(self, unit):
        said = self.inside("systemd-analyze", "security", "--no-pager", unit)
        found = re.search(rf"exposure level for {re.escape(unit)}: ([\d.]+)", said)
        self.assertTrue(found, said[-500:])
        print(f"figure: exposure of {re.sub('-[0-9a-f-]+[.]', '-*.', unit)}: {found[1]}", file=sys.stderr, flush=True)
        return float(found[1])

    def test_exposure(self):
        self.assertLessEqual(self.exposure("termspand.service"), 2.0)
        self.assertLessEqual(self.exposure(next(iter(self.product.probes()))), 0.2)
        self.product.spans()
        self.assertLessEqual(self.exposure("termspan-reportd.service"), 0.3)

    def test_the_services_have_few_system_calls(self):
        """Nothing that makes namespaces, mounts, traces, loads, or reads another's memory; and what each does all day is there."""
        self.product.spans()
        # What every allow list of systemd's has.
        default = set(re.findall(r"^ +([a-z_0-9]+)$", self.inside("systemd-analyze", "--no-pager", "syscall-filter", "@default"), re.MULTILINE))
        self.assertIn("exit_group", default)
        for unit, most in {"termspand.service": 120, "termspan-reportd.service": 90}.items():
            allowed = set(self.show(unit, "SystemCallFilter").split())
            self.assertLessEqual(len(allowed - default), most, unit)
            self.assertLessEqual({"openat", "epoll_wait", "clone", "sendmsg"}, allowed)
            self.assertEqual(allowed & {"unshare", "setns", "mount", "ptrace", "process_vm_readv", "process_vm_writev", "bpf", "perf_event_open",
                                        "io_uring_setup", "keyctl", "add_key", "init_module", "kexec_load", "reboot", "chroot", "pivot_root", "swapon",
                                        "settimeofday", "clock_settime", "userfaultfd", "execveat", "mlockall", "shmget", "setuid", "chown"}, set())

    def test_a_running_probe_has_nothing(self):
        for unit, pid in self.product.probes().items():
            status = self.status(pid)
            self.assertEqual(status["Seccomp"], "2")
            self.assertEqual(status["NoNewPrivs"], "1")
            self.assertEqual(status["Threads"].strip(), "1")
            for name in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
                self.assertEqual(int(status[name], 16), 0, name)
            for name in ("Uid", "Gid"):
                self.assertEqual(len(set(status[name].split())), 1, status[name])
                self.assertGreaterEqual(int(status[name].split()[0]), 61184, "not a dynamic one")
            self.assertEqual(set(status["Groups"].split()), set(status["Gid"].split()[:1]))
            limits = self.inside("cat", f"/proc/{pid}/limits")
            for name, value in {"Max file size": 0, "Max core file size": 0, "Max open files": 64, "Max locked memory": 0}.items():
                self.assertRegex(limits, rf"{name} +\d+ +{value} ")
            for name, value in {"MemoryMax": 32 << 20, "MemorySwapMax": 0, "TasksMax": 1, "Slice": "termspan.slice", "NRestarts": 0}.items():
                self.assertEqual(self.show(unit, name), str(value), name)
            # Where the machine gives the container these controllers, what they were set to.
            folder = f"/sys/fs/cgroup/termspan.slice/{unit}"
            for name, value in {"memory.max": str(32 << 20), "pids.max": "1", "memory.swap.max": "0"}.items():
                file = self.lab.root / folder.lstrip("/") / name
                if file.exists():
                    self.assertEqual(file.read_text().strip(), value, name)

    def test_a_probes_descriptors_are_those_that_it_was_given(self):
        for pid in self.product.probes().values():
            kinds = self.inside("sh", "-c", f"for fd in /proc/{pid}/fd/*; do readlink $fd; done").splitlines()
            sockets = [kind for kind in kinds if kind.startswith("socket:")]
            others = [kind for kind in kinds if not kind.startswith("socket:") and not re.match(r"anon_inode:\[eventfd\]|/memfd:", kind)]
            self.assertEqual(others, [])
            # The control channel, the journal, the X server: no more than these three.
            self.assertLessEqual(len(set(sockets)), 3, kinds)
            self.assertLessEqual(len(kinds), 8, kinds)

    def test_two_probes_share_neither_user_nor_namespace(self):
        first, second = self.product.probes().values()
        uids = [self.status(pid)["Uid"].split()[0] for pid in (first, second)]
        users = [str(self.lab.container.account(user)["uid"]) for user in self.user_names]
        self.assertEqual(len({*uids, *users, "0"}), 5)
        for kind in ("mnt", "net", "user", "ipc"):
            spaces = [self.inside("readlink", f"/proc/{pid}/ns/{kind}") for pid in (first, second, 1)]
            self.assertEqual(len(set(spaces)), 3, f"{kind}: {spaces}")

    def test_the_probes_own_filter_is_on_top_of_the_units(self):
        """The unit's filters are what any program in its place has; the probe adds one of its own when it is connected."""
        counts = [int(self.status(pid)["Seccomp_filters"]) for pid in self.product.probes().values()]
        unit = "termspan-probe-filters.service"
        self.inside("sh", "-c", f"ln -sf /bin/true /probe; systemd-run --quiet --unit={unit} "
                                f"--property=BindReadOnlyPaths={INSIDE}/attacker:/probe /probe wait; rm /probe")
        self.addCleanup(self.lab.enter, ["systemctl", "stop", unit])
        pid = int(self.show(unit, "MainPID"))
        # Its command line is the program's own only after the sandbox is complete.
        wait_until("the program to run", lambda: self.inside("cat", f"/proc/{pid}/comm") == "probe", 20)
        alone = int(self.status(pid)["Seccomp_filters"])
        self.assertGreaterEqual(min(counts), 2)
        self.assertEqual(counts, [alone + 1] * 2)

    def test_a_users_own_folder_of_xrdp_is_watched(self):
        """Where xrdp 0.10 has a user's sockets: what comes and goes there tells of clients, and its user alone may look. Any xrdp's will do for this."""
        uid = self.lab.container.account("user1")["uid"]
        folder = f"/run/xrdp/sockdir/{uid}"
        if not (self.lab.root / folder.lstrip("/")).exists():
            self.inside("install", "-d", "-m", "700", "-o", "user1", folder)
            self.addCleanup(self.inside, "rmdir", folder)
        inode = int(self.inside("stat", "-c", "%i", folder))
        pid = self.product.collector()
        wait_until("it to be watched", lambda: f" ino:{inode:x} " in self.inside("sh", "-c", f"cat /proc/{pid}/fdinfo/*"), 20)

    def test_the_collector_reads_no_journal(self):
        """What others wrote, as xrdp what its clients call themselves, is read by who has nothing to lose."""
        pid = self.product.collector()
        for folder in ("/var/log/journal", "/run/log/journal"):
            if (self.lab.root / folder.lstrip("/")).exists():
                self.assertEqual(self.inside("stat", "-c", "%a %h", f"/proc/{pid}/root{folder}").split()[0], "0", folder)

    def test_the_collector_has_three_capabilities(self):
        names = {"CAP_SETUID": 7, "CAP_SETGID": 6, "CAP_SYS_PTRACE": 19}
        status = self.status(self.product.collector())
        for name in ("CapPrm", "CapEff", "CapBnd"):
            self.assertEqual(int(status[name], 16), sum(1 << bit for bit in names.values()), name)
        self.assertEqual(int(status["CapAmb"], 16), 0)
        self.assertEqual((status["Seccomp"], status["NoNewPrivs"]), ("2", "1"))


class CapabilityTests(IsolationTestCase):
    """What goes missing without each capability of the collector: what it is there for, and why there is none besides."""

    ALL = ("CAP_SETUID", "CAP_SETGID", "CAP_SYS_PTRACE")

    @classmethod
    def prepare_logins(cls):
        """Has xrdp run as a user of its own where it doesn't: Debian 12 does so, Debian 13 leaves it to the administrator."""
        script = """
            set -eu
            [ "$(ps -o user= -p "$(systemctl show --property MainPID --value xrdp.service)")" = root ] || exit 0
            mkdir -p /run/systemd/system/xrdp.service.d
            printf '[Service]\nUser=xrdp\nGroup=xrdp\n' >/run/systemd/system/xrdp.service.d/lab.conf
            sed -i 's/^#*SessionSockdirGroup=.*/SessionSockdirGroup=xrdp/' /etc/xrdp/sesman.ini
            touch /var/log/xrdp.log && chown xrdp /var/log/xrdp.log
            systemctl daemon-reload && systemctl restart xrdp-sesman.service xrdp.service
            echo changed
        """
        undo = """
            rm -r /run/systemd/system/xrdp.service.d
            sed -i 's/^SessionSockdirGroup=.*/#&/' /etc/xrdp/sesman.ini
            systemctl daemon-reload && systemctl restart xrdp-sesman.service xrdp.service
        """
        if cls.lab.enter(["sh", "-c", script]).stdout.strip() == "changed":
            cls.addClassCleanup(cls.lab.enter, ["sh", "-c", undo])

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.run("user1", ["xterm", "-class", "Editor"])
        cls.lab.focus("user1", "Editor")
        cls.addClassCleanup(cls.allow, cls.ALL)

    @classmethod
    def allow(cls, capabilities):
        """Restarts the collector with these capabilities only."""
        folder = cls.lab.root / "run/systemd/system/termspand.service.d"
        shutil.rmtree(folder, ignore_errors=True)
        if set(capabilities) != set(cls.ALL):
            folder.mkdir(parents=True)
            (folder / "lab.conf").write_text(f"[Service]\nCapabilityBoundingSet=\nCapabilityBoundingSet={' '.join(capabilities)}\n")
        before = cls.product.collector()
        cls.lab.enter(["systemctl", "daemon-reload"])
        cls.lab.enter(["systemctl", "restart", "termspand.service"])
        cls.product.wait_ready(other_than=before)

    def without(self, capability):
        self.allow([name for name in self.ALL if name != capability])
        self.assertFalse(int(self.inside("grep", "CapBnd", f"/proc/{self.product.collector()}/status").split()[1], 16)
                         & 1 << {"CAP_SETUID": 7, "CAP_SETGID": 6, "CAP_SYS_PTRACE": 19}[capability])

    def tearDown(self):
        self.allow(self.ALL)

    def observed(self):
        """What users see of user1's session: state, client, coverage, and the program behind the window that has the focus."""
        row = self.product.session("user1")
        open_spans = [span for span in self.product.spans("user1", open=True) if not span["end"]]
        return {"state": row["state"], "client": row["client_address"], "coverage": row["coverage"],
                "program": open_spans[-1]["executable"] if open_spans else None}

    def until(self, **expected):
        wait_until(f"{expected}", lambda: {name: self.observed()[name] for name in expected} == expected, 30,
                   progress=lambda: f"{self.observed()}\n{self.product.report()}")

    WHOLE = {"state": "active", "client": "198.51.100.11", "coverage": "measured", "program": "/usr/bin/xterm"}

    def test_with_all_three_nothing_is_missing(self):
        self.until(**self.WHOLE)

    def test_without_setuid_no_client_is_found(self):
        self.until(**self.WHOLE)
        self.without("CAP_SETUID")
        self.until(client=None, coverage="measured")

    def test_without_setgid_no_client_is_found(self):
        self.until(**self.WHOLE)
        self.without("CAP_SETGID")
        self.until(client=None, coverage="measured")

    def test_without_sys_ptrace_no_x_server_is_found(self):
        self.until(**self.WHOLE)
        self.without("CAP_SYS_PTRACE")
        self.until(coverage="no-x-server", client=None)


if __name__ == "__main__":
    unittest.main()
