import Glibc

/// A process of a session, as far as the caller may see it.
package struct ProcessRow: Hashable, Sendable {
    package var user: String
    package var sessionName: String
    package var session: UInt32
    package var processID: UInt32
    /// The process's own name for itself (proc_pid_comm(5)), at most 15 bytes: anybody may choose any.
    package var image: String
    /// It is in the session in which the command runs.
    package var isOwn: Bool

    package static let keys = ["user", "session_name", "session", "pid", "image", "own"]

    package var json: JSONValue {
        .object([
            .init("user", .string(user)), .init("session_name", sessionName.isEmpty ? .null : .string(sessionName)),
            .init("session", .unsigned(UInt64(session))), .init("pid", .unsigned(UInt64(processID))), .init("image", .string(image)),
            .init("own", .bool(isOwn)),
        ])
    }
}

/// Reads which processes are in a session's scope (cgroups(7)). Processes that the user's manager started are in none.
enum SessionProcesses {
    static func rows(of session: SessionRow, root: String = "/sys/fs/cgroup", proc: String = "/proc") -> [ProcessRow] {
        var rows: [ProcessRow] = []
        for scope in scopes(of: session, root: root) {
            for number in processes(in: scope, depth: 0) {
                let image = Files.text("\(proc)/\(number)/comm", limit: 64) ?? ""
                rows.append(
                    ProcessRow(
                        user: session.user, sessionName: session.shownName, session: session.id, processID: number,
                        image: image.last == "\n" ? String(image.dropLast()) : image, isOwn: session.isOwn))
            }
        }
        return rows.sorted { $0.processID < $1.processID }
    }

    /// The folders of the session's scopes.
    static func scopes(of session: SessionRow, root: String) -> [String] {
        guard let userID = session.userID else { return [] }
        var scopes = session.logindSessions.map { "session-\($0).scope" }
        if !session.scope.isEmpty, !scopes.contains(session.scope) { scopes.append(session.scope) }
        return scopes.filter(isUnitName).map { "\(root)/user.slice/user-\(userID).slice/\($0)" }
    }

    private static func isUnitName(_ name: String) -> Bool {
        name.hasSuffix(".scope") && !name.utf8.contains(UInt8(ascii: "/")) && !name.hasPrefix(".")
    }

    static func processes(in folder: String, depth: Int) -> [UInt32] {
        let text = Files.text(folder + "/cgroup.procs", limit: 1 << 20) ?? ""
        var numbers = text.split(separator: "\n").compactMap { UInt32($0) }
        guard depth < 8 else { return numbers }
        for name in Files.folders(in: folder) { numbers += processes(in: folder + "/" + name, depth: depth + 1) }
        return numbers
    }
}
