package import TermspanStore

/// Who has a seat: whoever something is held of, from the first session that is recorded until the last one is gone. Pure.
///
/// Not to be confused with the seats of logind, which are screens and keyboards.
package struct Seats: Equatable, Sendable {
    private var holders: Set<UserIdentity> = []
    /// Seats of those whose login or UID is another's by now.
    private var former = 0
    /// Who took one since the store was asked last; it may not know of them. Nil while it is not asked.
    private var recent: Set<UserIdentity>?
    /// Whether it is to be asked once more.
    private var isStale = false

    /// - Parameter held: of whom something is held.
    package init(_ held: [HeldUser] = []) {
        set(held)
    }

    package var taken: Int { holders.count + former }

    /// Whether the user has one, or would get one.
    ///
    /// - Parameter limit: how many there are; nil is any number.
    package func admits(_ user: UserIdentity, limit: Int?) -> Bool {
        guard let limit else { return true }
        return holders.contains(user) || taken < limit
    }

    /// The user's first session is told to the store.
    package mutating func take(_ user: UserIdentity) {
        holders.insert(user)
        recent?.insert(user)
    }

    /// Sessions may have gone: the store is to be asked who has one still.
    ///
    /// - Returns: whether to ask it now; else it is being asked, and once more is to follow.
    package mutating func beginReading() -> Bool {
        isStale = recent != nil
        if recent == nil { recent = [] }
        return !isStale
    }

    /// The store has answered.
    ///
    /// - Parameter held: of whom something is held; nil if it could not say, and all stays as it is.
    /// - Returns: whether it is to be asked once more.
    package mutating func endReading(_ held: [HeldUser]?) -> Bool {
        if let held {
            set(held)
            holders.formUnion(recent ?? [])
        }
        recent = nil
        return isStale
    }

    private mutating func set(_ held: [HeldUser]) {
        holders = Set(held.filter(\.isCurrent).map(\.identity))
        former = held.count { !$0.isCurrent }
    }
}
