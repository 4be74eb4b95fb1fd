"""What paths lead to changes while root or the product uses them: a user swaps folders, links, files and pipes as fast as it goes. TERMSPAN_DEB names the package.

Each test shows that the attacker was at it all the time, that nothing came to lie elsewhere, that nothing of what root may read
reached what the product stores or says, and that the collector is the same process, with the others' sessions measured.
"""

import json
import shutil
import sys
import unittest
import uuid
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import ProductTestCase  # noqa: E402
from lablib.programs import static  # noqa: E402

SWAPPER = "/usr/local/lib/termspan-lab/swapper"
CANARY = "canary-7f3a91c2"
SECRET = "/root/secret"
HOME = "/home/user3"
SOCKETS = "/tmp/.X11-unix"
# The display of user3's headless session is :1003.
DISPLAY = 1003


class Swapper:
    """user3 at work on paths, from entering the context to leaving it."""

    def __init__(self, lab, *deeds, rounds=0):
        self.lab = lab
        self.deeds = [word for deed in deeds for word in (*deed, "-")[:3]]
        self.rounds = rounds
        self.unit = f"lab-swapper-{uuid.uuid4().hex[:6]}"
        self.counts = {}

    def __enter__(self):
        self.lab.enter(["systemd-run", "--quiet", "--collect", f"--unit={self.unit}", "--property=User=user3",
                        f"--property=StandardOutput=file:/run/{self.unit}", f"--working-directory={HOME}", SWAPPER, self.rounds, *self.deeds])
        return self

    def wait(self):
        """Till all rounds are done."""
        wait_until("the swapper to end", lambda: self.lab.enter(["systemctl", "--quiet", "is-active", self.unit], check=False).returncode, 60)

    def __exit__(self, *error):
        self.lab.enter(["systemctl", "stop", f"{self.unit}.service"], check=False)
        said = self.lab.enter(["cat", f"/run/{self.unit}"], check=False).stdout
        self.counts = {deed: tuple(counts) for deed, counts in json.loads(said or "{}").items()}
        print(f"figure: deeds of the swapper, tried and done: {self.counts}", file=sys.stderr, flush=True)

    def done(self, deed):
        return self.counts[deed][1]


