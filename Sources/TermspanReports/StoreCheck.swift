import TermspanAccounting
import TermspanCore
import TermspanEvents
import TermspanStore

// Whether what the store holds is right: pure, over rows as they come. Docs/accounting.md, 'Checking a store', has the rules.

/// What can be wrong. The raw values are in machine-readable output.
enum CheckRule: String, CaseIterable {
    /// SQLite finds the file itself wrong.
    case file
    /// Something refers to what there is not.
    case references
    /// Boots and their anchors.
    case boots
    /// A session's own row.
    case session
    /// Rows of one kind are not after each other.
    case overlap
    /// Rows lie outside their session's life, or are no time at all.
    case bounds
    /// A number means nothing.
    case value
    /// A session's categories are not its time.
    case partition
    /// The days of a session are not its time.
    case days
    /// Two facts of one kind hold at the same time, or one ends before it begins.
    case facts
}

/// One thing that is wrong, and when.
struct CheckFinding: Equatable {
    var rule: CheckRule
    /// In the session's boot.
    var at: BootInstant?
    var text: String

    init(_ rule: CheckRule, at: BootInstant? = nil, _ text: String) {
        self.rule = rule
        self.at = at
        self.text = text
    }

    init(_ rule: CheckRule, stored at: Int64, _ text: String) {
        self.init(rule, at: BootInstant(nanoseconds: UInt64(clamping: at)), text)
    }
}

/// Goes through one table's rows of one session, in the order of their starts.
struct IntervalCheck {
    let table: IntervalTable
    let start: Int64
    /// Nil while the session is open.
    let end: Int64?
    /// How many rows there were, and up to where something is known.
    private(set) var count = 0
    private(set) var last: StoredInterval?

    /// The end of a session is seen on another thread than its rows: what was known within this time after it is cut off by reports.
    static let slack: Int64 = 1_000_000_000

    init(_ table: IntervalTable, start: Int64, end: Int64?) {
        self.table = table
        self.start = start
        self.end = end
    }

    /// What is wrong with the next row.
    mutating func add(_ row: StoredInterval) -> [CheckFinding] {
        var findings: [CheckFinding] = []
        func found(_ rule: CheckRule, _ text: String) {
            findings.append(CheckFinding(rule, stored: row.start, "\(table.rawValue): \(text)"))
        }
        let (rowEnd, isEndless) = row.start.addingReportingOverflow(row.length)
        // A single input is a burst without length.
        if row.length < (table == .bursts ? 0 : 1) || isEndless { found(.bounds, "a row has no length that can be") }
        if row.start < start { found(.bounds, "a row begins before its session") }
        if let end, !isEndless {
            let (limit, isFar) = end.addingReportingOverflow(Self.slack)
            if !isFar, rowEnd > limit || row.start > limit { found(.bounds, "a row ends after its session") }
        }
        if let last {
            let (lastEnd, isOver) = last.start.addingReportingOverflow(last.length)
            if row.start <= last.start {
                found(.overlap, "a row is out of order")
            } else if isOver || row.start < lastEnd {
                found(.overlap, "a row begins before the one before it ends")
            }
        }
        if row.isBroken { found(.references, "a row refers to an application that there is not") }
        if !Self.isKnown(row.value, table) { found(.value, "a row has a number that means nothing") }
        count += 1
        last = row
        return findings
    }

    private static func isKnown(_ value: Int64?, _ table: IntervalTable) -> Bool {
        switch table {
        case .focus: true
        case .bursts: value.flatMap { UInt8(exactly: $0) }.flatMap { InputOrigin(rawValue: $0) } != nil
        // What nothing is known of is not stored.
        case .unknowns: value.flatMap { UInt8(exactly: $0) }.flatMap { UnknownReason(rawValue: $0) }.map { $0 != .noData } ?? false
        }
    }
}

/// Goes through two tables' rows of one session by their starts, of which only one can hold at a time.
struct ExclusionCheck {
    private var ends: [IntervalTable: Int64] = [:]

