import ArgumentParser
import TermspanCore

/// `termspan users`
struct Users: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "users", abstract: "List users, whether they are tracked, and when they were seen.",
            discussion: """
                Listed are who is logged on, who had a session that is recorded, and about whom was decided, with --group also its members \
                who were never here; of others nothing is known. \
                Without --all you see yourself, and root sees everybody.
                """)
    }

    @Argument(help: "Only users whose login or name has this in it, in upper or lower case.", completion: Completions.users)
    var search: String?

    @OptionGroup var selection: UserSelection

    @Flag(help: "Everybody, which needs the right org.termspan1.view-others.")
    var all = false

    @Flag(help: "Who has one of the seats that the configuration limits, and why.")
    var seats = false

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let client = try Client.connect()
        var rows = try client.users(selection.filter(search: search), all: all)
        if rows.isEmpty, output.format == .table { return Output.error("termspan: No such users are known.") }
        guard seats else {
            let table = UsersTable()
            return Output.listing(output.format, keys: table.keys, rows: rows, table: table.lines(rows))
        }
        let policy = try client.policy()
        let waiting = try client.sessions().filter { $0.coverage == "no-seat" }
        rows = rows.map { row in
            SeatsTable.row(
                row, policy,
                waits: waiting.contains { $0.user == row["user"]?.string && $0.userID.map { UInt64($0) } == row["uid"]?.unsigned })
        }
        let table = SeatsTable()
        let summary = policy.seatsText.map { ["", "Seats: \($0)."] } ?? []
        Output.listing(output.format, keys: table.keys, rows: rows, table: table.lines(rows) + summary)
    }
}

extension Client {
    /// The lines of those users whom the filter selects, by login: of everybody for root and with `all`, else of the caller.
    func users(_ filter: UserFilter, all: Bool) throws(CommandError) -> [JSONValue] {
        var rows: [JSONValue] = []
        let properties = ActivityOptions.whose(all: all).merging(filter.properties) { $1 }
        try reports("Users", properties) { row throws(CommandError) in rows.append(row) }
        func key(_ row: JSONValue) -> (String, UInt64) { (row["user"]?.string ?? "", row["uid"]?.unsigned ?? 0) }
        return rows.sorted { key($0) < key($1) }
    }
}

/// The table of `users`.
package struct UsersTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("NAME", width: 12), .init("UID", .right, width: 5),
        .init("DOMAINS", width: 8), .init("STATUS", width: 9),
        .init("FIRST SEEN", width: 25), .init("LAST SEEN", width: 25), .init("SESSIONS", .right), .init("SEAT"),
    ])

    package let keys = [
        "user", "name", "uid", "logins", "domains", "tracked", "decided_by", "decision", "level", "since", "first_seen", "last_seen",
        "open",
        "sessions", "seat",
    ]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [
            text(row, "user"), text(row, "name"), number(row, "uid"), Self.domains(row), Self.status(row), moment(row, "first_seen"),
            row["open"]?.bool == true ? "now" : moment(row, "last_seen"), number(row, "sessions"),
            row["seat"]?.bool == true ? "taken" : "",
        ]
    }

    private static func domains(_ row: JSONValue) -> String {
        Printable.text((row["domains"]?.array ?? []).compactMap(\.string).joined(separator: ", "))
    }

    /// Nothing holds for one whose login or UID is another's by now.
    private static func status(_ row: JSONValue) -> String {
        row["tracked"]?.bool.map { $0 ? "tracked" : "untracked" } ?? "former"
    }
}

/// The table of `users --seats`.
package struct SeatsTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("UID", .right, width: 5), .init("SEAT", width: 5), .init("SINCE", width: 25), .init("WHY"),
    ])

    package let keys = ["user", "uid", "tracked", "sessions", "seat", "since", "why"]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [text(row, "user"), number(row, "uid"), text(row, "seat"), moment(row, "since"), text(row, "why")]
    }

    /// A line of `Users` as one about the user's seat: `taken`, `waits` for one, or `none`.
    ///
    /// - Parameter waits: whether a session of the user's is not recorded for want of one.
    package static func row(_ user: JSONValue, _ policy: TrackingPolicy, waits: Bool) -> JSONValue {
        let sessions = user["sessions"]?.unsigned ?? 0
        let isFull = policy.seats.map { ($0, policy.seatsTaken ?? 0) }.map { $0 <= $1 } ?? false
        let (seat, why) =
            switch (sessions, user["tracked"]?.bool) {
            case (1..., nil): ("taken", "sessions are held of whoever had this login or UID: \(sessions)")
            case (1..., _): ("taken", "sessions are held: \(sessions)")
            case _ where waits: ("waits", "all are taken")
            case (_, true?) where isFull: ("none", "all are taken, and nothing is held")
            case (_, true?): ("none", "nothing is held yet")
            default: ("none", "nothing is held, and nothing is recorded")
            }
        return .object([
            .init("user", user["user"] ?? .null), .init("uid", user["uid"] ?? .null), .init("tracked", user["tracked"] ?? .null),
            .init("sessions", .unsigned(sessions)), .init("seat", .string(seat)),
            .init("since", sessions > 0 ? user["first_seen"] ?? .null : .null), .init("why", .string(why)),
        ])
    }
}

extension StreamedTable {
    func lines(_ rows: [JSONValue]) -> [String] {
        var table = self.table
        for row in rows { table.add(cells(row)) }
        return table.lines()
    }
}
