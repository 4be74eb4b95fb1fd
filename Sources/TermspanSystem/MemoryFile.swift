import CTermspanLinux
import Glibc

/// Seals of a memfd (fcntl(2), 'File sealing').
package struct FileSeals: OptionSet, Hashable, Sendable {
    package let rawValue: Int32

    package init(rawValue: Int32) {
        self.rawValue = rawValue
    }

    /// No seal can be added any more.
    package static let seal = FileSeals(rawValue: termspan_seal_seal)
    /// The file can't become shorter.
    package static let shrink = FileSeals(rawValue: termspan_seal_shrink)
    /// The file can't become longer.
    package static let grow = FileSeals(rawValue: termspan_seal_grow)
    /// The file can't be written; refused while there is a writable mapping.
    package static let write = FileSeals(rawValue: termspan_seal_write)
    /// The file can only be written through mappings that are there already.
    package static let futureWrite = FileSeals(rawValue: termspan_seal_future_write)
}

extension OwnedDescriptor {
    /// Makes a file in memory of a fixed size: sealed against shrinking and growing, accessible by its owner alone.
    ///
    /// - Parameters:
    ///   - name: What /proc shows; at most 249 bytes.
    ///   - size: Bytes.
    package static func memoryFile(name: String, size: Int) throws(SystemError) -> OwnedDescriptor {
        let descriptor = unsafe OwnedDescriptor(try check(termspan_memfd_create(name), "memfd_create", name))
        // Before anything is in it: without this, /proc/PID/fd lets other users open it again.
        guard fchmod(descriptor.raw, 0o600) == 0 else { throw SystemError(code: errno, operation: "fchmod", subject: name) }
        guard ftruncate(descriptor.raw, size) == 0 else { throw SystemError(code: errno, operation: "ftruncate", subject: name) }
        try descriptor.addSeals([.shrink, .grow])
        return descriptor
    }

    /// Makes a file in memory that grows as it is written, without any seal yet.
    package static func growingMemoryFile(name: String) throws(SystemError) -> OwnedDescriptor {
        unsafe OwnedDescriptor(try check(termspan_memfd_create(name), "memfd_create", name))
    }

    /// Adds seals. EPERM: the file is sealed against that, or the descriptor is read-only.
    package borrowing func addSeals(_ seals: FileSeals) throws(SystemError) {
        try check(termspan_add_seals(raw, seals.rawValue), "fcntl F_ADD_SEALS")
    }

    /// The seals that the file has. EINVAL: it is no memfd.
    package borrowing func seals() throws(SystemError) -> FileSeals {
        FileSeals(rawValue: try check(termspan_get_seals(raw), "fcntl F_GET_SEALS"))
    }
}
