import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCommands
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

@Suite struct ImportTests {
    typealias F = ReportsFixture

    static let anna = UserIdentity(login: "anna", uid: 1001)
    static let ben = UserIdentity(login: "ben", uid: 1002)
    static let people = ["anna": anna, "ben": ben]

    enum Format: String, CaseIterable { case jsonl, csv, activitywatch }

    /// What the command makes of a file.
    static func records(_ text: String, _ format: Format, user: String? = nil) throws(CommandError) -> [ImportRecord] {
        var bytes: [UInt8] = []
        var source = ImportSource(text)
        var writer = ImportWriter { part throws(CommandError) in bytes += part }
        switch format {
        case .jsonl:
            var rows = ImportRows(.jsonl, user: user)
            try rows.read(&source, &writer)
        case .csv:
            var rows = ImportRows(.csv, user: user)
            try rows.read(&source, &writer)
        case .activitywatch:
            var buckets = ImportActivityWatch(user: user ?? "anna")
            try buckets.read(&source, &writer)
        }
        try writer.finish(source)
        var reader = ImportReader()
        var records: [ImportRecord] = []
        do {
            // In pieces, as it comes.
            for start in stride(from: 0, to: bytes.count, by: 7) {
                reader.append(bytes[start..<min(start + 7, bytes.count)])
                while let record = try reader.next() { records.append(record) }
            }
            try reader.finish()
        } catch {
            Issue.record(error)
        }
        return records
    }

    static func put(
        _ records: [ImportRecord], into writer: StoreWriter, isRehearsal: Bool = false, sids: Set<SecurityID>? = []
    ) throws(StoreError) -> Imported {
        let grounds = ImportGrounds(
            format: "jsonl", digest: String(repeating: "0", count: 64), by: "root", reason: "history", responsible: "Dana",
            at: F.wall(500_000))
        var rest = records[...]
        return try writer.importRecords(
            grounds, isRehearsal: isRehearsal, identity: { people[$0] }, sids: { _ in sids }, { rest.popFirst() })
    }

    /// Anna and ben are recorded there.
    static func emptyStore() throws -> F {
        let fixture = try F()
        for user in [anna, ben] {
            _ = try fixture.writer.setTracking(
                [user], tracked: true, by: "root", reason: "a test", responsible: "Dana", at: F.wall(0))
        }
        return fixture
    }

    static func export(_ format: ExportRequest.Format, imported: Bool?, _ fixture: F) throws -> String {
        var question = Question(.export)
        question.choice.languages = []
        question.filter.imported = imported
        question.export = ExportRequest(format: format, after: nil, selection: 7, calendar: LocalCalendar { _ in 0 })
        // An end of a line in CSV is one character to Swift.
        return try fixture.text(question).utf8.split(separator: UInt8(ascii: "\n")).map { String(decoding: $0, as: UTF8.self) }
            .filter { !$0.hasPrefix("{\"cursor\":") }.map { $0 + "\n" }.joined()
    }

    /// Random sessions with moments that are no whole microseconds.
    static func measured(_ seed: UInt64, sessions: UInt64 = 3) throws -> F {
        var random = SeededRandom(seed: seed)
        let fixture = try F()
        for number in 1...sessions {
            let session = F.session(number, number == 2 ? "ben" : "anna", number == 2 ? 1002 : 1001, start: Double(number) * 10 + 0.0000004)
            try fixture.writer.write(F.random(session, until: 20_000, durable: 20_000, &random).batch)
        }
        return fixture
    }

    /// What is exported, imported into another store and exported there is the same, but that it says so.
    @Test(arguments: 0..<6, [Format.jsonl, .csv]) func rowsComeBack(seed: UInt64, format: Format) throws {
        let request = try #require(ExportRequest.Format(rawValue: format.rawValue))
        let first = try Self.export(request, imported: false, Self.measured(seed))
        #expect(first.utf8.count > 10_000)
        let fixture = try Self.emptyStore()
        let added = try Self.put(Self.records(first, format), into: fixture.writer)
        #expect(added.activities > 50 && added.repeated == 0 && added.sessions == 3 && added.users == [Self.anna, Self.ben])
        let marks = format == .csv ? (",false,", ",true,") : ("\"imported\":false", "\"imported\":true")
        let second = try Self.export(request, imported: true, fixture)
        #expect(second == first.replacingOccurrences(of: marks.0, with: marks.1))
        // The same file again adds nothing, and what is measured is not mixed with it.
        #expect(try Self.put(Self.records(first, format), into: fixture.writer).isEmpty)
        #expect(try Self.export(request, imported: true, fixture) == second)
        #expect(try Self.export(.jsonl, imported: false, fixture) == "")
        for kind in [Question.Kind.spans, .report, .sessions, .userTimes, .history, .timeline] {
            #expect(try fixture.lines(Question(kind)).isEmpty)
            var question = Question(kind)
            question.filter.imported = true
            #expect(try !fixture.lines(question).isEmpty)
        }
        let check = try fixture.lines(checkQuestion())
        #expect(check.last?["problems"] as? Int == 0 && check.last?["excessive"] as? Bool == false, "\(check)")
        #expect(check.last?["sessions"] as? Int == 3)
    }

