import Foundation
import Glibc
import SeededRandom
import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

/// The service on a real bus, with a collector of the test's own.
@Suite(.serialized) @MainActor struct ReportsServiceTests {
    typealias F = ReportsFixture

    @MainActor final class Stage {
        let fixture: ReportsFixture
        let bus: TestBus
        let loop: EventLoop
        let connection: BusConnection
        let client: BusConnection
        let service: ReportsService
        var collector: (BusConnection, BusSlot)?
        var asked: [[String: BusValue]] = []
        /// What the collector was to record, and whether it can.
        var reads: [[String: BusValue]] = []
        var canRecord = true
        /// What the collector tells of aggregates, what it keeps of them, and what it was asked for.
        var aggregation: [String: BusValue] = [:]
        var fixed: [String: BusValue] = [:]
        var canFix = true
        var managed: [String] = []

        init(
            _ change: (inout ReportsService.Options) -> Void = { _ in }, collector rows: [ActivityRow]? = nil,
            sessions: [[String: BusValue]] = []
        ) throws {
            fixture = try ReportsFixture()
            bus = try TestBus()
            loop = try EventLoop()
            connection = try .open(address: bus.address)
            try connection.attach(to: loop)
            client = try .open(address: bus.address)
            try client.attach(to: loop)
            var options = ReportsService.Options()
            options.store = fixture.path
            options.keys = fixture.keys
            change(&options)
            service = try ReportsService(options: options, bus: connection, loop: loop)
            if let rows {
                let manager = try BusConnection.open(address: bus.address)
                try manager.attach(to: loop)
                let slot = try manager.export(
                    path: "/org/termspan1",
                    BusInterface(
                        "org.termspan1.Manager",
                        methods: [
                            BusMethod("CollectActivity", in: ["filter": "a{sv}"], out: ["rows": "aa{sv}"]) {
                                [unowned self] call throws(BusError) in
                                asked.append(try call.message.readProperties())
                                call.reply { $0.rows(rows.map(\.properties)) }
                            },
                            BusMethod("RecordRead", in: ["read": "a{sv}"]) { [unowned self] call throws(BusError) in
                                reads.append(try call.message.readProperties())
                                guard canRecord else {
                                    throw BusError(name: "org.termspan1.Error.StoreFailed", message: "The disk is full.")
                                }
                                call.reply()
                            },
                            BusMethod("GetAggregation", out: ["aggregation": "a{sv}"]) { [unowned self] call in
                                managed.append("GetAggregation")
                                call.reply { $0.properties(aggregation.merging(["fixed": .properties(fixed)]) { $1 }) }
                            },
                            BusMethod("FixAggregates", in: ["months": "a{sv}"], out: ["fixed": "a{sv}"]) {
                                [unowned self] call throws(BusError) in
                                managed.append("FixAggregates")
                                let months = try call.message.readProperties()
                                guard canFix else {
                                    throw BusError(name: "org.termspan1.Error.StoreFailed", message: "The disk is full.")
                                }
                                fixed.merge(months) { old, _ in old }
                                call.reply { $0.properties(fixed) }
                            },
                            BusMethod("ListSessions", out: ["sessions": "aa{sv}"]) { call in call.reply { $0.rows(sessions) } },
                        ]))
                try manager.requestName("org.termspan1")
                collector = (manager, slot)
            }
        }

        /// Calls and gives the pipe's reading end, or the error.
        func ask(_ member: String, _ filter: [String: BusValue] = [:]) throws -> Result<Int32, BusError> {
            var answer: Result<Int32, BusError>?
            client.call(
                ReportsService.name, path: ReportsService.path, interface: ReportsService.name, member: member,
                arguments: { $0.properties(filter) },
                reply: { result in
                    answer = result.flatMap { message in
                        do throws(BusError) { return .success(dup(try message.readUnixFD())) } catch { return .failure(error) }
                    }
                })
            try turn { answer != nil }
            return try #require(answer)
        }

        func turn(until condition: () -> Bool) throws {
            let limit = loop.now.advanced(by: .seconds(20))
            while !condition() {
                try #require(loop.now < limit, "nothing happened for too long")
                try loop.runOnce(timeout: .milliseconds(20))
            }
        }

        /// Reads a pipe to its end while the loop turns.
        func read(_ descriptor: Int32) throws -> [[String: Any]] {
            _ = fcntl(descriptor, F_SETFL, O_NONBLOCK)
            var bytes: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 1 << 16)
            try turn {
                while true {
                    let count = Glibc.read(descriptor, &part, part.count)
                    if count > 0 { bytes += part[..<count] } else { return count == 0 }
                }
            }
            close(descriptor)
            return try bytes.split(separator: UInt8(ascii: "\n")).map {
                try #require(JSONSerialization.jsonObject(with: Data($0)) as? [String: Any])
            }
        }

