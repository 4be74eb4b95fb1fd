package import TermspanCore

/// One entry of the audit record: who decided about tracking, or looked at what is others'.
///
/// Each has a digest that is made of it and of the digest before, so that none can be changed or taken out without all after it. It holds
/// neither reasons nor logins, which can be erased where they are: a user is a number that nothing belongs to any more after that.
package struct AuditEntry: Equatable, Sendable {
    /// From 1 on, without a gap.
    package var id: Int64
    package var at: WallInstant
    /// `root`, or `uid 1000`.
    package var by: String
    /// The key of a decision, as `tracked`, or `read-` with what was asked for, as `read-spans`.
    package var action: String
    /// Whom it is about; nil: of reads everybody, of decisions nobody whom the store knows.
    package var user: UUIDv7?
    /// What was decided, without spaces at its ends or line breaks; empty for reads, unless they are of `notStored`, and where it names
    /// somebody.
    package var value: String

    package static let readPrefix = "read-"
    /// The value of a read that is about somebody whom the store does not know, and not about everybody.
    package static let notStored = "not-stored"

    /// That root is about to copy everybody's data: the value is where to.
    package static let backup = readPrefix + "backup"

    /// That the store was recovered after damage: the value is what is lost. Entries that are missing before it are named there.
    package static let recovery = "store-recovered"

    /// All of it in one line.
    package var text: String {
        "termspan-audit id=\(id) at=\(at.nanoseconds) by=\(by) action=\(action) user=\(user?.description ?? "-") value=\(value)"
    }

    /// The SHA-256, in hexadecimal digits, of the digest before, a line feed and the text; before the first is the store's UUID.
    package func digest(after previous: String) -> String { SHA256.hexadecimalDigest(Array("\(previous)\n\(text)".utf8)) }
}

/// What is asked for of others' data, as the audit record names it.
package enum AuditedRead: String, Sendable {
    case spans, summary, report, history, records, users, audit, facts
    /// What was done, as a file.
    case export
    /// Averages of groups, as who sees nothing of anybody is told them.
    case aggregates
    /// What users did, by pseudonyms.
    case pseudonyms
    /// What users did, that is not business or ignored included.
    case details
    /// How much is held, without what.
    case counts
    /// Whether what is held is right, session by session.
    case check
    /// Sessions with idle times, clients and coverage.
    case sessions
    /// What happens in sessions from then on.
    case notifications
    /// Who is tracked, and who is on the Do Not Track list.
    case policy
}

/// The last entry of the audit record of a store: whoever has it elsewhere knows of each change before it.
package struct AuditHead: Equatable, Sendable {
    /// The UUID that the store was given when it was made.
    package var store: UUIDv7
    /// The entry's number; 0 before the first.
    package var id: Int64
    /// The entry's digest; before the first the store's UUID.
    package var digest: String

    init(_ store: UUIDv7) { (self.store, id, digest) = (store, 0, store.description) }
}

/// Goes through an audit record from its beginning.
package struct AuditCheck: Sendable {
    /// The last entry that follows from those before.
    package private(set) var head: AuditHead
    /// What is wrong first; nil while all is right.
    package private(set) var problem: String?

    package init(store: UUIDv7) { head = AuditHead(store) }

    package mutating func add(_ entry: AuditEntry, digest: String) {
        guard problem == nil else { return }
        if entry.id != head.id + 1 {
            problem = "entry \(head.id + 1) is missing"
        } else if entry.digest(after: head.digest) != digest {
            problem = "entry \(entry.id) is not as it was recorded, or one before it was another"
        } else {
            head.id = entry.id
            head.digest = digest
        }
    }
}

/// An entry as the store holds it.
package struct StoredAuditEntry: Equatable, Sendable {
    package var entry: AuditEntry
    package var digest: String
    /// Login and uid of the user whom it is about, as they were last; nil also for one that was erased.
    package var user: UserIdentity?
}
