import Foundation
import TermspanBus
import TermspanSystem
import Testing

@testable import TermspanSessions

@MainActor @Suite struct DirectoryMonitorTests {
    @Test func aDirectoryIsFollowedThatComesLaterWithThoseAboveIt() throws {
        let base = NSTemporaryDirectory() + "/termspan-\(UUID().uuidString)"
        try FileManager.default.createDirectory(atPath: base, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: base) }
        let folder = base + "/xrdp/sockdir"
        let loop = try EventLoop()
        var count = 0
        let monitor = try DirectoryMonitor(loop: loop, path: folder) { count += 1 }
        try withExtendedLifetime(monitor) {
            for round in 1...2 {
                try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
                try settle(loop)
                count = 0
                #expect(FileManager.default.createFile(atPath: folder + "/socket", contents: nil))
                try settle(loop)
                #expect(count > 0, "round \(round)")
                try FileManager.default.removeItem(atPath: base + "/xrdp")
                try settle(loop)
            }
            // What happens beside it does not concern us once it is there.
            try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
            try settle(loop)
            count = 0
            #expect(FileManager.default.createFile(atPath: base + "/other", contents: nil))
            try settle(loop)
            #expect(count == 0)
        }
    }

    /// A mount that does not answer could make a look at it wait for ever.
    @Test(.enabled(if: geteuid() == 0)) func aFolderOfAUsersIsWatchedUnlessSomethingIsMountedOverIt() throws {
        let base = NSTemporaryDirectory() + "/termspan-\(UUID().uuidString)"
        let folder = base + "/1001"
        try FileManager.default.createDirectory(atPath: folder, withIntermediateDirectories: true)
        defer { try? FileManager.default.removeItem(atPath: base) }
        #expect(chown(folder, 65_534, 65_534) == 0 && chmod(folder, 0o700) == 0)
        let loop = try EventLoop()
        var count = 0
        let monitor = try DirectoryMonitor(loop: loop, path: folder, isUsers: true) { count += 1 }
        try withExtendedLifetime(monitor) {
            #expect(FileManager.default.createFile(atPath: folder + "/socket", contents: nil))
            try settle(loop)
            #expect(count > 0)
        }
        #expect(try openOwnFolder("1001", in: base).status().uid == 65_534)
        #expect(mount("none", folder, "tmpfs", 0, nil) == 0)
        defer { umount2(folder, Int32(MNT_DETACH)) }
        #expect { _ = try openOwnFolder("1001", in: base) } throws: { ($0 as? SystemError)?.code == EXDEV }
        symlink("/etc", base + "/1002")
        #expect { _ = try openOwnFolder("1002", in: base) } throws: { ($0 as? SystemError)?.code == ENOTDIR }
    }

    private func settle(_ loop: EventLoop) throws {
        while try loop.runOnce(timeout: .milliseconds(20)) {}
    }
}
