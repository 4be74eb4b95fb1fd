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
        package var entry: String
        package var reason: String
    }

    /// tracked or untracked; nil where the file leaves it.
    package private(set) var newUsers: String?
    package private(set) var users: [User] = []
    package private(set) var doNotTrack: [Entry] = []

    /// What there is, to be written.
    package init(_ policy: TrackingPolicy) {
        newUsers = policy.newUsers
        users = policy.users.map { User(name: $0.name, isTracked: $0.isTracked, reason: $0.reason) }
        doNotTrack = policy.doNotTrack.map { Entry(entry: $0.entry, reason: $0.reason) }
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
        for member in try members(value, "The file", of: ["new_users", "users", "do_not_track"]) {
            if member.key == "new_users" {
                guard let state = member.value.string, ["tracked", "untracked"].contains(state) else {
                    throw wrong("'new_users' is neither tracked nor untracked")
                }
                newUsers = state
                continue
            }
            guard case .array(let rows) = member.value else { throw wrong("'\(member.key)' is not an array") }
            for (index, row) in rows.enumerated() {
                let place = "number \(index + 1) of '\(member.key)'"
                let isUser = member.key == "users"
                _ = try members(row, place, of: isUser ? ["name", "tracked", "reason"] : ["entry", "reason"])
                let reason = row["reason"]?.string ?? ""
                guard isUser else {
                    doNotTrack.append(Entry(entry: try text(row, "entry", place), reason: reason))
                    continue
                }
                guard let isTracked = row["tracked"]?.bool else { throw wrong("\(place) does not say whether it is 'tracked'") }
                if isTracked, reason.allSatisfy(\.isWhitespace) {
                    throw wrong("\(place) has no 'reason', which is shown to who is tracked")
                }
                users.append(User(name: try text(row, "name", place), isTracked: isTracked, reason: reason))
            }
        }
        var names: Set<String> = []
        for user in users where !names.insert(user.name).inserted { throw wrong("'\(user.name)' is among the 'users' twice") }
        let entries = Set(doNotTrack.map { Self.entry($0.entry) })
        for user in users where user.isTracked && entries.contains(Self.entry(user.name)) {
            throw wrong("'\(user.name)' is tracked, and on the Do Not Track list")
        }
    }

    /// An entry as the list shows it: a login alone is of every domain.
    private static func entry(_ text: String) -> String {
        text.contains("@") || text.contains("\\") || text.hasPrefix("uid:") ? text : text + "@*"
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
        return "{\n" + state + rows("users", users) + ",\n" + rows("do_not_track", entries) + "\n}\n"
    }

    /// One thing that is to become another.
    package enum Change: Hashable, Sendable {
        case list(Entry)
        case untrack(User)
        case newUsers(String)
        case track(User)

        package var line: String {
            switch self {
            case .list(let entry): Printable.text("\(entry.entry) would be on the Do Not Track list.")
            case .untrack(let user): Printable.text("\(user.name) would be untracked.")
            case .newUsers(let state): "New users would be \(state)."
            case .track(let user): Printable.text("\(user.name) would be tracked.")
            }
        }
    }

    /// What of this does not hold yet: who is to be left alone before who is to be tracked.
    package func changes(from policy: TrackingPolicy) -> [Change] {
        let listed = Set(policy.doNotTrack.map(\.entry))
        let holds = Dictionary(policy.users.map { ($0.name, $0.isTracked) }) { first, _ in first }
        var changes = doNotTrack.filter { !listed.contains(Self.entry($0.entry)) }.map { Change.list($0) }
        changes += users.filter { !$0.isTracked && holds[$0.name] != false }.map { Change.untrack($0) }
        if let newUsers, newUsers != policy.newUsers { changes.append(.newUsers(newUsers)) }
        changes += users.filter { $0.isTracked && holds[$0.name] != true }.map { Change.track($0) }
        return changes
    }

    /// A call of the collector; each is one transaction.
    package enum Call: Hashable, Sendable {
        case setDoNotTrack([String], reason: String)
        case setTracking([String], Bool, reason: String)
        case setNewUsers(String)
    }

    /// More than a call takes is several.
    private static let most = 1000

    /// The calls that make changes, in their order: as few as there are reasons.
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
            case (_, .list(let entry)): calls.append(.setDoNotTrack([entry.entry], reason: entry.reason))
            case (_, .untrack(let user)): calls.append(.setTracking([user.name], false, reason: user.reason))
            case (_, .newUsers(let state)): calls.append(.setNewUsers(state))
            case (_, .track(let user)): calls.append(.setTracking([user.name], true, reason: user.reason))
            }
        }
        return calls
    }
}
