/// Times as bars, the longest of which fills its line: pure, for a terminal of a width.
package struct Chart: Hashable, Sendable {
    /// The cells of a line.
    package var width: Int
    /// Whether the terminal shows block characters; else bars are of `#`.
    package var isUTF8: Bool

    package init(width: Int, isUTF8: Bool) {
        self.width = width
        self.isUTF8 = isUTF8
    }

    private static let labelWidth = 20
    private static let timeWidth = 9
    /// Before the label; the columns of a table are two cells apart.
    private static let indent = "  "

    /// A line for each time, in microseconds.
    package func lines(_ rows: [(label: String, time: UInt64)]) -> [String] {
        let longest = rows.reduce(0) { max($0, $1.time) }
        let room = width - Self.indent.utf8.count - Self.labelWidth - 2 - Self.timeWidth - 2
        var table = Table([.init("", width: Self.labelWidth), .init("", .right, width: Self.timeWidth), .init("")])
        for row in rows {
            table.add([
                Printable.cut(Printable.text(row.label), to: Self.labelWidth), TimeText.duration(seconds: Double(row.time) / 1e6),
                bar(longest == 0 ? 0 : Double(row.time) / Double(longest), width: room),
            ])
        }
        return table.lines(header: false).map { Self.indent + $0 }
    }

    /// The left `share` of `width` cells, to an eighth of a cell; something of all that is more than nothing.
    package func bar(_ share: Double, width: Int) -> String {
        guard share > 0, share <= 1, width > 0 else { return "" }
        guard isUTF8 else { return String(repeating: "#", count: max(1, Int((share * Double(width)).rounded()))) }
        let eighths = max(1, Int((share * Double(width) * 8).rounded()))
        return String(repeating: "\u{2588}", count: eighths / 8) + Self.parts[eighths % 8]
    }

    /// By the eighths that they fill.
    private static let parts = ["", "\u{258F}", "\u{258E}", "\u{258D}", "\u{258C}", "\u{258B}", "\u{258A}", "\u{2589}"]

    /// Whether the locale that the environment names writes UTF-8: of the variables that setlocale(3) looks at, the first that is set.
    package static func writesUTF8(_ variable: (String) -> String?) -> Bool {
        for key in ["LC_ALL", "LC_CTYPE", "LANG"] {
            if let locale = variable(key)?.lowercased(), !locale.isEmpty { return locale.contains("utf-8") || locale.contains("utf8") }
        }
        return false
    }
}
