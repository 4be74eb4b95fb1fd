import Glibc
import TermspanBus
package import TermspanCore

/// What a user sees of the own activity: whether and why activity is recorded, how the time went, what is held, and how to object.
package struct OwnView: Sendable {
    /// The time since a moment.
    package struct Period: Hashable, Sendable {
        package var since: WallInstant
        /// Microseconds of the user's own time by category.
        package private(set) var times: [String: UInt64] = [:]
        /// Active microseconds by application.
        package private(set) var applications: [String: UInt64] = [:]

        package init(since: WallInstant) { self.since = since }

        /// Adds a row of `Summary` by user.
        package mutating func add(summary row: JSONValue) {
            for category in SummaryTable.categories { times[category, default: 0] &+= Self.microseconds(row, category) }
        }

        /// Adds a row of `Spans`.
        package mutating func add(span row: JSONValue) {
            let name = SpanTable.application(row)
            if !name.isEmpty { applications[name, default: 0] &+= Self.microseconds(row, "active") }
        }

        /// Those that were used most, the first most of all.
        package var topApplications: [(name: String, active: UInt64)] {
            applications.filter { $0.value > 0 }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }.prefix(5).map { ($0.key, $0.value) }
        }

        private static func microseconds(_ row: JSONValue, _ key: String) -> UInt64 {
            guard let seconds = row[key]?.double, seconds > 0, seconds < 1e12 else { return 0 }
            return UInt64((seconds * 1e6).rounded())
        }
    }

    /// What is held: from the events of all sessions, of which each has at least its beginning.
    package struct Held: Hashable, Sendable {
        private var sessions: Set<String> = []
        private var ended: Set<String> = []
        private var starts: [String: WallInstant] = [:]

        package init() {}

        /// Adds a row of `History` by event.
        package mutating func add(_ event: JSONValue) {
            guard let session = event["session_uuid"]?.string else { return }
            sessions.insert(session)
            if event["event"]?.string == "logoff" { ended.insert(session) }
            let time = event["time"]?.string.flatMap { TimeText.parse($0, now: WallInstant(nanoseconds: 0)) }
            if let time { starts[session] = min(starts[session] ?? time, time) }
        }

        package var count: Int { sessions.count }
        /// How many last still.
        package var open: Int { sessions.count - ended.count }
        /// When the first began, and when the last did.
        package var first: WallInstant? { starts.values.min() }
        package var last: WallInstant? { starts.values.max() }
    }

    /// Who looked at it: from the audit record's entries about the user and about everybody.
    package struct Looks: Hashable, Sendable {
        package struct Look: Hashable, Sendable {
            package var by: String
            package var what: String
            /// The user, or everybody.
            package var about: String
        }

        /// How often, and when last.
        private var looks: [Look: Sum] = [:]

        package struct Sum: Hashable, Sendable {
            package var count = 0
            package var last = ""
        }

        package init() {}

        /// Adds a row of `Audit`, of which each is later than the one before.
        package mutating func add(_ row: JSONValue) {
            guard let what = AuditTable.read(row) else { return }
            let look = Look(by: row["by"]?.string ?? "", what: what, about: AuditTable.about(row))
            looks[look, default: Sum()].count += 1
            looks[look]?.last = row["time"]?.string ?? ""
        }

        /// The latest first, those at the user's own before those at everybody's.
        package var all: [(look: Look, sum: Sum)] {
            looks.map { (look: $0.key, sum: $0.value) }.sorted { first, second in
                func key(_ one: (look: Look, sum: Sum)) -> (Int, String) { (one.look.about == AuditTable.everybody ? 0 : 1, one.sum.last) }
                return key(first) > key(second)
            }
        }
    }

    package struct Activity: Hashable, Sendable {
        package var today: Period
        package var week: Period
        package var held = Held()
        package var looks = Looks()

        package init(today: Period, week: Period) {
            self.today = today
            self.week = week
        }
    }

    package var login: String
    package var userID: UInt32
    /// The roles that let others see it.
    package var seenBy: [TrackingPolicy.RoleRow] = []
    /// The scripts of the notice at logon that may not show it on this server.
    package var changedNotices: [String] = []
    /// The user's login shell, where it does not show the notice.
    package var silentShell: String?
    /// Nil where the collector could not be asked.
    package var policy: OwnPolicy?
    /// Nil where the reports service could not be asked.
    package var activity: Activity?

    package init(login: String, userID: UInt32) {
        self.login = login
        self.userID = userID
    }

    package var json: JSONValue {
        func moment(_ value: WallInstant?) -> JSONValue { .optional(value.map { TimeText.utc($0) }) }
        func period(_ period: Period) -> [JSONValue.Member] {
            [JSONValue.Member("since", moment(period.since))]
                + SummaryTable.categories.map { JSONValue.Member($0, .seconds(microseconds: period.times[$0] ?? 0)) }
        }
        var members: [JSONValue.Member] = [
            .init("user", .string(login)), .init("uid", .unsigned(UInt64(userID))), .init("policy", policy?.policy.json ?? .null),
        ]
        members += OwnPolicy.json(policy)
        members += [
            .init("seen_by", policy == nil ? .null : .array(seenBy.map(\.json))),
            .init("changed_notices", .array(changedNotices.map { .string($0) })), .init("silent_shell", .optional(silentShell)),
        ]
        if let activity {
            let applications = activity.today.topApplications.map { name, active in
                JSONValue.object([.init("application", .string(name)), .init("active", .seconds(microseconds: active))])
            }
            let held = activity.held
            members.append(.init("today", .object(period(activity.today) + [JSONValue.Member("applications", .array(applications))])))
            members.append(.init("week", .object(period(activity.week))))
            let figures: [JSONValue.Member] = [
                .init("sessions", .unsigned(UInt64(held.count))), .init("open", .unsigned(UInt64(held.open))),
                .init("first", moment(held.first)), .init("last", moment(held.last)),
            ]
            members.append(.init("held", .object(figures)))
            let looks = activity.looks.all.map { look, sum in
                JSONValue.object([
                    .init("by", .string(look.by)), .init("what", .string(look.what)), .init("about", .string(look.about)),
                    .init("count", .unsigned(UInt64(sum.count))), .init("last", .string(sum.last)),
                ])
            }
            members.append(.init("looks", .array(looks)))
        } else {
            members += ["today", "week", "held", "looks"].map { JSONValue.Member($0, .null) }
        }
        return .object(members)
    }
}

