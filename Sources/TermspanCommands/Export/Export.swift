import ArgumentParser
import Glibc
import TermspanBus

/// `termspan export`
struct Export: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "export", abstract: "Write what was done to a file, for other programs: of any size, a row at a time.",
            discussion: """
                Without --user and --all it is your own activity, for root everybody's. Only what has ended is exported. The columns are in \
                termspan-export(5). What others do that is not business is in it as other; --details has it told.
                """, subcommands: [ExportJSONLines.self, ExportCSV.self, ExportSQLite.self, ExportActivityWatch.self])
    }
}

/// `termspan export jsonl`
struct ExportJSONLines: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "jsonl", abstract: "Rows as JSON Lines: an object a line.", discussion: RowExport.discussion)
    }

    @OptionGroup var export: RowExport

    func execute() throws { try export.run("jsonl") }
}

/// `termspan export csv`
struct ExportCSV: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "csv", abstract: "Rows as CSV, with a header unless it goes on after a cursor.", discussion: RowExport.discussion)
    }

    @OptionGroup var export: RowExport

    func execute() throws { try export.run("csv") }
}

/// What both exports of rows know.
struct RowExport: ParsableArguments {
    static let discussion = """
        At its end it tells a cursor on standard error: with --after CURSOR a later export has exactly the rows that have come since, in \
        whichever session. --cursor-file keeps it, and goes on after it. An export that broke off tells how to go on, too.
        """

    @Argument(help: "A new file, which only you can read; without it the rows go to standard output.", completion: .file())
    var file: String?

    @Option(help: "Only what came after the export that told this cursor, of the same users, sessions and filters.")
    var after: String?

    @Option(help: "Go on after the cursor in this file, if there is one, and leave the new one there.", completion: .file())
    var cursorFile: String?

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var wanted: ActivityChoice

    @OptionGroup var sight: SightOptions

    init() {}

    func validate() throws {
        if after != nil, cursorFile != nil { throw ValidationError("--after and --cursor-file exclude each other.") }
        if activity.pseudonyms != nil, after != nil || cursorFile != nil || wanted.group != nil || wanted.computer != nil {
            throw ValidationError("--pseudonyms goes with neither cursors, groups nor computers.")
        }
    }

    @MainActor
    func run(_ format: String) throws {
        let keeper = try cursorFile.map { path throws(CommandError) in try CursorFile(path: path) }
        var filter = activity.filter().merging(wanted.filter(described: true)) { $1 }.merging(sight.filter) { $1 }
        filter["format"] = .string(format)
        if let cursor = after ?? keeper?.cursor { filter["after"] = .string(cursor) }
        let target = try ExportFile(path: file)
        let outcome = ExportOutcome()
        do throws(CommandError) {
            try Client.connect().exportLines(filter, to: target, outcome)
            try target.finish()
        } catch {
            target.discard()
            // What has gone out is the reader's; of a file nothing is left.
            if file == nil, let cursor = outcome.cursor, outcome.rows > 0 {
                Output.error("termspan: \(outcome.rows) rows were complete. To go on after them: --after \(cursor)")
            }
            throw error
        }
        guard let cursor = outcome.cursor else { return Output.error("termspan: \(outcome.rows) rows.") }
        if let keeper {
            try keeper.keep(cursor)
            Output.error("termspan: \(outcome.rows) rows.")
        } else {
            Output.error("termspan: \(outcome.rows) rows. For what comes later: --after \(cursor)")
        }
    }
}

/// `termspan export activitywatch`
struct ExportActivityWatch: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "activitywatch", abstract: "The document that ActivityWatch imports: buckets of windows and of presence.",
            discussion: """
                Titles of windows are not recorded: in their place is what people call the application. Presence is ActivityWatch's: somebody is away \
                from the last input on where none follows within 180 s.
                """)
    }

    @Argument(help: "A new file, which only you can read; without it the document goes to standard output.", completion: .file())
    var file: String?

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var wanted: ActivityChoice

    @OptionGroup var sight: SightOptions

    func validate() throws {
        if activity.pseudonyms != nil { throw ValidationError("By pseudonyms rows alone are exported: as jsonl or csv.") }
    }

    func execute() throws {
        var filter = activity.filter().merging(wanted.filter(described: true)) { $1 }.merging(sight.filter) { $1 }
        filter["format"] = "activitywatch"
        let target = try ExportFile(path: file)
        let outcome = ExportOutcome()
        do throws(CommandError) {
            try Client.connect().exportLines(filter, to: target, outcome)
            try target.finish()
        } catch {
            target.discard()
            throw error
        }
        Output.error("termspan: \(outcome.rows) events.")
    }
}

/// `termspan export sqlite`
struct ExportSQLite: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "sqlite", abstract: "An SQLite database with events, summaries by day, users and computers.",
            discussion:
                "Its tables and columns are in termspan-export(5). Days begin by the machine's time zone unless --zone names another.")
    }

    @Argument(help: "A new file, which only you can read.", completion: .file())
    var file: String

    @Option(help: "The time zone whose days the summaries are by, as Europe/Vienna.")
    var zone: String?

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var wanted: ActivityChoice

    @OptionGroup var sight: SightOptions

    func validate() throws {
        if activity.pseudonyms != nil { throw ValidationError("By pseudonyms rows alone are exported: as jsonl or csv.") }
        try TimeZoneName.check(zone)
        if file.isEmpty || file == "-" || file.hasSuffix("/") { throw ValidationError("'\(file)' is no name of a file.") }
    }

    func execute() throws {
        var filter = activity.filter().merging(wanted.filter(described: true)) { $1 }.merging(sight.filter) { $1 }
        filter["format"] = "tables"
        if let zone { filter["zone"] = .string(zone) }
        // Of a file that is there nothing is overwritten, and that is said before the work.
        let target = try ExportFile(path: file)
        do throws(CommandError) {
            let rows = try Client.connect().exportDatabase(filter, to: target)
            try target.finish()
            Output.error("termspan: \(rows) rows.")
        } catch {
            target.discard()
            throw error
        }
    }
}
