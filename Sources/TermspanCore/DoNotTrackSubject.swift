/// Whom an entry of the Do Not Track list names.
package enum DoNotTrackSubject: Hashable, Sendable {
    case login(LoginName)
    case uid(UInt32)
    case sid(SecurityID)
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
        let (name, domain) = Self.split(login)
        self.init(name, domain: domain ?? Self.anyDomain)
    }

    /// A login's name and domain, as they are written.
    package static func split(_ login: String) -> (name: String, domain: String?) {
        // By scalars: an accent that follows makes another Character of what divides.
        let scalars = login.unicodeScalars
        if let slash = scalars.firstIndex(of: "\\") {
            return (String(scalars[scalars.index(after: slash)...]), String(scalars[..<slash]))
        }
        guard let at = scalars.lastIndex(of: "@") else { return (login, nil) }
        return (String(scalars[..<at]), String(scalars[scalars.index(after: at)...]))
    }

    /// A path with `~` in place of each folder that is called as the user, as a home folder is: `/home/~/bin/tool`. What lies under /usr is the
    /// system's, whoever is called so.
    package static func left(_ login: String, outOf path: String) -> String {
        guard !login.isEmpty, !path.hasPrefix("/usr/") else { return path }
        let names = [login.lowercased(), LoginName(login: login).name]
        // By bytes: an accent that follows makes another Character of the stroke.
        let parts = path.utf8.split(separator: UInt8(ascii: "/"), omittingEmptySubsequences: false).map { String(Substring($0)) }
        let last = parts.indices.last
        return parts.indices.map { $0 != last && names.contains(parts[$0].lowercased()) ? "~" : parts[$0] }.joined(separator: "/")
    }

    /// Whether this, in the list, is about who has that login. Where either's domain is any or unknown it is: rather one too many is not tracked.
    package func covers(_ login: LoginName) -> Bool {
        name == login.name
            && (domain == login.domain || domain == Self.anyDomain || login.domain == Self.anyDomain
                || Self.isShort(domain, of: login.domain) || Self.isShort(login.domain, of: domain))
    }

    /// The bytes of a NetBIOS name.
    private static let shortLength = 15

    /// Whether a domain may be the NetBIOS name of another, as `example` of `example.com`: the first label, as far as it has room for it.
    private static func isShort(_ short: String, of long: String) -> Bool {
        guard !short.contains("."), let dot = long.firstIndex(of: ".") else { return false }
        let label = long[..<dot]
        return short == label || short.utf8.count == shortLength && label.hasPrefix(short)
    }
}

extension DoNotTrackSubject: CustomStringConvertible {
    /// What a name or a domain may have, in bytes.
    private static let maximumLength = 256

    /// Reads `anna` or `anna@*` (in whatever domain), `anna@example.com`, `EXAMPLE\anna`, `uid:1001`, `sid:S-1-5-21-1-2-3-1104`; nil for anything else.
    package init?(_ text: String) {
        if text.lowercased().hasPrefix("sid:") {
            guard let sid = SecurityID(String(text.dropFirst("sid:".count))) else { return nil }
            self = .sid(sid)
            return
        }
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
                    // Directories have logins and domains of several words.
                    ($0 == " " || !$0.properties.isWhitespace) && $0.properties.generalCategory != .control
                        && !"@\\:/".unicodeScalars.contains($0)
                }), part.unicodeScalars.first != " ", part.unicodeScalars.last != " "
            else { return nil }
        }
        // A number alone is a UID to whoever writes it, and a login to the user database; likewise a SID.
        guard name.name != LoginName.anyDomain, UInt64(name.name) == nil, SecurityID(name.name) == nil else { return nil }
        self = .login(name)
    }

    /// As it is read again.
    package var description: String {
        switch self {
        case .login(let name): "\(name.name)@\(name.domain)"
        case .uid(let uid): "uid:\(uid)"
        case .sid(let sid): "sid:\(sid)"
        }
    }
}
