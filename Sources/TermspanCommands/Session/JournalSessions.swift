package import TermspanCore
package import TermspanJournal

/// The sessions that the journal tells of, of tracked users and others alike: pure, folded from the collector's records.
///
/// What of a session the journal has forgotten is not made up: a beginning or an end without a record is none.
package struct JournalSessions: Sendable {
    struct Event: Hashable, Sendable {
        /// One of `JournalSessions.kinds`.
        var kind: JournalEvent
        /// When the journal received it.
        var time: WallInstant
        var clientAddress: String?
        var clientName: String?
        /// Why a session ended, where its record says so.
        var reason: String?
    }

    /// What the records of one session have in common, and what each tells.
    struct Session: Hashable, Sendable {
        var uuid: UUIDv7
        var id: UInt32?
        var user: String
        /// By the collector's table; the journal has no number.
        var userID: UInt32?
        var stack: String?
        /// In the order of the journal.
        var events: [Event] = []
        /// Whether the collector has it still; nil where the collector could not be asked.
        var isThere: Bool?
    }

    /// The records that tell of sessions' lives.
    package static let kinds: [JournalEvent] = [
        .sessionOpened, .sessionClosed, .sessionConnected, .sessionDisconnected, .sessionLocked, .sessionUnlocked,
    ]
    /// The most records that are held at once, with which the command takes some 120 MB; beyond, the oldest sessions are given up.
    package static let recordLimit = 200_000
    /// Bytes of a client's name, which is the client's own claim.
    private static let nameLimit = 256

    private var sessions: [UUIDv7: Session] = [:]
    private var records = 0
    private let limit: Int
    /// The youngest session that was given up; nil while all are held.
    private var givenUp: UUIDv7?

    package init(limit: Int = Self.recordLimit) { self.limit = limit }

    /// Whether there were more than are held.
    package var isCut: Bool { givenUp != nil }
    package var isEmpty: Bool { sessions.isEmpty }
    /// When the oldest of the sessions was first seen.
    package var earliest: WallInstant? { sessions.keys.min()?.created }

    /// Takes a record; the oldest comes first. What is no record of a user's session changes nothing.
    package mutating func add(_ entry: JournalEntry) {
        guard let kind = entry.event, Self.kinds.contains(kind), let uuid = entry.first(.sessionUUID).flatMap({ UUIDv7($0) }),
            let user = entry.first(.user), givenUp.map({ uuid > $0 }) ?? true
        else { return }
        let event = Event(
            kind: kind, time: entry.time, clientAddress: entry.first(.clientAddress),
            clientName: entry.first(.clientName).map { String(decoding: $0.utf8.prefix(Self.nameLimit), as: UTF8.self) },
            reason: kind == .sessionClosed ? entry.first(.reason) : nil)
        sessions[
            uuid,
            default: Session(
                uuid: uuid, id: entry.first(.session).flatMap { UInt32($0) }, user: user, stack: entry.first(.stack))
        ].events.append(event)
        // X2Go's is known a moment after its login over ssh; what is left of it at its end is ssh's again.
        if kind != .sessionClosed, let stack = entry.first(.stack) { sessions[uuid]?.stack = stack }
        records += 1
        if records > limit { giveUpOldest() }
    }

    /// Down to nine tenths of the limit, so that it is rarely done.
    private mutating func giveUpOldest() {
        for uuid in sessions.keys.sorted() where records > limit / 10 * 9 {
            remove(uuid)
            givenUp = uuid
        }
    }

    /// Leaves a session out, as one that is known from elsewhere.
    package mutating func remove(_ uuid: UUIDv7) {
        records -= sessions.removeValue(forKey: uuid)?.events.count ?? 0
    }

    /// Takes note of which sessions there are, by the rows of the collector's table that are asked for; nil if it could not be asked.
    ///
    /// The table must have been asked for after the records were read: a session whose beginning they tell is there then, or over.
    /// One that is there and of which the journal has forgotten all is added.
    package mutating func note(present rows: [SessionRow]?) {
        for uuid in sessions.keys { sessions[uuid]?.isThere = rows.map { _ in false } }
        for row in rows ?? [] {
            guard let uuid = row.uuid.flatMap({ UUIDv7($0) }), sessions[uuid] != nil || row.isLogon else { continue }
            sessions[uuid, default: Session(uuid: uuid, id: row.id, user: row.user, stack: row.stack)].isThere = true
            sessions[uuid]?.userID = row.userID
            sessions[uuid]?.stack = row.stack
        }
    }

    /// Leaves out the sessions of which nothing lies between the two moments, as far as it is known.
    package mutating func restrict(since: WallInstant?, until: WallInstant?) {
        for session in sessions.values where !session.overlaps(since: since, until: until) { remove(session.uuid) }
    }

    /// In the order of their beginnings.
    var ordered: [Session] { sessions.values.sorted { $0.uuid < $1.uuid } }
}

extension JournalSessions.Session {
    private var closed: JournalSessions.Event? { events.last { $0.kind == .sessionClosed } }

    /// Its record was written at the next boot, and the end was some time before.
    private var endedByReboot: Bool { closed?.reason == JournalSessions.reboot }

