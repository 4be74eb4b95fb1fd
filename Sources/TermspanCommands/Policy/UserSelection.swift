import ArgumentParser
import Glibc
import TermspanCore

/// Whether a user's activity is recorded.
enum TrackingState: String, CaseIterable, ExpressibleByArgument { case tracked, untracked }

/// Which of the known users are meant: the options of `users`, `track` and `untrack`.
struct UserSelection: ParsableArguments {
    @Option(help: "Only users who are tracked, or untracked.")
    var status: TrackingState?

    @Option(help: "Only members of this group of the system or its directory, or own:GROUP.")
    var group: String?

    @Option(help: "Only users of this domain: EXAMPLE of EXAMPLE\\anna, example.com of anna@example.com.")
    var domain: String?

    @Option(help: "Only users who are logged on or had a recorded session since: \(Moment.help).")
    var seenSince: Moment?

    @Flag(help: "Only users of whom sessions are recorded.")
    var hasData = false

    var isEmpty: Bool { status == nil && group == nil && domain == nil && seenSince == nil && !hasData }

    /// - Throws: `.notFound` for a group that does not exist.
    @MainActor
    func filter(search: String? = nil) throws(CommandError) -> UserFilter {
        var filter = UserFilter(search: search, status: status, domain: domain, seenSince: seenSince?.instant, hasData: hasData)
        if let group {
            filter.isMember = try Self.isMember(of: group)
        }
        return filter
    }
}

extension UserSelection {
    @MainActor
    private static func isMember(of name: String) throws(CommandError) -> (String, UInt64) -> Bool {
        guard let own = OwnGroup(name) else {
            let group = try UserGroup(named: name)
            return { group.contains($0, userID: $1) }
        }
        let policy = try Client.connect().wholePolicy()
        let members = policy.groupMembers.filter { $0.group == own.name }
        guard !members.isEmpty else { throw CommandError(.notFound, "There is no group \(name).", remedy: "See: termspan group list") }
        return { login, userID in members.contains { $0.user == login && UInt64($0.userID ?? .max) == userID } }
    }
}

/// Chooses among the lines of `Users` of org.termspan1.Reports. What is nil does not restrict.
struct UserFilter {
    /// Part of a login or of the name, in whatever case.
    var search: String?
    var status: TrackingState?
    var domain: String?
    var seenSince: WallInstant?
    var hasData = false
    /// Whether a user is of the group that is meant.
    var isMember: ((_ login: String, _ userID: UInt64) -> Bool)?

    func selects(_ user: JSONValue) -> Bool {
        if let part = search?.lowercased() {
            let names = (user["logins"]?.array ?? []) + [user["name"] ?? .null]
            guard names.contains(where: { $0.string?.lowercased().contains(part) ?? false }) else { return false }
        }
        if let status, user["tracked"]?.bool != (status == .tracked) { return false }
        if let domain, user["domain"]?.string != domain.lowercased() { return false }
        if hasData, (user["sessions"]?.unsigned ?? 0) == 0 { return false }
        if let seenSince, user["open"]?.bool != true {
            let last = user["last_seen"]?.string.flatMap { TimeText.parse($0, now: seenSince) }
            guard let last, last >= seenSince else { return false }
        }
        guard let isMember else { return true }
        guard let login = user["user"]?.string, let userID = user["uid"]?.unsigned else { return false }
        return isMember(login, userID)
    }
}

/// A group, by whatever sources nsswitch.conf(5) names, which are asked as whoever runs the command.
struct UserGroup {
    private let id: gid_t

    init(named name: String) throws(CommandError) {
        guard let entry = getgrnam(name) else {
            throw CommandError(.notFound, "There is no group \(name).", remedy: "See: getent group")
        }
        id = entry.pointee.gr_gid
    }

    /// Whether the user is in it, with the primary or another group (getgrouplist(3)); an account that is gone, or another's by now, is not.
    func contains(_ login: String, userID: UInt64) -> Bool {
        guard let account = getpwnam(login), UInt64(account.pointee.pw_uid) == userID else { return false }
        let primary = account.pointee.pw_gid
        var groups = [gid_t](repeating: 0, count: 64)
        var count = Int32(groups.count)
        while getgrouplist(login, primary, &groups, &count) < 0 {
            // NGROUPS_MAX; and `count` is what it takes.
            guard groups.count < 1 << 16 else { return false }
            groups = [gid_t](repeating: 0, count: max(Int(count), 2 * groups.count))
            count = Int32(groups.count)
        }
        return groups.prefix(Int(count)).contains(id)
    }
}
