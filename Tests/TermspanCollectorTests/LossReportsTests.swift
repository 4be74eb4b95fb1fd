import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanCollector

@Suite struct LossReportsTests {
    private static func moment(_ seconds: UInt64) -> BootInstant { BootInstant(nanoseconds: seconds * 1_000_000_000) }
    private let session = UUIDv7(at: .now())

    @Test func eachLossIsToldOnceAndAFloodOnceAMinute() {
        var reports = LossReports()
        var told: [UInt64] = []
        var counted: UInt64 = 0
        for second in 1000..<1600 {
            for _ in 0..<10 {
                counted += 3
                if let count = reports.add(3, of: session, at: Self.moment(UInt64(second))) { told.append(count) }
            }
        }
        #expect(told.count <= 5 + 10)
        let rest = reports.finish(session) ?? 0
        #expect(told.reduce(0, +) + rest == counted)
        #expect(reports.finish(session) == nil)
    }

    @Test func aFloodOfOneSessionKeepsNoOther() {
        var reports = LossReports()
        for _ in 0..<1000 { _ = reports.add(1, of: session, at: Self.moment(5000)) }
        #expect(reports.add(7, of: UUIDv7(at: .now()), at: Self.moment(5000)) == 7)
    }

    @Test func claimsOfAnyNumberAreAdded() {
        var reports = LossReports()
        for _ in 0..<5 { #expect(reports.add(.max, of: session, at: Self.moment(1)) == .max) }
        #expect(reports.add(.max, of: session, at: Self.moment(1)) == nil)
        #expect(reports.add(1, of: session, at: Self.moment(1)) == nil)
        #expect(reports.finish(session) == .max)
    }
}
