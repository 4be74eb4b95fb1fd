import Glibc
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

    /// How many sockets of one user are looked at; root's are all.
    package var socketsPerUser: Int

    private let loop: EventLoop
    private let directory: String
    private let onChange: @MainActor () -> Void
    private let onLimit: @MainActor (_ uid: UInt32) -> Void
    private var monitor: DirectoryMonitor?
    private var lives: [XServer: ProcessWatch] = [:]
    /// Sockets that exist and did not answer yet, and how often they were tried.
    private var attempts: [UInt16: Int] = [:]
    private var retry: EventSource?

    /// Displays with higher numbers than any stack gives are no displays.
    private static let highestDisplay: UInt16 = 9_999
    /// Names read of the directory. Where there are more, which somebody else's rubbish must be, each display's own name is asked for.
    private static let maximumNames = 20_000
    /// A server binds its socket before it listens: it is tried again 10 times, from 40 ms to 10 s apart.
    private static let maximumAttempts = 10
    /// When something could not be looked at for a shortage, everything is looked at again after this.
    private static let shortageDelay: Duration = .seconds(1)

    /// - Parameter onLimit: is told of each user with more sockets than are looked at, whenever they were counted.
    package init(
        loop: EventLoop, directory: String = "/tmp/.X11-unix", socketsPerUser: Int = 64, onChange: @escaping @MainActor () -> Void,
        onLimit: @escaping @MainActor (_ uid: UInt32) -> Void = { _ in }
    ) throws {
        self.loop = loop
        self.directory = directory
        self.socketsPerUser = socketsPerUser
        self.onChange = onChange
        self.onLimit = onLimit
        retry = try loop.timer { [unowned self] in scan() }
        monitor = try DirectoryMonitor(loop: loop, path: directory) { [unowned self] in lookAgain() }
        scan()
    }

    /// Looks at all sockets now, those that did not answer yet included.
    package func lookAgain() {
        attempts = [:]
        scan()
    }

    private func scan() {
        guard let displays = try? displays() else {
            // What can't be looked at is not gone.
            retry?.arm(after: Self.shortageDelay)
            return
        }
        var found: [XServer] = []
        var unanswered: [UInt16: Int] = [:]
        var isShort = false
        for display in displays {
            let known = servers.first { $0.display == display }
            if let known, lives[known]?.isRunning == true {
                found.append(known)
                continue
            }
            do throws(SystemError) {
                if let server = try identify(display) {
                    found.append(server)
                } else {
                    unanswered[display] = (attempts[display] ?? 0) + 1
                }
            } catch {
                isShort = true
                if let known { found.append(known) }
            }
        }
        attempts = unanswered
        lives = lives.filter { found.contains($0.key) && ($0.value.isWatching || !$0.value.isRunning) }
        for server in found where lives[server] == nil {
            let life = ProcessWatch(loop: loop, pid: server.pid) { [unowned self] in scan() }
            lives[server] = life
            if life.isRunning, !life.isWatching { isShort = true }
        }
        if isShort {
            retry?.arm(after: Self.shortageDelay)
        } else if let most = unanswered.values.filter({ $0 <= Self.maximumAttempts }).min() {
            retry?.arm(after: .milliseconds(20 << min(most, 9)))
        }
        guard found != servers else { return }
        servers = found
        onChange()
    }

    /// The displays whose sockets are to be looked at: of each user those with the lowest numbers, the servers that are known before others.
    ///
    /// - Throws: a shortage; a folder that is not there has no displays.
    private func displays() throws(SystemError) -> [UInt16] {
        let names: [String]
        do throws(SystemError) {
            names = try namesInFolder(directory, limit: Self.maximumNames)
        } catch {
            if error.isShortage { throw error }
            return []
        }
        let candidates =
            names.count < Self.maximumNames ? names.compactMap { Self.display(ofSocket: $0) }.sorted() : Array(0...Self.highestDisplay)
        let known = Set(servers.map(\.display))
        var counts: [UInt32: Int] = [:]
        var chosen: [UInt16] = []
        for display in candidates.filter(known.contains) + candidates.filter({ !known.contains($0) }) {
            // Who made the file, which only root can give away.
            guard let owner = ownerOfSocket("\(directory)/X\(display)") else { continue }
            let count = counts[owner, default: 0] + 1
            counts[owner] = count
            if owner == 0 || count <= socketsPerUser { chosen.append(display) }
        }
        for (owner, count) in counts where owner != 0 && count > socketsPerUser { onLimit(owner) }
        return chosen.sorted()
    }

    private static func display(ofSocket name: String) -> UInt16? {
        guard name.hasPrefix("X"), let number = UInt16(name.dropFirst()), number <= highestDisplay, name == "X\(number)" else { return nil }
        return number
    }

    /// - Throws: a shortage; whoever does not answer is no server.
    private func identify(_ display: UInt16) throws(SystemError) -> XServer? {
        let peer: PeerCredentials
        do throws(SystemError) {
            peer = try connectUnix(path: "\(directory)/X\(display)").peer
        } catch {
            if error.isShortage { throw error }
            return nil
        }
        guard let pid = UInt32(exactly: peer.pid), let process = try ProcessFacts(pid: pid), process.uid == peer.uid else { return nil }
        return XServer(
            display: display, pid: pid, startTime: process.startTime, uid: process.uid, controlGroup: process.controlGroup)
    }
}
