import Synchronization
package import TermspanAccounting
package import TermspanConfiguration
package import TermspanCore
import TermspanEvents
package import TermspanRing
package import TermspanSystem

/// Folds what the sources write into the ring: the low-latency heart of the collector.
///
/// A thread of its own runs `run`: it sleeps until a doorbell rings, copies and checks the slots, and folds them into the session's open
/// intervals. Nothing is shared: everybody else has the thread do what is to be done, between two rounds of at most 64 slots a lane, and
/// waits for it.
package final class Aggregator: Sendable {
    /// What a caller must do because of what was read.
    package enum Notice: Sendable, Equatable {
        /// Something was lost: ask the source for its whole state.
        case snapshotWanted(session: UUIDv7)
        case lost(session: UUIDv7, count: UInt64)
        /// A session that counts as disconnected shows activity.
        case active(session: UUIDv7)
        case quarantined(session: UUIDv7, LaneViolation)
        /// The session's user is at a limit of what is recorded.
        case limited(session: UUIDv7, Limit)
        /// Everything that a detached lane held is durable: its descriptors need not be kept.
        case released(generation: UInt64)
    }

    /// A session as the aggregator has to know it.
    package struct Subject: Sendable, Equatable {
        package var uuid: UUIDv7
        package var id: SessionID
        package var uid: UInt32
        package var userName: String
        /// The units whose processes are the session's own.
        package var scopes: [String]
        /// No client is there, as far as is known: activity is worth a notice.
        package var isDisconnected: Bool

        package init(uuid: UUIDv7, id: SessionID, uid: UInt32, userName: String, scopes: [String], isDisconnected: Bool = false) {
            self.isDisconnected = isDisconnected
            self.uuid = uuid
            self.id = id
            self.uid = uid
            self.userName = userName
            self.scopes = scopes
        }
    }

    /// A closed interval with the executable that was found behind it.
    package struct Closed: Sendable, Equatable {
        package var output: FoldOutput
        package var executable: String?
    }

    /// What one session has to make durable, in one transaction.
    package struct Piece: Sendable {
        package var session: UUIDv7
        package var closed: [Closed]
        package var state: SessionFold.State
        /// Of the lane that is attached; nil without one.
        package var mark: LaneMark?
        /// How far the lane's events are in `state`.
        package var folded: UInt64
        package var isEnded: Bool
    }

    /// A session's activity as it is known now, the durable part apart.
    package struct Activity: Sendable {
        package var subject: Subject
        package var closed: [Closed]
        package var open: SessionFold.Open
        package var openExecutable: String?
    }

    /// Counters since the start.
    package struct Counters: Sendable, Equatable {
        package var lanes = 0
        package var quarantined = 0
        package var attempted: UInt64 = 0
        package var delivered: UInt64 = 0
        package var lost: UInt64 = 0
        package var wakeUps: UInt64 = 0
        /// Intervals and bursts that wait to become durable.
        package var pending = 0
        /// From the observation of an event to its fold.
        package var latency = LatencyHistogram()

        /// Adds a lane's account. Its attempts are what its source says, up to the largest number there is: the sums stay there.
        mutating func add(attempted: UInt64, delivered: UInt64, lost: UInt64) {
            func sum(_ one: UInt64, _ other: UInt64) -> UInt64 {
                let (sum, overflow) = one.addingReportingOverflow(other)
                return overflow ? .max : sum
            }
            self.attempted = sum(self.attempted, attempted)
            self.delivered = sum(self.delivered, delivered)
            self.lost = sum(self.lost, lost)
        }
    }

    struct Measure {
        var subject: Subject
        var fold: SessionFold
        var lane: LaneKey?
        /// Of the attached lane; 0 without one.
        var generation: UInt64 = 0
        var fresh: [FoldOutput] = []
        /// Given to the store, which has not said yet that they are durable.
        var inFlight: [Closed] = []
        var isInFlight = false
        /// Executables by the serial of their interval; a missing one is being looked for, `.some(nil)` was not found.
        var executables: [UInt64: String?] = [:]
        /// When the resolver was asked for each of those that are being looked for.
        var asked: [UInt64: BootInstant] = [:]
        var isDirty = false
        var isEnded = false
        /// Slots of events since the last checkpoint.
        var urged = 0
        /// Events after this moment are discarded: measuring ended then.
        var limit: BootInstant?
        /// Events before this moment are discarded: the user was at the limit of rows.
        var barredUntil: BootInstant?
        /// What has come up since the notices were taken.
        var news = News()
        /// Generations of detached lanes whose events are not durable yet, and those that go with the batch in flight.
        var retired: [UInt64] = []
        var releasing: [UInt64] = []
    }

    /// What there is to tell of a session, summed up: a source that makes much of it must not make the list long.
    struct News {
        var lost: UInt64 = 0
        var wantsSnapshot = false
        var isActive = false
        /// At the limit of focus changes, and at that of rows.
        var switchesRapidly = false
        var isBarred = false

        var isEmpty: Bool { lost == 0 && !wantsSnapshot && !isActive && !switchesRapidly && !isBarred }
    }

    /// What the rounds work on; apart from the poller, which calls back while it is being changed itself.
    struct Measures {
        var rows: [Measure?] = []
        var index: [UUIDv7: Int] = [:]
        /// The row of the lane at each of the poller's places.
        var owners: [Int] = []
        var counters = Counters()
        /// What each user may still store, by uid.
        var budgets: [UInt32: TokenBucket] = [:]
        var limits: Limits
        /// Those that are not a session's `news`.
        var notices: [Notice] = []
        var isDirty = false
        /// The time of the latest event in the current round.
        var latest = BootInstant.zero
    }

    /// Everything that the thread owns.
    struct Core: ~Copyable {
        var poller: LanePoller
        let measures: UnsafeMutablePointer<Measures>
        var isStopped = false
    }

    private struct Inbox {
        var commands: [Command] = []
        var isClosed = false
    }

    private struct Command: @unchecked Sendable {
        var body: (inout Core) -> Void
    }

    private let inbox = Mutex(Inbox())
    /// The thread's alone, but for `init`.
    private nonisolated(unsafe) let core: UnsafeMutablePointer<Core>
    private let waker: PollerWaker
    private let resolver: @Sendable (ProcessResolver.Request) -> Void
    /// Rung when there are notices to take.
    package let noticeBell: EventCounter
    /// Rung when something waits to become durable.
    package let commitBell: EventCounter
    /// Rung when it should not wait for its turn: a quarter of a lane was read since the last one.
    package let urgentBell: EventCounter

    /// How long a closed interval waits for the executable behind it before it is stored without.
    private static let resolveTime: Duration = .seconds(2)

    package init(limits: Limits = Limits(), resolver: @escaping @Sendable (ProcessResolver.Request) -> Void) throws {
        let poller = try LanePoller()
        waker = poller.waker
        noticeBell = try EventCounter()
        commitBell = try EventCounter()
        urgentBell = try EventCounter()
        self.resolver = resolver
        let measures = UnsafeMutablePointer<Measures>.allocate(capacity: 1)
        measures.initialize(to: Measures(limits: limits))
        core = .allocate(capacity: 1)
        core.initialize(to: Core(poller: poller, measures: measures))
    }

    deinit {
        core.pointee.measures.deinitialize(count: 1)
        core.pointee.measures.deallocate()
        core.deinitialize(count: 1)
        core.deallocate()
    }

    // MARK: The thread

    /// Reads lanes and does what it is told until `stop`.
    package func run() {
        let measures = core.pointee.measures
        while !core.pointee.isStopped {
            // A wait fails only for lack of kernel memory: then it is tried again.
            let wake = (try? core.pointee.poller.wait()) ?? []
            measures.pointee.counters.wakeUps += 1
            if wake.contains(.commands) {
                let commands = inbox.withLock { inbox in
                    defer { inbox.commands = [] }
                    return inbox.commands
                }
                for command in commands { command.body(&core.pointee) }
            }
            guard wake.contains(.lanes) else { continue }
            core.pointee.poller.round(
                violated: { key, violation in violated(key, violation, measures) },
                { key, record in fold(record, of: key, measures) })
            let latest = measures.pointee.latest
            if latest != .zero {
                measures.pointee.counters.latency.record(latest.duration(to: .now()))
                measures.pointee.latest = .zero
                becomeDirty(measures)
            }
        }
        let commands = inbox.withLock { inbox in
            inbox.isClosed = true
            return inbox.commands
        }
        for command in commands { command.body(&core.pointee) }
    }

    package func stop() {
        post { $0.isStopped = true }
    }

    /// Has the thread do something, and waits until it is done. After the thread's end it is done here.
    private func perform<Result>(_ body: @escaping (inout Core) -> Result) -> Result {
        var result: Result?
        let baton = Baton()
        let isTaken = post { core in
            result = body(&core)
            baton.pass()
        }
        if isTaken { baton.wait() } else { result = body(&core.pointee) }
        guard let result else { preconditionFailure("the command was done") }
        return result
    }

    @discardableResult
    private func post(_ body: @escaping (inout Core) -> Void) -> Bool {
        let command = Command(body: body)
        let isTaken = inbox.withLock { inbox in
            guard !inbox.isClosed else { return false }
            inbox.commands.append(command)
            return true
        }
        if isTaken { waker.wake() }
        return isTaken
    }

    /// Folds one event.
    private func fold(_ record: LaneRecord, of key: LaneKey, _ measures: UnsafeMutablePointer<Measures>) {
        let place = Int(truncatingIfNeeded: key.rawValue & 0xFFFF_FFFF)
        guard place < measures.pointee.owners.count else { return }
        let row = measures.pointee.owners[place]
        measures.pointee.latest = record.time
        // Each of these changes the row in its place; to read a part of it alone would copy all of it.
        guard let result = measures.pointee.rows[row]?.apply(record) else { return }
        if result.added > 0 { charge(result.added, result.uid, row, at: record.time, measures) }
        let isQuiet = measures.pointee.rows[row]?.resolve(with: resolver) ?? true
        if result.wasQuiet, !isQuiet { _ = noticeBell.ring() }
        if result.isUrgent { _ = urgentBell.ring() }
    }

    /// Takes what is to be stored out of what the user may store. Where nothing is left the rest is unknown until a hundredth of it is there again.
    private func charge(_ count: Int, _ uid: UInt32, _ row: Int, at moment: BootInstant, _ measures: UnsafeMutablePointer<Measures>) {
        let rate = measures.pointee.limits.rows
        let next = measures.pointee.budgets[uid, default: TokenBucket()].spend(count, of: rate, at: moment)
        guard next > moment else { return }
        measures.pointee.rows[row]?.bar(at: moment, until: next.advanced(by: .seconds(864)))
    }

    private func violated(_ key: LaneKey, _ violation: LaneViolation, _ measures: UnsafeMutablePointer<Measures>) {
        let place = Int(truncatingIfNeeded: key.rawValue & 0xFFFF_FFFF)
        guard place < measures.pointee.owners.count else { return }
        let row = measures.pointee.owners[place]
        guard let session = measures.pointee.rows[row]?.subject.uuid else { return }
        measures.pointee.rows[row]?.sourceEnded(at: .now(), reason: .laneQuarantined)
        measures.pointee.counters.quarantined += 1
        measures.pointee.notices.append(.quarantined(session: session, violation))
        _ = noticeBell.ring()
        becomeDirty(measures)
    }

    private func becomeDirty(_ measures: UnsafeMutablePointer<Measures>) {
        guard !measures.pointee.isDirty else { return }
        measures.pointee.isDirty = true
        _ = commitBell.ring()
    }

    // MARK: Sessions and lanes

    /// Begins to measure a session; unknown until a source tells its state. Without effect if it is measured already.
    ///
    /// - Parameters:
    ///   - reason: why it is unknown until then.
    ///   - saved: where an earlier life of the collector stood.
    package func begin(
        _ subject: Subject, at moment: BootInstant, burstGap: Duration, reason: UnknownReason = .starting,
        saved: SessionFold.State? = nil
    ) {
        let resolver = resolver
        perform { [self] core in
            let measures = core.measures
            guard measures.pointee.index[subject.uuid] == nil else { return }
            let rate = measures.pointee.limits.focusChanges
            let fold = saved.map { SessionFold($0, focusRate: rate) } ?? SessionFold(burstGap: burstGap, focusRate: rate)
            var measure = Measure(subject: subject, fold: fold)
            measure.fold.begin(at: moment, reason: reason)
            // Where an earlier life stood is in the store, with the lane's position, which is not known here before the lane is attached:
            // to store it again without would have the next life fold those events twice.
            measure.isDirty = measure.fold.state != saved
            // The process behind an interval that was open before is asked for again.
            measure.resolve(with: resolver)
            let row = measures.pointee.rows.firstIndex { $0 == nil } ?? measures.pointee.rows.endIndex
            if row == measures.pointee.rows.endIndex { measures.pointee.rows.append(nil) }
            measures.pointee.rows[row] = measure
            measures.pointee.index[subject.uuid] = row
            becomeDirty(measures)
        }
    }

    /// Measures a session anew, with all until its source's next snapshot unknown: what was stored of it is lost. Its lane is read on. Of one
    /// whose measuring has ended meanwhile nothing more is handed out.
    package func restart(_ session: UUIDv7, since moment: BootInstant, burstGap: Duration, reason: UnknownReason) {
        perform { [self] core in
            let measures = core.measures
            let fold = SessionFold(burstGap: burstGap, focusRate: measures.pointee.limits.focusChanges)
            for row in measures.pointee.rows.indices where measures.pointee.rows[row]?.subject.uuid == session {
                measures.pointee.rows[row]?.restart(fold, since: moment, reason: reason)
            }
            _ = noticeBell.ring()
            becomeDirty(measures)
        }
    }

    /// Something about the session is lost: it is unknown from its last event to the next snapshot, which the caller asks for in time.
    package func lose(_ session: UUIDv7, before moment: BootInstant) {
        perform { [self] core in
            guard let row = core.measures.pointee.index[session] else { return }
            core.measures.pointee.rows[row]?.lose(1, before: moment)
            becomeDirty(core.measures)
        }
    }

    /// Lets the facts of a session follow, such as further scopes.
    package func update(_ subject: Subject) {
        perform { core in
            guard let row = core.measures.pointee.index[subject.uuid] else { return }
            core.measures.pointee.rows[row]?.subject = subject
        }
    }

    /// Reads a session's lane from now on.
    ///
    /// - Parameter durable: the attempted-at that was saved last with this generation; 0 for a new lane.
    package func attach(_ memory: borrowing LaneMemory, to session: UUIDv7, durable: UInt64 = 0) throws(LaneError) {
        let result: Result<Void, LaneError> = withUnsafePointer(to: memory) { memory in
            perform { core in
                let measures = core.measures
                guard let row = measures.pointee.index[session], measures.pointee.rows[row]?.lane == nil else { return .success(()) }
                do throws(LaneError) {
                    let key = try core.poller.add(memory.pointee, durable: durable)
                    let place = Int(truncatingIfNeeded: key.rawValue & 0xFFFF_FFFF)
                    while measures.pointee.owners.count <= place { measures.pointee.owners.append(0) }
                    measures.pointee.owners[place] = row
                    measures.pointee.rows[row]?.lane = key
                    measures.pointee.rows[row]?.generation = memory.pointee.generation
                    return .success(())
                } catch {
                    return .failure(error)
                }
            }
        }
        try result.get()
    }

    /// Stops reading a session's lane, whose source has ended: what it committed is folded first, what follows is unknown.
    ///
    /// - Returns: the lane's account; nil without a lane or after a violation.
    @discardableResult
    package func detach(_ session: UUIDv7, at moment: BootInstant) -> LaneTotals? {
        perform { [self] core in
            guard let row = core.measures.pointee.index[session] else { return nil }
            let totals = drainAndRemove(row, in: &core)
            if let lost = totals?.lostAfterLast, lost > 0 {
                core.measures.pointee.rows[row]?.lose(lost, before: moment)
                _ = noticeBell.ring()
            }
            core.measures.pointee.rows[row]?.sourceEnded(at: moment, reason: .sourceEnded)
            becomeDirty(core.measures)
            return totals
        }
    }

    /// Measuring a session ends at `moment`: what its lane holds of later moments is discarded, what is open is closed.
    package func end(_ session: UUIDv7, at moment: BootInstant) {
        perform { [self] core in
            guard let row = core.measures.pointee.index[session] else { return }
            core.measures.pointee.rows[row]?.limit = moment
            _ = drainAndRemove(row, in: &core)
            core.measures.pointee.rows[row]?.end(at: moment)
            core.measures.pointee.index[session] = nil
            becomeDirty(core.measures)
        }
    }

    private func drainAndRemove(_ row: Int, in core: inout Core) -> LaneTotals? {
        let measures = core.measures
        guard let key = measures.pointee.rows[row]?.lane, var reader = core.poller.remove(key) else { return nil }
        do throws(LaneViolation) {
            // A lane holds 1,024 slots; a producer that still writes is not waited for.
            for _ in 0..<64 {
                if try reader.drain({ record in fold(record, of: key, measures) }) == 0 { break }
            }
        } catch {
            violated(key, error, measures)
        }
        let totals = try? reader.finish()
        if let totals {
            measures.pointee.counters.add(attempted: totals.attempted, delivered: totals.delivered, lost: totals.lost)
        }
        measures.pointee.latest = .zero
        measures.pointee.rows[row]?.retired.append(reader.generation)
        measures.pointee.rows[row]?.lane = nil
        measures.pointee.rows[row]?.generation = 0
        measures.pointee.rows[row]?.isDirty = true
        return totals
    }

    /// What the resolver found. Whose it is is not in the name of a program: names are stored in the clear, for all who use it.
    package func resolved(_ request: ProcessResolver.Request, executable: String?) {
        post { core in
            guard let row = core.measures.pointee.index[request.session] else { return }
            let login = core.measures.pointee.rows[row]?.subject.userName ?? ""
            core.measures.pointee.rows[row]?.executables[request.serial] = .some(executable.map { LoginName.left(login, outOf: $0) })
            core.measures.pointee.rows[row]?.asked[request.serial] = nil
        }
    }

    // MARK: Queries

    /// What is open or not durable yet, of the sessions that `isWanted` selects.
    package func activity(at now: BootInstant, where isWanted: @escaping (Subject) -> Bool) -> [Activity] {
        perform { core in
            core.measures.pointee.rows.compactMap { measure in
                guard let measure, isWanted(measure.subject) else { return nil }
                let open = measure.fold.open(at: now)
                return Activity(
                    subject: measure.subject, closed: measure.inFlight + measure.fresh.map { measure.closed($0) }, open: open,
                    openExecutable: open.focus.flatMap { measure.executables[$0.serial] ?? nil })
            }
        }
    }

    /// The sessions that are measured.
    package var measured: [UUIDv7: Subject] {
        perform { core in core.measures.pointee.index.compactMapValues { core.measures.pointee.rows[$0]?.subject } }
    }

    /// The last input of each measured session of which any is known.
    package func lastInputs(at now: BootInstant) -> [UUIDv7: BootInstant] {
        perform { core in
            core.measures.pointee.index.compactMapValues { row in
                core.measures.pointee.rows[row]?.fold.state.lastInput(at: now)
            }
        }
    }

    /// The last input of one session.
    package func lastInput(of session: UUIDv7, at now: BootInstant) -> BootInstant? {
        perform { core in
            core.measures.pointee.index[session].flatMap { core.measures.pointee.rows[$0]?.fold.state.lastInput(at: now) }
        }
    }

    package var counters: Counters {
        perform { core in
            var counters = core.measures.pointee.counters
            for case .some(let measure) in core.measures.pointee.rows {
                counters.pending += measure.fresh.count + measure.inFlight.count
            }
            counters.lanes = core.poller.count
            core.poller.forEachLane { _, reader in
                counters.add(attempted: reader.attempted, delivered: reader.delivered, lost: reader.lost)
            }
            return counters
        }
    }

    /// Takes the notices that have come up.
    package func takeNotices() -> [Notice] {
        _ = noticeBell.drain()
        return perform { core in
            var notices = core.measures.pointee.notices
            core.measures.pointee.notices = []
            for row in core.measures.pointee.rows.indices {
                guard let news = core.measures.pointee.rows[row]?.news, !news.isEmpty,
                    let session = core.measures.pointee.rows[row]?.subject.uuid
                else { continue }
                core.measures.pointee.rows[row]?.news = News()
                if news.lost > 0 { notices.append(.lost(session: session, count: news.lost)) }
                if news.switchesRapidly { notices.append(.limited(session: session, .focusChanges)) }
                if news.isBarred { notices.append(.limited(session: session, .rows)) }
                if news.isActive { notices.append(.active(session: session)) }
                if news.wantsSnapshot { notices.append(.snapshotWanted(session: session)) }
                if core.measures.pointee.rows[row]?.isOver == true { core.measures.pointee.rows[row] = nil }
            }
            return notices
        }
    }

    /// Lets other limits hold; that of focus changes for sessions that begin from now on.
    package func setLimits(_ limits: Limits) {
        post { $0.measures.pointee.limits = limits }
    }

    // MARK: Durability

    /// Takes what is to be made durable; `committed` or `notCommitted` must follow before the next call.
    ///
    /// - Parameter isFinal: don't wait for executables that are being looked for.
    package func takePieces(at now: BootInstant, isFinal: Bool = false) -> [Piece] {
        perform { [self] core in
            core.measures.pointee.isDirty = false
            var pieces: [Piece] = []
            for row in core.measures.pointee.rows.indices {
                guard var measure = core.measures.pointee.rows[row], measure.isDirty, !measure.isInFlight else { continue }
                if !isFinal, !measure.isEnded, measure.awaitsExecutable(at: now, atMost: Self.resolveTime) {
                    // Its turn comes with the next batch.
                    becomeDirty(core.measures)
                    continue
                }
                measure.inFlight = measure.fresh.map { measure.closed($0) }
                measure.fresh = []
                measure.isDirty = false
                measure.isInFlight = true
                measure.releasing = measure.retired
                measure.retired = []
                let open = measure.fold.openSerial
                measure.executables = measure.executables.filter { $0.key == open }
                measure.asked = measure.asked.filter { $0.key == open }
                let mark = measure.lane.flatMap { key in core.poller.withLane(key) { $0.mark } }
                let folded = measure.lane.flatMap { key in core.poller.withLane(key) { $0.folded } } ?? 0
                pieces.append(
                    Piece(
                        session: measure.subject.uuid, closed: measure.inFlight, state: measure.fold.state, mark: mark,
                        folded: folded, isEnded: measure.isEnded))
                core.measures.pointee.rows[row] = measure
            }
            // A session that is measured anew has two: the later checkpoint counts.
            return pieces.filter(\.isEnded) + pieces.filter { !$0.isEnded }
        }
    }

    /// The pieces are durable: their slots go back to the sources.
    package func committed(_ pieces: [Piece], checkpoint: UInt64) {
        perform { [self] core in
            let marks = Dictionary(pieces.map { ($0.session, $0.mark) }) { _, last in last }
            for row in core.measures.pointee.rows.indices {
                guard var measure = core.measures.pointee.rows[row], measure.isInFlight, let mark = marks[measure.subject.uuid] else {
                    continue
                }
                if let mark, let key = measure.lane, measure.generation == mark.generation {
                    core.poller.withLane(key) { $0.acknowledge(upTo: mark, checkpoint: checkpoint) }
                }
                for generation in measure.releasing { core.measures.pointee.notices.append(.released(generation: generation)) }
                if !measure.releasing.isEmpty { _ = noticeBell.ring() }
                measure.releasing = []
                measure.inFlight = []
                measure.isInFlight = false
                measure.urged = 0
                core.measures.pointee.rows[row] = measure.isOver ? nil : measure
            }
        }
    }

    /// The pieces could not be stored: they will be taken again.
    package func notCommitted() {
        perform { core in
            for row in core.measures.pointee.rows.indices {
                guard var measure = core.measures.pointee.rows[row], measure.isInFlight else { continue }
                for closed in measure.inFlight {
                    if case .focus(let interval) = closed.output { measure.executables[interval.serial] = .some(closed.executable) }
                }
                measure.fresh = measure.inFlight.map(\.output) + measure.fresh
                measure.inFlight = []
                measure.isInFlight = false
                measure.retired = measure.releasing + measure.retired
                measure.releasing = []
                measure.isDirty = true
                core.measures.pointee.rows[row] = measure
            }
        }
    }
}

