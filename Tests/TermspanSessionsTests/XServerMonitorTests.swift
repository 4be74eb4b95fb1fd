import Foundation
import TermspanBus
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanSessions

@MainActor @Suite struct XServerMonitorTests {
    /// A folder of sockets that this process listens on, all of a user who is not root.
    private final class Folder {
        let path = NSTemporaryDirectory() + "/termspan-\(UUID().uuidString)"
        private var listeners: [Int32] = []

        init() throws {
            try FileManager.default.createDirectory(atPath: path, withIntermediateDirectories: true)
        }

        deinit {
            for listener in listeners { close(listener) }
            try? FileManager.default.removeItem(atPath: path)
        }

        func listen(_ display: Int, owner: UInt32 = 65_534) throws {
            let name = "\(path)/X\(display)"
            let listener = socket(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_CLOEXEC.rawValue), 0)
            listeners.append(listener)
            var address = sockaddr_un()
            address.sun_family = sa_family_t(AF_UNIX)
            withUnsafeMutableBytes(of: &address.sun_path) { $0.copyBytes(from: name.utf8.prefix($0.count - 1)) }
            let bound = withUnsafePointer(to: &address) { pointer in
                pointer.withMemoryRebound(to: sockaddr.self, capacity: 1) { bind(listener, $0, socklen_t(MemoryLayout<sockaddr_un>.size)) }
            }
            #expect(bound == 0)
            #expect(Glibc.listen(listener, 5) == 0)
            // Without root's rights they stay this user's own, which is as good.
            _ = chown(name, owner, owner)
        }
    }

    @Test func oneUsersSocketsAreLookedAtUpToTheLimit() throws {
        let folder = try Folder()
        for display in 10..<30 { try folder.listen(display) }
        var limited: [UInt32] = []
        let monitor = try XServerMonitor(
            loop: try EventLoop(), directory: folder.path, socketsPerUser: 5, onChange: {}, onLimit: { limited.append($0) })
        #expect(monitor.servers.map(\.display) == [10, 11, 12, 13, 14])
        #expect(limited == [geteuid() == 0 ? 65_534 : geteuid()])
    }

    @Test(.enabled(if: geteuid() == 0)) func anothersSocketsTakeNothingOfIt() throws {
        let folder = try Folder()
        for display in 100..<120 { try folder.listen(display, owner: 65_533) }
        for display in 500..<503 { try folder.listen(display) }
        for display in 600..<610 { try folder.listen(display, owner: 0) }
        let monitor = try XServerMonitor(loop: try EventLoop(), directory: folder.path, socketsPerUser: 5, onChange: {})
        #expect(monitor.servers.map(\.display) == [100, 101, 102, 103, 104, 500, 501, 502] + Array(600..<610))
    }

    /// Whoever fills it makes new servers be found late, and nothing else.
    @Test func aFolderThatTakesLongIsListedBesideTheLoop() throws {
        let folder = try Folder()
        try folder.listen(9)
        let loop = try EventLoop()
        let inbox = try MainInbox()
        let source = try inbox.attach(to: loop)
        let monitor = try XServerMonitor(loop: loop, inbox: inbox, directory: folder.path, onChange: {})
        func run(until isDone: () -> Bool) throws {
            // A look on a busy machine takes half a second, and the rest after it twenty times as long.
            let deadline = BootInstant.now().advanced(by: .seconds(60))
            while !isDone(), BootInstant.now() < deadline { _ = try loop.runOnce(timeout: .milliseconds(20)) }
            #expect(isDone())
        }
        for number in 0..<25_000 { #expect(close(open("\(folder.path)/rubbish\(number)", O_CREAT | O_WRONLY, 0o600)) == 0) }
        try run { !monitor.isQuick }
        try folder.listen(10)
        try run { monitor.servers.map(\.display) == [9, 10] }
        // And when the rubbish is gone, at once again.
        for number in 0..<25_000 { unlink("\(folder.path)/rubbish\(number)") }
        // Asked for again while a listing is under way, too.
        try run {
            monitor.lookAgain()
            return monitor.isQuick
        }
        try folder.listen(11)
        try run { monitor.servers.map(\.display) == [9, 10, 11] }
        withExtendedLifetime(source) {}
    }

    /// Whatever lies in the folder, a socket with a display's name is found.
    @Test func rubbishHidesNothing() throws {
        let folder = try Folder()
        for number in 0..<25_000 { #expect(close(open("\(folder.path)/rubbish\(number)", O_CREAT | O_WRONLY, 0o600)) == 0) }
        symlink("/etc/passwd", "\(folder.path)/X7")
        #expect(FileManager.default.createFile(atPath: "\(folder.path)/X8", contents: nil))
        try folder.listen(4321)
        try folder.listen(9)
        let monitor = try XServerMonitor(loop: try EventLoop(), directory: folder.path, onChange: {})
        #expect(monitor.servers.map(\.display) == [9, 4321])
    }
}
