import Foundation
import TermspanCore
import Testing

@testable import TermspanConfiguration

@Suite struct ConfigurationTests {
    @Test func nothingIsNeeded() throws {
        var configuration = Configuration()
        try configuration.apply("", file: "t.yaml")
        try configuration.apply("# only a comment\n", file: "t.yaml")
        #expect(configuration == Configuration())
        #expect(try Configuration.load(file: "/nonexistent/a", fragments: "/nonexistent/b") == Configuration())
    }

    @Test func valuesAreApplied() throws {
        var configuration = Configuration()
        try configuration.apply(
            "burst-gap: 1500ms\nidle-threshold: 3m\npassive-limit: unlimited\nresponsible: IT, room 5\nbus-calls-per-second: 250\n"
                + "keep-activity: 1.5d\nkeep-sessions: unlimited\nseats: 50\n",
            file: "t.yaml")
        #expect(configuration.keepActivity == .seconds(129_600) && configuration.keepSessions == nil)
        #expect(configuration.limits.busCallsPerSecond == 250 && configuration.limits.seats == 50)
        try configuration.apply("seats: unlimited\n", file: "t.yaml")
        #expect(configuration.limits.seats == nil)
        #expect(configuration.burstGap == .milliseconds(1500))
        #expect(configuration.idleThreshold == .seconds(180))
        #expect(configuration.passiveLimit == nil)
        #expect(configuration.responsible == "IT, room 5")
    }

    @Test func whatIsKeptLongerThanUsualTakesGrounds() throws {
        let folder = FileManager.default.temporaryDirectory.appendingPathComponent("termspan-\(UUID())")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        let file = folder.appendingPathComponent("t.yaml").path
        func problem(_ text: String) throws -> String? {
            try text.write(toFile: file, atomically: true, encoding: .utf8)
            do throws(ConfigurationError) {
                _ = try Configuration.load(file: file, fragments: "/nonexistent")
                return nil
            } catch {
                return error.problem
            }
        }
        for long in [
            "keep-activity: 181d", "keep-activity: unlimited", "keep-sessions: 401d",
            "keep-by-group: [{group: x, keep-sessions: unlimited}]",
            "keep-activity: 1d\nkeep-by-group: [{group: x, keep-activity: 200d}]",
        ] {
            #expect(try problem(long)?.contains("takes 'reason' and 'responsible'") == true)
            #expect(try problem(long + "\nresponsible: Ann Lee")?.contains("takes 'reason'") == true)
            #expect(try problem(long + "\nreason: ' '\nresponsible: Ann Lee")?.contains("takes 'reason'") == true)
            #expect(try problem(long + "\nreason: audits\nresponsible: Ann Lee") == nil)
        }
        #expect(try problem("keep-activity: 180d\nkeep-sessions: 400d\nkeep-by-group: [{group: x, keep-activity: 1d}]") == nil)
    }

