/// The table of `spans`: printed while it is read, in columns of fixed widths.
package struct SpanTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("ID", .right, width: 3), .init("START", width: 25), .init("END", width: 25),
        .init("ACTIVE", .right, width: 8), .init("PASSIVE", .right, width: 8), .init("INACTIVE", .right, width: 8), .init("APPLICATION"),
    ])

    package let keys = [
        "user", "uid", "session", "session_uuid", "imported_from", "start", "end", "duration", "executable", "class", "category",
        "productivity", "business", "active", "passive", "inactive", "open",
    ]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [
            text(row, "user"), number(row, "session"), moment(row, "start"), row["open"]?.bool == true ? "" : moment(row, "end"),
            duration(row, "active"), duration(row, "passive"), duration(row, "inactive"), Self.application(row),
        ]
    }

    /// Whether it is a moment between two windows: some window managers name no active window while they switch.
    static func isBetweenWindows(_ span: JSONValue) -> Bool {
        guard application(span).isEmpty, span["switches"] == nil, span["open"]?.bool != true else { return false }
        return (span["duration"]?.double ?? .infinity) < 0.1
    }

    /// The name of the executable's file, else the class of the window.
    static func application(_ span: JSONValue) -> String {
        if let path = span["executable"]?.string, !path.isEmpty { return file(path) }
        return span["class"]?.string ?? ""
    }

    static func file(_ path: String) -> String { String(path.split(separator: "/").last ?? Substring(path)) }
}
