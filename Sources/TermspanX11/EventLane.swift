import TermspanControl
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanSystem

/// Where the probe puts its events: the codec over its lane of the ring.
struct EventLane: ~Copyable {
    private var writer: LaneWriter

    /// Maps the lane whose descriptors the collector sent.
    init(control: consuming OwnedDescriptor, events: consuming OwnedDescriptor, doorbell: consuming OwnedDescriptor) throws(ProbeEnd) {
        do {
            writer = try LaneWriter(control: control, events: events, doorbell: doorbell)
        } catch {
            throw .failed(.lane)
        }
    }

    /// Writes an event. Where the lane is full the event is lost; the reader sees that, and asks for a snapshot.
    mutating func publish(_ event: Event, at time: BootInstant) {
        withUnsafeTemporaryAllocation(byteCount: EventCodec.maximumLength, alignment: 8) { buffer in
            let (type, length) = EventCodec.encode(event, into: buffer)
            writer.publish(type: type.rawValue, time: time, payload: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
        }
    }
}
