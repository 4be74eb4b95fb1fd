import Foundation
import GRDB
import GRDBSQLite
import Synchronization
package import TermspanAccounting
package import TermspanCore
import TermspanEvents

/// Which sessions to read; what is nil does not restrict.
package struct SessionFilter: Hashable, Sendable {
    /// Exactly these users, as they are called now: what a user may see as their own, or a viewer.
    package var identities: Set<UserIdentity>?
    /// Everybody who has or had this login.
    package var login: String?
    /// Everybody who has or had this uid.
    package var uid: UInt32?
    package var id: SessionID?
    package var session: UUIDv7?
    /// Sessions that ended after this, or are open; where the wall clock was stepped in their boot, earlier ones too.
    package var since: WallInstant?
    /// Sessions that began before this.
    package var until: WallInstant?
    /// Whether sessions were imported; those that were measured unless something else is asked for, so that the others are never taken for them.
    package var imported: Bool? = false

    package init() {}
}

/// A user as the store knows them: who has or had a recorded session, or about whom was decided.
package struct StoredUser: Equatable, Sendable {
    /// The cursor: rows come in growing order. Means nothing outside this file.
    package var row: Int64
    /// The login and uid, or the last ones.
    package var identity: UserIdentity
    /// Whether both are this user's still, and not another's by now.
    package var isCurrent: Bool
    /// All logins, the oldest first.
    package var logins: [String]
    /// What was decided about the user; nil if nothing that holds.
    package var decision: Policy.Row?
    /// How many sessions are held.
    package var sessions: Int
    /// When the first of them began.
    package var firstSeen: WallInstant?
    /// When the last one ended, of those that have.
    package var lastSeen: WallInstant?
    /// Whether one has no end yet.
    package var isOpen: Bool
}

/// A session as the store holds it.
package struct StoredSession: Equatable, Sendable {
    /// The cursor: rows come in growing order. Means nothing outside this file.
    package var row: Int64
    package var record: SessionRecord
    package var boot: ID128
    /// Nil while the session is open.
    package var end: SessionEnd?
    /// The latest moment of which the store holds anything about the session.
    package var lastDurable: BootInstant
    /// The anchors of the session's boot.
    package var anchors: ClockAnchors
    /// The computer that it was imported of; nil: it was measured here.
    package var origin: String?
}

/// What a row has to meet: SQL with the values that it compares with.
typealias Condition = (sql: String, values: StatementArguments)

extension Sequence where Element == Condition {
    /// All of them.
    var conjunction: Condition {
        (map(\.sql).joined(separator: " AND "), reduce(into: StatementArguments()) { $0 += $1.values })
    }
}

extension SessionFilter {
    /// Whether what it asks of users holds of one by what the user is called now.
    package func names(_ user: UserIdentity) -> Bool {
        (identities?.contains(user) ?? true) && (login ?? user.login) == user.login && (uid ?? user.uid) == user.uid
    }

    /// What it asks of the user whose row is in `column`.
    func conditions(onUser column: String) -> [Condition] {
        let identifier = "\(column) IN (SELECT user FROM identifier WHERE kind = ? AND value = ?"
        var conditions: [Condition] = []
        if let identities {
            let rows = identities.map { ["login": $0.login, "uid": String($0.uid)] }
            let text = (try? JSONEncoder().encode(rows)).map { String(decoding: $0, as: UTF8.self) } ?? "[]"
            conditions.append(
                (
                    """
                    \(column) IN (
                        WITH wanted AS MATERIALIZED (SELECT value ->> 'login' AS login, value ->> 'uid' AS uid FROM json_each(?)),
                            named AS MATERIALIZED (SELECT user, kind, value FROM identifier WHERE until IS NULL)
                        SELECT l.user FROM wanted JOIN named l ON l.kind = 'login' AND l.value = wanted.login
                        JOIN named i ON i.user = l.user AND i.kind = 'uid' AND i.value = wanted.uid)
                    """, [text]
                ))
        }
        if let login { conditions.append((identifier + ")", ["login", login])) }
        if let uid { conditions.append((identifier + ")", ["uid", String(uid)])) }
        return conditions
    }

