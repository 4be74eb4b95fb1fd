import GRDB
package import TermspanCore

extension StoreReader {
    /// The number of the last transaction that wrote rows: every row with this number or a smaller one is there, and none of them is added later.
    package func revision() throws(StoreError) -> Int64 {
        try read("read the revision") { try Int64.fetchOne($0, sql: "SELECT value FROM revision") ?? 0 }
    }

    /// The UUID of the machine that the store is of; nil before there is one.
    package func machine() throws(StoreError) -> UUIDv7? {
        try read("read the machine") { db in
            try DatabaseBytes.fetchOne(db, sql: "SELECT uuid FROM machine ORDER BY id LIMIT 1").flatMap { UUIDv7(bytes: $0) }
        }
    }

    /// The start of the first focus interval of a session that was written in transactions after `told` and up to `last`; nil if there is none.
    package func firstFocus(of session: StoredSession, after told: Int64, upTo last: Int64) throws(StoreError) -> BootInstant? {
        try read("read focus_interval") { db in
            try Int64.fetchOne(
                db.cachedStatement(
                    sql: "SELECT start FROM focus_interval WHERE session = ? AND revision > ? AND revision <= ? ORDER BY start LIMIT 1"),
                arguments: [session.row, told, last]
            ).map { BootInstant(stored: $0) }
        }
    }
}
