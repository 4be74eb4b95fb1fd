import Foundation
import GRDB
import TermspanAccounting
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanStore

@Suite struct StoreTests {
    typealias F = StoreFixture

    @Test func whatIsWrittenIsRead() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        let session = F.session(1)
        batch.sessions = [session]
        batch.events = [
            SessionEvent(
                session: session.uuid, change: StateChange(.connected, at: F.at(11)), clientAddress: "192.0.2.7", clientName: "PC-7"),
            SessionEvent(session: session.uuid, change: StateChange(.locked, at: F.at(50))),
        ]
        let editor = Application(executable: "/usr/bin/gedit", windowClass: "Gedit")
        batch.focus = [
            FocusRecord(session: session.uuid, span: F.span(12, 30), application: editor),
            FocusRecord(session: session.uuid, span: F.span(30, 30.000000001), application: nil),
            FocusRecord(session: session.uuid, span: F.span(31, 40), application: Application(executable: nil, windowClass: nil)),
            FocusRecord(session: session.uuid, span: F.span(40, 41), application: nil, switches: 4711),
        ]
        batch.bursts = [
            BurstRecord(session: session.uuid, burst: InputBurst(start: F.at(13), end: F.at(13), origin: .device)),
            BurstRecord(session: session.uuid, burst: InputBurst(start: F.at(20), end: F.at(29), origin: .synthetic)),
        ]
        let unknown = UnknownInterval(start: F.at(10), end: F.at(12), reason: .starting, lost: 3)
        batch.unknowns = [UnknownRecord(session: session.uuid, interval: unknown)]
        #expect(try writer.write(batch) == WriteResult(written: 10))
        #expect(try writer.write(batch) == WriteResult(repeated: 10))

        let reader = try StoreReader(path: fixture.path)
        let stored = try #require(try reader.sessions(SessionFilter()).first)
        #expect(stored.record == session && stored.end == nil && stored.boot == F.boot && stored.lastDurable == F.at(50))
        #expect(try Array(reader.focus(of: stored, in: F.span(0, 100))) == batch.focus)
        #expect(try reader.bursts(of: stored, in: F.span(0, 100)) == batch.bursts.map(\.burst))
        #expect(try reader.unknowns(of: stored, in: F.span(0, 100)) == [unknown])
        #expect(try reader.events(of: stored).map(\.event) == batch.events)
        // Only what reaches into the range, and pages.
        #expect(try Array(reader.focus(of: stored, in: F.span(29, 35))) == Array(batch.focus[0...2]))
        #expect(try Array(reader.focus(of: stored, in: F.span(0, 100), after: F.at(12), limit: 2)) == Array(batch.focus[1...2]))
        #expect(try reader.bursts(of: stored, in: F.span(15, 16)) == [batch.bursts[0].burst])

