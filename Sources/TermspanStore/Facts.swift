import GRDB
package import TermspanCore

/// A fact as it was found at a moment; it holds until another one of its kind is found.
package struct FactRecord: Equatable, Sendable {
    /// Nil: it is the computer's.
    package var user: UserIdentity?
    package var fact: Fact
    /// "" where it is not known. Of a network what it is known by: what is stored is a name for it that tells nothing of that.
    package var value: String
    package var at: WallInstant

    package init(_ fact: Fact, _ value: String, of user: UserIdentity? = nil, at moment: WallInstant) {
        self.fact = fact
        self.value = value
        self.user = user
        at = moment
    }
}

/// A fact with the time in which it held.
package struct StoredFact: Equatable, Sendable {
    /// The cursor: the user's row, 0 of the computer, and the fact's. Means nothing outside this file.
    package var cursor: Cursor
    /// Nil of the computer's, and of a user's who can't be told any more.
    package var user: UserIdentity?
    /// Nil for a kind of a newer version's.
    package var fact: Fact?
    /// Nil where the user's key is gone.
    package var value: String?
    package var since: WallInstant
    /// Nil: it holds.
    package var until: WallInstant?

    package struct Cursor: Equatable, Sendable {
        package var user: Int64
        package var row: Int64

        package static let beginning = Cursor(user: -1, row: 0)
    }
}

/// Two facts of one kind that hold at the same time, or one that is no time.
package struct FactConflict: Equatable, Sendable {
    package var row: Int64
    package var kind: String
    package var since: WallInstant
}

extension StoreWriter {
    /// Notes a fact where it is another one than the last of its kind, whose time then ends.
    ///
    /// A clock that was set back can't make two hold at once: the new one then holds from when the last is known to have held.
    ///
    /// - Returns: whether it is new; nil for one of a user of whom nothing is held.
    func note(_ fact: FactRecord, _ db: Database) throws -> Bool? {
        guard fact.fact.isPersonal == (fact.user != nil) else { return nil }
        var user: (row: Int64, key: KeyID)?
        if let identity = fact.user {
            guard let row = try knownRow(of: identity, db), let key = try key(ofUser: row, db) else { return nil }
            user = (row, key)
        }
        let value = fact.fact == .networkID ? networkID(fact.value) : Fact.value(fact.value)
        let ofThese = "machine = ? AND user IS ? AND kind = ?"
        let these: StatementArguments = [machine, user?.row, fact.fact.rawValue]
        let current = try Row.fetchOne(
            db.cachedStatement(sql: "SELECT id, reveal(kind, value) FROM fact WHERE \(ofThese) AND until IS NULL"), arguments: these)
        guard value != current?[1] as String? ?? (current == nil ? "" : nil) else { return false }
        let last = try Int64.fetchOne(
            db.cachedStatement(sql: "SELECT max(coalesce(until, since + 1)) FROM fact WHERE \(ofThese)"), arguments: these)
        let since = max(fact.at.nanoseconds, last ?? .min)
        if let row = current?[0] as Int64? {
            try db.cachedStatement(sql: "UPDATE fact SET until = ?, revision = ? WHERE id = ?")
                .execute(arguments: [since, try revision(db), row])
        }
        if !value.isEmpty { try insert(fact.fact.rawValue, value, of: user, since: since, db) }
        return true
    }

    private func insert(_ kind: String, _ value: String, of user: (row: Int64, key: KeyID)?, since: Int64, _ db: Database) throws {
        let statement = try db.cachedStatement(
            sql: "INSERT INTO fact (machine, user, kind, value, since, revision) VALUES (?, ?, ?, ?, ?, ?)")
        guard let user else { return try statement.execute(arguments: [machine, nil, kind, value, since, try revision(db)]) }
        guard let sealedKind = SealedValues.Kind(rawValue: kind) else { return }
        let sealed = try values.seal(value, as: sealedKind, under: user.key)
        try statement.execute(arguments: [machine, user.row, kind, sealed, since, try revision(db)])
    }

