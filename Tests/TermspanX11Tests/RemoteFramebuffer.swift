import Glibc
import TermspanSystem

/// As much of a VNC client (RFC 6143) as it takes to press a key, which the X server takes for a real device's, and to ask for another screen.
final class RemoteFramebuffer {
    private let socket: OwnedDescriptor

    init(_ display: TestDisplay) throws {
        socket = try connectUnix(path: display.rfbSocket, timeout: .seconds(5)).takeDescriptor()
        try socket.setNonblocking(false)
        _ = try receive(12)
        try writeAll(Array("RFB 003.008\n".utf8), to: socket)
        _ = try receive(Int(try receive(1)[0]))
        // No authentication, then a shared session.
        try writeAll([1], to: socket)
        guard try receive(4) == [0, 0, 0, 0] else { throw SystemError(code: EACCES, operation: "RFB") }
        try writeAll([1], to: socket)
        let parameters = try receive(24)
        _ = try receive(Int(parameters[22]) << 8 | Int(parameters[23]))
        // SetEncodings: ExtendedDesktopSize, without which the server ends the connection when the screen changes.
        try writeAll([2, 0, 0, 1, 0xFF, 0xFF, 0xFE, 0xCC], to: socket)
    }

    /// Presses and releases a key.
    func typeKey(_ symbol: UInt8) throws {
        for down: UInt8 in [1, 0] { try writeAll([4, down, 0, 0, 0, 0, 0, symbol], to: socket) }
    }

    /// SetDesktopSize, of the community's additions to the protocol: one screen of this size.
    func resize(width: UInt16, height: UInt16) throws {
        let size = [width, height].flatMap { [UInt8($0 >> 8), UInt8($0 & 0xFF)] }
        try writeAll([251, 0] + size + [1, 0] + [0, 0, 0, 0] + [0, 0, 0, 0] + size + [0, 0, 0, 0], to: socket)
    }

    private func receive(_ count: Int) throws -> [UInt8] {
        var bytes: [UInt8] = []
        while bytes.count < count {
            var part = [UInt8](repeating: 0, count: count - bytes.count)
            let length = read(socket.raw, &part, part.count)
            guard length > 0 else { throw SystemError(code: ECONNRESET, operation: "RFB") }
            bytes += part[..<length]
        }
        return bytes
    }
}
