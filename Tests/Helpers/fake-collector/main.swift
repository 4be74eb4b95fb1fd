// Offers org.termspan1 and org.termspan1.Reports on the bus that DBUS_SYSTEM_BUS_ADDRESS names, with made-up sessions:
// for the tests of the command and for measurements. Its argument is how many sessions there are beside the services', or what is amiss:
// `no-collector`, `no-reports`, or `broken`, when an answer breaks off.
import Glibc
import TermspanBus
import TermspanCore

let count = CommandLine.arguments.dropFirst().first.flatMap { UInt32($0) } ?? 2
let amiss = CommandLine.arguments.dropFirst().first
let boot: UInt64 = 1_780_000_000_000_000

func row(_ id: UInt32) -> [String: BusValue] {
    var row: [String: BusValue] = [
        "id": .uint32(id), "uuid": .string("0190b2f4-0000-7000-8000-00000000000\(id % 10)"), "name": .string("rdp-tcp#\(id)"),
        "user": .string("user\(id)"), "uid": .uint32(1000 + id), "state": "active", "confidence": "high", "stack": "xrdp",
        "type": "rdp", "display": .string(":\(9 + id)"), "seat": "", "tty": "", "logon": .uint64(boot), "connected": .uint64(boot),
        "disconnected": .uint64(0), "tracked": true, "coverage": "measured", "coverage-reason": "", "idle": .uint64(305_000_000),
        "last-input": .uint64(boot), "locked": "unlocked", "client-address": "192.0.2.7", "client-name": "DESK-7",
        "logind-sessions": .strings(["c\(id)"]), "scope": .string("session-c\(id).scope"), "leader": .uint32(4000 + id),
        "mine": .bool(id == 1),
    ]
    if id == 0 {
        row = ["id": .uint32(0), "name": "services", "user": "", "uid": .uint32(0), "state": "disconnected", "stack": "services"]
    }
    if id == 2 {
        row["state"] = "disconnected"
        // What a hostile display manager might put there.
        row["client-name"] = "\u{1B}]0;owned\u{07}"
        row["idle"] = nil
    }
    return row
}

let rows = (0...count).map(row)

