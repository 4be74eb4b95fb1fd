import CXCB
import TermspanControl
import TermspanCore
import TermspanEvents
import TermspanSystem

/// Watches one X server: which window is active, and whether there is input.
///
/// It is told by events and sleeps without a limit between them. What it selects is written down at `WindowWatch` and
/// `InputMonitor`; it never asks for a key, and nothing that it selects tells of a single one.
struct Probe: ~Copyable {
    private var session: XSession
    private var lane: EventLane
    private let features: ProbeFeatures
    private let atoms: Atoms
    private let counters: IdleCounters
    private let alarm: UInt32
    private let alarmEvent: UInt8
    private var monitor: InputMonitor
    private var watch: WindowWatch
    private var focus: Focus
    private var screen: Screen?
    /// A change that was seen and is told once it is known when it was.
    private var untold: UntoldFocus?
    /// Over the times that the X server may wake its probe.
    private var wakes = TokenBucket()

    /// A desktop stays far below. One that floods its probe, with focus changes or anything else, is then read every 20 ms: what has piled up
    /// costs one look at the active window, so the latest focus is always told. More than the fold takes, even if half of the looks find what
    /// was there before: a flood shows there as one, and as the limit that it is at.
    static let wakeRate = Rate(50, per: .seconds(1), burst: 250)

    private var namesProcesses: Bool { features.contains(.serverPIDs) }

    /// Finds out what the server has, selects the events, puts the first snapshot into the lane and tells the collector.
    static func start(
        _ opened: consuming XSession, lane openedLane: consuming EventLane, burstGapMilliseconds: UInt32
    ) throws(ProbeEnd) -> Probe {
        var session = opened
        var lane = openedLane
        var features: ProbeFeatures = [.idleTime]

        try session.answer(session.x.prefetchExtensions())
        guard let syncEvent = session.x.firstEvent(of: TERMSPAN_X_SYNC) else { throw .failed(.missingExtension) }
        if session.x.firstEvent(of: TERMSPAN_X_RESOURCE) != nil {
            let version = try session.answer(session.x.resourceQueryVersion()) { reply in
                reply.load(UInt16.self, at: 8).flatMap { major in reply.load(UInt16.self, at: 10).map { (major, $0) } }
            }
            if let version, version >= (1, 2) { features.insert(.serverPIDs) }
        }
        let atoms = try Atoms(of: &session)
        let counters = try IdleCounters(of: &session)
        if counters.hasDevices { features.insert(.deviceIdleTime) }

        let watch = try session.beginWatching(atoms, before: nil)
        if case .activeWindow = watch { features.insert(.activeWindow) }

        guard let (idle, origin) = try session.readIdle(counters) else { throw .failed(.missingExtension) }
        let now = BootInstant.now()
        let monitor = InputMonitor(gapMilliseconds: burstGapMilliseconds, idle: idle, now: now)
        let (alarm, creation) = session.x.createAlarm(counters.display, monitor.arming)
        guard try session.succeeds(creation) else { throw .failed(.missingExtension) }

        let focus = try session.readFocus(watch, atoms, namesProcesses: features.contains(.serverPIDs), known: nil)
        let last = InputEdge(effective: now.milliseconds(before: idle), origin: origin)
        lane.publish(.snapshot(Snapshot(id: 0, focus: focus, inputOpen: monitor.isOpen, lastInput: last)), at: now)
        try session.collector.tell(.ready(features))
        // Events tell of any other size from here on.
        let screen = try session.answer(session.x.getScreen()) { XReplies.screen($0) }
        if let screen { try session.collector.tell(.screen(screen)) }
        return Probe(
            session: session, lane: lane, features: features, atoms: atoms, counters: counters, alarm: alarm,
            alarmEvent: syncEvent &+ UInt8(XCB_SYNC_ALARM_NOTIFY), monitor: monitor, watch: watch, focus: focus, screen: screen)
    }

    /// Watches until there is a reason to end.
    mutating func run() throws(ProbeEnd) -> Never {
        do throws(ProbeEnd) {
            try watchEvents()
        } catch {
            tellFocus()
            if case .failed(.connectionLost) = error {
                // Everything that the server sent has been read: what was, is known up to its end.
                let now = BootInstant.now()
                lane.publish(.sourceGap(from: now), at: now)
            }
            throw error
        }
    }

