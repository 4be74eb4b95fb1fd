import TermspanCore

extension Stack {
    package static let ssh = Stack(rawValue: "ssh")
}

/// A terminal over ssh, with or without forwarded X: connected as long as it lives.
package struct SSHStack: StackAdapter {
    package init() {}
    package var stack: Stack { .ssh }
    package var typeName: String { "ssh" }

    package func sessionName(_ id: String, seat: String) -> String { "ssh#\(id)" }

    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool {
        session.service == "sshd" && xServer == nil
    }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        StackVerdict(.active, client: RemoteClient(address: sessions.first { !$0.remoteHost.isEmpty }?.remoteHost))
    }
}
