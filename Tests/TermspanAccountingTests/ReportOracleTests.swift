import Foundation
import SeededRandom
import TermspanCore
import Testing

@testable import TermspanAccounting

/// Days, weeks, hours and rows of reports, per session and of users' own time, against the rules of `Docs/accounting.md` tick by tick, over clock
/// steps and changes of summer time. Time zones are Foundation's, weeks its calendar's.
///
/// That these tests and `FoldOracleTests` can fail was seen with each of these changes in Sources, one at a time:
///
/// - `SessionFold`: a burst reaches back a second more than the gap; it goes on over a loss; another reason for what is unknown is not noticed.
/// - `UserTimeline`: a burst still holds at its end. `SessionTimeline`: what has no focus interval is known; ActivityWatch's gap of exactly the
///   threshold is inactive; the threshold counts from a burst's beginning.
/// - `LocalCalendar`: a midnight that the clock skips is the earlier of two moments. `CalendarDay`: weeks are of the year of their Friday. `YearlyRule`:
///   a month may have a fifth Sunday that is in the next one.
/// - `ReportStream`: periods by the clock as it was set back; focus of exactly five minutes is none; a moment of exactly a second without a window does
///   not end a stretch; a break of exactly five minutes is one; switches folded into one interval count each time that it comes back.
///   `ClockAnchors`: a day that the clock was set forward past begins before it was.
@Suite struct ReportOracleTests {
    /// A zone, and a moment at which something happens to its clock or calendar.
    struct Place: CustomStringConvertible, Sendable {
        var zone: String
        var around: String

        var description: String { "\(zone) \(around)" }
    }

    static let places = [
        Place(zone: "Europe/Berlin", around: "2026-03-29T01:00:00Z"), Place(zone: "Europe/Berlin", around: "2026-10-25T01:00:00Z"),
        Place(zone: "America/New_York", around: "2026-11-01T06:00:00Z"), Place(zone: "Asia/Kolkata", around: "2026-12-31T18:30:00Z"),
        // A quarter, and half an hour of summer time.
        Place(zone: "Asia/Kathmandu", around: "2026-05-03T18:15:00Z"), Place(zone: "Australia/Lord_Howe", around: "2026-04-04T15:00:00Z"),
        Place(zone: "Australia/Lord_Howe", around: "2026-10-03T15:30:00Z"),
        // Midnight does not exist, or comes twice.
        Place(zone: "America/Sao_Paulo", around: "2017-10-15T03:00:00Z"), Place(zone: "America/Sao_Paulo", around: "2018-02-18T02:00:00Z"),
        Place(zone: "Asia/Beirut", around: "2022-03-26T22:00:00Z"), Place(zone: "Asia/Beirut", around: "2022-10-29T21:00:00Z"),
        Place(zone: "America/Havana", around: "2026-11-01T05:00:00Z"),
        // A day does not exist.
        Place(zone: "Pacific/Apia", around: "2011-12-30T10:00:00Z"),
        // Weeks of two years.
        Place(zone: "UTC", around: "2027-01-01T00:00:00Z"), Place(zone: "America/Los_Angeles", around: "2025-01-01T08:00:00Z"),
    ]

    /// The wall clock of a zone, by Foundation.
    final class Zone {
        let zone: TimeZone
        let calendar: LocalCalendar
        private var offsets: [Int: Int] = [:]
        private var starts: [Int: Int] = [:]
        private var weeks: Foundation.Calendar

        init(_ name: String) throws {
            zone = try #require(TimeZone(identifier: name))
            let rules = try #require(ZoneRules(Array(try Data(contentsOf: URL(filePath: "/usr/share/zoneinfo/\(name)")))))
            calendar = LocalCalendar { rules.offset($0) }
            weeks = Foundation.Calendar(identifier: .iso8601)
            weeks.timeZone = zone
        }

        /// No zone changes but at a full quarter of an hour.
        func offset(_ second: Int) -> Int {
            let quarter = second - mod(second, 900)
            if let known = offsets[quarter] { return known }
            let offset = zone.secondsFromGMT(for: Date(timeIntervalSince1970: Double(quarter)))
            offsets[quarter] = offset
            return offset
        }

        func date(_ second: Int) -> Int { (second + offset(second) - mod(second + offset(second), 86_400)) / 86_400 }

