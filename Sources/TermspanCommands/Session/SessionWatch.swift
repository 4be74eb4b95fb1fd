import ArgumentParser
import Glibc
package import TermspanBus
import TermspanCore
import TermspanJournal

/// `termspan session watch`
struct SessionWatch: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "watch", abstract: "Show what happens in sessions as it happens: a line each, or a JSON object.",
            discussion: """
                Everybody sees logon, logoff, connect and disconnect. Locks and clients' addresses are shown of your own sessions, and of
                others' to root and holders of org.termspan1.view-others. It goes on until it is interrupted.
                """)
    }

    @Option(help: "Only this user's sessions.", completion: Completions.users)
    var user: String?

    @Option(help: "Only the session of this ID.", completion: Completions.sessions)
    var session: UInt32?

    @Option(help: "Only this event: \(SessionWatch.events.joined(separator: ", ")).", completion: .list(SessionWatch.events))
    var event: String?

    @OptionGroup var output: FormatOptions

    static let events = JournalEvent.notifications.keys.sorted()

    func validate() throws {
        if let event, !Self.events.contains(event) {
            throw ValidationError("There is no event '\(event)': \(Self.events.joined(separator: ", ")).")
        }
    }

    func execute() throws {
        let client = try Client.connect()
        do throws(BusError) {
            let view = try NotificationView(client: client, command: self)
            // An answer now, so that errors appear as those of other commands.
            try view.subscribe()
            guard try view.run() == 0 else { throw BusError.failed("The connection to the bus was lost.") }
        } catch {
            throw CommandError(error, from: .collector)
        }
    }
}

/// What a notification of org.termspan1.Manager says.
package struct SessionNotice: Sendable {
    package var values: [String: BusValue]

    package static let keys = [
        "time", "event", "session", "session_uuid", "user", "uid", "name", "stack", "client_address", "client_name",
    ]

    package init(_ values: [String: BusValue]) {
        self.values = values
    }

    package var event: String { text("event") }
    package var user: String { text("user") }
    package var session: UInt64? { values["id"]?.unsigned }

    private var time: WallInstant? { values["time"]?.unsigned.flatMap { WallInstant(microseconds: $0) } }

    private func text(_ key: String) -> String { values[key]?.string ?? "" }

    package var line: String {
        var client = ""
        if event == "connect", !text("client-address").isEmpty {
            client = " from " + text("client-address") + (text("client-name").isEmpty ? "" : " (\(text("client-name")))")
        }
        let moment = time.map { TimeText.local($0) } ?? ""
        return Printable.text("\(moment)  Session \(session.map { String($0) } ?? "") of user \(user): \(event)\(client).")
    }

    package var json: JSONValue {
        func value(_ key: String) -> JSONValue { text(key).isEmpty ? .null : .string(text(key)) }
        func number(_ key: String) -> JSONValue { values[key]?.unsigned.map { .unsigned($0) } ?? .null }
        let cells: [JSONValue] = [
            .optional(time.map { TimeText.utc($0) }), value("event"), number("id"), value("uuid"), value("user"), number("uid"),
            value("name"), value("stack"), value("client-address"), value("client-name"),
        ]
        return .object(zip(Self.keys, cells).map { JSONValue.Member($0, $1) })
    }
}

/// Prints notifications from a loop over the bus.
@MainActor
private final class NotificationView {
    private let loop: EventLoop
    private let client: Client
    private let command: SessionWatch
    private var slots: [BusSlot] = []
    private var signals: EventSource?
    /// Who the collector was when it was last subscribed to.
    private var owner: String?

    init(client: Client, command: SessionWatch) throws(BusError) {
        loop = try EventLoop()
        self.client = client
        self.command = command
        try client.bus.attach(to: loop)
        let rule = BusMatch(
            sender: Client.collector, path: "/org/termspan1", interface: "org.termspan1.Manager", member: "SessionNotification")
        slots.append(
            try client.bus.match(rule) { [unowned self] message in
                if let values = try? message.readProperties() { show(SessionNotice(values)) }
            })
        slots.append(try client.bus.onDisconnect { [unowned self] in loop.exit(1) })
        signals = try loop.signals([SIGINT, SIGTERM, SIGHUP]) { [unowned self] _ in loop.exit(0) }
        if command.output.format == .csv {
            Output.write(SessionNotice.keys.joined(separator: ",") + "\r\n")
            Output.flush()
        }
    }

    /// Subscribes, and again whenever there is another collector.
    func subscribe() throws(BusError) {
        slots.append(
            try client.bus.watchName(Client.collector) { [unowned self] current in
                if let current, owner != nil, owner != current { subscribeAgain() }
                if current == nil, owner != nil {
                    Output.error("termspan: The collector has ended; what happens until it is there again is not shown.")
                }
                owner = current ?? owner.map { _ in "" }
            })
        _ = try client.bus.callAndWait(
            Client.collector, path: "/org/termspan1", interface: "org.termspan1.Manager", member: "Subscribe", timeout: Client.timeout,
            autoStart: false)
    }

    private func subscribeAgain() {
        client.bus.call(
            Client.collector, path: "/org/termspan1", interface: "org.termspan1.Manager", member: "Subscribe", timeout: Client.timeout,
            autoStart: false
        ) { result in
            switch result {
            case .success: Output.error("termspan: The collector is there again.")
            case .failure(let error): for line in CommandError(error, from: .collector).lines { Output.error(line) }
            }
        }
    }

    func run() throws(BusError) -> Int32 { try loop.run() }

    private func show(_ notice: SessionNotice) {
        guard SessionWatch.events.contains(notice.event) else { return }
        if let user = command.user, user != notice.user { return }
        if let session = command.session, notice.session != UInt64(session) { return }
        if let event = command.event, event != notice.event { return }
        switch command.output.format {
        case .table: Output.write(notice.line + "\n")
        case .json: Output.write(notice.json.text + "\n")
        case .csv: Output.write(SessionNotice.keys.map { CSV.cell(notice.json[$0] ?? .null) }.joined(separator: ",") + "\r\n")
        }
        Output.flush()
    }
}
