import ArgumentParser

/// `termspan query session`
struct QuerySession: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "session", abstract: "List sessions; > marks your own.")
    }

    @Argument(help: "Only sessions of this name, user or ID.", completion: Completions.targets)
    var target: String?

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let client = try Client.connect()
        let all = try output.format == .table ? client.enumeratedSessions() : client.sessions()
        let rows = try Client.meant(by: target, of: all)
        Output.listing(output.format, keys: SessionRow.keys, rows: rows.map(\.json), table: SessionTables.sessions(rows))
    }
}
