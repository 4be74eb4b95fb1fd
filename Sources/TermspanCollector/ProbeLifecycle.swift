/// Where the probing of one session stands.
package enum Coverage: Equatable, Sendable {
    /// The user is not tracked: nothing is collected.
    case untracked
    /// The user has paused it.
    case paused
    /// Whether the user is on the Do Not Track list is not known: in words.
    case sidUnknown(String)
    /// It is outside the tracking hours.
    case outsideHours
    /// Whether it is, is not known: in words.
    case groupUnknown(String)
    /// The user has no seat, and none is free: in words.
    case noSeat(String)
    /// No X server belongs to the session.
    case noXServer
    /// A Wayland compositor draws the session: there is no source for these.
    case wayland
    /// There is an X server, and it is not the user's own.
    case notTrusted
    /// The user is at a limit, in words.
    case limited(String)
    /// The collector has no descriptors for another lane.
    case noDescriptors(String)
    /// A probe is being started.
    case starting
    case measured
    /// The last attempt failed; another follows.
    case failed(String)
    /// The probe broke the ring's protocol: it is not read any more.
    case quarantined

    /// The name in machine-readable output.
    package var name: String {
        switch self {
        case .untracked: "untracked"
        case .paused: "paused"
        case .sidUnknown: "sid-unknown"
        case .outsideHours: "outside-hours"
        case .groupUnknown: "group-unknown"
        case .noSeat: "no-seat"
        case .noXServer: "no-x-server"
        case .wayland: "wayland"
        case .notTrusted: "not-trusted"
        case .limited, .noDescriptors: "limited"
        case .starting: "starting"
        case .measured: "measured"
        case .failed: "failed"
        case .quarantined: "quarantined"
        }
    }

    /// Why the session is not measured, for people; empty where it is.
    package var reason: String {
        switch self {
        case .measured: ""
        case .untracked: "the user is not tracked"
        case .paused: "the user has paused it"
        case .outsideHours: "it is outside the tracking hours"
        case .noXServer: "no X server belongs to the session"
        case .wayland: "not measured: Wayland"
        case .notTrusted: "the X server is not the user's own"
        case .starting: "the probe is starting"
        case .limited(let reason), .failed(let reason), .noDescriptors(let reason), .sidUnknown(let reason), .groupUnknown(let reason),
            .noSeat(let reason):
            reason
        case .quarantined: "the probe broke the ring's protocol"
        }
    }
}

