import TermspanStore
import Testing

@testable import TermspanCollector

@Suite struct MembershipsTests {
    private static let names = ["night", "shop"]
    private static let groups: [String: UInt64?] = ["night": 10, "shop": 20]
    private static func user(_ uid: UInt32) -> UserIdentity { UserIdentity(login: "user\(uid)", uid: uid) }

    private static func known() -> Memberships {
        var memberships = Memberships()
        let answer = Memberships.Answer(groups: groups, users: [user(1): [100, 20, 10], user(2): [100, 20], user(3): [100]])
        #expect(memberships.learn(answer) == [user(1), user(2), user(3)])
        return memberships
    }

    @Test func theFirstGroupCounts() {
        let memberships = Self.known()
        #expect(memberships.standing(of: Self.user(1), among: Self.names) == .known("night"))
        #expect(memberships.standing(of: Self.user(1), among: Self.names.reversed()) == .known("shop"))
        #expect(memberships.standing(of: Self.user(2), among: Self.names) == .known("shop"))
        #expect(memberships.standing(of: Self.user(3), among: Self.names) == .known(nil))
    }

    /// Whoever might be in a group is not taken for somebody who is not.
    @Test func whatIsNotKnownIsNotGuessed() {
        var memberships = Self.known()
        #expect(memberships.standing(of: Self.user(2), among: ["office", "shop"]) == .unknown)
        // It comes after that of the user, so it does not matter.
        #expect(memberships.standing(of: Self.user(2), among: ["shop", "office"]) == .known("shop"))
        #expect(memberships.standing(of: Self.user(4), among: Self.names) == .unknown)
        #expect(memberships.standing(of: Self.user(4), among: []) == .known(nil))
        // Another user has that uid now.
        #expect(memberships.standing(of: UserIdentity(login: "other", uid: 2), among: Self.names) == .unknown)
        memberships.forget(Self.user(2))
        #expect(memberships.standing(of: Self.user(2), among: Self.names) == .unknown)
        memberships.forget(allBut: [Self.user(1)])
        #expect(memberships.standing(of: Self.user(1), among: Self.names) == .known("night"))
        #expect(memberships.standing(of: Self.user(3), among: Self.names) == .unknown)
    }

    @Test func whatCouldNotBeSaidIsAsItWas() {
        var memberships = Self.known()
        #expect(memberships.learn(Memberships.Answer(groups: ["night": nil, "shop": 20], users: [Self.user(1): nil])) == [])
        #expect(memberships.standing(of: Self.user(1), among: Self.names) == .known("night"))
        #expect(memberships.missingGroups == ["night"])
        #expect(memberships.learn(Memberships.Answer(groups: Self.groups, users: [Self.user(1): [20]])) == [Self.user(1)])
        #expect(memberships.standing(of: Self.user(1), among: Self.names) == .known("shop"))
        #expect(memberships.missingGroups.isEmpty)
    }

    /// It adds no groups to those of the machine's own files, and that is all that can be seen of it.
    @Test func aSilentDirectoryTakesNobodyOutOfAGroup() {
        var memberships = Self.known()
        let answer = Memberships.Answer(
            groups: ["night": nil, "shop": 20], users: [Self.user(1): [100], Self.user(4): [100], Self.user(5): [20]])
        #expect(memberships.learn(answer) == [Self.user(5)])
        #expect(memberships.standing(of: Self.user(1), among: Self.names) == .known("night"))
        #expect(memberships.standing(of: Self.user(4), among: Self.names) == .unknown)
        #expect(memberships.standing(of: Self.user(5), among: ["shop", "night"]) == .known("shop"))
        #expect(memberships.standing(of: Self.user(5), among: Self.names) == .unknown)
    }

    /// Who is in Termspan's own groups is known, whatever the user database does not say, and also that nobody is.
    @Test func ownGroupsAreCertain() {
        let (night, user) = (UInt64(1) << 32, Self.user(1))
        func answer(_ groups: Set<UInt64>) -> Memberships.Answer {
            Memberships.Answer(groups: ["own:night": night, "shop": nil], users: [user: groups])
        }
        var memberships = Memberships()
        _ = memberships.learn(answer([100, night]))
        #expect(memberships.standing(of: user, among: ["own:night", "shop"]) == .known("own:night"))
        #expect(memberships.learn(answer([100])) == [user])
        #expect(memberships.standing(of: user, among: ["own:night"]) == .known(nil))
        #expect(memberships.standing(of: user, among: ["own:night", "shop"]) == .unknown)
        #expect(memberships.missingGroups == ["shop"])
    }
}
