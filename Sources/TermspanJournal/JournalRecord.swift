import CSystemd
import Glibc
package import TermspanCore

/// One structured record for the journal: an event with its message and fields, sent by sd_journal_sendv(3). Any thread may send one; none waits
/// for the journal.
///
/// Values go as they are, each with its length, so that none can begin another field. Control characters of the message, which goes to
/// consoles and syslog too, become spaces.
package struct JournalRecord: Sendable {
    package private(set) var fields: [(field: JournalField, value: String)]
    private let priority: JournalPriority
    /// Whether it is a message about the program, which standard error should have where no journal is.
    private let isMessage: Bool

    /// What a value is cut to, in bytes.
    static let valueLimit = 4096

    /// - Parameter message: a sentence for people; what it speaks of belongs into fields too.
    package init(_ event: JournalEvent, _ message: String, priority: JournalPriority? = nil) {
        self.priority = priority ?? event.priority
        isMessage = false
        fields = [
            (.message, message), (.priority, String(self.priority.rawValue)),
            (.messageID, event.messageID.description), (.event, event.rawValue),
        ]
    }

    init(priority: JournalPriority, message: String) {
        self.priority = priority
        isMessage = true
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

    /// Has it sent in its turn; without a journal it is dropped.
    package func send() {
        JournalWriter.shared.append(self)
    }

    /// Sends it, or says it on standard error where no journal is; false if the journal can't take it now.
    func deliver() -> Bool {
        guard Self.hasJournal else {
            if isMessage { complain() }
            return true
        }
        let result = sendToJournal()
        if result >= 0 { return true }
        // Nobody listens on the socket, or the system is short of something: that passes.
        if [ECONNREFUSED, EAGAIN, ENOBUFS, ENOMEM, EMFILE, ENFILE].contains(-result) { return false }
        complain()
        return true
    }

    private static let hasJournal = access("/run/systemd/journal/socket", W_OK) == 0

    /// 0, or the negated errno.
    private func sendToJournal() -> Int32 {
        let parts = encoded
        var total: [UInt8] = []
        total.reserveCapacity(parts.reduce(0) { $0 + $1.count })
        for part in parts { total += part }
        return total.withUnsafeMutableBytes { memory in
            guard let base = memory.baseAddress else { return 0 }
            var offset = 0
            let vectors = parts.map { part in
                defer { offset += part.count }
                return iovec(iov_base: base + offset, iov_len: part.count)
            }
            return sd_journal_sendv(vectors, Int32(vectors.count))
        }
    }

    private func complain() {
        var line = Array("<\(priority.rawValue)>".utf8)
        line += encoded[0].dropFirst("MESSAGE=".utf8.count)
        line.append(UInt8(ascii: "\n"))
        _ = line.withUnsafeBytes { Glibc.write(STDERR_FILENO, $0.baseAddress, $0.count) }
    }
}
