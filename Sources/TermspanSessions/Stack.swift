/// What brings a user's desktop or terminal to the machine.
package enum Stack: String, Hashable, Sendable, Codable, CaseIterable {
    /// The machine's own services: session 0.
    case services
    /// A seat of the machine itself.
    case local
    case xrdp
    case ssh
    case vnc
    case x2go
    /// None of the known ones.
    case generic

    /// The name of a session of this stack, `rdp-tcp#3`; empty when it is disconnected, as in Windows.
    package func sessionName(_ id: String, seat: String) -> String {
        switch self {
        case .services: "services"
        case .local: seat.isEmpty || seat == "seat0" ? "console" : "\(seat)#\(id)"
        case .xrdp: "rdp-tcp#\(id)"
        case .ssh: "ssh#\(id)"
        case .vnc: "vnc-tcp#\(id)"
        case .x2go: "x2go#\(id)"
        case .generic: "session#\(id)"
        }
    }

    /// What the TYPE column shows.
    package var typeName: String {
        switch self {
        case .services, .generic: ""
        case .local: "console"
        case .xrdp: "rdp"
        case .ssh: "ssh"
        case .vnc: "vnc"
        case .x2go: "x2go"
        }
    }
}
