/// A UUID of version 7 (RFC 9562): 48 bits of milliseconds since 1970, then random bits, so that it sorts by time of creation.
package struct UUIDv7: Hashable, Comparable, Sendable, CustomStringConvertible {
    /// Bytes 0 to 7, big-endian.
    package let high: UInt64
    /// Bytes 8 to 15, big-endian.
    package let low: UInt64

    /// Makes one for the given moment; `random` is asked for 74 bits.
    package init(at instant: WallInstant, using random: inout some RandomNumberGenerator) {
        let milliseconds = UInt64(clamping: instant.nanoseconds / 1_000_000) & 0xFFFF_FFFF_FFFF
        high = milliseconds << 16 | 0x7000 | random.next() & 0x0FFF
        low = 0x8000_0000_0000_0000 | random.next() & 0x3FFF_FFFF_FFFF_FFFF
    }

    /// Makes one for the given moment from the system's random numbers.
    package init(at instant: WallInstant) {
        var random = SystemRandomNumberGenerator()
        self.init(at: instant, using: &random)
    }

    /// Takes 16 bytes in network order; nil for any other count or version.
    package init?(bytes: some Collection<UInt8>) {
        guard let (high, low) = ID128.words(bytes), high >> 12 & 0xF == 7 else { return nil }
        self.high = high
        self.low = low
    }

    /// Takes the 36 characters of the usual form; nil if they are no UUID of version 7.
    package init?(_ text: some StringProtocol) {
        guard text.utf8.count == 36, let id = ID128(text), id.high >> 12 & 0xF == 7 else { return nil }
        high = id.high
        low = id.low
    }

    /// When it was made, to the millisecond.
    package var created: WallInstant { WallInstant(nanoseconds: Int64(high >> 16) * 1_000_000) }

    /// The 16 bytes in network order.
    package var bytes: [UInt8] { ID128(high: high, low: low).bytes }

    /// The usual form: `0190b2f4-…`, 36 characters in lower case.
    package var description: String {
        let digits = ID128(high: high, low: low).description.utf8
        var text: [UInt8] = []
        text.reserveCapacity(36)
        for (index, digit) in digits.enumerated() {
            if index == 8 || index == 12 || index == 16 || index == 20 { text.append(UInt8(ascii: "-")) }
            text.append(digit)
        }
        return String(decoding: text, as: UTF8.self)
    }

    package static func < (lhs: UUIDv7, rhs: UUIDv7) -> Bool { (lhs.high, lhs.low) < (rhs.high, rhs.low) }
}

extension UUIDv7: Codable {
    package init(from decoder: any Decoder) throws {
        let text = try decoder.singleValueContainer().decode(String.self)
        guard let uuid = UUIDv7(text) else {
            throw DecodingError.dataCorrupted(.init(codingPath: decoder.codingPath, debugDescription: "not a UUID of version 7: \(text)"))
        }
        self = uuid
    }

    package func encode(to encoder: any Encoder) throws {
        var container = encoder.singleValueContainer()
        try container.encode(description)
    }
}
