import TermspanCore

/// How long things took, in buckets of about 6 % width, from 1 µs to over an hour; a fixed 4 KiB.
package struct LatencyHistogram: Sendable, Equatable {
    /// Eight powers of two are divided into 16 steps each.
    private var counts = [UInt64](repeating: 0, count: 512)
    package private(set) var count: UInt64 = 0
    /// The longest, in microseconds.
    package private(set) var maximum: UInt64 = 0

    package init() {}

    package mutating func record(_ duration: Duration) {
        let microseconds = UInt64(max(0, duration.wholeNanoseconds)) / 1000
        counts[Self.bucket(microseconds)] &+= 1
        count &+= 1
        maximum = max(maximum, microseconds)
    }

    /// The time in microseconds that the given share of all stayed below or at, to the width of a bucket; 0 without any.
    package func percentile(_ share: Double) -> UInt64 {
        guard count > 0 else { return 0 }
        let rank = UInt64((Double(count) * share).rounded(.up))
        var seen: UInt64 = 0
        for (index, number) in counts.enumerated() {
            seen += number
            if seen >= max(rank, 1) { return min(Self.upperBound(index), maximum) }
        }
        return maximum
    }

    private static func bucket(_ value: UInt64) -> Int {
        guard value >= 16 else { return Int(value) }
        let exponent = 63 - value.leadingZeroBitCount
        let index = (exponent - 3) * 16 + Int(value >> (exponent - 4) & 15)
        return min(index, 511)
    }

    private static func upperBound(_ index: Int) -> UInt64 {
        guard index >= 16 else { return UInt64(index) }
        let exponent = index / 16 + 3
        return ((UInt64(index % 16) + 17) << (exponent - 4)) - 1
    }
}
