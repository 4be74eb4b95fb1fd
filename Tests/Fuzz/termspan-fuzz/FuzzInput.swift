/// The bytes of one run, taken from the front: whatever a target needs, it makes of these. At their end everything is 0.
struct FuzzInput {
    private var rest: UnsafeRawBufferPointer

    init(_ bytes: UnsafeRawBufferPointer) { rest = bytes }

    var isEmpty: Bool { rest.isEmpty }

    mutating func byte() -> UInt8 {
        guard let first = rest.first else { return 0 }
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst())
        return first
    }

    mutating func integer<T: FixedWidthInteger>(_ type: T.Type = T.self) -> T {
        var value: T = 0
        for index in 0..<(T.bitWidth / 8) { value |= T(truncatingIfNeeded: byte()) << T(8 * index) }
        return value
    }

    /// Less than `limit`.
    mutating func number(below limit: Int) -> Int { limit <= 256 ? Int(byte()) % limit : Int(integer(UInt16.self)) % limit }

    mutating func bool() -> Bool { byte() & 1 == 1 }

    mutating func bytes(_ count: Int) -> UnsafeRawBufferPointer {
        let taken = UnsafeRawBufferPointer(rebasing: rest.prefix(count))
        rest = UnsafeRawBufferPointer(rebasing: rest.dropFirst(taken.count))
        return taken
    }

    /// A length and so many bytes.
    mutating func chunk(atMost limit: Int = 255) -> UnsafeRawBufferPointer { bytes(number(below: limit + 1)) }

    /// A length and so many bytes as text, repaired where they are no UTF-8.
    mutating func text(atMost limit: Int = 255) -> String { String(decoding: chunk(atMost: limit), as: UTF8.self) }

    mutating func remaining() -> UnsafeRawBufferPointer { bytes(rest.count) }

    mutating func remainingText() -> String { String(decoding: remaining(), as: UTF8.self) }

    /// The first part of what is left, and what follows it.
    mutating func split() -> (FuzzInput, FuzzInput) {
        let count = rest.count * Int(byte()) / 256
        return (FuzzInput(bytes(count)), FuzzInput(remaining()))
    }
}
