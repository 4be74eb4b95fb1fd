import TermspanBus
import TermspanCore
import TermspanJournal
import Testing

@testable import TermspanCommands

@Suite struct JournalSessionsTests {
    /// 2026-01-02T03:04:05Z
    static let begin: Int64 = 1_767_323_045

    static func at(_ seconds: Int64) -> WallInstant { WallInstant(nanoseconds: (begin + seconds) * 1_000_000_000) }

    /// The UUID of a session that was first seen so many seconds after the beginning.
    static func uuid(_ seconds: Int64) -> UUIDv7 {
        struct Zeros: RandomNumberGenerator { mutating func next() -> UInt64 { 0 } }
        var zeros = Zeros()
        return UUIDv7(at: at(seconds), using: &zeros)
    }

    static func entry(
        _ event: JournalEvent, _ seconds: Int64, of uuid: UUIDv7?, user: String? = "anna", _ more: [JournalField: String] = [:]
    ) -> JournalEntry {
        var fields = [JournalField.event.name: [event.rawValue], JournalField.session.name: ["3"], JournalField.stack.name: ["xrdp"]]
        if let uuid { fields[JournalField.sessionUUID.name] = [uuid.description] }
        if let user { fields[JournalField.user.name] = [user] }
        for (field, value) in more { fields[field.name] = [value] }
        return JournalEntry(time: at(seconds), fields: fields)
    }

    /// A session from 0 to 500 with two clients, a lock, and the address of the last one still in its last record, as the collector writes it.
    static let life = [
        entry(.sessionOpened, 0, of: uuid(0), [.clientAddress: "192.0.2.7"]),
        entry(.sessionConnected, 1, of: uuid(0), [.clientAddress: "192.0.2.7", .clientName: "desk"]),
        entry(.sessionLocked, 50, of: uuid(0)), entry(.sessionUnlocked, 60, of: uuid(0)),
        entry(.sessionDisconnected, 100, of: uuid(0), [.clientAddress: "192.0.2.7"]),
        entry(.sessionConnected, 200, of: uuid(0), [.clientAddress: "192.0.2.8"]),
        entry(.sessionConnected, 300, of: uuid(0), [.clientAddress: "192.0.2.7"]),
        entry(.sessionClosed, 500, of: uuid(0), [.clientAddress: "192.0.2.7"]),
    ]

    static func sessions(_ entries: [JournalEntry], limit: Int = JournalSessions.recordLimit) -> JournalSessions {
        var sessions = JournalSessions(limit: limit)
        for entry in entries { sessions.add(entry) }
        return sessions
    }

    static func row(_ uuid: UUIDv7, _ user: String = "anna", state: String = "active") -> SessionRow {
        SessionRow([
            "id": .uint32(3), "uuid": .string(uuid.description), "user": .string(user), "uid": .uint32(1001), "state": .string(state),
            "stack": .string("ssh"),
        ])
    }

    /// All rows that come before a row of the store, or nil for its end.
    static func rows(_ rows: inout JournalRows, before row: JSONValue?) -> [JSONValue] {
        var result: [JSONValue] = []
        while let next = rows.next(before: row) { result.append(next) }
        return result
    }

    static func rows(
        _ sessions: JournalSessions, events: Bool = false, since: WallInstant? = nil, until: WallInstant? = nil
    ) -> [JSONValue] {
        var rows = JournalRows(sessions, events: events, since: since, until: until)
        return Self.rows(&rows, before: nil)
    }

