import Synchronization
import TermspanCore
import TermspanSystem

/// Reads command lines of processes, on threads of its own.
///
/// /proc/PID/cmdline is read from the process's memory, whose lock its user can hold for as long as he likes, as by mapping a file of a file
/// system of his own. So each user has one thread at a time, while there is something to read, and whoever keeps it waiting waits alone.
final class CommandLines: Sendable {
    private struct Question: Sendable {
        var pid: UInt32
        var answer: @Sendable ([UInt8]?) -> Void
    }

    private struct Work {
        var waiting: [UInt32: [Question]] = [:]
        /// Users for whom a thread reads.
        var busy: Set<UInt32> = []
        var threads = 0

        /// The next question for a thread; it ends if there is none.
        mutating func take() -> (uid: UInt32, question: Question)? {
            guard let uid = waiting.keys.first(where: { !busy.contains($0) }), var questions = waiting[uid] else {
                threads -= 1
                return nil
            }
            let question = questions.removeFirst()
            waiting[uid] = questions.isEmpty ? nil : questions
            busy.insert(uid)
            return (uid, question)
        }
    }

    /// Questions of one user that may wait.
    static let share = 256
    /// Threads at a time.
    private static let limit = 32

    private let work = Mutex(Work())
    private let look: @Sendable (UInt32) -> [UInt8]?

    /// - Parameter look: what is read of a process.
    init(
        look: @escaping @Sendable (UInt32) -> [UInt8]? = {
            try? readFile("/proc/\($0)/cmdline", limit: Interpreter.limit, options: .truncate)
        }
    ) {
        self.look = look
    }

    /// Asks what a command line begins with; nil is the answer where it can't be had, at once where too many wait already.
    func read(pid: UInt32, uid: UInt32, answer: @escaping @Sendable ([UInt8]?) -> Void) {
        let (isTaken, begins) = work.withLock { work in
            guard work.waiting[uid, default: []].count < Self.share else { return (false, false) }
            work.waiting[uid, default: []].append(Question(pid: pid, answer: answer))
            // The thread that reads for this user goes on with it.
            guard work.threads < Self.limit, !work.busy.contains(uid) else { return (true, false) }
            work.threads += 1
            return (true, true)
        }
        guard isTaken else { return answer(nil) }
        guard begins, (try? Thread(name: "command-line", stackSize: 512 << 10) { [self] in run() }) == nil else { return }
        let left = work.withLock { work in
            work.threads -= 1
            return work.waiting.removeValue(forKey: uid) ?? []
        }
        for question in left { question.answer(nil) }
    }

    private func run() {
        while let (uid, question) = work.withLock({ $0.take() }) {
            question.answer(look(question.pid))
            work.withLock { _ = $0.busy.remove(uid) }
        }
    }
}
