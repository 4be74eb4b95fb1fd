import ArgumentParser
import TermspanBus

/// `termspan donottrack`
struct DoNotTrack: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "donottrack", abstract: "Keep users from being tracked, whatever is decided else.",
            discussion: """
                An entry holds under each name that a user has, and before anybody has been seen with it: anna (in whatever domain, as \
                anna@*), anna@example.com, EXAMPLE\\anna, uid:1001, or in a directory sid:S-1-5-21-1-2-3-1104, which renaming \
                leaves as it is. Adding one ends tracking at once and deletes nothing; untrack adds a user's entries, track removes them.
                """, subcommands: [DoNotTrackList.self, DoNotTrackAdd.self, DoNotTrackRemove.self])
    }
}

/// `termspan donottrack list`
struct DoNotTrackList: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "list", abstract: "List who is not to be tracked, since when, by whose decision and why.",
            discussion: "Everybody sees the entries about themselves; root and those with the right org.termspan1.view-others see all.")
    }

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let entries = try Client.connect().policy().doNotTrack
        switch output.format {
        case .table: Output.lines(TrackingPolicy.Entry.table(entries))
        case .json, .csv: Output.write(Records.text(entries.map(\.json), keys: TrackingPolicy.Entry.keys, output.format))
        }
    }
}

/// `termspan donottrack add`
struct DoNotTrackAdd: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "add", abstract: "Put users on the Do Not Track list.",
            discussion: "What was recorded stays. It needs the right org.termspan1.manage-tracking.")
    }

    @Argument(help: "Who: anna, anna@*, anna@example.com, EXAMPLE\\anna, uid:1001, sid:S-1-5-21-1-2-3-1104.", completion: Completions.users)
    var entries: [String]

    @Option(help: "Why; kept with the entry and shown to whom it is about.")
    var reason: String = ""

    func execute() throws { try DoNotTrackEntries.set(entries, listed: true, Grounds(reason: reason)) }
}

/// `termspan donottrack remove`
struct DoNotTrackRemove: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "remove", abstract: "Take entries off the Do Not Track list.",
            discussion: """
                Nobody is tracked by that alone whose tracking was ended with untrack: for that see track. It needs the right \
                org.termspan1.manage-tracking.
                """)
    }

    @Argument(help: "Entries, as the list shows them.")
    var entries: [String]

    @OptionGroup var grounds: GroundsOptions

    func execute() throws { try DoNotTrackEntries.set(entries, listed: false, grounds.grounds) }
}

enum DoNotTrackEntries {
    @MainActor
    static func set(_ entries: [String], listed: Bool, _ grounds: Grounds) throws {
        let rows = try Client.connect().decide("SetDoNotTrack", entries, listed, grounds)
        let outcomes = rows.map { (entry: $0["entry"]?.string ?? "", changed: $0["changed"]?.bool ?? false) }
        for (entry, changed) in outcomes {
            let state =
                switch (listed, changed) {
                case (true, true): "is on the Do Not Track list now"
                case (true, false): "was on the Do Not Track list already"
                case (false, true): "is no longer on the Do Not Track list"
                case (false, false): "was not on the Do Not Track list"
                }
            Output.lines([Printable.text("\(entry) \(state).")])
        }
        if !listed, let missing = outcomes.first(where: { !$0.changed }) {
            throw CommandError(.notFound, "There is no entry \(missing.entry).", remedy: "See: termspan donottrack list")
        }
    }
}
