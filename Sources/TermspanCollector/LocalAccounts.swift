import TermspanStore
import TermspanSystem

/// Whose UIDs are by the computer's own accounts.
///
/// A UID that came free is given to whoever comes next (useradd(8)), so that a decision about a login and its UID may be about somebody who is gone while the UID
/// is another's. Users of a directory are not known here, and nothing is said against what holds for them. A value without effects.
struct LocalAccounts: Equatable {
    private var logins: [UInt32: [String]] = [:]

    init(_ accounts: [Account]) {
        for account in accounts { logins[account.uid, default: []].append(account.login) }
    }

    /// Whose the UID is; of several the one that the user database tells, which is the first.
    func user(of uid: UInt32) -> UserIdentity? { logins[uid]?.first.map { UserIdentity(login: $0, uid: uid) } }

    /// Whether the user's UID is somebody else's by now.
    func haveGivenAway(_ user: UserIdentity) -> Bool { logins[user.uid].map { !$0.contains(user.login) } ?? false }
}

/// The computer's own accounts as they are now; /etc/passwd is read again once it has become another file.
@MainActor
final class AccountsFile {
    private var stamp: FileStamp?
    private var accounts = LocalAccounts([])

    var now: LocalAccounts {
        let stamp = FileStamp("/etc/passwd")
        if stamp == nil || stamp != self.stamp { accounts = LocalAccounts(Account.local()) }
        self.stamp = stamp
        return accounts
    }
}
