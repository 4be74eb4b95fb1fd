import TermspanBus
import TermspanCore
import TermspanStore

/// Knows which SIDs the users have who are logged on, where that matters: the Do Not Track list may name somebody by one.
///
/// Directories, which may take their time, are asked beside the loop, once for all who wait for it, and again about those of whom none could
/// say. Nobody asks, and nothing wakes, as long as no SID is on the list.
@MainActor
final class SIDWatch {
    /// Called when something else is known of these users.
    var onChange: (@MainActor (_ users: Set<UserIdentity>) -> Void)?
    /// Called when those of whom nothing is known are to be wanted again.
    var onRetry: (@MainActor () -> Void)?
    let directory = Directory()
    private let inbox: MainInbox
    private(set) var known: KnownSIDs
    private var retryTimer: EventSource?
    private var retryDelay = SIDWatch.shortest
    /// Who is to be asked about, and whether a question is under way.
    private var waiting: Set<UserIdentity> = []
    private var isAsking = false
    /// Who has been asked about.
    private var asked: Set<UserIdentity> = []

    /// After this long it is asked again what nobody has told, and then after twice as long each time.
    private static let shortest: Duration = .seconds(10)
    private static let longest: Duration = .seconds(3600)

    /// - Parameter saved: what an earlier life left.
    init(loop: EventLoop, inbox: MainInbox, saved: KnownSIDs?) throws {
        self.inbox = inbox
        known = saved ?? KnownSIDs()
        retryTimer = try loop.timer(accuracy: .seconds(2)) { [unowned self] in
            asked = []
            onRetry?()
        }
    }

    /// Asks which SIDs a user has, unless that is known or has been asked.
    func want(_ user: UserIdentity) {
        guard known[user] == nil, asked.insert(user).inserted else { return }
        waiting.insert(user)
        askNext()
    }

    /// What nobody could say is asked anew: of a user who logs on a directory has just told something else.
    func loggedOn(_ user: UserIdentity) {
        asked.remove(user)
        retryDelay = Self.shortest
        retryTimer?.disarm()
    }

    /// Likewise of all, and of those who had none.
    func reload() {
        known.forgetNone()
        asked = []
        retryDelay = Self.shortest
        retryTimer?.disarm()
    }

    func forget(_ user: UserIdentity) {
        known.forget(user)
        asked.remove(user)
        waiting.remove(user)
    }

    func forget(allBut users: Set<UserIdentity>) { known.forget(allBut: users) }

    private func askNext() {
        guard !isAsking, !waiting.isEmpty else { return }
        let users = waiting
        waiting = []
        isAsking = true
        directory.ask(users) { [weak self, inbox] answer in inbox.post { [weak self] in self?.take(answer, users) } }
    }

    private func take(_ answer: Directory.Answer, _ users: Set<UserIdentity>) {
        isAsking = false
        // Some may be gone since.
        let others = known.learn(answer.filter { asked.contains($0.key) })
        if users.contains(where: { asked.contains($0) && known[$0] == nil }) {
            retryLater()
        } else {
            retryDelay = Self.shortest
        }
        if !others.isEmpty { onChange?(others) }
        askNext()
    }

    private func retryLater() {
        guard retryTimer?.isArmed != true else { return }
        retryTimer?.arm(after: retryDelay)
        retryDelay = min(retryDelay * 2, Self.longest)
    }
}
