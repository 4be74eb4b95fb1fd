import CSystemd
import Glibc
package import TermspanCore

/// Why the journal could not be read.
package struct JournalError: Error, Hashable, Sendable, CustomStringConvertible {
    package var code: Int32
    package var operation: String

    package init(code: Int32, operation: String) {
        self.code = code
        self.operation = operation
    }

    package var description: String { operation + ": " + String(cString: strerror(code)) }
}

/// Which of the collector's records are wanted; nil takes all.
package struct JournalFilter: Hashable, Sendable {
    /// A number, which sessions had one after the other, or what only one ever has.
    package enum Session: Hashable, Sendable {
        case id(SessionID)
        case uuid(UUIDv7)

        package init?(_ text: String) {
            if let number = UInt32(text) {
                self = .id(SessionID(rawValue: number))
            } else if let uuid = UUIDv7(text) {
                self = .uuid(uuid)
            } else {
                return nil
            }
        }
    }

    package var session: Session?
    package var user: String?
    package var events: [JournalEvent]?
    package var since: WallInstant?
    package var until: WallInstant?

    package init(
        session: Session? = nil, user: String? = nil, events: [JournalEvent]? = nil, since: WallInstant? = nil,
        until: WallInstant? = nil
    ) {
        self.session = session
        self.user = user
        self.events = events
        self.since = since
        self.until = until
    }

    /// The matches of sd_journal_add_match(3): of equal names one must hold, of different ones all.
    ///
    /// Anybody can write our fields into the journal. Nobody but the collector has these two, which journald itself adds.
    var matches: [String] {
        var matches = ["_UID=0", "_SYSTEMD_UNIT=termspand.service"]
        // A name is a whole match of its own, so nothing in it can widen the filter.
        switch session {
        case .id(let id): matches.append("TERMSPAN_SESSION=\(id)")
        case .uuid(let uuid): matches.append("TERMSPAN_SESSION_UUID=\(uuid)")
        case nil: break
        }
        if let user { matches.append("USER_ID=\(user)") }
        matches += (events ?? JournalEvent.allCases).map { "MESSAGE_ID=\($0.messageID)" }
        return matches
    }
}

/// One record of the collector.
package struct JournalEntry: Hashable, Sendable {
    /// When journald received it.
    package var time: WallInstant
    /// Nil for a kind that a newer version writes.
    package var event: JournalEvent?
    package var fields: [String: [String]]

    package init(time: WallInstant, fields: [String: [String]]) {
        self.time = time
        self.fields = fields
        event = fields["TERMSPAN_EVENT"]?.first.flatMap { JournalEvent(rawValue: $0) }
    }

    package func first(_ field: JournalField) -> String? { fields[field.name]?.first }

    /// The name and the value in `NAME=value`.
    static func field(_ bytes: UnsafeRawBufferPointer) -> (name: String, value: String)? {
        guard let separator = bytes.firstIndex(of: UInt8(ascii: "=")) else { return nil }
        return (String(decoding: bytes[..<separator], as: UTF8.self), String(decoding: bytes[(separator + 1)...], as: UTF8.self))
    }
}

/// Reads the collector's records, oldest first: sd_journal_open(3). For one thread.
///
/// Only root and members of the groups adm and systemd-journal see the system's journal; others find nothing (`isReadable`).
package final class JournalReader {
    private let journal: OpaquePointer
    private let filter: JournalFilter

    /// - Parameter directory: a folder of journal files instead of the system's.
    package init(_ filter: JournalFilter, directory: String? = nil) throws(JournalError) {
        var journal: OpaquePointer?
        let result =
            if let directory {
                sd_journal_open_directory(&journal, directory, 0)
            } else {
                sd_journal_open(&journal, Int32(SD_JOURNAL_LOCAL_ONLY | SD_JOURNAL_SYSTEM))
            }
        guard result >= 0, let journal else { throw JournalError(code: -result, operation: "opening the journal") }
        self.journal = journal
        self.filter = filter
        for match in filter.matches {
            let result = match.withCString { sd_journal_add_match(journal, $0, strlen($0)) }
            if result < 0 { throw JournalError(code: -result, operation: "filtering the journal") }
        }
        let sought =
            if let since = filter.since {
                sd_journal_seek_realtime_usec(journal, UInt64(max(0, since.nanoseconds / 1000)))
            } else {
                sd_journal_seek_head(journal)
            }
        if sought < 0 { throw JournalError(code: -sought, operation: "seeking in the journal") }
    }

    deinit {
        sd_journal_close(journal)
    }

    /// Moves to the last `count` records.
    package func seekTail(_ count: UInt64) throws(JournalError) {
        let result = sd_journal_seek_tail(journal)
        if result < 0 { throw JournalError(code: -result, operation: "seeking in the journal") }
        let skipped = sd_journal_previous_skip(journal, count &+ 1)
        if skipped < 0 { throw JournalError(code: -skipped, operation: "seeking in the journal") }
        // Fewer than that: `next` must return the first too.
        if UInt64(skipped) <= count { sd_journal_seek_head(journal) }
    }

    /// The next record; nil when there is none yet.
    package func next() throws(JournalError) -> JournalEntry? {
        let result = sd_journal_next(journal)
        if result < 0 { throw JournalError(code: -result, operation: "reading the journal") }
        guard result > 0 else { return nil }
        var microseconds: UInt64 = 0
        sd_journal_get_realtime_usec(journal, &microseconds)
        let time = WallInstant(nanoseconds: Int64(clamping: microseconds.multipliedReportingOverflow(by: 1000).partialValue))
        if let until = filter.until, time >= until { return nil }
        var fields: [String: [String]] = [:]
        sd_journal_restart_data(journal)
        var data: UnsafeRawPointer?
        var length = 0
        while sd_journal_enumerate_available_data(journal, &data, &length) > 0, let start = data {
            guard let (name, value) = JournalEntry.field(UnsafeRawBufferPointer(start: start, count: length)) else { continue }
            fields[name, default: []].append(value)
        }
        return JournalEntry(time: time, fields: fields)
    }

    /// A descriptor that poll(2) finds readable when there may be more; then call `process`.
    package func descriptor() throws(JournalError) -> Int32 {
        let result = sd_journal_get_fd(journal)
        if result < 0 { throw JournalError(code: -result, operation: "watching the journal") }
        return result
    }

    /// Takes note of what changed.
    package func process() throws(JournalError) {
        let result = sd_journal_process(journal)
        if result < 0 { throw JournalError(code: -result, operation: "watching the journal") }
    }

    /// Waits until there may be more.
    package func wait() throws(JournalError) {
        let result = sd_journal_wait(journal, .max)
        if result < 0 { throw JournalError(code: -result, operation: "watching the journal") }
    }

    /// Whether this process may read the system's journal at all.
    package static var isReadable: Bool {
        if geteuid() == 0 { return true }
        var id = sd_id128_t()
        guard sd_id128_get_machine(&id) >= 0 else { return false }
        let machine = withUnsafeBytes(of: id) { ID128(bytes: Array($0)) }?.description ?? ""
        return ["/var/log/journal/", "/run/log/journal/"].contains { access($0 + machine + "/system.journal", R_OK) == 0 }
    }
}
