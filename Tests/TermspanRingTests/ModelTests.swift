import RingPattern
import SeededRandom
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanRing

/// Random schedules against the simplest model that does the same: a list.
@Suite struct ModelTests {
    /// What a lane should do.
    private struct Model {
        struct Entry {
            var attempt: UInt64
            var slots: Int
            var lostBefore: UInt64
        }

        var accepted: [Entry] = []
        var attempted: UInt64 = 0
        var lastAccepted: UInt64 = 0
        /// How many of the accepted ones were acknowledged, and were read.
        var acknowledged = 0
        var read = 0
        /// The last attempt that is durable.
        var durable: UInt64 = 0

        mutating func publish() -> PublishResult {
            attempted += 1
            let slots = LaneLayout.slots(for: RingPattern(attempt: attempted).length)
            let taken = accepted[acknowledged...].reduce(0) { $0 + $1.slots }
            guard taken + slots <= LaneLayout.slotCount else { return .dropped }
            accepted.append(Entry(attempt: attempted, slots: slots, lostBefore: attempted - lastAccepted - 1))
            lastAccepted = attempted
            return .published
        }
    }

    @Test(arguments: [0, 1, 1_000, 0xFFFF_FA00, 0xFFFF_FFFF, UInt64.max - 700] as [UInt64], 0..<6 as Range<UInt64>)
    func everySchedule(firstSequence: UInt64, seed: UInt64) throws {
        var random = SeededRandom(seed: seed &+ firstSequence)
        let arena = try Arena(capacity: 4)
        let memory = try LaneMemory(lane: 3, generation: 77, firstSequence: firstSequence)
        var writer = try Lane.writer(memory)
        var reader = try LaneReader(memory, in: arena)
        var model = Model()
        var saved: (mark: LaneMark, read: Int)?
        var lastTime = BootInstant.zero
        // Some schedules starve the reader, so that the lane is often full; others don't.
        let publishWeight = [40, 60, 90, 97][Int(seed % 4)]

        for step in 0..<3_000 {
            switch random.next() % 100 {
            case 0..<UInt64(publishWeight):
                let time = BootInstant(nanoseconds: [0, BootInstant.now().nanoseconds, .max][Int(random.next() % 3)])
                let result = writer.publishNext(time: time)
                #expect(result == model.publish())
            case 97...:
                // A restart of the collector: what was saved is durable, whether or not it was acknowledged.
                if let saved { model.durable = max(model.durable, saved.mark.attemptedAt) }
                let again = try Lane.adopted(memory)
                #expect(again.lane == 3 && again.generation == 77)
                reader = try LaneReader(again, in: arena, durable: model.durable)
                model.read = model.acknowledged
                saved = nil
                lastTime = .zero
            default:
                switch random.next() % 8 {
                case 0..<5:
                    let limit = Int(random.next() % 100) + 1
                    var slots = 0
                    try reader.drain(limit: limit) { record in
                        while model.accepted[model.read].attempt <= model.durable { model.read += 1 }
                        let expected = model.accepted[model.read]
                        #expect(record.attemptedAt == expected.attempt && record.lostBefore == expected.lostBefore)
                        #expect(record.isIntact)
                        #expect(record.time >= lastTime && record.time <= .now())
                        lastTime = record.time
                        model.read += 1
                        slots += expected.slots
                    }
                    #expect(slots <= max(limit, LaneLayout.maximumSlots))
                    while model.read < model.accepted.count, model.accepted[model.read].attempt <= reader.mark.attemptedAt {
                        model.read += 1
                    }
                case 5:
                    saved = (reader.mark, model.read)
                case 6:
                    if let (mark, read) = saved {
                        reader.acknowledge(upTo: mark, checkpoint: UInt64(step))
                        model.durable = max(model.durable, mark.attemptedAt)
                        model.acknowledged = max(model.acknowledged, read)
                    }
                default:
                    let ready = reader.arm()
                    #expect(ready == (model.read < model.accepted.count))
                    if random.next() % 2 == 0 { reader.disarm() }
                }
                let inOrder = reader.attempted == model.attempted && reader.mark.attemptedAt == reader.lost + reader.delivered
                #expect(inOrder)
            }
        }
        while try reader.drain({ #expect($0.isIntact) }) > 0 {}
        let totals = try reader.finish()
        #expect(totals.attempted == model.attempted && totals.delivered == UInt64(model.accepted.count))
        #expect(totals.lost == writer.dropped && totals.attempted == totals.delivered + totals.lost)
        #expect(totals.lostAfterLast == model.attempted - model.lastAccepted)
    }

    @Test(arguments: 0...LaneLayout.maximumPayload) func everyLength(length: Int) throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try Lane.writer(memory)
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        let published = writer.publish(length: length)
        #expect(published == .published)
        var payloads: [[UInt8]] = []
        try reader.drain { payloads.append(Array($0.payload)) }
        #expect(payloads == [[UInt8](repeating: 0xA5, count: length)])
    }

    @Test func aFullLaneDropsTheNewestAndCounts() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try Lane.writer(memory)
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        var results: [PublishResult] = []
        for _ in 0..<1_030 { results.append(writer.publish(length: 40)) }
        #expect(results.prefix(1_024).allSatisfy { $0 == .published } && results.dropFirst(1_024).allSatisfy { $0 == .dropped })
        let dropped = writer.dropped
        #expect(dropped == 6)
        // Read but not acknowledged: still full.
        var last: UInt64 = 0
        while try reader.drain({ last = $0.attemptedAt }) > 0 {}
        #expect(last == 1_024)
        let stillFull = writer.publish(length: 0) == .dropped
        #expect(stillFull)
        let (unacknowledged, halfFull) = (reader.unacknowledgedSlots, reader.isHalfFull)
        #expect(unacknowledged == 1_024 && halfFull)
        reader.acknowledge(upTo: reader.mark, checkpoint: 9)
        let (remaining, checkpoint) = (reader.unacknowledgedSlots, reader.checkpoint)
        #expect(remaining == 0 && checkpoint == 9)
        let again = writer.publish(length: 160)
        #expect(again == .published)
        var lost: UInt64 = 0
        try reader.drain { lost = $0.lostBefore }
        #expect(lost == 7)
        let totals = try reader.finish()
        #expect(totals == LaneTotals(attempted: 1_032, delivered: 1_025, lost: 7, lostAfterLast: 0))
    }

