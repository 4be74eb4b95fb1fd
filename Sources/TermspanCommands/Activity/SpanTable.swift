import TermspanCore

/// The table of `spans`: printed while it is read, in columns of fixed widths.
package struct SpanTable: Sendable {
    private let table = Table([
        .init("USER", width: 12), .init("ID", .right, width: 3), .init("START", width: 25), .init("END", width: 25),
        .init("ACTIVE", .right, width: 8), .init("PASSIVE", .right, width: 8), .init("INACTIVE", .right, width: 8), .init("APPLICATION"),
    ])

    package static let keys = [
        "user", "uid", "session", "session_uuid", "start", "end", "duration", "executable", "class", "active", "passive", "inactive",
        "open",
    ]

    package init() {}

    private var widths: [Int] { table.columns.map { max($0.width, $0.title.utf8.count) } }

    package var header: String { table.line(" ", table.columns.map(\.title), widths) }

    package func line(_ span: JSONValue) -> String {
        func duration(_ key: String) -> String { span[key]?.double.map { TimeText.duration(seconds: $0) } ?? "" }
        func moment(_ key: String) -> String {
            guard let text = span[key]?.string else { return "" }
            return TimeText.parse(text, now: WallInstant(nanoseconds: 0)).map { TimeText.local($0) } ?? text
        }
        let cells = [
            span["user"]?.string ?? "", span["session"]?.unsigned.map { String($0) } ?? "", moment("start"),
            span["open"]?.bool == true ? "" : moment("end"), duration("active"), duration("passive"), duration("inactive"),
            Self.application(span),
        ]
        return table.line(" ", cells.map { Printable.text($0) }, widths)
    }

    /// Whether it is a moment between two windows: some window managers name no active window while they switch.
    static func isBetweenWindows(_ span: JSONValue) -> Bool {
        guard application(span).isEmpty, span["switches"] == nil, span["open"]?.bool != true else { return false }
        return (span["duration"]?.double ?? .infinity) < 0.1
    }

    /// The name of the executable's file, else the class of the window.
    static func application(_ span: JSONValue) -> String {
        if let path = span["executable"]?.string, !path.isEmpty { return String(path.split(separator: "/").last ?? Substring(path)) }
        return span["class"]?.string ?? ""
    }
}