extension OwnView {
    package func lines(_ chart: Chart) -> [String] {
        Array([policyLines(chart.width), activityLines(chart), objectionLines(chart.width)].joined(separator: [""]))
    }

    private func policyLines(_ width: Int) -> [String] {
        guard let policy else { return ["Whether your activity is recorded could not be asked."] }
        var values = policy.reasons
        if policy.user.isTracked {
            values += [
                ("Level", policy.user.level), ("Recorded", WhatIsRecorded.recorded), ("Never recorded", WhatIsRecorded.never),
            ]
            if let hours = policy.hours { values.append(("Hours", Self.text(hours, holidays: policy.policy.holidays))) }
            if let left = policy.pauseLeft, left >= 60 { values.append(("Pauses", "\(left / 60) min left today: termspan pause 30m")) }
        }
        // What was recorded before stays for as long.
        if policy.user.isTracked || (activity?.held.count ?? 0) > 0 {
            values.append(("Kept", policy.policy.keptText))
            let grounds = policy.policy.configured
            let isOthers = !grounds.responsible.isEmpty && grounds.responsible != policy.responsible
            let why = [grounds.reason, isOthers ? "\(grounds.responsible) answers for that" : ""].filter { !$0.isEmpty }
            if !why.isEmpty { values.append(("Why so long", why.joined(separator: "; "))) }
        }
        values += policy.raisedLines(isHeld: (activity?.held.count ?? 0) > 0)
        if !changedNotices.isEmpty {
            let files = changedNotices.joined(separator: ", ")
            values.append(("Notice", "may NOT be shown at each logon: \(files) is missing or not as Termspan has it"))
        }
        if let silentShell {
            values.append(("Notice", "is NOT shown when you log on at a terminal: \(silentShell) does not read /etc/profile.d"))
        }
        values.append(("Who answers for it", policy.responsible))
        let minimum = policy.policy.aggregateMinimum.map { " of at least \($0) users" } ?? ""
        let seers = seenBy.map { row in
            let part =
                switch row.grant?.role {
                case .statistician: ", only in averages\(minimum)"
                case .analyst: ", only by a pseudonym, and in averages\(minimum)"
                case .trustee: ", only whose a pseudonym is"
                default: ""
                }
            return "members of \(row.group) (\(row.role)\(part))"
        }
        values.append(("Who may see it", (["you", "root", "whom polkit lets"] + seers).joined(separator: ", ")))
        let line =
            if !policy.user.isTracked {
                "Your activity is not recorded."
            } else if let until = policy.pausedUntil {
                "You have paused the recording of your activity until \(TimeText.local(until)): termspan resume ends that."
            } else if policy.mayBeListed {
                "Your activity is not recorded yet: no directory has told whether one of the SIDs on the Do Not Track list is yours."
            } else if let hours = policy.hours, !hours.isWithin {
                "Your activity is not recorded at this time"
                    + (hours.until.map { ", outside the tracking hours; again from \(TimeText.local($0))." }
                        ?? (hours.windows == nil ? ": which tracking hours are yours is not known yet." : ", outside the tracking hours."))
            } else if policy.hasSeat == false {
                "Your activity is not recorded: all seats of this server are taken. It will be once one is free."
            } else {
                "Your activity is recorded."
            }
        return [line] + Properties.lines(values, width: width)
    }

