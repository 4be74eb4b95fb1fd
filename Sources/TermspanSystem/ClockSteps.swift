import CTermspanLinux
import Glibc

/// Becomes readable when the wall clock is set or the machine wakes from sleep: timerfd_create(2), TFD_TIMER_CANCEL_ON_SET.
package struct ClockSteps: ~Copyable, Sendable {
    package let descriptor: OwnedDescriptor

    /// Watches from now on.
    package init() throws(SystemError) {
        let timer = OwnedDescriptor(try check(termspan_clock_step_create(), "timerfd_create"))
        try check(termspan_clock_step_arm(timer.raw), "timerfd_settime")
        descriptor = timer
    }

    /// Takes what was there and watches on.
    package borrowing func drain() {
        var count: UInt64 = 0
        // The step shows as ECANCELED.
        _ = unsafe read(descriptor.raw, &count, 8)
        _ = termspan_clock_step_arm(descriptor.raw)
    }
}
