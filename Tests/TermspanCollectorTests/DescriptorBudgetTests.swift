import Testing

@testable import TermspanCollector

@Suite struct DescriptorBudgetTests {
    /// As many lanes as the budget allows must fit, with their sessions, beside the reserve; both while it runs and when all come back.
    @Test(arguments: [(128, 4096, 0), (160, 4096, 20), (1024, 4096, 100), (16_384, 4096, 200), (16_384, 80, 5), (64, 4096, 0)])
    func theReserveStays(limit: Int, stored: Int, sessions: Int) {
        let budget = DescriptorBudget(limit: limit, stored: stored)
        var lanes = 0
        while budget.refusal(lanes: lanes, sessions: sessions) == nil { lanes += 1 }
        #expect(lanes * 4 <= stored)
        if lanes > 0 { #expect(64 + 2 * sessions + 6 * lanes <= limit) }
        // One more would not fit.
        #expect(lanes * 4 + 4 > stored || 64 + 2 * sessions + 6 * (lanes + 1) > limit)
    }

    @Test func asShippedThereIsRoomForAThousand() {
        #expect(DescriptorBudget(limit: 16_384, stored: 4096).refusal(lanes: 1000, sessions: 1500) == nil)
    }

    @Test func theReasonNamesTheSetting() {
        #expect(DescriptorBudget(limit: 70, stored: 4096).refusal(lanes: 1, sessions: 0)?.contains("LimitNOFILE=70") == true)
        #expect(DescriptorBudget(limit: 1024, stored: 8).refusal(lanes: 2, sessions: 0)?.contains("FileDescriptorStoreMax=8") == true)
    }

    @Test func noMoreLanesThanTheArenaHolds() {
        let budget = DescriptorBudget(limit: 1_000_000, stored: 1_000_000)
        #expect(budget.refusal(lanes: 4095, sessions: 5000) == nil)
        #expect(budget.refusal(lanes: 4096, sessions: 5000)?.contains("4096") == true)
    }

    @Test func theProcesssOwnLimitIsRead() {
        #expect(DescriptorBudget.ofProcess().limit > 0)
    }
}
