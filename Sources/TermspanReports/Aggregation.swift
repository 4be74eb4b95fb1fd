package import TermspanAccounting
package import TermspanCore
package import TermspanStore

/// What a question about aggregates is asked of: months, the groups of the policy with their members, and what was told before.
package struct Aggregation: Sendable {
    /// The month that is asked for; nil: all that are told.
    package var month: CalendarMonth?
    package var now: WallInstant
    package var calendar: LocalCalendar
    /// For how long all that is recorded of anybody is kept at least; nil: without end.
    package var kept: Duration?
    /// In the policy's order; nil before the collector has told.
    package var groups: [String]?
    /// Of those groups whose members are known.
    package var members: [String: Set<UserIdentity>] = [:]
    package var minimum = AggregateTable.usualMinimum
    /// What was told of months, which is told again.
    package var fixed: [CalendarMonth: AggregateTable] = [:]

    /// Why a row has no figures.
    package enum Reason: String, Sendable {
        /// Too few users, or one who makes most of a sum, there or in what could be worked out of several rows.
        case tooFew = "too-few"
        /// Nobody could say who is in the group.
        case membersUnknown = "members-unknown"
        /// Likewise of another group of the month.
        case otherMembersUnknown = "other-members-unknown"
        /// The month was worked out for a smaller minimum than there is now.
        case minimumRaised = "minimum-raised"
    }

    package init(month: CalendarMonth? = nil, now: WallInstant, calendar: LocalCalendar, kept: Duration? = nil) {
        self.month = month
        self.now = now
        self.calendar = calendar
        self.kept = kept
    }

    /// The groups with their members; nil as long as one is not known.
    package var knownGroups: [(name: String, members: Set<UserIdentity>)]? {
        guard let groups else { return nil }
        let known = groups.compactMap { name in members[name].map { (name: name, members: $0) } }
        return known.count == groups.count ? known : nil
    }

    /// What is told of a month, each row with the reason why it is withheld.
    package func rows(of month: CalendarMonth) -> [(row: AggregateTable.Row, reason: Reason?)] {
        guard let table = fixed[month] else {
            let groups = (self.groups ?? []).map { group in
                (row: AggregateTable.Row(group: group), reason: members[group] == nil ? Reason.membersUnknown : .otherMembersUnknown)
            }
            return [(AggregateTable.Row(), .otherMembersUnknown)] + groups
        }
        return table.rows.map { row in
            if table.minimum < minimum { return (AggregateTable.Row(group: row.group), .minimumRaised) }
            return (row, row.figures == nil ? .tooFew : nil)
        }
    }
}
