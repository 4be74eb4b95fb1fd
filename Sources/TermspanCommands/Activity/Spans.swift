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

    @Flag(help: "Include spans that have not ended yet.")
    var open = false

    @Flag(help: "Include spans without an application that are shorter than 100 ms in the table.")
    var short = false

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let client = try Client.connect()
        var filter = activity.filter()
        filter["open"] = .bool(open)
        try client.printReport("Spans", filter, output.format, SpanTable(), orElse: "No spans.") { span in
            !short && SpanTable.isBetweenWindows(span)
        }
    }
}
