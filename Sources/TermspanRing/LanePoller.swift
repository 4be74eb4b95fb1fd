package import TermspanSystem

/// Names a lane in a poller; never used again for another.
package struct LaneKey: Hashable, Sendable {
    let index: UInt32
    let serial: UInt32

    /// A number that names it as well, in logs for instance.
    package var rawValue: UInt64 { UInt64(serial) << 32 | UInt64(index) }
}

/// What ended a wait.
package struct PollerWake: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// There may be something in a lane: do a round.
    package static let lanes = PollerWake(rawValue: 1 << 0)
    /// Another thread called the waker.
    package static let commands = PollerWake(rawValue: 1 << 1)
}

/// Wakes the thread that waits in a poller. Any thread.
package final class PollerWaker: Sendable {
    fileprivate let counter: EventCounter

    fileprivate init() throws(SystemError) {
        counter = try EventCounter()
    }

    /// Ends the wait that is going on, or the next one. Several calls may end one wait only.
    package func wake() {
        counter.ring()
    }
}

/// The readers of all lanes and how their thread waits for them. One thread uses it; only its waker is for others.
///
/// The loop: `wait`, then, as the wake says, look for commands and do a `round`.
///
/// A lane is *hot* while it has events, else it sleeps: its producer was asked to ring. A round reads the hot lanes only, at most 64 slots
/// of each. When a round finds nothing, all hot lanes are armed with a new epoch and looked at once more before the thread sleeps.
@safe package struct LanePoller: ~Copyable {
    /// The most slots that are read of a lane in one round.
    package static var slotsPerRound: Int { 64 }

    private let arena: Arena
    private var epoll: Epoll
    package let waker: PollerWaker

    /// One place a lane that the arena can hold; a reader is there where `entries` says so.
    private let readers: UnsafeMutablePointer<LaneReader>
    private let entries: UnsafeMutablePointer<Entry>
    /// The indices of the hot lanes, `hotCount` of them.
    private let hot: UnsafeMutablePointer<UInt32>
    private var hotCount = 0
    private var freeIndices: [UInt32]
    /// Whether the last round read anything.
    private var wasBusy = false

    private struct Entry {
        var serial: UInt32 = 0
        var isOccupied = false
        var isHot = false
        /// Rings that are still allowed. A producer rings at most once for an event, so each event allows another one.
        var ringsLeft: Int32 = 0
    }

    /// Rings without events that are forgiven.
    private static var initialRings: Int32 { 64 }
    private static var maximumRings: Int32 { 4096 }
    private static var wakerToken: UInt64 { .max }

    /// - Parameter capacity: How many lanes there can be.
    package init(capacity: Int = Arena.maximumLanes) throws(SystemError) {
        let arena = try Arena(capacity: capacity)
        let epoll = try Epoll()
        let waker = try PollerWaker()
        try epoll.add(waker.counter.descriptor.raw, .readable, token: Self.wakerToken)
        self.arena = arena
        self.epoll = epoll
        self.waker = waker
        unsafe readers = .allocate(capacity: capacity)
        unsafe entries = .allocate(capacity: capacity)
        unsafe entries.initialize(repeating: Entry(), count: capacity)
        unsafe hot = .allocate(capacity: capacity)
        unsafe hot.initialize(repeating: 0, count: capacity)
        freeIndices = (0..<UInt32(capacity)).reversed()
    }

    deinit {
        for index in 0..<arena.capacity where unsafe entries[index].isOccupied {
            unsafe (readers + index).deinitialize(count: 1)
        }
        unsafe readers.deallocate()
        unsafe entries.deallocate()
        unsafe hot.deallocate()
    }

    // MARK: Lanes

    /// The number of lanes.
    package var count: Int { arena.capacity - freeIndices.count }

    /// Attaches to a lane and reads it from the next round on.
    ///
    /// - Parameter durable: As for `LaneReader`.
    package mutating func add(_ memory: borrowing LaneMemory, durable: UInt64 = 0) throws(LaneError) -> LaneKey {
        guard let index = freeIndices.last else { throw .full }
        let reader = try LaneReader(memory, in: arena, durable: durable)
        let place = Int(index)
        let serial = unsafe entries[place].serial &+ 1
        let token = LaneKey(index: index, serial: serial).rawValue
        do { try epoll.add(reader.doorbell.raw, [.readable, .edgeTriggered], token: token) } catch { throw .system(error) }
        freeIndices.removeLast()
        unsafe (readers + place).initialize(to: reader)
        unsafe entries[place] = Entry(serial: serial, isOccupied: true, isHot: false, ringsLeft: Self.initialRings)
        heat(place)
        return LaneKey(index: index, serial: serial)
    }

    /// Gives a lane up; its reader can be drained to its end and asked for its totals. Nil if the key names none.
    package mutating func remove(_ key: LaneKey) -> LaneReader? {
        guard holds(key) else { return nil }
        let place = Int(key.index)
        cool(place)
        // Before the descriptor is closed: others have the same open file, so it would stay in the set. It is missing only after a violation.
        stopWaiting(for: place)
        unsafe entries[place].isOccupied = false
        freeIndices.append(key.index)
        return unsafe (readers + place).move()
    }

    /// Calls `body` with a lane's reader, to acknowledge or to read counters for instance. Nil if the key names none.
    package mutating func withLane<Result, Failure: Error>(
        _ key: LaneKey, _ body: (inout LaneReader) throws(Failure) -> Result
    ) throws(Failure) -> Result? {
        guard holds(key) else { return nil }
        return unsafe try body(&readers[Int(key.index)])
    }

    /// Calls `body` with each lane.
    package mutating func forEachLane<Failure: Error>(
        _ body: (LaneKey, inout LaneReader) throws(Failure) -> Void
    ) throws(Failure) {
        for index in 0..<arena.capacity where unsafe entries[index].isOccupied {
            let key = LaneKey(index: UInt32(index), serial: unsafe entries[index].serial)
            unsafe try body(key, &readers[index])
        }
    }

    // MARK: The loop

    /// Waits until a lane has something, the waker is called or the time is over.
    ///
    /// - Parameter timeout: Nil waits for ever.
    /// - Returns: What there is to do; empty after the time limit or, rarely, for no reason.
    package mutating func wait(timeout: Duration? = nil) throws(SystemError) -> PollerWake {
        var wake: PollerWake = []
        if hotCount > 0 {
            if wasBusy || armAll() { wake.insert(.lanes) }
        }
        // Also while busy: sleeping lanes and commands must not wait for busy ones.
        let entries = unsafe entries
        let hot = unsafe hot
        var hotCount = hotCount
        let capacity = UInt64(arena.capacity)
        var rung = wake
        try epoll.wait(timeout: wake.isEmpty ? timeout : .zero) { token, _ in
            if token == Self.wakerToken {
                rung.insert(.commands)
                return
            }
            let index = token & 0xFFFF_FFFF
            guard index < capacity else { return }
            let place = Int(index)
            guard unsafe entries[place].isOccupied, unsafe entries[place].serial == UInt32(truncatingIfNeeded: token >> 32) else { return }
            rung.insert(.lanes)
            unsafe entries[place].ringsLeft -= 1
            if unsafe !entries[place].isHot {
                unsafe entries[place].isHot = true
                unsafe hot[hotCount] = UInt32(place)
                hotCount += 1
            }
        }
        self.hotCount = hotCount
        if rung.contains(.commands) { waker.counter.drain() }
        return rung
    }

    /// Reads at most 64 slots of each hot lane.
    ///
    /// - Parameters:
    ///   - violated: Called once for a lane whose producer broke the protocol; the lane isn't read or waited for any more, and stays until it is
    ///     removed.
    ///   - body: Called with each event.
    /// - Returns: How many events there were.
    @discardableResult
    package mutating func round(
        violated: (LaneKey, LaneViolation) -> Void, _ body: (LaneKey, LaneRecord) -> Void
    ) -> Int {
        var total = 0
        var next = 0
        while next < hotCount {
            let place = unsafe Int(hot[next])
            let key = LaneKey(index: UInt32(place), serial: unsafe entries[place].serial)
            do throws(LaneViolation) {
                let count = unsafe try readers[place].drain(limit: Self.slotsPerRound) { record in body(key, record) }
                let rings = unsafe Int(entries[place].ringsLeft) + count
                unsafe entries[place].ringsLeft = Int32(min(rings, Int(Self.maximumRings)))
                if rings < 0 { throw unsafe readers[place].quarantine(.doorbell) }
                total += count
                next += 1
            } catch {
                stopWaiting(for: place)
                cool(at: next)
                violated(key, error)
            }
        }
        wasBusy = total > 0
        return total
    }

    /// Arms all hot lanes; those that are still empty sleep from then on.
    ///
    /// - Returns: Whether one has something.
    private mutating func armAll() -> Bool {
        var next = 0
        while next < hotCount {
            let place = unsafe Int(hot[next])
            if unsafe readers[place].arm() {
                next += 1
            } else {
                cool(at: next)
            }
        }
        return hotCount > 0
    }

    /// Takes a lane's doorbell out of the set, if it is in it. Never inlined: errors are reference counted, and a round is not.
    @inline(never)
    private mutating func stopWaiting(for place: Int) {
        let descriptor = unsafe readers[place].doorbell.raw
        do { try epoll.remove(descriptor) } catch {}
    }

    private func holds(_ key: LaneKey) -> Bool {
        let place = Int(key.index)
        guard place < arena.capacity else { return false }
        return unsafe entries[place].isOccupied && entries[place].serial == key.serial
    }

    private mutating func heat(_ place: Int) {
        guard unsafe !entries[place].isHot else { return }
        unsafe entries[place].isHot = true
        unsafe hot[hotCount] = UInt32(place)
        hotCount += 1
    }

    private mutating func cool(_ place: Int) {
        for index in 0..<hotCount where unsafe hot[index] == UInt32(place) {
            cool(at: index)
            return
        }
    }

    /// Takes a lane out of the hot ones by its place among them; the last one moves there.
    private mutating func cool(at index: Int) {
        unsafe entries[Int(hot[index])].isHot = false
        hotCount -= 1
        unsafe hot[index] = hot[hotCount]
    }
}
