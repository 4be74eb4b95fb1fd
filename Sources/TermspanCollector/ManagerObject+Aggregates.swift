import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

extension ManagerObject {
    /// Who decides of which groups averages are told, and of how many users they are at least, decides what can be seen: as who gives roles.
    func setAggregates(_ invocation: BusInvocation) throws(BusError) {
        let call = try AggregatesCall(invocation.message)
        let (groups, minimum, reason) = (call.groups, call.minimum, call.reason)
        authorized(invocation, for: .manageRoles) { [unowned self] actor in
            change(invocation) { writer throws(StoreError) in
                try writer.setAggregates(groups: groups, minimum: minimum, by: actor, reason: reason, at: .now())
            } then: { invocation, changed in
                let parts = [
                    groups.map { "are of " + (["everybody"] + $0).joined(separator: ", ") }, minimum.map { "are of at least \($0) users" },
                ]
                let what = "aggregates " + parts.compactMap { $0 }.joined(separator: ", and ")
                if changed { Journal.policyChanged(what, user: nil, by: actor, reason: reason) }
                invocation?.reply { $0.append(changed) }
            }
        }
    }

    /// Tells the reports what aggregates are made of: the groups with their members among who is known, the minimum, and what was told before.
    func getAggregation(_ invocation: BusInvocation) throws(BusError) {
        try checkIsReports(invocation)
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        collector.store.submit { [inbox = collector.inbox] writer in
            guard turn.take() else { return }
            let known = Result { () throws(StoreError) in (try writer.currentUsers(), try writer.aggregateTables()) }
            inbox.post { [weak self] in
                guard let self, let invocation = unpark(parked) else { return }
                switch known {
                case .success(let (known, tables)): tell(invocation, of: collector.loggedOn.union(known), tables)
                case .failure(let error): invocation.fail(Self.storeFailed("What aggregates are made of can't be read: \(error)"))
                }
            }
        }
    }

    private func tell(_ invocation: BusInvocation, of users: Set<UserIdentity>, _ tables: [CalendarMonth: AggregateTable]) {
        let policy = collector.policy
        let (groups, minimum) = (policy.aggregateGroups, policy.aggregateMinimum)
        rights.members(of: groups, among: users) { members in
            invocation.reply { writer in
                writer.properties([
                    "groups": .strings(groups), "minimum": .uint64(minimum), "fixed": Self.values(tables),
                    "members": .properties(members.mapValues { .strings($0.map(\.description)) }),
                ])
            }
        }
    }

    /// Makes what the reports are about to tell of months that for good, durably before this is answered.
    func fixAggregates(_ invocation: BusInvocation) throws(BusError) {
        try checkIsReports(invocation)
        var tables: [CalendarMonth: AggregateTable] = [:]
        invocation.message.valueLimit = 1_000_000
        for (name, value) in try invocation.message.readProperties() {
            guard let month = CalendarMonth(name), let table = AggregateTable(lines: value.strings ?? []) else {
                throw .invalidArguments("'\(name.prefix(40))' is no month, or has no table.")
            }
            tables[month] = table
        }
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        collector.store.submit { [inbox = collector.inbox, tables] writer in
            guard turn.take() else { return }
            let fixed = Result { () throws(StoreError) in try writer.fix(tables, at: .now()) }
            inbox.post { [weak self] in
                guard let invocation = self?.unpark(parked) else { return }
                switch fixed {
                case .success(let tables): invocation.reply { $0.append(Self.values(tables)) }
                case .failure(let error): invocation.fail(Self.storeFailed("What is told can't be fixed: \(error)"))
                }
            }
        }
    }

    private func checkIsReports(_ invocation: BusInvocation) throws(BusError) {
        guard try invocation.credentials().userID == reportsUserID else {
            throw .accessDenied("Only the report service asks what aggregates are made of; see termspan aggregates.")
        }
        if let locked { throw locked }
    }

    private static func values(_ tables: [CalendarMonth: AggregateTable]) -> BusValue {
        .properties(Dictionary(uniqueKeysWithValues: tables.map { ($0.description, .strings($1.lines)) }))
    }
}
