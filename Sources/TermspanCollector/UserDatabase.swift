import Glibc
import TermspanCore
import TermspanStore

/// The users and groups that the machine knows: getpwnam_r(3), with whatever sources nsswitch.conf names. It may take a directory's time.
enum UserDatabase {
    static func user(named name: String) -> UserIdentity? {
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard getpwnam_r(name, &entry, &buffer, buffer.count, &found) == 0, let found, let login = found.pointee.pw_name else { return nil }
        return UserIdentity(login: String(cString: login), uid: found.pointee.pw_uid)
    }

    static func user(of uid: UInt32) -> UserIdentity? {
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard getpwuid_r(uid, &entry, &buffer, buffer.count, &found) == 0, let found, let login = found.pointee.pw_name else { return nil }
        return UserIdentity(login: String(cString: login), uid: uid)
    }

    /// The gid of a group; nil where it is not known, or nobody could say.
    static func group(named name: String) -> UInt32? {
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        while true {
            var entry = Glibc.group()
            var found: UnsafeMutablePointer<Glibc.group>?
            let code = getgrnam_r(name, &entry, &buffer, buffer.count, &found)
            // The members of a large group take room, which nobody knows beforehand.
            guard code == ERANGE, buffer.count < 16 << 20 else { return code == 0 ? found?.pointee.gr_gid : nil }
            buffer = [CChar](repeating: 0, count: 4 * buffer.count)
        }
    }

    /// What is known of whether users are in groups, Termspan's own among them.
    ///
    /// - Parameter isEmptyUnknown: takes one of Termspan's own without members for one that does not exist, else for one that nobody is in.
    static func memberships(
        of users: some Sequence<UserIdentity>, in groups: [String], own: OwnGroups, isEmptyUnknown: Bool = false
    ) -> Memberships.Answer {
        // Beyond all that a gid can be.
        var numbers: [OwnGroup: UInt64] = [:]
        for group in groups.compactMap({ OwnGroup($0) }) where !isEmptyUnknown || own.has(group) {
            numbers[group] = UInt64(UInt32.max) + 1 + UInt64(numbers.count)
        }
        func ids() -> [String: UInt64?] {
            Dictionary(
                groups.map { name in
                    (name, name.hasPrefix(OwnGroup.prefix) ? OwnGroup(name).flatMap { numbers[$0] } : group(named: name).map(UInt64.init))
                }
            ) { first, _ in first }
        }
        // A directory that falls silent in between would not be noticed by one look.
        let before = ids()
        let members = users.map { user in
            (user, self.groups(of: user).map { Set($0.map(UInt64.init)).union(own.groups(of: user).compactMap { numbers[$0] }) })
        }
        return Memberships.Answer(groups: ids().merging(before) { $0 == $1 ? $0 : nil }, users: Dictionary(members) { first, _ in first })
    }

    /// The gids of a user's groups, the primary one among them; nil for an account that is gone, or another's by now. A source of
    /// nsswitch.conf that is silent adds none, and nothing tells that (getgrouplist(3)).
    static func groups(of user: UserIdentity) -> Set<UInt32>? {
        var buffer = [CChar](repeating: 0, count: 16 << 10)
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        guard getpwnam_r(user.login, &entry, &buffer, buffer.count, &found) == 0, let found, found.pointee.pw_uid == user.uid else {
            return nil
        }
        var groups = [gid_t](repeating: 0, count: 64)
        var count = Int32(groups.count)
        while getgrouplist(user.login, found.pointee.pw_gid, &groups, &count) < 0 {
            // NGROUPS_MAX; and `count` is what it takes.
            guard groups.count < 1 << 16 else { return nil }
            groups = [gid_t](repeating: 0, count: max(Int(count), 2 * groups.count))
            count = Int32(groups.count)
        }
        return Set(groups.prefix(Int(count)))
    }
}
