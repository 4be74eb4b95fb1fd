import GRDB
import Glibc
import TermspanAccounting
package import TermspanCore

/// What was taken out of a damaged store, and what was not: Docs/adr/0030-recovery.md.
package struct StoreRecovery: Equatable, Sendable {
    /// What became of a table.
    package struct Table: Equatable, Sendable {
        package var name: String
        /// Rows that are in the new store.
        package var kept = 0
        /// Places at which rows are missing: a page at least, or what was in the middle of a tree.
        package var holes = 0
        /// Rows that were whole and are left out: what they belong to is lost, or they contradict another.
        package var orphans = 0

        package var isWhole: Bool { holes == 0 && orphans == 0 }
    }

    /// Time of a session of which something that was stored is lost: it is Unknown now, store-damaged.
    package struct Stretch: Equatable, Sendable {
        package var session: UUIDv7
        package var user: UUIDv7
        package var start: WallInstant
        package var end: WallInstant
    }

    package var tables: [Table] = []
    package var stretches: [Stretch] = []
    /// Transactions that came after a place at which the log is damaged.
    package var lostCommits = 0
    /// Entries of the audit record that are missing, by their numbers.
    package var lostAudit: [ClosedRange<Int64>] = []

    /// Whether anything is lost at all.
    package var isComplete: Bool { lostCommits == 0 && tables.allSatisfy(\.isWhole) }

    /// Whether all is there on which it rests who is tracked.
    var keepsPolicy: Bool {
        lostCommits == 0 && tables.allSatisfy { !Self.ofPolicy.contains($0.name) || $0.isWhole }
    }

    private static let ofPolicy: Set = ["user", "user_identifier", "tracking", "setting", "do_not_track", "role", "own_group"]

    /// What is lost, in one line that names nobody.
    package var text: String {
        if isComplete { return "nothing is lost" }
        var parts = tables.filter { !$0.isWhole }.map { table in
            var text = "\(table.name) at \(table.holes) place\(table.holes == 1 ? "" : "s")"
            if table.orphans > 0 { text += " and \(table.orphans) of its rows without what they belong to" }
            return "\(text) (\(table.kept) rows kept)"
        }
        if lostCommits > 0 { parts.append("the last \(lostCommits) transactions, since the log is damaged") }
        let sessions = Set(stretches.map(\.session))
        if let first = stretches.map(\.start).min(), let last = stretches.map(\.end).max() {
            parts.append("time of \(sessions.count) sessions between \(first.utcText) and \(last.utcText)")
        }
        if !lostAudit.isEmpty {
            let ranges = lostAudit.prefix(20).map { $0.count == 1 ? "\($0.lowerBound)" : "\($0.lowerBound) to \($0.upperBound)" }
            parts.append("entries \(ranges.joined(separator: ", ")) of the audit record")
        }
        return "lost: \(parts.joined(separator: "; "))"
    }

    /// All of it, for who looks into it: a line for each table, and for each time of a session that is Unknown now.
    package var report: String {
        var lines = tables.map { "table \($0.name) kept=\($0.kept) holes=\($0.holes) orphans=\($0.orphans)" }
        lines.append("log lost-transactions=\(lostCommits)")
        lines += lostAudit.map { "audit missing=\($0.lowerBound)-\($0.upperBound)" }
        lines += stretches.prefix(100_000).map {
            "unknown user=\($0.user) session=\($0.session) start=\($0.start.utcText) end=\($0.end.utcText)"
        }
        return lines.joined(separator: "\n") + "\n"
    }
}

extension WallInstant {
    /// `2026-01-02T03:04:05Z`.
    var utcText: String {
        var seconds = time_t(nanoseconds / 1_000_000_000)
        var parts = tm()
        gmtime_r(&seconds, &parts)
        var text = [CChar](repeating: 0, count: 32)
        strftime(&text, text.count, "%Y-%m-%dT%H:%M:%SZ", &parts)
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }
}

