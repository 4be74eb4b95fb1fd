import CBenchmark
import Glibc
import TermspanSystem

let usage = """
    Measures the ring against its floors and a socket, on this machine, in one run.

    usage: swift run -c release ring-benchmark [--rounds N] [--events N] [--samples N]
           swift run -c release ring-benchmark --kills N
           ring-benchmark --help

      --rounds N   how often each measurement is done, in turn with the others (7)
      --events N   events of a throughput measurement (2000000)
      --samples N  events of a latency measurement (4000)
      --kills N    instead: kill N producers at random moments and check what is left

    Sender and receiver are separate processes (except in 'one thread'), the sender pinned to processor 0 and the receiver to 1 where there are
    two. All carry the same 64 bytes, by CLOCK_MONOTONIC, in the scheduling class in which the program is started. Each line is the
    median over the rounds, with the lowest and the highest in brackets. Compare the lines of one run with each other,
    not with another machine's.

    """

/// A number after an option.
func option(_ name: String, _ fallback: Int) -> Int {
    guard let index = CommandLine.arguments.firstIndex(of: name), index + 1 < CommandLine.arguments.count,
        let value = Int(CommandLine.arguments[index + 1]), value > 0
    else { return fallback }
    return value
}

func measure() throws {
    let rounds = option("--rounds", 7)
    let events = option("--events", 2_000_000)
    let samples = option("--samples", 4_000)
    let cpus = benchmark_cpus()
    if cpus > 1 { _ = benchmark_pin(1) }
    print("\(cpus) processors, \(rounds) rounds, \(events) events, \(samples) samples; nanoseconds\n")

    let measurements: [(name: String, run: () throws -> Figures)] = [
        ("one thread, ring", { try Measurements.oneThread(events: events) }),
        ("throughput, ring by the poller", { try Measurements.flood(events: events, byPoller: true) }),
        ("throughput, ring by spinning", { try Measurements.flood(events: events, byPoller: false) }),
        ("throughput, SEQPACKET", { try Measurements.socketFlood(events: events / 10) }),
        ("one way awake, ring", { try Measurements.laneAwake(samples: samples * 5) }),
        ("one way awake, cache line", { try Measurements.lineAwake(samples: samples * 5) }),
        ("one way asleep, ring", { try Measurements.laneAsleep(samples: samples, otherLanes: 0) }),
        ("one way asleep, ring of 256 lanes", { try Measurements.laneAsleep(samples: samples, otherLanes: 255) }),
        ("one way asleep, futex", { try Measurements.futexAsleep(samples: samples) }),
        ("one way asleep, SEQPACKET", { try Measurements.socketAsleep(samples: samples) }),
    ]
    var results: [[Figures]] = measurements.map { _ in [] }
    for _ in 0..<rounds {
        for (index, measurement) in measurements.enumerated() { results[index].append(try measurement.run()) }
    }
    for (index, measurement) in measurements.enumerated() {
        var line = measurement.name + String(repeating: " ", count: max(1, 36 - measurement.name.count))
        for (column, figure) in results[index][0].enumerated() {
            let sorted = results[index].map { $0[column].value }.sorted()
            line += "\(figure.name) \(short(sorted[sorted.count / 2])) [\(short(sorted[0])) - \(short(sorted[sorted.count - 1]))]   "
        }
        print(line)
    }
}

/// With a decimal below 100.
func short(_ value: Double) -> String {
    value < 100 ? String((value * 10).rounded() / 10) : String(Int(value))
}

do {
    if CommandLine.arguments.dropFirst().first == "peer" {
        try Peer.run(Array(CommandLine.arguments.dropFirst(2)))
    } else if CommandLine.arguments.contains("--help") {
        print(usage, terminator: "")
    } else if CommandLine.arguments.contains("--kills") {
        if benchmark_cpus() > 1 { _ = benchmark_pin(1) }
        try Measurements.kills(option("--kills", 1_000))
    } else {
        try measure()
    }
} catch {
    print(error)
    exit(1)
}
