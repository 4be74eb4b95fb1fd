import Glibc
package import TermspanBus
import TermspanCore
package import TermspanSystem

/// Everything that is observed of sessions, from all monitors, told once for any number of changes that come together.
@MainActor
package final class SessionMonitor {
    private let loop: EventLoop
    private let onChange: @MainActor () -> Void
    private var logind: LogindMonitor?
    private var xServers: XServerMonitor?
    private var sockets: ServerSocketMonitor?
    private var xrdp: XrdpMonitor?
    private var isNoticed = false
    /// Logins that are closing.
    private var closing: Set<SessionKey> = []

    /// Starts all monitors, waiting for what each knows at first. `onChange` is called from the loop.
    ///
    /// - Parameters:
    ///   - socketsPerUser: how many X sockets of one user are looked at.
    ///   - names: reads what xrdp's clients call themselves.
    ///   - onLimit: is told of users who have more.
    ///   - onLogindLoss: is told when logind goes.
    package init(
        loop: EventLoop, connection: BusConnection, inbox: MainInbox, socketsPerUser: Int, names: @escaping XrdpMonitor.NameReader,
        onChange: @escaping @MainActor () -> Void,
        onLimit: @escaping @MainActor (_ uid: UInt32) -> Void, onLogindLoss: @escaping @MainActor () -> Void
    ) throws {
        self.loop = loop
        self.onChange = onChange
        logind = try LogindMonitor(
            loop: loop, connection: connection,
            onChange: { [unowned self] in
                lookAtEnds()
                sockets?.refresh()
                notice()
            }, onLoss: onLogindLoss)
        sockets = try ServerSocketMonitor(loop: loop, inbox: inbox) { [unowned self] in notice() }
        xServers = try XServerMonitor(
            loop: loop, inbox: inbox, socketsPerUser: socketsPerUser,
            onChange: { [unowned self] in
                // It tells of the first ones before it is there itself.
                guard let servers = xServers?.servers else { return }
                sockets?.follow(servers)
                xrdp?.refresh()
                notice()
            }, onLimit: onLimit)
        sockets?.follow(xServers?.servers ?? [])
        xrdp = try XrdpMonitor(loop: loop, inbox: inbox, names: names) { [unowned self] in notice() }
    }

    /// What is known now.
    package var observations: Observations {
        Observations(
            logind: logind?.sessions ?? [], xServers: xServers?.servers ?? [], processes: sockets?.processes ?? [:],
            unread: sockets?.unread ?? [],
            xrdp: xrdp?.connections, moment: .now())
    }

    /// Whether a login is over by logind's word, and has processes still.
    package func isClosing(_ login: SessionKey) -> Bool {
        logind?.sessions.contains { $0.key == login && $0.state == "closing" } ?? false
    }

    package func setSocketsPerUser(_ count: Int) {
        xServers?.socketsPerUser = count
    }

    /// Looks again whether clients are there, as when a session without one shows activity.
    package func refreshClients() {
        xrdp?.refresh()
        sockets?.refresh()
    }

    /// What became of a wish to end a client's connection.
    package enum ConnectionEnd {
        case done
        case noClient
        /// This has to be run as the user of the X server; it prints a number if it succeeds, and else why not.
        case command([String], XServer)
        /// A program that it takes is not installed.
        case missing(String)
        /// The stack has no way to do that.
        case impossible
    }

    /// Ends the connection of a desktop's client, or says what that takes.
    package func endConnection(of desktop: Desktop) throws(SystemError) -> ConnectionEnd {
        switch desktop.stack {
        case .xrdp:
            guard let display = desktop.xServer?.display ?? desktop.logindSessions.first?.displayNumber else { return .impossible }
            return try xrdp?.endConnection(of: UserDisplay(display, of: desktop.uid)) == true ? .done : .impossible
        case .x2go:
            guard let server = desktop.xServer, let connection = desktop.client.connection else { return .impossible }
            return try sockets?.suspend(server, connection: connection) == true ? .done : .impossible
        case .vnc:
            guard let server = desktop.xServer else { return .impossible }
            // Of a server that listens on a Unix socket alone nobody knows its clients.
            guard desktop.client.connection != nil || desktop.confidence == .low else { return .noClient }
            // Whether this process could run it says nothing: its own sandbox lets it run next to nothing.
            guard let program = VNCStack.programs.first(where: { access($0, F_OK) == 0 }) else { return .missing(VNCStack.programs[0]) }
            return .command(VNCStack.disconnect(server, program: program), server)
        default: return .impossible
        }
    }

    /// What keeps a closing login a session is an X server that is left running, and that may listen only since a moment ago.
    private func lookAtEnds() {
        let known = closing
        closing = Set(logind?.sessions.filter { $0.state == "closing" }.map(\.key) ?? [])
        if !closing.isSubset(of: known) { xServers?.lookAgain() }
    }

    private func notice() {
        guard !isNoticed else { return }
        isNoticed = true
        loop.deferred { [unowned self] in
            isNoticed = false
            onChange()
        }
    }
}
