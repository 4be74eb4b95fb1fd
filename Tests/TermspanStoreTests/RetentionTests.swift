import Foundation
import TermspanAccounting
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanStore

@Suite struct RetentionTests {
    private typealias F = StoreFixture

    private func wall(_ seconds: Double) -> WallInstant { F.anchor.wall(at: F.at(seconds)) }

    private func batch(_ number: UInt64, start: Double, end: Double?, application: String) -> StoreBatch {
        let session = F.session(number, start: start)
        var batch = StoreBatch()
        batch.sessions = [session]
        batch.events = [SessionEvent(session: session.uuid, change: StateChange(.connected, at: F.at(start)), clientAddress: "192.0.2.7")]
        batch.unknowns = [
            UnknownRecord(session: session.uuid, interval: UnknownInterval(start: F.at(start), end: F.at(start + 1), reason: .starting))
        ]
        for (from, to, name) in [(1.0, 10.0, application), (10, 20, "/usr/bin/shared")] {
            batch.focus.append(
                FocusRecord(
                    session: session.uuid, span: F.span(start + from, start + to),
                    application: Application(executable: name, windowClass: nil)))
        }
        batch.bursts = [
            BurstRecord(session: session.uuid, burst: InputBurst(start: F.at(start + 2), end: F.at(start + 3), origin: .device))
        ]
        if let end { batch.ended = [SessionEnd(session: session.uuid, at: F.at(end), reason: .logoff)] }
        return batch
    }

