import ArgumentParser

/// `termspan query user`
struct QueryUser: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "user", abstract: "List users who are logged on, with idle and logon times.")
    }

    @Argument(help: "Only this user, session name or ID.", completion: Completions.targets)
    var target: String?

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let rows = try Client.connect().sessions(target).filter(\.isLogon)
        if rows.isEmpty, let target {
            throw CommandError(.notFound, "No user is logged on as \(target).", remedy: "See: termspan query session")
        }
        Output.listing(output.format, keys: SessionRow.keys, rows: rows.map(\.json), table: SessionTables.users(rows))
    }
}
