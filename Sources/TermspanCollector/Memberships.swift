import TermspanCore
package import TermspanStore

/// Who is in the groups that the tracking hours name, as far as the user database has told. A value without effects.
package struct Memberships: Codable, Equatable, Sendable {
    /// What the user database said; nil for what it does not know, or could not say.
    package struct Answer: Sendable {
        /// The gids of groups, and numbers beyond 32 bits of Termspan's own.
        package var groups: [String: UInt64?]
        /// Those of users' groups.
        package var users: [UserIdentity: Set<UInt64>?]

        package init(groups: [String: UInt64?], users: [UserIdentity: Set<UInt64>?]) {
            self.groups = groups
            self.users = users
        }
    }

    /// Which of some groups a user counts to.
    package enum Standing: Equatable, Sendable {
        /// The first that the user is in; nil: none.
        case known(String?)
        /// That the user is in the first is not known, nor is the contrary.
        case unknown
    }

    /// Whether users are in groups, as far as that is known, by the users' keys.
    private var users: [String: [String: Bool]] = [:]
    /// The groups that the user database did not know when it was asked last.
    package private(set) var missingGroups: [String] = []

    package init() {}

    /// A login that comes back with another uid is another user.
    private static func key(_ user: UserIdentity) -> String { user.description }

    /// - Parameter names: in their order.
    package func standing(of user: UserIdentity, among names: [String]) -> Standing {
        let known = users[Self.key(user)]
        for name in names {
            // Whoever may be in it must not be taken for somebody who is not.
            guard let isMember = known?[name] else { return .unknown }
            if isMember { return .known(name) }
        }
        return .known(nil)
    }

    /// Takes in what was said. What could not be is as it was.
    ///
    /// - Returns: of whom anything else is known now.
    package mutating func learn(_ answer: Answer) -> Set<UserIdentity> {
        missingGroups = answer.groups.filter { $0.value == nil }.keys.sorted()
        var others: Set<UserIdentity> = []
        for case (let user, let own?) in answer.users {
            let before = users[Self.key(user)] ?? [:]
            var known = before.filter { answer.groups.keys.contains($0.key) }
            for case (let name, let id?) in answer.groups {
                // A directory that is silent makes a user's groups fewer, and no error (getgrouplist(3)); but it does not know its groups either.
                // Of Termspan's own all is known.
                if own.contains(id) || missingGroups.isEmpty || name.hasPrefix(OwnGroup.prefix) { known[name] = own.contains(id) }
            }
            users[Self.key(user)] = known
            if known != before { others.insert(user) }
        }
        return others
    }

    package mutating func forget(_ user: UserIdentity) { users[Self.key(user)] = nil }

    package mutating func forget(allBut kept: Set<UserIdentity>) {
        let keys = Set(kept.map { Self.key($0) })
        users = users.filter { keys.contains($0.key) }
    }
}
