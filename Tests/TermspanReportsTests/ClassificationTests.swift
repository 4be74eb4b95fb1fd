import Foundation
import GRDB
import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem
import Testing

@testable import TermspanReports

@Suite struct ClassificationTests {
    private typealias F = ReportsFixture
    private static let anna = UserIdentity(login: "anna", uid: 1001)
    private static let ben = UserIdentity(login: "ben", uid: 1002)

    private static let rules = """
        group=staff executable=game category=Training business=yes
        executable=game category=Games business=no productivity=unproductive
        executable=/usr/bin/secret category=Secret ignored=yes
        description="*writer*" category=Writing business=yes
        """

    /// Each user works ten seconds with each program.
    private static func fixture() throws -> ReportsFixture {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        for (number, user) in [(UInt64(1), anna), (2, ben)] {
            let session = F.session(number, user.login, user.uid)
            batch.sessions.append(session)
            for (index, name) in ["/usr/bin/xclock", "/usr/games/game", "/usr/bin/secret", "/usr/bin/edit"].enumerated() {
                let start = Double(10 + 10 * index)
                batch.focus.append(
                    FocusRecord(
                        session: session.uuid, span: F.span(start, start + 10),
                        application: Application(executable: name, windowClass: index == 3 ? "MyWriter" : "Class")))
            }
        }
        try fixture.writer.write(batch)
        return fixture
    }

    private static func question(own: UserIdentity? = nil, members: [String: Set<UserIdentity>] = ["staff": []]) -> Question {
        var question = Question(.spans)
        question.classification = ClassificationPolicy(rules: rules, members: members)
        question.own = own
        return question
    }

    /// What is shown of a user: of each row the program and how it counts.
    private static func rows(_ fixture: ReportsFixture, _ question: Question, of user: UserIdentity) throws -> [String] {
        try fixture.lines(question).filter { $0["user"] as? String == user.login }.map { row in
            let parts = ["executable", "category", "productivity"].map { row[$0] as? String ?? "-" }
            return (parts + [(row["business"] as? Bool).map { "\($0)" } ?? "-"]).joined(separator: " ")
        }
    }

    private static let withheld = ["/usr/bin/xclock - - -", "- other - false", "/usr/bin/edit - - -"]
    private static let whole = [
        "/usr/bin/xclock - - -", "/usr/games/game Games unproductive false", "/usr/bin/secret Secret undefined -", "/usr/bin/edit - - -",
    ]

    @Test func whatIsNotBusinessIsOtherToOthers() throws {
        let fixture = try Self.fixture()
        let lines = try fixture.lines(Self.question())
        // The time shows, and not where.
        let other = try #require(lines.first { $0["category"] as? String == "other" })
        #expect(other["duration"] as? Int == 10 && other["class"] as? String == "other" && other["executable"] is NSNull)
        #expect(try Self.rows(fixture, Self.question(), of: Self.ben) == Self.withheld)
        #expect(try !fixture.text(Self.question()).contains("game") && !fixture.text(Self.question()).contains("secret"))
    }

    @Test func whoAsksSeesAllOfTheOwn() throws {
        let fixture = try Self.fixture()
        let question = Self.question(own: Self.anna)
        #expect(try Self.rows(fixture, question, of: Self.anna) == Self.whole)
        #expect(try Self.rows(fixture, question, of: Self.ben) == Self.withheld)
        // Whoever has the login after somebody else is another.
        let later = Self.question(own: UserIdentity(login: "anna", uid: 2001))
        #expect(try Self.rows(fixture, later, of: Self.anna) == Self.withheld)
    }

    @Test func detailsAreAskedForByARightOfTheirOwn() throws {
        let fixture = try Self.fixture()
        var question = Self.question()
        #expect(question.right == .viewOthers && question.audited == .spans)
        question.details = true
        #expect(question.right == .viewDetails && question.audited == .details)
        #expect(try Self.rows(fixture, question, of: Self.ben) == Self.whole)
    }

