import Foundation
import TermspanBus
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

    private func settle(_ loop: EventLoop) throws {
        while try loop.runOnce(timeout: .milliseconds(20)) {}
    }
}
