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
    /// In which language descriptions are, as `.desktop` files name it, the best first; nil: rows have no description.
    package var languages: [String]?

    package init() {}
}

/// Says which users and applications a choice is of, each asked for once.
final class ActivityChooser {
    private let choice: ActivityChoice
    private let reader: StoreReader?
    private let hidesFolders: Bool
    private lazy var descriptions = Descriptions.installed(languages: choice.languages ?? [])
    private var applications: [Application?: (description: String?, isWanted: Bool)] = [:]
    private var users: [UserIdentity: Bool] = [:]
    private lazy var ownGroups = (try? reader?.policy().ownGroups) ?? OwnGroups()
    private lazy var group: UInt32? = choice.group.flatMap { Account.group(named: $0) }
    /// How many applications are kept at once; names of windows are anybody's.
    private static let limit = 10_000

    /// - Parameter hidesFolders: whether programs are known by their files' names alone, since their folders can say whose they are.
    init(_ choice: ActivityChoice, reader: StoreReader?, hidesFolders: Bool = false) {
        self.choice = choice
        self.hidesFolders = hidesFolders
        self.reader = reader
    }

    /// Throws for a group that there is not: nobody's would be no answer.
    func check() throws {
        guard let name = choice.group else { return }
        if let own = OwnGroup(name) {
            if !ownGroups.has(own) { throw ReportError(reason: "there is no group \(own)") }
        } else if group == nil {
            throw ReportError(reason: "there is no group \(name)")
        }
    }

    /// Whether this computer's activities are wanted.
    func includesComputer(_ computer: Computer) -> Bool {
        guard let wanted = choice.computer?.lowercased() else { return true }
        let name = computer.name.lowercased()
        return wanted == name || wanted == name.split(separator: ".").first.map(String.init) || wanted == computer.uuid?.lowercased()
    }

    func includes(_ user: UserIdentity) -> Bool {
        guard let name = choice.group else { return true }
        if let known = users[user] { return known }
        let isMember =
            OwnGroup(name).map { ownGroups.groups(of: user).contains($0) } ?? (group.map { Self.isMember(user, of: $0) } ?? false)
        users[user] = isMember
        return isMember
    }

    func includes(_ times: CategoryTimes) -> Bool { choice.category.map { times[$0] > 0 } ?? true }

    func includes(_ application: Application?) -> Bool { look(application).isWanted }

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

    /// With the primary or another group; an account that is gone, or another's by now, is not.
    private static func isMember(_ user: UserIdentity, of group: UInt32) -> Bool {
        guard let account = Account(named: user.login), account.uid == user.uid else { return false }
        return account.groups?.contains(group) ?? false
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
