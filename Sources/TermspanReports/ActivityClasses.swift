import TermspanCore
package import TermspanStore
import TermspanSystem

/// The rules by which an answer's activities are classified, as the collector tells them.
package struct ClassificationPolicy: Sendable, Equatable {
    /// This server's own, as the file that was applied has them.
    package var rules = ""
    /// Of those groups that rules name and whose members are known.
    package var members: [String: Set<UserIdentity>] = [:]

    package init(rules: String = "", members: [String: Set<UserIdentity>] = [:]) {
        self.rules = rules
        self.members = members
    }
}

/// As what an answer's activities count, and what of them is shown to whom: each application is looked at once.
final class ActivityClasses {
    /// An activity as it is shown.
    struct Shown {
        /// Nil where it is no business of whoever asks.
        var application: Application?
        var isWithheld = false
        var classification: Classification?
    }

    private let classifier: Classifier
    private let members: [String: Set<UserIdentity>]
    /// Whose details are shown; nil: nobody's.
    private let own: UserIdentity?
    private let showsDetails: Bool
    private let isByName: Bool
    /// What rules call programs: the names in the entries themselves, which are the same for every reader. Read where a rule asks.
    private lazy var descriptions = Descriptions.installed(languages: [])
    private var groups: [UserIdentity: Set<String>?] = [:]

    /// - Parameter shipped: the file of the rules that come with the package.
    init(_ question: Question, reader: StoreReader?, shipped: String) throws {
        // Without the collector nobody says who is in which group.
        let policy = try question.classification ?? ClassificationPolicy(rules: reader?.policy().classification?.value ?? "")
        let bytes = (try? readFile(shipped, limit: ClassificationRules.longest, options: .followLinks)) ?? []
        let lists = try [policy.rules, String(decoding: bytes, as: UTF8.self)].map { text in
            do {
                return try ClassificationRules(text)
            } catch {
                // What is not business might be shown otherwise.
                throw ReportError(reason: "the rules of classification are wrong in \(error)")
            }
        }
        classifier = Classifier(lists)
        members = policy.members
        own = question.own
        showsDetails = question.details
        isByName = question.pseudonyms == nil
    }

    /// An activity of a user's; nil where it is ignored.
    func shown(_ application: Application?, of user: UserIdentity) -> Shown? {
        guard let application else { return Shown() }
        let description =
            classifier.usesDescriptions
            ? descriptions.of(executable: application.executable, windowClass: application.windowClass) : nil
        let groups = groups(of: user)
        // Which groups' rules hold would tell of whom it is.
        let classification = classifier.classify(
            executable: application.executable, description: description, groups: isByName ? groups ?? [] : [])
        let whole = Shown(application: application, classification: classification)
        if showsDetails || (isByName && user == own) { return whole }
        switch classifier.sight(executable: application.executable, description: description, groups: groups) {
        case .whole: return whole
        case .other: return Shown(isWithheld: true, classification: Classification(category: Classification.other, isBusiness: false))
        case .nothing: return nil
        }
    }

    /// Those that rules name; nil where one's members are not known.
    private func groups(of user: UserIdentity) -> Set<String>? {
        if let known = groups[user] { return known }
        let isKnown = classifier.groups.allSatisfy { members[$0] != nil }
        let found = isKnown ? classifier.groups.filter { members[$0]?.contains(user) == true } : nil
        groups[user] = .some(found)
        return found
    }
}
