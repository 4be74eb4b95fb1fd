import ArgumentParser
import TermspanBus

/// `termspan activity`
struct Activity: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "activity",
            abstract: "List what was done: every stretch of time with an application in front, to the millisecond.",
            discussion: """
                The rows of spans, with what people call each application: the name of its .desktop entry in your language, else its file's. Of a \
                script it is the script's, not its interpreter's; a terminal is the activity, not what runs in it.
                Activities that last still have no end; --open includes them.
                """)
    }

    @OptionGroup var activity: ActivityOptions

    @OptionGroup var wanted: ActivityChoice

    @OptionGroup var which: SpanOptions

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let client = try Client.connect()
        let descriptions = Descriptions.installed()
        func described(_ row: JSONValue) -> JSONValue? {
            let row = ActivityTable.described(row, by: descriptions)
            return wanted.includes(row) ? row : nil
        }
        try client.printReport(
            "Spans", which.filter(activity), output.format, ActivityTable(), orElse: "No activity.", leavesOut: which.isLeftOut,
            row: described)
    }
}

/// Which activities: those that all of this holds of.
struct ActivityChoice: ParsableArguments {
    enum Category: String, CaseIterable, Sendable, ExpressibleByArgument {
        case active, passive, inactive
    }

    @Option(help: "Only of this executable: a path or a file's name, * standing for anything.")
    var executable: String?

    @Option(help: "Only with this in the description, in upper or lower case.")
    var description: String?

    @Option(help: "Only with some time of this category.")
    var category: Category?

    init() {}

    func includes(_ row: JSONValue) -> Bool {
        if let executable {
            guard let path = row["executable"]?.string,
                Pattern.matches(executable, path) || Pattern.matches(executable, SpanTable.file(path))
            else { return false }
        }
        if let description, row["description"]?.string?.lowercased().contains(description.lowercased()) != true { return false }
        if let category, (row[category.rawValue]?.double ?? 0) <= 0 { return false }
        return true
    }
}

/// A pattern in which `*` stands for anything.
enum Pattern {
    /// In time that the product of both lengths bounds.
    static func matches(_ pattern: String, _ text: String) -> Bool {
        let (pattern, text) = (Array(pattern.utf8), Array(text.utf8))
        var (at, position) = (0, 0)
        var star: (after: Int, position: Int)?
        while position < text.count {
            if at < pattern.count, pattern[at] == UInt8(ascii: "*") {
                at += 1
                star = (at, position)
            } else if at < pattern.count, pattern[at] == text[position] {
                at += 1
                position += 1
            } else if let last = star {
                at = last.after
                position = last.position + 1
                star = (at, position)
            } else {
                return false
            }
        }
        return pattern[at...].allSatisfy { $0 == UInt8(ascii: "*") }
    }
}

/// The table of `activity`: printed while it is read.
package struct ActivityTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("ID", .right, width: 3), .init("START", width: 29), .init("DURATION", .right, width: 8),
        .init("ACTIVE", .right, width: 8), .init("PASSIVE", .right, width: 8), .init("CATEGORY", width: 17),
        .init("DESCRIPTION", width: 24), .init("EXECUTABLE"),
    ])

    package let keys = [
        "user", "uid", "session", "session_uuid", "start", "end", "duration", "description", "executable", "class", "category",
        "productivity", "business", "active", "passive", "inactive", "open",
    ]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [
            text(row, "user"), number(row, "session"), moment(row, "start", milliseconds: true), duration(row, "duration"),
            duration(row, "active"), duration(row, "passive"), text(row, "category"), text(row, "description"), text(row, "executable"),
        ]
    }

    /// A row of spans with the key `description` before `executable`.
    package static func described(_ span: JSONValue, by descriptions: Descriptions) -> JSONValue {
        guard case .object(var members) = span else { return span }
        let name = descriptions.of(executable: span["executable"]?.string, windowClass: span["class"]?.string)
        members.insert(
            .init("description", .optional(name)), at: members.firstIndex { $0.key == "executable" } ?? members.endIndex)
        return .object(members)
    }
}
