import TermspanCore
import TermspanDirectory
import TermspanStore
import TermspanSystem

/// What a user is called, and where the account is.
struct UserFacts: Equatable, Sendable {
    enum Domain: Equatable, Sendable {
        case named(String)
        /// The account is the computer's own.
        case computer
        case unknown
    }

    /// The user database's, up to the first comma: passwd(5). "" for none.
    var friendlyName: String
    var domain: Domain

    /// Asks the user database and directories, which may take their time; nil where there is no such user, or nobody can say.
    static func find(_ user: UserIdentity) -> UserFacts? {
        guard let account = Account(uid: user.uid), account.login == user.login else { return nil }
        return UserFacts(friendlyName: account.name, domain: domain(of: user))
    }

    /// By the login, else by the computer's own accounts, else by what SSSD or winbind has the account in.
    private static func domain(of user: UserIdentity) -> Domain {
        if let domain = LoginName.split(user.login).domain { return .named(domain) }
        if Account.local().contains(where: { $0.uid == user.uid && $0.login == user.login }) { return .computer }
        if let domain = DirectoryDomains(ofUser: user.uid).names.first { return .named(domain) }
        return .unknown
    }
}
