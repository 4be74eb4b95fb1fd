import ArgumentParser
import Glibc
import TermspanBus
import TermspanCore

/// `termspan top`
struct Top: MainCommand {
    static var configuration: CommandConfiguration {
        CommandConfiguration(
            commandName: "top", abstract: "Watch the sessions live.",
            discussion: "It shows changes as they happen and times once a second. q quits. NO_COLOR= turns colours off.")
    }

    func execute() throws {
        guard isatty(STDIN_FILENO) == 1, isatty(STDOUT_FILENO) == 1 else {
            throw CommandError(.failure, "top needs a terminal.", remedy: "Use `termspan query session` in scripts.")
        }
        let client = try Client.connect()
        // An answer now, so that errors appear as those of other commands.
        let first = try client.sessions()
        do throws(BusError) {
            let view = try LiveView(client: client, sessions: first)
            let code = try view.run()
            if code != 0 { throw BusError.failed("The connection to the bus was lost.") }
        } catch {
            throw CommandError(error, from: .collector)
        }
    }
}

/// The live view: a loop over the terminal, the bus and a clock.
@MainActor
final class LiveView {
    private let loop: EventLoop
    private let bus: BusConnection
    private let terminal: Terminal
    private var screen = TopScreen()
    private var slots: [BusSlot] = []
    private var sources: [EventSource] = []
    private var tick: EventSource?
    private var isAsking = false
    private var mustAskAgain = false
    private let colors: Bool

    init(client: Client, sessions: [SessionRow]) throws(BusError) {
        loop = try EventLoop()
        bus = client.bus
        terminal = Terminal()
        colors = getenv("NO_COLOR").map { $0.pointee == 0 } ?? true
        screen.sessions = sessions
        try bus.attach(to: loop)
        for member in ["SessionNew", "SessionRemoved", "SessionChanged"] {
            slots.append(
                try bus.match(
                    BusMatch(sender: Client.collector, path: "/org/termspan1", interface: "org.termspan1.Manager", member: member)
                ) { [unowned self] _ in ask() })
        }
        slots.append(try bus.onDisconnect { [unowned self] in loop.exit(1) })
        sources.append(try loop.signals([SIGINT, SIGTERM, SIGHUP]) { [unowned self] _ in loop.exit(0) })
        sources.append(try loop.signals([SIGWINCH]) { [unowned self] _ in draw() })
        sources.append(try loop.watch(STDIN_FILENO) { [unowned self] _ in key() })
        tick = try loop.timer(at: loop.now) { [unowned self] in
            tick?.arm(after: .seconds(1))
            ask()
        }
    }

    func run() throws(BusError) -> Int32 {
        terminal.enter()
        defer { terminal.leave() }
        draw()
        return try loop.run()
    }

    private func key() {
        var bytes = [UInt8](repeating: 0, count: 64)
        let count = read(STDIN_FILENO, &bytes, bytes.count)
        // 3 and 4 are Ctrl-C and Ctrl-D; no bytes, the end of the terminal.
        if count == 0 || bytes.prefix(max(0, count)).contains(where: { "qQ\u{3}\u{4}".utf8.contains($0) }) { loop.exit(0) }
    }

    /// Asks for everything anew, one question at a time however many signals come.
    private func ask() {
        if isAsking {
            mustAskAgain = true
            return
        }
        isAsking = true
        call("ListSessions") { [unowned self] result in
            switch result.flatMap({ message in
                Result { () throws(BusError) in try Client.sessions(message) }
            }) {
            case .success(let rows):
                screen.sessions = rows
                screen.problem = nil
            case .failure(let error):
                screen.problem = CommandError(error, from: .collector).message
            }
            call("Status") { [unowned self] result in
                if let values = try? result.get().readProperties() { screen.status = ServiceStatus(values) }
                isAsking = false
                draw()
                if mustAskAgain {
                    mustAskAgain = false
                    ask()
                }
            }
        }
    }

    private func call(_ member: String, reply: @escaping @MainActor (Result<BusMessage, BusError>) -> Void) {
        bus.call(
            Client.collector, path: "/org/termspan1", interface: "org.termspan1.Manager", member: member, timeout: Client.timeout,
            autoStart: false, reply: reply)
    }

    private func draw() {
        let size = terminal.size
        terminal.show(screen.lines(width: size.columns, height: size.rows, now: .present, colors: colors))
    }
}
