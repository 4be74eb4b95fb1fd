import Testing

@testable import TermspanCore
@testable import TermspanSessions

/// Recorded states of real stacks and the desktops that they amount to.
@Suite struct DesktopTests {
    static let xrdpLogin = LogindSession(
        id: "c1", timestamp: 1, uid: 1001, userName: "user1", leader: 300, scope: "session-c1.scope", service: "xrdp-sesman", type: "x11",
        display: ":10")
    static let xorg = XServer(
        display: 10, pid: 310, startTime: 5_000, uid: 1001, controlGroup: "/user.slice/user-1001.slice/session-c1.scope")

    @Test func anXrdpSessionIsActiveWhileAClientIsThere() throws {
        let client = RemoteClient(address: "192.0.2.7", name: "laptop")
        var seen = Observations(logind: [Self.xrdpLogin], xServers: [Self.xorg], xrdp: [UserDisplay(10, of: 1001): client])
        var desktop = try #require(seen.desktops().first)
        #expect(desktop.stack == .xrdp && desktop.state == .active && desktop.confidence == .high)
        #expect(desktop.client == client && desktop.xServer == Self.xorg)
        #expect(desktop.keys.count == 2)
        // Another user's socket of that name.
        seen.xrdp = [UserDisplay(10, of: 1004): client]
        desktop = try #require(seen.desktops().first)
        #expect(desktop.state == .disconnected && desktop.client == RemoteClient())
        seen.xrdp = nil
        #expect(seen.desktops().first?.confidence == .low)
    }

    @Test func aLoginThatLogindHasYetToOpenIsInit() {
        var login = Self.xrdpLogin
        login.state = "opening"
        let client = [UserDisplay(10, of: 1001): RemoteClient()]
        #expect(Observations(logind: [login], xServers: [Self.xorg], xrdp: client).desktops().first?.state == .`init`)
    }

    @Test func rootsServerBelongsToALoginAtASeatOnly() throws {
        let server = XServer(display: 0, pid: 900, startTime: 100, uid: 0, controlGroup: "/system.slice/lightdm.service")
        // Older, and claims a display that is not its own.
        let remote = LogindSession(id: "3", timestamp: 1, uid: 1001, userName: "user1", service: "sshd", type: "tty", display: ":0")
        let seated = LogindSession(
            id: "4", timestamp: 2, uid: 1002, userName: "user2", service: "lightdm", type: "x11", display: ":0", seat: "seat0")
        let desktops = Observations(logind: [remote, seated], xServers: [server]).desktops()
        #expect(desktops.map(\.xServer) == [nil, server])
    }

    @Test func aLoginWaitsForItsFirstClientAndThenIsDisconnectedWithoutOne() {
        var login = Self.xrdpLogin
        login.timestamp = 1_700_000_000_000_000
        func observations(after seconds: Int64) -> Observations {
            let moment = WallInstant(nanoseconds: (1_700_000_000 + seconds) * 1_000_000_000)
            return Observations(logind: [login], xServers: [Self.xorg], xrdp: [:], moment: moment)
        }
        #expect(observations(after: 1).desktops().first?.state == .connectQuery)
        #expect(observations(after: 31).desktops().first?.state == .disconnected)
        var table = SessionTable()
        var connected = observations(after: 1)
        connected.xrdp = [UserDisplay(10, of: 1001): RemoteClient()]
        for (seconds, seen) in [(1, observations(after: 1)), (2, connected), (3, observations(after: 3)), (4, observations(after: 4))] {
            _ = table.reconcile(
                seen.desktops(), at: BootInstant(nanoseconds: UInt64(seconds) * 1_000_000_000), makeUUID: SessionTableTests.makeUUID)
        }
        #expect(table.sessions.first?.desktop.state == .disconnected)
    }

    @Test func anXServerOfAnotherUserIsNobodys() {
        var stranger = Self.xorg
        stranger.uid = 1002
        stranger.controlGroup = "/user.slice/user-1002.slice/session-c2.scope"
        let seen = Observations(logind: [Self.xrdpLogin], xServers: [stranger], xrdp: [:])
        #expect(seen.desktops().map(\.xServer) == [nil])
    }

