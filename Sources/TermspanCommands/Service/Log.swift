import ArgumentParser
import TermspanCore
package import TermspanJournal

/// `termspan log`
struct Log: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "log", abstract: "Show the journal's records of sessions, users and the collector.",
            discussion: """
                Only records that the collector itself wrote are shown; anybody could write others that look alike. An ID may be
                another session's ten minutes after its session ended, and a logon screen's at once; a UUID never is.
                """)
    }

    @Option(
        help: "Only sessions of this ID, those that have ended too, or the one of this UUID.", completion: Completions.sessions,
        transform: { text in
            guard let session = JournalFilter.Session(text) else {
                throw ValidationError("'\(text)' is neither an ID nor a UUID of a session.")
            }
            return session
        })
    var session: JournalFilter.Session?

    @Option(help: "Only this user.", completion: Completions.users)
    var user: String?

    @Option(
        help: "Only this kind of event, as in session-opened, or logon, logoff, connect, disconnect, lock, unlock.",
        completion: .list(JournalEvent.allCases.map(\.rawValue) + JournalEvent.notifications.keys.sorted()),
        transform: { text in
            guard let event = JournalEvent(rawValue: text) ?? JournalEvent.notifications[text] else {
                throw ValidationError("There is no event '\(text)': \(JournalEvent.allCases.map(\.rawValue).joined(separator: ", ")).")
            }
            return event
        })
    var event: JournalEvent?

    @Option(help: "From this moment on: \(Moment.help).")
    var since: Moment?

    @Option(help: "Up to this moment.")
    var until: Moment?

    @Flag(name: .shortAndLong, help: "Go on with what is written from now on, after the last ten records.")
    var follow = false

    @OptionGroup var output: FormatOptions

    func validate() throws {
        if follow, until != nil { throw ValidationError("--follow and --until exclude each other.") }
    }

    func execute() throws {
        do throws(JournalError) {
            let filter = JournalFilter(
                session: session, user: user, events: event.map { [$0] }, since: since?.instant, until: until?.instant)
            let reader = try JournalReader(filter)
            var count = 0
            if follow, since == nil { try reader.seekTail(10) }
            if output.format == .csv { Output.write(LogText.keys.joined(separator: ",") + "\r\n") }
            while true {
                while let entry = try reader.next() {
                    count += 1
                    switch output.format {
                    case .table: Output.write(LogText.line(entry) + "\n")
                    // One object a line, as `journalctl --output=json` has it, since it may never end.
                    case .json: Output.write(LogText.json(entry).text + "\n")
                    case .csv:
                        let row = LogText.json(entry)
                        Output.write(LogText.keys.map { CSV.cell(row[$0] ?? .null) }.joined(separator: ",") + "\r\n")
                    }
                }
                Output.flush()
                guard follow else { break }
                try reader.wait()
            }
            if count == 0, !JournalReader.isReadable {
                throw JournalError(code: 13, operation: "reading the system's journal")
            }
        } catch {
            if error.code == 13 {
                throw CommandError(
                    .notPermitted, "You may not read the system's journal.",
                    remedy: "Use sudo, or become a member of the group systemd-journal or adm.")
            }
            throw CommandError(error)
        }
    }
}

/// A journal record as text.
package enum LogText {
    package static let keys = [
        "time", "event", "message", "session", "session_uuid", "user", "logind_sessions", "leader", "stack", "client_address",
        "client_name",
        "reason", "actor",
    ]

    package static func line(_ entry: JournalEntry) -> String {
        Printable.text("\(TimeText.local(entry.time))  \(entry.first(.message) ?? entry.event?.rawValue ?? "")")
    }

    package static func json(_ entry: JournalEntry) -> JSONValue {
        func number(_ field: JournalField) -> JSONValue { entry.first(field).flatMap { UInt64($0) }.map { .unsigned($0) } ?? .null }
        let values: [JSONValue] = [
            .string(TimeText.utc(entry.time)), .optional(entry.first(.event)), .optional(entry.first(.message)), number(.session),
            .optional(entry.first(.sessionUUID)), .optional(entry.first(.user)),
            .array((entry.fields[JournalField.logindSession.name] ?? []).map { .string($0) }), number(.leader),
            .optional(entry.first(.stack)), .optional(entry.first(.clientAddress)), .optional(entry.first(.clientName)),
            .optional(entry.first(.reason)), .optional(entry.first(.actor)),
        ]
        return .object(zip(keys, values).map { JSONValue.Member($0, $1) })
    }
}
