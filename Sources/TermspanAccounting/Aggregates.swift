package import TermspanCore

/// What is told of one month to who sees nothing of anybody: a row for everybody and one for each group, worked out once.
///
/// The rows that are shown cut the contributors into cells, each of those who are in exactly the same of them. Whatever is added up of rows
/// and taken away from one another is made of whole cells: so each cell has to be large enough, and no user may make most of one. A row by
/// which a cell would be neither is withheld. Those before it go first. A value without effects; Docs/adr/0018-aggregates.md has the reasons.
package struct AggregateTable: Hashable, Sendable {
    /// Averages per user in seconds, to a quarter of an hour, and about how many users they are of.
    package struct Figures: Hashable, Sendable {
        /// The minimum, or that and a multiple of five: never more than there are.
        package var users: UInt64
        package var active: UInt64
        package var passive: UInt64
        package var inactive: UInt64
        /// Connected and measured: active, passive, inactive or locked.
        package var connected: UInt64

        package init(users: UInt64, active: UInt64, passive: UInt64, inactive: UInt64, connected: UInt64) {
            self.users = users
            self.active = active
            self.passive = passive
            self.inactive = inactive
            self.connected = connected
        }

        /// How much of the connected time was active, in percent; of what is told, so that it tells no more. nil without any.
        package var activeShare: UInt64? { connected == 0 ? nil : min(100, (200 * active + connected) / (2 * connected)) }
    }

    package struct Row: Hashable, Sendable {
        /// nil is everybody.
        package var group: String?
        /// nil: withheld.
        package var figures: Figures?

        package init(group: String? = nil, figures: Figures? = nil) {
            self.group = group
            self.figures = figures
        }
    }

    /// Of how many users a row is at least.
    package var minimum: UInt64
    /// Everybody's first, then the groups' in the policy's order.
    package var rows: [Row]

    /// Whether any figure is.
    package var isTold: Bool { rows.contains { $0.figures != nil } }

    /// What the minimum is without a decision, and what can be decided.
    package static let usualMinimum: UInt64 = 5
    package static let minima: ClosedRange<UInt64> = 3...1000
    /// How many groups there can be.
    package static let mostGroups = 50

    private static let step: UInt64 = 900
    private static let usersStep: UInt64 = 5

    package init(minimum: UInt64, rows: [Row]) {
        self.minimum = minimum
        self.rows = rows
    }

    /// Works a month out.
    ///
    /// - Parameters:
    ///   - times: each user's own time in the month.
    ///   - groups: in the policy's order, each with whoever is a member, users without any time among them.
    package init<User: Hashable>(_ times: [User: CategoryTimes], groups: [(name: String, members: Set<User>)], minimum: UInt64) {
        // Who was not there at all makes no group larger.
        let contributions = times.mapValues { Contribution($0) }.filter { $0.value.connected > 0 }
        let minimum = max(minimum, Self.minima.lowerBound)
        let everybody = Set(contributions.keys)
        var shown: [Set<User>] = []
        var rows: [Row] = []
        let candidates = [(name: String?.none, members: everybody)] + groups.map { ($0.name, $0.members.intersection(everybody)) }
        for (name, members) in candidates {
            let cells = Dictionary(grouping: contributions) { user, _ in (shown + [members]).map { $0.contains(user) } }
                // Of whom nothing is told.
                .filter { $0.key.contains(true) }
            guard !members.isEmpty, cells.values.allSatisfy({ Self.isSafe($0.map(\.value), minimum) }) else {
                rows.append(Row(group: name))
                continue
            }
            shown.append(members)
            rows.append(Row(group: name, figures: Self.figures(members.compactMap { contributions[$0] }, minimum)))
        }
        self.init(minimum: minimum, rows: rows)
    }

    /// What a user adds to the sums, in seconds.
    private struct Contribution {
        var active: UInt64
        var passive: UInt64
        var inactive: UInt64
        var locked: UInt64

        var connected: UInt64 { active + passive + inactive + locked }

        /// Each sum that is told, and what is left of one without the others.
        var all: [UInt64] { [active, passive, inactive, locked, connected] }

        init(_ times: CategoryTimes) {
            func seconds(_ category: Category) -> UInt64 { times[category] / 1_000_000_000 }
            (active, passive, inactive, locked) = (seconds(.active), seconds(.passive), seconds(.inactive), seconds(.locked))
        }
    }

    /// Whether there are enough of them, and, of each sum that is told as more than nothing, nobody makes more than half, nor two of them so much
    /// that the second, who takes the own away, knows the first's to a fifth (the p% rule of statistical disclosure control).
    private static func isSafe(_ cell: [Contribution], _ minimum: UInt64) -> Bool {
        guard cell.count >= minimum else { return false }
        return cell[0].all.indices.allSatisfy { figure in
            let values = cell.map { $0.all[figure] }
            let sum = values.reduce(0, +)
            if sum / UInt64(cell.count) < step / 2 { return true }
            let (first, second) = largest(values)
            return 2 * first <= sum && 5 * (sum - first - second) >= first
        }
    }

    private static func largest(_ values: [UInt64]) -> (first: UInt64, second: UInt64) {
        values.reduce((0, 0)) { found, value in value > found.0 ? (value, found.0) : (found.0, max(found.1, value)) }
    }

    private static func figures(_ contributions: [Contribution], _ minimum: UInt64) -> Figures {
        let count = UInt64(contributions.count)
        func average(_ figure: (Contribution) -> UInt64) -> UInt64 {
            let average = contributions.reduce(0) { $0 + figure($1) } / count
            return (average + step / 2) / step * step
        }
        return Figures(
            users: minimum + (count - minimum) / usersStep * usersStep, active: average { $0.active }, passive: average { $0.passive },
            inactive: average { $0.inactive }, connected: average { $0.connected })
    }
}

