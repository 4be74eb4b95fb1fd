import Glibc
import SeededRandom
import TermspanCore
import TermspanRing
import TermspanSystem

/// What went wrong.
struct Finding: Error, CustomStringConvertible {
    enum Kind: Equatable {
        /// By the consumer.
        case told(Ledger.Problem)
        /// What is committed is not read.
        case stall
        /// A lane was not read to its end.
        case open
        /// A lane's sums are not what its source says.
        case account
        /// A process did not start, or ended by itself.
        case process
    }

    let kind: Kind
    let description: String

    init(_ kind: Kind, _ description: String) {
        self.kind = kind
        self.description = description
    }
}

/// Starts the sources and the consumer, keeps the lanes' descriptors as systemd does, kills and holds up either at random, and looks at each lane's
/// account when it is closed.
final class Soak {
    private struct Counts {
        var lanes = 0
        var kills = 0
        var ends = 0
        var restarts = 0
        var holds = 0
        var delivered: UInt64 = 0
        var lost: UInt64 = 0
    }

    /// A lane and its source.
    private final class Place {
        let memory: LaneMemory
        let events: Mapping
        let source: ProcessHandle
        /// Its source rings where nobody hears it, on purpose.
        let isMute: Bool
        var wasKilled = false
        var isDead = false
        var died: UInt64 = 0
        /// The consumer was told to read it to its end.
        var isDetached = false
        /// Until when what it waits for has to happen.
        var deadline: UInt64 = 0

        init(_ memory: consuming LaneMemory, source: consuming ProcessHandle, isMute: Bool) throws {
            self.isMute = isMute
            events = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: false)
            self.memory = memory
            self.source = source
        }

