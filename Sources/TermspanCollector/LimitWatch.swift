package import TermspanConfiguration
package import TermspanCore
package import TermspanStore

/// What users can take of the collector only so much of: each user, but for the seats. The raw value is its name in `status` and in the journal.
package enum Limit: String, CaseIterable, Sendable {
    case displays
    case sockets
    case logons
    case stateChanges = "state-changes"
    case focusChanges = "focus-changes"
    case rows
    case probeStarts = "probe-starts"
    case busCalls = "bus-calls"
    /// Of all users.
    case seats
}

/// Which limits were reached, by whom and how often: all of it is counted, and told once a minute for each user. Pure.
package struct LimitWatch: Sendable {
    /// How one limit fared since the start.
    package struct Count: Equatable, Sendable {
        /// How often somebody was at it.
        package var hits: UInt64 = 0
        /// Who was at it last, and when.
        package var user: UserIdentity?
        package var last: BootInstant?
    }

    private struct Key: Hashable {
        var limit: Limit
        var user: UserIdentity
    }

    private struct Told {
        var at: BootInstant
        var untold: UInt64
    }

    package private(set) var counts: [Limit: Count] = [:]
    private var told: [Key: Told] = [:]

    static let pause: Duration = .seconds(60)
    /// Users remembered at a time; with more, those told longer ago than the pause are forgotten.
    private static let remembered = 1024

    package init() {}

    /// How many it remembers of users and limits.
    var remembering: Int { told.count }

    /// A user was at a limit, so many times.
    ///
    /// - Returns: how often since it was told last, if it is to be told now.
    package mutating func reached(_ limit: Limit, by user: UserIdentity, times: UInt64 = 1, at now: BootInstant) -> UInt64? {
        var count = counts[limit] ?? Count()
        count.hits = count.hits.addingReportingOverflow(times).overflow ? .max : count.hits + times
        count.user = user
        count.last = now
        counts[limit] = count
        let key = Key(limit: limit, user: user)
        guard let before = told[key] else {
            if told.count >= Self.remembered { told = told.filter { $0.value.at.advanced(by: Self.pause) > now } }
            told[key] = Told(at: now, untold: 0)
            return times
        }
        let untold = before.untold.addingReportingOverflow(times).overflow ? .max : before.untold + times
        let isDue = before.at.advanced(by: Self.pause) <= now
        told[key] = Told(at: isDue ? now : before.at, untold: isDue ? 0 : untold)
        return isDue ? untold : nil
    }
}

extension Limits {
    package var logons: Rate { Rate(logonsPerMinute, per: .seconds(60), burst: 3 * logonsPerMinute) }
    /// Of one session.
    package var stateChanges: Rate { Rate(stateChangesPerMinute, per: .seconds(60), burst: stateChangesPerMinute / 3) }
    /// Of one session.
    package var focusChanges: Rate { Rate(focusChangesPerSecond, per: .seconds(1), burst: 10 * focusChangesPerSecond) }
    package var rows: Rate { Rate(rowsPerDay, per: .seconds(86_400), burst: rowsPerDay) }
    package var probeStarts: Rate { Rate(probeStartsPerMinute, per: .seconds(60), burst: 2 * probeStartsPerMinute) }

    /// A limit in words.
    package func text(_ limit: Limit) -> String {
        switch limit {
        case .displays: "\(displaysPerUser) at a time"
        case .sockets: "\(socketsPerUser) at a time"
        case .logons: "\(logonsPerMinute) a minute, \(logons.burst) at once"
        case .stateChanges: "\(stateChangesPerMinute) a minute, \(stateChanges.burst) at once"
        case .focusChanges: "\(focusChangesPerSecond) a second, \(focusChanges.burst) at once"
        case .rows: "\(rowsPerDay) a day"
        case .probeStarts: "\(probeStartsPerMinute) a minute, \(probeStarts.burst) at once"
        case .busCalls: "\(busCallsPerSecond) a second and service, \(5 * busCallsPerSecond) at once"
        case .seats: seats.map { "\($0) in all" } ?? "any number"
        }
    }
}
