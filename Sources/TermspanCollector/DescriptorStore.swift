import Glibc
import TermspanBus
package import TermspanRing
package import TermspanSystem

/// What the service manager keeps for us while we restart: each lane's two files, its doorbell and its probe's control channel.
///
/// All four have one name, which is short since long ones make a restart fail; what each is shows in its kind.
package enum DescriptorStore {
    /// The descriptors of one lane as they came back.
    package struct Lane: ~Copyable {
        package let memory: LaneMemory
        private let channel: OwnedDescriptor

        init(memory: consuming LaneMemory, channel: consuming OwnedDescriptor) {
            self.memory = memory
            self.channel = channel
        }

        /// Gives the channel up; the memory's descriptors are closed, as their mapping stays.
        package consuming func takeChannel() -> OwnedDescriptor { channel }
    }

    package static func name(ofLane generation: UInt64) -> String { "l" + hexadecimal(generation) }

    package static func hexadecimal(_ number: UInt64) -> String {
        let digits = String(number, radix: 16)
        return String(repeating: "0", count: 16 - digits.utf8.count) + digits
    }

    package static func keep(_ lane: borrowing LaneMemory, channel: Int32, name: String) throws {
        guard ServiceManager.isPresent else { return }
        try ServiceManager.storeDescriptors([lane.control.raw, lane.events.raw, lane.doorbell.raw], name: name, poll: false)
        try ServiceManager.storeDescriptors([channel], name: name, poll: false)
    }

    package static func remove(generation: UInt64) {
        guard ServiceManager.isPresent else { return }
        try? ServiceManager.removeStored(name: name(ofLane: generation))
    }

    /// The raw descriptors that came back, by name; the caller owns them.
    package static func takeAll() -> [String: [Int32]] {
        Dictionary(grouping: ServiceManager.takeDescriptors(), by: \.name).mapValues { $0.map(\.descriptor) }
    }

    /// Not all four of a lane's descriptors came back.
    package struct Incomplete: Error, CustomStringConvertible {
        package var description: String { "a descriptor of its four is missing or of another kind" }
    }

    /// Sorts the descriptors of one lane by their kind, and checks them.
    ///
    /// - Throws: `Incomplete` unless there is one of each, or what is wrong with the lane (`LaneError`); all of them are closed then.
    package static func lane(of raws: [Int32]) throws -> Lane {
        var control: Int32?
        var events: Int32?
        var channel: Int32?
        var doorbell: Int32?
        for raw in raws {
            var status = stat()
            guard fstat(raw, &status) == 0 else { continue }
            switch (status.st_mode & S_IFMT, Int(status.st_size)) {
            case (S_IFSOCK, _): channel = raw
            case (S_IFREG, LaneLayout.controlSize): control = raw
            case (S_IFREG, LaneLayout.eventsSize): events = raw
            default: doorbell = raw
            }
        }
        guard let control, let events, let channel, let doorbell, raws.count == 4 else {
            for raw in raws { close(raw) }
            throw Incomplete()
        }
        let owner = OwnedDescriptor(channel)
        let memory = try LaneMemory(
            adopting: OwnedDescriptor(control), events: OwnedDescriptor(events), doorbell: OwnedDescriptor(doorbell))
        return Lane(memory: memory, channel: owner)
    }
}
