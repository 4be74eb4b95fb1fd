import Glibc
import TermspanCore
import TermspanStore

/// Which groups a report is of, and who is in them: as the machine and its directory have it now (getgrouplist(3)), and the product's own.
///
/// To be used on the answer's thread, since a directory may take its time.
final class ReportGroups {
    /// In their order; the product's own as `own:NAME`.
    private let all: [String]
    private let isOfMembers: Bool
    private let own: OwnGroups
    private var numbers: [String: gid_t] = [:]
    private var known: [UserIdentity: [String]] = [:]

    /// - Throws: for a group that there is not.
    init(_ shape: ReportShape, _ own: OwnGroups) throws {
        self.own = own
        isOfMembers = !shape.groups.isEmpty || shape.by.isByGroup
        if shape.groups.isEmpty {
            all = shape.by.isByGroup ? Set(own.members.map(\.group.description)).sorted() : []
            if all.isEmpty, shape.by.isByGroup {
                throw ReportError(reason: "there are no groups of Termspan's own; name groups of the system")
            }
            return
        }
        all = shape.groups.reduce(into: []) { names, name in if !names.contains(name) { names.append(name) } }
        for name in all {
            if let group = OwnGroup(name) {
                guard own.has(group) else { throw ReportError(reason: "there is no group \(name)") }
            } else {
                numbers[name] = try Self.number(of: name)
            }
        }
    }

    /// Whether the report is of this user.
    func includes(_ user: UserIdentity) -> Bool { !isOfMembers || !names(of: user).isEmpty }

    /// Those of the report's groups that the user is in.
    func names(of user: UserIdentity) -> [String] {
        if let names = known[user] { return names }
        let owned = Set(own.groups(of: user).map(\.description))
        let groups = numbers.isEmpty ? [] : Self.groups(of: user)
        let names = all.filter { name in owned.contains(name) || numbers[name].map { groups.contains($0) } ?? false }
        known[user] = names
        return names
    }

    private static func number(of name: String) throws -> gid_t {
        var entry = group()
        var found: UnsafeMutablePointer<group>?
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        var code = getgrnam_r(name, &entry, &buffer, buffer.count, &found)
        while code == ERANGE, buffer.count < 1 << 24 {
            buffer = [CChar](repeating: 0, count: 4 * buffer.count)
            code = getgrnam_r(name, &entry, &buffer, buffer.count, &found)
        }
        guard code == 0, found != nil else { throw ReportError(reason: "there is no group \(name)") }
        return entry.gr_gid
    }

    /// None for an account that is gone, or another's by now.
    private static func groups(of user: UserIdentity) -> Set<gid_t> {
        var entry = passwd()
        var found: UnsafeMutablePointer<passwd>?
        var buffer = [CChar](repeating: 0, count: 1 << 16)
        guard getpwnam_r(user.login, &entry, &buffer, buffer.count, &found) == 0, found != nil, entry.pw_uid == user.uid else { return [] }
        var groups = [gid_t](repeating: 0, count: 64)
        var count = Int32(groups.count)
        while getgrouplist(user.login, entry.pw_gid, &groups, &count) < 0 {
            // NGROUPS_MAX; and `count` is what it takes.
            guard groups.count < 1 << 16 else { return [] }
            groups = [gid_t](repeating: 0, count: max(Int(count), 2 * groups.count))
            count = Int32(groups.count)
        }
        return Set(groups.prefix(Int(count)))
    }
}
