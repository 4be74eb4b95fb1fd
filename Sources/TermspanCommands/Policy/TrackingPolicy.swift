package import TermspanBus
package import TermspanCore

/// Whose activity is recorded, as `GetPolicy` of org.termspan1.Manager tells this caller.
package struct TrackingPolicy: Hashable, Sendable {
    package struct User: Hashable, Sendable {
        package var name: String
        package var userID: UInt32?
        package var isTracked: Bool
        package var since: WallInstant?
        package var by: String
        package var grounds: Grounds
        package var level: String

        package static let keys = ["name", "uid", "tracked", "level", "since", "by", "reason", "responsible"]

        package var json: JSONValue {
            .object(
                [
                    .init("name", .string(name)), .init("uid", userID.map { .unsigned(UInt64($0)) } ?? .null),
                    .init("tracked", .bool(isTracked)), .init("level", level.isEmpty ? .null : .string(level)),
                ] + Decision(since: since, by: by, grounds: grounds).members)
        }
    }

    /// A decision about all whom nobody decided about.
    package struct Decision: Hashable, Sendable {
        /// Nil where nobody has decided.
        package var since: WallInstant?
        package var by: String
        package var grounds: Grounds

        package var members: [JSONValue.Member] {
            [
                .init("since", .optional(since.map { TimeText.utc($0) })), .init("by", by.isEmpty ? .null : .string(by)),
                .init("reason", grounds.reason.isEmpty ? .null : .string(grounds.reason)),
                .init("responsible", grounds.responsible.isEmpty ? .null : .string(grounds.responsible)),
            ]
        }

        /// ` by root on 2026-01-02T03:04:05+01:00: why`, as far as it is known.
        package var text: String { Self.text(by: by, at: since, grounds.reason) }

        package static func text(by name: String, at moment: WallInstant?, _ reason: String) -> String {
            (name.isEmpty ? "" : " by \(name)") + (moment.map { " on \(TimeText.local($0))" } ?? "") + (reason.isEmpty ? "" : ": \(reason)")
        }
    }

    /// One entry of the Do Not Track list.
    package struct Entry: Hashable, Sendable {
        package var entry: String
        package var since: WallInstant?
        package var by: String
        package var reason: String

        package static let keys = ["entry", "since", "by", "reason"]

        package var json: JSONValue {
            .object([
                .init("entry", .string(entry)), .init("since", .optional(since.map { TimeText.utc($0) })),
                .init("by", by.isEmpty ? .null : .string(by)), .init("reason", reason.isEmpty ? .null : .string(reason)),
            ])
        }

        package static func table(_ entries: [Entry]) -> [String] {
            var table = Table([.init("ENTRY", width: 30), .init("SINCE", width: 25), .init("BY", width: 12), .init("REASON")])
            for entry in entries { table.add([entry.entry, entry.since.map { TimeText.local($0) } ?? "", entry.by, entry.reason]) }
            return table.lines()
        }
    }

    /// A role that the members of a group have.
    package struct RoleRow: Hashable, Sendable {
        package var role: String
        package var group: String
        /// Whose members a viewer sees; empty for other roles.
        package var views: String
        package var since: WallInstant?
        package var by: String
        package var reason: String

        /// nil for a role that this version does not know.
        package var grant: RoleGrant? { Role(rawValue: role).flatMap { RoleGrant($0, group: group, views: views) } }

        package static let keys = ["role", "group", "views", "since", "by", "reason"]

        init(_ row: [String: BusValue]) {
            role = row["role"]?.string ?? ""
            group = row["group"]?.string ?? ""
            views = row["views"]?.string ?? ""
            since = row["since"]?.unsigned.flatMap { WallInstant(microseconds: $0) }
            by = row["by"]?.string ?? ""
            reason = row["reason"]?.string ?? ""
        }

        package var json: JSONValue {
            .object([
                .init("role", .string(role)), .init("group", .string(group)), .init("views", views.isEmpty ? .null : .string(views)),
                .init("since", .optional(since.map { TimeText.utc($0) })), .init("by", by.isEmpty ? .null : .string(by)),
                .init("reason", reason.isEmpty ? .null : .string(reason)),
            ])
        }

        package static func table(_ rows: [RoleRow]) -> [String] {
            var table = Table([
                .init("ROLE", width: 13), .init("GROUP", width: 16), .init("VIEWS", width: 16), .init("SINCE", width: 25),
                .init("BY", width: 12), .init("REASON"),
            ])
            for row in rows {
                table.add([row.role, row.group, row.views, row.since.map { TimeText.local($0) } ?? "", row.by, row.reason])
            }
            return table.lines()
        }
    }

    /// A member of one of Termspan's own groups.
    package struct GroupMember: Hashable, Sendable {
        package var group: String
        package var user: String
        package var userID: UInt32?
        package var since: WallInstant?
        package var by: String
        package var reason: String
        /// Who answers for it, where more is recorded by that; else empty.
        package var responsible: String

        package static let keys = ["group", "user", "uid", "since", "by", "reason", "responsible"]

        init(_ row: [String: BusValue]) {
            group = row["group"]?.string ?? ""
            user = row["user"]?.string ?? ""
            userID = row["uid"]?.unsigned.flatMap { UInt32(exactly: $0) }
            since = row["since"]?.unsigned.flatMap { WallInstant(microseconds: $0) }
            by = row["by"]?.string ?? ""
            reason = row["reason"]?.string ?? ""
            responsible = row["responsible"]?.string ?? ""
        }

        package var json: JSONValue {
            .object([
                .init("group", .string(group)), .init("user", .string(user)), .init("uid", userID.map { .unsigned(UInt64($0)) } ?? .null),
                .init("since", .optional(since.map { TimeText.utc($0) })), .init("by", by.isEmpty ? .null : .string(by)),
                .init("reason", reason.isEmpty ? .null : .string(reason)),
                .init("responsible", responsible.isEmpty ? .null : .string(responsible)),
            ])
        }

        package static func table(_ rows: [GroupMember]) -> [String] {
            var table = Table([
                .init("GROUP", width: 16), .init("USER", width: 20), .init("SINCE", width: 25), .init("BY", width: 12), .init("REASON"),
            ])
            for row in rows { table.add([row.group, row.user, row.since.map { TimeText.local($0) } ?? "", row.by, row.reason]) }
            return table.lines()
        }
    }

    /// A decision by which more is recorded than before, or kept for longer, beside who is tracked.
    package struct Raise: Hashable, Sendable {
        /// As the record of policy changes has it.
        package var key: String
        package var value: String
        package var decision: Decision

        init(_ row: [String: BusValue]) {
            key = row["key"]?.string ?? ""
            value = row["value"]?.string ?? ""
            decision = Decision(
                since: row["since"]?.unsigned.flatMap { WallInstant(microseconds: $0) }, by: row["by"]?.string ?? "",
                grounds: Grounds(reason: row["reason"]?.string ?? "", responsible: row["responsible"]?.string ?? ""))
        }

        static func list(_ value: BusValue?) -> [Raise] { (value?.elements ?? []).compactMap { $0.properties.map { Raise($0) } } }

        package var json: JSONValue {
            .object([.init("key", .string(key)), .init("value", value.isEmpty ? .null : .string(value))] + decision.members)
        }

        /// For people: a title, and who decided so, when, why, and who answers for it.
        package var line: (String, String) {
            let titles = [
                "wider-hours": "Wider hours", "kept-longer": "Kept longer", "shorter-pauses": "Shorter pauses", "more-seats": "More seats",
                "do-not-track-removed": "Off the list", "group-joined": "Group joined", "group-left": "Group left",
            ]
            let group = key.hasPrefix("group-") ? "\(value), " : ""
            let answers = decision.grounds.responsible.isEmpty ? "" : "; \(decision.grounds.responsible) answers for that"
            return (titles[key] ?? key, "\(group)decided\(decision.text)\(answers)")
        }
    }

    package var newUsers: String
    package var newUsersDecision: Decision
    /// What widened what the configuration lets be recorded, and kept.
    package var raises: [Raise]
    /// Who answers for what is collected, and why it is, as the configuration says.
    package var configured: Grounds
    package var users: [User]
    package var doNotTrack: [Entry]
    package var roles: [RoleRow]
    /// Empty where the caller may not know.
    package var groupMembers: [GroupMember]
    /// The groups of which averages are told, in the order in which they are considered, and of how many users these are at least; nil where
    /// the collector does not tell it.
    package var aggregateGroups: [String]?
    package var aggregateMinimum: UInt64?
    /// This server's rules of classification, and why they hold, as `GetClassification` tells; nil where it was not asked.
    package var classification: ServerRules?
    package var kept: Kept
    /// What holds for members of groups in place of that.
    package var keptByGroup: [Kept]
    /// When activity is recorded, and of which group's members; none: always.
    package var trackingHours: [Hours]
    package var holidays: [String]
    /// How many users something may be held of; nil is any number.
    package var seats: UInt64?
    /// Of how many something is; nil where the caller may not know.
    package var seatsTaken: UInt64?
    /// Whether `users` and `doNotTrack` are of all, not of the caller alone.
    package var isComplete: Bool

    /// A file of rules, as it was applied.
    package struct ServerRules: Hashable, Sendable {
        package var text: String
        package var reason: String

        package init(_ text: String, reason: String = "") {
            self.text = text
            self.reason = reason
        }
    }

    /// How many seconds it is kept what was done, and who was logged on; nil is without end.
    package struct Kept: Hashable, Sendable {
        /// Nil is everybody.
        package var group: String?
        package var activity: UInt64?
        package var sessions: UInt64?

        init(_ values: [String: BusValue]) {
            group = values["group"]?.string
            activity = (values["keep-activity"]?.unsigned).map { $0 / 1_000_000 }
            sessions = (values["keep-sessions"]?.unsigned).map { $0 / 1_000_000 }
        }

        package var json: [JSONValue.Member] {
            [
                .init("keep_activity", activity.map { .unsigned($0) } ?? .null),
                .init("keep_sessions", sessions.map { .unsigned($0) } ?? .null),
            ]
        }

        package var text: String {
            func length(_ seconds: UInt64?) -> String {
                guard let seconds else { return "without end" }
                return "for " + (seconds % 86_400 == 0 ? "\(seconds / 86_400)d" : TimeText.age(seconds: seconds))
            }
            let times = "activity \(length(activity)), sessions \(length(sessions))"
            return group.map { "of members of the group \($0) \(times)" } ?? times
        }
    }

    package struct Hours: Hashable, Sendable {
        /// Empty: of those who are in no group that is named.
        package var group: String
        package var hours: String

        package var json: JSONValue {
            .object([.init("group", group.isEmpty ? .null : .string(group)), .init("hours", .string(hours))])
        }
    }

    package init(_ values: [String: BusValue]) {
        newUsers = values["new-users"]?.string ?? ""
        newUsersDecision = Decision(
            since: values["new-users-since"]?.unsigned.flatMap { WallInstant(microseconds: $0) }, by: values["new-users-by"]?.string ?? "",
            grounds: Grounds(
                reason: values["new-users-reason"]?.string ?? "", responsible: values["new-users-responsible"]?.string ?? ""))
        configured = Grounds(reason: values["reason"]?.string ?? "", responsible: values["responsible"]?.string ?? "")
        raises = Raise.list(values["raises"])
        kept = Kept(values)
        keptByGroup = (values["keep-by-group"]?.elements ?? []).compactMap { $0.properties.map { Kept($0) } }
        trackingHours = (values["tracking-hours"]?.elements ?? []).compactMap { row in
            guard let row = row.properties else { return nil }
            return Hours(group: row["group"]?.string ?? "", hours: row["hours"]?.string ?? "")
        }
        holidays = values["holidays"]?.strings ?? []
        seats = values["seats"]?.unsigned
        seatsTaken = values["seats-taken"]?.unsigned
        roles = (values["roles"]?.elements ?? []).compactMap { $0.properties.map { RoleRow($0) } }
        groupMembers = (values["group-members"]?.elements ?? []).compactMap { $0.properties.map { GroupMember($0) } }
        aggregateGroups = values["aggregate-groups"]?.strings
        aggregateMinimum = values["aggregate-minimum"]?.unsigned
        isComplete = values["complete"]?.bool ?? false
        users = (values["users"]?.elements ?? []).compactMap { row in
            guard let row = row.properties else { return nil }
            return User(
                name: row["name"]?.string ?? "", userID: row["uid"]?.unsigned.flatMap { UInt32(exactly: $0) },
                isTracked: row["tracked"]?.bool ?? false, since: row["since"]?.unsigned.flatMap { WallInstant(microseconds: $0) },
                by: row["by"]?.string ?? "",
                grounds: Grounds(reason: row["reason"]?.string ?? "", responsible: row["responsible"]?.string ?? ""),
                level: row["level"]?.string ?? "")
        }.sorted { $0.name < $1.name }
        doNotTrack = (values["do-not-track"]?.elements ?? []).compactMap { row in
            guard let row = row.properties else { return nil }
            return Entry(
                entry: row["entry"]?.string ?? "", since: row["since"]?.unsigned.flatMap { WallInstant(microseconds: $0) },
                by: row["by"]?.string ?? "", reason: row["reason"]?.string ?? "")
        }
    }

    package var json: JSONValue {
        .object([
            .init("new_users", .string(newUsers)), .init("new_users_decision", .object(newUsersDecision.members)),
            .init("responsible", configured.responsible.isEmpty ? .null : .string(configured.responsible)),
            .init("reason", configured.reason.isEmpty ? .null : .string(configured.reason)),
            .init("raises", .array(raises.map(\.json))),
            .init("users", .array(users.map(\.json))), .init("do_not_track", .array(doNotTrack.map(\.json))),
            .init("roles", .array(roles.map(\.json))), .init("group_members", .array(groupMembers.map(\.json))), kept.json[0], kept.json[1],
            .init(
                "keep_by_group", .array(keptByGroup.map { .object([.init("group", .string($0.group ?? ""))] + $0.json) })),
            .init("tracking_hours", .array(trackingHours.map(\.json))), .init("holidays", .array(holidays.map { .string($0) })),
            .init("seats", seats.map { .unsigned($0) } ?? .null), .init("seats_taken", seatsTaken.map { .unsigned($0) } ?? .null),
            .init("aggregate_groups", aggregateGroups.map { .array($0.map { .string($0) }) } ?? .null),
            .init("aggregate_minimum", aggregateMinimum.map { .unsigned($0) } ?? .null),
        ])
    }

    /// How long what is recorded is kept.
    package var keptText: String { ([kept] + keptByGroup).map(\.text).joined(separator: "; ") }

    /// `3 of 50 are taken`, as far as the caller may know.
    package var seatsText: String? {
        switch (seats, seatsTaken) {
        case (let seats?, let taken?): "\(taken) of \(seats) are taken"
        case (let seats?, nil): "there are \(seats)"
        case (nil, let taken?): "\(taken) are taken, of any number"
        case (nil, nil): nil
        }
    }

    /// `of everybody and of sales, tech, each of at least 5 users`
    package var aggregatesText: String? {
        guard let aggregateGroups, let aggregateMinimum else { return nil }
        let groups = aggregateGroups.isEmpty ? "" : " and of " + aggregateGroups.joined(separator: ", ")
        return "of everybody\(groups), each of at least \(aggregateMinimum) users"
    }

    package var lines: [String] {
        let decided = newUsersDecision.text
        var values = [("New users", newUsers + (decided.isEmpty ? "" : ", decided\(decided)"))]
        if newUsers == "tracked", !newUsersDecision.grounds.responsible.isEmpty {
            values.append(("Responsible for that", newUsersDecision.grounds.responsible))
        }
        if !configured.responsible.isEmpty { values.append(("Responsible", configured.responsible)) }
        if !configured.reason.isEmpty { values.append(("Reason", configured.reason)) }
        values.append(("Kept", keptText))
        for hours in trackingHours { values.append(("Hours", hours.hours + (hours.group.isEmpty ? "" : ", group \(hours.group)"))) }
        if !holidays.isEmpty { values.append(("Holidays", holidays.joined(separator: ", "))) }
        if let seats = seatsText { values.append(("Seats", seats)) }
        if let text = aggregatesText { values.append(("Averages", text)) }
        values += raises.map(\.line)
        var lines = Properties.lines(values)
        if !users.isEmpty {
            var table = Table([
                .init("USER", width: 20), .init("TRACKED", width: 7), .init("LEVEL", width: 7), .init("SINCE", width: 25),
                .init("BY", width: 12), .init("REASON", width: 20), .init("RESPONSIBLE"),
            ])
            for user in users {
                table.add([
                    user.name, user.isTracked ? "yes" : "no", user.level, user.since.map { TimeText.local($0) } ?? "", user.by,
                    user.grounds.reason,
                    user.grounds.responsible,
                ])
            }
            lines += [""] + table.lines()
        }
        if !doNotTrack.isEmpty { lines += ["", "Do Not Track:"] + Entry.table(doNotTrack) }
        if !roles.isEmpty { lines += ["", "Roles:"] + RoleRow.table(roles) }
        if !groupMembers.isEmpty { lines += ["", "Groups:"] + GroupMember.table(groupMembers) }
        return lines
    }
}
