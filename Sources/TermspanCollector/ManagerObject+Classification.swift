import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

extension ManagerObject {
    func setClassification(_ invocation: BusInvocation) throws(BusError) {
        let call = try ClassificationCall(invocation.message)
        let (text, rules, reason) = (call.text, call.rules, call.reason)
        authorized(invocation) { [unowned self] actor in
            change(invocation) { writer throws(StoreError) in
                try writer.setClassification(text, rules: rules, by: actor, reason: reason, at: .now())
            } then: { invocation, changed in
                let what =
                    text.isEmpty ? "activities are classified by the rules that are shipped" : "activities are classified by \(rules) rules"
                if changed { Journal.policyChanged(what, user: nil, by: actor, reason: reason) }
                invocation?.reply { $0.append(changed) }
            }
        }
    }

    /// Tells everybody the rules, by whom and why; the report service also who is in the groups that they name.
    func getClassification(_ invocation: BusInvocation) throws(BusError) {
        let setting = collector.policy.classification
        var values: [String: BusValue] = ["rules": .string(setting?.value ?? "")]
        if let setting {
            values["since"] = .uint64(setting.since.microseconds)
            values["by"] = .string(setting.by)
            values["reason"] = .string(setting.reason)
        }
        let rules = (setting.flatMap { try? ClassificationRules($0.value) } ?? ClassificationRules()).rules
        let groups = Set(rules.compactMap(\.group)).sorted()
        guard try invocation.credentials().userID == reportsUserID, !groups.isEmpty else {
            return invocation.reply { [values] writer in writer.properties(values) }
        }
        let turn = Turn()
        let parked = park(invocation) { turn.refuse() ? "The store does not answer." : nil }
        collector.store.submit { [inbox = collector.inbox, values] writer in
            guard turn.take() else { return }
            let known = Result { () throws(StoreError) in try writer.currentUsers() }
            inbox.post { [weak self] in
                guard let self, let invocation = unpark(parked) else { return }
                guard case .success(let known) = known else { return invocation.reply { $0.properties(values) } }
                rights.members(of: groups, among: collector.loggedOn.union(known)) { members in
                    let members = BusValue.properties(members.mapValues { .strings($0.map(\.description)) })
                    invocation.reply { $0.properties(values.merging(["members": members]) { $1 }) }
                }
            }
        }
    }
}
