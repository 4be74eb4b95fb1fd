import SeededRandom
import TermspanCore
import TermspanEvents

@testable import TermspanAccounting

/// What the rules say of every tick of a session, painted tick by tick: the naive calculation that sweeps, cursors and streams are held against.
///
/// It shares no computation with Sources: of there it uses values alone.
struct Painting {
    /// Nil where there is no session.
    var category: [TermspanAccounting.Category?]
    /// The index of the focus interval.
    var front: [Int?]
    /// When the burst began that holds; nil where none does.
    var held: [Int?]
    /// When the last input before was; nil where there was none.
    var last: [Int?]

    /// - Parameter known: with ActivityWatch's model, up to when input is known.
    init(_ stream: OracleTests.Stream, _ ticks: Int, idle: Int, passive: Int?, backdated known: Int? = nil) {
        func flags(_ on: StateChange.Kind, _ off: StateChange.Kind) -> [Bool] {
            var at: [Int: [StateChange.Kind]] = [:]
            for change in stream.changes { at[change.1, default: []].append(change.0) }
            var isOn = false
            return (0..<ticks).map { tick in
                for kind in at[tick] ?? [] where kind == on || kind == off { isOn = kind == on }
                return isOn
            }
        }
        func covered(_ list: [(Int, Int)]) -> [Bool] {
            var result = Array(repeating: false, count: ticks)
            for (start, end) in list where start < end { for tick in start..<min(end, ticks) { result[tick] = true } }
            return result
        }
        // The one that began last counts; where it is over nothing of an earlier one comes back.
        var beginning: [Int: Int] = [:]
        for (index, interval) in stream.focus.enumerated() where interval.0 < interval.1 { beginning[interval.0] = index }
        var current: Int?
        front = (0..<ticks).map { tick in
            current = beginning[tick] ?? current
            return current.flatMap { tick < stream.focus[$0].1 ? $0 : nil }
        }
        held = Array(repeating: nil, count: ticks)
        for (start, end) in stream.bursts where start < end {
            for tick in min(start, ticks)..<min(end, ticks) { held[tick] = max(held[tick] ?? start, start) }
        }
        let (starts, ends) = (Set(stream.bursts.map(\.0)), Set(stream.bursts.map(\.1)))
        var before: Int?
        last = (0..<ticks).map { tick in
            if ends.contains(tick) { before = tick }
            return before
        }
        var next: [Int?] = Array(repeating: nil, count: ticks)
        // What is known may begin after the last tick.
        var following = starts.filter { $0 >= ticks }.min()
        for tick in (0..<ticks).reversed() {
            next[tick] = following
            if starts.contains(tick) { following = tick }
        }
        let (suspended, paused) = (flags(.suspended, .woke), flags(.paused, .resumed))
        let (disconnected, locked) = (flags(.disconnected, .connected), flags(.locked, .unlocked))
        let unknown = covered(stream.unknown)
        category = Array(repeating: nil, count: ticks)
        for tick in stream.span.0..<min(stream.span.1, ticks) {
            func input() -> TermspanAccounting.Category {
                if held[tick] != nil { return .active }
                guard let last = last[tick] else { return .inactive }
                if let known {
                    if let next = next[tick] { return next - last <= idle ? .active : .inactive }
                    return known - last < idle ? .active : .inactive
                }
                if tick - last < idle { return .active }
                guard let passive else { return .passive }
                return tick - last < idle + passive ? .passive : .inactive
            }
            if suspended[tick] {
                category[tick] = .suspended
            } else if paused[tick] {
                category[tick] = .paused
            } else if unknown[tick] || front[tick] == nil {
                category[tick] = .unknown
            } else if disconnected[tick] {
                category[tick] = .disconnected
            } else if locked[tick] {
                category[tick] = .locked
            } else {
                category[tick] = input()
            }
        }
    }

    /// Whose moment a user's is, by tick.
    static func owners(_ sessions: [Painting], _ streams: [OracleTests.Stream], _ ticks: Int) -> [Int?] {
        (0..<ticks).map { tick in
            let alive = sessions.indices.filter { sessions[$0].category[tick] != nil }
            func first(_ value: (Int) -> Int?) -> Int? {
                let best = alive.compactMap(value).max()
                return best.flatMap { best in alive.first { value($0) == best } }
            }
            return first { sessions[$0].held[tick] } ?? first { sessions[$0].last[tick] } ?? first { streams[$0].span.0 }
        }
    }
}
