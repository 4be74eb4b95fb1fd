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
    /// Whether the login, with the X server that belongs to it, is of this stack.
    func claims(_ session: LogindSession, xServer: XServer?) -> Bool
    /// The connect state of a desktop of this stack.
    func verdict(_ session: LogindSession, xServer: XServer?, observations: Observations) -> StackVerdict
}
