import Foundation
import Glibc
import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

/// Averages of groups over closed months. The fixture's boot is in January 2026.
@Suite(.serialized) @MainActor struct AggregatesTests {
    typealias F = ReportsFixture

    private static let utc = LocalCalendar { _ in 0 }
    private static let january = CalendarMonth("2026-01")!
    private static let december = CalendarMonth("2025-12")!

    private static func user(_ number: Int) -> UserIdentity { UserIdentity(login: "user\(number)", uid: UInt32(2000 + number)) }

    /// Fills a store with a session of so many users, each with an hour, most of it active.
    private static func fill(_ fixture: ReportsFixture, users: Range<Int>) throws {
        var batch = StoreBatch()
        for number in users {
            let user = user(number)
            batch.sessions.append(F.session(UInt64(number), user.login, user.uid))
            let uuid = F.uuid(UInt64(number))
            batch.focus.append(FocusRecord(session: uuid, span: F.span(10, 3610), application: nil))
            batch.bursts.append(BurstRecord(session: uuid, burst: InputBurst(start: F.at(10), end: F.at(3000), origin: .device)))
            batch.ended.append(SessionEnd(session: uuid, at: F.at(3610), reason: .logoff))
        }
        batch.seen = F.at(4000)
        try fixture.writer.write(batch)
    }

    private static func question(_ groups: [String: Range<Int>], month: CalendarMonth? = nil, kept: Duration? = nil) -> Question {
        var question = Question(.aggregates)
        var aggregation = Aggregation(
            month: month, now: utc.moment(CalendarDay("2026-02-02")!, 0), calendar: utc, kept: kept)
        aggregation.groups = groups.keys.sorted()
        aggregation.members = groups.mapValues { Set($0.map { user($0) }) }
        question.aggregation = aggregation
        return question
    }

    /// What is told after what is worked out was kept.
    private static func lines(_ fixture: ReportsFixture, _ question: Question) throws -> [[String: Any]] {
        var question = question
        let tables = try Answer(question, reader: try StoreReader(path: fixture.path, keys: fixture.keys)).newTables()
        question.aggregation?.fixed.merge(tables) { old, _ in old }
        return try fixture.lines(question)
    }

