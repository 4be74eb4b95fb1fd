import ArgumentParser

/// `termspan session`
struct Session: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "session", abstract: "Look at one session.", subcommands: [SessionShow.self])
    }
}
