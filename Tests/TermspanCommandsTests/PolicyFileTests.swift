import TermspanBus
import TermspanCore
import Testing

@testable import TermspanCommands

@Suite struct PolicyFileTests {
    private static func policy(
        _ users: [String: Bool], entries: [String] = [], newUsers: String = "untracked", roles: [(String, String, String)] = [],
        members: [(String, String)] = []
    ) -> TrackingPolicy {
        TrackingPolicy([
            "new-users": .string(newUsers), "new-users-reason": .string(newUsers == "tracked" ? "all agreed" : ""),
            "new-users-responsible": .string(newUsers == "tracked" ? "Ann Lee" : ""), "complete": true,
            "users": .array(
                of: "a{sv}",
                users.map { name, tracked in
                    .properties([
                        "name": .string(name), "uid": .uint32(uid(name) ?? 0), "tracked": .bool(tracked), "reason": .string("of \(name)"),
                        "responsible": .string(tracked ? "Ann \"A\" Lee" : ""),
                    ])
                }),
            "roles": .array(
                of: "a{sv}",
                roles.map {
                    .properties(["role": .string($0.0), "group": .string($0.1), "views": .string($0.2), "reason": .string("of \($0.1)")])
                }),
            "group-members": .array(
                of: "a{sv}",
                members.map { group, user in
                    .properties(["group": .string(group), "user": .string(user), "uid": .uint32(uid(user) ?? 7), "reason": "asked"])
                }),
            "do-not-track": .array(of: "a{sv}", entries.map { .properties(["entry": .string($0), "reason": "asked"]) }),
        ])
    }

    /// All exist here but for those whose name begins with `no`.
    private static func uid(_ name: String) -> UInt32? {
        name.hasPrefix("no") ? nil : UInt32(name.utf8.reduce(0) { $0 * 3 + Int($1) } % 10_000)
    }

    private static func read(_ text: String) throws -> PolicyFile { try PolicyFile(text.utf8, name: "p.json") }

    /// Of whom more is recorded by it, is told who answers for that.
    @Test func whoAnswersForAMembershipIsSaid() throws {
        let text = #"{"group_members":[{"group":"night","user":"anna","reason":"shifts","responsible":"Ann"}]}"#
        let file = try Self.read(text)
        let night = try #require(OwnGroup(name: "night"))
        let grounds = Grounds(reason: "shifts", responsible: "Ann")
        #expect(PolicyFile.calls(for: [.join(try #require(file.members).first!)]) == [.setGroup(night, ["anna"], true, grounds)])
        #expect(try Self.read(file.text) == file)
    }

