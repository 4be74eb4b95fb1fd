import Glibc
import Synchronization
import TermspanAccounting
import TermspanBus
import TermspanConfiguration
import TermspanCore
import TermspanEvents
import TermspanSessions
import TermspanStore
import TermspanSystem

/// The collector on the bus: org.termspan1(5). Whatever a caller sends is bounded, and what a caller may see is decided for each.
@MainActor
final class ManagerObject {
    unowned let collector: Collector
    private let objects: SessionObjects
    private let actions: SessionActions
    let rights: CallerRights
    private var slots: [BusSlot] = []
    private var subscriptions = Subscriptions()
    /// The units that callers live in.
    private var units = CallerCache<String?>()
    /// Tell when a subscriber goes, by its unique name.
    private var watches: [String: BusSlot] = [:]
    /// Calls that the store's thread works on, with what ends the wait for it.
    private var parked: [Int: (invocation: BusInvocation, timer: EventSource?)] = [:]
    private var lastCall = 0
    var recentReads = RecentReads<ReadCall>()
    var recentLooks = RecentReads<Look>(interval: .seconds(600), most: 20_000)
    /// Whom the service of the reports runs as; looked up once, since the user database may take its time. nil: not installed.
    let reportsUserID = UserDatabase.user(named: ManagerObject.reportsUser)?.uid
    /// Limits the calls of each user; the collector is told by its `onLimit`.
    let gate: CallGate

    static let name = "org.termspan1"
    static let path = "/org/termspan1"
    private static let interface = "org.termspan1.Manager"
    /// The report service's user, who asks on behalf of callers that it has checked itself.
    private static let reportsUser = "termspan-reports"
    /// How long a caller waits for the store.
    private static let patience: Duration = .seconds(10)
    /// How long the store's thread waits for a directory.
    nonisolated static let directoryPatience: Duration = .seconds(3)

    init(collector: Collector) throws {
        self.collector = collector
        gate = try collector.connection.limitCalls(
            Self.limits(collector.configuration, reportsUserID: reportsUserID), loop: collector.loop)
        rights = CallerRights(collector: collector)
        actions = SessionActions(collector: collector, rights: rights)
        objects = try SessionObjects(collector: collector, actions: actions)
        slots.append(try collector.connection.export(path: Self.path, managerInterface))
    }

    /// Applies another configuration.
    func reload(_ configuration: Configuration) {
        gate.settings = Self.limits(configuration, reportsUserID: reportsUserID)
    }

    /// The reports ask for their callers, whom they limit themselves.
    private static func limits(_ configuration: Configuration, reportsUserID: UInt32?) -> CallLimits.Settings {
        CallLimits.Settings(
            callsPerSecond: configuration.limits.busCallsPerSecond, exempt: Set([0, reportsUserID].compactMap { $0 }))
    }

    // MARK: Signals

    func sessionOpened(_ session: Session) {
        objects.opened(session)
        emit("SessionNew", session)
    }

    func sessionClosed(_ session: Session) {
        emit("SessionRemoved", session)
        objects.closed(session)
    }

    /// One that nobody was told of, since its user is at the limit of logons.
    func untoldSessionClosed(_ session: Session) { objects.untoldClosed(session) }

    func sessionChanged(_ session: Session, after before: Session) {
        // Nothing of what only some may see, such as a lock, makes a signal that all get.
        guard
            before.desktop.state != session.desktop.state || before.name != session.name || before.desktop.stack != session.desktop.stack
                || before.connected != session.connected
        else { return }
        objects.changed(session)
        guard before.desktop.state != session.desktop.state else { return }
        try? collector.connection.emit(path: Self.path, interface: Self.interface, member: "SessionChanged") { writer in
            writer.append(session.id.rawValue)
            writer.append(session.desktop.state.name)
        }
    }

    private func emit(_ member: String, _ session: Session) {
        try? collector.connection.emit(path: Self.path, interface: Self.interface, member: member) { writer in
            writer.append(session.id.rawValue)
            writer.append(objectPath: SessionObjects.path(of: session.id))
        }
    }

    /// Tells the subscribers what happened in a session, each what they may see.
    func notify(_ notification: SessionNotification, _ session: Session) {
        let now = WallInstant.now()
        for recipient in subscriptions.recipients(of: notification, in: session.desktop.uid) {
            try? collector.connection.emit(
                path: Self.path, interface: Self.interface, member: "SessionNotification", to: recipient.name
            ) { writer in
                let desktop = session.desktop
                writer.properties { writer in
                    writer.property("event", notification.rawValue)
                    writer.property("time", now.microseconds)
                    writer.property("id", session.id.rawValue)
                    writer.property("uuid", session.uuid.description)
                    writer.property("name", session.name)
                    writer.property("user", desktop.userName)
                    writer.property("uid", desktop.uid)
                    writer.property("stack", desktop.stack.rawValue)
                    guard recipient.seesDetails else { return }
                    writer.property("client-address", desktop.client.address ?? "")
                    writer.property("client-name", desktop.client.name ?? "")
                }
            }
        }
    }

    private func act(_ name: String, _ action: SessionAction) -> BusMethod {
        BusMethod(name, in: ["id": "u"]) { [unowned self] invocation throws(BusError) in
            let id = SessionID(rawValue: try invocation.message.read(UInt32.self))
            try actions.perform(action, on: collector.table[id], id: id, invocation)
        }
    }

    private func subscribe(_ invocation: BusInvocation) {
        guard let name = invocation.message.sender else { return }
        withRights(invocation, see: .notifications) { [unowned self] credentials, isPrivileged in
            let subscriber = Subscriptions.Subscriber(userID: credentials.userID, seesAll: isPrivileged)
            guard subscriptions.add(subscriber, name: name) else {
                return invocation.fail(
                    BusError(name: "org.freedesktop.DBus.Error.LimitsExceeded", message: "There are too many subscriptions already."))
            }
            do throws(BusError) {
                if watches[name] == nil {
                    watches[name] = try collector.connection.watchName(name) { [unowned self] owner in
                        if owner == nil { unsubscribe(name) }
                    }
                }
                invocation.reply()
            } catch {
                unsubscribe(name)
                invocation.fail(error)
            }
        }
    }

