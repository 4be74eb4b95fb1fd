import CAttack
import Glibc
import Synchronization
import TermspanRing
import TermspanSystem

/// What a consumer has made durable: the stand-in for the store, in shared memory, so that it outlives a consumer that is killed.
///
/// As in a transaction, what is in it counts once it is committed, with one store, and all at once.
struct Ledger {
    /// One event as it came.
    struct Entry {
        var attemptedAt: UInt64
        var lostBefore: UInt64
        var type: UInt8
        var payload: [UInt8]
    }

    private static let entrySize = 192
    private static let first = 64
    private static let capacity = 1_200
    static let size = (first + capacity * entrySize + 4095) / 4096 * 4096

    private let base: UnsafeMutableRawPointer
    /// Of this process alone: how many events are read and not committed. What they are stands behind the committed ones.
    private let openCount: UnsafeMutablePointer<Int>

    init(_ base: UnsafeMutableRawPointer) {
        self.base = base
        openCount = .allocate(capacity: 1)
        clear()
    }

    func clear() {
        base.initializeMemory(as: UInt8.self, repeating: 0, count: Self.first)
        openCount.pointee = 0
    }

    var progress: UnsafeMutablePointer<attack_progress> { (base + 16).assumingMemoryBound(to: attack_progress.self) }

    private var committed: UnsafeMutablePointer<Atomic<UInt64>> { base.assumingMemoryBound(to: Atomic<UInt64>.self) }
    /// How many events there have to be in the end, for a consumer that goes on.
    var wanted: UInt64 {
        get { base.load(fromByteOffset: 8, as: UInt64.self) }
        nonmutating set { base.storeBytes(of: newValue, toByteOffset: 8, as: UInt64.self) }
    }

    var count: Int { Int(committed.pointee.load(ordering: .acquiring)) }
    /// The number of the last durable event.
    var durable: UInt64 { count == 0 ? 0 : (base + Self.first + (count - 1) * Self.entrySize).load(as: UInt64.self) }

    func append(_ record: LaneRecord) {
        guard count + openCount.pointee < Self.capacity else { return }
        let place = base + Self.first + (count + openCount.pointee) * Self.entrySize
        place.storeBytes(of: record.attemptedAt, as: UInt64.self)
        place.storeBytes(of: record.lostBefore, toByteOffset: 8, as: UInt64.self)
        place.storeBytes(of: record.type, toByteOffset: 16, as: UInt8.self)
        place.storeBytes(of: UInt8(record.payload.count), toByteOffset: 17, as: UInt8.self)
        if let source = record.payload.baseAddress { memcpy(place + 24, source, record.payload.count) }
        openCount.pointee += 1
    }

    func commit() {
        // Release: the entries come before what makes them count.
        committed.pointee.store(UInt64(count + openCount.pointee), ordering: .releasing)
        openCount.pointee = 0
    }

    var entries: [Entry] {
        (0..<count).map { index in
            let place = base + Self.first + index * Self.entrySize
            let length = Int(place.load(fromByteOffset: 17, as: UInt8.self))
            return Entry(
                attemptedAt: place.load(as: UInt64.self), lostBefore: place.load(fromByteOffset: 8, as: UInt64.self),
                type: place.load(fromByteOffset: 16, as: UInt8.self),
                payload: Array(UnsafeRawBufferPointer(start: place + 24, count: length)))
        }
    }
}
