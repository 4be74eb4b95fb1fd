import Glibc
package import TermspanSystem

/// What the kernel says of a process: proc(5). A user names its processes, so nothing here is taken from names or arguments.
package struct ProcessFacts: Equatable, Sendable {
    /// The effective user.
    package var uid: UInt32
    /// The effective group.
    package var gid: UInt32
    /// The process that started it, or that adopted it.
    package var parent: UInt32
    /// Clock ticks since boot; with the pid it identifies the process within a boot.
    package var startTime: UInt64
    /// The path in the unified hierarchy, below the service manager's root: `/user.slice/user-1000.slice/session-c3.scope`.
    package var controlGroup: String

    /// Reads them; nil if there is no such process.
    ///
    /// - Throws: a shortage, for lack of which nothing is known of the process.
    package init?(pid: UInt32) throws(SystemError) {
        guard let status = try Self.read("/proc/\(pid)/stat", limit: 4096), let groups = try Self.read("/proc/\(pid)/cgroup", limit: 16384),
            let owner = Self.owner(pid: pid)
        else { return nil }
        self.init(status: status, groups: groups, uid: owner.st_uid, gid: owner.st_gid)
    }

    /// Takes what the files `stat` and `cgroup` hold.
    init?(status: [UInt8], groups: [UInt8], uid: UInt32, gid: UInt32) {
        let fields = Self.fields(ofStatus: status)
        guard fields.count > 19, let start = UInt64(fields[19]), let parent = UInt32(fields[1]) else { return nil }
        self.uid = uid
        self.gid = gid
        self.parent = parent
        startTime = start
        guard let path = ControlGroup.path(in: groups) else { return nil }
        controlGroup = ControlGroup.below(root: ControlGroup.root, path)
    }

    /// What the file `stat` holds from its field 3 on; empty if it is none. The name, field 2, is in parentheses and may hold any byte.
    static func fields(ofStatus status: [UInt8]) -> [String] {
        guard let nameEnd = status.lastIndex(of: UInt8(ascii: ")")) else { return [] }
        return status[(nameEnd + 1)...].split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
    }

    /// Signals a process as its user, whom alone the kernel lets signal it; false if it is not the one that is meant.
    static func signal(
        _ number: Int32, to pid: UInt32, if isMeant: (ProcessFacts) throws(SystemError) -> Bool
    ) throws(SystemError) -> Bool {
        guard let raw = Int32(exactly: pid) else { return false }
        let handle = try ProcessHandle(pid: raw)
        // Who it is now that it can't become another.
        guard let process = try ProcessFacts(pid: pid), try isMeant(process) else { return false }
        try actingAs(uid: process.uid, gid: process.gid) { () throws(SystemError) in try handle.signal(number) }
        return true
    }

    /// The name of the program's file, `nxagent`; nil if it can't be known. Its user's to read, or root's.
    static func program(of pid: UInt32) -> String? {
        guard let link = try? readLink("/proc/\(pid)/exe") else { return nil }
        return link.split(separator: UInt8(ascii: "/")).last.map { String(decoding: $0, as: UTF8.self) }
    }

    private static func read(_ path: String, limit: Int) throws(SystemError) -> [UInt8]? {
        do throws(SystemError) {
            return try readFile(path, limit: limit)
        } catch {
            if error.isShortage { throw error }
            return nil
        }
    }

    private static func owner(pid: UInt32) -> stat? {
        var info = stat()
        guard stat("/proc/\(pid)", &info) == 0 else { return nil }
        return info
    }
}
