import Foundation
import Glibc
import ProgramOptions
import TermspanAccounting
import TermspanBus
import TermspanCore
import TermspanStore

let usage = """
    Measures how large a store gets and how long questions take, from the call on the bus to the last byte of the answer's pipe: termspan-reportd as
    it is built, or installed, on a bus of its own. What it answers is compared with what plain addition of what was made comes to.

    usage: swift run -c release store-benchmark [--users N] [--days N] [--intervals N] [--rounds N] [--seed N] [--linearity] [--serve] [--folder FOLDER] [--service FILE]

      --users N        users in the store (20)
      --days N         days of the calendar (364)
      --intervals N    focus intervals of a day that somebody works, about (1000)
      --rounds N       how often each question is asked, in turn with the others (21)
      --linearity      20, 50, 100 and 200 users instead, of 14 days unless --days says otherwise; 364 take some 2.5 GB of disk and 20 minutes
      --serve          answers Tests/Benchmarks/activitywatch-comparison on standard input
      --folder FOLDER  where the store is made, and removed again (/var/tmp)
      --service FILE   the termspan-reportd to ask: /usr/libexec/termspan/termspan-reportd is the package's (the one that was built)

    A user works five days a week but for 25 days of vacation and some of illness: 8.75 hours with a lunch behind a locked screen, four pauses, now and
    then a lost connection, on one day in twenty a second session for an hour; three evenings in ten the session is left disconnected. Focus intervals
    are log-normal (sigma 1.4: the mean is 27 s, the median 10 s), of 30 applications by Zipf's law, three in a hundred followed by a moment without a
    window. Bursts of input are log-normal (median 12 s) with gaps of 30 s and more. The machine is started anew every 28 days.

    """

/// At once, also into a pipe.
func say(_ text: String) {
    print(text)
    fflush(nil)
}

/// A store that was made, and the service that answers from it.
@MainActor final class Stage {
    let workload: Workload
    let made: Workload.Made
    let service: Service
    let size: Int
    let seconds: Double
    private let folder: String

    init(_ workload: Workload) throws {
        self.workload = workload
        var template = Array(((option("--folder") ?? "/var/tmp") + "/termspan-store-benchmark-XXXXXX").utf8CString)
        guard mkdtemp(&template) != nil else { fatalError("no folder") }
        folder = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        let master = [UInt8](repeating: 7, count: SecretKey.length)
        let keys = KeyPlace(path: folder + "/keys", masters: [SecretKey(bytes: master)].compactMap(\.self))
        let path = folder + "/store.db"
        let place = StorePlace(path: path, machine: ID128(high: 7, low: 7), boot: ID128(high: 1, low: 1), keys: keys)
        let begin = now()
        made = try workload.write(to: place)
        seconds = now() - begin
        // What the log held is in the file, since nothing writes any more.
        var status = stat()
        stat(path, &status)
        size = Int(status.st_size)
        service = try Service(store: path, keys: keys.path, master: master, folder: folder)
    }

    func remove() {
        service.stop()
        try? FileManager.default.removeItem(atPath: folder)
    }

    var year: [String: BusValue] { ["user": .string(Workload.user(0).login), "zone": .string("UTC")] }

    var day: [String: BusValue] {
        func microseconds(_ day: Int) -> BusValue { .uint64(UInt64(workload.wall(day: day).nanoseconds / 1000)) }
        return [
            "all": .bool(true), "since": microseconds(workload.lastDay), "until": microseconds(workload.lastDay + 1),
            "zone": .string("UTC"),
        ]
    }

    struct Asked {
        var name: String
        var aim: String
        var filter: [String: BusValue]
    }

    var questions: [Asked] {
        let by = { (filter: [String: BusValue], names: String) in filter.merging(["by": .string(names)]) { $1 } }
        return [
            Asked(name: "a user's year by application", aim: "100 ms", filter: by(year, "user,application")),
            Asked(name: "a user's year by day", aim: "100 ms", filter: by(year, "user,day")),
            Asked(name: "the server's day by user", aim: "50 ms", filter: by(day, "user")),
            Asked(name: "the server's day by user and application", aim: "50 ms", filter: by(day, "user,application")),
        ]
    }

