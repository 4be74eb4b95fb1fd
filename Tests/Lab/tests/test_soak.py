"""A soak in small: honest sessions among attackers and faults, each interval compared with its script; see Tests/Lab/soak.

The comparison itself is tested first, since one that finds nothing would pass any soak.
"""

import os
import sys
import tempfile
import unittest
from dataclasses import replace
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from lablib.soak import Plan, Soak  # noqa: E402
from lablib.soak_check import (DEVICE, REASONS, SECOND, UNSEEN, Change, Fault, Honest, Input, Row, Script,  # noqa: E402
                               check, check_numbers, expected_bursts)
from lablib.soak_report import compare, describe  # noqa: E402
from lablib.testing import LabTestCase  # noqa: E402

GAP = 2 * SECOND
PROGRAM = "/usr/bin/work"


def seconds(value):
    return round(value * SECOND)


def unknown(start, end, reason):
    return Row(seconds(start), seconds(end), REASONS.index(reason))


def focus(start, end, name, executable=PROGRAM):
    return Row(seconds(start), seconds(end), name, executable if name else None)


def burst(start, end, origin=2):
    return Row(seconds(start), seconds(end), origin)


# A session from 100 s on whose probe was killed at 120 s and measured again at 121 s, and whose log off was at 140 s.
SCRIPT = Script(
    changes=[Change(seconds(at), name, True) for at, name in ((101, "Editor"), (110, "Mail"), (118, None), (120.5, "Editor"), (130, "Mail"))],
    inputs=[Input(seconds(at), True) for at in (100, 100.3, 103, 104, 105, 119, 120.4, 125, 132)])
SESSION = Honest(
    "user1/0", "user1", SCRIPT, seconds(140), seconds(140.2), seconds(100.2), seconds(140.4),
    [focus(100.5, 101, None), focus(101, 110, "Editor"), focus(110, 118, "Mail"), focus(118, 119, None),
     focus(121, 130, "Editor"), focus(130, 140.01, "Mail")],
    # That of 100 s was before anybody measured. That of 119 s was told to begin, and ended with what was known; that of 120.4 s is known by the next probe's first look.
    [burst(100.3, 100.3), burst(103, 105), burst(119, 119), burst(120.4, 120.4), burst(125, 125), burst(132, 132)],
    [unknown(100.2, 100.5, "starting"), unknown(119, 121, "source-ended"), unknown(140.01, 140.4, "source-gap")])
KILL = Fault("probe-kill", seconds(120), seconds(121.5), "user1")


