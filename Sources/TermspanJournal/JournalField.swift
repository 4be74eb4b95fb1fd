/// The name of a field of a journal record (systemd.journal-fields(7)).
package struct JournalField: Hashable, Sendable {
    package let name: String

    /// A field of our own; the name must be upper-case letters, digits and underscores, and begin with a letter.
    package init(_ name: StaticString) {
        self.init(unchecked: name.description)
        precondition(Self.isValid(self.name), "not a name of a journal field")
    }

    private init(unchecked name: String) { self.name = name }

    static func isValid(_ name: String) -> Bool {
        func isUpper(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "A") && byte <= UInt8(ascii: "Z") }
        func isDigit(_ byte: UInt8) -> Bool { byte >= UInt8(ascii: "0") && byte <= UInt8(ascii: "9") }
        guard let first = name.utf8.first, isUpper(first), name.utf8.count <= 64 else { return false }
        return name.utf8.allSatisfy { isUpper($0) || isDigit($0) || $0 == UInt8(ascii: "_") }
    }

    package static let message = JournalField("MESSAGE")
    package static let messageID = JournalField("MESSAGE_ID")
    package static let priority = JournalField("PRIORITY")
    package static let identifier = JournalField("SYSLOG_IDENTIFIER")
    /// The errno behind a message.
    package static let errorNumber = JournalField("ERRNO")
    /// logind's ID of a session; repeated where a desktop has several.
    package static let logindSession = JournalField("SESSION_ID")
    /// The login name.
    package static let user = JournalField("USER_ID")
    /// The process that leads the session.
    package static let leader = JournalField("LEADER")
    package static let event = JournalField("TERMSPAN_EVENT")
    /// The session's number.
    package static let session = JournalField("TERMSPAN_SESSION")
    package static let sessionUUID = JournalField("TERMSPAN_SESSION_UUID")
    package static let stack = JournalField("TERMSPAN_STACK")
    package static let clientAddress = JournalField("TERMSPAN_CLIENT_ADDRESS")
    package static let clientName = JournalField("TERMSPAN_CLIENT_NAME")
    package static let reason = JournalField("TERMSPAN_REASON")
    /// Who changed the policy or acted on a session.
    package static let actor = JournalField("TERMSPAN_ACTOR")
    /// The limit that was reached.
    package static let limit = JournalField("TERMSPAN_LIMIT")
    /// How many, for losses and limits.
    package static let count = JournalField("TERMSPAN_COUNT")
    /// The unit that a message is about.
    package static let unit = JournalField("TERMSPAN_UNIT")
    /// The file that a message is about.
    package static let file = JournalField("TERMSPAN_FILE")
    /// What says that something was erased.
    package static let receipt = JournalField("TERMSPAN_RECEIPT")
    /// The store that the audit record is in, by its UUID.
    package static let store = JournalField("TERMSPAN_STORE")
    /// The SHA-256 of the audit record's last entry.
    package static let digest = JournalField("TERMSPAN_SHA256")
    /// What an error said.
    package static let error = JournalField("TERMSPAN_ERROR")
}
