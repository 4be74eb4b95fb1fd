import TermspanCore

extension Stack {
    package static let vnc = Stack(rawValue: "vnc")
}

/// An X server that serves VNC's clients itself, as TigerVNC's does: connected while one of its clients is, from where the client's
/// connection comes.
///
/// Whoever reaches the port counts as a client from the beginning of the connection, before the password; of several the first, until it
/// goes. What logind has for the host of TigerVNC's unit is no address: it always says 203.0.113.20.
package struct VNCStack: StackAdapter {
    /// TigerVNC's vncconfig(1), under Debian's name and others'.
    static let programs = ["/usr/bin/tigervncconfig", "/usr/bin/vncconfig"]

    /// What makes a server let all its clients go. Once it has, it is asked for its port, since else a success would say nothing.
    static func disconnect(_ server: XServer, program: String) -> [String] {
        [program, "-display", ":\(server.display)", "-disconnect", "-get", "rfbport"]
    }

    package init() {}
    package var stack: Stack { .vnc }
    package var typeName: String { "vnc" }

    package func sessionName(_ id: String, seat: String) -> String { "vnc-tcp#\(id)" }

    /// TigerVNC's unit, and servers that users start themselves. A server of a seat is the seat's, whoever looks on.
    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool {
        if session.service == "tigervnc" { return true }
        guard session.seat.isEmpty, let xServer, let process = observations.process(of: xServer) else { return false }
        return process.hasListened || !process.listeningPorts(besides: xServer).isEmpty
    }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        guard let xServer, let process = observations.process(of: xServer) else { return StackVerdict(.`init`) }
        let ports = process.listeningPorts(besides: xServer)
        // It may listen on a Unix socket alone.
        guard process.hasListened || !ports.isEmpty else { return StackVerdict(.active, confidence: .low) }
        let clients = process.sockets.filter { !$0.isListening && ports.contains($0.localPort) }
        guard let client = clients.first else {
            // The server was started at a terminal that is still open.
            let terminal = sessions.first { $0.service == "sshd" && !$0.tty.isEmpty && $0.state != "closing" }
            return terminal.map { StackVerdict(.active, client: RemoteClient(address: $0.remoteHost)) } ?? StackVerdict(.disconnected)
        }
        return StackVerdict(.active, client: RemoteClient(address: observations.origin(of: client), connection: client.inode))
    }
}
