package import TermspanCore

/// A part of a session's time: [start, end) of one boot. Empty and reversed ones count as nothing.
package struct TimeSpan: Hashable, Sendable {
    package var start: BootInstant
    package var end: BootInstant

    package init(start: BootInstant, end: BootInstant) {
        self.start = start
        self.end = end
    }

    /// The length in nanoseconds; 0 when reversed.
    package var length: UInt64 { end > start ? end.nanoseconds - start.nanoseconds : 0 }

    /// What lies in both.
    package func clipped(to other: TimeSpan) -> TimeSpan {
        let start = max(start, other.start)
        return TimeSpan(start: start, end: max(start, min(end, other.end)))
    }
}

/// Something about a session's state that became so at a moment and holds until the opposite.
package struct StateChange: Equatable, Sendable {
    /// The values are stored: they are never given another meaning.
    package enum Kind: UInt8, CaseIterable, Sendable {
        case connected = 1
        case disconnected = 2
        case locked = 3
        case unlocked = 4
        /// Measuring was switched off on purpose.
        case paused = 5
        case resumed = 6
        /// The machine went to sleep.
        case suspended = 7
        case woke = 8

        /// The name in machine-readable output.
        package var name: String { String(describing: self) }
    }

    package var kind: Kind
    package var at: BootInstant

    package init(_ kind: Kind, at: BootInstant) {
        self.kind = kind
        self.at = at
    }
}

