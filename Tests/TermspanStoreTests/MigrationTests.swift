import Foundation
import GRDB
import TermspanAccounting
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanStore

/// A store of each schema that there was becomes one of today's, with all that was in it. `Schemas` has what each version added, as it was: these
/// files are never edited.
@Suite struct MigrationTests {
    typealias F = StoreFixture

    private static let versions = Schema.versions.migrations.compactMap { Int($0) }

    private let fixture: StoreFixture
    private let values: SealedValues

    init() throws {
        fixture = try StoreFixture()
        values = SealedValues(keys: try KeyFile(F.place(fixture.path).keys, creates: true, writes: true))
    }

    private func queue(_ path: String? = nil) throws -> DatabaseQueue {
        var configuration = GRDB.Configuration()
        configuration.foreignKeysEnabled = false
        let values = values
        configuration.prepareDatabase { try values.register($0) }
        return try path.map { try DatabaseQueue(path: $0, configuration: configuration) } ?? DatabaseQueue(configuration: configuration)
    }

    /// Has a file be as a version's own program left it.
    private func make(_ version: Int, _ queue: DatabaseQueue) throws {
        let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Schemas")
        try queue.writeWithoutTransaction { try $0.execute(sql: "PRAGMA auto_vacuum = INCREMENTAL") }
        try queue.write { db in
            try db.execute(sql: "CREATE TABLE grdb_migrations (identifier TEXT NOT NULL PRIMARY KEY)")
            for number in Self.versions where number <= version {
                try db.execute(sql: try String(contentsOf: folder.appending(path: "\(number).sql"), encoding: .utf8))
                try db.execute(sql: "INSERT INTO grdb_migrations VALUES (?)", arguments: [String(number)])
            }
            if version >= 6 {
                try db.execute(sql: "INSERT INTO key_file VALUES (?)", arguments: [DatabaseBytes(values.keys.rootID.bytes)])
            }
        }
    }

    /// What describes the tables, indexes and triggers, word by word.
    private func schema(_ queue: DatabaseQueue) throws -> [String] {
        try queue.read { db in
            try Row.fetchAll(db, sql: "SELECT type, name, sql FROM main.sqlite_schema WHERE name <> 'grdb_migrations' ORDER BY type, name")
                .map {
                    "\($0[0] as String) \($0[1] as String): \($0[2] as String? ?? "")"
                }.filter { !$0.contains("grdb_migrations") }
        }
    }

    /// Rows as a version has them: anna, who is tracked, with a session and all that belongs to one, and ben, who is not.
    private func insert(_ version: Int, _ queue: DatabaseQueue) throws {
        let users = [UserIdentity(login: "anna", uid: 1001), UserIdentity(login: "ben", uid: 1002)]
        let keys = try users.map { try values.keys.makeKey(of: $0) }
        try values.keys.sync()
        func value(_ text: String, _ kind: SealedValues.Kind, _ user: Int) throws -> any DatabaseValueConvertible {
            if version < 6 { return text }
            return try values.seal(text, as: kind, under: keys[user])
        }
        let session = F.session(1)
        let uuid = DatabaseBytes(session.uuid.bytes)
        try queue.write { db in
            try db.execute(
                sql: """
                    INSERT INTO machine VALUES (1, ?, ?); INSERT INTO boot (id, machine, boot_id, seen) VALUES (1, 1, ?, 50000000000);
                    INSERT INTO clock_anchor VALUES (1, 0, ?)
                    """,
                arguments: [
                    DatabaseBytes(F.machine.bytes), DatabaseBytes(UUIDv7(at: F.anchor.wall).bytes), DatabaseBytes(F.boot.bytes),
                    F.anchor.wall.nanoseconds,
                ])
            for (index, user) in users.enumerated() {
                try db.execute(
                    sql: "INSERT INTO user (uuid) VALUES (?)", arguments: [DatabaseBytes(UUIDv7(at: F.anchor.wall).bytes)])
                for (kind, text) in [(SealedValues.Kind.login, user.login), (.uid, String(user.uid))] {
                    try db.execute(
                        sql: "INSERT INTO user_identifier (user, kind, machine, value) VALUES (?, ?, 1, ?)",
                        arguments: [index + 1, kind.rawValue, try value(text, kind, index)])
                }
                try db.execute(
                    sql: "INSERT INTO tracking (user, tracked, level, since, by, reason, revision) VALUES (?, ?, 1, 5, 'root', 'pilot', 1)",
                    arguments: [index + 1, index == 0 ? 1 : 0])
                try db.execute(
                    sql: """
                        INSERT INTO policy_change (at, by, user, key, value, reason, revision) VALUES (5, 'root', ?, 'tracked', ?, 'pilot', 1)
                        """, arguments: [index + 1, index == 0 ? "true" : "false"])
            }
            if version >= 3 {
                for (kind, text) in [("login", "ben"), ("uid", "1002")] {
                    try db.execute(
                        sql: """
                            INSERT INTO do_not_track (kind, value, domain, since, by, reason, revision) VALUES (?, ?, '', 5, 'root', 'pilot', 0)
                            """, arguments: [kind, text])
                }
            }
            try db.execute(
                sql: """
                    INSERT INTO setting (key, value, since, by, reason, revision) VALUES ('new-users', 'tracked', 5, 'root', 'all', 1);
                    INSERT INTO session (uuid, boot, user, number, stack, start, start_wall, revision) VALUES (?, 1, 1, 1, 'xrdp', ?, ?, 2);
                    INSERT INTO application (key, executable, class, revision) VALUES (?, '/usr/bin/x', 'X', 2);
                    INSERT INTO focus_interval VALUES (1, 12000000000, 8000000000, 1, 0, 2), (1, 20000000000, 5000000000, NULL, 0, 2);
                    INSERT INTO input_burst VALUES (1, 13000000000, 6000000000, 1, 2);
                    INSERT INTO unknown_interval VALUES (1, 10000000000, 2000000000, 6, 0, 2);
                    INSERT INTO lane_checkpoint VALUES (1, 7, 8, 9, ?); UPDATE revision SET value = 2
                    """,
                arguments: [
                    uuid, session.start.stored, F.anchor.wall.nanoseconds + 10_000_000_000,
                    DatabaseBytes(Application(executable: "/usr/bin/x", windowClass: "X").key),
                    DatabaseBytes(SessionFold.State().bytes),
                ])
            try db.execute(
                sql: "INSERT INTO session_event (session, at, kind, client_address, revision) VALUES (1, 11000000000, ?, ?, 2)",
                arguments: [StateChange.Kind.connected.rawValue, try value("192.0.2.1", .clientAddress, 0)])
        }
    }

