import Foundation
import GRDB
import Glibc
import TermspanAccounting
import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct BackupTests {
    typealias F = StoreFixture

    private static func filled() throws -> (fixture: StoreFixture, writer: StoreWriter) {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(F.batch(F.session(1, "anna"), ended: true))
        try writer.write(F.batch(F.session(2, "benedikt", 1002), ended: false))
        return (fixture, writer)
    }

    private static func target(_ fixture: StoreFixture) -> String { fixture.folder.appending(path: "copy.db").path }

    private static func names(_ fixture: StoreFixture) throws -> Set<String> {
        Set(try FileManager.default.contentsOfDirectory(atPath: fixture.folder.path).filter { !$0.hasPrefix("termspan.db") })
    }

    @Test func aCopyIsTheStoreAsItWas() throws {
        let (fixture, writer) = try Self.filled()
        let target = Self.target(fixture)
        let backup = try StoreBackup.make(of: fixture.path, to: target)
        try writer.write(F.batch(F.session(3, "later", 1003), ended: false))
        let bytes = try Data(contentsOf: URL(fileURLWithPath: target))
        #expect(UInt64(bytes.count) == backup.bytes && SHA256.hexadecimalDigest(bytes) == backup.digest)
        var status = stat()
        #expect(stat(target, &status) == 0 && status.st_mode & 0o7777 == 0o600 && status.st_nlink == 1)
        #expect(try Self.names(fixture) == ["copy.db"])
        // With the keys it is read as the store is.
        let reader = try StoreReader(path: target, keys: F.place(fixture.path).keys)
        let sessions = try reader.sessions(SessionFilter())
        #expect(sessions.map(\.record.user.login) == ["anna", "benedikt"])
        #expect(try reader.focus(of: sessions[0], in: F.span(0, 100)).count == 2)
        // And put back it goes on.
        let place = StorePlace(path: target, machine: F.machine, boot: F.laterBoot, keys: F.place(fixture.path).keys)
        let opening = try StoreOpening.open(place, anchor: F.anchor)
        #expect(opening.endedByReboot.count == 1 && opening.replacement == nil)
    }

    @Test func noNameIsInIt() throws {
        let (fixture, writer) = try Self.filled()
        // Of whom no application's path tells.
        var batch = F.batch(F.session(4, "clementine", 1004), ended: true)
        batch.focus = []
        try writer.write(batch)
        let target = Self.target(fixture)
        _ = try StoreBackup.make(of: fixture.path, to: target)
        let bytes = try Data(contentsOf: URL(fileURLWithPath: target))
        for text in ["clementine", "192.0.2.4"] { #expect(bytes.range(of: Data(text.utf8)) == nil) }
        #expect(bytes.range(of: Data("/usr/bin/shared".utf8)) != nil)
        _ = writer
    }

    /// Not even in the gaps of pages, where the store's own file may have it until the next time that it is written anew.
    @Test func whatWasRemovedIsNotInIt() throws {
        let (fixture, writer) = try Self.filled()
        let queue = try DatabaseQueue(path: fixture.path)
        try queue.writeWithoutTransaction {
            try $0.execute(
                sql: "PRAGMA secure_delete = OFF; DELETE FROM focus_interval; DELETE FROM application; PRAGMA wal_checkpoint(TRUNCATE)")
        }
        try queue.close()
        let name = Data("/opt/own-benedikt".utf8)
        #expect(try Data(contentsOf: URL(fileURLWithPath: fixture.path)).range(of: name) != nil)
        let target = Self.target(fixture)
        _ = try StoreBackup.make(of: fixture.path, to: target)
        #expect(try Data(contentsOf: URL(fileURLWithPath: target)).range(of: name) == nil)
        _ = writer
    }

    @Test func nothingIsReplacedUnasked() throws {
        let (fixture, _) = try Self.filled()
        let target = Self.target(fixture)
        try Data("mine".utf8).write(to: URL(fileURLWithPath: target))
        #expect(throws: StoreBackup.Refusal.exists(target)) { try StoreBackup.make(of: fixture.path, to: target) }
        #expect(try Data(contentsOf: URL(fileURLWithPath: target)) == Data("mine".utf8))
        // Nor beside the store, where the files are its own.
        #expect(throws: StoreBackup.Refusal.self) {
            try StoreBackup.make(of: fixture.path, to: target, replaces: true, apart: [fixture.path])
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: target)) == Data("mine".utf8))
        // Not even where it came meanwhile.
        unlink(target)
        #expect(throws: StoreBackup.Refusal.exists(target)) {
            try StoreBackup.make(of: fixture.path, to: target) { _, _ in
                FileManager.default.createFile(atPath: target, contents: Data("mine".utf8))
            }
        }
        #expect(try Data(contentsOf: URL(fileURLWithPath: target)) == Data("mine".utf8))
        _ = try StoreBackup.make(of: fixture.path, to: target, replaces: true)
        #expect(try Data(contentsOf: URL(fileURLWithPath: target)).count > 4)
        // What a killed one left is in nobody's way.
        for name in [".partial", ".partial-journal"] { try Data("half".utf8).write(to: URL(fileURLWithPath: target + name)) }
        _ = try StoreBackup.make(of: fixture.path, to: target, replaces: true)
        #expect(try Self.names(fixture) == ["copy.db"])
    }

    /// At each of the moments at which it asks whether to go on.
    @Test func whatIsInterruptedLeavesNothing() throws {
        let (fixture, writer) = try Self.filled()
        var batch = StoreBatch()
        batch.sessions = [F.session(9)]
        for number in 0..<20_000 {
            batch.focus.append(FocusRecord(session: F.uuid(9), span: F.span(Double(100 + number), Double(101 + number)), application: nil))
        }
        try writer.write(batch)
        let target = Self.target(fixture)
        var asked = 0
        _ = try StoreBackup.make(of: fixture.path, to: target) { _, _ in
            asked += 1
            return true
        }
        unlink(target)
        #expect(asked > 3)
        for moment in [1, 2, asked / 2, asked - 1, asked] {
            var left = moment
            #expect(throws: StoreBackup.Refusal.cancelled) {
                try StoreBackup.make(of: fixture.path, to: target) { _, _ in
                    left -= 1
                    return left > 0
                }
            }
            #expect(try Self.names(fixture).isEmpty)
        }
    }

    @Test func whatIsNoWholeStoreIsRefused() throws {
        let (fixture, writer) = try Self.filled()
        let target = Self.target(fixture)
        let missing = #expect(throws: StoreError.self) { try StoreBackup.make(of: fixture.path + ".none", to: target) }
        #expect(missing?.code == .missing)
        let other = fixture.folder.appending(path: "other").path
        try DatabaseQueue(path: other).write { try $0.execute(sql: "CREATE TABLE t (a)") }
        #expect(#expect(throws: StoreError.self) { try StoreBackup.make(of: other, to: target) }?.code == .notAStore)
        unlink(other)
        try writer.write(StoreBatch())
        _ = try DatabaseQueue(path: fixture.path).writeWithoutTransaction { try $0.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)") }
        let page = try DatabaseQueue(path: fixture.path).read {
            try Int64.fetchOne($0, sql: "SELECT rootpage FROM sqlite_schema WHERE name = 'focus_interval'") ?? 0
        }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: fixture.path))
        try file.seek(toOffset: UInt64(page - 1) * 4096)
        try file.write(contentsOf: Data(repeating: 0xA5, count: 4096))
        try file.close()
        #expect(#expect(throws: StoreError.self) { try StoreBackup.make(of: fixture.path, to: target) }?.code == .damaged)
        #expect(try Self.names(fixture).isEmpty)
    }

    @Test func aFolderThatOthersMayWriteToIsRefused() throws {
        let (fixture, _) = try Self.filled()
        let open = fixture.folder.appending(path: "open")
        try FileManager.default.createDirectory(at: open.appending(path: "inner"), withIntermediateDirectories: true)
        try #require(chmod(open.path, 0o777) == 0)
        let real = try #require(realpath(open.path, nil))
        defer { free(real) }
        #expect(throws: StoreBackup.Refusal.insecure(String(cString: real))) {
            try StoreBackup.make(of: fixture.path, to: open.appending(path: "inner/copy.db").path)
        }
        // As /tmp is.
        try #require(chmod(open.path, 0o1777) == 0)
        _ = try StoreBackup.make(of: fixture.path, to: open.appending(path: "inner/copy.db").path)
    }

    /// Whoever has a link could have the copy take the place of any file of root's.
    @Test(.enabled(if: geteuid() == 0, "only root can make links of others"))
    func nobodyElsesLinkIsFollowed() throws {
        let (fixture, _) = try Self.filled()
        let link = fixture.folder.appending(path: "link").path
        try #require(symlink(fixture.folder.path, link) == 0)
        var recorded: [String] = []
        _ = try StoreBackup.make(of: fixture.path, to: link + "/copy.db", recording: { recorded.append($0) })
        #expect(recorded == [Self.target(fixture)])
        try #require(lchown(link, 65_534, 65_534) == 0)
        #expect(throws: StoreBackup.Refusal.link(link)) {
            try StoreBackup.make(of: fixture.path, to: link + "/other.db", recording: { recorded.append($0) })
        }
        #expect(recorded.count == 1)
        #expect(try Self.names(fixture) == ["copy.db", "link"])
    }

    /// It is in the copy, too, and before there is anything to be read.
    @Test func thatItIsMadeIsRecordedBefore() throws {
        let (fixture, writer) = try Self.filled()
        let target = Self.target(fixture)
        _ = try StoreBackup.make(
            of: fixture.path, to: target,
            recording: { file in
                #expect(!FileManager.default.fileExists(atPath: target))
                #expect((try? FileManager.default.attributesOfItem(atPath: target + ".partial")[.size] as? Int) == 0)
                #expect(throws: Never.self) { try writer.recordBackup(to: file, by: "root", at: WallInstant(nanoseconds: 5)) }
            })
        for path in [fixture.path, target] {
            let last = try #require(try StoreReader(path: path, keys: F.place(fixture.path).keys).audit().last).entry
            #expect((last.action, last.by, last.user, last.value) == ("read-backup", "root", nil, target))
        }
        // What is refused is none.
        #expect(throws: StoreBackup.Refusal.self) {
            try StoreBackup.make(of: fixture.path, to: target, recording: { _ in Issue.record("it was not to be made") })
        }
    }

    @Test func aFolderThatTakesNoFilesIsSaid() throws {
        let (fixture, _) = try Self.filled()
        #expect(throws: (any Error).self) { try StoreBackup.make(of: fixture.path, to: "/proc/self/copy.db") }
        #expect(try Self.names(fixture).isEmpty)
    }
}
