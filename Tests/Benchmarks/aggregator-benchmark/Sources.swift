import Glibc
import SeededRandom
import TermspanAccounting
import TermspanCollector
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanStore
import TermspanSystem

/// Sessions with a lane each, which this program writes.
final class Sources {
    /// One session's source.
    struct Source: ~Copyable {
        var writer: LaneWriter
        /// Where it is in the mix.
        var turn: Int
        var windows = 0
        var burst: BootInstant?
        var stored = Stored()
    }

    /// What the store has to have of a session: how many rows of both kinds, and their times in their order.
    struct Stored: Equatable {
        private(set) var intervals = 0
        private(set) var bursts = 0
        private var sums: (UInt64, UInt64) = (0, 0)

        /// An interval that ends where the next one begins.
        mutating func interval(until end: BootInstant) {
            intervals += 1
            sums.0 = SeededRandom.mix(sums.0 ^ end.nanoseconds)
        }

        mutating func burst(from start: BootInstant, to end: BootInstant) {
            bursts += 1
            sums.1 = SeededRandom.mix(SeededRandom.mix(sums.1 ^ start.nanoseconds) ^ end.nanoseconds)
        }

        static func == (one: Stored, other: Stored) -> Bool {
            one.intervals == other.intervals && one.bursts == other.bursts && one.sums == other.sums
        }
    }

    /// What `usage` says of the mix: F a change of focus, L one to a window with a long class, B and E begin and end of input.
    private static let mix = Array("FFBFFEFFBFLEFBEF".utf8)
    /// Windows that a session goes through, one after the other.
    private static let windows = 8

    private let sources: UnsafeMutablePointer<Source>
    let sessions: [UUIDv7]
    private let records: [SessionRecord]
    private let short: [UnsafeRawBufferPointer]
    private let long: UnsafeRawBufferPointer
    private let edge: UnsafeMutableRawBufferPointer
    /// Events that lanes did not take.
    private(set) var refused = 0

    var count: Int { sessions.count }

    /// Begins to measure as many sessions, each of a user of its own, and tells their state.
    init(_ count: Int, of aggregator: Aggregator) throws {
        let moment = BootInstant.now()
        sources = .allocate(capacity: count)
        sessions = (0..<count).map { _ in UUIDv7(at: .now()) }
        records = sessions.enumerated().map { number, session in
            SessionRecord(
                uuid: session, id: SessionID(rawValue: UInt32(number + 1)),
                user: UserIdentity(login: "user\(number)", uid: UInt32(10_000 + number)), stack: "xrdp", start: moment)
        }
        for (number, record) in records.enumerated() {
            aggregator.begin(
                Aggregator.Subject(
                    uuid: record.uuid, id: record.id, uid: record.user.uid, userName: record.user.login, scopes: ["session-\(number).scope"]
                ),
                at: moment, burstGap: .seconds(30))
            let memory = try LaneMemory(lane: UInt32(number), generation: UInt64(number + 1))
            (sources + number).initialize(
                to: Source(
                    writer: try LaneWriter(
                        control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate()),
                    turn: number % Self.mix.count))
            try aggregator.attach(memory, to: record.uuid)
        }
        func encoded(_ event: Event) -> UnsafeMutableRawBufferPointer {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: EventCodec.maximumLength, alignment: 8)
            return UnsafeMutableRawBufferPointer(rebasing: buffer[..<EventCodec.encode(event, into: buffer).length])
        }
        func change(_ window: Int, _ windowClass: String) -> UnsafeRawBufferPointer {
            let process = ProcessClaim(pid: UInt32(2_000 + window), origin: .server)
            return UnsafeRawBufferPointer(
                encoded(
                    .focusChanged(Focus(window: UInt32(0x40_0000 + window), process: process, windowClass: WindowClass(windowClass.utf8)))))
        }
        let names = ["XTerm", "firefox-esr", "Soffice", "libreoffice-writer", "Thunderbird", "Evince", "Pcmanfm", "Mousepad"]
        short = (0..<Self.windows).map { change($0, names[$0]) }
        long = change(Self.windows, "sun-awt-X11-XFramePeer:org.example.application")
        edge = encoded(.inputBegan(InputEdge(effective: .zero, origin: .device)))
        let snapshot = encoded(.snapshot(Snapshot(id: 0, focus: .none, inputOpen: false, lastInput: nil)))
        for number in 0..<count {
            sources[number].writer.publish(
                type: EventCodec.EventType.snapshot.rawValue, time: .now(), payload: UnsafeRawBufferPointer(snapshot))
        }
    }

    deinit {
        sources.deinitialize(count: sessions.count)
        sources.deallocate()
    }

    /// Has the store know the sessions.
    func record(in store: StoreThread) {
        store.append { $0.sessions += records }
    }

    /// Publishes the next event of a session.
    func publish(_ number: Int) {
        let source = sources + number
        let kind = Self.mix[source.pointee.turn % Self.mix.count]
        let now = BootInstant.now()
        let type: EventCodec.EventType
        let payload: UnsafeRawBufferPointer
        switch kind {
        case UInt8(ascii: "B"), UInt8(ascii: "E"):
            edge.storeBytes(of: now.nanoseconds, as: UInt64.self)
            type = kind == UInt8(ascii: "B") ? .inputBegan : .inputEnded
            payload = UnsafeRawBufferPointer(edge)
        default:
            type = .focusChanged
            payload = kind == UInt8(ascii: "L") ? long : short[source.pointee.windows % Self.windows]
            source.pointee.windows += 1
        }
        source.pointee.turn += 1
        guard source.pointee.writer.publish(type: type.rawValue, time: now, payload: payload) == .published else {
            refused += 1
            return
        }
        switch type {
        case .focusChanged: source.pointee.stored.interval(until: now)
        case .inputBegan: source.pointee.burst = now
        default:
            // Who begins in the middle of the mix may end what has not begun.
            if let start = source.pointee.burst.take() { source.pointee.stored.burst(from: start, to: now) }
        }
    }

    /// What the store has to have of a session.
    func stored(_ number: Int) -> Stored { sources[number].stored }

    /// All that was attempted, that of each session's beginning included.
    var attempted: UInt64 { (0..<count).reduce(0) { $0 + sources[$1].writer.attempted } }
}
