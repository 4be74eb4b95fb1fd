import ArgumentParser
import TermspanBus

/// `termspan track`
struct Track: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "track", abstract: "Begin to record the activity of users.",
            discussion: "They can see that they are tracked, and what is held about them. It needs the right org.termspan1.manage-tracking."
        )
    }

    @Argument(help: "Login names.", completion: Completions.users)
    var users: [String]

    @Option(help: "Why; kept with the policy and shown to the users.")
    var reason: String

    func validate() throws {
        if reason.allSatisfy(\.isWhitespace) { throw ValidationError("--reason must not be empty: it is shown to the users.") }
    }

    func execute() throws { try Tracking.set(users, true, reason) }
}

/// `termspan untrack`
struct Untrack: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "untrack", abstract: "End the recording of users' activity at once.",
            discussion: "What was recorded stays. It needs the right org.termspan1.manage-tracking.")
    }

    @Argument(help: "Login names.", completion: Completions.users)
    var users: [String]

    @Option(help: "Why; kept with the policy.")
    var reason: String = ""

    func execute() throws { try Tracking.set(users, false, reason) }
}

enum Tracking {
    /// What became of one user.
    package struct Outcome: Hashable, Sendable {
        package var user: String
        package var changed: Bool
        package var error: String
    }

    @MainActor
    static func set(_ users: [String], _ tracked: Bool, _ reason: String) throws {
        let rows = try Client.connect().decide("SetTracking", users, tracked, reason)
        let outcomes = rows.map {
            Outcome(user: $0["user"]?.string ?? "", changed: $0["changed"]?.bool ?? false, error: $0["error"]?.string ?? "")
        }
        Output.lines(lines(outcomes, tracked: tracked))
        let failed = outcomes.filter { !$0.error.isEmpty }
        if let first = failed.first {
            let isUnknown = first.error.hasPrefix("org.termspan1.Error.NoSuchUser") || first.error.lowercased().contains("no such user")
            throw CommandError(isUnknown ? .notFound : .failure, failed.map { "\($0.user): \($0.error)" }.joined(separator: "; "))
        }
    }

    static func lines(_ outcomes: [Outcome], tracked: Bool) -> [String] {
        let state = tracked ? "tracked" : "untracked"
        return outcomes.filter(\.error.isEmpty).map {
            Printable.text($0.changed ? "\($0.user) is now \(state)." : "\($0.user) was \(state) already.")
        }
    }
}