    @Test func rowsAreAsAgreed() throws {
        let fixture = try ReportsFixture()
        try Self.fill(fixture, users: 1..<17)
        var question = Self.question(["few": 1..<5, "half": 1..<9])
        let tables = try Answer(question, reader: try StoreReader(path: fixture.path, keys: fixture.keys)).newTables()
        #expect(tables.keys.sorted() == [Self.january])
        question.aggregation?.fixed = tables
        #expect(
            try fixture.text(question) == """
                {"period":"2026-01","group":null,"users":15,"active":2700,"passive":0,"inactive":0,"connected":3600,"active_share":75,"withheld":null}
                {"period":"2026-01","group":"few","users":null,"active":null,"passive":null,"inactive":null,"connected":null,"active_share":null,\
                "withheld":"too-few"}
                {"period":"2026-01","group":"half","users":5,"active":2700,"passive":0,"inactive":0,"connected":3600,"active_share":75,"withheld":null}

                """)
        // Nobody who is in it can be found in what is told.
        #expect(try fixture.text(question).contains("user1") == false)
    }

    /// What was told stays, whoever joins or is erased, and whichever groups there are later.
    @Test func whatWasToldIsToldAgain() throws {
        let fixture = try ReportsFixture()
        try Self.fill(fixture, users: 1..<13)
        var question = Self.question(["half": 1..<7])
        let tables = try Answer(question, reader: try StoreReader(path: fixture.path, keys: fixture.keys)).newTables()
        question.aggregation?.fixed = tables
        let told = try fixture.text(question)
        var later = Self.question(["half": 1..<6, "other": 1..<13])
        later.aggregation?.fixed = tables
        #expect(try Answer(later, reader: try StoreReader(path: fixture.path, keys: fixture.keys)).newTables().isEmpty)
        #expect(try fixture.text(later) == told)
        // A greater minimum withholds what was worked out for a smaller one.
        later.aggregation?.minimum = 6
        let withheld = try fixture.lines(later)
        #expect(withheld.count == 2)
        #expect(withheld.allSatisfy { $0["withheld"] as? String == "minimum-raised" && $0["users"] is NSNull && $0["active"] is NSNull })
    }

    @Test func whileMembersAreNotKnownNothingIsWorkedOut() throws {
        let fixture = try ReportsFixture()
        try Self.fill(fixture, users: 1..<13)
        var question = Self.question(["half": 1..<7, "silent": 1..<13])
        question.aggregation?.members["silent"] = nil
        let lines = try Self.lines(fixture, question)
        #expect(lines.map { $0["withheld"] as? String } == ["other-members-unknown", "other-members-unknown", "members-unknown"])
        #expect(lines.allSatisfy { $0["active"] is NSNull })
    }

    @Test func onlyClosedMonthsOfTheHistoryAreTold() throws {
        let fixture = try ReportsFixture()
        #expect(try Self.lines(fixture, Self.question([:])).isEmpty)
        try Self.fill(fixture, users: 1..<7)
        #expect(try Self.lines(fixture, Self.question([:])).count == 1)
        #expect(try Self.lines(fixture, Self.question([:], month: Self.january)).count == 1)
        #expect(try Self.lines(fixture, Self.question([:], month: Self.december)).isEmpty)
        // Of which something may be gone by its age already.
        #expect(try Self.lines(fixture, Self.question([:], kept: .seconds(32 * 86_400))).count == 1)
        #expect(try Self.lines(fixture, Self.question([:], kept: .seconds(31 * 86_400))).isEmpty)
    }

    /// A part of a session that reaches into another month counts there, and an open one as far as it is known.
    @Test func sessionsAreCutAtTheMonthsEnd() throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        // From thirty hours before the end of January on, and for three more; the midnight between does not show.
        let start = Double(Self.utc.moment(Self.january.next.first, 0).nanoseconds - F.anchor.wall.nanoseconds) / 1e9 - 30 * 3600
        for number in 1..<7 {
            let user = Self.user(number)
            batch.sessions.append(F.session(UInt64(number), user.login, user.uid, start: start))
            batch.focus.append(FocusRecord(session: F.uuid(UInt64(number)), span: F.span(start, start + 33 * 3600), application: nil))
            let burst = InputBurst(start: F.at(start), end: F.at(start + 33 * 3600), origin: .device)
            batch.bursts.append(BurstRecord(session: F.uuid(UInt64(number)), burst: burst))
        }
        batch.seen = F.at(start + 33 * 3600)
        try fixture.writer.write(batch)
        let lines = try Self.lines(fixture, Self.question([:]))
        #expect(lines.map { $0["active"] as? Int } == [30 * 3600])
    }

    @Test(.enabled(if: getuid() == 0)) func theServiceKeepsWhatItTellsAndTakesNoFilter() throws {
        let stage = try ReportsServiceTests.Stage({ $0.calendar = Self.utc }, collector: [])
        defer { stage.stop() }
        try Self.fill(stage.fixture, users: 1..<13)
        stage.aggregation = [
            "groups": .strings(["half"]), "minimum": .uint64(5),
            "members": .properties(["half": .strings((1..<7).map { Self.user($0).description })]),
        ]
        let month: [String: BusValue] = ["period": "2026-01"]
        let told = try stage.read(try stage.ask("Aggregates", month).get())
        #expect(told.map { $0["users"] as? Int } == [10, 5] && told.map { $0["group"] as? String } == [nil, "half"])
        #expect(stage.managed == ["GetAggregation", "FixAggregates"])
        #expect(stage.fixed["2026-01"]?.strings == ["5", "10 2700 0 0 3600\t", "5 2700 0 0 3600\thalf"])
        // One read of everybody's.
        #expect(stage.reads == [["reader": .uint32(0), "kind": "aggregates"]])
        // Others are members by now.
        stage.aggregation["members"] = .properties(["half": .strings((1..<9).map { Self.user($0).description })])
        #expect(try stage.read(try stage.ask("Aggregates", month).get()) as NSArray == told as NSArray)
        #expect(stage.managed.last == "GetAggregation")

        let refused: [[String: BusValue]] = [
            ["period": "2026-W45"], ["period": "2026"], ["period": .uint32(2026)], ["period": "9999-01"], ["user": "user1"], ["all": true],
            ["group": "half"], ["since": .uint64(1)], ["uid": .uint32(2001)], ["period": "2026-01", "idle-threshold": .uint64(1)],
        ]
        for filter in refused {
            #expect(ReportsServiceTests.error(try stage.ask("Aggregates", filter))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
        }
        #expect(ReportsServiceTests.error(try stage.ask("Summary", month))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
        // What can't be kept is not told.
        (stage.fixed, stage.canFix) = ([:], false)
        #expect(ReportsServiceTests.error(try stage.ask("Aggregates", month)) != nil)
        #expect(stage.service.activeAnswers == 0)
    }

    /// Where nothing is told nothing is kept.
    @Test(.enabled(if: getuid() == 0)) func whatIsWithheldIsNotKept() throws {
        let stage = try ReportsServiceTests.Stage({ $0.calendar = Self.utc }, collector: [])
        defer { stage.stop() }
        try Self.fill(stage.fixture, users: 1..<5)
        stage.aggregation = ["groups": .strings([]), "minimum": .uint64(5), "members": .properties([:])]
        let month: [String: BusValue] = ["period": "2026-01"]
        #expect(try stage.read(try stage.ask("Aggregates", month).get()).map { $0["withheld"] as? String } == ["too-few"])
        #expect(stage.fixed.isEmpty)
        try Self.fill(stage.fixture, users: 5..<6)
        #expect(try stage.read(try stage.ask("Aggregates", month).get()).map { $0["users"] as? Int } == [5])
        #expect(stage.fixed.count == 1)
    }

    @Test(.enabled(if: getuid() == 0)) func withoutACollectorThereAreNone() throws {
        let stage = try ReportsServiceTests.Stage()
        defer { stage.stop() }
        try Self.fill(stage.fixture, users: 1..<13)
        #expect(ReportsServiceTests.error(try stage.ask("Aggregates")) != nil)
        #expect(stage.service.activeAnswers == 0)
    }
}
