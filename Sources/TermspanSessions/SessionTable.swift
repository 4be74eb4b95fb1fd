package import TermspanCore

/// One session: a desktop with the number and the identity that it keeps from logon to logoff.
package struct Session: Hashable, Sendable, Codable {
    package var id: SessionID
    package var uuid: UUIDv7
    package var desktop: Desktop
    /// When it was first seen, or when logind says that it began, if that is earlier.
    package var opened: BootInstant
    /// The most recent connect and disconnect that were seen; nil before the first.
    package var connected: BootInstant?
    package var disconnected: BootInstant?
    /// The client that is there or was there last, as far as anything is known of one.
    package var lastClient: RemoteClient?
    /// Since when no client is seen any more, while that may still be the beginning of the session's end.
    package var absentSince: BootInstant?

    package init(id: SessionID, uuid: UUIDv7, desktop: Desktop, opened: BootInstant) {
        self.id = id
        self.uuid = uuid
        self.desktop = desktop
        self.opened = opened
    }

    /// The name that `query session` shows: blank when disconnected, `services` excepted.
    package var name: String {
        guard desktop.state != .disconnected || desktop.stack == .services else { return "" }
        return desktop.stack.sessionName(id.description, seat: desktop.logindSessions.first?.seat ?? "")
    }
}

extension Session {
    /// Whether a client was connected to the session and has not been seen to go, while nothing is seen of it.
    package var isClientKnown: Bool {
        guard desktop.state == .connectQuery || desktop.state == .`init`, let connected else { return false }
        return disconnected.map { $0 < connected } ?? true
    }

    /// Whether the client that is there comes from elsewhere than the one that was there last.
    package func hasNewClient(after row: Session) -> Bool {
        guard desktop.isClientPresent, let old = row.lastClient?.address, let new = desktop.client.address else { return false }
        return old != new
    }
}

/// What a reconciliation changed.
package enum SessionChange: Hashable, Sendable {
    case opened(Session)
    case closed(Session)
    /// It turned out to be another one, which goes on.
    case merged(Session)
    /// The same session with other facts: state, lock, client, X server.
    case changed(from: Session, to: Session)
}

