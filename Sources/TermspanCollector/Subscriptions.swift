/// What happens in a session, as Windows Terminal Services notifies of it. The raw value is the name on the bus and in output.
enum SessionNotification: String, CaseIterable {
    case logon, logoff, connect, disconnect, lock, unlock

    /// Whether everybody may know: what `who` shows.
    var isPublic: Bool { self != .lock && self != .unlock }
}

/// Who is told of what happens in sessions. Pure.
///
/// What a subscriber may see is decided when it subscribes and holds until it goes, as with a file that is open, or until roles change.
struct Subscriptions {
    struct Subscriber: Equatable {
        var userID: UInt32
        /// Whether it may see of others what is not for everybody.
        var seesAll: Bool
    }

    struct Recipient: Equatable {
        var name: String
        /// Whether it may see where the session is used from, and whether it is locked.
        var seesDetails: Bool
    }

    /// By unique name.
    private var subscribers: [String: Subscriber] = [:]

    /// Each takes one of the 512 match rules that the bus gives us.
    static let limit = 256
    static let limitPerUser = 8

    var count: Int { subscribers.count }

    /// Adds a subscriber or changes what it may see; false where its user or all together have too many.
    mutating func add(_ subscriber: Subscriber, name: String) -> Bool {
        if subscribers[name] == nil {
            // Root is limited by all alone: what runs as root could end us anyway.
            let own = subscriber.userID == 0 ? 0 : subscribers.values.count { $0.userID == subscriber.userID }
            guard own < Self.limitPerUser, subscribers.count < Self.limit else { return false }
        }
        subscribers[name] = subscriber
        return true
    }

    /// Nobody but root sees what is not for everybody, until it subscribes again.
    mutating func reduce() {
        for (name, subscriber) in subscribers where subscriber.userID != 0 { subscribers[name]?.seesAll = false }
    }

    mutating func remove(_ name: String) {
        subscribers[name] = nil
    }

    /// Who is told of a notification of a session of `owner`.
    func recipients(of notification: SessionNotification, in owner: UInt32) -> [Recipient] {
        subscribers.compactMap { name, subscriber in
            let seesDetails = subscriber.seesAll || subscriber.userID == owner
            return notification.isPublic || seesDetails ? Recipient(name: name, seesDetails: seesDetails) : nil
        }
    }
}
