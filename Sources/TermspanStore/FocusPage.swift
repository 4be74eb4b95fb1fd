package import TermspanAccounting
package import TermspanCore

/// Focus intervals of one session, in order. Each application is held once, so that nothing counts references for each row.
package struct FocusPage: RandomAccessCollection, Sendable {
    private let session: UUIDv7
    package private(set) var spans: [TimeSpan] = []
    /// The place of each row's application among `applications`; -1 where no window had the focus.
    package private(set) var places: [Int32] = []
    /// How many changes were folded into each row.
    package private(set) var switches: [UInt32] = []
    /// Of each row in turn what it counts as, of imported sessions; else empty.
    package private(set) var told: [ToldTimes?] = []
    /// What had the focus. One that is set to nil is none in all rows.
    package var applications: [Application?] = []
    /// The places of applications by their rows in the store, and those last looked up by the end of their number.
    private var placesByRow: [Int64: Int32] = [:]
    private var recent = InlineArray<64, (row: Int64, place: Int32)>(repeating: (-1, -1))

    package init(of session: UUIDv7, capacity: Int = 0) {
        self.session = session
        spans.reserveCapacity(capacity)
        places.reserveCapacity(capacity)
        switches.reserveCapacity(capacity)
    }

    package var startIndex: Int { 0 }
    package var endIndex: Int { spans.count }

    package subscript(position: Int) -> FocusRecord {
        let place = Int(places[position])
        return FocusRecord(
            session: session, span: spans[position], application: place < 0 ? nil : applications[place], switches: switches[position],
            told: told.isEmpty ? nil : told[position])
    }

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
                place = try placesByRow[id] ?? add(application(id))
                placesByRow[id] = place
                recent[slot] = (id, place)
            }
        }
        append(span, place, switches, times)
    }

    /// One that is not in the store.
    package mutating func append(_ record: FocusRecord) {
        var place: Int32 = -1
        if let application = record.application {
            place = applications.firstIndex { $0 == application }.map { Int32($0) } ?? add(application)
        }
        append(record.span, place, record.switches, record.told)
    }

    private mutating func append(_ span: TimeSpan, _ place: Int32, _ count: UInt32, _ times: ToldTimes?) {
        if times != nil || !told.isEmpty {
            told += Array(repeating: nil, count: spans.count - told.count)
            told.append(times)
        }
        spans.append(span)
        places.append(place)
        switches.append(count)
    }

    private mutating func add(_ application: Application?) -> Int32 {
        guard let application else { return -1 }
        applications.append(application)
        return Int32(applications.count - 1)
    }

    package mutating func removeLast() {
        spans.removeLast()
        places.removeLast()
        switches.removeLast()
        if !told.isEmpty { told.removeLast() }
    }
}
