import Testing

@testable import TermspanCollector

@Suite struct ProbeLifecycleTests {
    static let cookie = [UInt8](0..<16)

    @Test func anAttemptGoesFromTheCookieToReady() {
        var life = ProbeLifecycle()
        #expect(life.want() == [.readCookie(attempt: 1)])
        #expect(life.coverage == .starting)
        #expect(life.cookieRead(Self.cookie, attempt: 1) == [.startUnit(attempt: 1, cookie: Self.cookie)])
        #expect(life.ready(attempt: 1) == [.reportStarted])
        #expect(life.coverage == .measured)
        #expect(life.want().isEmpty)
    }

    @Test func aSessionThatTurnsOutToBeWaylandsIsLeftAloneAndSaysWhy() {
        var life = ProbeLifecycle()
        _ = life.want()
        _ = life.cookieRead(Self.cookie, attempt: 1)
        #expect(life.unwant(.wayland) == [.tearDown])
        #expect((life.coverage.name, life.coverage.reason) == ("wayland", "not measured: Wayland"))
        #expect(life.ready(attempt: 1).isEmpty && life.unwant(.wayland).isEmpty)
    }

    @Test func failuresLeadToAttemptsWithGrowingDelay() {
        var life = ProbeLifecycle()
        _ = life.want()
        var delays: [Duration] = []
        for attempt in 1...ProbeLifecycle.delays.count + 2 {
            for case .wait(let delay, attempt) in life.cookieRead(nil, attempt: attempt) { delays.append(delay) }
            #expect(life.delayPassed(attempt: attempt) == [.readCookie(attempt: attempt + 1)])
        }
        #expect(delays == ProbeLifecycle.delays + [.seconds(60), .seconds(60)])
    }

    @Test func aCrashTearsDownAndASteadyRunForgetsTheFailures() {
        var life = ProbeLifecycle()
        for _ in 0..<5 {
            _ = life.state == .idle ? life.want() : life.delayPassed(attempt: life.attempt)
            _ = life.cookieRead(Self.cookie, attempt: life.attempt)
            _ = life.ready(attempt: life.attempt)
            let actions = life.ended("it crashed", attempt: life.attempt, after: ProbeLifecycle.steadyTime)
            #expect(actions == [.tearDown, .reportFailed("it crashed"), .wait(.milliseconds(200), attempt: life.attempt)])
        }
    }

    @Test func oneThatEndsAsSoonAsItIsReadyIsDelayedMoreAndMore() {
        var life = ProbeLifecycle()
        _ = life.want()
        for delay in ProbeLifecycle.delays {
            _ = life.cookieRead(Self.cookie, attempt: life.attempt)
            _ = life.ready(attempt: life.attempt)
            #expect(life.ended("it ended", attempt: life.attempt).last == .wait(delay, attempt: life.attempt))
            _ = life.delayPassed(attempt: life.attempt)
        }
    }

    @Test func answersOfAnEarlierAttemptAreIgnored() {
        var life = ProbeLifecycle()
        _ = life.want()
        #expect(life.unwant(.untracked).isEmpty)
        #expect(life.cookieRead(Self.cookie, attempt: 1).isEmpty)
        #expect(life.want() == [.readCookie(attempt: 3)])
        #expect(life.ready(attempt: 3).isEmpty)
        _ = life.cookieRead(Self.cookie, attempt: 3)
        #expect(life.ended("late", attempt: 1).isEmpty)
        #expect(life.unwant(.untracked) == [.tearDown])
        #expect(life.coverage == .untracked)
    }

    @Test func aQuarantinedProbeIsNotTriedAgain() {
        var life = ProbeLifecycle()
        life.adopt()
        #expect(life.quarantine() == [.tearDown])
        #expect(life.want().isEmpty)
        #expect(life.ended("gone", attempt: life.attempt).isEmpty)
        #expect(life.coverage == .quarantined)
    }

    private func running() -> ProbeLifecycle {
        var life = ProbeLifecycle()
        life.adopt()
        return life
    }

    @Test func whoseServerHasGoneTellsTheEndByItself() {
        var life = running()
        let attempt = life.attempt
        #expect(life.serverGone() == [.wait(ProbeLifecycle.patience, attempt: attempt)])
        #expect(life.coverage == .noXServer)
        // Told again of what it knows.
        #expect(life.serverGone().isEmpty)
        // That is no failure, and no other attempt follows.
        #expect(life.ended("the connection is lost", attempt: attempt) == [.tearDown])
        #expect(life.state == .idle)
        #expect(life.delayPassed(attempt: attempt).isEmpty)
    }

    @Test func whatDoesNotTellItsEndIsEnded() {
        var life = running()
        _ = life.serverGone()
        #expect(life.delayPassed(attempt: life.attempt) == [.tearDown])
        #expect(life.state == .idle)
    }

    @Test func anotherServerDoesNotWaitForTheProbeOfTheLast() {
        var life = running()
        _ = life.serverGone()
        #expect(life.want() == [.tearDown, .readCookie(attempt: life.attempt)])
        var other = running()
        _ = other.serverGone()
        #expect(other.unwant(.untracked) == [.tearDown])
        var broken = running()
        _ = broken.serverGone()
        #expect(broken.quarantine() == [.tearDown])
    }

    @Test func aServerThatGoesBeforeTheProbeRunsEndsTheAttempt() {
        var life = ProbeLifecycle()
        _ = life.want()
        _ = life.cookieRead(Self.cookie, attempt: 1)
        #expect(life.serverGone() == [.tearDown])
        #expect(life.state == .idle)
    }
}