/// Makes a store of what is whole of a damaged one.
struct RecoveredStore {
    private var salvage: StoreSalvage
    private let trees: [StoreSalvage.Entry]
    private let place: StorePlace
    private var recovery = StoreRecovery()
    private var holes: [Hole] = []
    /// Key files of which the damaged store says that they are its own.
    private var roots: [KeyID] = []

    /// Where rows of one stream are missing: after what the row before tells of, up to the row that follows.
    private struct Hole {
        var after: (session: Int64, end: Int64)?
        var before: (session: Int64, start: Int64)?
        /// Whether what is missing leaves a gap of its own, in which nothing says what had the focus.
        var leavesGap: Bool
    }

    /// Tables of which the rows are the new store's own.
    private static let own: Set = ["grdb_migrations", "key_file", "revision", "sqlite_sequence"]

    /// Writes the place's draft. Nothing is read of what is free, and nothing by SQLite.
    ///
    /// - Returns: nil where nothing of a store is in the file.
    /// - Throws: `.keys` where the file's keys are not those that there are.
    static func make(of place: StorePlace, at moment: ClockAnchor) throws(StoreError) -> StoreRecovery? {
        guard let pages = DamagedPages(path: place.path) else { return nil }
        let lostCommits = pages.lostCommits
        var salvage = StoreSalvage(pages)
        var keys: SealedValues?
        defer { keys?.keys.close() }
        do {
            let trees = try salvage.trees { known, isWhole in
                let values = SealedValues(
                    keys: try KeyFile(place.keys, creates: !known.contains { $0.name == "key_file" }, writes: true))
                keys = values
                return isWhole ? [] : try Self.layouts(values)
            }
            guard let keys, !trees.isEmpty else { return nil }
            var recovered = RecoveredStore(salvage, place, trees)
            recovered.recovery.lostCommits = lostCommits
            return try recovered.write(keys, at: moment)
        } catch {
            throw StoreError(error, "recover \(place.path)")
        }
    }

    private init(_ salvage: StoreSalvage, _ place: StorePlace, _ trees: [StoreSalvage.Entry]) {
        self.salvage = salvage
        self.place = place
        self.trees = trees
    }

    private static func configuration(_ values: SealedValues) -> GRDB.Configuration {
        var configuration = GRDB.Configuration()
        configuration.label = "termspan-recovery"
        configuration.foreignKeysEnabled = false
        configuration.prepareDatabase { try values.register($0) }
        return configuration
    }

    /// Where a store has its trees that was never written anew, and where one that was.
    private static func layouts(_ values: SealedValues) throws -> [[StoreSalvage.Entry]] {
        let queue = try DatabaseQueue(configuration: configuration(values))
        defer { queue.closeAndKeep() }
        func layout() throws -> [StoreSalvage.Entry] {
            try queue.read { db in
                try Row.fetchAll(db, sql: "SELECT type, name, tbl_name, rootpage FROM sqlite_schema WHERE rootpage > 1").map {
                    StoreSalvage.Entry(type: $0[0], name: $0[1], table: $0[2], root: $0[3])
                }
            }
        }
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL") }
        try Schema.migrator(values).migrate(queue)
        let fresh = try layout()
        try queue.writeWithoutTransaction { try $0.execute(sql: "VACUUM") }
        return [fresh, try layout()]
    }

    // MARK: Tables

    private mutating func write(_ values: SealedValues, at moment: ClockAnchor) throws -> StoreRecovery? {
        let queue = try DatabaseQueue(path: place.draft, configuration: Self.configuration(values))
        defer { queue.closeAndKeep() }
        try queue.writeWithoutTransaction { db in
            // Whoever is killed meanwhile begins anew.
            try db.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL; PRAGMA journal_mode = MEMORY; PRAGMA synchronous = OFF")
        }
        // By the damaged file's own version, which may be older: the rest of the way is that of every older store.
        let version = try latestMigration()
        try Schema.migrator(values).migrate(queue, upTo: version)
        let tables = try queue.write { db in try self.fill(db, at: moment) }
        guard tables > 0 else { return nil }
        let isOfOtherKeys = !roots.isEmpty && !roots.contains(values.keys.rootID)
        guard !isOfOtherKeys else {
            throw StoreError(.keys, "open \(place.keys.path)", "these are the keys of another store: restore its own; see termspan-keys(7)")
        }
        return recovery
    }

