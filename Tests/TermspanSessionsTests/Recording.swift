import Foundation
import TermspanCore
import Testing

@testable import TermspanSessions

/// A recording of a stack: states that logind, X servers and sockets were in, one after the other, and the rows that must come out of each.
///
/// What a step leaves out is as it was in the step before. Docs/adapters.md describes the keys.
struct Recording: Decodable, Sendable, CustomTestStringConvertible {
    /// What is recorded.
    var about: String
    /// Where it was seen, or what documents it.
    var basis: String
    var steps: [Step]
    /// The file's name.
    var name = ""

    var testDescription: String { name }

    private enum CodingKeys: CodingKey { case about, basis, steps }

    struct Step: Decodable {
        var what: String
        /// Seconds since the recording began.
        var at: Double
        var logind: [Login]?
        var xServers: [Server]?
        /// xrdp's clients by display, each that of the display's owner.
        var xrdp: [String: Client]?
        var rows: [Row]
    }

    struct Login: Decodable {
        var id: String
        /// Seconds from the recording's beginning.
        var began: Double
        var uid: UInt32
        var user: String
        var service: String
        var type: String?
        var `class`: String?
        var display: String?
        var seat: String?
        var vt: UInt32?
        var tty: String?
        var remoteHost: String?
        var state: String?
        var active: Bool?
        var locked: Bool?
    }

    struct Server: Decodable {
        var display: UInt16
        var pid: UInt32
        var uid: UInt32
        /// The control group's last part: `session-c1.scope`, `lightdm.service`.
        var unit: String
        /// Left out while it is not known.
        var process: Process?
    }

    struct Process: Decodable {
        var program: String
        var sockets: [Socket]?
        var hasListened: Bool?
    }

    /// A socket that listens on a port, or is connected from `local` to `remote`.
    struct Socket: Decodable {
        var listens: UInt16?
        var local: String?
        var remote: String?
        var peerScope: String?
    }

    struct Client: Decodable {
        var address: String?
        var name: String?
    }

    /// A row that must come out; `display` is the X server's, which is measured.
    struct Row: Decodable, Equatable {
        var id: UInt32
        var user: String
        var stack: String
        var state: String
        var name: String
        var confidence: String
        var client: String?
        var display: UInt16?
        var sessions: [String]
        var locked: Bool?
        var isWayland: Bool?
        /// Equal for the same session, whatever its number.
        var identity: String
    }

    /// All recordings there are, by their names.
    static let all: [Recording] = {
        let folder = URL(fileURLWithPath: #filePath).deletingLastPathComponent().appendingPathComponent("Recordings")
        let names = (try? FileManager.default.contentsOfDirectory(atPath: folder.path)) ?? []
        return names.filter { $0.hasSuffix(".json") }.sorted().map { name in
            do {
                var recording = try JSONDecoder().decode(
                    Recording.self, from: Data(contentsOf: folder.appendingPathComponent(name)))
                recording.name = String(name.dropLast(5))
                return recording
            } catch {
                // It shows as one whose only step gives rows that are not there.
                let row = Row(
                    id: 0, user: "", stack: "", state: "", name: "\(error)", confidence: "", sessions: [], identity: "")
                return Recording(about: "", basis: "", steps: [Step(what: "can be read", at: 0, rows: [row])], name: name)
            }
        }
    }()

    /// A wall time that recordings begin at.
    static let beginning: Int64 = 1_700_000_000_000_000

    /// What is observed at each step.
    func observations() -> [Observations] {
        var seen = Observations()
        // A connection keeps its socket from step to step.
        var inodes: [String: UInt32] = [:]
        return steps.map { step in
            if let logins = step.logind { seen.logind = logins.map(\.session) }
            if let servers = step.xServers {
                seen.xServers = servers.map(\.xServer)
                seen.processes = [:]
                for server in servers { seen.processes[server.display] = server.process?.value(&inodes) }
            }
            if let clients = step.xrdp {
                let pairs = clients.compactMap { display, client in
                    UInt16(display).map { number in
                        let owner =
                            seen.xServers.first { $0.display == number }?.uid
                            ?? seen.logind.first { $0.displayNumber == number }?.uid
                        return (UserDisplay(number, of: owner ?? 0), RemoteClient(address: client.address, name: client.name))
                    }
                }
                seen.xrdp = Dictionary(pairs) { first, _ in first }
            }
            seen.moment = WallInstant(nanoseconds: (Self.beginning + Int64(step.at * 1e6)) * 1000)
            return seen
        }
    }
}

extension Recording.Login {
    var session: LogindSession {
        LogindSession(
            id: id, timestamp: UInt64(Recording.beginning + Int64(began * 1e6)), uid: uid, userName: user, leader: 100,
            scope: "session-\(id).scope", service: service, type: type ?? "x11", sessionClass: `class` ?? "user", display: display ?? "",
            seat: seat ?? "", virtualTerminal: vt ?? 0, tty: tty ?? "", isRemote: remoteHost != nil, remoteHost: remoteHost ?? "",
            state: state ?? (active == false ? "online" : "active"), isActive: active ?? true, lockedHint: locked ?? false)
    }
}

extension Recording.Server {
    var xServer: XServer {
        let folder = unit.hasSuffix(".scope") ? "/user.slice/user-\(uid).slice" : "/system.slice"
        return XServer(display: display, pid: pid, startTime: UInt64(pid) * 10, uid: uid, controlGroup: "\(folder)/\(unit)")
    }
}

extension Recording.Process {
    func value(_ inodes: inout [String: UInt32]) -> XServerProcess {
        let sockets = (sockets ?? []).map { socket in
            let number = UInt32(inodes.count + 1)
            let ends = "\(socket.listens ?? 0) \(socket.local ?? "") \(socket.remote ?? "")"
            let inode = inodes[ends] ?? number
            inodes[ends] = inode
            return socket.value(inode: inode)
        }
        return XServerProcess(program: program, sockets: sockets, hasListened: hasListened ?? false)
    }
}

extension Recording.Socket {
    func value(inode: UInt32) -> TCPSocket {
        func end(_ text: String?) -> (String, UInt16) {
            guard let text, let colon = text.lastIndex(of: ":") else { return ("", 0) }
            return (String(text[..<colon]), UInt16(text[text.index(after: colon)...]) ?? 0)
        }
        let (localAddress, localPort) = listens.map { ("0.0.0.0", $0) } ?? end(local)
        let (remoteAddress, remotePort) = end(remote)
        return TCPSocket(
            isListening: listens != nil, localAddress: localAddress, localPort: localPort, remoteAddress: remoteAddress,
            remotePort: remotePort, inode: inode, peerScope: peerScope ?? "")
    }
}
