import Glibc
import Synchronization
import TermspanAccounting
import TermspanConfiguration
import TermspanCore
import TermspanEvents
import TermspanSystem
import Testing

@testable import TermspanCollector

/// Intervals that waited in their lane, as while the collector restarts, are old when their executables are asked for.
@Suite struct AggregatorResolvingTests {
    private final class Questions: Sendable {
        let asked = Mutex<[ProcessResolver.Request]>([])
    }

    /// Two windows of one process, 20 s ago.
    private func backlog(_ questions: Questions) throws -> AggregatorSource {
        let begun = BootInstant.now().advanced(by: .seconds(-20))
        let source = try AggregatorSource(limits: Limits(), since: begun) { request in questions.asked.withLock { $0.append(request) } }
        source.snapshot(at: begun)
        for window in 1...2 as ClosedRange<UInt32> {
            source.focus(window, of: ProcessClaim(pid: 5, origin: .server), at: begun.advanced(by: .seconds(Int64(window))))
        }
        source.waitFolded()
        return source
    }

    @Test func theAnswerIsWaitedForHoweverOldTheIntervalIs() throws {
        let questions = Questions()
        let source = try backlog(questions)
        #expect(source.aggregator.takePieces(at: .now()).isEmpty)
        let asked = questions.asked.withLock { $0 }
        #expect(asked.count == 2)
        for request in asked { source.aggregator.resolved(request, executable: "/usr/bin/work") }
        let pieces = source.aggregator.takePieces(at: .now())
        // That of no window before, and the first window's.
        #expect(pieces.flatMap { $0.closed.map(\.executable) }.suffix(2) == [nil, "/usr/bin/work"])
        source.end()
    }

    @Test func anAnswerThatDoesNotComeIsNotWaitedForWithoutEnd() throws {
        let source = try backlog(Questions())
        #expect(!source.aggregator.takePieces(at: .now().advanced(by: .seconds(3))).isEmpty)
        source.end()
    }
}

/// Who asks without end must not take the answers from others.
@Suite struct ProcessResolverTests {
    private func request(of uid: UInt32, _ serial: UInt64) -> ProcessResolver.Request {
        ProcessResolver.Request(
            session: UUIDv7(at: .now()), serial: serial, claim: ProcessClaim(pid: UInt32(getpid()), origin: .server), observed: .now(),
            uid: uid,
            scopes: [])
    }

    @Test func oneUsersQuestionsLeaveRoomForOthers() throws {
        let answered = Mutex<[ProcessResolver.Request]>([])
        let resolver = try ProcessResolver { request, _ in answered.withLock { $0.append(request) } }
        for serial in 0..<UInt64(2 * ProcessResolver.share) { resolver.ask(request(of: 1001, serial)) }
        // Those beyond are answered at once, before anybody has looked.
        #expect(answered.withLock { $0.map(\.serial) } == Array(UInt64(ProcessResolver.share)..<UInt64(2 * ProcessResolver.share)))
        resolver.ask(request(of: 1002, 0))
        #expect(answered.withLock { $0.count } == ProcessResolver.share)
        let thread = try TermspanSystem.Thread(name: "resolver") { resolver.run() }
        while answered.withLock({ $0.count }) < 2 * ProcessResolver.share + 1 { sched_yield() }
        // They take turns: it did not wait for all that came before.
        #expect(answered.withLock { $0.firstIndex { $0.uid == 1002 } } == ProcessResolver.share + 1)
        // There is room again once they are answered.
        resolver.ask(request(of: 1001, 0))
        while answered.withLock({ $0.count }) < 2 * ProcessResolver.share + 2 { sched_yield() }
        resolver.stop()
        thread.join()
    }
}

/// A process can make reading its command line take for ever.
@Suite struct CommandLinesTests {
    @Test func whoKeepsAThreadWaitingCostsNobodyElse() {
        let isHeld = Mutex(true)
        let answers = Mutex<[UInt32: [UInt8]?]>([:])
        func answer(_ key: UInt32) -> [UInt8]?? { answers.withLock { $0[key] } }
        let lines = CommandLines { pid in
            while pid == 7, isHeld.withLock({ $0 }) { sched_yield() }
            return [UInt8(truncatingIfNeeded: pid), 0]
        }
        func ask(_ pid: UInt32, uid: UInt32, as key: UInt32) {
            lines.read(pid: pid, uid: uid) { line in answers.withLock { $0[key] = line } }
        }
        ask(7, uid: 1001, as: 0)
        // Others have their answers meanwhile, and more than there are threads.
        for uid in 2001..<2101 as Range<UInt32> { ask(9, uid: uid, as: uid) }
        while answers.withLock({ $0.count }) < 100 { sched_yield() }
        #expect(answers.withLock { $0.values.allSatisfy { $0 == [9, 0] } } && answer(0) == nil)
        // Who waits has a share of the room, and no more. The first is being read, or waits still.
        for key in 1..<UInt32(CommandLines.share + 3) { ask(8, uid: 1001, as: key) }
        #expect(answer(UInt32(CommandLines.share + 2)) == .some(nil) && answer(1) == nil)
        isHeld.withLock { $0 = false }
        while answers.withLock({ $0.count }) < 100 + CommandLines.share + 3 { sched_yield() }
        #expect(answer(0) == [7, 0] && answer(1) == [8, 0])
    }

    @Test func aProcessesOwnIsRead() throws {
        let line = Mutex<[UInt8]?>(nil)
        CommandLines().read(pid: UInt32(getpid()), uid: getuid()) { found in line.withLock { $0 = found ?? [] } }
        while line.withLock({ $0 }) == nil { sched_yield() }
        #expect(line.withLock { $0?.contains(0) } == true)
    }
}
