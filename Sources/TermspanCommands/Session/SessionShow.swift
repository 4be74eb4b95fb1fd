import ArgumentParser

/// `termspan session show`
struct SessionShow: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(commandName: "show", abstract: "Show everything known of a session.")
    }

    @Argument(help: "The session's ID, or a name or user that only one has.", completion: Completions.targets)
    var target: String

    @OptionGroup var output: FormatOptions

    func execute() throws {
        let rows = try Client.connect().sessions(target)
        if rows.count > 1, output.format == .table {
            Output.lines(Array(rows.map { SessionText.lines($0) }.joined(separator: [""])))
        } else {
            Output.listing(
                output.format, keys: SessionRow.keys, rows: rows.map(\.json), table: rows.first.map { SessionText.lines($0) } ?? [])
        }
    }
}

/// A session as `Key: value` lines; what is unknown or not for this caller is blank.
package enum SessionText {
    package static func lines(_ row: SessionRow) -> [String] {
        return Properties.lines([
            ("Session", String(row.id)), ("Name", row.shownName), ("UUID", row.uuid ?? ""),
            ("User", row.userID.map { row.user.isEmpty ? String($0) : "\(row.user) (\($0))" } ?? row.user),
            ("State", row.stateWord + (row.confidence == "low" ? " (assumed: the stack does not tell)" : "")),
            ("Locked", row.locked.map { $0 == "unknown" ? "" : $0 == "locked" ? "yes" : "no" } ?? ""),
            ("Stack", row.stack), ("Type", row.type), ("Display", row.display), ("Seat", row.seat), ("TTY", row.tty),
            ("Client address", row.clientAddress), ("Client name", row.clientName),
            ("Screen", screen(row)),
            ("Logged on", row.logon.map { TimeText.local($0) } ?? ""),
            ("Connected", row.connected.map { TimeText.local($0) } ?? ""),
            ("Disconnected", row.disconnected.map { TimeText.local($0) } ?? ""),
            ("Last input", row.lastInput.map { TimeText.local($0) } ?? ""),
            ("Idle", row.idleMicroseconds.map { TimeText.idle(microseconds: $0) } ?? ""),
            ("Current time", row.now.map { TimeText.local($0) } ?? ""),
            ("Tracked", row.isTracked.map { $0 ? "yes" : "no" } ?? ""),
            ("Coverage", row.coverageReason.isEmpty ? row.coverage : "\(row.coverage): \(row.coverageReason)"),
            ("logind sessions", row.logindSessions.joined(separator: " ")), ("Scope", row.scope),
            ("Leader", row.leader.map { String($0) } ?? ""), ("Own session", row.isOwn ? "yes" : "no"),
        ])
    }

    /// `1920x1080, 24 bits`
    private static func screen(_ row: SessionRow) -> String {
        guard let width = row.screenWidth, let height = row.screenHeight else { return "" }
        return "\(width)x\(height)" + (row.colorDepth.map { ", \($0) bits" } ?? "")
    }
}
