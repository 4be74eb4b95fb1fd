import CTermspanLinux
import Synchronization
import TermspanCore
package import TermspanSystem

/// The collector's side of a lane. One thread uses it.
///
/// Everything in `events` is hostile: it is copied once, the copy is checked, and nothing in it can trap. After a violation the lane is not
/// read any more.
@safe package struct LaneReader: ~Copyable {
    /// Holds the mapping; nil over memory that a test keeps.
    private let arena: Arena?
    private let place: Int
    /// The lane's eventfd, for epoll: edge-triggered, never read.
    package let doorbell: OwnedDescriptor
    package let lane: UInt32
    package let generation: UInt64

    private let control: UnsafeMutableRawPointer
    private let events: UnsafeMutableRawPointer
    /// One event: the words of its first slot, then the payloads of the further ones.
    private let scratch: UnsafeMutablePointer<UInt64>

    /// The next slot to read.
    private var position: UInt64
    /// The acknowledged head.
    private var head: UInt64
    /// Attempted-at of the last event read.
    private var lastAttempted: UInt64
    /// `attempted` as it was read last.
    private var seenAttempted: UInt64
    /// Events that were read since.
    private var unchecked: UInt64 = 0
    /// How often nothing was found since.
    private var emptyDrains: UInt64 = 0
    private var lastTime: UInt64
    private var epoch: UInt32
    /// Which of the two marks belongs to the head.
    private var markIndex: Int
    /// Events up to here were durable before a restart.
    private let durable: UInt64

    /// Events that were read, those that were durable already included.
    package private(set) var delivered: UInt64
    /// Why the lane isn't read any more.
    package private(set) var violation: LaneViolation?

    /// Attaches to a lane at its acknowledged head, be it new or one that a predecessor read.
    ///
    /// - Parameters:
    ///   - arena: Where it is mapped until the reader goes away.
    ///   - durable: The attempted-at that was saved last with this lane's generation. The head is acknowledged after that, so
    ///     a collector that was killed in between meets some events again: they are passed over.
    package init(_ memory: borrowing LaneMemory, in arena: Arena, durable: UInt64 = 0) throws(LaneError) {
        try LaneMemory.checkFile(memory.control, size: LaneLayout.controlSize)
        try LaneMemory.checkFile(memory.events, size: LaneLayout.eventsSize)
        let doorbell: OwnedDescriptor
        do { doorbell = try memory.doorbell.duplicate() } catch { throw .system(error) }
        let place = try arena.place(memory)
        let base = unsafe arena.base(place)
        let state: Attachment
        do {
            state = unsafe try Attachment(base)
        } catch {
            arena.remove(place)
            throw error
        }
        unsafe self.init(
            state, control: base, events: base + LaneLayout.controlSize, doorbell: doorbell, durable: durable, arena: arena,
            place: place)
    }

    /// Over memory that the caller keeps, for tests in one address space.
    init(
        unsafeControl control: UnsafeMutableRawPointer, events: UnsafeMutableRawPointer, doorbell: consuming OwnedDescriptor
    ) throws(LaneError) {
        let state = unsafe try Attachment(control)
        unsafe self.init(state, control: control, events: events, doorbell: doorbell, durable: 0, arena: nil, place: 0)
    }

    /// Where a reader begins: what `control` says.
    private struct Attachment {
        let header: termspan_lane_control
        let mark: termspan_lane_mark
        let markIndex: Int

        init(_ control: UnsafeMutableRawPointer) throws(LaneError) {
            // Only collectors write to it, one after the other.
            header = unsafe control.load(as: termspan_lane_control.self)
            try LaneMemory.checkHeader(header)
            if header.marks.0.head == header.head {
                mark = header.marks.0
                markIndex = 0
            } else if header.marks.1.head == header.head {
                mark = header.marks.1
                markIndex = 1
            } else {
                throw .marks
            }
            // The differences below rest on it.
            guard mark.attempted_at >= mark.delivered else { throw .marks }
        }
    }

    private init(
        _ state: Attachment, control: UnsafeMutableRawPointer, events: UnsafeMutableRawPointer, doorbell: consuming OwnedDescriptor,
        durable: UInt64,
        arena: Arena?, place: Int
    ) {
        let header = state.header
        let mark = state.mark
        markIndex = state.markIndex
        unsafe self.control = unsafe control
        unsafe self.events = unsafe events
        unsafe scratch = .allocate(capacity: LaneLayout.maximumSlots * LaneLayout.slotSize / 8)
        unsafe scratch.initialize(repeating: 0, count: LaneLayout.maximumSlots * LaneLayout.slotSize / 8)
        self.arena = arena
        self.place = place
        self.doorbell = doorbell
        self.durable = durable
        lane = header.lane
        generation = header.generation
        position = header.head
        head = header.head
        lastAttempted = mark.attempted_at
        seenAttempted = mark.attempted_at
        delivered = mark.delivered
        lastTime = mark.time
        epoch = header.last_epoch
    }

    deinit {
        unsafe scratch.deallocate()
        arena?.remove(place)
    }

    // MARK: Reading

    /// Reads what is there, in order.
    ///
    /// - Parameters:
    ///   - limit: The most slots to read, so that no lane starves the others; an event has up to 4, and one is always read.
    ///   - body: Called with each event. It must not keep the payload.
    /// - Returns: How many events there were, those that were durable already included.
    /// - Throws: What the producer did wrong, from then on at each call. The events before it have been passed on.
    @discardableResult
    package mutating func drain(limit: Int = 64, _ body: (LaneRecord) -> Void) throws(LaneViolation) -> Int {
        if let violation { throw violation }
        var left = limit
        var count = 0
        var now: UInt64 = 0
        while left > 0 {
            let slot = unsafe events + LaneLayout.offset(of: position)
            // Acquire: the producer wrote the rest before it released the header. The header is read once; the copy's is this one.
            let header = unsafe SlotHeader(word: LaneLayout.atomic64(slot, 0).pointee.load(ordering: .acquiring))
            guard header.isCommit(at: position) else { break }
            let slots = header.slots
            let length = header.length
            guard length <= LaneLayout.maximumPayload else { throw quarantine(.length) }
            guard slots == LaneLayout.slots(for: length) else { throw quarantine(.slots) }
            guard header.type != 0 else { throw quarantine(.type) }
            guard position &+ UInt64(slots) &- head <= UInt64(LaneLayout.slotCount) else { throw quarantine(.overrun) }
            if slots > left && count > 0 { break }

            unsafe termspan_slot_load(scratch, slot)
            for index in 1..<slots {
                let further = unsafe events + LaneLayout.offset(of: position &+ UInt64(index))
                // Relaxed: the first header's acquire covers it.
                let word = unsafe LaneLayout.atomic64(further, 0).pointee.load(ordering: .relaxed)
                guard
                    word == SlotHeader(continuation: index, ofEventAt: position, type: header.type, length: length).word
                else { throw quarantine(.continuation) }
                // Words 1 to 7 go behind what is there already; word 0 of the target is not written.
                let target = unsafe scratch + (LaneLayout.slotSize + (index - 1) * LaneLayout.furtherPayload) / 8 - 1
                unsafe termspan_slot_load(target, further)
            }

            let attemptedAt = unsafe scratch[2]
            guard attemptedAt > lastAttempted else { throw quarantine(.attemptedAt) }
            var time = unsafe scratch[1]
            if time > now {
                now = termspan_boot_nanoseconds()
                time = min(time, now)
            }
            time = max(time, lastTime)

            let lost = attemptedAt - lastAttempted - 1
            lastAttempted = attemptedAt
            lastTime = time
            position &+= UInt64(slots)
            left -= slots
            delivered &+= 1
            unchecked &+= 1
            count += 1
            if attemptedAt > durable {
                let payload = unsafe UnsafeRawBufferPointer(start: scratch + 3, count: length)
                unsafe body(
                    LaneRecord(
                        type: header.type, time: BootInstant(nanoseconds: time), attemptedAt: attemptedAt, lostBefore: lost,
                        payload: payload))
            }
        }
        // While other lanes keep the thread busy, a lane that fell silent is not armed, so that is looked at as well.
        if count == 0 && unchecked > 0 { emptyDrains &+= 1 } else { emptyDrains = 0 }
        if unchecked >= Self.checkInterval || emptyDrains >= Self.emptyInterval { try checkAttempted() }
        return count
    }

    /// Whether there is something to read. False for good after a violation.
    package var isReady: Bool {
        guard violation == nil else { return false }
        let slot = unsafe events + LaneLayout.offset(of: position)
        // Sequentially consistent: see `arm()`. What it finds is read by `drain` again.
        let word = unsafe LaneLayout.atomic64(slot, 0).pointee.load(ordering: .sequentiallyConsistent)
        return SlotHeader(word: word).isCommit(at: position)
    }

    /// Stops reading this lane for good.
    package mutating func quarantine(_ violation: LaneViolation) -> LaneViolation {
        if self.violation == nil { self.violation = violation }
        return violation
    }

    /// After how many events the count of attempts is looked at.
    ///
    /// Not at each event: the count is in a cache line that the producer writes at each event, so reading it as often nearly doubles the time
    /// that an event takes on its way. It is looked at before the thread sleeps and at the end as well. Nothing is won by a false count
    /// meanwhile: a producer that wants to claim losses can count attempts that it never made.
    private static var checkInterval: UInt64 { 64 }
    /// After how many looks that found nothing.
    private static var emptyInterval: UInt64 { 1024 }

    /// Checks that the count of attempts covers what was read and did not go back.
    private mutating func checkAttempted() throws(LaneViolation) {
        let attempted = loadAttempted()
        guard attempted >= seenAttempted, attempted >= lastAttempted else { throw quarantine(.attempted) }
        seenAttempted = attempted
        unchecked = 0
        emptyDrains = 0
    }

    // MARK: Sleeping

    /// Asks the producer to ring at its next event, then looks again.
    ///
    /// - Returns: Whether `drain` should be called: something is there, or a violation was found. Then don't sleep.
    package mutating func arm() -> Bool {
        guard violation == nil else { return false }
        if unchecked > 0 {
            do throws(LaneViolation) { try checkAttempted() } catch { return true }
        }
        epoch &+= 1
        // 0 means 'don't ring'.
        if epoch == 0 { epoch = 1 }
        // For a successor only; it is in the same cache line.
        unsafe LaneLayout.atomic32(control, LaneLayout.Offset.lastEpoch).pointee.store(epoch, ordering: .relaxed)
        // Sequentially consistent, as is the load in `isReady`; the producer stores and loads in the opposite order.
        unsafe LaneLayout.atomic32(control, LaneLayout.Offset.armEpoch).pointee.store(epoch, ordering: .sequentiallyConsistent)
        return isReady
    }

    /// Asks the producer not to ring.
    package mutating func disarm() {
        unsafe LaneLayout.atomic32(control, LaneLayout.Offset.armEpoch).pointee.store(0, ordering: .relaxed)
    }

    // MARK: Acknowledging

    /// How far the lane has been read: to be saved, and acknowledged once it is durable.
    package var mark: LaneMark {
        LaneMark(
            generation: generation, attemptedAt: lastAttempted, delivered: delivered, time: BootInstant(nanoseconds: lastTime),
            position: position)
    }

    /// The attempted-at up to which events are folded: beyond that of the mark while those that were durable already are passed over.
    package var folded: UInt64 { max(lastAttempted, durable) }

    /// Gives the slots up to a mark back to the producer, once what was in them is durable.
    ///
    /// A mark that is not beyond the last one acknowledged changes nothing.
    ///
    /// - Parameters:
    ///   - mark: Of this lane.
    ///   - checkpoint: The caller's number for what it made durable; kept in the lane.
    package mutating func acknowledge(upTo mark: LaneMark, checkpoint: UInt64) {
        precondition(mark.generation == generation)
        let advance = mark.position &- head
        guard advance != 0, advance <= position &- head else { return }
        // The other mark is written first and counts only when the head is stored: a collector that is killed in between leaves
        // the one that belongs to the old head. All are the collector's own, and a successor starts after its end: relaxed.
        markIndex ^= 1
        let place = LaneLayout.Offset.marks + markIndex * LaneLayout.Offset.markSize
        unsafe LaneLayout.atomic64(control, place + 8).pointee.store(mark.attemptedAt, ordering: .relaxed)
        unsafe LaneLayout.atomic64(control, place + 16).pointee.store(mark.delivered, ordering: .relaxed)
        unsafe LaneLayout.atomic64(control, place + 24).pointee.store(mark.time.nanoseconds, ordering: .relaxed)
        unsafe LaneLayout.atomic64(control, place).pointee.store(mark.position, ordering: .relaxed)
        unsafe LaneLayout.atomic64(control, LaneLayout.Offset.checkpoint).pointee.store(checkpoint, ordering: .relaxed)
        head = mark.position
        // Release: the slots were copied before the producer may write them again, and the mark is complete.
        unsafe LaneLayout.atomic64(control, LaneLayout.Offset.head).pointee.store(head, ordering: .releasing)
    }

    /// The number that came with the last acknowledgement; 0 if there was none.
    package var checkpoint: UInt64 {
        unsafe LaneLayout.atomic64(control, LaneLayout.Offset.checkpoint).pointee.load(ordering: .relaxed)
    }

    /// Slots that were read and not given back. From half of the lane's slots on a checkpoint is due.
    package var unacknowledgedSlots: Int {
        Int(truncatingIfNeeded: position &- head)
    }

    /// Whether a checkpoint should not wait for its turn.
    package var isHalfFull: Bool {
        unacknowledgedSlots >= LaneLayout.slotCount / 2
    }

    // MARK: Counting

    /// Events that were lost before the last one read.
    package var lost: UInt64 {
        lastAttempted - delivered
    }

    /// The attempts of which the producer tells, never less than what was read.
    package var attempted: UInt64 {
        max(loadAttempted(), seenAttempted, lastAttempted)
    }

    /// Attempts after the last event read: events not read yet, in flight or lost.
    package var pending: UInt64 {
        attempted - lastAttempted
    }

    /// What the producer says of itself; nil if it says nonsense.
    package var producerState: ProducerState? {
        ProducerState(rawValue: unsafe LaneLayout.atomic32(events, LaneLayout.Offset.state).pointee.load(ordering: .relaxed))
    }

    /// The lane's account, once its producer has ended and the lane was drained.
    ///
    /// - Throws: The count of attempts is behind what was read.
    package mutating func finish() throws(LaneViolation) -> LaneTotals {
        if let violation { throw violation }
        try checkAttempted()
        return LaneTotals(
            attempted: seenAttempted, delivered: delivered, lost: seenAttempted - delivered,
            lostAfterLast: seenAttempted - lastAttempted)
    }

    @inline(__always)
    private func loadAttempted() -> UInt64 {
        // Relaxed: an event's commit, which was acquired, releases the number that it needs.
        unsafe LaneLayout.atomic64(events, LaneLayout.Offset.attempted).pointee.load(ordering: .relaxed)
    }
}
