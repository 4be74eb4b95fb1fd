import Glibc
import TermspanCore
import TermspanDirectory
import TermspanStore

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
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard getpwuid_r(user.uid, &entry, &buffer, buffer.count, &found) == 0, let found, let login = found.pointee.pw_name,
            String(cString: login) == user.login
        else { return nil }
        let comment = found.pointee.pw_gecos.map { String(cString: $0) } ?? ""
        return UserFacts(friendlyName: Self.friendlyName(inComment: comment, login: user.login), domain: domain(of: user))
    }

    /// `&` stands for the login, its first letter in upper case: finger(1).
    static func friendlyName(inComment comment: String, login: String) -> String {
        let name = comment.prefix { $0 != "," }.filter { !$0.unicodeScalars.contains { $0.properties.generalCategory == .control } }
        return name.split(separator: "&", omittingEmptySubsequences: false).joined(
            separator: login.prefix(1).uppercased() + login.dropFirst())
    }

    /// By the login, else by the computer's own accounts, else by what SSSD or winbind has the account in.
    private static func domain(of user: UserIdentity) -> Domain {
        if let domain = domain(inLogin: user.login) { return .named(domain) }
        if isLocal(user) { return .computer }
        if let domain = DirectoryDomains(ofUser: user.uid).names.first { return .named(domain) }
        return .unknown
    }

    /// `EXAMPLE` of `EXAMPLE\anna`, `example.com` of `anna@example.com`, as they are written.
    static func domain(inLogin login: String) -> String? {
        // By scalars: an accent that follows makes another Character of what divides.
        let scalars = login.unicodeScalars
        if let slash = scalars.firstIndex(of: "\\") { return String(scalars[..<slash]) }
        return scalars.lastIndex(of: "@").map { String(scalars[scalars.index(after: $0)...]) }
    }

    /// Whether /etc/passwd has the account, whatever other sources nsswitch.conf(5) names.
    private static func isLocal(_ user: UserIdentity) -> Bool {
        guard let file = fopen("/etc/passwd", "re") else { return false }
        defer { fclose(file) }
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        while fgetpwent_r(file, &entry, &buffer, buffer.count, &found) == 0, let found {
            if found.pointee.pw_uid == user.uid, String(cString: found.pointee.pw_name) == user.login { return true }
        }
        return false
    }
}
