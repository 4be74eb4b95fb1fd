import ArgumentParser
import TermspanBus
import TermspanCore

/// `termspan group`
struct Groups: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "group", abstract: "Keep groups of users that neither the machine nor its directory has.",
            discussion: """
                Elsewhere, as in roles, selections and termspan.yaml, such a group is named own:GROUP. A member is a user with a login and a \
                UID: who has one of them afterwards is another. A group is there while it has members. Where tracking hours or times to keep \
                hang on it, a change by which more is recorded of somebody takes --reason and somebody who answers for it.
                """, subcommands: [GroupList.self, GroupAdd.self, GroupRemove.self])
    }
}

/// `termspan group list`
struct GroupList: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "list", abstract: "List the members of Termspan's own groups, since when, by whose decision and why.",
            discussion: "It needs the right org.termspan1.view-others, or a role that sees the policy.")
    }

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let members = try Client.connect().wholePolicy().groupMembers
        switch output.format {
        case .table: Output.lines(TrackingPolicy.GroupMember.table(members))
        case .json, .csv: Output.write(Records.text(members.map(\.json), keys: TrackingPolicy.GroupMember.keys, output.format))
        }
    }
}

/// A group and users.
struct GroupArguments: ParsableArguments {
    @Argument(help: "The group's name, with or without own: before it.")
    var group: String

    @Argument(help: "Logins.", completion: Completions.users)
    var users: [String]

    @Option(help: "Why; kept with the changes of the policy. Needed where more is recorded of somebody by that, or kept for longer.")
    var reason: String = ""

    @Option(help: "Who answers for it, where more is recorded by that; shown to the users. Left out, whom termspan.yaml names.")
    var responsible: String = ""

    private var name: OwnGroup? { OwnGroup(group) ?? OwnGroup(name: group) }

    func validate() throws {
        if users.isEmpty { throw ValidationError("Name at least one user.") }
        if name == nil { throw ValidationError("A group's name has 1 to 64 bytes, without colons, commas and control characters.") }
    }

    @MainActor
    func set(member: Bool) throws {
        guard let name else { return }
        try Self.tell(
            try Client.connect().setGroup(name, users, member: member, Grounds(reason: reason, responsible: responsible)), name,
            member: member)
    }

    /// Says what became of each; throws if something failed.
    @MainActor
    static func tell(_ outcomes: [Tracking.Outcome], _ group: OwnGroup, member: Bool) throws(CommandError) {
        for outcome in outcomes where outcome.error.isEmpty {
            let state =
                switch (member, outcome.changed) {
                case (true, true): "is in"
                case (true, false): "was already in"
                case (false, true): "is no longer in"
                case (false, false): "was not in"
                }
            Output.lines([Printable.text("\(outcome.user) \(state) \(group).")])
        }
        try Tracking.check(outcomes.filter { !$0.error.isEmpty })
    }
}

/// `termspan group add`
struct GroupAdd: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "add", abstract: "Put users into a group, which is made where it isn't there.",
            discussion: "It needs the right org.termspan1.manage-roles, since a group may have a role.")
    }

    @OptionGroup var arguments: GroupArguments

    func execute() throws { try arguments.set(member: true) }
}

/// `termspan group remove`
struct GroupRemove: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "remove", abstract: "Take users out of a group.", discussion: "It needs the right org.termspan1.manage-roles.")
    }

    @OptionGroup var arguments: GroupArguments

    func execute() throws { try arguments.set(member: false) }
}

extension Client {
    func setGroup(
        _ group: OwnGroup, _ users: [String], member: Bool, _ grounds: Grounds
    ) throws(CommandError) -> [Tracking.Outcome] {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("SetGroup", interactive: true) { writer in
                writer.append(group.name)
                writer.append(users)
                writer.append(member)
                writer.append(grounds.reason)
                writer.append(grounds.responsible)
            }
            return try decode(answer) { message throws(BusError) in try message.readRows() }.map { Tracking.Outcome($0) }
        }
    }
}
