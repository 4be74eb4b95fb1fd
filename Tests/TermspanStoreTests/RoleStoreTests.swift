import TermspanCore
import Testing

@testable import TermspanStore

@Suite struct RoleStoreTests {
    private typealias F = StoreFixture

    @Test func rolesAreKeptAndRecorded() throws {
        let fixture = try StoreFixture()
        let store = try fixture.writer()
        let leads = try #require(RoleGrant(.viewer, group: "leads", views: "sales"))
        let council = try #require(RoleGrant(.auditor, group: "works council"))
        for (grant, changed) in [(leads, true), (council, true), (leads, false)] {
            #expect(try store.set([grant], granted: true, by: "root", reason: "asked", at: F.anchor.wall) == [changed])
        }
        let reader = try StoreReader(path: fixture.path)
        let policy = try reader.policy()
        #expect(policy.roles.map(\.grant) == [leads, council])
        #expect(policy.roles.map(\.reason) == ["asked", "asked"] && policy.roles.map(\.by) == ["root", "root"])
        let shop = try #require(RoleGrant(.viewer, group: "leads", views: "shop"))
        #expect(try store.set([leads, shop], granted: false, by: "uid 7", reason: "over", at: F.anchor.wall) == [true, false])
        #expect(try reader.policy().roles.map(\.grant) == [council])
        let changes = try reader.policyChanges().map(\.change)
        #expect(changes.map(\.key) == ["role-granted", "role-granted", "role-revoked"])
        #expect(changes.map(\.value) == ["viewer: leads, of sales", "auditor: works council", "viewer: leads, of sales"])
        #expect(changes.last?.by == "uid 7" && changes.last?.reason == "over")
        let entries = try reader.audit().map(\.entry)
        #expect(entries.map(\.action) == changes.map(\.key) && entries.map(\.value) == changes.map(\.value))
    }

    /// What has more recorded of users beside who is tracked is told with who answers for it, the latest of each kind.
    @Test func whatRaisesIsKeptWithItsGrounds() throws {
        let fixture = try StoreFixture()
        let store = try fixture.writer()
        let (anna, ben) = (UserIdentity(login: "anna", uid: 1001), UserIdentity(login: "ben", uid: 1002))
        let night = try #require(OwnGroup(name: "night"))
        let moment = F.anchor.wall
        _ = try store.set([anna, ben], in: night, member: true, by: "root", reason: "less", at: moment)
        #expect(try store.policy().raises.isEmpty)
        _ = try store.set([anna, ben], in: night, member: false, by: "root", reason: "more", responsible: [anna: "Ann"], at: moment)
        let known = DoNotTrackSubject.login(LoginName("anna", domain: "*"))
        let unknown = DoNotTrackSubject.uid(1003)
        _ = try store.setDoNotTrack([known, unknown], listed: true, by: "root", reason: "", at: moment)
        _ = try store.setDoNotTrack([known, unknown], listed: false, by: "root", reason: "agreed", responsible: "Eve", at: moment)
        let reader = try StoreReader(path: fixture.path)
        for policy in [try store.policy(), try reader.policy()] {
            #expect(policy.raises(of: anna, sids: []).map(\.key) == ["group-left", "do-not-track-removed"])
            #expect(policy.raises(of: anna, sids: []).map(\.responsible) == ["Ann", "Eve"])
            #expect(policy.raises(of: anna, sids: []).map(\.reason) == ["more", "agreed"])
            #expect(policy.raises(of: ben, sids: []).isEmpty)
            // Whom an entry names whom nobody knew.
            #expect(policy.raises(of: UserIdentity(login: "carl", uid: 1003), sids: []).map(\.value) == ["uid:1003"])
        }
        _ = try store.set([ben], in: night, member: true, by: "uid 7", reason: "again", responsible: [ben: "Dan"], at: moment)
        let policy = try store.policy()
        #expect(policy.responsibleForMembers[night]?[ben]?.name == "Dan" && policy.responsibleForMembers[night]?[anna] == nil)
    }

    /// The same setting is set anew where it is another decision.
    @Test func anotherDecisionAboutTheSameIsRecorded() throws {
        let store = try StoreFixture().writer()
        let moment = F.anchor.wall
        #expect(try store.set("more-seats", to: "more", anew: true, by: "root", reason: "a", responsible: "Ann", at: moment))
        #expect(try !store.set("more-seats", to: "more", by: "root", reason: "b", responsible: "Ann", at: moment))
        #expect(try store.set("more-seats", to: "more", anew: true, by: "root", reason: "b", responsible: "Ann", at: moment))
        #expect(try store.policy().settings.map(\.reason) == ["b"])
    }

