import TermspanAccounting
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanJournal
import TermspanStore
import TermspanSystem

extension ManagerObject {
    /// Erases what is held about users, once all that is known of them is in the store, or says what that would be.
    func erase(_ invocation: BusInvocation) throws(BusError) {
        let call = try ErasureCall(invocation.message)
        invocation.charge(objects: call.names.count)
        // To look is to read how much is held of others.
        authorized(invocation, for: call.isRehearsal ? .viewOthers : .erase) { [unowned self] actor in
            if call.isRehearsal { rehearse(call, invocation, by: actor) } else { erase(call, invocation, by: actor) }
        }
    }

    private func rehearse(_ call: ErasureCall, _ invocation: BusInvocation, by actor: String) {
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        let aggregator = collector.aggregator
        collector.store.submit { [inbox = collector.inbox] writer in
            guard turn.take() else { return }
            let result = Result { () throws(StoreError) in try Erasure(rehearsing: call, by: actor, aggregator, writer) }
            inbox.post { [weak self] in
                switch result {
                case .success(let erasure): self?.unpark(parked)?.reply { erasure.write(to: &$0) }
                case .failure(let error): self?.unpark(parked)?.fail(Self.storeFailed("What is held can't be read: \(error)"))
                }
            }
        }
    }

    private func erase(_ call: ErasureCall, _ invocation: BusInvocation, by actor: String) {
        // Whoever is to be forgotten is measured no longer from here on; what was comes to the store first, and goes with the rest.
        let subjects = call.alsoUsers ? call.names.map(\.subject) : []
        collector.withdraw(subjects)
        let turn = Turn()
        // One that has begun is waited for, however long it takes: its maker must learn what became of it.
        let parked = park(invocation) { [unowned self] in
            guard turn.refuse() else { return nil }
            collector.decided(subjects)
            collector.apply(collector.policy)
            return "The store does not answer; nothing was erased."
        }
        let (aggregator, burstGap, store) = (collector.aggregator, collector.configuration.burstGap, collector.store)
        let (directory, known) = (collector.sids.directory, collector.knownSIDs)
        store.submitOnceDurable { [inbox = collector.inbox] writer, problem in
            guard turn.take() else { return }
            let result = Result { () throws(StoreError) -> Erasure in
                if let problem { throw StoreError(.storage, "write what waits", problem) }
                return try Erasure(call, by: actor, aggregator, store, directory, known: known, burstGap: burstGap, writer)
            }
            inbox.post { [weak self] in
                guard let self else { return }
                collector.decided(subjects)
                switch result {
                case .failure(let error):
                    collector.apply(collector.policy)
                    unpark(parked)?.fail(Self.storeFailed("Nothing was erased: \(error)"))
                case .success(let erasure):
                    if call.alsoUsers { collector.forget(users: erasure.rows.filter { $0.receipt != nil }.map(\.user.identity)) }
                    if let policy = erasure.policy {
                        collector.release { subjects.contains($0) }
                        collector.apply(policy)
                    } else {
                        collector.withhold(subjects)
                    }
                    collector.forget(erasure.gone)
                    for row in erasure.rows {
                        guard let receipt = row.receipt else { continue }
                        Journal.historyErased(row.user.identity, receipt, alsoUser: call.alsoUsers, by: actor, reason: call.reason)
                    }
                    ReportsEnd.wait(collector.connection, collector.loop) { [unowned self] haveEnded in
                        unpark(parked)?.reply { erasure.write(to: &$0, reportsHaveEnded: haveEnded) }
                    }
                }
            }
        }
    }
}

/// What was erased, or would be. Made on the store's thread.
private struct Erasure: Sendable {
    struct Row: Sendable {
        var user: HeldUser
        var counts: HeldCounts
        /// How many sessions stay, of which nothing is known from before.
        var goingOn: Int
        /// Nil at a rehearsal.
        var receipt: ErasureReceipt?
        /// Whether it is known which SID is to be on the Do Not Track list, or that none is; nil where none was asked for.
        var isSIDKnown: Bool?

        var fields: [String: BusValue] {
            var fields: [String: BusValue] = [
                "user": .string(user.identity.login), "uid": .uint32(user.identity.uid), "sessions-going-on": .uint64(UInt64(goingOn)),
            ]
            for (name, count) in counts.named { fields[name] = .uint64(UInt64(count)) }
            if let receipt {
                fields["receipt"] = .string(receipt.text)
                fields["sha256"] = .string(receipt.digest)
            }
            if let isSIDKnown { fields["sid-known"] = .bool(isSIDKnown) }
            return fields
        }
    }