    private mutating func watchEvents() throws(ProbeEnd) -> Never {
        while true {
            let clock = ServerClock.read()
            let news = takeEvents()
            if session.x.isBroken { throw .failed(.connectionLost) }
            // No further change has come, so it was when its event says; and it comes before what these events tell.
            if !news.focus { tellFocus() }
            if news.any {
                try follow(news, clock)
                wakes.spend(Self.wakeRate, at: clock.now)
                let later = wakes.next(Self.wakeRate, at: clock.now)
                if later > clock.now {
                    tellFocus()
                    // The server floods: it stays unread for a moment, the collector doesn't.
                    try session.sleep(milliseconds: clock.now.wholeMilliseconds(to: later), server: false)
                }
            }
            let answered = try answerSnapshot()
            // Waiting for an answer has read the socket too, and what is queued since does not wake poll(2).
            if !news.any, !answered { try session.sleep(milliseconds: nil, server: true) }
        }
    }

    /// A window that was found active, and not yet told: an event that was on its way while it was asked for may be the one that it came with.
    private struct UntoldFocus {
        var focus: Focus
        /// When the window before it ceased to be active.
        var since: BootInstant
        /// When it became active; what was so since `since` was gone again before anybody looked.
        var time: BootInstant
        /// When it was found.
        var read: BootInstant

        /// Whether what was lost so is longer than a window may be told to have been active on. The event says that another one is active and
        /// not which, so of two changes before the probe gets to look, the first one's window is lost.
        var isPrecededByUnseen: Bool { since.duration(to: time) > .milliseconds(50) }
    }

    /// What the events of one waking come to.
    private struct News {
        /// The alarm fired with the counter at this value, at this time of the server's.
        var alarm: (idle: Int64, time: UInt32?)?
        /// Another window may have the focus.
        var focus = false
        /// When the focus first and last changed, by the server's time, where it tells that.
        var focusSince: UInt32?
        var focusTime: UInt32?
        /// What the screen has come to be.
        var screen: Screen?
        /// A window manager may have come or gone.
        var manager = false
        var added: [UInt32] = []
        var removed: [UInt32] = []
        var any = false
    }

    /// How many events one waking takes; the rest is left to the next.
    private static var eventLimit: Int { 4096 }

    private func takeEvents() -> News {
        var news = News()
        var reading = true
        for _ in 0..<Self.eventLimit {
            if session.x.takeEvent(reading: reading, { note($0, in: &news) }) {
                news.any = true
                reading = false
            } else if reading {
                break
            } else {
                reading = true
            }
        }
        return news
    }

    private func note(_ event: XEvent, in news: inout News) {
        switch (event, watch) {
        case (.property(atoms.activeWindow, let time), .activeWindow):
            if !news.focus { news.focusSince = time }
            news.focus = true
            news.focusTime = time
        case (.focus, .inputFocus), (.windowHidden, .inputFocus):
            news.focus = true
        case (.property(atoms.supportingCheck, _), _), (.property(atoms.supported, _), _):
            news.manager = true
        case (.windowAdded(let window, parent: session.x.root), .inputFocus):
            if news.added.count < WindowWatch.windowLimit { news.added.append(window) }
            news.focus = true
        case (.windowRemoved(let window), .inputFocus):
            if news.removed.count < WindowWatch.windowLimit { news.removed.append(window) }
            news.focus = true
        case (.resized(session.x.root, let width, let height), _):
            if let depth = screen?.depth { news.screen = Screen(width: width, height: height, depth: depth) }
        case (.other(code: alarmEvent, let bytes), _) where bytes.load(UInt32.self, at: 4) == alarm:
            news.alarm = (max(bytes.loadSync64(at: 8) ?? 0, 0), bytes.load(UInt32.self, at: 24))
        default:
            break
        }
    }

    /// - Parameter clock: as it was just before the events were read.
    private mutating func follow(_ news: News, _ clock: ServerClock) throws(ProbeEnd) {
        var looksAgain = news.manager
        var edge: InputMonitor.Edge?
        let edgeTime = clock.moment(of: news.alarm?.time)
        if let idle = news.alarm?.idle {
            edge = monitor.alarmFired(idle: idle, now: edgeTime)
            // First of all: what comes from now on must not be missed.
            session.x.changeAlarm(alarm, monitor.arming)
            // A window manager that died left its mark on the root and no event. Somebody is there: a good moment to look.
            if case .began = edge { looksAgain = true }
        }
        let (since, focusTime) = (clock.moment(of: news.focusSince), clock.moment(of: news.focusTime))
        let found = try findFocus(news, looksAgain: looksAgain, since: since, at: focusTime)
        // All in the order in which it was.
        tellFocus(before: edgeTime)
        if untold != nil, let due = edge {
            try tell(due, idle: news.alarm?.idle ?? 0, at: edgeTime)
            edge = nil
        }
        tellFocus()
        untold = found
        if let edge {
            tellFocus(before: edgeTime)
            try tell(edge, idle: news.alarm?.idle ?? 0, at: edgeTime)
        }
        if let screen = news.screen, screen != self.screen {
            self.screen = screen
            try session.collector.tell(.screen(screen))
        }
    }

