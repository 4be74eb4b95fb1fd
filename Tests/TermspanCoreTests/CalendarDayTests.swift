import TermspanCore
import Testing

@Suite struct CalendarDayTests {
    @Test(arguments: [
        ("1970-01-01", 0, 3), ("1972-02-29", 789, 1), ("2000-03-01", 11_017, 2), ("2026-11-26", 20_783, 3),
        ("9999-12-31", 2_932_896, 4),
    ])
    func daysAreCounted(text: String, number: Int, weekday: Int) throws {
        let day = try #require(CalendarDay(text))
        #expect(day.number == number && day.weekday == weekday && day.description == text)
    }

    /// Each day is the one after the day before, through leap years and centuries.
    @Test func eachIsReadAsItIsWritten() {
        var last = ""
        for number in 0..<200_000 {
            let text = CalendarDay(number: number).description
            #expect(CalendarDay(text)?.number == number && text > last)
            last = text
        }
    }

    @Test(arguments: [
        "", "2026-02-29", "2026-13-01", "2026-00-10", "2026-01-32", "26-01-01", "2026-1-1", "2026/01/01", "1969-12-31",
        "2026-01-01 ",
    ])
    func whatIsNoDay(text: String) { #expect(CalendarDay(text) == nil) }
}
