/// Which questions to polkit are asked now and which wait. Pure.
///
/// polkit answers one after another, so each user has few of them asked at a time and the others' are never far behind. A user whose own
/// agent never answers can make a question last for minutes; a connection may await 128 answers in all, and needs some of them for more
/// than polkit. So the ones with a password are counted apart, and neither kind takes more than a quarter.
struct PolkitQuestions<Waiting> {
    /// Callers who wait for the same answer share it.
    struct Question: Hashable {
        var sender: String
        var action: String
        var isInteractive: Bool
    }

    private struct Entry {
        var userID: UInt32
        var waiting: [Waiting]
        var isAsked = false
    }

    private var entries: [Question: Entry] = [:]
    /// Those that are not asked yet, in their order.
    private var queue: [Question] = []
    let limit: Int
    let limitPerUser: Int

    init(limit: Int = 32, limitPerUser: Int = 2) {
        self.limit = limit
        self.limitPerUser = limitPerUser
    }

    /// Lets `waiting` wait for the answer to `question`.
    mutating func add(_ waiting: Waiting, to question: Question, of userID: UInt32) {
        if entries[question] == nil { queue.append(question) }
        entries[question, default: Entry(userID: userID, waiting: [])].waiting.append(waiting)
    }

    /// The next question that is to be asked now.
    mutating func next() -> Question? {
        guard !queue.isEmpty else { return nil }
        var asked: [Kind: Int] = [:]
        var askedInAll: [Bool: Int] = [:]
        for (question, entry) in entries where entry.isAsked {
            asked[Kind(userID: entry.userID, isInteractive: question.isInteractive), default: 0] += 1
            askedInAll[question.isInteractive, default: 0] += 1
        }
        let index = queue.firstIndex { question in
            guard let entry = entries[question] else { return false }
            return asked[Kind(userID: entry.userID, isInteractive: question.isInteractive), default: 0] < limitPerUser
                && askedInAll[question.isInteractive, default: 0] < limit
        }
        guard let index else { return nil }
        let question = queue.remove(at: index)
        entries[question]?.isAsked = true
        return question
    }

    /// Ends a question that was asked; returns who waited for its answer.
    mutating func finish(_ question: Question) -> [Waiting] {
        entries.removeValue(forKey: question)?.waiting ?? []
    }

    private struct Kind: Hashable {
        var userID: UInt32
        var isInteractive: Bool
    }
}
