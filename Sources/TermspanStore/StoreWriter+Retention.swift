import GRDB
import TermspanAccounting
package import TermspanCore
import TermspanSystem

/// What was removed because it was older than is kept.
package struct Expired: Equatable, Sendable {
    /// The sessions that are gone, and what is of these and of others.
    package var counts = HeldCounts()
    /// Whether nothing is left that is as old.
    package var isComplete = true

    package init() {}

    /// Focus intervals, bursts and unknown intervals.
    package var intervals: Int { counts.focusIntervals + counts.inputBursts + counts.unknownIntervals }

    package var isEmpty: Bool { counts == HeldCounts() }
}

// Removing what is older than is kept, a part at a time.

extension StoreWriter {
    /// A leap ahead of the wall clock by more than this is not believed at once ...
    private static let leapLimit: Duration = .seconds(7 * 86_400)
    /// ... but once the machine has been up for so long since, over its boots.
    private static let leapTime: Duration = .seconds(86_400)

    /// Whether what can't be undone may rest on the wall clock: a clock that has leapt far ahead may be set right again.
    ///
    /// - Parameters:
    ///   - now: both clocks as they read.
    ///   - times: how long something is kept; the shortest is a leap, too.
    package func trustsClock(_ now: ClockAnchor, keeping times: [Duration]) throws(StoreError) -> Bool {
        let limit = times.reduce(Self.leapLimit, min)
        return try transaction("judge the clock") { db in
            var uptime = Duration.zero
            /// When the boot after was first seen.
            var following: WallInstant?
            // From the latest back.
            for row in try Row.fetchAll(
                db, sql: "SELECT id, seen FROM boot WHERE id <= ? AND id <> ? ORDER BY id DESC LIMIT 100",
                arguments: [self.boot, Self.importBoot])
            {
                if uptime >= Self.leapTime { return true }
                let id: Int64 = row[0]
                let anchors = try Self.anchors(db, boot: id).anchors
                guard let first = anchors.first, let final = anchors.last else { continue }
                let last = id == self.boot ? now.boot : max(BootInstant(stored: row[1]), final.boot)
                if final.wall(at: last).duration(to: following ?? now.wall) > limit { return false }
                for (before, anchor) in zip(anchors, anchors.dropFirst()).reversed() {
                    if uptime + anchor.boot.duration(to: last) >= Self.leapTime { return true }
                    if before.wall(at: anchor.boot).duration(to: anchor.wall) > limit { return false }
                }
                uptime += first.boot.duration(to: last)
                following = first.wall
            }
            return true
        }
    }