        /// The first moment whose date is that day, or a later one where there is none of that day.
        func start(_ day: Int) -> Int {
            if let known = starts[day] { return known }
            var second = day * 86_400 - 20 * 3600
            while date(second) < day { second += 900 }
            starts[day] = second
            return second
        }

        func period(_ period: ReportPeriod, _ date: Int, _ second: Int) -> Int {
            switch period {
            case .day: return start(date)
            case .week:
                var day = date
                // 1970-01-01 was a Thursday.
                while mod(day, 7) != 4 { day -= 1 }
                return start(day)
            case .hour:
                func hour(_ second: Int) -> (Int, Int) {
                    (offset(second), (second + offset(second) - mod(second + offset(second), 3600)) / 3600)
                }
                var begin = second - mod(second, 900)
                while hour(begin - 900) == hour(second) { begin -= 900 }
                return begin
            }
        }

        /// What the period that begins then is called.
        func name(_ period: ReportPeriod, _ start: Int) -> String {
            let date = Date(timeIntervalSince1970: Double(start))
            let parts = weeks.dateComponents([.year, .month, .day, .hour, .minute, .weekOfYear, .yearForWeekOfYear], from: date)
            func padded(_ value: Int?, _ width: Int = 2) -> String {
                let digits = String(value ?? -1)
                return String(repeating: "0", count: max(0, width - digits.count)) + digits
            }
            let day = "\(padded(parts.year, 4))-\(padded(parts.month))-\(padded(parts.day))"
            switch period {
            case .day: return day
            case .week: return "\(padded(parts.yearForWeekOfYear, 4))-W\(padded(parts.weekOfYear))"
            case .hour:
                let offset = abs(zone.secondsFromGMT(for: date)) / 60
                let sign = zone.secondsFromGMT(for: date) < 0 ? "-" : "+"
                return "\(day)T\(padded(parts.hour)):\(padded(parts.minute))\(sign)\(padded(offset / 60)):\(padded(offset % 60))"
            }
        }
    }

    static func mod(_ value: Int, _ by: Int) -> Int { (value % by + by) % by }

    /// What a clock shows, tick by tick: it runs, and is set now and then.
    struct Clock {
        var anchors: ClockAnchors
        /// In milliseconds, as all here.
        var wall: [Int] = []
        /// The latest that it has shown.
        var latest: [Int] = []

        init(_ start: Int, _ ticks: Int, tick length: Int, steps: Int, _ random: inout SeededRandom) {
            var list: [ClockAnchor] = []
            var at: [Int: Int] = [0: 0]
            for _ in 0..<steps { at[Int.random(in: 1..<ticks, using: &random)] = length * Int.random(in: -300...300, using: &random) }
            var now = start
            for tick in 0...ticks {
                if let step = at[tick] {
                    now += step
                    list.append(ClockAnchor(boot: ReportOracleTests.boot(tick, length), wall: ReportOracleTests.wall(now)))
                }
                wall.append(now)
                latest.append(max(latest.last ?? now, now))
                now += length
            }
            anchors = ClockAnchors(list)
        }
    }

    static func boot(_ tick: Int, _ length: Int) -> BootInstant { BootInstant(nanoseconds: UInt64(tick * length) * 1_000_000) }
    static func wall(_ milliseconds: Int) -> WallInstant { WallInstant(nanoseconds: Int64(milliseconds) * 1_000_000) }

    /// A session as streams, and what had the focus in each interval.
    struct Work {
        var stream: OracleTests.Stream
        var applications: [Int?] = []
        var switches: [UInt32] = []

