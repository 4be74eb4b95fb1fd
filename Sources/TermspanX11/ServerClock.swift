import TermspanCore
import TermspanSystem

/// Both clocks at one moment, by which a server's timestamps become moments.
///
/// The protocol leaves open what a server counts. Those for Linux count milliseconds of CLOCK_MONOTONIC modulo 2^32 (GetTimeInMillis in the
/// server's os/utils.c), so a change can be dated by when it was, however late a busy machine lets the probe read of it. A timestamp that
/// can't be meant so, from another clock, from the future or from long ago, dates nothing.
struct ServerClock {
    /// When the clocks were read.
    let now: BootInstant
    private let monotonicMilliseconds: UInt64

    /// A timestamp that is no older dates nothing: it is cut to milliseconds.
    static let fineness: Duration = .milliseconds(2)
    /// The farthest that a timestamp is believed to lie back, in milliseconds. Who owns the server could shift its own session's changes by that.
    static let furthest: UInt32 = 60_000

    init(now: BootInstant, monotonicNanoseconds: UInt64) {
        self.now = now
        monotonicMilliseconds = monotonicNanoseconds / 1_000_000
    }

    static func read() -> ServerClock {
        ServerClock(now: .now(), monotonicNanoseconds: monotonicNanoseconds())
    }

    /// The moment of a timestamp, in milliseconds; that of reading where it is as fine, or where the timestamp is not to be believed.
    func moment(of timestamp: UInt32?) -> BootInstant {
        guard let timestamp else { return now }
        let age = UInt32(truncatingIfNeeded: monotonicMilliseconds) &- timestamp
        return (2...Self.furthest).contains(age) ? now.milliseconds(before: Int64(age)) : now
    }
}
