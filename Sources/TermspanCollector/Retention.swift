import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanStore
import TermspanSystem

/// Has the store remove what is older than the configuration keeps, once an hour.
@MainActor
final class Retention {
    private let loop: EventLoop
    private let store: StoreThread
    private let inbox: MainInbox
    private var configuration: Configuration
    private var timer: EventSource?
    /// What this hour's removed until now; nil while nothing is being removed.
    private var removed: Expired?
    /// Whether the journal was told that the wall clock is not believed.
    private var isHeld = false

    /// What a part came to.
    private enum Part: Sendable {
        case removed(Expired)
        /// The wall clock has leapt.
        case held
        case failed
    }

    private static let first: Duration = .seconds(1200)
    private static let pause: Duration = .seconds(3600)

    init(loop: EventLoop, store: StoreThread, inbox: MainInbox, configuration: Configuration) throws {
        self.loop = loop
        self.store = store
        self.inbox = inbox
        self.configuration = configuration
        timer = try loop.timer(accuracy: .seconds(30)) { [unowned self] in begin() }
        timer?.arm(at: loop.now.advanced(by: Self.first))
    }

    /// Lets another configuration hold, at once.
    func reload(_ configuration: Configuration) {
        let old = self.configuration
        self.configuration = configuration
        if old.keepActivity != configuration.keepActivity || old.keepSessions != configuration.keepSessions { begin() }
    }

    private func begin() {
        timer?.arm(at: loop.now.advanced(by: Self.pause))
        guard removed == nil else { return }
        removed = Expired()
        goOn()
    }

    /// Other work of the store's thread comes between the parts. Steps of the clock that wait to be stored would be one leap.
    private func goOn() {
        let (keepActivity, keepSessions) = (configuration.keepActivity, configuration.keepSessions)
        store.submitOnceDurable { [inbox] writer, problem in
            let part = problem == nil ? Self.expire(keepActivity, keepSessions, writer) : .failed
            inbox.post { [weak self] in self?.take(part) }
        }
    }

    private nonisolated static func expire(_ keepActivity: Duration?, _ keepSessions: Duration?, _ writer: StoreWriter) -> Part {
        let now = ClockAnchor(boot: .now(), wall: .now())
        func moment(_ time: Duration?) -> WallInstant? { time.map { now.wall.advanced(by: .zero - $0) } }
        do throws(StoreError) {
            guard try writer.trustsClock(now, keeping: [keepActivity, keepSessions].compactMap { $0 }) else { return .held }
            return .removed(try writer.expire(activityBefore: moment(keepActivity), sessionsBefore: moment(keepSessions)))
        } catch {
            // That the store can't be written is told by whoever writes to it all the time.
            return .failed
        }
    }

    private func take(_ part: Part) {
        var sum = removed ?? Expired()
        removed = nil
        switch part {
        case .removed(let part):
            isHeld = false
            sum.sessions += part.sessions
            sum.intervals += part.intervals
            guard part.isComplete else {
                removed = sum
                return goOn()
            }
            guard !sum.isEmpty else { return }
            store.submit { writer in try? writer.removeUnusedNames() }
            Journal.historyExpired(sum)
        case .held:
            if !isHeld { Journal.retentionHeld() }
            isHeld = true
        case .failed: break
        }
    }
}