    private func checkQuestion() -> Question {
        var question = Question(.storeCheck)
        question.filter.imported = nil
        question.calendar = LocalCalendar { _ in 0 }
        return question
    }

    /// In a database each computer that something was imported of is one of its own, and its days are not mixed with others'.
    @Test func tablesAreOfEachComputer() throws {
        let first = try Self.export(.jsonl, imported: false, Self.measured(4))
        let name = Computer.present(nil).name
        // Anna's second session was on another computer at the same time.
        let text = first.replacingOccurrences(
            of: "\"\(F.uuid(3))\",\"computer\":\"\(name)\"", with: "\"\(F.uuid(3))\",\"computer\":\"elsewhere\"")
        #expect(text != first)
        let fixture = try Self.emptyStore()
        let added = try Self.put(Self.records(text, .jsonl), into: fixture.writer)
        let path = fixture.folder.appending(path: "export.db").path
        let database = try ExportDatabase(path: path)
        for line in try Self.export(.tables, imported: true, fixture).split(separator: "\n") { try database.add(Data(line.utf8)) }
        _ = try database.finish()
        var sessions = Question(.sessions)
        sessions.filter.imported = true
        let lines = try fixture.lines(sessions)
        #expect(lines.count == 3)
        try DatabaseQueue(path: path).read { db in
            let computers = try Row.fetchAll(db, sql: "SELECT id, name FROM computers WHERE uuid IS NULL ORDER BY name")
            #expect(Set(computers.map { $0["name"] as String }) == [name, "elsewhere"] && computers.count == 2)
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM events") == Int(added.activities))
            #expect(try Int.fetchOne(db, sql: "SELECT count(*) FROM pragma_foreign_key_check") == 0)
            for computer in computers {
                let own = lines.filter { $0["imported_from"] as? String == computer["name"] as String }
                try #require(!own.isEmpty)
                for table in ["daily_user_summary", "daily_application_summary"] {
                    let active = try Double.fetchOne(
                        db, sql: "SELECT sum(active) FROM \(table) WHERE computer_id = ?", arguments: [computer["id"] as Int64])
                    let expected = own.map { AnswerTests.number($0["active"]) }.reduce(0, +)
                    if table == "daily_user_summary" { #expect(abs((active ?? .nan) - expected) < 1e-3) }
                    #expect((active ?? 0) > 0)
                }
            }
        }
        // Beside what was measured here, if that is asked for too.
        #expect(
            try Self.export(.tables, imported: nil, fixture).split(separator: "\n").count { $0.hasPrefix("{\"table\":\"computers\"") } == 3)
    }

    /// A file without a header is of a cursor: what later versions have behind the columns that are known is passed over.
    @Test func rowsWithoutAHeaderMayHaveMoreColumns() throws {
        let rows = try Self.export(.csv, imported: false, Self.measured(2)).utf8.split(separator: UInt8(ascii: "\n")).dropFirst()
            .map { String(decoding: $0, as: UTF8.self).replacingOccurrences(of: "\r", with: "") }
        let records = try Self.records(rows.joined(separator: "\n"), .csv)
        #expect(try records == Self.records(rows.map { $0 + ",more" }.joined(separator: "\n"), .csv) && records.count > 50)
        // Nor does the header of an export say more that was begun before there were more.
        let header = try Self.export(.csv, imported: false, Self.measured(2)).split(separator: ",").prefix(16).joined(separator: ",")
        #expect(try records == Self.records(([header] + rows.map { $0 + ",more" }).joined(separator: "\n"), .csv))
        let few = rows.map { $0.split(separator: ",", omittingEmptySubsequences: false).prefix(15).joined(separator: ",") }
        #expect(throws: CommandError.self) { _ = try Self.records(few.joined(separator: "\n"), .csv) }
    }

