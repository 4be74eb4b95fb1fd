package import TermspanCore

/// Everything that was observed at one moment and from which desktops are derived.
package struct Observations: Sendable, Equatable {
    package var logind: [LogindSession]
    package var xServers: [XServer]
    /// xrdp's connections by display; nil while they could not be read.
    package var xrdp: [UInt16: RemoteClient]?
    /// When this was observed.
    package var moment: WallInstant

    package init(
        logind: [LogindSession] = [], xServers: [XServer] = [], xrdp: [UInt16: RemoteClient]? = nil, moment: WallInstant = .distantFuture
    ) {
        self.moment = moment
        self.logind = logind
        self.xServers = xServers
        self.xrdp = xrdp
    }
}
