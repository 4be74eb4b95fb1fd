import TermspanCore
import TermspanEvents
import TermspanSystem

/// Where the probe puts its events. Nowhere yet: the ring's writer joins here.
struct EventLane: ~Copyable {
    init(control: consuming OwnedDescriptor, events: consuming OwnedDescriptor, doorbell: consuming OwnedDescriptor) throws(ProbeEnd) {
    }

    mutating func publish(_ event: Event, at time: BootInstant) {
    }
}
