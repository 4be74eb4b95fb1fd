import Glibc
package import TermspanCore
import TermspanSystem

/// A user's terminal, for sessions that no probe watches.
package enum Terminal {
    /// When it was last typed at, as w(1) tells it: the last access to its device, which the kernel keeps to 8 seconds.
    ///
    /// Its user can set that time, and so mislead about this one session.
    ///
    /// - Parameters:
    ///   - name: `pts/3`, as logind and utmp(5) have it.
    ///   - uid: the session's user; a device of anybody else is another terminal by now.
    /// - Returns: nil where it is not known; never later than `now`.
    package static func lastInput(_ name: String, uid: UInt32, now: WallInstant = .now(), devices: String = "/dev") -> WallInstant? {
        guard let status = device(name, uid: uid, devices: devices) else { return nil }
        let (seconds, overflow) = Int64(status.st_atim.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return nil }
        return min(now, WallInstant(nanoseconds: seconds).advanced(by: .nanoseconds(status.st_atim.tv_nsec)))
    }

    /// The terminal of a login over ssh, by the kernel: that of the first process below it that has one of its own, `pts/3`.
    ///
    /// For servers that write no utmp(5), from which logind has it elsewhere. sshd's processes are the login's first process and, but for
    /// root's, a child of its; the shell or command is the child of the last of them. What the user starts below that is not looked at,
    /// and so can't lead astray; nor can it make the look long.
    ///
    /// - Parameters:
    ///   - leader: the process that registered the login.
    ///   - uid: whose terminal it has to be.
    /// - Returns: nil where there is none, or not yet.
    static func name(ofLogin leader: UInt32, uid: UInt32, processes: String = "/proc") -> String? {
        var looks = maximumLooks
        func children(of parent: UInt32) -> [UInt32] {
            let text = (try? readFile("\(processes)/\(parent)/task/\(parent)/children", limit: 4096, options: .truncate)) ?? []
            return text.split(separator: UInt8(ascii: " ")).compactMap { UInt32(String(decoding: $0, as: UTF8.self)) }
        }
        func name(below parent: UInt32, depth: Int) -> String? {
            for child in children(of: parent) {
                guard looks > 0 else { return nil }
                looks -= 1
                let status = try? readFile("\(processes)/\(child)/stat", limit: 4096)
                if let number = status.flatMap({ terminal(of: child, status: $0) }) { return "pts/\(number)" }
                if depth > 1, let found = name(below: child, depth: depth - 1) { return found }
            }
            return nil
        }
        guard leader != 0, let name = name(below: leader, depth: 2), device(name, uid: uid) != nil else { return nil }
        return name
    }

    /// The number of the pseudoterminal that a process begins a session of its own on (proc(5), stat's fields 6 and 7).
    static func terminal(of process: UInt32, status: [UInt8]) -> UInt32? {
        guard let nameEnd = status.lastIndex(of: UInt8(ascii: ")")) else { return nil }
        let fields = status[(nameEnd + 1)...].split(separator: UInt8(ascii: " ")).map { String(decoding: $0, as: UTF8.self) }
        // The kernel's own form of a device: 12 bits of its major number between 8 and 12 of its minor one.
        guard fields.count > 4, UInt32(fields[3]) == process, let value = Int32(fields[4]).map(UInt32.init(bitPattern:)),
            (value >> 8) & 0xFFF == slaves
        else { return nil }
        return (value >> 20) << 8 | value & 0xFF
    }

    /// The major number of pseudoterminals.
    private static let slaves: UInt32 = 136
    /// Processes of one login that are looked at.
    private static let maximumLooks = 32

    /// The terminal's device; nil if it is somebody else's by now.
    private static func device(_ name: String, uid: UInt32, devices: String = "/dev") -> stat? {
        guard name.hasPrefix("pts/"), UInt16(canonical: name.dropFirst(4)) != nil else { return nil }
        var status = stat()
        guard lstat("\(devices)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFCHR, status.st_uid == uid else { return nil }
        return status
    }
}
