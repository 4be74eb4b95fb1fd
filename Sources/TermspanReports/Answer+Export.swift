import TermspanAccounting
package import TermspanCore
import TermspanStore

/// What is exported, and as what.
package struct ExportRequest: Sendable {
    package enum Format: String, CaseIterable, Sendable {
        /// One object a line.
        case jsonl
        /// RFC 4180.
        case csv
        /// One object a line, each with the table that it is a row of: what a database is made from.
        case tables
        /// The document that ActivityWatch imports.
        case activitywatch
    }

    package var format: Format
    /// Where an export before had come to.
    package var after: ExportCursor?
    /// A digest of whose and which activities are asked for, so that a cursor is used for the same.
    package var selection: UInt32
    /// By which days begin.
    package var calendar: LocalCalendar

    package init(format: Format, after: ExportCursor? = nil, selection: UInt32 = 0, calendar: LocalCalendar) {
        self.format = format
        self.after = after
        self.selection = selection
        self.calendar = calendar
    }
}

extension Answer {
    /// The columns of rows, in their order.
    static let exportKeys = [
        "user", "uid", "session", "session_uuid", "computer", "imported", "start", "end", "duration", "description", "executable", "class",
        "active",
        "passive", "inactive", "switches", "category", "productivity", "business",
    ]

    func export(_ line: ([UInt8]) throws -> Void) throws {
        guard let request = question.export else { return }
        switch request.format {
        case .jsonl: try exportRows(request, JSONRows(), line)
        case .csv: try exportRows(request, CSVRows(), line)
        case .tables: try exportTables(request, line)
        case .activitywatch: try exportActivityWatch(line)
        }
    }

    /// Tells how far the export is, between rows; no row begins like it.
    private static func mark(_ cursor: ExportCursor?, rows: UInt64, isComplete: Bool = false) -> [UInt8] {
        var json = JSONLine()
        json.add("cursor", cursor?.description)
        json.add("rows", rows)
        if isComplete { json.add("complete", true) }
        return json.finished()
    }

    // MARK: Rows

    /// Closed spans by session and start: those that came into the store since the cursor.
    private func exportRows(_ request: ExportRequest, _ format: some ExportRows, _ line: ([UInt8]) throws -> Void) throws {
        if request.after == nil, let header = format.header { try line(header) }
        guard let reader else { return try line(Self.mark(nil, rows: 0, isComplete: true)) }
        let begin = try begin(request, reader)
        let position = begin.position
        var (rows, bytes): (UInt64, [UInt8]) = (0, [])
        if begin.told < begin.last {
            let none = cells(ActivityClasses.Shown(), format)
            var written = self
            written.revisions = begin.told + 1...begin.last
            try written.forEachSession(after: position.map { $0.session - 1 } ?? 0) { session in
                guard let stored = session.stored else { return }
                var range = range(of: session)
                if begin.told > 0 {
                    guard let first = try reader.firstFocus(of: stored, after: begin.told, upTo: begin.last) else { return }
                    range.start = min(max(range.start, first), range.end)
                }
                let skipped = position?.session == stored.row ? position?.start : nil
                if let skipped { range.start = min(max(range.start, skipped), range.end) }
                let frame = format.frame(named(session), computer: computer(of: session).name, isImported: stored.origin != nil)
                try written.forEachChunk(of: session, in: range) { chunk in
                    bytes.removeAll(keepingCapacity: true)
                    let applications = chunk.applications.map { cells($0, format) }
                    let page = chunk.page
                    for index in page.indices where skipped.map({ page.spans[index].start > $0 }) ?? true {
                        let span = page.spans[index].clipped(to: range)
                        let times = chunk.evaluation.focus[index]
                        let place = Int(page.places[index])
                        guard span.length > 0, chooser.includes(times), let application = place < 0 ? none : applications[place],
                            let start = session.anchors.wall(at: span.start), let end = session.anchors.wall(at: span.end)
                        else { continue }
                        format.add(
                            frame, start, end, span.length, application, active: times[.active], passive: times[.passive],
                            inactive: times[.inactive], switches: page.switches[index], to: &bytes)
                        rows += 1
                    }
                    if let last = page.spans.last, isByName {
                        var cursor = begin
                        cursor.position = ExportCursor.Position(session: stored.row, start: last.start)
                        bytes += Self.mark(cursor, rows: rows)
                    }
                    try line(bytes)
                }
            }
        }
        let end = ExportCursor(store: begin.store, selection: begin.selection, told: begin.last, last: begin.last)
        try line(Self.mark(isByName ? end : nil, rows: rows, isComplete: true))
    }

