import Synchronization
import TermspanAccounting
package import TermspanCore
import TermspanRing
package import TermspanStore
package import TermspanSystem

/// The one thread that writes the store: whatever a disk does, it keeps nobody else waiting.
///
/// It sleeps until something waits to become durable, commits at most the commit interval later, and then has the aggregator give the
/// slots back to the sources. What can't be written is kept and tried again; meanwhile lanes fill, and what they can't take is counted.
/// A store that turns out to be damaged is replaced, and nothing is written until the collector has told the new one of its sessions.
package final class StoreThread: Sendable {
    /// How the writing went, since the start.
    package struct Health: Sendable, Equatable {
        package var commits: UInt64 = 0
        package var intervals: UInt64 = 0
        package var bursts: UInt64 = 0
        package var lastCommit: WallInstant?
        /// Why nothing can be written now.
        package var problem: String?
        /// Since when the disk has been at work on the same thing.
        package var busySince: BootInstant?
        /// The bytes of the store after the last commit.
        package var size: UInt64 = 0
        /// Damaged stores that are set aside, as long as they are there.
        package var damaged: [String] = []
        /// From the moment at which a batch was taken to its being durable.
        package var latency = LatencyHistogram()

        /// Why nothing can be written now, or that the disk doesn't answer.
        package func problem(at now: BootInstant) -> String? {
            guard problem == nil, let busySince, busySince.duration(to: now) >= StoreThread.patience else { return problem }
            return "the disk has not answered for \(busySince.duration(to: now).components.seconds) s"
        }
    }

    /// What the collector must know of.
    package enum Notice: Sendable {
        /// Writing begins to fail, or, with nil, works again.
        case problem(String?)
        /// The store was damaged and there is a new one, with this policy and the sessions that could be recovered; `resume` must follow.
        case replaced(StoreReplacement, Policy)
        /// Untracking that could not be stored before is stored.
        case untracked([StoreBatch.Untracking])
        /// The audit record has grown.
        case audited(AuditHead)
    }

    private enum Job: Sendable {
        case anyTime(@Sendable (StoreWriter) -> Void)
        case onceDurable(@Sendable (StoreWriter, _ problem: String?) -> Void)
    }

    private struct Shared {
        var batch = StoreBatch()
        /// What is being written.
        var inFlight = StoreBatch()
        var jobs: [Job] = []
        var isStopped = false
        /// A new store has not been told of the sessions yet.
        var awaitsSessions = false
        var health = Health()
        var interval: Duration
    }

    private let shared: Mutex<Shared>
    private let bell: EventCounter
    private let mostEvents: Int
    /// Goes off when the disk has not answered for some time; the collector watches it and calls `isStalled`.
    package let alarm: Alarm
    private let aggregator: Aggregator
    /// Used by the thread alone.
    private nonisolated(unsafe) var writer: StoreWriter
    /// The disk took so long that the alarm may have told of it; used by the thread alone.
    private nonisolated(unsafe) var wasStalled = false
    /// Called on the thread.
    private let onNotice: @Sendable (Notice) -> Void

    private static let commitToken: UInt64 = 1
    private static let urgentToken: UInt64 = 2
    private static let bellToken: UInt64 = 3
    private static let longestDelay: Duration = .seconds(10)
    /// Between two tries to remove the bytes of what was removed.
    private static let longestPatience: Duration = .seconds(600)
    /// Between two parts of the file's pages whose gaps are overwritten.
    private static let scrubPause: Duration = .milliseconds(200)
    /// Between two commits that are urgent: a lane that fills faster than in this time is a hostile one's, and loses.
    private static let urgentInterval: Duration = .milliseconds(50)
    /// A disk that takes longer to answer is a problem to tell of.
    package static let patience: Duration = .seconds(5)

    /// - Parameter mostEvents: state changes that may wait.
    package init(
        writer: StoreWriter, aggregator: Aggregator, commitInterval: Duration, mostEvents: Int = 50_000,
        onNotice: @escaping @Sendable (Notice) -> Void
    ) throws {
        shared = Mutex(Shared(interval: commitInterval))
        bell = try EventCounter()
        alarm = try Alarm()
        self.mostEvents = mostEvents
        self.writer = writer
        self.aggregator = aggregator
        self.onNotice = onNotice
        shared.withLock { $0.health.size = writer.size }
        lookForDamaged()
    }

    /// Adds records to the next batch.
    package func append(_ change: (inout StoreBatch) -> Void) {
        shared.withLock { change(&$0.batch) }
        _ = aggregator.commitBell.ring()
    }

    /// Runs `job` on the thread, between two commits.
    package func submit(_ job: @escaping @Sendable (StoreWriter) -> Void) {
        shared.withLock { $0.jobs.append(.anyTime(job)) }
        _ = bell.ring()
    }

    /// Runs `job` on the thread once everything that waits is durable, or with the reason why it can't be.
    package func submitOnceDurable(_ job: @escaping @Sendable (StoreWriter, _ problem: String?) -> Void) {
        shared.withLock { $0.jobs.append(.onceDurable(job)) }
        _ = bell.ring()
    }

    /// Has state changes of these sessions that wait count as being of `moment`, with nothing of the client, where they are of before.
    package func forget(before moment: BootInstant, of sessions: Set<UUIDv7>) {
        guard !sessions.isEmpty else { return }
        shared.withLock { shared in
            for index in shared.batch.events.indices
            where sessions.contains(shared.batch.events[index].session) && shared.batch.events[index].change.at < moment {
                let event = shared.batch.events[index]
                shared.batch.events[index] = SessionEvent(session: event.session, change: StateChange(event.change.kind, at: moment))
            }
        }
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

    /// Whether further state changes may wait. What lanes hold is bounded by their size, and sessions by who may log on; users who connect
    /// and disconnect while nothing can be written for days are bounded here.
    package var hasRoom: Bool {
        shared.withLock { $0.batch.events.count + $0.inFlight.events.count < mostEvents }
    }

    /// Writes on after `replaced`, beginning with what `append` has added since.
    package func resume() {
        shared.withLock { $0.awaitsSessions = false }
        _ = aggregator.commitBell.ring()
    }

    /// Takes the alarm; nil if the disk answered meanwhile.
    package func stall() -> String? {
        guard alarm.drain() else { return nil }
        return health.problem(at: .now())
    }

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
        var scrubbing: BootInstant?
        var patience = Duration.seconds(1)
        var latest = BootInstant.zero
        while true {
            if wasStalled {
                wasStalled = false
                onNotice(.problem(health.problem))
            }
            tellOfAudit()
            let (isStopped, interval) = shared.withLock { ($0.isStopped, $0.interval) }
            if isStopped { break }
            let next = [due, scrubbing].compactMap { $0 }.min()
            let timeout = next.map { max(.zero, BootInstant.now().duration(to: $0)) }
            _ = try? epoll.wait(timeout: timeout) { token, _ in
                switch token {
                case Self.commitToken:
                    _ = aggregator.commitBell.drain()
                    due = due ?? BootInstant.now().advanced(by: max(interval, delay))
                case Self.urgentToken:
                    _ = aggregator.urgentBell.drain()
                    if delay == .zero { due = max(.now(), latest.advanced(by: Self.urgentInterval)) }
                default: _ = bell.drain()
                }
            }
            runJobs()
            if writer.damage != nil { due = due ?? .now() }
            // A reader keeps bytes of what was removed in the log, or there is no room to write the file anew.
            if !writer.holdsRemoved {
                (scrubbing, patience) = (nil, .seconds(1))
            } else if let moment = scrubbing, moment <= .now() {
                onDisk { writer.scrub(isPatient: false) }
                (scrubbing, patience) = (nil, writer.isScrubbing ? .seconds(1) : min(patience + patience, Self.longestPatience))
            }
            if writer.holdsRemoved {
                scrubbing = scrubbing ?? BootInstant.now().advanced(by: writer.isScrubbing ? Self.scrubPause : patience)
            }
            guard let moment = due, moment <= .now() else { continue }
            due = nil
            latest = moment
            if commit(isFinal: false) {
                delay = .zero
            } else {
                delay = min(max(.seconds(1), delay + delay), Self.longestDelay)
                due = BootInstant.now().advanced(by: delay)
            }
        }
        runJobs()
        _ = commit(isFinal: true)
        tellOfAudit()
    }

    private func tellOfAudit() {
        if let head = writer.takeAuditHead() { onNotice(.audited(head)) }
    }

    private func runJobs() {
        let jobs = shared.withLock { shared in
            defer { shared.jobs = [] }
            return shared.jobs
        }
        guard !jobs.isEmpty else { return }
        for job in jobs {
            switch job {
            case .anyTime(let body): onDisk { body(writer) }
            case .onceDurable(let body):
                let problem = durabilityProblem()
                onDisk { body(writer, problem) }
            }
        }
        lookAfterDamaged()
    }

    private func lookForDamaged() {
        let damaged = writer.setAside.filter { $0.hasSuffix(".db") }
        shared.withLock { $0.health.damaged = damaged }
    }

    /// Somebody may have removed those that are known; none comes but by a replacement.
    private func lookAfterDamaged() {
        if !health.damaged.isEmpty { onDisk { lookForDamaged() } }
    }

    /// Writes what waits, and says why that can't be.
    private func durabilityProblem() -> String? {
        if shared.withLock({ $0.awaitsSessions }) { return "a damaged store is being replaced" }
        guard commit(isFinal: false) else { return health.problem ?? "what waits could not be written" }
        return shared.withLock { $0.awaitsSessions } ? "a damaged store is being replaced" : nil
    }

    /// Does what may take the disk's time, watched over by the alarm.
    private func onDisk<Result, Failure: Error>(_ body: () throws(Failure) -> Result) throws(Failure) -> Result {
        let began = BootInstant.now()
        shared.withLock { $0.health.busySince = began }
        alarm.arm(after: Self.patience)
        defer {
            alarm.disarm()
            shared.withLock { $0.health.busySince = nil }
            if began.duration(to: .now()) >= Self.patience { wasStalled = true }
        }
        return try body()
    }

    /// Begins a new store in place of the damaged one; false if that can't be done now.
    private func replace(_ damage: StoreError) -> Bool {
        do {
            let opening = try StoreOpening.replace(writer, damage: damage, anchor: ClockAnchor(boot: .now(), wall: .now()))
            guard let replacement = opening.replacement else { return false }
            writer = opening.writer
            lookForDamaged()
            let wasFailing = shared.withLock { shared in
                // What waited may speak of sessions that the new store doesn't know; the collector tells it of those that go on.
                if replacement.recovery == nil {
                    let (anchors, untracked) = (
                        shared.inFlight.anchors + shared.batch.anchors, shared.inFlight.untracked + shared.batch.untracked
                    )
                    shared.inFlight = StoreBatch()
                    shared.batch = StoreBatch()
                    shared.batch.anchors = anchors
                    shared.batch.untracked = untracked
                }
                shared.awaitsSessions = true
                defer { shared.health.problem = nil }
                return shared.health.problem != nil
            }
            onNotice(.replaced(replacement, opening.policy))
            if wasFailing { onNotice(.problem(nil)) }
            return true
        } catch {
            fail(with: error)
            return false
        }
    }

    private func fail(with error: StoreError) {
        let isNew = shared.withLock { shared in
            defer { shared.health.problem = error.description }
            return shared.health.problem == nil
        }
        if isNew { onNotice(.problem(error.description)) }
    }

    /// Writes what waits; false if it could not be written and is kept.
    private func commit(isFinal: Bool) -> Bool {
        if shared.withLock({ $0.awaitsSessions }) { return true }
        if let damage = writer.damage { return onDisk { replace(damage) } }
        let began = BootInstant.now()
        // Before the batch: what pieces refer to is in it by then. But a session that ends only after they were taken has its last piece in
        // the next batch, and its end must not be durable before.
        let ends = shared.withLock { $0.batch.ended.count }
        let pieces = aggregator.takePieces(at: began, isFinal: isFinal)
        let taken = shared.withLock { shared in
            let later = shared.batch.ended[ends...]
            shared.inFlight = shared.batch
            shared.inFlight.ended.removeLast(later.count)
            shared.batch = StoreBatch()
            shared.batch.ended += later
            return shared.inFlight
        }
        var batch = taken
        for piece in pieces {
            for closed in piece.closed { batch.append(closed.output, of: piece.session) { _ in closed.executable } }
            batch.checkpoints.append(
                LaneCheckpoint(
                    session: piece.session, generation: piece.mark?.generation ?? 0, attemptedAt: piece.folded,
                    delivered: piece.mark?.delivered ?? 0, state: piece.state))
        }
        guard !batch.isEmpty else {
            aggregator.committed(pieces, checkpoint: 0)
            return true
        }
        batch.seen = began
        let size: UInt64
        do throws(StoreError) {
            size = try onDisk { () throws(StoreError) in
                try writer.write(batch)
                return writer.size
            }
        } catch {
            aggregator.notCommitted()
            shared.withLock { shared in
                var kept = taken
                kept.append(contentsOf: shared.batch)
                shared.batch = kept
                shared.inFlight = StoreBatch()
            }
            if let damage = writer.damage { return onDisk { replace(damage) } }
            fail(with: error)
            return false
        }
        let (number, wasFailing) = shared.withLock { shared in
            shared.inFlight = StoreBatch()
            shared.health.commits += 1
            shared.health.intervals += UInt64(batch.focus.count)
            shared.health.bursts += UInt64(batch.bursts.count)
            shared.health.lastCommit = .now()
            shared.health.size = size
            shared.health.latency.record(began.duration(to: .now()))
            defer { shared.health.problem = nil }
            return (shared.health.commits, shared.health.problem != nil)
        }
        aggregator.committed(pieces, checkpoint: number)
        if wasFailing { onNotice(.problem(nil)) }
        if !batch.untracked.isEmpty { onNotice(.untracked(batch.untracked)) }
        lookAfterDamaged()
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
        untracked += other.untracked
        facts += other.facts
    }
}
