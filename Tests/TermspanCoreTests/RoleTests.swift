import Testing

@testable import TermspanCore

@Suite struct RoleTests {
    private static func grant(_ role: Role, _ group: String, _ views: String = "") throws -> RoleGrant {
        try #require(RoleGrant(role, group: group, views: views))
    }

    /// Nothing that is not said is given: the table is the whole of it.
    @Test func eachRoleHasItsRightsAndNoOther() {
        let wanted: [Role: Set<Right>] = [
            .administrator: [
                .viewOthers, .viewPolicy, .viewAudit, .viewAggregates, .viewPseudonyms, .revealPseudonyms, .viewDetails,
                .manageTracking, .erase, .manageSessions, .manageRoles,
            ],
            .configurator: [.viewPolicy, .manageTracking],
            .powerUser: [.viewOthers, .viewPolicy, .viewAggregates, .viewPseudonyms, .manageSessions],
            .viewer: [], .auditor: [.viewPolicy, .viewAudit], .statistician: [.viewAggregates],
            .analyst: [.viewPseudonyms, .viewAggregates],
            .trustee: [.revealPseudonyms],
        ]
        #expect(wanted.count == Role.allCases.count)
        for role in Role.allCases { #expect(role.rights == wanted[role]) }
        // polkit has no action of its own for what is a part of another.
        #expect(Right.viewPolicy.action == "org.termspan1.view-others" && Right.manageRoles.action == "org.termspan1.manage-roles")
    }

    @Test func aRoleIsOfItsGroupsMembersAlone() throws {
        let grants = [
            try Self.grant(.auditor, "council"), try Self.grant(.viewer, "leads", "sales"), try Self.grant(.viewer, "leads", "shop"),
            try Self.grant(.viewer, "hr", "trainees"), try Self.grant(.administrator, "it"),
        ]
        #expect(grants.give(.viewAudit, toMembersOf: ["council", "sales"]))
        #expect(!grants.give(.viewOthers, toMembersOf: ["council", "leads", "hr", "sales"]))
        #expect(!grants.give(.viewAudit, toMembersOf: []))
        #expect(!grants.give(.viewAudit, toMembersOf: ["Council", "sales"]))
        for right in Right.allCases { #expect(grants.give(right, toMembersOf: ["it"])) }
        #expect(grants.views(ofMembersOf: ["leads"]) == ["sales", "shop"])
        #expect(grants.views(ofMembersOf: ["leads", "hr", "it"]) == ["sales", "shop", "trainees"])
        // Whom it is about does not see.
        #expect(grants.views(ofMembersOf: ["sales", "it", "council"]).isEmpty)
    }

    @Test func whatCantBeAGroupsNameIsNone() {
        for name in ["", " x", "x ", "a:b", "a,b", "a\nb", "a\u{85}b", String(repeating: "x", count: 257)] {
            #expect(RoleGrant(.auditor, group: name) == nil)
            #expect(RoleGrant(.viewer, group: "x", views: name) == nil)
        }
        for name in ["domain users", #"EXAMPLE\sales"#, "sales@example.com", "größe", String(repeating: "x", count: 256)] {
            #expect(RoleGrant(.auditor, group: name) != nil)
            #expect(RoleGrant(.viewer, group: "x", views: name)?.description == "viewer: x, of \(name)")
        }
        #expect(RoleGrant(.auditor, group: "x", views: "y") == nil)
        #expect(RoleGrant(.viewer, group: "x") == nil)
    }
}
