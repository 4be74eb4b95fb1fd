import ArgumentParser
import TermspanBus
import TermspanCore
import TermspanJournal

/// `termspan session history`
struct SessionHistory: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "history", abstract: "List the sessions of the past and those that last.",
            discussion: """
                Sessions of tracked users are recorded, from their logon or from when tracking began. Who asks about others and may read
                the system's journal sees all other sessions, too, as far back as the journal goes: what only a record tells, as the active
                time, is blank. A session is listed whole if any of it lies between --since and --until; of --events those that do.
                """)
    }

    @OptionGroup var activity: ActivityOptions

    @Flag(help: "List what happened one by one: logon, connects, disconnects, locks, unlocks, logoff.")
    var events = false

    @Option(help: "Instead the sessions that have been disconnected for so long, as 7d, and the memory and processor time that they hold.")
    var stale: TimeLength?

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if stale != nil, events || activity.pseudonyms != nil || activity.since != nil || activity.until != nil {
            throw ValidationError("--stale is about what is there now: it goes with --user and --session alone.")
        }
    }

    func execute() throws {
        let client = try Client.connect()
        if let stale { return try list(stale, client) }
        var filter = activity.filter()
        if events { filter["events"] = .bool(true) }
        let sessions = try journalSessions(client)
        var rows = JournalRows(sessions, events: events, since: activity.since?.instant, until: activity.until?.instant)
        let nothing = "No sessions are recorded."
        if events {
            try client.printReport("History", filter, output.format, EventTable(), orElse: nothing, others: { rows.next(before: $0) })
        } else {
            try client.printReport("History", filter, output.format, HistoryTable(), orElse: nothing, others: { rows.next(before: $0) })
        }
        if sessions.isCut {
            Output.error(
                "termspan: The journal has more than \(JournalSessions.recordLimit) records of sessions; the oldest sessions are left out. "
                    + "--user and --session ask for fewer.")
        }
    }

    private func isAskedFor(_ row: SessionRow) -> Bool {
        (activity.user == nil || activity.user == row.user)
            && (activity.session == nil || activity.session.flatMap { UInt32($0) } == row.id || activity.session?.lowercased() == row.uuid)
    }
}

extension SessionHistory {
    /// The sessions that are asked for and that the store does not have, by the journal; none for who asks about nobody else, or may not
    /// read it. Nothing of it is kept.
    @MainActor
    private func journalSessions(_ client: Client) throws(CommandError) -> JournalSessions {
        var sessions = JournalSessions()
        guard activity.isAboutOthers, JournalReader.isReadable else { return sessions }
        do throws(JournalError) {
            let session = activity.session.flatMap { JournalFilter.Session($0) }
            // All of a session, though a range is asked for: it is listed whole.
            let reader = try JournalReader(JournalFilter(session: session, user: activity.user, events: JournalSessions.kinds))
            while let entry = try reader.next() { sessions.add(entry) }
        } catch {
            Output.error("termspan: Only recorded sessions are shown: \(error).")
            return JournalSessions()
        }
        // Without the collector it is not known which of them last.
        sessions.note(present: (try? client.sessions())?.filter(isAskedFor))
        sessions.restrict(since: activity.since?.instant, until: activity.until?.instant)
        guard let earliest = sessions.earliest else { return sessions }
        // The store has a session whole, whatever the range, and from its beginning at the earliest, by a clock that may have been set since.
        var filter = activity.filter()
        filter["events"] = .bool(true)
        filter["since"] = .uint64(earliest.advanced(by: .seconds(-86400)).microseconds)
        filter["until"] = nil
        try client.reports("History", filter) { row throws(CommandError) in
            if let uuid = row["session_uuid"]?.string.flatMap({ UUIDv7($0) }) { sessions.remove(uuid) }
        }
        return sessions
    }
}

extension SessionHistory {
    /// From the live sessions alone; nothing of it is recorded.
    @MainActor
    private func list(_ stale: TimeLength, _ client: Client) throws {
        let sessions = try client.sessions().filter(isAskedFor)
        let rows = StaleRow.rows(of: sessions, longerThan: stale.seconds, now: .present) { SessionUsage(of: $0) }
        Output.listing(output.format, keys: StaleRow.keys, rows: rows.map(\.json), table: StaleRow.lines(rows))
    }
}

/// One line a session.
package struct HistoryTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("ID", .right, width: 3), .init("LOGON", width: 25), .init("LOGOFF", width: 25),
        .init("REASON", width: 8), .init("CONNECTS", .right), .init("TOTAL", .right, width: 8), .init("ACTIVE", .right, width: 8),
        .init("FROM"),
    ])

    package var keys: [String] {
        [
            "user", "uid", "session", "session_uuid", "stack", "logon", "start", "end", "open", "end_reason", "connects", "disconnects",
            "locks", "unlocks", "client_addresses", "total",
        ] + SummaryTable.categories
    }

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        [
            text(row, "user"), number(row, "session"), moment(row, "logon"), moment(row, "end"), text(row, "end_reason"),
            number(row, "connects"), duration(row, "total"), duration(row, "active"),
            row["client_addresses"]?.array?.compactMap(\.string).joined(separator: " ") ?? "",
        ]
    }
}

/// One line an event.
package struct EventTable: StreamedTable {
    package let table = Table([
        .init("USER", width: 12), .init("ID", .right, width: 3), .init("TIME", width: 25), .init("EVENT", width: 12),
        .init("FROM", width: 32), .init("REASON"),
    ])

    package var keys: [String] {
        ["user", "uid", "session", "session_uuid", "stack", "time", "event", "client_address", "client_name", "reason"]
    }

    package init() {}

    package func cells(_ row: JSONValue) -> [String] {
        let name = text(row, "client_name")
        return [
            text(row, "user"), number(row, "session"), moment(row, "time"), text(row, "event"),
            text(row, "client_address") + (name.isEmpty ? "" : " (\(name))"), text(row, "reason"),
        ]
    }
}
