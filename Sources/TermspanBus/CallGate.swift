import CSystemd
package import TermspanCore
import TermspanSystem

/// Stands before the objects of a connection: lets each user's calls through at a rate and refuses the rest unread.
///
/// It is a filter of sd_bus_add_filter(3), which sees a message before anything else looks at it. A caller who is not known yet is asked
/// for without waiting, and the calls go on from the loop when the bus has answered: a service that waits for the bus reads all that a
/// flood has put before the answer.
@MainActor
package final class CallGate {
    private unowned let connection: BusConnection
    private let loop: EventLoop
    private var limits: CallLimits
    private var callers: CallerCache<BusCredentials>
    /// Calls of callers that the bus was asked for.
    private var held: HeldCalls<BusMessage>
    /// Answers that say no, kept back so that they are never in front of the others.
    ///
    /// dbus-daemon takes 2 to 4 kB at a time from each connection in turn. Our answers to everybody come over one connection, a flood over
    /// many: were it answered at once, the answers to honest callers would wait behind thousands of refusals. Sent few at a time, the
    /// refusals slow the flood down as well: the bus lets a connection have 128 unanswered calls, and refuses more of them by itself. One
    /// user's are what 32 connections can wait for; beyond, calls are not answered.
    private var refusals = TurnQueue<BusMessage>(limit: 16_384, limitPerUser: 4096)
    private let slot = BusSlot(retaining: nil)
    private var refusalTimer: EventSource?
    private var reportTimer: EventSource?
    /// When a call came last, refused or not.
    package private(set) var lastCall = BootInstant.zero
    /// Told of the calls that were refused to a user, a second after the first and then at most once a minute.
    package var onLimit: (@MainActor (_ userID: UInt32, _ refusedCount: UInt64) -> Void)?

    /// Refusals are about 150 bytes: together these are less than what the bus takes at once.
    private static let refusalsAtOnce = 12
    private static let refusalPause: Duration = .milliseconds(10)
    /// How many objects an answer may be about for the price of a call.
    private static let objectsPerCall = 20

    init(
        _ connection: BusConnection, _ settings: CallLimits.Settings, loop: EventLoop, callers: CallerCache<BusCredentials>,
        held: HeldCalls<BusMessage>
    ) throws(BusError) {
        self.connection = connection
        self.loop = loop
        self.callers = callers
        self.held = held
        limits = CallLimits(settings)
        refusalTimer = try loop.timer { [unowned self] in sendRefusals() }
        reportTimer = try loop.timer { [unowned self] in report() }
        try check(
            sd_bus_add_filter(
                connection.bus, &slot.pointer,
                { message, data, _ in
                    guard let message, let data else { return 0 }
                    nonisolated(unsafe) let arguments = (message, data)
                    let isTaken = MainActor.assumeIsolated {
                        Unmanaged<CallGate>.fromOpaque(arguments.1).takeUnretainedValue().take(arguments.0)
                    }
                    return isTaken ? 1 : 0
                }, Unmanaged.passUnretained(self).toOpaque()), "watching calls")
    }

    package var settings: CallLimits.Settings {
        get { limits.settings }
        set { limits.settings = newValue }
    }

    /// How many calls were refused since the start.
    package var refusedCalls: UInt64 { limits.refused }

    /// How many callers are known, calls wait for their callers to be known, and refusals wait to be sent.
    var counts: (callers: Int, held: Int, refusals: Int) { (callers.count, held.count, refusals.count) }

    /// The caller of a message that has come through the gate.
    func credentials(of message: OpaquePointer) -> BusCredentials? {
        sd_bus_message_get_sender(message).flatMap { callers.find(String(cString: $0)) }
    }

    // MARK: Calls under way

    func begin(_ userID: UInt32) { limits.begin(userID) }

    func end(_ userID: UInt32) { limits.end(userID) }

    /// Has a caller pay for an answer about many objects as for several calls.
    func charge(_ userID: UInt32, objects: Int) {
        limits.charge(userID, objects / Self.objectsPerCall, at: .now())
    }

    /// The same for the caller of the message that is being answered, if any is.
    func chargeCurrent(objects: Int) {
        guard let message = sd_bus_get_current_message(connection.bus), let caller = credentials(of: message) else { return }
        charge(caller.userID, objects: objects)
    }

    // MARK: Messages

    /// Whether the message goes no further.
    private func take(_ message: OpaquePointer) -> Bool {
        var type: UInt8 = 0
        sd_bus_message_get_type(message, &type)
        guard let sender = sd_bus_message_get_sender(message) else { return false }
        if Int(type) == Int(SD_BUS_MESSAGE_SIGNAL) {
            // Nobody but the bus itself has a signal for us alone; what others send so is forged.
            return sd_bus_message_get_destination(message) != nil && strcmp(sender, "org.freedesktop.DBus") != 0
        }
        guard Int(type) == Int(SD_BUS_MESSAGE_METHOD_CALL) else { return false }
        let name = String(cString: sender)
        lastCall = .now()
        guard let caller = callers.find(name) else {
            hold(message, of: name)
            return true
        }
        // At each call, refused or not: in a flood the bus has taken all for moments only.
        if limits.hasUntaken, hasBusTakenAll { limits.allTaken() }
        if limits.admit(caller.userID, at: lastCall) { return false }
        refuse(message, caller.userID)
        return true
    }

    private func hold(_ message: OpaquePointer, of name: String) {
        guard held.hasRoom(for: name) else {
            limits.refuseUnknown()
            return refuse(message, .max)
        }
        if held.append(BusMessage(message), of: name) { ask(for: name) }
    }

    private func ask(for name: String) {
        connection.call(
            "org.freedesktop.DBus", path: "/org/freedesktop/DBus", interface: "org.freedesktop.DBus", member: "GetConnectionCredentials",
            arguments: { $0.append(name) },
            reply: { [weak self] result in
                guard let self else { return }
                let messages = held.take(of: name)
                let caller: BusCredentials
                do throws(BusError) {
                    caller = try BusCredentials(result.get())
                } catch {
                    // Who is gone already needs no answer.
                    if error.name == "org.freedesktop.DBus.Error.NameHasNoOwner" { return }
                    for message in messages { refuse(message.pointer, .max) }
                    return
                }
                callers.insert(name, caller)
                // They come through here again, behind what was read in the meantime.
                for message in messages where sd_bus_enqueue_for_read(connection.bus, message.pointer) < 0 {
                    refuse(message.pointer, caller.userID)
                }
            })
    }

    // MARK: Refusing

    private func refuse(_ message: OpaquePointer, _ userID: UInt32) {
        armReport()
        guard sd_bus_message_get_expect_reply(message) > 0, refusals.hasRoom(for: userID), let answer = Self.refusal(of: message) else {
            return
        }
        // The answer and not the call, which can be as large as its sender likes.
        refusals.append(answer, for: userID)
        if refusals.count == 1 { refusalTimer?.arm(after: Self.refusalPause) }
    }

    private static func refusal(of message: OpaquePointer) -> BusMessage? {
        var error = sd_bus_error()
        // Of constant texts nothing is copied.
        sd_bus_error_set_const(&error, limitName, limitText)
        var answer: OpaquePointer?
        guard sd_bus_message_new_method_error(message, &answer, &error) >= 0, let answer else { return nil }
        return BusMessage(owning: answer)
    }

    private static let limitName = constant("org.freedesktop.DBus.Error.LimitsExceeded")
    private static let limitText = constant("Too many calls; try again later.")

    private static func constant(_ text: StaticString) -> UnsafePointer<CChar> {
        UnsafeRawPointer(text.utf8Start).assumingMemoryBound(to: CChar.self)
    }

    private func sendRefusals() {
        // As long as the bus has not read what it was sent before, more would only be in front of others' answers.
        if hasBusTakenAll {
            for answer in refusals.take(Self.refusalsAtOnce) { sd_bus_send(connection.bus, answer.pointer, nil) }
        }
        if refusals.count > 0 { refusalTimer?.arm(after: Self.refusalPause) }
    }

    private var hasBusTakenAll: Bool { termspan_bus_unread(connection.bus) <= 0 }

    private func armReport() {
        guard onLimit != nil, reportTimer?.isArmed == false, let next = limits.nextReport(at: .now()) else { return }
        reportTimer?.arm(at: next)
    }

    private func report() {
        for (userID, count) in limits.reports(at: .now()) { onLimit?(userID, count) }
        armReport()
    }
}

extension BusConnection {
    /// Limits the calls of each user from now on, to all objects of this connection. Once, before the first is exported.
    package func limitCalls(_ settings: CallLimits.Settings, loop: EventLoop) throws(BusError) -> CallGate {
        try limitCalls(settings, loop: loop, callers: CallerCache())
    }

    func limitCalls(
        _ settings: CallLimits.Settings, loop: EventLoop, callers: CallerCache<BusCredentials>, held: HeldCalls<BusMessage> = HeldCalls()
    ) throws(BusError) -> CallGate {
        let gate = try CallGate(self, settings, loop: loop, callers: callers, held: held)
        self.gate = gate
        return gate
    }
}

extension BusCredentials {
    /// Reads the answer of GetConnectionCredentials (D-Bus specification, 'Message Bus Messages').
    @MainActor fileprivate init(_ message: BusMessage) throws(BusError) {
        let values = try message.readProperties()
        guard let userID = values["UnixUserID"]?.unsigned.flatMap({ UInt32(exactly: $0) }) else {
            throw .failed("The bus does not say whose the connection is.")
        }
        self.init(userID: userID, processID: values["ProcessID"]?.unsigned.flatMap { Int32(exactly: $0) })
    }
}
