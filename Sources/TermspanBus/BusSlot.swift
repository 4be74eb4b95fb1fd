import CSystemd

/// A match or an exported object (sd_bus_slot_ref(3)): it ends when this is cancelled or no longer referred to.
@MainActor
package final class BusSlot {
    nonisolated(unsafe) var pointer: OpaquePointer?
    /// What the callbacks point to; it outlives the slot.
    private var retained: AnyObject?
    private var further: [BusSlot] = []

    init(retaining object: AnyObject?) {
        retained = object
    }

    deinit {
        sd_bus_slot_unref(pointer)
    }

    /// Ends it now.
    package func cancel() {
        sd_bus_slot_unref(pointer)
        pointer = nil
        retained = nil
        further = []
    }

    /// Lets several slots end together.
    package func join(_ other: BusSlot) {
        further.append(other)
    }
}

/// A call whose answer is awaited.
@MainActor
package final class BusCall {
    nonisolated(unsafe) var slot: OpaquePointer?
    nonisolated(unsafe) var deferral: OpaquePointer?
    var failure: BusError?
    private weak var connection: BusConnection?
    private var reply: (@MainActor (Result<BusMessage, BusError>) -> Void)?

    init(connection: BusConnection, reply: @escaping @MainActor (Result<BusMessage, BusError>) -> Void) {
        self.connection = connection
        self.reply = reply
    }

    deinit {
        sd_bus_slot_unref(slot)
        if let deferral { sd_event_source_disable_unref(deferral) }
    }

    /// Gives up waiting: the reply's closure will not be called.
    package func cancel() {
        reply = nil
        release()
    }

    func finish(_ result: Result<BusMessage, BusError>) {
        let reply = self.reply
        self.reply = nil
        release()
        reply?(result)
    }

    private func release() {
        sd_bus_slot_unref(slot)
        slot = nil
        if let deferral { sd_event_source_disable_unref(deferral) }
        deferral = nil
        connection?.finished(self)
    }

    nonisolated static func dispatch(_ message: OpaquePointer?, _ data: UnsafeMutableRawPointer?) -> Int32 {
        guard let message, let data else { return 0 }
        nonisolated(unsafe) let arguments = (message, data)
        MainActor.assumeIsolated {
            let call = Unmanaged<BusCall>.fromOpaque(arguments.1).takeUnretainedValue()
            if let error = sd_bus_message_get_error(arguments.0) {
                var failure = BusError(error.pointee)
                failure.code = sd_bus_message_get_errno(arguments.0)
                call.finish(.failure(failure))
            } else {
                call.finish(.success(BusMessage(arguments.0)))
            }
        }
        return 1
    }

    nonisolated static func dispatchFailure(_ data: UnsafeMutableRawPointer?) -> Int32 {
        guard let data else { return 0 }
        nonisolated(unsafe) let opaque = data
        MainActor.assumeIsolated {
            let call = Unmanaged<BusCall>.fromOpaque(opaque).takeUnretainedValue()
            if let failure = call.failure { call.finish(.failure(failure)) }
        }
        return 0
    }
}
