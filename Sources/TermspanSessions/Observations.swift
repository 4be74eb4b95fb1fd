package import TermspanCore

/// A display as one user's server has it. Its number alone says little, since a user can bind a socket of any number's name.
package struct UserDisplay: Hashable, Sendable {
    package var number: UInt16
    package var uid: UInt32

    package init(_ number: UInt16, of uid: UInt32) {
        self.number = number
        self.uid = uid
    }
}

/// Everything that was observed at one moment and from which desktops are derived.
package struct Observations: Sendable, Equatable {
    package var logind: [LogindSession]
    package var xServers: [XServer]
    /// The X servers' processes by display; none of a server that has only just begun.
    package var processes: [UInt16: XServerProcess]
    /// The displays of X servers of which not even the program is known yet.
    package var unread: Set<UInt16>
    /// xrdp's connections by display; nil while they could not be read.
    package var xrdp: [UserDisplay: RemoteClient]?
    /// When this was observed.
    package var moment: WallInstant

    package init(
        logind: [LogindSession] = [], xServers: [XServer] = [], processes: [UInt16: XServerProcess] = [:],
        unread: Set<UInt16> = [],
        xrdp: [UserDisplay: RemoteClient]? = nil, moment: WallInstant = .distantFuture
    ) {
        self.moment = moment
        self.logind = logind
        self.xServers = xServers
        self.processes = processes
        self.unread = unread
        self.xrdp = xrdp
    }

    func process(of xServer: XServer?) -> XServerProcess? { xServer.flatMap { processes[$0.display] } }

    /// Where a connection comes from: what comes through a tunnel of ssh comes from where that login does.
    func origin(of connection: TCPSocket) -> String? {
        let login = logind.first { $0.service == "sshd" && !$0.scope.isEmpty && $0.scope == connection.peerScope && !$0.remoteHost.isEmpty }
        return login?.remoteHost ?? (connection.remoteAddress.isEmpty ? nil : connection.remoteAddress)
    }
}
