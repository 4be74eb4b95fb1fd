"""Who is on the server, in which session and state: sessions of a real RDP client from logon to logoff, as the product tells them.

TERMSPAN_DEB names the package; `Units/deb` prints the path of one.
"""

import json
import os
import shutil
import signal
import sys
import time
import unittest
from pathlib import Path
from xml.etree import ElementTree

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib import wait_until  # noqa: E402
from lablib.bounds import check_bounds  # noqa: E402
from lablib.product import CATEGORIES, ProductTestCase, StateWatch, documented_properties, figure, moment, percentile  # noqa: E402

# Exit codes of the command (termspan(1)).
USAGE, NOT_FOUND, NOT_PERMITTED = 2, 3, 4

# What the window of the notice at logon is called.
NOTICE = "This session is recorded"

# The lab's services that wait for remote clients.
LISTENERS = {65536: ("rdp-tcp", "", "Listen"), 65537: ("ssh", "", "Listen")}


class LifeOfASessionTests(ProductTestCase):
    """user1's session from logon to logoff, with user2's beside it. The cases build on each other, in the order of their names."""

    users = 2
    tracked = ["user1"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.logind = {user: cls.lab.login(user, computer=f"desk-of-{user}")["id"] for user in cls.user_names}
        cls.product.wait_measured("user1")
        cls.first, _ = cls.product.wait_active("user1", "user2")
        cls.kill_times, cls.drop_times = [], []
        cls.addClassCleanup(lambda: figure("of that, until xrdp let go of the session", cls.drop_times))
        cls.addClassCleanup(lambda: figure("killed client to Disc", cls.kill_times))

    def kill_client(self, user):
        """Kills the RDP client and notes how long it took until the session was disconnected, in milliseconds."""
        session = self.product.session(user)["id"]
        display = self.lab.display(user)
        client = self.lab.client(user).process
        # The client is in use: a freshly connected xrdp may take a second or two before it reads on, and so notices nothing.
        x = 100 + 10 * len(self.kill_times)
        self.lab.move(user, x, 77)
        wait_until("the pointer to move", lambda: self.lab.run(user, ["xdotool", "getmouselocation"], wait=True).stdout.startswith(f"x:{x} y:77 "), 20)
        with StateWatch(self.lab) as watch:
            begin = time.time()
            os.kill(client.pid, signal.SIGKILL)
            while self.lab.has_peer(display) and time.time() < begin + 20:
                time.sleep(0.005)
            dropped = time.time()
            end = watch.wait(session, "disconnected", since=begin)
        self.assertTrue(client.wait(5))
        self.kill_times.append((end - begin) * 1000)
        self.drop_times.append((dropped - begin) * 1000)

    def table(self):
        """The lines of `termspan query session` by ID, split into the name, user, ID and state."""
        lines = self.product.command("query", "session").stdout.splitlines()
        self.assertEqual(lines[0].split(), ["SESSIONNAME", "USERNAME", "ID", "STATE", "TYPE", "DEVICE"])
        place = {title: lines[0].index(title) for title in ("SESSIONNAME", "USERNAME", "STATE", "TYPE")}
        rows = {}
        for line in lines[1:]:
            name = line[place["SESSIONNAME"]:place["USERNAME"]].strip()
            *user, session = line[place["USERNAME"]:place["STATE"]].split()
            rows[int(session)] = (name, "".join(user), line[place["STATE"]:place["TYPE"]].strip())
        return rows

    def user_lines(self, *arguments, user=None):
        """The lines of `termspan query user` in a time zone that is five and a half hours ahead."""
        return self.product.command("query", "user", *arguments, user=user, environment={"TZ": "LAB-5:30"}).stdout.splitlines()

    def user_line(self, user, name, session, state, idle):
        """The line that it should have for a session."""
        logon = time.strftime("%Y-%m-%d %H:%M", time.gmtime(moment(self.product.session(user)["logon"]) + 5.5 * 3600))
        return f" {user:<20}  {name:<16}  {session:>3}  {state:<6}  {idle:>9}  {logon}"

    def test_01_two_users_are_sessions_1_and_2(self):
        self.assertEqual(self.table(), {0: ("services", "", "Disc"), 1: ("rdp-tcp#1", "user1", "Active"), 2: ("rdp-tcp#2", "user2", "Active"),
                                        **LISTENERS})
        for number, user in ((1, "user1"), (2, "user2")):
            row = self.product.session(user)
            wanted = {"id": number, "name": f"rdp-tcp#{number}", "state": "active", "confidence": "high", "stack": "xrdp", "locked": None,
                      "uid": 2000 + number, "logind_sessions": [self.logind[user]], "display": self.lab.display(user)}
            self.assertEqual({key: row[key] for key in wanted}, wanted)
            self.assertIsNone(row["disconnected"])
            self.assertLess(abs(moment(row["connected"]) - moment(row["logon"])), 20)
        lines = self.product.command("query", "user").stdout.splitlines()
        self.assertEqual([line.split()[:4] for line in lines[1:]], [["user1", "rdp-tcp#1", "1", "Active"], ["user2", "rdp-tcp#2", "2", "Active"]])

    def test_02_the_clients_address_is_shown(self):
        for user, address in (("user1", "198.51.100.11"), ("user2", "198.51.100.12")):
            self.assertEqual(self.product.session(user)["client_address"], address)
            self.assertRegex(self.product.command("session", "show", user).stdout, rf"(?m)^ *Client address: {address}$")

    def test_02_moments_do_not_change(self):
        first, *others = [self.product.session("user1") for _ in range(5)]
        for other in others:
            self.assertEqual([other[key] for key in ("logon", "connected")], [first[key] for key in ("logon", "connected")])

    def test_03_the_clients_name_is_shown(self):
        for user in self.user_names:
            # It is looked up in the journal, which takes its time.
            wait_until("the client's name", lambda: self.product.session(user)["client_name"], 20, progress=self.product.report)
            self.assertEqual(self.product.session(user)["client_name"], f"desk-of-{user}")

    def test_03_a_name_that_can_not_be_read_is_asked_for_again(self):
        folder = self.lab.root / "etc/systemd/system/termspan-names-.service.d"
        folder.mkdir()
        (folder / "lab.conf").write_text("[Service]\nRootDirectory=/var/empty-lab\n")
        try:
            old = self.product.collector()
            self.lab.enter(["sh", "-c", "mkdir -p /var/empty-lab; systemctl daemon-reload; systemctl restart termspand.service"])
            self.product.wait_ready(other_than=old)
            failed = ["journalctl", "--boot", "--output=cat", "--unit", f"termspan-names-xrdp-{self.product.collector()}-*"]
            wait_until("it to have failed", lambda: "Failed" in self.lab.enter(failed).stdout, 20, progress=self.product.report)
            self.assertIsNone(self.product.session("user1")["client_name"])
        finally:
            shutil.rmtree(folder)
            self.lab.enter(["systemctl", "daemon-reload"])
        self.test_03_the_clients_name_is_shown()

    def test_03_the_screen_is_shown_where_a_probe_tells_of_it(self):
        row = wait_until("the screen", lambda: (row := self.product.session("user1"))["screen_width"] and row, 20, progress=self.product.report)
        self.assertEqual((row["screen_width"], row["screen_height"]), (800, 600))
        self.assertIn(row["color_depth"], (16, 24))
        self.assertRegex(self.product.command("session", "show", "user1").stdout, r"(?m)^ *Screen: 800x600, \d+ bits$")
        untracked = self.product.session("user2")
        self.assertEqual((untracked["screen_width"], untracked["screen_height"], untracked["color_depth"]), (None, None, None))

    def test_04_an_untracked_user_is_only_listed(self):
        row = self.product.session("user2")
        self.assertEqual((row["tracked"], row["coverage"], row["idle"], row["last_input"]), (False, "untracked", None, None))
        self.assertEqual(len(self.product.probes()), 1)
        self.lab.key("user2", "a")
        wait_until("input to show for the tracked user", lambda: self.lab.key("user1", "a") or self.product.session("user1")["idle"] is not None, 20)
        self.assertIsNone(self.product.session("user2")["idle"])
        lines = [" USERNAME              SESSIONNAME        ID  STATE   IDLE TIME  LOGON TIME",
                 self.user_line("user1", "rdp-tcp#1", 1, "Active", "."), self.user_line("user2", "rdp-tcp#2", 2, "Active", "none")]
        self.assertEqual(self.user_lines(), lines)
        for target, line in (("user1", lines[1]), ("2", lines[2]), ("rdp-tcp#2", lines[2])):
            self.assertEqual(self.user_lines(target), [lines[0], line], target)
        # Others' idle times are not for everybody.
        self.assertEqual(self.user_lines(user="user1"), lines)
        self.assertEqual(self.user_lines(user="user2"), [lines[0], self.user_line("user1", "rdp-tcp#1", 1, "Active", "none"), lines[2]])
        self.assertEqual(self.product.command("query", "user", "services", check=False).returncode, NOT_FOUND)
        self.assertEqual((self.product.spans("user2", open=True), self.product.summary("user2")), ([], []))

    def test_05_tracked_users_alone_find_a_notice(self):
        self.assertEqual(self.lab.enter(["ls", "/run/termspan/notice"]).stdout.split(), ["2001"])
        self.assertIn("is recorded", self.lab.enter(["cat", "/run/termspan/notice/2001/text"], user="user1").stdout)
        # As a shell at a terminal shows it.
        shell = ["script", "--quiet", "--return", "--command", "bash --login -i -c exit", "/dev/null"]
        self.assertIn("is recorded", self.lab.enter(shell, user="user1").stdout)
        self.assertNotIn("is recorded", self.lab.enter(shell, user="user2").stdout)

    def test_05a_it_is_a_window_of_their_sessions_until_they_close_it(self):
        for user in self.user_names:
            self.lab.run(user, ["xterm", "-class", "Other", "-title", "Other", "-e", "cat"])
            self.lab.focus(user, "Other")
        names = ["sh", "-c", "xdotool search --onlyvisible --name . | while read -r window; do xdotool getwindowname $window; done"]
        shown = {user: sorted(self.lab.run(user, names, wait=True).stdout.splitlines()) for user in self.user_names}
        self.assertEqual(shown, {"user1": ["Other", NOTICE], "user2": ["Other"]})
        # What it says: clicked at often enough all of it is selected, and lies where old programs paste from.
        self.lab.focus("user1", "Xmessage")
        mark = ["sh", "-c", "xdotool mousemove --window $(xdotool getactivewindow) 60 30 click --repeat 6 --delay 20 1; xprop -root CUT_BUFFER0"]
        text = self.lab.enter(["cat", "/run/termspan/notice/2001/text"], user="user1").stdout

        def selected():
            _, _, value = self.lab.run("user1", mark, wait=True).stdout.partition(" = ")
            return value and json.loads(value).split()
        wait_until("the text to be selected", lambda: selected() == text.split(), 10, progress=lambda: str(selected()))
        self.lab.key("user1", "Return")
        wait_until("it to be closed", lambda: NOTICE not in self.lab.run("user1", names, wait=True).stdout, 10)

    def test_05c_a_desktop_on_wayland_shows_it_and_one_on_x_not_again(self):
        self.lab.enter(["sh", "-c", "mkdir -p /tmp/shown && printf '#!/bin/sh\\necho \"$@\"\\n' >/tmp/shown/zenity && chmod +x /tmp/shown/zenity"])
        self.addCleanup(self.lab.enter, ["rm", "-r", "/tmp/shown"])

        def shown(user, kind):
            return self.lab.enter(["sh", "-c", f"unset WAYLAND_DISPLAY; PATH=/tmp/shown:$PATH XDG_SESSION_TYPE={kind} /usr/libexec/termspan/termspan-notice-wayland"],
                                  user=user).stdout
        self.assertIn("--filename=/run/termspan/notice/2001/text", shown("user1", "wayland"))
        self.assertEqual((shown("user1", "x11"), shown("user2", "wayland")), ("", ""))
        self.assertTrue((self.lab.root / "etc/fish/conf.d/termspan-notice.fish").exists())

    def test_05b_a_notice_that_is_switched_off_is_told(self):
        name = "etc/profile.d/termspan-notice.sh"
        def told():
            return "may NOT be shown at each logon" in " ".join(self.product.command("me", user="user1").stdout.split())
        self.assertFalse(told())
        self.lab.enter(["mv", f"/{name}", "/root/notice"])
        try:
            self.assertTrue(told())
            # One that ends before it shows anything is as good as none.
            self.lab.enter(["sh", "-c", f"(echo return; cat /root/notice) >/{name}"])
            self.assertTrue(told())
            self.assertRegex(self.product.command("doctor", check=False).stdout, f"(?m)^warn  Notice: .*/{name}")
            self.lab.enter(["systemctl", "reload", "termspand.service"])
            wait_until("the journal to say so", lambda: "may not be told at logon" in self.lab.enter(
                ["journalctl", "--boot", "--output=cat", "--unit=termspand.service", "--lines=50"]).stdout, 10)
        finally:
            self.lab.enter(["mv", "/root/notice", f"/{name}"])

    def test_06_a_killed_client_is_disc_within_a_second(self):
        before = self.product.session("user1")
        self.kill_client("user1")
        # From when xrdp let go of it.
        self.assertLess(self.kill_times[-1] - self.drop_times[-1], 1000)
        row = self.product.session("user1")
        self.assertEqual((row["id"], row["uuid"], row["state"], row["name"], row["client_address"]), (1, before["uuid"], "disconnected", None, None))
        self.assertGreater(moment(row["disconnected"]), moment(row["connected"]))
        self.assertEqual(self.table()[1], ("", "user1", "Disc"))
        self.assertEqual(self.user_lines("user1")[1:], [self.user_line("user1", "", 1, "Disc", ".")])
        self.assertEqual(self.table()[2], ("rdp-tcp#2", "user2", "Active"))

    def test_07_a_reconnect_from_elsewhere_is_the_same_session(self):
        self.lab.reconnect("user1", address="198.51.100.77", computer="front-desk", size="1024x768")
        row = wait_until("the session to be active", lambda: (row := self.product.session("user1"))["state"] == "active" and row, 20)
        self.assertEqual((row["id"], row["uuid"], row["name"], row["client_address"]), (1, self.first["uuid"], "rdp-tcp#1", "198.51.100.77"))
        self.assertGreater(moment(row["connected"]), moment(self.first["connected"]))
        self.assertEqual(row["logon"], self.first["logon"])
        wait_until("the screen to be the new client's", lambda: self.product.session("user1")["screen_width"] == 1024, 20, progress=self.product.report)

    def test_08_a_logoff_removes_the_row_and_closes_the_intervals(self):
        probes = self.product.probes()
        self.assertEqual(len(self.product.spans("user1", open=True)), len(self.product.spans("user1")) + 1)
        self.lab.logout("user1")
        wait_until("the session to be gone", lambda: not self.product.session("user1"), 20, progress=self.product.report)
        self.assertEqual(sorted(self.table()), [0, 2, *LISTENERS])
        wait_until("the store to hold nothing that lasts", lambda: self.product.open_rows() == (0, 0), 20, progress=lambda: str(self.product.open_rows()))
        wait_until("the probe to end", lambda: not self.product.probes(), 20)
        self.assertTrue(probes)
        spans = self.product.spans("user1", open=True)
        self.assertTrue(spans)
        self.assertEqual([span for span in spans if span["open"] or not span["end"]], [])
        summary, = self.product.summary("user1")
        self.assertFalse(summary["open"])
        # The X server ends first, then its session.
        left = moment(summary["end"]) - moment(spans[-1]["end"])
        figure("what is unknown between the end of the X server and that of its session", [left * 1000])
        self.assertTrue(0 <= left < 1, left)
        self.assertAlmostEqual(sum(summary[name] for name in CATEGORIES), summary["total"], places=6)
        self.assertEqual(summary["total"] > 0 and summary["disconnected"] > 0, True, summary)

    def test_09_each_change_is_one_record_of_the_journal(self):
        self.product.sync_journal()
        lines = self.lab.enter(["journalctl", "--output=json", "--no-pager", "_UID=0", "_SYSTEMD_UNIT=termspand.service",
                                f"TERMSPAN_SESSION_UUID={self.first['uuid']}"]).stdout.splitlines()
        records = [record for record in map(json.loads, lines) if record["TERMSPAN_EVENT"].startswith("session-")]
        self.assertEqual([(record["TERMSPAN_EVENT"], record.get("TERMSPAN_CLIENT_ADDRESS")) for record in records], [
            ("session-opened", None), ("session-connected", "198.51.100.11"), ("session-disconnected", "198.51.100.11"),
            ("session-connected", "198.51.100.77"), ("session-closed", "198.51.100.77")])
        for record in records:
            self.assertEqual((record["TERMSPAN_SESSION"], record["SESSION_ID"], record["USER_ID"]), ("1", self.logind["user1"], "user1"), record)
            self.assertRegex(record["LEADER"], r"^\d+$")
            self.assertRegex(record["MESSAGE_ID"], r"^6a1f0c52b8d94c0e9f0e5b7d3c1a7e0[1-4]$")
        # logind's own records are found by the same match.
        beside = self.lab.enter(["journalctl", "--output=json", "--no-pager", f"SESSION_ID={self.logind['user1']}"]).stdout.splitlines()
        self.assertIn("systemd-logind.service", {json.loads(line).get("_SYSTEMD_UNIT") for line in beside})

    def test_10_beginning_end_and_clients_agree_with_what_others_wrote_down(self):
        check_bounds(self, self.first["uuid"], "xrdp")

    def test_10_the_log_shows_them(self):
        records = [record for record in self.product.log(user="user1", session=1) if record["session_uuid"] == self.first["uuid"]]
        self.assertEqual([(record["event"], record["client_address"]) for record in records if record["event"].startswith("session-")], [
            ("session-opened", None), ("session-connected", "198.51.100.11"), ("session-disconnected", "198.51.100.11"),
            ("session-connected", "198.51.100.77"), ("session-closed", "198.51.100.77")])
        self.assertEqual({record["user"] for record in records}, {"user1"})
        self.assertEqual(len([record for record in records if record["event"] == "probe-started"]), 1)
        text = self.product.command("log", "--user", "user1").stdout
        self.assertIn("Session 1 of user user1 connected from 198.51.100.77.", text)

    def test_11_the_next_logon_gets_a_number_that_did_not_just_become_free(self):
        self.lab.login("user1", address="198.51.100.11")
        self.product.wait_measured("user1")
        row, = self.product.wait_active("user1")
        self.assertEqual((row["id"], row["name"]), (3, "rdp-tcp#3"))
        self.assertNotEqual(row["uuid"], self.first["uuid"])

    def test_12_each_disconnect_is_seen_within_a_second_and_once(self):
        states = ["disconnected", "active"] * 4
        with StateWatch(self.lab) as watch:
            def seen():
                return [state for _, session, state in watch.states if session == 3]
            for _ in range(4):
                self.kill_client("user1")
                self.lab.reconnect("user1")
                wait_until("the session to be active", lambda: self.product.session("user1")["state"] == "active", 20)
            # What was told has yet to come here.
            wait_until("the last to be told", lambda: len(seen()) >= len(states), 20, progress=lambda: str(watch.states))
        # From when xrdp let go of each; one of them may meet a machine that is busy with something else.
        times = [kill - drop for kill, drop in zip(self.kill_times, self.drop_times)]
        self.assertLess(percentile(times, 0.5), 1000)
        self.assertLess(max(times), 2000)
        self.assertEqual(seen(), states)

    def test_13_another_client_takes_the_session_over(self):
        before = self.product.session("user1")
        self.lab.login("user1", client="other", address="198.51.100.99")
        row = wait_until("the new client to show", lambda: (row := self.product.session("user1"))["client_address"] == "198.51.100.99" and row, 20,
                         progress=self.product.report)
        self.assertEqual((row["id"], row["uuid"], row["state"]), (before["id"], before["uuid"], "active"))


class LockTests(ProductTestCase):
    users = 1
    tracked = ["user1"]

    def test_a_lock_is_a_flag_beside_the_state(self):
        self.lab.login("user1")
        self.product.wait_measured("user1")
        # The X server, and with it the probe, comes before xrdp's connection to it.
        row = wait_until("its client to be there", lambda: (row := self.product.session("user1"))["state"] == "active" and row, 20)
        times, moments = [], []
        for locked in (True, False):
            word = "locked" if locked else "unlocked"
            begin = time.monotonic()
            self.lab.set_locked("user1", locked)
            after = wait_until(f"the session to be {word}", lambda: (now := self.product.session("user1"))["locked"] == word and now, 20)
            moments += [begin, time.monotonic()]
            times.append((moments[-1] - begin) * 1000)
            self.assertEqual((after["state"], after["name"], after["uuid"]), ("active", row["name"], row["uuid"]))
            shown = self.product.command("session", "show", "user1").stdout
            self.assertRegex(shown, rf"(?m)^ *Locked: {'yes' if locked else 'no'}$")
        figure("lock or unlock to what a query says, with the calls themselves", times)
        records = [record for record in self.product.log(user="user1") if record["event"] in ("session-locked", "session-unlocked")]
        self.assertEqual([(record["event"], record["session"], record["session_uuid"]) for record in records],
                         [("session-locked", row["id"], row["uuid"]), ("session-unlocked", row["id"], row["uuid"])])
        summary, = self.product.summary("user1")
        asked, locked, let_go, unlocked = moments
        self.assertTrue(let_go - locked <= summary["locked"] <= unlocked - asked, (summary, moments))

    def test_b_a_logind_that_has_forgotten_it_unlocks_nothing(self):
        row = self.product.session("user1")
        self.lab.set_locked("user1", True)
        wait_until("the session to be locked", lambda: self.product.session("user1")["locked"] == "locked", 20)
        def told():
            return [record["event"] for record in self.product.log(user="user1") if record["event"] in ("session-locked", "session-unlocked")]
        before = told()
        lost = len(self.product.log(event="logind-lost"))
        self.lab.enter(["systemctl", "restart", "systemd-logind.service"])
        wait_until("logind's loss to be told", lambda: len(self.product.log(event="logind-lost")) > lost, 20)
        hint = self.lab.enter(["loginctl", "show-session", "--property", "LockedHint", "--value", row["logind_sessions"][0]]).stdout.strip()
        wanted = "locked" if hint == "yes" else None
        wait_until(f"the flag to be {wanted}", lambda: self.product.session("user1")["locked"] == wanted, 20, progress=self.product.report)
        self.assertEqual(told(), before)
        self.lab.set_locked("user1", True)
        wait_until("the session to be locked", lambda: self.product.session("user1")["locked"] == "locked", 20)
        self.lab.set_locked("user1", False)
        wait_until("the session to be unlocked", lambda: self.product.session("user1")["locked"] == "unlocked", 20)


class TrackingTests(ProductTestCase):
    """Whose activity is collected is what policy says, at once."""

    users = 2
    tracked = ["user1"]

    def notice(self, uid):
        """What the user finds at logon; empty where there is nothing for them."""
        folder = self.lab.root / "run/termspan/notice"
        path = folder / str(uid) / "text" if (folder / str(uid)).exists() else folder / "default"
        return path.read_text() if path.exists() else ""

    def classes(self):
        return {span["class"] for span in self.product.spans("user1", open=True)}

    def test_untracking_ends_it_at_once_and_tracking_resumes_it(self):
        self.lab.login("user1")
        row, = self.product.wait_measured("user1")
        probe, = self.product.probes().items()
        self.focus("Before")
        wait_until("the window to show", lambda: "Before" in self.classes(), 20)

        begin = time.time()
        self.product.untrack("user1")
        took = (time.time() - begin) * 1000
        self.assertFalse(self.notice(2001))
        wait_until("the probe to end", lambda: not self.product.probes(), 5)
        figure("untrack to no probe, with the calls themselves", [took, (time.time() - begin) * 1000])
        untracked = time.time()
        row = self.product.session("user1")
        self.assertEqual((row["tracked"], row["coverage"], row["idle"], row["last_input"]), (False, "untracked", None, None))
        held = self.product.spans("user1", open=True)
        self.assertEqual([span for span in held if span["open"]], [])
        self.focus("Between")
        self.focus("Before")
        # Whatever could come late has come when the store has nothing to write and the same is held still.
        wait_until("the store to have all", lambda: self.product.status()["pending"] == 0, 20)
        self.assertEqual(self.product.spans("user1", open=True), held)

        resumed = time.time()
        self.product.track("user1")
        again, = self.product.wait_measured("user1")
        self.assertEqual((again["id"], again["uuid"]), (row["id"], row["uuid"]))
        self.assertTrue(self.notice(2001))
        other, = self.product.probes().items()
        self.assertNotEqual(other, probe)
        self.focus("After")
        wait_until("the window to show", lambda: "After" in self.classes(), 20)
        spans = self.product.spans("user1", open=True)
        self.assertNotIn("Between", {span["class"] for span in spans})
        inside = [span for span in spans if moment(span["start"]) < resumed and moment(span["end"] or again["connected"]) > untracked]
        self.assertEqual(inside, [])
        summary, = [one for one in self.product.summary("user1") if one["session_uuid"] == row["uuid"]]
        self.assertGreaterEqual(summary["paused"], resumed - untracked)
        self.assertAlmostEqual(sum(summary[name] for name in CATEGORIES), summary["total"], places=6)
        changes = [(record["event"], record["user"], record["actor"]) for record in self.product.log(event="policy-changed")][-2:]
        self.assertEqual(changes, [("policy-changed", "user1", "root")] * 2)

    def test_what_new_users_are_is_a_policy_of_its_own(self):
        self.lab.login("user2")
        wait_until("the session to show", lambda: self.product.session("user2"), 20)
        self.assertFalse(self.product.session("user2")["tracked"])
        self.addCleanup(self.product.command, "policy", "set", "new-users", "untracked")
        self.product.command("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests")
        self.assertTrue(self.product.wait_measured("user2")[0]["tracked"])
        self.assertTrue(self.notice(2002))
        # Who has never been here finds a notice at the first logon.
        self.assertTrue(self.lab.root.joinpath("run/termspan/notice/default").exists())
        self.product.command("policy", "set", "new-users", "untracked")
        self.assertFalse(self.lab.root.joinpath("run/termspan/notice/default").exists())
        self.assertEqual(self.product.session("user2")["coverage"], "untracked")
        self.assertFalse(self.notice(2002))

    def test_do_not_track_goes_before_all_else_and_before_the_first_logon(self):
        self.addCleanup(self.product.command, "policy", "set", "new-users", "untracked")
        self.addCleanup(self.product.command, "donottrack", "remove", "user2", "uid:2001", "--reason=a test", "--responsible=the tests", check=False)
        self.product.command("policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests")
        self.product.command("donottrack", "add", "user2", "--reason", "asked")
        self.lab.login("user2")
        wait_until("the session to show", lambda: self.product.session("user2"), 10)
        self.assertEqual(self.product.session("user2")["coverage"], "untracked")
        wait_until("the notice not to say otherwise", lambda: not self.notice(2002), 5)
        # Who it is about sees it, and nobody else's.
        entry, = self.product.listing("donottrack", "list", user="user2")
        self.assertEqual((entry["entry"], entry["by"], entry["reason"]), ("user2@*", "root", "asked"))
        self.assertEqual(self.product.listing("donottrack", "list", user="user1"), [])

        self.lab.login("user1")
        self.product.track("user1")
        self.product.wait_measured("user1")
        before = self.product.collector()
        self.product.command("donottrack", "add", "uid:2001")
        self.assertEqual(self.product.session("user1")["coverage"], "untracked")
        wait_until("the probe to end", lambda: not self.product.probes(), 5)
        self.assertFalse(self.notice(2001))
        self.lab.enter(["systemctl", "kill", "--signal=KILL", "termspand.service"])
        self.product.wait_ready(other_than=before)
        self.assertEqual({user: self.product.session(user)["coverage"] for user in ("user1", "user2")}, dict.fromkeys(("user1", "user2"), "untracked"))
        self.product.command("donottrack", "remove", "uid:2001", "--reason=a test", "--responsible=the tests")
        self.product.wait_measured("user1")
        self.product.command("donottrack", "remove", "user2", "--reason=a test", "--responsible=the tests")
        self.product.wait_measured("user2")
        self.assertEqual(self.product.listing("donottrack", "list"), [])
        for user in ("user1", "user2"):
            self.lab.logout(user)
        wait_until("both to be gone", lambda: not any(self.product.session(user) for user in ("user1", "user2")) and not self.product.probes(), 40)

    def test_only_some_may_change_it(self):
        for arguments in (["untrack", "user1"], ["track", "user2", "--reason", "mine", "--responsible", "the tests"], ["policy", "set", "new-users", "tracked", "--reason=a test", "--responsible=the tests"],
                          ["donottrack", "add", "user2"], ["donottrack", "remove", "user2", "--reason=a test", "--responsible=the tests"]):
            done = self.product.command(*arguments, user="user2", check=False)
            self.assertEqual(done.returncode, NOT_PERMITTED, done)
        policy = self.product.policy()
        self.assertEqual((policy["new_users"], {user["name"]: user["tracked"] for user in policy["users"]}["user1"]), ("untracked", True))

    def test_nobody_unknown_is_tracked(self):
        done = self.product.command("track", "nobody-here", "--reason", "a test", "--responsible", "the tests", check=False)
        self.assertEqual(done.returncode, NOT_FOUND, done)

    def test_grounds_that_nobody_can_read_are_none(self):
        for reason, responsible in (("\u2800", "the tests"), ("a test", "\u200b"), ("a\u202eb", "the tests"), ("...", "the tests")):
            done = self.product.command("track", "user2", "--reason", reason, "--responsible", responsible, check=False)
            self.assertEqual(done.returncode, 1, (reason, responsible, done))
        self.assertNotIn("user2", [row["name"] for row in self.product.policy()["users"] if row["tracked"]])

    def test_a_group_is_all_of_it(self):
        """Also who was never here: whoever has a group left alone means every member."""
        enter = self.lab.enter
        enter(["groupadd", "council"])
        self.addCleanup(enter, ["sh", "-c", "userdel never; userdel second; groupdel council"], check=False)
        enter(["useradd", "--no-create-home", "--groups", "council", "never"])
        enter(["useradd", "--no-create-home", "--gid", "council", "second"])
        users = self.product.listing("users", "--group", "council")
        self.assertEqual([(user["user"], user["tracked"], user["open"]) for user in users], [("never", False, False), ("second", False, False)])
        self.product.command("untrack", "--group", "council", "--yes")
        self.addCleanup(self.forget, "never", "second")
        entries = {row["entry"] for row in self.product.listing("donottrack", "list")}
        self.assertLessEqual({"never@*", "second@*"}, entries)

    def test_who_has_a_uid_next_is_told_nothing_of_who_had_it(self):
        enter = self.lab.enter
        uid, reason = 4321, "a reason that is nobody else's business"
        enter(["useradd", "--uid", str(uid), "--no-create-home", "gone"])
        self.addCleanup(enter, ["sh", "-c", "userdel gone; userdel next"], check=False)
        self.product.track("gone", reason=reason)
        self.addCleanup(self.forget, "gone")
        text = enter(["cat", f"/run/termspan/notice/{uid}/text"]).stdout
        self.assertIn(reason, text)
        enter(["userdel", "gone"])
        enter(["useradd", "--uid", str(uid), "--no-create-home", "next"])
        wait_until("the notice to go", lambda: enter(["test", "-e", f"/run/termspan/notice/{uid}"], check=False).returncode != 0, timeout=30)
        me = self.as_account("next", "me", "--format", "json")
        self.assertNotIn(reason, me)
        self.assertNotIn("gone", me)
        shown = self.as_account("next", "policy", "show", "--format", "json")
        self.assertEqual([(row["name"], row["tracked"]) for row in json.loads(shown)["users"]], [("next", False)])
        self.assertNotIn(reason, shown)

    def forget(self, *users):
        """Nothing is left of them, on the Do Not Track list neither."""
        self.product.command("erase", *users, "--forget", "--reason", "a test", "--yes")
        entries = [row["entry"] for row in self.product.listing("donottrack", "list")]
        self.product.command("donottrack", "remove", *entries, "--reason", "a test", "--responsible", "the tests")

    def as_account(self, name, *arguments):
        return self.lab.enter(["runuser", "--user", name, "--", "termspan", *arguments]).stdout


class ActivityTests(ProductTestCase):
    """What is recorded of programs that others run, and how it is shown."""

    users = 1
    tracked = ["user1"]

    SCRIPT = "/home/user1/tools/window.py"
    SECRET = "a-secret-argument"

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        script = cls.lab.root / cls.SCRIPT.lstrip("/")
        cls.lab.enter(["install", "-d", str(Path(cls.SCRIPT).parent)], user="user1")
        script.write_bytes((LAB_FOLDER / "programs/window.py").read_bytes())
        (cls.lab.root / "usr/share/applications/lab-window.desktop").write_text(
            "[Desktop Entry]\nType=Application\nName=Lab window\nName[de]=Laborfenster\nExec=python3 -c code\nStartupWMClass=Described\n")
        cls.addClassCleanup(cls.lab.enter, ["rm", "/usr/share/applications/lab-window.desktop"])
        cls.lab.login("user1")
        cls.product.wait_measured("user1")

    def activity(self, *arguments):
        return self.product.listing("activity", "--user", "user1", "--open", *arguments)

    def test_a_script_is_named_and_nothing_else_of_its_arguments(self):
        self.lab.run("user1", ["python3", "-u", self.SCRIPT, "Described", self.SECRET])
        self.lab.focus("user1", "Described")
        self.lab.run("user1", ["python3", "-c", f"import runpy, sys; sys.argv[1:] = ['Coded']; runpy.run_path('{self.SCRIPT}')", self.SECRET])
        self.lab.focus("user1", "Coded")
        self.lab.run("user1", ["xterm", "-class", "Other", "-e", "sh", "-c", f"sleep 600; {self.SECRET}"])
        self.lab.focus("user1", "Other")
        wait_until("all to be seen", lambda: {"Described", "Coded", "Other"} <= {row["class"] for row in self.activity()}, 20)
        rows = {row["class"]: row for row in self.activity()}
        self.assertEqual(rows["Described"]["executable"], "/home/~/tools/window.py")
        self.assertEqual(rows["Described"]["description"], "Lab window")
        self.assertRegex(rows["Coded"]["executable"], "^/usr/bin/python3")
        self.assertEqual((rows["Other"]["executable"], rows["Other"]["description"]), ("/usr/bin/xterm", "XTerm"))
        self.assertRegex(rows["Described"]["start"], r"\.\d{6}Z$")
        def held(text):
            return self.lab.enter(["grep", "-rlaF", text, "/var/lib/termspan", "/run/termspan"], check=False).stdout

        wait_until("it to be stored", lambda: held("Coded"), 20)
        self.assertTrue(held("tools/window.py"))
        self.assertEqual(held(self.SECRET), "")

    def test_what_is_asked_for_is_listed(self):
        self.assertEqual({row["class"] for row in self.activity("--executable", "window.py")}, {"Described"})
        self.assertEqual({row["class"] for row in self.activity("--description", "LAB")}, {"Described"})
        self.assertTrue(all(row["active"] > 0 for row in self.activity("--category", "active")))
        own = self.lab.enter(["env", "LANG=de_AT.UTF-8", "termspan", "activity", "--open", "--format", "csv"], user="user1").stdout
        self.assertIn(",Laborfenster,/home/~/tools/window.py,Described,", own)
        table = self.lab.enter(["termspan", "activity", "--open"], user="user1").stdout
        self.assertRegex(table, r"T\d\d:\d\d:\d\d\.\d{3}[+-].* Lab window +/home/~/tools/window.py")


class RightsTests(ProductTestCase):
    """Users see what is held about them, and of others what `who` shows."""

    users = 2
    tracked = ["user1", "user2"]
    DETAILS = ("idle", "last_input", "locked", "display", "client_address", "client_name", "screen_width", "color_depth", "scope", "leader")

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        for user in cls.user_names:
            cls.lab.login(user)
        cls.product.wait_measured(*cls.user_names)
        cls.product.wait_active(*cls.user_names)
        for user in cls.user_names:
            cls.lab.set_locked(user, True)

    def test_own_details_are_shown_and_others_are_not(self):
        for user, other in (("user1", "user2"), ("user2", "user1")):
            rows = {row["user"]: row for row in self.product.query_sessions(user=user)}
            self.assertEqual(rows[user]["client_address"], self.lab.client(user).state["address"])
            self.assertEqual(rows[user]["locked"], "locked")
            self.assertEqual({key: rows[other][key] for key in self.DETAILS}, dict.fromkeys(self.DETAILS), rows[other])
            self.assertEqual((rows[other]["state"], rows[other]["name"], rows[other]["logind_sessions"]), ("active", f"rdp-tcp#{rows[other]['id']}", []))
            shown, = self.product.listing("session", "show", other, user=user)
            self.assertEqual({key: shown[key] for key in self.DETAILS}, dict.fromkeys(self.DETAILS))

    def test_who_may_see_others_details_sees_them(self):
        self.addCleanup(self.product.grant("user2", "view-others"))
        row, = (row for row in self.product.query_sessions(user="user2") if row["user"] == "user1")
        shown, = self.product.listing("session", "show", "user1", user="user2")
        for one in (row, shown):
            self.assertEqual((one["client_address"], one["locked"], one["display"]), ("198.51.100.11", "locked", self.lab.display("user1")))
            self.assertIsNotNone(one["leader"])
        self.assertIn(row["client_address"], self.product.command("session", "show", "user1", user="user2").stdout)
        # It is the right to look alone.
        number = str(row["id"])
        for action in ("lock", "disconnect", "logoff"):
            self.assertEqual(self.product.command("session", action, number, user="user2", check=False).returncode, NOT_PERMITTED)
        self.assertEqual(self.product.command("untrack", "user1", user="user2", check=False).returncode, NOT_PERMITTED)

    def test_sensitive_properties_are_checked_for_each_caller(self):
        number = self.product.session("user1")["id"]
        for user, address in (("user1", "198.51.100.11"), ("user2", ""), ("root", "198.51.100.11")):
            path = f"/org/termspan1/session/_{number}"
            done = self.lab.enter(["busctl", "--json=short", "get-property", "org.termspan1", path, "org.termspan1.Session", "ClientAddress"],
                                  user=user, check=False)
            self.assertEqual(json.loads(done.stdout)["data"] if done.returncode == 0 else "", address, user)
            everything = self.lab.enter(["busctl", "--json=short", "call", "org.termspan1", path, "org.freedesktop.DBus.Properties", "GetAll", "s",
                                         "org.termspan1.Session"], user=user, check=False).stdout
            self.assertEqual("198.51.100.11" in everything, bool(address), user)

    def test_every_property_is_one_that_the_manual_has_and_shows_no_more(self):
        """Of every object that an ordinary user finds by introspection, on every interface."""
        everybodys, owners = documented_properties()
        self.assertEqual([len(everybodys[name]) for name in sorted(everybodys)], [1, 11, 3])

        def ask(name, path, interface, method, *arguments):
            done = self.lab.enter(["busctl", "--json=short", "call", name, path, interface, method, *arguments], user="user1")
            return json.loads(done.stdout)["data"][0]
        ours, standard, blanks = {}, set(), {}
        left = [("org.termspan1", "/"), ("org.termspan1.Reports", "/")]
        while left:
            name, path = left.pop()
            node = ElementTree.fromstring(ask(name, path, "org.freedesktop.DBus.Introspectable", "Introspect").split("\n", 2)[2])
            left += [(name, f"{path.rstrip('/')}/{child.get('name')}") for child in node.iterfind("node")]
            for interface in node.iterfind("interface"):
                kind = interface.get("name")
                types = {one.get("name"): one.get("type") for one in interface.iterfind("property")}
                self.assertEqual(types, everybodys.get(kind, {}) | owners.get(kind, {}), (path, kind))
                if kind.startswith("org.freedesktop.DBus."):
                    standard.add(kind)
                    continue
                values = {key: value["data"] for key, value in ask(name, path, "org.freedesktop.DBus.Properties", "GetAll", "s", kind).items()}
                self.assertEqual(set(values), set(types), (path, kind))
                ours.setdefault(kind, []).append(path)
                if kind in owners:
                    uid, _ = values["User"]
                    blanks[uid] = {key for key in owners[kind] if values[key] in ("", 0)}
        sessions = {row["id"] for row in self.product.query_sessions() if row["id"] < min(LISTENERS)}
        self.assertEqual(set(ours["org.termspan1.Session"]), {f"/org/termspan1/session/_{number}" for number in sessions})
        self.assertEqual({kind: len(paths) for kind, paths in ours.items()},
                         {"org.termspan1.Manager": 1, "org.termspan1.Session": len(sessions), "org.termspan1.User": 2, "org.termspan1.Reports": 1})
        self.assertLessEqual({"org.freedesktop.DBus.Properties", "org.freedesktop.DBus.ObjectManager"}, standard)
        # The own ones have values, but for what xrdp's sessions have none of; of all others each is blank.
        self.assertLessEqual(blanks.pop(2001), {"Seat", "TTY", "ClientName"})
        self.assertEqual(blanks, {uid: set(owners["org.termspan1.Session"]) for uid in (0, 2002)})

    def test_own_spans_are_read_and_others_are_refused(self):
        own = self.product.listing("spans", "--open", user="user1")
        self.assertEqual({span["user"] for span in own}, {"user1"})
        self.assertEqual({row["user"] for row in self.product.listing("summary", user="user1")}, {"user1"})
        self.assertEqual({span["user"] for span in self.product.listing("spans", "--open", "--user", "user1", user="user1")}, {"user1"})
        for arguments in (["spans", "--open", "--user", "user2"], ["spans", "--all"], ["summary", "--user", "user2"], ["summary", "--all"]):
            done = self.product.command(*arguments, user="user1", check=False)
            self.assertEqual((done.returncode, done.stdout), (NOT_PERMITTED, ""), arguments)
            self.assertIn("org.termspan1.view-others", done.stderr)
        # Another's session is no way round it.
        number = self.product.session("user2")["id"]
        done = self.product.command("spans", "--open", "--session", str(number), "--format", "json", user="user1", check=False)
        self.assertNotIn("user2", done.stdout)

    def test_the_policy_shows_the_own_row(self):
        self.assertEqual([row["name"] for row in self.product.listing("policy", "show", user="user1")["users"]], ["user1"])
        self.assertEqual([row["name"] for row in self.product.policy()["users"]], ["user1", "user2"])

    def test_users_are_listed_for_those_who_may_see_them(self):
        rows = wait_until("both sessions to be stored", lambda: (
            rows := {row["user"]: row for row in self.product.listing("users") if row["sessions"]}).keys() >= set(self.user_names) and rows, 20)
        for uid, user in ((2001, "user1"), (2002, "user2")):
            row = rows[user]
            self.assertEqual([row[key] for key in ("uid", "logins", "tracked", "decided_by", "open", "last_seen", "seat")],
                             [uid, [user], True, "decision", True, None, True])
            self.assertEqual(len(row["domains"]), 1)
            self.assertLess(moment(row["first_seen"]), time.time())
            self.assertEqual([row["user"] for row in self.product.listing("users", user=user)], [user])
            done = self.product.command("users", "--all", user=user, check=False)
            self.assertEqual((done.returncode, done.stdout), (NOT_PERMITTED, ""), done)
            self.assertIn("org.termspan1.view-others", done.stderr)

    def test_a_selection_is_shown_confirmed_and_decided_about(self):
        self.lab.enter(["sh", "-c", "groupadd leavers && gpasswd --add user2 leavers"])
        self.addCleanup(self.lab.enter, ["groupdel", "leavers"])
        self.addCleanup(self.product.wait_measured, "user2")
        self.addCleanup(self.product.track, "user2")

        def selected(*options):
            return [row["user"] for row in self.product.listing("users", "--group", "leavers", *options)]

        def tracked():
            return [row["user"] for row in self.product.listing("users", "--status", "tracked")]

        self.assertEqual((selected(), selected("--status", "tracked"), selected("--status", "untracked")), (["user2"], ["user2"], []))
        self.assertEqual(self.product.command("untrack", "--group", "leavers", "--dry-run").stdout, "user2 would be untracked.\n")
        unconfirmed = self.product.command("untrack", "--group", "leavers", check=False)
        self.assertEqual((unconfirmed.returncode, unconfirmed.stdout), (USAGE, ""), unconfirmed)
        self.assertEqual(tracked(), ["user1", "user2"])
        self.assertEqual(self.product.command("untrack", "--group", "leavers", "--yes").stdout, "user2 is now untracked.\n")
        self.assertEqual(tracked(), ["user1"])
        row, = self.product.listing("users", "user2")
        self.assertEqual((row["tracked"], row["decided_by"], row["decision"]), (False, "do-not-track", "untracked"))
        self.assertEqual(self.product.command("untrack", "--group", "no-such-group", "--yes", check=False).returncode, NOT_FOUND)

    def test_the_journal_is_not_for_users(self):
        done = self.product.command("log", user="user1", check=False)
        self.assertEqual((done.returncode, done.stdout), (NOT_PERMITTED, ""), done)

    def test_the_own_session_is_marked(self):
        lines = self.lab.run("user1", ["termspan", "query", "session"], wait=True).stdout.splitlines()
        self.assertEqual([line.split()[1] for line in lines if line.startswith(">")], ["user1"])

    def test_a_session_that_is_not_there_is_said(self):
        done = self.product.command("session", "show", "99", check=False)
        self.assertEqual(done.returncode, NOT_FOUND)


if __name__ == "__main__":
    unittest.main()
