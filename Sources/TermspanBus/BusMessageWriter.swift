import CSystemd

/// Appends the arguments of a message (sd_bus_message_append_basic(3)).
///
/// It remembers the first failure (an invalid object path, no memory) and writes nothing after it; the message is then not sent and the
/// failure is reported where it would have been.
@MainActor
package struct BusMessageWriter {
    private let pointer: OpaquePointer
    package private(set) var failure: BusError?

    init(_ pointer: OpaquePointer) {
        self.pointer = pointer
    }

    package mutating func append(_ value: some BusBasic) {
        guard failure == nil else { return }
        note(value.appendBasic(to: pointer), "appending a value")
    }

    package mutating func append(objectPath: String) { appendText(objectPath, "o") }
    package mutating func append(signature: String) { appendText(signature, "g") }

    /// Appends a duplicate of the descriptor.
    package mutating func append(unixFD: Int32) {
        guard failure == nil else { return }
        let type = CChar(truncatingIfNeeded: UInt8(ascii: "h"))
        note(withUnsafeBytes(of: unixFD) { sd_bus_message_append_basic(pointer, type, $0.baseAddress) }, "appending a descriptor")
    }

    private mutating func appendText(_ text: String, _ letter: Unicode.Scalar) {
        guard failure == nil else { return }
        note(
            text.withCString { sd_bus_message_append_basic(pointer, CChar(truncatingIfNeeded: letter.value), $0) },
            "appending '\(text)'")
    }

    /// Appends `as`.
    package mutating func append(_ strings: [String]) {
        array(of: "s") { writer in for string in strings { writer.append(string) } }
    }

    /// Appends an array of the complete type `element`; `body` appends the elements.
    package mutating func array(of element: String, _ body: @MainActor (inout BusMessageWriter) -> Void) {
        container("a", element, body)
    }

    /// Appends a structure of the types `members`.
    package mutating func structure(_ members: String, _ body: @MainActor (inout BusMessageWriter) -> Void) {
        container("r", members, body)
    }

    /// Appends a variant that contains the one complete type `content`.
    package mutating func variant(_ content: String, _ body: @MainActor (inout BusMessageWriter) -> Void) {
        container("v", content, body)
    }

    /// Appends `a{sv}`; `body` calls `property` for each entry.
    package mutating func properties(_ body: @MainActor (inout BusMessageWriter) -> Void) {
        container("a", "{sv}", body)
    }

    /// Appends `a{sv}` in the order of the keys.
    package mutating func properties(_ values: [String: BusValue]) {
        properties { writer in
            for (key, value) in values.sorted(by: { $0.key < $1.key }) { writer.property(key, value) }
        }
    }

    /// Appends `aa{sv}`.
    package mutating func rows(_ rows: [[String: BusValue]]) {
        array(of: "a{sv}") { writer in for row in rows { writer.properties(row) } }
    }

    /// Appends one entry `{sv}` of a basic type, within `properties`.
    package mutating func property<Value: BusBasic>(_ key: String, _ value: Value) {
        entry(key, String(Unicode.Scalar(UInt8(bitPattern: Value.busType)))) { $0.append(value) }
    }

    /// Appends one entry `{sv}` that contains `as`, within `properties`.
    package mutating func property(_ key: String, _ value: [String]) {
        entry(key, "as") { $0.append(value) }
    }

    /// Appends one entry `{sv}`, within `properties`; the variant contains `value` itself.
    package mutating func property(_ key: String, _ value: BusValue) {
        if case .variant(let content) = value { return property(key, content) }
        entry(key, value.signature) { $0.append(value) }
    }

    private mutating func entry(_ key: String, _ content: String, _ body: @MainActor (inout BusMessageWriter) -> Void) {
        container("e", "sv") { writer in
            writer.append(key)
            writer.variant(content, body)
        }
    }

    /// Appends a value of the type that it carries.
    package mutating func append(_ value: BusValue) {
        switch value {
        case .byte(let value): append(value)
        case .bool(let value): append(value)
        case .int16(let value): append(value)
        case .uint16(let value): append(value)
        case .int32(let value): append(value)
        case .uint32(let value): append(value)
        case .int64(let value): append(value)
        case .uint64(let value): append(value)
        case .double(let value): append(value)
        case .string(let value): append(value)
        case .objectPath(let value): append(objectPath: value)
        case .signature(let value): append(signature: value)
        case .unixFD(let value): append(unixFD: value)
        case .array(let element, let values):
            array(of: element) { writer in for value in values { writer.append(value) } }
        case .structure(let members):
            structure(members.map(\.signature).joined()) { writer in for member in members { writer.append(member) } }
        case .dictionary(let key, let content, let entries):
            container("a", "{" + key + content + "}") { writer in
                for entry in entries {
                    writer.container("e", key + content) { writer in
                        writer.append(entry.key)
                        writer.append(entry.value)
                    }
                }
            }
        case .variant(let content):
            variant(content.signature) { $0.append(content) }
        }
    }

    private mutating func container(
        _ type: Unicode.Scalar, _ contents: String, _ body: @MainActor (inout BusMessageWriter) -> Void
    ) {
        guard failure == nil else { return }
        note(sd_bus_message_open_container(pointer, CChar(truncatingIfNeeded: type.value), contents), "opening '\(contents)'")
        guard failure == nil else { return }
        body(&self)
        guard failure == nil else { return }
        note(sd_bus_message_close_container(pointer), "closing '\(contents)'")
    }

    private mutating func note(_ result: Int32, _ operation: @autoclosure () -> String) {
        if result < 0 { failure = BusError(code: result, operation: operation()) }
    }
}
