import TermspanCore
import Testing

@testable import TermspanCollector

@Suite struct RecentReadsTests {
    private func at(_ seconds: Int) -> BootInstant { BootInstant.zero.advanced(by: .seconds(seconds)) }

    @Test func theSameWithinAMinuteIsKnown() {
        var reads = RecentReads<Int>()
        #expect(!reads.has(1, at: at(0)))
        reads.add(1, at: at(0))
        #expect(reads.has(1, at: at(59)) && !reads.has(1, at: at(60)) && !reads.has(2, at: at(1)))
    }

    /// Whoever asks about ever others makes no more than some of them remembered; what is forgotten is recorded once more.
    @Test func fewAreRemembered() {
        var reads = RecentReads<Int>()
        for read in 0..<5000 { reads.add(read, at: at(1)) }
        #expect((900...1000).contains((0..<5000).count { reads.has($0, at: at(2)) }))
        #expect(reads.has(4999, at: at(2)))
        var longer = RecentReads<Int>(interval: .seconds(600), most: 2000)
        for read in 0..<2000 { longer.add(read, at: at(1)) }
        #expect((0..<2000).allSatisfy { longer.has($0, at: at(600)) } && !longer.has(0, at: at(601)))
        var aged = RecentReads<Int>()
        for read in 0..<1000 { aged.add(read, at: at(read < 999 ? 0 : 50)) }
        aged.add(1000, at: at(70))
        #expect(aged.has(999, at: at(71)) && aged.has(1000, at: at(71)) && !aged.has(0, at: at(71)))
    }
}
