import Glibc
import Synchronization
import TermspanSystem

/// Sits between a probe and its X server and writes down what goes over the wire: each request in words, each event's code.
final class WireRecorder: Sendable {
    struct Log {
        /// In the order in which they were sent.
        var requests: [String] = []
        /// Codes of events and errors, without the mark of those that other clients sent.
        var events: [UInt8] = []
        var malformed: [String] = []
    }

    private final class Box: Sendable {
        let log = Mutex(Log())
    }

    private let box = Box()
    private let stopper: OwnedDescriptor

    var requests: [String] { box.log.withLock { $0.requests } }
    var events: [UInt8] { box.log.withLock { $0.events } }
    var malformed: [String] { box.log.withLock { $0.malformed } }

    /// - Parameter server: a connected socket.
    /// - Returns: what the probe gets instead, in `probeEnd`.
    init(server: consuming OwnedDescriptor, probeEnd: (consuming OwnedDescriptor) throws -> Void) throws {
        var pair: (Int32, Int32) = (-1, -1)
        let made = withUnsafeMutableBytes(of: &pair) {
            socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue | SOCK_CLOEXEC.rawValue), 0, $0.baseAddress?.assumingMemoryBound(to: Int32.self))
        }
        guard made == 0 else { throw SystemError(code: errno, operation: "socketpair") }
        let mine = OwnedDescriptor(pair.0)
        let theirs = OwnedDescriptor(pair.1)
        try server.setNonblocking(false)
        let server = server.release()
        stopper = try mine.duplicate()
        let probe = mine.release()
        try probeEnd(theirs)
        let box = box
        _ = try TermspanSystem.Thread(name: "wire-recorder") {
            Self.forward(probe: probe, server: server, note: { body in box.log.withLock { body(&$0) } })
            // The stopper is the same socket: closing alone would not end it.
            shutdown(probe, Int32(SHUT_RDWR))
            close(probe)
            close(server)
        }
    }

    deinit { shutdown(stopper.raw, Int32(SHUT_RDWR)) }

    private static func forward(probe: Int32, server: Int32, note: ((inout Log) -> Void) -> Void) {
        var decoder = WireDecoder()
        var buffer = [UInt8](repeating: 0, count: 1 << 16)
        while true {
            var descriptors = [
                pollfd(fd: probe, events: Int16(POLLIN), revents: 0), pollfd(fd: server, events: Int16(POLLIN), revents: 0),
            ]
            guard poll(&descriptors, 2, -1) > 0 || errno == EINTR else { return }
            for (index, target) in [(0, server), (1, probe)] where descriptors[index].revents != 0 {
                let count = read(descriptors[index].fd, &buffer, buffer.count)
                guard count > 0 else { return }
                note { log in
                    if index == 0 {
                        decoder.fromClient(buffer[..<count], &log)
                    } else {
                        decoder.fromServer(buffer[..<count], &log)
                    }
                }
                var sent = 0
                while sent < count {
                    let part = buffer.withUnsafeBytes {
                        Glibc.send(target, $0.baseAddress.map { $0 + sent }, count - sent, Int32(MSG_NOSIGNAL))
                    }
                    guard part > 0 else { return }
                    sent += part
                }
            }
        }
    }
}

/// Puts the X protocol's requests into words, as `allowed-requests.txt` has them. Little-endian connections only.
struct WireDecoder {
    private var client: [UInt8] = []
    private var server: [UInt8] = []
    private var clientIsSetUp = false
    private var serverIsSetUp = false
    private var root: UInt32 = 0
    private var sequence: UInt16 = 0

    private enum Awaited {
        case extensionNamed(String)
        case atomNamed(String)
        case counters
    }

    private var awaited: [UInt16: Awaited] = [:]
    private var extensions: [UInt8: String] = [:]
    private var atoms: [UInt32: String] = [67: "WM_CLASS"]
    private var counters: [UInt32: String] = [:]

    mutating func fromClient(_ bytes: ArraySlice<UInt8>, _ log: inout WireRecorder.Log) {
        client += bytes
        if !clientIsSetUp {
            guard client.count >= 12 else { return }
            let length = 12 + padded(Int(client.u16(6))) + padded(Int(client.u16(8)))
            guard client.count >= length else { return }
            if client[0] != UInt8(ascii: "l") { log.malformed.append("byte order") }
            client.removeFirst(length)
            clientIsSetUp = true
        }
        while client.count >= 4 {
            let length = Int(client.u16(2)) * 4
            guard length >= 4 else {
                log.malformed.append("big request")
                return
            }
            guard client.count >= length else { return }
            sequence &+= 1
            log.requests.append(words(Array(client[..<length])))
            client.removeFirst(length)
        }
    }

    mutating func fromServer(_ bytes: ArraySlice<UInt8>, _ log: inout WireRecorder.Log) {
        server += bytes
        if !serverIsSetUp {
            guard server.count >= 8 else { return }
            let length = 8 + Int(server.u16(6)) * 4
            guard server.count >= length else { return }
            if server[0] == 1, length >= 40 {
                let screens = 40 + padded(Int(server.u16(24))) + 8 * Int(server[29])
                if screens + 4 <= length { root = server.u32(screens) }
            }
            server.removeFirst(length)
            serverIsSetUp = true
        }
        while server.count >= 32 {
            let code = server[0] & 0x7F
            let length = code == 1 || code == 35 ? 32 + Int(server.u32(4)) * 4 : 32
            guard server.count >= length else { return }
            let packet = Array(server[..<length])
            server.removeFirst(length)
            if code == 1 {
                learn(packet)
            } else {
                log.events.append(code)
            }
        }
    }