/// The numbered sessions of one boot.
///
/// Pure: it is shown the desktops that exist now and returns what changed. A row owns a set of keys; a desktop of its user's with any of
/// them is that row. When one desktop unites the keys of two rows, the lower number stays. A number that was freed rests before it is
/// given to another session, so that a stale reference names nobody rather than somebody else. Only a logon screen's goes to the session
/// that begins in its place, as in Windows, with an identity of its own. And a login that counted as ended and is seen again has the number
/// that it had, with a new identity: its user left an X server behind that was slow to listen.
package struct SessionTable: Sendable, Equatable {
    /// How long a client must be absent before the session counts as disconnected: at a logoff it goes a moment before the session.
    package static let absence: Duration = .milliseconds(200)
    /// How long a freed number rests.
    package static let rest: Duration = .seconds(600)

    /// How long a client's logins may outlast the session that they were part of: ten seconds were seen of X2Go's, on a machine with 110 sessions.
    package static let lingerTime: Duration = .seconds(15)

    /// Keys that a row keeps of what it was; beyond it, it keeps those of what is there now.
    package static let maximumKeys = 32

    package private(set) var sessions: [Session]
    /// Freed numbers and when each may be given again.
    private var resting: [SessionID: BootInstant]
    /// Numbers of logon screens that are gone, by their places: whoever logs on there has them next.
    private var vacated: [String: SessionID]
    /// Whose the freed numbers were, by the logins.
    private var former: [SessionKey: SessionID] = [:]
    /// Numbers that were given again before their rest was over, and until when that would have been.
    private var inherited: [SessionID: BootInstant] = [:]
    /// Logins that were part of a session and are no longer, and until when they are not taken for sessions of their own.
    private var lingering: [SessionKey: BootInstant] = [:]
    /// The latest ends of sessions with logins of their client besides their own, by uid; those that are seen coming, too.
    private var endings: [UInt32: Ending] = [:]

    private struct Ending: Equatable, Codable {
        /// By the clock that logind dates logins by.
        var moment: WallInstant
        /// Until when a login that began before is taken for one of the client's that was not seen in time.
        var until: BootInstant
    }

    package init() {
        sessions = []
        resting = [:]
        vacated = [:]
    }

    /// They are in order, so that answers about all of them need not look at each for each.
    package subscript(id: SessionID) -> Session? {
        var (low, high) = (0, sessions.count)
        while low < high {
            let middle = (low + high) / 2
            if sessions[middle].id < id { low = middle + 1 } else { high = middle }
        }
        return low < sessions.count && sessions[low].id == id ? sessions[low] : nil
    }

    /// When the table must be brought up to date even if nothing is observed.
    package var nextMoment: BootInstant? {
        let absences = sessions.compactMap { $0.absentSince?.advanced(by: Self.absence) }
        return (absences + lingering.values + endings.values.map(\.until)).min()
    }

    package func session(uuid: UUIDv7) -> Session? { sessions.first { $0.uuid == uuid } }

    /// Brings the table to the desktops that exist now.
    ///
    /// - Parameters:
    ///   - desktops: all of them; what is missing has ended.
    ///   - now: the moment of the observation, and `wall` the same by the clock that logins are dated by.
    ///   - makeUUID: gives an identity to a session that opens.
    /// - Returns: what changed: what closed first, then what changed, then what opened, each in order of the numbers.
    package mutating func reconcile(
        _ desktops: [Desktop], at now: BootInstant, wall: WallInstant, makeUUID: () -> UUIDv7
    ) -> [SessionChange] {
        resting = resting.filter { $0.value > now }
        vacated = vacated.filter { resting[$0.value] != nil }
        former = former.filter { resting[$0.value] != nil }
        inherited = inherited.filter { $0.value > now }
        lingering = lingering.filter { $0.value > now }
        endings = endings.filter { $0.value.until > now }
        let present = Set(desktops.flatMap(\.keys))
        var owner: [SessionKey: Int] = [:]
        for (index, session) in sessions.enumerated() {
            for key in session.desktop.keys { owner[key] = index }
        }
        var remaining = Set(sessions.indices)
        var kept: [Session] = []
        var changes: [SessionChange] = []
        var fresh: [Desktop] = []
        for desktop in desktops {
            let matches = Set(desktop.keys.compactMap { owner[$0] }).intersection(remaining)
                .filter { sessions[$0].desktop.uid == desktop.uid && !sessions[$0].isOutlived(by: desktop) }.sorted()
            guard let row = matches.first.map({ sessions[$0] }) else {
                fresh.append(desktop)
                continue
            }
            remaining.subtract(matches)
            // Rows that turned out to be this one end here; their numbers rest.
            changes.append(
                contentsOf: matches.dropFirst().map { match in
                    // One whose login is over has ended like any other, though what is left of it is among this one's.
                    let login = sessions[match].desktop.logindSessions.first?.key
                    let isOver = desktop.logindSessions.contains { $0.key == login && $0.state == "closing" }
                    return isOver ? .closed(sessions[match]) : .merged(sessions[match])
                })
            var updated = row
            updated.desktop = desktop
            if desktop.state == .connectQuery, row.connected != nil, desktop.stack.adapter?.asksForFirstClientOnly == true {
                updated.desktop.state = .disconnected
            }
            if row.isEnding(in: desktop) {
                (updated.desktop.stack, updated.desktop.state, updated.desktop.client) =
                    (row.desktop.stack, row.desktop.state, row.desktop.client)
                endings[desktop.uid] = Ending(moment: wall, until: now.advanced(by: Self.lingerTime))
            }
            // That nothing is locked can be said only where something has told logind of a lock, and not by a logind that has forgotten it.
            if desktop.lock == .unknown, row.desktop.lock != .unknown {
                updated.desktop.lock = row.isLockForgotten(by: desktop) ? .unknown : .unlocked
            }
            for match in matches {
                // What is another's by now is no longer of this one.
                let keys = updated.desktop.keys.union(sessions[match].desktop.keys.subtracting(present))
                // Each new X server adds a key: a user who starts them without end must not make the row grow.
                if keys.count <= Self.maximumKeys { updated.desktop.keys = keys }
            }
            updated.desktop.client.keepAddress(of: row.desktop.client)
            // A login that was part of it may end a moment after what made it so.
            for login in row.desktop.logindSessions.dropFirst()
            where row.desktop.stack.adapter?.hasLoginsOfItsClient == true
                && !desktop.logindSessions.contains(where: { $0.key == login.key })
            {
                lingering[login.key] = now.advanced(by: Self.lingerTime)
            }
            updated.holdAbsence(after: row, at: now)
            updated.note(after: row, at: now)
            if updated.desktop.state == .disconnected { updated.absentSince = nil }
            kept.append(updated)
            if updated != row { changes.append(.changed(from: row, to: updated)) }
        }
        changes.append(contentsOf: remaining.map { .closed(sessions[$0]) })
        for session in changes.compactMap(\.ended) where session.id != .services {
            resting[session.id] = now.advanced(by: Self.rest)
            if session.desktop.stack.adapter?.hasLoginsOfItsClient == true {
                endings[session.desktop.uid] = Ending(moment: wall, until: now.advanced(by: Self.lingerTime))
            }
            if let login = session.desktop.logindSessions.first?.key { former[login] = session.id }
            for login in session.desktop.logindSessions.dropFirst() {
                lingering[login.key] = now.advanced(by: Self.lingerTime)
            }
            if !session.desktop.isUserSession, let place = session.desktop.place { vacated[place] = session.id }
        }
        sessions = kept
        var taken = Set(sessions.map(\.id)).union(resting.keys)
        for desktop in fresh where !isLingering(desktop) {
            let own = desktop.logindSessions.first.flatMap { former[$0.key] } ?? desktop.place.flatMap { vacated[$0] }
            if let own {
                inherited[own] = resting[own]
                endRest(of: own)
            }
            guard let id = desktop.stack == .services ? .services : own ?? Self.lowestFree(taken) else { continue }
            taken.insert(id)
            var session = Session(id: id, uuid: makeUUID(), desktop: desktop, opened: now)
            session.note(after: nil, at: now)
            sessions.append(session)
            changes.append(.opened(session))
        }
        sessions.sort { $0.id < $1.id }
        return changes.sorted { ($0.order, $0.id) < ($1.order, $1.id) }
    }

    /// Ends the rest of a number that a session had of which there is no record: it rests only as long as it would have without that one.
    package mutating func giveBack(_ id: SessionID) {
        guard resting[id] != nil else { return }
        let before = inherited.removeValue(forKey: id)
        endRest(of: id)
        resting[id] = before
    }

    private mutating func endRest(of id: SessionID) {
        resting[id] = nil
        vacated = vacated.filter { $0.value != id }
        former = former.filter { $0.value != id }
    }

    /// Whether it is only what is left of a client's logins. One that has a terminal is a session at once.
    private func isLingering(_ desktop: Desktop) -> Bool {
        guard desktop.logindSessions.allSatisfy(\.tty.isEmpty) else { return false }
        if desktop.keys.allSatisfy({ lingering[$0] != nil }) { return true }
        guard desktop.xServer == nil, desktop.stack == .ssh, let ending = endings[desktop.uid] else { return false }
        return desktop.logindSessions.allSatisfy { $0.began <= ending.moment }
    }

    /// The lowest number that is neither taken nor resting; nil when all below the listeners' are.
    private static func lowestFree(_ taken: Set<SessionID>) -> SessionID? {
        var id = SessionID.firstUser
        while taken.contains(id) { id.rawValue += 1 }
        return id < .firstListener ? id : nil
    }
}

