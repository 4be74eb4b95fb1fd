import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore
import TermspanSystem
import Testing

@testable import TermspanReports

@Suite struct ExportTests {
    typealias F = ReportsFixture

    private static let utc = LocalCalendar { _ in 0 }

    private static func question(
        _ format: ExportRequest.Format, after: ExportCursor? = nil, calendar: LocalCalendar = utc,
        _ change: (inout Question) -> Void = { _ in }
    ) -> Question {
        var question = Question(.export)
        question.choice.languages = []
        question.export = ExportRequest(format: format, after: after, selection: 7, calendar: calendar)
        change(&question)
        return question
    }

    /// An export's rows, and the cursors between them with how many rows came before.
    private struct Export {
        var rows: [String] = []
        var cursors: [(cursor: ExportCursor, rows: Int)] = []
        var isComplete = false
        var error: String?
    }

    private static func export(_ fixture: F, _ question: Question, page: Int = 2000) throws -> Export {
        var export = Export()
        do {
            for line in try fixture.text(question, page: page).split(separator: "\n") {
                guard line.hasPrefix("{\"cursor\":") else {
                    export.rows.append(String(line))
                    continue
                }
                let mark = try #require(JSONSerialization.jsonObject(with: Data(line.utf8)) as? [String: Any])
                #expect(mark["rows"] as? Int == export.rows.count)
                export.isComplete = mark["complete"] as? Bool == true
                if let text = mark["cursor"] as? String { export.cursors.append((try #require(ExportCursor(text)), export.rows.count)) }
            }
        } catch let error as ReportError {
            export.error = error.reason
        }
        return export
    }

    private static func filled() throws -> F {
        let fixture = try F()
        var batch = StoreBatch()
        batch.sessions = [F.session(3), F.session(4, "ben", 1002, start: 400)]
        batch.focus = [
            FocusRecord(
                session: F.uuid(3), span: F.span(10, 700), application: Application(executable: "/opt/\"ed,it\"", windowClass: "=Ed\r\nit")),
            FocusRecord(session: F.uuid(3), span: F.span(700, 700.5), application: nil),
            FocusRecord(session: F.uuid(4), span: F.span(400, 500), application: Application(executable: "/opt/tool", windowClass: nil)),
        ]
        batch.bursts = [BurstRecord(session: F.uuid(3), burst: InputBurst(start: F.at(20), end: F.at(30.5), origin: .device))]
        batch.seen = F.at(800)
        try fixture.writer.write(batch)
        return fixture
    }

    @Test func rowsAreAsDocumented() throws {
        let fixture = try Self.filled()
        let name = Computer.present(nil).name
        let lines = try Self.export(fixture, Self.question(.jsonl))
        #expect(
            lines.rows == [
                """
                {"user":"anna","uid":1001,"session":3,"session_uuid":"\(F.uuid(3))","computer":"\(name)","imported":false,"start":"2026-01-02T03:04:15.000000Z",\
                "end":"2026-01-02T03:15:45.000000Z","duration":690,"description":"\\"ed,it\\"","executable":"/opt/\\"ed,it\\"",\
                "class":"=Ed\\u000d\\u000ait","active":130.5,"passive":300,"inactive":259.5,"switches":0,\
                "category":null,"productivity":null,"business":null}
                """,
                """
                {"user":"anna","uid":1001,"session":3,"session_uuid":"\(F.uuid(3))","computer":"\(name)","imported":false,"start":"2026-01-02T03:15:45.000000Z",\
                "end":"2026-01-02T03:15:45.500000Z","duration":0.5,"description":null,"executable":null,"class":null,"active":0,"passive":0,\
                "inactive":0.5,"switches":0,"category":null,"productivity":null,"business":null}
                """,
                """
                {"user":"ben","uid":1002,"session":4,"session_uuid":"\(F.uuid(4))","computer":"\(name)","imported":false,"start":"2026-01-02T03:10:45.000000Z",\
                "end":"2026-01-02T03:12:25.000000Z","duration":100,"description":"tool","executable":"/opt/tool","class":null,"active":0,\
                "passive":0,"inactive":100,"switches":0,"category":null,"productivity":null,"business":null}
                """,
            ])
        #expect(lines.isComplete)
        let csv = try fixture.text(Self.question(.csv)).split(separator: "\r\n")
        #expect(csv[0] == Answer.exportKeys.joined(separator: ",")[...])
        let expected =
            "anna,1001,3,\(F.uuid(3)),\(name),false,2026-01-02T03:04:15.000000Z,2026-01-02T03:15:45.000000Z,690,"
            + #""""ed,it""","/opt/""ed,it""",'=Ed  it,130.5,300,259.5,0,,,"#
        #expect(csv[1] == expected[...])
        // After a cursor there is no header.
        let end = try #require(lines.cursors.last?.cursor)
        #expect(try Self.export(fixture, Self.question(.csv, after: end)).rows.isEmpty)
    }

    /// However the rows come into the store, and wherever an export breaks off: each is told exactly once.
    @Test(arguments: 0..<8) func everyRowIsToldOnce(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let fixture = try F()
        let sessions = (UInt64(1)...4).map { F.session($0, $0 == 2 ? "ben" : "anna", $0 == 2 ? 1002 : 1001, start: Double($0)) }
        var next = sessions.map { $0.start.nanoseconds }
        var told: [String] = []
        var cursor: ExportCursor?
        for round in 0..<8 {
            var batch = StoreBatch()
            if round == 0 { batch.sessions = Array(sessions.prefix(3)) }
            if round == 3 { batch.sessions = [sessions[3]] }
            for index in sessions.indices where round >= 3 || index < 3 {
                for _ in 0..<Int.random(in: 0..<9, using: &random) {
                    let end = next[index] + UInt64.random(in: 1...50_000_000_000, using: &random)
                    let span = TimeSpan(start: BootInstant(nanoseconds: next[index]), end: BootInstant(nanoseconds: end))
                    batch.focus.append(
                        FocusRecord(
                            session: sessions[index].uuid, span: span, application: Application(executable: "/bin/a", windowClass: nil)))
                    next[index] = end
                }
            }
            batch.seen = BootInstant(nanoseconds: next.max() ?? 0)
            try fixture.writer.write(batch)
            let page = Int.random(in: 1...5, using: &random)
            let export = try Self.export(fixture, Self.question(.jsonl, after: cursor), page: page)
            #expect(export.isComplete)
            if let broken = export.cursors.dropLast().randomElement(using: &random), Bool.random(using: &random) {
                // It broke off here; more is written; the next goes on.
                told += export.rows[..<broken.rows]
                cursor = broken.cursor
            } else {
                told += export.rows
                cursor = export.cursors.last?.cursor
            }
        }
        for _ in 0..<2 {
            let rest = try Self.export(fixture, Self.question(.jsonl, after: cursor))
            told += rest.rows
            cursor = rest.cursors.last?.cursor
        }
        let all = try Self.export(fixture, Self.question(.jsonl)).rows
        #expect(!all.isEmpty && told.sorted() == all.sorted())
        #expect(try all.count == fixture.lines(Question(.spans)).count)
    }

    /// What retention has taken away is not told, and moves nothing.
    @Test func aCursorHoldsOverRetention() throws {
        let fixture = try Self.filled()
        let first = try Self.export(fixture, Self.question(.jsonl), page: 1)
        let cursor = try #require(first.cursors.first?.cursor)
        #expect(cursor.position != nil)
        let database = try DatabaseQueue(path: fixture.path)
        try database.write { try $0.execute(sql: "DELETE FROM focus_interval WHERE start < 500000000000") }
        let rest = try Self.export(fixture, Self.question(.jsonl, after: cursor))
        #expect(rest.isComplete && rest.rows.allSatisfy { $0.contains("\"duration\":0.5") })
    }

    @Test func cursorsOfSomethingElseAreRefused() throws {
        let fixture = try Self.filled()
        let end = try #require(try Self.export(fixture, Self.question(.jsonl)).cursors.last?.cursor)
        let text = end.description
        #expect(ExportCursor(text) == end)
        for place in text.indices {
            var damaged = text
            damaged.replaceSubrange(place...place, with: text[place] == "1" ? "2" : "1")
            #expect(ExportCursor(damaged) == nil, "\(damaged)")
        }
        #expect(ExportCursor("") == nil && ExportCursor(String(text.dropLast())) == nil && ExportCursor(text + "0") == nil)
        var other = end
        other.store = F.uuid(99)
        #expect(try Self.export(fixture, Self.question(.jsonl, after: other)).error?.contains("another store") == true)
        other = end
        other.selection = 8
        #expect(try Self.export(fixture, Self.question(.jsonl, after: other)).error?.contains("something else") == true)
        other = end
        other.told += 5
        other.last += 5
        #expect(try Self.export(fixture, Self.question(.jsonl, after: other)).error?.contains("older copy") == true)
    }

    @Test func activitiesAreChosen() throws {
        let fixture = try Self.filled()
        let own = try #require(OwnGroup(name: "sales"))
        _ = try fixture.writer.set(
            [UserIdentity(login: "ben", uid: 1002)], in: own, member: true, by: "root", reason: "", at: F.wall(0))
        func count(_ change: (inout ActivityChoice) -> Void) throws -> Int {
            var choice = ActivityChoice()
            choice.languages = []
            change(&choice)
            var spans = Question(.spans)
            spans.choice = choice
            let exported = try Self.export(fixture, Self.question(.jsonl) { $0.choice = choice }).rows.count
            #expect(try fixture.lines(spans).count == exported)
            return exported
        }
        #expect(try count { _ in } == 3)
        #expect(try count { $0.group = "own:sales" } == 1)
        #expect(try count { $0.group = "root" } == 0)
        #expect(throws: ReportError.self) { _ = try fixture.text(Self.question(.jsonl) { $0.choice.group = "own:none" }) }
        #expect(throws: ReportError.self) { _ = try fixture.text(Self.question(.jsonl) { $0.choice.group = "no such group" }) }
        let computer = Computer.present(try StoreReader(path: fixture.path, keys: fixture.keys))
        #expect(try count { $0.computer = computer.name.uppercased() } == 3 && count { $0.computer = computer.uuid } == 3)
        #expect(try count { $0.computer = "elsewhere" } == 0)
        #expect(
            try count { $0.executable = "tool" } == 1 && count { $0.executable = "/opt/*" } == 2 && count { $0.executable = "opt" } == 0)
        #expect(try count { $0.description = "TOO" } == 1 && count { $0.description = "writer" } == 0)
        #expect(try count { $0.category = .active } == 1 && count { $0.category = .inactive } == 3)
    }

    /// Rows that are left out would be missing for ever, since the next export goes on after them.
    @Test func whoIsInAGroupOfASilentDirectoryIsNotGuessed() throws {
        let fixture = try Self.filled()
        let question = Self.question(.jsonl) { $0.choice.group = "root" }
        #expect(throws: ReportError.self) {
            _ = try fixture.text(question) { _, _ in
                sleep(8)
                return AccountFacts()
            }
        }
        #expect(try fixture.text(question) { _, groups in AccountFacts(groups: Set(groups.keys)) }.contains("anna"))
    }

