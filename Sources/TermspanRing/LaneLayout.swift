import CTermspanLinux
import Synchronization

/// The form of a lane's memory: two files, their fields and the header of a slot.
///
/// The offsets are those of `struct termspan_lane_control` and `struct termspan_lane_events`, which C asserts. All numbers are of the machine's own
/// byte order: a lane never leaves the machine.
package enum LaneLayout {
    /// "TSPNLANE".
    static var magic: UInt64 { 0x454E_414C_4E50_5354 }
    static var versionMajor: UInt16 { 1 }
    static var versionMinor: UInt16 { 0 }

    static var slotSize: Int { Int(TERMSPAN_SLOT_SIZE) }
    /// Slots of a lane.
    package static var slotCount: Int { Int(TERMSPAN_SLOT_COUNT) }
    package static var controlSize: Int { Int(TERMSPAN_CONTROL_SIZE) }
    package static var eventsSize: Int { Int(TERMSPAN_EVENTS_SIZE) }
    /// Bytes of addresses that a lane takes in an arena.
    static var stride: Int { controlSize + eventsSize }

    /// The longest payload of an event in bytes.
    package static var maximumPayload: Int { 160 }
    /// Payload in an event's first slot, after header, time and attempted-at.
    static var firstPayload: Int { 40 }
    /// Payload in each further slot, after its header.
    static var furtherPayload: Int { 56 }
    /// Slots of the longest event.
    static var maximumSlots: Int { 4 }

    enum Offset {
        static var head: Int { 128 }
        static var armEpoch: Int { 256 }
        static var lastEpoch: Int { 260 }
        static var checkpoint: Int { 384 }
        static var marks: Int { 448 }
        static var markSize: Int { 32 }

        static var attempted: Int { 0 }
        static var state: Int { 64 }
        static var slots: Int { Int(TERMSPAN_PAGE) }
    }

    /// How many slots a payload takes.
    @inline(__always)
    package static func slots(for length: Int) -> Int {
        length <= firstPayload ? 1 : 1 + (length - firstPayload + furtherPayload - 1) / furtherPayload
    }

    /// Where the slot of a position is, from the beginning of `events`. Never outside of it, whatever the position.
    @inline(__always)
    static func offset(of position: UInt64) -> Int {
        Offset.slots + Int(truncatingIfNeeded: position & UInt64(TERMSPAN_SLOT_COUNT - 1)) * slotSize
    }

    /// What an atomic field at an address is accessed through.
    ///
    /// Right since an `Atomic` is laid out as its value, the offsets are multiples of its size and mappings begin at a page.
    @inline(__always)
    static func atomic64(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafeMutablePointer<Atomic<UInt64>> {
        unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt64>.self)
    }

    @inline(__always)
    static func atomic32(_ base: UnsafeMutableRawPointer, _ offset: Int) -> UnsafeMutablePointer<Atomic<UInt32>> {
        unsafe (base + offset).assumingMemoryBound(to: Atomic<UInt32>.self)
    }
}

/// The first word of a slot: the low 32 bits of position + 1, the number of slots, the type and the length.
///
/// It is never 0, so a slot that was never written is no commit even where the sequence is 0.
struct SlotHeader: Equatable {
    var word: UInt64

    @inline(__always)
    init(word: UInt64) {
        self.word = word
    }

    /// Of an event's first slot.
    @inline(__always)
    init(position: UInt64, slots: Int, type: UInt8, length: Int) {
        word =
            UInt64(UInt32(truncatingIfNeeded: position &+ 1)) | UInt64(truncatingIfNeeded: slots) << 32 | UInt64(type) << 40
            | UInt64(truncatingIfNeeded: length) << 48
    }

    /// Of the slot `index` places after the first: its own sequence, and where the number of slots stands, 0x80 and the index.
    @inline(__always)
    init(continuation index: Int, ofEventAt position: UInt64, type: UInt8, length: Int) {
        self.init(position: position &+ UInt64(truncatingIfNeeded: index), slots: 0x80 | index, type: type, length: length)
    }

    @inline(__always)
    func isCommit(at position: UInt64) -> Bool {
        UInt32(truncatingIfNeeded: word) == UInt32(truncatingIfNeeded: position &+ 1) && word != 0
    }

    @inline(__always) var slots: Int { Int(truncatingIfNeeded: word >> 32 & 0xFF) }
    @inline(__always) var type: UInt8 { UInt8(truncatingIfNeeded: word >> 40) }
    @inline(__always) var length: Int { Int(truncatingIfNeeded: word >> 48) }
}

/// What a producer says of itself in its lane. Nothing rests on it.
package enum ProducerState: UInt32, Sendable {
    /// No producer has mapped the lane.
    case absent = 0
    /// A producer has.
    case attached = 1
    /// It has ended in order.
    case closed = 2
}
