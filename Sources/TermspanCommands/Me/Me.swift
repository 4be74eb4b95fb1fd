import ArgumentParser
import Glibc
import TermspanCore
import TermspanSystem

/// `termspan me`
struct Me: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "me", abstract: "Show whether your activity is recorded and why, what is held about you, and how to object.",
            subcommands: [MeShow.self, MeReceipts.self, MeExport.self], defaultSubcommand: MeShow.self)
    }

    /// The login of whoever runs the command; the number where the user database does not know it.
    static var login: String {
        guard let entry = getpwuid(geteuid()), let name = entry.pointee.pw_name else { return String(geteuid()) }
        return String(cString: name)
    }
}

/// `termspan me show`
struct MeShow: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "show", abstract: "Show whether, why and at which level your activity is recorded, and how your time went.",
            discussion: """
                Today is from midnight and the week from Monday on, in local time. What can't be asked is left out, and told on standard \
                error.
                """)
    }

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if output.format == .csv { throw ValidationError("This has no rows: use --format json.") }
    }

    func execute() throws {
        let client = try Client.connect()
        var view = OwnView(login: Me.login, userID: geteuid())
        view.changedNotices = Files.changedNotices
        let account = Account(uid: geteuid())
        if let shell = account?.shell, !LogonNotice.reaches(shell: shell, Files.notice) { view.silentShell = shell }
        var problems: [CommandError] = []
        do throws(CommandError) {
            let policy = try client.ownPolicy()
            view.policy = policy
            let groups = account?.groups
            view.seenBy = policy.sightOfOthers { name in
                Account.group(named: name).flatMap { group in groups.map { $0.contains(group) } }
            }
        } catch { problems.append(error) }
        do throws(CommandError) { view.activity = try client.ownActivity(now: .present) } catch { problems.append(error) }
        switch output.format {
        case .table:
            let chart = Chart(
                width: Terminal().size.columns, isUTF8: Chart.writesUTF8 { name in getenv(name).map { value in String(cString: value) } })
            Output.lines(view.lines(chart))
        case .json, .csv: Output.write(view.json.text + "\n")
        }
        Output.flush()
        for line in problems.dropLast().flatMap(\.lines) { Output.error(line) }
        if let problem = problems.last { throw problem }
    }
}

/// `termspan me export`
struct MeExport: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "export", abstract: "Write everything that is held about you as one JSON document.",
            discussion: "It ends with the number of rows in each of its parts: without that it is not complete (termspan-json(5)).")
    }

    @Argument(help: "A new file, which only you can read; without it the document goes to standard output.", completion: .file())
    var file: String?

    func execute() throws {
        let client = try Client.connect()
        let policy = try client.ownPolicy()
        let target = try ExportFile(path: file)
        do throws(CommandError) {
            try client.export(policy, of: Me.login, to: target)
            try target.finish()
        } catch {
            target.discard()
            throw error
        }
    }
}
