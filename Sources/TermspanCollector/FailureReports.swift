package import TermspanCore

/// When failures of probes are told. Pure.
///
/// At a logoff the X server goes a moment before the session does, which is no failure: so each waits for `patience`, or for the next probe,
/// by which the session is known to go on. The same failure again is not told again before a probe has run.
package struct FailureReports: Sendable {
    package static let patience: Duration = .milliseconds(500)

    private var waiting: [UUIDv7: String] = [:]
    private var told: [UUIDv7: String] = [:]

    package init() {}

    /// Takes a failure, of which `due` tells when the session is there still after `patience`.
    package mutating func add(_ reason: String, of session: UUIDv7) {
        waiting[session] = reason
    }

    /// The time of the latest failure has passed.
    ///
    /// - Returns: what to tell of now, if anything.
    package mutating func due(_ session: UUIDv7) -> String? {
        guard let reason = waiting.removeValue(forKey: session), told[session] != reason else { return nil }
        told[session] = reason
        return reason
    }

    /// A probe runs again.
    ///
    /// - Returns: what to tell of before.
    package mutating func started(_ session: UUIDv7) -> String? {
        let reason = due(session)
        told[session] = nil
        return reason
    }

    /// Forgets a session that has ended.
    package mutating func finish(_ session: UUIDv7) {
        waiting[session] = nil
        told[session] = nil
    }
}
