import Foundation
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore
import TermspanSystem
import Testing

@testable import TermspanReports

@Suite struct ReportTests {
    typealias F = ReportsFixture

    static func number(_ value: Any?) -> Double { (value as? NSNumber)?.doubleValue ?? .nan }

    static func question(_ by: String, live: [ActivityRow]? = nil, _ change: (inout Question) -> Void = { _ in }) throws -> Question {
        var question = Question(.report, live: live)
        question.calendar = LocalCalendar { _ in 0 }
        question.report.by = try #require(ReportShape.By(by))
        change(&question)
        return question
    }

    static func nanoseconds(_ value: Any?) -> Int64 { Int64((number(value) * 1e9).rounded()) }

    /// Whatever the rows are by and the thresholds are, they add up to those of activity and of summary, to the nanosecond.
    @Test(arguments: 0..<6) func reportsAddUpToActivity(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let fixture = try ReportsFixture()
        var rows: [ActivityRow] = []
        for number in UInt64(1)...4 {
            let session = F.session(number, number == 2 ? "ben" : "anna", number == 2 ? 1002 : 1001, start: Double(number) * 100)
            let half = F.random(session, until: 12_000, durable: 9000, &random)
            try fixture.writer.write(half.batch)
            rows += half.rows
        }
        var backdated = Thresholds(idle: Thresholds.activityWatchIdle)
        backdated.model = .activitywatch
        for thresholds in [
            Thresholds(), Thresholds(idle: .seconds(20), passiveLimit: nil), Thresholds(idle: .zero, passiveLimit: .zero), backdated,
        ] {
            func lines(_ question: Question, page: Int = 2000) throws -> [[String: Any]] {
                var question = question
                question.thresholds = thresholds
                return try fixture.lines(question, page: page)
            }
            func sum(_ lines: [[String: Any]], _ key: String) -> Int64 { lines.reduce(0) { $0 + Self.nanoseconds($1[key]) } }
            let spans = try lines(Question(.spans, live: rows))
            let sessions = try lines(Question(.sessions, live: rows))
            for by in [
                "user", "application", "user,application", "user,hour", "application,day", "week", "user,application,hour", "category,hour",
                "productivity", "user,business",
            ] {
                let report = try lines(Self.question(by, live: rows))
                for key in ["active", "passive", "inactive"] {
                    if by.contains("application") {
                        let named = report.filter { !($0["executable"] is NSNull) || !($0["class"] is NSNull) }
                        let inFront = spans.filter { !($0["executable"] is NSNull) || !($0["class"] is NSNull) }
                        #expect(sum(named, key) == sum(inFront, key), "\(by) \(key)")
                    }
                    #expect(sum(report, key) == sum(sessions, key), "\(by) \(key)")
                }
                for key in ["total", "unknown", "locked", "suspended", "paused", "disconnected"] {
                    #expect(sum(report, key) == sum(sessions, key))
                }
                for page in [1, 7] {
                    let paged = try lines(Self.question(by, live: rows), page: page)
                    #expect(paged.map { $0 as NSDictionary } == report.map { $0 as NSDictionary }, "\(by) page \(page)")
                }
            }
            // A user's own time is never more than the clock's.
            let own = try lines(Self.question("user", live: rows) { $0.report.isOwnTime = true })
            #expect(own.map { Self.nanoseconds($0["total"]) } == [11_900_000_000_000, 11_800_000_000_000])
            let users = try lines(Question(.userTimes, live: rows))
            for key in ["active", "passive", "inactive", "unknown", "locked"] { #expect(sum(own, key) == sum(users, key), "\(key)") }
        }
    }

    /// A morning by hand: a stretch of six minutes over a moment without a window, two switches, a break of ten minutes, and a day's end.
    @Test func figuresAreAsSpecified() throws {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        let session = F.session(1, start: 0)
        batch.sessions = [session]
        func focus(_ start: Double, _ end: Double, _ name: String?) {
            batch.focus.append(
                FocusRecord(
                    session: session.uuid, span: F.span(start, end),
                    application: name.map { Application(executable: "/usr/bin/\($0)", windowClass: nil) }))
        }
        func burst(_ start: Double, _ end: Double) {
            batch.bursts.append(BurstRecord(session: session.uuid, burst: InputBurst(start: F.at(start), end: F.at(end), origin: .device)))
        }
        focus(0, 200, "editor")
        focus(200, 200.05, nil)
        focus(200.05, 360, "editor")
        focus(360, 400, "mail")
        focus(400, 1200, "editor")
        burst(0, 400)
        burst(1120, 1200)
        batch.ended = [SessionEnd(session: session.uuid, at: F.at(1200), reason: .logoff)]
        try fixture.writer.write(batch)
        let thresholds = Thresholds(idle: .seconds(120), passiveLimit: .seconds(300))
        func lines(_ by: String, _ change: (inout Question) -> Void = { _ in }) throws -> [[String: Any]] {
            try fixture.lines(
                Self.question(by) {
                    $0.thresholds = thresholds
                    change(&$0)
                })
        }
        let user = try #require(try lines("user").first)
        #expect(Self.number(user["active"]) == 600 && Self.number(user["passive"]) == 300 && Self.number(user["inactive"]) == 300)
        #expect(user["first_activity"] as? String == F.wall(0).iso8601 && user["last_activity"] as? String == F.wall(1200).iso8601)
        // 359.95 s to 360, and 400 to 820, when it becomes inactive.
        #expect(Self.number(user["focus"]) == 359.95 + 420 && Self.number(user["longest_focus"]) == 420)
        #expect(Self.number(user["switches"]) == 2 && Self.number(user["switches_per_hour"]) == 8)
        #expect(Self.number(user["breaks"]) == 1 && Self.number(user["break_time"]) == 600)
        let applications = try lines("application")
        #expect(applications.map { $0["executable"] as? String } == ["/usr/bin/editor", "/usr/bin/mail", nil])
        #expect(applications.map { Self.number($0["switches"]) } == [1, 1, 0] && applications.allSatisfy { $0["breaks"] is NSNull })
        #expect(try lines("user") { $0.choice.executable = "ma*" }.map { Self.number($0["active"]) } == [40])
        // The night is no break.
        let midnight = LocalCalendar { _ in 86_400 - Int(F.anchor.wall.nanoseconds / 1_000_000_000 % 86_400) - 700 }
        let days = try lines("user,day") { $0.calendar = midnight }
        #expect(days.count == 2 && days.allSatisfy { Self.number($0["breaks"]) == 0 })
        #expect(days.reduce(0) { $0 + Self.number($1["total"]) } == 1200)
        #expect(throws: ReportError.self) { try lines("user") { $0.report.groups = ["no-such-group-anywhere"] } }
    }

    /// Days have 23 or 25 hours, and the hour that there is twice is two rows.
    @Test func daysAndHoursAreTheZones() throws {
        let berlin = try #require(LocalCalendar.zone(named: "Europe/Berlin"))
        #expect(LocalCalendar.zone(named: "../Berlin") == nil && LocalCalendar.zone(named: "Europe/Nowhere") == nil)
        for (first, hours) in [("2026-03-29", 23), ("2026-10-25", 25), ("2026-05-01", 24), ("2050-03-27", 23), ("2050-10-30", 25)] {
            let day = try #require(CalendarDay(first))
            let range = ReportPeriod.day.range(of: berlin.moment(day, 720), berlin)
            #expect(range.lowerBound.duration(to: range.upperBound) == .seconds(hours * 3600), "\(first)")
            var names: [String] = []
            var moment = range.lowerBound
            while moment < range.upperBound {
                let hour = ReportPeriod.hour.range(of: moment.advanced(by: .seconds(1)), berlin)
                #expect(hour.lowerBound == moment)
                names.append(ReportPeriod.hour.name(moment, berlin))
                moment = hour.upperBound
            }
            #expect(moment == range.upperBound && names.count == hours && Set(names).count == hours)
        }
        let kathmandu = try #require(LocalCalendar.zone(named: "Asia/Kathmandu"))
        let day = try #require(CalendarDay("2026-05-01"))
        #expect(kathmandu.text(kathmandu.moment(day, 60)) == "2026-05-01T01:00+05:45")
        #expect(["2026-12-31", "2027-01-03", "2027-01-04"].compactMap { CalendarDay($0)?.week } == ["2026-W53", "2026-W53", "2027-W01"])
    }

    @Test func whatARowIsByIsReadStrictly() throws {
        #expect(ReportShape.By("user,application,day") == ReportShape.By(.users, isByApplication: true, period: .day))
        let classified = try #require(ReportShape.By("category,group,productivity,business"))
        #expect(classified.isByCategory && classified.isByProductivity && classified.isByBusiness && !classified.isByApplication)
        #expect(ReportShape.By("week")?.whose == .everybody && ReportShape.By("group")?.whose == .groups)
        for text in ["", "user,", "user,group", "day,hour", "user,user", "month"] { #expect(ReportShape.By(text) == nil, "\(text)") }
    }
}
