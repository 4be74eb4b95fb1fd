/// A value of D-Bus's type system that carries its type, for `a{sv}` and other places where the type isn't known beforehand.
///
/// A descriptor that was read belongs to the message and is closed with it; duplicate it to keep it. Writing duplicates it.
package indirect enum BusValue: Hashable, Sendable {
    case byte(UInt8)
    case bool(Bool)
    case int16(Int16)
    case uint16(UInt16)
    case int32(Int32)
    case uint32(UInt32)
    case int64(Int64)
    case uint64(UInt64)
    case double(Double)
    case string(String)
    case objectPath(String)
    case signature(String)
    case unixFD(Int32)
    /// Elements of the one complete type `of`.
    case array(of: String, [BusValue])
    case structure([BusValue])
    /// `a{kv}`: the signatures of keys and values, and the entries in their order.
    case dictionary(key: String, value: String, [Entry])
    case variant(BusValue)

    package struct Entry: Hashable, Sendable {
        package var key: BusValue
        package var value: BusValue

        package init(key: BusValue, value: BusValue) {
            self.key = key
            self.value = value
        }
    }

    /// `a{sv}`, in the order of the keys.
    package static func properties(_ values: [String: BusValue]) -> BusValue {
        .dictionary(
            key: "s", value: "v",
            values.sorted { $0.key < $1.key }.map { Entry(key: .string($0.key), value: .variant($0.value)) })
    }

    /// `as`
    package static func strings(_ values: [String]) -> BusValue { .array(of: "s", values.map { .string($0) }) }

    /// The value's complete type.
    package var signature: String {
        switch self {
        case .byte: "y"
        case .bool: "b"
        case .int16: "n"
        case .uint16: "q"
        case .int32: "i"
        case .uint32: "u"
        case .int64: "x"
        case .uint64: "t"
        case .double: "d"
        case .string: "s"
        case .objectPath: "o"
        case .signature: "g"
        case .unixFD: "h"
        case .array(let element, _): "a" + element
        case .structure(let members): "(" + members.map(\.signature).joined() + ")"
        case .dictionary(let key, let value, _): "a{" + key + value + "}"
        case .variant: "v"
        }
    }
}

/// What a value is, where it is that; variants are looked through.
extension BusValue {
    private var inner: BusValue {
        var value = self
        while case .variant(let content) = value { value = content }
        return value
    }

    /// The text of a string, an object path or a signature.
    package var string: String? {
        switch inner {
        case .string(let text), .objectPath(let text), .signature(let text): text
        default: nil
        }
    }

    package var bool: Bool? {
        if case .bool(let value) = inner { value } else { nil }
    }

    /// Any integer that isn't negative.
    package var unsigned: UInt64? {
        switch inner {
        case .byte(let value): UInt64(value)
        case .uint16(let value): UInt64(value)
        case .uint32(let value): UInt64(value)
        case .uint64(let value): value
        case .int16(let value): UInt64(exactly: value)
        case .int32(let value): UInt64(exactly: value)
        case .int64(let value): UInt64(exactly: value)
        default: nil
        }
    }

    /// Any integer that an Int64 holds.
    package var signed: Int64? {
        switch inner {
        case .int16(let value): Int64(value)
        case .int32(let value): Int64(value)
        case .int64(let value): value
        default: unsigned.flatMap { Int64(exactly: $0) }
        }
    }

    package var double: Double? {
        if case .double(let value) = inner { value } else { nil }
    }

    package var unixFD: Int32? {
        if case .unixFD(let value) = inner { value } else { nil }
    }

    /// The elements of an array or the members of a structure.
    package var elements: [BusValue]? {
        switch inner {
        case .array(_, let elements): elements
        case .structure(let members): members
        default: nil
        }
    }

    /// The texts of an array of strings or object paths.
    package var strings: [String]? { elements?.compactMap(\.string) }

    /// The entries of a dictionary with string keys, variants unwrapped; of equal keys the last one.
    package var properties: [String: BusValue]? {
        guard case .dictionary(_, _, let entries) = inner else { return nil }
        var values: [String: BusValue] = [:]
        values.reserveCapacity(entries.count)
        for entry in entries {
            guard let key = entry.key.string else { return nil }
            values[key] = entry.value.inner
        }
        return values
    }
}

extension BusValue: ExpressibleByStringLiteral, ExpressibleByBooleanLiteral {
    package init(stringLiteral value: String) { self = .string(value) }
    package init(booleanLiteral value: Bool) { self = .bool(value) }
}
