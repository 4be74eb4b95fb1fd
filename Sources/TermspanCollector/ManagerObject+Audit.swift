import TermspanBus
import TermspanCore
import TermspanSessions
import TermspanStore
import TermspanSystem

extension ManagerObject {
    /// Tells the reports what a user's roles let see of others: all, certain users, or nothing.
    func getSight(_ invocation: BusInvocation) throws(BusError) {
        guard try invocation.credentials().userID == reportsUserID else {
            throw .accessDenied("Only the report service asks what somebody may see.")
        }
        let reader = try invocation.message.read(UInt32.self)
        guard let right = AuditedRead(rawValue: try invocation.message.read(String.self))?.right else {
            throw .invalidArguments("There is no such kind of answer.")
        }
        guard rights.mayViewMembers(by: right) else { return tell(invocation, reader, right, among: []) }
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        let present = Set(collector.table.sessions.filter { $0.desktop.isUserSession }.map(\.user))
        collector.store.submit { [inbox = collector.inbox] writer in
            guard turn.take() else { return }
            let known = Result { () throws(StoreError) in try writer.currentUsers() }
            inbox.post { [weak self] in
                guard let self, let invocation = unpark(parked) else { return }
                switch known {
                case .success(let known): tell(invocation, reader, right, among: present.union(known))
                case .failure(let error): invocation.fail(Self.storeFailed("Who is known can't be read: \(error)"))
                }
            }
        }
    }

    private func tell(_ invocation: BusInvocation, _ reader: UInt32, _ right: Right, among users: Set<UserIdentity>) {
        rights.sight(of: reader, by: right, among: users) { sight in
            invocation.reply { writer in
                writer.properties { writer in
                    switch sight {
                    case .nothing: break
                    case .everybody: writer.property("all", true)
                    case .only(let users):
                        writer.property("users", .strings(users.map(\.description)))
                    }
                }
            }
        }
    }

    /// Has the audit record say, durably before this is answered, that the reports are about to show somebody what is others'.
    func recordRead(_ invocation: BusInvocation) throws(BusError) {
        // Not even root: what is recorded of others is what they did.
        guard try invocation.credentials().userID == reportsUserID else {
            throw .accessDenied("Only the report service says who reads; see termspan audit.")
        }
        let read = try ReadCall(invocation.message)
        if !read.kind.isRecorded { return invocation.reply() }
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