    @Test func aNestedServerDoesNotReplaceTheSessionsOwn() {
        let nested = XServer(display: 4, pid: 900, startTime: 9_000, uid: 1001, controlGroup: Self.xorg.controlGroup)
        let older = XServer(display: 5, pid: 305, startTime: 4_000, uid: 1001, controlGroup: Self.xorg.controlGroup)
        let seen = Observations(logind: [Self.xrdpLogin], xServers: [older, nested, Self.xorg], xrdp: [:])
        #expect(seen.desktops().map(\.xServer?.display) == [10])
    }

    /// Below the own service manager a user makes control groups of any name, and an X server there may be older than the other's.
    @Test func aControlGroupThatIsNamedAsAnothersScopeIsNotThatScope() {
        var login = Self.xrdpLogin
        login.display = ""
        for path in [
            "/user.slice/user-1004.slice/user@1004.service/session-c1.scope",
            "/user.slice/user-1004.slice/user@1004.service/user-1001.slice/session-c1.scope",
        ] {
            let imitation = XServer(display: 3, pid: 200, startTime: 1_000, uid: 1004, controlGroup: path)
            let seen = Observations(logind: [login], xServers: [imitation, Self.xorg], xrdp: [:])
            #expect(seen.desktops().map(\.xServer) == [Self.xorg])
        }
    }

