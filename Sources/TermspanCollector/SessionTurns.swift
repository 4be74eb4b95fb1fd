import TermspanConfiguration
import TermspanCore
import TermspanSessions

/// Which openings of sessions and changes of their state are told at once, and which wait for their turn because their users make them
/// without end: logons are limited for each user, changes for each session. Pure.
struct SessionTurns {
    /// What becomes of a change.
    enum Turn: Equatable {
        /// Nothing that is recorded changed since the last record.
        case nothing
        /// To be recorded now, after this, which was recorded last.
        case now(after: Session)
        /// Waits; what was recorded last is kept. `isFirst`: nothing of this session waited before.
        case later(isFirst: Bool)
    }

    /// What is left of a session that is over.
    enum Closing: Equatable {
        /// It never had its turn: nothing of it was recorded.
        case untold
        /// `after` was recorded last, where a change still waits.
        case told(after: Session?)
    }

    /// What each user has left of logons, by uid.
    private var logons: [UInt32: TokenBucket] = [:]
    /// Sessions that wait to be opened, with their users' uids.
    private var crowded: [UUIDv7: UInt32] = [:]
    /// What each session has left of changes.
    private var changes: [UUIDv7: TokenBucket] = [:]
    /// Sessions whose change waits, as they were recorded last.
    private var unrecorded: [UUIDv7: Session] = [:]

    /// Users remembered at a time; with more, those with nothing taken are forgotten.
    private static let remembered = 1024

    /// How many users it remembers.
    var remembering: Int { logons.count }

    /// Whether a session waits to be opened; all else about it waits with it.
    func isCrowded(_ session: UUIDv7) -> Bool { crowded[session] != nil }

    /// Whether a new session may be opened now; else it waits.
    mutating func opens(_ session: UUIDv7, of uid: UInt32, _ limits: Limits, at now: BootInstant) -> Bool {
        if logons.count >= Self.remembered { logons = logons.filter { !$0.value.isFull(at: now) } }
        let isOpen = logons[uid, default: TokenBucket()].take(limits.logons, at: now)
        crowded[session] = isOpen ? nil : uid
        return isOpen
    }

    /// A session that is open changed.
    mutating func change(_ new: Session, from old: Session, _ limits: Limits, at now: BootInstant) -> Turn {
        let before = unrecorded[new.uuid] ?? old
        guard before.recordedState != new.recordedState else {
            unrecorded[new.uuid] = nil
            return .nothing
        }
        guard changes[new.uuid, default: TokenBucket()].take(limits.stateChanges, at: now) else {
            return .later(isFirst: unrecorded.updateValue(before, forKey: new.uuid) == nil)
        }
        unrecorded[new.uuid] = nil
        return .now(after: before)
    }

    mutating func close(_ session: UUIDv7) -> Closing {
        changes[session] = nil
        guard crowded.removeValue(forKey: session) == nil else { return .untold }
        return .told(after: unrecorded.removeValue(forKey: session))
    }

    /// The sessions that waited to be opened and may be now, those that came first before others.
    mutating func takeOpenings(_ limits: Limits, at now: BootInstant) -> Set<UUIDv7> {
        var taken: Set<UUIDv7> = []
        for (session, uid) in crowded.sorted(by: { $0.key < $1.key }) where opens(session, of: uid, limits, at: now) {
            taken.insert(session)
        }
        return taken
    }

    /// The sessions whose change waits, as they were recorded last.
    var waitingChanges: [UUIDv7: Session] { unrecorded }

    /// When the first of what waits has its turn; nil where nothing waits.
    func next(_ limits: Limits, at now: BootInstant) -> BootInstant? {
        let openings = crowded.values.map { logons[$0, default: TokenBucket()].next(limits.logons, at: now) }
        let turns = unrecorded.keys.map { changes[$0, default: TokenBucket()].next(limits.stateChanges, at: now) }
        return (openings + turns).min()
    }
}

extension Session {
    /// What is recorded of changes.
    fileprivate var recordedState: RecordedState {
        RecordedState(
            state: desktop.state, lock: desktop.lock, isClientPresent: desktop.isClientPresent, client: desktop.client.address,
            stack: desktop.stack)
    }

    fileprivate struct RecordedState: Equatable {
        var state: ConnectState
        var lock: LockState
        var isClientPresent: Bool
        var client: String?
        var stack: Stack
    }
}
