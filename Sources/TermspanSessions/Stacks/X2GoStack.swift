import TermspanCore

extension Stack {
    package static let x2go = Stack(rawValue: "x2go")
}

/// X2Go: nxagent, and the logins over ssh that its client starts it with, comes back with and tunnels through.
///
/// What the agent does with its proxy's connection is told by the kernel: while it has one the client is there, while it listens for
/// one the client is coming, and else nobody is. X2Go's own files in /tmp say the same and are the user's to write, so they are not asked.
package struct X2GoStack: StackAdapter {
    package init() {}
    package var stack: Stack { .x2go }
    package var typeName: String { "x2go" }
    package var hasLoginsOfItsClient: Bool { true }

    /// The agent's program; `x2goagent` is a link to it.
    static let programs: Set<String> = ["nxagent", "x2goagent"]

    package func sessionName(_ id: String, seat: String) -> String { "x2go#\(id)" }

    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool {
        session.service == "sshd" && agent(xServer, observations) != nil
    }

    /// The client's other logins: the one that the agent's connection comes through; those without a terminal that come from the same
    /// machine, or may yet turn out to be the client's; and those with nothing but processes left, since the desktop's may be among them.
    package func share(of login: LogindSession, in session: LogindSession, xServer: XServer, observations: Observations) -> Share {
        guard login.service == "sshd", let agent = agent(xServer, observations) else { return .none }
        let scopes = Set(agent.sockets.map(\.peerScope).filter { !$0.isEmpty })
        if scopes.contains(login.scope) { return .certain }
        if login.state == "closing" { return .likely }
        guard login.tty.isEmpty else { return .none }
        if login.isYoung(at: observations.moment) { return .likely }
        return observations.logind.contains { scopes.contains($0.scope) && $0.remoteHost == login.remoteHost } ? .likely : .none
    }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        guard let xServer, let agent = agent(xServer, observations) else { return StackVerdict(.`init`) }
        let connections = agent.sockets.filter { !$0.isListening }
        guard let newest = connections.max(by: { $0.inode < $1.inode }) else {
            // A new one is about to listen.
            let isStarting = !agent.hasListened && sessions.contains { $0.isYoung(at: observations.moment) }
            return StackVerdict(isStarting || !agent.listeningPorts(besides: xServer).isEmpty ? .connectQuery : .disconnected)
        }
        let login = sessions.last {
            $0.state != "closing" && !$0.remoteHost.isEmpty && (newest.peerScope.isEmpty || $0.scope == newest.peerScope)
        }
        return StackVerdict(.active, client: RemoteClient(address: login?.remoteHost, connection: newest.inode))
    }

    private func agent(_ xServer: XServer?, _ observations: Observations) -> XServerProcess? {
        guard let process = observations.process(of: xServer), Self.programs.contains(process.program) else { return nil }
        return process
    }
}
