import CBenchmark
import Glibc
import TermspanAccounting
import TermspanCollector
import TermspanConfiguration
import TermspanCore
import TermspanEvents
import TermspanRing
import TermspanStore
import TermspanSystem

let usage = """
    Measures what becomes of events behind the ring: how many one core folds, and that a busy server's are durable without loss.

    usage: swift run -c release aggregator-benchmark [--events N] [--seconds N] [--lanes N] [--rate N] [--rounds N] [--folder FOLDER]

      --events N       folded in a round (4000000)
      --rounds N       of folding (3)
      --lanes N        of as many sessions, each of a user of its own (256)
      --rate N         events a second that are to become durable (50000)
      --seconds N      how long they come (10)
      --folder FOLDER  where the store is made, and removed again (/var/tmp)

    Sources and collector are threads of one process here, on a processor each where there are two; the ring between processes is measured by
    Tests/Benchmarks/ring. Folding is told by the processor time of the collector's own thread, in which it reads the lanes, checks, decodes and
    folds. Every event is a change of focus, and limits are lifted, so that each becomes a row; what is lost fails the run.

    """

func text(_ name: String) -> String? {
    guard let index = CommandLine.arguments.firstIndex(of: name), index + 1 < CommandLine.arguments.count else { return nil }
    return CommandLine.arguments[index + 1]
}

func option(_ name: String, _ fallback: Int) -> Int {
    guard let text = text(name), let value = Int(text), value > 0 else { return fallback }
    return value
}

func failed(_ what: String) -> Never {
    print("wrong: \(what)")
    exit(1)
}

/// Limits that nobody reaches.
var lifted: Limits {
    var limits = Limits()
    limits.focusChangesPerSecond = 1_000_000
    limits.rowsPerDay = 1_000_000_000
    return limits
}

/// Nanoseconds of the calling thread's processor time.
func threadTime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// Sessions with a lane each, which this program writes.
final class Sources {
    private let writers: UnsafeMutablePointer<LaneWriter>
    let sessions: [UUIDv7]
    let records: [SessionRecord]
    private let count: Int
    private let payloads: [UnsafeRawBufferPointer]
    private let types: [UInt8]

    init(_ count: Int, of aggregator: Aggregator) throws {
        self.count = count
        writers = .allocate(capacity: count)
        let moment = BootInstant.now()
        var sessions: [UUIDv7] = []
        var records: [SessionRecord] = []
        for number in 0..<count {
            let session = UUIDv7(at: .now())
            let identifier = SessionID(rawValue: UInt32(number + 1))
            let uid = UInt32(10_000 + number)
            sessions.append(session)
            records.append(
                SessionRecord(
                    uuid: session, id: identifier, user: UserIdentity(login: "user\(number)", uid: uid), stack: "xrdp", start: moment))
            aggregator.begin(
                Aggregator.Subject(uuid: session, id: identifier, uid: uid, userName: "user\(number)", scopes: []), at: moment,
                burstGap: .seconds(30))
            let memory = try LaneMemory(lane: UInt32(number), generation: UInt64(number + 1))
            (writers + number).initialize(
                to: try LaneWriter(
                    control: memory.controlForProducer(), events: memory.events.duplicate(), doorbell: memory.doorbell.duplicate()))
            try aggregator.attach(memory, to: session)
        }
        self.sessions = sessions
        self.records = records
        var payloads: [UnsafeRawBufferPointer] = []
        var types: [UInt8] = []
        func add(_ event: Event) {
            let buffer = UnsafeMutableRawBufferPointer.allocate(byteCount: EventCodec.maximumLength, alignment: 8)
            let (type, length) = EventCodec.encode(event, into: buffer)
            payloads.append(UnsafeRawBufferPointer(rebasing: buffer[..<length]))
            types.append(type.rawValue)
        }
        add(.snapshot(Snapshot(id: 0, focus: .none, inputOpen: false, lastInput: nil)))
        for window in 1...2 as ClosedRange<UInt32> {
            add(.focusChanged(Focus(window: window, process: .none, windowClass: WindowClass("XTerm".utf8))))
        }
        self.payloads = payloads
        self.types = types
        for number in 0..<count { publish(number, 0) }
    }

    /// Publishes a change of focus in a session's lane.
    func change(_ number: Int, turn: Int) -> Bool {
        publish(number, 1 + turn % 2)
    }

    @discardableResult
    private func publish(_ number: Int, _ kind: Int) -> Bool {
        writers[number].publish(type: types[kind], time: .now(), payload: payloads[kind]) == .published
    }

    /// All that was attempted, that of each session's beginning included.
    var attempted: UInt64 { (0..<count).reduce(0) { $0 + writers[$1].attempted } }
}

