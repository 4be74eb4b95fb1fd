import ArgumentParser
import Glibc
package import TermspanCore

/// A length of time on the command line: `30min`, `7d`.
struct TimeLength: ExpressibleByArgument {
    var seconds: Int64

    init?(argument: String) {
        guard let seconds = TimeText.length(argument), seconds >= 0 else { return nil }
        self.seconds = seconds
    }
}

/// A session that has been disconnected for long, and what it holds meanwhile.
package struct StaleRow: Sendable {
    package var session: SessionRow
    /// Since the disconnect, in seconds.
    package var duration: UInt64
    package var usage: SessionUsage?

    package static let keys = [
        "user", "uid", "session", "session_uuid", "stack", "logon", "disconnected", "duration", "memory", "cpu", "processes",
    ]

    /// Those of the sessions that have been disconnected for at least so long, the longest first.
    package static func rows(
        of sessions: [SessionRow], longerThan seconds: Int64, now: WallInstant, usage: (SessionRow) -> SessionUsage?
    ) -> [StaleRow] {
        sessions.compactMap { session -> StaleRow? in
            guard session.isLogon, session.state == ConnectState.disconnected.name, let since = session.disconnected else { return nil }
            let duration = max(0, since.duration(to: now).wholeNanoseconds / 1_000_000_000)
            return duration >= seconds ? StaleRow(session: session, duration: UInt64(duration), usage: usage(session)) : nil
        }.sorted { ($1.duration, $0.session.id) < ($0.duration, $1.session.id) }
    }

    package var json: JSONValue {
        func number(_ value: UInt64?) -> JSONValue { value.map { .unsigned($0) } ?? .null }
        func moment(_ value: WallInstant?) -> JSONValue { .optional(value.map { TimeText.utc($0) }) }
        let values: [JSONValue] = [
            .string(session.user), number(session.userID.map { UInt64($0) }), .unsigned(UInt64(session.id)), .optional(session.uuid),
            .string(session.stack), moment(session.logon), moment(session.disconnected), .unsigned(duration), number(usage?.memory),
            usage?.cpuMicroseconds.map { .seconds(microseconds: $0) } ?? .null, number(usage?.processes),
        ]
        return .object(zip(Self.keys, values).map { JSONValue.Member($0, $1) })
    }

    package static func lines(_ rows: [StaleRow]) -> [String] {
        var table = Table([
            .init("USER", width: 12), .init("ID", .right, width: 3), .init("DISCONNECTED", width: 25), .init("FOR", .right, width: 8),
            .init("MEMORY", .right, width: 8), .init("CPU", .right, width: 8), .init("PROCESSES", .right),
        ])
        for row in rows {
            table.add([
                row.session.user, String(row.session.id), row.session.disconnected.map { TimeText.local($0) } ?? "",
                TimeText.age(seconds: row.duration), row.usage?.memory.map { TimeText.bytes($0) } ?? "",
                row.usage?.cpuMicroseconds.map { TimeText.duration(seconds: Double($0) / 1e6) } ?? "",
                row.usage.map { String($0.processes) } ?? "",
            ])
        }
        return table.lines()
    }
}

/// What the processes in a session's scopes hold and have used: cgroups(7), `memory.current`, `cpu.stat`. What the user's service manager
/// started is the user's, not one session's.
package struct SessionUsage: Hashable, Sendable {
    /// Bytes; nil where the kernel doesn't count them.
    package var memory: UInt64?
    package var cpuMicroseconds: UInt64?
    package var processes: UInt64

    package init(memory: UInt64?, cpuMicroseconds: UInt64?, processes: UInt64) {
        self.memory = memory
        self.cpuMicroseconds = cpuMicroseconds
        self.processes = processes
    }

    /// Reads it; nil where the session's scopes are not known or not there.
    init?(of session: SessionRow, root: String = "/sys/fs/cgroup") {
        let folders = SessionProcesses.scopes(of: session, root: root).filter { Files.exists($0) }
        guard !folders.isEmpty else { return nil }
        func sum(_ read: (String) -> UInt64?) -> UInt64? {
            let values = folders.compactMap(read)
            return values.isEmpty ? nil : values.reduce(0) { $0.addingReportingOverflow($1).partialValue }
        }
        memory = sum { Files.text($0 + "/memory.current", limit: 64).flatMap { UInt64($0.prefix { $0 != "\n" }) } }
        cpuMicroseconds = sum { folder in
            Files.text(folder + "/cpu.stat", limit: 4096)?.split(separator: "\n").first { $0.hasPrefix("usage_usec ") }
                .flatMap { UInt64($0.dropFirst("usage_usec ".count)) }
        }
        processes = folders.reduce(0) { $0 + UInt64(SessionProcesses.processes(in: $1, depth: 0).count) }
    }
}