    private func unsubscribe(_ name: String) {
        subscriptions.remove(name)
        // Not from within what the slot calls.
        if let watch = watches.removeValue(forKey: name) { collector.loop.deferred { withExtendedLifetime(watch) {} } }
    }

    // MARK: The manager

    private var managerInterface: BusInterface {
        BusInterface(
            Self.interface,
            methods: [
                BusMethod("ListSessions", out: ["sessions": "aa{sv}"]) { [unowned self] in listSessions($0) },
                BusMethod("EnumerateSessions", out: ["sessions": "a(usssssb)"]) { [unowned self] invocation throws(BusError) in
                    try enumerateSessions(invocation)
                },
                BusMethod("GetSession", in: ["id": "u"], out: ["path": "o"]) { [unowned self] invocation throws(BusError) in
                    let id = SessionID(rawValue: try invocation.message.read(UInt32.self))
                    guard collector.table[id] != nil else { throw Self.noSuchSession(id) }
                    invocation.reply { $0.append(objectPath: SessionObjects.path(of: id)) }
                },
                BusMethod("ListUsers", out: ["users": "a(uso)"]) { [unowned self] invocation in
                    let users = objects.allUsers
                    invocation.charge(objects: users.count)
                    invocation.reply { writer in
                        writer.array(of: "(uso)") { writer in
                            for user in users {
                                writer.structure("uso") { writer in
                                    writer.append(user.uid)
                                    writer.append(user.name)
                                    writer.append(objectPath: SessionObjects.path(ofUser: user.uid))
                                }
                            }
                        }
                    }
                },
                BusMethod("GetUser", in: ["uid": "u"], out: ["path": "o"]) { [unowned self] invocation throws(BusError) in
                    let uid = try invocation.message.read(UInt32.self)
                    guard objects.allUsers.contains(where: { $0.uid == uid }) else {
                        throw BusError(name: "org.termspan1.Error.NoSuchUser", message: "No user of uid \(uid) is logged on.")
                    }
                    invocation.reply { $0.append(objectPath: SessionObjects.path(ofUser: uid)) }
                },
                act("LockSession", .lock), act("DisconnectSession", .disconnect), act("TerminateSession", .logoff),
                BusMethod("Subscribe") { [unowned self] in subscribe($0) },
                BusMethod("Unsubscribe") { [unowned self] invocation in
                    if let name = invocation.message.sender { unsubscribe(name) }
                    invocation.reply()
                },
                BusMethod("Status", out: ["status": "a{sv}"]) { [unowned self] invocation in
                    invocation.charge(objects: collector.table.sessions.count)
                    withRights(invocation) { [unowned self] credentials, isPrivileged in
                        let status = Status(collector: collector, of: isPrivileged ? nil : credentials.userID)
                        invocation.reply { status.write(to: &$0) }
                    }
                },
                BusMethod("GetPolicy", out: ["policy": "a{sv}"]) { [unowned self] in getPolicy($0) },
                BusMethod(
                    "SetTracking", in: ["users": "as", "tracked": "b", "reason": "s", "responsible": "s"], out: ["results": "aa{sv}"]
                ) { [unowned self] invocation throws(BusError) in try setTracking(invocation) },
                BusMethod(
                    "SetDoNotTrack", in: ["entries": "as", "listed": "b", "reason": "s", "responsible": "s"], out: ["results": "aa{sv}"]
                ) { [unowned self] invocation throws(BusError) in try setDoNotTrack(invocation) },
                BusMethod(
                    "Erase", in: ["users": "as", "forget": "b", "rehearse": "b", "reason": "s"],
                    out: ["results": "aa{sv}", "unknown": "as", "aside": "as", "left": "b"]
                ) { [unowned self] invocation throws(BusError) in try erase(invocation) },
                BusMethod("Pause", in: ["time": "t"], out: ["until": "t"]) { [unowned self] invocation throws(BusError) in
                    try pause(invocation)
                },
                BusMethod("Resume", out: ["ended": "b"]) { [unowned self] invocation throws(BusError) in try resume(invocation) },
                BusMethod("SetPolicy", in: ["key": "s", "value": "v", "reason": "s", "responsible": "s"]) {
                    [unowned self] invocation throws(BusError) in
                    try setPolicy(invocation)
                },
                BusMethod("CollectActivity", in: ["filter": "a{sv}"], out: ["rows": "aa{sv}"]) {
                    [unowned self] invocation throws(BusError) in
                    try collectActivity(invocation)
                },
                BusMethod(
                    "SetRoles", in: ["roles": "a(sss)", "granted": "b", "reason": "s"], out: ["changed": "ab"]
                ) { [unowned self] invocation throws(BusError) in try setRoles(invocation) },
                BusMethod(
                    "SetGroup", in: ["group": "s", "users": "as", "member": "b", "reason": "s", "responsible": "s"],
                    out: ["results": "aa{sv}"]
                ) { [unowned self] invocation throws(BusError) in try setGroup(invocation) },
                BusMethod("GetSight", in: ["reader": "u", "right": "s", "whose": "a{sv}"], out: ["sight": "a{sv}"]) {
                    [unowned self] invocation throws(BusError) in
                    try getSight(invocation)
                },
                BusMethod("SetAggregates", in: ["settings": "a{sv}", "reason": "s"], out: ["changed": "b"]) {
                    [unowned self] invocation throws(BusError) in
                    try setAggregates(invocation)
                },
                BusMethod("SetClassification", in: ["rules": "s", "reason": "s"], out: ["changed": "b"]) {
                    [unowned self] invocation throws(BusError) in
                    try setClassification(invocation)
                },
                BusMethod("Import", in: ["records": "h", "import": "a{sv}"], out: ["imported": "a{sv}"]) {
                    [unowned self] invocation throws(BusError) in
                    try importRecords(invocation)
                },
                BusMethod("GetClassification", out: ["classification": "a{sv}"]) { [unowned self] invocation throws(BusError) in
                    try getClassification(invocation)
                },
                BusMethod("RevealPseudonym", in: ["pseudonym": "s", "reason": "s"], out: ["user": "s", "uid": "u"]) {
                    [unowned self] invocation throws(BusError) in
                    try revealPseudonym(invocation)
                },
                BusMethod("GetAggregation", out: ["aggregation": "a{sv}"]) { [unowned self] invocation throws(BusError) in
                    try getAggregation(invocation)
                },
                BusMethod("FixAggregates", in: ["months": "a{sv}"], out: ["fixed": "a{sv}"]) {
                    [unowned self] invocation throws(BusError) in
                    try fixAggregates(invocation)
                },
                BusMethod("RecordRead", in: ["read": "a{sv}"]) { [unowned self] invocation throws(BusError) in try recordRead(invocation) },
                BusMethod("RecordBackup", in: ["file": "s"]) { [unowned self] invocation throws(BusError) in try recordBackup(invocation) },
            ],
            properties: [
                BusProperty("Version", "s", emits: .constant) { _, writer in writer.append(Version.text) }
            ],
            signals: [
                BusSignal("SessionNew", ["id": "u", "path": "o"]), BusSignal("SessionRemoved", ["id": "u", "path": "o"]),
                BusSignal("SessionChanged", ["id": "u", "state": "s"]), BusSignal("SessionNotification", ["notification": "a{sv}"]),
            ])
    }

