import TermspanConfiguration
import TermspanCore
import TermspanStore
import Testing

@testable import TermspanCollector

@Suite struct GroupChangeTests {
    private static let anna = UserIdentity(login: "anna", uid: 1001)
    private static let part = OwnGroup(name: "part")!

    private func configuration(_ text: String) throws -> Configuration {
        var configuration = Configuration()
        try configuration.apply(text, file: "t.yaml")
        return configuration
    }

    /// The hours of the group end earlier than everybody's, and begin before those of the group long, of the directory.
    private func hours() throws -> Configuration {
        try configuration(
            """
            tracking-hours:
            - {hours: 08:00-12:00, group: long}
            - {hours: 08:00-14:00, group: own:part}
            - {hours: 08:00-18:00}
            """)
    }

    private func answer(isLong: Bool?) -> Memberships.Answer {
        Memberships.Answer(
            groups: ["long": isLong == nil ? nil : 5, "own:part": 1 << 33], users: [Self.anna: isLong == true ? [5] : []])
    }

    private func widenings(joins: Bool, isLong: Bool?) throws -> [Widening] {
        try GroupChange(group: Self.part, joins: joins).widenings(of: [Self.anna], answer(isLong: isLong), hours())[Self.anna] ?? []
    }

    @Test func toLeaveIsWhatWidens() throws {
        #expect(try widenings(joins: true, isLong: false) == [])
        #expect(try widenings(joins: false, isLong: false) == [.hours])
        // The first that the user is in counts, whatever others there are.
        #expect(try widenings(joins: false, isLong: true) == [] && widenings(joins: true, isLong: true) == [])
    }

    /// A directory that is silent must not let it pass.
    @Test func whoMayBeWidenedIs() throws {
        #expect(try widenings(joins: false, isLong: nil) == [.hours])
        #expect(try widenings(joins: true, isLong: nil) == [])
    }

    @Test func aGroupThatNothingHangsOnAsksNobody() throws {
        let change = GroupChange(group: OwnGroup(name: "other")!, joins: true)
        #expect(change.widenings(of: [Self.anna], try hours(), own: OwnGroups()) == [:])
    }

    /// Whoever is in it already is not widened by joining.
    @Test func whatChangesNothingTakesNoGrounds() throws {
        let member = OwnGroups.Member(Self.part, Self.anna, since: WallInstant(nanoseconds: 0), by: "", reason: "")
        let configuration = try configuration("keep-by-group: [{group: own:part, keep-activity: 190d}]\nreason: a\nresponsible: b")
        #expect(GroupChange(group: Self.part, joins: true).widenings(of: [Self.anna], configuration, own: OwnGroups([member])) == [:])
        #expect(
            GroupChange(group: Self.part, joins: true).widenings(of: [Self.anna], configuration, own: OwnGroups()) == [Self.anna: [.kept]])
        #expect(GroupChange(group: Self.part, joins: false).widenings(of: [Self.anna], configuration, own: OwnGroups([member])) == [:])
    }
}
