import Foundation
import GRDB
import Synchronization
import TermspanAccounting
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanStore
import TermspanSystem
import Testing

@testable import TermspanCollector

/// A store's thread with its aggregator's, on a store of its own.
private final class Writing {
    let folder: URL
    let aggregator: Aggregator
    let store: StoreThread
    let notices = Notices()
    private var threads: [Joined] = []

    final class Notices: Sendable {
        private let list = Mutex<[StoreThread.Notice]>([])

        func add(_ notice: StoreThread.Notice) { list.withLock { $0.append(notice) } }

        var all: [StoreThread.Notice] { list.withLock { $0 } }
    }

    private final class Joined {
        private var thread: TermspanSystem.Thread?

        init(_ body: @escaping @Sendable () -> Void) throws { thread = try TermspanSystem.Thread(name: "test") { body() } }

        func join() { thread.take()?.join() }
    }

    var path: String { folder.appending(path: "termspan.db").path }
    var place: StorePlace { Self.place(path) }
    private static let master = SecretKey()

    static func place(_ path: String) -> StorePlace {
        StorePlace(
            path: path, machine: ID128(high: 1, low: 2), boot: ID128(high: 3, low: 4),
            keys: KeyPlace(path: path + ".keys", masters: [master]))
    }

    init(commitInterval: Duration = .milliseconds(10)) throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "termspan-thread-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let place = Self.place(folder.appending(path: "termspan.db").path)
        let writer = try StoreOpening.open(place, anchor: ClockAnchor(boot: .now(), wall: .now())).writer
        let aggregator = try Aggregator { _ in }
        self.aggregator = aggregator
        let notices = notices
        let store = try StoreThread(writer: writer, aggregator: aggregator, commitInterval: commitInterval, mostEvents: 100) {
            notices.add($0)
        }
        self.store = store
        threads = [try Joined { store.run() }, try Joined { aggregator.run() }]
    }

    deinit {
        store.stop()
        threads[0].join()
        aggregator.stop()
        threads[1].join()
        try? FileManager.default.removeItem(at: folder)
    }

    func open(_ session: UUIDv7, since moment: BootInstant) {
        store.append {
            $0.sessions.append(
                SessionRecord(
                    uuid: session, id: SessionID(rawValue: 1), user: UserIdentity(login: "anna", uid: 1001), stack: "xrdp", start: moment))
        }
        aggregator.begin(
            Aggregator.Subject(uuid: session, id: SessionID(rawValue: 1), uid: 1001, userName: "anna", scopes: []), at: moment,
            burstGap: .seconds(30))
    }

    func wait(_ condition: () throws -> Bool) rethrows -> Bool {
        for _ in 0..<1000 {
            if try condition() { return true }
            TermspanSystem.sleep(for: .milliseconds(10))
        }
        return false
    }

    /// Overwrites the page where the sessions' table begins, once everything is in the file, and has the other connections read it anew.
    func damage() throws {
        let other = try DatabaseQueue(path: path)
        let page = try other.writeWithoutTransaction { db in
            try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
            return try Int.fetchOne(db, sql: "SELECT rootpage FROM sqlite_schema WHERE name = 'unknown_interval'") ?? 0
        }
        let file = try FileHandle(forUpdating: URL(filePath: path))
        try file.seek(toOffset: UInt64((page - 1) * 4096))
        try file.write(contentsOf: Data(repeating: 0xA5, count: 4096))
        try file.close()
        try other.write { try $0.execute(sql: "UPDATE revision SET value = value + 1") }
        try other.close()
    }
}

@Suite struct RetentionTurnTests {
    /// What is overdue by an earlier life is done at once, and an hour later again; a start is no reason to wait for longer.
    @MainActor @Test func whatIsOldIsRemovedEachHour() throws {
        let writing = try Writing()
        let (loop, inbox) = (try EventLoop(), try MainInbox())
        let source = try inbox.attach(to: loop)
        defer { withExtendedLifetime(source) {} }
        var ends = 0
        func life(due: BootInstant?) throws -> Retention {
            try Retention(loop: loop, store: writing.store, inbox: inbox, configuration: Configuration(), due: due) { hasRemoved in
                #expect(!hasRemoved)
                ends += 1
                loop.exit()
            }
        }
        for (due, expected) in [(nil, 1200), (100, 100), (7200, 3600)] as [(Int?, Double)] {
            let next = try life(due: due.map { loop.now.advanced(by: .seconds($0)) })
            #expect(abs(loop.now.duration(to: next.due) / .seconds(1) - expected) < 5)
        }
        let retention = try life(due: loop.now.advanced(by: .seconds(-60)))
        #expect(ends == 0)
        #expect(try loop.run() == 0)
        #expect(ends == 1)
        #expect((3590...3600).contains(loop.now.duration(to: retention.due) / .seconds(1)))
    }
}

