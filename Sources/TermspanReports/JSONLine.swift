import TermspanAccounting
import TermspanCore

/// One JSON object on one line (RFC 8259, jsonlines.org), its keys in the order in which they were added.
struct JSONLine {
    private(set) var bytes: [UInt8] = [UInt8(ascii: "{")]

    private mutating func key(_ key: StaticString) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        bytes.append(UInt8(ascii: "\""))
        key.withUTF8Buffer { bytes += $0 }
        bytes += [UInt8(ascii: "\""), UInt8(ascii: ":")]
    }

    mutating func add(_ name: StaticString, _ value: String?) {
        key(name)
        guard let value else {
            bytes += "null".utf8
            return
        }
        append(value)
    }

    mutating func add(_ name: StaticString, _ values: [String]) {
        key(name)
        bytes.append(UInt8(ascii: "["))
        for (index, value) in values.enumerated() {
            if index > 0 { bytes.append(UInt8(ascii: ",")) }
            append(value)
        }
        bytes.append(UInt8(ascii: "]"))
    }

    private mutating func append(_ value: String) {
        bytes.append(UInt8(ascii: "\""))
        for byte in value.utf8 {
            switch byte {
            case UInt8(ascii: "\""), UInt8(ascii: "\\"):
                bytes.append(UInt8(ascii: "\\"))
                bytes.append(byte)
            case 0..<0x20, 0x7F:
                bytes += "\\u00".utf8
                bytes.append(Self.digits[Int(byte >> 4)])
                bytes.append(Self.digits[Int(byte & 15)])
            default:
                bytes.append(byte)
            }
        }
        bytes.append(UInt8(ascii: "\""))
    }

    mutating func add(_ name: StaticString, _ value: some BinaryInteger) {
        key(name)
        bytes += String(value).utf8
    }

    mutating func add(_ name: StaticString, _ value: UInt64?) {
        key(name)
        bytes += (value.map { String($0) } ?? "null").utf8
    }

    mutating func add(_ name: StaticString, _ value: Bool?) {
        key(name)
        bytes += (value.map { $0 ? "true" : "false" } ?? "null").utf8
    }

    /// A moment as ISO 8601 in UTC with microseconds.
    mutating func add(_ name: StaticString, _ value: WallInstant?) {
        add(name, value.map(\.iso8601))
    }

    /// Nanoseconds as seconds, exactly: 1.5, never 1.5000001.
    mutating func add(_ name: StaticString, nanoseconds: UInt64) {
        key(name)
        TermspanReports.append(seconds: nanoseconds, to: &bytes)
    }

    mutating func add(key name: String, nanoseconds: UInt64) {
        key(name)
        TermspanReports.append(seconds: nanoseconds, to: &bytes)
    }

    /// An object in it.
    mutating func add(_ name: StaticString, _ object: JSONLine) {
        key(name)
        bytes += object.bytes
        bytes.append(UInt8(ascii: "}"))
    }

    mutating func add(key name: String, _ object: JSONLine) {
        key(name)
        bytes += object.bytes
        bytes.append(UInt8(ascii: "}"))
    }

    private mutating func key(_ name: String) {
        if bytes.count > 1 { bytes.append(UInt8(ascii: ",")) }
        append(name)
        bytes.append(UInt8(ascii: ":"))
    }

    /// The whole line, its end included.
    consuming func finished() -> [UInt8] {
        bytes += [UInt8(ascii: "}"), UInt8(ascii: "\n")]
        return bytes
    }

    private static let digits = Array("0123456789abcdef".utf8)
}

/// Appends nanoseconds as seconds, exactly: 1.5, never 1.5000001.
func append(seconds nanoseconds: UInt64, to bytes: inout [UInt8]) {
    append(decimal: nanoseconds / 1_000_000_000, to: &bytes)
    var rest = nanoseconds % 1_000_000_000
    if rest == 0 { return }
    bytes.append(UInt8(ascii: "."))
    var scale: UInt64 = 100_000_000
    while rest > 0 {
        bytes.append(UInt8(ascii: "0") + UInt8(rest / scale))
        rest %= scale
        scale /= 10
    }
}

func append(decimal value: UInt64, to bytes: inout [UInt8]) {
    if value < 10 { return bytes.append(UInt8(ascii: "0") + UInt8(value)) }
    let start = bytes.count
    var rest = value
    while rest > 0 {
        bytes.append(UInt8(ascii: "0") + UInt8(rest % 10))
        rest /= 10
    }
    bytes[start...].reverse()
}

extension WallInstant {
    /// `2026-01-02T03:04:05.000006Z`: the proleptic Gregorian calendar, microseconds rounded down.
    package var iso8601: String {
        var bytes: [UInt8] = []
        append(to: &bytes)
        return String(decoding: bytes, as: UTF8.self)
    }

    /// Appends `iso8601`.
    func append(to bytes: inout [UInt8]) {
        func floor(_ value: Int64, _ divisor: Int64) -> (Int64, Int64) {
            let (quotient, rest) = value.quotientAndRemainder(dividingBy: divisor)
            return rest < 0 ? (quotient - 1, rest + divisor) : (quotient, rest)
        }
        /// Years are 1677 to 2262.
        func digits(_ value: Int64, _ count: Int, _ end: Unicode.Scalar) {
            var scale: Int64 = 1
            for _ in 1..<count { scale *= 10 }
            while scale > 0 {
                bytes.append(UInt8(ascii: "0") + UInt8(truncatingIfNeeded: value / scale % 10))
                scale /= 10
            }
            bytes.append(UInt8(ascii: end))
        }
        let (microseconds, _) = floor(nanoseconds, 1000)
        let (seconds, fraction) = floor(microseconds, 1_000_000)
        let (day, second) = floor(seconds, 86400)
        // Days since 0000-03-01, in eras of 400 years (H. Hinnant, chrono-compatible low-level date algorithms).
        let (era, dayOfEra) = floor(day + 719_468, 146_097)
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let march = (5 * dayOfYear + 2) / 153
        let month = march < 10 ? march + 3 : march - 9
        digits(yearOfEra + era * 400 + (month <= 2 ? 1 : 0), 4, "-")
        digits(month, 2, "-")
        digits(dayOfYear - (153 * march + 2) / 5 + 1, 2, "T")
        digits(second / 3600, 2, ":")
        digits(second / 60 % 60, 2, ":")
        digits(second % 60, 2, ".")
        digits(fraction, 6, "Z")
    }
}