    /// - Returns: nil if the row begins after what the other table has ends.
    mutating func add(_ row: StoredInterval, of table: IntervalTable) -> CheckFinding? {
        // What had the focus is known where only input or state changes were lost.
        if table == .unknowns, row.value == Int64(UnknownReason.storeDamaged.rawValue) { return nil }
        let other = ends.filter { $0.key != table }.values.max()
        ends[table] = max(ends[table] ?? .min, row.start.addingReportingOverflow(row.length).partialValue)
        guard let other, row.start < other else { return nil }
        return CheckFinding(.overlap, stored: row.start, "\(table.rawValue): something is both known and unknown")
    }
}

extension UInt64 {
    /// What a damaged store has may be more than there is.
    func addingAsFarAsPossible(_ other: UInt64) -> UInt64 {
        let (sum, isBeyond) = addingReportingOverflow(other)
        return isBeyond ? .max : sum
    }
}

extension StoredFrame {
    /// Twenty years, in nanoseconds.
    private static let longest: Int64 = 20 * 366 * 86_400 * 1_000_000_000

    /// Whether it says that it took longer than a session can.
    var isTooLong: Bool {
        guard let end else { return false }
        let (length, isBeyond) = end.subtractingReportingOverflow(start)
        return isBeyond || length > Self.longest
    }

    /// What is wrong with a session's row.
    func findings(_ anchors: ClockAnchors) -> [CheckFinding] {
        var findings: [CheckFinding] = []
        func found(_ text: String) { findings.append(CheckFinding(.session, stored: start, text)) }
        if start < 0 { found("it begins before its boot") }
        if let end {
            if end < start { found("it ends before it begins") }
            if isTooLong { found("it is longer than any") }
            if endReason.flatMap({ UInt8(exactly: $0) }).flatMap({ EndReason(rawValue: $0) }) == nil { found("why it ended means nothing") }
            if endWall == nil { found("its end has no time") }
        } else {
            if endReason != nil || endWall != nil { found("it has no end, and says why or when it ended") }
            if !isOfLastBoot { found("it has no end, and is of a boot that is over") }
        }
        if anchors.anchors.isEmpty { found("nothing says when it was: its boot has no anchor") }
        // Where the clock was stepped, an anchor may have come after what it gives another time.
        if anchors.anchors.count == 1, start >= 0 {
            func isRight(_ moment: Int64, _ wall: Int64) -> Bool {
                anchors.wall(at: BootInstant(nanoseconds: UInt64(clamping: moment)))?.nanoseconds == wall
            }
            if !isRight(start, startWall) { found("it is listed under another time than it began at") }
            if let end, let endWall, end >= start, !isRight(end, endWall) { found("it is listed under another time than it ended at") }
        }
        return findings
    }
}

extension StoredBoot {
    /// What is wrong with a boot's row.
    var findings: [CheckFinding] {
        var findings: [CheckFinding] = []
        func found(_ text: String) { findings.append(CheckFinding(.boots, "boot \(row): \(text)")) }
        if anchors.isEmpty { found("it has no anchor") }
        if seen < 0 { found("a moment lies before it began") }
        for (index, anchor) in anchors.enumerated() {
            if anchor.at < 0 { found("an anchor lies before it began") }
            if index > 0, anchor.at <= anchors[index - 1].at { found("its anchors are out of order") }
        }
        return findings
    }
}

/// Why a time is unknown, as a check of the store sees it.
struct UnknownCause: Hashable {
    enum Class: String {
        /// The collector recorded what failed.
        case fault
        /// It is so by what the product is, or by what somebody decided.
        case known
        /// Nothing says why: this is what there must be none of.
        case none
    }

    var name: String
    var classification: Class

    init(_ name: String, _ classification: Class) {
        self.name = name
        self.classification = classification
    }

    /// Removed by age: nothing is stored of it, and it is older than all is kept.
    static let retention = UnknownCause("retention", .known)
    /// No source told its state within the time that one may take.
    static let notStarted = UnknownCause("not-started", .none)

    /// A source may take this long to tell its state, with two attempts that fail.
    static let patience: Duration = .seconds(60)

    init(_ reason: UnknownReason) {
        let classification: Class =
            switch reason {
            case .eventsLost, .sourceEnded, .sourceGap, .laneQuarantined, .collectorDown, .storeDamaged: .fault
            case .starting, .noSource, .limited, .erased: .known
            case .noData: .none
            }
        self.init(reason.name, classification)
    }
}

/// A stretch of unknown time, of one cause.
struct UnknownStretch: Equatable {
    var span: TimeSpan
    var cause: UnknownCause

