import Foundation
import Glibc
import TermspanBus
import TermspanCore
import TermspanJournal
import Testing

@testable import TermspanCommands

@Suite struct RenderingTests {
    static func row(
        _ id: UInt32, _ name: String, _ user: String, _ state: ConnectState, own: Bool = false, idle: UInt64? = nil,
        more: [String: BusValue] = [:]
    ) -> SessionRow {
        var values: [String: BusValue] = [
            "id": .uint32(id), "name": .string(name), "user": .string(user), "state": .string(state.name), "mine": .bool(own),
        ]
        if let idle { values["idle"] = .uint64(idle) }
        return SessionRow(values.merging(more) { $1 })
    }

    /// The example of Microsoft's documentation of `query session`.
    @Test func sessionsLookLikeTheirNamesakes() {
        let rows = [
            Self.row(0, "services", "", .disconnected), Self.row(2, "rdp-tcp#16", "user", .active, own: true),
            Self.row(65536, "rdp-tcp", "", .listen),
        ]
        #expect(
            SessionTables.sessions(rows) == [
                " SESSIONNAME       USERNAME                 ID  STATE   TYPE        DEVICE",
                " services                                    0  Disc",
                ">rdp-tcp#16        user                      2  Active",
                " rdp-tcp                                 65536  Listen",
            ])
    }

    @Test func usersLookLikeTheirNamesakes() {
        let rows = [
            Self.row(0, "services", "", .disconnected),
            Self.row(3, "rdp-tcp#2", "srvadmin", .active, own: true, idle: 30_000_000, more: ["logon": .uint64(1_652_516_640_000_000)]),
            Self.row(4, "console", "", .connected), Self.row(5, "rdp-tcp#5", "gone", .disconnected),
        ]
        let lines = SessionTables.users(rows)
        #expect(lines.count == 3)
        #expect(lines[0] == " USERNAME              SESSIONNAME        ID  STATE   IDLE TIME  LOGON TIME")
        #expect(lines[1].hasPrefix(">srvadmin              rdp-tcp#2           3  Active          .  2022-05-14 "))
        #expect(lines[2] == " gone                                      5  Disc         none")
    }

    @Test func sessionsDisconnectedForLongAreStale() throws {
        let now = WallInstant(nanoseconds: 1_800_000_000_000_000_000)
        func row(_ id: UInt32, _ days: UInt64?, _ state: ConnectState = .disconnected) -> SessionRow {
            let ago = days.map { ["disconnected": BusValue.uint64(1_800_000_000_000_000 - $0 * 86_400_000_000)] }
            return Self.row(id, "", id == 0 ? "" : "user\(id)", state, more: ago ?? [:])
        }
        let rows = [
            row(0, 30), row(1, 6), row(2, 7), row(3, 30, .active), row(4, nil), row(5, 9), row(6, 7, .connected),
        ]
        let stale = StaleRow.rows(of: rows, longerThan: 7 * 86400, now: now) { row in
            row.id == 2 ? SessionUsage(memory: 1_500_000_000, cpuMicroseconds: 3_600_500_000, processes: 9) : nil
        }
        #expect(stale.map(\.session.id) == [5, 2])
        let lines = StaleRow.lines(stale)
        #expect(lines[0] == " USER           ID  DISCONNECTED                    FOR    MEMORY       CPU  PROCESSES".dropFirst())
        #expect(lines[1].hasSuffix("     9d 0h") && lines[2].hasSuffix("    7d 0h    1.5 GB   1:00:01          9"))
        #expect(
            stale[1].json.text.hasSuffix(
                "\"duration\":604800,\"memory\":1500000000,\"cpu\":3600.5,\"processes\":9}"))
        #expect(stale[0].json.text.hasSuffix("\"memory\":null,\"cpu\":null,\"processes\":null}"))
        #expect(TimeText.length("7d") == 604_800 && TimeText.length("90min") == 5400 && TimeText.length("soon") == nil)
    }

    /// Only what a scope's name says is read, whatever the collector tells.
    @Test func usageIsReadFromTheSessionsScopesAlone() throws {
        var folder = Array("/tmp/termspan-usage-XXXXXX".utf8CString)
        try #require(mkdtemp(&folder) != nil)
        let root = String(decoding: folder.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        defer { try? FileManager.default.removeItem(atPath: root) }
        func make(_ path: String, _ files: [String: String]) {
            var parent = root
            for part in path.split(separator: "/") {
                parent += "/" + part
                mkdir(parent, 0o755)
            }
            for (name, text) in files {
                let descriptor = open(parent + "/" + name, O_CREAT | O_WRONLY, 0o644)
                _ = text.withCString { write(descriptor, $0, strlen($0)) }
                close(descriptor)
            }
        }
        func scope(_ memory: String, _ cpu: String) -> [String: String] {
            ["memory.current": memory + "\n", "cpu.stat": "usage_usec \(cpu)\nuser_usec 1\n", "cgroup.procs": "12\n13\n"]
        }
        make("user.slice/user-1003.slice/session-3.scope", scope("1000", "50"))
        make("user.slice/user-1003.slice/session-4.scope", scope("24", "7"))
        make("user.slice/user-1003.slice/session-4.scope/inner", ["cgroup.procs": "14\n"])
        make("user.slice/user-1003.slice/other.scope", scope("junk", "-3"))
        make("secret", scope("9", "9"))
        func usage(_ scope: String, _ logins: [String]) -> SessionUsage? {
            SessionUsage(
                of: Self.row(
                    3, "", "user3", .disconnected,
                    more: ["uid": .uint32(1003), "scope": .string(scope), "logind-sessions": .strings(logins)]),
                root: root)
        }
        #expect(usage("session-3.scope", ["3", "4"]) == SessionUsage(memory: 1024, cpuMicroseconds: 57, processes: 5))
        #expect(usage("other.scope", []) == SessionUsage(memory: nil, cpuMicroseconds: nil, processes: 2))
        #expect(usage("../../secret", []) == nil && usage("", ["99"]) == nil)
    }

    @Test func processesLookLikeTheirNamesakes() {
        let lines = SessionTables.processes([
            ProcessRow(user: "user", sessionName: "rdp-tcp#2", session: 2, processID: 4711, image: "xterm\u{1B}", isOwn: true)
        ])
        #expect(lines[0] == " USERNAME              SESSIONNAME         ID    PID  IMAGE")
        #expect(lines[1] == ">user                  rdp-tcp#2            2   4711  xterm\u{FFFD}")
    }

    @Test func longAndWideNamesWidenTheirColumnAndNothingElse() {
        let rows = [
            Self.row(1, "rdp-tcp#1", "a-user-whose-name-is-much-too-long@example.org", .active),
            Self.row(2, "rdp-tcp#2", "\u{7530}\u{4E2D}", .active), Self.row(3, "rdp-tcp#3", "Jose\u{301}", .active),
        ]
        let lines = SessionTables.sessions(rows)
        // Each line ends in the state, which stands in one column.
        #expect(lines.dropFirst().allSatisfy { $0.hasSuffix("  Active") })
        #expect(Set(lines.dropFirst().map { Printable.width($0) }).count == 1)
    }

    @Test func averagesAreATable() throws {
        let table = AggregatesTable()
        let text =
            #"{"period":"2026-10","group":null,"users":15,"active":36000,"passive":900,"inactive":0,"connected":40500,"#
            + #""active_share":89,"withheld":null}"#
        let row = try #require(JSONValue(text.utf8))
        let withheld = try #require(
            JSONValue(#"{"period":"2026-10","group":"sales","users":null,"active":null,"withheld":"too-few"}"#.utf8))
        #expect(
            [table.header, table.line(row), table.line(withheld)] == [
                "PERIOD   GROUP                 USERS     ACTIVE    PASSIVE   INACTIVE  CONNECTED  SHARE  WITHHELD",
                "2026-10  (everybody)             15+   10:00:00    0:15:00    0:00:00   11:15:00    89%",
                "2026-10  sales                                                                           too-few",
            ])
    }

    @Test func nothingHostileReachesTheTerminal() {
        let hostile = "a\u{1B}[2J\u{7}\u{9B}31m\r\n\u{202E}b\u{85}\u{2028}\u{7F}"
        let row = Self.row(1, hostile, hostile, .active, more: ["client-name": .string(hostile), "display": .string(hostile)])
        var screen = TopScreen()
        screen.sessions = [row]
        screen.problem = hostile
        let span = JSONValue.object([.init("user", .string(hostile)), .init("class", .string(hostile)), .init("start", .string(hostile))])
        let entry = JournalEntry(time: WallInstant(nanoseconds: 0), fields: ["MESSAGE": [hostile]])
        let all =
            SessionTables.sessions([row]) + SessionTables.users([row]) + SessionText.lines(row) + [
                SpanTable().line(span), LogText.line(entry), AggregatesTable().line(.object([.init("group", .string(hostile))])),
            ]
            + SummaryTable.lines([span]) + screen.lines(width: 200, height: 20, now: WallInstant(nanoseconds: 0), colors: false)
            + CheckResult.lines([CheckResult(hostile, .fail, hostile, remedy: hostile)])
            + CommandError(.failure, hostile, remedy: hostile).lines
            + [row.json.text, LogText.json(entry).text, span.text]
        let user = Self.user(hostile, domain: hostile, seen: hostile)
        for line in all + UsersTable().lines([user]) + SeatsTable().lines([SeatsTable.row(user, TrackingPolicy([:]), waits: false)]) {
            for scalar in line.unicodeScalars {
                #expect(!(scalar.value < 0x20 || 0x7F..<0xA0 ~= scalar.value || scalar.value == 0x2028), "\(line.debugDescription)")
            }
        }
        #expect(!SessionTables.sessions([row]).joined().contains("\u{202E}"))
    }

    @Test(
        arguments: [
            (2, true, true, nil, nil, "taken", "sessions are held: 2"), (2, false, false, 1, 9, "taken", "sessions are held: 2"),
            (0, true, true, 3, 3, "waits", "all are taken"), (0, true, true, 3, nil, "waits", "all are taken"),
            (0, true, false, 3, 4, "none", "all are taken, and nothing is held"),
            (0, true, false, 3, 2, "none", "nothing is held yet"), (0, true, false, nil, 9, "none", "nothing is held yet"),
            (0, false, false, 3, 3, "none", "nothing is held, and nothing is recorded"),
        ] as [(UInt64, Bool, Bool, UInt64?, UInt64?, String, String)])
    func aSeatIsExplained(
        sessions: UInt64, isTracked: Bool, waits: Bool, limit: UInt64?, taken: UInt64?, seat: String, why: String
    ) {
        var values: [String: BusValue] = [:]
        if let limit { values["seats"] = .uint64(limit) }
        if let taken { values["seats-taken"] = .uint64(taken) }
        let user = JSONValue.object([
            .init("user", .string("anna")), .init("tracked", .bool(isTracked)), .init("sessions", .unsigned(sessions)),
        ])
        let row = SeatsTable.row(user, TrackingPolicy(values), waits: waits)
        #expect(row["seat"]?.string == seat && row["why"]?.string == why)
    }

    @Test(
        arguments: [
            (#"{"duration":0.000958533,"executable":null,"class":null,"open":false}"#, true),
            (#"{"duration":0.099999999,"executable":null,"class":null,"open":false}"#, true),
            (#"{"duration":0.1,"executable":null,"class":null,"open":false}"#, false),
            (#"{"duration":0.001,"executable":"/usr/bin/xterm","class":null,"open":false}"#, false),
            (#"{"duration":0.001,"executable":null,"class":"XTerm","open":false}"#, false),
            (#"{"duration":0.001,"executable":null,"class":null,"open":true}"#, false),
            (#"{"duration":0.001,"executable":null,"class":null,"open":false,"switches":300}"#, false),
            (#"{"executable":null,"class":null,"open":false}"#, false),
        ]) func onlyMomentsBetweenWindowsAreLeftOut(span: String, isLeftOut: Bool) throws
    {
        #expect(SpanTable.isBetweenWindows(try #require(JSONValue(span.utf8))) == isLeftOut)
    }

    @Test(
        arguments: [
            (nil, "none"), (0, "."), (59, "."), (60, "1"), (300, "5"), (3599, "59"), (3600, "1:00"), (14_700, "4:05"), (86_399, "23:59"),
            (86_400, "1+00:00"), (273_900, "3+04:05"),
        ] as [(UInt64?, String)]) func idleTimesAreThoseOfWindows(seconds: UInt64?, text: String)
    {
        #expect(TimeText.idle(microseconds: seconds.map { $0 * 1_000_000 }) == text)
    }

    @Test func momentsAreReadAndWritten() throws {
        let now = try #require(TimeText.parse("2026-03-04T05:06:07Z", now: WallInstant(nanoseconds: 0)))
        #expect(TimeText.utc(now) == "2026-03-04T05:06:07.000000Z")
        #expect(TimeText.parse("2026-03-04 06:06:07.25+01:00", now: now)?.nanoseconds == now.nanoseconds + 250_000_000)
        #expect(TimeText.parse(TimeText.local(now), now: now) == now)
        #expect(TimeText.parse("2h", now: now) == now.advanced(by: .seconds(-7200)))
        #expect(TimeText.parse("30min ago", now: now) == now.advanced(by: .seconds(-1800)))
        #expect(TimeText.parse("-7d", now: now) == now.advanced(by: .seconds(-604_800)))
        let today = try #require(TimeText.parse("today", now: now))
        #expect(today <= now && today.duration(to: now) < .seconds(90_000))
        #expect(TimeText.parse("2026-03-04", now: now) != nil)
        for text in ["", "later", "2026-13-01", "2026-1-1", "25:00", "2026-03-04T05:06:07+99:00", "9223372036854775807w", "2026-03-04x"] {
            #expect(TimeText.parse(text, now: now) == nil, "\(text)")
        }
        #expect(TimeText.utc(WallInstant(nanoseconds: -1)) == "1969-12-31T23:59:59.999999Z")
        _ = (TimeText.utc(WallInstant(nanoseconds: .min)), TimeText.local(WallInstant(nanoseconds: .max)))
    }

    @Test func sizesAndTimesAreShort() {
        #expect(TimeText.bytes(999) == "999 B")
        #expect(TimeText.bytes(12_345_678) == "12.3 MB")
        #expect(TimeText.bytes(.max) == "18.4 EB")
        #expect(TimeText.short(microseconds: 850) == "850 µs")
        #expect(TimeText.short(microseconds: 4_210) == "4.2 ms")
        #expect(TimeText.short(microseconds: 90_061_000_000) == "90061 s")
        #expect(TimeText.age(seconds: 273_900) == "3d 4h")
        #expect(TimeText.duration(seconds: 97_384) == "27:03:04")
        #expect(TimeText.duration(seconds: .infinity) == "")
    }

    @Test func jsonIsStable() {
        let row = Self.row(
            3, "rdp-tcp#3", "eve", .active, idle: 1_500_000,
            more: ["uid": .uint32(1003), "logon": .uint64(1_652_516_640_000_001), "logind-sessions": .strings(["c1"]), "locked": "unknown"])
        #expect(
            row.json.text
                == #"{"id":3,"uuid":null,"name":"rdp-tcp#3","user":"eve","uid":1003,"state":"active","confidence":null,"stack":null,"type":null,"#
                + #""device":null,"display":null,"seat":null,"tty":null,"logon":"2022-05-14T08:24:00.000001Z","connected":null,"disconnected":null,"#
                + #""last_input":null,"idle":1.5,"locked":null,"tracked":null,"coverage":null,"coverage_reason":null,"client_address":null,"#
                + #""client_name":null,"screen_width":null,"screen_height":null,"color_depth":null,"logind_sessions":["c1"],"scope":null,"leader":null,"own":false,"current_time":null}"#
        )
        #expect(Records.text([row.json], keys: ["id", "user"], .csv) == "id,user\r\n3,eve\r\n")
        #expect(Records.text([], keys: ["id"], .json) == "[]\n")
        #expect(Records.text([.object([.init("id", .unsigned(1))]), .null], keys: ["id"], .json) == "[\n{\"id\":1},\nnull\n]\n")
    }

    @Test func spreadsheetsComputeNothing() {
        #expect(CSV.cell("=1+1") == "'=1+1")
        #expect(CSV.cell("@x,\"y\"") == "\"'@x,\"\"y\"\"\"")
        #expect(CSV.cell(.integer(-1)) == "-1")
        #expect(CSV.cell("a\nb") == "\"a\nb\"")
    }

    /// With the mark the quotation mark is one character, and another one; without it doubled the cell would end there.
    @Test func aQuotationMarkWithACombiningMarkEndsNoCell() {
        #expect(CSV.cell("\"\u{301},=1+1").utf8.elementsEqual("\"\"\"\u{301},=1+1\"".utf8))
    }

    @Test func jsonComesBack() throws {
        let text = #"{"a":[1,-2,1.50,true,null],"b":{"c":"\u00e9\ud83c\udf3f\"\\\/\n"},"d":""}"#
        let value = try #require(JSONValue(text.utf8))
        #expect(value["b"]?["c"]?.string == "\u{E9}\u{1F33F}\"\\/\n")
        #expect(value.text == #"{"a":[1,-2,1.50,true,null],"b":{"c":"\#u{E9}\#u{1F33F}\"\\/\n"},"d":""}"#)
        #expect(JSONValue(value.text.utf8) == value)
        for bad in [
            "", "{", "[1,]", "{\"a\"}", "tru", "\"\\x\"", "\"\u{1}\"", "1 2", "--1", "\"\\u12", String(repeating: "[", count: 100_000),
            // What Swift takes for a number and JSON does not.
            "+1", "01", "1.", ".5", "-.5", "1e", "1.e3", "01e08", "-", "\"\\u+123\"",
        ] {
            #expect(JSONValue(bad.utf8) == nil, "\(bad.prefix(10))")
        }
        #expect(JSONValue(#""\ud800x""#.utf8)?.string == "\u{FFFD}x")
    }

    static func user(
        _ login: String, _ uid: UInt64 = 1001, tracked: Bool? = false, by basis: String? = "default", decision: String? = nil,
        domain: String? = nil, seen: String? = nil, open: Bool = false, sessions: UInt64 = 0
    ) -> JSONValue {
        .object([
            .init("user", .string(login)), .init("uid", .unsigned(uid)), .init("logins", .array([.string(login)])),
            .init("domains", .array(domain.map { [.string($0)] } ?? [])), .init("tracked", tracked.map { .bool($0) } ?? .null),
            .init("decided_by", .optional(basis)),
            .init("decision", .optional(decision)), .init("last_seen", .optional(seen)), .init("open", .bool(open)),
            .init("sessions", .unsigned(sessions)), .init("seat", .bool(sessions > 0)),
        ])
    }

    /// The service chooses; what the options say goes there.
    @Test func theSelectionGoesToTheService() {
        let seen = WallInstant(nanoseconds: 5000)
        let filter = UserFilter(search: "a", isTracked: false, group: "own:x", domain: "d", seenSince: seen, hasData: true)
        #expect(
            filter.properties == [
                "search": "a", "status": "untracked", "group": "own:x", "domain": "d", "seen-since": .uint64(5), "has-data": true,
            ])
        #expect(UserFilter().properties.isEmpty && UserFilter(search: "").properties.isEmpty)
    }

    /// Who has to confirm: by how many are named (0: selected), --yes, and whether there is a terminal.
    @Test(
        arguments: [
            (1, false, true, .needed), (1, true, true, .given), (1, false, false, .given), (2, false, true, .needed),
            (2, false, false, .given),
            (2, true, true, .given), (0, false, true, .needed), (0, false, false, .missing), (0, true, false, .given),
        ] as [(Int, Bool, Bool, Tracking.Consent)]) func manyAreConfirmed(
            named: Int, yes: Bool, isTerminal: Bool, consent: Tracking.Consent
        )
    {
        #expect(Tracking.consent(toNamed: named, yes: yes, isTerminal: isTerminal) == consent)
    }

    @Test func whatWouldHappenIsShown() {
        let known = [
            Self.user("anna", tracked: true, by: "decision", decision: "tracked"), Self.user("ben", tracked: true),
            Self.user("carl", by: "do-not-track", decision: "untracked"), Self.user("dora", by: "do-not-track", decision: "tracked"),
        ]
        func plan(_ tracked: Bool) -> [String] {
            Tracking.plan(["anna", "ben", "carl", "dora", "eve", "gone\u{1B}"], known, tracked: tracked) { !$0.hasPrefix("gone") }
        }
        #expect(
            plan(true) == [
                "anna is tracked already.", "ben would be tracked.", "carl would be tracked.", "dora would be tracked.",
                "eve would be tracked.", "gone\u{FFFD}: no such user",
            ])
        #expect(
            plan(false) == [
                "anna would be untracked.", "ben would be untracked.", "carl is untracked already.", "dora would be untracked.",
                "eve would be untracked.", "gone\u{FFFD}: no such user",
            ])
        #expect(Tracking.question(1, tracked: true) == "Track 1 user?" && Tracking.question(37, tracked: false) == "Untrack 37 users?")
        let many = (1...37).map { "user\($0)" }
        let first = Array(many.prefix(20))
        #expect(Confirmation.abridged(many) == first + ["and 17 more"] && Confirmation.abridged(first) == first)
        for answer in ["y", "Y", "yes", "YES"] { #expect(Confirmation.isYes(answer)) }
        for answer in ["", "n", "no", "yess", " y", nil] { #expect(!Confirmation.isYes(answer)) }
    }

    @Test func targetsAreNamesUsersOrNumbers() {
        let row = Self.row(3, "rdp-tcp#3", "eve", .active)
        for target in ["3", "eve", "rdp-tcp#3", "RDP-TCP#3"] { #expect(row.isMeant(by: target)) }
        for target in ["4", "EVE", "rdp", ""] { #expect(!row.isMeant(by: target)) }
    }

    @Test func rowsOfAnyShapeAreTaken() {
        let row = SessionRow([
            "id": .string("x"), "uid": .int64(-1), "logon": .uint64(.max), "idle": .string(""), "logind-sessions": .uint32(1),
            "state": .string("new-state"),
        ])
        #expect(row.id == 0)
        #expect(row.logon == nil)
        #expect(row.stateWord == "new-state")
        _ = ServiceStatus(["coverage": .array(of: "a{sv}", [.byte(1)]), "latency": .byte(2), "sessions": .string("")])
            .lines(now: WallInstant(nanoseconds: 0))
        _ = TrackingPolicy(["users": .byte(1)]).lines
    }

    @Test func whatIsErasedIsSaid() {
        let answer = ErasureAnswer(
            rows: [
                [
                    "user": .string("anna\u{1B}[2J"), "uid": .uint32(1001), "sessions": .uint64(1), "focus-intervals": .uint64(120),
                    "sessions-going-on": .uint64(1), "receipt": .string("termspan-erasure x"), "sha256": .string("ab"),
                ], ["user": .byte(1)],
            ], unknown: ["nobody"], setAside: ["/var/lib/termspan/termspan-damaged-x.db"], isLeft: true)
        #expect(
            answer.lines(isRehearsal: false) == [
                "anna\u{FFFD}[2J (uid 1001): 1 session, 120 focus intervals, 0 input bursts, 0 unknown intervals, 0 state changes, 0 facts erased.",
                "  1 of the sessions goes on, with nothing held from before now.", "  Receipt: termspan-erasure x", "  SHA-256: ab",
                ": 0 sessions, 0 focus intervals, 0 input bursts, 0 unknown intervals, 0 state changes, 0 facts erased.",
            ])
        #expect(answer.lines(isRehearsal: true)[0].hasSuffix("0 state changes, 0 facts are held."))
        #expect(answer.warnings.count == 2 && answer.unknownError?.code == .notFound)
        #expect(answer.rows[0].json.text.contains("\"focus_intervals\":120"))
        #expect(answer.rows[0].json.text.hasSuffix("\"reports_ended\":null,\"sid_known\":null}") && answer.incompleteError == nil)
        let none = ErasureAnswer(rows: [], unknown: [], setAside: [], isLeft: false)
        #expect(none.unknownError == nil && none.lines(isRehearsal: false).isEmpty)
    }

    @Test func whatIsLeftToBeDoneAfterAnErasureIsSaidAndFails() {
        func answer(ended: Bool, _ known: Bool?...) -> ErasureAnswer {
            let rows = known.map { known in
                let row: [String: BusValue] = ["user": .string("anna"), "receipt": .string("r"), "reports-ended": .bool(ended)]
                return row.merging(known.map { ["sid-known": .bool($0)] } ?? [:]) { one, _ in one }
            }
            return ErasureAnswer(rows: rows, unknown: [], setAside: [], isLeft: false)
        }
        #expect(answer(ended: true, nil, true).incompleteError == nil)
        let silent = answer(ended: true, true, false)
        #expect(silent.incompleteError?.code == .failure)
        #expect(
            silent.incompleteError?.message == "All of it is erased, but no directory said in time which SID anna had, if any.")
        #expect(silent.lines(isRehearsal: false).last == "  By which SID, if any, no directory said: it is not on the Do Not Track list.")
        #expect(silent.rows.map(\.json.text).map { $0.hasSuffix("\"reports_ended\":true,\"sid_known\":false}") } == [false, true])
        let both = answer(ended: false, false).incompleteError
        #expect(both?.message.hasSuffix("; the report service did not end in time and may have in memory what it read before.") == true)
        #expect(both?.remedy?.contains("donottrack add") == true && both?.remedy?.contains("systemctl kill") == true)
    }

    @Test func theCollectorsHealthIsJudged() {
        let now = WallInstant(nanoseconds: 10_000_000_000_000)
        var status = ServiceStatus([:])
        #expect(CheckResult.judge(status, now: now).allSatisfy { $0.verdict == .ok })
        status.numbers = ["events-lost": 3, "pending": 5, "quarantined": 1]
        status.coverage = [.init(session: 4, user: "eve", coverage: "failed", reason: "no cookie")]
        status.lastCommit = now.advanced(by: .seconds(-100))
        status.limits = [
            .init(name: "logons", limit: "10 a minute", hits: 7, user: "eve", last: now.advanced(by: .seconds(-3000))),
            .init(name: "rows", limit: "5 a day", hits: 1, user: "bob", last: now.advanced(by: .seconds(-4000))),
            .init(name: "displays", limit: "16", hits: 0, user: nil, last: nil),
        ]
        let results = CheckResult.judge(status, now: now)
        #expect(results.map(\.verdict) == [.warn, .warn, .fail, .warn, .fail])
        #expect(results.allSatisfy { $0.remedy != nil })
        #expect(
            results[3].detail == "eve was at it (10 a minute); it was reached 7 times since the collector's start"
                && results[3].check == "Limit of logons")
        #expect(CheckResult.lines(results)[8] == "FAIL  Probe of session 4: eve is not measured: failed, no cookie")
        status.coverage += (5...6).map { .init(session: $0, user: "user\($0)", coverage: "failed", reason: "no cookie") }
        #expect(
            CheckResult.judge(status, now: now).last?.detail
                == "eve is not measured: failed, no cookie; likewise user5 in session 5, user6 in session 6")
        status.coverage += (7...100).map { .init(session: $0, user: "user\($0)", coverage: "failed", reason: "no cookie") }
        status.coverage.append(.init(session: 101, user: "mallory", coverage: "not-trusted", reason: ""))
        let many = CheckResult.judge(status, now: now).suffix(2).map(\.detail)
        #expect(many[0] == "eve is not measured: failed, no cookie; likewise 96 more, see `termspan status`")
        #expect(many[1] == "mallory is not measured: not-trusted")
    }

    @Test func aDamagedStoreIsToldAsLongAsItIsThere() {
        let now = WallInstant(nanoseconds: 10_000_000_000_000)
        var status = ServiceStatus([:])
        #expect(!status.lines(now: now).contains { $0.contains("set aside") })
        #expect(status.json["damaged_stores"] == .array([]))
        status = ServiceStatus(["damaged-stores": .strings(["/var/lib/termspan/termspan-damaged-x.db"])])
        #expect(
            status.lines(now: now).contains(
                "Damaged store: /var/lib/termspan/termspan-damaged-x.db is set aside; "
                    + "/var/lib/termspan/termspan-damaged-x.db.txt says what is lost, if any of it could be read"))
        #expect(status.json["damaged_stores"] == .array([.string("/var/lib/termspan/termspan-damaged-x.db")]))
    }

    @Test(arguments: [(80, 24), (20, 5), (1, 1), (200, 3), (0, 0)]) func theScreenFits(width: Int, height: Int) {
        var screen = TopScreen()
        screen.sessions = (1...50).map { Self.row($0, "rdp-tcp#\($0)", "user\($0)", .active) }
        let lines = screen.lines(width: width, height: height, now: WallInstant(nanoseconds: 0), colors: false)
        #expect(lines.count == height)
        #expect(lines.allSatisfy { Printable.width($0) <= width })
    }

    @Test func errorsOfTheBusSayWhatHelps() {
        let denied = CommandError(.accessDenied("The right org.termspan1.view-others is missing."), from: .reports)
        #expect(denied.code == .notPermitted)
        #expect(denied.remedy?.contains("org.termspan1.view-others") == true)
        let gone = CommandError(BusError(name: "org.freedesktop.DBus.Error.ServiceUnknown", message: "x"), from: .collector)
        #expect(gone.code == .unreachable)
        #expect(gone.remedy?.contains("systemctl start termspand") == true)
        #expect(CommandError(BusError(name: "org.termspan1.Error.NoSuchSession", message: "x"), from: .collector).code == .notFound)
    }
}