    /// A name for a network that only who has the store's keys can make.
    private func networkID(_ network: String) -> String {
        guard !network.isEmpty else { return "" }
        let code = SecretKey(authenticating: "networks", under: values.keys.root).authenticationCode(of: Array(network.utf8))
        return code.prefix(8).map { byte in (byte < 16 ? "0" : "") + String(byte, radix: 16) }.joined()
    }

    /// Takes the past of a user's facts away; what holds now holds from this moment, under the user's new key.
    func renewFacts(ofUser row: Int64, under key: KeyID, at moment: WallInstant, _ db: Database) throws {
        let current = try Row.fetchAll(
            db, sql: "SELECT kind, reveal(kind, value) FROM fact WHERE user = ? AND until IS NULL ORDER BY id", arguments: [row])
        try removeFacts(ofUser: row, db)
        for fact in current {
            if let value = fact[1] as String? { try insert(fact[0], value, of: (row, key), since: moment.nanoseconds, db) }
        }
    }

    func removeFacts(ofUser row: Int64, _ db: Database) throws {
        try db.execute(sql: "DELETE FROM fact WHERE user = ?", arguments: [row])
    }
}

extension StoreReader {
    /// The computer's facts and those of the users whom the filter names, the computer's first, each user's together.
    ///
    /// - Parameters:
    ///   - filter: its users and times count.
    ///   - moment: only what held then.
    package func facts(
        _ filter: SessionFilter = SessionFilter(), at moment: WallInstant? = nil, after cursor: StoredFact.Cursor = .beginning,
        limit: Int = 500
    ) throws(StoreError) -> [StoredFact] {
        try read("read facts") { db in
            var conditions: [Condition] = [("(coalesce(f.user, 0), f.id) > (?, ?)", [cursor.user, cursor.row])]
            let users = filter.conditions(onUser: "f.user")
            if !users.isEmpty {
                let named = users.conjunction
                conditions.append(("(f.user IS NULL OR (\(named.sql)))", named.values))
            }
            if let moment {
                conditions.append(("f.since <= ? AND (f.until IS NULL OR f.until > ?)", [moment.nanoseconds, moment.nanoseconds]))
            }
            if let since = filter.since { conditions.append(("(f.until IS NULL OR f.until > ?)", [since.nanoseconds])) }
            if let until = filter.until { conditions.append(("f.since < ?", [until.nanoseconds])) }
            let wanted = conditions.conjunction
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT coalesce(f.user, 0), f.id, f.kind, reveal(f.kind, f.value), f.since, f.until, l.value AS login, i.value AS uid
                    FROM fact f \(Self.lastIdentity(ofUser: "f.user")) WHERE \(wanted.sql) ORDER BY coalesce(f.user, 0), f.id LIMIT ?
                    """, arguments: wanted.values + [limit]
            ).map { row in
                StoredFact(
                    cursor: StoredFact.Cursor(user: row[0], row: row[1]), user: Self.identity(row), fact: Fact(rawValue: row[2]),
                    value: row[3], since: WallInstant(nanoseconds: row[4]),
                    until: (row[5] as Int64?).map { WallInstant(nanoseconds: $0) })
            }
        }
    }

    /// The facts that begin before the one before has ended, or end before they begin.
    package func factConflicts(limit: Int = 1000) throws(StoreError) -> [FactConflict] {
        try read("check facts") { db in
            try Row.fetchAll(
                db,
                sql: """
                    SELECT id, kind, since FROM (
                        SELECT id, kind, since, until, lag(coalesce(until, \(Int64.max)))
                            OVER (PARTITION BY machine, user, kind ORDER BY since, id) AS before FROM fact)
                    WHERE until <= since OR before > since ORDER BY id LIMIT ?
                    """, arguments: [limit]
            ).map { FactConflict(row: $0[0], kind: $0[1], since: WallInstant(nanoseconds: $0[2])) }
        }
    }
}
