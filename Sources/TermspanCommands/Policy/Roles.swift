import ArgumentParser
import Glibc
import TermspanBus
import TermspanCore

/// `termspan role`
struct Roles: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "role", abstract: "Let the members of groups see and do what is not everybody's.",
            discussion: """
                administrator: everything. configurator: decide who is tracked, without seeing what anybody does. power-user: see \
                everybody's activity and act on sessions. viewer: see the activity of certain groups' members. auditor: see who decided and \
                who looked. Who has no role may do what polkit lets them, root everything.
                """, subcommands: [RoleList.self, RoleGrantCommand.self, RoleRevoke.self])
    }
}

/// `termspan role list`
struct RoleList: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "list", abstract: "List which groups have which role, since when, by whose decision and why.",
            discussion: "Everybody may see it: these are who can look at what is held about them.")
    }

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let roles = try Client.connect().policy().roles
        switch output.format {
        case .table: Output.lines(TrackingPolicy.RoleRow.table(roles))
        case .json, .csv: Output.write(Records.text(roles.map(\.json), keys: TrackingPolicy.RoleRow.keys, output.format))
        }
    }
}

/// Whose members have which role.
struct RoleArguments: ParsableArguments {
    @Argument(help: "administrator, configurator, power-user, viewer or auditor.")
    var role: Role

    @Argument(
        help: "The group, of the machine or a directory, whose members have it.", completion: .shellCommand("getent group | cut -d: -f1"))
    var group: String

    @Option(
        parsing: .upToNextOption, help: "The groups whose members a viewer sees.", completion: .shellCommand("getent group | cut -d: -f1"))
    var views: [String] = []

    func validate() throws {
        if role == .viewer, views.isEmpty { throw ValidationError("A viewer sees the members of groups: name them with --views.") }
        if role != .viewer, !views.isEmpty { throw ValidationError("--views is for viewers; this role is about everybody.") }
        if grants.contains(nil) { throw ValidationError("That is no name of a group.") }
    }

    private var grants: [RoleGrant?] { (role == .viewer ? views : [""]).map { RoleGrant(role, group: group, views: $0) } }

    /// One for each group that is seen.
    @MainActor
    func set(granted: Bool, _ reason: String) throws {
        let client = try Client.connect()
        for grant in grants.compactMap(\.self) {
            let changed = try client.setRole(grant, granted: granted, reason)
            let whom = "Members of \(grant.group)" + (grant.views.isEmpty ? "" : ", as for members of \(grant.views),")
            let state =
                switch (granted, changed) {
                case (true, true): "have the role \(role.rawValue) now"
                case (true, false): "had the role \(role.rawValue) already"
                case (false, true): "no longer have the role \(role.rawValue)"
                case (false, false): "did not have the role \(role.rawValue)"
                }
            Output.lines([Printable.text("\(whom) \(state).")])
            if !granted, !changed { throw CommandError(.notFound, "There is no such role.", remedy: "See: termspan role list") }
            for name in [grant.group, grant.views] where granted && !name.isEmpty && getgrnam(name) == nil {
                Output.error("termspan: The group \(Printable.text(name)) is not known here; the role counts once it is.")
            }
        }
    }
}

extension Role: ExpressibleByArgument {}

/// `termspan role grant`
struct RoleGrantCommand: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "grant", abstract: "Give the members of a group a role.",
            discussion: """
                It holds at once, also for who is logged on; who joins the group or leaves it has the role, or has it no longer, ten seconds \
                after the user database says so. It needs the right org.termspan1.manage-roles.
                """)
    }

    @OptionGroup var arguments: RoleArguments

    @Option(help: "Why; kept with the role and shown to everybody.")
    var reason: String = ""

    func execute() throws { try arguments.set(granted: true, reason) }
}

/// `termspan role revoke`
struct RoleRevoke: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "revoke", abstract: "Take a role from the members of a group.",
            discussion: "It needs the right org.termspan1.manage-roles.")
    }

    @OptionGroup var arguments: RoleArguments

    @Option(help: "Why; kept with the changes of the policy.")
    var reason: String = ""

    func execute() throws { try arguments.set(granted: false, reason) }
}

extension Client {
    /// Gives a role or takes it away; whether it was otherwise before.
    func setRole(_ grant: RoleGrant, granted: Bool, _ reason: String) throws(CommandError) -> Bool {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("SetRole", interactive: true) { writer in
                for text in [grant.role.rawValue, grant.group, grant.views] { writer.append(text) }
                writer.append(granted)
                writer.append(reason)
            }
            return try decode(answer) { message throws(BusError) in try message.read(Bool.self) }
        }
    }
}
