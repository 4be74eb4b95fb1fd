import Glibc
import RingPattern
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanRing

@Suite(.serialized) struct PollerTests {
    /// Longer than anything here takes; only a lost wake-up lasts so long.
    private static let never = Duration.seconds(20)

    @Test func theWakerEndsAWait() throws {
        var poller = try LanePoller(capacity: 4)
        let waker = poller.waker
        let idle = try poller.wait(timeout: .milliseconds(1))
        #expect(idle == [])
        let thread = try Thread(name: "commander") {
            sleep(for: .milliseconds(5))
            waker.wake()
        }
        let woken = try poller.wait(timeout: Self.never)
        #expect(woken == .commands)
        thread.join()
        let again = try poller.wait(timeout: .zero)
        #expect(again == [])
    }

    @Test func lanesComeAndGo() throws {
        var poller = try LanePoller(capacity: 3)
        var keys: [LaneKey] = []
        for lane in 0..<3 as Range<UInt32> {
            keys.append(try poller.add(LaneMemory(lane: lane, generation: 1)))
        }
        let spare = try LaneMemory(lane: 9, generation: 2)
        #expect(throws: LaneError.full) { _ = try poller.add(spare) }
        let removed = poller.remove(keys[1])?.lane
        let missing = poller.remove(keys[1]) == nil
        let gone = poller.withLane(keys[1]) { $0.lane } == nil
        #expect(removed == 1 && missing && gone)
        let new = try poller.add(spare)
        #expect(new != keys[1])
        var lanes: [UInt32] = []
        poller.forEachLane { _, reader in lanes.append(reader.lane) }
        let count = poller.count
        #expect(lanes == [0, 9, 2] && count == 3)
    }

    @Test func aSleepingLaneWakesOnce() throws {
        var poller = try LanePoller(capacity: 2)
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try Lane.writer(memory)
        let key = try poller.add(memory)
        let first = try poller.wait(timeout: .zero)
        #expect(first == [])
        writer.publishNext()
        writer.publishNext()
        let woken = try poller.wait(timeout: Self.never)
        #expect(woken == .lanes)
        var seen: [UInt64] = []
        let count = poller.round(violated: { _, _ in Issue.record("violation") }) { from, record in
            #expect(from == key && record.isIntact)
            seen.append(record.attemptedAt)
        }
        #expect(count == 2 && seen == [1, 2])
        // Awake: nothing rings, and the wait after an empty round arms again.
        writer.publishNext()
        let busy = try poller.wait(timeout: Self.never)
        #expect(busy == .lanes)
        poller.round(violated: { _, _ in }) { _, _ in }
        poller.round(violated: { _, _ in }) { _, _ in }
        let asleep = try poller.wait(timeout: .zero)
        #expect(asleep == [])
        let rings = EventCounter(try memory.doorbell.duplicate()).drain()
        #expect(rings == 1)
    }

    @Test func aBusyLaneDoesNotStarveTheOthers() throws {
        var poller = try LanePoller(capacity: 2)
        let busy = try LaneMemory(lane: 0, generation: 1)
        let quiet = try LaneMemory(lane: 1, generation: 2)
        var busyWriter = try Lane.writer(busy)
        var quietWriter = try Lane.writer(quiet)
        let busyKey = try poller.add(busy)
        _ = try poller.add(quiet)
        // Both asleep.
        _ = try poller.wait(timeout: .zero)
        for _ in 0..<1_000 { _ = busyWriter.publish(length: 8) }
        _ = try poller.wait(timeout: Self.never)
        var counts: [UInt32: Int] = [:]
        poller.round(violated: { _, _ in }) { key, _ in counts[key == busyKey ? 0 : 1, default: 0] += 1 }
        #expect(counts == [0: 64])
        _ = quietWriter.publish(length: 8)
        _ = try poller.wait(timeout: Self.never)
        poller.round(violated: { _, _ in }) { key, _ in counts[key == busyKey ? 0 : 1, default: 0] += 1 }
        #expect(counts == [0: 128, 1: 1])
    }

    @Test func aViolationAndEmptyRingsStopOneLaneOnly() throws {
        var poller = try LanePoller(capacity: 3)
        let good = try LaneMemory(lane: 0, generation: 1)
        let liar = try LaneMemory(lane: 1, generation: 2)
        let ringer = try LaneMemory(lane: 2, generation: 3)
        var goodWriter = try Lane.writer(good)
        var liarWriter = try Lane.writer(liar)
        let goodKey = try poller.add(good)
        let liarKey = try poller.add(liar)
        let ringerKey = try poller.add(ringer)
        let raw = try Mapping(liar.events, length: LaneLayout.eventsSize, writable: true)
        liarWriter.publishNext()
        raw.base.storeBytes(of: 0, as: UInt64.self)
        let bell = EventCounter(try ringer.doorbell.duplicate())
        var violations: [LaneKey: LaneViolation] = [:]
        var delivered = 0
        // The good lane keeps the thread busy all the time, so that nothing is ever armed.
        for _ in 0..<1_300 {
            bell.ring()
            goodWriter.publishNext()
            _ = try poller.wait(timeout: .zero)
            poller.round(violated: { key, violation in
                #expect(violations[key] == nil)
                violations[key] = violation
            }) { key, _ in if key == goodKey { delivered += 1 } }
            poller.withLane(goodKey) { $0.acknowledge(upTo: $0.mark, checkpoint: 1) }
        }
        #expect(violations == [liarKey: .attempted, ringerKey: .doorbell])
        #expect(delivered == 1_300)
        let removed = poller.remove(liarKey)?.violation
        #expect(removed == .attempted)
    }

