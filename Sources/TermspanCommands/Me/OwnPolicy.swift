package import TermspanBus
package import TermspanCore

/// What the policy says of the caller alone, as `GetPolicy` of org.termspan1.Manager tells it.
package struct OwnPolicy: Hashable, Sendable {
    /// As it is told to others of all users, but with one user and the entries that name that user.
    package let policy: TrackingPolicy
    /// The decision, or what holds without one.
    package let user: TrackingPolicy.User
    /// When the user's own pause ends; nil if none is under way.
    package let pausedUntil: WallInstant?
    /// For how many seconds the user may pause still; nil where the collector does not tell it.
    package let pauseLeft: UInt64?
    /// Nil where there are no tracking hours.
    package let hours: Hours?

    /// Those of Termspan's own groups that the user is in.
    package let groups: [String]
    /// Whether the user may be on the Do Not Track list by a SID, since no directory has told: nothing is recorded until one has.
    package let mayBeListed: Bool
    /// Decisions about the user by which more is recorded than before, or kept for longer: an entry taken off the Do Not Track list, and changes of groups on
    /// which hours or times to keep hang.
    package let raises: [TrackingPolicy.Raise]
    /// Whether the user has a seat, or would get one; nil where that does not matter.
    package let hasSeat: Bool?

    /// The tracking hours, as they are for the user.
    package struct Hours: Hashable, Sendable {
        /// Like `mon-fri 07:00-19:00`; none: always. Nil while it is not known which are the user's.
        package var windows: [String]?
        /// The group whose hours they are.
        package var group: String?
        /// Whether it is a time to record at, and until when that is so; nil for long.
        package var isWithin: Bool
        package var until: WallInstant?

        package var json: JSONValue {
            .object([
                .init("hours", windows.map { .array($0.map { .string($0) }) } ?? .null), .init("group", group.map { .string($0) } ?? .null),
                .init("within", .bool(isWithin)), .init("until", .optional(until.map { TimeText.utc($0) })),
            ])
        }
    }

    /// Nil where the collector does not tell it: one of an older version.
    package init?(_ values: [String: BusValue]) {
        guard let own = values["own"]?.properties, let row = own["user"] else { return nil }
        var values = values
        values["users"] = .array(of: "a{sv}", [row])
        values["do-not-track"] = own["do-not-track"]
        policy = TrackingPolicy(values)
        guard let user = policy.users.first else { return nil }
        self.user = user
        pausedUntil = own["paused-until"]?.unsigned.flatMap { WallInstant(microseconds: $0) }
        pauseLeft = (own["pause-left"]?.unsigned).map { $0 / 1_000_000 }
        hasSeat = own["seat"]?.bool
        mayBeListed = own["sid-unknown"]?.bool ?? false
        groups = own["groups"]?.strings ?? []
        raises = TrackingPolicy.Raise.list(own["raises"])
        hours = (own["within-hours"]?.bool).map { isWithin in
            Hours(
                windows: own["hours"]?.strings, group: own["hours-group"]?.string, isWithin: isWithin,
                until: own["hours-until"]?.unsigned.flatMap { WallInstant(microseconds: $0) })
        }
    }

    /// What holds of the user beside the policy; each null where the collector does not tell it.
    static func json(_ policy: OwnPolicy?) -> [JSONValue.Member] {
        [
            .init("paused_until", .optional((policy?.pausedUntil).map { TimeText.utc($0) })),
            .init("pause_left", policy?.pauseLeft.map { .unsigned($0) } ?? .null), .init("hours", policy?.hours?.json ?? .null),
            .init("seat", (policy?.hasSeat).map { .bool($0) } ?? .null),
            .init("groups", (policy?.groups).map { .array($0.map { .string($0) }) } ?? .null),
            .init("raises", (policy?.raises).map { .array($0.map(\.json)) } ?? .null),
        ]
    }

    /// On which grounds more of the user is recorded than was once, or kept for longer, as far as it still matters: keys and values for people.
    ///
    /// - Parameter isHeld: whether anything is held of the user.
    package func raisedLines(isHeld: Bool) -> [(String, String)] {
        let all = policy.raises.filter { raise in
            switch raise.key {
            case "kept-longer": user.isTracked || isHeld
            case "more-seats": user.isTracked && hasSeat == true
            default: user.isTracked
            }
        }
        let own = raises.filter { raise in
            let isMember = OwnGroup(raise.value).map { groups.contains($0.name) }
            return switch raise.key {
            case "do-not-track-removed": user.isTracked && policy.doNotTrack.isEmpty
            case "group-joined": isMember ?? true
            case "group-left": !(isMember ?? false)
            default: true
            }
        }
        // One decision takes several entries off.
        var lines: [(String, String)] = []
        for line in (all + own).map(\.line) where !lines.contains(where: { $0 == line }) { lines.append(line) }
        return lines
    }

    /// Who answers where nobody is named.
    static let administrators = "the administrators of this server"

    /// Whom to ask: who answers for the recording, else for all of this server, else who administers it.
    package var responsible: String {
        let decided = user.since == nil ? policy.newUsersDecision.grounds.responsible : user.grounds.responsible
        return [user.isTracked ? decided : "", policy.configured.responsible].first { !$0.isEmpty } ?? Self.administrators
    }

    /// The roles that let others see what is held of the user, if only as a part of averages or by a pseudonym.
    ///
    /// - Parameter isMember: whether the user is in a group of the machine or its directory; nil: nobody could say.
    package func sightOfOthers(_ isMember: (String) -> Bool?) -> [TrackingPolicy.RoleRow] {
        policy.roles.filter { row in
            guard let role = row.grant?.role else { return false }
            guard role == .viewer else {
                return !role.rights.isDisjoint(with: [.viewOthers, .viewAggregates, .viewPseudonyms, .revealPseudonyms])
            }
            if let own = OwnGroup(row.views) { return groups.contains(own.name) }
            // Rather one too many is told.
            return isMember(row.views) ?? true
        }
    }

    /// Why it is as it is: keys and values for people.
    package var reasons: [(String, String)] {
        // The list goes before each decision.
        if !user.isTracked, !policy.doNotTrack.isEmpty {
            var reasons = [("Why", "you are on the Do Not Track list")]
            for entry in policy.doNotTrack {
                reasons.append(
                    ("Entry", entry.entry + ", put there" + TrackingPolicy.Decision.text(by: entry.by, at: entry.since, entry.reason)))
            }
            return reasons
        }
        if user.since != nil {
            return [("Why", "decided" + TrackingPolicy.Decision.text(by: user.by, at: user.since, user.grounds.reason))]
        }
        let rule = user.isTracked ? "everybody is, unless it is decided otherwise" : "nobody is, unless it is decided so"
        let decided = policy.newUsersDecision.text
        return [("Why", "\(rule)\(decided.isEmpty ? "" : ", as was decided\(decided)"); about you nothing was decided")]
    }
}

extension Client {
    /// What the policy says of the caller alone.
    func ownPolicy() throws(CommandError) -> OwnPolicy {
        let values = try decode(manager("GetPolicy")) { message throws(BusError) in try message.readProperties() }
        guard let policy = OwnPolicy(values) else {
            throw CommandError(
                .failure, "The collector does not tell what the policy says of one user.",
                remedy: "It is probably older than this command: sudo systemctl restart termspand.service")
        }
        return policy
    }
}
