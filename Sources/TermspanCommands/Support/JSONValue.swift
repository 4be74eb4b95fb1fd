/// A JSON value (RFC 8259) whose objects keep the order of their keys, so that output is stable.
package indirect enum JSONValue: Hashable, Sendable {
    case null
    case bool(Bool)
    case integer(Int64)
    case unsigned(UInt64)
    /// A number in the digits in which it was read or is to be written.
    case decimal(String)
    case string(String)
    case array([JSONValue])
    case object([Member])

    package struct Member: Hashable, Sendable {
        package var key: String
        package var value: JSONValue

        package init(_ key: String, _ value: JSONValue) {
            self.key = key
            self.value = value
        }
    }

    package static func optional(_ text: String?) -> JSONValue { text.map { .string($0) } ?? .null }

    /// The text on one line. Control characters are escaped, C1 and DEL too, so that it can't control a terminal.
    package var text: String {
        var text = ""
        write(to: &text)
        return text
    }

    private func write(to text: inout String) {
        switch self {
        case .null: text += "null"
        case .bool(let value): text += value ? "true" : "false"
        case .integer(let value): text += String(value)
        case .unsigned(let value): text += String(value)
        case .decimal(let digits): text += digits
        case .string(let value): Self.quote(value, to: &text)
        case .array(let values):
            text += "["
            for (index, value) in values.enumerated() {
                if index > 0 { text += "," }
                value.write(to: &text)
            }
            text += "]"
        case .object(let members):
            text += "{"
            for (index, member) in members.enumerated() {
                if index > 0 { text += "," }
                Self.quote(member.key, to: &text)
                text += ":"
                member.value.write(to: &text)
            }
            text += "}"
        }
    }

    private static func quote(_ value: String, to text: inout String) {
        text += "\""
        for scalar in value.unicodeScalars {
            switch scalar {
            case "\"": text += "\\\""
            case "\\": text += "\\\\"
            case "\n": text += "\\n"
            case "\t": text += "\\t"
            default:
                switch scalar.value {
                case 0..<0x20, 0x7F..<0xA0, 0x2028, 0x2029:
                    let digits = String(scalar.value, radix: 16)
                    text += "\\u" + String(repeating: "0", count: 4 - digits.utf8.count) + digits
                default: text.unicodeScalars.append(scalar)
                }
            }
        }
        text += "\""
    }
}

extension JSONValue {
    package subscript(key: String) -> JSONValue? {
        if case .object(let members) = self { members.last { $0.key == key }?.value } else { nil }
    }

    package var string: String? { if case .string(let value) = self { value } else { nil } }
    package var bool: Bool? { if case .bool(let value) = self { value } else { nil } }
    package var array: [JSONValue]? { if case .array(let values) = self { values } else { nil } }
    package var double: Double? {
        switch self {
        case .integer(let value): Double(value)
        case .unsigned(let value): Double(value)
        case .decimal(let digits): Double(digits)
        default: nil
        }
    }
    package var unsigned: UInt64? {
        switch self {
        case .unsigned(let value): value
        case .integer(let value): UInt64(exactly: value)
        default: nil
        }
    }
}

extension JSONValue {
    /// Reads one value that fills the whole text; nil for anything else, and for nesting beyond 32.
    package init?(_ bytes: some Sequence<UInt8>) {
        var parser = Parser(bytes: Array(bytes))
        guard let value = parser.value(depth: 0) else { return nil }
        parser.skipBlanks()
        guard parser.isAtEnd else { return nil }
        self = value
    }

    private struct Parser {
        let bytes: [UInt8]
        var index = 0

        init(bytes: [UInt8]) { self.bytes = bytes }

        var isAtEnd: Bool { index >= bytes.count }
        var byte: UInt8? { index < bytes.count ? bytes[index] : nil }

        mutating func skipBlanks() {
            while let byte, byte == 0x20 || byte == 0x0A || byte == 0x0D || byte == 0x09 { index += 1 }
        }

        mutating func take(_ character: Unicode.Scalar) -> Bool {
            skipBlanks()
            guard byte == UInt8(ascii: character) else { return false }
            index += 1
            return true
        }

        mutating func take(word: StaticString) -> Bool {
            let end = index + word.utf8CodeUnitCount
            guard end <= bytes.count, word.withUTF8Buffer({ bytes[index..<end].elementsEqual($0) }) else { return false }
            index = end
            return true
        }

