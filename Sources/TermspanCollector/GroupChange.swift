package import TermspanConfiguration
package import TermspanCore
package import TermspanStore

/// Users who join or leave one of Termspan's own groups: whether more is recorded of them by that, or kept for longer.
package struct GroupChange: Sendable {
    package var group: OwnGroup
    package var joins: Bool

    package init(group: OwnGroup, joins: Bool) {
        self.group = group
        self.joins = joins
    }

    /// What is widened, of each user of whom something is; asks the user database, where that matters.
    func widenings(of users: [UserIdentity], _ configuration: Configuration, own: OwnGroups) -> [UserIdentity: [Widening]] {
        let names = configuration.namedGroups
        guard names.contains(group.description) else { return [:] }
        let moving = users.filter { own.groups(of: $0).contains(group) != joins }
        return widenings(of: moving, UserDatabase.memberships(of: moving, in: names, own: own), configuration)
    }

    /// Likewise, by what the user database said. A user may be in a group of which that is not known.
    package func widenings(
        of users: [UserIdentity], _ answer: Memberships.Answer, _ configuration: Configuration
    ) -> [UserIdentity: [Widening]] {
        var memberships = Memberships()
        _ = memberships.learn(answer)
        var found: [UserIdentity: [Widening]] = [:]
        for user in users {
            let others = configuration.namedGroups.filter { $0 != group.description }
            let certain = Set(others.filter { memberships.standing(of: user, among: [$0]) == .known($0) })
            let possible = others.filter { memberships.standing(of: user, among: [$0]) == .unknown }
            let widened = ([nil] + possible.map(Optional.some)).flatMap { one in
                let without = certain.union([one].compactMap(\.self))
                let with = without.union([group.description])
                return configuration.widenings(from: joins ? without : with, to: joins ? with : without)
            }
            let all = Widening.allCases.filter { widened.contains($0) }
            if !all.isEmpty { found[user] = all }
        }
        return found
    }
}
