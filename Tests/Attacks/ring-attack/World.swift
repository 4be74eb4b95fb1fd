import CAttack
import Glibc
import Synchronization
import TermspanCore
import TermspanRing
import TermspanSystem

/// Both sides of a new lane, and a neighbour's lane beside it. Each place that is attacked gets a new one.
struct World: ~Copyable {
    private let attack: Attack
    private let ledger: Ledger
    private let memory: LaneMemory
    /// For a producer that does wrong.
    private let raw: Mapping
    private var writer: LaneWriter
    private var neighbour: LaneWriter
    private var poller: LanePoller
    private let key: LaneKey
    private let neighbourKey: LaneKey
    /// Of each attempt, from 1 on.
    private var lengths: [Int] = []
    /// Attempts that found room.
    private var accepted: [UInt64] = []
    /// What an attempt of the victim's would be.
    private var nextAttempt: UInt64 { writer.attempted + 1 }

    private static let slots = 1024
    private static let somePayloads = [8, 160, 40, 41, 0]
    /// Longer than anything here takes; only a stall lasts so long.
    private var never: Duration { attack.breach == nil ? .seconds(20) : .seconds(1) }

    init(_ attack: Attack, _ ledger: Ledger) throws {
        ledger.clear()
        // One event comes before all others.
        let memory = try LaneMemory(lane: 0, generation: 1, firstSequence: attack.fill == .wrapping ? 0xFFFF_FFFD : 0)
        let raw = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        let writer = try LaneWriter(
            control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        let other = try LaneMemory(lane: 1, generation: 2)
        let neighbour = try LaneWriter(
            control: other.controlForProducer(), events: other.events.duplicate(), doorbell: other.doorbell.duplicate())
        var poller = try LanePoller(capacity: 2)
        let key = try poller.add(memory)
        let neighbourKey = try poller.add(other)
        self.key = key
        self.neighbourKey = neighbourKey
        self.attack = attack
        self.ledger = ledger
        self.memory = memory
        self.raw = raw
        self.writer = writer
        self.neighbour = neighbour
        self.poller = poller
    }

    /// Brings both sides into the state that the attack begins in.
    mutating func prepare() throws {
        publish(length: 8)
        try consume()

        switch attack.victim {
        case .producer(let length):
            let taken = length <= 40 ? 1 : 1 + (length - 40 + 55) / 56
            switch attack.fill {
            case .empty, .wrapping: break
            case .brim: for _ in 0..<(Self.slots - taken) { publish(length: 8) }
            case .full: for _ in 0..<Self.slots { publish(length: 8) }
            }
            // Asleep it has read everything; what is not acknowledged stays taken.
            if attack.isAsleep { try consume(acknowledging: false) }
        case .consumer:
            if attack.isAsleep { try consume() }
            switch attack.fill {
            case .empty, .brim: break
            case .wrapping: for length in Self.somePayloads { publish(length: length) }
            case .full:
                // To the last slot, and one that is dropped.
                while writer.dropped == 0 { publish(length: Self.somePayloads[lengths.count % Self.somePayloads.count]) }
            }
        }
    }

    // MARK: Events

    private static func type(_ attempt: UInt64) -> UInt8 { UInt8(1 + attempt % 255) }
    private static func byte(_ attempt: UInt64, _ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: attempt &* 31 &+ UInt64(index) &* 7 &+ 1)
    }

    private mutating func publish(length: Int) {
        let attempt = nextAttempt
        lengths.append(length)
        let payload = (0..<length).map { Self.byte(attempt, $0) }
        let result = payload.withUnsafeBytes { writer.publish(type: Self.type(attempt), time: .now(), payload: $0) }
        if result == .published { accepted.append(attempt) }
    }

    // MARK: The consumer

