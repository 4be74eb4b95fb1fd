import CTermspanLinux
import Glibc
package import TermspanSystem

/// The collector's side of a lane's memory: two sealed files and the doorbell. It maps nothing.
///
/// Which descriptor goes where:
/// - to the producer: `controlForProducer()`, `events`, `doorbell`;
/// - to the descriptor store: `control`, `events`, `doorbell`; `init(adopting:events:doorbell:)` takes them back.
package struct LaneMemory: ~Copyable, Sendable {
    /// Read and write; the producer must never get it.
    package let control: OwnedDescriptor
    /// Read and write; the producer gets the same.
    package let events: OwnedDescriptor
    /// An eventfd(2) which the producer rings and nobody reads.
    package let doorbell: OwnedDescriptor
    /// The number that the collector gave the lane.
    package let lane: UInt32
    /// With attempted-at this names an event for ever, if the caller gives each lane another.
    package let generation: UInt64

    /// Makes a new lane. Lane memory is never used for a second producer.
    ///
    /// - Parameter firstSequence: The position of the first slot.
    package init(lane: UInt32, generation: UInt64, firstSequence: UInt64 = 0) throws(LaneError) {
        let control = try LaneError.wrap { () throws(SystemError) in
            try OwnedDescriptor.memoryFile(name: "termspan-control", size: LaneLayout.controlSize)
        }
        let events = try LaneError.wrap { () throws(SystemError) in
            try OwnedDescriptor.memoryFile(name: "termspan-events", size: LaneLayout.eventsSize)
        }
        let doorbell = try LaneError.wrap { () throws(SystemError) in try EventCounter().takeDescriptor() }
        var header = termspan_lane_control()
        header.magic = LaneLayout.magic
        header.version_major = LaneLayout.versionMajor
        header.version_minor = LaneLayout.versionMinor
        header.slot_size = UInt32(LaneLayout.slotSize)
        header.slots = UInt32(LaneLayout.slotCount)
        header.lane = lane
        header.generation = generation
        header.first_sequence = firstSequence
        header.head = firstSequence
        header.marks.0.head = firstSequence
        // Another head, so that the two can be told apart.
        header.marks.1.head = firstSequence &- 1
        let raw = control.raw
        try LaneError.wrap { () throws(SystemError) in
            unsafe try check(termspan_write_at(raw, &header, MemoryLayout<termspan_lane_control>.size, 0), "pwrite")
        }
        self.control = control
        self.events = events
        self.doorbell = doorbell
        self.lane = lane
        self.generation = generation
    }

    /// Takes back the descriptors of a lane that a predecessor made, and checks them.
    package init(
        adopting control: consuming OwnedDescriptor, events: consuming OwnedDescriptor, doorbell: consuming OwnedDescriptor
    ) throws(LaneError) {
        try Self.checkFile(control, size: LaneLayout.controlSize)
        try Self.checkFile(events, size: LaneLayout.eventsSize)
        var header = termspan_lane_control()
        let raw = control.raw
        try LaneError.wrap { () throws(SystemError) in
            unsafe try check(termspan_read_at(raw, &header, MemoryLayout<termspan_lane_control>.size, 0), "pread")
        }
        try Self.checkHeader(header)
        lane = header.lane
        generation = header.generation
        self.control = control
        self.events = events
        self.doorbell = doorbell
    }

    /// A read-only descriptor of `control`, for the producer.
    ///
    /// A mapping of it can't be made writable. It can be opened again for writing through /proc only by the files' owner, which is why
    /// a producer must run as another user; where it doesn't (without systemd), this holds against mistakes only.
    package borrowing func controlForProducer() throws(SystemError) -> OwnedDescriptor {
        try control.reopened(flags: O_RDONLY)
    }

    /// Refuses every further writable mapping, write and hole punch of `events`; the producer's mapping goes on.
    ///
    /// To be called once the producer has mapped it. EPERM: the producer sealed it in another way, which is its violation.
    package borrowing func sealEvents() throws(SystemError) {
        let seals: FileSeals = [.futureWrite, .seal]
        guard try !events.seals().isSuperset(of: seals) else { return }
        try events.addSeals(seals)
    }

    /// Checks one of a lane's files before it is mapped: nobody can shorten it under the mapping, which would raise SIGBUS.
    static func checkFile(_ file: borrowing OwnedDescriptor, size: Int) throws(LaneError) {
        let status: FileStatus
        let seals: FileSeals
        do {
            status = try file.status()
            seals = try file.seals()
        } catch {
            throw .system(error)
        }
        guard status.size == Int64(size) else { throw .size }
        guard seals.isSuperset(of: [.shrink, .grow]) else { throw .seals }
        guard status.permissions & 0o077 == 0 else { throw .mode }
    }

    static func checkHeader(_ header: termspan_lane_control) throws(LaneError) {
        guard header.magic == LaneLayout.magic else { throw .magic }
        guard header.version_major == LaneLayout.versionMajor else { throw .version(major: header.version_major) }
        guard header.slot_size == UInt32(LaneLayout.slotSize), header.slots == UInt32(LaneLayout.slotCount) else {
            throw .geometry
        }
    }
}
