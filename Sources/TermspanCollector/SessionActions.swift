import Glibc
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
/// logind locks and ends sessions for root, systemd what a login that is over has left; what ends a connection is sent as the user who serves it.
@MainActor
final class SessionActions {
    private unowned let collector: Collector
    private let units: UnitManager
    private let rights: CallerRights
    /// Logins whose processes were asked to end and are stopped when their time is over.
    private var graces: [SessionKey: EventSource] = [:]
    /// What each user has left of actions on their own sessions, by uid.
    private var turns: [UInt32: TokenBucket] = [:]

    /// Each is a record of the journal.
    private static let rate = Rate(1, per: .seconds(1), burst: 10)
    private static let rememberedUsers = 1024
    private static let grace: Duration = .seconds(5)

    init(collector: Collector, rights: CallerRights) {
        self.collector = collector
        self.rights = rights
        units = UnitManager(connection: collector.connection)
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
        rights.check(.manageSessions, invocation) { [unowned self] result in
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
        case .lock: lock(session, finish)
        case .logoff: end(session, finish)
        case .disconnect: collector.endConnection(of: session, completion: finish)
        }
    }

    private typealias Completion = @MainActor (BusError?) -> Void

    /// Asks all logins of the desktop, since what locks it listens to one of them; the first failure is the answer, once all have answered.
    private func lock(_ session: Session, _ completion: @escaping Completion) {
        let logins = session.desktop.logindSessions
        guard !logins.isEmpty else { return completion(Self.unknownToLogind) }
        var waiting = logins.count
        var failure: BusError?
        for login in logins {
            askLogind("LockSession", login) { error in
                failure = failure ?? error
                waiting -= 1
                if waiting == 0 { completion(failure) }
            }
        }
    }

    /// Ends the login that a session is of. What else counts as part of it, as the logins of X2Go's client, ends with it or is something
    /// else of that user's after all.
    ///
    /// What a login that is over has left running, as a suspended desktop of X2Go's, logind does not end any more. It is asked to end as
    /// x2goterminate-session(8) asks it, by SIGTERM alone: the SIGHUP that a stop of the unit adds has X2Go's agent wait for a client again.
    private func end(_ session: Session, _ completion: @escaping Completion) {
        guard let login = session.desktop.logindSessions.first else { return completion(Self.unknownToLogind) }
        guard login.state == "closing" else { return askLogind("TerminateSession", login, completion) }
        units.kill(login.scope, SIGTERM) { [unowned self] error in
            if error == nil { beginGrace(of: login) }
            completion(error)
        }
    }

    /// Has what is left of a login stopped after a while, when it has no desktop left that would wait. Asking again gives no more time.
    private func beginGrace(of login: LogindSession) {
        guard graces[login.key] == nil else { return }
        do throws(BusError) {
            graces[login.key] = try collector.loop.after(Self.grace, accuracy: .seconds(1)) { [unowned self] in
                graces[login.key] = nil
                // The name may be another login's by now.
                if collector.isClosing(login.key) { units.stop(login.scope) }
            }
        } catch {
            units.stop(login.scope)
        }
    }

    private static let unknownToLogind = BusError.failed("logind does not know this session.")

    private func askLogind(_ member: String, _ login: LogindSession, _ completion: @escaping Completion) {
        collector.connection.call(
            "org.freedesktop.login1", path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager", member: member,
            arguments: { $0.append(login.id) },
            reply: { result in
                if case .failure(let error) = result { completion(error) } else { completion(nil) }
            })
    }
}