    /// Looks which window is active, where `news` gives reason to.
    ///
    /// - Parameters:
    ///   - since: When the focus first changed, as far as `news` tells.
    ///   - moment: When it last did.
    /// - Returns: What is to be told, after what is untold yet.
    private mutating func findFocus(
        _ news: News, looksAgain: Bool, since: BootInstant, at moment: BootInstant
    ) throws(ProbeEnd) -> UntoldFocus? {
        if case .inputFocus(var watched) = watch {
            watched.removeAll(where: news.removed.contains)
            for window in news.added where watched.count < WindowWatch.windowLimit {
                session.x.selectEvents(WindowWatch.windowWithoutManager, of: window)
                watched.append(window)
            }
            watch = .inputFocus(watched: watched)
        }
        if looksAgain { watch = try session.beginWatching(atoms, before: watch) }
        guard news.focus || looksAgain else { return nil }
        let current = try session.readFocus(watch, atoms, namesProcesses: namesProcesses, known: focus)
        // What was seen before came with this event if that was there before the look and it holds still, and else with the one before.
        if current.window == focus.window, news.focus, let seen = untold, moment <= seen.read.advanced(by: ServerClock.fineness) {
            untold?.time = max(seen.time, moment)
            return nil
        }
        let found = UntoldFocus(focus: current, since: since, time: moment, read: .now())
        guard current.window != focus.window || found.isPrecededByUnseen else { return nil }
        focus = current
        return found
    }

    /// Tells what has been found, or as much of it as was before a moment.
    private mutating func tellFocus(before moment: BootInstant? = nil) {
        guard let found = untold else { return }
        func isDue(_ time: BootInstant) -> Bool { moment.map { time < $0 } ?? true }
        if found.isPrecededByUnseen, isDue(found.since) {
            lane.publish(.focusChanged(.unseen), at: found.since)
            untold?.since = found.time
        }
        guard isDue(found.time) else { return }
        lane.publish(.focusChanged(found.focus), at: found.time)
        untold = nil
    }

    /// - Parameter idle: what the counter was at that moment.
    private mutating func tell(_ edge: InputMonitor.Edge, idle: Int64, at moment: BootInstant) throws(ProbeEnd) {
        let origin = try session.readOrigin(counters) { idle + moment.wholeMilliseconds(to: .now()) }
        switch edge {
        case .began(let effective): lane.publish(.inputBegan(InputEdge(effective: effective, origin: origin)), at: moment)
        case .ended(let effective): lane.publish(.inputEnded(InputEdge(effective: effective, origin: origin)), at: moment)
        }
    }

    /// - Returns: Whether a snapshot was asked for.
    private mutating func answerSnapshot() throws(ProbeEnd) -> Bool {
        guard let id = session.collector.snapshot else { return false }
        tellFocus()
        session.collector.snapshot = nil
        guard let (idle, origin) = try session.readIdle(counters) else { throw .failed(.connectionLost) }
        focus = try session.readFocus(watch, atoms, namesProcesses: namesProcesses, known: nil)
        let now = BootInstant.now()
        if monitor.wasRead(idle: idle, now: now) { session.x.changeAlarm(alarm, monitor.arming) }
        let last = InputEdge(effective: now.milliseconds(before: idle), origin: origin)
        lane.publish(.snapshot(Snapshot(id: id, focus: focus, inputOpen: monitor.isOpen, lastInput: last)), at: now)
        if let screen { try session.collector.tell(.screen(screen)) }
        return true
    }
}

extension BootInstant {
    /// How many milliseconds later the other moment is, rounded up; 0 when it is earlier.
    fileprivate func wholeMilliseconds(to other: BootInstant) -> Int64 {
        let nanoseconds = max(0, duration(to: other).wholeNanoseconds)
        return nanoseconds / 1_000_000 + (nanoseconds % 1_000_000 > 0 ? 1 : 0)
    }
}
