/// Answers that say no, kept back so that they are never in front of the others. Pure but for what it holds.
///
/// dbus-daemon takes 2 to 4 kB at a time from each connection in turn. Our answers to everybody come over one connection, a flood over
/// many: were it answered at once, the answers to honest callers would wait behind thousands of refusals. Sent few at a time, the refusals
/// slow the flood down as well: the bus lets a connection have 128 unanswered calls, and refuses more of them by itself.
struct Refusals<Answer> {
    private struct Row {
        var answers: [Answer] = []
        /// How many of them are gone.
        var begin = 0

        var count: Int { answers.count - begin }
    }

    private var rows: [UInt32: Row] = [:]
    /// Whose turn it is, one entry for each row.
    private var turns: [UInt32] = []
    private(set) var count = 0
    let limit: Int
    let limitPerUser: Int

    /// - Parameters:
    ///   - limit: how many wait at most.
    ///   - limitPerUser: how many of one user. That is what 32 connections can wait for; beyond, calls are not answered.
    init(limit: Int = 16_384, limitPerUser: Int = 4096) {
        self.limit = limit
        self.limitPerUser = limitPerUser
    }

    /// Whether an answer to this user can wait.
    func hasRoom(for userID: UInt32) -> Bool { count < limit && (rows[userID]?.count ?? 0) < limitPerUser }

    mutating func append(_ answer: Answer, for userID: UInt32) {
        if rows[userID] == nil { turns.append(userID) }
        rows[userID, default: Row()].answers.append(answer)
        count += 1
    }

    /// Takes up to `number` of them, one of each user in turn.
    mutating func take(_ number: Int) -> [Answer] {
        var taken: [Answer] = []
        while taken.count < number, !turns.isEmpty {
            let userID = turns.removeFirst()
            guard var row = rows.removeValue(forKey: userID) else { continue }
            taken.append(row.answers[row.begin])
            row.begin += 1
            count -= 1
            guard row.count > 0 else { continue }
            // What is gone must not keep its memory for as long as the flood goes on.
            if row.begin >= 256 {
                row.answers.removeFirst(row.begin)
                row.begin = 0
            }
            rows[userID] = row
            turns.append(userID)
        }
        return taken
    }
}
