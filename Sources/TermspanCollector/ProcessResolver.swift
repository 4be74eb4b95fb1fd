import Glibc
import Synchronization
package import TermspanCore
package import TermspanEvents
import TermspanSessions
import TermspanSystem

/// Finds the executables behind the processes that sources name, on a thread of its own.
///
/// A name counts only if the kernel agrees: the process belongs to the session's user, began before the event, and lives in the
/// session's scope or under that user's service manager. Of an interpreter it is what that runs (`Interpreter`), for which there is the process's
/// own word alone. Any thread asks; the answer comes on the resolver's thread, or on that
/// which reads command lines.
package final class ProcessResolver: Sendable {
    /// One question: who is behind the focus interval `serial` of a session.
    package struct Request: Sendable {
        package var session: UUIDv7
        package var serial: UInt64
        package var claim: ProcessClaim
        package var observed: BootInstant
        package var uid: UInt32
        /// The units whose processes are the session's own.
        package var scopes: [String]
    }

    private struct Queue {
        var requests = TurnQueue<Request>(limit: ProcessResolver.capacity, limitPerUser: ProcessResolver.share)
        var isStopped = false
    }

    private let queue = Mutex(Queue())
    private let bell: EventCounter
    private let commandLines = CommandLines()
    private let answer: @Sendable (Request, _ executable: String?) -> Void
    /// Questions that may wait: of one user, and of all. Beyond it the answer is 'not known', at once. A desktop asks 20 times a second,
    /// and 200 times at once.
    static let share = 256
    private static let capacity = 16_384

    package init(answer: @escaping @Sendable (Request, _ executable: String?) -> Void) throws {
        bell = try EventCounter()
        self.answer = answer
    }

    /// Runs until `stop`; the body of the resolver's thread.
    package func run() {
        while true {
            let (request, isStopped) = queue.withLock { queue in (queue.isStopped ? nil : queue.requests.take(1).first, queue.isStopped) }
            if isStopped { return }
            if let request {
                resolve(request)
                continue
            }
            _ = try? poll(bell.descriptor, for: .readable, timeout: nil)
            _ = bell.drain()
        }
    }

    /// Asks; what does not fit is answered with nothing.
    package func ask(_ request: Request) {
        let isTaken = queue.withLock { queue in
            guard queue.requests.hasRoom(for: request.uid) else { return false }
            queue.requests.append(request, for: request.uid)
            return true
        }
        guard isTaken else { return answer(request, nil) }
        _ = bell.ring()
    }

    package func stop() {
        queue.withLock { $0.isStopped = true }
        _ = bell.ring()
    }

    private func resolve(_ request: Request) {
        let pid = request.claim.pid
        guard pid > 1, let before = try? ProcessFacts(pid: pid), before.uid == request.uid,
            before.started <= request.observed, Self.isOwn(before.controlGroup, request), let link = try? readLink("/proc/\(pid)/exe")
        else { return answer(request, nil) }
        var path = String(decoding: link, as: UTF8.self)
        if path.hasSuffix(" (deleted)") { path.removeLast(" (deleted)".count) }
        let executable = path
        @Sendable func found(_ program: String) {
            // The same process before and after, so all of it was its.
            let isSame = (try? ProcessFacts(pid: pid))?.startTime == before.startTime
            answer(request, isSame ? Interpreter.withoutPackaging(program, controlGroup: before.controlGroup) : nil)
        }
        guard Interpreter.isOne(executable) else { return found(executable) }
        commandLines.read(pid: pid, uid: request.uid) { arguments in
            let program = Interpreter.program(of: executable, arguments: { arguments }) {
                (try? readLink("/proc/\(pid)/cwd")).flatMap { String(validating: $0, as: UTF8.self) }
            }
            // Another program that the process has become meanwhile reads its arguments by rules of its own.
            found((try? readLink("/proc/\(pid)/exe")) == link ? program : executable)
        }
    }

    private static func isOwn(_ controlGroup: String, _ request: Request) -> Bool {
        guard let unit = ControlGroup.unit(of: controlGroup) else { return false }
        return unit == "user@\(request.uid).service" || request.scopes.contains { $0 == unit }
    }
}

extension ProcessFacts {
    /// When the process began, to the kernel's clock tick, rounded down.
    fileprivate var started: BootInstant {
        let ticksPerSecond = UInt64(max(1, sysconf(Int32(_SC_CLK_TCK))))
        let (product, overflow) = startTime.multipliedReportingOverflow(by: 1_000_000_000 / ticksPerSecond)
        return BootInstant(nanoseconds: overflow ? .max : product)
    }
}
