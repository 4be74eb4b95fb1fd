import Glibc
package import TermspanBus
package import TermspanConfiguration
package import TermspanControl
package import TermspanCore
import TermspanRing
package import TermspanSessions
package import TermspanSystem

/// Starts, watches and ends the probes: one per session that is measured.
@MainActor
package final class ProbeSupervisor {
    /// What happened, for the journal.
    package enum Report {
        case started(Session, ProbeFeatures)
        case failed(Session, reason: String)
        /// The session's user is at a limit.
        case limited(Session, Limit)
        /// No further session can be measured for now; told again only after it had passed.
        case descriptorsShort(String)
    }

    private final class Probe {
        var session: Session
        var life = ProbeLifecycle()
        var channel: ChannelOwner?
        /// The lane's memory until the probe has mapped it.
        var lane: LaneOwner?
        var channelSource: EventSource?
        var timer: EventSource?
        /// For as long as its start may keep others waiting.
        var patience: EventSource?
        /// When the turn of its start came.
        var begun = BootInstant.now()
        /// Since when it has been ready, as far as this life of the collector knows.
        var ready = BootInstant.now()
        var record: RuntimeState.ProbeRecord?
        var features: ProbeFeatures = []
        /// As the probe told it last.
        var screen: Screen?

        init(_ session: Session) {
            self.session = session
        }
    }

    /// Gives a noncopyable channel a place in a class.
    private final class ChannelOwner {
        let channel: ControlChannel
        init(_ channel: consuming ControlChannel) { self.channel = channel }
    }

    /// Likewise a lane.
    private final class LaneOwner {
        let memory: LaneMemory
        init(_ memory: consuming LaneMemory) { self.memory = memory }
    }

    private let loop: EventLoop
    private let aggregator: Aggregator
    private let units: UnitManager
    private let helperUnits: HelperUnits
    private let report: @MainActor (Report) -> Void
    /// What probes run changed: the runtime state is to be saved.
    private let recordsChanged: @MainActor () -> Void
    private var probes: [UUIDv7: Probe] = [:]
    /// Sessions whose turn to start has come, and those that wait for it: units that all start together only keep each other from it.
    private var startQueue = StartQueue()
    /// What each user has left of starts, by uid.
    private var starts: [UInt32: TokenBucket] = [:]
    /// Probes that have ended and whose lanes hold what is not durable yet.
    package private(set) var endedRecords: [RuntimeState.ProbeRecord] = []
    private var nextSnapshot: UInt64 = 1
    private let descriptors: DescriptorBudget
    /// All sessions that there are, whether they have been spoken of here or not.
    package var sessionCount = 0
    /// Sessions that wait for descriptors, in the order in which they came.
    private var refused: [UUIDv7] = []
    /// Attempts, by session, whose users have left too many lanes to be stored.
    private var awaitingLanes: [UUIDv7: Int] = [:]
    package var configuration: Configuration

    /// The probe as the unit's sandbox sees it.
    private static let program = "/probe"
    /// More than the wakings of a probe, each of which may tell of another screen.
    private static let messagesRead: UInt32 = 100
    private static let socketDirectory = "/tmp/.X11-unix"

    package init(
        loop: EventLoop, connection: BusConnection, helperUnits: HelperUnits, aggregator: Aggregator, configuration: Configuration,
        descriptors: DescriptorBudget = .ofProcess(), recordsChanged: @escaping @MainActor () -> Void,
        report: @escaping @MainActor (Report) -> Void
    ) {
        self.loop = loop
        self.descriptors = descriptors
        self.aggregator = aggregator
        self.configuration = configuration
        self.report = report
        self.recordsChanged = recordsChanged
        units = UnitManager(connection: connection)
        self.helperUnits = helperUnits
    }

    /// The probes that run, for the runtime state.
    package var records: [RuntimeState.ProbeRecord] {
        probes.values.compactMap(\.record).sorted { $0.session < $1.session }
    }

    package func coverage(of session: Session, isTracked: Bool) -> Coverage {
        if !isTracked { return .untracked }
        return probes[session.uuid]?.life.coverage ?? .noXServer
    }

    /// The session's screen; nil where no probe tells.
    package func screen(of session: Session) -> Screen? { probes[session.uuid]?.screen }

    package var runningCount: Int { probes.values.count { $0.life.state == .running } }

    // MARK: What is wanted

    /// Lets a session be measured, or not, as it is now.
    package func update(_ session: Session, isTracked: Bool) {
        let probe = probes[session.uuid] ?? Probe(session)
        let previousServer = probe.record?.xServer ?? probe.session.desktop.xServer
        probe.session = session
        probes[session.uuid] = probe
        guard isTracked else { return perform(probe.life.unwant(.untracked), on: probe) }
        guard session.desktop.isUserSession else { return perform(probe.life.unwant(.noXServer), on: probe) }
        guard !session.desktop.isWayland else { return perform(probe.life.unwant(.wayland), on: probe) }
        guard let server = session.desktop.xServer else { return perform(probe.life.serverGone(), on: probe) }
        guard isTrusted(server, of: session) else { return perform(probe.life.unwant(.notTrusted), on: probe) }
        let others = probes.values.count { $0.session.desktop.uid == session.desktop.uid && $0 !== probe && $0.life.state != .idle }
        guard others < configuration.limits.displaysPerUser else {
            if probe.life.coverage != Self.tooManyDisplays { report(.limited(session, .displays)) }
            return perform(probe.life.unwant(Self.tooManyDisplays), on: probe)
        }
        guard hasDescriptors(for: probe) else { return }
        if let previousServer, previousServer != server { perform(probe.life.unwant(.starting), on: probe) }
        perform(probe.life.want(), on: probe)
    }

    private static let tooManyDisplays = Coverage.limited("the user is at the limit of displays")
    private static let tooManyStarts = Coverage.limited("the user is at the limit of starts of probes")
    private static let tooManyLanes = Coverage.limited("what earlier probes told is not stored yet")

    /// Whether a probe that is not there yet may be: if not, its session is refused until another lane is gone.
    private func hasDescriptors(for probe: Probe) -> Bool {
        guard probe.life.state == .idle else { return true }
        guard let reason = descriptors.refusal(lanes: laneCount, sessions: sessionCount) else {
            refused.removeAll { $0 == probe.session.uuid }
            return true
        }
        perform(probe.life.unwant(.noDescriptors(reason)), on: probe)
        if refused.isEmpty { report(.descriptorsShort(reason)) }
        if !refused.contains(probe.session.uuid) { refused.append(probe.session.uuid) }
        return false
    }

    /// How many lanes there are or may be at any moment.
    private var laneCount: Int { probes.values.count { $0.life.state != .idle } + endedRecords.count }

    /// Whether an attempt may take a lane. While nothing can be stored every probe that ends leaves one behind: a user has a share of those.
    private func hasLane(for probe: Probe) -> Bool {
        let left = endedRecords.count { $0.xServer.uid == probe.session.desktop.xServer?.uid }
        return left < configuration.limits.displaysPerUser
    }

    /// Descriptors have come free: whoever waits for them longest gets them.
    private func retryRefused() {
        for uuid in refused {
            guard let probe = probes[uuid], case .noDescriptors = probe.life.coverage else {
                refused.removeAll { $0 == uuid }
                continue
            }
            update(probe.session, isTracked: true)
            if case .noDescriptors = probe.life.coverage { return }
        }
    }

    /// The session has ended.
    package func remove(_ session: Session) {
        defer { retryRefused() }
        guard let probe = probes.removeValue(forKey: session.uuid) else { return }
        perform(probe.life.unwant(.noXServer), on: probe)
    }

    /// The X server must be the user's, or root's where a display manager owns the seat's.
    private func isTrusted(_ server: XServer, of session: Session) -> Bool {
        server.uid == session.desktop.uid || (server.uid == 0 && session.desktop.stack == .local)
    }

    // MARK: What happened

    /// Takes over a probe that ran before the collector did.
    package func adopt(
        _ record: RuntimeState.ProbeRecord, session: Session, channel descriptor: consuming OwnedDescriptor
    ) {
        let probe = Probe(session)
        probes[session.uuid] = probe
        probe.record = record
        probe.features = ProbeFeatures(rawValue: record.features ?? 0)
        probe.life.adopt()
        do {
            try watch(descriptor, of: probe)
        } catch {
            return perform(probe.life.ended("its control channel could not be taken over", attempt: probe.life.attempt), on: probe)
        }
        guard record.features != nil else {
            // Whether it ever will be is not watched by anybody any more.
            return perform(probe.life.ended("it was not ready when the collector ended", attempt: probe.life.attempt), on: probe)
        }
        // What was asked for last may never have been sent.
        requestSnapshot(of: session.uuid)
    }

    /// Remembers a probe that ended in an earlier life, until what its lane holds is durable.
    package func keep(_ record: RuntimeState.ProbeRecord) {
        endedRecords.append(record)
    }

    /// Everything that a detached lane held is durable.
    package func released(generation: UInt64) {
        DescriptorStore.remove(generation: generation)
        endedRecords.removeAll { $0.generation == generation }
        recordsChanged()
        let waiting = awaitingLanes
        awaitingLanes = [:]
        for (uuid, attempt) in waiting {
            if let probe = probes[uuid] { begin(attempt, probe) }
        }
        startNext()
        retryRefused()
    }

    /// The lane's producer broke the protocol.
    package func quarantine(session: UUIDv7) {
        guard let probe = probes[session] else { return }
        perform(probe.life.quarantine(), on: probe)
    }

    /// Asks a probe for its whole state.
    package func requestSnapshot(of session: UUIDv7) {
        guard let probe = probes[session], let owner = probe.channel else { return }
        nextSnapshot += 1
        // A probe that does not read has 10 s of patience left in its socket; then it is ended.
        do { try owner.channel.send(.snapshot(id: nextSnapshot)) } catch {
            perform(probe.life.ended("it does not answer", attempt: probe.life.attempt), on: probe)
        }
    }

    private func perform(_ actions: [ProbeLifecycle.Action], on probe: Probe) {
        for action in actions {
            switch action {
            case .readCookie(let attempt): begin(attempt, probe)
            case .startUnit(let attempt, let cookie): startUnit(attempt, cookie, probe)
            case .tearDown: tearDown(probe)
            case .wait(let delay, let attempt):
                // Not all at once again, if they failed together.
                probe.timer = try? loop.after(delay * Double.random(in: 1...1.25), accuracy: .milliseconds(50)) {
                    [weak self, weak probe] in
                    guard let self, let probe else { return }
                    perform(probe.life.delayPassed(attempt: attempt), on: probe)
                }
            case .reportStarted:
                probe.timer = nil
                probe.ready = .now()
                startQueue.succeeded(probe.session.desktop.uid, in: probe.begun.duration(to: probe.ready))
                report(.started(probe.session, probe.features))
            case .reportFailed(let reason): report(.failed(probe.session, reason: reason))
            }
        }
        if !probe.life.isStarting {
            startQueue.finish(probe.session.uuid)
            probe.patience = nil
        }
        startNext()
    }

    private func startNext() {
        while let (uuid, attempt) = startQueue.next() {
            if let probe = probes[uuid], probe.life.isStarting, probe.life.attempt == attempt {
                probe.begun = .now()
                probe.patience = try? loop.after(startQueue.patience, accuracy: .milliseconds(100)) { [weak self] in
                    if self?.startQueue.isSlow(uuid) == true { self?.startNext() }
                }
                readCookie(attempt, probe)
            } else {
                startQueue.finish(uuid)
            }
        }
    }

    /// Puts an attempt into the queue, once its user may start another: an X server can end its probe as often as it likes.
    private func begin(_ attempt: Int, _ probe: Probe) {
        guard probe.life.isStarting, probe.life.attempt == attempt else { return }
        let (uid, rate, now) = (probe.session.desktop.uid, configuration.limits.probeStarts, loop.now)
        guard hasLane(for: probe) else {
            probe.life.held(Self.tooManyLanes, attempt: attempt)
            awaitingLanes[probe.session.uuid] = attempt
            return
        }
        if starts[uid, default: TokenBucket()].take(rate, at: now) { return startQueue.add(probe.session.uuid, attempt: attempt, of: uid) }
        starts = starts.filter { !$0.value.isFull(at: now) }
        if probe.life.coverage != Self.tooManyStarts { report(.limited(probe.session, .probeStarts)) }
        hold(attempt, probe, Self.tooManyStarts, until: starts[uid]?.next(rate, at: now) ?? now)
    }

    /// Lets an attempt wait, and its session say why.
    private func hold(_ attempt: Int, _ probe: Probe, _ why: Coverage, until moment: BootInstant) {
        probe.life.held(why, attempt: attempt)
        probe.timer = try? loop.timer(at: moment, accuracy: .milliseconds(50)) { [weak self, weak probe] in
            guard let self, let probe else { return }
            begin(attempt, probe)
            startNext()
        }
    }

    private func readCookie(_ attempt: Int, _ probe: Probe) {
        guard let server = probe.session.desktop.xServer else { return }
        helperUnits.readCookie(for: server, uid: probe.session.desktop.uid) { [weak self, weak probe] cookie in
            guard let self, let probe else { return }
            perform(probe.life.cookieRead(cookie, attempt: attempt), on: probe)
        }
    }

    private func startUnit(_ attempt: Int, _ cookie: [UInt8], _ probe: Probe) {
        do {
            try start(attempt, cookie, probe)
        } catch {
            perform(probe.life.ended("it could not be started: \(error)", attempt: attempt), on: probe)
        }
    }

    private func start(_ attempt: Int, _ cookie: [UInt8], _ probe: Probe) throws {
        guard let server = probe.session.desktop.xServer else { return }
        let path = "\(Self.socketDirectory)/X\(server.display)"
        let connection = try connectUnix(path: path)
        guard let peer = UInt32(exactly: connection.peer.pid), peer == server.pid, connection.peer.uid == server.uid,
            try ProcessFacts(pid: peer)?.startTime == server.startTime
        else { throw SystemError(code: ECONNREFUSED, operation: "connect", subject: "\(path), whose server is another one by now") }
        let generation = UInt64.random(in: 1...UInt64.max)
        let lane = try LaneMemory(lane: UInt32(server.display), generation: generation)
        let pair = try SocketPair(nonblocking: true)
        let unit = "termspan-probe-\(server.display)-\(DescriptorStore.hexadecimal(generation)).service"
        probe.record = RuntimeState.ProbeRecord(
            session: probe.session.uuid, unit: unit, generation: generation, xServer: server, features: nil)
        do {
            try start(lane, pair, unit: unit, connection: connection.descriptor.raw, cookie: cookie, attempt: attempt, probe)
        } catch {
            // No probe has it, and no reader: nothing is in it to be made durable.
            probe.record = nil
            DescriptorStore.remove(generation: generation)
            throw error
        }
        probe.lane = LaneOwner(lane)
        recordsChanged()
        probe.timer = try loop.after(configuration.probeReadyTimeout) { [weak self, weak probe] in
            guard let self, let probe, probe.life.state == .starting else { return }
            perform(probe.life.ended("it was not ready in time", attempt: attempt), on: probe)
        }
    }

    /// Hands everything over to a new unit and reads its lane from then on.
    private func start(
        _ lane: borrowing LaneMemory, _ pair: consuming SocketPair, unit: String, connection: Int32, cookie: [UInt8], attempt: Int,
        _ probe: Probe
    ) throws {
        guard let server = probe.record?.xServer else { return }
        let control = try lane.controlForProducer()
        let raws = (events: lane.events.raw, doorbell: lane.doorbell.raw, control: control.raw)
        let name = DescriptorStore.name(ofLane: lane.generation)
        try aggregator.attach(lane, to: probe.session.uuid)
        try pair.split { ours, theirs in
            try DescriptorStore.keep(lane, channel: ours.raw, name: name)
            try watch(ours, of: probe)
            let start = ControlMessage.Start(
                level: .basic, display: server.display,
                burstGapMilliseconds: UInt32(clamping: configuration.burstGap.wholeNanoseconds / 1_000_000), cookie: cookie)
            try probe.channel?.channel.send(
                .start(start), descriptors: [connection, raws.control, raws.events, raws.doorbell])
            let service = UnitManager.Service(
                name: unit, description: "Termspan's probe of X display :\(server.display)", command: [Self.program],
                standardInput: theirs.raw)
            units.start(service) { [weak self, weak probe] result in
                guard let self, let probe, case .failure(let error) = result else { return }
                perform(probe.life.ended("its unit could not be started: \(error)", attempt: attempt), on: probe)
            }
        }
    }

    private func watch(_ descriptor: consuming OwnedDescriptor, of probe: Probe) throws {
        let raw = descriptor.raw
        probe.channel = ChannelOwner(try ControlChannel(descriptor, takesDescriptors: false))
        let attempt = probe.life.attempt
        probe.channelSource = try loop.watch(raw) { [weak self, weak probe] _ in
            guard let self, let probe else { return }
            receive(attempt, probe)
        }
        // The screen may be told as often as it changes.
        probe.channelSource?.limit(Self.messagesRead, per: .milliseconds(500))
    }

    private func receive(_ attempt: Int, _ probe: Probe) {
        guard let owner = probe.channel else { return }
        do {
            switch try owner.channel.receive() {
            case .nothing: return
            case .closed: perform(probe.life.ended("it ended", attempt: attempt, after: probe.ready.duration(to: .now())), on: probe)
            case .message(.ready(let features), _) where probe.life.state == .starting:
                // Both sides have mapped it: from here on nobody else can, for writing.
                do { try probe.lane?.memory.sealEvents() } catch {
                    return perform(probe.life.ended("its lane could not be sealed: \(error)", attempt: attempt), on: probe)
                }
                probe.lane = nil
                probe.features = features
                probe.record?.features = features.rawValue
                perform(probe.life.ready(attempt: attempt), on: probe)
                recordsChanged()
            case .message(.screen(let screen), _) where probe.life.state == .running || probe.life.state == .leaving:
                probe.screen = screen
            case .message(.failed(let failure), _):
                perform(probe.life.ended(failure.explanation, attempt: attempt, after: probe.ready.duration(to: .now())), on: probe)
            case .message:
                perform(probe.life.ended("it sent what the protocol does not have", attempt: attempt), on: probe)
            }
        } catch {
            perform(probe.life.ended("\(error)", attempt: attempt), on: probe)
        }
    }

    /// Ends the unit and gives up its lane; what the lane holds is folded first.
    private func tearDown(_ probe: Probe) {
        if let owner = probe.channel { try? owner.channel.send(.stop) }
        probe.channelSource?.cancel()
        probe.channelSource = nil
        probe.channel = nil
        probe.lane = nil
        probe.screen = nil
        probe.timer = nil
        if let record = probe.record {
            units.stop(record.unit)
            endedRecords.append(record)
        }
        aggregator.detach(probe.session.uuid, at: .now())
        probe.record = nil
        recordsChanged()
    }
}