    /// Nil while it lasts, and where nothing tells when it ended.
    var end: WallInstant? { endedByReboot ? nil : closed?.time }

    /// Nil where nothing tells.
    var isOpen: Bool? { closed == nil ? isThere : false }

    func overlaps(since: WallInstant?, until: WallInstant?) -> Bool {
        if let until, uuid.created >= until { return false }
        guard let since, isOpen != true else { return true }
        return (end ?? told.last?.time ?? uuid.created) > since
    }

    /// What happened at moments that are known.
    private var told: [JournalSessions.Event] { events.filter { $0.kind != .sessionClosed || $0.reason != JournalSessions.reboot } }

    /// How often something happened; nil where the journal does not reach back to the beginning.
    private func count(_ kind: JournalEvent) -> Int? {
        events.contains { $0.kind == .sessionOpened } ? events.count { $0.kind == kind } : nil
    }

    /// From where it was used, each address once, the first first.
    private var addresses: [String] {
        var seen: Set<String> = []
        let connects = events.filter { $0.kind == .sessionConnected }.compactMap(\.clientAddress)
        return Array(connects.filter { seen.insert($0).inserted }.prefix(JournalSessions.maximumAddresses))
    }

    private var frame: [String: JSONValue] {
        [
            "user": .string(user), "uid": userID.map { .unsigned(UInt64($0)) } ?? .null,
            "session": id.map { .unsigned(UInt64($0)) } ?? .null, "session_uuid": .string(uuid.description), "stack": .optional(stack),
        ]
    }

    /// A row of `session history` with the keys of `HistoryTable`: null where only what is recorded of tracked users would tell.
    var row: JSONValue {
        func number(_ kind: JournalEvent) -> JSONValue { count(kind).map { .unsigned(UInt64($0)) } ?? .null }
        return JournalSessions.object(
            HistoryTable().keys,
            frame.merging([
                "logon": .string(TimeText.utc(uuid.created)), "end": .optional(end.map { TimeText.utc($0) }),
                "open": isOpen.map { .bool($0) } ?? .null, "end_reason": .optional(closed?.reason), "connects": number(.sessionConnected),
                "disconnects": number(.sessionDisconnected), "locks": number(.sessionLocked), "unlocks": number(.sessionUnlocked),
                "client_addresses": .array(addresses.map { .string($0) }),
            ]) { $1 })
    }

    /// Rows of `session history --events` with the keys of `EventTable`, for what happened between the two moments.
    func eventRows(since: WallInstant?, until: WallInstant?) -> [JSONValue] {
        told.filter { event in (since.map { event.time >= $0 } ?? true) && (until.map { event.time < $0 } ?? true) }.map { event in
            let isOfClient = event.kind == .sessionConnected || event.kind == .sessionDisconnected
            return JournalSessions.object(
                EventTable().keys,
                frame.merging([
                    "time": .string(TimeText.utc(event.time)), "event": .optional(JournalSessions.names[event.kind]),
                    "client_address": .optional(isOfClient ? event.clientAddress : nil),
                    "client_name": .optional(isOfClient ? event.clientName : nil), "reason": .optional(event.reason),
                ]) { $1 })
        }
    }
}

extension JournalSessions {
    /// TERMSPAN_REASON= of a session-closed of an earlier boot.
    fileprivate static let reboot = "reboot"
    /// Addresses told of one session, as of one that is recorded.
    fileprivate static let maximumAddresses = 100
    /// The events' names in the history.
    fileprivate static let names = Dictionary(uniqueKeysWithValues: JournalEvent.notifications.map { ($1, $0) })

    /// An object with all of the keys in their order, null where there is no value.
    fileprivate static func object(_ keys: [String], _ values: [String: JSONValue]) -> JSONValue {
        .object(keys.map { JSONValue.Member($0, values[$0] ?? .null) })
    }
}

/// Rows of the journal's sessions among those of the store, in the order of their logons as far as the store's are, which come as recording began.
package struct JournalRows {
    private var pending: ArraySlice<JournalSessions.Session>
    /// What is left of one session's rows.
    private var queue: ArraySlice<JSONValue> = []
    private let rows: (JournalSessions.Session) -> [JSONValue]

    /// One row a session, or with `events` one an event between the two moments.
    package init(_ sessions: JournalSessions, events: Bool = false, since: WallInstant? = nil, until: WallInstant? = nil) {
        pending = sessions.ordered[...]
        rows = events ? { $0.eventRows(since: since, until: until) } : { [$0.row] }
    }

    /// The next row that comes before a row of the store, which nil stands for the end of; nil where none does.
    package mutating func next(before row: JSONValue?) -> JSONValue? {
        let uuid = row?["session_uuid"]?.string.flatMap { UUIDv7($0) }
        while queue.isEmpty, let session = pending.first, row == nil || uuid.map({ session.uuid <= $0 }) == true {
            pending = pending.dropFirst()
            // One that has come into the store just now is told from there.
            if session.uuid != uuid { queue = rows(session)[...] }
        }
        return queue.popFirst()
    }
}
