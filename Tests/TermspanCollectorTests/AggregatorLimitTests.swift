import Glibc
import TermspanAccounting
import TermspanConfiguration
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanSystem
import Testing

@testable import TermspanCollector

/// What a source can make of its aggregator, by a real lane and the real thread.
@Suite struct AggregatorLimitTests {
    private func unknowns(_ outputs: [FoldOutput]) -> [UnknownReason] {
        outputs.compactMap { if case .unknown(let interval) = $0 { interval.reason } else { nil } }
    }

    @Test func beyondTheRowsOfADayTheTimeIsUnknownUntilAHundredthIsThereAgain() throws {
        var limits = Limits()
        limits.rowsPerDay = 1000
        limits.focusChangesPerSecond = 20
        let source = try AggregatorSource(limits: limits)
        source.snapshot(at: .now())
        var outputs: [FoldOutput] = try source.commit()
        for round in 0..<1500 as Range<UInt32> {
            source.publish(.inputBegan(InputEdge(effective: .now(), origin: .device)), at: .now())
            source.publish(.inputEnded(InputEdge(effective: .now(), origin: .device)), at: .now())
            if round % 100 == 99 { outputs += try source.commit() }
        }
        #expect(outputs.count >= 1000 && outputs.count < 1010)
        #expect(source.aggregator.takeNotices().contains(.limited(session: source.session, .rows)))
        // What follows is not stored, and the open interval says why.
        source.snapshot(at: .now())
        source.focus(5, at: .now())
        #expect(try source.commit().isEmpty)
        let open = source.aggregator.activity(at: .now()) { _ in true }.first?.open
        #expect(open?.unknown?.reason == .limited)
        #expect(open?.focus == nil)
        // Nor does another source change why.
        source.aggregator.detach(source.session, at: .now())
        #expect(source.aggregator.activity(at: .now()) { _ in true }.first?.open.unknown?.reason == .limited)
        source.end()
    }

    @Test func rapidSwitchingIsToldOnceAndNotForEachChange() throws {
        let source = try AggregatorSource(limits: Limits())
        source.snapshot(at: .now())
        for round in 0..<900 as Range<UInt32> {
            source.focus(round + 1, at: .now())
            if round % 300 == 299 { _ = try source.commit() }
        }
        let notices = source.aggregator.takeNotices()
        #expect(notices.count { $0 == .limited(session: source.session, .focusChanges) } == 1)
        #expect(source.aggregator.takeNotices().isEmpty)
        source.end()
    }

    @Test func aLimitThatIsLowerHoldsForSessionsThatBegin() throws {
        var limits = Limits()
        limits.focusChangesPerSecond = 1
        let source = try AggregatorSource(limits: limits)
        source.snapshot(at: .now())
        for round in 0..<20 as Range<UInt32> { source.focus(round + 1, at: .now()) }
        let outputs = try source.commit()
        // The snapshot's own interval is one of the ten; the eleventh change begins what is counted.
        #expect(outputs.count <= 11)
        #expect(source.aggregator.takeNotices().contains(.limited(session: source.session, .focusChanges)))
        source.end()
    }

    /// A source that writes nothing but what makes notices can't make their list long.
    @Test func noticesAreSummedUp() throws {
        let source = try AggregatorSource(limits: Limits())
        source.snapshot(at: .now())
        for _ in 0..<900 { source.publish(.sourceGap(from: .now()), at: .now()) }
        _ = try source.commit()
        #expect(source.aggregator.takeNotices().count <= 2)
        source.end()
    }

    @Test func otherUsersGoOn() throws {
        var limits = Limits()
        limits.rowsPerDay = 1000
        let source = try AggregatorSource(limits: limits)
        let other = UUIDv7(at: .now())
        let memory = try LaneMemory(lane: 2, generation: 8)
        var writer = try LaneWriter(
            control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        source.aggregator.begin(
            Aggregator.Subject(uuid: other, id: SessionID(rawValue: 2), uid: 1002, userName: "bob", scopes: []), at: .now(),
            burstGap: .seconds(30))
        try source.aggregator.attach(memory, to: other)
        source.snapshot(at: .now())
        for round in 0..<1200 {
            source.publish(.inputBegan(InputEdge(effective: .now(), origin: .device)), at: .now())
            source.publish(.inputEnded(InputEdge(effective: .now(), origin: .device)), at: .now())
            if round % 100 == 99 { _ = try source.commit() }
        }
        withUnsafeTemporaryAllocation(byteCount: EventCodec.maximumLength, alignment: 8) { buffer in
            let event = Event.snapshot(Snapshot(id: 0, focus: .none, inputOpen: false, lastInput: nil))
            let (type, length) = EventCodec.encode(event, into: buffer)
            writer.publish(type: type.rawValue, time: .now(), payload: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
        }
        _ = try source.commit(others: 1)
        let open = source.aggregator.activity(at: .now()) { $0.uid == 1002 }.first?.open
        #expect(open?.unknown == nil)
        #expect(open?.focus != nil)
        source.end()
    }
}
