import TermspanCore

extension Stack {
    package static let xdmcp = Stack(rawValue: "xdmcp")
}

/// An X terminal that a display manager of this machine serves: its X server, which can't be probed, is the display's host, and the
/// session lives as long as the connection to it.
package struct XDMCPStack: StackAdapter {
    package init() {}
    package var stack: Stack { .xdmcp }
    package var typeName: String { "xdmcp" }

    package func sessionName(_ id: String, seat: String) -> String { "xdmcp#\(id)" }

    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool {
        session.type == "x11" && xServer == nil && session.seat.isEmpty && session.displayHost != nil
    }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        StackVerdict(.active, client: RemoteClient(address: sessions.first?.displayHost))
    }
}
