package import TermspanCore

/// How many calls each user may make of a service, and what was refused. Pure.
///
/// Whom a limit holds is a user, not a connection: a program can have as many connections as the bus gives it, and make new ones.
package struct CallLimits: Sendable {
    package struct Settings: Hashable, Sendable {
        package var rate = Rate(100, per: .seconds(1), burst: 500)
        /// Calls of one user that are not answered, or whose answers the bus has not taken yet: each holds a message, perhaps a question
        /// to polkit, and is in front of the answers to others.
        package var underWay = 32
        /// Users that may do as much as they like.
        package var exempt: Set<UInt32> = [0]

        package init() {}

        /// So many calls a second, and those of five seconds at once.
        package init(callsPerSecond: Int, exempt: Set<UInt32> = [0]) {
            rate = Rate(callsPerSecond, per: .seconds(1), burst: callsPerSecond * 5)
            self.exempt = exempt
        }
    }

    private struct User {
        var bucket = TokenBucket()
        var underWay = 0
        /// Answers that the bus may not have taken yet.
        var untaken = 0
        /// Refusals that `reports` has not told yet.
        var untold: UInt64 = 0
        var told: BootInstant?

        mutating func admit(_ settings: Settings, at now: BootInstant) -> Bool {
            if hasRoom(settings), bucket.take(settings.rate, at: now) {
                untaken += 1
                return true
            }
            untold += 1
            return false
        }

        func hasRoom(_ settings: Settings) -> Bool { underWay + untaken < settings.underWay }

        func mayBeTold(at now: BootInstant) -> Bool { told.map { $0.advanced(by: CallLimits.interval) <= now } ?? true }

        func isForgettable(at now: BootInstant) -> Bool {
            underWay == 0 && untold == 0 && bucket.isFull(at: now) && mayBeTold(at: now)
        }
    }

    package var settings: Settings
    /// All refusals since the start.
    package private(set) var refused: UInt64 = 0
    /// Whether there are answers that the bus may not have taken yet.
    package private(set) var hasUntaken = false
    private var users: [UInt32: User] = [:]
    /// From how many users on those are forgotten of whom nothing need be known.
    private var room = 256

    /// A user's refusals are told at most once in this time.
    static let interval: Duration = .seconds(60)
    /// How long the first ones are collected before they are told.
    static let delay: Duration = .seconds(1)

    package init(_ settings: Settings = Settings()) {
        self.settings = settings
    }

    /// The bus has taken all answers.
    package mutating func allTaken() {
        hasUntaken = false
        for userID in users.keys { users[userID]?.untaken = 0 }
    }

    /// Whether a call may be answered; counts it as refused if not, else as answered at once.
    package mutating func admit(_ userID: UInt32, at now: BootInstant) -> Bool {
        if settings.exempt.contains(userID) { return true }
        if users[userID] == nil { makeRoom(at: now) }
        let settings = settings
        let isAdmitted = users[userID, default: User()].admit(settings, at: now)
        if isAdmitted { hasUntaken = true } else { refused += 1 }
        return isAdmitted
    }

    /// Counts a call that was refused before it was known whose it is.
    package mutating func refuseUnknown() { refused += 1 }

    /// Takes `count` calls more for one that costs so much: they are owed, if there are not as many.
    package mutating func charge(_ userID: UInt32, _ count: Int, at now: BootInstant) {
        if settings.exempt.contains(userID) { return }
        let rate = settings.rate
        // What is owed ends: no user waits longer than it takes to fill the bucket twice.
        let count = min(count, Int(clamping: rate.burst))
        for _ in 0..<count { users[userID, default: User()].bucket.spend(rate, at: now) }
        users[userID, default: User()].untaken += count
        hasUntaken = true
    }

    /// A call of this user is under way until `end`, when it is answered.
    package mutating func begin(_ userID: UInt32) {
        users[userID, default: User()].underWay += 1
    }

    package mutating func end(_ userID: UInt32) {
        users[userID]?.underWay -= 1
        users[userID]?.untaken += 1
        hasUntaken = true
    }

    /// The refusals to be told now, by user, each at most once a minute.
    package mutating func reports(at now: BootInstant) -> [(userID: UInt32, count: UInt64)] {
        var reports: [(userID: UInt32, count: UInt64)] = []
        for (userID, user) in users where user.untold > 0 && user.mayBeTold(at: now) {
            reports.append((userID, user.untold))
            users[userID]?.untold = 0
            users[userID]?.told = now
        }
        return reports
    }

    /// When there will be something to tell; nil if nothing waits for it.
    package func nextReport(at now: BootInstant) -> BootInstant? {
        users.values.filter { $0.untold > 0 }.map { $0.told?.advanced(by: Self.interval) ?? now.advanced(by: Self.delay) }.min()
    }

    /// How many users something is known of.
    package var count: Int { users.count }

    private mutating func makeRoom(at now: BootInstant) {
        guard users.count >= room else { return }
        users = users.filter { !$0.value.isForgettable(at: now) }
        room = max(256, users.count * 2)
    }
}
