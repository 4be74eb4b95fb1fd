import Foundation
import Glibc
import TermspanBus
import TermspanSystem
import Testing

@testable import TermspanCore
@testable import TermspanSessions

/// The process of the tests is the X server: what counts is what it has open.
@MainActor @Suite struct ServerSocketMonitorTests {
    /// A socket of this process.
    private final class Socket {
        let raw = socket(AF_INET, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
        deinit { close() }

        private var isOpen = true

        func close() {
            if isOpen { _ = Glibc.close(raw) }
            isOpen = false
        }

        private func with(_ address: sockaddr_in, _ body: (UnsafePointer<sockaddr>, socklen_t) -> Int32) -> Int32 {
            withUnsafePointer(to: address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { body($0, socklen_t(MemoryLayout<sockaddr_in>.size)) }
            }
        }

        /// Listens on a port of the kernel's choice, and returns it.
        func listen() -> UInt16 {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            #expect(with(address) { bind(raw, $0, $1) } == 0 && Glibc.listen(raw, 4) == 0)
            var length = socklen_t(MemoryLayout<sockaddr_in>.size)
            let got = withUnsafeMutablePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { getsockname(raw, $0, &length) }
            }
            #expect(got == 0)
            return UInt16(bigEndian: address.sin_port)
        }

        func connect(to port: UInt16) {
            var address = sockaddr_in()
            address.sin_family = sa_family_t(AF_INET)
            address.sin_addr.s_addr = UInt32(0x7F00_0001).bigEndian
            address.sin_port = port.bigEndian
            #expect(with(address) { Glibc.connect(raw, $0, $1) } == 0)
        }
    }

    private func server() throws -> XServer {
        let pid = UInt32(getpid())
        let facts = try #require(try ProcessFacts(pid: pid))
        return XServer(display: 77, pid: pid, startTime: facts.startTime, uid: facts.uid, controlGroup: facts.controlGroup)
    }

    /// Runs the loop until the condition holds, and returns how long that took.
    private func run(_ loop: EventLoop, limit: Duration = .seconds(10), until condition: @MainActor () -> Bool) throws -> Duration {
        let begin = ContinuousClock.now
        while !condition(), ContinuousClock.now - begin < limit { _ = try loop.runOnce(timeout: .milliseconds(20)) }
        #expect(condition())
        return ContinuousClock.now - begin
    }

    @Test func aServersConnectionsAreSeenWhenTheyComeAndAtOnceWhenTheyGo() throws {
        let loop = try EventLoop()
        let inbox = try MainInbox()
        let posts = try inbox.attach(to: loop)
        var changes = 0
        let monitor = try ServerSocketMonitor(loop: loop, inbox: inbox) { changes += 1 }
        let listener = Socket()
        let port = listener.listen()
        try withExtendedLifetime((monitor, posts, listener)) {
            monitor.follow([try server()])
            // Other tests of this process may have sockets, too.
            @MainActor func connections() -> [TCPSocket] {
                monitor.processes[77]?.sockets.filter { !$0.isListening && $0.localPort == port } ?? []
            }
            #expect(monitor.processes[77]?.listeningPorts(besides: try server()).contains(port) == true)
            #expect(connections().isEmpty && changes > 0)
            let client = Socket()
            client.connect(to: port)
            let accepted = accept(listener.raw, nil, nil)
            #expect(accepted >= 0)
            _ = try run(loop) { !connections().isEmpty }
            #expect(connections().first?.remoteAddress == "127.0.0.1")
            // The server's end goes first here; either way the kernel tells.
            client.close()
            _ = close(accepted)
            let took = try run(loop) { connections().isEmpty }
            #expect(took < .milliseconds(900))
        }
    }