        mutating func value(depth: Int) -> JSONValue? {
            guard depth < 32 else { return nil }
            skipBlanks()
            guard let byte else { return nil }
            switch byte {
            case UInt8(ascii: "{"):
                index += 1
                var members: [Member] = []
                if take("}") { return .object(members) }
                repeat {
                    skipBlanks()
                    guard let key = string(), take(":"), let value = value(depth: depth + 1) else { return nil }
                    members.append(Member(key, value))
                } while take(",")
                return take("}") ? .object(members) : nil
            case UInt8(ascii: "["):
                index += 1
                var values: [JSONValue] = []
                if take("]") { return .array(values) }
                repeat {
                    guard let value = value(depth: depth + 1) else { return nil }
                    values.append(value)
                } while take(",")
                return take("]") ? .array(values) : nil
            case UInt8(ascii: "\""): return string().map { .string($0) }
            case UInt8(ascii: "t"): return take(word: "true") ? .bool(true) : nil
            case UInt8(ascii: "f"): return take(word: "false") ? .bool(false) : nil
            case UInt8(ascii: "n"): return take(word: "null") ? .null : nil
            default: return number()
            }
        }

        /// Passes over digits; false if there is none.
        mutating func digits() -> Bool {
            let start = index
            while let byte, byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") { index += 1 }
            return index > start
        }

        /// By the grammar of RFC 8259, since the digits are written again as they are.
        mutating func number() -> JSONValue? {
            let start = index
            if byte == UInt8(ascii: "-") { index += 1 }
            if byte == UInt8(ascii: "0") { index += 1 } else if !digits() { return nil }
            if byte == UInt8(ascii: ".") {
                index += 1
                if !digits() { return nil }
            }
            if byte == UInt8(ascii: "e") || byte == UInt8(ascii: "E") {
                index += 1
                if byte == UInt8(ascii: "+") || byte == UInt8(ascii: "-") { index += 1 }
                if !digits() { return nil }
            }
            guard index - start <= 40 else { return nil }
            let digits = String(decoding: bytes[start..<index], as: UTF8.self)
            if let value = UInt64(digits) { return .unsigned(value) }
            if let value = Int64(digits) { return .integer(value) }
            return Double(digits).map { $0.isFinite ? .decimal(digits) : .null }
        }

        mutating func string() -> String? {
            guard take("\"") else { return nil }
            var text: [UInt8] = []
            while let byte {
                index += 1
                switch byte {
                case UInt8(ascii: "\""): return String(decoding: text, as: UTF8.self)
                case 0..<0x20: return nil
                case UInt8(ascii: "\\"):
                    guard let escape = self.byte else { return nil }
                    index += 1
                    switch escape {
                    case UInt8(ascii: "n"): text.append(0x0A)
                    case UInt8(ascii: "t"): text.append(0x09)
                    case UInt8(ascii: "r"): text.append(0x0D)
                    case UInt8(ascii: "b"): text.append(0x08)
                    case UInt8(ascii: "f"): text.append(0x0C)
                    case UInt8(ascii: "\""), UInt8(ascii: "\\"), UInt8(ascii: "/"): text.append(escape)
                    case UInt8(ascii: "u"):
                        guard var code = hexadecimal() else { return nil }
                        if code & 0xFC00 == 0xD800 {
                            // The other half of a pair, or a lone one, which is no character.
                            let saved = index
                            if take(word: "\\u"), let low = hexadecimal(), low & 0xFC00 == 0xDC00 {
                                code = 0x10000 + (code & 0x3FF) << 10 + low & 0x3FF
                            } else {
                                index = saved
                            }
                        }
                        text += String(Unicode.Scalar(code).map(Character.init) ?? "\u{FFFD}").utf8
                    default: return nil
                    }
                default: text.append(byte)
                }
            }
            return nil
        }

        mutating func hexadecimal() -> UInt32? {
            guard index + 4 <= bytes.count else { return nil }
            defer { index += 4 }
            let digits = bytes[index..<(index + 4)]
            // UInt32's own reader takes a sign too.
            guard digits.first != UInt8(ascii: "+") else { return nil }
            return UInt32(String(decoding: digits, as: UTF8.self), radix: 16)
        }
    }
}
