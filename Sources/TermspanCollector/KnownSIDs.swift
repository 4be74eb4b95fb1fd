package import TermspanCore
package import TermspanStore

/// Which SIDs users have, as far as directories have told. A value without effects.
package struct KnownSIDs: Codable, Equatable, Sendable {
    /// By the users' keys: a login that comes back with another uid is another user.
    private var users: [String: Set<SecurityID>] = [:]

    package init() {}

    private static func key(_ user: UserIdentity) -> String { user.description }

    /// Nil where it is not known; empty: the user has none.
    package subscript(user: UserIdentity) -> Set<SecurityID>? { users[Self.key(user)] }

    /// Takes in what was said. Of whom nothing was, the same is known as before.
    ///
    /// - Returns: of whom anything else is known now.
    package mutating func learn(_ answer: [UserIdentity: Set<SecurityID>]) -> Set<UserIdentity> {
        var others: Set<UserIdentity> = []
        for (user, sids) in answer where users.updateValue(sids, forKey: Self.key(user)) != sids { others.insert(user) }
        return others
    }

    /// Who had none may have one by now, where a directory came later.
    package mutating func forgetNone() { users = users.filter { !$0.value.isEmpty } }

    package mutating func forget(_ user: UserIdentity) { users[Self.key(user)] = nil }

    package mutating func forget(allBut kept: Set<UserIdentity>) {
        let keys = Set(kept.map { Self.key($0) })
        users = users.filter { keys.contains($0.key) }
    }
}