        /// - Parameters:
        ///   - lengths: of intervals, at most; one is chosen each time.
        ///   - pause: for how long nothing is in front between windows.
        init(_ ticks: Int, lengths: [Int], pause: ClosedRange<Int>, _ random: inout SeededRandom) {
            func choice<Value>(_ values: [Value]) -> Value { values[Int.random(in: values.indices, using: &random)] }
            let start = Int.random(in: 0..<ticks / 3, using: &random)
            stream = OracleTests.Stream(span: (start, Int.random(in: ticks / 2...ticks, using: &random)))
            var tick = start
            while tick < stream.span.1 {
                let length = Int.random(in: 1...choice(lengths), using: &random)
                var end = tick + length
                switch Int.random(in: 0..<16, using: &random) {
                // Of nothing stored nothing is known.
                case 0: break
                case 1: stream.unknown.append((tick, end))
                case 2: add(tick, end, nil, 0)
                case 3: add(tick, end, nil, UInt32.random(in: 1...50, using: &random))
                case 4..<8:
                    end = tick + Int.random(in: pause, using: &random)
                    add(tick, end, nil, 0)
                default: add(tick, end, Int.random(in: 0..<3, using: &random), 0)
                }
                tick = end
            }
            tick = start
            while tick < stream.span.1 {
                tick += Int.random(in: 0...choice([2, 15, 80]), using: &random)
                let end = tick + Int.random(in: 0...choice([1, 10, 60]), using: &random)
                stream.bursts.append((tick, end))
                tick = end + 1
            }
            let pairs: [(StateChange.Kind, StateChange.Kind)] = [
                (.suspended, .woke), (.locked, .unlocked), (.disconnected, .connected), (.paused, .resumed),
            ]
            for _ in 0..<Int.random(in: 0...8, using: &random) {
                let (pair, at) = (choice(pairs), Int.random(in: 0..<ticks, using: &random))
                stream.changes += [(pair.0, at), (pair.1, min(ticks - 1, at + Int.random(in: 0...100, using: &random)))]
            }
        }

        private mutating func add(_ start: Int, _ end: Int, _ application: Int?, _ switches: UInt32) {
            stream.focus.append((start, end))
            applications.append(application)
            self.switches.append(switches)
        }

        func timeline(_ length: Int, known: Int?) -> SessionTimeline {
            func span(_ span: (Int, Int)) -> TimeSpan {
                TimeSpan(start: ReportOracleTests.boot(span.0, length), end: ReportOracleTests.boot(span.1, length))
            }
            return SessionTimeline(
                span: span(stream.span), focus: stream.focus.map(span), bursts: stream.bursts.map(span), unknown: stream.unknown.map(span),
                changes: stream.changes.map { StateChange($0.0, at: ReportOracleTests.boot($0.1, length)) },
                inputKnown: known.map { ReportOracleTests.boot($0, length) })
        }

        func focus(_ index: Int, of session: Int, _ length: Int) -> ReportStream.Focus {
            // No two sessions' begin at one nanosecond.
            let start = ReportOracleTests.boot(stream.focus[index].0, length).advanced(by: .nanoseconds(session))
            return ReportStream.Focus(
                start: start, application: applications[index], subject: applications[index], switches: switches[index])
        }
    }

    /// A moment of what a report is of.
    struct Moment {
        var category: TermspanAccounting.Category
        /// Which session's interval had the focus.
        var interval: [Int]?
        var application: Int?
        var switches: UInt32

        init(_ category: TermspanAccounting.Category, _ session: Int, _ front: Int?, _ work: Work) {
            self.category = category
            interval = front.map { [session, $0] }
            application = front.flatMap { work.applications[$0] }
            switches = front.map { work.switches[$0] } ?? 0
        }

        var isInUse: Bool { category == .active || category == .passive }
    }

