import TermspanBus
import TermspanCore

/// A table that is printed while its rows are read, in columns of fixed widths.
package protocol StreamedTable: Sendable {
    /// The keys of its rows, in their order.
    var keys: [String] { get }
    var table: Table { get }
    func cells(_ row: JSONValue) -> [String]
}

extension StreamedTable {
    private var widths: [Int] { table.columns.map { max($0.width, $0.title.utf8.count) } }

    package var header: String { table.line(" ", table.columns.map(\.title), widths) }

    package func line(_ row: JSONValue) -> String { table.line(" ", cells(row).map { Printable.text($0) }, widths) }

    func text(_ row: JSONValue, _ key: String) -> String { row[key]?.string ?? "" }

    func number(_ row: JSONValue, _ key: String) -> String { row[key]?.unsigned.map { String($0) } ?? "" }

    func duration(_ row: JSONValue, _ key: String) -> String { row[key]?.double.map { TimeText.duration(seconds: $0) } ?? "" }

    func moment(_ row: JSONValue, _ key: String, milliseconds: Bool = false) -> String {
        let value = text(row, key)
        return TimeText.parse(value, now: WallInstant(nanoseconds: 0)).map { TimeText.local($0, milliseconds: milliseconds) } ?? value
    }
}

extension Client {
    /// Asks the reports service and prints its lines in the format, each when it has come.
    ///
    /// - Parameters:
    ///   - nothing: what a person is told where there are none.
    ///   - leavesOut: whether a line is not worth a row of the table; the other formats have all.
    ///   - others: gives the rows from elsewhere that come before a line one by one, then nil; for nil those that come after the last line.
    ///   - row: what is printed for a line in any format; nil: nothing.
    func printReport(
        _ member: String, _ filter: [String: BusValue], _ format: OutputFormat, _ table: some StreamedTable, orElse nothing: String,
        leavesOut: (JSONValue) -> Bool = { _ in false }, others: (JSONValue?) -> JSONValue? = { _ in nil },
        row shown: (JSONValue) -> JSONValue? = { $0 }
    ) throws(CommandError) {
        switch format {
        case .table:
            var isFirst = true
            func write(_ row: JSONValue) {
                if leavesOut(row) { return }
                if isFirst { Output.write(table.header + "\n") }
                isFirst = false
                Output.write(table.line(row) + "\n")
            }
            try reports(member, filter) { row throws(CommandError) in
                while let other = others(row) { write(other) }
                if let row = shown(row) { write(row) }
            }
            while let other = others(nil) { write(other) }
            if isFirst { Output.error("termspan: \(nothing)") }
        case .json, .csv:
            var writer = Records.Writer(format, keys: table.keys) { Output.write($0) }
            try reports(member, filter) { row throws(CommandError) in
                while let other = others(row) { writer.write(other) }
                if let row = shown(row) { writer.write(row) }
            }
            while let other = others(nil) { writer.write(other) }
            writer.finish()
        }
    }
}
