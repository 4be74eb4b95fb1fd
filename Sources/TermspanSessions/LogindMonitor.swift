import CSystemd
package import TermspanBus
import TermspanCore
import TermspanSystem

/// The sessions that systemd-logind knows, kept up to date by its signals and by sd_login_monitor(3).
///
/// The bus tells of new, removed and changed sessions. It does not tell when a session's state becomes `closing`: that shows in the
/// files that sd_login_monitor watches, and so does the end, however long whoever floods the bus makes logind's signal wait. logind's restart is followed.
/// The terminal of a login over ssh is the kernel's word where logind has none.
@MainActor
package final class LogindMonitor {
    package private(set) var sessions: [LogindSession] = []

    private let loop: EventLoop
    private let connection: BusConnection
    private let onChange: @MainActor () -> Void
    /// Whether somebody has answered by logind's name.
    private var isThere = false
    private var slots: [BusSlot] = []
    private nonisolated(unsafe) var monitor: OpaquePointer?
    private var monitorSource: EventSource?
    private var endsTimer: EventSource?
    /// When the files are looked at again at the earliest.
    private var endsRested = BootInstant.zero
    private var isRefreshing = false
    private var isRefreshWanted = false
    /// Paths of sessions that are being read again or wait for it, and whether they changed once more meanwhile.
    private var rereading: [String: Bool] = [:]
    /// Those that wait, their users in turn: one with hundreds of sessions that change all the time keeps no other's waiting.
    private var queue = TurnQueue<String>(limit: .max, limitPerUser: .max)
    /// How many are being read again.
    private(set) var questions = 0
    /// And how many are, or wait for it.
    var waiting: Int { rereading.count }
    /// Whose the objects at these paths are, as far as they were read.
    private var objects: [String: (id: String, uid: UInt32)] = [:]
    /// What each session has left of readings, and those that wait for their turn.
    private var readings: [String: TokenBucket] = [:]
    private var turns: [String: EventSource] = [:]
    private var retry: EventSource?
    /// What is older than an end that was seen must not undo it.
    private var ended = EndedLogins()
    /// Sessions that were read or seen to change since the list that is being read was asked for: what it has of them may be older.
    private var newer: Set<SessionKey> = []
    private var refreshTimer: EventSource?
    /// Logins over ssh that have no terminal yet, by ID, how often they were looked at again and when they will be, if they will: logind
    /// learns of it a moment later and tells nobody, or never does.
    private var terminals: [String: (looks: Int, next: BootInstant?)] = [:]
    private var terminalTimer: EventSource?

    private static let destination = "org.freedesktop.login1"
    private static let path = "/org/freedesktop/login1"
    private static let manager = "org.freedesktop.login1.Manager"
    private static let session = "org.freedesktop.login1.Session"
    /// Sessions that are followed; more than any server bears.
    private static let maximumSessions = 8_192
    /// Sessions that are asked for at a time, for the list of all and again for those that changed: the bus lets a connection wait for 128
    /// answers in all (dbus-daemon(1), `max_replies_per_connection`), and refuses the rest.
    private static let maximumQuestions = 32
    /// How much longer than a look at the files took nothing is looked at: as many sessions as a user makes, as often as that user changes them.
    private static let restFactor = 9
    /// A session's user can make it change without end.
    private static let rereadRate = Rate(20, per: .seconds(1), burst: 20)
    private static let retryDelay: Duration = .seconds(1)
    /// After logons and logoffs all are read once more, in case something was not told: at most so often.
    private static let refreshDelay: Duration = .seconds(10)
    private static let terminalDelays: [Duration] = [.milliseconds(250), .seconds(1), .seconds(4)]

    /// Reads all sessions, waiting for logind, and follows them from then on.
    ///
    /// - Parameters:
    ///   - watchesFiles: whether logind's files are watched as well, which need not be those of who answers on the bus.
    ///   - onLoss: is told when logind goes; sessions stay as they were until it is back.
    package init(
        loop: EventLoop, connection: BusConnection, watchesFiles: Bool = true, onChange: @escaping @MainActor () -> Void,
        onLoss: @escaping @MainActor () -> Void = {}
    ) throws {
        self.loop = loop
        self.connection = connection
        self.onChange = onChange
        func match(_ member: String, _ body: @escaping @MainActor (_ id: String, _ path: String) -> Void) throws {
            let rule = BusMatch(sender: Self.destination, path: Self.path, interface: Self.manager, member: member)
            slots.append(
                try connection.match(rule) { [unowned self] message in
                    if refreshTimer?.isArmed == false { refreshTimer?.arm(after: Self.refreshDelay) }
                    guard let id: String = try? message.read(), let path = try? message.readObjectPath() else { return refresh() }
                    body(id, path)
                })
        }
        try match("SessionNew") { [unowned self] _, path in reread(path) }
        try match("SessionRemoved") { [unowned self] id, path in
            objects[path] = nil
            if remove(where: { $0.id == id }) { onChange() }
        }
        let changes = BusMatch(
            sender: Self.destination, pathNamespace: Self.path + "/session", interface: "org.freedesktop.DBus.Properties",
            member: "PropertiesChanged")
        slots.append(
            try connection.match(changes) { [unowned self] message in
                if let path = message.path { reread(path) }
            })
        slots.append(
            try connection.watchName(Self.destination) { [unowned self] owner in
                if owner != nil {
                    refresh()
                } else if isThere {
                    onLoss()
                }
                isThere = owner != nil
            })
        if watchesFiles, sd_login_monitor_new("session", &monitor) >= 0 {
            let descriptor = sd_login_monitor_get_fd(monitor)
            monitorSource = try loop.watch(descriptor) { [unowned self] _ in
                sd_login_monitor_flush(monitor)
                if endsRested <= .now() { lookForEnds() } else { endsTimer?.arm(at: endsRested) }
            }
            monitorSource?.limit(25, per: .milliseconds(500))
        }
        endsTimer = try loop.timer { [unowned self] in lookForEnds() }
        retry = try loop.timer { [unowned self] in refresh() }
        refreshTimer = try loop.timer(accuracy: .seconds(1)) { [unowned self] in refresh() }
        terminalTimer = try loop.timer(accuracy: .milliseconds(50)) { [unowned self] in lookForTerminals() }
        let list = try connection.callAndWait(Self.destination, path: Self.path, interface: Self.manager, member: "ListSessions")
        for path in try Self.paths(list) {
            let reply = try? connection.callAndWait(
                Self.destination, path: path, interface: "org.freedesktop.DBus.Properties", member: "GetAll"
            ) { $0.append(Self.session) }
            if let reply, let session = try? Self.session(in: reply) {
                sessions.append(session)
                objects[path] = (session.id, session.uid)
            }
        }
        awaitTerminals()
    }

    deinit {
        sd_login_monitor_unref(monitor)
    }

    /// Asks for the list again, once at a time: what happens meanwhile is asked for after.
    private func refresh() {
        guard !isRefreshing else {
            isRefreshWanted = true
            return
        }
        isRefreshing = true
        newer = []
        ended.listIsAskedFor()
        connection.call(Self.destination, path: Self.path, interface: Self.manager, member: "ListSessions") { [weak self] result in
            guard let self else { return }
            // No answer is no news: sessions end when logind says so.
            guard let paths = try? Self.paths(result.get()) else { return finishRefresh(nil) }
            let present = Set(paths)
            objects = objects.filter { present.contains($0.key) }
            read(paths) { self.finishRefresh($0) }
        }
    }

    /// - Parameter found: nil when logind did not answer.
    private func finishRefresh(_ found: [LogindSession]?) {
        isRefreshing = false
        if let found {
            ended.listHasCome(with: Set(found.map(\.key)))
            replace(with: found.filter { !newer.contains($0.key) } + sessions.filter { newer.contains($0.key) })
        } else {
            retry?.arm(after: Self.retryDelay)
        }
        if isRefreshWanted {
            isRefreshWanted = false
            refresh()
        }
    }

    private func read(_ paths: [String], completion: @escaping @MainActor ([LogindSession]?) -> Void) {
        guard !paths.isEmpty else { return completion([]) }
        var rest = paths[...]
        var underWay = 0
        var found: [LogindSession]? = []
        func ask() {
            while underWay < Self.maximumQuestions, let path = rest.popFirst() {
                underWay += 1
                properties(of: path) { result in
                    switch result {
                    case .success(let session): if let session { found?.append(session) }
                    // A session can end between the list and the question; anything else says nothing of it.
                    case .failure(let error): if !error.meansNoSuchObject { found = nil }
                    }
                    underWay -= 1
                    if underWay == 0, rest.isEmpty { completion(found) } else { ask() }
                }
            }
        }
        ask()
    }

    /// Reads one session again, once at a time and at most so often: its user can make it change as fast as logind answers.
    private func reread(_ path: String) {
        guard turns[path] == nil else { return }
        guard rereading[path] == nil else {
            rereading[path] = true
            return
        }
        let now = loop.now
        guard readings[path, default: TokenBucket()].take(Self.rereadRate, at: now) else {
            return wait(for: path, until: readings[path]?.next(Self.rereadRate, at: now) ?? now)
        }
        if readings.count > 2 * Self.maximumSessions { readings = readings.filter { !$0.value.isFull(at: now) } }
        rereading[path] = false
        // All that nobody knows yet take one turn together.
        queue.append(path, for: objects[path]?.uid ?? .max)
        askNext()
    }

    private func askNext() {
        while questions < Self.maximumQuestions, let path = queue.take(1).first { ask(path) }
    }

    private func ask(_ path: String) {
        questions += 1
        properties(of: path) { [weak self] result in
            guard let self else { return }
            questions -= 1
            defer { self.askNext() }
            if case .success(let session?) = result {
                newer.insert(session.key)
                replace(with: sessions.filter { $0.id != session.id } + [session])
            }
            let changedAgain = rereading.removeValue(forKey: path) == true
            if case .failure(let error) = result, !error.meansNoSuchObject {
                wait(for: path, until: loop.now.advanced(by: Self.retryDelay))
            } else if changedAgain {
                reread(path)
            }
        }
    }

    private func wait(for path: String, until moment: BootInstant) {
        turns[path] = try? loop.timer(at: moment) { [weak self] in
            self?.turns[path] = nil
            self?.reread(path)
        }
    }

    private func properties(of path: String, completion: @escaping @MainActor (Result<LogindSession?, BusError>) -> Void) {
        connection.call(
            Self.destination, path: path, interface: "org.freedesktop.DBus.Properties", member: "GetAll",
            arguments: { $0.append(Self.session) },
            reply: { [weak self] result in
                let session: Result<LogindSession?, BusError> = result.flatMap { message in
                    Result { () throws(BusError) in try Self.session(in: message) }
                }
                if case .success(let session?) = session { self?.objects[path] = (session.id, session.uid) }
                completion(session)
            })
    }

    private static func session(in answer: BusMessage) throws(BusError) -> LogindSession? {
        var session = LogindSession(properties: try answer.readProperties())?.withTerminal()
        session?.owner = answer.sender
        return session
    }

    private func replace(with found: [LogindSession]) {
        let closing = Set(sessions.lazy.filter { $0.state == "closing" }.map(\.key))
        let sorted = found.filter { !ended.contains($0.key) }.map { $0.following(closing: closing) }
            .sorted { ($0.timestamp, $0.id) < ($1.timestamp, $1.id) }
        guard sorted != sessions else { return }
        sessions = sorted
        awaitTerminals()
        onChange()
    }

    private func awaitTerminals() {
        let without = sessions.filter(\.awaitsTerminal).map(\.id)
        let first = loop.now.advanced(by: Self.terminalDelays[0])
        terminals = Dictionary(without.map { ($0, terminals[$0] ?? (0, first)) }) { first, _ in first }
        armTerminals()
    }

    private func armTerminals() {
        if let next = terminals.values.compactMap(\.next).min() { terminalTimer?.arm(at: next) }
    }

    private func lookForTerminals() {
        let now = loop.now
        var due: Set<String> = []
        for (id, (looks, next)) in terminals where next.map({ $0 <= now }) ?? false {
            let looks = looks + 1
            terminals[id] = (looks, looks < Self.terminalDelays.count ? now.advanced(by: Self.terminalDelays[looks]) : nil)
            due.insert(id)
        }
        for (path, session) in objects where due.contains(session.id) { reread(path) }
        armTerminals()
    }

    private func lookForEnds() {
        let begin = BootInstant.now()
        defer { endsRested = .now().advanced(by: begin.duration(to: .now()) * Self.restFactor) }
        var gone: Set<SessionKey> = []
        var isChanged = false
        for (index, session) in sessions.enumerated() {
            var state: UnsafeMutablePointer<CChar>?
            let result = sd_session_get_state(session.id, &state)
            if result == -ENXIO { gone.insert(session.key) }
            guard result >= 0, let state else { continue }
            let known = String(cString: state)
            free(state)
            guard let updated = session.following(file: known) else { continue }
            sessions[index] = updated
            newer.insert(session.key)
            isChanged = true
        }
        if remove(where: { gone.contains($0.key) }) || isChanged { onChange() }
    }

    /// Takes out sessions that have ended. Answers that are on their way may still tell of them.
    private func remove(where hasEnded: (LogindSession) -> Bool) -> Bool {
        let gone = sessions.filter(hasEnded)
        guard !gone.isEmpty else { return false }
        ended.insert(gone.map(\.key))
        sessions.removeAll(where: hasEnded)
        return true
    }

    private static func paths(_ message: BusMessage) throws -> [String] {
        var paths: [String] = []
        try message.readArray(of: "(susso)") { message throws(BusError) in
            let path = try message.readStructure("susso") { message throws(BusError) in
                try message.skip("suss")
                return try message.readObjectPath()
            }
            if paths.count < maximumSessions { paths.append(path) }
        }
        return paths
    }
}

