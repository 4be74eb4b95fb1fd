package import TermspanSystem

/// A lane could not be made or attached to.
package enum LaneError: Error, Hashable, Sendable, CustomStringConvertible {
    case system(SystemError)
    /// One of the files is not as long as a lane's.
    case size
    /// One of the files could change its length.
    case seals
    /// One of the files could be opened by others.
    case mode
    /// `control` does not begin as a lane's does.
    case magic
    /// A protocol that this program doesn't know.
    case version(major: UInt16)
    /// Slots of another size or number.
    case geometry
    /// The acknowledged head belongs to none of the two marks.
    case marks
    /// The arena holds as many lanes as it can.
    case full

    package var description: String {
        switch self {
        case .system(let error): error.description
        case .size: "a lane's file is of the wrong size"
        case .seals: "a lane's file is not sealed"
        case .mode: "a lane's file is open to others"
        case .magic: "not a lane"
        case .version(let major): "a lane of version \(major)"
        case .geometry: "a lane with slots of another form"
        case .marks: "a lane whose checkpoint doesn't fit its head"
        case .full: "no room for another lane"
        }
    }

    /// Runs `body` with its errors as ours.
    @discardableResult
    static func wrap<Result: ~Copyable>(_ body: () throws(SystemError) -> Result) throws(LaneError) -> Result {
        do {
            return try body()
        } catch {
            throw .system(error)
        }
    }
}

/// A producer wrote what the protocol doesn't have; its lane is not read any more.
package enum LaneViolation: UInt8, Error, CaseIterable, Hashable, Sendable, CustomStringConvertible {
    /// The number of slots is none, too large, or not what the length asks for.
    case slots = 1
    /// The payload is longer than an event's can be.
    case length
    /// The type is 0.
    case type
    /// A further slot is not that of the event.
    case continuation
    /// Attempted-at did not increase.
    case attemptedAt
    /// `attempted` went back, or is behind an event that was committed.
    case attempted
    /// More slots were written than were free.
    case overrun
    /// The doorbell was rung without events.
    case doorbell

    package var description: String {
        switch self {
        case .slots: "wrong number of slots"
        case .length: "payload too long"
        case .type: "no type"
        case .continuation: "wrong continuation"
        case .attemptedAt: "attempts out of order"
        case .attempted: "count of attempts went back"
        case .overrun: "wrote over unread events"
        case .doorbell: "rang without events"
        }
    }
}
