/// A user as `Users` of org.termspan1.Reports tells of one, as far as filters choose by it.
package struct ListedUser: Equatable, Sendable {
    /// All that the user has had here.
    package var logins: [String]
    /// The one that the user database has; nil where it has none, or was not asked.
    package var name: String?
    /// Those that the user is of, in lower case.
    package var domains: [String]
    /// Nil: nothing holds, since login or UID are another's by now.
    package var isTracked: Bool?
    package var isLoggedOn: Bool
    /// The end of the latest session that is recorded.
    package var lastSeen: WallInstant?
    /// How many are recorded; whoever has one has a seat.
    package var sessions: Int
    /// Whether the user is in the group that is asked for.
    package var isInGroup: Bool

    package init(
        logins: [String], name: String? = nil, domains: [String] = [], isTracked: Bool? = nil, isLoggedOn: Bool = false,
        lastSeen: WallInstant? = nil, sessions: Int = 0, isInGroup: Bool = false
    ) {
        self.logins = logins
        self.name = name
        self.domains = domains
        self.isTracked = isTracked
        self.isLoggedOn = isLoggedOn
        self.lastSeen = lastSeen
        self.sessions = sessions
        self.isInGroup = isInGroup
    }

    package var hasSeat: Bool { sessions > 0 }
}

/// Chooses among users: the filters of `Users` of org.termspan1.Reports, and so of `users`, `track` and `untrack`. What is nil does not restrict.
/// A value without effects.
package struct UserFilter: Equatable, Sendable {
    /// Part of a login or of the name, in whatever case.
    package var search: String?
    package var isTracked: Bool?
    /// A group of the machine, its directory or Termspan's own.
    package var group: String?
    /// In whatever case.
    package var domain: String?
    /// Logged on, or with a recorded session that ended since.
    package var seenSince: WallInstant?
    /// Whether sessions are recorded.
    package var hasData: Bool?

    /// The longest text that is taken, in bytes.
    package static let longest = 256

    package init(
        search: String? = nil, isTracked: Bool? = nil, group: String? = nil, domain: String? = nil, seenSince: WallInstant? = nil,
        hasData: Bool? = nil
    ) {
        self.search = search
        self.isTracked = isTracked
        self.group = group
        self.domain = domain
        self.seenSince = seenSince
        self.hasData = hasData
    }

    /// Whether it takes what the user database or a directory says of each user. By a login that is searched for they are found without.
    package var asksDatabase: Bool { group != nil || domain != nil }

    package func selects(_ user: ListedUser) -> Bool {
        if let part = search?.lowercased() {
            guard (user.logins + [user.name].compactMap(\.self)).contains(where: { $0.lowercased().contains(part) }) else { return false }
        }
        if let isTracked, user.isTracked != isTracked { return false }
        if let domain, !user.domains.contains(domain.lowercased()) { return false }
        if let hasData, (user.sessions > 0) != hasData { return false }
        if let seenSince, !user.isLoggedOn {
            guard let last = user.lastSeen, last >= seenSince else { return false }
        }
        return group == nil || user.isInGroup
    }
}
