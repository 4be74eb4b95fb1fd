/// What a run of all measurements must reach, from the medians over its rounds.
struct Aim {
    /// A figure of a measurement, by both names.
    struct Place {
        let measurement: String
        let figure: String

        init(_ measurement: String, _ figure: String) {
            self.measurement = measurement
            self.figure = figure
        }
    }

    enum Bound {
        /// At most so much.
        case most(Double)
        /// At most so many times another figure.
        case times(Double, Place)
        /// Less than another figure.
        case below(Place)
    }

    let text: String
    let place: Place
    let bound: Bound

    static let all = [
        Aim(text: "publish and consume, one producer, ns an event", place: Place("throughput, ring", "ns/event"), bound: .most(40)),
        Aim(
            text: "publish and consume, one producer, before DPDK's single-producer ring", place: Place("throughput, ring", "ns/event"),
            bound: .below(Place("throughput, rte_ring sp", "ns/event"))),
        Aim(
            text: "publish and consume, one producer, before SEQPACKET", place: Place("throughput, ring", "ns/event"),
            bound: .below(Place("throughput, SEQPACKET", "ns/event"))),
        Aim(
            text: "publish with the clock, ns, beside a reader", place: Place("publish, ring beside a reader", "publish"), bound: .most(30)),
        Aim(
            text: "publish with the clock before LTTng-UST", place: Place("publish, ring beside a reader", "publish"),
            bound: .below(Place("publish, LTTng-UST", "publish"))),
        Aim(
            text: "from sleep, p50, within 1.5 times a bare futex", place: Place("one way asleep, ring", "p50"),
            bound: .times(1.5, Place("one way asleep, futex", "p50"))),
        Aim(
            text: "from sleep, p50, before SEQPACKET", place: Place("one way asleep, ring", "p50"),
            bound: .below(Place("one way asleep, SEQPACKET", "p50"))),
        Aim(
            text: "awake, p50, within 1.2 times a cache line", place: Place("one way awake, ring", "p50"),
            bound: .times(1.2, Place("one way awake, cache line", "p50"))),
        Aim(
            text: "awake, p99, within 3 times a cache line", place: Place("one way awake, ring", "p99"),
            bound: .times(3, Place("one way awake, cache line", "p99"))),
        Aim(text: "256 lanes awake, p99, ns", place: Place("one way awake, ring of 256 lanes", "p99"), bound: .most(1_500)),
        Aim(text: "a burst in one lane delays another, rounds", place: Place("a burst beside, ring", "rounds"), bound: .most(1)),
    ]

    /// How it was met, in one line; nil if one of the figures is not there.
    func verdict(_ figures: (Place) -> Double?) -> String? {
        guard let measured = figures(place) else { return nil }
        let limit: Double
        let wanted: String
        var isMet: Bool
        switch bound {
        case .most(let most):
            limit = most
            wanted = "at most \(short(most))"
            isMet = measured <= limit
        case .times(let factor, let other):
            guard let value = figures(other) else { return nil }
            limit = factor * value
            wanted = "at most \(short(limit))"
            isMet = measured <= limit
        case .below(let other):
            guard let value = figures(other) else { return nil }
            limit = value
            wanted = "below \(short(limit))"
            isMet = measured < limit
        }
        return "\(text): aim \(wanted), measured \(short(measured)): \(isMet ? "reached" : "missed")"
    }
}
