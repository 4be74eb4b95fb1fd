import CSystemd

/// Reading: each function takes the next argument and throws when the message has another type there or ends.
extension BusMessage {
    /// Whether the innermost open container, or the message, has no more values.
    package var atEnd: Bool { sd_bus_message_at_end(pointer, 0) != 0 }

    /// The next value of a basic type: Bool, the integers, Double, String.
    package func read<Value: BusBasic>(_ type: Value.Type = Value.self) throws(BusError) -> Value {
        var value = Value.busZero
        let result = Value.readBasic(from: pointer, into: &value)
        try expect(result, Value.busType)
        if Value.busType == String.busType, let text = value as? String { try bound(text) }
        return value
    }

    package func readObjectPath() throws(BusError) -> String { try readText("o") }
    package func readSignature() throws(BusError) -> String { try readText("g") }

    /// The next descriptor; it is closed with the message.
    package func readUnixFD() throws(BusError) -> Int32 {
        var descriptor: Int32 = -1
        let type = CChar(truncatingIfNeeded: UInt8(ascii: "h"))
        let result = withUnsafeMutableBytes(of: &descriptor) { sd_bus_message_read_basic(pointer, type, $0.baseAddress) }
        try expect(result, type)
        return descriptor
    }

    private func readText(_ letter: Unicode.Scalar) throws(BusError) -> String {
        var text: UnsafePointer<CChar>?
        let type = CChar(truncatingIfNeeded: letter.value)
        let result = withUnsafeMutableBytes(of: &text) { sd_bus_message_read_basic(pointer, type, $0.baseAddress) }
        try expect(result, type)
        return text.map { String(cString: $0) } ?? ""
    }

    /// So that no call is kept for long that is larger than what it says.
    private func bound(_ text: String) throws(BusError) {
        if text.utf8.count > textLimit { throw .invalidArguments("A text is longer than the \(textLimit) bytes that are accepted.") }
    }

    private func expect(_ result: Int32, _ type: CChar) throws(BusError) {
        func letter() -> String { String(Unicode.Scalar(UInt8(bitPattern: type))) }
        if result == 0 { throw .invalidArguments("The message ends where a value of type '\(letter())' should be.") }
        if result < 0 { throw BusError(code: result, operation: "reading a value of type '\(letter())'") }
    }

    /// Reads an array of `element` (one complete type): `body` is called at each element and reads exactly it.
    package func readArray(
        of element: String, _ body: @MainActor (BusMessage) throws(BusError) -> Void
    ) throws(BusError) {
        try enter("a", element)
        while !atEnd { try body(self) }
        try exit()
    }

    /// Reads a structure whose members have the types `members`.
    package func readStructure<Value>(
        _ members: String, _ body: @MainActor (BusMessage) throws(BusError) -> Value
    ) throws(BusError) -> Value {
        try enter("r", members)
        let value = try body(self)
        try exit()
        return value
    }

    /// Reads a variant that must contain `content`.
    package func readVariant<Value>(
        of content: String, _ body: @MainActor (BusMessage) throws(BusError) -> Value
    ) throws(BusError) -> Value {
        try enter("v", content)
        let value = try body(self)
        try exit()
        return value
    }

    /// Reads `a{sX}`: `body` is called with each key and reads the value, or skips it.
    package func readDictionary(
        of value: String, _ body: @MainActor (_ key: String, BusMessage) throws(BusError) -> Void
    ) throws(BusError) {
        try enter("a", "{s" + value + "}")
        while !atEnd {
            try enter("e", "s" + value)
            let key = try read(String.self)
            try body(key, self)
            try exit()
        }
        try exit()
    }

    /// Reads `as`. Throws for more strings than `valueLimit`.
    package func readStrings() throws(BusError) -> [String] {
        try enter("a", "s")
        var strings: [String] = []
        while !atEnd {
            if strings.count >= valueLimit { throw .invalidArguments("The message has more values than are accepted.") }
            strings.append(try read())
        }
        try exit()
        return strings
    }

    /// Passes over values of the types `signature`.
    package func skip(_ signature: String) throws(BusError) {
        try check(sd_bus_message_skip(pointer, signature), "skipping '\(signature)'")
    }

    /// Reads `a{sv}` with the variants unwrapped; of equal keys the last one.
    package func readProperties() throws(BusError) -> [String: BusValue] {
        var values: [String: BusValue] = [:]
        try readProperties { key, value in values[key] = value }
        return values
    }

