import CTermspanLinux
import Glibc
import TermspanCore

/// Becomes readable once some time has passed, unless it is disarmed before: timerfd_create(2). Any thread may arm it.
///
/// So one thread can watch over another, and is woken only if that one is late.
package struct Alarm: ~Copyable, Sendable {
    package let descriptor: OwnedDescriptor

    package init() throws(SystemError) {
        descriptor = OwnedDescriptor(try check(termspan_alarm_create(), "timerfd_create"))
    }

    /// Lets it go off once, in place of what it was armed to.
    package borrowing func arm(after duration: Duration) {
        _ = termspan_alarm_arm(descriptor.raw, UInt64(clamping: max(1, duration.wholeNanoseconds)))
    }

    package borrowing func disarm() {
        _ = termspan_alarm_arm(descriptor.raw, 0)
    }

    /// Takes what was there; false if it was disarmed meanwhile.
    package borrowing func drain() -> Bool {
        var count: UInt64 = 0
        return unsafe read(descriptor.raw, &count, 8) == 8
    }
}
