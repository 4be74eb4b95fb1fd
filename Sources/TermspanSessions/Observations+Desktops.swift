import TermspanCore

extension Observations {
    /// The desktops that these observations amount to: each login with the X server that is its, in the order of their beginning.
    ///
    /// An X server belongs to a login when its process lives in the login's scope, or else when the login names the display; in both
    /// cases the server's user must be the login's, or root's where the login has a seat. One of root's that is in no scope is not that of a
    /// login that is closing. Of several servers in one scope the oldest is the session's own; the others are nested desktops and no sessions.
    /// A Wayland session has none: the one in its scope shows only a part of it.
    ///
    /// A login that owns no X server is part of another of the same user where that one's stack says so; else, if it is closing, it has
    /// ended. A logon screen at which somebody has logged on is no longer one.
    package func desktops(adapters: [any StackAdapter] = Stack.adapters) -> [Desktop] {
        let logins = logind.filter(\.isInteractive).filter { !isReplaced($0) }.sorted { ($0.timestamp, $0.id) < ($1.timestamp, $1.id) }
        let owned = xServers(of: logins)
        var stacks: [String: any StackAdapter] = [:]
        for login in logins {
            stacks[login.id] = adapters.first { $0.claims(login, xServer: owned[login.id], observations: self) } ?? GenericStack()
        }
        var parts: [String: [LogindSession]] = [:]
        var belonging: Set<String> = []
        for login in logins where owned[login.id] == nil {
            var best = (share: Share.none, owner: "")
            for owner in logins where owner.uid == login.uid {
                guard let server = owned[owner.id], let adapter = stacks[owner.id] else { continue }
                let share = adapter.share(of: login, in: owner, xServer: server, observations: self)
                if share > best.share { best = (share, owner.id) }
            }
            guard best.share > .none else { continue }
            parts[best.owner, default: []].append(login)
            belonging.insert(login.id)
        }
        return logins.compactMap { login in
            let server = owned[login.id]
            guard !belonging.contains(login.id), server != nil || login.state != "closing" else { return nil }
            return desktop([login] + (parts[login.id] ?? []), xServer: server, adapter: stacks[login.id] ?? GenericStack())
        }
    }

    /// Whether it is a logon screen in whose place somebody has logged on since.
    private func isReplaced(_ login: LogindSession) -> Bool {
        guard login.isGreeter, let place = login.place else { return false }
        return logind.contains { other in
            other.isInteractive && !other.isGreeter && other.state != "closing" && other.place == place && other.timestamp > login.timestamp
        }
    }

    /// The X servers that belong to logins, by the logins' IDs.
    private func xServers(of logins: [LogindSession]) -> [String: XServer] {
        var servers = xServers.sorted { ($0.startTime, $0.display) < ($1.startTime, $1.display) }
        var owned: [String: XServer] = [:]
        for login in logins {
            let within = servers.filter { $0.isIn(unit: login.scope) && $0.mayServe(login) }
            // The display that xrdp itself asked for is the session's, whatever the user started beside it.
            guard let own = within.first(where: { $0.display == login.displayNumber }) ?? within.first else { continue }
            if !login.isWayland { owned[login.id] = own }
            servers.removeAll(where: within.contains)
        }
        for login in logins where owned[login.id] == nil && !login.isWayland {
            // After a logoff the server that has the name may be that of the seat's next logon screen.
            let isOver = login.state == "closing" && !login.isGreeter
            guard let display = login.displayNumber,
                let index = servers.firstIndex(where: { $0.display == display && $0.mayServe(login) && !(isOver && $0.uid != login.uid) })
            else { continue }
            owned[login.id] = servers.remove(at: index)
        }
        return owned
    }

    /// - Parameter logins: the one that owns the X server, if there is one, and those that belong to it.
    private func desktop(_ logins: [LogindSession], xServer: XServer?, adapter: any StackAdapter) -> Desktop {
        let login = logins[0]
        var verdict = adapter.verdict(logins, xServer: xServer, observations: self)
        if login.isGreeter { verdict.state = .connected }
        if login.state == "opening" { verdict.state = .`init` }
        var keys = Set(logins.map(\.key))
        if let xServer { keys.insert(.xServer(pid: xServer.pid, startTime: xServer.startTime)) }
        return Desktop(
            keys: keys, uid: login.uid, userName: login.userName, stack: adapter.stack, state: verdict.state,
            confidence: verdict.confidence, lock: logins.contains(where: \.lockedHint) ? .locked : .unknown, logindSessions: logins,
            xServer: xServer, client: verdict.client)
    }
}

extension XServer {
    /// Whether its user can be that of the login's X server.
    fileprivate func mayServe(_ login: LogindSession) -> Bool {
        uid == login.uid || (uid == 0 && !login.seat.isEmpty)
    }
}
