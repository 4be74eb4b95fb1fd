import ArgumentParser
import Glibc
import TermspanCore

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
            discussion: """
                new-users: whether users that nobody decided about are tracked, which takes a reason and somebody who answers for it, or \
                untracked. aggregate-groups: the groups of which averages are \
                told beside everybody's, none or several; where not all can be told, those that are named first are. aggregate-minimum: of how \
                many users an average is at least, 5 unless it is set, and never less than 3. The last two need the right \
                org.termspan1.manage-roles.
                """)
    }

    enum Key: String, CaseIterable, ExpressibleByArgument {
        case newUsers = "new-users"
        case aggregateGroups = "aggregate-groups"
        case aggregateMinimum = "aggregate-minimum"
    }

    @Argument(help: "What to set: new-users, aggregate-groups or aggregate-minimum.")
    var key: Key

    @Argument(help: "tracked or untracked; names of groups; a number of users.", completion: Completions.groups)
    var values: [String] = []

    @Option(help: "Why; kept with the policy, and that of new-users shown to the users.")
    var reason: String = ""

    @Option(help: "Who answers for tracking new users; shown to them. Left out, whom termspan.yaml names.")
    var responsible: String = ""

    private var state: TrackingState? { values.count == 1 ? TrackingState(rawValue: values[0]) : nil }
    private var minimum: UInt64? { values.count == 1 ? UInt64(values[0]) : nil }

    func validate() throws {
        switch key {
        case .newUsers:
            if state == nil { throw ValidationError("New users are tracked or untracked.") }
            if state == .tracked, reason.allSatisfy(\.isWhitespace) {
                throw ValidationError("To have new users tracked takes --reason: it is shown to them.")
            }
        case .aggregateGroups:
            if let name = values.first(where: { !RoleGrant.isName($0) }) { throw ValidationError("'\(name)' is no name of a group.") }
        case .aggregateMinimum:
            if minimum == nil { throw ValidationError("The minimum is a number of users.") }
        }
        if key != .newUsers, !responsible.isEmpty { throw ValidationError("--responsible is for new-users.") }
    }

    func execute() throws {
        let client = try Client.connect()
        switch key {
        case .newUsers:
            if let state { try client.setPolicy(key.rawValue, state.rawValue, Grounds(reason: reason, responsible: responsible)) }
        case .aggregateGroups:
            Output.lines(Self.lines(values, nil, try client.setAggregates(values, minimum: nil, reason)))
            for name in values where OwnGroup(name) == nil && getgrnam(name) == nil {
                Output.error("termspan: The group \(Printable.text(name)) is not known here; no month is told until it is.")
            }
        case .aggregateMinimum:
            Output.lines(Self.lines(nil, minimum, try client.setAggregates(nil, minimum: minimum, reason)))
        }
    }

    /// What became of it.
    static func lines(_ groups: [String]?, _ minimum: UInt64?, _ changed: Bool) -> [String] {
        let now = changed ? "now" : "already"
        let lines = [
            groups.map { "Averages are \(now) of \((["everybody"] + $0).joined(separator: ", "))." },
            minimum.map { "Averages are \(now) of at least \($0) users." },
        ]
        return lines.compactMap { $0.map { Printable.text($0) } }
    }
}
