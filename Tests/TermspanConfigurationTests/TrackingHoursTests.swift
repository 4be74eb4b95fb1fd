import SeededRandom
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanConfiguration

@Suite struct TrackingHoursTests {
    /// Central European time of the year 2026, in which the clock is put forward on 29 March at 1:00 and back on 25 October at 1:00 (UTC).
    private static let berlin = LocalCalendar { offset($0) }

    private static func offset(_ seconds: Int) -> Int { (1_774_746_000..<1_792_890_000).contains(seconds) ? 7200 : 3600 }
    private static func seconds(_ instant: WallInstant) -> Int { floor(Int(instant.nanoseconds), 1_000_000_000) }
    private static func instant(_ seconds: Int) -> WallInstant { WallInstant(nanoseconds: Int64(seconds) * 1_000_000_000) }
    private static func floor(_ value: Int, _ unit: Int) -> Int { value / unit - (value % unit < 0 ? 1 : 0) }

    /// `2026-03-27 19:00` there.
    private static func at(_ text: String) throws -> WallInstant {
        let parts = text.split(separator: " ")
        let day = try #require(CalendarDay(String(parts[0])))
        let clock = parts[1].split(separator: ":").compactMap { Int($0) }
        return berlin.moment(day, clock[0] * 60 + clock[1])
    }

