/// What an exported object offers under one interface name: methods, properties and signals, all visible to introspection.
@MainActor
package struct BusInterface {
    package let name: String
    package let methods: [BusMethod]
    package let properties: [BusProperty]
    package let signals: [BusSignal]

    package init(_ name: String, methods: [BusMethod] = [], properties: [BusProperty] = [], signals: [BusSignal] = []) {
        self.name = name
        self.methods = methods
        self.properties = properties
        self.signals = signals
    }
}

/// A method. Anybody whom the bus's policy lets through can call it; the handler decides (`BusInvocation.credentials`, `Polkit`).
@MainActor
package struct BusMethod {
    package typealias Handler = @MainActor (BusInvocation) throws(BusError) -> Void

    let name: String
    let arguments: KeyValuePairs<String, String>
    let results: KeyValuePairs<String, String>
    let handler: Handler

    /// - Parameters:
    ///   - arguments: names with their complete types; a call with others is refused before the handler.
    ///   - results: likewise.
    ///   - handler: reads the arguments and replies, at once or later; what it throws is the answer.
    package init(
        _ name: String, in arguments: KeyValuePairs<String, String> = [:], out results: KeyValuePairs<String, String> = [:],
        handler: @escaping Handler
    ) {
        self.name = name
        self.arguments = arguments
        self.results = results
        self.handler = handler
    }
}

/// A property that can be read.
@MainActor
package struct BusProperty {
    /// What is told when it changes.
    package enum Emits: Sendable {
        /// Nothing: for what not everybody may see, and what changes all the time.
        case nothing
        /// The new value; see `BusConnection.emitPropertiesChanged`.
        case change
        /// Only that it changed.
        case invalidation
        /// It never changes.
        case constant
    }

    let name: String
    let type: String
    let emits: Emits
    let get: @MainActor (_ path: String, _ caller: BusMessage?, inout BusMessageWriter) throws(BusError) -> Void

    /// A property that everybody may see. `get` appends one value of `type`.
    package init(
        _ name: String, _ type: String, emits: Emits = .nothing,
        get: @escaping @MainActor (_ path: String, inout BusMessageWriter) throws(BusError) -> Void
    ) {
        self.name = name
        self.type = type
        self.emits = emits
        self.get = { path, _, writer throws(BusError) in try get(path, &writer) }
    }

    /// A property that depends on who asks, in Get and in GetAll; its changes are never told.
    ///
    /// `get` appends a value of `type`, blank for those who may not see it, or throws: but GetAll fails as a whole then. The message is
    /// the caller's, nil where nobody in particular asks (a new object is told to all): append a blank.
    package init(
        sensitive name: String, _ type: String,
        get: @escaping @MainActor (_ path: String, _ caller: BusMessage?, inout BusMessageWriter) throws(BusError) -> Void
    ) {
        self.name = name
        self.type = type
        emits = .nothing
        self.get = get
    }
}

/// A signal, declared for introspection; `BusConnection.emit` sends it.
@MainActor
package struct BusSignal {
    let name: String
    let arguments: KeyValuePairs<String, String>

    package init(_ name: String, _ arguments: KeyValuePairs<String, String> = [:]) {
        self.name = name
        self.arguments = arguments
    }
}