    @Test func whatIsExportedHolds() throws {
        let policy = Self.policy(
            ["anna": true, "bert": false], entries: ["bert@*", "uid:7"], newUsers: "tracked",
            roles: [("auditor", "works council", ""), ("viewer", "leads", "sales")], members: [("night", "anna")])
        let text = PolicyFile(policy).text
        #expect(
            text == """
                {
                "new_users":"tracked",
                "new_users_reason":"all agreed",
                "new_users_responsible":"Ann Lee",
                "users":[
                {"name":"anna","tracked":true,"reason":"of anna","responsible":"Ann \\"A\\" Lee"},
                {"name":"bert","tracked":false,"reason":"of bert"}
                ],
                "do_not_track":[
                {"entry":"bert@*","reason":"asked"},
                {"entry":"uid:7","reason":"asked"}
                ],
                "roles":[
                {"role":"auditor","group":"works council","views":null,"reason":"of works council"},
                {"role":"viewer","group":"leads","views":"sales","reason":"of leads"}
                ],
                "group_members":[
                {"group":"night","user":"anna","reason":"asked"}
                ]
                }

                """)
        #expect(try Self.read(text) == PolicyFile(policy))
        #expect(try Self.read(text).changes(from: policy, uid: Self.uid).isEmpty)
        #expect(
            PolicyFile(Self.policy([:])).text
                == "{\n\"new_users\":\"untracked\",\n\"users\":[],\n\"do_not_track\":[],\n\"roles\":[],\n\"group_members\":[]\n}\n")
    }

    @Test func averagesAreAPartOfIt() throws {
        func policy(_ groups: [String], _ minimum: UInt64) -> TrackingPolicy {
            TrackingPolicy([
                "new-users": "tracked", "complete": true, "aggregate-groups": .strings(groups), "aggregate-minimum": .uint64(minimum),
            ])
        }
        let held = policy(["sales", "own:night"], 5)
        let text = PolicyFile(held).text
        #expect(text.hasSuffix("\"aggregate_groups\":[\"sales\",\"own:night\"],\n\"aggregate_minimum\":5\n}\n"))
        #expect(try Self.read(text).changes(from: held, uid: Self.uid).isEmpty)
        #expect(try Self.read("{}").changes(from: held, uid: Self.uid).isEmpty)
        // Their order is one of which goes first.
        let changes = try Self.read(text).changes(from: policy(["own:night", "sales"], 7), uid: Self.uid)
        #expect(
            changes.map(\.line) == ["Averages would be of everybody, sales, own:night.", "Averages would be of at least 5 users."])
        #expect(PolicyFile.calls(for: changes) == [.setAggregates(["sales", "own:night"], minimum: 5)])
        let none = try Self.read(#"{"aggregate_groups":[]}"#).changes(from: held, uid: Self.uid)
        #expect(PolicyFile.calls(for: none) == [.setAggregates([], minimum: nil)])
        let fewer = try Self.read(#"{"aggregate_minimum":4}"#).changes(from: held, uid: Self.uid)
        #expect(PolicyFile.calls(for: fewer) == [.setAggregates(nil, minimum: 4)])
    }

    @Test func rulesOfClassificationAreAPartOfIt() throws {
        func policy(_ rules: String, _ reason: String = "agreed") -> TrackingPolicy {
            var policy = TrackingPolicy(["new-users": "tracked", "complete": true])
            policy.classification = TrackingPolicy.ServerRules(rules, reason: reason)
            return policy
        }
        let held = policy("# Ours\nexecutable=xedit category=\"Text \\\"x\\\"\"\n\ndescription=*game* category=Games business=no\n")
        let text = PolicyFile(held).text
        #expect(
            text.hasSuffix(
                """
                "classification_reason":"agreed",
                "classification":[
                "# Ours",
                "executable=xedit category=\\"Text \\\\\\"x\\\\\\"\\"",
                "",
                "description=*game* category=Games business=no"
                ]
                }

                """), "\(text)")
        // What is exported holds, with or without an end of the last line; what a file does not name stays.
        #expect(try Self.read(text) == PolicyFile(held) && Self.read(text).changes(from: held, uid: Self.uid).isEmpty)
        #expect(
            try Self.read(#"{"classification":["executable=a category=A"]}"#).changes(
                from: policy("executable=a category=A"), uid: Self.uid
            ).isEmpty)
        #expect(try Self.read("{}").changes(from: held, uid: Self.uid).isEmpty)
        #expect(PolicyFile(Self.policy([:])).classification == nil)
        let changes = try Self.read(#"{"classification":["executable=xedit category=Text"],"classification_reason":"new"}"#)
            .changes(from: held, uid: Self.uid)
        #expect(
            changes.map(\.line) == [
                """
                The rules of classification would change:
                - executable=xedit category="Text \\"x\\""
                - description=*game* category=Games business=no
                + executable=xedit category=Text
                """
            ])
        #expect(
            PolicyFile.calls(for: changes) == [.setClassification("executable=xedit category=Text\n", rules: 1, reason: "new")])
        let none = try Self.read(#"{"classification":[]}"#).changes(from: held, uid: Self.uid)
        #expect(PolicyFile.calls(for: none) == [.setClassification("", rules: 0, reason: "")])
        #expect(try Self.read(#"{"classification":[]}"#).changes(from: policy(""), uid: Self.uid).isEmpty)
        // Wrong rules are named by file, line and rule, and nothing of the file holds.
        for (wrong, place) in [
            (##"["# x","executable=a category=A","host=a category=B"]"##, "p.json: 'classification', line 3 (rule 2): 'host' can't match"),
            (#"["executable=a"]"#, "p.json: 'classification', line 1 (rule 1): it has no 'category'"), (#"["a\nb"]"#, "not one line"),
            ("[7]", "not one line"), (#""executable=a category=A""#, "'classification' is not an array"),
        ] {
            let error = #expect(throws: CommandError.self) { try Self.read("{\"classification\":\(wrong)}") }
            #expect(error?.message.contains(place) == true, "\(wrong): \(error?.message ?? "")")
        }
    }

    @Test func rolesThatAFileDoesNotHaveAreTakenAway() throws {
        let policy = Self.policy([:], roles: [("administrator", "it", ""), ("viewer", "leads", "sales"), ("viewer", "leads", "shop")])
        #expect(try Self.read("{}").changes(from: policy, uid: Self.uid).isEmpty)
        let file = try Self.read(
            #"{"roles":[{"role":"viewer","group":"leads","views":"shop"},{"role":"auditor","group":"council","reason":"law"},"#
                + #"{"role":"administrator","group":"it","views":null}]}"#)
        let changes = file.changes(from: policy, uid: Self.uid)
        #expect(
            changes.map(\.line) == [
                "The role auditor: council would be given.", "The role viewer: leads, of sales would be taken away.",
            ])
        let sales = try #require(RoleGrant(.viewer, group: "leads", views: "sales"))
        let council = try #require(RoleGrant(.auditor, group: "council"))
        #expect(PolicyFile.calls(for: changes) == [.setRoles([council], true, reason: "law"), .setRoles([sales], false, reason: "")])
        for wrong in [
            #"{"role":"viewer","group":"leads"}"#, #"{"role":"auditor","group":"x","views":"y"}"#, #"{"role":"boss","group":"x"}"#,
            #"{"role":"auditor"}"#, #"{"role":"auditor","group":"a:b"}"#, #"{"role":"auditor","group":"x","more":1}"#,
            #"{"role":"auditor","group":"x","views":7}"#, #"{"role":"auditor","group":"x"},{"role":"auditor","group":"x","reason":"y"}"#,
        ] { #expect(throws: CommandError.self) { try Self.read("{\"roles\":[\(wrong)]}") } }
    }

    @Test func membersThatAFileDoesNotHaveAreTakenOut() throws {
        let policy = Self.policy([:], members: [("night", "anna"), ("night", "bert"), ("day", "anna")])
        #expect(try Self.read("{}").changes(from: policy, uid: Self.uid).isEmpty)
        let members = ["night anna", "day carl", "day dora", "night nobody"].map { text in
            let parts = text.split(separator: " ")
            return #"{"group":"\#(parts[0])","user":"\#(parts[1])","reason":"shifts"}"#
        }
        let changes = try Self.read("{\"group_members\":[\(members.joined(separator: ","))]}").changes(from: policy, uid: Self.uid)
        #expect(
            changes.map(\.line) == [
                "carl would be in own:day.", "dora would be in own:day.", "bert would no longer be in own:night.",
                "anna would no longer be in own:day.",
            ])
        let (night, day) = (try #require(OwnGroup(name: "night")), try #require(OwnGroup(name: "day")))
        #expect(
            PolicyFile.calls(for: changes) == [
                .setGroup(day, ["carl", "dora"], true, Grounds(reason: "shifts")), .setGroup(night, ["bert"], false, Grounds()),
                .setGroup(day, ["anna"], false, Grounds()),
            ])
        // Whoever administers by a group of our own is in it until a role is given otherwise.
        let order = try Self.read(
            #"{"group_members":[{"group":"it","user":"carl"}],"roles":[{"role":"administrator","group":"sudo"}]}"#
        ).changes(from: Self.policy([:], roles: [("administrator", "own:it", "")], members: [("it", "anna")]), uid: Self.uid)
        #expect(
            order.map(\.line) == [
                "carl would be in own:it.", "The role administrator: sudo would be given.",
                "The role administrator: own:it would be taken away.", "anna would no longer be in own:it.",
            ])
        // An account that was made anew under the login is no member.
        let anew = try Self.read(#"{"group_members":[{"group":"night","user":"anna"}]}"#)
            .changes(from: Self.policy([:], members: [("night", "anna")])) { _ in 4711 }
        #expect(anew.map(\.line) == ["anna would be in own:night."])
        for wrong in [#"{"group":"own:x","user":"a"}"#, #"{"group":"x"}"#, #"{"user":"a"}"#, #"{"group":"","user":"a"}"#] {
            #expect(throws: CommandError.self) { try Self.read("{\"group_members\":[\(wrong)]}") }
        }
    }

    @Test func whoIsToBeLeftAloneComesFirst() throws {
        let file = try Self.read(
            #"{"users":[{"name":"anna","tracked":true,"reason":"billing"},{"name":"eve","tracked":true,"reason":"billing","responsible":"Ann"},"#
                + #"{"name":"fay","tracked":true,"reason":"billing"},"#
                + #"{"name":"bert","tracked":false},{"name":"carl","tracked":false},{"name":"dora","tracked":true,"reason":"other"}],"#
                + #""do_not_track":[{"entry":"fred","reason":"asked"},{"entry":"gina@*"}],"new_users":"untracked"}"#)
        let policy = Self.policy(["anna": true, "bert": true, "carl": false, "zoe": true], entries: ["gina@*"], newUsers: "tracked")
        let changes = file.changes(from: policy, uid: Self.uid)
        #expect(
            changes.map(\.line) == [
                "fred@* would be on the Do Not Track list.", "bert would be untracked.", "New users would be untracked.",
                "eve would be tracked.", "fay would be tracked.", "dora would be tracked.",
            ])
        #expect(
            PolicyFile.calls(for: changes) == [
                .setDoNotTrack(["fred@*"], reason: "asked"), .setTracking(["bert"], false, Grounds()), .setNewUsers("untracked", Grounds()),
                .setTracking(["eve"], true, Grounds(reason: "billing", responsible: "Ann")),
                .setTracking(["fay"], true, Grounds(reason: "billing")), .setTracking(["dora"], true, Grounds(reason: "other")),
            ])
        #expect(try Self.read("{}").changes(from: Self.policy(["anna": true], newUsers: "tracked"), uid: Self.uid).isEmpty)
    }

    /// Each is tracked by the file and named by it: neither would hold after the other.
    @Test(arguments: ["anna", "ANNA@*", "anna@example.com", "EXAMPLE\\\\anna", "UID:1001"])
    func nobodyIsTrackedAndListed(entry: String) throws {
        let file = try Self.read(
            #"{"users":[{"name":"anna","tracked":true,"reason":"r"}],"do_not_track":[{"entry":"bert"},{"entry":"\#(entry)"}]}"#)
        let conflict = try #require(file.conflict(uid: { $0 == "anna" ? 1001 : nil }, sids: Self.noDirectory))
        #expect((conflict.user, conflict.number, conflict.place) == ("anna", 1, 2))
        let left = try Self.read(#"{"users":[{"name":"anna","tracked":false}],"do_not_track":[{"entry":"anna"}]}"#)
        #expect(left.conflict(uid: { _ in 1 }, sids: Self.noDirectory) == nil)
    }

    private static func noDirectory(_ uid: UInt32) -> Set<SecurityID>? {
        Issue.record("no entry is by a SID")
        return nil
    }

    @Test func nobodyIsTrackedAndListedByTheSID() throws {
        let file = try Self.read(
            #"{"users":[{"name":"eve","tracked":true,"reason":"r"},{"name":"bert","tracked":false},{"name":"gone","tracked":true,"reason":"r"},"#
                + #"{"name":"anna","tracked":true,"reason":"r"}],"do_not_track":[{"entry":"sid:S-1-5-21-8"},{"entry":"sid:s-1-5-21-7"}]}"#)
        let users: [String: UInt32] = ["anna": 1001, "bert": 1002, "eve": 1003]
        var asked: [UInt32] = []
        func conflict(_ sids: [UInt32: Set<String>]) -> PolicyFile.Conflict? {
            asked = []
            return file.conflict(uid: { users[$0] }) { uid in
                asked.append(uid)
                return sids[uid].map { Set($0.compactMap { SecurityID($0) }) }
            }
        }
        let found = conflict([1001: ["S-1-5-21-1", "S-1-5-21-7"], 1003: []])
        #expect(
            found?.description
                == "'anna', number 4 of 'users', is to be tracked, and 'sid:S-1-5-21-7', number 2 of 'do_not_track', names the same user")
        // Who is not to be tracked, or is not there, is asked about by nobody.
        #expect(asked == [1003, 1001])
        #expect(conflict([1001: ["S-1-5-21-1"], 1003: ["S-1-5-21-2"]]) == nil)
        // A directory that can't say is asked once: it may take its time.
        #expect(conflict([1001: ["S-1-5-21-7"]]) == nil)
        #expect(asked == [1003])
    }

    @Test func otherSpellingsAreTheSame() throws {
        let policy = Self.policy(["EXAMPLE\\anna": true], entries: ["carl@example", "uid:7", "sid:S-1-5-21-7"])
        let file = try Self.read(
            #"{"users":[{"name":"anna@example","tracked":true,"reason":"r"}],"do_not_track":[{"entry":"Example\\Carl"},{"entry":"UID:7"},"#
                + #"{"entry":"SID:s-1-5-21-7"}]}"#
        )
        #expect(file.changes(from: policy) { _ in nil }.isEmpty)
        // The login is another user's by now, about whom nothing was decided.
        #expect(file.changes(from: policy) { _ in 99 }.map(\.line) == ["anna@example would be tracked."])
    }

    /// Somebody else who answers for it is another decision; nobody who is named leaves it.
    @Test func whoAnswersIsAPartOfIt() throws {
        let held = Self.policy(["anna": true], newUsers: "tracked")
        func lines(_ text: String) throws -> [String] { try Self.read(text).changes(from: held, uid: Self.uid).map(\.line) }
        #expect(try lines(#"{"new_users":"tracked","users":[{"name":"anna","tracked":true,"reason":"r"}]}"#).isEmpty)
        #expect(
            try lines(
                #"{"new_users":"tracked","new_users_responsible":"Ben","users":[{"name":"anna","tracked":true,"reason":"r","responsible":"Ben"}]}"#
            )
                == ["New users would be tracked.", "anna would be tracked."])
        #expect(throws: CommandError.self) { try PolicyFile.check([.newUsers("tracked", Grounds(responsible: "Ben"))]) }
        #expect(throws: Never.self) {
            try PolicyFile.check([.newUsers("untracked", Grounds()), .newUsers("tracked", Grounds(reason: "r"))])
        }
    }

    @Test func whoDoesNotExistYetIsListed() throws {
        let file = try Self.read(
            #"{"new_users":"tracked","new_users_reason":"all","users":[{"name":"nobody","tracked":false,"reason":"r"},{"name":"noel","tracked":true,"reason":"r"}]}"#
        )
        let changes = file.changes(from: Self.policy([:]), uid: Self.uid)
        #expect(
            changes == [
                .list(.init(entry: "nobody@*", reason: "r")), .newUsers("tracked", Grounds(reason: "all")),
                .track(.init(name: "noel", isTracked: true, grounds: Grounds(reason: "r"))),
            ])
        #expect(file.changes(from: Self.policy([:], entries: ["nobody@*"], newUsers: "tracked"), uid: Self.uid).count == 1)
    }

    @Test func manyAreFewCalls() throws {
        let users = (0..<2500).map { #"{"name":"user\#($0)","tracked":false,"reason":"x"}"# }.joined(separator: ",")
        let calls = PolicyFile.calls(for: try Self.read("{\"users\":[\(users)]}").changes(from: Self.policy([:]), uid: Self.uid))
        let counts = calls.map { call in if case .setTracking(let names, false, Grounds(reason: "x")) = call { names.count } else { 0 } }
        #expect(counts == [1000, 1000, 500])
    }

    @Test(
        arguments: [
            ("", "is not JSON"), ("[]", "The file is not an object"), (#"{"user":[]}"#, "has 'user', which is not known"),
            (#"{"users":{}}"#, "'users' is not an array"), (#"{"users":[],"users":[]}"#, "has 'users' twice"),
            (#"{"new_users":"no"}"#, "neither tracked nor untracked"),
            (#"{"users":[{"name":"a"}]}"#, "does not say whether it is 'tracked'"),
            (#"{"users":[{"name":"a","tracked":true}]}"#, "number 1 of 'users' has no 'reason'"),
            (#"{"users":[{"name":"a","tracked":false},{"name":"","tracked":false}]}"#, "number 2 of 'users' has no 'name'"),
            (#"{"users":[{"name":"a","tracked":false,"level":"basic"}]}"#, "has 'level', which is not known"),
            (#"{"users":[{"name":"a","tracked":false},{"name":"a","tracked":false}]}"#, "'a' is among the 'users' twice"),
            (#"{"users":[{"name":"a","tracked":false},{"name":"A","tracked":false}]}"#, "'A' is among the 'users' twice"),
            (#"{"users":[{"name":"a","tracked":false,"reason":5}]}"#, "the 'reason' of number 1 of 'users' is not a text"),
            (#"{"users":[{"name":"a","tracked":false,"reason":"a\nb"}]}"#, "control characters"),
            (#"{"new_users":"tracked","new_users_responsible":["Ann"]}"#, "'new_users_responsible' is not a text"),
            (#"{"users":[{"name":"a","tracked":false,"responsible":"a\nb"}]}"#, "the 'responsible' of number 1 of 'users' has more than"),
            (
                #"{"new_users_responsible":"\#(String(repeating: "a", count: 201))"}"#,
                "'new_users_responsible' has more than 200 characters"
            ),
            (#"{"do_not_track":[{"entry":"*"}]}"#, "number 1 of 'do_not_track', '*', names nobody"),
            (#"{"aggregate_groups":["a,b"]}"#, "no name of a group"), (#"{"aggregate_groups":["a","a"]}"#, "or one twice"),
            (#"{"aggregate_groups":"a"}"#, "'aggregate_groups' is not an array"), (#"{"aggregate_minimum":"5"}"#, "not a number of users"),
            (#"{"do_not_track":["a"]}"#, "number 1 of 'do_not_track' is not an object"), (#"{"do_not_track":[{}]}"#, "has no 'entry'"),
        ])
    func whatIsWrongIsNamed(text: String, problem: String) {
        let error = #expect(throws: CommandError.self) { try Self.read(text) }
        #expect(error?.message.hasPrefix("p.json: ") == true && error?.message.contains(problem) == true, "\(error?.message ?? "")")
    }
}
