import TermspanAccounting
import TermspanBus
import TermspanControl
import TermspanCore
import TermspanSessions

/// One row of ListSessions: what everybody may see, and what only some may.
struct SessionRow {
    var session: Session
    var now: BootInstant
    var anchors: ClockAnchors
    /// As `Collector.lastInput` has it.
    var lastInput: BootInstant?
    var isTracked: Bool
    var coverage: Coverage
    var screen: Screen?
    /// Whether the caller may see where the session is used from, whether it is measured and when there was input.
    var isDetailed: Bool
    /// Those of the user's that are known, where the caller may know them.
    var sids: Set<SecurityID>
    /// Whether the caller's process belongs to the session.
    var isCallers: Bool

    @MainActor
    func write(to writer: inout BusMessageWriter) {
        let desktop = session.desktop
        let login = desktop.logindSessions.first
        writer.property("id", session.id.rawValue)
        writer.property("uuid", session.uuid.description)
        writer.property("name", session.name)
        writer.property("user", desktop.userName)
        writer.property("uid", desktop.uid)
        writer.property("state", desktop.state.name)
        writer.property("confidence", desktop.confidence.rawValue)
        writer.property("stack", desktop.stack.rawValue)
        writer.property("type", desktop.stack.typeName)
        writer.property("logon", login?.timestamp ?? 0)
        writer.property("connected", microseconds(session.connected))
        writer.property("disconnected", microseconds(session.disconnected))
        writer.property("now", microseconds(now))
        writer.property("mine", isCallers)
        if !sids.isEmpty { writer.property("sids", sids.sorted().map(\.description)) }
        guard isDetailed else { return }
        writer.property("tracked", isTracked)
        writer.property("coverage", coverageName)
        writer.property("coverage-reason", desktop.stack == .services ? "" : coverage.reason)
        if let lastInput {
            writer.property("idle", UInt64(max(0, lastInput.duration(to: now).wholeNanoseconds)) / 1000)
            writer.property("last-input", microseconds(lastInput))
        }
        writer.property("locked", desktop.lock.rawValue)
        writer.property("display", session.display)
        writer.property("seat", login?.seat ?? "")
        writer.property("tty", login?.tty ?? "")
        writer.property("client-address", desktop.client.address ?? "")
        writer.property("client-name", desktop.client.name ?? "")
        if let screen {
            writer.property("screen-width", UInt32(screen.width))
            writer.property("screen-height", UInt32(screen.height))
            writer.property("color-depth", UInt32(screen.depth))
        }
        writer.property("logind-sessions", desktop.logindSessions.map(\.id))
        writer.property("scope", login?.scope ?? "")
        writer.property("leader", login?.leader ?? 0)
    }

    /// A row of which only name and number are known.
    @MainActor
    static func write(_ listener: Listener, to writer: inout BusMessageWriter) {
        writer.property("id", listener.id.rawValue)
        writer.property("name", listener.name)
        writer.property("state", ConnectState.listen.name)
        writer.property("confidence", Confidence.high.rawValue)
        writer.property("stack", listener.stack.rawValue)
    }

    private var coverageName: String { session.desktop.stack == .services ? "" : coverage.name }

    private func microseconds(_ instant: BootInstant?) -> UInt64 {
        guard let instant else { return 0 }
        return anchors.wall(at: instant)?.microseconds ?? 0
    }
}
