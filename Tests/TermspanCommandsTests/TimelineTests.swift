import Foundation
import FoundationXML
import TermspanCore
import Testing

@testable import TermspanCommands

/// In processes of their own, since all that is in one has the same zone.
@Suite struct TimelineTests {
    private static func day(_ date: String, _ zone: String) throws -> DayTimeline {
        setenv("TZ", zone, 1)
        tzset()
        let start = try #require(TimeText.parse(date, now: WallInstant(nanoseconds: 0)))
        return DayTimeline(start: start, end: try #require(TimeText.nextMidnight(after: start)))
    }

    private static func row(
        _ day: DayTimeline, _ hours: ClosedRange<Double>, _ state: String, _ executable: String?, session: Int = 1
    ) throws -> JSONValue {
        func moment(_ hour: Double) -> String { TimeText.utc(day.start.advanced(by: .seconds(hour * 3600))) }
        let program = executable.map { JSONValue.string($0).text } ?? "null"
        let text = """
            {"user":"alice","uid":1001,"session":\(session),"session_uuid":"uuid-\(session)","stack":"xrdp","start":"\(moment(hours.lowerBound))",\
            "end":"\(moment(hours.upperBound))","state":"\(state)","executable":\(program),"class":null,"category":null,"business":null}
            """
        return try #require(JSONValue(Array(text.utf8)))
    }

    /// A day of work in two sessions.
    private static func workday() throws -> DayTimeline {
        var day = try day("2026-05-14", "Europe/Berlin")
        let work: [(ClosedRange<Double>, String, String?)] = [
            (8.1...8.6, "active", "/usr/bin/thunderbird"), (8.6...8.7, "passive", "/usr/bin/thunderbird"),
            (8.7...10.2, "active", "/usr/lib/libreoffice/program/soffice.bin"), (10.2...10.4, "locked", nil),
            (10.4...11, "active", "/usr/lib/firefox-esr/firefox-esr"), (11...11.3, "inactive", "/usr/lib/firefox-esr/firefox-esr"),
            (11.3...12, "active", "/usr/bin/xterm"), (12...12.9, "disconnected", nil), (12.9...13, "unknown", nil),
            (13...15.5, "active", "/opt/<b>&\"'/<b>&\"'\u{1B}\u{202E}"), (15.5...15.6, "paused", nil),
            (15.6...17, "active", "/usr/bin/gimp"),
            (17...17.2, "suspended", nil),
        ]
        for (hours, state, executable) in work { day.add(try row(day, hours, state, executable)) }
        for number in 0..<8 {
            day.add(try row(day, Double(18 + number) / 2...Double(19 + number) / 2, "active", "/bin/x\(number)", session: 2))
        }
        return day
    }

    // MARK: What is drawn

    @Test func daysAreAsLongAsTheyAre() async {
        await #expect(processExitsWith: .success) {
            for (date, hours, first) in [
                ("2026-05-14", 24, [0, 1, 2, 3]), ("2026-03-29", 23, [0, 1, 3, 4]), ("2026-10-25", 25, [0, 1, 2, 2, 3]),
            ] {
                let day = try TimelineTests.day(date, "Europe/Berlin")
                #expect(day.length == Int64(hours) * 3_600_000_000_000)
                #expect(day.hours.map(\.hour).prefix(first.count) == first[...])
                #expect(day.hours.last?.hour == 24 && day.hours.count == hours + 1)
                #expect(day.hours.first?.share == 0 && day.hours.last?.share == 1)
            }
        }
    }

    /// Each cell by itself, from all parts.
    @Test func cellsShowWhatTheyHaveMostOf() async {
        await #expect(processExitsWith: .success) {
            var generator = SystemRandomNumberGenerator()
            for _ in 0..<50 {
                var day = try TimelineTests.day("2026-10-25", "Europe/Berlin")
                var at = Double.random(in: -2...5, using: &generator)
                while at < 26 {
                    let end = at + Double.random(in: 0.01...2, using: &generator)
                    if Bool.random(using: &generator) {
                        day.add(try TimelineTests.row(day, at...end, SummaryTable.categories.randomElement(using: &generator)!, nil))
                    }
                    at = end
                }
                guard let session = day.sessions.first else { continue }
                let count = Int.random(in: 1...200, using: &generator)
                let cells = day.cells(session, count, by: DayTimeline.state)
                #expect(cells.count == count)
                let length = Double(day.length) / Double(count)
                for (index, cell) in cells.enumerated() {
                    let (from, to) = (Double(index) * length, Double(index + 1) * length)
                    var times = [Double](repeating: 0, count: 8)
                    for part in session.parts {
                        let (start, end) = (
                            Double(part.start.nanoseconds - day.start.nanoseconds), Double(part.end.nanoseconds - day.start.nanoseconds)
                        )
                        times[DayTimeline.state(part)!] += max(0, min(to, end) - max(from, start))
                    }
                    let most = times.max() ?? 0
                    // A nanosecond at an edge, or two that have as much, decide nothing.
                    if let cell { #expect(times[cell] > most - 10) } else { #expect(most < 10) }
                }
            }
        }
    }

