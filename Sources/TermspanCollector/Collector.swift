import Glibc
import TermspanAccounting
package import TermspanBus
package import TermspanConfiguration
import TermspanControl
import TermspanCore
import TermspanEvents
import TermspanJournal
import TermspanRing
import TermspanSessions
package import TermspanStore
package import TermspanSystem

/// The collector: sees sessions, starts probes, has their lanes folded and stored, and answers on the bus.
///
/// It lives on the loop's thread; the aggregator, the store's writer and the resolver have threads of their own.
@MainActor
package final class Collector {
    let loop: EventLoop
    let connection: BusConnection
    let aggregator: Aggregator
    let store: StoreThread
    let inbox: MainInbox
    let started = WallInstant.now()
    let paths: Paths
    /// Of what is below the state folder.
    let disk: DiskEncryption
    package private(set) var configuration: Configuration
    private(set) var table: SessionTable { didSet { enumerated = nil } }
    /// What EnumerateSessions tells of each session, put together once for all calls until the table changes.
    private var enumerated: [EnumeratedSession]?
    private(set) var policy: Policy
    /// How this boot's moments correspond to wall time, as the store has it.
    private(set) var anchors: ClockAnchors
    private let resolver: ProcessResolver
    let boot: ID128
    /// Why the store can't be used just now, as the journal was told.
    private var storeTrouble: String?
    /// Why the store's keys can't be used, if so: it is untouched, nobody is tracked, and nothing can be decided until the next start.
    let lockedStore: String?
    private var monitor: SessionMonitor?
    private var listenerMonitor: ListenerMonitor?
    private var supervisor: ProbeSupervisor?
    private let helperUnits: HelperUnits
    private var manager: ManagerObject?
    private var sources: [EventSource] = []
    private var threads: [ThreadHandle] = []
    private var connectTimer: EventSource?
    private var absenceTimer: EventSource?
    private var failures = FailureReports()
    private var lockTimer: EventSource?
    private var failureTimers: [UUIDv7: EventSource] = [:]
    private var losses = LossReports()
    private var clock: ClockWatch?
    /// Sessions that are being measured.
    private var measured: Set<UUIDv7> = []
    /// Sessions of which the store has been told and that are not over.
    private(set) var measuredSessions: [UUIDv7: MeasuredSession] = [:]
    /// Sessions whose state changes found no room in what waits for the store.
    private var unsure: Set<UUIDv7> = []
    private var isSaving = false
    /// How often users were at limits.
    package private(set) var limits = LimitWatch()
    /// What users reached whose names are being looked up, by uid.
    private var unnamed: [UInt32: [Limit: UInt64]] = [:]
    /// Who waits because of the limits of logons and state changes; such a session is listed.
    private var turns = SessionTurns()
    private var turnTimer: EventSource?
    private var retention: Retention?
    private var seats: Seats
    /// Sessions whose users wait for a seat.
    private var seatless: Set<UUIDv7> = []
    private let auditJournal: AuditJournal
    /// Users' own.
    private var pauses: Pauses
    private var pauseTimer: EventSource?
    let hours: HoursWatch
    let sids: SIDWatch
    private let facts: FactsWatch
    let accounts = AccountsFile()
    /// Who is not to be tracked by decisions that are not in the policy yet, with the number of such decisions.
    private var withdrawn: [DoNotTrackList.Subject: Int] = [:]
    /// Likewise, where the decision could not be stored.
    private var withheld: Set<DoNotTrackList.Subject> = []
    /// Both, for questions about all sessions.
    private var unsettled = DoNotTrackList()

    /// A session as the store knows it.
    struct MeasuredSession {
        var stack: Stack
        /// When its user's activity was first collected.
        var start: BootInstant
    }

    /// Where the collector keeps what.
    package struct Paths: Sendable {
        package var state: String
        package var runtime: String
        /// Apart, so that it is backed up apart.
        package var keyFolder: String

        package init(state: String, runtime: String, keyFolder: String) {
            self.state = state
            self.runtime = runtime
            self.keyFolder = keyFolder
        }

        package var keys: String { keyFolder + "/users.keys" }
        package var database: String { state + "/termspan.db" }
        var sessions: String { runtime + "/sessions.json" }
        var notices: String { runtime + "/notice" }
    }

    /// Gives a noncopyable thread a place in an array.
    private final class ThreadHandle {
        var thread: Thread?

        init(name: String, _ body: @escaping @Sendable () -> Void) throws {
            thread = try Thread(name: name) { body() }
        }

        func join() {
            thread.take()?.join()
        }
    }

    /// Takes over what an earlier life left, and looks at the sessions; blocks until that is done.
    package init(
        loop: EventLoop, connection: BusConnection, configuration: Configuration, paths: Paths, store opening: StoreOpening,
        disk: DiskEncryption
    ) throws {
        self.loop = loop
        self.connection = connection
        self.configuration = configuration
        self.paths = paths
        self.disk = disk
        helperUnits = HelperUnits(loop: loop, connection: connection)
        auditJournal = try AuditJournal(loop: loop)
        let writer = opening.writer
        boot = writer.place.boot
        let open = opening.open
        policy = opening.policy
        lockedStore = opening.locked
        seats = Seats(opening.held)
        for session in opening.endedByReboot { Journal.sessionEndedByReboot(session) }
        if let step = writer.step { Journal.clockStepped(by: step) }
        anchors = writer.anchors
        let state = RuntimeState.load(path: paths.sessions, bootID: boot.description)
        table = state.table
        // One that is over since is still to be recorded: its timer goes off at once.
        pauses = state.pauses ?? Pauses()

        let inbox = try MainInbox()
        self.inbox = inbox
        let relay = ResolverRelay()
        let resolver = try ProcessResolver { request, executable in relay.aggregator?.resolved(request, executable: executable) }
        self.resolver = resolver
        let aggregator = try Aggregator(limits: configuration.limits) { resolver.ask($0) }
        self.aggregator = aggregator
        relay.aggregator = aggregator
        let notices = NoticeRelay()
        let store = try StoreThread(writer: writer, aggregator: aggregator, commitInterval: configuration.commitInterval) { notice in
            inbox.post { notices.handler?(notice) }
        }
        self.store = store
        hours = try HoursWatch(loop: loop, inbox: inbox, hours: configuration.hours, own: policy.ownGroups, saved: state.hours)
        sids = try SIDWatch(loop: loop, inbox: inbox, saved: state.sids)
        facts = try FactsWatch(loop: loop, connection: connection, inbox: inbox, configuration: configuration) { [helperUnits] in
            helperUnits.askPublicAddress(of: $0, completion: $1)
        }
        notices.handler = { [unowned self] in take($0) }
        threads = [
            try ThreadHandle(name: "aggregator") { aggregator.run() }, try ThreadHandle(name: "store") { store.run() },
            try ThreadHandle(name: "resolver") { resolver.run() },
        ]
        for session in open {
            measuredSessions[session.record.uuid] = MeasuredSession(
                stack: Stack(rawValue: session.record.stack), start: session.record.start)
        }
        sources.append(try inbox.attach(to: loop))
        sources.append(try loop.watch(aggregator.noticeBell.descriptor.raw) { [unowned self] _ in takeNotices() })
        sources.append(
            try loop.watch(store.alarm.descriptor.raw) { [unowned self] _ in
                if let problem = self.store.stall() { take(.problem(problem)) }
            })
        connectTimer = try loop.timer(accuracy: .milliseconds(100)) { [unowned self] in observe() }
        absenceTimer = try loop.timer { [unowned self] in observe() }
        turnTimer = try loop.timer(accuracy: .milliseconds(50)) { [unowned self] in takeTurns() }
        pauseTimer = try loop.timer(accuracy: .milliseconds(100)) { [unowned self] in endPauses() }
        if let next = pauses.next { pauseTimer?.arm(at: next) }
        hours.onChange = { [unowned self] in hoursChanged(of: $0, at: $1) }
        hours.onRetry = { [unowned self] in wantGroups() }
        sids.onChange = { [unowned self] in sidsKnown(of: $0) }
        sids.onRetry = { [unowned self] in wantSIDs() }
        facts.onAccounts = { [unowned self] in keepNotices() }
        facts.onFacts = { [unowned self] records in
            if self.lockedStore == nil { self.store.append { $0.facts += records } }
        }
        let asleep = timeAsleep()
        // Of what was slept before the store knew of this boot no session's time is made.
        if writer.asleep == nil { store.append { $0.asleep = asleep } }
        clock = try ClockWatch(
            loop: loop, asleep: writer.asleep ?? asleep, onStep: { [unowned self] in clockStepped($0) },
            onSleep: { [unowned self] in slept($0, asleep: $1) })
        supervisor = ProbeSupervisor(
            loop: loop, connection: connection, helperUnits: helperUnits, aggregator: aggregator, configuration: configuration,
            recordsChanged: { [unowned self] in saveSoon() }, report: { [unowned self] in probeReported($0) })
        monitor = try SessionMonitor(
            loop: loop, connection: connection, inbox: inbox, socketsPerUser: configuration.limits.socketsPerUser,
            names: { [helperUnits] in helperUnits.readClientNames(of: $0, completion: $1) }, onChange: { [unowned self] in observe() },
            onLimit: { [unowned self] uid in reached(.sockets, uid: uid) },
            onLogindLoss: { Journal.logindLost() })
        if let replacement = opening.replacement { Journal.storeReplaced(replacement) }
        if let lockedStore {
            // By a start anew, since systemd hands keys out at that: what has them may only have been late.
            lockTimer = try loop.after(Self.lockedPatience) { loop.exit() }
            Journal.storeFailed(
                lockedStore,
                consequence: "It is left as it is; nothing is collected until the keys are there and the collector is restarted.")
        }
        listenerMonitor = try ListenerMonitor(connection: connection)
        adopt(state, open: open, reason: opening.replacement == nil ? .starting : .storeDamaged)
        observe()
        // What has not changed since an earlier life is looked at as well.
        for session in table.sessions where session.desktop.stack != .services { follow(session, at: .now()) }
        endForgotten(open, wasLocked: state.wasLocked == true)
        sids.forget(allBut: loggedOn)
        keepNotices()
        retention = try Retention(
            loop: loop, store: store, inbox: inbox, configuration: configuration, due: state.retentionDue
        ) { [unowned self] hasRemoved in
            readSeats()
            if hasRemoved { ReportsEnd.wait(connection, loop) { _ in } }
        }
        manager = try ManagerObject(collector: self)
        manager?.gate.onLimit = { [unowned self] uid, count in reached(.busCalls, uid: uid, times: count) }
        recordConfiguration()
        warnOfDisk()
        warnOfNotices()
        warnOfGroups()
        facts.start()
    }

    /// Ends in order: what is folded becomes durable, probes go on and wait in the descriptor store.
    package func shutDown() {
        save()
        store.stop()
        threads[1].join()
        // Answers and records of what the last jobs decided.
        inbox.drain()
        resolver.stop()
        aggregator.stop()
        threads[0].join()
        threads[2].join()
        auditJournal.flush()
        Journal.collectorStopped()
    }

    /// Takes another configuration over, for what begins from now on.
    package func reload(_ configuration: Configuration) {
        self.configuration = configuration
        supervisor?.configuration = configuration
        monitor?.setSocketsPerUser(configuration.limits.socketsPerUser)
        aggregator.setLimits(configuration.limits)
        store.setCommitInterval(configuration.commitInterval)
        manager?.reload(configuration)
        retention?.reload(configuration)
        recordConfiguration()
        warnOfDisk()
        warnOfNotices()
        warnOfGroups()
        hours.reload(configuration.hours, users: Set(table.sessions.filter { isTracked($0) }.map(\.user)))
        sids.reload()
        wantSIDs()
        facts.reload(configuration)
        seatMayBeFree()
        keepNotices()
    }

    /// After so long a collector without keys looks for them again.
    private static let lockedPatience: Duration = .seconds(300)

    /// Has the record of policy changes, and so the audit record, say what of the configuration decides about users, where that is another.
    private func recordConfiguration() {
        guard lockedStore == nil else { return }
        let text = configuration.policyText
        let responsible = configuration.responsible
        let setting = policy.settings.first { $0.key == Self.configurationKey }
        let stored = setting?.value ?? Configuration().policyText
        guard
            text != recordedConfiguration?.text ?? stored || responsible != recordedConfiguration?.responsible ?? setting?.responsible ?? ""
        else { return }
        let before = recordedConfiguration?.text ?? stored
        let widenings =
            Configuration(policyText: before).map { configuration.widenings(after: $0, today: Self.today) } ?? Widening.allCases
        recordedConfiguration = (text, responsible)
        let reason = configuration.reason.isEmpty ? "termspan.yaml" : configuration.reason
        store.submit { [inbox] writer in
            // Before the whole, which says that it is done.
            for widening in widenings {
                _ = try? writer.set(
                    widening.rawValue, to: widening.text, anew: true, by: "root", reason: reason, responsible: responsible, at: .now())
            }
            // Whoever writes the files is root.
            let changed = try? writer.set(
                Self.configurationKey, to: text, by: "root", reason: reason, responsible: responsible, at: .now())
            let policy = try? writer.policy()
            inbox.post { [weak self] in
                // It is tried again once the store can be written.
                guard let self, let changed else {
                    self?.recordedConfiguration = nil
                    return
                }
                if let policy { apply(policy) }
                guard changed else { return }
                Journal.policyChanged("termspan.yaml sets: \(text)", user: nil, by: "root", reason: reason)
            }
        }
    }

    /// Throws where another configuration has more recorded than the one in force, or kept for longer, on no grounds.
    package func checkGrounds(of other: Configuration) throws(ConfigurationError) {
        guard lockedStore == nil else { return }
        try other.checkGrounds(after: configuration, today: Self.today)
    }

    /// Likewise at a start, after the one that was in force last by the policy that the store has.
    package static func checkGrounds(of configuration: Configuration, _ policy: Policy) throws(ConfigurationError) {
        let recorded = policy.settings.first { $0.key == configurationKey }
        try configuration.checkGrounds(after: recorded.map { Configuration(policyText: $0.value) } ?? Configuration(), today: today)
    }

    private static var today: CalendarDay { LocalCalendar.system.day(.now()) }

    private nonisolated static let configurationKey = "configuration"
    /// What was handed to the store last.
    private var recordedConfiguration: (text: String, responsible: String)?

    /// What is wrong with the disk by the configuration; nil: nothing.
    var diskProblem: String? {
        configuration.unencryptedDisk == .accept || disk == .encrypted ? nil : "the disk of \(paths.state) is \(disk.text)"
    }

    /// Of tracking hours that are nobody's, since their group was misspelt or is yet to be made.
    private func warnOfGroups() {
        let empty = configuration.hours.groups.filter { OwnGroup($0).map { !policy.ownGroups.has($0) } ?? false }
        if !empty.isEmpty {
            Log.warning("tracking-hours names groups that nobody is in: termspan group list", [.error: empty.joined(separator: ", ")])
        }
    }

    private func warnOfNotices() {
        let changed = LogonNotice.changed { try? readFile($0, limit: LogonNotice.limit) }
        if !changed.isEmpty {
            Log.warning(
                "Whoever is recorded may not be told at logon: a file is missing or not the package's",
                [.error: changed.joined(separator: ", ")])
        }
    }

    private func warnOfDisk() {
        if let problem = diskProblem { Log.warning("What is recorded may be read by whoever takes the disk", [.error: problem]) }
    }

    // MARK: Sessions

    /// The users who have sessions, services and logon screens aside.
    var loggedOn: Set<UserIdentity> { Set(table.sessions.filter { $0.desktop.isUserSession }.map(\.user)) }

    private static let services = Desktop(keys: [.services], uid: 0, userName: "", stack: .services, state: .disconnected)

    private func observe() {
        guard let monitor else { return }
        let desktops = monitor.observations.desktops()
        let now = BootInstant.now()
        let changes = table.reconcile([Self.services] + desktops, at: now, wall: .now()) { UUIDv7(at: .now()) }
        supervisor?.sessionCount = table.sessions.count
        // What a login is said to be for as long as it is young may be another thing then.
        let isAwaited = desktops.contains { desktop in
            desktop.state == .connectQuery || desktop.logindSessions.dropFirst().contains { $0.isYoung(at: .now()) }
        }
        if isAwaited { connectTimer?.arm(after: LogindSession.youth) }
        if let next = table.nextMoment { absenceTimer?.arm(at: next) }
        for change in changes { take(change, at: now) }
        if !changes.isEmpty { saveSoon() }
    }

    private func take(_ change: SessionChange, at now: BootInstant) {
        switch change {
        case .opened(let session):
            guard session.desktop.stack != .services else { return }
            guard turns.opens(session.uuid, of: session.desktop.uid, configuration.limits, at: now) else {
                reached(.logons, by: session.user, session)
                return armTurn(at: now)
            }
            open(session, at: now)
        case .closed(let session): close(session, .logoff, at: now)
        case .merged(let session): close(session, .merged, at: now)
        case .changed(let old, let new):
            guard !turns.isCrowded(new.uuid) else { return }
            record(new, after: old, at: now)
            follow(new, at: now)
        }
    }

    private func open(_ session: Session, at now: BootInstant) {
        manager?.sessionOpened(session)
        tell(.logon, session)
        if policy.newUsersAreTracked, policy.doNotTrack.names(session.user, sids: sids(of: session.user)) { keepNotices() }
        sids.loggedOn(session.user)
        facts.loggedOn(session.user)
        if isTracked(session) { hours.loggedOn(session.user) } else { hours.forget(session.user) }
        follow(session, at: now)
        if session.desktop.isClientPresent { tell(.connect, session) }
    }

    private func close(_ session: Session, _ reason: EndReason, at now: BootInstant) {
        guard case .told(let before) = turns.close(session.uuid) else {
            // Logons without end must not use the numbers up.
            table.giveBack(session.id)
            manager?.untoldSessionClosed(session)
            return
        }
        if let before { notify(of: session, after: before, at: now) }
        if measured.remove(session.uuid) != nil { aggregator.end(session.uuid, at: now) }
        supervisor?.remove(session)
        seatless.remove(session.uuid)
        failures.finish(session.uuid)
        failureTimers[session.uuid] = nil
        if let count = losses.finish(session.uuid) { Journal.eventsLost(session, count: count) }
        if measuredSessions.removeValue(forKey: session.uuid) != nil {
            store.append { $0.ended.append(SessionEnd(session: session.uuid, at: now, reason: reason)) }
        }
        // What is known of a user is for as long as that is logged on.
        if !table.sessions.contains(where: { $0.user == session.user }) {
            sids.forget(session.user)
            facts.forget(session.user)
        }
        tell(.logoff, session)
        manager?.sessionClosed(session)
        // Its user may have room for another display now.
        for other in table.sessions
        where other.desktop.uid == session.desktop.uid && other.desktop.stack != .services && !turns.isCrowded(other.uuid) {
            supervisor?.update(other, isTracked: isToBeMeasured(other))
        }
    }

    /// Tells the journal and those who watch.
    private func tell(_ notification: SessionNotification, _ session: Session) {
        Journal.session(session, notification)
        manager?.notify(notification, session)
    }

    /// Tells of a session's changed state, or keeps it for later where its user changes it without end.
    private func record(_ new: Session, after old: Session, at now: BootInstant) {
        switch turns.change(new, from: old, configuration.limits, at: now) {
        case .nothing: break
        case .later(let isFirst):
            if isFirst { reached(.stateChanges, by: new.user, new) }
            armTurn(at: now)
        case .now(let before):
            notify(of: new, after: before, at: now)
            manager?.sessionChanged(new, after: before)
        }
    }

    // MARK: Limits

    private func reached(_ limit: Limit, by user: UserIdentity, times: UInt64 = 1, _ session: Session? = nil) {
        guard let count = limits.reached(limit, by: user, times: times, at: .now()) else { return }
        Journal.limitReached(limit, configuration.limits.text(limit), user: user.login, session: session, count: count)
    }

    /// A user who need not have a session. The user database may take its time, so it is asked beside the loop.
    private func reached(_ limit: Limit, uid: UInt32, times: UInt64 = 1) {
        if let session = table.sessions.first(where: { $0.desktop.uid == uid }) {
            return reached(limit, by: session.user, times: times)
        }
        // Once at a time: what comes meanwhile is told with it.
        let isAsked = unnamed[uid] != nil
        unnamed[uid, default: [:]][limit, default: 0] &+= times
        guard !isAsked else { return }
        store.submit { [inbox] _ in
            let user = UserIdentity(login: UserDatabase.user(of: uid)?.login ?? String(uid), uid: uid)
            inbox.post { [weak self] in
                for (limit, times) in self?.unnamed.removeValue(forKey: uid) ?? [:] { self?.reached(limit, by: user, times: times) }
            }
        }
    }

    private func armTurn(at now: BootInstant) {
        if let next = turns.next(configuration.limits, at: now) { turnTimer?.arm(at: next) }
    }

    /// What waited goes on, as far as its users have something left again.
    private func takeTurns() {
        let now = BootInstant.now()
        let opened = turns.takeOpenings(configuration.limits, at: now)
        for session in table.sessions where opened.contains(session.uuid) { open(session, at: now) }
        for (uuid, before) in turns.waitingChanges {
            if let session = table.session(uuid: uuid) { record(session, after: before, at: now) }
        }
        armTurn(at: now)
    }

    /// Records connects, disconnects, locks and unlocks.
    private func notify(of new: Session, after old: Session, at now: BootInstant) {
        let (before, after) = (old.desktop, new.desktop)
        let wasThere = before.isClientPresent || old.isClientKnown
        if wasThere, after.state == .disconnected {
            var left = old
            if !before.isClientPresent { left.desktop.client = old.lastClient ?? before.client }
            tell(.disconnect, left)
            append(.disconnected, left, at: new.disconnected ?? now)
        } else if after.isClientPresent, !wasThere || new.hasNewClient(after: old) {
            tell(.connect, new)
            append(.connected, new, at: now)
        } else if after.isClientPresent, !before.isClientPresent {
            // A client that asked for the session while it was there already has it again.
            append(.connected, new, at: now)
        }
        switch (before.lock, after.lock) {
        case (.locked, .unlocked):
            tell(.unlock, new)
            append(.unlocked, new, at: now)
        // Nobody knows any more: recorded time is as its input says, and nobody is told of an unlock.
        case (.locked, .unknown): append(.unlocked, new, at: now)
        case (.unlocked, .locked), (.unknown, .locked):
            tell(.lock, new)
            append(.locked, new, at: now)
        default: break
        }
    }

    func isClosing(_ login: SessionKey) -> Bool { monitor?.isClosing(login) ?? false }

    private func append(_ kind: StateChange.Kind, _ session: Session, at now: BootInstant) {
        guard measuredSessions[session.uuid] != nil else { return }
        // Of somebody who is not tracked any more, or has paused it, that is nobody's business either.
        guard measured.contains(session.uuid) || kind == .paused || kind == .resumed else { return }
        guard store.hasRoom else {
            aggregator.lose(session.uuid, before: now)
            unsure.insert(session.uuid)
            return
        }
        let client = session.desktop.client
        store.append {
            $0.events.append(
                SessionEvent(
                    session: session.uuid, change: StateChange(kind, at: now), clientAddress: client.address ?? "",
                    clientName: client.name ?? ""))
        }
    }

    // MARK: Clocks

    private func clockStepped(_ anchor: ClockAnchor) {
        if let step = anchors.wall(at: anchor.boot)?.duration(to: anchor.wall) { Journal.clockStepped(by: step) }
        anchors = ClockAnchors(anchors.anchors + [anchor])
        store.append { $0.anchors.append(anchor) }
        hours.clockChanged()
    }

    private func slept(_ span: TimeSpan, asleep: Duration) {
        Journal.machineSlept(span)
        let sessions = Array(measuredSessions.keys)
        store.append { batch in
            batch.asleep = asleep
            for session in sessions {
                batch.events.append(SessionEvent(session: session, change: StateChange(.suspended, at: span.start)))
                batch.events.append(SessionEvent(session: session, change: StateChange(.woke, at: span.end)))
            }
        }
    }

    // MARK: Measuring

    func isTracked(_ session: Session) -> Bool {
        let user = session.user
        let sids = sids(of: user)
        return session.desktop.isUserSession && policy.tracks(user, sids: sids) && !unsettled.names(user, sids: sids)
    }

    /// Those of a user's SIDs that are known.
    func sids(of user: UserIdentity) -> Set<SecurityID> { sids.known[user] ?? [] }

    /// Likewise, of those who are logged on.
    var knownSIDs: [UserIdentity: Set<SecurityID>] {
        Dictionary(uniqueKeysWithValues: loggedOn.compactMap { user in sids.known[user].map { (user, $0) } })
    }

    /// Whether the Do Not Track list names anybody by a SID.
    private var namesSIDs: Bool { policy.doNotTrack.namesSIDs || unsettled.namesSIDs }

    /// Whether a user may be on the Do Not Track list by a SID, since no directory has told.
    func mayBeListed(_ user: UserIdentity) -> Bool { namesSIDs && sids.known[user] == nil }

    /// Whether the session's user is tracked, at this time, and has not paused it; who has or gets a seat is then measured.
    private func isWanted(_ session: Session) -> Bool {
        isTracked(session) && !mayBeListed(session.user) && pauses.end(of: session.desktop.uid) == nil && hours.isOpen(for: session.user)
    }

    private func isToBeMeasured(_ session: Session) -> Bool { isWanted(session) && hasSeat(session) }

    /// Brings the measuring of a session to what policy and its X server ask for now.
    private func follow(_ session: Session, at now: BootInstant) {
        guard !turns.isCrowded(session.uuid) else { return }
        if hours.namesGroups, isTracked(session) { hours.want(session.user) }
        if namesSIDs, isTracked(session) { sids.want(session.user) }
        let isMeasured = isToBeMeasured(session)
        if isMeasured, !measured.contains(session.uuid) {
            begin(session, at: now)
        } else if !isMeasured, measured.remove(session.uuid) != nil {
            aggregator.end(session.uuid, at: now)
            append(.paused, session, at: now)
        } else if isMeasured {
            noteStack(of: session)
            aggregator.update(session.subject)
        }
        supervisor?.update(session, isTracked: isMeasured)
        if isMeasured {
            facts.want(session.user)
        } else if !table.sessions.contains(where: { $0.user == session.user && measured.contains($0.uuid) }) {
            // What becomes of the name of somebody who is not recorded is not noticed.
            facts.forget(session.user)
        }
        if isMeasured || !isWanted(session) {
            seatless.remove(session.uuid)
        } else if seatless.insert(session.uuid).inserted {
            reached(.seats, by: session.user, session)
        }
    }

    private func begin(_ session: Session, at now: BootInstant) {
        measured.insert(session.uuid)
        if measuredSessions[session.uuid] == nil {
            remember(session, since: now)
        } else {
            append(.resumed, session, at: now)
            append(session.desktop.state == .active ? .connected : .disconnected, session, at: now)
            append(session.desktop.lock == .locked ? .locked : .unlocked, session, at: now)
        }
        aggregator.begin(session.subject, at: now, burstGap: configuration.burstGap)
    }

    /// Tells the store of a session, and of its state when its user's activity was first collected.
    private func remember(_ session: Session, since moment: BootInstant) {
        tellStore(of: session, since: moment)
        append(session.desktop.state == .active ? .connected : .disconnected, session, at: moment)
        if session.desktop.lock == .locked { append(.locked, session, at: moment) }
    }

    private func tellStore(of session: Session, since moment: BootInstant) {
        seats.take(session.user)
        measuredSessions[session.uuid] = MeasuredSession(stack: session.desktop.stack, start: moment)
        store.append {
            $0.sessions.append(
                SessionRecord(
                    uuid: session.uuid, id: session.id, user: session.user, stack: session.desktop.stack.rawValue, start: moment))
        }
    }

    /// Tells the store of a session whose X server says what stack it is of, as X2Go's does a moment after its login over ssh. What is
    /// left when that server has gone says nothing.
    private func noteStack(of session: Session) {
        guard let known = measuredSessions[session.uuid], known.stack != session.desktop.stack, session.desktop.xServer != nil,
            store.hasRoom
        else { return }
        tellStore(of: session, since: known.start)
    }

    /// There is room again: the sessions whose state changes found none are known from now on.
    private func beSureAgain() {
        let now = BootInstant.now()
        for session in table.sessions where unsure.remove(session.uuid) != nil {
            append(session.desktop.lock == .locked ? .locked : .unlocked, session, at: now)
            append(session.desktop.state == .active ? .connected : .disconnected, session, at: now)
            append(measured.contains(session.uuid) ? .resumed : .paused, session, at: now)
            supervisor?.requestSnapshot(of: session.uuid)
        }
        unsure = []
    }

    /// Goes on where an earlier life of the collector stood: with the folds as they were saved, the lanes of probes that have ended and
    /// those of probes that run.
    ///
    /// - Parameter reason: why what came before is unknown where no checkpoint tells of it.
    private func adopt(_ state: RuntimeState, open: [OpenSession], reason: UnknownReason) {
        var kept = DescriptorStore.takeAll()
        let checkpoints = Dictionary(open.compactMap { $0.checkpoint }.map { ($0.session, $0) }) { first, _ in first }
        let withLane = Set((state.ended + state.probes).filter { kept[DescriptorStore.name(ofLane: $0.generation)] != nil }.map(\.session))
        hours.look()
        let now = BootInstant.now()
        // Of whom it was outside the hours meanwhile: what their lanes hold may be of that time.
        var anew: Set<UUIDv7> = []
        for session in table.sessions {
            let checkpoint = checkpoints[session.uuid]
            let known = checkpoint?.state.latest ?? measuredSessions[session.uuid]?.start
            let edges = hoursEdges(of: session.user, from: known ?? session.opened, to: now)
            if isToBeMeasured(session), !wasOutside(checkpoint, edges) {
                if withLane.contains(session.uuid) || checkpoint != nil { goOn(with: session, checkpoint: checkpoint, reason: reason) }
                continue
            }
            if let checkpoint, checkpoint.state.phase != .ended {
                stop(session, checkpoint, edges, reason: reason)
            } else if let known, isTracked(session) {
                recordPauses(of: session, after: known, wasPaused: checkpoint != nil, edges)
            }
            if isToBeMeasured(session), known != nil, let opened = edges.last(where: { $0.opens })?.at {
                anew.insert(session.uuid)
                measured.insert(session.uuid)
                aggregator.begin(session.subject, at: opened, burstGap: configuration.burstGap, reason: reason)
            }
        }
        // Ended in an earlier life, and what their lanes still hold had not become durable.
        var gone: [UUIDv7: Session] = [:]
        for session in open.map({ Session($0.record) }) where withLane.contains(session.uuid) && table.session(uuid: session.uuid) == nil {
            let checkpoint = checkpoints[session.uuid]
            guard isTracked(session), pauses.end(of: session.desktop.uid) == nil, checkpoint?.state.phase != .ended else { continue }
            let edges = hoursEdges(of: session.user, from: checkpoint?.state.latest ?? session.opened, to: now)
            if isToBeMeasured(session), !wasOutside(checkpoint, edges) {
                gone[session.uuid] = session
                goOn(with: session, checkpoint: checkpoint, reason: reason)
            } else if let checkpoint {
                stop(session, checkpoint, edges, reason: reason)
            }
        }
        var adopted: Set<UUIDv7> = []
        func takeLane(_ record: RuntimeState.ProbeRecord, _ body: (Session, consuming DescriptorStore.Lane) throws -> Void) {
            guard let raws = kept.removeValue(forKey: DescriptorStore.name(ofLane: record.generation)) else { return }
            let session = table.session(uuid: record.session) ?? gone[record.session]
            do {
                let lane = try DescriptorStore.lane(of: raws)
                guard measured.contains(record.session), !anew.contains(record.session), let session else {
                    return DescriptorStore.remove(generation: record.generation)
                }
                let checkpoint = checkpoints[record.session]
                try aggregator.attach(
                    lane.memory, to: record.session,
                    durable: checkpoint?.generation == record.generation ? checkpoint?.attemptedAt ?? 0 : 0)
                try body(session, lane)
            } catch {
                if let session { Journal.probeFailed(session, reason: "its lane could not be taken over: \(error)") }
                DescriptorStore.remove(generation: record.generation)
            }
        }
        func detach(_ record: RuntimeState.ProbeRecord) {
            // A kill before its lane is durable must not lose it either.
            supervisor?.keep(record)
            aggregator.detach(record.session, at: now)
        }
        for record in state.ended { takeLane(record) { _, _ in detach(record) } }
        for record in state.probes {
            takeLane(record) { session, lane in
                guard gone[session.uuid] == nil else { return detach(record) }
                supervisor?.adopt(record, session: session, channel: lane.takeChannel())
                adopted.insert(session.uuid)
            }
        }
        // What nobody asks for any more.
        for (name, raws) in kept {
            for raw in raws { Glibc.close(raw) }
            try? ServiceManager.removeStored(name: name)
        }
        // A session that was measured and whose probe is gone: unknown since the last event.
        for uuid in measured where !adopted.contains(uuid) && !anew.contains(uuid) { aggregator.detach(uuid, at: now) }
        for session in open {
            catchUp(session, at: now, wasPaused: anew.contains(session.record.uuid) || session.checkpoint?.state.phase == .ended)
        }
    }

    /// Whether it was outside the hours for a time since what is known of a session. An edge at that very moment is none: both are read
    /// from clocks.
    private func wasOutside(_ checkpoint: LaneCheckpoint?, _ edges: [(at: BootInstant, opens: Bool)]) -> Bool {
        if edges.contains(where: { !$0.opens }) { return true }
        guard let checkpoint, checkpoint.state.phase != .ended, let opened = edges.first?.at else { return false }
        return checkpoint.state.latest.duration(to: opened) > .seconds(1)
    }

    /// Ends the measuring of a session that was untracked, paused or outside the hours before that could be recorded: at the last that is
    /// known of it, and nothing of what followed is used.
    private func stop(
        _ session: Session, _ checkpoint: LaneCheckpoint, _ edges: [(at: BootInstant, opens: Bool)], reason: UnknownReason
    ) {
        goOn(with: session, checkpoint: checkpoint, reason: reason)
        measured.remove(session.uuid)
        aggregator.end(session.uuid, at: checkpoint.state.latest)
        if isTracked(session) {
            recordPauses(of: session, after: checkpoint.state.latest, wasPaused: false, edges)
        } else {
            append(.paused, session, at: checkpoint.state.latest)
        }
    }

    /// Has it stored since when a session is paused, and what the hours made of it meanwhile. What was between a moment and the first of
    /// that is Unknown.
    private func recordPauses(
        of session: Session, after known: BootInstant, wasPaused: Bool, _ edges: [(at: BootInstant, opens: Bool)]
    ) {
        if let start = pauses.start(of: session.desktop.uid) {
            if !wasPaused { append(.paused, session, at: max(known, min(start, edges.first(where: { !$0.opens })?.at ?? start))) }
        } else if edges.isEmpty {
            // By hours that may not have held before, or because it is not known which are the user's.
            let since = hours.state(for: session.user) == nil ? .now() : hours.since
            if !wasPaused { append(.paused, session, at: hours.isOpen(for: session.user) ? known : max(known, since)) }
        } else {
            if !wasPaused, edges.first?.opens == true { append(.paused, session, at: known) }
            for edge in edges { append(edge.opens ? .resumed : .paused, session, at: edge.at) }
        }
    }

    /// Has a change of a session's state stored that an earlier life knew of and was killed before it could store.
    ///
    /// - Parameter wasPaused: When it was is then nobody's business: it may have been in the pause.
    private func catchUp(_ stored: OpenSession, at now: BootInstant, wasPaused: Bool) {
        guard let session = table.session(uuid: stored.record.uuid) else { return }
        let isConnected = session.desktop.state == .active
        if isConnected != stored.isConnected {
            append(
                isConnected ? .connected : .disconnected, session, at: isConnected || wasPaused ? now : session.disconnected ?? now)
        }
        let isLocked = session.desktop.lock == .locked
        if isLocked != stored.isLocked { append(isLocked ? .locked : .unlocked, session, at: now) }
    }

    /// Goes on measuring a session of an earlier life; one that ended within a second of its beginning may not even be in the store.
    private func goOn(with session: Session, checkpoint: LaneCheckpoint?, reason: UnknownReason) {
        measured.insert(session.uuid)
        if measuredSessions[session.uuid] == nil {
            let opened = hoursEdges(of: session.user, from: session.opened, to: .now()).last(where: { $0.opens })?.at
            remember(session, since: opened ?? session.opened)
        }
        guard let checkpoint else {
            return aggregator.begin(
                session.subject, at: measuredSessions[session.uuid]?.start ?? session.opened, burstGap: configuration.burstGap,
                reason: reason)
        }
        // Tracked again, and the end came before that was recorded: paused until it was decided, the user's pause was over or the hours for it
        // began, or until now where nobody can tell.
        var since = checkpoint.state.latest
        if checkpoint.state.phase == .ended {
            let decided = policy.rows.first { $0.user == session.user }.flatMap { anchors.boot(at: $0.since) }
            let opened = hoursEdges(of: session.user, from: since, to: .now()).last(where: { $0.opens })?.at
            let resumed = [decided, pauses.lastEnd(of: session.desktop.uid), opened].compactMap { $0 }.filter { $0 > since }.max()
            since = min(.now(), resumed ?? .now())
            append(.resumed, session, at: since)
        }
        aggregator.begin(session.subject, at: since, burstGap: configuration.burstGap, saved: checkpoint.state)
    }

    /// Ends the stored sessions that went while the collector was down.
    ///
    /// - Parameter wasLocked: nothing was recorded for some time, in which they may have ended long ago.
    private func endForgotten(_ open: [OpenSession], wasLocked: Bool) {
        for session in open where table.session(uuid: session.record.uuid) == nil {
            guard measuredSessions.removeValue(forKey: session.record.uuid) != nil else { continue }
            let now = wasLocked ? session.lastDurable : BootInstant.now()
            if measured.remove(session.record.uuid) != nil { aggregator.end(session.record.uuid, at: now) }
            store.append { $0.ended.append(SessionEnd(session: session.record.uuid, at: now, reason: .lost)) }
        }
    }

    private func takeNotices() {
        for notice in aggregator.takeNotices() {
            switch notice {
            case .snapshotWanted(let uuid): supervisor?.requestSnapshot(of: uuid)
            case .active: monitor?.refreshClients()
            case .lost(let uuid, let count):
                if let session = table.session(uuid: uuid), let count = losses.add(count, of: uuid, at: .now()) {
                    Journal.eventsLost(session, count: count)
                }
            case .limited(let uuid, let limit):
                if let session = table.session(uuid: uuid) { reached(limit, by: session.user, session) }
            case .quarantined(let uuid, let violation):
                if let session = table.session(uuid: uuid) { Journal.laneQuarantined(session, violation: violation.description) }
                supervisor?.quarantine(session: uuid)
            case .released(let generation): supervisor?.released(generation: generation)
            }
        }
    }

    private func probeReported(_ report: ProbeSupervisor.Report) {
        switch report {
        case .started(let session, _):
            failureTimers[session.uuid] = nil
            for reason in failures.started(session.uuid) { Journal.probeFailed(session, reason: reason) }
            Journal.probeStarted(session)
        case .limited(let session, let limit): reached(limit, by: session.user, session)
        case .descriptorsShort(let reason): Journal.descriptorsShort(reason)
        case .failed(let session, let reason):
            failures.add(reason, of: session.uuid)
            failureTimers[session.uuid] = try? loop.after(FailureReports.patience) { [unowned self] in
                failureTimers[session.uuid] = nil
                for reason in failures.due(session.uuid) { Journal.probeFailed(session, reason: reason) }
            }
        }
    }

    private func take(_ notice: StoreThread.Notice) {
        switch notice {
        case .problem(let problem):
            let wasInTrouble = storeTrouble != nil
            storeTrouble = problem
            ServiceManager.status(stateText)
            switch problem {
            case let problem? where !wasInTrouble:
                Journal.storeFailed(problem, consequence: "What is collected waits in memory and in the lanes.")
            case nil where wasInTrouble:
                Journal.storeRecovered()
                beSureAgain()
                readSeats()
                recordConfiguration()
            default: break
            }
        case .replaced(let replacement, let policy):
            Journal.storeReplaced(replacement)
            tellAnew(replacement)
            readSeats()
            apply(policy)
            recordedConfiguration = nil
            recordConfiguration()
        case .untracked(let decisions):
            refreshPolicy { [unowned self] in decided(decisions.map { .login(LoginName(login: $0.row.user.login)) }) }
            for row in decisions.map(\.row) {
                Journal.policyChanged("\(row.user.login) is no longer tracked", user: row.user.login, by: row.by, reason: row.reason)
            }
        case .audited(let head) where lockedStore == nil: auditJournal.grown(head)
        // Of an empty store in place of the real one.
        case .audited: break
        }
    }

    /// What `systemctl status` shows.
    var stateText: String {
        if let lockedStore { return "collecting nothing, for want of keys: \(lockedStore)" }
        return storeTrouble.map { "the store can't be written: \($0)" } ?? "collecting"
    }

    /// Tells a new store of the sessions that go on; what the damaged one held of them is unknown where it could not be recovered.
    private func tellAnew(_ replacement: StoreReplacement) {
        let known = measuredSessions
        measuredSessions = known.filter { replacement.known.contains($0.key) }
        for session in table.sessions {
            guard measured.contains(session.uuid), let start = known[session.uuid]?.start else { continue }
            let isKnown = replacement.known.contains(session.uuid)
            if !isKnown { remember(session, since: start) }
            guard let since = isKnown ? replacement.unknownSince[session.uuid] : start else { continue }
            aggregator.restart(session.uuid, since: since, burstGap: configuration.burstGap, reason: .storeDamaged)
        }
        store.resume()
        facts.tellAnew()
    }

    /// Reads the policy from the store, applies it and goes on.
    private func refreshPolicy(_ body: @escaping @MainActor () -> Void) {
        store.submit { [inbox] writer in
            guard let policy = try? writer.policy() else { return }
            inbox.post { [weak self] in
                body()
                self?.apply(policy)
            }
        }
    }

    /// Ends the connection of a session's client, and the session goes on without it; `completion` gets why that can't be, or nil.
    func endConnection(of session: Session, completion: @escaping @MainActor (BusError?) -> Void) {
        let desktop = session.desktop
        func fail(_ name: String, _ message: String) { completion(BusError(name: "org.termspan1.Error.\(name)", message: message)) }
        guard desktop.isClientPresent else { return fail("NotConnected", "No client is connected to session \(session.id).") }
        do throws(SystemError) {
            switch try monitor?.endConnection(of: desktop) {
            case .done: completion(nil)
            case .noClient: fail("NotConnected", "No client is connected to session \(session.id).")
            case .command(let command, let server):
                helperUnits.disconnectClients(of: server, uid: desktop.uid, command) { problem in
                    completion(problem.map { .failed("The connection could not be ended: \($0).") })
                }
            case .missing(let program):
                fail("NotSupported", "Disconnecting a session of the stack \(desktop.stack.rawValue) takes the program \(program).")
            case .impossible, nil: fail("NotSupported", "There is no way to disconnect a session of the stack \(desktop.stack.rawValue).")
            }
        } catch {
            completion(.failed("The connection could not be ended: \(error)"))
        }
    }

    func coverage(of session: Session) -> Coverage {
        if turns.isCrowded(session.uuid) { return .limited("the user is at the limit of logons") }
        let isTracked = isTracked(session)
        if isTracked, pauses.end(of: session.desktop.uid) != nil { return .paused }
        if isTracked, mayBeListed(session.user) {
            return .sidUnknown("SIDs are on the Do Not Track list, and no directory has told whether one is the user's")
        }
        if isTracked, let coverage = hours.coverage(of: session.user) { return coverage }
        if isTracked, !hasSeat(session) { return .noSeat("all seats are taken (\(configuration.limits.text(.seats)))") }
        return supervisor?.coverage(of: session, isTracked: isTracked) ?? .noXServer
    }

    /// When there was input last: what is measured of a user who is tracked, else when the terminal was typed at, of a session without a desktop.
    ///
    /// - Parameter measured: gives what is measured of a session.
    func lastInput(of session: Session, _ measured: (UUIDv7) -> BootInstant?) -> BootInstant? {
        if isToBeMeasured(session), let input = measured(session.uuid) { return input }
        // Of who is not recorded it is not told either when somebody was at the terminal.
        guard isWanted(session), session.desktop.xServer == nil, let tty = session.desktop.logindSessions.first?.tty else { return nil }
        return Terminal.lastInput(tty, uid: session.desktop.uid).flatMap { anchors.boot(at: $0) }
    }

    func screen(of session: Session) -> Screen? { supervisor?.screen(of: session) }

    /// What waits for remote clients.
    var listeners: [Listener] { listenerMonitor?.listeners ?? [] }

    var enumeratedSessions: [EnumeratedSession] {
        if let enumerated { return enumerated }
        let sessions = table.sessions.map(EnumeratedSession.init)
        enumerated = sessions
        return sessions
    }

    var probeCount: Int { supervisor?.runningCount ?? 0 }

    // MARK: Pauses

    /// When the pause of a user ends, if one is under way, and how much is left.
    func pause(of uid: UInt32) -> (end: BootInstant?, left: Duration) {
        (pauses.end(of: uid), pauses.left(to: uid, perDay: configuration.pausePerDay, at: .now()))
    }

    /// Measures a user's sessions no longer, until `length` has passed or `resume`.
    ///
    /// - Returns: when it ends; nil if less is left to the user.
    /// - Throws: where it could not be kept over a restart; then there is none.
    func pause(_ user: UserIdentity, for length: Duration) throws(BusError) -> BootInstant? {
        let now = BootInstant.now()
        guard let end = pauses.begin(user.uid, for: length, perDay: configuration.pausePerDay, at: now) else { return nil }
        guard pausesChanged(of: [user.uid], at: now) else {
            _ = pauses.finish(user.uid, at: now)
            pausesChanged(of: [user.uid], at: now)
            throw .failed("The pause can't be kept: the runtime folder can't be written.")
        }
        Journal.paused(user, for: length)
        return end
    }

    /// Ends a user's pause; false if there is none.
    func resume(_ user: UserIdentity) -> Bool {
        let now = BootInstant.now()
        guard pauses.finish(user.uid, at: now) else { return false }
        pausesChanged(of: [user.uid], at: now)
        Journal.resumed(user)
        return true
    }

    private func endPauses() {
        let now = BootInstant.now()
        let over = pauses.expire(at: now)
        pausesChanged(of: over, at: now)
        for uid in over.sorted() { if let user = manager?.ownPolicy(of: uid).row.user { Journal.resumed(user) } }
    }

    @discardableResult
    private func pausesChanged(of users: Set<UInt32>, at now: BootInstant) -> Bool {
        if let next = pauses.next { pauseTimer?.arm(at: next) }
        for session in table.sessions where session.desktop.stack != .services && users.contains(session.desktop.uid) {
            follow(session, at: now)
        }
        // At once: what was promised must hold in the collector's next life, too.
        return save()
    }

    /// It has become another time for these users, or for all with nil, or it is known now what time it is for them.
    private func hoursChanged(of users: Set<UserIdentity>?, at moment: BootInstant?) {
        let now = min(moment ?? .now(), .now())
        let before = measured
        for session in table.sessions where session.desktop.stack != .services && users?.contains(session.user) ?? true {
            follow(session, at: now)
        }
        let (begun, ended) = (measured.subtracting(before).count, before.subtracting(measured).count)
        if begun + ended > 0 { Journal.trackingHours(begun: begun, ended: ended) }
        save()
    }

    private func wantGroups() {
        for session in table.sessions where isTracked(session) { hours.want(session.user) }
    }

    /// Other SIDs are known of these users.
    private func sidsKnown(of users: Set<UserIdentity>) {
        let now = BootInstant.now()
        for session in table.sessions where session.desktop.stack != .services && users.contains(session.user) { follow(session, at: now) }
        if users.contains(where: { policy.doNotTrack.names($0, sids: sids(of: $0)) }) { keepNotices() }
        save()
    }

    private func wantSIDs() {
        guard namesSIDs else { return }
        for session in table.sessions where isTracked(session) { sids.want(session.user) }
    }

    /// When the tracking hours of a user began and ended between two moments, as far as they held then.
    private func hoursEdges(of user: UserIdentity, from start: BootInstant, to end: BootInstant) -> [(at: BootInstant, opens: Bool)] {
        var edges: [(at: BootInstant, opens: Bool)] = []
        for edge in hours.edges(for: user) {
            guard let moment = anchors.boot(at: edge.moment), moment > max(start, hours.since), moment <= end else { continue }
            edges.append((moment, edge.opens))
        }
        return edges
    }

    // MARK: Seats

    /// How many users something is held of.
    var seatsTaken: Int { seats.taken }

    /// Whether the user has a seat, or would get one.
    func hasSeat(_ user: UserIdentity) -> Bool { seats.admits(user, limit: configuration.limits.seats) }

    /// Likewise, whoever the session's user is by now: of it something is held.
    private func hasSeat(_ session: Session) -> Bool { measuredSessions[session.uuid] != nil || hasSeat(session.user) }

    /// Sessions may have gone from the store, and with them their users' seats.
    private func readSeats() {
        guard seats.beginReading() else { return }
        store.submitOnceDurable { [inbox] writer, problem in
            let held = problem == nil ? try? writer.usersWithHistory() : nil
            inbox.post { [weak self] in
                guard let self else { return }
                let isStale = seats.endReading(held)
                seatMayBeFree()
                if isStale { readSeats() }
            }
        }
    }

    /// Measures those who wait for a seat, as far as there are some, in the order of their sessions' numbers.
    private func seatMayBeFree() {
        let now = BootInstant.now()
        for session in table.sessions where seatless.contains(session.uuid) { follow(session, at: now) }
    }

    // MARK: Policy

    /// Applies another policy to all sessions at once.
    func apply(_ policy: Policy) {
        manager?.policyChanged(from: self.policy, to: policy)
        // A directory may have come since it was asked for those of before.
        if !policy.doNotTrack.securityIDs.isSubset(of: self.policy.doNotTrack.securityIDs) { sids.reload() }
        self.policy = policy
        hours.reload(policy.ownGroups, users: Set(table.sessions.filter { isTracked($0) }.map(\.user)))
        let now = BootInstant.now()
        for session in table.sessions where session.desktop.stack != .services { follow(session, at: now) }
        keepNotices()
    }

    /// Stops measuring users before the decision is durable, so that a slow disk can't delay it, and keeps it so until `decided`.
    func withdraw(_ subjects: [DoNotTrackList.Subject]) {
        for subject in subjects { withdrawn[subject, default: 0] += 1 }
        noteUnsettled()
        let now = BootInstant.now()
        for session in table.sessions where session.desktop.stack != .services { follow(session, at: now) }
    }

    /// The decisions that `withdraw` was ahead of are in the policy, or were refused.
    func decided(_ subjects: [DoNotTrackList.Subject]) {
        for subject in subjects {
            let count = (withdrawn[subject] ?? 0) - 1
            withdrawn[subject] = count > 0 ? count : nil
        }
        noteUnsettled()
    }

    /// Keeps users untracked though that could not be stored, until `release` or the collector's end.
    func withhold(_ subjects: [DoNotTrackList.Subject]) {
        withheld.formUnion(subjects)
        noteUnsettled()
    }

    func release(where isDecided: (DoNotTrackList.Subject) -> Bool) {
        withheld = withheld.filter { !isDecided($0) }
        noteUnsettled()
    }

    private func noteUnsettled() {
        let entries = (Array(withdrawn.keys) + withheld).map { DoNotTrackList.Entry($0, since: started, by: "", reason: "") }
        unsettled = DoNotTrackList(entries)
    }

    /// Has untracking stored once that is possible; until then `withdraw` holds.
    func storeLater(_ decisions: [StoreBatch.Untracking]) {
        guard !decisions.isEmpty else { return }
        store.append { $0.untracked += decisions }
    }

    /// The store knows these sessions no longer. One that is measured again meanwhile begins anew.
    func forget(_ sessions: [UUIDv7]) {
        let now = BootInstant.now()
        for uuid in sessions {
            guard measuredSessions.removeValue(forKey: uuid) != nil, measured.contains(uuid), let session = table.session(uuid: uuid) else {
                continue
            }
            remember(session, since: now)
            aggregator.restart(uuid, since: now, burstGap: configuration.burstGap, reason: .erased)
        }
        readSeats()
    }

    /// Which groups users are in who are known no longer is forgotten too.
    func forget(users: [UserIdentity]) {
        for user in users {
            hours.forget(user)
            sids.forget(user)
            facts.forget(user)
        }
        save()
    }

    private func keepNotices() {
        func notice(_ level: PrivacyLevel, _ reason: String, _ responsible: String) -> String {
            NoticeFiles.text(level: level, reason: reason, responsible: responsible.isEmpty ? configuration.responsible : responsible)
        }
        var texts: [UInt32: String] = [:]
        // A folder is by UID: whoever has one next is told nothing of whoever had it.
        let accounts = self.accounts.now
        for row in policy.rows where !accounts.haveGivenAway(row.user) {
            let isTracked = policy.standing(of: row.user, sids: sids(of: row.user), decision: row).isTracked
            texts[row.user.uid] = isTracked ? notice(row.level, row.reason, row.responsible) : ""
        }
        let others = policy.newUsersAreTracked ? notice(.basic, policy.newUsers?.reason ?? "", policy.newUsers?.responsible ?? "") : nil
        if others != nil {
            // Who is on the Do Not Track list is none of them.
            for case .uid(let uid) in policy.doNotTrack.entries.map(\.subject) where texts[uid] == nil { texts[uid] = "" }
            for session in table.sessions where texts[session.desktop.uid] == nil {
                if policy.doNotTrack.names(session.user, sids: sids(of: session.user)) { texts[session.desktop.uid] = "" }
            }
        }
        NoticeFiles(folder: paths.notices).keep(texts, others: others)
    }

    // MARK: The runtime state

    private func saveSoon() {
        guard !isSaving else { return }
        isSaving = true
        loop.deferred { [weak self] in self?.save() }
    }

    @discardableResult
    private func save() -> Bool {
        isSaving = false
        var state = RuntimeState(
            bootID: boot.description, table: table, probes: supervisor?.records ?? [], ended: supervisor?.endedRecords ?? [],
            pauses: pauses)
        state.hours = hours.saved
        state.sids = sids.known
        state.retentionDue = retention?.due
        state.wasLocked = lockedStore == nil ? nil : true
        do {
            try state.save(path: paths.sessions)
            return true
        } catch {
            Log.error("The sessions' numbers can't be saved", [.error: "\(error)"])
            return false
        }
    }
}

/// Lets the resolver answer to an aggregator that is made after it.
private final class ResolverRelay: @unchecked Sendable {
    /// Set once, before the resolver's thread starts.
    var aggregator: Aggregator?
}

@MainActor
private final class NoticeRelay {
    var handler: (@MainActor (StoreThread.Notice) -> Void)?
}

extension Session {
    /// One that is over, as the store knows it.
    fileprivate init(_ record: SessionRecord) {
        let desktop = Desktop(
            keys: [], uid: record.user.uid, userName: record.user.login, stack: Stack(rawValue: record.stack),
            state: .disconnected)
        self.init(id: record.id, uuid: record.uuid, desktop: desktop, opened: record.start)
    }

    var user: UserIdentity { UserIdentity(login: desktop.userName, uid: desktop.uid) }

    /// The session as the aggregator has to know it.
    var subject: Aggregator.Subject {
        Aggregator.Subject(
            uuid: uuid, id: id, uid: desktop.uid, userName: desktop.userName,
            scopes: desktop.logindSessions.map(\.scope).filter { !$0.isEmpty }, isDisconnected: desktop.state == .disconnected)
    }
}
