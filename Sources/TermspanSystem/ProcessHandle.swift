import CTermspanLinux
import Glibc

/// A process that can't be confused with a later one of the same number (pidfd_open(2)).
package struct ProcessHandle: ~Copyable, Sendable {
    package let pid: Int32
    /// Readable once the process has ended; for an event loop.
    package let descriptor: OwnedDescriptor

    /// Opens a process. ESRCH: there is none with this number, or it is a thread's.
    ///
    /// Between whatever named the number and this call the number can have been given to another process: check who it is afterwards.
    package init(pid: Int32) throws(SystemError) {
        self.pid = pid
        descriptor = OwnedDescriptor(try check(termspan_pidfd_open(pid), "pidfd_open", String(pid)))
    }

    /// Takes a pidfd that exists, from the descriptor store for instance.
    package init(pid: Int32, descriptor: consuming OwnedDescriptor) {
        self.pid = pid
        self.descriptor = descriptor
    }

    /// Gives the descriptor up.
    package consuming func takeDescriptor() -> OwnedDescriptor {
        descriptor
    }

    /// Sends a signal (pidfd_send_signal(2)). ESRCH: it has ended and was waited for.
    package borrowing func signal(_ number: Int32) throws(SystemError) {
        try check(termspan_pidfd_send_signal(descriptor.raw, number), "pidfd_send_signal", String(pid))
    }

    /// Whether the process has ended, whoever's child it is.
    package borrowing func hasEnded() throws(SystemError) -> Bool {
        try poll(descriptor, for: .readable, timeout: .zero)
    }

    /// Waits for a child of ours and lets the kernel forget it (waitid(2), P_PIDFD).
    ///
    /// - Parameter block: Whether to wait until it has ended.
    /// - Returns: How it ended; `nil` if it still runs.
    package borrowing func reap(block: Bool = true) throws(SystemError) -> ExitStatus? {
        var code: Int32 = 0
        var status: Int32 = 0
        let ended = unsafe try check(termspan_pidfd_wait(descriptor.raw, block ? 1 : 0, &code, &status), "waitid", String(pid))
        guard ended == 1 else { return nil }
        return code == 1 ? .exited(status) : .signalled(status)
    }

    /// Starts a program as our child (posix_spawn(3)), with default signals and an empty signal mask.
    ///
    /// - Parameters:
    ///   - path: The program; no search.
    ///   - arguments: Without the name of the program, which is the path.
    ///   - environment: `NAME=value`.
    ///   - descriptors: The child's descriptors from 0 on, at most 8; -1 stands for /dev/null. It gets no others.
    package static func spawn(
        _ path: String, _ arguments: [String] = [], environment: [String] = [], descriptors: [Int32] = [-1, 1, 2]
    ) throws(SystemError) -> ProcessHandle {
        var vector: [UnsafeMutablePointer<CChar>?] = unsafe ([path] + arguments).map { unsafe strdup($0) }
        unsafe vector.append(nil)
        var variables: [UnsafeMutablePointer<CChar>?] = unsafe environment.map { unsafe strdup($0) }
        unsafe variables.append(nil)
        defer {
            unsafe vector.forEach { unsafe free($0) }
            unsafe variables.forEach { unsafe free($0) }
        }
        var pid: pid_t = 0
        let result = unsafe termspan_spawn(path, &vector, &variables, descriptors, Int32(clamping: descriptors.count), &pid)
        try check(result, "posix_spawn", path)
        // Ours to wait for, so the number can't have been given to another one.
        return try ProcessHandle(pid: pid)
    }
}

/// How a process ended.
package enum ExitStatus: Hashable, Sendable {
    /// By itself, with this code.
    case exited(Int32)
    /// By this signal.
    case signalled(Int32)
}