    /// The last migration of which the damaged file knows; where it tells of none, the last that there is.
    private mutating func latestMigration() throws -> String {
        let known = Schema.versions.migrations
        var applied: Set<String> = []
        if let root = root(of: "grdb_migrations") {
            let shape = StoreSalvage.Shape(columns: [.init(affinity: .text, isRequired: true)], hasRowid: true)
            salvage.walk(root, shape) { item in
                if case .row(_, let values) = item, case .text(let name)? = values.first { applied.insert(name) }
            }
        }
        return known.last { applied.contains($0) } ?? known[known.count - 1]
    }

    private func root(of table: String) -> UInt32? { trees.first { $0.type == "table" && $0.name == table }?.root }

    /// Copies all rows, and has what is left refer to each other.
    ///
    /// - Returns: how many tables there were.
    private mutating func fill(_ db: Database, at moment: ClockAnchor) throws -> Int {
        let names = try String.fetchAll(
            db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name")
        var found = 0
        for name in names {
            guard let root = root(of: name) else {
                if !Self.own.contains(name) { recovery.tables.append(.init(name: name, holes: 1)) }
                continue
            }
            found += 1
            if name == "key_file" { readKeyFile(root) }
            guard !Self.own.contains(name) else { continue }
            recovery.tables.append(try copy(name, root, db))
        }
        try completeFromIndexes(db)
        try removeOrphans(db, at: moment)
        try markHoles(db)
        try restartSessions(db)
        findLostAudit(try Int64.fetchAll(db, sql: "SELECT id FROM audit ORDER BY id"), isAudited: names.contains("audit"))
        try raiseNumbers(names, db)
        try dropDoubtfulPolicy(names, db)
        return found
    }

    private mutating func readKeyFile(_ root: UInt32) {
        var found: [KeyID] = []
        let shape = StoreSalvage.Shape(columns: [.init(affinity: .blob, isRequired: true)], hasRowid: true)
        salvage.walk(root, shape) { item in
            if case .row(_, let values) = item, case .blob(let bytes)? = values.first, let key = KeyID(prefix: bytes) { found.append(key) }
        }
        roots = found
    }

    /// How rows of a table look, by the new store's own.
    private static func shape(of table: String, _ db: Database) throws -> StoreSalvage.Shape {
        let hasRowid = try !Bool.fetchOne(
            db, sql: "SELECT wr FROM pragma_table_list WHERE name = ? AND schema = 'main'", arguments: [table])!
        let columns = try Row.fetchAll(db, sql: "SELECT type, \"notnull\", pk FROM pragma_table_info(?) ORDER BY cid", arguments: [table])
        let keyCount = columns.count { ($0["pk"] as Int64) > 0 }
        return StoreSalvage.Shape(
            columns: columns.map { column in
                let affinity: StoreSalvage.Shape.Affinity =
                    switch column["type"] as String {
                    case "INTEGER": .integer
                    case "TEXT": .text
                    case "BLOB": .blob
                    default: .any
                    }
                let isKey = (column["pk"] as Int64) > 0
                return .init(
                    affinity: affinity, isRequired: (column["notnull"] as Int64) != 0 || (isKey && !hasRowid),
                    isRowid: isKey && hasRowid && affinity == .integer && keyCount == 1)
            }, hasRowid: hasRowid, keyCount: keyCount)
    }

    private static let streams = ["focus_interval", "input_burst", "unknown_interval"]

    private mutating func copy(_ name: String, _ root: UInt32, _ db: Database) throws -> StoreRecovery.Table {
        let shape = try Self.shape(of: name, db)
        var table = StoreRecovery.Table(name: name)
        var holes: [Hole] = []
        let isStream = Self.streams.contains(name)
        var last: (session: Int64, end: Int64)?
        var isOpen = false
        try salvage.walk(root, shape) { item in
            guard case .row(let rowid, var values) = item else {
                table.holes += isOpen ? 0 : 1
                if isStream, !isOpen { holes.append(Hole(after: last, before: nil, leavesGap: name != "input_burst")) }
                isOpen = true
                return
            }
            if let number = shape.columns.firstIndex(where: \.isRowid) { values[number] = .integer(rowid) }
            if isStream, case .integer(let session) = values[0], case .integer(let start) = values[1], case .integer(let length) = values[2]
            {
                if isOpen { holes[holes.count - 1].before = (session, start) }
                last = (session, start.addingReportingOverflow(max(0, length)).partialValue)
            }
            isOpen = false
            if try Self.insert(values, into: name, db) { table.kept += 1 } else { table.orphans += 1 }
        }
        self.holes += holes
        return table
    }

    /// Says whether the row could be one of the table's; what is missing at its end has the value that the table gives it.
    private static func insert(_ values: [SalvagedValue], into table: String, _ db: Database) throws -> Bool {
        let columns = try db.columns(in: table).prefix(values.count).map { $0.name.quotedDatabaseIdentifier }
        let marks = [String](repeating: "?", count: columns.count)
        let sql = "INSERT OR IGNORE INTO \(table) (\(columns.joined(separator: ", "))) VALUES (\(marks.joined(separator: ", ")))"
        let arguments = values.map { value -> (any DatabaseValueConvertible)? in
            switch value {
            case .null: nil
            case .integer(let number): number
            case .text(let text): text
            case .blob(let bytes): DatabaseBytes(bytes)
            }
        }
        try db.cachedStatement(sql: sql).execute(arguments: StatementArguments(arguments))
        return db.changesCount > 0
    }

    // MARK: What indexes have of rows that are lost

    private mutating func completeFromIndexes(_ db: Database) throws {
        typealias Column = StoreSalvage.Shape.Column
        let number = Column(affinity: .integer, isRequired: true)
        let key = Column(affinity: .blob, isRequired: true)
        let sources: [(table: String, columns: [Column], sql: String)] = [
            ("user", [key, number], "INSERT OR IGNORE INTO user (uuid, id) VALUES (?, ?)"),
            ("boot", [number, key, number], "INSERT OR IGNORE INTO boot (machine, boot_id, id) VALUES (?, ?, ?)"),
            ("application", [key, number], "INSERT OR IGNORE INTO application (key, id, revision) VALUES (?, ?, 0)"),
            (
                "session_event", [number, number, number, number],
                "INSERT OR IGNORE INTO session_event (session, at, kind, id, revision) VALUES (?, ?, ?, ?, 0)"
            ),
        ]
        for source in sources {
            guard let index = recovery.tables.firstIndex(where: { $0.name == source.table }), recovery.tables[index].holes > 0,
                let root = trees.first(where: { $0.type == "index" && $0.table == source.table && $0.name.hasPrefix("sqlite_autoindex_") })?
                    .root
            else { continue }
            var (added, missing) = (0, 0)
            let isEvents = source.table == "session_event"
            var holes: [Hole] = []
            var last: (session: Int64, end: Int64)?
            var isOpen = false
            try salvage.walk(root, .init(columns: source.columns, hasRowid: false, keyCount: source.columns.count)) { item in
                guard case .row(_, let values) = item else {
                    missing += isOpen ? 0 : 1
                    if isEvents, !isOpen { holes.append(Hole(after: last, before: nil, leavesGap: false)) }
                    isOpen = true
                    return
                }
                if isEvents, case .integer(let session) = values[0], case .integer(let at) = values[1] {
                    if isOpen { holes[holes.count - 1].before = (session, at) }
                    last = (session, at)
                }
                isOpen = false
                let arguments = values.map { value -> (any DatabaseValueConvertible)? in
                    switch value {
                    case .integer(let number): number
                    case .blob(let bytes): DatabaseBytes(bytes)
                    default: nil
                    }
                }
                try db.cachedStatement(sql: source.sql).execute(arguments: StatementArguments(arguments))
                added += db.changesCount
            }
            recovery.tables[index].kept += added
            // All of the rows are known then, if not all that was in them.
            if missing == 0 { recovery.tables[index].holes = source.table == "user" ? 0 : recovery.tables[index].holes }
            self.holes += holes
        }
    }

    // MARK: References

    private mutating func removeOrphans(_ db: Database, at moment: ClockAnchor) throws {
        let machine = DatabaseBytes(place.machine.bytes)
        let machines = try Int64.fetchAll(db, sql: "SELECT DISTINCT machine FROM boot WHERE machine NOT IN (SELECT id FROM machine)")
        // This one, if it is lost; of others nothing is known.
        if let lost = machines.first, machines.count == 1 {
            try db.execute(
                sql: "INSERT OR IGNORE INTO machine (id, machine_id, uuid) VALUES (?, ?, ?)",
                arguments: [lost, machine, DatabaseBytes(UUIDv7(at: moment.wall).bytes)])
        }
        let references = [
            ("boot", "machine", "machine"), ("session", "boot", "boot"), ("session", "user", "user"), ("clock_anchor", "boot", "boot"),
            ("user_identifier", "user", "user"), ("tracking", "user", "user"), ("own_group", "user", "user"), ("fact", "user", "user"),
            ("fact", "machine", "machine"), ("policy_change", "user", "user"), ("session_event", "session", "session"),
            ("focus_interval", "session", "session"), ("focus_interval", "application", "application"),
            ("input_burst", "session", "session"), ("unknown_interval", "session", "session"), ("lane_checkpoint", "session", "session"),
            ("told_times", "session", "session"),
        ]
        for (name, column, parent) in references {
            guard let index = recovery.tables.firstIndex(where: { $0.name == name }) else { continue }
            try db.execute(
                sql: "DELETE FROM \(name) WHERE \(column) IS NOT NULL AND \(column) NOT IN (SELECT id FROM \"\(parent)\")")
            recovery.tables[index].kept -= db.changesCount
            recovery.tables[index].orphans += db.changesCount
        }
        // The wall times of sessions say where the clock was.
        try db.execute(
            sql: """
                INSERT OR IGNORE INTO clock_anchor (boot, at, wall)
                SELECT boot, min(start), start_wall FROM session WHERE boot NOT IN (SELECT boot FROM clock_anchor) GROUP BY boot
                """)
        // Whose names are lost is somebody still, as if the key were gone.
        let nameless = try Int64.fetchAll(
            db,
            sql: """
                SELECT DISTINCT user FROM session s WHERE NOT EXISTS (SELECT 1 FROM user_identifier WHERE user = s.user AND kind = 'login')
                OR NOT EXISTS (SELECT 1 FROM user_identifier WHERE user = s.user AND kind = 'uid')
                """)
        for user in nameless {
            for kind in ["login", "uid"] {
                try db.execute(
                    sql: """
                        INSERT INTO user_identifier (user, kind, value, until) SELECT ?1, ?2, randomblob(8), ?3
                        WHERE NOT EXISTS (SELECT 1 FROM user_identifier WHERE user = ?1 AND kind = ?2)
                        """, arguments: [user, kind, moment.wall.nanoseconds])
            }
        }
    }

    // MARK: Time

    /// Has all time be Unknown of which something is lost.
    private mutating func markHoles(_ db: Database) throws {
        guard !holes.isEmpty else { return }
        let sessions = try Row.fetchAll(
            db,
            sql: """
                SELECT s.id, s.uuid, u.uuid AS user, s.boot, s.start, s.end, c.state FROM session s JOIN user u ON u.id = s.user
                LEFT JOIN lane_checkpoint c ON c.session = s.id ORDER BY s.id
                """)
        var ranges: [Int: (gaps: [Range<Int64>], whole: [Range<Int64>])] = [:]
        for hole in holes {
            let first = hole.after?.session ?? .min
            let last = hole.before?.session ?? .max
            for (index, session) in sessions.enumerated() {
                let id: Int64 = session["id"]
                guard id >= first, id <= last else { continue }
                let end = try Self.end(of: session, db)
                let from = max(session["start"], id == hole.after?.session ? hole.after?.end ?? 0 : 0)
                let to = min(end, id == hole.before?.session ? hole.before?.start ?? end : end)
                guard from < to else { continue }
                if hole.leavesGap {
                    ranges[index, default: ([], [])].gaps.append(from..<to)
                } else {
                    ranges[index, default: ([], [])].whole.append(from..<to)
                }
            }
        }
        for (index, found) in ranges.sorted(by: { $0.key < $1.key }) {
            let session = sessions[index]
            let id: Int64 = session["id"]
            func stored(_ table: String) throws -> [Range<Int64>] {
                try Row.fetchAll(db, sql: "SELECT start, length FROM \(table) WHERE session = ? ORDER BY start", arguments: [id]).compactMap
                {
                    let (end, isOver) = ($0[0] as Int64).addingReportingOverflow($0[1])
                    return isOver || end <= $0[0] ? nil : $0[0]..<end
                }
            }
            let gaps = Self.joined(found.gaps).subtracting(try stored("focus_interval"))
            let lost = Self.joined(gaps + found.whole).subtracting(try stored("unknown_interval"))
            let anchors = try StoreWriter.anchors(db, boot: session["boot"])
            for range in lost {
                try db.execute(
                    sql:
                        "INSERT OR IGNORE INTO unknown_interval (session, start, length, reason, lost, revision) VALUES (?, ?, ?, ?, 0, 0)",
                    arguments: [id, range.lowerBound, range.upperBound - range.lowerBound, UnknownReason.storeDamaged.rawValue])
                guard let uuid = UUIDv7(bytes: session["uuid"] as DatabaseBytes),
                    let user = UUIDv7(bytes: session["user"] as DatabaseBytes),
                    let start = anchors.wall(at: BootInstant(stored: range.lowerBound)),
                    let end = anchors.wall(at: BootInstant(stored: range.upperBound))
                else { continue }
                recovery.stretches.append(.init(session: uuid, user: user, start: start, end: end))
            }
        }
    }

    /// Up to where rows of a session were stored: an open one's fold has the rest.
    private static func end(of session: Row, _ db: Database) throws -> Int64 {
        if let end = session["end"] as Int64? { return end }
        if let bytes = session["state"] as DatabaseBytes?, let state = SessionFold.State(bytes: bytes.bytes) {
            return (state.phase == .ended ? state.latest : state.since).stored
        }
        return try lastStored(of: session["id"], db)
    }

    private static func lastStored(of session: Int64, _ db: Database) throws -> Int64 {
        let streams = Self.streams.map {
            "coalesce((SELECT start + length FROM \($0) WHERE session = s.id ORDER BY start DESC LIMIT 1), 0)"
        }
        return try Int64.fetchOne(
            db,
            sql: """
                SELECT max(start, \(streams.joined(separator: ", ")),
                    coalesce((SELECT max(at) FROM session_event WHERE session = s.id), 0)) FROM session s WHERE id = ?
                """, arguments: [session]) ?? 0
    }

    private static func joined(_ ranges: [Range<Int64>]) -> [Range<Int64>] {
        var joined: [Range<Int64>] = []
        for range in ranges.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = joined.last, range.lowerBound <= last.upperBound {
                joined[joined.count - 1] = last.lowerBound..<max(last.upperBound, range.upperBound)
            } else {
                joined.append(range)
            }
        }
        return joined
    }

