import ArgumentParser
import Glibc
import TermspanBus
import TermspanCore

/// `termspan classify`
struct Classify: ParsableCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "classify", abstract: "Sort what is done into categories, productive or not, business or not.",
            discussion: """
                Rules are a file, one a line; termspan-classification(5) describes it. They hold for the past, too. Those of this server's \
                come before the shipped ones, /usr/share/termspan/classification.rules.
                """,
            subcommands: [ClassifyShow.self, ClassifyCheck.self, ClassifyDiff.self, ClassifyApply.self, ClassifyReset.self],
            defaultSubcommand: ClassifyShow.self)
    }
}

/// `termspan classify show`
struct ClassifyShow: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "show", abstract: "Show this server's rules as the file that apply takes, or what no rule classifies.",
            discussion: """
                Everybody may see the rules. With --pending it lists the applications that no rule matches, those that took the most time \
                first: your own, or others' for those with the right.
                """)
    }

    @Flag(help: "List by time spent what is not classified.")
    var pending = false

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if !pending, output.format != .table || activity.isRestricted {
            throw ValidationError("Users, times and formats are for --pending.")
        }
    }

    func execute() throws {
        let client = try Client.connect()
        guard pending else {
            let rules = try client.classification().text
            if rules.isEmpty {
                Output.error("termspan: There are no rules of this server's; the shipped ones are in \(Classify.shipped).")
            }
            return Output.write(rules)
        }
        var unclassified = PendingApplications()
        let filter = activity.filter().merging(["open": .bool(true)]) { $1 }
        try client.reports("Spans", filter) { row throws(CommandError) in unclassified.add(row) }
        let rows = unclassified.rows
        if rows.isEmpty, output.format == .table { return Output.error("termspan: All of it is classified.") }
        Output.listing(output.format, keys: PendingApplications.keys, rows: rows, table: PendingApplications.table(rows))
    }
}

/// `termspan classify check`
struct ClassifyCheck: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "check", abstract: "Say whether a file of rules is right, without asking anybody.")
    }

    @OptionGroup var file: RulesFileArgument

    func execute() throws { Output.lines(["\(try file.read().rules.rules.count) rules are right."]) }
}

/// `termspan classify diff`
struct ClassifyDiff: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "diff", abstract: "Show what apply would change, rule by rule.",
            discussion: "- is a rule that goes, + one that comes. Nothing is shown where the same rules hold in the same order.")
    }

    @OptionGroup var file: RulesFileArgument

    func execute() throws {
        let text = try file.read().text
        Output.lines(RulesDifference.lines(from: try Client.connect().classification().text, to: text))
    }
}

/// `termspan classify apply`
struct ClassifyApply: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "apply", abstract: "Have a file's rules hold in place of this server's present ones.",
            discussion: """
                Of a file that is wrong anywhere nothing holds. Past and future are classified by them at once. It needs the right \
                org.termspan1.manage-tracking, and is in the audit record.
                """)
    }

    @OptionGroup var file: RulesFileArgument

    @Option(help: "Why; kept with the policy.")
    var reason: String = ""

    func execute() throws {
        let (text, rules) = try file.read()
        Output.lines([Self.line(rules.rules.count, try Client.connect().setClassification(text, reason))])
    }

    /// What became of so many rules.
    static func line(_ count: Int, _ isChanged: Bool) -> String {
        isChanged ? "\(count) rules hold now, before the shipped ones." : "They hold already; nothing was changed."
    }
}

/// `termspan classify reset`
struct ClassifyReset: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "reset", abstract: "Take this server's rules away: the shipped ones alone hold.",
            discussion: "It needs the right org.termspan1.manage-tracking. Keep them before: termspan classify show > FILE.")
    }

    @Option(help: "Why; kept with the policy.")
    var reason: String = ""

    func execute() throws {
        Output.lines([Self.line(try Client.connect().setClassification("", reason))])
    }

    static func line(_ isChanged: Bool) -> String {
        isChanged ? "The shipped rules alone hold now." : "There were no others; nothing was changed."
    }
}

/// A file of rules.
struct RulesFileArgument: ParsableArguments {
    @Argument(help: "A file of rules, as classify show writes it; - for standard input.", completion: .file())
    var file: String

