package import TermspanCore
package import TermspanEvents

/// [start, end) in which one window, or none, had the focus in one session.
package struct FocusInterval: Equatable, Sendable {
    package var start: BootInstant
    package var end: BootInstant
    package var focus: Focus
    /// Names this interval within its session: grows with each interval that opens, so that the process behind it can be resolved beside.
    package var serial: UInt64
    /// 0 for an ordinary interval. Otherwise the focus changed so fast that this many changes were folded into one interval without a focus.
    package var switches: UInt32

    package init(start: BootInstant, end: BootInstant, focus: Focus, serial: UInt64, switches: UInt32 = 0) {
        self.start = start
        self.end = end
        self.focus = focus
        self.serial = serial
        self.switches = switches
    }
}

/// Input without a gap of the burst gap or more, from the first to the last input; a single one has start = end.
package struct InputBurst: Equatable, Sendable {
    package var start: BootInstant
    /// The last input, or the last moment at which the burst was known to hold where what followed is not known.
    package var end: BootInstant
    package var origin: InputOrigin

    package init(start: BootInstant, end: BootInstant, origin: InputOrigin) {
        self.start = start
        self.end = end
        self.origin = origin
    }
}

/// Why a session's activity at a moment is not known.
///
/// The values are stored: they are never given another meaning.
package enum UnknownReason: UInt8, CaseIterable, Sendable {
    /// Nothing is stored about the moment; only the evaluator says this.
    case noData = 0
    /// The lane was full and events were dropped.
    case eventsLost = 1
    /// The source died or was restarted.
    case sourceEnded = 2
    /// The source itself missed events.
    case sourceGap = 3
    /// The source broke the ring's protocol and its lane is no longer read.
    case laneQuarantined = 4
    /// The collector did not run and no lane bridged the time.
    case collectorDown = 5
    /// No source has told its state yet.
    case starting = 6
    /// The session has no source: no X server was found, or it is remote or not trusted.
    case noSource = 7
    /// The user was at a limit of what is recorded.
    case limited = 8
    /// What was stored of it is in a damaged file that was set aside.
    case storeDamaged = 16
    /// What was stored of it was erased.
    case erased = 17

    /// The name in machine-readable output.
    package var name: String {
        switch self {
        case .noData: "no-data"
        case .eventsLost: "events-lost"
        case .sourceEnded: "source-ended"
        case .sourceGap: "source-gap"
        case .laneQuarantined: "lane-quarantined"
        case .collectorDown: "collector-down"
        case .starting: "starting"
        case .noSource: "no-source"
        case .limited: "limited"
        case .storeDamaged: "store-damaged"
        case .erased: "erased"
        }
    }
}

/// [start, end) in which a session's activity is not known.
package struct UnknownInterval: Equatable, Sendable {
    package var start: BootInstant
    package var end: BootInstant
    package var reason: UnknownReason
    /// How many events are known to have been lost in it.
    package var lost: UInt64

    package init(start: BootInstant, end: BootInstant, reason: UnknownReason, lost: UInt64 = 0) {
        self.start = start
        self.end = end
        self.reason = reason
        self.lost = lost
    }
}

/// What a fold hands out, once each, in the order in which it became certain. It never changes afterwards.
package enum FoldOutput: Equatable, Sendable {
    case focus(FocusInterval)
    case burst(InputBurst)
    case unknown(UnknownInterval)
}
