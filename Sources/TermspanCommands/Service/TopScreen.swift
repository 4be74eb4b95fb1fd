package import TermspanCore

/// What `top` shows: pure, lines for a screen of a size.
package struct TopScreen: Sendable {
    package var sessions: [SessionRow] = []
    package var status: ServiceStatus?
    /// Why there is nothing newer to show.
    package var problem: String?

    package init() {}

    /// Exactly `height` lines of at most `width` cells.
    package func lines(width: Int, height: Int, now: WallInstant, colors: Bool) -> [String] {
        func styled(_ text: String, _ code: String) -> String { colors ? "\u{1B}[\(code)m\(text)\u{1B}[0m" : text }
        func number(_ key: String) -> String { status?.numbers[key].map { String($0) } ?? "?" }
        func time(_ key: String) -> String { status?.latency[key].map { TimeText.short(microseconds: $0) } ?? "?" }
        let logons = sessions.filter(\.isLogon)
        let active = logons.filter { $0.state == ConnectState.active.name }.count
        var lines: [String] = []
        func add(_ text: String, _ code: String? = nil) {
            let cut = Printable.cut(Printable.text(text), to: width)
            lines.append(code.map { styled(cut, $0) } ?? cut)
        }
        add(
            "termspan \(TimeText.local(now))  \(logons.count) sessions, \(active) active, "
                + "\(logons.filter { $0.coverage == "measured" }.count) measured", "1")
        add(
            "events \(number("events-attempted")), lost \(number("events-lost"))  pending \(number("pending"))  "
                + "focus p99 \(time("focus-to-fold-p99"))  commit p99 \(time("commit-p99"))  "
                + "memory \(status?.numbers["memory"].map { TimeText.bytes($0) } ?? "?")")
        add(problem ?? "", problem == nil ? nil : "31")
        var table = Table(
            [
                .init("ID", .right, width: 5), .init("USERNAME", width: 16), .init("SESSIONNAME", width: 14), .init("STATE", width: 6),
                .init("IDLE", .right, width: 8), .init("CLIENT", width: 18), .init("COVERAGE", width: 12), .init("SINCE"),
            ], hasMarks: true)
        for row in logons {
            let state = row.locked == "locked" ? "Locked" : row.stateWord
            table.add(
                [
                    String(row.id), row.user, row.shownName, state, TimeText.idle(microseconds: row.idleMicroseconds),
                    row.clientName.isEmpty ? row.clientAddress : row.clientName, row.coverage,
                    row.logon.map { TimeText.minute($0) } ?? "",
                ], mark: row.isOwn ? ">" : " ")
        }
        let rows = table.lines()
        add(rows.first ?? "", "7")
        for (row, line) in zip(logons, rows.dropFirst()) {
            let code: String? =
                switch row.state {
                case ConnectState.disconnected.name: "2"
                case ConnectState.active.name where (row.idleMicroseconds ?? .max) < 60_000_000: "32"
                default: nil
                }
            add(line, code)
        }
        let room = max(0, height - 1)
        if lines.count > room, room > 0 {
            let hidden = lines.count - room + 1
            lines = Array(lines.prefix(room - 1))
            add("... and \(hidden) more")
        }
        while lines.count < room { lines.append("") }
        if height > 0 { add("q quits", "2") }
        return Array(lines.prefix(max(0, height)))
    }
}
