import GRDB
import TermspanCore

/// The tables of a session's intervals.
package enum IntervalTable: String, CaseIterable, Sendable {
    case focus = "focus_interval"
    case bursts = "input_burst"
    case unknowns = "unknown_interval"

    /// What a row has beside its time: of an application its number, else what the code knows by a number.
    fileprivate var value: String {
        switch self {
        case .focus: "application"
        case .bursts: "origin"
        case .unknowns: "reason"
        }
    }

    /// Whether what the row refers to is missing.
    fileprivate var isBroken: String {
        self == .focus ? "application IS NOT NULL AND NOT EXISTS (SELECT 1 FROM application a WHERE a.id = application)" : "FALSE"
    }
}

/// A row of a session's intervals as it is in the file, whatever is wrong with it.
package struct StoredInterval: Equatable, Sendable {
    package var start: Int64
    package var length: Int64
    package var value: Int64?
    /// Whether it refers to what there is not.
    package var isBroken: Bool

    package init(start: Int64, length: Int64, value: Int64? = nil, isBroken: Bool = false) {
        self.start = start
        self.length = length
        self.value = value
        self.isBroken = isBroken
    }
}

/// A session's row as it is in the file.
package struct StoredFrame: Equatable, Sendable {
    package var start: Int64
    package var startWall: Int64
    package var end: Int64?
    package var endWall: Int64?
    package var endReason: Int64?
    /// Whether the store knows of no boot that is later by number and by clock.
    package var isOfLastBoot: Bool
}

/// A boot's row, with its anchors in the order of their moments.
package struct StoredBoot: Equatable, Sendable {
    package var row: Int64
    package var seen: Int64
    package var anchors: [(at: Int64, wall: Int64)]

    package static func == (lhs: StoredBoot, rhs: StoredBoot) -> Bool {
        lhs.row == rhs.row && lhs.seen == rhs.seen && lhs.anchors.elementsEqual(rhs.anchors, by: ==)
    }
}

// What is read to be checked, as it is in the file and not as reports take it.

extension StoreReader {
    /// The tables, the schema's own first.
    package func tables() throws(StoreError) -> [String] {
        try read("read the schema") { db in
            let own = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY name"
            return ["sqlite_schema"] + (try String.fetchAll(db, sql: own))
        }
    }

    /// What SQLite finds wrong with a table and its indexes: its pages, types, constraints and orders. Takes as long as to read them.
    package func integrity(ofTable table: String, limit: Int = 20) throws(StoreError) -> [String] {
        try read("check \(table)") { db in
            try String.fetchAll(db, sql: "PRAGMA integrity_check(\(table.quotedDatabaseIdentifier))").filter { $0 != "ok" }.prefix(limit)
                .map {
                    $0
                }
        }
    }

    /// How many rows of a table refer to rows of which other table that there are not.
    package func brokenReferences(ofTable table: String) throws(StoreError) -> [(parent: String, count: Int)] {
        try read("check references of \(table)") { db in
            guard table != "sqlite_schema" else { return [] }
            return try Row.fetchAll(
                db, sql: "SELECT parent, count(*) FROM pragma_foreign_key_check(?) GROUP BY parent ORDER BY parent", arguments: [table]
            ).map { ($0[0], $0[1]) }
        }
    }

    package func boots() throws(StoreError) -> [StoredBoot] {
        try read("read boots") { db in
            try Row.fetchAll(db, sql: "SELECT id, seen FROM boot ORDER BY id").map { row in
                let anchors = try Row.fetchAll(
                    db.cachedStatement(sql: "SELECT at, wall FROM clock_anchor WHERE boot = ? ORDER BY at"), arguments: [row[0] as Int64])
                return StoredBoot(row: row[0], seen: row[1], anchors: anchors.map { ($0[0], $0[1]) })
            }
        }
    }

    /// Sessions after a cursor, and of each whether reports can see it: it has a UUID, a boot, and a user with a login and a uid.
    package func visibility(after row: Int64, limit: Int = 2000) throws(StoreError) -> [(row: Int64, isVisible: Bool)] {
        try read("read sessions") { db in
            func has(_ kind: String) -> String {
                "EXISTS (SELECT 1 FROM user_identifier i WHERE i.user = s.user AND i.kind = '\(kind)')"
            }
            return try Row.fetchAll(
                db,
                sql: """
                    SELECT s.id, s.uuid, \(has("login")) AND \(has("uid")), b.boot_id FROM session s LEFT JOIN boot b ON b.id = s.boot
                    WHERE s.id > ? ORDER BY s.id LIMIT ?
                    """, arguments: [row, limit]
            ).map { row in
                let isNamed = (row[2] as Int64) != 0
                let hasUUID = UUIDv7(bytes: row[1] as DatabaseBytes) != nil
                let hasBoot = (row[3] as DatabaseBytes?).flatMap { ID128(bytes: $0) } != nil
                return (row[0], isNamed && hasUUID && hasBoot)
            }
        }
    }

    /// Nil where it is gone by now.
    package func frame(of session: StoredSession) throws(StoreError) -> StoredFrame? {
        try read("read a session") { db in
            try Row.fetchOne(
                db.cachedStatement(
                    sql: """
                        SELECT start, start_wall, end, end_wall, end_reason, NOT EXISTS (
                            SELECT 1 FROM boot b WHERE b.id > s.boot AND (SELECT min(wall) FROM clock_anchor WHERE boot = b.id)
                                > (SELECT max(wall) FROM clock_anchor WHERE boot = s.boot))
                        FROM session s WHERE id = ?
                        """), arguments: [session.row]
            ).map { row in
                StoredFrame(
                    start: row[0], startWall: row[1], end: row[2], endWall: row[3], endReason: row[4], isOfLastBoot: (row[5] as Int64) != 0)
            }
        }
    }

    /// A session's intervals after a moment, in order.
    package func intervals(
        in table: IntervalTable, of session: StoredSession, after start: Int64?, limit: Int = 2000
    ) throws(StoreError) -> [StoredInterval] {
        guard start != .max else { return [] }
        return try read("read \(table.rawValue)") { db in
            try Row.fetchAll(
                db.cachedStatement(
                    sql: """
                        SELECT start, length, \(table.value), \(table.isBroken) FROM \(table.rawValue)
                        WHERE session = ? AND start >= ? ORDER BY start LIMIT ?
                        """), arguments: [session.row, start.map { $0 + 1 } ?? .min, limit]
            ).map { row in
                StoredInterval(start: row[0], length: row[1], value: row[2], isBroken: (row[3] as Int64) != 0)
            }
        }
    }

    /// The state changes of a session that are of no kind that there is: when.
    package func strangeEvents(of session: StoredSession, kinds: ClosedRange<Int64>) throws(StoreError) -> [Int64] {
        try read("read events") { db in
            try Int64.fetchAll(
                db, sql: "SELECT at FROM session_event WHERE session = ? AND kind NOT BETWEEN ? AND ? ORDER BY at LIMIT 100",
                arguments: [session.row, kinds.lowerBound, kinds.upperBound])
        }
    }
}
