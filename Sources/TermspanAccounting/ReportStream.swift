package import TermspanCore

/// What a row of a report says. `Docs/accounting.md`, 'Reports', has the rules.
package struct ReportFigures: Equatable, Sendable {
    package var times = CategoryTimes()
    /// From the first to the last moment that is Active.
    package var first: WallInstant?
    package var last: WallInstant?
    /// Active and Passive time in stretches of one application that are long enough.
    package var focus: UInt64 = 0
    /// The longest part of such a stretch.
    package var longestFocus: UInt64 = 0
    package var switches: UInt64 = 0
    package var breaks: UInt64 = 0
    package var breakTime: UInt64 = 0

    package init() {}

    /// Nothing is in it.
    var isEmpty: Bool { times.total == 0 && focus == 0 && switches == 0 && breaks == 0 }

    /// Switches in an hour of Active and Passive time, in tenths, rounded; nil without such time.
    package var switchRate: UInt64? {
        let used = times[.active] + times[.passive]
        guard used > 0 else { return nil }
        return UInt64(clamping: (UInt128(switches) * 36_000_000_000_000 + UInt128(used) / 2) / UInt128(used))
    }

    /// A part of a stretch.
    mutating func addFocus(_ length: UInt64) {
        focus += length
        longestFocus = max(longestFocus, length)
    }

    package static func += (lhs: inout ReportFigures, rhs: ReportFigures) {
        lhs.times += rhs.times
        lhs.first = [lhs.first, rhs.first].compactMap { $0 }.min()
        lhs.last = [lhs.last, rhs.last].compactMap { $0 }.max()
        lhs.focus += rhs.focus
        lhs.longestFocus = max(lhs.longestFocus, rhs.longestFocus)
        lhs.switches += rhs.switches
        lhs.breaks += rhs.breaks
        lhs.breakTime += rhs.breakTime
    }
}

/// By which stretches of the calendar a report has its rows.
package enum ReportPeriod: String, CaseIterable, Sendable {
    case hour, day, week

    /// The one that a moment of wall time is in; its end is the start of the next.
    package func range(of moment: WallInstant, _ calendar: LocalCalendar) -> Range<WallInstant> {
        switch self {
        case .hour: return calendar.hour(moment)
        case .day:
            let day = calendar.day(moment)
            return range(from: day, to: day.advanced(by: 1), calendar)
        case .week:
            let monday = calendar.day(moment).monday
            return range(from: monday, to: monday.advanced(by: 7), calendar)
        }
    }

    private func range(from first: CalendarDay, to next: CalendarDay, _ calendar: LocalCalendar) -> Range<WallInstant> {
        let start = calendar.moment(first, 0)
        return start..<max(start, calendar.moment(next, 0))
    }

    /// As it is called: `2026-12-25T08:00+01:00`, `2026-12-25`, `2026-W52`.
    package func name(_ start: WallInstant, _ calendar: LocalCalendar) -> String {
        switch self {
        case .hour: calendar.text(start)
        case .day: calendar.day(start).description
        case .week: calendar.day(start).week
        }
    }
}

