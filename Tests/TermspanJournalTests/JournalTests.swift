import TermspanCore
import Testing

@testable import TermspanJournal

@Suite struct JournalTests {
    @Test func messageIDsAreTheDocumentedOnes() {
        #expect(JournalEvent.sessionOpened.messageID.description == "6a1f0c52b8d94c0e9f0e5b7d3c1a7e01")
        #expect(JournalEvent.configurationError.messageID.description == "6a1f0c52b8d94c0e9f0e5b7d3c1a7e0e")
        #expect(Set(JournalEvent.allCases.map(\.messageID)).count == JournalEvent.allCases.count)
    }

    @Test func valuesCanNotBecomeFields() {
        var record = JournalRecord(.sessionOpened, "Opened\n_UID=0\u{1B}[31m")
        record.add(
            session: SessionID(rawValue: 3), uuid: nil, user: "eve\nUSER_ID=root", logindSessions: ["c1", "c2"], leader: 12, stack: "xrdp")
        record.add(.clientAddress, "")
        record.add(.reason, nil)
        let texts = record.encoded.map { String(decoding: $0, as: UTF8.self) }
        #expect(texts[0] == "MESSAGE=Opened _UID=0 [31m")
        #expect(
            texts.dropFirst() == [
                "PRIORITY=6", "MESSAGE_ID=6a1f0c52b8d94c0e9f0e5b7d3c1a7e01", "TERMSPAN_EVENT=session-opened", "TERMSPAN_SESSION=3",
                "USER_ID=eve\nUSER_ID=root", "SESSION_ID=c1", "SESSION_ID=c2", "LEADER=12", "TERMSPAN_STACK=xrdp",
            ])
        record.add(.reason, String(repeating: "x", count: 100_000))
        #expect(record.encoded.last?.count ?? 0 < 5000)
    }

    @Test func namesOfFieldsAreChecked() {
        #expect(JournalField.isValid("TERMSPAN_X1"))
        for name in ["", "_UID", "lower", "A=B", "1A", "A\nB", String(repeating: "A", count: 65)] { #expect(!JournalField.isValid(name)) }
    }

    @Test func filtersTrustOnlyTheCollector() {
        let filter = JournalFilter(session: .id(SessionID(rawValue: 2)), user: "eve\nX=1", events: [.sessionOpened])
        #expect(
            filter.matches == [
                "_UID=0", "_SYSTEMD_UNIT=termspand.service", "TERMSPAN_SESSION=2", "USER_ID=eve\nX=1",
                "MESSAGE_ID=6a1f0c52b8d94c0e9f0e5b7d3c1a7e01",
            ])
        let uuid = "0190b2f4-0000-7000-8000-000000000001"
        #expect(JournalFilter(session: JournalFilter.Session(uuid), events: [.sessionLocked]).matches[2] == "TERMSPAN_SESSION_UUID=\(uuid)")
        #expect(JournalFilter.Session("3") == .id(SessionID(rawValue: 3)) && JournalFilter.Session("3\nUSER_ID=root") == nil)
        #expect(Set(JournalEvent.notifications.values).count == 6)
        #expect(JournalFilter().matches.count == 2 + JournalEvent.allCases.count)
    }

    @Test func messagesCarryTheirFields() {
        let record = Log.record(.warning, "A probe ended", [.session: "3", .reason: "killed"])
        #expect(record.fields.first?.value == "A probe ended (TERMSPAN_SESSION=3, TERMSPAN_REASON=killed)")
        #expect(record.fields.map(\.field) == [.message, .priority, .session, .reason])
    }

    @Test func aFolderWithoutJournalsIsEmpty() throws {
        let reader = try JournalReader(JournalFilter(), directory: "/usr/share/man")
        #expect(try reader.next() == nil)
    }

    @Test func entriesAreRead() {
        let entry = JournalEntry(time: WallInstant(nanoseconds: 1), fields: ["TERMSPAN_EVENT": ["session-closed"], "USER_ID": ["a", "b"]])
        #expect(entry.event == .sessionClosed)
        #expect(entry.first(.user) == "a")
    }
}
