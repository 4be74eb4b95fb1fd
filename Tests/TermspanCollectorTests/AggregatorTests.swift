import Glibc
import TermspanAccounting
import TermspanConfiguration
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanSystem
import Testing

@testable import TermspanCollector

/// What sources tell of themselves, as the aggregator takes it.
@Suite struct AggregatorTests {
    @Test func whatIsErasedIsNotHandedOutAfterwards() throws {
        let start = BootInstant.now()
        // One whose measuring ends meanwhile.
        let ended = try AggregatorSource(limits: Limits(), since: start)
        defer { ended.end() }
        ended.snapshot(at: start)
        ended.focus(2, at: start.advanced(by: .milliseconds(1)))
        ended.waitFolded()
        ended.aggregator.end(ended.session, at: .now())
        ended.aggregator.restart(ended.session, since: .now(), burstGap: .seconds(30), reason: .erased)
        #expect(try ended.commit().isEmpty)
        // And one that goes on, whose source then tells of input from before.
        let source = try AggregatorSource(limits: Limits(), since: start)
        defer { source.end() }
        source.snapshot(at: start)
        source.focus(2, at: start.advanced(by: .milliseconds(1)))
        source.waitFolded()
        let moment = BootInstant.now()
        source.aggregator.restart(source.session, since: moment, burstGap: .seconds(30), reason: .erased)
        let later = BootInstant.now()
        let edge = InputEdge(effective: start, origin: .device)
        source.publish(.snapshot(Snapshot(id: 1, focus: .none, inputOpen: false, lastInput: edge)), at: later)
        #expect(try source.commit() == [.unknown(UnknownInterval(start: moment, end: later, reason: .erased))])
    }

    /// A source's count of attempts is the first word of its events, and a source that was taken over writes there what it likes.
    @Test func countsOfHostileSourcesDoNotOverflow() throws {
        let aggregator = try Aggregator { _ in }
        // Its thread has come and gone, so that all happens here.
        aggregator.stop()
        aggregator.run()
        for number in 1...3 as ClosedRange<UInt32> {
            let session = UUIDv7(at: WallInstant(nanoseconds: Int64(number) * 1_000_000))
            aggregator.begin(
                Aggregator.Subject(uuid: session, id: SessionID(rawValue: number), uid: 1000, userName: "user", scopes: []), at: .now(),
                burstGap: .seconds(30))
            let memory = try LaneMemory(lane: number, generation: UInt64(number))
            let events = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
            events.base.storeBytes(of: UInt64.max, as: UInt64.self)
            try aggregator.attach(memory, to: session)
            #expect(aggregator.counters.attempted == .max)
            if number > 1 { aggregator.detach(session, at: .now()) }
        }
        #expect(aggregator.counters.attempted == .max && aggregator.counters.lost == .max && aggregator.counters.delivered == 0)
    }

    @Test func aLiarsSessionIsUnknownAndOthersGoOn() throws {
        let start = BootInstant.now()
        let source = try AggregatorSource(limits: Limits(), since: start)
        defer { source.end() }
        source.snapshot(at: start)
        source.focus(2, at: start.advanced(by: .milliseconds(1)))
        // A second session, whose source has its count of attempts behind the events that it wrote.
        let liar = UUIDv7(at: WallInstant(nanoseconds: 1_000_000))
        let memory = try LaneMemory(lane: 2, generation: 8)
        var writer = try LaneWriter(
            control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        source.aggregator.begin(
            Aggregator.Subject(uuid: liar, id: SessionID(rawValue: 2), uid: 1002, userName: "mallory", scopes: []), at: start,
            burstGap: .seconds(30))
        withUnsafeTemporaryAllocation(byteCount: EventCodec.maximumLength, alignment: 8) { buffer in
            let snapshot = Snapshot(id: 0, focus: .none, inputOpen: false, lastInput: nil)
            let (type, length) = EventCodec.encode(.snapshot(snapshot), into: buffer)
            _ = writer.publish(type: type.rawValue, time: start, payload: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
        }
        let events = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
        events.base.storeBytes(of: 0, as: UInt64.self)
        try source.aggregator.attach(memory, to: liar)
        // The count is looked at before the thread sleeps.
        while source.aggregator.counters.quarantined == 0 { sched_yield() }
        source.focus(3, at: .now())
        source.waitFolded(others: 1)
        let notices = source.aggregator.takeNotices()
        #expect(notices.contains(.quarantined(session: liar, .attempted)))
        #expect(!notices.contains { if case .quarantined(source.session, _) = $0 { true } else { false } })
        let activities = source.aggregator.activity(at: .now()) { _ in true }
        let open = activities.first { $0.subject.uuid == liar }?.open
        #expect(open?.unknown?.reason == .laneQuarantined && open?.focus == nil)
        #expect(activities.first { $0.subject.uuid == source.session }?.open.focus?.focus.window == 3)
        #expect(source.aggregator.counters.quarantined == 1)
    }
}
