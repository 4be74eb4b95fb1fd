import TermspanAccounting
import TermspanCore
import TermspanStore
import TermspanSystem

@testable import TermspanCollector
@testable import TermspanRing

/// Lanes as the collector holds them: several sessions, each with a producer that may write anything.
@MainActor
private struct Lanes {
    let aggregator: Aggregator
    private var sessions: [UUIDv7] = []
    private var memories: [UUIDv7: LaneScript] = [:]
    private var mappings: [MappedEvents] = []
    private var generation: UInt64 = 0

    private final class MappedEvents {
        let mapping: Mapping

        init(_ mapping: consuming Mapping) { self.mapping = mapping }
    }

    init() {
        do {
            aggregator = try Aggregator { _ in }
        } catch {
            fatalError("an aggregator: \(error)")
        }
        // Its thread has come and gone: what it is told is done here and now, so that a finding comes back with its input.
        aggregator.stop()
        aggregator.run()
        for number in 0..<3 as Range<UInt8> {
            guard let uuid = UUIDv7(bytes: [0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, number]) else { fatalError("a UUID") }
            sessions.append(uuid)
            aggregator.begin(
                Aggregator.Subject(
                    uuid: uuid, id: SessionID(rawValue: UInt32(number) + 1), uid: 1000, userName: "user", scopes: [],
                    isDisconnected: number == 2),
                at: .now(), burstGap: .seconds(30))
        }
    }

    mutating func attach(_ index: Int) {
        let session = sessions[index]
        guard memories[session] == nil else { return }
        generation += 1
        do {
            let memory = try LaneMemory(lane: UInt32(index), generation: generation)
            let mapped = MappedEvents(try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true))
            mappings.append(mapped)
            memories[session] = LaneScript(
                FuzzInput(UnsafeRawBufferPointer(start: nil, count: 0)), events: mapped.mapping.base, firstSequence: 0)
            try aggregator.attach(memory, to: session)
        } catch {
            require(false, "a lane is attached: \(error)")
        }
    }

    mutating func write(_ index: Int, _ input: inout FuzzInput) {
        let session = sessions[index]
        guard memories[session] != nil else { return }
        swap(&memories[session]!.input, &input)
        memories[session]!.step(memories[session]!.input.byte())
        swap(&memories[session]!.input, &input)
    }

    mutating func detach(_ index: Int) {
        let session = sessions[index]
        memories[session] = nil
        if let totals = aggregator.detach(session, at: .now()) {
            require(totals.attempted == totals.delivered + totals.lost, "attempted = delivered + lost")
        }
    }

    func store(fails: Bool) {
        let pieces = aggregator.takePieces(at: .now(), isFinal: true)
        for piece in pieces {
            var batch = StoreBatch()
            for closed in piece.closed { batch.append(closed.output, of: piece.session) { _ in closed.executable } }
            for row in ActivityRow.rows(of: batch, now: .now(), anchor: .now(), user: { _ in UserIdentity(login: "user", uid: 1000) }) {
                require(ActivityRow(fields: row.fields) == row, "a row comes back as it was sent")
            }
        }
        if fails { aggregator.notCommitted() } else { aggregator.committed(pieces, checkpoint: 1) }
    }

    func look() {
        let counters = aggregator.counters
        require(counters.attempted >= counters.delivered, "no more was delivered than was attempted")
        _ = aggregator.activity(at: .now()) { _ in true }
        _ = aggregator.lastInputs(at: .now())
        _ = aggregator.takeNotices()
    }

    mutating func end(_ index: Int) {
        memories[sessions[index]] = nil
        aggregator.end(sessions[index], at: .now())
    }
}

extension FuzzTarget {
    static var aggregator: FuzzTarget {
        FuzzTarget(
            name: "fuzz-aggregator", about: "lanes of several sessions with rubbish in them, and everything that is asked about them",
            longest: 1024,
            seeds: [
                [0, 1, 2, 16, 0, 1, 9, 5, 0, 0, 0, 0, 0, 0, 0, 1, 32, 6, 1, 255, 48, 64, 50, 80], [0, 16, 0, 1, 0, 0, 64, 64, 80, 48],
            ]
        ) { bytes in
            var input = FuzzInput(bytes)
            var lanes = Lanes()
            while !input.isEmpty {
                let step = input.byte()
                let index = Int(step & 3) % 3
                switch step >> 4 {
                case 0: lanes.attach(index)
                case 1...8: lanes.write(index, &input)
                case 9, 10: lanes.detach(index)
                case 11: lanes.look()
                case 12: lanes.end(index)
                default: lanes.store(fails: step & 8 != 0)
                }
            }
            for index in 0..<3 { lanes.detach(index) }
            lanes.look()
            lanes.store(fails: false)
        }
    }
}
