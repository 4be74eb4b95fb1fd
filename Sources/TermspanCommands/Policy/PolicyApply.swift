import ArgumentParser
import Glibc
import TermspanBus
import TermspanDirectory

/// `termspan policy export`
struct PolicyExport: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "export", abstract: "Write the policy as a file that apply takes.",
            discussion:
                """
                Who is tracked, who is not to be, what new users are, who has which role, who is in groups of Termspan's own, of which \
                groups averages are told, and this server's rules of classification. It needs the right org.termspan1.view-others, or a role that sees the policy.
                """
        )
    }

    func execute() throws { Output.write(PolicyFile(try Client.connect().wholePolicy()).text) }
}

/// `termspan policy diff`
struct PolicyDiff: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "diff", abstract: "Show what apply would change.",
            discussion: """
                Nothing is shown where all of it holds already. It needs the right org.termspan1.view-others, or a role that sees the policy.
                """)
    }

    @OptionGroup var file: PolicyFileArgument

    func execute() throws {
        let wanted = try file.read()
        Output.lines(wanted.changes(from: try Client.connect().wholePolicy(), uid: PolicyFileArgument.uid(of:)).map(\.line))
    }
}

/// `termspan policy apply`
struct PolicyApply: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "apply", abstract: "Let hold what a file says of users and entries.",
            discussion: """
                What it does not name stays as it is, and what holds already is not decided again. Who is to be left alone comes before \
                who is to be tracked. Roles, members of groups and rules of classification that a file with these does not have are taken away. It needs the rights \
                org.termspan1.manage-tracking, for roles, groups and averages org.termspan1.manage-roles, and org.termspan1.view-others.
                """)
    }

    @OptionGroup var file: PolicyFileArgument

    @Flag(help: "Don't ask; needed where there is no terminal.")
    var yes = false

    @Option(help: "Why users leave groups that the file does not have them in; needed where more is recorded of somebody by that.")
    var reason: String = ""

    @Option(help: "Who answers for that; shown to the users. Left out, whom termspan.yaml names.")
    var responsible: String = ""

    func execute() throws {
        let wanted = try file.read()
        let consent = Tracking.consent(toNamed: 0, yes: yes, isTerminal: isatty(STDIN_FILENO) == 1)
        if consent == .missing {
            throw CommandError(
                .usage, "What the file changes is to be confirmed, and there is no terminal.",
                remedy: "See what it is with termspan policy diff, then add --yes.")
        }
        let client = try Client.connect()
        let changes = wanted.changes(from: try client.wholePolicy(), uid: PolicyFileArgument.uid(of:))
        if changes.isEmpty { return Output.error("termspan: All of it holds already; nothing was changed.") }
        try PolicyFile.check(changes)
        if consent == .needed {
            let question = "Change \(changes.count == 1 ? "this" : "these \(changes.count)")?"
            // Of many not all are shown: what is begun before what ends.
            guard Confirmation.ask(question, after: changes.reversed().map(\.line)) else {
                throw CommandError(.failure, "Nothing was changed.")
            }
        }
        for call in PolicyFile.calls(for: changes) {
            switch call {
            case .setDoNotTrack(let entries, let reason):
                try DoNotTrackEntries.set(entries, listed: true, Grounds(reason: reason))
            case .setNewUsers(let state, let grounds):
                try client.setPolicy("new-users", state, grounds)
                Output.lines(["New users are now \(state)."])
            case .setAggregates(let groups, let minimum):
                Output.lines(PolicySet.lines(groups, minimum, try client.setAggregates(groups, minimum: minimum, "")))
            case .setClassification(let text, let rules, let reason):
                let isChanged = try client.setClassification(text, reason)
                Output.lines([text.isEmpty ? ClassifyReset.line(isChanged) : ClassifyApply.line(rules, isChanged)])
            case .setGroup(let group, let users, let member, let grounds):
                // The file has no place for why somebody is not in it.
                let grounds = member ? grounds : Grounds(reason: reason, responsible: responsible)
                try GroupArguments.tell(try client.setGroup(group, users, member: member, grounds), group, member: member)
            case .setRoles(let grants, let granted, let reason):
                Output.lines(RoleArguments.lines(grants, try client.setRoles(grants, granted: granted, reason), granted: granted))
            case .setTracking(let names, let tracked, let grounds):
                let outcomes = try Tracking.decide(names, tracked, grounds, client)
                Output.lines(Tracking.lines(outcomes, tracked: tracked))
                // Nobody is tracked after somebody could not be untracked.
                try Tracking.check(outcomes.filter { !$0.error.isEmpty })
            }
        }
    }
}

/// A policy file.
struct PolicyFileArgument: ParsableArguments {
    @Argument(help: "What policy export has written, and you have changed; - for standard input.", completion: .file())
    var file: String

    /// More than any policy comes to.
    private static let limit = 64 << 20

    func read() throws(CommandError) -> PolicyFile {
        let (bytes, name) = try InputFile.read(file, limit: Self.limit)
        let policy = try PolicyFile(bytes, name: name)
        if let conflict = policy.conflict(uid: Self.uid(of:), sids: directorySIDs(ofUser:)) {
            throw CommandError(.failure, "\(name): \(conflict).", remedy: "Take out one of both; nothing was changed.")
        }
        return policy
    }

    static func uid(of name: String) -> UInt32? { getpwnam(name)?.pointee.pw_uid }
}

extension Client {
    /// The policy with what is about others, for which a password may be asked.
    func wholePolicy() throws(CommandError) -> TrackingPolicy {
        var policy = try PasswordAgent.whileAsking { () throws(CommandError) -> TrackingPolicy in try self.policy(interactive: true) }
        guard policy.isComplete else {
            throw CommandError(
                .notPermitted, "The policy of others takes the right org.termspan1.view-others.", remedy: "Try it with sudo.")
        }
        policy.classification = try classification()
        return policy
    }

    /// Says of which groups and of how many users at least averages are told; what is nil stays.
    ///
    /// - Returns: whether anything changed.
    func setAggregates(_ groups: [String]?, minimum: UInt64?, _ reason: String) throws(CommandError) -> Bool {
        var settings: [String: BusValue] = [:]
        if let groups { settings["groups"] = .strings(groups) }
        if let minimum { settings["minimum"] = .uint64(minimum) }
        return try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("SetAggregates", interactive: true) { writer in
                writer.properties(settings)
                writer.append(reason)
            }
            return try decode(answer) { message throws(BusError) in try message.read(Bool.self) }
        }
    }

    func setPolicy(_ key: String, _ value: String, _ grounds: Grounds) throws(CommandError) {
        _ = try PasswordAgent.whileAsking { () throws(CommandError) in
            try manager("SetPolicy", interactive: true) { writer in
                writer.append(key)
                writer.append(.variant(.string(value)))
                writer.append(grounds.reason)
                writer.append(grounds.responsible)
            }
        }
    }
}
