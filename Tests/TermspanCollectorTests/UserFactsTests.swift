import Glibc
import TermspanCore
import TermspanStore
import TermspanSystem
import Testing

@testable import TermspanCollector

@Suite struct UserFactsTests {
    @Test(arguments: [
        (#"EXAMPLE\anna"#, "EXAMPLE"), ("anna@example.com", "example.com"), ("anna@home@Example.COM", "Example.COM"), ("anna", nil),
    ]) func aDomainIsInTheLogin(login: String, domain: String?) { #expect(LoginName.split(login).domain == domain) }

    @Test(arguments: [
        ("Anna Lee,Room 5,,", "Anna Lee"), ("", ""), (",,,", ""), ("& Lee", "Anna Lee"), ("A\u{1B}[2Jnna", "A[2Jnna"),
    ]) func aNameIsWhatComesBeforeTheFirstComma(comment: String, name: String) {
        #expect(Account.name(inComment: comment, login: "anna") == name)
    }

    @Test func rootIsTheComputersOwn() throws {
        #expect(UserFacts.find(UserIdentity(login: "root", uid: 0))?.domain == .computer)
        #expect(UserFacts.find(UserIdentity(login: "nobody-of-this-name", uid: 0)) == nil)
    }
}