    /// Ends the program where an answer is not what was made.
    func check() throws {
        func compare(_ what: String, _ line: [String: Any], _ times: CategoryTimes, _ categories: [TermspanAccounting.Category]) {
            for category in categories {
                let told = (line[category.name] as? NSNumber)?.doubleValue ?? -1
                guard abs(told - Double(times[category]) / 1e9) < 1e-3 else {
                    fatalError("\(what): \(category.name) is told as \(told), and was \(Double(times[category]) / 1e9)")
                }
            }
        }
        let counted: [TermspanAccounting.Category] = [.active, .passive, .inactive, .locked]
        var left = made.year
        for line in try service.lines("Report", questions[0].filter).lines {
            let executable = line["executable"] as? String
            let number = Workload.applications.firstIndex { $0.executable == executable } ?? -1
            compare("the year of \(executable ?? "nothing")", line, left.removeValue(forKey: number) ?? CategoryTimes(), counted)
        }
        guard left.allSatisfy({ $0.value.total == 0 }) else { fatalError("applications are missing in the year: \(left.keys)") }
        var year = CategoryTimes()
        for times in made.year.values { year += times }
        func total(_ name: String) throws -> Double {
            try service.lines("Report", questions[1].filter).lines.reduce(0) { $0 + ((($1[name] as? NSNumber)?.doubleValue) ?? 0) }
        }
        for category in counted {
            guard abs(try total(category.name) - Double(year[category]) / 1e9) < 1e-2 else {
                fatalError("the year by day: \(category.name)")
            }
        }
        var users = Dictionary(uniqueKeysWithValues: made.lastDay.enumerated().map { (Workload.user($0).login, $1) })
        for line in try service.lines("Report", questions[2].filter).lines {
            let user = line["user"] as? String ?? ""
            compare("the day of \(user)", line, users.removeValue(forKey: user) ?? CategoryTimes(), counted)
        }
        guard users.values.allSatisfy({ $0[.active] == 0 }) else { fatalError("users are missing in the day") }
    }

    /// Asks everything in turn; each question's seconds, in order.
    func measure(rounds: Int) throws -> [[Double]] {
        var times = Array(repeating: [Double](), count: questions.count)
        for _ in 0..<rounds {
            for (index, question) in questions.enumerated() { times[index].append(try service.ask("Report", question.filter) { _ in }) }
        }
        return times.map { $0.sorted() }
    }

    func sizes() -> String {
        let bytes = Double(size)
        let users = Double(made.workedDays) / 225
        return "\(made.intervals) focus intervals, \(made.bursts) bursts, \(made.workedDays) days of users made in \(Int(seconds)) s; "
            + "\(size / 1_000_000) MB: \(text(bytes / Double(made.intervals))) bytes a span, \(text(bytes / 1e6 / users)) MB a user and 225 days"
    }
}

/// `12.3`, three digits.
func text(_ value: Double) -> String { String(format: value < 10 ? "%.2f" : value < 100 ? "%.1f" : "%.0f", value) }

func milliseconds(_ sorted: [Double]) -> String {
    guard let first = sorted.first, let last = sorted.last else { return "" }
    return "\(text(sorted[sorted.count / 2] * 1000)) (\(text(first * 1000)) to \(text(last * 1000)))"
}

func load() -> String {
    var load = [Double](repeating: 0, count: 1)
    getloadavg(&load, 1)
    return text(load[0])
}

/// The most memory in RAM in MB (proc(5), VmHWM) that a process had since it was last reset.
func peak(of process: Int32) -> Double {
    let status = (try? String(contentsOfFile: "/proc/\(process)/status", encoding: .utf8)) ?? ""
    let line = status.split(separator: "\n").first { $0.hasPrefix("VmHWM:") }
    return line.flatMap { Double($0.split(separator: " ")[1]) }.map { $0 / 1024 } ?? .nan
}

@MainActor func measureOne(_ workload: Workload) throws {
    let stage = try Stage(workload)
    defer { stage.remove() }
    say("\(stage.sizes()); load \(load())")
    try stage.check()
    for (question, times) in zip(stage.questions, try stage.measure(rounds: number("--rounds", 21))) {
        say("| \(question.name) | \(question.aim) | \(milliseconds(times)) ms |")
    }
    var rows = 0
    let reports = peak(of: stage.service.processID)
    try? "5".write(toFile: "/proc/\(stage.service.processID)/clear_refs", atomically: false, encoding: .utf8)
    let seconds = try stage.service.ask("Export", ["all": .bool(true), "format": .string("csv")]) { part in
        for byte in part where byte == UInt8(ascii: "\n") { rows += 1 }
    }
    say(
        "| a full export, CSV, \(rows) lines | 1 million in 3 s | \(text(seconds)) s, \(text(seconds / Double(rows) * 1e6)) s a million |")
    say(
        "| memory of the service at most, for reports and for the export | | \(text(reports)), \(text(peak(of: stage.service.processID))) MB |"
    )
}

