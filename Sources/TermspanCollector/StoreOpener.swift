import Glibc
import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

/// Opens the store at the start, on a thread of its own, and tries with growing pauses for as long as it can't be opened.
///
/// A full, read-only or stalled disk passes; a process that ends over it would only be started again at once, for ever.
@MainActor
final class StoreOpener {
    enum Report {
        case opened(StoreOpening)
        /// It can't be opened now, for this reason, and is tried again. Told once, until the reason changes.
        case waiting(String)
        /// It is not ours to open, and waiting helps nothing.
        case refused(StoreError)
    }

    private let place: StorePlace
    private let inbox: MainInbox
    private let report: @MainActor (Report) -> Void
    private var source: EventSource?
    private var timer: EventSource?
    private var isDone = false
    private var problem: String?

    private nonisolated static let pauses: ClosedRange<Duration> = .seconds(1) ... .seconds(10)
    /// A disk that takes longer to answer is a problem to tell of.
    private static let patience: Duration = .seconds(10)

    /// Begins at once; the reports come from the loop.
    init(loop: EventLoop, place: StorePlace, report: @escaping @MainActor (Report) -> Void) throws {
        self.place = place
        self.report = report
        inbox = try MainInbox()
        source = try inbox.attach(to: loop)
        timer = try loop.after(Self.patience) { [unowned self] in
            tell("the disk has not answered for \(Self.patience.components.seconds) s")
        }
        _ = try Thread(name: "store-opener") { [self] in tryUntilOpened() }
    }

    private nonisolated func tryUntilOpened() {
        var pause = Self.pauses.lowerBound
        while true {
            do throws(StoreError) {
                // Given away with the report: nobody here uses it again.
                nonisolated(unsafe) let opening = try StoreOpening.open(place, anchor: ClockAnchor(boot: .now(), wall: .now()))
                return inbox.post { [self] in end(.opened(opening)) }
            } catch {
                if error.code == .keys, let opening = try? locked(by: error) {
                    nonisolated(unsafe) let opening = opening
                    return inbox.post { [self] in end(.opened(opening)) }
                }
                guard error.code != .newerSchema, error.code != .notAStore else { return inbox.post { [self] in end(.refused(error)) } }
                inbox.post { [self] in tell(error.description) }
            }
            sleep(for: pause)
            pause = min(pause + pause, Self.pauses.upperBound)
        }
    }

    /// What the collector goes on with until somebody has seen to the keys: who is on the machine is told without them.
    private nonisolated func locked(by problem: StoreError) throws(StoreError) -> StoreOpening {
        let folder = getenv("TMPDIR").map { String(cString: $0) } ?? "/tmp"
        return try .locked(place, by: problem, folder: folder, anchor: ClockAnchor(boot: .now(), wall: .now()))
    }

    private func tell(_ problem: String) {
        guard !isDone, self.problem != problem else { return }
        self.problem = problem
        report(.waiting(problem))
    }

    private func end(_ last: Report) {
        isDone = true
        timer = nil
        report(last)
    }
}
