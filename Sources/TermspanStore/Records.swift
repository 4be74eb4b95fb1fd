package import TermspanAccounting
package import TermspanCore
import TermspanEvents

/// A user as this machine knows it.
///
/// A login that comes back with another uid, or a uid with another login, is another user to the store: neither may see what is held about the other.
package struct UserIdentity: Hashable, Sendable {
    package var login: String
    package var uid: UInt32

    package init(login: String, uid: UInt32) {
        self.login = login
        self.uid = uid
    }
}

extension UserIdentity: LosslessStringConvertible {
    /// `1001 anna`.
    package var description: String { "\(uid) \(login)" }

    package init?(_ description: String) {
        guard let space = description.firstIndex(of: " "), let uid = UInt32(description[..<space]) else { return nil }
        self.init(login: String(description[description.index(after: space)...]), uid: uid)
    }
}

/// A session when it appears.
package struct SessionRecord: Equatable, Sendable {
    package var uuid: UUIDv7
    package var id: SessionID
    package var user: UserIdentity
    /// The stack's name: "xrdp", "x2go", "vnc", "local", ….
    package var stack: String
    /// The logon.
    package var start: BootInstant

    package init(uuid: UUIDv7, id: SessionID, user: UserIdentity, stack: String, start: BootInstant) {
        self.uuid = uuid
        self.id = id
        self.user = user
        self.stack = stack
        self.start = start
    }
}

/// Why a session is no longer open.
///
/// The values are stored: they are never given another meaning.
package enum EndReason: UInt8, CaseIterable, Sendable {
    case logoff = 1
    /// The machine was started anew while the session was open: it ended with what is durable.
    case reboot = 2
    /// It went while the collector was down.
    case lost = 3
    /// It turned out to be another session's; that one goes on.
    case merged = 4

    /// The name in machine-readable output.
    package var name: String { String(describing: self) }
}

/// A session when it is over.
package struct SessionEnd: Equatable, Sendable {
    package var session: UUIDv7
    package var at: BootInstant
    package var reason: EndReason

    package init(session: UUIDv7, at: BootInstant, reason: EndReason) {
        self.session = session
        self.at = at
        self.reason = reason
    }
}

/// A state change of a session, with what is known of the client where one connected.
package struct SessionEvent: Equatable, Sendable {
    package var session: UUIDv7
    package var change: StateChange
    /// "" where not known.
    package var clientAddress: String
    package var clientName: String

    package init(session: UUIDv7, change: StateChange, clientAddress: String = "", clientName: String = "") {
        self.session = session
        self.change = change
        self.clientAddress = clientAddress
        self.clientName = clientName
    }
}

/// What had the focus, as people ask for it. Interned: each is stored once, under a hash of its content.
///
/// To hand one on, to compare two and to look one up costs little however long the names are, since that is done for each interval.
package struct Application: Hashable, Sendable {
    private final class Names: Sendable {
        let executable: String?
        let windowClass: String?
        let digest: Int

        init(_ executable: String?, _ windowClass: String?) {
            self.executable = executable
            self.windowClass = windowClass
            var hasher = Hasher()
            hasher.combine(executable)
            hasher.combine(windowClass)
            digest = hasher.finalize()
        }
    }

    private let names: Names

    /// The path of the process's executable.
    package var executable: String? { names.executable }
    /// The window's class, fit to print.
    package var windowClass: String? { names.windowClass }

    package init(executable: String?, windowClass: String?) { names = Names(executable, windowClass) }

    package static func == (lhs: Application, rhs: Application) -> Bool {
        if lhs.names === rhs.names { return true }
        return lhs.names.digest == rhs.names.digest && lhs.executable == rhs.executable && lhs.windowClass == rhs.windowClass
    }

    package func hash(into hasher: inout Hasher) { hasher.combine(names.digest) }
}

/// A closed focus interval; at most one a session and start.
package struct FocusRecord: Equatable, Sendable {
    package var session: UUIDv7
    package var span: TimeSpan
    /// Nil when no window had the focus.
    package var application: Application?
    /// More than 0 for rapid switching.
    package var switches: UInt32
    /// What it counts as, where that was imported with it.
    package var told: ToldTimes?

    package init(session: UUIDv7, span: TimeSpan, application: Application?, switches: UInt32 = 0, told: ToldTimes? = nil) {
        self.session = session
        self.span = span
        self.application = application
        self.switches = switches
        self.told = told
    }

    /// - Parameter executable: what was found to be behind the interval's process, if anything was.
    package init(session: UUIDv7, interval: FocusInterval, executable: String?) {
        self.init(
            session: session, span: TimeSpan(start: interval.start, end: interval.end),
            application: Application(interval, executable: executable), switches: interval.switches)
    }
}