@MainActor func measureLinearity(_ workload: Workload) throws {
    say(
        "| users | focus intervals | written in | bytes each | MB a user | a user's time by application | by day | the server's day by user "
            + "| by user and application | memory of the service at most |")
    for users in [20, 50, 100, 200] {
        var workload = workload
        (workload.users, workload.days) = (users, number("--days", 14))
        let stage = try Stage(workload)
        defer { stage.remove() }
        try stage.check()
        let times = try stage.measure(rounds: number("--rounds", 21)).map(milliseconds).joined(separator: " | ")
        let bytes = Double(stage.size)
        say(
            "| \(users) | \(stage.made.intervals) | \(Int(stage.seconds)) s | \(text(bytes / Double(stage.made.intervals))) | "
                + "\(text(bytes / 1e6 / Double(users))) | \(times) | \(text(peak(of: stage.service.processID))) MB |")
    }
}

/// Answers Tests/Benchmarks/activitywatch-comparison: a line on standard input is a question, one on standard output the answer.
@MainActor func serve(_ workload: Workload) throws {
    let stage = try Stage(workload)
    defer { stage.remove() }
    try stage.check()
    func tell(_ values: [String: Any]) throws {
        say(String(decoding: try JSONSerialization.data(withJSONObject: values), as: UTF8.self))
    }
    func period(_ first: Int, _ next: Int) -> String {
        [first, next].map { day in
            Date(timeIntervalSince1970: Double(workload.wall(day: day).nanoseconds) / 1e9).formatted(.iso8601)
        }.joined(separator: "/")
    }
    try tell([
        "sizes": stage.sizes(), "users": (0..<workload.users).map { Workload.user($0).login }, "year": period(0, workload.days + 1),
        "day": period(workload.lastDay, workload.lastDay + 1),
    ])
    let model: [String: BusValue] = ["idle-model": .string("activitywatch"), "by": .string("user,application")]
    while let words = readLine()?.split(separator: " ").map(String.init), let question = words.first {
        switch (question, words.count) {
        case ("year", 1), ("day", 1):
            let (seconds, lines) = try stage.service.lines("Report", (question == "year" ? stage.year : stage.day).merging(model) { $1 })
            var active: [String: Double] = [:]
            for line in lines {
                guard let path = line["executable"] as? String, let time = (line["active"] as? NSNumber)?.doubleValue else { continue }
                active[String(path.split(separator: "/").last ?? ""), default: 0] += time
            }
            try tell(["seconds": seconds, "active": active])
        case ("export", 4):
            var filter: [String: BusValue] = ["user": .string(words[1]), "format": .string("activitywatch")]
            if words[2] == "day" { filter.merge(stage.day.filter { ["since", "until"].contains($0.key) }) { $1 } }
            var bytes: [UInt8] = []
            let seconds = try stage.service.ask("Export", filter) { bytes += $0 }
            // The last line is the service's own.
            let end = bytes.dropLast().lastIndex(of: UInt8(ascii: "\n")).map { $0 + 1 } ?? 0
            try Data(bytes[..<end]).write(to: URL(fileURLWithPath: words[3]))
            try tell(["seconds": seconds])
        default: throw BusError.failed("no question: \(words)")
        }
    }
}

@MainActor func run() throws {
    let workload = Workload(
        users: number("--users", 20), days: number("--days", 364), intervals: Double(number("--intervals", 1000)),
        seed: UInt64(number("--seed", 1)))
    if CommandLine.arguments.contains("--serve") {
        try serve(workload)
    } else if CommandLine.arguments.contains("--linearity") {
        try measureLinearity(workload)
    } else {
        try measureOne(workload)
    }
}

if CommandLine.arguments.contains("--help") {
    print(usage, terminator: "")
} else {
    signal(SIGPIPE, SIG_IGN)
    try run()
}
