import Glibc
import RingPattern
import SeededRandom
import Synchronization
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanRing

/// Producers that die, and collectors that start again, at any moment.
@Suite(.serialized) struct CrashTests {
    /// Whether a first slot is committed that the reader at `position` did not read.
    private static func strayCommit(_ memory: borrowing LaneMemory, after position: UInt64) throws -> Bool {
        let events = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: false)
        for candidate in position..<(position + UInt64(LaneLayout.slotCount)) {
            let header = SlotHeader(word: events.base.load(fromByteOffset: LaneLayout.offset(of: candidate), as: UInt64.self))
            if header.isCommit(at: candidate) && header.slots < 0x80 { return true }
        }
        return false
    }

    @Test func aProducerKilledAtAnyMomentLosesNothingThatItCommitted() throws {
        var random = SeededRandom(seed: 20)
        let arena = try Arena(capacity: 1)
        var total: UInt64 = 0
        for round in 0..<60 as Range<UInt64> {
            let memory = try LaneMemory(lane: 0, generation: round, firstSequence: round % 2 == 0 ? 0 : 0xFFFF_FF00)
            var reader = try LaneReader(memory, in: arena)
            let producer = try Producer(memory)
            // Some die at their start, some full, most in full flight.
            if round % 10 != 0 {
                while try producer.published == 0 && !producer.process.hasEnded() { sched_yield() }
            }
            let deadline = monotonicNanoseconds() + random.next() % 4_000_000
            var last: UInt64 = 0
            var torn = 0
            var wrong = 0
            func check(_ record: LaneRecord) {
                if !record.isIntact { torn += 1 }
                if record.attemptedAt != last + record.lostBefore + 1 { wrong += 1 }
                last = record.attemptedAt
            }
            while monotonicNanoseconds() < deadline {
                try reader.drain(check)
                if round % 3 > 0 { reader.acknowledge(upTo: reader.mark, checkpoint: 1) }
            }
            let published = try producer.kill()
            while try reader.drain(check) > 0 {}
            #expect(torn == 0 && wrong == 0)
            #expect(last >= published)
            let stray = try Self.strayCommit(memory, after: reader.mark.position)
            #expect(!stray)
            let totals = try reader.finish()
            #expect(totals.attempted == totals.delivered + totals.lost && totals.attempted >= last)
            total += totals.delivered
        }
        #expect(total >= 54)
    }

    @Test(arguments: 0..<33) func whatIsNotCommittedIsNotThere(words: Int) throws {
        // A producer of an event of four slots, dead after each of its stores but the last.
        let source = try LaneMemory(lane: 0, generation: 1)
        var model = try Lane.writer(source)
        _ = model.publish(length: 160)
        let complete = try Mapping(source.events, length: LaneLayout.eventsSize, writable: false)
        let memory = try LaneMemory(lane: 0, generation: 1)
        let half = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        half.base.storeBytes(of: 1, as: UInt64.self)
        // Continuations first, then the rest of the first slot; its header, word 0, would be the commit.
        let order = Array(8..<32) + Array(1..<8)
        for word in order.prefix(words) {
            let place = LaneLayout.offset(of: 0) + 8 * word
            half.base.storeBytes(of: complete.base.load(fromByteOffset: place, as: UInt64.self), toByteOffset: place, as: UInt64.self)
        }
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        let ready = reader.arm()
        #expect(!ready)
        let count = try reader.drain { _ in }
        #expect(count == 0)
        let totals = try reader.finish()
        #expect(totals == LaneTotals(attempted: 1, delivered: 0, lost: 1, lostAfterLast: 1))
    }

    @Test func aCollectorThatStartsAgainGoesOnWhereItAcknowledged() throws {
        var random = SeededRandom(seed: 4)
        let arena = try Arena(capacity: 2)
        let memory = try LaneMemory(lane: 0, generation: 5)
        let count: UInt64 = 30_000
        let producer = try Producer(memory, count: count)
        // What the aggregate would hold: it survives, the reader does not.
        var saved: UInt64 = 0
        var seen: UInt64 = 0
        var lost: UInt64 = 0
        var restarts = 0
        while true {
            var reader = try LaneReader(Lane.adopted(memory), in: arena, durable: saved)
            for _ in 0..<(random.next() % 40 + 1) {
                var wrong = 0
                try reader.drain { record in
                    if !record.isIntact || record.attemptedAt <= saved || record.attemptedAt != saved + record.lostBefore + 1 { wrong += 1 }
                    seen += 1
                    lost += record.lostBefore
                    saved = record.attemptedAt
                }
                #expect(wrong == 0)
                // Here it may die: durable and not acknowledged.
                if random.next() % 3 == 0 { break }
                reader.acknowledge(upTo: reader.mark, checkpoint: saved)
            }
            restarts += 1
            if restarts >= 10, try producer.process.hasEnded(), !reader.isReady {
                while try reader.drain({ _ in seen += 1 }) > 0 {}
                let totals = try reader.finish()
                #expect(totals.attempted == count && totals.delivered == seen)
                #expect(totals.lost == lost + totals.lostAfterLast)
                break
            }
        }
        #expect(try producer.process.reap() == .exited(0))
    }

    @Test func bothSidesInTwoThreads() throws {
        // Over one mapping, so that the thread sanitizer knows it as the same memory.
        let memory = try LaneMemory(lane: 0, generation: 1)
        let control = try Mapping(memory.control, length: LaneLayout.controlSize, writable: true)
        let events = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        let count: UInt64 = 50_000
        nonisolated(unsafe) let (controlBase, eventsBase) = (control.base, events.base)
        let doorbell = try memory.doorbell.duplicate().release()
        var reader = try LaneReader(unsafeControl: control.base, events: events.base, doorbell: memory.doorbell.duplicate())
        let thread = try Thread(name: "producer") {
            var writer = LaneWriter(
                unsafeControl: controlBase, events: eventsBase, firstSequence: 0, doorbell: EventCounter(OwnedDescriptor(doorbell)))
            while writer.attempted < count { if writer.publishNext() == .dropped { sched_yield() } }
        }
        var torn = 0
        var delivered: UInt64 = 0
        while reader.attempted < count || reader.isReady {
            try reader.drain { record in
                if !record.isIntact { torn += 1 }
                delivered += 1
            }
            reader.acknowledge(upTo: reader.mark, checkpoint: 1)
        }
        thread.join()
        while try reader.drain({ _ in delivered += 1 }) > 0 {}
        #expect(torn == 0)
        let totals = try reader.finish()
        #expect(totals.attempted == count && totals.delivered == delivered)
    }
}
