import Foundation
import Glibc
import TermspanSystem
import Testing

@testable import TermspanCore
@testable import TermspanSessions

@Suite struct TerminalTests {
    @Test func aTerminalTellsWhenItWasTypedAt() throws {
        let (master, path) = try Self.openTerminal()
        defer { close(master) }
        let slave = open(path, O_RDWR | O_NOCTTY)
        defer { close(slave) }
        let name = String(path.dropFirst(5))
        let now = WallInstant.now()
        // An hour ago, and as if in an hour.
        for (seconds, wanted) in [(-3600, now.advanced(by: .seconds(-3600))), (3600, now)] {
            let moment = timespec(tv_sec: Int(now.nanoseconds / 1_000_000_000) + seconds, tv_nsec: Int(now.nanoseconds % 1_000_000_000))
            #expect(utimensat(AT_FDCWD, path, [moment, moment], 0) == 0)
            #expect(Terminal.lastInput(name, uid: geteuid(), now: now) == wanted)
        }
        #expect(Terminal.lastInput(name, uid: geteuid() &+ 1) == nil)
        // What is typed is input; the kernel counts in steps of 8 seconds.
        let long = timespec(tv_sec: 1_000_000_000, tv_nsec: 0)
        #expect(utimensat(AT_FDCWD, path, [long, long], 0) == 0)
        #expect(write(master, "x\n", 2) == 2)
        var buffer = [UInt8](repeating: 0, count: 8)
        #expect(read(slave, &buffer, 8) > 0)
        let typed = try #require(Terminal.lastInput(name, uid: geteuid(), now: now))
        #expect(typed.duration(to: now) < .seconds(60))
    }

    @Test(arguments: ["", "pts/", "pts/../null", "pts/01", "pts/99999", "null", "tty1", "pts/ptmx"])
    func otherNamesAreNoTerminals(name: String) {
        #expect(Terminal.lastInput(name, uid: geteuid()) == nil)
    }

    /// As sshd has it: the login's first process, the one that is the user's, and the shell.
    @Test(arguments: [
        // The user's own and root's, whose shell is the first process's own child.
        ("sh -c 'setsid --ctty sleep 60 <TTY & wait' & wait", true), ("setsid --ctty sleep 60 <TTY & wait", true),
        // A command without a terminal; what the user starts further down; what has the terminal of another process's session.
        ("sh -c 'setsid sleep 60 & wait' & wait", false), ("sh -c \"sh -c 'setsid --ctty sleep 60 <TTY & wait' & wait\" & wait", false),
    ])
    func aLoginsTerminalIsItsShells(script: String, isFound: Bool) async throws {
        let (master, path) = try Self.openTerminal()
        defer { close(master) }
        let login = Process()
        login.executableURL = URL(filePath: "/bin/sh")
        login.arguments = ["-c", script.replacing("TTY", with: path)]
        try login.run()
        let leader = UInt32(login.processIdentifier)
        defer {
            for process in Self.descendants(of: leader) + [leader] { kill(Int32(process), SIGKILL) }
            login.waitUntilExit()
        }
        // Until the last process is what it is to be.
        for _ in 0..<1000 where !Self.descendants(of: leader).contains(where: Self.sleeps) { try await Task.sleep(for: .milliseconds(10)) }
        #expect(Self.descendants(of: leader).contains(where: Self.sleeps))
        #expect(Terminal.name(ofLogin: leader, uid: geteuid()) == (isFound ? String(path.dropFirst(5)) : nil))
        #expect(Terminal.name(ofLogin: leader, uid: geteuid() &+ 1) == nil)
        #expect(Terminal.name(ofLogin: 0, uid: geteuid()) == nil)
    }

    @Test(
        arguments: [
            ("7 (a) S 1 7 7 34819 7 0", 3), ("7 (a) b) S 1 7 7 34816 7 0", 0), ("7 (a) S 1 7 7 2131968 7 0", 512),
            // Another's session; no terminal; a virtual one; cut off.
            ("7 (a) S 1 7 6 34819 7 0", nil), ("7 (a) S 1 7 7 0 -1 0", nil), ("7 (a) S 1 7 7 1025 7 0", nil), ("7 (a) S 1 7", nil),
            ("", nil),
        ] as [(String, UInt32?)])
    func theKernelTellsTheTerminal(status: String, number: UInt32?) {
        #expect(Terminal.terminal(of: 7, status: Array(status.utf8)) == number)
    }

    /// A new terminal: the master's descriptor, and the path of the other end.
    private static func openTerminal() throws -> (master: CInt, path: String) {
        let master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
        // TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)).
        var lock: CInt = 0
        var number: CUnsignedInt = 0
        try #require(ioctl(master, 0x4004_5431, &lock) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
        return (master, "/dev/pts/\(number)")
    }

    private static func descendants(of process: UInt32) -> [UInt32] {
        let text = (try? String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { UInt32($0) }.flatMap { [$0] + descendants(of: $0) }
    }

    private static func sleeps(_ process: UInt32) -> Bool { ProcessFacts.program(of: process) == "sleep" }
}
