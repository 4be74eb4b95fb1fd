import Glibc
package import TermspanCore

/// Moments and durations as text, without Foundation, whose formatters cost more than a whole run of the command.
package enum TimeText {
    /// `2026-01-02T03:04:05.000006Z`, for programs.
    package static func utc(_ instant: WallInstant) -> String {
        guard let (time, microseconds) = broken(instant, utc: true) else { return "" }
        return date(time) + "T" + clock(time) + "." + padded(microseconds, 6) + "Z"
    }

    /// `2026-01-02 03:04` in local time, for `query user`, whose namesake shows no more.
    package static func minute(_ instant: WallInstant) -> String {
        guard let (time, _) = broken(instant, utc: false) else { return "" }
        return date(time) + " " + padded(Int(time.tm_hour), 2) + ":" + padded(Int(time.tm_min), 2)
    }

    /// `2026-01-02T03:04:05+01:00` in local time, or `2026-01-02T03:04:05.006+01:00`.
    package static func local(_ instant: WallInstant, milliseconds: Bool = false) -> String {
        guard let (time, microseconds) = broken(instant, utc: false) else { return "" }
        let offset = abs(time.tm_gmtoff) / 60
        let fraction = milliseconds ? "." + padded(microseconds / 1000, 3) : ""
        return date(time) + "T" + clock(time) + fraction + (time.tm_gmtoff < 0 ? "-" : "+") + padded(offset / 60, 2) + ":"
            + padded(offset % 60, 2)
    }

    private static func date(_ time: tm) -> String {
        padded(Int(time.tm_year) + 1900, 4) + "-" + padded(Int(time.tm_mon) + 1, 2) + "-" + padded(Int(time.tm_mday), 2)
    }

    private static func clock(_ time: tm) -> String {
        padded(Int(time.tm_hour), 2) + ":" + padded(Int(time.tm_min), 2) + ":" + padded(Int(time.tm_sec), 2)
    }

    private static func broken(_ instant: WallInstant, utc: Bool) -> (tm, Int)? {
        let (quotient, rest) = instant.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        var seconds = time_t(rest < 0 ? quotient - 1 : quotient)
        let nanoseconds = rest < 0 ? rest + 1_000_000_000 : rest
        var time = tm()
        guard (utc ? gmtime_r(&seconds, &time) : localtime_r(&seconds, &time)) != nil else { return nil }
        return (time, Int(nanoseconds / 1000))
    }

    static func padded(_ value: Int, _ count: Int) -> String {
        let text = String(value)
        return String(repeating: "0", count: max(0, count - text.utf8.count)) + text
    }

    /// Idle times as Windows writes them: `none`, `.` under a minute, minutes, hours:minutes, days+hours:minutes.
    package static func idle(microseconds: UInt64?) -> String {
        guard let microseconds else { return "none" }
        let minutes = Int(microseconds / 60_000_000)
        switch minutes {
        case 0: return "."
        case 1..<60: return String(minutes)
        case 60..<1440: return "\(minutes / 60):\(padded(minutes % 60, 2))"
        default: return "\(minutes / 1440)+\(padded(minutes / 60 % 24, 2)):\(padded(minutes % 60, 2))"
        }
    }

    /// `0:00:05`, `27:03:04`: hours, minutes and seconds.
    package static func duration(seconds: Double) -> String {
        guard seconds.isFinite, seconds >= 0, seconds < 1e12 else { return "" }
        let whole = Int(seconds.rounded())
        return "\(whole / 3600):\(padded(whole / 60 % 60, 2)):\(padded(whole % 60, 2))"
    }

    /// `850 µs`, `4.2 ms`, `1.5 s`
    package static func short(microseconds: UInt64) -> String {
        func tenths(_ divisor: UInt64) -> String {
            let value = microseconds / (divisor / 10)
            return value >= 1000 ? String(value / 10) : "\(value / 10).\(value % 10)"
        }
        if microseconds < 1000 { return "\(microseconds) µs" }
        if microseconds < 1_000_000 { return tenths(1000) + " ms" }
        return tenths(1_000_000) + " s"
    }

    /// `3d 4h`, `2h 5m`, `45s`: the two largest units.
    package static func age(seconds: UInt64) -> String {
        if seconds < 60 { return "\(seconds)s" }
        if seconds < 3600 { return "\(seconds / 60)m \(seconds % 60)s" }
        if seconds < 86400 { return "\(seconds / 3600)h \(seconds / 60 % 60)m" }
        return "\(seconds / 86400)d \(seconds / 3600 % 24)h"
    }

    /// `1.5 GB` and the like, in powers of ten.
    package static func bytes(_ count: UInt64) -> String {
        var value = count
        var unit = 0
        let units = ["B", "kB", "MB", "GB", "TB", "PB", "EB"]
        var rest: UInt64 = 0
        while value >= 1000, unit + 1 < units.count {
            rest = value % 1000 / 100
            value /= 1000
            unit += 1
        }
        return unit == 0 || value >= 100 ? "\(value) \(units[unit])" : "\(value).\(rest) \(units[unit])"
    }
}

