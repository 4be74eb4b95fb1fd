import Foundation
import GRDB
import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct AuditTests {
    private typealias F = StoreFixture
    private let moment = StoreFixture.anchor.wall
    private let anna = UserIdentity(login: "anna", uid: 1001)

    private func filter(_ change: (inout SessionFilter) -> Void) -> SessionFilter {
        var filter = SessionFilter()
        change(&filter)
        return filter
    }

    private func entries(_ fixture: StoreFixture, _ filter: SessionFilter = SessionFilter()) throws -> [StoredAuditEntry] {
        try StoreReader(path: fixture.path).audit(filter)
    }

    private func check(_ fixture: StoreFixture) throws -> AuditCheck {
        let reader = try StoreReader(path: fixture.path)
        var check = AuditCheck(store: try reader.auditStore())
        for stored in try reader.audit() { check.add(stored.entry, digest: stored.digest) }
        return check
    }

    /// A store with decisions about two users, reads of one, of a session and of everybody.
    private func filled() throws -> (StoreFixture, StoreWriter) {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1), F.session(2, "ben", 1002)]
        try writer.write(batch)
        _ = try writer.setTracking(anna, tracked: true, by: "root", reason: "billing", at: moment)
        try writer.recordRead(.spans, of: filter { $0.login = "anna" }, by: "uid 1000", at: moment)
        try writer.recordRead(.summary, of: filter { $0.id = SessionID(rawValue: 2) }, by: "root", at: moment)
        try writer.recordRead(.users, of: SessionFilter(), by: "root", at: moment)
        return (fixture, writer)
    }

    /// The digests are of lines that anybody can hash.
    @Test func anEntryIsALineUnderADigest() {
        let entry = AuditEntry(
            id: 7, at: WallInstant(nanoseconds: 1_000_000_002), by: "uid 1000", action: "read-spans", user: F.uuid(1), value: "")
        #expect(entry.text == "termspan-audit id=7 at=1000000002 by=uid 1000 action=read-spans user=\(F.uuid(1)) value=")
        // printf '%s\n%s' abc 'termspan-audit id=1 at=0 by=root action=new-users user=- value=tracked' | sha256sum
        let first = AuditEntry(id: 1, at: WallInstant(nanoseconds: 0), by: "root", action: "new-users", user: nil, value: "tracked")
        #expect(first.digest(after: "abc") == "1e29166b27ca08cdb975a121f8e46b9a32d9e95ea3a8cc8de8617648ef305657")
    }

    @Test func decisionsAndReadsAreRecorded() throws {
        let (fixture, writer) = try filled()
        let all = try entries(fixture)
        // Who is tracked leaves the Do Not Track list, which anna was not on.
        #expect(all.map(\.entry.action) == ["tracked", "read-spans", "read-summary", "read-users"])
        #expect(all.map(\.entry.by) == ["root", "uid 1000", "root", "root"])
        #expect(all.map { $0.user?.login } == ["anna", "anna", "ben", nil])
        #expect(all.map(\.entry.value) == ["true", "", "", ""])
        #expect(try check(fixture).problem == nil && check(fixture).head.id == 4)
        #expect(writer.takeAuditHead() == (try check(fixture).head) && writer.takeAuditHead() == nil)
        // Of nobody whom the store knows there is nothing to read.
        #expect(try writer.recordRead(.spans, of: filter { $0.login = "nobody" }, by: "root", at: moment) == 0)
        #expect(try entries(fixture).count == 4 && writer.takeAuditHead() == nil)
        // ... but whether they are logged on, which is told of everybody.
        #expect(try writer.recordRead(.users, of: filter { $0.login = "nobody" }, by: "root", at: moment) == 1)
        #expect(try entries(fixture).last?.entry.user == nil)
        // The next life tells the journal once more.
        let next = try fixture.writer()
        #expect(next.takeAuditHead() == (try check(fixture).head) && next.takeAuditHead() == nil)
    }

    /// A user sees what is about that user, and who looked at everybody's.
    @Test func whatIsAboutAUserIsFound() throws {
        let (fixture, writer) = try filled()
        func actions(_ change: (inout SessionFilter) -> Void) throws -> [String] {
            try entries(fixture, filter(change)).map(\.entry.action)
        }
        #expect(try actions { $0.identities = [anna] } == ["tracked", "read-spans", "read-users"])
        #expect(try actions { $0.login = "ben" } == ["read-summary", "read-users"])
        #expect(try actions { $0.uid = 1002 } == ["read-summary", "read-users"])
        #expect(try actions { $0.identities = [UserIdentity(login: "anna", uid: 1002)] } == ["read-users"])
        #expect(try actions { $0.since = moment.advanced(by: .seconds(1)) }.isEmpty)
        #expect(try actions { $0.until = moment.advanced(by: .seconds(1)) }.count == 4)
        // What new users are is everybody's; an entry of the Do Not Track list is whom it names.
        _ = try writer.set("new-users", to: "tracked", by: "root", reason: "", at: moment)
        #expect(try actions { $0.identities = [anna] }.last == "new-users" && entries(fixture).last?.entry.value == "tracked")
        let subjects: [DoNotTrackList.Subject] = [.uid(1002), .login(LoginName(login: "nobody")), .login(LoginName(login: "ANNA"))]
        _ = try writer.setDoNotTrack(subjects, listed: true, by: "root", reason: "asked", at: moment)
        #expect(try actions { $0.identities = [anna] }.suffix(2) == ["new-users", "do-not-track-added"])
        #expect(try entries(fixture).suffix(3).map { $0.user?.login } == ["ben", nil, "anna"])
        _ = try writer.setDoNotTrack([subjects[2]], listed: false, by: "root", reason: "mistake", at: moment)
        #expect(try actions { $0.identities = [anna] }.last == "do-not-track-removed")
    }

    /// One that is about very many is one of everybody's.
    @Test func aReadOfVeryManyIsOneOfEverybodys() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        for number in 1...11 as ClosedRange<UInt64> {
            var session = F.session(number, "user\(number)", UInt32(2000 + number), start: Double(10 * number))
            session.id = SessionID(rawValue: 1)
            batch.sessions.append(session)
        }
        try writer.write(batch)
        let number = filter { $0.id = SessionID(rawValue: 1) }
        #expect(try writer.recordRead(.spans, of: number, by: "root", at: moment) == 1)
        #expect(try entries(fixture).last?.entry.user == nil)
        // Of those who had the number before nothing is read.
        var early = number
        early.until = F.anchor.wall.advanced(by: .seconds(35))
        #expect(try writer.recordRead(.spans, of: early, by: "root", at: moment) == 3)
        #expect(try entries(fixture).suffix(3).map { $0.user?.login } == ["user1", "user2", "user3"])
        #expect(try writer.recordRead(.spans, of: filter { $0.uid = 2011 }, by: "root", at: moment) == 1)
        #expect(try entries(fixture).last?.user?.login == "user11")
        // Who sees certain users alone has looked at nobody else, however many they are.
        let users = Set((1...11).map { UserIdentity(login: "user\($0)", uid: 2000 + $0) })
        let nobody = UserIdentity(login: "nobody", uid: 3000)
        let looks = try writer.recordLooks(.spans, of: filter { $0.identities = users.union([nobody]) }, by: "uid 7", at: moment)
        #expect(Set(looks) == users && looks.count == 11)
        #expect(try Set(entries(fixture).suffix(11).compactMap(\.user)) == users)
        #expect(try writer.recordLooks(.spans, of: filter { $0.identities = [nobody] }, by: "uid 7", at: moment) == [])
        // ... but for whether they are logged on.
        #expect(try writer.recordLooks(.users, of: filter { $0.identities = [nobody] }, by: "uid 7", at: moment) == [nobody])
        #expect(try entries(fixture).last?.entry.action == "read-users" && entries(fixture).last?.entry.user == nil)
        // That is nothing about everybody.
        let own = filter { $0.identities = [UserIdentity(login: "user1", uid: 2001)] }
        #expect(try !entries(fixture, own).contains { $0.entry.action == "read-users" })
        // By a number that one of them had.
        early.identities = [UserIdentity(login: "user2", uid: 2002), UserIdentity(login: "user9", uid: 2009)]
        #expect(try writer.recordLooks(.spans, of: early, by: "uid 7", at: moment).map(\.login) == ["user2"])
    }

    /// Whatever the reader shows of sessions is recorded as read, also where the clock was set back and an end has an earlier wall time.
    @Test func whatIsShownIsRecorded() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        func anchor(_ seconds: Double, ahead: Int) -> ClockAnchor {
            ClockAnchor(boot: F.at(seconds), wall: F.anchor.wall.advanced(by: .seconds(Int64(seconds) + Int64(ahead))))
        }
        batch.anchors = [anchor(20, ahead: 3600), anchor(40, ahead: 0)]
        batch.sessions = [F.session(1), F.session(2, "ben", 1002, start: 50)]
        batch.ended = [1, 2].map { SessionEnd(session: F.uuid($0), at: F.at(60), reason: .logoff) }
        try writer.write(batch)
        let reader = try StoreReader(path: fixture.path)
        for number in [1, 2] as [UInt32] {
            for (since, until) in [(nil, nil), (3600, 3630), (3600, nil), (nil, 30), (nil, 5), (90, 95)] as [(Int64?, Int64?)] {
                var filter = SessionFilter()
                filter.id = SessionID(rawValue: number)
                filter.since = since.map { F.anchor.wall.advanced(by: .seconds($0)) }
                filter.until = until.map { F.anchor.wall.advanced(by: .seconds($0)) }
                let shown = try reader.sessions(filter).count
                #expect(try writer.recordRead(.spans, of: filter, by: "root", at: moment) == shown, "\(filter)")
            }
        }
        #expect(try entries(fixture).count >= 6)
    }

    @Test(arguments: [
        "UPDATE audit SET by = 'uid 1' WHERE id = 2", "UPDATE audit SET at = at + 1 WHERE id = 2",
        "UPDATE audit SET action = 'read-users' WHERE id = 2", "UPDATE audit SET user = NULL WHERE id = 2",
        "UPDATE audit SET user = randomblob(16) WHERE id = 2",
        "UPDATE audit SET user = zeroblob(16) WHERE id = 4", "UPDATE audit SET value = 'x' WHERE id = 2",
        "UPDATE audit SET digest = replace(digest, substr(digest, 1, 1), 'g') WHERE id = 2",
    ])
    func whatWasChangedShows(sql: String) throws {
        let (fixture, writer) = try filled()
        let queue = try DatabaseQueue(path: fixture.path)
        #expect(throws: DatabaseError.self) { try queue.write { try $0.execute(sql: sql) } }
        try queue.write { try $0.execute(sql: "DROP TRIGGER audit_closed; \(sql)") }
        let id = sql.last ?? "0"
        #expect(try check(fixture).problem == "entry \(id) is not as it was recorded, or one before it was another")
        withExtendedLifetime(writer) {}
    }

    @Test func whatWasTakenOutShows() throws {
        for (id, problem) in [(1, "entry 1 is missing"), (2, "entry 2 is missing"), (4, nil)] as [(Int, String?)] {
            let (fixture, writer) = try filled()
            let known = try #require(writer.takeAuditHead())
            let queue = try DatabaseQueue(path: fixture.path)
            #expect(throws: DatabaseError.self) { try queue.write { try $0.execute(sql: "DELETE FROM audit WHERE id = \(id)") } }
            try queue.write { try $0.execute(sql: "DROP TRIGGER audit_kept; DELETE FROM audit WHERE id = \(id)") }
            let check = try check(fixture)
            // What was cut off at the end shows to whoever knows the head.
            #expect(check.problem == problem && check.head != known)
        }
    }

    /// Neither reasons nor logins are in it, and a user who was erased is a number that nothing belongs to.
    @Test func nothingOfItNeedsToBeErased() throws {
        let (fixture, writer) = try filled()
        _ = try writer.setDoNotTrack(
            [.login(LoginName("planted-login", domain: "*"))], listed: true, by: "root", reason: "planted-reason", at: moment)
        let user = try writer.users(named: [try #require(UserName("anna"))])
        _ = try writer.erase(
            user, alsoUsers: true, measured: [], burstGap: .seconds(30), by: "root", reason: "planted-reason",
            at: ClockAnchor(boot: F.at(100), wall: moment))
        let all = try entries(fixture)
        let last = all.map(\.entry.action).suffix(4)
        #expect(Array(last) == ["do-not-track-added", "user-erased", "do-not-track-added", "do-not-track-added"])
        #expect(!all.map(\.entry.text).joined().contains("planted") && !all.map(\.entry.text).joined().contains("anna"))
        #expect(all[1].entry.user == user[0].uuid && all[1].user == nil)
        #expect(try check(fixture).problem == nil)
    }

    /// Whoever holds the file locked keeps nobody from learning of the last entry.
    @Test func theHeadIsReadThoughSomebodyWrites() throws {
        let (fixture, writer) = try filled()
        let holder = try DatabaseQueue(path: fixture.path)
        try holder.inDatabase { db in
            try db.execute(sql: "BEGIN IMMEDIATE")
            #expect(writer.takeAuditHead()?.id == 4)
            try db.execute(sql: "ROLLBACK")
        }
    }

    /// A transaction that fails leaves no entry, and the next one follows the last that there is.
    @Test func whatWasNotDoneIsNotRecorded() throws {
        let (fixture, writer) = try filled()
        _ = writer.takeAuditHead()
        let queue = try DatabaseQueue(path: fixture.path)
        try queue.write {
            try $0.execute(sql: "CREATE TRIGGER fails BEFORE INSERT ON policy_change BEGIN SELECT RAISE(ABORT, 'no'); END")
        }
        #expect(throws: StoreError.self) {
            try writer.setTracking(anna, tracked: false, by: "root", reason: "", at: moment.advanced(by: .seconds(1)))
        }
        #expect(try entries(fixture).count == 4)
        try queue.write { try $0.execute(sql: "DROP TRIGGER fails") }
        _ = try writer.setTracking(anna, tracked: false, by: "root", reason: "", at: moment.advanced(by: .seconds(2)))
        #expect(try check(fixture).problem == nil && check(fixture).head.id == 7)
    }
}
