import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

/// Writes the audit record's head to the journal when it has grown: at once, and then again at most every ten minutes.
@MainActor
final class AuditJournal {
    private let loop: EventLoop
    private var timer: EventSource?
    /// What is still to be written.
    private var waiting: AuditHead?
    private var rests = false

    private static let pause: Duration = .seconds(600)

    init(loop: EventLoop) throws {
        self.loop = loop
        timer = try loop.timer(accuracy: .seconds(30)) { [unowned self] in
            rests = false
            flush()
        }
    }

    func grown(_ head: AuditHead) {
        // Of a store that was replaced nobody tells any more.
        if let known = waiting, known.store != head.store { flush() }
        waiting = head
        if !rests { flush() }
    }

    /// Writes what is still to be written.
    func flush() {
        guard let head = waiting else { return }
        waiting = nil
        rests = true
        Journal.auditRecorded(head)
        timer?.arm(at: loop.now.advanced(by: Self.pause))
    }
}