    /// Has been told another policy. Whoever was told of all sessions by a role that may be gone subscribes anew.
    func policyChanged(from old: Policy, to new: Policy) {
        guard old.roles != new.roles || old.ownGroups != new.ownGroups else { return }
        rights.reload(new)
        subscriptions.reduce()
    }

    /// Answers with `isPrivileged` once it is known whether the caller may see what is others', and recorded.
    private func withRights(
        _ invocation: BusInvocation, to right: Right = .viewOthers, see kind: AuditedRead = .sessions,
        _ body: @escaping @MainActor @Sendable (_ credentials: BusCredentials, _ isPrivileged: Bool) -> Void
    ) {
        do throws(BusError) {
            let credentials = try invocation.credentials()
            if credentials.isRoot { return look(kind, at: nil, invocation) { body(credentials, true) } }
            // Where nothing can be recorded nothing of others is told.
            guard locked == nil else { return body(credentials, false) }
            rights.check(right, invocation) { [unowned self] result in
                guard case .success = result else { return body(credentials, false) }
                let asked = rights.generation
                look(kind, at: nil, invocation) { [unowned self] in
                    // Roles that were taken meanwhile count.
                    if asked == rights.generation { body(credentials, true) } else { withRights(invocation, to: right, see: kind, body) }
                }
            }
        } catch {
            invocation.fail(error)
        }
    }

    /// The unit that a caller lives in, as it was at the first call over this connection.
    private func unit(ofCaller invocation: BusInvocation) throws(BusError) -> String? {
        let sender = invocation.message.sender ?? ""
        if let unit = units.find(sender) { return unit }
        let pid = try invocation.credentials().processID.flatMap { UInt32(exactly: $0) }
        guard let process = pid.flatMap({ try? ProcessFacts(pid: $0) }) else { return nil }
        let unit = ControlGroup.unit(of: process.controlGroup).map(String.init)
        units.insert(sender, unit)
        return unit
    }

    private func listSessions(_ invocation: BusInvocation) {
        invocation.charge(objects: collector.table.sessions.count)
        let userID: UInt32
        do throws(BusError) {
            let credentials = try invocation.credentials()
            userID = credentials.userID
        } catch {
            return invocation.fail(error)
        }
        let list = { @MainActor @Sendable [unowned self] (seen: Set<UserIdentity>) in
            answer(invocation) { $0.desktop.uid == userID || seen.contains($0.user) }
        }
        let listAll = { @MainActor @Sendable [unowned self] in
            look(.sessions, at: nil, invocation) { [unowned self] in answer(invocation) { _ in true } }
        }
        if userID == 0 { return listAll() }
        // The reports need what everybody may see, and whom the Do Not Track list names by a SID.
        if userID == reportsUserID { return answer(invocation, tellsSIDs: true) { _ in false } }
        if locked != nil { return list([]) }
        rights.sight(of: userID, by: .viewOthers) { [unowned self] sight in
            if case .everybody = sight { return listAll() }
            Polkit.check(Right.viewOthers.action, invocation, on: collector.connection) { [unowned self] result in
                if case .success = result { return listAll() }
                guard case .members = sight else { return list([]) }
                rights.seen(by: userID, right: .viewOthers, among: collector.loggedOn) { [unowned self] seen in
                    look(.sessions, at: seen.filter { $0.uid != userID }, invocation) { list(seen) }
                }
            }
        }
    }

    private func answer(_ invocation: BusInvocation, tellsSIDs: Bool = false, isDetailed: @MainActor (Session) -> Bool) {
        let now = BootInstant.now()
        let inputs = collector.aggregator.lastInputs(at: now)
        let caller = (try? unit(ofCaller: invocation)) ?? nil
        invocation.reply { writer in
            writer.array(of: "a{sv}") { writer in
                for session in self.collector.table.sessions {
                    let row = SessionRow(
                        session: session, now: now, anchors: self.collector.anchors,
                        lastInput: self.collector.lastInput(of: session) { inputs[$0] },
                        isTracked: self.collector.isTracked(session), coverage: self.collector.coverage(of: session),
                        screen: self.collector.screen(of: session),
                        isDetailed: isDetailed(session),
                        sids: tellsSIDs ? self.collector.sids(of: session.user) : [],
                        isCallers: caller.map { session.owns($0) } ?? false)
                    writer.properties { row.write(to: &$0) }
                }
                for listener in self.collector.listeners { writer.properties { SessionRow.write(listener, to: &$0) } }
            }
        }
    }

