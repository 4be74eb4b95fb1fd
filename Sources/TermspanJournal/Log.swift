import Glibc
import Synchronization

/// Messages about the program itself, to the journal; to standard error where no journal is. Any thread may log; none
/// waits for the journal.
///
/// The text is constant and the data is in fields, so that one message can be found again: `Log.warning("A probe ended",
/// [.session: "3"])`. For people the fields are repeated behind the text. What users do never belongs here.
package enum Log {
    /// Messages that matter less than this are dropped. From the environment: TERMSPAN_LOG=debug.
    package static let threshold: JournalPriority =
        switch getenv("TERMSPAN_LOG").map({ String(cString: $0) }) {
        case "debug": .debug
        case "notice": .notice
        case "warning": .warning
        case "error": .error
        default: .info
        }

    /// Where messages go instead, for tests.
    private static let sink = Mutex<(@Sendable (JournalRecord) -> Void)?>(nil)

    package static func setSink(_ body: (@Sendable (JournalRecord) -> Void)?) {
        sink.withLock { $0 = body }
    }

    package static func debug(_ message: StaticString, _ fields: KeyValuePairs<JournalField, String> = [:]) {
        write(.debug, message, fields)
    }

    package static func info(_ message: StaticString, _ fields: KeyValuePairs<JournalField, String> = [:]) {
        write(.info, message, fields)
    }

    package static func notice(_ message: StaticString, _ fields: KeyValuePairs<JournalField, String> = [:]) {
        write(.notice, message, fields)
    }

    package static func warning(_ message: StaticString, _ fields: KeyValuePairs<JournalField, String> = [:]) {
        write(.warning, message, fields)
    }

    package static func error(_ message: StaticString, _ fields: KeyValuePairs<JournalField, String> = [:]) {
        write(.error, message, fields)
    }

    package static func write(
        _ priority: JournalPriority, _ message: StaticString, _ fields: KeyValuePairs<JournalField, String>
    ) {
        guard priority <= threshold else { return }
        let record = record(priority, message, fields)
        if let sink = sink.withLock({ $0 }) { return sink(record) }
        record.send()
    }

    static func record(
        _ priority: JournalPriority, _ message: StaticString, _ fields: KeyValuePairs<JournalField, String>
    ) -> JournalRecord {
        var text = message.description
        if !fields.isEmpty {
            text += " (" + fields.map { "\($0.key.name)=\($0.value)" }.joined(separator: ", ") + ")"
        }
        var record = JournalRecord(priority: priority, message: text)
        for (field, value) in fields { record.add(field, value) }
        return record
    }
}
