import Glibc
import Testing

@testable import TermspanSessions

@Suite struct ProcessFactsTests {
    @Test func theOwnProcessIsAsTheKernelSays() throws {
        let facts = try #require(try ProcessFacts(pid: UInt32(getpid())))
        #expect(facts.uid == geteuid() && facts.gid == getegid() && facts.parent == UInt32(getppid()))
        #expect(facts.startTime > 0 && facts.controlGroup.hasPrefix("/"))
    }

    /// A process can have any name, and must not choose its parent or its beginning by it.
    @Test(arguments: ["xrdp", "a) S 1 1 1", ") S 7 (", "\n)", ""]) func aNameMakesNoFacts(name: String) throws {
        let numbers = (4...30).map { String($0 * 10) }.joined(separator: " ")
        let facts = try #require(
            ProcessFacts(
                status: Array("77 (\(name)) S \(numbers)\n".utf8), groups: Array("0::/system.slice/xrdp.service\n".utf8), uid: 5, gid: 6))
        #expect(facts.parent == 40 && facts.startTime == 220 && facts.controlGroup == "/system.slice/xrdp.service")
        #expect(ProcessFacts(status: Array("77 (\(name)) S".utf8), groups: Array("0::/\n".utf8), uid: 5, gid: 6) == nil)
    }
}
