package import TermspanAccounting
package import TermspanCore

/// Focus intervals of one session, in order. Each application is held once, so that nothing counts references for each row.
package struct FocusPage: RandomAccessCollection, Sendable {
    /// An interval without its application: that one's place among `applications`, -1 where no window had the focus.
    private struct Row {
        var span: TimeSpan
        var application: Int32
        var switches: UInt32
    }

    private let session: UUIDv7
    private var rows: [Row] = []
    /// Of each row in turn what it counts as, of imported sessions; else empty.
    package private(set) var told: [ToldTimes?] = []
    /// What had the focus. One that is set to nil is none in all rows.
    package var applications: [Application?] = []
    /// The places of applications by their rows in the store, and those last looked up by the end of their number.
    private var places: [Int64: Int32] = [:]
    private var recent = InlineArray<64, (row: Int64, place: Int32)>(repeating: (-1, -1))

    package init(of session: UUIDv7, capacity: Int = 0) {
        self.session = session
        rows.reserveCapacity(capacity)
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { rows.count }

    package subscript(position: Int) -> FocusRecord {
        let row = rows[position]
        return FocusRecord(
            session: session, span: row.span, application: row.application < 0 ? nil : applications[Int(row.application)],
            switches: row.switches, told: told.isEmpty ? nil : told[position])
    }

    package func span(_ position: Int) -> TimeSpan { rows[position].span }

    /// The place among `applications`; nil where no window had the focus.
    package func application(_ position: Int) -> Int? { rows[position].application < 0 ? nil : Int(rows[position].application) }

    /// How many changes were folded into it.
    package func switches(_ position: Int) -> UInt32 { rows[position].switches }

    /// - Parameters:
    ///   - id: the application's row in the store; 0 where no window had the focus.
    ///   - application: what a row of the store is; nil for one that there is not.
    mutating func append(
        _ span: TimeSpan, application id: Int64, switches: UInt32, told times: ToldTimes?, _ application: (Int64) throws -> Application?
    ) rethrows {
        var place: Int32 = -1
        if id != 0 {
            let slot = Int(truncatingIfNeeded: id & 63)
            if recent[slot].row == id {
                place = recent[slot].place
            } else {
                place = try places[id] ?? add(application(id))
                places[id] = place
                recent[slot] = (id, place)
            }
        }
        append(Row(span: span, application: place, switches: switches), times)
    }

    /// One that is not in the store.
    package mutating func append(_ record: FocusRecord) {
        var place: Int32 = -1
        if let application = record.application {
            place = applications.firstIndex { $0 == application }.map { Int32($0) } ?? add(application)
        }
        append(Row(span: record.span, application: place, switches: record.switches), record.told)
    }

    private mutating func append(_ row: Row, _ times: ToldTimes?) {
        if times != nil || !told.isEmpty {
            told += Array(repeating: nil, count: rows.count - told.count)
            told.append(times)
        }
        rows.append(row)
    }

    private mutating func add(_ application: Application?) -> Int32 {
        guard let application else { return -1 }
        applications.append(application)
        return Int32(applications.count - 1)
    }

    package mutating func removeLast() {
        rows.removeLast()
        if !told.isEmpty { told.removeLast() }
    }
}