    var rows: [Row] = []
    var gone: [UUIDv7] = []
    /// As it is now, where it was changed; nil where it could not be read.
    var policy: Policy?
    /// Names that nobody has or had.
    var unknown: [String] = []
    var setAside: [String] = []
    /// Whether bytes of it are left for now.
    var isLeft = false

    private init(_ call: ErasureCall, _ users: [HeldUser], _ writer: StoreWriter) {
        unknown = call.names.filter { name in !users.contains { $0.names.contains(name) } }.map(\.description)
        setAside = writer.setAside
    }

    private static func measured(_ users: [HeldUser], _ aggregator: Aggregator) -> [UUIDv7: UserIdentity] {
        let identities = Set(users.map(\.identity))
        return aggregator.measured.compactMapValues { subject in
            let user = UserIdentity(login: subject.userName, uid: subject.uid)
            return identities.contains(user) ? user : nil
        }
    }

    init(rehearsing call: ErasureCall, by actor: String, _ aggregator: Aggregator, _ writer: StoreWriter) throws(StoreError) {
        let users = try writer.users(named: call.names)
        do throws(StoreError) {
            try writer.recordCounting(of: users, by: actor, at: .now())
        } catch {
            // Root is not refused where it can't be recorded: ADR 13.
            guard actor == ManagerObject.actor(0) else { throw error }
        }
        self.init(call, users, writer)
        let measured = Self.measured(users, aggregator)
        for user in users {
            let goingOn = call.alsoUsers ? 0 : measured.values.count(where: { $0 == user.identity })
            rows.append(Row(user: user, counts: try writer.counts(of: user), goingOn: goingOn, receipt: nil))
        }
    }

    init(
        _ call: ErasureCall, by actor: String, _ aggregator: Aggregator, _ store: StoreThread, _ directory: Directory,
        known loggedOn: [UserIdentity: Set<SecurityID>], burstGap: Duration, _ writer: StoreWriter
    ) throws(StoreError) {
        let users = try writer.users(named: call.names)
        // Whoever is forgotten is on the Do Not Track list by the SID too, unless no directory says in time which that is.
        let current = call.alsoUsers ? Set(users.filter(\.isCurrent).map(\.identity)) : []
        let sids = directory.sids(of: current, within: ManagerObject.directoryPatience).merging(loggedOn) { told, _ in told }
        self.init(call, users, writer)
        let now = ClockAnchor(boot: .now(), wall: .now())
        let erased = try writer.erase(
            users, alsoUsers: call.alsoUsers, sids: sids, measured: Set(Self.measured(users, aggregator).keys), burstGap: burstGap,
            by: actor,
            reason: call.reason, at: now)
        // What folds and batch hold of before now.
        let goingOn = erased.flatMap(\.goingOn)
        for session in goingOn { aggregator.restart(session, since: now.boot, burstGap: burstGap, reason: .erased) }
        store.forget(before: now.boot, of: Set(goingOn))
        writer.scrub(isPatient: true)
        isLeft = writer.holdsRemoved
        // Whoever of them is in there can't be told: all go.
        if !erased.isEmpty { setAside = writer.removeSetAside() }
        rows = erased.map { one in
            let isSIDKnown = current.contains(one.user.identity) ? sids[one.user.identity] != nil : nil
            return Row(user: one.user, counts: one.counts, goingOn: one.goingOn.count, receipt: one.receipt, isSIDKnown: isSIDKnown)
        }
        gone = erased.flatMap(\.gone)
        if call.alsoUsers { policy = try? writer.policy() }
    }

    /// - Parameter reportsHaveEnded: nil at a rehearsal, after which they go on.
    @MainActor
    func write(to writer: inout BusMessageWriter, reportsHaveEnded: Bool? = nil) {
        let ended = reportsHaveEnded.map { ["reports-ended": BusValue.bool($0)] } ?? [:]
        writer.rows(rows.map { $0.fields.merging(ended) { field, _ in field } })
        writer.append(unknown)
        writer.append(setAside)
        writer.append(isLeft)
    }
}
