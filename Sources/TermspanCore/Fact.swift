import Glibc

/// What is known of a computer or a user and may become another thing: it is kept with the time from which it held.
///
/// The raw values are stored and in machine-readable output.
package enum Fact: String, CaseIterable, Sendable {
    case computerName = "computer-name"
    /// As `Europe/Berlin`.
    case timeZone = "time-zone"
    /// Of the directory that the computer is a member of.
    case primaryDomain = "primary-domain"
    /// Stands for the network that the computer is in: two have the same if gateway and prefix are the same.
    case networkID = "network-id"
    case privateAddresses = "private-addresses"
    case publicAddress = "public-address"
    case loginName = "login-name"
    /// What people call the user.
    case friendlyName = "friendly-name"
    /// Where the user's account is: a domain, or the computer of that name.
    case logonDomain = "logon-domain"

    /// Whether it is a user's, and not the computer's.
    package var isPersonal: Bool {
        switch self {
        case .loginName, .friendlyName, .logonDomain: true
        case .computerName, .timeZone, .primaryDomain, .networkID, .privateAddresses, .publicAddress: false
        }
    }

    package static let ofComputer = allCases.filter { !$0.isPersonal }
    package static let ofUser = allCases.filter(\.isPersonal)

    /// Whether a text is an address of IPv4 or IPv6: inet_pton(3).
    package static func isAddress(_ text: String) -> Bool {
        var address = in6_addr()
        return inet_pton(AF_INET, text, &address) == 1 || inet_pton(AF_INET6, text, &address) == 1
    }

    /// A value as it is kept: what is longer than anything real is cut off.
    package static func value(_ text: String) -> String {
        text.utf8.count <= 1024 ? text : String(decoding: text.utf8.prefix(1024), as: UTF8.self)
    }
}

/// What is to be read in files of the system that say of which domain the computer is, and which time zone it has. Pure.
package enum SystemFiles {
    /// What sssd.conf(5), as realmd writes it, too, else smb.conf(5), else krb5.conf(5) says: the first domain, the realm, the default realm. "" where none does.
    package static func primaryDomain(sssd: String, samba: String, kerberos: String) -> String {
        if let list = value(of: "domains", in: "sssd", sssd), let first = list.split(separator: ",").first { return trimmed(first) }
        return value(of: "realm", in: "global", samba) ?? value(of: "default_realm", in: "libdefaults", kerberos) ?? ""
    }

    /// A zone's name by what /etc/localtime leads to, localtime(5); "" for what is no zone's file.
    package static func timeZone(ofLink target: String) -> String {
        guard let folder = target.range(of: "zoneinfo/") else { return "" }
        return String(target[folder.upperBound...])
    }

    /// The value of a key in a section of a file of `key = value` lines under `[section]`; the last one counts.
    static func value(of key: String, in section: String, _ text: String) -> String? {
        var isIn = false
        var found: String?
        for line in text.split(whereSeparator: \.isNewline) {
            let line = trimmed(line)
            if line.hasPrefix("[") {
                isIn = line.lowercased() == "[\(section)]"
            } else if isIn, !line.hasPrefix("#"), !line.hasPrefix(";"), let equals = line.firstIndex(of: "="),
                trimmed(line[..<equals]).lowercased() == key
            {
                let value = trimmed(line[line.index(after: equals)...])
                if !value.isEmpty { found = value }
            }
        }
        return found
    }

    private static func trimmed(_ text: some StringProtocol) -> String {
        func isBlank(_ character: Character) -> Bool { character == " " || character == "\t" }
        return String(text.drop(while: isBlank).reversed().drop(while: isBlank).reversed())
    }
}

extension String {
    /// Where a text stands first.
    fileprivate func range(of text: String) -> Range<Index>? {
        var start = startIndex
        while start < endIndex {
            if self[start...].hasPrefix(text) { return start..<index(start, offsetBy: text.count) }
            start = index(after: start)
        }
        return nil
    }
}
