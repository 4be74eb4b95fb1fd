/// A moment of one boot: nanoseconds of CLOCK_BOOTTIME, which goes on while the machine sleeps (clock_gettime(2)).
///
/// Moments of different boots can't be compared; a store keeps the boot beside them.
///
/// Public, as `WallInstant` is and no other type: of those of the package alone the compiler calls what a protocol asks, comparisons among it,
/// through tables from other modules, and a year's report compares millions.
public struct BootInstant: InstantProtocol, Hashable, Codable, Sendable {
    /// Nanoseconds since the machine started.
    public var nanoseconds: UInt64

    @inlinable
    public init(nanoseconds: UInt64) {
        self.nanoseconds = nanoseconds
    }

    /// The start of the boot; stands for 'never' where a protocol has no other way to say it.
    @inlinable
    public static var zero: BootInstant { BootInstant(nanoseconds: 0) }

    /// The moment `duration` later, saturating at both ends of the representable range.
    @inlinable
    public func advanced(by duration: Duration) -> BootInstant {
        let delta = duration.wholeNanoseconds
        if delta >= 0 {
            let (sum, overflow) = nanoseconds.addingReportingOverflow(UInt64(delta))
            return BootInstant(nanoseconds: overflow ? .max : sum)
        }
        let magnitude = delta.magnitude
        return BootInstant(nanoseconds: magnitude > nanoseconds ? 0 : nanoseconds - magnitude)
    }

    /// How much later `other` is; negative when it is earlier.
    @inlinable
    public func duration(to other: BootInstant) -> Duration {
        .nanoseconds(Int64(clamping: Int128(other.nanoseconds) - Int128(nanoseconds)))
    }

    @inlinable
    public static func < (lhs: BootInstant, rhs: BootInstant) -> Bool {
        lhs.nanoseconds < rhs.nanoseconds
    }
}

extension Duration {
    /// The duration in nanoseconds, saturating at what an Int64 holds (292 years).
    @inlinable
    public var wholeNanoseconds: Int64 {
        let (seconds, attoseconds) = components
        let (scaled, overflow) = seconds.multipliedReportingOverflow(by: 1_000_000_000)
        if overflow { return seconds < 0 ? .min : .max }
        let (sum, overflowed) = scaled.addingReportingOverflow(attoseconds / 1_000_000_000)
        if overflowed { return seconds < 0 ? .min : .max }
        return sum
    }
}