    /// The table of `query session`: number, name, user, state, type, device, whether it is the caller's.
    ///
    /// What is asked most is answered without a question to polkit: the device is shown to root and of the caller's own sessions alone.
    private func enumerateSessions(_ invocation: BusInvocation) throws(BusError) {
        invocation.charge(objects: collector.table.sessions.count)
        let credentials = try invocation.credentials()
        let own = try unit(ofCaller: invocation).flatMap { unit in collector.table.sessions.first { $0.owns(unit) }?.id }
        let sessions = collector.enumeratedSessions
        invocation.reply { writer in
            writer.array(of: "(usssssb)") { writer in
                for session in sessions {
                    let isDetailed = credentials.isRoot || credentials.userID == session.uid
                    writer.structure("usssssb") { writer in
                        writer.append(session.id.rawValue)
                        writer.append(session.name)
                        writer.append(session.user)
                        writer.append(session.state)
                        writer.append(session.type)
                        writer.append(isDetailed ? session.device : "")
                        writer.append(session.id == own)
                    }
                }
                for listener in self.collector.listeners {
                    writer.structure("usssssb") { writer in
                        writer.append(listener.id.rawValue)
                        for text in [listener.name, "", ConnectState.listen.name, "", ""] { writer.append(text) }
                        writer.append(false)
                    }
                }
            }
        }
    }

    // MARK: Policy

    private func getPolicy(_ invocation: BusInvocation) {
        if let locked { return invocation.fail(locked) }
        withRights(invocation, to: .viewPolicy, see: .policy) { [unowned self] credentials, isPrivileged in
            let policy = collector.policy
            let own = ownPolicy(of: credentials.userID)
            @MainActor func isTracked(_ user: UserIdentity) -> Bool { policy.tracks(user, sids: collector.sids(of: user)) }
            @MainActor func values(of row: Policy.Row) -> BusValue {
                .properties([
                    "name": .string(row.user.login), "uid": .uint32(row.user.uid), "tracked": .bool(isTracked(row.user)),
                    "since": .uint64(row.since.microseconds), "by": .string(row.by), "reason": .string(row.reason),
                    "level": .string(row.level.name), "responsible": .string(row.responsible),
                ])
            }
            func list(_ entries: [DoNotTrackList.Entry]) -> BusValue {
                .array(
                    of: "a{sv}",
                    entries.map { entry in
                        .properties([
                            "entry": .string(entry.subject.description), "since": .uint64(entry.since.microseconds),
                            "by": .string(entry.by), "reason": .string(entry.reason),
                        ])
                    })
            }
            let users = (isPrivileged ? policy.rows : [own.row]).map { values(of: $0) }
            let entries = list(isPrivileged ? policy.doNotTrack.entries : own.entries)
            var ownValues = ["user": values(of: own.row), "do-not-track": list(own.entries)]
            ownValues["groups"] = .strings(policy.ownGroups.groups(of: own.row.user).map(\.name).sorted())
            let pause = collector.pause(of: credentials.userID)
            ownValues["pause-left"] = .uint64(UInt64(clamping: pause.left.wholeNanoseconds / 1000))
            if let end = pause.end, let until = collector.anchors.wall(at: end) { ownValues["paused-until"] = .uint64(until.microseconds) }
            let hours = collector.hours
            if !hours.hours.isEmpty, isTracked(own.row.user) {
                hours.want(own.row.user)
                ownValues["within-hours"] = .bool(hours.isOpen(for: own.row.user))
                if let (group, state) = hours.state(for: own.row.user) {
                    ownValues["hours"] = .strings(hours.hours.windows(of: group).map(\.text))
                    if let group { ownValues["hours-group"] = .string(group) }
                    if let until = state.until { ownValues["hours-until"] = .uint64(until.microseconds) }
                }
            }
            // Of a UID alone nobody knows whose it is.
            if isTracked(own.row.user), own.row.user.login != String(own.row.user.uid) {
                ownValues["seat"] = .bool(collector.hasSeat(own.row.user))
            }
            if isTracked(own.row.user), collector.mayBeListed(own.row.user) { ownValues["sid-unknown"] = .bool(true) }
            let raises = policy.raises(of: own.row.user, sids: collector.sids(of: own.row.user))
            ownValues["raises"] = .array(
                of: "a{sv}", raises.map { Self.raise($0.key, $0.value, $0.at, $0.by, $0.reason, $0.responsible) })
            let ownProperties = BusValue.properties(ownValues)
            invocation.reply { writer in
                writer.properties { writer in
                    writer.property("new-users", policy.newUsersAreTracked ? "tracked" : "untracked")
                    // To everybody: who is tracked by it is told who decided so and why.
                    if let decision = policy.newUsers {
                        writer.property("new-users-since", decision.since.microseconds)
                        writer.property("new-users-by", decision.by)
                        writer.property("new-users-reason", decision.reason)
                        writer.property("new-users-responsible", decision.responsible)
                    }
                    // Likewise: what has more recorded of whomever it is, or kept for longer.
                    let raises = policy.settings.filter { Widening(rawValue: $0.key) != nil }
                    writer.property(
                        "raises",
                        .array(
                            of: "a{sv}", raises.map { Self.raise($0.key, $0.value, $0.since, $0.by, $0.reason, $0.responsible) }))
                    writer.property("complete", isPrivileged)
                    let configuration = self.collector.configuration
                    writer.property("responsible", configuration.responsible)
                    writer.property("reason", configuration.reason)
                    for (key, time) in Self.properties(configuration.kept) { writer.property(key, time) }
                    let byGroup = configuration.keptByGroup.map { kept in
                        BusValue.properties(
                            Self.properties(configuration.kept(by: kept)).mapValues { BusValue.uint64($0) }
                                .merging(["group": .string(kept.group)]) { $1 })
                    }
                    writer.property("keep-by-group", .array(of: "a{sv}", byGroup))
                    let windows = hours.hours.windows.map { window in
                        BusValue.properties(["group": .string(window.group ?? ""), "hours": .string(window.text)])
                    }
                    writer.property("tracking-hours", .array(of: "a{sv}", windows))
                    if let seats = configuration.limits.seats { writer.property("seats", UInt64(seats)) }
                    if isPrivileged { writer.property("seats-taken", UInt64(self.collector.seatsTaken)) }
                    writer.property("holidays", .strings(hours.hours.holidays.sorted().map(\.description)))
                    writer.property("users", .array(of: "a{sv}", users))
                    writer.property("do-not-track", entries)
                    writer.property("own", ownProperties)
                    // To everybody: who may see what is held about them.
                    let roles = policy.roles.map { row in
                        BusValue.properties([
                            "role": .string(row.grant.role.rawValue), "group": .string(row.grant.group), "views": .string(row.grant.views),
                            "since": .uint64(row.since.microseconds), "by": .string(row.by), "reason": .string(row.reason),
                        ])
                    }
                    writer.property("roles", .array(of: "a{sv}", roles))
                    writer.property("aggregate-groups", policy.aggregateGroups)
                    writer.property("aggregate-minimum", policy.aggregateMinimum)
                    guard isPrivileged else { return }
                    let answering = policy.responsibleForMembers
                    let members = policy.ownGroups.members.map { member in
                        // Of an earlier time in the group it is about that.
                        let answers = answering[member.group]?[member.user].flatMap { $0.since == member.since ? $0.name : nil }
                        return BusValue.properties([
                            "group": .string(member.group.name), "user": .string(member.user.login), "uid": .uint32(member.user.uid),
                            "since": .uint64(member.since.microseconds), "by": .string(member.by), "reason": .string(member.reason),
                            "responsible": .string(answers ?? ""),
                        ])
                    }
                    writer.property("group-members", .array(of: "a{sv}", members))
                }
            }
        }
    }

