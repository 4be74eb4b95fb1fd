import Foundation
import GRDB
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

@Suite struct AnswerTests {
    typealias F = ReportsFixture

    static let keys: Set<String> = [
        "user", "uid", "session", "session_uuid", "start", "end", "duration", "executable", "class", "category", "productivity", "business",
        "active", "passive", "inactive",
        "open",
    ]

    static func number(_ value: Any?) -> Double { (value as? NSNumber)?.doubleValue ?? .nan }

    @Test func spansAreAsAgreed() throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        batch.sessions = [F.session(3)]
        batch.focus = [
            FocusRecord(
                session: F.uuid(3), span: F.span(10, 700),
                application: Application(executable: "/usr/bin/\"gedit\"\u{1}", windowClass: "Gedit")),
            FocusRecord(session: F.uuid(3), span: F.span(700, 700.000000001), application: nil),
        ]
        batch.bursts = [BurstRecord(session: F.uuid(3), burst: InputBurst(start: F.at(20), end: F.at(30.5), origin: .device))]
        batch.seen = F.at(800)
        try fixture.writer.write(batch)
        let text = try fixture.text(Question(.spans))
        #expect(
            text == """
                {"user":"anna","uid":1001,"session":3,"session_uuid":"\(F.uuid(3))","start":"2026-01-02T03:04:15.000000Z","end":"2026-01-02T03:15:45.000000Z",\
                "duration":690,"executable":"/usr/bin/\\"gedit\\"\\u0001","class":"Gedit","category":null,"productivity":null,"business":null,"active":130.5,"passive":300,"inactive":259.5,"open":false}
                {"user":"anna","uid":1001,"session":3,"session_uuid":"\(F.uuid(3))","start":"2026-01-02T03:15:45.000000Z","end":"2026-01-02T03:15:45.000000Z",\
                "duration":0.000000001,"executable":null,"class":null,"category":null,"productivity":null,"business":null,"active":0,"passive":0,"inactive":0.000000001,"open":false}

                """)
        let summary = try fixture.lines(Question(.sessions))
        #expect(summary.count == 1)
        #expect(Self.number(summary[0]["total"]) == 790 && Self.number(summary[0]["unknown"]) == 99.999999999)
        #expect(summary[0]["end"] is NSNull && summary[0]["open"] as? Bool == true)
    }

    /// By numbers, or digests of entries about others, everybody would see how much is decided about these.
    @Test func whoSeesAPartOfTheAuditRecordIsToldThatAllOfItIsRight() throws {
        let fixture = try ReportsFixture()
        let (anna, ben) = (UserIdentity(login: "anna", uid: 1001), UserIdentity(login: "ben", uid: 1002))
        func decide(_ user: UserIdentity, _ isTracked: Bool) throws {
            _ = try fixture.writer.setTracking([user], tracked: isTracked, by: "root", reason: "x", responsible: "y", at: F.wall(1))
        }
        try decide(anna, true)
        func check(known: String? = nil) throws -> [String: Any] {
            var question = Question(.auditCheck)
            question.filter.identities = [anna]
            question.known = known
            let lines = try fixture.lines(question)
            #expect(lines.count == 1)
            return lines.first ?? [:]
        }
        let first = try check()
        #expect(Set(first.keys) == ["store", "last", "problem"] && first["problem"] is NSNull)
        let last = try #require(first["last"] as? String)
        try decide(ben, true)
        let second = try check(known: last)
        #expect(second["last"] as? String == last && second["known"] as? Bool == true)
        try decide(anna, false)
        let third = try check(known: String(repeating: "0", count: 64))
        #expect(third["last"] as? String != last && third["known"] as? Bool == false)
        // Somebody made an entry about another say something else.
        let queue = try DatabaseQueue(path: fixture.path)
        try queue.write { db in
            for trigger in try String.fetchAll(db, sql: "SELECT name FROM sqlite_schema WHERE type = 'trigger' AND tbl_name = 'audit'") {
                try db.execute(sql: "DROP TRIGGER \(trigger)")
            }
            try db.execute(sql: "UPDATE audit SET value = 'false' WHERE id = 2")
        }
        try queue.close()
        #expect(try check(known: last)["problem"] as? String == "an entry is missing, or not as it was recorded")
    }

    /// Wherever the line between durable and live runs, and however large the pages are, the answer is the same, and everything adds up.
    @Test(arguments: 0..<12) func durableAndLiveMakeOneAnswer(seed: Int) throws {
        let seeds = UInt64(seed)
        var answers: [String] = []
        var summaries: [String] = []
        for durable in [-1.0, 0, 700, 1500, 2999] {
            var random = SeededRandom(seed: seeds)
            let fixture = try ReportsFixture()
            var rows: [ActivityRow] = []
            for number in UInt64(1)...3 {
                let session = F.session(number, number == 2 ? "ben" : "anna", number == 2 ? 1002 : 1001, start: Double(number) * 100)
                let half = F.random(session, until: 3000, durable: durable, &random)
                if durable >= 0 { try fixture.writer.write(half.batch) }
                rows += half.rows
            }
            // The order of the rows means nothing.
            rows.shuffle()
            for kind in [Question.Kind.spans, .sessions, .userTimes] {
                let question = Question(kind, live: rows)
                let text = try fixture.text(question)
                for page in [1, 2, 7] {
                    #expect(try fixture.text(question, page: page) == text, "page \(page)")
                }
                if kind == .spans { answers.append(text) } else { summaries.append(text) }
            }
            // A session's time is its life; a user's that of all sessions together.
            for line in try fixture.lines(Question(.sessions, live: rows)) {
                let session = try #require(line["session"] as? Int)
                #expect(Self.number(line["total"]) == 3000 - Double(session) * 100)
            }
            let users = try fixture.lines(Question(.userTimes, live: rows))
            #expect(users.map { Self.number($0["total"]) }.sorted() == [2800, 2900])
        }
        #expect(Set(answers).count == 1 && Set(summaries).count == 2)
    }

    /// What was closed between the collector's answer and the reading of the store is told once, as the store has it.
    @Test func whatBecameDurableMeanwhileIsToldOnce() throws {
        let fixture = try ReportsFixture()
        let session = F.session(1)
        var rows = [
            ActivityRow(
                session: session.uuid, user: session.user, content: .session(session.id, stack: "xrdp"), start: session.start, end: nil,
                now: F.at(100), anchor: F.anchor),
            ActivityRow(
                session: session.uuid, user: session.user, content: .focus(nil, switches: 0), start: F.at(20), end: nil, now: F.at(100),
                anchor: F.anchor),
        ]
        rows.append(
            ActivityRow(
                session: session.uuid, user: session.user, content: .burst(.device), start: F.at(30), end: nil, now: F.at(100),
                anchor: F.anchor))
        var batch = StoreBatch()
        batch.sessions = [session]
        batch.focus = [
            FocusRecord(session: session.uuid, span: F.span(20, 99), application: nil),
            FocusRecord(session: session.uuid, span: F.span(99, 150), application: nil),
        ]
        batch.bursts = [BurstRecord(session: session.uuid, burst: InputBurst(start: F.at(30), end: F.at(31), origin: .device))]
        try fixture.writer.write(batch)
        let lines = try fixture.lines(Question(.spans, live: rows))
        #expect(lines.map { Self.number($0["duration"]) } == [79, 1])
        let thresholds = Thresholds(idle: .seconds(10), passiveLimit: .zero)
        let totals = try fixture.lines(Question(kind: .sessions, filter: SessionFilter(), thresholds: thresholds, live: rows))
        #expect(Self.number(totals[0]["active"]) == 11)
    }

    @Test func rangesAreCutAndAddUp() throws {
        var random = SeededRandom(seed: 99)
        let fixture = try ReportsFixture()
        let half = F.random(F.session(1), until: 5000, durable: 4000, &random)
        try fixture.writer.write(half.batch)
        func total(_ kind: Question.Kind, _ since: Double?, _ until: Double?, _ key: String) throws -> Double {
            var question = Question(kind, live: half.rows)
            question.filter.since = since.map(F.wall)
            question.filter.until = until.map(F.wall)
            return try fixture.lines(question).map { Self.number($0[key]) }.reduce(0, +)
        }
        for key in ["total", "active", "inactive", "passive", "unknown", "locked"] {
            let whole = try total(.sessions, nil, nil, key)
            let parts = try total(.sessions, nil, 1234, key) + total(.sessions, 1234, 4321, key) + total(.sessions, 4321, nil, key)
            #expect(abs(whole - parts) < 1e-6, "\(key)")
        }
        #expect(abs(try total(.spans, 1000, 2000, "active") - total(.sessions, 1000, 2000, "active")) < 1e-6)
        #expect(try total(.sessions, 6000, nil, "total") == 0)
    }

    /// Recorded, decided about, logged on alone, and one whose uid is another's by now.
    @Test func usersAreAsAgreed() throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        batch.sessions = [F.session(1), F.session(2, "eve", 1009)]
        batch.ended = [1, 2].map { SessionEnd(session: F.uuid($0), at: F.at(60), reason: .logoff) }
        try fixture.writer.write(batch)
        let carl = UserIdentity(login: #"EXAMPLE\carl"#, uid: 1003)
        _ = try fixture.writer.setTracking([carl], tracked: true, by: "root", reason: "r", at: F.wall(5))
        let finn = UserIdentity(login: "finn", uid: 1009)
        _ = try fixture.writer.setTracking([finn], tracked: false, by: "root", reason: "r", at: F.wall(6))
        var question = Question(.users)
        question.present = [UserIdentity(login: "ben", uid: 1002), carl]
        // The user database knows ben, and carl by a directory; the others' accounts are gone.
        let accounts: AccountLookup.Question = { user, _ in
            switch user.uid {
            case 1002: AccountFacts(name: "Ben Ray", domains: [AccountFacts.computer])
            case 1003: AccountFacts(domains: ["example.com"])
            default: AccountFacts()
            }
        }
        let computer = AccountFacts.computer
        #expect(
            try fixture.text(question, accounts: accounts) == #"""
                {"user":"anna","name":null,"uid":1001,"logins":["anna"],"domains":[],"tracked":false,"decided_by":"default","decision":null,\#
                "level":null,"since":null,"first_seen":"2026-01-02T03:04:15.000000Z","last_seen":"2026-01-02T03:05:05.000000Z","open":false,\#
                "sessions":1,"seat":true}
                {"user":"eve","name":null,"uid":1009,"logins":["eve"],"domains":[],"tracked":null,"decided_by":null,"decision":null,\#
                "level":null,"since":null,"first_seen":"2026-01-02T03:04:15.000000Z","last_seen":"2026-01-02T03:05:05.000000Z","open":false,\#
                "sessions":1,"seat":true}
                {"user":"EXAMPLE\\carl","name":null,"uid":1003,"logins":["EXAMPLE\\carl"],"domains":["example.com","example"],"tracked":true,\#
                "decided_by":"decision","decision":"tracked","level":"basic","since":"2026-01-02T03:04:10.000000Z","first_seen":null,\#
                "last_seen":null,"open":true,"sessions":0,"seat":false}
                {"user":"finn","name":null,"uid":1009,"logins":["finn"],"domains":[],"tracked":false,"decided_by":"do-not-track",\#
                "decision":"untracked","level":"basic","since":"2026-01-02T03:04:11.000000Z","first_seen":null,"last_seen":null,"open":false,\#
                "sessions":0,"seat":false}
                {"user":"ben","name":"Ben Ray","uid":1002,"logins":["ben"],"domains":["\#(computer)"],"tracked":false,"decided_by":"default",\#
                "decision":null,"level":null,"since":null,"first_seen":null,"last_seen":null,"open":true,"sessions":0,"seat":false}

                """#)
        func selected(_ filter: UserFilter) throws -> [String] {
            question.users = filter
            defer { question.users = UserFilter() }
            return try fixture.text(question, accounts: accounts).split(separator: "\n").compactMap { line in
                line.split(separator: "\"").dropFirst(3).first.map(String.init)
            }
        }
        #expect(try selected(UserFilter(search: "RAY")) == ["ben"] && selected(UserFilter(domain: "Example.com")) == [#"EXAMPLE\\carl"#])
        #expect(try selected(UserFilter(isTracked: true)) == [#"EXAMPLE\\carl"#] && selected(UserFilter(hasData: true)) == ["anna", "eve"])
        #expect(try selected(UserFilter(domain: computer)) == ["ben"])
        // Nobody else's: what a user may see as their own.
        question.filter.identities = [UserIdentity(login: "ben", uid: 1002)]
        #expect(try fixture.lines(question).map { $0["user"] as? String } == ["ben"])
        question.filter.identities = [UserIdentity(login: "anna", uid: 1001)]
        #expect(try fixture.lines(question).map { $0["user"] as? String } == ["anna"])
    }

    /// Of a user database that is silent nothing is told; who is chosen by it is not known then, so that nobody is.
    @Test func aSilentUserDatabaseIsNotWaitedForForEver() throws {
        let fixture = try ReportsFixture()
        let users = (0..<120).map { UserIdentity(login: "user\($0)", uid: UInt32(2000 + $0)) }
        _ = try fixture.writer.setTracking(users, tracked: true, by: "root", reason: "r", at: F.wall(5))
        var question = Question(.users)
        let accounts: AccountLookup.Question = { user, _ in
            if user.uid == 2060 { sleep(5) }
            return AccountFacts(name: "known", domains: ["example"])
        }
        let begin = ContinuousClock.now
        let names = try fixture.text(question, accounts: accounts).split(separator: "\n").map { $0.contains(#""name":"known""#) }
        #expect(names == (0..<120).map { $0 < 60 } && ContinuousClock.now - begin < .seconds(5))
        question.users.domain = "example"
        #expect(throws: ReportError.self) { try fixture.text(question, accounts: accounts) }
        // One of several directories is silent: whoever it may have is not passed over.
        let unsure: AccountLookup.Question = { user, _ in
            AccountFacts(domains: user.uid == 2100 ? [] : ["example"], mayHaveOthers: user.uid >= 2100)
        }
        #expect(throws: ReportError.self) { try fixture.text(question, accounts: unsure) }
        // Of Termspan's own all is known, and of a group that is none it is said.
        question.users = UserFilter(group: "own:nobody")
        #expect(throws: ReportError.self) { try fixture.text(question) }
        question.users.group = "no-such-group-here"
        let error = try #require(throws: ReportError.self) { try fixture.text(question) }
        #expect(error.isNotFound && error.reason == "There is no group no-such-group-here.")
        let own = try #require(OwnGroup(name: "night"))
        _ = try fixture.writer.set([users[3]], in: own, member: true, by: "root", reason: "", at: F.wall(6))
        question.users.group = own.description
        #expect(try fixture.lines(question).map { $0["user"] as? String } == ["user3"])
    }

    /// Whoever selects a group to be left alone means all of it.
    @Test func ofAGroupThoseWhoWereNeverHereAreChosenToo() throws {
        let fixture = try ReportsFixture()
        let (known, other) = (UserIdentity(login: "known", uid: 2000), UserIdentity(login: "other", uid: 2001))
        let (present, never) = (UserIdentity(login: "present", uid: 2002), UserIdentity(login: "never", uid: 2003))
        _ = try fixture.writer.setTracking([known, other], tracked: true, by: "root", reason: "r", at: F.wall(5))
        let entry = try #require(DoNotTrackList.Subject("left-alone"))
        _ = try fixture.writer.setDoNotTrack([entry], listed: true, by: "root", reason: "", at: F.wall(6))
        let leftAlone = UserIdentity(login: "left-alone", uid: 2004)
        var question = Question(.users)
        question.present = [present]
        question.users.group = "root"
        let members: Set<UserIdentity> = [known, present, never, leftAlone]
        func chosen() throws -> [String] {
            let text = try fixture.text(
                question, accounts: { user, _ in AccountFacts(groups: members.contains(user) ? ["root"] : []) }, members: { _ in members })
            return text.split(separator: "\n").compactMap { $0.split(separator: "\"").dropFirst(3).first.map(String.init) }
        }
        #expect(try chosen() == ["known", "present", "never", "left-alone"])
        question.users.isTracked = false
        #expect(try chosen() == ["present", "never", "left-alone"])
        question.users.hasData = true
        #expect(try chosen().isEmpty)
        question.users = UserFilter(group: "root")
        // Nobody sees others by that.
        question.filter.identities = [never]
        #expect(try chosen() == ["never"])
        question.filter.identities = [other]
        #expect(try chosen().isEmpty)
    }

    /// Pages of the store don't show.
    @Test func manyUsersAreListedOnce() throws {
        let fixture = try ReportsFixture()
        let users = (0..<120).map { UserIdentity(login: "user\($0)", uid: UInt32(2000 + $0)) }
        _ = try fixture.writer.setTracking(users, tracked: true, by: "root", reason: "r", at: F.wall(5))
        var question = Question(.users)
        question.present = users
        #expect(try fixture.lines(question).map { $0["user"] as? String } == users.map(\.login))
    }

    @Test func openSpansCanBeLeftOut() throws {
        var random = SeededRandom(seed: 3)
        let fixture = try ReportsFixture()
        let half = F.random(F.session(1), until: 500, durable: 500, &random)
        try fixture.writer.write(half.batch)
        var question = Question(.spans, live: half.rows)
        let all = try fixture.lines(question)
        question.includeOpen = false
        let closed = try fixture.lines(question)
        #expect(closed.allSatisfy { $0["open"] as? Bool == false && !($0["end"] is NSNull) })
        #expect(all.filter { $0["open"] as? Bool == true }.count == all.count - closed.count)
        #expect(all.allSatisfy { Self.keys.isSubset(of: $0.keys) })
    }

    @Test func othersStayOut() throws {
        var random = SeededRandom(seed: 4)
        let fixture = try ReportsFixture()
        var rows: [ActivityRow] = []
        for (number, login, uid) in [(1, "anna", 1001), (2, "ben", 1002), (3, "carl", 1001)] as [(UInt64, String, UInt32)] {
            // Ben's is not durable yet; carl got anna's uid.
            let half = F.random(F.session(number, login, uid), until: 900, durable: 500, &random)
            if number != 2 { try fixture.writer.write(half.batch) }
            rows += half.rows
        }
        func users(_ change: (inout SessionFilter) -> Void) throws -> Set<String> {
            var question = Question(.spans, live: rows)
            change(&question.filter)
            return Set(try fixture.lines(question).compactMap { $0["user"] as? String })
        }
        #expect(try users { $0.identities = [UserIdentity(login: "carl", uid: 1001)] } == ["carl"])
        #expect(try users { $0.identities = [UserIdentity(login: "ben", uid: 1002)] } == ["ben"])
        #expect(try users { $0.identities = [UserIdentity(login: "ben", uid: 1001)] } == [])
        #expect(try users { $0.login = "ben" } == ["ben"])
        #expect(try users { $0.session = F.uuid(2) } == ["ben"])
        #expect(try users { _ in } == ["anna", "ben", "carl"])
    }

    @Test(
        arguments: [
            (0, "1970-01-01T00:00:00.000000Z"), (1_767_323_045_123_456_789, "2026-01-02T03:04:05.123456Z"),
            (951_782_400_000_000_000, "2000-02-29T00:00:00.000000Z"), (-1, "1969-12-31T23:59:59.999999Z"),
            (4_107_542_399_000_000_000, "2100-02-28T23:59:59.000000Z"), (4_107_542_400_000_000_000, "2100-03-01T00:00:00.000000Z"),
        ] as [(Int64, String)])
    func momentsAreISO8601(nanoseconds: Int64, text: String) {
        #expect(WallInstant(nanoseconds: nanoseconds).iso8601 == text)
    }

    @Test func momentsAreThoseOfFoundation() {
        let formatter = ISO8601DateFormatter()
        var random = SeededRandom(seed: 8)
        for _ in 0..<2000 {
            let seconds = Int64.random(in: -9_000_000_000...9_000_000_000, using: &random)
            let expected = formatter.string(from: Date(timeIntervalSince1970: Double(seconds))).dropLast() + ".000000Z"
            #expect(WallInstant(nanoseconds: seconds * 1_000_000_000).iso8601 == expected)
        }
        _ = WallInstant(nanoseconds: .min).iso8601
        _ = WallInstant(nanoseconds: .max).iso8601
    }
}

extension ReportsFixture {
    static func span(_ start: Double, _ end: Double) -> TimeSpan { TimeSpan(start: at(start), end: at(end)) }
}
