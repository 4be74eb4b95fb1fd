package import TermspanCore

/// Lets only a few attempts to start a probe be under way at a time, and one of each user. Pure.
package struct StartQueue: Sendable {
    /// Attempts under way at the most: starting a unit is the service manager's work, which more of them don't speed up.
    package static let limit = 4
    /// How long an attempt may keep others waiting at the least and at the most.
    package static let patienceBounds: ClosedRange<Duration> = .seconds(1)...(.seconds(10))
    /// Of how many users it is remembered what their last start took.
    static let memory = 8
    /// Of fewer users one or two alone would say how long others wait.
    private static let leastUsers = 3

    private struct Attempt: Equatable, Sendable {
        var session: UUIDv7
        var number: Int
        var uid: UInt32
    }

    private var waiting: [Attempt] = []
    private var underWay: [UUIDv7: UInt32] = [:]
    /// Those under way that have used up the patience.
    private var slow: Set<UUIDv7> = []
    /// What the last start of each of the last users took who are measured now, the oldest first.
    private var taken: [(uid: UInt32, time: Duration)] = []

    package init() {}

    /// An attempt that takes longer waits for its X server or its home, and keeps nobody but its user waiting any more.
    ///
    /// Where units start slowly, since the machine is busy or has many mounts, it is three times what starts take: others that begin
    /// meanwhile would make all of them slower still, until none comes to its end in time. More than half of the users have to be slow for that.
    package var patience: Duration {
        guard taken.count >= Self.leastUsers else { return Self.patienceBounds.lowerBound }
        let median = taken.map(\.time).sorted()[(taken.count - 1) / 2]
        return min(max(median * 3, Self.patienceBounds.lowerBound), Self.patienceBounds.upperBound)
    }

    /// Puts a session's attempt at the end of the queue; an earlier attempt of it that waits gives way.
    package mutating func add(_ session: UUIDv7, attempt: Int, of uid: UInt32) {
        finish(session)
        waiting.append(Attempt(session: session, number: attempt, uid: uid))
    }

    /// Takes the next attempt whose turn it is; nil while there are enough under way or none waits that may go on.
    package mutating func next() -> (session: UUIDv7, attempt: Int)? {
        guard underWay.count - slow.count < Self.limit else { return nil }
        let busy = Set(underWay.values)
        guard let index = waiting.firstIndex(where: { !busy.contains($0.uid) }) else { return nil }
        let first = waiting.remove(at: index)
        underWay[first.session] = first.uid
        return (first.session, first.number)
    }

    /// A user's attempt came to its end well.
    package mutating func succeeded(_ uid: UInt32, in time: Duration) {
        taken.removeAll { $0.uid == uid }
        taken.append((uid, time))
        if taken.count > Self.memory { taken.removeFirst() }
    }

    /// A session's attempt has been under way for as long as the patience; false if it is no more.
    package mutating func isSlow(_ session: UUIDv7) -> Bool {
        guard underWay[session] != nil else { return false }
        slow.insert(session)
        return true
    }

    /// A session's attempt has come to its end, or is not wanted any more.
    package mutating func finish(_ session: UUIDv7) {
        underWay[session] = nil
        slow.remove(session)
        waiting.removeAll { $0.session == session }
    }
}