    /// What rows have of an application; nil where it is ignored or not chosen.
    private func cells(_ shown: ActivityClasses.Shown?, _ format: some ExportRows) -> ApplicationCells? {
        guard let shown, chooser.includes(shown) else { return nil }
        let application = shown.application
        return format.application(
            chooser.description(of: application), executable(application), application?.windowClass, shown.columns)
    }

    /// Where the export begins, and what it is up to.
    private func begin(_ request: ExportRequest, _ reader: StoreReader) throws -> ExportCursor {
        let (store, revision) = (try reader.auditStore(), try reader.revision())
        guard let after = request.after else { return ExportCursor(store: store, selection: request.selection, told: 0, last: revision) }
        guard after.store == store else { throw ReportError(reason: "the cursor is of another store: begin anew, without a cursor") }
        guard after.selection == request.selection else {
            throw ReportError(reason: "the cursor is of an export of something else: name the same users, sessions and filters as then")
        }
        guard after.last <= revision else {
            throw ReportError(reason: "the cursor is ahead of the store, which is an older copy: begin anew, without a cursor")
        }
        if after.position != nil { return after }
        return ExportCursor(store: store, selection: after.selection, told: after.last, last: revision)
    }

    // MARK: Tables

    /// Rows of the tables that termspan-export(5) documents, and at the end how many of each.
    private func exportTables(_ request: ExportRequest, _ line: ([UInt8]) throws -> Void) throws {
        var counts: [(table: String, rows: UInt64)] = []
        func put(_ table: String, _ fill: (inout JSONLine) -> Void) throws {
            if counts.last?.table != table { counts.append((table, 0)) }
            counts[counts.count - 1].rows += 1
            var json = JSONLine()
            json.add("table", table)
            fill(&json)
            try line(json.finished())
        }
        // By the names of those that something was imported of; this one by nil.
        var computers: [String?: Int] = [:]
        func add(_ origin: String?) throws {
            guard computers[origin] == nil else { return }
            let id = computers.count + 1
            computers[origin] = id
            try put("computers") { json in
                json.add("id", id)
                json.add("name", origin ?? computer.name)
                json.add("uuid", origin == nil ? computer.uuid : nil)
            }
        }
        if question.filter.imported != true { try add(nil) }
        var users: [UserIdentity: Int] = [:]
        var identifiers: [(user: Int, kind: String, value: String)] = []
        var days: Set<CalendarDay> = []
        try forEachSession { session in
            let user = session.record.user
            try add(session.stored?.origin)
            if users[user] == nil {
                let id = users.count + 1
                users[user] = id
                try put("users") { json in
                    json.add("id", id)
                    json.add("name", user.login)
                }
                identifiers += [(id, "login", user.login), (id, "uid", String(user.uid))]
            }
            let range = range(of: session)
            guard range.length > 0, let first = session.anchors.wall(at: range.start), let last = session.anchors.wall(at: range.end) else {
                return
            }
            var day = request.calendar.day(min(first, last))
            // A wall clock that was wrong once is no history of centuries.
            let end = min(request.calendar.day(max(first, last)), day.advanced(by: 4000))
            while day <= end {
                days.insert(day)
                day = day.advanced(by: 1)
            }
        }
        for (user, kind, value) in identifiers {
            try put("user_identifiers") { json in
                json.add("user_id", user)
                json.add("kind", kind)
                json.add("value", value)
            }
        }
        var event = 0
        try forEachSession { session in
            guard let user = users[session.record.user], let computer = computers[session.stored?.origin] else { return }
            let range = range(of: session)
            try forEachChunk(of: session, in: range) { chunk in
                for (index, (record, isOpen)) in chunk.focus.enumerated() where !isOpen {
                    let span = record.span.clipped(to: range)
                    let times = chunk.evaluation.focus[index]
                    guard span.length > 0, let shown = chunk.shown(index), chooser.includes(shown), chooser.includes(times) else {
                        continue
                    }
                    event += 1
                    try put("events") { json in
                        json.add("id", event)
                        json.add("user_id", user)
                        json.add("computer_id", computer)
                        json.add("session", session.record.id.rawValue)
                        json.add("session_uuid", session.record.uuid.description)
                        json.add("start", session.anchors.wall(at: span.start))
                        json.add("end", session.anchors.wall(at: span.end))
                        json.add("duration", nanoseconds: span.length)
                        json.add("description", chooser.description(of: record.application))
                        json.add("executable", record.application?.executable)
                        json.add("class", record.application?.windowClass)
                        Self.add(times, [.active, .passive, .inactive], to: &json)
                        json.add(shown.columns)
                    }
                }
            }
        }
        for day in days.sorted() { try exportDay(day, request.calendar, users, computers, put) }
        var json = JSONLine()
        json.add("complete", true)
        json.add("rows", counts.reduce(0) { $0 + $1.rows })
        try line(json.finished())
    }

