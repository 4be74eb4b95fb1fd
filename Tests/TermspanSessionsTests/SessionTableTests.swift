import Foundation
import SeededRandom
import Testing

@testable import TermspanCore
@testable import TermspanSessions

@Suite struct SessionTableTests {
    static func desktop(_ keys: SessionKey..., uid: UInt32 = 1001, state: ConnectState = .active) -> Desktop {
        Desktop(keys: Set(keys), uid: uid, userName: "user\(uid - 1000)", stack: .xrdp, state: state)
    }

    static func seconds(_ seconds: UInt64) -> BootInstant { BootInstant(nanoseconds: seconds * 1_000_000_000) }

    static func makeUUID() -> UUIDv7 { UUIDv7(at: WallInstant(nanoseconds: 1_700_000_000_000_000_000)) }

    @Test func usersGetTheLowestFreeNumberAndServicesZero() {
        var table = SessionTable()
        let services = Desktop(keys: [.services], uid: 0, userName: "", stack: .services, state: .disconnected)
        let a = Self.desktop(.logind(id: "c1", timestamp: 1))
        let b = Self.desktop(.logind(id: "c2", timestamp: 2), uid: 1002)
        _ = table.reconcile([services, a, b], at: Self.seconds(1), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [0, 1, 2])
        #expect(table.sessions.map(\.name) == ["services", "rdp-tcp#1", "rdp-tcp#2"])
    }

