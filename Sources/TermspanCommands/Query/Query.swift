import ArgumentParser

/// `termspan query`
struct Query: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "query", abstract: "List sessions, users or processes, as the Windows commands of these names do.",
            subcommands: [QuerySession.self, QueryUser.self, QueryProcess.self], defaultSubcommand: nil)
    }
}
