import CSystemd
import Glibc
package import TermspanCore

/// The loop of the main thread: sd_event(3).
///
/// Everything that it calls runs on the main thread, one after another, as `@MainActor` says; there are no tasks and no queue. Run it
/// from a synchronous `main`: an asynchronous one unblocks signals on other threads, so that SIGTERM would kill despite `signals`.
@MainActor
package final class EventLoop {
    /// The flags of epoll_ctl(2), for `watch`.
    package nonisolated static let readable = UInt32(EPOLLIN.rawValue)
    package nonisolated static let writable = UInt32(EPOLLOUT.rawValue)
    package nonisolated static let error = UInt32(EPOLLERR.rawValue)
    package nonisolated static let hangup = UInt32(EPOLLHUP.rawValue)
    package nonisolated static let priorityData = UInt32(EPOLLPRI.rawValue)
    package nonisolated static let edgeTriggered = UInt32(EPOLLET.rawValue)

    nonisolated(unsafe) let event: OpaquePointer
    private var deferredBodies: [@MainActor () -> Void] = []
    private var deferredSource: EventSource?

    package init() throws(BusError) {
        var event: OpaquePointer?
        try check(sd_event_new(&event), "sd_event_new")
        guard let event else { throw BusError(code: ENOMEM, operation: "sd_event_new") }
        self.event = event
    }

    deinit {
        sd_event_unref(event)
    }

    /// The time of this iteration of the loop, in whole microseconds; the present before the first one.
    package var now: BootInstant { Self.now(of: event) }

    static func now(of event: OpaquePointer) -> BootInstant {
        var microseconds: UInt64 = 0
        sd_event_now(event, CLOCK_BOOTTIME, &microseconds)
        let (nanoseconds, overflow) = microseconds.multipliedReportingOverflow(by: 1000)
        return BootInstant(nanoseconds: overflow ? .max : nanoseconds)
    }

    /// Calls `handler` with the epoll(7) flags that hold for a descriptor, level-triggered unless EPOLLET is among `events`.
    ///
    /// The descriptor stays the caller's, who cancels the source before closing it. Regular files can't be watched (EPERM).
    package func watch(
        _ descriptor: Int32, events: UInt32 = EventLoop.readable, priority: Int = 0,
        _ handler: @escaping @MainActor (_ events: UInt32) -> Void
    ) throws(BusError) -> EventSource {
        let source = EventSource(body: .descriptor(handler))
        var pointer: OpaquePointer?
        try check(
            sd_event_add_io(
                event, &pointer, descriptor, events,
                { _, _, events, data in
                    EventSource.dispatch(data) { if case .descriptor(let handler) = $0 { handler(events) } }
                }, source.opaque), "watching descriptor \(descriptor)")
        source.adopt(pointer, priority: priority)
        return source
    }

    /// Calls `handler` once at a moment of the boot (CLOCK_BOOTTIME); it can be armed again. Without a moment it waits to be armed.
    ///
    /// - Parameter accuracy: how late it may be, so that the kernel can join wake-ups; never less than a microsecond, since 0 means
    ///   250 ms to sd-event.
    package func timer(
        at moment: BootInstant? = nil, accuracy: Duration = .microseconds(1), priority: Int = 0,
        _ handler: @escaping @MainActor () -> Void
    ) throws(BusError) -> EventSource {
        let source = EventSource(body: .timer(handler))
        var pointer: OpaquePointer?
        try check(
            sd_event_add_time(
                event, &pointer, CLOCK_BOOTTIME, moment?.microsecondsRoundedUp ?? .max,
                UInt64(max(1, accuracy.wholeNanoseconds / 1000)),
                { _, _, data in
                    EventSource.dispatch(data) { if case .timer(let handler) = $0 { handler() } }
                }, source.opaque), "adding a timer")
        source.adopt(pointer, priority: priority)
        if moment == nil { source.disarm() }
        return source
    }

    /// Calls `handler` once when `delay` has passed.
    package func after(
        _ delay: Duration, accuracy: Duration = .microseconds(1), _ handler: @escaping @MainActor () -> Void
    ) throws(BusError) -> EventSource {
        try timer(at: now.advanced(by: delay), accuracy: accuracy, handler)
    }

    /// Blocks the signals in this thread and calls `handler` when one arrives.
    ///
    /// Threads inherit what is blocked: call this before any is started, else a signal may reach a thread that doesn't block it.
    package func signals(
        _ numbers: [Int32], priority: Int = 0, _ handler: @escaping @MainActor (_ number: Int32) -> Void
    ) throws(BusError) -> EventSource {
        var set = sigset_t()
        sigemptyset(&set)
        for number in numbers { sigaddset(&set, number) }
        try check(-pthread_sigmask(SIG_BLOCK, &set, nil), "blocking signals")
        let source = EventSource(body: .signal(handler))
        for number in numbers {
            var pointer: OpaquePointer?
            try check(
                sd_event_add_signal(
                    event, &pointer, number,
                    { _, info, data in
                        let number = Int32(bitPattern: info?.pointee.ssi_signo ?? 0)
                        return EventSource.dispatch(data) { if case .signal(let handler) = $0 { handler(number) } }
                    }, source.opaque), "watching signal \(number)")
            source.adopt(pointer, priority: priority)
        }
        return source
    }

    /// Runs `body` once this iteration's callback has returned, in the order of the calls.
    package func deferred(_ body: @escaping @MainActor () -> Void) {
        deferredBodies.append(body)
        if deferredSource == nil {
            let source = EventSource(body: .timer { [unowned self] in runDeferred() })
            var pointer: OpaquePointer?
            let result = sd_event_add_defer(
                event, &pointer,
                { _, data in
                    EventSource.dispatch(data) { if case .timer(let handler) = $0 { handler() } }
                }, source.opaque)
            // Only the lack of memory can make it fail.
            precondition(result >= 0, "sd_event_add_defer: errno \(-result)")
            source.adopt(pointer, priority: 0)
            deferredSource = source
        }
        deferredSource?.setEnabled(SD_EVENT_ONESHOT)
    }

    private func runDeferred() {
        let bodies = deferredBodies
        deferredBodies = []
        for body in bodies { body() }
    }

    /// Tells the service manager at half the interval that it asked for (WatchdogSec=) that the loop turns; false if it didn't ask.
    @discardableResult
    package func enableWatchdog() throws(BusError) -> Bool {
        try check(sd_event_set_watchdog(event, 1), "sd_event_set_watchdog") > 0
    }

    /// Runs until `exit` and returns its code.
    package func run() throws(BusError) -> Int32 {
        try check(sd_event_loop(event), "sd_event_loop")
    }

    /// Runs one iteration, waiting up to `timeout`; false if nothing happened in it.
    @discardableResult
    package func runOnce(timeout: Duration) throws(BusError) -> Bool {
        try check(sd_event_run(event, UInt64(max(0, timeout.wholeNanoseconds / 1000))), "sd_event_run") > 0
    }

    /// Ends `run` after this callback.
    package func exit(_ code: Int32 = 0) {
        sd_event_exit(event, code)
    }
}

extension BootInstant {
    /// Whole microseconds, never early.
    var microsecondsRoundedUp: UInt64 { nanoseconds / 1000 + (nanoseconds % 1000 == 0 ? 0 : 1) }
}