    /// Says of each part of unknown time why it is.
    ///
    /// - Parameters:
    ///   - parts: in order, apart from each other.
    ///   - intervals: what is stored of why; in any order, and they may overlap: the one that began first counts.
    ///   - kept: before this moment what is not stored may have been removed by its age.
    static func stretches(of parts: [TimeSpan], _ intervals: [UnknownInterval], kept: BootInstant?) -> [UnknownStretch] {
        let causes = intervals.flatMap(Self.causes).sorted { $0.span.start < $1.span.start }
        var stretches: [UnknownStretch] = []
        func add(_ start: BootInstant, _ end: BootInstant, _ cause: UnknownCause?) {
            guard end > start else { return }
            if let cause { return stretches.append(UnknownStretch(span: TimeSpan(start: start, end: end), cause: cause)) }
            let limit = min(max(start, kept ?? .zero), end)
            add(start, limit, .retention)
            add(limit, end, UnknownCause(.noData))
        }
        var next = 0
        for part in parts {
            var position = part.start
            // What ended before it is over for all parts to come.
            while next < causes.count, causes[next].span.end <= part.start { next += 1 }
            for cause in causes[next...] {
                if cause.span.start >= part.end { break }
                let span = TimeSpan(start: max(cause.span.start, position), end: min(cause.span.end, part.end))
                guard span.length > 0 else { continue }
                add(position, span.start, nil)
                add(span.start, span.end, cause.cause)
                position = span.end
            }
            add(position, part.end, nil)
        }
        return stretches
    }

    private static func causes(of interval: UnknownInterval) -> [UnknownStretch] {
        guard interval.end > interval.start else { return [] }
        let span = TimeSpan(start: interval.start, end: interval.end)
        guard interval.reason == .starting else { return [UnknownStretch(span: span, cause: UnknownCause(interval.reason))] }
        let limit = min(span.start.advanced(by: UnknownCause.patience), span.end)
        return [
            UnknownStretch(span: TimeSpan(start: span.start, end: limit), cause: UnknownCause(.starting)),
            UnknownStretch(span: TimeSpan(start: limit, end: span.end), cause: .notStarted),
        ].filter { $0.span.length > 0 }
    }
}

/// What is unknown of all that was checked, by cause.
struct UnknownTotals {
    struct Entry {
        var length: UInt64 = 0
        var count = 0
        var longest: UInt64 = 0
        /// Where the longest is.
        var session: UUIDv7?
        var user: UserIdentity?
        var at: WallInstant?
    }

    private(set) var entries: [UnknownCause: Entry] = [:]

    mutating func add(_ stretch: UnknownStretch, of session: ReportedSession) {
        var entry = entries[stretch.cause] ?? Entry()
        let length = stretch.span.length
        entry.length = entry.length.addingAsFarAsPossible(length)
        entry.count += 1
        if length > entry.longest {
            entry.longest = length
            entry.session = session.record.uuid
            entry.user = session.record.user
            entry.at = session.anchors.wall(at: stretch.span.start)
        }
        entries[stretch.cause] = entry
    }

    var total: UInt64 { entries.values.reduce(0) { $0.addingAsFarAsPossible($1.length) } }
    var unexplained: UInt64 {
        entries.filter { $0.key.classification == .none }.values.reduce(0) { $0.addingAsFarAsPossible($1.length) }
    }

    /// Whether more than a thousandth of the time that was checked is unknown and nothing says why.
    func isExcessive(of time: UInt64) -> Bool { unexplained > time / 1000 }
}

/// The days that a session's time lies in.
enum SessionDays {
    /// From the first to the last, however the clock was stepped in between; nil without anchors.
    static func days(of life: TimeSpan, _ anchors: ClockAnchors, _ calendar: LocalCalendar) -> ClosedRange<Int>? {
        let steps = anchors.anchors.map(\.boot).filter { $0 > life.start && $0 < life.end }
        // Before a step the clock showed another time than after it.
        let moments = [life.start, life.end] + steps + steps.map { BootInstant(nanoseconds: $0.nanoseconds - 1) }
        let days = moments.compactMap { anchors.wall(at: $0) }.map { calendar.day($0).number }
        guard let first = days.min(), let last = days.max() else { return nil }
        return first...last
    }
}
