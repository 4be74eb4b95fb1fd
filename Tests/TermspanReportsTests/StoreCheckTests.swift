import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

@Suite struct StoreCheckTests {
    typealias F = ReportsFixture

    // MARK: Stores

    /// A store with a session of a day ago that is over and one that is open, both known but for a second each.
    private static func fixture() throws -> ReportsFixture {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        for (number, end) in [(UInt64(1), 700.0), (2, 900)] {
            let uuid = F.uuid(number)
            batch.sessions.append(F.session(number, number == 1 ? "anna" : "ben", UInt32(1000 + number)))
            batch.unknowns.append(
                UnknownRecord(session: uuid, interval: UnknownInterval(start: F.at(10), end: F.at(11), reason: .starting)))
            for (start, end) in [(11.0, 100.0), (100, 400), (400, end)] {
                batch.focus.append(
                    FocusRecord(
                        session: uuid, span: F.span(start, end), application: Application(executable: "/usr/bin/gedit", windowClass: "G")))
            }
            for start in [20.0, 200] {
                batch.bursts.append(
                    BurstRecord(session: uuid, burst: InputBurst(start: F.at(start), end: F.at(start + 5), origin: .device)))
            }
            batch.events.append(SessionEvent(session: uuid, change: StateChange(.connected, at: F.at(12))))
        }
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(700), reason: .logoff)]
        batch.seen = F.at(900)
        try fixture.writer.write(batch)
        return fixture
    }

    struct Result {
        var problems: [[String: Any]] = []
        var unknown: [String: [String: Any]] = [:]
        var whole: [String: Any] = [:]

        var rules: Set<String> { Set(problems.compactMap { $0["problem"] as? String }) }
        var excessive: Bool { whole["excessive"] as? Bool ?? true }
    }

    private static func check(
        _ fixture: ReportsFixture, page: Int = 2000, live: [ActivityRow]? = nil, _ change: (inout Question) -> Void = { _ in }
    ) throws -> Result {
        var question = Question(.storeCheck, live: live)
        change(&question)
        var result = Result()
        for line in try fixture.lines(question, page: page) {
            if line["problem"] != nil {
                result.problems.append(line)
            } else if let name = line["unknown"] as? String {
                result.unknown[name] = line
            } else if line["sessions"] != nil {
                result.whole = line
            }
        }
        return result
    }

    @Test func whatIsRightIsSaidToBe() throws {
        let result = try Self.check(Self.fixture())
        #expect(result.problems.isEmpty, "\(result.problems)")
        #expect(result.whole["whole"] as? Bool == true && result.whole["sessions"] as? Int == 2 && !result.excessive)
        // 690 s, and 890 s as far as something is stored.
        #expect(result.whole["total"] as? Double == 1580)
        #expect(result.unknown.keys.sorted() == ["starting"])
        #expect(result.unknown["starting"]?["duration"] as? Double == 2 && result.unknown["starting"]?["class"] as? String == "known")
    }

    @Test func anEmptyStoreIsRight() throws {
        let result = try Self.check(ReportsFixture())
        #expect(result.problems.isEmpty && !result.excessive && result.whole["sessions"] as? Int == 0)
    }

    @Test func oneMayCheckTheOwn() throws {
        let fixture = try Self.fixture()
        try Self.damage(fixture, "UPDATE input_burst SET length = 300000000000 WHERE session = 2")
        func own(_ login: String, _ uid: UInt32) throws -> Result {
            try Self.check(fixture) { $0.filter.identities = [UserIdentity(login: login, uid: uid)] }
        }
        let anna = try own("anna", 1001)
        #expect(anna.problems.isEmpty && anna.whole["sessions"] as? Int == 1 && anna.whole["whole"] as? Bool == false)
        #expect(try own("ben", 1002).rules == ["overlap"])
    }

    // MARK: Damage

    /// Changes the file as nothing of ours does.
    private static func damage(_ fixture: ReportsFixture, _ sql: String) throws {
        var configuration = Configuration()
        configuration.foreignKeysEnabled = false
        let queue = try DatabaseQueue(path: fixture.path, configuration: configuration)
        try queue.writeWithoutTransaction { db in
            let triggers = try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger'")
            try db.execute(sql: "PRAGMA ignore_check_constraints = ON; " + triggers.map { "DROP TRIGGER \($0);" }.joined() + sql)
        }
        try queue.close()
    }

    struct Damage: CustomTestStringConvertible, Sendable {
        var sql: String
        /// All that is found.
        var rules: Set<String>
        /// What one of the findings says.
        var text: String
        /// Of which session and how many seconds after its boot the finding is.
        var place: (session: UInt64, second: Double)?
        var testDescription: String { sql }

        init(_ sql: String, _ rules: Set<String>, _ text: String, _ session: UInt64? = nil, at second: Double = 0) {
            (self.sql, self.rules, self.text) = (sql, rules, text)
            place = session.map { ($0, second) }
        }
    }

    private static let damages = [
        // Out of order and overlapping.
        Damage(
            "UPDATE focus_interval SET length = 90000000000 WHERE session = 1 AND start = 11000000000", ["overlap"],
            "focus_interval: a row begins before the one before it ends", 1, at: 100),
        Damage(
            "UPDATE input_burst SET length = 181000000000 WHERE session = 1 AND start = 20000000000", ["overlap"],
            "input_burst: a row begins before", 1, at: 200),
        Damage(
            "UPDATE unknown_interval SET length = 2000000000 WHERE session = 1", ["overlap"],
            "focus_interval: something is both known and unknown", 1, at: 11),
        Damage(
            "INSERT INTO unknown_interval VALUES (2, 300000000000, 1000000000, 2, 0, 1)", ["overlap"], "both known and unknown", 2, at: 300),
        // Outside of the session, or no time.
        Damage(
            "UPDATE session SET end = 650000000000, end_wall = end_wall - 50000000000 WHERE id = 1", ["bounds"],
            "focus_interval: a row ends after its session", 1, at: 400),
        Damage(
            "INSERT INTO input_burst VALUES (1, 800000000000, 0, 1, 1)", ["bounds"], "input_burst: a row ends after its session", 1, at: 800
        ),
        Damage(
            "INSERT INTO unknown_interval VALUES (1, 5000000000, 1000000000, 2, 0, 1)", ["bounds"],
            "unknown_interval: a row begins before its session", 1, at: 5),
        Damage(
            "UPDATE focus_interval SET length = -1 WHERE session = 1 AND start = 400000000000", ["bounds"],
            "focus_interval: a row has no length that can be", 1, at: 400),
        Damage(
            "UPDATE focus_interval SET length = 9223372036854775807 WHERE session = 2 AND start = 400000000000", ["bounds"],
            "focus_interval: a row has no length that can be", 2, at: 400),
        // Numbers that mean nothing.
        Damage(
            "UPDATE unknown_interval SET reason = 99 WHERE session = 1", ["value"],
            "unknown_interval: a row has a number that means nothing", 1, at: 10),
        Damage("UPDATE unknown_interval SET reason = 0 WHERE session = 1", ["value"], "unknown_interval: a row has a number", 1, at: 10),
        Damage(
            "UPDATE input_burst SET origin = 300 WHERE session = 1 AND start = 20000000000", ["value"], "input_burst: a row has a number",
            1, at: 20),
        Damage("UPDATE session_event SET kind = 77 WHERE session = 1", ["value"], "session_event: a row has a number", 1, at: 12),
        // A session's row.
        Damage("UPDATE session SET end_reason = 50 WHERE id = 1", ["session"], "why it ended means nothing", 1, at: 10),
        Damage("UPDATE session SET end_wall = NULL WHERE id = 1", ["session"], "its end has no time", 1, at: 10),
        Damage("UPDATE session SET end = 9223372036854775807 WHERE id = 1", ["session"], "it is longer than any", 1, at: 10),
        Damage("UPDATE session SET end = 5000000000 WHERE id = 1", ["session", "bounds"], "it ends before it begins", 1, at: 10),
        Damage(
            "UPDATE session SET start_wall = start_wall + 1 WHERE id = 2", ["session"], "it is listed under another time than it began at",
            2, at: 10),
        Damage(
            "UPDATE session SET end_wall = end_wall - 1 WHERE id = 1", ["session"], "it is listed under another time than it ended at", 1,
            at: 10),
        Damage(
            "INSERT INTO boot (machine, boot_id) SELECT machine, randomblob(16) FROM boot; INSERT INTO clock_anchor VALUES (2, 0, 1767400000000000000)",
            ["session"], "it has no end, and is of a boot that is over", 2, at: 10),
        Damage(
            "UPDATE session SET uuid = x'00112233445500008899aabbccddeeff' WHERE id = 1", ["session"], "session 1 has no UUID, boot or user"
        ),
        Damage("DELETE FROM user_identifier WHERE user = 1", ["session"], "session 1 has no UUID, boot or user"),
        // References.
        Damage("DELETE FROM application", ["references"], "focus_interval: a row refers to an application that there is not", 1, at: 11),
        Damage("DELETE FROM session WHERE id = 1", ["references"], "input_burst: 2 rows refer to what there is not in session"),
        Damage("DELETE FROM user WHERE id = 1", ["references"], "session: 1 rows refer to what there is not in user"),
        Damage("UPDATE session SET boot = 9 WHERE id = 1", ["references", "session"], "session 1 has no UUID, boot or user"),
        // Boots.
        Damage("DELETE FROM clock_anchor", ["boots", "session"], "boot 1: it has no anchor"),
        Damage("INSERT INTO clock_anchor VALUES (1, -5, 1767323040000000000)", ["boots"], "boot 1: an anchor lies before it began"),
        Damage("UPDATE boot SET seen = -1", ["boots"], "boot 1: a moment lies before it began"),
        // Facts.
        Damage(
            "DROP INDEX fact_current; INSERT INTO fact (machine, kind, value, since, revision) VALUES (1, 'time-zone', 'UTC', 1, 1), (1, 'time-zone', 'UTC', 2, 1)",
            ["facts"], "fact 2, a time-zone since"),
        Damage(
            "INSERT INTO fact (machine, user, kind, value, since, until, revision) VALUES (1, 1, 'login-name', x'00', 5, 5, 1)",
            ["facts"], "fact 1, a login-name since"),
        // The file.
        Damage(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, 'start_wall', 'number') WHERE name = 'session_start'",
            ["file"], "session: row 1 missing from index session_start"),
    ]

    @Test(arguments: damages) func damageIsFoundAndNamed(_ damage: Damage) throws {
        let fixture = try Self.fixture()
        try Self.damage(fixture, damage.sql)
        let result = try Self.check(fixture)
        #expect(result.rules == damage.rules, "\(result.problems)")
        let found = try #require(result.problems.first { ($0["text"] as? String ?? "").contains(damage.text) }, "\(result.problems)")
        if let place = damage.place {
            #expect(found["session_uuid"] as? String == F.uuid(place.session).description)
            #expect(found["time"] as? String == F.wall(place.second).iso8601)
            #expect(found["user"] as? String == (place.session == 1 ? "anna" : "ben"))
        }
        #expect(result.whole["problems"] as? Int == result.problems.count)
    }

    @Test func aPageThatIsOverwrittenIsFound() throws {
        let fixture = try Self.fixture()
        var page: Int64 = 0
        do {
            let queue = try DatabaseQueue(path: fixture.path)
            page = try queue.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
                return try Int64.fetchOne(db, sql: "SELECT rootpage FROM sqlite_schema WHERE name = 'input_burst'") ?? 0
            }
        }
        let file = try FileHandle(forWritingTo: URL(fileURLWithPath: fixture.path))
        try file.seek(toOffset: UInt64(page - 1) * 4096)
        try file.write(contentsOf: Data(repeating: 0xA5, count: 4096))
        try file.close()
        #expect(try Self.check(fixture).rules == ["file"])
    }

    @Test func manyProblemsAreCounted() throws {
        let fixture = try Self.fixture()
        try Self.damage(
            fixture,
            """
            WITH RECURSIVE n (i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM n WHERE i < 4999)
            INSERT INTO input_burst SELECT 1, 1000000000000 + i * 1000000000, 0, 1, 1 FROM n
            """)
        let result = try Self.check(fixture)
        #expect(result.problems.count == 1000 && result.whole["problems"] as? Int == 5000)
    }

    // MARK: Unknown time

    @Test func timeOfWhichNothingIsStoredFails() throws {
        let fixture = try Self.fixture()
        try Self.damage(fixture, "DELETE FROM focus_interval WHERE session = 1 AND start = 100000000000")
        let result = try Self.check(fixture)
        #expect(result.problems.isEmpty && result.excessive)
        let gap = try #require(result.unknown["no-data"])
        #expect(gap["class"] as? String == "none" && gap["duration"] as? Double == 300 && gap["time"] as? String == F.wall(100).iso8601)
        #expect(gap["session_uuid"] as? String == F.uuid(1).description)
        // Removed by its age it is no failure; the part that is younger is.
        let old = try Self.check(fixture) { $0.keptSince = F.wall(399.9) }
        #expect(!old.excessive && old.unknown["retention"]?["class"] as? String == "known")
        #expect(try Self.check(fixture) { $0.keptSince = F.wall(300) }.excessive)
    }

    @Test func aThousandthIsTolerated() throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        batch.sessions = [F.session(1, start: 0)]
        batch.focus = [FocusRecord(session: F.uuid(1), span: F.span(0, 999), application: nil)]
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(1000), reason: .logoff)]
        try fixture.writer.write(batch)
        #expect(try !Self.check(fixture).excessive)
        try Self.damage(fixture, "UPDATE focus_interval SET length = length - 1")
        #expect(try Self.check(fixture).excessive)
    }

    @Test func aReasonIsAFaultKnownOrNone() {
        func of(_ classification: UnknownCause.Class) -> [UnknownReason] {
            UnknownReason.allCases.filter { UnknownCause($0).classification == classification }
        }
        #expect(of(.none) == [.noData])
        #expect(of(.known) == [.starting, .noSource, .limited, .erased])
    }

    @Test func aSourceThatNeverStartsFails() throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        batch.sessions = [F.session(1, start: 0)]
        batch.unknowns = [UnknownRecord(session: F.uuid(1), interval: UnknownInterval(start: F.at(0), end: F.at(100), reason: .starting))]
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(100), reason: .logoff)]
        try fixture.writer.write(batch)
        let result = try Self.check(fixture)
        #expect(result.excessive && result.unknown["not-started"]?["duration"] as? Double == 40)
        #expect(result.unknown["starting"]?["duration"] as? Double == 60)
    }

    /// What the causes are, moment by moment.
    @Test(arguments: 0..<200) func causesAreAsMomentByMoment(_ seed: UInt64) {
        var random = SeededRandom(seed: seed)
        func moment(_ value: Int) -> BootInstant { BootInstant(nanoseconds: UInt64(value) * 10_000_000_000) }
        let length = 60
        var isUnknown = (0..<length).map { _ in Bool.random(using: &random) }
        isUnknown[0] = true
        let parts = (0..<length).filter { isUnknown[$0] }.map { TimeSpan(start: moment($0), end: moment($0 + 1)) }
        var position = 0
        var intervals: [UnknownInterval] = []
        while position < length {
            let start = position + Int.random(in: 0..<4, using: &random)
            let end = start + Int.random(in: 1..<12, using: &random)
            let reason = [UnknownReason.starting, .eventsLost, .erased].randomElement(using: &random)!
            intervals.append(UnknownInterval(start: moment(start), end: moment(end), reason: reason))
            position = end
        }
        let kept = Int.random(in: 0..<length, using: &random)
        let stretches = UnknownStretch.stretches(of: parts, intervals.shuffled(using: &random), kept: moment(kept))
        for second in 0..<length {
            let at = moment(second)
            let interval = intervals.first { $0.start <= at && at < $0.end }
            var expected: String?
            if isUnknown[second] {
                switch interval?.reason {
                case nil: expected = second < kept ? "retention" : "no-data"
                case .starting? where interval!.start.duration(to: at) >= .seconds(60): expected = "not-started"
                case let reason?: expected = reason.name
                }
            }
            let found = stretches.filter { $0.span.start <= at && at < $0.span.end }
            #expect(found.map(\.cause.name) == (expected.map { [$0] } ?? []))
        }
    }

    // MARK: Random sessions

    /// What folds hand out has nothing wrong, wherever pages end, and each nanosecond of it is told once.
    @Test(arguments: 0..<20) func whatFoldsHandOutIsRight(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try ReportsFixture()
        var rows: [ActivityRow] = []
        var time = 0.0
        for number in 1...UInt64(4) {
            let session = F.session(number, start: Double.random(in: 0..<3000, using: &random).rounded())
            let half = F.random(session, until: 5000, durable: Double.random(in: 3000..<5000, using: &random), &random)
            try fixture.writer.write(half.batch)
            rows += half.rows
            time += 5000 - Double(session.start.nanoseconds) / 1e9
        }
        for page in [2000, 7] {
            let result = try Self.check(fixture, page: page, live: rows) { $0.calendar = Self.berlin }
            #expect(result.problems.isEmpty, "\(result.problems)")
            #expect(abs((result.whole["total"] as? Double ?? 0) - time) < 1e-6)
            #expect(result.unknown["no-data"] == nil)
        }
        // Of a collector that does not answer, what is stored is checked.
        let stored = try Self.check(fixture)
        #expect(stored.problems.isEmpty && stored.unknown["no-data"] == nil, "\(stored.problems)")
    }

    // MARK: Recovered stores

    /// Of damage anywhere a recovery makes a store in which all is right: what is lost is time that is Unknown by a fault, and no more than that.
    @Test(arguments: 0..<10) func aRecoveredStoreIsRight(_ seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let fixture = try ReportsFixture()
        for number in 1...UInt64(20) {
            let user = number % 3 == 0 ? ("ben", UInt32(1002)) : ("anna", UInt32(1001))
            var position = Double(number) * 2000
            let session = F.session(number, user.0, user.1, start: position)
            var batch = StoreBatch()
            batch.sessions = [session]
            for step in 0..<100 {
                let span = F.span(position, position + Double(Int.random(in: 1...9, using: &random)))
                if step % 11 == 0 {
                    let unknown = UnknownInterval(start: span.start, end: span.end, reason: step == 0 ? .starting : .eventsLost)
                    batch.unknowns.append(UnknownRecord(session: session.uuid, interval: unknown))
                } else {
                    let application = Application(executable: "/usr/bin/program-\(step % 7)", windowClass: "W")
                    batch.focus.append(FocusRecord(session: session.uuid, span: span, application: application))
                    let burst = InputBurst(start: span.start, end: span.start.advanced(by: .milliseconds(500)), origin: .device)
                    batch.bursts.append(BurstRecord(session: session.uuid, burst: burst))
                }
                position += Double(span.length) / 1e9
            }
            batch.ended = [SessionEnd(session: session.uuid, at: F.at(position), reason: .logoff)]
            try fixture.writer.write(batch)
        }
        fixture.writer.close()
        var pages: [Int] = []
        do {
            let queue = try DatabaseQueue(path: fixture.path)
            pages = try queue.writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
                return try Int.fetchAll(db, sql: "SELECT pageno FROM dbstat WHERE name = 'focus_interval' ORDER BY pageno")
            }
            try queue.close()
        }
        var data = try Data(contentsOf: URL(filePath: fixture.path))
        // One of time, and up to two of whatever is there.
        let damaged =
            try [#require(pages.randomElement(using: &random))]
            + (0..<Int(seed) % 3).map { _ in Int.random(in: 1...data.count / 4096, using: &random) }
        for page in damaged { data.replaceSubrange((page - 1) * 4096..<page * 4096, with: Data(repeating: 0xA5, count: 4096)) }
        try data.write(to: URL(filePath: fixture.path))
        try Data().write(to: URL(filePath: fixture.path + ".recover"))
        // A boot later, as after the restart that follows.
        let place = StorePlace(path: fixture.path, machine: ID128(high: 7, low: 7), boot: ID128(high: 1, low: 2), keys: fixture.keys)
        let opening = try StoreOpening.open(place, anchor: ClockAnchor(boot: .zero, wall: F.wall(1_000_000)))
        opening.writer.close()
        let recovery = try #require(opening.replacement?.recovery)
        #expect(!recovery.isComplete)
        let result = try Self.check(fixture)
        #expect(result.problems.isEmpty && !result.excessive && result.unknown["no-data"] == nil, "\(damaged): \(result.problems)")
        let told = result.unknown["store-damaged"]
        #expect((told?["class"] as? String == "fault") == !recovery.stretches.isEmpty)
    }

    // MARK: Days

    /// Summer time from the last Sunday of March to that of October, at 01:00 UTC.
    private static let berlin = LocalCalendar { seconds in
        // 2026-03-29T01:00:00Z and 2026-10-25T01:00:00Z
        (1_774_746_000..<1_792_890_000).contains(seconds) ? 7200 : 3600
    }

    /// From a day before to a day after each change of summer time, and one in which the clock is set back by a day.
    @Test func daysHave23And25Hours() throws {
        for (beginning, hours) in [(1_774_652_400, [24, 23, 24]), (1_792_792_800, [24, 25, 24])] {
            let anchors = ClockAnchors([ClockAnchor(boot: .zero, wall: WallInstant(nanoseconds: Int64(beginning) * 1_000_000_000))])
            let whole = hours.reduce(0, +) * 3600
            let fixture = try ReportsFixture()
            try Self.damage(fixture, "UPDATE clock_anchor SET wall = \(beginning)000000000")
            let writer = try Self.reopened(fixture, beginning)
            var batch = StoreBatch()
            batch.sessions = [F.session(1, start: 0)]
            batch.focus = [FocusRecord(session: F.uuid(1), span: F.span(0, Double(whole)), application: nil)]
            batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(Double(whole)), reason: .logoff)]
            try writer.write(batch)
            let result = try Self.check(fixture) { $0.calendar = Self.berlin }
            #expect(result.problems.isEmpty && result.whole["days"] as? Int == 3, "\(result.problems)")
            let days = try #require(SessionDays.days(of: F.span(0, Double(whole)), anchors, Self.berlin))
            let lengths = days.dropLast().map { number in
                let (start, end) = (CalendarDay(number: number), CalendarDay(number: number + 1))
                return Self.berlin.moment(start, 0).duration(to: Self.berlin.moment(end, 0))
            }
            #expect(lengths == hours.map { .seconds($0 * 3600) })
        }
    }

    @Test(arguments: [-100_000, -3600, 3600, 200_000]) func daysAddUpWhereTheClockIsStepped(_ step: Int) throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        batch.anchors = [ClockAnchor(boot: F.at(50_000), wall: F.wall(50_000).advanced(by: .seconds(step)))]
        batch.sessions = [F.session(1, start: 0)]
        batch.focus = [FocusRecord(session: F.uuid(1), span: F.span(0, 300_000), application: nil)]
        batch.bursts = [BurstRecord(session: F.uuid(1), burst: InputBurst(start: F.at(75_000), end: F.at(80_000), origin: .device))]
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(300_000), reason: .logoff)]
        try fixture.writer.write(batch)
        let result = try Self.check(fixture) { $0.calendar = Self.berlin }
        #expect(result.problems.isEmpty && !result.excessive, "\(result.problems)")
    }

    private static func reopened(_ fixture: ReportsFixture, _ beginning: Int) throws -> StoreWriter {
        let place = StorePlace(path: fixture.path, machine: ID128(high: 7, low: 7), boot: F.boot, keys: fixture.keys)
        return try StoreWriter.open(
            place, anchor: ClockAnchor(boot: .zero, wall: WallInstant(nanoseconds: Int64(beginning) * 1_000_000_000)))
    }
}
