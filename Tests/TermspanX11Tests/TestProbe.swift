import Glibc
import TermspanControl
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanSystem
import Testing

/// The probe's program beside a collector of the test's own: a real control channel, a real lane, the wire recorded.
final class TestProbe {
    struct Entry {
        let event: Event
        let time: BootInstant
    }

    let program: Program
    let recorder: WireRecorder
    /// All events so far.
    private(set) var entries: [Entry] = []
    /// The screen as it was told last.
    private(set) var screen: Screen?
    private(set) var screensTold = 0
    private let control: ControlChannel
    private var reader: LaneReader
    private let memory: LaneMemory
    private let arena: Arena

    /// Starts a probe on the display; it has not answered yet.
    init(_ display: TestDisplay, gap: UInt32 = 1500, cookie: [UInt8]? = nil) throws {
        let memory = try LaneMemory(lane: 1, generation: 1)
        let arena = try Arena(capacity: 1)
        reader = try LaneReader(memory, in: arena)

        var mine: ControlChannel?
        var started: Program?
        let path = try Self.path
        try SocketPair().split { first, second throws in
            started = try Program(path, [], environment: ["SWIFT_BACKTRACE=enable=no"], descriptors: [second.raw, -1, 2])
            mine = try ControlChannel(first, takesDescriptors: false)
        }
        guard let channel = mine.take(), let started else { preconditionFailure() }
        program = started
        let lane = try memory.controlForProducer()
        let message = ControlMessage.start(
            .init(level: .basic, display: display.number, burstGapMilliseconds: gap, cookie: cookie ?? display.cookie))
        recorder = try WireRecorder(server: display.connect()) { socket in
            try channel.send(message, descriptors: [socket.raw, lane.raw, memory.events.raw, memory.doorbell.raw])
        }
        control = channel
        self.memory = memory
        self.arena = arena
    }

    /// The probe's program.
    static var path: String {
        get throws { try path(of: "termspan-probe") }
    }

    /// A program that was built beside the tests.
    static func path(of program: String) throws -> String {
        // The test bundle lies there too; `swift test` names that to a helper of the toolchain, which loads it.
        let places = CommandLine.arguments + [String(decoding: try readLink("/proc/self/exe"), as: UTF8.self)]
        for place in places {
            guard let end = place.lastIndex(of: "/") else { continue }
            let candidate = "\(place[..<end])/\(program)"
            if access(candidate, X_OK) == 0 { return candidate }
        }
        throw SystemError(code: ENOENT, operation: "find", subject: program)
    }

    func tell(_ message: ControlMessage) throws { try control.send(message) }

    /// The next message from the probe but for the screen; nil if none comes.
    func answer(_ limit: Duration = .seconds(10)) throws -> ControlMessage? {
        var descriptor = pollfd(fd: control.raw, events: Int16(POLLIN), revents: 0)
        while poll(&descriptor, 1, Int32(limit.wholeNanoseconds / 1_000_000)) > 0 {
            guard case .message(let message, _) = try control.receive() else { return nil }
            guard case .screen(let screen) = message else { return message }
            self.screen = screen
            screensTold += 1
        }
        return nil
    }

    /// Waits until the screen was told to be so.
    func wait(for screen: Screen?) throws -> Bool {
        for _ in 0..<100 where self.screen != screen { _ = try answer(.milliseconds(50)) }
        return self.screen == screen
    }

    /// Waits until the probe watches, and returns what it found.
    func ready() throws -> ProbeFeatures {
        guard case .ready(let features)? = try answer() else {
            throw SystemError(code: EPROTO, operation: "ready")
        }
        return features
    }

    /// Takes what is in the lane.
    @discardableResult
    func drain() throws -> [Entry] {
        let before = entries.count
        var taken: [Entry] = []
        try reader.drain(limit: 1024) { record in
            guard let event = EventCodec.decode(type: record.type, payload: record.payload) else { return }
            taken.append(Entry(event: event, time: record.time))
        }
        reader.acknowledge(upTo: reader.mark, checkpoint: 1)
        entries += taken
        return Array(entries[before...])
    }

    /// Waits for an event.
    func wait(_ limit: Duration = .seconds(8), for match: (Event) -> Bool) throws -> Entry? {
        let end = BootInstant.now().advanced(by: limit)
        while BootInstant.now() < end {
            if let found = try drain().first(where: { match($0.event) }) { return found }
            sleep(for: .milliseconds(5))
        }
        return nil
    }

    /// What was in the lane after a time that is long enough for anything to come.
    func settle(_ time: Duration = .milliseconds(300)) throws -> [Entry] {
        sleep(for: time)
        return try drain()
    }

    /// Ends the control channel, as a collector that dies.
    func close() { shutdown(control.raw, Int32(SHUT_RDWR)) }
}
