import SeededRandom
import TermspanCore
import Testing

@testable import TermspanAccounting

@Suite struct AggregateTableTests {
    private static func times(active: UInt64 = 0, passive: UInt64 = 0, inactive: UInt64 = 0, locked: UInt64 = 0) -> CategoryTimes {
        var times = CategoryTimes()
        for (category, seconds) in [(Category.active, active), (.passive, passive), (.inactive, inactive), (.locked, locked)] {
            times[category] = seconds * 1_000_000_000
        }
        return times
    }

    /// So many users with an hour each.
    private static func hours(_ users: Range<Int>) -> [Int: CategoryTimes] {
        Dictionary(uniqueKeysWithValues: users.map { ($0, times(active: 3600)) })
    }

    private static func shown(_ table: AggregateTable) -> [String] {
        table.rows.filter { $0.figures != nil }.map { $0.group ?? "" }
    }

    @Test func figuresAreAveragesToAQuarterOfAnHour() throws {
        var users = (0..<8).reduce(into: [Int: CategoryTimes]()) { users, number in
            users[number] = Self.times(active: 36_000 + UInt64(number), passive: 1200, inactive: 300, locked: 2700)
        }
        let table = AggregateTable(users, groups: [], minimum: 5)
        let figures = AggregateTable.Figures(users: 5, active: 36_000, passive: 900, inactive: 0, connected: 40_500)
        #expect(table.rows == [AggregateTable.Row(figures: figures)])
        #expect(figures.activeShare == 89)
        // Who was never there does not count, whatever else is known of them.
        users[8] = CategoryTimes()
        users[9] = {
            var times = CategoryTimes(); times[.unknown] = 1 << 50; times[.disconnected] = 1 << 50; return times
        }()
        #expect(AggregateTable(users, groups: [], minimum: 5) == table)
        for (count, told) in [(5, 5), (9, 5), (10, 10), (11, 10), (29, 25)] as [(Int, UInt64)] {
            #expect(AggregateTable(Self.hours(0..<count), groups: [], minimum: 5).rows[0].figures?.users == told)
        }
        #expect(AggregateTable(Self.hours(0..<13), groups: [], minimum: 7).rows[0].figures?.users == 12)
        #expect(AggregateTable.Figures(users: 5, active: 0, passive: 0, inactive: 0, connected: 0).activeShare == nil)
    }

    @Test func fewerThanTheMinimumAreWithheld() {
        #expect(Self.shown(AggregateTable(Self.hours(0..<4), groups: [], minimum: 5)) == [])
        #expect(Self.shown(AggregateTable(Self.hours(0..<5), groups: [], minimum: 5)) == [""])
        #expect(Self.shown(AggregateTable([Int: CategoryTimes](), groups: [("none", [])], minimum: 5)) == [])
        // Never below three, whatever is asked for.
        #expect(Self.shown(AggregateTable(Self.hours(0..<2), groups: [], minimum: 0)) == [])
    }

    /// What could be worked out of several rows is withheld as well.
    @Test func nothingCanBeWorkedOutOfSeveralRows() {
        func shown(_ users: Int, _ groups: [(String, Range<Int>)]) -> [String] {
            Self.shown(AggregateTable(Self.hours(0..<users), groups: groups.map { ($0.0, Set($0.1)) }, minimum: 5))
        }
        #expect(shown(10, [("a", 0..<5)]) == ["", "a"])
        // Everybody else are four.
        #expect(shown(9, [("a", 0..<5)]) == [""])
        // All of them are nobody else.
        #expect(shown(9, [("a", 0..<9)]) == ["", "a"])
        // Each leaves enough, both together leave three.
        #expect(shown(13, [("a", 0..<5), ("b", 5..<10)]) == ["", "a"])
        #expect(shown(13, [("b", 5..<10), ("a", 0..<5)]) == ["", "b"])
        // Overlaps: two in both; one in the one and not in the other.
        #expect(shown(30, [("a", 0..<10), ("b", 8..<18)]) == ["", "a"])
        #expect(shown(30, [("a", 0..<10), ("b", 1..<10)]) == ["", "a"])
        #expect(shown(30, [("a", 0..<10), ("b", 5..<15), ("c", 15..<25)]) == ["", "a", "b", "c"])
        // Users who were not there make no difference.
        #expect(shown(10, [("a", 0..<5), ("b", 20..<40)]) == ["", "a"])
    }

