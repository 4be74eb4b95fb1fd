package import TermspanCore

/// Everything that was observed at one moment and from which desktops are derived.
package struct Observations: Sendable, Equatable {
    package var logind: [LogindSession]
    package var xServers: [XServer]
    /// The X servers' processes by display; none of a server that has only just begun.
    package var processes: [UInt16: XServerProcess]
    /// xrdp's connections by display; nil while they could not be read.
    package var xrdp: [UInt16: RemoteClient]?
    /// When this was observed.
    package var moment: WallInstant

    package init(
        logind: [LogindSession] = [], xServers: [XServer] = [], processes: [UInt16: XServerProcess] = [:],
        xrdp: [UInt16: RemoteClient]? = nil, moment: WallInstant = .distantFuture
    ) {
        self.moment = moment
        self.logind = logind
        self.xServers = xServers
        self.processes = processes
        self.xrdp = xrdp
    }

    func process(of xServer: XServer?) -> XServerProcess? { xServer.flatMap { processes[$0.display] } }

    /// Where a connection comes from: what comes through a tunnel of ssh comes from where that login does.
    func origin(of connection: TCPSocket) -> String? {
        let login = logind.first { $0.service == "sshd" && !$0.scope.isEmpty && $0.scope == connection.peerScope && !$0.remoteHost.isEmpty }
        return login?.remoteHost ?? (connection.remoteAddress.isEmpty ? nil : connection.remoteAddress)
    }
}
