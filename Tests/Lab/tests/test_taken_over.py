"""A probe that was taken over lies about its own session and does nothing else.

The attacker's program (programs/rogue.c) lies over the probe of one display alone, so the collector itself starts it in the
sandbox and hands it everything: the X server's socket, the lane, the doorbell, the control channel. Honest users work beside it.
"""

import re
import shutil
import sys
import time
import unittest
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lablib import wait_until  # noqa: E402
from lablib.programs import static  # noqa: E402
from lablib.hostile import INSIDE, HostileTestCase, display_of  # noqa: E402

DROP_INS = "run/systemd/system"
# What each attack shall come to: the coverage of its session, and what doctor or the journal says of it.
OUTCOMES = {
    "rubbish": ("quarantined", "broke the ring's protocol"),
    "lies": ("measured", None),
    "ring": ("quarantined", "broke the ring.s protocol"),
    "flood": ("failed", "control channel|protocol"),
    "ready": ("failed", "protocol"),
    "screens": ("measured", None),
    "deaf": ("failed", "does not answer"),
    "descriptors": ("failed", "it ended"),
    "claim": ("quarantined", "broke the ring's protocol"),
    "leave": ("failed", "it ended"),
    "leave-before": ("failed", "it ended"),
    "seal": ("failed", "could not be sealed"),
    "reach": ("measured", None),
    "memory": ("measured|failed", None),
    "spin": ("measured", None),
}


class Rogues:
    """Stands in for attackers that are frozen and let go on: the probes of some displays."""

    def __init__(self, lab, users):
        self.lab, self.users = lab, users

    def freeze(self, frozen):
        for user in self.users:
            for group in (self.lab.container.cgroup / "termspan.slice").glob(f"termspan-probe-{display_of(user)}-*.service"):
                try:
                    (group / "cgroup.freeze").write_text("1" if frozen else "0")
                except FileNotFoundError:
                    continue


