package import TermspanCore

/// One fact by which a desktop is recognised again within a boot. A desktop has a set of them, which can grow.
package enum SessionKey: Hashable, Sendable, Codable {
    case logind(id: String, timestamp: UInt64)
    case xServer(pid: UInt32, startTime: UInt64)
    /// The machine's services.
    case services
}

/// Where a remote client is and what it calls itself; nil is not known.
package struct RemoteClient: Hashable, Sendable, Codable {
    package var address: String?
    /// A name that the client gave itself.
    package var name: String?
    /// The inode of the socket at this end of its connection; 0 is not known.
    package var connection: UInt32?

    package init(address: String? = nil, name: String? = nil, connection: UInt32? = nil) {
        self.address = address
        self.name = name
        self.connection = connection
    }

    /// Takes from an earlier observation of the same connection where it comes from, since the login that says so may end before it.
    mutating func keepAddress(of earlier: RemoteClient) {
        guard let connection, connection != 0, connection == earlier.connection, address.map(TCPSocket.isLoopback) ?? true else { return }
        address = earlier.address
    }
}

/// One desktop or terminal of one user as it is observed now: the logind sessions and the X server that belong together.
package struct Desktop: Hashable, Sendable, Codable {
    package var keys: Set<SessionKey>
    package var uid: UInt32
    package var userName: String
    package var stack: Stack
    package var state: ConnectState
    package var confidence: Confidence
    package var lock: LockState
    /// The logind sessions that belong to it, the first being the one that owns the X server.
    package var logindSessions: [LogindSession]
    package var xServer: XServer?
    package var client: RemoteClient

    package init(
        keys: Set<SessionKey>, uid: UInt32, userName: String, stack: Stack, state: ConnectState, confidence: Confidence = .high,
        lock: LockState = .unknown, logindSessions: [LogindSession] = [], xServer: XServer? = nil, client: RemoteClient = RemoteClient()
    ) {
        self.keys = keys
        self.uid = uid
        self.userName = userName
        self.stack = stack
        self.state = state
        self.confidence = confidence
        self.lock = lock
        self.logindSessions = logindSessions
        self.xServer = xServer
        self.client = client
    }

    /// Somebody is logged on there: neither the services' session nor a greeter.
    package var isUserSession: Bool {
        stack != .services && !logindSessions.contains(where: \.isGreeter)
    }

    /// Where it is in front of somebody, and a logon takes over from a logon screen.
    var place: String? { logindSessions.first?.place }

    /// Whether it is drawn by a Wayland compositor, which tells nobody what happens on it.
    package var isWayland: Bool { logindSessions.first?.isWayland ?? false }

    package var isClientPresent: Bool { state == .active || state == .connected || state == .shadow }
}