let manager = BusInterface(
    "org.termspan1.Manager",
    methods: [
        BusMethod("ListSessions", out: ["sessions": "aa{sv}"]) { call in call.reply { $0.rows(rows) } },
        BusMethod("EnumerateSessions", out: ["sessions": "a(usssssb)"]) { call in
            call.reply { writer in
                writer.array(of: "(usssssb)") { writer in
                    for row in rows {
                        writer.structure("usssssb") { writer in
                            writer.append(UInt32(row["id"]?.unsigned ?? 0))
                            for key in ["name", "user", "state", "type", "display"] { writer.append(row[key]?.string ?? "") }
                            writer.append(row["mine"]?.bool ?? false)
                        }
                    }
                }
            }
        },
        BusMethod("Status", out: ["status": "a{sv}"]) { call in
            call.reply { writer in
                writer.properties([
                    "version": "0.1.0", "started": .uint64(boot), "boot-id": "0123456789abcdef0123456789abcdef",
                    "sessions": .uint32(count), "measured": .uint32(count), "untracked": .uint32(0), "probes": .uint32(count),
                    "lanes": .uint32(count), "events-attempted": .uint64(1000), "events-delivered": .uint64(1000),
                    "events-lost": .uint64(0), "quarantined": .uint32(0), "intervals-written": .uint64(400),
                    "bursts-written": .uint64(200), "pending": .uint32(0), "last-commit": .uint64(boot), "store-size": .uint64(123_456),
                    "memory": .uint64(12_345_678), "cpu": .uint64(1_500_000), "wakeups": .uint64(99),
                    "latency": .properties(["focus-to-fold-p50": .uint64(120), "focus-to-fold-p99": .uint64(4_200)]),
                    "coverage": .array(
                        of: "a{sv}",
                        [.properties(["id": .uint32(1), "user": "user1", "coverage": "measured", "reason": ""])]),
                ])
            }
        },
        BusMethod("GetPolicy", out: ["policy": "a{sv}"]) { call in
            call.reply { writer in
                writer.properties([
                    "new-users": "untracked", "complete": true, "keep-activity": .uint64(180 * 86_400_000_000),
                    "seats": .uint64(2), "seats-taken": .uint64(2),
                    "users": .array(
                        of: "a{sv}",
                        [
                            .properties([
                                "name": "user1", "uid": .uint32(1001), "tracked": true, "since": .uint64(boot), "by": "root",
                                "reason": "billing", "level": "basic",
                            ])
                        ]),
                    "do-not-track": .array(
                        of: "a{sv}",
                        [.properties(["entry": "eve@*", "since": .uint64(boot), "by": "root", "reason": "asked"])]),
                    "own": .properties([
                        "pause-left": .uint64(1_800_000_000),
                        "user": .properties([
                            "name": "user1", "uid": .uint32(1001), "tracked": true, "since": .uint64(boot), "by": "root",
                            "reason": "billing", "level": "basic",
                        ]), "do-not-track": .array(of: "a{sv}", []),
                    ]),
                ])
            }
        },
        BusMethod("GetClassification", out: ["classification": "a{sv}"]) { call in
            call.reply { $0.properties(["rules": "# Ours\nexecutable=xedit category=Text\n", "reason": "agreed"]) }
        },
        BusMethod("SetClassification", in: ["rules": "s", "reason": "s"], out: ["changed": "b"]) { call in call.reply { $0.append(true) } },
        BusMethod("SetTracking", in: ["users": "as", "tracked": "b", "reason": "s", "responsible": "s"], out: ["outcomes": "aa{sv}"]) {
            call throws(BusError) in
            let users = try call.message.readStrings()
            if users == ["denied"] { throw .accessDenied("The right org.termspan1.manage-tracking is missing.") }
            call.reply { writer in
                writer.rows(
                    users.map { user in
                        let isKnown = user != "nobody-there"
                        return [
                            "user": .string(user), "uid": .uint32(1), "changed": .bool(isKnown),
                            "error": isKnown ? "" : "org.termspan1.Error.NoSuchUser",
                        ]
                    })
            }
        },
        BusMethod("SetDoNotTrack", in: ["entries": "as", "listed": "b", "reason": "s", "responsible": "s"], out: ["results": "aa{sv}"]) {
            call throws(BusError) in
            let entries = try call.message.readStrings()
            if entries == ["*"] { throw .invalidArguments("'*' names nobody.") }
            call.reply { $0.rows(entries.map { ["entry": .string($0), "changed": .bool($0 != "uid:7")] }) }
        },
        BusMethod(
            "Erase", in: ["users": "as", "forget": "b", "rehearse": "b", "reason": "s"],
            out: ["results": "aa{sv}", "unknown": "as", "aside": "as", "left": "b"]
        ) { call throws(BusError) in
            let (names, forgets, isRehearsal) = (
                try call.message.readStrings(), try call.message.read(Bool.self), try call.message.read(Bool.self)
            )
            guard !names.contains("root") else { throw .accessDenied("The right org.termspan1.erase is missing.") }
            let rows = names.filter { $0 != "nobody" }.map { name in
                var row: [String: BusValue] = [
                    "user": .string(name), "uid": .uint32(1001), "sessions": .uint64(2), "focus-intervals": .uint64(120),
                ]
                if !isRehearsal {
                    row["receipt"] = .string("termspan-erasure user-erased=\(forgets ? "yes" : "no")")
                    row["sha256"] = .string("ab")
                }
                return row
            }
            call.reply { writer in
                writer.rows(rows)
                writer.append(names.filter { $0 == "nobody" })
                writer.append(["/var/lib/termspan/termspan-damaged-x.db"])
                writer.append(false)
            }
        },
        BusMethod("Pause", in: ["time": "t"], out: ["until": "t"]) { call throws(BusError) in
            let time = try call.message.read(UInt64.self)
            guard time <= 1_800_000_000 else {
                throw BusError(
                    name: "org.termspan1.Error.PauseRefused", message: "30 of the 60 minutes are left that you may pause in 24 hours.")
            }
            call.reply { $0.append(1_780_000_000_000_000 + time) }
        },
        BusMethod("Resume", out: ["ended": "b"]) { call in call.reply { $0.append(true) } },
        BusMethod("SetPolicy", in: ["key": "s", "value": "v", "reason": "s", "responsible": "s"]) { call in call.reply() },
        BusMethod("LockSession", in: ["id": "u"]) { call in call.reply() },
        BusMethod("DisconnectSession", in: ["id": "u"]) { call throws(BusError) in
            throw BusError(name: "org.termspan1.Error.NotConnected", message: "No client is connected to session 2.")
        },
        BusMethod("TerminateSession", in: ["id": "u"]) { call throws(BusError) in
            if try call.message.read(UInt32.self) == 2 { throw .accessDenied("The right org.termspan1.manage-sessions is missing.") }
            call.reply()
        },
        BusMethod("Subscribe") { call in
            call.reply()
            for (id, event) in [(UInt32(1), "logon"), (1, "connect"), (2, "connect"), (1, "lock"), (1, "logoff"), (1, "something-new")] {
                try? bus.emit(
                    path: "/org/termspan1", interface: "org.termspan1.Manager", member: "SessionNotification", to: call.message.sender
                ) { writer in
                    writer.properties([
                        "event": .string(event), "time": .uint64(boot + UInt64(id)), "id": .uint32(id), "uuid": rows[Int(id)]["uuid"] ?? "",
                        "name": .string("rdp-tcp#\(id)"), "user": .string("user\(id)"), "uid": .uint32(1000 + id), "stack": "xrdp",
                        "client-address": id == 1 && event == "connect" ? "192.0.2.7" : "", "client-name": "\u{1B}]0;x",
                    ])
                }
            }
        },
    ],
    signals: [BusSignal("SessionNew", ["id": "u", "path": "o"])])

