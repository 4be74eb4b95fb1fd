import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

extension ManagerObject {
    /// Says whom a pseudonym stands for, once it is recorded about that user who wanted to know it.
    func revealPseudonym(_ invocation: BusInvocation) throws(BusError) {
        let call = try RevealCall(invocation.message)
        authorized(invocation, for: .revealPseudonyms) { [unowned self] actor in
            change(invocation) { writer throws(StoreError) in
                try writer.reveal(call.pseudonym, by: actor, reason: call.reason, at: .now())
            } then: { invocation, user in
                guard let user else {
                    let message = "\(call.pseudonym) stands for nobody who is known."
                    invocation?.fail(BusError(name: "org.termspan1.Error.NoSuchUser", message: message))
                    return
                }
                // Of whom is in the audit record, which can forget.
                Journal.policyChanged("whose a pseudonym of \(user.month) is was told", user: nil, by: actor, reason: call.reason)
                invocation?.reply { writer in
                    writer.append(user.identity.login)
                    writer.append(user.identity.uid)
                }
            }
        }
    }
}
