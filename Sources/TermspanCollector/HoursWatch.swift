import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanStore
import TermspanSystem

/// Knows whether it is a time to record a user's activity at: the tracking hours, the wall clock, and who is in the groups that they name.
///
/// It wakes where hours begin or end. The user database, which may take its time, is asked by a thread that lives for one question; who may
/// be in a group is not recorded before it has answered.
@MainActor
final class HoursWatch {
    /// Called when it may have become another time for these users, or for all with nil; at the given moment, or at no certain one.
    var onChange: (@MainActor (_ users: Set<UserIdentity>?, _ moment: BootInstant?) -> Void)?
    /// Called when those about whom the user database has not told are to be wanted again.
    var onRetry: (@MainActor () -> Void)?
    private let inbox: MainInbox
    private(set) var hours: TrackingHours { didSet { groups = hours.groups } }
    /// Since when these hold, as far as is known.
    private(set) var since: BootInstant
    private var groups: [String]
    /// Whether it matters which groups users are in.
    var namesGroups: Bool { !groups.isEmpty }
    private(set) var memberships: Memberships
    private var own: OwnGroups
    /// By group, nil: who is in none that is named.
    private var states: [String?: TrackingHours.State] = [:]
    /// Likewise, of a month, as far as somebody has asked.
    private var edges: [String?: [TrackingHours.Edge]] = [:]
    private var timer: EventSource?
    private var retryTimer: EventSource?
    private var retryDelay = HoursWatch.shortest
    /// When hours begin or end next.
    private var due: BootInstant?
    /// About whom the user database is to be asked, and whether it is being asked.
    private var waiting: Set<UserIdentity> = []
    private var isAsking = false
    /// About whom it has been asked.
    private var asked: Set<UserIdentity> = []

    /// The longest that the timer sleeps: changes farther ahead are not looked for.
    private static let longest: Duration = .seconds(30 * 86_400)
    /// After this long it is asked again what the user database has not told, and then after twice as long each time.
    private static let shortest: Duration = .seconds(60)
    private static let longestRetry: Duration = .seconds(3600)

    /// - Parameter saved: what an earlier life left.
    init(loop: EventLoop, inbox: MainInbox, hours: TrackingHours, own: OwnGroups, saved: Saved?) throws {
        self.own = own
        self.inbox = inbox
        self.hours = hours
        groups = hours.groups
        since = saved?.hours == hours ? saved?.since ?? .now() : .now()
        memberships = saved?.memberships ?? Memberships()
        timer = try loop.timer(accuracy: .milliseconds(1)) { [unowned self] in passed() }
        retryTimer = try loop.timer(accuracy: .seconds(5)) { [unowned self] in
            asked = []
            onRetry?()
        }
        look()
    }

    /// What is kept over a restart.
    struct Saved: Codable, Equatable, Sendable {
        var hours: TrackingHours
        var since: BootInstant
        var memberships: Memberships
    }

    var saved: Saved { Saved(hours: hours, since: since, memberships: memberships) }

    // MARK: Asking

    /// Which group's hours are a user's, and what holds now; nil while that is not known.
    func state(for user: UserIdentity) -> (group: String?, state: TrackingHours.State)? {
        guard case .known(let group) = memberships.standing(of: user, among: groups), let state = states[group] else { return nil }
        return (group, state)
    }

    func isOpen(for user: UserIdentity) -> Bool { hours.isEmpty || state(for: user)?.state.isOpen ?? false }

    /// When the user's hours began and ended, in a month up to now, and will.
    func edges(for user: UserIdentity) -> [TrackingHours.Edge] {
        guard !hours.isEmpty, let (group, _) = state(for: user) else { return [] }
        if let known = edges[group] { return known }
        let found = hours.edges(of: group, around: .now(), in: .system)
        edges[group] = found
        return found
    }

