import TermspanCore

/// Reads ActivityWatch's document of buckets: of windows which had the focus, of presence when there was input. Titles are passed over: what a window
/// says is recorded at no level that there is.
package struct ImportActivityWatch {
    private let login: String
    private var seen: Set<String> = []

    private static let day: Int64 = 86_400_000_000_000

    package init(user: String) { login = user }

    /// Goes through a whole file.
    package mutating func read(_ source: inout ImportSource, _ writer: inout ImportWriter) throws(CommandError) {
        var isThere = false
        var importer = self
        var output = writer
        try source.members { source, key throws(CommandError) in
            guard key == "buckets" else { return try source.skipValue() }
            isThere = true
            try source.members { source, name throws(CommandError) in try importer.bucket(name, &source, &output) }
        }
        try source.skipBlanks()
        if try source.peek() != nil { throw source.error("Something follows the document") }
        if !isThere { throw source.error("There are no 'buckets': it is no export of ActivityWatch's") }
        (self, writer) = (importer, output)
    }

    private mutating func bucket(_ name: String, _ source: inout ImportSource, _ writer: inout ImportWriter) throws(CommandError) {
        var type: String?
        var computer: String?
        var importer = self
        var output = writer
        try source.members { source, key throws(CommandError) in
            switch key {
            case "type": type = try source.value().string
            case "hostname": computer = try source.value().string
            case "events":
                guard let type, let computer else { throw source.error("The bucket '\(name)' has its events before 'type' and 'hostname'") }
                guard type == "currentwindow" || type == "afkstatus" else {
                    output.note("buckets of the type '\(type)' were left out")
                    return try source.skipValue()
                }
                guard !computer.isEmpty, computer.utf8.count <= ImportLimit.computer else {
                    throw source.error("The bucket '\(name)' has no name of a computer")
                }
                guard importer.seen.insert("\(type) \(computer)").inserted else {
                    throw source.error("'\(name)' is a second bucket '\(type)' of \(computer): import the file of one user")
                }
                try importer.events(of: type, computer, &source, &output)
            default: try source.skipValue()
            }
        }
        (self, writer) = (importer, output)
    }

    private func events(
        of type: String, _ computer: String, _ source: inout ImportSource, _ writer: inout ImportWriter
    ) throws(CommandError) {
        var order = Order()
        var output = writer
        func put(_ event: Event, _ source: ImportSource) throws(CommandError) {
            if type == "currentwindow" {
                let application = event.name.isEmpty ? nil : try output.number(executable: nil, windowClass: event.name, source)
                let activity = ImportRecord.Activity(start: event.start, length: event.length, application: application)
                try output.add(.activity(activity), to: session(at: event.start, computer, event.run), source)
            } else if event.name == "not-afk" {
                try output.add(.input(start: event.start, length: event.length), to: session(at: event.start, computer, event.run), source)
            } else {
                try presence(event, computer, source, &output)
            }
        }
        try source.elements { source throws(CommandError) in
            try source.skipBlanks()
            let line = source.line
            let value = try source.value()
            guard let start = value["timestamp"]?.string.flatMap({ ImportText.moment($0) }),
                let length = ImportText.length(value["duration"] ?? .unsigned(0)),
                let name = value["data"]?[type == "currentwindow" ? "app" : "status"]?.string
            else { throw source.error("It is no event of a bucket '\(type)'", line: line) }
            if type == "currentwindow" {
                if value["data"]?["title"]?.string?.isEmpty == false { output.note("titles of windows were not taken") }
                if length == 0 { return output.note("events without length were left out") }
            } else if name != "afk", name != "not-afk" {
                throw source.error("'status' is afk or not-afk", line: line)
            }
            guard let ready = order.add(Event(start: start, length: length, name: name)) else {
                throw source.error("Events of a bucket are in the order of time, or in the reverse; this one is not", line: line)
            }
            if order.wasCut { output.note("events were cut where the next one began") }
            for event in ready { try put(event, source) }
        }
        if let last = order.held { try put(last, source) }
        writer = output
    }

    /// That somebody was away keeps the session of the day going; of days that are away from end to end there is none.
    private func presence(
        _ event: Event, _ computer: String, _ source: ImportSource, _ writer: inout ImportWriter
    ) throws(CommandError) {
        let end = event.start.nanoseconds + Int64(event.length)
        let midnight = (event.start.nanoseconds / Self.day + 1) * Self.day
        let first = UInt64(min(end, midnight) - event.start.nanoseconds)
        try writer.add(.presence(start: event.start, length: first), to: session(at: event.start, computer, event.run), source)
        guard end > midnight else { return }
        let last = WallInstant(nanoseconds: max(midnight, end / Self.day * Self.day))
        guard end > last.nanoseconds else { return }
        try writer.add(.presence(start: last, length: UInt64(end - last.nanoseconds)), to: session(at: last, computer, event.run), source)
    }

    /// ActivityWatch knows no sessions: one for each computer and day, in UTC, whose UUID is the same in each file.
    private func session(at moment: WallInstant, _ computer: String, _ run: Int) throws(CommandError) -> ImportRecord.Session {
        let day = moment.nanoseconds / Self.day
        let seed = try FileDigest.bytes(of: "activitywatch\n\(computer)\n\(login)\n\(day)" + (run == 0 ? "" : "\n\(run)"), count: 10)
        let milliseconds = UInt64(day * (Self.day / 1_000_000))
        var bytes = stride(from: 40, through: 0, by: -8).map { UInt8(truncatingIfNeeded: milliseconds >> UInt64($0)) } + seed
        bytes[6] = 0x70 | bytes[6] & 0x0F
        bytes[8] = 0x80 | bytes[8] & 0x3F
        // Of version 7 by what was just done.
        let uuid = UUIDv7(bytes: bytes) ?? UUIDv7(at: moment)
        return ImportRecord.Session(uuid: uuid, number: 0, login: login, computer: computer)
    }

    struct Event: Equatable {
        var start: WallInstant
        var length: UInt64
        var name: String
        /// How many times the bucket went back before.
        var run = 0
    }

    /// Events of one bucket, of which the last waits for the next: ActivityWatch writes the latest first, and its events can overlap a little. Where
    /// the order breaks another session begins, as in exports of a user who had several at once.
    struct Order {
        private(set) var held: Event?
        private(set) var wasCut = false
        private var isBackwards: Bool?
        private var run = 0

        /// More are no sessions, but events in no order.
        private static let mostRuns = 1000

        /// - Returns: what is ready; nil where the order breaks too often.
        mutating func add(_ next: Event) -> [Event]? {
            wasCut = false
            var event = next
            event.run = run
            guard let last = held else {
                held = event
                return []
            }
            if event.start == last.start {
                wasCut = true
                if event.length > last.length { held = event }
                return []
            }
            let isEarlier = event.start < last.start
            if let isBackwards, isBackwards != isEarlier {
                run += 1
                event.run = run
                held = event
                return run < Self.mostRuns ? [last] : nil
            }
            isBackwards = isEarlier
            var (first, second) = isEarlier ? (event, last) : (last, event)
            first.length = cut(first, at: second.start)
            (held, second) = isEarlier ? (first, second) : (second, first)
            return [second]
        }

        private mutating func cut(_ event: Event, at moment: WallInstant) -> UInt64 {
            let most = UInt64(max(0, moment.nanoseconds - event.start.nanoseconds))
            if event.length > most { wasCut = true }
            return min(event.length, most)
        }
    }
}
