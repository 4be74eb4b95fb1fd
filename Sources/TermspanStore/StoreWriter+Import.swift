import GRDB
import TermspanAccounting
package import TermspanCore
import TermspanEvents

// What was measured elsewhere: Docs/adr/0029-import.md.

/// On whose word what is imported.
package struct ImportGrounds: Sendable {
    /// What the file was, as whoever imports it says.
    package var format: String
    /// The SHA-256 of the file, likewise; 64 hexadecimal digits.
    package var digest: String
    package var by: String
    package var reason: String
    package var responsible: String
    package var at: WallInstant

    package init(format: String, digest: String, by: String, reason: String, responsible: String, at: WallInstant) {
        self.format = format
        self.digest = digest
        self.by = by
        self.reason = reason
        self.responsible = responsible
        self.at = at
    }
}

/// What an import added.
package struct Imported: Hashable, Sendable {
    /// Those that there were not before.
    package var sessions: UInt64 = 0
    package var activities: UInt64 = 0
    package var inputs: UInt64 = 0
    /// Activities and inputs that are held already.
    package var repeated: UInt64 = 0
    /// Of whom something was added.
    package var users: [UserIdentity] = []

    package init() {}

    package var isEmpty: Bool { sessions == 0 && activities == 0 && inputs == 0 }
}

extension StoreWriter {
    /// The boot that all imported sessions are of: its clock is the wall's. Its number is below all others', since it is none that a machine had.
    static let importBoot: Int64 = 0

    /// Adds what was measured elsewhere, all or nothing. What is there already stays.
    ///
    /// - Parameters:
    ///   - next: gives one record after the other, and nil when there are no more.
    ///   - identity: who has a login on this machine.
    ///   - sids: what is known of a user's; nil where no directory says.
    ///   - isRehearsal: says what would be added, and adds nothing.
    /// - Throws: `.refused` with a reason for what must not be held.
    package func importRecords(
        _ grounds: ImportGrounds, isRehearsal: Bool = false, identity: @escaping (String) -> UserIdentity?,
        sids: @escaping (UserIdentity) -> Set<SecurityID>?, _ next: () throws -> ImportRecord?
    ) throws(StoreError) -> Imported {
        let imported = try transaction("import") { db in
            var work = ImportWork(db: db, writer: self, grounds: grounds, policy: try Policy(db), identity: identity, sids: sids)
            var imported = Imported()
            try db.inSavepoint {
                while let record = try next() { try work.add(record) }
                imported = try work.finish()
                return isRehearsal || imported.isEmpty ? .rollback : .commit
            }
            return imported
        }
        // Rows that were taken back were known by their places.
        if isRehearsal || imported.isEmpty { forgetRows() }
        return imported
    }
}

/// One import, within its transaction.
private struct ImportWork {
    let db: Database
    let writer: StoreWriter
    let grounds: ImportGrounds
    let policy: Policy
    let identity: (String) -> UserIdentity?
    let sids: (UserIdentity) -> Set<SecurityID>?

    private struct User {
        var identity: UserIdentity
        var row: Int64
        var added = Imported()
    }

    private struct Session {
        var row: Int64
        /// In `users`.
        var user: Int
        var start: Int64
        var end: Int64
        var isNew = false
        var isLonger = false
    }

    private var users: [User] = []
    private var usersByLogin: [String: Int] = [:]
    private var sessions: [Session] = []
    private var sessionsByUUID: [UUIDv7: Int] = [:]
    private var current: Int?
    private var applications: [Int64] = []
    private var rows = 0

    init(
        db: Database, writer: StoreWriter, grounds: ImportGrounds, policy: Policy, identity: @escaping (String) -> UserIdentity?,
        sids: @escaping (UserIdentity) -> Set<SecurityID>?
    ) {
        self.db = db
        self.writer = writer
        self.grounds = grounds
        self.policy = policy
        self.identity = identity
        self.sids = sids
    }

    private func refused(_ reason: String) -> StoreError { StoreError(.refused, "import", reason) }

    mutating func add(_ record: ImportRecord) throws {
        switch record {
        case .session(let session): current = try open(session)
        case .application(let executable, let windowClass):
            guard applications.count < ImportLimit.applications else {
                throw refused("more than \(ImportLimit.applications) applications")
            }
            applications.append(try writer.row(of: Application(executable: executable, windowClass: windowClass), db))
        case .activity(let activity): try add(activity)
        case .input(let start, let length):
            guard let session = try place(start, length, "input_burst") else { return }
            try db.cachedStatement(sql: "INSERT INTO input_burst (session, start, length, origin, revision) VALUES (?, ?, ?, ?, ?)")
                .execute(arguments: [session, start.nanoseconds, Int64(length), InputOrigin.unknown.rawValue, try writer.revision(db)])
        case .presence(let start, let length): try extend(start, length)
        case .end: current = nil
        }
    }

