import RingPattern
import SeededRandom
import Synchronization
import TermspanCore
import TermspanRing

/// What is wrong on purpose, each of which the soak has to find.
enum Breach: String, CaseIterable {
    /// The consumer gives slots back before what was in them is durable.
    case early
    /// A new consumer takes no account of what is durable and was not acknowledged.
    case twice
    /// The consumer leaves an event out.
    case skipped
    /// A source's event is not what its number asks for.
    case torn
    /// A source has a doorbell that nobody hears.
    case mute
    /// A lane is given to a second source.
    case again

    /// As what it has to be found; anything else that is found meanwhile is a failure of its own.
    var findings: [Finding.Kind] {
        switch self {
        // At the next event of a lane whose consumer was killed, or at its end where none comes.
        case .early: [.told(.order), .told(.totals)]
        case .twice: [.told(.order)]
        case .skipped: [.told(.totals)]
        case .torn: [.told(.torn)]
        case .mute: [.stall]
        case .again: [.told(.violation)]
        }
    }
}

/// Words that processes share.
struct Words {
    private let base: UnsafeMutablePointer<Atomic<UInt64>>

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base.assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    /// Release and acquire: what was stored before in other words is seen with it.
    subscript(index: Int) -> UInt64 {
        get { base[index].load(ordering: .acquiring) }
        nonmutating set { base[index].store(newValue, ordering: .releasing) }
    }
}

/// What a source says of itself, apart from its lane: it is compared with what came.
struct Witness {
    /// Of all places, and a line of its own with the sign to stop.
    static func size(_ places: Int) -> Int { (places + 1) * 64 }

    private let words: Words
    private let all: Words

    init(_ base: UnsafeMutableRawPointer, place: Int) {
        words = Words(base + (place + 1) * 64)
        all = Words(base)
    }

    var isStopped: Bool {
        get { all[0] != 0 }
        nonmutating set { all[0] = newValue ? 1 : 0 }
    }

    /// The number of the last event that it published, how many there were, and how many it dropped.
    var last: UInt64 { words[0] }
    var published: UInt64 { words[1] }
    var dropped: UInt64 { words[2] }
    /// Of the published ones.
    var sum: UInt64 { words[3 + Int(published & 1)] }

    func clear() { for index in 0..<8 { words[index] = 0 } }

    /// One more is published. It may be killed anywhere in between: the count comes last and says which sum holds.
    func publish(_ attempt: UInt64) {
        let (count, sum) = (published, sum)
        words[0] = attempt
        words[3 + Int((count + 1) & 1)] = sum &+ SeededRandom.mix(attempt)
        words[1] = count + 1
    }

    func drop() { words[2] = dropped + 1 }
}

/// What the consumer has of a lane; it is in memory that outlives a consumer that is killed, and stands for the store.
struct Ledger {
    static let size = 256

    /// What is durable, all at once.
    struct Checkpoint: Equatable {
        var attemptedAt: UInt64 = 0
        var delivered: UInt64 = 0
        var lost: UInt64 = 0
        /// Of the numbers of those that were delivered.
        var sum: UInt64 = 0
        var time: UInt64 = 0
    }

    enum Problem: UInt64 {
        case torn = 1
        case order
        case time
        case violation
        case refused
        case totals
    }

    private let words: Words

    init(_ base: UnsafeMutableRawPointer, place: Int) {
        words = Words(base + place * Self.size)
    }

    /// For a new lane.
    func clear() { for index in 0..<Self.size / 8 { words[index] = 0 } }

    /// The last event that was read, durable or not.
    var seen: UInt64 {
        get { words[0] }
        nonmutating set { words[0] = newValue }
    }

    var checkpoint: Checkpoint {
        let first = 2 + 5 * Int(words[1])
        return Checkpoint(
            attemptedAt: words[first], delivered: words[first + 1], lost: words[first + 2], sum: words[first + 3], time: words[first + 4])
    }

    /// As a transaction: it holds with the last store.
    func commit(_ checkpoint: Checkpoint) {
        let other = 1 - words[1]
        let first = 2 + 5 * Int(other)
        words[first] = checkpoint.attemptedAt
        words[first + 1] = checkpoint.delivered
        words[first + 2] = checkpoint.lost
        words[first + 3] = checkpoint.sum
        words[first + 4] = checkpoint.time
        words[1] = other
    }

    /// The lane's account once it is closed; nil before.
    var totals: (attempted: UInt64, delivered: UInt64, lost: UInt64)? {
        words[12] == 0 ? nil : (words[13], words[14], words[15])
    }

    func close(_ totals: LaneTotals) {
        words[13] = totals.attempted
        words[14] = totals.delivered
        words[15] = totals.lost
        words[12] = 1
    }

    /// The first thing that was wrong, and with which event.
    var problem: (what: Problem, event: UInt64)? { Problem(rawValue: words[16]).map { ($0, words[17]) } }

    func report(_ problem: Problem, event: UInt64) {
        guard words[16] == 0 else { return }
        words[17] = event
        words[16] = problem.rawValue
    }
}

/// What an event of a lane has to be, byte for byte: no other lane has the same.
func pattern(_ attempt: UInt64, generation: UInt64) -> RingPattern {
    RingPattern(attempt: SeededRandom.mix(generation) &+ attempt)
}
