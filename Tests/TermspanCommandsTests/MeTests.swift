import Glibc
import TermspanBus
import TermspanCore
import Testing

@testable import TermspanCommands

@Suite struct MeTests {
    private static let since: UInt64 = 1_780_000_000_000_000
    private static let sinceText = WallInstant(microseconds: since).map { TimeText.local($0) } ?? ""

    private static func policy(
        _ isTracked: Bool, by name: String = "", reason: String = "", entries: [String] = [], responsible: String = "",
        personally: String = "", newUsers: String? = nil, paused: UInt64? = nil, left: UInt64? = nil, seat: Bool? = nil,
        mayBeListed: Bool = false, roles: [BusValue] = [], minimum: UInt64? = nil
    ) throws -> OwnPolicy {
        let user: [String: BusValue] = [
            "name": "anna", "uid": .uint32(1001), "tracked": .bool(isTracked), "since": .uint64(name.isEmpty ? 0 : since),
            "by": .string(name), "reason": .string(reason), "level": "basic", "responsible": .string(personally),
        ]
        let list = entries.map { entry in
            BusValue.properties(["entry": .string(entry), "since": .uint64(since), "by": "root", "reason": "asked"])
        }
        var own: [String: BusValue] = ["user": .properties(user), "do-not-track": .array(of: "a{sv}", list)]
        if let paused { own["paused-until"] = .uint64(paused) }
        if let left { own["pause-left"] = .uint64(left * 1_000_000) }
        if let seat { own["seat"] = .bool(seat) }
        if mayBeListed { own["sid-unknown"] = true }
        // What is about others is passed over.
        let other = BusValue.properties(["name": "mallory", "tracked": true])
        var values: [String: BusValue] = [
            "new-users": "untracked", "responsible": .string(responsible), "users": .array(of: "a{sv}", [other]),
            "own": .properties(own), "roles": .array(of: "a{sv}", roles),
        ]
        if let newUsers {
            let decision: [String: BusValue] = [
                "new-users": "tracked", "new-users-since": .uint64(since), "new-users-by": "root", "new-users-reason": .string(newUsers),
                "new-users-responsible": "Ben Ray",
            ]
            values.merge(decision) { $1 }
        }
        if let minimum { values["aggregate-minimum"] = .uint64(minimum) }
        return try #require(OwnPolicy(values))
    }

    private static func view(_ policy: OwnPolicy?) -> OwnView {
        var view = OwnView(login: "anna", userID: 1001)
        view.policy = policy
        view.activity = OwnView.Activity(
            today: .init(since: WallInstant(nanoseconds: 86_400_000_000_000)), week: .init(since: WallInstant(nanoseconds: 0)))
        return view
    }

    private static let chart = Chart(width: 80, isUTF8: true)

    private static func row(_ text: String) throws -> JSONValue { try #require(JSONValue(text.utf8)) }

    // MARK: Whether and why

    @Test func whoMayBeListedByASIDIsToldSo() throws {
        let line = Self.view(try Self.policy(true, by: "root", reason: "billing", mayBeListed: true)).lines(Self.chart)[0]
        #expect(
            line == "Your activity is not recorded yet: no directory has told whether one of the SIDs on the Do Not Track list is yours.")
    }

    @Test func whoIsTrackedIsToldWhatAndWhy() throws {
        let policy = try Self.policy(true, by: "root", reason: "bill\u{1B}ing", responsible: "Data protection, Example Ltd.")
        let lines = Self.view(policy).lines(Self.chart)
        #expect(lines[0] == "Your activity is recorded.")
        #expect(lines[1] == "               Why: decided by root on \(Self.sinceText): bill\u{FFFD}ing")
        #expect(lines[2] == "             Level: basic")
        #expect(lines[3].hasPrefix("          Recorded: which application has the focus"))
        #expect(lines.contains { $0.hasPrefix("    Never recorded: what you type, window titles, web addresses,") })
        #expect(lines.contains("Who answers for it: Data protection, Example Ltd."))
        #expect(lines.contains("To object, ask: Data protection, Example Ltd."))
        #expect(lines.suffix(3).contains("  termspan untrack anna") && lines.last == "  termspan donottrack add anna")
        #expect(lines.allSatisfy { Printable.width($0) <= 80 })
        #expect(!lines.joined().contains("mallory"))
    }

