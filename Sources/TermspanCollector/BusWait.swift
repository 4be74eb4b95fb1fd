import TermspanBus
import TermspanCore

/// Waits for a bus on which logind answers, however long that takes: at the start, and when the bus was lost.
///
/// Asking is all that can be done: the bus's socket is systemd's and there before the bus is, and logind comes back later than the bus.
@MainActor
final class BusWait {
    private let loop: EventLoop
    private let onFailure: @MainActor (BusError) -> Void
    private let onAnswer: @MainActor (BusConnection) -> Void
    private var connection: BusConnection?
    private var timer: EventSource?
    private var delay = BusWait.firstDelay

    private static let firstDelay: Duration = .milliseconds(200)
    private static let longestDelay: Duration = .seconds(5)
    /// A bus that is being started holds the question until then.
    private static let patience: Duration = .seconds(20)

    /// - Parameters:
    ///   - onFailure: called for the first attempt that fails, and for that only.
    ///   - onAnswer: gets the connection, attached to the loop, once.
    init(
        loop: EventLoop, onFailure: @escaping @MainActor (BusError) -> Void = { _ in },
        onAnswer: @escaping @MainActor (BusConnection) -> Void
    ) throws {
        self.loop = loop
        self.onFailure = onFailure
        self.onAnswer = onAnswer
        timer = try loop.timer(accuracy: .milliseconds(50)) { [unowned self] in attempt() }
        attempt()
    }

    private func attempt() {
        // Start-up takes as long as the bus does.
        ServiceManager.extendTimeout(microseconds: 60_000_000)
        do throws(BusError) {
            let connection = try BusConnection.system()
            try connection.attach(to: loop)
            self.connection = connection
            connection.call(
                "org.freedesktop.login1", path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager",
                member: "ListSessions", timeout: Self.patience
            ) { [weak self] result in
                guard let self else { return }
                switch result {
                case .success:
                    self.connection = nil
                    onAnswer(connection)
                // Not from within a callback of the connection that goes.
                case .failure(let error): loop.deferred { [weak self] in self?.failed(error) }
                }
            }
        } catch {
            failed(error)
        }
    }

    private func failed(_ error: BusError) {
        connection = nil
        if delay == Self.firstDelay { onFailure(error) }
        timer?.arm(after: delay)
        delay = min(delay + delay, Self.longestDelay)
    }
}
