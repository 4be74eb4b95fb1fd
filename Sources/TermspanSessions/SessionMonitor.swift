package import TermspanBus
import TermspanCore
import TermspanSystem

/// Everything that is observed of sessions, from all monitors, told once for any number of changes that come together.
@MainActor
package final class SessionMonitor {
    private let loop: EventLoop
    private let onChange: @MainActor () -> Void
    private var logind: LogindMonitor?
    private var xServers: XServerMonitor?
    private var xrdp: XrdpMonitor?
    private var isNoticed = false

    /// Starts all monitors, waiting for what each knows at first. `onChange` is called from the loop.
    package init(loop: EventLoop, connection: BusConnection, inbox: MainInbox, onChange: @escaping @MainActor () -> Void) throws {
        self.loop = loop
        self.onChange = onChange
        logind = try LogindMonitor(loop: loop, connection: connection) { [unowned self] in notice() }
        xServers = try XServerMonitor(loop: loop) { [unowned self] in
            xrdp?.refresh()
            notice()
        }
        xrdp = try XrdpMonitor(loop: loop, inbox: inbox) { [unowned self] in notice() }
    }

    /// What is known now.
    package var observations: Observations {
        Observations(logind: logind?.sessions ?? [], xServers: xServers?.servers ?? [], xrdp: xrdp?.connections, moment: .now())
    }

    /// Looks again whether clients are there, as when a session without one shows activity.
    package func refreshClients() {
        xrdp?.refresh()
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
