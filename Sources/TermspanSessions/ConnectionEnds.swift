import Glibc
import TermspanBus
import TermspanSystem

/// Tells at once when a TCP connection at one of certain ports of this machine has ended: the multicast groups of sock_diag(7).
@MainActor
final class ConnectionEnds {
    /// The ports at this machine's end that count.
    var ports: Set<UInt16> = []

    private let onEnd: @MainActor () -> Void
    private let descriptor: OwnedDescriptor
    private var source: EventSource?

    /// Groups for IPv4 and IPv6 (linux/sock_diag.h, SKNLGRP_INET_TCP_DESTROY and SKNLGRP_INET6_TCP_DESTROY), a bit each.
    private static let groups: UInt32 = 1 << 0 | 1 << 2
    /// Messages read in one go; what is left comes with the next.
    private static let maximumMessages = 256

    init(loop: EventLoop, onEnd: @escaping @MainActor () -> Void) throws {
        self.onEnd = onEnd
        let type = Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = socket(AF_NETLINK, type, SocketDiagnostics.sockDiag)
        guard raw >= 0 else { throw SystemError(code: errno, operation: "socket", subject: "ends of connections") }
        descriptor = OwnedDescriptor(raw)
        // struct sockaddr_nl: family, padding, port of ours (the kernel chooses), groups.
        let address: (UInt16, UInt16, UInt32, UInt32) = (UInt16(AF_NETLINK), 0, 0, Self.groups)
        let bound = withUnsafePointer(to: address) { pointer in
            pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(raw, $0, 12) }
        }
        guard bound == 0 else { throw SystemError(code: errno, operation: "bind", subject: "ends of connections") }
        source = try loop.watch(raw) { [unowned self] _ in drain() }
        // All connections of the machine are told of, also those of a busy server beside us.
        source?.limit(10, per: .milliseconds(500))
    }

    private func drain() {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        var isOurs = false
        for _ in 0..<Self.maximumMessages {
            let count = recv(descriptor.raw, &buffer, buffer.count, 0)
            guard count > 0 else {
                // Messages were lost: it may have been ours.
                if count < 0, errno == ENOBUFS { isOurs = true }
                break
            }
            buffer.withUnsafeBytes { bytes in
                _ = SocketDiagnostics.forEachMessage(in: UnsafeRawBufferPointer(rebasing: bytes[..<count])) { message in
                    if let socket = SocketDiagnostics.tcpSocket(message), ports.contains(socket.localPort) { isOurs = true }
                }
            }
        }
        if isOurs { onEnd() }
    }
}