    @Test func theUnitIsWhatComesFirstBelowTheSlices() {
        #expect(ControlGroup.unit(of: "/user.slice/user-1001.slice/session-c1.scope") == "session-c1.scope")
        #expect(ControlGroup.unit(of: "/user.slice/user-1001.slice/user@1001.service/app.slice/session-c1.scope") == "user@1001.service")
        #expect(ControlGroup.unit(of: "/system.slice/lightdm.service") == "lightdm.service")
        for path in ["", "/", "/user.slice", "//user.slice/"] { #expect(ControlGroup.unit(of: path) == nil) }
        #expect(ControlGroup.below(root: "/lxc/one", "/lxc/one/user.slice") == "/user.slice")
        #expect(ControlGroup.below(root: "", "/user.slice") == "/user.slice")
        #expect(ControlGroup.below(root: "/lxc/one", "/lxc/oneself/user.slice") == "/lxc/oneself/user.slice")
    }

    @Test func forwardedXIsNoLocalDisplay() {
        let ssh = LogindSession(
            id: "7", timestamp: 9, uid: 1003, userName: "user3", service: "sshd", type: "tty", display: "localhost:10.0", isRemote: true,
            remoteHost: "192.0.2.9")
        let seen = Observations(logind: [ssh, Self.xrdpLogin], xServers: [Self.xorg], xrdp: [:])
        let desktops = seen.desktops()
        #expect(desktops.map(\.stack) == [.xrdp, .ssh])
        #expect(desktops[1].xServer == nil && desktops[1].state == .active && desktops[1].client.address == "192.0.2.9")
    }

    @Test func managersAreNoSessionsAndGreetersAreConnected() {
        var manager = Self.xrdpLogin
        manager.sessionClass = "manager"
        let greeter = LogindSession(
            id: "c9", timestamp: 2, uid: 110, userName: "lightdm", service: "lightdm-greeter", type: "x11", sessionClass: "greeter",
            display: ":0", seat: "seat0", isActive: true)
        let desktops = Observations(logind: [manager, greeter], xrdp: [:]).desktops()
        #expect(desktops.map(\.state) == [.connected])
        #expect(desktops.first?.isUserSession == false)
    }

    @Test func whatIsClosingStaysSo() {
        var closing = Self.xrdpLogin
        closing.state = "closing"
        closing.isActive = false
        // An answer that is older than the file which told of the closing.
        #expect(Self.xrdpLogin.following(closing: [closing.key]) == closing)
        #expect(Self.xrdpLogin.following(closing: []) == Self.xrdpLogin)
        #expect(closing.following(closing: []) == closing)
        // And a file that was not written since.
        #expect(closing.following(file: "active") == nil)
        #expect(closing.following(file: "closing") == nil)
        #expect(Self.xrdpLogin.following(file: "closing") == closing)
        #expect(Self.xrdpLogin.following(file: Self.xrdpLogin.state) == nil)
        // Another session under the same ID, as after a restart of logind.
        var other = Self.xrdpLogin
        other.timestamp += 1
        #expect(other.following(closing: [closing.key]) == other)
    }

    @Test func closingEndsASessionUnlessItsXServerLives() {
        var closing = Self.xrdpLogin
        closing.state = "closing"
        #expect(Observations(logind: [closing], xServers: [Self.xorg], xrdp: [:]).desktops().count == 1)
        #expect(Observations(logind: [closing], xrdp: [:]).desktops().isEmpty)
    }

    /// The display manager starts a new server under the same name for the next logon screen, while the login that was there is still closing.
    @Test func aLoginThatIsClosingHasNoServerOfItsSeatAnyMore() {
        var login = LogindSession(
            id: "4", timestamp: 2, uid: 1002, userName: "user2", scope: "session-4.scope", service: "lightdm", type: "x11", display: ":0",
            seat: "seat0")
        let server = XServer(display: 0, pid: 4711, startTime: 77, uid: 0, controlGroup: "/system.slice/lightdm.service")
        #expect(Observations(logind: [login], xServers: [server], xrdp: [:]).desktops().map(\.xServer) == [server])
        login.state = "closing"
        #expect(Observations(logind: [login], xServers: [server], xrdp: [:]).desktops().isEmpty)
        // One that is its own is so to the end.
        let within = XServer(display: 0, pid: 4711, startTime: 77, uid: 0, controlGroup: "/user.slice/user-1002.slice/session-4.scope")
        #expect(Observations(logind: [login], xServers: [within], xrdp: [:]).desktops().map(\.xServer) == [within])
    }

    /// An agent of X2Go's is known as such a moment after its socket; the login that its client tunnels through may be there before that.
    @Test func aLoginBesideAnXServerThatIsNotKnownYetIsNoSession() {
        func login(_ id: String, at seconds: UInt64, tty: String = "", state: String = "active") -> LogindSession {
            LogindSession(
                id: id, timestamp: seconds * 1_000_000, uid: 1001, userName: "user1", scope: "session-\(id).scope", service: "sshd",
                type: "tty",
                tty: tty, isRemote: true, remoteHost: "198.51.100.4", state: state)
        }
        let server = XServer(
            display: 50, pid: 9, startTime: 1, uid: 1001, controlGroup: "/user.slice/user-1001.slice/session-1.scope/x")
        func sessions(_ tunnel: LogindSession, program: String?, at seconds: Int64 = 106) -> [[String]] {
            Observations(
                logind: [login("1", at: 100, state: "closing"), tunnel], xServers: [server],
                processes: program.map { [50: XServerProcess(program: $0)] } ?? [:], unread: program == nil ? [50] : [],
                moment: WallInstant(nanoseconds: seconds * 1_000_000_000)
            ).desktops().map { $0.logindSessions.map(\.id) }
        }
        #expect(sessions(login("2", at: 105), program: nil) == [["1", "2"]])
        #expect(sessions(login("2", at: 105), program: "nxagent") == [["1", "2"]])
        // Another server, a terminal, and a login that has been there for long.
        #expect(sessions(login("2", at: 105), program: "Xvfb") == [["1"], ["2"]])
        #expect(sessions(login("2", at: 105, tty: "pts/1"), program: nil) == [["1"], ["2"]])
        #expect(sessions(login("2", at: 105), program: nil, at: 136) == [["1"], ["2"]])
    }

    @Test func aSwitchedAwaySeatIsDisconnectedAndAnUnknownStackUncertain() {
        var local = LogindSession(
            id: "2", timestamp: 1, uid: 1004, userName: "user4", service: "lightdm", type: "x11", display: ":0", seat: "seat0")
        #expect(Observations(logind: [local]).desktops().first?.state == .active)
        local.isActive = false
        #expect(Observations(logind: [local]).desktops().first?.state == .disconnected)
        let odd = LogindSession(id: "3", timestamp: 2, uid: 1005, userName: "user5", service: "novel", type: "x11")
        let desktop = Observations(logind: [odd]).desktops().first
        #expect(desktop?.stack == .generic && desktop?.confidence == .low)
    }
}

@Suite struct XrdpTests {
    @Test(
        arguments: [
            ("MESSAGE=[INFO ] Connected client computer name: front-desk", "front-desk"),
            ("MESSAGE=[INFO ] Connected client computer name: a\u{1B}[31mb\u{202E}", "a[31mb"),
            ("MESSAGE=[INFO ] Connected client computer name: two\u{2028}lines", "twolines"),
            ("MESSAGE=[INFO ] Connected client computer name: ", nil), ("MESSAGE=[INFO ] something else", nil),
        ] as [(String, String?)])
    func aClientsNameIsCleaned(message: String, name: String?) {
        #expect(XrdpClientName.name(in: message) == name)
    }

