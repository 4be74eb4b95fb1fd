import CTermspanLinux
import Glibc

/// A system call that failed: what was tried, on what, and the errno.
package struct SystemError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The errno, positive.
    package var code: Int32
    /// The call, such as `connect`.
    package var operation: String
    /// What it was done on, a path for instance, if that helps to understand the message.
    package var subject: String?

    package init(code: Int32, operation: String, subject: String? = nil) {
        self.code = code
        self.operation = operation
        self.subject = subject
    }

    /// We or the machine had nothing left to do it with, which says nothing of what it was tried on.
    package var isShortage: Bool { Self.shortages.contains(code) }

    private static let shortages: Set<Int32> = [EMFILE, ENFILE, ENOMEM, ENOBUFS]

    /// The text for the errno, in English whatever the locale is.
    package var text: String {
        unsafe String(cString: termspan_error_text(code))
    }

    package var description: String {
        if let subject { return "\(operation) \(subject): \(text)" }
        return "\(operation): \(text)"
    }
}

/// Passes on a result of a shim, or throws the errno that it stands for negated.
@discardableResult
package func check<Result: SignedInteger & FixedWidthInteger>(
    _ result: Result, _ operation: @autoclosure () -> String, _ subject: @autoclosure () -> String? = nil
) throws(SystemError) -> Result {
    guard result >= 0 else {
        throw SystemError(code: Int32(clamping: 0 - Int64(result)), operation: operation(), subject: subject())
    }
    return result
}
