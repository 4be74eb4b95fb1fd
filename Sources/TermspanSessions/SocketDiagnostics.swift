import Glibc
package import TermspanSystem

/// The kernel's own list of sockets: sock_diag(7). One question and its answer; nothing is kept open.
package enum SocketDiagnostics {
    /// A connected Unix socket.
    package struct UnixConnection: Equatable, Sendable {
        package var inode: UInt32
        /// The other end's inode; 0 when it is gone.
        package var peer: UInt32
        /// The path of the listening socket; empty for the connecting side and for unnamed ones.
        package var path: String
        /// Who accepted it; 0 until it is accepted.
        package var uid: UInt32
    }

    /// Every connected Unix stream socket that has a path: the accepted sides.
    package static func unixConnections() throws(SystemError) -> [UnixConnection] {
        var request = [UInt8](repeating: 0, count: 24)
        request[0] = UInt8(AF_UNIX)
        store(UInt32(1 << established), in: &request, at: 4)
        store(UInt32(unixShowName | unixShowPeer | unixShowUser), in: &request, at: 12)
        var connections: [UnixConnection] = []
        try dump(request) { message in
            if let connection = unixConnection(message) { connections.append(connection) }
        }
        return connections
    }

    /// The stream socket that has a path, if the answer is of one.
    static func unixConnection(_ message: UnsafeRawBufferPointer) -> UnixConnection? {
        guard message.count >= 16, message[1] == UInt8(SOCK_STREAM.rawValue) else { return nil }
        var connection = UnixConnection(inode: load(message, at: 4), peer: 0, path: "", uid: 0)
        attributes(UnsafeRawBufferPointer(rebasing: message[16...])) { type, value in
            switch type {
            case unixAttributeName: connection.path = String(decoding: value.prefix { $0 != 0 }, as: UTF8.self)
            case unixAttributeUser where value.count >= 4: connection.uid = load(value, at: 0)
            case unixAttributePeer where value.count >= 4: connection.peer = load(value, at: 0)
            default: break
            }
        }
        return connection.path.isEmpty ? nil : connection
    }

    /// Every TCP socket that listens or is connected.
    package static func tcpSockets() throws(SystemError) -> [TCPSocket] {
        var sockets: [TCPSocket] = []
        for family in [AF_INET, AF_INET6] {
            var request = [UInt8](repeating: 0, count: 56)
            request[0] = UInt8(family)
            request[1] = UInt8(IPPROTO_TCP)
            store(UInt32(1 << established | 1 << listening), in: &request, at: 4)
            try dump(request) { message in
                if let socket = tcpSocket(message) { sockets.append(socket) }
            }
        }
        return sockets
    }

    /// What a message tells of a TCP socket: struct inet_diag_msg (linux/inet_diag.h) and what follows it.
    static func tcpSocket(_ message: UnsafeRawBufferPointer) -> TCPSocket? {
        guard message.count >= 72 else { return nil }
        func address(at offset: Int) -> String {
            self.address(UnsafeRawBufferPointer(rebasing: message[offset..<(offset + 16)]), family: message[0]) ?? ""
        }
        var socket = TCPSocket(
            isListening: message[1] == UInt8(listening), localAddress: address(at: 8),
            localPort: UInt16(bigEndian: load(message, at: 4)), remoteAddress: address(at: 24),
            remotePort: UInt16(bigEndian: load(message, at: 6)), uid: load(message, at: 64), inode: load(message, at: 68))
        attributes(UnsafeRawBufferPointer(rebasing: message[72...])) { type, value in
            if type == tcpAttributeControlGroup, value.count >= 8 { socket.controlGroup = load(value, at: 0) }
        }
        return socket
    }

    /// The inodes of the sockets that a process has open: proc(5), `fd`. To be asked as the process's user.
    ///
    /// - Parameter limit: of descriptors that are looked at.
    static func inodes(ofProcess pid: UInt32, limit: Int) throws(SystemError) -> [UInt32] {
        try namesInFolder("/proc/\(pid)/fd", limit: limit).compactMap { name in
            (try? readLink("/proc/\(pid)/fd/\(name)")).flatMap { inode(ofLink: String(decoding: $0, as: UTF8.self)) }
        }
    }

    /// The inode that a link like `socket:[4711]` names.
    static func inode(ofLink link: String) -> UInt32? {
        link.hasPrefix("socket:[") ? UInt32(link.dropFirst(8).dropLast()) : nil
    }

    /// NETLINK_ROUTE and NETLINK_SOCK_DIAG (linux/netlink.h).
    static let route: Int32 = 0
    static let sockDiag: Int32 = 4
    private static let established = 1
    private static let listening = 10
    private static let tcpAttributeControlGroup: UInt16 = 21
    private static let unixShowName = 1
    private static let unixShowPeer = 4
    private static let unixShowUser = 64
    private static let unixAttributeName: UInt16 = 0
    private static let unixAttributePeer: UInt16 = 2
    private static let unixAttributeUser: UInt16 = 7
    static let byFamily: UInt16 = 20
    private static let requestAndDump: UInt16 = 0x301
    private static let error: UInt16 = 2
    private static let done: UInt16 = 3
    /// More answers than any server has connections; the kernel is trusted, a loop without an end is not.
    private static let maximumReads = 4096

    /// Asks one of the kernel's netlink families for all that it has of a type.
    static func dump(
        _ body: [UInt8], type: UInt16 = byFamily, of family: Int32 = sockDiag, each: (UnsafeRawBufferPointer) -> Void
    ) throws(SystemError) {
        let raw = socket(AF_NETLINK, Int32(SOCK_DGRAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), family)
        guard raw >= 0 else { throw SystemError(code: errno, operation: "socket", subject: "netlink") }
        let descriptor = OwnedDescriptor(raw)
        var request = [UInt8](repeating: 0, count: 16)
        store(UInt32(16 + body.count), in: &request, at: 0)
        store(type, in: &request, at: 4)
        store(requestAndDump, in: &request, at: 6)
        request += body
        guard Glibc.send(descriptor.raw, request, request.count, 0) == request.count else {
            throw SystemError(code: errno, operation: "send", subject: "netlink")
        }
        var buffer = [UInt8](repeating: 0, count: 64 << 10)
        for _ in 0..<maximumReads {
            let count = recv(descriptor.raw, &buffer, buffer.count, 0)
            if count < 0 && errno == EINTR { continue }
            guard count > 0 else { throw SystemError(code: errno, operation: "recv", subject: "netlink") }
            if buffer.withUnsafeBytes({ forEachMessage(in: UnsafeRawBufferPointer(rebasing: $0[..<count]), each) }) { return }
        }
    }

    /// Calls `each` with the content of each message of one read.
    ///
    /// - Returns: Whether the answer is at its end.
    @discardableResult
    static func forEachMessage(in bytes: UnsafeRawBufferPointer, _ each: (UnsafeRawBufferPointer) -> Void) -> Bool {
        var rest = bytes
        while rest.count >= 16 {
            let length = Int(load(rest, at: 0) as UInt32)
            guard length >= 16, length <= rest.count else { return true }
            let type: UInt16 = load(rest, at: 4)
            if type == done || type == error { return true }
            each(UnsafeRawBufferPointer(rebasing: rest[16..<length]))
            rest = UnsafeRawBufferPointer(rebasing: rest[min(rest.count, (length + 3) & ~3)...])
        }
        return false
    }

    static func attributes(_ bytes: UnsafeRawBufferPointer, each: (UInt16, UnsafeRawBufferPointer) -> Void) {
        var rest = bytes
        while rest.count >= 4 {
            let length = Int(load(rest, at: 0) as UInt16)
            guard length >= 4, length <= rest.count else { return }
            each(load(rest, at: 2), UnsafeRawBufferPointer(rebasing: rest[4..<length]))
            rest = UnsafeRawBufferPointer(rebasing: rest[min(rest.count, (length + 3) & ~3)...])
        }
    }

    static func address(_ bytes: UnsafeRawBufferPointer, family: UInt8) -> String? {
        // An IPv4 client of a socket that listens on IPv6.
        let mapped = family == UInt8(AF_INET6) && bytes.prefix(10).allSatisfy { $0 == 0 } && bytes[10] == 0xFF && bytes[11] == 0xFF
        let isIPv4 = family == UInt8(AF_INET) || mapped
        let offset = mapped ? 12 : 0
        var text = [CChar](repeating: 0, count: Int(INET6_ADDRSTRLEN))
        guard let base = bytes.baseAddress,
            inet_ntop(isIPv4 ? AF_INET : AF_INET6, base + offset, &text, socklen_t(text.count)) != nil
        else { return nil }
        return String(decoding: text.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    static func load<T: FixedWidthInteger & BitwiseCopyable>(_ bytes: UnsafeRawBufferPointer, at offset: Int) -> T {
        bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
    }

    private static func store<T: FixedWidthInteger & BitwiseCopyable>(_ value: T, in bytes: inout [UInt8], at offset: Int) {
        bytes.withUnsafeMutableBytes { $0.storeBytes(of: value, toByteOffset: offset, as: T.self) }
    }
}
