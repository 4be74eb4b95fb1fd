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

    /// The terminal of a login over ssh, by the kernel: `pts/3`.
    ///
    /// For servers that write no utmp(5), from which logind has it elsewhere. It is the terminal of the one process that has a session of
    /// its own on one, among the children of the login's first process and of those of its children that have none: sshd's own. A user can
    /// add to sshd's children (clone(2), CLONE_PARENT), and so mislead about this one login.
    ///
    /// - Parameters:
    ///   - leader: the process that registered the login.
    ///   - uid: whose terminal it has to be.
    /// - Returns: nil where there is none, not yet, or more than one, as over a connection that several terminals share.
    static func name(ofLogin leader: UInt32, uid: UInt32) -> String? {
        guard leader != 0 else { return nil }
        var looks = maximumLooks
        var found: Set<String> = []
        func look(below parent: UInt32, depth: Int) {
            let children = (try? readFile("/proc/\(parent)/task/\(parent)/children", limit: 4096, options: .truncate)) ?? []
            for child in children.split(separator: UInt8(ascii: " ")).compactMap({ UInt32(String(decoding: $0, as: UTF8.self)) }) {
                guard looks > 0 else { return }
                looks -= 1
                guard let status = try? readFile("/proc/\(child)/stat", limit: 4096) else { continue }
                switch session(of: child, status: status) {
                case .own(let number?): found.insert("pts/\(number)")
                case .own(nil): break
                case .anothers: if depth > 1 { look(below: child, depth: depth - 1) }
                case nil: break
                }
            }
        }
        look(below: leader, depth: 2)
        guard looks > 0, found.count == 1, let name = found.first, device(name, uid: uid) != nil else { return nil }
        return name
    }

    /// In which session of setsid(2) a process is.
    enum ProcessSession: Equatable {
        /// One that it began, and the number of its pseudoterminal.
        case own(UInt32?)
        case anothers
    }

    /// Takes what proc(5)'s file `stat` holds: fields 6 and 7.
    static func session(of process: UInt32, status: [UInt8]) -> ProcessSession? {
        let fields = ProcessFacts.fields(ofStatus: status)
        guard fields.count > 4, let session = UInt32(fields[3]), let value = Int32(fields[4]).map(UInt32.init(bitPattern:)) else {
            return nil
        }
        guard session == process else { return .anothers }
        // The kernel's own form of a device: 12 bits of its major number between 8 and 12 of its minor one.
        return .own((value >> 8) & 0xFFF == slaves ? (value >> 20) << 8 | value & 0xFF : nil)
    }

    /// The major number of pseudoterminals.
    private static let slaves: UInt32 = 136
    /// Processes of one login that are looked at; sshd has ten sessions over a connection, unless it is told otherwise.
    private static let maximumLooks = 16

    /// Whether a terminal's device is there and the user's.
    static func isDevice(_ name: String, of uid: UInt32, devices: String = "/dev") -> Bool {
        device(name, uid: uid, devices: devices) != nil
    }

    /// The terminal's device; nil if it is somebody else's by now.
    private static func device(_ name: String, uid: UInt32, devices: String = "/dev") -> stat? {
        guard name.hasPrefix("pts/"), UInt16(canonical: name.dropFirst(4)) != nil else { return nil }
        var status = stat()
        guard lstat("\(devices)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFCHR, status.st_uid == uid else { return nil }
        return status
    }
}