/// Everything known of one session that its time is derived from, and the derivation. `Docs/accounting.md` has the rules.
///
/// The streams need no order, may overlap and may reach beyond the session.
package struct SessionTimeline: Sendable {
    /// The session's life, or the part of it that is asked about: all results add up to its length.
    package var span: TimeSpan
    /// Where something, or nothing, had the focus. Where two overlap, the one that began later counts.
    package var focus: [TimeSpan]
    /// From first to last input.
    package var bursts: [TimeSpan]
    package var unknown: [TimeSpan]
    /// Of the whole session, those before `span` included. Before the first ones a session is connected, unlocked and measured.
    package var changes: [StateChange]

    package init(
        span: TimeSpan, focus: [TimeSpan] = [], bursts: [TimeSpan] = [], unknown: [TimeSpan] = [], changes: [StateChange] = []
    ) {
        self.span = span
        self.focus = focus
        self.bursts = bursts
        self.unknown = unknown
        self.changes = changes
    }

    /// A stretch of one category.
    package struct Part: Equatable, Sendable {
        package var span: TimeSpan
        package var category: Category
        /// The index of the focus interval it lies in, if it lies in one.
        package var focus: Int?
    }

    package struct Evaluation: Sendable {
        /// In order, without holes, together the session's span; neighbours differ.
        package fileprivate(set) var parts: [Part] = []
        package fileprivate(set) var totals = CategoryTimes()
        /// For each focus interval, in the order given, the time that lies in it.
        package fileprivate(set) var focus: [CategoryTimes]
    }

    /// Derives the category of every moment.
    package func evaluate(_ thresholds: Thresholds = Thresholds()) -> Evaluation {
        var result = Evaluation(focus: Array(repeating: CategoryTimes(), count: focus.count))
        guard span.length > 0 else { return result }

        // Edges: at a moment a condition begins (+1) or ends (-1) to hold. Sorted, one sweep gives the parts.
        var edges: [Edge] = []
        edges.reserveCapacity(2 * (focus.count + 2 * bursts.count + unknown.count) + changes.count)
        func add(_ part: TimeSpan, _ condition: Condition, _ index: Int = 0) {
            let part = part.clipped(to: span)
            guard part.length > 0 else { return }
            edges.append(Edge(at: part.start, condition: condition, delta: 1, index: index))
            edges.append(Edge(at: part.end, condition: condition, delta: -1, index: index))
        }
        for part in unknown { add(part, .unknown) }
        for part in Self.active(bursts, thresholds.idle) { add(part, .active) }
        for part in Self.active(bursts, thresholds.passiveLimit.map { max(.zero, thresholds.idle) + max(.zero, $0) }) {
            add(part, .passive)
        }
        for (index, part) in disjointFocus() { add(part, .focus, index) }
        addChanges(add)
        edges.sort { $0.at < $1.at }

        var counts = InlineArray<8, Int32>(repeating: 0)
        var current: Int?
        var position = span.start
        var next = 0
        while position < span.end {
            while next < edges.count, edges[next].at <= position {
                let edge = edges[next]
                counts[Int(edge.condition.rawValue)] += edge.delta
                if edge.condition == .focus {
                    if edge.delta > 0 { current = edge.index } else if current == edge.index { current = nil }
                }
                next += 1
            }
            let end = next < edges.count ? edges[next].at : span.end
            let category = Self.category(counts, focused: current != nil)
            let length = end.nanoseconds - position.nanoseconds
            result.totals.add(length, to: category)
            if let current { result.focus[current].add(length, to: category) }
            if let last = result.parts.last, last.category == category, last.focus == current {
                result.parts[result.parts.count - 1].span.end = end
            } else {
                result.parts.append(Part(span: TimeSpan(start: position, end: end), category: category, focus: current))
            }
            position = end
        }
        return result
    }

    private enum Condition: UInt8 {
        case suspended, paused, unknown, disconnected, locked, active, passive, focus
    }

    private struct Edge {
        var at: BootInstant
        var condition: Condition
        var delta: Int32
        var index: Int
    }

    private static func category(_ counts: InlineArray<8, Int32>, focused: Bool) -> Category {
        func holds(_ condition: Condition) -> Bool { counts[Int(condition.rawValue)] > 0 }
        if holds(.suspended) { return .suspended }
        if holds(.paused) { return .paused }
        // A moment of which nothing is stored is not known either.
        if holds(.unknown) || !focused { return .unknown }
        if holds(.disconnected) { return .disconnected }
        if holds(.locked) { return .locked }
        if holds(.active) { return .active }
        return holds(.passive) ? .passive : .inactive
    }

    /// Where the last input is less than `limit` ago, or a burst holds; nil for ever after the first input.
    private static func active(_ bursts: [TimeSpan], _ limit: Duration?) -> [TimeSpan] {
        bursts.compactMap { burst in
            guard burst.end >= burst.start else { return nil }
            let end = limit.map { burst.end.advanced(by: max(.zero, $0)) }
            return TimeSpan(start: burst.start, end: end ?? BootInstant(nanoseconds: .max))
        }
    }

    private func disjointFocus() -> [(Int, TimeSpan)] {
        let order = focus.indices.filter { focus[$0].length > 0 }.sorted { (focus[$0].start, $0) < (focus[$1].start, $1) }
        return order.indices.map { position in
            var part = focus[order[position]]
            if position + 1 < order.count { part.end = min(part.end, focus[order[position + 1]].start) }
            return (order[position], part)
        }
    }

    private func addChanges(_ add: (TimeSpan, Condition, Int) -> Void) {
        // In the order of time; of those at one moment the last given counts.
        let order = changes.indices.sorted { (changes[$0].at, $0) < (changes[$1].at, $1) }
        func hold(_ on: StateChange.Kind, _ off: StateChange.Kind, _ condition: Condition) {
            var since: BootInstant?
            for index in order {
                let change = changes[index]
                if change.kind == on {
                    since = since ?? change.at
                } else if change.kind == off, let start = since {
                    add(TimeSpan(start: start, end: change.at), condition, 0)
                    since = nil
                }
            }
            if let since { add(TimeSpan(start: since, end: BootInstant(nanoseconds: .max)), condition, 0) }
        }
        hold(.suspended, .woke, .suspended)
        hold(.paused, .resumed, .paused)
        hold(.disconnected, .connected, .disconnected)
        hold(.locked, .unlocked, .locked)
    }
}
