import ArgumentParser
import TermspanBus
import TermspanCore

/// `termspan session history`
struct SessionHistory: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "history", abstract: "List the sessions of the past and those that last, as far as they are recorded.",
            discussion: """
                Only sessions of tracked users are recorded, from their logon or from when tracking began. A session is listed whole if any
                of it lies between --since and --until; of --events those that do. Of sessions that nobody tracks, the journal tells: termspan log.
                """)
    }

    @OptionGroup var activity: ActivityOptions

    @Flag(help: "List what happened one by one: logon, connects, disconnects, locks, unlocks, logoff.")
    var events = false

    @Option(help: "Instead the sessions that have been disconnected for so long, as 7d, and the memory and processor time that they hold.")
    var stale: TimeLength?

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if stale != nil, events || activity.since != nil || activity.until != nil {
            throw ValidationError("--stale is about what is there now: it goes with --user and --session alone.")
        }
    }

    func execute() throws {
        let client = try Client.connect()
        if let stale { return try list(stale, client) }
        var filter = activity.filter()
        if events { filter["events"] = .bool(true) }
        let nothing = "No sessions are recorded."
        if events {
            try client.printReport("History", filter, output.format, EventTable(), orElse: nothing)
        } else {
            try client.printReport("History", filter, output.format, HistoryTable(), orElse: nothing)
        }
    }
}

extension SessionHistory {
    /// From the live sessions alone; nothing of it is recorded.
    @MainActor
    private func list(_ stale: TimeLength, _ client: Client) throws {
        let sessions = try client.sessions().filter { row in
            (activity.user == nil || activity.user == row.user)
                && (activity.session == nil || activity.session == String(row.id) || activity.session?.lowercased() == row.uuid)
        }
        let rows = StaleRow.rows(of: sessions, longerThan: stale.seconds, now: .present) { SessionUsage(of: $0) }
        Output.listing(output.format, keys: StaleRow.keys, rows: rows.map(\.json), table: StaleRow.lines(rows))
    }
}

/// One line a session.
package struct HistoryTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("ID", .right, width: 3), .init("LOGON", width: 25), .init("LOGOFF", width: 25),
        .init("REASON", width: 8), .init("CONNECTS", .right), .init("TOTAL", .right, width: 8), .init("ACTIVE", .right, width: 8),
        .init("FROM"),
    ])

    package var keys: [String] {
        [
            "user", "uid", "session", "session_uuid", "stack", "logon", "start", "end", "open", "end_reason", "connects", "disconnects",
            "locks", "unlocks", "client_addresses", "total",
        ] + SummaryTable.categories
    }

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [
            text(row, "user"), number(row, "session"), moment(row, "logon"), moment(row, "end"), text(row, "end_reason"),
            number(row, "connects"), duration(row, "total"), duration(row, "active"),
            row["client_addresses"]?.array?.compactMap(\.string).joined(separator: " ") ?? "",
        ]
    }
}

/// One line an event.
package struct EventTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("ID", .right, width: 3), .init("TIME", width: 25), .init("EVENT", width: 12),
        .init("FROM", width: 32), .init("REASON"),
    ])

    package var keys: [String] {
        ["user", "uid", "session", "session_uuid", "stack", "time", "event", "client_address", "client_name", "reason"]
    }

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        let name = text(row, "client_name")
        return [
            text(row, "user"), number(row, "session"), moment(row, "time"), text(row, "event"),
            text(row, "client_address") + (name.isEmpty ? "" : " (\(name))"), text(row, "reason"),
        ]
    }
}
