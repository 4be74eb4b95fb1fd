import TermspanCore
import TermspanStore
import TermspanSystem

/// Which groups a report is of, and who is in them: as the machine and its directory have it now (getgrouplist(3)), and the product's own.
///
/// To be used on the answer's thread, since a directory may take its time.
final class ReportGroups {
    /// In their order; the product's own as `own:NAME`.
    private let all: [String]
    private let isOfMembers: Bool
    private let own: OwnGroups
    private var numbers: [String: UInt32] = [:]
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
                guard let number = Account.group(named: name) else { throw ReportError(reason: "there is no group \(name)") }
                numbers[name] = number
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

    /// None for an account that is gone, or another's by now.
    private static func groups(of user: UserIdentity) -> Set<UInt32> {
        guard let account = Account(named: user.login), account.uid == user.uid else { return [] }
        return account.groups ?? []
    }
}
