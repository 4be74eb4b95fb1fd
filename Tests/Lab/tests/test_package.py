"""The Debian package installs, upgrades, goes and is purged cleanly, on a server of its own.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import json
import os
import sys
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import Lab, wait_until  # noqa: E402

PACKAGE = os.environ.get("TERMSPAN_DEB")


@unittest.skipUnless(PACKAGE, "TERMSPAN_DEB names no package")
class PackageTests(unittest.TestCase):
    """The cases build on each other, in the order of their names."""

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab("package")
        cls.lab.stop()
        cls.addClassCleanup(cls.lab.stop)
        cls.lab.boot(os.environ.get("TERMSPAN_LAB_SUITE") or None)
        cls.lab.users(1)

    def inside(self, *command, check=True):
        return self.lab.enter(list(command), check=check).stdout.strip()

    def exists(self, path):
        return self.lab.enter(["test", "-e", path], check=False).returncode == 0

    def unit(self, unit, name):
        return self.inside("systemctl", "show", "--property", name, "--value", unit)

    def running_collector(self):
        return wait_until("the collector to be ready", lambda: self.unit("termspand.service", "ActiveState") == "active"
                          and int(self.unit("termspand.service", "MainPID")), 20,
                          progress=lambda: self.inside("journalctl", "--no-pager", "--boot", "--unit", "termspand.service", "--lines", "15"))

    def test_1_it_installs_and_starts(self):
        self.lab.install(PACKAGE)
        self.assertTrue(self.running_collector())
        self.assertEqual(self.inside("systemctl", "is-enabled", "termspand.service"), "enabled")
        self.assertEqual(self.inside("dpkg", "--verify", "termspan"), "")
        self.assertEqual(self.inside("dpkg", "--audit"), "")
        self.assertEqual(self.inside("systemctl", "list-units", "--failed", "--no-legend", "--plain"), "")
        # Nobody could be asked, so nobody is tracked.
        self.assertIn('"new_users":"untracked"', self.inside("termspan", "policy", "export"))

    def test_2_it_brings_what_belongs_to_a_server(self):
        self.assertIn("termspan-reports", self.inside("getent", "passwd", "termspan-reports"))
        self.assertEqual(self.inside("stat", "--format=%A %U:%G", "/var/lib/termspan"), "drwxr-x--- root:termspan-reports")
        self.assertEqual(self.inside("stat", "--format=%A", "/run/termspan/notice"), "drwx--x--x")
        self.assertIn("org.termspan1.manage-tracking", self.inside("pkaction"))
        self.assertIn("org.termspan1.Reports", self.inside("busctl", "--no-pager", "--activatable", "--no-legend", "list"))
        kinds = (LAB_FOLDER.parent.parent / "Units/termspan.catalog").read_text().count("-- 6a1f0c52b8d94c0e9f0e5b7d3c1a7e")
        self.assertGreater(kinds, 20)
        self.assertEqual(self.inside("journalctl", "--list-catalog", "--no-pager").count("6a1f0c52b8d94c0e9f0e5b7d3c1a7e"), kinds)
        for page in ("termspan.1", "termspand.8"):
            self.assertTrue(self.exists(f"/usr/share/man/man{page[-1]}/{page}.gz"), page)
        for path in ("bash-completion/completions/termspan", "zsh/vendor-completions/_termspan", "fish/vendor_completions.d/termspan.fish"):
            self.assertIn("termspan", self.inside("cat", f"/usr/share/{path}"))

    def test_3_no_user_may_take_a_name_on_the_bus_or_read_the_store(self):
        for name in ("org.termspan1", "org.termspan1.Reports"):
            done = self.lab.enter(["busctl", "call", "org.freedesktop.DBus", "/", "org.freedesktop.DBus", "RequestName", "su", name, "0"],
                                  user="user1", check=False)
            self.assertIn("denied", done.stderr)
        self.assertNotEqual(self.lab.enter(["ls", "/var/lib/termspan"], user="user1", check=False).returncode, 0)
        done = self.lab.enter(["busctl", "call", "org.termspan1", "/org/termspan1", "org.termspan1.Manager", "CollectActivity", "a{sv}", "0"],
                              user="user1", check=False)
        self.assertNotEqual(done.returncode, 0)

    def test_4_an_upgrade_restarts_the_collector_and_keeps_what_was_set(self):
        before = self.running_collector()
        self.inside("sh", "-c", "echo '# mine' >>/etc/termspan/termspan.yaml")
        self.lab.install(PACKAGE)
        self.assertNotEqual(self.running_collector(), before)
        self.assertIn("# mine", self.inside("cat", "/etc/termspan/termspan.yaml"))
        self.assertTrue(self.exists("/run/termspan/notice"))

    def test_5_removed_it_keeps_the_data_and_nothing_runs(self):
        self.inside("apt-get", "--quiet", "--yes", "remove", "termspan")
        self.assertEqual(self.unit("termspand.service", "LoadState"), "not-found")
        self.assertEqual(self.inside("systemctl", "list-units", "--state=active,activating,failed", "--no-legend", "--plain", "termspan*"), "")
        self.assertTrue(self.exists("/var/lib/termspan/termspan.db"))
        self.assertFalse(self.exists("/run/termspan"))
        self.assertNotIn("org.termspan1", self.inside("busctl", "--no-pager", "--activatable", "--no-legend", "list"))

    def test_6_it_comes_back_with_its_data(self):
        before = self.inside("stat", "--format=%i", "/var/lib/termspan/termspan.db")
        self.lab.install(PACKAGE)
        self.running_collector()
        self.assertEqual(self.inside("stat", "--format=%i", "/var/lib/termspan/termspan.db"), before)

    def test_7_purged_it_leaves_nothing(self):
        self.inside("apt-get", "--quiet", "--yes", "purge", "termspan")
        left = self.inside("find", "/etc", "/usr", "/var/lib", "/run", "-xdev", "-name", "*termspan*", "-not", "-path", "/var/lib/dpkg/*",
                           "-not", "-path", "/run/systemd/*")
        self.assertEqual(left, "")
        self.assertEqual(self.inside("dpkg", "--audit"), "")
        self.assertEqual(self.inside("debconf-show", "termspan"), "")

    def test_8_what_was_answered_holds_from_the_first_installation_on(self):
        answers = ["new-users boolean true", "responsible string Ann Lee, room 7"]
        def install():
            self.inside("sh", "-c", 'printf "termspan termspan/%s\\n" "$@" | debconf-set-selections', "sh", *answers)
            self.lab.install(PACKAGE)
            self.running_collector()
            return json.loads(self.inside("termspan", "policy", "export"))
        # Nobody is recorded who could not be told why.
        self.assertEqual(install()["new_users"], "untracked")
        self.inside("apt-get", "--quiet", "--yes", "purge", "termspan")
        answers.append("reason string works agreement, § 7; `id`")
        policy = install()
        self.assertEqual([policy[key] for key in ("new_users", "new_users_responsible", "new_users_reason")],
                         ["tracked", "Ann Lee, room 7", "works agreement, § 7; `id`"])
        # Afterwards administrators decide, whatever was answered then.
        self.inside("termspan", "policy", "set", "new-users", "untracked")
        self.lab.install(PACKAGE)
        self.running_collector()
        self.assertIn('"new_users":"untracked"', self.inside("termspan", "policy", "export"))


if __name__ == "__main__":
    unittest.main()
