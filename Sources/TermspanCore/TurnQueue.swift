/// A queue in which users take turns, one element each, so that one who puts in without end keeps others waiting for one at a time. What
/// waits is bounded, of each user and in all. Pure but for what it holds.
package struct TurnQueue<Element> {
    private struct Row {
        var elements: [Element] = []
        /// How many of them are gone.
        var begin = 0

        var count: Int { elements.count - begin }
    }

    private var rows: [UInt32: Row] = [:]
    /// Whose turn it is, one entry for each row.
    private var turns: [UInt32] = []
    package private(set) var count = 0
    private let limit: Int
    private let limitPerUser: Int

    /// - Parameters:
    ///   - limit: how many wait at most.
    ///   - limitPerUser: how many of one user.
    package init(limit: Int, limitPerUser: Int) {
        self.limit = limit
        self.limitPerUser = limitPerUser
    }

    /// Whether another one of this user can wait.
    package func hasRoom(for userID: UInt32) -> Bool { count < limit && (rows[userID]?.count ?? 0) < limitPerUser }

    package mutating func append(_ element: Element, for userID: UInt32) {
        if rows[userID] == nil { turns.append(userID) }
        rows[userID, default: Row()].elements.append(element)
        count += 1
    }

    /// Takes up to `number` of them, one of each user in turn.
    package mutating func take(_ number: Int) -> [Element] {
        var taken: [Element] = []
        while taken.count < number, !turns.isEmpty {
            let userID = turns.removeFirst()
            guard var row = rows.removeValue(forKey: userID) else { continue }
            taken.append(row.elements[row.begin])
            row.begin += 1
            count -= 1
            guard row.count > 0 else { continue }
            // What is gone must not keep its memory for as long as the flood goes on.
            if row.begin >= 256 {
                row.elements.removeFirst(row.begin)
                row.begin = 0
            }
            rows[userID] = row
            turns.append(userID)
        }
        return taken
    }
}
