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
                who looked. statistician: see averages of groups, and nothing of anybody. analyst: see these, and what users do by pseudonyms. trustee: say whose a pseudonym is. Who has no role may do what polkit lets them, root everything.
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
    @Argument(help: "administrator, configurator, power-user, viewer, auditor, statistician, analyst or trustee.")
    var role: Role

    @Argument(
        help: "The group, of the machine, a directory or own:GROUP, whose members have it.", completion: Completions.groups)
    var group: String

    @Option(
        parsing: .upToNextOption, help: "The groups whose members a viewer sees.", completion: Completions.groups)
    var views: [String] = []

    func validate() throws {
        if role != .viewer, !views.isEmpty { throw ValidationError("--views is for viewers; this role is about everybody.") }
        if RoleGrant(.auditor, group: group) == nil || views.contains(where: { RoleGrant(.viewer, group: group, views: $0) == nil }) {
            throw ValidationError("That is no name of a group.")
        }
    }

    /// One for each group that is seen; of a viewer without any none.
    var grants: [RoleGrant] {
        role == .viewer ? views.compactMap { RoleGrant(role, group: group, views: $0) } : RoleGrant(role, group: group).map { [$0] } ?? []
    }

    /// What became of it.
    static func lines(_ grants: [RoleGrant], _ changed: [Bool], granted: Bool) -> [String] {
        zip(grants, changed).map { grant, changed in
            let whom = "Members of \(grant.group)" + (grant.views.isEmpty ? "" : ", as for members of \(grant.views),")
            let state =
                switch (granted, changed) {
                case (true, true): "have the role \(grant.role.rawValue) now"
                case (true, false): "had the role \(grant.role.rawValue) already"
                case (false, true): "no longer have the role \(grant.role.rawValue)"
                case (false, false): "did not have the role \(grant.role.rawValue)"
                }
            return Printable.text("\(whom) \(state).")
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

    func validate() throws {
        if arguments.role == .viewer, arguments.views.isEmpty {
            throw ValidationError("A viewer sees the members of groups: name them with --views.")
        }
    }

    func execute() throws {
        let grants = arguments.grants
        Output.lines(RoleArguments.lines(grants, try Client.connect().setRoles(grants, granted: true, reason), granted: true))
        for name in Set(grants.flatMap { [$0.group, $0.views] }).sorted()
        where !name.isEmpty && !name.hasPrefix(OwnGroup.prefix) && getgrnam(name) == nil {
            Output.error("termspan: The group \(Printable.text(name)) is not known here; the role counts once it is.")
        }
    }
}

/// `termspan role revoke`
struct RoleRevoke: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "revoke", abstract: "Take a role from the members of a group.",
            discussion: "A viewer's without --views is taken whole. It needs the right org.termspan1.manage-roles.")
    }

    @OptionGroup var arguments: RoleArguments

    @Option(help: "Why; kept with the changes of the policy.")
    var reason: String = ""

    func execute() throws {
        let client = try Client.connect()
        var grants = arguments.grants
        // Of a viewer without --views all.
        if grants.isEmpty {
            grants = try client.policy().roles.compactMap(\.grant).filter { $0.role == arguments.role && $0.group == arguments.group }
        }
        let changed = grants.isEmpty ? [] : try client.setRoles(grants, granted: false, reason)
        Output.lines(RoleArguments.lines(grants, changed, granted: false))
        if !changed.contains(true) { throw CommandError(.notFound, "There is no such role.", remedy: "See: termspan role list") }
    }
}

extension Client {
    /// Gives roles or takes them away; of each whether it was otherwise before.
    func setRoles(_ grants: [RoleGrant], granted: Bool, _ reason: String) throws(CommandError) -> [Bool] {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("SetRoles", interactive: true) { writer in
                writer.array(of: "(sss)") { writer in
                    for grant in grants {
                        writer.structure("sss") { writer in
                            for text in [grant.role.rawValue, grant.group, grant.views] { writer.append(text) }
                        }
                    }
                }
                writer.append(granted)
                writer.append(reason)
            }
            return try decode(answer) { message throws(BusError) in
                var changed: [Bool] = []
                try message.readArray(of: "b") { message throws(BusError) in changed.append(try message.read(Bool.self)) }
                return changed
            }
        }
    }
}
