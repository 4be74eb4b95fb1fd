import Glibc
import TermspanBus

/// A child process, killed when it is no longer needed.
package struct Child: Sendable {
    package let processID: Int32

    /// Starts a program with its output going to `output`, its errors to `errors` or nowhere, and without input.
    ///
    /// Signals are unblocked for it: test threads may block them.
    package init(_ arguments: [String], output: Int32, errors: Int32? = nil, environment: [String] = []) throws {
        var actions = posix_spawn_file_actions_t()
        posix_spawn_file_actions_init(&actions)
        defer { posix_spawn_file_actions_destroy(&actions) }
        posix_spawn_file_actions_adddup2(&actions, output, 1)
        posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0)
        if let errors {
            posix_spawn_file_actions_adddup2(&actions, errors, 2)
        } else {
            posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0)
        }
        var attributes = posix_spawnattr_t()
        posix_spawnattr_init(&attributes)
        defer { posix_spawnattr_destroy(&attributes) }
        var none = sigset_t()
        sigemptyset(&none)
        posix_spawnattr_setsigmask(&attributes, &none)
        posix_spawnattr_setflags(&attributes, Int16(POSIX_SPAWN_SETSIGMASK))
        var list: [UnsafeMutablePointer<CChar>?] = arguments.map { strdup($0) } + [nil]
        defer { for item in list { free(item) } }
        // Of two values of one name, getenv(3) finds the first.
        var variables: [UnsafeMutablePointer<CChar>?] = environment.map { strdup($0) }
        let own = variables.count
        var next = environ
        while let variable = next.pointee {
            variables.append(variable)
            next += 1
        }
        variables.append(nil)
        defer { for variable in variables.prefix(own) { free(variable) } }
        var processID: pid_t = 0
        let result = posix_spawnp(&processID, arguments[0], &actions, &attributes, &list, &variables)
        if result != 0 { throw BusError(code: result, operation: "starting \(arguments[0])") }
        self.processID = processID
    }

    /// Whether it has ended, without waiting.
    package func hasEnded() -> Bool { waitpid(processID, nil, WNOHANG) != 0 }

    package func stop() {
        kill(processID, SIGTERM)
        waitpid(processID, nil, 0)
    }

    /// Waits for the end; the exit code, or 128 and the signal's number.
    package func wait() -> Int32 {
        var status: Int32 = 0
        waitpid(processID, &status, 0)
        return status & 0x7F == 0 ? status >> 8 & 0xFF : 128 + status & 0x7F
    }
}

/// A dbus-daemon of the test's own, where everybody may do everything.
package struct PrivateBus: Sendable {
    package let address: String
    private let folder: String
    private let child: Child

    package init() throws {
        var template = Array("/tmp/termspan-bus-XXXXXX".utf8CString)
        guard let made = mkdtemp(&template) else { throw BusError(code: errno, operation: "mkdtemp") }
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
        guard pipe(&ends) == 0 else { throw BusError(code: errno, operation: "pipe") }
        child = try Child(
            ["dbus-daemon", "--config-file=\(folder)/bus.conf", "--nofork", "--nopidfile", "--print-address=1"], output: ends[1])
        close(ends[1])
        address = "unix:path=\(folder)/socket"
        // The address is printed once the socket listens.
        var text = [UInt8](repeating: 0, count: 256)
        _ = read(ends[0], &text, text.count)
        close(ends[0])
    }

    /// Starts a program of this build that offers something on this bus, and waits until it says that it is ready.
    package func start(_ program: String, _ arguments: [String] = []) throws -> Child {
        var ends: [Int32] = [0, 0]
        guard pipe(&ends) == 0 else { throw BusError(code: errno, operation: "pipe") }
        let child = try Child(
            [Self.productsFolder + "/" + program] + arguments, output: ends[1], environment: ["DBUS_SYSTEM_BUS_ADDRESS=" + address])
        close(ends[1])
        defer { close(ends[0]) }
        var byte: UInt8 = 0
        guard read(ends[0], &byte, 1) == 1 else { throw BusError(code: ECHILD, operation: "starting \(program)") }
        return child
    }

    /// Where the products of this build are.
    package static var productsFolder: String {
        var path = [CChar](repeating: 0, count: 4096)
        let count = readlink("/proc/self/exe", &path, path.count)
        let text = String(decoding: path.prefix(max(0, count)).map { UInt8(bitPattern: $0) }, as: UTF8.self)
        return String(text[..<(text.lastIndex(of: "/") ?? text.endIndex)])
    }

    /// The daemon's, to be stopped and continued by signals.
    package var processID: Int32 { child.processID }

    package func stop() {
        child.stop()
        for name in ["/bus.conf", "/socket"] { unlink(folder + name) }
        rmdir(folder)
    }
}