    /// Open sessions of which it is not known how far their lanes were read are unknown from the last that is stored to the next snapshot.
    private mutating func restartSessions(_ db: Database) throws {
        let sessions = try Row.fetchAll(
            db,
            sql: """
                SELECT s.id, c.state FROM session s JOIN boot b ON b.id = s.boot LEFT JOIN lane_checkpoint c ON c.session = s.id
                WHERE s.end IS NULL AND b.boot_id = ?
                """, arguments: [DatabaseBytes(place.boot.bytes)])
        for session in sessions {
            let known = (session["state"] as DatabaseBytes?).flatMap { SessionFold.State(bytes: $0.bytes) }
            guard known == nil || recovery.lostCommits > 0 else { continue }
            let id: Int64 = session["id"]
            var fold = SessionFold()
            fold.begin(at: BootInstant(stored: try Self.lastStored(of: id, db)), reason: .storeDamaged, serial: known?.serial ?? 0)
            try db.execute(
                sql: "INSERT OR REPLACE INTO lane_checkpoint (session, generation, attempted_at, delivered, state) VALUES (?, 0, 0, 0, ?)",
                arguments: [id, DatabaseBytes(fold.state.bytes)])
        }
    }

    // MARK: The rest

    private mutating func findLostAudit(_ entries: [Int64], isAudited: Bool) {
        var expected: Int64 = 1
        for entry in entries {
            if entry > expected { recovery.lostAudit.append(expected...entry - 1) }
            expected = max(expected, entry) + 1
        }
    }

