/// The connect state of a session: WTS_CONNECTSTATE_CLASS of Windows Terminal Services, its names and its values.
package enum ConnectState: UInt8, CaseIterable, Codable, Sendable {
    /// A user is logged on and connected.
    case active = 0
    /// A client is connected and nobody is logged on: a greeter.
    case connected = 1
    /// A client is about to connect.
    case connectQuery = 2
    /// Another session is being shadowed.
    case shadow = 3
    /// A user is logged on and no client is connected.
    case disconnected = 4
    /// Waiting for a client.
    case idle = 5
    /// A listener.
    case listen = 6
    /// The session is being reset.
    case reset = 7
    /// Down because of an error.
    case down = 8
    /// The session is initialising.
    case `init` = 9

    /// The word that `query session` prints, as its Windows namesake does.
    package var word: String {
        switch self {
        case .active: "Active"
        case .connected: "Conn"
        case .connectQuery: "ConnQ"
        case .shadow: "Shadow"
        case .disconnected: "Disc"
        case .idle: "Idle"
        case .listen: "Listen"
        case .reset: "Reset"
        case .down: "Down"
        case .`init`: "Init"
        }
    }

    /// The name in machine-readable output and on the bus.
    package var name: String {
        switch self {
        case .active: "active"
        case .connected: "connected"
        case .connectQuery: "connect-query"
        case .shadow: "shadow"
        case .disconnected: "disconnected"
        case .idle: "idle"
        case .listen: "listen"
        case .reset: "reset"
        case .down: "down"
        case .`init`: "init"
        }
    }

    package init?(name: String) {
        guard let state = Self.allCases.first(where: { $0.name == name }) else { return nil }
        self = state
    }
}

/// Whether a session is locked: the lock flag of WTSINFOEX.
package enum LockState: String, CaseIterable, Codable, Sendable {
    case unknown, locked, unlocked
}

/// How far what is known of a session's state can be relied on.
package enum Confidence: String, CaseIterable, Codable, Sendable {
    /// The stack itself told.
    case high
    /// No adapter can tell; the state is assumed.
    case low
}

/// What a source may read, in growing order: what a level does not allow is not read at all.
package enum PrivacyLevel: UInt8, CaseIterable, Comparable, Sendable {
    /// Processes and window classes; the default.
    case basic = 0
    /// Also hosts of web pages.
    case sites = 1
    /// Also titles and URLs.
    case details = 2
    /// Also pictures of the screen.
    case screens = 3

    package static func < (lhs: PrivacyLevel, rhs: PrivacyLevel) -> Bool { lhs.rawValue < rhs.rawValue }

    package var name: String { String(describing: self) }
}
