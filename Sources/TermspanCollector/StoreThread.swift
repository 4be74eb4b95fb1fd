import Synchronization
package import TermspanCore
import TermspanRing
package import TermspanStore
import TermspanSystem

/// The one thread that writes the store: whatever a disk does, it keeps nobody else waiting.
///
/// It sleeps until something waits to become durable, commits at most the commit interval later, and then has the aggregator give the
/// slots back to the sources. What can't be written is kept and tried again; meanwhile lanes fill, and what they can't take is counted.
package final class StoreThread: Sendable {
    /// How the writing went, since the start.
    package struct Health: Sendable, Equatable {
        package var commits: UInt64 = 0
        package var intervals: UInt64 = 0
        package var bursts: UInt64 = 0
        package var lastCommit: WallInstant?
        /// Why nothing can be written now.
        package var problem: String?
        /// From the moment at which a batch was taken to its being durable.
        package var latency = LatencyHistogram()
    }

    private struct Shared {
        var batch = StoreBatch()
        /// What is being written.
        var inFlight = StoreBatch()
        var jobs: [@Sendable (StoreWriter) -> Void] = []
        var isStopped = false
        var health = Health()
        var interval: Duration
    }

    private let shared: Mutex<Shared>
    private let bell: EventCounter
    private let aggregator: Aggregator
    /// Used by the thread alone.
    private nonisolated(unsafe) let writer: StoreWriter
    /// Called on the thread when writing begins to fail, and with nil when it works again.
    private let onProblem: @Sendable (String?) -> Void

    private static let commitToken: UInt64 = 1
    private static let urgentToken: UInt64 = 2
    private static let bellToken: UInt64 = 3
    private static let longestDelay: Duration = .seconds(10)

    package init(
        writer: StoreWriter, aggregator: Aggregator, commitInterval: Duration, onProblem: @escaping @Sendable (String?) -> Void
    ) throws {
        shared = Mutex(Shared(interval: commitInterval))
        bell = try EventCounter()
        self.writer = writer
        self.aggregator = aggregator
        self.onProblem = onProblem
    }

    /// Adds records to the next batch.
    package func append(_ change: (inout StoreBatch) -> Void) {
        shared.withLock { change(&$0.batch) }
        _ = aggregator.commitBell.ring()
    }

    /// Runs `job` on the thread, between two commits.
    package func submit(_ job: @escaping @Sendable (StoreWriter) -> Void) {
        shared.withLock { $0.jobs.append(job) }
        _ = bell.ring()
    }

    package func setCommitInterval(_ interval: Duration) {
        shared.withLock { $0.interval = interval }
    }

    /// The records that `append` added and that are not durable yet.
    package var pending: StoreBatch {
        shared.withLock { shared in
            var pending = shared.inFlight
            pending.append(contentsOf: shared.batch)
            return pending
        }
    }

    package var health: Health { shared.withLock { $0.health } }

    /// Ends `run` after a last commit.
    package func stop() {
        shared.withLock { $0.isStopped = true }
        _ = bell.ring()
    }

    /// The body of the thread.
    package func run() {
        // Without it nothing would ever become durable: better not to start.
        guard var epoll = try? Epoll() else { preconditionFailure("epoll_create1 failed at start") }
        for (descriptor, token) in [
            (aggregator.commitBell.descriptor.raw, Self.commitToken), (aggregator.urgentBell.descriptor.raw, Self.urgentToken),
            (bell.descriptor.raw, Self.bellToken),
        ] {
            try? epoll.add(descriptor, .readable, token: token)
        }
        var due: BootInstant?
        var delay = Duration.zero
        while true {
            let (isStopped, interval) = shared.withLock { ($0.isStopped, $0.interval) }
            if isStopped { break }
            let timeout = due.map { max(.zero, BootInstant.now().duration(to: $0)) }
            _ = try? epoll.wait(timeout: timeout) { token, _ in
                switch token {
                case Self.commitToken:
                    _ = aggregator.commitBell.drain()
                    due = due ?? BootInstant.now().advanced(by: max(interval, delay))
                case Self.urgentToken:
                    _ = aggregator.urgentBell.drain()
                    if delay == .zero { due = .now() }
                default: _ = bell.drain()
                }
            }
            runJobs()
            guard let moment = due, moment <= .now() else { continue }
            due = nil
            if commit(isFinal: false) {
                delay = .zero
            } else {
                delay = min(max(.seconds(1), delay + delay), Self.longestDelay)
                due = BootInstant.now().advanced(by: delay)
            }
        }
        runJobs()
        _ = commit(isFinal: true)
    }

    private func runJobs() {
        let jobs = shared.withLock { shared in
            defer { shared.jobs = [] }
            return shared.jobs
        }
        for job in jobs { job(writer) }
    }

    /// Writes what waits; false if it could not be written and is kept.
    private func commit(isFinal: Bool) -> Bool {
        let began = BootInstant.now()
        // The pieces first: what they refer to is in the batch by then.
        let pieces = aggregator.takePieces(at: began, isFinal: isFinal)
        let taken = shared.withLock { shared in
            shared.inFlight = shared.batch
            shared.batch = StoreBatch()
            return shared.inFlight
        }
        var batch = taken
        for piece in pieces {
            for closed in piece.closed { batch.append(closed.output, of: piece.session) { _ in closed.executable } }
            batch.checkpoints.append(
                LaneCheckpoint(
                    session: piece.session, generation: piece.mark?.generation ?? 0, attemptedAt: piece.mark?.attemptedAt ?? 0,
                    delivered: piece.mark?.delivered ?? 0, state: piece.state))
        }
        guard !batch.isEmpty else {
            aggregator.committed(pieces, checkpoint: 0)
            return true
        }
        batch.seen = began
        do {
            _ = try writer.write(batch)
        } catch {
            aggregator.notCommitted()
            let isNew = shared.withLock { shared in
                var kept = taken
                kept.append(contentsOf: shared.batch)
                shared.batch = kept
                shared.inFlight = StoreBatch()
                defer { shared.health.problem = error.description }
                return shared.health.problem == nil
            }
            if isNew { onProblem(error.description) }
            return false
        }
        let (number, wasFailing) = shared.withLock { shared in
            shared.inFlight = StoreBatch()
            shared.health.commits += 1
            shared.health.intervals += UInt64(batch.focus.count)
            shared.health.bursts += UInt64(batch.bursts.count)
            shared.health.lastCommit = .now()
            shared.health.latency.record(began.duration(to: .now()))
            defer { shared.health.problem = nil }
            return (shared.health.commits, shared.health.problem != nil)
        }
        aggregator.committed(pieces, checkpoint: number)
        if wasFailing { onProblem(nil) }
        return true
    }
}

extension StoreBatch {
    fileprivate mutating func append(contentsOf other: StoreBatch) {
        seen = other.seen ?? seen
        asleep = other.asleep ?? asleep
        anchors += other.anchors
        sessions += other.sessions
        events += other.events
        focus += other.focus
        bursts += other.bursts
        unknowns += other.unknowns
        checkpoints += other.checkpoints
        ended += other.ended
    }
}
