import ArgumentParser

/// `termspan query process`
struct QueryProcess: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "process", abstract: "List the processes in the scopes of sessions.",
            discussion: "What a user's service manager started, as for applications launched through D-Bus, is in no session's scope.")
    }

    @Argument(help: "Only sessions of this name, user or ID.", completion: Completions.targets)
    var target: String?

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let rows = try Client.connect().sessions(target).flatMap { SessionProcesses.rows(of: $0) }
        Output.listing(output.format, keys: ProcessRow.keys, rows: rows.map(\.json), table: SessionTables.processes(rows))
    }
}