extension SessionTable: Codable {
    private struct Stored: Codable {
        var sessions: [Session]
        var resting: [UInt32: UInt64]
        /// Nil in what earlier versions stored.
        var vacated: [String: UInt32]?
        var former: [SessionKey: UInt32]?
        var inherited: [UInt32: UInt64]?
        var lingering: [SessionKey: BootInstant]?
        var endings: [UInt32: Ending]?
    }

    package init(from decoder: any Decoder) throws {
        let stored = try Stored(from: decoder)
        sessions = stored.sessions.sorted { $0.id < $1.id }
        resting = Self.moments(stored.resting)
        inherited = Self.moments(stored.inherited ?? [:])
        lingering = stored.lingering ?? [:]
        endings = stored.endings ?? [:]
        vacated = (stored.vacated ?? [:]).mapValues { SessionID(rawValue: $0) }
        former = (stored.former ?? [:]).mapValues { SessionID(rawValue: $0) }
    }

    package func encode(to encoder: any Encoder) throws {
        try Stored(
            sessions: sessions, resting: Self.numbers(resting), vacated: vacated.mapValues(\.rawValue),
            former: former.mapValues(\.rawValue), inherited: Self.numbers(inherited), lingering: lingering, endings: endings
        ).encode(to: encoder)
    }

