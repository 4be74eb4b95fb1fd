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
    private var rest: EventSource?
    private var look: SideLook<Listing>?
    /// Whether listing the sockets took so little last time that it may hold up the loop.
    private(set) var isQuick = true
    /// Something changed since the listing that is under way began.
    private var isScanWanted = false

    /// Displays with higher numbers than any stack gives are no displays.
    private nonisolated static let highestDisplay: UInt16 = 9_999
    /// Names read of the directory. Where there are more, which somebody else's rubbish must be, each display's own name is asked for.
    private nonisolated static let maximumNames = 20_000
    /// A server binds its socket before it listens: it is tried again 10 times, from 40 ms to 10 s apart.
    private static let maximumAttempts = 10
    private static let quick: Duration = .milliseconds(2)
    /// When something could not be looked at for a shortage, everything is looked at again after this.
    private static let shortageDelay: Duration = .seconds(1)

    /// The servers that are there are known when it returns.
    ///
    /// - Parameters:
    ///   - inbox: brings what is listed beside the loop; without one all is listed by the loop.
    ///   - onLimit: is told of each user with more sockets than are looked at, whenever they were counted.
    package init(
        loop: EventLoop, inbox: MainInbox? = nil, directory: String = "/tmp/.X11-unix", socketsPerUser: Int = 64,
        onChange: @escaping @MainActor () -> Void,
        onLimit: @escaping @MainActor (_ uid: UInt32) -> Void = { _ in }
    ) throws {
        self.loop = loop
        self.directory = directory
        self.socketsPerUser = socketsPerUser
        self.onChange = onChange
        self.onLimit = onLimit
        retry = try loop.timer { [unowned self] in scan() }
        rest = try loop.timer { [unowned self] in scan() }
        if let inbox { look = SideLook(name: "x-sockets", inbox: inbox) { [unowned self] in take($0) } }
        monitor = try DirectoryMonitor(loop: loop, path: directory) { [unowned self] in lookAgain() }
        scan()
    }

    /// Looks at all sockets now, those that did not answer yet included.
    package func lookAgain() {
        attempts = [:]
        scan()
    }

    /// Lists the sockets and looks at them: at once as long as listing them is quick, else beside the loop, since any user can fill the folder.
    private func scan() {
        let (directory, limit, known) = (directory, socketsPerUser, Set(servers.map(\.display)))
        guard let look, !isQuick else {
            isScanWanted = false
            return take(Result { () throws(SystemError) in try Self.listing(of: directory, limit: limit, known: known) })
        }
        guard !look.isUnderWay else {
            isScanWanted = true
            return
        }
        guard look.rested <= .now() else { return rest?.arm(at: look.rested) ?? () }
        isScanWanted = false
        if !look.begin({ () throws(SystemError) in try Self.listing(of: directory, limit: limit, known: known) }) {
            retry?.arm(after: Self.shortageDelay)
        }
    }

    private func take(_ result: Result<Listing, SystemError>) {
        guard case .success(let listing) = result else {
            // What can't be looked at is not gone.
            retry?.arm(after: Self.shortageDelay)
            return
        }
        isQuick = listing.took < Self.quick
        for owner in listing.limited { onLimit(owner) }
        look(at: listing.displays)
        if isScanWanted { scan() }
    }

    /// A server's process has ended, which needs no listing.
    private func serverEnded() {
        let living = servers.filter { lives[$0]?.isRunning != false }
        if !isQuick, living != servers {
            servers = living
            onChange()
        }
        scan()
    }

    private func look(at displays: [UInt16]) {
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
            let life = ProcessWatch(loop: loop, pid: server.pid) { [unowned self] in serverEnded() }
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

    /// What there is to look at.
    private struct Listing: Sendable {
        var displays: [UInt16] = []
        /// Users with more sockets than are looked at.
        var limited: [UInt32] = []
        var took: Duration = .zero
    }

    /// The displays whose sockets are to be looked at: of each user those with the lowest numbers, the servers that are known before others.
    /// Any thread.
    ///
    /// - Throws: a shortage; a folder that is not there has no displays.
    private nonisolated static func listing(of directory: String, limit: Int, known: Set<UInt16>) throws(SystemError) -> Listing {
        let begin = BootInstant.now()
        let names: [String]
        do throws(SystemError) {
            names = try namesInFolder(directory, limit: maximumNames)
        } catch {
            if error.isShortage { throw error }
            return Listing()
        }
        let candidates = names.count < maximumNames ? names.compactMap { display(ofSocket: $0) }.sorted() : Array(0...highestDisplay)
        var counts: [UInt32: Int] = [:]
        var chosen: [UInt16] = []
        for display in candidates.filter(known.contains) + candidates.filter({ !known.contains($0) }) {
            // Who made the file, which only root can give away.
            guard let owner = ownerOfSocket("\(directory)/X\(display)") else { continue }
            let count = counts[owner, default: 0] + 1
            counts[owner] = count
            if owner == 0 || count <= limit { chosen.append(display) }
        }
        return Listing(
            displays: chosen.sorted(), limited: counts.filter { $0.key != 0 && $0.value > limit }.map(\.key),
            took: begin.duration(to: .now()))
    }

    nonisolated static func display(ofSocket name: String) -> UInt16? {
        guard name.hasPrefix("X"), let number = UInt16(canonical: name.dropFirst()), number <= highestDisplay else { return nil }
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
