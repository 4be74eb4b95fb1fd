package import TermspanAccounting
package import TermspanCore
package import TermspanStore

/// Works a question out, line by line, in pages: what it holds in memory does not grow with the answer.
package struct Answer {
    var question: Question
    /// Nil where there is no store yet.
    let reader: StoreReader?
    private let live: [UUIDv7: LiveSession]
    /// By which users and sessions are named; nil: by their names.
    private let pseudonyms: Pseudonyms?
    let chooser: ActivityChooser
    /// As what activities count, and what of them is shown.
    let classes: ActivityClasses
    let computer: Computer
    /// The transactions that wrote the focus intervals that are told; nil: all, and what is not durable.
    var revisions: ClosedRange<Int64>?
    /// How many focus intervals are worked on at once.
    var page = 1000
    /// How many intervals of one user are held at once where all are needed together.
    var limit = 500_000
    /// What is asked about users.
    var accounts: AccountLookup.Question = AccountFacts.asked
    var members: AccountLookup.Listing = AccountLookup.listed

    package init(_ question: Question, reader: StoreReader?) {
        self.question = question
        self.reader = reader
        live = LiveSession.sessions(question.live ?? [])
        pseudonyms = question.pseudonyms.flatMap { reader?.pseudonyms(of: $0) }
        chooser = ActivityChooser(question.choice, reader: reader, hidesFolders: question.pseudonyms != nil)
        computer = .present(reader)
        classes = ActivityClasses(question, reader: reader)
    }

    /// Whether users and sessions are told by their names.
    var isByName: Bool { pseudonyms == nil }

    func named(_ session: ReportedSession) -> RowNames {
        let record = session.record
        guard let pseudonyms else {
            return RowNames(
                user: record.user.login, uid: record.user.uid, session: record.id.rawValue, sessionUUID: record.uuid.description)
        }
        return RowNames(user: pseudonyms.name(of: record.user), sessionUUID: pseudonyms.name(of: record.uuid))
    }

    /// Gives `line` one complete line after the other; what it throws ends the answer.
    package func write(_ line: ([UInt8]) throws -> Void) throws {
        if question.pseudonyms != nil, pseudonyms == nil { return }
        try chooser.begin(accounts)
        switch question.kind {
        case .spans:
            try forEachSession { try spans(of: $0, line) }
        case .timeline:
            try forEachSession { try timeline(of: $0, line) }
        case .sessions:
            try forEachSession { session in
                let range = range(of: session)
                var totals = CategoryTimes()
                try forEachChunk(of: session, in: range) { totals += $0.evaluation.totals }
                try line(summary(session, range, totals))
            }
        case .userTimes:
            try userTimes(line)
        case .report:
            try report(line)
        case .history:
            try forEachSession { session in
                // Whole, but by pseudonyms: what is of two months would tell that two names are one user's.
                let range = pseudonyms == nil ? session.life : range(of: session)
                var totals = CategoryTimes()
                try forEachChunk(of: session, in: range) { totals += $0.evaluation.totals }
                try line(history(session, range, totals))
            }
        case .events:
            try forEachSession { session in
                let range = range(of: session)
                for event in SessionHistory(session, events: try events(of: session)).events where isIn(range, event, of: session) {
                    try line(self.line(event, of: session))
                }
            }
        case .records:
            try forEachSession { try records(of: $0, line) }
            // They are of no session.
            if question.filter.id == nil, question.filter.session == nil { try decisions(line) }
        case .users:
            try users(line)
        case .audit:
            try forEachAuditEntry(question.filter) { try line(self.line($0)) }
        case .auditCheck:
            try checkAudit(line)
        case .storeCheck:
            try checkStore(line)
        case .aggregates:
            try aggregates(line)
        case .facts:
            try facts(line)
        case .export:
            try export(line)
        }
    }

    // MARK: Sessions

    /// - Parameter first: those whose rows come later in the store.
    func forEachSession(after first: Int64 = 0, _ each: (ReportedSession) throws -> Void) throws {
        let isHere = chooser.includesComputer(computer)
        if !isHere, question.filter.imported == false { return }
        let isRestricted = question.filter.since != nil || question.filter.until != nil
        // What the store's wall times let through need not lie in the range, where the clock was stepped.
        func body(_ session: ReportedSession) throws {
            guard session.stored?.origin.map({ chooser.includesComputer(Computer(name: $0)) }) ?? isHere else { return }
            guard try chooser.includes(session.record.user) else { return }
            if !isRestricted || range(of: session).length > 0 { try each(session) }
        }
        var seen: Set<UUIDv7> = []
        var row = first
        while let reader {
            let sessions = try reader.sessions(question.filter, after: row, limit: 200)
            for session in sessions {
                if live[session.record.uuid] != nil { seen.insert(session.record.uuid) }
                try body(ReportedSession(stored: session, live: live[session.record.uuid]))
                row = session.row
            }
            if sessions.count < 200 { break }
        }
        // Sessions that are not durable yet.
        if question.filter.imported == true { return }
        for (uuid, session) in live.sorted(by: { $0.key < $1.key }) where !seen.contains(uuid) {
            guard let session = ReportedSession(live: session), passes(session) else { continue }
            var filter = SessionFilter()
            filter.session = uuid
            // It may have become durable after the page was read that it would have been on; then it passed the filter or did not.
            if let reader, let stored = try reader.sessions(filter, after: row, limit: 1).first {
                try body(ReportedSession(stored: stored, live: session.live))
            } else {
                try body(session)
            }
        }
    }

    private func passes(_ session: ReportedSession) -> Bool {
        let filter = question.filter
        let record = session.record
        guard filter.names(record.user) else { return false }
        if let id = filter.id, record.id != id { return false }
        if let uuid = filter.session, record.uuid != uuid { return false }
        if let until = filter.until, let start = session.anchors.wall(at: record.start), start >= until { return false }
        if let since = filter.since, !session.isOpen, let end = session.anchors.wall(at: session.end), end <= since { return false }
        return true
    }

    func range(of session: ReportedSession) -> TimeSpan {
        session.range(since: question.filter.since, until: question.filter.until)
    }

    /// What happens at its very end happens in the range that ends with it.
    private func isIn(_ range: TimeSpan, _ event: SessionHistory.Event, of session: ReportedSession) -> Bool {
        range.start <= event.at && (event.at < range.end || (event.at == range.end && event.at == session.end))
    }

    // MARK: Streams

    struct Chunk {
        /// What had the focus, with the applications that are shown.
        fileprivate(set) var page: FocusPage
        /// The rows that the collector told and that have no end yet.
        fileprivate var open: Set<Int>
        /// Of each of the page's applications in turn how it counts; nil where it is ignored. Of questions about applications alone.
        fileprivate(set) var applications: [ActivityClasses.Shown?]
        var timeline: SessionTimeline
        var evaluation: SessionTimeline.Evaluation

        /// Row by row.
        var focus: some RandomAccessCollection<(record: FocusRecord, isOpen: Bool)> {
            page.indices.lazy.map { (record: page[$0], isOpen: open.contains($0)) }
        }

        func shown(_ index: Int) -> ActivityClasses.Shown? {
            let place = Int(page.places[index])
            if place < 0 { return ActivityClasses.Shown() }
            return applications.isEmpty ? nil : applications[place]
        }

        func focused(_ index: Int) -> Focused { Focused(record: page[index], shown: shown(index)) }
    }

    /// What had the focus, and how it counts; nil where it is ignored, and of questions that are not about applications.
    struct Focused {
        var record: FocusRecord
        var shown: ActivityClasses.Shown?
    }

    /// Cuts a session's range between focus intervals, so that each lies in one chunk, and evaluates chunk by chunk.
    func forEachChunk(of session: ReportedSession, in range: TimeSpan, _ body: (Chunk) throws -> Void) throws {
        guard range.length > 0 else { return }
        try forEachChunk(of: session, changes(of: session), in: range, body)
    }

    /// - Parameter changes: all of the session's.
    func forEachChunk(
        of session: ReportedSession, _ changes: [StateChange], in range: TimeSpan, _ body: (Chunk) throws -> Void
    ) throws {
        guard range.length > 0 else { return }
        var start = range.start
        var after: BootInstant?
        var isLast = false
        while !isLast {
            var rows = FocusPage(of: session.record.uuid)
            var end = range.end
            func read() throws -> (span: TimeSpan, bursts: [TimeSpan], unknown: [TimeSpan]) {
                isLast = true
                if let reader, let stored = session.stored {
                    rows = try reader.focus(of: stored, in: range, after: after, revisions: revisions, limit: page + 1)
                    if rows.count > page, let next = rows.last {
                        // The next chunk begins with it.
                        isLast = false
                        rows.removeLast()
                        end = min(max(start, next.span.start), range.end)
                        after = rows.last?.span.start
                    }
                }
                let span = TimeSpan(start: start, end: end)
                return (span, try bursts(of: session, in: seen(span, of: session)), try unknowns(of: session, in: span))
            }
            let (span, input, unknown) = try reader?.together(read) ?? read()
            var open: Set<Int> = []
            if isLast, revisions == nil {
                // What the store has is where the collector's begins.
                let known = rows.last?.span.start
                for live in session.live?.focus ?? [] where known.map({ live.record.span.start > $0 }) ?? true {
                    if live.isOpen { open.insert(rows.count) }
                    rows.append(live.record)
                }
            }
            var shown: [ActivityClasses.Shown?] = []
            if question.isOfApplications {
                // Here, before anything chooses by it or adds it up: what is withheld can't be found out by a filter.
                shown = try rows.applications.map { try classes.shown($0, of: session.record.user) }
                rows.applications = shown.map { $0?.application }
            }
            let timeline = SessionTimeline(
                span: span, focus: rows.spans, bursts: input, unknown: unknown, changes: changes,
                inputKnown: session.end, told: rows.told)
            try body(
                Chunk(
                    page: rows, open: open, applications: shown, timeline: timeline, evaluation: timeline.evaluate(question.thresholds)))
            start = end
        }
    }

    /// The time of which the input is to be known for a span's categories.
    private func seen(_ span: TimeSpan, of session: ReportedSession) -> TimeSpan {
        let lookahead = question.thresholds.lookahead
        guard lookahead > .zero else { return span }
        let end = min(session.end, span.end.advanced(by: lookahead)).advanced(by: .nanoseconds(1))
        return TimeSpan(start: span.start, end: max(span.end, end))
    }

    func changes(of session: ReportedSession) throws -> [StateChange] { try events(of: session).map(\.change) }

    private func events(of session: ReportedSession) throws -> [SessionEvent] {
        var events: [SessionEvent] = []
        if let reader, let stored = session.stored {
            var row: Int64 = 0
            while true {
                let page = try reader.events(of: stored, after: row, limit: 2000)
                events += page.map(\.event)
                row = page.last?.row ?? row
                if page.count < 2000 { break }
            }
        }
        for event in session.live?.events ?? [] where !events.contains(where: { $0.change == event.change }) { events.append(event) }
        return events
    }

    func bursts(of session: ReportedSession, in span: TimeSpan) throws -> [TimeSpan] {
        try stream(session, session.live?.bursts ?? [], \.start, until: span.end) { reader, stored, after in
            try reader.bursts(of: stored, in: span, after: after, limit: 2000).map { TimeSpan(start: $0.start, end: $0.end) }
        }
    }

    private func unknowns(of session: ReportedSession, in span: TimeSpan) throws -> [TimeSpan] {
        try unknownIntervals(of: session, in: span).map { TimeSpan(start: $0.start, end: $0.end) }
    }

    func unknownIntervals(of session: ReportedSession, in span: TimeSpan) throws -> [UnknownInterval] {
        try stream(session, session.live?.unknowns ?? [], \.start, until: span.end) { reader, stored, after in
            try reader.unknowns(of: stored, in: span, after: after, limit: 2000)
        }
    }

    private func stream<Part>(
        _ session: ReportedSession, _ live: [Part], _ start: KeyPath<Part, BootInstant>, until end: BootInstant,
        _ read: (StoreReader, StoredSession, BootInstant?) throws -> [Part]
    ) throws -> [Part] {
        var result: [Part] = []
        if let reader, let stored = session.stored {
            while true {
                let page = try read(reader, stored, result.last?[keyPath: start])
                result += page
                if page.count < 2000 { break }
            }
        }
        let known = result.last?[keyPath: start]
        return result + live.filter { part in part[keyPath: start] < end && known.map { part[keyPath: start] > $0 } ?? true }
    }

    // MARK: Lines

    private func spans(of session: ReportedSession, _ line: ([UInt8]) throws -> Void) throws {
        let range = range(of: session)
        try forEachChunk(of: session, in: range) { chunk in
            for (index, (record, isOpen)) in chunk.focus.enumerated() where !isOpen || question.includeOpen {
                let span = record.span.clipped(to: range)
                guard span.length > 0 else { continue }
                // One that is cut by the end of the range has an end.
                let isOpen = isOpen && session.isOpen && span.end == session.end
                let times = chunk.evaluation.focus[index]
                guard let shown = chunk.shown(index), chooser.includes(shown), chooser.includes(times) else { continue }
                var json = JSONLine()
                frame(&json, session)
                json.add("start", session.anchors.wall(at: span.start))
                json.add("end", isOpen ? nil : session.anchors.wall(at: span.end))
                json.add("duration", nanoseconds: span.length)
                if question.choice.languages != nil { json.add("description", chooser.description(of: record.application)) }
                add(shown, to: &json)
                json.add("active", nanoseconds: times[.active])
                json.add("passive", nanoseconds: times[.passive])
                json.add("inactive", nanoseconds: times[.inactive])
                json.add("open", isOpen)
                if record.switches > 0 { json.add("switches", record.switches) }
                try line(json.finished())
            }
        }
    }

    private func add(_ shown: ActivityClasses.Shown, to json: inout JSONLine) {
        json.add("executable", executable(shown.application))
        json.add("class", shown.application?.windowClass)
        json.add(shown.columns)
    }

    /// Every moment of a session in the range once. What is ignored is there without its application, so that no time is missing.
    private func timeline(of session: ReportedSession, _ line: ([UInt8]) throws -> Void) throws {
        try forEachChunk(of: session, in: range(of: session)) { chunk in
            for part in chunk.evaluation.parts {
                let shown = part.focus.flatMap { chunk.shown($0) } ?? ActivityClasses.Shown()
                var json = JSONLine()
                frame(&json, session)
                json.add("stack", session.record.stack)
                json.add("start", session.anchors.wall(at: part.span.start))
                json.add("end", session.anchors.wall(at: part.span.end))
                json.add("state", part.category.name)
                add(shown, to: &json)
                try line(json.finished())
            }
        }
    }

    /// The bursts and unknown intervals of a session, as they are stored.
    private func records(of session: ReportedSession, _ line: ([UInt8]) throws -> Void) throws {
        guard let reader, let stored = session.stored else { return }
        let limit = 2000
        var after: BootInstant?
        func json(_ kind: String, _ start: BootInstant, _ end: BootInstant) -> JSONLine {
            var json = JSONLine()
            json.add("record", kind)
            frame(&json, session)
            json.add("start", session.anchors.wall(at: start))
            json.add("end", session.anchors.wall(at: end))
            return json
        }
        while true {
            let bursts = try reader.bursts(of: stored, in: session.life, after: after, limit: limit)
            for burst in bursts {
                var json = json("input", burst.start, burst.end)
                json.add("origin", String(describing: burst.origin))
                try line(json.finished())
            }
            guard bursts.count == limit else { break }
            after = bursts.last?.start
        }
        after = nil
        while true {
            let unknowns = try reader.unknowns(of: stored, in: session.life, after: after, limit: limit)
            for unknown in unknowns {
                var json = json("unknown", unknown.start, unknown.end)
                json.add("reason", unknown.reason.name)
                try line(json.finished())
            }
            guard unknowns.count == limit else { break }
            after = unknowns.last?.start
        }
    }

    /// What was decided about the users that are asked for, since ever.
    private func decisions(_ line: ([UInt8]) throws -> Void) throws {
        var row: Int64 = 0
        while let reader {
            let changes = try reader.policyChanges(after: row, limit: 500)
            for (_, change) in changes {
                guard let user = change.user, question.filter.names(user) else { continue }
                var json = JSONLine()
                json.add("record", "decision")
                json.add("user", user.login)
                json.add("uid", user.uid)
                json.add("time", change.at)
                json.add("key", change.key)
                json.add("value", change.value)
                json.add("by", change.by)
                json.add("reason", change.reason)
                json.add("responsible", change.responsible.isEmpty ? nil : change.responsible)
                try line(json.finished())
            }
            row = changes.last?.row ?? row
            if changes.count < 500 { break }
        }
    }

    // MARK: Audit

    private func forEachAuditEntry(_ filter: SessionFilter, _ each: (StoredAuditEntry) throws -> Void) throws {
        var id: Int64 = 0
        while let reader {
            let entries = try reader.audit(filter, after: id, limit: 500)
            for entry in entries { try each(entry) }
            id = entries.last?.entry.id ?? id
            if entries.count < 500 { break }
        }
    }

    private func line(_ stored: StoredAuditEntry) -> [UInt8] {
        let entry = stored.entry
        var json = JSONLine()
        // One's own view does not tell how much happens about others.
        let isWhole = question.filter.identities == nil
        if isWhole { json.add("id", entry.id) }
        json.add("time", entry.at)
        json.add("by", entry.by)
        json.add("action", entry.action)
        json.add("user", stored.user?.login)
        json.add("user_uuid", entry.user?.description)
        json.add("value", entry.value.isEmpty ? nil : entry.value)
        if isWhole {
            json.add("entry", entry.text)
            json.add("sha256", stored.digest)
        }
        return json.finished()
    }

    private func checkAudit(_ line: ([UInt8]) throws -> Void) throws {
        guard let reader else { return }
        // Who sees a part of the record is told whether all of it is right, and the digest of the last entry of that part: by numbers, and by
        // digests of entries about others, everybody would see how much is decided about these.
        let isWhole = question.filter.identities == nil
        var last: Int64?
        if !isWhole { try forEachAuditEntry(question.filter) { last = $0.entry.id } }
        var digest: String?
        var isKnown = false
        var check = AuditCheck(store: try reader.auditStore())
        try forEachAuditEntry(SessionFilter()) { stored in
            check.add(stored.entry, digest: stored.digest)
            guard check.problem == nil else { return }
            if stored.entry.id == last { digest = stored.digest }
            if stored.digest == question.known { isKnown = true }
            guard isWhole else { return }
            var json = JSONLine()
            json.add("id", stored.entry.id)
            json.add("sha256", stored.digest)
            try line(json.finished())
        }
        var json = JSONLine()
        json.add("store", check.head.store.description)
        if isWhole {
            json.add("entries", check.head.id)
            json.add("problem", check.problem)
        } else {
            json.add("last", digest)
            json.add("problem", check.problem.map { _ in "an entry is missing, or not as it was recorded" })
        }
        if question.known != nil { json.add("known", isKnown) }
        try line(json.finished())
    }

    private func frame(_ json: inout JSONLine, _ session: ReportedSession) {
        add(session.record.user, to: &json)
        // Numbers and UUIDs of sessions everybody sees, with whose they are.
        json.add("session", pseudonyms == nil ? UInt64(session.record.id.rawValue) : nil)
        json.add("session_uuid", pseudonyms?.name(of: session.record.uuid) ?? session.record.uuid.description)
        if let origin = session.stored?.origin { json.add("imported_from", origin) }
    }

    /// Where a session was measured.
    func computer(of session: ReportedSession) -> Computer { session.stored?.origin.map { Computer(name: $0) } ?? computer }

    func add(_ user: UserIdentity, to json: inout JSONLine) {
        json.add("user", pseudonyms?.name(of: user) ?? user.login)
        json.add("uid", pseudonyms == nil ? UInt64(user.uid) : nil)
    }

    /// A program by pseudonym has no folder, which can be somebody's own.
    func executable(_ application: Application?) -> String? {
        guard pseudonyms != nil else { return application?.executable }
        return application?.executable.map { String($0.split(separator: "/").last ?? "") }
    }

    private func summary(_ session: ReportedSession, _ range: TimeSpan, _ totals: CategoryTimes) -> [UInt8] {
        var json = JSONLine()
        frame(&json, session)
        json.add("stack", session.record.stack)
        json.add("start", session.anchors.wall(at: range.start))
        let isOpen = session.isOpen && range.end == session.end
        json.add("end", isOpen ? nil : session.anchors.wall(at: range.end))
        json.add("open", isOpen)
        Self.add(totals, to: &json)
        return json.finished()
    }

    private func history(_ session: ReportedSession, _ range: TimeSpan, _ totals: CategoryTimes) throws -> [UInt8] {
        let history = SessionHistory(session, events: try events(of: session))
        let events = history.events.filter { isIn(range, $0, of: session) }
        func count(_ kind: SessionHistory.Kind) -> Int { events.count { $0.kind == kind } }
        let isWhole = pseudonyms == nil
        // One that goes on after the range has no end in it.
        let isOver = !session.isOpen && range.end == session.end
        var json = JSONLine()
        frame(&json, session)
        json.add("stack", session.record.stack)
        // The moment in the UUID, which everybody sees beside the login.
        json.add("logon", isWhole ? session.record.uuid.created : nil)
        json.add("start", session.anchors.wall(at: range.start))
        json.add("end", isOver ? session.anchors.wall(at: range.end) : nil)
        json.add("open", session.isOpen && range.end == session.end)
        json.add("end_reason", isOver ? session.endReason?.name : nil)
        json.add("connects", count(.connect))
        json.add("disconnects", count(.disconnect))
        json.add("locks", count(.lock))
        json.add("unlocks", count(.unlock))
        json.add("client_addresses", isWhole ? history.addresses : [])
        Self.add(totals, to: &json)
        return json.finished()
    }

    private func line(_ event: SessionHistory.Event, of session: ReportedSession) -> [UInt8] {
        var json = JSONLine()
        frame(&json, session)
        json.add("stack", session.record.stack)
        json.add("time", session.anchors.wall(at: event.at))
        json.add("event", event.kind.name)
        json.add("client_address", event.clientAddress.isEmpty || pseudonyms != nil ? nil : event.clientAddress)
        json.add("client_name", event.clientName.isEmpty || pseudonyms != nil ? nil : event.clientName)
        let reason = event.kind == .logoff ? session.endReason?.name : nil
        json.add("reason", reason)
        return json.finished()
    }

    static func add(_ totals: CategoryTimes, to json: inout JSONLine) {
        json.add("total", nanoseconds: totals.total)
        json.add("suspended", nanoseconds: totals[.suspended])
        json.add("paused", nanoseconds: totals[.paused])
        json.add("unknown", nanoseconds: totals[.unknown])
        json.add("disconnected", nanoseconds: totals[.disconnected])
        json.add("locked", nanoseconds: totals[.locked])
        json.add("active", nanoseconds: totals[.active])
        json.add("passive", nanoseconds: totals[.passive])
        json.add("inactive", nanoseconds: totals[.inactive])
    }

    // MARK: Users

    private struct UserBoot: Hashable {
        var user: UserIdentity
        var boot: ID128?
    }

    /// What a page's users are looked up by; of the store, and logged on or not.
    private struct UserRow {
        var identity: UserIdentity
        var stored: StoredUser?
        var isPresent: Bool
    }

    private func users(_ line: ([UInt8]) throws -> Void) throws {
        let policy = try reader?.policy() ?? Policy()
        let own = question.users.group.flatMap { OwnGroup($0) }
        if let own, !policy.ownGroups.has(own) { throw ReportError(reason: "There is no group \(own).", isNotFound: true) }
        var accounts = AccountLookup(accounts, groups: own == nil ? [question.users.group].compactMap(\.self) : [])
        func tell(_ rows: [UserRow]) throws {
            let told = try accounts.facts(of: rows.map(\.identity), mustKnow: question.users.asksDatabase) { try line([]) }
            for row in rows {
                let facts = told[row.identity] ?? AccountFacts()
                let isInGroup = own.map { policy.ownGroups.groups(of: row.identity).contains($0) } ?? !facts.groups.isEmpty
                // Nothing holds for one whose login or uid is another's by now.
                let standing =
                    row.stored?.isCurrent == false
                    ? nil : policy.standing(of: row.identity, sids: question.sids[row.identity] ?? [], decision: row.stored?.decision)
                let user = ListedUser(
                    logins: row.stored?.logins ?? [row.identity.login], name: facts.name,
                    domains: facts.domains(of: row.identity.login, logins: row.stored?.logins ?? []), isTracked: standing?.isTracked,
                    isLoggedOn: row.isPresent || row.stored?.isOpen == true, lastSeen: row.stored?.lastSeen,
                    sessions: row.stored?.sessions ?? 0, isInGroup: isInGroup)
                // Nobody is passed over of whom it is not known.
                if let domain = question.users.domain, facts.mayHaveOthers, !user.domains.contains(domain.lowercased()) {
                    throw AccountLookup.silence
                }
                if question.users.selects(user) { try line(self.line(row, user, decidedBy: standing?.basis)) }
            }
        }
        var present = Set(question.present.filter(question.filter.names))
        // Of a group also those who were never here: a selection is to have all of it.
        var unseen: Set<UserIdentity> = []
        if let own {
            unseen = Set(policy.ownGroups.members.filter { $0.group == own }.map(\.user))
        } else if question.users.group != nil {
            unseen = try accounts.members(members) { try line([]) }
        }
        unseen = unseen.filter(question.filter.names)
        var row: Int64 = 0
        while let reader {
            let users = try reader.users(question.filter, after: row, limit: Self.usersAtOnce)
            row = users.last?.row ?? row
            try tell(
                users.map { user in
                    if user.isCurrent || own != nil { unseen.remove(user.identity) }
                    let isPresent = user.isCurrent && present.remove(user.identity) != nil
                    return UserRow(identity: user.identity, stored: user, isPresent: isPresent)
                })
            if users.count < Self.usersAtOnce { break }
        }
        // Of whom nothing is recorded.
        let rest = present.union(unseen).sorted { ($0.uid, $0.login) < ($1.uid, $1.login) }
        for start in stride(from: 0, to: rest.count, by: Self.usersAtOnce) {
            try tell(
                rest[start..<min(start + Self.usersAtOnce, rest.count)].map {
                    UserRow(identity: $0, stored: nil, isPresent: present.contains($0))
                })
        }
    }

    private static let usersAtOnce = 50

    private func line(_ row: UserRow, _ user: ListedUser, decidedBy basis: Policy.Basis?) -> [UInt8] {
        let decision = row.stored?.decision
        var json = JSONLine()
        json.add("user", row.identity.login)
        json.add("name", user.name)
        json.add("uid", row.identity.uid)
        json.add("logins", user.logins)
        json.add("domains", user.domains)
        json.add("tracked", user.isTracked)
        json.add("decided_by", basis?.rawValue)
        json.add("decision", decision.map { $0.tracked ? "tracked" : "untracked" })
        json.add("level", decision?.level.name)
        json.add("since", decision?.since)
        json.add("first_seen", row.stored?.firstSeen)
        json.add("last_seen", user.isLoggedOn ? nil : user.lastSeen)
        json.add("open", user.isLoggedOn)
        json.add("sessions", user.sessions)
        json.add("seat", user.hasSeat)
        return json.finished()
    }

    private func userTimes(_ line: ([UInt8]) throws -> Void) throws {
        try forEachUser { user, sessions, totals in
            var json = JSONLine()
            add(user, to: &json)
            json.add("sessions", sessions.count)
            let first = sessions.min { range(of: $0).start < range(of: $1).start }
            let last = sessions.max { range(of: $0).end < range(of: $1).end }
            json.add("start", first.flatMap { $0.anchors.wall(at: range(of: $0).start) })
            json.add("end", last.flatMap { $0.anchors.wall(at: range(of: $0).end) })
            json.add("open", sessions.contains { $0.isOpen && range(of: $0).end == $0.end })
            Self.add(totals, to: &json)
            try line(json.finished())
        }
    }

    /// Each user's own time over concurrent sessions, once for each boot.
    private func forEachUser(_ body: (UserIdentity, [ReportedSession], CategoryTimes) throws -> Void) throws {
        for (user, sessions) in try usersSessions() {
            var totals = CategoryTimes()
            try forEachOwnPart(of: sessions) { part, _ in totals.add(part.span.length, to: part.category) }
            try body(user, sessions, totals)
        }
    }

    /// The sessions of each user and boot by their UUIDs, in the order in which the first of them became known.
    func usersSessions() throws -> [(user: UserIdentity, sessions: [ReportedSession])] {
        var groups: [UserBoot: [ReportedSession]] = [:]
        var order: [UserBoot] = []
        // Sessions that are not durable yet are of the boot that the collector runs in.
        var currentBoot: ID128?
        try forEachSession { session in
            if session.live != nil { currentBoot = session.stored?.boot ?? currentBoot }
            let key = UserBoot(user: session.record.user, boot: session.stored?.boot ?? currentBoot)
            if groups[key] == nil { order.append(key) }
            groups[key, default: []].append(session)
        }
        return order.map { key in (key.user, (groups[key] ?? []).sorted { $0.record.uuid < $1.record.uuid }) }
    }

    /// The user's own time in the order of time, part by part, each with what had the focus. Only of sessions that exist at one time is all held at once.
    ///
    /// - Parameters:
    ///   - sessions: of one user and boot.
    ///   - chunk: is given what they are made of, each session's by itself.
    func forEachOwnPart(
        of sessions: [ReportedSession], chunk visit: (Chunk) throws -> Void = { _ in },
        _ body: (UserTimeline.Part, Focused?) throws -> Void
    ) throws {
        for group in concurrent(sessions) {
            if group.count == 1 {
                try forEachChunk(of: group[0], in: range(of: group[0])) { chunk in
                    try visit(chunk)
                    for part in chunk.evaluation.parts {
                        let own = UserTimeline.Part(span: part.span, category: part.category, session: 0, focus: part.focus)
                        try body(own, part.focus.map { chunk.focused($0) })
                    }
                }
                continue
            }
            var timelines: [SessionTimeline] = []
            var focused: [[Focused]] = []
            var count = 0
            for session in group {
                let range = range(of: session)
                var whole = SessionTimeline(span: range, inputKnown: session.end)
                var focus: [Focused] = []
                try forEachChunk(of: session, in: range) { chunk in
                    try visit(chunk)
                    // A chunk repeats the burst and unknown interval that reach into it.
                    whole.focus += chunk.timeline.focus
                    let told = chunk.timeline.told
                    whole.told += told.isEmpty ? Array(repeating: nil, count: chunk.timeline.focus.count) : told
                    whole.bursts += chunk.timeline.bursts.filter { burst in whole.bursts.last.map { burst.start > $0.start } ?? true }
                    whole.unknown += chunk.timeline.unknown
                    whole.changes = chunk.timeline.changes
                    focus += chunk.page.indices.map { chunk.focused($0) }
                    count += chunk.timeline.focus.count + chunk.timeline.bursts.count
                    if count > limit { throw ReportError(reason: "too many intervals for one answer; ask about a shorter time") }
                }
                timelines.append(whole)
                focused.append(focus)
            }
            for part in UserTimeline(sessions: timelines).evaluate(question.thresholds).parts {
                try body(part, part.focus.map { focused[part.session][$0] })
            }
        }
    }

    /// Those together of which one exists while another does, in the order of time, each by their UUIDs.
    private func concurrent(_ sessions: [ReportedSession]) -> [[ReportedSession]] {
        var groups: [[ReportedSession]] = []
        var end = BootInstant.zero
        let spans = sessions.map { ($0, range(of: $0)) }.filter { $0.1.length > 0 }
        for (session, range) in spans.sorted(by: { $0.1.start < $1.1.start }) {
            if range.start < end, !groups.isEmpty { groups[groups.count - 1].append(session) } else { groups.append([session]) }
            end = max(end, range.end)
        }
        return groups.map { $0.sorted { $0.record.uuid < $1.record.uuid } }
    }

    // MARK: Aggregates

    /// What is to be fixed before it is told: the months that are asked for and of which nothing was told. None while the members of a group
    /// are not known, since what is left out now could be made out of both later.
    package func newTables(isStopping: () -> Bool = { false }) throws -> [CalendarMonth: AggregateTable] {
        guard let aggregation = question.aggregation, let groups = aggregation.knownGroups else { return [:] }
        var tables: [CalendarMonth: AggregateTable] = [:]
        for month in try months(aggregation) where aggregation.fixed[month] == nil {
            var times: [UserIdentity: CategoryTimes] = [:]
            // By days, since one user may have as many rows in each as the limit allows.
            for number in month.first.number..<month.next.first.number {
                var day = self
                day.question.filter.since = aggregation.calendar.moment(CalendarDay(number: number), 0)
                day.question.filter.until = aggregation.calendar.moment(CalendarDay(number: number + 1), 0)
                try day.forEachUser { user, _, totals in
                    times[user, default: CategoryTimes()] += totals
                    if isStopping() { throw ReportError(reason: "the service is stopping") }
                }
            }
            tables[month] = AggregateTable(times, groups: groups, minimum: aggregation.minimum)
        }
        return tables
    }

    /// Of older ones nothing is told: a clock that was wrong once is no history of decades.
    private static let mostMonths = 60

    private func months(_ aggregation: Aggregation) throws -> [CalendarMonth] {
        // In the order in which they became known.
        guard let session = try reader?.sessions(SessionFilter(), limit: 1).first,
            let beginning = session.anchors.wall(at: session.record.start)
        else { return [] }
        let months = AggregateMonths(aggregation.calendar, now: aggregation.now).told(from: beginning, kept: aggregation.kept)
        return months.suffix(Self.mostMonths).filter { $0 == aggregation.month ?? $0 }
    }

    private func aggregates(_ line: ([UInt8]) throws -> Void) throws {
        guard let aggregation = question.aggregation else { return }
        for month in try months(aggregation) {
            for (row, reason) in aggregation.rows(of: month) {
                var json = JSONLine()
                json.add("period", month.description)
                json.add("group", row.group)
                json.add("users", row.figures?.users)
                json.add("active", row.figures?.active)
                json.add("passive", row.figures?.passive)
                json.add("inactive", row.figures?.inactive)
                json.add("connected", row.figures?.connected)
                json.add("active_share", row.figures?.activeShare)
                json.add("withheld", reason?.rawValue)
                try line(json.finished())
            }
        }
    }
}

/// Why an answer ends early, as its last line says it.
package struct ReportError: Error, CustomStringConvertible {
    package var reason: String
    /// What is asked for does not exist.
    package var isNotFound = false

    package var description: String { reason }

    /// The last line of an answer that failed.
    package var line: [UInt8] {
        var json = JSONLine()
        json.add("error", reason)
        if isNotFound { json.add("not_found", true) }
        return json.finished()
    }
}
