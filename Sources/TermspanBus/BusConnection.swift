import CSystemd
import TermspanCore

/// A connection to a message bus: sd_bus(3), on the main thread.
///
/// Attach it to an `EventLoop` for asynchronous calls, matches and exported objects; blocking calls need no loop.
@MainActor
package final class BusConnection {
    nonisolated(unsafe) let bus: OpaquePointer
    private var pending: [ObjectIdentifier: BusCall] = [:]
    private var senders: [String: NameOwner] = [:]
    /// Limits the calls that arrive; nil for a connection that only asks.
    var gate: CallGate?
    var questions = PolkitQuestions<PolkitCompletion>()

    /// Takes over the caller's reference; also of a connection to a single peer, for the fuzzer.
    init(owning bus: OpaquePointer) {
        self.bus = bus
    }

    deinit {
        // Without flushing: what must arrive is flushed by the owner, and a bus that stands still must not hold the end up.
        sd_bus_close_unref(bus)
    }

    /// Connects to the system bus, or to the one that DBUS_SYSTEM_BUS_ADDRESS names.
    package static func system() throws(BusError) -> BusConnection {
        var bus: OpaquePointer?
        try check(sd_bus_open_system(&bus), "connecting to the system bus")
        guard let bus else { throw BusError(code: ENOMEM, operation: "connecting to the system bus") }
        return BusConnection(owning: bus)
    }

    /// Connects to the bus at an address of the D-Bus specification's form, as in `unix:path=/run/dbus/system_bus_socket`.
    package static func open(address: String) throws(BusError) -> BusConnection {
        var bus: OpaquePointer?
        try check(sd_bus_new(&bus), "sd_bus_new")
        guard let bus else { throw BusError(code: ENOMEM, operation: "sd_bus_new") }
        let connection = BusConnection(owning: bus)
        try check(sd_bus_set_address(bus, address), "setting the bus address")
        try check(sd_bus_set_bus_client(bus, 1), "sd_bus_set_bus_client")
        // As sd_bus_open_system() has it: methods are for callers of any user, and polkit and we decide.
        try check(sd_bus_set_trusted(bus, 0), "sd_bus_set_trusted")
        try check(sd_bus_start(bus), "connecting to \(address)")
        return connection
    }

    /// Lets the loop serve this connection.
    package func attach(to loop: EventLoop, priority: Int = 0) throws(BusError) {
        try check(sd_bus_attach_event(bus, loop.event, Int32(clamping: priority)), "attaching the bus to the loop")
    }

    /// Sends what waits, blocking.
    package func flush() {
        sd_bus_flush(bus)
    }

    /// The name that the bus gave to this connection, as in `:1.42`; waits for the connection to be made.
    package func uniqueName() throws(BusError) -> String {
        var name: UnsafePointer<CChar>?
        try check(sd_bus_get_unique_name(bus, &name), "connecting to the bus")
        return name.map { String(cString: $0) } ?? ""
    }

    /// Takes a well-known name, blocking. Throws if another connection has it, or the bus's policy forbids it.
    package func requestName(_ name: String) throws(BusError) {
        try check(sd_bus_request_name(bus, name, 0), "taking the bus name \(name)")
    }

    /// Gives a well-known name up, blocking.
    package func releaseName(_ name: String) throws(BusError) {
        try check(sd_bus_release_name(bus, name), "giving up the bus name \(name)")
    }

    // MARK: Calls

    private func message(
        _ destination: String, _ path: String, _ interface: String, _ member: String, interactive: Bool, autoStart: Bool,
        _ arguments: @MainActor (inout BusMessageWriter) throws(BusError) -> Void
    ) throws(BusError) -> BusMessage {
        var pointer: OpaquePointer?
        try check(
            sd_bus_message_new_method_call(bus, &pointer, destination, path, interface, member),
            "making a call of \(interface).\(member)")
        guard let pointer else { throw BusError(code: ENOMEM, operation: "making a call") }
        let message = BusMessage(owning: pointer)
        if interactive { sd_bus_message_set_allow_interactive_authorization(pointer, 1) }
        if !autoStart { sd_bus_message_set_auto_start(pointer, 0) }
        var writer = BusMessageWriter(pointer)
        try arguments(&writer)
        if let failure = writer.failure { throw failure }
        return message
    }

    /// Calls a method; `reply` is called exactly once from the loop, unless the call is cancelled or the connection goes.
    ///
    /// Also an argument that can't be sent arrives as the reply's failure, from the loop. The result need not be kept.
    /// - Parameters:
    ///   - timeout: nil for libsystemd's 25 seconds.
    ///   - interactive: whether the service may ask the user for a password meanwhile.
    @discardableResult
    package func call(
        _ destination: String, path: String, interface: String, member: String, timeout: Duration? = nil,
        interactive: Bool = false, autoStart: Bool = true,
        arguments: @MainActor (inout BusMessageWriter) throws(BusError) -> Void = { _ in },
        reply: @escaping @MainActor (Result<BusMessage, BusError>) -> Void
    ) -> BusCall {
        let call = BusCall(connection: self, reply: reply)
        pending[ObjectIdentifier(call)] = call
        do throws(BusError) {
            let message = try message(
                destination, path, interface, member, interactive: interactive, autoStart: autoStart, arguments)
            try check(
                sd_bus_call_async(
                    bus, &call.slot, message.pointer, { message, data, _ in BusCall.dispatch(message, data) },
                    Unmanaged.passUnretained(call).toOpaque(), timeout?.busTimeout ?? 0), "calling \(interface).\(member)")
        } catch {
            failLater(call, error)
        }
        return call
    }

    /// Calls a method and waits for the answer, for the command line and the start of a service.
    ///
    /// - Parameter timeout: nil for libsystemd's 25 seconds.
    package func callAndWait(
        _ destination: String, path: String, interface: String, member: String, timeout: Duration? = nil,
        interactive: Bool = false, autoStart: Bool = true,
        arguments: @MainActor (inout BusMessageWriter) throws(BusError) -> Void = { _ in }
    ) throws(BusError) -> BusMessage {
        let message = try message(destination, path, interface, member, interactive: interactive, autoStart: autoStart, arguments)
        var error = sd_bus_error()
        defer { sd_bus_error_free(&error) }
        var reply: OpaquePointer?
        let result = sd_bus_call(bus, message.pointer, timeout?.busTimeout ?? 0, &error, &reply)
        if result < 0 {
            if sd_bus_error_is_set(&error) > 0 {
                var failure = BusError(error)
                failure.code = -result
                throw failure
            }
            throw BusError(code: result, operation: "calling \(interface).\(member)")
        }
        guard let reply else { throw BusError(code: EBADMSG, operation: "calling \(interface).\(member)") }
        return BusMessage(owning: reply)
    }

    /// Reads one property of another's object, blocking; `signature` is its type.
    package func property(
        _ destination: String, path: String, interface: String, name: String
    ) throws(BusError) -> BusValue {
        let reply = try callAndWait(
            destination, path: path, interface: "org.freedesktop.DBus.Properties", member: "Get"
        ) { writer throws(BusError) in
            writer.append(interface)
            writer.append(name)
        }
        let value = try reply.readValue()
        if case .variant(let content) = value { return content }
        return value
    }

    func finished(_ call: BusCall) {
        pending[ObjectIdentifier(call)] = nil
    }

    private func failLater(_ call: BusCall, _ error: BusError) {
        guard let event = sd_bus_get_event(bus) else { return call.finish(.failure(error)) }
        call.failure = error
        let result = sd_event_add_defer(
            event, &call.deferral, { _, data in BusCall.dispatchFailure(data) }, Unmanaged.passUnretained(call).toOpaque())
        if result < 0 { call.finish(.failure(error)) }
    }

    // MARK: Signals

    /// Sends a signal to whom it may concern, or to one connection alone.
    package func emit(
        path: String, interface: String, member: String, to destination: String? = nil,
        arguments: @MainActor (inout BusMessageWriter) throws(BusError) -> Void = { _ in }
    ) throws(BusError) {
        var pointer: OpaquePointer?
        try check(sd_bus_message_new_signal(bus, &pointer, path, interface, member), "making the signal \(interface).\(member)")
        guard let pointer else { throw BusError(code: ENOMEM, operation: "making a signal") }
        let message = BusMessage(owning: pointer)
        if let destination { try check(sd_bus_message_set_destination(pointer, destination), "addressing a signal") }
        var writer = BusMessageWriter(pointer)
        try arguments(&writer)
        if let failure = writer.failure { throw failure }
        try check(sd_bus_send(bus, message.pointer, nil), "sending the signal \(interface).\(member)")
    }

    /// Says that exported properties changed. Each must have been declared with `.change` or `.invalidation`.
    package func emitPropertiesChanged(path: String, interface: String, _ names: [String]) throws(BusError) {
        var list: [UnsafeMutablePointer<CChar>?] = names.map { strdup($0) } + [nil]
        defer { for name in list { free(name) } }
        try check(
            list.withUnsafeMutableBufferPointer { sd_bus_emit_properties_changed_strv(bus, path, interface, $0.baseAddress) },
            "telling that properties changed")
    }

    /// Tells the object manager's clients that there is a new object. It must be found already.
    package func emitObjectAdded(path: String) throws(BusError) {
        try check(sd_bus_emit_object_added(bus, path), "telling of a new object")
    }

    /// Tells the object manager's clients that an object goes. It must still be found.
    package func emitObjectRemoved(path: String) throws(BusError) {
        try check(sd_bus_emit_object_removed(bus, path), "telling that an object goes")
    }

    /// Calls `handler` for each signal that `rule` describes, until the slot is dropped.
    ///
    /// On a system bus any peer may send any signal straight to us. So where the rule names a well-known sender, a signal counts only if
    /// it comes from the connection that owns the name (which libsystemd 252 alone doesn't check).
    package func match(_ rule: BusMatch, handler: @escaping @MainActor (BusMessage) -> Void) throws(BusError) -> BusSlot {
        let owner = try rule.wellKnownSender.map { name throws(BusError) in try nameOwner(name) }
        let box = MatchBox(owner: owner, handler: handler)
        let slot = BusSlot(retaining: box)
        try check(
            sd_bus_add_match_async(
                bus, &slot.pointer, try rule.text(),
                { message, data, _ in
                    guard let message, let data else { return 0 }
                    nonisolated(unsafe) let arguments = (message, data)
                    MainActor.assumeIsolated {
                        let box = Unmanaged<MatchBox>.fromOpaque(arguments.1).takeUnretainedValue()
                        let message = BusMessage(arguments.0)
                        if let owner = box.owner, owner.unique == nil || owner.unique != message.sender { return }
                        box.handler(message)
                    }
                    // Other matches may want the signal too.
                    return 0
                }, nil, Unmanaged.passUnretained(box).toOpaque()), "watching signals")
        return slot
    }

    /// Calls `handler` with the unique name of the connection that owns `name`, nil for none: once now, then at each change.
    package func watchName(_ name: String, handler: @escaping @MainActor (String?) -> Void) throws(BusError) -> BusSlot {
        let changes = BusMatch(
            sender: "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus",
            member: "NameOwnerChanged", firstArgument: name)
        let slot = try match(changes) { message in
            do throws(BusError) {
                try message.skip("ss")
                let owner = try message.read(String.self)
                handler(owner.isEmpty ? nil : owner)
            } catch {
                // The bus itself is the sender; a malformed signal of its would be its end anyway.
            }
        }
        // After the match: the answer and the signals arrive in the order in which things happened.
        call(
            "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: "GetNameOwner",
            arguments: { writer in writer.append(name) },
            reply: { [weak slot] result in
                guard slot != nil else { return }
                handler(try? result.get().read(String.self))
            })
        return slot
    }

    private func nameOwner(_ name: String) throws(BusError) -> NameOwner {
        if let owner = senders[name] { return owner }
        let owner = NameOwner()
        owner.slot = try watchName(name) { [unowned owner] in owner.unique = $0 }
        senders[name] = owner
        return owner
    }

    /// Calls `handler` when the connection to the bus is lost. There is no way back: make a new one, or end.
    package func onDisconnect(_ handler: @escaping @MainActor () -> Void) throws(BusError) -> BusSlot {
        let local = BusMatch(
            sender: "org.freedesktop.DBus.Local", path: "/org/freedesktop/DBus/Local", interface: "org.freedesktop.DBus.Local",
            member: "Disconnected")
        return try match(local) { _ in handler() }
    }
}