class TakenOverTests(HostileTestCase):
    """user1 to user6 work; the probe of each user from user7 on is the attacker's, with another attack for each."""

    users = 6 + len(OUTCOMES)
    desktops = 6
    probe_megabytes = 33

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        shutil.copy(static("rogue.c"), cls.lab.root / INSIDE.lstrip("/") / "rogue")
        cls.attack_of = {f"user{number}": attack for number, attack in enumerate(OUTCOMES, 7)}
        cls.user_of = {attack: user for user, attack in cls.attack_of.items()}
        cls.folders = []
        cls.addClassCleanup(cls.give_back)
        for user, attack in cls.attack_of.items():
            folder = cls.lab.root / DROP_INS / f"termspan-probe-{display_of(user)}-.service.d"
            folder.mkdir(parents=True)
            cls.folders.append(folder)
            (folder / "rogue.conf").write_text(f"[Service]\nBindReadOnlyPaths={INSIDE}/rogue:/probe\nExecStart=\nExecStart=/probe {attack}\n")
        cls.lab.enter(["systemctl", "daemon-reload"])
        cls.started = time.time()

    @classmethod
    def give_back(cls):
        for folder in cls.folders:
            shutil.rmtree(folder)
        cls.lab.enter(["systemctl", "daemon-reload"])

    def test_it_lies_about_its_own_session_and_nothing_else(self):
        attackers = list(self.attack_of)
        before = self.product.status()
        self.lab.sessions(self.desktops + len(attackers))
        rogues = Rogues(self.lab, attackers)
        wait_until("the attackers' probes", lambda: len(self.product.log(event="probe-started")) >= 10, 60, progress=self.product.report)

        for user, attack in self.attack_of.items():
            coverage, reason = OUTCOMES[attack]
            with self.subTest(f"the outcome of '{attack}'"):
                # One that fails is tried again after a while, so it is 'starting' or 'measured' at times.
                if coverage == "failed":
                    self.wait_reason(user, reason)
                else:
                    self.wait_coverage(user, *coverage.split("|"))

        with self.subTest("a descriptor can't be sent"):
            unit = f"termspan-probe-{display_of(self.user_of['descriptors'])}-*.service"
            self.assertIn("status=31/SYS", self.lab.enter(["journalctl", "--no-pager", "--unit", unit]).stdout)

        self.compare("with fifteen probes that were taken over", [rogues])

        with self.subTest("who they are is not confused"):
            for row in self.product.query_sessions():
                for span in self.product.spans(row["user"], open=True) if row["user"] in self.honest_users else []:
                    self.assertIn(span["class"], ("FigureOne", "FigureTwo", "", None))
            for user in attackers:
                for span in self.product.spans(user, open=True):
                    # Of processes of others none is believed; it has none of its own but the X server.
                    self.assertIn(span["executable"], (None, "/usr/bin/Xvfb"), user)
        with self.subTest("the honest lanes' accounts are right"):
            self.assert_others_measured()
        with self.subTest("time stays whole"):
            for user in attackers:
                for summary in self.product.summary(user):
                    parts = sum(summary[name] for name in ("active", "passive", "inactive", "locked", "disconnected", "paused", "suspended", "unknown"))
                    self.assertAlmostEqual(parts, summary["total"], places=5, msg=user)
                    self.assertLess(summary["total"], time.time() - self.started + 60)
        with self.subTest("doctor says so"):
            lines = [line for line in self.doctor() if line["result"] != "ok"]
            said = " ".join(line["detail"] for line in lines)
            self.assertRegex(said, "quarantined")
            for attack in ("rubbish", "flood", "leave"):
                reason = OUTCOMES[attack][1]
                self.assertTrue(re.search(reason, said) or self.user_of[attack] in said, f"{attack}: {lines}")
            wait_until("doctor to tell of all who fail", lambda: not self.untold(attackers), 60, progress=lambda: str(self.untold(attackers)))
        with self.subTest("memory and starts are bounded"):
            after = self.product.status()
            starts = {user: len(self.product.log(event="probe-started", user=user)) for user in attackers}
            print(f"figure: starts of probes that were taken over: { {self.attack_of[user]: count for user, count in starts.items()} }; "
                  f"events lost {after['events_lost'] - before['events_lost']}, quarantined {after['quarantined']}", file=sys.stderr, flush=True)
            # Six in half a minute, then one a minute.
            self.assertLessEqual(max(starts.values()), max(12, 7 + (time.time() - self.started) / 60))

    def untold(self, attackers):
        """Whose probe fails or is quarantined, and doctor says nothing of it or none of their time is Unknown; they come and go."""
        rows = [row for row in self.product.query_sessions() if row["user"] in attackers and row["coverage"] in ("failed", "quarantined")]
        said = " ".join(line["detail"] for line in self.doctor() if line["result"] != "ok")
        # Of more than six that are alike one is named, with how many there are.
        return [row for row in rows if not self.product.summary(row["user"])[-1]["unknown"]
                or not re.search(rf"\b{row['user']}\b", said) and f"{row['coverage_reason']}; likewise" not in said]

    def wait_reason(self, user, reason):
        wait_until(f"the probe of {user} to fail for '{reason}'",
                   lambda: any(re.search(reason, record["message"]) for record in self.product.log(event="probe-failed", user=user)), 60,
                   progress=lambda: f"{self.rows(user)}\n{[record['message'] for record in self.product.log(user=user)]}")

    def test_what_is_not_its_to_change_stays(self):
        """The kernel's answers to `reach`, which ran beside the others."""
        self.lab.sessions(3 + len(self.attack_of))
        answers = wait_until("the attacker's attempts", lambda: (said := self.said_by_rogue()) and "done" in said and said, 60, progress=lambda: str(self.said_by_rogue()))
        print(f"figure: attempts of a probe that was taken over: {answers}", file=sys.stderr, flush=True)
        # Sealing its own lane ends it. What it writes there it may also run, until a probe's own filter forbids every such mapping
        # (`anythingElseKills`): this attacker has none.
        may = {"done", "megabytes", "seal", "map-events-executable"}
        self.assertGreaterEqual(len(answers.keys() - may), 10)
        for attempt, answer in answers.items():
            if attempt not in may:
                self.assertRegex(answer, "^E[A-Z]+$", attempt)
        with self.subTest("memory"):
            self.assertLessEqual(int(answers["megabytes"]), 64)

    def said_by_rogue(self):
        text = self.lab.enter(["journalctl", "--no-pager", "--output", "cat", "--since", f"@{self.started:.0f}", "--identifier", "termspan-probe"]).stdout
        return dict(re.findall(r"^rogue: (\S+) ?(.*)$", text, re.MULTILINE))


if __name__ == "__main__":
    unittest.main()
