import Foundation

/// Other readers of what is written: Foundation's of JSON, and one of CSV by the letter of RFC 4180.
enum Oracle {
    static func isJSON(_ text: String) -> Bool {
        (try? JSONSerialization.jsonObject(with: Data(text.utf8), options: .fragmentsAllowed)) != nil
    }

    /// The values of a, b and c in an array of one object.
    static func strings(_ text: String) -> [String]? {
        let rows = (try? JSONSerialization.jsonObject(with: Data(text.utf8))) as? [[String: String]]
        return rows?.first.map { row in ["a", "b", "c"].map { row[$0] ?? "(none)" } }
    }

    /// The records of a document; nil unless it has the form.
    static func csv(_ text: String) -> [[[UInt8]]]? {
        let quote = UInt8(ascii: "\"")
        var records: [[[UInt8]]] = []
        var record: [[UInt8]] = []
        var rest = Array(text.utf8)[...]
        while !rest.isEmpty {
            var field: [UInt8] = []
            if rest.first == quote {
                rest = rest.dropFirst()
                while true {
                    guard let byte = rest.popFirst() else { return nil }
                    if byte == quote {
                        guard rest.first == quote else { break }
                        rest = rest.dropFirst()
                    }
                    field.append(byte)
                }
            } else {
                while let byte = rest.first, byte != UInt8(ascii: ","), byte != 13 {
                    if byte == quote || byte == 10 { return nil }
                    field.append(byte)
                    rest = rest.dropFirst()
                }
            }
            record.append(field)
            if rest.first == UInt8(ascii: ",") {
                rest = rest.dropFirst()
                continue
            }
            guard rest.starts(with: [13, 10]) else { return nil }
            rest = rest.dropFirst(2)
            records.append(record)
            record = []
        }
        return record.isEmpty ? records : nil
    }
}
