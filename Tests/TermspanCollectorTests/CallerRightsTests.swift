import Glibc
import TermspanCore
import TermspanStore
import Testing

@testable import TermspanCollector

@Suite struct CallerRightsTests {
    private func at(_ seconds: Int) -> BootInstant { BootInstant.zero.advanced(by: .seconds(seconds)) }

    @Test func whatWasSaidIsRememberedForTenSeconds() {
        var answers = Remembered<String, Int?>()
        answers.add("a", 1, at: at(5))
        answers.add("b", nil, at: at(5))
        #expect(answers.find("a", at: at(14)) == 1 && answers.find("a", at: at(15)) == nil)
        // That nobody could say is an answer, too.
        #expect(answers.find("b", at: at(14)) == .some(nil) && answers.find("c", at: at(14)) == nil)
        for key in 0..<5000 { answers.add("\(key)", key, at: at(6)) }
        #expect((0..<5000).count { answers.find("\($0)", at: at(7)) != nil } <= 1000)
    }

    /// By this machine's own user database.
    @Test func membersOfTheMachinesGroupsAndOfOurOwn() throws {
        let root = UserIdentity(login: "root", uid: 0)
        let (night, day) = (try #require(OwnGroup(name: "night")), try #require(OwnGroup(name: "day")))
        let stranger = UserIdentity(login: "root", uid: 7)
        let own = OwnGroups([
            OwnGroups.Member(night, root, since: WallInstant(nanoseconds: 0), by: "", reason: ""),
            OwnGroups.Member(day, stranger, since: WallInstant(nanoseconds: 0), by: "", reason: ""),
        ])
        let names = ["root", "own:night", "own:day", "own:none", "own:a:b", "no such group"]
        let answer = UserDatabase.memberships(of: [root, stranger], in: names, own: own)
        #expect(names.filter { answer.isMember(root, of: $0) } == ["root", "own:night"])
        // An account with another UID is nobody's here, and nothing is known of it.
        #expect(names.filter { answer.isMember(stranger, of: $0) } == [])
        #expect(answer.groups["no such group"] == .some(nil) && answer.groups["own:a:b"] == .some(nil))
        #expect(Set(answer.groups.values.compactMap(\.self)).count == 4)
        // What is kept, and might be removed, is looked at more carefully: a name may be misspelt.
        let careful = UserDatabase.memberships(of: [root], in: names, own: own, isEmptyUnknown: true)
        #expect(careful.groups["own:none"] == .some(nil) && careful.isMember(root, of: "own:night"))
    }
}
