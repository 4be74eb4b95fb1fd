package import Foundation
import GRDB

/// An SQLite database of exported rows: termspan-export(5). For what is made anew and used by others; not the store.
package final class ExportDatabase {
    private let queue: DatabaseQueue
    private var isComplete = false
    private var rows: UInt64 = 0
    private var batch: [(table: String, values: [String: Any])] = []

    /// Makes the file, which must not be there.
    package init(path: String) throws(StoreError) {
        guard access(path, F_OK) != 0 else { throw StoreError(.storage, "make \(path)", "it is there already") }
        do {
            var configuration = GRDB.Configuration()
            configuration.label = "termspan-export"
            // Until it is complete it is nobody's, and if it breaks off it goes.
            configuration.prepareDatabase {
                try $0.execute(sql: "PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF; PRAGMA cache_size = -8192")
            }
            queue = try DatabaseQueue(path: path, configuration: configuration)
            try queue.write { try $0.execute(sql: Self.schema) }
        } catch {
            throw StoreError(error, "make \(path)")
        }
    }

    /// Takes one line of the tables of an export.
    ///
    /// - Throws: for a line that is none, and for the error that an export ends with.
    package func add(_ line: Data) throws(StoreError) {
        guard let object = try? JSONSerialization.jsonObject(with: line), var values = object as? [String: Any] else {
            throw StoreError(.storage, "read an export", "line \(rows + 1) is not understood")
        }
        if let error = values["error"] as? String, values["table"] == nil { throw StoreError(.storage, "export", error) }
        if values["complete"] as? Bool == true {
            try flush()
            guard (values["rows"] as? NSNumber)?.uint64Value == rows else {
                throw StoreError(.storage, "read an export", "rows are missing")
            }
            isComplete = true
            return
        }
        guard let table = values.removeValue(forKey: "table") as? String, Self.columns[table] != nil else {
            throw StoreError(.storage, "read an export", "line \(rows + 1) is of no table that is known")
        }
        batch.append((table, values))
        rows += 1
        if batch.count >= 1000 { try flush() }
    }

    /// Ends it; throws if it is not complete.
    ///
    /// - Returns: how many rows it has.
    package func finish() throws(StoreError) -> UInt64 {
        guard isComplete else { throw StoreError(.storage, "export", "it ended before it was complete") }
        do { try queue.close() } catch { throw StoreError(error, "export") }
        return rows
    }

    private func flush() throws(StoreError) {
        let batch = batch
        self.batch.removeAll(keepingCapacity: true)
        do {
            try queue.write { db in
                for (table, values) in batch {
                    let columns = Self.columns[table] ?? []
                    let places = columns.map { _ in "?" }.joined(separator: ", ")
                    let arguments = columns.map { column -> (any DatabaseValueConvertible)? in
                        switch values[column] {
                        case let text as String: text
                        case let number as NSNumber: Self.isWhole(number) ? number.int64Value : number.doubleValue
                        default: nil
                        }
                    }
                    try db.cachedStatement(
                        sql: "INSERT INTO \(table) (\(columns.map { "\"\($0)\"" }.joined(separator: ", "))) VALUES (\(places))"
                    )
                    .execute(arguments: StatementArguments(arguments))
                }
            }
        } catch {
            throw StoreError(error, "export")
        }
    }

    private static func isWhole(_ number: NSNumber) -> Bool {
        number.doubleValue == number.doubleValue.rounded() && abs(number.doubleValue) < 9e15
    }

    /// Each table's, in the order in which they are documented.
    package static let columns: [String: [String]] = [
        "computers": ["id", "name", "uuid"],
        "users": ["id", "name"],
        "user_identifiers": ["user_id", "kind", "value"],
        "events": [
            "id", "user_id", "computer_id", "session", "session_uuid", "start", "end", "duration", "description", "executable", "class",
            "active", "passive", "inactive", "category", "productivity", "business",
        ],
        "daily_user_summary": [
            "day", "user_id", "computer_id", "sessions", "first_activity", "last_activity", "total", "suspended", "paused", "unknown",
            "disconnected", "locked", "active", "passive", "inactive",
        ],
        "daily_application_summary": [
            "day", "user_id", "computer_id", "executable", "description", "events", "duration", "active", "passive", "inactive",
            "category", "productivity", "business",
        ],
    ]

    private static let schema = """
        PRAGMA user_version = 1;
        CREATE TABLE computers (id INTEGER PRIMARY KEY, name TEXT NOT NULL, uuid TEXT) STRICT;
        CREATE TABLE users (id INTEGER PRIMARY KEY, name TEXT NOT NULL) STRICT;
        CREATE TABLE user_identifiers (user_id INTEGER NOT NULL REFERENCES users, kind TEXT NOT NULL, value TEXT NOT NULL) STRICT;
        CREATE TABLE events (
            id INTEGER PRIMARY KEY,
            user_id INTEGER NOT NULL REFERENCES users,
            computer_id INTEGER NOT NULL REFERENCES computers,
            session INTEGER NOT NULL,
            session_uuid TEXT NOT NULL,
            start TEXT,
            "end" TEXT,
            duration REAL NOT NULL,
            description TEXT,
            executable TEXT,
            class TEXT,
            active REAL NOT NULL,
            passive REAL NOT NULL,
            inactive REAL NOT NULL,
            category TEXT,
            productivity TEXT,
            business INTEGER
        ) STRICT;
        CREATE TABLE daily_user_summary (
            day TEXT NOT NULL,
            user_id INTEGER NOT NULL REFERENCES users,
            computer_id INTEGER NOT NULL REFERENCES computers,
            sessions INTEGER NOT NULL,
            first_activity TEXT,
            last_activity TEXT,
            total REAL NOT NULL,
            suspended REAL NOT NULL,
            paused REAL NOT NULL,
            unknown REAL NOT NULL,
            disconnected REAL NOT NULL,
            locked REAL NOT NULL,
            active REAL NOT NULL,
            passive REAL NOT NULL,
            inactive REAL NOT NULL,
            PRIMARY KEY (day, user_id, computer_id)
        ) STRICT;
        CREATE TABLE daily_application_summary (
            day TEXT NOT NULL,
            user_id INTEGER NOT NULL REFERENCES users,
            computer_id INTEGER NOT NULL REFERENCES computers,
            executable TEXT,
            description TEXT,
            events INTEGER NOT NULL,
            duration REAL NOT NULL,
            active REAL NOT NULL,
            passive REAL NOT NULL,
            inactive REAL NOT NULL,
            category TEXT,
            productivity TEXT,
            business INTEGER
        ) STRICT;
        CREATE INDEX daily_application_summary_day ON daily_application_summary (day, user_id);
        """
}
