/// What the event with a given number is, so that a reader can tell whether each byte of it is right.
package struct RingPattern {
    private let word: UInt64

    package init(attempt: UInt64) {
        word = RandomNumbers.mix(attempt)
    }

    package var type: UInt8 { UInt8(1 + word % 255) }
    package var length: Int { Int((word >> 8) % 161) }

    package func byte(_ index: Int) -> UInt8 {
        UInt8(truncatingIfNeeded: word >> UInt64(8 * (index % 8))) &+ UInt8(truncatingIfNeeded: index)
    }

    /// Writes the payload.
    package func fill(_ buffer: UnsafeMutableRawBufferPointer) -> UnsafeRawBufferPointer {
        for index in 0..<length { buffer[index] = byte(index) }
        return UnsafeRawBufferPointer(rebasing: buffer[..<length])
    }

    package func matches(type: UInt8, payload: UnsafeRawBufferPointer) -> Bool {
        guard type == self.type, payload.count == length else { return false }
        for index in 0..<length where payload[index] != byte(index) { return false }
        return true
    }
}

/// Numbers that look random and are the same for the same seed (SplitMix64).
package struct RandomNumbers: RandomNumberGenerator {
    private var state: UInt64

    package init(seed: UInt64) {
        state = seed
    }

    package mutating func next() -> UInt64 {
        state &+= 0x9E37_79B9_7F4A_7C15
        return Self.mix(state)
    }

    package static func mix(_ value: UInt64) -> UInt64 {
        var word = value &+ 0x9E37_79B9_7F4A_7C15
        word = (word ^ (word >> 30)) &* 0xBF58_476D_1CE4_E5B9
        word = (word ^ (word >> 27)) &* 0x94D0_49BB_1331_11EB
        return word ^ (word >> 31)
    }
}
