import TermspanStore
import TermspanSystem
import Testing

@testable import TermspanCollector

@Suite struct LocalAccountsTests {
    private func account(_ login: String, _ uid: UInt32) -> Account { Account(login: login, uid: uid, gid: 100) }

    @Test func whoHasAUIDNextIsSomebodyElse() {
        let accounts = LocalAccounts([account("root", 0), account("toor", 0), account("next", 1001)])
        // Who is gone, and whose UID came free to somebody else.
        #expect(accounts.haveGivenAway(UserIdentity(login: "gone", uid: 1001)))
        #expect(!accounts.haveGivenAway(UserIdentity(login: "next", uid: 1001)))
        // Who is gone, or of a directory, and whose UID nobody has here.
        #expect(!accounts.haveGivenAway(UserIdentity(login: "gone", uid: 1002)))
        // Two may have one.
        #expect(!accounts.haveGivenAway(UserIdentity(login: "toor", uid: 0)))
        #expect(accounts.user(of: 0) == UserIdentity(login: "root", uid: 0))
        #expect(accounts.user(of: 1001) == UserIdentity(login: "next", uid: 1001))
        #expect(accounts.user(of: 1002) == nil)
    }
}
