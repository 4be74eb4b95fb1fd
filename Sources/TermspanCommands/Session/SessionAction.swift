import ArgumentParser
import TermspanBus

/// `termspan session lock`
struct SessionLock: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "lock", abstract: "Ask a session to lock its screen.",
            discussion: "Whether it does is up to its screen locker. Others' sessions need the right org.termspan1.manage-sessions.")
    }

    @OptionGroup var session: OneSession

    func execute() throws { try session.perform("LockSession") { "\($0) was asked to lock." } }
}

/// `termspan session disconnect`
struct SessionDisconnect: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "disconnect", abstract: "End the connection of a session's client; the session goes on.",
            discussion: "For sessions of xrdp, X2Go and TigerVNC. Others' sessions need the right org.termspan1.manage-sessions.")
    }

    @OptionGroup var session: OneSession

    func execute() throws { try session.perform("DisconnectSession") { "\($0) is being disconnected." } }
}

/// `termspan session logoff`
struct SessionLogoff: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "logoff", abstract: "End a session with all its programs.",
            discussion: "What is not saved in them is lost. Others' sessions need the right org.termspan1.manage-sessions.")
    }

    @OptionGroup var session: OneSession

    func execute() throws { try session.perform("TerminateSession") { "\($0) is being logged off." } }
}

/// The one session that a command acts on.
struct OneSession: ParsableArguments {
    @Argument(help: "The session's ID, or a name or user that only one has.", completion: Completions.targets)
    var target: String

    /// Has the collector do it; `text` says that it was begun.
    @MainActor
    func perform(_ member: String, _ text: (_ session: String) -> String) throws {
        let client = try Client.connect()
        let meant = try Client.meant(by: target, of: client.enumeratedSessions())
        // Of several nobody can tell which is meant, and what is ended is ended.
        guard let session = meant.first, meant.count == 1 else {
            throw CommandError(
                .usage, "\(target) has several sessions: \(meant.map { String($0.id) }.joined(separator: ", ")).",
                remedy: "Name one by its ID.")
        }
        try PasswordAgent.whileAsking {
            _ = try client.manager(member, interactive: true) { $0.append(session.id) }
        }
        Output.write(Printable.text(text("Session \(session.id)" + (session.user.isEmpty ? "" : " of user \(session.user)"))) + "\n")
    }
}