extension AggregateTable {
    /// As it is passed on and stored: the minimum, then a line a row, `10 3600 900 0 5400`, a tab and the group's name, which is empty for
    /// everybody; `-` in place of figures that are withheld.
    package var lines: [String] {
        [String(minimum)]
            + rows.map { row in
                let figures = row.figures.map { [$0.users, $0.active, $0.passive, $0.inactive, $0.connected] }
                return (figures.map { $0.map(String.init).joined(separator: " ") } ?? "-") + "\t" + (row.group ?? "")
            }
    }

    /// nil for what is no table.
    package init?(lines: [String]) {
        guard let minimum = lines.first.flatMap({ UInt64($0) }), Self.minima.contains(minimum), lines.count <= 2 + Self.mostGroups else {
            return nil
        }
        var rows: [Row] = []
        for line in lines.dropFirst() {
            let parts = line.split(separator: "\t", maxSplits: 1, omittingEmptySubsequences: false)
            guard parts.count == 2, rows.isEmpty == parts[1].isEmpty else { return nil }
            var row = Row(group: parts[1].isEmpty ? nil : String(parts[1]))
            if parts[0] != "-" {
                let numbers = parts[0].split(separator: " ", omittingEmptySubsequences: false).map { UInt64($0) }
                guard numbers.count == 5, case let known = numbers.compactMap({ $0 }), known.count == 5,
                    known.allSatisfy({ $0 < 1 << 32 })
                else { return nil }
                row.figures = Figures(users: known[0], active: known[1], passive: known[2], inactive: known[3], connected: known[4])
            }
            rows.append(row)
        }
        guard !rows.isEmpty else { return nil }
        self.init(minimum: minimum, rows: rows)
    }
}

/// Which months are told, and when.
package struct AggregateMonths: Sendable {
    private let calendar: LocalCalendar
    private let now: WallInstant

    package init(_ calendar: LocalCalendar, now: WallInstant) {
        self.calendar = calendar
        self.now = now
    }

    /// The day from which on a month is told: a whole day after its end, so that what is stored late is in it.
    package static func opening(of month: CalendarMonth) -> CalendarDay { month.next.first.advanced(by: 1) }

    package func isClosed(_ month: CalendarMonth) -> Bool { Self.opening(of: month) <= calendar.day(now) }

    /// Those that are closed, of which nothing has been removed by its age, from the one in which the history begins.
    ///
    /// - Parameters:
    ///   - beginning: of the history.
    ///   - kept: for how long all that is recorded of anybody is kept at least; nil: without end.
    package func told(from beginning: WallInstant, kept: Duration?) -> [CalendarMonth] {
        // Before 1970 no clock is right.
        var month = CalendarMonth(max(calendar.day(beginning), CalendarDay(number: 0)))
        var months: [CalendarMonth] = []
        let oldest = kept.map { now.nanoseconds.subtractingReportingOverflow($0.wholeNanoseconds) }
        while isClosed(month) {
            if let oldest, !oldest.overflow, calendar.moment(month.first, 0).nanoseconds < oldest.partialValue {
                month = month.next
                continue
            }
            months.append(month)
            month = month.next
        }
        return months
    }
}
