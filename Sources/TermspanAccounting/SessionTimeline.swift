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
    /// Up to when input would be among the bursts; nil: up to the span's end.
    package var inputKnown: BootInstant?
    /// Of each focus interval in turn what it counts as, where that was imported with it: then no threshold decides. Empty: of none.
    package var told: [ToldTimes?]

    package init(
        span: TimeSpan, focus: [TimeSpan] = [], bursts: [TimeSpan] = [], unknown: [TimeSpan] = [], changes: [StateChange] = [],
        inputKnown: BootInstant? = nil, told: [ToldTimes?] = []
    ) {
        self.span = span
        self.focus = focus
        self.bursts = bursts
        self.unknown = unknown
        self.changes = changes
        self.inputKnown = inputKnown
        self.told = told
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
        if told.contains(where: { $0 != nil }) { return evaluateTold(thresholds) }

        // Where each condition holds, and where each focus interval does; one sweep over all of them gives the parts.
        var courses: [Course] = []
        for (condition, spans) in zip(Condition.allCases, held(thresholds)) {
            let course = Course(spans, in: span, bit: 1 << condition.rawValue)
            if !course.isNever { courses.append(course) }
        }
        let focused = disjointFocus().compactMap { index, part in
            let part = part.clipped(to: span)
            return part.length > 0 ? (index: index, span: part) : nil
        }
        courses.append(Course(disjoint: focused.map(\.span), bit: 0))
        let last = courses.count - 1
        result.parts.reserveCapacity(focus.count + 2 * bursts.count)
        var position = span.start
        while position < span.end {
            var end = span.end
            var conditions: UInt8 = 0
            for index in courses.indices {
                if courses[index].next <= position { courses[index].advance(to: position) }
                if courses[index].holds { conditions |= courses[index].bit }
                end = min(end, courses[index].next)
            }
            let current = courses[last].holds ? focused[courses[last].position].index : nil
            let category = Self.category(conditions, focused: current != nil)
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

    /// In each focus interval of which it was told first its active time, then its passive and its inactive; what was told of no category is unknown.
    private func evaluateTold(_ thresholds: Thresholds) -> Evaluation {
        var result = Evaluation(focus: Array(repeating: CategoryTimes(), count: focus.count))
        var measured = self
        measured.told = []
        var rest = measured.evaluate(thresholds).parts[...]
        var position = span.start
        func add(upTo moment: BootInstant, _ category: Category, _ index: Int? = nil) {
            let end = min(moment, span.end)
            guard end > position else { return }
            let length = end.nanoseconds - position.nanoseconds
            result.totals.add(length, to: category)
            if let index { result.focus[index].add(length, to: category) }
            if let last = result.parts.last, last.category == category, last.focus == index {
                result.parts[result.parts.count - 1].span.end = end
            } else {
                result.parts.append(Part(span: TimeSpan(start: position, end: end), category: category, focus: index))
            }
            position = end
        }
        func addMeasured(upTo moment: BootInstant) {
            while position < min(moment, span.end), let part = rest.first {
                add(upTo: min(part.span.end, moment), part.category, part.focus)
                if part.span.end <= position { rest.removeFirst() }
            }
        }
        for (index, part) in disjointFocus() {
            addMeasured(upTo: part.start)
            guard let times = told.indices.contains(index) ? told[index] : nil else {
                addMeasured(upTo: part.end)
                continue
            }
            var moment = part.start
            for (category, length) in [(Category.active, times.active), (.passive, times.passive), (.inactive, times.inactive)] {
                moment = moment.advanced(by: .nanoseconds(Int64(clamping: length)))
                add(upTo: min(moment, part.end), category, index)
            }
            add(upTo: part.end, .unknown, index)
        }
        addMeasured(upTo: span.end)
        return result
    }

    private enum Condition: UInt8, CaseIterable {
        case suspended, paused, unknown, disconnected, locked, active, passive
    }

    /// The stretches in which a condition holds, in order and apart, and where in them a sweep is.
    private struct Course {
        private let spans: [TimeSpan]
        /// By which the sweep notes that it holds.
        let bit: UInt8
        private(set) var position = 0
        private(set) var holds = false
        /// When it may become otherwise.
        private(set) var next = BootInstant.zero

        /// Most conditions hold nowhere in a session.
        var isNever: Bool { spans.isEmpty }

        init(disjoint spans: [TimeSpan], bit: UInt8) {
            self.spans = spans
            self.bit = bit
        }

        /// - Parameter spans: in any order; they may overlap.
        init(_ spans: [TimeSpan], in range: TimeSpan, bit: UInt8) {
            var clipped: [TimeSpan] = []
            clipped.reserveCapacity(spans.count)
            var isInOrder = true
            for span in spans {
                let span = span.clipped(to: range)
                guard span.length > 0 else { continue }
                if let last = clipped.last, last.start > span.start { isInOrder = false }
                clipped.append(span)
            }
            if !isInOrder { clipped.sort { $0.start < $1.start } }
            var apart: [TimeSpan] = []
            apart.reserveCapacity(clipped.count)
            for span in clipped {
                if let last = apart.last, span.start <= last.end {
                    apart[apart.count - 1].end = max(last.end, span.end)
                } else {
                    apart.append(span)
                }
            }
            self.init(disjoint: apart, bit: bit)
        }

        mutating func advance(to moment: BootInstant) {
            while position < spans.count, spans[position].end <= moment { position += 1 }
            guard position < spans.count else {
                holds = false
                next = BootInstant(nanoseconds: .max)
                return
            }
            holds = spans[position].start <= moment
            next = holds ? spans[position].end : spans[position].start
        }
    }

    /// By condition, in the order of these.
    private func held(_ thresholds: Thresholds) -> [[TimeSpan]] {
        let (active, passive): ([TimeSpan], [TimeSpan]) =
            switch thresholds.model {
            case .termspan:
                (
                    Self.active(bursts, thresholds.idle),
                    Self.active(bursts, thresholds.passiveLimit.map { max(.zero, thresholds.idle) + max(.zero, $0) })
                )
            case .activitywatch: (activeUpToNextInput(thresholds.idle), [])
            }
        let ordered = changes.indices.sorted { (changes[$0].at, $0) < (changes[$1].at, $1) }.map { changes[$0] }
        return Condition.allCases.map { condition in
            switch condition {
            case .suspended: Self.held(ordered, .suspended, .woke)
            case .paused: Self.held(ordered, .paused, .resumed)
            case .unknown: unknown
            case .disconnected: Self.held(ordered, .disconnected, .connected)
            case .locked: Self.held(ordered, .locked, .unlocked)
            case .active: active
            case .passive: passive
            }
        }
    }

    private static func category(_ conditions: UInt8, focused: Bool) -> Category {
        func holds(_ condition: Condition) -> Bool { conditions & (1 << condition.rawValue) != 0 }
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
        let limit = limit.map { UInt64(max(0, $0.wholeNanoseconds)) } ?? .max
        return bursts.compactMap { burst in
            guard burst.end >= burst.start else { return nil }
            let (end, isEndless) = burst.end.nanoseconds.addingReportingOverflow(limit)
            return TimeSpan(start: burst.start, end: BootInstant(nanoseconds: isEndless ? .max : end))
        }
    }

    /// Bursts, with the time up to the next input where that comes within `limit`. After the last one that is not known before the limit is over.
    private func activeUpToNextInput(_ limit: Duration) -> [TimeSpan] {
        let limit = UInt64(max(0, limit.wholeNanoseconds))
        var stretches: [TimeSpan] = []
        for burst in bursts.filter({ $0.end >= $0.start }).sorted(by: { $0.start < $1.start }) {
            if let last = stretches.last, burst.start <= last.end || burst.start.nanoseconds - last.end.nanoseconds <= limit {
                stretches[stretches.count - 1].end = max(last.end, burst.end)
            } else {
                stretches.append(burst)
            }
        }
        let known = inputKnown ?? span.end
        if let last = stretches.last, last.end < known, known.nanoseconds - last.end.nanoseconds < limit {
            stretches[stretches.count - 1].end = known
        }
        return stretches
    }

    /// The focus intervals in order and apart, each with its index.
    private func disjointFocus() -> [(index: Int, span: TimeSpan)] {
        Self.disjoint(focus, focus.indices)
            ?? Self.disjoint(focus, focus.indices.sorted { (focus[$0].start, $0) < (focus[$1].start, $1) }) ?? []
    }

    /// nil if they do not come in order.
    private static func disjoint(_ spans: [TimeSpan], _ order: some Sequence<Int>) -> [(index: Int, span: TimeSpan)]? {
        var result: [(index: Int, span: TimeSpan)] = []
        result.reserveCapacity(spans.count)
        var start = BootInstant.zero
        for index in order where spans[index].length > 0 {
            let next = spans[index].start
            guard start <= next else { return nil }
            if let last = result.indices.last { result[last].span.end = min(result[last].span.end, next) }
            result.append((index, spans[index]))
            start = next
        }
        return result
    }

    /// From the change that switches a condition on to the next that switches it off.
    ///
    /// - Parameter changes: in the order of time; of those at one moment the last given counts.
    private static func held(_ changes: [StateChange], _ on: StateChange.Kind, _ off: StateChange.Kind) -> [TimeSpan] {
        var stretches: [TimeSpan] = []
        var since: BootInstant?
        for change in changes {
            if change.kind == on {
                since = since ?? change.at
            } else if change.kind == off, let start = since {
                stretches.append(TimeSpan(start: start, end: change.at))
                since = nil
            }
        }
        if let since { stretches.append(TimeSpan(start: since, end: BootInstant(nanoseconds: .max))) }
        return stretches
    }
}
