import ArgumentParser
import TermspanBus
import TermspanCore

/// `termspan activity`
struct Activity: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "activity",
            abstract: "List what was done: every stretch of time with an application in front, to the millisecond.",
            discussion: """
                The rows of spans, with what people call each application: the name of its .desktop entry in your language, else its file's. Of a \
                script it is the script's, not its interpreter's; a terminal is the activity, not what runs in it.
                Activities that last still have no end; --open includes them.
                """)
    }

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var wanted: ActivityChoice

    @OptionGroup var which: SpanOptions

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let filter = which.filter(activity).merging(wanted.filter(described: true)) { $1 }
        try Client.connect().printReport(
            "Spans", filter, output.format, ActivityTable(isImported: activity.imported), orElse: "No activity.", leavesOut: which.isLeftOut
        )
    }
}

/// Which activities: those that all of this holds of.
struct ActivityChoice: ParsableArguments {
    enum Category: String, CaseIterable, Sendable, ExpressibleByArgument {
        case active, passive, inactive
    }

    @Option(help: "Only of this executable: a path or a file's name, * standing for anything.")
    var executable: String?

    @Option(help: "Only with this in the description, in upper or lower case.")
    var description: String?

    @Option(help: "Only with some time of this category.")
    var category: Category?

    @Option(help: "Only what rules classify so, as Office, in upper or lower case; other is what is not business.")
    var classified: String?

    @Option(help: "Only of members of this group; own:GROUP is one of Termspan's own.", completion: Completions.groups)
    var group: String?

    @Option(help: "Only of this computer, by its name or UUID.")
    var computer: String?

    init() {}

    /// In a filter of the reports service.
    ///
    /// - Parameter described: whether rows are to have descriptions, in the language of messages.
    func filter(described: Bool) -> [String: BusValue] {
        var filter: [String: BusValue] = [:]
        for (key, value) in [
            ("executable", executable), ("description", description), ("category", category?.rawValue),
            ("classified", classified), ("group", group), ("computer", computer),
        ] {
            if let value { filter[key] = .string(value) }
        }
        if described || description != nil { filter["languages"] = .strings(Languages.names()) }
        return filter
    }
}

/// The table of `activity`: printed while it is read.
package struct ActivityTable: StreamedTable {
    package let table: Table
    private let isImported: Bool

    package let keys = [
        "user", "uid", "session", "session_uuid", "imported_from", "start", "end", "duration", "description", "executable", "class",
        "category",
        "productivity", "business", "active", "passive", "inactive", "open",
    ]

    /// - Parameter isImported: has the computers that rows were imported of in place of sessions' numbers.
    package init(isImported: Bool = false) {
        self.isImported = isImported
        table = Table([
            .init("USER", width: 12), isImported ? .init("IMPORTED FROM", width: 16) : .init("ID", .right, width: 3),
            .init("START", width: 29), .init("DURATION", .right, width: 8), .init("ACTIVE", .right, width: 8),
            .init("PASSIVE", .right, width: 8), .init("CATEGORY", width: 17), .init("DESCRIPTION", width: 24), .init("EXECUTABLE"),
        ])
    }

    package func cells(_ row: JSONValue) -> [String] {
        [
            text(row, "user"), isImported ? text(row, "imported_from") : number(row, "session"), moment(row, "start", milliseconds: true),
            duration(row, "duration"),
            duration(row, "active"), duration(row, "passive"), text(row, "category"), text(row, "description"), text(row, "executable"),
        ]
    }
}
