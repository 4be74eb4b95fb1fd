import Glibc
import TermspanSystem
import Testing

@testable import TermspanReports

@Suite struct AnswerPipeTests {
    /// Between lines too: what was said goes out, and nothing is done for somebody who went away.
    @Test func whoWorksForLongSeesThatNobodyReads() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        var answer = try AnswerPipe(OwnedDescriptor(ends[1]), patience: .seconds(1), limit: .seconds(60))
        try answer.write(Array("a\n".utf8))
        try answer.pulse()
        var bytes = [UInt8](repeating: 0, count: 16)
        #expect(read(ends[0], &bytes, bytes.count) == 2)
        close(ends[0])
        let over = isOver(&answer)
        #expect(over)
    }

    @Test func whoWorksForTooLongIsOver() throws {
        var ends: [Int32] = [0, 0]
        #expect(pipe(&ends) == 0)
        defer { close(ends[0]) }
        var answer = try AnswerPipe(OwnedDescriptor(ends[1]), patience: .seconds(1), limit: .milliseconds(1))
        let over = isOver(&answer)
        #expect(over)
    }

    /// Whether it is over within some time.
    private func isOver(_ answer: inout AnswerPipe) -> Bool {
        for _ in 0..<100 {
            do {
                try answer.pulse()
            } catch {
                return error is AnswerPipe.Abandoned
            }
            usleep(20_000)
        }
        return false
    }
}
