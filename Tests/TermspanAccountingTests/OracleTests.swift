import SeededRandom
import TermspanCore
import TermspanEvents
import Testing

@testable import TermspanAccounting

/// The evaluators against the rules applied tick by tick, with nothing shared: one tick is one nanosecond here.
@Suite struct OracleTests {
    static func at(_ tick: Int) -> BootInstant { BootInstant(nanoseconds: UInt64(tick)) }

    struct Stream {
        var span: (Int, Int)
        var focus: [(Int, Int)] = []
        var bursts: [(Int, Int)] = []
        var unknown: [(Int, Int)] = []
        var changes: [(StateChange.Kind, Int)] = []

        static func random(_ length: Int, _ random: inout SeededRandom) -> Stream {
            func intervals(_ count: Int, _ longest: Int) -> [(Int, Int)] {
                (0..<Int.random(in: 0...count, using: &random)).map { _ in
                    let start = Int.random(in: 0..<length, using: &random)
                    // Some are empty or reversed.
                    return (start, max(0, start + Int.random(in: -2...longest, using: &random)))
                }
            }
            let start = Int.random(in: 0..<length, using: &random)
            var stream = Stream(span: (start, Int.random(in: start...length, using: &random)))
            stream.focus = intervals(8, length)
            var end = 0
            for _ in 0..<Int.random(in: 0...6, using: &random) {
                let start = end + Int.random(in: 0...20, using: &random)
                end = start + Int.random(in: 0...15, using: &random)
                stream.bursts.append((start, end))
            }
            stream.bursts.shuffle(using: &random)
            stream.unknown = intervals(3, 10)
            stream.changes = (0..<Int.random(in: 0...10, using: &random)).map { _ in
                (StateChange.Kind.allCases.randomElement(using: &random) ?? .locked, Int.random(in: 0..<length, using: &random))
            }
            return stream
        }

        var timeline: SessionTimeline {
            func spans(_ list: [(Int, Int)]) -> [TimeSpan] { list.map { TimeSpan(start: at($0.0), end: at($0.1)) } }
            return SessionTimeline(
                span: spans([span])[0], focus: spans(focus), bursts: spans(bursts), unknown: spans(unknown),
                changes: changes.map { StateChange($0.0, at: at($0.1)) })
        }

        func covers(_ list: [(Int, Int)], _ tick: Int) -> Bool { list.contains { $0.0 <= tick && tick < $0.1 } }

        func focusIndex(_ tick: Int) -> Int? {
            var best: Int?
            for (index, interval) in focus.enumerated() where interval.0 <= tick && interval.1 > interval.0 {
                if let current = best, focus[current].0 > interval.0 { continue }
                best = index
            }
            // The one that began last counts; where it is over nothing of an earlier one comes back.
            return best.flatMap { focus[$0].1 > tick ? $0 : nil }
        }

        func state(_ on: StateChange.Kind, _ off: StateChange.Kind, _ tick: Int) -> Bool {
            var result = false
            for moment in 0...tick {
                for change in changes where change.1 == moment {
                    if change.0 == on { result = true }
                    if change.0 == off { result = false }
                }
            }
            return result
        }

        /// - Parameter backdated: ActivityWatch's model, with input known up to this tick.
        func category(_ tick: Int, idle: Int, passive: Int?, backdated: Int? = nil) -> TermspanAccounting.Category {
            if state(.suspended, .woke, tick) { return .suspended }
            if state(.paused, .resumed, tick) { return .paused }
            if covers(unknown, tick) || focusIndex(tick) == nil { return .unknown }
            if state(.disconnected, .connected, tick) { return .disconnected }
            if state(.locked, .unlocked, tick) { return .locked }
            if covers(bursts, tick) { return .active }
            guard let last = bursts.filter({ $0.1 <= tick }).map(\.1).max() else { return .inactive }
            if let backdated {
                if let next = bursts.map(\.0).filter({ $0 > tick }).min() { return next - last <= idle ? .active : .inactive }
                return backdated - last < idle ? .active : .inactive
            }
            if tick - last < idle { return .active }
            guard let passive else { return .passive }
            return tick - last < idle + passive ? .passive : .inactive
        }
    }

