import TermspanAccounting
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanStore

extension ManagerObject {
    /// Pauses the recording of the caller's own activity.
    func pause(_ invocation: BusInvocation) throws(BusError) {
        let microseconds = try invocation.message.read(UInt64.self)
        let user = ownPolicy(of: try invocation.credentials().userID).row.user
        guard collector.policy.tracks(user, sids: collector.sids(of: user)) else {
            throw BusError(name: "org.termspan1.Error.NotTracked", message: "Your activity is not recorded.")
        }
        guard (1_000_000...86_400_000_000).contains(microseconds) else {
            throw .invalidArguments("A pause lasts between a second and a day.")
        }
        guard let end = try collector.pause(user, for: .microseconds(Int64(microseconds))) else {
            let (left, all) = (
                collector.pause(of: user.uid).left.components.seconds / 60, collector.configuration.pausePerDay.components.seconds / 60
            )
            let reason =
                all == 0
                ? "Pauses are not allowed on this server." : "\(left) of the \(all) minutes are left that you may pause in 24 hours."
            throw BusError(name: "org.termspan1.Error.PauseRefused", message: reason)
        }
        let until = collector.anchors.wall(at: end)?.microseconds ?? 0
        invocation.reply { $0.append(until) }
    }

    /// Ends the caller's own pause; there need not be one.
    func resume(_ invocation: BusInvocation) throws(BusError) {
        let isEnded = collector.resume(ownPolicy(of: try invocation.credentials().userID).row.user)
        invocation.reply { $0.append(isEnded) }
    }
}
