/// How much of something there may be: so many in a time, and so many at once after a pause.
package struct Rate: Hashable, Sendable {
    /// From which to which the next one is due, in nanoseconds.
    package let interval: UInt64
    /// How many there may be at once.
    package let burst: UInt64

    /// - Parameters:
    ///   - count: in each `period`; at least 1.
    ///   - burst: at once; at least 1.
    package init(_ count: Int, per period: Duration, burst: Int) {
        interval = UInt64(clamping: period.wholeNanoseconds) / UInt64(clamping: max(1, count))
        self.burst = UInt64(clamping: max(1, burst))
    }
}

/// A token bucket: full at first, it gives a token for each thing that may happen and fills up again at a rate. Pure.
///
/// It keeps one number, the moment at which it will be full (the generic cell rate algorithm), so the rate can change under it.
package struct TokenBucket: Hashable, Sendable {
    private var full = BootInstant.zero

    package init() {}

    /// Takes a token; false, with nothing taken, if there is none.
    package mutating func take(_ rate: Rate, at now: BootInstant) -> Bool {
        guard next(rate, at: now) <= now else { return false }
        spend(rate, at: now)
        return true
    }

    /// Takes a token even if there is none: then what follows waits the longer.
    package mutating func spend(_ rate: Rate, at now: BootInstant) {
        let (sum, overflow) = max(full, now).nanoseconds.addingReportingOverflow(rate.interval)
        full = BootInstant(nanoseconds: overflow ? .max : sum)
    }

    /// Takes so many tokens likewise, and says from when on there is one.
    package mutating func spend(_ count: Int, of rate: Rate, at now: BootInstant) -> BootInstant {
        for _ in 0..<count { spend(rate, at: now) }
        return next(rate, at: now)
    }

    /// From when on there is a token; `now` or earlier if there is one.
    package func next(_ rate: Rate, at now: BootInstant) -> BootInstant {
        let (room, overflow) = rate.interval.multipliedReportingOverflow(by: rate.burst - 1)
        let full = max(full, now).nanoseconds
        return overflow || room > full ? .zero : BootInstant(nanoseconds: full - room)
    }

    /// Whether nothing was taken for so long that it is as good as new.
    package func isFull(at now: BootInstant) -> Bool { full <= now }
}
