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

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        guard sessions.first?.state != "closing" else { return StackVerdict(.disconnected) }
        return StackVerdict(.active, client: RemoteClient(address: sessions.first { !$0.remoteHost.isEmpty }?.remoteHost))
    }
}
