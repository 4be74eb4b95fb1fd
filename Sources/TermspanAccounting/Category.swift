/// What a moment of a session counts as: the first in this order that holds.
///
/// The values are the order of precedence.
package enum Category: UInt8, CaseIterable, Comparable, Sendable {
    /// The machine slept.
    case suspended = 0
    /// Measuring was switched off on purpose: the user was not tracked, paused it, or it was outside the tracking hours.
    case paused = 1
    /// Measuring was on and yet what happened is not known.
    case unknown = 2
    /// No client was connected, or the seat showed another session.
    case disconnected = 3
    /// The session was locked.
    case locked = 4
    /// The last input was less than the idle threshold ago.
    case active = 5
    /// The last input was longer ago, but less than threshold and passive limit together.
    case passive = 6
    /// The last input was longer ago still, or there was none.
    case inactive = 7

    /// The name in machine-readable output.
    package var name: String { String(describing: self) }

    package static func < (lhs: Category, rhs: Category) -> Bool { lhs.rawValue < rhs.rawValue }
}

/// Nanoseconds by category.
package struct CategoryTimes: Equatable, Sendable {
    private var values = InlineArray<8, UInt64>(repeating: 0)

    package init() {}

    package subscript(category: Category) -> UInt64 {
        get { values[Int(category.rawValue)] }
        set { values[Int(category.rawValue)] = newValue }
    }

    /// The sum over all categories.
    package var total: UInt64 { Category.allCases.reduce(0) { $0 &+ self[$1] } }

    /// Adds nanoseconds to a category, stopping at what fits.
    package mutating func add(_ nanoseconds: UInt64, to category: Category) {
        let (sum, overflow) = self[category].addingReportingOverflow(nanoseconds)
        self[category] = overflow ? .max : sum
    }

    package static func += (lhs: inout CategoryTimes, rhs: CategoryTimes) {
        for category in Category.allCases { lhs.add(rhs[category], to: category) }
    }

    package static func == (lhs: CategoryTimes, rhs: CategoryTimes) -> Bool {
        Category.allCases.allSatisfy { lhs[$0] == rhs[$0] }
    }
}

/// How input turns into activity. Applied when asked, so to the past too.
package struct Thresholds: Equatable, Sendable {
    /// What becomes of the time after the last input.
    package enum Model: String, CaseIterable, Sendable {
        /// Active until it is the idle threshold ago, then Passive up to the limit.
        case termspan
        /// As ActivityWatch dates it back: Active up to the next input if that comes within the idle threshold; else Inactive from the last input on.
        case activitywatch
    }

    package var model = Model.termspan
    /// After this long without input a session is no longer Active.
    package var idle: Duration
    /// For this long it is then Passive; nil for ever. In ActivityWatch's model nothing is.
    package var passiveLimit: Duration?

    package init(idle: Duration = .seconds(120), passiveLimit: Duration? = .seconds(300)) {
        self.idle = idle
        self.passiveLimit = passiveLimit
    }

    /// Of ActivityWatch's aw-watcher-afk, as it is delivered.
    package static let activityWatchIdle: Duration = .seconds(180)

    /// For how long a moment's category may depend on input that comes later.
    package var lookahead: Duration { model == .activitywatch ? max(.zero, idle) : .zero }
}
