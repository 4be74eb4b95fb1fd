import TermspanCore
import Testing

@testable import TermspanSessions

@Suite struct ListenerTests {
    @Test func listenersAreNumberedFrom65536() {
        #expect(Listener.listeners(active: []).isEmpty)
        let all = Listener.listeners(active: ["ssh.socket", "xrdp.service", "cron.service"])
        #expect(all.map(\.id.rawValue) == [65536, 65537] && all.map(\.name) == ["rdp-tcp", "ssh"])
        // A stack's number does not depend on the others.
        #expect(Listener.listeners(active: ["ssh.service", "ssh.socket"]) == [all[1]])
    }

    @Test func pathsOfUnitsAreSystemds() {
        #expect(ListenerMonitor.path(of: "xrdp.service") == "/org/freedesktop/systemd1/unit/xrdp_2eservice")
        #expect(ListenerMonitor.path(of: "7-a@b.socket") == "/org/freedesktop/systemd1/unit/_37_2da_40b_2esocket")
    }
}
