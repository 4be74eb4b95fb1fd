import Glibc
import TermspanSystem
import Testing

@testable import TermspanCore
@testable import TermspanSessions

@Suite struct TerminalTests {
    @Test func aTerminalTellsWhenItWasTypedAt() throws {
        let master = open("/dev/ptmx", O_RDWR | O_NOCTTY)
        defer { close(master) }
        // TIOCSPTLCK and TIOCGPTN (ioctl_tty(2)).
        var lock: CInt = 0
        var number: CUnsignedInt = 0
        try #require(ioctl(master, 0x4004_5431, &lock) == 0 && ioctl(master, 0x8004_5430, &number) == 0)
        let path = "/dev/pts/\(number)"
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
}
