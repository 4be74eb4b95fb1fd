"""What is secret stays so: cookies, activity and what is held of users are in no argument, environment, journal, core or file for others.

Each search is also made where it must find something, so that none is empty for a reason of its own.
"""

import base64
import re
import sys
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402

CLASS = "SecretLetterOfResignation"


class SecretsTests(ProductTestCase):
    """A tracked user with a measured session and a window of a class that is nobody's business; one who is not tracked."""

    users = 3
    tracked = ["user1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.login("user1")
        cls.product.wait_measured("user1")
        cls.lab.run("user1", ["xterm", "-class", CLASS])
        cls.lab.focus("user1", CLASS)
        wait_until("the window to be stored", lambda: CLASS in str(cls.product.spans("user1", open=True)), 20)
        display = cls.lab.display("user1")
        listed = cls.lab.run("user1", ["xauth", "list", display], wait=True).stdout
        cls.cookies = set(re.findall(r"MIT-MAGIC-COOKIE-1\s+([0-9a-f]{32})", listed))
        assert cls.cookies, listed

    def inside(self, script, *arguments, user=None):
        return self.lab.enter(["sh", "-c", script, "sh", *map(str, arguments)], user=user, check=False).stdout

    def read(self, command):
        """What a command prints, as bytes that may be anything."""
        return self.lab.enter(["sh", "-c", f"{command} | base64 -w0"]).stdout.encode()

    def holds(self, command, *secrets):
        """Which of the secrets are in what a command prints, as text or as bytes."""
        content = base64.b64decode(self.read(command))
        forms = [(secret, [secret.encode(), *([bytes.fromhex(secret)] if re.fullmatch(r"[0-9a-f]{32}", secret) else [])]) for secret in secrets]
        return {secret for secret, parts in forms if any(part in content for part in parts)}

    JOURNAL = "journalctl --sync; journalctl --boot -o export"
    PROCESSES = "for file in $(grep -ls termspan.slice /proc/[0-9]*/cgroup); do cat ${file%cgroup}cmdline ${file%cgroup}environ; done 2>/dev/null"
    RUNTIME = "find /run/termspan -type f -exec cat {} +"
    STATE = "cat /var/lib/termspan/* /var/lib/termspan-keys/*"

    # Looks at every process of ours again and again, until it is told to end: what each had in its arguments and its environment.
    POLL = """
import os, sys, time
seen, since = set(), {}
while not os.path.exists(sys.argv[1]):
    for process in filter(str.isdigit, os.listdir("/proc")):
        # Those that are new, since some live for a moment alone, and one becomes another program early.
        now = time.monotonic()
        if now - since.setdefault(process, now) > 3:
            continue
        try:
            read = {}
            for name in ("cgroup", "cmdline", "environ", "limits"):
                with open(f"/proc/{process}/{name}", "rb") as file:
                    read[name] = file.read()
            if b"termspan.slice" in read["cgroup"]:
                # What is systemd's own still has systemd's limits.
                is_program = read["cmdline"].startswith((b"/usr/libexec/termspan/", b"/probe"))
                core = next(line for line in read["limits"].splitlines() if line.startswith(b"Max core")) if is_program else b""
                seen.add(b"\\n".join((read["cmdline"], read["environ"], core)))
        except (OSError, StopIteration):
            continue
sys.stdout.buffer.write(b"\\n".join(seen))
"""

    def test_cookies_are_nowhere(self):
        self.assertEqual(self.holds("cat /home/user1/.Xauthority", *self.cookies), self.cookies)
        # One more reading of it, and a probe that is started anew, while somebody looks at all processes and at all that the bus carries:
        # what systemd is told to run, how, and in which environment.
        polled, carried, stop = "/run/lab-polled", "/run/lab-carried", "/run/lab-stop"
        self.inside("rm -f $1 $2", polled, stop)
        monitor = "stdbuf --output=0 timeout 60 dbus-monitor --system --binary"
        self.inside(f"({monitor} >$1 & python3 -c \"$2\" $3 >$4.new && mv $4.new $4 &) >/dev/null 2>&1", carried, self.POLL, stop, polled)
        wait_until("the watch on the bus", lambda: self.inside("cat $1 | wc -c", carried).strip() != "0", 20)
        probe = next(iter(self.product.probes().values()))
        self.product.kill(probe)
        wait_until("the next probe", lambda: probe not in self.product.probes().values() and self.product.probes(), 20)
        self.product.wait_measured("user1")
        self.product.spans("user1")
        asked = {"StartTransientUnit", "termspan-cookie-", "--server"}
        wait_until("what the bus carried", lambda: self.holds(f"cat {carried}", *asked) == asked, 20, progress=lambda: str(self.holds(f"cat {carried}", *asked)))
        self.inside("touch $1; pkill -f '^dbus-monitor --system'", stop)
        said = wait_until("what was seen of processes", lambda: self.inside("cat $1", polled), 20)
        for program in ("/termspand\0", "/termspan-reportd\0", "/probe\0"):
            self.assertIn(program, said)
        # No core of any of them.
        self.assertEqual(set(re.findall(r"^Max core file size +(\w+) +(\w+)", said, re.MULTILINE)), {("0", "0")})
        for place in (self.JOURNAL, self.PROCESSES, self.RUNTIME, self.STATE, f"cat {polled}", f"cat {carried}"):
            self.assertEqual(self.holds(place, *self.cookies), set(), place)

    def test_activity_is_in_the_store_and_nowhere_else(self):
        wait_until("the class to be in the store", lambda: self.holds(self.STATE, CLASS), 20,
                   progress=lambda: self.lab.focus("user1", CLASS) or "")
        for place in (self.JOURNAL + " _SYSTEMD_SLICE=termspan.slice", self.JOURNAL + " _SYSTEMD_UNIT=termspand.service",
                      self.PROCESSES, self.RUNTIME):
            self.assertEqual(self.holds(place, CLASS, "/usr/bin/xterm"), set(), place)

    def test_no_core_and_no_trace_of_a_crash(self):
        """A crash writes nothing that belongs to users: no core anywhere, no backtrace in the journal."""
        pattern = self.inside("cat /proc/sys/kernel/core_pattern").strip()
        before = self.product.collector()
        for pid in (before, next(iter(self.product.probes().values()))):
            self.assertRegex(self.inside("cat /proc/$1/limits", pid), r"Max core file size +0 +0 ")
        self.inside("touch /var/tmp/mark")
        self.product.kill(before, "SEGV")
        self.product.wait_ready(other_than=before)
        probe = next(iter(self.product.probes().values()))
        self.product.kill(probe, "SEGV")
        wait_until("the next probe", lambda: probe not in self.product.probes().values() and self.product.probes(), 20)
        self.product.wait_measured("user1")
        if not pattern.startswith("|"):
            name = re.sub(r"%.", "*", pattern.rsplit("/", 1)[-1]) or "core"
            found = self.inside("find / -xdev -newer /var/tmp/mark \\( -name core -o -name 'core.*' -o -name \"$1\" \\) -type f 2>/dev/null", name)
            self.assertEqual(found.strip(), "")
        said = self.inside("journalctl --sync; journalctl --boot -o cat _SYSTEMD_UNIT=termspand.service")
        self.assertNotRegex(said, r"(?i)backtrace|\brax\b|crashed|^\d+ .* in .* at ")

    def test_no_file_is_set_uid(self):
        files = self.inside("dpkg -L termspan").split()
        self.assertIn("/usr/libexec/termspan/termspand", files)
        self.assertEqual(self.inside("find $(dpkg -L termspan) /run/termspan /var/lib/termspan /var/lib/termspan-keys -maxdepth 0 -perm /6000").split(), [])
        capable = self.inside("for file in $(dpkg -L termspan); do [ -f $file ] && getfattr --absolute-names -m security.capability $file; done 2>/dev/null")
        self.assertEqual(capable, "")

    def test_the_state_folder_gives_nothing_away(self):
        for user in self.user_names:
            for path in ("/var/lib/termspan", "/var/lib/termspan/termspan.db", "/run/termspan/sessions.json"):
                self.assertIn("Permission denied", self.inside("ls $1/. 2>&1" if path.endswith("/termspan") else "cat $1 2>&1", path, user=user), path)
        modes = self.inside("stat -c '%a %U:%G %n' /var/lib/termspan /var/lib/termspan/* /run/termspan/sessions.json").splitlines()
        self.assertEqual(sorted(modes), sorted([
            "750 root:termspan-reports /var/lib/termspan", "640 root:termspan-reports /var/lib/termspan/termspan.db",
            "640 root:termspan-reports /var/lib/termspan/termspan.db-shm", "640 root:termspan-reports /var/lib/termspan/termspan.db-wal",
            "600 root:termspan-reports /run/termspan/sessions.json"]))

    def test_nobody_sees_whether_another_is_tracked(self):
        """Neither in the runtime folder nor on the bus; each sees it of themselves."""
        self.product.untrack("user2")
        self.assertIn("is recorded", self.inside("cat /run/termspan/notice/2001/text", user="user1"))
        self.assertEqual(self.inside("cat /run/termspan/notice/2002/text", user="user2"), "")
        for command in ("ls /run/termspan/notice/", "ls /run/termspan/notice/2001", "cat /run/termspan/notice/2001/text",
                        "stat /run/termspan/notice/2001/text"):
            self.assertEqual(self.inside(f"{command} 2>/dev/null", user="user2"), "", command)
        # From outside one who is tracked looks as one who is not.
        looks = [self.inside("stat -c '%A %h %s' /run/termspan/notice/$1", uid, user="user3") for uid in (2001, 2002)]
        self.assertNotEqual(looks[0], "")
        self.assertEqual(looks[0], looks[1])
        row, = [row for row in self.product.query_sessions(user="user2") if row["user"] == "user1"]
        self.assertEqual([row[key] for key in ("tracked", "coverage", "coverage_reason", "idle", "client_address")], [None] * 5)
        row, = [row for row in self.product.query_sessions(user="user1") if row["user"] == "user1"]
        self.assertEqual((row["tracked"], row["coverage"]), (True, "measured"))
        status = self.product.listing("status", user="user2")
        self.assertEqual(status["coverage"], [])
        said = self.lab.enter(["busctl", "get-property", "org.termspan1", f"/org/termspan1/session/_{row['id']}", "org.termspan1.Session", "Coverage"],
                              user="user2").stdout
        self.assertEqual(said.strip(), 's ""')


if __name__ == "__main__":
    unittest.main()
