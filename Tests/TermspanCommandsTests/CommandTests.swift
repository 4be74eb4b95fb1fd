import BusTesting
import Foundation
import Glibc
import Testing

/// The real command against a made-up collector on a bus of the test's own.
@Suite(.serialized) struct CommandTests {
    struct Outcome {
        var code: Int32
        var output: String
        var errors: String
    }

    struct Server {
        let bus: PrivateBus
        let collector: Child

        init(_ arguments: String...) throws {
            bus = try PrivateBus()
            collector = try bus.start("fake-collector", arguments)
        }

        func stop() {
            collector.stop()
            bus.stop()
        }

        func run(_ arguments: String...) throws -> Outcome { try CommandTests.run(arguments, address: bus.address) }
    }

    static func run(_ arguments: [String], address: String) throws -> Outcome {
        var (output, errors): ([Int32], [Int32]) = ([0, 0], [0, 0])
        try #require(pipe(&output) == 0 && pipe(&errors) == 0)
        for end in [output[0], errors[0]] { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        let child = try Child(
            [PrivateBus.productsFolder + "/termspan"] + arguments, output: output[1], errors: errors[1],
            environment: [
                "DBUS_SYSTEM_BUS_ADDRESS=" + address, "TZ=Europe/Vienna",
                "TERMSPAN_REPORTD=" + PrivateBus.productsFolder + "/termspan-reportd",
            ])
        close(output[1])
        close(errors[1])
        func all(_ descriptor: Int32) -> String {
            var bytes: [UInt8] = []
            var part = [UInt8](repeating: 0, count: 1 << 16)
            while true {
                let count = read(descriptor, &part, part.count)
                if count <= 0 { break }
                bytes += part[..<count]
            }
            close(descriptor)
            return String(decoding: bytes, as: UTF8.self)
        }
        let text = all(output[0])
        let problems = all(errors[0])
        return Outcome(code: child.wait(), output: text, errors: problems)
    }

    @Test func aDayIsDrawn() throws {
        let server = try Server()
        defer { server.stop() }
        let drawn = try server.run("timeline", "--date", "2026-05-14", "--zone", "Europe/Berlin").output
        #expect(drawn.hasPrefix("Thu 2026-05-14, Europe/Berlin\n\nuser1, session 1 (xrdp), 10:24-14:00\n"), "\(drawn)")
        #expect(drawn.contains("####") && drawn.contains("LLL") && drawn.contains("A xterm") && !drawn.contains("\u{1B}"))
        #expect(try server.run("timeline", "--date", "2026-05-14", "--format", "svg").output.hasSuffix("</svg>\n"))
        #expect(try server.run("timeline", "--format", "csv").output.split(separator: "\r\n").count == 3)
        // Nothing of that day.
        #expect(try server.run("timeline", "--date", "2026-05-13").errors == "termspan: Nothing is recorded of that day.\n")
        #expect(try server.run("timeline", "--all").code == 4)
        for wrong in [["--zone", "Europe/Nowhere"], ["--date", "2026-02-30x"], ["--date", "2h"], ["--format", "png"]] {
            #expect(try Self.run(["timeline"] + wrong, address: server.bus.address).code == 2, "\(wrong)")
        }
    }

    @Test func sessionsUsersAndOneSession() throws {
        let server = try Server()
        defer { server.stop() }
        let sessions = try server.run("query", "session")
        #expect(
            sessions.output == """
                 SESSIONNAME       USERNAME                 ID  STATE   TYPE        DEVICE
                 services                                    0  Disc
                >rdp-tcp#1         user1                     1  Active  rdp         :10
                                   user2                     2  Disc    rdp         :11

                """)
        #expect(sessions.code == 0 && sessions.errors.isEmpty)
        #expect(try server.run("query", "user", "user1").output.hasSuffix("Active          5  2026-05-28 22:26\n"))
        #expect(try server.run("query", "session", "2", "--format", "csv").output.split(separator: "\r\n").count == 2)
        #expect(try server.run("query", "session", "--format", "json").output.hasPrefix("[\n{\"id\":0,"))
        let shown = try server.run("session", "show", "2")
        #expect(shown.output.contains("Client name: \u{FFFD}]0;owned\u{FFFD}\n"))
        let missing = try server.run("query", "session", "nobody")
        #expect(missing.code == 3)
        #expect(missing.errors.hasPrefix("termspan: No session exists for nobody.\ntermspan: "))
        #expect(try server.run("query", "process").code == 0)
    }