@Suite struct StoreThreadTests {
    @Test func aDamagedStoreIsReplacedAndWaitsForTheSessions() throws {
        let writing = try Writing()
        let session = UUIDv7(at: .now())
        let start = BootInstant.now()
        writing.open(session, since: start)
        #expect(writing.wait { writing.store.health.commits >= 1 })
        #expect(writing.store.health.size > 0)
        try writing.damage()
        // An unknown interval that ends has to go where the damage is.
        writing.aggregator.end(session, at: .now())
        #expect(
            writing.wait {
                writing.notices.all.contains { if case .replaced = $0 { true } else { false } }
            })
        let commits = writing.store.health.commits
        let other = UUIDv7(at: .now())
        writing.open(other, since: start)
        TermspanSystem.sleep(for: .milliseconds(100))
        #expect(writing.store.health.commits == commits)
        // Told anew, as the collector does.
        writing.aggregator.restart(other, since: start, burstGap: .seconds(30), reason: .storeDamaged)
        let now = BootInstant.now()
        writing.aggregator.end(other, at: now)
        writing.store.resume()
        #expect(writing.wait { writing.store.health.commits > commits })
        let reader = try StoreReader(path: writing.path, keys: writing.place.keys)
        let stored = try #require(try reader.sessions(SessionFilter()).first { $0.record.uuid == other })
        #expect(
            try reader.unknowns(of: stored, in: TimeSpan(start: .zero, end: .now())) == [
                UnknownInterval(start: start, end: now, reason: .storeDamaged)
            ])
        // The damage took none of the pages of this one, and what waited is stored.
        #expect(try reader.sessions(SessionFilter()).contains { $0.record.uuid == session })
        #expect(writing.store.health.problem == nil)

        // The damaged one is told of as long as it is there.
        let damaged = writing.store.health.damaged
        #expect(damaged.count == 1 && damaged.allSatisfy { FileManager.default.fileExists(atPath: $0) && $0.hasSuffix(".db") })
        for file in damaged { try FileManager.default.removeItem(atPath: file) }
        writing.store.submit { _ in }
        #expect(writing.wait { writing.store.health.damaged.isEmpty })
    }

    @Test func whatCanNotBeWrittenIsKeptAndTold() throws {
        let writing = try Writing()
        let session = UUIDv7(at: .now())
        let holder = try DatabaseQueue(path: writing.path)
        // Longer than SQLite waits for the lock and than the disk is given.
        try holder.inDatabase { db in
            try db.execute(sql: "BEGIN IMMEDIATE")
            writing.open(session, since: .now())
            #expect(writing.wait { writing.store.health.busySince != nil })
            TermspanSystem.sleep(for: StoreThread.patience + .milliseconds(200))
            #expect(writing.store.stall() != nil || writing.store.health.problem != nil)
            #expect(writing.wait { writing.store.health.problem != nil })
            #expect(writing.store.pending.sessions.map(\.uuid) == [session])
            for _ in 0..<100 {
                writing.store.append { $0.events.append(SessionEvent(session: session, change: StateChange(.locked, at: .now()))) }
            }
            #expect(!writing.store.hasRoom)
            try db.execute(sql: "ROLLBACK")
        }
        #expect(writing.wait { writing.store.health.problem == nil && writing.store.hasRoom })
        #expect(try StoreReader(path: writing.path, keys: writing.place.keys).sessions(SessionFilter()).map(\.record.uuid) == [session])
        func problems() -> [Bool] {
            writing.notices.all.compactMap { notice in if case .problem(let text) = notice { text != nil } else { nil } }
        }
        // It is told after it is so.
        #expect(writing.wait { problems().last == false })
        #expect(problems().first == true)
    }

    /// A lane is made durable at once long before it is full, however long its events are, and its slots go back to the source.
    @Test(arguments: [(0, 255), (128, 85)]) func aLaneOfWhichAQuarterWasReadDoesNotWaitForItsTurn(classLength: Int, few: Int) throws {
        let writing = try Writing(commitInterval: .seconds(3600))
        let session = UUIDv7(at: .now())
        writing.open(session, since: .now())
        let lane = try LaneMemory(lane: 1, generation: 7)
        var writer = try LaneWriter(
            control: lane.controlForProducer(), events: lane.events.duplicate(), doorbell: lane.doorbell.duplicate())
        try writing.aggregator.attach(lane, to: session)
        let event = Event.focusChanged(
            Focus(window: 1, process: .none, windowClass: WindowClass(repeatElement(UInt8(ascii: "x"), count: classLength))))
        func publish(_ count: Int) {
            withUnsafeTemporaryAllocation(byteCount: EventCodec.maximumLength, alignment: 8) { buffer in
                let (type, length) = EventCodec.encode(event, into: buffer)
                for _ in 0..<count {
                    writer.publish(type: type.rawValue, time: .now(), payload: UnsafeRawBufferPointer(rebasing: buffer[..<length]))
                }
            }
        }
        publish(few)
        #expect(writing.wait { writing.aggregator.counters.delivered == UInt64(few) })
        #expect(writing.store.health.commits == 0)
        publish(1)
        #expect(writing.wait { writing.store.health.commits == 1 })
        #expect(writing.wait { (try? LaneReader(lane, in: Arena(capacity: 1)).mark.attemptedAt) == UInt64(few + 1) })
        // All 1,024 slots are the source's again.
        publish(1_024 / LaneLayout.slots(for: 12 + classLength))
        #expect(writer.dropped == 0)
    }

    @Test func whatWaitsIsDurableBeforeAJobThatAsksForThat() throws {
        let writing = try Writing()
        writing.store.setCommitInterval(.seconds(600))
        func users() throws -> Int? {
            let answer = Mutex<Result<Int, StoreError>??>(nil)
            writing.store.submitOnceDurable { writer, problem in
                let result = problem == nil ? Result { () throws(StoreError) in try writer.users(named: [UserName("anna")!]).count } : nil
                answer.withLock { $0 = .some(result) }
            }
            #expect(writing.wait { answer.withLock { $0 != nil } })
            return try answer.withLock { $0 }??.get()
        }
        #expect(try users() == 0)
        writing.open(UUIDv7(at: .now()), since: .now())
        #expect(try users() == 1)
        // And where it can't be, the job is told.
        let holder = try DatabaseQueue(path: writing.path)
        try holder.inDatabase { db in
            try db.execute(sql: "BEGIN IMMEDIATE")
            writing.open(UUIDv7(at: .now()), since: .now())
            #expect(try users() == nil)
            try db.execute(sql: "ROLLBACK")
        }
        try holder.close()
    }
}
