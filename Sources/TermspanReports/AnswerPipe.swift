import Glibc
import Synchronization
import TermspanCore
import TermspanSystem

/// The writing end of an answer: buffers lines and waits for a slow reader, but not for ever.
struct AnswerPipe: ~Copyable {
    private let descriptor: OwnedDescriptor
    private var buffer: [UInt8] = []
    private let patience: Duration
    private let deadline: UInt64
    /// When it was last looked whether anybody still reads.
    private var looked: UInt64 = 0

    /// How often that is looked at while nothing is said, in nanoseconds.
    private static let pulse: UInt64 = 100_000_000

    /// The reader went away, or takes too long.
    struct Abandoned: Error {}

    /// - Parameters:
    ///   - descriptor: the writing end of a pipe; it is made non-blocking. SIGPIPE must be ignored.
    ///   - patience: how long the reader may take nothing at all.
    ///   - limit: how long the whole answer may take.
    init(_ descriptor: consuming OwnedDescriptor, patience: Duration, limit: Duration) throws(SystemError) {
        try descriptor.setNonblocking(true)
        self.descriptor = descriptor
        self.patience = patience
        deadline = monotonicNanoseconds() &+ UInt64(clamping: limit.wholeNanoseconds)
    }

    mutating func write(_ line: [UInt8]) throws {
        buffer += line
        if buffer.count >= 1 << 16 { try flush() }
    }

    /// Has what was said go out, and sees whether anybody still reads and the time is not over: for answers that work for long between lines. To be
    /// called often.
    mutating func pulse() throws {
        let now = monotonicNanoseconds()
        guard now &- looked >= Self.pulse else { return }
        looked = now
        guard now < deadline else { throw Abandoned() }
        var end = pollfd(fd: descriptor.raw, events: 0, revents: 0)
        if Glibc.poll(&end, 1, 0) > 0, end.revents & Int16(POLLERR) != 0 { throw Abandoned() }
        try flush()
    }

    mutating func flush() throws {
        var position = 0
        while position < buffer.count {
            let count = buffer.withUnsafeBytes { Glibc.write(descriptor.raw, $0.baseAddress.map { $0 + position }, $0.count - position) }
            if count > 0 {
                position += count
            } else if count < 0, errno == EAGAIN {
                guard monotonicNanoseconds() < deadline, try poll(descriptor, for: .writable, timeout: patience) else { throw Abandoned() }
            } else if count < 0, errno == EINTR {
                continue
            } else {
                throw Abandoned()
            }
        }
        buffer.removeAll(keepingCapacity: true)
    }
}

/// What the threads that answer tell the loop: whose answer is done. And what the loop tells them: to stop.
final class AnswerBoard: Sendable {
    let bell: EventCounter
    private let done = Mutex<[UInt32]>([])
    private let stop = Atomic<Bool>(false)

    init() throws(SystemError) {
        bell = try EventCounter()
    }

    func finish(_ uid: UInt32) {
        done.withLock { $0.append(uid) }
        _ = bell.ring()
    }

    /// The uids whose answers were finished since the last call, one entry an answer.
    func take() -> [UInt32] {
        _ = bell.drain()
        return done.withLock { list in
            defer { list = [] }
            return list
        }
    }

    var isStopping: Bool { stop.load(ordering: .relaxed) }

    func stopAll() { stop.store(true, ordering: .relaxed) }
}
