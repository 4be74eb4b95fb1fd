import ArgumentParser
import TermspanBus

/// `termspan spans`
struct Spans: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "spans", abstract: "List which application had the focus, from when to when, and how much of it was active.",
            discussion: """
                Active: the last input was less than the idle threshold ago. Passive: longer, up to the passive limit. Inactive: beyond.
                Spans that last still have no end; --open includes them.
                The table leaves out spans without an application that are shorter than 100 ms, as some window managers make them at
                each switch; --short includes them, as JSON and CSV always do.
                """)
    }

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var which: SpanOptions

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let client = try Client.connect()
        try client.printReport(
            "Spans", which.filter(activity), output.format, SpanTable(), orElse: "No spans.", leavesOut: which.isLeftOut)
    }
}

/// Which spans beside those that have ended and of which there is something to see.
struct SpanOptions: ParsableArguments {
    @Flag(help: "Include what has not ended yet.")
    var open = false

    @Flag(help: "Include moments without an application, shorter than 100 ms, in the table.")
    var short = false

    @OptionGroup var sight: SightOptions

    func filter(_ activity: ActivityOptions) -> [String: BusValue] {
        var filter = activity.filter().merging(sight.filter) { $1 }
        filter["open"] = .bool(open)
        return filter
    }

    func isLeftOut(_ span: JSONValue) -> Bool { !short && SpanTable.isBetweenWindows(span) }
}

/// How much of what others do is told: an option of all that tells applications.
struct SightOptions: ParsableArguments {
    @Flag(help: "Show what is not business, and what rules ignore, of others, too; needs the right org.termspan1.view-details.")
    var details = false

    init() {}

    /// In a filter of the reports service.
    var filter: [String: BusValue] { details ? ["details": .bool(true)] : [:] }
}
