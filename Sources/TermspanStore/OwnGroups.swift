package import TermspanCore

/// Groups of Termspan's own, which neither the machine nor its directory has. Elsewhere they are named `own:NAME`, as no other group can be.
package struct OwnGroups: Equatable, Sendable {
    /// One member, since when, by whom and why.
    package struct Member: Equatable, Sendable {
        package var group: OwnGroup
        package var user: UserIdentity
        package var since: WallInstant
        package var by: String
        package var reason: String

        package init(_ group: OwnGroup, _ user: UserIdentity, since: WallInstant, by: String, reason: String) {
            self.group = group
            self.user = user
            self.since = since
            self.by = by
            self.reason = reason
        }
    }

    /// By group and login.
    package let members: [Member]
    private let groups: [UserIdentity: Set<OwnGroup>]

    package init(_ members: [Member] = []) {
        self.members = members
        groups = Dictionary(grouping: members, by: \.user).mapValues { Set($0.map(\.group)) }
    }

    /// The groups that a user is in, who has this login and UID: whoever has one of them after somebody else is another.
    package func groups(of user: UserIdentity) -> Set<OwnGroup> { groups[user] ?? [] }

    /// Whether it has members.
    package func has(_ group: OwnGroup) -> Bool { members.contains { $0.group == group } }
}
