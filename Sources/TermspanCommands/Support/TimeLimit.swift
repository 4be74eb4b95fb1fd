import Synchronization
import TermspanSystem

/// Keeps what may never come to an end, as a look at a disk that stands still, from holding up the command.
enum TimeLimit {
    private final class Answer<Value: Sendable>: Sendable {
        let value = Mutex<Value?>(nil)
        let bell: EventCounter

        init() throws(SystemError) { bell = try EventCounter() }
    }

    /// What `body` returns; nil if that takes longer. Its thread is left behind then: what waits for a disk can't be interrupted.
    static func within<Value: Sendable>(_ duration: Duration, _ body: @escaping @Sendable () -> Value) -> Value? {
        guard let answer = try? Answer<Value>() else { return body() }
        let thread = try? Thread(name: "time-limit") {
            let value = body()
            answer.value.withLock { $0 = value }
            answer.bell.ring()
        }
        guard thread != nil else { return body() }
        _ = try? poll(answer.bell.descriptor, for: .readable, timeout: duration)
        return answer.value.withLock { $0 }
    }
}