/// Which signals are wanted (D-Bus specification, 'Match Rules'). What is nil is not compared.
package struct BusMatch: Hashable, Sendable {
    /// A unique or well-known name; nil takes signals from anybody.
    package var sender: String?
    package var path: String?
    /// The path or any below it.
    package var pathNamespace: String?
    package var interface: String?
    package var member: String?
    package var firstArgument: String?

    package init(
        sender: String?, path: String? = nil, pathNamespace: String? = nil, interface: String? = nil, member: String? = nil,
        firstArgument: String? = nil
    ) {
        self.sender = sender
        self.path = path
        self.pathNamespace = pathNamespace
        self.interface = interface
        self.member = member
        self.firstArgument = firstArgument
    }

    /// The sender, where it is a name whose owner must be asked for.
    var wellKnownSender: String? {
        guard let sender, !sender.hasPrefix(":"), sender != "org.freedesktop.DBus", sender != "org.freedesktop.DBus.Local"
        else { return nil }
        return sender
    }

    func text() throws(BusError) -> String {
        var text = "type='signal'"
        for (key, value) in [
            ("sender", sender), ("path", path), ("path_namespace", pathNamespace), ("interface", interface), ("member", member),
            ("arg0", firstArgument),
        ] {
            guard let value else { continue }
            // An apostrophe would end the value.
            if value.utf8.contains(UInt8(ascii: "'")) { throw .invalidArguments("An apostrophe in a match rule.") }
            text += ",\(key)='\(value)'"
        }
        return text
    }
}

/// Who owns a well-known name just now.
@MainActor
private final class NameOwner {
    var unique: String?
    var slot: BusSlot?
}

@MainActor
private final class MatchBox {
    let owner: NameOwner?
    let handler: @MainActor (BusMessage) -> Void

    init(owner: NameOwner?, handler: @escaping @MainActor (BusMessage) -> Void) {
        self.owner = owner
        self.handler = handler
    }
}

extension Duration {
    /// Microseconds for libsystemd, whose 0 would mean its default.
    fileprivate var busTimeout: UInt64 { UInt64(max(1, wholeNanoseconds / 1000)) }
}