    /// `mon-fri 07:00-19:00, of the group staff; not on holidays`
    private static func text(_ hours: OwnPolicy.Hours, holidays: [String]) -> String {
        guard let windows = hours.windows else { return "not known yet" }
        return (windows.isEmpty ? "always" : windows.joined(separator: "; ")) + (hours.group.map { ", of the group \($0)" } ?? "")
            + (holidays.isEmpty ? "" : "; not on \(holidays.count) holidays: termspan policy show")
    }

    private func activityLines(_ chart: Chart) -> [String] {
        guard let activity else { return ["What is held about you could not be asked."] }
        var lines = ["Today, since \(TimeText.local(activity.today.since)):"] + Self.categories(activity.today, chart)
        let applications = activity.today.topApplications
        if !applications.isEmpty {
            lines += ["", "Applications today, by active time:"] + chart.lines(applications.map { ($0.name, $0.active) })
        }
        lines += ["", "This week, since \(TimeText.local(activity.week.since)):"] + Self.categories(activity.week, chart)
        lines += ["", "Who looked at it:"] + Self.looks(activity.looks)
        lines += ["", "What is held about you:"]
        let held = activity.held
        if held.count == 0 { return lines + ["  Nothing."] }
        lines += Properties.lines([
            ("  Sessions", String(held.count) + (held.open > 0 ? ", \(held.open) of them not over" : "")),
            ("  First began", held.first.map { TimeText.local($0) } ?? ""), ("  Last began", held.last.map { TimeText.local($0) } ?? ""),
        ])
        return lines + [
            "", "See all of it:", "  termspan spans --open      which application had the focus, from when to when",
            "  termspan session history   your sessions; --events: what happened in them",
            "  termspan audit             who decided about you, and who looked",
            "  termspan me receipts       what was erased of you, and removed by its age",
            "  termspan me export FILE    everything, as one JSON document",
        ]
    }

    private static func looks(_ looks: Looks) -> [String] {
        let all = looks.all
        if all.isEmpty { return ["  Nobody."] }
        let most = 8
        var table = Table([.init(""), .init(""), .init("")])
        for (look, sum) in all.prefix(most) {
            let time = TimeText.parse(sum.last, now: WallInstant(nanoseconds: 0)).map { TimeText.local($0) } ?? sum.last
            let what = "\(look.what) of \(look.about)" + (sum.count > 1 ? ", \(sum.count) times, last then" : "")
            table.add([time, look.by, what].map { Printable.text($0) })
        }
        return table.lines(header: false).map { "  " + $0 } + (all.count > most ? ["  ... and others: termspan audit"] : [])
    }

    /// The main categories, and of the others those that there are.
    private static func categories(_ period: Period, _ chart: Chart) -> [String] {
        let isThere = { (name: String) in (period.times[name] ?? 0) >= 500_000 }
        guard SummaryTable.categories.contains(where: isThere) else { return ["  Nothing is recorded."] }
        let names = SummaryTable.categories.filter { ["active", "passive", "inactive"].contains($0) || isThere($0) }
        return chart.lines(names.map { ($0, period.times[$0] ?? 0) })
    }

    private func objectionLines(_ width: Int) -> [String] {
        let ask = "To object, ask: " + (policy?.responsible ?? OwnPolicy.administrators)
        // A backslash or a blank of a directory's login would be the shell's.
        let name = Printable.text(login.contains("\\") || login.contains(" ") ? "'\(login)'" : login)
        return Printable.text(ask).wrapped(to: max(20, width)) + [
            "An administrator keeps your activity from being recorded by either of:", "  termspan untrack \(name)",
            "  termspan donottrack add \(name)",
        ]
    }
}

extension Client {
    /// How the caller's time went, and what is held about the caller.
    func ownActivity(now: WallInstant) throws(CommandError) -> OwnView.Activity {
        guard let today = TimeText.parse("today", now: now), let monday = TimeText.monday(of: now) else {
            throw CommandError(.failure, "The local time is not known.")
        }
        var activity = OwnView.Activity(today: .init(since: today), week: .init(since: monday))
        try ownReports("Summary", ["by": "user", "since": .uint64(today.microseconds)]) { row throws(CommandError) in
            activity.today.add(summary: row)
        }
        try ownReports("Summary", ["by": "user", "since": .uint64(monday.microseconds)]) { row throws(CommandError) in
            activity.week.add(summary: row)
        }
        try ownReports("Spans", ["since": .uint64(today.microseconds), "open": true]) { row throws(CommandError) in
            activity.today.add(span: row)
        }
        try ownReports("History", ["events": true, "origin": "all"]) { row throws(CommandError) in activity.held.add(row) }
        try ownReports("Audit", [:]) { row throws(CommandError) in activity.looks.add(row) }
        return activity
    }

    /// Asks the reports service about the caller alone.
    @discardableResult
    func ownReports(
        _ member: String, _ filter: [String: BusValue], _ body: (JSONValue) throws(CommandError) -> Void
    ) throws(CommandError) -> String? {
        var filter = filter
        filter["uid"] = .uint32(geteuid())
        return try reports(member, filter, body)
    }
}
