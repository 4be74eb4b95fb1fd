import Glibc
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanJournal
import TermspanSessions
import TermspanStore
import TermspanSystem

/// Knows what the computer is called, where it is and which addresses it has, and what users are called whose activity is recorded, and tells the
/// store when that changes.
///
/// Nothing is asked again and again: the kernel, hostnamed and the folders that say it tell when something changes. What comes together is
/// looked at once, twelve times a minute at most.
@MainActor
final class FactsWatch {
    /// Called with what was found, whether or not the store has it already.
    var onFacts: (@MainActor ([FactRecord]) -> Void)?
    /// Called once the computer's own accounts may be others.
    var onAccounts: (@MainActor () -> Void)?
    private let connection: BusConnection
    private let inbox: MainInbox
    private var configuration: Configuration
    private var slots: [BusSlot] = []
    private var folders: [DirectoryMonitor] = []
    private var network: NetworkMonitor?
    private var timer: EventSource?
    private var looks = TokenBucket()
    /// Of the computer, as it was told last.
    private var computer: [Fact: String] = [:]
    /// What hostnamed says; nil until it has.
    private var name: String?
    private var nameFile: [UInt8]?
    private var way: NetworkState?
    private let askAddress: AddressQuestion
    private var address = PublicAddress()
    private var accounts: FileStamp?
    /// Of users, as it was told last.
    private var users: [UserIdentity: UserFacts] = [:]
    private var waiting: Set<UserIdentity> = []
    private var asked: Set<UserIdentity> = []
    private var isAsking = false
    private var isNameAsked = false

    private static let delay: Duration = .milliseconds(200)
    private static let rate = Rate(12, per: .seconds(60), burst: 6)
    private static let hostnamed = "org.freedesktop.hostname1"

    typealias AddressQuestion =
        @MainActor (_ url: String, _ completion: @escaping @MainActor (Result<String, HelperUnits.AddressError>) -> Void) -> Void

    /// - Parameter askAddress: has a server on the internet asked by which address it sees the machine.
    init(
        loop: EventLoop, connection: BusConnection, inbox: MainInbox, configuration: Configuration, askAddress: @escaping AddressQuestion
    ) throws {
        self.connection = connection
        self.inbox = inbox
        self.configuration = configuration
        self.askAddress = askAddress
        timer = try loop.timer(accuracy: .milliseconds(50)) { [unowned self] in look() }
        // A machine without one of them knows less.
        network = try? NetworkMonitor(loop: loop) { [unowned self] in changed() }
        folders = ["/etc", "/etc/sssd", "/etc/samba"].compactMap { path in
            try? DirectoryMonitor(loop: loop, path: path, seesWrites: true) { [unowned self] in changed() }
        }
        let changes = BusMatch(
            sender: Self.hostnamed, path: "/org/freedesktop/hostname1", interface: "org.freedesktop.DBus.Properties",
            member: "PropertiesChanged")
        if let slot = try? connection.match(changes, handler: { [unowned self] _ in askName() }) { slots.append(slot) }
    }

    /// Looks for the first time.
    func start() {
        accounts = FileStamp("/etc/passwd")
        look()
    }

    func reload(_ configuration: Configuration) {
        self.configuration = configuration
        nameFile = nil
        askAnew()
        changed()
    }

    /// The store knows nothing any more.
    func tellAnew() {
        computer = [:]
        let known = users
        users = [:]
        if let name { tell([.computerName: name]) }
        changed()
        for (user, facts) in known { take(facts, of: user) }
    }

    private func changed() {
        guard timer?.isArmed != true else { return }
        timer?.arm(at: max(.now().advanced(by: Self.delay), looks.next(Self.rate, at: .now())))
    }

    private func look() {
        looks.spend(Self.rate, at: .now())
        let file = try? readFile("/etc/hostname", limit: 4096, options: .followLinks)
        if name == nil || file != nameFile {
            nameFile = file
            askName()
        }
        var state = try? NetworkState.now()
        // The kernel forgets a gateway that nobody talks to; it is the same one as long as the way leads there.
        if let route = state?.route, route == way?.route, state?.hardware == nil { state?.hardware = way?.hardware }
        way = state
        // Its gateway is found once somebody talks to it.
        network?.awaitsNeighbour = state?.route != nil && state?.hardware == nil
        tell([
            .timeZone: Self.timeZone(), .primaryDomain: Self.primaryDomain(), .networkID: state?.network ?? "",
            .privateAddresses: state?.privateAddresses ?? "",
        ])
        lookForAddress()
        let stamp = FileStamp("/etc/passwd")
        let areOthers = stamp != accounts
        accounts = stamp
        guard areOthers else { return }
        askAnew()
        onAccounts?()
    }

