import CTermspanLinux
import Synchronization
package import TermspanCore
package import TermspanSystem

/// What became of an event.
package enum PublishResult: Sendable {
    /// It is in the lane.
    case published
    /// The lane was full; the event is lost and counted.
    case dropped
}

/// The producer's side of a lane. One thread uses it.
///
/// Publishing neither allocates nor waits; at most it makes one system call, the doorbell.
@safe package struct LaneWriter: ~Copyable {
    private let mappings: Mappings
    private let doorbell: EventCounter

    private let head: UnsafeMutablePointer<Atomic<UInt64>>
    private let armEpoch: UnsafeMutablePointer<Atomic<UInt32>>
    private let sharedAttempted: UnsafeMutablePointer<Atomic<UInt64>>
    private let state: UnsafeMutablePointer<Atomic<UInt32>>
    private let events: UnsafeMutableRawPointer

    /// Where the next event goes.
    private var position: UInt64
    /// The head as it was read last: it only advances, so room by it is room.
    private var cachedHead: UInt64
    private var lastRung: UInt32 = 0
    /// Events that were attempted; the last one has this number.
    package private(set) var attempted: UInt64 = 0
    /// Those of them that found no room.
    package private(set) var dropped: UInt64 = 0

    private struct Mappings: ~Copyable {
        var control: Mapping?
        var events: Mapping?
    }

    /// Checks and maps a lane; the descriptors of its files are closed, so that nothing else can be made of them.
    ///
    /// - Parameters:
    ///   - control: Read-only.
    ///   - events: Read and write.
    ///   - doorbell: An eventfd.
    package init(
        control: consuming OwnedDescriptor, events: consuming OwnedDescriptor, doorbell: consuming OwnedDescriptor
    ) throws(LaneError) {
        try LaneMemory.checkFile(control, size: LaneLayout.controlSize)
        try LaneMemory.checkFile(events, size: LaneLayout.eventsSize)
        let controlMapping: Mapping
        let eventsMapping: Mapping
        do { controlMapping = try Mapping(control, length: LaneLayout.controlSize, writable: false) } catch { throw .system(error) }
        do { eventsMapping = try Mapping(events, length: LaneLayout.eventsSize, writable: true) } catch { throw .system(error) }
        // Written by the collector before the descriptors were sent, and never again.
        let header = unsafe controlMapping.base.load(as: termspan_lane_control.self)
        try LaneMemory.checkHeader(header)
        unsafe self.init(
            control: controlMapping.base, events: eventsMapping.base, firstSequence: header.first_sequence,
            doorbell: EventCounter(doorbell), mappings: Mappings(control: controlMapping, events: eventsMapping))
    }

    /// Over memory that the caller keeps, for tests in one address space.
    init(
        unsafeControl control: UnsafeMutableRawPointer, events: UnsafeMutableRawPointer, firstSequence: UInt64,
        doorbell: consuming EventCounter
    ) {
        unsafe self.init(
            control: control, events: events, firstSequence: firstSequence, doorbell: doorbell,
            mappings: Mappings(control: nil, events: nil))
    }

    private init(
        control: UnsafeMutableRawPointer, events: UnsafeMutableRawPointer, firstSequence: UInt64, doorbell: consuming EventCounter,
        mappings: consuming Mappings
    ) {
        unsafe head = LaneLayout.atomic64(control, LaneLayout.Offset.head)
        unsafe armEpoch = LaneLayout.atomic32(control, LaneLayout.Offset.armEpoch)
        unsafe sharedAttempted = LaneLayout.atomic64(events, LaneLayout.Offset.attempted)
        unsafe state = LaneLayout.atomic32(events, LaneLayout.Offset.state)
        unsafe self.events = unsafe events
        position = firstSequence
        cachedHead = firstSequence
        self.doorbell = doorbell
        self.mappings = mappings
        // Only a hint for people, so no order.
        unsafe state.pointee.store(ProducerState.attached.rawValue, ordering: .relaxed)
    }

    deinit {
        unsafe state.pointee.store(ProducerState.closed.rawValue, ordering: .relaxed)
    }

    /// Puts an event into the lane, or drops it if the lane is full; it never waits.
    ///
    /// - Parameters:
    ///   - type: Not 0.
    ///   - time: When it was observed.
    ///   - payload: At most 160 bytes.
    @discardableResult
    package mutating func publish(type: UInt8, time: BootInstant, payload: UnsafeRawBufferPointer) -> PublishResult {
        let length = payload.count
        precondition(length <= LaneLayout.maximumPayload && type != 0)
        attempted &+= 1
        // Relaxed: the commit below releases it, so whoever sees the event sees at least this number.
        unsafe sharedAttempted.pointee.store(attempted, ordering: .relaxed)

        let slots = LaneLayout.slots(for: length)
        if position &+ UInt64(slots) &- cachedHead > UInt64(LaneLayout.slotCount) {
            // Acquire: the collector has copied those slots before it released the head, so they may be written now.
            unsafe cachedHead = head.pointee.load(ordering: .acquiring)
            if position &+ UInt64(slots) &- cachedHead > UInt64(LaneLayout.slotCount) {
                dropped &+= 1
                return .dropped
            }
        }

        var source = payload.baseAddress
        var left = length
        let slot = unsafe events + LaneLayout.offset(of: position)
        let part = min(left, LaneLayout.firstPayload)
        unsafe termspan_slot_store(slot, time.nanoseconds, attempted, source, part)
        left -= part
        if left > 0 {
            unsafe source = source.map { unsafe $0 + part }
            for index in 1..<slots {
                let further = unsafe events + LaneLayout.offset(of: position &+ UInt64(index))
                let header = SlotHeader(continuation: index, ofEventAt: position, type: type, length: length)
                // Relaxed: invisible until the commit of the first slot.
                unsafe LaneLayout.atomic64(further, 0).pointee.store(header.word, ordering: .relaxed)
                let part = min(left, LaneLayout.furtherPayload)
                unsafe termspan_words_store(further + 8, source, part, LaneLayout.furtherPayload / 8)
                unsafe source = source.map { unsafe $0 + part }
                left -= part
            }
        }

        // The only commit. Sequentially consistent, as is the load that follows: either the collector's scan after it armed
        // finds this event, or this load finds the epoch (a store and a load on both sides: no weaker order will do).
        let header = SlotHeader(position: position, slots: slots, type: type, length: length)
        unsafe LaneLayout.atomic64(slot, 0).pointee.store(header.word, ordering: .sequentiallyConsistent)
        position &+= UInt64(slots)
        let epoch = unsafe armEpoch.pointee.load(ordering: .sequentiallyConsistent)
        if epoch != 0 && epoch != lastRung {
            lastRung = epoch
            doorbell.ring()
        }
        return .published
    }
}
