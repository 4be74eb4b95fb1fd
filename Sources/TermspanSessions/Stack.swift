/// What brings a user's desktop or terminal to the machine, by the name that the bus, the journal and the store have for it.
///
/// All else about a stack is in its adapter's file, one of those in the folder Stacks.
package struct Stack: RawRepresentable, Hashable, Sendable, Codable {
    package var rawValue: String

    package init(rawValue: String) {
        self.rawValue = rawValue
    }

    /// The machine's own services: session 0.
    package static let services = Stack(rawValue: "services")

    /// The adapters, asked in this order; the last one takes whatever is left.
    package static let adapters: [any StackAdapter] = [
        XrdpStack(), X2GoStack(), VNCStack(), SSHStack(), XDMCPStack(), LocalStack(), GenericStack(),
    ]

    /// Nil for the services, and for a stack of another version.
    var adapter: (any StackAdapter)? { Self.adapters.first { $0.stack == self } }

    /// The name of a session of this stack, `rdp-tcp#3`; empty when it is disconnected, as in Windows.
    package func sessionName(_ id: String, seat: String) -> String {
        self == .services ? "services" : (adapter ?? GenericStack()).sessionName(id, seat: seat)
    }

    /// What the TYPE column shows.
    package var typeName: String { adapter?.typeName ?? "" }
}