        func stop() { bus.stop() }
    }

    static func error(_ result: Result<Int32, BusError>) -> BusError? { if case .failure(let error) = result { error } else { nil } }

    @Test func answersFromStoreAndCollector() throws {
        var random = SeededRandom(seed: 1)
        let half = F.random(F.session(1), until: 2000, durable: 1000, &random)
        let stage = try Stage(collector: half.rows)
        defer { stage.stop() }
        try stage.fixture.writer.write(half.batch)
        let spans = try stage.read(try stage.ask("Spans").get())
        #expect(spans.count > 5)
        #expect(spans.count == (try stage.fixture.lines(Question(.spans, live: half.rows)).count))
        let summary = try stage.read(
            try stage.ask("Summary", ["uid": .uint32(1001), "session-uuid": .string(F.uuid(1).description)]).get())
        #expect(summary.count == 1 && (summary[0]["total"] as? NSNumber)?.doubleValue == 1990)
        #expect(stage.asked.last?["uid"] == .uint32(1001))
        #expect(try stage.read(try stage.ask("Spans", ["user": "nobody-of-that-name"]).get()).isEmpty)
        #expect(try stage.read(try stage.ask("History").get()).count == 1)
        let events = try stage.read(try stage.ask("History", ["events": true]).get())
        #expect(events.first?["event"] as? String == "recorded")
        #expect(Self.error(try stage.ask("Spans", ["events": true]))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
        let users = try stage.read(try stage.ask("Summary", ["by": "user"]).get())
        #expect((users.first?["total"] as? NSNumber)?.doubleValue == 1990)
        let report = try stage.read(
            try stage.ask("Report", ["by": "user,day", "zone": "Asia/Kathmandu", "idle-model": "activitywatch"]).get())
        #expect(report.reduce(0) { $0 + (($1["total"] as? NSNumber)?.doubleValue ?? 0) } == 1990)
        for filter in [["by": "month"], ["zone": "Europe/Nowhere"], ["idle-model": "other"], ["groups": .strings([])]]
            as [[String: BusValue]]
        {
            #expect(Self.error(try stage.ask("Report", filter))?.name == "org.freedesktop.DBus.Error.InvalidArgs", "\(filter)")
        }
    }

    /// An export is a read like any other: recorded, and with filters that are known.
    @Test func exportsAreAnsweredAndRecorded() throws {
        var random = SeededRandom(seed: 3)
        let half = F.random(F.session(1), until: 2000, durable: 2000, &random)
        let stage = try Stage(collector: half.rows)
        defer { stage.stop() }
        try stage.fixture.writer.write(half.batch)
        let rows = try stage.read(try stage.ask("Export", ["user": "anna"]).get())
        #expect(stage.reads.map { $0["kind"] } == ["export"])
        let cursor = try #require(rows.last?["cursor"] as? String)
        #expect(rows.count > 5 && rows.last?["complete"] as? Bool == true)
        let later = try stage.read(try stage.ask("Export", ["user": "anna", "after": .string(cursor)]).get())
        #expect(later.count == 1 && later[0]["rows"] as? Int == 0)
        let others = try stage.read(try stage.ask("Export", ["user": "ben", "after": .string(cursor)]).get())
        #expect((others.first?["error"] as? String)?.contains("something else") == true)
        #expect(try stage.read(try stage.ask("Spans", ["computer": "elsewhere"]).get()).isEmpty)
        #expect(try stage.read(try stage.ask("Spans", ["languages": .strings([])]).get()).first?["description"] != nil)
        for wrong: [String: BusValue] in [
            ["after": "x"], ["format": "xml"], ["zone": "No/Where"], ["category": "locked"], ["group": ""],
            ["format": "tables", "after": .string(cursor)], ["format": "tables", "pseudonyms": "2026-01"],
            ["pseudonyms": "2026-01", "group": "staff"], ["pseudonyms": "2026-01", "after": .string(cursor)],
        ] {
            #expect(Self.error(try stage.ask("Export", wrong))?.name == "org.freedesktop.DBus.Error.InvalidArgs", "\(wrong)")
        }
        for wrong: [String: BusValue] in [["format": "csv"], ["after": .string(cursor)], ["zone": "UTC"]] {
            #expect(Self.error(try stage.ask("Spans", wrong))?.name == "org.freedesktop.DBus.Error.InvalidArgs", "\(wrong)")
        }
    }

    /// Those of the store, and those who are logged on, recorded or not.
    @Test func usersAreListed() throws {
        func row(_ user: String, _ uid: UInt32, _ state: String, _ stack: String = "xrdp") -> [String: BusValue] {
            ["user": .string(user), "uid": .uint32(uid), "state": .string(state), "stack": .string(stack)]
        }
        let stage = try Stage(
            collector: [],
            sessions: [
                row("root", 0, "disconnected", "services"), row("ben", 1002, "active"), row("ben", 1002, "disconnected", "x2go"),
                row("greeter", 104, "connected"), ["id": .uint32(65536), "state": "listen", "stack": "xrdp"],
            ])
        defer { stage.stop() }
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(60), reason: .logoff)]
        try stage.fixture.writer.write(batch)
        let users = try stage.read(try stage.ask("Users", ["all": true]).get())
        #expect(users.map { $0["user"] as? String } == ["anna", "ben"] && users.map { $0["open"] as? Bool } == [false, true])
        #expect(try stage.read(try stage.ask("Users", ["user": "ben"]).get()).map { $0["user"] as? String } == ["ben"])
        #expect(try stage.read(try stage.ask("Users", ["uid": .uint32(1001)]).get()).map { $0["user"] as? String } == ["anna"])
        for (filter, found) in [
            (["search": "AN"], ["anna"]), (["has-data": true], ["anna"]), (["has-data": false], ["ben"]),
            (["status": "untracked"], ["anna", "ben"]), (["status": "tracked"], []), (["seen-since": .uint64(.max >> 1)], ["ben"]),
            (["domain": "nowhere"], []), (["group": "root", "has-data": true], []),
        ] as [([String: BusValue], [String])] {
            let rows = try stage.read(try stage.ask("Users", filter.merging(["all": true]) { $1 }).get())
            #expect(rows.map { $0["user"] as? String } == found, "\(filter)")
        }
        let missing = try stage.read(try stage.ask("Users", ["all": true, "group": "own:none"]).get())
        #expect(missing.map { $0["not_found"] as? Bool } == [true])
        #expect(stage.asked.isEmpty)
        for filter in [
            ["since": .uint64(1)], ["session": .uint32(1)], ["open": true], ["by": "user"], ["status": "other"], ["has-data": "yes"],
            ["search": ""], ["group": .string(String(repeating: "x", count: 257))], ["domain": .uint32(1)], ["seen-since": "today"],
        ] as [[String: BusValue]] {
            #expect(Self.error(try stage.ask("Users", filter))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
        }
    }

    /// Whatever shows others' data is recorded first; root is answered where that can't be.
    @Test(.enabled(if: getuid() == 0)) func whoReadsWhatIsOthersIsRecorded() throws {
        let stage = try Stage(collector: [])
        defer { stage.stop() }
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        try stage.fixture.writer.write(batch)
        let questions: [(String, [String: BusValue], String, [String: BusValue])] = [
            ("Spans", [:], "spans", [:]), ("Summary", ["user": "anna", "since": .uint64(5)], "summary", ["user": "anna"]),
            ("Summary", ["by": "user", "uid": .uint32(1001)], "summary", ["uid": .uint32(1001)]),
            ("Report", ["by": "user,day", "zone": "UTC", "own-time": true], "report", [:]),
            ("History", ["session": .uint32(3), "events": true], "history", ["session": .uint32(3)]),
            (
                "Spans", ["session": .uint32(3), "since": .uint64(5)], "spans",
                ["session": .uint32(3), "since": .int64(5000)]
            ),
            ("Records", ["session-uuid": .string(F.uuid(1).description)], "records", ["session-uuid": .string(F.uuid(1).description)]),
            ("Users", ["all": true], "users", [:]), ("Audit", ["user": "anna"], "audit", ["user": "anna"]),
            ("Facts", ["all": true], "facts", [:]), ("Facts", ["user": "anna", "history": true], "facts", ["user": "anna"]),
            ("VerifyStore", ["all": true], "check", [:]), ("VerifyStore", ["user": "anna"], "check", ["user": "anna"]),
        ]
        for (member, filter, kind, whose) in questions {
            _ = try stage.read(try stage.ask(member, filter).get())
            try stage.turn { !stage.reads.isEmpty }
            #expect(stage.reads.removeFirst() == whose.merging(["reader": .uint32(0), "kind": .string(kind)]) { first, _ in first })
        }
        // One's own, and what tells of nobody.
        _ = try stage.read(try stage.ask("Spans", ["uid": .uint32(0)]).get())
        _ = try stage.read(try stage.ask("Spans", ["user": "root"]).get())
        _ = try stage.read(try stage.ask("VerifyAudit").get())
        _ = try stage.read(try stage.ask("VerifyStore", ["uid": .uint32(0)]).get())
        #expect(stage.reads.isEmpty)
        stage.canRecord = false
        #expect(try stage.read(try stage.ask("History").get()).count == 1)
        #expect(Self.error(try stage.ask("VerifyAudit", ["all": true]))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
        for filter: [String: BusValue] in [
            ["since": .uint64(1)], ["at": .uint64(1), "history": true], ["at": "now"], ["pseudonyms": "2026-10"],
        ] {
            #expect(Self.error(try stage.ask("Facts", filter))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
        }
        #expect(Self.error(try stage.ask("Audit", ["session": .uint32(1)]))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
    }

    /// Decisions are of no session: a session's records have none, whosever it is.
    @Test func aSessionsRecordsHaveNoDecisions() throws {
        let stage = try Stage(collector: [])
        defer { stage.stop() }
        let user = UserIdentity(login: "anna", uid: 1001)
        _ = try stage.fixture.writer.setTracking([user], tracked: true, by: "root", reason: "billing", at: F.anchor.wall)
        #expect(try stage.read(try stage.ask("Records", ["all": true]).get()).map { $0["record"] as? String } == ["decision"])
        let filters: [[String: BusValue]] = [
            ["session": .uint32(.max)], ["session-uuid": .string(F.uuid(1).description), "user": "anna"],
        ]
        for filter in filters {
            #expect(try stage.read(try stage.ask("Records", filter).get()).isEmpty)
        }
    }

    @Test func theAuditRecordIsListedAndChecked() throws {
        let stage = try Stage()
        defer { stage.stop() }
        let writer = stage.fixture.writer
        _ = try writer.setTracking(
            [UserIdentity(login: "anna", uid: 1001)], tracked: true, by: "root", reason: "billing", at: F.anchor.wall)
        try writer.recordRead(.spans, of: SessionFilter(), by: "uid 1000", at: F.anchor.wall)
        let rows = try stage.read(try stage.ask("Audit").get())
        #expect(rows.map { $0["action"] as? String } == ["tracked", "read-spans"])
        #expect(rows.map { $0["user"] as? String } == ["anna", nil] && rows.map { $0["by"] as? String } == ["root", "uid 1000"])
        let check = try stage.read(try stage.ask("VerifyAudit").get())
        let digests: [String?] = rows.map { $0["sha256"] as? String } + [nil]
        #expect(check.map { $0["sha256"] as? String } == digests)
        #expect(check.last?["entries"] as? Int == 2 && check.last?["problem"] is NSNull && check.last?["known"] == nil)
        for (known, isKnown) in [(try #require(digests[0]), true), (String(repeating: "0", count: 64), false)] {
            #expect(try stage.read(try stage.ask("VerifyAudit", ["known": .string(known)]).get()).last?["known"] as? Bool == isKnown)
        }
        #expect(Self.error(try stage.ask("VerifyAudit", ["known": "x"]))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
    }

    @Test func answersWithoutACollectorAndWithoutAStore() throws {
        let stage = try Stage({ $0.store += ".none" })
        defer { stage.stop() }
        #expect(try stage.read(try stage.ask("Spans").get()).isEmpty)
        #expect(try stage.read(try stage.ask("Users").get()).isEmpty)
        #expect(try stage.read(try stage.ask("Audit").get()).isEmpty)
        #expect(try stage.read(try stage.ask("VerifyAudit").get()).isEmpty)
    }

    @Test func aDamagedStoreIsSaidInTheAnswer() throws {
        let stage = try Stage({ $0.store += ".damaged" })
        defer { stage.stop() }
        try Data(repeating: 0x41, count: 5000).write(to: URL(filePath: stage.fixture.path + ".damaged"))
        let lines = try stage.read(try stage.ask("Spans").get())
        #expect(lines.count == 1 && lines[0]["error"] is String)
    }

    @Test(
        arguments: [
            ["user": .uint32(5)], ["uid": "x"], ["session": .uint64(.max)], ["session-uuid": "zz"], ["since": .int64(-1)], ["open": "yes"],
            ["usr": "anna"], ["by": "user"], ["user": ""], ["pseudonyms": "9999-12"], ["pseudonyms": "2262-04"], ["pseudonyms": "2026-1"],
            ["pseudonyms": .uint32(5)], ["pseudonyms": "2026-01", "user": "anna"], ["pseudonyms": "2026-01", "all": true],
            ["pseudonyms": "2026-01", "since": .uint64(1)], ["pseudonyms": "2026-01", "session": .uint32(1)],
        ] as [[String: BusValue]])
    func wrongFiltersAreRefused(filter: [String: BusValue]) throws {
        let stage = try Stage()
        defer { stage.stop() }
        #expect(Self.error(try stage.ask("Spans", filter))?.name == "org.freedesktop.DBus.Error.InvalidArgs")
    }

    /// Readers that do not read hold up nobody, and can't have more than their share.
    @Test func aSlowReaderCostsOnlyItself() throws {
        let stage = try Stage({
            $0.answersPerUser = 3
            $0.patience = .seconds(5)
        })
        defer { stage.stop() }
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        batch.focus = (0..<5000).map { FocusRecord(session: F.uuid(1), span: F.span(Double($0 + 10), Double($0 + 11)), application: nil) }
        batch.seen = F.at(6000)
        try stage.fixture.writer.write(batch)
        let slow = try [stage.ask("Spans").get(), stage.ask("Spans").get()]
        #expect(try stage.read(try stage.ask("Spans").get()).count == 5000)
        try stage.turn { stage.service.activeAnswers == 2 }
        let third = try stage.ask("Spans").get()
        #expect(Self.error(try stage.ask("Spans"))?.name == "org.freedesktop.DBus.Error.LimitsExceeded")
        // One that goes away frees its place, as do those that never read.
        close(third)
        try stage.turn { stage.service.activeAnswers == 0 }
        for descriptor in slow { close(descriptor) }
        #expect(try stage.read(try stage.ask("Summary").get()).count == 1)
    }

    @Test func endsWhenIdle() throws {
        let stage = try Stage({ $0.idle = .milliseconds(300) })
        defer { stage.stop() }
        let descriptor = try stage.ask("Spans").get()
        #expect(try stage.read(descriptor).isEmpty)
        #expect(try stage.loop.run() == 0)
    }

    /// As another user: one's own data needs no right, others' do; and there is no polkit here to give it.
    @Test(.enabled(if: getuid() == 0)) func othersDataNeedsTheRight() throws {
        var random = SeededRandom(seed: 1)
        let half = F.random(F.session(1), until: 200, durable: 100, &random)
        let stage = try Stage(collector: half.rows)
        defer { stage.stop() }
        func busctl(_ arguments: String...) throws -> String {
            let call = [
                "setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "busctl", "--address=\(stage.bus.address)", "call",
                ReportsService.name, ReportsService.path, ReportsService.name,
            ]
            let child = try TestChild(call + arguments)
            try stage.turn { child.hasEnded() }
            return child.output()
        }
        #expect(try busctl("Spans", "a{sv}", "0").hasPrefix("h "))
        #expect(stage.asked.last?["uid"] == .uint32(65534))
        #expect(try busctl("Summary", "a{sv}", "1", "user", "s", "nobody").hasPrefix("h "))
        #expect(try busctl("Spans", "a{sv}", "1", "uid", "u", "1001").contains("ccess"))
        #expect(try busctl("History", "a{sv}", "1", "uid", "u", "1001").contains("ccess"))
        #expect(try busctl("Users", "a{sv}", "1", "uid", "u", "1001").contains("ccess"))
        #expect(try busctl("Users", "a{sv}", "1", "all", "b", "true").contains("ccess"))
        #expect(try busctl("Spans", "a{sv}", "1", "user", "s", "anna").contains("ccess"))
        #expect(try busctl("Audit", "a{sv}", "1", "user", "s", "anna").contains("ccess"))
        #expect(try busctl("Audit", "a{sv}", "1", "all", "b", "true").contains("ccess"))
        #expect(try busctl("VerifyAudit", "a{sv}", "0").hasPrefix("h "))
        for member in ["Spans", "Summary", "History"] {
            #expect(try busctl(member, "a{sv}", "1", "pseudonyms", "s", "2026-01").contains("ccess"))
        }
        #expect(try busctl("Records", "a{sv}", "1", "pseudonyms", "s", "2026-01").contains("no filter"))
        #expect(try busctl("Aggregates", "a{sv}", "0").contains("ccess"))
        #expect(try busctl("Aggregates", "a{sv}", "1", "period", "s", "2026-01").contains("ccess"))
        #expect(try busctl("Audit", "a{sv}", "0").hasPrefix("h "))
        #expect(try busctl("Spans", "a{sv}", "1", "all", "b", "true").contains("ccess"))
        #expect(try busctl("Spans", "a{sv}", "2", "user", "s", "nobody", "uid", "u", "0").contains("ccess"))
        #expect(stage.asked.count == 2 && stage.reads.isEmpty)
    }
}
