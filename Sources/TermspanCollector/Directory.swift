import Glibc
import Synchronization
import TermspanCore
import TermspanDirectory
import TermspanStore
import TermspanSystem

/// The directories that the machine takes users from: asked which SIDs users have, by one thread that lives while there is something to ask. One
/// that is silent holds that thread, and whoever waits for an answer, and nothing else.
final class Directory: Sendable {
    /// The SIDs of users; absent: nobody could say.
    typealias Answer = [UserIdentity: Set<SecurityID>]

    private struct Question: Sendable {
        var users: Set<UserIdentity>
        var isWanted: @Sendable () -> Bool
        /// Told of each user as it is known.
        var told: @Sendable (UserIdentity, Set<SecurityID>) -> Void = { _, _ in }
        var answer: @Sendable (Answer) -> Void
    }

    private struct State {
        var questions: [Question] = []
        var isAsking = false
    }

    private let state = Mutex(State())
    private let lookUp: @Sendable (UserIdentity) -> Set<SecurityID>?

    /// - Parameter lookUp: asks about one user; nil: nobody could say. It may take its time.
    init(lookUp: @escaping @Sendable (UserIdentity) -> Set<SecurityID>? = { directorySIDs(ofUser: $0.uid) }) {
        self.lookUp = lookUp
    }

    /// Asks, and has the answer told on a thread of its own.
    func ask(_ users: Set<UserIdentity>, answer: @escaping @Sendable (Answer) -> Void) {
        ask(Question(users: users, isWanted: { true }, answer: answer), isUrgent: false)
    }

    /// Asks and waits, before all whom nobody waits for. It blocks: of whom nothing was said in time nothing is known.
    func sids(of users: Set<UserIdentity>, within patience: Duration) -> Answer {
        guard !users.isEmpty, let waiter = try? Waiter() else { return [:] }
        ask(
            Question(users: users, isWanted: { waiter.isWaiting }, told: { waiter.take($0, $1) }, answer: { _ in waiter.end() }),
            isUrgent: true)
        return waiter.wait(for: patience)
    }

    private func ask(_ question: Question, isUrgent: Bool) {
        let begins = state.withLock { state in
            state.questions.insert(question, at: isUrgent ? 0 : state.questions.count)
            defer { state.isAsking = true }
            return !state.isAsking
        }
        guard begins else { return }
        let thread = try? Thread(name: "directory") { [self] in while let question = next() { question.answer(answer(to: question)) } }
        guard thread == nil else { return }
        while let question = next() { question.answer([:]) }
    }

    /// How many questions wait for their turn.
    var count: Int { state.withLock { $0.questions.count } }

    private func next() -> Question? {
        state.withLock { state in
            guard state.questions.isEmpty else { return state.questions.removeFirst() }
            state.isAsking = false
            return nil
        }
    }

    private func answer(to question: Question) -> Answer {
        var answer: Answer = [:]
        for user in question.users where question.isWanted() {
            guard let sids = lookUp(user) else { continue }
            answer[user] = sids
            question.told(user, sids)
        }
        return answer
    }

    /// Lets a thread wait for an answer, for a time.
    private final class Waiter: Sendable {
        private let state = Mutex<(isWaiting: Bool, answer: Answer)>((true, [:]))
        private let bell: EventCounter

        init() throws(SystemError) { bell = try EventCounter() }

        var isWaiting: Bool { state.withLock { $0.isWaiting } }

        func take(_ user: UserIdentity, _ sids: Set<SecurityID>) { state.withLock { $0.answer[user] = sids } }

        func end() { bell.ring() }

        func wait(for patience: Duration) -> Answer {
            var descriptor = pollfd(fd: bell.descriptor.raw, events: Int16(POLLIN), revents: 0)
            _ = poll(&descriptor, 1, Int32(patience / .milliseconds(1)))
            return state.withLock { state in
                state.isWaiting = false
                return state.answer
            }
        }
    }
}
