// Many sources that come and go beside a consumer that is started again and again; see Tests/Attacks/soak.
import Glibc
import ProgramOptions
import TermspanSystem

let usage = "usage: ring-soak [--seconds N] [--lanes N] [--seed N] [--breach NAME]\n"

func soak() throws -> Int32 {
    let breach = option("--breach").map { Breach(rawValue: $0) }
    let lanes = option("--lanes").map { Int($0) } ?? 200
    let seconds = option("--seconds").map { Double($0) } ?? 6
    let seed = option("--seed").map { UInt64($0) } ?? UInt64.random(in: 1...UInt64(UInt32.max))
    guard breach != .some(nil), let lanes, lanes > 0, lanes <= 4096, let seconds, seconds > 0, let seed else {
        print(usage, terminator: "")
        return 2
    }
    let planted = breach ?? nil
    // Three descriptors a lane, one for its source, and those that are on their way.
    raiseDescriptorLimit()
    let soak = try Soak(places: lanes, seed: seed, breach: planted)
    let title = planted.map { "\($0)" } ?? "soak"
    do {
        try soak.run(seconds: seconds)
    } catch let finding as Finding {
        let isMeant = planted?.findings.contains(finding.kind) ?? false
        let what = planted == nil ? "" : isMeant ? "found " : "not found, but "
        print("   \(isMeant ? "ok     " : "FAILED ") \(title), seed \(seed): \(what)\(finding)")
        return isMeant ? 0 : 1
    }
    print("   \(planted == nil ? "ok     " : "FAILED ") \(title), seed \(seed): \(planted == nil ? "" : "not found, ")\(soak.summary)")
    return planted == nil ? 0 : 1
}

do {
    let arguments = CommandLine.arguments
    switch arguments.dropFirst().first {
    case "source":
        guard arguments.count == 7, let place = Int(arguments[2]), let places = Int(arguments[3]), let generation = UInt64(arguments[4]),
            let seed = UInt64(arguments[5])
        else { exit(2) }
        try Source.run(place: place, places: places, generation: generation, seed: seed, breach: Breach(rawValue: arguments[6]))
    case "consumer":
        guard arguments.count == 5, let places = Int(arguments[2]), let seed = UInt64(arguments[3]) else { exit(2) }
        try Consumer.run(places: places, seed: seed, breach: Breach(rawValue: arguments[4]))
    case "--help", "-h":
        print(usage, terminator: "")
    case "--breaches":
        for breach in Breach.allCases { print(breach.rawValue) }
    default:
        exit(try soak())
    }
} catch {
    print(error)
    exit(1)
}
