package import TermspanCore

/// When failures of probes are told. Pure.
///
/// At a logoff the X server goes a moment before the session does, which is no failure: so what fails waits until the latest failure is
/// `patience` ago, or for the next probe, by which the session is known to go on. The same again is not told again before a probe has run.
package struct FailureReports: Sendable {
    package static let patience: Duration = .milliseconds(500)

    /// Each differs from the one before it: with the delays between attempts there are no more than a few.
    private var waiting: [UUIDv7: [String]] = [:]
    private var told: [UUIDv7: String] = [:]

    package init() {}

    /// Takes a failure, of which `due` tells when the session is there still after `patience`.
    package mutating func add(_ reason: String, of session: UUIDv7) {
        guard (waiting[session]?.last ?? told[session]) != reason else { return }
        waiting[session, default: []].append(reason)
    }

    /// The latest failure is `patience` ago.
    ///
    /// - Returns: what to tell of now, in this order.
    package mutating func due(_ session: UUIDv7) -> [String] {
        let reasons = waiting.removeValue(forKey: session) ?? []
        if let last = reasons.last { told[session] = last }
        return reasons
    }

    /// A probe runs again.
    ///
    /// - Returns: what to tell of before.
    package mutating func started(_ session: UUIDv7) -> [String] {
        let reasons = due(session)
        told[session] = nil
        return reasons
    }

    /// Forgets a session that has ended.
    package mutating func finish(_ session: UUIDv7) {
        waiting[session] = nil
        told[session] = nil
    }
}
