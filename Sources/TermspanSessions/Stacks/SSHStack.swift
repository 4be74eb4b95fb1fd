import TermspanCore

extension Stack {
    package static let ssh = Stack(rawValue: "ssh")
}

/// A terminal over ssh, with or without forwarded X: connected as long as it lives. What a user leaves running, such as Xvfb, has no client.
package struct SSHStack: StackAdapter {
    package init() {}
    package var stack: Stack { .ssh }
    package var typeName: String { "ssh" }

    package func sessionName(_ id: String, seat: String) -> String { "ssh#\(id)" }

    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool {
        session.service == "sshd"
    }

    /// A later login without a terminal while the X server's program isn't known yet: it may be the client's of an agent of X2Go's.
    package func share(of login: LogindSession, in session: LogindSession, xServer: XServer, observations: Observations) -> Share {
        guard observations.unread.contains(xServer.display), login.service == "sshd", login.tty.isEmpty,
            login.timestamp > session.timestamp, login.isYoung(at: observations.moment)
        else { return .none }
        return .likely
    }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        guard sessions.first?.state != "closing" else { return StackVerdict(.disconnected) }
        return StackVerdict(.active, client: RemoteClient(address: sessions.first { !$0.remoteHost.isEmpty }?.remoteHost))
    }
}