extension Application {
    /// What an interval shows: nil when no window had the focus.
    package init?(_ interval: FocusInterval, executable: String?) {
        guard interval.focus.window != 0 else { return nil }
        let windowClass = interval.focus.windowClass.text
        self.init(executable: executable, windowClass: windowClass.isEmpty ? nil : windowClass)
    }
}

/// A closed input burst; at most one a session and start.
package struct BurstRecord: Equatable, Sendable {
    package var session: UUIDv7
    package var burst: InputBurst

    package init(session: UUIDv7, burst: InputBurst) {
        self.session = session
        self.burst = burst
    }
}

/// A closed unknown interval; at most one a session and start.
package struct UnknownRecord: Equatable, Sendable {
    package var session: UUIDv7
    package var interval: UnknownInterval

    package init(session: UUIDv7, interval: UnknownInterval) {
        self.session = session
        self.interval = interval
    }
}

/// How far a session's lane was folded, and the fold as it was then. Written with the intervals it produced, so both hold or neither.
package struct LaneCheckpoint: Equatable, Sendable {
    package var session: UUIDv7
    package var generation: UInt64
    /// The last event folded, by the ring's count of attempts.
    package var attemptedAt: UInt64
    /// How many of the lane's events were folded.
    package var delivered: UInt64
    package var state: SessionFold.State

    package init(session: UUIDv7, generation: UInt64, attemptedAt: UInt64, delivered: UInt64, state: SessionFold.State) {
        self.session = session
        self.generation = generation
        self.attemptedAt = attemptedAt
        self.delivered = delivered
        self.state = state
    }
}

/// What becomes durable together. Every record may be given again: the first one written stays.
package struct StoreBatch: Sendable {
    /// A decision about a user, and what is known of the user's SIDs.
    package struct Untracking: Equatable, Sendable {
        package var row: Policy.Row
        package var sids: Set<SecurityID>

        package init(_ row: Policy.Row, sids: Set<SecurityID> = []) {
            self.row = row
            self.sids = sids
        }
    }

    /// The latest moment at which the collector knew that everything before was taken in; sessions that a crash leaves open end there.
    package var seen: BootInstant?
    /// How long the machine has slept in this boot, sleep that this batch's events tell of included.
    package var asleep: Duration?
    /// Steps of the wall clock in this boot.
    package var anchors: [ClockAnchor] = []
    package var sessions: [SessionRecord] = []
    package var events: [SessionEvent] = []
    package var focus: [FocusRecord] = []
    package var bursts: [BurstRecord] = []
    package var unknowns: [UnknownRecord] = []
    package var checkpoints: [LaneCheckpoint] = []
    package var ended: [SessionEnd] = []
    /// Users whose untracking could not be stored when it was decided.
    package var untracked: [Untracking] = []
    /// In the order in which they were found.
    package var facts: [FactRecord] = []

    package init() {}

    package var isEmpty: Bool {
        seen == nil && asleep == nil && anchors.isEmpty && sessions.isEmpty && events.isEmpty && focus.isEmpty && bursts.isEmpty
            && unknowns.isEmpty && checkpoints.isEmpty && ended.isEmpty && untracked.isEmpty && facts.isEmpty
    }

    /// Adds a fold's output; `executable` is asked for what is behind a focus interval.
    package mutating func append(_ output: FoldOutput, of session: UUIDv7, executable: (FocusInterval) -> String?) {
        switch output {
        case .focus(let interval):
            focus.append(FocusRecord(session: session, interval: interval, executable: executable(interval)))
        case .burst(let burst):
            bursts.append(BurstRecord(session: session, burst: burst))
        case .unknown(let interval):
            unknowns.append(UnknownRecord(session: session, interval: interval))
        }
    }
}

/// What a write did.
package struct WriteResult: Equatable, Sendable {
    /// Rows that are new.
    package var written = 0
    /// Rows that were there already.
    package var repeated = 0
    /// Records of sessions that the store has never heard of, or that end before they begin; they are left out.
    package var rejected = 0

    package init(written: Int = 0, repeated: Int = 0, rejected: Int = 0) {
        self.written = written
        self.repeated = repeated
        self.rejected = rejected
    }
}

/// A session that the store holds as open.
package struct OpenSession: Equatable, Sendable {
    package var record: SessionRecord
    package var boot: ID128
    /// The latest moment of which the store holds anything about it.
    package var lastDurable: BootInstant
    package var checkpoint: LaneCheckpoint?
    /// Whether a client was there, and whether it was locked, by the last change of each that the store holds.
    package var isConnected = true
    package var isLocked = false
}