    private struct DayTotals {
        var times = CategoryTimes()
        var sessions: Set<UUIDv7> = []
        var first: WallInstant?
        var last: WallInstant?
    }

    /// Whose day it is, and on which computer: numbers of the tables.
    fileprivate struct DayOwner: Hashable, Comparable {
        var user: Int
        var computer: Int

        static func < (lhs: Self, rhs: Self) -> Bool { (lhs.user, lhs.computer) < (rhs.user, rhs.computer) }
    }

    fileprivate struct NamedApplication: Hashable {
        var owner: DayOwner
        var executable: String?
        var description: String?
        var columns: ClassColumns
    }

    private func exportDay(
        _ day: CalendarDay, _ calendar: LocalCalendar, _ users: [UserIdentity: Int], _ computers: [String?: Int],
        _ put: (String, (inout JSONLine) -> Void) throws -> Void
    ) throws {
        var part = self
        part.question.filter.since = max(calendar.moment(day, 0), question.filter.since ?? calendar.moment(day, 0))
        part.question.filter.until = min(calendar.moment(day.advanced(by: 1), 0), question.filter.until ?? WallInstant(nanoseconds: .max))
        var totals: [DayOwner: DayTotals] = [:]
        var applications: [NamedApplication: (times: CategoryTimes, duration: UInt64, events: Int)] = [:]
        let owned = try part.usersSessions().flatMap { user, sessions in
            Dictionary(grouping: sessions) { $0.stored?.origin }.map { (user, $0, $1) }
        }
        for (user, origin, sessions) in owned {
            guard let user = users[user], let computer = computers[origin], let anchors = sessions.first?.anchors else { continue }
            let owner = DayOwner(user: user, computer: computer)
            var sum = totals[owner] ?? DayTotals()
            var active: TimeSpan?
            try part.forEachOwnPart(
                of: sessions,
                chunk: { chunk in
                    for (index, (record, _)) in chunk.focus.enumerated() {
                        let (times, length) = (chunk.evaluation.focus[index], record.span.clipped(to: chunk.timeline.span).length)
                        guard length > 0, record.application != nil, let shown = chunk.shown(index), chooser.includes(shown),
                            chooser.includes(times)
                        else { continue }
                        let key = NamedApplication(
                            owner: owner, executable: record.application?.executable,
                            description: chooser.description(of: record.application), columns: shown.columns)
                        var sum = applications[key] ?? (CategoryTimes(), 0, 0)
                        sum.times += times
                        sum.duration += length
                        sum.events += 1
                        applications[key] = sum
                        if applications.count > limit {
                            throw ReportError(reason: "too many applications in one day; ask about fewer users")
                        }
                    }
                }
            ) { own, _ in
                sum.times.add(own.span.length, to: own.category)
                if own.category == .active { active = TimeSpan(start: active?.start ?? own.span.start, end: own.span.end) }
            }
            sum.sessions.formUnion(sessions.map(\.record.uuid))
            if let first = active.flatMap({ anchors.wall(at: $0.start) }) { sum.first = min(sum.first ?? first, first) }
            if let last = active.flatMap({ anchors.wall(at: $0.end) }) { sum.last = max(sum.last ?? last, last) }
            totals[owner] = sum
        }
        for (owner, sum) in totals.sorted(by: { $0.key < $1.key }) {
            try put("daily_user_summary") { json in
                json.add("day", day.description)
                json.add("user_id", owner.user)
                json.add("computer_id", owner.computer)
                json.add("sessions", sum.sessions.count)
                json.add("first_activity", sum.first)
                json.add("last_activity", sum.last)
                json.add("total", nanoseconds: sum.times.total)
                Self.add(sum.times, Category.allCases, to: &json)
            }
        }
        for (key, sum) in applications.sorted(by: { $0.key < $1.key }) {
            try put("daily_application_summary") { json in
                json.add("day", day.description)
                json.add("user_id", key.owner.user)
                json.add("computer_id", key.owner.computer)
                json.add("executable", key.executable)
                json.add("description", key.description)
                json.add("events", sum.events)
                json.add("duration", nanoseconds: sum.duration)
                Self.add(sum.times, [.active, .passive, .inactive], to: &json)
                json.add(key.columns)
            }
        }
    }

