import Glibc

/// A pipe(7): what is written to one end is read from the other, and the end of the writers is the end of the data.
package struct Pipe: ~Copyable, Sendable {
    package let readEnd: OwnedDescriptor
    package let writeEnd: OwnedDescriptor

    /// Both ends are close-on-exec; the reading one is non-blocking.
    package init() throws(SystemError) {
        var ends: [Int32] = [-1, -1]
        guard unsafe pipe(&ends) == 0 else { throw SystemError(code: errno, operation: "pipe") }
        readEnd = OwnedDescriptor(ends[0])
        writeEnd = OwnedDescriptor(ends[1])
        for end in ends { _ = fcntl(end, F_SETFD, FD_CLOEXEC) }
        _ = fcntl(ends[0], F_SETFL, O_NONBLOCK)
    }

    /// Gives both ends up, each to an owner of its own.
    package consuming func split<Result: ~Copyable>(
        _ body: (_ readEnd: consuming OwnedDescriptor, _ writeEnd: consuming OwnedDescriptor) throws -> Result
    ) rethrows -> Result {
        try body(readEnd, writeEnd)
    }
}
