"""Facts of the computer, its network and its users, each with the time from which it held. TERMSPAN_DEB names the package."""

import json
import sys
import unittest
from datetime import datetime, timedelta, timezone
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.product import FRAGMENT, ProductTestCase  # noqa: E402

NOT_PERMITTED = 4
COMPUTER = ["computer-name", "time-zone", "primary-domain", "network-id", "private-addresses", "public-address"]


class FactsTests(ProductTestCase):
    """user1 is recorded, user2 is not."""

    users = 2
    tracked = ["user1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.name = cls.lab.enter(["uname", "-n"]).stdout.strip()
        cls.lab.enter(["usermod", "--comment", "Ursula Eins,Room 1", "user1"])
        cls.addClassCleanup(cls.lab.enter, ["usermod", "--comment", "", "user1"])
        cls.lab.login("user1")
        cls.product.wait_measured("user1")

    def facts(self, *arguments, user=None):
        return self.product.listing("facts", *arguments, user=user)

    def value(self, fact, *arguments):
        return next((row["value"] for row in self.facts(*arguments) if row["fact"] == fact), None)

    def wait(self, fact, value):
        """Waits until a fact is another one; returns what it is."""
        def holds():
            found = self.value(fact)
            return (found,) if value(found) else None
        return wait_until(f"{fact} to change", holds, 30, progress=lambda: str(self.facts()))[0]

    def assert_changed(self, fact, old, new):
        """The one ceases to hold when the other begins, and the past shows as it was."""
        before, after = [row for row in self.facts("--history") if row["fact"] == fact and row["of"] == "computer"][-2:]
        self.assertEqual((before["value"], after["value"], after["until"]), (old, new, None))
        self.assertEqual(before["until"], after["since"])
        moment = datetime.fromisoformat(after["since"].replace("Z", "+00:00")) - timedelta(milliseconds=1)
        self.assertEqual(self.value(fact, "--at", moment.isoformat()), old)

    def test_1_what_is_known_is_told(self):
        self.wait("logon-domain", lambda value: value)
        rows = self.facts()
        self.assertEqual([row["fact"] for row in rows if row["of"] == "computer"], COMPUTER)
        facts = {row["fact"]: row for row in rows}
        self.assertEqual(facts["computer-name"]["value"], self.name)
        zone = self.lab.enter(["readlink", "/etc/localtime"]).stdout.strip().split("zoneinfo/")[1]
        self.assertEqual(facts["time-zone"]["value"], zone)
        of_user = {row["fact"]: row["value"] for row in rows if row["user"] == "user1" and row["of"] == "user"}
        self.assertEqual(of_user, {"login-name": "user1", "friendly-name": "Ursula Eins", "logon-domain": self.name})
        session = self.product.session("user1")
        row, = [row for row in rows if row["of"] == "session"]
        self.assertEqual((row["user"], row["value"], row["session"], row["session_uuid"]), ("user1", str(session["id"]), session["id"], session["uuid"]))
        # In the store a user's facts are sealed.
        self.assertEqual(self.lab.enter(["grep", "-rla", "Ursula", "/var/lib/termspan", "/var/lib/termspan-keys", "/run/termspan"], check=False).stdout, "")
        self.assertIn("computer-name", self.product.command("facts").stdout)

    def test_2_a_computer_is_renamed(self):
        self.addCleanup(self.lab.enter, ["hostnamectl", "set-hostname", self.name])
        self.lab.enter(["hostnamectl", "set-hostname", "lab-renamed"])
        self.wait("computer-name", lambda value: value == "lab-renamed")
        self.assert_changed("computer-name", self.name, "lab-renamed")
        # Its own users' domain is called so, too.
        self.wait("logon-domain", lambda value: value == "lab-renamed")

    def test_3_the_time_zone_changes(self):
        zone = self.value("time-zone")
        self.addCleanup(self.lab.enter, ["timedatectl", "set-timezone", zone])
        self.lab.enter(["timedatectl", "set-timezone", "Asia/Kolkata"])
        self.wait("time-zone", lambda value: value == "Asia/Kolkata")
        self.assert_changed("time-zone", zone, "Asia/Kolkata")

    def network(self, gateway, *commands):
        """A way out by a gateway of this hardware address."""
        script = f"""
            set -e
            ip link show lab-a >/dev/null 2>&1 || ip link add lab-a type veth peer name lab-b
            ip address replace 192.168.77.2/24 dev lab-a
            ip link set lab-a up; ip link set lab-b up
            ip neighbour replace 192.168.77.1 lladdr {gateway} dev lab-a nud permanent
            ip route replace default via 192.168.77.1
            """
        self.lab.enter(["sh", "-c", script + "\n".join(commands)])

    def test_4_a_second_network(self):
        self.addCleanup(self.lab.enter, ["ip", "link", "delete", "lab-a"], check=False)
        self.assertIsNone(self.value("network-id"))
        self.network("02:00:00:00:00:01")
        first = self.wait("network-id", lambda value: value)
        self.wait("private-addresses", lambda value: value and "192.168.77.2" in value.split())
        self.network("02:00:00:00:00:02", "ip address add 9.9.9.9/32 dev lab-a", "ip route flush cache")
        second = self.wait("network-id", lambda value: value and value != first)
        self.wait("public-address", lambda value: value == "9.9.9.9")
        self.assert_changed("network-id", first, second)
        # It is the same one again, and nothing is, once there is no way out.
        self.network("02:00:00:00:00:01", "ip address del 9.9.9.9/32 dev lab-a")
        self.wait("network-id", lambda value: value == first)
        self.lab.enter(["ip", "link", "delete", "lab-a"])
        self.wait("network-id", lambda value: value is None)
        for text in ("02:00:00:00:00:01", "192.168.77.0/24"):
            self.assertEqual(self.lab.enter(["grep", "-rla", text, "/var/lib/termspan", "/run/termspan"], check=False).stdout, "")

    def answer(self, text):
        """What a server in the lab answers whoever asks it."""
        (self.lab.root / "srv/lab-address").write_text(text)

    def test_4b_a_server_is_asked_for_the_public_address(self):
        self.answer("203.0.113.9\n")
        self.lab.enter([
            "systemd-run", "--collect", "--unit=lab-address", "--service-type=exec", "python3", "-m", "http.server", "8099", "--bind", "127.0.0.1",
            "--directory", "/srv"])
        self.addCleanup(self.lab.enter, ["systemctl", "stop", "lab-address.service"])
        fragment = self.lab.root / FRAGMENT
        before = fragment.read_text() if fragment.exists() else ""
        self.addCleanup(self.lab.enter, ["systemctl", "reload", "termspand.service"])
        self.addCleanup(fragment.write_text, before)
        self.assertIsNone(self.value("public-address"))
        fragment.write_text(before + "public-address-url: http://127.0.0.1:8099/lab-address\n")
        self.lab.enter(["systemctl", "reload", "termspand.service"])
        self.wait("public-address", lambda value: value == "203.0.113.9")
        # Another network, another answer; and one that is none is not taken.
        self.answer("2001:db8::9")
        self.addCleanup(self.lab.enter, ["ip", "link", "delete", "lab-a"], check=False)
        self.network("02:00:00:00:00:01")
        self.wait("public-address", lambda value: value == "2001:db8::9")
        self.answer("<html>203.0.113.10</html>")
        self.lab.enter(["ip", "link", "delete", "lab-a"])
        self.wait("public-address", lambda value: value is None)
        wait_until("the journal to say why", lambda: "the answer is no address" in self.lab.enter(
            ["journalctl", "--boot", "--output=cat", "--unit", "termspand.service"]).stdout, 30)

    def test_5_a_user_has_another_name(self):
        self.lab.enter(["usermod", "--comment", "Ursula Zwei", "user1"])
        self.wait("friendly-name", lambda value: value == "Ursula Zwei")
        self.assertEqual([row["value"] for row in self.facts("--history") if row["fact"] == "friendly-name"], ["Ursula Eins", "Ursula Zwei"])

    def test_6_who_sees_what(self):
        own = self.facts(user="user2")
        self.assertEqual([row["fact"] for row in own], COMPUTER)
        for arguments in (("--user", "user1"), ("--all",)):
            self.assertEqual(self.product.command("facts", *arguments, user="user2", check=False).returncode, NOT_PERMITTED)
        self.assertIn("Ursula Zwei", {row["value"] for row in self.facts(user="user1")})
        self.assertIn("read-facts", {row["action"] for row in self.product.listing("audit", user="user1")})
        facts = json.loads(self.product.command("me", "export", user="user1").stdout)["facts"]
        self.assertEqual([row["value"] for row in facts if row["fact"] == "friendly-name"], ["Ursula Eins", "Ursula Zwei"])

    def test_7_a_restart_changes_nothing_and_an_erasure_the_past(self):
        before = self.facts("--history")
        old = self.product.collector()
        self.product.kill(old)
        self.product.wait_ready(other_than=old)
        self.product.wait_measured("user1")
        self.assertEqual([row for row in self.facts("--history") if row["of"] != "session"], [row for row in before if row["of"] != "session"])
        self.assertEqual(self.product.command("verify", "--store").returncode, 0)
        self.product.command("erase", "user1", "--reason", "a test", "--yes")
        self.assertEqual([row["value"] for row in self.facts("--history") if row["fact"] == "friendly-name"], ["Ursula Zwei"])

    def test_8_of_who_is_not_recorded_nothing_is_noticed(self):
        self.product.untrack("user1")
        self.lab.enter(["usermod", "--comment", "Ursula Drei", "user1"])
        # What the machine is called is noticed all the while, and so would this be.
        self.addCleanup(self.lab.enter, ["hostnamectl", "set-hostname", self.value("computer-name")])
        self.lab.enter(["hostnamectl", "set-hostname", "lab-meanwhile"])
        self.wait("computer-name", lambda value: value == "lab-meanwhile")
        begin = datetime.now(timezone.utc)
        self.product.track("user1")
        self.product.wait_measured("user1")
        self.wait("friendly-name", lambda value: value == "Ursula Drei")
        row = [row for row in self.facts("--history") if row["fact"] == "friendly-name"][-1]
        self.assertGreater(datetime.fromisoformat(row["since"].replace("Z", "+00:00")), begin)


if __name__ == "__main__":
    unittest.main()
