// A producer for the ring's tests: descriptors 3 to 6 are a lane's control, events and doorbell, and 8 bytes of memory in which it says
// which event it published last.
import Glibc
import RingPattern
import SeededRandom
import TermspanCore
import TermspanRing
import TermspanSystem

/// - Parameters:
///   - count: How many events to attempt; 0 never ends.
///   - pause: The longest pause between two, in nanoseconds; each is random.
func produce(count: UInt64, pause: UInt64, seed: UInt64) throws {
    var writer = try LaneWriter(control: OwnedDescriptor(3), events: OwnedDescriptor(4), doorbell: OwnedDescriptor(5))
    let witness = try Mapping(OwnedDescriptor(6), length: 4096, writable: true)
    let published = witness.base.assumingMemoryBound(to: UInt64.self)
    let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: LaneLayout.maximumPayload, alignment: 8)
    var random = SeededRandom(seed: seed)
    var attempt: UInt64 = 0
    while count == 0 || attempt < count {
        attempt += 1
        let pattern = RingPattern(attempt: attempt)
        if writer.publish(type: pattern.type, time: .now(), payload: pattern.fill(buffer)) == .published {
            published.pointee = attempt
        }
        if pause > 0 { sleep(for: .nanoseconds(Int64(random.next() % pause))) }
    }
}

let numbers = CommandLine.arguments.dropFirst().compactMap(UInt64.init)
guard numbers.count == 3 else {
    print("usage: ring-producer COUNT PAUSE SEED, with descriptors 3 to 6")
    exit(2)
}
do {
    try produce(count: numbers[0], pause: numbers[1], seed: numbers[2])
} catch {
    print(error)
    exit(1)
}
