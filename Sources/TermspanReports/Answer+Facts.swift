import TermspanAccounting
import TermspanCore
import TermspanStore

// What was known of the computer, of users and of sessions: at one moment, or at all times with when it held.

extension Answer {
    func facts(_ line: ([UInt8]) throws -> Void) throws {
        var subject: Int64 = 0
        var group: [StoredFact] = []
        /// At a moment each has its kinds in their order, and what of the computer is not known is blank.
        func finish() throws {
            for fact in subject == 0 ? Fact.ofComputer : Fact.ofUser {
                if let stored = group.first(where: { $0.fact == fact }) {
                    try line(self.line(stored))
                } else if subject == 0 {
                    try line(self.line("computer", nil, fact: fact.rawValue, nil, nil, nil))
                }
            }
            group = []
        }
        var cursor = StoredFact.Cursor.beginning
        while let reader {
            let facts = try reader.facts(question.filter, at: question.moment, after: cursor, limit: 500)
            for fact in facts where fact.fact != nil {
                if question.moment == nil {
                    try line(self.line(fact))
                    continue
                }
                if fact.cursor.user != subject { try finish() }
                subject = fact.cursor.user
                group.append(fact)
            }
            cursor = facts.last?.cursor ?? cursor
            if facts.count < 500 { break }
        }
        if question.moment != nil { try finish() }
        try forEachSession { session in
            let (start, end) = (session.anchors.wall(at: session.record.start), session.anchors.wall(at: session.end))
            if let moment = question.moment {
                guard let start, start <= moment, session.isOpen || end ?? start > moment else { return }
            }
            try line(
                self.line(
                    "session", session.record.user, session, fact: "session-id", String(session.record.id.rawValue), start,
                    session.isOpen ? nil : end))
        }
    }

    private func line(_ stored: StoredFact) -> [UInt8] {
        line(
            stored.cursor.user == 0 ? "computer" : "user", stored.user, fact: stored.fact?.rawValue ?? "", stored.value, stored.since,
            stored.until)
    }

    private func line(
        _ subject: String, _ user: UserIdentity?, _ session: ReportedSession? = nil, fact: String, _ value: String?, _ since: WallInstant?,
        _ until: WallInstant?
    ) -> [UInt8] {
        var json = JSONLine()
        json.add("of", subject)
        json.add("user", user?.login)
        json.add("uid", user.map { UInt64($0.uid) })
        json.add("session", session.map { UInt64($0.record.id.rawValue) })
        json.add("session_uuid", session?.record.uuid.description)
        json.add("fact", fact)
        json.add("value", value)
        json.add("since", since)
        json.add("until", until)
        return json.finished()
    }
}