extension TimeText {
    /// Reads a moment: `2026-01-02`, `2026-01-02T03:04[:05]` with a blank for the T, `Z` or an offset or local time; `03:04` of today;
    /// `now`, `today`, `yesterday`; `2h` or `30min` or `-7d` ago.
    package static func parse(_ text: String, now: WallInstant) -> WallInstant? {
        guard let (today, _) = broken(now, utc: false) else { return nil }
        func midnight(_ days: Int32) -> WallInstant? {
            var day = today
            day.tm_mday += days
            return instant(&day, hour: 0, minute: 0, second: 0)
        }
        switch text {
        case "now": return now
        case "today": return midnight(0)
        case "yesterday": return midnight(-1)
        default: break
        }
        if let seconds = length(text) { return now.advanced(by: .seconds(-seconds)) }
        var rest = Substring(text)
        var day = today
        if let date = numbers(&rest, separator: "-", digits: [4, 2, 2]) {
            guard (1...12).contains(date[1]), (1...31).contains(date[2]) else { return nil }
            day = tm()
            day.tm_year = date[0] - 1900
            day.tm_mon = date[1] - 1
            day.tm_mday = date[2]
            if rest.isEmpty { return instant(&day, hour: 0, minute: 0, second: 0) }
            guard rest.first == "T" || rest.first == " " else { return nil }
            rest = rest.dropFirst()
        }
        guard let hour = numbers(&rest, separator: ":", digits: [2, 2]), hour[0] < 24, hour[1] < 60 else { return nil }
        var second: Int32 = 0
        if rest.first == ":" {
            rest = rest.dropFirst()
            guard let part = numbers(&rest, separator: ":", digits: [2]), part[0] <= 60 else { return nil }
            second = part[0]
        }
        var nanoseconds: Int64 = 0
        if rest.first == "." {
            let digits = rest.dropFirst().prefix { $0.isASCII && $0.isNumber }
            guard (1...9).contains(digits.count), let value = Int64(digits + String(repeating: "0", count: 9 - digits.count)) else {
                return nil
            }
            nanoseconds = value
            rest = rest.dropFirst(1 + digits.count)
        }
        if rest.isEmpty {
            return instant(&day, hour: hour[0], minute: hour[1], second: second)?.advanced(by: .nanoseconds(nanoseconds))
        }
        guard let offset = offset(rest) else { return nil }
        day.tm_hour = hour[0]
        day.tm_min = hour[1]
        day.tm_sec = second
        let seconds = timegm(&day)
        return WallInstant(nanoseconds: 0).advanced(by: .seconds(Int64(seconds) - offset)).advanced(by: .nanoseconds(nanoseconds))
    }

    /// When the week of `now` began: Monday at midnight, in local time.
    package static func monday(of now: WallInstant) -> WallInstant? {
        guard let (today, _) = broken(now, utc: false) else { return nil }
        var day = today
        // Sunday is the day 0.
        day.tm_mday -= (day.tm_wday + 6) % 7
        return instant(&day, hour: 0, minute: 0, second: 0)
    }

