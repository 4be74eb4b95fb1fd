import Glibc
import TermspanAccounting
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanSessions
import TermspanStore
import TermspanSystem

/// The collector's own health, as `termspan status` shows it.
struct Status {
    private struct CoverageRow {
        var id: SessionID
        var user: String
        var coverage: Coverage
    }

    private let started: WallInstant
    private let boot: String
    private let counters: Aggregator.Counters
    private let health: StoreThread.Health
    private let coverage: [CoverageRow]
    private let counts: (sessions: Int, measured: Int, untracked: Int)
    private let limits: [(limit: Limit, text: String, count: LimitWatch.Count, last: WallInstant?)]
    private let probes: Int
    private let lockedStore: String?
    private let disk: (state: String, problem: String)

    /// - Parameter uid: whose sessions and limits are told alone; nil: all.
    @MainActor
    init(collector: Collector, of uid: UInt32?) {
        started = collector.started
        boot = collector.boot.description
        counters = collector.aggregator.counters
        health = collector.store.health
        lockedStore = collector.lockedStore
        limits = Limit.allCases.map { limit in
            var count = collector.limits.counts[limit] ?? LimitWatch.Count()
            if let uid, count.user?.uid != uid { count = LimitWatch.Count(hits: count.hits) }
            return (limit, collector.configuration.limits.text(limit), count, count.last.flatMap { collector.anchors.wall(at: $0) })
        }
        probes = collector.probeCount
        disk = (collector.disk.rawValue, collector.diskProblem ?? "")
        let sessions = collector.table.sessions.filter { $0.desktop.stack != .services }
        let coverages = sessions.map { CoverageRow(id: $0.id, user: $0.desktop.userName, coverage: collector.coverage(of: $0)) }
        counts = (
            sessions: coverages.count, measured: coverages.count { $0.coverage == .measured },
            // Nobody is told who has paused; outside the hours nobody is recorded either.
            untracked: coverages.count { [.untracked, .paused, .outsideHours].contains($0.coverage) }
        )
        coverage = zip(sessions, coverages).filter { uid == nil || $0.0.desktop.uid == uid }.map(\.1)
    }

    @MainActor
    func write(to writer: inout BusMessageWriter) {
        let usage = Self.usage()
        writer.properties { writer in
            writer.property("version", Version.text)
            writer.property("started", started.microseconds)
            writer.property("boot-id", boot)
            writer.property("sessions", UInt32(clamping: counts.sessions))
            writer.property("measured", UInt32(clamping: counts.measured))
            writer.property("untracked", UInt32(clamping: counts.untracked))
            writer.property("probes", UInt32(clamping: probes))
            writer.property("lanes", UInt32(clamping: counters.lanes))
            writer.property("events-attempted", counters.attempted)
            writer.property("events-delivered", counters.delivered)
            writer.property("events-lost", counters.lost)
            writer.property("quarantined", UInt32(clamping: counters.quarantined))
            writer.property("intervals-written", health.intervals)
            writer.property("bursts-written", health.bursts)
            writer.property("pending", UInt32(clamping: counters.pending))
            writer.property("last-commit", health.lastCommit?.microseconds ?? 0)
            writer.property("store-problem", lockedStore ?? health.problem(at: .now()) ?? "")
            writer.property("store-size", health.size)
            writer.property("damaged-stores", health.damaged)
            writer.property("disk", disk.state)
            writer.property("disk-problem", disk.problem)
            writer.property("memory", Self.memory())
            writer.property("cpu", usage)
            writer.property("wakeups", counters.wakeUps)
            writer.property(
                "latency",
                .properties([
                    "focus-to-fold-p50": .uint64(counters.latency.percentile(0.5)),
                    "focus-to-fold-p99": .uint64(counters.latency.percentile(0.99)),
                    "focus-to-fold-max": .uint64(counters.latency.maximum),
                    "commit-p50": .uint64(health.latency.percentile(0.5)),
                    "commit-p99": .uint64(health.latency.percentile(0.99)),
                ]))
            writer.property(
                "limits",
                .array(
                    of: "a{sv}",
                    limits.map { row in
                        .properties([
                            "name": .string(row.limit.rawValue), "limit": .string(row.text), "hits": .uint64(row.count.hits),
                            "user": .string(row.count.user?.login ?? ""), "last": .uint64(row.last?.microseconds ?? 0),
                        ])
                    }))
            writer.property(
                "coverage",
                .array(
                    of: "a{sv}",
                    coverage.map { row in
                        .properties([
                            "id": .uint32(row.id.rawValue), "user": .string(row.user), "coverage": .string(row.coverage.name),
                            "reason": .string(row.coverage.reason),
                        ])
                    }))
        }
    }

    /// Resident bytes: proc(5), statm.
    private static func memory() -> UInt64 {
        guard let bytes = try? readFile("/proc/self/statm", limit: 256) else { return 0 }
        let fields = bytes.split(separator: UInt8(ascii: " "))
        guard fields.count > 1, let pages = UInt64(String(decoding: fields[1], as: UTF8.self)) else { return 0 }
        return pages * UInt64(max(0, sysconf(Int32(_SC_PAGESIZE))))
    }

    /// Microseconds of processor time since the start.
    private static func usage() -> UInt64 {
        var usage = rusage()
        guard getrusage(__rusage_who_t(RUSAGE_SELF.rawValue), &usage) == 0 else { return 0 }
        return UInt64(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) * 1_000_000
            + UInt64(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec)
    }
}
