import TermspanCore

extension Stack {
    package static let xrdp = Stack(rawValue: "xrdp")
}

/// xrdp with an X server of its own, Xorg with xorgxrdp or Xvnc: connected while a process of xrdp's is connected to it.
package struct XrdpStack: StackAdapter {
    package init() {}
    package var stack: Stack { .xrdp }
    package var typeName: String { "rdp" }
    package func sessionName(_ id: String, seat: String) -> String { "rdp-tcp#\(id)" }

    package var asksForFirstClientOnly: Bool { true }

    package func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool {
        session.service == "xrdp-sesman"
    }

    package func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict {
        guard let login = sessions.first, let display = xServer?.display ?? login.displayNumber else { return StackVerdict(.`init`) }
        guard let connections = observations.xrdp else { return StackVerdict(.active, confidence: .low) }
        guard let client = connections[UserDisplay(display, of: login.uid)] else {
            // The login comes first and the client a moment later; the table knows whether one has been there already.
            let isYoung = sessions.contains { $0.isYoung(at: observations.moment) }
            return StackVerdict(isYoung ? .connectQuery : .disconnected)
        }
        return StackVerdict(.active, client: client)
    }
}
