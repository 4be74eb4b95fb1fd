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
}
