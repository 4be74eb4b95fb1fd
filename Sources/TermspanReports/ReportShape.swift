package import TermspanAccounting
import TermspanCore
import TermspanStore

/// What a report has its rows by, and what it is of.
package struct ReportShape: Equatable, Sendable {
    /// By users or groups, by applications, by a period, or several of these.
    package struct By: Equatable, Sendable {
        package enum Whose: Equatable, Sendable { case users, groups, everybody }

        package var whose = Whose.users
        package var isByApplication = false
        package var period: ReportPeriod?

        package init(_ whose: Whose = .users, isByApplication: Bool = false, period: ReportPeriod? = nil) {
            self.whose = whose
            self.isByApplication = isByApplication
            self.period = period
        }

        var isByGroup: Bool { whose == .groups }

        /// Reads `user,day`: user or group, application, and one of hour, day and week; nil for what is no such list.
        package init?(_ text: String) {
            let names = text.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
            guard Set(names).count == names.count else { return nil }
            whose = .everybody
            for name in names {
                switch name {
                case "user" where whose == .everybody: whose = .users
                case "group" where whose == .everybody: whose = .groups
                case "application": isByApplication = true
                default:
                    guard period == nil, let other = ReportPeriod(rawValue: name) else { return nil }
                    period = other
                }
            }
        }
    }

    package var by = By()
    /// A pattern of paths or files' names; nil: whatever had the focus.
    package var executable: String?
    /// Only members of these; without any, groups of the product's own are what a report by groups is of.
    package var groups: [String] = []
    /// Each moment of a user once, over concurrent sessions.
    package var isOwnTime = false

    package init() {}
}

/// What had the focus in a report: applications as they are told apart there, by number.
struct ReportApplications {
    private(set) var all: [Application] = []
    private var numbers: [Application: Int] = [:]
    private var names: [Application: Int] = [:]
    private let name: (Application) -> Application

    /// - Parameter name: what is the same application has the same.
    init(name: @escaping (Application) -> Application) { self.name = name }

    mutating func number(of application: Application) -> Int {
        if let number = numbers[application] { return number }
        let name = name(application)
        let number = names[name] ?? all.count
        if number == all.count { all.append(name) }
        names[name] = number
        numbers[application] = number
        return number
    }
}
