import Testing

@testable import TermspanCore

@Suite struct TokenBucketTests {
    static let rate = Rate(20, per: .seconds(1), burst: 200)

    @Test func aBurstPassesAndThenTheRate() {
        var bucket = TokenBucket()
        var now = BootInstant(nanoseconds: 1_000_000_000)
        for _ in 0..<200 {
            let taken = bucket.take(Self.rate, at: now)
            #expect(taken)
        }
        #expect(!bucket.isFull(at: now))
        for _ in 0..<50 {
            let early = bucket.take(Self.rate, at: now)
            #expect(!early)
            let next = bucket.next(Self.rate, at: now)
            #expect(now.duration(to: next) == .milliseconds(50))
            let justBefore = bucket.take(Self.rate, at: next.advanced(by: .nanoseconds(-1)))
            #expect(!justBefore)
            now = next
            let taken = bucket.take(Self.rate, at: now)
            #expect(taken)
        }
        now = now.advanced(by: .seconds(10))
        #expect(bucket.isFull(at: now))
        let taken = (0..<250).count { _ in bucket.take(Self.rate, at: now) }
        #expect(taken == 200)
    }

    @Test func whatIsSpentBeyondMakesTheWaitLonger() {
        var bucket = TokenBucket()
        let now = BootInstant(nanoseconds: 5)
        for _ in 0..<205 { bucket.spend(Self.rate, at: now) }
        #expect(now.duration(to: bucket.next(Self.rate, at: now)) == .milliseconds(300))
    }

    /// Over any stretch of time no more passes than the burst and what the rate adds.
    @Test(arguments: [1, 2, 3, 7]) func noStretchGetsMore(seed: UInt64) {
        var random = seed
        var bucket = TokenBucket()
        var now = BootInstant.zero
        var taken: [BootInstant] = []
        let rate = Rate(7, per: .seconds(60), burst: 3)
        for _ in 0..<2000 {
            random = random &* 6_364_136_223_846_793_005 &+ 1_442_695_040_888_963_407
            now = now.advanced(by: .milliseconds(Int64(random >> 33) % 4_000))
            if bucket.take(rate, at: now) { taken.append(now) }
        }
        #expect(taken.count > 300)
        for first in taken.indices {
            for last in first..<min(first + 40, taken.count) {
                let allowed = UInt64(3) + (taken[last].nanoseconds - taken[first].nanoseconds) / rate.interval
                #expect(UInt64(last - first + 1) <= allowed)
            }
        }
    }

    @Test func extremesDoNotTrap() {
        var bucket = TokenBucket()
        let last = BootInstant(nanoseconds: .max)
        for rate in [
            Rate(1, per: .seconds(Int64.max), burst: .max), Rate(.max, per: .zero, burst: 1), Rate(-5, per: .seconds(-1), burst: -1),
        ] {
            bucket.spend(rate, at: last)
            _ = bucket.take(rate, at: .zero)
            _ = bucket.next(rate, at: last)
        }
    }
}
