import ArgumentParser
import Glibc
package import TermspanBus
import TermspanCore
import TermspanSystem

/// `termspan import`
struct Import: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "import", abstract: "Add what was measured elsewhere, apart from what is measured here.",
            discussion: """
                What is imported is in no answer unless it is asked for: termspan activity --imported, and likewise report and export. Of who is \
                not tracked here nothing is imported. The same file again adds nothing, and of one that is wrong anywhere nothing is imported.
                It needs the right org.termspan1.manage-tracking, and is in the audit record, with the file's SHA-256.
                """, subcommands: [ImportJSONLinesCommand.self, ImportCSVCommand.self, ImportActivityWatchCommand.self])
    }
}

/// `termspan import jsonl`
struct ImportJSONLinesCommand: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "jsonl", abstract: "What termspan export jsonl wrote.", discussion: ImportOptions.rows)
    }

    @OptionGroup var options: ImportOptions

    func execute() throws {
        try options.run("jsonl") { source, writer throws(CommandError) in
            var rows = ImportRows(.jsonl, user: options.user)
            try rows.read(&source, &writer)
        }
    }
}

/// `termspan import csv`
struct ImportCSVCommand: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "csv", abstract: "What termspan export csv wrote.", discussion: ImportOptions.rows)
    }

    @OptionGroup var options: ImportOptions

    func execute() throws {
        try options.run("csv") { source, writer throws(CommandError) in
            var rows = ImportRows(.csv, user: options.user)
            try rows.read(&source, &writer)
        }
    }
}

/// `termspan import activitywatch`
struct ImportActivityWatchCommand: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "activitywatch", abstract: "What ActivityWatch exports: its buckets of windows and of presence.",
            discussion: """
                Windows become activities by their application, presence becomes input; other buckets and titles of windows are left out. There is \
                a session for each computer and day in UTC.
                """)
    }

    @OptionGroup var options: ImportOptions

    func validate() throws {
        if options.user == nil { throw ValidationError("Say whose it is, which the file does not: --user anna") }
    }

    func execute() throws {
        try options.run("activitywatch") { source, writer throws(CommandError) in
            var buckets = ImportActivityWatch(user: options.user ?? "")
            try buckets.read(&source, &writer)
        }
    }
}

/// What all imports know.
struct ImportOptions: ParsableArguments {
    static let rows = """
        Activities keep the times that the file has: no threshold changes these. Whose they are is the login in the file, of this computer's users; \
        --user says another where all are of one.
        """

    @Argument(help: "The file; - for standard input.", completion: .file())
    var file: String

    @Option(help: "Whose it is: a user of this computer.", completion: Completions.users)
    var user: String?

    @Flag(help: "Say what would be added, and add nothing.")
    var dryRun = false

    @Option(help: "Why; kept with the policy and shown to the users.")
    var reason: String = ""

    @Option(help: "Who answers for it; shown to the users, too. Left out, whom termspan.yaml names.")
    var responsible: String = ""

    init() {}

    func validate() throws {
        if let user, user.isEmpty || user.utf8.count > ImportLimit.login { throw ValidationError("'\(user)' is no login.") }
        if !dryRun, reason.allSatisfy(\.isWhitespace) { throw ValidationError("--reason says why: it is shown to the users.") }
    }

    /// Parses the file with the caller's rights, and hands over what is in it once all of it is right.
    @MainActor
    func run(
        _ format: String, _ read: (inout ImportSource, inout ImportWriter) throws(CommandError) -> Void
    ) throws(CommandError) {
        let name = file == "-" ? "standard input" : file
        let descriptor = file == "-" ? STDIN_FILENO : open(file, O_RDONLY | O_CLOEXEC | O_NOCTTY)
        guard descriptor >= 0 else { throw CommandError(.failure, "\(name): \(String(cString: strerror(errno)))") }
        defer { if descriptor > STDIN_FILENO { close(descriptor) } }
        var source = ImportSource(name: name) { () throws(CommandError) in
            while true {
                var part = [UInt8](repeating: 0, count: 1 << 16)
                let count = Glibc.read(descriptor, &part, part.count)
                if count < 0, errno == EINTR { continue }
                if count < 0 { throw CommandError(.failure, "\(name): \(String(cString: strerror(errno)))") }
                return Array(part[..<count])
            }
        }
        let records: OwnedDescriptor
        do throws(SystemError) {
            records = try .growingMemoryFile(name: "termspan-import")
        } catch {
            throw Self.memoryFailed(error.code)
        }
        let memory = records.raw
        var writer = ImportWriter { bytes throws(CommandError) in
            var rest = bytes[...]
            while !rest.isEmpty {
                let count = rest.withUnsafeBytes { Glibc.write(memory, $0.baseAddress, $0.count) }
                if count < 0, errno == EINTR { continue }
                guard count > 0 else { throw Self.memoryFailed(errno) }
                rest = rest.dropFirst(count)
            }
        }
        try read(&source, &writer)
        try writer.finish(source)
        do throws(SystemError) {
            try records.addSeals([.write, .shrink, .grow, .seal])
        } catch {
            throw Self.memoryFailed(error.code)
        }
        var grounds: [String: BusValue] = ["format": .string(format), "sha256": .string(try source.finish()), "rehearse": .bool(dryRun)]
        if !reason.isEmpty { grounds["reason"] = .string(reason) }
        if !responsible.isEmpty { grounds["responsible"] = .string(responsible) }
        let imported = try Client.connect().importRecords(records.raw, grounds)
        for (note, count) in writer.notes.sorted(by: { $0.key < $1.key }) { Output.error("termspan: \(count) \(note).") }
        Output.lines([ImportOutcome(imported).line(isRehearsal: dryRun)])
    }

    private static func memoryFailed(_ code: Int32) -> CommandError {
        CommandError(
            .failure, "There is no room in memory for what is imported: \(String(cString: strerror(code)))", remedy: "Divide the file.")
    }
}

/// What the collector says of an import.
package struct ImportOutcome: Hashable, Sendable {
    package var sessions: UInt64
    package var activities: UInt64
    package var inputs: UInt64
    package var repeated: UInt64
    package var users: [String]

    package init(_ values: [String: BusValue]) {
        sessions = values["sessions"]?.unsigned ?? 0
        activities = values["activities"]?.unsigned ?? 0
        inputs = values["inputs"]?.unsigned ?? 0
        repeated = values["repeated"]?.unsigned ?? 0
        users = values["users"]?.strings ?? []
    }

    package func line(isRehearsal: Bool) -> String {
        if sessions == 0, activities == 0, inputs == 0 {
            let held = repeated == 0 ? "the file has nothing" : "all \(repeated) rows are held already"
            return "Nothing \(isRehearsal ? "would be" : "was") imported: \(held)."
        }
        let what = "\(activities) activities and \(inputs) inputs in \(sessions) new sessions of \(users.joined(separator: ", "))"
        let held = repeated == 0 ? "" : "; \(repeated) rows \(isRehearsal ? "are" : "were") held already"
        return "\(what) \(isRehearsal ? "would be" : "were") imported\(held)."
    }
}

extension Client {
    /// - Parameter records: a sealed file in memory.
    fileprivate func importRecords(_ records: Int32, _ grounds: [String: BusValue]) throws(CommandError) -> [String: BusValue] {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("Import", interactive: true) { writer in
                writer.append(unixFD: records)
                writer.properties(grounds)
            }
            return try decode(answer) { message throws(BusError) in
                message.valueLimit = 1_000_000
                return try message.readProperties()
            }
        }
    }
}
