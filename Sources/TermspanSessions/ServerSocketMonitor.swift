import Glibc
package import TermspanBus
import TermspanCore
package import TermspanSystem

/// Tells which TCP sockets the X servers hold: their clients' connections, where they serve a remote desktop by themselves.
///
/// The truth is the kernel's: its list of sockets, and which of them the server's process has open. The end of a connection is told by the
/// kernel, its beginning by nothing: where there are servers that take connections, it is looked for once a second. A server that
/// listens on no port within two seconds of its start takes none.
///
/// The list has the sockets of all users, so it is read beside the loop (`SideLook`).
@MainActor
package final class ServerSocketMonitor {
    /// What is known of servers' processes by display. None of a new one that may yet begin to listen.
    package private(set) var processes: [UInt16: XServerProcess] = [:]
    /// The displays whose servers have not been looked at yet.
    package private(set) var unread: Set<UInt16> = []

    private let loop: EventLoop
    private let onChange: @MainActor () -> Void
    /// Where control groups are.
    private let controlGroups: String
    private var state = State()
    private var look: SideLook<State>?
    /// Whether something has changed since the look that is under way began.
    private var isLookWanted = false
    /// When the latest look began; nil before the first.
    private var latest: BootInstant?
    private var timer: EventSource?
    private var ends: ConnectionEnds?

    /// What is known between two looks.
    private struct State: Sendable {
        var watches: [XServer: Watch] = [:]
        /// What each user has left of readings.
        var readings: [UInt32: TokenBucket] = [:]

        var wantsLook: Bool { watches.values.contains(where: \.wantsLook) }
    }

    /// A server whose process is looked at.
    private struct Watch: Sendable {
        /// The name of its program; nil before it was read.
        var program: String?
        /// How often it was looked at before it listened.
        var attempts = 0
        /// Its user's sockets when its descriptors were last read, by inode.
        var seen: Set<UInt32>?
        /// When that was.
        var read = BootInstant.zero
        /// Those of them that it has open.
        var held: Set<UInt32> = []
        var sockets: [TCPSocket] = []
        /// Whether it has listened or been connected, for others than X clients.
        var listens = false

        /// Whether clients may come and go.
        var isRemote: Bool { listens || X2GoStack.programs.contains(program ?? "") }
        var isSettled: Bool { isRemote || attempts >= ServerSocketMonitor.maximumAttempts }
        var wantsLook: Bool { isRemote || !isSettled }
    }

    /// A server opens its port a moment after its X socket: it is looked at 8 times, from 16 ms to 2 s apart.
    private nonisolated static let maximumAttempts = 8
    /// A little less than a second, so that a second is kept.
    private static let interval: Duration = .milliseconds(900)
    /// Descriptors of one process that are looked at.
    private nonisolated static let maximumDescriptors = 1_024
    /// How often descriptors of one user's processes are read; what is beyond it has its turn later.
    private nonisolated static let readingRate = Rate(16, per: .seconds(1), burst: 64)
    /// Between two looks for what users can make happen as often as they like.
    private static let pause: Duration = .milliseconds(100)

    package init(
        loop: EventLoop, inbox: MainInbox, controlGroups: String = "/sys/fs/cgroup", onChange: @escaping @MainActor () -> Void
    ) throws {
        self.loop = loop
        self.controlGroups = controlGroups
        self.onChange = onChange
        timer = try loop.timer(accuracy: .milliseconds(20)) { [unowned self] in beginLook() }
        look = SideLook(name: "servers", inbox: inbox) { [unowned self] in looked($0) }
    }

    /// Looks at these servers from now on. The first time what is known of them is known when it returns.
    package func follow(_ servers: [XServer]) {
        let known = state.watches
        state.watches = Dictionary(servers.map { ($0, known[$0] ?? Watch()) }) { first, _ in first }
        // Of those that are gone at once, whenever the next look may be.
        publish()
        if latest != nil { return lookSoon() }
        let now = BootInstant.now()
        latest = now
        let (before, controlGroups) = (state, controlGroups)
        var found = Result { () throws(SystemError) in try Self.look(before, at: now, controlGroups: controlGroups) }
        if case .success(var state) = found {
            // An agent that was there before we were has listened; one that is about to shows that with the next look.
            for (server, watch) in state.watches where X2GoStack.programs.contains(watch.program ?? "") {
                state.watches[server]?.listens = true
            }
            found = .success(state)
        }
        looked(found)
    }

    /// Has the agent of X2Go's that holds this connection suspend, as X2Go itself does. The same signal to one that is suspended resumes it.
    ///
    /// - Returns: false if there is no such agent.
    /// - Throws: ENOTCONN: it does not have the connection any more.
    package func suspend(_ server: XServer, connection: UInt32) throws(SystemError) -> Bool {
        try ProcessFacts.signal(SIGHUP, to: server.pid) { process throws(SystemError) in
            guard process.startTime == server.startTime, process.uid == server.uid else { return false }
            return try actingAs(uid: process.uid, gid: process.gid) { () throws(SystemError) in
                guard let program = ProcessFacts.program(of: server.pid), X2GoStack.programs.contains(program) else { return false }
                let held = try SocketDiagnostics.inodes(ofProcess: server.pid, limit: Self.maximumDescriptors)
                guard held.contains(connection) else { throw SystemError(code: ENOTCONN, operation: "suspend", subject: program) }
                return true
            }
        }
    }

    /// Looks again, as when a login came that may be a client's.
    package func refresh() {
        if state.wantsLook { lookSoon() }
    }

    private func lookSoon() {
        if look?.isUnderWay == true { isLookWanted = true }
        let due = latest?.advanced(by: Self.pause) ?? .zero
        if due <= .now() { beginLook() } else { timer?.arm(at: due) }
    }

    private func beginLook() {
        guard state.wantsLook else { return arm() }
        guard let look, !look.isUnderWay else {
            isLookWanted = true
            return
        }
        let now = BootInstant.now()
        guard look.rested <= now else { return timer?.arm(at: look.rested) ?? () }
        latest = now
        isLookWanted = false
        let (before, controlGroups) = (state, controlGroups)
        // For want of a thread it is looked again a while later.
        if !look.begin({ () throws(SystemError) in try Self.look(before, at: now, controlGroups: controlGroups) }) { arm() }
    }

    private func looked(_ result: Result<State, SystemError>) {
        // What can't be looked at has not changed.
        if case .success(let found) = result {
            state.readings = found.readings
            state.watches.merge(found.watches.filter { state.watches[$0.key] != nil }) { $1 }
        }
        publish()
        arm()
        if isLookWanted { lookSoon() }
    }

    /// Looks at servers whose clients may come and go. Any thread.
    private nonisolated static func look(_ before: State, at now: BootInstant, controlGroups: String) throws(SystemError) -> State {
        var state = before
        state.readings = state.readings.filter { !$0.value.isFull(at: now) }
        guard state.wantsLook else { return state }
        let candidates = state.watches.filter(\.value.wantsLook)
        let sockets = try SocketDiagnostics.tcpSockets()
        let owners = Dictionary(grouping: sockets, by: \.uid)
        var origins = Origins(sockets, controlGroups: controlGroups)
        // Whose turn was longest ago comes first.
        for (server, old) in candidates.sorted(by: { ($0.value.read, $0.key.display) < ($1.value.read, $1.key.display) }) {
            var watch = old
            let own = owners[server.uid] ?? []
            let inodes = Set(own.map(\.inode))
            if inodes != watch.seen {
                guard state.readings[server.uid, default: TokenBucket()].take(readingRate, at: now) else { continue }
                watch.read = now
                if let facts = facts(of: server, program: watch.program) {
                    watch.program = facts.program
                    watch.seen = inodes
                    watch.held = facts.sockets
                }
            }
            // In the order in which they came, as far as that is known: their numbers are given from several ranges.
            let places = Dictionary(old.sockets.enumerated().map { ($1.inode, $0) }) { first, _ in first }
            watch.sockets = own.filter { watch.held.contains($0.inode) }
                .sorted { (places[$0.inode] ?? .max, $0.inode) < (places[$1.inode] ?? .max, $1.inode) }.map { origins.complete($0) }
            if watch.sockets.contains(where: { $0.localPort != server.port }) { watch.listens = true }
            if !watch.isSettled { watch.attempts += 1 }
            state.watches[server] = watch
        }
        return state
    }

    private func publish() {
        let settled = state.watches.filter(\.value.isSettled).map { server, watch in
            (server.display, XServerProcess(program: watch.program ?? "", sockets: watch.sockets, hasListened: watch.listens))
        }
        let result = Dictionary(settled) { first, _ in first }
        let new = Set(state.watches.filter { $0.value.program == nil }.map(\.key.display))
        guard result != processes || new != unread else { return }
        (processes, unread) = (result, new)
        onChange()
    }

    private func arm() {
        let watches = state.watches
        let areRemote = watches.values.contains(where: \.isRemote)
        if !areRemote {
            ends = nil
        } else if ends == nil {
            ends = try? ConnectionEnds(loop: loop) { [unowned self] in lookSoon() }
        }
        ends?.ports = Set(watches.values.flatMap { $0.sockets.map(\.localPort) })
        let settling = watches.values.filter { !$0.isSettled }.map { Duration.milliseconds(16 << $0.attempts) }
        if let delay = (settling + (areRemote ? [Self.interval] : [])).min() {
            let now = BootInstant.now()
            timer?.arm(at: max(look?.rested ?? now, now.advanced(by: delay)))
        } else {
            timer?.disarm()
        }
    }

    /// Where connections of this machine with itself come from; each is looked for once in a list.
    private struct Origins {
        private let controlGroups: String
        private var peers: [Ends: TCPSocket] = [:]
        /// The scopes of each user's sessions, by their control groups' numbers.
        private var scopes: [UInt32: [UInt64: String]] = [:]

        private struct Ends: Hashable {
            var local: String
            var localPort: UInt16
            var remote: String
            var remotePort: UInt16
        }

        init(_ sockets: [TCPSocket], controlGroups: String) {
            self.controlGroups = controlGroups
            for socket in sockets where !socket.isListening && socket.isLocal {
                peers[
                    Ends(
                        local: socket.localAddress, localPort: socket.localPort, remote: socket.remoteAddress, remotePort: socket.remotePort
                    )
                ] = socket
            }
        }

        /// The socket with the scope in which the other end was made, if that is on this machine.
        mutating func complete(_ socket: TCPSocket) -> TCPSocket {
            guard !socket.isListening, socket.isLocal else { return socket }
            let other = Ends(
                local: socket.remoteAddress, localPort: socket.remotePort, remote: socket.localAddress, remotePort: socket.localPort)
            guard let peer = peers[other] else { return socket }
            if scopes[peer.uid] == nil { scopes[peer.uid] = self.scopes(of: peer.uid) }
            var result = socket
            result.peerScope = scopes[peer.uid]?[peer.controlGroup] ?? ""
            return result
        }

        private func scopes(of uid: UInt32) -> [UInt64: String] {
            let folder = "\(controlGroups)/user.slice/user-\(uid).slice"
            var found: [UInt64: String] = [:]
            for name in (try? namesInFolder(folder, limit: ServerSocketMonitor.maximumDescriptors)) ?? [] where name.hasSuffix(".scope") {
                var status = stat()
                if stat("\(folder)/\(name)", &status) == 0 { found[UInt64(status.st_ino)] = name }
            }
            return found
        }
    }

    private struct Facts {
        var program: String
        var sockets: Set<UInt32>
    }

    /// What the process has open; read as its user, never as root. Nil if it is gone or can't be looked at now.
    private nonisolated static func facts(of server: XServer, program: String?) -> Facts? {
        guard let process = try? ProcessFacts(pid: server.pid), process.startTime == server.startTime else { return nil }
        return try? actingAs(uid: process.uid, gid: process.gid) { () throws(SystemError) in
            let sockets: [UInt32]
            do throws(SystemError) {
                sockets = try SocketDiagnostics.inodes(ofProcess: server.pid, limit: maximumDescriptors)
            } catch {
                // One that made itself undumpable belongs to root in /proc, and tells nothing.
                guard error.code == EACCES else { throw error }
                sockets = []
            }
            return Facts(program: program ?? ProcessFacts.program(of: server.pid) ?? "", sockets: Set(sockets))
        }
    }
}
