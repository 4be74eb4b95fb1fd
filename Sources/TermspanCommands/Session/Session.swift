import ArgumentParser

/// `termspan session`
struct Session: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "session", abstract: "Look at sessions, those of the past too, and lock, disconnect or end them.",
            subcommands: [
                SessionShow.self, SessionHistory.self, SessionWatch.self, SessionLock.self, SessionDisconnect.self, SessionLogoff.self,
            ])
    }
}