    /// Reads `a{sv}` entry by entry with the variants unwrapped, without a dictionary, which costs as much as the reading.
    package func readProperties(_ body: @MainActor (_ key: String, _ value: BusValue) -> Void) throws(BusError) {
        var budget = valueLimit
        try enter("a", "{sv}")
        while !atEnd {
            try enter("e", "sv")
            let key = try read(String.self)
            budget -= 1
            var type: CChar = 0
            var content: UnsafePointer<CChar>?
            try check(sd_bus_message_peek_type(pointer, &type, &content), "reading a property")
            try enter("v", content)
            body(key, try readValue(depth: 1, budget: &budget))
            try exit()
            try exit()
        }
        try exit()
    }

    /// Reads `aa{sv}`.
    package func readRows() throws(BusError) -> [[String: BusValue]] {
        var rows: [[String: BusValue]] = []
        try readArray(of: "a{sv}") { message throws(BusError) in
            if rows.count >= message.valueLimit { throw .invalidArguments("Too many rows.") }
            rows.append(try message.readProperties())
        }
        return rows
    }

    /// Reads the next value, whatever it is. Throws for nesting beyond 16 and for more values than `valueLimit`.
    package func readValue() throws(BusError) -> BusValue {
        var budget = valueLimit
        return try readValue(depth: 0, budget: &budget)
    }

    private func readValue(depth: Int, budget: inout Int) throws(BusError) -> BusValue {
        budget -= 1
        if budget < 0 { throw .invalidArguments("The message has more values than are accepted.") }
        if depth > 16 { throw .invalidArguments("The message is nested deeper than is accepted.") }
        var type: CChar = 0
        var content: UnsafePointer<CChar>?
        if try check(sd_bus_message_peek_type(pointer, &type, &content), "reading a value") == 0 {
            throw .invalidArguments("The message ends where a value should be.")
        }
        switch Unicode.Scalar(UInt8(bitPattern: type)) {
        case "y": return .byte(try read())
        case "b": return .bool(try read())
        case "n": return .int16(try read())
        case "q": return .uint16(try read())
        case "i": return .int32(try read())
        case "u": return .uint32(try read())
        case "x": return .int64(try read())
        case "t": return .uint64(try read())
        case "d": return .double(try read())
        case "s": return .string(try read())
        case "o": return .objectPath(try readObjectPath())
        case "g": return .signature(try readSignature())
        case "h": return .unixFD(try readUnixFD())
        case "v":
            try enter("v", content)
            let value = try readValue(depth: depth + 1, budget: &budget)
            try exit()
            return .variant(value)
        case "r":
            try enter("r", content)
            var members: [BusValue] = []
            while !atEnd { members.append(try readValue(depth: depth + 1, budget: &budget)) }
            try exit()
            return .structure(members)
        case "a":
            let element = content.map { String(cString: $0) } ?? ""
            try enter("a", content)
            if element.utf8.first == UInt8(ascii: "{") {
                let pair = element.dropFirst().dropLast()
                var entries: [BusValue.Entry] = []
                while !atEnd {
                    try enter("e", String(pair))
                    let key = try readValue(depth: depth + 1, budget: &budget)
                    entries.append(.init(key: key, value: try readValue(depth: depth + 1, budget: &budget)))
                    try exit()
                }
                try exit()
                return .dictionary(key: String(pair.prefix(1)), value: String(pair.dropFirst()), entries)
            }
            var elements: [BusValue] = []
            while !atEnd { elements.append(try readValue(depth: depth + 1, budget: &budget)) }
            try exit()
            return .array(of: element, elements)
        default:
            throw .invalidArguments("The message has a value of an unknown type.")
        }
    }

    /// `contents` is a Swift string of ours, or what libsystemd said is there.
    private func enter(_ type: Unicode.Scalar, _ contents: UnsafePointer<CChar>?) throws(BusError) {
        let result = sd_bus_message_enter_container(pointer, CChar(truncatingIfNeeded: type.value), contents)
        func text() -> String { contents.map { String(cString: $0) } ?? "" }
        if result == 0 { throw .invalidArguments("The message ends where '\(text())' should be.") }
        if result < 0 { throw BusError(code: result, operation: "entering '\(text())'") }
    }

    private func exit() throws(BusError) {
        try check(sd_bus_message_exit_container(pointer), "leaving a container")
    }
}
