import Glibc
import TermspanCore
import Testing

@testable import TermspanBus

/// A child process, killed when it is no longer needed.
struct Child {
    let processID: pid_t

    /// Starts a program with its output going to `output`. Signals are unblocked for it: test threads may block them.
    init(_ arguments: [String], output: Int32) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var list: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for item in list { free(item) } }
        var processID: pid_t = 0
        let result = posix_spawnp(&processID, arguments[0], &actions, &attributes, &list, environ)
        if result != 0 { throw BusError(code: result, operation: "starting \(arguments[0])") }
        self.processID = processID
    }

    /// Whether it has ended, without waiting.
    func hasEnded() -> Bool { waitpid(processID, nil, WNOHANG) != 0 }

    func stop() {
        kill(processID, SIGTERM)
        waitpid(processID, nil, 0)
    }
}

/// A dbus-daemon of the test's own, where everybody may do everything.
@MainActor
final class PrivateBus {
    let address: String
    private let folder: String
    private let child: Child

    init() throws {
        var template = Array("/tmp/termspan-bus-XXXXXX".utf8CString)
        let made = try #require(mkdtemp(&template))
        folder = String(cString: made)
        let configuration = """
            <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
             "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
            <busconfig>
              <listen>unix:path=\(folder)/socket</listen>
              <auth>EXTERNAL</auth>
              <policy context="default">
                <allow send_destination="*" eavesdrop="false"/>
                <allow receive_sender="*"/>
                <allow own="*"/>
                <allow user="*"/>
              </policy>
            </busconfig>
            """
        let file = open(folder + "/bus.conf", O_WRONLY | O_CREAT | O_CLOEXEC, 0o600)
        _ = configuration.withCString { write(file, $0, strlen($0)) }
        close(file)
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        child = try Child(
            ["dbus-daemon", "--config-file=\(folder)/bus.conf", "--nofork", "--nopidfile", "--print-address=1"], output: ends[1])
        close(ends[1])
        address = "unix:path=\(folder)/socket"
        // The address is printed once the socket listens.
        var text = [UInt8](repeating: 0, count: 256)
        _ = read(ends[0], &text, text.count)
        close(ends[0])
    }

    func stop() {
        child.stop()
        for name in ["/bus.conf", "/socket"] { unlink(folder + name) }
        rmdir(folder)
    }
}

/// Turns the loop until `condition` holds; a failure after some seconds.
@MainActor
func turn(_ loop: EventLoop, until condition: () -> Bool) throws {
    let limit = loop.now.advanced(by: .seconds(10))
    while !condition() {
        try #require(loop.now < limit, "nothing happened for too long")
        try loop.runOnce(timeout: .milliseconds(20))
    }
}

/// Runs a command while the loop turns, and returns what it printed.
@MainActor
func output(_ loop: EventLoop, _ arguments: String...) throws -> String {
    var ends: [Int32] = [0, 0]
    try #require(pipe(&ends) == 0)
    let child = try Child(arguments, output: ends[1])
    close(ends[1])
    try turn(loop) { child.hasEnded() }
    var bytes: [UInt8] = []
    var part = [UInt8](repeating: 0, count: 1 << 16)
    while true {
        let count = read(ends[0], &part, part.count)
        if count <= 0 { break }
        bytes += part[..<count]
    }
    close(ends[0])
    return String(decoding: bytes, as: UTF8.self)
}
