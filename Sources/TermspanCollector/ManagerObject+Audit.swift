import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

extension ManagerObject {
    /// Tells the reports what a user's roles let see of others: all, certain users, or nothing.
    func getSight(_ invocation: BusInvocation) throws(BusError) {
        guard try invocation.credentials().userID == reportsUserID else {
            throw .accessDenied("Only the report service asks what somebody may see.")
        }
        let reader = try invocation.message.read(UInt32.self)
        guard let right = Right(rawValue: try invocation.message.read(String.self)) else {
            throw .invalidArguments("There is no such right.")
        }
        let whose = try invocation.message.readProperties()
        var filter = SessionFilter()
        filter.login = whose["user"]?.string
        filter.uid = whose["uid"]?.unsigned.flatMap { UInt32(exactly: $0) }
        rights.sight(of: reader, by: right) { [unowned self] sight in
            switch sight {
            case .nothing: invocation.reply { $0.properties([:]) }
            case .everybody: invocation.reply { $0.properties(["all": true]) }
            case .members: tell(invocation, whomIsSeenBy: reader, right, filter)
            }
        }
    }

    /// Answers with those whom a viewer sees: who is logged on or in the store.
    private func tell(_ invocation: BusInvocation, whomIsSeenBy reader: UInt32, _ right: Right, _ filter: SessionFilter) {
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        collector.store.submit { [inbox = collector.inbox] writer in
            guard turn.take() else { return }
            let known = Result { () throws(StoreError) in try writer.currentUsers() }
            inbox.post { [weak self] in
                guard let self, let invocation = unpark(parked) else { return }
                switch known {
                case .success(let known):
                    let users = collector.loggedOn.union(known).filter { filter.names($0) }
                    rights.seen(by: reader, right: right, among: users) { users in
                        invocation.reply { $0.properties(["users": .strings(users.map(\.description))]) }
                    }
                case .failure(let error): invocation.fail(Self.storeFailed("Who is known can't be read: \(error)"))
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
        // It would be recorded where nobody finds it.
        if let locked { throw locked }
        if let users = read.filter.identities { return recordLooks(read, at: users, invocation) }
        if recentReads.has(read, at: .now()) { return invocation.reply() }
        record(invocation) { writer, moment throws(StoreError) in
            try writer.recordRead(read.kind, of: read.filter, by: Self.actor(read.reader), at: moment)
        } then: { [unowned self] invocation, entries in
            // Where there was nobody, there may be somebody in a moment.
            if entries > 0 { recentReads.add(read, at: .now()) }
            invocation.reply()
        }
    }

    /// Has the audit record say, durably before this is answered, that root is about to copy the store into a file.
    func recordBackup(_ invocation: BusInvocation) throws(BusError) {
        guard try invocation.credentials().isRoot else { throw .accessDenied("Only root copies the store; see termspan backup.") }
        let file = try BackupCall(invocation.message).file
        if let locked { throw locked }
        record(invocation) { writer, moment throws(StoreError) in
            try writer.recordBackup(to: file, by: Self.actor(0), at: moment)
        } then: { invocation, _ in
            invocation.reply()
        }
    }

    /// Of a reader who sees certain users alone there is an entry for each.
    private func recordLooks(_ read: ReadCall, at users: Set<UserIdentity>, _ invocation: BusInvocation) {
        func look(_ user: UserIdentity) -> Look { Look(reader: read.reader, kind: read.kind, user: user) }
        var filter = read.filter
        filter.identities = users.filter { !recentLooks.has(look($0), at: .now()) }
        if filter.identities?.isEmpty == true { return invocation.reply() }
        record(invocation) { [filter] writer, moment throws(StoreError) in
            try writer.recordLooks(read.kind, of: filter, by: Self.actor(read.reader), at: moment)
        } then: { [unowned self] invocation, users in
            recentLooks.add(users.map(look), at: .now())
            invocation.reply()
        }
    }

    /// Has the audit record say that a caller is about to be told here what is others', and then goes on. For root that can be later, who could
    /// read the store's file; of others it is durable before, and who can't be recorded is not told.
    ///
    /// - Parameter users: whose; nil is everybody's.
    func look(
        _ kind: AuditedRead, at users: Set<UserIdentity>?, _ invocation: BusInvocation,
        then: @escaping @MainActor @Sendable () -> Void
    ) {
        do throws(BusError) {
            let reader = try invocation.credentials().userID
            let asked = users.map { $0.map { Look(reader: reader, kind: kind, user: $0) } } ?? [Look(reader: reader, kind: kind, user: nil)]
            let looks = asked.filter { !recentLooks.has($0, at: .now()) }
            if looks.isEmpty || (reader == 0 && locked != nil) { return then() }
            if let locked { throw locked }
            var filter = SessionFilter()
            filter.identities = users.map { _ in Set(looks.compactMap(\.user)) }
            let (actor, moment) = (Self.actor(reader), WallInstant.now())
            let write = { @Sendable [filter] (writer: StoreWriter) throws(StoreError) in
                if filter.identities == nil {
                    _ = try writer.recordRead(kind, of: filter, by: actor, at: moment)
                } else {
                    _ = try writer.recordLooks(kind, of: filter, by: actor, at: moment)
                }
            }
            guard reader == 0 else {
                return record(invocation) { writer, _ throws(StoreError) in
                    try write(writer)
                } then: { [unowned self] _, _ in
                    recentLooks.add(looks, at: .now())
                    then()
                }
            }
            // What waits for the disk goes on waiting: it is about everybody.
            collector.store.submit { [inbox = collector.inbox] writer in
                guard (try? write(writer)) != nil else { return }
                inbox.post { [weak self] in self?.recentLooks.add(looks, at: .now()) }
            }
            then()
        } catch {
            invocation.fail(error)
        }
    }

    /// Goes on with the call once what `body` writes is durable.
    private func record<Value: Sendable>(
        _ invocation: BusInvocation, _ body: @escaping @Sendable (StoreWriter, WallInstant) throws(StoreError) -> Value,
        then: @escaping @MainActor @Sendable (BusInvocation, Value) -> Void
    ) {
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        let moment = WallInstant.now()
        // What waits may be a session of whom this is about.
        collector.store.submitOnceDurable { [inbox = collector.inbox] writer, problem in
            guard turn.take() else { return }
            let result = Result { () throws(StoreError) in
                if let problem { throw StoreError(.storage, "write what waits", problem) }
                return try body(writer, moment)
            }
            inbox.post { [weak self] in
                guard let self else { return }
                switch result {
                case .success(let value):
                    if let invocation = unpark(parked) { then(invocation, value) }
                case .failure(let error): unpark(parked)?.fail(Self.storeFailed("That it was read can't be recorded: \(error)"))
                }
            }
        }
    }
}

/// A look at what is one user's, or everybody's.
struct Look: Hashable {
    var reader: UInt32
    var kind: AuditedRead
    /// nil: everybody.
    var user: UserIdentity?
}

/// The latest reads: whoever looks at the same again and again is recorded once in a while.
struct RecentReads<Read: Hashable> {
    private var moments: [Read: BootInstant] = [:]
    /// For how long one is remembered, and how many are.
    private let interval: Duration
    private let most: Int

    init(interval: Duration = .seconds(60), most: Int = 1000) {
        self.interval = interval
        self.most = most
    }

    func has(_ read: Read, at now: BootInstant) -> Bool { moments[read].map { $0.duration(to: now) < interval } ?? false }

    mutating func add(_ read: Read, at now: BootInstant) { add([read], at: now) }

    mutating func add(_ reads: [Read], at now: BootInstant) {
        for read in reads { moments[read] = now }
        guard moments.count > most else { return }
        moments = moments.filter { $0.value.duration(to: now) < interval }
        guard moments.count > most else { return }
        // A tenth less, so that this is not to be done each time.
        for old in moments.sorted(by: { $0.value < $1.value }).prefix(moments.count - most * 9 / 10) { moments[old.key] = nil }
    }
}
