import TermspanCore

/// Moments and lengths as files have them.
enum ImportText {
    /// A moment of ISO 8601, with a zone: `2026-01-02T03:04:05.000006Z`, or `+00:00`; nil for anything else, and for those before 1970.
    static func moment(_ text: String) -> WallInstant? {
        let bytes = Array(text.utf8)
        guard bytes.count >= 20, bytes.count <= 40, bytes[10] == UInt8(ascii: "T") || bytes[10] == UInt8(ascii: " "),
            let day = CalendarDay(text.prefix(10).description), let hour = two(bytes, 11, 23), bytes[13] == UInt8(ascii: ":"),
            let minute = two(bytes, 14, 59), bytes[16] == UInt8(ascii: ":"), let second = two(bytes, 17, 60)
        else { return nil }
        var place = 19
        var fraction: Int64 = 0
        if bytes[place] == UInt8(ascii: ".") {
            place += 1
            var scale: Int64 = 100_000_000
            let start = place
            while place < bytes.count, let digit = digit(bytes[place]) {
                fraction += Int64(digit) * scale
                scale /= 10
                place += 1
            }
            guard place > start else { return nil }
        }
        guard let offset = offset(bytes[place...]) else { return nil }
        let seconds = Int64(day.number) * 86_400 + Int64(hour) * 3600 + Int64(minute) * 60 + Int64(second) - offset
        // Years have four digits, of which not all fit.
        guard seconds >= 0, seconds < 9_000_000_000 else { return nil }
        return WallInstant(nanoseconds: seconds * 1_000_000_000 + fraction)
    }

    private static func digit(_ byte: UInt8) -> UInt8? { (48...57).contains(byte) ? byte - 48 : nil }

    private static func two(_ bytes: some RandomAccessCollection<UInt8>, _ place: Int, _ most: UInt8) -> UInt8? {
        let start = bytes.index(bytes.startIndex, offsetBy: place)
        guard let first = digit(bytes[start]), let second = digit(bytes[bytes.index(after: start)]) else { return nil }
        let value = first * 10 + second
        return value <= most ? value : nil
    }

    private static func offset(_ bytes: ArraySlice<UInt8>) -> Int64? {
        if bytes.count == 1 { return bytes.first == UInt8(ascii: "Z") ? 0 : nil }
        guard let sign = bytes.first, sign == UInt8(ascii: "+") || sign == UInt8(ascii: "-"), bytes.count == 6,
            bytes[bytes.startIndex + 3] == UInt8(ascii: ":"), let hours = two(bytes, 1, 23), let minutes = two(bytes, 4, 59)
        else { return nil }
        let seconds = Int64(hours) * 3600 + Int64(minutes) * 60
        return sign == UInt8(ascii: "+") ? seconds : -seconds
    }

    /// Seconds as nanoseconds, exactly where they are written with digits; nil for what is no length, and for more than there is.
    static func length(_ text: String) -> UInt64? {
        let parts = text.utf8.split(separator: UInt8(ascii: "."), omittingEmptySubsequences: false)
        if parts.count <= 2, parts.allSatisfy({ !$0.isEmpty && $0.count <= 20 && $0.allSatisfy { digit($0) != nil } }),
            let seconds = UInt64(String(decoding: parts[0], as: UTF8.self)), seconds <= ImportLimit.length / 1_000_000_000
        {
            var nanoseconds: UInt64 = 0
            var scale: UInt64 = 100_000_000
            for byte in parts.count == 2 ? Array(parts[1]) : [] {
                nanoseconds += UInt64(byte - 48) * scale
                scale /= 10
            }
            return seconds * 1_000_000_000 + nanoseconds
        }
        // 1.5e-05, as Python writes it.
        guard text.utf8.contains(where: { $0 == UInt8(ascii: "e") || $0 == UInt8(ascii: "E") }), let seconds = Double(text), seconds >= 0,
            seconds <= Double(ImportLimit.length / 1_000_000_000)
        else { return nil }
        return UInt64((seconds * 1e9).rounded())
    }

    static func length(_ value: JSONValue?) -> UInt64? {
        switch value {
        case .unsigned(let value): length(String(value))
        case .decimal(let digits): length(digits)
        default: nil
        }
    }
}