    @Test func whoMakesMostOfASumIsNotTold() {
        var users = Self.hours(0..<10)
        users[0] = Self.times(active: 9 * 3600)
        #expect(Self.shown(AggregateTable(users, groups: [], minimum: 5)) == [""])
        users[0] = Self.times(active: 9 * 3600 + 1)
        #expect(Self.shown(AggregateTable(users, groups: [], minimum: 5)) == [])
        // Of each sum that is not told as nothing.
        users[0] = Self.times(active: 3600, passive: 4499)
        #expect(Self.shown(AggregateTable(users, groups: [], minimum: 5)) == [""])
        users[0] = Self.times(active: 3600, passive: 4500)
        #expect(Self.shown(AggregateTable(users, groups: [("rest", Set(1..<10))], minimum: 5)) == ["rest"])
        // What is connected less all the rest is locked.
        users[0] = Self.times(active: 3600, locked: 9000)
        #expect(Self.shown(AggregateTable(users, groups: [], minimum: 5)) == [])
        // Nor who makes it with another, who would know the rest of it: of two with ten hours each and eight with so much.
        for (seconds, isTold) in [(900 as UInt64, true), (899, false)] {
            users = Dictionary(uniqueKeysWithValues: (0..<10).map { ($0, Self.times(active: $0 < 2 ? 36_000 : seconds)) })
            #expect(Self.shown(AggregateTable(users, groups: [], minimum: 5)) == (isTold ? [""] : []))
        }
        // And in what is left: user 5 and four of whom there is next to nothing.
        users = Self.hours(0..<10)
        for number in 6..<10 { users[number] = Self.times(active: 1) }
        #expect(Self.shown(AggregateTable(users, groups: [("a", Set(0..<5))], minimum: 5)) == [""])
    }

    /// Whatever rows are added up, each any number of times, and taken away from one another: what is left is of nobody or of enough users, of
    /// whom none makes most of it.
    @Test(arguments: 0..<200) func noCombinationIsOfFewUsers(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let minimum = Int.random(in: 3...6, using: &random)
        var users: [Int: CategoryTimes] = [:]
        for number in 0..<Int.random(in: 0...60, using: &random) {
            // More than is told as nothing; and of some far more than of others.
            func seconds() -> UInt64 {
                UInt64.random(in: 1000...40_000, using: &random) * (Int.random(in: 0..<40, using: &random) == 0 ? 50 : 1)
            }
            users[number] = Self.times(active: seconds(), passive: seconds(), inactive: seconds(), locked: seconds())
        }
        // Of departments, most of them large enough for themselves; some groups differ from these by a few users.
        let departments = Dictionary(grouping: 0..<60) { _ in Int.random(in: 0..<6, using: &random) }.values
        let groups = (0..<Int.random(in: 0...6, using: &random)).map { number -> (name: String, members: Set<Int>) in
            var members = Set(departments.filter { _ in Bool.random(using: &random) }.joined())
            if Int.random(in: 0..<4, using: &random) == 0 { members.formSymmetricDifference([.random(in: 0..<40, using: &random)]) }
            return ("g\(number)", members)
        }
        let table = AggregateTable(users, groups: groups, minimum: UInt64(minimum))
        #expect(table.rows.map(\.group) == [nil] + groups.map(\.name))
        let members = Dictionary(uniqueKeysWithValues: groups.map { ($0.name, $0.members) })
        let shown = table.rows.filter { $0.figures != nil }.map { row in row.group.map { members[$0] ?? [] } ?? Set(users.keys) }
        for (row, set) in zip(table.rows.filter { $0.figures != nil }, shown) {
            #expect(Int(row.figures?.users ?? 0) <= set.intersection(users.keys).count)
        }
        for _ in 0..<300 where !shown.isEmpty {
            let weights = shown.map { _ in Int.random(in: -2...2, using: &random) }
            let weight = users.keys.reduce(into: [Int: Int]()) { result, user in
                let sum = zip(shown, weights).reduce(0) { $0 + ($1.0.contains(user) ? $1.1 : 0) }
                if sum != 0 { result[user] = sum }
            }
            #expect(weight.isEmpty || weight.count >= minimum)
            for category in [Category.active, .passive, .inactive, .locked] {
                let parts = weight.map { UInt64(abs($1)) * (users[$0]?[category] ?? 0) / 1_000_000_000 }
                let (sum, largest) = (parts.reduce(0, +), parts.sorted(by: >).prefix(2))
                #expect(2 * (largest.first ?? 0) <= sum && 5 * (sum - largest.reduce(0, +)) >= largest.first ?? 0)
            }
        }
        #expect(AggregateTable(lines: table.lines) == table)
    }