    private static func raise(
        _ key: String, _ value: String, _ since: WallInstant, _ by: String, _ reason: String, _ responsible: String
    ) -> BusValue {
        .properties([
            "key": .string(key), "value": .string(value), "since": .uint64(since.microseconds), "by": .string(by),
            "reason": .string(reason), "responsible": .string(responsible),
        ])
    }

    /// In microseconds; what is kept without end is not there.
    private static func properties(_ kept: KeptTimes) -> [String: UInt64] {
        ["keep-activity": kept.activity, "keep-sessions": kept.sessions]
            .compactMapValues { $0.map { UInt64(clamping: $0.wholeNanoseconds / 1000) } }
    }

    /// What is about one user alone: the decision, or what holds without one, and the entries of the Do Not Track list that name the user.
    func ownPolicy(of uid: UInt32) -> (row: Policy.Row, entries: [DoNotTrackList.Entry]) {
        let policy = collector.policy
        // The user database may take its time, so without a session of the user's it is whom a decision is about, the latest, unless the UID is another's
        // by now: what was decided about somebody who is gone, and why, is not for whoever has the UID next.
        let session = collector.table.sessions.first { $0.desktop.isUserSession && $0.desktop.uid == uid }
        let accounts = session == nil ? collector.accounts.now : LocalAccounts([])
        let decided = policy.rows.filter { $0.user.uid == uid && !accounts.haveGivenAway($0.user) }.max { $0.since < $1.since }
        let user = session?.user ?? decided?.user ?? accounts.user(of: uid) ?? UserIdentity(login: String(uid), uid: uid)
        let row =
            policy.rows.first { $0.user == user }
            ?? Policy.Row(
                user: user, tracked: policy.newUsersAreTracked, level: policy.level(of: user), since: WallInstant(nanoseconds: 0), by: "",
                reason: "")
        return (row, policy.doNotTrack.entries.filter { $0.subject.names(user, sids: collector.sids(of: user)) })
    }

    private func setTracking(_ invocation: BusInvocation) throws(BusError) {
        let call = try TrackingCall(invocation.message, responsible: collector.configuration.responsible)
        let (names, isTracked, reason, responsible) = (call.names, call.isTracked, call.reason, call.responsible)
        invocation.charge(objects: names.count)
        authorized(invocation) { [unowned self] actor in
            let moment = WallInstant.now()
            // What is wanted most is that it stops: first of all, however long the decision takes to become durable.
            let subjects = names.map { DoNotTrackList.Subject.login(LoginName(login: $0)) }
            if !isTracked { collector.withdraw(subjects) }
            let turn = Turn()
            let call = park(invocation) {
                if !isTracked { return "No longer tracked from now on, but the store does not answer: it is stored when it does." }
                return turn.giveUp()
            }
            let (directory, known) = (collector.sids.directory, collector.knownSIDs)
            collector.store.submit { [inbox = collector.inbox] writer in
                // Nobody is tracked by a decision that its maker was told had failed.
                guard turn.take() || !isTracked else { return }
                var outcomes = Self.decide(
                    names, isTracked: isTracked, by: actor, reason: reason, responsible: responsible, at: moment, directory, known: known,
                    writer)
                let policy = Result { () throws(StoreError) in try writer.policy() }
                if case .failure(let error) = policy {
                    for index in outcomes.indices where outcomes[index].error.isEmpty {
                        outcomes[index].error = "decided, but not in force until the next start: \(error)"
                    }
                }
                inbox.post { [weak self, outcomes] in
                    guard let self else { return }
                    if !isTracked {
                        // What could not be stored holds all the same.
                        collector.storeLater(
                            outcomes.filter(\.isUnstored).map { $0.untracking(by: actor, reason: reason, at: moment) })
                        // That will be told by the login, which may have been named otherwise.
                        for (subject, outcome) in zip(subjects, outcomes) where outcome.isUnstored {
                            collector.withdraw([.login(LoginName(login: outcome.name))])
                            collector.decided([subject])
                        }
                        if case .success = policy {
                            collector.decided(zip(subjects, outcomes).filter { !$1.isUnstored }.map(\.0))
                        }
                    }
                    if case .success(let policy) = policy {
                        if isTracked {
                            collector.release { subject in
                                outcomes.contains { outcome in
                                    outcome.isDecided && subject.names(outcome.user, sids: outcome.sids)
                                }
                            }
                        }
                        collector.apply(policy)
                    }
                    for outcome in outcomes where outcome.changed {
                        Journal.policyChanged(
                            "\(outcome.name) is \(isTracked ? "tracked" : "no longer tracked")", user: outcome.name, by: actor,
                            reason: reason)
                    }
                    unpark(call)?.reply { writer in
                        writer.rows(
                            outcomes.map { outcome in
                                guard isTracked, outcome.error.isEmpty else { return outcome.fields }
                                let hasSeat = self.collector.hasSeat(outcome.user)
                                return outcome.fields.merging(["seat": .bool(hasSeat)]) { $1 }
                            })
                    }
                }
            }
        }
    }

