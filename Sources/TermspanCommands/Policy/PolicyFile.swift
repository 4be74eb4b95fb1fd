package import TermspanCore

/// A policy as a file, for configuration management: what `termspan policy export` writes and `apply` makes so (termspan-json(5)).
///
/// It says what is to hold of whom and what it names; of nobody else. A value without effects.
package struct PolicyFile: Hashable, Sendable {
    package struct User: Hashable, Sendable {
        package var name: String
        package var isTracked: Bool
        package var grounds: Grounds
    }

    package struct Entry: Hashable, Sendable {
        /// As the list shows it.
        package var entry: String
        package var reason: String
    }

    package struct GroupRole: Hashable, Sendable {
        package var grant: RoleGrant
        package var reason: String
    }

    package struct Member: Hashable, Sendable {
        package var group: OwnGroup
        package var user: String
        package var grounds: Grounds
    }

    /// The longest that the collector takes, in bytes.
    private static let longestReason = 1000
    /// Likewise, in characters.
    private static let longestResponsible = 200
    private static let longestName = 256

    /// tracked or untracked; nil where the file leaves it.
    package private(set) var newUsers: String?
    package private(set) var newUsersGrounds = Grounds()
    package private(set) var users: [User] = []
    package private(set) var doNotTrack: [Entry] = []
    /// All there are to be; nil where the file leaves them.
    package private(set) var roles: [GroupRole]?
    /// Likewise.
    package private(set) var members: [Member]?
    /// The groups of which averages are told, in their order, and of how many users these are at least; nil where the file leaves it.
    package private(set) var aggregateGroups: [String]?
    package private(set) var aggregateMinimum: UInt64?
    /// This server's rules of classification with their comments, line by line, and why they hold; nil where the file leaves them.
    package private(set) var classification: [String]?
    package private(set) var classificationReason = ""

    /// What there is, to be written.
    package init(_ policy: TrackingPolicy) {
        newUsers = policy.newUsers
        newUsersGrounds = policy.newUsersDecision.grounds
        users = policy.users.map { User(name: $0.name, isTracked: $0.isTracked, grounds: $0.grounds) }
        doNotTrack = policy.doNotTrack.map { Entry(entry: $0.entry, reason: $0.reason) }
        roles = policy.roles.compactMap { row in row.grant.map { GroupRole(grant: $0, reason: row.reason) } }
        members = Self.members(policy.groupMembers)
        aggregateGroups = policy.aggregateGroups
        aggregateMinimum = policy.aggregateMinimum
        classification = policy.classification.map { Self.lines(of: $0.text) }
        classificationReason = policy.classification?.reason ?? ""
    }

    /// Without the end of the last.
    private static func lines(of text: String) -> [String] {
        let lines = text.utf8.split(separator: UInt8(ascii: "\n"), omittingEmptySubsequences: false).map {
            String(decoding: $0, as: UTF8.self)
        }
        return lines.last?.isEmpty == true ? Array(lines.dropLast()) : lines
    }

    private static func text(of lines: [String]) -> String { lines.map { $0 + "\n" }.joined() }

    private static func members(_ rows: [TrackingPolicy.GroupMember]) -> [Member] {
        rows.compactMap { row in
            OwnGroup(name: row.group).map {
                Member(group: $0, user: row.user, grounds: Grounds(reason: row.reason, responsible: row.responsible))
            }
        }
    }

    /// Reads a file's text.
    ///
    /// - Parameter name: of the file, for errors.
    package init(_ bytes: some Sequence<UInt8>, name: String) throws(CommandError) {
        func wrong(_ problem: String) -> CommandError {
            CommandError(.failure, "\(name): \(problem).", remedy: "termspan-json(5) says under 'policy file' what it has to be.")
        }
        func members(_ value: JSONValue, _ place: String, of keys: [String]) throws(CommandError) -> [JSONValue.Member] {
            guard case .object(let members) = value else { throw wrong("\(place) is not an object") }
            var seen: Set<String> = []
            for member in members {
                guard keys.contains(member.key) else { throw wrong("\(place) has '\(member.key)', which is not known") }
                guard seen.insert(member.key).inserted else { throw wrong("\(place) has '\(member.key)' twice") }
            }
            return members
        }
        func text(_ row: JSONValue, _ key: String, _ place: String) throws(CommandError) -> String {
            guard let text = row[key]?.string, !text.isEmpty else { throw wrong("\(place) has no '\(key)'") }
            return text
        }
        func line(_ value: JSONValue?, _ place: String) throws(CommandError) -> String {
            guard let value, value != .null else { return "" }
            guard let text = value.string else { throw wrong("\(place) is not a text") }
            guard text.utf8.count <= Self.longestReason, GivenText.isPlain(text) else {
                throw wrong("\(place) has more than \(Self.longestReason) bytes, or control characters or others that are not seen")
            }
            return text
        }
        func responsible(_ value: JSONValue?, _ place: String) throws(CommandError) -> String {
            let text = try line(value, place)
            guard text.count <= Self.longestResponsible else { throw wrong("\(place) has more than \(Self.longestResponsible) characters") }
            return text
        }
        guard let value = JSONValue(bytes) else { throw wrong("It is not JSON") }
        let keys = [
            "new_users", "new_users_reason", "new_users_responsible", "users", "do_not_track", "roles", "group_members", "aggregate_groups",
            "aggregate_minimum", "classification", "classification_reason",
        ]
        for member in try members(value, "The file", of: keys) {
            if member.key == "aggregate_minimum" {
                guard let minimum = member.value.unsigned else { throw wrong("'aggregate_minimum' is not a number of users") }
                aggregateMinimum = minimum
                continue
            }
            if member.key == "new_users" {
                guard let state = member.value.string, ["tracked", "untracked"].contains(state) else {
                    throw wrong("'new_users' is neither tracked nor untracked")
                }
                newUsers = state
                continue
            }
            if member.key == "new_users_reason" {
                newUsersGrounds.reason = try line(member.value, "'new_users_reason'")
                continue
            }
            if member.key == "new_users_responsible" {
                newUsersGrounds.responsible = try responsible(member.value, "'new_users_responsible'")
                continue
            }
            if member.key == "classification_reason" {
                classificationReason = try line(member.value, "'classification_reason'")
                continue
            }
            guard case .array(let rows) = member.value else { throw wrong("'\(member.key)' is not an array") }
            if member.key == "classification" {
                let lines = rows.compactMap(\.string)
                guard lines.count == rows.count, !lines.contains(where: { $0.utf8.contains(UInt8(ascii: "\n")) }) else {
                    throw wrong("'classification' has what is not one line of text")
                }
                do {
                    _ = try ClassificationRules(Self.text(of: lines))
                } catch {
                    throw CommandError(
                        .failure, "\(name): 'classification', \(error).",
                        remedy: "Nothing was changed. termspan-classification(5) says what a rule has to be.")
                }
                classification = lines
                continue
            }
            if member.key == "aggregate_groups" {
                let names = rows.compactMap(\.string).filter { RoleGrant.isName($0) }
                guard names.count == rows.count, Set(names).count == names.count else {
                    throw wrong("'aggregate_groups' has what is no name of a group, or one twice")
                }
                aggregateGroups = names
                continue
            }
            if member.key == "roles" { roles = [] }
            if member.key == "group_members" { self.members = [] }
            for (index, row) in rows.enumerated() {
                let place = "number \(index + 1) of '\(member.key)'"
                let keys =
                    [
                        "users": ["name", "tracked", "responsible"], "roles": ["role", "group", "views"],
                        "group_members": ["group", "user", "responsible"],
                    ][member.key] ?? [
                        "entry"
                    ]
                _ = try members(row, place, of: keys + ["reason"])
                let reason = try line(row["reason"], "the 'reason' of \(place)")
                if member.key == "roles" {
                    let name = try text(row, "role", place)
                    guard let role = Role(rawValue: name) else { throw wrong("\(place) has no role '\(name)'") }
                    let views = role == .viewer || ![nil, .null].contains(row["views"]) ? try text(row, "views", place) : ""
                    guard let grant = RoleGrant(role, group: try text(row, "group", place), views: views) else {
                        throw wrong("\(place) names no group, or one to view for a role that is about everybody")
                    }
                    roles?.append(GroupRole(grant: grant, reason: reason))
                    continue
                }
                if member.key == "group_members" {
                    guard let group = OwnGroup(name: try text(row, "group", place)) else { throw wrong("\(place) has no name of a group") }
                    let grounds = Grounds(
                        reason: reason, responsible: try responsible(row["responsible"], "the 'responsible' of \(place)"))
                    self.members?.append(Member(group: group, user: try text(row, "user", place), grounds: grounds))
                    continue
                }
                guard member.key == "users" else {
                    let entry = try text(row, "entry", place)
                    guard let subject = DoNotTrackSubject(entry) else { throw wrong("\(place), '\(entry)', names nobody") }
                    doNotTrack.append(Entry(entry: subject.description, reason: reason))
                    continue
                }
                guard let isTracked = row["tracked"]?.bool else { throw wrong("\(place) does not say whether it is 'tracked'") }
                if isTracked, reason.allSatisfy(\.isWhitespace) {
                    throw wrong("\(place) has no 'reason', which is shown to who is tracked")
                }
                let name = try text(row, "name", place)
                guard name.utf8.count <= Self.longestName else { throw wrong("the 'name' of \(place) is too long") }
                let responsible = try responsible(row["responsible"], "the 'responsible' of \(place)")
                users.append(User(name: name, isTracked: isTracked, grounds: Grounds(reason: reason, responsible: responsible)))
            }
        }
        var grants: Set<RoleGrant> = []
        for role in roles ?? [] where !grants.insert(role.grant).inserted { throw wrong("'\(role.grant)' is among the 'roles' twice") }
        var members: Set<[String]> = []
        for member in self.members ?? [] where !members.insert([member.group.name, member.user]).inserted {
            throw wrong("'\(member.user)' is in '\(member.group)' twice")
        }
        var names: Set<LoginName> = []
        for user in users where !names.insert(LoginName(login: user.name)).inserted {
            throw wrong("'\(user.name)' is among the 'users' twice")
        }
    }

    /// Who is tracked by the file, and named by an entry of it: to track would take the entry away, and to list it would end the tracking.
    ///
    /// - Parameters:
    ///   - uid: of a user by name; nil where there is none.
    ///   - sids: of a user by UID, as directories say; asked where entries name SIDs, and not any more once it is nil: nobody could say.
    package func conflict(uid: (String) -> UInt32?, sids: (UInt32) -> Set<SecurityID>?) -> Conflict? {
        let entries = doNotTrack.enumerated().compactMap { index, entry in
            DoNotTrackSubject(entry.entry).map { (index: index, subject: $0) }
        }
        var isAsked = entries.contains { if case .sid = $0.subject { true } else { false } }
        for (index, user) in users.enumerated() where user.isTracked {
            let (login, number) = (LoginName(login: user.name), uid(user.name))
            var known: Set<SecurityID> = []
            if isAsked, let number {
                let told = sids(number)
                isAsked = told != nil
                known = told ?? []
            }
            for entry in entries {
                let isNamed =
                    switch entry.subject {
                    case .login(let name): name.covers(login)
                    case .uid(let listed): listed == number
                    case .sid(let sid): known.contains(sid)
                    }
                if isNamed {
                    return Conflict(user: user.name, number: index + 1, entry: doNotTrack[entry.index].entry, place: entry.index + 1)
                }
            }
        }
        return nil
    }

    /// A user and an entry of a file that can't both hold, each with its number among the file's.
    package struct Conflict: Hashable, Sendable, CustomStringConvertible {
        package var user: String
        package var number: Int
        package var entry: String
        package var place: Int

        package var description: String {
            "'\(user)', number \(number) of 'users', is to be tracked, and '\(entry)', number \(place) of 'do_not_track', names the same user"
        }
    }

    /// One line for each user and entry, so that a version control shows what became another.
    package var text: String {
        func rows(_ key: String, _ rows: [JSONValue]) -> String {
            "\"\(key)\":[" + (rows.isEmpty ? "" : "\n" + rows.map { $0.text }.joined(separator: ",\n") + "\n") + "]"
        }
        let users = users.map { user in
            let responsible = user.grounds.responsible
            return JSONValue.object(
                [
                    .init("name", .string(user.name)), .init("tracked", .bool(user.isTracked)),
                    .init("reason", .string(user.grounds.reason)),
                ] + (responsible.isEmpty ? [] : [.init("responsible", .string(responsible))]))
        }
        let entries = doNotTrack.map { entry in
            JSONValue.object([.init("entry", .string(entry.entry)), .init("reason", .string(entry.reason))])
        }
        let grounds = [("reason", newUsersGrounds.reason), ("responsible", newUsersGrounds.responsible)].filter { !$0.1.isEmpty }
        let state =
            (newUsers.map { "\"new_users\":\"\($0)\",\n" } ?? "")
            + grounds.map { "\"new_users_\($0.0)\":\(JSONValue.string($0.1).text),\n" }.joined()
        let roles = (self.roles ?? []).map { role in
            let views = role.grant.views
            return JSONValue.object([
                .init("role", .string(role.grant.role.rawValue)), .init("group", .string(role.grant.group)),
                .init("views", views.isEmpty ? .null : .string(views)), .init("reason", .string(role.reason)),
            ])
        }
        let members = (self.members ?? []).map { member in
            let responsible = member.grounds.responsible
            return JSONValue.object(
                [
                    .init("group", .string(member.group.name)), .init("user", .string(member.user)),
                    .init("reason", .string(member.grounds.reason)),
                ] + (responsible.isEmpty ? [] : [.init("responsible", .string(responsible))]))
        }
        var parts = [rows("users", users), rows("do_not_track", entries)]
        if self.roles != nil { parts.append(rows("roles", roles)) }
        if self.members != nil { parts.append(rows("group_members", members)) }
        if let aggregateGroups { parts.append("\"aggregate_groups\":" + JSONValue.array(aggregateGroups.map { .string($0) }).text) }
        if let aggregateMinimum { parts.append("\"aggregate_minimum\":\(aggregateMinimum)") }
        if let classification {
            if !classificationReason.isEmpty { parts.append("\"classification_reason\":" + JSONValue.string(classificationReason).text) }
            parts.append(rows("classification", classification.map { .string($0) }))
        }
        return "{\n" + state + parts.joined(separator: ",\n") + "\n}\n"
    }

    /// One thing that is to become another.
    package enum Change: Hashable, Sendable {
        case revoke(RoleGrant)
        case leave(Member)
        case list(Entry)
        case untrack(User)
        case newUsers(String, Grounds)
        case track(User)
        case join(Member)
        case aggregateGroups([String])
        case aggregateMinimum(UInt64)
        /// What holds, what is to, and why.
        case classification([String], from: [String], reason: String)
        case grant(GroupRole)

        package var line: String {
            switch self {
            case .revoke(let grant): Printable.text("The role \(grant) would be taken away.")
            case .leave(let member): Printable.text("\(member.user) would no longer be in \(member.group).")
            case .join(let member): Printable.text("\(member.user) would be in \(member.group).")
            case .grant(let role): Printable.text("The role \(role.grant) would be given.")
            case .aggregateGroups(let groups):
                Printable.text("Averages would be of \((["everybody"] + groups).joined(separator: ", ")).")
            case .aggregateMinimum(let minimum): "Averages would be of at least \(minimum) users."
            case .classification(let lines, let old, _):
                PolicyFile.line(from: PolicyFile.text(of: old), to: PolicyFile.text(of: lines))
            case .list(let entry): Printable.text("\(entry.entry) would be on the Do Not Track list.")
            case .untrack(let user): Printable.text("\(user.name) would be untracked.")
            case .newUsers(let state, _): "New users would be \(state)."
            case .track(let user): Printable.text("\(user.name) would be tracked.")
            }
        }
    }

    /// What of this does not hold yet: who is to be left alone before who is to be tracked, and last what takes roles away, by which whoever
    /// applies it may be able to. Who is not to be tracked and does not exist here yet goes on the list.
    ///
    /// - Parameter uid: of a user by name; nil where there is none.
    package func changes(from policy: TrackingPolicy, uid: (String) -> UInt32?) -> [Change] {
        let listed = Set(policy.doNotTrack.map(\.entry))
        func holds(_ user: User) -> Bool {
            let (login, number) = (LoginName(login: user.name), uid(user.name))
            return policy.users.contains { row in
                LoginName(login: row.name) == login && row.isTracked == user.isTracked && (number == nil || row.userID == number)
                    && (!user.isTracked || user.grounds.areAnsweredFor(in: row.grounds))
            }
        }
        let pending = users.filter { !holds($0) }
        let absent = pending.filter { !$0.isTracked && uid($0.name) == nil }.map { user in
            Entry(entry: DoNotTrackSubject.login(LoginName(login: user.name)).description, reason: user.grounds.reason)
        }
        var changes = (doNotTrack + absent).filter { !listed.contains($0.entry) }.map { Change.list($0) }
        changes += pending.filter { !$0.isTracked && uid($0.name) != nil }.map { Change.untrack($0) }
        let isAnsweredFor = newUsers != "tracked" || newUsersGrounds.areAnsweredFor(in: policy.newUsersDecision.grounds)
        if let newUsers, newUsers != policy.newUsers || !isAnsweredFor { changes.append(.newUsers(newUsers, newUsersGrounds)) }
        if let classification {
            let held = Self.lines(of: policy.classification?.text ?? "")
            if classification != held { changes.append(.classification(classification, from: held, reason: classificationReason)) }
        }
        changes += pending.filter(\.isTracked).map { Change.track($0) }
        func key(_ member: Member) -> String { "\(member.group) \(member.user)" }
        // An account that was made anew is another's.
        let there = policy.groupMembers.filter { row in uid(row.user).map { $0 == row.userID } ?? true }
        let known = Set(Self.members(there).map(key))
        let given = Set(policy.roles.compactMap(\.grant))
        // Who does not exist here can't be a member.
        changes += (members ?? []).filter { !known.contains(key($0)) && uid($0.user) != nil }.map { Change.join($0) }
        if let aggregateGroups, aggregateGroups != policy.aggregateGroups ?? [] { changes.append(.aggregateGroups(aggregateGroups)) }
        if let aggregateMinimum, aggregateMinimum != policy.aggregateMinimum { changes.append(.aggregateMinimum(aggregateMinimum)) }
        changes += (roles ?? []).filter { !given.contains($0.grant) }.map { Change.grant($0) }
        if let wanted = roles.map({ $0.map(\.grant) }) { changes += given.subtracting(wanted).sorted().map { Change.revoke($0) } }
        if let wanted = members.map({ Set($0.map(key)) }) {
            let leaving = Self.members(policy.groupMembers).filter { !wanted.contains(key($0)) }
            func administers(_ member: Member) -> Bool {
                given.contains { $0.role == .administrator && $0.group == member.group.description }
            }
            changes += (leaving.filter { !administers($0) } + leaving.filter(administers)).map { Change.leave($0) }
        }
        return changes
    }

    /// That rules become others, and which.
    private static func line(from old: String, to new: String) -> String {
        let lines = RulesDifference.lines(from: old, to: new)
        if lines.isEmpty { return "The comments between the rules of classification would change." }
        return (["The rules of classification would change:"] + lines).joined(separator: "\n")
    }

    /// What is refused before anything is changed: new users who are tracked without a reason.
    package static func check(_ changes: [Change]) throws(CommandError) {
        for case .newUsers("tracked", let grounds) in changes where grounds.reason.allSatisfy(\.isWhitespace) {
            throw CommandError(.failure, "New users are tracked without 'new_users_reason', which is shown to them; nothing was changed.")
        }
    }

    /// A call of the collector; each is one transaction.
    package enum Call: Hashable, Sendable {
        case setDoNotTrack([String], reason: String)
        case setTracking([String], Bool, Grounds)
        case setNewUsers(String, Grounds)
        case setRoles([RoleGrant], Bool, reason: String)
        case setGroup(OwnGroup, [String], Bool, Grounds)
        case setAggregates([String]?, minimum: UInt64?)
        case setClassification(String, rules: Int, reason: String)
    }

    /// More than a call takes is several.
    private static let most = 1000

    /// The calls that make changes, in their order: one for those that follow one another with one reason.
    package static func calls(for changes: [Change]) -> [Call] {
        var calls: [Call] = []
        for change in changes {
            switch (calls.last, change) {
            case (.setDoNotTrack(let entries, let reason), .list(let entry)) where reason == entry.reason && entries.count < most:
                calls[calls.count - 1] = .setDoNotTrack(entries + [entry.entry], reason: reason)
            case (.setTracking(let names, false, let grounds), .untrack(let user)) where grounds == user.grounds && names.count < most:
                calls[calls.count - 1] = .setTracking(names + [user.name], false, grounds)
            case (.setTracking(let names, true, let grounds), .track(let user)) where grounds == user.grounds && names.count < most:
                calls[calls.count - 1] = .setTracking(names + [user.name], true, grounds)
            case (.setGroup(let group, let names, true, let grounds), .join(let member))
            where grounds == member.grounds && group == member.group && names.count < most:
                calls[calls.count - 1] = .setGroup(group, names + [member.user], true, grounds)
            case (.setGroup(let group, let names, false, let grounds), .leave(let member))
            where group == member.group && names.count < most:
                calls[calls.count - 1] = .setGroup(group, names + [member.user], false, grounds)
            case (.setRoles(let grants, true, let reason), .grant(let role)) where reason == role.reason && grants.count < most:
                calls[calls.count - 1] = .setRoles(grants + [role.grant], true, reason: reason)
            case (.setRoles(let grants, false, let reason), .revoke(let grant)) where grants.count < most:
                calls[calls.count - 1] = .setRoles(grants + [grant], false, reason: reason)
            case (.setAggregates(let groups, nil), .aggregateMinimum(let minimum)):
                calls[calls.count - 1] = .setAggregates(groups, minimum: minimum)
            case (_, .aggregateGroups(let groups)): calls.append(.setAggregates(groups, minimum: nil))
            case (_, .aggregateMinimum(let minimum)): calls.append(.setAggregates(nil, minimum: minimum))
            case (_, .classification(let lines, _, let reason)):
                let text = Self.text(of: lines)
                calls.append(.setClassification(text, rules: (try? ClassificationRules(text))?.rules.count ?? 0, reason: reason))
            case (_, .join(let member)): calls.append(.setGroup(member.group, [member.user], true, member.grounds))
            case (_, .leave(let member)): calls.append(.setGroup(member.group, [member.user], false, Grounds()))
            case (_, .revoke(let grant)): calls.append(.setRoles([grant], false, reason: ""))
            case (_, .grant(let role)): calls.append(.setRoles([role.grant], true, reason: role.reason))
            case (_, .list(let entry)): calls.append(.setDoNotTrack([entry.entry], reason: entry.reason))
            case (_, .untrack(let user)): calls.append(.setTracking([user.name], false, user.grounds))
            case (_, .newUsers(let state, let grounds)): calls.append(.setNewUsers(state, grounds))
            case (_, .track(let user)): calls.append(.setTracking([user.name], true, user.grounds))
            }
        }
        return calls
    }
}