    /// Where this process is among the control groups, if the machine has the unified hierarchy.
    nonisolated private static let ownControlGroup: String? = {
        func lines(_ path: String) -> [String] {
            String(decoding: (try? readFile(path, limit: 1 << 20, options: .anyKind)) ?? [], as: UTF8.self).split(separator: "\n").map(
                String.init)
        }
        let mount = lines("/proc/self/mounts").map { $0.split(separator: " ") }.first { $0.count > 2 && $0[2] == "cgroup2" }?[1]
        let own = lines("/proc/self/cgroup").first { $0.hasPrefix("0::") }?.dropFirst(3)
        guard let mount, let own else { return nil }
        return String(mount) + own
    }()

    @Test(.enabled(if: ownControlGroup != nil)) func aConnectionFromThisMachineIsKnownByTheScopeThatItComesFrom() throws {
        let base = NSTemporaryDirectory() + "/termspan-\(UUID().uuidString)"
        let slice = base + "/user.slice/user-\(geteuid()).slice"
        try FileManager.default.createDirectory(atPath: slice + "/session-4.scope", withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: base) }
        // The folder that stands for a session's scope is the one in which this process is.
        try FileManager.default.createSymbolicLink(
            atPath: slice + "/session-7.scope", withDestinationPath: try #require(Self.ownControlGroup))
        let loop = try EventLoop()
        let monitor = try ServerSocketMonitor(loop: loop, inbox: try MainInbox(), controlGroups: base) {}
        let listener = Socket()
        let port = listener.listen()
        let client = Socket()
        client.connect(to: port)
        let accepted = accept(listener.raw, nil, nil)
        defer { close(accepted) }
        try withExtendedLifetime((monitor, listener, client)) {
            monitor.follow([try server()])
            let sockets = monitor.processes[77]?.sockets ?? []
            #expect(sockets.filter { !$0.isListening && $0.localPort == port }.map(\.peerScope) == ["session-7.scope"])
            #expect(sockets.filter(\.isListening).allSatisfy { $0.peerScope.isEmpty })
        }
    }

    @Test func moreServersOfAUserThanAreLookedAtAtOnceHaveTheirTurn() throws {
        let loop = try EventLoop()
        let inbox = try MainInbox()
        let posts = try inbox.attach(to: loop)
        let monitor = try ServerSocketMonitor(loop: loop, inbox: inbox) {}
        let listener = Socket()
        let port = listener.listen()
        try withExtendedLifetime((monitor, posts, listener)) {
            let one = try server()
            monitor.follow(
                (1...80).map { display in
                    XServer(display: display, pid: one.pid, startTime: one.startTime, uid: one.uid, controlGroup: one.controlGroup)
                })
            #expect(monitor.processes.count < 80)
            _ = try run(loop, limit: .seconds(60)) { monitor.processes.count == 80 }
            #expect(monitor.processes.values.allSatisfy { $0.sockets.contains { $0.isListening && $0.localPort == port } })
        }
    }

    @Test func aProcessThatIsAnotherByNowTellsNothing() throws {
        let loop = try EventLoop()
        let inbox = try MainInbox()
        let posts = try inbox.attach(to: loop)
        let monitor = try ServerSocketMonitor(loop: loop, inbox: inbox) {}
        let listener = Socket()
        _ = listener.listen()
        try withExtendedLifetime((monitor, posts, listener)) {
            var stranger = try server()
            stranger.startTime += 1
            monitor.follow([stranger])
            _ = try run(loop) { monitor.processes[77] != nil }
            #expect(monitor.processes[77]?.sockets.isEmpty == true)
            monitor.follow([])
            #expect(monitor.processes.isEmpty)
        }
    }

    @Test(
        arguments: [("socket:[4711]", 4711), ("socket:[]", nil), ("/tmp/socket:[1]", nil), ("socket:[99999999999]", nil)]
            as [(String, UInt32?)])
    func inodesAreTakenFromLinks(link: String, inode: UInt32?) {
        #expect(SocketDiagnostics.inode(ofLink: link) == inode)
    }
}
