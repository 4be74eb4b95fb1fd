import Glibc
import Testing

/// A child process whose output goes to a pipe. Signals are unblocked for it: test threads may block them.
final class TestChild {
    struct Failure: Error {
        var code: Int32
    }

    let processID: pid_t
    let reading: Int32
    private var status: Int32?

    init(_ arguments: [String]) throws {
        var ends: [Int32] = [0, 0]
        try #require(pipe(&ends) == 0)
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        for target: Int32 in [1, 2] { posix_spawn_file_actions_adddup2(&actions, ends[1], target) }
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
        close(ends[1])
        if result != 0 { throw Failure(code: result) }
        self.processID = processID
        reading = ends[0]
    }

    func hasEnded() -> Bool {
        var status: Int32 = 0
        if self.status == nil, waitpid(processID, &status, WNOHANG) == processID { self.status = status }
        return self.status != nil
    }

    /// What it printed, once it has ended: at most what a pipe holds.
    func output() -> String {
        var bytes = [UInt8](repeating: 0, count: 1 << 16)
        let count = read(reading, &bytes, bytes.count)
        close(reading)
        return String(decoding: bytes[..<max(0, count)], as: UTF8.self)
    }

    func stop() {
        kill(processID, SIGTERM)
        waitpid(processID, nil, 0)
        close(reading)
    }
}

/// A dbus-daemon of the test's own, where everybody may do everything.
final class TestBus {
    let address: String
    private let folder: String
    private let child: TestChild

    init() throws {
        var template = Array("/tmp/termspan-reports-bus-XXXXXX".utf8CString)
        folder = String(cString: try #require(mkdtemp(&template)))
        // Other users connect too.
        chmod(folder, 0o755)
        let configuration = """
            <!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-BUS Bus Configuration 1.0//EN"
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
        child = try TestChild(["dbus-daemon", "--config-file=\(folder)/bus.conf", "--nofork", "--nopidfile", "--print-address=1"])
        address = "unix:path=\(folder)/socket"
        // The address is printed once the socket listens.
        var text = [UInt8](repeating: 0, count: 256)
        _ = read(child.reading, &text, text.count)
    }

    func stop() {
        child.stop()
        for name in ["/bus.conf", "/socket"] { unlink(folder + name) }
        rmdir(folder)
    }
}
