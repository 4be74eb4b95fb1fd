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
    package typealias Subject = DoNotTrackSubject
}

extension DoNotTrackSubject {
    /// All that a user is known by.
    package static func all(of user: UserIdentity) -> [DoNotTrackSubject] { [.login(LoginName(login: user.login)), .uid(user.uid)] }

    package func names(_ user: UserIdentity) -> Bool {
        switch self {
        case .login(let name): name.covers(LoginName(login: user.login))
        case .uid(let uid): uid == user.uid
        }
    }
}
