import ArgumentParser
import Glibc
import TermspanBus
import TermspanCore

/// `termspan me receipts`
struct MeReceipts: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "receipts", abstract: "List what was erased of you, and what of everybody was removed by its age.",
            discussion: """
                Of each there is a receipt, a line of text with counts, and its SHA-256, which the audit record has. With the ID of one its text alone \
                is printed, to be checked by another program: termspan me receipts ID | sha256sum
                """)
    }

    @Argument(help: "Of one receipt, as the list has it: its text alone, without an end of line.")
    var receipt: String?

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let client = try Client.connect()
        guard let receipt else {
            let own: [String: BusValue] = ["uid": .uint32(geteuid())]
            return try client.printReport(
                "Audit", own, output.format, ReceiptTable(), orElse: "Nothing was erased or removed.", row: { Receipt($0)?.json })
        }
        var found: Receipt?
        try client.ownReports("Audit", [:]) { row throws(CommandError) in
            if let one = Receipt(row), one.id == receipt { found = one }
        }
        guard let found else {
            throw CommandError(.notFound, "There is no receipt \(receipt) about you.", remedy: "See termspan me receipts.")
        }
        Output.write(found.text)
    }
}

/// What says that something was erased, or removed by its age, as an entry of the audit record has it.
package struct Receipt: Equatable, Sendable {
    /// The line whose digest it is.
    package let text: String
    package let digest: String
    /// What the line says, by name.
    private let values: [String: String]
    private let time: String
    private let by: String
    private let action: String

    package var id: String { values["receipt"] ?? "" }

    /// Nil for an entry about anything else.
    package init?(_ row: JSONValue) {
        let separator = " sha256="
        guard let action = row["action"]?.string, ["history-erased", "user-erased", "history-expired"].contains(action),
            let value = row["value"]?.string, let range = value.firstRange(of: separator)
        else { return nil }
        self.action = action
        text = String(value[..<range.lowerBound])
        digest = String(value[range.upperBound...])
        time = row["time"]?.string ?? ""
        by = row["by"]?.string ?? ""
        let pairs = text.split(separator: " ").compactMap { word -> (String, String)? in
            let parts = word.split(separator: "=", maxSplits: 1)
            return parts.count == 2 ? (String(parts[0]), String(parts[1])) : nil
        }
        values = Dictionary(pairs) { first, _ in first }
    }

    fileprivate static let counts = [
        "sessions", "focus-intervals", "input-bursts", "unknown-intervals", "state-changes", "facts", "sessions-going-on", "keys-destroyed",
    ]

    package var json: JSONValue {
        var members: [JSONValue.Member] = [
            .init("time", .string(time)), .init("receipt", .string(id)), .init("what", .string(action)), .init("by", .string(by)),
        ]
        for name in Self.counts {
            members.append(.init(name.replacing("-", with: "_"), values[name].flatMap { UInt64($0) }.map { .unsigned($0) } ?? .null))
        }
        members += [.init("text", .string(text)), .init("sha256", .string(digest))]
        return .object(members)
    }
}

/// The table of `me receipts`.
package struct ReceiptTable: StreamedTable {
    package let table = Table([
        .init("TIME", width: 25), .init("WHAT", width: 15), .init("SESSIONS", width: 8), .init("INTERVALS", width: 9),
        .init("KEYS", width: 4),
        .init("RECEIPT", width: 36), .init("SHA256"),
    ])

    package let keys = [
        "time", "receipt", "what", "by", "sessions", "focus_intervals", "input_bursts", "unknown_intervals", "state_changes", "facts",
        "sessions_going_on", "keys_destroyed", "text", "sha256",
    ]

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        let intervals = ["focus_intervals", "input_bursts", "unknown_intervals"].compactMap { row[$0]?.unsigned }
        return [
            moment(row, "time"), text(row, "what"), number(row, "sessions"), String(intervals.reduce(0, &+)), number(row, "keys_destroyed"),
            text(row, "receipt"), text(row, "sha256"),
        ]
    }
}
