package import TermspanCore

/// A day of some sessions, made of the rows of `Timeline`: pure, to be drawn in a terminal or as SVG.
package struct DayTimeline: Sendable {
    package struct Part: Hashable, Sendable {
        package var start: WallInstant
        package var end: WallInstant
        /// active, passive and so on.
        package var state: String
        /// What is shown of the application; empty where there is none.
        package var application: String
    }

    package struct Session: Hashable, Sendable {
        package var uuid: String
        /// `alice, session 3 (xrdp)`
        package var name: String
        package fileprivate(set) var parts: [Part] = []
    }

    /// From midnight to midnight in local time: 23 to 25 hours.
    package let start: WallInstant
    package let end: WallInstant
    package private(set) var sessions: [Session] = []

    /// How many applications have a colour of their own; the others share one.
    package static let mostApplications = 8

    package init(start: WallInstant, end: WallInstant) {
        self.start = start
        self.end = end
    }

    /// In nanoseconds.
    package var length: Int64 { max(1, end.nanoseconds - start.nanoseconds) }

    /// Adds a row of `Timeline`; those of a session follow one another.
    package mutating func add(_ row: JSONValue) {
        func moment(_ key: String) -> WallInstant? { row[key]?.string.flatMap { TimeText.parse($0, now: start) } }
        guard let from = moment("start"), let to = moment("end"), let state = row["state"]?.string else { return }
        let part = Part(start: max(from, start), end: min(to, end), state: state, application: SpanTable.application(row))
        guard part.start < part.end else { return }
        let uuid = row["session_uuid"]?.string ?? ""
        if sessions.last?.uuid != uuid {
            let number = row["session"]?.unsigned.map { ", session \($0)" } ?? ""
            let stack = row["stack"]?.string.map { " (\($0))" } ?? ""
            sessions.append(Session(uuid: uuid, name: (row["user"]?.string ?? "") + number + stack))
        }
        sessions[sessions.count - 1].parts.append(part)
    }

    /// Nanoseconds by state, in the order of all, without those that there are none of.
    package var states: [(name: String, time: Int64)] {
        let times = times { $0.state }
        return SummaryTable.categories.compactMap { name in times[name].map { (name, $0) } }
    }

    /// Nanoseconds by application, the longest first; those of the rest together under an empty name.
    package var applications: [(name: String, time: Int64)] {
        let all = times { $0.application.isEmpty ? nil : $0.application }.sorted { ($1.value, $0.key) < ($0.value, $1.key) }
        let named = all.prefix(Self.mostApplications).map { (name: $0.key, time: $0.value) }
        let rest = all.dropFirst(Self.mostApplications).reduce(0) { $0 + $1.value }
        return named + (rest > 0 ? [("", rest)] : [])
    }

    private func times(_ key: (Part) -> String?) -> [String: Int64] {
        var times: [String: Int64] = [:]
        for session in sessions {
            for part in session.parts {
                if let key = key(part) { times[key, default: 0] += part.end.nanoseconds - part.start.nanoseconds }
            }
        }
        return times
    }

    /// The day cut into `count` cells of one length: of each the key that has most of it; nil where none has any.
    package func cells(_ session: Session, _ count: Int, by key: (Part) -> Int?) -> [Int?] {
        var times = [[Int: Int64]](repeating: [:], count: max(0, count))
        func edge(_ cell: Int) -> Int64 { start.nanoseconds + Int64((Double(length) * Double(cell) / Double(count)).rounded()) }
        for part in session.parts {
            guard let key = key(part) else { continue }
            let offset = Double(part.start.nanoseconds - start.nanoseconds) / Double(length)
            var cell = max(0, min(count - 1, Int(offset * Double(count)) - 1))
            while cell < count, edge(cell) < part.end.nanoseconds {
                let overlap = min(part.end.nanoseconds, edge(cell + 1)) - max(part.start.nanoseconds, edge(cell))
                if overlap > 0 { times[cell][key, default: 0] += overlap }
                cell += 1
            }
        }
        return times.map { cell in cell.max { ($0.value, $1.key) < ($1.value, $0.key) }?.key }
    }

    /// Rows of cells that are alike and follow one another.
    package static func runs(_ cells: [Int?]) -> [(range: Range<Int>, key: Int)] {
        var runs: [(range: Range<Int>, key: Int)] = []
        for (index, cell) in cells.enumerated() {
            guard let cell else { continue }
            if let last = runs.last, last.key == cell, last.range.upperBound == index {
                runs[runs.count - 1].range = last.range.lowerBound..<index + 1
            } else {
                runs.append((index..<index + 1, cell))
            }
        }
        return runs
    }

    /// The full hours, with the share of the day that is before them and what local clocks say: an hour may be missing, or be there twice.
    package var hours: [(share: Double, hour: Int)] {
        var hours: [(share: Double, hour: Int)] = []
        let quarter: Int64 = 900_000_000_000
        var moment = start
        while moment <= end {
            let (hour, minute) = TimeText.clock(moment)
            // Some zones change by half an hour.
            if minute == 0 {
                hours.append((Double(moment.nanoseconds - start.nanoseconds) / Double(length), moment == end && hour == 0 ? 24 : hour))
            }
            moment = moment.advanced(by: .nanoseconds(quarter))
        }
        return hours
    }

    /// Which key of `states` a part has.
    package static func state(_ part: Part) -> Int? { SummaryTable.categories.firstIndex(of: part.state) }
}
