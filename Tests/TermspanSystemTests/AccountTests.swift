import TermspanSystem
import Testing

@Suite struct AccountTests {
    /// On every machine root's primary group is `root`, whose entry names nobody as a rule.
    @Test func aGroupHasThoseWhosePrimaryGroupItIs() {
        #expect(Account.group(named: "root") == 0)
        #expect(Account.members(ofGroup: "root").contains { $0.login == "root" && $0.uid == 0 })
        #expect(Account.members(ofGroup: "no-such-group-here").isEmpty && Account.group(named: "no-such-group-here") == nil)
    }
}
