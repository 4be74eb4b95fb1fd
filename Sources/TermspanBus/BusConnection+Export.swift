import CSystemd

/// Exporting objects: the vtables of sd_bus_add_object_vtable(3), made at run time, so that introspection, properties and the object
/// manager are libsystemd's own.
extension BusConnection {
    /// Offers `interface` at `path` until the slot is dropped.
    package func export(path: String, _ interface: BusInterface) throws(BusError) -> BusSlot {
        let exported = ExportedInterface(interface, of: self)
        let slot = BusSlot(retaining: exported)
        try check(
            sd_bus_add_object_vtable(
                bus, &slot.pointer, path, interface.name, exported.vtable, Unmanaged.passUnretained(exported).toOpaque()),
            "exporting \(interface.name) at \(path)")
        return slot
    }

    /// Offers `interface` at each path below `prefix` for which `find` says that there is an object, until the slot is dropped.
    ///
    /// - Parameter children: all paths there are, for introspection and the object manager.
    package func export(
        below prefix: String, _ interface: BusInterface, find: @escaping @MainActor (_ path: String) -> Bool,
        children: @escaping @MainActor () -> [String]
    ) throws(BusError) -> BusSlot {
        let exported = ExportedInterface(interface, of: self, find: find, children: children)
        let slot = BusSlot(retaining: exported)
        let data = Unmanaged.passUnretained(exported).toOpaque()
        try check(
            sd_bus_add_fallback_vtable(
                bus, &slot.pointer, prefix, interface.name, exported.vtable,
                { _, path, _, data, found, _ in
                    guard let path, let data else { return 0 }
                    nonisolated(unsafe) let arguments = (path, data)
                    let exists = MainActor.assumeIsolated {
                        let exported = Unmanaged<ExportedInterface>.fromOpaque(arguments.1).takeUnretainedValue()
                        return exported.find?(String(cString: arguments.0)) ?? false
                    }
                    guard exists else { return 0 }
                    found?.pointee = data
                    return 1
                }, data), "exporting \(interface.name) below \(prefix)")
        let nodes = BusSlot(retaining: exported)
        try check(
            sd_bus_add_node_enumerator(
                bus, &nodes.pointer, prefix,
                { _, _, data, result, _ in
                    guard let data, let result else { return 0 }
                    nonisolated(unsafe) let opaque = data
                    let paths = MainActor.assumeIsolated {
                        Unmanaged<ExportedInterface>.fromOpaque(opaque).takeUnretainedValue().listChildren()
                    }
                    // libsystemd frees the list and its strings.
                    let list = calloc(paths.count + 1, MemoryLayout<UnsafeMutablePointer<CChar>?>.stride)
                    guard let list else { return -ENOMEM }
                    let strings = list.bindMemory(to: UnsafeMutablePointer<CChar>?.self, capacity: paths.count + 1)
                    for (index, path) in paths.enumerated() { strings[index] = strdup(path) }
                    result.pointee = strings
                    return 0
                }, data), "listing objects below \(prefix)")
        slot.join(nodes)
        return slot
    }

    /// Offers org.freedesktop.DBus.ObjectManager at `path`, for all objects below it.
    package func exportObjectManager(at path: String) throws(BusError) -> BusSlot {
        let slot = BusSlot(retaining: nil)
        try check(sd_bus_add_object_manager(bus, &slot.pointer, path), "exporting the object manager")
        return slot
    }
}

/// An interface with its vtable and the strings that the vtable points to.
@MainActor
private final class ExportedInterface {
    nonisolated(unsafe) let vtable: UnsafeMutablePointer<sd_bus_vtable>
    private nonisolated(unsafe) var strings: [UnsafeMutablePointer<CChar>] = []
    private var methods: [String: BusMethod] = [:]
    private var properties: [String: BusProperty] = [:]
    private weak var connection: BusConnection?
    let find: (@MainActor (String) -> Bool)?
    private let children: (@MainActor () -> [String])?

