import CBenchmark
import Glibc
import RingPattern
import Synchronization
import TermspanCore
import TermspanRing
import TermspanSystem

/// The other process: the same program, which sends as it is told to.
///
/// Its descriptors: 3 to 5 a lane's control, events and doorbell, 6 a shared page, 7 a SEQPACKET socket.
enum Peer {
    /// What is measured, and how the peer sends for it.
    enum Task: String, CaseIterable {
        /// As many events as possible.
        case flood
        /// Datagrams as fast as they are taken.
        case socketFlood
        /// Bursts of events with pauses, each event with its time, and how long publishing took.
        case publish
        /// One event, datagram or word at a time, with pauses.
        case lane
        /// As `lane`, over lanes that come through the socket, one after the other.
        case lanes
        case socket
        case futex
        case line
        /// As `flood`, with the pattern that tells whether an event is whole.
        case pattern
    }

    /// Events of a burst.
    static let batch = 64

    /// Where the peer is while it waits for its start, in the shared page.
    static let startOffset = 0
    /// The word that a futex or a cache line hands over: its own line.
    static let wordOffset = 128
    /// The moment at which that word was sent.
    static let stampOffset = 136

    static func run(_ arguments: [String]) throws {
        guard arguments.count == 3, let task = Task(rawValue: arguments[0]), let count = Int(arguments[1]), let pause = UInt64(arguments[2])
        else { exit(2) }
        // The receiver's own processor was inherited; where there is no other one, this fails and changes nothing.
        _ = benchmark_pin(0)
        let page = try Mapping(OwnedDescriptor(6), length: 4096, writable: true)
        let socket = OwnedDescriptor(7)
        var writer = try LaneWriter(control: OwnedDescriptor(3), events: OwnedDescriptor(4), doorbell: OwnedDescriptor(5))
        let start = (page.base + startOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        let word = (page.base + wordOffset).assumingMemoryBound(to: UInt32.self)
        let atomicWord = (page.base + wordOffset).assumingMemoryBound(to: Atomic<UInt32>.self)
        let stamp = (page.base + stampOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: LaneLayout.maximumPayload, alignment: 8)
        buffer.initializeMemory(as: UInt8.self, repeating: 0)
        let record = UnsafeRawBufferPointer(rebasing: buffer[..<40])
        let time = BootInstant.now()
        var writers: [UnsafeMutablePointer<LaneWriter>] = []
        start.pointee.store(1, ordering: .releasing)
        if task == .lanes {
            while true {
                guard var message = try receive(limit: 1, from: socket), message.descriptors.count == 3,
                    let control = message.takeDescriptor(0), let events = message.takeDescriptor(1),
                    let doorbell = message.takeDescriptor(2)
                else { break }
                let place = UnsafeMutablePointer<LaneWriter>.allocate(capacity: 1)
                place.initialize(to: try LaneWriter(control: control, events: events, doorbell: doorbell))
                writers.append(place)
            }
        }
        while start.pointee.load(ordering: .acquiring) != 2 { benchmark_relax() }

        // Every page is there on both sides before anything is measured; these events have no time.
        for place in writers {
            for _ in 0..<LaneLayout.slotCount {
                while place.pointee.publish(type: 1, time: time, payload: record) == .dropped { benchmark_relax() }
            }
        }

        func pauseBetween() {
            // Spinning, so that the sender's own waking is not measured.
            let until = monotonicNanoseconds() + pause
            while monotonicNanoseconds() < until { benchmark_relax() }
        }
        for number in 0..<count {
            switch task {
            case .flood:
                buffer.storeBytes(of: UInt64(number), as: UInt64.self)
                while writer.publish(type: 1, time: time, payload: record) == .dropped { benchmark_relax() }
            case .publish:
                guard number % batch == 0 else { continue }
                pauseBetween()
                let begin = monotonicNanoseconds()
                for index in number..<min(number + batch, count) {
                    buffer.storeBytes(of: UInt64(index), as: UInt64.self)
                    writer.publish(type: 1, time: .now(), payload: record)
                }
                stamp.pointee.wrappingAdd(monotonicNanoseconds() - begin, ordering: .relaxed)
            case .pattern:
                let pattern = RingPattern(attempt: writer.attempted + 1)
                if writer.publish(type: pattern.type, time: time, payload: pattern.fill(buffer)) == .published {
                    stamp.pointee.store(writer.attempted, ordering: .relaxed)
                }
            case .socketFlood:
                var bytes: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (UInt64(number), 0, 0, 0, 0, 0, 0, 0)
                while Glibc.send(socket.raw, &bytes, 64, 0) != 64 {}
            case .lane:
                pauseBetween()
                // Full only if the receiver was kept from running for a while.
                repeat {
                    buffer.storeBytes(of: monotonicNanoseconds(), as: UInt64.self)
                } while writer.publish(type: 1, time: time, payload: record) == .dropped
            case .lanes:
                pauseBetween()
                // Each lane after the one that is 97 further: no two neighbours, and all of them.
                let place = writers[number * 97 % writers.count]
                buffer.storeBytes(of: monotonicNanoseconds(), as: UInt64.self)
                place.pointee.publish(type: 1, time: time, payload: record)
            case .socket:
                pauseBetween()
                var bytes: (UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64, UInt64) = (monotonicNanoseconds(), 0, 0, 0, 0, 0, 0, 0)
                while Glibc.send(socket.raw, &bytes, 64, 0) != 64 {}
            case .futex:
                pauseBetween()
                stamp.pointee.store(monotonicNanoseconds(), ordering: .relaxed)
                atomicWord.pointee.wrappingAdd(1, ordering: .sequentiallyConsistent)
                benchmark_futex_wake(word)
            case .line:
                pauseBetween()
                stamp.pointee.store(monotonicNanoseconds(), ordering: .relaxed)
                atomicWord.pointee.wrappingAdd(1, ordering: .releasing)
            }
        }
    }
}

/// A peer that has been started, and what it shares with us.
struct RunningPeer: ~Copyable {
    let process: ProcessHandle
    let memory: LaneMemory
    let page: Mapping
    let socket: OwnedDescriptor

