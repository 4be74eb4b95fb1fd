package import TermspanCore
package import TermspanEvents

/// Folds the events of one session's sources, one after the other, into closed intervals. `Docs/accounting.md` has the rules.
///
/// A value without references: no call allocates. Nothing that a source sends can trap or change what was handed out before;
/// moments that run backwards are clamped. It may be used from any thread, by one at a time.
package struct SessionFold: Sendable {
    /// Everything that a fold knows; saved with the lane's position, it lets a restarted collector go on.
    package struct State: Equatable, Sendable {
        package enum Phase: UInt8, Sendable {
            /// Not measured: before the first `begin` and after `end`.
            case ended = 0
            /// What has the focus is not known; an unknown interval is open since `since`.
            case unknown = 1
            /// A focus interval is open since `since`.
            case known = 2
        }

        package var phase = Phase.ended
        /// The start of the open focus or unknown interval.
        package var since = BootInstant.zero
        /// The latest moment told by a source or by the collector; nothing opens before it, effective times of input excepted.
        package var latest = BootInstant.zero
        /// Why, while the phase is unknown.
        package var reason = UnknownReason.noData
        /// Events lost in the open unknown interval.
        package var lost: UInt64 = 0
        /// When measuring began: no burst reaches back beyond it.
        package var begun = BootInstant.zero

        /// The number of the last focus interval that was opened.
        package var serial: UInt64 = 0
        /// What has the focus, while the phase is known and `switches` is 0.
        package var focus = Focus.none
        /// Changes folded into the open rapid switching interval; 0 while none is open.
        package var switches: UInt32 = 0
        /// The last of those changes, and when it was.
        package var switchedTo = Focus.none
        package var switchedAt = BootInstant.zero
        /// What is left in the bucket that bounds focus intervals, in nanoseconds of refill, as of `creditAt`.
        package var credit: UInt64 = .max
        package var creditAt = BootInstant.zero

        package var burstOpen = false
        package var burstStart = BootInstant.zero
        /// The latest input known in the open burst.
        package var burstLast = BootInstant.zero
        package var burstOrigin = InputOrigin.unknown
        /// The end of the last burst handed out.
        package var previousBurstEnd: BootInstant?
        /// Whether that burst was a single input.
        package var previousBurstIsPoint = false
        /// The burst gap in nanoseconds: how far before its observation input can have begun.
        package var burstGap: UInt64

        package init(burstGap: Duration = .seconds(30)) {
            self.burstGap = UInt64(clamping: burstGap.wholeNanoseconds)
        }
    }

    /// What is open at a moment; ends are that moment.
    package struct Open: Equatable, Sendable {
        package var focus: FocusInterval?
        package var burst: InputBurst?
        package var unknown: UnknownInterval?
    }

    /// Focus intervals a session may open, unless told otherwise: 20 a second, 200 at once.
    package static let focusRate = Rate(20, per: .seconds(1), burst: 200)
    /// Rapid switching is over when one window has had the focus for this long.
    static let calm: UInt64 = 1_000_000_000
    /// Display servers count idle time in milliseconds and tell it late: a last input this little after a burst's end is that end.
    static let tolerance: Duration = .seconds(1)

    package private(set) var state: State
    /// What one focus interval takes from the bucket, and what the bucket holds, in nanoseconds of refill.
    private let cost: UInt64
    private let capacity: UInt64
    /// The number of the last interval that was taken to be resolved.
    private var taken: UInt64 = 0

    /// A fold of which nothing is measured until `begin`.
    package init(burstGap: Duration = .seconds(30), focusRate: Rate = SessionFold.focusRate) {
        self.init(State(burstGap: burstGap), focusRate: focusRate)
    }

    /// Goes on from a saved state.
    package init(_ state: State, focusRate: Rate = SessionFold.focusRate) {
        cost = focusRate.interval
        capacity = focusRate.interval.multipliedReportingOverflow(by: focusRate.burst).partialValue
        self.state = state
        self.state.since = min(state.since, state.latest)
        self.state.credit = min(state.credit, capacity)
        self.state.burstLast = min(state.burstLast, state.latest)
        self.state.burstStart = min(state.burstStart, self.state.burstLast)
    }

    /// The number of the open focus interval, if one is open. Which process has to be resolved is for `takeOpened()` to say.
    package var openSerial: UInt64? { state.phase == .known && state.switches == 0 ? state.serial : nil }

    // MARK: What happens

    /// Measuring starts: unknown for `reason` until the first snapshot. Without effect while it goes on already.
    ///
    /// - Parameter serial: the number of the last focus interval that another fold opened for the same session.
    package mutating func begin(at moment: BootInstant, reason: UnknownReason = .starting, serial: UInt64 = 0) {
        guard state.phase == .ended else { return }
        state.serial = max(state.serial, serial)
        advance(moment)
        state.phase = .unknown
        state.since = state.latest
        state.begun = state.latest
        state.reason = reason
        state.lost = 0
    }

    /// Takes in one delivered event, observed at `moment`.
    ///
    /// - Returns: whether rapid switching began with it.
    @discardableResult
    package mutating func apply(_ event: Event, at moment: BootInstant, emit: (FoldOutput) -> Void) -> Bool {
        guard state.phase != .ended else { return false }
        let wasSwitching = state.switches > 0
        advance(moment)
        // Until a snapshot tells the whole state, an event only shows that the source lives. That is looked at in each case: to tell snapshots from
        // the others before takes a tenth of the fold's time.
        let isKnown = state.phase == .known
        switch event {
        case .focusChanged(let focus):
            guard isKnown else { break }
            settle(emit)
            change(to: focus, emit)
        case .inputBegan(let edge):
            guard isKnown else { break }
            settle(emit)
            inputBegan(edge)
        case .inputEnded(let edge):
            guard isKnown else { break }
            settle(emit)
            guard state.burstOpen else { break }
            state.burstOrigin = Self.merged(state.burstOrigin, edge.origin)
            endBurst(at: edge.effective, emit)
        case .sourceGap(let from):
            guard isKnown else { break }
            settle(emit)
            becomeUnknown(.sourceGap, from: from, emit)
        case .snapshot(let snapshot):
            apply(snapshot, emit)
        }
        return !wasSwitching && state.switches > 0
    }

    /// The open focus interval's number, whose process it is and since when, if it was not taken before: what has to be resolved.
    package mutating func takeOpened() -> (serial: UInt64, process: ProcessClaim, since: BootInstant)? {
        guard state.phase == .known, state.switches == 0, state.serial != taken else { return nil }
        taken = state.serial
        return (state.serial, state.focus.process, state.since)
    }

    /// `count` events were lost somewhere between the last delivered event and `moment`, that of the next one.
    ///
    /// Unknown from the last delivered event until the next snapshot.
    package mutating func lost(_ count: UInt64, before moment: BootInstant, emit: (FoldOutput) -> Void) {
        guard state.phase != .ended, count > 0 else { return }
        settle(emit)
        becomeUnknown(.eventsLost, from: state.latest, emit)
        let (sum, overflow) = state.lost.addingReportingOverflow(count)
        state.lost = overflow ? .max : sum
        advance(moment)
    }

    /// No more events come from this source, whose death was seen at `moment`.
    ///
    /// Unknown from the last delivered event until the next source's first snapshot.
    package mutating func sourceEnded(
        at moment: BootInstant, reason: UnknownReason = .sourceEnded, emit: (FoldOutput) -> Void
    ) {
        guard state.phase != .ended else { return }
        settle(emit)
        becomeUnknown(reason, from: state.latest, emit)
        advance(moment)
    }

    /// Measuring ends: the session is over, or its user is no longer tracked. Closes everything at that moment.
    package mutating func end(at moment: BootInstant, emit: (FoldOutput) -> Void) {
        guard state.phase != .ended else { return }
        advance(moment)
        settle(emit)
        closeInterval(at: state.latest, emit)
        endBurst(at: state.latest, emit)
        state.phase = .ended
        state.since = state.latest
    }

    /// What is open, cut at `now`.
    package func open(at now: BootInstant) -> Open {
        var fold = self
        fold.advance(now)
        fold.settle { _ in }
        let state = fold.state
        var open = Open()
        switch state.phase {
        case .ended:
            break
        case .unknown:
            open.unknown = UnknownInterval(start: state.since, end: state.latest, reason: state.reason, lost: state.lost)
        case .known:
            open.focus = fold.interval(until: state.latest)
        }
        if state.burstOpen { open.burst = InputBurst(start: state.burstStart, end: state.latest, origin: state.burstOrigin) }
        return open
    }

    // MARK: Focus

    private mutating func apply(_ snapshot: Snapshot, _ emit: (FoldOutput) -> Void) {
        if state.phase == .unknown {
            closeInterval(at: state.latest, emit)
            state.phase = .known
            refill()
            // What is opened by a bucket that is empty is rapid switching from its beginning: else a source that says again and again that it
            // missed something would have two intervals each time.
            if state.credit >= cost { openInterval(snapshot.focus, at: state.latest) } else { openSwitching(snapshot.focus) }
        } else {
            settle(emit)
            change(to: snapshot.focus, emit)
        }
        switch (snapshot.inputOpen, state.burstOpen) {
        case (true, let open):
            if let last = snapshot.lastInput {
                inputBegan(last)
            } else if !open {
                inputBegan(InputEdge(effective: state.latest, origin: .unknown))
            }
        case (false, true):
            endBurst(at: snapshot.lastInput?.effective ?? state.burstLast, emit)
        case (false, false):
            // Input that was missed altogether still counts as the last input from here on.
            guard let last = snapshot.lastInput, last.effective <= state.latest,
                state.previousBurstEnd.map({ last.effective > $0.advanced(by: Self.tolerance) }) ?? true
            else { break }
            // That of a time in which nothing was measured is nobody's business afterwards.
            let isMeasured = last.effective >= state.begun
            if isMeasured { emit(.burst(InputBurst(start: last.effective, end: last.effective, origin: last.origin))) }
            state.previousBurstEnd = last.effective
            state.previousBurstIsPoint = isMeasured
        }
    }

    private mutating func change(to focus: Focus, _ emit: (FoldOutput) -> Void) {
        // Compared where they are: a focus is long.
        if state.switches > 0 {
            guard focus != state.switchedTo else { return }
        } else {
            guard focus != state.focus else { return }
        }
        refill()
        if state.switches == 0, state.credit >= cost {
            closeInterval(at: state.latest, emit)
            openInterval(focus, at: state.latest)
            return
        }
        if state.switches == 0 {
            closeInterval(at: state.latest, emit)
            return openSwitching(focus)
        }
        state.switches = state.switches == .max ? .max : state.switches + 1
        state.switchedTo = focus
        state.switchedAt = state.latest
    }

    /// Begins an interval of rapid switching, which is paid for when it ends.
    private mutating func openSwitching(_ focus: Focus) {
        state.since = state.latest
        state.focus = .none
        state.serial &+= 1
        state.switches = 1
        state.switchedTo = focus
        state.switchedAt = state.latest
    }

    private mutating func openInterval(_ focus: Focus, at moment: BootInstant) {
        state.since = moment
        state.focus = focus
        state.serial &+= 1
        state.switches = 0
        state.credit = state.credit > cost ? state.credit - cost : 0
    }

    /// Ends rapid switching, from the change on after which there was calm.
    private mutating func settle(_ emit: (FoldOutput) -> Void) {
        guard state.phase == .known, state.switches > 0,
            state.latest.nanoseconds - min(state.switchedAt, state.latest).nanoseconds >= Self.calm
        else { return }
        let moment = max(state.since, min(state.switchedAt, state.latest))
        closeInterval(at: moment, emit)
        // The second of calm pays for what has ended, and for what begins.
        refill()
        state.credit = state.credit > cost ? state.credit - cost : 0
        openInterval(state.switchedTo, at: moment)
    }

    private mutating func refill() {
        let passed = state.latest.nanoseconds - min(state.creditAt, state.latest).nanoseconds
        state.credit = passed >= capacity - min(state.credit, capacity) ? capacity : state.credit + passed
        state.creditAt = state.latest
    }

    private func interval(until end: BootInstant) -> FocusInterval {
        FocusInterval(start: state.since, end: end, focus: state.focus, serial: state.serial, switches: state.switches)
    }

    /// Hands out the open focus or unknown interval, unless it is empty. The caller sets what is open next.
    private mutating func closeInterval(at moment: BootInstant, _ emit: (FoldOutput) -> Void) {
        let end = max(moment, state.since)
        if end > state.since {
            switch state.phase {
            case .ended: break
            case .unknown:
                emit(.unknown(UnknownInterval(start: state.since, end: end, reason: state.reason, lost: state.lost)))
            case .known: emit(.focus(interval(until: end)))
            }
        }
        state.switches = 0
        state.lost = 0
    }

    private mutating func becomeUnknown(_ reason: UnknownReason, from moment: BootInstant, _ emit: (FoldOutput) -> Void) {
        if state.phase == .unknown, state.reason == reason { return }
        let cut = min(max(moment, state.since), state.latest)
        closeInterval(at: cut, emit)
        // The burst held as long as anything was known.
        endBurst(at: cut, emit)
        state.phase = .unknown
        state.since = cut
        state.reason = reason
        state.focus = .none
    }

    // MARK: Input

    private mutating func inputBegan(_ edge: InputEdge) {
        let earliest = state.latest.nanoseconds - min(state.burstGap, state.latest.nanoseconds)
        var moment = max(edge.effective, BootInstant(nanoseconds: earliest), state.begun)
        if let previous = state.previousBurstEnd { moment = max(moment, previous) }
        moment = min(moment, state.latest)
        if state.burstOpen {
            state.burstLast = max(state.burstLast, moment)
            state.burstOrigin = Self.merged(state.burstOrigin, edge.origin)
        } else {
            // No two bursts begin at one moment, by which they are told apart: after a single input the next begins later.
            if state.previousBurstIsPoint, moment == state.previousBurstEnd {
                moment = BootInstant(nanoseconds: moment.nanoseconds == .max ? .max : moment.nanoseconds + 1)
                advance(moment)
            }
            state.burstOpen = true
            state.burstStart = moment
            state.burstLast = moment
            state.burstOrigin = edge.origin
        }
    }

    private mutating func endBurst(at moment: BootInstant, _ emit: (FoldOutput) -> Void) {
        guard state.burstOpen else { return }
        let end = max(min(moment, state.latest), state.burstLast)
        emit(.burst(InputBurst(start: state.burstStart, end: end, origin: state.burstOrigin)))
        state.burstOpen = false
        state.previousBurstEnd = end
        state.previousBurstIsPoint = end == state.burstStart
    }

    /// A burst with any input of a device is a device's; a program's counts more than an unknown origin.
    private static func merged(_ a: InputOrigin, _ b: InputOrigin) -> InputOrigin {
        if a == .device || b == .device { return .device }
        return a == .synthetic || b == .synthetic ? .synthetic : .unknown
    }

    private mutating func advance(_ moment: BootInstant) {
        state.latest = max(state.latest, moment)
    }
}
