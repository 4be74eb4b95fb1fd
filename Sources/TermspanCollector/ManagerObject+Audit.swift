import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

extension ManagerObject {
    /// Has the audit record say, durably before this is answered, that the reports are about to show somebody what is others'.
    func recordRead(_ invocation: BusInvocation) throws(BusError) {
        // Not even root: what is recorded of others is what they did.
        guard try invocation.credentials().userID == reportsUserID else {
            throw .accessDenied("Only the report service says who reads; see termspan audit.")
        }
        let read = try ReadCall(invocation.message)
        if recentReads.has(read, at: .now()) { return invocation.reply() }
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        let moment = WallInstant.now()
        // What waits may be a session of whom this is about.
        collector.store.submitOnceDurable { [inbox = collector.inbox] writer, problem in
            guard turn.take() else { return }
            let result = Result { () throws(StoreError) in
                if let problem { throw StoreError(.storage, "write what waits", problem) }
                return try writer.recordRead(read.kind, of: read.filter, by: Self.actor(read.reader), at: moment)
            }
            inbox.post { [weak self] in
                guard let self else { return }
                switch result {
                case .success(let entries):
                    // Where there was nobody, there may be somebody in a moment.
                    if entries > 0 { recentReads.add(read, at: .now()) }
                    unpark(parked)?.reply()
                case .failure(let error): unpark(parked)?.fail(Self.storeFailed("That it was read can't be recorded: \(error)"))
                }
            }
        }
    }
}

/// The reads of the last minute: whoever looks at the same again and again is recorded once a minute.
struct RecentReads<Read: Hashable> {
    private var moments: [Read: BootInstant] = [:]

    private static var interval: Duration { .seconds(60) }
    /// How many are remembered.
    private static var most: Int { 1000 }

    func has(_ read: Read, at now: BootInstant) -> Bool { moments[read].map { $0.duration(to: now) < Self.interval } ?? false }

    mutating func add(_ read: Read, at now: BootInstant) {
        if moments.count >= Self.most { moments = moments.filter { $0.value.duration(to: now) < Self.interval } }
        if moments.count >= Self.most, let oldest = moments.min(by: { $0.value < $1.value }) { moments[oldest.key] = nil }
        moments[read] = now
    }
}
