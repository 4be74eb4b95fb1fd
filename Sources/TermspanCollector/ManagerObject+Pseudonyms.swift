import TermspanBus
import TermspanCore
import TermspanStore
import TermspanSystem

extension ManagerObject {
    private static let usersOfAReveal = 1000

    /// Says whom a pseudonym stands for, once it is recorded about that user who wanted to know it.
    func revealPseudonym(_ invocation: BusInvocation) throws(BusError) {
        let call = try RevealCall(invocation.message)
        // Each is looked for among all users.
        invocation.charge(objects: Self.usersOfAReveal)
        authorized(invocation, for: .revealPseudonyms) { [unowned self] actor in
            change(invocation) { writer throws(StoreError) in
                try writer.reveal(call.pseudonym, by: actor, reason: call.reason, at: .now())
            } then: { invocation, user in
                guard let user else {
                    let message = "\(call.pseudonym) stands for nobody who is known."
                    invocation?.fail(BusError(name: "org.termspan1.Error.NoSuchUser", message: message))
                    return
                }
                // Neither of whom nor why, which are in the store: the journal can't forget.
                if invocation != nil { Journal.pseudonymRevealed(of: user.month, by: actor) }
                invocation?.reply { writer in
                    writer.append(user.identity.login)
                    writer.append(user.identity.uid)
                }
            }
        }
    }
}
