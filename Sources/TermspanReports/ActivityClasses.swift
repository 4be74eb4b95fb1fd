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

/// The columns of what an activity counts as; nil is what no rule says.
struct ClassColumns: Hashable {
    var category: String?
    var productivity: String?
    var isBusiness: Bool?
}

extension JSONLine {
    mutating func add(_ columns: ClassColumns) {
        add("category", columns.category)
        add("productivity", columns.productivity)
        add("business", columns.isBusiness)
    }
}

/// As what an answer's activities count, and what of them is shown to whom: each application is looked at once.
final class ActivityClasses {
    /// An activity as it is shown.
    struct Shown {
        /// What is not business is a window of the class 'other'.
        var application: Application?
        var isWithheld = false
        var classification: Classification?

        /// As rows tell it.
        var columns: ClassColumns {
            ClassColumns(
                category: classification?.category, productivity: isWithheld ? nil : classification?.productivity.rawValue,
                isBusiness: classification?.isBusiness)
        }
    }

    private let question: Question
    private let reader: StoreReader?
    /// Where the rules are that come with the package.
    var shippedRules = "/usr/share/termspan/classification.rules"
    private var made: Classifier?
    private var members: [String: Set<UserIdentity>] { question.classification?.members ?? [:] }
    private var isByName: Bool { question.pseudonyms == nil }
    /// What rules call programs: the names in the entries themselves, which are the same for every reader. Read where a rule asks.
    private lazy var descriptions = Descriptions.installed(languages: [])
    private var groups: [UserIdentity: Set<String>?] = [:]
    /// What was found for one user's applications: sessions come one after the other, and their intervals by the thousand.
    private var known: (user: UserIdentity, shown: [Application: Shown?])?
    /// Classes of windows are anybody's.
    private static let most = 10_000

    init(_ question: Question, reader: StoreReader?) {
        self.question = question
        self.reader = reader
    }

    /// Made when it is asked first.
    private func classifier() throws -> Classifier {
        if let made { return made }
        // Without the collector nobody says who is in which group.
        let rules = try question.classification?.rules ?? reader?.policy().classification?.value ?? ""
        let bytes = (try? readFile(shippedRules, limit: ClassificationRules.longest, options: .followLinks)) ?? []
        let lists = try [rules, String(decoding: bytes, as: UTF8.self)].map { text in
            do {
                return try ClassificationRules(text)
            } catch {
                // What is not business might be shown otherwise.
                throw ReportError(reason: "the rules of classification are wrong in \(error)")
            }
        }
        let classifier = Classifier(lists)
        made = classifier
        return classifier
    }

    /// An activity of a user's; nil where it is ignored.
    func shown(_ application: Application?, of user: UserIdentity) throws -> Shown? {
        guard let application else { return Shown() }
        if known?.user == user, let shown = known?.shown[application] { return shown }
        let shown = try look(application, of: user)
        if known?.user != user || known.map({ $0.shown.count >= Self.most }) ?? true { known = (user, [:]) }
        known?.shown[application] = .some(shown)
        return shown
    }

    private func look(_ application: Application, of user: UserIdentity) throws -> Shown? {
        let classifier = try classifier()
        let description =
            classifier.usesDescriptions
            ? descriptions.of(executable: application.executable, windowClass: application.windowClass) : nil
        let groups = groups(of: user, classifier)
        // Which groups' rules hold would tell of whom it is.
        let classification = classifier.classify(
            executable: application.executable, description: description, groups: isByName ? groups ?? [] : [])
        let whole = Shown(application: application, classification: classification)
        if question.details || (isByName && user == question.own) { return whole }
        switch classifier.sight(executable: application.executable, description: description, groups: groups) {
        case .whole: return whole
        case .other:
            return Shown(
                application: Application(executable: nil, windowClass: Classification.other), isWithheld: true,
                classification: Classification(category: Classification.other, isBusiness: false))
        case .nothing: return nil
        }
    }

    /// Those that rules name; nil where one's members are not known.
    private func groups(of user: UserIdentity, _ classifier: Classifier) -> Set<String>? {
        if let known = groups[user] { return known }
        let isKnown = classifier.groups.allSatisfy { members[$0] != nil }
        let found = isKnown ? classifier.groups.filter { members[$0]?.contains(user) == true } : nil
        groups[user] = .some(found)
        return found
    }
}