    /// A report, tick by tick; nil is a moment without a session.
    static func report(
        _ moments: [Moment?], _ clock: Clock, _ zone: Zone, by period: ReportPeriod?, byApplication: Bool, _ length: Int
    ) -> [ReportStream.Row: ReportFigures] {
        // Dates only go forward, however the clock is set.
        var (dates, date): ([Int], Int) = ([], .min)
        for tick in moments.indices {
            date = max(date, zone.date(clock.latest[tick] / 1000))
            dates.append(date)
        }
        func row(_ tick: Int) -> ReportStream.Row {
            let start = period.map { wall(zone.period($0, dates[tick], clock.latest[tick] / 1000) * 1000) }
            return ReportStream.Row(period: start, subject: byApplication ? moments[tick]?.application : nil)
        }
        let nanoseconds = UInt64(length) * 1_000_000
        var rows: [ReportStream.Row: ReportFigures] = [:]
        var lastInRow: [ReportStream.Row: Int] = [:]
        var lastApplication: Int?
        var counted: Set<[Int]> = []
        for (tick, moment) in moments.enumerated() {
            guard let moment else { continue }
            let row = row(tick)
            rows[row, default: ReportFigures()].times[moment.category] += nanoseconds
            if moment.category == .active {
                if lastInRow[row] == nil { rows[row]?.first = wall(clock.wall[tick]) }
                lastInRow[row] = tick
                rows[row]?.last = wall(clock.wall[tick + 1])
            }
            guard moment.isInUse else { continue }
            if let application = moment.application {
                if let lastApplication, lastApplication != application { rows[row]?.switches += 1 }
                lastApplication = application
            }
            if let interval = moment.interval, moment.switches > 0, counted.insert(interval).inserted {
                rows[row]?.switches += UInt64(moment.switches)
            }
        }
        // Stretches of one application: over what is less than a second without any.
        var tick = 0
        while tick < moments.count {
            guard let first = moments[tick], first.isInUse, let application = first.application else {
                tick += 1
                continue
            }
            var stretch = [tick]
            var next = tick + 1
            while next < moments.count, let moment = moments[next], moment.isInUse, let last = stretch.last {
                if moment.application == application {
                    stretch.append(next)
                } else if moment.application != nil || moment.interval == nil || moment.switches > 0 || (next - last) * length >= 1000 {
                    break
                }
                next += 1
            }
            if stretch.count * length >= 300_000 {
                var parts: [ReportStream.Row: UInt64] = [:]
                for tick in stretch { parts[row(tick), default: 0] += nanoseconds }
                for (row, part) in parts {
                    let longest = rows[row]?.longestFocus ?? 0
                    rows[row]?.focus += part
                    rows[row]?.longestFocus = max(longest, part)
                }
            }
            tick = (stretch.last ?? tick) + 1
        }
        // Breaks are of no application.
        let active = moments.indices.filter { moments[$0]?.category == .active }
        for (one, other) in zip(active, active.dropFirst()) where !byApplication && (other - one - 1) * length > 300_000 {
            let isInterrupted = moments[one..<other].contains { [nil, .unknown, .paused].contains($0?.category) }
            if isInterrupted || dates[one] != dates[other] { continue }
            rows[row(one)]?.breaks += 1
            rows[row(one)]?.breakTime += UInt64(other - one - 1) * nanoseconds
        }
        return rows
    }

    /// Switches an hour of use in tenths, by decimals.
    static func rate(_ figures: ReportFigures) -> UInt64? {
        let used = figures.times[.active] + figures.times[.passive]
        guard used > 0 else { return nil }
        var exact = Decimal(figures.switches) * 36_000_000_000_000 / Decimal(used)
        var rounded = Decimal()
        NSDecimalRound(&rounded, &exact, 0, .plain)
        return NSDecimalNumber(decimal: rounded).uint64Value
    }

