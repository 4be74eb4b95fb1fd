import CSystemd

/// A message that arrived: what it says of itself, and a cursor that reads its arguments in order (sd_bus_message_read_basic(3)).
///
/// Main thread only, like everything here. What a peer sends can make a read throw, never trap.
@MainActor
package final class BusMessage {
    /// Reference-counted without locks by libsystemd: the last reference must be dropped on the main thread.
    nonisolated(unsafe) let pointer: OpaquePointer

    /// How many values `value()` and `properties()` make of this message before they refuse it: what one peer can make us allocate.
    package var valueLimit: Int
    /// How many bytes a text may have before it is refused.
    let textLimit: Int
    /// The sender, where it is known already.
    private var caller: BusCredentials?

    /// Takes a reference of its own.
    convenience init(_ pointer: OpaquePointer, valueLimit: Int = 4_000_000, textLimit: Int = .max, caller: BusCredentials? = nil) {
        self.init(owning: sd_bus_message_ref(pointer), valueLimit: valueLimit, textLimit: textLimit, caller: caller)
    }

    /// Takes over the caller's reference.
    init(owning pointer: OpaquePointer, valueLimit: Int = 4_000_000, textLimit: Int = .max, caller: BusCredentials? = nil) {
        self.pointer = pointer
        self.valueLimit = valueLimit
        self.textLimit = textLimit
        self.caller = caller
    }

    deinit {
        sd_bus_message_unref(pointer)
    }

    /// The unique name of the sender, as the bus wrote it.
    package var sender: String? { sd_bus_message_get_sender(pointer).map { String(cString: $0) } }
    package var path: String? { sd_bus_message_get_path(pointer).map { String(cString: $0) } }
    package var interface: String? { sd_bus_message_get_interface(pointer).map { String(cString: $0) } }
    package var member: String? { sd_bus_message_get_member(pointer).map { String(cString: $0) } }
    /// The types of all arguments.
    package var signature: String { sd_bus_message_get_signature(pointer, 1).map { String(cString: $0) } ?? "" }
    /// Whether the caller agrees to be asked for a password meanwhile.
    package var allowsInteractiveAuthorization: Bool { sd_bus_message_get_allow_interactive_authorization(pointer) > 0 }

    /// Starts to read from the first argument again.
    package func rewind() {
        sd_bus_message_rewind(pointer, 1)
    }

    /// Who sent it, as the bus knows: no process can claim another's. Where no `CallGate` has asked before, the first time waits for the bus.
    package func credentials() throws(BusError) -> BusCredentials {
        if let caller { return caller }
        var creds: OpaquePointer?
        let mask = termspan_creds_euid() | termspan_creds_pid()
        try check(sd_bus_query_sender_creds(pointer, mask, &creds), "asking the bus for the caller")
        guard let creds else { throw BusError(code: ENODATA, operation: "asking the bus for the caller") }
        defer { sd_bus_creds_unref(creds) }
        var userID: uid_t = 0
        try check(sd_bus_creds_get_euid(creds, &userID), "asking the bus for the caller's user")
        var processID: pid_t = 0
        let hasProcess = sd_bus_creds_get_pid(creds, &processID) >= 0
        let found = BusCredentials(userID: userID, processID: hasProcess ? processID : nil)
        caller = found
        return found
    }
}

/// The sender of a message, as the kernel told the bus when it connected.
package struct BusCredentials: Hashable, Sendable {
    package var userID: UInt32
    /// The process that opened the connection; it may have ended, and its number may be another's by now.
    package var processID: Int32?

    package var isRoot: Bool { userID == 0 }

    package init(userID: UInt32, processID: Int32?) {
        self.userID = userID
        self.processID = processID
    }
}