extension LogindSession {
    /// Whether it may have a terminal that is not known.
    fileprivate var awaitsTerminal: Bool { service == "sshd" && tty.isEmpty && state != "closing" }

    /// This session with the terminal that the kernel tells of, where logind knows none: it is looked for at each reading, since it may have
    /// gone, and its name be another's. What logind tells of a login over ssh it has from utmp(5), where the entry of one that was killed
    /// stays, and becomes that of a later one with the same PID: it counts only if it is a terminal of the user's.
    func withTerminal() -> LogindSession {
        var session = self
        if service == "sshd", !Terminal.isDevice(tty, of: uid) { session.tty = "" }
        if session.awaitsTerminal, let terminal = Terminal.name(ofLogin: leader, uid: uid) { session.tty = terminal }
        return session
    }

    /// This session as it is after what was known of it: one that is among those that are closing stays so.
    ///
    /// An answer on the bus may be older than the file that told of the closing, and would make a session that has ended begin anew.
    func following(closing: Set<SessionKey>) -> LogindSession {
        guard closing.contains(key) else { return self }
        var session = self
        session.state = "closing"
        session.isActive = false
        return session
    }

    /// This session as its file tells, which has this state; nil if that is no news.
    ///
    /// logind writes the file of a session that closes a moment after its answers on the bus tell that, when the login's last process has
    /// gone: what is closing stays so.
    func following(file known: String) -> LogindSession? {
        guard state != "closing", known != state || isActive != (known == "active") else { return nil }
        var session = self
        session.state = known
        session.isActive = known == "active"
        return session
    }

