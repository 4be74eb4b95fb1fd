import ArgumentParser
import Glibc
import TermspanBus

/// `termspan report`
struct Report: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "report",
            abstract: "Add up how time went by user or group, application or what it counts as, and hour, day or week.",
            discussion: """
                The rows add up to the sessions' time exactly, as those of activity do. FOCUS is time in stretches of one application of \
                at least 5 minutes, a break is more than 5 minutes without activity on one day. --own-time counts each moment of a user once, \
                whatever sessions there are beside each other. What others do that is not business is in rows as other; --details shows it.
                """)
    }

    @OptionGroup var activity: ActivityOptions

    @Option(help: "What rows are by: user or group; application, category, productivity, business; hour, day or week; as user,day.")
    var by = "user"

    @Option(help: "The time zone of hours, days and weeks, as Europe/Berlin; else the machine's.")
    var zone: String?

    @Option(help: "Only with this executable in front: a path or a file's name, * standing for anything.")
    var executable: String?

    @Option(help: "Only with this in the description, in upper or lower case.")
    var description: String?

    @Option(help: "Only what rules classify so, as Office, in upper or lower case; other is what is not business.")
    var classified: String?

    @Option(help: "Only members of this group, or own:GROUP; may be given several times.", completion: Completions.groups)
    var group: [String] = []

    @Flag(help: "Count each moment of a user once, over concurrent sessions.")
    var ownTime = false

    @OptionGroup var sight: SightOptions

    @OptionGroup var output: FormatOptions

    func validate() throws {
        let names = by.split(separator: ",", omittingEmptySubsequences: false).map(String.init)
        let known = ["user", "group", "application", "category", "productivity", "business", "hour", "day", "week"]
        guard names.allSatisfy(known.contains), Set(names).count == names.count, !(names.contains("user") && names.contains("group")),
            names.count(where: { ["hour", "day", "week"].contains($0) }) <= 1
        else {
            throw ValidationError(
                "--by takes user or group, application, category, productivity, business, and one of hour, day and week, with commas between."
            )
        }
        try TimeZoneName.check(zone)
        let choosesApplications = executable != nil || description != nil || classified != nil
        if activity.pseudonyms != nil, names.contains("group") || zone != nil || choosesApplications || !group.isEmpty || ownTime {
            throw ValidationError("With --pseudonyms nothing but --by, without groups, can be chosen.")
        }
    }

    func execute() throws {
        // Moments are shown in the zone of the days.
        if let zone { TimeZoneName.use(zone) }
        var filter = activity.filter().merging(sight.filter) { $1 }
        filter["by"] = .string(by)
        if let zone { filter["zone"] = .string(zone) }
        for (key, value) in [("executable", executable), ("description", description), ("classified", classified)] {
            if let value { filter[key] = .string(value) }
        }
        if !group.isEmpty { filter["groups"] = .strings(group) }
        if ownTime { filter["own-time"] = .bool(true) }
        filter["languages"] = .strings(Languages.names())
        var rows: [JSONValue] = []
        try Client.connect().reports("Report", filter) { row throws(CommandError) in rows.append(row) }
        let names = Set(by.split(separator: ",").map(String.init))
        Output.listing(output.format, keys: ReportTable.keys, rows: rows, table: ReportTable.lines(rows, by: names))
    }
}

/// The table of `report`.
package enum ReportTable {
    package static let keys =
        [
            "user", "uid", "group", "period", "start", "end", "description", "executable", "class", "category", "productivity", "business",
            "first_activity", "last_activity", "total",
        ]
        + SummaryTable.categories + ["focus", "longest_focus", "switches", "switches_per_hour", "breaks", "break_time"]

    /// - Parameter names: what the rows are by.
    package static func lines(_ rows: [JSONValue], by names: Set<String>) -> [String] {
        var columns: [Table.Column] = []
        if names.contains("user") { columns.append(.init("USER", width: 12)) }
        if names.contains("group") { columns.append(.init("GROUP", width: 12)) }
        if !names.isDisjoint(with: ["hour", "day", "week"]) { columns.append(.init("PERIOD", width: 10)) }
        if names.contains("application") { columns.append(.init("APPLICATION", width: 20)) }
        if names.contains("category") { columns.append(.init("CATEGORY", width: 17)) }
        if names.contains("productivity") { columns.append(.init("PRODUCTIVITY", width: 12)) }
        if names.contains("business") { columns.append(.init("BUSINESS", width: 8)) }
        columns += [.init("FIRST", width: 25), .init("LAST", width: 25)]
        columns += ["ACTIVE", "PASSIVE", "INACTIVE", "LOCKED", "TOTAL", "FOCUS", "SWITCHES/H", "BREAKS"].map { .init($0, .right, width: 8) }
        var table = Table(columns)
        for row in rows {
            func moment(_ key: String) -> String {
                let value = row[key]?.string ?? ""
                return TimeText.parse(value, now: .present).map { TimeText.local($0) } ?? value
            }
            func duration(_ key: String) -> String { row[key]?.double.map { TimeText.duration(seconds: $0) } ?? "" }
            var cells: [String] = []
            if names.contains("user") { cells.append(row["user"]?.string ?? "") }
            if names.contains("group") { cells.append(row["group"]?.string ?? "") }
            if !names.isDisjoint(with: ["hour", "day", "week"]) { cells.append(row["period"]?.string ?? "") }
            if names.contains("application") { cells.append(row["description"]?.string ?? "") }
            if names.contains("category") { cells.append(row["category"]?.string ?? "") }
            if names.contains("productivity") { cells.append(row["productivity"]?.string ?? "") }
            if names.contains("business") { cells.append(row["business"]?.bool.map { $0 ? "yes" : "no" } ?? "") }
            cells += [moment("first_activity"), moment("last_activity")]
            cells += ["active", "passive", "inactive", "locked", "total", "focus"].map(duration)
            let rate = row["switches_per_hour"]?.double.map { ($0 * 10).rounded() / 10 }
            cells += [rate.map { "\($0)" } ?? "", row["breaks"]?.unsigned.map { String($0) } ?? ""]
            table.add(cells)
        }
        return table.lines()
    }
}
