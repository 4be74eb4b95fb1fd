import TermspanAccounting
import TermspanBus
import TermspanControl
import TermspanCore
import TermspanSessions
import TermspanSystem

/// The sessions and their users as objects on the bus, as logind has them: org.termspan1.Session and org.termspan1.User, and the object
/// manager that tells of new ones.
///
/// Whoever asks sees what everybody may; of sensitive properties root and the session's user see the value, others a blank. polkit can't be
/// asked while a property is read: who has its right asks ListSessions.
@MainActor
final class SessionObjects {
    private unowned let collector: Collector
    private let actions: SessionActions
    private var slots: [BusSlot] = []
    /// Users whose objects were told of.
    private var users: [UInt32: String] = [:]
    /// A session that is gone from the table and whose object is being removed.
    private var ending: Session?

    private static let sessionInterface = "org.termspan1.Session"
    private static let userInterface = "org.termspan1.User"
    private static let sessionFolder = ManagerObject.path + "/session"
    private static let userFolder = ManagerObject.path + "/user"

    init(collector: Collector, actions: SessionActions) throws {
        self.collector = collector
        self.actions = actions
        users = Self.users(of: collector.table.sessions)
        let connection = collector.connection
        slots.append(
            try connection.export(
                below: Self.sessionFolder, session, find: { [unowned self] in session(at: $0) != nil },
                children: { [unowned self] in self.collector.table.sessions.map { Self.path(of: $0.id) } }))
        slots.append(
            try connection.export(
                below: Self.userFolder, user, find: { [unowned self] in uid(at: $0) != nil },
                children: { [unowned self] in users.keys.sorted().map { Self.path(ofUser: $0) } }))
        slots.append(try connection.exportObjectManager(at: ManagerObject.path))
    }

    /// All who have sessions, by uid.
    var allUsers: [(uid: UInt32, name: String)] { users.sorted { $0.key < $1.key }.map { (uid: $0.key, name: $0.value) } }

    static func path(of id: SessionID) -> String { "\(sessionFolder)/_\(id)" }

    static func path(ofUser uid: UInt32) -> String { "\(userFolder)/_\(uid)" }

    private static func users(of sessions: [Session]) -> [UInt32: String] {
        Dictionary(sessions.filter { $0.desktop.stack != .services }.map { ($0.desktop.uid, $0.desktop.userName) }) { first, _ in first }
    }

    /// The number behind a prefix, in the one way in which it is written.
    private static func number(_ path: String, in folder: String) -> UInt32? {
        let prefix = folder + "/_"
        guard path.hasPrefix(prefix), let number = UInt32(path.dropFirst(prefix.count)), path == prefix + String(number) else { return nil }
        return number
    }

    private func session(at path: String) -> Session? {
        guard let number = Self.number(path, in: Self.sessionFolder) else { return nil }
        if let ending, ending.id.rawValue == number { return ending }
        return collector.table[SessionID(rawValue: number)]
    }

    private func uid(at path: String) -> UInt32? {
        Self.number(path, in: Self.userFolder).flatMap { users[$0] == nil ? nil : $0 }
    }

    private func sessions(of uid: UInt32) -> [Session] {
        collector.table.sessions.filter { $0.desktop.uid == uid && $0.desktop.stack != .services }
    }

    // MARK: Changes

    func opened(_ session: Session) {
        let uid = session.desktop.uid
        let isNew = users.updateValue(session.desktop.userName, forKey: uid) == nil
        try? collector.connection.emitObjectAdded(path: Self.path(of: session.id))
        tellUser(uid, isNew: isNew)
    }

    func closed(_ session: Session) {
        let uid = session.desktop.uid
        ending = session
        try? collector.connection.emitObjectRemoved(path: Self.path(of: session.id))
        ending = nil
        leave(uid)
    }

    func untoldClosed(_ session: Session) { leave(session.desktop.uid) }

    /// A session of the user's is gone.
    private func leave(_ uid: UInt32) {
        guard users[uid] != nil else { return }
        if sessions(of: uid).isEmpty {
            try? collector.connection.emitObjectRemoved(path: Self.path(ofUser: uid))
            users[uid] = nil
        } else {
            tellUser(uid, isNew: false)
        }
    }

    func changed(_ session: Session) {
        try? collector.connection.emitPropertiesChanged(
            path: Self.path(of: session.id), interface: Self.sessionInterface,
            ["State", "Name", "Stack", "Type", "Connected", "Disconnected"])
    }

    private func tellUser(_ uid: UInt32, isNew: Bool) {
        let path = Self.path(ofUser: uid)
        if isNew {
            try? collector.connection.emitObjectAdded(path: path)
        } else {
            try? collector.connection.emitPropertiesChanged(path: path, interface: Self.userInterface, ["Sessions"])
        }
    }

    // MARK: Interfaces

    private func moment(_ instant: BootInstant?) -> UInt64 { instant.flatMap { collector.anchors.wall(at: $0) }?.microseconds ?? 0 }

