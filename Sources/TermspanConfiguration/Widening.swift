package import TermspanCore

/// A way in which more may be recorded than before, or what was recorded be kept for longer. It takes a reason and somebody who answers for it.
package enum Widening: String, CaseIterable, Sendable {
    case hours = "wider-hours"
    case kept = "kept-longer"
    case pauses = "shorter-pauses"
    case seats = "more-seats"

    /// For people: what becomes so.
    package var text: String {
        switch self {
        case .hours: "wider tracking hours, or fewer holidays"
        case .kept: "longer times to keep what was recorded"
        case .pauses: "less time for users' own pauses"
        case .seats: "more seats"
        }
    }
}

extension Configuration {
    /// Whether somebody is named who answers for what is recorded, and why it is.
    package var hasGrounds: Bool { !GivenText.saysNothing(responsible) && !GivenText.saysNothing(reason) }

    /// - Parameter old: what was in force; nil where that is not known.
    /// - Throws: where it lets more be recorded than that did, or kept for longer, on no grounds.
    package func checkGrounds(after old: Configuration?, today: CalendarDay) throws(ConfigurationError) {
        let widenings = old.map { self.widenings(after: $0, today: today) } ?? Widening.allCases
        guard !hasGrounds, !widenings.isEmpty else { return }
        throw ConfigurationError(
            file: Self.file,
            problem: """
                has more recorded than before, or kept for longer (\(widenings.map(\.text).joined(separator: "; "))), which takes 'reason' and \
                'responsible': they are shown to whom it is about
                """)
    }

    /// In what it lets more be recorded than another did, or kept for longer, of whomever that may be.
    package func widenings(after old: Configuration, today: CalendarDay) -> [Widening] {
        var found: [Widening] = []
        let hoursOfUsers = Self.choices(old.hours.groups, hours.groups)
        let (before, after) = (old.hours.weeks, hours.weeks)
        let areWider = hoursOfUsers.contains { before[$0.old]?.isSuperset(of: after[$0.new] ?? .always) == false }
        if areWider || old.holidays.contains(where: { $0 >= today && !holidays.contains($0) }) { found.append(.hours) }
        let keptOfUsers = Self.choices(old.keptByGroup.map(\.group), keptByGroup.map(\.group))
        let (keptBefore, keptAfter) = (old.keptTimes, keptTimes)
        if keptOfUsers.contains(where: { (keptAfter[$0.new] ?? kept).isLonger(than: keptBefore[$0.old] ?? old.kept) }) {
            found.append(.kept)
        }
        if pausePerDay < old.pausePerDay { found.append(.pauses) }
        if let seats = old.limits.seats, limits.seats.map({ $0 > seats }) ?? true { found.append(.seats) }
        return found
    }

    /// In what a user's change of groups lets more be recorded of the user, or kept for longer.
    ///
    /// - Parameters:
    ///   - old: the groups that the user was in, of those that are named here; `new`: the groups that the user is in then.
    package func widenings(from old: Set<String>, to new: Set<String>) -> [Widening] {
        func first(_ names: [String], _ groups: Set<String>) -> String? { names.first { groups.contains($0) } }
        var found: [Widening] = []
        let weeks = hours.weeks
        let (before, after) = (first(hours.groups, old), first(hours.groups, new))
        if weeks[before]?.isSuperset(of: weeks[after] ?? .always) == false { found.append(.hours) }
        let names = keptByGroup.map(\.group)
        let times = keptTimes
        if (times[first(names, new)] ?? kept).isLonger(than: times[first(names, old)] ?? kept) { found.append(.kept) }
        return found
    }

    /// The groups on which hours or times to keep hang.
    package var namedGroups: [String] { hours.groups + keptByGroup.map(\.group).filter { !hours.groups.contains($0) } }

    /// By group; nil: of who is in none.
    private var keptTimes: [String?: KeptTimes] {
        Dictionary(keptByGroup.map { ($0.group, kept(by: $0)) } + [(nil, kept)]) { first, _ in first }
    }

    private struct Choice: Hashable {
        var old: String?
        var new: String?
    }

    /// Of all users there may be, whatever groups they are in: which of some groups in their order counted, and which of others does. Who is in two
    /// groups shows all that there can be: one counted, the other does.
    private static func choices(_ old: [String], _ new: [String]) -> Set<Choice> {
        func ranks(_ names: [String]) -> [String: Int] { Dictionary(names.enumerated().map { ($1, $0) }) { first, _ in first } }
        let (oldRanks, newRanks) = (ranks(old), ranks(new))
        let groups = Array(Set(old + new))
        func first(_ one: String, _ other: String, _ ranks: [String: Int]) -> String? {
            switch (ranks[one], ranks[other]) {
            case (let rank?, let otherRank?): rank <= otherRank ? one : other
            case (_?, nil): one
            case (nil, _?): other
            case (nil, nil): nil
            }
        }
        var found: Set<Choice> = [Choice()]
        for (index, one) in groups.enumerated() {
            for other in groups[index...] { found.insert(Choice(old: first(one, other, oldRanks), new: first(one, other, newRanks))) }
        }
        return found
    }
}

extension KeptTimes {
    /// Whether any of both is longer.
    func isLonger(than other: KeptTimes) -> Bool { other.longest(self) != other }
}

/// The minutes of a week at which is recorded.
struct RecordedWeek: Equatable {
    private var words = [UInt64](repeating: 0, count: (length + 63) / 64)

    private static let length = 7 * 1440

    static let always = RecordedWeek([TrackingHours.Window(start: 0, end: 1440)])

    init(_ windows: [TrackingHours.Window]) {
        for window in windows {
            for day in window.days {
                for minute in window.start..<window.end {
                    let number = (day * 1440 + minute) % Self.length
                    words[number / 64] |= 1 << UInt64(number % 64)
                }
            }
        }
    }

    func isSuperset(of other: RecordedWeek) -> Bool { zip(words, other.words).allSatisfy { $1 & ~$0 == 0 } }
}

extension TrackingHours {
    /// By group; nil: of who is in none that is named.
    var weeks: [String?: RecordedWeek] {
        var weeks: [String?: RecordedWeek] = [:]
        for group in [nil] + groups.map(Optional.some) {
            let own = windows(of: group)
            weeks[group] = own.isEmpty ? .always : RecordedWeek(own)
        }
        return weeks
    }
}