        var end = StoreBatch()
        end.ended = [SessionEnd(session: session.uuid, at: F.at(60), reason: .logoff)]
        #expect(try writer.write(end) == WriteResult(written: 1))
        #expect(try writer.write(end) == WriteResult(repeated: 1))
        #expect(try reader.sessions(SessionFilter()).first?.end == end.ended[0])
        #expect(try writer.sessionsOpen().isEmpty)
    }

    @Test func whatIsReadTogetherIsOfOneMoment() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        func write(_ number: UInt64) throws {
            var batch = StoreBatch()
            batch.sessions = [F.session(number)]
            try writer.write(batch)
        }
        try write(1)
        let reader = try StoreReader(path: fixture.path)
        let counts = try reader.together {
            let before = try reader.sessions(SessionFilter()).count
            try write(2)
            return [before, try reader.sessions(SessionFilter()).count]
        }
        #expect(counts == [1, 1])
        #expect(try reader.sessions(SessionFilter()).count == 2)
        // What fails in it ends it.
        #expect(throws: StoreError.self) { try reader.together { throw StoreError(.storage, "test", "no") } }
        try write(3)
        #expect(try reader.sessions(SessionFilter()).count == 3)
    }

    @Test func applicationsAreTheSameByTheirNames() {
        let names = [nil, "", "/usr/bin/gedit", "Gedit"]
        for executable in names {
            for windowClass in names {
                let one = Application(executable: executable, windowClass: windowClass)
                let others = names.flatMap { path in names.map { Application(executable: path, windowClass: $0) } }
                #expect(others.filter { $0 == one }.count == 1 && Set(others).contains(one))
                #expect(others.first { $0 == one }?.executable == executable && others.first { $0 == one }?.windowClass == windowClass)
            }
        }
    }

    @Test func recordsOfNoSessionAreLeftOutAndCostNothingElse() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        batch.focus = [
            FocusRecord(session: F.uuid(9), span: F.span(1, 2), application: nil),
            FocusRecord(session: F.uuid(1), span: F.span(2, 2), application: nil),
            FocusRecord(session: F.uuid(1), span: F.span(11, 12), application: nil),
        ]
        batch.ended = [SessionEnd(session: F.uuid(8), at: F.at(3), reason: .logoff)]
        #expect(try writer.write(batch) == WriteResult(written: 2, rejected: 3))
    }

    @Test func hostileNumbersAndNamesAreStored() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        let name = Application(
            executable: "/tmp/'; DROP TABLE session; --\u{1}\u{FFFD}", windowClass: String(repeating: "\u{FFFD}", count: 128))
        let end = BootInstant(nanoseconds: .max)
        batch.focus = [FocusRecord(session: F.uuid(1), span: TimeSpan(start: F.at(11), end: end), application: name, switches: .max)]
        batch.unknowns = [
            UnknownRecord(session: F.uuid(1), interval: UnknownInterval(start: F.at(1), end: end, reason: .sourceGap, lost: .max))
        ]
        batch.ended = [SessionEnd(session: F.uuid(1), at: end, reason: .logoff)]
        _ = try writer.write(batch)
        let reader = try StoreReader(path: fixture.path)
        let stored = try #require(try reader.sessions(SessionFilter()).first)
        let focus = try #require(try reader.focus(of: stored, in: F.span(0, 1e9)).first)
        #expect(focus.application == name && focus.switches == .max)
    }

    /// Batches cut from a random stream, delivered again from random points, with the store opened anew in between: each row is there once.
    @Test(arguments: 0..<6) func redeliveryChangesNothing(seed: Int) throws {
        var random = SystemRandomNumberGenerator()
        let fixture = try StoreFixture()
        var writer = try fixture.writer()
        let sessions = (0..<5).map { F.session(UInt64($0 + 1), "user\($0)", UInt32(1000 + $0)) }
        var all: [FocusRecord] = []
        for session in sessions {
            var position = 11.0
            for _ in 0..<Int.random(in: 1...60, using: &random) {
                let end = position + Double.random(in: 0.001...50, using: &random)
                let application = Application(executable: "/bin/\(Int.random(in: 0..<9, using: &random))", windowClass: nil)
                all.append(FocusRecord(session: session.uuid, span: F.span(position, end), application: application))
                position = end
            }
        }
        all.shuffle(using: &random)
        var position = 0
        while position < all.count {
            let start = max(0, position - Int.random(in: 0...10, using: &random))
            let end = min(all.count, position + Int.random(in: 1...20, using: &random))
            var batch = StoreBatch()
            batch.sessions = sessions
            batch.focus = Array(all[start..<end])
            let result = try writer.write(batch)
            #expect(result.written + result.repeated == batch.focus.count + sessions.count)
            if Int.random(in: 0..<4, using: &random) == 0 { writer = try fixture.writer() }
            position = end
        }
        let reader = try StoreReader(path: fixture.path)
        let stored = try reader.sessions(SessionFilter())
        #expect(stored.map(\.record) == sessions)
        for session in stored {
            let expected = all.filter { $0.session == session.record.uuid }.sorted { $0.span.start < $1.span.start }
            #expect(try Array(reader.focus(of: session, in: F.span(0, 1e6))) == expected)
        }
    }

    @Test func closedRowsNeverChange() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        batch.focus = [FocusRecord(session: F.uuid(1), span: F.span(11, 12), application: nil)]
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(20), reason: .logoff)]
        try writer.write(batch)
        let queue = try DatabaseQueue(path: fixture.path)
        for statement in ["UPDATE focus_interval SET length = 1", "UPDATE session SET end = 99"] {
            #expect(throws: DatabaseError.self) { try queue.write { try $0.execute(sql: statement) } }
        }
    }

    @Test func revisionsGrowWithEveryChange() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let queue = try DatabaseQueue(path: fixture.path)
        func revision(_ session: UInt64) throws -> Int64 {
            try queue.read {
                try Int64.fetchOne(
                    $0, sql: "SELECT revision FROM session WHERE uuid = ?", arguments: [DatabaseBytes(F.uuid(session).bytes)])
            } ?? 0
        }
        var batch = StoreBatch()
        batch.sessions = [F.session(1), F.session(2)]
        try writer.write(batch)
        let before = try (revision(1), revision(2))
        #expect(before.0 == before.1)
        batch = StoreBatch()
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(20), reason: .logoff)]
        try writer.write(batch)
        #expect(try revision(1) > before.1)
    }

    /// X2Go's sessions begin as logins over ssh.
    @Test func aSessionCanTurnOutToBeOfAnotherStackUntilItEnds() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let queue = try DatabaseQueue(path: fixture.path)
        func row() throws -> (stack: String, revision: Int64) {
            let row = try #require(try queue.read { try Row.fetchOne($0, sql: "SELECT stack, revision FROM session") })
            return (row["stack"], row["revision"])
        }
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        try writer.write(batch)
        let first = try row()
        batch.sessions[0].stack = "x2go"
        try writer.write(batch)
        #expect(try row().stack == "x2go")
        #expect(try row().revision > first.revision)
        batch = StoreBatch()
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(20), reason: .logoff)]
        try writer.write(batch)
        let last = try row()
        batch.sessions = [F.session(1)]
        try writer.write(batch)
        #expect(try row() == last)
    }

    // MARK: Restart

    /// By which a restarted collector knows what an earlier one was killed before it could store.
    @Test func anOpenSessionsLastStateIsThatOfItsLatestChanges() throws {
        let writer = try StoreFixture().writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        try writer.write(batch)
        func state(after kind: StateChange.Kind?, at second: Double) throws -> [Bool] {
            var batch = StoreBatch()
            if let kind { batch.events = [SessionEvent(session: F.uuid(1), change: StateChange(kind, at: F.at(second)))] }
            try writer.write(batch)
            let open = try #require(try writer.sessionsOpen().first)
            return [open.isConnected, open.isLocked]
        }
        // Before the first change of its kind a session is connected and unlocked.
        #expect(try state(after: nil, at: 10) == [true, false])
        #expect(try state(after: .locked, at: 20) == [true, true])
        #expect(try state(after: .disconnected, at: 30) == [false, true])
        #expect(try state(after: .paused, at: 35) == [false, true])
        #expect(try state(after: .unlocked, at: 40) == [false, false])
        #expect(try state(after: .connected, at: 50) == [true, false])
    }

    @Test func aRestartGoesOnFromTheCheckpoint() throws {
        let fixture = try StoreFixture()
        var fold = SessionFold()
        fold.begin(at: F.at(10))
        let focus = Focus(window: 7, process: ProcessClaim(pid: 5, origin: .server), windowClass: WindowClass("XTerm".utf8))
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        fold.apply(.snapshot(Snapshot(id: 0, focus: focus, inputOpen: true, lastInput: nil)), at: F.at(12)) {
            batch.append($0, of: F.uuid(1)) { _ in nil }
        }
        let checkpoint = LaneCheckpoint(session: F.uuid(1), generation: .max, attemptedAt: 5, delivered: 6, state: fold.state)
        batch.checkpoints = [checkpoint]
        batch.seen = F.at(40)
        try fixture.writer().write(batch)

        var writer = try fixture.writer()
        #expect(try writer.lastCheckpoints() == [checkpoint])
        let open = try #require(try writer.sessionsOpen().first)
        #expect(open.record == F.session(1) && open.checkpoint == checkpoint && open.lastDurable == F.at(40))
        #expect(try writer.closeSessionsOfOtherBoots().isEmpty)

        // The machine starts anew: what was open ends where the collector was last known to have seen everything.
        writer = try fixture.writer(boot: F.laterBoot, anchor: ClockAnchor(boot: F.at(5), wall: F.anchor.wall.advanced(by: .seconds(3600))))
        #expect(try writer.sessionsOpen().isEmpty)
        #expect(try writer.closeSessionsOfOtherBoots().map(\.record) == [F.session(1)])
        #expect(try writer.closeSessionsOfOtherBoots().isEmpty)
        let reader = try StoreReader(path: fixture.path)
        let stored = try #require(try reader.sessions(SessionFilter()).first)
        #expect(stored.end == SessionEnd(session: F.uuid(1), at: F.at(40), reason: .reboot))
        let intervals = Array(try reader.focus(of: stored, in: F.span(0, 100)))
        #expect(
            intervals == [
                FocusRecord(session: F.uuid(1), span: F.span(12, 40), application: Application(executable: nil, windowClass: "XTerm"))
            ])
        #expect(try reader.bursts(of: stored, in: F.span(0, 100)).map(\.end) == [F.at(40)])
        #expect(stored.anchors.wall(at: F.at(40)) == F.anchor.wall.advanced(by: .seconds(40)))
    }

    /// A process that writes without pause is killed at any moment; all that was acknowledged is there, whole batches only.
    @Test(arguments: 0..<4) func killedInMidTransactionNothingAcknowledgedIsLost(round: Int) async throws {
        let fixture = try StoreFixture()
        let acknowledged = fixture.folder.appending(path: "acknowledged").path
        let (path, delay) = (fixture.path, UInt32.random(in: 20_000...400_000))
        await #expect(processExitsWith: .signal(SIGKILL)) {
            [path = path as String, acknowledged = acknowledged as String, delay = delay as UInt32] in
            let writer = try StoreWriter.open(StoreFixture.place(path), anchor: StoreFixture.anchor)
            let log = Glibc.open(acknowledged, O_WRONLY | O_CREAT | O_APPEND, 0o600)
            let killer = Thread {
                usleep(delay)
                kill(getpid(), SIGKILL)
            }
            killer.start()
            var batch = StoreBatch()
            batch.sessions = [StoreFixture.session(1)]
            for number in 0... {
                batch.focus = (0..<20).map { index in
                    FocusRecord(
                        session: StoreFixture.uuid(1),
                        span: StoreFixture.span(Double(number * 20 + index), Double(number * 20 + index + 1)),
                        application: Application(executable: "/bin/\(number % 50)", windowClass: nil))
                }
                try writer.write(batch)
                var value = UInt64(number + 1)
                write(log, &value, 8)
            }
        }
        let log = FileManager.default.contents(atPath: acknowledged) ?? Data()
        let count = log.count / 8
        let writer = try fixture.writer()
        _ = try writer.sessionsOpen()
        let reader = try StoreReader(path: fixture.path)
        guard let stored = try reader.sessions(SessionFilter()).first else {
            #expect(count == 0)
            return
        }
        let intervals = try reader.focus(of: stored, in: F.span(0, 1e9), limit: 10_000_000)
        #expect(intervals.count >= count * 20 && intervals.count <= (count + 1) * 20 && intervals.count % 20 == 0)
        let check = try await DatabaseQueue(path: fixture.path).read { try String.fetchOne($0, sql: "PRAGMA integrity_check") }
        #expect(check == "ok")
    }

    // MARK: Opening

    @Test func aNewerStoreIsRefusedAndLeftAlone() throws {
        let fixture = try StoreFixture()
        _ = try fixture.writer()
        try DatabaseQueue(path: fixture.path).write { try $0.execute(sql: "INSERT INTO grdb_migrations VALUES ('9999')") }
        let before = try Data(contentsOf: URL(filePath: fixture.path))
        #expect { try fixture.writer() } throws: { ($0 as? StoreError)?.code == .newerSchema }
        #expect { try StoreReader(path: fixture.path) } throws: { ($0 as? StoreError)?.code == .newerSchema }
        #expect(try Data(contentsOf: URL(filePath: fixture.path)) == before)
    }

    @Test func otherFilesAreRefused() throws {
        let fixture = try StoreFixture()
        #expect { try StoreReader(path: fixture.path) } throws: { ($0 as? StoreError)?.code == .missing }
        // What is there and can't be opened is not missing: a report must not come out empty.
        try FileManager.default.createDirectory(atPath: fixture.path, withIntermediateDirectories: false)
        #expect { try StoreReader(path: fixture.path) } throws: { ($0 as? StoreError)?.code == .storage }
        try FileManager.default.removeItem(atPath: fixture.path)
        try DatabaseQueue(path: fixture.path).write { try $0.execute(sql: "CREATE TABLE other (a)") }
        #expect { try fixture.writer() } throws: { ($0 as? StoreError)?.code == .notAStore }
        #expect { try StoreReader(path: fixture.path) } throws: { ($0 as? StoreError)?.code == .notAStore }
        try Data(repeating: 0x41, count: 9000).write(to: URL(filePath: fixture.path))
        #expect { try fixture.writer() } throws: { ($0 as? StoreError)?.code == .damaged }
        try FileManager.default.removeItem(atPath: fixture.path)
        try FileManager.default.createSymbolicLink(atPath: fixture.path, withDestinationPath: "/etc/passwd")
        #expect(throws: StoreError.self) { try fixture.writer() }
    }

    @Test func theFileIsForItsGroupOnlyAndDurable() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        try writer.write(batch)
        for suffix in ["", "-wal", "-shm"] {
            let mode = try FileManager.default.attributesOfItem(atPath: fixture.path + suffix)[.posixPermissions] as? Int
            #expect(mode == 0o640, "\(suffix)")
        }
        let queue = try DatabaseQueue(path: fixture.path)
        #expect(try queue.read { try String.fetchOne($0, sql: "PRAGMA journal_mode") } == "wal")
    }

    /// The reports service is in the files' group and may write nothing: beside a writer, after its end, and after its death.
    @Test(.enabled(if: getuid() == 0), arguments: ["beside", "ended", "killed"])
    func readersNeedNoWriteAccess(writer state: String) async throws {
        let fixture = try StoreFixture()
        var writer: StoreWriter? = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        try writer?.write(batch)
        let path = fixture.path
        if state == "killed" {
            writer = nil
            await #expect(processExitsWith: .signal(SIGKILL)) { [path = path as String] in
                let writer = try StoreWriter.open(StoreFixture.place(path), anchor: StoreFixture.anchor)
                var batch = StoreBatch()
                batch.sessions = [StoreFixture.session(2)]
                try writer.write(batch)
                kill(getpid(), SIGKILL)
            }
        }
        if state == "ended" { writer = nil }
        chown(fixture.folder.path, 0, 65534)
        chmod(fixture.folder.path, 0o750)
        for suffix in ["", "-wal", "-shm", ".keys"] { chown(path + suffix, 0, 65534) }
        let sessions = state == "killed" ? 2 : 1
        let folder = fixture.folder.path
        await #expect(processExitsWith: .success) { [path = path as String, folder = folder as String, sessions = sessions as Int] in
            // The folders above may be closed to others, as a temporary folder of one's own is.
            guard chroot(folder) == 0, chdir("/") == 0, setgroups(0, nil) == 0, setgid(65534) == 0, setuid(65534) == 0 else { exit(2) }
            let path = String(path.dropFirst(folder.count))
            let reader = try StoreReader(path: path)
            let count = try reader.sessions(SessionFilter()).count
            exit(count == sessions && open(path, O_RDWR) < 0 && errno == EACCES ? 0 : 1)
        }
        withExtendedLifetime(writer) {}
    }

    // MARK: Queries

    @Test func filtersAreByUserSessionAndWallTime() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [
            F.session(1, "anna", 1001, start: 10), F.session(2, "ben", 1002, start: 20), F.session(3, "anna", 1001, start: 1000),
        ]
        batch.ended = [SessionEnd(session: F.uuid(1), at: F.at(500), reason: .logoff)]
        try writer.write(batch)
        let reader = try StoreReader(path: fixture.path)
        func sessions(_ change: (inout SessionFilter) -> Void) throws -> [UInt32] {
            var filter = SessionFilter()
            change(&filter)
            return try reader.sessions(filter).map(\.record.id.rawValue)
        }
        #expect(try sessions { _ in } == [1, 2, 3])
        #expect(try sessions { $0.login = "anna" } == [1, 3])
        #expect(try sessions { $0.uid = 1002 } == [2])
        #expect(try sessions { $0.identities = [UserIdentity(login: "anna", uid: 1001)] } == [1, 3])
        #expect(try sessions { $0.identities = [UserIdentity(login: "anna", uid: 1002)] } == [])
        #expect(try sessions { $0.id = SessionID(rawValue: 3) } == [3])
        #expect(try sessions { $0.session = F.uuid(2) } == [2])
        #expect(try sessions { $0.since = F.anchor.wall(at: F.at(600)) } == [2, 3])
        #expect(try sessions { $0.until = F.anchor.wall(at: F.at(600)) } == [1, 2])
        #expect(try reader.sessions(SessionFilter(), limit: 2).map(\.row).count == 2)
        let first = try #require(try reader.sessions(SessionFilter(), limit: 1).first)
        #expect(try reader.sessions(SessionFilter(), after: first.row).map(\.record.id.rawValue) == [2, 3])
    }

    @Test func questionsAboutTimeUseIndices() throws {
        let fixture = try StoreFixture()
        _ = try fixture.writer()
        let plans = try DatabaseQueue(path: fixture.path).read { db in
            try [
                "SELECT * FROM session WHERE start_wall < 5", "SELECT * FROM session WHERE user = 1 AND start_wall < 5",
                "SELECT start, length FROM focus_interval WHERE session = 1 AND start >= 5 AND start < 9 ORDER BY start",
                "SELECT max(start) FROM input_burst WHERE session = 1 AND start <= 9",
                "SELECT id FROM session WHERE end IS NULL AND boot = 1",
            ].map { try Row.fetchAll(db, sql: "EXPLAIN QUERY PLAN " + $0).map { $0["detail"] as String }.joined() }
        }
        for plan in plans {
            #expect(
                plan.contains("SEARCH") && (plan.contains("INDEX") || plan.contains("PRIMARY KEY")) && !plan.contains("TEMP B-TREE"),
                "\(plan)")
        }
    }

    /// Whoever gets a freed uid, or a freed name, is somebody else.
    @Test func aReusedUidIsAnotherUser() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [F.session(1, "anna", 1001)]
        try writer.write(batch)
        _ = try writer.setTracking(UserIdentity(login: "anna", uid: 1001), tracked: true, by: "root", reason: "r", at: F.anchor.wall)
        batch.sessions = [F.session(2, "carl", 1001)]
        try writer.write(batch)
        let reader = try StoreReader(path: fixture.path)
        func own(_ login: String, _ uid: UInt32) throws -> [UInt32] {
            var filter = SessionFilter()
            filter.identities = [UserIdentity(login: login, uid: uid)]
            return try reader.sessions(filter).map(\.record.id.rawValue)
        }
        #expect(try own("carl", 1001) == [2])
        #expect(try own("anna", 1001) == [])
        #expect(try writer.policy().rows.isEmpty)
        // An administrator still finds both.
        var filter = SessionFilter()
        filter.uid = 1001
        #expect(try reader.sessions(filter).count == 2)
        batch.sessions = [F.session(3, "anna", 1001)]
        try writer.write(batch)
        #expect(try own("anna", 1001) == [3])
    }

    @Test func usersAreThoseWithSessionsAndThoseDecidedAbout() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = [
            F.session(1, "anna", 1001, start: 20), F.session(2, "ben", 1002, start: 30), F.session(3, "anna", 1001, start: 10),
        ]
        batch.ended = [
            SessionEnd(session: F.uuid(1), at: F.at(90), reason: .logoff), SessionEnd(session: F.uuid(2), at: F.at(80), reason: .logoff),
        ]
        try writer.write(batch)
        let (anna, carl) = (UserIdentity(login: "anna", uid: 1001), UserIdentity(login: #"EXAMPLE\carl"#, uid: 1003))
        let moment = F.anchor.wall
        let decided = try writer.setTracking([carl, anna], tracked: true, level: .sites, by: "root", reason: "r", at: moment).map(\.row)
        let reader = try StoreReader(path: fixture.path)
        func wall(_ seconds: Double) -> WallInstant { F.anchor.wall(at: F.at(seconds)) }
        let users = try reader.users()
        #expect(users.map(\.identity.login) == ["anna", "ben", #"EXAMPLE\carl"#] && users.allSatisfy(\.isCurrent))
        #expect(users.map(\.logins) == users.map { [$0.identity.login] })
        #expect(users.map(\.sessions) == [2, 1, 0] && users.map(\.isOpen) == [true, false, false])
        #expect(users.map(\.firstSeen) == [wall(10), wall(30), nil] && users.map(\.lastSeen) == [wall(90), wall(80), nil])
        #expect(users.map(\.decision) == [decided[1], nil, decided[0]])
        // Pages, and filters.
        #expect(try reader.users(limit: 2) == Array(users[..<2]) && reader.users(after: users[1].row, limit: 2) == [users[2]])
        func logins(_ change: (inout SessionFilter) -> Void) throws -> [String] {
            var filter = SessionFilter()
            change(&filter)
            return try reader.users(filter).map(\.identity.login)
        }
        #expect(try logins { $0.login = "ben" } == ["ben"] && logins { $0.uid = 1003 } == [#"EXAMPLE\carl"#])
        #expect(try logins { $0.identities = [anna] } == ["anna"])
        #expect(try logins { $0.identities = [UserIdentity(login: "anna", uid: 1002)] } == [])
        // Another one with anna's uid: she keeps what is held about her, and no decision.
        _ = try writer.setTracking([UserIdentity(login: "dora", uid: 1001)], tracked: false, by: "root", reason: "r", at: moment)
        let after = try reader.users()
        #expect(after.map(\.isCurrent) == [false, true, true, true])
        #expect(after[0].identity == anna && after[0].decision == nil && after[0].sessions == 2)
        #expect(try logins { $0.identities = [anna] } == [])
    }

    // MARK: Policy

    @Test func whatHoldsForAUserHasABasis() throws {
        let writer = try StoreFixture().writer()
        let (anna, ben) = (UserIdentity(login: "anna", uid: 1001), UserIdentity(login: "ben", uid: 1002))
        func standing(_ user: UserIdentity) throws -> String {
            let policy = try writer.policy()
            let (isTracked, basis) = policy.standing(of: user, decision: policy.rows.first { $0.user == user })
            #expect(isTracked == policy.tracks(user))
            return "\(isTracked) \(basis.rawValue)"
        }
        #expect(try standing(anna) == "false default")
        #expect(try writer.set("new-users", to: "tracked", by: "root", reason: "", at: F.anchor.wall))
        #expect(try standing(anna) == "true default")
        _ = try writer.setTracking([anna], tracked: true, by: "root", reason: "r", at: F.anchor.wall)
        _ = try writer.setTracking([ben], tracked: false, by: "root", reason: "r", at: F.anchor.wall)
        #expect(try standing(anna) == "true decision" && standing(ben) == "false do-not-track")
        let entries = try ["ben", "uid:1002"].map { try #require(DoNotTrackList.Subject($0)) }
        #expect(try writer.setDoNotTrack(entries, listed: false, by: "root", reason: "", at: F.anchor.wall) == [true, true])
        #expect(try standing(ben) == "false decision")
    }

    @Test func policyIsKeptWithItsHistory() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        let anna = UserIdentity(login: "anna", uid: 1001)
        #expect(try !writer.policy().tracks(anna))
        #expect(try writer.set("new-users", to: "tracked", by: "root", reason: "works agreement 7", at: F.anchor.wall))
        #expect(try !writer.set("new-users", to: "tracked", by: "root", reason: "again", at: F.anchor.wall))
        #expect(try writer.policy().tracks(anna))
        // Somebody else may answer for it later.
        #expect(try writer.set("new-users", to: "tracked", by: "root", reason: "again", responsible: "Ann Lee", at: F.anchor.wall))
        #expect(try writer.policy().newUsers?.responsible == "Ann Lee")
        let (row, changed) = try writer.setTracking(anna, tracked: false, by: "boss", reason: "asked", at: F.anchor.wall)
        #expect(changed && !row.tracked && row.by == "boss" && row.level == .basic)
        #expect(try !writer.setTracking(anna, tracked: false, by: "root", reason: "again", at: F.anchor.wall).changed)
        #expect(try writer.setTracking(anna, tracked: true, level: .details, by: "root", reason: "b", at: F.anchor.wall).changed)
        for isNew in [true, false] {
            let again = try writer.setTracking([anna], tracked: true, by: "root", reason: "c", responsible: "Ann Lee", at: F.anchor.wall)
            #expect(again[0].changed == isNew && again[0].row.responsible == "Ann Lee")
        }
        let reader = try StoreReader(path: fixture.path)
        #expect(try reader.policy() == writer.policy())
        #expect(try reader.policy().level(of: anna) == .details)
        #expect(try reader.policyChanges().map(\.change.responsible).filter { !$0.isEmpty } == ["Ann Lee", "Ann Lee"])
        #expect(
            try reader.policyChanges().map(\.change).map { "\($0.user?.login ?? "") \($0.key) \($0.value) \($0.by)" } == [
                " new-users tracked root", " new-users tracked root", "anna tracked false boss", "anna do-not-track-added login boss",
                "anna do-not-track-added uid boss",
                "anna tracked true root", "anna level details root", "anna do-not-track-removed uid root",
                "anna do-not-track-removed login root", "anna tracked true root",
            ])
    }

    // MARK: Clocks

    @Test func aStepOfTheClockMakesAnAnchorAndDriftDoesNot() throws {
        let fixture = try StoreFixture()
        _ = try fixture.writer()
        func reopened(_ boot: Double, _ wallSeconds: Double) throws -> [ClockAnchor] {
            let writer = try fixture.writer(
                anchor: ClockAnchor(boot: F.at(boot), wall: F.anchor.wall.advanced(by: .nanoseconds(Int64(wallSeconds * 1e9)))))
            var batch = StoreBatch()
            batch.sessions = [F.session(1)]
            try writer.write(batch)
            return try StoreReader(path: fixture.path).sessions(SessionFilter())[0].anchors.anchors
        }
        #expect(try reopened(100, 100.1).count == 1)
        #expect(try reopened(200, 3800).count == 2)
        let writer = try fixture.writer(anchor: ClockAnchor(boot: F.at(300), wall: F.anchor.wall.advanced(by: .seconds(3900))))
        var batch = StoreBatch()
        batch.anchors = [ClockAnchor(boot: F.at(400), wall: F.anchor.wall)]
        try writer.write(batch)
        #expect(
            try StoreReader(path: fixture.path).sessions(SessionFilter())[0].anchors.wall(at: F.at(401))
                == F.anchor.wall.advanced(by: .seconds(1)))
    }

    @Test func rowsOnTheBusComeBackAsTheyWere() throws {
        let contents: [ActivityRow.Content] = [
            .session(SessionID(rawValue: 4), stack: "x2go"), .focus(nil, switches: 0),
            .focus(Application(executable: "/usr/bin/a", windowClass: nil), switches: 3),
            .focus(Application(executable: nil, windowClass: nil), switches: 0),
            .burst(.synthetic), .unknown(.collectorDown, lost: 9), .state(.disconnected),
            .session(SessionID(rawValue: 4), stack: "xrdp", ended: .logoff),
            .state(.connected, clientAddress: "192.0.2.7", clientName: "desk"),
        ]
        for content in contents {
            for end in [nil, F.at(9)] {
                let row = ActivityRow(
                    session: F.uuid(1), user: UserIdentity(login: "anna", uid: 1001), content: content, start: F.at(3), end: end,
                    now: F.at(10),
                    anchor: F.anchor)
                #expect(ActivityRow(fields: row.fields) == row)
                for key in row.fields.keys { #expect(ActivityRow(fields: row.fields.filter { $0.key != key }) == nil) }
            }
        }
    }

    @Test func hashesAreThoseOfTheStandard() {
        func hex(_ text: String) -> String { SHA256.digest(Array(text.utf8)).map { String(format: "%02x", $0) }.joined() }
        #expect(hex("") == "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
        #expect(hex("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad")
        #expect(
            hex("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq")
                == "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1")
        #expect(hex(String(repeating: "a", count: 1000)) == "41edece42d63e8d9bf515a9ba6932e1c20cbc9f5a5d134645adb5db1b9737ea3")
        #expect(Application(executable: nil, windowClass: "a").key != Application(executable: "a", windowClass: nil).key)
    }

    /// The aim is 60 bytes a span; a span here is a focus interval with half a burst.
    @Test func aSpanTakesFewBytes() throws {
        let fixture = try StoreFixture()
        let writer = try fixture.writer()
        var batch = StoreBatch()
        batch.sessions = (1...20).map { F.session(UInt64($0), "user\($0)", UInt32(1000 + $0)) }
        try writer.write(batch)
        func pages() throws -> Int {
            try DatabaseQueue(path: fixture.path).writeWithoutTransaction { db in
                try db.execute(sql: "PRAGMA wal_checkpoint(TRUNCATE)")
                return try Int.fetchOne(db, sql: "PRAGMA page_count") ?? 0
            }
        }
        let before = try pages()
        let count = 20_000
        for step in 0..<(count / 20) {
            batch = StoreBatch()
            for number in 1...20 {
                let start = 432_000.123456789 + Double(step) * 17.3 + Double(number) * 0.01
                let application = Application(executable: "/usr/lib/app/\(step * number % 40)", windowClass: "App")
                batch.focus.append(
                    FocusRecord(session: F.uuid(UInt64(number)), span: F.span(start, start + 17.2), application: application))
                if step % 2 == 0 {
                    batch.bursts.append(
                        BurstRecord(
                            session: F.uuid(UInt64(number)), burst: InputBurst(start: F.at(start), end: F.at(start + 30), origin: .device)))
                }
            }
            try writer.write(batch)
        }
        let bytes = Double((try pages() - before) * 4096) / Double(count)
        print("bytes a span: \(bytes)")
        #expect(bytes < 90)
    }
}
