import Foundation
import GRDB
import RecordingVFS
import SeededRandom
import TermspanAccounting
import TermspanCore
import Testing

@testable import TermspanStore

/// What is left of a change whose process is killed, or whose machine loses power, at any moment of it: what SQLite writes to database and
/// log is recorded, and what goes to the file of keys, and the store is opened as it is after each of these writes. One recording at a time.
@Suite(.serialized) struct InterruptedWritesTests {
    private typealias F = StoreFixture
    private let moment = ClockAnchor(boot: StoreFixture.at(100), wall: StoreFixture.anchor.wall.advanced(by: .seconds(100)))
    private let logins = ["anna", "ben", "cleo"]

    private struct Change {
        var kind: recorded_kind
        var file: recorded_file
        var offset: Int
        var length: Int
        var bytes: [UInt8]

        init(_ change: recorded_change) {
            (kind, file) = (change.kind, change.file)
            (offset, length) = (Int(change.offset), Int(change.length))
            bytes = change.bytes.map { Array(UnsafeBufferPointer(start: $0, count: Int(change.length))) } ?? []
        }
    }

    /// The bytes of a database, its log and its keys.
    private struct Image {
        var database: [UInt8]
        var log: [UInt8]
        var keys: [UInt8]

        init(path: String) throws {
            func bytes(_ path: String) -> [UInt8] { FileManager.default.contents(atPath: path).map { Array($0) } ?? [] }
            (database, log, keys) = (bytes(path), bytes(path + "-wal"), bytes(path + ".keys"))
        }

        mutating func apply(_ change: Change) {
            switch change.file {
            case RECORDED_LOG: Self.apply(change, to: &log)
            case RECORDED_KEYS: Self.apply(change, to: &keys)
            default: Self.apply(change, to: &database)
            }
        }

        private static func apply(_ change: Change, to file: inout [UInt8]) {
            func extend(to size: Int) { if file.count < size { file += [UInt8](repeating: 0, count: size - file.count) } }
            switch change.kind {
            case RECORDED_WRITE:
                extend(to: change.offset + change.bytes.count)
                file.replaceSubrange(change.offset..<change.offset + change.bytes.count, with: change.bytes)
            case RECORDED_TRUNCATE:
                extend(to: change.length)
                file.removeLast(file.count - change.length)
            case RECORDED_DELETE: file = []
            default: break
            }
        }

        func write(to path: String) throws {
            try Data(database).write(to: URL(filePath: path))
            try Data(log).write(to: URL(filePath: path + "-wal"))
            try Data(keys).write(to: URL(filePath: path + ".keys"))
            unlink(path + "-shm")
        }
    }

    /// What a body changes in a store, and how that was before.
    private func recorded(_ path: String, _ writer: StoreWriter, _ body: () throws -> Void) throws -> (before: Image, changes: [Change]) {
        let before = try Image(path: path)
        recording_start(path)
        writer.values.keys.observe { change in
            switch change {
            case .write(let offset, let bytes): recording_add(RECORDED_WRITE, bytes, Int64(offset), Int64(bytes.count))
            case .sync: recording_add(RECORDED_SYNC, nil, 0, 0)
            }
        }
        defer { writer.values.keys.observe(nil) }
        let result = Result { try body() }
        var count = 0
        let changes = recording_stop(&count)
        defer { recording_free(changes, count) }
        try result.get()
        return (before, UnsafeBufferPointer(start: changes, count: count).map { Change($0) })
    }

    /// The store as it is after the first `end` of the changes: as a kill leaves it, or, by chance, as a loss of power can: of what no sync
    /// followed some is missing, or torn between sectors.
    private func image(_ before: Image, _ changes: ArraySlice<Change>, _ chance: inout SeededRandom, losesPower: Bool) -> Image {
        var image = before
        for (index, change) in zip(changes.indices, changes) {
            let isSynced = !losesPower || changes[index...].contains { $0.kind == RECORDED_SYNC && $0.file == change.file }
            if isSynced || Int.random(in: 0..<3, using: &chance) > 0 {
                image.apply(change)
            } else if change.kind == RECORDED_WRITE, Bool.random(using: &chance) {
                var torn = change
                torn.bytes = Array(change.bytes.prefix(512 * Int.random(in: 0...change.bytes.count / 512, using: &chance)))
                image.apply(torn)
            }
        }
        return image
    }

