import Foundation
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore
import Testing

@testable import TermspanReports

/// A store in a folder of its own, filled by folds as the collector does it.
final class ReportsFixture {
    static let anchor = ClockAnchor(boot: .zero, wall: WallInstant(nanoseconds: 1_767_323_045_000_000_000))
    static let boot = ID128(high: 1, low: 1)

    let folder: URL
    var path: String { folder.appending(path: "termspan.db").path }
    let keys: KeyPlace
    let writer: StoreWriter

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "termspan-reports-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
        let path = folder.appending(path: "termspan.db").path
        keys = KeyPlace(path: path + ".keys", masters: [SecretKey()])
        let place = StorePlace(path: path, machine: ID128(high: 7, low: 7), boot: Self.boot, keys: keys)
        writer = try StoreWriter.open(place, anchor: Self.anchor)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    static func at(_ seconds: Double) -> BootInstant { BootInstant(nanoseconds: UInt64(seconds * 1e9)) }

    static func wall(_ seconds: Double) -> WallInstant { anchor.wall(at: at(seconds)) }

    static func uuid(_ number: UInt64) -> UUIDv7 {
        UUIDv7(bytes: ID128(high: (1_767_323_045_000 + number) << 16 | 0x7000, low: 0x8000_0000_0000_0000 | number).bytes)!
    }

    static func session(_ number: UInt64, _ login: String = "anna", _ uid: UInt32 = 1001, start: Double = 10) -> SessionRecord {
        SessionRecord(
            uuid: uuid(number), id: SessionID(rawValue: UInt32(number)), user: UserIdentity(login: login, uid: uid), stack: "xrdp",
            start: at(start))
    }

    /// Records that the store and the collector hold of one session: durable ones up to a moment, the rest as live rows.
    struct Half {
        var batch = StoreBatch()
        var rows: [ActivityRow] = []
    }

    /// Runs a random session; what its fold hands out before `durable` is durable, what comes later is live.
    static func random(
        _ session: SessionRecord, until now: Double, durable: Double, _ random: inout some RandomNumberGenerator
    ) -> Half {
        var half = Half()
        var pending = StoreBatch()
        var fold = SessionFold()
        fold.begin(at: session.start)
        var moment = Double(session.start.nanoseconds) / 1e9 + 1
        func take(_ output: FoldOutput) {
            if moment <= durable {
                half.batch.append(output, of: session.uuid) { _ in "/usr/bin/app" }
            } else {
                pending.append(output, of: session.uuid) { _ in "/usr/bin/app" }
            }
        }
        half.batch.sessions = [session]
        func focus() -> Focus {
            Focus(
                window: UInt32.random(in: 0..<4, using: &random), process: .none,
                windowClass: WindowClass("Class\(Int.random(in: 0..<3, using: &random))".utf8))
        }
        while moment < now {
            let at = at(moment)
            switch Int.random(in: 0..<10, using: &random) {
            case 0..<5: fold.apply(.focusChanged(focus()), at: at, emit: take)
            case 5: fold.apply(.inputBegan(InputEdge(effective: at, origin: .device)), at: at, emit: take)
            case 6: fold.apply(.inputEnded(InputEdge(effective: at, origin: .device)), at: at, emit: take)
            case 7: fold.lost(1, before: at, emit: take)
            case 8:
                let kind = StateChange.Kind.allCases.randomElement(using: &random)!
                let event = SessionEvent(session: session.uuid, change: StateChange(kind, at: at))
                if moment <= durable { half.batch.events.append(event) } else { pending.events.append(event) }
            default:
                fold.apply(
                    .snapshot(Snapshot(id: 1, focus: focus(), inputOpen: Bool.random(using: &random), lastInput: nil)), at: at, emit: take)
            }
            moment += Double.random(in: 0.1...60, using: &random)
        }
        half.rows = [
            ActivityRow(
                session: session.uuid, user: session.user, content: .session(session.id, stack: session.stack), start: session.start,
                end: nil,
                now: at(now), anchor: anchor)
        ]
        half.rows += ActivityRow.rows(of: pending, now: at(now), anchor: anchor) { _ in session.user }
        half.rows += ActivityRow.rows(
            of: fold.open(at: at(now)), session: session.uuid, user: session.user, executable: "/usr/bin/app", now: at(now), anchor: anchor)
        return half
    }

    /// Everything that an answer says, line by line.
    ///
    /// - Parameter shippedRules: in place of those that the machine may have.
    func lines(_ question: Question, page: Int = 2000, shippedRules: String = "/nonexistent") throws -> [[String: Any]] {
        var answer = Answer(question, reader: try StoreReader(path: path, keys: keys))
        answer.page = page
        answer.classes.shippedRules = shippedRules
        var lines: [[String: Any]] = []
        try answer.write { line in
            // Nothing is said, but that it goes on.
            guard !line.isEmpty else { return }
            #expect(line.last == UInt8(ascii: "\n") && line.filter { $0 == UInt8(ascii: "\n") }.count == 1)
            lines.append(try #require(JSONSerialization.jsonObject(with: Data(line)) as? [String: Any]))
        }
        return lines
    }

    func text(
        _ question: Question, page: Int = 2000, accounts: AccountLookup.Question? = nil, members: AccountLookup.Listing? = nil
    ) throws -> String {
        var answer = Answer(question, reader: try StoreReader(path: path, keys: keys))
        answer.page = page
        answer.classes.shippedRules = "/nonexistent"
        if let accounts { answer.accounts = accounts }
        if let members { answer.members = members }
        var bytes: [UInt8] = []
        try answer.write { bytes += $0 }
        return String(decoding: bytes, as: UTF8.self)
    }
}

extension Question {
    init(_ kind: Kind, live: [ActivityRow]? = nil) {
        self.init(kind: kind, filter: SessionFilter(), thresholds: Thresholds(), live: live)
    }
}
