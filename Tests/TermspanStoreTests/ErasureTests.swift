import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanStore

@Suite struct ErasureTests {
    private typealias F = StoreFixture
    private let moment = ClockAnchor(boot: StoreFixture.at(100), wall: StoreFixture.anchor.wall.advanced(by: .seconds(100)))

    private func name(_ text: String) throws -> UserName { try #require(UserName(text)) }

    private func erase(
        _ writer: StoreWriter, _ names: String..., alsoUsers: Bool = false, measured: Set<UUIDv7> = []
    ) throws -> [Erased] {
        let erased = try writer.erase(
            try writer.users(named: try names.map { try name($0) }), alsoUsers: alsoUsers, measured: measured, burstGap: .seconds(30),
            by: "root", reason: "test", at: moment)
        writer.scrub(isPatient: false)
        return erased
    }

    private func applications(_ fixture: StoreFixture) throws -> [String] {
        let queue = try DatabaseQueue(path: fixture.path)
        defer { try? queue.close() }
        return try queue.read { try String.fetchAll($0, sql: "SELECT executable FROM application ORDER BY executable") }
    }

    @Test(arguments: [("anna", "anna"), ("uid:1001", "uid:1001"), ("UID:7", "uid:7"), (#"EXAMPLE\anna"#, #"EXAMPLE\anna"#)])
    func aNameIsReadAndWritten(text: String, written: String) throws { #expect(try name(text).description == written) }

    @Test(arguments: ["", "uid:", "uid:x", "uid:4294967295", String(repeating: "a", count: 257)])
    func whatNamesNobodyIsRefused(text: String) { #expect(UserName(text) == nil) }

    @Test func historyGoesAndAllElseStays() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: true))
        try writer.write(F.batch(F.session(2), ended: false))
        try writer.write(F.batch(F.session(3, "ben", 1002), ended: true))
        let anna = UserIdentity(login: "anna", uid: 1001)
        _ = try writer.setTracking(anna, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        let policy = try writer.policy()

        let users = try writer.users(named: [try name("anna"), try name("uid:1001"), try name("nobody")])
        #expect(users.count == 1 && users[0].identity == anna && users[0].isCurrent)
        #expect(users[0].names.map(\.description) == ["anna", "uid:1001"])
        let counts = try writer.counts(of: users[0])
        #expect(counts.named.map(\.count) == [2, 4, 2, 2, 4, 0])

        let erased = try #require(try erase(writer, "anna").first)
        #expect(erased.counts == counts && Set(erased.gone) == [F.uuid(1), F.uuid(2)] && erased.goingOn.isEmpty)
        #expect(!writer.holdsRemoved)
        let reader = try StoreReader(path: fixture.path)
        #expect(try reader.sessions(SessionFilter()).map(\.record.uuid) == [F.uuid(3)])
        let bens = try #require(try reader.sessions(SessionFilter()).first)
        #expect(try reader.focus(of: bens, in: F.span(0, 100)).count == 2 && reader.events(of: bens).count == 2)
        #expect(try applications(fixture) == ["/opt/own-ben", "/usr/bin/shared"])
        #expect(try writer.policy() == policy)
        #expect(try writer.counts(of: users[0]) == HeldCounts())
        // A receipt that says so, and names nobody.
        let change = try #require(try reader.policyChanges().last?.change)
        #expect(change.key == "history-erased" && change.reason == "test" && change.user == anna)
        #expect(change.value == "\(erased.receipt.text) sha256=\(erased.receipt.digest)")
        let counted =
            " sessions=2 focus-intervals=4 input-bursts=2 unknown-intervals=2 state-changes=4 facts=0 sessions-going-on=0 keys-destroyed=1 user-erased=no "
        #expect(erased.receipt.text.contains(counted))
        #expect(!erased.receipt.text.contains("anna") && erased.receipt.digest.count == 64)
        // The user is measured on as if new.
        #expect(try writer.write(F.batch(F.session(4), ended: false)).rejected == 0)
        #expect(try applications(fixture) == ["/opt/own-anna", "/opt/own-ben", "/usr/bin/shared"])
    }

    @Test func aSessionThatIsMeasuredGoesOnAndItsTimeUntilNowIsUnknown() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: true))
        try writer.write(F.batch(F.session(2), ended: false))
        let erased = try #require(try erase(writer, "anna", measured: [F.uuid(2)]).first)
        #expect(erased.gone == [F.uuid(1)] && erased.goingOn == [F.uuid(2)])
        let reader = try StoreReader(path: fixture.path)
        let stored = try #require(try reader.sessions(SessionFilter()).first)
        #expect(stored.record == F.session(2) && stored.end == nil)
        #expect(try reader.focus(of: stored, in: F.span(0, 200)).isEmpty && reader.bursts(of: stored, in: F.span(0, 200)).isEmpty)
        #expect(
            try reader.unknowns(of: stored, in: F.span(0, 200)) == [UnknownInterval(start: F.at(10), end: F.at(100), reason: .erased)])
        #expect(
            try reader.events(of: stored).map(\.event.change)
                == [StateChange.Kind.connected, .locked].map { StateChange($0, at: F.at(100)) })
        #expect(try reader.events(of: stored).allSatisfy { $0.event.clientAddress.isEmpty })
        // Where a collector that is killed now goes on.
        let open = try #require(try writer.sessionsOpen().first)
        let state = try #require(open.checkpoint?.state)
        #expect(state.phase == .unknown && state.since == F.at(100) && state.reason == .erased && open.checkpoint?.generation == 0)
    }

    /// As when an account is gone, and the next one was given its UID or its login.
    @Test func ofWhoIsForgottenWhatPassedOnIsLeftAloneAndTheRestIsListed() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: true))
        _ = try writer.set("new-users", to: "tracked", by: "root", reason: "", at: F.anchor.wall)
        let next = UserIdentity(login: "next", uid: 1001)
        _ = try writer.setTracking(next, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        #expect(try erase(writer, "anna", alsoUsers: true).count == 1)
        var policy = try writer.policy()
        #expect(policy.doNotTrack.entries.map(\.subject.description) == ["anna@*"])
        #expect(policy.tracks(next) && !policy.tracks(UserIdentity(login: "anna", uid: 1007)))
        let another = UserIdentity(login: "next", uid: 1002)
        _ = try writer.setTracking(another, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        #expect(try erase(writer, "uid:1001", alsoUsers: true).count == 1)
        policy = try writer.policy()
        #expect(policy.doNotTrack.entries.map(\.subject.description) == ["anna@*", "uid:1001"])
        #expect(policy.tracks(another) && !policy.tracks(UserIdentity(login: "third", uid: 1001)))
    }

    @Test func whoIsForgottenIsANumberAndIsNotTracked() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let anna = UserIdentity(login: "anna", uid: 1001)
        try writer.write(F.batch(F.session(1), ended: true))
        _ = try writer.setTracking(anna, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        _ = try writer.set("new-users", to: "tracked", by: "root", reason: "", at: F.anchor.wall)
        // One who is measured can't be forgotten: nobody would be whose session that is.
        try writer.write(F.batch(F.session(2), ended: false))
        #expect(throws: StoreError.self) { try erase(writer, "anna", alsoUsers: true, measured: [F.uuid(2)]) }
        #expect(try writer.counts(of: writer.users(named: [name("anna")])[0]).sessions == 2)

        #expect(try erase(writer, "uid:1001", alsoUsers: true).count == 1)
        let policy = try writer.policy()
        #expect(policy.rows.isEmpty && !policy.tracks(anna))
        #expect(policy.doNotTrack.entries.map(\.subject.description) == ["anna@*", "uid:1001"])
        #expect(try writer.users(named: [name("anna"), name("uid:1001")]).isEmpty)
        let reader = try StoreReader(path: fixture.path)
        #expect(try reader.sessions(SessionFilter()).isEmpty)
        #expect(
            try reader.policyChanges().allSatisfy {
                $0.change.user == nil && !$0.change.value.contains("anna") && !$0.change.value.contains("1001")
            })
        // Whoever comes with that login is somebody else.
        try writer.write(F.batch(F.session(3), ended: true))
        #expect(try reader.sessions(SessionFilter()).count == 1)
    }

    @Test func ofWhomSomethingIsHeldIsKnown() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let (anna, ben) = (UserIdentity(login: "anna", uid: 1001), UserIdentity(login: "ben", uid: 1002))
        func held() throws -> [UserIdentity?] { try writer.usersWithHistory().map { $0.isCurrent ? $0.identity : nil } }
        _ = try writer.setTracking(ben, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        #expect(try held().isEmpty)
        try writer.write(F.batch(F.session(1), ended: true))
        try writer.write(F.batch(F.session(2), ended: false))
        #expect(try held() == [anna])
        // Another user has the UID now; what is held of the one before is still held.
        try writer.write(F.batch(F.session(3, "new", 1001), ended: true))
        let new = UserIdentity(login: "new", uid: 1001)
        #expect(try held() == [nil, new])
        _ = try erase(writer, "anna")
        #expect(try held() == [new])
        // Whoever goes on being recorded keeps it.
        try writer.write(F.batch(F.session(4, "ben", 1002), ended: false))
        _ = try erase(writer, "ben", measured: [F.uuid(4)])
        #expect(try Set(held()) == [new, ben])
        _ = try writer.expire(activityBefore: nil, sessionsBefore: F.anchor.wall.advanced(by: .seconds(1000)))
        #expect(try held() == [ben])
    }

    @Test func anErasureThatFailsErasesNothing() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: true))
        try writer.write(F.batch(F.session(2, "ben", 1002), ended: true))
        let other = try DatabaseQueue(path: fixture.path)
        try other.write {
            try $0.execute(sql: "CREATE TRIGGER no BEFORE DELETE ON session WHEN OLD.number = 2 BEGIN SELECT RAISE(ABORT, 'no'); END")
        }
        #expect(throws: StoreError.self) { try erase(writer, "anna", "ben") }
        let users = try writer.users(named: [name("anna"), name("ben")])
        for user in users { #expect(try writer.counts(of: user).named.map(\.count) == [1, 2, 1, 1, 2, 0]) }
        #expect(try StoreReader(path: fixture.path).policyChanges().isEmpty)
        try other.write { try $0.execute(sql: "DROP TRIGGER no") }
        #expect(try erase(writer, "anna", "ben").count == 2)
        try other.close()
    }

    /// The files' bytes that hold `text`.
    private func files(with text: String, in fixture: StoreFixture) throws -> [String] {
        try ["", "-wal", "-shm", ".keys"].filter { suffix in
            guard FileManager.default.fileExists(atPath: fixture.path + suffix) else { return false }
            return try Data(contentsOf: URL(filePath: fixture.path + suffix)).range(of: Data(text.utf8)) != nil
        }
    }

    /// A user and all that only that user's rows have, none of it a part of anything else.
    private struct Marked {
        let user: UserIdentity
        let folder, program, windowClass, address, client: String

        init(_ number: Int, _ random: inout SeededRandom) {
            var marks: [String] = []
            for kind in ["login", "folder", "program", "class", "address", "client"] {
                marks.append("\(kind)-\(UInt64.random(in: 1 << 60 ... .max, using: &random))")
            }
            user = UserIdentity(login: marks[0], uid: UInt32(1001 + number))
            (folder, program, windowClass, address, client) = (marks[1], marks[2], marks[3], marks[4], marks[5])
        }

        var inTheClear: [String] { [folder, program, windowClass] }
        var sealed: [String] { [user.login, address, client] }
    }

    @Test(arguments: 0..<8)
    func noByteOfThemIsLeft(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let alsoUsers = seed % 2 == 1
        let fixture = try StoreFixture()
        var writer = try fixture.writer()
        let users = (0..<4).map { Marked($0, &random) }
        var number: UInt64 = 0
        var open: [(user: Marked, uuid: UUIDv7, at: Double)] = []
        for step in 0..<400 {
            var batch = StoreBatch()
            if open.count < 6 {
                number += 1
                let user = users.randomElement(using: &random)!
                let session = F.session(number, user.user.login, user.user.uid, start: Double(step))
                batch.sessions = [session]
                open.append((user, session.uuid, Double(step)))
            }
            for index in open.indices {
                let (user, uuid, at) = open[index]
                // Names of all lengths, so that cells move between pages, spill over, and are split.
                let padding = String(repeating: "x", count: Int.random(in: 0..<(step % 50 == 0 ? 6000 : 200), using: &random))
                let application = Application(
                    executable: "/opt/\(user.folder)/\(padding)\(Int.random(in: 0..<100, using: &random))/\(user.program)",
                    windowClass: user.windowClass)
                batch.focus.append(FocusRecord(session: uuid, span: F.span(at, at + 0.5), application: application))
                batch.events.append(
                    SessionEvent(
                        session: uuid, change: StateChange(.connected, at: F.at(at)), clientAddress: user.address, clientName: user.client)
                )
                var fold = SessionFold()
                fold.begin(at: F.at(at))
                let focus = Focus(window: 1, process: .none, windowClass: WindowClass(user.windowClass.utf8))
                fold.apply(
                    .snapshot(Snapshot(id: 0, focus: focus, inputOpen: false, lastInput: nil)), at: F.at(at)
                ) { _ in }
                batch.checkpoints.append(LaneCheckpoint(session: uuid, generation: 1, attemptedAt: 1, delivered: 1, state: fold.state))
                open[index].at += 1
            }
            if Int.random(in: 0..<4, using: &random) == 0 {
                let ended = open.remove(at: Int.random(in: open.indices, using: &random))
                batch.ended = [SessionEnd(session: ended.uuid, at: F.at(ended.at), reason: .logoff)]
            }
            try writer.write(batch)
            if Int.random(in: 0..<50, using: &random) == 0 { writer.close(); writer = try fixture.writer() }
        }
        // They are there, and told; in the bytes only what is under no key.
        let gone = users[1]
        func told() throws -> Set<String> {
            let reader = try StoreReader(path: fixture.path)
            var told: Set<String> = []
            for stored in try reader.sessions(SessionFilter()) {
                told.insert(stored.record.user.login)
                for application in try reader.focus(of: stored, in: F.span(0, 1000)).compactMap(\.application) {
                    told.formUnion((application.executable ?? "").split(separator: "/").map(String.init) + [application.windowClass ?? ""])
                }
                for event in try reader.events(of: stored).map(\.event) { told.formUnion([event.clientAddress, event.clientName]) }
            }
            return told
        }
        var held = try told()
        for text in users.flatMap({ $0.inTheClear + $0.sealed }) { #expect(held.contains(text)) }
        for text in gone.inTheClear { #expect(try !files(with: text, in: fixture).isEmpty) }
        for text in users.flatMap(\.sealed) { #expect(try files(with: text, in: fixture).isEmpty) }
        let measured = alsoUsers ? [] : Set(open.filter { $0.user.user == gone.user }.map(\.uuid))
        #expect(try erase(writer, gone.user.login, alsoUsers: alsoUsers, measured: measured).count == 1)
        held = try told()
        for text in gone.inTheClear + gone.sealed {
            // Who was forgotten is on the Do Not Track list, and who is measured has a session.
            if text != gone.user.login { #expect(!held.contains(text)) }
            #expect(try files(with: text, in: fixture).isEmpty || (alsoUsers && text == gone.user.login))
        }
        for text in users[0].inTheClear { #expect(try !files(with: text, in: fixture).isEmpty) }
        for text in users[0].sealed { #expect(held.contains(text)) }
        let queue = try DatabaseQueue(path: fixture.path)
        #expect(try queue.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } == ["ok"])
        #expect(try queue.read { try Row.fetchAll($0, sql: "PRAGMA foreign_key_check") }.isEmpty)
        try queue.close()
    }

    /// Which the Do Not Track list has in the clear as long as it is there.
    @Test(arguments: [true, false]) func aLoginThatIsOffTheListIsInNoByte(isTracked: Bool) throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let user = UserIdentity(login: "marker-anna", uid: 1001)
        _ = try writer.setTracking(user, tracked: false, by: "root", reason: "x", at: F.anchor.wall)
        #expect(try !writer.holdsRemoved && !files(with: user.login, in: fixture).isEmpty)
        if isTracked {
            _ = try writer.setTracking(user, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        } else {
            _ = try writer.setDoNotTrack(DoNotTrackSubject.all(of: user), listed: false, by: "root", reason: "x", at: F.anchor.wall)
        }
        #expect(writer.holdsRemoved)
        writer.scrub(isPatient: false)
        #expect(try !writer.holdsRemoved && files(with: user.login, in: fixture).isEmpty)
        #expect(try writer.policy().rows.map(\.user) == [user])
    }

    @Test func whoWasKilledBeforeTheFileWasWrittenAnewDoesThatAtTheNextStart() throws {
        let fixture = try StoreFixture()
        var writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: true))
        func version() throws -> Int? {
            let queue = try DatabaseQueue(path: fixture.path)
            defer { try? queue.close() }
            return try queue.read { try Int.fetchOne($0, sql: "PRAGMA user_version") }
        }
        _ = try writer.erase(
            try writer.users(named: [name("anna")]), alsoUsers: false, measured: [], burstGap: .seconds(30), by: "root", reason: "test",
            at: moment)
        #expect(try writer.holdsRemoved && version() == StoreWriter.holdsErased)
        writer.close()
        writer = try fixture.writer()
        #expect(try !writer.holdsRemoved && version() == 0)
        #expect(try files(with: "own-anna", in: fixture).isEmpty)
    }

    @Test func aLogThatSomebodyReadsIsCutOffAfterwards() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1), ended: true))
        let reader = try DatabaseQueue(path: fixture.path)
        try reader.inDatabase { db in
            try db.execute(sql: "BEGIN")
            _ = try Int.fetchOne(db, sql: "SELECT count(*) FROM session")
            #expect(try erase(writer, "anna").count == 1)
            #expect(writer.holdsRemoved)
            #expect(try files(with: "own-anna", in: fixture).count > 0)
            try db.execute(sql: "ROLLBACK")
        }
        writer.scrub(isPatient: false)
        #expect(!writer.holdsRemoved)
        #expect(try files(with: "own-anna", in: fixture).isEmpty)
        try reader.close()
    }
}
