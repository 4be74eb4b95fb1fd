import ArgumentParser
import Glibc
import TermspanBus
import TermspanCore

/// `termspan timeline`
struct Timeline: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "timeline", abstract: "Draw a day: for each session when it was active, and with which application.",
            discussion: """
                One bar is of states, one of applications, from midnight to midnight in the time zone, which makes 23 or 25 hours where the \
                clocks change. Where there are no colours, since it is no terminal or NO_COLOR is set, states are letters and signs.
                """)
    }

    enum Format: String, CaseIterable, ExpressibleByArgument {
        case table, svg, json, csv
    }

    @Option(help: "The day, as 2026-10-25, today or yesterday.")
    var date: String = "today"

    @Option(help: "Only this user; without it your own, for root everybody's.", completion: Completions.users)
    var user: String?

    @Flag(help: "Everybody's, which needs the right org.termspan1.view-others.")
    var all = false

    @Option(help: "Only the session of this ID, or UUID.", completion: Completions.sessions)
    var session: String?

    @Option(help: "The time zone that the day is of, as Europe/Berlin; without it the local one.")
    var zone: String?

    @OptionGroup var sight: SightOptions

    @Option(help: "Draw bars in the terminal, or as a picture in SVG; or print all stretches as JSON or CSV.")
    var format: Format = .table

    func validate() throws {
        try ActivityOptions.check(all: all, user: user, session: session)
        try TimeZoneName.check(zone)
        if !["today", "yesterday"].contains(date), TimeText.day(date) == nil {
            throw ValidationError("'\(date)' is no day; one is like 2026-10-25, today or yesterday.")
        }
    }

    func execute() throws {
        if let zone { TimeZoneName.use(zone) }
        guard let start = TimeText.parse(date, now: .present), let end = TimeText.nextMidnight(after: start) else {
            throw CommandError(.failure, "The local time is not known.")
        }
        var filter = ActivityOptions.whose(all: all, user: user, session: session).merging(sight.filter) { $1 }
        filter["since"] = .uint64(start.microseconds)
        filter["until"] = .uint64(end.microseconds)
        let client = try Client.connect()
        if format == .json || format == .csv {
            var writer = Records.Writer(format == .json ? .json : .csv, keys: Self.keys) { Output.write($0) }
            try client.reports("Timeline", filter) { row throws(CommandError) in writer.write(row) }
            return writer.finish()
        }
        var day = DayTimeline(start: start, end: end)
        try client.reports("Timeline", filter) { row throws(CommandError) in day.add(row) }
        let title = "\(TimeText.weekday(start)) \(TimeText.local(start).prefix(10))" + (zone.map { ", \($0)" } ?? "")
        if format == .svg { return Output.write(TimelineSVG.text(day, title: title)) }
        if day.sessions.isEmpty { return Output.error("termspan: Nothing is recorded of that day.") }
        func variable(_ name: String) -> String? { getenv(name).map { String(cString: $0) } }
        let drawing = TimelineDrawing(
            width: Terminal().size.columns, isUTF8: Chart.writesUTF8(variable),
            hasColours: isatty(STDOUT_FILENO) == 1 && (variable("NO_COLOR") ?? "").isEmpty && variable("TERM") != "dumb")
        Output.lines(drawing.lines(day, title: title))
    }

    static let keys = [
        "user", "uid", "session", "session_uuid", "stack", "start", "end", "state", "executable", "class", "category", "productivity",
        "business",
    ]
}
