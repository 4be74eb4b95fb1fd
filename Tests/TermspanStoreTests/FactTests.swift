import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct FactTests {
    private typealias F = StoreFixture
    private let anna = UserIdentity(login: "anna", uid: 1001)

    private func wall(_ seconds: Double) -> WallInstant { F.anchor.wall(at: F.at(seconds)) }

    @discardableResult
    private func note(
        _ writer: StoreWriter, _ fact: Fact, _ value: String, at seconds: Double, of user: UserIdentity? = nil
    ) throws -> WriteResult {
        var batch = StoreBatch()
        batch.facts = [FactRecord(fact, value, of: user, at: wall(seconds))]
        return try writer.write(batch)
    }

    /// Value, since and until in seconds of the boot.
    private func history(_ fixture: StoreFixture, _ fact: Fact, at moment: Double? = nil) throws -> [String] {
        try StoreReader(path: fixture.path).facts(at: moment.map(wall)).filter { $0.fact == fact }.map { stored in
            func seconds(_ moment: WallInstant) -> Int { Int(wall(0).duration(to: moment) / .seconds(1)) }
            return "\(stored.value ?? "?") \(seconds(stored.since))-\(stored.until.map { String(seconds($0)) } ?? "")"
        }
    }

    @Test func eachHoldsUntilTheNextOne() throws {
        let fixture = try StoreFixture()
        var writer = try fixture.writer()
        #expect(try note(writer, .computerName, "one", at: 10) == WriteResult(written: 1))
        #expect(try note(writer, .computerName, "one", at: 20) == WriteResult(repeated: 1))
        try note(writer, .computerName, "two", at: 30)
        // Found again by another life, which changes nothing; what is not known is blank.
        writer = try fixture.writer()
        #expect(try note(writer, .computerName, "two", at: 40) == WriteResult(repeated: 1))
        try note(writer, .computerName, "", at: 50)
        #expect(try note(writer, .computerName, "", at: 55) == WriteResult(repeated: 1))
        try note(writer, .computerName, "two", at: 60)
        #expect(try history(fixture, .computerName) == ["one 10-30", "two 30-50", "two 60-"])
        #expect(try history(fixture, .computerName, at: 30) == ["two 30-50"])
        #expect(try history(fixture, .computerName, at: 55).isEmpty)
        #expect(try history(fixture, .timeZone).isEmpty)
        #expect(throws: (any Error).self) {
            try DatabaseQueue(path: fixture.path).write { try $0.execute(sql: "UPDATE fact SET value = 'three' WHERE id = 1") }
        }
    }

    /// By a clock that goes to and fro, whatever is found when, one holds at a time and the last one holds now.
    @Test(arguments: 0..<20) func neverDoTwoHoldAtOnce(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: false))
        var last: [String: String] = [:]
        for _ in 0..<60 {
            let fact = Fact.allCases.filter { $0 != .networkID }.randomElement(using: &random)!
            let value = ["", "a", "b"].randomElement(using: &random)!
            try note(writer, fact, value, at: Double.random(in: 0...100, using: &random), of: fact.isPersonal ? anna : nil)
            last[fact.rawValue] = value.isEmpty ? nil : value
        }
        let reader = try StoreReader(path: fixture.path)
        #expect(try reader.factConflicts().isEmpty)
        let current = try reader.facts().filter { $0.until == nil }.map { ($0.fact?.rawValue ?? "", $0.value ?? "") }
        #expect(Dictionary(current) { first, _ in first } == last && current.count == last.count)
        // In pages it is the same.
        var (pages, cursor): ([StoredFact], StoredFact.Cursor) = ([], .beginning)
        while case let page = try reader.facts(after: cursor, limit: 3), let end = page.last {
            pages += page
            cursor = end.cursor
        }
        #expect(try pages == reader.facts())
    }

    @Test func usersFactsAreSealedAndNobodyElses() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        // Of whom nothing is held nothing is noted.
        #expect(try note(writer, .friendlyName, "Anna Secretname", at: 10, of: anna) == WriteResult(rejected: 1))
        try writer.write(F.batch(F.session(1), ended: false))
        try writer.write(F.batch(F.session(2, "ben", 1002), ended: false))
        try note(writer, .friendlyName, "Anna Secretname", at: 20, of: anna)
        try note(writer, .friendlyName, "Ben", at: 20, of: UserIdentity(login: "ben", uid: 1002))
        // Neither is one of the computer's a user's.
        #expect(try note(writer, .computerName, "x", at: 20, of: anna).rejected == 1)
        #expect(try note(writer, .friendlyName, "x", at: 20).rejected == 1)
        for suffix in ["", "-wal"] {
            #expect(try Data(contentsOf: URL(filePath: fixture.path + suffix)).range(of: Data("Secretname".utf8)) == nil)
        }
        var filter = SessionFilter()
        filter.identities = [anna]
        try note(writer, .computerName, "host", at: 30)
        #expect(try StoreReader(path: fixture.path).facts(filter).map(\.value) == ["host", "Anna Secretname"])
    }

    /// Nobody can say of what network one is, or whether another store's is the same.
    @Test func aNetworkHasANameThatTellsNothing() throws {
        let (one, other) = (try StoreFixture(), try StoreFixture())
        var names: [[String]] = []
        for fixture in [one, other] {
            let writer = try fixture.writer()
            for (second, network) in [
                (10, "02:00:00:00:00:01 10.0.0.0/8"), (20, "02:00:00:00:00:02 10.0.0.0/8"), (30, "02:00:00:00:00:01 10.0.0.0/8"),
            ] {
                try note(writer, .networkID, network, at: Double(second))
            }
            names.append(try StoreReader(path: fixture.path).facts().map { $0.value ?? "" })
        }
        #expect(names.allSatisfy { $0[0] == $0[2] && $0[0] != $0[1] && $0[0].count == 16 })
        #expect(Set(names[0]).isDisjoint(with: names[1]))
    }

    @Test func anErasureTakesThemAndLeavesWhatHoldsNow() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: false))
        for (second, name) in [(20.0, "Anna Old"), (30, "Anna New")] { try note(writer, .friendlyName, name, at: second, of: anna) }
        func erase(alsoUsers: Bool) throws {
            let users = try writer.users(named: [UserName(kind: "login", value: "anna")!])
            let moment = ClockAnchor(boot: F.at(100), wall: wall(100))
            _ = try writer.erase(
                users, alsoUsers: alsoUsers, measured: alsoUsers ? [] : [F.uuid(1)], burstGap: .seconds(30), by: "root", reason: "x",
                at: moment)
        }
        try erase(alsoUsers: false)
        #expect(try history(fixture, .friendlyName) == ["Anna New 100-"])
        #expect(try note(writer, .friendlyName, "Anna New", at: 110, of: anna) == WriteResult(repeated: 1))
        try erase(alsoUsers: true)
        #expect(try history(fixture, .friendlyName).isEmpty)
    }

    @Test func whatIsOlderThanAllSessionsGoes() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try note(writer, .computerName, "one", at: 1)
        try note(writer, .computerName, "two", at: 5)
        try writer.write(F.batch(F.session(1, start: 10), ended: true))
        try writer.write(F.batch(F.session(2, "ben", 1002, start: 10), ended: false))
        let ben = UserIdentity(login: "ben", uid: 1002)
        for user in [anna, ben] { try note(writer, .loginName, user.login, at: 11, of: user) }
        try note(writer, .computerName, "three", at: 20)
        // 'one' is from before all sessions, but not older than is kept.
        _ = try writer.expire(activityBefore: nil, sessionsBefore: wall(3))
        #expect(try history(fixture, .computerName) == ["one 1-5", "two 5-20", "three 20-"])
        // One that goes alone is in a receipt and leaves bytes to be seen to, as all else.
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(6)).counts.named.map(\.count) == [0, 0, 0, 0, 0, 1])
        #expect(try writer.read { try Int.fetchOne($0, sql: "PRAGMA user_version") } == StoreWriter.holdsExpired)
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(1000)).counts.facts == 1)
        #expect(try history(fixture, .computerName) == ["two 5-20", "three 20-"])
        // With the last session of a user, the user's go; what holds of the computer stays.
        #expect(try history(fixture, .loginName) == ["ben 11-"])
    }

    /// A file as schema 8 left it.
    @Test func aStoreWithoutFactsIsMigrated() throws {
        let fixture = try StoreFixture()
        try fixture.writer().write(F.batch(F.session(1), ended: true))
        let queue = try DatabaseQueue(path: fixture.path)
        try queue.write { try $0.execute(sql: "DROP TABLE fact; DELETE FROM grdb_migrations WHERE identifier = '9'") }
        try queue.close()
        try note(try fixture.writer(), .timeZone, "Europe/Berlin", at: 90)
        #expect(try history(fixture, .timeZone) == ["Europe/Berlin 90-"])
        #expect(try StoreReader(path: fixture.path).sessions(SessionFilter()).count == 1)
    }
}
