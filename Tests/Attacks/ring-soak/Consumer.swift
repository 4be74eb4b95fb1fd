import Glibc
import RingPattern
import SeededRandom
import Synchronization
import TermspanCore
import TermspanRing
import TermspanSystem

/// The consumer, a process of its own: the collector's loop over all lanes. It checks every event, commits at random moments, and then gives the
/// slots back. It begins with what its predecessor made durable.
///
/// Its descriptors: 3 the socket by which lanes come, 4 the ledgers.
final class Consumer {
    enum Command {
        case attach(place: Int, control: Int32, events: Int32, doorbell: Int32)
        /// The source has ended: the lane is read to its end and closed.
        case detach(place: Int)
    }

    private struct Place {
        var key: LaneKey?
        var generation: UInt64 = 0
        var state = Ledger.Checkpoint()
        var isDirty = false
        /// How far it was when the last commit took it.
        var mark: LaneMark?
    }

    private let poller: UnsafeMutablePointer<LanePoller>
    private let places: UnsafeMutablePointer<Place>
    private let count: Int
    private let memory: Mapping
    /// The place of the lane at each of the poller's.
    private let owners: UnsafeMutablePointer<Int>
    private var random: SeededRandom
    private let breach: Breach?
    private var due: UInt64?

    private init(places count: Int, seed: UInt64, breach: Breach?) throws {
        poller = .allocate(capacity: 1)
        poller.initialize(to: try LanePoller(capacity: count))
        places = .allocate(capacity: count)
        places.initialize(repeating: Place(), count: count)
        owners = .allocate(capacity: count)
        owners.initialize(repeating: 0, count: count)
        self.count = count
        memory = try Mapping(OwnedDescriptor(4), length: count * Ledger.size, writable: true)
        random = SeededRandom(seed: seed)
        self.breach = breach
    }

    private func ledger(_ place: Int) -> Ledger { Ledger(memory.base, place: place) }

    /// Runs until it is killed, or until whoever started it is gone.
    static func run(places: Int, seed: UInt64, breach: Breach?) throws {
        let inbox = Inbox()
        let consumer = try Consumer(places: places, seed: seed, breach: breach)
        let waker = consumer.poller.pointee.waker
        _ = try Thread(name: "commands") {
            let socket = OwnedDescriptor(3)
            while let command = Self.next(socket) {
                inbox.commands.withLock { $0.append(command) }
                waker.wake()
            }
            _exit(0)
        }
        while true { try consumer.turn(inbox) }
    }

    private final class Inbox: Sendable {
        let commands = Mutex<[Command]>([])
    }

    private static func next(_ socket: borrowing OwnedDescriptor) -> Command? {
        guard var message = try? receive(limit: 3, from: socket), message.bytes.count == 3 else { return nil }
        let place = Int(message.bytes[1]) | Int(message.bytes[2]) << 8
        guard message.bytes[0] == 1 else { return .detach(place: place) }
        guard let control = message.takeDescriptor(0), let events = message.takeDescriptor(1), let doorbell = message.takeDescriptor(2)
        else {
            return nil
        }
        return .attach(place: place, control: control.release(), events: events.release(), doorbell: doorbell.release())
    }

    private func turn(_ inbox: Inbox) throws {
        let timeout = due.map { Duration.nanoseconds(Int64(clamping: $0 - min($0, monotonicNanoseconds()))) }
        let wake = try poller.pointee.wait(timeout: timeout)
        if wake.contains(.commands) {
            let commands = inbox.commands.withLock { commands in
                defer { commands = [] }
                return commands
            }
            for command in commands { obey(command) }
        }
        if wake.contains(.lanes) {
            poller.pointee.round(violated: { key, _ in report(.violation, of: owner(key), event: 0) }) { key, record in
                take(record, of: owner(key))
            }
        }
        if breach == .early {
            poller.pointee.forEachLane { _, reader in reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
        }
        if let due, due <= monotonicNanoseconds() { commit() }
    }

    private func owner(_ key: LaneKey) -> Int { owners[Int(truncatingIfNeeded: key.rawValue & 0xFFFF_FFFF)] }

    private func report(_ problem: Ledger.Problem, of place: Int, event: UInt64) { ledger(place).report(problem, event: event) }

    /// What holds of every event.
    private func take(_ record: LaneRecord, of place: Int) {
        let state = places[place].state
        let isIntact = pattern(record.attemptedAt, generation: places[place].generation).matches(type: record.type, payload: record.payload)
        if !isIntact { report(.torn, of: place, event: record.attemptedAt) }
        if record.attemptedAt != state.attemptedAt + record.lostBefore + 1 { report(.order, of: place, event: record.attemptedAt) }
        if record.time.nanoseconds < state.time || record.time > .now() { report(.time, of: place, event: record.attemptedAt) }
        ledger(place).seen = record.attemptedAt
        if breach == .skipped, random.next() % 5_000 == 0 {
            places[place].state.attemptedAt = record.attemptedAt
            return
        }
        places[place].state = Ledger.Checkpoint(
            attemptedAt: record.attemptedAt, delivered: state.delivered + 1, lost: state.lost + record.lostBefore,
            sum: state.sum &+ SeededRandom.mix(record.attemptedAt), time: record.time.nanoseconds)
        places[place].isDirty = true
        // As the product: soon, or at once after so many of a lane.
        let now = monotonicNanoseconds()
        if due == nil { due = now + random.next() % 30_000_000 }
        if state.delivered % 256 == 255 { due = now }
    }

    /// Makes durable what was read, then acknowledges it; it may die anywhere in between.
    private func commit() {
        due = nil
        for place in 0..<count where places[place].isDirty {
            places[place].isDirty = false
            ledger(place).commit(places[place].state)
            places[place].mark = places[place].key.flatMap { key in poller.pointee.withLane(key) { $0.mark } }
        }
        // The time that a disk takes.
        if random.next() % 4 == 0 { sleep(for: .nanoseconds(Int64(random.next() % 3_000_000))) }
        for place in 0..<count {
            guard let key = places[place].key, let mark = places[place].mark else { continue }
            places[place].mark = nil
            poller.pointee.withLane(key) { $0.acknowledge(upTo: mark, checkpoint: 1) }
        }
    }

    private func obey(_ command: Command) {
        switch command {
        case .attach(let place, let control, let events, let doorbell):
            do {
                let lane = try LaneMemory(
                    adopting: OwnedDescriptor(control), events: OwnedDescriptor(events), doorbell: OwnedDescriptor(doorbell))
                let durable = ledger(place).checkpoint
                let key = try poller.pointee.add(lane, durable: breach == .twice ? 0 : durable.attemptedAt)
                owners[Int(truncatingIfNeeded: key.rawValue & 0xFFFF_FFFF)] = place
                places[place] = Place(key: key, generation: lane.generation, state: durable)
            } catch {
                report(.refused, of: place, event: 0)
            }
        case .detach(let place):
            guard let key = places[place].key, var reader = poller.pointee.remove(key) else { return report(.refused, of: place, event: 0) }
            places[place].key = nil
            do {
                while try reader.drain({ take($0, of: place) }) > 0 {}
                let totals = try reader.finish()
                let state = places[place].state
                // The lane's own count goes over all of its consumers, as ours does.
                if totals.delivered != state.delivered || totals.lost != state.lost + totals.lostAfterLast {
                    report(.totals, of: place, event: totals.delivered)
                }
                ledger(place).commit(state)
                ledger(place).close(totals)
            } catch {
                report(.violation, of: place, event: 0)
            }
            places[place].isDirty = false
        }
    }
}
