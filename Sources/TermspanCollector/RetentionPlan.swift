package import TermspanConfiguration
package import TermspanCore
package import TermspanStore

/// What is removed of whom in an hour. Pure.
package struct RetentionPlan: Equatable, Sendable {
    package struct Part: Equatable, Sendable {
        /// Whom it is about; nil is everybody.
        package var users: [HeldUser]?
        package var kept: KeptTimes
    }

    package private(set) var parts: [Part]
    /// The first group of each user who is in one, as far as the user database has told.
    package private(set) var membership: [UUIDv7: String] = [:]

    /// The same for everybody.
    package init(_ kept: KeptTimes) {
        parts = [Part(users: nil, kept: kept)]
    }

    /// By group, of a user in several by the first. Of whom it is not known, as of those whose account is gone, the longest of all times
    /// holds: what was removed does not come back. For the same reason it takes two answers that somebody has left a group whose times are longer: a
    /// directory that is silent in one of its parts makes a user's groups fewer.
    ///
    /// - Parameters:
    ///   - users: all of whom something is held.
    ///   - answer: what the user database said of them; nil if it was not asked.
    ///   - previous: `membership` by the answer before.
    package init(
        _ users: [HeldUser], _ answer: Memberships.Answer?, _ configuration: Configuration, previous: [UUIDv7: String] = [:]
    ) {
        let groups = configuration.keptByGroup
        let times = Dictionary(groups.map { ($0.group, configuration.kept(by: $0)) }) { first, _ in first }
        let longest = times.values.reduce(configuration.kept) { $0.longest($1) }
        var memberships = Memberships()
        if let answer { _ = memberships.learn(answer) }
        parts = []
        for user in users {
            let before = previous[user.uuid]
            var kept = longest
            if user.isCurrent, case .known(let group) = memberships.standing(of: user.identity, among: groups.map(\.group)) {
                membership[user.uuid] = group
                kept = group.flatMap { times[$0] } ?? configuration.kept
                if let before, let earlier = times[before] { kept = kept.longest(earlier) }
            } else {
                membership[user.uuid] = before
            }
            if let index = parts.firstIndex(where: { $0.kept == kept }) {
                parts[index].users?.append(user)
            } else {
                parts.append(Part(users: [user], kept: kept))
            }
        }
    }

    /// How long anything is kept that is not kept without end.
    package var times: [Duration] { parts.flatMap { [$0.kept.activity, $0.kept.sessions] }.compactMap(\.self) }
}