    /// By pseudonyms the folder of a program, which can say whose it is, is no more chosen by than told.
    @Test func byPseudonymsNobodyIsFoundByAFolder() {
        let program = Application(executable: "/srv/payroll/tool", windowClass: nil)
        for (pattern, isFound) in [("/srv/payroll/*", false), ("/srv/payroll/tool", false), ("tool", true)] {
            let shown = ActivityClasses.Shown(application: program)
            var choice = ActivityChoice()
            choice.executable = pattern
            #expect(ActivityChooser(choice, reader: nil, hidesFolders: true).includes(shown) == isFound)
            #expect(ActivityChooser(choice, reader: nil).includes(shown))
        }
    }

    @Test func whatNamesTermspansOwnGroupsIsForWhoSeesThePolicy() throws {
        #expect(!Question(.spans).namesOwnGroups)
        var question = Question(.report)
        #expect(!question.namesOwnGroups)
        question.report.by = try #require(ReportShape.By("group,day"))
        #expect(question.namesOwnGroups)
        question.report.groups = ["staff"]
        #expect(!question.namesOwnGroups)
        question.report.groups = ["staff", "own:sales"]
        #expect(question.namesOwnGroups)
        question = Question(.spans)
        question.choice.group = "own:sales"
        #expect(question.namesOwnGroups)
    }

