package import TermspanCore

/// Whom an erasure names: a login, or a uid as `uid:1001`. It means everybody who has or had it, as in reports.
package struct UserName: Hashable, Sendable, CustomStringConvertible {
    /// As the store has it: "login" or "uid", and which.
    let kind: String
    let value: String

    /// Reads a name; nil for one that nobody can have.
    package init?(_ text: String) {
        guard !text.isEmpty, text.utf8.count <= 256 else { return nil }
        guard text.lowercased().hasPrefix("uid:") else {
            (kind, value) = ("login", text)
            return
        }
        guard case .uid(let uid) = DoNotTrackList.Subject(text) else { return nil }
        (kind, value) = ("uid", String(uid))
    }

    /// As the store has it.
    init?(kind: String, value: String) {
        guard ["login", "uid"].contains(kind) else { return nil }
        (self.kind, self.value) = (kind, value)
    }

    /// As it is read again.
    package var description: String { kind == "uid" ? "uid:\(value)" : value }

    /// Those whom it names, and others of that login, as the Do Not Track list has it.
    package var subject: DoNotTrackList.Subject {
        kind == "uid" ? .uid(UInt32(value) ?? .max) : .login(LoginName(login: value))
    }
}

/// One whom the store holds something about.
package struct HeldUser: Equatable, Sendable {
    /// Means nothing outside this file.
    let row: Int64
    package let uuid: UUIDv7
    /// The names that it was found by, if it was looked for.
    package internal(set) var names: [UserName]
    /// Login and uid, as they were last.
    package let identity: UserIdentity
    /// Whether these still hold; else both can be another's by now.
    package let isCurrent: Bool
}

/// What is held about one user, or was until it was erased.
package struct HeldCounts: Equatable, Sendable {
    package var sessions = 0
    package var focusIntervals = 0
    package var inputBursts = 0
    package var unknownIntervals = 0
    package var stateChanges = 0
    /// Of the user alone: the computer's are nobody's.
    package var facts = 0

    package init() {}

    /// By the tables that they are counted in.
    var byTable: [(table: String, count: Int)] {
        [
            ("session", sessions), ("focus_interval", focusIntervals), ("input_burst", inputBursts), ("unknown_interval", unknownIntervals),
            ("session_event", stateChanges), ("fact", facts),
        ]
    }

    /// Counts rows of a table; those of others are not.
    mutating func add(_ count: Int, from table: String) {
        switch table {
        case "session": sessions += count
        case "focus_interval": focusIntervals += count
        case "input_burst": inputBursts += count
        case "unknown_interval": unknownIntervals += count
        case "session_event": stateChanges += count
        case "fact": facts += count
        default: break
        }
    }

    package static func += (sum: inout HeldCounts, other: HeldCounts) {
        for (table, count) in other.byTable { sum.add(count, from: table) }
    }

    /// By the names that receipts and answers have.
    package var named: [(name: String, count: Int)] {
        [
            ("sessions", sessions), ("focus-intervals", focusIntervals), ("input-bursts", inputBursts),
            ("unknown-intervals", unknownIntervals), ("state-changes", stateChanges), ("facts", facts),
        ]
    }
}

/// What says that something was erased, or removed because it was old. It holds no name: who it was about is a number that nothing belongs to any more.
package struct ErasureReceipt: Equatable, Sendable {
    /// All of it, in one line.
    package let text: String
    /// The SHA-256 of the text's bytes, in hexadecimal digits.
    package let digest: String

    init(
        _ uuid: UUIDv7, of user: UUIDv7, _ counts: HeldCounts, goingOn: Int, keys: Int, alsoUser: Bool, by actor: String,
        at moment: WallInstant
    ) {
        self.init(
            "termspan-erasure receipt=\(uuid) at=\(moment.nanoseconds / 1_000_000_000) user=\(user) \(Self.text(counts)) "
                + "sessions-going-on=\(goingOn) keys-destroyed=\(keys) user-erased=\(alsoUser ? "yes" : "no") "
                + "by=\(actor.split(separator: " ").joined(separator: "-"))")
    }

    /// Of what was removed by its age, of everybody.
    init(_ uuid: UUIDv7, expired counts: HeldCounts, since: WallInstant, at moment: WallInstant) {
        self.init(
            "termspan-expiry receipt=\(uuid) at=\(moment.nanoseconds / 1_000_000_000) since=\(since.nanoseconds / 1_000_000_000) "
                + Self.text(counts))
    }

    private init(_ text: String) {
        self.text = text
        digest = SHA256.hexadecimalDigest(Array(text.utf8))
    }

    private static func text(_ counts: HeldCounts) -> String { counts.named.map { "\($0.name)=\($0.count)" }.joined(separator: " ") }
}

/// What was erased of one user.
package struct Erased: Equatable, Sendable {
    package var user: HeldUser
    package var counts: HeldCounts
    package var receipt: ErasureReceipt
    /// The sessions that the store knows no longer.
    package var gone: [UUIDv7]
    /// Those that go on, of which it holds nothing from before.
    package var goingOn: [UUIDv7]
}
