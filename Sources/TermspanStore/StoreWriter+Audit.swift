import GRDB
package import TermspanCore

// The audit record: Docs/adr/0013-audit.md.

extension StoreWriter {
    /// A read that is about more users than this counts as one of everybody's.
    private static let mostUsersOfARead = 10

    /// Records that somebody is about to read what is others', an entry a user.
    ///
    /// - Parameter filter: whose; its times count for sessions' numbers, which others had before.
    /// - Returns: how many entries it took: none where there is nobody of whom anything could be read.
    @discardableResult
    package func recordRead(
        _ kind: AuditedRead, of filter: SessionFilter, by actor: String, at moment: WallInstant
    ) throws(StoreError) -> Int {
        try transaction("record a read") { db in
            var users = try Self.users(in: filter, db)
            // Of who is logged on it is told though the store does not know them.
            if users.isEmpty, kind == .users { users = [nil] }
            for user in users { try self.audit(kind, of: user, by: actor, at: moment, db) }
            return users.count
        }
    }

    /// Likewise of a reader who sees certain users alone, those of the filter: an entry for each of whom there is anything, and one of nobody
    /// who is known for the others, where it is told of them, too.
    ///
    /// - Returns: of whom there was.
    package func recordLooks(
        _ kind: AuditedRead, of filter: SessionFilter, by actor: String, at moment: WallInstant
    ) throws(StoreError) -> [UserIdentity] {
        try transaction("record a read") { db in
            let users = (filter.identities ?? []).sorted { $0.uid < $1.uid }
            let found = try users.filter { user in
                var one = filter
                one.identities = [user]
                let users = try Self.users(in: one, db)
                for user in users { try self.audit(kind, of: user, by: actor, at: moment, db) }
                return !users.isEmpty
            }
            // Of who is logged on it is told though the store does not know them.
            guard [.users, .sessions].contains(kind), found.count < users.count else { return found }
            try self.audit(AuditEntry.readPrefix + kind.rawValue, of: nil, AuditEntry.notStored, by: actor, at: moment, db)
            return users
        }
    }

    /// Records that somebody is about to read how much is held of users.
    package func recordCounting(of users: [HeldUser], by actor: String, at moment: WallInstant) throws(StoreError) {
        try transaction("record a read") { db in
            for user in users { try self.audit(.counts, of: user.uuid, by: actor, at: moment, db) }
        }
    }

    /// Records that somebody is about to copy the store into a file.
    package func recordBackup(to file: String, by actor: String, at moment: WallInstant) throws(StoreError) {
        try transaction("record a backup") { db in try self.audit(AuditEntry.backup, of: nil, file, by: actor, at: moment, db) }
    }

    /// Records that this store was made of what was whole of a damaged one, and what was not.
    func recordRecovery(_ recovery: StoreRecovery, at moment: WallInstant) throws(StoreError) {
        try transaction("record a recovery") { db in
            try self.audit(AuditEntry.recovery, of: nil, recovery.text, by: "root", at: moment, db)
        }
    }

    private func audit(_ kind: AuditedRead, of user: UUIDv7?, by actor: String, at moment: WallInstant, _ db: Database) throws {
        try audit(AuditEntry.readPrefix + kind.rawValue, of: user, "", by: actor, at: moment, db)
    }

    /// The users of whom a filter selects something; nil is everybody.
    private static func users(in filter: SessionFilter, _ db: Database) throws -> [UUIDv7?] {
        // As the reader selects them: what it shows must be recorded.
        let isOfSessions = filter.id != nil || filter.session != nil
        let conditions = isOfSessions ? filter.conditionsOnSession() : filter.conditions(onUser: "u.id")
        if conditions.isEmpty { return [nil] }
        let wanted = conditions.conjunction
        let users = try DatabaseBytes.fetchAll(
            db,
            sql: """
                SELECT DISTINCT u.uuid FROM user u \(isOfSessions ? "JOIN session s ON s.user = u.id" : "")
                WHERE \(wanted.sql) ORDER BY u.id LIMIT ?
                """, arguments: wanted.values + [mostUsersOfARead + 1])
        let known: [UUIDv7] = users.compactMap { UUIDv7(bytes: $0) }
        return users.count > mostUsersOfARead ? [nil] : known
    }

    /// Appends an entry in the running transaction.
    func audit(_ action: String, of user: UUIDv7?, _ value: String, by actor: String, at moment: WallInstant, _ db: Database) throws {
        let head = try Self.auditHead(db)
        let entry = AuditEntry(id: head.id &+ 1, at: moment, by: actor, action: action, user: user, value: value)
        try db.execute(
            sql: "INSERT INTO audit (id, at, by, action, user, value, digest) VALUES (?, ?, ?, ?, ?, ?, ?)",
            arguments: [
                entry.id, moment.nanoseconds, actor, action, user.map { DatabaseBytes($0.bytes) }, value, entry.digest(after: head.digest),
            ])
        hasNewAudit = true
    }

    static func auditHead(_ db: Database) throws -> AuditHead {
        var head = AuditHead(try auditStore(db))
        if let row = try Row.fetchOne(db, sql: "SELECT id, digest FROM audit ORDER BY id DESC LIMIT 1") {
            head.id = row[0]
            head.digest = row[1]
        }
        return head
    }

    /// The UUID of the first machine that the store was for, which it was made with.
    static func auditStore(_ db: Database) throws -> UUIDv7 {
        let bytes = try DatabaseBytes.fetchOne(db, sql: "SELECT uuid FROM machine ORDER BY id LIMIT 1")
        guard let store = bytes.flatMap({ UUIDv7(bytes: $0) }) else {
            throw StoreError(.damaged, "read the audit record", "the store has no identity")
        }
        return store
    }

    /// The last entry, if there is one that was not asked for: at first any, since an earlier life may have told nobody of it.
    package func takeAuditHead() -> AuditHead? {
        guard hasNewAudit, let head = try? read({ try Self.auditHead($0) }) else { return nil }
        hasNewAudit = false
        return head.id > 0 ? head : nil
    }
}
