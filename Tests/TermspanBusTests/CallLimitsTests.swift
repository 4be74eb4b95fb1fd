import TermspanCore
import Testing

@testable import TermspanBus

/// What a gate decides by: limits, caller cache, held calls, refusals and questions, without a bus.
@Suite struct CallLimitsTests {
    static func moment(_ milliseconds: UInt64) -> BootInstant { BootInstant(nanoseconds: 1_000_000_000_000 + milliseconds * 1_000_000) }

    /// A rate, and nothing else that limits.
    static func limits(_ callsPerSecond: Int) -> CallLimits {
        var settings = CallLimits.Settings(callsPerSecond: callsPerSecond)
        settings.underWay = .max
        return CallLimits(settings)
    }

    @Test func eachUserHasAnAllowanceOfTheirOwn() {
        var limits = Self.limits(100)
        #expect((0..<2000).count { _ in limits.admit(1000, at: Self.moment(0)) } == 500)
        #expect((0..<2000).count { _ in limits.admit(1001, at: Self.moment(0)) } == 500)
        // Root has none.
        #expect((0..<2000).allSatisfy { _ in limits.admit(0, at: Self.moment(0)) })
        #expect(limits.refused == 3000)
        #expect((0..<2000).count { _ in limits.admit(1000, at: Self.moment(1000)) } == 100)
        // Never more than the burst, however long it was quiet.
        #expect((0..<2000).count { _ in limits.admit(1000, at: Self.moment(100_000)) } == 500)
    }

    @Test func anAnswerAboutMuchCostsMore() {
        var limits = Self.limits(100)
        #expect(limits.admit(1000, at: Self.moment(0)) == true)
        limits.charge(1000, 490, at: Self.moment(0))
        #expect((0..<20).count { _ in limits.admit(1000, at: Self.moment(0)) } == 9)
        // What is owed is bounded.
        limits.charge(1000, .max, at: Self.moment(0))
        #expect(limits.admit(1000, at: Self.moment(4900)) == false)
        #expect(limits.admit(1000, at: Self.moment(10_100)) == true)
    }

    @Test func callsUnderWayAreBounded() {
        var limits = CallLimits(CallLimits.Settings(callsPerSecond: 100))
        for _ in 0..<32 {
            #expect(limits.admit(1000, at: Self.moment(0)) == true)
            limits.begin(1000)
            limits.allTaken()
        }
        #expect(limits.admit(1000, at: Self.moment(0)) == false)
        #expect(limits.admit(1001, at: Self.moment(0)) == true)
        limits.end(1000)
        // Its answer is on its way still.
        #expect(limits.admit(1000, at: Self.moment(0)) == false)
        limits.allTaken()
        #expect(limits.admit(1000, at: Self.moment(0)) == true)
    }

    @Test func answersThatTheBusHasNotTakenAreBounded() {
        var limits = CallLimits(CallLimits.Settings(callsPerSecond: 100))
        #expect((0..<100).count { _ in limits.admit(1000, at: Self.moment(0)) } == 32)
        #expect((0..<100).count { _ in limits.admit(1001, at: Self.moment(0)) } == 32)
        #expect(limits.hasUntaken)
        limits.allTaken()
        #expect(!limits.hasUntaken)
        #expect(limits.admit(1000, at: Self.moment(0)) == true)
        // One about much is as many.
        limits.charge(1000, 31, at: Self.moment(0))
        #expect(limits.admit(1000, at: Self.moment(0)) == false)
        #expect(limits.admit(1001, at: Self.moment(0)) == true)
    }

    @Test func refusalsAreToldOnceAMinuteAndNoneIsLost() {
        var limits = Self.limits(10)
        func flood(at moment: BootInstant) { for _ in 0..<1000 { _ = limits.admit(1000, at: moment) } }
        #expect(limits.nextReport(at: Self.moment(0)) == nil)
        flood(at: Self.moment(0))
        #expect(limits.nextReport(at: Self.moment(0)) == Self.moment(1000))
        let first = limits.reports(at: Self.moment(1000))
        #expect(first.map(\.userID) == [1000])
        #expect(first.map(\.count) == [950])
        #expect(limits.nextReport(at: Self.moment(1000)) == nil)
        flood(at: Self.moment(1000))
        #expect(limits.reports(at: Self.moment(60_999)).isEmpty)
        #expect(limits.nextReport(at: Self.moment(60_999)) == Self.moment(61_000))
        #expect(limits.reports(at: Self.moment(61_000)).map(\.count) == [990])
        #expect(limits.refused == 950 + 990)
    }