class PathTests(ProductTestCase):
    """user1 and user2 are honest; user3 has a session and a hand in its own paths and in /tmp."""

    users = 3
    tracked = ["user1", "user2", "user3"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        folder = cls.lab.root / SWAPPER.lstrip("/")
        folder.parent.mkdir(exist_ok=True)
        shutil.copy(static("swapper.c"), folder)
        cls.addClassCleanup(cls.lab.enter, ["rm", "-rf", SECRET, "/tmp/races", f"{HOME}/races"])
        cls.lab.enter(["sh", "-c", f"rm -rf {SECRET} /tmp/races {HOME}/races; mkdir -m 700 {SECRET}; echo {CANARY} >{SECRET}/canary; chmod 600 {SECRET}/canary"])
        cls.addClassCleanup(cls.lab.sessions, 0)
        cls.lab.sessions(3)
        cls.product.wait_measured(*cls.user_names)
        cls.pid = cls.product.collector()
        cls.cookies = cls.lab.enter(["sh", "-c", "xauth -f /home/user1/.Xauthority list | awk '{ print $3 }'"]).stdout.split()

    def as_attacker(self, script):
        self.lab.enter(["sh", "-c", script], user="user3")

    def assert_unharmed(self):
        """What root alone may read is where it was and as it was, and in nothing that the product keeps or says; the others are measured on."""
        self.assertEqual(self.lab.enter(["sh", "-c", f"ls -A {SECRET}; cat {SECRET}/canary; stat -c '%a %h %U' {SECRET}/canary"]).stdout,
                         f"canary\n{CANARY}\n600 1 root\n")
        self.lab.enter(["journalctl", "--sync"])
        shadow = self.lab.enter(["sh", "-c", "sed -n 's/^user3:\\([^:]*\\):.*/\\1/p' /etc/shadow"]).stdout.strip()
        self.assertTrue(shadow and self.cookies)
        for text in (CANARY, shadow, *self.cookies):
            found = self.lab.enter(["grep", "-rlaF", "--", text, "/var/lib/termspan", "/var/lib/termspan-keys", "/run/termspan"], check=False)
            self.assertEqual(found.stdout, "", text)
            said = self.lab.enter(["sh", "-c", 'journalctl --boot --quiet --output=cat _SYSTEMD_SLICE=termspan.slice + UNIT=termspand.service | grep -cF -e "$1"', "sh", text],
                                  check=False)
            self.assertEqual(said.stdout.strip(), "0", text)
        self.assertEqual(self.product.collector(), self.pid)
        self.product.wait_measured("user1", "user2")
        self.assertEqual(len([row for row in self.product.query_sessions() if row["user"] in self.user_names]), 3)

    def test_1_what_root_exports_lands_where_it_was_said_or_nowhere(self):
        for folder in (f"{HOME}/races", "/tmp/races"):
            with self.subTest(folder):
                # A folder and a link that take each other's place, one that comes and goes, and a name that is a link, a pipe, a file.
                self.as_attacker(f"rm -rf {folder}; mkdir -p {folder}/d; chmod 777 {folder} {folder}/d; ln -s {SECRET} {folder}/l")
                deeds = [("exchange", f"{folder}/d", f"{folder}/l"), ("remake", f"{folder}/r", SECRET), ("plant", f"{folder}/n", f"{SECRET}/canary"),
                         ("plant", f"{folder}/new", f"{SECRET}/new"), ("link", f"{folder}/h", f"{SECRET}/canary"), ("read", f"{folder}/d"), ("read", f"{folder}/l"), ("read", folder)]
                script = ('for n in $(seq 24); do for name in d/out-$n r/out-$n n new h; do '
                          'timeout 20 termspan me export "$1/$name" 2>>/root/races-errors; echo $?; done; done')
                self.lab.enter(["rm", "-f", "/root/races-errors"])
                with Swapper(self.lab, *deeds) as swapper:
                    codes = self.lab.enter(["sh", "-c", script, "sh", folder], timeout=300).stdout.split()
                    if folder.startswith("/tmp"):
                        # The name is refused where others may write, whatever is there, and nothing of it is left.
                        self.assert_no_backup(f"{folder}/d/copy.db")
                for deed in ("exchange", "remake", "plant"):
                    self.assertGreater(swapper.done(deed), 200, deed)
                self.assertEqual((swapper.done("link"), swapper.done("read")), (0, 0), "what is root's was linked or read")
                self.assertEqual(len(codes), 120)
                self.assertLessEqual(set(codes), {"0", "1"})
                # Both came about: some were written, and some found another's link on the way.
                self.assertIn("0", codes)
                errors = self.lab.enter(["cat", "/root/races-errors"]).stdout
                self.assertIn("there is a link of another user's", errors)
                self.assertNotIn(CANARY, errors)
                written = self.lab.enter(["find", folder, "-type", "f", "-user", "root", "-printf", "%m %n %f\n"]).stdout.splitlines()
                self.assertLessEqual({line.split()[0] for line in written}, {"600"}, written)
                self.assertLessEqual({line.split()[1] for line in written}, {"1"}, written)
                self.assertTrue([line for line in written if " out-" in line], codes)
                self.assert_unharmed()

    def assert_no_backup(self, path):
        for more in ([], ["--force"]):
            for _ in range(10):
                done = self.product.command("backup", path, *more, check=False)
                self.assertEqual(done.returncode, 1, done)
                self.assertIn("No backup was made", done.stderr)

    def test_2_no_backup_goes_where_a_user_leads_it(self):
        folder = f"{HOME}/races"
        self.as_attacker(f"rm -rf {folder}; mkdir -p {folder}/d; ln -s {SECRET} {folder}/l; ln -s {SECRET}/canary {folder}/d/copy.db")
        # The link leads to a folder that root alone may write to, by a name that is there: with --force it would be replaced.
        deeds = [("exchange", f"{folder}/d", f"{folder}/l"), ("remake", f"{folder}/r", SECRET), ("plant", f"{folder}/canary", f"{SECRET}/canary")]
        with Swapper(self.lab, *deeds) as swapper:
            for path in (f"{folder}/d/canary", f"{folder}/r/canary", f"{folder}/canary", f"{folder}/d/../l/new"):
                self.assert_no_backup(path)
        for deed in ("exchange", "remake", "plant"):
            self.assertGreater(swapper.done(deed), 200, deed)
        self.assertEqual(self.lab.enter(["find", folder, "!", "-user", "user3"]).stdout, "")
        self.assertEqual([row for row in self.product.listing("audit", "--all") if row["action"] == "read-backup"], [])
        self.assert_unharmed()

    def test_3_cookies_that_change_while_they_are_read(self):
        traps = ["shadow", "other", "pipe", "long", "folder"]
        own = f"{HOME}/.Xauthority"
        self.as_attacker(f"rm -rf {HOME}/races; mkdir {HOME}/races; cd {HOME}/races; ln -s /etc/shadow shadow; ln -s /home/user1/.Xauthority other; mkfifo pipe; "
                         f"truncate -s 1G long; mkdir folder")
        self.addCleanup(self.as_attacker, f"cd {HOME}/races; for name in {' '.join(traps)}; do [ -f $name ] && [ $(stat -c %s $name) -lt 10000 ] && [ ! -L $name ] && "
                                          f"mv $name kept; done; rm -rf {own}; cp kept {own} 2>/dev/null || true")
        log = len(self.product.log(user="user3"))
        with Swapper(self.lab, *[("exchange", own, f"{HOME}/races/{name}") for name in traps]) as swapper:
            for _ in range(4):
                self.product.untrack("user3")
                self.product.track("user3")
                wait_until("the cookie to be read, or not", lambda: self.product.session("user3")["coverage"] in ("measured", "failed", "limited"), 60,
                           progress=self.product.report)
        self.assertGreater(swapper.done("exchange"), 200)
        self.assertGreater(len(self.product.log(user="user3")), log)
        self.assert_unharmed()

    def test_4_sockets_that_change_while_they_are_looked_at(self):
        names = {"own": 1771, "link": 1772, "pipe": 1773, "folder": 1774, "file": 1775}
        places = [SOCKETS, *(place for place in ("/run/xrdp/sockdir", "/tmp/.xrdp") if self.lab.enter(["test", "-w", place], user="user3", check=False).returncode == 0)]
        victim = "X1001"
        listener = "import os, socket, sys; s = socket.socket(socket.AF_UNIX); os.path.lexists(sys.argv[1]) and os.unlink(sys.argv[1]); s.bind(sys.argv[1])"
        deeds = []
        for place in places:
            prefix = "X" if place == SOCKETS else "xrdp_display_"
            path = {name: f"{place}/{prefix}{number}" for name, number in names.items()}
            self.addCleanup(self.lab.enter, ["rm", "-rf", *path.values()])
            self.lab.enter(["rm", "-rf", *path.values()])
            self.lab.enter(["python3", "-c", listener, path["own"]], user="user3")
            self.as_attacker(f"ln -s {SOCKETS}/{victim} {path['link']}; mkfifo {path['pipe']}; mkdir {path['folder']}; touch {path['file']}")
            deeds += [("exchange", path["own"], other) for name, other in path.items() if name != "own"]
        with Swapper(self.lab, *deeds, rounds=20_000) as swapper:
            swapper.wait()
        self.assertGreater(swapper.done("exchange"), 20_000)
        # The victim's server stays the victim's.
        displays = {row["user"]: row["display"] for row in self.product.query_sessions() if row["user"] in self.user_names}
        self.assertEqual((displays["user1"], displays["user3"]), (":1001", f":{DISPLAY}"))
        self.assert_unharmed()

    def test_5_nothing_of_the_products_folders_can_be_swapped(self):
        own = f"{HOME}/races/own"
        self.as_attacker(f"rm -rf {HOME}/races; mkdir -p {own}")
        folders = ["/run/termspan", "/run/termspan/notice", "/run/termspan/notice/2003", "/run/termspan/notice/2001", "/run/termspan-keys", "/var/lib/termspan",
                   "/var/lib/termspan-keys", "/etc/termspan", "/etc/termspan/termspan.yaml.d", "/usr/libexec/termspan"]
        before = self.lab.enter(["sh", "-c", "find /run/termspan/notice /etc/termspan /usr/libexec/termspan -printf '%i %m %u %g %p\n' | sort"]).stdout
        self.assertIn("/run/termspan/notice/2003/text", before)
        deeds = [(deed, path, other) for folder in folders for deed, path, other in
                 (("exchange", folder, own), ("exchange", f"{folder}/text", own), ("exchange", f"{folder}/text.new", own))]
        with Swapper(self.lab, *deeds, rounds=2_000) as swapper:
            swapper.wait()
            # A notice is written anew meanwhile.
            self.product.untrack("user3")
            self.product.track("user3", reason="another test")
        self.assertEqual(swapper.counts["exchange"], (2_000 * len(deeds), 0))
        for folder in folders:
            made = self.lab.enter(["sh", "-c", '[ ! -w "$1" ] && ! mkdir "$1/planted" 2>/dev/null && ! ln -s /etc/shadow "$1/text.new" 2>/dev/null', "sh", folder],
                                  user="user3", check=False)
            self.assertEqual(made.returncode, 0, folder)
        after = self.lab.enter(["sh", "-c", "find /run/termspan/notice /etc/termspan /usr/libexec/termspan -printf '%i %m %u %g %p\n' | sort"]).stdout

        def rest(listing):
            # What is written anew takes the place of the old one.
            return [line for line in listing.splitlines() if not line.endswith("/2003/text")]
        self.assertEqual(rest(after), rest(before))
        self.assertIn("another test", self.lab.enter(["cat", "/run/termspan/notice/2003/text"]).stdout)
        self.assert_unharmed()

    def test_6_an_erasure_touches_nothing_of_a_users(self):
        folder = f"{HOME}/races"
        self.as_attacker(f"rm -rf {folder}; mkdir -p {folder}/d; ln -s {SECRET} {folder}/l")
        with Swapper(self.lab, ("exchange", f"{folder}/d", f"{folder}/l"), ("plant", f"{folder}/n", f"{SECRET}/canary"), ("plant", "/tmp/termspan", SECRET)) as swapper:
            receipt, = self.product.listing("erase", "user3", "--reason", "a test", "--yes")
            forgotten, = self.product.listing("erase", "user3", "--forget", "--reason", "a test", "--yes")
        self.assertTrue(receipt["receipt"] and forgotten["receipt"])
        self.assertEqual((receipt["reports_ended"], receipt["sid_known"], forgotten["reports_ended"], forgotten["sid_known"]), (True, None, True, True))
        self.assertGreater(swapper.done("exchange"), 100)
        self.assert_unharmed()


if __name__ == "__main__":
    unittest.main()
