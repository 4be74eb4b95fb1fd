import Glibc
import Synchronization
import TermspanCore
import TermspanSystem

/// Sends records on a thread of its own, in order: a journal that stands still keeps nobody waiting.
///
/// journald's socket takes some hundred records and then blocks whoever sends the next one. What waits is bounded: once it is full,
/// records are dropped and counted until the journal has taken all that waits, and then one record tells how many there were.
package final class JournalWriter: Sendable {
    /// The one of this process. Until `start` it sends at once, on the caller's thread.
    package static let shared = JournalWriter { $0.deliver() }

    private struct State {
        var queue: [JournalRecord] = []
        /// Of what is queued or being sent.
        var bytes = 0
        var lost: UInt64 = 0
        var isStarted = false
        var isStopped = false
    }

    private let state = Mutex(State())
    /// Counts what there is to do; a semaphore, since making one can't fail.
    private nonisolated(unsafe) let bell = UnsafeMutablePointer<sem_t>.allocate(capacity: 1)
    private let limit: Int
    /// False if the record should be sent again later.
    private let deliver: @Sendable (JournalRecord) -> Bool

    /// Between two attempts to reach a journal that refuses: it is being started, or an administrator has stopped it.
    private static let pauses: ClosedRange<Duration> = .milliseconds(100) ... .seconds(5)

    /// - Parameter limit: the most bytes that wait, which are some ten thousand records.
    package init(limit: Int = 4 << 20, deliver: @escaping @Sendable (JournalRecord) -> Bool) {
        self.limit = limit
        self.deliver = deliver
        sem_init(bell, 0, 0)
    }

    deinit {
        sem_destroy(bell)
        bell.deallocate()
    }

    /// Starts the thread, which is there until the process ends.
    package func start() throws {
        state.withLock { $0.isStarted = true }
        _ = try Thread(name: "journal") { [self] in run() }
    }

    /// Sends a record in its turn. Any thread.
    package func append(_ record: JournalRecord) {
        let isQueued = state.withLock { state in
            guard state.isStarted else { return false }
            guard state.lost == 0, state.bytes + record.size <= limit else {
                state.lost += 1
                return true
            }
            state.queue.append(record)
            state.bytes += record.size
            return true
        }
        if isQueued { sem_post(bell) } else { _ = deliver(record) }
    }

    /// Waits until everything is sent, though not longer than `duration`; says whether it is. For the end of the process.
    @discardableResult
    package func flush(within duration: Duration) -> Bool {
        let deadline = BootInstant.now().advanced(by: duration)
        while state.withLock({ $0.isStarted && ($0.bytes > 0 || $0.lost > 0) }) {
            guard BootInstant.now() < deadline else { return false }
            // Nobody else waits for it, so nothing rings when it is done.
            sleep(for: .milliseconds(2))
        }
        return true
    }

    /// Ends the thread once it has sent what waits, for tests.
    func stop() {
        state.withLock { $0.isStopped = true }
        sem_post(bell)
    }

    private func run() {
        while true {
            let records = take()
            if records.isEmpty {
                if state.withLock({ $0.isStopped }) { return }
                sem_wait(bell)
            }
            for record in records {
                var pause = Self.pauses.lowerBound
                while !deliver(record) {
                    sleep(for: pause)
                    pause = min(pause + pause, Self.pauses.upperBound)
                }
                state.withLock { $0.bytes -= record.size }
            }
        }
    }

    /// What waits; when that is nothing, what there is to say about losses.
    private func take() -> [JournalRecord] {
        state.withLock { state in
            if state.queue.isEmpty, state.lost > 0 {
                let record = JournalRecord(lost: state.lost)
                state.queue.append(record)
                state.bytes += record.size
                state.lost = 0
            }
            defer { state.queue = [] }
            return state.queue
        }
    }
}

extension JournalRecord {
    /// About records that no journal took.
    fileprivate init(lost count: UInt64) {
        self.init(.recordsLost, "The journal did not take \(count) records of the collector; what they told is lost.")
        add(.count, String(count))
    }

    /// How much memory it takes, roughly.
    fileprivate var size: Int {
        fields.reduce(0) { $0 + 32 + min($1.value.utf8.count, Self.valueLimit) }
    }
}
