import CTermspanLinux
import Glibc

/// How a file is read.
package struct ReadOptions: OptionSet, Hashable, Sendable {
    package let rawValue: UInt8

    package init(rawValue: UInt8) {
        self.rawValue = rawValue
    }

    /// Follow a symbolic link at the end of the path (else ELOOP).
    package static let followLinks = ReadOptions(rawValue: 1 << 0)
    /// Take other things than regular files as well (else EINVAL), though never wait for data.
    package static let anyKind = ReadOptions(rawValue: 1 << 1)
    /// Return the beginning of a file that is longer than the limit (else EFBIG).
    package static let truncate = ReadOptions(rawValue: 1 << 2)
}

/// Reads a whole file of limited length, without ever waiting for a fifo or a terminal.
///
/// - Parameters:
///   - folder: A descriptor that a relative path starts from.
///   - limit: The most bytes to return.
package func readFile(
    _ path: String, in folder: Int32 = AT_FDCWD, limit: Int, options: ReadOptions = []
) throws(SystemError) -> [UInt8] {
    let flags = O_RDONLY | O_NONBLOCK | O_NOCTTY | (options.contains(.followLinks) ? 0 : O_NOFOLLOW)
    let file = unsafe OwnedDescriptor(try check(termspan_open(folder, path, flags, 0), "open", path))
    let status = try file.status()
    guard options.contains(.anyKind) || status.isRegular else { throw SystemError(code: EINVAL, operation: "open", subject: path) }
    return try readAll(file, limit: limit, options: options, subject: path)
}

/// Reads a descriptor to its end.
///
/// - Parameter limit: The most bytes to return; EFBIG if there are more, unless `truncate` is among the options.
package func readAll(
    _ file: borrowing OwnedDescriptor, limit: Int, options: ReadOptions = [], subject: String? = nil
) throws(SystemError) -> [UInt8] {
    precondition(limit >= 0)
    var bytes: [UInt8] = []
    // The size that a file claims is no guide: 0 in /proc, and hostile elsewhere.
    var chunk = 4096
    while bytes.count <= limit {
        let wanted = min(chunk, limit - bytes.count + 1)
        var received = 0
        let part = unsafe [UInt8](unsafeUninitializedCapacity: wanted) { buffer, initialized in
            guard let base = buffer.baseAddress else { return }
            received = unsafe termspan_read(file.raw, base, wanted)
            initialized = max(received, 0)
        }
        try check(received, "read", subject)
        if received == 0 { return bytes }
        bytes += part
        chunk = min(chunk * 2, 1 << 16)
    }
    guard options.contains(.truncate) else { throw SystemError(code: EFBIG, operation: "read", subject: subject) }
    bytes.removeLast(bytes.count - limit)
    return bytes
}

/// Opens a file or folder; close-on-exec.
package func openFile(
    _ path: String, in folder: Int32 = AT_FDCWD, flags: Int32, mode: UInt32 = 0
) throws(SystemError) -> OwnedDescriptor {
    unsafe OwnedDescriptor(try check(termspan_open(folder, path, flags, mode), "open", path))
}

/// Opens a file for writing that goes with its last descriptor unless linkat(2) gives it a name (open(2), O_TMPFILE).
///
/// - Throws: EOPNOTSUPP or another error where the folder's file system has no such files.
package func openUnnamedFile(in folder: String, mode: UInt32) throws(SystemError) -> OwnedDescriptor {
    unsafe OwnedDescriptor(try check(termspan_open_unnamed(folder, mode), "open", folder))
}

/// Opens a folder that somebody hostile may own, as a name for what is there (O_PATH), so that it stays that one whatever is done to its path.
///
/// - Parameter parent: The folder that it is in, which must be root's.
/// - Throws: EXDEV: something is mounted over it, which could make any access wait; ENOTDIR: it is no folder, a link to one included.
package func openOwnFolder(_ name: String, in parent: String) throws(SystemError) -> OwnedDescriptor {
    unsafe OwnedDescriptor(try check(termspan_open_own_folder(parent, name), "open", "\(parent)/\(name)"))
}

