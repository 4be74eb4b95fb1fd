import GRDB
import GRDBSQLite
import Glibc
package import TermspanAccounting
package import TermspanCore
import TermspanEvents

/// The one writer of the store. Every call is synchronous and durable when it returns; use it from one thread.
///
/// SQLite in WAL mode with synchronous=FULL: what a call acknowledged survives the process's death and a loss of power.
package final class StoreWriter {
    private let queue: DatabaseQueue
    let values: SealedValues
    package let place: StorePlace
    /// The row of the boot that this process runs in.
    let boot: Int64
    let machine: Int64
    package private(set) var anchors: ClockAnchors
    /// Set once the file has contradicted itself: it is to be replaced.
    package private(set) var damage: StoreError?
    /// The policy as it was read last; nil while it is being changed.
    package private(set) var lastPolicy: Policy?
    /// How long the machine had slept in this boot when the store was told last; nil if it never was.
    package let asleep: Duration?
    /// By how much the wall clock was set in this boot since the store was told last; nil if it was not.
    package let step: Duration?
    private var sessionRows: [UUIDv7: Int64] = [:]
    /// Whose the logins and uids of this machine are now; nil until it is needed.
    private var owners: [Identifier: Int64]?
    /// Under which key a user's values are, by the user's row.
    private var userKeys: [Int64: KeyID] = [:]
    private var applicationRows: [Application: Int64] = [:]
    /// How many seconds readers of the file are waited for.
    private static let patience = 5
    /// The number of the running transaction, once it needs one.
    private var transactionRevision: Int64?
    private var logHoldsRemoved = false
    private var fileHoldsRemoved = false
    /// The next page whose gap is to be overwritten; 0: the names of applications are to be looked through before; nil: no gap has anything.
    private var nextGap: UInt32?
    private var keysAreLeft = false
    /// Whether the audit record may have an entry that nobody was told of.
    var hasNewAudit = true
    /// What the file's user_version is from an erasure on until the file is written anew, so that a kill in between forgets nothing.
    static let holdsErased = 1
    /// Likewise from a removal of what is old on, until all gaps in the file's pages are overwritten.
    static let holdsExpired = 2
    /// Whether bytes are left of what was removed; then `scrub` is to be tried again.
    package var holdsRemoved: Bool { logHoldsRemoved || fileHoldsRemoved || keysAreLeft || nextGap != nil }
    /// Whether the next `scrub` goes on where one has come to, and is not to wait.
    package var isScrubbing: Bool { !logHoldsRemoved && (nextGap ?? 0) > 1 }
    /// Beyond this many names the cache starts anew; hostile classes can't grow it.
    private static let cached = 4096

    /// Opens the store, creating or migrating it where needed.
    ///
    /// - Parameters:
    ///   - place: where it and the keys are; their folders must exist. New files get mode 0640 and the process's group.
    ///   - anchor: both clocks as they read now.
    /// - Throws: `.newerSchema` if a newer version wrote the file, `.keys` if the keys can't be used; the files then stay as they are.
    package static func open(_ place: StorePlace, anchor: ClockAnchor) throws(StoreError) -> StoreWriter {
        let path = place.path
        do {
            let isThere = access(path, F_OK) == 0 || errno != ENOENT
            let isKeyed = isThere ? try checkOrigin(path) : false
            let values = SealedValues(keys: try KeyFile(place.keys, creates: !isKeyed, writes: true))
            // SQLite gives its -wal and -shm the mode of the database file.
            let descriptor = Glibc.open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0o640)
            guard descriptor >= 0 else {
                throw StoreError(errno == ENOENT ? .missing : .storage, "open \(path)", String(cString: strerror(errno)))
            }
            Glibc.close(descriptor)
            var configuration = GRDB.Configuration()
            configuration.label = "termspan-store"
            // No index leads from an application to its intervals: to look for them at each name that is removed would take a pass for each.
            configuration.foreignKeysEnabled = false
            configuration.busyMode = .timeout(Double(patience))
            configuration.prepareDatabase { try values.register($0) }
            let queue = try DatabaseQueue(path: path, configuration: configuration)
            if isKeyed { try queue.read { try values.check(belongsTo: $0) } }
            try queue.writeWithoutTransaction { db in
                let isEmpty = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") == 0
                if isEmpty { try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL") }
                try db.execute(
                    sql: """
                        PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864;
                        PRAGMA secure_delete = ON
                        """)
                Self.keepLog(db)
            }
            try Schema.migrator(values).migrate(queue)
            let writer = try StoreWriter(queue: queue, values: values, place: place, anchor: anchor)
            // One that was killed while it erased may not have come to this.
            let left = try queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
            writer.fileHoldsRemoved = left == Self.holdsErased
            writer.keysAreLeft = true
            writer.scrub(isPatient: false)
            // Which can be seen to while sessions are measured.
            if left == Self.holdsExpired { writer.nextGap = 0 }
            return writer
        } catch {
            throw StoreError(error, "open \(path)")
        }
    }

    /// Readers without write access need -wal and -shm to stay when a connection is closed.
    private static func keepLog(_ db: Database) {
        var persist: CInt = 1
        sqlite3_file_control(db.sqliteConnection, nil, SQLITE_FCNTL_PERSIST_WAL, &persist)
    }

    /// Refuses what is not ours to write, through a connection that can't change the file.
    ///
    /// - Returns: whether values in it are sealed, so that there must be keys.
    private static func checkOrigin(_ path: String) throws -> Bool {
        var configuration = GRDB.Configuration()
        configuration.readonly = true
        configuration.busyMode = .timeout(Double(patience))
        let queue = try DatabaseQueue(path: path, configuration: configuration)
        defer { queue.closeAndKeep() }
        return try queue.read { db in
            keepLog(db)
            let applicationID = try Int32.fetchOne(db, sql: "PRAGMA application_id") ?? 0
            let isEmpty = try Int.fetchOne(db, sql: "SELECT count(*) FROM sqlite_schema") == 0
            guard applicationID == Schema.applicationID || (isEmpty && applicationID == 0) else {
                throw StoreError(.notAStore, "open \(path)", "another program's database; move the file away")
            }
            guard try !Schema.versions.hasBeenSuperseded(db) else {
                throw StoreError(
                    .newerSchema, "open \(path)", "written by a newer version of Termspan; install that or move the file away")
            }
            return try db.tableExists("key_file")
        }
    }

    /// Closes the file; the writer is of no use afterwards.
    package func close() {
        queue.closeAndKeep()
        values.keys.close()
    }

    /// The bytes on the disk.
    package var size: UInt64 {
        ["", "-wal"].reduce(0) { sum, suffix in
            var status = stat()
            return stat(place.path + suffix, &status) == 0 ? sum + UInt64(max(0, status.st_size)) : sum
        }
    }

    private init(queue: DatabaseQueue, values: SealedValues, place: StorePlace, anchor: ClockAnchor) throws {
        self.queue = queue
        self.values = values
        self.place = place
        let boot = place.boot
        (machine, self.boot, anchors, asleep, step) = try queue.write { db in
            let machineKey = DatabaseBytes(place.machine.bytes)
            try db.execute(
                sql: "INSERT INTO machine (machine_id, uuid) VALUES (?, ?) ON CONFLICT DO NOTHING",
                arguments: [machineKey, DatabaseBytes(UUIDv7(at: anchor.wall).bytes)])
            let machine = try Int64.fetchOne(db, sql: "SELECT id FROM machine WHERE machine_id = ?", arguments: [machineKey]) ?? 0
            let bootKey = DatabaseBytes(boot.bytes)
            try db.execute(
                sql: "INSERT INTO boot (machine, boot_id) VALUES (?, ?) ON CONFLICT DO NOTHING", arguments: [machine, bootKey])
            let row =
                try Int64.fetchOne(
                    db, sql: "SELECT id FROM boot WHERE machine = ? AND boot_id = ?", arguments: [machine, bootKey]) ?? 0
            // Within a boot only steps of the clock make new anchors: what was given a wall time keeps it.
            var anchors = try Self.anchors(db, boot: row)
            let step = Self.step(anchors, anchor)
            if anchors.anchors.isEmpty || step != nil {
                try Self.insert(db, anchor, boot: row)
                anchors = try Self.anchors(db, boot: row)
            }
            let asleep = try Int64.fetchOne(db, sql: "SELECT asleep FROM boot WHERE id = ?", arguments: [row])
            return (machine, row, anchors, asleep.map { .nanoseconds($0) }, step)
        }
    }

    /// How far wall and boot clock may drift apart (NTP slews) before it counts as a step.
    private static let stepLimit = Duration.milliseconds(500)

    private static func step(_ anchors: ClockAnchors, _ anchor: ClockAnchor) -> Duration? {
        guard let difference = anchors.wall(at: anchor.boot)?.duration(to: anchor.wall) else { return nil }
        return difference > stepLimit || difference < .zero - stepLimit ? difference : nil
    }

    private static func insert(_ db: Database, _ anchor: ClockAnchor, boot: Int64) throws {
        try db.cachedStatement(sql: "INSERT INTO clock_anchor VALUES (?, ?, ?) ON CONFLICT DO NOTHING")
            .execute(arguments: [boot, anchor.boot.stored, anchor.wall.nanoseconds])
    }

    static func anchors(_ db: Database, boot: Int64) throws -> ClockAnchors {
        let rows = try Row.fetchAll(
            db.cachedStatement(sql: "SELECT at, wall FROM clock_anchor WHERE boot = ?"), arguments: [boot])
        return ClockAnchors(rows.map { ClockAnchor(boot: BootInstant(stored: $0[0]), wall: WallInstant(nanoseconds: $0[1])) })
    }

    func transaction<T>(_ operation: String, _ body: (Database) throws -> T) throws(StoreError) -> T {
        transactionRevision = nil
        do {
            return try queue.write { db in
                let result = try body(db)
                // What was sealed must not become durable before its key.
                try values.keys.sync()
                return result
            }
        } catch {
            // What the transaction put into the caches may never have become true.
            forgetRows()
            let failure = StoreError(error, operation)
            if failure.code == .damaged { damage = failure }
            throw failure
        }
    }

    /// Reads, which waits for nobody who writes.
    func read<T>(_ body: (Database) throws -> T) throws -> T { try queue.read(body) }

    /// Forgets where rows are.
    func forgetRows() {
        sessionRows.removeAll()
        owners = nil
        userKeys.removeAll()
        applicationRows.removeAll()
    }

    /// The policy is about to be another one.
    func forgetPolicy() { lastPolicy = nil }

    /// Keys are to be destroyed, and none of those that there are is used for anybody until then.
    func awaitsKeys() { keysAreLeft = true }

    /// Something was removed, and bytes of it are left: in the log, and, for all that SQLite promises, in the file.
    func removed(scrubsFile: Bool) {
        keysAreLeft = keysAreLeft || scrubsFile
        logHoldsRemoved = true
        fileHoldsRemoved = fileHoldsRemoved || scrubsFile
        forgetRows()
    }

    /// What is old was removed: names that nothing refers to any more are left, and bytes in the log and in gaps of the file.
    package func expiryIsOver() {
        nextGap = 0
        removed(scrubsFile: false)
    }

    /// Removes the bytes of what was removed: destroys the keys whose tombstones are in the store, which a file of keys that was restored has again;
    /// writes the file anew where that is asked for, since rows that SQLite moves between pages leave
    /// copies in the gaps that secure_delete does not reach; and folds the log back into the file and cuts it off. What can't be done now,
    /// for lack of room or because somebody reads, is to be tried again. After a removal of what is old the gaps are overwritten in place, some
    /// pages at each call.
    ///
    /// - Parameter isPatient: waits a little for readers.
    package func scrub(isPatient: Bool) {
        if keysAreLeft {
            let doomed = try? queue.read { try DatabaseBytes.fetchAll($0, sql: "SELECT key FROM tombstone WHERE kind = 'key'") }
            if let doomed, (try? values.keys.destroy(doomed.compactMap { KeyID(prefix: $0) })) != nil { keysAreLeft = false }
        }
        if nextGap == 0, (try? removeUnusedNames()) != nil { nextGap = 1 }
        if fileHoldsRemoved, (try? queue.writeWithoutTransaction { try $0.execute(sql: "VACUUM; PRAGMA user_version = 0") }) != nil {
            (fileHoldsRemoved, nextGap) = (false, nil)
        }
        let isBusy = try? queue.writeWithoutTransaction { db in
            if !isPatient { try db.execute(sql: "PRAGMA busy_timeout = 0") }
            defer { if !isPatient { try? db.execute(sql: "PRAGMA busy_timeout = \(Self.patience * 1000)") } }
            return try Int.fetchOne(db, sql: "PRAGMA wal_checkpoint(TRUNCATE)") != 0
        }
        logHoldsRemoved = isBusy ?? true
        guard !logHoldsRemoved, let first = nextGap, first > 0 else { return }
        do {
            nextGap = try queue.writeWithoutTransaction { try PageGaps.overwrite(from: first, $0) }
            // That this is done is in the log at last.
            logHoldsRemoved = nextGap == nil
        } catch {
            // Tried again.
        }
    }

    // MARK: Activity

    /// Makes everything in the batch durable, or nothing of it. A batch may be written again.
    @discardableResult
    package func write(_ batch: StoreBatch) throws(StoreError) -> WriteResult {
        let before = anchors
        do throws(StoreError) {
            return try transaction("write") { db in
                var result = WriteResult()
                func count(_ isNew: Bool) {
                    if isNew { result.written += 1 } else { result.repeated += 1 }
                }
                func withSession(_ uuid: UUIDv7, _ valid: Bool = true, _ body: (Int64) throws -> Void) throws {
                    guard valid, let row = try self.row(of: uuid, db) else {
                        result.rejected += 1
                        return
                    }
                    try body(row)
                }
                if !batch.anchors.isEmpty {
                    for anchor in batch.anchors { try Self.insert(db, anchor, boot: self.boot) }
                    self.anchors = try Self.anchors(db, boot: self.boot)
                }
                if let seen = batch.seen {
                    try db.cachedStatement(sql: "UPDATE boot SET seen = ? WHERE id = ? AND seen < ?")
                        .execute(arguments: [seen.stored, self.boot, seen.stored])
                }
                if let asleep = batch.asleep {
                    try db.cachedStatement(sql: "UPDATE boot SET asleep = ? WHERE id = ?")
                        .execute(arguments: [asleep.wholeNanoseconds, self.boot])
                }
                for session in batch.sessions {
                    count(try self.insert(session, db))
                }
                for event in batch.events {
                    try withSession(event.session) { row in
                        let address = try self.sealed(event.clientAddress, as: .clientAddress, of: row, db)
                        let name = try self.sealed(event.clientName, as: .clientName, of: row, db)
                        try db.cachedStatement(
                            sql: """
                                INSERT INTO session_event (session, at, kind, client_address, client_name, revision)
                                VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                                """
                        ).execute(arguments: [
                            row, event.change.at.stored, event.change.kind.rawValue, address, name, try self.revision(db),
                        ])
                        count(db.changesCount > 0)
                    }
                }
                for focus in batch.focus {
                    try withSession(focus.session, focus.span.length > 0) { row in
                        let application = try focus.application.map { try self.row(of: $0, db) }
                        try db.cachedStatement(
                            sql: """
                                INSERT INTO focus_interval (session, start, length, application, switches, revision)
                                VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                                """
                        ).execute(arguments: [
                            row, focus.span.start.stored, Int64(clamping: focus.span.length), application, focus.switches,
                            try self.revision(db),
                        ])
                        count(db.changesCount > 0)
                    }
                }
                for burst in batch.bursts {
                    let span = TimeSpan(start: burst.burst.start, end: burst.burst.end)
                    try withSession(burst.session, span.end >= span.start) { row in
                        try db.cachedStatement(
                            sql: """
                                INSERT INTO input_burst (session, start, length, origin, revision)
                                VALUES (?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                                """
                        ).execute(arguments: [
                            row, span.start.stored, Int64(clamping: span.length), burst.burst.origin.rawValue, try self.revision(db),
                        ])
                        count(db.changesCount > 0)
                    }
                }
                for unknown in batch.unknowns {
                    let span = TimeSpan(start: unknown.interval.start, end: unknown.interval.end)
                    try withSession(unknown.session, span.length > 0) { row in
                        try db.cachedStatement(
                            sql: """
                                INSERT INTO unknown_interval (session, start, length, reason, lost, revision)
                                VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING
                                """
                        ).execute(arguments: [
                            row, span.start.stored, Int64(clamping: span.length), unknown.interval.reason.rawValue,
                            Int64(clamping: unknown.interval.lost), try self.revision(db),
                        ])
                        count(db.changesCount > 0)
                    }
                }
                for checkpoint in batch.checkpoints {
                    try withSession(checkpoint.session) { row in
                        try db.cachedStatement(
                            sql: """
                                INSERT INTO lane_checkpoint (session, generation, attempted_at, delivered, state) VALUES (?, ?, ?, ?, ?)
                                ON CONFLICT DO UPDATE SET generation = excluded.generation, attempted_at = excluded.attempted_at,
                                    delivered = excluded.delivered, state = excluded.state
                                """
                        ).execute(arguments: [
                            row, Int64(bitPattern: checkpoint.generation), Int64(bitPattern: checkpoint.attemptedAt),
                            Int64(bitPattern: checkpoint.delivered), DatabaseBytes(checkpoint.state.bytes),
                        ])
                    }
                }
                for untracking in batch.untracked {
                    // Whatever was decided since stays.
                    let decision = untracking.row
                    let latest = try Policy.decisions(db).first { $0.user == decision.user }
                    if let latest, latest.since >= decision.since { continue }
                    self.lastPolicy = nil
                    _ = try self.decide(decision, after: latest, keepsLevel: true, db)
                    _ = try self.list(decision, sids: untracking.sids, DoNotTrackList(db), db)
                }
                for fact in batch.facts {
                    if let isNew = try self.note(fact, db) { count(isNew) } else { result.rejected += 1 }
                }
                for end in batch.ended {
                    try withSession(end.session) { row in
                        count(try self.end(row, at: end.at, reason: end.reason, anchors: self.anchors, db))
                    }
                }
                return result
            }
        } catch {
            anchors = before
            throw error
        }
    }

    /// Says whether it is new. Of one that is not, the stack can have turned out to be another.
    private func insert(_ session: SessionRecord, _ db: Database) throws -> Bool {
        if let row = try row(of: session.uuid, db) {
            let isAnother = try Bool.fetchOne(
                db.cachedStatement(sql: "SELECT stack <> ? AND end IS NULL FROM session WHERE id = ?"), arguments: [session.stack, row])
            if isAnother == true {
                try db.cachedStatement(sql: "UPDATE session SET stack = ?, revision = ? WHERE id = ?")
                    .execute(arguments: [session.stack, try revision(db), row])
            }
            return false
        }
        let wall = anchors.wall(at: session.start) ?? WallInstant(nanoseconds: 0)
        let user = try row(of: session.user, at: wall, db)
        try db.cachedStatement(
            sql: """
                INSERT INTO session (uuid, boot, user, number, stack, start, start_wall, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                """
        ).execute(arguments: [
            DatabaseBytes(session.uuid.bytes), boot, user, session.id.rawValue, session.stack, session.start.stored, wall.nanoseconds,
            try revision(db),
        ])
        sessionRows[session.uuid] = db.lastInsertedRowID
        return true
    }

    /// Ends a session; its checkpoint goes. Says whether it was open.
    @discardableResult
    private func end(_ row: Int64, at moment: BootInstant, reason: EndReason, anchors: ClockAnchors, _ db: Database) throws -> Bool {
        try db.cachedStatement(sql: "DELETE FROM lane_checkpoint WHERE session = ?").execute(arguments: [row])
        guard
            let start = try Int64.fetchOne(
                db.cachedStatement(sql: "SELECT start FROM session WHERE id = ? AND end IS NULL"), arguments: [row])
        else { return false }
        let end = max(moment.stored, start)
        let wall = anchors.wall(at: BootInstant(stored: end)) ?? WallInstant(nanoseconds: 0)
        try db.cachedStatement(sql: "UPDATE session SET end = ?, end_wall = ?, end_reason = ?, revision = ? WHERE id = ?")
            .execute(arguments: [end, wall.nanoseconds, reason.rawValue, try revision(db), row])
        return true
    }

    /// The number of this transaction.
    func revision(_ db: Database) throws -> Int64 {
        if let transactionRevision { return transactionRevision }
        let value = try Int64.fetchOne(db.cachedStatement(sql: "UPDATE revision SET value = value + 1 RETURNING value")) ?? 0
        transactionRevision = value
        return value
    }

    func row(of session: UUIDv7, _ db: Database) throws -> Int64? {
        if let row = sessionRows[session] { return row }
        let row = try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT id FROM session WHERE uuid = ?"), arguments: [DatabaseBytes(session.bytes)])
        if sessionRows.count >= Self.cached { sessionRows.removeAll(keepingCapacity: true) }
        sessionRows[session] = row
        return row
    }

    func row(of application: Application, _ db: Database) throws -> Int64 {
        if let row = applicationRows[application] { return row }
        let key = DatabaseBytes(application.key)
        try db.cachedStatement(sql: "INSERT INTO application (key, executable, class, revision) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING")
            .execute(arguments: [key, application.executable, application.windowClass, try revision(db)])
        let row =
            try Int64.fetchOne(db.cachedStatement(sql: "SELECT id FROM application WHERE key = ?"), arguments: [key]) ?? 0
        if applicationRows.count >= Self.cached { applicationRows.removeAll(keepingCapacity: true) }
        applicationRows[application] = row
        return row
    }

    private struct Identifier: Hashable {
        var kind: SealedValues.Kind
        var value: String

        static func all(of user: UserIdentity) -> [Identifier] {
            [Identifier(kind: .login, value: user.login), Identifier(kind: .uid, value: String(user.uid))]
        }
    }

    func row(of user: UserIdentity, at moment: WallInstant, _ db: Database) throws -> Int64 {
        let known = try owners ?? readOwners(db)
        owners = known
        let identifiers = Identifier.all(of: user)
        let rows = identifiers.map { known[$0] }
        if let row = rows[0], rows[1] == row { return row }
        // Somebody else from now on: whoever had the login or the uid has it no longer.
        for case let owner? in rows {
            try db.execute(
                sql: "UPDATE user_identifier SET until = ? WHERE user = ? AND machine = ? AND until IS NULL",
                arguments: [moment.nanoseconds, owner, machine])
            owners = owners?.filter { $0.value != owner }
        }
        try db.execute(sql: "INSERT INTO user (uuid) VALUES (?)", arguments: [DatabaseBytes(UUIDv7(at: moment).bytes)])
        let row = db.lastInsertedRowID
        let key = try usableKey(of: user) ?? values.keys.makeKey(of: user)
        for identifier in identifiers {
            try db.execute(
                sql: "INSERT INTO user_identifier (user, kind, machine, value) VALUES (?, ?, ?, ?)",
                arguments: [row, identifier.kind.rawValue, machine, try values.seal(identifier.value, as: identifier.kind, under: key)])
            owners?[identifier] = row
        }
        userKeys[row] = key
        return row
    }

    /// The row of a user of whom something is held.
    func knownRow(of user: UserIdentity, _ db: Database) throws -> Int64? {
        let known = try owners ?? readOwners(db)
        owners = known
        let rows = Identifier.all(of: user).map { known[$0] }
        return rows[0] == rows[1] ? rows[0] : nil
    }

    /// Whether the login and the uid of a user who no longer has both are somebody else's.
    func havePassedOn(_ user: UserIdentity, _ db: Database) throws -> (login: Bool, uid: Bool) {
        let known = try owners ?? readOwners(db)
        owners = known
        let isTaken = Identifier.all(of: user).map { known[$0] != nil }
        return (isTaken[0], isTaken[1])
    }

    /// They can't be looked for in the file, which has them sealed.
    private func readOwners(_ db: Database) throws -> [Identifier: Int64] {
        let rows = try Row.fetchAll(
            db, sql: "SELECT kind, value, user FROM identifier WHERE machine = ? AND until IS NULL", arguments: [machine])
        return rows.reduce(into: [:]) { owners, row in
            guard let kind = SealedValues.Kind(rawValue: row[0]) else { return }
            owners[Identifier(kind: kind, value: row[1])] = row[2]
        }
    }

    /// A value of a session, under its user's key; nil for none, and where the user has no key any more.
    private func sealed(_ text: String, as kind: SealedValues.Kind, of session: Int64, _ db: Database) throws -> DatabaseBytes? {
        guard !text.isEmpty else { return nil }
        let user = try Int64.fetchOne(db.cachedStatement(sql: "SELECT user FROM session WHERE id = ?"), arguments: [session])
        guard let user, let key = try key(ofUser: user, db) else { return nil }
        return try values.seal(text, as: kind, under: key)
    }

    /// One that opens, and that is not to be destroyed.
    private func usableKey(of user: UserIdentity) -> KeyID? {
        keysAreLeft ? nil : values.keys.keys(of: user).first { values.keys.key($0) != nil }
    }

    /// The key of a user is that under which the identifiers are.
    func key(ofUser user: Int64, _ db: Database) throws -> KeyID? {
        if let key = userKeys[user] { return key }
        let value = try DatabaseBytes.fetchOne(
            db.cachedStatement(sql: "SELECT value FROM user_identifier WHERE user = ? LIMIT 1"), arguments: [user])
        let key = value.flatMap { KeyID(prefix: $0) }.flatMap { values.keys.key($0) == nil ? nil : $0 }
        if userKeys.count >= Self.cached { userKeys.removeAll(keepingCapacity: true) }
        userKeys[user] = key
        return key
    }

    // MARK: Restart

    /// The checkpoints of this boot's open sessions.
    package func lastCheckpoints() throws(StoreError) -> [LaneCheckpoint] {
        try sessionsOpen().compactMap(\.checkpoint)
    }

    /// The open sessions of this boot.
    package func sessionsOpen() throws(StoreError) -> [OpenSession] {
        try transaction("read open sessions") { db in
            try self.openSessions(db, "s.boot = ?", [self.boot]).map { row, _, session in
                var session = session
                session.isConnected = try Self.last(of: [.connected, .disconnected], in: row, db) != .disconnected
                session.isLocked = try Self.last(of: [.locked, .unlocked], in: row, db) == .locked
                return session
            }
        }
    }

    /// The last change of one of these kinds that a session had.
    static func last(of kinds: [StateChange.Kind], in session: Int64, _ db: Database) throws -> StateChange.Kind? {
        let list = kinds.map { String($0.rawValue) }.joined(separator: ", ")
        let kind = try UInt8.fetchOne(
            db, sql: "SELECT kind FROM session_event WHERE session = ? AND kind IN (\(list)) ORDER BY at DESC, id DESC LIMIT 1",
            arguments: [session])
        return kind.flatMap { StateChange.Kind(rawValue: $0) }
    }

    /// Ends the sessions that other boots left open, at the last moment of which anything is durable, with what was open in their folds.
    ///
    /// - Returns: the sessions that were ended, as they were.
    @discardableResult
    package func closeSessionsOfOtherBoots() throws(StoreError) -> [OpenSession] {
        let stale = try transaction("read other boots' sessions") { db in
            try self.openSessions(db, "s.boot <> ?", [self.boot])
        }
        for (row, boot, session) in stale {
            var batch = StoreBatch()
            if let checkpoint = session.checkpoint {
                var fold = SessionFold(checkpoint.state)
                // What had the focus then is known by its class only: its process is gone.
                fold.end(at: session.lastDurable) { batch.append($0, of: session.record.uuid) { _ in nil } }
            }
            try write(batch)
            _ = try transaction("end session") { db in
                try self.end(row, at: session.lastDurable, reason: .reboot, anchors: Self.anchors(db, boot: boot), db)
            }
        }
        return stale.map(\.session)
    }

    private func openSessions(
        _ db: Database, _ condition: String, _ arguments: StatementArguments
    ) throws -> [(row: Int64, boot: Int64, session: OpenSession)] {
        try Row.fetchAll(db, sql: SessionRow.select + " WHERE s.end IS NULL AND \(condition) ORDER BY s.id", arguments: arguments)
            .compactMap { SessionRow($0).map { ($0.row, $0.boot, $0.open) } }
    }

    // MARK: Policy

    /// The policy as it is.
    package func policy() throws(StoreError) -> Policy {
        let policy = try transaction("read policy") { try Policy($0) }
        lastPolicy = policy
        return policy
    }

    /// Decides about users, all or none, and records who did and why. The Do Not Track list follows: who is to be tracked leaves it, and
    /// who is not is on it with all identifiers.
    ///
    /// - Parameters:
    ///   - sids: those of the users' that are known.
    ///   - level: nil leaves the users' levels as they are.
    /// - Returns: of each user in turn the decision that now holds, and whether anything changed.
    package func setTracking(
        _ users: [UserIdentity], sids: [UserIdentity: Set<SecurityID>] = [:], tracked: Bool, level: PrivacyLevel? = nil, by: String,
        reason: String, responsible: String = "", at moment: WallInstant
    ) throws(StoreError) -> [(row: Policy.Row, changed: Bool)] {
        lastPolicy = nil
        return try transaction("set tracking") { db in
            var decided = Dictionary(try Policy.decisions(db).map { ($0.user, $0) }) { first, _ in first }
            let list = try DoNotTrackList(db)
            return try users.map { user in
                let decision = Policy.Row(
                    user: user, tracked: tracked, level: level ?? .basic, since: moment, by: by, reason: reason, responsible: responsible)
                let (row, isDecided) = try self.decide(decision, after: decided[user], keepsLevel: level == nil, db)
                decided[user] = row
                return (row, try self.list(decision, sids: sids[user] ?? [], list, db) || isDecided)
            }
        }
    }

    /// Puts those whom the subjects name on the Do Not Track list, or takes them off: all or none.
    ///
    /// - Parameter sids: those of users' that are known.
    /// - Returns: of each subject in turn whether anything changed.
    package func setDoNotTrack(
        _ subjects: [DoNotTrackList.Subject], listed: Bool, sids: [UserIdentity: Set<SecurityID>] = [:], by: String, reason: String,
        responsible: String = "", at moment: WallInstant
    ) throws(StoreError) -> [Bool] {
        lastPolicy = nil
        return try transaction("set Do Not Track") { db in
            let user = try Self.naming(db, sids: sids)
            return try subjects.map { subject in
                guard listed else {
                    return try self.remove(
                        subject, about: user(subject), by: by, reason: reason, responsible: responsible, at: moment, db)
                }
                let entry = DoNotTrackList.Entry(subject, since: moment, by: by, reason: reason)
                return try self.add(entry, about: user(subject), db)
            }
        }
    }

    /// Brings the Do Not Track list to a decision about a user, and says whether that changed it.
    ///
    /// - Parameter list: as it is, or with what was taken off since.
    private func list(_ decision: Policy.Row, sids: Set<SecurityID>, _ list: DoNotTrackList, _ db: Database) throws -> Bool {
        var isChanged = false
        let user = try row(of: decision.user, at: decision.since, db)
        if decision.tracked {
            for subject in list.subjects(naming: decision.user, sids: sids) {
                let isRemoved = try remove(
                    subject, about: user, by: decision.by, reason: decision.reason, responsible: decision.responsible, at: decision.since,
                    db)
                isChanged = isRemoved || isChanged
            }
        } else {
            for subject in DoNotTrackList.Subject.all(of: decision.user, sids: sids) {
                let entry = DoNotTrackList.Entry(subject, since: decision.since, by: decision.by, reason: decision.reason)
                isChanged = try add(entry, about: user, db) || isChanged
            }
        }
        return isChanged
    }

    /// - Parameter user: the one user whom it names, if there is one.
    func add(_ entry: DoNotTrackList.Entry, about user: Int64?, _ db: Database) throws -> Bool {
        guard try entry.insert(db, revision: revision(db)) else { return false }
        try record(db, entry.since, entry.by, about: user, "do-not-track-added", entry.subject, entry.reason)
        return true
    }

    private func remove(
        _ subject: DoNotTrackList.Subject, about user: Int64?, by: String, reason: String, responsible: String, at moment: WallInstant,
        _ db: Database
    ) throws -> Bool {
        let (kind, value, domain) = subject.columns
        try db.execute(sql: "DELETE FROM do_not_track WHERE kind = ? AND value = ? AND domain = ?", arguments: [kind, value, domain])
        guard db.changesCount > 0 else { return false }
        // The list alone has logins in the clear.
        logHoldsRemoved = true
        try record(db, moment, by, about: user, "do-not-track-removed", subject, reason, responsible: responsible)
        return true
    }

    /// Gives the row of the one user whom a subject names now; nil where that is nobody, or more than one.
    ///
    /// - Parameter sids: those of users' that are known.
    static func naming(
        _ db: Database, sids: [UserIdentity: Set<SecurityID>] = [:]
    ) throws -> (DoNotTrackList.Subject) -> Int64? {
        let rows = try Row.fetchAll(
            db,
            sql: """
                SELECT l.user, l.value, u.value FROM identifier l
                JOIN identifier u ON u.user = l.user AND u.kind = 'uid' AND u.until IS NULL
                WHERE l.kind = 'login' AND l.until IS NULL
                """)
        var byName: [String: [(row: Int64, identity: UserIdentity)]] = [:]
        var byUID: [UInt32: [Int64]] = [:]
        var bySID: [SecurityID: [Int64]] = [:]
        for row in rows {
            let identity = UserIdentity(login: row[1], uid: UInt32(row[2] as String) ?? .max)
            byName[LoginName(login: identity.login).name, default: []].append((row[0], identity))
            byUID[identity.uid, default: []].append(row[0])
            for sid in sids[identity] ?? [] { bySID[sid, default: []].append(row[0]) }
        }
        return { subject in
            let named: [Int64]
            switch subject {
            case .uid(let uid): named = byUID[uid] ?? []
            case .sid(let sid): named = bySID[sid] ?? []
            case .login(let name): named = (byName[name.name] ?? []).filter { subject.names($0.identity, sids: []) }.map(\.row)
            }
            return named.count == 1 ? named[0] : nil
        }
    }

    /// Makes a policy hold that another store had, with who decided what when.
    func carryOver(_ policy: Policy) throws(StoreError) {
        try transaction("carry the policy over") { db in
            try RecoveredStore.dropPolicy(db, isAll: true)
            for row in policy.rows { _ = try self.decide(row, after: nil, db) }
            let user = try Self.naming(db)
            for entry in policy.doNotTrack.entries { _ = try self.add(entry, about: user(entry.subject), db) }
            for setting in policy.settings { try self.set(setting, db) }
            for role in policy.roles { _ = try self.add(role, db) }
            for member in policy.ownGroups.members { _ = try self.add(member, db) }
        }
    }

    /// - Parameter old: what holds for the user until now.
    private func decide(
        _ decision: Policy.Row, after old: Policy.Row?, keepsLevel: Bool = false, _ db: Database
    ) throws -> (row: Policy.Row, changed: Bool) {
        let row = try self.row(of: decision.user, at: decision.since, db)
        var new = decision
        if keepsLevel, let old { new.level = old.level }
        // More that is recorded stands on its grounds: on others it is another decision.
        let isAnother = new.tracked && (new.responsible, new.reason) != (old?.responsible, old?.reason)
        if let old, old.tracked == new.tracked, old.level == new.level, !isAnother { return (old, false) }
        try db.execute(
            sql: """
                INSERT INTO tracking (user, tracked, level, since, by, reason, responsible, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET tracked = excluded.tracked, level = excluded.level, since = excluded.since,
                    by = excluded.by, reason = excluded.reason, responsible = excluded.responsible, revision = excluded.revision
                """,
            arguments: [
                row, new.tracked ? 1 : 0, new.level.rawValue, new.since.nanoseconds, new.by, new.reason, new.responsible,
                try revision(db),
            ])
        if old?.tracked != new.tracked || isAnother {
            try record(
                db, new.since, new.by, row, "tracked", new.tracked ? "true" : "false", new.reason, responsible: new.responsible)
        }
        if (old?.level ?? .basic) != new.level {
            try record(db, new.since, new.by, row, "level", new.level.name, new.reason, responsible: new.responsible)
        }
        return (new, true)
    }

    /// Changes a setting and records who did and why. Which keys and values there are is the caller's to check.
    ///
    /// - Parameter anew: also where it was so already: it is another decision.
    /// - Returns: whether anything changed.
    package func set(
        _ key: String, to value: String, anew: Bool = false, by: String, reason: String, responsible: String = "", at moment: WallInstant
    ) throws(StoreError) -> Bool {
        lastPolicy = nil
        return try transaction("set \(key)") { db in
            let old = try Row.fetchOne(db, sql: "SELECT value, responsible FROM setting WHERE key = ?", arguments: [key])
            if !anew, let old, old[0] == value, old[1] == responsible { return false }
            let setting = Policy.Setting(key: key, value: value, since: moment, by: by, reason: reason, responsible: responsible)
            try self.set(setting, db)
            return true
        }
    }

    /// Gives roles, or takes them away, all or none, and records that.
    ///
    /// - Returns: of each in turn whether it was otherwise before.
    package func set(
        _ grants: [RoleGrant], granted: Bool, by: String, reason: String, at moment: WallInstant
    ) throws(StoreError) -> [Bool] {
        lastPolicy = nil
        return try transaction("set roles") { db in
            try grants.map { grant in
                if granted { return try self.add(Policy.RoleRow(grant: grant, since: moment, by: by, reason: reason), db) }
                try db.execute(
                    sql: "DELETE FROM role WHERE role = ? AND member = ? AND views = ?",
                    arguments: [grant.role.rawValue, grant.group, grant.views])
                guard db.changesCount > 0 else { return false }
                try self.record(db, moment, by, nil, "role-revoked", grant.description, reason)
                return true
            }
        }
    }

    private func add(_ row: Policy.RoleRow, _ db: Database) throws -> Bool {
        let grant = row.grant
        try db.execute(
            sql: "INSERT OR IGNORE INTO role (role, member, views, since, by, reason, revision) VALUES (?, ?, ?, ?, ?, ?, ?)",
            arguments: [grant.role.rawValue, grant.group, grant.views, row.since.nanoseconds, row.by, row.reason, try revision(db)])
        guard db.changesCount > 0 else { return false }
        try record(db, row.since, row.by, nil, "role-granted", grant.description, row.reason)
        return true
    }

    /// Makes users members of an own group, or not any more, all or none, and records that.
    ///
    /// - Parameter responsible: who answers for it, of whom more is recorded by that.
    /// - Returns: of each in turn whether it was otherwise before.
    package func set(
        _ users: [UserIdentity], in group: OwnGroup, member: Bool, by: String, reason: String, responsible: [UserIdentity: String] = [:],
        at moment: WallInstant
    ) throws(StoreError) -> [Bool] {
        lastPolicy = nil
        return try transaction("set a group") { db in
            try users.map { user in
                let answers = responsible[user] ?? ""
                if member {
                    return try self.add(OwnGroups.Member(group, user, since: moment, by: by, reason: reason), responsible: answers, db)
                }
                // Whoever is not known is in none, and does not become known by that.
                var one = SessionFilter()
                one.identities = [user]
                let known = one.conditions(onUser: "u.id").conjunction
                let rows = try Int64.fetchAll(db, sql: "SELECT u.id FROM user u WHERE \(known.sql)", arguments: known.values)
                guard let row = rows.first else { return false }
                try db.execute(sql: "DELETE FROM own_group WHERE name = ? AND user = ?", arguments: [group.name, row])
                guard db.changesCount > 0 else { return false }
                try self.record(db, moment, by, row, "group-left", group.description, reason, responsible: answers)
                return true
            }
        }
    }

    private func add(_ member: OwnGroups.Member, responsible: String = "", _ db: Database) throws -> Bool {
        let row = try self.row(of: member.user, at: member.since, db)
        try db.execute(
            sql: "INSERT OR IGNORE INTO own_group (name, user, since, by, reason, revision) VALUES (?, ?, ?, ?, ?, ?)",
            arguments: [member.group.name, row, member.since.nanoseconds, member.by, member.reason, try revision(db)])
        guard db.changesCount > 0 else { return false }
        try record(
            db, member.since, member.by, row, "group-joined", member.group.description, member.reason, responsible: responsible)
        return true
    }

    /// - Parameter audited: what the audit record has in place of the value.
    func set(_ setting: Policy.Setting, _ db: Database, audited: String? = nil) throws {
        try db.execute(
            sql: """
                INSERT INTO setting (key, value, since, by, reason, responsible, revision) VALUES (?, ?, ?, ?, ?, ?, ?)
                ON CONFLICT DO UPDATE SET value = excluded.value, since = excluded.since, by = excluded.by,
                    reason = excluded.reason, responsible = excluded.responsible, revision = excluded.revision
                """,
            arguments: [
                setting.key, setting.value, setting.since.nanoseconds, setting.by, setting.reason, setting.responsible, try revision(db),
            ])
        try record(
            db, setting.since, setting.by, nil, setting.key, setting.value, setting.reason, responsible: setting.responsible,
            audited: audited)
    }

    /// Notes a change of the policy, and in the audit record, too.
    ///
    /// - Parameter audited: what the audit record has in place of the value.
    func record(
        _ db: Database, _ moment: WallInstant, _ by: String, _ user: Int64?, _ key: String, _ value: String, _ reason: String,
        responsible: String = "", audited: String? = nil
    ) throws {
        try insertChange(db, moment, by, user, key, value, reason, responsible)
        try audit(key, of: uuid(ofUser: user, db), audited ?? value, by: by, at: moment, db)
    }

    /// Likewise a change of the Do Not Track list, of the user whom the entry names in place of the entry: neither record can forget. Of an entry
    /// that names nobody who is known the record of policy changes has all, and the audit record nothing.
    private func record(
        _ db: Database, _ moment: WallInstant, _ by: String, about user: Int64?, _ key: String, _ subject: DoNotTrackList.Subject,
        _ reason: String, responsible: String = ""
    ) throws {
        try insertChange(db, moment, by, user, key, user == nil ? subject.description : subject.columns.kind, reason, responsible)
        try audit(key, of: uuid(ofUser: user, db), "", by: by, at: moment, db)
    }

    private func uuid(ofUser row: Int64?, _ db: Database) throws -> UUIDv7? {
        guard let row else { return nil }
        return try DatabaseBytes.fetchOne(db.cachedStatement(sql: "SELECT uuid FROM user WHERE id = ?"), arguments: [row])
            .flatMap { UUIDv7(bytes: $0) }
    }

    private func insertChange(
        _ db: Database, _ moment: WallInstant, _ by: String, _ user: Int64?, _ key: String, _ value: String, _ reason: String,
        _ responsible: String
    ) throws {
        try db.execute(
            sql: "INSERT INTO policy_change (at, by, user, key, value, reason, responsible, revision) VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            arguments: [moment.nanoseconds, by, user, key, value, reason, responsible, try revision(db)])
    }
}

extension Policy {
    init(_ db: Database) throws {
        self.init()
        rows = try Self.decisions(db)
        settings = try GRDB.Row.fetchAll(db, sql: "SELECT * FROM setting ORDER BY key").map { row in
            Setting(
                key: row["key"], value: row["value"], since: WallInstant(nanoseconds: row["since"]), by: row["by"], reason: row["reason"],
                // Not in a store from before it was asked for.
                responsible: row["responsible"] ?? "")
        }
        doNotTrack = try DoNotTrackList(db)
        // Not in a store from before there were roles.
        guard try db.tableExists("role") else { return }
        ownGroups = OwnGroups(
            try GRDB.Row.fetchAll(
                db,
                sql: """
                    SELECT g.name, l.value AS login, i.value AS uid, g.since, g.by, g.reason FROM own_group g
                    JOIN identifier l ON l.user = g.user AND l.kind = 'login' AND l.until IS NULL
                    JOIN identifier i ON i.user = g.user AND i.kind = 'uid' AND i.until IS NULL
                    ORDER BY g.name, login
                    """
            ).compactMap { row in
                guard let group = OwnGroup(name: row[0]), let uid = UInt32(row[2] as String) else { return nil }
                return OwnGroups.Member(
                    group, UserIdentity(login: row[1], uid: uid), since: WallInstant(nanoseconds: row[3]), by: row[4], reason: row[5])
            })
        roles = try GRDB.Row.fetchAll(db, sql: "SELECT role, member, views, since, by, reason FROM role").compactMap { row in
            // What a newer version's role may is not known.
            guard let role = Role(rawValue: row[0]), let grant = RoleGrant(role, group: row[1], views: row[2]) else { return nil }
            return RoleRow(grant: grant, since: WallInstant(nanoseconds: row[3]), by: row[4], reason: row[5])
        }.sorted { $0.grant < $1.grant }
        raises = try Self.raises(db)
    }

    /// What was decided on grounds beside who is tracked.
    private static func raises(_ db: Database) throws -> [PolicyChange] {
        // Not in a store from before it was asked for.
        guard try db.columns(in: "policy_change").contains(where: { $0.name == "responsible" }) else { return [] }
        return try GRDB.Row.fetchAll(
            db,
            sql: """
                SELECT c.at, c.by, c.key, c.value, c.reason, c.responsible, c.user, l.value AS login, i.value AS uid FROM policy_change c
                LEFT JOIN identifier l ON l.user = c.user AND l.kind = 'login' AND l.until IS NULL
                LEFT JOIN identifier i ON i.user = c.user AND i.kind = 'uid' AND i.until IS NULL
                WHERE c.id IN (
                    SELECT max(id) FROM policy_change
                    WHERE responsible <> '' AND key IN ('do-not-track-removed', 'group-joined', 'group-left') GROUP BY user, key, value)
                ORDER BY c.id
                """
        ).compactMap { row in
            let user = (row["uid"] as String?).flatMap { UInt32($0) }.flatMap { uid in
                (row["login"] as String?).map { UserIdentity(login: $0, uid: uid) }
            }
            // Of one whose login or UID is another's by now.
            if (row["user"] as Int64?) != nil, user == nil { return nil }
            return PolicyChange(
                at: WallInstant(nanoseconds: row["at"]), by: row["by"], user: user, key: row["key"], value: row["value"],
                reason: row["reason"], responsible: row["responsible"])
        }
    }

    /// The decisions about users.
    static func decisions(_ db: Database) throws -> [Row] {
        try GRDB.Row.fetchAll(
            db,
            sql: """
                SELECT l.value AS login, u.value AS uid, t.* FROM tracking t
                JOIN identifier l ON l.user = t.user AND l.kind = 'login' AND l.until IS NULL
                JOIN identifier u ON u.user = t.user AND u.kind = 'uid' AND u.until IS NULL
                ORDER BY login
                """
        ).compactMap { row in
            guard let uid = UInt32(row["uid"] as String) else { return nil }
            return Row(row, of: UserIdentity(login: row["login"], uid: uid))
        }
    }
}

extension Policy.Row {
    /// Reads the columns of `tracking`.
    init(_ row: GRDB.Row, of user: UserIdentity) {
        self.init(
            user: user, tracked: (row["tracked"] as Int64) != 0,
            level: PrivacyLevel(rawValue: UInt8(clamping: row["level"] as Int64)) ?? .basic,
            since: WallInstant(nanoseconds: row["since"]), by: row["by"], reason: row["reason"],
            // Not in a store from before it was asked for.
            responsible: row["responsible"] ?? "")
    }
}

extension DoNotTrackList {
    init(_ db: Database) throws {
        // In a store from before there was a list.
        guard try db.tableExists("do_not_track") else {
            self.init(Self.untracked(try Policy.decisions(db)))
            return
        }
        let rows = try Row.fetchAll(db, sql: "SELECT kind, value, domain, since, by, reason FROM do_not_track ORDER BY id")
        let entries: [Entry] = rows.compactMap { row -> Entry? in
            // Kinds of newer versions name nobody whom this one could know.
            let (kind, value, domain) = (row[0] as String, row[1] as String, row[2] as String)
            guard let subject = Subject(kind: kind, value: value, domain: domain) else { return nil }
            return Entry(subject, since: WallInstant(nanoseconds: row[3]), by: row[4], reason: row[5])
        }
        self.init(entries)
    }

    /// Everything by which those are known who were untracked.
    static func untracked(_ decisions: [Policy.Row]) -> [Entry] {
        decisions.filter { !$0.tracked }.flatMap { row in
            Subject.all(of: row.user, sids: []).map { Entry($0, since: row.since, by: row.by, reason: row.reason) }
        }
    }
}

extension DoNotTrackList.Entry {
    /// Says whether the subject was not in the list before.
    func insert(_ db: Database, revision: Int64) throws -> Bool {
        let (kind, value, domain) = subject.columns
        try db.execute(
            sql: "INSERT OR IGNORE INTO do_not_track (kind, value, domain, since, by, reason, revision) VALUES (?, ?, ?, ?, ?, ?, ?)",
            arguments: [kind, value, domain, since.nanoseconds, by, reason, revision])
        return db.changesCount > 0
    }
}

extension DoNotTrackList.Subject {
    var columns: (kind: String, value: String, domain: String) {
        switch self {
        case .login(let name): ("login", name.name, name.domain)
        case .uid(let uid): ("uid", String(uid), "")
        case .sid(let sid): ("sid", sid.description, "")
        }
    }

    fileprivate init?(kind: String, value: String, domain: String) {
        switch kind {
        case "login": self = .login(LoginName(value, domain: domain))
        case "uid":
            guard let uid = UInt32(value) else { return nil }
            self = .uid(uid)
        case "sid":
            guard let sid = SecurityID(value) else { return nil }
            self = .sid(sid)
        default: return nil
        }
    }
}

extension DatabaseQueue {
    /// Closes the file and lets the object live for ever.
    ///
    /// A dispatch queue that is let go of is taken apart on a worker thread, and libdispatch then wakes once a second for as long as the
    /// process lives, to look after its workers. A few hundred bytes for each file that is opened beside the store are less.
    func closeAndKeep() {
        try? close()
        _ = Unmanaged.passRetained(self)
    }
}