    @Test func whatDecidesAboutUsersIsOneLine() throws {
        var configuration = Configuration()
        #expect(
            configuration.policyText
                == "keep-activity 180d; keep-sessions 400d; pause-per-day 1h; unencrypted-disk accept; seats unlimited")
        // What does not decide about users is not in it.
        configuration.burstGap = .seconds(7)
        configuration.limits.busCallsPerSecond = 7
        #expect(configuration.policyText == Configuration().policyText)
        try configuration.apply(
            "keep-activity: unlimited\nkeep-sessions: 90m\npause-per-day: 24h\nseats: 3\nunencrypted-disk: warn\nresponsible: IT\n"
                + "keep-by-group: [{group: 'own:x', keep-activity: 30d}]\nholidays: [2026-12-25, 2026-01-01]\n"
                + "tracking-hours: [{hours: 07:00-19:00, days: mon-fri}, {hours: 22:00-06:00, group: night}]\n",
            file: "t.yaml")
        #expect(
            configuration.policyText
                == "keep-activity unlimited; keep-sessions 90m; pause-per-day 1d; unencrypted-disk warn; seats 3; "
                + "keep-by-group own:x: activity 30d, sessions 90m; tracking-hours mon-fri 07:00-19:00; tracking-hours mon-sun 22:00-06:00 of night; "
                + "holidays 2026-01-01 2026-12-25")
        #expect(throws: ConfigurationError.self) { try configuration.apply("unencrypted-disk: maybe\n", file: "t.yaml") }
        for address in ["203.0.113.7", "2001:db8::7"] {
            try configuration.apply("public-address: \"\(address)\"\n", file: "t.yaml")
            #expect(configuration.publicAddress == address)
        }
        #expect(throws: ConfigurationError.self) { try configuration.apply("public-address: example.com\n", file: "t.yaml") }
        for url in ["https://example.com/ip?v=4", "http://192.0.2.1", ""] {
            try configuration.apply("public-address-url: \"\(url)\"\n", file: "t.yaml")
            #expect(configuration.publicAddressURL == url)
        }
        for url in ["file:///etc/shadow", "example.com", "https://", "https:///x", "--output=x", "https://a b", "https://ä"] {
            #expect(throws: ConfigurationError.self) { try configuration.apply("public-address-url: \"\(url)\"\n", file: "t.yaml") }
        }
    }

    @Test func timesByGroupStandInForThoseOfAll() throws {
        var configuration = Configuration()
        try configuration.apply(
            "keep-by-group:\n  - {group: trainees, keep-activity: 30d}\n  - {group: audited, keep-activity: unlimited, keep-sessions: 800d}\n"
                + "keep-sessions: 90d\n",
            file: "t.yaml")
        let day = 86_400
        #expect(
            configuration.keptByGroup.map { configuration.kept(by: $0) } == [
                KeptTimes(activity: .seconds(30 * day), sessions: .seconds(90 * day)),
                KeptTimes(activity: nil, sessions: .seconds(800 * day)),
            ])
        #expect(configuration.shortestKept == .seconds(30 * day) && Configuration().shortestKept == .seconds(180 * day))
        var unlimited = Configuration()
        try unlimited.apply("keep-activity: unlimited\nkeep-sessions: unlimited\n", file: "t.yaml")
        #expect(unlimited.shortestKept == nil)
        #expect(configuration.keptByGroup[0].sessions == nil && configuration.keptByGroup[1].activity == .some(.none))
        for wrong in [
            "{group: a}", "{keep-activity: 30d}", "{group: a, keep-activity: 5}", "{group: a, keep-activity: 1s}", "{group: a, keep: 30d}",
            "a",
            "{group: '', keep-activity: 30d}",
        ] {
            #expect(throws: ConfigurationError.self) { try configuration.apply("keep-by-group: [\(wrong)]", file: "t.yaml") }
        }
        // A group twice: which would hold?
        #expect(throws: ConfigurationError.self) {
            try configuration.apply(
                "keep-by-group: [{group: a, keep-activity: 30d}, {group: a, keep-sessions: 30d}]", file: "t.yaml")
        }
    }

    @Test func listsAreReplacedAsAWhole() throws {
        var configuration = Configuration()
        try configuration.apply(
            "tracking-hours:\n  - {days: mon-fri, hours: 07:00-19:00}\n  - group: night shift\n    hours: 22:00-06:00\n"
                + "holidays: [2026-12-25, 2028-02-29]\n",
            file: "t.yaml")
        #expect(
            configuration.trackingHours == [
                TrackingHours.Window(days: Set(0..<5), start: 420, end: 1140),
                TrackingHours.Window(group: "night shift", start: 1320, end: 1800),
            ])
        #expect(configuration.holidays.map(\.description).sorted() == ["2026-12-25", "2028-02-29"])
        #expect(configuration.hours == TrackingHours(windows: configuration.trackingHours, holidays: configuration.holidays))
        try configuration.apply("tracking-hours:\n- hours: 00:00-24:00\nholidays: []", file: "u.yaml")
        #expect(configuration.trackingHours == [TrackingHours.Window(start: 0, end: 1440)])
        #expect(configuration.holidays.isEmpty)
    }

    @Test(
        arguments: [
            ("\nburst-gap: soon\n", 2, "burst-gap"), ("burst-gap: 30\n", 1, "burst-gap"), ("burst-gap: 0s\n", 1, "burst-gap"),
            ("a: 1\n", 1, "a"), ("burst-gap: 1s\nburst-gap: 2s\n", nil, nil), ("burst-gap: [1s]\n", 1, "burst-gap"),
            ("passive-limit: -1s", 1, "passive-limit"), ("keep-activity: 59m", 1, "keep-activity"),
            ("keep-sessions: 10001d", 1, "keep-sessions"), ("displays-per-user: many", 1, "displays-per-user"),
            ("bus-calls-per-second: 9", 1, "bus-calls-per-second"), ("- a\n", 1, nil),
            ("burst-gap: 'x\n", nil, nil), ("responsible: \"a\\x07b\"", 1, "responsible"), ("burst-gap: nans", 1, "burst-gap"),
            ("tracking-hours: mon-fri", 1, "tracking-hours"),
            ("tracking-hours:\n- {hours: 07:00-19:00}\n- {days: mon}\n", 3, "tracking-hours"),
            ("tracking-hours: [{hours: 07:00-19:00, until: x}]", 1, "tracking-hours"),
            ("tracking-hours: [{hours: 07:00-19:00, group: ''}]", 1, "tracking-hours"), ("tracking-hours: [mon]", 1, "tracking-hours"),
            ("holidays: 2026-12-25", 1, "holidays"), ("holidays:\n- 2026-12-25\n- 2026-02-29\n", 3, "holidays"),
            ("holidays: [[2026-12-25]]", 1, "holidays"),
        ] as [(String, Int?, String?)])
    func whatIsWrongIsNamedWithItsPlace(text: String, line: Int?, key: String?) {
        var configuration = Configuration()
        let error = #expect(throws: ConfigurationError.self) { try configuration.apply(text, file: "t.yaml") }
        if let line { #expect(error?.line == line) }
        if let key { #expect(error?.key == key) }
        #expect(error?.description.hasPrefix("t.yaml") == true)
    }

    @Test func fragmentsComeAfterTheFileInOrder() throws {
        let folder = FileManager.default.temporaryDirectory.appending(path: "termspan-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder.appending(path: "d"), withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(at: folder) }
        try "burst-gap: 10s\nidle-threshold: 60s".write(to: folder.appending(path: "a.yaml"), atomically: true, encoding: .utf8)
        try "burst-gap: 20s".write(to: folder.appending(path: "d/20.yaml"), atomically: true, encoding: .utf8)
        try "burst-gap: 15s".write(to: folder.appending(path: "d/10.yaml"), atomically: true, encoding: .utf8)
        try "not: known".write(to: folder.appending(path: "d/readme.txt"), atomically: true, encoding: .utf8)
        let configuration = try Configuration.load(file: folder.appending(path: "a.yaml").path, fragments: folder.appending(path: "d").path)
        #expect(configuration.burstGap == .seconds(20))
        #expect(configuration.idleThreshold == .seconds(60))
    }
}
