"""What was measured elsewhere comes in by who may, apart from what is measured, and goes with it. TERMSPAN_DEB names the package."""

import json
import secrets
import sys
import time
import unittest
from pathlib import Path

LAB_FOLDER = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(LAB_FOLDER))

from lablib.product import ProductTestCase  # noqa: E402

NOT_PERMITTED = 4
GROUNDS = ["--reason", "moved here", "--responsible", "the tests"]


def session_uuid():
    """One of version 7."""
    digits = f"{int(time.time() * 1000):012x}7{secrets.token_hex(2)[1:]}8{secrets.token_hex(8)[1:]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:32]))


def row(user, session, **changes):
    """A row as export jsonl writes it."""
    return {
        "user": user, "uid": 2001, "session": 5, "session_uuid": session, "computer": "old-server", "imported": False,
        "start": "2026-10-01T08:00:00.000000Z", "end": "2026-10-01T08:10:00.250001Z", "duration": 600.250000123, "description": "tool",
        "executable": "/opt/lab-import/tool", "class": "Tool", "active": 100.5, "passive": 200, "inactive": 250.000000001, "switches": 2,
        "category": None, "productivity": None, "business": None, **changes}


class ImportTests(ProductTestCase):
    users = 2
    tracked = ["user1"]

    def run_import(self, text, *arguments, format="jsonl", user=None):
        grounds = [] if "--dry-run" in arguments else GROUNDS
        return self.product.command("import", format, "-", *arguments, *grounds, user=user, check=False, input=text)

    def imported(self, *arguments):
        return self.product.command("export", "jsonl", "--imported", *arguments).stdout

    def test_1_rows_come_back_and_are_never_mixed(self):
        session = session_uuid()
        text = json.dumps(row("user1", session)) + "\n"
        measured = self.product.listing("activity", "--user", "user1")
        would = self.run_import(text, "--dry-run")
        self.assertEqual((would.returncode, "would be imported" in would.stdout), (0, True), would)
        self.assertEqual(self.imported("--session", session), "")
        # Nobody but who may, and nothing of who is not tracked, nor of a file that is wrong anywhere.
        for arguments, said, code in (
            ((text,), "manage-tracking", NOT_PERMITTED), ((text + json.dumps(row("user2", session_uuid())) + "\n",), "user2", 1),
            ((text + "{}\n",), "line 2", 1), ((text.replace("old-server", ""),), "line 1", 1),
        ):
            refused = self.run_import(*arguments, user="user2" if code == NOT_PERMITTED else None)
            self.assertEqual((refused.returncode, said in refused.stderr), (code, True), refused)
        self.assertEqual(self.imported("--session", session), "")
        done = self.run_import(text)
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("1 activities and 1 inputs in 1 new sessions of user1 were imported", done.stdout)
        back = [json.loads(line) for line in self.imported("--session", session).splitlines()]
        expected = {**row("user1", session), "imported": True}
        self.assertEqual([{key: value for key, value in one.items() if key != "description"} for one in back],
                         [{key: value for key, value in expected.items() if key != "description"}])
        again = self.run_import(text)
        self.assertEqual((again.returncode, "Nothing was imported: all 2 rows are held already." in again.stdout), (0, True), again)
        # What was measured is told alone, and what was imported alone.
        self.assertEqual([one["start"] for one in self.product.listing("activity", "--user", "user1")][: len(measured)], [one["start"] for one in measured])
        self.assertTrue(all(one["imported_from"] is None for one in self.product.listing("activity", "--user", "user1")))
        shown = self.product.listing("activity", "--user", "user1", "--session", session, "--imported")
        self.assertEqual([(one["imported_from"], one["active"]) for one in shown], [("old-server", 100.5)])
        database = f"/root/{session}.db"
        self.product.command("export", "sqlite", database, "--imported", "--session", session)
        told = self.lab.enter(["sqlite3", database, "SELECT name, uuid IS NULL, active FROM events JOIN computers ON computers.id = computer_id"]).stdout
        self.assertEqual(told.strip(), "old-server|1|100.5")
        # Who it is about sees it, and on whose word.
        document = json.loads(self.product.command("me", "export", user="user1").stdout)
        self.assertIn(session, [one["session_uuid"] for one in document["spans"]])
        entry = [one for one in self.product.listing("audit", user="user1") if one["action"] == "imported"][-1]
        self.assertRegex(entry["value"], "^jsonl: 1 sessions, 1 activities, 1 inputs, SHA-256 [0-9a-f]{64}$")
        self.product.command("verify")

    def test_2_buckets_of_activitywatch(self):
        def bucket(kind, *events):
            return {"id": kind, "type": kind, "hostname": "laptop", "events": [
                {"timestamp": f"2026-10-02T{start}+00:00", "duration": duration, "data": data} for start, duration, data in events]}
        document = {"buckets": {
            "a": bucket("currentwindow", ("09:05:00.500000", 60.5, {"app": "Lab-Aw", "title": "a secret"}), ("09:00:00", 300, {"app": "Lab-Aw", "title": ""})),
            "b": bucket("afkstatus", ("09:02:00", 200, {"status": "afk"}), ("09:00:00", 120, {"status": "not-afk"})),
            "c": bucket("web.tab.current", ("09:00:00", 5, {"url": "https://example.com"}))}}
        done = self.run_import(json.dumps(document), "--user", "user1", format="activitywatch")
        self.assertEqual(done.returncode, 0, done)
        self.assertIn("1 titles of windows were not taken", done.stderr)
        shown = [one for one in self.product.listing("activity", "--user", "user1", "--imported") if one["class"] == "Lab-Aw"]
        self.assertEqual([(one["start"], one["duration"]) for one in shown], [("2026-10-02T09:00:00.000000Z", 300), ("2026-10-02T09:05:00.500000Z", 60.5)])
        # Input for two minutes, and then 2 of active and 1 of passive time.
        self.assertEqual((shown[0]["active"], shown[0]["passive"]), (240, 60))
        again = self.run_import(json.dumps(document), "--user", "user1", format="activitywatch")
        self.assertIn("Nothing was imported", again.stdout)
        self.assertNotIn("a secret", self.imported("--user", "user1"))

    def test_3_an_erasure_takes_it_for_good(self):
        session = session_uuid()
        text = json.dumps(row("user1", session, start="2026-10-03T08:00:00.000000Z", end="2026-10-03T08:10:00.250001Z")) + "\n"
        self.assertEqual(self.run_import(text).returncode, 0)
        self.product.command("erase", "user1", "--yes", "--reason", "a test")
        self.assertEqual(self.imported("--user", "user1"), "")
        refused = self.run_import(text)
        self.assertEqual((refused.returncode, "erased" in refused.stderr), (1, True), refused)


if __name__ == "__main__":
    unittest.main()