    /// Why a user is not recorded now; nil where it is a time to.
    func coverage(of user: UserIdentity) -> Coverage? {
        guard !isOpen(for: user) else { return nil }
        guard state(for: user) == nil else { return .outsideHours }
        let missing = memberships.missingGroups
        return .groupUnknown(
            missing.isEmpty
                ? "the user database has not told which groups the user is in"
                : "tracking-hours names what is not known as a group: \(missing.joined(separator: ", "))")
    }

    // MARK: What happens

    /// Asks anew which groups a user is in who has logged on.
    func loggedOn(_ user: UserIdentity) {
        if namesGroups { ask([user]) }
    }

    /// Asks which groups a user is in, unless that is known or has been asked.
    func want(_ user: UserIdentity) {
        guard memberships.standing(of: user, among: groups) == .unknown, !asked.contains(user) else { return }
        ask([user])
    }

    /// The clock or its zone may have been set.
    func clockChanged() {
        if look() { onChange?(nil, nil) }
    }

    /// Lets other hours hold. Who may be in a group that was not named before is not recorded until that is known.
    ///
    /// - Parameter users: those who are tracked, and about whom it is asked anew.
    func reload(_ hours: TrackingHours, users: Set<UserIdentity>) {
        let isOther = hours != self.hours
        if isOther { since = .now() }
        self.hours = hours
        memberships.forget(allBut: users)
        asked = []
        retryDelay = Self.shortest
        if look() || isOther { onChange?(nil, nil) }
        if namesGroups { ask(users) }
    }

    /// Lets own groups have other members.
    ///
    /// - Parameter users: those who are tracked, about whom it is asked anew where that matters.
    func reload(_ own: OwnGroups, users: Set<UserIdentity>) {
        let isOther = own != self.own && groups.contains { $0.hasPrefix(OwnGroup.prefix) }
        self.own = own
        if isOther { ask(users) }
    }

    func forget(_ user: UserIdentity) {
        memberships.forget(user)
        asked.remove(user)
        waiting.remove(user)
    }

    private func passed() {
        let moment = due
        if look() { onChange?(nil, moment) }
    }

    /// Looks what time it is; whether it has become another.
    @discardableResult
    func look() -> Bool {
        let before = states.mapValues(\.isOpen)
        states = [:]
        edges = [:]
        due = nil
        if hours.isEmpty {
            timer?.disarm()
        } else {
            let now = ClockAnchor.now()
            for group in [nil] + groups.map(Optional.some) { states[group] = hours.state(of: group, at: now.wall, in: .system) }
            due = states.values.compactMap(\.until).min().map { now.boot(at: $0) }
            let latest = now.boot.advanced(by: Self.longest)
            timer?.arm(at: min(due ?? latest, latest))
        }
        return before != states.mapValues(\.isOpen)
    }

    private func ask(_ users: Set<UserIdentity>) {
        waiting.formUnion(users)
        asked.formUnion(users)
        askNext()
    }

    private func askNext() {
        guard !isAsking, !waiting.isEmpty else { return }
        let (users, groups, own) = (waiting, groups, own)
        waiting = []
        let thread = try? Thread(name: "groups") { [weak self, inbox] in
            let answer = UserDatabase.memberships(of: users, in: groups, own: own)
            inbox.post { [weak self] in self?.take(answer, groups: groups, own: own) }
        }
        isAsking = thread != nil
        if !isAsking { retryLater() }
    }

    private func take(_ answer: Memberships.Answer, groups: [String], own: OwnGroups) {
        isAsking = false
        if groups == self.groups, own == self.own {
            let others = memberships.learn(answer)
            if answer.users.keys.contains(where: { memberships.standing(of: $0, among: groups) == .unknown }) {
                retryLater()
            } else {
                retryDelay = Self.shortest
            }
            if !others.isEmpty { onChange?(others, nil) }
        } else {
            // Others are named since, or members.
            waiting.formUnion(answer.users.keys)
        }
        askNext()
    }

    private func retryLater() {
        guard retryTimer?.isArmed != true else { return }
        retryTimer?.arm(after: retryDelay)
        retryDelay = min(retryDelay * 2, Self.longestRetry)
    }
}