    init(_ task: Peer.Task, count: Int, pause: UInt64 = 0) throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        let file = try OwnedDescriptor.memoryFile(name: "benchmark", size: 4096)
        let page = try Mapping(file, length: 4096, writable: true)
        let control = try memory.controlForProducer()
        var ours: Int32 = -1
        var process: ProcessHandle?
        try SocketPair().split { (near: consuming OwnedDescriptor, far: consuming OwnedDescriptor) throws in
            process = try ProcessHandle.spawn(
                "/proc/self/exe", ["peer", task.rawValue, String(count), String(pause)],
                descriptors: [-1, 2, 2, control.raw, memory.events.raw, memory.doorbell.raw, file.raw, far.raw])
            ours = near.release()
        }
        guard let process else { exit(1) }
        let start = (page.base + Peer.startOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        while start.pointee.load(ordering: .acquiring) != 1 {
            if try process.hasEnded() { throw SystemError(code: ECHILD, operation: "peer") }
            sched_yield()
        }
        self.process = process
        self.memory = memory
        self.page = page
        socket = OwnedDescriptor(ours)
    }

    /// What the peer measured or sent last.
    var stamp: UInt64 {
        (page.base + Peer.stampOffset).assumingMemoryBound(to: Atomic<UInt64>.self).pointee.load(ordering: .relaxed)
    }

    /// Gives the peer a lane more.
    func send(_ memory: borrowing LaneMemory) throws {
        let control = try memory.controlForProducer()
        _ = try TermspanSystem.send([1], descriptors: [control.raw, memory.events.raw, memory.doorbell.raw], to: socket)
    }

    func endOfLanes() throws {
        _ = try TermspanSystem.send([0], to: socket)
    }

    func go() {
        let start = (page.base + Peer.startOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        start.pointee.store(2, ordering: .releasing)
    }
}
