import TermspanCore
import Testing

@testable import TermspanX11

/// Moments of a server's timestamps.
struct ServerClockTests {
    /// A machine that slept for 1,000 s; half a millisecond after the server's millisecond began.
    private func clock(monotonic milliseconds: UInt64) -> ServerClock {
        ServerClock(now: boot(milliseconds), monotonicNanoseconds: milliseconds * 1_000_000 + 500_000)
    }

    private func boot(_ milliseconds: UInt64) -> BootInstant {
        BootInstant(nanoseconds: (milliseconds + 1_000_000) * 1_000_000 + 500_000)
    }

    @Test func whatIsReadLateIsDatedByTheServer() {
        let clock = clock(monotonic: 500_000)
        #expect(clock.moment(of: 499_998) == boot(499_998))
        #expect(clock.moment(of: 440_000) == boot(440_000))
    }

    @Test func whatIsReadAtOnceIsDatedByTheFinerClock() {
        let clock = clock(monotonic: 500_000)
        for timestamp: UInt32 in [500_000, 499_999] { #expect(clock.moment(of: timestamp) == clock.now) }
    }

    @Test(arguments: [nil, 500_001, 900_000, 439_999, 0, .max] as [UInt32?])
    func whatIsNotToBeBelievedDatesNothing(_ timestamp: UInt32?) {
        let clock = clock(monotonic: 500_000)
        #expect(clock.moment(of: timestamp) == clock.now)
    }

    @Test func aCounterOf32BitsMayTurnOver() {
        let turn: UInt64 = 1 << 32
        #expect(clock(monotonic: turn + 20).moment(of: .max) == boot(turn - 1))
        #expect(clock(monotonic: 3 * turn + 20).moment(of: 5) == boot(3 * turn + 5))
    }
}
