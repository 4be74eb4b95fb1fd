import ArgumentParser

/// `termspan policy`
struct Policy: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "policy", abstract: "Show and set whose activity is recorded.",
            subcommands: [PolicyShow.self, PolicySet.self, PolicyExport.self, PolicyDiff.self, PolicyApply.self])
    }
}

/// `termspan policy show`
struct PolicyShow: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "show", abstract: "Show whose activity is recorded, since when, by whose decision and why.",
            discussion: "Everybody sees the own row; root and those with the right org.termspan1.view-others see all.")
    }

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let policy = try Client.connect().policy()
        switch output.format {
        case .table: Output.lines(policy.lines)
        case .json: Output.write(policy.json.text + "\n")
        case .csv: Output.write(Records.text(policy.users.map(\.json), keys: TrackingPolicy.User.keys, .csv))
        }
    }
}

/// `termspan policy set`
struct PolicySet: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "set", abstract: "Set a part of the policy.",
            discussion: "new-users: whether users that nobody decided about are tracked or untracked.")
    }

    enum Key: String, CaseIterable, ExpressibleByArgument { case newUsers = "new-users" }

    @Argument(help: "What to set: new-users.")
    var key: Key

    @Argument(help: "tracked or untracked.")
    var value: TrackingState

    func execute() throws {
        try Client.connect().setPolicy(key.rawValue, value.rawValue)
    }
}
