import Foundation
import GRDB
import TermspanAccounting
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanStore

@Suite struct StoreOpeningTests {
    typealias F = StoreFixture

    private let fixture: StoreFixture
    private var place: StorePlace { F.place(fixture.path) }
    private var anchor: ClockAnchor {
        ClockAnchor(boot: F.at(100), wall: WallInstant(nanoseconds: F.anchor.wall.nanoseconds + 100_000_000_000))
    }
    private let moment = WallInstant(nanoseconds: F.anchor.wall.nanoseconds + 7)

    init() throws { fixture = try StoreFixture() }

    /// A store with a policy and an open session of which something is held, all of it in the database file.
    private func fill(_ writer: StoreWriter) throws {
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        batch.focus = [FocusRecord(session: F.uuid(1), span: F.span(12, 30), application: nil)]
        try writer.write(batch)
        _ = try writer.setTracking(UserIdentity(login: "anna", uid: 1001), tracked: true, by: "root", reason: "pilot", at: moment)
        _ = try writer.setTracking(UserIdentity(login: "ben", uid: 1002), tracked: false, by: "carl", reason: "asked", at: moment)
        _ = try writer.set("new-users", to: "tracked", by: "carl", reason: "all", at: moment)
        _ = try writer.set([try #require(RoleGrant(.auditor, group: "council"))], granted: true, by: "carl", reason: "law", at: moment)
        let group = try #require(OwnGroup(name: "night"))
        _ = try writer.set([UserIdentity(login: "ben", uid: 1002)], in: group, member: true, by: "carl", reason: "", at: moment)
        _ = try writer.policy()
        try fold()
    }

    /// Folds the log into the database file, as a second process would.
    private func fold() throws {
        try DatabaseQueue(path: fixture.path).writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
    }

    /// Overwrites the first page of a table.
    private func damage(_ table: String) throws {
        let (page, size) = try DatabaseQueue(path: fixture.path).read { db in
            (
                try Int.fetchOne(db, sql: "SELECT rootpage FROM sqlite_schema WHERE name = ?", arguments: [table]) ?? 0,
                try Int.fetchOne(db, sql: "PRAGMA page_size") ?? 0
            )
        }
        let file = try FileHandle(forUpdating: URL(filePath: fixture.path))
        try file.seek(toOffset: UInt64((page - 1) * size))
        try file.write(contentsOf: Data(repeating: 0xA5, count: size))
        try file.close()
    }

    private var names: Set<String> { Set((try? FileManager.default.contentsOfDirectory(atPath: fixture.folder.path)) ?? []) }

    private func policy(of opening: StoreOpening) throws -> Policy { try StoreReader(path: opening.writer.place.path).policy() }

    @Test func aSoundStoreIsOpenedAsItIs() throws {
        try fill(fixture.writer())
        let opening = try StoreOpening.open(place, anchor: anchor)
        #expect(opening.replacement == nil)
        #expect(opening.open.map(\.record) == [F.session(1)])
        #expect(opening.policy.tracks(UserIdentity(login: "anna", uid: 1001)))
    }

    @Test func whatIsNoDatabaseIsSetAsideAndNobodyIsTracked() throws {
        let garbage = Data((0..<9000).map { UInt8(truncatingIfNeeded: $0 &* 31) })
        try garbage.write(to: URL(filePath: fixture.path))
        let opening = try StoreOpening.open(place, anchor: anchor)
        let replacement = try #require(opening.replacement)
        #expect(!replacement.keepsPolicy && opening.policy == Policy() && opening.open.isEmpty)
        #expect(try Data(contentsOf: URL(filePath: replacement.file)) == garbage)
        let name = URL(filePath: replacement.file).lastPathComponent
        #expect(name.wholeMatch(of: /termspan-damaged-\d{8}T\d{6}Z\.db/) != nil)
        #expect(names.contains(name) && !names.contains { $0.contains(".new") })
        // The next one gets a name of its own.
        opening.writer.close()
        try garbage.write(to: URL(filePath: fixture.path))
        let next = try #require(try StoreOpening.open(place, anchor: anchor).replacement)
        #expect(next.file != replacement.file)
        #expect(FileManager.default.fileExists(atPath: replacement.file))
    }

    @Test func thePolicyOfADamagedStoreIsCarriedOver() throws {
        try fill(fixture.writer())
        try damage("focus_interval")
        let before = try StoreReader(path: fixture.path).policy()
        let opening = try StoreOpening.open(place, anchor: anchor)
        #expect(opening.replacement?.keepsPolicy == true)
        #expect(opening.policy == before && before.rows.count == 2 && before.newUsersAreTracked)
        #expect(before.roles.count == 1 && before.ownGroups.members.count == 1)
        #expect(try StoreReader(path: fixture.path).policyChanges().count == 7)
        #expect(opening.open.map(\.record) == [F.session(1)])
    }

    @Test(arguments: ["tracking", "setting", "user_identifier", "role", "own_group"])
    func aPolicyThatIsNotWholeIsNotTrusted(table: String) throws {
        try fill(fixture.writer())
        try damage(table)
        try damage("focus_interval")
        let opening = try StoreOpening.open(place, anchor: anchor)
        #expect(opening.replacement?.keepsPolicy == false)
        // Nobody is tracked, and who asked not to be still does.
        let policy = opening.policy
        #expect(policy.rows.allSatisfy { !$0.tracked } && !policy.newUsersAreTracked)
        #expect(policy.roles.isEmpty && policy.ownGroups.members.isEmpty && policy.doNotTrack.entries.count == 2)
    }

    @Test func aDamagedIndexLosesNothing() throws {
        try fill(fixture.writer())
        let before = try StoreReader(path: fixture.path).policy()
        try damage("user_identifier_user")
        try damage("session_user")
        let opening = try StoreOpening.open(place, anchor: anchor)
        #expect(opening.replacement?.recovery?.isComplete == true && opening.replacement?.keepsPolicy == true)
        #expect(opening.policy == before && opening.open.map(\.record) == [F.session(1)])
    }

    @Test func damageInTheMiddleIsNoticedAndThePolicyInForceStays() throws {
        let writer = try fixture.writer()
        try fill(writer)
        try damage("focus_interval")
        // What another connection writes makes this one forget its pages.
        try DatabaseQueue(path: fixture.path).write { try $0.execute(sql: "UPDATE revision SET value = value + 1") }
        try damage("tracking")
        var batch = StoreBatch()
        batch.focus = [FocusRecord(session: F.uuid(1), span: F.span(31, 40), application: nil)]
        #expect { try writer.write(batch) } throws: { ($0 as? StoreError)?.code == .damaged }
        let damage = try #require(writer.damage)
        let opening = try StoreOpening.replace(writer, damage: damage, anchor: anchor)
        #expect(opening.replacement?.keepsPolicy == true)
        #expect(opening.policy.rows.map(\.user.login) == ["anna", "ben"] && opening.policy.newUsersAreTracked)
        // Wall times of this boot stay what they were.
        #expect(opening.writer.anchors.anchors == [F.anchor])
        batch.sessions = [F.session(1)]
        #expect(try opening.writer.write(batch).rejected == 0)
    }

    @Test func aNewStoreThatCanNotBeMadeLeavesTheOldOneInItsPlace() throws {
        let garbage = Data(repeating: 0x41, count: 9000)
        try garbage.write(to: URL(filePath: fixture.path))
        // Nothing can be made under the name that it has first.
        let obstacle = place.draft + "/x"
        try FileManager.default.createDirectory(atPath: obstacle, withIntermediateDirectories: true)
        #expect { try StoreOpening.open(place, anchor: anchor) } throws: { ($0 as? StoreError)?.code == .storage }
        #expect(try Data(contentsOf: URL(filePath: fixture.path)) == garbage)
        try FileManager.default.removeItem(atPath: place.draft)
        #expect(try StoreOpening.open(place, anchor: anchor).replacement != nil)
    }

    @Test func aReplacementThatWasInterruptedIsCompleted() throws {
        let writer = try fixture.writer()
        try fill(writer)
        writer.close()
        try FileManager.default.moveItem(atPath: fixture.path, toPath: place.draft)
        for suffix in ["-wal", "-shm"] { try? FileManager.default.removeItem(atPath: fixture.path + suffix) }
        let opening = try StoreOpening.open(place, anchor: anchor)
        #expect(opening.policy.rows.count == 2)
    }

    @Test(arguments: [true, false]) func aNewerStoreKeepsEveryByte(isNewer: Bool) throws {
        if isNewer { try fill(fixture.writer()) }
        let other = try DatabaseQueue(path: fixture.path)
        try other.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA journal_mode = WAL")
            try db.execute(sql: isNewer ? "INSERT INTO grdb_migrations VALUES ('from-the-future')" : "CREATE TABLE other (a)")
        }
        // As a program leaves it that is killed: with a log that a next writer would fold back.
        let killed = try StoreFixture()
        for suffix in ["", "-wal"] { try FileManager.default.copyItem(atPath: fixture.path + suffix, toPath: killed.path + suffix) }
        func bytes() throws -> [Data] { try ["", "-wal"].map { try Data(contentsOf: URL(filePath: killed.path + $0)) } }
        let before = try bytes()
        #expect(before[1].count > 0)
        var place = place
        place.path = killed.path
        #expect { try StoreOpening.open(place, anchor: anchor) } throws: {
            ($0 as? StoreError)?.code == (isNewer ? .newerSchema : .notAStore)
        }
        #expect(try bytes() == before)
        try other.close()
    }

