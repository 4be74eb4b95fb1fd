import Testing

@testable import TermspanCollector
@testable import TermspanCore

@Suite struct StartQueueTests {
    static let sessions = (0..<20).map { UUIDv7(at: WallInstant(nanoseconds: Int64($0) * 1_000_000)) }

    @Test func neverMoreThanTheLimitAreUnderWayAndAllGetTheirTurn() {
        var queue = StartQueue()
        for (uid, session) in Self.sessions.enumerated() { queue.add(session, attempt: 1, of: UInt32(uid)) }
        var started: [UUIDv7] = []
        var underWay: [UUIDv7] = []
        while started.count < Self.sessions.count {
            while let (session, _) = queue.next() {
                started.append(session)
                underWay.append(session)
            }
            #expect(underWay.count <= StartQueue.limit)
            queue.finish(underWay.removeFirst())
        }
        #expect(started == Self.sessions)
    }

    @Test func aFurtherAttemptTakesTheEndOfTheQueueAndFreesItsPlace() {
        var queue = StartQueue()
        for (uid, session) in Self.sessions.prefix(5).enumerated() { queue.add(session, attempt: 1, of: UInt32(uid)) }
        for _ in 0..<StartQueue.limit { _ = queue.next() }
        #expect(queue.next() == nil)
        queue.add(Self.sessions[0], attempt: 2, of: 0)
        #expect(queue.next()?.session == Self.sessions[4])
        #expect(queue.next() == nil)
        queue.finish(Self.sessions[1])
        let last = queue.next()
        #expect(last?.session == Self.sessions[0] && last?.attempt == 2)
    }

    /// Neither a user's many sessions nor X servers that never answer hold up anybody else's.
    @Test func aUserWhoseStartsAreSlowHoldsUpNobodyElse() {
        var queue = StartQueue()
        for session in Self.sessions.prefix(10) { queue.add(session, attempt: 1, of: 1) }
        queue.add(Self.sessions[10], attempt: 1, of: 2)
        #expect(queue.next()?.session == Self.sessions[0])
        #expect(queue.next()?.session == Self.sessions[10])
        #expect(queue.next() == nil)
        for (number, session) in Self.sessions[11..<15].enumerated() { queue.add(session, attempt: 1, of: UInt32(10 + number)) }
        #expect(queue.next()?.session == Self.sessions[11])
        #expect(queue.next()?.session == Self.sessions[12])
        #expect(queue.next() == nil)
        // Those that hang give their places up, and their users wait all the same.
        let slow = [0, 10, 11, 12, 1].map { queue.isSlow(Self.sessions[$0]) }
        #expect(slow == [true, true, true, true, false])
        #expect(queue.next()?.session == Self.sessions[13])
        #expect(queue.next()?.session == Self.sessions[14])
        #expect(queue.next() == nil)
        queue.finish(Self.sessions[0])
        #expect(queue.next()?.session == Self.sessions[1])
    }

    /// Starts that take long for everybody are the machine's work, which more of them at a time would only slow down.
    @Test func patienceGrowsWithWhatStartsTake() {
        var queue = StartQueue()
        #expect(queue.patience == .seconds(1))
        for uid in 0..<5 { queue.succeeded(UInt32(uid), in: .milliseconds(100)) }
        #expect(queue.patience == .seconds(1))
        for uid in 0..<20 { queue.succeeded(UInt32(uid), in: .seconds(2)) }
        #expect(queue.patience == .seconds(6))
        for uid in 0..<8 { queue.succeeded(UInt32(uid), in: .seconds(9)) }
        #expect(queue.patience == .seconds(10))
        for uid in 8..<16 { queue.succeeded(UInt32(uid), in: .milliseconds(100)) }
        #expect(queue.patience == .seconds(1))
    }

    @Test(arguments: 0...7) func oneUsersSlowStartsDoNotMakeItGrow(others: UInt32) {
        var queue = StartQueue()
        for uid in 0..<others { queue.succeeded(100 + uid, in: .milliseconds(100)) }
        for _ in 0..<20 { queue.succeeded(7, in: .seconds(9)) }
        #expect(queue.patience == .seconds(1))
    }
}
