/// A TCP socket of this machine that listens or is connected.
package struct TCPSocket: Hashable, Sendable {
    package var isListening: Bool
    package var localAddress: String
    package var localPort: UInt16
    /// Where the other end is: `192.0.2.7`, `2001:db8::7`.
    package var remoteAddress: String
    package var remotePort: UInt16
    /// Whose the socket is.
    package var uid: UInt32
    package var inode: UInt32
    /// The control group in which it was made, as the number of its folder; 0 is not known.
    package var controlGroup: UInt64
    /// The session's scope in which the other end was made, if that is on this machine: `session-c3.scope`; empty if it is not or not known.
    package var peerScope: String

    package init(
        isListening: Bool = false, localAddress: String = "", localPort: UInt16, remoteAddress: String = "", remotePort: UInt16 = 0,
        uid: UInt32 = 0, inode: UInt32 = 0, controlGroup: UInt64 = 0, peerScope: String = ""
    ) {
        self.isListening = isListening
        self.localAddress = localAddress
        self.localPort = localPort
        self.remoteAddress = remoteAddress
        self.remotePort = remotePort
        self.uid = uid
        self.inode = inode
        self.controlGroup = controlGroup
        self.peerScope = peerScope
    }

    /// Whether this is what the other socket, on this machine as well, is connected to.
    func isOtherEnd(of other: TCPSocket) -> Bool {
        !isListening && localPort == other.remotePort && remotePort == other.localPort && localAddress == other.remoteAddress
            && remoteAddress == other.localAddress
    }

    package var isLocal: Bool { Self.isLoopback(remoteAddress) || remoteAddress == localAddress }

    static func isLoopback(_ address: String) -> Bool { address.hasPrefix("127.") || address == "::1" }
}