    @Test func untrackingThatIsStoredLateDoesNotUndoALaterDecision() throws {
        let writer = try fixture.writer()
        func decision(_ login: String, _ uid: UInt32) -> Policy.Row {
            Policy.Row(
                user: UserIdentity(login: login, uid: uid), tracked: false, level: .basic, since: moment, by: "root", reason: "asked")
        }
        func track(_ login: String, _ uid: UInt32, _ nanoseconds: Int64) throws {
            _ = try writer.setTracking(
                UserIdentity(login: login, uid: uid), tracked: true, by: "root", reason: "",
                at: WallInstant(nanoseconds: moment.nanoseconds + nanoseconds))
        }
        try track("anna", 1001, -1)
        try track("ben", 1002, 1)
        var batch = StoreBatch()
        let sid = try #require(SecurityID("S-1-5-21-1-2-3-1003"))
        batch.untracked = [.init(decision("anna", 1001)), .init(decision("ben", 1002)), .init(decision("carl", 1003), sids: [sid])]
        #expect(!batch.isEmpty)
        try writer.write(batch)
        let rows = try writer.policy().rows
        #expect(rows.map(\.user.login) == ["anna", "ben", "carl"])
        #expect(rows.map(\.tracked) == [false, true, false])
        #expect(try writer.policy().doNotTrack.entries.last?.subject == .sid(sid))
    }
}
