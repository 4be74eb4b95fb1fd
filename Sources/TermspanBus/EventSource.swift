import CSystemd
package import TermspanCore

/// Something that the loop waits for; it stops waiting when this is cancelled or no longer referred to.
@MainActor
package final class EventSource {
    enum Body {
        case descriptor(@MainActor (UInt32) -> Void)
        case timer(@MainActor () -> Void)
        case signal(@MainActor (Int32) -> Void)
    }

    /// sd_event_source(3) is not thread-safe: the last reference must be dropped on the main thread, as everything here is.
    private nonisolated(unsafe) var pointers: [OpaquePointer] = []
    private var body: Body?

    init(body: Body) {
        self.body = body
    }

    deinit {
        for pointer in pointers { sd_event_source_disable_unref(pointer) }
    }

    /// Stops it for ever and lets go of the handler.
    package func cancel() {
        for pointer in pointers { sd_event_source_disable_unref(pointer) }
        pointers = []
        body = nil
    }

    /// Lets a timer fire once at `moment`, instead of any moment set before. No effect on a cancelled one.
    package func arm(at moment: BootInstant) {
        for pointer in pointers { sd_event_source_set_time(pointer, moment.microsecondsRoundedUp) }
        setEnabled(SD_EVENT_ONESHOT)
    }

    /// Lets a timer fire once when `delay` has passed since this iteration of the loop began.
    package func arm(after delay: Duration) {
        guard let pointer = pointers.first, let event = sd_event_source_get_event(pointer) else { return }
        arm(at: EventLoop.now(of: event).advanced(by: delay))
    }

    /// Stops it until it is armed again.
    package func disarm() {
        setEnabled(SD_EVENT_OFF)
    }

    /// Goes on after `disarm`, for descriptors and signals.
    package func resume() {
        setEnabled(SD_EVENT_ON)
    }

    /// Changes the epoll flags that a descriptor is watched for.
    package func setEvents(_ events: UInt32) {
        for pointer in pointers { sd_event_source_set_io_events(pointer, events) }
    }

    /// Lets the handler be called at most so often in each interval; what is left over comes with the next one.
    package func limit(_ count: UInt32, per interval: Duration) {
        for pointer in pointers {
            sd_event_source_set_ratelimit(pointer, UInt64(max(1, interval.wholeNanoseconds / 1000)), count)
        }
    }

    /// Whether it waits: a timer that has fired does not.
    package var isArmed: Bool {
        guard let pointer = pointers.first else { return false }
        return sd_event_source_get_enabled(pointer, nil) > 0
    }

    func setEnabled(_ value: some BinaryInteger) {
        for pointer in pointers { sd_event_source_set_enabled(pointer, Int32(truncatingIfNeeded: value)) }
    }

    func adopt(_ pointer: OpaquePointer?, priority: Int) {
        guard let pointer else { return }
        pointers.append(pointer)
        if priority != 0 { sd_event_source_set_priority(pointer, Int64(priority)) }
    }

    var opaque: UnsafeMutableRawPointer { Unmanaged.passUnretained(self).toOpaque() }

    /// Enters the handler from C. The loop runs on the main thread alone, which is what `assumeIsolated` checks; it needs no queue.
    ///
    /// The strong reference keeps the source alive while its own handler drops it.
    nonisolated static func dispatch(_ data: UnsafeMutableRawPointer?, _ call: @MainActor (Body) -> Void) -> Int32 {
        guard let data else { return 0 }
        nonisolated(unsafe) let opaque = data
        MainActor.assumeIsolated {
            let source = Unmanaged<EventSource>.fromOpaque(opaque).takeUnretainedValue()
            if let body = source.body { call(body) }
        }
        return 0
    }
}