    @Test func whoIsNotTrackedIsToldWhy() throws {
        func why(_ policy: OwnPolicy) -> [String] { Array(Self.view(policy).lines(Self.chart).prefix { !$0.isEmpty }) }
        let rule = why(try Self.policy(false))
        #expect(rule[0] == "Your activity is not recorded.")
        #expect(rule[1].hasSuffix("Why: nobody is, unless it is decided so; about you nothing was"))
        #expect(rule.suffix(2).first == "Who answers for it: the administrators of this server")
        #expect(rule.last == "    Who may see it: you, root, whom polkit lets")
        #expect(!rule.joined().contains("Level"))
        #expect(why(try Self.policy(false, by: "root"))[1].hasSuffix("Why: decided by root on \(Self.sinceText)"))
        // The list goes before a decision.
        let listed = why(try Self.policy(false, by: "root", reason: "billing", entries: ["anna@*", "uid:1001"]))
        #expect(listed[1].hasSuffix("Why: you are on the Do Not Track list"))
        #expect(listed[2].hasSuffix("Entry: anna@*, put there by root on \(Self.sinceText):"))
        #expect(listed.filter { $0.contains("Entry: ") }.count == 2 && !listed.joined().contains("billing"))
        #expect(why(try Self.policy(true))[1].hasSuffix("Why: everybody is, unless it is decided otherwise; about you"))
    }

