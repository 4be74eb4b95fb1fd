import Testing

@testable import TermspanCore

@Suite struct TurnQueueTests {
    @Test func usersTakeTurnsAndWhatWaitsIsBounded() {
        var queue = TurnQueue<String>(limit: 300, limitPerUser: 280)
        for number in 0..<1000 where queue.hasRoom(for: 1) { queue.append("a\(number)", for: 1) }
        #expect(queue.count == 280)
        for number in 0..<1000 where queue.hasRoom(for: 2) { queue.append("b\(number)", for: 2) }
        #expect(queue.count == 300)
        #expect(queue.take(4) == ["a0", "b0", "a1", "b1"])
        var rest = queue.take(1000)
        #expect(rest.count == 296)
        rest.removeAll { $0.hasPrefix("b") }
        #expect(rest == (2..<280).map { "a\($0)" })
        #expect(queue.take(1) == [])
        queue.append("c", for: 1)
        #expect(queue.take(2) == ["c"])
    }
}
