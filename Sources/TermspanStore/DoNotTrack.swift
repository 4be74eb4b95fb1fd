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
    /// Those by which users are named.
    package let securityIDs: Set<SecurityID>
    /// Whether it matters which SIDs users have.
    package var namesSIDs: Bool { !securityIDs.isEmpty }

    package init(_ entries: [Entry] = []) {
        self.entries = entries
        var domains: [String: Set<String>] = [:]
        var userIDs: Set<UInt32> = []
        var securityIDs: Set<SecurityID> = []
        for entry in entries {
            switch entry.subject {
            case .login(let name): domains[name.name, default: []].insert(name.domain)
            case .uid(let uid): userIDs.insert(uid)
            case .sid(let sid): securityIDs.insert(sid)
            }
        }
        self.domains = domains
        self.userIDs = userIDs
        self.securityIDs = securityIDs
    }

    /// Whether any entry names the user, by what is known of the user's SIDs.
    package func names(_ user: UserIdentity, sids: Set<SecurityID>) -> Bool { !subjects(naming: user, sids: sids).isEmpty }

    /// Those of the entries' subjects that name the user.
    package func subjects(naming user: UserIdentity, sids: Set<SecurityID>) -> [Subject] {
        var found: [Subject] = userIDs.contains(user.uid) ? [.uid(user.uid)] : []
        found += securityIDs.intersection(sids).sorted().map { .sid($0) }
        guard !domains.isEmpty else { return found }
        let login = LoginName(login: user.login)
        let names = (domains[login.name] ?? []).map { LoginName(login.name, domain: $0) }.filter { $0.covers(login) }
        found += names.sorted { $0.domain < $1.domain }.map { .login($0) }
        return found
    }
}

extension DoNotTrackList {
    package typealias Subject = DoNotTrackSubject
}

extension DoNotTrackSubject {
    /// All that a user is known by.
    package static func all(of user: UserIdentity, sids: Set<SecurityID>) -> [DoNotTrackSubject] {
        [.login(LoginName(login: user.login)), .uid(user.uid)] + sids.sorted().map { .sid($0) }
    }

    package func names(_ user: UserIdentity, sids: Set<SecurityID>) -> Bool {
        switch self {
        case .login(let name): name.covers(LoginName(login: user.login))
        case .uid(let uid): uid == user.uid
        case .sid(let sid): sids.contains(sid)
        }
    }
}
