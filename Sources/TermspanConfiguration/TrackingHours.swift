package import TermspanCore

/// When activity is recorded: `tracking-hours` and `holidays` of termspan.yaml(5). At all other times nothing is collected. A value without effects.
package struct TrackingHours: Codable, Equatable, Sendable {
    /// The same hours of some days of the week.
    package struct Window: Codable, Hashable, Sendable {
        /// Whose they are: the members of a group of the system, its directory or Termspan's own. Nil: of all who are in none of the groups that are named.
        package var group: String?
        /// On which days they begin, 0 is Monday.
        package var days: Set<Int>
        /// Minutes after midnight; `end` is the greater, and up to 2880 where it is on the next day.
        package var start: Int
        package var end: Int

        package init(group: String? = nil, days: Set<Int> = Set(0..<7), start: Int, end: Int) {
            self.group = group
            self.days = days
            self.start = start
            self.end = end
        }

        fileprivate static let always = Window(start: 0, end: 1440)
    }

    /// Whether it is a time to record at, and until when that is so; nil for more than a month.
    package struct State: Equatable, Sendable {
        package var isOpen: Bool
        package var until: WallInstant?
    }

    /// Where hours begin or end.
    package struct Edge: Equatable, Sendable {
        package var moment: WallInstant
        package var opens: Bool
    }

    package var windows: [Window]
    package var holidays: Set<CalendarDay>

    package init(windows: [Window] = [], holidays: Set<CalendarDay> = []) {
        self.windows = windows
        self.holidays = holidays
    }

    /// Whether all is recorded always.
    package var isEmpty: Bool { windows.isEmpty && holidays.isEmpty }

    /// The groups that are named, in their order: of a user who is in several the first one counts.
    package var groups: [String] {
        var groups: [String] = []
        for case let group? in windows.map(\.group) where !groups.contains(group) { groups.append(group) }
        return groups
    }

    /// The windows of a group's members, or with nil of all who are in none that is named; those are recorded always where none is meant for them.
    package func windows(of group: String?) -> [Window] { windows.filter { $0.group == group } }

    /// How many days ahead and back are looked at.
    private static let horizon = 31

    /// What holds at a moment for a group's members, or with nil for all who are in none that is named.
    package func state(of group: String?, at now: WallInstant, in calendar: LocalCalendar) -> State {
        let (edges, seen) = allEdges(of: group, around: now, in: calendar)
        let before = edges.last { $0.moment <= now }
        let after = edges.first { $0.moment > now }
        return State(
            isOpen: before?.opens ?? false, until: (after?.moment).flatMap { seen.contains($0) ? $0 : nil })
    }

    /// When hours begin and end in the month before a moment and the one after it, in order.
    package func edges(of group: String?, around now: WallInstant, in calendar: LocalCalendar) -> [Edge] {
        let (edges, seen) = allEdges(of: group, around: now, in: calendar)
        return edges.filter { seen.contains($0.moment) }
    }

    /// - Returns: also those that are none but where the days begin and end that were looked at: all out of `seen`.
    private func allEdges(
        of group: String?, around now: WallInstant, in calendar: LocalCalendar
    ) -> (edges: [Edge], seen: Range<WallInstant>) {
        let today = calendar.day(now)
        let own = windows(of: group)
        let (first, last) = (today.advanced(by: -Self.horizon - 2), today.advanced(by: Self.horizon + 2))
        var open: [Range<WallInstant>] = []
        for number in first.number...last.number {
            let day = CalendarDay(number: number)
            for window in own.isEmpty ? [Window.always] : own where window.days.contains(day.weekday) {
                let (start, end) = (calendar.moment(day, window.start), calendar.moment(day, window.end))
                if start < end { open.append(start..<end) }
            }
        }
        for day in holidays where (first...last).contains(day) {
            let (start, end) = (calendar.moment(day, 0), calendar.moment(day, 1440))
            open = open.flatMap { range in
                [(range.lowerBound, min(range.upperBound, start)), (max(range.lowerBound, end), range.upperBound)]
                    .compactMap { $0 < $1 ? $0..<$1 : nil }
            }
        }
        // Of what is open without a break nothing begins or ends in between.
        var edges: [Edge] = []
        var end: WallInstant?
        for range in open.sorted(by: { $0.lowerBound < $1.lowerBound }) {
            if let last = end, range.lowerBound <= last {
                end = max(last, range.upperBound)
            } else {
                if let end { edges.append(Edge(moment: end, opens: false)) }
                edges.append(Edge(moment: range.lowerBound, opens: true))
                end = range.upperBound
            }
        }
        if let end { edges.append(Edge(moment: end, opens: false)) }
        let (start, rest) = (today.advanced(by: -Self.horizon), today.advanced(by: Self.horizon))
        return (edges, calendar.moment(start, 0)..<calendar.moment(rest, 1440))
    }
}

extension TrackingHours.Window {
    private static let names = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]

    /// Reads `mon-fri`, `sat` or `mon,wed-fri`; a range may go on over Sunday. Nil for anything else.
    package static func days(_ text: String) -> Set<Int>? {
        var days: Set<Int> = []
        for part in text.lowercased().split(separator: ",", omittingEmptySubsequences: false) {
            let ends = part.split(separator: "-", omittingEmptySubsequences: false).map { names.firstIndex(of: String($0)) }
            guard ends.count <= 2, let from = ends.first ?? nil, let to = ends.last ?? nil else { return nil }
            for offset in 0...((to - from + 7) % 7) { days.insert((from + offset) % 7) }
        }
        return days
    }

    /// Reads `07:00-19:00`; an end that is not after the start is on the next day. Nil for anything else.
    package static func hours(_ text: String) -> (start: Int, end: Int)? {
        let times = text.split(separator: "-", omittingEmptySubsequences: false).map { minutes($0) }
        guard times.count == 2, let start = times[0], let end = times[1], start < 1440 else { return nil }
        return (start, end > start ? end : end + 1440)
    }

    /// Reads `07:00`, up to `24:00`.
    private static func minutes(_ text: Substring) -> Int? {
        let parts = text.split(separator: ":", omittingEmptySubsequences: false)
        guard parts.count == 2, parts.allSatisfy({ $0.utf8.count == 2 && $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let hour = Int(parts[0]), let minute = Int(parts[1]), minute < 60, hour * 60 + minute <= 1440
        else { return nil }
        return hour * 60 + minute
    }

    /// `mon-fri 07:00-19:00`, without the group.
    package var text: String {
        var ranges: [ClosedRange<Int>] = []
        for day in days.sorted() {
            if let last = ranges.last, last.upperBound == day - 1 {
                ranges[ranges.count - 1] = last.lowerBound...day
            } else {
                ranges.append(day...day)
            }
        }
        let names = ranges.map { $0.count == 1 ? Self.names[$0.lowerBound] : Self.names[$0.lowerBound] + "-" + Self.names[$0.upperBound] }
        func clock(_ minutes: Int) -> String {
            let (hour, minute) = minutes.quotientAndRemainder(dividingBy: 60)
            return (hour < 10 ? "0" : "") + "\(hour):" + (minute < 10 ? "0" : "") + "\(minute)"
        }
        return "\(names.joined(separator: ",")) \(clock(start))-\(clock(end > 1440 ? end - 1440 : end))"
    }
}
