import Synchronization
import TermspanSystem

/// Brings work from other threads to the loop's thread.
package final class MainInbox: Sendable {
    private let queue = Mutex<[@MainActor @Sendable () -> Void]>([])
    private let bell: EventCounter

    package init() throws {
        bell = try EventCounter()
    }

    /// Lets `body` run on the loop's thread. Any thread.
    package func post(_ body: @escaping @MainActor @Sendable () -> Void) {
        queue.withLock { $0.append(body) }
        _ = bell.ring()
    }

    /// Lets the loop run what is posted, as long as the source is held.
    @MainActor
    package func attach(to loop: EventLoop) throws -> EventSource {
        try loop.watch(bell.descriptor.raw) { [unowned self] _ in drain() }
    }

    /// Runs what is there, as at the end, when the loop does not turn any more.
    @MainActor
    package func drain() {
        _ = bell.drain()
        let bodies = queue.withLock { queue in
            defer { queue = [] }
            return queue
        }
        for body in bodies { body() }
    }
}
