import CTermspanLinux
import Glibc

/// A file descriptor that is closed when its owner goes away.
///
/// Every descriptor that this module makes is close-on-exec.
package struct OwnedDescriptor: ~Copyable, Sendable {
    /// The number, for calls that borrow it.
    package let raw: Int32

    /// Takes the ownership of a descriptor.
    package init(_ raw: Int32) {
        self.raw = raw
    }

    deinit {
        // An error of close(2) leaves nothing to do: on Linux the number is free in any case.
        if raw >= 0 { _ = close(raw) }
    }

    /// Gives the ownership up: whoever takes the number closes it.
    package consuming func release() -> Int32 {
        let raw = raw
        discard self
        return raw
    }

    /// Another descriptor for the same open file (fcntl(2), F_DUPFD_CLOEXEC).
    package borrowing func duplicate() throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(try check(termspan_duplicate(raw), "dup"))
    }

    /// Another open file for what the descriptor stands for, with other access, through /proc/self/fd.
    ///
    /// - Parameter flags: Of open(2); close-on-exec is added.
    package borrowing func reopened(flags: Int32) throws(SystemError) -> OwnedDescriptor {
        OwnedDescriptor(try check(termspan_reopen(raw, flags), "open", "/proc/self/fd/\(raw)"))
    }

    /// Sets or clears O_NONBLOCK, which all descriptors of the same open file share.
    package borrowing func setNonblocking(_ nonblocking: Bool) throws(SystemError) {
        try check(termspan_set_nonblocking(raw, nonblocking ? 1 : 0), "fcntl")
    }

    /// What kind of file it is, whose, and how long (fstat(2)).
    package borrowing func status() throws(SystemError) -> FileStatus {
        var status = termspan_status()
        unsafe try check(termspan_status(raw, &status), "fstat")
        return FileStatus(status)
    }
}

/// Some of what stat(2) tells.
package struct FileStatus: Hashable, Sendable {
    package var device: UInt64
    package var inode: UInt64
    /// Bytes.
    package var size: Int64
    /// Type and permissions, as in inode(7).
    package var mode: UInt32
    package var uid: UInt32
    package var gid: UInt32
    /// The number of hard links; 0 once the name is gone.
    package var links: UInt32

    init(_ status: termspan_status) {
        device = status.device
        inode = status.inode
        size = status.size
        mode = status.mode
        uid = status.uid
        gid = status.gid
        links = status.links
    }

    package var isRegular: Bool { mode & S_IFMT == S_IFREG }
    package var isSocket: Bool { mode & S_IFMT == S_IFSOCK }
    package var isFolder: Bool { mode & S_IFMT == S_IFDIR }
    package var isSymbolicLink: Bool { mode & S_IFMT == S_IFLNK }
    /// The permissions without the type.
    package var permissions: UInt32 { mode & 0o7777 }

    /// The status of a path, of the link itself if it is one (lstat(2)).
    ///
    /// - Parameter folder: What a relative path is relative to.
    package init(of path: String, in folder: Int32 = AT_FDCWD) throws(SystemError) {
        var status = termspan_status()
        unsafe try check(termspan_status_at(folder, path, &status), "stat", path)
        self.init(status)
    }
}
