import GRDB
package import TermspanAccounting
package import TermspanCore

// Aggregates: Docs/adr/0018-aggregates.md.

extension StoreWriter {
    /// Changes of which groups and of how many users at least aggregates are told, and records who did and why; what is nil stays.
    ///
    /// - Returns: whether anything changed.
    package func setAggregates(
        groups: [String]?, minimum: UInt64?, by: String, reason: String, at moment: WallInstant
    ) throws(StoreError) -> Bool {
        forgetPolicy()
        return try transaction("set aggregates") { db in
            var changed = false
            let wanted = [Policy.aggregateGroupsKey: groups?.joined(separator: ","), Policy.aggregateMinimumKey: minimum.map(String.init)]
            for case (let key, let value?) in wanted.sorted(by: { $0.key < $1.key }) {
                let usual = key == Policy.aggregateMinimumKey ? String(AggregateTable.usualMinimum) : ""
                let old = try String.fetchOne(db, sql: "SELECT value FROM setting WHERE key = ?", arguments: [key]) ?? usual
                if old == value { continue }
                try self.set(Policy.Setting(key: key, value: value, since: moment, by: by, reason: reason), db)
                changed = true
            }
            return changed
        }
    }

    /// What was told of months.
    package func aggregateTables() throws(StoreError) -> [CalendarMonth: AggregateTable] {
        do {
            return try read { try Self.tables($0) }
        } catch {
            throw StoreError(error, "read aggregates")
        }
    }

    /// Makes what is about to be told of months that for good; where something was told before, that stays.
    ///
    /// - Returns: what is to be told of all months.
    package func fix(_ tables: [CalendarMonth: AggregateTable], at moment: WallInstant) throws(StoreError) -> [CalendarMonth:
        AggregateTable]
    {
        try transaction("fix aggregates") { db in
            for (month, table) in tables {
                try db.execute(
                    sql: "INSERT OR IGNORE INTO aggregate (month, lines, at, revision) VALUES (?, ?, ?, ?)",
                    arguments: [month.description, table.lines.joined(separator: "\n"), moment.nanoseconds, try self.revision(db)])
            }
            return try Self.tables(db)
        }
    }

    private static func tables(_ db: Database) throws -> [CalendarMonth: AggregateTable] {
        return Dictionary(
            try Row.fetchAll(db, sql: "SELECT month, lines FROM aggregate").compactMap { row in
                guard let month = CalendarMonth(row[0] as String),
                    let table = AggregateTable(lines: (row[1] as String).split(separator: "\n").map(String.init))
                else { return nil }
                return (month, table)
            }
        ) { first, _ in first }
    }
}
