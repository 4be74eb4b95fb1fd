package import TermspanAccounting
import TermspanCore
import TermspanStore

/// What a report has its rows by, and what it is of.
package struct ReportShape: Equatable, Sendable {
    /// By users or groups, by applications or what they count as, by a period, or several of these.
    package struct By: Equatable, Sendable {
        package enum Whose: Equatable, Sendable { case users, groups, everybody }

        package var whose = Whose.users
        package var isByApplication = false
        /// By how rules classify them: what it is, whether it is productive, and whether it is business.
        package var isByCategory = false
        package var isByProductivity = false
        package var isByBusiness = false
        package var period: ReportPeriod?

        package init(_ whose: Whose = .users, isByApplication: Bool = false, period: ReportPeriod? = nil) {
            self.whose = whose
            self.isByApplication = isByApplication
            self.period = period
        }

        var isByGroup: Bool { whose == .groups }
        var isBySubject: Bool { isByApplication || isByCategory || isByProductivity || isByBusiness }

        /// Reads `user,day`: user or group, application, category, productivity, business, and one of hour, day and week; nil for what is no such list.
        package init?(_ text: String) {
            let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            guard Set(names).count == names.count else { return nil }
            whose = .everybody
            for name in names {
                switch name {
                case "user" where whose == .everybody: whose = .users
                case "group" where whose == .everybody: whose = .groups
                case "application": isByApplication = true
                case "category": isByCategory = true
                case "productivity": isByProductivity = true
                case "business": isByBusiness = true
                default:
                    guard period == nil, let other = ReportPeriod(rawValue: name) else { return nil }
                    period = other
                }
            }
        }
    }

    package var by = By()
    /// Only members of these; without any, groups of the product's own are what a report by groups is of.
    package var groups: [String] = []
    /// Each moment of a user once, over concurrent sessions.
    package var isOwnTime = false

    package init() {}
}

/// What a row is of, as far as rows are by it.
struct ReportSubject: Hashable {
    var application: Application?
    var category: String?
    var productivity: Classification.Productivity?
    var isBusiness: Bool?
}

/// What had the focus in a report: applications, and what rows are of, as they are told apart there, by number.
struct ReportSubjects {
    /// Of an application; no subject where it is not chosen.
    typealias Numbers = (application: Int, subject: Int?)

    /// A window may be called as what is withheld is.
    private struct Activity: Hashable {
        var application: Application
        var isWithheld: Bool
    }

    private(set) var all: [ReportSubject] = []
    private let by: ReportShape.By
    private let chooser: ActivityChooser
    private let name: (Application) -> Application
    private var subjects: [ReportSubject: Int] = [:]
    private var applications: [Activity: Int] = [:]
    /// Of one user, of whom an activity counts as one thing.
    private var known: [Activity: Numbers] = [:]
    private var user: UserIdentity?

    /// - Parameter name: what is the same application has the same.
    init(by: ReportShape.By, _ chooser: ActivityChooser, name: @escaping (Application) -> Application) {
        (self.by, self.chooser, self.name) = (by, chooser, name)
    }

    mutating func numbers(of application: Application, _ shown: ActivityClasses.Shown?, of user: UserIdentity) -> Numbers {
        if user != self.user {
            self.user = user
            known.removeAll(keepingCapacity: true)
        }
        let isWithheld = shown?.isWithheld ?? false
        let activity = Activity(application: application, isWithheld: isWithheld)
        if let numbers = known[activity] { return numbers }
        let named = name(application)
        let number = applications[Activity(application: named, isWithheld: isWithheld), default: applications.count]
        applications[Activity(application: named, isWithheld: isWithheld)] = number
        let numbers = (number, chooser.includes(shown) ? self.number(of: subject(named, shown)) : nil)
        known[activity] = numbers
        return numbers
    }

    private mutating func number(of subject: ReportSubject) -> Int {
        if let number = subjects[subject] { return number }
        all.append(subject)
        subjects[subject] = all.count - 1
        return all.count - 1
    }

    private func subject(_ named: Application, _ shown: ActivityClasses.Shown?) -> ReportSubject {
        var subject = ReportSubject()
        if by.isByApplication { subject.application = named }
        if by.isByCategory { subject.category = shown?.classification?.category }
        // What no rule judges is neither; of what is withheld it is not told.
        if by.isByProductivity, shown?.isWithheld == false { subject.productivity = shown?.classification?.productivity ?? .undefined }
        if by.isByBusiness { subject.isBusiness = shown?.classification?.isBusiness }
        return subject
    }
}