/// The probing of one session as a state machine: each input returns what is to be done. Pure.
///
/// An attempt goes from the cookie over the start of the unit to 'ready'; whatever ends it before the session does leads to another
/// after a growing delay. Answers that belong to an earlier attempt are told by its number and ignored.
package struct ProbeLifecycle: Equatable, Sendable {
    package enum State: Equatable, Sendable {
        /// Nothing is to be measured.
        case idle
        case readingCookie
        /// The unit is asked for and has not said that it is ready.
        case starting
        case running
        /// The X server has gone: the probe is about to tell so by itself and to end.
        case leaving
        /// The last attempt failed; the next begins when the delay has passed.
        case waiting
        /// It broke the protocol: no further attempt in this session.
        case quarantined
    }

    package enum Action: Equatable, Sendable {
        case readCookie(attempt: Int)
        case startUnit(attempt: Int, cookie: [UInt8])
        /// End the unit and detach its lane, if there are any.
        case tearDown
        case wait(Duration, attempt: Int)
        case reportStarted
        case reportFailed(String)
    }

    package private(set) var state = State.idle
    package private(set) var coverage = Coverage.noXServer
    /// An attempt is under way or waits for its turn.
    package var isStarting: Bool { state == .readingCookie || state == .starting }

    /// Grows with each attempt.
    package private(set) var attempt = 0
    private var failures = 0

    package init() {}

    /// How long a probe has to tell that its X server has gone. The collector may see that first, and only the probe can say until
    /// when all was known: what it has not told by then is unknown from its last event on.
    static let patience: Duration = .seconds(2)

    /// A probe that ends before has failed as one that never was ready: a user can end its connection as often as there is one.
    static let steadyTime: Duration = .seconds(10)

    /// The delays before the first, second, … further attempt.
    static let delays: [Duration] = [
        .milliseconds(200), .milliseconds(400), .seconds(2), .seconds(5), .seconds(20), .seconds(60),
    ]

    /// Measuring is wanted.
    package mutating func want() -> [Action] {
        guard state == .idle || state == .leaving else { return [] }
        failures = 0
        return leave() + begin()
    }

    /// The X server has gone.
    package mutating func serverGone() -> [Action] {
        guard state == .running || state == .leaving else { return unwant(.noXServer) }
        coverage = .noXServer
        guard state == .running else { return [] }
        state = .leaving
        return [.wait(Self.patience, attempt: attempt)]
    }

    /// Measuring is not wanted any more, for the reason that `coverage` gives.
    package mutating func unwant(_ coverage: Coverage) -> [Action] {
        self.coverage = coverage
        guard state != .idle else { return [] }
        attempt += 1
        let hasUnit = state == .starting || state == .running || state == .leaving
        state = .idle
        return hasUnit ? [.tearDown] : []
    }

    /// A probe that runs already was taken over from an earlier life of the collector.
    package mutating func adopt() {
        state = .running
        coverage = .measured
        attempt += 1
    }

    /// The attempt has to wait for its turn, for the reason that `coverage` gives.
    package mutating func held(_ coverage: Coverage, attempt: Int) {
        guard state == .readingCookie, attempt == self.attempt else { return }
        self.coverage = coverage
    }

    package mutating func cookieRead(_ cookie: [UInt8]?, attempt: Int) -> [Action] {
        guard state == .readingCookie, attempt == self.attempt else { return [] }
        guard let cookie else { return fail("the X server's cookie could not be read") }
        state = .starting
        coverage = .starting
        return [.startUnit(attempt: attempt, cookie: cookie)]
    }

    package mutating func ready(attempt: Int) -> [Action] {
        guard state == .starting, attempt == self.attempt else { return [] }
        state = .running
        coverage = .measured
        return [.reportStarted]
    }

    /// The unit ended, could not be started, or took too long.
    ///
    /// - Parameter time: how long it had been ready.
    package mutating func ended(_ reason: String, attempt: Int, after time: Duration = .zero) -> [Action] {
        if state == .leaving, attempt == self.attempt { return leave() }
        guard state == .starting || state == .running, attempt == self.attempt else { return [] }
        // What failed before a steady run does not count any more.
        if state == .running, time >= Self.steadyTime { failures = 0 }
        return fail(reason)
    }

    package mutating func delayPassed(attempt: Int) -> [Action] {
        if state == .leaving, attempt == self.attempt { return leave() }
        guard state == .waiting, attempt == self.attempt else { return [] }
        return begin()
    }

    package mutating func quarantine() -> [Action] {
        guard state == .running || state == .starting || state == .leaving else { return [] }
        attempt += 1
        state = .quarantined
        coverage = .quarantined
        return [.tearDown]
    }

    private mutating func leave() -> [Action] {
        guard state == .leaving else { return [] }
        attempt += 1
        state = .idle
        return [.tearDown]
    }

    private mutating func begin() -> [Action] {
        attempt += 1
        state = .readingCookie
        coverage = .starting
        return [.readCookie(attempt: attempt)]
    }

    private mutating func fail(_ reason: String) -> [Action] {
        let hadUnit = state == .starting || state == .running
        state = .waiting
        coverage = .failed(reason)
        let delay = Self.delays[min(failures, Self.delays.count - 1)]
        failures += 1
        return (hadUnit ? [.tearDown] : []) + [.reportFailed(reason), .wait(delay, attempt: attempt)]
    }
}
