import Foundation
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
                + "keep-activity: 1.5d\nkeep-sessions: unlimited\n",
            file: "t.yaml")
        #expect(configuration.keepActivity == .seconds(129_600) && configuration.keepSessions == nil)
        #expect(configuration.limits.busCallsPerSecond == 250)
        #expect(configuration.burstGap == .milliseconds(1500))
        #expect(configuration.idleThreshold == .seconds(180))
        #expect(configuration.passiveLimit == nil)
        #expect(configuration.responsible == "IT, room 5")
    }

    @Test(
        arguments: [
            ("\nburst-gap: soon\n", 2, "burst-gap"), ("burst-gap: 30\n", 1, "burst-gap"), ("burst-gap: 0s\n", 1, "burst-gap"),
            ("a: 1\n", 1, "a"), ("burst-gap: 1s\nburst-gap: 2s\n", nil, nil), ("burst-gap: [1s]\n", 1, "burst-gap"),
            ("passive-limit: -1s", 1, "passive-limit"), ("keep-activity: 59m", 1, "keep-activity"),
            ("keep-sessions: 10001d", 1, "keep-sessions"), ("displays-per-user: many", 1, "displays-per-user"),
            ("bus-calls-per-second: 9", 1, "bus-calls-per-second"), ("- a\n", 1, nil),
            ("burst-gap: 'x\n", nil, nil), ("responsible: \"a\\x07b\"", 1, "responsible"), ("burst-gap: nans", 1, "burst-gap"),
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
