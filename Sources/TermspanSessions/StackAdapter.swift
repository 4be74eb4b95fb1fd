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
    /// xrdp's connections by display; nil while they could not be read.
    package var xrdp: [UserDisplay: RemoteClient]?
    /// When this was observed.
    package var moment: WallInstant

    package init(
        logind: [LogindSession] = [], xServers: [XServer] = [], xrdp: [UserDisplay: RemoteClient]? = nil,
        moment: WallInstant = .distantFuture
    ) {
        self.moment = moment
        self.logind = logind
        self.xServers = xServers
        self.xrdp = xrdp
    }
}

/// What a stack tells of one desktop.
package struct StackVerdict: Equatable, Sendable {
    package var state: ConnectState
    package var confidence: Confidence
    package var client: RemoteClient

    package init(_ state: ConnectState, confidence: Confidence = .high, client: RemoteClient = RemoteClient()) {
        self.state = state
        self.confidence = confidence
        self.client = client
    }
}

/// Knows one remote desktop stack: which sessions are its, and whether a client is there. Pure; what it needs is in `Observations`.
package protocol StackAdapter: Sendable {
    var stack: Stack { get }
    /// Whether the login, with the X server that belongs to it, is of this stack.
    func claims(_ session: LogindSession, xServer: XServer?) -> Bool
    /// The connect state of a desktop of this stack.
    func verdict(_ session: LogindSession, xServer: XServer?, observations: Observations) -> StackVerdict
}

extension Stack {
    /// The adapters, asked in this order; the last one takes whatever is left.
    package static let adapters: [any StackAdapter] = [XrdpStack(), SSHStack(), LocalStack(), GenericStack()]
}

/// A seat of the machine: the foreground session is Active, one that was switched away is Disconnected.
package struct LocalStack: StackAdapter {
    package init() {}
    package var stack: Stack { .local }

    package func claims(_ session: LogindSession, xServer: XServer?) -> Bool {
        !session.seat.isEmpty
    }

    package func verdict(_ session: LogindSession, xServer: XServer?, observations: Observations) -> StackVerdict {
        StackVerdict(session.isActive ? .active : .disconnected)
    }
}

/// A terminal over ssh, with or without forwarded X: connected as long as it lives.
package struct SSHStack: StackAdapter {
    package init() {}
    package var stack: Stack { .ssh }

    package func claims(_ session: LogindSession, xServer: XServer?) -> Bool {
        session.service == "sshd" && xServer == nil
    }

    package func verdict(_ session: LogindSession, xServer: XServer?, observations: Observations) -> StackVerdict {
        StackVerdict(.active, client: RemoteClient(address: session.remoteHost.isEmpty ? nil : session.remoteHost))
    }
}

/// xrdp with its own X server: connected while xrdp holds the display's socket.
package struct XrdpStack: StackAdapter {
    package init() {}
    package var stack: Stack { .xrdp }
    /// How long the first client may take from its login to its connection.
    package static let connectTime: Duration = .seconds(30)

    package func claims(_ session: LogindSession, xServer: XServer?) -> Bool {
        session.service == "xrdp-sesman"
    }

    package func verdict(_ session: LogindSession, xServer: XServer?, observations: Observations) -> StackVerdict {
        guard let display = xServer?.display ?? session.displayNumber else { return StackVerdict(.`init`) }
        guard let connections = observations.xrdp else { return StackVerdict(.active, confidence: .low) }
        guard let client = connections[UserDisplay(display, of: session.uid)] else {
            // The login comes first and the client a moment later; the table knows whether one has been there already.
            let isYoung = session.began.duration(to: observations.moment) < Self.connectTime
            return StackVerdict(isYoung ? .connectQuery : .disconnected)
        }
        return StackVerdict(.active, client: client)
    }
}

/// A stack that nobody knows: somebody is logged on, and no more can be said.
package struct GenericStack: StackAdapter {
    package init() {}
    package var stack: Stack { .generic }

    package func claims(_ session: LogindSession, xServer: XServer?) -> Bool { true }

    package func verdict(_ session: LogindSession, xServer: XServer?, observations: Observations) -> StackVerdict {
        StackVerdict(.active, confidence: .low)
    }
}
