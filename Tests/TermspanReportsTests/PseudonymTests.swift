import Foundation
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

@Suite struct PseudonymTests {
    private typealias F = ReportsFixture
    private static let january = CalendarMonth("2026-01")!

    /// Two users' sessions, one program in a folder of the user's own.
    private func filled() throws -> ReportsFixture {
        let fixture = try F()
        for (number, login) in ["anna", "ben", "anna"].enumerated() {
            let session = F.session(UInt64(number) + 1, login, login == "anna" ? 1001 : 1002)
            var batch = StoreBatch()
            batch.sessions = [session]
            batch.events = [
                SessionEvent(
                    session: session.uuid, change: StateChange(.connected, at: F.at(10)), clientAddress: "192.0.2.7", clientName: "ANNAS-PC"
                )
            ]
            batch.focus = [
                FocusRecord(
                    session: session.uuid, span: TimeSpan(start: F.at(11), end: F.at(20)),
                    application: Application(executable: "/srv/annas/tool", windowClass: "Tool"))
            ]
            batch.bursts = [BurstRecord(session: session.uuid, burst: InputBurst(start: F.at(12), end: F.at(15), origin: .device))]
            batch.ended = [SessionEnd(session: session.uuid, at: F.at(60), reason: .logoff)]
            try fixture.writer.write(batch)
        }
        return fixture
    }

    private func question(_ kind: Question.Kind, _ month: CalendarMonth = january) -> Question {
        var question = Question(kind: kind, filter: SessionFilter(), thresholds: Thresholds())
        question.pseudonyms = month
        return question
    }

    @Test(arguments: [Question.Kind.spans, .sessions, .userTimes, .history, .events])
    func nothingSaysWhoItIs(kind: Question.Kind) throws {
        let fixture = try filled()
        // A pseudonym's letters are chance, which now and then spells a short name.
        let text = try fixture.text(question(kind)).replacing(/[us]202601-[a-z2-7]+/, with: "")
        for secret in ["anna", "ANNA", "ben", "1001", "1002", "192.0.2", F.uuid(1).description, "srv"] {
            #expect(!text.contains(secret), "\(secret): \(text)")
        }
        let lines = try fixture.lines(question(kind))
        let named = try fixture.lines(
            { () -> Question in
                var question = question(kind)
                question.pseudonyms = nil
                return question
            }())
        #expect(lines.count == named.count && lines.count >= 2)
        for (line, other) in zip(lines, named) {
            #expect(line["uid"] is NSNull && (line["session"] == nil || line["session"] is NSNull))
            #expect((line["user"] as? String)?.hasPrefix("u202601-") == true)
            // All else is as it is: the figures are the same.
            for key in ["active", "total", "duration", "class", "event", "start"] where other[key] != nil {
                #expect("\(line[key] ?? "")" == "\(other[key] ?? "")", "\(key)")
            }
        }
        // One user is one pseudonym, and another another.
        let pairs = Set(zip(lines, named).map { "\($0["user"] ?? "") \($1["user"] ?? "")" })
        #expect(pairs.count == 2)
    }

    /// A session over midnight of two months is told in parts, with nothing in common but where they meet.
    @Test(arguments: [Question.Kind.spans, .sessions, .userTimes, .history, .events])
    func whatIsOfTwoMonthsIsCut(kind: Question.Kind) throws {
        let fixture = try F()
        // From an hour before the first of February, UTC, for two hours.
        let midnight = WallInstant(nanoseconds: 1_769_904_000_000_000_000)
        let begin = Double(F.anchor.wall.duration(to: midnight).components.seconds) - 3600
        let session = F.session(1, "anna", 1001, start: begin)
        var batch = StoreBatch()
        batch.sessions = [session]
        batch.events = [
            SessionEvent(
                session: session.uuid, change: StateChange(.connected, at: F.at(begin)), clientAddress: "192.0.2.7", clientName: ""),
            SessionEvent(session: session.uuid, change: StateChange(.locked, at: F.at(begin + 5000))),
        ]
        batch.focus = [
            FocusRecord(
                session: session.uuid, span: TimeSpan(start: F.at(begin), end: F.at(begin + 7200)),
                application: Application(executable: "/usr/bin/x", windowClass: "X"))
        ]
        batch.ended = [SessionEnd(session: session.uuid, at: F.at(begin + 7200), reason: .logoff)]
        try fixture.writer.write(batch)
        func lines(_ month: String, _ since: WallInstant, _ until: WallInstant) throws -> [[String: Any]] {
            var question = question(kind, CalendarMonth(month)!)
            (question.filter.since, question.filter.until) = (since, until)
            return try fixture.lines(question)
        }
        let january = try lines("2026-01", F.anchor.wall, midnight)
        let february = try lines("2026-02", midnight, midnight.advanced(by: .seconds(86_400)))
        #expect(!january.isEmpty && !february.isEmpty)
        for line in january + february where kind != .events {
            let length = (line["duration"] ?? line["total"]) as? Double
            #expect(length == 3600)
            #expect(line["logon"] == nil || line["logon"] is NSNull)
        }
        let moments = [january, february].map { lines in
            Set(lines.flatMap { line in ["start", "end", "time", "logon"].compactMap { line[$0] as? String } })
        }
        #expect(moments[0].intersection(moments[1]).allSatisfy { $0 == midnight.iso8601 })
        if kind == .history {
            #expect(january[0]["end_reason"] is NSNull && january[0]["locks"] as? Int == 0 && february[0]["locks"] as? Int == 1)
        }
    }

