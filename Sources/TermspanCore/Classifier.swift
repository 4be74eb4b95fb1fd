/// Sorts activities by rules: made ready once, and asked about each application once.
///
/// Rules for groups come before those for everybody, those of the server before those that are shipped; of each the first that matches counts.
package final class Classifier {
    private struct Prepared {
        var group: String?
        /// Of the whole path, or of the file's name alone.
        var executable: (pattern: Wildcard, isPath: Bool)?
        var description: Wildcard?
        var classification: Classification
    }

    private struct Application: Hashable {
        var executable: String?
        var description: String?
        var groups: Set<String>
    }

    private let rules: [Prepared]
    /// Those that rules are for.
    package let groups: Set<String>
    /// Whether a rule asks what people call a program.
    package let usesDescriptions: Bool
    private var known: [Application: Classification?] = [:]
    /// What is remembered at once: scripts of users' own may be many.
    private static let most = 10_000
    /// How much of a text counts, in bytes: the longest path that Linux has.
    private static let longest = 4096

    /// - Parameter lists: one after the other, the first before the others.
    package init(_ lists: [ClassificationRules]) {
        let all = lists.flatMap(\.rules)
        rules = (all.filter { $0.group != nil } + all.filter { $0.group == nil }).map { rule in
            Prepared(
                group: rule.group, executable: rule.executable.map { (Wildcard($0), $0.utf8.contains(UInt8(ascii: "/"))) },
                description: rule.description.map { Wildcard($0.lowercased()) }, classification: rule.classification)
        }
        groups = Set(all.compactMap(\.group))
        usesDescriptions = all.contains { $0.description != nil }
    }

    /// As what an application counts for a member of groups; nil: no rule matches.
    ///
    /// - Parameters:
    ///   - executable: the program's path.
    ///   - description: what people call it.
    ///   - groups: those of the user's; others than `self.groups` mean nothing.
    package func classify(executable: String?, description: String?, groups: Set<String> = []) -> Classification? {
        let application = Application(executable: executable, description: description, groups: groups.intersection(self.groups))
        if let answer = known[application] { return answer }
        let path = executable.map { Array($0.utf8.prefix(Self.longest)) }
        let file = path.map { path in path[(path.lastIndex(of: UInt8(ascii: "/")).map { $0 + 1 } ?? 0)...] }
        let text = description.map { Array($0.lowercased().utf8.prefix(Self.longest)) }
        let rule = rules.first { rule in
            if let group = rule.group, !application.groups.contains(group) { return false }
            if let (pattern, isPath) = rule.executable {
                guard let subject = isPath ? path?[...] : file, pattern.matches(subject) else { return false }
            }
            if let pattern = rule.description {
                guard let text, pattern.matches(text[...]) else { return false }
            }
            return true
        }
        if known.count >= Self.most { known = [:] }
        known[application] = .some(rule?.classification)
        return rule?.classification
    }

    /// Whether what an application does is withheld from others: what is not business is told as 'other', what is ignored not at all.
    package enum Sight: Hashable, Sendable {
        case whole, other, nothing
    }

    /// - Parameter groups: nil where nobody can say which groups the user is in: then whatever any rule withholds is.
    package func sight(executable: String?, description: String?, groups: Set<String>?) -> Sight {
        let candidates = groups.map { [$0] } ?? [[]] + self.groups.map { [$0] }
        let all = candidates.map { classify(executable: executable, description: description, groups: $0) }
        if all.contains(where: { $0?.isIgnored == true }) { return .nothing }
        return all.contains { $0?.isBusiness == false } ? .other : .whole
    }
}
