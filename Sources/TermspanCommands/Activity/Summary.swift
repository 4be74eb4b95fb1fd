import ArgumentParser

/// `termspan summary`
struct Summary: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "summary", abstract: "Add up each session's time by category.",
            discussion: "The categories add up to the session's time exactly; Docs/accounting.md defines them.")
    }

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var output: FormatOptions

    func execute() throws {
        var rows: [JSONValue] = []
        try Client.connect().reports("Summary", activity.filter()) { row throws(CommandError) in rows.append(row) }
        Output.listing(output.format, keys: SummaryTable.keys, rows: rows, table: SummaryTable.lines(rows))
    }
}

/// The table of `summary`.
package enum SummaryTable {
    package static let categories = ["active", "passive", "inactive", "locked", "disconnected", "paused", "suspended", "unknown"]
    package static let keys = ["user", "uid", "session", "session_uuid", "stack", "start", "end", "open", "total"] + categories

    package static func lines(_ rows: [JSONValue]) -> [String] {
        var table = Table(
            [.init("USER", width: 12), .init("ID", .right, width: 3), .init("TOTAL", .right, width: 8)]
                + categories.map { .init($0.uppercased(), .right, width: 8) })
        for row in rows {
            let total = row["total"]?.double ?? categories.reduce(0) { $0 + (row[$1]?.double ?? 0) }
            table.add(
                [row["user"]?.string ?? "", row["session"]?.unsigned.map { String($0) } ?? "", TimeText.duration(seconds: total)]
                    + categories.map { row[$0]?.double.map { TimeText.duration(seconds: $0) } ?? "" })
        }
        return table.lines()
    }
}
