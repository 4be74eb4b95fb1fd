import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanStore

/// A damaged store is recovered to what is whole of it: Docs/adr/0030-recovery.md.
@Suite struct RecoveryTests {
    typealias F = StoreFixture

    /// What is done to a store.
    enum Damage: String, CaseIterable {
        case zeros, noise, sector, bit, exchanged, truncated, header, emptyFile
    }

    private static let pageSize = 4096
    private static let moment = WallInstant(nanoseconds: F.anchor.wall.nanoseconds + 100_000_000_000_000)
    private static let streams = ["focus_interval", "input_burst", "unknown_interval"]

    // MARK: A store

    /// Three users with forty sessions, of two boots, of which each moment is known or unknown; one session is open.
    private static func fill(_ fixture: StoreFixture) throws {
        var random = SeededRandom(seed: 7)
        let users = [("anna", 1001), ("ben", 1002), ("carl", 1003)] as [(String, UInt32)]
        for boot in [F.boot, F.laterBoot] {
            let isLater = boot == F.laterBoot
            let anchor = isLater ? ClockAnchor(boot: .zero, wall: F.anchor.wall.advanced(by: .seconds(1_000_000))) : F.anchor
            let writer = try fixture.writer(boot: boot, anchor: anchor)
            _ = try writer.setTracking(UserIdentity(login: "anna", uid: 1001), tracked: true, by: "root", reason: "pilot", at: moment)
            _ = try writer.setTracking(UserIdentity(login: "ben", uid: 1002), tracked: !isLater, by: "root", reason: "asked", at: moment)
            _ = try writer.recordRead(.spans, of: SessionFilter(), by: "root", at: moment)
            for number in 1...20 as ClosedRange<UInt64> {
                let user = users[Int(number) % 3]
                let session = F.session(number + (isLater ? 100 : 0), user.0, user.1, start: Double(number) * 1000)
                var batch = StoreBatch()
                batch.sessions = [session]
                var position = Double(number) * 1000
                batch.unknowns = [
                    UnknownRecord(
                        session: session.uuid,
                        interval: UnknownInterval(start: F.at(position), end: F.at(position + 1), reason: .starting))
                ]
                position += 1
                for step in 0..<120 {
                    let end = position + Double(Int.random(in: 1...9, using: &random))
                    if step % 11 == 10 {
                        let interval = UnknownInterval(start: F.at(position), end: F.at(end), reason: .eventsLost, lost: 3)
                        batch.unknowns.append(UnknownRecord(session: session.uuid, interval: interval))
                    } else {
                        let application = Application(
                            executable: "/usr/bin/program-\(Int.random(in: 0..<90, using: &random))", windowClass: "W")
                        batch.focus.append(FocusRecord(session: session.uuid, span: F.span(position, end), application: application))
                        let burst = InputBurst(start: F.at(position + 0.25), end: F.at(position + 0.5), origin: .device)
                        batch.bursts.append(BurstRecord(session: session.uuid, burst: burst))
                    }
                    if step % 7 == 0 {
                        let change = StateChange(step % 2 == 0 ? .locked : .unlocked, at: F.at(position))
                        batch.events.append(SessionEvent(session: session.uuid, change: change, clientAddress: "192.0.2.\(step)"))
                    }
                    position = end
                }
                if isLater, number == 20 {
                    var fold = SessionFold()
                    fold.begin(at: F.at(position), reason: .sourceGap)
                    batch.checkpoints = [
                        LaneCheckpoint(session: session.uuid, generation: 5, attemptedAt: 9, delivered: 9, state: fold.state)
                    ]
                } else {
                    batch.ended = [SessionEnd(session: session.uuid, at: F.at(position), reason: .logoff)]
                }
                try writer.write(batch)
            }
            writer.close()
        }
        try fold(fixture.path)
    }