    private static func add(_ times: CategoryTimes, _ categories: [Category], to json: inout JSONLine) {
        for category in categories { json.add(key: category.name, nanoseconds: times[category]) }
    }

    // MARK: ActivityWatch

    /// ActivityWatch's document of buckets: of each user one of windows and one of presence. An event is a line.
    private func exportActivityWatch(_ line: ([UInt8]) throws -> Void) throws {
        var owners: [BucketOwner] = []
        var created: [BucketOwner: WallInstant] = [:]
        try forEachSession { session in
            let owner = BucketOwner(user: session.record.user, computer: computer(of: session).name)
            guard let start = session.anchors.wall(at: range(of: session).start) else { return }
            if created[owner] == nil { owners.append(owner) }
            created[owner] = min(created[owner] ?? start, start)
        }
        let users = Set(owners.map(\.user))
        try line(Array("{\"buckets\":{\n".utf8))
        var rows: UInt64 = 0
        for (index, owner) in owners.enumerated() {
            var own = self
            own.question.filter.identities = [owner.user]
            // ActivityWatch looks for its user's by the name of the computer alone.
            let name = users.count == 1 ? owner.computer : "\(owner.computer)-\(owner.user.login)"
            for (client, type) in [("aw-watcher-window", "currentwindow"), ("aw-watcher-afk", "afkstatus")] {
                try line(
                    Self.opening(
                        bucket: "\(client)_\(name)", type, client, owner.computer, created[owner],
                        isFirst: index == 0 && type == "currentwindow"))
                var isFirst = true
                func put(_ span: TimeSpan, of session: ReportedSession, _ data: (inout JSONLine) -> Void) throws {
                    guard span.length > 0, let start = session.anchors.wall(at: span.start) else { return }
                    var json = JSONLine()
                    json.add("timestamp", start)
                    json.add("duration", nanoseconds: span.length)
                    var inner = JSONLine()
                    data(&inner)
                    json.add("data", inner)
                    if !isFirst { try line(Array(",".utf8)) }
                    isFirst = false
                    rows += 1
                    try line(json.finished())
                }
                try own.forEachSession { session in
                    guard computer(of: session).name == owner.computer else { return }
                    let range = range(of: session)
                    if type == "currentwindow" {
                        try own.forEachChunk(of: session, in: range) { chunk in
                            for (index, (record, isOpen)) in chunk.focus.enumerated() where !isOpen && record.application != nil {
                                guard chooser.includes(chunk.shown(index)), chooser.includes(chunk.evaluation.focus[index]) else {
                                    continue
                                }
                                let application = record.application
                                try put(record.span.clipped(to: range), of: session) { json in
                                    json.add("app", application?.executable.map(Descriptions.file) ?? application?.windowClass ?? "")
                                    json.add("title", chooser.description(of: application) ?? "")
                                }
                            }
                        }
                    } else {
                        try own.forEachPresence(of: session, in: range) { span, isPresent in
                            try put(span, of: session) { json in json.add("status", isPresent ? "not-afk" : "afk") }
                        }
                    }
                }
                try line(Array("]}\n".utf8))
            }
        }
        try line(Array("}}\n".utf8))
        try line(Self.mark(nil, rows: rows, isComplete: true))
    }

