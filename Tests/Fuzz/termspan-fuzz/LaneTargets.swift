import CFuzz
import Glibc
import Synchronization
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanSystem

@testable import TermspanRing

/// What the reader's memory is changed by between any two of its looks at it; the hook has no argument.
nonisolated(unsafe) private var racing: LaneScript?

/// A lane and its reader, and what the reader promises of each record, whatever is written into the lane.
@MainActor
private struct CheckedLane: ~Copyable {
    let memory: LaneMemory
    let raw: Mapping
    let arena: Arena
    var reader: LaneReader?
    private var lastAttempted: UInt64 = 0
    private var lastTime: UInt64 = 0
    private var count: UInt64 = 0
    private var violation: LaneViolation?
    private var fold: CheckedFold
    let firstSequence: UInt64

    init(firstSequence: UInt64) {
        self.firstSequence = firstSequence
        do {
            memory = try LaneMemory(lane: 1, generation: 1, firstSequence: firstSequence)
            raw = try Mapping(memory.events, length: LaneLayout.eventsSize, writable: true)
            arena = try Arena(capacity: 2)
            reader = try LaneReader(memory, in: arena)
        } catch {
            fatalError("a lane: \(error)")
        }
        fold = CheckedFold(at: BootInstant(nanoseconds: 1))
    }

    mutating func drain(limit: Int) {
        // Taken out, for the callback works on the rest of this.
        guard var reader = self.reader.take() else { return }
        do throws(LaneViolation) {
            try reader.drain(limit: limit) { record in
                require(violation == nil, "nothing is read after a violation")
                require(record.type != 0, "a record has a type")
                require(record.payload.count <= LaneLayout.maximumPayload, "a payload has at most 160 bytes")
                require(record.attemptedAt > lastAttempted, "attempted-at increases")
                require(record.lostBefore == record.attemptedAt - lastAttempted - 1, "what was lost before is what is missing")
                require(record.time.nanoseconds >= lastTime, "time does not go back")
                require(record.time <= .now(), "no record comes from the future")
                lastAttempted = record.attemptedAt
                lastTime = record.time.nanoseconds
                count += 1
                let copy = Array(record.payload)
                racing?.next()
                require(copy.elementsEqual(record.payload), "a record's payload is the reader's own")
                if record.lostBefore > 0 { fold.lost(record.lostBefore, before: record.time) }
                if let event = EventCodec.decode(type: record.type, payload: record.payload) { fold.apply(event, at: record.time) }
            }
        } catch {
            require(violation == nil || violation == error, "a violation stays the same")
            violation = error
        }
        require((reader.violation == nil) == (violation == nil), "a violation is kept")
        require(reader.delivered == count, "each record was delivered once")
        require(reader.lost == lastAttempted - count, "what was not delivered is lost")
        require(reader.attempted >= lastAttempted, "attempts cover what was read")
        _ = reader.pending
        _ = reader.producerState
        if violation != nil {
            let isReady = reader.isReady
            let wantsMore = reader.arm()
            require(!isReady && !wantsMore, "a lane in quarantine is never ready")
        }
        self.reader = consume reader
    }

    mutating func acknowledge() {
        guard let mark = reader?.mark else { return }
        reader?.acknowledge(upTo: mark, checkpoint: 1)
        require(violation != nil || reader?.unacknowledgedSlots == 0, "what was acknowledged is given back")
    }

    mutating func sleep() {
        if reader?.arm() == false { reader?.disarm() }
        if let found = reader?.violation { violation = found }
    }

    /// A collector that starts again reads on at the acknowledged head.
    mutating func restart() {
        guard violation == nil, reader?.unacknowledgedSlots == 0 else { return }
        self.reader = nil
        do { self.reader = try LaneReader(memory, in: arena, durable: lastAttempted) } catch {
            require(false, "a lane is taken up again: \(error)")
        }
        require(self.reader?.delivered == count, "the count goes on")
    }