    /// Removes sessions that ended before one moment, and of the others what ended before another. `expiryIsOver` must follow.
    ///
    /// A session that was there at that moment keeps what was in front then, with the input that it had.
    ///
    /// - Parameters:
    ///   - activityBefore: nil keeps the activity of sessions for as long as these.
    ///   - sessionsBefore: nil keeps sessions.
    ///   - users: whose; nil is everybody's.
    ///   - limit: sessions that are removed, or robbed of all activity, at once.
    ///   - now: when the receipt says that this began.
    package func expire(
        activityBefore: WallInstant?, sessionsBefore: WallInstant?, of users: [HeldUser]? = nil, limit: Int = 100,
        at now: WallInstant = .now()
    ) throws(StoreError) -> Expired {
        let isTheirs = users.map { "user IN (SELECT value FROM json_each('\(Self.json($0.map(\.row)))'))" } ?? "TRUE"
        let streams = ["focus_interval", "input_burst", "unknown_interval"]
        let expired = try transaction("expire") { db in
            var expired = Expired()
            func remove(_ table: String, _ condition: String, _ arguments: StatementArguments) throws {
                try db.execute(sql: "DELETE FROM \(table) WHERE \(condition)", arguments: arguments)
                expired.counts.add(db.changesCount, from: table)
            }
            /// Sessions that ended before; where the clock was set ahead later in their boot, by that clock, too.
            func old(_ condition: String, _ moment: WallInstant) throws -> [Int64] {
                let rows = try Int64.fetchAll(
                    db,
                    sql: """
                        SELECT id FROM session AS old WHERE end_wall < ?
                        AND end + (SELECT wall - at FROM clock_anchor WHERE boot = old.boot ORDER BY at DESC LIMIT 1) < ?
                        AND \(isTheirs) \(condition) ORDER BY id LIMIT ?
                        """, arguments: [moment.nanoseconds, moment.nanoseconds, limit])
                if rows.count == limit { expired.isComplete = false }
                return rows
            }
            let ofThese = "session IN (SELECT value FROM json_each(?))"
            if let moment = sessionsBefore {
                let rows = try old("", moment)
                for table in streams + ["told_times", "session_event", "lane_checkpoint"] { try remove(table, ofThese, [Self.json(rows)]) }
                try remove("session", "id IN (SELECT value FROM json_each(?))", [Self.json(rows)])
                // Those that are older than all sessions that they could be of.
                try remove(
                    "fact",
                    """
                    (user IS NULL OR \(isTheirs)) AND (until <= ?1
                        AND NOT EXISTS (SELECT 1 FROM session s WHERE s.start_wall < until AND (fact.user IS NULL OR s.user = fact.user))
                    OR user IS NOT NULL AND since <= ?1 AND NOT EXISTS (SELECT 1 FROM session s WHERE s.user = fact.user))
                    """, [moment.nanoseconds])
            }
            if let moment = activityBefore {
                let isThere = streams.map { "EXISTS (SELECT 1 FROM \($0) AS stream WHERE stream.session = old.id)" }
                let rows = try old("AND (\(isThere.joined(separator: " OR ")))", moment)
                for table in streams + ["told_times"] { try remove(table, ofThese, [Self.json(rows)]) }
                let spanning = try Row.fetchAll(
                    db, sql: "SELECT id, boot FROM session WHERE start_wall < ? AND (end_wall IS NULL OR end_wall >= ?) AND \(isTheirs)",
                    arguments: [moment.nanoseconds, moment.nanoseconds])
                for row in spanning {
                    guard let boot = try Self.anchors(db, boot: row[1]).boot(at: moment)?.stored else { continue }
                    let id: Int64 = row[0]
                    let stays = try Int64.fetchOne(
                        db, sql: "SELECT min(start) FROM focus_interval WHERE session = ? AND start + length > ?", arguments: [id, boot])
                    let cut = min(boot, stays ?? boot)
                    // The last input before counts by its age.
                    let last = try Int64.fetchOne(
                        db, sql: "SELECT max(start) FROM input_burst WHERE session = ? AND start <= ?", arguments: [id, cut])
                    try remove("focus_interval", "session = ? AND start < ? AND start + length <= ?", [id, boot, boot])
                    try remove("told_times", "session = ? AND start < ?", [id, cut])
                    try remove("input_burst", "session = ? AND start < ? AND start + length <= ?", [id, last ?? cut, cut])
                    try remove("unknown_interval", "session = ? AND start < ? AND start + length <= ?", [id, cut, cut])
                }
            }
            if !expired.isEmpty { try self.note(expired, at: now, db) }
            return expired
        }
        if !expired.isEmpty { removed(scrubsFile: false) }
        return expired
    }

    /// Has the removal told by the next receipt, and what it leaves in the file seen to also by another process.
    private func note(_ expired: Expired, at moment: WallInstant, _ db: Database) throws {
        try db.execute(
            sql: "INSERT INTO expired (since) SELECT ? WHERE NOT EXISTS (SELECT 1 FROM expired)", arguments: [moment.nanoseconds])
        for (table, count) in expired.counts.byTable {
            try db.execute(sql: "UPDATE expired SET \(table) = \(table) + ?", arguments: [count])
        }
        if try Int.fetchOne(db, sql: "PRAGMA user_version") != Self.holdsErased {
            try db.execute(sql: "PRAGMA user_version = \(Self.holdsExpired)")
        }
    }

    /// Over how long what was removed is told of in one receipt: one an hour would tell for ever in which hours of the past there was somebody.
    private static let receiptInterval: Duration = .seconds(86_400)

    /// Has the record of policy changes tell what was removed because it was old, a day after that began.
    ///
    /// - Returns: nil where nothing was, or not a day ago.
    package func recordExpired(at moment: WallInstant) throws(StoreError) -> ErasureReceipt? {
        try transaction("record what was removed") { db in
            guard let row = try Row.fetchOne(db, sql: "SELECT * FROM expired") else { return nil }
            let since = WallInstant(nanoseconds: row["since"])
            guard since.duration(to: moment) >= Self.receiptInterval else { return nil }
            var counts = HeldCounts()
            for (table, _) in counts.byTable { counts.add(row[table], from: table) }
            let receipt = ErasureReceipt(UUIDv7(at: moment), expired: counts, since: since, at: moment)
            try self.record(db, moment, "root", nil, "history-expired", "\(receipt.text) sha256=\(receipt.digest)", "")
            try db.execute(sql: "DELETE FROM expired")
            return receipt
        }
    }

    /// Removes the names of applications that no interval refers to any more, in one pass over these.
    func removeUnusedNames() throws(StoreError) {
        try transaction("remove unused names") { db in
            try db.execute(
                sql: "DELETE FROM application WHERE id NOT IN (SELECT application FROM focus_interval WHERE application IS NOT NULL)")
        }
        forgetRows()
    }
}
