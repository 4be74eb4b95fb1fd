import TermspanCore

/// A token bucket over the times that an X server may wake its probe: 20 a second, 200 at once.
///
/// A desktop stays far below. One that floods its probe, with focus changes or anything else, is then read every 50 ms: what
/// has piled up costs one look at the active window, so the latest focus is always told and no flood gets past the limit.
struct WakeLimiter {
    static let interval: Duration = .milliseconds(50)
    static let burst = 200

    /// The bucket is full at this moment; each token taken moves it on by one interval.
    private var full: BootInstant = .zero

    /// Counts one waking; until when to leave the server alone, if at all.
    mutating func wake(now: BootInstant) -> BootInstant? {
        full = max(full, now).advanced(by: Self.interval)
        let next = full.advanced(by: Self.interval * -Self.burst)
        return next > now ? next : nil
    }
}