    @Test(arguments: 0..<8) func sessionTimeIsThatOfEveryTick(block: Int) {
        var random = SeededRandom(seed: UInt64(block))
        for round in 0..<250 {
            let stream = Stream.random(100, &random)
            let idle = [0, 1, 5, 12].randomElement(using: &random) ?? 0
            let passive = [0, 1, 7, 30, nil].randomElement(using: &random) ?? nil
            let thresholds = Thresholds(idle: .nanoseconds(idle), passiveLimit: passive.map { .nanoseconds($0) })
            let result = stream.timeline.evaluate(thresholds)
            var totals = CategoryTimes()
            var focus = Array(repeating: CategoryTimes(), count: stream.focus.count)
            for tick in stream.span.0..<stream.span.1 {
                let category = stream.category(tick, idle: idle, passive: passive)
                totals.add(1, to: category)
                if let index = stream.focusIndex(tick) { focus[index].add(1, to: category) }
                let part = result.parts.first { $0.span.start <= Self.at(tick) && Self.at(tick) < $0.span.end }
                #expect(part?.category == category && part?.focus == stream.focusIndex(tick), "block \(block) round \(round) tick \(tick)")
            }
            #expect(result.totals == totals, "block \(block) round \(round)")
            #expect(result.focus == focus, "block \(block) round \(round)")
            #expect(result.totals.total == UInt64(stream.span.1 - stream.span.0))
        }
    }

    @Test(arguments: 0..<4) func activityWatchsTimeIsThatOfEveryTick(block: Int) {
        var random = SeededRandom(seed: 500 + UInt64(block))
        for round in 0..<250 {
            let stream = Stream.random(100, &random)
            let idle = [0, 1, 5, 12].randomElement(using: &random) ?? 0
            let known = stream.span.1 + Int.random(in: 0...20, using: &random)
            var thresholds = Thresholds(idle: .nanoseconds(idle))
            thresholds.model = .activitywatch
            var timeline = stream.timeline
            timeline.inputKnown = Self.at(known)
            let result = timeline.evaluate(thresholds)
            for tick in stream.span.0..<stream.span.1 {
                let part = result.parts.first { $0.span.start <= Self.at(tick) && Self.at(tick) < $0.span.end }
                let category = stream.category(tick, idle: idle, passive: nil, backdated: known)
                #expect(part?.category == category, "block \(block) round \(round) tick \(tick)")
            }
        }
    }

    @Test(arguments: 0..<8) func userTimeIsThatOfEveryTick(block: Int) {
        var random = SeededRandom(seed: 1000 + UInt64(block))
        for round in 0..<100 {
            let streams = (0..<Int.random(in: 0...4, using: &random)).map { _ in Stream.random(60, &random) }
            let result = UserTimeline(sessions: streams.map(\.timeline))
                .evaluate(Thresholds(idle: .nanoseconds(5), passiveLimit: .nanoseconds(7)))
            var totals = CategoryTimes()
            for tick in 0..<60 {
                let alive = streams.indices.filter { streams[$0].span.0 <= tick && tick < streams[$0].span.1 }
                let part = result.parts.first { $0.span.start <= Self.at(tick) && Self.at(tick) < $0.span.end }
                guard let owner = Self.owner(streams, alive, tick) else {
                    #expect(part == nil)
                    continue
                }
                let category = streams[owner].category(tick, idle: 5, passive: 7)
                totals.add(1, to: category)
                #expect(part?.session == owner && part?.category == category, "block \(block) round \(round) tick \(tick)")
            }
            #expect(result.totals == totals)
        }
    }

    static func owner(_ streams: [Stream], _ alive: [Int], _ tick: Int) -> Int? {
        func first(_ value: (Int) -> Int?) -> Int? {
            let best = alive.compactMap(value).max()
            return best.flatMap { best in alive.first { value($0) == best } }
        }
        return first { streams[$0].bursts.filter { $0.0 <= tick && tick < $0.1 }.map(\.0).max() }
            ?? first { streams[$0].bursts.filter { $0.1 <= tick }.map(\.1).max() }
            ?? first { streams[$0].span.0 }
    }
}
