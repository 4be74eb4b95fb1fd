/// A 128-bit identity as machine-id(5) and boot ids have it: 32 hexadecimal digits.
package struct ID128: Hashable, Sendable, CustomStringConvertible {
    /// Bytes 0 to 7, big-endian.
    package let high: UInt64
    /// Bytes 8 to 15, big-endian.
    package let low: UInt64

    package init(high: UInt64, low: UInt64) {
        self.high = high
        self.low = low
    }

    /// Takes 16 bytes in network order; nil for any other count.
    package init?(bytes: some Collection<UInt8>) {
        guard let (high, low) = Self.words(bytes) else { return nil }
        self.init(high: high, low: low)
    }

    /// Takes 32 hexadecimal digits, with or without the hyphens of a UUID; nil otherwise.
    package init?(_ text: some StringProtocol) {
        let digits = String(text.filter { $0 != "-" })
        guard digits.utf8.count == 32, digits.allSatisfy({ $0.isASCII && $0.isHexDigit }),
            let high = UInt64(digits.prefix(16), radix: 16), let low = UInt64(digits.suffix(16), radix: 16)
        else { return nil }
        self.init(high: high, low: low)
    }

    /// The 16 bytes in network order.
    package var bytes: [UInt8] {
        [high, low].flatMap { word in (0..<8).map { UInt8(truncatingIfNeeded: word >> (56 - 8 * $0)) } }
    }

    /// 32 hexadecimal digits in lower case.
    package var description: String {
        func digits(_ word: UInt64) -> String {
            let text = String(word, radix: 16)
            return String(repeating: "0", count: 16 - text.utf8.count) + text
        }
        return digits(high) + digits(low)
    }

    static func words(_ bytes: some Collection<UInt8>) -> (UInt64, UInt64)? {
        guard bytes.count == 16 else { return nil }
        func word(_ part: some Sequence<UInt8>) -> UInt64 { part.reduce(0) { $0 << 8 | UInt64($1) } }
        return (word(bytes.prefix(8)), word(bytes.suffix(8)))
    }
}
