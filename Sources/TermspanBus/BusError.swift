import CSystemd
import Glibc

/// What went wrong on the bus or in the event loop: the one error type of this module.
///
/// `name` is a D-Bus error name, so that an error can be answered as it is; a failed call of libsystemd has the name that
/// sd_bus_error_set_errno(3) gives to its errno, and the errno in `code`.
package struct BusError: Error, Hashable, Sendable, CustomStringConvertible {
    /// The D-Bus name, as in `org.freedesktop.DBus.Error.AccessDenied`.
    package var name: String
    /// What happened, for people.
    package var message: String
    /// The errno behind it; 0 where the other side sent the error.
    package var code: Int32

    package init(name: String, message: String, code: Int32 = 0) {
        self.name = name
        self.message = message
        self.code = code
    }

    /// An error of the operating system; `code` is an errno, either sign.
    package init(code: Int32, operation: String) {
        let code = code == .min ? EINVAL : abs(code)
        var error = sd_bus_error()
        sd_bus_error_set_errno(&error, code)
        name = error.name.map { String(cString: $0) } ?? "org.freedesktop.DBus.Error.Failed"
        message = operation + ": " + String(cString: strerror(code))
        self.code = code
        sd_bus_error_free(&error)
    }

    init(_ error: sd_bus_error) {
        name = error.name.map { String(cString: $0) } ?? "org.freedesktop.DBus.Error.Failed"
        message = error.message.map { String(cString: $0) } ?? ""
        code = 0
    }

    package var description: String { message.isEmpty ? name : message }

    package static func accessDenied(_ message: String) -> BusError {
        BusError(name: "org.freedesktop.DBus.Error.AccessDenied", message: message, code: EACCES)
    }

    package static func invalidArguments(_ message: String) -> BusError {
        BusError(name: "org.freedesktop.DBus.Error.InvalidArgs", message: message, code: EINVAL)
    }

    package static func failed(_ message: String) -> BusError {
        BusError(name: "org.freedesktop.DBus.Error.Failed", message: message)
    }

    /// The service, or the bus, was asked and gave no answer in time.
    package var isUnanswered: Bool {
        switch name {
        case "org.freedesktop.DBus.Error.NoReply", "org.freedesktop.DBus.Error.Timeout", "org.freedesktop.DBus.Error.TimedOut": true
        default: code == ETIMEDOUT
        }
    }

    /// Nobody offers the service: it is not running, or the bus isn't; or nobody answers.
    package var isUnreachable: Bool {
        switch name {
        case "org.freedesktop.DBus.Error.ServiceUnknown", "org.freedesktop.DBus.Error.NameHasNoOwner",
            "org.freedesktop.DBus.Error.Disconnected", "org.freedesktop.DBus.Error.Spawn.ServiceNotFound":
            return true
        default:
            return isUnanswered || name.hasPrefix("org.freedesktop.DBus.Error.Spawn.") || name.hasPrefix("org.freedesktop.systemd1.")
                || [ECONNREFUSED, ENOTCONN, ECONNRESET, EPIPE, EHOSTUNREACH].contains(code)
                // No socket where the bus should be.
                || code == ENOENT && message.hasPrefix("connecting to")
        }
    }

    /// The caller lacks the right to do this, or would have to authenticate first.
    package var isAccessDenied: Bool {
        name == "org.freedesktop.DBus.Error.AccessDenied"
            || name == "org.freedesktop.DBus.Error.InteractiveAuthorizationRequired" || code == EACCES || code == EPERM
    }
}

/// Throws for a negative result of libsystemd, which is a negated errno; returns any other.
@discardableResult
func check(_ result: Int32, _ operation: @autoclosure () -> String) throws(BusError) -> Int32 {
    if result < 0 { throw BusError(code: result, operation: operation()) }
    return result
}
