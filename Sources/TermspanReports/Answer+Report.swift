import TermspanAccounting
import TermspanCore
import TermspanStore

// Reports: worked out from the intervals, session by session, so that thresholds, zones and clocks may be any. What is held is the rows.

extension Answer {
    /// Whose and of what a row is.
    private struct RowKey: Hashable {
        var user: UserIdentity?
        var group: String?
        var period: WallInstant?
        var subject = ReportSubject()
    }

    func report(_ line: ([UInt8]) throws -> Void) throws {
        let shape = question.report
        let own = try reader?.policy().ownGroups ?? OwnGroups()
        let names = shape.groups.isEmpty && shape.by.isByGroup ? Set(own.members.map(\.group.description)).sorted() : shape.groups
        if names.isEmpty, shape.by.isByGroup {
            throw ReportError(reason: "there are no groups of Termspan's own; name groups of the system")
        }
        let members = names.isEmpty ? nil : GroupMembers(names, own, accounts)
        try members?.check()
        func groups(of user: UserIdentity) throws -> [String] { try members?.names(of: user) ?? [] }
        func includes(_ user: UserIdentity) throws -> Bool { try members == nil || !groups(of: user).isEmpty }
        // One application by its executable, however its windows are called; without one by the class.
        var subjects = ReportSubjects(by: shape.by, chooser) { application in
            let path = executable(application)
            return Application(executable: path, windowClass: path == nil ? application.windowClass : nil)
        }
        var rows: [RowKey: ReportFigures] = [:]
        func add(_ stream: ReportStream, of user: UserIdentity) throws {
            var stream = stream
            stream.finish()
            let whose: [RowKey] =
                switch shape.by.whose {
                case .users: [RowKey(user: user)]
                case .groups: try groups(of: user).map { RowKey(group: $0) }
                case .everybody: [RowKey()]
                }
            for (row, figures) in stream.rows {
                if question.choice.choosesApplications, row.subject == nil { continue }
                for var key in whose {
                    key.period = row.period
                    key.subject = row.subject.map { subjects.all[$0] } ?? ReportSubject()
                    rows[key, default: ReportFigures()] += figures
                }
            }
            if rows.count > limit {
                throw ReportError(reason: "too many rows for one answer; ask about a shorter time, or by fewer things")
            }
            // So that it ends where nobody reads any more.
            try line([])
        }
        func stream(_ session: ReportedSession) -> ReportStream {
            ReportStream(
                session.anchors, question.calendar, period: shape.by.period, isBySubject: isBySubject)
        }
        func focus(_ focused: Focused, of user: UserIdentity) -> ReportStream.Focus {
            let record = focused.record
            let numbers = record.application.map { subjects.numbers(of: $0, focused.shown, of: user) }
            return ReportStream.Focus(
                start: record.span.start, application: numbers?.application, subject: numbers?.subject, switches: record.switches)
        }
        if shape.isOwnTime {
            for (user, sessions) in try usersSessions() where try includes(user) {
                guard let last = sessions.max(by: { $0.anchors.anchors.count < $1.anchors.anchors.count }) else { continue }
                var stream = stream(last)
                try forEachOwnPart(of: sessions) { part, focused in
                    stream.add(part.span, part.category, focused.map { focus($0, of: user) })
                }
                try add(stream, of: user)
            }
        } else {
            try forEachSession { session in
                guard try includes(session.record.user) else { return }
                var stream = stream(session)
                try forEachChunk(of: session, in: range(of: session)) { chunk in
                    let numbers = zip(chunk.page.applications, chunk.applications).map { application, shown in
                        application.map { subjects.numbers(of: $0, shown, of: session.record.user) }
                    }
                    for part in chunk.evaluation.parts {
                        let focus = part.focus.map { index in
                            let place = Int(chunk.page.places[index])
                            let number = place < 0 ? nil : numbers[place]
                            return ReportStream.Focus(
                                start: chunk.page.spans[index].start, application: number?.application, subject: number?.subject,
                                switches: chunk.page.switches[index])
                        }
                        stream.add(part.span, part.category, focus)
                    }
                }
                try add(stream, of: session.record.user)
            }
        }
        func name(_ key: RowKey) -> String { key.group ?? key.user?.login ?? "" }
        func subject(_ key: RowKey) -> (String, String, String, Int) {
            let subject = key.subject
            return (
                subject.application?.executable ?? subject.application?.windowClass ?? "", subject.category ?? "",
                subject.productivity?.rawValue ?? "", subject.isBusiness.map { $0 ? 1 : 2 } ?? 0
            )
        }
        let order = rows.keys.sorted { one, other in
            if name(one) != name(other) { return name(one) < name(other) }
            if one.user?.uid != other.user?.uid { return (one.user?.uid ?? 0) < (other.user?.uid ?? 0) }
            if one.period != other.period { return one.period.map { period in other.period.map { period < $0 } ?? false } ?? true }
            let active = (rows[one]?.times[.active] ?? 0, rows[other]?.times[.active] ?? 0)
            return active.0 != active.1 ? active.0 > active.1 : subject(one) < subject(other)
        }
        for key in order {
            guard let figures = rows[key] else { continue }
            try line(self.line(key, figures))
        }
    }

    /// Whether rows are of what had the focus, or of some of it.
    private var isBySubject: Bool { question.report.by.isBySubject || question.choice.choosesApplications }

    private func line(_ key: RowKey, _ figures: ReportFigures) -> [UInt8] {
        let shape = question.report
        let application = key.subject.application
        var json = JSONLine()
        if let user = key.user {
            add(user, to: &json)
        } else {
            json.add("user", String?.none)
            json.add("uid", UInt64?.none)
        }
        json.add("group", key.group)
        let period = key.period.flatMap { start in shape.by.period.map { ($0, start) } }
        json.add("period", period.map { $0.0.name($0.1, question.calendar) })
        json.add("start", period?.1)
        json.add("end", period.map { $0.0.range(of: $0.1, question.calendar).upperBound })
        if question.choice.languages != nil { json.add("description", application.flatMap { chooser.description(of: $0) }) }
        json.add("executable", application?.executable)
        json.add("class", application?.windowClass)
        json.add("category", key.subject.category)
        json.add("productivity", key.subject.productivity?.rawValue)
        json.add("business", key.subject.isBusiness)
        json.add("first_activity", figures.first)
        json.add("last_activity", figures.last)
        Self.add(figures.times, to: &json)
        json.add("focus", nanoseconds: figures.focus)
        json.add("longest_focus", nanoseconds: figures.longestFocus)
        json.add("switches", figures.switches)
        if let tenths = figures.switchRate {
            json.add("switches_per_hour", nanoseconds: UInt64(clamping: UInt128(tenths) * 100_000_000))
        } else {
            json.add("switches_per_hour", UInt64?.none)
        }
        // Of one application there are none.
        let hasBreaks = !isBySubject
        json.add("breaks", hasBreaks ? figures.breaks : UInt64?.none)
        if hasBreaks { json.add("break_time", nanoseconds: figures.breakTime) } else { json.add("break_time", UInt64?.none) }
        return json.finished()
    }
}
