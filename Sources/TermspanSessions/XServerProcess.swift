/// The process of an X server, as the kernel describes it; what a user could write is not asked.
package struct XServerProcess: Hashable, Sendable {
    /// The name of the program's file, `Xtigervnc`: a user may run another under any name.
    package var program: String
    /// The TCP sockets that the process holds, those that listen and those that are connected, in the order in which they came.
    package var sockets: [TCPSocket]

    /// Whether it has listened for others than X clients, or been connected with them, at any time; at its end it lets go of them first.
    package var hasListened: Bool

    package init(program: String = "", sockets: [TCPSocket] = [], hasListened: Bool = false) {
        self.program = program
        self.sockets = sockets
        self.hasListened = hasListened
    }

    /// The ports on which it listens for others than X clients.
    package func listeningPorts(besides xServer: XServer) -> Set<UInt16> {
        Set(sockets.filter { $0.isListening && $0.localPort != xServer.port }.map(\.localPort))
    }
}

extension XServer {
    /// Where it would take X clients over TCP.
    package var port: UInt16 { 6000 &+ display }
}