    @Test func aRoundIsLimited() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try Lane.writer(memory)
        var reader = try LaneReader(memory, in: Arena(capacity: 1))
        for _ in 0..<100 { _ = writer.publish(length: 160) }
        let first = try reader.drain { _ in }
        #expect(first == 16)
        let one = try reader.drain(limit: 1) { _ in }
        #expect(one == 1)
    }

    @Test func acknowledgingTwiceOrLateChangesNothing() throws {
        let memory = try LaneMemory(lane: 0, generation: 1)
        var writer = try Lane.writer(memory)
        let arena = try Arena(capacity: 2)
        var reader = try LaneReader(memory, in: arena)
        for _ in 0..<10 { _ = writer.publish(length: 10) }
        try reader.drain(limit: 4) { _ in }
        let early = reader.mark
        try reader.drain { _ in }
        let late = reader.mark
        reader.acknowledge(upTo: late, checkpoint: 1)
        reader.acknowledge(upTo: early, checkpoint: 2)
        reader.acknowledge(upTo: late, checkpoint: 3)
        let checkpoint = reader.checkpoint
        #expect(checkpoint == 1)
        var other = try LaneReader(memory, in: arena)
        let count = try other.drain { _ in }
        let delivered = other.delivered
        #expect(count == 0 && delivered == 10)
    }
}