    @Test func anotherMonthHasOtherNames() throws {
        let fixture = try filled()
        let reader = try StoreReader(path: fixture.path, keys: fixture.keys)
        let months = ["2026-01", "2026-02", "2025-01"].map { reader.pseudonyms(of: CalendarMonth($0)!) }
        let anna = UserIdentity(login: "anna", uid: 1001)
        #expect(Set(months.map { $0.name(of: anna).split(separator: "-")[1] }).count == 3)
        #expect(months[0].name(of: anna) == reader.pseudonyms(of: Self.january).name(of: anna))
        // A login and another's uid are nobody's.
        let others = [
            UserIdentity(login: "anna", uid: 1002), UserIdentity(login: "anna1", uid: 1001), UserIdentity(login: "ben", uid: 1001),
        ]
        #expect(Set(([anna] + others).map { months[0].name(of: $0) }).count == 4)
        #expect(months[0].name(of: F.uuid(1)).hasPrefix("s202601-"))
        // Another store has other ones, whoever it is.
        let other = try filled()
        let foreign = try StoreReader(path: other.path, keys: other.keys).pseudonyms(of: Self.january)
        #expect(foreign.name(of: anna) != months[0].name(of: anna))
    }

    @Test func whoseItIsIsToldAndRecorded() throws {
        let fixture = try filled()
        let reader = try StoreReader(path: fixture.path, keys: fixture.keys)
        let anna = UserIdentity(login: "anna", uid: 1001)
        let name = reader.pseudonyms(of: Self.january).name(of: anna)
        func reveal(_ pseudonym: String) throws -> RevealedUser? {
            try fixture.writer.reveal(pseudonym, by: "uid 7", reason: "a case", at: F.wall(100))
        }
        let revealed = try #require(try reveal(name))
        #expect(revealed.identity == anna && revealed.month == Self.january)
        let entry = try #require(try reader.audit().last)
        #expect(
            entry.user == anna && entry.entry.action == "pseudonym-revealed" && entry.entry.value == "2026-01" && entry.entry.by == "uid 7")
        #expect(try reader.policyChanges().last?.change.reason == "a case")
        let entries = try reader.audit().count
        for wrong in [
            "u202602-" + name.suffix(10), String(name.dropLast()), "", "anna", "s" + name.dropFirst(), name + "\n", "u202613-aaaaaaaaaa",
        ] {
            #expect(try reveal(wrong) == nil)
        }
        #expect(try reader.audit().count == entries)
        // Who had another in between is two rows, and the entry is about who has the login now.
        for (number, login) in [(4, "carl"), (5, "anna")] as [(UInt64, String)] {
            var batch = StoreBatch()
            batch.sessions = [F.session(number, login, 1001)]
            try fixture.writer.write(batch)
        }
        #expect(try reveal(name)?.identity == anna)
        var own = SessionFilter()
        own.identities = [anna]
        #expect(try reader.audit(own).map(\.entry.action) == ["pseudonym-revealed"])
        // Of who was forgotten nobody can be told.
        let users = try fixture.writer.users(named: [#require(UserName("anna"))])
        _ = try fixture.writer.erase(
            users, alsoUsers: true, measured: [], burstGap: .seconds(30), by: "root", reason: "left",
            at: ClockAnchor(boot: F.at(100), wall: F.wall(100)))
        #expect(try reveal(name) == nil)
    }

    @Test func aNameIsAMonthsAndNothingElse() {
        #expect(Pseudonyms.month(of: "u202610-abcdefghij") == CalendarMonth("2026-10"))
        for wrong in [
            "u202610-abcdefghi1", "u202610-abcdefghijk", "u20261-abcdefghij", "s202610-abcdefghij", "u202610", "u202600-abcdefghij",
        ] {
            #expect(Pseudonyms.month(of: wrong) == nil)
        }
    }
}
