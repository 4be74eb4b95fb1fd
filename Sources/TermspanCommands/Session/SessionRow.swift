package import TermspanBus
package import TermspanCore

/// One session as `ListSessions` of org.termspan1.Manager tells it (org.termspan1(5)).
///
/// Nil is what the collector doesn't know or doesn't tell this caller.
package struct SessionRow: Hashable, Sendable {
    package var id: UInt32
    package var uuid: String?
    package var name: String
    package var user: String
    package var userID: UInt32?
    /// The name of a `ConnectState`; a newer collector may have others.
    package var state: String
    package var confidence: String
    package var stack: String
    package var type: String
    package var display: String
    package var seat: String
    package var tty: String
    package var logon: WallInstant?
    package var connected: WallInstant?
    package var disconnected: WallInstant?
    /// When the collector answered.
    package var now: WallInstant?
    package var lastInput: WallInstant?
    package var idleMicroseconds: UInt64?
    package var locked: String?
    package var isTracked: Bool?
    package var coverage: String
    package var coverageReason: String
    package var clientAddress: String
    package var clientName: String
    /// Of the screen, in pixels.
    package var screenWidth: UInt32?
    package var screenHeight: UInt32?
    /// In bits.
    package var colorDepth: UInt32?
    package var logindSessions: [String]
    package var scope: String
    package var leader: UInt32?
    /// The command runs in this session.
    package var isOwn: Bool

    /// A row of which nothing is known.
    init() {
        (id, name, user, state, confidence, stack, type, display, seat, tty) = (0, "", "", "", "", "", "", "", "", "")
        (coverage, coverageReason, clientAddress, clientName, scope) = ("", "", "", "", "")
        (isOwn, logindSessions) = (false, [])
    }

    package init(_ values: [String: BusValue]) {
        self.init()
        for (key, value) in values { set(key, value) }
    }

    /// Reads the row that comes next in an answer.
    @MainActor
    init(reading message: BusMessage) throws(BusError) {
        self.init()
        try message.readProperties { set($0, $1) }
    }

    /// Keys of newer collectors are left out; values of another type count as unknown.
    private mutating func set(_ key: String, _ value: BusValue) {
        func number() -> UInt32? { value.unsigned.flatMap { UInt32(exactly: $0) } }
        func moment() -> WallInstant? { value.unsigned.flatMap { WallInstant(microseconds: $0) } }
        let text = value.string ?? ""
        switch key {
        case "id": id = number() ?? 0
        case "uuid": uuid = text.isEmpty ? nil : text
        case "name": name = text
        case "user": user = text
        case "uid": userID = number()
        case "state": state = text
        case "confidence": confidence = text
        case "stack": stack = text
        case "type": type = text
        case "display": display = text
        case "seat": seat = text
        case "tty": tty = text
        case "logon": logon = moment()
        case "connected": connected = moment()
        case "disconnected": disconnected = moment()
        case "now": now = moment()
        case "last-input": lastInput = moment()
        case "idle": idleMicroseconds = value.unsigned
        case "locked": locked = value.string
        case "tracked": isTracked = value.bool
        case "coverage": coverage = text
        case "coverage-reason": coverageReason = text
        case "client-address": clientAddress = text
        case "client-name": clientName = text
        case "screen-width": screenWidth = number()
        case "screen-height": screenHeight = number()
        case "color-depth": colorDepth = number()
        case "logind-sessions": logindSessions = value.strings ?? []
        case "scope": scope = text
        case "leader": leader = number().flatMap { $0 == 0 ? nil : $0 }
        case "mine": isOwn = value.bool ?? false
        default: break
        }
    }

    /// The word of the Windows namesakes.
    package var stateWord: String { ConnectState(name: state)?.word ?? state }

    /// Blank when disconnected, as in Windows; only the services keep theirs.
    package var shownName: String {
        state == ConnectState.disconnected.name && id != SessionID.services.rawValue ? "" : name
    }

    /// What the DEVICE column shows.
    package var device: String { display.isEmpty ? tty : display }

    /// Somebody is logged on here: what `query user` lists.
    package var isLogon: Bool {
        !user.isEmpty && id != SessionID.services.rawValue && id < SessionID.firstListener.rawValue
            && state != ConnectState.connected.name && state != ConnectState.listen.name
    }

    /// Whether the session is meant by an argument NAME, USER or ID, as the namesakes take it. Case doesn't matter in names of sessions.
    package func isMeant(by target: String) -> Bool {
        if let number = UInt32(target) { return id == number || user == target }
        return user == target || (!name.isEmpty && name.lowercased() == target.lowercased())
    }
}

extension SessionRow {
    /// The keys of `json`, in their order: a stable schema, documented in termspan-json(5). Keys are added, never renamed.
    package static let keys = [
        "id", "uuid", "name", "user", "uid", "state", "confidence", "stack", "type", "device", "display", "seat", "tty", "logon",
        "connected", "disconnected", "last_input", "idle", "locked", "tracked", "coverage", "coverage_reason", "client_address",
        "client_name", "screen_width", "screen_height", "color_depth", "logind_sessions", "scope", "leader", "own", "current_time",
    ]

    package var json: JSONValue {
        func text(_ value: String) -> JSONValue { value.isEmpty ? .null : .string(value) }
        func number(_ value: UInt32?) -> JSONValue { value.map { .unsigned(UInt64($0)) } ?? .null }
        func moment(_ value: WallInstant?) -> JSONValue { .optional(value.map { TimeText.utc($0) }) }
        let values: [JSONValue] = [
            .unsigned(UInt64(id)), .optional(uuid), text(shownName), text(user), number(userID), text(state),
            text(confidence), text(stack), text(type), text(device), text(display), text(seat), text(tty), moment(logon),
            moment(connected), moment(disconnected), moment(lastInput), idleMicroseconds.map { .seconds(microseconds: $0) } ?? .null,
            locked == "unknown" ? .null : .optional(locked), isTracked.map { .bool($0) } ?? .null, text(coverage), text(coverageReason),
            text(clientAddress), text(clientName), number(screenWidth), number(screenHeight), number(colorDepth),
            .array(logindSessions.map { .string($0) }), text(scope), number(leader),
            .bool(isOwn), moment(now),
        ]
        return .object(zip(Self.keys, values).map { JSONValue.Member($0, $1) })
    }
}

extension WallInstant {
    /// A moment in microseconds since 1970 as the bus has it; nil for 0, which stands for unknown, and for what is out of range.
    init?(microseconds: UInt64) {
        let (nanoseconds, overflow) = microseconds.multipliedReportingOverflow(by: 1000)
        guard microseconds > 0, !overflow, let value = Int64(exactly: nanoseconds) else { return nil }
        self.init(nanoseconds: value)
    }

    /// Microseconds since 1970 for the bus, 0 for what is before.
    var microseconds: UInt64 { UInt64(max(0, nanoseconds / 1000)) }
}

extension JSONValue {
    /// Seconds as a decimal number, exactly.
    package static func seconds(microseconds: UInt64) -> JSONValue {
        let rest = microseconds % 1_000_000
        if rest == 0 { return .unsigned(microseconds / 1_000_000) }
        var digits = TimeText.padded(Int(rest), 6)
        while digits.last == "0" { digits.removeLast() }
        return .decimal("\(microseconds / 1_000_000).\(digits)")
    }
}
