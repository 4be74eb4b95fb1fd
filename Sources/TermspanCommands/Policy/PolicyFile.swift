package import TermspanCore

/// A policy as a file, for configuration management: what `termspan policy export` writes and `apply` makes so (termspan-json(5)).
///
/// It says what is to hold of whom and what it names; of nobody else. A value without effects.
package struct PolicyFile: Hashable, Sendable {
    package struct User: Hashable, Sendable {
        package var name: String
        package var isTracked: Bool
        package var reason: String
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

    /// The longest that the collector takes, in bytes.
    private static let longestReason = 1000
    private static let longestName = 256

    /// tracked or untracked; nil where the file leaves it.
    package private(set) var newUsers: String?
    package private(set) var users: [User] = []
    package private(set) var doNotTrack: [Entry] = []
    /// All there are to be; nil where the file leaves them.
    package private(set) var roles: [GroupRole]?

    /// What there is, to be written.
    package init(_ policy: TrackingPolicy) {
        newUsers = policy.newUsers
        users = policy.users.map { User(name: $0.name, isTracked: $0.isTracked, reason: $0.reason) }
        doNotTrack = policy.doNotTrack.map { Entry(entry: $0.entry, reason: $0.reason) }
        roles = policy.roles.compactMap { row in
            Role(rawValue: row.role).flatMap { RoleGrant($0, group: row.group, views: row.views) }
                .map { GroupRole(grant: $0, reason: row.reason) }
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
        guard let value = JSONValue(bytes) else { throw wrong("It is not JSON") }
        for member in try members(value, "The file", of: ["new_users", "users", "do_not_track", "roles"]) {
            if member.key == "new_users" {
                guard let state = member.value.string, ["tracked", "untracked"].contains(state) else {
                    throw wrong("'new_users' is neither tracked nor untracked")
                }
                newUsers = state
                continue
            }
            guard case .array(let rows) = member.value else { throw wrong("'\(member.key)' is not an array") }
            if member.key == "roles" { roles = [] }
            for (index, row) in rows.enumerated() {
                let place = "number \(index + 1) of '\(member.key)'"
                let keys = ["users": ["name", "tracked"], "roles": ["role", "group", "views"]][member.key] ?? ["entry"]
                _ = try members(row, place, of: keys + ["reason"])
                var reason = ""
                if let value = row["reason"] {
                    guard let text = value.string else { throw wrong("the 'reason' of \(place) is not a text") }
                    reason = text
                }
                guard reason.utf8.count <= Self.longestReason,
                    !reason.unicodeScalars.contains(where: { $0.properties.generalCategory == .control })
                else { throw wrong("the 'reason' of \(place) has more than \(Self.longestReason) bytes, or control characters") }
                if member.key == "roles" {
                    let name = try text(row, "role", place)
                    guard let role = Role(rawValue: name) else { throw wrong("\(place) has no role '\(name)'") }
                    let views = role == .viewer ? try text(row, "views", place) : row["views"]?.string ?? ""
                    guard let grant = RoleGrant(role, group: try text(row, "group", place), views: views) else {
                        throw wrong("\(place) names no group, or one to view for a role that is about everybody")
                    }
                    roles?.append(GroupRole(grant: grant, reason: reason))
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
                users.append(User(name: name, isTracked: isTracked, reason: reason))
            }
        }
        var names: Set<LoginName> = []
        for user in users where !names.insert(LoginName(login: user.name)).inserted {
            throw wrong("'\(user.name)' is among the 'users' twice")
        }
    }

    /// Who is tracked by the file, and named by an entry of it: to track would take the entry away, and to list it would end the tracking.
    ///
    /// - Parameter uid: of a user by name; nil where there is none.
    package func conflict(uid: (String) -> UInt32?) -> (user: String, entry: String)? {
        for user in users where user.isTracked {
            let login = LoginName(login: user.name)
            for entry in doNotTrack {
                switch DoNotTrackSubject(entry.entry) {
                case .login(let name)? where name.covers(login): return (user.name, entry.entry)
                case .uid(let number)? where number == uid(user.name): return (user.name, entry.entry)
                default: continue
                }
            }
        }
        return nil
    }

    /// One line for each user and entry, so that a version control shows what became another.
    package var text: String {
        func rows(_ key: String, _ rows: [JSONValue]) -> String {
            "\"\(key)\":[" + (rows.isEmpty ? "" : "\n" + rows.map { $0.text }.joined(separator: ",\n") + "\n") + "]"
        }
        let users = users.map { user in
            JSONValue.object([
                .init("name", .string(user.name)), .init("tracked", .bool(user.isTracked)), .init("reason", .string(user.reason)),
            ])
        }
        let entries = doNotTrack.map { entry in
            JSONValue.object([.init("entry", .string(entry.entry)), .init("reason", .string(entry.reason))])
        }
        let state = newUsers.map { "\"new_users\":\"\($0)\",\n" } ?? ""
        let roles = (self.roles ?? []).map { role in
            let views = role.grant.views
            return JSONValue.object([
                .init("role", .string(role.grant.role.rawValue)), .init("group", .string(role.grant.group)),
                .init("views", views.isEmpty ? .null : .string(views)), .init("reason", .string(role.reason)),
            ])
        }
        let parts = [rows("users", users), rows("do_not_track", entries)] + (self.roles == nil ? [] : [rows("roles", roles)])
        return "{\n" + state + parts.joined(separator: ",\n") + "\n}\n"
    }

    /// One thing that is to become another.
    package enum Change: Hashable, Sendable {
        case revoke(RoleGrant)
        case list(Entry)
        case untrack(User)
        case newUsers(String)
        case track(User)
        case grant(GroupRole)

        package var line: String {
            switch self {
            case .revoke(let grant): Printable.text("The role \(grant) would be taken away.")
            case .grant(let role): Printable.text("The role \(role.grant) would be given.")
            case .list(let entry): Printable.text("\(entry.entry) would be on the Do Not Track list.")
            case .untrack(let user): Printable.text("\(user.name) would be untracked.")
            case .newUsers(let state): "New users would be \(state)."
            case .track(let user): Printable.text("\(user.name) would be tracked.")
            }
        }
    }

    /// What of this does not hold yet: what ends before what begins, and who is to be left alone before who is to be tracked. Who is not to be tracked and does not exist here
    /// yet goes on the list.
    ///
    /// - Parameter uid: of a user by name; nil where there is none.
    package func changes(from policy: TrackingPolicy, uid: (String) -> UInt32?) -> [Change] {
        let listed = Set(policy.doNotTrack.map(\.entry))
        func holds(_ user: User) -> Bool {
            let (login, number) = (LoginName(login: user.name), uid(user.name))
            return policy.users.contains { row in
                LoginName(login: row.name) == login && row.isTracked == user.isTracked && (number == nil || row.userID == number)
            }
        }
        let pending = users.filter { !holds($0) }
        let absent = pending.filter { !$0.isTracked && uid($0.name) == nil }.map { user in
            Entry(entry: DoNotTrackSubject.login(LoginName(login: user.name)).description, reason: user.reason)
        }
        let given = Set(
            policy.roles.compactMap { row in Role(rawValue: row.role).flatMap { RoleGrant($0, group: row.group, views: row.views) } })
        let wanted = roles.map { Set($0.map(\.grant)) }
        var changes = (wanted.map { given.subtracting($0) } ?? []).sorted().map { Change.revoke($0) }
        changes += (doNotTrack + absent).filter { !listed.contains($0.entry) }.map { Change.list($0) }
        changes += pending.filter { !$0.isTracked && uid($0.name) != nil }.map { Change.untrack($0) }
        if let newUsers, newUsers != policy.newUsers { changes.append(.newUsers(newUsers)) }
        changes += pending.filter(\.isTracked).map { Change.track($0) }
        changes += (roles ?? []).filter { !given.contains($0.grant) }.map { Change.grant($0) }
        return changes
    }

    /// A call of the collector; each is one transaction.
    package enum Call: Hashable, Sendable {
        case setDoNotTrack([String], reason: String)
        case setTracking([String], Bool, reason: String)
        case setNewUsers(String)
        case setRole(RoleGrant, Bool, reason: String)
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
            case (.setTracking(let names, false, let reason), .untrack(let user)) where reason == user.reason && names.count < most:
                calls[calls.count - 1] = .setTracking(names + [user.name], false, reason: reason)
            case (.setTracking(let names, true, let reason), .track(let user)) where reason == user.reason && names.count < most:
                calls[calls.count - 1] = .setTracking(names + [user.name], true, reason: reason)
            case (_, .revoke(let grant)): calls.append(.setRole(grant, false, reason: ""))
            case (_, .grant(let role)): calls.append(.setRole(role.grant, true, reason: role.reason))
            case (_, .list(let entry)): calls.append(.setDoNotTrack([entry.entry], reason: entry.reason))
            case (_, .untrack(let user)): calls.append(.setTracking([user.name], false, reason: user.reason))
            case (_, .newUsers(let state)): calls.append(.setNewUsers(state))
            case (_, .track(let user)): calls.append(.setTracking([user.name], true, reason: user.reason))
            }
        }
        return calls
    }
}
