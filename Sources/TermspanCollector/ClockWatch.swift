import TermspanBus
import TermspanCore
import TermspanSystem

/// Tells when the wall clock was stepped, without a timer that fires.
@MainActor
final class ClockWatch {
    private let steps: ClockSteps
    private var source: EventSource?

    init(loop: EventLoop, onStep: @escaping @MainActor (ClockAnchor) -> Void) throws {
        steps = try ClockSteps()
        source = try loop.watch(steps.descriptor.raw) { [unowned self] _ in
            steps.drain()
            onStep(ClockAnchor(boot: .now(), wall: .now()))
        }
    }
}
