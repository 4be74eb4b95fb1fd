package import TermspanCore

/// The kinds of records that the collector writes to the journal, each with a MESSAGE_ID of its own (termspan-journal(7)).
///
/// The raw value is what TERMSPAN_EVENT= says.
package enum JournalEvent: String, CaseIterable, Sendable {
    case sessionOpened = "session-opened"
    case sessionClosed = "session-closed"
    case sessionConnected = "session-connected"
    case sessionDisconnected = "session-disconnected"
    case sessionLocked = "session-locked"
    case sessionUnlocked = "session-unlocked"
    case sessionLockRequested = "session-lock-requested"
    case sessionDisconnectRequested = "session-disconnect-requested"
    case sessionLogoffRequested = "session-logoff-requested"
    case probeStarted = "probe-started"
    case probeFailed = "probe-failed"
    case collectorStarted = "collector-started"
    case collectorStopped = "collector-stopped"
    case eventsLost = "events-lost"
    case policyChanged = "policy-changed"
    case laneQuarantined = "lane-quarantined"
    case configurationError = "configuration-error"
    case limitReached = "limit-reached"
    case storeFailed = "store-failed"
    case storeRecovered = "store-recovered"
    case storeReplaced = "store-replaced"
    case storeRefused = "store-refused"
    case recordsLost = "records-lost"
    case busLost = "bus-lost"
    case logindLost = "logind-lost"
    case clockStepped = "clock-stepped"
    case machineSlept = "machine-slept"
    case descriptorsShort = "descriptors-short"
    case historyErased = "history-erased"
    case historyExpired = "history-expired"
    case retentionHeld = "retention-held"
    case auditRecorded = "audit-recorded"
    case recordingPaused = "recording-paused"
    case recordingResumed = "recording-resumed"
    case trackingHours = "tracking-hours"

    /// What happens in a session, by the names that notifications on the bus have.
    package static let notifications: [String: JournalEvent] = [
        "logon": .sessionOpened, "logoff": .sessionClosed, "connect": .sessionConnected, "disconnect": .sessionDisconnected,
        "lock": .sessionLocked, "unlock": .sessionUnlocked,
    ]

    /// MESSAGE_ID=, as Units/termspan.catalog has it.
    package var messageID: ID128 {
        let last: UInt64 =
            switch self {
            case .sessionOpened: 0x01
            case .sessionClosed: 0x02
            case .sessionConnected: 0x03
            case .sessionDisconnected: 0x04
            case .sessionLocked: 0x05
            case .sessionUnlocked: 0x06
            case .probeStarted: 0x07
            case .probeFailed: 0x08
            case .collectorStarted: 0x09
            case .collectorStopped: 0x0A
            case .eventsLost: 0x0B
            case .policyChanged: 0x0C
            case .laneQuarantined: 0x0D
            case .configurationError: 0x0E
            case .limitReached: 0x0F
            case .storeFailed: 0x20
            case .storeRecovered: 0x21
            case .storeReplaced: 0x22
            case .storeRefused: 0x23
            case .recordsLost: 0x24
            case .busLost: 0x10
            case .clockStepped: 0x11
            case .machineSlept: 0x12
            case .descriptorsShort: 0x13
            case .historyErased: 0x14
            case .historyExpired: 0x15
            case .retentionHeld: 0x16
            case .auditRecorded: 0x17
            case .recordingPaused: 0x18
            case .recordingResumed: 0x19
            case .trackingHours: 0x1A
            case .logindLost: 0x1B
            case .sessionLockRequested: 0x30
            case .sessionDisconnectRequested: 0x31
            case .sessionLogoffRequested: 0x32
            }
        return ID128(high: 0x6A1F_0C52_B8D9_4C0E, low: 0x9F0E_5B7D_3C1A_7E00 | last)
    }

    /// How much it matters by itself.
    package var priority: JournalPriority {
        switch self {
        case .sessionOpened, .sessionClosed, .sessionConnected, .sessionDisconnected, .sessionLocked, .sessionUnlocked, .probeStarted,
            .collectorStarted, .collectorStopped, .machineSlept, .historyExpired, .auditRecorded, .recordingPaused,
            .recordingResumed, .trackingHours:
            .info
        case .policyChanged, .historyErased, .clockStepped, .storeRecovered, .sessionLockRequested, .sessionDisconnectRequested,
            .sessionLogoffRequested:
            .notice
        case .eventsLost, .probeFailed, .laneQuarantined, .limitReached, .recordsLost, .busLost, .logindLost, .descriptorsShort,
            .retentionHeld:
            .warning
        case .configurationError, .storeFailed, .storeReplaced, .storeRefused: .error
        }
    }
}

/// The levels of syslog(3).
package enum JournalPriority: Int, Comparable, Sendable {
    case critical = 2
    case error = 3
    case warning = 4
    case notice = 5
    case info = 6
    case debug = 7

    /// The more it matters, the smaller.
    package static func < (lhs: JournalPriority, rhs: JournalPriority) -> Bool { lhs.rawValue < rhs.rawValue }
}
