import ArgumentParser
import TermspanBus
import TermspanCore

/// `termspan facts`
struct Facts: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "facts", abstract: "Show what is known of the computer, users and sessions, and since when.",
            discussion: """
                Of the computer its name, time zone, domain, network and addresses; of users who are recorded their login, name and domain; of \
                sessions ID and UUID. Each has the time from which it held: what was changed since still shows as it was. What is not known is blank. \
                Everybody sees the computer's and their own, root everybody's.
                """)
    }

    @Option(help: "As it was at this moment: \(Moment.help).")
    var at: Moment?

    @Flag(help: "At all times, with when it ceased to hold.")
    var history = false

    @Option(help: "Only this user, and the computer.", completion: Completions.users)
    var user: String?

    @Flag(help: "Everybody's, which needs the right org.termspan1.view-others.")
    var all = false

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if at != nil, history { throw ValidationError("--at and --history exclude each other.") }
        try ActivityOptions.check(all: all, user: user)
    }

    func execute() throws {
        var filter = ActivityOptions.whose(all: all, user: user)
        if let at { filter["at"] = .uint64(at.instant.microseconds) }
        if history { filter["history"] = .bool(true) }
        try Client.connect().printReport("Facts", filter, output.format, FactsTable(), orElse: "Nothing is known yet.")
    }
}

/// The table of `facts`.
package struct FactsTable: StreamedTable {
    package let table = Table([
        .init("OF", width: 12), .init("FACT", width: 17), .init("VALUE", width: 30), .init("SINCE", width: 25), .init("UNTIL"),
    ])

    package let keys = ["of", "user", "uid", "session", "session_uuid", "fact", "value", "since", "until"]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        let subject = row["of"]?.string == "computer" ? "(computer)" : text(row, "user")
        let uuid = text(row, "session_uuid")
        return [
            subject, text(row, "fact"), text(row, "value") + (uuid.isEmpty ? "" : " \(uuid)"), moment(row, "since"), moment(row, "until"),
        ]
    }
}