    func read() throws(CommandError) -> (text: String, rules: ClassificationRules) {
        let (bytes, name) = try InputFile.read(file, limit: ClassificationRules.longest)
        guard let text = String(validating: bytes, as: UTF8.self) else { throw CommandError(.failure, "\(name): It is not UTF-8.") }
        do {
            return (text, try ClassificationRules(text))
        } catch {
            throw CommandError(
                .failure, "\(name), \(error).", remedy: "Nothing was changed. termspan-classification(5) says what a rule has to be.")
        }
    }
}

/// The applications that no rule matches, by the time that was spent with them.
package struct PendingApplications {
    private var times: [String: (duration: Double, active: Double)] = [:]
    /// More are not told apart: their time is lost from the list, not from reports.
    private static let most = 100_000

    package static let keys = ["executable", "duration", "active"]

    package init() {}

    /// Adds a row of `Spans`.
    package mutating func add(_ row: JSONValue) {
        guard row["category"]?.string == nil, row["business"]?.bool != false else { return }
        // Without an executable there is nothing that a rule could name but what people call the window's class.
        guard let name = row["executable"]?.string ?? row["class"]?.string, times[name] != nil || times.count < Self.most else { return }
        times[name, default: (0, 0)].duration += row["duration"]?.double ?? 0
        times[name]?.active += row["active"]?.double ?? 0
    }

    /// The longest time first.
    package var rows: [JSONValue] {
        times.sorted { ($1.value.duration, $0.key) < ($0.value.duration, $1.key) }.map { name, time in
            .object([
                .init("executable", .string(name)), .init("duration", .seconds(microseconds: UInt64((time.duration * 1e6).rounded()))),
                .init("active", .seconds(microseconds: UInt64((time.active * 1e6).rounded()))),
            ])
        }
    }

    package static func table(_ rows: [JSONValue]) -> [String] {
        var table = Table([.init("DURATION", .right, width: 8), .init("ACTIVE", .right, width: 8), .init("EXECUTABLE")])
        for row in rows {
            table.add(
                ["duration", "active"].map { TimeText.duration(seconds: row[$0]?.double ?? 0) }
                    + [Printable.text(row["executable"]?.string ?? "")])
        }
        return table.lines()
    }
}

/// What is different between two files of rules.
package enum RulesDifference {
    /// The lines with rules that go, with `-`, and that come, with `+`, in an order in which one reads them: a longest common part stays.
    package static func lines(from old: String, to new: String) -> [String] {
        let (before, after) = (rules(old), rules(new))
        let difference = after.difference(from: before)
        let removed = Set(difference.removals.compactMap { if case .remove(let at, _, _) = $0 { at } else { nil } })
        let inserted = Set(difference.insertions.compactMap { if case .insert(let at, _, _) = $0 { at } else { nil } })
        var lines: [String] = []
        var (old, new) = (0, 0)
        while old < before.count || new < after.count {
            if removed.contains(old) {
                lines.append("- " + before[old])
                old += 1
            } else if inserted.contains(new) {
                lines.append("+ " + after[new])
                new += 1
            } else {
                old += 1
                new += 1
            }
        }
        return lines.map { Printable.text($0) }
    }

    /// Without comments and empty lines.
    private static func rules(_ text: String) -> [String] {
        text.utf8.split(separator: UInt8(ascii: "\n")).map { line in
            let isBlank = { (byte: UInt8) in " \t\r".utf8.contains(byte) }
            return String(decoding: line.drop(while: isBlank).reversed().drop(while: isBlank).reversed(), as: UTF8.self)
        }.filter { !$0.isEmpty && !$0.hasPrefix("#") }
    }
}

extension Classify {
    static let shipped = "/usr/share/termspan/classification.rules"
}

extension Client {
    /// This server's rules; empty: there are none but those that are shipped.
    func classification() throws(CommandError) -> TrackingPolicy.ServerRules {
        try decode(manager("GetClassification")) { message throws(BusError) in
            message.valueLimit = 1_000_000
            let values = try message.readProperties()
            return TrackingPolicy.ServerRules(values["rules"]?.string ?? "", reason: values["reason"]?.string ?? "")
        }
    }

    /// - Returns: whether anything changed.
    func setClassification(_ text: String, _ reason: String) throws(CommandError) -> Bool {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("SetClassification", interactive: true) { writer in
                writer.append(text)
                writer.append(reason)
            }
            return try decode(answer) { message throws(BusError) in try message.read(Bool.self) }
        }
    }
}
