import Glibc
import RingPattern
import SeededRandom
import TermspanCore
import TermspanRing
import TermspanSystem

/// A source, a process of its own: bursts of random length with random pauses, until it has had enough or is told to stop.
///
/// Its descriptors: 3 to 5 the lane's control, events and doorbell, 6 the witnesses.
enum Source {
    static func run(place: Int, places: Int, generation: UInt64, seed: UInt64, breach: Breach?) throws {
        let parent = getppid()
        var writer = try LaneWriter(control: OwnedDescriptor(3), events: OwnedDescriptor(4), doorbell: OwnedDescriptor(5))
        let memory = try Mapping(OwnedDescriptor(6), length: Witness.size(places), writable: true)
        let witness = Witness(memory.base, place: place)
        let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: LaneLayout.maximumPayload, alignment: 8)
        if breach == .again {
            // This is the lane's second source: its first event is one too many.
            let pattern = pattern(1, generation: generation)
            writer.publish(type: pattern.type, time: .now(), payload: pattern.fill(buffer))
            return
        }
        var random = SeededRandom(seed: seed)
        let enough = 1_000 + random.next() % 30_000
        while writer.attempted < enough, !witness.isStopped, getppid() == parent {
            // Mostly short ones; a few are longer than a lane.
            let longest: UInt64 =
                switch random.next() % 20 {
                case 0: 3_000
                case 1..<6: 300
                default: 32
                }
            for _ in 0...random.next() % longest {
                let attempt = writer.attempted + 1
                let pattern = pattern(attempt, generation: generation)
                let payload = pattern.fill(buffer)
                if breach == .torn, random.next() % 2_000 == 0, !payload.isEmpty { buffer[payload.count - 1] ^= 1 }
                switch writer.publish(type: pattern.type, time: .now(), payload: payload) {
                case .published: witness.publish(attempt)
                case .dropped: witness.drop()
                }
            }
            let pause: UInt64 =
                switch random.next() % 10 {
                case 0: 400_000_000
                case 1..<5: 100_000_000
                default: 5_000_000
                }
            sleep(for: .nanoseconds(Int64(random.next() % pause)))
        }
    }
}
