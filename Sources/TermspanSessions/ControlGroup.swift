import TermspanSystem

/// A place in the unified hierarchy of control groups, as systemd divides it: cgroups(7), systemd.slice(5).
package enum ControlGroup {
    /// The unit that a process belongs to: what comes first below the slices, as systemd itself reads a path.
    ///
    /// What comes after that may be the user's own: below `user@1000.service` a user makes groups of any name.
    ///
    /// - Parameter path: below the service manager's root, `/user.slice/user-1000.slice/session-c3.scope`.
    package static func unit(of path: String) -> Substring? {
        path.split(separator: "/").first { !$0.hasSuffix(".slice") }
    }

    /// Where the service manager's own tree begins: the empty path, but in a container that sees the groups of its host.
    static let root: String = {
        guard let text = try? readFile("/proc/1/cgroup", limit: 16384), let path = path(in: text), path.hasSuffix("/init.scope") else {
            return ""
        }
        return String(path.dropLast("/init.scope".count))
    }()

    /// The path of the unified hierarchy in what /proc/PID/cgroup holds.
    static func path(in text: [UInt8]) -> String? {
        let lines = String(decoding: text, as: UTF8.self).split(separator: "\n")
        return lines.first { $0.hasPrefix("0::") }.map { String($0.dropFirst(3)) }
    }

    /// A path as it is below the service manager's root.
    static func below(root: String, _ path: String) -> String {
        path.hasPrefix(root + "/") ? String(path.dropFirst(root.count)) : path
    }
}