/// Answers with the reading end of a pipe that has these lines.
@MainActor func answer(_ call: BusInvocation, _ lines: [String]) {
    var ends: [Int32] = [0, 0]
    guard pipe(&ends) == 0 else { return }
    let text = lines.joined(separator: "\n") + (lines.isEmpty ? "" : "\n")
    _ = text.withCString { write(ends[1], $0, strlen($0)) }
    close(ends[1])
    call.reply { $0.append(unixFD: ends[0]) }
    close(ends[0])
}

let frame = #""user":"user1","uid":1001,"session":1,"session_uuid":"0190b2f4-0000-7000-8000-000000000001""#
let reports = BusInterface(
    "org.termspan1.Reports",
    methods: [
        BusMethod("Spans", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call throws(BusError) in
            let filter = try call.message.readProperties()
            if filter["user"]?.string == "denied" { throw .accessDenied("The right org.termspan1.view-others is missing.") }
            if filter["user"]?.string == "broken" { return answer(call, [#"{"error":"the store is gone"}"#]) }
            if filter["user"]?.string == "nothing" { return answer(call, []) }
            let keys = ["group", "computer", "executable", "description", "category"]
            if keys.allSatisfy({ filter[$0]?.string?.isEmpty == false }) { return answer(call, []) }
            /// Where the caller asks for descriptions.
            func described(_ name: String) -> String { filter["languages"] == nil ? "" : "\"description\":\(name)," }
            if amiss == "broken" { return answer(call, ["{\(frame),\"active\":1}", #"{"error":"the store is gone"}"#]) }
            if filter["all"]?.bool == true { throw .accessDenied("The right org.termspan1.view-others is missing.") }
            answer(
                call,
                [
                    "{\(frame)"
                        + #","start":"2026-05-14T08:24:00.000000Z","end":"2026-05-14T08:34:00.500000Z","duration":600.5,"#
                        + described("\"XTerm\"")
                        + #""executable":"/usr/bin/xterm","class":"XTerm","active":500.25,"passive":100.25,"inactive":0,"open":false}"#,
                    "{\(frame)"
                        + #","start":"2026-05-14T08:34:00.499000Z","end":"2026-05-14T08:34:00.500000Z","duration":0.001,"#
                        + described("null") + #""executable":null,"class":null,"active":0.001,"passive":0,"inactive":0,"open":false}"#,
                    "{\(frame)"
                        + #","start":"2026-05-14T08:34:00.500000Z","end":null,"duration":1,"# + described("null")
                        + #""executable":null,"class":"=HYPERLINK(\u001b]0;x\u0007)","active":1,"passive":0,"inactive":0,"open":true}"#,
                ])
        },
        BusMethod("Timeline", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call throws(BusError) in
            let filter = try call.message.readProperties()
            if filter["all"]?.bool == true { throw .accessDenied("The right org.termspan1.view-others is missing.") }
            answer(
                call,
                [
                    "{\(frame)"
                        + #","stack":"xrdp","start":"2026-05-14T08:24:00.000000Z","end":"2026-05-14T10:34:00.500000Z","state":"active","executable":"/usr/bin/xterm","class":"XTerm","category":"Terminal","productivity":"undefined","business":null}"#,
                    "{\(frame)"
                        + #","stack":"xrdp","start":"2026-05-14T10:34:00.500000Z","end":"2026-05-14T12:00:00.000000Z","state":"locked","executable":null,"class":null,"category":null,"productivity":null,"business":null}"#,
                ])
        },
        BusMethod("Export", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call throws(BusError) in
            let filter = try call.message.readProperties()
            if filter["after"]?.string == "1.cursor" { return answer(call, [#"{"cursor":"1.cursor","rows":0,"complete":true}"#]) }
            if filter["after"] != nil { throw .invalidArguments("The cursor is damaged.") }
            if filter["format"]?.string == "tables" {
                let tables = [#"{"table":"computers","id":1,"name":"host","uuid":null}"#, #"{"table":"users","id":1,"name":"user1"}"#]
                return answer(call, filter["user"]?.string == "cut" ? tables : tables + [#"{"complete":true,"rows":2}"#])
            }
            let rows = [#"{"user":"user1"}"#, #"{"cursor":"1.half","rows":1}"#, #"{"user":"user2"}"#]
            if filter["user"]?.string == "cut" { return answer(call, rows) }
            if filter["user"]?.string == "broken" { return answer(call, rows + [#"{"error":"the store is gone"}"#]) }
            answer(call, rows + [#"{"cursor":"1.cursor","rows":2,"complete":true}"#])
        },
        BusMethod("Summary", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call in
            answer(
                call,
                [
                    "{\(frame)"
                        + #","total":3600,"suspended":0,"paused":0,"unknown":0,"disconnected":600,"locked":0,"active":2000,"passive":500,"inactive":500}"#
                ])
        },
        BusMethod("Records", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call in
            answer(
                call,
                [
                    #"{"record":"input","user":"user1","uid":1001,"session":1,"session_uuid":"019e247c-3c40-7000-8000-000000000001","start":"2026-05-14T08:24:00.000000Z","end":"2026-05-14T08:25:00.000000Z","origin":"device"}"#
                ])
        },
        BusMethod("Users", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call throws(BusError) in
            let values = try call.message.readProperties()
            var filter = UserFilter(
                search: values["search"]?.string, group: values["group"]?.string, domain: values["domain"]?.string,
                seenSince: values["seen-since"]?.unsigned.map { WallInstant(nanoseconds: Int64($0) * 1000) },
                hasData: values["has-data"]?.bool)
            filter.isTracked = values["status"]?.string.map { $0 == "tracked" }
            if let group = filter.group, group != "root" {
                return answer(call, ["{\"error\":\"There is no group \(group).\",\"not_found\":true}"])
            }
            // 2026-05-14T09:24:00Z.
            let seen = WallInstant(nanoseconds: 1_778_750_640_000_000_000)
            let users: [(ListedUser, String)] = [
                (
                    ListedUser(logins: ["user1"], domains: ["server"], isTracked: true, lastSeen: seen, sessions: 3),
                    #"{"user":"user1","name":null,"uid":1001,"logins":["user1"],"domains":["server"],"tracked":true,"decided_by":"decision","decision":"tracked","level":"basic","since":"2026-05-01T08:00:00.000000Z","first_seen":"2026-05-14T08:24:00.000000Z","last_seen":"2026-05-14T09:24:00.000000Z","open":false,"sessions":3,"seat":true}"#
                ),
                (
                    ListedUser(logins: ["root"], name: "root", domains: ["server"], isTracked: false, isLoggedOn: true, isInGroup: true),
                    #"{"user":"root","name":"root","uid":0,"logins":["root"],"domains":["server"],"tracked":false,"decided_by":"default","decision":null,"level":null,"since":null,"first_seen":null,"last_seen":null,"open":true,"sessions":0,"seat":false}"#
                ),
                (
                    ListedUser(logins: ["former"], lastSeen: seen, sessions: 1),
                    #"{"user":"former","name":null,"uid":1009,"logins":["former"],"domains":[],"tracked":null,"decided_by":null,"decision":null,"level":null,"since":null,"first_seen":"2026-05-14T08:24:00.000000Z","last_seen":"2026-05-14T09:24:00.000000Z","open":false,"sessions":1,"seat":true}"#
                ),
                (
                    ListedUser(logins: ["EXAMPLE\\ben\u{1B}"], domains: ["example"], isTracked: false),
                    #"{"user":"EXAMPLE\\ben\u001b","name":null,"uid":1003,"logins":["EXAMPLE\\ben\u001b"],"domains":["example"],"tracked":false,"decided_by":"do-not-track","decision":"untracked","level":"basic","since":"2026-05-01T08:00:00.000000Z","first_seen":null,"last_seen":null,"open":false,"sessions":0,"seat":false}"#
                ),
            ]
            answer(call, users.filter { filter.selects($0.0) }.map(\.1))
        },
        BusMethod("Facts", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call in
            answer(
                call,
                [
                    #"{"of":"computer","user":null,"uid":null,"session":null,"session_uuid":null,"fact":"computer-name","value":"host","since":"2026-05-14T08:24:00.000000Z","until":null}"#
                ])
        },
        BusMethod("Audit", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call throws(BusError) in
            if try call.message.readProperties()["all"]?.bool == true {
                throw .accessDenied("The right org.termspan1.view-audit is missing.")
            }
            answer(
                call,
                [
                    #"{"id":1,"time":"2026-05-28T20:26:40.000000Z","by":"root","action":"tracked","user":"user1","user_uuid":"019e247c-3c40-7000-8000-000000000009","value":"true","entry":"termspan-audit id=1","sha256":"aa"}"#,
                    #"{"id":2,"time":"2026-05-28T20:27:40.000000Z","by":"uid 1000","action":"read-spans","user":"user1","user_uuid":"019e247c-3c40-7000-8000-000000000009","value":null,"entry":"termspan-audit id=2","sha256":"bb"}"#,
                    #"{"id":3,"time":"2026-05-28T20:28:40.000000Z","by":"root","action":"read-users","user":null,"user_uuid":null,"value":null,"entry":"termspan-audit id=3","sha256":"cc"}"#,
                    #"{"id":4,"time":"2026-05-28T20:29:40.000000Z","by":"root","action":"user-erased","user":null,"user_uuid":"019e247c-3c40-7000-8000-00000000000a","value":"termspan-erasure\u001b","entry":"termspan-audit id=4","sha256":"dd"}"#,
                ])
        },
        BusMethod("VerifyAudit", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call in
            answer(
                call,
                [
                    #"{"id":1,"sha256":"aa"}"#,
                    #"{"store":"019e247c-3c40-7000-8000-00000000000b","entries":1,"problem":"entry 2 is missing"}"#,
                ])
        },
        BusMethod("VerifyStore", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call throws(BusError) in
            let isWhole = try call.message.readProperties()["all"]?.bool == true
            var lines = [
                #"{"progress":"sessions","done":50}"#,
                #"{"unknown":"starting","class":"known","duration":1.5,"stretches":1,"longest":1.5,"session_uuid":"019e247c-3c40-7000-8000-000000000001","user":"user1","time":"2026-05-14T08:24:00.000000Z"}"#,
            ]
            if isWhole {
                lines.append(
                    #"{"problem":"overlap","user":"user1","uid":1001,"session_uuid":"019e247c-3c40-7000-8000-000000000001","time":"2026-05-14T08:24:00.000000Z","text":"focus_interval: a row\u001b"}"#
                )
            }
            lines.append(
                #"{"whole":\#(isWhole),"sessions":3,"days":4,"intervals":50,"problems":\#(isWhole ? 1 : 0),"total":3600,"unknown_total":1.5,"unexplained":\#(isWhole ? "1.5" : "0"),"excessive":false}"#
            )
            answer(call, lines)
        },
        BusMethod("History", in: ["filter": "a{sv}"], out: ["lines": "h"]) { call throws(BusError) in
            if try call.message.readProperties()["events"]?.bool == true {
                return answer(
                    call,
                    [
                        "{\(frame)"
                            + #","stack":"xrdp","time":"2026-05-14T08:24:00.000000Z","event":"connect","client_address":"192.0.2.7","client_name":"\u001b]0;x","reason":null}"#,
                        "{\(frame)"
                            + #","stack":"xrdp","time":"2026-05-14T09:24:00.000000Z","event":"logoff","client_address":null,"client_name":null,"reason":"logoff"}"#,
                    ])
            }
            answer(
                call,
                [
                    "{\(frame)"
                        + #","stack":"xrdp","logon":"2026-05-14T08:24:00.000000Z","start":"2026-05-14T08:24:00.000000Z","end":"2026-05-14T09:24:00.000000Z","open":false,"end_reason":"logoff","connects":2,"disconnects":1,"locks":0,"unlocks":0,"client_addresses":["192.0.2.7","192.0.2.8"],"total":3600,"suspended":0,"paused":0,"unknown":0,"disconnected":600,"locked":0,"active":2000,"passive":500,"inactive":500}"#
                ])
        },
    ])

let loop = try EventLoop()
let bus = try BusConnection.system()
try bus.attach(to: loop)
let slots = [
    try bus.export(path: "/org/termspan1", manager), try bus.export(path: "/org/termspan1/reports", reports),
]
if amiss != "no-collector" { try bus.requestName("org.termspan1") }
if amiss != "no-reports" { try bus.requestName("org.termspan1.Reports") }
let termination = try loop.signals([SIGTERM, SIGINT]) { _ in loop.exit(0) }
_ = write(STDOUT_FILENO, "ready\n", 6)
_ = try loop.run()
withExtendedLifetime((slots, termination)) {}
