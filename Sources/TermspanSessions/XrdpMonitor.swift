import Glibc
package import TermspanBus
import TermspanCore
package import TermspanSystem

/// Tells which displays an xrdp client is connected to, and from where.
///
/// The truth is the kernel's list of sockets: `xrdp_display_N`, or for Xvnc the port 5900+N of this machine, has an established peer that
/// is xrdp's only while a client is there. It is read again
/// when the socket folder changes (chansrv makes and removes sockets at connect and disconnect) and when a connection's own xrdp
/// process ends, so that neither a user who kills chansrv nor one who makes sockets can hide a state for longer than that.
///
/// The list has the sockets of all users, so it is read beside the loop (`SideLook`).
@MainActor
package final class XrdpMonitor {
    /// The connections by display; nil while they could not be read.
    package private(set) var connections: [UserDisplay: RemoteClient]?

    private let loop: EventLoop
    private let directories: [String]
    private let onChange: @MainActor () -> Void
    private let names: NameReader
    private var monitors: [DirectoryMonitor] = []
    /// Since 0.10 each user has a folder of sockets below the folder, named by the uid.
    private var userMonitors: [String: DirectoryMonitor] = [:]
    private var peers: [UInt32: ProcessWatch] = [:]
    /// The processes that serve each display's clients.
    private var servers: [UserDisplay: Set<UInt32>] = [:]
    /// What is known of the clients by the process that serves them, one client for its whole life: the kernel forgets the address before
    /// the process lets go of the display, and the name is looked up once.
    private var clients: [UInt32: RemoteClient] = [:]
    /// The processes whose clients' names are to be looked up.
    private var namesWanted: [UInt32] = []
    /// Whether they are, or wait for their time after they could not be.
    private var isReadingNames = false
    private var namesTimer: EventSource?
    private var namesDelay = XrdpMonitor.namesDelay
    private var settle: EventSource?
    private var settleCount = 0
    private var look: SideLook<[Connection]>?
    /// The folder changed since the look that is under way began.
    private var isLookWanted = false

    /// When nothing could be seen for a shortage, it is looked again after this.
    private static let shortageDelay: Duration = .seconds(1)
    /// After which names that could not be read are asked for again, and after which at most.
    private static let namesDelay: Duration = .seconds(1)
    private static let longestNamesDelay: Duration = .seconds(300)
    /// Names looked at in a folder: anybody may make some.
    private static let maximumNames = 16_384

    /// Where xrdp keeps its sockets: Debian's build and upstream's default.
    package static let socketDirectories = ["/run/xrdp/sockdir", "/tmp/.xrdp"]

    /// Asks somebody else what the clients call themselves that xrdp's processes serve; answers with the names that were read, and whether all
    /// were that there are.
    package typealias NameReader =
        @MainActor (
            _ pids: [UInt32], _ completion: @escaping @MainActor (_ names: [UInt32: String], _ isWhole: Bool) -> Void
        ) -> Void

    package init(
        loop: EventLoop, inbox: MainInbox, directories: [String] = XrdpMonitor.socketDirectories, names: @escaping NameReader,
        onChange: @escaping @MainActor () -> Void
    ) throws {
        self.loop = loop
        self.names = names
        self.directories = directories
        self.onChange = onChange
        settle = try loop.timer { [unowned self] in settled() }
        namesTimer = try loop.timer(accuracy: .seconds(1)) { [unowned self] in
            isReadingNames = false
            readNames()
        }
        look = SideLook(name: "xrdp", inbox: inbox) { [unowned self] in looked($0) }
        for directory in directories {
            monitors.append(try DirectoryMonitor(loop: loop, path: directory) { [unowned self] in changed() })
        }
        watchUsers()
        connections = (try? Self.look(directories)).map { take($0) }
        if connections == nil { settle?.arm(after: Self.shortageDelay) }
    }

    private func watchUsers() {
        var found: [String: DirectoryMonitor] = [:]
        for directory in directories {
            for name in (try? namesInFolder(directory, limit: Self.maximumNames)) ?? [] {
                let path = "\(directory)/\(name)"
                // One folder a user, by the one name that xrdp gives it.
                guard let uid = UInt32(name), String(uid) == name, Self.isFolder(name, in: directory, of: uid) else { continue }
                found[path] =
                    userMonitors[path] ?? (try? DirectoryMonitor(loop: loop, path: path, isUsers: true) { [unowned self] in changed() })
            }
        }
        userMonitors = found
    }

    /// Whether it is a folder of that user or of root: anybody may make others there, and each watch takes one of the few that root has.
    private static func isFolder(_ name: String, in directory: String, of uid: UInt32) -> Bool {
        guard let owner = try? openOwnFolder(name, in: directory).status().uid else { return false }
        return owner == uid || owner == 0
    }

    /// Looks again, as when an X server of a display appeared.
    package func refresh() {
        changed()
    }

    /// A connection is established a moment after the folder changed, and no event tells of that moment: look now, and then
    /// some times more over two seconds.
    private func changed() {
        watchUsers()
        settleCount = 0
        settled()
    }

    private func settled() {
        guard let look, !look.isUnderWay else {
            isLookWanted = true
            return
        }
        guard look.rested <= .now() else { return settle?.arm(at: look.rested) ?? () }
        isLookWanted = false
        let directories = directories
        if !look.begin({ () throws(SystemError) in try Self.look(directories) }) { settle?.arm(after: Self.shortageDelay) }
    }

    private func looked(_ result: Result<[Connection], SystemError>) {
        let found: [UserDisplay: RemoteClient]?
        switch result {
        case .success(let connections): found = take(connections)
        case .failure(let error):
            // What can't be looked at has not changed.
            if error.isShortage { return settle?.arm(after: Self.shortageDelay) ?? () }
            found = nil
        }
        if settleCount < 8 {
            let now = BootInstant.now()
            settle?.arm(at: max(look?.rested ?? now, now.advanced(by: isLookWanted ? .zero : .milliseconds(8 << settleCount))))
            settleCount += 1
        }
        // One failure to look is no news; eight are.
        guard found != connections, found != nil || settleCount >= 8 else { return }
        connections = found
        onChange()
    }

    /// One of xrdp's processes that has a display's socket.
    private struct Connection: Sendable {
        var display: UserDisplay
        var pid: UInt32
        var address: String?
    }

    /// Looks which displays' sockets xrdp has. Any thread.
    ///
    /// - Throws: what keeps us from looking.
    private nonisolated static func look(_ directories: [String]) throws(SystemError) -> [Connection] {
        // All of them: anybody may connect to a socket of such a name, which must not hide the one that counts.
        let toDisplays = try SocketDiagnostics.unixConnections().compactMap { socket -> (display: UserDisplay, peer: UInt32)? in
            guard socket.peer != 0, let number = display(ofSocket: socket.path, in: directories) else { return nil }
            return (UserDisplay(number, of: socket.uid), socket.peer)
        }
        let tcp = try tcpSockets()
        let toXvnc = tcp.filter { display(ofConnection: $0) != nil }
        guard !toDisplays.isEmpty || !toXvnc.isEmpty else { return [] }
        let holders = try holders(of: Set(toDisplays.map(\.peer) + toXvnc.map(\.inode)))
        // The server's end of a connection of xrdp's tells whose the server is.
        let ofXvnc = toXvnc.compactMap { socket -> (display: UserDisplay, peer: UInt32)? in
            guard holders[socket.inode] != nil, let number = display(ofConnection: socket),
                let server = tcp.first(where: { $0.isOtherEnd(of: socket) })
            else { return nil }
            return (UserDisplay(number, of: server.uid), socket.inode)
        }
        // xrdp's client is who came to a port on which somebody listens; what xrdp itself connected to is none.
        let ports = Set(tcp.filter(\.isListening).map(\.localPort))
        let accepted = tcp.filter { !$0.isListening && ports.contains($0.localPort) }
        let addresses = Dictionary(accepted.map { ($0.inode, $0.remoteAddress) }) { first, _ in first }
        // xrdp's own unit is what makes it a client.
        return (toDisplays + ofXvnc).compactMap { display, peer in
            holders[peer].map { holder in
                // A process that serves several clients (`fork=false`) doesn't tell which is whose.
                let clients = holder.sockets.compactMap { addresses[$0] }
                return Connection(display: display, pid: holder.pid, address: clients.count == 1 ? clients[0] : nil)
            }
        }
    }

    /// Follows the processes that were found, and returns their clients.
    private func take(_ found: [Connection]) -> [UserDisplay: RemoteClient] {
        var result: [UserDisplay: RemoteClient] = [:]
        servers = [:]
        for connection in found {
            servers[connection.display, default: []].insert(connection.pid)
            var client = clients[connection.pid] ?? RemoteClient()
            client.address = connection.address ?? client.address
            clients[connection.pid] = client
            result[connection.display] = client
        }
        let pids = Set(found.map(\.pid))
        peers = peers.filter { pids.contains($0.key) && $0.value.isRunning }
        for pid in pids where peers[pid] == nil {
            peers[pid] = ProcessWatch(loop: loop, pid: pid) { [unowned self] in changed() }
            readName(of: pid)
        }
        clients = clients.filter { pids.contains($0.key) }
        return result
    }

    /// Has the clients' names looked up by one reader at a time, for all that wait.
    private func readName(of pid: UInt32) {
        if !namesWanted.contains(pid) { namesWanted.append(pid) }
        readNames()
    }

    private func readNames() {
        namesWanted.removeAll { peers[$0]?.isRunning != true }
        if namesWanted.isEmpty { namesDelay = Self.namesDelay }
        guard !isReadingNames, !namesWanted.isEmpty else { return }
        let pids = Array(namesWanted.prefix(XrdpClientName.maximumProcesses))
        namesWanted.removeFirst(pids.count)
        isReadingNames = true
        names(pids) { [weak self] in self?.namesRead($0, isWhole: $1, of: pids) }
    }

    private func namesRead(_ names: [UInt32: String], isWhole: Bool, of pids: [UInt32]) {
        for (pid, name) in names where peers[pid]?.isRunning == true { clients[pid, default: RemoteClient()].name = name }
        if !names.isEmpty { changed() }
        if isWhole {
            namesDelay = Self.namesDelay
            isReadingNames = false
            readNames()
        } else {
            namesWanted += pids.filter { names[$0] == nil && !namesWanted.contains($0) }
            namesTimer?.arm(after: namesDelay)
            namesDelay = min(namesDelay * 2, Self.longestNamesDelay)
        }
    }

    /// Ends the connection's own process, as its user, whom alone the kernel lets signal it; false if there is none.
    ///
    /// Where xrdp serves all connections from one process (`fork=false`), that one is the service itself and is left alone.
    package func endConnection(of display: UserDisplay) throws(SystemError) -> Bool {
        var isEnded = false
        for pid in servers[display] ?? [] {
            let isSignalled = try ProcessFacts.signal(SIGTERM, to: pid) { process throws(SystemError) in
                guard ControlGroup.unit(of: process.controlGroup).map({ $0 == Self.unit }) == true else { return false }
                return try ProcessFacts(pid: process.parent)?.controlGroup == process.controlGroup
            }
            isEnded = isEnded || isSignalled
        }
        return isEnded
    }

    private nonisolated static let unit = "xrdp.service"

    /// The display of a path like `/run/xrdp/sockdir/xrdp_display_10` or, since 0.10, `/run/xrdp/sockdir/1001/xrdp_display_10`.
    nonisolated static func display(ofSocket path: String, in directories: [String]) -> UInt16? {
        guard let directory = directories.first(where: { path.hasPrefix($0 + "/") }) else { return nil }
        let parts = path.dropFirst(directory.count + 1).split(separator: "/")
        guard let name = parts.last, parts.count <= 2, name.hasPrefix("xrdp_display_") else { return nil }
        return UInt16(canonical: name.dropFirst("xrdp_display_".count))
    }

    /// - Throws: a shortage; where TCP can't be looked at at all, Xorg's clients are seen all the same.
    private nonisolated static func tcpSockets() throws(SystemError) -> [TCPSocket] {
        do throws(SystemError) {
            return try SocketDiagnostics.tcpSockets()
        } catch {
            if error.isShortage { throw error }
            return []
        }
    }

    /// The display of Xvnc's to which a connection of this machine's leads.
    nonisolated static func display(ofConnection socket: TCPSocket) -> UInt16? {
        guard !socket.isListening, socket.isLocal, (firstXvncPort..<6_000).contains(socket.remotePort) else { return nil }
        return socket.remotePort - firstXvncPort
    }

    private nonisolated static let firstXvncPort: UInt16 = 5_900

    private struct Holder {
        var pid: UInt32
        var sockets: [UInt32]
    }

    /// The processes of xrdp's own unit that hold the sockets. Their descriptors are read as their user, never as root.
    ///
    /// - Throws: what keeps us from looking, which is not the same as finding nothing; a process that ended meanwhile holds nothing.
    private nonisolated static func holders(of inodes: Set<UInt32>) throws(SystemError) -> [UInt32: Holder] {
        var holders: [UInt32: Holder] = [:]
        for pid in try processes(ofUnit: unit) {
            guard let owner = try ProcessFacts(pid: pid) else { continue }
            let sockets: [UInt32]
            do {
                sockets = try actingAs(uid: owner.uid, gid: owner.gid) { () throws(SystemError) in
                    try SocketDiagnostics.inodes(ofProcess: pid, limit: 4_096)
                }
            } catch {
                // A process that is ending belongs to root in /proc, and has let go of everything.
                let isEnding = try error.code == EACCES ? ProcessFacts(pid: pid)?.uid != owner.uid : false
                guard isEnding || [ENOENT, ESRCH].contains(error.code) else { throw error }
                continue
            }
            for inode in sockets where inodes.contains(inode) {
                holders[inode] = Holder(pid: pid, sockets: sockets)
            }
        }
        return holders
    }

    private nonisolated static func processes(ofUnit unit: String) throws(SystemError) -> [UInt32] {
        let bytes: [UInt8]
        do throws(SystemError) {
            bytes = try readFile("/sys/fs/cgroup/system.slice/\(unit)/cgroup.procs", limit: 1 << 20)
        } catch {
            if error.isShortage { throw error }
            return []
        }
        return String(decoding: bytes, as: UTF8.self).split(separator: "\n").compactMap { UInt32($0) }
    }
}
