import Glibc
import Synchronization
import TermspanCore
import TermspanDirectory
import TermspanStore
import TermspanSystem

/// What the user database and the directories that it takes users from say of one user.
struct AccountFacts: Equatable, Sendable {
    /// Nil: there is none, or the account is gone.
    var name: String?
    /// Those that a directory tells, in lower case; the computer's name for an account that is none's. Of one that is gone none.
    var domains: [String] = []
    /// Whether there may be others, since a directory is silent.
    var mayHaveOthers = false
    /// Of those that were asked for.
    var groups: Set<String> = []

    /// All domains of a user: the directory's, and those that the logins name; the computer's where there is none of these.
    func domains(of login: String, logins: [String]) -> [String] {
        var found: [String] = []
        let named = ([login] + logins).map { LoginName(login: $0).domain }.filter { $0 != LoginName.anyDomain }
        for domain in domains.filter({ $0 != Self.computer || named.isEmpty }) + named where !found.contains(domain) {
            found.append(domain)
        }
        return found
    }

    /// Asks; it may take a directory's time.
    @Sendable
    static func asked(_ user: UserIdentity, groups: [String: UInt32]) -> AccountFacts {
        guard let account = Account(named: user.login), account.uid == user.uid else { return AccountFacts() }
        var facts = AccountFacts(name: account.name.isEmpty ? nil : account.name)
        if !groups.isEmpty, let own = account.groups { facts.groups = Set(groups.filter { own.contains($0.value) }.keys) }
        let told = DirectoryDomains(ofUser: account.uid)
        facts.domains = told.names.map { $0.lowercased() }
        facts.mayHaveOthers = !told.isCertain
        // A directory that is silent may have the user.
        if facts.domains.isEmpty, told.isCertain { facts.domains = [computer] }
        return facts
    }

    /// The computer's name, up to the first dot.
    static let computer: String = {
        var name = [CChar](repeating: 0, count: 65)
        guard gethostname(&name, name.count - 1) == 0 else { return "localhost" }
        let text = String(decoding: name.prefix { $0 != 0 }.map(UInt8.init(bitPattern:)), as: UTF8.self)
        return String(text.prefix { $0 != "." }).lowercased()
    }()
}

/// Asks about users for one answer, page by page, by threads that each live for a page: a directory that is silent costs an answer three seconds in
/// all, and the service eight threads at most.
struct AccountLookup: ~Copyable {
    /// Of a user, and whether that is in these groups.
    typealias Question = @Sendable (UserIdentity, _ groups: [String: UInt32]) -> AccountFacts
    /// Of a group, and of whom the user database lists that they are in it.
    typealias Listing = @Sendable (String) -> Set<UserIdentity>

    private let ask: Question
    private let groups: [String]
    /// How long it may still take.
    private var left: Duration = AccountLookup.patience
    /// Nobody answered in time, so that nobody is asked any more.
    private var isSilent = false

    static let patience: Duration = .seconds(3)
    static let silence = ReportError(reason: "the user database does not answer in time: who is meant is not known")
    /// How many threads ask, or wait for an answer in vain.
    private static let most = 8
    private static let threads = Atomic<Int>(0)

    /// - Parameter groups: of the machine or its directory, in which users may be, as far as that matters.
    init(_ ask: @escaping Question, groups: [String]) {
        self.ask = ask
        self.groups = groups
    }

    static let listed: Listing = { group in Set(Account.members(ofGroup: group).map { UserIdentity(login: $0.login, uid: $0.uid) }) }

    private struct Told: Sendable {
        var facts: [UserIdentity: AccountFacts] = [:]
        /// The first group that there is not.
        var missing: String?
        var members: Set<UserIdentity> = []
        var isWanted = true
    }

    private final class Page: Sendable {
        let told = Mutex(Told())
        let bell: EventCounter

        init() throws(SystemError) { bell = try EventCounter() }
    }

    /// What is said of users in time.
    ///
    /// - Parameters:
    ///   - mustKnow: whether an answer without it would be a wrong one, so that there is none.
    ///   - pulse: called while it takes its time.
    mutating func facts(
        of users: [UserIdentity], mustKnow: Bool, pulse: () throws -> Void
    ) throws -> [UserIdentity: AccountFacts] {
        guard !users.isEmpty || !groups.isEmpty else { return [:] }
        return try told(of: users, mustKnow: mustKnow, pulse: pulse).facts
    }

    /// Whom the user database lists as members of the groups, whoever they are here. Of a directory there may be others.
    mutating func members(_ list: @escaping Listing, pulse: () throws -> Void) throws -> Set<UserIdentity> {
        try told(of: [], list: list, mustKnow: true, pulse: pulse).members
    }

    private mutating func told(
        of users: [UserIdentity], list: Listing? = nil, mustKnow: Bool, pulse: () throws -> Void
    ) throws -> Told {
        guard !isSilent, Self.threads.load(ordering: .relaxed) < Self.most, let page = try? Page() else {
            if mustKnow { throw Self.silence }
            return Told()
        }
        let (ask, groups) = (ask, groups)
        Self.threads.add(1, ordering: .relaxed)
        let thread = try? Thread(name: "accounts", stackSize: 1 << 20) {
            let numbers = Dictionary(uniqueKeysWithValues: groups.compactMap { name in Account.group(named: name).map { (name, $0) } })
            let members = list.map { list in Set(groups.flatMap { list($0) }) } ?? []
            page.told.withLock {
                $0.missing = groups.first { numbers[$0] == nil }
                $0.members = members
            }
            for user in users where page.told.withLock({ $0.isWanted }) {
                let facts = ask(user, numbers)
                page.told.withLock { $0.facts[user] = facts }
            }
            Self.threads.subtract(1, ordering: .relaxed)
            page.bell.ring()
        }
        guard thread != nil else {
            Self.threads.subtract(1, ordering: .relaxed)
            if mustKnow { throw Self.silence }
            return Told()
        }
        var isDone = false
        while !isDone, left > .zero {
            let begin = monotonicNanoseconds()
            isDone = try poll(page.bell.descriptor, for: .readable, timeout: min(left, .milliseconds(100)))
            left -= .nanoseconds(Int64(clamping: monotonicNanoseconds() &- begin))
            try pulse()
        }
        isSilent = !isDone
        let told = page.told.withLock { told in
            told.isWanted = false
            return told
        }
        if let missing = told.missing { throw ReportError(reason: "There is no group \(missing).", isNotFound: true) }
        if isSilent, mustKnow { throw Self.silence }
        return told
    }
}