    @Test func spansAndSummary() throws {
        let server = try Server()
        defer { server.stop() }
        let spans = try server.run("spans", "--open")
        #expect(
            spans.output == """
                USER           ID  START                      END                          ACTIVE   PASSIVE  INACTIVE  APPLICATION
                user1           1  2026-05-14T10:24:00+02:00  2026-05-14T10:34:00+02:00   0:08:20   0:01:40   0:00:00  xterm
                user1           1  2026-05-14T10:34:00+02:00                              0:00:01   0:00:00   0:00:00  =HYPERLINK(\u{FFFD}]0;x\u{FFFD})

                """)
        #expect(try server.run("spans", "--open", "--short").output.split(separator: "\n").count == 4)
        let json = try server.run("spans", "--format", "json").output
        #expect(json.contains("\"duration\":0.001,"))
        #expect(json.hasPrefix("[\n{\"user\":\"user1\",\"uid\":1001,\"session\":1,") && json.hasSuffix("}\n]\n"))
        #expect(json.contains("\"duration\":600.5,") && !json.contains("\u{1B}"))
        #expect(try server.run("spans", "--format", "csv").output.contains("'=HYPERLINK"))
        let denied = try server.run("spans", "--user", "denied")
        #expect(denied.code == 4)
        #expect(denied.errors.contains("org.termspan1.view-others: use sudo"))
        #expect(try server.run("spans", "--all").code == 4)
        #expect(try server.run("spans", "--user", "broken").errors == "termspan: The report ended early: the store is gone\n")
        #expect(try server.run("spans", "--user", "nothing").code == 0)
        #expect(try server.run("spans", "--user", "nothing", "--format", "json").output == "[]\n")
        #expect(try server.run("summary").output.split(separator: "\n").last?.hasPrefix("user1           1   1:00:00   0:33:20") == true)
    }

    @Test func activityIsSpansWithDescriptions() throws {
        let server = try Server()
        defer { server.stop() }
        let lines = try server.run("activity", "--open").output.split(separator: "\n")
        #expect(lines.count == 3)
        #expect(
            lines[0].hasPrefix(
                "USER           ID  START                          DURATION    ACTIVE   PASSIVE  CATEGORY           DESCRIPTION"))
        #expect(
            lines[1].hasPrefix("user1           1  2026-05-14T10:24:00.000+02:00   0:10:01   0:08:20   0:01:40                     XTerm"),
            "\(lines[1])")
        #expect(lines[1].hasSuffix("  /usr/bin/xterm"))
        #expect(try server.run("activity", "--short").output.split(separator: "\n").count == 4)
        // The report service is asked for what is wanted.
        let asked = try server.run(
            "activity", "--executable", "xt*", "--category", "passive", "--group", "staff", "--computer", "host", "--description",
            "no such",
            "--format", "json")
        #expect(asked.output == "[]\n")
        let json = try server.run("activity", "--format", "json").output
        #expect(json.contains(#","duration":600.5,"description":"XTerm","executable":"/usr/bin/xterm","class":"XTerm","#))
        #expect(json.contains(#""description":null,"executable":null"#))
        #expect(try server.run("activity", "--all").code == 4)
        #expect(try server.run("activity", "--category", "unknown").code == 2)
    }

    @Test func exportsGoToNewFilesAndTellACursor() throws {
        let server = try Server()
        defer { server.stop() }
        let rows = try server.run("export", "jsonl")
        #expect(rows.code == 0 && rows.output == "{\"user\":\"user1\"}\n{\"user\":\"user2\"}\n")
        #expect(rows.errors == "termspan: 2 rows. For what comes later: --after 1.cursor\n")
        let folder = "/tmp/termspan-export-\(getpid())"
        mkdir(folder, 0o700)
        defer { for name in ["rows", "link", "cursor", "target", "database"] { unlink(folder + "/" + name) }; rmdir(folder) }
        #expect(try server.run("export", "csv", folder + "/rows", "--cursor-file", folder + "/cursor").code == 0)
        var status = stat()
        #expect(lstat(folder + "/rows", &status) == 0 && status.st_mode & 0o7777 == 0o600)
        #expect(try String(contentsOfFile: folder + "/cursor", encoding: .utf8) == "1.cursor\n")
        // Neither a file nor what a link points to is written over.
        #expect(try server.run("export", "csv", folder + "/rows").code == 1)
        symlink(folder + "/target", folder + "/link")
        #expect(try server.run("export", "csv", folder + "/link").code == 1)
        #expect(lstat(folder + "/target", &status) != 0)
        // The cursor that was kept goes to the service, and one that it refuses is told as it is.
        let again = try server.run("export", "csv", "--cursor-file", folder + "/cursor")
        #expect(again.code == 0 && again.output.isEmpty && again.errors == "termspan: 0 rows.\n")
        #expect(try server.run("export", "csv", "--after", "x").errors.contains("The cursor is damaged"))
        #expect(try server.run("export", "csv", "--after", "x", "--cursor-file", "y").code == 2)
        // One that breaks off leaves no file, and says how to go on.
        let broken = try server.run("export", "jsonl", "--user", "broken")
        #expect(broken.code == 1 && broken.errors.contains("--after 1.half") && broken.errors.contains("the store is gone"))
        #expect(try server.run("export", "jsonl", folder + "/target", "--user", "broken").code == 1)
        #expect(lstat(folder + "/target", &status) != 0)
        #expect(try server.run("export", "jsonl", "--user", "cut").errors.contains("before the export was complete"))
        #expect(try server.run("export", "sqlite", folder + "/rows").code == 1)
        // A program of its own makes the database, which goes to the file as a whole or not at all.
        let database = try server.run("export", "sqlite", folder + "/database", "--zone", "Europe/Vienna", "--idle-threshold", "2m")
        #expect(database.code == 0 && database.errors == "termspan: 2 rows.\n", "\(database)")
        #expect(try Data(contentsOf: URL(filePath: folder + "/database")).starts(with: Data("SQLite format 3".utf8)))
        #expect(lstat(folder + "/database", &status) == 0 && status.st_mode & 0o7777 == 0o600)
        let half = try server.run("export", "sqlite", folder + "/target", "--user", "cut")
        #expect(half.code == 1 && half.errors.contains("ended before it was complete") && lstat(folder + "/target", &status) != 0)
        #expect(try server.run("export", "sqlite", "x", "--idle-threshold", "unlimited").code == 2)
        #expect(try server.run("export", "sqlite", "--pseudonyms", "2026-10", "x").code == 2)
    }

    @Test func historyAndItsEvents() throws {
        let server = try Server()
        defer { server.stop() }
        #expect(
            try server.run("session", "history", "--user", "user1").output == """
                USER           ID  LOGON                      LOGOFF                     REASON    CONNECTS     TOTAL    ACTIVE  FROM
                user1           1  2026-05-14T10:24:00+02:00  2026-05-14T11:24:00+02:00  logoff           2   1:00:00   0:33:20  192.0.2.7 192.0.2.8

                """)
        // Who may read the journal sees those who are not recorded, too: at least the one who is there.
        if geteuid() == 0 {
            let lines = try server.run("session", "history").output.split(separator: "\n")
            #expect(lines.count == 3 && lines[1].hasPrefix("user1 ") && lines[2].hasPrefix("user2           2  "))
        }
        #expect(
            try server.run("session", "history", "--events").output == """
                USER           ID  TIME                       EVENT         FROM                              REASON
                user1           1  2026-05-14T10:24:00+02:00  connect       192.0.2.7 (\u{FFFD}]0;x)
                user1           1  2026-05-14T11:24:00+02:00  logoff                                          logoff

                """)
        let csv = try server.run("session", "history", "--user", "user1", "--format", "csv").output.split(separator: "\r\n")
        #expect(csv.first?.hasPrefix("user,uid,session,session_uuid,stack,logon,start,end,open,end_reason,connects,") == true)
        #expect(csv.last?.contains(",logoff,2,1,0,0,192.0.2.7 192.0.2.8,3600,") == true)
        #expect(try server.run("session", "history", "--events", "--format", "json").output.contains("\"event\":\"connect\""))
        #expect(try server.run("session", "history", "--since", "today", "--until", "yesterday").code == 2)
    }

    /// The notifications come in order; the command ends when nobody reads what it prints.
    @Test func notificationsAreShown() throws {
        let server = try Server()
        defer { server.stop() }
        func watch(_ arguments: String..., lines count: Int) throws -> [String] {
            var output: [Int32] = [0, 0]
            try #require(pipe(&output) == 0)
            _ = fcntl(output[0], F_SETFD, FD_CLOEXEC)
            let child = try Child(
                [PrivateBus.productsFolder + "/termspan", "session", "watch"] + arguments, output: output[1],
                environment: ["DBUS_SYSTEM_BUS_ADDRESS=" + server.bus.address, "TZ=Europe/Vienna"])
            close(output[1])
            var bytes: [UInt8] = []
            var byte: UInt8 = 0
            while bytes.count(where: { $0 == UInt8(ascii: "\n") }) < count, read(output[0], &byte, 1) == 1 { bytes.append(byte) }
            close(output[0])
            child.stop()
            return String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
        }
        #expect(
            try watch(lines: 5) == [
                "2026-05-28T22:26:40+02:00  Session 1 of user user1: logon.",
                "2026-05-28T22:26:40+02:00  Session 1 of user user1: connect from 192.0.2.7 (\u{FFFD}]0;x).",
                "2026-05-28T22:26:40+02:00  Session 2 of user user2: connect.",
                "2026-05-28T22:26:40+02:00  Session 1 of user user1: lock.",
                "2026-05-28T22:26:40+02:00  Session 1 of user user1: logoff.",
            ])
        let json = try watch("--user", "user2", "--format", "json", lines: 1)
        #expect(
            json == [
                #"{"time":"2026-05-28T20:26:40.000002Z","event":"connect","session":2,"session_uuid":"0190b2f4-0000-7000-8000-000000000002","#
                    + #""user":"user2","uid":1002,"name":"rdp-tcp#2","stack":"xrdp","client_address":null,"client_name":"\u001b]0;x"}"#
            ])
        #expect(try watch("--session", "1", "--event", "logoff", "--format", "csv", lines: 2).last?.contains(",logoff,1,") == true)
        #expect(try server.run("session", "watch", "--event", "shutdown").code == 2)
    }

    @Test func sessionsAreActedOn() throws {
        let server = try Server()
        defer { server.stop() }
        #expect(try server.run("session", "lock", "1").output == "Session 1 of user user1 was asked to lock.\n")
        #expect(try server.run("session", "logoff", "user1").output == "Session 1 of user user1 is being logged off.\n")
        let denied = try server.run("session", "logoff", "2")
        #expect(denied.code == 4 && denied.output.isEmpty && denied.errors.contains("org.termspan1.manage-sessions: use sudo"))
        let absent = try server.run("session", "disconnect", "2")
        #expect(absent.code == 1 && absent.errors == "termspan: No client is connected to session 2.\n")
        #expect(try server.run("session", "logoff", "99").code == 3)
    }

    @Test func whatReportsCantBeByIsSaid() throws {
        let server = try Server()
        defer { server.stop() }
        for (arguments, problem) in [
            (["--by", "category,fun"], "--by takes user or group, application, category"), (["--by", "category,category"], "--by takes"),
            (["--zone", "Mars/Base"], "There is no time zone 'Mars/Base'"),
            (["--pseudonyms", "2026-10", "--classified", "Office"], "With --pseudonyms nothing but --by"),
        ] {
            let outcome = try Self.run(["report"] + arguments, address: server.bus.address)
            #expect(outcome.code == 2 && outcome.output.isEmpty && outcome.errors.contains(problem), "\(arguments): \(outcome.errors)")
        }
    }

    @Test func statusAndPolicy() throws {
        let server = try Server()
        defer { server.stop() }
        let status = try server.run("status")
        #expect(status.output.contains("Events: 1000 attempted, 1000 delivered, 0 lost\n"))
        #expect(status.output.contains("p50 120 µs, p99 4.2 ms"))
        #expect(try server.run("status", "--format", "json").output.hasPrefix("{\"version\":\"0.1.0\","))
        #expect(
            try server.run("policy", "show").output.hasPrefix(
                "New users: untracked\n     Kept: activity for 180d, sessions without end\n    Seats: 2 of 2 are taken\n\nUSER "))
        #expect(
            try server.run("policy", "show", "--format", "json").output.hasPrefix(
                "{\"new_users\":\"untracked\",\"new_users_decision\":{\"since\":null,\"by\":null,\"reason\":null,\"responsible\":null},"
                    + "\"responsible\":null,\"reason\":null,\"raises\":[],\"users\":[{\"name\":\"user1\""))
        #expect(try server.run("policy", "set", "new-users", "tracked", "--reason", "all agreed").code == 0)
        #expect(try server.run("track", "user1", "--reason", "billing").output == "user1 is now tracked.\n")
        #expect(try server.run("untrack", "user1").output == "user1 is now untracked.\n")
        #expect(try server.run("track", "denied", "--reason", "x").code == 4)
        let unknown = try server.run("track", "user1", "nobody-there", "--reason", "x")
        #expect(unknown.code == 3 && unknown.output == "user1 is now tracked.\n")
    }

    @Test func aPolicyIsAFile() throws {
        let server = try Server()
        defer { server.stop() }
        let exported = try server.run("policy", "export")
        #expect(exported.code == 0 && exported.output.contains(#"{"name":"user1","tracked":true,"reason":"billing"}"#))
        let path = "/tmp/termspan-policy-\(getpid()).json"
        defer { unlink(path) }
        func write(_ text: String) throws {
            let file = try #require(fopen(path, "w"))
            fputs(text, file)
            fclose(file)
        }
        try write(exported.output)
        let same = try server.run("policy", "diff", path)
        #expect(same.code == 0 && same.output.isEmpty && same.errors.isEmpty)
        let nothing = try server.run("policy", "apply", path, "--yes")
        #expect(nothing.code == 0 && nothing.output.isEmpty && nothing.errors.contains("All of it holds already"))
        try write(
            #"{"new_users":"tracked","new_users_reason":"r","users":[{"name":"root","tracked":false},{"name":"nobody-there","tracked":true,"reason":"x"}],"#
                + #""do_not_track":[{"entry":"eve"},{"entry":"uid:7"}]}"#)
        #expect(
            try server.run("policy", "diff", path).output == """
                uid:7 would be on the Do Not Track list.
                root would be untracked.
                New users would be tracked.
                nobody-there would be tracked.

                """)
        let unconfirmed = try server.run("policy", "apply", path)
        #expect(unconfirmed.code == 2 && unconfirmed.output.isEmpty && unconfirmed.errors.contains("add --yes"))
        let applied = try server.run("policy", "apply", path, "--yes")
        #expect(
            applied.output == "uid:7 was on the Do Not Track list already.\nroot is now untracked.\nNew users are now tracked.\n")
        #expect(applied.code == 3 && applied.errors.contains("nobody-there: "))
        try write(#"{"users":[{"name":"root","tracked":true,"reason":"x"}],"do_not_track":[{"entry":"uid:0"}]}"#)
        let torn = try server.run("policy", "diff", path)
        #expect(
            torn.code == 1
                && torn.errors.contains(
                    "'root', number 1 of 'users', is to be tracked, and 'uid:0', number 1 of 'do_not_track', names the same user.")
        )
        // Rules of classification are in it; wrong ones are named by their line before anything is changed.
        #expect(exported.output.contains("\"classification\":[\n\"# Ours\",\n\"executable=xedit category=Text\"\n]"))
        try write(#"{"users":[{"name":"root","tracked":false}],"classification":["executable=xedit category=Fun"]}"#)
        #expect(
            try server.run("policy", "apply", path, "--yes").output
                == "root is now untracked.\n1 rules hold now, before the shipped ones.\n")
        try write(##"{"users":[{"name":"root","tracked":false}],"classification":["# x","host=example.com category=Fun"]}"##)
        let wrong = try server.run("policy", "apply", path, "--yes")
        #expect(
            wrong.code == 1 && wrong.output.isEmpty
                && wrong.errors.contains("\(path): 'classification', line 2 (rule 1): 'host' can't match"))
        #expect(wrong.errors.contains("Nothing was changed."))
        let missing = try server.run("policy", "diff", "/nonexistent/policy.json")
        #expect(missing.code == 1 && missing.errors == "termspan: /nonexistent/policy.json: No such file or directory\n")
    }

    @Test func usersAreListed() throws {
        let server = try Server()
        defer { server.stop() }
        #expect(
            try server.run("users").output == """
                USER          NAME            UID  DOMAINS   STATUS     FIRST SEEN                 LAST SEEN                  SESSIONS  SEAT
                EXAMPLE\\ben\u{FFFD}                 1003  example   untracked                                                               0
                former                       1009            former     2026-05-14T10:24:00+02:00  2026-05-14T11:24:00+02:00         1  taken
                root          root              0  server    untracked                             now                               0
                user1                        1001  server    tracked    2026-05-14T10:24:00+02:00  2026-05-14T11:24:00+02:00         3  taken

                """)
        #expect(
            try server.run("users", "--seats").output == """
                USER            UID  SEAT   SINCE                      WHY
                EXAMPLE\\ben\u{FFFD}   1003  none                              nothing is held, and nothing is recorded
                former         1009  taken  2026-05-14T10:24:00+02:00  sessions are held of whoever had this login or UID: 1
                root              0  none                              nothing is held, and nothing is recorded
                user1          1001  taken  2026-05-14T10:24:00+02:00  sessions are held: 3

                Seats: 2 of 2 are taken.

                """)
        let csv = try server.run("users", "1", "--format", "csv").output
        let header = "user,name,uid,logins,domains,tracked,decided_by,decision,level,since,first_seen,last_seen,open,sessions,seat"
        #expect(
            csv.hasPrefix(header + "\r\nuser1,,1001,user1,server,true,decision,tracked,basic,") && csv.split(separator: "\r\n").count == 2)
        func logins(_ arguments: String...) throws -> [String] {
            let outcome = try CommandTests.run(["users"] + arguments + ["--format", "csv"], address: server.bus.address)
            #expect(outcome.code == 0 && outcome.errors.isEmpty)
            return outcome.output.split(separator: "\r\n").dropFirst().map { String($0.prefix { $0 != "," }) }
        }
        #expect(try logins("--status", "tracked") == ["user1"])
        #expect(try logins("--group", "root", "--all") == ["root"])
        #expect(try logins("--seen-since", "2026-05-15") == ["root"] && logins("--has-data") == ["former", "user1"])
        #expect(try logins("--domain", "Example", "BEN").count == 1 && logins("--domain", "Example", "anna").isEmpty)
        let nobody = try server.run("users", "nobody-of-that-name")
        #expect(nobody.code == 0 && nobody.output.isEmpty && nobody.errors == "termspan: No such users are known.\n")
        let group = try server.run("users", "--group", "no-such-group")
        #expect(group.code == 3 && group.errors.hasPrefix("termspan: There is no group no-such-group.\n"))
    }

    @Test func theAuditRecordIsShown() throws {
        let server = try Server()
        defer { server.stop() }
        #expect(
            try server.run("audit").output == """
                TIME                       BY          WHAT                  ABOUT         VALUE
                2026-05-28T22:26:40+02:00  root        tracked               user1         true
                2026-05-28T22:27:40+02:00  uid 1000    read spans            user1
                2026-05-28T22:28:40+02:00  root        read users            everybody
                2026-05-28T22:29:40+02:00  root        user-erased           (erased)      termspan-erasure\u{FFFD}

                """)
        #expect(
            try server.run("audit", "--format", "csv").output.hasPrefix(
                "id,time,by,action,user,user_uuid,value,entry,sha256\r\n1,2026-05-28T20:26:40.000000Z,root,tracked,user1,"))
        let denied = try server.run("audit", "--all")
        #expect(denied.code == 4 && denied.errors.contains("It needs the right org.termspan1.view-audit"))
        #expect(try server.run("audit", "--all", "--user", "user1").code == 2)
        #expect(try server.run("audit", "--since", "2026-05-28", "--until", "2026-05-27").code == 2)
        let changed = try server.run("verify", "--audit")
        #expect(changed.code == 1 && changed.output.hasPrefix("The audit record was changed: entry 2 is missing.\n"))
        #expect(try server.run("verify", "--audit", "--known", "aa").code == 2)
        #expect(try server.run("verify", "--store", "--known", String(repeating: "a", count: 64)).code == 2)
        let both = try server.run("verify", "--format", "json")
        #expect(
            both.code == 1
                && both.output.hasPrefix(
                    #"{"audit":{"store":"019e247c-3c40-7000-8000-00000000000b","entries":1,"problem":"entry 2 is missing","#)
        )
        #expect(both.output.contains(#""store":{"whole":false,"sessions":3,"#))
        for wrong in [["--format", "csv"], ["--audit", "--store"], ["--audit", "--all"]] {
            #expect(try server.run("verify", wrong[0], wrong[1]).code == 2)
        }
        let own = try server.run("verify", "--store")
        #expect(own.code == 0)
        #expect(
            own.output == """
                What is held of your sessions is right: 3 sessions, 4 days, 50 intervals.
                Of 1:00:00 0:00:02 are Unknown, 0.042 %.
                REASON    CLASS  TIME     LONGEST  USER   SINCE                      SESSION
                starting  known  0:00:02  0:00:02  user1  2026-05-14T10:24:00+02:00  019e247c-3c40-7000-8000-000000000001

                """)
        let broken = try server.run("verify", "--store", "--all")
        #expect(broken.code == 1 && broken.output.hasPrefix("The store is not right: 1 problems.\n  [overlap] user1, session 019e247c-"))
        #expect(broken.output.contains("2026-05-14T10:24:00+02:00: focus_interval: a row\u{FFFD}\n"))
        let json = try server.run("verify", "--store", "--all", "--format", "json")
        #expect(
            json.code == 1
                && json.output.hasPrefix(#"{"audit":null,"store":{"whole":true,"sessions":3,"days":4,"intervals":50,"problems":1,"#))
    }

    /// Without a terminal, as scripts run.
    @Test func usersAreSelectedAndDecidedAbout() throws {
        let server = try Server()
        defer { server.stop() }
        let unconfirmed = try server.run("untrack", "--status", "tracked")
        #expect(unconfirmed.code == 2 && unconfirmed.output.isEmpty)
        #expect(unconfirmed.errors.contains("--dry-run") && unconfirmed.errors.contains("--yes"))
        let tried = try server.run("track", "--status", "untracked", "--reason", "x", "--dry-run")
        #expect(tried.code == 0 && tried.output == "EXAMPLE\\ben\u{FFFD}: no such user\nroot would be tracked.\n")
        #expect(try server.run("untrack", "--group", "root", "--yes").output == "root is now untracked.\n")
        // Everybody but whose login is another's by now.
        let all = try server.run("untrack", "--seen-since", "2026-01-01", "--yes")
        #expect(all.code == 0 && all.output == "root is now untracked.\nuser1 is now untracked.\n")
        #expect(try server.run("untrack", "user1", "user2").output == "user1 is now untracked.\nuser2 is now untracked.\n")
        let named = try server.run("untrack", "root", "nobody-of-that-name", "--dry-run")
        #expect(named.output == "root would be untracked.\nnobody-of-that-name: no such user\n")
        let none = try server.run("untrack", "--domain", "nowhere.example", "--yes")
        #expect(none.code == 0 && none.output.isEmpty && none.errors == "termspan: No user is selected; nothing was changed.\n")
    }

    @Test func theDoNotTrackList() throws {
        let server = try Server()
        defer { server.stop() }
        let listed = try server.run("donottrack", "list").output.split(separator: "\n")
        #expect(listed.count == 2 && listed[0].hasPrefix("ENTRY ") && listed[1].hasPrefix("eve@* ") && listed[1].hasSuffix("asked"))
        #expect(try server.run("donottrack", "list", "--format", "json").output.hasPrefix("[\n{\"entry\":\"eve@*\",\"since\":"))
        #expect(try server.run("donottrack", "list", "--format", "csv").output.hasPrefix("entry,since,by,reason\r\neve@*,"))
        #expect(try server.run("policy", "show").output.contains("\nDo Not Track:\nENTRY "))
        let added = try server.run("donottrack", "add", "anna@*", "uid:7", "--reason", "asked")
        #expect(added.code == 0)
        #expect(added.output == "anna@* is on the Do Not Track list now.\nuid:7 was on the Do Not Track list already.\n")
        #expect(
            try server.run("donottrack", "remove", "anna@*", "--reason", "x").output == "anna@* is no longer on the Do Not Track list.\n")
        let absent = try server.run("donottrack", "remove", "uid:7", "--reason", "x")
        #expect(absent.code == 3 && absent.errors.contains("There is no entry uid:7."))
        let refused = try server.run("donottrack", "add", "*")
        #expect(refused.code != 0 && refused.errors.contains("names nobody"))
    }

    @Test func whatIsErasedIsConfirmedAndTold() throws {
        let server = try Server()
        defer { server.stop() }
        // Standard input is no terminal here.
        let unconfirmed = try server.run("erase", "user1", "--reason", "left")
        #expect(unconfirmed.code == 2 && unconfirmed.errors.contains("--dry-run") && unconfirmed.output.isEmpty)
        #expect(try server.run("erase", "user1", "--yes").code == 2)
        let held = try server.run("erase", "user1", "--dry-run")
        #expect(
            held.code == 0 && held.output.hasPrefix("user1 (uid 1001): 2 sessions, 120 focus intervals, ")
                && held.output.hasSuffix(" are held.\n"))
        let erased = try server.run("erase", "user1", "nobody", "--forget", "--reason", "left", "--yes")
        #expect(erased.code == 3 && erased.output.contains("  Receipt: termspan-erasure user-erased=yes\n  SHA-256: ab\n"))
        #expect(erased.errors.contains("Nothing is held of nobody.") && erased.errors.contains("termspan-damaged-x.db"))
        #expect(
            try server.run("erase", "user1", "--reason", "x", "--yes", "--format", "csv").output.hasPrefix(
                "user,uid,sessions,focus_intervals,"))
        let refused = try server.run("erase", "root", "--dry-run")
        #expect(refused.code == 4 && refused.errors.contains("It needs the right org.termspan1.erase"))
    }

    @Test func mistakesAreExplained() throws {
        let bus = try PrivateBus()
        defer { bus.stop() }
        let stopped = try Self.run(["query", "session"], address: bus.address)
        #expect(stopped.code == 5)
        #expect(stopped.errors.contains("sudo systemctl start termspand.service"))
        #expect(try Self.run(["status"], address: "unix:path=/nonexistent/bus").code == 5)
        for arguments in [
            ["query", "sessions"], ["spans", "--since", "soon"], ["track"], ["track", "user1", "--reason", " "],
            ["track", "--reason", "x"], ["untrack"], ["untrack", "user1", "--status", "tracked"], ["users", "--status", "perhaps"],
            ["policy", "set", "new-users", "perhaps"], ["policy", "set", "new-users", "tracked"], ["donottrack", "remove", "anna"],
            ["--wrong"],
        ] {
            let outcome = try Self.run(arguments, address: bus.address)
            #expect(outcome.code == 2, "\(arguments): \(outcome)")
            #expect(outcome.errors.hasPrefix("termspan: "))
            #expect(outcome.output.isEmpty)
        }
        #expect(try Self.run(["--help"], address: bus.address).code == 0)
        #expect(try Self.run(["--version"], address: bus.address).output == "0.1.0\n")
        let doctor = try Self.run(["doctor"], address: bus.address)
        #expect(doctor.code == 1)
        #expect(doctor.output.contains("FAIL  Bus name: nobody owns org.termspan1\n      -> Start the collector"))
        #expect(try Self.run(["top"], address: bus.address).code == 1)
    }

    /// What the shells ask for at each press of the key.
    @Test func completionOffersWhoIsThere() throws {
        let server = try Server()
        defer { server.stop() }
        for (command, word, wanted) in [
            (["query", "session"], "positional@0", ["0", "1", "2", "rdp-tcp#1", "services", "user1", "user2"]),
            (["session", "lock"], "positional@0", ["0", "1", "2", "rdp-tcp#1", "services", "user1", "user2"]),
            (["session", "watch"], "--user", ["user1", "user2"]), (["track"], "positional@0", ["user1", "user2"]),
        ] {
            let outcome = try Self.run(["---completion"] + command + ["--", word, "0", "0", "termspan"], address: server.bus.address)
            #expect(outcome.output.split(separator: "\n").map(String.init).filter { !$0.isEmpty } == wanted, "\(command) \(outcome)")
        }
    }

    @Test(arguments: ["bash", "zsh", "fish"]) func completionsAreMade(shell: String) throws {
        let outcome = try Self.run(["--generate-completion-script", shell], address: "unix:path=/nonexistent/bus")
        #expect(outcome.code == 0 && outcome.output.contains("termspan"))
    }
}