    @Test func usersOfWhomNothingMattersAreForgotten() {
        var limits = Self.limits(10)
        for user: UInt32 in 1...200 { _ = limits.admit(user, at: Self.moment(0)) }
        limits.settings.underWay = 32
        limits.begin(1)
        for user: UInt32 in 1000..<100_000 {
            _ = limits.admit(user, at: Self.moment(UInt64(user) * 10))
        }
        #expect(limits.count < 600)
        for _ in 0..<31 { limits.begin(1) }
        // What is under way is remembered.
        #expect(limits.admit(1, at: Self.moment(2_000_000)) == false)
    }

    @Test func theCacheIsBoundedAndKeepsWhoeverCalls() {
        var cache = CallerCache<BusCredentials>(generation: 10)
        cache.insert(":1.0", BusCredentials(userID: 7, processID: 1))
        for number in 1...1000 {
            #expect(cache.find(":1.0")?.userID == 7)
            cache.insert(":1.\(number)", BusCredentials(userID: 8, processID: nil))
            #expect(cache.count <= 20)
        }
        #expect(cache.find(":1.1") == nil)
        #expect(cache.find(":1.1000")?.userID == 8)
    }

    @Test func callsOfThoseWhoAreNotKnownYetAreHeldAndBounded() {
        var held = HeldCalls<Int>()
        /// How many are held of a user with all the connections that the bus gives to one, each of which makes 40 calls.
        func flood(_ user: Int) -> Int {
            var count = 0
            for connection in 0..<256 {
                for call in 0..<40 where held.hasRoom(for: ":\(user).\(connection)") {
                    #expect(held.append(call, of: ":\(user).\(connection)") == (call == 0))
                    count += 1
                }
            }
            return count
        }
        #expect(flood(1) == 256 * 16)
        #expect(flood(2) == 256 * 16)
        // They have had theirs, and there is one for each connection of others.
        #expect(flood(1) == 0)
        for user in 3..<19 { #expect(flood(user) == 256) }
        #expect(flood(19) == 0)
        #expect(held.count == 12_288)
        #expect(held.take(of: ":1.7") == Array(0..<16))
        #expect(held.take(of: ":1.7") == [])
        #expect(flood(19) == 16)
    }

    typealias Questions = PolkitQuestions<Int>

    static func question(_ sender: Int, isInteractive: Bool = false) -> Questions.Question {
        Questions.Question(sender: ":1.\(sender)", action: "a", isInteractive: isInteractive)
    }

    @Test func whoeverWaitsForTheSameSharesTheAnswer() {
        var questions = Questions()
        questions.add(1, to: Self.question(1), of: 1000)
        questions.add(2, to: Self.question(1), of: 1000)
        #expect(questions.next() == Self.question(1))
        #expect(questions.next() == nil)
        questions.add(3, to: Self.question(1), of: 1000)
        #expect(questions.next() == nil)
        #expect(questions.finish(Self.question(1)) == [1, 2, 3])
        // Nothing is kept: it is asked again.
        questions.add(4, to: Self.question(1), of: 1000)
        #expect(questions.next() == Self.question(1))
    }

    @Test func aUsersQuestionsWaitForEachOtherAndNobodyElsesDo() {
        var questions = Questions()
        for sender in 1...10 { questions.add(sender, to: Self.question(sender), of: 1000) }
        questions.add(11, to: Self.question(11), of: 1001)
        #expect(questions.next() == Self.question(1))
        #expect(questions.next() == Self.question(2))
        #expect(questions.next() == Self.question(11))
        #expect(questions.next() == nil)
        // One that waits for a password holds up no other.
        questions.add(12, to: Self.question(12, isInteractive: true), of: 1000)
        #expect(questions.next() == Self.question(12, isInteractive: true))
        #expect(questions.finish(Self.question(2)) == [2])
        #expect(questions.next() == Self.question(3))
    }

    @Test func allQuestionsLeaveRoomAmongTheRepliesThatAConnectionMayAwait() {
        var questions = Questions()
        for user: UInt32 in 1...1000 {
            questions.add(0, to: Self.question(Int(user)), of: user)
            questions.add(0, to: Self.question(Int(user), isInteractive: true), of: user)
        }
        var asked = 0
        while questions.next() != nil { asked += 1 }
        #expect(asked == 64)
    }
}
