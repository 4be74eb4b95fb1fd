import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct DoNotTrackTests {
    @Test func whoeverIsListedKeepsTheHistory() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        try writer.write(StoreFixture.batch(StoreFixture.session(1), ended: true))
        let name = try #require(UserName("anna"))
        let user = try #require(try writer.users(named: [name]).first)
        let before = try (writer.counts(of: user), StoreReader(path: fixture.path).sessions(SessionFilter()))
        #expect(before.0.focusIntervals == 2)
        let subject = try #require(DoNotTrackList.Subject("anna"))
        #expect(try writer.setDoNotTrack([subject], listed: true, by: "root", reason: "", at: StoreFixture.anchor.wall) == [true])
        #expect(try writer.counts(of: user) == before.0 && StoreReader(path: fixture.path).sessions(SessionFilter()) == before.1)
    }

    @Test(arguments: [
        ("anna", "/home/anna/bin/tool", "/home/~/bin/tool"), ("anna", "/home/Anna/x", "/home/~/x"),
        ("anna", "/opt/annas/anna", "/opt/annas/anna"),
        ("anna@example.com", "/home/anna@example.com/x", "/home/~/x"), (#"EXAMPLE\anna"#, "/home/EXAMPLE/anna/x", "/home/EXAMPLE/~/x"),
        ("bin", "/usr/bin/x", "/usr/bin/x"), ("", "/home//x", "/home//x"), ("anna", "anna", "anna"), ("anna", "", ""),
    ])
    func aUsersNameIsNotInThePathOfAProgram(login: String, path: String, left: String) {
        #expect(LoginName.left(login, outOf: path) == left)
    }

    private typealias F = StoreFixture
    private let moment = StoreFixture.anchor.wall

    private func list(_ texts: String...) throws -> DoNotTrackList {
        DoNotTrackList(
            try texts.map { DoNotTrackList.Entry(try #require(DoNotTrackList.Subject($0)), since: moment, by: "root", reason: "") })
    }

    @Test(arguments: [
        ("anna", "anna@*"), ("Anna@*", "anna@*"), ("anna@Example.com", "anna@example.com"), (#"EXAMPLE\anna"#, "anna@example"),
        ("uid:1001", "uid:1001"), ("UID:0", "uid:0"), ("first.last-2_x", "first.last-2_x@*"),
        (#"EXAMPLE\Anna Berg"#, "anna berg@example"), ("a b", "a b@*"), ("sid:S-1-5-21-1-2-3-1104", "sid:S-1-5-21-1-2-3-1104"),
        ("SID:s-1-22-1-4294967295", "sid:S-1-22-1-4294967295"), ("sid:S-1-0-0", "sid:S-1-0-0"),
        ("sid:S-1-5" + String(repeating: "-7", count: 15), "sid:S-1-5" + String(repeating: "-7", count: 15)), ("S-1", "s-1@*"),
    ])
    func anEntryIsReadAndWritten(text: String, canonical: String) throws {
        let subject = try #require(DoNotTrackList.Subject(text))
        #expect(subject.description == canonical)
        #expect(DoNotTrackList.Subject(canonical) == subject)
    }

    @Test(arguments: [
        "", "*", "*@example.com", "@example.com", "anna@", #"\anna"#, #"EXAMPLE\"#,
        " a", "a ", "a@ b", "a\tb", "a\u{A0}b", "anna\n", "1001", "uid:", "uid:-1", "uid:+1",
        "uid:4294967295",
        "S-1-5-21-1-2-3-1104", "sid:", "sid:anna", "sid:S-1-5", "sid:S-2-5-21", "sid:S-1-5-", "sid:S-1--21", "sid:S-1-5-021",
        "sid:S-1-5-+21",
        "sid: S-1-5-21", "sid:S-1-5-4294967296", "sid:S-1-0x5-21", "sid:S-1-5" + String(repeating: "-7", count: 16), "sid:XS-1-5-21",
        "uid:4294967296", "a@b@c", #"A\B\c"#, "a/b", String(repeating: "a", count: 257),
    ])
    func whatNamesNobodyIsRefused(text: String) {
        #expect(DoNotTrackList.Subject(text) == nil)
    }

    @Test func whoIsNamedIsNotTrackedUnderAnyName() throws {
        func names(_ entry: String, _ login: String, _ uid: UInt32 = 5) throws -> Bool {
            try list("x", entry, "uid:7").names(UserIdentity(login: login, uid: uid))
        }
        #expect(try names("anna", "anna") && names("anna", "ANNA@example.com") && names("anna", #"OTHER\anna"#))
        #expect(try names("anna@example.com", "anna@example.com") && !names("anna@example.com", "anna@other"))
        // Of what domain a plain login is nobody can tell here: rather one too many is not tracked.
        #expect(try names("anna@example.com", "anna"))
        #expect(try !names("anna", "annabel") && !names("anna", "ann"))
        // By the NetBIOS name of the domain and by its name in DNS.
        #expect(try names("ben@example.com", #"EXAMPLE\ben"#) && names(#"example\Ben"#, "ben@Example.com"))
        #expect(try !names("ben@other.example.com", #"EXAMPLE\ben"#) && !names("ben@example.com", "ben@example.org"))
        #expect(try !names("ben@example.com", #"EXAMPL\ben"#) && !names("ben@example", #"EXAMPLE2\ben"#))
        #expect(try names("ben@engineeringdepartment.com", #"ENGINEERINGDEPA\ben"#))
        #expect(try !names("ben@engineeringdepartment.com", #"ENGINEERINGDEP\ben"#))
        #expect(try names("uid:1001", "whoever", 1001) && !names("uid:1001", "uid:1001", 1002))
        for (entry, login, uid) in [("anna@example.com", "anna", UInt32(5)), ("uid:1001", "ben", 1001), ("anna", #"A\anna"#, 6)] {
            let user = UserIdentity(login: login, uid: uid)
            #expect(try list(entry).names(user) == #require(DoNotTrackList.Subject(entry)).names(user))
        }
        #expect(!DoNotTrackList().names(UserIdentity(login: "anna", uid: 5)))
    }

    @Test func whoHasAListedSIDIsNotTracked() throws {
        let (user, sid) = (UserIdentity(login: "renamed", uid: 9), try #require(SecurityID("S-1-5-21-1-2-3-1104")))
        let other = try #require(SecurityID("S-1-5-21-1-2-3-11"))
        let list = try list("x", "sid:s-1-5-21-1-2-3-1104")
        #expect(list.namesSIDs && list.names(user, sids: [other, sid]) && !list.names(user, sids: [other]) && !list.names(user))
        #expect(try #require(DoNotTrackList.Subject("sid:\(sid)")).names(user, sids: [sid]))
        #expect(try !self.list("x", "uid:7").namesSIDs)
    }

    @Test func aSIDIsUntrackedAndTrackedWithTheRest() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let (ben, sid) = (UserIdentity(login: #"EXAMPLE\ben"#, uid: 1002), try #require(SecurityID("S-1-5-21-1-2-3-1104")))
        #expect(try writer.set("new-users", to: "tracked", by: "root", reason: "", at: moment))
        let untracked = try writer.setTracking([ben], sids: [ben: [sid]], tracked: false, by: "root", reason: "asked", at: moment)
        #expect(untracked.map(\.changed) == [true])
        #expect(try writer.policy().doNotTrack.entries.map(\.subject.description) == ["ben@example", "uid:1002", "sid:\(sid)"])
        let renamed = UserIdentity(login: #"EXAMPLE\benjamin"#, uid: 1003)
        #expect(try !StoreReader(path: fixture.path).policy().tracks(renamed, sids: [sid]) && writer.policy().tracks(renamed))
        #expect(try writer.policy().standing(of: renamed, sids: [sid], decision: nil).basis == .doNotTrack)
        #expect(
            try writer.setTracking([renamed], sids: [renamed: [sid]], tracked: true, by: "root", reason: "r", at: moment).map(\.changed)
                == [true])
        #expect(try writer.policy().doNotTrack.entries.map(\.subject.description) == ["ben@example", "uid:1002"])
        // What is recorded of an entry by a SID is of the user who has it, where that is known, and does not name the SID.
        let subject = DoNotTrackList.Subject.sid(sid)
        #expect(try writer.setDoNotTrack([subject], listed: true, sids: [ben: [sid]], by: "root", reason: "", at: moment) == [true])
        #expect(try writer.setDoNotTrack([subject], listed: false, by: "root", reason: "", at: moment) == [true])
        #expect(try writer.setDoNotTrack([subject], listed: false, by: "root", reason: "", at: moment) == [false])
    }

    @Test func untrackingPutsAllOfAUsersNamesOnTheListAndTrackingTakesThemOff() throws {
        let writer = try StoreFixture().writer()
        let (anna, ben) = (UserIdentity(login: "anna", uid: 1001), UserIdentity(login: #"EXAMPLE\ben"#, uid: 1002))
        #expect(try writer.set("new-users", to: "tracked", by: "root", reason: "", at: moment))
        let untracked = try writer.setTracking([anna, ben, anna], tracked: false, by: "root", reason: "asked", at: moment)
        #expect(untracked.map(\.changed) == [true, true, false])
        #expect(try writer.policy().doNotTrack.entries.map(\.subject.description) == ["anna@*", "uid:1001", "ben@example", "uid:1002"])
        // The same person with another login or another uid.
        #expect(try !writer.policy().tracks(UserIdentity(login: "anna@example.com", uid: 70_001)))
        #expect(try !writer.policy().tracks(UserIdentity(login: "ben2", uid: 1002)))
        // An entry of somebody who was never seen, too, is taken off by a decision to track.
        let entries = try ["anna@example.com", "carl"].map { try #require(DoNotTrackList.Subject($0)) }
        #expect(try writer.setDoNotTrack(entries, listed: true, by: "root", reason: "", at: moment) == [true, true])
        #expect(try writer.setDoNotTrack(entries, listed: true, by: "root", reason: "", at: moment) == [false, false])
        #expect(try writer.setTracking([anna], tracked: true, by: "root", reason: "works agreement", at: moment).map(\.changed) == [true])
        let policy = try writer.policy()
        #expect(policy.tracks(anna) && !policy.tracks(ben) && !policy.tracks(UserIdentity(login: "carl", uid: 3)))
        #expect(policy.doNotTrack.entries.map(\.subject.description) == ["ben@example", "uid:1002", "carl@*"])
    }

    @Test func theListGoesBeforeADecisionToTrackAndIsKept() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let anna = UserIdentity(login: "anna", uid: 1001)
        _ = try writer.setTracking([anna], tracked: true, by: "root", reason: "r", at: moment)
        let entry = try #require(DoNotTrackList.Subject("uid:1001"))
        #expect(try writer.setDoNotTrack([entry], listed: true, by: "boss", reason: "asked", at: moment) == [true])
        #expect(try !writer.policy().tracks(anna))
        let kept = try StoreReader(path: fixture.path).policy()
        #expect(try kept == writer.policy())
        #expect(kept.doNotTrack.entries == [.init(entry, since: moment, by: "boss", reason: "asked")])
        // Tracking anew changes nothing of the decision, and the list.
        #expect(try writer.setTracking([anna], tracked: true, by: "root", reason: "again", at: moment).map(\.changed) == [true])
        #expect(try writer.policy().tracks(anna))
        #expect(try writer.setDoNotTrack([entry], listed: false, by: "root", reason: "", at: moment) == [false])
    }
}
