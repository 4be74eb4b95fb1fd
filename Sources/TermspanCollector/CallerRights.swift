import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

/// Decides what a caller may: root everything; others what the roles of their groups give, and beyond that what polkit lets them.
///
/// The user database, which may take its time, is asked by a thread that lives for one question. What it does not tell in time nobody may.
@MainActor
final class CallerRights {
    private unowned let collector: Collector
    /// In which of the groups that the roles name the callers are, by uid.
    private var standings = Remembered<UInt32, Set<String>>()
    /// Whom members of groups see.
    private var members = Remembered<Set<String>, Members>()
    /// What waits for an answer about a caller.
    private var waiting: [UInt32: [@MainActor (Set<String>) -> Void]] = [:]
    private var threads = 0
    /// What the answers were remembered for.
    private var grants: [RoleGrant] = []

    /// How long the user database may take.
    private static let patience: Duration = .seconds(5)
    /// So many questions at once; beyond, nobody has a role.
    private static let mostThreads = 8

    private struct Members: Sendable {
        /// Who was looked at.
        var users: Set<UserIdentity>
        var found: Set<UserIdentity>
    }

    init(collector: Collector) { self.collector = collector }

    /// Goes on with success if the sender of `invocation` has a right, else with the error to answer with.
    func check(_ right: Right, _ invocation: BusInvocation, completion: @escaping @MainActor (Result<Void, BusError>) -> Void) {
        let askPolkit = { [unowned self] in Polkit.check(right.action, invocation, on: collector.connection, completion: completion) }
        guard let credentials = try? invocation.credentials(), !credentials.isRoot, hasGrant(of: right) else { return askPolkit() }
        groups(of: credentials.userID) { [unowned self] groups in
            if grants.give(right, toMembersOf: groups) { completion(.success(())) } else { askPolkit() }
        }
    }

    /// What a user's roles let see of others, without polkit.
    enum Sight: Sendable {
        case nothing, everybody
        case only(Set<UserIdentity>)

        func reaches(_ user: UserIdentity) -> Bool {
            switch self {
            case .nothing: false
            case .everybody: true
            case .only(let users): users.contains(user)
            }
        }
    }

    /// Whether somebody may have a right in respect of some users alone.
    func mayViewMembers(by right: Right) -> Bool {
        (right == .viewOthers || right == .viewPolicy) && collector.policy.roles.contains { $0.grant.role == .viewer }
    }

    /// What roles let a user see by a right.
    ///
    /// - Parameter users: those among whom a viewer's are looked for.
    func sight(
        of userID: UInt32, by right: Right, among users: Set<UserIdentity>, completion: @escaping @MainActor (Sight) -> Void
    ) {
        let seesMembers = mayViewMembers(by: right)
        guard hasGrant(of: right) || seesMembers else { return completion(.nothing) }
        groups(of: userID) { [unowned self] groups in
            if grants.give(right, toMembersOf: groups) { return completion(.everybody) }
            let views = seesMembers ? grants.views(ofMembersOf: groups) : []
            guard !views.isEmpty else { return completion(.nothing) }
            members(of: views, among: users) { completion($0.isEmpty ? .nothing : .only($0)) }
        }
    }

    /// Takes over what the policy says now.
    private func hasGrant(of right: Right) -> Bool {
        let now = collector.policy.roles.map(\.grant)
        if now != grants {
            grants = now
            standings = Remembered()
            members = Remembered()
        }
        return grants.contains { $0.role.rights.contains(right) }
    }

    // MARK: The user database

    /// In which of the groups that roles name a user is.
    private func groups(of userID: UInt32, completion: @escaping @MainActor (Set<String>) -> Void) {
        if let known = standings.find(userID, at: .now()) { return completion(known) }
        waiting[userID, default: []].append(completion)
        guard waiting[userID]?.count == 1 else { return }
        let asked = grants
        let names = Array(Set(asked.map(\.group)))
        ask {
            guard let user = UserDatabase.user(of: userID) else { return [] as Set<String> }
            let answer = UserDatabase.memberships(of: [user], in: names)
            return Set(names.filter { answer.isMember(user, of: $0) })
        } completion: { [unowned self] groups in
            if let groups, asked == grants { standings.add(userID, groups, at: .now()) }
            for one in waiting.removeValue(forKey: userID) ?? [] { one(groups ?? []) }
        }
    }

    private func members(
        of groups: Set<String>, among users: Set<UserIdentity>, completion: @escaping @MainActor (Set<UserIdentity>) -> Void
    ) {
        if let known = members.find(groups, at: .now()), known.users.isSuperset(of: users) {
            return completion(known.found.intersection(users))
        }
        ask {
            let answer = UserDatabase.memberships(of: users, in: Array(groups))
            return users.filter { user in groups.contains { answer.isMember(user, of: $0) } }
        } completion: { [unowned self] found in
            if let found { members.add(groups, Members(users: users, found: found), at: .now()) }
            completion(found ?? [])
        }
    }

    /// Goes on with nil where it takes too long.
    private func ask<Answer: Sendable>(
        _ question: @escaping @Sendable () -> Answer, completion: @escaping @MainActor (Answer?) -> Void
    ) {
        guard threads < Self.mostThreads else { return completion(nil) }
        let wait = Wait(completion)
        do {
            wait.timer = try collector.loop.after(Self.patience) { wait.finish(nil) }
            _ = try Thread(name: "rights") { [inbox = collector.inbox, weak self] in
                let answer = question()
                inbox.post {
                    self?.threads -= 1
                    wait.finish(answer)
                }
            }
            threads += 1
        } catch {
            wait.finish(nil)
        }
    }

    /// Waits for an answer or for the end of patience, whatever comes first.
    @MainActor
    private final class Wait<Answer: Sendable> {
        private var completion: (@MainActor (Answer?) -> Void)?
        var timer: EventSource?

        init(_ completion: @escaping @MainActor (Answer?) -> Void) { self.completion = completion }

        func finish(_ answer: Answer?) {
            let last = completion
            (completion, timer) = (nil, nil)
            last?(answer)
        }
    }
}

extension Memberships.Answer {
    /// Whether it is certain that a user is in a group.
    func isMember(_ user: UserIdentity, of group: String) -> Bool {
        guard let id = groups[group] ?? nil, let own = users[user] ?? nil else { return false }
        return own.contains(id)
    }
}

/// What was said within the last ten seconds. Pure.
struct Remembered<Key: Hashable, Value> {
    private var values: [Key: (value: Value, since: BootInstant)] = [:]
    private static var memory: Duration { .seconds(10) }
    private static var most: Int { 1000 }

    func find(_ key: Key, at now: BootInstant) -> Value? {
        values[key].flatMap { $0.since.duration(to: now) < Self.memory ? $0.value : nil }
    }

    mutating func add(_ key: Key, _ value: Value, at now: BootInstant) {
        if values.count >= Self.most { values = values.filter { $0.value.since.duration(to: now) < Self.memory } }
        if values.count >= Self.most { values = [:] }
        values[key] = (value, now)
    }
}
