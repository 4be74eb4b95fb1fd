import Foundation
import Glibc
import Synchronization
import TermspanSystem

/// A program that a test started; killed when the test is over.
final class Program: Sendable {
    private let handle: ProcessHandle

    init(_ path: String, _ arguments: [String], environment: [String], descriptors: [Int32] = [-1, -1, -1]) throws {
        handle = try ProcessHandle.spawn(path, arguments, environment: environment, descriptors: descriptors)
    }

    deinit {
        try? handle.signal(SIGKILL)
        _ = try? handle.reap()
    }

    var pid: Int32 { handle.pid }

    func signal(_ number: Int32) throws { try handle.signal(number) }

    /// How it ended; nil if it still runs after the time.
    func wait(_ limit: Duration) throws -> TermspanSystem.ExitStatus? {
        guard try poll(handle.descriptor, for: .readable, timeout: limit) else { return nil }
        return try handle.reap()
    }

    /// Where a program is; nil if it is not installed.
    static func find(_ name: String) -> String? {
        ["/usr/bin/\(name)", "/usr/local/bin/\(name)", "/bin/\(name)"].first { access($0, X_OK) == 0 }
    }
}

/// An X server of a test's own, with the programs in it.
final class TestDisplay {
    enum Kind: String {
        case xvfb = "Xvfb"
        case tigerVNC = "Xtigervnc"
        case nxagent
    }

    let number: UInt16
    let cookie: [UInt8] = (0..<16).map { _ in UInt8.random(in: 0...255) }
    let folder: String
    let server: Program
    /// For nxagent, which draws on another display.
    private let outer: TestDisplay?
    private var programs: [Program] = []

    /// Displays from 200 on; each test process begins somewhere else.
    private static let next = Atomic<Int>(200 + Int(getpid()) % 300 * 20)

    var rfbSocket: String { "\(folder)/rfb" }
    var socketPath: String { "/tmp/.X11-unix/X\(number)" }

    init(_ kind: Kind = .xvfb) throws {
        var template = Array("/tmp/termspan-x11-XXXXXX".utf8CString)
        guard mkdtemp(&template) != nil else { throw SystemError(code: errno, operation: "mkdtemp") }
        folder = String(decoding: template.dropLast().map { UInt8(bitPattern: $0) }, as: UTF8.self)
        guard let path = Program.find(kind.rawValue) else { throw SystemError(code: ENOENT, operation: "find", subject: kind.rawValue) }
        outer = kind == .nxagent ? try TestDisplay(.xvfb) : nil

        var candidate: UInt16
        repeat {
            candidate = UInt16(Self.next.wrappingAdd(1, ordering: .relaxed).newValue)
        } while access("/tmp/.X11-unix/X\(candidate)", F_OK) == 0 || access("/tmp/.X\(candidate)-lock", F_OK) == 0
        number = candidate
        let authority = "\(folder)/authority"
        // Xlib goes by the host's name, the probe must not.
        var entries: [UInt8] = []
        for host in ["an-older-name", Self.hostName] {
            entries += XAuthorityTests.entry(address: host, number: String(candidate), data: cookie)
            // nxagent reads the same file as a client of the other display.
            if let outer { entries += XAuthorityTests.entry(address: host, number: String(outer.number), data: outer.cookie) }
        }
        try Self.write(entries, to: authority)

        var arguments = [":\(number)", "-auth", authority, "-nolisten", "tcp"]
        var environment = ["PATH=/usr/bin:/bin", "HOME=\(folder)", "SWIFT_BACKTRACE=enable=no"]
        switch kind {
        case .xvfb: arguments += ["-screen", "0", "800x600x24", "-noreset"]
        case .tigerVNC: arguments += ["-rfbport", "-1", "-rfbunixpath", "\(folder)/rfb", "-SecurityTypes", "None", "-geometry", "800x600"]
        case .nxagent:
            guard let outer else { preconditionFailure() }
            arguments = ["-D", "-display", ":\(outer.number)", "-auth", authority, "-geometry", "640x480", ":\(number)"]
            environment += ["DISPLAY=:\(outer.number)", "XAUTHORITY=\(authority)"]
        }
        server = try Program(path, arguments, environment: environment)
        // The server is ready once it speaks; its socket is there before.
        for _ in 0..<400 {
            if (try? TestClient(self)) != nil { return }
            sleep(for: .milliseconds(25))
        }
        throw SystemError(code: ETIMEDOUT, operation: "start", subject: kind.rawValue)
    }

    deinit {
        for program in programs.reversed() { try? program.signal(SIGKILL) }
        programs = []
        try? server.signal(SIGKILL)
        _ = try? server.wait(.seconds(5))
        try? FileManager.default.removeItem(atPath: folder)
        unlink(socketPath)
        unlink("/tmp/.X\(number)-lock")
    }

    var environment: [String] {
        ["DISPLAY=:\(number)", "XAUTHORITY=\(folder)/authority", "PATH=/usr/bin:/bin", "HOME=\(folder)"]
    }

    func connect() throws -> OwnedDescriptor {
        try connectUnix(path: socketPath, timeout: .seconds(5)).takeDescriptor()
    }

    /// Starts a program, which lives as long as the display.
    @discardableResult
    func start(_ name: String, _ arguments: String...) throws -> Program {
        guard let path = Program.find(name) else { throw SystemError(code: ENOENT, operation: "find", subject: name) }
        let program = try Program(path, arguments, environment: environment)
        programs.append(program)
        return program
    }

    /// Starts a window manager and waits until it is there.
    func startManager() throws {
        let client = try TestClient(self)
        try start("openbox", "--sm-disable")
        for _ in 0..<400 {
            if client.hasManager { return }
            sleep(for: .milliseconds(25))
        }
        throw SystemError(code: ETIMEDOUT, operation: "start", subject: "openbox")
    }

    /// Runs a program to its end.
    func run(_ name: String, _ arguments: String...) throws {
        guard let path = Program.find(name) else { throw SystemError(code: ENOENT, operation: "find", subject: name) }
        let ended = try Program(path, arguments, environment: environment).wait(.seconds(20))
        guard ended == .exited(0) else { throw SystemError(code: EIO, operation: "run", subject: "\(name) \(arguments): \(ended as Any)") }
    }

    private static var hostName: String {
        var name = [CChar](repeating: 0, count: 256)
        gethostname(&name, 255)
        return String(decoding: name.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    }

    private static func write(_ bytes: [UInt8], to path: String) throws {
        try writeAll(bytes, to: openFile(path, flags: O_WRONLY | O_CREAT | O_TRUNC, mode: 0o600))
    }
}
