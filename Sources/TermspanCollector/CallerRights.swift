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
    /// In which of the groups that the roles name the callers are, by uid. What could not be asked is none, for as long.
    private var standings: Answers<UInt32, Set<String>>
    /// Who of the users that were asked about is in one of some groups.
    private var members: Answers<MembersQuestion, Set<UserIdentity>>
    /// Who of the users that were asked about is in each of some groups.
    private var memberships: Answers<MembersQuestion, [String: Set<UserIdentity>]>
    private var grants: [RoleGrant]
    private var own: OwnGroups
    /// Grows whenever roles or own groups become others: what was asked before that no longer counts.
    private(set) var generation = 0

    private struct MembersQuestion: Hashable {
        var groups: Set<String>
        var users: Set<UserIdentity>
    }

    /// Threads that ask the user database, or wait for it in vain.
    private let threads = Threads()

    init(collector: Collector) {
        self.collector = collector
        (grants, own) = (collector.policy.roles.map(\.grant), collector.policy.ownGroups)
        standings = Answers(loop: collector.loop, inbox: collector.inbox, threads: threads)
        members = Answers(loop: collector.loop, inbox: collector.inbox, threads: threads)
        memberships = Answers(loop: collector.loop, inbox: collector.inbox, threads: threads)
    }

    /// Goes on with success if the sender of `invocation` has a right, else with the error to answer with.
    func check(_ right: Right, _ invocation: BusInvocation, completion: @escaping @MainActor (Result<Void, BusError>) -> Void) {
        let askPolkit = { [unowned self] in Polkit.check(right.action, invocation, on: collector.connection, completion: completion) }
        guard let credentials = try? invocation.credentials(), !credentials.isRoot, gives(right) else { return askPolkit() }
        groups(of: credentials.userID) { [unowned self] groups in
            if grants.give(right, toMembersOf: groups) { completion(.success(())) } else { askPolkit() }
        }
    }

    /// What a user's roles let see of others, without polkit.
    enum Sight: Sendable {
        case nothing, everybody
        /// Members of these groups.
        case members(Set<String>)
    }

    /// What roles let a user see by a right.
    func sight(of userID: UInt32, by right: Right, completion: @escaping @MainActor (Sight) -> Void) {
        let seesMembers = right == .viewOthers || right == .viewPolicy
        guard gives(right) || (seesMembers && grants.contains { $0.role == .viewer }) else { return completion(.nothing) }
        groups(of: userID) { [unowned self] groups in
            let views = seesMembers ? grants.views(ofMembersOf: groups) : []
            completion(grants.give(right, toMembersOf: groups) ? .everybody : views.isEmpty ? .nothing : .members(views))
        }
    }

    /// Whom of some users a user's roles let see by a right.
    func seen(
        by userID: UInt32, right: Right, among users: Set<UserIdentity>, completion: @escaping @MainActor (Set<UserIdentity>) -> Void
    ) {
        sight(of: userID, by: right) { [unowned self] sight in
            guard case .members(let groups) = sight, !users.isEmpty else {
                if case .everybody = sight { return completion(users) }
                return completion([])
            }
            let (asked, own) = (generation, own)
            members.ask(MembersQuestion(groups: groups, users: users)) { question in
                let answer = UserDatabase.memberships(of: question.users, in: Array(question.groups), own: own)
                return question.users.filter { user in question.groups.contains { answer.isMember(user, of: $0) } }
            } completion: { [unowned self] found in
                if asked == generation { return completion(found ?? []) }
                seen(by: userID, right: right, among: users, completion: completion)
            }
        }
    }

    /// Who of some users is in each of some groups; a group is absent that the user database does not know, or says nothing of in time.
    func members(
        of groups: [String], among users: Set<UserIdentity>, completion: @escaping @MainActor ([String: Set<UserIdentity>]) -> Void
    ) {
        guard !groups.isEmpty else { return completion([:]) }
        let (asked, own) = (generation, own)
        memberships.ask(MembersQuestion(groups: Set(groups), users: users)) { question in
            let answer = UserDatabase.memberships(of: question.users, in: Array(question.groups), own: own)
            let known = question.groups.filter { (answer.groups[$0] ?? nil) != nil }
            return Dictionary(
                uniqueKeysWithValues: known.map { group in (group, question.users.filter { answer.isMember($0, of: group) }) })
        } completion: { [unowned self] found in
            if asked == generation { completion(found ?? [:]) } else { members(of: groups, among: users, completion: completion) }
        }
    }

    private func gives(_ right: Right) -> Bool { grants.contains { $0.role.rights.contains(right) } }

    /// Lets other roles or own groups hold.
    func reload(_ policy: Policy) {
        (grants, own) = (policy.roles.map(\.grant), policy.ownGroups)
        generation += 1
        standings = Answers(loop: collector.loop, inbox: collector.inbox, threads: threads)
        members = Answers(loop: collector.loop, inbox: collector.inbox, threads: threads)
        memberships = Answers(loop: collector.loop, inbox: collector.inbox, threads: threads)
    }

    /// In which of the groups that roles name a user is.
    private func groups(of userID: UInt32, completion: @escaping @MainActor (Set<String>) -> Void) {
        let (asked, own) = (generation, own)
        let names = Array(Set(grants.map(\.group)))
        standings.ask(userID) { userID in
            guard let user = UserDatabase.user(of: userID) else { return [] }
            let answer = UserDatabase.memberships(of: [user], in: names, own: own)
            return Set(names.filter { answer.isMember(user, of: $0) })
        } completion: { [unowned self] groups in
            // Roles that were given or taken meanwhile count.
            if asked == generation { completion(groups ?? []) } else { self.groups(of: userID, completion: completion) }
        }
    }
}