    static func check(
        _ place: Place, seed: UInt64, tick length: Int, _ ticks: Int, lengths: [Int], pause: ClosedRange<Int>, passive limits: [Int?]
    ) throws {
        var random = SeededRandom(seed: seed)
        let zone = try Zone(place.zone)
        let around = Int(try Date(place.around, strategy: .iso8601).timeIntervalSince1970) * 1000
        let start = around - length * Int.random(in: ticks / 3...2 * ticks / 3, using: &random)
        let clock = Clock(start, ticks, tick: length, steps: Int.random(in: 0...4, using: &random), &random)
        let works = (0..<Int.random(in: 1...3, using: &random)).map { _ in Work(ticks, lengths: lengths, pause: pause, &random) }
        let isBackdated = Int.random(in: 0..<4, using: &random) == 0
        let idle = [0, 4, 11, 30].randomElement(using: &random) ?? 0
        let passive = isBackdated ? nil : limits.randomElement(using: &random) ?? nil
        var thresholds = Thresholds(idle: .milliseconds(idle * length), passiveLimit: passive.map { .milliseconds($0 * length) })
        if isBackdated { thresholds.model = .activitywatch }
        let period = [nil, ReportPeriod.hour, .day, .week].randomElement(using: &random) ?? nil
        let byApplication = Bool.random(using: &random)
        let what =
            "seed \(seed) \(place) by \(period.map { "\($0)" } ?? "nothing"), applications \(byApplication), idle \(idle), passive \(passive ?? -1), \(thresholds.model)"

        let timelines = works.map { $0.timeline(length, known: $0.stream.span.1) }
        let paintings = works.map {
            Painting($0.stream, ticks, idle: idle, passive: passive, backdated: isBackdated ? $0.stream.span.1 : nil)
        }
        func stream() -> ReportStream { ReportStream(clock.anchors, zone.calendar, period: period, isBySubject: byApplication) }
        func compare(_ stream: ReportStream, _ moments: [Moment?], _ whose: String) {
            var stream = stream
            stream.finish()
            let ruled = report(moments, clock, zone, by: period, byApplication: byApplication, length)
            for row in Set(stream.rows.keys).union(ruled.keys) where stream.rows[row] != ruled[row] {
                Issue.record(
                    "\(what), \(whose): \(row) is \(stream.rows[row].map { "\($0)" } ?? "nothing") in place of \(ruled[row].map { "\($0)" } ?? "nothing")"
                )
            }
            for (row, figures) in ruled {
                #expect(stream.rows[row]?.switchRate == rate(figures), "\(what), \(whose): switches an hour of \(row)")
            }
            guard let period else { return }
            for start in Set(stream.rows.keys.compactMap(\.period)) {
                #expect(period.name(start, zone.calendar) == zone.name(period, Int(start.nanoseconds / 1_000_000_000)), "\(what)")
            }
        }
        for (index, work) in works.enumerated() {
            var stream = stream()
            for part in timelines[index].evaluate(thresholds).parts {
                stream.add(part.span, part.category, part.focus.map { work.focus($0, of: index, length) })
            }
            let painting = paintings[index]
            let moments = (0..<ticks).map { tick in painting.category[tick].map { Moment($0, index, painting.front[tick], work) } }
            compare(stream, moments, "session \(index)")
        }
        var own = stream()
        for part in UserTimeline(sessions: timelines).evaluate(thresholds).parts {
            own.add(part.span, part.category, part.focus.map { works[part.session].focus($0, of: part.session, length) })
        }
        let owners = Painting.owners(paintings, works.map(\.stream), ticks)
        let moments = owners.enumerated().map { tick, owner in
            owner.flatMap { owner in
                paintings[owner].category[tick].map { Moment($0, owner, paintings[owner].front[tick], works[owner]) }
            }
        }
        compare(own, moments, "own time")
    }

    /// Two days around a moment, in half minutes.
    @Test(arguments: places.indices) func reportsAreThoseOfEveryTick(number: Int) throws {
        for round in 0..<6 {
            let seed = UInt64(1000 * (number + 1) + round)
            try Self.check(
                Self.places[number], seed: seed, tick: 30_000, 5000, lengths: [2, 12, 60, 200], pause: 1...3, passive: [0, 10, 40, nil])
        }
    }

    /// Half an hour in quarters of a second: what has no window for less than a second interrupts nothing.
    @Test(arguments: 0..<10) func momentsWithoutAWindowAreThoseOfEveryTick(seed: Int) throws {
        let place = Place(zone: "Europe/Berlin", around: "2026-10-25T01:00:00Z")
        try Self.check(place, seed: UInt64(seed), tick: 250, 6000, lengths: [300, 1000, 3000], pause: 1...5, passive: [nil])
    }

    /// Beside changes of clocks: days, hours and weeks through the years, to those for which a zone's file has a rule alone.
    @Test(arguments: [
        "Europe/Berlin", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe", "America/Sao_Paulo", "Asia/Beirut", "UTC",
    ])
    func calendarsAreThoseOfFoundation(name: String) throws {
        let zone = try Zone(name)
        // 400 days and some quarters of an hour are between them.
        for second in stride(from: 1_000_000_000, to: 2_300_000_000, by: 3_459_600) {
            let moment = WallInstant(nanoseconds: Int64(second) * 1_000_000_000 + 1)
            #expect(zone.calendar.day(moment).number == zone.date(second), "\(name) \(second)")
            for period in ReportPeriod.allCases {
                let range = period.range(of: moment, zone.calendar)
                let start = zone.period(period, zone.date(second), second)
                #expect(range.lowerBound == Self.wall(start * 1000), "\(name) \(period) \(second)")
                // The next begins where it ends.
                let next = Int(range.upperBound.nanoseconds / 1_000_000_000)
                #expect(next > second && zone.period(period, zone.date(next), next) == next, "\(name) \(period) \(second)")
                #expect(period.name(range.lowerBound, zone.calendar) == zone.name(period, start), "\(name) \(period) \(second)")
            }
        }
    }
}
