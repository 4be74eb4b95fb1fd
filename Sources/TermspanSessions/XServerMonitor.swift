package import TermspanBus
import TermspanCore
import TermspanSystem

/// Finds the X servers of this machine by their sockets and tells when one comes or goes.
///
/// A socket's existence proves nothing and its owner may be hostile: each is connected to as SESSIONS' rules say (no symlink followed,
/// no waiting), its server identified by the kernel, and the connection closed again. Nothing is sent or read.
@MainActor
package final class XServerMonitor {
    /// The servers that answer now.
    package private(set) var servers: [XServer] = []

    private let loop: EventLoop
    private let directory: String
    private let onChange: @MainActor () -> Void
    private var monitor: DirectoryMonitor?
    private var lives: [XServer: ProcessWatch] = [:]
    /// Sockets that exist and did not answer yet, and how often they were tried.
    private var attempts: [UInt16: Int] = [:]
    private var retry: EventSource?

    /// Displays with higher numbers than any stack gives are no displays.
    private static let highestDisplay: UInt16 = 9_999
    /// Sockets looked at in one directory; a user who makes more hides only what is beyond.
    private static let maximumSockets = 4_096
    /// A server binds its socket before it listens: it is tried again 10 times, from 20 ms to 10 s apart.
    private static let maximumAttempts = 10

    package init(loop: EventLoop, directory: String = "/tmp/.X11-unix", onChange: @escaping @MainActor () -> Void) throws {
        self.loop = loop
        self.directory = directory
        self.onChange = onChange
        retry = try loop.timer { [unowned self] in scan() }
        monitor = try DirectoryMonitor(loop: loop, path: directory) { [unowned self] in
            attempts = [:]
            scan()
        }
        scan()
    }

    private func scan() {
        var found: [XServer] = []
        var unanswered: [UInt16: Int] = [:]
        for display in displays() {
            if let known = servers.first(where: { $0.display == display }), lives[known]?.isRunning == true {
                found.append(known)
            } else if let server = identify(display) {
                found.append(server)
            } else {
                unanswered[display] = (attempts[display] ?? 0) + 1
            }
        }
        attempts = unanswered
        if let most = unanswered.values.filter({ $0 <= Self.maximumAttempts }).min() {
            retry?.arm(after: .milliseconds(20 << min(most, 9)))
        }
        guard found != servers else { return }
        servers = found
        lives = lives.filter { found.contains($0.key) }
        for server in found where lives[server] == nil {
            lives[server] = ProcessWatch(loop: loop, pid: server.pid) { [unowned self] in scan() }
        }
        onChange()
    }

    private func displays() -> [UInt16] {
        let names = (try? namesInFolder(directory, limit: Self.maximumSockets)) ?? []
        return names.compactMap { name in
            guard name.hasPrefix("X"), let number = UInt16(name.dropFirst()), number <= Self.highestDisplay, name == "X\(number)" else {
                return nil
            }
            return number
        }.sorted()
    }

    private func identify(_ display: UInt16) -> XServer? {
        guard let connection = try? connectUnix(path: "\(directory)/X\(display)"), let pid = UInt32(exactly: connection.peer.pid),
            let process = ProcessFacts(pid: pid), process.uid == connection.peer.uid
        else { return nil }
        return XServer(
            display: display, pid: pid, startTime: process.startTime, uid: process.uid, controlGroup: process.controlGroup)
    }
}