    /// Neither a filter nor any other answer tells what is withheld.
    @Test func noAnswerTellsWhatIsWithheld() throws {
        let fixture = try Self.fixture()
        var question = Self.question()
        question.choice.executable = "game"
        #expect(try fixture.lines(question).isEmpty)
        question.details = true
        #expect(try fixture.lines(question).count == 2)
        for kind in [Question.Kind.spans, .timeline, .report, .export] {
            for format in kind == .export ? ExportRequest.Format.allCases : [.jsonl] {
                var question = Self.question()
                question.kind = kind
                question.export = ExportRequest(format: format, calendar: .system)
                question.report.by = ReportShape.By(.users, isByApplication: true)
                let text = try fixture.text(question)
                #expect(text.contains("xclock") && !text.contains("game") && !text.contains("secret"), "\(kind) \(format)")
                question.details = true
                #expect(try fixture.text(question).contains("game"))
            }
        }
        // No time is missing from a day.
        var day = Self.question()
        day.kind = .timeline
        let lines = try fixture.lines(day).filter { $0["user"] as? String == "ben" }
        #expect(lines.map { $0["class"] as? String } == ["Class", "other", nil, "MyWriter"])
        #expect(lines.allSatisfy { $0["state"] as? String == "inactive" })
    }

    private static func export(_ fixture: ReportsFixture, _ question: Question, _ format: ExportRequest.Format) throws -> [String] {
        var question = question
        question.kind = .export
        question.export = ExportRequest(format: format, calendar: .system)
        return try fixture.text(question).utf8.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
            .filter { !$0.hasPrefix("{\"cursor\":") }
    }