    /// Who reads the names may have been taken over by what one of them says.
    @Test func anAnswerAboutNamesIsNotTrusted() {
        let answer =
            "41 front-desk\n42 a b\n43 not asked about\n44 \u{1B}[31mred\n45\nx y\n46 \n47 one\n47 two\n48 \(String(repeating: "n", count: 500))\n"
        let (names, isWhole) = XrdpClientName.names(in: Array(answer.utf8), about: [41, 42, 44, 45, 46, 47, 48, 49, 50, 51])
        #expect(names == [41: "front-desk", 42: "a b", 44: "[31mred", 47: "two", 48: String(repeating: "n", count: 64)])
        // It was cut off: what is missing is asked for again.
        #expect(!isWhole)
        #expect(XrdpClientName.names(in: Array("1 a\n.\n".utf8), about: [1, 2]) == ([1: "a"], true))
        #expect(XrdpClientName.names(in: [], about: [1]) == ([:], false))
        // As many lines as were asked about.
        #expect(XrdpClientName.names(in: Array("1 a\n2 b\n2 c\n".utf8), about: [1, 2]).names == [1: "a", 2: "b"])
        #expect(XrdpClientName.names(in: [0xFF, 0x20, 0xFE, 0x0A], about: [1]).names.isEmpty)
    }

    @Test(
        arguments: [
            ("/run/xrdp/sockdir/xrdp_display_10", 10), ("/run/xrdp/sockdir/2001/xrdp_display_11", 11),
            ("/run/xrdp/sockdir/xrdp_chansrv_socket_10", nil),
            ("/run/xrdp/sockdir/a/b/xrdp_display_10", nil), ("/tmp/xrdp_display_10", nil), ("/run/xrdp/sockdir/xrdp_display_99999999", nil),
            // Another name of display 10 is nobody's.
            ("/run/xrdp/sockdir/xrdp_display_+10", nil), ("/run/xrdp/sockdir/xrdp_display_010", nil),
        ] as [(String, UInt16?)])
    func displaysAreTakenFromSocketPaths(path: String, display: UInt16?) {
        #expect(XrdpMonitor.display(ofSocket: path, in: ["/run/xrdp/sockdir"]) == display)
    }

    @Test(
        arguments: [
            ("127.0.0.1", 5910, false, 10), ("::1", 5911, false, 11), ("127.0.0.1", 5999, false, 99), ("127.0.0.1", 5899, false, nil),
            ("127.0.0.1", 6010, false, nil), ("192.0.2.7", 5910, false, nil), ("127.0.0.1", 5910, true, nil),
        ] as [(String, UInt16, Bool, UInt16?)])
    func displaysOfXvncAreTakenFromConnectionsToThisMachine(remote: String, port: UInt16, listens: Bool, display: UInt16?) {
        let socket = TCPSocket(
            isListening: listens, localAddress: "127.0.0.2", localPort: 40_000, remoteAddress: remote, remotePort: port)
        #expect(XrdpMonitor.display(ofConnection: socket) == display)
    }
}
