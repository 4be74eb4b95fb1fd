import CSystemd
import Glibc
package import TermspanCore

/// One structured record for the journal: an event with its message and fields, sent by sd_journal_sendv(3). Any thread may send one.
///
/// Values go as they are, each with its length, so that none can begin another field. Control characters of the message, which goes to
/// consoles and syslog too, become spaces.
package struct JournalRecord: Sendable {
    package private(set) var fields: [(field: JournalField, value: String)]

    /// What a value is cut to, in bytes.
    static let valueLimit = 4096

    /// - Parameter message: a sentence for people; what it speaks of belongs into fields too.
    package init(_ event: JournalEvent, _ message: String, priority: JournalPriority? = nil) {
        fields = [
            (.message, message), (.priority, String((priority ?? event.priority).rawValue)),
            (.messageID, event.messageID.description), (.event, event.rawValue),
        ]
    }

    init(priority: JournalPriority, message: String) {
        fields = [(.message, message), (.priority, String(priority.rawValue))]
    }

    /// Adds a field; nil and empty values add none. A field may occur several times.
    package mutating func add(_ field: JournalField, _ value: String?) {
        if let value, !value.isEmpty { fields.append((field, value)) }
    }

    /// Adds what records about a session have in common.
    package mutating func add(
        session: SessionID, uuid: UUIDv7?, user: String?, logindSessions: [String] = [], leader: Int32? = nil, stack: String? = nil
    ) {
        add(.session, session.description)
        add(.sessionUUID, uuid?.description)
        add(.user, user)
        for id in logindSessions { add(.logindSession, id) }
        if let leader, leader > 0 { add(.leader, String(leader)) }
        add(.stack, stack)
    }

    /// The fields as the journal takes them: `NAME=value`.
    var encoded: [[UInt8]] {
        fields.map { field, value in
            var bytes = Array(value.utf8.prefix(Self.valueLimit))
            if field == .message {
                for index in bytes.indices where bytes[index] < 0x20 || bytes[index] == 0x7F { bytes[index] = UInt8(ascii: " ") }
            }
            return Array(field.name.utf8) + [UInt8(ascii: "=")] + bytes
        }
    }

    /// Sends it; false if the journal did not take it. Without a journal it is dropped without an error.
    @discardableResult
    package func send() -> Bool {
        let parts = encoded
        var total: [UInt8] = []
        total.reserveCapacity(parts.reduce(0) { $0 + $1.count })
        for part in parts { total += part }
        return total.withUnsafeMutableBytes { memory in
            guard let base = memory.baseAddress else { return false }
            var offset = 0
            let vectors = parts.map { part in
                defer { offset += part.count }
                return iovec(iov_base: base + offset, iov_len: part.count)
            }
            return sd_journal_sendv(vectors, Int32(vectors.count)) >= 0
        }
    }
}
