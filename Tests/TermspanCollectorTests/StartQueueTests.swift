import Testing

@testable import TermspanCollector
@testable import TermspanCore

@Suite struct StartQueueTests {
    static let sessions = (0..<20).map { UUIDv7(at: WallInstant(nanoseconds: Int64($0) * 1_000_000)) }

    @Test func neverMoreThanTheLimitAreUnderWayAndAllGetTheirTurn() {
        var queue = StartQueue()
        for session in Self.sessions { queue.add(session, attempt: 1) }
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
        for session in Self.sessions.prefix(5) { queue.add(session, attempt: 1) }
        for _ in 0..<StartQueue.limit { _ = queue.next() }
        #expect(queue.next() == nil)
        queue.add(Self.sessions[0], attempt: 2)
        #expect(queue.next()?.session == Self.sessions[4])
        #expect(queue.next() == nil)
        queue.finish(Self.sessions[1])
        let last = queue.next()
        #expect(last?.session == Self.sessions[0] && last?.attempt == 2)
    }
}