    /// Rounds until there is nothing and it sleeps, or so many, each made durable and acknowledged as the collector does it.
    private mutating func consume(
        rounds: Int = .max, acknowledging: Bool = true, timeout: Duration = .zero, marking: Bool = false
    ) throws {
        let ledger = ledger
        let (key, progress) = (key, ledger.progress)
        let isFirst = marking && attack.breach == .acknowledgeFirst
        var violation: LaneViolation?
        var done = 0
        while done < rounds, try poller.wait(timeout: done == 0 ? timeout : .zero).contains(.lanes) {
            poller.round(violated: { violation = $1 }) { from, record in
                if marking { attack_mark(progress) }
                if from == key { ledger.append(record) }
            }
            if marking { attack_mark(progress) }
            if isFirst { _ = poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) } }
            if marking { attack_mark(progress) }
            ledger.commit()
            if marking { attack_mark(progress) }
            if acknowledging && !isFirst { _ = poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) } }
            if marking { attack_mark(progress) }
            done += 1
        }
        if let violation { throw Fault("violation: \(violation)") }
    }

    // MARK: The victim

    /// What the victim does, in its own process.
    ///
    /// - Returns: its exit status.
    mutating func beVictim() -> Int32 {
        let progress = ledger.progress
        switch attack.victim {
        case .producer(let length):
            let attempt = nextAttempt
            let payload = (0..<length).map { Self.byte(attempt, $0) }
            let now = BootInstant.now()
            attack_mark(progress)
            if let breach = attack.breach {
                publishWrongly(payload, breach, raw.base, attempt, now)
            } else {
                _ = payload.withUnsafeBytes { writer.publish(type: Self.type(attempt), time: now, payload: $0) }
            }
            progress.pointee.is_finished = 1
            attack_mark(progress)
        case .consumer:
            attack_mark(progress)
            do {
                // A full lane takes sixteen rounds, each like the first.
                try consume(rounds: attack.fill == .full ? 1 : .max, marking: true)
                progress.pointee.is_finished = 1
                attack_mark(progress)
                while UInt64(ledger.count) < ledger.wanted {
                    let before = ledger.count
                    try consume(timeout: never)
                    if ledger.count == before { return 1 }
                }
            } catch {
                return 2
            }
        }
        return 0
    }

    /// Publishes an event of one slot at the second position, with one thing wrong.
    private func publishWrongly(
        _ payload: [UInt8], _ breach: Attack.Breach, _ base: UnsafeMutableRawPointer, _ attempt: UInt64, _ now: BootInstant
    ) {
        func atomic(_ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> { (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self) }
        let slot = 4096 + 64
        let header = UInt64(2) | 1 << 32 | UInt64(Self.type(attempt)) << 40 | UInt64(payload.count) << 48
        let bell = try? EventCounter(memory.doorbell.duplicate())
        if breach != .countLate { atomic(0).pointee.store(attempt, ordering: .sequentiallyConsistent) }
        if breach == .ringFirst { bell?.ring() }
        if breach == .commitFirst { atomic(slot).pointee.store(header, ordering: .sequentiallyConsistent) }
        atomic(slot + 8).pointee.store(now.nanoseconds, ordering: .sequentiallyConsistent)
        atomic(slot + 16).pointee.store(attempt, ordering: .sequentiallyConsistent)
        for (index, byte) in payload.enumerated() { (base + slot + 24 + index).storeBytes(of: byte, as: UInt8.self) }
        if breach != .commitFirst { atomic(slot).pointee.store(header, ordering: .sequentiallyConsistent) }
        if breach == .countLate { atomic(0).pointee.store(attempt, ordering: .sequentiallyConsistent) }
    }

    // MARK: The other side

    /// Whether the victim's event is there, for a producer.
    typealias Outcome = Bool

    /// The victim was killed: the other side goes on as the product does, and nothing may be wrong.
    mutating func afterDeath(isFinished: Bool) throws -> Outcome {
        switch attack.victim {
        case .producer(let length): try afterProducer(length: length, isFinished: isFinished)
        case .consumer: try afterConsumer()
        }
    }

    private mutating func afterProducer(length: Int, isFinished: Bool) throws -> Outcome {
        let fits = attack.fill != .full
        let before = ledger.count
        try consume()
        if isFinished && fits && attack.isAsleep { try Fault.unless(ledger.count > before, "the sleeping consumer was not woken") }
        // The others go on.
        _ = [1, 2, 3].withUnsafeBytes { neighbour.publish(type: 1, time: .now(), payload: $0) }
        try Fault.unless(try poller.wait(timeout: never).contains(.lanes), "a neighbour's event does not arrive")
        let other = neighbourKey
        var arrived = 0
        let ledger = ledger
        let key = key
        poller.round(violated: { _, _ in arrived = -9 }) { from, record in
            if from == other { arrived += 1 }
            if from == key { ledger.append(record) }
        }
        try Fault.unless(arrived == 1, "a neighbour's event is not read")
        ledger.commit()
        // At its end: the lane is read to its end.
        let attempt = nextAttempt
        guard var reader = poller.remove(key) else { throw Fault("no lane") }
        let totals = try Self.finish(&reader, ledger)
        let outcome = ledger.durable == attempt
        lengths.append(length)
        if outcome { accepted.append(attempt) }
        try Fault.unless(outcome || !isFinished || !fits, "an event that was published is not there")
        try Fault.unless(fits || !outcome, "an event found room in a full lane")
        try Fault.unless(totals.attempted == attempt || (totals.attempted == attempt - 1 && !isFinished), "attempts: \(totals)")
        try check(totals)
        return outcome
    }

    private mutating func afterConsumer() throws -> Outcome {
        // As a collector that starts again gets the descriptors.
        let adopted = try LaneMemory(
            adopting: memory.control.duplicate(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        var successor = try LanePoller(capacity: 2)
        let durable = attack.breach == .noDurable ? 0 : ledger.durable
        let successorKey = try successor.add(adopted, durable: durable)
        let ledger = ledger
        func read(_ poller: inout LanePoller, timeout: Duration) throws -> Int {
            var violation: LaneViolation?
            var count = 0
            var timeout = timeout
            while try poller.wait(timeout: timeout).contains(.lanes) {
                timeout = .zero
                count += poller.round(violated: { violation = $1 }) { _, record in ledger.append(record) }
                ledger.commit()
                _ = poller.withLane(successorKey) { $0.acknowledge(upTo: $0.mark, checkpoint: 2) }
            }
            if let violation { throw Fault("violation: \(violation)") }
            return count
        }
        _ = try read(&successor, timeout: .zero)
        // It sleeps. What comes now must wake it.
        for length in [160, 8] {
            let before = accepted.count
            publish(length: length)
            try Fault.unless(accepted.count == before + 1, "no room, though all is acknowledged")
            try Fault.unless(try read(&successor, timeout: never) == 1, "the successor was not woken")
        }
        guard var reader = successor.remove(successorKey) else { throw Fault("no lane") }
        let totals = try Self.finish(&reader, ledger)
        try Fault.unless(totals.attempted == writer.attempted, "attempts: \(totals)")
        try check(totals)
        return true
    }

    /// The victim was held up: the other side goes on until it sleeps, then the victim goes on.
    mutating func duringHold(_ victim: pid_t) throws -> Outcome {
        switch attack.victim {
        case .producer(let length):
            let fits = attack.fill != .full
            try consume(acknowledging: attack.fill != .full)
            attack_release(victim)
            let attempt = nextAttempt
            if fits && ledger.durable != attempt {
                try consume(timeout: never)
                try Fault.unless(ledger.durable == attempt, "the sleeping consumer was not woken")
            }
            try Fault.unless(attack_wait(victim) == 0, "the producer failed")
            try consume()
            guard var reader = poller.remove(key) else { throw Fault("no lane") }
            let totals = try Self.finish(&reader, ledger)
            lengths.append(length)
            if ledger.durable == attempt { accepted.append(attempt) }
            try Fault.unless(totals.attempted == attempt && fits == (ledger.durable == attempt), "attempts: \(totals)")
            try check(totals)
        case .consumer:
            // Room is where the victim has acknowledged; else it is dropped, and counted.
            publish(length: 41)
            ledger.wanted = UInt64(accepted.count)
            attack_release(victim)
            try Fault.unless(attack_wait(victim) == 0, "the consumer stalled or found a violation")
            try checkEvents()
        }
        return true
    }

    private static func finish(_ reader: inout LaneReader, _ ledger: Ledger) throws -> LaneTotals {
        do throws(LaneViolation) {
            while try reader.drain({ ledger.append($0) }) > 0 {}
            ledger.commit()
            return try reader.finish()
        } catch {
            throw Fault("violation: \(error)")
        }
    }

    /// Each accepted event once, in order, byte for byte.
    private func checkEvents() throws {
        let entries = ledger.entries
        try Fault.unless(entries.map(\.attemptedAt) == accepted, "lost or doubled: \(entries.count) of \(accepted.count) are there")
        var last: UInt64 = 0
        for entry in entries {
            let length = lengths[Int(entry.attemptedAt) - 1]
            let isIntact =
                entry.type == Self.type(entry.attemptedAt) && entry.payload == (0..<length).map { Self.byte(entry.attemptedAt, $0) }
            try Fault.unless(isIntact, "event \(entry.attemptedAt) is torn")
            try Fault.unless(entry.attemptedAt == last + entry.lostBefore + 1, "a loss before event \(entry.attemptedAt) is misplaced")
            last = entry.attemptedAt
        }
    }

    /// And attempted = delivered + lost.
    private func check(_ totals: LaneTotals) throws {
        try checkEvents()
        try Fault.unless(
            totals.attempted == totals.delivered + totals.lost && totals.delivered == UInt64(accepted.count), "account: \(totals)")
    }
}
