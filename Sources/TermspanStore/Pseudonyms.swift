package import TermspanCore

/// Names that stand for users and sessions in reports of one month: `u202610-k7f3q9zx2m`. The same in all reports of that month, others in the
/// next, and without the keys of the store nobody can say whose one is: an HMAC under a key of the month's.
package struct Pseudonyms: Sendable {
    package let month: CalendarMonth
    private let key: SecretKey

    /// - Parameter root: the root key of the store's file of keys.
    init(_ month: CalendarMonth, root: SecretKey) {
        self.month = month
        key = SecretKey(authenticating: "pseudonyms \(month)", under: root)
    }

    package func name(of user: UserIdentity) -> String { name("u", "user\0\(user.login)\0\(user.uid)") }

    package func name(of session: UUIDv7) -> String { name("s", "session\0\(session)") }

    /// The month that a user's pseudonym is of; nil for what is none.
    package static func month(of pseudonym: String) -> CalendarMonth? {
        let parts = pseudonym.split(separator: "-", omittingEmptySubsequences: false)
        guard parts.count == 2, parts[0].count == 7, parts[0].first == "u", parts[1].count == length,
            parts[1].utf8.allSatisfy({ digits.contains($0) })
        else { return nil }
        return CalendarMonth("\(parts[0].dropFirst().prefix(4))-\(parts[0].suffix(2))")
    }

    /// 50 bits: of ten thousand users no two have the same, but for one time in twenty million.
    private static let length = 10
    /// Base32 of RFC 4648, in lower case.
    private static let digits = Array("abcdefghijklmnopqrstuvwxyz234567".utf8)

    private func name(_ kind: String, _ message: String) -> String {
        let bits = key.authenticationCode(of: Array(message.utf8)).prefix(7).reduce(0 as UInt64) { $0 << 8 | UInt64($1) }
        let text = (0..<Self.length).map { Self.digits[Int(bits >> (5 * UInt64($0)) & 31)] }
        return kind + month.description.filter { $0 != "-" } + "-" + String(decoding: text, as: UTF8.self)
    }
}

/// Whom a pseudonym stands for.
package struct RevealedUser: Equatable, Sendable {
    package var identity: UserIdentity
    package var month: CalendarMonth
}

extension StoreWriter {
    /// Finds out whom a pseudonym stands for, and records who wanted to know and why, about that user: both or neither.
    ///
    /// - Returns: nil where it is of nobody who is known.
    package func reveal(
        _ pseudonym: String, by actor: String, reason: String, at moment: WallInstant
    ) throws(StoreError) -> RevealedUser? {
        guard let month = Pseudonyms.month(of: pseudonym) else { return nil }
        let names = Pseudonyms(month, root: values.keys.root)
        return try transaction("reveal a pseudonym") { db in
            // One whose key is gone has no name either.
            let users = try self.held("true", db).filter {
                $0.identity.uid != .max && names.name(of: $0.identity) == pseudonym
            }
            // Several rows are one user, who had another in between: the entry is to be found by who has the login now.
            guard let user = users.first(where: \.isCurrent) ?? users.last else { return nil }
            try self.record(db, moment, actor, user.row, "pseudonym-revealed", month.description, reason)
            return RevealedUser(identity: user.identity, month: month)
        }
    }
}