    /// Keeps a call here until the store's thread is done. That thread must not hold it: libsystemd's messages belong to one thread,
    /// and whoever lets go of one last frees it.
    ///
    /// - Parameter text: what the caller is told when the store takes too long; nil to have it wait on.
    func park(_ invocation: BusInvocation, orElse text: @escaping @MainActor () -> String?) -> Int {
        lastCall += 1
        let call = lastCall
        let timer = try? collector.loop.after(Self.patience) { [unowned self] in
            if let text = text() { unpark(call)?.fail(Self.storeFailed(text)) }
        }
        parked[call] = (invocation, timer)
        return call
    }

    /// The call, unless it was answered already.
    func unpark(_ call: Int) -> BusInvocation? {
        parked.removeValue(forKey: call)?.invocation
    }

    /// Whether a job was begun or its caller has given up, whatever comes first.
    final class Turn: Sendable {
        private enum State { case waits, taken, refused }
        private let state = Mutex(State.waits)

        func take() -> Bool { settle(.taken) }

        /// Gives up, unless the job was begun.
        func refuse() -> Bool { settle(.refused) }

        /// Gives up if the job was not begun, and says what that means.
        func giveUp() -> String {
            refuse() ? "The store does not answer; nothing was changed." : "The store does not answer; the decision holds when it does."
        }

        private func settle(_ end: State) -> Bool {
            state.withLock { state in
                guard state == .waits else { return false }
                state = end
                return true
            }
        }
    }

    private struct Outcome: Sendable {
        var name: String
        var uid: UInt32 = .max
        /// What is known of them.
        var sids: Set<SecurityID> = []
        var isDecided = false
        var changed = false
        var error = ""
        /// The user exists, and the decision could not be stored.
        var isUnstored = false

        var user: UserIdentity { UserIdentity(login: name, uid: uid) }

        var fields: [String: BusValue] {
            ["user": .string(name), "uid": .uint32(uid), "changed": .bool(changed), "error": .string(error)]
        }

        func untracking(by actor: String, reason: String, at moment: WallInstant) -> StoreBatch.Untracking {
            StoreBatch.Untracking(
                Policy.Row(
                    user: user, tracked: false, level: .basic, since: moment, by: actor, reason: reason), sids: sids)
        }
    }

    /// On the store's thread, since a directory service may take its time to name a user.
    ///
    /// - Parameter loggedOn: what is known of their SIDs.
    private nonisolated static func decide(
        _ names: [String], isTracked: Bool, by actor: String, reason: String, responsible: String, at moment: WallInstant,
        _ directory: Directory, known loggedOn: [UserIdentity: Set<SecurityID>], _ writer: StoreWriter
    ) -> [Outcome] {
        var outcomes = names.map { name in
            guard let user = UserDatabase.user(named: name) else { return Outcome(name: name, error: "no such user") }
            return Outcome(name: user.login, uid: user.uid)
        }
        let known = outcomes.indices.filter { outcomes[$0].error.isEmpty }
        let users = known.map { outcomes[$0].user }
        do throws(StoreError) {
            // Who is to be tracked is known by a SID only where the list has some.
            let matters = isTracked ? try writer.policy().doNotTrack.namesSIDs : true
            let sids = matters ? directory.sids(of: Set(users), within: Self.directoryPatience).merging(loggedOn) { told, _ in told } : [:]
            for index in known { outcomes[index].sids = sids[outcomes[index].user] ?? [] }
            let decided = try writer.setTracking(
                users, sids: sids, tracked: isTracked, by: actor, reason: reason, responsible: responsible, at: moment)
            for (index, decision) in zip(known, decided) {
                outcomes[index].isDecided = true
                outcomes[index].changed = decision.changed
                guard matters, sids[outcomes[index].user] == nil else { continue }
                outcomes[index].error =
                    isTracked
                    ? "tracked, unless an entry by a SID is the user's: no directory says; track again once one does"
                    : "no longer tracked, but no directory says which SID the user has, if any: untrack again once one does"
            }
        } catch {
            for index in known {
                outcomes[index].isUnstored = true
                outcomes[index].error =
                    isTracked ? error.description : "no longer tracked, but that is not stored yet and ends with the collector: \(error)"
            }
        }
        return outcomes
    }

