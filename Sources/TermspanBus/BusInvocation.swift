import CSystemd

/// A method call that arrived: its arguments are read from `message`, and it is answered once, now or later.
///
/// One that nobody answered is answered with an error when it is dropped, so that no caller waits in vain.
@MainActor
package final class BusInvocation {
    /// The call; its cursor stands before the first argument.
    package let message: BusMessage
    package private(set) var isAnswered = false
    private nonisolated(unsafe) var unanswered: OpaquePointer?
    /// Who is asked no more than it may be, and counts this call as under way.
    private let gate: CallGate?
    private let gateUserID: UInt32?

    /// The arguments that one caller may make us turn into values, and how long each text may be.
    static let valueLimit = 10_000
    static let textLimit = 4096

    init(_ pointer: OpaquePointer, gate: CallGate?) {
        let caller = gate?.credentials(of: pointer)
        message = BusMessage(pointer, valueLimit: Self.valueLimit, textLimit: Self.textLimit, caller: caller)
        unanswered = sd_bus_message_ref(pointer)
        self.gate = gate
        gateUserID = caller?.userID
        if let gateUserID { gate?.begin(gateUserID) }
    }

    deinit {
        if let unanswered {
            var error = sd_bus_error()
            sd_bus_error_set(&error, "org.freedesktop.DBus.Error.Failed", "The service gave no answer.")
            sd_bus_reply_method_error(unanswered, &error)
            sd_bus_error_free(&error)
            sd_bus_message_unref(unanswered)
            // The last reference is dropped on the main thread, as everything here is.
            if let gate, let gateUserID { MainActor.assumeIsolated { gate.end(gateUserID) } }
        }
    }

    /// The object that was called.
    package var path: String { message.path ?? "" }

    /// Who calls.
    package func credentials() throws(BusError) -> BusCredentials { try message.credentials() }

    /// Has the caller pay for an answer about many objects as for several calls, where calls are limited.
    package func charge(objects: Int) {
        if let gateUserID { gate?.charge(gateUserID, objects: objects) }
    }

    /// Answers with the results that `body` appends. A second answer is ignored.
    ///
    /// A failure to make or send the answer becomes an error answer.
    package func reply(_ body: @MainActor (inout BusMessageWriter) throws(BusError) -> Void = { _ in }) {
        guard !isAnswered else { return }
        do throws(BusError) {
            var pointer: OpaquePointer?
            try check(sd_bus_message_new_method_return(message.pointer, &pointer), "making an answer")
            guard let pointer else { throw BusError(code: ENOMEM, operation: "making an answer") }
            let reply = BusMessage(owning: pointer)
            var writer = BusMessageWriter(pointer)
            try body(&writer)
            if let failure = writer.failure { throw failure }
            answered()
            try check(sd_bus_send(sd_bus_message_get_bus(message.pointer), reply.pointer, nil), "sending an answer")
        } catch {
            // A peer that is gone needs none.
            fail(error)
        }
    }

    /// Answers with an error.
    package func fail(_ error: BusError) {
        guard !isAnswered else { return }
        answered()
        var value = sd_bus_error()
        sd_bus_error_set(&value, error.name, error.message)
        if sd_bus_error_is_set(&value) == 0 { sd_bus_error_set(&value, "org.freedesktop.DBus.Error.Failed", error.message) }
        sd_bus_reply_method_error(message.pointer, &value)
        sd_bus_error_free(&value)
    }

    private func answered() {
        isAnswered = true
        sd_bus_message_unref(unanswered)
        unanswered = nil
        if let gateUserID { gate?.end(gateUserID) }
    }
}
