import Glibc
import TermspanSystem

/// `termspan-probe cookie --server PID --display N`: prints the 16 bytes of an X display's cookie.
///
/// Runs as the session's user in a unit of its own, since every path here is that user's to choose. The file is, the first
/// in which there is a cookie for the display:
///
/// 1. what the server was given with `-auth`, from its own working folder if relative,
/// 2. `XAUTHORITY` in the server's environment, then in ours,
/// 3. `.Xauthority` in the home folder,
/// 4. GDM's and LightDM's in the user's own folders of /run.
///
/// Links are followed: they lead nowhere that the user could not read anyway. Fifos and devices are not read, nor more than 64 KiB.
/// The cookie goes to standard output and nowhere else.
enum CookieCommand {
    static let fileLimit = 1 << 16

    struct Request: Equatable {
        var server: Int32
        var display: UInt16

        init?(_ arguments: [String]) {
            guard arguments.count == 5, arguments[0] == "cookie" else { return nil }
            var server: Int32?
            var display: UInt16?
            for index in [1, 3] {
                switch arguments[index] {
                case "--server": server = Int32(arguments[index + 1])
                case "--display": display = UInt16(arguments[index + 1])
                default: return nil
                }
            }
            guard let server, let display, server > 0 else { return nil }
            self.server = server
            self.display = display
        }
    }

    static func run(_ arguments: [String]) -> Int32 {
        guard let request = Request(arguments) else {
            complain("usage: termspan-probe cookie --server PID --display N")
            return 2
        }
        var reasons = ""
        for path in paths(server: request.server) {
            do {
                let file = try readFile(path, limit: fileLimit, options: .followLinks)
                if let cookie = file.withUnsafeBytes({ XAuthority.cookie(in: $0, display: request.display) }) {
                    try writeAll(cookie, to: OwnedDescriptor(STDOUT_FILENO))
                    return 0
                }
                reasons += "; \(path): no cookie for this display"
            } catch {
                reasons += "; \(error)"
            }
        }
        complain("no cookie for display :\(request.display) of process \(request.server)\(reasons)")
        return 1
    }

    /// Where the cookie may be, the best first. What of /proc can't be read is left out: a server of root, for instance.
    static func paths(server: Int32) -> [String] {
        let process = "/proc/\(server)"
        func content(_ file: String) -> [UInt8] {
            (try? readFile("\(process)/\(file)", limit: fileLimit, options: [.anyKind, .truncate])) ?? []
        }
        return paths(process: process, arguments: content("cmdline"), environment: content("environ"), uid: getuid(), own: own)
    }

    /// The same from what the server's `cmdline` and `environ` hold, and the variables of our own environment.
    static func paths(
        process: String, arguments: [UInt8], environment: [UInt8], uid: UInt32, own: (_ variable: String) -> String?
    ) -> [String] {
        let arguments = strings(arguments)
        var paths: [String] = []
        func add(_ path: String?) {
            guard let path, !path.isEmpty else { return }
            let whole = path.utf8.first == UInt8(ascii: "/") ? path : "\(process)/cwd/\(path)"
            if !paths.contains(whole) { paths.append(whole) }
        }

        if let option = arguments.lastIndex(of: "-auth"), option + 1 < arguments.count { add(arguments[option + 1]) }
        add(variable("XAUTHORITY", in: strings(environment)))
        add(own("XAUTHORITY"))
        if let home = own("HOME") { add("\(home)/.Xauthority") }
        add("/run/user/\(uid)/gdm/Xauthority")
        if let user = own("USER") ?? own("LOGNAME"), !user.utf8.contains(UInt8(ascii: "/")) { add("/run/lightdm/\(user)/xauthority") }
        return paths
    }

    /// The strings of a file of /proc in which each ends with a zero byte.
    private static func strings(_ bytes: [UInt8]) -> [String] {
        bytes.split(separator: 0, omittingEmptySubsequences: false).map { String(decoding: $0, as: UTF8.self) }
    }

    private static func variable(_ name: String, in environment: [String]) -> String? {
        environment.first { $0.hasPrefix("\(name)=") }.map { String($0.dropFirst(name.utf8.count + 1)) }
    }

    private static func own(_ name: String) -> String? {
        getenv(name).map { String(cString: $0) }
    }

    /// One line on standard error, which is the journal: paths in it are the user's, so nothing but printable text, and not much of it.
    private static func complain(_ text: String) {
        let line = text.utf8.prefix(1000).map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: "?") : $0 }
        try? writeAll(line + [UInt8(ascii: "\n")], to: OwnedDescriptor(STDERR_FILENO))
    }
}
