import Foundation
import SeededRandom
import TermspanCore
import Testing

@testable import TermspanCollector

@Suite struct PausesTests {
    private static let hour: Duration = .seconds(3600)
    private func at(_ seconds: Int) -> BootInstant { BootInstant.zero.advanced(by: .seconds(seconds)) }

    private func left(_ pauses: Pauses, _ seconds: Int, uid: UInt32 = 1) -> Int64 {
        pauses.left(to: uid, perDay: Self.hour, at: at(seconds)).components.seconds
    }

    @Test func aPauseLastsUntilItsEndOrIsEnded() {
        var pauses = Pauses()
        #expect(pauses.begin(1, for: .seconds(600), perDay: Self.hour, at: at(1000)) == at(1600))
        #expect(pauses.end(of: 1) == at(1600) && pauses.end(of: 2) == nil && pauses.next == at(1600))
        #expect(left(pauses, 1000) == 3000 && left(pauses, 1000, uid: 2) == 3600)
        #expect(pauses.expire(at: at(1599)).isEmpty && pauses.expire(at: at(1600)) == [1])
        #expect(pauses.end(of: 1) == nil && pauses.next == nil && pauses.lastEnd(of: 1) == at(1600))
        // Ended early, it counts as long as it lasted.
        #expect(pauses.begin(1, for: .seconds(600), perDay: Self.hour, at: at(2000)) != nil)
        #expect(pauses.finish(1, at: at(2100)) && !pauses.finish(1, at: at(2100)))
        #expect(left(pauses, 2100) == 2900)
        // Of a day later what was in it counts.
        #expect(left(pauses, 1300 + 86_400) == 3600 - 300 - 100)
        #expect(left(pauses, 2100 + 86_400) == 3600)
        // What counts of a short one is more than it was.
        #expect(pauses.begin(1, for: .seconds(5), perDay: Self.hour, at: at(5000)) == at(5005) && pauses.start(of: 1) == at(5000))
        #expect(pauses.finish(1, at: at(5002)) && pauses.lastEnd(of: 1) == at(5002) && pauses.start(of: 1) == nil)
    }

    @Test func moreThanIsLeftIsRefusedAndChangesNothing() {
        var pauses = Pauses()
        #expect(pauses.begin(1, for: .seconds(3601), perDay: Self.hour, at: at(0)) == nil)
        #expect(pauses.begin(1, for: .seconds(3000), perDay: Self.hour, at: at(0)) == at(3000))
        let before = pauses
        #expect(pauses.begin(1, for: .seconds(3100), perDay: Self.hour, at: at(600)) == nil && pauses == before)
        // One in place of another counts from the other's part that was used.
        #expect(pauses.begin(1, for: .seconds(3000), perDay: Self.hour, at: at(600)) == at(3600))
        #expect(left(pauses, 600) == 0)
        #expect(Pauses().end(of: 1) == nil)
        var none = Pauses()
        #expect(none.begin(1, for: .seconds(1), perDay: .zero, at: at(0)) == nil)
    }

    /// Each counts a minute at least.
    @Test func nobodyPausesAndResumesWithoutNumber() {
        var pauses = Pauses()
        var count = 0
        for second in 0..<600 where pauses.begin(1, for: .seconds(5), perDay: Self.hour, at: at(second)) != nil {
            count += 1
            _ = pauses.finish(1, at: at(second))
        }
        #expect(count == 60)
    }

    /// Whatever a user does, in no 24 hours is more paused than is granted; and the file gives back what was written.
    @Test(arguments: 0..<20) func neverMoreThanIsGranted(seed: UInt64) throws {
        var random = SeededRandom(seed: seed)
        var pauses = Pauses()
        var spans: [(start: Int, end: Int)] = []
        var now = 0
        var running: (start: Int, end: Int)?
        for _ in 0..<400 {
            now += Int.random(in: 0..<2000, using: &random)
            if let pause = running, pause.end <= now {
                #expect(pauses.expire(at: at(now)) == [1])
                spans.append(pause)
                running = nil
            }
            if Bool.random(using: &random) {
                let length = Int.random(in: 1..<3000, using: &random)
                if let end = pauses.begin(1, for: .seconds(length), perDay: Self.hour, at: at(now)) {
                    #expect(end == at(now + length))
                    if let pause = running { spans.append((pause.start, now)) }
                    running = (now, now + length)
                }
            } else if let pause = running, pauses.finish(1, at: at(now)) {
                spans.append((pause.start, now))
                running = nil
            }
            #expect(pauses.end(of: 1) == running.map { at($0.end) })
            let all = spans + (running.map { [$0] } ?? [])
            for edge in all {
                let used = all.reduce(0) { $0 + max(0, min($1.end, edge.end) - max($1.start, edge.end - 86_400)) }
                #expect(used <= 3600)
            }
            spans.removeAll { $0.end < now - 2 * 86_400 }
        }
        #expect(try JSONDecoder().decode(Pauses.self, from: JSONEncoder().encode(pauses)) == pauses)
    }

    /// A file of the version before has no pauses.
    @Test func aFileWithoutPausesIsRead() throws {
        let state = RuntimeState(bootID: "a")
        let data = try JSONEncoder().encode(state)
        #expect(!String(decoding: data, as: UTF8.self).contains("pauses"))
        #expect(try JSONDecoder().decode(RuntimeState.self, from: data) == state)
    }
}
