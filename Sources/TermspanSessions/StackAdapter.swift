package import TermspanCore

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

/// Knows one stack: which sessions are its, what they are called, and whether a client is there. Pure; what it needs is in `Observations`.
package protocol StackAdapter: Sendable {
    var stack: Stack { get }
    /// What the TYPE column shows.
    var typeName: String { get }
    /// The name of a session with this number, `rdp-tcp#3`.
    func sessionName(_ id: String, seat: String) -> String
    /// Whether ConnectQuery says no more than that no client has been there yet. Once one has, it is then Disconnected.
    var asksForFirstClientOnly: Bool { get }
    /// Whether a session may have logins of its client besides the one that owns it, which may outlast it.
    var hasLoginsOfItsClient: Bool { get }
    /// Whether the login, with the X server that belongs to it, is of this stack.
    func claims(_ session: LogindSession, xServer: XServer?, observations: Observations) -> Bool
    /// Whether another login of the same user, which owns no X server, belongs to a session of this stack.
    func share(of login: LogindSession, in session: LogindSession, xServer: XServer, observations: Observations) -> Share
    /// The connect state of a desktop of this stack.
    ///
    /// - Parameter sessions: the login that owns the X server, if there is one, and then those that belong to it, the oldest first.
    func verdict(_ sessions: [LogindSession], xServer: XServer?, observations: Observations) -> StackVerdict
}

extension StackAdapter {
    package var asksForFirstClientOnly: Bool { false }
    package var hasLoginsOfItsClient: Bool { false }

    package func share(of login: LogindSession, in session: LogindSession, xServer: XServer, observations: Observations) -> Share { .none }
}

/// How sure it is that a login belongs to a session.
package enum Share: Int, Comparable, Sendable {
    case none, likely, certain

    package static func < (lhs: Share, rhs: Share) -> Bool { lhs.rawValue < rhs.rawValue }
}
