import Foundation
import SeededRandom
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

@Suite struct SessionHistoryTests {
    typealias F = ReportsFixture

    static func event(_ kind: StateChange.Kind, _ seconds: Double, _ address: String = "", _ name: String = "") -> SessionEvent {
        SessionEvent(session: F.uuid(1), change: StateChange(kind, at: F.at(seconds)), clientAddress: address, clientName: name)
    }

    /// A session with a client, a break, another client, a lock, and states that were only told again.
    static let events = [
        event(.disconnected, 1), event(.connected, 2, "192.0.2.7"), event(.connected, 3, "192.0.2.7", "desk"),
        event(.disconnected, 100, "192.0.2.7", "desk"), event(.unlocked, 110), event(.connected, 200, "192.0.2.8"),
        event(.locked, 300), event(.unlocked, 310), event(.connected, 400, "192.0.2.9"),
    ]

    static func fill(_ writer: StoreWriter, durable: Int = events.count) throws -> [ActivityRow] {
        let session = F.session(1, start: 1)
        var (batch, pending) = (StoreBatch(), StoreBatch())
        batch.sessions = [session]
        batch.focus = [FocusRecord(session: session.uuid, span: F.span(1, 500), application: nil)]
        batch.bursts = [BurstRecord(session: session.uuid, burst: InputBurst(start: F.at(20), end: F.at(30), origin: .device))]
        batch.events = Array(events[..<durable])
        pending.events = Array(events[durable...])
        pending.ended = [SessionEnd(session: session.uuid, at: F.at(500), reason: .logoff)]
        if durable == events.count { batch.ended = pending.ended }
        try writer.write(batch)
        pending.sessions = [session]
        return ActivityRow.rows(of: pending, now: F.at(600), anchor: F.anchor) { _ in session.user }
    }

    /// Wherever the line between durable and live runs.
    @Test(arguments: [0, 4, 9]) func aSessionsLifeIsTold(durable: Int) throws {
        let fixture = try F()
        let rows = try Self.fill(fixture.writer, durable: durable)
        let line = try #require(try fixture.lines(Question(.history, live: rows)).first)
        #expect(line["logon"] as? String == "2026-01-02T03:04:05.001000Z" && line["start"] as? String == "2026-01-02T03:04:06.000000Z")
        #expect(line["end"] as? String == "2026-01-02T03:12:25.000000Z" && line["end_reason"] as? String == "logoff")
        #expect(["connects", "disconnects", "locks", "unlocks"].map { line[$0] as? Int } == [3, 1, 1, 1])
        #expect(line["client_addresses"] as? [String] == ["192.0.2.7", "192.0.2.8", "192.0.2.9"])
        #expect(["total", "disconnected", "locked", "active"].map { AnswerTests.number(line[$0]) } == [499, 101, 10, 80])
        let events = try fixture.lines(Question(.events, live: rows))
        #expect(
            events.map { $0["event"] as? String }
                == ["logon", "connect", "disconnect", "connect", "lock", "unlock", "connect", "logoff"])
        #expect(events[2]["client_name"] as? String == "desk" && events[2]["client_address"] as? String == "192.0.2.7")
        #expect(events.last?["reason"] as? String == "logoff" && events[1]["reason"] is NSNull)
    }

    @Test func rangesChooseSessionsAndCutEvents() throws {
        let fixture = try F()
        _ = try Self.fill(fixture.writer)
        func ask(_ kind: Question.Kind, _ since: Double?, _ until: Double?) throws -> [[String: Any]] {
            var question = Question(kind)
            question.filter.since = since.map(F.wall)
            question.filter.until = until.map(F.wall)
            return try fixture.lines(question)
        }
        let whole = try ask(.history, nil, nil)
        #expect(try ask(.history, 250, 260).map { AnswerTests.number($0["total"]) } == whole.map { AnswerTests.number($0["total"]) })
        #expect(try ask(.history, 501, nil).isEmpty)
        #expect(try ask(.events, 150, 305).map { $0["event"] as? String } == ["connect", "lock"])
        // Each event is in one of two ranges that meet, whatever the moment is.
        let count = try ask(.events, nil, nil).count
        for moment in [1.5, 2, 100, 300, 310, 499.9] {
            #expect(try ask(.events, nil, moment).count + ask(.events, moment, nil).count == count, "\(moment)")
        }
    }

    /// Locks and connects alternate with what ends them, whatever was told.
    @Test(arguments: 0..<30) func onlyChangesAreTold(seed: Int) throws {
        var random = SeededRandom(seed: UInt64(seed))
        let fixture = try F()
        var batch = StoreBatch()
        batch.sessions = [F.session(1)]
        batch.events = (0..<50).map { index in
            Self.event(
                StateChange.Kind.allCases.randomElement(using: &random)!, 10 + Double(index), ["", "a", "b"].randomElement(using: &random)!)
        }
        batch.seen = F.at(100)
        try fixture.writer.write(batch)
        let events = try fixture.lines(Question(.events)).compactMap { $0["event"] as? String }
        #expect(events.first == "recorded" && !events.contains("logoff"))
        for pair in [["lock", "unlock"], ["pause", "resume"], ["sleep", "wake"]] {
            let turns = events.filter(pair.contains)
            #expect(turns == turns.indices.map { pair[$0 % 2] })
        }
        var isConnected = false
        for event in events where event == "connect" || event == "disconnect" {
            #expect(event == "connect" || isConnected)
            isConnected = event == "connect"
        }
        let line = try #require(try fixture.lines(Question(.history)).first)
        #expect(line["end"] is NSNull && line["end_reason"] is NSNull && line["open"] as? Bool == true)
        #expect(line["locks"] as? Int == events.count { $0 == "lock" })
    }
}