    private func setDoNotTrack(_ invocation: BusInvocation) throws(BusError) {
        let call = try DoNotTrackCall(invocation.message, responsible: collector.configuration.responsible)
        let (subjects, isListed, reason, responsible) = (call.subjects, call.isListed, call.reason, call.responsible)
        invocation.charge(objects: subjects.count)
        authorized(invocation) { [unowned self] actor in
            let moment = WallInstant.now()
            if isListed { collector.withdraw(subjects) }
            let turn = Turn()
            let call = park(invocation) {
                if isListed { return "Not tracked from now on, but the store does not answer: it is stored when it does." }
                return turn.giveUp()
            }
            let known = collector.knownSIDs
            collector.store.submit { [inbox = collector.inbox] writer in
                guard turn.take() || isListed else { return }
                let result = Result { () throws(StoreError) in
                    let changed = try writer.setDoNotTrack(
                        subjects, listed: isListed, sids: known, by: actor, reason: reason, responsible: responsible, at: moment)
                    return (changed, try writer.policy())
                }
                inbox.post { [weak self] in
                    guard let self else { return }
                    if isListed { collector.decided(subjects) }
                    switch result {
                    case .failure(let error):
                        if isListed { collector.withhold(subjects) }
                        let text =
                            isListed ? "Not tracked from now on, but that is not stored and ends with the collector" : "Nothing was changed"
                        unpark(call)?.fail(Self.storeFailed("\(text): \(error)"))
                    case .success(let (changed, policy)):
                        collector.release { subjects.contains($0) }
                        collector.apply(policy)
                        let answers = zip(subjects, changed)
                        for (subject, isChanged) in answers where isChanged {
                            let what = "\(subject) is \(isListed ? "" : "no longer ")on the Do Not Track list"
                            Journal.policyChanged(what, user: nil, by: actor, reason: reason)
                        }
                        unpark(call)?.reply { writer in
                            writer.rows(answers.map { ["entry": .string($0.description), "changed": .bool($1)] })
                        }
                    }
                }
            }
        }
    }

    private func setPolicy(_ invocation: BusInvocation) throws(BusError) {
        let call = try PolicyCall(invocation.message, responsible: collector.configuration.responsible)
        authorized(invocation) { [unowned self] actor in
            change(invocation) { writer throws(StoreError) in
                try writer.set(call.key, to: call.value, by: actor, reason: call.reason, responsible: call.responsible, at: .now())
            } then: { invocation, changed in
                if changed { Journal.policyChanged("new users are \(call.value)", user: nil, by: actor, reason: call.reason) }
                invocation?.reply()
            }
        }
    }

    private func setRoles(_ invocation: BusInvocation) throws(BusError) {
        let call = try RolesCall(invocation.message)
        invocation.charge(objects: call.grants.count)
        authorized(invocation, for: .manageRoles) { [unowned self] actor in
            change(invocation) { writer throws(StoreError) in
                try writer.set(call.grants, granted: call.isGranted, by: actor, reason: call.reason, at: .now())
            } then: { invocation, changed in
                for (grant, isChanged) in zip(call.grants, changed) where isChanged {
                    let what = "the role \(grant) is \(call.isGranted ? "given" : "taken away")"
                    Journal.policyChanged(what, user: nil, by: actor, reason: call.reason)
                }
                invocation?.reply { writer in writer.array(of: "b") { writer in for one in changed { writer.append(one) } } }
            }
        }
    }

    /// A group that has a role gives it to whoever joins: it takes the right to give roles. And where tracking hours or times to keep hang on it, more
    /// may be recorded of somebody by that, which takes grounds.
    private func setGroup(_ invocation: BusInvocation) throws(BusError) {
        let configuration = collector.configuration
        let call = try GroupCall(invocation.message, responsible: configuration.responsible)
        invocation.charge(objects: call.names.count)
        authorized(invocation, for: .manageRoles) { [unowned self] actor in
            let members = collector.policy.ownGroups.members.filter { $0.group == call.group }
            change(invocation) { writer throws(StoreError) -> Result<[Outcome], BusError> in
                // Here, since a directory service may take its time; whose account is gone can still be taken out.
                var outcomes = call.names.map { name in
                    let former = call.isMember ? nil : members.first { $0.user.login == name }?.user
                    let user = former ?? UserDatabase.user(named: name)
                    return user.map { Outcome(name: $0.login, uid: $0.uid) } ?? Outcome(name: name, error: "no such user")
                }
                let known = outcomes.indices.filter { outcomes[$0].error.isEmpty }
                let users = known.map { outcomes[$0].user }
                let widened = GroupChange(group: call.group, joins: call.isMember).widenings(
                    of: users, configuration, own: try writer.policy().ownGroups)
                if let widening = users.compactMap({ widened[$0] }).first,
                    let error = BusError.missingGrounds(
                        call.reason, call.responsible,
                        for: "On \(call.group) hang \(widening.map(\.text).joined(separator: "; ")). ")
                {
                    return .failure(error)
                }
                let changed = try writer.set(
                    users, in: call.group, member: call.isMember, by: actor, reason: call.reason,
                    responsible: widened.mapValues { _ in call.responsible }, at: .now())
                for (index, changed) in zip(known, changed) { outcomes[index].changed = changed }
                return .success(outcomes)
            } then: { invocation, result in
                switch result {
                case .failure(let error): invocation?.fail(error)
                case .success(let outcomes):
                    for outcome in outcomes where outcome.changed {
                        let what = "\(outcome.name) is \(call.isMember ? "" : "no longer ")in the group \(call.group)"
                        Journal.policyChanged(what, user: outcome.name, by: actor, reason: call.reason)
                    }
                    invocation?.reply { $0.rows(outcomes.map(\.fields)) }
                }
            }
        }
    }

    /// Has the store's thread make a change of the policy that can wait for the disk, and lets it hold.
    ///
    /// - Parameter then: what follows, with the call unless it was answered meanwhile.
    func change<Value: Sendable>(
        _ invocation: BusInvocation, _ body: @escaping @Sendable (StoreWriter) throws(StoreError) -> Value,
        then: @escaping @MainActor @Sendable (BusInvocation?, Value) -> Void
    ) {
        let turn = Turn()
        let call = park(invocation) { turn.giveUp() }
        collector.store.submit { [inbox = collector.inbox] writer in
            guard turn.take() else { return }
            let result = Result { () throws(StoreError) in try body(writer) }
            let policy = Result { () throws(StoreError) in try writer.policy() }
            inbox.post { [weak self] in
                guard let self else { return }
                switch (result, policy) {
                case (.success(let value), .success(let policy)):
                    collector.apply(policy)
                    then(unpark(call), value)
                case (.success, .failure(let error)):
                    unpark(call)?.fail(Self.storeFailed("It is stored, but not in force until the collector's next start: \(error)"))
                case (.failure(let error), _): unpark(call)?.fail(Self.storeFailed("The policy could not be stored: \(error)"))
                }
            }
        }
    }

