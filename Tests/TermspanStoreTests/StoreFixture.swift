import Foundation
import TermspanAccounting
import TermspanCore
import TermspanEvents

@testable import TermspanStore

/// A folder of its own that goes when the test does, and values to fill a store with.
final class StoreFixture {
    let folder: URL
    var path: String { folder.appending(path: "termspan.db").path }

    static let machine = ID128(high: 0x0123_4567_89AB_CDEF, low: 0xFEDC_BA98_7654_3210)
    static let boot = ID128(high: 1, low: 1)
    static let laterBoot = ID128(high: 2, low: 2)
    /// The boot began at 2026-01-02T03:04:05Z.
    static let anchor = ClockAnchor(boot: .zero, wall: WallInstant(nanoseconds: 1_767_323_045_000_000_000))

    init() throws {
        folder = FileManager.default.temporaryDirectory.appending(path: "termspan-store-\(UUID().uuidString)")
        try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    }

    deinit { try? FileManager.default.removeItem(at: folder) }

    func writer(boot: ID128 = StoreFixture.boot, anchor: ClockAnchor = StoreFixture.anchor) throws -> StoreWriter {
        try StoreWriter.open(Self.place(path, boot: boot), anchor: anchor)
    }

    static let master = SecretKey(bytes: 1...32)!

    /// A store with its keys beside it.
    static func place(_ path: String, boot: ID128 = StoreFixture.boot) -> StorePlace {
        StorePlace(path: path, machine: machine, boot: boot, keys: KeyPlace(path: path + ".keys", masters: [master]))
    }

    static func at(_ seconds: Double) -> BootInstant { BootInstant(nanoseconds: UInt64(seconds * 1e9)) }

    static func span(_ start: Double, _ end: Double) -> TimeSpan { TimeSpan(start: at(start), end: at(end)) }

    static func uuid(_ number: UInt64) -> UUIDv7 {
        UUIDv7(bytes: ID128(high: (1_767_323_045_000 + number) << 16 | 0x7000, low: 0x8000_0000_0000_0000 | number).bytes)!
    }

    static func session(_ number: UInt64, _ login: String = "anna", _ uid: UInt32 = 1001, start: Double = 10) -> SessionRecord {
        SessionRecord(
            uuid: uuid(number), id: SessionID(rawValue: UInt32(number)), user: UserIdentity(login: login, uid: uid), stack: "xrdp",
            start: at(start))
    }

    /// A session with two focus intervals, one in an application of the session's own, a burst, an unknown interval and an address.
    static func batch(_ session: SessionRecord, ended: Bool) -> StoreBatch {
        var batch = StoreBatch()
        let uuid = session.uuid
        batch.sessions = [session]
        batch.events = [
            SessionEvent(
                session: uuid, change: StateChange(.connected, at: at(11)), clientAddress: "192.0.2.\(session.id)", clientName: "PC"),
            SessionEvent(session: uuid, change: StateChange(.locked, at: at(30))),
        ]
        batch.focus = [
            FocusRecord(
                session: uuid, span: span(12, 20), application: Application(executable: "/usr/bin/shared", windowClass: "Shared")),
            FocusRecord(
                session: uuid, span: span(20, 25),
                application: Application(executable: "/opt/own-\(session.user.login)", windowClass: nil)),
        ]
        batch.bursts = [BurstRecord(session: uuid, burst: InputBurst(start: at(13), end: at(19), origin: .device))]
        batch.unknowns = [
            UnknownRecord(session: uuid, interval: UnknownInterval(start: at(10), end: at(12), reason: .starting))
        ]
        if ended { batch.ended = [SessionEnd(session: uuid, at: at(60), reason: .logoff)] }
        return batch
    }
}

extension StoreWriter {
    /// Decides about one user.
    func setTracking(
        _ user: UserIdentity, tracked: Bool, level: PrivacyLevel? = nil, by: String, reason: String, at moment: WallInstant
    ) throws -> (row: Policy.Row, changed: Bool) {
        try setTracking([user], tracked: tracked, level: level, by: by, reason: reason, at: moment)[0]
    }
}

extension StoreReader {
    /// Opens a store of the fixture's.
    convenience init(path: String) throws {
        try self.init(path: path, keys: StoreFixture.place(path).keys)
    }
}

extension KeyFile {
    /// Those of these keys that are there.
    func present(_ ids: [KeyID]) -> [KeyID] { ids.filter { key($0) != nil } }
}