    @Test func aDayInTheTerminalFitsAndSaysAll() async {
        await #expect(processExitsWith: .success) {
            let day = try TimelineTests.workday()
            for width in [40, 80, 132, 300] {
                let lines = TimelineDrawing(width: width, isUTF8: true, hasColours: false).lines(day, title: "Thu 2026-05-14")
                #expect(lines.allSatisfy { $0.count <= max(width, 42) }, "\(width)")
                let text = lines.joined(separator: "\n")
                #expect(text.contains("alice, session 1 (xrdp), 08:06-17:12") && !text.contains("\u{1B}") && !text.contains("\u{202E}"))
                // Without colours each state has a sign of its own.
                for sign in ["#", "+", "-", "L", "d", "?", "p", "s"] { #expect(lines[4].contains(sign) || width < 300, "\(sign) \(width)") }
                #expect(text.contains("soffice.bin") && text.contains("all others"))
            }
            let coloured = TimelineDrawing(width: 80, isUTF8: true, hasColours: true).lines(day, title: "x").joined()
            #expect(coloured.contains("\u{1B}[38;5;34m\u{2588}") && coloured.contains("\u{1B}[0m"))
            #expect(!TimelineDrawing(width: 80, isUTF8: false, hasColours: true).lines(day, title: "x").joined().contains("\u{2588}"))
            #expect(
                TimelineDrawing(width: 80, isUTF8: true, hasColours: false).lines(try TimelineTests.day("2026-05-14", "UTC"), title: "x")
                    == [])
        }
    }

    /// Gathers what a picture is made of.
    private final class Reader: NSObject, XMLParserDelegate {
        var elements: [(name: String, attributes: [String: String])] = []
        var texts: [String] = []
        func parser(
            _ parser: XMLParser, didStartElement name: String, namespaceURI: String?, qualifiedName: String?,
            attributes: [String: String] = [:]
        ) {
            elements.append((name, attributes))
            texts.append("")
        }
        func parser(_ parser: XMLParser, foundCharacters text: String) {
            texts[texts.count - 1] += text.trimmingCharacters(in: .newlines)
        }
    }

    @Test func aPictureIsXMLWithAllThatItShows() async {
        await #expect(processExitsWith: .success) {
            let day = try TimelineTests.workday()
            let text = TimelineSVG.text(day, title: "Thu 2026-05-14 <&>")
            let (reader, parser) = (TimelineTests.Reader(), XMLParser(data: Data(text.utf8)))
            parser.delegate = reader
            #expect(parser.parse())
            #expect(reader.elements[0].name == "svg" && reader.elements[0].attributes["role"] == "img")
            #expect(reader.texts[1] == "Thu 2026-05-14 <&>" && reader.elements[2].name == "desc" && reader.texts[2].contains("2 sessions"))
            #expect(Set(reader.elements.map(\.name)) == ["svg", "title", "desc", "style", "rect", "text", "g", "line"])
            // What a program is called is text and nothing else.
            #expect(reader.texts.contains { $0.hasSuffix(" <b>&\"'\u{FFFD}\u{FFFD}") || $0.contains("<b>&\"'") })
            #expect(!text.contains("<b>") && !text.contains("\u{1B}") && !text.contains("\u{202E}"))
            #expect(reader.texts.contains("08:06\u{2013}08:36 Active") && reader.texts.contains("12:00\u{2013}12:54 Disconnected"))
            // All bars are within the picture.
            for (name, attributes) in reader.elements where name == "rect" {
                let (x, width) = (Double(attributes["x"] ?? "0") ?? -1, Double(attributes["width"] ?? "") ?? -1)
                #expect(x >= 0 && width > 0 && x + width <= 960)
            }
            #expect(TimelineSVG.text(try TimelineTests.day("2026-05-14", "UTC"), title: "x").contains("Nothing is recorded."))
        }
    }

    @Test func zonesAreThoseOfTheSystem() {
        #expect(TimeZoneName.exists("Europe/Berlin") && TimeZoneName.exists("UTC"))
        for name in ["", "Europe", "Europe/Nowhere", "../../etc/passwd", "/etc/localtime", "zone.tab", ":UTC", "Europe/Berlin\n"] {
            #expect(!TimeZoneName.exists(name), "\(name)")
        }
    }
}
