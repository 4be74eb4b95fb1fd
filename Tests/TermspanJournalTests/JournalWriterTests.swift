import Synchronization
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanJournal

/// A journal that stands still until it is let go.
private final class Journal: Sendable {
    private struct State {
        var taken: [JournalRecord] = []
        var isStalled = true
        var refusals = 0
    }

    private let state = Mutex(State())

    init(refusals: Int = 0) { state.withLock { $0.refusals = refusals } }

    func take(_ record: JournalRecord) -> Bool {
        while state.withLock({ $0.isStalled }) { sleep(for: .milliseconds(1)) }
        return state.withLock { state in
            state.refusals -= 1
            if state.refusals >= 0 { return false }
            state.taken.append(record)
            return true
        }
    }

    func go() { state.withLock { $0.isStalled = false } }

    var messages: [String] { state.withLock { $0.taken.compactMap { $0.fields.first?.value } } }
    var taken: [JournalRecord] { state.withLock { $0.taken } }
}

@Suite struct JournalWriterTests {
    private func writer(_ journal: Journal, limit: Int = 1 << 20) throws -> JournalWriter {
        let writer = JournalWriter(limit: limit) { journal.take($0) }
        try writer.start()
        return writer
    }

    @Test func aJournalThatStandsStillKeepsNobodyWaitingAndGetsAllInOrder() throws {
        let journal = Journal()
        let writer = try writer(journal)
        let begin = BootInstant.now()
        for number in 0..<1000 { writer.append(JournalRecord(priority: .info, message: "\(number)")) }
        #expect(begin.duration(to: .now()) < .seconds(1))
        #expect(!writer.flush(within: .milliseconds(20)))
        #expect(journal.messages.isEmpty)
        journal.go()
        #expect(writer.flush(within: .seconds(10)))
        #expect(journal.messages == (0..<1000).map { "\($0)" })
        writer.stop()
    }

    @Test func whatIsTooMuchIsCountedAndToldOnce() throws {
        let journal = Journal()
        let writer = try writer(journal, limit: 10_000)
        for number in 0..<1000 { writer.append(JournalRecord(priority: .info, message: "\(number)")) }
        journal.go()
        #expect(writer.flush(within: .seconds(10)))
        writer.append(JournalRecord(priority: .info, message: "after"))
        #expect(writer.flush(within: .seconds(10)))
        let kept = journal.taken.count - 2
        #expect(kept > 10 && kept < 500)
        #expect(journal.messages.prefix(kept) == (0..<kept).map { "\($0)" }[...])
        let told = journal.taken[kept]
        #expect(told.fields.contains { $0.field == .event && $0.value == "records-lost" })
        #expect(told.fields.contains { $0.field == .count && $0.value == String(1000 - kept) })
        #expect(journal.messages.last == "after")
        writer.stop()
    }

    @Test func aJournalThatRefusesIsTriedAgain() throws {
        let journal = Journal(refusals: 2)
        let writer = try writer(journal)
        journal.go()
        for number in 0..<3 { writer.append(JournalRecord(priority: .info, message: "\(number)")) }
        #expect(writer.flush(within: .seconds(10)))
        #expect(journal.messages == ["0", "1", "2"])
        writer.stop()
    }

    @Test func withoutItsThreadItSendsAtOnce() {
        let journal = Journal()
        journal.go()
        let writer = JournalWriter { journal.take($0) }
        writer.append(JournalRecord(priority: .info, message: "now"))
        #expect(journal.messages == ["now"])
        #expect(writer.flush(within: .zero))
    }
}
