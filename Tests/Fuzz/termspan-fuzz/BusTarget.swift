import CSystemd
import Glibc
import TermspanCore
import TermspanStore

@testable import TermspanBus
@testable import TermspanCollector
@testable import TermspanCommands
@testable import TermspanReports
@testable import TermspanSessions

/// A service and its caller at the two ends of a socket pair, without a bus between them: the caller sends any bytes as arguments.
@MainActor
private final class BusPeers {
    private let connection: BusConnection
    private let client: Int32
    private var slot: BusSlot?
    private var serial: UInt32 = 0

    static let methods: [(name: String, arguments: KeyValuePairs<String, String>)] = [
        ("Properties", ["values": "a{sv}"]), ("Rows", ["rows": "aa{sv}"]),
        ("SetTracking", ["users": "as", "tracked": "b", "reason": "s", "responsible": "s"]),
        ("SetPolicy", ["key": "s", "value": "v", "reason": "s", "responsible": "s"]), ("CollectActivity", ["filter": "a{sv}"]),
        ("Value", ["value": "v"]),
        ("SetDoNotTrack", ["entries": "as", "listed": "b", "reason": "s", "responsible": "s"]), ("Spans", ["filter": "a{sv}"]),
        ("Erase", ["users": "as", "forget": "b", "rehearse": "b", "reason": "s"]),
        ("Summary", ["filter": "a{sv}"]), ("History", ["filter": "a{sv}"]), ("Users", ["filter": "a{sv}"]),
        ("Records", ["filter": "a{sv}"]), ("Audit", ["filter": "a{sv}"]), ("RecordRead", ["read": "a{sv}"]),
    ]

    init() {
        var ends: [Int32] = [-1, -1]
        var bus: OpaquePointer?
        var id = sd_id128_t()
        guard socketpair(AF_UNIX, Int32(SOCK_STREAM.rawValue) | Int32(SOCK_NONBLOCK.rawValue), 0, &ends) == 0, sd_id128_randomize(&id) >= 0,
            sd_bus_new(&bus) >= 0, let bus, sd_bus_set_fd(bus, ends[0], ends[0]) >= 0, sd_bus_set_server(bus, 1, id) >= 0,
            sd_bus_set_anonymous(bus, 1) >= 0, sd_bus_start(bus) >= 0
        else { fatalError("a connection") }
        connection = BusConnection(owning: bus)
        client = ends[1]
        do { slot = try connection.export(path: "/", Self.interface) } catch { fatalError("\(error)") }
        send(Array("\0AUTH ANONYMOUS\r\nBEGIN\r\n".utf8))
        _ = turn()
        _ = receive()
    }

    deinit {
        close(client)
    }

    private static var interface: BusInterface {
        BusInterface(
            "org.termspan1.Fuzz",
            methods: [
                method("Properties") { message throws(BusError) in
                    let values = try message.readProperties()
                    if let session = LogindSession(properties: values) { _ = (session.displayNumber, session.began, session.isInteractive) }
                    _ = ServiceStatus(values)
                    return .properties(values)
                },
                method("Rows") { message throws(BusError) in
                    let rows = try message.readRows()
                    for row in rows.compactMap({ ActivityRow(properties: $0) }) {
                        require(ActivityRow(properties: row.properties) == row, "a row comes back as it was sent")
                    }
                    message.rewind()
                    for session in (try? Client.sessions(message)) ?? [] { _ = session.shownName }
                    return .array(of: "a{sv}", rows.map { .properties($0) })
                },
                method("SetTracking") { message throws(BusError) in
                    let call = try TrackingCall(message, responsible: "IT")
                    require(
                        (1...10_000).contains(call.names.count) && isFitToPrint(call.reason) && isFitToPrint(call.responsible),
                        "what is accepted is bounded")
                    return .strings(call.names)
                },
                method("SetDoNotTrack") { message throws(BusError) in
                    let call = try DoNotTrackCall(message, responsible: "")
                    require((1...10_000).contains(call.subjects.count) && isFitToPrint(call.reason), "what is accepted is bounded")
                    for subject in call.subjects {
                        require(
                            isFitToPrint(subject.description) && type(of: subject).init(subject.description) == subject,
                            "an entry is read as it was written")
                    }
                    return .strings(call.subjects.map(\.description))
                },
                method("Erase") { message throws(BusError) in
                    let call = try ErasureCall(message)
                    require((1...1_000).contains(call.names.count) && isFitToPrint(call.reason), "what is accepted is bounded")
                    require(call.names.allSatisfy { UserName($0.description) == $0 }, "a name is read as it was written")
                    return .strings(call.names.map(\.description))
                },
                method("SetPolicy") { message throws(BusError) in .string(try PolicyCall(message, responsible: "IT").value) },
                method("CollectActivity") { message throws(BusError) in .bool(try ActivityCall(message).uid == nil) },
                method("RecordRead") { message throws(BusError) in
                    let call = try ReadCall(message)
                    require((call.filter.login?.utf8.count ?? 0) <= 256, "what is accepted is bounded")
                    return .string(call.kind.rawValue)
                },
                method("Audit") { message throws(BusError) in .bool(try Request(message.readProperties(), .audit).everybody) },
                method("Value") { message throws(BusError) in try message.readValue() },
                method("Spans") { message throws(BusError) in .bool(try Request(message.readProperties(), .spans).everybody) },
                method("Summary") { message throws(BusError) in .bool(try Request(message.readProperties(), .sessions).everybody) },
                method("History") { message throws(BusError) in .bool(try Request(message.readProperties(), .history).everybody) },
                method("Records") { message throws(BusError) in .bool(try Request(message.readProperties(), .records).everybody) },
                method("Users") { message throws(BusError) in .bool(try Request(message.readProperties(), .users).everybody) },
            ])
    }

