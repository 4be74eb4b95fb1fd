import TermspanConfiguration
import TermspanCore
import Testing

@testable import TermspanCollector
@testable import TermspanStore

@Suite struct RetentionPlanTests {
    private static let day = Duration.seconds(86_400)

    private static func user(_ number: Int, isCurrent: Bool = true) -> HeldUser {
        HeldUser(
            row: Int64(number), uuid: UUIDv7(at: WallInstant(nanoseconds: 0)), names: [],
            identity: UserIdentity(login: "user\(number)", uid: UInt32(1000 + number)), isCurrent: isCurrent)
    }

    private static var configuration: Configuration {
        var configuration = Configuration()
        configuration.keepActivity = day * 180
        configuration.keepSessions = day * 400
        configuration.keptByGroup = [
            KeptByGroup(group: "trainees", activity: day * 30), KeptByGroup(group: "audited", activity: .some(nil), sessions: day * 100),
        ]
        return configuration
    }

    /// What is kept of each user, by number.
    private static func kept(_ plan: RetentionPlan) -> [Int64: KeptTimes] {
        Dictionary(uniqueKeysWithValues: plan.parts.flatMap { part in (part.users ?? []).map { ($0.row, part.kept) } })
    }

    private static let trainees = KeptTimes(activity: day * 30, sessions: day * 400)
    private static let audited = KeptTimes(activity: nil, sessions: day * 100)
    private static let everybody = KeptTimes(activity: day * 180, sessions: day * 400)
    private static let longest = KeptTimes(activity: nil, sessions: day * 400)

    @Test func withoutGroupsItIsTheSameForAll() {
        let plan = RetentionPlan(Self.everybody)
        #expect(plan.parts.map(\.kept) == [Self.everybody] && plan.parts[0].users == nil && plan.times == [Self.day * 180, Self.day * 400])
    }

    @Test func theFirstGroupOfAUserHolds() {
        let users = (1...4).map { Self.user($0) } + [Self.user(5, isCurrent: false), Self.user(6)]
        let own: [Int: Set<UInt64>?] = [1: [7], 2: [8, 7], 3: [8], 4: [9], 5: [7], 6: nil]
        let answer = Memberships.Answer(
            groups: ["trainees": 7, "audited": 8],
            users: Dictionary(uniqueKeysWithValues: own.map { (Self.user($0).identity, $1) }))
        let kept = Self.kept(RetentionPlan(users, answer, Self.configuration))
        #expect(
            kept == [
                1: Self.trainees, 2: Self.trainees, 3: Self.audited, 4: Self.everybody,
                // Whose login is another's by now, and whose account is gone.
                5: Self.longest, 6: Self.longest,
            ])
    }

    @Test func toLeaveALongerGroupTakesTwoAnswers() {
        let user = Self.user(1)
        func answer(_ groups: Set<UInt64>?) -> Memberships.Answer {
            Memberships.Answer(groups: ["trainees": 7, "audited": 8], users: [user.identity: groups])
        }
        var membership: [UUIDv7: String] = [:]
        // In the audited group, then nothing is known, then as it seems in none, and that again; then a trainee, whose time is shorter than that of
        // those in none, and in none.
        let answers: [(groups: Set<UInt64>?, kept: KeptTimes)] = [
            ([8], Self.audited), (nil, Self.longest), ([], Self.longest), ([], Self.everybody), ([7], Self.trainees), ([], Self.everybody),
        ]
        for (groups, kept) in answers {
            let plan = RetentionPlan([user], answer(groups), Self.configuration, previous: membership)
            membership = plan.membership
            #expect(Self.kept(plan) == [1: kept])
        }
    }

    @Test func whatIsNotKnownRemovesNothingEarly() {
        let users = [Self.user(1), Self.user(2)]
        #expect(Self.kept(RetentionPlan(users, nil, Self.configuration)) == [1: Self.longest, 2: Self.longest])
        // A group that is none: who is in the other is known to be, and of nobody else anything.
        let answer = Memberships.Answer(
            groups: ["trainees": 7, "audited": nil], users: [Self.user(1).identity: [7], Self.user(2).identity: [9]])
        #expect(Self.kept(RetentionPlan(users, answer, Self.configuration)) == [1: Self.trainees, 2: Self.longest])
        #expect(RetentionPlan([], answer, Self.configuration).parts.isEmpty)
    }
}