    /// As long as a group can be shown, it is: nothing is withheld that by itself would do no harm.
    @Test func disjointLargeGroupsAreAllShown() {
        let groups = (0..<8).map { (name: "g\($0)", members: Set($0 * 5..<$0 * 5 + 5)) }
        let table = AggregateTable(Self.hours(0..<45), groups: groups, minimum: 5)
        #expect(Self.shown(table).count == 9)
    }

    @Test(arguments: [
        [], [""], ["5"], ["5", ""], ["5", "-"], ["2", "-\t"], ["5", "-\ta"], ["5", "-\t", "-\t"], ["5", "1 2 3 4\t"], ["5", "1 2 3 4 x\t"],
        ["5", "1 2 3 4 -5\t"], ["5", "1 2 3 4 99999999999\t"], ["5"] + (0...60).map { "-\t\($0 == 0 ? "" : "g")" },
    ])
    func whatIsNoTable(lines: [String]) { #expect(AggregateTable(lines: lines) == nil) }

    @Test func closedMonthsOfTheHistoryAreTold() throws {
        let calendar = LocalCalendar { _ in 3600 }
        func moment(_ day: String, _ minutes: Int = 0) throws -> WallInstant { calendar.moment(try #require(CalendarDay(day)), minutes) }
        func told(_ now: WallInstant, _ beginning: WallInstant, _ kept: Duration? = nil) -> [String] {
            AggregateMonths(calendar, now: now).told(from: beginning, kept: kept).map(\.description)
        }
        let begin = try moment("2026-08-20", 700)
        #expect(told(try moment("2026-11-01", 1439), begin) == ["2026-08", "2026-09"])
        // A whole day after its end.
        #expect(told(try moment("2026-11-02"), begin) == ["2026-08", "2026-09", "2026-10"])
        #expect(told(try moment("2026-08-31"), begin) == [])
        // Of which something may have been removed by its age are not.
        let day = Duration.seconds(86_400)
        #expect(told(try moment("2026-11-10"), begin, day * 70) == ["2026-09", "2026-10"])
        #expect(told(try moment("2026-11-10", 1), begin, day * 70) == ["2026-10"])
        #expect(told(try moment("2026-11-10"), begin, day * 30) == [])
        // A clock that is far off.
        #expect(told(WallInstant(nanoseconds: .min), begin) == [])
        #expect(told(WallInstant(nanoseconds: 0), WallInstant(nanoseconds: .min), .seconds(1 << 40)) == [])
        #expect(told(try moment("2026-11-10"), WallInstant(nanoseconds: .min)).first == "1970-01")
    }
}
