import TermspanCore
import Testing

@testable import TermspanConfiguration

@Suite struct WideningTests {
    private static let today = CalendarDay("2026-11-28")!

    private func configuration(_ text: String) throws -> Configuration {
        var configuration = Configuration()
        try configuration.apply(text, file: "t.yaml")
        return configuration
    }

    private func widenings(_ old: String, _ new: String) throws -> [Widening] {
        try configuration(new).widenings(after: configuration(old), today: Self.today)
    }

    /// From one text to another, and what it is the other way round.
    @Test(
        arguments: [
            ("", "tracking-hours: [{days: mon-fri, hours: 08:00-18:00}]", Widening.hours),
            ("tracking-hours: [{hours: 07:00-19:00}]", "tracking-hours: [{days: mon-fri, hours: 08:00-18:00}]", .hours),
            // Over midnight.
            ("tracking-hours: [{days: sun, hours: 22:00-06:00}]", "tracking-hours: [{days: mon, hours: 00:00-05:00}]", .hours),
            ("", "holidays: [2026-12-25]", .hours),
            // Of members of a group alone.
            ("", "tracking-hours: [{hours: 08:00-18:00, group: staff}]", .hours),
            (
                "tracking-hours: [{hours: 08:00-18:00, group: b}, {hours: 09:00-10:00, group: a}]",
                "tracking-hours: [{hours: 09:00-10:00, group: a}, {hours: 08:00-18:00, group: b}]", .hours
            ),
            ("", "keep-activity: 179d", .kept), ("keep-sessions: unlimited", "keep-sessions: 9000d", .kept),
            ("", "keep-by-group: [{group: trainees, keep-activity: 30d}]", .kept),
            ("", "pause-per-day: 2h", .pauses), ("", "seats: 10", .seats), ("seats: 11", "seats: 10", .seats),
        ] as [(String, String, Widening)])
    func whatWidensIsNoticed(_ wide: String, _ narrow: String, _ widening: Widening) throws {
        #expect(try widenings(narrow, wide) == [widening])
        #expect(try widenings(wide, narrow) == [])
        #expect(try widenings(wide, wide) == [])
    }

    @Test func whatNeitherWidensNorNarrowsTakesNoGrounds() throws {
        // Holidays that are over, other names of who answers, and hours in other words.
        #expect(try widenings("holidays: [2026-11-27]", "") == [])
        #expect(try widenings("", "responsible: Ann\nidle-threshold: 5m\nunencrypted-disk: warn") == [])
        #expect(
            try widenings(
                "tracking-hours: [{hours: 08:00-18:00}]", "tracking-hours: [{hours: 08:00-12:00}, {hours: 12:00-18:00}]") == [])
        // The hours of a group that nobody counts to any more, since all are another's first.
        #expect(try widenings("keep-by-group: [{group: a, keep-activity: 30d}]", "keep-by-group: [{group: a, keep-activity: 20d}]") == [])
    }

    /// Who was in two groups counts to another.
    @Test func theOrderOfGroupsMatters() throws {
        let one = "{group: a, keep-activity: 30d}"
        let other = "{group: b, keep-activity: 60d}"
        #expect(try widenings("keep-by-group: [\(one), \(other)]", "keep-by-group: [\(other), \(one)]") == [.kept])
        #expect(try widenings("keep-by-group: [\(one)]", "keep-by-group: [\(one), \(other)]") == [])
        #expect(try widenings("keep-by-group: [\(one)]", "keep-by-group: [{group: b, keep-activity: 10d}]") == [.kept])
    }

    @Test func groundsLetIt() throws {
        let narrow = try configuration("seats: 3\ntracking-hours: [{hours: 08:00-18:00}]")
        for text in ["", "reason: pilot", "responsible: Ann", "reason: ' '\nresponsible: Ann"] {
            let error = try #require(throws: ConfigurationError.self) {
                try configuration(text).checkGrounds(after: narrow, today: Self.today)
            }
            #expect(error.problem.contains("tracking hours") && error.problem.contains("seats") && error.problem.contains("'responsible'"))
        }
        try configuration("reason: pilot\nresponsible: Ann").checkGrounds(after: narrow, today: Self.today)
        try narrow.checkGrounds(after: Configuration(), today: Self.today)
        // What was in force is not known.
        #expect(throws: ConfigurationError.self) { try narrow.checkGrounds(after: nil, today: Self.today) }
    }

    @Test(
        arguments: [
            "", "keep-activity: unlimited\nreason: a\nresponsible: b",
            "keep-sessions: 36h\npause-per-day: 0s\nseats: 7\nunencrypted-disk: refuse",
            "keep-by-group: [{group: 'domain users: activity; x, sessions ', keep-activity: 30d}, {group: b, keep-sessions: unlimited}]",
            "tracking-hours: [{days: 'mon,wed-fri', hours: 22:00-06:00}, {hours: 00:00-24:00, group: 'a of b; c'}]\nholidays: [2026-12-25, 2027-01-01]",
        ])
    func whatWasRecordedIsReadAgain(_ text: String) throws {
        let written = try configuration(text)
        let read = try #require(Configuration(policyText: written.policyText))
        #expect(read.policyText == written.policyText)
        #expect(read.hours == written.hours && read.kept == written.kept && read.limits.seats == written.limits.seats)
        #expect(read.widenings(after: written, today: Self.today) == [] && written.widenings(after: read, today: Self.today) == [])
    }

    @Test(arguments: ["keep-activity", "seats many", "tracking-hours mon 25:00-26:00", "holidays never", "keep-by-group x", "other 1"])
    func whatIsNoPolicyIsRefused(_ text: String) { #expect(Configuration(policyText: text) == nil) }

    @Test func aUsersChangeOfGroupsIsJudged() throws {
        let configuration = try configuration(
            """
            tracking-hours: [{hours: 08:00-12:00, group: own:part}, {hours: 08:00-18:00}]
            keep-by-group: [{group: own:short, keep-activity: 30d}]
            """)
        #expect(configuration.widenings(from: [], to: ["own:part"]) == [])
        #expect(configuration.widenings(from: ["own:part"], to: []) == [.hours])
        #expect(
            configuration.widenings(from: ["own:short"], to: []) == [.kept] && configuration.widenings(from: [], to: ["own:short"]) == [])
        #expect(configuration.widenings(from: ["own:part", "own:short"], to: []) == [.hours, .kept])
    }
}
