import BusTesting
import Glibc
import TermspanBus
import TermspanCore
import TermspanSystem
import Testing

@testable import TermspanSessions

/// logind's questions and answers, on a bus of the tests' own.
@Suite(.serialized) @MainActor struct LogindMonitorTests {
    @MainActor private final class Stage {
        let bus: PrivateBus
        let logind: Child
        let loop: EventLoop
        let connection: BusConnection

        init(sessions: Int, leader: UInt32? = nil) throws {
            bus = try PrivateBus()
            logind = try bus.start("fake-logind", [String(sessions)] + (leader.map { [String($0)] } ?? []))
            loop = try EventLoop()
            connection = try BusConnection.open(address: bus.address)
            try connection.attach(to: loop)
        }

        func stop() {
            kill(logind.processID, SIGCONT)
            logind.stop()
            bus.stop()
        }

        func run(until isDone: () -> Bool) throws {
            let deadline = BootInstant.now().advanced(by: .seconds(20))
            while !isDone(), BootInstant.now() < deadline { _ = try loop.runOnce(timeout: .milliseconds(20)) }
            #expect(isDone())
        }
    }

    /// A connection may await 128 answers in all, for everything that the collector asks of anybody.
    @Test func oneUsersSessionsThatAllChangeTakeFewQuestionsAndOthersTakeTurns() throws {
        let stage = try Stage(sessions: 300)
        defer { stage.stop() }
        var before: Int?
        var monitor: LogindMonitor?
        monitor = try LogindMonitor(loop: stage.loop, connection: stage.connection, watchesFiles: false) {
            let sessions = monitor?.sessions ?? []
            guard before == nil, sessions.contains(where: { $0.uid == 1002 && $0.lockedHint }) else { return }
            before = sessions.count { $0.uid == 1001 && $0.lockedHint }
        }
        #expect(monitor?.sessions.count == 301)
        stage.connection.call(
            "org.freedesktop.login1", path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager", member: "LockSessions",
            reply: { _ in })
        // Now logind does not answer.
        try stage.run { monitor?.waiting == 301 }
        #expect(monitor?.questions == 32)
        kill(stage.logind.processID, SIGCONT)
        try stage.run { monitor?.sessions.allSatisfy(\.lockedHint) == true }
        #expect(monitor?.questions == 0 && monitor?.waiting == 0)
        // Those that were asked for when the other user's turn came, and a round more.
        #expect(try #require(before) <= 66)
    }

    /// Debian 13's sshd writes no utmp(5), so logind knows no terminal.
    @Test(.enabled(if: geteuid() == 0)) func aTerminalThatLogindDoesNotKnowComesAndGoes() throws {
        let terminal = try Terminal.Fixture()
        #expect(chown(terminal.path, 1001, 1001) == 0)
        // The shell comes after logind was told of the login.
        let login = try LoginProcess("sleep 0.1; setsid --ctty sleep 60 <\(terminal.path) & wait")
        defer { login.end() }
        let stage = try Stage(sessions: 1, leader: login.leader)
        defer { stage.stop() }
        var seen: Set<String> = []
        var monitor: LogindMonitor?
        monitor = try LogindMonitor(loop: stage.loop, connection: stage.connection, watchesFiles: false) {
            seen.formUnion(monitor?.sessions.map { "\($0.uid) \($0.tty)" } ?? [])
        }
        try stage.run { monitor?.sessions.first?.tty == terminal.name }
        // It has gone, and its name may be another login's next.
        login.endDescendants()
        stage.connection.call(
            "org.freedesktop.login1", path: "/org/freedesktop/login1", interface: "org.freedesktop.login1.Manager", member: "LockSessions",
            reply: { _ in })
        try stage.run { monitor?.waiting == 2 }
        kill(stage.logind.processID, SIGCONT)
        try stage.run { monitor?.sessions.map(\.tty) == ["", ""] }
        // The terminal is no other user's.
        #expect(seen.isDisjoint(with: ["1002 \(terminal.name)"]))
    }
}

@Suite struct EndedLoginsTests {
    private func login(_ number: UInt64) -> SessionKey { .logind(id: String(number), timestamp: number) }

    @Test func whatHasEndedIsRememberedUntilAListThatWasAskedForLaterDoesNotHaveIt() {
        var ended = EndedLogins()
        ended.insert([login(1)])
        ended.listIsAskedFor()
        // This one began and ended while the list was under way, which does not know of it.
        ended.insert([login(2)])
        ended.listHasCome(with: [login(1)])
        #expect(ended.contains(login(1)) && ended.contains(login(2)))
        ended.listIsAskedFor()
        // No answer: nothing is forgotten.
        ended.listIsAskedFor()
        ended.listHasCome(with: [])
        #expect(!ended.contains(login(1)) && !ended.contains(login(2)))
    }
}