    /// A viewer's users are found by what they are called now, and nobody by a part of that.
    @Test func severalUsersAreSelected() throws {
        let fixture = try StoreFixture()
        let store = try fixture.writer()
        var batch = StoreBatch()
        let names = ["anna", "ben", #"EXAMPLE\carl"#, "d'ora", "é\"x"]
        for (index, login) in names.enumerated() { batch.sessions.append(F.session(UInt64(index + 1), login, UInt32(1001 + index))) }
        try store.write(batch)
        let reader = try StoreReader(path: fixture.path)
        func logins(_ users: Set<UserIdentity>, _ change: (inout SessionFilter) -> Void = { _ in }) throws -> [String] {
            var filter = SessionFilter()
            filter.identities = users
            change(&filter)
            let found = try reader.sessions(filter).map(\.record.user)
            #expect(found.allSatisfy { filter.names($0) })
            return found.map(\.login)
        }
        let users = names.enumerated().map { UserIdentity(login: $1, uid: UInt32(1001 + $0)) }
        #expect(try logins([]) == [])
        #expect(try logins([users[0], users[2]]) == [names[0], names[2]])
        #expect(try logins(Set(users)) == names)
        #expect(try logins([UserIdentity(login: "anna", uid: 1002), UserIdentity(login: "nobody", uid: 1001)]) == [])
        #expect(try logins([users[0], users[1]]) { $0.login = "ben" } == ["ben"])
        #expect(try logins([users[0]]) { $0.login = "ben" } == [])
        #expect(try logins([users[0]]) { $0.uid = 1002 } == [])
        #expect(try Set(store.currentUsers()) == Set(users))
        for user in users { #expect(UserIdentity(user.description) == user) }
        for text in ["", "anna", "-1 anna", "1x anna", "4294967296 anna"] { #expect(UserIdentity(text) == nil) }
    }

    /// A member is a user and not a name: who has the login afterwards is none, and who is forgotten is none.
    @Test func membersOfOwnGroupsAreUsers() throws {
        let fixture = try StoreFixture()
        let store = try fixture.writer()
        let (anna, ben) = (UserIdentity(login: "anna", uid: 1001), UserIdentity(login: "ben", uid: 1002))
        let group = try #require(OwnGroup("own:night shift"))
        func set(_ users: [UserIdentity], _ member: Bool) throws -> [Bool] {
            try store.set(users, in: group, member: member, by: "root", reason: "asked", at: F.anchor.wall)
        }
        #expect(try set([anna, ben, anna], true) == [true, true, false])
        let groups = try store.policy().ownGroups
        #expect(groups.members.map(\.user) == [anna, ben] && groups.members.allSatisfy { $0.group == group })
        #expect(groups.groups(of: anna) == [group] && groups.groups(of: UserIdentity(login: "anna", uid: 1003)).isEmpty)
        #expect(try set([ben], false) == [true] && set([ben], false) == [false])
        // Nobody becomes known, or another, by not having been in it.
        #expect(try set([UserIdentity(login: "carl", uid: 1009), UserIdentity(login: "anna", uid: 1009)], false) == [false, false])
        #expect(try Set(store.currentUsers()) == [anna, ben])
        let reader = try StoreReader(path: fixture.path)
        #expect(try reader.audit().map(\.entry.action) == ["group-joined", "group-joined", "group-left"])
        #expect(try reader.audit().map(\.entry.value) == ["own:night shift", "own:night shift", "own:night shift"])
        #expect(try reader.audit().map { $0.user?.login } == ["anna", "ben", "ben"])
        // Another with the login.
        _ = try store.setTracking([UserIdentity(login: "anna", uid: 1003)], tracked: true, by: "root", reason: "x", at: F.anchor.wall)
        #expect(try store.policy().ownGroups.members.isEmpty)
        #expect(try set([ben], true) == [true])
        let held = try store.users(named: [try #require(UserName("ben"))])
        _ = try store.erase(
            held, alsoUsers: true, measured: [], burstGap: .seconds(30), by: "root", reason: "x", at: F.anchor)
        #expect(try store.policy().ownGroups.members.isEmpty)
        for text in ["own:", "own:a:b", "own: a", "own:a,b", "own:a\nb", "a", "own:" + String(repeating: "x", count: 65)] {
            #expect(OwnGroup(text) == nil)
        }
    }
}
