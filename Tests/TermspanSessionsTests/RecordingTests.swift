import SeededRandom
import TermspanCore
import Testing

@testable import TermspanSessions

/// Replays every recording through the adapters and the session table: the conformance kit of adapters.
@Suite struct RecordingTests {
    /// Feeds what was observed to a new table, step by step, and returns the sessions after each.
    private func replay(_ steps: [(at: Double, seen: Observations)]) -> [[Session]] {
        var table = SessionTable()
        return steps.map { at, seen in
            let moment = BootInstant(nanoseconds: UInt64((1000 + at) * 1e9))
            // Once when it is seen, and once more when an absence has lasted, as the collector does.
            for moment in [moment, moment.advanced(by: SessionTable.absence)] {
                _ = table.reconcile(seen.desktops(), at: moment, makeUUID: SessionTableTests.makeUUID)
            }
            return table.sessions
        }
    }

    private func row(_ session: Session, identity: String, like model: Recording.Row?) -> Recording.Row {
        let desktop = session.desktop
        return Recording.Row(
            id: session.id.rawValue, user: desktop.userName, stack: desktop.stack.rawValue, state: desktop.state.name, name: session.name,
            confidence: desktop.confidence.rawValue, client: desktop.client.address, display: desktop.xServer?.display,
            sessions: desktop.logindSessions.map(\.id), locked: model?.locked.map { _ in desktop.lock == .locked },
            isWayland: model?.isWayland.map { _ in desktop.isWayland }, identity: identity)
    }

    @Test(arguments: Recording.all) func whatComesOutIsWhatMust(recording: Recording) {
        var labels: [UUIDv7: String] = [:]
        let steps = zip(recording.steps, recording.observations()).map { ($0.at, $1) }
        for (step, sessions) in zip(recording.steps, replay(steps)) {
            for (session, wanted) in zip(sessions, step.rows) where labels[session.uuid] == nil && !labels.values.contains(wanted.identity)
            {
                labels[session.uuid] = wanted.identity
            }
            let rows = sessions.enumerated().map { index, session in
                row(
                    session, identity: labels[session.uuid] ?? "another",
                    like: index < step.rows.count ? step.rows[index] : nil)
            }
            #expect(rows == step.rows, "\(recording.name): \(step.what)")
        }
    }

    @Test(arguments: Recording.all) func theOrderInWhichThingsAreListedSaysNothing(recording: Recording) {
        var random = SeededRandom(seed: 7)
        let seen = recording.observations()
        let straight = replay(Array(zip(recording.steps.map(\.at), seen)))
        for _ in 0..<8 {
            let shuffled = seen.map { seen in
                var seen = seen
                seen.logind.shuffle(using: &random)
                seen.xServers.shuffle(using: &random)
                return seen
            }
            let other = replay(Array(zip(recording.steps.map(\.at), shuffled)))
            #expect(other.map { $0.map(\.desktop) } == straight.map { $0.map(\.desktop) })
            #expect(other.map { $0.map(\.id) } == straight.map { $0.map(\.id) })
        }
    }

    /// Another user logs on over ssh, claims everybody's displays, and runs programs that look like everybody's X servers.
    @Test(arguments: Recording.all) func whatAnotherUserClaimsHoldsForThatUserAlone(recording: Recording) {
        let seen = recording.observations()
        let times = recording.steps.map(\.at)
        let honest = replay(Array(zip(times, seen)))
        let attacked = seen.map { seen in
            var attacked = seen
            let displays = Set(seen.logind.map(\.display) + seen.xServers.map { ":\($0.display)" }).sorted()
            for (index, display) in displays.enumerated() {
                let login = LogindSession(
                    id: "m\(index)", timestamp: UInt64(Recording.beginning) + 1, uid: 6666, userName: "mallory",
                    scope: "session-m\(index).scope", service: "sshd", type: "tty", display: display, remoteHost: "203.0.113.66")
                let server = XServer(
                    display: UInt16(900 + index), pid: 66_000 + UInt32(index), startTime: 1, uid: 6666,
                    controlGroup: "/user.slice/user-6666.slice/session-m\(index).scope")
                attacked.logind.append(login)
                attacked.xServers.append(server)
                let connection = TCPSocket(
                    localAddress: "127.0.0.1", localPort: 5_900, remoteAddress: "203.0.113.66", remotePort: 40_000, uid: 6666, inode: 66)
                let listener = TCPSocket(isListening: true, localPort: 5_900, uid: 6666, inode: 67)
                let program = seen.processes.values.map(\.program).sorted().first ?? "Xorg"
                attacked.processes[server.display] = XServerProcess(program: program, sockets: [connection, listener])
            }
            return attacked
        }
        let others = replay(Array(zip(times, attacked))).map { $0.filter { $0.desktop.uid != 6666 } }
        #expect(others.map { $0.map(\.desktop) } == honest.map { $0.map(\.desktop) }, "\(recording.name)")
    }

    @Test func everyAdapterHasARecording() {
        let recorded = Set(Recording.all.flatMap { $0.steps.flatMap { $0.rows.map(\.stack) } })
        #expect(recorded == Set(Stack.adapters.map(\.stack.rawValue)))
        #expect(Recording.all.allSatisfy { !$0.about.isEmpty && !$0.basis.isEmpty })
    }

    @Test func namesOfStacksAreTheirOwn() {
        let adapters = Stack.adapters
        #expect(Set(adapters.map(\.stack)).count == adapters.count)
        #expect(Set(adapters.map { $0.sessionName("7", seat: "") }).count == adapters.count)
        #expect(adapters.allSatisfy { $0.stack.typeName == $0.typeName })
    }
}
