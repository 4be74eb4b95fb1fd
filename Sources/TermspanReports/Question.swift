package import TermspanAccounting
package import TermspanCore
package import TermspanStore
import TermspanSystem

/// What is asked for, with everything that the answer needs: a value that a thread of its own can work on.
package struct Question: Sendable {
    package enum Kind: Sendable {
        /// One line a span.
        case spans
        /// One line a stretch of one category of time and one application: what a picture of a day is made of.
        case timeline
        /// One line a session.
        case sessions
        /// One line a user and boot: the user's own time over concurrent sessions.
        case userTimes
        /// One line a user, group, application and period, as the question has it: how time went there.
        case report
        /// One line a session: its whole life in figures.
        case history
        /// One line an event of a session's life.
        case events
        /// One line for each burst, unknown interval and decision about a user that the store holds: what the other kinds are made of.
        case records
        /// One line a user: since when it is known, what holds for it.
        case users
        /// One line an entry of the audit record.
        case audit
        /// One line an entry of the audit record that follows from those before, and one about the whole.
        case auditCheck
        /// One line a thing that is wrong with the store, a cause of unknown time, and one about the whole.
        case storeCheck
        /// One line a month and group: averages, rounded, of nobody alone.
        case aggregates
        /// One line a fact of the computer's, of users' and of sessions'.
        case facts
        /// Every span that has ended, as rows of a file.
        case export

        /// What it takes to see that of others by name.
        fileprivate var right: Right {
            switch self {
            case .audit, .auditCheck: .viewAudit
            case .users: .viewPolicy
            case .aggregates: .viewAggregates
            case .spans, .timeline, .sessions, .userTimes, .report, .history, .events, .records, .storeCheck, .facts, .export: .viewOthers
            }
        }

        /// As the audit record names it; nil for what tells nothing of anybody.
        fileprivate var audited: AuditedRead? {
            switch self {
            case .spans, .timeline: .spans
            case .sessions, .userTimes: .summary
            case .report: .report
            case .history, .events: .history
            case .records: .records
            case .users: .users
            case .audit: .audit
            case .aggregates: .aggregates
            case .storeCheck: .check
            case .facts: .facts
            case .export: .export
            case .auditCheck: nil
            }
        }
    }

    /// Whether it tells which applications were used.
    var isOfApplications: Bool { Self.areOfApplications.contains(kind) }
    static let areOfApplications: [Kind] = [.spans, .timeline, .export, .report]

    /// What it takes to see that of others.
    package var right: Right { details ? .viewDetails : pseudonyms == nil ? kind.right : .viewPseudonyms }

    /// As the audit record names it; nil for what tells nothing of anybody.
    package var audited: AuditedRead? { details ? .details : pseudonyms == nil ? kind.audited : .pseudonyms }

    package var kind: Kind
    /// The month of which everybody's is told, by pseudonyms; nil: by names.
    package var pseudonyms: CalendarMonth?
    package var filter: SessionFilter
    package var thresholds: Thresholds
    /// Whether what others do is told whole, be it business or not, or ignored.
    package var details = false
    /// Who asks, of whom all is told.
    package var own: UserIdentity?
    /// By what activities are classified; nil where the collector could not be asked.
    package var classification: ClassificationPolicy?
    /// Whether spans that have not ended are told too.
    package var includeOpen = true
    /// What the collector had that may not be durable; asked before the store is read. Nil when it could not be asked.
    package var live: [ActivityRow]?
    /// Which of them a question about users is about.
    package var users = UserFilter()
    /// Who was logged on, for a question about users; recorded or not.
    package var present: [UserIdentity] = []
    /// Which SIDs they have, as far as the collector knows.
    package var sids: [UserIdentity: Set<SecurityID>] = [:]
    /// Which activities, of those of the sessions.
    package var choice = ActivityChoice()
    /// What an export is; nil for other questions.
    package var export: ExportRequest?
    /// What a question about aggregates is asked of; nil for others.
    package var aggregation: Aggregation?
    /// A digest that is looked for in the audit record.
    package var known: String?
    /// When the facts held that are told; nil: at any time.
    package var moment: WallInstant?
    /// What a question for a report has its rows by.
    package var report = ReportShape()
    /// By which days begin, and since when all that is recorded is still kept, for a check of the store; nil: for ever.
    package var calendar = LocalCalendar.system
    package var keptSince: WallInstant?

    package init(kind: Kind, filter: SessionFilter, thresholds: Thresholds, live: [ActivityRow]? = nil) {
        self.kind = kind
        self.filter = filter
        self.thresholds = thresholds
        self.live = live
    }

    /// Whether the answer tells who is in Termspan's own groups, or which there are.
    var namesOwnGroups: Bool {
        let names = [users.group, choice.group].compactMap(\.self) + report.groups
        return names.contains { OwnGroup($0) != nil } || (kind == .report && report.by.isByGroup && report.groups.isEmpty)
    }
}

