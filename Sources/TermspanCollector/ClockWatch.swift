import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanSystem

/// Tells when the wall clock was stepped and when the machine has slept, without a timer that fires.
@MainActor
final class ClockWatch {
    private let steps: ClockSteps
    private var meter: SleepMeter
    private let onSleep: @MainActor (TimeSpan, _ asleep: Duration) -> Void
    private var source: EventSource?

    /// Calls `onSleep` at once if the machine has slept since the store was told last.
    ///
    /// - Parameters:
    ///   - asleep: how long it had slept in this boot by then.
    ///   - onStep: gets the clocks as they read at each step and when the machine wakes.
    ///   - onSleep: gets the time slept and how much it makes in this boot. When sleep began and ended is known by the waking; of sleep
    ///     that nobody saw only the length is known, and it is taken to have ended now.
    init(
        loop: EventLoop, asleep: Duration, onStep: @escaping @MainActor (ClockAnchor) -> Void,
        onSleep: @escaping @MainActor (TimeSpan, _ asleep: Duration) -> Void
    ) throws {
        steps = try ClockSteps()
        meter = SleepMeter(asleep: asleep)
        self.onSleep = onSleep
        source = try loop.watch(steps.descriptor.raw) { [unowned self] _ in
            steps.drain()
            onStep(.now())
            look()
        }
        look()
    }

    private func look() {
        if let sleep = meter.look(asleep: timeAsleep(), at: .now()) { onSleep(sleep, meter.asleep) }
    }
}
