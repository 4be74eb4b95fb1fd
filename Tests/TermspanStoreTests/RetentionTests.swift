import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanStore

@Suite struct RetentionTests {
    private typealias F = StoreFixture

    private func wall(_ seconds: Double) -> WallInstant { F.anchor.wall(at: F.at(seconds)) }

    /// Until nothing is left, as the store's thread does.
    private func scrub(_ writer: StoreWriter) {
        writer.expiryIsOver()
        for _ in 0..<1000 where writer.holdsRemoved { writer.scrub(isPatient: false) }
        #expect(!writer.holdsRemoved)
    }

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
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(1000), of: [users[1]]).counts.sessions == 1)
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
        #expect(try writer.expire(activityBefore: wall(66), sessionsBefore: nil).intervals == 4 + 2)
        scrub(writer)
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

        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(61)).counts.named.map(\.count) == [1, 0, 0, 0, 1, 0])
        #expect(try reader.sessions(SessionFilter()).map(\.record.uuid) == [F.uuid(2)])
        // One that is open is never too old.
        #expect(try writer.expire(activityBefore: wall(1000), sessionsBefore: wall(1000)).counts.named.map(\.count) == [0, 1, 0, 0, 0, 0])
        #expect(try writer.write(batch(2, start: 55, end: 900, application: "/opt/second")).rejected == 0)
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: wall(1000)).counts.sessions == 1)
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
        #expect(parts.map(\.counts.sessions) == [2, 2, 1])
    }

    /// Bytes of what was removed that SQLite itself left in a random store, and that are left in the end.
    private func bytesLeft(seed: UInt64) throws -> (bySQLite: Int, now: Int) {
        var random = SeededRandom(seed: seed)
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        func mark(_ kind: String, _ number: UInt64) -> String { "\(kind)-\(seed)-\(number)-" }
        let steps = 240
        for number in 0..<UInt64(steps) {
            let start = Double(number) * 10
            let session = F.session(number + 1, "user\(number % 3)", UInt32(1001 + number % 3), start: start)
            var batch = StoreBatch()
            batch.sessions = [session]
            for index in 0..<Int.random(in: 1...5, using: &random) {
                // Of all lengths, so that cells move between pages, spill over, and are split.
                let padding = String(repeating: "x", count: Int.random(in: 0..<(number % 40 == 0 ? 6000 : 300), using: &random))
                let application = Application(
                    executable: "/opt/\(mark("program", number))\(index)/\(padding)", windowClass: mark("class", number))
                let span = F.span(start + Double(index), start + Double(index) + 0.5)
                batch.focus.append(FocusRecord(session: session.uuid, span: span, application: application))
            }
            batch.ended = [SessionEnd(session: session.uuid, at: F.at(start + 8), reason: .logoff)]
            try writer.write(batch)
        }
        func found(_ number: UInt64) throws -> Int {
            try ["", "-wal"].flatMap { suffix in
                let bytes = try Data(contentsOf: URL(filePath: fixture.path + suffix))
                return ["program", "class"].map { bytes.range(of: Data(mark($0, number).utf8)) == nil ? 0 : 1 }
            }.reduce(0, +)
        }
        // Hour by hour, beside what goes on; the sessions as such go later.
        for hour in 1...6 {
            let moment = Double(hour * 200)
            _ = try writer.expire(activityBefore: wall(moment), sessionsBefore: wall(max(0, moment - 400)))
            try writer.write(batch(UInt64(1000 + hour), start: 5000 + Double(hour) * 100, end: nil, application: "/opt/later"))
        }
        let gone = UInt64(0)..<120
        try writer.removeUnusedNames()
        writer.scrub(isPatient: false)
        let bySQLite = try gone.map { try found($0) }.reduce(0, +)
        scrub(writer)
        // All else is there, and the file is right.
        for number in gone.upperBound..<UInt64(steps) { #expect(try found(number) > 0) }
        let queue = try DatabaseQueue(path: fixture.path)
        #expect(try queue.read { try String.fetchAll($0, sql: "PRAGMA integrity_check") } == ["ok"])
        try queue.close()
        let bytes = try Array(Data(contentsOf: URL(filePath: fixture.path)))
        let gaps = try #require(PageGaps(header: Array(bytes.prefix(100)), size: Int64(bytes.count)))
        for number in 1...bytes.count / 4096 {
            let page = Array(bytes[(number - 1) * 4096..<number * 4096])
            if let gap = gaps.gap(in: page, number: UInt32(number)) { #expect(page[gap].allSatisfy { $0 == 0 }) }
        }
        // What is written from here on is over pages as they are now.
        try writer.write(batch(2000, start: 9000, end: nil, application: "/opt/last"))
        writer.scrub(isPatient: false)
        return (bySQLite, try gone.map { try found($0) }.reduce(0, +))
    }

    @Test func noByteOfWhatWasOldIsLeft() throws {
        var bySQLite = 0
        for seed in 0..<6 as Range<UInt64> {
            let left = try bytesLeft(seed: seed)
            #expect(left.now == 0)
            bySQLite += left.bySQLite
        }
        // Without the gaps it would not be so.
        #expect(bySQLite > 0)
    }

    /// One a day: hour by hour it would tell for ever when somebody was there.
    @Test func aReceiptTellsWhatWasRemovedInADay() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        for number in 1...3 {
            try writer.write(batch(UInt64(number), start: Double(number) * 100, end: Double(number) * 100 + 50, application: "/opt/x"))
        }
        func moment(_ hours: Double) -> WallInstant { wall(hours * 3600) }
        #expect(try writer.recordExpired(at: moment(0)) == nil)
        _ = try writer.expire(activityBefore: wall(160), sessionsBefore: nil, at: moment(1))
        _ = try writer.expire(activityBefore: wall(360), sessionsBefore: wall(160), at: moment(2))
        #expect(try writer.recordExpired(at: moment(24)) == nil)
        let receipt = try #require(try writer.recordExpired(at: moment(25)))
        #expect(receipt.text.hasPrefix("termspan-expiry receipt="))
        #expect(
            receipt.text.hasSuffix(
                " at=\(moment(25).nanoseconds / 1_000_000_000) since=\(moment(1).nanoseconds / 1_000_000_000)"
                    + " sessions=1 focus-intervals=6 input-bursts=3 unknown-intervals=3 state-changes=1 facts=0"))
        #expect(try writer.recordExpired(at: moment(60)) == nil)
        // In both records, about nobody: everybody sees it.
        let reader = try StoreReader(path: fixture.path)
        let change = try #require(try reader.policyChanges().last?.change)
        #expect(change.key == "history-expired" && change.user == nil && change.value == "\(receipt.text) sha256=\(receipt.digest)")
        var own = SessionFilter()
        own.identities = [UserIdentity(login: "anna", uid: 1001)]
        #expect(try reader.audit(own).map(\.entry.value) == [change.value])
        // One that is removed later is told by the next.
        _ = try writer.expire(activityBefore: nil, sessionsBefore: wall(1000), at: moment(70))
        #expect(try writer.recordExpired(at: moment(94))?.text.contains(" sessions=2 focus-intervals=0 ") == true)
    }

    @Test func whoWasKilledBeforeTheGapsWereOverwrittenGoesOnWithThat() throws {
        let fixture = try StoreFixture()
        var writer = try fixture.writer()
        try writer.write(batch(1, start: 10, end: 60, application: "/opt/first"))
        _ = try writer.expire(activityBefore: wall(1000), sessionsBefore: nil)
        writer.close()
        writer = try fixture.writer()
        #expect(writer.holdsRemoved)
        for _ in 0..<10 where writer.holdsRemoved { writer.scrub(isPatient: false) }
        let bytes = try ["", "-wal"].map { try Data(contentsOf: URL(filePath: fixture.path + $0)) }
        #expect(bytes.allSatisfy { $0.range(of: Data("/opt/first".utf8)) == nil })
        writer.close()
        #expect(try !fixture.writer().holdsRemoved)
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
        #expect(try writer.expire(activityBefore: nil, sessionsBefore: kept.advanced(by: .seconds(2 * 86_400))).counts.sessions == 1)
    }
}