class CheckTests(unittest.TestCase):
    """A session that is right has no finding, and each way to be wrong has."""

    def findings(self, session=SESSION, faults=(KILL,)):
        return [finding.text for finding in check(session, faults, gap=GAP, executable=PROGRAM).findings]

    def changed(self, stream, index, *rows):
        """The session with other rows in the place of one."""
        kept = list(getattr(SESSION, stream))
        kept[index:index + 1] = rows
        return replace(SESSION, **{stream: kept})

    def assertFinds(self, text, *arguments):
        found = self.findings(*arguments)
        self.assertTrue(any(text in each for each in found), found)

    def test_what_is_right_has_no_finding(self):
        result = check(SESSION, (KILL,), gap=GAP, executable=PROGRAM)
        self.assertEqual(result.findings, [])
        self.assertEqual(dict(result.compared), {"focus intervals": 6, "unseen windows": 0, "bursts": 6})
        self.assertEqual(len(result.deviations["focus: start, and end of the one before"]), 4)
        self.assertEqual(set(result.unknown), {("starting", "logon"), ("source-ended", "probe-kill"), ("source-gap", "logoff")})

    def test_a_change_that_is_late_is_found_from_100_ms_on(self):
        def late(by):
            return replace(SESSION, focus=[*SESSION.focus[:1], focus(101, 110 + by, "Editor"), focus(110 + by, 118, "Mail"), *SESSION.focus[3:]])
        self.assertEqual(self.findings(late(0.1)), [])
        self.assertFinds("the change to Mail is 101 ms late", late(0.101))
        self.assertFinds("the change to Mail is 101 ms early", late(-0.101))

    def test_a_change_that_is_missing_or_that_nobody_made(self):
        missing = replace(SESSION, focus=[*SESSION.focus[:1], focus(101, 118, "Editor"), *SESSION.focus[3:]])
        self.assertFinds("the change to Mail is missing", missing)
        self.assertFinds("that nobody made", self.changed("focus", 1, focus(101, 105, "Editor"), focus(105, 110, "Browser")))

    def test_a_window_may_be_unseen_from_one_change_to_a_later_one_while_a_fault_goes_on(self):
        upgrade = Fault("upgrade", seconds(109), seconds(111))
        script = replace(SCRIPT, changes=sorted([*SCRIPT.changes, Change(seconds(110.3), "Editor", True), Change(seconds(110.4), "Browser", True)]))
        def session(*rows):
            return replace(SESSION, script=script, focus=[*SESSION.focus[:2], *rows, *SESSION.focus[3:]])
        right = session(focus(110, 110.4, UNSEEN, None), focus(110.4, 118, "Browser"))
        self.assertEqual(self.findings(right, (KILL, upgrade)), [])
        self.assertFinds("which no fault explains", right)
        self.assertFinds("which no fault explains", right, (KILL, upgrade._replace(user="user1")))
        # It begins with no change; it ends with none; it takes the place of more than it says.
        self.assertFinds("ms late", session(focus(110.15, 110.4, UNSEEN, None), focus(110.4, 118, "Browser")), (KILL, upgrade))
        self.assertFinds("ms late", session(focus(110, 110.6, UNSEEN, None), focus(110.6, 118, "Browser")), (KILL, upgrade))
        self.assertFinds("the change to Browser is missing", session(focus(110, 110.3, UNSEEN, None), focus(110.3, 118, "Editor")), (KILL, upgrade))

    def test_a_change_right_before_the_first_look_does_not_stand_for_the_next(self):
        early = [Change(seconds(at), "Editor", True) for at in (100.46, 100.76)]
        session = replace(SESSION, script=replace(SCRIPT, changes=[*early, *SCRIPT.changes]),
                          focus=[focus(100.5, 100.76, "Editor"), focus(100.76, 101, "Editor"), *SESSION.focus[1:]])
        self.assertEqual(self.findings(session), [])

    def test_another_application_is_found(self):
        self.assertFinds("a change to Browser that nobody made", self.changed("focus", 2, focus(110, 118, "Browser")))
        self.assertFinds("is taken for /usr/bin/other", self.changed("focus", 2, focus(110, 118, "Mail", "/usr/bin/other")))
        self.assertFinds("known to begin with Mail", self.changed("focus", 4, focus(121, 130, "Mail")))

    def test_a_nanosecond_that_is_missing_or_counted_twice(self):
        start, end, name, program = SESSION.focus[2]
        self.assertFinds("nothing for 1 ns", self.changed("focus", 2, Row(start + 1, end, name, program)))
        self.assertFinds("two intervals for 1 ns", self.changed("focus", 2, Row(start, end + 1, name, program)))
        self.assertFinds("nothing for", self.changed("unknown", 2))

    def test_unknown_time_that_no_fault_explains(self):
        self.assertFinds("which no fault explains", SESSION, ())
        self.assertFinds("which no fault explains", SESSION, (KILL._replace(user="user2"),))
        self.assertFinds("which no fault explains", SESSION, (KILL._replace(kind="collector-kill"),))
        # Of another reason than a probe's death has; longer than its successor may take; from before what it had told.
        self.assertFinds("which no fault explains", self.changed("unknown", 1, unknown(119, 121, "events-lost")))
        self.assertFinds("which no fault explains", SESSION, (KILL._replace(begin=seconds(115), end=seconds(120.5)),))
        earlier = replace(SESSION, focus=[*SESSION.focus[:2], focus(110, 117, "Mail"), *SESSION.focus[4:]],
                          unknown=[SESSION.unknown[0], unknown(117, 121, "source-ended"), SESSION.unknown[2]])
        self.assertFinds("which no fault explains", earlier)

    def test_a_program_may_be_not_found_only_if_it_ended_unseen_or_nothing_could_be_opened(self):
        nameless = self.changed("focus", 5, focus(130, 140.01, "Mail", None))
        stall = Fault("collector-stall", seconds(129.5), seconds(141))
        self.assertFinds("the program of Mail was not found", nameless)
        self.assertFinds("the program of Mail was not found", nameless, (KILL, stall._replace(end=seconds(135))))
        self.assertEqual(self.findings(nameless, (KILL, stall)), [])
        self.assertEqual(self.findings(nameless, (KILL, stall._replace(begin=seconds(138)))), [])
        short = Fault("no-descriptors", seconds(129.5), seconds(135))
        self.assertEqual(self.findings(nameless, (KILL, short)), [])
        self.assertFinds("the program of Mail was not found", nameless, (KILL, short._replace(end=seconds(129.9))))

    def test_a_logon_that_is_held_up_may_take_longer(self):
        script = replace(SCRIPT, inputs=[Input(seconds(80), True), *SCRIPT.inputs])
        late = replace(SESSION, script=script, start=seconds(80), unknown=[unknown(80, 82, "starting"), unknown(82, 100.5, "source-ended"), *SESSION.unknown[1:]])
        self.assertFinds("which no fault explains", late)
        self.assertEqual(self.findings(late, (KILL, Fault("upgrade", seconds(81), seconds(95)))), [])
        self.assertFinds("which no fault explains", late, (KILL, Fault("upgrade", seconds(81), seconds(90))))

    def test_a_logon_begins_to_count_with_the_x_server(self):
        late = replace(SESSION, start=seconds(80), unknown=[unknown(80, 100.5, "starting"), *SESSION.unknown[1:]])
        self.assertEqual(self.findings(late), [])
        script = replace(SCRIPT, inputs=[Input(seconds(80), True), *SCRIPT.inputs])
        self.assertFinds("which no fault explains", replace(late, script=script))

    def test_bursts(self):
        self.assertFinds("a burst's begin is 150 ms late", self.changed("bursts", 1, burst(103.15, 105)))
        self.assertFinds("a burst's end is 1000 ms early", self.changed("bursts", 1, burst(103, 104)))
        self.assertFinds("is missing", self.changed("bursts", 1))
        self.assertFinds("that nobody made", self.changed("bursts", 1, SESSION.bursts[1], burst(114, 115)))
        self.assertFinds("taken for a device's", self.changed("bursts", 1, burst(103, 105, DEVICE)))

    def test_what_a_look_told_that_was_the_last_is_a_burst_up_to_it(self):
        """A collector that is killed right after a session's first look: nothing is known of the focus, and still there was input."""
        killed = Fault("collector-kill", seconds(100.4), seconds(101))
        session = replace(SESSION, focus=[focus(101, 110, "Editor"), *SESSION.focus[2:]], bursts=[burst(100.3, 100.5), burst(100.5, 100.5), *SESSION.bursts[1:]],
                          unknown=[unknown(100.2, 100.5, "starting"), unknown(100.5, 101, "source-ended"), *SESSION.unknown[1:]])
        self.assertEqual(self.findings(session, (KILL, killed)), [])
        self.assertFinds("late", replace(session, bursts=[burst(100.5, 100.7), *SESSION.bursts[1:]]), (KILL, killed))

    def test_input_that_was_the_last_thing_told_before_a_kill_is_in_both_periods(self):
        """The burst ends where knowledge does, a moment after it began, and the next probe's first look tells of the same input."""
        script = replace(SCRIPT, inputs=[*SCRIPT.inputs[:5], Input(seconds(119), True), *SCRIPT.inputs[7:]])
        session = replace(SESSION, script=script, focus=[*SESSION.focus[:3], focus(118, 119.001, None), *SESSION.focus[4:]],
                          bursts=[*SESSION.bursts[:2], burst(119.001, 119.001), burst(119.00104, 119.00104), *SESSION.bursts[4:]],
                          unknown=[SESSION.unknown[0], unknown(119.001, 121, "source-ended"), SESSION.unknown[2]])
        self.assertEqual(self.findings(session), [])
        self.assertFinds("is missing", replace(session, bursts=[*SESSION.bursts[:2], *SESSION.bursts[4:]]))

    def test_input_between_a_look_and_what_it_begins_may_be_on_either_side(self):
        """The look tells of input at 120.4 s, and that of 120.95 s comes before measuring begins at 121 s."""
        script = replace(SCRIPT, inputs=sorted([*SCRIPT.inputs, Input(seconds(120.95), True)]))
        for first in (120.4, 120.95):
            session = replace(SESSION, script=script, bursts=[*SESSION.bursts[:3], burst(first, 120.95), *SESSION.bursts[4:]])
            self.assertEqual(self.findings(session), [], first)
        self.assertFinds("early", replace(SESSION, script=script, bursts=[*SESSION.bursts[:3], burst(120, 120.95), *SESSION.bursts[4:]]))
        self.assertFinds("is missing", replace(SESSION, script=script, bursts=[*SESSION.bursts[:3], *SESSION.bursts[4:]]))

    def test_input_from_before_measuring_began_is_nobodys(self):
        self.assertFinds("nobody made", replace(SESSION, bursts=[burst(100, 100), *SESSION.bursts]))

    def test_a_burst_is_divided_where_a_gap_is_long_enough(self):
        def expected(*moments):
            inputs = [Input(seconds(at), True) for at in moments]
            return [(each.start / SECOND, each.end / SECOND) for each in expected_bursts(inputs, [(0, seconds(100))], GAP)]
        self.assertEqual(expected(10, 11.8, 13.6), [(10, 13.6)])
        self.assertEqual(expected(10, 12.2, 14.4), [(10, 10), (12.2, 12.2), (14.4, 14.4)])
        # Still open where knowledge ends: it holds till there.
        self.assertEqual(expected(10, 99, 99.5), [(10, 10), (99, 100)])

    def test_an_uncertain_moment_is_left_out_and_counted(self):
        script = Script([change._replace(sure=change.at != seconds(110)) for change in SCRIPT.changes], SCRIPT.inputs)
        result = check(replace(SESSION, script=script), (KILL,), gap=GAP, executable=PROGRAM)
        self.assertEqual((result.findings, dict(result.uncertain)), ([], {"focus": 1}))

    def test_a_script_that_stopped_is_found(self):
        self.assertFinds("the script stopped here", replace(SESSION, logoff=seconds(221), end=seconds(221.4)))

    def test_numbers_are_nobody_elses_and_rest(self):
        rest = 600 * SECOND
        right = [(1, "one", 0, seconds(10), False), (1, "other", seconds(610), seconds(620), False), (2, "third", 0, seconds(620), False)]
        self.assertEqual(check_numbers(right, rest), [])
        self.assertIn("is still that of one", check_numbers([(1, "one", 0, seconds(10), False), (1, "other", seconds(9), seconds(20), False)], rest)[0].text)

        def early(after, lost):
            return [each.text for each in check_numbers([(1, "one", 0, seconds(10), lost), (1, "other", seconds(10 + after), seconds(620), False)], rest)]
        self.assertEqual(early(598.5, False), ["number 1 rested for 598.5 s only after one"])
        self.assertEqual(early(599.5, False), [])
        # Nobody saw that one's end: the rest may have begun before.
        self.assertEqual(early(598.5, True), [])
        self.assertEqual(early(500, True), ["number 1 rested for 500.0 s only after one"])


