import TermspanCore

extension Observations {
    /// The desktops that these observations amount to: each login with the X server that is its, in the order of their beginning.
    ///
    /// An X server belongs to a login when its process lives in the login's scope, or else when the login names the display and the
    /// server's user is the login's, or root's where the login has a seat. Of several servers in one scope the oldest is the session's own; the others are nested desktops
    /// and no sessions. A login that is closing and owns no X server has ended.
    package func desktops(adapters: [any StackAdapter] = Stack.adapters) -> [Desktop] {
        var servers = xServers.sorted { ($0.startTime, $0.display) < ($1.startTime, $1.display) }
        let logins = logind.filter(\.isInteractive).sorted { ($0.timestamp, $0.id) < ($1.timestamp, $1.id) }
        var owned: [String: XServer] = [:]
        for login in logins {
            guard let index = servers.firstIndex(where: { $0.isIn(unit: login.scope) }) else { continue }
            // The display that xrdp itself asked for is the session's, whatever the user started beside it.
            let named = servers.firstIndex { $0.isIn(unit: login.scope) && $0.display == login.displayNumber }
            owned[login.id] = servers[named ?? index]
            servers.removeAll { $0.isIn(unit: login.scope) }
        }
        for login in logins where owned[login.id] == nil {
            guard let display = login.displayNumber,
                let index = servers.firstIndex(where: {
                    $0.display == display && ($0.uid == login.uid || ($0.uid == 0 && !login.seat.isEmpty))
                })
            else { continue }
            owned[login.id] = servers.remove(at: index)
        }
        return logins.compactMap { login in
            let server = owned[login.id]
            guard server != nil || login.state != "closing" else { return nil }
            return desktop(login, xServer: server, adapters: adapters)
        }
    }

    private func desktop(_ login: LogindSession, xServer: XServer?, adapters: [any StackAdapter]) -> Desktop {
        let adapter = adapters.first { $0.claims(login, xServer: xServer) } ?? GenericStack()
        var verdict = adapter.verdict(login, xServer: xServer, observations: self)
        if login.isGreeter { verdict.state = .connected }
        if login.state == "opening" { verdict.state = .`init` }
        var keys: Set<SessionKey> = [.logind(id: login.id, timestamp: login.timestamp)]
        if let xServer { keys.insert(.xServer(pid: xServer.pid, startTime: xServer.startTime)) }
        return Desktop(
            keys: keys, uid: login.uid, userName: login.userName, stack: adapter.stack, state: verdict.state,
            confidence: verdict.confidence, lock: login.lock, logindSessions: [login], xServer: xServer,
            client: verdict.client)
    }
}
