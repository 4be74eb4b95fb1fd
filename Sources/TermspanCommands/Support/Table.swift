/// A table of text in columns: pure, so that what a terminal gets can be tested.
package struct Table: Sendable {
    package struct Column: Sendable {
        package enum Alignment: Sendable {
            case left, right
        }

        package var title: String
        package var alignment: Alignment
        /// Cells that the column has at least; longer contents widen it.
        package var width: Int

        package init(_ title: String, _ alignment: Alignment = .left, width: Int = 0) {
            self.title = title
            self.alignment = alignment
            self.width = width
        }
    }

    package var columns: [Column]
    /// The cells of each row; the mark, a single character, stands before the first.
    package var rows: [(mark: Character, cells: [String])] = []
    /// Whether there is a place for marks at all.
    package var hasMarks: Bool

    package init(_ columns: [Column], hasMarks: Bool = false) {
        self.columns = columns
        self.hasMarks = hasMarks
    }

    package mutating func add(_ cells: [String], mark: Character = " ") {
        rows.append((mark, cells.map { Printable.text($0) }))
    }

    /// The lines, without blanks at their ends.
    package func lines(header: Bool = true) -> [String] {
        var widths = columns.map { max($0.width, Printable.width($0.title)) }
        for row in rows {
            for (index, cell) in row.cells.enumerated() where index < widths.count {
                widths[index] = max(widths[index], Printable.width(cell))
            }
        }
        var lines: [String] = []
        if header { lines.append(line(" ", columns.map(\.title), widths)) }
        for row in rows { lines.append(line(row.mark, row.cells, widths)) }
        return lines
    }

    /// One line in columns of known widths: for tables that are printed while they are read.
    package func line(_ mark: Character, _ cells: [String], _ widths: [Int]) -> String {
        var text = hasMarks ? String(mark) : ""
        for (index, cell) in cells.enumerated() where index < columns.count {
            if index > 0 { text += "  " }
            let padding = String(repeating: " ", count: max(0, widths[index] - Printable.width(cell)))
            switch columns[index].alignment {
            case .left: text += cell + padding
            case .right: text += padding + cell
            }
        }
        while text.last == " " { text.removeLast() }
        return text
    }
}
