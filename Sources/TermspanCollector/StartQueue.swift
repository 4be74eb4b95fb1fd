package import TermspanCore

/// Lets only a few attempts to start a probe be under way at a time. Pure.
package struct StartQueue: Equatable, Sendable {
    /// Attempts under way at the most: starting a unit is the service manager's work, which more of them don't speed up.
    package static let limit = 4

    private var waiting: [(session: UUIDv7, attempt: Int)] = []
    private var underWay: Set<UUIDv7> = []

    package init() {}

    /// Puts a session's attempt at the end of the queue; an earlier attempt of it that waits gives way.
    package mutating func add(_ session: UUIDv7, attempt: Int) {
        underWay.remove(session)
        waiting.removeAll { $0.session == session }
        waiting.append((session, attempt))
    }

    /// Takes the next attempt whose turn it is; nil while there are enough under way or none waits.
    package mutating func next() -> (session: UUIDv7, attempt: Int)? {
        guard underWay.count < Self.limit, !waiting.isEmpty else { return nil }
        let first = waiting.removeFirst()
        underWay.insert(first.session)
        return first
    }

    /// A session's attempt has come to its end, or is not wanted any more.
    package mutating func finish(_ session: UUIDv7) {
        underWay.remove(session)
        waiting.removeAll { $0.session == session }
    }

    package static func == (lhs: StartQueue, rhs: StartQueue) -> Bool {
        lhs.underWay == rhs.underWay && lhs.waiting.elementsEqual(rhs.waiting) { $0 == $1 }
    }
}
