"""Docs/promises.md, each promise checked as it says there that everybody can check it: its commands are run as they stand.

Those without sudo are run by user1 or somebody else without rights. A promise or a command without a case here fails. TERMSPAN_DEB names the package.
"""

import datetime
import functools
import hashlib
import json
import re
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
DOCS = LAB_FOLDER.parent.parent / "Docs"
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, moment  # noqa: E402

from tests.test_aggregates import last_month  # noqa: E402

NOT_PERMITTED = 4
DATABASE = "/var/lib/termspan/termspan.db"
SECOND = 10**9
# A session of the second user that is known, in a boot of before.
HISTORY = """
BEGIN;
INSERT INTO boot (machine, boot_id, seen) SELECT min(id), randomblob(16), 5 * {hour} FROM machine;
INSERT INTO clock_anchor (boot, at, wall) SELECT max(id), 0, {wall} FROM boot;
INSERT INTO session (uuid, boot, user, number, stack, start, start_wall, end, end_wall, end_reason, revision)
    SELECT x'0192d000000070008000000000000001', (SELECT max(id) FROM boot), max(id), 1, 'xrdp', {hour}, {wall} + {hour}, 2 * {hour}, {wall} + 2 * {hour}, 1, 1
    FROM user;
INSERT INTO focus_interval (session, start, length, revision) SELECT max(id), {hour}, {hour}, 1 FROM session;
COMMIT;
"""
ADDRESS = "198.51.100.155"
DAYS = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")
FRAGMENT = "etc/termspan/termspan.yaml.d/60-lab-promises.yaml"
# What a command is named by, and what stands in it for what whoever runs it puts there.
COMMAND = re.compile(r"(?:sudo|termspan|systemctl) ")
PLACE = re.compile(r"\b[A-Z]{4,}\b")


def table():
    """The promises, each with its commands, the titles of what they show, and the documents that it refers to."""
    rows = []
    for line in (DOCS / "promises.md").read_text().splitlines():
        if line.startswith("| ") and not line.startswith(("| promise ", "| ---")):
            promise, check, _ = line.strip("| ").split(" | ")
            quoted = re.findall(r"`([^`]+)`", check)
            titles = re.findall(r"'([^']+)' in", re.sub(r"`[^`]+`", "in", check))
            rows.append((promise, {one for one in quoted if COMMAND.match(one)}, set(titles), re.findall(r"\]\(([^)]+)\)", check)))
    return rows


def promised(beginning, *commands, titles=()):
    """A case about the promise that begins so; it runs each of these commands, and looks at what these titles are before."""
    def mark(case):
        @functools.wraps(case)
        def run(self):
            self.left = {*commands, *titles}
            case(self)
            self.assertEqual(self.left, set(), "was not looked at")
        run.promise = (beginning, set(commands), set(titles))
        return run
    return mark


