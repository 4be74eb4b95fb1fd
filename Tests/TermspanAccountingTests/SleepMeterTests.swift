import TermspanAccounting
import TermspanCore
import Testing

@Suite struct SleepMeterTests {
    private func at(_ seconds: Double) -> BootInstant { BootInstant(nanoseconds: UInt64(seconds * 1e9)) }

    @Test func sleepEndsWhenTheMachineWakesAndIsToldOnce() {
        var meter = SleepMeter(asleep: .zero)
        #expect(meter.look(asleep: .zero, at: at(10)) == nil)
        #expect(meter.look(asleep: .seconds(3600), at: at(4000)) == TimeSpan(start: at(400), end: at(4000)))
        #expect(meter.look(asleep: .seconds(3600), at: at(4001)) == nil)
        #expect(meter.look(asleep: .seconds(3660), at: at(5000)) == TimeSpan(start: at(4940), end: at(5000)))
        #expect(meter.asleep == .seconds(3660))
    }

    /// Two clocks are never read at one moment, and a step of the wall clock wakes the meter too.
    @Test(arguments: [-50, -1, 0, 1, 50])
    func whatReadingTheClocksTakesIsNoSleep(milliseconds: Int) {
        var meter = SleepMeter(asleep: .seconds(7))
        #expect(meter.look(asleep: .seconds(7) + .milliseconds(milliseconds), at: at(100)) == nil)
        // Nor do such differences add up.
        #expect(meter.asleep == .seconds(7))
    }

    /// In a time namespace the clocks are apart by a constant, which may be less than nothing.
    @Test func onlyWhatIsAddedCounts() {
        var meter = SleepMeter(asleep: .seconds(-50))
        #expect(meter.look(asleep: .seconds(-50), at: at(1)) == nil)
        #expect(meter.look(asleep: .seconds(-40), at: at(20)) == TimeSpan(start: at(10), end: at(20)))
        // Never before the boot.
        #expect(meter.look(asleep: .seconds(100), at: at(30))?.start == .zero)
    }

    /// A session that slept, by the rules of the specification: its time adds up, and its last input ages by the night.
    @Test func aNightIsSuspendedAndNothingElse() throws {
        var meter = SleepMeter(asleep: .zero)
        let found = meter.look(asleep: .seconds(28_800), at: at(30_000))
        let night = try #require(found)
        let timeline = SessionTimeline(
            span: TimeSpan(start: at(0), end: at(31_000)), focus: [TimeSpan(start: at(0), end: at(31_000))],
            bursts: [TimeSpan(start: at(1000), end: at(1190))],
            changes: [StateChange(.suspended, at: night.start), StateChange(.woke, at: night.end)])
        let totals = timeline.evaluate().totals
        #expect(totals[.suspended] == 28_800_000_000_000)
        #expect(totals[.active] == 200_000_000_000)
        #expect(totals[.inactive] == 2_000_000_000_000)
        #expect(totals.total == 31_000_000_000_000)
    }
}