    @Test func noWakeUpIsLost() throws {
        // Producers with short random pauses, so that the reader goes to sleep about as often as there are events.
        let (lanes, count) = (6, 1_500 as UInt64)
        var poller = try LanePoller(capacity: lanes)
        var keys: [LaneKey: Int] = [:]
        var last = [UInt64](repeating: 0, count: lanes)
        var processes: [ProcessBox] = []
        for lane in 0..<lanes {
            let memory = try LaneMemory(lane: UInt32(lane), generation: UInt64(lane))
            keys[try poller.add(memory)] = lane
            processes.append(ProcessBox(try Producer(memory, count: count, pause: 60_000, seed: UInt64(lane))))
        }
        var wrong = 0
        var stalls = 0
        func read() {
            poller.round(violated: { _, _ in wrong += 1 }) { key, record in
                guard let lane = keys[key] else { return }
                if !record.isIntact || record.attemptedAt != last[lane] + record.lostBefore + 1 { wrong += 1 }
                last[lane] = record.attemptedAt
            }
            poller.forEachLane { _, reader in reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
        }
        while true {
            let ended = try processes.allSatisfy { try $0.producer.process.hasEnded() }
            if try poller.wait(timeout: .milliseconds(50)).isEmpty {
                var ready = false
                poller.forEachLane { _, reader in if reader.isReady { ready = true } }
                if !ready && ended { break }
                // There is an event, so the doorbell was rung or is about to be: sleeping lanes are not looked at by themselves.
                if ready, try poller.wait(timeout: Self.never).isEmpty {
                    stalls += 1
                    break
                }
            }
            read()
        }
        #expect(wrong == 0 && stalls == 0)
        for process in processes { #expect(try process.producer.process.reap() == .exited(0)) }
        for key in keys.keys {
            guard var reader = poller.remove(key) else { continue }
            let totals = try reader.finish()
            #expect(totals.attempted == count && totals.attempted == totals.delivered + totals.lost)
            #expect(totals.delivered > 0)
        }
    }

    private final class ProcessBox {
        let producer: Producer

        init(_ producer: consuming Producer) {
            self.producer = producer
        }
    }

    /// As many as an arena holds; beyond, the new lane alone is refused.
    @Test func asManyLanesAsThereMayBe() throws {
        let count = 4096
        // Two a lane, and those of the tests beside this one.
        var limits = rlimit()
        try #require(getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0)
        try #require(limits.rlim_max >= 10_000, "A process must be allowed 10,000 descriptors (ulimit -H -n 10000).")
        var raised = limits
        raised.rlim_cur = limits.rlim_max
        try #require(setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &raised) == 0)
        defer { _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) }
        var poller = try LanePoller()
        let writers = UnsafeMutablePointer<LaneWriter>.allocate(capacity: count)
        var keys: [LaneKey] = []
        defer {
            writers.deinitialize(count: keys.count)
            writers.deallocate()
        }
        for lane in 0..<count {
            let memory = try LaneMemory(lane: UInt32(lane), generation: UInt64(lane + 1))
            (writers + lane).initialize(to: try Lane.writer(memory))
            keys.append(try poller.add(memory))
        }
        let spare = try LaneMemory(lane: 0, generation: 9999)
        #expect(throws: LaneError.full) { _ = try poller.add(spare) }
        // All sleep; then each is woken by its own doorbell.
        while try poller.wait(timeout: .zero) != [] { poller.round(violated: { _, _ in }) { _, _ in } }
        for lane in 0..<count { writers[lane].publishNext() }
        var seen: [LaneKey: UInt64] = [:]
        var wrong = 0
        while seen.count < count, try poller.wait(timeout: Self.never) == .lanes {
            poller.round(violated: { _, _ in wrong += 1 }) { key, record in
                if !record.isIntact || seen.updateValue(record.attemptedAt, forKey: key) != nil { wrong += 1 }
            }
        }
        #expect(wrong == 0 && seen.count == count && Set(seen.values) == [1])
        // One that goes makes room for another, which is not taken for it.
        let gone = poller.remove(keys[17])?.lane
        let key = try poller.add(spare)
        #expect(gone == 17 && !keys.contains(key))
        #expect(throws: LaneError.full) { _ = try poller.add(spare) }
    }

    @Test func anArenaHoldsManyLanes() throws {
        let arena = try Arena(capacity: 200)
        var readers: [ReaderBox] = []
        for lane in 0..<200 as Range<UInt32> {
            let memory = try LaneMemory(lane: lane, generation: UInt64(lane))
            var writer = try Lane.writer(memory)
            for _ in 0...lane { writer.publishNext() }
            readers.append(ReaderBox(try LaneReader(memory, in: arena)))
        }
        #expect(arena.count == 200)
        let memory = try LaneMemory(lane: 0, generation: 0)
        #expect(throws: LaneError.full) { _ = try LaneReader(memory, in: arena) }
        for box in readers {
            var count = 0
            while true {
                let part = try box.reader.drain { #expect($0.isIntact) }
                if part == 0 { break }
                count += part
            }
            #expect(count == Int(box.reader.lane) + 1)
        }
        readers.removeAll()
        #expect(arena.count == 0)
    }

    private final class ReaderBox {
        var reader: LaneReader

        init(_ reader: consuming LaneReader) {
            self.reader = reader
        }
    }
}
