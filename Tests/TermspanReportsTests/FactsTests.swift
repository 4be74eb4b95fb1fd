import Foundation
import TermspanBus
import TermspanCore
import TermspanStore
import Testing

@testable import TermspanReports

@Suite struct FactsTests {
    private typealias F = ReportsFixture

    private static func fixture() throws -> ReportsFixture {
        let fixture = try ReportsFixture()
        var batch = StoreBatch()
        batch.sessions = [F.session(1), F.session(2, "ben", 1002)]
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(60), reason: .logoff)]
        let anna = UserIdentity(login: "anna", uid: 1001)
        batch.facts = [
            FactRecord(.computerName, "old", at: F.wall(5)), FactRecord(.friendlyName, "Anna", of: anna, at: F.wall(12)),
            FactRecord(.loginName, "anna", of: anna, at: F.wall(12)), FactRecord(.computerName, "new", at: F.wall(50)),
            FactRecord(.loginName, "ben", of: UserIdentity(login: "ben", uid: 1002), at: F.wall(12)),
        ]
        try fixture.writer.write(batch)
        return fixture
    }

    private static func lines(_ fixture: ReportsFixture, _ moment: Double?, of users: Set<UserIdentity>? = nil) throws -> [String] {
        var question = Question(.facts)
        question.moment = moment.map(F.wall)
        question.filter.identities = users
        return try fixture.lines(question).map { line in
            let value = line["value"] as? String ?? "-"
            return "\(line["of"] as? String ?? "") \(line["user"] as? String ?? "-") \(line["fact"] as? String ?? "") \(value)"
        }
    }

    @Test func whatHeldAtAMomentIsTold() throws {
        let fixture = try Self.fixture()
        #expect(
            try Self.lines(fixture, 40) == [
                "computer - computer-name old", "computer - time-zone -", "computer - primary-domain -", "computer - network-id -",
                "computer - private-addresses -", "computer - public-address -", "user anna login-name anna",
                "user anna friendly-name Anna",
                "user ben login-name ben", "session anna session-id 1", "session ben session-id 2",
            ])
        let later = try Self.lines(fixture, 100)
        #expect(later.first == "computer - computer-name new" && !later.contains("session anna session-id 1"))
        #expect(later.contains("session ben session-id 2"))
        // Before anything was known everything is blank.
        #expect(try Self.lines(fixture, 1).allSatisfy { $0.hasSuffix(" -") })
    }

    @Test func theHistoryHasAllAndSomebodysTheirOwn() throws {
        let fixture = try Self.fixture()
        #expect(
            try Self.lines(fixture, nil, of: [UserIdentity(login: "ben", uid: 1002)]) == [
                "computer - computer-name old", "computer - computer-name new", "user ben login-name ben", "session ben session-id 2",
            ])
        let lines = try fixture.lines(Question(.facts))
        #expect(lines.count == 7)
        #expect(lines[0]["since"] as? String == F.wall(5).iso8601 && lines[0]["until"] as? String == F.wall(50).iso8601)
        #expect(lines[6]["session_uuid"] as? String == F.uuid(2).description && lines[6]["until"] is NSNull)
    }
}
