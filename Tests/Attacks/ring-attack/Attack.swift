/// Who is attacked, in what state of the lane, and what becomes of them at each place.
struct Attack: CustomStringConvertible {
    enum Victim {
        /// It publishes an event of so many bytes.
        case producer(length: Int)
        /// It wakes up or goes to sleep: a round, what it read made durable, acknowledged, armed.
        case consumer
    }

    enum Fill: String, CaseIterable {
        case empty
        /// The slots begin anew within the event, and the sequences at 0.
        case wrapping
        /// The event takes the last slots that are free.
        case brim = "nearly full"
        case full
    }

    /// A fault of whom is attacked that must be found.
    enum Breach: String, CaseIterable {
        case commitFirst = "commit before the payload"
        case countLate = "attempt counted after the commit"
        case noRing = "no ring after the commit"
        case ringFirst = "ring before the commit"
        case acknowledgeFirst = "acknowledge before it is durable"
        case noDurable = "forget what was durable"
    }

    var victim: Victim
    var fill: Fill
    var isAsleep: Bool
    /// Not killed, but held up while the other side goes on.
    var isHeldUp = false
    var breach: Breach?

    var description: String {
        let name = if case .producer(let length) = victim { "producer of \(length) bytes" } else { "consumer" }
        let fault = breach.map { " that does wrong: \($0.rawValue)," } ?? ""
        return "\(name)\(fault) \(isHeldUp ? "held up" : "killed"), \(fill.rawValue) lane, consumer \(isAsleep ? "asleep" : "awake")"
    }

    /// All that hold.
    static var all: [Attack] {
        var attacks: [Attack] = []
        for isHeldUp in [false, true] {
            for isAsleep in [false, true] {
                for fill in Fill.allCases {
                    for length in [8, 160] {
                        attacks.append(Attack(victim: .producer(length: length), fill: fill, isAsleep: isAsleep, isHeldUp: isHeldUp))
                    }
                    guard fill != .brim else { continue }
                    attacks.append(Attack(victim: .consumer, fill: fill, isAsleep: isAsleep, isHeldUp: isHeldUp))
                }
            }
        }
        return attacks
    }

    /// Where each breach must show.
    static var breaches: [Attack] {
        Breach.allCases.map { breach in
            switch breach {
            case .commitFirst, .countLate: Attack(victim: .producer(length: 8), fill: .empty, isAsleep: false, breach: breach)
            case .noRing: Attack(victim: .producer(length: 8), fill: .empty, isAsleep: true, breach: breach)
            case .ringFirst: Attack(victim: .producer(length: 8), fill: .empty, isAsleep: true, isHeldUp: true, breach: breach)
            case .acknowledgeFirst, .noDurable: Attack(victim: .consumer, fill: .wrapping, isAsleep: false, breach: breach)
            }
        }
    }
}

/// Something that must not be was found.
struct Fault: Error, CustomStringConvertible {
    var description: String
    init(_ description: String) { self.description = description }

    static func unless(_ isRight: Bool, _ description: @autoclosure () -> String) throws {
        if !isRight { throw Fault(description()) }
    }
}
