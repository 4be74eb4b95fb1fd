import Foundation
import Glibc
import TermspanSystem
import Testing

@testable import TermspanCore
@testable import TermspanSessions

@Suite struct TerminalTests {
    @Test func aTerminalTellsWhenItWasTypedAt() throws {
        let terminal = try Terminal.Fixture()
        let (master, path, name) = (terminal.master, terminal.path, terminal.name)
        let slave = open(path, O_RDWR | O_NOCTTY)
        defer { close(slave) }
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

    /// An entry of utmp(5) that one left who was killed is, by its PID, that of a later login.
    @Test func whatLogindTellsOfALoginOverSSHIsATerminalOfTheUsersOrNone() throws {
        let terminal = try Terminal.Fixture()
        func tty(_ service: String, _ uid: UInt32, _ name: String) -> String {
            LogindSession(id: "1", uid: uid, userName: "user1", service: service, tty: name).withTerminal().tty
        }
        #expect(tty("sshd", geteuid(), terminal.name) == terminal.name)
        #expect(tty("sshd", geteuid() &+ 1, terminal.name) == "")
        #expect(tty("sshd", geteuid(), "pts/4095") == "")
        // A console is no pseudoterminal, and logind's own.
        #expect(tty("login", geteuid(), "tty1") == "tty1")
    }

    @Test(arguments: ["", "pts/", "pts/../null", "pts/01", "pts/99999", "null", "tty1", "pts/ptmx"])
    func otherNamesAreNoTerminals(name: String) {
        #expect(Terminal.lastInput(name, uid: geteuid()) == nil)
    }

    /// As sshd has it: the login's first process, the one that is the user's, and the shell.
    @Test(arguments: [
        // The user's own; root's, whose shell is the first process's own child with older servers; beside a command without a terminal.
        ("sh -c 'setsid --ctty sleep 600 <TTY & wait' & wait", true), ("setsid --ctty sleep 600 <TTY & wait", true),
        ("sh -c 'setsid sleep 600 & setsid --ctty sleep 600 <TTY & wait' & wait", true),
        // A command without a terminal; what a command starts, and further down; two terminals over one connection.
        ("sh -c 'setsid sleep 600 & wait' & wait", false), ("setsid sh -c 'setsid --ctty sleep 600 <TTY & wait' & wait", false),
        ("sh -c \"sh -c 'setsid --ctty sleep 600 <TTY & wait' & wait\" & wait", false),
        ("sh -c 'setsid --ctty sleep 600 <TTY & setsid --ctty sleep 600 <OTHER & wait' & wait", false),
    ])
    func aLoginsTerminalIsItsShells(script: String, isFound: Bool) async throws {
        let (terminal, other) = (try Terminal.Fixture(), try Terminal.Fixture())
        let login = try LoginProcess(script.replacing("TTY", with: terminal.path).replacing("OTHER", with: other.path))
        defer { login.end() }
        // Until all of it is what it is to be.
        let sleeping = script.count { $0 == "6" }
        for _ in 0..<6000 where login.sleeping != sleeping { try await Task.sleep(for: .milliseconds(10)) }
        #expect(login.sleeping == sleeping)
        #expect(Terminal.name(ofLogin: login.leader, uid: geteuid()) == (isFound ? terminal.name : nil))
        #expect(Terminal.name(ofLogin: login.leader, uid: geteuid() &+ 1) == nil)
        #expect(Terminal.name(ofLogin: 0, uid: geteuid()) == nil)
    }

    @Test(
        arguments: [
            ("7 (a) S 1 7 7 34819 7 0", .own(3)), ("7 (a) b) S 1 7 7 34816 7 0", .own(0)), ("7 (a) S 1 7 7 2131968 7 0", .own(512)),
            // No terminal, and a virtual one; another's session; cut off.
            ("7 (a) S 1 7 7 0 -1 0", .own(nil)), ("7 (a) S 1 7 7 1025 7 0", .own(nil)), ("7 (a) S 1 7 6 34819 7 0", .anothers),
            ("7 (a) S 1 7", nil), ("", nil),
        ] as [(String, Terminal.ProcessSession?)])
    func theKernelTellsTheTerminal(status: String, session: Terminal.ProcessSession?) {
        #expect(Terminal.session(of: 7, status: Array(status.utf8)) == session)
    }
}

extension Terminal {
    /// A new terminal, held open.
    final class Fixture {
        let master: CInt
        let path: String
        var name: String { String(path.dropFirst(5)) }

        init() throws {
            master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_CLOEXEC)
            // TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)).
            var lock: CInt = 0
            var number: CUnsignedInt = 0
            let isOpen = ioctl(master, 0x4004_5431, &lock) == 0 && ioctl(master, 0x8004_5430, &number) == 0
            path = "/dev/pts/\(number)"
            try #require(isOpen)
        }

        deinit { close(master) }
    }
}

/// A shell in the place of a login's first process.
struct LoginProcess {
    private let process = Process()
    var leader: UInt32 { UInt32(process.processIdentifier) }
    private var descendants: [UInt32] { Self.descendants(of: leader) }
    /// How many of its descendants run sleep(1).
    var sleeping: Int { descendants.count { ProcessFacts.program(of: $0) == "sleep" } }

    init(_ script: String) throws {
        process.executableURL = URL(filePath: "/bin/sh")
        process.arguments = ["-c", script]
        try process.run()
    }

    /// Kills all of it but the first, and returns once they are gone.
    func endDescendants() {
        while case let left = descendants, !left.isEmpty {
            for process in left { kill(Int32(process), SIGKILL) }
            usleep(5_000)
        }
    }

    func end() {
        guard process.isRunning else { return }
        for process in descendants + [leader] { kill(Int32(process), SIGKILL) }
        process.waitUntilExit()
    }

    private static func descendants(of process: UInt32) -> [UInt32] {
        let text = (try? String(contentsOfFile: "/proc/\(process)/task/\(process)/children", encoding: .utf8)) ?? ""
        return text.split(separator: " ").compactMap { UInt32($0) }.flatMap { [$0] + descendants(of: $0) }
    }
}