/// Opens the folder at a path as a name for what is there (O_PATH), through no link but of root or of who runs this: whoever may write to a folder
/// on the way could else lead us where they may not write themselves.
///
/// - Throws: ELOOP: there is such a link on the way; ENOTDIR: it is no folder.
package func openFolderByOwnLinks(_ path: String) throws(SystemError) -> OwnedDescriptor {
    func named(_ name: String, in folder: Int32) throws(SystemError) -> OwnedDescriptor {
        unsafe OwnedDescriptor(try check(termspan_open_path(folder, name), "open", name))
    }
    func start(of path: String) throws(SystemError) -> OwnedDescriptor {
        try named(path.utf8.first == UInt8(ascii: "/") ? "/" : ".", in: AT_FDCWD)
    }
    func steps(of path: String) -> [String] { path.split(separator: "/").reversed().map { String($0) } }
    var folder = try start(of: path)
    var rest = steps(of: path)
    var linksLeft = 40
    while let name = rest.popLast() {
        let next = try named(name, in: folder.raw)
        let status = try next.status()
        guard status.isSymbolicLink else {
            folder = next
            continue
        }
        linksLeft -= 1
        guard linksLeft >= 0, [0, geteuid()].contains(status.uid) else { throw SystemError(code: ELOOP, operation: "open", subject: path) }
        let target = String(decoding: try readLink("", in: next.raw), as: UTF8.self)
        if target.utf8.first == UInt8(ascii: "/") { folder = try start(of: target) }
        rest += steps(of: target)
    }
    guard try folder.status().isFolder else { throw SystemError(code: ENOTDIR, operation: "open", subject: path) }
    return folder
}

/// Who owns a socket file, no link followed; nil if it is none. Never waits for a file system that does not answer.
package func ownerOfSocket(_ path: String) -> UInt32? {
    var uid: UInt32 = 0
    return unsafe termspan_socket_owner(path, &uid) == 0 ? uid : nil
}

/// Writes all of it, waiting where the descriptor is a blocking one.
package func writeAll(_ bytes: [UInt8], to file: borrowing OwnedDescriptor) throws(SystemError) {
    var done = 0
    while done < bytes.count {
        let written = unsafe bytes.withUnsafeBytes { buffer in
            guard let base = buffer.baseAddress else { return 0 }
            return unsafe termspan_write(file.raw, base + done, buffer.count - done)
        }
        done += try check(written, "write")
    }
}

/// Sets an extended attribute (setxattr(2)).
package func setAttribute(_ name: String, of path: String, to bytes: [UInt8]) throws(SystemError) {
    let result = unsafe bytes.withUnsafeBytes { buffer in
        guard let base = buffer.baseAddress else { return -EINVAL }
        return unsafe termspan_set_attribute(path, name, base, buffer.count)
    }
    try check(result, "setxattr", path)
}

/// Where a symbolic link leads, /proc/PID/exe for instance: bytes, since they need not be UTF-8 (readlink(2)).
package func readLink(_ path: String, in folder: Int32 = AT_FDCWD, limit: Int = 4096) throws(SystemError) -> [UInt8] {
    var failure: Int32 = 0
    let bytes = unsafe [UInt8](unsafeUninitializedCapacity: limit + 1) { buffer, initialized in
        guard let base = buffer.baseAddress else { return }
        let length = unsafe readlinkat(folder, path, base, buffer.count)
        if length < 0 { failure = errno }
        initialized = max(length, 0)
    }
    guard failure == 0 else { throw SystemError(code: failure, operation: "readlink", subject: path) }
    guard bytes.count <= limit else { throw SystemError(code: ENAMETOOLONG, operation: "readlink", subject: path) }
    return bytes
}

/// The names in a folder, without `.` and `..`, in no order.
///
/// - Parameter limit: The most names to return; the rest is left out.
package func namesInFolder(_ path: String, limit: Int) throws(SystemError) -> [String] {
    let descriptor = try openFile(path, flags: O_RDONLY | O_DIRECTORY)
    guard let stream = unsafe fdopendir(descriptor.raw) else { throw SystemError(code: errno, operation: "opendir", subject: path) }
    _ = descriptor.release()
    defer { unsafe _ = closedir(stream) }
    var names: [String] = []
    while names.count < limit, let entry = unsafe readdir(stream) {
        let name = unsafe withUnsafePointer(to: &entry.pointee.d_name) { pointer in
            unsafe pointer.withMemoryRebound(to: CChar.self, capacity: 256) { unsafe String(cString: $0) }
        }
        if name != ".", name != ".." { names.append(name) }
    }
    return names
}

/// By which it is seen that a file has become another, or was written (stat(2)).
package struct FileStamp: Equatable, Sendable {
    private var numbers: [Int]

    /// Nil where the path leads to nothing that can be looked at.
    package init?(_ path: String) {
        var status = stat()
        guard unsafe stat(path, &status) == 0 else { return nil }
        numbers = [Int(status.st_dev), Int(status.st_ino), Int(status.st_size), status.st_mtim.tv_sec, status.st_mtim.tv_nsec]
    }
}
