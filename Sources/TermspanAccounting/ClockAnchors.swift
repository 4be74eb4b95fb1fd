package import TermspanCore

/// The anchors of one boot: how its moments and wall time correspond, over all steps of the wall clock.
package struct ClockAnchors: Sendable, Equatable {
    /// By boot time, one a moment.
    package let anchors: [ClockAnchor]

    /// Of anchors at one moment the last given counts.
    package init(_ anchors: [ClockAnchor]) {
        var byMoment: [BootInstant: ClockAnchor] = [:]
        for anchor in anchors { byMoment[anchor.boot] = anchor }
        self.anchors = byMoment.values.sorted { $0.boot < $1.boot }
    }

    /// The wall time at a moment, by the last anchor at or before it, else by the first; nil without anchors.
    package func wall(at moment: BootInstant) -> WallInstant? {
        var low = 0
        var high = anchors.count
        while low < high {
            let middle = (low + high) / 2
            if anchors[middle].boot <= moment { low = middle + 1 } else { high = middle }
        }
        return anchors.isEmpty ? nil : anchors[max(0, low - 1)].wall(at: moment)
    }

    /// The first moment whose wall time is `wall` or later; nil without anchors.
    ///
    /// Where the wall clock was set back past it, that is the first of several; where it was set forward past it, the step.
    package func boot(at wall: WallInstant) -> BootInstant? {
        for (index, anchor) in anchors.enumerated() {
            let next = index + 1 < anchors.count ? anchors[index + 1].boot : nil
            if index > 0, anchor.wall >= wall { return anchor.boot }
            let moment = anchor.boot(at: wall)
            if next.map({ moment < $0 }) ?? true { return moment }
        }
        return nil
    }

    /// The latest wall time that the clock had shown by a moment: where it was set back, what it shows then is earlier. By it a moment lies in a day.
    package func latestWall(upTo moment: BootInstant) -> WallInstant? {
        guard var latest = wall(at: moment) else { return nil }
        for (anchor, next) in zip(anchors, anchors.dropFirst()) where next.boot <= moment && next.boot > .zero {
            latest = max(latest, anchor.wall(at: BootInstant(nanoseconds: next.boot.nanoseconds - 1)))
        }
        return latest
    }
}
