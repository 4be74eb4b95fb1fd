import TermspanAccounting
import TermspanCore
import TermspanStore

// The check of the store: session by session, in pages, so that what it holds in memory does not grow with the store. It says an empty line again
// and again while it works, so that it ends where nobody reads any more.

extension Answer {
    /// What was gone through.
    private struct Checked {
        var sessions = 0
        var days = 0
        var intervals = 0
        var time: UInt64 = 0
        var unknown = UnknownTotals()
    }

    /// Beyond this many problems they are only counted.
    private static let told = 1000

    /// Whether all of the store is asked for, and not only somebody's sessions.
    private var isWhole: Bool { question.filter.identities == nil && question.filter.login == nil && question.filter.uid == nil }

    func checkStore(_ line: ([UInt8]) throws -> Void) throws {
        var checked = Checked()
        var problems = 0
        func tell(_ finding: CheckFinding, _ session: ReportedSession?) throws {
            problems += 1
            guard problems <= Self.told else { return }
            var json = JSONLine()
            json.add("problem", finding.rule.rawValue)
            if let session { add(session.record.user, to: &json) }
            json.add("session_uuid", session?.record.uuid.description)
            json.add("time", finding.at.flatMap { session?.anchors.wall(at: $0) })
            json.add("text", finding.text)
            try line(json.finished())
        }
        if isWhole, let reader { try checkFile(reader, line) { try tell($0, nil) } }
        do {
            try forEachSession { session in
                do {
                    try check(session, &checked, alive: { try line([]) }) { try tell($0, session) }
                } catch let error as StoreError where error.code == .damaged {
                    try tell(CheckFinding(.file, "\(error)"), session)
                }
                checked.sessions += 1
                if checked.sessions % 50 == 0 { try line(Self.progress("sessions", checked.sessions)) }
            }
        } catch let error as StoreError where error.code == .damaged {
            try tell(CheckFinding(.file, "\(error)"), nil)
        }
        for (cause, entry) in checked.unknown.entries.sorted(by: { ($0.value.length, $0.key.name) > ($1.value.length, $1.key.name) }) {
            var json = JSONLine()
            json.add("unknown", cause.name)
            json.add("class", cause.classification.rawValue)
            json.add("duration", nanoseconds: entry.length)
            json.add("stretches", entry.count)
            json.add("longest", nanoseconds: entry.longest)
            json.add("session_uuid", entry.session?.description)
            json.add("user", entry.user?.login)
            json.add("time", entry.at)
            try line(json.finished())
        }
        var json = JSONLine()
        json.add("whole", isWhole)
        json.add("store", reader != nil)
        json.add("sessions", checked.sessions)
        json.add("days", checked.days)
        json.add("intervals", checked.intervals)
        json.add("problems", problems)
        json.add("total", nanoseconds: checked.time)
        json.add("unknown_total", nanoseconds: checked.unknown.total)
        json.add("unexplained", nanoseconds: checked.unknown.unexplained)
        json.add("excessive", checked.unknown.isExcessive(of: checked.time))
        try line(json.finished())
    }

    private static func progress(_ what: String, _ done: Int, of count: Int? = nil) -> [UInt8] {
        var json = JSONLine()
        json.add("progress", what)
        json.add("done", done)
        if let count { json.add("of", count) }
        return json.finished()
    }

    // MARK: The file

    /// What is of no session, or of one that reports can't see.
    private func checkFile(_ reader: StoreReader, _ line: ([UInt8]) throws -> Void, _ tell: (CheckFinding) throws -> Void) throws {
        /// What can't be read is wrong, and the rest is checked all the same.
        func readable(_ body: () throws -> Void) throws {
            do {
                try body()
            } catch let error as StoreError where error.code == .damaged {
                try tell(CheckFinding(.file, "\(error)"))
            }
        }
        try readable {
            let tables = try reader.tables()
            for (index, table) in tables.enumerated() {
                try line(Self.progress("file", index, of: tables.count))
                try line([])
                try readable {
                    for text in try reader.integrity(ofTable: table) { try tell(CheckFinding(.file, "\(table): \(text)")) }
                }
                try readable {
                    for (parent, count) in try reader.brokenReferences(ofTable: table) {
                        try tell(CheckFinding(.references, "\(table): \(count) rows refer to what there is not in \(parent)"))
                    }
                }
            }
        }
        try readable {
            for fact in try reader.factConflicts() {
                let text =
                    "fact \(fact.row), a \(fact.kind) since \(fact.since.iso8601): it ends before it begins, or another holds then, too"
                try tell(CheckFinding(.facts, text))
            }
        }
        try readable { for boot in try reader.boots() { for finding in boot.findings { try tell(finding) } } }
        try readable {
            var row: Int64 = 0
            while true {
                try line([])
                let page = try reader.visibility(after: row)
                for session in page where !session.isVisible {
                    try tell(CheckFinding(.session, "session \(session.row) has no UUID, boot or user by which reports could show it"))
                }
                row = page.last?.row ?? row
                if page.count < 2000 { break }
            }
        }
    }

    // MARK: Sessions

    private func check(
        _ session: ReportedSession, _ checked: inout Checked, alive: () throws -> Void, _ tell: (CheckFinding) throws -> Void
    ) throws {
        var session = session
        if let reader, let stored = session.stored {
            // Gone by now: erased, or too old.
            guard let frame = try reader.frame(of: stored) else { return }
            for finding in frame.findings(stored.anchors) { try tell(finding) }
            let known = try checkRows(stored, frame, reader, &checked, alive, tell)
            // Its days would be without number.
            guard !frame.isTooLong else { return }
            // What is open at a collector that does not answer is stored later.
            if session.isOpen, session.live == nil { session.end = min(session.end, max(known, session.record.start)) }
        }
        try checkTimes(session, &checked, alive, tell)
    }

