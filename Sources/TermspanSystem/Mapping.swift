import CTermspanLinux

/// Memory that is mapped from a file and unmapped when its owner goes away (mmap(2), always MAP_SHARED).
@safe package struct Mapping: ~Copyable {
    /// Where it begins. Valid as long as the owner.
    @unsafe package let base: UnsafeMutableRawPointer
    /// Bytes.
    package let length: Int

    private init(base: UnsafeMutableRawPointer, length: Int) {
        unsafe self.base = unsafe base
        self.length = length
    }

    /// Maps a part of a file.
    ///
    /// - Parameters:
    ///   - descriptor: The file; it may be closed afterwards.
    ///   - length: Bytes, more than 0. Beyond the end of the file an access raises SIGBUS: seal the file, and check its size before.
    ///   - offset: A multiple of the page size.
    ///   - writable: Whether it may be written through.
    package init(_ descriptor: borrowing OwnedDescriptor, offset: Int64 = 0, length: Int, writable: Bool) throws(SystemError) {
        let base = unsafe try Self.map(at: nil, descriptor.raw, offset: offset, length: length, writable: writable)
        unsafe self.init(base: base, length: length)
    }

    /// Reserves addresses without memory; an access to them raises SIGSEGV until something is placed there.
    package init(reserving length: Int) throws(SystemError) {
        let base = unsafe try Self.reserve(at: nil, length: length)
        unsafe self.init(base: base, length: length)
    }

    deinit {
        _ = unsafe termspan_unmap(base, length)
    }

    /// Puts a part of a file at a place of a reservation, in place of what is there (MAP_FIXED).
    ///
    /// - Parameter place: Bytes from the base, a multiple of the page size; place and length must lie within the reservation.
    package borrowing func place(_ descriptor: borrowing OwnedDescriptor, at place: Int, length: Int, writable: Bool) throws(SystemError) {
        precondition(place >= 0 && length > 0 && place <= self.length - length)
        // Safe by the precondition: only addresses that this reservation owns are replaced.
        _ = unsafe try Self.map(at: base + place, descriptor.raw, offset: 0, length: length, writable: writable)
    }

    /// Takes what was placed there away; the addresses stay reserved.
    package borrowing func clear(at place: Int, length: Int) throws(SystemError) {
        precondition(place >= 0 && length > 0 && place <= self.length - length)
        _ = unsafe try Self.reserve(at: base + place, length: length)
    }

    private static func map(
        at address: UnsafeMutableRawPointer?, _ descriptor: Int32, offset: Int64, length: Int, writable: Bool
    ) throws(SystemError) -> UnsafeMutableRawPointer {
        var mapped: UnsafeMutableRawPointer?
        let fixed: Int32 = unsafe address == nil ? 0 : 1
        unsafe try check(termspan_map_shared(address, length, writable ? 1 : 0, fixed, descriptor, offset, &mapped), "mmap")
        guard let mapped = unsafe mapped else { throw SystemError(code: 12, operation: "mmap") }
        return unsafe mapped
    }

    private static func reserve(at address: UnsafeMutableRawPointer?, length: Int) throws(SystemError) -> UnsafeMutableRawPointer {
        var mapped: UnsafeMutableRawPointer?
        unsafe try check(termspan_reserve(address, length, address == nil ? 0 : 1, &mapped), "mmap")
        guard let mapped = unsafe mapped else { throw SystemError(code: 12, operation: "mmap") }
        return unsafe mapped
    }
}

/// Has each of the process's threads keep memory that it frees for what it needs next, up to so many bytes (mallopt(3)): where large arrays are made and freed by turns,
/// giving each back to the kernel takes longer than what is done with it.
package func keepFreedMemory(upTo bytes: Int32) { termspan_keep_freed(bytes) }
