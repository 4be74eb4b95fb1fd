"""Names and addresses are under a key per user, and the keys under the machine's: what that protects, and what is done without them.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import contextlib
import sys
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402

SERVICES = ["termspand.service", "termspan-reportd.service"]
DATABASE = "/var/lib/termspan/termspan.db"
KEYS = "/var/lib/termspan-keys/users.keys"
CREDENTIAL = "/etc/credstore.encrypted/termspan.master"
HOST_KEY = "/var/lib/systemd/credential.secret"
MASTER_KEY = "/usr/libexec/termspan/master-key"
ADDRESS = "198.51.100.155"

# What master-key calls, and what stands in the place of each: it notes what there is before it, and at one step kills who called, or fails.
CALLED = ("cmp", "head", "id", "install", "mktemp", "mv", "rm", "sync", "systemctl", "systemd-creds", "wc")
STEPS = "/root/steps"
STEP = f"""#!/bin/sh
PATH=/usr/sbin:/usr/bin:/sbin:/bin
cd {STEPS}
state=$(find /etc/credstore.encrypted /run/termspan-master-key.* {KEYS} -exec sha256sum {{}} + 2>&1 | sort | sha256sum)
echo "${{0##*/}} $state" >>log
if [ "$(wc -l <log)" = "$(cat at)" ]; then
    [ "$(cat how)" = fail ] || kill -KILL "$(cat pid)"
    exit 1
fi
cd "$OLDPWD"
exec "${{0##*/}}" "$@"
"""

# As systemd-creds of systemd 252 is with a TPM.
TPM = """#!/bin/sh
case $1 in
encrypt)
    echo "$2" >>/root/tpm/asked
    ;;
decrypt)
    if [ "$(tail -n 1 /root/tpm/asked)" = --tpm2-pcrs= ]; then
        echo 'TPM2 PCR bank invalid or not supported' >&2
        exit 1
    fi
    ;;
