import Glibc
import ProgramOptions
import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanReports
import TermspanStore

let usage = """
    Measures what an export takes in the report service: rows a second and memory, from a store that it makes.

    usage: swift run -c release export-benchmark [--rows N] [--rounds N] [--folder FOLDER]

      --rows N         focus intervals in the store, of 20 users, and as many bursts (1000000)
      --rounds N       how often each format is exported, in turn with the others (3)
      --folder FOLDER  where the store is made, and removed again (/var/tmp)

    The lines go through a pipe to a thread that reads them and throws them away. Each line is the median over the rounds, with the lowest and the
    highest in brackets. 'memory' is the most that the process had in RAM since it began to export.

    """

func now() -> Double {
    var time = timespec()
    clock_gettime(CLOCK_MONOTONIC, &time)
    return Double(time.tv_sec) + Double(time.tv_nsec) / 1e9
}

/// The most memory in RAM in MB (proc(5), VmHWM) since it was last reset.
func peak() -> Double {
    guard let file = fopen("/proc/self/status", "r") else { return .nan }
    defer { fclose(file) }
    var line = [CChar](repeating: 0, count: 256)
    while fgets(&line, Int32(line.count), file) != nil {
        let text = String(decoding: line.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
        if text.hasPrefix("VmHWM:") {
            return Double(text.split(separator: " ", omittingEmptySubsequences: true)[1]).map { $0 / 1024 } ?? .nan
        }
    }
    return .nan
}

func resetPeak() {
    let descriptor = open("/proc/self/clear_refs", O_WRONLY)
    _ = write(descriptor, "5", 1)
    close(descriptor)
}

func fill(_ writer: StoreWriter, rows: Int) throws {
    let (users, sessionsOfUser) = (20, 25)
    let each = max(1, rows / (users * sessionsOfUser))
    var number: UInt64 = 0
    for user in 0..<users {
        for _ in 0..<sessionsOfUser {
            number += 1
            let uuid = UUIDv7(at: WallInstant(nanoseconds: 1_767_323_045_000_000_000 + Int64(number) * 1_000_000))
            let begin = BootInstant(nanoseconds: number * 1_000_000_000)
            var batch = StoreBatch()
            batch.sessions = [
                SessionRecord(
                    uuid: uuid, id: SessionID(rawValue: UInt32(number)), user: UserIdentity(login: "user\(user)", uid: UInt32(1000 + user)),
                    stack: "xrdp", start: begin)
            ]
            var at = begin
            for row in 0..<each {
                let end = at.advanced(by: .milliseconds(20_000 + row * 7919 % 40_000))
                let application = Application(executable: "/usr/bin/application\(row % 37)", windowClass: "Application\(row % 37)")
                batch.focus.append(FocusRecord(session: uuid, span: TimeSpan(start: at, end: end), application: application))
                let burst = InputBurst(start: at.advanced(by: .seconds(1)), end: at.advanced(by: .seconds(9)), origin: .device)
                batch.bursts.append(BurstRecord(session: uuid, burst: burst))
                at = end
            }
            batch.seen = at
            batch.ended = [SessionEnd(session: uuid, at: at, reason: .logoff)]
            try writer.write(batch)
        }
    }
}

func measure() throws {
    let rows = number("--rows", 1_000_000)
    let rounds = number("--rounds", 3)
    var template = Array(((option("--folder") ?? "/var/tmp") + "/termspan-export-benchmark-XXXXXX").utf8CString)
    guard mkdtemp(&template) != nil else { fatalError("no folder") }
    let folder = String(decoding: template.prefix { $0 != 0 }.map { UInt8(bitPattern: $0) }, as: UTF8.self)
    let path = folder + "/store.db"
    let keys = KeyPlace(path: folder + "/keys", masters: [SecretKey()])
    defer {
        for name in [path, path + "-wal", path + "-shm", keys.path] { unlink(name) }
        rmdir(folder)
    }
    let anchor = ClockAnchor(boot: .zero, wall: WallInstant(nanoseconds: 1_767_323_045_000_000_000))
    let place = StorePlace(path: path, machine: ID128(high: 7, low: 7), boot: ID128(high: 1, low: 1), keys: keys)
    let writer = try StoreWriter.open(place, anchor: anchor)
    let begin = now()
    try fill(writer, rows: rows)
    var load = [Double](repeating: 0, count: 1)
    getloadavg(&load, 1)
    print("\(rows) rows made in \(Int(now() - begin)) s; load \(load[0])")
    var times: [ExportRequest.Format: [Double]] = [:]
    var bytes: [ExportRequest.Format: Int] = [:]
    var memory: [ExportRequest.Format: Double] = [:]
    for _ in 0..<rounds {
        for format in [ExportRequest.Format.jsonl, .csv] {
            var question = Question(kind: .export, filter: SessionFilter(), thresholds: Thresholds())
            question.choice.languages = []
            question.export = ExportRequest(format: format, selection: 0, calendar: LocalCalendar { _ in 0 })
            var ends: [Int32] = [-1, -1]
            guard pipe(&ends) == 0 else { fatalError("no pipe") }
            let reading = ends[0]
            var thread = pthread_t()
            pthread_create(
                &thread, nil,
                { argument in
                    let descriptor = Int32(Int(bitPattern: argument))
                    var part = [UInt8](repeating: 0, count: 1 << 16)
                    while read(descriptor, &part, part.count) > 0 {}
                    return nil
                }, UnsafeMutableRawPointer(bitPattern: Int(reading)))
            resetPeak()
            let start = now()
            var count = 0
            try Answer(question, reader: try StoreReader(path: path, keys: keys)).write { line in
                count += line.count
                var done = 0
                while done < line.count { done += line.withUnsafeBytes { write(ends[1], $0.baseAddress! + done, $0.count - done) } }
            }
            times[format, default: []].append(now() - start)
            close(ends[1])
            pthread_join(thread, nil)
            close(reading)
            bytes[format] = count
            memory[format] = max(memory[format] ?? 0, peak())
        }
    }
    for format in [ExportRequest.Format.jsonl, .csv] {
        let sorted = (times[format] ?? []).sorted()
        guard let first = sorted.first, let last = sorted.last else { continue }
        func text(_ value: Double) -> String { String(Double(Int(value * 100)) / 100) }
        let median = sorted[sorted.count / 2]
        print(
            "\(format.rawValue): \(text(median)) s [\(text(first)) \(text(last))], \(Int(Double(rows) / median)) rows/s, "
                + "\((bytes[format] ?? 0) / 1_000_000) MB, memory \(text(memory[format] ?? 0)) MB")
    }
}

if CommandLine.arguments.contains("--help") {
    print(usage, terminator: "")
} else {
    try measure()
}