    private static func fold(_ path: String) throws {
        let queue = try DatabaseQueue(path: path)
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        try queue.close()
        for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: path + suffix) }
    }

    private static let filled: (store: Data, keys: Data, rows: [String: Set<[DatabaseValue]>], pages: [Page])? = try? {
        let fixture = try StoreFixture()
        try fill(fixture)
        return (
            try Data(contentsOf: URL(filePath: fixture.path)), try Data(contentsOf: URL(filePath: fixture.path + ".keys")),
            try rows(fixture.path), try pages(fixture.path)
        )
    }()

    private static func put(_ store: Data, _ keys: Data) throws -> StoreFixture {
        let fixture = try StoreFixture()
        try store.write(to: URL(filePath: fixture.path))
        try keys.write(to: URL(filePath: fixture.path + ".keys"))
        return fixture
    }

    private static func place(_ fixture: StoreFixture) -> StorePlace { F.place(fixture.path, boot: F.laterBoot) }

    private static let anchor = ClockAnchor(boot: F.at(30_000), wall: F.anchor.wall.advanced(by: .seconds(1_030_000)))

    /// Opens the store as after a request for its recovery.
    private static func recover(_ fixture: StoreFixture) throws -> (opening: StoreOpening, recovery: StoreRecovery?) {
        try Data().write(to: URL(filePath: place(fixture).request))
        let opening = try StoreOpening.open(place(fixture), anchor: anchor)
        #expect(!FileManager.default.fileExists(atPath: place(fixture).request))
        return (opening, opening.replacement?.recovery)
    }

    /// All rows, by table.
    private static func rows(_ path: String) throws -> [String: Set<[DatabaseValue]>] {
        let queue = try DatabaseQueue(path: path)
        defer { try? queue.close() }
        return try queue.read { db in
            let tables = try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%'")
            return try Dictionary(
                uniqueKeysWithValues: tables.map { table in
                    (
                        table,
                        Set(try Row.fetchAll(db, sql: "SELECT * FROM \(table.quotedDatabaseIdentifier)").map { Array($0.databaseValues) })
                    )
                })
        }
    }

    /// A page as SQLite's own table of them has it.
    struct Page: Sendable {
        var number: Int
        var tree: String
        var kind: String
        var cells: Int
        /// The table that it is of with whole rows; nil for indexes.
        var table: String?
    }

    private static func pages(_ path: String) throws -> [Page] {
        let queue = try DatabaseQueue(path: path)
        defer { try? queue.close() }
        return try queue.read { db in
            let tables = Set(try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'table'"))
            return try Row.fetchAll(db, sql: "SELECT pageno, name, pagetype, ncell FROM dbstat ORDER BY pageno").map { row in
                let tree: String = row[1]
                return Page(number: row[0], tree: tree, kind: row[2], cells: row[3], table: tables.contains(tree) ? tree : nil)
            }
        }
    }

    // MARK: Whatever is damaged

    /// What is done to the file, and which of its pages that changes.
    private func damage(_ data: inout Data, _ kind: Damage, _ random: inout SeededRandom) -> Set<Int> {
        let count = data.count / Self.pageSize
        var damaged: Set<Int> = []
        func bytes(_ length: Int) -> Data { Data((0..<length).map { _ in UInt8.random(in: 0...255, using: &random) }) }
        let places = kind == .truncated || kind == .header || kind == .emptyFile ? 1 : Int.random(in: 1...4, using: &random)
        for _ in 0..<places {
            let page = Int.random(in: 1...count, using: &random)
            let start = (page - 1) * Self.pageSize
            damaged.insert(page)
            switch kind {
            case .zeros: data.replaceSubrange(start..<start + Self.pageSize, with: Data(count: Self.pageSize))
            case .noise: data.replaceSubrange(start..<start + Self.pageSize, with: bytes(Self.pageSize))
            case .sector:
                let sector = start + Int.random(in: 0..<8, using: &random) * 512
                data.replaceSubrange(sector..<sector + 512, with: bytes(512))
            case .bit: data[start + Int.random(in: 0..<Self.pageSize, using: &random)] ^= 1 << UInt8.random(in: 0...7, using: &random)
            case .exchanged:
                let other = Int.random(in: 1...count, using: &random)
                damaged.insert(other)
                let (one, two) = (start..<start + Self.pageSize, (other - 1) * Self.pageSize..<other * Self.pageSize)
                let (oneContent, twoContent) = (data.subdata(in: one), data.subdata(in: two))
                data.replaceSubrange(one, with: twoContent)
                data.replaceSubrange(two, with: oneContent)
            case .truncated:
                let length = Int.random(in: 1...data.count, using: &random)
                damaged = Set(length / Self.pageSize + 1...count + 1)
                data = data.prefix(length)
            case .header:
                damaged = [1]
                data.replaceSubrange(0..<100, with: bytes(100))
            case .emptyFile:
                damaged = Set(1...count)
                data = Data()
            }
        }
        return damaged
    }

    @Test(arguments: Damage.allCases, 0..<4)
    func whatIsWholeIsThereWhatIsLostIsNamedAndNothingIsInvented(kind: Damage, seed: Int) throws {
        let (store, keys, original, pages) = try #require(Self.filled)
        var random = SeededRandom(seed: UInt64(seed) << 8 | UInt64(Damage.allCases.firstIndex(of: kind) ?? 0))
        var data = store
        let damaged = damage(&data, kind, &random)
        let fixture = try Self.put(data, keys)
        let (opening, told) = try Self.recover(fixture)
        guard let recovery = told else {
            #expect(kind == .emptyFile || (kind == .truncated && data.count < 40 * Self.pageSize), "\(damaged)")
            #expect(opening.policy == Policy())
            return
        }
        opening.writer.close()
        let recovered = try Self.rows(fixture.path)

        // It is a store in which all is right.
        let found = try DatabaseQueue(path: fixture.path).read { db in
            try String.fetchAll(db, sql: "PRAGMA integrity_check") + Row.fetchAll(db, sql: "PRAGMA foreign_key_check").map(\.description)
        }
        #expect(found == ["ok"])

        // Each row of a page that was not touched is there, or is one of a session, user or name that is lost. The map of pages is in no tree:
        // where that and an inner page are gone, nothing says whose the pages below are.
        let inTrees = Set(pages.map(\.number))
        let isMapWhole = kind != .truncated && damaged.allSatisfy { inTrees.contains($0) }
        for table in recovery.tables where isMapWhole {
            let lost = pages.filter {
                damaged.contains($0.number) && $0.table == table.name && $0.kind != "internal" || $0.isInner(of: table.name, damaged)
            }
            let most = lost.reduce(0) { $0 + $1.cells }
            let all = original[table.name]?.count ?? 0
            #expect(table.kept + table.orphans >= all - most, "\(table) of \(all), \(damaged)")
        }

        // What is missing is named.
        for table in recovery.tables {
            let kept = table.name == "unknown_interval" ? known(recovered) : recovered[table.name] ?? []
            let before = try #require(original[table.name])
            let isMissing = !before.isSubset(of: kept)
            let isDecided = ["tracking", "setting", "role", "own_group"].contains(table.name)
            // The first boot's anchor and row are as they were; what the collector does at a start changes the later one's.
            if isMissing, table.isWhole, !isDecided, !["boot", "lane_checkpoint"].contains(table.name), kind != .bit {
                Issue.record("\(table.name) has lost rows and says nothing, \(damaged)")
            }
        }

        // No row is there that was not.
        var inventions = 0
        for (table, rows) in recovered {
            let columns = Self.comparable[table] ?? .max
            let before = Set((original[table] ?? []).map { Array($0.prefix(columns)) })
            for row in table == "unknown_interval" ? known(recovered) : rows where !before.contains(Array(row.prefix(columns))) {
                if Self.isDerived(row, table) { continue }
                inventions += 1
                #expect(kind == .bit, "\(table): \(row), \(damaged)")
            }
        }
        // SQLite keeps no sums: a bit that turns one number into another can't be told.
        #expect(inventions <= 4)

        // All time of each session is known, or Unknown and said to be; and so is that of which input is lost.
        if kind != .bit { try checkTime(recovered, original) }
    }

    /// Of tables of which an index has a part of each row, or that go on changing: by how many columns they are compared.
    private static let comparable = ["session_event": 4, "application": 2, "boot": 3]

    private static func isDerived(_ row: [DatabaseValue], _ table: String) -> Bool {
        switch table {
        // What says that names are lost.
        case "user_identifier": row[4].storage.value.flatMap { ($0 as? Data)?.count } == 8
        // The entry about the recovery itself.
        case "audit": String.fromDatabaseValue(row[3]) == AuditEntry.recovery
        case "machine", "clock_anchor", "boot", "lane_checkpoint", "revision", "key_file", "grdb_migrations": true
        default: false
        }
    }

    /// Unknown times without those that the recovery made.
    private func known(_ rows: [String: Set<[DatabaseValue]>]) -> Set<[DatabaseValue]> {
        (rows["unknown_interval"] ?? []).filter { Int64.fromDatabaseValue($0[3]) != Int64(UnknownReason.storeDamaged.rawValue) }
    }

    private func checkTime(_ recovered: [String: Set<[DatabaseValue]>], _ original: [String: Set<[DatabaseValue]>]) throws {
        func number(_ value: DatabaseValue) -> Int64 { Int64.fromDatabaseValue(value) ?? 0 }
        func spans(_ table: String, of session: Int64) -> [Range<Int64>] {
            (recovered[table] ?? []).filter { number($0[0]) == session }.map { number($0[1])..<number($0[1]) + max(0, number($0[2])) }
                .sorted { $0.lowerBound < $1.lowerBound }
        }
        for session in recovered["session"] ?? [] {
            let (id, start) = (number(session[0]), number(session[6]))
            guard let end = Int64.fromDatabaseValue(session[8]) else { continue }
            let unknown = spans("unknown_interval", of: id)
            var position = start
            for span in (spans("focus_interval", of: id) + unknown).sorted(by: { $0.lowerBound < $1.lowerBound }) {
                if span.lowerBound > position { break }
                position = max(position, span.upperBound)
            }
            #expect(position >= end, "session \(id) has time of which nothing is said from \(position) to \(end)")
            let bursts = Set(spans("input_burst", of: id))
            for burst in original["input_burst"] ?? [] where number(burst[0]) == id {
                let span = number(burst[1])..<number(burst[1]) + number(burst[2])
                if bursts.contains(span) { continue }
                #expect(unknown.contains { $0.contains(span.lowerBound) && $0.upperBound >= span.upperBound }, "\(id): \(span)")
            }
        }
    }

    // MARK: Nothing comes back

    @Test func whatWasRemovedDoesNotComeBackFromFreePages() throws {
        let (store, keys, _, _) = try #require(Self.filled)
        let fixture = try Self.put(store, keys)
        let writer = try StoreWriter.open(Self.place(fixture), anchor: Self.anchor)
        let name = try #require(UserName("anna"))
        let anna = try #require(try writer.users(named: [name]).first)
        _ = try writer.erase(
            [anna], alsoUsers: true, measured: [], burstGap: .seconds(30), by: "root", reason: "asked",
            at: Self.anchor)
        writer.close()
        try Self.fold(fixture.path)
        var data = try Data(contentsOf: URL(filePath: fixture.path))
        let used = Set(try Self.pages(fixture.path).map(\.number))
        let before = try Self.rows(fixture.path)
        // As if nothing had been overwritten: what is free looks as it did when it was in use.
        var (copied, free) = (0, 0)
        for page in 3...data.count / Self.pageSize where !used.contains(page) {
            let range = (page - 1) * Self.pageSize..<page * Self.pageSize
            let old = store.count >= range.upperBound ? store.subdata(in: range) : Data()
            free += 1
            if [UInt8(10), 13].contains(old.first), data.subdata(in: range).first != old.first {
                data.replaceSubrange(range, with: old)
                copied += 1
            }
        }
        #expect(copied > 3, "\(free) free pages")
        // And the page that leads to sessions' intervals is gone, so that pages are looked for.
        let root = try #require(try Self.pages(fixture.path).first { $0.table == "focus_interval" && $0.kind == "internal" }).number
        data.replaceSubrange((root - 1) * Self.pageSize..<root * Self.pageSize, with: Data(count: Self.pageSize))
        let damaged = try Self.put(data, try Data(contentsOf: URL(filePath: fixture.path + ".keys")))
        let (opening, told) = try Self.recover(damaged)
        #expect(told?.isComplete == false)
        opening.writer.close()
        let after = try Self.rows(damaged.path)
        for table in ["session"] + Self.streams where table != "unknown_interval" {
            let rows = try #require(before[table])
            #expect(after[table]?.isSubset(of: rows) == true, "\(table)")
        }
        #expect(known(after).isSubset(of: known(before)))
    }

    @Test func damagedStoresThatWereSetAsideGoWithTheirBytes() throws {
        let (store, keys, _, _) = try #require(Self.filled)
        let fixture = try Self.put(store, keys)
        let opening = try Self.recover(fixture).opening
        let file = try #require(opening.replacement?.file)
        #expect(opening.writer.setAside == [file, file + ".txt"])
        let now = WallInstant(nanoseconds: Int64(Date().timeIntervalSince1970) * 1_000_000_000)
        // Another name of it shows what becomes of its bytes.
        try FileManager.default.linkItem(atPath: file, toPath: fixture.path + ".link")
        #expect(opening.writer.removeSetAside(before: now.advanced(by: .seconds(-60))).isEmpty)
        #expect(opening.writer.setAside.count == 2)
        #expect(opening.writer.removeSetAside(before: now.advanced(by: .seconds(60))).isEmpty)
        #expect(opening.writer.setAside.isEmpty)
        let left = try Data(contentsOf: URL(filePath: fixture.path + ".link"))
        #expect(left.count == store.count && left.allSatisfy { $0 == 0 })
    }

    // MARK: The log

    /// A store of which the last commits are in its log, as after a kill: ten sessions, a commit each.
    private func killed() throws -> (fixture: StoreFixture, frames: Int) {
        let (store, keys, _, _) = try #require(Self.filled)
        let source = try Self.put(store, keys)
        let writer = try StoreWriter.open(Self.place(source), anchor: Self.anchor)
        for number in 200..<210 as Range<UInt64> {
            try writer.write(F.batch(F.session(number, "anna", 1001, start: 10), ended: true))
        }
        let fixture = try StoreFixture()
        for suffix in ["", "-wal", ".keys"] {
            try FileManager.default.copyItem(atPath: source.path + suffix, toPath: fixture.path + suffix)
        }
        writer.close()
        let log = try Data(contentsOf: URL(filePath: fixture.path + "-wal"))
        return (fixture, (log.count - 32) / (Self.pageSize + 24))
    }

    @Test func aLogThatIsWholeIsReadWithTheFile() throws {
        let fixture = try killed().fixture
        let (opening, told) = try Self.recover(fixture)
        #expect(told?.isComplete == true, "\(told?.text ?? "")")
        opening.writer.close()
        #expect(try Self.rows(fixture.path)["session"]?.count == 50)
    }

    @Test(arguments: [0.1, 0.5, 0.8])
    func commitsBehindDamageInTheLogAreNamed(part: Double) throws {
        let (fixture, frames) = try killed()
        let url = URL(filePath: fixture.path + "-wal")
        var log = try Data(contentsOf: url)
        log[32 + Int(Double(frames) * part) * (Self.pageSize + 24) + 1000] ^= 0xFF
        try log.write(to: url)
        // Without anybody's asking: SQLite itself would say nothing.
        let opening = try StoreOpening.open(Self.place(fixture), anchor: Self.anchor)
        let recovery = try #require(opening.replacement?.recovery)
        #expect(recovery.lostCommits > 0 && !recovery.isComplete && recovery.text.contains("transactions"))
        #expect(opening.policy.rows.allSatisfy { !$0.tracked })
        opening.writer.close()
        let count = try #require(try Self.rows(fixture.path)["session"]?.count)
        #expect((40..<50).contains(count))
    }

    @Test func whatWasNotWhollyWrittenBeforeAPowerFailureIsNoDamage() throws {
        let (fixture, frames) = try killed()
        let url = URL(filePath: fixture.path + "-wal")
        let log = try Data(contentsOf: url)
        try log.prefix(32 + (frames - 1) * (Self.pageSize + 24) + 700).write(to: url)
        let opening = try StoreOpening.open(Self.place(fixture), anchor: Self.anchor)
        #expect(opening.replacement == nil)
    }

    // MARK: What else is kept

    @Test func anEmptyFileIsNoNewStoreWhereThereAreKeysOfUsers() throws {
        let (_, keys, _, _) = try #require(Self.filled)
        let fixture = try Self.put(Data(), keys)
        let opening = try StoreOpening.open(Self.place(fixture), anchor: Self.anchor)
        #expect(opening.replacement?.damage.contains("empty") == true && opening.replacement?.recovery == nil)
        // Without keys of anybody it is only a store that was not begun.
        let fresh = try StoreFixture()
        try Data().write(to: URL(filePath: fresh.path))
        #expect(try StoreOpening.open(Self.place(fresh), anchor: Self.anchor).replacement == nil)
    }

    @Test func anOpenSessionGoesOnAndTheRecoveryIsRecorded() throws {
        let (store, keys, original, pages) = try #require(Self.filled)
        var data = store
        let page = try #require(pages.first { $0.table == "input_burst" && $0.kind == "leaf" }).number
        data.replaceSubrange((page - 1) * Self.pageSize..<page * Self.pageSize, with: Data(count: Self.pageSize))
        let fixture = try Self.put(data, keys)
        let (opening, told) = try Self.recover(fixture)
        let recovery = try #require(told)
        #expect(opening.open.map(\.record.id) == [SessionID(rawValue: 120)] && opening.open.first?.checkpoint?.generation == 5)
        #expect(opening.replacement?.known == [F.uuid(120)] && opening.replacement?.unknownSince.isEmpty == true)
        #expect(opening.replacement?.keepsPolicy == true && opening.policy.rows.count == 2)
        #expect(recovery.tables.filter { !$0.isWhole }.map(\.name) == ["input_burst"] && !recovery.stretches.isEmpty)
        #expect(recovery.text.contains("input_burst at 1 place"))
        let file = try #require(opening.replacement?.file)
        let report = try String(contentsOfFile: file + ".txt", encoding: .utf8)
        #expect(report.contains("table input_burst") && report.contains("unknown user="))
        let entry = try #require(try opening.writer.read { try Row.fetchOne($0, sql: "SELECT * FROM audit ORDER BY id DESC LIMIT 1") })
        #expect(entry["action"] == AuditEntry.recovery && entry["value"] == recovery.text)
        #expect(entry["id"] == Int64(original["audit"]?.count ?? 0) + 1)
    }

    @Test func aBreakInTheAuditRecordIsNamed() throws {
        let (store, keys, _, pages) = try #require(Self.filled)
        var data = store
        let page = try #require(pages.first { $0.table == "audit" && $0.kind == "leaf" }).number
        data.replaceSubrange((page - 1) * Self.pageSize..<page * Self.pageSize, with: Data(count: Self.pageSize))
        let fixture = try Self.put(data, keys)
        let (opening, told) = try Self.recover(fixture)
        #expect(told?.tables.contains { $0.name == "audit" && !$0.isWhole } == true)
        let value = try opening.writer.read { try String.fetchOne($0, sql: "SELECT value FROM audit ORDER BY id DESC LIMIT 1") }
        #expect(value?.contains("audit at") == true)
    }
}

extension RecoveryTests.Page {
    /// Whether it is an inner page of a table whose rows are in inner pages, too.
    func isInner(of table: String, _ damaged: Set<Int>) -> Bool {
        damaged.contains(number) && self.table == table && kind == "internal"
            && ["focus_interval", "input_burst", "unknown_interval", "clock_anchor", "setting", "role", "own_group", "aggregate"].contains(
                table)
    }
}
