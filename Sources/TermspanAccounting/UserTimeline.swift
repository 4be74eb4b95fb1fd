import TermspanCore

/// One user's sessions on one machine in one boot, and which of them each moment of the user's own time goes to.
package struct UserTimeline: Sendable {
    /// In a fixed order (by session UUID): it decides where nothing else does.
    package var sessions: [SessionTimeline]

    package init(sessions: [SessionTimeline]) {
        self.sessions = sessions
    }

    /// A stretch that goes to one session.
    package struct Part: Equatable, Sendable {
        package var span: TimeSpan
        package var category: Category
        /// The index of the session.
        package var session: Int
        /// The index of the session's focus interval that it lies in, if it lies in one.
        package var focus: Int?

        package init(span: TimeSpan, category: Category, session: Int, focus: Int? = nil) {
            self.span = span
            self.category = category
            self.session = session
            self.focus = focus
        }
    }

    package struct Evaluation: Sendable {
        /// In order; without sessions there are holes.
        package fileprivate(set) var parts: [Part] = []
        /// Adds up to the time in which the user had any session.
        package fileprivate(set) var totals = CategoryTimes()
    }

    /// Gives every moment to the session whose burst began last and still holds, else to the one with the latest input,
    /// else to the one that began last.
    package func evaluate(_ thresholds: Thresholds = Thresholds()) -> Evaluation {
        let parts = sessions.map { $0.evaluate(thresholds).parts }
        let bursts = sessions.map { Self.disjoint($0.bursts) }
        var moments = Set<BootInstant>()
        for index in sessions.indices where sessions[index].span.length > 0 {
            moments.insert(sessions[index].span.start)
            moments.insert(sessions[index].span.end)
            for part in parts[index] { moments.insert(part.span.start) }
            for burst in bursts[index] {
                moments.insert(burst.start)
                moments.insert(burst.end)
            }
        }
        let order = moments.sorted()
        var result = Evaluation()
        var cursors = sessions.map { _ in Cursor() }
        for (start, end) in zip(order, order.dropFirst()) {
            var best: (rank: Rank, session: Int)?
            for index in sessions.indices {
                cursors[index].advance(to: start, parts[index], bursts[index])
                guard sessions[index].span.start <= start, start < sessions[index].span.end else { continue }
                let rank = cursors[index].rank(at: start, began: sessions[index].span.start)
                if best.map({ $0.rank < rank }) ?? true { best = (rank, index) }
            }
            guard let owner = best?.session, parts[owner].indices.contains(cursors[owner].part) else { continue }
            let (category, focus) = (parts[owner][cursors[owner].part].category, parts[owner][cursors[owner].part].focus)
            let span = TimeSpan(start: start, end: end)
            result.totals.add(span.length, to: category)
            if let last = result.parts.last, last.session == owner, last.category == category, last.focus == focus, last.span.end == start {
                result.parts[result.parts.count - 1].span.end = end
            } else {
                result.parts.append(Part(span: span, category: category, session: owner, focus: focus))
            }
        }
        return result
    }

    /// The bursts in order, those that overlap joined.
    private static func disjoint(_ bursts: [TimeSpan]) -> [TimeSpan] {
        var result: [TimeSpan] = []
        for burst in bursts.filter({ $0.end >= $0.start }).sorted(by: { ($0.start, $0.end) < ($1.start, $1.end) }) {
            if let last = result.last, burst.start < last.end {
                result[result.count - 1].end = max(last.end, burst.end)
            } else {
                result.append(burst)
            }
        }
        return result
    }

    /// 3 a burst holds (by its start), 2 input before (by the last), 1 none (by the session's start).
    private struct Rank: Comparable {
        var kind: Int
        var moment: BootInstant

        static func < (lhs: Rank, rhs: Rank) -> Bool { (lhs.kind, lhs.moment) < (rhs.kind, rhs.moment) }
    }

    /// Where in a session's sorted lists the sweep is.
    private struct Cursor {
        var part = 0
        var burst = 0
        /// The last burst that began.
        var held: TimeSpan?

        mutating func advance(to moment: BootInstant, _ parts: [SessionTimeline.Part], _ bursts: [TimeSpan]) {
            while part < parts.count, parts[part].span.end <= moment { part += 1 }
            while burst < bursts.count, bursts[burst].start <= moment {
                held = bursts[burst]
                burst += 1
            }
        }

        func rank(at moment: BootInstant, began: BootInstant) -> Rank {
            guard let held else { return Rank(kind: 1, moment: began) }
            return moment < held.end ? Rank(kind: 3, moment: held.start) : Rank(kind: 2, moment: held.end)
        }
    }
}
