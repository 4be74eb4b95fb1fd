/// A reply of an X server: bytes in this machine's order, whose lengths and counts are the server's claims.
///
/// Every read is bounded by the reply's own length; libxcb's accessors trust the counts inside. What lies beyond reads as nil.
struct XBytes {
    private let bytes: UnsafeRawBufferPointer

    /// The bytes must outlive the value.
    init(_ bytes: UnsafeRawBufferPointer) {
        self.bytes = bytes
    }

    var count: Int { bytes.count }

    func load<T: FixedWidthInteger & BitwiseCopyable>(_ type: T.Type, at offset: Int) -> T? {
        guard offset >= 0, offset <= bytes.count - MemoryLayout<T>.size else { return nil }
        return bytes.loadUnaligned(fromByteOffset: offset, as: T.self)
    }

    /// The bytes from `offset`; nil unless all `count` of them are there.
    func slice(at offset: Int, count: Int) -> XBytes? {
        guard offset >= 0, count >= 0, offset <= bytes.count, count <= bytes.count - offset else { return nil }
        return XBytes(UnsafeRawBufferPointer(rebasing: bytes[offset..<(offset + count)]))
    }

    /// SYNC's INT64: the high half first.
    func loadSync64(at offset: Int) -> Int64? {
        guard let high = load(Int32.self, at: offset), let low = load(UInt32.self, at: offset + 4) else { return nil }
        return Int64(high) << 32 | Int64(low)
    }

    func equals(_ text: StaticString) -> Bool {
        guard count == text.utf8CodeUnitCount else { return false }
        return hasPrefix(text)
    }

    func hasPrefix(_ text: StaticString) -> Bool {
        guard count >= text.utf8CodeUnitCount else { return false }
        return text.withUTF8Buffer { text in
            for index in 0..<text.count where bytes[index] != text[index] { return false }
            return true
        }
    }

    func hasSuffix(_ text: StaticString) -> Bool {
        slice(at: count - text.utf8CodeUnitCount, count: text.utf8CodeUnitCount)?.equals(text) ?? false
    }

    func firstIndex(of byte: UInt8) -> Int? {
        bytes.firstIndex(of: byte)
    }

    /// The bytes as a decimal number, nothing else around it.
    var decimal: UInt32? {
        guard count > 0, count <= 10 else { return nil }
        var value: UInt32 = 0
        for byte in bytes {
            guard byte >= UInt8(ascii: "0"), byte <= UInt8(ascii: "9") else { return nil }
            let (product, overflow) = value.multipliedReportingOverflow(by: 10)
            let (sum, overflowed) = product.addingReportingOverflow(UInt32(byte - UInt8(ascii: "0")))
            guard !overflow, !overflowed else { return nil }
            value = sum
        }
        return value
    }

    func copy() -> [UInt8] { Array(bytes) }
}