    private mutating func add(_ activity: ImportRecord.Activity) throws {
        let application = activity.application.map { Int($0) }
        if let application, !applications.indices.contains(application) { throw refused("an activity's application was not named before") }
        guard let session = try place(activity.start, activity.length, "focus_interval") else { return }
        let start = activity.start.nanoseconds
        try db.cachedStatement(
            sql: "INSERT INTO focus_interval (session, start, length, application, switches, revision) VALUES (?, ?, ?, ?, ?, ?)"
        ).execute(arguments: [
            session, start, Int64(activity.length), application.map { applications[$0] }, activity.switches, try writer.revision(db),
        ])
        if let told = activity.told {
            try db.cachedStatement(sql: "INSERT INTO told_times (session, start, active, passive, inactive) VALUES (?, ?, ?, ?, ?)")
                .execute(arguments: [session, start, Int64(told.active), Int64(told.passive), Int64(told.inactive)])
        }
    }

    /// Counts a row, and says in which session it is to be; nil where it is held already.
    private mutating func place(_ start: WallInstant, _ length: UInt64, _ table: String) throws -> Int64? {
        rows += 1
        guard rows <= ImportLimit.rows else { throw refused("more than \(ImportLimit.rows) rows: divide the file") }
        try extend(start, length)
        guard let current else { return nil }
        let session = sessions[current]
        // Files have microseconds.
        let first = start.nanoseconds - start.nanoseconds % 1000
        let isThere = try Bool.fetchOne(
            db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM \(table) WHERE session = ? AND start >= ? AND start < ?)"),
            arguments: [session.row, first, first + 1000])
        guard isThere == false else {
            users[session.user].added.repeated += 1
            return nil
        }
        if table == "focus_interval" { users[session.user].added.activities += 1 } else { users[session.user].added.inputs += 1 }
        return session.row
    }

    private mutating func extend(_ start: WallInstant, _ length: UInt64) throws {
        guard let current else { throw refused("something is of no session") }
        let end = start.nanoseconds + Int64(length)
        guard end <= grounds.at.advanced(by: ImportLimit.ahead).nanoseconds else {
            throw refused("\(start.iso8601Seconds) is in the future")
        }
        if start.nanoseconds < sessions[current].start || end > sessions[current].end { sessions[current].isLonger = true }
        sessions[current].start = min(sessions[current].start, start.nanoseconds)
        sessions[current].end = max(sessions[current].end, end)
    }

    // MARK: Whose

    private mutating func user(_ login: String) throws -> Int {
        if let known = usersByLogin[login] { return known }
        guard users.count < ImportLimit.users else { throw refused("more than \(ImportLimit.users) users") }
        guard let user = identity(login) else { throw refused("there is no user '\(login)' on this computer") }
        let known = sids(user)
        if policy.doNotTrack.namesSIDs, known == nil {
            throw refused("no directory says whether an entry of the Do Not Track list is \(user.login)'s")
        }
        let standing = policy.standing(of: user, sids: known ?? [], decision: policy.rows.first { $0.user == user })
        guard standing.isTracked else {
            let why = standing.basis == .doNotTrack ? "is on the Do Not Track list" : "is not tracked"
            throw refused("\(user.login) \(why): nothing of theirs may be recorded, nor imported")
        }
        users.append(User(identity: user, row: try writer.row(of: user, at: grounds.at, db)))
        usersByLogin[login] = users.count - 1
        return users.count - 1
    }

    private mutating func open(_ record: ImportRecord.Session) throws -> Int {
        let user = try user(record.login)
        if let known = sessionsByUUID[record.uuid] {
            guard sessions[known].user == user else { throw refused("session \(record.uuid) is of two users") }
            return known
        }
        guard sessions.count < ImportLimit.sessions else { throw refused("more than \(ImportLimit.sessions) sessions") }
        let uuid = DatabaseBytes(record.uuid.bytes)
        let stored = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT id, user, origin IS NULL, start, end FROM session WHERE uuid = ?"), arguments: [uuid])
        var session: Session
        if let stored {
            if (stored[2] as Int64) != 0 {
                throw refused("session \(record.uuid) was measured here: what is known of it is held already")
            }
            if stored[1] != users[user].row { throw refused("session \(record.uuid) is held as another user's") }
            session = Session(row: stored[0], user: user, start: stored[3], end: stored[4] ?? stored[3])
        } else {
            let isErased = try Bool.fetchOne(
                db.cachedStatement(sql: "SELECT EXISTS (SELECT 1 FROM tombstone WHERE kind IN ('session', 'activity') AND key = ?)"),
                arguments: [StoreWriter.mark(of: record.uuid)])
            if isErased == true { throw refused("what was held of session \(record.uuid) was erased here, and stays so") }
            session = Session(row: try insert(record, user), user: user, start: .max, end: 0, isNew: true)
        }
        sessions.append(session)
        sessionsByUUID[record.uuid] = sessions.count - 1
        return sessions.count - 1
    }

    private func insert(_ record: ImportRecord.Session, _ user: Int) throws -> Int64 {
        let boot = StoreWriter.importBoot
        try db.execute(
            sql: "INSERT OR IGNORE INTO boot (id, machine, boot_id) VALUES (?, ?, zeroblob(16))", arguments: [boot, writer.machine])
        // Its moments are nanoseconds since 1970.
        try db.execute(sql: "INSERT OR IGNORE INTO clock_anchor (boot, at, wall) VALUES (?, 0, 0)", arguments: [boot])
        guard let key = try writer.key(ofUser: users[user].row, db) else {
            throw StoreError(.keys, "import", "the key of \(users[user].identity.login) is gone")
        }
        // It has an end at the end of the transaction.
        try db.execute(
            sql: """
                INSERT INTO session (uuid, boot, user, number, stack, start, start_wall, origin, revision)
                VALUES (?, ?, ?, ?, 'imported', 0, 0, ?, ?)
                """,
            arguments: [
                DatabaseBytes(record.uuid.bytes), boot, users[user].row, record.number,
                try writer.values.seal(record.computer, as: .origin, under: key), try writer.revision(db),
            ])
        return db.lastInsertedRowID
    }

    // MARK: The end

    mutating func finish() throws -> Imported {
        for session in sessions {
            guard session.isNew || session.isLonger else { continue }
            guard session.end >= session.start else { throw refused("there is a session without anything in it") }
            try db.cachedStatement(
                sql: """
                    UPDATE session SET start = ?1, start_wall = ?1, end = ?2, end_wall = ?2, end_reason = ?3, revision = ?4 WHERE id = ?5
                    """
            ).execute(arguments: [session.start, session.end, EndReason.logoff.rawValue, try writer.revision(db), session.row])
            if session.isNew { users[session.user].added.sessions += 1 }
        }
        for session in sessions where !users[session.user].added.isEmpty {
            for table in ["focus_interval", "input_burst"] { try checkOrder(of: session, table) }
        }
        var all = Imported()
        for user in users {
            let added = user.added
            all.sessions += added.sessions
            all.activities += added.activities
            all.inputs += added.inputs
            all.repeated += added.repeated
            guard !added.isEmpty else { continue }
            all.users.append(user.identity)
            try writer.record(
                db, grounds.at, grounds.by, user.row, "imported",
                "\(grounds.format): \(added.sessions) sessions, \(added.activities) activities, \(added.inputs) inputs, SHA-256 \(grounds.digest)",
                grounds.reason, responsible: grounds.responsible)
        }
        return all
    }

    /// Rows of one kind come after each other, those of earlier imports among them.
    private func checkOrder(of session: Session, _ table: String) throws {
        let overlap = try Int64.fetchOne(
            db.cachedStatement(
                sql: """
                    SELECT start FROM (SELECT start, lag(start + length) OVER (ORDER BY start) AS before FROM \(table) WHERE session = ?)
                    WHERE start < before LIMIT 1
                    """), arguments: [session.row])
        guard let overlap else { return }
        let login = users[session.user].identity.login
        throw refused(
            "\(login), \(WallInstant(nanoseconds: overlap).iso8601Seconds): what begins then overlaps with what began before and is held or in the file"
        )
    }
}

extension WallInstant {
    /// In UTC, to the second; for errors.
    fileprivate var iso8601Seconds: String {
        let day = CalendarDay(number: Int(nanoseconds / 86_400_000_000_000))
        let second = nanoseconds / 1_000_000_000 % 86_400
        func padded(_ value: Int64) -> String { value < 10 ? "0\(value)" : "\(value)" }
        return "\(day) \(padded(second / 3600)):\(padded(second / 60 % 60)):\(padded(second % 60)) UTC"
    }
}
