import TermspanCore
import TermspanStore
import TermspanSystem

/// The users and groups that the machine knows: Account. It may take a directory's time.
enum UserDatabase {
    static func user(named name: String) -> UserIdentity? { Account(named: name).map { UserIdentity(login: $0.login, uid: $0.uid) } }

    static func user(of uid: UInt32) -> UserIdentity? { Account(uid: uid).map { UserIdentity(login: $0.login, uid: uid) } }

    /// What is known of whether users are in groups, Termspan's own among them.
    ///
    /// - Parameter isEmptyUnknown: takes one of Termspan's own without members for one that does not exist, else for one that nobody is in.
    static func memberships(
        of users: some Sequence<UserIdentity>, in groups: [String], own: OwnGroups, isEmptyUnknown: Bool = false
    ) -> Memberships.Answer {
        // Beyond all that a gid can be.
        var numbers: [OwnGroup: UInt64] = [:]
        for group in groups.compactMap({ OwnGroup($0) }) where !isEmptyUnknown || own.has(group) {
            numbers[group] = UInt64(UInt32.max) + 1 + UInt64(numbers.count)
        }
        func ids() -> [String: UInt64?] {
            Dictionary(
                groups.map { name in
                    (
                        name,
                        name.hasPrefix(OwnGroup.prefix)
                            ? OwnGroup(name).flatMap { numbers[$0] } : Account.group(named: name).map(UInt64.init)
                    )
                }
            ) { first, _ in first }
        }
        // A directory that falls silent in between would not be noticed by one look.
        let before = ids()
        let members = users.map { user in
            (user, self.groups(of: user).map { Set($0.map(UInt64.init)).union(own.groups(of: user).compactMap { numbers[$0] }) })
        }
        return Memberships.Answer(groups: ids().merging(before) { $0 == $1 ? $0 : nil }, users: Dictionary(members) { first, _ in first })
    }

    /// The gids of a user's groups; nil for an account that is gone, or another's by now.
    static func groups(of user: UserIdentity) -> Set<UInt32>? {
        guard let account = Account(named: user.login), account.uid == user.uid else { return nil }
        return account.groups
    }
}