    /// What it asks of a session, the table `session` as `s`.
    func conditionsOnSession() -> [Condition] {
        var conditions = conditions(onUser: "s.user")
        if let id { conditions.append(("s.number = ?", [id.rawValue])) }
        if let session { conditions.append(("s.uuid = ?", [DatabaseBytes(session.bytes)])) }
        if let since {
            // Where the clock was set back, a later end can have an earlier wall time.
            let stepped = "SELECT boot FROM clock_anchor GROUP BY boot HAVING count(*) > 1"
            conditions.append(("(s.end_wall IS NULL OR s.end_wall > ? OR s.boot IN (\(stepped)))", [since.nanoseconds]))
        }
        if let until { conditions.append(("s.start_wall < ?", [until.nanoseconds])) }
        if let imported { conditions.append(("s.origin IS \(imported ? "NOT " : "")NULL", [])) }
        return conditions
    }
}

/// Reads the store beside the writer, also where the reader may write nothing at all. Use it from one thread at a time.
///
/// Each call is one read transaction, but in `together`, and returns at most `limit` rows, so that none lasts long: a long one would keep the writer's log from
/// being folded back.
package final class StoreReader: Sendable {
    private let queue: DatabaseQueue
    private let keys: KeyFile
    /// Applications by their rows, which never change and are never another's.
    private let applications = Mutex<[Int64: Application]>([:])

    /// Opens the store.
    ///
    /// - Throws: `.missing` where there is none yet, `.newerSchema` where a newer version wrote it, `.keys` where its keys can't be used.
    package init(path: String, keys: KeyPlace) throws(StoreError) {
        let values = Result { () throws(StoreError) in SealedValues(keys: try KeyFile(keys, creates: false, writes: false)) }
        do {
            var configuration = GRDB.Configuration()
            configuration.label = "termspan-store-reader"
            configuration.readonly = true
            configuration.busyMode = .timeout(1)
            configuration.prepareDatabase { try? values.get().register($0) }
            queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.read { db in
                guard try Int32.fetchOne(db, sql: "PRAGMA application_id") == Schema.applicationID else {
                    throw StoreError(.notAStore, "open \(path)", "not a store of Termspan, or still empty")
                }
                let migrator = Schema.versions
                guard try !migrator.hasBeenSuperseded(db) else {
                    throw StoreError(.newerSchema, "open \(path)", "written by a newer version of Termspan")
                }
                // Without them it is neither migrated nor readable.
                _ = try values.get()
                guard try migrator.hasCompletedMigrations(db) else {
                    throw StoreError(.notAStore, "open \(path)", "not migrated yet")
                }
                try values.get().check(belongsTo: db)
            }
            self.keys = try values.get().keys
        } catch {
            var failure = StoreError(error, "open \(path)")
            // SQLite says the same of a file that is not there and of one that may not be read, which is no empty store.
            if failure.code == .missing, access(path, F_OK) == 0 || errno != ENOENT { failure.code = .storage }
            // Without keys the collector doesn't open it either, and it may lack the files that a reader needs beside it.
            if case .failure(let locked) = values, failure.code == .storage, Self.isReadable(path),
                !Self.isReadable(path + "-shm")
            {
                failure = locked
            }
            throw failure
        }
    }

    /// The names that stand for users and sessions in reports of a month.
    package func pseudonyms(of month: CalendarMonth) -> Pseudonyms { Pseudonyms(month, root: keys.root) }

    private static func isReadable(_ path: String) -> Bool {
        var status = stat()
        return stat(path, &status) == 0 && status.st_mode & S_IFMT == S_IFREG && access(path, R_OK) == 0
    }

    func read<T>(_ operation: String, _ body: (Database) throws -> T) throws(StoreError) -> T {
        do {
            return try queue.unsafeReentrantRead { db in
                // Of several that belong together.
                if db.isInsideTransaction { return try body(db) }
                var result: T?
                try db.inTransaction(.deferred) {
                    result = try body(db)
                    return .commit
                }
                // It was set, or something was thrown.
                return result!
            }
        } catch {
            throw StoreError(error, operation)
        }
    }

    /// Reads several times in one transaction: to begin and to end one takes as long as to read hundreds of rows.
    ///
    /// - Parameter body: few calls of this reader, and nothing that takes long.
    package func together<T>(_ body: () throws -> T) throws -> T { try read("read") { _ in try body() } }

    /// The policy as it is.
    package func policy() throws(StoreError) -> Policy {
        try read("read policy") { try Policy($0) }
    }

    /// The record of policy changes after a cursor, oldest first.
    package func policyChanges(after row: Int64 = 0, limit: Int = 500) throws(StoreError) -> [(row: Int64, change: PolicyChange)] {
        try read("read policy changes") { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT p.*, l.value AS login, i.value AS uid FROM policy_change p \(Self.lastIdentity(ofUser: "p.user"))
                    WHERE p.id > ? ORDER BY p.id LIMIT ?
                    """, arguments: [row, limit]
            ).map { row in
                (
                    row["id"],
                    PolicyChange(
                        at: WallInstant(nanoseconds: row["at"]), by: row["by"], user: Self.identity(row), key: row["key"],
                        value: row["value"], reason: row["reason"], responsible: row["responsible"])
                )
            }
        }
    }

    /// Joins what a user is called, or was last, where there is one and it was not erased: `login` from l, `uid` from i.
    static func lastIdentity(ofUser column: String) -> String {
        """
        LEFT JOIN identifier l ON l.id = (SELECT max(id) FROM user_identifier WHERE user = \(column) AND kind = 'login')
        LEFT JOIN identifier i ON i.id = (SELECT max(id) FROM user_identifier WHERE user = \(column) AND kind = 'uid')
        """
    }

    static func identity(_ row: Row) -> UserIdentity? {
        guard let login = row["login"] as String?, let uid = (row["uid"] as String?).flatMap({ UInt32($0) }) else { return nil }
        return UserIdentity(login: login, uid: uid)
    }

    /// The UUID that the store was given when it was made.
    package func auditStore() throws(StoreError) -> UUIDv7 {
        try read("read the audit record") { try StoreWriter.auditStore($0) }
    }

    /// The audit record's entries after a cursor, oldest first: of users whom the filter names those about them and about everybody, else all.
    ///
    /// - Parameter filter: its users and times count.
    package func audit(
        _ filter: SessionFilter = SessionFilter(), after id: Int64 = 0, limit: Int = 500
    ) throws(StoreError) -> [StoredAuditEntry] {
        try read("read the audit record") { db in
            var conditions: [Condition] = [("a.id > ?", [id])]
            let users = filter.conditions(onUser: "u.id")
            if !users.isEmpty {
                let named = users.conjunction
                // Entries of the Do Not Track list that name nobody who is known are nobody's, and reads likewise.
                let isEverybodys = "a.user IS NULL AND a.action NOT LIKE 'do-not-track-%' AND a.value <> '\(AuditEntry.notStored)'"
                conditions.append(("((\(named.sql)) OR (\(isEverybodys)))", named.values))
            }
            if let since = filter.since { conditions.append(("a.at >= ?", [since.nanoseconds])) }
            if let until = filter.until { conditions.append(("a.at < ?", [until.nanoseconds])) }
            let wanted = conditions.conjunction
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT a.*, l.value AS login, i.value AS uid FROM audit a LEFT JOIN user u ON u.uuid = a.user
                    \(Self.lastIdentity(ofUser: "u.id")) WHERE \(wanted.sql) ORDER BY a.id LIMIT ?
                    """, arguments: wanted.values + [limit]
            ).map { row in
                let bytes: DatabaseBytes? = row["user"]
                let entry = AuditEntry(
                    id: row["id"], at: WallInstant(nanoseconds: row["at"]), by: row["by"], action: row["action"],
                    user: bytes.flatMap { UUIDv7(bytes: $0) }, value: row["value"])
                // Bytes that are no user's can't have been recorded, and the line would not have them.
                let isWrong = bytes != nil && entry.user == nil
                return StoredAuditEntry(entry: entry, digest: isWrong ? "" : row["digest"], user: Self.identity(row))
            }
        }
    }

    /// The users after a cursor that pass what the filter says of users.
    ///
    /// - Parameter limit: small, since all sessions of each are looked at.
    package func users(
        _ filter: SessionFilter = SessionFilter(), after row: Int64 = 0, limit: Int = 50
    ) throws(StoreError) -> [StoredUser] {
        try read("read users") { db in
            let wanted = ([("u.id > ?", [row])] + filter.conditions(onUser: "u.id")).conjunction
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT u.id, l.value AS login, i.value AS uid, l.until IS NULL AND i.until IS NULL AS is_current,
                        t.tracked, t.level, t.since, t.by, t.reason,
                        (SELECT count(*) FROM session WHERE user = u.id AND origin IS NULL) AS sessions,
                        (SELECT min(start_wall) FROM session WHERE user = u.id AND origin IS NULL) AS first_seen,
                        (SELECT max(end_wall) FROM session WHERE user = u.id AND origin IS NULL) AS last_seen,
                        u.id IN (SELECT user FROM session WHERE end IS NULL) AS is_open
                    FROM user u
                    JOIN identifier l ON l.id = (SELECT max(id) FROM user_identifier WHERE user = u.id AND kind = 'login')
                    JOIN identifier i ON i.id = (SELECT max(id) FROM user_identifier WHERE user = u.id AND kind = 'uid')
                    LEFT JOIN tracking t ON t.user = u.id
                    WHERE \(wanted.sql) ORDER BY u.id LIMIT ?
                    """, arguments: wanted.values + [limit]
            ).map { row in
                let id: Int64 = row["id"]
                let identity = UserIdentity(login: row["login"], uid: UInt32(row["uid"] as String) ?? .max)
                let isCurrent = (row["is_current"] as Int64) != 0
                let isDecided = (row["tracked"] as Int64?) != nil
                return StoredUser(
                    row: id, identity: identity, isCurrent: isCurrent,
                    logins: try String.fetchAll(
                        db.cachedStatement(sql: "SELECT value FROM identifier WHERE user = ? AND kind = 'login' ORDER BY id"),
                        arguments: [id]),
                    decision: isCurrent && isDecided ? Policy.Row(row, of: identity) : nil, sessions: row["sessions"],
                    firstSeen: (row["first_seen"] as Int64?).map { WallInstant(nanoseconds: $0) },
                    lastSeen: (row["last_seen"] as Int64?).map { WallInstant(nanoseconds: $0) }, isOpen: (row["is_open"] as Int64) != 0)
            }
        }
    }

    /// The sessions after a cursor that pass the filter.
    package func sessions(
        _ filter: SessionFilter, after row: Int64 = 0, limit: Int = 200
    ) throws(StoreError) -> [StoredSession] {
        try read("read sessions") { db in
            let wanted = ([("s.id > ?", [row])] + filter.conditionsOnSession()).conjunction
            let rows = try Row.fetchAll(
                db, sql: SessionRow.select + " WHERE \(wanted.sql) ORDER BY s.id LIMIT ?", arguments: wanted.values + [limit])
            var anchors: [Int64: ClockAnchors] = [:]
            return try rows.compactMap { row in
                guard let session = SessionRow(row) else { return nil }
                let clock = try anchors[session.boot] ?? StoreWriter.anchors(db, boot: session.boot)
                anchors[session.boot] = clock
                return StoredSession(
                    row: session.row, record: session.open.record, boot: session.open.boot, end: session.end,
                    lastDurable: session.open.lastDurable, anchors: clock, origin: session.origin)
            }
        }
    }

    /// A session's focus intervals that lie in `range` or reach into it, in order.
    ///
    /// - Parameters:
    ///   - after: only those that start later: the start of the last one of the page before.
    ///   - revisions: only those that these transactions wrote; nil: all.
    package func focus(
        of session: StoredSession, in range: TimeSpan, after: BootInstant? = nil, revisions: ClosedRange<Int64>? = nil, limit: Int = 2000
    ) throws(StoreError) -> FocusPage {
        let isImported = session.origin != nil
        let (table, columns) =
            isImported
            ? ("focus_interval LEFT JOIN told_times USING (session, start)", "length, application, switches, active, passive, inactive")
            : ("focus_interval", "length, application, switches")
        var page = FocusPage(of: session.record.uuid, capacity: min(limit, 1 << 16))
        var known = applications.withLock { $0 }
        let count = known.count
        try stream(table, columns, session, range, after, limit, revisions) { db, row in
            var told: ToldTimes?
            if isImported, let active = row.number(4), let passive = row.number(5), let inactive = row.number(6) {
                told = ToldTimes(active: UInt64(clamping: active), passive: UInt64(clamping: passive), inactive: UInt64(clamping: inactive))
            }
            try page.append(row.span, application: row.value(2), switches: UInt32(clamping: row.value(3)), told: told) { id in
                let application = try known[id] ?? self.application(id, db)
                known[id] = application
                return application
            }
        }
        // Beyond this many it starts anew; hostile classes can't grow it.
        if known.count != count { applications.withLock { $0 = known.count > 4096 ? [:] : known } }
        return page
    }

    /// nil for one that there is not.
    private func application(_ id: Int64, _ db: Database) throws -> Application? {
        let row = try Row.fetchOne(db.cachedStatement(sql: "SELECT executable, class FROM application WHERE id = ?"), arguments: [id])
        // One of which neither is known is still one.
        return row.map { Application(executable: $0[0], windowClass: $0[1]) }
    }

    /// A session's bursts that lie in `range` or reach into it, and the last one before it, in order.
    package func bursts(
        of session: StoredSession, in range: TimeSpan, after: BootInstant? = nil, limit: Int = 2000
    ) throws(StoreError) -> [InputBurst] {
        var bursts: [InputBurst] = []
        try stream("input_burst", "length, origin", session, range, after, limit) { _, row in
            let span = row.span
            bursts.append(
                InputBurst(start: span.start, end: span.end, origin: InputOrigin(rawValue: UInt8(clamping: row.value(2))) ?? .unknown))
        }
        return bursts
    }

    /// A session's unknown intervals that lie in `range` or reach into it, in order.
    package func unknowns(
        of session: StoredSession, in range: TimeSpan, after: BootInstant? = nil, limit: Int = 2000
    ) throws(StoreError) -> [UnknownInterval] {
        var unknowns: [UnknownInterval] = []
        try stream("unknown_interval", "length, reason, lost", session, range, after, limit) { _, row in
            let span = row.span
            unknowns.append(
                UnknownInterval(
                    start: span.start, end: span.end, reason: UnknownReason(rawValue: UInt8(clamping: row.value(2))) ?? .noData,
                    lost: UInt64(clamping: row.value(3))))
        }
        return unknowns
    }

    /// A session's state changes, in order.
    package func events(
        of session: StoredSession, after row: Int64 = 0, limit: Int = 2000
    ) throws(StoreError) -> [(row: Int64, event: SessionEvent)] {
        try read("read events") { db in
            try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT id, at, kind, reveal('client_address', client_address), reveal('client_name', client_name)
                        FROM session_event WHERE session = ? AND id > ? ORDER BY id LIMIT ?
                        """), arguments: [session.row, row, limit]
            ).compactMap { row in
                guard let kind = StateChange.Kind(rawValue: UInt8(clamping: row[2] as Int64)) else { return nil }
                return (
                    row[0],
                    SessionEvent(
                        session: session.record.uuid, change: StateChange(kind, at: BootInstant(stored: row[1])),
                        clientAddress: row[3] as String? ?? "", clientName: row[4] as String? ?? "")
                )
            }
        }
    }

    /// The row that a statement is at, whose first columns are a start and a length.
    private struct IntervalRow {
        let statement: OpaquePointer

        /// nil: NULL.
        func number(_ column: CInt) -> Int64? {
            sqlite3_column_type(statement, column) == SQLITE_NULL ? nil : sqlite3_column_int64(statement, column)
        }

        /// NULL is 0.
        func value(_ column: CInt) -> Int64 { sqlite3_column_int64(statement, column) }

        var span: TimeSpan {
            let start = BootInstant(stored: value(0))
            let (end, isBeyond) = start.nanoseconds.addingReportingOverflow(UInt64(max(0, value(1))))
            return TimeSpan(start: start, end: BootInstant(nanoseconds: isBeyond ? .max : end))
        }
    }

    private func stream(
        _ table: String, _ columns: String, _ session: StoredSession, _ range: TimeSpan, _ after: BootInstant?, _ limit: Int,
        _ revisions: ClosedRange<Int64>? = nil, _ each: (Database, IntervalRow) throws -> Void
    ) throws(StoreError) {
        try read("read \(table)") { db in
            // Rows of a session don't overlap: what reaches into the range is the last that starts before it.
            let first: Int64
            if let after {
                first = after.stored &+ 1
            } else {
                first =
                    try Int64.fetchOne(
                        db.cachedStatement(sql: "SELECT max(start) FROM \(table) WHERE session = ? AND start <= ?"),
                        arguments: [session.row, range.start.stored]) ?? range.start.stored
            }
            let written = revisions == nil ? "" : "AND revision BETWEEN ? AND ?"
            let statement = try db.cachedStatement(
                sql:
                    "SELECT start, \(columns) FROM \(table) WHERE session = ? AND start >= ? AND start < ? \(written) ORDER BY start LIMIT ?"
            )
            var arguments: StatementArguments = [session.row, first, range.end.stored]
            if let revisions { arguments += [revisions.lowerBound, revisions.upperBound] }
            try statement.setArguments(arguments + [limit])
            // Rows of GRDB's take several times as long, and this is where reports of a year spend theirs.
            let handle = statement.sqliteStatement
            sqlite3_reset(handle)
            defer { sqlite3_reset(handle) }
            while true {
                switch sqlite3_step(handle) {
                case SQLITE_ROW: try each(db, IntervalRow(statement: handle))
                case SQLITE_DONE: return
                case let code:
                    throw DatabaseError(
                        resultCode: ResultCode(rawValue: code), message: String(cString: sqlite3_errmsg(db.sqliteConnection)))
                }
            }
        }
    }
}

