import Foundation
import GRDB
import TermspanAccounting
import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct KeyTests {
    private typealias F = StoreFixture
    private let anna = UserIdentity(login: "anna", uid: 1001)
    private let ben = UserIdentity(login: "ben", uid: 1002)
    private let other = SecretKey(bytes: 101...132)!
    private let moment = ClockAnchor(boot: StoreFixture.at(100), wall: StoreFixture.anchor.wall.advanced(by: .seconds(100)))

    private func bytes(_ digits: String) -> [UInt8] {
        stride(from: 0, to: digits.count, by: 2).map { UInt8(digits.dropFirst($0).prefix(2), radix: 16)! }
    }

    private func file(_ fixture: StoreFixture, _ masters: [SecretKey]? = nil, creates: Bool = false, writes: Bool = false) throws -> KeyFile
    {
        var place = F.place(fixture.path).keys
        if let masters { place.masters = masters }
        return try KeyFile(place, creates: creates, writes: writes)
    }

    private func contents(_ fixture: StoreFixture, _ suffix: String = ".keys") throws -> [UInt8] {
        Array(try Data(contentsOf: URL(filePath: fixture.path + suffix)))
    }

    private func put(_ bytes: [UInt8], _ fixture: StoreFixture, _ suffix: String = ".keys") throws {
        try Data(bytes).write(to: URL(filePath: fixture.path + suffix))
    }

    private func erase(_ writer: StoreWriter, _ name: String, alsoUser: Bool) throws {
        let users = try writer.users(named: [#require(UserName(name))])
        _ = try writer.erase(
            users, alsoUsers: alsoUser, measured: [], burstGap: .seconds(30), by: "root", reason: "test", at: moment)
        writer.scrub(isPatient: false)
        #expect(!writer.holdsRemoved)
    }

    // MARK: Algorithms

    /// Test case 14 of "The Galois/Counter Mode of Operation" (McGrew, Viega), and test case 1 of RFC 4231.
    @Test func algorithmsAreThoseOfTheStandards() throws {
        let zeros = try #require(SecretKey(bytes: [UInt8](repeating: 0, count: 32)))
        let sealed = [UInt8](repeating: 0, count: 12) + bytes("cea7403d4d606b6e074ec5d3baf39d18d0d1c8a799996bf0265b98b5d48ab919")
        #expect(zeros.open(sealed, context: []) == [UInt8](repeating: 0, count: 16))
        let key = try #require(SecretKey(bytes: [UInt8](repeating: 0x0B, count: 20) + [UInt8](repeating: 0, count: 12)))
        let code = bytes("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")
        #expect(key.authenticationCode(of: Array("Hi There".utf8)) == code)
    }

    @Test(arguments: [0, 1, 31, 32, 1000]) func whatIsSealedIsOpenedByItsKeyInItsPlaceAlone(count: Int) throws {
        let key = SecretKey()
        let plain = (0..<count).map { UInt8(truncatingIfNeeded: $0) }
        let sealed = key.seal(plain, context: [1])
        #expect(key.open(sealed, context: [1]) == plain)
        #expect(
            key.open(sealed, context: [2]) == nil && key.open(sealed, context: []) == nil && SecretKey().open(sealed, context: [1]) == nil)
        #expect(sealed != key.seal(plain, context: [1]))
        for index in sealed.indices {
            var changed = sealed
            changed[index] ^= 1
            #expect(key.open(changed, context: [1]) == nil)
        }
        #expect(key.open(sealed.dropLast(), context: [1]) == nil && key.open([], context: [1]) == nil)
        #expect("\(key)" == "(secret)" && String(reflecting: key) == "(secret)")
    }

    // MARK: The file

    @Test func keysAreKeptAndDestroyed() throws {
        let fixture = try StoreFixture()
        let writing = try file(fixture, creates: true, writes: true)
        let ids = try [anna, ben, anna].map { try writing.makeKey(of: $0) }
        let keys = ids.map { writing.key($0) }
        #expect(Set(ids).count == 3 && keys.allSatisfy { $0 != nil } && writing.keys(of: anna) == [ids[0], ids[2]])
        try writing.sync()
        let size = try contents(fixture).count
        #expect(size == 4 * 128)
        let reading = try file(fixture)
        #expect(ids.map { reading.key($0) } == keys && reading.rootID == writing.rootID && reading.keys(of: ben) == [ids[1]])
        // Neither whose it is nor the key shows.
        let text = try contents(fixture)
        #expect(Data(text).range(of: Data("anna".utf8)) == nil && keys.allSatisfy { Data(text).range(of: Data($0!.bytes)) == nil })

        try writing.destroy([ids[0], KeyID(rawValue: 1)])
        #expect(writing.key(ids[0]) == nil && writing.keys(of: anna) == [ids[2]] && writing.present(ids) == [ids[1], ids[2]])
        #expect(try contents(fixture)[128..<256].allSatisfy { $0 == 0 })
        #expect(try file(fixture).key(ids[0]) == nil)
        // Where it was there is room.
        let next = try writing.makeKey(of: ben)
        #expect(try contents(fixture).count == size && file(fixture).key(next) == writing.key(next))
        // Whoever reads sees it without opening the file again.
        #expect(reading.key(next) == writing.key(next) && reading.key(ids[0]) == nil)
    }

    @Test func whatAPowerLossLeavesOfAKeyIsNone() throws {
        let fixture = try StoreFixture()
        let first = try file(fixture, creates: true, writes: true).makeKey(of: anna)
        let whole = try contents(fixture)
        try put(whole + whole[128..<200], fixture)
        let writing = try file(fixture, writes: true)
        let second = try writing.makeKey(of: ben)
        #expect(try contents(fixture).count == 3 * 128)
        let reading = try file(fixture)
        #expect(reading.key(first) != nil && reading.key(second) == writing.key(second) && reading.keys(of: anna) == [first])
    }

    @Test func anotherMasterKeyTakesOver() throws {
        let fixture = try StoreFixture()
        let before = try file(fixture, creates: true, writes: true)
        let ids = try [anna, ben].map { try before.makeKey(of: $0) }
        try before.destroy([ids[0]])
        let old = try contents(fixture)
        // Both are there; the newest is the last.
        let both = try file(fixture, [F.master, other], writes: true)
        #expect(both.key(ids[1]) == before.key(ids[1]) && both.rootID == before.rootID && both.keys(of: ben) == [ids[1]])
        let third = try both.makeKey(of: anna)
        for masters in [[other], [F.master, other], [SecretKey(), other, SecretKey()]] {
            let reading = try file(fixture, masters)
            #expect(reading.key(ids[1]) == before.key(ids[1]) && reading.key(third) == both.key(third))
        }
        #expect(throws: StoreError.self) { try file(fixture, [F.master]) }
        #expect(try contents(fixture)[..<128] != old[..<128] && contents(fixture).count == 3 * 128)
    }

    @Test func whatIsWrongWithTheKeysIsSaidAndNothingIsTouched() throws {
        let fixture = try StoreFixture()
        do {
            let writer = try fixture.writer()
            try writer.write(F.batch(F.session(1), ended: true))
            writer.close()
        }
        let keys = try contents(fixture)
        let files = try ["", "-wal"].map { try contents(fixture, $0) }
        func expect(_ message: String, _ change: (inout StorePlace) throws -> Void) throws {
            var place = F.place(fixture.path)
            try change(&place)
            let before = try? contents(fixture)
            let check: (any Error) -> Bool = {
                ($0 as? StoreError)?.code == .keys && "\($0)".contains(message) && "\($0)".contains("termspan-keys(7)")
            }
            #expect { try StoreWriter.open(place, anchor: F.anchor) } throws: { check($0) }
            #expect { try StoreReader(path: place.path, keys: place.keys) } throws: { check($0) }
            #expect(try ["", "-wal"].map { try contents(fixture, $0) } == files && (try? contents(fixture)) == before)
            try put(keys, fixture)
        }
        try expect("no master key") { $0.keys.masters = [] }
        try expect("not the one that the keys are under") { $0.keys.masters = [other] }
        try expect("damaged") { _ in try put(Array(keys.dropFirst(64)), fixture) }
        try expect("damaged") { _ in try put([], fixture) }
        for length in 0..<128 { try expect("damaged") { _ in try put(Array(keys[..<length]), fixture) } }
        try expect("not the one") { _ in try put([UInt8](keys[..<44] + [keys[44] ^ 1] + keys[45...]), fixture) }
        try expect("another store") { _ in
            try FileManager.default.removeItem(atPath: fixture.path + ".keys")
            _ = try file(fixture, creates: true, writes: true)
        }
        try FileManager.default.removeItem(atPath: fixture.path + ".keys")
        #expect { try fixture.writer() } throws: { "\($0)".contains("gone") && ($0 as? StoreError)?.code == .keys }
        #expect(!FileManager.default.fileExists(atPath: fixture.path + ".keys"))
        try put(keys, fixture)
        #expect(try fixture.writer().users(named: [#require(UserName("anna"))]).count == 1)
    }

    @Test func aCollectorWithoutKeysHasAnEmptyStore() throws {
        let fixture = try StoreFixture()
        do { _ = try fixture.writer().setTracking(anna, tracked: true, by: "root", reason: "x", at: F.anchor.wall) }
        let files = try ["", "-wal", ".keys"].map { try contents(fixture, $0) }
        let problem = StoreError(.keys, "open", "why")
        for _ in 0..<2 {
            let opening = try StoreOpening.locked(
                F.place(fixture.path), by: problem, folder: fixture.folder.path, anchor: F.anchor)
            #expect(opening.locked == "open: why" && opening.policy == Policy() && opening.open.isEmpty && opening.held.isEmpty)
            try opening.writer.write(F.batch(F.session(1), ended: true))
            opening.writer.close()
        }
        #expect(try ["", "-wal", ".keys"].map { try contents(fixture, $0) } == files)
    }

    /// One damaged key is its user's misfortune and nobody else's.
    @Test func aKeyThatCanNotBeOpenedIsReplaced() throws {
        let fixture = try StoreFixture()
        do {
            let writer = try fixture.writer()
            for (number, user) in [anna, ben].enumerated() {
                try writer.write(F.batch(F.session(UInt64(number) + 1, user.login, user.uid), ended: number == 1))
            }
            writer.close()
        }
        var keys = try contents(fixture)
        keys[128 + 50] ^= 1
        try put(keys, fixture)
        let writer = try fixture.writer()
        // Of the session that is open; and a new one, of who is unknown by now.
        var batch = StoreBatch()
        batch.events = [
            SessionEvent(session: F.uuid(1), change: StateChange(.connected, at: F.at(50)), clientAddress: "192.0.2.9", clientName: "")
        ]
        #expect(try writer.write(batch).written == 1)
        try writer.write(F.batch(F.session(3, "anna", 1001), ended: true))
        _ = try writer.setTracking(anna, tracked: false, by: "root", reason: "x", at: F.anchor.wall)
        let logins = try StoreReader(path: fixture.path).sessions(SessionFilter()).map(\.record.user.login)
        #expect(logins.count == 3 && logins[0].hasPrefix("?") && logins[1...] == ["ben", "anna"])
        // Changed master keys leave it as it is.
        writer.close()
        var place = F.place(fixture.path)
        place.keys.masters.append(other)
        #expect(try StoreWriter.open(place, anchor: F.anchor).users(named: [#require(UserName("ben"))]).count == 1)
    }

    /// Who had a login before and after somebody else is two users, with one key.
    @Test(arguments: [false, true]) func usersOfOneNameGoTogether(alsoUser: Bool) throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        for (number, login) in ["anna", "ben", "anna", "cleo"].enumerated() {
            try writer.write(
                F.batch(F.session(UInt64(number) + 1, login, login == "cleo" ? 1002 : 1001, start: Double(10 + number)), ended: true))
        }
        _ = try writer.setTracking(anna, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        let old = writer.values.keys.keys(of: anna)
        #expect(old.count == 1)
        let users = try writer.users(named: [#require(UserName("anna"))])
        #expect(users.count == 2)
        let erased = try writer.erase(
            users, alsoUsers: alsoUser, measured: [], burstGap: .seconds(30), by: "root", reason: "test", at: moment)
        writer.scrub(isPatient: false)
        #expect(erased.map { $0.receipt.text.contains(" keys-destroyed=1 ") } == [true, false])
        #expect(writer.values.keys.present(old).isEmpty)
        let names = try StoreReader(path: fixture.path).users().map(\.identity.login)
        #expect(names == (alsoUser ? ["ben", "cleo"] : ["anna", "ben", "anna", "cleo"]))
        if !alsoUser { #expect(try writer.policy().rows.map(\.user) == [anna]) }
        #expect(writer.values.keys.keys(of: anna).count == (alsoUser ? 0 : 1))
    }

    /// A store that takes a damaged one's place knows which keys are to be gone.
    @Test func destroyedKeysStayDestroyedInANewStore() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        for (number, user) in [anna, ben].enumerated() {
            try writer.write(F.batch(F.session(UInt64(number) + 1, user.login, user.uid), ended: true))
        }
        let oldKeys = try contents(fixture)
        try erase(writer, "anna", alsoUser: true)
        let opening = try StoreOpening.replace(writer, damage: StoreError(.damaged, "test", "test"), anchor: F.anchor)
        opening.writer.close()
        try put(oldKeys, fixture)
        let keys = try StoreOpening.open(F.place(fixture.path), anchor: F.anchor).writer.values.keys
        #expect(keys.keys(of: anna).isEmpty && keys.keys(of: ben).count == 1)
    }

    @Test func aStoreThatIsClosedKeepsNoDescriptor() throws {
        let fixture = try StoreFixture()
        func open() throws -> Int {
            try FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd").count { name in
                (try? FileManager.default.destinationOfSymbolicLink(atPath: "/proc/self/fd/\(name)"))?.hasPrefix(fixture.folder.path)
                    == true
            }
        }
        let writer = try fixture.writer()
        #expect(try open() > 0)
        writer.close()
        #expect(try open() == 0)
        _ = try StoreReader(path: fixture.path)
    }

    // MARK: What is sealed

    @Test func namesAndAddressesAreSealed() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let user = UserIdentity(login: #"EXAMPLE\anna-of-the-long-name-that-needs-two-blocks"#, uid: 1_234_567_890)
        var batch = F.batch(F.session(1, user.login, user.uid), ended: true)
        // Whose paths are named after the user.
        batch.focus = []
        try writer.write(batch)
        let reader = try StoreReader(path: fixture.path)
        let session = try #require(try reader.sessions(SessionFilter()).first)
        #expect(session.record.user == user)
        #expect(try reader.events(of: session).first?.event.clientAddress == "192.0.2.1")
        #expect(try reader.events(of: session).first?.event.clientName == "PC")
        for text in ["EXAMPLE", "long-name", "1234567890", "192.0.2"] {
            for suffix in ["", "-wal", ".keys"] { #expect(try Data(contents(fixture, suffix)).range(of: Data(text.utf8)) == nil) }
        }
        // Not even how long they are.
        let lengths = try writer.read { try Int.fetchAll($0, sql: "SELECT DISTINCT length(value) FROM user_identifier ORDER BY 1") }
        #expect(lengths == [8 + 28 + 32, 8 + 28 + 64])
        // One that was put in another's place, by whoever can write the file, is none.
        try writer.transaction("test") { try $0.execute(sql: "UPDATE user_identifier SET value = (SELECT client_name FROM session_event)") }
        #expect(try reader.sessions(SessionFilter()).first?.record.user.login.hasPrefix("?") == true)
    }

    /// What the keys are for: copies of the store from before an erasure.
    @Test(arguments: [true, false]) func aCopyOfBeforeTellsNothingOfWhoWasErased(alsoUser: Bool) throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        for (number, user) in [anna, ben].enumerated() {
            try writer.write(F.batch(F.session(UInt64(number) + 1, user.login, user.uid), ended: true))
        }
        writer.close()
        let (old, oldKeys) = (try contents(fixture, ""), try contents(fixture))
        let again = try fixture.writer()
        try erase(again, "anna", alsoUser: alsoUser)
        #expect(try again.users(named: [#require(UserName("anna")), #require(UserName("uid:1001"))]).count == (alsoUser ? 0 : 1))
        if !alsoUser {
            // Who stays is measured on, under a new key.
            try again.write(F.batch(F.session(3), ended: true))
            #expect(
                try StoreReader(path: fixture.path).events(of: #require(try StoreReader(path: fixture.path).sessions(SessionFilter()).last))
                    .first?.event.clientAddress == "192.0.2.3")
        }
        again.close()

        // The copy comes back, beside the keys as they are.
        let current = try contents(fixture, "")
        for suffix in ["-wal", "-shm"] { try FileManager.default.removeItem(atPath: fixture.path + suffix) }
        try put(old, fixture, "")
        let reader = try StoreReader(path: fixture.path)
        let sessions = try reader.sessions(SessionFilter())
        #expect(sessions.count == 2 && sessions[1].record.user == ben)
        #expect(sessions[0].record.user.login.hasPrefix("?") && sessions[0].record.user.uid == .max)
        #expect(try reader.events(of: sessions[0]).allSatisfy { $0.event.clientAddress.isEmpty && $0.event.clientName.isEmpty })
        #expect(try reader.events(of: sessions[1]).first?.event.clientAddress == "192.0.2.2")
        #expect(try fixture.writer().users(named: [#require(UserName("anna"))]).isEmpty)

        // Keys that come back are destroyed again, as soon as the store that knows of the erasure is opened.
        for suffix in ["-wal", "-shm"] { try FileManager.default.removeItem(atPath: fixture.path + suffix) }
        try put(current, fixture, "")
        try put(oldKeys, fixture)
        let back = try fixture.writer()
        #expect(!back.holdsRemoved && back.values.keys.keys(of: anna).isEmpty && back.values.keys.keys(of: ben).count == 1)
        // What was sealed since is lost by that, and says so.
        if !alsoUser {
            #expect(try StoreReader(path: fixture.path).sessions(SessionFilter()).last?.record.user.login.hasPrefix("?") == true)
        }
    }

    @Test func whoComesBackInANewStoreHasTheKeyOfBefore() throws {
        let fixture = try StoreFixture()
        let first = try fixture.writer()
        try first.write(F.batch(F.session(1), ended: true))
        let key = first.values.keys.keys(of: anna)
        first.close()
        for suffix in ["", "-wal", "-shm"] { try FileManager.default.removeItem(atPath: fixture.path + suffix) }
        let second = try fixture.writer()
        try second.write(F.batch(F.session(2), ended: true))
        #expect(key.count == 1 && second.values.keys.keys(of: anna) == key)
        try erase(second, "anna", alsoUser: true)
        #expect(second.values.keys.keys(of: anna).isEmpty)
    }

    /// A file as schema 5 left it, with all in the clear.
    @Test func aStoreFromBeforeThereWereKeysIsSealed() throws {
        let fixture = try StoreFixture()
        do {
            var configuration = GRDB.Configuration()
            configuration.foreignKeysEnabled = false
            configuration.prepareDatabase { [file = try file(fixture, creates: true, writes: true)] in
                try SealedValues(keys: file).register($0)
            }
            let queue = try DatabaseQueue(path: fixture.path, configuration: configuration)
            try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA journal_mode = WAL; PRAGMA auto_vacuum = INCREMENTAL") }
            try Schema.versions.migrate(queue, upTo: "5")
            try queue.write { db in
                try db.execute(
                    sql: """
                        INSERT INTO machine VALUES (1, ?, ?);
                        INSERT INTO boot VALUES (1, 1, ?, 0, NULL);
                        INSERT INTO clock_anchor VALUES (1, 0, \(F.anchor.wall.nanoseconds));
                        """,
                    arguments: [
                        DatabaseBytes(F.machine.bytes), DatabaseBytes(F.uuid(99).bytes), DatabaseBytes(F.boot.bytes),
                    ])
                // The second user had the first one's uid before.
                for (row, login, uid, until) in [(1, "anna-plain", 1001, "5"), (2, "ben-plain", 1001, "NULL")] {
                    try db.execute(
                        sql: """
                            INSERT INTO user VALUES (\(row), ?);
                            INSERT INTO user_identifier (user, kind, machine, value, until) VALUES (\(row), 'login', 1, '\(login)', \(until));
                            INSERT INTO user_identifier (user, kind, machine, value, until) VALUES (\(row), 'uid', 1, '\(uid)', \(until));
                            INSERT INTO session VALUES (\(row), ?, 1, \(row), \(row), 'xrdp', 10, 10, 60, 60, 1, 1);
                            INSERT INTO session_event (session, at, kind, client_address, client_name, revision)
                                VALUES (\(row), 11, 1, '192.0.2.\(row)', NULL, 1);
                            """,
                        arguments: [DatabaseBytes(F.uuid(UInt64(10 + row)).bytes), DatabaseBytes(F.uuid(UInt64(row)).bytes)])
                }
                for (key, value) in [
                    ("do-not-track-added", "ben-plain@*"), ("do-not-track-removed", "uid:1001"), ("do-not-track-added", "nobody@*"),
                ] {
                    try db.execute(
                        sql: "INSERT INTO policy_change (at, by, key, value, reason, revision) VALUES (1, 'root', ?, ?, '', 1)",
                        arguments: [key, value])
                }
            }
            try queue.close()
            try FileManager.default.removeItem(atPath: fixture.path + ".keys")
        }
        let writer = try fixture.writer()
        #expect(!writer.holdsRemoved)
        let reader = try StoreReader(path: fixture.path)
        let sessions = try reader.sessions(SessionFilter())
        #expect(sessions.map(\.record.user.login) == ["anna-plain", "ben-plain"])
        #expect(try sessions.map { try reader.events(of: $0).first?.event.clientAddress } == ["192.0.2.1", "192.0.2.2"])
        #expect(try reader.users().map(\.isCurrent) == [false, true])
        let changes = try reader.policyChanges().map(\.change).map { "\($0.user?.login ?? "-") \($0.key) \($0.value)" }
        #expect(changes == ["ben-plain do-not-track-added login", "ben-plain do-not-track-removed uid", "- do-not-track-added nobody@*"])
        for text in ["-plain", "192.0.2"] {
            for suffix in ["", "-wal"] { #expect(try Data(contents(fixture, suffix)).range(of: Data(text.utf8)) == nil) }
        }
        // The one who has the login and the uid is the same user as before.
        try writer.write(F.batch(F.session(3, "ben-plain", 1001), ended: false))
        #expect(try reader.users().count == 2)
        #expect(try writer.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } == ["ok"])
    }
}