    /// When the day after that of a moment begins, in local time.
    package static func nextMidnight(after moment: WallInstant) -> WallInstant? {
        guard var (day, _) = broken(moment, utc: false) else { return nil }
        day.tm_mday += 1
        return instant(&day, hour: 0, minute: 0, second: 0)
    }

    /// Whether a text is a day, as 2026-10-25.
    package static func day(_ text: String) -> WallInstant? {
        text.utf8.count == 10 ? parse(text, now: WallInstant(nanoseconds: 0)) : nil
    }

    /// Hour and minute of local clocks.
    package static func clock(_ moment: WallInstant) -> (hour: Int, minute: Int) {
        guard let (time, _) = broken(moment, utc: false) else { return (0, 0) }
        return (Int(time.tm_hour), Int(time.tm_min))
    }

    /// `08:05` in local time; midnight at the end of a day is `24:00`.
    package static func hourAndMinute(_ moment: WallInstant, isEnd: Bool = false) -> String {
        let (hour, minute) = clock(moment)
        return isEnd && hour == 0 && minute == 0 ? "24:00" : "\(padded(hour, 2)):\(padded(minute, 2))"
    }

    /// `Mon` and so on.
    package static func weekday(_ moment: WallInstant) -> String {
        guard let (time, _) = broken(moment, utc: false) else { return "" }
        return ["Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"][Int(time.tm_wday)]
    }

    private static func instant(_ day: inout tm, hour: Int32, minute: Int32, second: Int32) -> WallInstant? {
        day.tm_hour = hour
        day.tm_min = minute
        day.tm_sec = second
        // The zone's rules decide whether it is summer.
        day.tm_isdst = -1
        let seconds = mktime(&day)
        return seconds == -1 ? nil : WallInstant(nanoseconds: 0).advanced(by: .seconds(Int64(seconds)))
    }

    private static func numbers(_ text: inout Substring, separator: Character, digits: [Int]) -> [Int32]? {
        var rest = text
        var values: [Int32] = []
        for (index, count) in digits.enumerated() {
            if index > 0 {
                guard rest.first == separator else { return nil }
                rest = rest.dropFirst()
            }
            let part = rest.prefix(count)
            guard part.count == count, part.allSatisfy({ $0.isASCII && $0.isNumber }), let value = Int32(part) else { return nil }
            values.append(value)
            rest = rest.dropFirst(count)
        }
        text = rest
        return values
    }

    private static func offset(_ text: Substring) -> Int64? {
        if text == "Z" || text == "z" { return 0 }
        guard let sign = text.first, sign == "+" || sign == "-" else { return nil }
        var rest = text.dropFirst()
        guard let parts = numbers(&rest, separator: ":", digits: [2, 2]), rest.isEmpty, parts[0] < 24, parts[1] < 60 else { return nil }
        let seconds = Int64(parts[0]) * 3600 + Int64(parts[1]) * 60
        return sign == "-" ? -seconds : seconds
    }

    /// Reads a length of time in seconds: `90s`, `30min`, `2h`, `7d`, `2w`.
    package static func length(_ text: String) -> Int64? {
        var rest = Substring(text)
        if rest.first == "-" { rest = rest.dropFirst() }
        if rest.hasSuffix(" ago") { rest = rest.dropLast(4) }
        let digits = rest.prefix { $0.isASCII && $0.isNumber }
        guard let value = Int64(digits) else { return nil }
        let unit: Int64
        switch rest.dropFirst(digits.count).drop(while: { $0 == " " }) {
        case "s", "sec": unit = 1
        case "m", "min": unit = 60
        case "h": unit = 3600
        case "d", "day", "days": unit = 86400
        case "w", "week", "weeks": unit = 604_800
        default: return nil
        }
        let (seconds, overflow) = value.multipliedReportingOverflow(by: unit)
        return overflow ? nil : seconds
    }
}
