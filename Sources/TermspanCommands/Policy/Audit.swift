import ArgumentParser
import TermspanBus

/// `termspan audit`
struct Audit: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "audit", abstract: "List who decided whose activity is recorded, and who read what is others'.",
            discussion: """
                Without --all or --user you see what is about you: decisions, and who looked at what is held about you or about everybody. \
                Root sees everything. The same look again within a minute is recorded once. That nothing was changed shows termspan verify.
                """)
    }

    @Option(help: "Only what is about this user; needs the right org.termspan1.view-audit.", completion: Completions.users)
    var user: String?

    @Flag(help: "Everything, which needs the right org.termspan1.view-audit.")
    var all = false

    @Option(help: "From this moment on: \(Moment.help).")
    var since: Moment?

    @Option(help: "Up to this moment.")
    var until: Moment?

    @OptionGroup var output: FormatOptions

    func validate() throws {
        try ActivityOptions.check(all: all, user: user)
        if let since, let until, since.instant > until.instant { throw ValidationError("--since is later than --until.") }
    }

    func execute() throws {
        var filter = ActivityOptions.whose(all: all, user: user)
        if let since { filter["since"] = .uint64(since.instant.microseconds) }
        if let until { filter["until"] = .uint64(until.instant.microseconds) }
        try Client.connect().printReport("Audit", filter, output.format, AuditTable(), orElse: "Nothing is recorded.")
    }
}

/// The table of `audit`.
package struct AuditTable: StreamedTable {
    package let table = Table([
        .init("TIME", width: 25), .init("BY", width: 10), .init("WHAT", width: 20), .init("ABOUT", width: 12), .init("VALUE"),
    ])

    package let keys = ["id", "time", "by", "action", "user", "user_uuid", "value", "entry", "sha256"]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [moment(row, "time"), text(row, "by"), Self.what(row), Self.about(row), text(row, "value")]
    }

    /// What was read, if it is an entry about that.
    package static func read(_ row: JSONValue) -> String? {
        guard let action = row["action"]?.string, action.hasPrefix(readPrefix) else { return nil }
        return String(action.dropFirst(readPrefix.count))
    }

    private static let readPrefix = "read-"

    private static func what(_ row: JSONValue) -> String { read(row).map { "read \($0)" } ?? row["action"]?.string ?? "" }

    /// Whom it is about.
    package static func about(_ row: JSONValue) -> String {
        if let user = row["user"]?.string { return user }
        if row["user_uuid"]?.string != nil { return "(erased)" }
        if row["value"]?.string == "not-stored" { return "(not stored)" }
        return read(row) == nil ? "" : everybody
    }

    package static let everybody = "everybody"
}
