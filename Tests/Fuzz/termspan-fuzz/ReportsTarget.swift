import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore

@testable import TermspanCommands
@testable import TermspanReports

extension FuzzInput {
    /// What the collector could tell of one of two sessions, with any times and any text that a user can choose.
    fileprivate mutating func row() -> ActivityRow? {
        let now: UInt64 = 50_000_000_000
        guard let session = UUIDv7(bytes: [0, 0, 0, 0, 0, 0, 0x70, 0, 0x80, 0, 0, 0, 0, 0, 0, byte() & 1]) else { return nil }
        let user = UserIdentity(login: "user", uid: 1000)
        let content: ActivityRow.Content
        switch byte() % 6 {
        case 0, 1: content = .session(SessionID(rawValue: 1), stack: "xrdp")
        case 2:
            content = .focus(
                bool() ? Application(executable: text(atMost: 40), windowClass: text(atMost: 20)) : nil, switches: UInt32(byte()))
        case 3: content = .burst(.device)
        case 4: content = .unknown(.eventsLost, lost: integer())
        default:
            content = .state(
                StateChange.Kind(rawValue: byte() % 9) ?? .locked, clientAddress: bool() ? text(atMost: 20) : "", clientName: "")
        }
        let start = moment(around: now)
        let end: BootInstant? = bool() ? moment(around: now) : nil
        return ActivityRow(
            session: session, user: user, content: content, start: start, end: end, now: moment(around: now),
            anchor: ClockAnchor(boot: moment(around: now), wall: WallInstant(nanoseconds: integer())))
    }
}

extension FuzzTarget {
    static var reports: FuzzTarget {
        let session: [UInt8] = [0, 0, 1, 0, 0, 0, 0, 0, 0, 7, 7] + [UInt8](repeating: 1, count: 8)
        let focus: [UInt8] =
            [0, 2, 1, 8] + Array("/bin/a\"\u{1}".utf8) + [3] + Array("Abc".utf8) + [0, 1, 0, 0, 0, 1, 7, 7, 7] + [0, 0, 0, 0, 0, 0, 0, 1]
        return FuzzTarget(
            name: "fuzz-reports", about: "answers of the reports from any activity of users: whole, in JSON, and shown", longest: 1024,
            seeds: [[0] + session + focus + focus, [1] + session + [1] + focus, [2] + focus + session]
        ) { bytes in
            var input = FuzzInput(bytes)
            let kinds: [Question.Kind] = [.spans, .sessions, .userTimes, .history, .events, .users, .records, .report]
            let kind = kinds[input.number(below: kinds.count)]
            let logins = kind == .users ? [input.text(atMost: 20), input.text(atMost: 20)] : []
            var rows: [ActivityRow] = []
            while !input.isEmpty, rows.count < 40 { if let row = input.row() { rows.append(row) } }
            let table = SpanTable()
            do {
                var question = Question(kind: kind, filter: SessionFilter(), thresholds: Thresholds(), live: rows)
                question.present = logins.map { UserIdentity(login: $0, uid: 1000) }
                try Answer(question, reader: nil).write { line in
                    // A sign of life, which does not go out.
                    if line.isEmpty { return }
                    let text = String(decoding: line.dropLast(), as: UTF8.self)
                    require(line.last == UInt8(ascii: "\n") && Oracle.isJSON(text), "a line of an answer is JSON: \(text)")
                    guard let value = JSONValue(line) else { return require(false, "the command understands the answer: \(text)") }
                    require(isFitToPrint(table.line(value)), "what is shown of an answer is fit to print")
                }
            } catch {
                require(false, "an answer is made: \(error)")
            }
        }
    }
}
