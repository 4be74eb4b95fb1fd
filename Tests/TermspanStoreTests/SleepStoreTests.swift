import GRDB
import TermspanAccounting
import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct SleepStoreTests {
    typealias F = StoreFixture

    @Test func howMuchWasSleptIsKeptForTheBoot() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        #expect(writer.asleep == nil)
        var batch = StoreBatch()
        batch.asleep = .seconds(5)
        try writer.write(batch)
        #expect(try fixture.writer().asleep == .seconds(5))
        // Another boot's clocks begin anew.
        #expect(try fixture.writer(boot: F.laterBoot).asleep == nil)
    }

    /// What NTP slews is no step; hours are, in both directions, and what was given a wall time keeps it.
    @Test(arguments: [(0.4, false), (-0.4, false), (10_800, true), (-10_800, true)])
    func aStepWhileNobodyLookedIsFound(seconds: Double, isStep: Bool) throws {
        let fixture = try StoreFixture()
        #expect(try fixture.writer().step == nil)
        let wall = F.anchor.wall(at: F.at(500)).advanced(by: .seconds(seconds))
        let writer = try fixture.writer(anchor: ClockAnchor(boot: F.at(500), wall: wall))
        #expect(writer.step == (isStep ? .seconds(seconds) : nil))
        #expect(writer.anchors.wall(at: F.at(499)) == F.anchor.wall(at: F.at(499)))
        #expect(writer.anchors.wall(at: F.at(500)) == (isStep ? wall : F.anchor.wall(at: F.at(500))))
    }

    /// A file as schema 1 left it, with a session that is open and a user who was untracked: everything is there after the migration, the session
    /// goes on, and the user is on the Do Not Track list.
    @Test func aStoreOfSchemaOneIsMigrated() throws {
        let fixture = try StoreFixture()
        let session = F.session(1)
        let focus = FocusRecord(session: session.uuid, span: F.span(12, 30), application: nil)
        do {
            let writer = try fixture.writer()
            var batch = StoreBatch()
            batch.sessions = [session]
            batch.focus = [focus]
            try writer.write(batch)
            for (login, isTracked) in [("anna", true), (#"EXAMPLE\Ben"#, false)] {
                let user = UserIdentity(login: login, uid: isTracked ? 1001 : 1002)
                _ = try writer.setTracking([user], tracked: isTracked, by: "root", reason: "asked", at: F.anchor.wall)
            }
        }
        let queue = try DatabaseQueue(path: fixture.path)
        try queue.write { db in
            try db.execute(
                sql: """
                    DROP TABLE audit; DROP TABLE do_not_track; ALTER TABLE boot DROP COLUMN asleep;
                    DELETE FROM grdb_migrations WHERE identifier IN ('2', '3', '4')
                    """)
        }
        try queue.close()

        let writer = try fixture.writer()
        #expect(writer.asleep == nil)
        #expect(try writer.sessionsOpen().map(\.record) == [session])
        #expect(try writer.policy().doNotTrack.entries.map(\.subject.description) == ["ben@example", "uid:1002"])
        var batch = StoreBatch()
        batch.asleep = .seconds(60)
        batch.events = [
            SessionEvent(session: session.uuid, change: StateChange(.suspended, at: F.at(40))),
            SessionEvent(session: session.uuid, change: StateChange(.woke, at: F.at(100))),
        ]
        #expect(try writer.write(batch).written == 2)
        let reader = try StoreReader(path: fixture.path)
        let stored = try #require(try reader.sessions(SessionFilter()).first)
        #expect(try Array(reader.focus(of: stored, in: F.span(0, 200))) == [focus])
        #expect(try reader.events(of: stored).map(\.event) == batch.events)
        #expect(try fixture.writer().asleep == .seconds(60))
    }

    /// Wall time 12:00 to 12:30, then the clock is set back three hours, and the session ends at 9:40 by it.
    @Test func aSessionThatEndedBeforeItBeganIsFound() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let session = F.session(1, start: 100)
        var batch = StoreBatch()
        batch.sessions = [session]
        batch.anchors = [ClockAnchor(boot: F.at(1900), wall: F.anchor.wall(at: F.at(1900)).advanced(by: .seconds(-10_800)))]
        batch.ended = [SessionEnd(session: session.uuid, at: F.at(2500), reason: .logoff)]
        try writer.write(batch)
        var filter = SessionFilter()
        filter.since = F.anchor.wall(at: F.at(1000))
        #expect(try StoreReader(path: fixture.path).sessions(filter).map(\.record) == [session])
    }
}