/// A session with what store and collector know of its frame; the streams are read in pages.
struct ReportedSession {
    var record: SessionRecord
    /// As the store has it; nil where it has not heard of the session yet.
    var stored: StoredSession?
    var live: LiveSession?
    var anchors: ClockAnchors
    /// Its end, or the moment up to which it is known while open.
    var end: BootInstant
    var isOpen: Bool
    /// Why it ended; nil while it is open, or where the collector alone knows that it is over and not why.
    var endReason: EndReason?

    var life: TimeSpan { TimeSpan(start: record.start, end: max(record.start, end)) }

    init(stored: StoredSession, live: LiveSession?) {
        record = stored.record
        self.stored = stored
        self.live = live
        anchors = live.map { ClockAnchors(stored.anchors.anchors + [$0.anchor]) } ?? stored.anchors
        if let end = stored.end {
            self.end = end.at
            endReason = end.reason
            isOpen = false
        } else if let live {
            end = live.end ?? live.now
            endReason = live.endReason
            isOpen = live.end == nil
        } else {
            // The collector does not know it any more, or does not answer: known as far as it is durable.
            end = stored.lastDurable
            isOpen = true
        }
    }

    init?(live: LiveSession) {
        guard let record = live.record else { return nil }
        self.record = record
        self.live = live
        anchors = ClockAnchors([live.anchor])
        end = live.end ?? live.now
        endReason = live.endReason
        isOpen = live.end == nil
    }

    /// The part of its life that lies between two wall times.
    func range(since: WallInstant?, until: WallInstant?) -> TimeSpan {
        var range = life
        if let moment = since.flatMap({ anchors.boot(at: $0) }) { range.start = min(max(range.start, moment), range.end) }
        if let moment = until.flatMap({ anchors.boot(at: $0) }) { range.end = max(min(range.end, moment), range.start) }
        return range
    }
}

/// What the collector told of one session.
struct LiveSession {
    var uuid: UUIDv7
    var user: UserIdentity
    var record: SessionRecord?
    var anchor: ClockAnchor
    var now: BootInstant
    var end: BootInstant?
    var endReason: EndReason?
    /// In order, one a start: the closed one where an open one began at the same moment.
    var focus: [(record: FocusRecord, isOpen: Bool)] = []
    var bursts: [TimeSpan] = []
    var unknowns: [UnknownInterval] = []
    var events: [SessionEvent] = []

    /// Sorts the rows by session.
    static func sessions(_ rows: [ActivityRow]) -> [UUIDv7: LiveSession] {
        var sessions: [UUIDv7: LiveSession] = [:]
        // Closed rows first, so that they win.
        for row in rows.filter({ $0.end != nil }) + rows.filter({ $0.end == nil }) {
            var session = sessions[row.session] ?? LiveSession(uuid: row.session, user: row.user, anchor: row.anchor, now: row.now)
            let span = TimeSpan(start: row.start, end: max(row.start, row.end ?? row.now))
            switch row.content {
            case .session(let id, let stack, let reason):
                session.record = SessionRecord(uuid: row.session, id: id, user: row.user, stack: stack, start: row.start)
                session.end = row.end
                session.endReason = reason
            case .focus(let application, let switches):
                guard !session.focus.contains(where: { $0.record.span.start == row.start }) else { break }
                let record = FocusRecord(session: row.session, span: span, application: application, switches: switches)
                session.focus.append((record, row.end == nil))
            case .burst:
                if !session.bursts.contains(where: { $0.start == row.start }) { session.bursts.append(span) }
            case .unknown(let reason, let lost):
                guard !session.unknowns.contains(where: { $0.start == row.start }) else { break }
                session.unknowns.append(UnknownInterval(start: span.start, end: span.end, reason: reason, lost: lost))
            case .state(let kind, let address, let name):
                session.events.append(
                    SessionEvent(
                        session: row.session, change: StateChange(kind, at: row.start), clientAddress: address, clientName: name))
            }
            sessions[row.session] = session
        }
        for uuid in sessions.keys {
            sessions[uuid]?.focus.sort { $0.record.span.start < $1.record.span.start }
            sessions[uuid]?.bursts.sort { $0.start < $1.start }
            sessions[uuid]?.unknowns.sort { $0.start < $1.start }
        }
        return sessions
    }
}
