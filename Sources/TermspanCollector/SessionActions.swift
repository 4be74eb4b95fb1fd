import TermspanBus
import TermspanCore
import TermspanSessions
import TermspanSystem

/// What can be done to a session from outside. The raw value is the command's name.
enum SessionAction: String, CaseIterable {
    case lock, disconnect, logoff
}

/// Locks sessions, ends their connections and logs them off, for those who may, and records who did it.
///
/// Nothing here has a right of its own: logind locks and ends sessions for root, and what ends a connection is sent as the user who serves it.
@MainActor
final class SessionActions {
    private unowned let collector: Collector
    /// What each user has left of actions on their own sessions, by uid.
    private var turns: [UInt32: TokenBucket] = [:]

    private static let manageSessions = "org.termspan1.manage-sessions"
    /// Each is a record of the journal.
    private static let rate = Rate(1, per: .seconds(1), burst: 10)
    private static let rememberedUsers = 1024

    init(collector: Collector) {
        self.collector = collector
    }

    /// Does it and answers, once it is known whether the caller may: root, the session's user, or who has the right.
    func perform(_ action: SessionAction, on session: Session?, id: SessionID, _ invocation: BusInvocation) throws(BusError) {
        guard let session, session.desktop.isUserSession else { throw ManagerObject.noSuchSession(id) }
        let credentials = try invocation.credentials()
        if !credentials.isRoot, !takeTurn(credentials.userID) {
            throw BusError(name: "org.freedesktop.DBus.Error.LimitsExceeded", message: "Too many sessions were acted on; try again later.")
        }
        let actor = name(of: credentials.userID)
        if credentials.userID == session.desktop.uid { return act(action, on: session.uuid, id: id, by: actor, invocation) }
        Polkit.check(Self.manageSessions, invocation, on: collector.connection) { [unowned self] result in
            switch result {
            case .success: act(action, on: session.uuid, id: id, by: actor, invocation)
            case .failure(let error): invocation.fail(error)
            }
        }
    }

    private func takeTurn(_ userID: UInt32) -> Bool {
        let now = BootInstant.now()
        if turns.count >= Self.rememberedUsers { turns = turns.filter { !$0.value.isFull(at: now) } }
        return turns[userID, default: TokenBucket()].take(Self.rate, at: now)
    }

    private func name(of userID: UInt32) -> String {
        if userID == 0 { return "root" }
        return collector.table.sessions.first { $0.desktop.uid == userID }?.desktop.userName ?? "uid \(userID)"
    }

    /// - Parameter uuid: whose number is another's, or nobody's, if it ended while somebody typed a password.
    private func act(_ action: SessionAction, on uuid: UUIDv7, id: SessionID, by actor: String, _ invocation: BusInvocation) {
        guard let session = collector.table.session(uuid: uuid) else { return invocation.fail(ManagerObject.noSuchSession(id)) }
        func finish(_ failure: BusError?) {
            Journal.sessionActedOn(session, action, by: actor, failure: failure?.description)
            if let failure { invocation.fail(failure) } else { invocation.reply() }
        }
        switch action {
        case .lock: askLogind("LockSession", session, finish)
        case .logoff: askLogind("TerminateSession", session, finish)
        case .disconnect: collector.endConnection(of: session, completion: finish)
        }
    }

    /// Asks for all logins of the desktop; the first failure is the answer, once all have answered.
    private func askLogind(_ member: String, _ session: Session, _ completion: @escaping @MainActor (BusError?) -> Void) {
        let logins = session.desktop.logindSessions.map(\.id)
        guard !logins.isEmpty else { return completion(.failed("logind does not know this session.")) }
        var waiting = logins.count
        var failure: BusError?
        for login in logins {
            collector.connection.call(
                "org.freedesktop.login1", path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager", member: member,
                arguments: { $0.append(login) },
                reply: { result in
                    if case .failure(let error) = result { failure = failure ?? error }
                    waiting -= 1
                    if waiting == 0 { completion(failure) }
                })
        }
    }
}