    mutating func finish() {
        do throws(LaneViolation) {
            guard let totals = try reader?.finish() else { return }
            require(totals.attempted == totals.delivered + totals.lost, "attempted = delivered + lost")
            require(
                totals.delivered == count && totals.lostAfterLast == totals.attempted - lastAttempted,
                "the account is that of what was read")
        } catch {
            require(violation == nil || violation == error, "a violation stays the same")
        }
        fold.end(at: .now())
    }
}

extension LaneScript {
    /// What the memory is changed by next, while it is read.
    fileprivate mutating func next() {
        guard !input.isEmpty else { return }
        step(input.byte())
    }
}

extension FuzzTarget {
    private static let published: [UInt8] = Event.examples.flatMap { event in
        let coded = event.coded
        return [0, 1, UInt8(coded.count - 1)] + coded.dropFirst() + [coded[0]]
    }

    @MainActor
    private static func read(_ bytes: UnsafeRawBufferPointer, pass: @escaping (UInt64) -> Void, beside: (LaneScript, () -> Void) -> Void) {
        var input = FuzzInput(bytes)
        let firstSequence: UInt64 = [0, 0xFFFF_FFFC, UInt64.max - 2, 1020][Int(input.byte() & 3)]
        var lane = CheckedLane(firstSequence: firstSequence)
        let (main, other) = input.split()
        var script = LaneScript(main, events: lane.raw.base, firstSequence: firstSequence)
        beside(LaneScript(other, events: lane.raw.base, firstSequence: firstSequence)) {
            while !script.input.isEmpty {
                let operation = script.input.byte()
                switch operation >> 4 {
                case 0...9: script.step(operation)
                case 10, 11: lane.drain(limit: Int(operation & 15) * 8 + 1)
                case 12: lane.acknowledge()
                case 13: lane.sleep()
                case 14: lane.restart()
                default: pass(UInt64(script.input.integer(UInt32.self)))
                }
            }
            for _ in 0..<4 { lane.drain(limit: 64) }
        }
        lane.finish()
    }

    static var lane: FuzzTarget {
        FuzzTarget(
            name: "fuzz-lane", about: "a lane that changes between any two looks of its reader; what comes out is decoded and folded",
            longest: 2048, seeds: [[0, 255] + published + [0xA7], [1, 128] + published + [0xAF, 0xC0, 0xD0, 0xE0] + published]
        ) { bytes in
            var now: UInt64 = 1_000_000
            fuzz_set_clock(now)
            read(bytes) {
                now &+= $0
                fuzz_set_clock(now)
            } beside: { script, body in
                racing = script
                fuzz_set_slot_load_hook { racing?.next() }
                body()
                fuzz_set_slot_load_hook(nil)
                racing = nil
            }
            fuzz_set_clock(0)
        }
    }

    static var laneThread: FuzzTarget {
        FuzzTarget(
            name: "fuzz-lane-thread", about: "a lane that another thread keeps changing while it is read", longest: 1024,
            seeds: [[0, 128] + published + [0xAF] + published]
        ) { bytes in
            read(bytes, pass: { _ in }) { script, body in
                let isOver = UnsafeMutablePointer<Int32>.allocate(capacity: 1)
                isOver.initialize(to: 0)
                nonisolated(unsafe) let state = (script, isOver)
                do {
                    let thread = try Thread(name: "producer") {
                        let (script, isOver) = state
                        repeat {
                            var again = script
                            while !again.input.isEmpty { again.next() }
                        } while LaneLayout.atomic32(isOver, 0).pointee.load(ordering: .relaxed) == 0
                    }
                    body()
                    LaneLayout.atomic32(isOver, 0).pointee.store(1, ordering: .relaxed)
                    thread.join()
                } catch {
                    fatalError("\(error)")
                }
                isOver.deallocate()
            }
        }
    }
}
