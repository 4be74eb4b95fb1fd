import TermspanConfiguration
import TermspanCore
import TermspanStore
import Testing

@testable import TermspanCollector

@Suite struct LimitTests {
    private let eve = UserIdentity(login: "eve", uid: 1001)
    private let mallory = UserIdentity(login: "mallory", uid: 1002)

    private func second(_ seconds: UInt64) -> BootInstant { BootInstant(nanoseconds: seconds * 1_000_000_000) }

    @Test func eachUserIsToldOfOnceAMinuteAndAllIsCounted() {
        var watch = LimitWatch()
        #expect(watch.reached(.logons, by: eve, at: second(1)) == 1)
        for _ in 0..<99 { #expect(watch.reached(.logons, by: eve, at: second(30)) == nil) }
        #expect(watch.reached(.logons, by: mallory, at: second(31)) == 1)
        #expect(watch.reached(.rows, by: eve, at: second(32)) == 1)
        #expect(watch.reached(.logons, by: eve, at: second(61)) == 100)
        #expect(watch.reached(.logons, by: eve, at: second(62)) == nil)
        #expect(watch.counts[.logons] == LimitWatch.Count(hits: 103, user: eve, last: second(62)))
        #expect(watch.counts[.displays] == nil)
    }

    /// Users who come once each must not make it grow without end.
    @Test func oldOnesAreForgotten() {
        var watch = LimitWatch()
        for number in 0..<100_000 {
            _ = watch.reached(.sockets, by: UserIdentity(login: "user\(number)", uid: UInt32(number)), at: second(UInt64(number)))
        }
        #expect(watch.remembering <= 1024)
        #expect(watch.counts[.sockets]?.hits == 100_000)
    }

    /// Whatever the configuration allows is a rate that can be kept.
    @Test(arguments: [1, 7, 1000]) func ratesFollowTheConfiguration(number: Int) {
        var limits = Limits()
        limits.logonsPerMinute = number
        limits.stateChangesPerMinute = number
        limits.probeStartsPerMinute = number
        for (rate, burst) in [(limits.logons, 3 * number), (limits.stateChanges, max(1, number / 3)), (limits.probeStarts, 2 * number)] {
            #expect(rate.burst == UInt64(burst))
            #expect(rate.interval == 60_000_000_000 / UInt64(number))
        }
        for limit in Limit.allCases { #expect(!limits.text(limit).isEmpty) }
        #expect(limits.text(.logons).hasPrefix("\(number) a minute"))
    }

    @Test func anAttemptThatWaitsForItsTurnSaysSo() {
        var life = ProbeLifecycle()
        #expect(life.want() == [.readCookie(attempt: 1)])
        life.held(.limited("full"), attempt: 1)
        #expect(life.coverage == .limited("full"))
        #expect(life.isStarting)
        life.held(.limited("late"), attempt: 0)
        #expect(life.coverage.reason == "full")
        #expect(life.cookieRead(ProbeLifecycleTests.cookie, attempt: 1).count == 1)
        #expect(life.coverage == .starting)
    }
}
