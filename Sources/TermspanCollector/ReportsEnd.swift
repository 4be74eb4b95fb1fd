import TermspanBus
import TermspanJournal
import TermspanSystem

/// Ends the report service, in whose memory there may still be what was erased or removed; the next call to it starts it again.
@MainActor
final class ReportsEnd {
    private var slot: BusSlot?
    private var timer: EventSource?
    private var completion: (@MainActor (_ hasEnded: Bool) -> Void)?

    private static let unit = "termspan-reportd.service"
    private static let name = "org.termspan1.Reports"
    private static let patience: Duration = .seconds(3)

    /// Goes on once it takes no more calls, which then start the next one; or after some seconds.
    ///
    /// - Parameter completion: is told whether it has ended.
    static func wait(_ connection: BusConnection, _ loop: EventLoop, completion: @escaping @MainActor (_ hasEnded: Bool) -> Void) {
        let end = ReportsEnd()
        end.completion = completion
        let units = UnitManager(connection: connection)
        do {
            // Both hold on to it until it is over.
            end.timer = try loop.after(patience) {
                Log.warning("The report service did not end after something was erased or removed; what it read may still be in its memory")
                end.isOver(loop, hasEnded: false)
            }
            end.slot = try connection.watchName(name) { owner in
                if owner == nil { end.isOver(loop, hasEnded: true) } else { units.stop(unit) }
            }
        } catch {
            Log.warning("Whether the report service ended after something was erased or removed is not known", [.error: "\(error)"])
            end.isOver(loop, hasEnded: false)
        }
    }

    private func isOver(_ loop: EventLoop, hasEnded: Bool) {
        guard let completion else { return }
        self.completion = nil
        // Not from within what they call.
        loop.deferred { [self] in (slot, timer) = (nil, nil) }
        completion(hasEnded)
    }
}
