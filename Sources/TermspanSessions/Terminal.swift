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
        guard name.hasPrefix("pts/"), UInt16(canonical: name.dropFirst(4)) != nil else { return nil }
        var status = stat()
        guard lstat("\(devices)/\(name)", &status) == 0, status.st_mode & S_IFMT == S_IFCHR, status.st_uid == uid else { return nil }
        let (seconds, overflow) = Int64(status.st_atim.tv_sec).multipliedReportingOverflow(by: 1_000_000_000)
        guard !overflow else { return nil }
        return min(now, WallInstant(nanoseconds: seconds).advanced(by: .nanoseconds(status.st_atim.tv_nsec)))
    }
}