/// A session's row with what belongs to it, as both reader and writer need it.
struct SessionRow {
    var row: Int64
    var boot: Int64
    var open: OpenSession
    var end: SessionEnd?
    /// The computer that it was imported of; "" where its key is gone.
    var origin: String?

    static let select = """
        SELECT s.origin IS NOT NULL AS imported, reveal('origin', s.origin) AS origin, s.id, s.uuid, s.number, s.stack, s.start, s.end, s.end_reason, s.boot, b.boot_id,
            l.value AS login, u.value AS uid,
            c.generation, c.attempted_at, c.delivered, c.state,
            -- A sum that is too large for an integer, which only a damaged file has, is none.
            CAST(CASE WHEN s.end IS NOT NULL THEN s.end ELSE max(s.start, b.seen,
                coalesce((SELECT max(at) FROM session_event WHERE session = s.id), 0),
                coalesce((SELECT start + length FROM focus_interval WHERE session = s.id ORDER BY start DESC LIMIT 1), 0),
                coalesce((SELECT start + length FROM input_burst WHERE session = s.id ORDER BY start DESC LIMIT 1), 0),
                coalesce((SELECT start + length FROM unknown_interval WHERE session = s.id ORDER BY start DESC LIMIT 1), 0)
            ) END AS INTEGER) AS last
        FROM session s JOIN boot b ON b.id = s.boot
        JOIN identifier l ON l.id = (SELECT max(id) FROM user_identifier WHERE user = s.user AND kind = 'login')
        JOIN identifier u ON u.id = (SELECT max(id) FROM user_identifier WHERE user = s.user AND kind = 'uid')
        LEFT JOIN lane_checkpoint c ON c.session = s.id
        """