    @Test func othersKeepWhatIsTheirs() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        for (number, login, uid) in [(1, "anna", 1001), (2, "ben", 1002), (3, "cleo", 1003)] as [(UInt64, String, UInt32)] {
            try writer.write(F.batch(F.session(number, login, uid), ended: number < 3))
        }
        func left() throws -> [String: Int] {
            let users = try writer.usersWithHistory()
            return try Dictionary(uniqueKeysWithValues: users.map { ($0.identity.login, try writer.counts(of: $0).focusIntervals) })
        }
        let users = try writer.usersWithHistory()
        #expect(try writer.expire(activityBefore: wall(1000), sessionsBefore: wall(1000), of: []) == Expired())
        #expect(try left() == ["anna": 2, "ben": 2, "cleo": 2])
        _ = try writer.expire(activityBefore: wall(22), sessionsBefore: nil, of: [users[2]])
        #expect(try left() == ["anna": 2, "ben": 2, "cleo": 1])
        _ = try writer.expire(activityBefore: wall(1000), sessionsBefore: nil, of: [users[0], users[2]])
        #expect(try left() == ["anna": 0, "ben": 2, "cleo": 0])
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(1000), of: [users[1]]).sessions == 1)
        #expect(try left() == ["anna": 0, "cleo": 0])
    }

    @Test func activityGoesBeforeSessionsDo() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(batch(1, start: 10, end: 60, application: "/opt/first"))
        try writer.write(batch(2, start: 55, end: nil, application: "/opt/second"))
        #expect(try writer.expire(activityBefore: wall(5), sessionsBefore: wall(5)) == Expired())
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: nil) == Expired())

        // The first is over since, the second was there: of that goes what was over by then.
        #expect(try writer.expire(activityBefore: wall(66), sessionsBefore: nil) == Expired(intervals: 4 + 2))
        try writer.removeUnusedNames()
        let reader = try StoreReader(path: fixture.path)
        let sessions = try reader.sessions(SessionFilter())
        #expect(sessions.map(\.record.uuid) == [F.uuid(1), F.uuid(2)])
        #expect(try reader.focus(of: sessions[0], in: F.span(0, 100)).isEmpty && reader.bursts(of: sessions[0], in: F.span(0, 100)).isEmpty)
        #expect(try reader.events(of: sessions[0]).count == 1)
        // What was in front then stays, with the last input before it.
        #expect(try reader.focus(of: sessions[1], in: F.span(0, 100)).map(\.span) == [F.span(65, 75)])
        #expect(try reader.bursts(of: sessions[1], in: F.span(0, 100)).map(\.start) == [F.at(57)])
        #expect(try writer.expire(activityBefore: wall(66), sessionsBefore: nil) == Expired())
        for name in ["/opt/first", "/opt/second"] {
            let bytes = try ["", "-wal"].map { try Data(contentsOf: URL(filePath: fixture.path + $0)) }
            #expect(bytes.allSatisfy { $0.range(of: Data(name.utf8)) == nil })
        }

        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(61)) == Expired(sessions: 1))
        #expect(try reader.sessions(SessionFilter()).map(\.record.uuid) == [F.uuid(2)])
        // One that is open is never too old.
        #expect(try writer.expire(activityBefore: wall(1000), sessionsBefore: wall(1000)) == Expired(intervals: 1))
        #expect(try writer.write(batch(2, start: 55, end: 900, application: "/opt/second")).rejected == 0)
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(1000)).sessions == 1)
        #expect(try reader.sessions(SessionFilter()).isEmpty)
    }

    @Test func aPartIsRemovedAtATime() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        for number in 1...5 {
            try writer.write(batch(UInt64(number), start: Double(number) * 100, end: Double(number) * 100 + 50, application: "/opt/x"))
        }
        var parts: [Expired] = []
        repeat {
            parts.append(try writer.expire(activityBefore: wall(1000), sessionsBefore: nil, limit: 2))
        } while parts.last?.isComplete == false
        #expect(parts.map(\.intervals) == [8, 8, 4])
        parts = []
        repeat {
            parts.append(try writer.expire(activityBefore: nil, sessionsBefore: wall(1000), limit: 2))
        } while parts.last?.isComplete == false
        #expect(parts.map(\.sessions) == [2, 2, 1])
    }

    @Test func aClockThatHasLeaptAheadIsNotBelievedForADay() throws {
        let day = 86_400.0
        let fixture = try StoreFixture()
        func isTrusted(_ writer: StoreWriter, _ seconds: Double, wall: WallInstant? = nil, keeping: Duration = .seconds(180 * 86_400))
            throws -> Bool
        {
            let now = ClockAnchor(boot: F.at(seconds), wall: wall ?? writer.anchors.wall(at: F.at(seconds)) ?? F.anchor.wall)
            return try writer.trustsClock(now, keeping: [keeping])
        }
        func seen(_ writer: StoreWriter, _ seconds: Double) throws {
            var batch = StoreBatch()
            batch.seen = F.at(seconds)
            try writer.write(batch)
        }
        let first = try fixture.writer()
        #expect(try isTrusted(first, 1))
        // One that the store was not told of yet.
        #expect(try !isTrusted(first, 50, wall: wall(8 * day)))
        try seen(first, 100)
        first.close()
        for (leap, isBelieved) in [(6.9, true), (7.1, false), (-300, true)] {
            let other = try StoreFixture()
            for suffix in ["", ".keys"] { try FileManager.default.copyItem(atPath: fixture.path + suffix, toPath: other.path + suffix) }
            let anchor = ClockAnchor(boot: F.at(5), wall: wall(100).advanced(by: .seconds(leap * day)))
            var writer = try other.writer(boot: F.laterBoot, anchor: anchor)
            #expect(try isTrusted(writer, 3600) == isBelieved)
            #expect(try isTrusted(writer, 3600, keeping: .seconds(86_400)) == (leap < 0))
            #expect(try isTrusted(writer, 5 + day))
            // Another boot makes it no truer, but the time that it is up counts.
            try seen(writer, 3600)
            writer.close()
            let next = ClockAnchor(boot: F.at(5), wall: anchor.wall(at: F.at(4000)))
            writer = try other.writer(boot: ID128(high: 3, low: 3), anchor: next)
            #expect(try isTrusted(writer, 3600) == isBelieved)
            #expect(try isTrusted(writer, day))
            // Once more by far, within the boot.
            var step = StoreBatch()
            step.anchors = [ClockAnchor(boot: F.at(2 * day), wall: next.wall.advanced(by: .seconds(20 * day)))]
            try writer.write(step)
            #expect(try !isTrusted(writer, 2.5 * day))
            #expect(try isTrusted(writer, 3 * day))
        }
    }

    @Test func aTimeThatTheClockWasBehindIsNotTakenToBeOld() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(batch(1, start: 10, end: 60, application: "/opt/x"))
        var step = StoreBatch()
        step.anchors = [ClockAnchor(boot: F.at(100), wall: wall(100).advanced(by: .seconds(400 * 86_400)))]
        try writer.write(step)
        // It ended a minute before the clock was set right.
        let kept = wall(100).advanced(by: .seconds(399 * 86_400))
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: kept) == Expired())
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: kept.advanced(by: .seconds(2 * 86_400))).sessions == 1)
    }
}
