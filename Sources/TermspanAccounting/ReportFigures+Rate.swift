extension ReportFigures {
    /// Switches in an hour of Active and Passive time, in tenths, rounded; nil without such time.
    package var switchRate: UInt64? {
        let used = times[.active] + times[.passive]
        guard used > 0 else { return nil }
        return UInt64(clamping: (UInt128(switches) * 36_000_000_000_000 + UInt128(used) / 2) / UInt128(used))
    }
}