    private var session: BusInterface {
        func property(
            _ name: String, _ type: String, emits: BusProperty.Emits = .nothing,
            _ get: @escaping @MainActor (Session, inout BusMessageWriter) -> Void
        ) -> BusProperty {
            BusProperty(name, type, emits: emits) { [unowned self] path, writer throws(BusError) in
                guard let session = session(at: path) else { throw BusError.failed("The session has ended.") }
                get(session, &writer)
            }
        }
        func sensitive<Value: BusBasic>(_ name: String, _ type: String, _ get: @escaping @MainActor (Session) -> Value) -> BusProperty {
            BusProperty(sensitive: name, type) { [unowned self] path, caller, writer throws(BusError) in
                let credentials = try caller?.credentials()
                let session = session(at: path)
                let isAllowed = credentials.map { $0.isRoot || $0.userID == session?.desktop.uid } ?? false
                writer.append(isAllowed ? session.map(get) ?? Value.busZero : Value.busZero)
            }
        }
        func act(_ name: String, _ action: SessionAction) -> BusMethod {
            BusMethod(name) { [unowned self] invocation throws(BusError) in
                guard let session = session(at: invocation.path) else { throw BusError.failed("The session has ended.") }
                try actions.perform(action, on: session, id: session.id, invocation)
            }
        }
        return BusInterface(
            Self.sessionInterface,
            methods: [act("Lock", .lock), act("Disconnect", .disconnect), act("Terminate", .logoff)],
            properties: [
                property("Id", "u", emits: .constant) { $1.append($0.id.rawValue) },
                property("UUID", "s", emits: .constant) { $1.append($0.uuid.description) },
                property("Name", "s", emits: .change) { $1.append($0.name) },
                property("User", "(us)", emits: .constant) { session, writer in
                    writer.structure("us") {
                        $0.append(session.desktop.uid)
                        $0.append(session.desktop.userName)
                    }
                },
                property("State", "s", emits: .change) { $1.append($0.desktop.state.name) },
                property("Confidence", "s") { $1.append($0.desktop.confidence.rawValue) },
                property("Stack", "s", emits: .change) { $1.append($0.desktop.stack.rawValue) },
                property("Type", "s", emits: .change) { $1.append($0.desktop.stack.typeName) },
                property("Logon", "t") { $1.append($0.desktop.logindSessions.first?.timestamp ?? 0) },
                property("Connected", "t", emits: .change) { [unowned self] in $1.append(moment($0.connected)) },
                property("Disconnected", "t", emits: .change) { [unowned self] in $1.append(moment($0.disconnected)) },
                sensitive("LastInput", "t") { [unowned self] in
                    moment(collector.lastInput(of: $0) { collector.aggregator.lastInput(of: $0, at: .now()) })
                },
                sensitive("Coverage", "s") { [unowned self] in collector.coverage(of: $0).name },
                sensitive("ClientAddress", "s") { $0.desktop.client.address ?? "" },
                sensitive("ClientName", "s") { $0.desktop.client.name ?? "" },
                sensitive("ScreenWidth", "u") { [unowned self] in UInt32(collector.screen(of: $0)?.width ?? 0) },
                sensitive("ScreenHeight", "u") { [unowned self] in UInt32(collector.screen(of: $0)?.height ?? 0) },
                sensitive("ColorDepth", "u") { [unowned self] in UInt32(collector.screen(of: $0)?.depth ?? 0) },
                sensitive("Locked", "s") { $0.desktop.lock.rawValue },
                sensitive("Display", "s") { $0.display },
                sensitive("Seat", "s") { $0.desktop.logindSessions.first?.seat ?? "" },
                sensitive("TTY", "s") { $0.desktop.logindSessions.first?.tty ?? "" },
                sensitive("Scope", "s") { $0.desktop.logindSessions.first?.scope ?? "" },
                sensitive("Leader", "u") { $0.desktop.logindSessions.first?.leader ?? 0 },
            ])
    }

    private var user: BusInterface {
        func property(
            _ name: String, _ type: String, emits: BusProperty.Emits, _ get: @escaping @MainActor (UInt32, inout BusMessageWriter) -> Void
        ) -> BusProperty {
            BusProperty(name, type, emits: emits) { [unowned self] path, writer throws(BusError) in
                guard let uid = uid(at: path) else { throw BusError.failed("The user has logged off.") }
                get(uid, &writer)
            }
        }
        return BusInterface(
            Self.userInterface,
            properties: [
                property("UID", "u", emits: .constant) { $1.append($0) },
                property("Name", "s", emits: .constant) { [unowned self] in $1.append(users[$0] ?? "") },
                property("Sessions", "a(uo)", emits: .change) { [unowned self] uid, writer in
                    writer.array(of: "(uo)") { writer in
                        for session in sessions(of: uid) {
                            writer.structure("uo") { writer in
                                writer.append(session.id.rawValue)
                                writer.append(objectPath: Self.path(of: session.id))
                            }
                        }
                    }
                },
            ])
    }
}