    /// 'Unlocked' is said where something has told logind of a lock before.
    @Test func aLockIsWhatALockerTold() throws {
        var table = SessionTable()
        func seen(locked: Bool, by owner: String = ":1.2", at seconds: UInt64) throws -> LockState? {
            var login = LogindSession(id: "3", timestamp: 1, uid: 1001, userName: "user1", service: "sshd", type: "x11", lockedHint: locked)
            login.owner = owner
            _ = table.reconcile(Observations(logind: [login]).desktops(), at: Self.seconds(seconds), makeUUID: Self.makeUUID)
            table = try JSONDecoder().decode(SessionTable.self, from: JSONEncoder().encode(table))
            return table.sessions.first?.desktop.lock
        }
        #expect(
            try [false, false, true, true, false, false, true].enumerated().map { try seen(locked: $1, at: UInt64($0)) }
                == [.unknown, .unknown, .locked, .locked, .unlocked, .unlocked, .locked])
        // A logind that has started again has forgotten it, or has not.
        #expect(try seen(locked: true, by: ":1.3", at: 10) == .locked)
        #expect(try seen(locked: false, by: ":1.4", at: 11) == .unknown)
        #expect(try seen(locked: false, by: ":1.4", at: 12) == .unknown)
        #expect(try seen(locked: true, by: ":1.4", at: 13) == .locked)
        #expect(try seen(locked: false, by: ":1.4", at: 14) == .unlocked)
        #expect(try seen(locked: false, by: ":1.5", at: 15) == .unlocked)
    }

    /// Its logins are read one by one, in whatever order.
    @Test(arguments: [[0, 1], [1, 0]]) func aLoginThatLogindHasForgottenUnlocksNothing(order: [Int]) throws {
        var table = SessionTable()
        var logins = (0..<2).map { LogindSession(id: "\($0)", timestamp: 1, uid: 1001, userName: "user1", service: "sshd") }
        func seen(at seconds: UInt64) -> LockState? {
            var desktop = Self.desktop(logins[0].key)
            desktop.logindSessions = logins
            desktop.lock = logins.contains(where: \.lockedHint) ? .locked : .unknown
            _ = table.reconcile([desktop], at: Self.seconds(seconds), makeUUID: Self.makeUUID)
            return table.sessions.first?.desktop.lock
        }
        for index in logins.indices { logins[index].owner = ":1.2" }
        logins[1].lockedHint = true
        #expect(seen(at: 1) == .locked)
        for (step, index) in order.enumerated() {
            (logins[index].owner, logins[index].lockedHint) = (":1.3", false)
            #expect(seen(at: UInt64(2 + step)) == (logins[1].lockedHint ? .locked : .unknown))
        }
        // And one that goes takes what it said with it.
        logins[1].lockedHint = true
        #expect(seen(at: 5) == .locked)
        logins.removeLast()
        #expect(seen(at: 6) == .unknown)
    }

    @Test func aFreedNumberRestsTenMinutes() {
        var table = SessionTable()
        let a = Self.desktop(.logind(id: "c1", timestamp: 1))
        let b = Self.desktop(.logind(id: "c2", timestamp: 2))
        let c = Self.desktop(.logind(id: "c3", timestamp: 3))
        _ = table.reconcile([a], at: Self.seconds(1), makeUUID: Self.makeUUID)
        _ = table.reconcile([], at: Self.seconds(10), makeUUID: Self.makeUUID)
        _ = table.reconcile([b], at: Self.seconds(609), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [2])
        _ = table.reconcile([b, c], at: Self.seconds(611), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [1, 2])
    }

    @Test func aNumberThatNoRecordHadIsGivenAgainAtOnce() {
        var table = SessionTable()
        for round in UInt64(1)...5 {
            let desktop = Self.desktop(.logind(id: "c1", timestamp: round))
            _ = table.reconcile([desktop], at: Self.seconds(round), makeUUID: Self.makeUUID)
            #expect(table.sessions.map(\.id.rawValue) == [1])
            _ = table.reconcile([], at: Self.seconds(round), makeUUID: Self.makeUUID)
            table.giveBack(SessionID(rawValue: 1))
        }
        // But not one that a record had before.
        func seen(_ id: String, at seconds: UInt64) -> [UInt32] {
            let login = LogindSession(id: id, timestamp: 1, uid: 1001, userName: "user1")
            var desktop = Self.desktop(login.key, uid: login.uid)
            desktop.logindSessions = [login]
            _ = table.reconcile([desktop], at: Self.seconds(seconds), makeUUID: Self.makeUUID)
            return table.sessions.map(\.id.rawValue)
        }
        #expect(seen("7", at: 10) == [1])
        _ = table.reconcile([], at: Self.seconds(11), makeUUID: Self.makeUUID)
        #expect(seen("7", at: 12) == [1])
        _ = table.reconcile([], at: Self.seconds(13), makeUUID: Self.makeUUID)
        table.giveBack(SessionID(rawValue: 1))
        #expect(seen("8", at: 14) == [2])
        _ = table.reconcile([], at: Self.seconds(610), makeUUID: Self.makeUUID)
        #expect(seen("9", at: 612) == [1])
    }

    @Test func disconnectAndReconnectKeepTheNumber() throws {
        var table = SessionTable()
        let key = SessionKey.logind(id: "c1", timestamp: 1)
        _ = table.reconcile([Self.desktop(key)], at: Self.seconds(1), makeUUID: Self.makeUUID)
        let opened = try #require(table.sessions.first)
        #expect(opened.connected == Self.seconds(1))
        _ = table.reconcile([Self.desktop(key, state: .disconnected)], at: Self.seconds(2), makeUUID: Self.makeUUID)
        // Not at once: it may be the beginning of a logoff.
        #expect(table.sessions.first?.desktop.state == .active)
        let later = Self.seconds(2).advanced(by: SessionTable.absence)
        _ = table.reconcile([Self.desktop(key, state: .disconnected)], at: later, makeUUID: Self.makeUUID)
        #expect(table.sessions.first?.name == "")
        #expect(table.sessions.first?.disconnected == Self.seconds(2))
        let changes = table.reconcile([Self.desktop(key)], at: Self.seconds(3), makeUUID: Self.makeUUID)
        #expect(changes.count == 1)
        #expect(table.sessions.first?.connected == Self.seconds(3))
        #expect(table.sessions.first?.uuid == opened.uuid)
        #expect(table.reconcile([Self.desktop(key)], at: Self.seconds(4), makeUUID: Self.makeUUID).isEmpty)
    }

    @Test func whereAConnectionComesFromIsKnownAsLongAsItLasts() {
        var table = SessionTable()
        let key = SessionKey.logind(id: "c1", timestamp: 1)
        func become(_ client: RemoteClient, at seconds: UInt64) -> String? {
            var desktop = Self.desktop(key)
            desktop.client = client
            _ = table.reconcile([desktop], at: Self.seconds(seconds), makeUUID: Self.makeUUID)
            return table.sessions.first?.desktop.client.address
        }
        #expect(become(RemoteClient(connection: 7), at: 1) == nil)
        #expect(become(RemoteClient(address: "192.0.2.7", connection: 7), at: 2) == "192.0.2.7")
        // The login that the tunnel is of has ended, the connection not yet.
        #expect(become(RemoteClient(connection: 7), at: 3) == "192.0.2.7")
        #expect(become(RemoteClient(address: "127.0.0.1", connection: 7), at: 4) == "192.0.2.7")
        // Another one is not from there.
        #expect(become(RemoteClient(address: "127.0.0.1", connection: 8), at: 5) == "127.0.0.1")
        #expect(become(RemoteClient(), at: 6) == nil)
    }

    @Test func anotherClientIsANewConnection() throws {
        var table = SessionTable()
        let key = SessionKey.logind(id: "c1", timestamp: 1)
        func become(_ address: String?, at seconds: UInt64) throws -> (after: Session, isNew: Bool) {
            var desktop = Self.desktop(key)
            desktop.client = RemoteClient(address: address)
            let before = table.sessions.first
            _ = table.reconcile([desktop], at: Self.seconds(seconds), makeUUID: Self.makeUUID)
            let after = try #require(table.sessions.first)
            return (after, before.map { after.hasNewClient(after: $0) } ?? true)
        }
        #expect(try become("192.0.2.7", at: 1).after.connected == Self.seconds(1))
        let same = try become("192.0.2.7", at: 2)
        #expect(same.after.connected == Self.seconds(1) && !same.isNew)
        // Where it comes from is not known for a moment.
        #expect(try become(nil, at: 3).after.connected == Self.seconds(1))
        let again = try become("192.0.2.7", at: 4)
        #expect(again.after.connected == Self.seconds(1) && !again.isNew)
        let other = try become("192.0.2.8", at: 5)
        #expect(other.after.connected == Self.seconds(5) && other.isNew)
    }

    @Test func xServersStartedWithoutEndDoNotMakeTheRowGrow() {
        var table = SessionTable()
        let login = SessionKey.logind(id: "c1", timestamp: 1)
        for pid in UInt32(1)...100 {
            let desktop = Self.desktop(login, .xServer(pid: pid, startTime: UInt64(pid)))
            _ = table.reconcile([desktop], at: Self.seconds(UInt64(pid)), makeUUID: Self.makeUUID)
        }
        #expect(table.sessions.map(\.id.rawValue) == [1])
        #expect(table.sessions[0].desktop.keys.count <= SessionTable.maximumKeys)
        #expect(table.sessions[0].desktop.keys.contains(.xServer(pid: 100, startTime: 100)))
    }

    @Test func anXServerThatAppearsLateOrRestartsIsTheSameSession() {
        var table = SessionTable()
        let login = SessionKey.logind(id: "c1", timestamp: 1)
        let server = SessionKey.xServer(pid: 10, startTime: 100)
        let another = SessionKey.xServer(pid: 11, startTime: 200)
        _ = table.reconcile([Self.desktop(login)], at: Self.seconds(1), makeUUID: Self.makeUUID)
        let uuid = table.sessions[0].uuid
        _ = table.reconcile([Self.desktop(login, server)], at: Self.seconds(2), makeUUID: Self.makeUUID)
        _ = table.reconcile([Self.desktop(login, another)], at: Self.seconds(3), makeUUID: Self.makeUUID)
        // logind has forgotten the login, its X server lives.
        _ = table.reconcile([Self.desktop(another)], at: Self.seconds(4), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.uuid) == [uuid])
    }

    @Test func whenTwoRowsAreOneTheLowerNumberStays() throws {
        var table = SessionTable()
        let login = SessionKey.logind(id: "c1", timestamp: 1)
        let server = SessionKey.xServer(pid: 10, startTime: 100)
        _ = table.reconcile([Self.desktop(server), Self.desktop(login)], at: Self.seconds(1), makeUUID: Self.makeUUID)
        let changes = table.reconcile([Self.desktop(login, server)], at: Self.seconds(2), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [1])
        #expect(changes.count == 2)
        guard case .merged(let merged) = try #require(changes.first) else { return #expect(Bool(false), "\(changes)") }
        #expect(merged.id.rawValue == 2)
    }

    @Test func aTerminalBesideAClientsLoginsIsASessionFromItsTerminalOnAndEndsAsOne() throws {
        func login(_ id: String, tty: String = "", state: String = "active") -> LogindSession {
            LogindSession(id: id, timestamp: 1, uid: 1001, userName: "user1", service: "sshd", type: "tty", tty: tty, state: state)
        }
        func desktop(_ logins: LogindSession...) -> Desktop {
            var desktop = Self.desktop()
            desktop.stack = .x2go
            desktop.keys = Set(logins.map(\.key))
            desktop.logindSessions = logins
            return desktop
        }
        var table = SessionTable()
        // What has no terminal yet may be the client's.
        _ = table.reconcile([desktop(login("1"), login("2"))], at: Self.seconds(1), makeUUID: Self.makeUUID)
        _ = table.reconcile([desktop(login("1")), desktop(login("2", tty: "pts/0"))], at: Self.seconds(2), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [1, 2])
        // At its end what is left of it counts with the client's.
        let changes = table.reconcile(
            [desktop(login("1"), login("2", tty: "pts/0", state: "closing"))], at: Self.seconds(3), makeUUID: Self.makeUUID)
        guard case .closed(let session) = try #require(changes.first) else { return #expect(Bool(false), "\(changes)") }
        #expect(session.id.rawValue == 2)
        // A login without a terminal that is a client's no longer is waited for: it mostly ends, too.
        _ = table.reconcile([desktop(login("1"), login("3"))], at: Self.seconds(4), makeUUID: Self.makeUUID)
        let parted = [desktop(login("1")), desktop(login("3"))]
        _ = table.reconcile(parted, at: Self.seconds(5), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [1])
        _ = table.reconcile(parted, at: Self.seconds(5).advanced(by: SessionTable.lingerTime), makeUUID: Self.makeUUID)
        #expect(table.sessions.count == 2)
    }

    /// Whoever starts an X server over ssh and logs in again has two sessions, as soon as it is known that it is no agent of X2Go's.
    @Test func aLoginBesideAServerThatTurnsOutToBeAnotherIsASessionAtOnce() {
        func login(_ id: String, at second: UInt64) -> LogindSession {
            LogindSession(
                id: id, timestamp: second * 1_000_000, uid: 1001, userName: "user1", scope: "session-\(id).scope", service: "sshd",
                type: "tty")
        }
        let server = XServer(
            display: 50, pid: 9, startTime: 1, uid: 1001, controlGroup: "/user.slice/user-1001.slice/session-1.scope/x")
        var table = SessionTable()
        func see(_ logins: [LogindSession], isRead: Bool, at second: UInt64) -> [SessionChange] {
            let moment = WallInstant(nanoseconds: Int64(second) * 1_000_000_000)
            let observations = Observations(
                logind: logins, xServers: [server], processes: isRead ? [50: XServerProcess(program: "Xvfb")] : [:],
                unread: isRead ? [] : [50], moment: moment)
            return table.reconcile(observations.desktops(), at: Self.seconds(second), wall: moment, makeUUID: Self.makeUUID)
        }
        _ = see([login("1", at: 100)], isRead: false, at: 101)
        _ = see([login("1", at: 100), login("2", at: 102)], isRead: false, at: 102)
        #expect(table.sessions.map { $0.desktop.logindSessions.map(\.id) } == [["1", "2"]])
        let changes = see([login("1", at: 100), login("2", at: 102)], isRead: true, at: 103)
        #expect(table.sessions.map { $0.desktop.logindSessions.map(\.id) } == [["1"], ["2"]])
        #expect(changes.contains { if case .opened(let session) = $0 { session.desktop.logindSessions.first?.id == "2" } else { false } })
        // One that was there before its server is looked at anew, as by a collector that starts again, is not taken into a later one's.
        table = SessionTable()
        _ = see([login("2", at: 90), login("1", at: 100)], isRead: false, at: 101)
        #expect(table.sessions.count == 2)
    }

    /// As X2Go's command that ends a session does, while logind or the collector starts again.
    @Test func aLoginOfAClientThatWasNotSeenInTimeIsNoSession() throws {
        func login(_ id: String, at second: UInt64, tty: String = "") -> Desktop {
            let login = LogindSession(
                id: id, timestamp: second * 1_000_000, uid: 1001, userName: "user1", service: "sshd", type: "tty", tty: tty)
            var desktop = Desktop(keys: [login.key], uid: 1001, userName: "user1", stack: .ssh, state: .active)
            desktop.logindSessions = [login]
            return desktop
        }
        var x2go = login("1", at: 1)
        x2go.stack = .x2go
        var table = SessionTable()
        func see(_ desktops: [Desktop], at second: UInt64) throws -> [String] {
            _ = table.reconcile(
                desktops, at: Self.seconds(second), wall: WallInstant(nanoseconds: Int64(second) * 1_000_000_000), makeUUID: Self.makeUUID)
            let next = try JSONDecoder().decode(SessionTable.self, from: JSONEncoder().encode(table))
            #expect(next == table)
            table = next
            return table.sessions.compactMap { $0.desktop.logindSessions.first?.id }
        }
        #expect(try see([x2go], at: 10) == ["1"])
        #expect(try see([], at: 20) == [])
        // One that began before is the client's; one after it is not, nor is one with a terminal.
        #expect(try see([login("2", at: 19), login("3", at: 21), login("4", at: 19, tty: "pts/0")], at: 22) == ["3", "4"])
        #expect(table.nextMoment == Self.seconds(35))
        // One that stays is a session after all.
        #expect(try see([login("2", at: 19)], at: 35) == ["2"])
        #expect(table.nextMoment == nil)
    }

    /// A collector that has just started again can't read the program of an agent that is ending.
    @Test func anAgentThatIsEndingIsStillX2Gos() throws {
        func login(_ id: String, at second: UInt64) -> LogindSession {
            LogindSession(
                id: id, timestamp: second * 1_000_000, uid: 1001, userName: "user1", service: "sshd", type: "tty", state: "active")
        }
        let server = XServer(display: 50, pid: 9, startTime: 9, uid: 1001, controlGroup: "/")
        func desktop(_ login: LogindSession, _ stack: Stack, _ state: ConnectState, _ server: XServer? = nil) -> Desktop {
            var keys: Set = [login.key]
            if let server { keys.insert(.xServer(pid: server.pid, startTime: server.startTime)) }
            return Desktop(
                keys: keys, uid: 1001, userName: "user1", stack: stack, state: state, logindSessions: [login], xServer: server)
        }
        var table = SessionTable()
        func see(_ desktops: [Desktop], at second: UInt64) -> [[String]] {
            _ = table.reconcile(
                desktops, at: Self.seconds(second), wall: WallInstant(nanoseconds: Int64(second) * 1_000_000_000), makeUUID: Self.makeUUID)
            return table.sessions.map { [$0.desktop.logindSessions[0].id, $0.desktop.stack.rawValue, $0.desktop.state.name] }
        }
        let suspended = ["1", "x2go", ConnectState.disconnected.name]
        #expect(see([desktop(login("1", at: 1), .x2go, .disconnected, server)], at: 10) == [suspended])
        // The second is the command's that has it end.
        let ending = [desktop(login("1", at: 1), .ssh, .active, server), desktop(login("2", at: 19), .ssh, .active)]
        #expect(see(ending, at: 20) == [suspended])
        #expect(see([ending[1]], at: 21) == [])
        // Another server of that login's is another thing.
        let other = XServer(display: 51, pid: 10, startTime: 10, uid: 1001, controlGroup: "/")
        #expect(see([desktop(login("1", at: 1), .x2go, .active, server)], at: 50).count == 1)
        #expect(see([desktop(login("1", at: 1), .ssh, .active, other)], at: 51).map { $0[1] } == ["ssh"])
    }

    /// However a user comes by a key of another's row: neither goes on as the other's session.
    @Test func aRowStaysItsUsers() throws {
        var table = SessionTable()
        let server = SessionKey.xServer(pid: 10, startTime: 100)
        let (first, second) = (SessionKey.logind(id: "1", timestamp: 1), SessionKey.logind(id: "2", timestamp: 2))
        _ = table.reconcile(
            [Self.desktop(first, server), Self.desktop(second, uid: 1002)], at: Self.seconds(1), makeUUID: Self.makeUUID)
        let before = table.sessions
        let changes = table.reconcile([Self.desktop(second, server, uid: 1002)], at: Self.seconds(2), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.uuid) == [before[1].uuid])
        #expect(table.sessions.map(\.id) == [before[1].id])
        guard case .closed(before[0]) = try #require(changes.first) else { return #expect(Bool(false), "\(changes)") }
    }

    static func seated(_ id: String, _ began: UInt64, uid: UInt32, greeter: Bool = false, seat: String = "seat0") -> Desktop {
        let login = LogindSession(
            id: id, timestamp: began, uid: uid, userName: "user\(uid)", type: "x11", sessionClass: greeter ? "greeter" : "user", seat: seat)
        return Desktop(
            keys: [.logind(id: id, timestamp: began), .xServer(pid: 9, startTime: 9)], uid: uid, userName: "user\(uid)", stack: .local,
            state: greeter ? .connected : .active, logindSessions: [login])
    }

    @Test func aLogonHasTheNumberOfTheLogonScreenThatItReplacesAndAnIdentityOfItsOwn() throws {
        for gap in [false, true] {
            var table = SessionTable()
            _ = table.reconcile([Self.seated("c1", 1, uid: 110, greeter: true)], at: Self.seconds(1), makeUUID: Self.makeUUID)
            let screen = try #require(table.sessions.first)
            if gap { _ = table.reconcile([], at: Self.seconds(2), makeUUID: Self.makeUUID) }
            // Over a restart of the collector as well.
            table = try JSONDecoder().decode(SessionTable.self, from: JSONEncoder().encode(table))
            let elsewhere = Self.desktop(.logind(id: "7", timestamp: 7))
            let changes = table.reconcile(
                [elsewhere, Self.seated("2", 2, uid: 1001)], at: Self.seconds(3), makeUUID: Self.makeUUID)
            #expect(
                changes.contains {
                    if case .opened(let session) = $0 { session.id == screen.id && session.uuid != screen.uuid } else { false }
                })
            #expect(changes.contains { if case .closed = $0 { true } else { false } } == !gap)
            #expect(table.sessions.map(\.desktop.uid) == [1001, 1001] && table.sessions.map(\.id.rawValue) == [1, 2])
            #expect(table.sessions[0].desktop.stack == .local)
        }
    }

    @Test func aNumberOfALogonScreenThatHasRestedIsAnybodys() {
        var table = SessionTable()
        _ = table.reconcile([Self.seated("c1", 1, uid: 110, greeter: true)], at: Self.seconds(1), makeUUID: Self.makeUUID)
        _ = table.reconcile([], at: Self.seconds(2), makeUUID: Self.makeUUID)
        let desktop = Self.desktop(.logind(id: "7", timestamp: 7))
        _ = table.reconcile([desktop], at: Self.seconds(700), makeUUID: Self.makeUUID)
        _ = table.reconcile([desktop, Self.seated("2", 2, uid: 1002)], at: Self.seconds(701), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [1, 2] && table.sessions[1].desktop.uid == 1002)
    }

    /// A terminal ended right after its user had left an X server behind that was not listening yet.
    @Test func aLoginThatIsSeenAgainHasItsNumberAgain() throws {
        func desktop(_ id: String, _ server: UInt32? = nil) -> Desktop {
            let login = LogindSession(id: id, timestamp: 1, uid: 1001, userName: "user1", service: "sshd", type: "tty", state: "closing")
            var desktop = Self.desktop(login.key, uid: login.uid)
            desktop.logindSessions = [login]
            if let server { desktop.keys.insert(.xServer(pid: server, startTime: 1)) }
            return desktop
        }
        var table = SessionTable()
        _ = table.reconcile([desktop("7"), desktop("8")], at: Self.seconds(1), makeUUID: Self.makeUUID)
        let before = table.sessions
        _ = table.reconcile([], at: Self.seconds(2), makeUUID: Self.makeUUID)
        // Over a restart of the collector as well.
        table = try JSONDecoder().decode(SessionTable.self, from: JSONEncoder().encode(table))
        _ = table.reconcile([desktop("9"), desktop("8", 80)], at: Self.seconds(3), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [2, 3])
        #expect(table.sessions[0].desktop.logindSessions.map(\.id) == ["8"] && table.sessions[0].uuid != before[1].uuid)
        // It rests anew, and once that is over it is a number like any other.
        _ = table.reconcile([], at: Self.seconds(4), makeUUID: Self.makeUUID)
        _ = table.reconcile([desktop("8", 80)], at: Self.seconds(5), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [2])
        _ = table.reconcile([], at: Self.seconds(6), makeUUID: Self.makeUUID)
        _ = table.reconcile([desktop("8", 80)], at: Self.seconds(700), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [1])
    }

    @Test func aClientThatAsksIsKnownOnlyWhileItHasNotGone() throws {
        var table = SessionTable()
        let key = SessionKey.logind(id: "3", timestamp: 3)
        func become(_ state: ConnectState, at seconds: UInt64) throws -> Session {
            var desktop = Self.desktop(key, state: state)
            desktop.stack = .x2go
            // Once more when the absence has lasted.
            for moment in [Self.seconds(seconds), Self.seconds(seconds).advanced(by: SessionTable.absence)] {
                _ = table.reconcile([desktop], at: moment, makeUUID: Self.makeUUID)
            }
            return try #require(table.sessions.first)
        }
        #expect(try !become(.connectQuery, at: 1).isClientKnown)
        #expect(try !become(.active, at: 2).isClientKnown)
        #expect(try become(.connectQuery, at: 3).isClientKnown)
        #expect(try become(.disconnected, at: 4).desktop.state == .disconnected)
        let asking = try become(.connectQuery, at: 5)
        #expect(asking.desktop.state == .connectQuery && !asking.isClientKnown)
        #expect(try !become(.active, at: 6).isClientKnown)
        #expect(try become(.`init`, at: 7).isClientKnown)
    }

    @Test func aRowNeverPassesToAnotherUser() {
        var table = SessionTable()
        let key = SessionKey.xServer(pid: 9, startTime: 9)
        _ = table.reconcile([Self.desktop(key)], at: Self.seconds(1), makeUUID: Self.makeUUID)
        let first = table.sessions[0].uuid
        _ = table.reconcile([Self.desktop(key, uid: 1002)], at: Self.seconds(2), makeUUID: Self.makeUUID)
        #expect(table.sessions.map(\.id.rawValue) == [2] && table.sessions[0].uuid != first)
    }

    @Test func aLoginThatIsNoLongerPartOfARowIsOneOfItsOwnAndStaysSo() {
        var table = SessionTable()
        let agent = SessionKey.logind(id: "3", timestamp: 3)
        let login = SessionKey.logind(id: "4", timestamp: 4)
        // The row with the login has the higher number, so that the login's own gets a lower one.
        let before = Self.desktop(.logind(id: "1", timestamp: 1), uid: 1009)
        _ = table.reconcile([before], at: Self.seconds(1), makeUUID: Self.makeUUID)
        _ = table.reconcile([before, Self.desktop(agent, login)], at: Self.seconds(2), makeUUID: Self.makeUUID)
        _ = table.reconcile([Self.desktop(agent, login)], at: Self.seconds(3), makeUUID: Self.makeUUID)
        let parted = [Self.desktop(agent), Self.desktop(login)]
        #expect(table.reconcile(parted, at: Self.seconds(700), makeUUID: Self.makeUUID).count == 2)
        #expect(table.sessions.map(\.id.rawValue) == [1, 2])
        #expect(table.reconcile(parted, at: Self.seconds(701), makeUUID: Self.makeUUID).isEmpty)
        #expect(table.reconcile(parted.reversed(), at: Self.seconds(702), makeUUID: Self.makeUUID).isEmpty)
    }

    /// 1,000 random logons, with logoffs, reconnects, late X servers and restarts of the collector, against what must always hold.
    @Test(arguments: 0..<4) func numbersAreNeverDoubledAndNeverChange(seed: UInt64) throws {
        var random = SeededRandom(seed: seed &* 0x9E37_79B9 &+ 1)
        var table = SessionTable()
        var living: [Int: Desktop] = [:]
        var identities: [Int: (SessionID, UUIDv7)] = [:]
        var freed: [SessionID: (since: BootInstant, of: Int?)] = [:]
        var ended: [Int: Desktop] = [:]
        var next = 0
        var now: UInt64 = 0
        while next < 1000 {
            now += random.next() % 200
            switch random.next() % 8 {
            case 0, 1:
                next += 1
                let user = random.next() % 5 + 1
                let login = LogindSession(
                    id: "c\(next % 7)", timestamp: UInt64(next), uid: 1000 + UInt32(user), userName: "user\(user)")
                var desktop = Self.desktop(login.key, uid: login.uid)
                desktop.logindSessions = [login]
                living[next] = desktop
            case 2, 6, 7:
                if let key = living.keys.sorted().randomElement(using: &random) { ended[key] = living.removeValue(forKey: key) }
            case 5:
                // A login that was taken to have ended is seen again.
                if let key = ended.keys.sorted().randomElement(using: &random) { living[key] = ended.removeValue(forKey: key) }
            case 3:
                if let key = living.keys.sorted().randomElement(using: &random) {
                    let state = living[key]?.state
                    living[key]?.state = state == .active ? .disconnected : .active
                }
            default:
                if let key = living.keys.sorted().randomElement(using: &random) {
                    living[key]?.keys.insert(.xServer(pid: UInt32(key), startTime: now))
                }
            }
            // As a restart of the collector does it.
            if random.next() % 8 == 0 {
                let next = try JSONDecoder().decode(SessionTable.self, from: JSONEncoder().encode(table))
                #expect(next == table)
                table = next
            }
            let changes = table.reconcile(Array(living.values), at: Self.seconds(now)) { UUIDv7(at: WallInstant(nanoseconds: Int64(now))) }
            func number(of session: Session) -> Int? { session.desktop.logindSessions.first.map { Int($0.timestamp) } }
            for case .closed(let session) in changes {
                freed[session.id] = (Self.seconds(now), number(of: session))
                if let key = number(of: session) { identities[key] = nil }
            }
            for case .opened(let session) in changes {
                let key = number(of: session)
                if let last = freed[session.id], last.of != key {
                    #expect(last.since.duration(to: Self.seconds(now)) >= SessionTable.rest)
                }
                let own = freed.filter { $0.value.of == key && $0.value.since.duration(to: Self.seconds(now)) < SessionTable.rest }
                if !own.isEmpty { #expect(own[session.id] != nil) }
            }
            #expect(table.sessions.count == living.count)
            #expect(Set(table.sessions.map(\.id)).count == living.count)
            #expect(Set(table.sessions.map(\.uuid)).count == living.count)
            let rows = Dictionary(table.sessions.flatMap { row in row.desktop.keys.map { ($0, row) } }) { first, _ in first }
            for (key, desktop) in living {
                let row = try #require(desktop.keys.first.flatMap { rows[$0] })
                if let known = identities[key] { #expect(known == (row.id, row.uuid)) }
                identities[key] = (row.id, row.uuid)
            }
        }
    }
}

extension SessionTable {
    /// For what does not depend on the wall clock.
    mutating func reconcile(_ desktops: [Desktop], at now: BootInstant, makeUUID: () -> UUIDv7) -> [SessionChange] {
        reconcile(desktops, at: now, wall: WallInstant(nanoseconds: 0), makeUUID: makeUUID)
    }
}
