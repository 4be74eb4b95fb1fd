import CSystemd
import Glibc

/// Talks to the service manager that started this process: sd_notify(3), sd_listen_fds_with_names(3). Nothing happens without one.
package enum ServiceManager {
    /// Start-up is over.
    package static func ready(status: String? = nil) {
        notify("READY=1" + (status.map { "\nSTATUS=" + oneLine($0) } ?? ""))
    }

    /// One line that `systemctl status` shows.
    package static func status(_ text: String) {
        notify("STATUS=" + oneLine(text))
    }

    /// The service reads its configuration anew; `ready` ends that.
    package static func reloading() {
        notify("RELOADING=1")
    }

    package static func stopping() {
        notify("STOPPING=1")
    }

    /// Says that the service lives; `EventLoop.enableWatchdog` does so by itself.
    package static func watchdog() {
        notify("WATCHDOG=1")
    }

    /// Asks for `duration` more before start-up or the end counts as failed.
    package static func extendTimeout(microseconds: UInt64) {
        notify("EXTEND_TIMEOUT_USEC=\(microseconds)")
    }

    /// Gives duplicates of the descriptors to the manager, who hands them to the next start of this service (FDSTORE=1).
    ///
    /// - Parameters:
    ///   - name: up to 255 ASCII characters without control characters and ':'; several may share one.
    ///   - poll: whether the manager drops a descriptor whose other end hung up; wrong for memory, right for sockets.
    package static func storeDescriptors(_ descriptors: [Int32], name: String, poll: Bool) throws(BusError) {
        guard isName(name) else { throw .invalidArguments("'\(name)' is no name for descriptors.") }
        let state = "FDSTORE=1\nFDNAME=" + name + (poll ? "" : "\nFDPOLL=0")
        try check(
            sd_pid_notify_with_fds(0, 0, state, descriptors, UInt32(descriptors.count)), "storing descriptors with the service manager")
    }

    /// Has the manager close all stored descriptors of that name.
    package static func removeStored(name: String) throws(BusError) {
        guard isName(name) else { throw .invalidArguments("'\(name)' is no name for descriptors.") }
        try check(sd_notify(0, "FDSTOREREMOVE=1\nFDNAME=" + name), "removing descriptors from the service manager")
    }

    /// Waits until the manager has taken everything sent so far, descriptors above all.
    package static func barrier(timeoutMicroseconds: UInt64 = 5_000_000) throws(BusError) {
        try check(sd_notify_barrier(0, timeoutMicroseconds), "waiting for the service manager")
    }

    /// The descriptors that the manager handed over, with their names; the caller owns them. A second call gets none.
    package static func takeDescriptors() -> [(name: String, descriptor: Int32)] {
        var names: UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
        let count = sd_listen_fds_with_names(1, &names)
        guard count > 0 else { return [] }
        var result: [(name: String, descriptor: Int32)] = []
        for index in 0..<Int(count) {
            let name = names?[index]
            // SD_LISTEN_FDS_START, a macro, is 3.
            result.append((name.map { String(cString: $0) } ?? "", 3 + Int32(index)))
            free(name)
        }
        free(names)
        return result
    }

    /// Whether a manager listens.
    package static var isPresent: Bool { getenv("NOTIFY_SOCKET") != nil }

    private static func notify(_ state: String) {
        sd_notify(0, state)
    }

    /// A line break would begin another assignment.
    private static func oneLine(_ text: String) -> String {
        String(decoding: text.utf8.map { $0 < 0x20 || $0 == 0x7F ? UInt8(ascii: " ") : $0 }, as: UTF8.self)
    }

    private static func isName(_ name: String) -> Bool {
        (1...255).contains(name.utf8.count) && name.utf8.allSatisfy { $0 > 0x20 && $0 < 0x7F && $0 != UInt8(ascii: ":") }
    }
}
