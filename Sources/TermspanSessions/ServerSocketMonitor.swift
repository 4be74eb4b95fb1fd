import Glibc
package import TermspanBus
import TermspanCore
import TermspanSystem

/// Tells which TCP sockets the X servers hold: their clients' connections, where they serve a remote desktop by themselves.
///
/// The truth is the kernel's: its list of sockets, and which of them the server's process has open. The end of a connection is told by the
/// kernel, its beginning by nothing: where there are servers that take connections, it is looked for once a second. A server that
/// listens on no port within two seconds of its start takes none.
@MainActor
package final class ServerSocketMonitor {
    /// What is known of servers' processes by display. None of a new one that may yet begin to listen.
    package private(set) var processes: [UInt16: XServerProcess] = [:]

    private let loop: EventLoop
    private let onChange: @MainActor () -> Void
    /// Where control groups are.
    private let controlGroups: String
    private var watches: [XServer: Watch] = [:]
    /// What each user has left of readings.
    private var readings: [UInt32: TokenBucket] = [:]
    private var latest = BootInstant.zero
    private var timer: EventSource?
    private var ends: ConnectionEnds?
    /// Not before this is it looked again.
    private var rested = BootInstant.zero

    /// A server whose process is looked at.
    private struct Watch {
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
    }

    /// A server opens its port a moment after its X socket: it is looked at 8 times, from 16 ms to 2 s apart.
    private nonisolated static let maximumAttempts = 8
    /// A little less than a second, so that a second is kept.
    private static let interval: Duration = .milliseconds(900)
    /// Descriptors of one process that are looked at.
    private static let maximumDescriptors = 1_024
    /// How often descriptors of one user's processes are read; what is beyond it has its turn later.
    private static let readingRate = Rate(16, per: .seconds(1), burst: 64)
    /// Between two looks for what users can make happen as often as they like.
    private static let pause: Duration = .milliseconds(100)
    /// The rest after any look, in lengths of it. The list has the sockets of all users: whoever opens them by the hundred thousand makes the
    /// next look late, and nothing else.
    private static let rest = 20

    package init(loop: EventLoop, controlGroups: String = "/sys/fs/cgroup", onChange: @escaping @MainActor () -> Void) throws {
        self.loop = loop
        self.controlGroups = controlGroups
        self.onChange = onChange
        timer = try loop.timer(accuracy: .milliseconds(20)) { [unowned self] in look() }
    }

    /// Looks at these servers from now on.
    package func follow(_ servers: [XServer]) {
        let known = watches
        watches = Dictionary(servers.map { ($0, known[$0] ?? Watch()) }) { first, _ in first }
        // Of those that are gone at once, whenever the next look may be.
        publish()
        lookSoon()
    }

    /// Looks again, as when a login came that may be a client's.
    package func refresh() {
        if watches.values.contains(where: { $0.isRemote || !$0.isSettled }) { lookSoon() }
    }

    private func lookSoon() {
        let due = max(rested, latest.advanced(by: Self.pause))
        if due <= loop.now { look() } else { timer?.arm(at: due) }
    }

    private func look() {
        let now = BootInstant.now()
        defer {
            let end = BootInstant.now()
            rested = end.advanced(by: now.duration(to: end) * Self.rest)
            arm()
        }
        latest = now
        readings = readings.filter { !$0.value.isFull(at: now) }
        let candidates = watches.filter { $0.value.isRemote || !$0.value.isSettled }
        // What can't be looked at has not changed.
        guard !candidates.isEmpty, let sockets = try? SocketDiagnostics.tcpSockets() else { return publish() }
        let owners = Dictionary(grouping: sockets, by: \.uid)
        // Whose turn was longest ago comes first.
        for (server, old) in candidates.sorted(by: { ($0.value.read, $0.key.display) < ($1.value.read, $1.key.display) }) {
            var watch = old
            let own = owners[server.uid] ?? []
            let inodes = Set(own.map(\.inode))
            if inodes != watch.seen {
                guard readings[server.uid, default: TokenBucket()].take(Self.readingRate, at: now) else { continue }
                watch.read = now
                if let facts = Self.facts(of: server, program: watch.program) {
                    watch.program = facts.program
                    watch.seen = inodes
                    watch.held = facts.sockets
                }
            }
            watch.sockets = withOrigins(own.filter { watch.held.contains($0.inode) }, among: sockets)
            if watch.sockets.contains(where: { $0.localPort != server.port }) { watch.listens = true }
            if !watch.isSettled { watch.attempts += 1 }
            watches[server] = watch
        }
        publish()
    }

    private func publish() {
        let settled = watches.filter(\.value.isSettled).map { server, watch in
            (server.display, XServerProcess(program: watch.program ?? "", sockets: watch.sockets, hasListened: watch.listens))
        }
        let result = Dictionary(settled) { first, _ in first }
        guard result != processes else { return }
        processes = result
        onChange()
    }

    private func arm() {
        let areRemote = watches.values.contains(where: \.isRemote)
        if !areRemote {
            ends = nil
        } else if ends == nil {
            ends = try? ConnectionEnds(loop: loop) { [unowned self] in lookSoon() }
        }
        ends?.ports = Set(watches.values.flatMap { $0.sockets.map(\.localPort) })
        let settling = watches.values.filter { !$0.isSettled }.map { Duration.milliseconds(16 << $0.attempts) }
        if let delay = (settling + (areRemote ? [Self.interval] : [])).min() {
            timer?.arm(at: max(rested, BootInstant.now().advanced(by: delay)))
        } else {
            timer?.disarm()
        }
    }

    /// One process's sockets, in order, with the scopes in which the other ends of local ones were made.
    private func withOrigins(_ own: [TCPSocket], among sockets: [TCPSocket]) -> [TCPSocket] {
        own.sorted { $0.inode < $1.inode }.map { socket in
            guard !socket.isListening, socket.isLocal, let peer = sockets.first(where: { $0.isOtherEnd(of: socket) }) else { return socket }
            var result = socket
            result.peerScope = scope(peer.controlGroup, of: peer.uid)
            return result
        }
    }

    private struct Facts {
        var program: String
        var sockets: Set<UInt32>
    }

    /// What the process has open; read as its user, never as root. Nil if it is gone or can't be looked at now.
    private static func facts(of server: XServer, program: String?) -> Facts? {
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
            return Facts(program: program ?? self.program(of: server.pid), sockets: Set(sockets))
        }
    }

    private static func program(of pid: UInt32) -> String {
        guard let link = try? readLink("/proc/\(pid)/exe") else { return "" }
        return String(decoding: link.split(separator: UInt8(ascii: "/")).last ?? [], as: UTF8.self)
    }

    /// The scope of a user's session that has this number as a control group; empty if none has.
    private func scope(_ controlGroup: UInt64, of uid: UInt32) -> String {
        let folder = "\(controlGroups)/user.slice/user-\(uid).slice"
        let names = (try? namesInFolder(folder, limit: Self.maximumDescriptors)) ?? []
        return names.first { name in
            var status = stat()
            return name.hasSuffix(".scope") && stat("\(folder)/\(name)", &status) == 0 && UInt64(status.st_ino) == controlGroup
        } ?? ""
    }
}
