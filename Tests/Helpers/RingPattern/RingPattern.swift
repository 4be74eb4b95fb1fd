import SeededRandom

/// What the event with a given number is, so that a reader can tell whether each byte of it is right.
package struct RingPattern {
    private let word: UInt64

    package init(attempt: UInt64) {
        word = SeededRandom.mix(attempt)
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
