import TermspanCore
import Testing

@Suite struct CalendarMonthTests {
    /// Each day is in the month that its name says, and a month ends where the next begins.
    @Test func eachDayIsInItsMonth() throws {
        var month = try #require(CalendarMonth("1970-01"))
        for number in 0..<200_000 {
            let day = CalendarDay(number: number)
            if day.description.hasSuffix("-01"), number > 0 {
                #expect(month < month.next)
                month = month.next
                #expect(month.first == day)
            }
            #expect(CalendarMonth(day) == month && day.description.hasPrefix(month.description))
        }
        #expect(CalendarMonth(month.description) == month)
    }

    @Test(arguments: ["", "2026", "2026-13", "2026-00", "2026-W45", "2026-1", "1969-12", "2026-10-01", "2026-10 ", "all"])
    func whatIsNoMonth(text: String) { #expect(CalendarMonth(text) == nil) }

    /// With the hour that summer time takes and gives.
    @Test func monthsBeginAtMidnightOfTheZone() throws {
        // Central European time of 2026: summer from 29 March to 25 October, 01:00 UTC.
        let calendar = LocalCalendar { (1_774_746_000..<1_792_890_000).contains($0) ? 7200 : 3600 }
        func hours(_ text: String) throws -> Int64 {
            let range = calendar.range(try #require(CalendarMonth(text)))
            return (range.upperBound.nanoseconds - range.lowerBound.nanoseconds) / 3_600_000_000_000
        }
        #expect(try hours("2026-02") == 28 * 24)
        #expect(try hours("2026-03") == 31 * 24 - 1)
        #expect(try hours("2026-10") == 31 * 24 + 1)
        #expect(calendar.range(try #require(CalendarMonth("2026-10"))).lowerBound.nanoseconds == 1_790_805_600_000_000_000)
    }
}
