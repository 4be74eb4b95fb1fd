import TermspanCore
import TermspanEvents

/// Follows one idle counter by an alarm that is re-armed by hand, and says where bursts of input begin and end.
///
/// While a burst is open the alarm waits for the counter to reach the burst gap; when it fires, the last input was that long
/// ago. Then it waits for the counter to fall to half the gap: there is input again. So the server sends two events a burst
/// and none in between. Transition alarms, which would re-arm themselves, never fire on nxagent.
///
/// The monitor does no input or output: each reading of the counter returns what to tell and what to arm.
struct InputMonitor {
    /// What the alarm waits for; both are absolute values of the counter in milliseconds.
    enum Arming: Equatable {
        /// The counter is at least this.
        case reaches(Int64)
        /// The counter is at most this.
        case fallsTo(Int64)
    }

    /// A burst's begin or end, yet without its origin.
    enum Edge: Equatable {
        case began(BootInstant)
        case ended(BootInstant)
    }

    private enum Phase {
        /// A burst is open since then.
        case open(since: BootInstant)
        case idle
    }

    /// The shortest and the longest gap that are accepted, in milliseconds: an alarm must neither follow single keys nor overflow.
    static let gaps: ClosedRange<UInt32> = 500...86_400_000

    private let gap: Int64
    private var phase: Phase

    /// Begins with one reading of the counter.
    ///
    /// - Parameters:
    ///   - gapMilliseconds: the burst gap, brought into `gaps`.
    ///   - idle: the counter's value in milliseconds.
    ///   - now: when it was read.
    init(gapMilliseconds: UInt32, idle: Int64, now: BootInstant) {
        gap = Int64(min(max(gapMilliseconds, Self.gaps.lowerBound), Self.gaps.upperBound))
        phase = idle < gap ? .open(since: now.milliseconds(before: idle)) : .idle
    }

    var isOpen: Bool {
        if case .open = phase { true } else { false }
    }

    /// What the alarm has to wait for now.
    var arming: Arming {
        isOpen ? .reaches(gap) : .fallsTo(gap / 2)
    }

    /// Takes the value that the counter had when the alarm fired; the alarm is to be armed again by `arming` in every case.
    ///
    /// A value that does not fit, as from a server that fires at will, changes nothing.
    mutating func alarmFired(idle: Int64, now: BootInstant) -> Edge? {
        let last = now.milliseconds(before: idle)
        switch phase {
        case .open(let since) where idle >= gap:
            phase = .idle
            return .ended(max(last, since))
        case .idle where idle <= gap / 2:
            phase = .open(since: last)
            return .began(last)
        case .open, .idle:
            return nil
        }
    }

    /// Takes a value that was read for a snapshot, which may be ahead of the alarm: without this the snapshot would tell of input that no burst
    /// is open for. The alarm's event then finds nothing new.
    ///
    /// - Returns: whether the alarm is to be armed again, by `arming`.
    mutating func wasRead(idle: Int64, now: BootInstant) -> Bool {
        if case .idle = phase { alarmFired(idle: idle, now: now) != nil } else { false }
    }
}

extension BootInstant {
    /// The moment that many milliseconds ago, saturating; a negative number, which no idle counter has, counts as 0.
    func milliseconds(before count: Int64) -> BootInstant {
        let (nanoseconds, overflow) = UInt64(max(count, 0)).multipliedReportingOverflow(by: 1_000_000)
        guard !overflow, nanoseconds <= self.nanoseconds else { return .zero }
        return BootInstant(nanoseconds: self.nanoseconds - nanoseconds)
    }
}
