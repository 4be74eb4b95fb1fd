import CBenchmark
import Foundation
import Glibc
import ProgramOptions
import Synchronization
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

    usage: swift run -c release aggregator-benchmark [--rounds N] [--events N] [--lanes N] [--rate N] [--seconds N] [--folder FOLDER]

      --rounds N       of folding (9)
      --events N       folded in a round, about (2000000)
      --lanes N        of as many sessions, each of a user of its own (256)
      --rate N         events a second that are to become durable (50000)
      --seconds N      how long they come (30)
      --folder FOLDER  where the store is made, and removed again (/var/tmp)

    The mix, of each 16 events of a session: 9 changes of focus among 8 windows with classes of 5 to 18 bytes and one to a window with a class of
    46 (two slots), 3 begins and 3 ends of input; at first the whole state. Each window names a process. 13 of 16 become a row.

    Folding is told by the processor time of the collector's own thread, in which it reads the lanes, checks, decodes, folds and asks for the processes
    behind windows, which nobody answers. It is held up while 256 events are written to each lane by a thread on another processor, then reads
    them all. 'Rows' is with limits that nobody reaches, so that each change is an interval of its own; 'as shipped' is with the limits of the product,
    under which nearly all of such a flood is rapid switching. 'With handing over' counts what the same thread does for the store and to give slots back.

    Then events come at a rate, over all lanes in turn, with no limits, into a store on a disk, which the product's own threads write, with an answer for
    each process. At the end each row is looked for in the store, with its times and in order. What is lost fails the run.

    Sources and collector are threads of one process here; the ring between processes is measured by Tests/Benchmarks/ring.

    """

/// What must not be.
struct Wrong: Error, CustomStringConvertible {
    let description: String

    init(_ what: String) { description = "wrong: \(what)" }
}

func short(_ value: Double) -> String { String((value * 100).rounded() / 100) }

extension Limits {
    /// Those that nobody reaches.
    static var lifted: Limits {
        var limits = Limits()
        limits.focusChangesPerSecond = 1_000_000_000
        limits.rowsPerDay = 1_000_000_000_000
        return limits
    }
}

/// Nanoseconds of the calling thread's processor time.
func threadTime() -> UInt64 {
    var time = timespec()
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time)
    return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// The aggregator's thread as somebody sees it who can have it do something between two rounds.
struct Folding {
    let aggregator: Aggregator

    /// Has the thread do something once.
    private func perform(_ body: @escaping @Sendable () -> Void) {
        let isDone = Once()
        _ = aggregator.activity(at: .now()) { _ in
            if isDone.first() { body() }
            return false
        }
    }

    private final class Once: Sendable {
        private let isDone = Atomic(false)
        func first() -> Bool { !isDone.exchange(true, ordering: .relaxed) }
    }

    /// The processor time that it has used.
    var time: UInt64 {
        let time = Place()
        perform { time.value.store(threadTime(), ordering: .relaxed) }
        return time.value.load(ordering: .relaxed)
    }

    private final class Place: Sendable {
        let value = Atomic<UInt64>(0)
        let isHeld = Atomic(false)
        let isLet = Atomic(false)
    }

    /// Holds the thread up while `body` runs here, and says what processor time it had used when it was let go.
    func hold(_ body: () -> Void) throws -> UInt64 {
        let place = Place()
        let holder = try TermspanSystem.Thread(name: "holder") {
            perform {
                place.isHeld.store(true, ordering: .releasing)
                while !place.isLet.load(ordering: .acquiring) { benchmark_relax() }
                place.value.store(threadTime(), ordering: .relaxed)
            }
        }
        while !place.isHeld.load(ordering: .acquiring) { benchmark_relax() }
        body()
        place.isLet.store(true, ordering: .releasing)
        holder.join()
        return place.value.load(ordering: .relaxed)
    }
}

/// What one core folds, in million events a second: without and with what it does for the store.
func fold(events: Int, lanes: Int, limits: Limits) throws -> (fold: Double, whole: Double) {
    let asked = Atomic(0)
    let aggregator = try Aggregator(limits: limits) { _ in asked.add(1, ordering: .relaxed) }
    let thread = try TermspanSystem.Thread(name: "aggregator") {
        if benchmark_cpus() > 1 { _ = benchmark_pin(1) }
        aggregator.run()
    }
    let sources = try Sources(lanes, of: aggregator)
    let folding = Folding(aggregator: aggregator)
    var (published, folded, whole, checkpoint) = (0, 0 as UInt64, 0 as UInt64, 0 as UInt64)
    // The first batch brings the memory.
    while published < events + 256 * lanes {
        let begin = try folding.hold {
            for number in 0..<lanes { for _ in 0..<256 { sources.publish(number) } }
        }
        // Each look costs the thread some microseconds.
        repeat { sleep(for: .milliseconds(4)) } while aggregator.counters.delivered < sources.attempted
        let middle = folding.time
        checkpoint += 1
        aggregator.committed(aggregator.takePieces(at: .now(), isFinal: true), checkpoint: checkpoint)
        _ = aggregator.takeNotices()
        if checkpoint > 1 {
            folded += middle - begin
            whole += folding.time - begin
        }
        published += 256 * lanes
    }
    let counters = aggregator.counters
    guard sources.refused == 0, counters.lost == 0, counters.delivered == sources.attempted, counters.attempted == counters.delivered else {
        throw Wrong("folding lost events")
    }
    aggregator.stop()
    thread.join()
    let count = Double(published - 256 * lanes) * 1000
    return (count / Double(folded), count / Double(whole))
}

/// Answers at once, as if each process had been looked up.
final class Answers: Sendable {
    private let aggregator = Mutex<Aggregator?>(nil)

    func set(_ aggregator: Aggregator?) { self.aggregator.withLock { $0 = aggregator } }

    func answer(_ request: ProcessResolver.Request) {
        aggregator.withLock { $0 }?.resolved(request, executable: "/usr/lib/suite/bin/application\(request.claim.pid)")
    }
}

/// The first thing that the store said was wrong.
final class Problem: Sendable {
    private let first = Mutex<String?>(nil)

    var text: String? { first.withLock { $0 } }

    func set(_ text: String) { first.withLock { $0 = $0 ?? text } }
}

/// Events at a rate over all lanes into a store on a disk.
///
/// - Returns: whether all are durable.
func durable(seconds: Int, rate: Int, lanes: Int, folder: String) throws -> Bool {
    let path = "\(folder)/termspan-benchmark-\(getpid())"
    guard mkdir(path, 0o700) == 0 else { throw Wrong("no folder \(path)") }
    defer { try? FileManager.default.removeItem(atPath: path) }
    let place = StorePlace(
        path: "\(path)/termspan.db", machine: ID128(high: 1, low: 2), boot: ID128(high: 3, low: 4),
        keys: KeyPlace(path: "\(path)/keys", masters: [SecretKey()]))
    let writer = try StoreOpening.open(place, anchor: ClockAnchor(boot: .now(), wall: .now())).writer
    let answers = Answers()
    let aggregator = try Aggregator(limits: .lifted) { answers.answer($0) }
    answers.set(aggregator)
    let problem = Problem()
    let store = try StoreThread(writer: writer, aggregator: aggregator, commitInterval: .seconds(1)) { notice in
        if case .problem(.some(let text)) = notice { problem.set(text) }
    }
    let writing = try TermspanSystem.Thread(name: "store") { store.run() }
    let folding = try TermspanSystem.Thread(name: "aggregator") { aggregator.run() }
    let sources = try Sources(lanes, of: aggregator)
    sources.record(in: store)
    let begin = monotonicNanoseconds()
    var number = 0
    let all = rate * seconds
    while number < all, problem.text == nil {
        let due = min(all, Int(Double(monotonicNanoseconds() - begin) / 1e9 * Double(rate)))
        while number < due {
            sources.publish(number % lanes)
            number += 1
        }
        sleep(for: .milliseconds(1))
    }
    let published = monotonicNanoseconds()
    let wanted = (0..<lanes).reduce(into: (intervals: 0, bursts: 0)) { sum, lane in
        sum.intervals += sources.stored(lane).intervals
        sum.bursts += sources.stored(lane).bursts
    }
    func isDurable() -> Bool {
        let health = store.health
        return health.intervals >= UInt64(wanted.intervals) && health.bursts >= UInt64(wanted.bursts)
    }
    while !isDurable(), problem.text == nil, monotonicNanoseconds() - published < 60_000_000_000 { sleep(for: .milliseconds(10)) }
    let end = monotonicNanoseconds()
    let counters = aggregator.counters
    let health = store.health
    store.stop()
    writing.join()
    aggregator.stop()
    folding.join()
    answers.set(nil)
    if let text = problem.text { throw Wrong(text) }
    let wrong = try check(place, sources)
    print(
        "durable: \(all) events in \(short(Double(published - begin) / 1e9)) s over \(lanes) lanes: attempted \(counters.attempted), delivered \(counters.delivered), "
            + "lost \(counters.lost); \(health.intervals) intervals and \(health.bursts) bursts in \(health.commits) commits "
            + "(p50 \(health.latency.percentile(0.5) / 1000), p99 \(health.latency.percentile(0.99) / 1000) ms), the last one "
            + "\((end - published) / 1_000_000) ms after the last event, \(health.size / 1_048_576) MB; "
            + "in the store \(wanted.intervals) intervals and \(wanted.bursts) bursts wanted, \(wrong) sessions wrong")
    let isReached =
        sources.refused == 0 && counters.lost == 0 && counters.attempted == counters.delivered && counters.attempted == sources.attempted
        && wrong == 0
    print(
        "\(rate) events a second over \(lanes) lanes durable without loss: aim 0 lost, measured \(counters.lost): \(isReached ? "reached" : "missed")"
    )
    return isReached
}

/// How many sessions the store has not just as their sources told of them: each row with its times, in order.
func check(_ place: StorePlace, _ sources: Sources) throws -> Int {
    let reader = try StoreReader(path: place.path, keys: place.keys)
    let ever = TimeSpan(start: .zero, end: BootInstant(nanoseconds: .max))
    var found: [UUIDv7: Sources.Stored] = [:]
    var row: Int64 = 0
    while true {
        let sessions = try reader.sessions(SessionFilter(), after: row)
        guard let last = sessions.last else { break }
        row = last.row
        for session in sessions {
            var stored = Sources.Stored()
            var after: BootInstant?
            var previous: BootInstant?
            while true {
                let page = try reader.focus(of: session, in: ever, after: after)
                guard let last = page.last else { break }
                after = last.span.start
                for record in page {
                    // Nothing between them, nothing twice.
                    if previous.map({ $0 != record.span.start }) == true { throw Wrong("intervals of \(session.record.user.login)") }
                    previous = record.span.end
                    if record.switches == 0 { stored.interval(until: record.span.end) }
                }
            }
            after = nil
            while true {
                let page = try reader.bursts(of: session, in: ever, after: after)
                guard let last = page.last, last.start != after else { break }
                for burst in page where after.map({ burst.start > $0 }) ?? true { stored.burst(from: burst.start, to: burst.end) }
                after = last.start
            }
            found[session.record.uuid] = stored
        }
    }
    return sources.sessions.indices.count { found[sources.sessions[$0]] != sources.stored($0) }
}

func measure() throws {
    let lanes = number("--lanes", 256)
    let rounds = number("--rounds", 9)
    let events = number("--events", 2_000_000)
    var limits = rlimit()
    if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits) == 0 {
        limits.rlim_cur = limits.rlim_max
        _ = setrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limits)
    }
    if benchmark_cpus() > 1 { _ = benchmark_pin(0) }
    var figures: [(name: String, isAim: Bool, values: [Double])] = [
        ("rows", true, []), ("rows, with handing over", false, []), ("as shipped", true, []), ("as shipped, with handing over", false, []),
    ]
    for _ in 0..<rounds {
        // In turn.
        for (place, limits) in [Limits.lifted, Limits()].enumerated() {
            let (fold, whole) = try fold(events: events, lanes: lanes, limits: limits)
            figures[2 * place].values.append(fold)
            figures[2 * place + 1].values.append(whole)
        }
    }
    for figure in figures {
        let values = figure.values.sorted()
        print(
            "folding, \(figure.name): \(short(values[rounds / 2])) [\(short(values[0])) - \(short(values[rounds - 1]))] million events a second"
        )
    }
    for figure in figures where figure.isAim {
        let median = figure.values.sorted()[rounds / 2]
        print(
            "folding on one core, \(figure.name), million events a second: aim at least 5, measured \(short(median)): "
                + (median >= 5 ? "reached" : "missed"))
    }
    let isReached = try durable(
        seconds: number("--seconds", 30), rate: number("--rate", 50_000), lanes: lanes, folder: option("--folder") ?? "/var/tmp")
    if !isReached { exit(1) }
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
