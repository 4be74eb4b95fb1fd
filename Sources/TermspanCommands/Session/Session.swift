import ArgumentParser

/// `termspan session`
struct Session: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "session", abstract: "Look at sessions, those of the past too.",
            subcommands: [SessionShow.self, SessionHistory.self, SessionWatch.self])
    }
}