    /// A method that answers with what was read, as a variant.
    private static func method(_ name: String, _ read: @escaping @MainActor (BusMessage) throws(BusError) -> BusValue) -> BusMethod {
        let arguments = methods.first { $0.name == name }?.arguments ?? [:]
        return BusMethod(name, in: arguments, out: ["result": "v"]) { invocation throws(BusError) in
            let value = try read(invocation.message)
            invocation.reply { $0.append(.variant(value)) }
        }
    }

    /// Sends a call with `body` as the arguments' bytes; false if the connection ended over it.
    func call(_ index: Int, _ body: [UInt8]) -> Bool {
        let (name, arguments) = Self.methods[index]
        serial += 1
        var header = Bytes()
        header.field(1, "o", "/")
        header.field(2, "s", "org.termspan1.Fuzz")
        header.field(3, "s", name)
        header.field(8, "g", arguments.map(\.value).joined())
        var message = Bytes()
        message.bytes = [UInt8(ascii: "l"), 1, 0, 1]
        message.word(UInt32(body.count))
        message.word(serial)
        message.word(UInt32(header.bytes.count))
        message.bytes += header.bytes
        message.pad(to: 8)
        send(message.bytes + body)
        let lives = turn()
        let answers = receive()
        if lives { require(answers == 1, "a call has one answer, not \(answers)") }
        return lives
    }

    private struct Bytes {
        var bytes: [UInt8] = []

        mutating func pad(to alignment: Int) { while bytes.count % alignment != 0 { bytes.append(0) } }

        mutating func word(_ value: UInt32) { withUnsafeBytes(of: value.littleEndian) { bytes += $0 } }

        /// One of a header's fields: a structure of a code and a variant.
        mutating func field(_ code: UInt8, _ type: String, _ value: String) {
            pad(to: 8)
            bytes += [code, 1] + type.utf8 + [0]
            if type == "g" { bytes.append(UInt8(value.utf8.count)) } else { word(UInt32(value.utf8.count)) }
            bytes += value.utf8 + [0]
        }
    }

    private func send(_ bytes: [UInt8]) { _ = write(client, bytes, bytes.count) }

    private func turn() -> Bool {
        while true {
            let result = sd_bus_process(connection.bus, nil)
            if result < 0 { return false }
            if result == 0 { return sd_bus_is_open(connection.bus) > 0 }
        }
    }

    /// How many answers there are.
    private func receive() -> Int {
        var buffer = [UInt8](repeating: 0, count: 1 << 17)
        let count = read(client, &buffer, buffer.count)
        guard count > 0 else { return 0 }
        var rest = buffer[..<count]
        var answers = 0
        while rest.count >= 16, rest.first == UInt8(ascii: "l") {
            func word(_ offset: Int) -> Int {
                (0..<4).reduce(0) { $0 | Int(rest[rest.startIndex + offset + $1]) << (8 * $1) }
            }
            rest = rest.dropFirst(16 + (word(12) + 7) & ~7 + word(4))
            answers += 1
        }
        return answers
    }
}

@MainActor private var peers: BusPeers?

extension FuzzTarget {
    static var bus: FuzzTarget {
        func string(_ text: String) -> [UInt8] { [UInt8(text.utf8.count), 0, 0, 0] + Array(text.utf8) + [0] }
        /// `a{sv}` of one text.
        func properties(_ key: String, _ value: String) -> [UInt8] {
            var entry = string(key) + [1, UInt8(ascii: "s"), 0]
            while entry.count % 4 != 0 { entry.append(0) }
            entry += string(value)
            return [UInt8(entry.count), 0, 0, 0, 0, 0, 0, 0] + entry
        }
        return FuzzTarget(
            name: "fuzz-bus", about: "arguments of D-Bus calls: any bytes for what the services' methods take", longest: 1024,
            seeds: [
                [0] + properties("Id", "c1"), [1] + [32, 0, 0, 0] + properties("kind", "focus"),
                [2, 8, 0, 0, 0] + string("kim") + [0, 0, 0, 0, 0, 0],
                [3] + string("new-users") + [1, UInt8(ascii: "s"), 0, 0, 0] + string("tracked"), [4] + properties("session-uuid", "x"),
                [5, 3] + Array("aav".utf8) + [0, 0, 0, 0, 0, 0, 0, 0], [6] + properties("user", "kim"), [7] + properties("by", "user"),
            ]
        ) { bytes in
            guard let first = bytes.first else { return }
            let connected = peers ?? BusPeers()
            peers = connected
            // What isn't a message ends the connection.
            if !connected.call(Int(first) % BusPeers.methods.count, Array(bytes.dropFirst())) { peers = nil }
        }
    }
}