    /// Rows of exports have what rows of activities have, in each format, for whoever asks.
    @Test func exportsTellWhatActivitiesCountAs() throws {
        let fixture = try Self.fixture()
        func columns(_ row: [String: Any]) -> [String] {
            ["start", "class", "category", "productivity"].map { row[$0] as? String ?? "" }
                + [(row["business"] as? Bool).map { "\($0)" } ?? ""]
        }
        for own in [nil, Self.anna] {
            let question = Self.question(own: own, members: ["staff": [Self.ben]])
            let expected = try fixture.lines(question).map(columns)
            #expect(expected.count == (own == nil ? 6 : 7))
            #expect(Set(expected.map { $0[2] }).isSuperset(of: ["", "Training"]))
            func objects(_ format: ExportRequest.Format) throws -> [[String: Any]] {
                try Self.export(fixture, question, format).map {
                    try #require(JSONSerialization.jsonObject(with: Data($0.utf8)) as? [String: Any])
                }
            }
            #expect(try objects(.jsonl).map(columns) == expected)
            let csv = try Self.export(fixture, question, .csv).map { $0.dropLast().split(separator: ",", omittingEmptySubsequences: false) }
            #expect(csv.first?.suffix(3) == ["category", "productivity", "business"] && csv.allSatisfy { $0.count == 19 })
            #expect(csv.dropFirst().map { row in [6, 11, 16, 17, 18].map { String(row[$0]) } } == expected)
            let tables = try objects(.tables)
            #expect(tables.filter { $0["table"] as? String == "events" }.map(columns) == expected)
            let days = tables.filter { $0["table"] as? String == "daily_application_summary" }
            #expect(Set(days.map { columns($0)[2...] }) == Set(expected.map { $0[2...] }))
            let path = fixture.folder.appending(path: "\(own?.login ?? "all").db").path
            let database = try ExportDatabase(path: path)
            for line in try Self.export(fixture, question, .tables) { try database.add(Data(line.utf8)) }
            _ = try database.finish()
            #expect(Set(expected.map { $0[4] }) == ["", "true", "false"])
            try DatabaseQueue(path: path).read { db in
                let business = "CASE business WHEN 1 THEN 'true' WHEN 0 THEN 'false' ELSE business END"
                let events = try Row.fetchAll(db, sql: "SELECT start, class, category, productivity, \(business) FROM events ORDER BY id")
                #expect(events.map { row in row.databaseValues.map { String.fromDatabaseValue($0) ?? "" } } == expected)
                let days = try Row.fetchAll(db, sql: "SELECT category, productivity, \(business) FROM daily_application_summary")
                #expect(
                    Set(days.map { row in row.databaseValues.map { String.fromDatabaseValue($0) ?? "" }[...] })
                        == Set(expected.map { $0[2...] }))
            }
        }
    }

    /// A window whose class is 'other' counts as what it is, beside what is withheld and looks the same.
    @Test func aWindowThatIsCalledOtherIsNotWhatIsWithheld() throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        let applications = [
            Application(executable: "/usr/games/game", windowClass: "Class"), Application(executable: nil, windowClass: "other"),
        ]
        for index in 0..<4 {
            let start = Double(10 + 10 * index)
            batch.focus.append(
                FocusRecord(session: F.uuid(1), span: F.span(start, start + 10), application: applications[index % 2]))
        }
        try fixture.writer.write(batch)
        let ends = try Self.export(fixture, Self.question(), .csv).dropFirst().map { $0.dropLast().split(separator: ",").last }
        #expect(ends == ["false", "0", "false", "0"])
        for isOwnTime in [false, true] {
            let rows = try fixture.lines(
                ReportTests.question("business") {
                    $0.classification = Self.question().classification
                    $0.report.isOwnTime = isOwnTime
                })
            func seconds(_ isBusiness: Bool?) -> Double {
                let row = rows.first { $0["business"] as? Bool == isBusiness }
                return Category.allCases.map { ReportTests.number(row?[$0.name]) }.reduce(0, +)
            }
            #expect(seconds(false) == 20, "\(rows)")
            #expect(rows.count >= 2)
        }
    }

    @Test func rulesForGroupsComeFirst() throws {
        let fixture = try Self.fixture()
        let question = Self.question(members: ["staff": [Self.ben]])
        #expect(try Self.rows(fixture, question, of: Self.ben)[1] == "/usr/games/game Training undefined true")
        #expect(try Self.rows(fixture, question, of: Self.anna) == Self.withheld)
        // Of whom nobody can say what groups they are in, nothing is shown that may not be.
        let unknown = Self.question(members: [:])
        #expect(try Self.rows(fixture, unknown, of: Self.ben) == Self.withheld)
    }

    /// Rules are applied when it is asked: to what was recorded before as well. Those of the package come last.
    @Test func otherRulesReachThePast() throws {
        let fixture = try Self.fixture()
        var question = Self.question(own: Self.anna)
        question.classification = ClassificationPolicy(rules: "executable=edit category=Mine")
        let shipped = fixture.folder.appending(path: "shipped.rules").path
        try "executable=edit category=Theirs\nexecutable=xclock category=Desktop\n".write(
            toFile: shipped, atomically: true, encoding: .utf8)
        let categories = try fixture.lines(question, shippedRules: shipped).prefix(4).map { $0["category"] as? String }
        #expect(categories == ["Desktop", nil, nil, "Mine"])
        // Without the collector those of the store hold.
        _ = try fixture.writer.setClassification(Self.rules, rules: 4, by: "root", reason: "", at: F.anchor.wall)
        question.classification = nil
        question.own = nil
        #expect(try Self.rows(fixture, question, of: Self.anna) == Self.withheld)
        // Wrong rules end the answer, since they could show what they should not.
        question.classification = ClassificationPolicy(rules: "executable=edit")
        #expect(throws: ReportError.self) { try fixture.lines(question) }
    }

    /// Rows of a report: by what, and its seconds.
    private static func report(
        _ fixture: ReportsFixture, _ by: String, own: UserIdentity? = nil, _ change: (inout Question) -> Void = { _ in }
    ) throws -> Set<String> {
        var question = question(own: own)
        question.kind = .report
        question.report.by = try #require(ReportShape.By(by))
        change(&question)
        let rows = try fixture.lines(question).map { row in
            let business = (row["business"] as? Bool).map { "\($0)" } ?? "-"
            let application = row["executable"] as? String ?? row["class"] as? String ?? "-"
            let parts =
                [application] + ["category", "productivity"].map { row[$0] as? String ?? "-" } + [business, "\(row["total"] ?? "")"]
            return parts.joined(separator: " ")
        }
        #expect(Set(rows).count == rows.count, "\(by): \(rows)")
        return Set(rows)
    }

    @Test func reportsAreByHowItIsClassified() throws {
        let fixture = try Self.fixture()
        // Others' games are other, and what is ignored is time without an application, as is that before the first one. Sessions end with it.
        #expect(try Self.report(fixture, "category") == ["- other - - 20", "- - - - 60"])
        #expect(try Self.report(fixture, "business") == ["- - - false 20", "- - - - 60"])
        #expect(try Self.report(fixture, "productivity") == ["- - undefined - 40", "- - - - 40"])
        let whole = try Self.report(fixture, "category,productivity,business") { $0.details = true }
        #expect(whole == ["- Games unproductive false 20", "- Secret undefined - 20", "- - undefined - 40"])
        #expect(
            try Self.report(fixture, "category", own: Self.ben) == ["- other - - 10", "- Games - - 10", "- Secret - - 10", "- - - - 50"])
        // One application counts as another thing of another user.
        let members = try Self.report(fixture, "application,category") {
            $0.details = true
            $0.classification?.members = ["staff": [Self.ben]]
        }
        #expect(members.isSuperset(of: ["/usr/games/game Training - - 10", "/usr/games/game Games - - 10"]))
        // All of it adds up, whatever it is by, and users' own time too.
        for by in ["category", "application,productivity", "business,day"] {
            for isOwnTime in [false, true] {
                let rows = try Self.report(fixture, by) { $0.report.isOwnTime = isOwnTime }
                #expect(rows.compactMap { $0.split(separator: " ").last.flatMap { Int($0) } }.reduce(0, +) == 80, "\(by)")
            }
        }
    }

    @Test func reportsAndListsChooseByHowItIsClassified() throws {
        let fixture = try Self.fixture()
        let games: (inout Question) -> Void = { $0.choice.classified = "gaMES" }
        #expect(try Self.report(fixture, "user", games).isEmpty)
        #expect(try Self.report(fixture, "application") { $0.choice.classified = "other" } == ["other - - - 20"])
        #expect(try Self.report(fixture, "application", own: Self.anna, games) == ["/usr/games/game - - - 10"])
        let described = try Self.report(fixture, "application,category") {
            $0.details = true
            $0.choice.description = "GAM"
        }
        #expect(described == ["/usr/games/game Games - - 20"])
        for kind in [Question.Kind.spans, .export] {
            for format in kind == .export ? ExportRequest.Format.allCases : [.jsonl] {
                var question = Self.question()
                question.kind = kind
                question.export = ExportRequest(format: format, calendar: .system)
                question.choice.languages = []
                question.choice.classified = "games"
                #expect(try !fixture.text(question).contains("xclock") && !fixture.text(question).contains("other"), "\(kind) \(format)")
                question.details = true
                let text = try fixture.text(question)
                #expect(text.contains("game") && !text.contains("xclock"), "\(kind) \(format)")
            }
        }
    }

    /// Of what is wrong it is said what, and nothing is told.
    @MainActor @Test func wrongFiltersOfReportsAreNamed() throws {
        #expect(try Request(["classified": .string("Office"), "description": .string("wri")], .report).choice.classified == "Office")
        #expect(try Request(["by": .string("category,week"), "zone": .string("Asia/Kathmandu")], .report).report.by.isByCategory)
        let wrong: [([String: BusValue], Question.Kind, String)] = [
            (["zone": .string("Mars/Base")], .report, "'Mars/Base'"), (["zone": .string("../UTC")], .export, "'../UTC'"),
            (["classified": .string("")], .report, "'classified'"), (["classified": .uint32(1)], .spans, "'classified'"),
            (["classified": .string("Office")], .sessions, "'classified'"), (["by": .string("category,category")], .report, "'by'"),
            (["details": .uint32(1)], .report, "'details'"),
        ]
        for (filter, kind, place) in wrong {
            let error = #expect(throws: BusError.self) { try Request(filter, kind) }
            #expect(error?.message.contains(place) == true, "\(place)")
        }
        // A cursor is of one choice.
        func digest(_ filter: [String: BusValue]) throws -> UInt32? { try Request(filter, .export).export(calendar: .system)?.selection }
        let plain = try digest([:])
        #expect(try plain == digest([:]) && plain != digest(["details": .bool(true)]) && plain != digest(["classified": .string("x")]))
    }

    @MainActor @Test func aFilterCanAskForDetailsOfSpansAlone() throws {
        #expect(try Request(["details": .bool(true)], .spans).details)
        #expect(throws: BusError.self) { try Request(["details": .bool(true)], .sessions) }
        #expect(try Request(["details": .bool(true)], .report).details)
        #expect(throws: BusError.self) { try Request(["details": .bool(true), "pseudonyms": .string("2026-10")], .spans) }
    }
}
