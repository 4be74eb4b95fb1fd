import TermspanAccounting
import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct AggregateStoreTests {
    private typealias F = StoreFixture

    @Test func whatIsDecidedIsKeptAndRecorded() throws {
        let fixture = try StoreFixture()
        let store = try fixture.writer()
        #expect(try store.policy().aggregateGroups == [] && store.policy().aggregateMinimum == 5)
        func set(_ groups: [String]?, _ minimum: UInt64?) throws -> Bool {
            try store.setAggregates(groups: groups, minimum: minimum, by: "uid 7", reason: "agreed", at: F.anchor.wall)
        }
        #expect(try set(["sales", "own:night shift"], nil))
        #expect(try set(nil, 8))
        // What holds already is not decided again.
        #expect(try !set(["sales", "own:night shift"], 8))
        let reader = try StoreReader(path: fixture.path)
        let policy = try reader.policy()
        #expect(policy.aggregateGroups == ["sales", "own:night shift"] && policy.aggregateMinimum == 8)
        #expect(policy.settings.map(\.reason) == ["agreed", "agreed"] && policy.settings.map(\.by) == ["uid 7", "uid 7"])
        let entries = try reader.audit().map(\.entry)
        #expect(entries.map(\.action) == ["aggregate-groups", "aggregate-minimum"])
        #expect(entries.map(\.value) == ["sales,own:night shift", "8"])
        #expect(try set([], 5))
        #expect(try reader.policy().aggregateGroups == [] && reader.policy().aggregateMinimum == 5)
    }

    /// However often and by whomever else it is worked out later; over a restart, too.
    @Test func whatWasToldOfAMonthStays() throws {
        let fixture = try StoreFixture()
        var store = try fixture.writer()
        let (june, july) = (try #require(CalendarMonth("2026-06")), try #require(CalendarMonth("2026-07")))
        func table(_ users: UInt64) -> AggregateTable {
            let figures = AggregateTable.Figures(users: users, active: 900, passive: 0, inactive: 1800, connected: 2700)
            return AggregateTable(
                minimum: 5, rows: [.init(figures: figures), .init(group: "sales"), .init(group: "own:night shift", figures: figures)])
        }
        #expect(try store.fix([june: table(10)], at: F.anchor.wall) == [june: table(10)])
        #expect(try store.fix([june: table(15), july: table(20)], at: F.anchor.wall) == [june: table(10), july: table(20)])
        store = try fixture.writer()
        #expect(try store.aggregateTables() == [june: table(10), july: table(20)])
        // It is none of the policy, and no decision.
        #expect(try store.policy().settings.isEmpty)
        let reader = try StoreReader(path: fixture.path)
        #expect(try reader.audit().isEmpty && reader.policyChanges().isEmpty)
    }
}