    /// No number that was given is given again, as far as that can be told.
    private mutating func raiseNumbers(_ names: [String], _ db: Database) throws {
        var given: [(String, Int64)] = []
        let columns = [StoreSalvage.Shape.Column(affinity: .any, isRequired: true), .init(affinity: .any, isRequired: true)]
        if let root = root(of: "sqlite_sequence") {
            salvage.walk(root, .init(columns: columns, hasRowid: true)) { item in
                guard case .row(_, let values) = item, values.count == 2, case .text(let name) = values[0],
                    case .integer(let number) = values[1]
                else { return }
                given.append((name, number))
            }
        }
        for (name, number) in given where names.contains(name) && number < .max {
            try db.execute(sql: "UPDATE sqlite_sequence SET seq = max(seq, ?) WHERE name = ?", arguments: [number, name])
            try db.execute(
                sql:
                    "INSERT INTO sqlite_sequence (name, seq) SELECT ?1, ?2 WHERE NOT EXISTS (SELECT 1 FROM sqlite_sequence WHERE name = ?1)",
                arguments: [name, number])
        }
        var latest: Int64 = 0
        if let root = root(of: "revision") {
            salvage.walk(root, .init(columns: [.init(affinity: .integer, isRequired: true)], hasRowid: true)) { item in
                if case .row(_, let values) = item, case .integer(let number)? = values.first { latest = max(latest, number) }
            }
        }
        for name in names where try db.columns(in: name).contains(where: { $0.name == "revision" }) {
            latest = max(latest, try Int64.fetchOne(db, sql: "SELECT max(revision) FROM \(name)") ?? 0)
        }
        try db.execute(sql: "UPDATE revision SET value = ?", arguments: [latest])
    }

