import Glibc
import TermspanAccounting
import TermspanConfiguration
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanSystem

@testable import TermspanCollector

/// A session with a lane that the test writes.
final class AggregatorSource {
    let aggregator: Aggregator
    let session = UUIDv7(at: .now())
    private let memory: LaneMemory
    private var writer: LaneWriter
    private var thread: TermspanSystem.Thread?

    init(
        limits: Limits, uid: UInt32 = 1001, since moment: BootInstant = .now(),
        resolver: @escaping @Sendable (ProcessResolver.Request) -> Void = { _ in }
    ) throws {
        let aggregator = try Aggregator(limits: limits, resolver: resolver)
        self.aggregator = aggregator
        thread = try TermspanSystem.Thread(name: "aggregator") { aggregator.run() }
        memory = try LaneMemory(lane: 1, generation: 7)
        writer = try LaneWriter(
            control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate())
        aggregator.begin(
            Aggregator.Subject(uuid: session, id: SessionID(rawValue: 1), uid: uid, userName: "eve", scopes: []), at: moment,
            burstGap: .seconds(30))
        try aggregator.attach(memory, to: session)
    }

    func publish(_ event: Event, at moment: BootInstant) {
        withUnsafeTemporaryAllocation(byteCount: EventCodec.maximumLength, alignment: 8) { buffer in
            let (type, length) = EventCodec.encode(event, into: buffer)
            writer.publish(type: type.rawValue, time: moment, payload: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
        }
    }

    func focus(_ window: UInt32, of process: ProcessClaim = .none, at moment: BootInstant) {
        publish(.focusChanged(Focus(window: window, process: process, windowClass: WindowClass())), at: moment)
    }

    func snapshot(at moment: BootInstant) {
        publish(.snapshot(Snapshot(id: 0, focus: .none, inputOpen: false, lastInput: nil)), at: moment)
    }

    func waitFolded(others: UInt64 = 0) {
        while aggregator.counters.delivered < writer.attempted + others { sched_yield() }
    }

    /// Has everything folded that was published, with `others` of other lanes, and takes it out as the store would.
    func commit(others: UInt64 = 0) throws -> [FoldOutput] {
        waitFolded(others: others)
        let pieces = aggregator.takePieces(at: .now(), isFinal: true)
        aggregator.committed(pieces, checkpoint: 1)
        return pieces.flatMap { $0.closed.map(\.output) }
    }

    func end() {
        aggregator.stop()
        thread.take()?.join()
    }
}
