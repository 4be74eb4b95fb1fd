import Glibc
import TermspanControl
import TermspanCore
import TermspanEvents
import TermspanSystem
import Testing

/// The probe's program against real X servers.
///
/// Needs Debian's packages xvfb, xdotool, openbox and xterm; tigervnc-standalone-server and nxagent for two of the tests.
@Suite(
    .enabled(
        if: ["Xvfb", "xdotool", "openbox", "xterm"].allSatisfy { Program.find($0) != nil }, "Xvfb, xdotool, openbox and xterm are needed"),
    .timeLimit(.minutes(1)))
struct ProbeTests {
    // MARK: What it sees

    @Test func followsTheActiveWindowInOrder() throws {
        let display = try TestDisplay()
        try display.startManager()
        let probe = try TestProbe(display)
        let features = try probe.ready()
        #expect(features.isSuperset(of: [.serverPIDs, .idleTime, .deviceIdleTime]))
        #expect(try probe.wait { $0.snapshot?.id == 0 } != nil)

        var terminals: [(name: String, pid: Int32)] = []
        for name in ["Alpha", "Beta", "Gamma"] {
            let terminal = try display.start("xterm", "-class", name)
            terminals.append((name, terminal.pid))
            let seen = try #require(try probe.wait { $0.focus?.windowClass.text == name })
            #expect(seen.event.focus?.process == ProcessClaim(pid: UInt32(terminal.pid), origin: .server))
        }
        let order = ["Alpha", "Gamma", "Beta", "Alpha", "Beta"]
        let before = probe.entries.count
        for name in order {
            try display.run("xdotool", "search", "--onlyvisible", "--class", "^\(name)$", "windowactivate")
            #expect(try probe.wait { $0.focus?.windowClass.text == name } != nil)
        }
        _ = try probe.settle()
        // A window manager may say in between that no window is active.
        let seen = probe.entries[before...].compactMap { $0.event.focus }.filter { $0.window != 0 }
        #expect(seen.map(\.windowClass.text) == order)
        #expect(seen.map { Int32($0.process.pid) } == order.map { name in terminals.first { $0.name == name }?.pid ?? 0 })
        try expectAllowed(probe, during: ["always", "the server has X-Resource", Self.devices, Self.unmanaged, Self.managed])
    }