    /// Goes through the rows of a session.
    ///
    /// - Returns: the moment up to which something is stored.
    private func checkRows(
        _ stored: StoredSession, _ frame: StoredFrame, _ reader: StoreReader, _ checked: inout Checked, _ alive: () throws -> Void,
        _ tell: (CheckFinding) throws -> Void
    ) throws -> BootInstant {
        var checks = IntervalTable.allCases.map { IntervalCheck($0, start: frame.start, end: frame.end) }
        var cursors = IntervalTable.allCases.map { RowCursor(reader, $0, stored) }
        var exclusion = ExclusionCheck()
        var known: Int64 = frame.start
        while true {
            var first: Int?
            for index in cursors.indices {
                guard let row = try cursors[index].peek() else { continue }
                if let other = first, let least = try cursors[other].peek(), least.start <= row.start { continue }
                first = index
            }
            guard let first, let row = try cursors[first].next() else { break }
            let table = checks[first].table
            for finding in checks[first].add(row) { try tell(finding) }
            if table != .bursts {
                if let finding = exclusion.add(row, of: table) { try tell(finding) }
                known = max(known, row.start.addingReportingOverflow(row.length).partialValue)
            }
            checked.intervals += 1
            if checked.intervals % 1000 == 0 { try alive() }
        }
        let kinds = StateChange.Kind.allCases.map { Int64($0.rawValue) }
        for at in try reader.strangeEvents(of: stored, kinds: (kinds.min() ?? 0)...(kinds.max() ?? 0)) {
            try tell(CheckFinding(.value, stored: at, "session_event: a row has a number that means nothing"))
        }
        return BootInstant(nanoseconds: UInt64(clamping: known))
    }

    /// Whether a session's categories are its time, as a whole and day by day, and what of it is unknown.
    private func checkTimes(
        _ session: ReportedSession, _ checked: inout Checked, _ alive: () throws -> Void, _ tell: (CheckFinding) throws -> Void
    ) throws {
        let life = session.life
        let kept = question.keptSince.flatMap { session.anchors.boot(at: $0) }
        var totals = CategoryTimes()
        var position = life.start
        let changes = try changes(of: session)
        try forEachChunk(of: session, changes, in: life) { chunk in
            try alive()
            totals += chunk.evaluation.totals
            for part in chunk.evaluation.parts {
                if part.span.start != position { try tell(CheckFinding(.partition, at: position, "its parts don't follow each other")) }
                position = part.span.end
            }
            // Of what was imported nothing says why it is unknown.
            guard session.stored?.origin == nil else { return }
            let unknown = chunk.evaluation.parts.filter { $0.category == .unknown }.map(\.span)
            guard !unknown.isEmpty else { return }
            let intervals = try unknownIntervals(of: session, in: chunk.timeline.span)
            let stretches = UnknownStretch.stretches(of: unknown, intervals, kept: kept)
            for stretch in stretches { checked.unknown.add(stretch, of: session) }
            let length = stretches.reduce(0) { $0 + $1.span.length }
            if length != chunk.evaluation.totals[.unknown] {
                try tell(CheckFinding(.partition, at: chunk.timeline.span.start, "its unknown time is not the sum of its causes"))
            }
        }
        if position != life.end || totals.total != life.length {
            try tell(CheckFinding(.partition, at: life.start, "its categories are not its time"))
        }
        checked.time = checked.time.addingAsFarAsPossible(life.length)
        try checkDays(session, changes, totals, &checked, alive, tell)
    }

    /// Asks for each day as a report of that day does.
    private func checkDays(
        _ session: ReportedSession, _ changes: [StateChange], _ whole: CategoryTimes, _ checked: inout Checked, _ alive: () throws -> Void,
        _ tell: (CheckFinding) throws -> Void
    ) throws {
        let calendar = question.calendar
        guard session.life.length > 0, let days = SessionDays.days(of: session.life, session.anchors, calendar) else { return }
        var sum = CategoryTimes()
        var position = session.life.start
        for number in days {
            let day = CalendarDay(number: number)
            let range = session.range(since: calendar.moment(day, 0), until: calendar.moment(day.advanced(by: 1), 0))
            guard range.length > 0 else { continue }
            try alive()
            var totals = CategoryTimes()
            try forEachChunk(of: session, changes, in: range) { totals += $0.evaluation.totals }
            if totals.total != range.length { try tell(CheckFinding(.days, at: range.start, "\(day): its categories are not its time")) }
            if range.start != position { try tell(CheckFinding(.days, at: position, "\(day) does not begin where the day before ends")) }
            position = range.end
            sum += totals
            checked.days += 1
        }
        if position != session.life.end || sum != whole {
            try tell(CheckFinding(.days, at: session.life.start, "its days together are not its time"))
        }
    }
}

/// The rows of one table of a session, in pages.
private struct RowCursor {
    private let reader: StoreReader
    private let table: IntervalTable
    private let session: StoredSession
    private var page: ArraySlice<StoredInterval> = []
    private var last: Int64?
    private var isAtEnd = false
    private static let size = 2000

    init(_ reader: StoreReader, _ table: IntervalTable, _ session: StoredSession) {
        self.reader = reader
        self.table = table
        self.session = session
    }

    mutating func peek() throws -> StoredInterval? {
        if page.isEmpty, !isAtEnd {
            let rows = try reader.intervals(in: table, of: session, after: last, limit: Self.size)
            isAtEnd = rows.count < Self.size
            last = rows.last?.start
            page = rows[...]
        }
        return page.first
    }

    mutating func next() throws -> StoredInterval? {
        guard let row = try peek() else { return nil }
        page.removeFirst()
        return row
    }
}
