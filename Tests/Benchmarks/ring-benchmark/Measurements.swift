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
    /// Durations, in memory of their own as `Checks` are.
    struct Samples {
        private let values: UnsafeMutablePointer<UInt64>
        private let filled = UnsafeMutablePointer<Int>.allocate(capacity: 1)
        private let capacity: Int

        init(capacity: Int) {
            self.capacity = capacity
            values = .allocate(capacity: capacity)
            values.initialize(repeating: 0, count: capacity)
            filled.initialize(to: 0)
        }

        func free() {
            values.deallocate()
            filled.deallocate()
        }

        var count: Int { filled.pointee }
        var isFull: Bool { filled.pointee >= capacity }

        @inline(__always)
        func add(_ value: UInt64) {
            guard !isFull else { return }
            values[filled.pointee] = value
            filled.pointee += 1
        }

        var figures: Figures { percentiles(Array(UnsafeBufferPointer(start: values, count: count))) }
    }

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
    ///
    /// - Parameter byClock: Whether each event is given its time, as a source does; else all have the same.
    static func oneThread(events: Int, byClock: Bool) throws -> Figures {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try LaneWriter(
            control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        let bytes = [UInt8](repeating: 7, count: 40)
        let time = BootInstant.now()
        var publishing: UInt64 = 0
        var draining: UInt64 = 0
        let sum = UnsafeMutablePointer<Int>.allocate(capacity: 1)
        defer { sum.deallocate() }
        sum.pointee = 0
        let rounds = events / Peer.batch
        for _ in 0..<rounds {
            let start = monotonicNanoseconds()
            bytes.withUnsafeBytes { buffer in
                for _ in 0..<Peer.batch { writer.publish(type: 1, time: byClock ? .now() : time, payload: buffer) }
            }
            let middle = monotonicNanoseconds()
            try reader.drain { sum.pointee += Int($0.payload[39]) }
            reader.acknowledge(upTo: reader.mark, checkpoint: 1)
            publishing += middle - start
            draining += monotonicNanoseconds() - middle
        }
        guard sum.pointee == rounds * Peer.batch * 7 else { failed("one thread") }
        let count = Double(rounds * Peer.batch)
        return [("publish", Double(publishing) / count), ("drain", Double(draining) / count)]
    }

    /// What an event costs its source, the clock's reading included, while another process takes it: bursts with pauses.
    static func publishBeside(events: Int) throws -> Figures {
        let peer = try RunningPeer(.publish, count: events, pause: 20_000)
        var reader = try LaneReader(peer.memory, in: Arena(capacity: 1))
        let checks = Checks()
        defer { checks.free() }
        peer.go()
        while checks.next < UInt64(events) {
            if try reader.drain({ checks.see($0) }) == 0 { benchmark_relax() }
            if reader.isHalfFull { reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
        }
        _ = try peer.process.reap()
        let totals = try reader.finish()
        guard checks.wrong == 0, totals.lost == 0 else { failed("publish") }
        return [("publish", Double(peer.stamp) / Double(events))]
    }

    /// What is checked of each event, in memory of its own: a variable that a closure captures would cost more than the ring.
    struct Checks {
        private struct State {
            var next: UInt64 = 0
            var last: UInt64 = 0
            var wrong = 0
            var start: UInt64 = 0
        }

        private let state = UnsafeMutablePointer<State>.allocate(capacity: 1)

        init() {
            state.initialize(to: State())
        }

        func free() {
            state.deallocate()
        }

        /// How many there were, how many of them were not what they had to be, and when the first one came.
        var next: UInt64 { state.pointee.next }
        var wrong: Int { state.pointee.wrong }
        var start: UInt64 { state.pointee.start }

        @inline(__always)
        func see(_ record: LaneRecord) {
            if state.pointee.next == 0 { state.pointee.start = monotonicNanoseconds() }
            if record.payload.load(as: UInt64.self) != state.pointee.next
                || record.attemptedAt != state.pointee.last + record.lostBefore + 1
            {
                state.pointee.wrong += 1
            }
            state.pointee.next += 1
            state.pointee.last = record.attemptedAt
        }
    }

    /// Two processes, as fast as it goes, every event checked.
    ///
    /// - Parameter byPoller: Whether the receiver is the collector's loop, or spins on the lane alone.
    static func flood(events: Int, byPoller: Bool) throws -> Figures {
        let peer = try RunningPeer(.flood, count: events)
        let checks = Checks()
        defer { checks.free() }
        let totals: LaneTotals
        let end: UInt64
        if byPoller {
            var poller = try LanePoller(capacity: 1)
            let key = try poller.add(peer.memory)
            peer.go()
            while checks.next < UInt64(events) {
                _ = try poller.wait()
                poller.round(violated: { _, _ in failed("violation") }) { _, record in checks.see(record) }
                poller.withLane(key) { if $0.isHalfFull { $0.acknowledge(upTo: $0.mark, checkpoint: 1) } }
            }
            end = monotonicNanoseconds()
            _ = try peer.process.reap()
            guard var reader = poller.remove(key) else { failed("lane") }
            totals = try reader.finish()
        } else {
            var reader = try LaneReader(peer.memory, in: Arena(capacity: 1))
            peer.go()
            while checks.next < UInt64(events) {
                if try reader.drain({ checks.see($0) }) == 0 { benchmark_relax() }
                if reader.isHalfFull { reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
            }
            end = monotonicNanoseconds()
            _ = try peer.process.reap()
            totals = try reader.finish()
        }
        guard checks.wrong == 0, totals.attempted == totals.delivered + totals.lost, totals.delivered == UInt64(events) else {
            failed("flood")
        }
        return [
            ("ns/event", Double(end - checks.start) / Double(events)),
            ("refused %", 100 * Double(totals.lost) / Double(totals.attempted)),
        ]
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
        let samples = Samples(capacity: count)
        defer { samples.free() }
        peer.go()
        while !samples.isFull {
            let read = try reader.drain { samples.add(monotonicNanoseconds() &- $0.payload.load(as: UInt64.self)) }
            if reader.isHalfFull { reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
            if read == 0 { benchmark_relax() }
        }
        _ = try peer.process.reap()
        return samples.figures
    }

    /// One way over many lanes, of which one at a time has an event; the poller looks at all of them without ever sleeping.
    static func lanesAwake(samples count: Int, lanes: Int) throws -> Figures {
        let peer = try RunningPeer(.lanes, count: count, pause: 5_000)
        var poller = try LanePoller(capacity: lanes)
        var keys: [LaneKey] = []
        for lane in 0..<lanes {
            let memory = try LaneMemory(lane: UInt32(lane), generation: UInt64(lane + 1))
            try peer.send(memory)
            keys.append(try poller.add(memory))
        }
        try peer.endOfLanes()
        let samples = Samples(capacity: count)
        defer { samples.free() }
        peer.go()
        var read = 0
        let warm = lanes * LaneLayout.slotCount
        while read < warm + count {
            read += poller.round(violated: { _, _ in failed("violation") }) { _, record in
                let sent = record.payload.load(as: UInt64.self)
                // Those that only bring the pages have no time.
                if sent != 0 { samples.add(monotonicNanoseconds() &- sent) }
            }
            if read < warm || read % 65_536 == 65_535 {
                for key in keys { poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) } }
            }
        }
        _ = try peer.process.reap()
        for key in keys {
            guard var reader = poller.remove(key), try reader.finish().lost == 0 else { failed("lanes") }
        }
        return samples.figures
    }

    /// As many lanes as there may be, in one thread: a round in which none of them has anything, one in which each has an event, going to sleep with all of
    /// them, and the memory that they take, in MB, with what is read of each.
    static func manyLanes(_ count: Int, times: Int) throws -> Figures {
        let before = memory()
        var poller = try LanePoller(capacity: count)
        let writers = UnsafeMutablePointer<LaneWriter>.allocate(capacity: count)
        var keys: [LaneKey] = []
        defer {
            writers.deinitialize(count: keys.count)
            writers.deallocate()
        }
        for lane in 0..<count {
            let memory = try LaneMemory(lane: UInt32(lane), generation: UInt64(lane + 1))
            (writers + lane).initialize(
                to: try LaneWriter(
                    control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate()))
            keys.append(try poller.add(memory))
        }
        let bytes = [UInt8](repeating: 7, count: 40)
        var (empty, full, sleep): ([UInt64], [UInt64], [UInt64]) = ([], [], [])
        func publish() {
            bytes.withUnsafeBytes { payload in
                for lane in 0..<count { writers[lane].publish(type: 1, time: .now(), payload: payload) }
            }
        }
        func round() -> Int { poller.round(violated: { _, _ in failed("violation") }) { _, _ in } }
        while try !poller.wait(timeout: .zero).isEmpty { _ = round() }
        for _ in 0..<times {
            // All are awake once each was read.
            publish()
            var read = 0
            while read < count {
                _ = try poller.wait(timeout: .zero)
                read += round()
            }
            publish()
            var begin = monotonicNanoseconds()
            guard round() == count else { failed("a round") }
            full.append(monotonicNanoseconds() - begin)
            begin = monotonicNanoseconds()
            guard round() == 0 else { failed("a round") }
            empty.append(monotonicNanoseconds() - begin)
            begin = monotonicNanoseconds()
            guard try poller.wait(timeout: .zero).isEmpty else { failed("sleep") }
            sleep.append(monotonicNanoseconds() - begin)
            for key in keys { poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) } }
        }
        let used = memory() - before
        func median(_ values: [UInt64]) -> Double { Double(values.sorted()[values.count / 2]) / 1000 }
        return [("empty us", median(empty)), ("full us", median(full)), ("to sleep us", median(sleep)), ("MB", used)]
    }

    /// What the process has in memory, in MB (proc_pid_statm(5)).
    private static func memory() -> Double {
        let pages = ((try? readFile("/proc/self/statm", limit: 4096, options: .anyKind)).map { String(decoding: $0, as: UTF8.self) } ?? "")
            .split(separator: " ")
        return pages.count > 1 ? (Double(pages[1]) ?? 0) * 4096 / 1_048_576 : 0
    }

    /// A burst fills one lane; an event of another lane, which sleeps, comes at some moment while the burst is read.
    ///
    /// All in one thread, so that it is known to the event what was read in between. The second figure is the most rounds that ended before the
    /// other lane's event came, the one in which it was published not counted.
    static func burstBeside(times: Int) throws -> Figures {
        struct State {
            var published: UInt64 = 0
            var isOut = false
            var cameAfter: UInt64 = 0
            var events = 0
            var eventsBetween = 0
        }
        var poller = try LanePoller(capacity: 2)
        let fullMemory = try LaneMemory(lane: 0, generation: 1)
        let otherMemory = try LaneMemory(lane: 1, generation: 2)
        func writer(_ memory: borrowing LaneMemory) throws -> LaneWriter {
            try LaneWriter(control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        }
        var full = try writer(fullMemory)
        var other = try writer(otherMemory)
        let fullKey = try poller.add(fullMemory)
        let otherKey = try poller.add(otherMemory)
        let bytes = [UInt8](repeating: 7, count: 40)
        let state = UnsafeMutablePointer<State>.allocate(capacity: 1)
        defer { state.deallocate() }
        var random = SeededRandom(seed: 1)
        let samples = Samples(capacity: times)
        defer { samples.free() }
        var mostRounds = 0
        var mostEvents = 0
        try bytes.withUnsafeBytes { payload in
            for _ in 0..<times {
                // Both lanes sleep.
                while try poller.wait(timeout: .zero).contains(.lanes) {
                    poller.round(violated: { _, _ in failed("violation") }) { _, _ in failed("event") }
                }
                for _ in 0..<LaneLayout.slotCount { full.publish(type: 1, time: .now(), payload: payload) }
                state.initialize(to: State())
                let moment = Int(random.next() % UInt64(LaneLayout.slotCount))
                var rounds = 0
                while state.pointee.cameAfter == 0 {
                    guard try poller.wait(timeout: .zero).contains(.lanes) else { failed("a burst") }
                    let wasOut = state.pointee.isOut
                    poller.round(violated: { _, _ in failed("violation") }) { key, _ in
                        if key == otherKey {
                            state.pointee.cameAfter = max(1, monotonicNanoseconds() - state.pointee.published)
                            return
                        }
                        if state.pointee.isOut { state.pointee.eventsBetween += state.pointee.cameAfter == 0 ? 1 : 0 }
                        if state.pointee.events == moment {
                            state.pointee.isOut = true
                            state.pointee.published = monotonicNanoseconds()
                            other.publish(type: 1, time: .now(), payload: payload)
                        }
                        state.pointee.events += 1
                    }
                    if wasOut { rounds += 1 }
                }
                while try poller.wait(timeout: .zero).contains(.lanes) {
                    poller.round(violated: { _, _ in failed("violation") }) { _, _ in }
                }
                for key in [fullKey, otherKey] { poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) } }
                samples.add(state.pointee.cameAfter)
                mostRounds = max(mostRounds, rounds)
                mostEvents = max(mostEvents, state.pointee.eventsBetween)
            }
        }
        return samples.figures + [("rounds", Double(mostRounds)), ("events between", Double(mostEvents))]
    }

    /// What one of the other rings does, which a program of its own measures: it prints names and numbers.
    static func anchor(_ path: String, _ arguments: [String]) throws -> Figures {
        guard let output = popen(([path] + arguments).joined(separator: " "), "r") else { failed(path) }
        var bytes = [UInt8](repeating: 0, count: 4096)
        let length = fread(&bytes, 1, bytes.count, output)
        let text = String(decoding: bytes[..<length], as: UTF8.self)
        guard pclose(output) == 0 else { failed("\(path): \(text)") }
        return text.split(separator: "\n").compactMap { line in
            guard let place = line.lastIndex(of: " "), let value = Double(line[line.index(after: place)...]) else { return nil }
            return (String(line[..<place]), value)
        }
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
        let samples = Samples(capacity: count)
        defer { samples.free() }
        _ = try poller.wait(timeout: .zero)
        peer.go()
        while !samples.isFull {
            _ = try poller.wait()
            poller.round(violated: { _, _ in failed("violation") }) { _, record in
                samples.add(monotonicNanoseconds() &- record.payload.load(as: UInt64.self))
            }
            poller.withLane(key) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) }
        }
        _ = try peer.process.reap()
        return samples.figures
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
