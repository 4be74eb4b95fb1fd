import Glibc
import TermspanSystem
import Testing

/// What the probe's own filter of system calls lets through, each call tried in a process of its own.
struct ConfinementTests {
    @Test(arguments: ["poll", "clock", "memory", "answer"])
    func whatAConnectedProbeNeedsWorks(_ call: String) throws {
        #expect(try run(call) == .exited(0))
    }

    @Test(arguments: [
        "open", "socket", "connect", "fork", "execve", "kill", "ptrace", "mprotect", "executable", "map-file", "memfd", "send-elsewhere",
        "send-descriptors", "prctl", "foreign",
    ])
    func anythingElseKills(_ call: String) throws {
        #expect(try run(call) == .signalled(SIGSYS))
    }

    private func run(_ call: String) throws -> TermspanSystem.ExitStatus? {
        try Program(TestProbe.path(of: "confined"), [call], environment: []).wait(.seconds(5))
    }
}