    /// A lost row could have somebody tracked who must not be: then nobody is, and what was decided against it stays.
    private mutating func dropDoubtfulPolicy(_ names: [String], _ db: Database) throws {
        guard !recovery.keepsPolicy else { return }
        try Self.dropPolicy(db, isAll: false)
    }

    /// - Parameter isAll: also what was decided against tracking.
    static func dropPolicy(_ db: Database, isAll: Bool) throws {
        try db.execute(sql: "DELETE FROM tracking WHERE tracked <> 0 OR ?; DELETE FROM setting", arguments: [isAll])
        for table in ["role", "own_group"] + (isAll ? ["do_not_track"] : []) where try db.tableExists(table) {
            try db.execute(sql: "DELETE FROM \(table)")
        }
    }
}

extension [Range<Int64>] {
    /// What is left of ranges in order without others in order.
    fileprivate func subtracting(_ others: [Range<Int64>]) -> [Range<Int64>] {
        var left: [Range<Int64>] = []
        var next = 0
        for range in self {
            var start = range.lowerBound
            while next < others.count, others[next].upperBound <= start { next += 1 }
            var index = next
            while index < others.count, others[index].lowerBound < range.upperBound {
                if others[index].lowerBound > start { left.append(start..<others[index].lowerBound) }
                start = Swift.max(start, others[index].upperBound)
                index += 1
            }
            if start < range.upperBound { left.append(start..<range.upperBound) }
        }
        return left
    }
}