    /// Takes the properties of org.freedesktop.login1.Session; nil if the identifying ones are missing.
    package init?(properties: [String: BusValue]) {
        guard let id = properties["Id"]?.string, let user = properties["User"]?.elements, let uid = user.first?.unsigned else { return nil }
        func text(_ key: String) -> String { properties[key]?.string ?? "" }
        self.init(
            id: id, timestamp: properties["Timestamp"]?.unsigned ?? 0, uid: UInt32(clamping: uid), userName: text("Name"),
            leader: UInt32(clamping: properties["Leader"]?.unsigned ?? 0), scope: text("Scope"), service: text("Service"),
            type: text("Type"), sessionClass: text("Class"), display: text("Display"),
            seat: properties["Seat"]?.elements?.first?.string ?? "",
            virtualTerminal: UInt32(clamping: properties["VTNr"]?.unsigned ?? 0), tty: text("TTY"),
            isRemote: properties["Remote"]?.bool ?? false, remoteHost: text("RemoteHost"), state: text("State"),
            isActive: properties["Active"]?.bool ?? false, lockedHint: properties["LockedHint"]?.bool ?? false)
    }
}

extension BusError {
    /// The object is gone: logind's and the bus library's ways to say so.
    fileprivate var meansNoSuchObject: Bool {
        ["org.freedesktop.DBus.Error.UnknownObject", "org.freedesktop.DBus.Error.UnknownInterface", "org.freedesktop.login1.NoSuchSession"]
            .contains(name)
    }
}
