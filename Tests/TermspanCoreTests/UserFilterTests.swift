import Testing

@testable import TermspanCore

@Suite struct UserFilterTests {
    private static let seen = WallInstant(nanoseconds: 1_000_000_000)
    private static let users = [
        ListedUser(logins: ["anna", "anna.old"], name: "Anna Lee", domains: ["srv1"], isTracked: true, lastSeen: seen, sessions: 2),
        ListedUser(
            logins: [#"EXAMPLE\Hannah"#], domains: ["example.com", "example"], isTracked: false,
            isLoggedOn: true, isInGroup: true),
        ListedUser(logins: ["carl"], name: "Carl Annaberg", isTracked: nil, sessions: 1),
    ]

    private func selected(_ filter: UserFilter) -> [Int] {
        Self.users.indices.filter { filter.selects(Self.users[$0]) }
    }

    @Test func eachFilterRestricts() {
        #expect(selected(UserFilter()) == [0, 1, 2])
        #expect(selected(UserFilter(search: "ANNA")) == [0, 1, 2] && selected(UserFilter(search: "example")) == [1])
        #expect(selected(UserFilter(search: ".OLD")) == [0] && selected(UserFilter(search: "lee")) == [0])
        // Of whom nothing holds is neither.
        #expect(selected(UserFilter(isTracked: true)) == [0] && selected(UserFilter(isTracked: false)) == [1])
        #expect(selected(UserFilter(domain: "EXAMPLE")) == [1] && selected(UserFilter(domain: "Example.com")) == [1])
        #expect(selected(UserFilter(domain: "srv1")) == [0] && selected(UserFilter(domain: "*")) == [])
        #expect(selected(UserFilter(hasData: true)) == [0, 2] && selected(UserFilter(hasData: false)) == [1])
        #expect(selected(UserFilter(group: "staff")) == [1])
        #expect(selected(UserFilter(seenSince: Self.seen)) == [0, 1])
        #expect(selected(UserFilter(seenSince: Self.seen.advanced(by: .nanoseconds(1)))) == [1])
    }

    @Test func allOfThemHold() {
        #expect(selected(UserFilter(search: "anna", isTracked: true, hasData: true)) == [0])
        #expect(selected(UserFilter(search: "anna", isTracked: true, group: "staff")) == [])
    }

    /// Whoever has sessions has a seat.
    @Test func aSeatIsTakenByWhoHasData() { #expect(Self.users.map(\.hasSeat) == [true, false, true]) }
}
