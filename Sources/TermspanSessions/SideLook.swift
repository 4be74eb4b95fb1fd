import TermspanBus
import TermspanCore
import TermspanSystem

/// Looks at something of which users can make as much as they like: beside the loop, by one thread at a time, and with rests in proportion
/// to how long it takes. Whoever makes it long makes it late, and nothing else.
@MainActor
final class SideLook<Found: Sendable> {
    private(set) var isUnderWay = false
    /// Not before this is it to be looked again.
    private(set) var rested = BootInstant.zero

    private let name: String
    private let inbox: MainInbox
    private let onEnd: @MainActor (Result<Found, SystemError>) -> Void

    /// The rest after a look, in lengths of it: at most a twentieth of a processor goes into looking.
    private static var rest: Int { 20 }

    /// - Parameter name: of the thread.
    init(name: String, inbox: MainInbox, onEnd: @escaping @MainActor (Result<Found, SystemError>) -> Void) {
        self.name = name
        self.inbox = inbox
        self.onEnd = onEnd
    }

    /// Begins a look; none must be under way. False, for want of a thread, if there won't be one.
    func begin(_ look: @escaping @Sendable () throws(SystemError) -> Found) -> Bool {
        precondition(!isUnderWay)
        let inbox = inbox
        let thread = try? Thread(name: name) { [weak self] in
            let begin = BootInstant.now()
            let found = Result { () throws(SystemError) in try look() }
            let end = BootInstant.now()
            inbox.post { [weak self] in self?.end(found, from: begin, to: end) }
        }
        isUnderWay = thread != nil
        return isUnderWay
    }

    private func end(_ found: Result<Found, SystemError>, from begin: BootInstant, to end: BootInstant) {
        isUnderWay = false
        rested = end.advanced(by: begin.duration(to: end) * Self.rest)
        onEnd(found)
    }
}
