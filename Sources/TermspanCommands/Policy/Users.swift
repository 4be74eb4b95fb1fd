import ArgumentParser

/// `termspan users`
struct Users: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "users", abstract: "List users, whether they are tracked, and when they were seen.",
            discussion: """
                Listed are who is logged on, who had a session that is recorded, and about whom was decided; of others nothing is known. \
                Without --all you see yourself, and root sees everybody.
                """)
    }

    @Argument(help: "Only users whose login has this in it, in upper or lower case.", completion: Completions.users)
    var search: String?

    @OptionGroup var selection: UserSelection

    @Flag(help: "Everybody, which needs the right org.termspan1.view-others.")
    var all = false

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let rows = try Client.connect().users(selection.filter(search: search), all: all)
        if rows.isEmpty, output.format == .table { return Output.error("termspan: No such users are known.") }
        let table = UsersTable()
        Output.listing(output.format, keys: table.keys, rows: rows, table: table.lines(rows))
    }
}

extension Client {
    /// The lines of those users whom the filter selects, by login: of everybody for root and with `all`, else of the caller.
    func users(_ filter: UserFilter, all: Bool) throws(CommandError) -> [JSONValue] {
        var rows: [JSONValue] = []
        try reports("Users", ActivityOptions.whose(all: all)) { row throws(CommandError) in
            if filter.selects(row) { rows.append(row) }
        }
        func key(_ row: JSONValue) -> (String, UInt64) { (row["user"]?.string ?? "", row["uid"]?.unsigned ?? 0) }
        return rows.sorted { key($0) < key($1) }
    }
}

/// The table of `users`.
package struct UsersTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("UID", .right, width: 5), .init("DOMAIN", width: 8), .init("STATUS", width: 9),
        .init("FIRST SEEN", width: 25), .init("LAST SEEN", width: 25), .init("SESSIONS", .right),
    ])

    package let keys = [
        "user", "uid", "logins", "domain", "tracked", "decided_by", "decision", "level", "since", "first_seen", "last_seen", "open",
        "sessions",
    ]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [
            text(row, "user"), number(row, "uid"), text(row, "domain"), Self.status(row), moment(row, "first_seen"),
            row["open"]?.bool == true ? "now" : moment(row, "last_seen"), number(row, "sessions"),
        ]
    }

    /// Nothing holds for one whose login or UID is another's by now.
    private static func status(_ row: JSONValue) -> String {
        row["tracked"]?.bool.map { $0 ? "tracked" : "untracked" } ?? "former"
    }

    func lines(_ rows: [JSONValue]) -> [String] {
        var table = self.table
        for row in rows { table.add(cells(row)) }
        return table.lines()
    }
}
