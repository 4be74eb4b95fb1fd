import Glibc
package import TermspanBus
import TermspanCore

/// The services as the command sees them: blocking calls on the system bus.
@MainActor
package struct Client {
    package let bus: BusConnection

    static let collector = "org.termspan1"
    static let reports = "org.termspan1.Reports"
    /// The bus connection fails long before; this is for a service that hangs.
    static let timeout = Duration.seconds(10)

    package static func connect() throws(CommandError) -> Client {
        do throws(BusError) {
            return Client(bus: try .system())
        } catch {
            throw CommandError(error, from: .collector)
        }
    }

    /// Calls the collector's manager.
    package func manager(
        _ member: String, interactive: Bool = false,
        arguments: @MainActor (inout BusMessageWriter) throws(BusError) -> Void = { _ in }
    ) throws(CommandError) -> BusMessage {
        do throws(BusError) {
            return try bus.callAndWait(
                Self.collector, path: "/org/termspan1", interface: "org.termspan1.Manager", member: member,
                timeout: interactive ? .seconds(300) : Self.timeout, interactive: interactive, autoStart: false, arguments: arguments)
        } catch {
            throw CommandError(error, from: .collector)
        }
    }

    /// All sessions by number.
    package func sessions() throws(CommandError) -> [SessionRow] {
        try decode(manager("ListSessions")) { message throws(BusError) in try Self.sessions(message) }
    }

    static func sessions(_ answer: BusMessage) throws(BusError) -> [SessionRow] {
        var rows: [SessionRow] = []
        try answer.readArray(of: "a{sv}") { message throws(BusError) in rows.append(try SessionRow(reading: message)) }
        return rows.sorted { $0.id < $1.id }
    }

    /// All sessions by number, with what the table of `query session` shows and no more: a fraction of the whole rows' cost.
    package func enumeratedSessions() throws(CommandError) -> [SessionRow] {
        try decode(manager("EnumerateSessions")) { message throws(BusError) in
            var rows: [SessionRow] = []
            try message.readArray(of: "(usssssb)") { message throws(BusError) in
                rows.append(
                    try message.readStructure("usssssb") { message throws(BusError) in
                        var row = SessionRow()
                        row.id = try message.read()
                        row.name = try message.read()
                        row.user = try message.read()
                        row.state = try message.read()
                        row.type = try message.read()
                        row.display = try message.read()
                        row.isOwn = try message.read()
                        return row
                    })
            }
            return rows.sorted { $0.id < $1.id }
        }
    }

    /// Those of the sessions that `target` means; none is an error.
    package func sessions(_ target: String?) throws(CommandError) -> [SessionRow] {
        try Self.meant(by: target, of: sessions())
    }

    static func meant(by target: String?, of rows: [SessionRow]) throws(CommandError) -> [SessionRow] {
        guard let target else { return rows }
        let meant = rows.filter { $0.isMeant(by: target) }
        if meant.isEmpty {
            throw CommandError(.notFound, "No session exists for \(target).", remedy: "See: termspan query session")
        }
        return meant
    }

    package func status() throws(CommandError) -> ServiceStatus {
        try decode(manager("Status")) { message throws(BusError) in ServiceStatus(try message.readProperties()) }
    }

    /// What this caller is told of the policy.
    func policy(interactive: Bool = false) throws(CommandError) -> TrackingPolicy {
        try decode(manager("GetPolicy", interactive: interactive)) { message throws(BusError) in
            TrackingPolicy(try message.readProperties())
        }
    }

    /// Decides about several at once, by `SetTracking` or `SetDoNotTrack`: whether, and on which grounds. A row for each comes back.
    func decide(_ member: String, _ names: [String], _ value: Bool, _ grounds: Grounds) throws(CommandError) -> [[String: BusValue]] {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager(member, interactive: true) { writer in
                writer.append(names)
                writer.append(value)
                writer.append(grounds.reason)
                writer.append(grounds.responsible)
            }
            return try decode(answer) { message throws(BusError) in try message.readRows() }
        }
    }

    /// Erases what is held about users, or says what that would be.
    func erase(_ users: [String], forget: Bool, rehearse: Bool, reason: String) throws(CommandError) -> ErasureAnswer {
        try PasswordAgent.whileAsking { () throws(CommandError) in
            let answer = try manager("Erase", interactive: true) { writer in
                writer.append(users)
                writer.append(forget)
                writer.append(rehearse)
                writer.append(reason)
            }
            return try decode(answer) { message throws(BusError) in
                ErasureAnswer(
                    rows: try message.readRows(), unknown: try message.readStrings(), setAside: try message.readStrings(),
                    isLeft: try message.read(Bool.self))
            }
        }
    }

    /// Reads an answer; one that isn't understood is the service's fault.
    func decode<Value>(
        _ message: BusMessage, _ body: @MainActor (BusMessage) throws(BusError) -> Value
    ) throws(CommandError) -> Value {
        do throws(BusError) {
            return try body(message)
        } catch {
            throw CommandError(
                .failure, "The service's answer is not understood: \(error).", remedy: "Are command and service of one version?")
        }
    }

    /// Asks the reports service and gives its lines one by one: `Spans`, `Summary`, `History` or `Users`.
    ///
    /// - Returns: the connection that answered.
    @discardableResult
    package func reports(
        _ member: String, _ filter: [String: BusValue], _ body: (JSONValue) throws(CommandError) -> Void
    ) throws(CommandError) -> String? {
        let answer = try reportsAnswer(member, filter)
        // The descriptor lives as long as the message, and is read from within.
        let descriptor = try decode(answer) { message throws(BusError) in try message.readUnixFD() }
        var lines = LineReader(descriptor: descriptor)
        while let line = try lines.next() {
            guard let value = JSONValue(line) else { throw CommandError(.failure, "A line of the reports service is not understood.") }
            if let error = value["error"]?.string, value["user"] == nil {
                if value["not_found"]?.bool == true { throw CommandError(.notFound, error) }
                throw CommandError(.failure, "The report ended early: \(error)")
            }
            try body(value)
        }
        return answer.sender
    }

    /// Calls a method of the report service; the answer has the pipe.
    func reportsAnswer(_ member: String, _ filter: [String: BusValue]) throws(CommandError) -> BusMessage {
        do throws(BusError) {
            // Nobody needs a password to see what is his own.
            return try PasswordAgent.whileAsking(if: filter["uid"] == nil) { () throws(BusError) in
                try bus.callAndWait(
                    Self.reports, path: "/org/termspan1/reports", interface: "org.termspan1.Reports", member: member,
                    timeout: .seconds(300), interactive: true
                ) { writer in writer.properties(filter) }
            }
        } catch {
            throw CommandError(error, from: .reports)
        }
    }
}

/// Reads lines from a descriptor that stays the caller's.
struct LineReader {
    let descriptor: Int32
    private var buffer: [UInt8] = []
    private var start = 0
    private var isAtEnd = false
    /// What a line may have; longer is no report.
    private static let limit = 1 << 20

    init(descriptor: Int32) { self.descriptor = descriptor }

    mutating func next() throws(CommandError) -> [UInt8]? {
        var searched = start
        while true {
            if let end = buffer[searched...].firstIndex(of: UInt8(ascii: "\n")) {
                defer { start = end + 1 }
                return Array(buffer[start..<end])
            }
            searched = buffer.count - start
            buffer.removeFirst(start)
            start = 0
            if isAtEnd {
                defer { buffer = [] }
                return buffer.isEmpty ? nil : buffer
            }
            if buffer.count > Self.limit { throw CommandError(.failure, "A line of the reports service is too long.") }
            var part = [UInt8](repeating: 0, count: 1 << 16)
            let count = Glibc.read(descriptor, &part, part.count)
            if count < 0 {
                if errno == EINTR { continue }
                throw CommandError(.failure, "Reading the report: \(String(cString: strerror(errno)))")
            }
            if count == 0 { isAtEnd = true } else { buffer += part[..<count] }
        }
    }
}