    private mutating func learn(_ reply: [UInt8]) {
        switch awaited.removeValue(forKey: reply.u16(2)) {
        case .extensionNamed(let name): if reply[8] == 1 { extensions[reply[9]] = name }
        case .atomNamed(let name): atoms[reply.u32(8)] = name
        case .counters:
            var offset = 32
            for _ in 0..<reply.u32(8) where offset + 14 <= reply.count {
                let length = Int(reply.u16(offset + 12))
                let name = String(decoding: reply[(offset + 14)..<min(offset + 14 + length, reply.count)], as: UTF8.self)
                counters[reply.u32(offset)] = name.hasPrefix("DEVICEIDLETIME ") ? "DEVICEIDLETIME" : name
                offset += padded(14 + length)
            }
        case nil: break
        }
    }

    private mutating func words(_ request: [UInt8]) -> String {
        switch request[0] {
        case 2:
            let mask = request.u32(8)
            guard mask == 1 << 11 else { return "ChangeWindowAttributes \(target(request)) mask \(mask)" }
            return "ChangeWindowAttributes \(target(request)) \(events(request.u32(12)))"
        case 14: return "GetGeometry \(target(request))"
        case 15: return "QueryTree \(target(request))"
        case 16:
            let name = String(decoding: request[8..<(8 + Int(request.u16(4)))], as: UTF8.self)
            awaited[sequence] = .atomNamed(name)
            return "InternAtom \(name)"
        case 20:
            let property = atoms[request.u32(8)] ?? "atom \(request.u32(8))"
            let delete = request[1] == 0 ? "" : " delete"
            return "GetProperty \(target(request)) \(property) \(request.u32(16))..\(request.u32(16) + request.u32(20))\(delete)"
        case 43: return "GetInputFocus"
        case 98:
            let name = String(decoding: request[8..<(8 + Int(request.u16(4)))], as: UTF8.self)
            awaited[sequence] = .extensionNamed(name)
            return "QueryExtension \(name)"
        case 128...:
            return extensionWords(extensions[request[0]] ?? "extension \(request[0])", request)
        default: return "core request \(request[0])"
        }
    }

    private mutating func extensionWords(_ name: String, _ request: [UInt8]) -> String {
        switch (name, request[1]) {
        case ("SYNC", 0): return "SYNC Initialize"
        case ("SYNC", 1):
            awaited[sequence] = .counters
            return "SYNC ListSystemCounters"
        case ("SYNC", 5): return "SYNC QueryCounter \(counters[request.u32(4)] ?? "counter \(request.u32(4))")"
        case ("SYNC", 8), ("SYNC", 9):
            var offset = 12
            var text = request[1] == 8 ? "SYNC CreateAlarm" : "SYNC ChangeAlarm"
            let mask = request.u32(8)
            if mask & 1 != 0 {
                text += " \(counters[request.u32(offset)] ?? "counter \(request.u32(offset))")"
                offset += 4
            }
            if mask & 2 != 0 { offset += 4 }
            if mask & 4 != 0 { offset += 8 }
            if mask & 8 != 0 {
                let tests = ["PositiveTransition", "NegativeTransition", "PositiveComparison", "NegativeComparison"]
                text += " \(tests[Int(request.u32(offset)) % 4])"
                offset += 4
            }
            if mask & 16 != 0 {
                text += " delta \(request.u32(offset + 4))"
                offset += 8
            }
            return text
        case ("X-Resource", 0): return "X-Resource QueryVersion"
        case ("X-Resource", 4): return "X-Resource QueryClientIds mask \(request.u32(12))"
        case ("XInputExtension", 47): return "XInputExtension XIQueryVersion"
        case ("XInputExtension", 48): return "XInputExtension XIQueryDevice"
        default: return "\(name) request \(request[1])"
        }
    }

    private func target(_ request: [UInt8]) -> String { request.u32(4) == root ? "root" : "window" }

    private func events(_ mask: UInt32) -> String {
        let names: [(UInt32, String)] = [
            (1 << 22, "PropertyChange"), (1 << 17, "StructureNotify"), (1 << 19, "SubstructureNotify"), (1 << 21, "FocusChange"),
        ]
        var rest = mask
        var found: [String] = []
        for (bit, name) in names where mask & bit != 0 {
            found.append(name)
            rest &= ~bit
        }
        if rest != 0 { found.append("other \(rest)") }
        return found.isEmpty ? "nothing" : found.joined(separator: "|")
    }

    private func padded(_ length: Int) -> Int { (length + 3) & ~3 }
}

extension [UInt8] {
    fileprivate func u16(_ offset: Int) -> UInt16 { UInt16(self[offset]) | UInt16(self[offset + 1]) << 8 }

    fileprivate func u32(_ offset: Int) -> UInt32 { UInt32(u16(offset)) | UInt32(u16(offset + 2)) << 16 }
}