    /// Nil for a row whose keys are damaged.
    init?(_ row: Row) {
        guard let uuid = UUIDv7(bytes: row["uuid"] as DatabaseBytes), let bootID = ID128(bytes: row["boot_id"] as DatabaseBytes) else {
            return nil
        }
        self.row = row["id"]
        boot = row["boot"]
        if (row["imported"] as Int64) != 0 { origin = row["origin"] ?? "" }
        let user = UserIdentity(login: row["login"], uid: UInt32(row["uid"] as String) ?? .max)
        let record = SessionRecord(
            uuid: uuid, id: SessionID(rawValue: UInt32(clamping: row["number"] as Int64)), user: user, stack: row["stack"],
            start: BootInstant(stored: row["start"]))
        var last = BootInstant(stored: row["last"])
        var checkpoint: LaneCheckpoint?
        if let bytes = row["state"] as DatabaseBytes?, let state = SessionFold.State(bytes: bytes) {
            last = max(last, state.latest)
            checkpoint = LaneCheckpoint(
                session: uuid, generation: UInt64(bitPattern: row["generation"]), attemptedAt: UInt64(bitPattern: row["attempted_at"]),
                delivered: UInt64(bitPattern: row["delivered"]), state: state)
        }
        if let end = row["end"] as Int64? {
            let reason = EndReason(rawValue: UInt8(clamping: row["end_reason"] as Int64? ?? 0)) ?? .lost
            self.end = SessionEnd(session: uuid, at: BootInstant(stored: end), reason: reason)
        }
        open = OpenSession(record: record, boot: bootID, lastDurable: last, checkpoint: checkpoint)
    }
}
