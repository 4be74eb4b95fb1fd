import ArgumentParser

/// `termspan session`
struct Session: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(abstract: "Look at one session.", subcommands: [SessionShow.self])
    }
}
