import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanJournal
import TermspanStore
import TermspanSystem

/// Has the store remove what is older than the configuration keeps, once an hour.
@MainActor
final class Retention {
    private let loop: EventLoop
    private let store: StoreThread
    private let inbox: MainInbox
    private var configuration: Configuration
    private let onEnd: @MainActor (_ hasRemoved: Bool) -> Void
    private var timer: EventSource?
    /// When it begins next.
    private(set) var due: BootInstant
    /// What this hour's removed until now; nil while nothing is being removed.
    private var removed: Expired?
    /// What is to be removed this hour, and which part is next.
    private var plan = RetentionPlan(KeptTimes(activity: nil, sessions: nil))
    private var part = 0
    /// Whether the user database is being asked, which it may never answer, and whether it is to be asked again.
    private var isAsking = false
    private var asksAgain = false
    /// The groups that users were in by the answer before.
    private var membership: [UUIDv7: String] = [:]
    private var missingGroups: [String] = []
    /// Whether all is to be looked at again once this hour's is removed.
    private var isStale = false
    /// Whether the journal was told that the wall clock is not believed.
    private var isHeld = false

    /// What a transaction came to.
    private enum Outcome: Sendable {
        case removed(Expired)
        /// The wall clock has leapt.
        case held
        case failed
    }

    private static let first: Duration = .seconds(1200)
    private static let pause: Duration = .seconds(3600)

    /// - Parameters:
    ///   - due: when it was to begin next in an earlier life: one that is started often removes all the same.
    ///   - onEnd: called when an hour's work is over, with whether anything was removed.
    init(
        loop: EventLoop, store: StoreThread, inbox: MainInbox, configuration: Configuration, due: BootInstant?,
        onEnd: @escaping @MainActor (_ hasRemoved: Bool) -> Void
    ) throws {
        self.onEnd = onEnd
        let latest = loop.now.advanced(by: Self.first)
        self.due = min(due ?? latest, loop.now.advanced(by: Self.pause))
        self.loop = loop
        self.store = store
        self.inbox = inbox
        self.configuration = configuration
        timer = try loop.timer(accuracy: .seconds(30)) { [unowned self] in begin() }
        timer?.arm(at: self.due)
    }

    /// Lets another configuration hold, at once.
    func reload(_ configuration: Configuration) {
        let old = self.configuration
        self.configuration = configuration
        if old.kept != configuration.kept || old.keptByGroup != configuration.keptByGroup {
            // What is being removed may be kept now.
            if removed != nil { isStale = true } else { begin() }
        }
    }

    private func begin() {
        due = loop.now.advanced(by: Self.pause)
        timer?.arm(at: due)
        if configuration.keptByGroup.isEmpty {
            remove(RetentionPlan(configuration.kept))
        } else {
            store.submitOnceDurable { [inbox] writer, _ in
                guard let users = try? writer.usersWithHistory(), let own = try? writer.policy().ownGroups else { return }
                inbox.post { [weak self] in self?.ask(users, own) }
            }
        }
    }

    /// Asks which groups users are in, on a thread of its own. While an earlier question has no answer nothing is known.
    private func ask(_ users: [HeldUser], _ own: OwnGroups) {
        let groups = configuration.keptByGroup.map(\.group)
        if isAsking {
            asksAgain = true
        } else {
            let thread = try? Thread(name: "groups") { [weak self, inbox] in
                let answer = UserDatabase.memberships(
                    of: users.filter(\.isCurrent).map(\.identity), in: groups, own: own, isEmptyUnknown: true)
                inbox.post { [weak self] in self?.take(answer, users) }
            }
            isAsking = thread != nil
            if isAsking { return }
        }
        remove(RetentionPlan(users, nil, configuration))
    }

    private func take(_ answer: Memberships.Answer, _ users: [HeldUser]) {
        isAsking = false
        if asksAgain {
            asksAgain = false
            return begin()
        }
        let missing = answer.groups.filter { $0.value == nil }.keys.sorted()
        if missing != missingGroups, !missing.isEmpty {
            Log.warning(
                "keep-by-group names what is not known as a group: the longest of all times holds",
                [.error: missing.joined(separator: ", ")])
        }
        missingGroups = missing
        let plan = RetentionPlan(users, answer, configuration, previous: membership)
        membership = plan.membership
        remove(plan)
    }

    private func remove(_ plan: RetentionPlan) {
        guard removed == nil else { return isStale = true }
        removed = Expired()
        (self.plan, part) = (plan, 0)
        goOn()
    }

    /// Other work of the store's thread comes between the parts. Steps of the clock that wait to be stored would be one leap.
    private func goOn() {
        guard part < plan.parts.count else { return take(.removed(Expired())) }
        let (plan, part) = (plan, part)
        store.submitOnceDurable { [inbox] writer, problem in
            let receipt = problem == nil && part == 0 ? try? writer.recordExpired(at: .now()) : nil
            let outcome = problem == nil ? Self.expire(plan.parts[part], keeping: plan.times, writer) : .failed
            inbox.post { [weak self] in
                if let receipt { Journal.historyExpired(receipt) }
                self?.take(outcome)
            }
        }
    }

    private nonisolated static func expire(_ part: RetentionPlan.Part, keeping times: [Duration], _ writer: StoreWriter) -> Outcome {
        let now = ClockAnchor(boot: .now(), wall: .now())
        func moment(_ time: Duration?) -> WallInstant? { time.map { now.wall.advanced(by: .zero - $0) } }
        do throws(StoreError) {
            guard try writer.trustsClock(now, keeping: times) else { return .held }
            // They hold what is removed here.
            writer.removeSetAside(before: now.wall.advanced(by: .zero - times.reduce(StoreWriter.asideAge, min)))
            return .removed(
                try writer.expire(
                    activityBefore: moment(part.kept.activity), sessionsBefore: moment(part.kept.sessions), of: part.users, at: now.wall))
        } catch {
            // That the store can't be written is told by whoever writes to it all the time.
            return .failed
        }
    }

    private func take(_ outcome: Outcome) {
        var sum = removed ?? Expired()
        removed = nil
        switch outcome {
        case .removed(let expired):
            isHeld = false
            sum.counts += expired.counts
            if expired.isComplete { part += 1 }
            guard isStale || part >= plan.parts.count else {
                removed = sum
                return goOn()
            }
        case .held:
            if !isHeld { Journal.retentionHeld() }
            isHeld = true
        case .failed: break
        }
        if !sum.isEmpty {
            store.submit { writer in writer.expiryIsOver() }
            Journal.historyExpired(sum)
        }
        onEnd(!sum.isEmpty)
        guard isStale else { return }
        isStale = false
        begin()
    }
}