esac
exec /usr/bin/systemd-creds "$@"
"""


class KeyTests(ProductTestCase):
    """user1 is tracked, with a session that is over and one that goes on. The cases build on each other, in the order of their names."""

    users = 3
    tracked = ["user1", "user2"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.lab.login("user2")
        cls.lab.login("user1", address=ADDRESS)
        cls.product.wait_measured("user1", "user2")
        cls.lab.logout("user1")
        wait_until("the session to end", lambda: not cls.product.session("user1"), 20)
        cls.lab.login("user1", address=ADDRESS)
        cls.product.wait_measured("user1")

    def inside(self, *command, check=True, **options):
        return self.lab.enter(list(command), check=check, **options).stdout.strip()

    def where(self, *texts):
        """Which of these texts are somewhere in the bytes of what the product keeps."""
        folders = ["/var/lib/termspan", "/var/lib/termspan-keys"]
        return {text for text in texts if self.lab.enter(["grep", "-rlaF", "--", text, *folders], check=False).returncode == 0}

    def sums(self):
        return self.inside("sh", "-c", f"sha256sum {DATABASE} {DATABASE}-wal {KEYS}")

    def restart(self):
        before = self.product.collector()
        self.lab.enter(["systemctl", "restart", SERVICES[0]])
        self.product.wait_ready(other_than=before)
        self.lab.enter(["systemctl", "stop", SERVICES[1]])

    def wait_stored(self):
        wait_until("all to be stored", lambda: self.product.status()["pending"] == 0, 20, progress=self.product.report)

    def assert_locked(self, reason):
        """Who is on the machine is told, why no more is said, and nothing is touched."""
        self.lab.enter(["systemctl", "stop", *SERVICES])
        before = self.sums()
        self.restart()
        self.assertEqual({row["user"] for row in self.product.query_sessions() if row["user"]}, {"user1", "user2"})
        self.assertIn(reason, self.product.status()["store_problem"])
        self.assertIn(reason, self.product.log(event="store-failed")[-1]["message"])
        self.assertIn("want of keys", self.inside("systemctl", "show", "--property=StatusText", SERVICES[0]))
        doctor = self.product.command("doctor", check=False)
        self.assertEqual(doctor.returncode, 1)
        self.assertIn("termspan-keys(7)", doctor.stdout)
        for command in (["track", "user3", "--reason=x", "--responsible=y", "--yes"], ["untrack", "user1", "--reason=x", "--yes"], ["policy", "export"], ["erase", "user1", "--reason=x", "--yes"]):
            done = self.product.command(*command, check=False)
            self.assertNotEqual(done.returncode, 0, done)
            self.assertIn("keys", done.stderr, command)
        done = self.product.command("spans", "--all", check=False)
        self.assertNotEqual(done.returncode, 0, done)
        self.assertIn("termspan-keys(7)", done.stdout + done.stderr)
        # Nor can anybody look at what is others' where it would not be recorded, whatever the reports have.
        read = ["runuser", "-u", "termspan-reports", "--", "busctl", "call", "org.termspan1", "/org/termspan1", "org.termspan1.Manager"]
        for call in (["RecordRead", "a{sv}", "2", "reader", "u", "2001", "kind", "s", "spans"], ["GetAggregation"], ["FixAggregates", "a{sv}", "0"]):
            done = self.lab.enter(read + call, check=False)
            self.assertNotEqual(done.returncode, 0, done)
            self.assertIn("keys can't be used", done.stderr)
        self.assertFalse(self.product.probes())
        self.assertEqual(self.sums(), before)

    def assert_back(self):
        self.restart()
        self.assertIsNone(self.product.status()["store_problem"])
        self.product.wait_measured("user1", "user2")
        self.assertEqual({row["user"] for row in self.product.summary()}, {"user1", "user2"})
        self.assertIn(ADDRESS, str(self.product.listing("session", "history", "--user", "user1")))

    def test_1_nothing_of_it_is_in_the_clear(self):
        self.wait_stored()
        self.assertEqual(self.where(ADDRESS, "user1", "user2"), set())
        modes = self.inside("stat", "-c", "%a %U:%G", "/var/lib/termspan-keys", KEYS, CREDENTIAL, "/run/termspan-keys/master").splitlines()
        self.assertEqual(modes, ["750 root:termspan-reports", "640 root:termspan-reports", "600 root:root", "600 root:root"])
        for command in (["cat", KEYS], ["cat", CREDENTIAL], ["ls", "/var/lib/termspan-keys"], ["ls", "/run/termspan-keys"],
                        ["ls", "/run/credentials/termspand.service"],
                        ["python3", "-c", "import socket; socket.socket(socket.AF_UNIX).connect('/run/termspan-keys/master')"]):
            done = self.lab.enter(command, user="user3", check=False)
            self.assertNotEqual(done.returncode, 0, done)
        # One key each, and a root key.
        self.assertEqual(int(self.inside("stat", "-c", "%s", KEYS)), 3 * 128)

    @contextlib.contextmanager
    def aside(self, path):
        """Has a file away for a while."""
        self.inside("cp", "-a", path, "/root/aside")
        self.inside("rm", path)
        try:
            yield
        finally:
            self.inside("mv", "/root/aside", path)

    def test_2_without_the_master_key_all_else_goes_on(self):
        with self.aside(HOST_KEY):
            self.assert_locked("no master key")
        self.assert_back()
        with self.aside(CREDENTIAL):
            # None is made where there are keys that it would not open.
            self.lab.enter(["systemctl", "restart", "termspan-keys.socket"])
            self.assertIn("is gone", self.inside("journalctl", "-b", "--output=cat", "--unit=termspan-keys.socket"))
            self.assertNotEqual(self.lab.enter(["test", "-e", CREDENTIAL], check=False).returncode, 0)
            self.assert_locked("no master key")
        self.assert_back()

    def test_3_neither_are_other_keys_taken_for_them_nor_new_ones_made(self):
        with self.aside(KEYS):
            self.inside("touch", KEYS)
            self.assert_locked("damaged")
            self.inside("rm", KEYS)
            self.restart()
            self.assertIn("gone", self.product.status()["store_problem"])
            self.assertNotEqual(self.lab.enter(["test", "-e", KEYS], check=False).returncode, 0)
        self.assert_back()
        with self.aside(CREDENTIAL):
            self.inside("sh", "-c", f"head -c 32 /dev/urandom | systemd-creds encrypt --name=termspan.master - {CREDENTIAL}")
            self.assert_locked("not the one")
        self.assert_back()

    def test_4_the_master_key_is_changed(self):
        self.inside("cp", CREDENTIAL, "/root/old")
        before = self.inside("sha256sum", KEYS)
        done = self.lab.enter([MASTER_KEY, "rotate"])
        self.assertIn("new master key", done.stdout)
        self.assertNotEqual(self.inside("sha256sum", KEYS), before)
        self.assertEqual(self.inside("ls", "-A", "/etc/credstore.encrypted"), "termspan.master")
        self.assert_back()
        # What was interrupted before its last steps is completed.
        self.inside("sh", "-c", f"head -c 32 /dev/urandom | systemd-creds encrypt --name=termspan.master-next - {CREDENTIAL}-next")
        self.restart()
        self.assertIsNone(self.product.status()["store_problem"])
        self.lab.enter([MASTER_KEY, "rotate"])
        self.assert_back()
        self.inside("cp", CREDENTIAL, "/root/new")
        self.inside("cp", "/root/old", CREDENTIAL)
        self.assert_locked("not the one")
        self.inside("cp", "/root/new", CREDENTIAL)
        self.assert_back()

    def rotate_by_steps(self, at=0, how="kill"):
        """Changes the master key up to a step; returns the steps that were begun: what is called, and what is on the disk before it."""
        self.inside("sh", "-c", f"cd {STEPS}; : >log; echo {at} >at; echo {how} >how")
        done = self.lab.enter(["sh", "-c", f"echo $$ >{STEPS}/pid; PATH={STEPS}:$PATH exec {MASTER_KEY} rotate"], check=False)
        # What fails in vain, as removing what is not there, fails nothing.
        self.assertTrue(done.returncode == 0 if not at else done.returncode != 0 or how == "fail", done)
        return [line.split()[:2] for line in self.inside("cat", f"{STEPS}/log").splitlines()]

    def master_keys(self):
        """The credentials of master keys that open the users' keys."""
        script = ('cd /etc/credstore.encrypted; for name in termspan.master*; do systemd-creds decrypt --name=$name $name - '
                  '| /usr/libexec/termspan/termspand --check-master-key && echo $name; done')
        return set(self.inside("sh", "-c", script, check=False).split())

    def test_4b_a_change_that_is_interrupted_anywhere_loses_nothing_and_is_completed(self):
        self.inside("sh", "-c", f'rm -rf {STEPS}; mkdir {STEPS}; cat >{STEPS}/step; chmod +x {STEPS}/step; cd {STEPS}; for name in {" ".join(CALLED)}; do ln -s step $name; done',
                    input=STEP)
        steps = self.rotate_by_steps()
        # Where the disk is as at the step before it, an interruption leaves what the one before it leaves.
        changes = [number for number in range(2, len(steps) + 1) if steps[number - 1][1] != steps[number - 2][1]]
        self.assertGreater(len(changes), 8, steps)
        left = set()
        for number, how in [(number, "kill") for number in changes] + [(number - 1, "fail") for number in changes]:
            with self.subTest(f"{how} at {number}: {steps[number - 1][0]}"):
                self.assertEqual([name for name, _ in self.rotate_by_steps(number, how)][:number], [name for name, _ in steps[:number]])
                opening = self.master_keys()
                self.assertTrue(opening)
                left.add((how, len(opening), "termspan.master" in opening))
                self.lab.enter([MASTER_KEY, "rotate"])
                self.assertEqual(self.master_keys(), {"termspan.master"})
                self.assertEqual(self.inside("sh", "-c", "ls -A /etc/credstore.encrypted; ls -d /run/termspan-master-key.*", check=False), "termspan.master")
        # Each way there is: the old one alone, the new one alone, and both credentials of the new one.
        self.assertEqual(left, {(how, *way) for how in ("kill", "fail") for way in ((1, True), (1, False), (2, True))})
        self.assert_back()

    def test_4d_a_tpm_of_which_systemd_252_opens_nothing_without_a_pcr(self):
        # The lab's kernel knows no TPM: what a software TPM beside it said stands here in its place.
        self.inside("sh", "-c", "rm -rf /root/tpm; mkdir /root/tpm; cat >/root/tpm/systemd-creds; chmod +x /root/tpm/systemd-creds", input=TPM)
        self.addCleanup(self.inside, "rm", "-r", "/root/tpm")
        self.lab.enter(["sh", "-c", f"PATH=/root/tpm:$PATH exec {MASTER_KEY} rotate"])
        self.assertEqual(self.inside("cat", "/root/tpm/asked").split(), ["--tpm2-pcrs=", "--tpm2-pcrs=23"] * 2)
        self.assertEqual(self.master_keys(), {"termspan.master"})
        self.assert_back()

    def test_4c_a_backup_is_whole_and_comes_back(self):
        self.assertEqual(self.product.command("backup", "/tmp/mine.db", user="user3", check=False).returncode, 4)
        # While sessions write.
        for number in range(5):
            for user in ("user1", "user2"):
                self.lab.key(user, "shift")
            told = self.product.listing("backup", "/root/copy.db", *(["--force"] if number else []))
            self.assertEqual(self.inside("sha256sum", "/root/copy.db").split()[0], told["sha256"])
            self.assertEqual(self.inside("sqlite3", "-readonly", "/root/copy.db", "PRAGMA integrity_check"), "ok")
            self.assertTrue(told["recorded"])
        # It is recorded before: the copy has the entry, too.
        made = self.inside("sqlite3", "-readonly", "/root/copy.db", "SELECT by, value FROM audit WHERE action = 'read-backup'").splitlines()
        self.assertEqual(made, ["root|/root/copy.db"] * 5)
        entries = [row for row in self.product.listing("audit", "--all") if row["action"] == "read-backup"]
        self.assertEqual([(row["by"], row["value"], row["user_uuid"]) for row in entries], [("root", "/root/copy.db", None)] * 5)
        # Whose data it is sees it, and nobody else than root says that one is made.
        self.assertEqual(len([row for row in self.product.listing("audit", user="user1") if row["action"] == "read-backup"]), 5)
        for user in ("user1", "termspan-reports"):
            call = ["busctl", "call", "org.termspan1", "/org/termspan1", "org.termspan1.Manager", "RecordBackup", "s", "/root/copy.db"]
            self.assertIn("ccess", self.lab.enter(["runuser", "-u", user, "--", *call], check=False).stderr)
        self.assertEqual(self.inside("stat", "-c", "%a %U:%G %s", "/root/copy.db"), f"600 root:root {told['bytes']}")
        self.assertEqual(self.inside("sh", "-c", "ls /root | grep copy"), "copy.db")
        for text in (ADDRESS, "user1", "user2"):
            self.assertEqual(self.lab.enter(["grep", "-qaF", text, "/root/copy.db"], check=False).returncode, 1, text)
        # What is there stays, and so it does where the copy can't be written.
        self.assertEqual(self.product.command("backup", "/root/copy.db", check=False).returncode, 1)
        self.inside("sh", "-c", "mkdir -p /root/small && mount -t tmpfs -o size=64k,mode=0700 tmpfs /root/small")
        try:
            done = self.product.command("backup", "/root/small/copy.db", check=False)
            self.assertEqual((done.returncode, self.inside("ls", "-A", "/root/small")), (1, ""), done)
        finally:
            self.inside("umount", "/root/small")
        before = self.product.command("verify", "--store")
        self.assertRegex(before.stdout, r"^The store is right: ")
        # It comes back.
        self.lab.enter(["systemctl", "stop", *SERVICES])
        self.inside("cp", DATABASE, "/root/after.db")
        self.inside("sh", "-c", f"rm -f {DATABASE}-*; cat /root/copy.db >{DATABASE}")
        self.restart()
        self.assertEqual({row["user"] for row in self.product.summary()}, {"user1", "user2"})
        done = self.product.command("verify", "--store", check=False)
        self.assertRegex(done.stdout, r"^The store is right: ")
        self.assertEqual(done.returncode, 0, done.stdout)
        self.lab.enter(["systemctl", "stop", *SERVICES])
        self.inside("sh", "-c", f"rm -f {DATABASE}-*; cat /root/after.db >{DATABASE}")
        self.restart()

    def test_5_an_erasure_reaches_the_backups(self):
        self.wait_stored()
        self.product.command("backup", "/root/backup.db")
        held = self.product.summary("user1")
        self.assertEqual(len(held), 2)
        receipt, = self.product.listing("erase", "user1", "--forget", "--reason", "left", "--yes")
        self.assertIn(" keys-destroyed=1 ", receipt["receipt"])
        self.lab.enter(["systemctl", "stop", *SERVICES])
        # The backup comes back, beside the keys as they are.
        self.inside("cp", DATABASE, "/root/after.db")
        self.inside("sh", "-c", f"rm -f {DATABASE}-*; cat /root/backup.db >{DATABASE}")
        self.restart()
        rows = self.product.summary()
        self.assertEqual(sorted(row["user"][:1] for row in rows), ["?", "?", "u"])
        self.assertNotIn(ADDRESS, str(self.product.listing("spans", "--all")) + str(rows))
        self.assertEqual(self.product.summary("user1"), [])
        self.assertEqual(len(self.product.summary("user2")), 1)
        # And the store of after it is the same as it was.
        self.lab.enter(["systemctl", "stop", *SERVICES])
        self.inside("sh", "-c", f"rm -f {DATABASE}-*; cat /root/after.db >{DATABASE}")
        self.restart()
        self.assertEqual({row["user"] for row in self.product.summary()}, {"user2"})
        # That a copy was in its place shows: the journal has the audit record's heads of that time.
        self.assertEqual(self.product.command("verify", "--audit", check=False).returncode, 1)


if __name__ == "__main__":
    unittest.main()
