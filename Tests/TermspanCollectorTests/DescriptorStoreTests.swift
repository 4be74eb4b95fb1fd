import CTermspanLinux
import Glibc
import TermspanRing
import TermspanSystem
import Testing

@testable import TermspanCollector

/// What comes back from systemd after a restart, and is not what was given.
@Suite struct DescriptorStoreTests {
    /// The four descriptors of a lane after `change`; the order is not kept.
    private static func stored(_ change: (borrowing LaneMemory) throws -> Void) throws -> [Int32] {
        let memory = try LaneMemory(lane: 3, generation: 9)
        try change(memory)
        return [
            try memory.doorbell.duplicate().release(), socket(AF_UNIX, Int32(SOCK_SEQPACKET.rawValue), 0),
            try memory.events.duplicate().release(),
            try memory.control.duplicate().release(),
        ]
    }

    private static func refusal(_ raws: [Int32]) -> String? {
        do {
            let lane = try DescriptorStore.lane(of: raws)
            return lane.memory.generation == 9 ? nil : "another lane"
        } catch {
            return "\(error)"
        }
    }

    private static func store<T: BitwiseCopyable>(_ value: T, at offset: Int) -> (borrowing LaneMemory) throws -> Void {
        { memory in
            let control = try Mapping(memory.control, length: LaneLayout.controlSize, writable: true)
            control.base.storeBytes(of: value, toByteOffset: offset, as: T.self)
        }
    }

    @Test func aLaneThatIsNoneIsRefusedWithItsReason() throws {
        #expect(Self.refusal(try Self.stored { _ in }) == nil)
        #expect(Self.refusal(try Self.stored(Self.store(UInt64(1), at: 0))) == "not a lane")
        #expect(Self.refusal(try Self.stored(Self.store(UInt16(2), at: 8))) == "a lane of version 2")
        #expect(Self.refusal(try Self.stored(Self.store(UInt32(128), at: 12))) == "a lane with slots of another form")
        #expect(Self.refusal(try Self.stored { fchmod($0.events.raw, 0o644) }) == "a lane's file is open to others")

        let incomplete = "a descriptor of its four is missing or of another kind"
        var raws = try Self.stored { _ in }
        close(raws.removeLast())
        #expect(Self.refusal(raws) == incomplete)
        // A file of another size, and one that could change its size.
        raws = try Self.stored { _ in }
        close(raws[2])
        raws[2] = try OwnedDescriptor.memoryFile(name: "short", size: 8_192).release()
        #expect(Self.refusal(raws) == incomplete)
        raws = try Self.stored { _ in }
        close(raws[2])
        raws[2] = termspan_memfd_create("unsealed")
        fchmod(raws[2], 0o600)
        ftruncate(raws[2], LaneLayout.eventsSize)
        #expect(Self.refusal(raws) == "a lane's file is not sealed")
    }
}
