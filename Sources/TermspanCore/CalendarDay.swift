/// A day of the Gregorian calendar, without a time zone.
package struct CalendarDay: Codable, Hashable, Comparable, Sendable {
    /// Days since 1970-01-01.
    package var number: Int

    package init(number: Int) { self.number = number }

    /// Reads `2026-12-25`; nil for what is no day from 1970 on.
    package init?(_ text: String) {
        let parts = text.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 3, zip(parts, [4, 2, 2]).allSatisfy({ $0.utf8.count == $1 && $0.utf8.allSatisfy { (48...57).contains($0) } }),
            let year = Int(parts[0]), let month = Int(parts[1]), let day = Int(parts[2]), year >= 1970
        else { return nil }
        self.init(number: Self.number(year: year, month: month, day: day))
        // What the month does not have is another day.
        if description != text { return nil }
    }

    /// 0 is Monday, 6 is Sunday.
    package var weekday: Int { ((number + 3) % 7 + 7) % 7 }

    /// The first of January of its year.
    package var startOfYear: CalendarDay { CalendarDay(number: Self.number(year: year, month: 1, day: 1)) }

    /// Its week's first day.
    package var monday: CalendarDay { advanced(by: -weekday) }

    /// `2026-W01`, as ISO 8601 counts weeks: the first has the year's first Thursday.
    package var week: String {
        let thursday = monday.advanced(by: 3)
        let number = (thursday.number - thursday.startOfYear.number) / 7 + 1
        return "\(Self.padded(thursday.year, 4))-W\(Self.padded(number, 2))"
    }

    package func advanced(by days: Int) -> CalendarDay { CalendarDay(number: number + days) }

    package static func < (lhs: CalendarDay, rhs: CalendarDay) -> Bool { lhs.number < rhs.number }

    /// Days since 1970-01-01; years are counted from March, so that the leap day is a year's last.
    private static func number(year: Int, month: Int, day: Int) -> Int {
        let marchYear = month <= 2 ? year - 1 : year
        let monthFromMarch = (month + 9) % 12
        return 365 * marchYear + marchYear / 4 - marchYear / 100 + marchYear / 400 + (153 * monthFromMarch + 2) / 5 + day - 1 - 719_468
    }
}

extension CalendarDay: CustomStringConvertible {
    /// `2026-12-25`.
    package var description: String {
        let (year, month, day) = parts
        return "\(Self.padded(year, 4))-\(Self.padded(month, 2))-\(Self.padded(day, 2))"
    }

    private var year: Int { parts.year }

    private var parts: (year: Int, month: Int, day: Int) {
        // 400 years are 146097 days.
        let sinceMarch0 = number + 719_468
        let era = sinceMarch0 / 146_097
        let dayOfEra = sinceMarch0 % 146_097
        let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36_524 - dayOfEra / 146_096) / 365
        let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
        let monthFromMarch = (5 * dayOfYear + 2) / 153
        let day = dayOfYear - (153 * monthFromMarch + 2) / 5 + 1
        let month = monthFromMarch < 10 ? monthFromMarch + 3 : monthFromMarch - 9
        let year = era * 400 + yearOfEra + (month <= 2 ? 1 : 0)
        return (year, month, day)
    }

    private static func padded(_ value: Int, _ count: Int) -> String {
        String(repeating: "0", count: max(0, count - String(value).count)) + String(value)
    }
}

/// How days and the time on the wall clock correspond to moments in a time zone.
package struct LocalCalendar: Sendable {
    /// By how many seconds the zone's wall clock is ahead of UTC, so many seconds after 1970-01-01T00:00:00Z.
    private let offset: @Sendable (Int) -> Int

    package init(offset: @escaping @Sendable (Int) -> Int) { self.offset = offset }

    /// The day that a moment is in.
    package func day(_ moment: WallInstant) -> CalendarDay {
        let seconds = Self.second(moment)
        let (day, rest) = (seconds + offset(seconds)).quotientAndRemainder(dividingBy: 86_400)
        return CalendarDay(number: rest < 0 ? day - 1 : day)
    }

    /// The moment at which the wall clock shows so many minutes after the day's midnight; more than 1440 are on later days. Of two such moments
    /// it is the first; where the clock skips the time, the one at which it would have come. Days beyond what an instant can tell (2262) are the last that it can.
    package func moment(_ day: CalendarDay, _ minutes: Int) -> WallInstant {
        let local = day.number * 86_400 + minutes * 60
        // No zone is set twice within two days.
        let candidates = [local - offset(local - 86_400), local - offset(local + 86_400)].sorted()
        let seconds = candidates.first { $0 + offset($0) == local } ?? candidates[1]
        return Self.instant(seconds)
    }

    /// The hour on the wall clock that a moment is in: of the two that are called the same when the clock is set back, that one; shorter where the
    /// clock is set within it.
    package func hour(_ moment: WallInstant) -> Range<WallInstant> {
        let second = Self.second(moment)
        let current = offset(second)
        let local = (second + current) % 3600
        let begin = second - (local < 0 ? local + 3600 : local)
        // The first second of the two between which the offset changes that has the later one.
        func change(_ before: Int, _ after: Int) -> Int {
            var (before, after) = (before, after)
            let offset = offset(after)
            while after - before > 1 {
                let middle = (before + after) / 2
                if self.offset(middle) == offset { after = middle } else { before = middle }
            }
            return after
        }
        let start = offset(begin) == current ? begin : change(begin, second)
        let end = offset(begin + 3600 - 1) == current ? begin + 3600 : change(second, begin + 3600 - 1)
        return Self.instant(start)..<Self.instant(end)
    }

    /// `2026-12-25T08:00+01:00`.
    package func text(_ moment: WallInstant) -> String {
        let second = Self.second(moment)
        let offset = offset(second)
        func padded(_ value: Int) -> String { value < 10 ? "0\(value)" : "\(value)" }
        let day = day(moment)
        let minutes = (second + offset - day.number * 86_400) / 60
        return
            "\(day)T\(padded(minutes / 60)):\(padded(minutes % 60))\(offset < 0 ? "-" : "+")\(padded(abs(offset) / 3600)):\(padded(abs(offset) / 60 % 60))"
    }

    private static func second(_ moment: WallInstant) -> Int {
        let (second, part) = moment.nanoseconds.quotientAndRemainder(dividingBy: 1_000_000_000)
        return Int(second) - (part < 0 ? 1 : 0)
    }

    private static func instant(_ second: Int) -> WallInstant {
        let (nanoseconds, overflow) = Int64(second).multipliedReportingOverflow(by: 1_000_000_000)
        return WallInstant(nanoseconds: overflow ? (second < 0 ? .min : .max) : nanoseconds)
    }
}
