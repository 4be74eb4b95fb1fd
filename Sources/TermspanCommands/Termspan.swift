package import ArgumentParser
import Glibc
import TermspanCore

/// The command `termspan`: termspan(1).
package struct Termspan: ParsableCommand {
    /// Each command states its name: deriving it from the type's costs a third of a run, in searches for conformances.
    package static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "termspan",
            abstract: "Who is on this server, in which session and state, and how the time goes.",
            version: Version.text,
            subcommands: [
                Query.self, Session.self, Activity.self, Spans.self, Summary.self, Report.self, Timeline.self, Classify.self, Export.self,
                Import.self,
                Aggregates.self, Facts.self, Me.self, Pause.self,
                Resume.self,
                Top.self, Log.self,
                Status.self,
                Doctor.self, Users.self, Track.self, Untrack.self, DoNotTrack.self, Erase.self, Policy.self, Roles.self, Groups.self,
                Reveal.self,
                Audit.self, Verify.self, Backup.self,
            ])
    }

    package init() {}

    /// Runs what the arguments, without the program's name, say, and returns the exit code.
    @MainActor
    package static func run(_ arguments: [String]) -> Int32 {
        // A pipe that nobody reads any more ends the command, quietly, as it ends others.
        do {
            var command = try parseAsRoot(arguments)
            try command.run()
            Output.flush()
            return 0
        } catch let error as CommandError {
            Output.flush()
            for line in error.lines { Output.error(line) }
            return error.code.rawValue
        } catch let error as ExitCode {
            Output.flush()
            return error.rawValue
        } catch {
            Output.flush()
            let message = fullMessage(for: error)
            if exitCode(for: error) == .success {
                Output.write(message + "\n")
                Output.flush()
                return 0
            }
            for line in message.split(separator: "\n") {
                let line = line.hasPrefix("Error: ") ? line.dropFirst("Error: ".count) : line
                Output.error(
                    line.hasPrefix("Usage:") || line.hasPrefix(" ")
                        ? Printable.text(String(line)) : "termspan: " + Printable.text(String(line)))
            }
            return exitCode(for: error) == .validationFailure ? CommandError.Code.usage.rawValue : CommandError.Code.failure.rawValue
        }
    }
}

/// A subcommand that does its work on the main thread, where the bus is.
protocol MainCommand: ParsableCommand {
    @MainActor func execute() throws
}

extension MainCommand {
    func run() throws {
        // ArgumentParser runs commands where it was called: on the main thread, by `Termspan.run`.
        nonisolated(unsafe) let command = self
        try MainActor.assumeIsolated { try command.execute() }
    }
}