    init(
        _ interface: BusInterface, of connection: BusConnection, find: (@MainActor (String) -> Bool)? = nil,
        children: (@MainActor () -> [String])? = nil
    ) {
        self.connection = connection
        self.find = find
        self.children = children
        let count = interface.methods.count + interface.properties.count + interface.signals.count + 2
        vtable = .allocate(capacity: count)
        // The entries are unions, all of whose bytes must be 0 at first (sd-bus-vtable.h).
        UnsafeMutableRawPointer(vtable).initializeMemory(as: UInt8.self, repeating: 0, count: count * MemoryLayout<sd_bus_vtable>.stride)
        termspan_vtable_start(vtable, 0)
        var entry = vtable + 1
        for method in interface.methods {
            methods[method.name] = method
            termspan_vtable_method(
                entry, keep(method.name), keep(method.arguments.map(\.value).joined()), keep(method.results.map(\.value).joined()),
                keep(names(Array(method.arguments) + Array(method.results))),
                { message, data, _ in ExportedInterface.invoke(message, data) }, termspan_vtable_unprivileged())
            entry += 1
        }
        for property in interface.properties {
            properties[property.name] = property
            let flags: UInt64 =
                switch property.emits {
                case .nothing: 0
                case .change: termspan_vtable_emits_change()
                case .invalidation: termspan_vtable_emits_invalidation()
                case .constant: termspan_vtable_constant()
                }
            termspan_vtable_property(
                entry, keep(property.name), keep(property.type),
                { bus, path, _, name, reply, data, error in ExportedInterface.get(bus, path, name, reply, data, error) }, flags)
            entry += 1
        }
        for signal in interface.signals {
            termspan_vtable_signal(
                entry, keep(signal.name), keep(signal.arguments.map(\.value).joined()), keep(names(Array(signal.arguments))), 0)
            entry += 1
        }
        termspan_vtable_end(entry)
    }

    deinit {
        vtable.deallocate()
        for string in strings { free(string) }
    }

    /// The paths there are, at the cost of whoever has them listed.
    func listChildren() -> [String] {
        let paths = children?() ?? []
        connection?.gate?.chargeCurrent(objects: paths.count)
        return paths
    }

    /// Names in a row, each ended by a NUL byte; an empty one ends the list.
    private func names(_ arguments: [(key: String, value: String)]) -> [UInt8] {
        arguments.flatMap { Array($0.key.utf8) + [0] }
    }

    private func keep(_ text: String) -> UnsafePointer<CChar>? { keep(Array(text.utf8)) }

    private func keep(_ bytes: [UInt8]) -> UnsafePointer<CChar>? {
        guard let memory = calloc(bytes.count + 1, 1) else { return nil }
        memory.copyMemory(from: bytes, byteCount: bytes.count)
        let string = memory.assumingMemoryBound(to: CChar.self)
        strings.append(string)
        return UnsafePointer(string)
    }

    nonisolated static func invoke(_ message: OpaquePointer?, _ data: UnsafeMutableRawPointer?) -> Int32 {
        guard let message, let data else { return 0 }
        nonisolated(unsafe) let arguments = (message, data)
        MainActor.assumeIsolated {
            let exported = Unmanaged<ExportedInterface>.fromOpaque(arguments.1).takeUnretainedValue()
            let invocation = BusInvocation(arguments.0, gate: exported.connection?.gate)
            guard let method = invocation.message.member.flatMap({ exported.methods[$0] }) else {
                return invocation.fail(BusError(name: "org.freedesktop.DBus.Error.UnknownMethod", message: "There is no such method."))
            }
            do throws(BusError) {
                try method.handler(invocation)
            } catch {
                invocation.fail(error)
            }
        }
        // Handled, or will be answered later by whoever keeps the invocation.
        return 1
    }

    nonisolated static func get(
        _ bus: OpaquePointer?, _ path: UnsafePointer<CChar>?, _ name: UnsafePointer<CChar>?, _ reply: OpaquePointer?,
        _ data: UnsafeMutableRawPointer?, _ error: UnsafeMutablePointer<sd_bus_error>?
    ) -> Int32 {
        guard let bus, let path, let name, let reply, let data else { return -EINVAL }
        nonisolated(unsafe) let arguments = (bus, path, name, reply, data, error)
        return MainActor.assumeIsolated {
            let (bus, path, name, reply, data, error) = arguments
            let exported = Unmanaged<ExportedInterface>.fromOpaque(data).takeUnretainedValue()
            guard let property = exported.properties[String(cString: name)] else { return -ENOENT }
            var writer = BusMessageWriter(reply)
            do throws(BusError) {
                try property.get(String(cString: path), exported.caller(bus), &writer)
                if let failure = writer.failure { throw failure }
                return 1
            } catch let failure {
                return sd_bus_error_set(error, failure.name, failure.message)
            }
        }
    }

    /// The call of Get, GetAll or GetManagedObjects that is being answered. Anything else that is on its way while a property is read (a
    /// method that tells of a new object) asks for nobody in particular.
    private func caller(_ bus: OpaquePointer) -> BusMessage? {
        guard let pointer = sd_bus_get_current_message(bus) else { return nil }
        let message = BusMessage(pointer, caller: connection?.gate?.credentials(of: pointer))
        switch (message.interface, message.member) {
        case ("org.freedesktop.DBus.Properties", "Get"), ("org.freedesktop.DBus.Properties", "GetAll"),
            ("org.freedesktop.DBus.ObjectManager", "GetManagedObjects"), (nil, "Get"), (nil, "GetAll"), (nil, "GetManagedObjects"):
            return message
        default:
            return nil
        }
    }
}
