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
        let table: any HistoryRows = events ? EventTable() : HistoryTable()
        switch output.format {
        case .table:
            var isFirst = true
            try client.reports("History", filter) { row throws(CommandError) in
                if isFirst { Output.write(table.header + "\n") }
                isFirst = false
                Output.write(table.line(row) + "\n")
            }
            if isFirst { Output.error("termspan: No sessions are recorded.") }
        case .json, .csv:
            var writer = Records.Writer(output.format, keys: table.keys) { Output.write($0) }
            try client.reports("History", filter) { row throws(CommandError) in writer.write(row) }
            writer.finish()
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

/// A table of the history: printed while it is read, in columns of fixed widths.
package protocol HistoryRows: Sendable {
    /// The keys of its rows, in their order.
    var keys: [String] { get }
    var table: Table { get }
    func cells(_ row: JSONValue) -> [String]
}

extension HistoryRows {
    private var widths: [Int] { table.columns.map { max($0.width, $0.title.utf8.count) } }

    package var header: String { table.line(" ", table.columns.map(\.title), widths) }

    package func line(_ row: JSONValue) -> String { table.line(" ", cells(row).map { Printable.text($0) }, widths) }

    fileprivate func text(_ row: JSONValue, _ key: String) -> String { row[key]?.string ?? "" }

    fileprivate func number(_ row: JSONValue, _ key: String) -> String { row[key]?.unsigned.map { String($0) } ?? "" }

    fileprivate func moment(_ row: JSONValue, _ key: String) -> String {
        let value = text(row, key)
        return TimeText.parse(value, now: WallInstant(nanoseconds: 0)).map { TimeText.local($0) } ?? value
    }
}

/// One line a session.
package struct HistoryTable: HistoryRows {
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
        func duration(_ key: String) -> String { row[key]?.double.map { TimeText.duration(seconds: $0) } ?? "" }
        return [
            text(row, "user"), number(row, "session"), moment(row, "logon"), moment(row, "end"), text(row, "end_reason"),
            number(row, "connects"), duration("total"), duration("active"),
            row["client_addresses"]?.array?.compactMap(\.string).joined(separator: " ") ?? "",
        ]
    }
}

/// One line an event.
package struct EventTable: HistoryRows {
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