/// What one core folds: the time of the collector's thread, from the first event to the last.
func fold(events: Int, lanes: Int) throws -> Double {
    let aggregator = try Aggregator(limits: lifted) { _ in }
    let used = UnsafeMutablePointer<UInt64>.allocate(capacity: 1)
    used.initialize(to: 0)
    nonisolated(unsafe) let time = used
    let thread = try TermspanSystem.Thread(name: "aggregator") {
        if benchmark_cpus() > 1 { _ = benchmark_pin(1) }
        let begin = threadTime()
        aggregator.run()
        time.pointee = threadTime() - begin
    }
    let sources = try Sources(lanes, of: aggregator)
    var published = 0
    var turn = 0
    while published < events {
        turn += 1
        // As many as a lane takes for sure, then all of them are given back.
        for number in 0..<lanes {
            for step in 0..<256 {
                guard sources.change(number, turn: turn + step) else { failed("a lane is full") }
            }
        }
        published += 256 * lanes
        while aggregator.counters.delivered < sources.attempted { sched_yield() }
        aggregator.committed(aggregator.takePieces(at: .now(), isFinal: true), checkpoint: UInt64(turn))
    }
    let counters = aggregator.counters
    guard counters.lost == 0, counters.delivered == sources.attempted else { failed("folding lost events") }
    aggregator.stop()
    thread.join()
    defer { used.deallocate() }
    return Double(published) / (Double(used.pointee) / 1e9)
}

/// Events at a rate over all lanes into a store on a disk.
func durable(seconds: Int, rate: Int, lanes: Int, folder: String) throws {
    let path = "\(folder)/termspan-benchmark-\(getpid())"
    guard mkdir(path, 0o700) == 0 else { failed("no folder \(path)") }
    defer { _ = system("rm -rf \(path)") }
    let place = StorePlace(
        path: "\(path)/termspan.db", machine: ID128(high: 1, low: 2), boot: ID128(high: 3, low: 4),
        keys: KeyPlace(path: "\(path)/keys", masters: [SecretKey()]))
    let writer = try StoreOpening.open(place, anchor: ClockAnchor(boot: .now(), wall: .now())).writer
    let aggregator = try Aggregator(limits: lifted) { _ in }
    let store = try StoreThread(writer: writer, aggregator: aggregator, commitInterval: .seconds(1)) { _ in }
    let threads = [
        try TermspanSystem.Thread(name: "store") { store.run() }, try TermspanSystem.Thread(name: "aggregator") { aggregator.run() },
    ]
    let sources = try Sources(lanes, of: aggregator)
    store.append { $0.sessions += sources.records }
    let begin = monotonicNanoseconds()
    var number = 0
    var refused = 0
    let all = rate * seconds
    while number < all {
        let due = min(all, Int(Double(monotonicNanoseconds() - begin) / 1e9 * Double(rate)))
        while number < due {
            if !sources.change(number % lanes, turn: number / lanes) { refused += 1 }
            number += 1
        }
        sleep(for: .milliseconds(1))
    }
    let published = monotonicNanoseconds()
    // Each change ends the interval before it; the last one of each session stays open.
    let wanted = UInt64(all - lanes)
    while store.health.intervals < wanted && monotonicNanoseconds() - published < 60_000_000_000 { sleep(for: .milliseconds(10)) }
    let end = monotonicNanoseconds()
    let counters = aggregator.counters
    let health = store.health
    store.stop()
    threads[0].join()
    aggregator.stop()
    threads[1].join()
    print(
        "durable: \(all) events in \(seconds) s over \(lanes) lanes, \(health.intervals) intervals stored in \(health.commits) commits, "
            + "the last \((end - published) / 1_000_000) ms after its event, p99 of a commit \(health.latency.percentile(0.99) / 1_000_000) ms, "
            + "\(health.size / 1_048_576) MB")
    let isReached = refused == 0 && counters.lost == 0 && counters.attempted == counters.delivered && health.intervals >= wanted
    print("\(rate) events a second durable without loss: aim 0 lost, measured \(counters.lost): \(isReached ? "reached" : "missed")")
}

func measure() throws {
    let lanes = option("--lanes", 256)
    let rounds = option("--rounds", 3)
    var limits = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 {
        limits.rlim_cur = limits.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
    }
    if benchmark_cpus() > 1 { _ = benchmark_pin(0) }
    let folded = try (0..<rounds).map { _ in try fold(events: option("--events", 4_000_000), lanes: lanes) / 1e6 }.sorted()
    func short(_ value: Double) -> String { String((value * 100).rounded() / 100) }
    print("folding: \(short(folded[rounds / 2])) [\(short(folded[0])) - \(short(folded[rounds - 1]))] million events a second")
    print(
        "folding on one core, million events a second: aim at least 5, measured \(short(folded[rounds / 2])): "
            + (folded[rounds / 2] >= 5 ? "reached" : "missed"))
    try durable(seconds: option("--seconds", 10), rate: option("--rate", 50_000), lanes: lanes, folder: text("--folder") ?? "/var/tmp")
}

do {
    if CommandLine.arguments.contains("--help") {
        print(usage, terminator: "")
    } else {
        try measure()
    }
} catch {
    print(error)
    exit(1)
}
