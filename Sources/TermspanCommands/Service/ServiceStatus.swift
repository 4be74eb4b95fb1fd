package import TermspanBus
package import TermspanCore

/// The collector's health, as `Status` of org.termspan1.Manager tells it (org.termspan1(5)). Nil is what it doesn't tell.
package struct ServiceStatus: Hashable, Sendable {
    package struct Coverage: Hashable, Sendable {
        package var session: UInt32
        package var user: String
        package var coverage: String
        package var reason: String
    }

    /// What one user can take, and who was at it.
    package struct Limit: Hashable, Sendable {
        package var name: String
        package var limit: String
        package var hits: UInt64
        /// Who was at it last, and when; nil for nobody.
        package var user: String?
        package var last: WallInstant?
    }

    package var version: String
    package var started: WallInstant?
    package var bootID: String
    package var lastCommit: WallInstant?
    /// Why nothing can be written just now; blank where it can.
    package var storeProblem: String
    /// Files of damaged stores that are set aside.
    package var damagedStores: [String]
    /// Whether the disk that it is on is encrypted: encrypted, plain or unknown.
    package var disk: String
    /// What termspan.yaml has to say against that; blank where nothing.
    package var diskProblem: String
    /// Plain numbers by their name on the bus, such as `events-lost`.
    package var numbers: [String: UInt64]
    /// Microseconds by name, such as `commit-p99`.
    package var latency: [String: UInt64]
    package var coverage: [Coverage]
    package var limits: [Limit]

    /// The numbers there are, in the order in which they are shown; each is a key of `Status`.
    package static let numberKeys = [
        "sessions", "measured", "untracked", "probes", "lanes", "events-attempted", "events-delivered", "events-lost", "quarantined",
        "intervals-written", "bursts-written", "pending", "store-size", "memory", "cpu", "wakeups",
    ]
    package static let latencyKeys = ["focus-to-fold-p50", "focus-to-fold-p99", "focus-to-fold-max", "commit-p50", "commit-p99"]

    package init(_ values: [String: BusValue]) {
        version = values["version"]?.string ?? ""
        started = values["started"]?.unsigned.flatMap { WallInstant(microseconds: $0) }
        bootID = values["boot-id"]?.string ?? ""
        lastCommit = values["last-commit"]?.unsigned.flatMap { WallInstant(microseconds: $0) }
        storeProblem = values["store-problem"]?.string ?? ""
        damagedStores = values["damaged-stores"]?.strings ?? []
        disk = values["disk"]?.string ?? ""
        diskProblem = values["disk-problem"]?.string ?? ""
        numbers = [:]
        for key in Self.numberKeys { numbers[key] = values[key]?.unsigned }
        latency = (values["latency"]?.properties ?? [:]).compactMapValues(\.unsigned)
        coverage = (values["coverage"]?.elements ?? []).compactMap { row in
            guard let row = row.properties, let id = row["id"]?.unsigned.flatMap({ UInt32(exactly: $0) }) else { return nil }
            return Coverage(
                session: id, user: row["user"]?.string ?? "", coverage: row["coverage"]?.string ?? "", reason: row["reason"]?.string ?? "")
        }.sorted { $0.session < $1.session }
        limits = (values["limits"]?.elements ?? []).compactMap { row in
            guard let row = row.properties, let name = row["name"]?.string else { return nil }
            let user = row["user"]?.string ?? ""
            return Limit(
                name: name, limit: row["limit"]?.string ?? "", hits: row["hits"]?.unsigned ?? 0, user: user.isEmpty ? nil : user,
                last: row["last"]?.unsigned.flatMap { WallInstant(microseconds: $0) })
        }
    }

    /// One JSON object; keys as on the bus with underscores, moments in ISO 8601, latencies and `cpu` in seconds, sizes in bytes.
    package var json: JSONValue {
        func snake(_ key: String) -> String { String(key.map { $0 == "-" ? "_" : $0 }) }
        var members: [JSONValue.Member] = [
            .init("version", .string(version)), .init("started", .optional(started.map { TimeText.utc($0) })),
            .init("boot_id", bootID.isEmpty ? .null : .string(bootID)),
            .init("last_commit", .optional(lastCommit.map { TimeText.utc($0) })),
            .init("store_problem", storeProblem.isEmpty ? .null : .string(storeProblem)),
            .init("disk", disk.isEmpty ? .null : .string(disk)), .init("damaged_stores", .array(damagedStores.map { .string($0) })),
        ]
        for key in Self.numberKeys {
            let value = numbers[key]
            members.append(
                .init(snake(key), value.map { key == "cpu" ? .seconds(microseconds: $0) : .unsigned($0) } ?? .null))
        }
        members.append(
            .init(
                "latency",
                .object(
                    Self.latencyKeys.map { .init(snake($0), latency[$0].map { .seconds(microseconds: $0) } ?? .null) })))
        members.append(
            .init(
                "coverage",
                .array(
                    coverage.map {
                        .object([
                            .init("session", .unsigned(UInt64($0.session))), .init("user", .string($0.user)),
                            .init("coverage", .string($0.coverage)), .init("reason", $0.reason.isEmpty ? .null : .string($0.reason)),
                        ])
                    })))
        members.append(
            .init(
                "limits",
                .array(
                    limits.map {
                        .object([
                            .init("name", .string($0.name)), .init("limit", .string($0.limit)), .init("hits", .unsigned($0.hits)),
                            .init("user", .optional($0.user)), .init("last", .optional($0.last.map { TimeText.utc($0) })),
                        ])
                    })))
        return .object(members)
    }

    /// What people read. `now` is the present.
    package func lines(now: WallInstant) -> [String] {
        func number(_ key: String) -> String { numbers[key].map { String($0) } ?? "?" }
        func time(_ key: String) -> String { latency[key].map { TimeText.short(microseconds: $0) } ?? "?" }
        func ago(_ moment: WallInstant?) -> String {
            guard let moment else { return "never" }
            let seconds = max(0, moment.duration(to: now).components.seconds)
            return "\(TimeText.local(moment)) (\(TimeText.age(seconds: UInt64(seconds))) ago)"
        }
        var cpu = "?"
        if let used = numbers["cpu"] {
            cpu = TimeText.short(microseconds: used)
            if let started, let seconds = Optional(started.duration(to: now).components.seconds), seconds > 0 {
                let share = Double(used) / Double(seconds) / 10_000
                let hundredths = Int((share * 100).rounded())
                cpu += " used since its start, \(hundredths / 100).\(TimeText.padded(hundredths % 100, 2)) % of a core"
            }
        }
        let disks = [
            "encrypted": ", on an encrypted disk", "plain": ", on a disk that is not encrypted",
            "unknown": ", on a disk of which nobody can tell whether it is encrypted",
        ]
        let damaged = damagedStores.map { ("Damaged store", "\($0) is set aside; \($0).txt says what is lost, if any of it could be read") }
        let first = [
            ("Collector", version.isEmpty ? "running" : "termspand \(version)"), ("Started", ago(started)),
            ("Sessions", "\(number("sessions")): \(number("measured")) measured, \(number("untracked")) of untracked users"),
            ("Probes", "\(number("probes")), lanes \(number("lanes")), quarantined \(number("quarantined"))"),
            (
                "Events",
                "\(number("events-attempted")) attempted, \(number("events-delivered")) delivered, \(number("events-lost")) lost"
            ),
            ("Written", "\(number("intervals-written")) intervals, \(number("bursts-written")) bursts, \(number("pending")) pending"),
            ("Last commit", ago(lastCommit)),
            (
                "Store",
                (numbers["store-size"].map { TimeText.bytes($0) } ?? "?") + (disks[disk] ?? "")
                    + (storeProblem.isEmpty ? "" : ", NOT WRITABLE: \(storeProblem)")
            ),
        ]
        let last = [
            ("Focus to fold", "p50 \(time("focus-to-fold-p50")), p99 \(time("focus-to-fold-p99")), max \(time("focus-to-fold-max"))"),
            ("Commit", "p50 \(time("commit-p50")), p99 \(time("commit-p99"))"),
            ("Memory", numbers["memory"].map { TimeText.bytes($0) } ?? "?"), ("CPU", cpu), ("Wake-ups", number("wakeups")),
        ]
        var lines = Properties.lines(first + damaged + last)
        if !limits.isEmpty {
            var table = Table([
                .init("LIMIT", width: 15), .init("PER USER", width: 34), .init("REACHED", .right, width: 8), .init("LAST BY"),
            ])
            for row in limits {
                let last = row.user.map { "\($0), \(ago(row.last))" } ?? ""
                table.add([row.name, row.limit, String(row.hits), last])
            }
            lines += [""] + table.lines()
        }
        if !coverage.isEmpty {
            var table = Table([.init("ID", .right, width: 5), .init("USERNAME", width: 20), .init("COVERAGE", width: 15), .init("REASON")])
            for row in coverage { table.add([String(row.session), row.user, row.coverage, row.reason]) }
            lines += [""] + table.lines()
        }
        return lines
    }
}

/// `Key: value` lines with the values in one column.
package enum Properties {
    /// - Parameter limit: the cells of a line, beyond which a value goes on below itself; without it each has one line.
    package static func lines(_ values: [(String, String)], width limit: Int? = nil) -> [String] {
        let width = values.map { Printable.width($0.0) }.max() ?? 0
        return values.flatMap { key, value -> [String] in
            let line = String(repeating: " ", count: width - Printable.width(key)) + key + ":"
            if value.isEmpty { return [line] }
            let text = Printable.text(value)
            guard let limit else { return [line + " " + text] }
            let indent = String(repeating: " ", count: width + 2)
            return text.wrapped(to: max(20, limit - width - 2)).enumerated().map { ($0.offset == 0 ? line + " " : indent) + $0.element }
        }
    }
}
