package import TermspanCore

/// The pauses that users have taken of having their own activity recorded: until when, and what is left to them. A value without effects.
package struct Pauses: Codable, Equatable, Sendable {
    /// What counts of one.
    private struct Pause: Codable, Equatable, Sendable {
        var start: BootInstant
        var end: BootInstant
    }

    /// When those that are under way end, by uid.
    private var running: [UInt32: BootInstant] = [:]
    /// All of the last day, by uid, in order.
    private var taken: [UInt32: [Pause]] = [:]
    /// When the last one that is over ended, by uid; what counts of it may be more.
    private var ended: [UInt32: BootInstant] = [:]

    private static let day: Duration = .seconds(86_400)
    /// What each counts at least: nobody can begin and end them without number.
    private static let least: Duration = .seconds(60)

    package init() {}

    /// When the user's pause ends; nil if none is under way.
    package func end(of uid: UInt32) -> BootInstant? { running[uid] }

    /// When the first of those that are under way ends.
    package var next: BootInstant? { running.values.min() }

    /// When the user's pause began; nil if none is under way.
    package func start(of uid: UInt32) -> BootInstant? { running[uid] == nil ? nil : taken[uid]?.last?.start }

    /// When the user's last pause ended; nil while one is under way, or without one.
    package func lastEnd(of uid: UInt32) -> BootInstant? { running[uid] == nil ? ended[uid] : nil }

    /// How long the user may pause still, where `perDay` is granted in any 24 hours; the whole of a pause that is under way counts.
    package func left(to uid: UInt32, perDay: Duration, at now: BootInstant) -> Duration {
        let used = (taken[uid] ?? []).reduce(Duration.zero) { sum, pause in
            let (sinceStart, sinceEnd) = (pause.start.duration(to: now), pause.end.duration(to: now))
            return sinceEnd < Self.day ? sum + min(sinceStart, Self.day) - sinceEnd : sum
        }
        return max(.zero, perDay - used)
    }

    /// Begins a pause, in place of one that is under way.
    ///
    /// - Returns: when it ends; nil, with nothing changed, if less is left.
    package mutating func begin(_ uid: UInt32, for length: Duration, perDay: Duration, at now: BootInstant) -> BootInstant? {
        var pauses = self
        _ = pauses.finish(uid, at: now)
        let counted = max(length, Self.least)
        guard counted <= pauses.left(to: uid, perDay: perDay, at: now) else { return nil }
        pauses.taken[uid, default: []].removeAll { $0.end.duration(to: now) >= Self.day }
        pauses.taken[uid, default: []].append(Pause(start: now, end: now.advanced(by: counted)))
        pauses.running[uid] = now.advanced(by: length)
        self = pauses
        return running[uid]
    }

    /// Ends the user's pause; false if none is under way.
    package mutating func finish(_ uid: UInt32, at now: BootInstant) -> Bool {
        guard let end = running.removeValue(forKey: uid) else { return false }
        ended[uid] = min(end, now)
        if var pause = taken[uid]?.popLast() {
            pause.end = min(pause.end, max(now, pause.start.advanced(by: Self.least)))
            taken[uid]?.append(pause)
        }
        return true
    }

    /// Ends those whose time has come, and says whose they were.
    package mutating func expire(at now: BootInstant) -> Set<UInt32> {
        let over = Set(running.filter { $0.value <= now }.keys)
        for uid in over { ended[uid] = running.removeValue(forKey: uid) }
        return over
    }
}
