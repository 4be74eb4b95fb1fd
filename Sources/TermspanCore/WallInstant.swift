/// A moment of civil time: nanoseconds since 1970-01-01T00:00:00Z, leap seconds not counted (CLOCK_REALTIME). Public for
/// the reason that `BootInstant` is.
public struct WallInstant: InstantProtocol, Hashable, Codable, Sendable {
    /// Nanoseconds since the Unix epoch; negative before it.
    public var nanoseconds: Int64

    @inlinable
    public init(nanoseconds: Int64) {
        self.nanoseconds = nanoseconds
    }

    /// Later than everything.
    public static let distantFuture = WallInstant(nanoseconds: .max)

    /// The moment `duration` later, saturating.
    @inlinable
    public func advanced(by duration: Duration) -> WallInstant {
        let (sum, overflow) = nanoseconds.addingReportingOverflow(duration.wholeNanoseconds)
        return WallInstant(nanoseconds: overflow ? (duration < .zero ? .min : .max) : sum)
    }

    /// How much later `other` is; negative when it is earlier.
    @inlinable
    public func duration(to other: WallInstant) -> Duration {
        .nanoseconds(Int64(clamping: Int128(other.nanoseconds) - Int128(nanoseconds)))
    }

    @inlinable
    public static func < (lhs: WallInstant, rhs: WallInstant) -> Bool {
        lhs.nanoseconds < rhs.nanoseconds
    }
}

/// Ties the two clocks together: at one moment they read `boot` and `wall`.
///
/// One is taken at the start of each boot's collection and one at each step of the wall clock.
package struct ClockAnchor: Hashable, Sendable {
    package var boot: BootInstant
    package var wall: WallInstant

    package init(boot: BootInstant, wall: WallInstant) {
        self.boot = boot
        self.wall = wall
    }

    /// The wall time that this anchor gives to a moment of its boot.
    package func wall(at instant: BootInstant) -> WallInstant {
        wall.advanced(by: boot.duration(to: instant))
    }

    /// The moment of the boot to which this anchor gives the wall time.
    package func boot(at instant: WallInstant) -> BootInstant {
        boot.advanced(by: wall.duration(to: instant))
    }
}
