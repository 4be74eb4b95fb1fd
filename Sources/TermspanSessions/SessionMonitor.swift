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

    /// Starts all monitors, waiting for what each knows at first. `onChange` is called from the loop.
    ///
    /// - Parameters:
    ///   - socketsPerUser: how many X sockets of one user are looked at.
    ///   - onLimit: is told of users who have more.
    package init(
        loop: EventLoop, connection: BusConnection, inbox: MainInbox, socketsPerUser: Int, onChange: @escaping @MainActor () -> Void,
        onLimit: @escaping @MainActor (_ uid: UInt32) -> Void
    ) throws {
        self.loop = loop
        self.onChange = onChange
        logind = try LogindMonitor(loop: loop, connection: connection) { [unowned self] in
            sockets?.refresh()
            notice()
        }
        sockets = try ServerSocketMonitor(loop: loop, inbox: inbox) { [unowned self] in notice() }
        xServers = try XServerMonitor(
            loop: loop, socketsPerUser: socketsPerUser,
            onChange: { [unowned self] in
                // It tells of the first ones before it is there itself.
                guard let servers = xServers?.servers else { return }
                sockets?.follow(servers)
                xrdp?.refresh()
                notice()
            }, onLimit: onLimit)
        sockets?.follow(xServers?.servers ?? [])
        xrdp = try XrdpMonitor(loop: loop, inbox: inbox) { [unowned self] in notice() }
    }

    /// What is known now.
    package var observations: Observations {
        Observations(
            logind: logind?.sessions ?? [], xServers: xServers?.servers ?? [], processes: sockets?.processes ?? [:],
            xrdp: xrdp?.connections, moment: .now())
    }

    package func setSocketsPerUser(_ count: Int) {
        xServers?.socketsPerUser = count
    }

    /// Looks again whether clients are there, as when a session without one shows activity.
    package func refreshClients() {
        xrdp?.refresh()
        sockets?.refresh()
    }

    /// Ends the connection of a desktop's client; false where its stack has no way to do that.
    package func endConnection(of desktop: Desktop) throws(SystemError) -> Bool {
        switch desktop.stack {
        case .xrdp:
            guard let display = desktop.xServer?.display ?? desktop.logindSessions.first?.displayNumber else { return false }
            return try xrdp?.endConnection(of: UserDisplay(display, of: desktop.uid)) ?? false
        case .x2go:
            guard let server = desktop.xServer, let connection = desktop.client.connection else { return false }
            return try sockets?.suspend(server, connection: connection) ?? false
        default: return false
        }
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
