import Synchronization
import TermspanCore
import TermspanSystem

/// Reads command lines of processes, and waits for none.
///
/// /proc/PID/cmdline is read from the process's memory, whose lock its user can hold for as long as he likes, as by mapping a file of a file
/// system of his own. So a thread of its own reads; who has one waiting gets no second, and costs nobody else.
final class CommandLines: Sendable {
    private final class Look: Sendable {
        let bell: EventCounter
        let found = Mutex<[UInt8]?>(nil)

        init() throws(SystemError) { bell = try EventCounter() }
    }

    /// How long a look may take that the resolver waits for.
    static let patience = Duration.milliseconds(100)
    /// How many users may have a thread waiting.
    private static let limit = 16

    private let waiting = Mutex<Set<UInt32>>([])
    private let look: @Sendable (UInt32) -> [UInt8]?

    /// - Parameter look: what is read of a process.
    init(
        look: @escaping @Sendable (UInt32) -> [UInt8]? = {
            try? readFile("/proc/\($0)/cmdline", limit: Interpreter.limit, options: .truncate)
        }
    ) {
        self.look = look
    }

    /// What a command line begins with; nil where it can't be had, or not in time.
    func read(pid: UInt32, uid: UInt32) -> [UInt8]? {
        guard let answer = try? Look(), waiting.withLock({ $0.count < Self.limit && $0.insert(uid).inserted }) else { return nil }
        let thread = try? Thread(name: "command-line", stackSize: 256 << 10) { [self] in
            let bytes = look(pid)
            answer.found.withLock { $0 = bytes }
            waiting.withLock { _ = $0.remove(uid) }
            answer.bell.ring()
        }
        guard thread != nil else {
            waiting.withLock { _ = $0.remove(uid) }
            return nil
        }
        guard (try? poll(answer.bell.descriptor, for: .readable, timeout: Self.patience)) == true else { return nil }
        return answer.found.withLock { $0 }
    }
}