    /// Goes on with the caller's name if the caller may do this: change who is tracked, unless told otherwise.
    func authorized(
        _ invocation: BusInvocation, for right: Right = .manageTracking,
        _ body: @escaping @MainActor (_ actor: String) -> Void
    ) {
        rights.check(right, invocation) { [unowned self] result in
            switch result {
            case .success:
                if let locked, right != .manageSessions { return invocation.fail(locked) }
                body(Self.actor((try? invocation.credentials())?.userID))
            case .failure(let error): invocation.fail(error)
            }
        }
    }

    /// How records name who did something.
    nonisolated static func actor(_ uid: UInt32?) -> String { uid == 0 ? "root" : uid.map { "uid \($0)" } ?? "unknown" }

    /// Why nothing can be decided, nor told of what was, if so.
    var locked: BusError? {
        collector.lockedStore.map {
            Self.storeFailed("The store's keys can't be used, so nothing is collected and nothing can be decided: \($0)")
        }
    }

    static func storeFailed(_ message: String) -> BusError {
        BusError(name: "org.termspan1.Error.StoreFailed", message: message)
    }

    static func noSuchSession(_ id: SessionID) -> BusError {
        BusError(name: "org.termspan1.Error.NoSuchSession", message: "There is no session \(id).")
    }

    // MARK: Activity

    private func collectActivity(_ invocation: BusInvocation) throws(BusError) {
        let credentials = try invocation.credentials()
        guard credentials.isRoot || credentials.userID == reportsUserID else {
            throw .accessDenied("Only the report service may ask for open intervals; see termspan spans.")
        }
        let filter = try ActivityCall(invocation.message)
        let now = BootInstant.now()
        let activity = collector.aggregator.activity(at: now) { subject in
            (filter.uid == nil || filter.uid == UInt64(subject.uid))
                && (filter.session == nil || filter.session == subject.uuid.description)
        }
        let rows = ActivityRow.rows(
            of: activity, pending: collector.store.pending, sessions: collector.measuredSessions, at: now,
            anchor: collector.anchors.anchors.last ?? ClockAnchor(boot: now, wall: .now()))
        invocation.reply { writer in
            writer.array(of: "a{sv}") { writer in
                for row in rows {
                    writer.properties { writer in
                        for (key, value) in row.fields { writer.property(key, BusValue(value)) }
                    }
                }
            }
        }
    }
}

/// What EnumerateSessions tells of a session.
struct EnumeratedSession {
    let id: SessionID
    let uid: UInt32
    let name: String
    let user: String
    let state: String
    let type: String
    /// For its user and root alone.
    let device: String

    init(_ session: Session) {
        id = session.id
        uid = session.desktop.uid
        name = session.name
        user = session.desktop.userName
        state = session.desktop.state.name
        type = session.desktop.stack.typeName
        device = session.device
    }
}

extension Session {
    /// The X display, else the terminal; empty without either.
    var device: String {
        let display = display
        return display.isEmpty ? desktop.logindSessions.first?.tty ?? "" : display
    }

    /// The X display, `:10`; empty without one.
    var display: String { desktop.xServer.map { ":\($0.display)" } ?? desktop.logindSessions.first?.display ?? "" }

    /// Whether a unit is one of the session's scopes.
    func owns(_ unit: String) -> Bool { desktop.logindSessions.contains { $0.scope == unit } }
}

extension ActivityRow {
    /// Everything of these sessions that a reader of the store can't see yet.
    fileprivate static func rows(
        of activity: [Aggregator.Activity], pending: StoreBatch, sessions: [UUIDv7: Collector.MeasuredSession], at now: BootInstant,
        anchor: ClockAnchor
    ) -> [ActivityRow] {
        var batch = pending
        let wanted = Set(activity.map(\.subject.uuid))
        batch.sessions.removeAll { sessions[$0.uuid] != nil }
        var rows: [ActivityRow] = []
        for one in activity {
            let uuid = one.subject.uuid
            let user = UserIdentity(login: one.subject.userName, uid: one.subject.uid)
            if let session = sessions[uuid] {
                rows.append(
                    ActivityRow(
                        session: uuid, user: user, content: .session(one.subject.id, stack: session.stack.rawValue), start: session.start,
                        end: nil, now: now, anchor: anchor))
            }
            for closed in one.closed { batch.append(closed.output, of: uuid) { _ in closed.executable } }
            rows += Self.rows(of: one.open, session: uuid, user: user, executable: one.openExecutable, now: now, anchor: anchor)
        }
        let users = Dictionary(
            activity.map { ($0.subject.uuid, UserIdentity(login: $0.subject.userName, uid: $0.subject.uid)) }
        ) { first, _ in first }
        return rows + Self.rows(of: batch, now: now, anchor: anchor) { wanted.contains($0) ? users[$0] : nil }
    }
}

extension BusValue {
    fileprivate init(_ field: ActivityRow.Field) {
        switch field {
        case .string(let value): self = .string(value)
        case .uint32(let value): self = .uint32(value)
        case .uint64(let value): self = .uint64(value)
        case .int64(let value): self = .int64(value)
        }
    }
}

extension WallInstant {
    /// Microseconds since 1970, as logind and systemd give times on the bus; 0 for anything before.
    var microseconds: UInt64 { UInt64(max(0, nanoseconds)) / 1000 }
}