        /// As the source says.
        var attempted: UInt64 { Words(events.base)[0] }
    }

    private final class Running {
        let process: ProcessHandle
        let socket: OwnedDescriptor

        init(_ process: consuming ProcessHandle, socket: consuming OwnedDescriptor) {
            self.process = process
            self.socket = socket
        }
    }

    private let count: Int
    private let breach: Breach?
    private var random: SeededRandom
    private let ledgerFile: OwnedDescriptor
    private let ledgers: Mapping
    private let witnessFile: OwnedDescriptor
    private let witnesses: Mapping
    private var places: [Place?]
    private var consumer: Running?
    private var generation: UInt64 = 0
    private var counts = Counts()
    /// Of the processes that are held up, who it is and until when; -1 is the consumer.
    private var held: [(place: Int, until: UInt64)] = []

    init(places count: Int, seed: UInt64, breach: Breach?) throws {
        self.count = count
        self.breach = breach
        random = SeededRandom(seed: seed)
        ledgerFile = try OwnedDescriptor.memoryFile(name: "ledgers", size: count * Ledger.size)
        ledgers = try Mapping(ledgerFile, length: count * Ledger.size, writable: true)
        witnessFile = try OwnedDescriptor.memoryFile(name: "witnesses", size: Witness.size(count))
        witnesses = try Mapping(witnessFile, length: Witness.size(count), writable: true)
        places = (0..<count).map { _ in nil }
    }

    private func ledger(_ place: Int) -> Ledger { Ledger(ledgers.base, place: place) }
    private func witness(_ place: Int) -> Witness { Witness(witnesses.base, place: place) }

    /// Runs for so long, then has all sources end, and everything read.
    func run(seconds: Double) throws {
        defer { end() }
        try startConsumer()
        for place in 0..<count { try startSource(place) }
        let begin = monotonicNanoseconds()
        let end = begin + UInt64(seconds * 1e9)
        while monotonicNanoseconds() < end {
            try disturb()
            try look(startsAnew: true)
            sleep(for: .milliseconds(1))
        }
        witness(0).isStopped = true
        try letGo(until: .max)
        while places.contains(where: { $0 != nil }) {
            try look(startsAnew: false)
            sleep(for: .milliseconds(1))
        }
    }

    var summary: String {
        "\(counts.delivered) events, \(counts.lost) lost, \(counts.lanes) lanes, of whose sources \(counts.kills) were killed and \(counts.ends) ended; "
            + "\(counts.restarts) restarts of the consumer, \(counts.holds) times one was held up"
    }

    private func end() {
        for case .some(let place) in places where !place.isDead {
            try? place.source.signal(SIGKILL)
            _ = try? place.source.reap()
        }
        try? consumer?.process.signal(SIGKILL)
        _ = try? consumer?.process.reap()
    }

    // MARK: Processes

    private func startConsumer() throws {
        var ours: Int32 = -1
        var process: ProcessHandle?
        try SocketPair().split { (near: consuming OwnedDescriptor, far: consuming OwnedDescriptor) throws in
            process = try ProcessHandle.spawn(
                "/proc/self/exe", ["consumer", String(count), String(random.next()), breach?.rawValue ?? "none"],
                descriptors: [-1, 2, 2, far.raw, ledgerFile.raw])
            ours = near.release()
        }
        guard let process else { throw Finding(.process, "no consumer") }
        consumer = Running(process, socket: OwnedDescriptor(ours))
        // Those that were kept; of a lane that was closed nothing is left to read.
        for (index, place) in places.enumerated() {
            guard let place, ledger(index).totals == nil else { continue }
            try attach(index, place)
            if place.isDetached { try detach(index) }
        }
    }

    private func attach(_ index: Int, _ place: Place) throws {
        guard let consumer else { return }
        let descriptors = [place.memory.control.raw, place.memory.events.raw, place.memory.doorbell.raw]
        _ = try send([1, UInt8(index & 0xFF), UInt8(index >> 8)], descriptors: descriptors, to: consumer.socket)
    }

    private func detach(_ index: Int) throws {
        guard let consumer else { return }
        _ = try send([2, UInt8(index & 0xFF), UInt8(index >> 8)], to: consumer.socket)
    }

    /// A new lane with a new source; no lane is used for a second one.
    private func startSource(_ index: Int) throws {
        generation += 1
        // Some sequences wrap around.
        let first: UInt64 = generation % 3 == 0 ? 0xFFFF_F000 : generation % 7 == 0 ? .max - 3_000 : 0
        ledger(index).clear()
        witness(index).clear()
        let memory = try LaneMemory(lane: UInt32(index), generation: generation, firstSequence: first)
        let isMute = breach == .mute && random.next() % 4 == 0
        let process = try spawnSource(index, memory, breach: breach == .again ? nil : breach, isMute: isMute)
        let place = try Place(memory, source: process, isMute: isMute)
        places[index] = place
        counts.lanes += 1
        try attach(index, place)
    }

    private func spawnSource(_ index: Int, _ memory: borrowing LaneMemory, breach: Breach?, isMute: Bool = false) throws -> ProcessHandle {
        let control = try memory.controlForProducer()
        let unheard = try EventCounter()
        return try ProcessHandle.spawn(
            "/proc/self/exe",
            ["source", String(index), String(count), String(memory.generation), String(random.next()), breach?.rawValue ?? "none"],
            descriptors: [
                -1, 2, 2, control.raw, memory.events.raw, isMute ? unheard.descriptor.raw : memory.doorbell.raw, witnessFile.raw,
            ])
    }

    // MARK: Disturbances

    private func disturb() throws {
        let now = monotonicNanoseconds()
        try letGo(until: now)
        let index = Int(random.next() % UInt64(count))
        switch random.next() % 400 {
        case 0..<12:
            guard let place = places[index], !place.isDead else { return }
            place.wasKilled = true
            try place.source.signal(SIGKILL)
        case 12..<15:
            // A new one looks at all lanes: it would hide that a doorbell was not heard.
            guard !places.contains(where: { $0.map { $0.isDead && !$0.isDetached && now - $0.died > 50_000_000 } ?? false }) else { return }
            try consumer?.process.signal(SIGKILL)
            guard case .signalled(SIGKILL) = try consumer?.process.reap() else {
                throw Finding(.process, "the consumer ended by itself")
            }
            held.removeAll { $0.place == -1 }
            counts.restarts += 1
            try startConsumer()
        case 15..<25:
            guard let place = places[index], !place.isDead else { return }
            try place.source.signal(SIGSTOP)
            held.append((index, now + random.next() % 50_000_000))
            counts.holds += 1
        case 25..<27:
            try consumer?.process.signal(SIGSTOP)
            held.append((-1, now + random.next() % 50_000_000))
            counts.holds += 1
        default:
            break
        }
    }

    private func letGo(until now: UInt64) throws {
        for (index, _) in held where held.contains(where: { $0.place == index && $0.until <= now }) {
            if index == -1 {
                try consumer?.process.signal(SIGCONT)
            } else if let place = places[index], !place.isDead {
                try place.source.signal(SIGCONT)
            }
        }
        held.removeAll { $0.until <= now }
    }

    // MARK: What has to hold

    /// How long what is committed may wait; a loaded machine can take long. Where it waits on purpose nobody waits for it.
    private static func patience(_ place: Place) -> UInt64 { place.isMute ? 2_000_000_000 : 60_000_000_000 }

    private func look(startsAnew: Bool) throws {
        if let consumer, try consumer.process.hasEnded() { throw Finding(.process, "the consumer ended by itself") }
        for index in 0..<count {
            guard let place = places[index] else { continue }
            // Before the problem: who sees the account of a lane sees what the consumer told of it.
            let totals = ledger(index).totals
            if let (what, event) = ledger(index).problem {
                throw Finding(.told(what), "\(what) in lane \(index) of generation \(place.memory.generation), event \(event)")
            }
            if !place.isDead {
                guard try place.source.hasEnded() else { continue }
                let status = try place.source.reap()
                if breach == .again, place.wasKilled {
                    _ = try spawnSource(index, place.memory, breach: .again).reap()
                }
                guard place.wasKilled || status == .exited(0) else {
                    throw Finding(.process, "source \(index) ended with \(status, default: "nothing")")
                }
                place.isDead = true
                place.died = monotonicNanoseconds()
                place.deadline = place.died + Self.patience(place)
            } else if !place.isDetached {
                // Its doorbell has to have woken the consumer; only then is the lane read without.
                if ledger(index).seen >= witness(index).last {
                    place.isDetached = true
                    place.deadline = monotonicNanoseconds() + Self.patience(place)
                    try detach(index)
                } else if monotonicNanoseconds() > place.deadline {
                    throw Finding(.stall, "lane \(index) stalls at event \(ledger(index).seen), \(witness(index).last) is committed")
                }
            } else if let totals {
                try judge(index, place, totals)
                places[index] = nil
                if startsAnew { try startSource(index) }
            } else if monotonicNanoseconds() > place.deadline {
                throw Finding(.open, "lane \(index) is not closed")
            }
        }
    }

    /// A closed lane's account against what the source says, which may have been killed between an event and what it noted of it.
    private func judge(_ index: Int, _ place: Place, _ totals: (attempted: UInt64, delivered: UInt64, lost: UInt64)) throws {
        let witness = witness(index)
        let checkpoint = ledger(index).checkpoint
        func wrong(_ what: String) -> Finding {
            Finding(
                .account,
                "\(what) in lane \(index) of generation \(place.memory.generation): attempted \(totals.attempted), delivered \(totals.delivered), lost "
                    + "\(totals.lost); its source published \(witness.published) and dropped \(witness.dropped)")
        }
        let isOneMore = checkpoint.delivered == witness.published + 1
        guard totals.attempted == totals.delivered + totals.lost, totals.attempted == place.attempted else { throw wrong("sums") }
        guard totals.delivered == checkpoint.delivered else { throw wrong("delivered") }
        guard checkpoint.delivered == witness.published || place.wasKilled && isOneMore else { throw wrong("published") }
        let rest = totals.attempted - min(totals.attempted, witness.published + witness.dropped)
        guard rest == 0 || place.wasKilled && rest == 1, totals.attempted >= witness.published + witness.dropped else {
            throw wrong("dropped")
        }
        let sum = isOneMore ? witness.sum &+ SeededRandom.mix(checkpoint.attemptedAt) : witness.sum
        guard checkpoint.sum == sum else { throw wrong("other events") }
        counts.delivered += totals.delivered
        counts.lost += totals.lost
        counts.kills += place.wasKilled ? 1 : 0
        counts.ends += place.wasKilled ? 0 : 1
    }
}