    private static func window(_ text: String, group: String? = nil) throws -> TrackingHours.Window {
        let parts = text.split(separator: " ").map(String.init)
        let hours = try #require(TrackingHours.Window.hours(parts[1]))
        return .init(group: group, days: try #require(TrackingHours.Window.days(parts[0])), start: hours.start, end: hours.end)
    }

    /// What holds at a moment, and since when, of which the edges tell.
    private struct Seen: Equatable {
        var isOpen: Bool
        var since: WallInstant?
        var until: WallInstant?

        init(_ isOpen: Bool, _ since: WallInstant?, _ until: WallInstant?) {
            (self.isOpen, self.since, self.until) = (isOpen, since, until)
        }

        init(_ hours: TrackingHours, at now: WallInstant, group: String? = nil) {
            let state = hours.state(of: group, at: now, in: berlin)
            let edge = hours.edges(of: group, around: now, in: berlin).last { $0.moment <= now }
            self.init(state.isOpen, edge?.moment, state.until)
        }
    }

    private static func state(_ hours: TrackingHours, _ now: String, group: String? = nil) throws -> Seen {
        Seen(hours, at: try at(now), group: group)
    }

    private static func state(_ isOpen: Bool, _ since: String?, _ until: String?) throws -> Seen {
        Seen(isOpen, try since.map { try at($0) }, try until.map { try at($0) })
    }

    @Test func aWeekOfOfficeHours() throws {
        let hours = TrackingHours(windows: [try Self.window("mon-fri 07:00-19:00")])
        #expect(try Self.state(hours, "2026-11-25 12:00") == Self.state(true, "2026-11-25 07:00", "2026-11-25 19:00"))
        // To the nanosecond: a moment belongs to what begins with it.
        #expect(try Self.state(hours, "2026-11-25 07:00") == Self.state(true, "2026-11-25 07:00", "2026-11-25 19:00"))
        #expect(try Self.state(hours, "2026-11-25 19:00") == Self.state(false, "2026-11-25 19:00", "2026-11-26 07:00"))
        // Over a weekend on which the clock is put forward.
        #expect(try Self.state(hours, "2026-03-28 12:00") == Self.state(false, "2026-03-27 19:00", "2026-03-30 07:00"))
        #expect(try Self.at("2026-03-27 19:00").duration(to: Self.at("2026-03-30 07:00")) == .seconds(59 * 3600))
    }

    @Test func aNightOnWhichTheClockIsPutBackIsAnHourLonger() throws {
        let hours = TrackingHours(windows: [try Self.window("mon-sun 22:00-06:00")])
        let state = try Self.state(hours, "2026-10-25 01:00")
        #expect(try state == Self.state(true, "2026-10-24 22:00", "2026-10-25 06:00"))
        #expect(try #require(state.since).duration(to: try #require(state.until)) == .seconds(9 * 3600))
    }

    @Test func whatFollowsWithoutABreakIsOne() throws {
        let hours = TrackingHours(
            windows: try ["mon-tue 00:00-24:00", "wed 00:00-12:00", "tue 20:00-10:00"].map { try Self.window($0) })
        #expect(try Self.state(hours, "2026-11-24 23:59") == Self.state(true, "2026-11-23 00:00", "2026-11-25 12:00"))
        let always = TrackingHours(windows: [try Self.window("mon-sun 00:00-24:00")])
        #expect(try Self.state(always, "2026-11-24 23:59") == Self.state(true, nil, nil))
    }

    @Test func onHolidaysNothingIsRecorded() throws {
        let days = Set(["2026-12-25", "2026-12-26", "2027-01-01"].compactMap { CalendarDay($0) })
        let nights = TrackingHours(windows: [try Self.window("mon-sun 22:00-06:00")], holidays: days)
        #expect(try Self.state(nights, "2026-12-24 23:00") == Self.state(true, "2026-12-24 22:00", "2026-12-25 00:00"))
        #expect(try Self.state(nights, "2026-12-25 23:00") == Self.state(false, "2026-12-25 00:00", "2026-12-27 00:00"))
        #expect(try Self.state(nights, "2026-12-27 01:00") == Self.state(true, "2026-12-27 00:00", "2026-12-27 06:00"))
        let holidays = TrackingHours(holidays: days)
        #expect(try Self.state(holidays, "2026-12-26 12:00") == Self.state(false, "2026-12-25 00:00", "2026-12-27 00:00"))
        #expect(try Self.state(holidays, "2026-12-28 12:00") == Self.state(true, "2026-12-27 00:00", "2027-01-01 00:00"))
        #expect(!holidays.isEmpty && TrackingHours().isEmpty)
    }

    @Test func whatHasBeenIsTold() throws {
        let hours = TrackingHours(windows: [try Self.window("mon-fri 07:00-19:00")], holidays: [try #require(CalendarDay("2026-11-25"))])
        let edges = hours.edges(of: nil, around: try Self.at("2026-11-26 12:00"), in: Self.berlin)
        let start = try Self.at("2026-11-23 12:00")
        let told = edges.filter { $0.moment > start }.prefix(4)
        #expect(
            try Array(told) == [
                .init(moment: Self.at("2026-11-23 19:00"), opens: false), .init(moment: Self.at("2026-11-24 07:00"), opens: true),
                .init(moment: Self.at("2026-11-24 19:00"), opens: false), .init(moment: Self.at("2026-11-26 07:00"), opens: true),
            ])
        #expect(zip(edges, edges.dropFirst()).allSatisfy { $0.moment < $1.moment && $0.opens != $1.opens })
        #expect(TrackingHours().edges(of: nil, around: start, in: Self.berlin).isEmpty)
    }

    @Test func groupsHaveTheirOwn() throws {
        let hours = TrackingHours(windows: [
            try Self.window("mon-sun 22:00-06:00", group: "night"), try Self.window("mon-fri 07:00-19:00"),
            try Self.window("sat 08:00-12:00", group: "shop"), try Self.window("sun 22:00-23:00", group: "night"),
        ])
        #expect(hours.groups == ["night", "shop"])
        #expect(try Self.state(hours, "2026-11-25 23:00", group: "night").isOpen)
        #expect(try !Self.state(hours, "2026-11-25 23:00").isOpen)
        #expect(try Self.state(hours, "2026-11-28 09:00", group: "shop").isOpen)
        // Where nothing is meant for those who are in none, they are recorded always.
        let one = TrackingHours(windows: [try Self.window("sat 08:00-12:00", group: "shop")])
        #expect(try Self.state(one, "2026-11-25 23:00") == Self.state(true, nil, nil))
        #expect(try !Self.state(one, "2026-11-25 23:00", group: "shop").isOpen)
    }

    /// Held against the windows one by one, at random moments of a year.
    @Test(arguments: 0..<40) func itIsAsTheWindowsSay(seed: UInt64) {
        var random = SeededRandom(seed: seed)
        let first = CalendarDay("2026-01-10")!.number
        let windows = (0..<Int.random(in: 1...3, using: &random)).map { _ in
            let start = Int.random(in: 0..<1440, using: &random)
            let end = Int.random(in: 1...1440, using: &random)
            return TrackingHours.Window(
                days: Set((0..<7).filter { _ in Bool.random(using: &random) }), start: start, end: end > start ? end : end + 1440)
        }
        let holidays = Set((0..<20).map { _ in CalendarDay(number: first + Int.random(in: 0..<340, using: &random)) })
        let hours = TrackingHours(windows: windows, holidays: holidays)
        func isOpen(_ now: WallInstant) -> Bool {
            let today = Self.berlin.day(now)
            return !holidays.contains(today)
                && (today.number - 2...today.number).map { CalendarDay(number: $0) }.contains { day in
                    windows.contains { window in
                        window.days.contains(day.weekday) && Self.berlin.moment(day, window.start) <= now
                            && now < Self.berlin.moment(day, window.end)
                    }
                }
        }
        for _ in 0..<20 {
            let now = Self.instant(first * 86_400 + Int.random(in: 0..<(330 * 86_400), using: &random))
            let state = Seen(hours, at: now)
            #expect(state.isOpen == isOpen(now))
            if let since = state.since {
                #expect(since <= now && isOpen(since) == state.isOpen)
                #expect(isOpen(since.advanced(by: .nanoseconds(-1))) != state.isOpen)
            }
            if let until = state.until {
                #expect(until > now && isOpen(until) != state.isOpen)
                #expect(isOpen(until.advanced(by: .nanoseconds(-1))) == state.isOpen)
                let between = Self.seconds(now).distance(to: Self.seconds(until))
                for _ in 0..<10 {
                    #expect(isOpen(now.advanced(by: .seconds(Int.random(in: 0...max(0, between - 1), using: &random)))) == state.isOpen)
                }
            }
        }
    }

    @Test(
        arguments: [
            ("mon-fri 07:00-19:00", "mon-fri 07:00-19:00"), ("sat-mon 00:00-24:00", "mon,sat-sun 00:00-24:00"),
            ("Wed,mon 22:30-06:00", "mon,wed 22:30-06:00"), ("mon-sun 08:00-08:00", "mon-sun 08:00-08:00"),
        ])
    func theyAreReadAndWritten(text: String, written: String) throws {
        #expect(try Self.window(text).text == written)
    }

    @Test(
        arguments: [
            "", "7:00-19:00", "07:00", "07:00-19:60", "24:00-06:00", "07:00-24:01", "07:00-19:00-20:00", "07.00-19.00", "-07:00",
            "+7:00-19:00",
        ])
    func whatAreNoHours(text: String) { #expect(TrackingHours.Window.hours(text)?.start == nil) }

    @Test(arguments: ["", "mon-", "-fri", "mo", "mon-tue-wed", "mon,,tue", "1-5"])
    func whatAreNoDays(text: String) { #expect(TrackingHours.Window.days(text) == nil) }

    @Test func ofATimeThatComesTwiceTheFirstCountsAndASkippedOneIsWhenItWouldHaveBeen() throws {
        func seconds(_ day: String, _ minutes: Int) throws -> Int {
            Self.seconds(Self.berlin.moment(try #require(CalendarDay(day)), minutes))
        }
        #expect(try seconds("2026-10-25", 150) == 1_792_888_200)  // 00:30Z, in summer time
        #expect(try seconds("2026-10-25", 180) == 1_792_893_600)  // 02:00Z
        #expect(try seconds("2026-03-29", 150) == 1_774_747_800)  // 01:30Z, when the clock shows 03:30
        #expect(try seconds("2026-03-29", 119) == 1_774_745_940 && seconds("2026-03-29", 180) == 1_774_746_000)
        #expect(try seconds("2026-03-28", 1440 + 180) == seconds("2026-03-29", 180))
        #expect(
            Self.berlin.day(Self.instant(1_774_738_800)) == CalendarDay("2026-03-29")
                && Self.berlin.day(Self.instant(1_774_738_799)) == CalendarDay("2026-03-28"))
        #expect(Self.berlin.day(WallInstant(nanoseconds: -3_600_000_000_001)) == CalendarDay(number: -1))
        // A zone that is set by half an hour, on the other side of the year.
        let lordHowe = LocalCalendar { (1_775_314_800..<1_791_039_600).contains($0) ? 37_800 : 39_600 }
        let day = try #require(CalendarDay("2026-04-05"))
        #expect(Self.seconds(lordHowe.moment(day, 105)) == 1_775_314_800 - 900 && lordHowe.day(Self.instant(1_775_314_800)) == day)
    }

    /// The machine's own calendar, whatever its zone is.
    @Test func theMachinesCalendar() {
        let calendar = LocalCalendar.system
        for days in [0, 90, 180, 270] {
            let now = WallInstant.now().advanced(by: .seconds(days * 86_400))
            let today = calendar.day(now)
            #expect(calendar.moment(today, 0) <= now && now < calendar.moment(today, 1440))
            #expect(calendar.moment(today, 1440) == calendar.moment(today.advanced(by: 1), 0))
            #expect(calendar.moment(today, 720).duration(to: calendar.moment(today, 721)) == .seconds(60))
        }
    }
}
