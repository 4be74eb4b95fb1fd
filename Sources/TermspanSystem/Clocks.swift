import CTermspanLinux
import Glibc
package import TermspanCore

extension BootInstant {
    /// The moment of the call (CLOCK_BOOTTIME, from the vDSO: no system call).
    package static func now() -> BootInstant {
        BootInstant(nanoseconds: termspan_boot_nanoseconds())
    }
}

extension WallInstant {
    /// The moment of the call (CLOCK_REALTIME).
    package static func now() -> WallInstant {
        WallInstant(nanoseconds: termspan_wall_nanoseconds())
    }
}

extension ClockAnchor {
    /// Both clocks as they read now: the boot clock is read before and after, and the attempt with the smallest distance counts.
    package static func now() -> ClockAnchor {
        var best = ClockAnchor(boot: .zero, wall: WallInstant(nanoseconds: 0))
        var distance = UInt64.max
        for _ in 0..<3 {
            let before = termspan_boot_nanoseconds()
            let wall = termspan_wall_nanoseconds()
            let after = termspan_boot_nanoseconds()
            if after &- before < distance {
                distance = after &- before
                best = ClockAnchor(boot: BootInstant(nanoseconds: before &+ distance / 2), wall: WallInstant(nanoseconds: wall))
            }
        }
        return best
    }
}

extension LocalCalendar {
    /// The machine's time zone, as it is at each call: /etc/localtime, by localtime(3).
    package static let system = LocalCalendar { seconds in
        var seconds = time_t(seconds)
        var fields = unsafe tm()
        // localtime_r(3) alone need not notice another zone.
        tzset()
        return unsafe localtime_r(&seconds, &fields) == nil ? 0 : fields.tm_gmtoff
    }

    /// The time zone of this name, as `Europe/Berlin`; nil where the machine knows none that is called so.
    package static func zone(named name: String) -> LocalCalendar? {
        let isName = name.utf8.allSatisfy { byte in
            switch byte {
            case UInt8(ascii: "a")...UInt8(ascii: "z"), UInt8(ascii: "A")...UInt8(ascii: "Z"), UInt8(ascii: "0")...UInt8(ascii: "9"): true
            default: "/_+-".utf8.contains(byte)
            }
        }
        guard isName, !name.isEmpty, !name.hasPrefix("/"), name.utf8.count <= 100 else { return nil }
        let bytes = try? readFile("/usr/share/zoneinfo/" + name, limit: 1 << 16, options: .followLinks)
        return bytes.flatMap { ZoneRules($0) }.map { rules in LocalCalendar { rules.offset($0) } }
    }
}

/// How far CLOCK_BOOTTIME is ahead of CLOCK_MONOTONIC: all that the machine slept in this boot.
///
/// One clock is read before and after the other, and the attempt with the smallest distance counts.
package func timeAsleep() -> Duration {
    var asleep: Int64 = 0
    var distance = UInt64.max
    for _ in 0..<3 {
        let before = termspan_monotonic_nanoseconds()
        let boot = termspan_boot_nanoseconds()
        let after = termspan_monotonic_nanoseconds()
        if after &- before < distance {
            distance = after &- before
            asleep = Int64(bitPattern: boot &- (before &+ distance / 2))
        }
    }
    return .nanoseconds(asleep)
}

/// Nanoseconds of CLOCK_MONOTONIC, for time limits and measurements inside one process.
package func monotonicNanoseconds() -> UInt64 {
    termspan_monotonic_nanoseconds()
}

/// Blocks the calling thread. Never on the loop's thread.
package func sleep(for duration: Duration) {
    termspan_sleep_nanoseconds(UInt64(clamping: duration.wholeNanoseconds))
}

extension Duration {
    /// Milliseconds for poll(2) and epoll_wait(2): rounded up, so that a wait is never too short.
    var pollTimeout: Int32 {
        let nanoseconds = wholeNanoseconds
        guard nanoseconds > 0 else { return 0 }
        return Int32(clamping: (nanoseconds - 1) / 1_000_000 + 1)
    }
}