    /// The database's sums are the accounting's, day by day, and all events are in it.
    @Test(arguments: [0, 3600, -34_200]) func tablesAddUp(offset: Int) throws {
        var random = SeededRandom(seed: UInt64(bitPattern: Int64(offset)))
        let fixture = try F()
        for number in UInt64(1)...3 {
            let session = F.session(number, number == 2 ? "ben" : "anna", number == 2 ? 1002 : 1001, start: Double(number) * 100)
            var half = F.random(session, until: 200_000, durable: 200_000, &random)
            half.batch.seen = F.at(200_000)
            try fixture.writer.write(half.batch)
        }
        let calendar = LocalCalendar { _ in offset }
        let database = try ExportDatabase(path: fixture.folder.appending(path: "export.db").path)
        for line in try fixture.text(Self.question(.tables, calendar: calendar)).split(separator: "\n") {
            try database.add(Data(line.utf8))
        }
        let rows = try database.finish()
        let queue = try DatabaseQueue(path: fixture.folder.appending(path: "export.db").path)
        try queue.read { db in
            func number(_ sql: String) throws -> Double { try Double.fetchOne(db, sql: sql) ?? .nan }
            #expect(
                try UInt64(
                    number(
                        "SELECT (SELECT count(*) FROM events) + (SELECT count(*) FROM users) + (SELECT count(*) FROM computers)"
                            + " + (SELECT count(*) FROM user_identifiers) + (SELECT count(*) FROM daily_user_summary)"
                            + " + (SELECT count(*) FROM daily_application_summary)")) == rows)
            #expect(try number("SELECT count(*) FROM users") == 2 && number("SELECT count(*) FROM user_identifiers") == 4)
            #expect(try number("SELECT count(DISTINCT day) FROM daily_user_summary") > 1)
            let users = try fixture.lines(Question(.userTimes))
            for key in ["total", "active", "passive", "inactive", "unknown", "locked", "suspended", "paused", "disconnected"] {
                let expected = users.map { AnswerTests.number($0[key]) }.reduce(0, +)
                #expect(try abs(number("SELECT sum(\(key)) FROM daily_user_summary") - expected) < 1e-3, "\(key)")
            }
            // What is in front is the applications'.
            for key in ["active", "duration"] {
                let events = try number("SELECT sum(\(key)) FROM events WHERE class IS NOT NULL OR executable IS NOT NULL")
                #expect(try abs(number("SELECT sum(\(key)) FROM daily_application_summary") - events) < 1e-3, "\(key)")
            }
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM pragma_foreign_key_check") == 0)
            for (table, columns) in ExportDatabase.columns {
                #expect(try db.columns(in: table).map(\.name) == columns)
            }
        }
        // Under other thresholds the past is another.
        let strict = try fixture.lines(Self.question(.tables) { $0.thresholds = Thresholds(idle: .seconds(1), passiveLimit: .zero) })
        let active = strict.filter { $0["table"] as? String == "daily_user_summary" }.map { AnswerTests.number($0["active"]) }.reduce(0, +)
        #expect(try active < fixture.lines(Question(.userTimes)).map { AnswerTests.number($0["active"]) }.reduce(0, +))
    }

    @Test func halfATableIsNoDatabase() throws {
        let fixture = try Self.filled()
        let lines = try fixture.text(Self.question(.tables)).split(separator: "\n").map { Data($0.utf8) }
        func make(_ lines: [Data]) throws -> UInt64 {
            let path = fixture.folder.appending(path: UUID().uuidString).path
            let database = try ExportDatabase(path: path)
            for line in lines { try database.add(line) }
            return try database.finish()
        }
        #expect(try make(lines) == UInt64(lines.count - 1))
        #expect(throws: StoreError.self) { _ = try make(Array(lines.dropLast())) }
        #expect(throws: StoreError.self) { _ = try make([lines[0]] + lines[2...]) }
        #expect(throws: StoreError.self) { _ = try make([Data(#"{"error":"the store is gone"}"#.utf8)]) }
        #expect(throws: StoreError.self) { _ = try make([Data(#"{"table":"store"}"#.utf8)]) }
        #expect(throws: StoreError.self) { _ = try make([Data("x".utf8)]) }
    }

    @Test func activityWatchesDocument() throws {
        let fixture = try Self.filled()
        var lines = try fixture.text(Self.question(.activitywatch) { $0.filter.login = "anna" }).split(separator: "\n")
        let mark = lines.removeLast()
        #expect(mark == #"{"cursor":null,"rows":4,"complete":true}"#)
        let document = try #require(
            JSONSerialization.jsonObject(with: Data(lines.joined(separator: "\n").utf8)) as? [String: [String: [String: Any]]])
        let buckets = try #require(document["buckets"])
        let name = Computer.present(nil).name
        #expect(Set(buckets.keys) == ["aw-watcher-window_\(name)", "aw-watcher-afk_\(name)"])
        let windows = try #require(buckets["aw-watcher-window_\(name)"])
        #expect(windows["id"] as? String == "aw-watcher-window_\(name)" && windows["type"] as? String == "currentwindow")
        let events = try #require(windows["events"] as? [[String: Any]])
        #expect(events.count == 1 && events[0]["timestamp"] as? String == "2026-01-02T03:04:15.000000Z")
        #expect(AnswerTests.number(events[0]["duration"]) == 690)
        #expect(events[0]["data"] as? [String: String] == ["app": "\"ed,it\"", "title": "\"ed,it\""])
        let presence = try #require(buckets["aw-watcher-afk_\(name)"]?["events"] as? [[String: Any]])
        #expect(presence.map { ($0["data"] as? [String: String])?["status"] } == ["afk", "not-afk", "afk"])
        #expect(presence.map { AnswerTests.number($0["duration"]) } == [10, 10.5, 769.5])
        // Several users have buckets of their own.
        let both = try fixture.text(Self.question(.activitywatch))
        for user in ["anna", "ben"] { #expect(both.contains("\"aw-watcher-window_\(name)-\(user)\"")) }
    }

    /// What `Tests/activitywatch` has ActivityWatch's own code read: written where it says.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["TERMSPAN_ACTIVITYWATCH_DOCUMENT"] != nil))
    func aDocumentForActivityWatch() throws {
        let path = try #require(ProcessInfo.processInfo.environment["TERMSPAN_ACTIVITYWATCH_DOCUMENT"])
        var random = SeededRandom(seed: 5)
        let fixture = try F()
        for number in UInt64(1)...3 {
            let session = F.session(number, number == 2 ? "ben" : "anna", number == 2 ? 1002 : 1001)
            try fixture.writer.write(F.random(session, until: 50_000, durable: 50_000, &random).batch)
        }
        let lines = try fixture.text(Self.question(.activitywatch)).split(separator: "\n").filter { !$0.hasPrefix("{\"cursor\":") }
        try lines.joined(separator: "\n").write(toFile: path, atomically: false, encoding: .utf8)
    }

    @Test func namedZonesAreKnown() {
        #expect(LocalCalendar.zone(named: "No/Where") == nil && LocalCalendar.zone(named: "../etc/passwd") == nil)
        let vienna = LocalCalendar.zone(named: "Europe/Vienna")
        let day = CalendarDay("2026-03-29")
        // The day on which the clock is set forward has 23 hours.
        let length = day.flatMap { day in vienna.map { $0.moment(day, 0).duration(to: $0.moment(day.advanced(by: 1), 0)) } }
        #expect(length == .seconds(23 * 3600))
    }
}
