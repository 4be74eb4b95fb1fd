import TermspanCore

/// What a check of the store found, by the lines of `VerifyStore`.
package struct StoreVerdict: Sendable {
    private var problems: [JSONValue] = []
    private var unknown: [JSONValue] = []
    private var whole: JSONValue?
    /// What is being gone through; nil once that has ended.
    package private(set) var progress: String?

    package init() {}

    /// Adds a line.
    package mutating func add(_ row: JSONValue) {
        progress = nil
        if row["problem"] != nil {
            problems.append(row)
        } else if row["unknown"] != nil {
            unknown.append(row)
        } else if row["sessions"] != nil {
            whole = row
        } else if let what = row["progress"]?.string, let done = row["done"]?.unsigned {
            progress = row["of"]?.unsigned.map { "Checking the \(what): \(done) of \($0)" } ?? "Checking \(what): \(done)"
        }
    }

    /// Whether the last line came.
    package var isComplete: Bool { whole != nil }

    /// Beyond this many, people are told how many more there are.
    private static let shown = 50

    private var count: UInt64 { whole?["problems"]?.unsigned ?? 0 }
    private var isExcessive: Bool { whole?["excessive"]?.bool ?? true }

    /// Whether nothing is wrong, and nearly all that is unknown is known to be.
    package var isRight: Bool { isComplete && isThere && count == 0 && !isExcessive }
    /// Services of before did not say.
    private var isThere: Bool { whole?["store"]?.bool ?? true }

    package var lines: [String] {
        guard let whole else { return [] }
        guard isThere else { return ["There is no store."] }
        let sessions = whole["sessions"]?.unsigned ?? 0
        let isAll = whole["whole"]?.bool == true
        var lines: [String] = []
        if count > 0 {
            lines.append(isAll ? "The store is not right: \(count) problems." : "Of your sessions \(count) things are not right:")
            lines += problems.prefix(Self.shown).map { "  " + Self.line($0) }
            if count > UInt64(min(problems.count, Self.shown)) {
                lines.append("  and \(count - UInt64(min(problems.count, Self.shown))) more")
            }
        } else {
            lines.append(
                (isAll ? "The store is right: " : "What is held of your sessions is right: ")
                    + "\(sessions) sessions, \(whole["days"]?.unsigned ?? 0) days, \(whole["intervals"]?.unsigned ?? 0) intervals.")
        }
        let total = whole["total"]?.double ?? 0
        let part = whole["unknown_total"]?.double ?? 0
        lines.append(
            "Of \(TimeText.duration(seconds: total)) \(TimeText.duration(seconds: part)) are Unknown\(Self.share(part, of: total)).")
        var table = Table([
            .init("REASON"), .init("CLASS"), .init("TIME"), .init("LONGEST"), .init("USER"), .init("SINCE"), .init("SESSION"),
        ])
        for row in unknown { table.add(Self.cells(row)) }
        if !unknown.isEmpty { lines += table.lines() }
        if isExcessive {
            lines.append(
                "More than 0.1 % of the time is Unknown and nothing says why\(Self.share(whole["unexplained"]?.double ?? 0, of: total)).")
        }
        return lines
    }

    private static func share(_ part: Double, of total: Double) -> String {
        guard total > 0, part > 0 else { return "" }
        let thousandths = Int((part / total * 100_000).rounded(.up))
        return ", \(thousandths / 1000).\(TimeText.padded(thousandths % 1000, 3)) %"
    }

    private static func line(_ row: JSONValue) -> String {
        let place = [
            row["user"]?.string, row["session_uuid"]?.string.map { "session \($0)" }, row["time"]?.string.map(local),
        ].compactMap { $0 }.joined(separator: ", ")
        return Printable.text("[\(row["problem"]?.string ?? "")] " + (place.isEmpty ? "" : place + ": ") + (row["text"]?.string ?? ""))
    }

    private static func cells(_ row: JSONValue) -> [String] {
        func duration(_ key: String) -> String { row[key]?.double.map { TimeText.duration(seconds: $0) } ?? "" }
        return [
            row["unknown"]?.string ?? "", row["class"]?.string ?? "", duration("duration"), duration("longest"), row["user"]?.string ?? "",
            row["time"]?.string.map(local) ?? "", row["session_uuid"]?.string ?? "",
        ]
    }

    private static func local(_ text: String) -> String {
        TimeText.parse(text, now: WallInstant(nanoseconds: 0)).map { TimeText.local($0) } ?? text
    }

    package var json: JSONValue {
        guard case .object(let members)? = whole else { return .null }
        return .object(members + [.init("unknown", .array(unknown)), .init("problem_list", .array(problems))])
    }
}