    /// The public address is what the file says; else one of the machine; else, where a URL is named, what is answered there.
    private func lookForAddress() {
        let own = configuration.publicAddress.isEmpty ? way?.publicAddress ?? "" : configuration.publicAddress
        let url = own.isEmpty ? configuration.publicAddressURL : ""
        if let question = address.question(url, from: way, at: .now()) {
            askAddress(url) { [weak self] result in
                guard let self else { return }
                if case .failure(let error) = result {
                    Log.warning("The public address can't be asked for", [.error: "\(error)"])
                }
                // Another way may lead elsewhere meanwhile.
                if address.take(try? result.get(), to: question) { lookForAddress() }
            }
        }
        tell([.publicAddress: own.isEmpty ? address.value : own])
    }

    private func tell(_ facts: [Fact: String]) {
        let now = WallInstant.now()
        let others = Fact.ofComputer.compactMap { fact in
            facts[fact].flatMap { value in computer[fact] == value ? nil : FactRecord(fact, value, at: now) }
        }
        for record in others { computer[record.fact] = record.value }
        if !others.isEmpty { onFacts?(others) }
    }

    // MARK: The computer

    /// The kernel's name, which this process, in a namespace of its own, does not see, is hostnamed's to tell; without it there is the file.
    private func askName() {
        guard !isNameAsked else { return }
        isNameAsked = true
        connection.call(
            Self.hostnamed, path: "/org/freedesktop/hostname1", interface: "org.freedesktop.DBus.Properties", member: "Get",
            arguments: { writer throws(BusError) in
                writer.append(Self.hostnamed)
                writer.append("Hostname")
            },
            reply: { [weak self] result in
                guard let self else { return }
                isNameAsked = false
                var name =
                    String(decoding: nameFile ?? [], as: UTF8.self).split(whereSeparator: \.isWhitespace).first.map(String.init) ?? ""
                if case .success(let message) = result, let value = try? message.readValue(), let text = value.string, !text.isEmpty {
                    name = text
                }
                guard name != self.name else { return }
                self.name = name
                tell([.computerName: name])
                // What is the computer's users' domain is called so, too.
                for (user, facts) in users where facts.domain == .computer { onFacts?([record(.logonDomain, facts, user)]) }
            })
    }

    private static func text(of path: String) -> String {
        let bytes = (try? readFile(path, limit: 64 << 10, options: .followLinks)) ?? []
        return String(decoding: bytes, as: UTF8.self)
    }

    private static func timeZone() -> String {
        guard let target = try? readLink("/etc/localtime") else {
            // One that is no link does not tell its name, and what is not there is UTC: localtime(5).
            return access("/etc/localtime", F_OK) == 0
                ? text(of: "/etc/timezone").split(whereSeparator: \.isWhitespace).first.map(String.init) ?? "" : "UTC"
        }
        return SystemFiles.timeZone(ofLink: String(decoding: target, as: UTF8.self))
    }

    private static func primaryDomain() -> String {
        SystemFiles.primaryDomain(
            sssd: text(of: "/etc/sssd/sssd.conf"), samba: text(of: "/etc/samba/smb.conf"), kerberos: text(of: "/etc/krb5.conf"))
    }

    // MARK: Users

    /// Asks what a user is called, unless that is known or has been asked.
    func want(_ user: UserIdentity) {
        guard asked.insert(user).inserted else { return }
        waiting.insert(user)
        askNext()
    }

    /// Of a user who logs on it is asked anew, and by which address the machine is seen, if it is long since that was.
    func loggedOn(_ user: UserIdentity) {
        asked.remove(user)
        if !configuration.publicAddressURL.isEmpty { lookForAddress() }
    }

    func forget(_ user: UserIdentity) {
        asked.remove(user)
        waiting.remove(user)
        users[user] = nil
    }

    private func askAnew() {
        waiting.formUnion(asked)
        askNext()
    }

    /// One thread asks for all who wait for it, since the user database may take its time.
    private func askNext() {
        guard !isAsking, !waiting.isEmpty else { return }
        let users = waiting
        waiting = []
        let thread = try? Thread(name: "user-facts") { [weak self, inbox] in
            let answers = users.compactMap { user in UserFacts.find(user).map { (user, $0) } }
            inbox.post { [weak self] in
                guard let self else { return }
                isAsking = false
                for (user, facts) in answers where asked.contains(user) { take(facts, of: user) }
                askNext()
            }
        }
        isAsking = thread != nil
        if thread == nil { asked.subtract(users) }
    }

    private func take(_ facts: UserFacts, of user: UserIdentity) {
        guard users.updateValue(facts, forKey: user) != facts else { return }
        // Where it is the computer's name, it is told with that.
        onFacts?(Fact.ofUser.filter { $0 != .logonDomain || facts.domain != .computer || name != nil }.map { record($0, facts, user) })
    }

    private func record(_ fact: Fact, _ facts: UserFacts, _ user: UserIdentity) -> FactRecord {
        let value =
            switch fact {
            case .friendlyName: facts.friendlyName
            case .logonDomain:
                switch facts.domain {
                case .named(let domain): domain
                case .computer: name ?? ""
                case .unknown: ""
                }
            default: user.login
            }
        return FactRecord(fact, value, of: user, at: .now())
    }
}
