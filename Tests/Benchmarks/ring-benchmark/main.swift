import CBenchmark
import Glibc
import ProgramOptions
import TermspanSystem

let usage = """
    Measures the ring against its floors and what else one could use, on this machine, in one run. `Tests/Benchmarks/ring` builds
    it together with the programs for the other rings and starts it.

    usage: Tests/Benchmarks/ring [--rounds N] [--events N] [--samples N] [--only WORD]
           swift run -c release ring-benchmark [--anchors FOLDER] [the same]
           swift run -c release ring-benchmark --kills N
           ring-benchmark --help

      --rounds N        how often each measurement is done, in turn with the others (7)
      --events N        events of a throughput measurement (2000000)
      --samples N       events of a latency measurement (4000)
      --only WORD       only measurements whose name contains it
      --anchors FOLDER  where the programs for other rings are; those that are missing are left out
      --kills N         instead: kill N producers at random moments and check what is left

    Sender and receiver are separate processes (except in 'one thread' and 'a burst beside'), the sender pinned to processor 0 and the
    receiver to 1 where there are two. All carry the same 64 bytes, by CLOCK_MONOTONIC, in the scheduling class in which the program is
    started. Each line is the median over the rounds, with the lowest and the highest in brackets. Compare the lines of one run with
    each other, not with another machine's. Then come the aims, by the medians.

    """

func measure() throws {
    let rounds = number("--rounds", 7)
    let events = number("--events", 2_000_000)
    let samples = number("--samples", 4_000)
    let only = option("--only")
    let cpus = benchmark_cpus()
    if cpus > 1 { _ = benchmark_pin(1) }
    // Each lane has two doorbells here, one of either side.
    raiseDescriptorLimit()
    print("\(cpus) processors, \(rounds) rounds, \(events) events, \(samples) samples; nanoseconds\n")

    var measurements: [(name: String, run: () throws -> Figures)] = [
        ("one thread, ring", { try Measurements.oneThread(events: events, byClock: false) }),
        ("one thread, ring with the clock", { try Measurements.oneThread(events: events, byClock: true) }),
        ("publish, ring beside a reader", { try Measurements.publishBeside(events: events / 10) }),
        ("throughput, ring", { try Measurements.flood(events: events, byPoller: false) }),
        ("throughput, ring by the poller", { try Measurements.flood(events: events, byPoller: true) }),
        ("throughput, SEQPACKET", { try Measurements.socketFlood(events: events / 10) }),
        ("one way awake, ring", { try Measurements.laneAwake(samples: samples * 5) }),
        ("one way awake, ring of 256 lanes", { try Measurements.lanesAwake(samples: samples * 5, lanes: 256) }),
        ("one way awake, cache line", { try Measurements.lineAwake(samples: samples * 5) }),
        ("one way asleep, ring", { try Measurements.laneAsleep(samples: samples, otherLanes: 0) }),
        ("one way asleep, ring of 256 lanes", { try Measurements.laneAsleep(samples: samples, otherLanes: 255) }),
        ("one way asleep, futex", { try Measurements.futexAsleep(samples: samples) }),
        ("one way asleep, SEQPACKET", { try Measurements.socketAsleep(samples: samples) }),
        ("rounds over 4096 lanes, ring", { try Measurements.manyLanes(4096, times: 100) }),
        ("a burst beside, ring", { try Measurements.burstBeside(times: samples / 10) }),
    ]
    let anchors: [(program: String, name: String, arguments: [String])] = [
        ("lttng", "publish, LTTng-UST", [String(events / 10)]),
        ("dpdk", "throughput, rte_ring sp", ["flood", "sp", String(events)]),
        ("dpdk", "throughput, rte_ring mp", ["flood", "mp", String(events)]),
        ("dpdk", "one way awake, rte_ring sp", ["awake", "sp", String(samples * 5)]),
    ]
    for anchor in anchors {
        let path = (option("--anchors") ?? "") + "/" + anchor.program
        guard option("--anchors") != nil, access(path, X_OK) == 0 else {
            print("left out: \(anchor.name)")
            continue
        }
        measurements.append((anchor.name, { try Measurements.anchor(path, anchor.arguments) }))
    }
    if let only { measurements.removeAll { !$0.name.contains(only) } }
    var results: [[Figures]] = measurements.map { _ in [] }
    for _ in 0..<rounds {
        for (index, measurement) in measurements.enumerated() { results[index].append(try measurement.run()) }
    }
    func median(_ place: Aim.Place) -> Double? {
        guard let index = measurements.firstIndex(where: { $0.name == place.measurement }) else { return nil }
        let values = results[index].compactMap { figures in figures.first { $0.name == place.figure }?.value }.sorted()
        return values.isEmpty ? nil : values[values.count / 2]
    }
    for (index, measurement) in measurements.enumerated() {
        var line = measurement.name + String(repeating: " ", count: max(1, 36 - measurement.name.count))
        for (column, figure) in results[index][0].enumerated() {
            let sorted = results[index].map { $0[column].value }.sorted()
            line += "\(figure.name) \(short(sorted[sorted.count / 2])) [\(short(sorted[0])) - \(short(sorted[sorted.count - 1]))]   "
        }
        print(line)
    }
    print("")
    for aim in Aim.all { print(aim.verdict(median) ?? "\(aim.text): not measured") }
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
        try Measurements.kills(number("--kills", 1_000))
    } else {
        try measure()
    }
} catch {
    print(error)
    exit(1)
}
