import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanSystem
import Testing

@testable import TermspanCollector

/// A collector that starts where another was killed: what it stores must never say less of the lane than is in the fold.
@Suite struct TakenOverFoldTests {
    private func at(_ seconds: UInt64) -> BootInstant { BootInstant(nanoseconds: seconds * 1_000_000_000) }

    private func withAggregator(_ body: (Aggregator, Aggregator.Subject) throws -> Void) throws {
        let aggregator = try Aggregator { _ in }
        let thread = try TermspanSystem.Thread(name: "aggregator") { aggregator.run() }
        let uuid = UUIDv7(at: .now())
        let result = Result {
            try body(aggregator, Aggregator.Subject(uuid: uuid, id: SessionID(rawValue: 1), uid: 1, userName: "anna", scopes: []))
        }
        aggregator.stop()
        thread.join()
        try result.get()
    }

    private var saved: SessionFold.State {
        var fold = SessionFold()
        fold.begin(at: at(10))
        fold.apply(.snapshot(Snapshot(id: 1, focus: .none, inputOpen: false, lastInput: nil)), at: at(11)) { _ in }
        return fold.state
    }

    /// A commit that comes before the lane must leave the checkpoint as it is.
    @Test func aFoldThatGoesOnIsNotStoredBeforeItsLaneIsThere() throws {
        try withAggregator { aggregator, subject in
            aggregator.begin(subject, at: saved.latest, burstGap: .seconds(30), saved: saved)
            #expect(aggregator.takePieces(at: at(12)).isEmpty)
        }
    }

    /// Nor may one that comes before the lane is read as far as it was durable take the position back.
    @Test func thePositionIsNeverBehindTheFold() throws {
        try withAggregator { aggregator, subject in
            aggregator.begin(subject, at: at(10), burstGap: .seconds(30))
            let lane = try LaneMemory(lane: 1, generation: 7)
            try aggregator.attach(lane, to: subject.uuid, durable: 500)
            let pieces = aggregator.takePieces(at: at(12))
            #expect(pieces.map(\.folded) == [500])
            #expect(pieces.first?.mark?.generation == 7)
        }
    }
}
