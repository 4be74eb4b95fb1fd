package import TermspanSystem

/// The one region of the collector's addresses in which all lanes lie, each at a fixed place. One thread uses it.
///
/// Of each lane `control` is mapped for writing and `events` for reading only.
package final class Arena {
    /// The most lanes that any arena can hold.
    package static var maximumLanes: Int { 4096 }

    private let region: Mapping
    private var free: [Int32]
    /// How many lanes there can be.
    package let capacity: Int

    /// Reserves addresses (288 MiB for 4,096 lanes), without memory behind them.
    package init(capacity: Int = Arena.maximumLanes) throws(SystemError) {
        precondition(capacity > 0 && capacity <= Arena.maximumLanes)
        self.capacity = capacity
        region = try Mapping(reserving: capacity * LaneLayout.stride)
        free = (0..<Int32(capacity)).reversed()
    }

    /// The number of lanes that are mapped.
    package var count: Int { capacity - free.count }

    /// Maps a lane's files, which have been checked.
    func place(_ memory: borrowing LaneMemory) throws(LaneError) -> Int {
        guard let index = free.popLast() else { throw .full }
        let place = Int(index) * LaneLayout.stride
        do {
            try region.place(memory.control, at: place, length: LaneLayout.controlSize, writable: true)
            try region.place(
                memory.events, at: place + LaneLayout.controlSize, length: LaneLayout.eventsSize, writable: false)
        } catch {
            remove(Int(index))
            throw .system(error)
        }
        return Int(index)
    }

    /// Unmaps a lane. If that fails, its place is not used again.
    func remove(_ index: Int) {
        do {
            try region.clear(at: index * LaneLayout.stride, length: LaneLayout.stride)
            free.append(Int32(index))
        } catch {}
    }

    /// Where a lane's `control` begins; `events` follows at once.
    func base(_ index: Int) -> UnsafeMutableRawPointer {
        unsafe region.base + index * LaneLayout.stride
    }
}
