import TermspanCore

/// Reads the rows that `export jsonl` and `export csv` write.
package struct ImportRows {
    package enum Format: Sendable { case jsonl, csv }

    private let format: Format
    /// Whose they are to be, of whom the file has one name alone; nil: as the file has it.
    private let user: String?
    private var columns: [String]
    private var hasHeader = false
    /// Whose the file's are.
    private var named: String?
    private var chain: Chain?

    /// Of a file that goes on after a cursor, which has no header; what is behind them is passed over.
    private static let columns = [
        "user", "uid", "session", "session_uuid", "computer", "imported", "start", "end", "duration", "description", "executable", "class",
        "active", "passive", "inactive", "switches",
    ]

    package init(_ format: Format, user: String? = nil) {
        self.format = format
        self.user = user
        columns = Self.columns
    }

    /// Goes through a whole file.
    package mutating func read(_ source: inout ImportSource, _ writer: inout ImportWriter) throws(CommandError) {
        var isFirst = true
        while true {
            let line = source.line
            guard let content = try source.nextLine() else { break }
            defer { isFirst = false }
            if content.isEmpty { continue }
            let cells: [String: JSONValue]
            switch format {
            case .jsonl:
                guard case .object(let members) = JSONValue(content) else { throw source.error("It is no JSON object", line: line) }
                cells = Dictionary(members.map { ($0.key, $0.value) }) { first, _ in first }
            case .csv:
                guard let text = String(validating: content, as: UTF8.self), let row = CSVLine.cells(text) else {
                    throw source.error("It is no row of CSV", line: line)
                }
                if isFirst, row.contains("session_uuid") {
                    columns = row
                    hasHeader = true
                    continue
                }
                guard row.count == columns.count || (row.count > columns.count && (!hasHeader || columns == Self.columns)) else {
                    throw source.error("It has \(row.count) columns and not \(columns.count)", line: line)
                }
                cells = Dictionary(zip(columns, row.map { JSONValue.string($0) })) { first, _ in first }
            }
            try add(cells, &source, &writer, line)
        }
        try flush(source, &writer)
    }

    private mutating func add(
        _ cells: [String: JSONValue], _ source: inout ImportSource, _ writer: inout ImportWriter, _ line: Int
    ) throws(CommandError) {
        func text(_ key: String) -> String? {
            guard let text = cells[key]?.string, !text.isEmpty else { return nil }
            return text
        }
        func length(_ key: String) throws(CommandError) -> UInt64 {
            let value = format == .csv ? text(key).flatMap { ImportText.length($0) } : ImportText.length(cells[key])
            guard let value else { throw source.error("'\(key)' is no number of seconds that can be", line: line) }
            return value
        }
        func number(_ key: String) -> UInt32? {
            (format == .csv ? text(key).flatMap { UInt64($0) } : cells[key]?.unsigned).flatMap { UInt32(exactly: $0) }
        }
        guard let login = text("user"), login.utf8.count <= ImportLimit.login else { throw source.error("It names no user", line: line) }
        if user != nil, let named, named != login {
            throw source.error("It is of \(login), and rows before of \(named): --user is for files of one user", line: line)
        }
        named = login
        guard let uuid = text("session_uuid").flatMap({ UUIDv7($0) }) else {
            throw source.error("'session_uuid' is none: rows by pseudonyms can't be imported", line: line)
        }
        guard let computer = text("computer"), computer.utf8.count <= ImportLimit.computer else {
            throw source.error("It names no computer", line: line)
        }
        guard let start = text("start").flatMap({ ImportText.moment($0) }), let end = text("end").flatMap({ ImportText.moment($0) }) else {
            throw source.error("'start' or 'end' is no moment as 2026-01-02T03:04:05.678Z", line: line)
        }
        let duration = try length("duration")
        let told = ToldTimes(active: try length("active"), passive: try length("passive"), inactive: try length("inactive"))
        guard duration > 0, let sum = told.sum, sum <= duration else {
            throw source.error("'active', 'passive' and 'inactive' are more than 'duration', or that is nothing", line: line)
        }
        let session = ImportRecord.Session(uuid: uuid, number: number("session") ?? 0, login: user ?? login, computer: computer)
        if chain?.session != session { try flush(source, &writer) }
        let (executable, windowClass) = (text("executable"), text("class"))
        let application: UInt32? =
            executable == nil && windowClass == nil
            ? nil : try writer.number(executable: executable, windowClass: windowClass, source)
        let activity = ImportRecord.Activity(
            start: start, length: duration, application: application, switches: number("switches") ?? 0, told: told)
        var chain = self.chain ?? Chain(session: session)
        guard let ready = chain.add(activity, end: end) else {
            throw source.error("It begins before the row before it does, as where a clock was set back", line: line)
        }
        if chain.wasCut { writer.note("activities were cut where the next one began") }
        self.chain = chain
        for activity in ready { try emit(activity, session, source, &writer) }
    }

    private mutating func flush(_ source: ImportSource, _ writer: inout ImportWriter) throws(CommandError) {
        guard let chain, let last = chain.held else { return }
        self.chain = nil
        try emit(last, chain.session, source, &writer)
    }

    /// An activity, and its active time as input from its beginning on: where in it there was some is not in the file.
    private func emit(
        _ activity: ImportRecord.Activity, _ session: ImportRecord.Session, _ source: ImportSource, _ writer: inout ImportWriter
    ) throws(CommandError) {
        try writer.add(.activity(activity), to: session, source)
        if let active = activity.told?.active, active > 0 {
            try writer.add(.input(start: activity.start, length: active), to: session, source)
        }
    }

    /// The activities of one session, of which the last waits for the next. Files have moments in microseconds and lengths in nanoseconds: what
    /// followed another without a hole does so again.
    struct Chain {
        let session: ImportRecord.Session
        private(set) var held: ImportRecord.Activity?
        private(set) var wasCut = false

        init(session: ImportRecord.Session) { self.session = session }

        /// - Returns: what is ready; nil if it begins before the one before it does.
        mutating func add(_ next: ImportRecord.Activity, end: WallInstant) -> [ImportRecord.Activity]? {
            var next = next
            wasCut = false
            guard var last = held else {
                Self.fit(&next, end)
                held = next
                return []
            }
            let told = next.start.nanoseconds
            guard told >= last.start.nanoseconds - last.start.nanoseconds % 1000 else { return nil }
            let lastEnd = last.start.nanoseconds + Int64(last.length)
            if lastEnd > told, lastEnd - told < 1000 { next.start = WallInstant(nanoseconds: lastEnd) }
            Self.fit(&next, end)
            if lastEnd > next.start.nanoseconds {
                wasCut = true
                last.cut(to: UInt64(max(0, next.start.nanoseconds - last.start.nanoseconds)))
            }
            held = next
            return last.length > 0 ? [last] : []
        }

        /// Has it end in the microsecond in which it is said to.
        private static func fit(_ activity: inout ImportRecord.Activity, _ end: WallInstant) {
            let missing = end.nanoseconds - (activity.start.nanoseconds + Int64(activity.length))
            if missing > 0, missing < 1000 { activity.start = WallInstant(nanoseconds: activity.start.nanoseconds + missing) }
        }
    }
}

