/// A month of the Gregorian calendar, without a time zone.
package struct CalendarMonth: Hashable, Comparable, Sendable {
    package let first: CalendarDay

    /// The month that a day is in.
    package init(_ day: CalendarDay) { first = day.advanced(by: 1 - (Int(day.description.suffix(2)) ?? 1)) }

    /// The one after it: no month has more than 31 days, and none fewer than 28.
    package var next: CalendarMonth { CalendarMonth(first.advanced(by: 31)) }

    package static func < (lhs: CalendarMonth, rhs: CalendarMonth) -> Bool { lhs.first < rhs.first }
}

extension CalendarMonth: LosslessStringConvertible {
    /// `2026-12`.
    package var description: String { String(first.description.dropLast(3)) }

    /// nil for what is no month from 1970 on.
    package init?(_ description: String) {
        guard let first = CalendarDay(description + "-01") else { return nil }
        self.first = first
    }
}