/// Adds one session's time, or one user's own, up by subjects and periods, part by part in the order of time. A subject is an application, or what it
/// counts as.
package struct ReportStream: Sendable {
    /// Which row: of a period by its start, nil without periods; of a subject by the number that it was given, nil without subjects.
    package struct Row: Hashable, Sendable {
        package var period: WallInstant?
        package var subject: Int?

        package init(period: WallInstant? = nil, subject: Int? = nil) {
            self.period = period
            self.subject = subject
        }
    }

    /// What had the focus.
    package struct Focus: Equatable, Sendable {
        /// When it got it, by which intervals are told apart.
        package var start: BootInstant
        /// The number of the application, by which stretches and switches are told; nil: none.
        package var application: Int?
        /// The number of the subject whose row it is in; nil: of none.
        package var subject: Int?
        /// Of an interval into which changes were folded: how many.
        package var switches: UInt32

        package init(start: BootInstant, application: Int?, subject: Int? = nil, switches: UInt32 = 0) {
            self.start = start
            self.application = application
            self.subject = subject
            self.switches = switches
        }
    }

    /// What there is, complete after `finish`.
    package private(set) var rows: [Row: ReportFigures] = [:]

    private let anchors: ClockAnchors
    private let calendar: LocalCalendar
    private let period: ReportPeriod?
    private let isBySubject: Bool
    /// Which period the sweep is in, and up to when.
    private var current: WallInstant?
    private var boundary = BootInstant.zero
    /// The current period's figures by subject; the first is without one.
    private var slots: [Slot] = []
    private var position: BootInstant?
    private var lastApplication: Int?
    /// Of users' own time intervals come back after others.
    private var countedSwitches: Set<BootInstant> = []
    /// Nobody's while it has no application; one after the other, so that none has an array made for it.
    private var stretch = Stretch()
    private var active: (end: BootInstant, row: Row, isInterrupted: Bool)?

    /// Stretches of one application count as focus from this length on; in between nothing may have the focus for less than a moment.
    package static let focusMinimum: UInt64 = 300_000_000_000
    package static let moment: UInt64 = 1_000_000_000
    /// What is longer without activity is a break.
    package static let breakMinimum: UInt64 = 300_000_000_000

    private struct Slot {
        var figures = ReportFigures()
        var first: BootInstant?
        var last: BootInstant?
    }

    private struct Stretch {
        var application: Int?
        var length: UInt64 = 0
        /// How much of it lies in which row: in the last one, where most of them lie altogether, and in those before.
        var last: (row: Row, length: UInt64) = (Row(), 0)
        var earlier: [(row: Row, length: UInt64)] = []
        /// For how long nothing has had the focus since.
        var pause: UInt64 = 0
    }

    package init(_ anchors: ClockAnchors, _ calendar: LocalCalendar, period: ReportPeriod?, isBySubject: Bool) {
        self.anchors = anchors
        self.calendar = calendar
        self.period = period
        self.isBySubject = isBySubject
    }

    /// The next part; it begins where the one before ended, or later, where there was no session.
    package mutating func add(_ span: TimeSpan, _ category: Category, _ focus: Focus?) {
        var span = span
        while span.length > 0 {
            enterPeriod(of: span.start)
            let end = min(span.end, boundary)
            addWithin(TimeSpan(start: span.start, end: end), category, focus)
            span.start = end
        }
    }

    private mutating func addWithin(_ span: TimeSpan, _ category: Category, _ focus: Focus?) {
        let length = span.length
        if position.map({ $0 < span.start }) ?? false {
            endStretch()
            active?.isInterrupted = true
        }
        position = span.end
        let application = focus?.application
        let index = isBySubject ? focus?.subject.map { $0 + 1 } ?? 0 : 0
        while slots.count <= index { slots.append(Slot()) }
        slots[index].figures.times.add(length, to: category)
        let isInUse = category == .active || category == .passive
        if isInUse, let application {
            if let lastApplication, lastApplication != application { slots[index].figures.switches += 1 }
            lastApplication = application
        }
        if isInUse, let focus, focus.switches > 0, countedSwitches.insert(focus.start).inserted {
            slots[index].figures.switches += UInt64(focus.switches)
        }
        follow(length, isInUse ? focus : nil, isInUse: isInUse)
        switch category {
        case .active:
            if let active { endBreak(active, at: span.start) }
            slots[index].first = slots[index].first ?? span.start
            slots[index].last = span.end
            // Breaks are nobody's but the user's.
            active = (span.end, Row(period: current), false)
        case .unknown, .paused: active?.isInterrupted = true
        case .suspended, .disconnected, .locked, .passive, .inactive: break
        }
    }

    /// Has a stretch go on, or end.
    private mutating func follow(_ length: UInt64, _ focus: Focus?, isInUse: Bool) {
        guard let focus, let application = focus.application else {
            // Between two windows nothing has the focus for a moment.
            guard isInUse, let focus, focus.switches == 0, stretch.application != nil else { return endStretch() }
            stretch.pause += length
            if stretch.pause >= Self.moment { endStretch() }
            return
        }
        if stretch.application != application {
            endStretch()
            stretch.application = application
        }
        let row = Row(period: current, subject: isBySubject ? focus.subject : nil)
        if stretch.length > 0, stretch.last.row != row {
            stretch.earlier.append(stretch.last)
            stretch.last.length = 0
        }
        stretch.last = (row, stretch.last.length + length)
        stretch.length += length
        stretch.pause = 0
    }

    private mutating func endStretch() {
        guard stretch.application != nil else { return }
        if stretch.length >= Self.focusMinimum {
            for piece in stretch.earlier + [stretch.last] { rows[piece.row, default: ReportFigures()].addFocus(piece.length) }
        }
        stretch.application = nil
        stretch.length = 0
        stretch.last.length = 0
        stretch.pause = 0
        if !stretch.earlier.isEmpty { stretch.earlier.removeAll(keepingCapacity: true) }
    }

    private mutating func endBreak(_ active: (end: BootInstant, row: Row, isInterrupted: Bool), at start: BootInstant) {
        guard !isBySubject, !active.isInterrupted, start > active.end else { return }
        let length = start.nanoseconds - active.end.nanoseconds
        guard length > Self.breakMinimum, let before = day(BootInstant(nanoseconds: active.end.nanoseconds - 1)), before == day(start)
        else {
            return
        }
        rows[active.row, default: ReportFigures()].breaks += 1
        rows[active.row, default: ReportFigures()].breakTime += length
    }

    private func day(_ moment: BootInstant) -> CalendarDay? { anchors.latestWall(upTo: moment).map { calendar.day($0) } }

    // MARK: Periods

    private mutating func enterPeriod(of moment: BootInstant) {
        guard moment >= boundary else { return }
        leavePeriod()
        guard let period, let wall = anchors.latestWall(upTo: moment) else {
            boundary = BootInstant(nanoseconds: .max)
            return
        }
        let range = period.range(of: wall, calendar)
        current = range.lowerBound
        let end = anchors.boot(at: range.upperBound) ?? BootInstant(nanoseconds: .max)
        // Beyond what an instant can tell nothing follows.
        boundary = end > moment ? end : BootInstant(nanoseconds: .max)
    }

    private mutating func leavePeriod() {
        for (index, slot) in slots.enumerated() where !slot.figures.isEmpty {
            var figures = slot.figures
            figures.first = slot.first.flatMap { anchors.wall(at: $0) }
            figures.last = slot.last.flatMap { anchors.wall(at: $0) }
            rows[Row(period: current, subject: index > 0 ? index - 1 : nil), default: ReportFigures()] += figures
        }
        slots.removeAll(keepingCapacity: true)
    }

    /// Nothing follows.
    package mutating func finish() {
        endStretch()
        leavePeriod()
    }
}