    /// A file that goes on after a cursor adds to the sessions of the one before.
    @Test func aLaterFileAddsToSessions() throws {
        let first = try Self.export(.jsonl, imported: false, Self.measured(3)).split(separator: "\n").map { $0 + "\n" }
        let fixture = try Self.emptyStore()
        let half = first.count / 2
        let part = try Self.put(Self.records(first[..<half].joined(), .jsonl), into: fixture.writer)
        let whole = try Self.put(Self.records(first.joined(), .jsonl), into: fixture.writer)
        #expect(Int(part.activities) == half && Int(part.activities + whole.activities) == first.count)
        #expect(
            try Self.export(.jsonl, imported: true, fixture)
                == first.joined().replacingOccurrences(of: "\"imported\":false", with: "\"imported\":true"))
    }

    /// ActivityWatch's document comes back, but for titles, of which there are none: latest first, as ActivityWatch writes them, too.
    @Test(arguments: 0..<4, [false, true]) func bucketsComeBack(seed: UInt64, isReversed: Bool) throws {
        let source = try Self.measured(seed, sessions: 1)
        func document(_ text: String) throws -> [String: [String: Any]] {
            let object = try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: [String: [String: Any]]]
            return try #require(object?["buckets"])
        }
        func events(_ text: String) throws -> [String] {
            try document(text).sorted { $0.key < $1.key }.flatMap { name, bucket in
                try (#require(bucket["events"] as? [[String: Any]])).map { event in
                    let data = event["data"] as? [String: String] ?? [:]
                    return "\(name) \(event["timestamp"] ?? "") \(event["duration"] ?? "") \(data["app"] ?? "") \(data["status"] ?? "")"
                }
            }
        }
        // A day in UTC is a session; the fixture's begins at three in the morning.
        let first = try Self.export(.activitywatch, imported: false, source)
        var text = first
        if isReversed {
            let buckets = try document(first).mapValues { bucket in
                bucket.merging(["events": Array((bucket["events"] as? [Any] ?? []).reversed())]) { $1 }
            }
            // Keys in an order in which what is needed comes before the events.
            text =
                try "{\"buckets\":{"
                + buckets.map { name, bucket in
                    let events = try JSONSerialization.data(withJSONObject: bucket["events"] as Any)
                    return "\"\(name)\":{\"type\":\"\(bucket["type"] ?? "")\",\"hostname\":\"\(bucket["hostname"] ?? "")\",\"events\":"
                        + String(decoding: events, as: UTF8.self) + "}"
                }.joined(separator: ",") + "}}"
        }
        let fixture = try Self.emptyStore()
        let added = try Self.put(Self.records(text, .activitywatch, user: "anna"), into: fixture.writer)
        #expect(added.sessions == 1 && added.activities > 5 && added.users == [Self.anna])
        #expect(try Self.put(Self.records(first, .activitywatch, user: "anna"), into: fixture.writer).isEmpty)
        let windows = { (events: [String]) in events.filter { $0.contains("window") } }
        let before = try events(first)
        let after = try events(Self.export(.activitywatch, imported: true, fixture))
        #expect(windows(after).count == windows(before).count)
        #expect(
            Set(after.filter { $0.contains("not-afk") }.map(Self.microseconds))
                == Set(before.filter { $0.contains("not-afk") }.map(Self.microseconds)))
        #expect(try fixture.lines(checkQuestion()).last?["problems"] as? Int == 0)
    }

    /// Lengths that went through a floating point number differ behind the microsecond.
    private static func microseconds(_ event: String) -> String {
        let parts = event.split(separator: " ")
        return "\(parts[1]) \(((Double(parts[2]) ?? 0) * 1e5).rounded())"
    }

    /// `Tests/activitywatch` has aw-core give back what was exported: all of it comes in, once.
    @Test(.enabled(if: ProcessInfo.processInfo.environment["TERMSPAN_ACTIVITYWATCH_BACK"] != nil))
    func whatActivityWatchGivesBackComesIn() throws {
        let path = try #require(ProcessInfo.processInfo.environment["TERMSPAN_ACTIVITYWATCH_BACK"])
        let text = try String(contentsOfFile: path, encoding: .utf8)
        let document = try #require(try JSONSerialization.jsonObject(with: Data(text.utf8)) as? [String: [String: [String: Any]]])
        var (activities, present) = (0, 0)
        for bucket in try #require(document["buckets"]).values {
            for event in try #require(bucket["events"] as? [[String: Any]]) {
                let isLong = AnswerTests.number(event["duration"]) > 0
                if bucket["type"] as? String == "currentwindow" { activities += isLong ? 1 : 0 }
                if (event["data"] as? [String: Any])?["status"] as? String == "not-afk" { present += 1 }
            }
        }
        let fixture = try Self.emptyStore()
        let added = try Self.put(Self.records(text, .activitywatch, user: "ben"), into: fixture.writer)
        #expect(Int(added.activities) == activities && Int(added.inputs) == present && activities > 10 && present > 1)
        #expect(try Self.put(Self.records(text, .activitywatch, user: "ben"), into: fixture.writer).isEmpty)
        #expect(try fixture.lines(checkQuestion()).last?["problems"] as? Int == 0)
    }

    /// Times that were told are told again, whatever the thresholds and wherever the range cuts; all of a session's time is there.
    @Test func toldTimesKeep() throws {
        let fixture = try Self.emptyStore()
        let text = Self.row(start: "03:10:00", end: "03:20:00", 600, active: 200, passive: 100, inactive: 250)
        _ = try Self.put(Self.records(text, .jsonl), into: fixture.writer)
        func totals(_ change: (inout Question) -> Void = { _ in }) throws -> [String: Double] {
            var question = Question(.sessions)
            question.filter.imported = true
            change(&question)
            let line = try #require(try fixture.lines(question).first)
            return ["active", "passive", "inactive", "unknown", "total"].reduce(into: [:]) { $0[$1] = AnswerTests.number(line[$1]) }
        }
        let told = ["active": 200.0, "passive": 100, "inactive": 250, "unknown": 50, "total": 600]
        #expect(try totals() == told)
        #expect(try totals { $0.thresholds = Thresholds(idle: .seconds(1), passiveLimit: nil) } == told)
        let middle = try totals {
            $0.filter.since = WallInstant(nanoseconds: 1_767_323_400_000_000_000 + 150_000_000_000)
            $0.filter.until = WallInstant(nanoseconds: 1_767_323_400_000_000_000 + 250_000_000_000)
        }
        #expect(middle == ["active": 50, "passive": 50, "inactive": 0, "unknown": 0, "total": 100])
        // Spans say where they are from.
        var question = Question(.spans)
        question.filter.imported = nil
        #expect(try fixture.lines(question).map { $0["imported_from"] as? String } == ["elsewhere"])
    }

    /// They are of their own intervals however rows are read, also where the first of them were told nothing of, beside another session.
    @Test func toldTimesAreOfTheirIntervals() throws {
        let fixture = try Self.emptyStore()
        let text = [
            Self.row(start: "03:10:00", end: "03:20:00", 600, active: 600),
            Self.row(start: "03:20:00", end: "03:30:00", 600, active: 500, inactive: 100),
            Self.row(session: F.uuid(8), start: "03:00:00", end: "03:40:00", 2400, passive: 2400),
        ]
        _ = try Self.put(Self.records(text.joined(), .jsonl), into: fixture.writer)
        try DatabaseQueue(path: fixture.path).write { try $0.execute(sql: "DELETE FROM told_times WHERE active = 600000000000") }
        for kind in [Question.Kind.userTimes, .sessions] {
            var question = Question(kind)
            question.filter.imported = true
            let whole = try fixture.text(question)
            #expect(try fixture.text(question, page: 1) == whole && whole.contains("\"active\":1100"), "\(whole)")
        }
    }

    static func row(
        _ user: String = "anna", session: UUIDv7 = F.uuid(9), start: String, end: String, _ duration: Double, active: Double = 0,
        passive: Double = 0, inactive: Double = 0
    ) -> String {
        """
        {"user":"\(user)","uid":7,"session":3,"session_uuid":"\(session)","computer":"elsewhere","start":"2026-01-02T\(start).000000Z",\
        "end":"2026-01-02T\(end).000000Z","duration":\(duration),"executable":"/opt/tool","class":null,"active":\(active),\
        "passive":\(passive),"inactive":\(inactive),"switches":0}

        """
    }

    /// Nothing is imported of who is not tracked, of what was measured or erased here, nor of anybody whom nobody knows; and nothing else then.
    @Test func whatMustNotBeHeldIsRefused() throws {
        let fixture = try Self.emptyStore()
        var batch = StoreBatch()
        batch.sessions = [F.session(3)]
        batch.focus = [FocusRecord(session: F.uuid(3), span: F.span(10, 700), application: nil)]
        try fixture.writer.write(batch)
        func refusal(_ text: String, sids: Set<SecurityID>? = []) -> String? {
            do {
                _ = try Self.put(Self.records(text, .jsonl), into: fixture.writer, sids: sids)
                return nil
            } catch let error as StoreError {
                return error.code == .refused ? error.message : "\(error)"
            } catch {
                return "\(error)"
            }
        }
        let right = Self.row(session: F.uuid(8), start: "03:10:00", end: "03:20:00", 600)
        _ = try fixture.writer.setTracking([Self.ben], tracked: false, by: "root", reason: "", at: F.wall(1))
        #expect(refusal(right + Self.row("ben", start: "03:10:00", end: "03:20:00", 600))?.contains("Do Not Track") == true)
        #expect(refusal(right + Self.row("carl", start: "03:10:00", end: "03:20:00", 600))?.contains("no user 'carl'") == true)
        #expect(refusal(right + Self.row(session: F.uuid(3), start: "03:10:00", end: "03:20:00", 600))?.contains("measured here") == true)
        #expect(
            refusal(right + Self.row(start: "03:10:00", end: "03:20:00", 600).replacingOccurrences(of: "2026-", with: "2031-"))?.contains(
                "future") == true)
        let sid = try #require(SecurityID("S-1-5-21-1-2-3-1104"))
        _ = try fixture.writer.setDoNotTrack([.sid(sid)], listed: true, by: "root", reason: "", at: F.wall(1))
        #expect(refusal(right, sids: nil)?.contains("no directory") == true)
        #expect(refusal(right, sids: [sid])?.contains("Do Not Track") == true)
        #expect(try Self.export(.jsonl, imported: true, fixture) == "")
        // What would be is said without being done.
        #expect(try Self.put(Self.records(right, .jsonl), into: fixture.writer, isRehearsal: true).activities == 1)
        #expect(try Self.export(.jsonl, imported: true, fixture) == "")
        #expect(refusal(right) == nil)
        #expect(refusal(Self.row(session: F.uuid(8), start: "03:15:00", end: "03:25:00", 600))?.contains("overlaps") == true)
        // An erasure takes it with all that was measured, and it does not come back.
        let held = try fixture.writer.users(named: [#require(UserName("anna"))])
        #expect(try fixture.writer.counts(of: held[0]).sessions == 2)
        _ = try fixture.writer.erase(
            held, alsoUsers: false, measured: [], burstGap: .seconds(30), by: "root", reason: "",
            at: ClockAnchor(boot: F.at(900), wall: F.wall(900)))
        let left = try DatabaseQueue(path: fixture.path).read { try Int.fetchOne($0, sql: "SELECT count(*) FROM told_times") }
        #expect(try left == 0 && Self.export(.jsonl, imported: nil, fixture) == "")
        #expect(refusal(right)?.contains("erased here") == true)
    }

    /// Who, when, what and on which grounds is in the records, of each user.
    @Test func importsAreRecorded() throws {
        let fixture = try Self.emptyStore()
        _ = try Self.put(Self.records(Self.row(start: "03:10:00", end: "03:20:00", 600, active: 5), .jsonl), into: fixture.writer)
        let reader = try StoreReader(path: fixture.path, keys: fixture.keys)
        let change = try #require(try reader.policyChanges().map(\.change).last)
        #expect(change.key == "imported" && change.user == Self.anna && change.reason == "history" && change.responsible == "Dana")
        #expect(change.value == "jsonl: 1 sessions, 1 activities, 1 inputs, SHA-256 \(String(repeating: "0", count: 64))")
        let entry = try #require(try reader.audit().last?.entry)
        #expect(entry.action == "imported" && entry.by == "root" && entry.at == F.wall(500_000) && entry.value == change.value)
    }

    /// What was imported is as old as it says, and the clock of no machine.
    @Test func retentionTakesWhatWasImported() throws {
        let fixture = try Self.emptyStore()
        _ = try Self.put(Self.records(Self.row(start: "03:10:00", end: "03:20:00", 600, active: 5), .jsonl), into: fixture.writer)
        let now = ClockAnchor(boot: F.at(800), wall: F.wall(800))
        #expect(try fixture.writer.trustsClock(now, keeping: [.seconds(86_400)]))
        let expired = try fixture.writer.expire(activityBefore: nil, sessionsBefore: F.wall(90_000), at: F.wall(90_001))
        #expect(expired.counts.sessions == 1 && expired.counts.focusIntervals == 1 && expired.counts.inputBursts == 1)
        let left = try DatabaseQueue(path: fixture.path).read { try Int.fetchOne($0, sql: "SELECT count(*) FROM told_times") }
        #expect(left == 0)
    }

    /// Each file that is wrong says where.
    @Test(arguments: [
        ("jsonl", "{}\n", "line 1"), ("jsonl", ImportTests.row(start: "03:10:00", end: "03:20:00", 600) + "nonsense\n", "line 2"),
        ("jsonl", ImportTests.row(start: "03:10:00", end: "03:20:00", 600, active: 601), "more than 'duration'"),
        (
            "jsonl",
            ImportTests.row(start: "03:10:00", end: "03:20:00", 600).replacingOccurrences(of: "2026-01-02T03:10", with: "yesterday"),
            "'start'"
        ),
        (
            "jsonl", ImportTests.row(start: "03:10:00", end: "03:20:00", 600) + ImportTests.row(start: "03:09:00", end: "03:10:00", 60),
            "line 2: It begins before"
        ),
        ("jsonl", ImportTests.row(start: "03:10:00", end: "03:20:00", 600).replacingOccurrences(of: "-7", with: "-4"), "pseudonyms"),
        ("csv", "anna,\"1001\n", "line 1: It is no row"), ("csv", "user,session_uuid\nanna\n", "line 2: It has 1 columns"),
        ("activitywatch", "[]", "line 1, byte 1"), ("activitywatch", "{\"buckets\":{\"a\":{\"events\":[]}}}", "events before"),
        ("activitywatch", "{\"buckets\":{}", "byte 14"), ("activitywatch", "{\"events\":[]}", "no 'buckets'"),
        (
            "activitywatch",
            "{\"buckets\":{\"a\":{\"type\":\"currentwindow\",\"hostname\":\"pc\",\"events\":[\n{\"timestamp\":\"soon\"}]}}}",
            "line 2: It is no event"
        ),
    ])
    func badFilesSayWhere(format: String, text: String, place: String) throws {
        let format = try #require(Format(rawValue: format))
        #expect {
            _ = try Self.records(text, format)
        } throws: { error in
            (error as? CommandError).map { $0.message.contains(place) && $0.remedy == "Nothing was imported." } == true
        }
    }

    @Test func digestsAreRight() throws {
        let digest = FileDigest()
        digest.add(Array("ab".utf8))
        digest.add(Array("c".utf8))
        #expect(try digest.finish() == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        let long = FileDigest()
        for _ in 0..<10_000 { long.add([UInt8](repeating: UInt8(ascii: "a"), count: 100)) }
        #expect(try long.finish() == "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0")
    }

    /// Whatever bytes come in place of records: an error or what they say, and what was written is read.
    @Test(arguments: 0..<20) func recordsAreReadAsTheyWereWritten(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        let records = try Self.records(Self.export(.jsonl, imported: false, Self.measured(seed, sessions: 2)), .jsonl)
        var bytes: [UInt8] = []
        for record in records { record.append(to: &bytes) }
        var reader = ImportReader()
        reader.append(bytes)
        var read: [ImportRecord] = []
        while let record = try reader.next() { read.append(record) }
        try reader.finish()
        #expect(read == records)
        // Cut off anywhere, it is not whole.
        reader = ImportReader()
        reader.append(bytes.prefix(Int.random(in: 0..<bytes.count, using: &random)))
        while try reader.next() != nil {}
        #expect(throws: ImportFormatError.self) { try reader.finish() }
        bytes[Int.random(in: 0..<bytes.count, using: &random)] = UInt8.random(in: 0...255, using: &random)
        reader = ImportReader()
        reader.append(bytes)
        do {
            while try reader.next() != nil {}
            try reader.finish()
        } catch {
            // It is what is wrong with the records, and nothing else.
        }
    }
}
