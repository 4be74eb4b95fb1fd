package import TermspanCore

/// Who is tracked, and what holds for users nobody has decided about.
package struct Policy: Equatable, Sendable {
    /// One decision about one user.
    package struct Row: Equatable, Sendable {
        package var user: UserIdentity
        package var tracked: Bool
        package var level: PrivacyLevel
        package var since: WallInstant
        /// Who decided: a login or "root".
        package var by: String
        package var reason: String
        /// Who answers for it; empty for whom the configuration names.
        package var responsible: String

        package init(
            user: UserIdentity, tracked: Bool, level: PrivacyLevel, since: WallInstant, by: String, reason: String, responsible: String = ""
        ) {
            self.user = user
            self.tracked = tracked
            self.level = level
            self.since = since
            self.by = by
            self.reason = reason
            self.responsible = responsible
        }
    }

    /// One setting: "new-users" is "tracked" or "untracked". Others are kept for newer versions.
    package struct Setting: Equatable, Sendable {
        package var key: String
        package var value: String
        package var since: WallInstant
        package var by: String
        package var reason: String
        /// Who answers for it, where it has more collected.
        package var responsible = ""
    }

    /// What the members of a group may, and by whose decision.
    package struct RoleRow: Equatable, Sendable {
        package var grant: RoleGrant
        package var since: WallInstant
        package var by: String
        package var reason: String
    }

    package var rows: [Row] = []
    package var settings: [Setting] = []
    /// In order.
    package var roles: [RoleRow] = []
    package var doNotTrack = DoNotTrackList()
    package var ownGroups = OwnGroups()
    /// The latest decisions by which more is recorded of users, or kept for longer, than was before, beside `rows`: to take an entry off the Do Not Track
    /// list, and to change who is in groups. Of each user one for each kind of entry and each group.
    package var raises: [PolicyChange] = []

    package init() {}

    /// Who answers for it that users were made members of groups, where more is recorded by that: by group and user.
    package var responsibleForMembers: [OwnGroup: [UserIdentity: (since: WallInstant, name: String)]] {
        var found: [OwnGroup: [UserIdentity: (since: WallInstant, name: String)]] = [:]
        for change in raises where change.key == "group-joined" {
            guard let group = OwnGroup(change.value), let user = change.user else { continue }
            found[group, default: [:]][user] = (change.at, change.responsible)
        }
        return found
    }

    /// Those that are about a user.
    ///
    /// - Parameter sids: what is known of the user's.
    package func raises(of user: UserIdentity, sids: Set<SecurityID>) -> [PolicyChange] {
        raises.filter { change in
            if let about = change.user { return about == user }
            return DoNotTrackSubject(change.value)?.names(user, sids: sids) ?? false
        }
    }

    /// Users nobody has decided about are tracked only where that was decided.
    package var newUsersAreTracked: Bool { newUsers?.value == "tracked" }
    /// By whose decision that is so; nil where nobody has decided.
    package var newUsers: Setting? { settings.first { $0.key == "new-users" } }

    /// By what it is decided whether a user is tracked.
    package enum Basis: String, Sendable {
        case doNotTrack = "do-not-track"
        case decision
        /// Nobody decided about the user: what holds for new ones.
        case newUsers = "default"
    }

    /// Whether the user, about whom `decision` was made, is tracked now, and by what.
    ///
    /// - Parameter sids: what is known of the user's.
    package func standing(of user: UserIdentity, sids: Set<SecurityID>, decision: Row?) -> (isTracked: Bool, basis: Basis) {
        if doNotTrack.names(user, sids: sids) { return (false, .doNotTrack) }
        if let decision { return (decision.tracked, .decision) }
        return (newUsersAreTracked, .newUsers)
    }

    /// Whether the user is tracked now.
    package func tracks(_ user: UserIdentity, sids: Set<SecurityID>) -> Bool {
        standing(of: user, sids: sids, decision: rows.first { $0.user == user }).isTracked
    }

    /// The user's level.
    package func level(of user: UserIdentity) -> PrivacyLevel {
        rows.first { $0.user == user }?.level ?? .basic
    }
}

/// One entry of the record of policy changes, which only grows.
package struct PolicyChange: Equatable, Sendable {
    package var at: WallInstant
    package var by: String
    /// Nil for a setting.
    package var user: UserIdentity?
    /// "tracked", "level", "do-not-track-added" or "do-not-track-removed" (of a user: login, uid or sid; of nobody who is known: whom the entry names), "role-granted" or "role-revoked" with the grant,
    /// "group-joined" or "group-left" with an own group, or a setting's name.
    package var key: String
    package var value: String
    package var reason: String
    /// Who answers for it, where it has more collected.
    package var responsible: String
}
