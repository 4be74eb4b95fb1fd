import CTermspanLinux

/// An eventfd(2), non-blocking: what one thread or process rings to wake another.
package struct EventCounter: ~Copyable, Sendable {
    package let descriptor: OwnedDescriptor

    /// Makes one.
    package init() throws(SystemError) {
        descriptor = OwnedDescriptor(try check(termspan_eventfd(), "eventfd"))
    }

    /// Takes one that exists.
    package init(_ descriptor: consuming OwnedDescriptor) {
        self.descriptor = descriptor
    }

    /// Adds 1, which makes it readable. Any thread.
    ///
    /// - Returns: Whether it was counted; false only if the counter is full, and then it is readable anyway.
    @discardableResult
    package borrowing func ring() -> Bool {
        var one: UInt64 = 1
        return unsafe termspan_write(descriptor.raw, &one, 8) == 8
    }

    /// Reads the count and sets it back to 0.
    @discardableResult
    package borrowing func drain() -> UInt64 {
        var count: UInt64 = 0
        return unsafe termspan_read(descriptor.raw, &count, 8) == 8 ? count : 0
    }

    /// Gives the descriptor up.
    package consuming func takeDescriptor() -> OwnedDescriptor {
        descriptor
    }
}
