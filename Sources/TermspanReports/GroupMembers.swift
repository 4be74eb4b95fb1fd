import TermspanCore
import TermspanStore

/// Who is in some groups: of the machine and its directory as they are now, and of the product's own, as `own:NAME`. Each user is asked for once.
///
/// A directory that is silent makes an answer that would be a wrong one without it, so that there is none.
final class GroupMembers {
    private let names: [String]
    private let own: OwnGroups
    private let asksDatabase: Bool
    private var lookup: AccountLookup
    private var known: [UserIdentity: [String]] = [:]

    /// - Parameter names: in the order in which users' are told.
    init(_ names: [String], _ own: OwnGroups, _ ask: @escaping AccountLookup.Question) {
        self.names = names
        self.own = own
        let others = names.filter { OwnGroup($0) == nil }
        asksDatabase = !others.isEmpty
        lookup = AccountLookup(ask, groups: others)
    }

    /// Throws for a group that there is not: nobody's would be no answer.
    func check() throws {
        for name in names {
            if let group = OwnGroup(name), !own.has(group) { throw ReportError(reason: "There is no group \(name).", isNotFound: true) }
        }
        if asksDatabase { _ = try lookup.facts(of: [], mustKnow: true) {} }
    }

    /// Those of the groups that the user is in.
    func names(of user: UserIdentity) throws -> [String] {
        if let known = known[user] { return known }
        let owned = Set(own.groups(of: user).map(\.description))
        let facts = asksDatabase ? try lookup.facts(of: [user], mustKnow: true) {}[user] : nil
        let found = names.filter { owned.contains($0) || facts?.groups.contains($0) == true }
        known[user] = found
        return found
    }
}