    @Test func aSessionsLifeIsTold() throws {
        let row = try #require(Self.rows(Self.sessions(Self.life)).first)
        #expect(
            row.text == """
                {"user":"anna","uid":null,"session":3,"session_uuid":"\(Self.uuid(0))","stack":"xrdp","logon":"2026-01-02T03:04:05.000000Z",\
                "start":null,"end":"2026-01-02T03:12:25.000000Z","open":false,"end_reason":null,"connects":3,"disconnects":1,"locks":1,\
                "unlocks":1,"client_addresses":["192.0.2.7","192.0.2.8"],"total":null,"active":null,"passive":null,"inactive":null,\
                "locked":null,"disconnected":null,"paused":null,"suspended":null,"unknown":null}
                """)
        let cells = HistoryTable().cells(row)
        #expect(cells[0] == "anna" && cells[5...] == ["3", "", "", "192.0.2.7 192.0.2.8"])
        let lines = Self.rows(Self.sessions(Self.life), events: true)
        #expect(
            lines.map { $0["event"]?.string }
                == ["logon", "connect", "lock", "unlock", "disconnect", "connect", "connect", "logoff"])
        // A client is told of where one comes or goes.
        #expect(lines.map { $0["client_address"]?.string != nil } == [false, true, false, false, true, true, true, false])
        #expect(lines[1]["client_name"]?.string == "desk" && lines[1]["time"]?.string == "2026-01-02T03:04:06.000000Z")
        guard case .object(let members) = lines[1] else { throw CommandError(.failure, "no object") }
        #expect(members.map(\.key) == EventTable().keys)
    }

    /// Other records of the collector, and what is nobody's session.
    @Test func otherRecordsTellNothing() {
        #expect(
            Self.sessions([
                Self.entry(.probeStarted, 0, of: Self.uuid(0)), Self.entry(.sessionOpened, 0, of: nil),
                Self.entry(.sessionOpened, 0, of: Self.uuid(0), user: nil),
                Self.entry(.sessionOpened, 0, of: nil, [.sessionUUID: "3"]),
            ]).isEmpty)
    }

    /// The journal has lost the beginning: how often something happened is not known any more.
    @Test func whatTheJournalForgotIsNotMadeUp() throws {
        let row = try #require(Self.rows(Self.sessions(Array(Self.life[5...]))).first)
        #expect(row["logon"]?.string == "2026-01-02T03:04:05.000000Z" && row["end"]?.string == "2026-01-02T03:12:25.000000Z")
        #expect(["connects", "disconnects", "locks", "unlocks"].allSatisfy { row[$0] == .null })
        #expect(row["client_addresses"] == .array([.string("192.0.2.8"), .string("192.0.2.7")]))
        let events = Self.rows(Self.sessions(Array(Self.life[5...])), events: true)
        #expect(events.map { $0["event"]?.string } == ["connect", "connect", "logoff"])
    }

    @Test func whetherItLastsIsTheCollectorsToTell() throws {
        var sessions = Self.sessions(Self.life.dropLast() + [Self.entry(.sessionOpened, 9, of: Self.uuid(9))])
        func open() -> [JSONValue?] { Self.rows(sessions).map { $0["open"] } }
        #expect(open() == [.null, .null])
        sessions.note(present: [])
        #expect(open() == [.bool(false), .bool(false)])
        // One of which the journal has forgotten all, too, but no logon screen.
        sessions.note(present: [
            Self.row(Self.uuid(9)), Self.row(Self.uuid(1), "ben"), Self.row(Self.uuid(2), "lightdm", state: "connected"),
        ])
        #expect(open() == [.bool(false), .bool(true), .bool(true)])
        let rows = Self.rows(sessions)
        #expect(rows.allSatisfy { $0["end"] == .null } && rows.map { $0["user"]?.string } == ["anna", "ben", "anna"])
        #expect(rows.map { $0["uid"]?.unsigned } == [nil, 1001, 1001] && rows.map { $0["connects"]?.unsigned } == [3, nil, 0])
        // A record of its end is surer than a table that is about to lose it.
        sessions.add(Self.life[7])
        sessions.note(present: [Self.row(Self.uuid(0))])
        #expect(open().first == .bool(false))
    }

    /// The record is of the next boot; when the session ended is not known.
    @Test func aRebootIsNoMomentOfALogoff() throws {
        let sessions = Self.sessions([Self.life[0], Self.entry(.sessionClosed, 900, of: Self.uuid(0), [.reason: "reboot"])])
        let row = try #require(Self.rows(sessions).first)
        #expect(row["end"] == .null && row["open"] == .bool(false) && row["end_reason"]?.string == "reboot")
        #expect(Self.rows(sessions, events: true).map { $0["event"]?.string } == ["logon"])
    }

    @Test func rangesChooseSessionsAndCutEvents() {
        let unended = [Self.entry(.sessionOpened, 100, of: Self.uuid(100)), Self.entry(.sessionConnected, 110, of: Self.uuid(100))]
        func chosen(_ since: Int64?, _ until: Int64?, present: [SessionRow] = []) -> [UUIDv7] {
            var sessions = Self.sessions(Self.life + unended)
            sessions.note(present: present)
            sessions.restrict(since: since.map(Self.at), until: until.map(Self.at))
            return sessions.ordered.map(\.uuid)
        }
        let (first, second) = (Self.uuid(0), Self.uuid(100))
        #expect(chosen(nil, nil) == [first, second] && chosen(nil, 100) == [first] && chosen(nil, 0) == [])
        // As far as it is known.
        #expect(chosen(109, nil) == [first, second] && chosen(110, nil) == [first] && chosen(500, nil) == [])
        #expect(chosen(500, nil, present: [Self.row(second)]) == [second])
        let events = Self.rows(Self.sessions(Self.life), events: true, since: Self.at(1), until: Self.at(60))
        #expect(events.map { $0["event"]?.string } == ["connect", "lock"])
    }

    /// Each is told once, among the store's in the order of their beginnings.
    @Test func theStoresRowsStayAndOthersComeBetween() {
        func stored(_ seconds: Int64) -> JSONValue { .object([.init("session_uuid", .string(Self.uuid(seconds).description))]) }
        var sessions = Self.sessions([0, 10, 20, 30, 40].map { Self.entry(.sessionOpened, $0, of: Self.uuid($0)) })
        sessions.remove(Self.uuid(10))
        var rows = JournalRows(sessions)
        func next(_ row: JSONValue?) -> [String?] { Self.rows(&rows, before: row).map { $0["session_uuid"]?.string } }
        func uuids(_ seconds: Int64...) -> [String?] { seconds.map { Self.uuid($0).description } }
        #expect(next(stored(10)) == uuids(0) && next(stored(10)) == [] && next(stored(25)) == uuids(20))
        // One that came into the store meanwhile.
        #expect(next(stored(30)) == [] && next(stored(5)) == [] && next(.null) == [])
        #expect(next(nil) == uuids(40) && next(nil) == [])
    }

    @Test func theOldestAreGivenUpBeyondTheLimit() {
        var sessions = Self.sessions((0..<20).map { Self.entry(.sessionOpened, $0, of: Self.uuid($0)) }, limit: 20)
        #expect(!sessions.isCut && sessions.ordered.count == 20)
        sessions.add(Self.entry(.sessionOpened, 20, of: Self.uuid(20)))
        #expect(sessions.isCut && sessions.ordered.map(\.uuid) == (3...20).map { Self.uuid($0) })
        // What is told of them later does not bring a part of them back.
        sessions.add(Self.entry(.sessionClosed, 21, of: Self.uuid(1)))
        #expect(sessions.ordered.count == 18 && sessions.earliest == Self.at(3))
    }
}