    @Test(arguments: versions) func aSchemaIsAsItWasReleased(version: Int) throws {
        let (released, ours) = (try queue(), try queue())
        try make(version, released)
        try Schema.migrator(values).migrate(ours, upTo: String(version))
        #expect(try schema(released) == schema(ours))
    }

    @Test(arguments: versions) func aStoreOfEachSchemaIsMigratedWithAllThatItHolds(version: Int) throws {
        let old = try queue(fixture.path)
        try make(version, old)
        try insert(version, old)
        try old.close()

        let writer = try fixture.writer()
        let fresh = try queue()
        try Schema.migrator(values).migrate(fresh)
        let migrated = try queue(fixture.path)
        #expect(try schema(migrated) == schema(fresh))
        let found = try migrated.read { db in
            try String.fetchAll(db, sql: "PRAGMA integrity_check") + Row.fetchAll(db, sql: "PRAGMA foreign_key_check").map(\.description)
        }
        #expect(found == ["ok"])
        let session = F.session(1)
        #expect(try writer.sessionsOpen().map(\.record) == [session])
        #expect(try writer.sessionsOpen().first?.checkpoint?.delivered == 9)
        let policy = try writer.policy()
        #expect(policy.rows.map(\.user.login) == ["anna", "ben"] && policy.rows.map(\.tracked) == [true, false])
        #expect(policy.newUsersAreTracked && policy.rows.allSatisfy { $0.responsible == "" && $0.reason == "pilot" })
        #expect(policy.doNotTrack.entries.count == 2)
        let reader = try StoreReader(path: fixture.path)
        let stored = try #require(try reader.sessions(SessionFilter()).first)
        let span = F.span(0, 100)
        #expect(
            try Array(reader.focus(of: stored, in: span)) == [
                FocusRecord(
                    session: session.uuid, span: F.span(12, 20), application: Application(executable: "/usr/bin/x", windowClass: "X")),
                FocusRecord(session: session.uuid, span: F.span(20, 25), application: nil),
            ])
        let events = try reader.events(of: stored).map(\.event)
        #expect(events.count == 1 && events.first?.clientAddress == "192.0.2.1")
        let (reasons, lengths) = try migrated.read { db in
            (
                try Int64.fetchAll(db, sql: "SELECT reason FROM unknown_interval"),
                try Int64.fetchAll(db, sql: "SELECT length FROM input_burst")
            )
        }
        #expect(reasons == [6] && lengths == [6_000_000_000])
        // And it can be written.
        var batch = F.batch(F.session(2, "ben", 1002), ended: true)
        batch.asleep = .seconds(1)
        #expect(try writer.write(batch).rejected == 0)
    }
}
