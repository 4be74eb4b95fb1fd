package import TermspanCore

/// The Do Not Track list: whoever it names is not tracked, whatever else was decided, and under each name that it has, also one that nobody
/// has been seen with yet.
package struct DoNotTrackList: Equatable, Sendable {
    /// One who is named, since when, by whom and why.
    package struct Entry: Equatable, Sendable {
        package var subject: Subject
        package var since: WallInstant
        package var by: String
        package var reason: String

        package init(_ subject: Subject, since: WallInstant, by: String, reason: String) {
            self.subject = subject
            self.since = since
            self.by = by
            self.reason = reason
        }
    }

    /// In the order in which they were added.
    package let entries: [Entry]
    /// The domains of the logins that are named, by name.
    private let domains: [String: Set<String>]
    private let userIDs: Set<UInt32>

    package init(_ entries: [Entry] = []) {
        self.entries = entries
        var domains: [String: Set<String>] = [:]
        var userIDs: Set<UInt32> = []
        for entry in entries {
            switch entry.subject {
            case .login(let name): domains[name.name, default: []].insert(name.domain)
            case .uid(let uid): userIDs.insert(uid)
            }
        }
        self.domains = domains
        self.userIDs = userIDs
    }

    /// Whether any entry names the user.
    package func names(_ user: UserIdentity) -> Bool { !subjects(naming: user).isEmpty }

    /// Those of the entries' subjects that name the user.
    package func subjects(naming user: UserIdentity) -> [Subject] {
        var found: [Subject] = userIDs.contains(user.uid) ? [.uid(user.uid)] : []
        guard !domains.isEmpty else { return found }
        let login = LoginName(login: user.login)
        let names = (domains[login.name] ?? []).map { LoginName(login.name, domain: $0) }.filter { $0.covers(login) }
        found += names.sorted { $0.domain < $1.domain }.map { .login($0) }
        return found
    }
}

extension DoNotTrackList {
    /// Whom an entry names.
    package enum Subject: Hashable, Sendable {
        case login(LoginName)
        case uid(UInt32)

        /// All that a user is known by.
        package static func all(of user: UserIdentity) -> [Subject] { [.login(LoginName(login: user.login)), .uid(user.uid)] }

        package func names(_ user: UserIdentity) -> Bool {
            switch self {
            case .login(let name): name.covers(LoginName(login: user.login))
            case .uid(let uid): uid == user.uid
            }
        }
    }
}

/// A login name and the domain that it is of, both in lower case, since directories don't tell cases apart.
package struct LoginName: Hashable, Sendable {
    package let name: String
    /// `*` is any: in the name of a user that it is not known.
    package let domain: String

    package static let anyDomain = "*"

    package init(_ name: String, domain: String) {
        self.name = name.lowercased()
        self.domain = domain.lowercased()
    }

    /// Reads a login as the user database has it: `anna`, and of a directory's users `anna@example.com` or `EXAMPLE\anna`.
    package init(login: String) {
        // By scalars: an accent that follows makes another Character of what divides.
        let scalars = login.unicodeScalars
        if let slash = scalars.firstIndex(of: "\\") {
            self.init(String(scalars[scalars.index(after: slash)...]), domain: String(scalars[..<slash]))
        } else if let at = scalars.lastIndex(of: "@") {
            self.init(String(scalars[..<at]), domain: String(scalars[scalars.index(after: at)...]))
        } else {
            self.init(login, domain: Self.anyDomain)
        }
    }

    /// Whether this, in the list, is about who has that login. Where either's domain is any or unknown it is: rather one too many is not tracked.
    package func covers(_ login: LoginName) -> Bool {
        name == login.name && (domain == login.domain || domain == Self.anyDomain || login.domain == Self.anyDomain)
    }
}

extension DoNotTrackList.Subject: CustomStringConvertible {
    /// What a name or a domain may have, in bytes.
    private static let maximumLength = 256

    /// Reads `anna` or `anna@*` (in whatever domain), `anna@example.com`, `EXAMPLE\anna`, `uid:1001`; nil for anything else.
    package init?(_ text: String) {
        if text.lowercased().hasPrefix("uid:") {
            let digits = text.dropFirst("uid:".count)
            guard !digits.isEmpty, digits.utf8.allSatisfy({ (UInt8(ascii: "0")...UInt8(ascii: "9")).contains($0) }),
                let uid = UInt32(digits),
                uid != .max
            else { return nil }
            self = .uid(uid)
            return
        }
        let name = LoginName(login: text)
        for part in [name.name, name.domain] {
            guard !part.isEmpty, part.utf8.count <= Self.maximumLength,
                part.unicodeScalars.allSatisfy({
                    !$0.properties.isWhitespace && $0.properties.generalCategory != .control && !"@\\:/".unicodeScalars.contains($0)
                })
            else { return nil }
        }
        // A number alone is a UID to whoever writes it, and a login to the user database.
        guard name.name != LoginName.anyDomain, UInt64(name.name) == nil else { return nil }
        self = .login(name)
    }

    /// As it is read again.
    package var description: String {
        switch self {
        case .login(let name): "\(name.name)@\(name.domain)"
        case .uid(let uid): "uid:\(uid)"
        }
    }
}