extension Aggregator.Measure {
    /// Whether nothing of it is left to store or to tell.
    var isOver: Bool { isEnded && !isDirty && !isInFlight && news.isEmpty }

    /// From how many slots on a checkpoint should not wait for its turn: well before half of the lane's 1,024, since a flood goes on meanwhile.
    private static var urgentSlots: Int { 256 }

    /// Takes in one event of the session's lane.
    ///
    /// - Returns: whether there was no news before, how many intervals and bursts it closed, whose they are, and whether a checkpoint is urgent from
    ///   now on.
    mutating func apply(_ record: LaneRecord) -> (wasQuiet: Bool, added: Int, uid: UInt32, isUrgent: Bool) {
        let (wasQuiet, count, slots) = (news.isEmpty, fresh.count, urged)
        takeIn(record)
        return (wasQuiet, fresh.count - count, subject.uid, slots < Self.urgentSlots && urged >= Self.urgentSlots)
    }

    private mutating func takeIn(_ record: LaneRecord) {
        if let limit, record.time > limit { return }
        isDirty = true
        urged += LaneLayout.slots(for: record.payload.count)
        if subject.isDisconnected {
            // Once: what is found out sets it anew.
            subject.isDisconnected = false
            news.isActive = true
        }
        if let barredUntil {
            guard record.time >= barredUntil else { return }
            self.barredUntil = nil
            news.wantsSnapshot = true
        }
        if record.lostBefore > 0 {
            lose(record.lostBefore, before: record.time)
            news.wantsSnapshot = true
        }
        guard let event = EventCodec.decode(type: record.type, payload: record.payload) else {
            // Not of this protocol: as good as lost.
            lose(1, before: record.time)
            news.wantsSnapshot = true
            return
        }
        if case .sourceGap = event { news.wantsSnapshot = true }
        // Taken out meanwhile: a fold is far longer to copy.
        var closed: [FoldOutput] = []
        swap(&closed, &fresh)
        if fold.apply(event, at: record.time, emit: { closed.append($0) }) { news.switchesRapidly = true }
        swap(&closed, &fresh)
    }

