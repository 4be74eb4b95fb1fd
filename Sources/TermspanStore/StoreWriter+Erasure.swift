import GRDB
import Glibc
import TermspanAccounting
package import TermspanCore

// Erasing what is held about users: in one transaction, and from the file's and the log's bytes.

extension HeldUser {
    fileprivate init?(_ columns: Row, names: [UserName]) {
        guard let uuid = UUIDv7(bytes: columns["uuid"] as DatabaseBytes) else { return nil }
        let identity = UserIdentity(login: columns["login"], uid: UInt32(columns["uid"] as String) ?? .max)
        self.init(row: columns["id"], uuid: uuid, names: names, identity: identity, isCurrent: columns["current"])
    }
}

extension StoreWriter {
    /// The users that have or had one of these names.
    package func users(named names: [UserName]) throws(StoreError) -> [HeldUser] {
        try transaction("find users") { db in
            // One pass for all of them, since each value has to be opened.
            var named: [Int64: [UserName]] = [:]
            let wanted = Set(names)
            for row in try Row.fetchAll(db, sql: "SELECT user, kind, value FROM identifier") {
                guard let name = UserName(kind: row[1], value: row[2]), wanted.contains(name) else { continue }
                named[row[0], default: []].append(name)
            }
            let users = try Row.fetchAll(
                db, sql: Self.selectHeld + " WHERE u.id IN (SELECT value FROM json_each(?)) ORDER BY u.id",
                arguments: [Self.json(named.keys)])
            let found: [HeldUser] = users.compactMap { row in
                let own = Set(named[row["id"]] ?? [])
                return HeldUser(row, names: names.filter { own.contains($0) })
            }
            // In the order of the names.
            let order = Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first }
            return found.sorted { (order[$0.names[0]] ?? 0, $0.row) < (order[$1.names[0]] ?? 0, $1.row) }
        }
    }

    /// All users whose login and uid are theirs still.
    package func currentUsers() throws(StoreError) -> [UserIdentity] {
        try held("current").map(\.identity)
    }

    /// The users of whom sessions are held, each once.
    package func usersWithHistory() throws(StoreError) -> [HeldUser] {
        try held("EXISTS (SELECT 1 FROM session WHERE user = u.id)")
    }

    private func held(_ condition: String) throws(StoreError) -> [HeldUser] {
        do {
            return try read { try self.held(condition, $0) }
        } catch {
            throw StoreError(error, "find users")
        }
    }

    func held(_ condition: String, _ db: Database) throws -> [HeldUser] {
        try Row.fetchAll(db, sql: Self.selectHeld + " WHERE \(condition) ORDER BY u.id").compactMap { HeldUser($0, names: []) }
    }

    /// Users, with what they are called or were last.
    private static let selectHeld = """
        SELECT u.id, u.uuid, l.value AS login, d.value AS uid, l.until IS NULL AND d.until IS NULL AS current FROM user u
        JOIN identifier l ON l.id = (SELECT max(id) FROM user_identifier WHERE user = u.id AND kind = 'login')
        JOIN identifier d ON d.id = (SELECT max(id) FROM user_identifier WHERE user = u.id AND kind = 'uid')
        """

    /// What is held about a user.
    package func counts(of user: HeldUser) throws(StoreError) -> HeldCounts {
        try transaction("count what is held") { try self.counts(of: user, $0) }
    }

    private static let ofUser = "session IN (SELECT id FROM session WHERE user = ?)"

    private func counts(of user: HeldUser, _ db: Database) throws -> HeldCounts {
        func count(_ table: String, _ condition: String = StoreWriter.ofUser) throws -> Int {
            try Int.fetchOne(db, sql: "SELECT count(*) FROM \(table) WHERE \(condition)", arguments: [user.row]) ?? 0
        }
        var counts = HeldCounts()
        counts.sessions = try count("session", "user = ?")
        counts.focusIntervals = try count("focus_interval")
        counts.inputBursts = try count("input_burst")
        counts.unknownIntervals = try count("unknown_interval")
        counts.stateChanges = try count("session_event")
        counts.facts = try count("fact", "user = ?")
        return counts
    }

    /// Erases the history of users, all or none, with a receipt for each in the record of policy changes.
    ///
    /// Of a session that is measured only its row stays: when it began, which `who` shows too. Its time until now is Unknown, `erased`.
    /// `scrub` must follow: bytes of it are left.
    ///
    /// - Parameters:
    ///   - alsoUsers: their identifiers and what was decided about them go too, and the Do Not Track list has them from now on.
    ///   - sids: those of the users' that are known.
    ///   - measured: the sessions that are being measured, whose folds the caller begins anew at `moment`.
    package func erase(
        _ users: [HeldUser], alsoUsers: Bool, sids: [UserIdentity: Set<SecurityID>] = [:], measured: Set<UUIDv7>, burstGap: Duration,
        by actor: String, reason: String, at moment: ClockAnchor
    ) throws(StoreError) -> [Erased] {
        if alsoUsers { forgetPolicy() }
        defer { if alsoUsers { _ = try? policy() } }
        let erased = try transaction("erase") { db in
            var names: Set<Int64> = []
            var keys = ErasedKeys()
            let erased = try users.map { user in
                names.formUnion(
                    try Int64.fetchAll(
                        db,
                        sql: "SELECT DISTINCT application FROM focus_interval WHERE \(Self.ofUser) AND application IS NOT NULL",
                        arguments: [user.row]))
                let erased = try self.erase(user, alsoUser: alsoUsers, measured, burstGap, &keys, by: actor, reason: reason, at: moment, db)
                if alsoUsers { try self.forget(user, sids: sids[user.identity] ?? [], by: actor, reason: reason, at: moment.wall, db) }
                return erased
            }
            try self.removeUnused(names, db)
            try db.execute(sql: "PRAGMA user_version = \(Self.holdsErased)")
            return erased
        }
        removed(scrubsFile: true)
        return erased
    }

    /// Removes those of the applications' names that nobody's time is under any more.
    func removeUnused(_ names: Set<Int64>, _ db: Database) throws {
        guard !names.isEmpty else { return }
        try db.execute(
            sql: """
                DELETE FROM application WHERE id IN (SELECT value FROM json_each(?))
                AND id NOT IN (SELECT application FROM focus_interval WHERE application IS NOT NULL)
                """, arguments: [Self.json(names)])
    }

    static func json(_ numbers: some Sequence<Int64>) -> String { "[\(numbers.map(String.init).joined(separator: ","))]" }

    private func erase(
        _ user: HeldUser, alsoUser: Bool, _ measured: Set<UUIDv7>, _ burstGap: Duration, _ keys: inout ErasedKeys, by actor: String,
        reason: String,
        at moment: ClockAnchor, _ db: Database
    ) throws -> Erased {
        let counts = try counts(of: user, db)
        var gone: [UUIDv7] = []
        var goingOn: [OngoingSession] = []
        for row in try Row.fetchAll(db, sql: "SELECT id, uuid, start, end FROM session WHERE user = ? ORDER BY id", arguments: [user.row]) {
            guard let uuid = UUIDv7(bytes: row["uuid"] as DatabaseBytes) else { continue }
            guard (row["end"] as Int64?) == nil, measured.contains(uuid) else {
                gone.append(uuid)
                continue
            }
            let id: Int64 = row["id"]
            goingOn.append(
                OngoingSession(
                    row: id, uuid: uuid, start: BootInstant(stored: row["start"]),
                    isConnected: try Self.last(of: [.connected, .disconnected], in: id, db) != .disconnected,
                    isLocked: try Self.last(of: [.locked, .unlocked], in: id, db) == .locked))
        }
        // Its owner is to be forgotten: whoever is measured was to be untracked before.
        if alsoUser, let session = goingOn.first {
            throw StoreError(.busy, "erase \(user.identity.login)", "session \(session.uuid) is still measured")
        }
        for table in ["focus_interval", "told_times", "input_burst", "unknown_interval", "session_event", "lane_checkpoint"] {
            try db.execute(sql: "DELETE FROM \(table) WHERE \(Self.ofUser)", arguments: [user.row])
        }
        let kept = Self.json(goingOn.map(\.row))
        for uuid in gone { try bury("session", uuid, at: moment.wall, db) }
        for session in goingOn { try bury("activity", session.uuid, at: moment.wall, db) }
        try db.execute(
            sql: "DELETE FROM session WHERE user = ? AND id NOT IN (SELECT value FROM json_each(?))", arguments: [user.row, kept])
        for session in goingOn { try begin(session, anew: moment.boot, burstGap, db) }
        let keyCount = try buryKeys(of: user, &keys, at: moment.wall, db)
        // Of who has a session what holds now is known from now on.
        if goingOn.isEmpty { try removeFacts(ofUser: user.row, db) }
        if !alsoUser { try sealAnew(user, &keys, at: moment.wall, db) }
        let receipt = ErasureReceipt(
            UUIDv7(at: moment.wall), of: user.uuid, counts, goingOn: goingOn.count, keys: keyCount, alsoUser: alsoUser, by: actor,
            at: moment.wall)
        try record(
            db, moment.wall, actor, user.row, alsoUser ? "user-erased" : "history-erased", "\(receipt.text) sha256=\(receipt.digest)",
            reason)
        return Erased(user: user, counts: counts, receipt: receipt, gone: gone, goingOn: goingOn.map(\.uuid))
    }

    /// A session that outlives the erasure of what is held of it.
    private struct OngoingSession {
        var row: Int64
        var uuid: UUIDv7
        var start: BootInstant
        var isConnected: Bool
        var isLocked: Bool
    }

    /// Leaves of a session what is so now, and a fold that begins here: a collector that is killed goes on with that.
    private func begin(_ session: OngoingSession, anew moment: BootInstant, _ burstGap: Duration, _ db: Database) throws {
        let revision = try revision(db)
        if moment > session.start {
            try db.execute(
                sql: "INSERT INTO unknown_interval (session, start, length, reason, lost, revision) VALUES (?, ?, ?, ?, 0, ?)",
                arguments: [
                    session.row, session.start.stored, moment.stored - session.start.stored, UnknownReason.erased.rawValue, revision,
                ])
        }
        let changes: [StateChange.Kind] = [session.isConnected ? .connected : .disconnected] + (session.isLocked ? [.locked] : [])
        for kind in changes {
            try db.execute(
                sql: "INSERT INTO session_event (session, at, kind, revision) VALUES (?, ?, ?, ?)",
                arguments: [session.row, max(moment, session.start).stored, kind.rawValue, revision])
        }
        var fold = SessionFold(burstGap: burstGap)
        fold.begin(at: max(moment, session.start), reason: .erased)
        try db.execute(
            sql: "INSERT INTO lane_checkpoint (session, generation, attempted_at, delivered, state) VALUES (?, 0, 0, 0, ?)",
            arguments: [session.row, DatabaseBytes(fold.state.bytes)])
        try db.execute(sql: "UPDATE session SET revision = ? WHERE id = ?", arguments: [revision, session.row])
    }

    /// Leaves a mark by which whoever has a copy knows what was erased: under a hash, since a UUID tells when it was made.
    private func bury(_ kind: String, _ uuid: UUIDv7, at moment: WallInstant, _ db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO tombstone (kind, key, at) VALUES (?, ?, ?)")
            .execute(arguments: [kind, Self.mark(of: uuid), moment.nanoseconds])
    }

    static func mark(of uuid: UUIDv7) -> DatabaseBytes { DatabaseBytes(Array(SHA256.digest(uuid.bytes).prefix(16))) }

    /// Has a user's keys destroyed once this is durable: what copies of the store hold under them is gone then. The mark that this leaves is a random
    /// number, and has them destroyed again in a file of keys that was restored.
    ///
    /// - Returns: how many they are.
    private func buryKeys(of user: HeldUser, _ keys: inout ErasedKeys, at moment: WallInstant, _ db: Database) throws -> Int {
        let own = Set(values.keys.keys(of: user.identity)).union(try [key(ofUser: user.row, db)].compactMap { $0 })
        let doomed = own.subtracting(keys.made.values).subtracting(keys.buried)
        keys.buried.formUnion(doomed)
        for key in doomed { try Self.bury(key, at: moment, db) }
        return doomed.count
    }

    /// Has keys destroyed of which another store knew.
    func bury(_ keys: [KeyID], at moment: WallInstant) throws(StoreError) {
        try transaction("bury keys") { db in for key in keys { try Self.bury(key, at: moment, db) } }
        if !keys.isEmpty { awaitsKeys() }
    }

    private static func bury(_ key: KeyID, at moment: WallInstant, _ db: Database) throws {
        try db.cachedStatement(sql: "INSERT INTO tombstone (kind, key, at) VALUES ('key', ?, ?)")
            .execute(arguments: [DatabaseBytes(key.bytes), moment.nanoseconds])
    }

    /// What becomes of keys in one erasure: users of several rows, as one who came back after another had the login, have one in common.
    private struct ErasedKeys {
        var buried: Set<KeyID> = []
        var made: [UserIdentity: KeyID] = [:]
    }

    /// Puts the names of a user who stays under a new key.
    private func sealAnew(_ user: HeldUser, _ keys: inout ErasedKeys, at moment: WallInstant, _ db: Database) throws {
        let key = try keys.made[user.identity] ?? values.keys.makeKey(of: user.identity)
        keys.made[user.identity] = key
        for row in try Row.fetchAll(db, sql: "SELECT id, kind, value FROM identifier WHERE user = ?", arguments: [user.row]) {
            guard let kind = SealedValues.Kind(rawValue: row["kind"]) else { continue }
            try db.execute(
                sql: "UPDATE user_identifier SET value = ? WHERE id = ?",
                arguments: [try values.seal(row["value"], as: kind, under: key), row["id"] as Int64])
        }
        try renewFacts(ofUser: user.row, under: key, at: moment, db)
    }

    /// Takes a user's names away; what is recorded about the policy speaks of a number from now on.
    private func forget(
        _ user: HeldUser, sids: Set<SecurityID>, by actor: String, reason: String, at moment: WallInstant, _ db: Database
    ) throws {
        // A login or uid that passed on to somebody else is theirs; the other one is kept from being tracked again all the same.
        let passedOn = user.isCurrent ? (login: false, uid: false) : try havePassedOn(user.identity, db)
        // What can't be told any more, since its key is gone, is no name.
        for subject in DoNotTrackList.Subject.all(of: user.identity, sids: sids) where !subject.isLost {
            switch subject {
            case .login where passedOn.login, .uid where passedOn.uid: continue
            default: _ = try add(DoNotTrackList.Entry(subject, since: moment, by: actor, reason: reason), about: user.row, db)
            }
        }
        for table in ["tracking", "own_group"] { try db.execute(sql: "DELETE FROM \(table) WHERE user = ?", arguments: [user.row]) }
        try removeFacts(ofUser: user.row, db)
        try db.execute(sql: "DELETE FROM user_identifier WHERE user = ?", arguments: [user.row])
        try bury("user", user.uuid, at: moment, db)
    }

    /// Damaged stores that were set aside beside this one: they hold what they held.
    package var setAside: [String] {
        guard let slash = place.path.lastIndex(of: "/") else { return [] }
        let folder = String(place.path[..<slash])
        guard let stream = opendir(folder) else { return [] }
        defer { closedir(stream) }
        var files: [String] = []
        while let entry = readdir(stream) {
            let name = withUnsafeBytes(of: &entry.pointee.d_name) { String(decoding: $0.prefix { $0 != 0 }, as: UTF8.self) }
            if name.hasPrefix(StoreOpening.asidePrefix) { files.append("\(folder)/\(name)") }
        }
        return files.sorted()
    }

    /// How long a damaged store is kept that was set aside, for who wants to look at it: what is whole of it is in this one.
    package static let asideAge: Duration = .seconds(30 * 86_400)

    /// Removes damaged stores that were set aside, with their bytes: they hold what they held.
    ///
    /// - Parameter moment: only those that were set aside before it; nil is all.
    /// - Returns: those that could not be removed.
    @discardableResult
    package func removeSetAside(before moment: WallInstant? = nil) -> [String] {
        var left: [String] = []
        for path in setAside {
            var status = stat()
            // Its name was changed last.
            guard lstat(path, &status) == 0 else { continue }
            if let moment, Int64(status.st_ctim.tv_sec) * 1_000_000_000 >= moment.nanoseconds { continue }
            if !Self.overwrite(path, status.st_size) || unlink(path) != 0 { left.append(path) }
        }
        return left
    }

    /// Says whether nothing but zeros is left of a file.
    private static func overwrite(_ path: String, _ size: off_t) -> Bool {
        let descriptor = Glibc.open(path, O_WRONLY | O_NOFOLLOW | O_CLOEXEC | O_NONBLOCK)
        guard descriptor >= 0 else { return false }
        defer { Glibc.close(descriptor) }
        let zeros = [UInt8](repeating: 0, count: 1 << 16)
        var done: off_t = 0
        while done < size {
            let count = pwrite(descriptor, zeros, Int(min(off_t(zeros.count), size - done)), done)
            guard count > 0 else { return false }
            done += off_t(count)
        }
        return fsync(descriptor) == 0
    }
}