    /// On which grounds more is recorded than was once, as far as it matters.
    @Test func whatHasMoreRecordedIsToldWithItsGrounds() throws {
        func raise(_ key: String, _ value: String = "") -> BusValue {
            .properties([
                "key": .string(key), "value": .string(value), "since": .uint64(Self.since), "by": "root", "reason": .string("why \(key)"),
                "responsible": "Ann",
            ])
        }
        func lines(tracked: Bool, seat: Bool? = true, held: Bool = false, listed: Bool = false, groups: [String] = []) throws -> [String] {
            var own: [String: BusValue] = [
                "user": .properties(["name": "anna", "uid": .uint32(1001), "tracked": .bool(tracked)]),
                "do-not-track": .array(of: "a{sv}", listed ? [.properties(["entry": "anna@*"])] : []), "groups": .strings(groups),
                "raises": .array(
                    of: "a{sv}",
                    [
                        raise("do-not-track-removed", "login"), raise("do-not-track-removed", "uid"), raise("group-joined", "own:day"),
                        raise("group-left", "own:night"),
                    ]),
            ]
            own["seat"] = seat.map { .bool($0) }
            let policy = try #require(
                OwnPolicy([
                    "own": .properties(own),
                    "raises": .array(of: "a{sv}", ["wider-hours", "kept-longer", "shorter-pauses", "more-seats"].map { raise($0) }),
                ]))
            return policy.raisedLines(isHeld: held).map { "\($0): \($1)" }
        }
        let all = try lines(tracked: true, groups: ["day"])
        #expect(all.first == "Wider hours: decided by root on \(Self.sinceText): why wider-hours; Ann answers for that")
        #expect(
            all.map { String($0.prefix { $0 != ":" }) } == [
                "Wider hours", "Kept longer", "Shorter pauses", "More seats", "Off the list", "Group joined", "Group left",
            ])
        #expect(all.last == "Group left: own:night, decided by root on \(Self.sinceText): why group-left; Ann answers for that")
        // What does not hold any more, and what is about nobody.
        #expect(
            try lines(tracked: true, seat: nil, groups: ["night"]).map { String($0.prefix(8)) } == [
                "Wider ho", "Kept lon", "Shorter ", "Off the ",
            ])
        #expect(try lines(tracked: false, held: true, listed: true, groups: ["night"]).map { String($0.prefix(11)) } == ["Kept longer"])
        #expect(try lines(tracked: false, groups: ["night"]) == [])
    }

    /// zsh shows the notice where the administrator has it do so; other shells that read nothing of ours don't.
    @Test func aShellThatShowsNoNoticeIsTold() throws {
        let none: (String) -> [UInt8]? = { _ in nil }
        for shell in ["/bin/bash", "/bin/sh", "/usr/bin/fish", "/usr/sbin/nologin", "", "/usr/bin/dash"] {
            #expect(LogonNotice.reaches(shell: shell, none), "\(shell)")
        }
        for shell in ["/usr/bin/zsh", "/bin/zsh", "/bin/tcsh", "/usr/bin/xonsh"] {
            #expect(!LogonNotice.reaches(shell: shell, none), "\(shell)")
        }
        for (text, isShown) in [
            (LogonNotice.zshLine, true), ("# termspan-notice", false), ("  #termspan-notice\nx", false),
            ("x\n\t. /etc/profile.d/termspan-notice.sh", true),
        ] {
            #expect(LogonNotice.reaches(shell: "/bin/zsh") { $0 == "/etc/zsh/zlogin" ? Array(text.utf8) : nil } == isShown)
            #expect(!LogonNotice.reaches(shell: "/bin/tcsh") { _ in Array(text.utf8) })
        }
        var view = Self.view(try Self.policy(true, by: "root"))
        #expect(!view.lines(Self.chart).joined().contains("Notice"))
        view.silentShell = "/bin/zsh"
        #expect(view.lines(Self.chart).contains { $0.contains("Notice: is NOT shown when you log on at a terminal: /bin/zsh") })
        #expect(view.json["silent_shell"]?.string == "/bin/zsh")
    }

    /// Who decided, why, and who answers for that, of whoever is recorded by a decision about all.
    @Test func whoAnswersIsWhoeverAnswersForTheDecision() throws {
        func text(_ policy: OwnPolicy) -> String {
            Self.view(policy).lines(Self.chart).prefix { !$0.isEmpty }.joined(separator: " ").split(separator: " ").joined(separator: " ")
        }
        let decided = try Self.policy(true, by: "root", responsible: "IT", personally: "Ann Lee", newUsers: "all")
        #expect(text(decided).contains("Who answers for it: Ann Lee"))
        // For how long it is kept the configuration's answers.
        #expect(text(decided).contains("Why so long: IT answers for that"))
        let all = text(try Self.policy(true, responsible: "IT", newUsers: "works agreement"))
        #expect(all.contains("as was decided by root on \(Self.sinceText): works agreement;"))
        #expect(all.contains("Who answers for it: Ben Ray"))
        // Nobody answers for what is not done; questions go to whom the configuration names.
        #expect(text(try Self.policy(false, by: "root", responsible: "IT", personally: "Ann Lee")).contains("Who answers for it: IT"))
    }

    @Test func aPauseAndWhatIsLeftAreShown() throws {
        let lines = Self.view(try Self.policy(true, by: "root", paused: Self.since, left: 1850)).lines(Self.chart)
        #expect(lines[0] == "You have paused the recording of your activity until \(Self.sinceText): termspan resume ends that.")
        #expect(lines.contains("            Pauses: 30 min left today: termspan pause 30m"))
        let json = Self.view(try Self.policy(true, paused: Self.since, left: 1850)).json
        #expect(json["pause_left"] == .unsigned(1850))
        #expect(json["paused_until"]?.string?.hasPrefix("2026-05-28T20:26:40") == true)
        // Who is not tracked is not told of pauses.
        let untracked = Self.view(try Self.policy(false, left: 1850)).lines(Self.chart)
        #expect(untracked[0] == "Your activity is not recorded." && !untracked.contains { $0.contains("Pauses:") })
    }

    @Test func whoFindsNoSeatIsToldSo() throws {
        let view = Self.view(try Self.policy(true, by: "root", seat: false))
        let line = "Your activity is not recorded: all seats of this server are taken. It will be once one is free."
        #expect(view.lines(Self.chart)[0] == line)
        #expect(view.json["seat"] == .bool(false))
        #expect(Self.view(try Self.policy(true, seat: true)).lines(Self.chart)[0] == "Your activity is recorded.")
    }

    @Test func whatCouldNotBeAskedIsSaid() throws {
        #expect(OwnPolicy(["new-users": "untracked"]) == nil)
        var view = OwnView(login: "EXAMPLE\\anna", userID: 1001)
        let lines = view.lines(Self.chart)
        #expect(lines[0] == "Whether your activity is recorded could not be asked.")
        #expect(lines[2] == "What is held about you could not be asked.")
        #expect(lines.last == "  termspan donottrack add 'EXAMPLE\\anna'")
        #expect(
            view.json.text
                == #"{"user":"EXAMPLE\\anna","uid":1001,"policy":null,"paused_until":null,"pause_left":null,"hours":null,"seat":null,"groups":null,"#
                + #""raises":null,"seen_by":null,"changed_notices":[],"silent_shell":null,"today":null,"week":null,"held":null,"looks":null}"#
        )
        view.policy = try Self.policy(false)
        #expect(view.lines(Self.chart)[0] == "Your activity is not recorded.")
    }

    @Test func whoMaySeeItIsToldByTheGroupsThatOneIsIn() throws {
        func role(_ name: String, _ group: String, _ views: String = "") -> BusValue {
            .properties(["role": .string(name), "group": .string(group), "views": .string(views)])
        }
        let roles = [
            role("administrator", "it"), role("configurator", "desk"), role("power-user", "hr"), role("viewer", "leads", "sales"),
            role("viewer", "teachers", "pupils"), role("auditor", "council"), role("statistician", "board"),
            role("of a newer version", "x"),
        ]
        var view = Self.view(try Self.policy(true, roles: roles, minimum: 5))
        func seers(_ isMember: @escaping (String) -> Bool?) -> [String] {
            view.seenBy = view.policy?.sightOfOthers(isMember) ?? []
            return view.seenBy.map(\.group)
        }
        #expect(seers { _ in false } == ["it", "hr", "board"])
        // Whether it is a pupil nobody could say.
        #expect(seers { $0 == "pupils" ? nil : false } == ["it", "hr", "teachers", "board"])
        #expect(seers { ["sales", "leads"].contains($0) } == ["it", "hr", "leads", "board"])
        let text = view.lines(Self.chart).joined(separator: " ").split(separator: " ").joined(separator: " ")
        #expect(
            text.contains(
                "Who may see it: you, root, whom polkit lets, members of it (administrator), members of hr (power-user), members of leads (viewer), "
                    + "members of board (statistician, only in averages of at least 5 users)"
            ))
    }

    // MARK: How the time went

    @Test func ofWhomNothingIsHeldIsToldSo() throws {
        let lines = Self.view(try Self.policy(false)).lines(Self.chart)
        #expect(lines.filter { $0 == "  Nothing is recorded." }.count == 2)
        #expect(lines.contains("  Nobody.") && lines.contains("  Nothing.") && !lines.contains { $0.contains("termspan me export") })
    }

    @Test func timesAreAddedUpAndShown() throws {
        var view = Self.view(try Self.policy(true))
        // Two boots.
        for active in ["100.5", "3499.5"] {
            let row = try Self.row("{\"active\":\(active),\"passive\":0,\"inactive\":0,\"locked\":900,\"unknown\":0.1}")
            view.activity?.today.add(summary: row)
        }
        for (executable, active) in [("/usr/bin/xterm", "30"), ("/usr/bin/xterm", "30"), ("/opt/\u{1B}[2J", "120"), ("/a", "0")] {
            view.activity?.today.add(span: .object([.init("executable", .string(executable)), .init("active", .decimal(active))]))
        }
        for index in 1...9 {
            view.activity?.today.add(span: try Self.row("{\"executable\":null,\"class\":\"Class\(index)\",\"active\":\(index)}"))
        }
        view.activity?.today.add(span: try Self.row("{\"executable\":null,\"class\":null,\"active\":1e99}"))
        view.activity?.held.add(try Self.row(#"{"session_uuid":"a","time":"2026-01-02T03:04:05.000006Z","event":"logon"}"#))
        view.activity?.held.add(try Self.row(#"{"session_uuid":"a","time":"2026-01-02T04:04:05.000006Z","event":"logoff"}"#))
        view.activity?.held.add(try Self.row(#"{"session_uuid":"b","time":null,"event":"recorded"}"#))
        let lines = view.lines(Self.chart)
        let today = Array(lines.drop { !$0.hasPrefix("Today, since ") }.dropFirst().prefix { !$0.isEmpty })
        #expect(
            today == [
                "  active                  1:00:00  " + String(repeating: "\u{2588}", count: 45), "  passive                 0:00:00",
                "  inactive                0:00:00",
                "  locked                  0:30:00  " + String(repeating: "\u{2588}", count: 22) + "\u{258C}",
            ])
        let applications = Array(lines.drop { !$0.hasPrefix("Applications today") }.dropFirst().prefix { !$0.isEmpty })
        #expect(
            applications.map { $0.split(separator: " ")[0] } == ["\u{FFFD}[2J", "xterm", "Class9", "Class8", "Class7"])
        #expect(lines.contains("     Sessions: 2, 1 of them not over"))
        #expect(lines.allSatisfy { Printable.width($0) <= 80 })
    }

    @Test func barsFillTheirWidth() {
        #expect(Self.chart.bar(1, width: 4) == "\u{2588}\u{2588}\u{2588}\u{2588}")
        #expect(Self.chart.bar(0.55, width: 10) == String(repeating: "\u{2588}", count: 5) + "\u{258C}")
        #expect(Self.chart.bar(0.0001, width: 10) == "\u{258F}")
        let plain = Chart(width: 80, isUTF8: false)
        #expect(plain.bar(0.5, width: 10) == "#####" && plain.bar(0.0001, width: 10) == "#")
        for share in [0, -1, 1.5, Double.nan, .infinity] { #expect(Self.chart.bar(share, width: 10).isEmpty) }
        #expect(Self.chart.bar(1, width: 0).isEmpty && Self.chart.bar(1, width: -5).isEmpty)
        for (width, widest) in [(0, 33), (20, 33), (36, 36), (80, 80), (200, 200)] {
            for isUTF8 in [true, false] {
                let lines = Chart(width: width, isUTF8: isUTF8).lines([
                    ("a name that is longer than its column", 7_200_000_000), ("none", 0),
                ])
                #expect(lines.map { Printable.width($0) }.max() == widest)
            }
        }
    }

    @Test func charactersAreThoseOfTheLocale() {
        func writesUTF8(_ variables: [String: String]) -> Bool { Chart.writesUTF8 { variables[$0] } }
        #expect(writesUTF8(["LANG": "de_DE.UTF-8"]) && writesUTF8(["LC_ALL": "", "LC_CTYPE": "C.utf8", "LANG": "C"]))
        #expect(!writesUTF8([:]) && !writesUTF8(["LC_ALL": "C", "LANG": "de_DE.UTF-8"]) && !writesUTF8(["LANG": "de_DE.ISO-8859-1"]))
    }

    /// In a process of its own, since all that is in one has the same zone.
    @Test func daysAndWeeksBeginAtMidnightAlsoWhereTheClocksChange() async {
        await #expect(processExitsWith: .success) {
            setenv("TZ", "Europe/Berlin", 1)
            tzset()
            for (now, today, monday) in [
                // The Sundays on which summer time begins and ends, and the first minutes of the Monday after.
                ("2026-03-29T10:00:00Z", "2026-03-28T23:00:00.000000Z", "2026-03-22T23:00:00.000000Z"),
                ("2026-10-25T11:00:00Z", "2026-10-24T22:00:00.000000Z", "2026-10-18T22:00:00.000000Z"),
                ("2026-03-29T22:30:00Z", "2026-03-29T22:00:00.000000Z", "2026-03-29T22:00:00.000000Z"),
                // A week over the turn of the year.
                ("2026-01-01T12:00:00Z", "2025-12-31T23:00:00.000000Z", "2025-12-28T23:00:00.000000Z"),
            ] {
                let moment = try #require(TimeText.parse(now, now: WallInstant(nanoseconds: 0)))
                #expect(TimeText.parse("today", now: moment).map { TimeText.utc($0) } == today)
                #expect(TimeText.monday(of: moment).map { TimeText.utc($0) } == monday)
            }
        }
    }

    @Test func aNoticeThatIsSwitchedOffIsTold() throws {
        #expect(LogonNotice.changed { _ in [100] }.isEmpty)
        for changed in [[], [100, 10]] as [[UInt8]] {
            #expect(LogonNotice.changed { $0.contains("/profile.d/") ? changed : [100] } == ["/etc/profile.d/termspan-notice.sh"])
        }
        #expect(LogonNotice.changed { $0.hasPrefix(LogonNotice.originals) ? nil : [100] } == LogonNotice.scripts)
        #expect(LogonNotice.changed { _ in nil } == LogonNotice.scripts)
        var view = Self.view(try Self.policy(true))
        func text() -> String { view.lines(Self.chart).joined(separator: " ").split(separator: " ").joined(separator: " ") }
        #expect(!text().contains("Notice"))
        view.changedNotices = ["/etc/profile.d/termspan-notice.sh"]
        #expect(
            text().contains(
                "Notice: may NOT be shown at each logon: /etc/profile.d/termspan-notice.sh is missing or not as Termspan has it"))
        #expect(view.json.text.contains(#""changed_notices":["/etc/profile.d/termspan-notice.sh"]"#))
    }

    // MARK: For programs

    @Test func jsonHasTheSame() throws {
        var view = Self.view(try Self.policy(true))
        view.activity?.today.add(summary: try Self.row(#"{"active":1.5,"passive":0,"inactive":0}"#))
        view.activity?.today.add(span: try Self.row(#"{"executable":"/usr/bin/xterm","class":"XTerm","active":1.5}"#))
        view.activity?.held.add(try Self.row(#"{"session_uuid":"a","time":"2026-01-02T03:04:05.000006Z","event":"logon"}"#))
        let rest = #""passive":0,"inactive":0,"locked":0,"disconnected":0,"paused":0,"suspended":0,"unknown":0"#
        #expect(
            view.json.text
                == #"{"user":"anna","uid":1001,"policy":{"new_users":"untracked","#
                + #""new_users_decision":{"since":null,"by":null,"reason":null,"responsible":null},"responsible":null,"reason":null,"raises":[],"users":[{"name":"anna","uid":1001,"#
                + #""tracked":true,"level":"basic","since":null,"by":null,"reason":null,"responsible":null}],"do_not_track":[],"roles":[],"group_members":[],"keep_activity":null,"keep_sessions":null,"keep_by_group":[],"tracking_hours":[],"holidays":[],"#
                + #""seats":null,"seats_taken":null,"aggregate_groups":null,"aggregate_minimum":null},"#
                + #""paused_until":null,"pause_left":null,"hours":null,"seat":null,"groups":[],"raises":[],"seen_by":[],"changed_notices":[],"silent_shell":null,"#
                + #""today":{"since":"1970-01-02T00:00:00.000000Z","active":1.5,\#(rest),"applications":[{"application":"xterm","active":1.5}]},"#
                + #""week":{"since":"1970-01-01T00:00:00.000000Z","active":0,\#(rest)},"#
                + #""held":{"sessions":1,"open":1,"first":"2026-01-02T03:04:05.000006Z","last":"2026-01-02T03:04:05.000006Z"},"#
                + #""looks":[]}"#)
    }

    @Test func anExportIsOneDocument() throws {
        let row = JSONValue.object([.init("a", .decimal("1.50"))])
        var text = ExportDocument.opening(
            login: "anna", userID: 1001, time: WallInstant(nanoseconds: 0), policy: try Self.policy(false, entries: ["anna@*"]))
        var counts: [(part: ExportDocument.Part, rows: UInt64)] = []
        for (index, part) in ExportDocument.parts.enumerated() {
            text += ExportDocument.opening(of: part) + Records.text(Array(repeating: row, count: index), keys: [], .json)
            counts.append((part: part, rows: UInt64(index)))
        }
        #expect(JSONValue(text.utf8) == nil)
        text += ExportDocument.closing(counts)
        let document = try Self.row(text)
        #expect(text.hasPrefix(#"{"user":"anna","uid":1001,"time":"1970-01-01T00:00:00.000000Z","policy":{"new_users":"#))
        #expect(document["policy"]?["do_not_track"]?.array?.first?["entry"]?.string == "anna@*")
        #expect(document["pause_left"] == .null && document["groups"]?.array == [])
        #expect(document["sessions"]?.array == [] && document["spans"]?.array == [row, row])
        #expect(text.hasSuffix("\n,\n\"rows\":{\"sessions\":0,\"events\":1,\"spans\":2,\"records\":3,\"audit\":4,\"facts\":5}}\n"))
    }

    @Test func whoLookedIsSummedUp() throws {
        var looks = OwnView.Looks()
        for (time, by, user) in [(1, "root", "null"), (2, "uid 5", "\"anna\""), (3, "root", "null"), (4, "root", "\"anna\"")] {
            let row = "{\"time\":\"2026-01-02T03:04:0\(time).000000Z\",\"by\":\"\(by)\",\"action\":\"read-spans\",\"user\":\(user)}"
            looks.add(try Self.row(row))
        }
        looks.add(try Self.row(#"{"time":"2026-01-02T03:04:09.000000Z","by":"root","action":"tracked","user":"anna"}"#))
        let all = looks.all
        #expect(all.map(\.look.by) == ["root", "uid 5", "root"] && all.map(\.look.about) == ["anna", "anna", "everybody"])
        #expect(all.map(\.sum.count) == [1, 1, 2] && all[2].sum.last == "2026-01-02T03:04:03.000000Z")
        var view = Self.view(try Self.policy(true))
        view.activity?.looks = looks
        #expect(view.lines(Self.chart).contains { $0.hasSuffix("  root   spans of everybody, 2 times, last then") })
    }

    // MARK: The command

    @Test func theCommandShowsWhatTheServicesTell() throws {
        let server = try CommandTests.Server()
        defer { server.stop() }
        let shown = try server.run("me")
        #expect(shown.code == 0 && shown.errors.isEmpty)
        #expect(shown.output.hasPrefix("Your activity is recorded.\n"))
        #expect(shown.output.contains("decided by root on 2026-05-28T22:26:40+02:00: billing\n"))
        #expect(shown.output.contains("  active                  0:33:20  "))
        #expect(shown.output.contains("  xterm                   0:08:20  "))
        #expect(
            shown.output.contains(
                "Who looked at it:\n  2026-05-28T22:27:40+02:00  uid 1000  spans of user1\n"
                    + "  2026-05-28T22:28:40+02:00  root      users of everybody\n\n"))
        #expect(shown.output.contains("Sessions: 1\n") && !shown.output.contains("eve@"))
        let json = try server.run("me", "--format", "json").output
        #expect(json.contains(#","held":{"sessions":1,"open":0,"first":"2026-05-14T08:24:00.000000Z","#) && json.hasSuffix("}]}\n"))
        #expect(try server.run("me", "--format", "csv").code == 2)
    }

    @Test func factsAreShownWithSinceWhen() throws {
        let server = try CommandTests.Server()
        defer { server.stop() }
        let shown = try server.run("facts")
        #expect(shown.code == 0 && shown.errors.isEmpty)
        #expect(
            shown.output.split(separator: "\n").last?.split(separator: " ").map(String.init)
                == ["(computer)", "computer-name", "host", "2026-05-14T10:24:00+02:00"])
        #expect(try server.run("facts", "--format", "csv").output.hasPrefix("of,user,uid,session,session_uuid,fact,value,since,until"))
        for arguments in [["--at", "today", "--history"], ["--user", "anna", "--all"]] {
            #expect(try CommandTests.run(["facts"] + arguments, address: "").code == 2)
        }
    }

    @Test func aPauseIsBegunAndEnded() throws {
        let server = try CommandTests.Server()
        defer { server.stop() }
        #expect(try server.run("me").output.contains("Pauses: 30 min left today: termspan pause 30m\n"))
        #expect(try server.run("pause", "30m").output == "Your activity is not recorded until 2026-05-28T22:56:40+02:00.\n")
        let refused = try server.run("pause", "1h")
        #expect(refused.code == 1 && refused.errors == "termspan: 30 of the 60 minutes are left that you may pause in 24 hours.\n")
        #expect(try server.run("resume").output == "Your pause is over.\n")
        for text in ["0s", "2d", "soon", "-5m"] { #expect(try server.run("pause", text).code == 2) }
    }

    @Test func aServiceThatIsMissingIsSaid() throws {
        let noReports = try CommandTests.Server("no-reports")
        defer { noReports.stop() }
        let known = try noReports.run("me")
        #expect(known.code == 5 && known.errors.contains("The reports service can't be started"))
        #expect(known.output.hasPrefix("Your activity is recorded.\n"))
        #expect(known.output.contains("\nWhat is held about you could not be asked.\n"))
        let noCollector = try CommandTests.Server("no-collector")
        defer { noCollector.stop() }
        let held = try noCollector.run("me")
        #expect(held.code == 5 && held.errors.contains("The collector is not running."))
        #expect(held.output.hasPrefix("Whether your activity is recorded could not be asked.\n") && held.output.contains("Sessions: 1\n"))
        #expect(try noCollector.run("me", "export").output.isEmpty)
    }

    @Test func anExportIsANewFileOfTheUsersAlone() throws {
        let server = try CommandTests.Server()
        defer { server.stop() }
        let printed = try server.run("me", "export")
        #expect(printed.code == 0 && printed.errors.isEmpty)
        let document = try Self.row(printed.output)
        #expect(document["rows"]?.text == #"{"sessions":1,"events":2,"spans":3,"records":1,"audit":4,"facts":1}"#)
        #expect(document["spans"]?.array?.count == 3 && document["sessions"]?.array?.first?["connects"]?.unsigned == 2)

        var folder = Array("/tmp/termspan-export-XXXXXX".utf8CString)
        try #require(mkdtemp(&folder) != nil)
        let path = String(decoding: folder.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self) + "/mine.json"
        #expect(try server.run("me", "export", path).code == 0)
        let status = try #require(Files.status(path))
        #expect(status.st_mode == S_IFREG | 0o600)
        let text = try #require(Files.text(path, limit: 1 << 20))
        #expect(try Self.row(text)["rows"] == document["rows"])
        let again = try server.run("me", "export", path)
        #expect(again.code == 1 && again.errors.contains("Nothing is overwritten"))
        #expect(Files.text(path, limit: 1 << 20) == text)
        unlink(path)
        // Not even where a link says so.
        symlink(path + ".other", path)
        #expect(try server.run("me", "export", path).code == 1)
        #expect(!Files.exists(path + ".other"))
        unlink(path)

        let broken = try CommandTests.Server("broken")
        defer { broken.stop() }
        let ended = try broken.run("me", "export", path)
        #expect(ended.code == 1 && ended.errors == "termspan: The report ended early: the store is gone\n")
        #expect(!Files.exists(path))
        #expect(try JSONValue(broken.run("me", "export").output.utf8) == nil)
        rmdir(String(path.dropLast("/mine.json".count)))
    }
}