    mutating func lose(_ count: UInt64, before moment: BootInstant) {
        var fold = fold
        fold.lost(count, before: moment) { fresh.append($0) }
        self.fold = fold
        isDirty = true
        let (sum, overflow) = news.lost.addingReportingOverflow(count)
        news.lost = overflow ? .max : sum
    }

    /// The user may store nothing more for now.
    mutating func bar(at moment: BootInstant, until end: BootInstant) {
        sourceEnded(at: moment, reason: .limited)
        barredUntil = end
        news.isBarred = true
    }

    mutating func sourceEnded(at moment: BootInstant, reason: UnknownReason) {
        // Why it goes on to be unknown, whatever becomes of the source meanwhile.
        let reason = barredUntil.map { $0 > moment } == true ? .limited : reason
        var fold = fold
        fold.sourceEnded(at: moment, reason: reason) { fresh.append($0) }
        self.fold = fold
        isDirty = true
    }

    mutating func end(at moment: BootInstant) {
        var fold = fold
        fold.end(at: moment) { fresh.append($0) }
        self.fold = fold
        isEnded = true
        isDirty = true
    }

    mutating func restart(_ new: SessionFold, since moment: BootInstant, reason: UnknownReason) {
        // Why it goes on to be unknown where nothing measures it.
        let former = fold.state
        let reason = reason == .erased && lane == nil && former.phase == .unknown ? former.reason : reason
        var fold = new
        // Numbers of intervals go on, since answers about executables may be on their way.
        fold.begin(at: moment, reason: reason, serial: self.fold.state.serial)
        if isEnded { fold.end(at: moment) { _ in } }
        self.fold = fold
        fresh = []
        executables = [:]
        asked = [:]
        isDirty = true
        if !isEnded { news.wantsSnapshot = true }
    }