extension ImportRecord.Activity {
    /// Makes it shorter: what was no category's goes first, then inactive, passive and active time.
    mutating func cut(to length: UInt64) {
        guard length < self.length else { return }
        self.length = length
        guard var times = told else { return }
        times.active = min(times.active, length)
        times.passive = min(times.passive, length - times.active)
        times.inactive = min(times.inactive, length - times.active - times.passive)
        told = times
    }
}

/// A row of CSV (RFC 4180) that is a line, as exports write it.
enum CSVLine {
    /// Nil where quotes are not closed, or stand within a cell.
    static func cells(_ line: String) -> [String]? {
        var cells: [String] = []
        var cell: [UInt8] = []
        var (isQuoted, wasQuoted) = (false, false)
        var iterator = line.utf8.makeIterator()
        var next = iterator.next()
        while let byte = next {
            next = iterator.next()
            if isQuoted {
                if byte != UInt8(ascii: "\"") {
                    cell.append(byte)
                } else if next == UInt8(ascii: "\"") {
                    cell.append(byte)
                    next = iterator.next()
                } else {
                    (isQuoted, wasQuoted) = (false, true)
                }
            } else if byte == UInt8(ascii: ",") {
                cells.append(text(cell))
                cell = []
                wasQuoted = false
            } else if byte == UInt8(ascii: "\"") {
                guard cell.isEmpty, !wasQuoted else { return nil }
                isQuoted = true
            } else {
                if wasQuoted { return nil }
                cell.append(byte)
            }
        }
        if isQuoted { return nil }
        cells.append(text(cell))
        return cells
    }

    /// Without the apostrophe that keeps spreadsheets from computing it.
    private static func text(_ cell: [UInt8]) -> String {
        let isGuarded = cell.first == UInt8(ascii: "'") && cell.count > 1 && "=+-@\t ".utf8.contains(cell[1])
        return String(decoding: isGuarded ? cell[1...] : cell[...], as: UTF8.self)
    }
}
