import Glibc
import TermspanControl
import TermspanCore
import TermspanSystem

/// A connection to an X server beside the control channel: every wait for one also serves the other.
struct XSession: ~Copyable {
    let x: XConnection
    let collector: Collector
    /// How long the X server may take for one answer, in milliseconds.
    let answerLimit: Int64

    /// Waits for an answer and reads it.
    ///
    /// - Returns: nil when the server refused or the reply was not of the right form.
    @discardableResult
    mutating func answer<R>(_ request: XConnection.Request, _ parse: (XBytes) -> R?) throws(ProbeEnd) -> R? {
        // Not the clock of events: the limit must not pass while the machine sleeps.
        let deadline = Int64(monotonicNanoseconds() / 1_000_000) + answerLimit
        while true {
            var result: R?
            switch x.poll(request, { result = parse($0) }) {
            case .reply, .error, .done: return result
            case .broken: throw .failed(.connectionLost)
            case .pending: break
            }
            if x.isBroken { throw .failed(.connectionLost) }
            let rest = deadline - Int64(monotonicNanoseconds() / 1_000_000)
            guard rest > 0 else { throw .failed(.timeout) }
            try sleep(milliseconds: rest, server: true)
        }
    }

    /// Waits for what only shows that the server is there.
    mutating func answer(_ request: XConnection.Request) throws(ProbeEnd) {
        let _: Void? = try answer(request) { _ in () }
    }

    /// Sleeps until the X server, if that is watched, or the collector has sent something, or the time is over; serves the collector.
    ///
    /// - Parameter milliseconds: nil for no limit.
    mutating func sleep(milliseconds: Int64?, server: Bool) throws(ProbeEnd) {
        x.flush()
        var descriptors = (
            pollfd(fd: collector.raw, events: Int16(POLLIN), revents: 0),
            pollfd(fd: server ? x.descriptor : -1, events: Int16(POLLIN), revents: 0)
        )
        let limit = milliseconds.map { Int32(clamping: $0) } ?? -1
        let count = withUnsafeMutableBytes(of: &descriptors) { bytes in
            poll(bytes.baseAddress?.assumingMemoryBound(to: pollfd.self), 2, limit)
        }
        // An interrupted sleep is a short one: every caller looks again.
        if count > 0, descriptors.0.revents != 0 { try collector.serve() }
    }

    /// Whether a request without a reply was carried out; it must have been sent as a checked one.
    mutating func succeeds(_ request: XConnection.Request) throws(ProbeEnd) -> Bool {
        // The answer to a later request shows that this one's error, if any, has come.
        try answer(x.getInputFocus())
        switch x.poll(request, { _ in }) {
        case .error: return false
        case .reply, .done, .pending: return true
        case .broken: throw .failed(.connectionLost)
        }
    }
}
