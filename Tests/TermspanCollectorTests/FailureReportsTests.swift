import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanCollector

@Suite struct FailureReportsTests {
    private let session = UUIDv7(at: .now())
    private let other = UUIDv7(at: .now())

    @Test func aFailureWaitsAndIsToldOnce() {
        var reports = FailureReports()
        reports.add("it ended", of: session)
        #expect(reports.due(other) == [])
        #expect(reports.due(session) == ["it ended"])
        #expect(reports.due(session) == [])
        reports.add("it ended", of: session)
        #expect(reports.due(session) == [], "the same is not told again")
        reports.add("no cookie", of: session)
        #expect(reports.due(session) == ["no cookie"])
    }

    @Test func whatFailedFirstIsToldFirst() {
        var reports = FailureReports()
        for reason in ["it ended", "no cookie", "no cookie", "it ended"] { reports.add(reason, of: session) }
        #expect(reports.due(session) == ["it ended", "no cookie", "it ended"])
    }

    @Test func aFailureIsToldBeforeTheProbeThatFollowsAndSoIsTheNext() {
        var reports = FailureReports()
        for _ in 0..<3 {
            reports.add("it ended", of: session)
            #expect(reports.started(session) == ["it ended"], "the next probe was there sooner than it was told")
            #expect(reports.due(session) == [])
            reports.add("it ended", of: session)
            #expect(reports.due(session) == ["it ended"], "the next probe takes longer")
            #expect(reports.started(session) == [])
        }
    }

    @Test func aSessionThatEndsHasNoFailure() {
        var reports = FailureReports()
        reports.add("it ended", of: session)
        reports.finish(session)
        #expect(reports.due(session) == [])
    }
}