class SoakTests(LabTestCase):
    """Two minutes with ten honest sessions, two attackers and most faults once."""

    PLAN = Plan(seconds=120, honest=10, attackers=2, seed=3, fault_pause=4, logoff_pause=20)

    @unittest.skipUnless(os.environ.get("TERMSPAN_DEB"), "TERMSPAN_DEB names no package")
    def test_every_interval_of_honest_sessions_is_right_among_attackers_and_faults(self):
        with tempfile.TemporaryDirectory(prefix="termspan-soak-") as folder:
            soak = Soak(self.lab, Path(os.environ["TERMSPAN_DEB"]), self.PLAN, Path(folder), lambda text: print(f"soak: {text}", file=sys.stderr, flush=True))
            self.addCleanup(soak.clean)
            soak.prepare()
            soak.work()
            soak.finish()
            outcome = compare(soak)
            report = "\n".join(describe(soak, outcome))
        print(f"figure: {report}", file=sys.stderr, flush=True)
        self.assertFalse(outcome.result.findings, report)
        self.assertGreater(outcome.result.compared["focus intervals"], 200)
        self.assertGreater(outcome.result.compared["bursts"], 80)
        self.assertGreaterEqual(len(soak.faults), 6)
        self.assertGreaterEqual(sum(attack.done for attack in soak.attacks), 3)


if __name__ == "__main__":
    unittest.main()
