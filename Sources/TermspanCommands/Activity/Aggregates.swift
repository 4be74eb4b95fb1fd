import ArgumentParser
import TermspanBus

/// `termspan aggregates`
struct Aggregates: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "aggregates", abstract: "Show how the time of everybody and of certain groups went in past months, on average.",
            discussion: """
                Averages per user, to a quarter of an hour. Which groups there are, and of how many users an average is at least, is a part of \
                the policy; who asks can't choose. A month is told from a day after its end on, and always as it was told first. It needs the \
                right org.termspan1.view-aggregates.
                """)
    }

    @Option(help: "Only this calendar month, as 2026-10; without it all that there are.")
    var period: String?

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let filter: [String: BusValue] = period.map { ["period": .string($0)] } ?? [:]
        try Client.connect().printReport("Aggregates", filter, output.format, AggregatesTable(), orElse: "No month is told yet.")
    }
}

/// The table of `aggregates`.
package struct AggregatesTable: StreamedTable {
    package let table = Table([
        .init("PERIOD", width: 7), .init("GROUP", width: 20), .init("USERS", .right, width: 5), .init("ACTIVE", .right, width: 9),
        .init("PASSIVE", .right, width: 9), .init("INACTIVE", .right, width: 9), .init("CONNECTED", .right, width: 9),
        .init("SHARE", .right, width: 5), .init("WITHHELD"),
    ])

    package let keys = ["period", "group", "users", "active", "passive", "inactive", "connected", "active_share", "withheld"]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        let users = number(row, "users")
        let share = number(row, "active_share")
        return [
            text(row, "period"), row["group"]?.string ?? "(everybody)", users.isEmpty ? "" : users + "+", duration(row, "active"),
            duration(row, "passive"), duration(row, "inactive"), duration(row, "connected"), share.isEmpty ? "" : share + "%",
            text(row, "withheld"),
        ]
    }
}