    @Test func inputIsTwoEdgesABurstAndNothingAKey() throws {
        let display = try TestDisplay()
        try display.startManager()
        let probe = try TestProbe(display, gap: 1500)
        _ = try probe.ready()
        try display.start("xterm", "-class", "Typed")
        #expect(try probe.wait { $0.focus?.windowClass.text == "Typed" } != nil)
        if !probe.entries.contains(where: { $0.event.ended != nil }) { #expect(try probe.wait { $0.ended != nil } != nil) }
        _ = try probe.settle()
        let wireBefore = probe.recorder.events.count
        let before = probe.entries.count

        let start = BootInstant.now()
        try display.run("xdotool", "type", "--delay", "12", String(repeating: "termspan ", count: 11) + "!")
        let end = BootInstant.now()
        _ = try probe.settle(.milliseconds(100))
        #expect(probe.entries.count == before + 1)
        #expect(Self.selected(probe.recorder.events[wireBefore...]).count == 1, "one alarm for 100 keys")
        let began = try #require(probe.entries.last?.event.began)
        #expect(began.origin == .synthetic)
        #expect(began.effective >= start && began.effective <= end)

        let entry = try #require(try probe.wait { $0.ended != nil })
        let ended = try #require(entry.event.ended)
        #expect(ended.origin == .synthetic)
        #expect(abs(end.duration(to: ended.effective)) < .milliseconds(150))
        #expect(abs(ended.effective.duration(to: entry.time) - .milliseconds(1500)) < .milliseconds(200))
        #expect(probe.entries.count == before + 2)
        #expect(Self.selected(probe.recorder.events[wireBefore...]).count == 2)
        try expectAllowed(probe, during: ["always", "the server has X-Resource", Self.devices, Self.unmanaged, Self.managed])
    }

    /// A probe that gets no processor for a while reads late; what it tells of is dated by when it was.
    @Test func whatIsReadLateIsDatedByWhenItWas() throws {
        let display = try TestDisplay()
        let client = try TestClient(display)
        client.becomeManager()
        let windows = (client.window(class: "Before"), client.window(class: "After"))
        client.set(client.atom("_NET_ACTIVE_WINDOW"), of: client.root, to: [windows.0])
        client.sync()
        let probe = try TestProbe(display, gap: 1500)
        _ = try probe.ready()
        #expect(try probe.wait { $0.ended != nil } != nil)

        try probe.program.signal(SIGSTOP)
        let change = BootInstant.now()
        client.set(client.atom("_NET_ACTIVE_WINDOW"), of: client.root, to: [windows.1])
        client.sync()
        sleep(for: .milliseconds(100))
        let input = BootInstant.now()
        try display.run("xdotool", "key", "a")
        let after = BootInstant.now()
        sleep(for: .milliseconds(300))
        try probe.program.signal(SIGCONT)

        let focus = try #require(try probe.wait { $0.focus?.windowClass.text == "After" })
        #expect(abs(change.duration(to: focus.time)) < .milliseconds(50))
        if !probe.entries.contains(where: { $0.event.began != nil }) { #expect(try probe.wait { $0.began != nil } != nil) }
        let began = try #require(probe.entries.last { $0.event.began != nil })
        #expect(began.time >= focus.time)
        let effective = try #require(began.event.began?.effective)
        #expect(effective > input.advanced(by: .milliseconds(-5)) && effective < after.advanced(by: .milliseconds(5)))

        let open = probe.entries.count
        sleep(for: .milliseconds(1000))
        try probe.program.signal(SIGSTOP)
        sleep(for: .milliseconds(1000))
        try probe.program.signal(SIGCONT)
        let ended = try #require(try probe.wait { $0.ended != nil }?.event.ended)
        #expect(probe.entries.count == open + 1)
        #expect(ended.effective > input.advanced(by: .milliseconds(-5)) && ended.effective < after.advanced(by: .milliseconds(50)))
    }

    /// Of two changes in one waking only the second one's window is there to be seen. Nobody is told that the one before went on being active.
    @Test func aWindowThatIsGoneBeforeItCouldBeSeenIsToldAsUnseen() throws {
        let display = try TestDisplay()
        let client = try TestClient(display)
        client.becomeManager()
        let names = ["One", "Two", "Three"]
        let windows = names.map { client.window(class: $0) }
        func activate(_ index: Int) -> BootInstant {
            let now = BootInstant.now()
            client.set(client.atom("_NET_ACTIVE_WINDOW"), of: client.root, to: [windows[index]])
            client.sync()
            return now
        }
        _ = activate(0)
        let probe = try TestProbe(display)
        _ = try probe.ready()
        #expect(try probe.wait { $0.snapshot?.focus.windowClass.text == "One" } != nil)

        /// What a probe tells that can't look between a change to the second window and one to `last`.
        func told(last: Int, after pause: Duration) throws -> (since: BootInstant, time: BootInstant, [TestProbe.Entry]) {
            _ = activate(0)
            _ = try probe.settle()
            let before = probe.entries.count
            try probe.program.signal(SIGSTOP)
            let since = activate(1)
            sleep(for: pause)
            let time = activate(last)
            sleep(for: .milliseconds(200))
            try probe.program.signal(SIGCONT)
            _ = try probe.settle()
            return (since, time, probe.entries[before...].filter { $0.event.focus != nil })
        }
        // Then another window is active, or the one from before again.
        for last in [2, 0] {
            let (since, time, entries) = try told(last: last, after: .milliseconds(200))
            #expect(entries.compactMap(\.event.focus?.window) == [Focus.unseen.window, windows[last]])
            try #require(entries.count == 2)
            #expect(abs(since.duration(to: entries[0].time)) < .milliseconds(20))
            #expect(abs(time.duration(to: entries[1].time)) < .milliseconds(20))
        }
        // As far as anybody is promised to be right nothing is missing.
        for _ in 0..<5 {
            let (since, time, entries) = try told(last: 2, after: .zero)
            // A machine that was busy meanwhile made it longer.
            guard since.duration(to: time) < .milliseconds(20) else { continue }
            #expect(entries.compactMap(\.event.focus?.window) == [windows[2]])
            #expect(abs(time.duration(to: try #require(entries.first).time)) < .milliseconds(40))
            return
        }
        Issue.record("two changes never came within 20 ms")
    }

    /// The window is asked for after the event was read: what changes in between must not be told as of that event.
    @Test func aChangeWhileTheWindowIsAskedForIsNotDatedBack() throws {
        let display = try TestDisplay()
        let client = try TestClient(display)
        client.becomeManager()
        let names = ["One", "Two", "Three"]
        let windows = names.map { client.window(class: $0) }
        let probe = try TestProbe(display)
        _ = try probe.ready()
        for round in 0..<30 {
            let (second, third) = (windows[(round + 1) % 3], windows[(round + 2) % 3])
            try probe.program.signal(SIGSTOP)
            client.set(client.atom("_NET_ACTIVE_WINDOW"), of: client.root, to: [second])
            client.sync()
            sleep(for: .milliseconds(60))
            try probe.program.signal(SIGCONT)
            sleep(for: .microseconds(40 * Int64(round)))
            let change = BootInstant.now()
            client.set(client.atom("_NET_ACTIVE_WINDOW"), of: client.root, to: [third])
            client.sync()
            let told = try #require(try probe.wait { $0.focus?.windowClass.text == names[(round + 2) % 3] })
            // The server counts milliseconds.
            #expect(told.time > change.advanced(by: .milliseconds(-3)), "round \(round)")
            #expect(abs(change.duration(to: told.time)) < .milliseconds(50))
        }
    }

    @Test func withoutAWindowManagerItFollowsTheFocusAndLetsGoWhenOneStarts() throws {
        let display = try TestDisplay()
        let probe = try TestProbe(display, gap: 1500)
        #expect(try !probe.ready().contains(.activeWindow))
        try display.start("xterm", "-class", "Alpha")
        try display.start("xterm", "-class", "Beta")
        sleep(for: .seconds(1))
        let before = probe.entries.count
        let order = ["Alpha", "Beta", "Alpha"]
        for name in order {
            try display.run("xdotool", "search", "--onlyvisible", "--class", "^\(name)$", "windowfocus")
            #expect(try probe.wait { $0.focus?.windowClass.text == name } != nil)
        }
        #expect(probe.entries[before...].compactMap { $0.event.focus?.windowClass.text } == order)
        #expect(probe.entries.last?.event.focus?.process.origin == .server)

        // A burst is open before and after, so that typing itself brings no alarm.
        try display.run("xdotool", "key", "a")
        _ = try probe.settle()
        try display.startManager()
        // A window is not visible while the manager gives it its frame.
        try display.run("xdotool", "search", "--sync", "--onlyvisible", "--class", "^Beta$", "windowactivate")
        #expect(try probe.wait { $0.focus?.windowClass.text == "Beta" } != nil)
        let masks = probe.recorder.requests.filter { $0.hasPrefix("ChangeWindowAttributes") }
        let watched = masks.filter { $0 == "ChangeWindowAttributes window FocusChange" }.count
        #expect(watched > 0)
        #expect(masks.filter { $0 == "ChangeWindowAttributes window nothing" }.count <= watched)
        #expect(masks.last { $0.contains("root") } == "ChangeWindowAttributes root PropertyChange|StructureNotify")
        #expect(masks.last { $0.contains("window") } == "ChangeWindowAttributes window nothing")
        try expectAllowed(probe, during: ["always", "the server has X-Resource", Self.devices, Self.unmanaged, Self.managed])
    }

    @Test func aSnapshotHasTheWholeState() throws {
        let display = try TestDisplay()
        let client = try TestClient(display)
        client.becomeManager()
        let window = client.window(class: "Snap")
        client.set(client.atom("_NET_ACTIVE_WINDOW"), of: client.root, to: [window])
        client.sync()
        let probe = try TestProbe(display, gap: 5000)
        #expect(try probe.ready().contains(.activeWindow))
        let first = try #require(try probe.wait { $0.snapshot != nil }?.event.snapshot)
        #expect(first.id == 0)
        #expect(first.focus.windowClass.text == "Snap")
        #expect(first.focus.process == ProcessClaim(pid: UInt32(getpid()), origin: .server))
        #expect(first.inputOpen)

        #expect(try probe.wait { $0.ended != nil } != nil)
        try probe.tell(.level(.details))
        try probe.tell(.snapshot(id: .max))
        let asked = try #require(try probe.wait { $0.snapshot != nil }?.event.snapshot)
        #expect(asked.id == .max)
        #expect(asked.focus == first.focus)
        #expect(!asked.inputOpen)
        let last = try #require(asked.lastInput)
        #expect(abs(last.effective.duration(to: first.lastInput?.effective ?? .zero)) < .milliseconds(100))
    }

    @Test func aWindowThatIsGoneIsToldWithWhatIsKnown() throws {
        let display = try TestDisplay()
        let client = try TestClient(display)
        client.becomeManager()
        let probe = try TestProbe(display)
        _ = try probe.ready()
        let active = client.atom("_NET_ACTIVE_WINDOW")
        let window = client.window(class: "Gone")
        client.destroy(window)
        client.set(active, of: client.root, to: [window])
        client.sync()
        let gone = try #require(try probe.wait { $0.focus?.window == window }?.event.focus)
        #expect(gone.windowClass == WindowClass())
        client.set(active, of: client.root, to: [])
        client.sync()
        #expect(try probe.wait { $0.focus == Focus.none } != nil)
    }

    @Test func aHostileClassIsCutShort() throws {
        let display = try TestDisplay()
        let client = try TestClient(display)
        client.becomeManager()
        let probe = try TestProbe(display)
        _ = try probe.ready()
        let window = client.window(class: String(repeating: "x", count: 60_000))
        client.set(client.atom("_NET_ACTIVE_WINDOW"), of: client.root, to: [window])
        client.sync()
        let seen = try #require(try probe.wait { $0.focus?.window == window }?.event.focus)
        #expect(seen.windowClass.count == 128 - "instance\0".utf8.count)
    }

    @Test func aFloodIsReadAtALimitedRateAndEndsWithTheLatest() throws {
        let display = try TestDisplay()
        let client = try TestClient(display)
        client.becomeManager()
        let probe = try TestProbe(display)
        _ = try probe.ready()
        let active = client.atom("_NET_ACTIVE_WINDOW")
        let windows = (0..<4).map { client.window(class: "Flap\($0)") }
        let start = BootInstant.now()
        var round = 0
        while start.duration(to: .now()) < .seconds(3) {
            client.set(active, of: client.root, to: [windows[round % 4]])
            client.sync()
            round += 1
        }
        let last = client.window(class: "Last")
        client.set(active, of: client.root, to: [last])
        client.sync()
        #expect(try probe.wait { $0.focus?.windowClass.text == "Last" } != nil)
        let seconds = Int(start.duration(to: .now()).components.seconds) + 1
        let reads = probe.recorder.requests.filter { $0 == "GetProperty root _NET_ACTIVE_WINDOW 0..1" }.count
        #expect(round > 1000)
        #expect(reads > 250)
        #expect(reads <= 250 + 50 * seconds + 10)
    }

    // MARK: Origins

    @Test(.enabled(if: Program.find("Xtigervnc") != nil, "Xtigervnc is needed"))
    func aRemoteClientsKeyIsADevicesAndXTestsIsNot() throws {
        let display = try TestDisplay(.tigerVNC)
        let probe = try TestProbe(display, gap: 1000)
        #expect(try probe.ready().contains(.deviceIdleTime))
        #expect(try probe.wait { $0.ended != nil }?.event.ended?.origin != .synthetic)
        let remote = try RemoteFramebuffer(display)
        try remote.typeKey(0x61)
        #expect(try probe.wait { $0.began != nil }?.event.began?.origin == .device)
        #expect(try probe.wait { $0.ended != nil }?.event.ended?.origin == .device)
        try display.run("xdotool", "key", "b")
        #expect(try probe.wait { $0.began != nil }?.event.began?.origin == .synthetic)
        #expect(try probe.wait { $0.ended != nil }?.event.ended?.origin == .synthetic)
        try expectAllowed(probe, during: ["always", "the server has X-Resource", Self.devices, Self.unmanaged])
    }

    @Test(.enabled(if: Program.find("Xtigervnc") != nil, "Xtigervnc is needed"))
    func theScreenIsToldWhenItChangesAndWithASnapshot() throws {
        let display = try TestDisplay(.tigerVNC)
        let probe = try TestProbe(display)
        _ = try probe.ready()
        #expect(try probe.wait(for: Screen(width: 800, height: 600, depth: 24)))
        let remote = try RemoteFramebuffer(display)
        for (width, height) in [(1024, 768), (640, 480)] as [(UInt16, UInt16)] {
            try remote.resize(width: width, height: height)
            #expect(try probe.wait(for: Screen(width: width, height: height, depth: 24)))
        }
        let told = probe.screensTold
        try probe.tell(.snapshot(id: 7))
        #expect(try probe.wait { $0.snapshot?.id == 7 } != nil)
        _ = try probe.answer(.milliseconds(200))
        #expect(probe.screensTold == told + 1 && probe.screen?.width == 640)
        try expectAllowed(probe, during: ["always", "the server has X-Resource", Self.devices, Self.unmanaged])
    }

    @Test(.enabled(if: Program.find("nxagent") != nil, "nxagent is needed"))
    func nxagentHasClaimsAndEdgesOnly() throws {
        let display = try TestDisplay(.nxagent)
        try display.startManager()
        let probe = try TestProbe(display, gap: 1000)
        #expect(try probe.ready().isDisjoint(with: [.serverPIDs, .deviceIdleTime]))
        let terminal = try display.start("xterm", "-class", "Claimed")
        let seen = try #require(try probe.wait { $0.focus?.windowClass.text == "Claimed" }?.event.focus)
        #expect(seen.process == ProcessClaim(pid: UInt32(terminal.pid), origin: .client))
        _ = try probe.wait { $0.ended != nil }
        try display.run("xdotool", "key", "a")
        #expect(try probe.wait { $0.began != nil }?.event.began?.origin == .unknown)
        #expect(try probe.wait { $0.ended != nil }?.event.ended?.origin == .unknown)
        try expectAllowed(
            probe,
            during: ["always", "the server has X-Resource", "the server can't name the process of a window", Self.unmanaged, Self.managed])
    }

    // MARK: How it ends

    @Test func aServerThatDiesEndsTheProbe() throws {
        let display = try TestDisplay()
        let probe = try TestProbe(display)
        _ = try probe.ready()
        try display.server.signal(SIGKILL)
        #expect(try probe.answer() == .failed(.connectionLost))
        #expect(try probe.program.wait(.seconds(2)) == .exited(0))
    }

    @Test func aServerThatDoesNotAnswerEndsTheStart() throws {
        let display = try TestDisplay()
        try display.server.signal(SIGSTOP)
        let start = BootInstant.now()
        let probe = try TestProbe(display)
        #expect(try probe.answer() == .failed(.timeout))
        #expect(try probe.program.wait(.seconds(1)) == .exited(13))
        let took = start.duration(to: .now())
        #expect(took > .seconds(4) && took < .seconds(7))
    }

    @Test func aServerThatStopsAnsweringEndsTheProbeWhenItIsAsked() throws {
        let display = try TestDisplay()
        let probe = try TestProbe(display)
        _ = try probe.ready()
        try display.server.signal(SIGSTOP)
        #expect(try probe.program.wait(.milliseconds(300)) == nil)
        try probe.tell(.snapshot(id: 1))
        #expect(try probe.answer() == .failed(.timeout))
        #expect(try probe.program.wait(.seconds(1)) == .exited(13))
    }

    @Test func aWrongCookieIsRefused() throws {
        let display = try TestDisplay()
        let probe = try TestProbe(display, cookie: Array(repeating: 0, count: 16))
        #expect(try probe.answer() == .failed(.refused))
        #expect(try probe.program.wait(.seconds(1)) == .exited(11))
    }

    @Test func theCollectorEndsIt() throws {
        let display = try TestDisplay()
        let stopped = try TestProbe(display)
        _ = try stopped.ready()
        try stopped.tell(.stop)
        #expect(try stopped.program.wait(.seconds(1)) == .exited(0))

        let left = try TestProbe(display)
        _ = try left.ready()
        left.close()
        #expect(try left.program.wait(.seconds(1)) == .exited(0))

        let confused = try TestProbe(display)
        _ = try confused.ready()
        try confused.tell(.ready([]))
        #expect(try confused.answer() == .failed(.protocol))
        #expect(try confused.program.wait(.seconds(1)) == .exited(16))
    }

    @Test func itIsConfinedOnceConnected() throws {
        let display = try TestDisplay()
        let probe = try TestProbe(display)
        _ = try probe.ready()
        let status = String(decoding: try readFile("/proc/\(probe.program.pid)/status", limit: 1 << 16, options: .anyKind), as: UTF8.self)
        #expect(status.contains("\nSeccomp:\t2\n"))
        #expect(status.contains("\nNoNewPrivs:\t1\n"))
        #expect(status.contains("\nThreads:\t1\n"))
    }

    // MARK: The cookie

    @Test func theCookieIsFoundByTheServersArguments() throws {
        let display = try TestDisplay()
        #expect(try cookie(display, server: display.server.pid) == (.exited(0), display.cookie))
        #expect(try cookie(display, server: display.server.pid, number: 199).ended == .exited(1))
        let own = try Program(TestProbe.path, ["cookie", "--server", "x"], environment: [])
        #expect(try own.wait(.seconds(2)) == .exited(2))
    }

    @Test func theCookieIsFoundByTheEnvironmentAndNoFifoHoldsItUp() throws {
        let display = try TestDisplay()
        // No server at all, but with XAUTHORITY in its environment.
        let other = try Program("/bin/sleep", ["60"], environment: display.environment)
        #expect(try cookie(display, server: other.pid) == (.exited(0), display.cookie))

        let fifo = "\(display.folder)/fifo"
        #expect(mkfifo(fifo, 0o600) == 0)
        defer { unlink(fifo) }
        let stalled = try Program("/bin/sleep", ["60"], environment: ["XAUTHORITY=\(fifo)"])
        #expect(try cookie(display, server: stalled.pid).ended == .exited(1))
    }

    private func cookie(
        _ display: TestDisplay, server: Int32, number: UInt16? = nil
    ) throws -> (ended: TermspanSystem.ExitStatus?, bytes: [UInt8]) {
        var ends: [Int32] = [-1, -1]
        try #require(pipe(&ends) == 0)
        let reading = OwnedDescriptor(ends[0])
        let ended: TermspanSystem.ExitStatus?
        do {
            let writing = OwnedDescriptor(ends[1])
            let program = try Program(
                TestProbe.path, ["cookie", "--server", String(server), "--display", String(number ?? display.number)],
                environment: ["HOME=/nonexistent"], descriptors: [-1, writing.raw, -1])
            ended = try program.wait(.seconds(5))
        }
        return (ended, try readAll(reading, limit: 1024))
    }

    // MARK: The wire

    /// All events but MappingNotify, which every client gets whether it wants to or not when another keyboard is used: XTEST's, here.
    static func selected(_ events: some Sequence<UInt8>) -> [UInt8] { events.filter { $0 != 34 } }

    static let devices = "the server has XInput 2 and idle counters of devices"
    static let unmanaged = "there is no window manager that names the active window"
    static let managed = "a window manager has started"

    private func expectAllowed(_ probe: TestProbe, during conditions: Set<String>, sourceLocation: SourceLocation = #_sourceLocation) throws
    {
        let path = "\(#filePath.prefix(through: #filePath.lastIndex(of: "/") ?? #filePath.startIndex))allowed-requests.txt"
        let text = String(decoding: try readFile(path, limit: 1 << 16), as: UTF8.self)
        var allowed: Set<String> = []
        var known: Set<String> = []
        var isOpen = false
        for line in text.split(separator: "\n") where !line.hasPrefix("#") {
            if line.hasPrefix("[") {
                let condition = String(line.dropFirst().dropLast())
                known.insert(condition)
                isOpen = conditions.contains(condition)
            } else if isOpen {
                allowed.insert(String(line))
            }
        }
        #expect(conditions.isSubset(of: known), sourceLocation: sourceLocation)
        #expect(Set(probe.recorder.requests).subtracting(allowed) == [], sourceLocation: sourceLocation)
        #expect(probe.recorder.malformed == [], sourceLocation: sourceLocation)
    }
}

extension Event {
    var focus: Focus? { if case .focusChanged(let focus) = self { focus } else { nil } }
    var began: InputEdge? { if case .inputBegan(let edge) = self { edge } else { nil } }
    var ended: InputEdge? { if case .inputEnded(let edge) = self { edge } else { nil } }
    var snapshot: Snapshot? { if case .snapshot(let snapshot) = self { snapshot } else { nil } }
}

private func abs(_ duration: Duration) -> Duration { duration < .zero ? .zero - duration : duration }