    private static func moments(_ numbers: [UInt32: UInt64]) -> [SessionID: BootInstant] {
        Dictionary(uniqueKeysWithValues: numbers.map { (SessionID(rawValue: $0), BootInstant(nanoseconds: $1)) })
    }

    private static func numbers(_ moments: [SessionID: BootInstant]) -> [UInt32: UInt64] {
        Dictionary(uniqueKeysWithValues: moments.map { ($0.rawValue, $1.nanoseconds) })
    }
}

extension Session {
    /// Whether the desktop is only what is left of this one: logins that were part of it, without the X server and the login that owned it.
    fileprivate func isOutlived(by other: Desktop) -> Bool {
        guard desktop.xServer != nil, other.xServer == nil, desktop.logindSessions.count > 1, let owner = desktop.logindSessions.first
        else { return false }
        return !other.logindSessions.contains { $0.id == owner.id && $0.timestamp == owner.timestamp }
    }

    /// Whether it is no longer seen what it is, as its X server's process, by whose program that is known, is coming to its end.
    fileprivate func isEnding(in other: Desktop) -> Bool {
        desktop.stack.adapter?.hasLoginsOfItsClient == true && other.stack != desktop.stack && other.xServer != nil
            && other.xServer == desktop.xServer
    }

    /// Whether it was locked by a login that has gone, or of which a logind tells that has started again and so knows nothing of it.
    fileprivate func isLockForgotten(by other: Desktop) -> Bool {
        guard desktop.lock == .locked, let login = desktop.logindSessions.first(where: \.lockedHint) else { return false }
        return !other.logindSessions.contains { $0.key == login.key && $0.owner == login.owner }
    }

    /// Leaves a session connected until its client has been absent for long enough.
    fileprivate mutating func holdAbsence(after row: Session, at now: BootInstant) {
        guard row.desktop.isClientPresent, desktop.state == .disconnected else {
            absentSince = nil
            return
        }
        let since = row.absentSince ?? now
        absentSince = since
        guard since.advanced(by: SessionTable.absence) > now else { return }
        desktop.state = row.desktop.state
        desktop.client = row.desktop.client
    }

    /// Records a connect or disconnect when one happened, and who is there.
    fileprivate mutating func note(after row: Session?, at now: BootInstant) {
        guard desktop.stack != .services else { return }
        if desktop.isClientPresent {
            if row?.desktop.isClientPresent != true || row.map({ hasNewClient(after: $0) }) == true { connected = now }
            // Of a client that has just come nothing may be known yet: then it is not the one before.
            let isOld = row?.desktop.isClientPresent == true || row?.isClientKnown == true
            if !isOld || desktop.client.address != nil || desktop.client.name != nil { lastClient = desktop.client }
        } else if desktop.state == .disconnected, row?.desktop.state != .disconnected {
            disconnected = absentSince ?? now
        }
    }
}

extension SessionChange {
    /// The session that is no longer there.
    fileprivate var ended: Session? {
        switch self {
        case .closed(let session), .merged(let session): session
        case .changed, .opened: nil
        }
    }

    fileprivate var order: Int {
        switch self {
        case .closed, .merged: 0
        case .changed: 1
        case .opened: 2
        }
    }

    fileprivate var id: SessionID {
        switch self {
        case .closed(let session), .merged(let session), .opened(let session), .changed(_, let session): session.id
        }
    }
}
