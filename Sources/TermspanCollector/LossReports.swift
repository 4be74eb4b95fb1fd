package import TermspanCore

/// When lost events are told: a source can lose as many as it likes, and the journal is not its to fill. Pure.
///
/// Each session has five records at once and one a minute then; what is lost meanwhile is in the next, or in one at the session's end.
package struct LossReports: Sendable {
    package static let rate = Rate(1, per: .seconds(60), burst: 5)

    private struct Account {
        var bucket = TokenBucket()
        var untold: UInt64 = 0
    }

    private var accounts: [UUIDv7: Account] = [:]

    package init() {}

    /// Counts a loss.
    ///
    /// - Returns: how many to tell of now; nil when it is not the time.
    package mutating func add(_ count: UInt64, of session: UUIDv7, at now: BootInstant) -> UInt64? {
        var account = accounts[session] ?? Account()
        account.untold = account.untold.addingReportingOverflow(count).overflow ? .max : account.untold + count
        let isDue = account.bucket.take(Self.rate, at: now)
        let told = account.untold
        if isDue { account.untold = 0 }
        accounts[session] = account
        return isDue ? told : nil
    }

    /// Forgets a session that has ended.
    ///
    /// - Returns: how many are left to tell of; nil for none.
    package mutating func finish(_ session: UUIDv7) -> UInt64? {
        let untold = accounts.removeValue(forKey: session)?.untold ?? 0
        return untold > 0 ? untold : nil
    }
}
