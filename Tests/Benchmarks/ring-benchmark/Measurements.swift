import CBenchmark
import Glibc
import RingPattern
import SeededRandom
import Synchronization
import TermspanCore
import TermspanRing
import TermspanSystem

/// One run of one measurement: a few numbers, by name.
typealias Figures = [(name: String, value: Double)]

enum Measurements {
    /// Percentiles of nanoseconds.
    private static func percentiles(_ samples: [UInt64]) -> Figures {
        let sorted = samples.sorted()
        func at(_ share: Double) -> Double { Double(sorted[min(sorted.count - 1, Int(Double(sorted.count) * share))]) }
        return [("p50", at(0.5)), ("p99", at(0.99)), ("p99.9", at(0.999))]
    }

    private static func failed(_ what: String) -> Never {
        print("wrong: \(what)")
        exit(1)
    }

    /// Both sides in one thread: what the code costs, without moving cache lines.
    static func oneThread(events: Int) throws -> Figures {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try LaneWriter(
            control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        let bytes = [UInt8](repeating: 7, count: 40)
        let time = BootInstant.now()
        var publishing: UInt64 = 0
        var draining: UInt64 = 0
        var sum = 0
        let rounds = events / 64
        for _ in 0..<rounds {
            let start = monotonicNanoseconds()
            bytes.withUnsafeBytes { buffer in
                for _ in 0..<64 { writer.publish(type: 1, time: time, payload: buffer) }
            }
            let middle = monotonicNanoseconds()
            try reader.drain { sum += Int($0.payload[39]) }
            reader.acknowledge(upTo: reader.mark, checkpoint: 1)
            publishing += middle - start
            draining += monotonicNanoseconds() - middle
        }
        guard sum == rounds * 64 * 7 else { failed("one thread") }
        let count = Double(rounds * 64)
        return [("publish", Double(publishing) / count), ("drain", Double(draining) / count)]
    }

    /// Two processes, as fast as it goes, every event checked.
    ///
    /// - Parameter byPoller: Whether the receiver is the collector's loop, or spins on the lane alone.
    static func flood(events: Int, byPoller: Bool) throws -> Figures {
        let peer = try RunningPeer(.flood, count: events)
        var next: UInt64 = 0
        var last: UInt64 = 0
        var wrong = 0
        var start: UInt64 = 0
        func check(_ record: LaneRecord) {
            if next == 0 { start = monotonicNanoseconds() }
            if record.payload.load(as: UInt64.self) != next || record.attemptedAt != last + record.lostBefore + 1 { wrong += 1 }
            next += 1
            last = record.attemptedAt
        }
        let totals: LaneTotals
        let end: UInt64
        if byPoller {
            var poller = try LanePoller(capacity: 1)
            let key = try poller.add(peer.memory)
            peer.go()
            while next < UInt64(events) {
                _ = try poller.wait()
                poller.round(violated: { _, _ in failed("violation") }) { _, record in check(record) }
                poller.withLane(key) { if $0.isHalfFull { $0.acknowledge(upTo: $0.mark, checkpoint: 1) } }
            }
            end = monotonicNanoseconds()
            _ = try peer.process.reap()
            guard var reader = poller.remove(key) else { failed("lane") }
            totals = try reader.finish()
        } else {
            var reader = try LaneReader(peer.memory, in: Arena(capacity: 1))
            peer.go()
            while next < UInt64(events) {
                if try reader.drain(check) == 0 { benchmark_relax() }
                if reader.isHalfFull { reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
            }
            end = monotonicNanoseconds()
            _ = try peer.process.reap()
            totals = try reader.finish()
        }
        guard wrong == 0, totals.attempted == totals.delivered + totals.lost, totals.delivered == UInt64(events) else { failed("flood") }
        return [("ns/event", Double(end - start) / Double(events)), ("refused %", 100 * Double(totals.lost) / Double(totals.attempted))]
    }

    static func socketFlood(events: Int) throws -> Figures {
        let peer = try RunningPeer(.socketFlood, count: events)
        var buffer = [UInt64](repeating: 0, count: 8)
        peer.go()
        var start: UInt64 = 0
        for number in 0..<events {
            while recv(peer.socket.raw, &buffer, 64, 0) != 64 {}
            if buffer[0] != UInt64(number) { failed("socket") }
            if number == 0 { start = monotonicNanoseconds() }
        }
        let end = monotonicNanoseconds()
        _ = try peer.process.reap()
        return [("ns/event", Double(end - start) / Double(events))]
    }

    /// One way, the reader spinning.
    static func laneAwake(samples count: Int) throws -> Figures {
        let peer = try RunningPeer(.lane, count: count, pause: 5_000)
        var reader = try LaneReader(peer.memory, in: Arena(capacity: 1))
        var samples: [UInt64] = []
        samples.reserveCapacity(count)
        peer.go()
        while samples.count < count {
            let read = try reader.drain { samples.append(monotonicNanoseconds() &- $0.payload.load(as: UInt64.self)) }
            if reader.isHalfFull { reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
            if read == 0 { benchmark_relax() }
        }
        _ = try peer.process.reap()
        return percentiles(samples)
    }

    /// The floor: one cache line handed over.
    static func lineAwake(samples count: Int) throws -> Figures {
        let peer = try RunningPeer(.line, count: count, pause: 5_000)
        let word = (peer.page.base + Peer.wordOffset).assumingMemoryBound(to: Atomic<UInt32>.self)
        let stamp = (peer.page.base + Peer.stampOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        var samples: [UInt64] = []
        samples.reserveCapacity(count)
        var seen: UInt32 = 0
        peer.go()
        while seen < UInt32(count) {
            let now = word.pointee.load(ordering: .acquiring)
            if now != seen {
                samples.append(monotonicNanoseconds() &- stamp.pointee.load(ordering: .relaxed))
                seen = now
            } else {
                benchmark_relax()
            }
        }
        _ = try peer.process.reap()
        return percentiles(samples)
    }

    /// One way, the reader asleep in a poller that holds other lanes as well.
    static func laneAsleep(samples count: Int, otherLanes: Int) throws -> Figures {
        let peer = try RunningPeer(.lane, count: count, pause: 200_000)
        var poller = try LanePoller(capacity: otherLanes + 1)
        for lane in 0..<otherLanes { _ = try poller.add(LaneMemory(lane: UInt32(lane), generation: 2)) }
        let key = try poller.add(peer.memory)
        var samples: [UInt64] = []
        samples.reserveCapacity(count)
        _ = try poller.wait(timeout: .zero)
        peer.go()
        while samples.count < count {
            _ = try poller.wait()
            poller.round(violated: { _, _ in failed("violation") }) { _, record in
                samples.append(monotonicNanoseconds() &- record.payload.load(as: UInt64.self))
            }
            poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) }
        }
        _ = try peer.process.reap()
        return percentiles(samples)
    }

    static func socketAsleep(samples count: Int) throws -> Figures {
        let peer = try RunningPeer(.socket, count: count, pause: 200_000)
        var buffer = [UInt64](repeating: 0, count: 8)
        var samples: [UInt64] = []
        samples.reserveCapacity(count)
        peer.go()
        for _ in 0..<count {
            while recv(peer.socket.raw, &buffer, 64, 0) != 64 {}
            samples.append(monotonicNanoseconds() &- buffer[0])
        }
        _ = try peer.process.reap()
        return percentiles(samples)
    }

    /// The floor: one futex wake.
    static func futexAsleep(samples count: Int) throws -> Figures {
        let peer = try RunningPeer(.futex, count: count, pause: 200_000)
        let raw = (peer.page.base + Peer.wordOffset).assumingMemoryBound(to: UInt32.self)
        let word = (peer.page.base + Peer.wordOffset).assumingMemoryBound(to: Atomic<UInt32>.self)
        let stamp = (peer.page.base + Peer.stampOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
        var samples: [UInt64] = []
        samples.reserveCapacity(count)
        var seen: UInt32 = 0
        peer.go()
        while seen < UInt32(count) {
            benchmark_futex_wait(raw, seen)
            let now = word.pointee.load(ordering: .sequentiallyConsistent)
            if now != seen {
                samples.append(monotonicNanoseconds() &- stamp.pointee.load(ordering: .relaxed))
                seen = now
            }
        }
        _ = try peer.process.reap()
        return percentiles(samples)
    }

    /// Kills producers at random moments and checks that nothing committed is lost or torn.
    static func kills(_ count: Int) throws {
        var random = SeededRandom(seed: UInt64(count))
        let arena = try Arena(capacity: 1)
        var delivered: UInt64 = 0
        var stalls = 0
        for _ in 0..<count {
            let peer = try RunningPeer(.pattern, count: .max)
            var reader = try LaneReader(peer.memory, in: arena)
            let stamp = (peer.page.base + Peer.stampOffset).assumingMemoryBound(to: Atomic<UInt64>.self)
            var last: UInt64 = 0
            var wrong = 0
            func check(_ record: LaneRecord) {
                if !RingPattern(attempt: record.attemptedAt).matches(type: record.type, payload: record.payload) { wrong += 1 }
                if record.attemptedAt != last + record.lostBefore + 1 { wrong += 1 }
                last = record.attemptedAt
            }
            peer.go()
            let deadline = monotonicNanoseconds() + random.next() % 2_000_000
            while monotonicNanoseconds() < deadline {
                if try reader.drain(check) > 0 { reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
            }
            try peer.process.signal(SIGKILL)
            _ = try peer.process.reap()
            while try reader.drain(check) > 0 {}
            if last < stamp.pointee.load(ordering: .relaxed) { stalls += 1 }
            let totals = try reader.finish()
            guard wrong == 0, totals.attempted == totals.delivered + totals.lost else { failed("kills") }
            delivered += totals.delivered
        }
        print("\(count) kills, \(delivered) events: 0 torn, \(stalls) committed lost")
        if stalls > 0 { exit(1) }
    }
}
