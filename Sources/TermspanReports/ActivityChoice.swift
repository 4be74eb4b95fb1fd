import Glibc
package import TermspanAccounting
import TermspanCore
import TermspanStore
import TermspanSystem

/// Which activities: those that all of this holds of. What is nil does not restrict.
package struct ActivityChoice: Equatable, Sendable {
    /// The machine's group, or one of Termspan's own, whose members' they are.
    package var group: String?
    /// The computer's name, with or without its domain, or its UUID.
    package var computer: String?
    /// A path or a file's name, in which `*` stands for anything.
    package var executable: String?
    /// A part of the description, in upper or lower case.
    package var description: String?
    /// Of which there is some time.
    package var category: Category?
    /// What it counts as by the rules of classification, in upper or lower case.
    package var classified: String?
    /// In which language descriptions are, as `.desktop` files name it, the best first; nil: rows have no description.
    package var languages: [String]?

    package init() {}

    /// Whether it leaves out applications.
    var choosesApplications: Bool { executable != nil || description != nil || classified != nil }
}

/// Says which users and applications a choice is of, each asked for once.
final class ActivityChooser {
    private let choice: ActivityChoice
    private let reader: StoreReader?
    private let hidesFolders: Bool
    private lazy var descriptions = Descriptions.installed(languages: choice.languages ?? [])
    private var applications: [Application?: (description: String?, isWanted: Bool)] = [:]
    private var members: GroupMembers?
    /// How many applications are kept at once; names of windows are anybody's.
    private static let limit = 10_000

    /// - Parameter hidesFolders: whether programs are known by their files' names alone, since their folders can say whose they are.
    init(_ choice: ActivityChoice, reader: StoreReader?, hidesFolders: Bool = false) {
        self.choice = choice
        self.hidesFolders = hidesFolders
        self.reader = reader
    }

    /// To be called before anything is asked. Throws for a group that there is not: nobody's would be no answer.
    func begin(_ ask: @escaping AccountLookup.Question) throws {
        guard let group = choice.group else { return }
        let members = GroupMembers([group], try reader?.policy().ownGroups ?? OwnGroups(), ask)
        try members.check()
        self.members = members
    }

    /// Whether this computer's activities are wanted.
    func includesComputer(_ computer: Computer) -> Bool {
        guard let wanted = choice.computer?.lowercased() else { return true }
        let name = computer.name.lowercased()
        return wanted == name || wanted == name.split(separator: ".").first.map(String.init) || wanted == computer.uuid?.lowercased()
    }

    func includes(_ user: UserIdentity) throws -> Bool { try members.map { try !$0.names(of: user).isEmpty } ?? true }

    func includes(_ times: CategoryTimes) -> Bool { choice.category.map { times[$0] > 0 } ?? true }

    /// - Parameter shown: nil where it is ignored.
    func includes(_ shown: ActivityClasses.Shown?) -> Bool {
        guard let shown else { return false }
        if let wanted = choice.classified, shown.classification?.category.lowercased() != wanted.lowercased() { return false }
        return look(shown.application).isWanted
    }

    func description(of application: Application?) -> String? { look(application).description }

    private func look(_ application: Application?) -> (description: String?, isWanted: Bool) {
        if let known = applications[application] { return known }
        let name =
            choice.languages == nil && choice.description == nil
            ? nil : descriptions.of(executable: application?.executable, windowClass: application?.windowClass)
        var isWanted = true
        if let executable = choice.executable {
            let path = hidesFolders ? application?.executable.map(Descriptions.file) : application?.executable
            isWanted = path.map { Pattern.names(executable, $0) } ?? false
        }
        if let description = choice.description, name?.lowercased().contains(description.lowercased()) != true { isWanted = false }
        if applications.count >= Self.limit { applications.removeAll() }
        applications[application] = (name, isWanted)
        return (name, isWanted)
    }
}

/// The computer that the store is of.
struct Computer: Equatable {
    var name: String
    /// As the store has it; nil before there is one.
    var uuid: String?

    /// This one.
    static func present(_ reader: StoreReader?) -> Computer {
        var buffer = [CChar](repeating: 0, count: 256)
        let name =
            gethostname(&buffer, buffer.count - 1) == 0
            ? String(decoding: buffer.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self) : ""
        return Computer(name: name.isEmpty ? "localhost" : name, uuid: (try? reader?.machine())?.description)
    }
}