    /// Opens the store after each of the changes as the next collector would, first killed and then without power.
    private func forEachInterruption(
        of changes: [Change], from before: Image, _ body: (_ writer: StoreWriter, _ path: String, _ losesPower: Bool) throws -> Void
    ) throws {
        // In memory: nothing here has to outlive anything.
        let memory = FileManager.default.isWritableFile(atPath: "/dev/shm") ? "/dev/shm" : NSTemporaryDirectory()
        let folder = "\(memory)/termspan-interrupted-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: folder) }
        let path = "\(folder)/termspan.db"
        var chance = SeededRandom(seed: UInt64(changes.count))
        for end in 0...changes.count {
            for losesPower in [false, true] {
                try image(before, changes[..<end], &chance, losesPower: losesPower).write(to: path)
                let writer = try StoreWriter.open(F.place(path), anchor: F.anchor)
                defer { writer.close() }
                try body(writer, path, losesPower)
                #expect(try writer.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } == ["ok"])
                let reader = try StoreReader(path: path)
                var check = AuditCheck(store: try reader.auditStore())
                for stored in try reader.audit() { check.add(stored.entry, digest: stored.digest) }
                #expect(check.problem == nil)
            }
        }
    }

    @Test(arguments: [false, true]) func anErasureIsAllOrNothingAndItsReceiptTrue(alsoUsers: Bool) throws {
        try #require(recording_vfs_install() == 0)
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let identities = logins.enumerated().map { UserIdentity(login: $1, uid: UInt32(1001 + $0)) }
        for (index, user) in identities.enumerated() {
            for number in 0..<4 {
                let session = F.session(UInt64(4 * index + number), user.login, user.uid)
                try writer.write(F.batch(session, ended: number > 0))
            }
        }
        _ = try writer.setTracking(identities, tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        let users = try writer.users(named: ["anna", "ben"].map { try #require(UserName($0)) })
        let counts = try users.map { try writer.counts(of: $0) }
        var erased: [Erased] = []
        let old = identities.flatMap { writer.values.keys.keys(of: $0) }
        let (before, changes) = try recorded(fixture.path, writer) {
            erased = try writer.erase(
                users, alsoUsers: alsoUsers, measured: [], burstGap: .seconds(30), by: "root", reason: "test", at: moment)
            writer.scrub(isPatient: true)
        }
        writer.close()
        for file in [RECORDED_LOG, RECORDED_DATABASE] { #expect(changes.count { $0.kind == RECORDED_WRITE && $0.file == file } > 10) }
        #expect(changes.count { $0.kind == RECORDED_WRITE && $0.file == RECORDED_KEYS } == (alsoUsers ? 2 : 4))

        var kills: [Bool] = []
        try forEachInterruption(of: changes, from: before) { writer, path, losesPower in
            let reader = try StoreReader(path: path)
            let held = try Set(reader.sessions(SessionFilter()).map(\.record.user.login))
            let receipts = try reader.policyChanges().filter { $0.change.key.hasSuffix("-erased") }.map(\.change.value)
            let isErased = !receipts.isEmpty
            if !losesPower { kills.append(isErased) }
            #expect(receipts == (isErased ? erased.map { "\($0.receipt.text) sha256=\($0.receipt.digest)" } : []))
            #expect(held == (isErased ? ["cleo"] : Set(logins)))
            #expect(try users.map { try writer.counts(of: $0) } == (isErased ? users.map { _ in HeldCounts() } : counts))
            let buried = try writer.read { try Int.fetchOne($0, sql: "SELECT count(*) FROM tombstone") }
            #expect(buried == (isErased ? 10 + (alsoUsers ? 2 : 0) : 0))
            // The keys of before are there as long as all is, and gone with it: also a copy of before can't be read then.
            let keys = writer.values.keys
            #expect(keys.present(old).count == (isErased ? 1 : 3))
            #expect(try keys.key(#require(old.last)) != nil)
            let isForgotten = isErased && alsoUsers
            #expect(try writer.users(named: users.flatMap(\.names)).isEmpty == isForgotten)
            if isErased, !alsoUsers { #expect(try writer.users(named: users.flatMap(\.names)).map(\.identity) == Array(identities[..<2])) }
            let listed = try writer.policy().doNotTrack.entries.map(\.subject.description)
            #expect(listed == (isForgotten ? ["anna@*", "uid:1001", "ben@*", "uid:1002"] : []))
            // Opened again, also the bytes are gone.
            let bytes = try ["", "-wal"].map { try Data(contentsOf: URL(filePath: path + $0)) }
            func isFound(_ text: String) -> Bool { bytes.contains { $0.range(of: Data(text.utf8)) != nil } }
            #expect(isFound("own-anna") == !isErased && isFound("own-ben") == !isErased && isFound("own-cleo") && !writer.holdsRemoved)
        }
        // Once it is there it stays.
        #expect(kills.first == false && kills.last == true && kills == kills.sorted { !$0 && $1 })
    }

    @Test func aRemovalByAgeIsAllOrNothingAndItsReceiptTrue() throws {
        try #require(recording_vfs_install() == 0)
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        for number in 0..<12 as Range<UInt64> {
            let login = logins[Int(number % 3)]
            try writer.write(F.batch(F.session(number, login, UInt32(1001 + number % 3), start: 10), ended: number % 3 < 2))
        }
        let before = F.anchor.wall(at: F.at(61))
        var expired = Expired()
        let (image, changes) = try recorded(fixture.path, writer) {
            expired = try writer.expire(activityBefore: nil, sessionsBefore: before, at: moment.wall)
            writer.expiryIsOver()
            for _ in 0..<10 where writer.holdsRemoved { writer.scrub(isPatient: true) }
        }
        #expect(expired.counts.sessions == 8 && !writer.holdsRemoved)
        writer.close()
        for file in [RECORDED_LOG, RECORDED_DATABASE] { #expect(changes.count { $0.kind == RECORDED_WRITE && $0.file == file } > 10) }
        var kills: [Bool] = []
        try forEachInterruption(of: changes, from: image) { writer, path, losesPower in
            let held = try writer.usersWithHistory().map(\.identity.login)
            let isRemoved = held == ["cleo"]
            #expect(isRemoved || held == logins)
            if !losesPower { kills.append(isRemoved) }
            let receipt = try writer.recordExpired(at: moment.wall.advanced(by: .seconds(86_400)))
            #expect((receipt != nil) == isRemoved)
            if let receipt { #expect(expired.counts.named.allSatisfy { receipt.text.contains(" \($0.name)=\($0.count)") }) }
            // The next collector's thread sees to the bytes.
            for _ in 0..<10 where writer.holdsRemoved { writer.scrub(isPatient: false) }
            let bytes = try ["", "-wal"].map { try Data(contentsOf: URL(filePath: path + $0)) }
            func isFound(_ text: String) -> Bool { bytes.contains { $0.range(of: Data(text.utf8)) != nil } }
            #expect(isFound("own-anna") == !isRemoved && isFound("own-ben") == !isRemoved && isFound("own-cleo") && !writer.holdsRemoved)
        }
        // Once it is there it stays.
        #expect(kills.first == false && kills.last == true && kills == kills.sorted { !$0 && $1 })
    }

    @Test(arguments: [true, false]) func aDecisionAboutManyIsAllOrNothing(isTracked: Bool) throws {
        try #require(recording_vfs_install() == 0)
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let users = (0..<60).map { UserIdentity(login: "user\($0)", uid: UInt32(1001 + $0)) }
        // Most of them the other way, before; the others are not known, and have their keys made by it.
        _ = try writer.setTracking(Array(users[..<50]), tracked: !isTracked, by: "root", reason: "before", at: F.anchor.wall)
        let (before, changes) = try recorded(fixture.path, writer) {
            _ = try writer.setTracking(users, tracked: isTracked, by: "root", reason: "test", at: moment.wall)
        }
        writer.close()
        var outcomes: Set<Int> = []
        var latest = 0
        try forEachInterruption(of: changes, from: before) { writer, path, _ in
            let policy = try writer.policy()
            let changed = policy.rows.count { $0.reason == "test" && $0.tracked == isTracked }
            // Nobody is tracked who is not known.
            #expect(users.count { policy.tracks($0) == isTracked } == max(changed, isTracked ? 0 : 10))
            outcomes.insert(changed)
            latest = changed
            let reader = try StoreReader(path: path)
            #expect(try reader.policyChanges().count { $0.change.reason == "test" && $0.change.key == "tracked" } == changed)
            #expect(policy.rows.allSatisfy { !$0.user.login.hasPrefix("?") })
            #expect(policy.doNotTrack.entries.count == (isTracked == (changed > 0) ? 0 : isTracked ? 100 : 120))
        }
        // Once the call has returned also a loss of power can't take it back.
        #expect(outcomes == [0, users.count] && latest == users.count)
    }

    /// What one call changes about many.
    enum Bulk: String, CaseIterable, Sendable {
        case doNotTrack = "do-not-track-added"
        case roles = "role-granted"
        case ownGroups = "group-joined"

        static let people = (0..<60).map { UserIdentity(login: "user\($0)", uid: UInt32(1001 + $0)) }

        func change(_ writer: StoreWriter, to isThere: Bool, _ reason: String, _ moment: WallInstant) throws -> [Bool] {
            switch self {
            case .doNotTrack:
                let subjects = Self.people.flatMap { DoNotTrackSubject.all(of: $0) }
                return try writer.setDoNotTrack(subjects, listed: isThere, by: "root", reason: reason, at: moment)
            case .roles:
                let grants = Self.people.compactMap { RoleGrant(.viewer, group: "lab-\($0.login)", views: "lab-viewed") }
                return try writer.set(grants, granted: isThere, by: "root", reason: reason, at: moment)
            case .ownGroups:
                let group = try #require(OwnGroup(name: "night-shift"))
                return try writer.set(Self.people, in: group, member: isThere, by: "root", reason: reason, at: moment)
            }
        }

        var endedKey: String {
            switch self {
            case .doNotTrack: "do-not-track-removed"
            case .roles: "role-revoked"
            case .ownGroups: "group-left"
            }
        }
    }

    @Test(arguments: Bulk.allCases, [true, false]) func aChangeOfManyIsAllOrNothing(bulk: Bulk, isAdded: Bool) throws {
        try #require(recording_vfs_install() == 0)
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        // Some are known before; the others have their keys made by their joining a group.
        _ = try writer.setTracking(Array(Bulk.people[..<10]), tracked: true, by: "root", reason: "known", at: F.anchor.wall)
        if !isAdded { _ = try bulk.change(writer, to: true, "before", F.anchor.wall) }
        let old = try writer.policy()
        let (before, changes) = try recorded(fixture.path, writer) {
            let changed = try bulk.change(writer, to: isAdded, "test", moment.wall)
            #expect(changed.allSatisfy { $0 })
        }
        let new = try writer.policy()
        let count = Bulk.people.count * (bulk == .doNotTrack ? 2 : 1)
        #expect(new != old && [new.doNotTrack.entries.count, new.roles.count, new.ownGroups.members.count].max() == (isAdded ? count : 0))
        writer.close()
        var outcomes: Set<Int> = []
        var latest = 0
        try forEachInterruption(of: changes, from: before) { writer, path, _ in
            let told = try StoreReader(path: path).policyChanges().filter { $0.change.reason == "test" }
            #expect(told.allSatisfy { $0.change.key == (isAdded ? bulk.rawValue : bulk.endedKey) })
            #expect(try writer.policy() == (told.isEmpty ? old : new))
            outcomes.insert(told.count)
            latest = told.count
        }
        // Once the call has returned also a loss of power can't take it back.
        #expect(outcomes == [0, count] && latest == count)
    }
}