    /// Asks for the process behind an interval that has just opened.
    ///
    /// - Returns: whether there is no news.
    @discardableResult
    mutating func resolve(with ask: (ProcessResolver.Request) -> Void) -> Bool {
        askForProcess(ask)
        return news.isEmpty
    }

    private mutating func askForProcess(_ ask: (ProcessResolver.Request) -> Void) {
        guard let (serial, process, since) = fold.takeOpened() else { return }
        guard process.origin != .none else {
            executables[serial] = .some(nil)
            return
        }
        asked[serial] = .now()
        ask(
            ProcessResolver.Request(
                session: subject.uuid, serial: serial, claim: process, observed: since, uid: subject.uid, scopes: subject.scopes))
    }

    func closed(_ output: FoldOutput) -> Aggregator.Closed {
        guard case .focus(let interval) = output else { return Aggregator.Closed(output: output, executable: nil) }
        return Aggregator.Closed(output: output, executable: executables[interval.serial] ?? nil)
    }

    /// Whether a closed interval's executable is still being looked for.
    ///
    /// - Parameter time: how long after the question an answer is waited for. The interval's own age does not count: one that waited in
    ///   its lane while the collector was away is old when it is asked about.
    func awaitsExecutable(at now: BootInstant, atMost time: Duration) -> Bool {
        fresh.contains { output in
            guard case .focus(let interval) = output, interval.switches == 0, executables[interval.serial] == nil,
                let moment = asked[interval.serial]
            else { return false }
            return moment.duration(to: now) < time
        }
    }
}

extension SessionFold.State {
    /// When there was input last, which goes on while a burst is open; nil before the first. What was before measuring began, as in a pause,
    /// is nobody's business.
    fileprivate func lastInput(at now: BootInstant) -> BootInstant? {
        burstOpen ? now : previousBurstEnd.flatMap { $0 >= begun ? $0 : nil }
    }
}