class PromisesTests(ProductTestCase):
    """user1 and user2 are recorded in sessions, user3 is not; user4 is new. The cases build on each other, in the order of their names."""

    users = 4
    tracked = ["user1", "user2"]
    settings = {"responsible": "Anna of the lab", "reason": "a pilot", "pause-per-day": "1h", "keep-activity": "90d"}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        # Last month user2 alone was there.
        cls.lab.enter(["systemctl", "stop", "termspand.service", "termspan-reportd.service"])
        day = last_month() + datetime.timedelta(days=9)
        cls.lab.enter(["sqlite3", "-bail", DATABASE], input=HISTORY.format(wall=int(time.mktime(day.timetuple())) * SECOND, hour=3600 * SECOND))
        cls.lab.enter(["systemctl", "start", "termspand.service"])
        cls.product.wait_ready()
        cls.product.untrack("user3")
        cls.lab.enter(["sh", "-c", "rm -f /home/user1/*.json"])
        cls.addClassCleanup(cls.configure, None)
        cls.lab.login("user2")
        cls.lab.login("user1", address=ADDRESS)
        cls.product.wait_measured("user1", "user2")
        cls.product.wait_active("user1", "user2")

    @classmethod
    def configure(cls, *lines):
        path = cls.lab.root / FRAGMENT
        if lines == (None,):
            path.unlink(missing_ok=True)
        else:
            path.write_text("\n".join(lines) + "\n")
        cls.lab.enter(["systemctl", "reload", "termspand.service"])

    def run_as_told(self, command, *, user="user1", code=0, **places):
        """What a command prints, as the document has it but for its places."""
        self.left.discard(command)
        text = PLACE.sub(lambda place: places.get(place[0], place[0]), command)
        done = self.lab.enter(["sh", "-c", text], user=None if command.startswith("sudo ") else user, check=False)
        self.assertEqual(done.returncode, code, done)
        # sudo itself says that the lab's host has no name.
        said = re.sub(r"(?m)^sudo: .*\n", "", done.stderr)
        self.assertEqual(bool(said), bool(code) and not command.startswith("sudo "), done)
        return done.stdout + said

    def value(self, title, command, *, user="user1"):
        """The value under a title in what a command prints, its lines put together; None if it has none."""
        self.left.discard(title)
        lines = self.run_as_told(command, user=user)
        found = re.search(rf"^( *){re.escape(title)}: (.*(?:\n\1 +(?! *[A-Z][\w ]*: ).*)*)", lines, re.MULTILINE)
        return " ".join(found[2].split()) if found else None

    def assert_said(self, text, pattern):
        """As the pattern has it, wherever lines are broken."""
        self.assertRegex(" ".join(text.split()), pattern)

    def classes(self, text):
        return [name for name in ("Before", "Paused", "Outside", "Later") if name in text]

    def see(self, window_class):
        self.focus(window_class)
        wait_until(f"{window_class} to be seen", lambda: window_class in str(self.product.spans("user1", open=True)), 20, progress=self.product.report)

    def test_00_every_command_has_a_case(self):
        cases = [case.promise for name in sorted(dir(self)) if hasattr(case := getattr(self, name), "promise")]
        rows = table()
        self.assertGreater(len(rows), 15)
        for promise, commands, titles, documents in rows:
            with self.subTest(promise):
                about = [case for case in cases if promise.startswith(case[0])]
                self.assertEqual([(commands, titles)], [(case[1], case[2]) for case in about])
                for document in documents:
                    self.assertTrue((DOCS / document).exists(), document)
        self.assertEqual(len(rows), len(cases))

    @promised("Nobody is recorded until somebody decides so", "termspan me", "termspan policy show", titles=["New users"])
    def test_01_new_users(self):
        self.assert_said(self.run_as_told("termspan me", user="user4"),
                         r"^Your activity is not recorded\. Why: nobody is, unless it is decided so; about you nothing was decided ")
        self.assertEqual(self.value("New users", "termspan policy show", user="user4"), "untracked")
        # Nobody decided, at no time.
        self.assert_said(self.run_as_told("termspan policy show", user="user4"), r" RESPONSIBLE user4 no basic$")

    @promised("You can always see whether you are recorded", "termspan me")
    def test_02_whether(self):
        self.assert_said(self.run_as_told("termspan me"), r"^Your activity is recorded\. Why: decided by root on \S+: a test ")
        self.assert_said(self.run_as_told("termspan me", user="user3"),
                         r"^Your activity is not recorded\. Why: you are on the Do Not Track list Entry: user3@\*, put there by root on \S+: a test ")
        for user, who in (("user1", "the tests"), ("user3", "Anna of the lab"), ("user4", "Anna of the lab")):
            self.assertEqual(self.value("Who answers for it", "termspan me", user=user), who)
        self.product.command("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests")
        try:
            self.assert_said(self.run_as_told("termspan me", user="user4"),
                             r"^Your activity is recorded\. Why: everybody is, unless it is decided otherwise, as was decided by root on \S+: a test; about you nothing was decided ")
            self.assertEqual(self.value("Who answers for it", "termspan me", user="user4"), "the tests")
        finally:
            self.product.command("policy", "set", "new-users", "untracked")

    @promised("If you are recorded, you are told at logon", "termspan me", titles=["Notice"])
    def test_03_notice(self):
        # That it is shown: test_sessions.
        self.assertIsNone(self.value("Notice", "termspan me"))
        script = "/etc/X11/Xsession.d/95termspan-notice"
        self.lab.enter(["mv", script, "/root/notice"])
        try:
            self.assertEqual(self.value("Notice", "termspan me"), f"may NOT be shown at each logon: {script} is missing or not as Termspan has it")
        finally:
            self.lab.enter(["mv", "/root/notice", script])

    @promised("What you type is never recorded")
    def test_04_what_you_type(self):
        # What a probe asks of an X server is held against the list by unit tests.
        self.assertIn("what you type, window titles, web addresses", self.value_of("Never recorded"))

    def value_of(self, title):
        return self.value(title, "termspan me")

    @promised("You can pause it yourself", "termspan pause 30m", "termspan resume", "termspan me", titles=["Pauses"])
    def test_05_pause(self):
        self.see("Before")
        self.assertEqual(self.value_of("Pauses"), "60 min left today: termspan pause 30m")
        until = re.fullmatch(r"Your activity is not recorded until (\S+)\.\n", self.run_as_told("termspan pause 30m"))[1]
        self.assertAlmostEqual(moment(until), time.time() + 1800, delta=5)
        self.assertRegex(self.run_as_told("termspan me"), rf"^You have paused the recording of your activity until {re.escape(until)}: ")
        self.focus("Paused")
        self.focus("Before")
        self.assertEqual(self.run_as_told("termspan resume"), "Your pause is over.\n")
        self.product.wait_measured("user1")
        self.see("Later")
        self.assertNotIn("Paused", str(self.product.spans("user1", open=True)))

    def probes(self):
        return self.run_as_told("systemctl list-units 'termspan-probe-*'").count("termspan-probe-")

    @promised("When you are untracked it ends at once", "systemctl list-units 'termspan-probe-*'", "termspan me")
    def test_06_untracked(self):
        self.assertEqual(self.probes(), 2)
        self.product.untrack("user1")
        self.assertRegex(self.run_as_told("termspan me"), r"^Your activity is not recorded\.\n")
        wait_until("one to be gone", lambda: self.probes() == 1, 5)
        self.product.track("user1")
        self.product.wait_measured("user1")

    @promised("Outside the tracking hours", "termspan me", "systemctl list-units 'termspan-probe-*'", titles=["Hours"])
    def test_07_hours(self):
        self.assertIsNone(self.value_of("Hours"))
        day = DAYS[(datetime.datetime.now(datetime.timezone.utc).weekday() + 3) % 7]
        self.configure("tracking-hours:", f"  - {{days: {day}, hours: 07:00-19:00}}")
        try:
            wait_until("it to be none", lambda: self.probes() == 0, 20, progress=self.product.report)
            self.assertEqual(self.value_of("Hours"), f"{day} 07:00-19:00")
            self.assertRegex(self.run_as_told("termspan me"), r"^Your activity is not recorded at this time, outside the tracking hours; again from ")
            self.focus("Outside")
            self.focus("Before")
        finally:
            self.configure(None)
        self.product.wait_measured("user1", "user2")
        self.assertNotIn("Outside", str(self.product.spans("user1", open=True)))

    @promised("Who is on the Do Not Track list", "termspan donottrack list")
    def test_08_do_not_track(self):
        listed = self.run_as_told("termspan donottrack list", user="user3")
        self.assertEqual([line.split()[0] for line in listed.splitlines()[1:]], ["user3@*", "uid:2003"])
        self.assertNotIn("user3", self.run_as_told("termspan donottrack list"))

    @promised("You can see and take with you what is held about you",
              "termspan me export FILE", "termspan spans", "termspan session history --events")
    def test_09_export(self):
        self.run_as_told("termspan me export FILE", FILE="everything.json")
        path = self.lab.root / "home/user1/everything.json"
        self.assertEqual((path.stat().st_mode & 0o777, path.stat().st_uid), (0o600, 2001))
        document = json.loads(path.read_text())
        self.assertEqual(document["rows"], {part: len(document[part]) for part in ("sessions", "events", "spans", "records", "audit", "facts")})
        self.assertEqual({row["user"] for part in ("sessions", "events", "spans") for row in document[part]}, {"user1"})
        self.assertLessEqual({"Before", "Later"}, {span["class"] for span in document["spans"]})
        self.assertLessEqual({"input", "decision"}, {row["record"] for row in document["records"]})
        spans = self.run_as_told("termspan spans")
        self.assertIn("xterm", spans)
        self.assertNotIn("user2", spans)
        events = [line.split() for line in self.run_as_told("termspan session history --events").splitlines()]
        self.assertLessEqual({"connect", "pause", "resume"}, {word for line in events for word in line})
        self.assertIn(ADDRESS, {word for line in events for word in line})

    @promised("What you are called, and in which domain", "termspan facts --history")
    def test_09a_facts(self):
        told = [line.split() for line in self.run_as_told("termspan facts --history").splitlines()]
        self.assertLessEqual({"login-name", "logon-domain", "session-id", "computer-name"}, {line[1] for line in told})
        self.assertLessEqual({line[0] for line in told[1:]}, {"(computer)", "user1"})
        self.assertNotIn("user3", self.run_as_told("termspan facts --history", user="user3"))

    @promised("You can see who decided about you, and who looked", "termspan audit", "termspan me")
    def test_10_audit(self):
        self.product.command("summary", "--user", "user1")
        wait_until("the look to be recorded", lambda: "read summary" in self.run_as_told("termspan audit"), 10)
        shown = self.run_as_told("termspan audit")
        self.assertRegex(shown, r"(?m)^\S+ +root +tracked +user1 ")
        self.assertNotIn("user2", shown)
        self.assertRegex(self.run_as_told("termspan me"), r"\nWho looked at it:\n(  .+\n)*  \S+  root +summary of user1")

    @promised("Nobody but root gets a report of what is recorded without an entry", "termspan verify --audit", "termspan verify --audit --known DIGEST",
              "sudo termspan verify --audit")
    def test_11_verify(self):
        said = self.run_as_told("termspan verify --audit")
        self.assertRegex(said, r"^The audit record's entries follow from each other\.")
        digest = re.search(r"--known ([0-9a-f]{64})\n$", said)[1]
        self.product.command("summary", "--user", "user1")
        self.assertIn("it is as it was", self.run_as_told("termspan verify --audit --known DIGEST", DIGEST=digest))
        done = self.product.command("verify", "--audit", "--known", "0" * 64, user="user1", check=False)
        self.assertEqual((done.returncode, done.stdout), (1, f"The audit record was changed: no entry has the digest {'0' * 64}.\n"))
        self.assertRegex(self.run_as_told("sudo termspan verify --audit"), r"^The audit record('s \d+ entries follow from each other| is as it was written: \d+ entries)")

    @promised("You can see which groups' members may look", "termspan me", "termspan role list", titles=["Who may see it"])
    def test_12_who_may_see_it(self):
        self.assertEqual(self.value_of("Who may see it"), "you, root, whom polkit lets")
        self.lab.enter(["groupadd", "--force", "lab-seers"])
        self.addClassCleanup(self.lab.enter, ["groupdel", "lab-seers"])
        for role in ("power-user", "statistician", "analyst", "trustee"):
            self.product.command("role", "grant", role, "lab-seers", "--reason", "a test")
        self.assertIn("members of lab-seers (power-user)", self.value_of("Who may see it"))
        self.assertRegex(self.run_as_told("termspan role list"), r"(?m)^power-user +lab-seers .* root +a test$")

    @promised("Who may see averages alone", "termspan policy show", "termspan me", "termspan role list", "sudo termspan aggregates",
              titles=["Averages", "Who may see it"])
    def test_13_averages(self):
        self.assertEqual(self.value("Averages", "termspan policy show"), "of everybody, each of at least 5 users")
        self.assertIn("members of lab-seers (statistician, only in averages of at least 5 users)", self.value_of("Who may see it"))
        self.assertRegex(self.run_as_told("termspan role list"), r"(?m)^statistician +lab-seers ")
        # Last month one user was there: nothing is told of that.
        month, everybody, withheld = self.run_as_told("sudo termspan aggregates").splitlines()[-1].split()
        self.assertEqual((month, withheld), (last_month().strftime("%Y-%m"), "too-few"), everybody)

    @promised("Who may see what was done by pseudonyms alone", "termspan role list", "termspan audit", "termspan me export FILE")
    def test_14_pseudonyms(self):
        listed = self.run_as_told("termspan role list")
        for role in ("analyst", "trustee"):
            self.assertRegex(listed, rf"(?m)^{role} +lab-seers ")
        self.assertNotIn("pseudonym-revealed", self.run_as_told("termspan audit"))
        month = time.strftime("%Y-%m", time.gmtime())
        pseudonym, = {row["user"] for row in self.product.listing("spans", "--open", "--pseudonyms", month) if row["class"] == "Later"}
        self.product.command("reveal", pseudonym, "--reason", "a case of the lab's")
        self.assertRegex(self.run_as_told("termspan audit"), rf"(?m)^\S+ +root +pseudonym-revealed +user1 +{month}")
        self.run_as_told("termspan me export FILE", FILE="revealed.json")
        document = (self.lab.root / "home/user1/revealed.json").read_text()
        self.assertIn("a case of the lab's", document)

    @promised("Other users see of you what `who` shows", "termspan spans --user SOMEBODY", "termspan query session")
    def test_15_others(self):
        refused = self.run_as_told("termspan spans --user SOMEBODY", code=NOT_PERMITTED, SOMEBODY="user2")
        self.assertIn("org.termspan1.view-others", refused)
        lines = {line.replace(">", " ").split()[1]: line for line in self.run_as_told("termspan query session").splitlines() if "rdp-tcp#" in line}
        self.assertEqual(set(lines), {"user1", "user2"})
        # DEVICE, the display, is of the own one alone.
        self.assertEqual([self.lab.display(user) in lines[user] for user in ("user1", "user2")], [True, False], lines)

    @promised("The figures add up", "termspan summary --format json", "termspan verify --store")
    def test_17_sums(self):
        self.assertRegex(self.run_as_told("termspan verify --store"), r"^What is held of your sessions is right: [1-9]\d* sessions, ")
        rows = json.loads(self.run_as_told("termspan summary --format json"))
        self.assertEqual({row["user"] for row in rows}, {"user1"})
        for row in rows:
            self.assertAlmostEqual(sum(row[name] for name in CATEGORIES), row["total"], places=6)
            self.assertGreater(row["paused"], 0)

    @promised("The journal tells when you logged on and never what you did", "sudo journalctl -u termspand")
    def test_18_journal(self):
        said = self.run_as_told("sudo journalctl -u termspand")
        self.assertRegex(said, r"Session \d+ of user user1 .*opened|Session \d+ of user user1 connected from " + re.escape(ADDRESS))
        self.assertEqual(self.classes(said), [])
        self.assertNotIn("/usr/bin/xterm", said)

    def grep(self, command, *, found, **places):
        return self.run_as_told(command, code=0 if found else 1, **places).split()

    BYTES = "sudo grep -rla TEXT /var/lib/termspan /run/termspan"
    NAMES = "sudo grep -rla NAME /var/lib/termspan /var/lib/termspan-keys"

    @promised("Who you are and from where you connected is under a key of your own", "termspan me export FILE", "termspan me receipts", NAMES)
    def test_19_names(self):
        # It is held: what the bytes don't tell.
        self.run_as_told("termspan me export FILE", FILE="names.json")
        self.assertIn(ADDRESS, (self.lab.root / "home/user1/names.json").read_text())
        for name in ("user1", ADDRESS):
            self.assertEqual(self.grep(self.NAMES, found=False, NAME=name), [])
        # Who is on the list is found there.
        self.assertTrue(self.grep(self.NAMES, found=True, NAME="user3"))
        self.product.command("erase", "user2", "--reason", "a test", "--yes")
        header, receipt = self.run_as_told("termspan me receipts", user="user2").splitlines()
        self.assertEqual((header.split()[4], receipt.split()[4]), ("KEYS", "1"))

    @promised("What was erased is gone", "termspan me", "termspan me receipts", "termspan me receipts RECEIPT", BYTES)
    def test_20_erased(self):
        self.focus("Later")
        wait_until("it to be stored", lambda: self.lab.enter(["grep", "-rqa", "Before", "/var/lib/termspan"], check=False).returncode == 0, 20)
        self.assertTrue(self.grep(self.BYTES, found=True, TEXT="Before"))
        logon = re.search(r"First began: (\S+)", self.run_as_told("termspan me"))[1]
        self.product.command("erase", "user1", "--reason", "asked", "--yes")
        self.assertEqual(self.grep(self.BYTES, found=False, TEXT="Before"), [])
        shown = self.run_as_told("termspan me")
        self.assertRegex(shown, r"Sessions: 1, 1 of them not over\n")
        # A receipt, which another program finds to be what it was.
        kind, sessions, _, keys, receipt, digest = self.run_as_told("termspan me receipts").splitlines()[-1].split()[1:]
        self.assertEqual((kind, sessions, keys), ("history-erased", "1", "1"))
        text = self.run_as_told("termspan me receipts RECEIPT", RECEIPT=receipt)
        self.assertEqual(hashlib.sha256(text.encode()).hexdigest(), digest)
        # When the session began stays, and who looked.
        self.assertEqual(re.search(r"First began: (\S+)", shown)[1], logon)
        self.assertRegex(shown, r"\nWho looked at it:\n(  .+\n)*  \S+  root +summary of user1")

    @promised("There is no covert mode", "termspan me", "termspan audit", "termspan role list")
    def test_21_no_covert_mode(self):
        # With all that anybody can be given: who looks is told at once, and who is recorded knows it.
        roles = {line.split()[0] for line in self.run_as_told("termspan role list").splitlines()[1:]}
        self.lab.enter(["groupadd", "--force", "lab-covert"])
        self.addCleanup(self.lab.enter, ["groupdel", "lab-covert"])
        self.lab.enter(["gpasswd", "--add", "user4", "lab-covert"])
        self.product.command("role", "grant", "administrator", "lab-covert", "--reason", "a test")
        self.addCleanup(self.product.command, "role", "revoke", "administrator", "lab-covert", "--reason", "a test")
        self.assertIn("administrator", {line.split()[0] for line in self.run_as_told("termspan role list").splitlines()[1:]} - roles)
        self.product.command("spans", "--user", "user1", user="user4")
        self.assertRegex(self.run_as_told("termspan audit"), r"(?m)^\S+ +uid 2004 +read spans +user1")
        shown = self.run_as_told("termspan me")
        self.assertRegex(shown, r"^Your activity is recorded\.\n")
        self.assertRegex(shown, r"\nWho looked at it:\n(  .+\n)*  \S+  uid 2004 +spans of user1")

    @promised("What is recorded goes after a time that you can see", "termspan me", "termspan me receipts", titles=["Kept"])
    def test_22_kept(self):
        self.assertRegex(self.value_of("Kept"), r"^activity for 90d, ")
        # Nothing is as old.
        self.assertNotIn("history-expired", self.run_as_told("termspan me receipts"))


if __name__ == "__main__":
    unittest.main()