    /// Whose two buckets are, and of which computer.
    private struct BucketOwner: Hashable {
        var user: UserIdentity
        var computer: String
    }

    private static func opening(
        bucket id: String, _ type: String, _ client: String, _ hostname: String, _ created: WallInstant?, isFirst: Bool
    ) -> [UInt8] {
        var json = JSONLine()
        json.add("id", id)
        json.add("created", created)
        json.add("type", type)
        json.add("client", client)
        json.add("hostname", hostname)
        var name = JSONLine()
        name.add(key: id, json)
        // The object stays open for its events.
        return Array((isFirst ? "" : ",").utf8) + name.bytes.dropFirst().dropLast() + Array(",\"events\":[\n".utf8)
    }

    /// ActivityWatch's presence: somebody is there from input to input while there is no gap of 180 s, and away in between; backdated to the input
    /// before the gap. Of unknown time neither is said.
    private func forEachPresence(of session: ReportedSession, in range: TimeSpan, _ body: (TimeSpan, Bool) throws -> Void) throws {
        let unknowns = try unknownIntervals(of: session, in: range)
        func away(_ span: TimeSpan) throws {
            var start = span.start
            for unknown in unknowns where unknown.start < span.end && unknown.end > start {
                if unknown.start > start { try body(TimeSpan(start: start, end: unknown.start), false) }
                start = max(start, unknown.end)
            }
            if start < span.end { try body(TimeSpan(start: start, end: span.end), false) }
        }
        var present: TimeSpan?
        var position = range.start
        for burst in try bursts(of: session, in: range) {
            let burst = burst.clipped(to: range)
            // One of a single moment is input too.
            guard burst.start < range.end, burst.start >= position || burst.end > position else { continue }
            if let last = present, burst.start <= last.end.advanced(by: .seconds(180)) {
                present?.end = max(last.end, burst.end)
            } else {
                if let last = present {
                    try body(last, true)
                    position = last.end
                }
                try away(TimeSpan(start: position, end: burst.start))
                position = burst.start
                present = burst
            }
        }
        if let present {
            try body(present, true)
            position = present.end
        }
        try away(TimeSpan(start: position, end: range.end))
    }
}

extension Answer.NamedApplication: Comparable {
    fileprivate static func < (lhs: Self, rhs: Self) -> Bool {
        lhs.owner != rhs.owner ? lhs.owner < rhs.owner : lhs.texts.lexicographicallyPrecedes(rhs.texts)
    }

    private var texts: [String] {
        [executable, description, columns.category, columns.productivity, columns.isBusiness.map { String($0) }].map { $0 ?? "" }
    }
}
