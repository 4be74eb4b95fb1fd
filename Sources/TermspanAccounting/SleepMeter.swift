package import TermspanCore

/// Tells when the machine slept, from how far the boot clock is ahead of the clock that stands still in sleep. Pure.
///
/// It needs to look only when the machine wakes: what was slept since the last look ended then.
package struct SleepMeter: Equatable, Sendable {
    /// CLOCK_BOOTTIME less CLOCK_MONOTONIC as of the last sleep: what was slept in this boot, but for a constant in a time namespace.
    package private(set) var asleep: Duration

    /// The two clocks can't be read at one moment; no sleep is as short as this.
    static let tolerance: Duration = .milliseconds(50)

    package init(asleep: Duration) {
        self.asleep = asleep
    }

    /// The time slept since the last look, which is taken to have ended at `moment`; nil if there was none.
    package mutating func look(asleep: Duration, at moment: BootInstant) -> TimeSpan? {
        let slept = asleep - self.asleep
        guard slept > Self.tolerance else { return nil }
        self.asleep = asleep
        return TimeSpan(start: moment.advanced(by: .zero - slept), end: moment)
    }
}
