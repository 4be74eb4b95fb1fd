import Glibc
package import TermspanBus
import TermspanSystem

/// Tells when addresses or routes of the machine change, and, while it is asked to, when a neighbour is found: rtnetlink(7).
@MainActor
package final class NetworkMonitor {
    private let descriptor: OwnedDescriptor
    private let onChange: @MainActor () -> Void
    private var source: EventSource?

    /// RTMGRP_LINK, IPV4_IFADDR, IPV4_ROUTE, IPV6_IFADDR and IPV6_ROUTE (linux/rtnetlink.h): the routes of a link that goes down go without a word.
    private static let groups: UInt32 = 0x01 | 0x10 | 0x40 | 0x100 | 0x400
    private static let neighbours: UInt32 = 3
    /// SOL_NETLINK, NETLINK_ADD_MEMBERSHIP and NETLINK_DROP_MEMBERSHIP (linux/netlink.h).
    private static let level: Int32 = 270
    private static let join: Int32 = 1
    private static let leave: Int32 = 2

    package init(loop: EventLoop, onChange: @escaping @MainActor () -> Void) throws {
        self.onChange = onChange
        let kind = Int32(SOCK_RAW.rawValue) | Int32(SOCK_CLOEXEC.rawValue) | Int32(SOCK_NONBLOCK.rawValue)
        let raw = socket(AF_NETLINK, kind, SocketDiagnostics.route)
        guard raw >= 0 else { throw SystemError(code: errno, operation: "socket", subject: "netlink") }
        descriptor = OwnedDescriptor(raw)
        // struct sockaddr_nl.
        let address = [UInt32(UInt16(AF_NETLINK)), 0, Self.groups]
        let bound = address.withUnsafeBytes { bytes in
            bind(raw, bytes.baseAddress?.assumingMemoryBound(to: sockaddr.self), socklen_t(bytes.count))
        }
        guard bound == 0 else { throw SystemError(code: errno, operation: "bind", subject: "netlink") }
        source = try loop.watch(raw) { [unowned self] _ in drain() }
        source?.limit(25, per: .milliseconds(500))
    }

    /// Whether to tell of neighbours, too, which come and go while the machine talks to others: only as long as one is awaited.
    package var awaitsNeighbour = false {
        didSet {
            guard awaitsNeighbour != oldValue else { return }
            var group = Self.neighbours
            setsockopt(descriptor.raw, Self.level, awaitsNeighbour ? Self.join : Self.leave, &group, socklen_t(MemoryLayout<UInt32>.size))
        }
    }

    private func drain() {
        var buffer = [UInt8](repeating: 0, count: 16 << 10)
        // What changed is found by looking, so that an overflow, which is an error, loses nothing.
        while recv(descriptor.raw, &buffer, buffer.count, 0) > 0 || errno == ENOBUFS {}
        onChange()
    }
}
