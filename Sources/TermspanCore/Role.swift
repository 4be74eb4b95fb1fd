/// What not everybody may. polkit has an action for each but `viewPolicy`: org.termspan1.policy.
package enum Right: String, CaseIterable, Sendable {
    /// What users do and did, and the details of their sessions.
    case viewOthers = "view-others"
    /// Who is tracked, by whose decision and why, without what they do: a part of `viewOthers` that roles can have alone.
    case viewPolicy = "view-policy"
    case viewAudit = "view-audit"
    /// Averages of groups over months, of nobody alone: a part of `viewOthers` with an action of its own.
    case viewAggregates = "view-aggregates"
    /// What users did, by pseudonyms in place of names: a part of `viewOthers` with an action of its own.
    case viewPseudonyms = "view-pseudonyms"
    /// Whom a pseudonym stands for.
    case revealPseudonyms = "reveal-pseudonyms"
    /// What users do that is not business, which `viewOthers` shows as 'other', and what rules have ignored.
    case viewDetails = "view-details"
    case manageTracking = "manage-tracking"
    case erase
    case manageSessions = "manage-sessions"
    case manageRoles = "manage-roles"

    /// The action that polkit is asked about.
    package var action: String { "org.termspan1." + (self == .viewPolicy ? .viewOthers : self).rawValue }
}

/// What the members of a group are to Termspan.
package enum Role: String, CaseIterable, Sendable {
    case administrator, configurator
    case powerUser = "power-user"
    /// Sees what members of certain groups do and did.
    case viewer
    case auditor
    /// Sees averages of groups, and nothing of anybody.
    case statistician
    /// Sees what users do and did by pseudonyms, and cannot tell whose these are.
    case analyst
    /// Can tell whose a pseudonym is, and sees nothing else.
    case trustee

    /// What it may in respect of everybody.
    package var rights: Set<Right> {
        switch self {
        case .administrator: Set(Right.allCases)
        case .configurator: [.viewPolicy, .manageTracking]
        case .powerUser: [.viewOthers, .viewPolicy, .viewAggregates, .viewPseudonyms, .manageSessions]
        case .viewer: []
        case .auditor: [.viewPolicy, .viewAudit]
        case .statistician: [.viewAggregates]
        case .analyst: [.viewPseudonyms, .viewAggregates]
        case .trustee: [.revealPseudonyms]
        }
    }
}

/// A role that the members of a group have, be it the machine's, a directory's or Termspan's own.
package struct RoleGrant: Hashable, Sendable {
    package let role: Role
    /// Whose members have it.
    package let group: String
    /// Whose members a viewer sees; empty for other roles. Several are several grants.
    package let views: String

    /// The longest name of a group, in bytes.
    private static let longest = 256

    /// nil where a name can't be a group's, a viewer has nobody to see, or another role has.
    package init?(_ role: Role, group: String, views: String = "") {
        guard Self.isName(group), role == .viewer ? Self.isName(views) : views.isEmpty else { return nil }
        self.role = role
        self.group = group
        self.views = views
    }

    /// Whether a group can have this name.
    package static func isName(_ name: String) -> Bool {
        if name.hasPrefix(OwnGroup.prefix) { return OwnGroup(name) != nil }
        // What /etc/group can't have, or nobody could tell from another name.
        return !name.isEmpty && name.utf8.count <= longest && name.first != " " && name.last != " "
            && GivenText.isPlain(name) && !GivenText.saysNothing(name)
            && !name.unicodeScalars.contains { $0 == ":" || $0 == "," }
    }
}

extension RoleGrant: CustomStringConvertible, Comparable {
    /// `viewer: sales-leads, of sales`.
    package var description: String { "\(role.rawValue): \(group)" + (views.isEmpty ? "" : ", of \(views)") }

    package static func < (one: Self, other: Self) -> Bool {
        let order = (Role.allCases.firstIndex(of: one.role) ?? 0, Role.allCases.firstIndex(of: other.role) ?? 0)
        return order.0 == order.1 ? (one.group, one.views) < (other.group, other.views) : order.0 < order.1
    }
}

extension Sequence<RoleGrant> {
    /// Whether a member of these groups has a right.
    package func give(_ right: Right, toMembersOf groups: Set<String>) -> Bool {
        contains { $0.role.rights.contains(right) && groups.contains($0.group) }
    }

    /// The groups whose members a member of these groups sees.
    package func views(ofMembersOf groups: Set<String>) -> Set<String> {
        Set(filter { $0.role == .viewer && groups.contains($0.group) }.map(\.views))
    }
}
