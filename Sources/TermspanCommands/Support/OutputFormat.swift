import ArgumentParser

/// How a listing is printed.
package enum OutputFormat: String, CaseIterable, Sendable, ExpressibleByArgument {
    case table, json, csv
}

struct FormatOptions: ParsableArguments {
    @Option(help: "Print a table for people, JSON or CSV.")
    var format: OutputFormat = .table
}

/// Rows as JSON or CSV: the same keys, the same values (termspan-json(5)).
package enum Records {
    /// Opens a document, gives the rows one by one, closes it: nothing of it is held.
    package struct Writer: ~Copyable {
        private let format: OutputFormat
        private let keys: [String]
        private let put: (String) -> Void
        private var isFirst = true

        package init(_ format: OutputFormat, keys: [String], put: @escaping (String) -> Void) {
            self.format = format
            self.keys = keys
            self.put = put
            if format == .csv { put(keys.map { CSV.cell($0) }.joined(separator: ",") + "\r\n") }
            if format == .json { put("[") }
        }

        /// Writes one object; it must have the keys.
        package mutating func write(_ row: JSONValue) {
            switch format {
            case .json:
                put((isFirst ? "\n" : ",\n") + row.text)
            case .csv, .table:
                put(keys.map { CSV.cell(row[$0] ?? .null) }.joined(separator: ",") + "\r\n")
            }
            isFirst = false
        }

        package consuming func finish() {
            if format == .json { put(isFirst ? "]\n" : "\n]\n") }
        }
    }

    /// All rows at once; of an empty listing the CSV has its header only.
    package static func text(_ rows: [JSONValue], keys: [String], _ format: OutputFormat) -> String {
        var text = ""
        withoutActuallyEscaping({ (part: String) in text += part }) { put in
            var writer = Writer(format, keys: keys, put: put)
            for row in rows { writer.write(row) }
            writer.finish()
        }
        return text
    }
}

/// RFC 4180.
package enum CSV {
    package static func cell(_ value: JSONValue) -> String {
        switch value {
        case .null: ""
        case .string(let text): cell(text)
        case .array(let values): cell(values.map { $0.string ?? $0.text }.joined(separator: " "))
        case .object: cell(value.text)
        default: value.text
        }
    }

    /// The text in quotes where it needs them. A spreadsheet would compute a text that begins like a formula, and titles of windows
    /// are anybody's: such a text gets an apostrophe before it.
    package static func cell(_ text: String) -> String {
        var text = text
        if let first = text.utf8.first, "=+-@\t\r".utf8.contains(first) { text = "'" + text }
        guard text.utf8.contains(where: { "\",\r\n".utf8.contains($0) }) else { return text }
        var quoted = String.UnicodeScalarView()
        // Scalar by scalar: a quotation mark with a combining mark behind it is another character to Swift, and the end of the cell to
        // whoever reads it.
        for scalar in text.unicodeScalars {
            if scalar == "\"" { quoted.append(scalar) }
            quoted.append(scalar)
        }
        return "\"" + String(quoted) + "\""
    }
}
