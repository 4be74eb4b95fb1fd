"""Idle sessions cost nothing: in a minute without input no thread of a probe or of the collector wakes, but for the watchdog.

The sessions are idle, not dead: an Xfce desktop each, with a clock in its panel that shows seconds, and a terminal in front that changes
its title ten times a second, as terminals do that show a spinner.
"""

import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402

SECONDS = 60
SPINNER = r"""#!/bin/sh
number=0
while :; do
    number=$((number + 1))
    printf '\033]0;spinning %d\007' $number
    sleep 0.1
done
"""


class IdleTests(ProductTestCase):
    users = 2
    tracked = ["user1", "user2"]
    settings = {"burst-gap": "2s"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.users(cls.users, "xfce")
        cls.addClassCleanup(cls.lab.users, cls.users)
        spinner = cls.lab.root / "usr/local/bin/lab-spinner"
        spinner.write_text(SPINNER)
        spinner.chmod(0o755)
        for user in cls.user_names:
            cls.lab.login(user)
            wait_until(f"the panel's clock of {user}", lambda: cls.show_seconds(user), 60)
            cls.lab.run(user, ["xterm", "-class", "Spinner", "-e", "/usr/local/bin/lab-spinner"])
            cls.lab.focus(user, "Spinner")
        cls.product.wait_measured(*cls.user_names)
        # Without any input nobody is idle.
        for user in cls.user_names:
            cls.lab.key(user, "shift")
        cls.ready = time.monotonic()

    @classmethod
    def show_seconds(cls, user):
        """Makes the clock of a user's panel a busy one."""
        script = """
            clock=$(xfconf-query -c xfce4-panel -l -v | sed -n 's/ *clock$//p') && [ "$clock" ] || exit 1
            xfconf-query -c xfce4-panel -p "$clock/digital-layout" -n -t uint -s 3
            xfconf-query -c xfce4-panel -p "$clock/digital-time-format" -n -t string -s %T
        """
        return cls.lab.run(user, ["sh", "-c", script], wait=True).returncode == 0

    def title(self, user):
        """The title of the window that has the focus."""
        script = "xprop -id $(xdotool getactivewindow) -notype WM_NAME"
        return self.lab.run(user, ["sh", "-c", script], wait=True).stdout.strip()

    def switches(self):
        """How often each thread of the probes and the collector has gone to sleep of its own will so far, by unit and thread."""
        found = {}
        for unit, pid in [*self.product.probes().items(), ("termspand.service", self.product.collector())]:
            for line in self.lab.enter(["sh", "-c", f"""
                    for thread in /proc/{pid}/task/*; do
                        echo "${{thread##*/}} $(cat $thread/comm) $(sed -n 's/^voluntary_ctxt_switches:.//p' $thread/status)"
                    done"""]).stdout.splitlines():
                thread, name, count = line.split()
                found[unit, int(thread), "main" if int(thread) == pid else name] = int(count)
        return found

    def is_quiet(self):
        """Whether the bursts are over and everything about them is stored, and what follows once is over, too: logind is asked once more ten seconds
        after a logon, a session is settled after fifteen, and the bus tells that hostnamed, which was asked for the name, has left after thirty."""
        if time.monotonic() - self.ready < 20 or self.lab.enter(["systemctl", "is-active", "--quiet", "systemd-hostnamed"], check=False).returncode == 0:
            return False
        for user in self.user_names:
            row = self.product.session(user)
            if row["idle"] is None or row["idle"] < 4:
                return False
        before = self.switches()
        time.sleep(1)
        # Asking woke nobody, so whatever differs is work of their own; the main thread answers and keeps the watchdog.
        after = self.switches()
        return all(before.get(key) == count for key, count in after.items() if key[2] != "main" or "probe" in key[0])

    def test_nobody_wakes_while_nothing_happens(self):
        wait_until("the sessions to be quiet", self.is_quiet, 90, progress=self.product.report)
        watchdog = int(self.lab.enter(["systemctl", "show", "--property", "WatchdogUSec", "--value", "termspand.service"]).stdout.strip().rstrip("s"))
        titles = {user: self.title(user) for user in self.user_names}
        before = self.switches()
        began = time.monotonic()
        time.sleep(SECONDS)
        after = self.switches()
        elapsed = time.monotonic() - began

        # It was a busy desktop all the time.
        for user in self.user_names:
            now = self.title(user)
            self.assertIn("spinning", now)
            self.assertGreater(int(now.split()[-1].strip('"')) - int(titles[user].split()[-1].strip('"')), SECONDS * 2)
        self.assertEqual(before.keys(), after.keys(), "threads or processes came or went")
        self.assertEqual(sum(1 for unit, _, _ in after if unit.startswith("termspan-probe-")), 2)
        woken = {key: after[key] - before[key] for key in after}
        for (unit, thread, name), count in sorted(woken.items()):
            print(f"figure: idle for {elapsed:.0f} s: {unit} {name} ({thread}): {count}", file=sys.stderr, flush=True)
        main = woken.pop(next(key for key in woken if key[0] == "termspand.service" and key[2] == "main"))
        woke = {key: count for key, count in woken.items() if count}
        self.assertEqual(woke, {}, woke and self.why())
        # sd-event keeps the watchdog between a half and three quarters of its time; one more for the edges.
        self.assertLessEqual(main, elapsed / (watchdog / 2) + 1)

        # And this would have been seen: one key wakes the probe of its session, and what follows it.
        self.lab.key("user1", "shift")
        wait_until("a key to be noticed", lambda: sum(count > after[key] for key, count in self.switches().items() if key in woken) >= 2, 20)

    def why(self):
        """What the probes are woken by, for who reads the failure: system calls of two seconds."""
        said = []
        for unit, pid in self.product.probes().items():
            done = self.lab.enter(["timeout", "2", "strace", "-f", "-s", "64", "-xx", "-p", pid], check=False)
            said.append(f"{unit}:\n{done.stderr[-3000:]}")
        return "\n".join(said)


if __name__ == "__main__":
    unittest.main()
