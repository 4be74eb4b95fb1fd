import Glibc
import Synchronization
import TermspanCore
import TermspanSystem

@testable import TermspanRing

/// A producer that was taken over: writes into a lane as the bytes of a run say, at times with the right form and at times with any.
struct LaneScript {
    var input: FuzzInput
    private let events: UnsafeMutableRawPointer
    private var position: UInt64
    private var attempted: UInt64 = 0

    init(_ input: FuzzInput, events: UnsafeMutableRawPointer, firstSequence: UInt64) {
        self.input = input
        self.events = events
        position = firstSequence
    }

    private func store(_ value: UInt64, at offset: Int) {
        LaneLayout.atomic64(events, offset).pointee.store(value, ordering: .relaxed)
    }

    /// One write, or the few of a whole event.
    mutating func step(_ operation: UInt8) {
        switch operation & 7 {
        case 0, 1, 2: publish()
        case 3:
            // Any header in a slot near by.
            let place = position &+ UInt64(input.byte() & 7) &- 4
            let claim = SlotHeader(position: place, slots: Int(input.byte() & 7), type: input.byte(), length: Int(input.byte()))
            store(claim.word, at: LaneLayout.offset(of: place))
        case 4:
            // Any word of a slot near by: header, time, attempted-at, payload.
            let place = position &+ UInt64(input.byte() & 7) &- 4
            store(input.integer(), at: LaneLayout.offset(of: place) + Int(input.byte() & 7) * 8)
        case 5:
            let place = position &+ UInt64(input.byte() & 3)
            let index = Int(input.byte() & 3)
            store(
                SlotHeader(continuation: index, ofEventAt: place &- UInt64(index), type: 5, length: Int(input.byte())).word,
                at: LaneLayout.offset(of: place))
        case 6: store(input.bool() ? input.integer() : attempted &- UInt64(input.byte() & 3), at: LaneLayout.Offset.attempted)
        default: store(input.integer(), at: Int(input.integer(UInt16.self)) * 8 % LaneLayout.eventsSize)
        }
    }

    /// An event of the right form, most of whose fields are of the input's choosing.
    private mutating func publish() {
        let skipped = input.byte()
        attempted &+= skipped < 200 ? 1 : UInt64(skipped)
        let payload = Array(input.chunk(atMost: LaneLayout.maximumPayload))
        let type = input.byte() % 7
        let slots = LaneLayout.slots(for: payload.count)
        var words = [UInt64](repeating: 0, count: 32)
        words.withUnsafeMutableBytes { $0.copyBytes(from: payload) }
        store(attempted, at: LaneLayout.Offset.attempted)
        let place = LaneLayout.offset(of: position)
        store(skipped & 3 == 0 ? input.integer() : attempted &* 1000, at: place + 8)
        store(attempted, at: place + 16)
        for index in 0..<5 { store(words[index], at: place + 24 + 8 * index) }
        for slot in 1..<max(slots, 1) {
            let further = LaneLayout.offset(of: position &+ UInt64(slot))
            store(SlotHeader(continuation: slot, ofEventAt: position, type: type, length: payload.count).word, at: further)
            for index in 0..<7 { store(words[5 + (slot - 1) * 7 + index], at: further + 8 + 8 * index) }
        }
        store(SlotHeader(position: position, slots: slots, type: type, length: payload.count).word, at: place)
        position &+= UInt64(slots)
    }
}