/// Answers of the user database, by what was asked: each is asked for once at a time, by a thread of its own, and holds for ten seconds, also
/// that there was none in time. One that comes later is taken all the same.
@MainActor
private final class Answers<Question: Hashable & Sendable, Answer: Sendable> {
    private let loop: EventLoop
    private let inbox: MainInbox
    private let threads: Threads
    private var known = Remembered<Question, Answer?>()
    /// What is being asked, with who waits for it and until when.
    private var asked: [Question: Wait] = [:]

    private struct Wait {
        var completions: [@MainActor (Answer?) -> Void] = []
        var timer: EventSource?
    }

    /// How long the user database may take.
    private static var patience: Duration { .seconds(4) }

    init(loop: EventLoop, inbox: MainInbox, threads: Threads) {
        self.loop = loop
        self.inbox = inbox
        self.threads = threads
    }

    /// Goes on with nil where there is no answer in time.
    func ask(
        _ question: Question, _ body: @escaping @Sendable (Question) -> Answer, completion: @escaping @MainActor (Answer?) -> Void
    ) {
        if let answer = known.find(question, at: .now()) { return completion(answer) }
        if let wait = asked[question] {
            // Nobody waits any more for what has taken too long.
            if wait.timer == nil { return completion(nil) }
            asked[question]?.completions.append(completion)
            return
        }
        guard threads.count < Threads.most else { return completion(nil) }
        do {
            let timer = try loop.after(Self.patience) { [weak self] in self?.finish(question, nil, isLast: false) }
            // Holding on to this until the thread has ended.
            _ = try Thread(name: "rights") { [self, inbox] in
                let answer = body(question)
                inbox.post {
                    self.threads.count -= 1
                    self.finish(question, answer, isLast: true)
                }
            }
            threads.count += 1
            asked[question] = Wait(completions: [completion], timer: timer)
        } catch {
            completion(nil)
        }
    }

    /// - Parameter isLast: the thread has ended; else there is still an answer to come.
    private func finish(_ question: Question, _ answer: Answer?, isLast: Bool) {
        known.add(question, answer, at: .now())
        let waiting = asked[question]?.completions ?? []
        asked[question] = isLast ? nil : Wait()
        for one in waiting { one(answer) }
    }
}

/// How many threads there are for questions. So many at once; beyond, there is no answer.
@MainActor
private final class Threads {
    var count = 0
    static let most = 8
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
